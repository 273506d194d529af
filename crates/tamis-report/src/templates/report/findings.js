// ---- Findings: filters, list and the one that is looked at -------------------------------------------------------------

/** Findings listed at once. */
const PAGE_SIZE = 50;

/** What is looked at, and how. */
const state = {
  /** Place of the check. */
  check: -1,
  /** Places of the findings that pass the filters. */
  listed: [],
  /** Place in `listed`. */
  cursor: 0,
  /** Which sample shown is acted on; null for those that the finding proposes. */
  target: null,
  /** Numbers of samples selected on the map; null for all. */
  selected: null,
};

const ofCheck = data.checks.map(() => []);
data.findings.forEach((finding, place) => ofCheck[finding.check].push(place));

const current = () => data.findings[state.listed[state.cursor]];
const samplesOf = (finding) => finding.shown.map((it) => data.samples[it.sample]);

/** The samples that a decision about a finding is about. */
function targets(finding) {
  if (state.target !== null) return [finding.shown[state.target].sample];
  return proposed(finding);
}

function proposed(finding) {
  if (finding.remedy && finding.remedy.samples.length > 0) return finding.remedy.samples;
  return finding.shown.slice(0, 1).map((it) => it.sample);
}

/** Whether something is proposed that nobody has decided to live with. */
const isProposal = (finding) => finding.remedy !== undefined && !finding.suppressed;

const isDecided = (finding) => proposed(finding).every((place) => decisions.has(data.samples[place].key));

// Filters

function fillFilters() {
  const option = (value, text) => element('option', { value, text });
  byId('of-split').replaceChildren(option('', 'all splits'), ...data.splits.map((_, i) => option(i, splitName(i))));
  byId('of-class').replaceChildren(option('', 'all classes'), ...data.labels.map((_, i) => option(i, labelName(i))));
  byId('of-class').parentElement.hidden = data.labels.length === 0;
  byId('labels').replaceChildren(...data.labels.slice(0, 5_000).map((_, i) => option(labelName(i), '')));
  for (const id of ['of-split', 'of-class', 'of-severity', 'of-state']) byId(id).addEventListener('change', refilter);
  byId('of-text').addEventListener('input', refilter);
  byId('of-score').addEventListener('input', () => {
    sayBound();
    refilter();
  });
  byId('no-selection').addEventListener('click', () => {
    state.selected = null;
    refilter();
    drawMap();
  });
}

function passes(finding) {
  const [split, label] = [byId('of-split').value, byId('of-class').value];
  const [severity, which] = [byId('of-severity').value, byId('of-state').value];
  const wanted = byId('of-text').value.trim().toLowerCase();
  const samples = samplesOf(finding);
  if (finding.score < minScore()) return false;
  if (severity !== '' && finding.severity !== severity) return false;
  if (split !== '' && !samples.some((it) => it.split === Number(split))) return false;
  if (label !== '' && !samples.some((it) => it.label === Number(label))) return false;
  if (which === 'settled' && !finding.standing) return false;
  if (which === 'decided' && !isDecided(finding)) return false;
  if (which === 'open' && (isDecided(finding) || finding.standing)) return false;
  if (state.selected !== null && !samples.some((it) => state.selected.has(it.id))) return false;
  if (wanted === '') return true;
  const texts = finding.shown.flatMap((it) => (it.text === undefined ? [] : [data.texts[it.text]]));
  return [finding.message, ...samples.map((it) => it.key), ...texts].some((it) => it.toLowerCase().includes(wanted));
}

/** Ends of the slider in scores, and its parts between them. */
const slide = { low: 0, high: 1, parts: 500 };

/** The score that the slider is at. */
function scoreAt() {
  const at = Number(byId('of-score').value);
  return at === slide.parts ? slide.high : slide.low + ((slide.high - slide.low) * at) / slide.parts;
}

/** At its left end the slider lets all pass. */
const minScore = () => (byId('of-score').value === '0' ? -Infinity : scoreAt());

function refilter() {
  state.listed = ofCheck[state.check].filter((place) => passes(data.findings[place]));
  state.cursor = 0;
  state.target = null;
  byId('no-selection').hidden = state.selected === null;
  if (state.selected !== null) byId('no-selection').textContent = `${counted(state.selected.size, 'sample')} of the map ✕`;
  showFindings();
}

/** Sets the slider up for the check that is looked at. */
function resetScore() {
  Object.assign(slide, { low: Infinity, high: -Infinity });
  for (const place of ofCheck[state.check]) {
    const { score } = data.findings[place];
    Object.assign(slide, { low: Math.min(slide.low, score), high: Math.max(slide.high, score) });
  }
  byId('score').hidden = ofCheck[state.check].length === 0;
  byId('slider').hidden = !(slide.low < slide.high);
  byId('of-score').value = '0';
  drawCurve();
  sayBound();
}

/** Whether the score of a finding is a cosine, which the curve is not about. */
const isSemantic = (finding) => (finding.evidence ?? []).some(([name, value]) => name === 'rung' && value === 'semantic');

/**
 * What is known of false alarms at the score of the slider: from the clean reference, or nothing. Between two points of the
 * curve nothing was tested, so that the upper one holds; below the first one nothing is known.
 */
function sayBound() {
  const { curve, unbounded } = data.checks[state.check];
  const least = scoreAt();
  byId('score-value').textContent = `score ≥ ${short(least)}`;
  const point = curve.find((it) => it[0] >= least - 1e-9);
  let text = unbounded;
  if (curve.length > 0 && least < curve[0][0] - 1e-9) text = `No bound of false ones is known so low: the first is at a score of ${short(curve[0][0])}.`;
  else if (curve.length > 0 && point === undefined) text = 'No tested sample scores so high.';
  else if (point) {
    const [, flagged, maxFalse] = point;
    const n = Math.min(maxFalse, flagged);
    const share = flagged === 0 ? '' : ` (${((100 * n) / flagged).toFixed(1)} %)`;
    text = `${counted(flagged, 'tested sample')} at or above this score, at most ${n.toLocaleString('en-US')} of them false${share}, `
      + 'with 95 % confidence at all scores at once. Identical samples are not counted: they are facts.';
  }
  if (curve.length > 0 && ofCheck[state.check].some((place) => isSemantic(data.findings[place]))) {
    text += ' Nor are findings of the rung “semantic”: their score is a cosine.';
  }
  byId('bound').textContent = text;
}

/** Draws how many are flagged, and how many of them false at most, by score. */
function drawCurve() {
  const { curve } = data.checks[state.check];
  const picture = byId('curve');
  picture.toggleAttribute('hidden', curve.length < 2);
  if (curve.length < 2) return;
  const { low, high } = slide;
  const most = Math.max(...curve.map(([, flagged]) => flagged), 1);
  const x = (threshold) => (300 * Math.min(Math.max((threshold - low) / (high - low || 1), 0), 1)).toFixed(1);
  const line = (of) => curve.map((it) => `${x(it[0])},${(58 - 56 * Math.min(it[of] / most, 1)).toFixed(1)}`).join(' ');
  picture.replaceChildren(
    shape('polyline', { points: line(1), class: 'flagged' }),
    shape('polyline', { points: line(2), class: 'false' }),
  );
}

// List

function openCheck(check) {
  const isOther = state.check !== check;
  if (isOther) {
    state.check = check;
    for (const id of ['of-split', 'of-class', 'of-severity', 'of-state', 'of-text']) byId(id).value = '';
    resetScore();
  }
  const it = data.checks[check];
  byId('check-title').textContent = it.id;
  byId('check-summary').textContent = `${it.title}. ${it.extent}`;
  byId('check-suggestions').textContent = it.suggestions ? `Suggested: ${it.suggestions}` : '';
  byId('check-remarks').replaceChildren(...it.remarks.map((text) => element('li', {}, [bdi(text)])));
  const more = [];
  if (it.n_more > 0) more.push(`${counted(it.n_more, 'more finding')} did not fit into this page: all are in findings.jsonl.`);
  if (it.n_bare > 0) more.push(`${counted(it.n_bare, 'finding')} stand here without contents, which did not fit.`);
  byId('check-more').textContent = more.join(' ');
  // Who comes back finds the place again.
  if (isOther) refilter();
  else showFindings();
  scrollToCurrent();
}

function showFindings() {
  const { listed } = state;
  const first = Math.floor(state.cursor / PAGE_SIZE) * PAGE_SIZE;
  const last = Math.min(first + PAGE_SIZE, listed.length);
  const list = byId('list');
  const isAt = list.contains(document.activeElement);
  list.replaceChildren(...listed.slice(first, last).map((place, i) => row(data.findings[place], first + i)));
  if (isAt) list.querySelector('.current')?.focus({ preventScroll: true });
  byId('range').textContent = listed.length === 0
    ? 'No finding passes the filters.'
    : `${(first + 1).toLocaleString('en-US')}–${last.toLocaleString('en-US')} of ${counted(listed.length, 'finding')}`;
  byId('previous').disabled = first === 0;
  byId('next').disabled = last >= listed.length;
  const n = listed.filter((place) => isProposal(data.findings[place])).length;
  byId('accept-all').hidden = n === 0;
  byId('accept-all').textContent = `Accept the ${counted(n, 'proposal')} listed`;
  showFinding();
}

function row(finding, place) {
  const samples = samplesOf(finding);
  const pictures = samples.slice(0, 2).filter((it) => it.picture !== undefined).map((it) => thumbnail(it, 'small'));
  const first = samples[0];
  const about = first ? [first.key, splitName(first.split), ...(first.label === null ? [] : [labelName(first.label)])] : [];
  const lines = [
    element('span', { class: 'message' }, [bdi(finding.message)]),
    element('span', { class: 'about' }, [bdi(about.map(visible).join(' · '))]),
  ];
  return element('li', {}, [
    element('button', {
      type: 'button',
      class: `row${place === state.cursor ? ' current' : ''}${isDecided(finding) ? ' decided' : ''}${finding.standing ? ' settled' : ''}`,
      'aria-current': place === state.cursor ? 'true' : null,
      'data-place': place,
      on: {
        click: () => {
          moveTo(place);
          showDetail();
        },
      },
    }, [
      element('span', { class: `dot ${finding.severity}`, title: finding.severity }, [element('span', { class: 'sr', text: finding.severity })]),
      ...pictures,
      element('span', { class: 'lines' }, lines),
      element('span', { class: 'number', text: isDecided(finding) ? '✓' : short(finding.score) }, isDecided(finding) ? [element('span', { class: 'sr', text: ' decided' })] : []),
    ]),
  ]);
}

/** Looks at another finding of the list. */
function moveTo(place) {
  if (state.listed.length === 0) return;
  const before = Math.floor(state.cursor / PAGE_SIZE);
  state.cursor = Math.min(Math.max(place, 0), state.listed.length - 1);
  state.target = null;
  if (Math.floor(state.cursor / PAGE_SIZE) !== before) showFindings();
  else {
    for (const it of byId('list').querySelectorAll('.row')) {
      const isCurrent = Number(it.dataset.place) === state.cursor;
      it.classList.toggle('current', isCurrent);
      if (isCurrent) it.setAttribute('aria-current', 'true');
      else it.removeAttribute('aria-current');
    }
    showFinding();
  }
  const list = byId('list');
  if (list.contains(document.activeElement)) list.querySelector('.current')?.focus({ preventScroll: true });
  scrollToCurrent();
}

/** Scrolls the list to the finding that is looked at. */
function scrollToCurrent() {
  const list = byId('list');
  const shown = list.querySelector('.current');
  if (!shown) return;
  const [top, bottom] = [shown.offsetTop - list.offsetTop, shown.offsetTop - list.offsetTop + shown.offsetHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
}

/** Scrolls to the finding that is looked at where it stands below the list. */
function showDetail() {
  const detail = byId('detail');
  if (byId('list').getBoundingClientRect().bottom <= detail.getBoundingClientRect().top) detail.scrollIntoView();
}

// One finding

/** Shows the finding that is looked at; what had the focus, or what came in its place, has it again. */
function showFinding() {
  const detail = byId('detail');
  const name = detail.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
  fillDetail();
  if (name === undefined) return;
  const next = detail.querySelector(`[data-name="${name}"]`) ?? detail.querySelector('[data-name]');
  next?.focus({ preventScroll: true });
}

function fillDetail() {
  const finding = current();
  const detail = byId('detail');
  if (!finding) {
    detail.replaceChildren(element('p', { class: 'muted', text: 'Nothing to show.' }));
    return;
  }
  const tags = [
    element('span', { class: `severity ${finding.severity}`, text: finding.severity }),
    element('span', { class: 'tag', text: `score ${short(finding.score)}` }),
    element('span', { class: 'tag', text: `confidence ${finding.confidence}` }),
    finding.standing ? element('span', { class: 'tag role' }, [bdi(finding.standing)]) : '',
  ];
  const evidence = (finding.evidence ?? []).flatMap(([name, value]) => [element('dt', { text: name }), element('dd', {}, [bdi(value)])]);
  const cards = element('div', { class: `samples${data.modality === 'image' ? ' pictures' : ''}` },
    finding.shown.map((it, i) => card(finding, it, i)));
  detail.replaceChildren(
    element('h3', {}, [bdi(finding.message)]),
    element('p', { class: 'lead' }, tags),
    change(finding) ?? '',
    element('p', { class: 'said' }, [bdi(finding.said ?? 'Look at it and decide.')]),
    actions(finding),
    cards,
    element('p', { class: 'muted', text: finding.hidden ? `${counted(finding.hidden, 'more sample')} in findings.jsonl` : '' }),
    element('dl', { class: 'evidence' }, evidence),
  );
}

/** The given and the suggested label with their probabilities. */
function change(finding) {
  if (!finding.change) return null;
  const part = (name, [label, probability]) => {
    const bar = shape('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, [
      shape('rect', { class: 'track', x: 0, y: 0, width: 100, height: 8 }),
      shape('rect', { class: 'fill-low', x: 0, y: 0, width: 100 * (probability ?? 0), height: 8 }),
    ]);
    const number = probability === null ? [] : [bar, element('span', { text: `${(100 * probability).toFixed(1)} %` })];
    return element('div', { class: 'rated' }, [element('span', { class: 'muted', text: name }), element('strong', {}, [bdi(label)]), ...number]);
  };
  return element('div', { class: 'change' }, [part('given', finding.change.given), part('suggested', finding.change.suggested)]);
}

function actions(finding) {
  const button = (text, key, act, properties = {}) => element('button', { type: 'button', on: { click: act }, title: `key ${key}`, 'data-name': key, ...properties },
    [`${text} `, element('kbd', { text: key })]);
  const label = element('input', {
    id: 'label', 'data-name': 'r', list: 'labels', placeholder: 'another label', 'aria-label': 'Another label', autocomplete: 'off',
    on: {
      keydown: (event) => {
        if (event.key === 'Enter') {
          // Or the button that has the focus next is pressed by it.
          event.preventDefault();
          relabelTyped();
        }
        if (event.key === 'Escape') event.target.blur();
      },
    },
  });
  const about = targets(finding).map((place) => visible(data.samples[place].key));
  const names = about.slice(0, 3).join(', ') + (about.length > 3 ? ` and ${about.length - 3} more` : '');
  return element('div', { class: 'actions', role: 'group', 'aria-label': 'Decide' }, [
    finding.remedy ? button('Accept', 'a', accept, { class: 'primary' }) : null,
    button('Keep', 'k', () => act({ action: 'keep' })),
    button('Drop', 'd', () => act({ action: 'drop' })),
    data.labels.length > 0 ? button('Relabel', 'r', relabel) : null,
    data.labels.length > 0 ? label : null,
    button('Undo', 'u', undo),
    element('span', { class: 'muted' }, ['about ', bdi(names)]),
  ]);
}

/** A sample of a finding, with what it has not in common with the one it is compared with. */
function card(finding, shown, place) {
  const sample = data.samples[shown.sample];
  const decision = decisions.get(sample.key);
  const isTarget = state.target === null ? proposed(finding).includes(shown.sample) : state.target === place;
  const tags = [
    ...(shown.roles ?? []).map((role) => element('span', { class: 'tag role', text: role })),
    element('span', { class: 'tag' }, [bdi(splitName(sample.split))]),
    sample.label === null ? null : element('span', { class: 'tag' }, [bdi(labelName(sample.label))]),
    shown.transformation ? element('span', { class: 'tag role' }, [bdi(shown.transformation)]) : null,
    ...(shown.facts ?? []).map(([name, value]) => element('span', { class: 'tag' }, [bdi(`${name} ${value}`)])),
    decision ? element('span', { class: `tag decision ${decision.action}`, text: decisionText(decision) }) : null,
  ];
  const head = element('button', {
    type: 'button',
    class: 'head',
    'data-name': `sample ${place}`,
    'aria-pressed': isTarget ? 'true' : 'false',
    title: 'Decide about this sample alone (left and right arrow)',
    on: { click: () => aim(state.target === place ? null : place) },
  }, [bdi(visible(sample.key))]);
  const place_ = sample.place.endsWith(visible(sample.key)) ? null : element('p', { class: 'place' }, [bdi(sample.place)]);
  return element('article', { class: `sample${isTarget ? ' target' : ''}` }, [
    element('div', {}, [head, element('p', { class: 'tags' }, tags.filter(Boolean)), place_]),
    sample.picture === undefined ? null : element('figure', { class: `picture${sample.tiny ? ' tiny' : ''}` },
      [thumbnail(sample, ''), element('figcaption', {}, [bdi(sample.caption ?? '')])]),
    shown.text === undefined ? null : element('div', {
      class: 'text', 'data-name': `text ${place}`, tabindex: '0', role: 'region', dir: 'auto', 'aria-label': `Text of ${visible(sample.key)}`,
    }, marked(data.texts[shown.text], counterpart(finding, place), runFor(finding, place))),
    shown.remark ? element('div', { class: 'remark' }, [bdi(shown.remark)]) : null,
  ]);
}

/** The place of the sample that all others are compared with: the one that stays, or the first. */
function reference(finding) {
  const kept = finding.shown.findIndex((it) => (it.roles ?? []).includes('keep'));
  return kept === -1 ? 0 : kept;
}

/** The text that a text is compared with; null without one. */
function counterpart(finding, place) {
  const base = reference(finding);
  const other = place === base ? finding.shown.find((it, i) => i !== base && it.text !== undefined) : finding.shown[base];
  return other?.text === undefined ? null : data.texts[other.text];
}

/** The words that a text has in common with the one it is compared with. */
function runFor(finding, place) {
  if (place !== reference(finding)) return finding.shown[place].common;
  return finding.shown.find((it, i) => i !== place && it.common)?.common;
}

function thumbnail(sample, kind) {
  const isTiny = sample.tiny ? ' tiny' : '';
  return element('img', { src: data.pictures[sample.picture], alt: visible(sample.key), class: `${kind}${isTiny}` });
}

// Deciding

/** Chooses which sample of the finding is decided about. */
function aim(place) {
  state.target = place;
  showFinding();
}

/** Moves the aim among the proposal and the samples shown. */
function aimBy(by) {
  const finding = current();
  if (!finding) return;
  const n = finding.shown.length + 1;
  const at = state.target === null ? 0 : state.target + 1;
  const next = (at + by + n) % n;
  aim(next === 0 ? null : next - 1);
}

/** Decides about the finding that is looked at, and goes on to the next. */
function act(choice) {
  const finding = current();
  if (!finding) return;
  takeOver();
  const samples = targets(finding);
  steps.push(decide(samples, choice, finding));
  const isAimed = state.target !== null;
  decided(`${choice.action}: ${counted(samples.length, 'sample')}.`);
  if (!isAimed && state.cursor + 1 < state.listed.length) moveTo(state.cursor + 1);
}

function accept() {
  const finding = current();
  if (!finding?.remedy) {
    say('This finding proposes nothing: keep, drop or relabel.');
    return;
  }
  state.target = null;
  act(finding.remedy);
}

/** Gives the suggested label to the sample that it is suggested for, or asks for one. */
function relabel() {
  const finding = current();
  const isAboutIt = state.target === null || state.target === 0;
  const label = isAboutIt ? finding?.remedy?.label ?? finding?.change?.label : null;
  if (label !== null && label !== undefined) act({ action: 'relabel', label });
  else byId('label')?.focus();
}

function relabelTyped() {
  const typed = byId('label').value;
  // Labels that differ in their ends alone are told apart, and those of which something is not seen.
  const isIt = [(name) => name === typed, (_, i) => labelName(i) === typed, (name) => name.trim() === typed.trim()];
  const label = isIt.map((is) => data.labels.findIndex(is)).find((it) => it !== -1) ?? -1;
  if (label === -1) say(`There is no label “${visible(typed)}” in the dataset.`);
  else act({ action: 'relabel', label });
}

function undo() {
  takeOver();
  const isUndone = takeBack();
  decided(isUndone ? 'Taken back.' : 'There is nothing to take back.');
}

function acceptAll() {
  takeOver();
  const open = (finding) => finding.remedy.samples.filter((it) => !decisions.has(data.samples[it].key));
  const findings = state.listed.map((place) => data.findings[place]).filter((it) => isProposal(it) && open(it).length > 0);
  const samples = new Set(findings.flatMap(open));
  if (samples.size === 0) {
    say('Every sample of these proposals is decided.');
    return;
  }
  if (!window.confirm(`Accept ${counted(findings.length, 'proposal')} about ${counted(samples.size, 'undecided sample')}? One undo takes all of it back.`)) return;
  steps.push(findings.flatMap((finding) => decide(open(finding), finding.remedy, finding)));
  decided(`${counted(findings.length, 'proposal')} accepted.`);
}

/** Shows and keeps what was decided. */
function decided(text) {
  keeping.isExported = false;
  save();
  showDecided(text);
}

/** Shows what was decided, here or in another tab. */
function showDecided(text) {
  sayDecisions();
  if (state.check !== -1) showFindings();
  say(text);
}

function sayDecisions() {
  const counts = ACTIONS.map((action) => [action, [...decisions.values()].filter((it) => it.action === action).length]);
  const parts = counts.filter(([, n]) => n > 0).map(([action, n]) => `${action} ${n.toLocaleString('en-US')}`);
  byId('decided').textContent = decisions.size === 0 ? 'No decisions yet' : parts.join(', ');
  byId('export').disabled = decisions.size === 0;
}

