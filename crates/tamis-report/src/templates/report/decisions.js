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

/** A store that may be forbidden: the page then works without it. */
function stored(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    if (value !== undefined) say('This browser keeps nothing for this page: export before you close it.');
  }
  return null;
}

function save() {
  const state = { given: given.id, decisions: [...decisions.values()] };
  stored(storageKey, JSON.stringify(state));
}

/** Starts with what the page was given and what the browser kept; what was kept of the same page says all. */
function restore() {
  let kept = null;
  try {
    kept = JSON.parse(stored(storageKey) ?? 'null');
  } catch {
    kept = null;
  }
  if (given.text && kept?.given !== given.id) say(readDecisions(given.text));
  const list = Array.isArray(kept?.decisions) ? kept.decisions : [];
  for (const decision of list) if (isDecision(decision)) put(decision);
  byId('reviewer').value = stored('tamis-reviewer') ?? '';
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

/** Reads the text of a decisions.jsonl; says how many were taken and why others were not. */
function readDecisions(text) {
  let n = 0;
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
    if (header === null) header = value;
    else if (isDecision(value)) read.push(value);
    else refused += 1;
  }
  if (header?.schema !== SCHEMA) return `This is no file of decisions: its first line does not say ${SCHEMA}.`;
  if (header.dataset_hash !== data.hash) return 'These decisions are about another dataset: nothing was taken from them.';
  const before = [];
  for (const it of read) {
    before.push([it.key, decisions.get(it.key)]);
    const { key, identity = null, action, label = null, split = null, reason = '', reviewer = null, finding = null } = it;
    put({ key, identity, action, label, split, reason, reviewer, finding });
    n += 1;
  }
  if (n > 0) steps.push(before);
  return `${counted(n, 'decision')} read${refused ? `, ${counted(refused, 'line')} not understood` : ''}.`;
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
  say(`${counted(decisions.size, 'decision')} exported as decisions.jsonl.`);
}

