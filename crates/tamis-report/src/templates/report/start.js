// ---- What is open, keys, and the start ----------------------------------------------------------------------------------

const VIEWS = ['overview', 'changes', 'findings', 'map', 'plots'];

/** What a part of an address stands for; as it is where that is nothing. */
function named(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Opens what the address names: a view, or a check. */
function route() {
  const name = named(location.hash.slice(1)) || 'overview';
  const check = data.checks.findIndex((it, i) => it.id === name && ofCheck[i].length + it.n_more > 0);
  const view = check !== -1 ? 'findings' : VIEWS.includes(name) && byId(`tab-${name}`) ? name : 'overview';
  for (const it of VIEWS) {
    const section = byId(`view-${it}`);
    if (section) section.hidden = it !== view;
  }
  for (const tab of byId('tabs').querySelectorAll('a')) {
    const isOpen = tab.getAttribute('href') === `#${check === -1 ? view : name}`;
    if (isOpen) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  if (view === 'findings') openCheck(check);
  if (view === 'map') openMap();
  document.documentElement.classList.toggle('at-work', view !== 'overview');
  window.scrollTo(0, 0);
}

function fillTabs() {
  const tab = (name, text, n) => element('a', { href: `#${name}`, id: `tab-${name}` }, [text, n === null ? null : element('span', { class: 'n', text: n.toLocaleString('en-US') })]);
  const checks = data.checks.flatMap((it, i) => (ofCheck[i].length + it.n_more === 0 ? [] : [tab(it.id, it.id, ofCheck[i].length + it.n_more)]));
  byId('tabs').replaceChildren(
    tab('overview', 'Overview', null),
    ...(byId('view-changes') ? [tab('changes', 'Changes', null)] : []),
    ...checks,
    ...(data.map === null ? [] : [tab('map', 'Map', null)]),
    ...(byId('view-plots') ? [tab('plots', 'Plots', null)] : []),
  );
}

/** What keys do where no text is typed. */
const KEYS = {
  j: () => moveTo(state.cursor + 1),
  ArrowDown: () => moveTo(state.cursor + 1),
  ArrowUp: () => moveTo(state.cursor - 1),
  ArrowRight: () => aimBy(1),
  ArrowLeft: () => aimBy(-1),
  k: () => act({ action: 'keep' }),
  d: () => act({ action: 'drop' }),
  r: relabel,
  u: undo,
  a: accept,
};

function onKey(event) {
  const isTyping = event.target.closest('input, select, textarea, canvas') !== null;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === '?') byId('keys').open = !byId('keys').open;
  if (byId('view-findings').hidden) return;
  const act_ = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  // Arrows within a text scroll it.
  if (act_ === undefined || (event.key.startsWith('Arrow') && event.target.closest('.text') !== null)) return;
  event.preventDefault();
  act_();
}

function listen() {
  window.addEventListener('hashchange', route);
  document.addEventListener('keydown', onKey);
  byId('previous').addEventListener('click', () => moveTo((Math.floor(state.cursor / PAGE_SIZE) - 1) * PAGE_SIZE));
  byId('next').addEventListener('click', () => moveTo((Math.floor(state.cursor / PAGE_SIZE) + 1) * PAGE_SIZE));
  byId('accept-all').addEventListener('click', acceptAll);
  byId('export').addEventListener('click', exportDecisions);
  byId('reviewer').addEventListener('change', () => keep('tamis-reviewer', byId('reviewer').value.trim()));
  byId('import').addEventListener('change', async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    const text = await file.text();
    event.target.value = '';
    takeOver();
    decided(readDecisions(text));
  });
  window.addEventListener('storage', (event) => {
    if (event.key === storageKey && takeOver()) showDecided('Decisions of another tab were taken over.');
  });
  window.addEventListener('beforeunload', (event) => {
    if (!keeping.isKept && !keeping.isExported) event.preventDefault();
  });
}

const greeting = restore();
fillTabs();
fillFilters();
listen();
listenToMap();
document.documentElement.classList.add('scripted');
sayDecisions();
route();
say(greeting);
document.documentElement.dataset.readyMs = performance.now().toFixed(1);
