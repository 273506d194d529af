// ---- Decisions: one for each sample, kept in the browser, exported and read as decisions.jsonl -------------------------

const SCHEMA = 'tamis-decisions/1';
const ACTIONS = ['keep', 'drop', 'relabel', 'move-split'];

/** By key of the sample; the order is that of deciding. */
const decisions = new Map();
/** What to put back, one list of `[key, decision before]` for each step. */
const steps = [];

const storageKey = `${SCHEMA}:${data.hash}`;

/** A number for a text, to notice that it changed (FNV-1a). */
function fingerprint(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
}

/** What the page was given to start with. */
const given = { text: data.decisions ?? '', id: fingerprint(data.decisions ?? '') };

/** What this browser keeps of the decisions, and whether they were exported as they are. */
const keeping = { given: null, text: null, isKept: true, isExported: true };

/** What the browser keeps under a name; null where there is nothing, or keeping is forbidden. */
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Has the browser keep something; says whether it does. */
function keep(name, value) {
  try {
    localStorage.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}

/** Decisions as short lists; what many of them say stands in a list of its own. */
function packed() {
  const words = [];
  const placeOf = new Map();
  const place = (word) => {
    if (word === null) return -1;
    if (!placeOf.has(word)) placeOf.set(word, words.push(word) - 1);
    return placeOf.get(word);
  };
  const list = [...decisions.values()].map((it) => [
    it.key, it.identity, ACTIONS.indexOf(it.action), place(it.label), place(it.split), place(it.reason), place(it.reviewer), it.finding,
  ]);
  return JSON.stringify({ given: keeping.given, words, list });
}

/** What was packed; `null` for a text that nobody packed. */
function unpacked(text) {
  try {
    const { given: id, words, list } = JSON.parse(text);
    const decision = ([key, identity, action, label, split, reason, reviewer, finding]) => {
      const word = (place) => words[place] ?? null;
      return { key, identity, action: ACTIONS[action], label: word(label), split: word(split), reason: word(reason), reviewer: word(reviewer), finding };
    };
    return { given: id, decisions: list.map(decision).filter(isDecision) };
  } catch {
    return null;
  }
}

/** Has the browser keep all decisions; where it does not, that is said as long as it lasts. */
function save() {
  const text = packed();
  keeping.isKept = keep(storageKey, text);
  if (keeping.isKept) keeping.text = text;
  byId('unkept').hidden = keeping.isKept;
}

/** Takes over what another tab with the same data decided; says whether it did. */
function takeOver() {
  const text = kept(storageKey);
  // What this browser could not keep is here alone.
  if (text === null || text === keeping.text || !keeping.isKept) return false;
  const theirs = unpacked(text);
  if (theirs === null) return false;
  Object.assign(keeping, { text, given: theirs.given, isExported: false });
  decisions.clear();
  theirs.decisions.forEach(put);
  return true;
}

/** Starts with what the browser kept, and with what the page was given where that is new; returns what there is to say. */
function restore() {
  takeOver();
  byId('reviewer').value = kept('tamis-reviewer') ?? '';
  if (given.text === '' || keeping.given === given.id) return '';
  const { read, error } = parsed(given.text);
  if (error !== null) return error;
  const others = decisions.size;
  const n = read.filter((it) => decisions.has(it.key) && decisionText(decisions.get(it.key)) !== decisionText(it)).length;
  read.forEach(put);
  keeping.given = given.id;
  save();
  if (others === 0) return `${counted(read.length, 'decision')} came with this page.`;
  return `${counted(read.length, 'decision')} came with this page: they replace ${n.toLocaleString('en-US')} of the `
    + `${others.toLocaleString('en-US')} that this browser kept, the others stay.`;
}

function put(decision) {
  decisions.delete(decision.key);
  decisions.set(decision.key, decision);
}

function isDecision(it) {
  const isText = (value) => typeof value === 'string';
  if (typeof it !== 'object' || it === null || !isText(it.key) || !ACTIONS.includes(it.action)) return false;
  if (it.action === 'relabel' && !isText(it.label)) return false;
  return it.action !== 'move-split' || isText(it.split);
}

/** The decisions in the text of a decisions.jsonl, how many lines are none, and why nothing can be taken from it. */
function parsed(text) {
  let refused = 0;
  let header = null;
  const read = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    let value = null;
    try {
      value = JSON.parse(line);
    } catch {
      value = null;
    }
    if (header === null) header = value ?? {};
    else if (isDecision(value)) {
      const { key, identity = null, action, label = null, split = null, reason = '', reviewer = null, finding = null } = value;
      read.push({ key, identity, action, label, split, reason, reviewer, finding });
    } else refused += 1;
  }
  let error = null;
  if (header?.schema !== SCHEMA) error = `This is no file of decisions: its first line does not say ${SCHEMA}.`;
  else if (header.dataset_hash !== data.hash) error = 'These decisions are about another dataset: nothing was taken from them.';
  return { read, refused, error };
}

/** Takes over a file of decisions, as one step; returns what there is to say. */
function readDecisions(text) {
  const { read, refused, error } = parsed(text);
  if (error !== null) return error;
  const before = read.map((it) => [it.key, decisions.get(it.key)]);
  read.forEach(put);
  if (read.length > 0) steps.push(before);
  return `${counted(read.length, 'decision')} read${refused ? `, ${counted(refused, 'line')} not understood` : ''}.`;
}

/** The text of a decisions.jsonl. */
function written() {
  const header = JSON.stringify({ schema: SCHEMA, dataset_hash: data.hash });
  return `${[header, ...[...decisions.values()].map((it) => JSON.stringify(it))].join('\n')}\n`;
}

/** Decides about samples, as one step. `choice` has an action, and a label or a split where the action needs one. */
function decide(samples, choice, finding) {
  const check = data.checks[finding.check].id;
  const reviewer = byId('reviewer').value.trim() || null;
  const before = [];
  for (const place of samples) {
    const sample = data.samples[place];
    const label = choice.action === 'relabel' ? data.labels[choice.label] : null;
    const split = choice.action === 'move-split' ? data.splits[choice.split] : null;
    const reason = `${check}: ${isProposed(place, choice, finding) ? 'accepted' : 'decided'} in the report`;
    before.push([sample.key, decisions.get(sample.key)]);
    const { key, identity } = sample;
    put({ key, identity, action: choice.action, label, split, reason, reviewer, finding: finding.fingerprint });
  }
  return before;
}

function isProposed(place, choice, { remedy }) {
  return remedy !== undefined && remedy.action === choice.action && remedy.samples.includes(place)
    && (choice.action !== 'relabel' || remedy.label === choice.label)
    && (choice.action !== 'move-split' || remedy.split === choice.split);
}

/** Takes the last step back; says whether there was one. */
function takeBack() {
  const before = steps.pop();
  if (before === undefined) return false;
  for (const [key, decision] of before.reverse()) {
    if (decision === undefined) decisions.delete(key);
    else put(decision);
  }
  return true;
}

/** A decision in words. */
function decisionText(decision) {
  if (decision.action === 'relabel') return `relabel: ${visible(decision.label)}`;
  if (decision.action === 'move-split') return `move to ${visible(decision.split)}`;
  return decision.action;
}

/** Offers the decisions as a file. */
function exportDecisions() {
  const url = URL.createObjectURL(new Blob([written()], { type: 'application/x-ndjson' }));
  const link = element('a', { href: url, download: 'decisions.jsonl' });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  keeping.isExported = true;
  say(`${counted(decisions.size, 'decision')} exported as decisions.jsonl.`);
}

