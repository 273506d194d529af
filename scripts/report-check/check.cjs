// Looks at pages of tamis in a headless Chromium. Called by report-check.sh.
'use strict';

const { chromium } = require('playwright-core');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const [work, ...others] = process.argv.slice(2).map((it) => path.resolve(it));
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const DESKTOP = { viewport: { width: 1280, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let browser = null;

const urlOf = (folder) => `file://${encodeURI(path.join(folder, 'report.html'))}`;

/** Opens a page; anything that it loads, logs or throws is a failure. */
async function open(folder, hash = '', options = DESKTOP) {
  return openIn(await browser.newContext(options), folder, hash);
}

/** The same beside other pages of one browser. */
async function openIn(context, folder, hash = '') {
  const page = await context.newPage();
  page.on('pageerror', (error) => { throw error; });
  page.on('console', (message) => {
    // What this check itself is the reason of.
    if (!message.text().includes('readback')) assert.fail(`the page says ${message.type()}: ${message.text()}`);
  });
  page.on('dialog', (dialog) => (['confirm', 'beforeunload'].includes(dialog.type()) ? dialog.accept() : assert.fail(`a dialog: ${dialog.message()}`)));
  page.on('request', (request) => {
    const isOwn = request.url().split('#')[0] === urlOf(folder) || /^(data|blob):/.test(request.url());
    assert.ok(isOwn, `the page asks for ${request.url()}`);
  });
  await page.goto(urlOf(folder) + hash);
  return page;
}

/** Opens another part of a page, and waits until it is there. */
async function turnTo(page, hash) {
  await page.evaluate((it) => { location.hash = it; }, hash);
  await page.waitForFunction((it) => document.querySelector('#tabs [aria-current]')?.getAttribute('href') === it, hash);
}

const text = (page, selector) => page.locator(selector).innerText();
const fact = (page, name) => page.evaluate((it) => Number(document.documentElement.dataset[it]), name);
const tabsOf = (page) => page.locator('#tabs a').evaluateAll((all) => all.map((it) => it.getAttribute('href')));
const picture = (page, name, whole = false) => page.screenshot({ path: path.join(work, `${name}.png`), fullPage: whole });

async function answers(folder) {
  const page = await open(folder);
  assert.equal(await page.locator('.answer').count(), 6);
  assert.match(await text(page, '#answer-twice'), /Yes\s+\d+ findings/);
  assert.match(await text(page, '#answer-leaked'), /Yes\s+(\d+) samples in \d+ findings\s+split-leak: \1 of /, 'one number for one thing');
  assert.match(await text(page, '#answer-private'), /Not checked/);
  await picture(page, 'front', true);
  await page.context().close();
  const plain = await open(folder, '', { ...DESKTOP, javaScriptEnabled: false });
  assert.match(await text(plain, '#answer-leaked'), /Yes/, 'the front page reads without script');
  assert.ok(!(await plain.locator('#tabs').isVisible()), 'and shows nothing that needs one');
  await plain.context().close();
}

async function filters(folder) {
  const page = await open(folder, '#label-error');
  const count = async () => Number((await text(page, '#range')).match(/of ([\d,]+)/)?.[1].replace(',', '') ?? 0);
  const all = await count();
  await page.selectOption('#of-split', { label: 'test' });
  const ofTest = await count();
  assert.ok(ofTest > 0 && ofTest < all, `${ofTest} of ${all} are of the test`);
  await page.selectOption('#of-class', { label: 'plant' });
  assert.ok((await count()) < ofTest, 'fewer are of a class');
  await page.selectOption('#of-class', '');
  await page.selectOption('#of-split', '');
  assert.equal(await count(), all);
  await page.locator('#of-score').fill('500');
  assert.equal(await count(), 1, 'the highest score alone');
  await page.locator('#of-score').fill('0');
  await page.locator('#of-text').fill('no text has this');
  assert.match(await text(page, '#range'), /No finding/);
  await page.context().close();
}

async function decisions(folder) {
  const page = await open(folder, '#near-duplicate', { ...DESKTOP, acceptDownloads: true });
  assert.ok((await page.locator('#detail mark.differs').count()) > 0, 'differences are marked');
  assert.ok((await page.locator('#detail mark.run').count()) > 0, 'and what both have');
  await picture(page, 'pair');
  await page.locator('summary', { hasText: 'More' }).click();
  await page.locator('#reviewer').fill('Ada');
  await page.locator('summary', { hasText: 'More' }).click();
  for (const key of ['a', 'k', 'd', 'u']) await page.keyboard.press(key);
  assert.equal(await text(page, '#decided'), 'keep 1, drop 1');
  await turnTo(page, '#label-error');
  await page.keyboard.press('r');
  await page.keyboard.press('j');
  await page.locator('#label').fill('animal');
  await page.keyboard.press('Enter');
  assert.equal(await text(page, '#decided'), 'keep 1, drop 1, relabel 2');
  assert.match(await text(page, '#said'), /relabel: 1 sample/);
  assert.ok((await page.locator('#said').boundingBox()).height > 12, 'what is said is seen');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), 'r', 'the focus stays with what was typed');
  await page.reload();
  assert.equal(await text(page, '#decided'), 'keep 1, drop 1, relabel 2', 'the browser keeps them');
  await turnTo(page, '#exact-duplicate');
  await page.locator('#accept-all').click();
  const many = await text(page, '#decided');
  await page.keyboard.press('u');
  assert.notEqual(await text(page, '#decided'), many);
  const waiting = page.waitForEvent('download');
  await page.locator('#export').click();
  const file = path.join(work, 'decisions.jsonl');
  await (await waiting).saveAs(file);
  await page.context().close();

  const lines = fs.readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  const { hash } = JSON.parse(fs.readFileSync(path.join(folder, 'audit.json'), 'utf8')).dataset;
  assert.deepEqual(lines[0], { schema: 'tamis-decisions/1', dataset_hash: hash });
  assert.deepEqual(lines.slice(1).map((it) => it.action), ['drop', 'keep', 'relabel', 'relabel']);
  const fields = ['key', 'identity', 'action', 'label', 'split', 'reason', 'reviewer', 'finding'];
  for (const it of lines.slice(1)) {
    assert.deepEqual(Object.keys(it), fields);
    assert.equal(it.reviewer, 'Ada');
    assert.match(it.identity, /^[0-9a-f]{64}$/);
  }
  assert.equal(lines[1].reason, 'near-duplicate: accepted in the report');
  assert.equal(lines[4].label, 'animal');

  const fresh = await open(folder, '#near-duplicate');
  assert.equal(await text(fresh, '#decided'), 'No decisions yet');
  await fresh.locator('#import').setInputFiles(file);
  await fresh.waitForFunction(() => document.getElementById('decided').textContent !== 'No decisions yet');
  assert.equal(await text(fresh, '#decided'), 'keep 1, drop 1, relabel 2', 'a file says the same');
  fs.writeFileSync(file, '{"schema":"tamis-decisions/1","dataset_hash":"0"}\n');
  await fresh.locator('#import').setInputFiles(file);
  await fresh.waitForFunction(() => /another dataset/.test(document.getElementById('said').textContent));
  await fresh.context().close();
}

/** Colors that the map shows, beside nothing. */
const colorsOfMap = (page) => page.evaluate(() => {
  const canvas = document.getElementById('canvas');
  const pixels = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return new Set(pixels).size - 1;
});

async function map(folder) {
  const page = await open(folder, '#map');
  assert.ok((await fact(page, 'points')) > 3_000);
  assert.ok((await colorsOfMap(page)) >= 10, 'classes have colors');
  const box = await page.locator('#canvas').boundingBox();
  const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(0.5, 0.5));
  for (let i = 0; i < 40 && /Point at/.test(await text(page, '#pointed')); i += 1) await page.mouse.move(...at(0.3 + i / 100, 0.5));
  assert.doesNotMatch(await text(page, '#pointed'), /Point at/, 'a sample is shown');
  await page.mouse.move(...at(0.05, 0.05));
  await page.mouse.down();
  for (const [x, y] of [[0.5, 0.05], [0.5, 0.9], [0.05, 0.9]]) await page.mouse.move(...at(x, y), { steps: 4 });
  await page.mouse.up();
  assert.match(await text(page, '#selection'), /[\d,]+ samples selected/);
  await picture(page, 'map');
  await page.locator('#selection a').first().click();
  await page.waitForFunction(() => !document.getElementById('view-findings').hidden);
  assert.match(await text(page, '#no-selection'), /of the map/);
  await page.locator('#no-selection').click();
  assert.ok(!(await page.locator('#no-selection').isVisible()));
  await turnTo(page, '#map');
  await page.selectOption('#color-by', 'check');
  await page.locator('#zoom-in').click();
  assert.ok((await colorsOfMap(page)) >= 2);
  const shown = () => page.evaluate(() => document.getElementById('canvas').toDataURL());
  await page.evaluate(() => { document.documentElement.dataset.drawMs = '-1'; });
  await page.mouse.move(...at(0.4, 0.4));
  await page.mouse.move(...at(0.6, 0.6), { steps: 9 });
  assert.equal(await fact(page, 'drawMs'), -1, 'pointing draws no point anew');
  await page.mouse.move(...at(0.02, 0.02));
  let last = await shown();
  const isChanged = async () => {
    const now = await shown();
    const is = now !== last;
    last = now;
    return is;
  };
  await page.mouse.wheel(0, -200);
  assert.ok(!(await isChanged()), 'the wheel is the page\u2019s');
  await page.locator('#canvas').focus();
  await page.keyboard.press('Shift+ArrowRight');
  assert.ok(await isChanged(), 'Shift and an arrow move the map');
  await page.keyboard.press('-');
  assert.ok(await isChanged());
  await page.keyboard.press('+');
  await isChanged();
  await page.mouse.move(...at(0.5, 0.5));
  await page.mouse.down({ button: 'middle' });
  await page.mouse.move(...at(0.4, 0.4), { steps: 3 });
  await page.mouse.up({ button: 'middle' });
  assert.ok(await isChanged(), 'and so does the middle button');
  await page.context().close();
}

async function hostile(folder) {
  const page = await open(folder);
  const tabs = await tabsOf(page);
  assert.ok(tabs.length >= 5, `there are findings: ${tabs}`);
  for (const tab of tabs) {
    await turnTo(page, tab);
    for (let i = 0; i < 60; i += 1) await page.keyboard.press('j');
    if (tab === '#map') {
      const box = await page.locator('#canvas').boundingBox();
      for (let i = 0; i < 60; i += 1) await page.mouse.move(box.x + (box.width * i) / 60, box.y + (box.height * i) / 60);
    }
  }
  await turnTo(page, '#split-leak');
  await picture(page, 'hostile', true);
  const found = await page.evaluate(() => ({
    attacked: window.attacked,
    scripts: document.scripts.length,
    frames: document.querySelectorAll('iframe, object, embed').length,
    foreign: [...document.images].filter((it) => !it.src.startsWith('data:')).length,
    handlers: [...document.querySelectorAll('*')].filter((it) => [...it.attributes].some(({ name }) => name.startsWith('on'))).length,
    isVisible: document.body.offsetHeight > 0,
  }));
  assert.deepEqual(found, { scripts: 2, frames: 0, foreign: 0, handlers: 0, isVisible: true, attacked: undefined });
  await page.context().close();
}

async function large(folder) {
  const page = await open(folder);
  const ready = await fact(page, 'readyMs');
  const n = await page.evaluate(() => JSON.parse(document.getElementById('data').textContent).findings.length);
  const size = fs.statSync(path.join(folder, 'report.html')).size;
  await turnTo(page, '#map');
  await page.waitForFunction(() => document.documentElement.dataset.drawMs !== undefined);
  const [first, points] = [await fact(page, 'drawMs'), await fact(page, 'points')];
  await page.selectOption('#color-by', 'split');
  const again = await fact(page, 'drawMs');
  console.log(`opened in ${ready} ms with ${n} findings in ${(size / 1e6).toFixed(1)} MB; ${points} points drawn in ${first} ms, again in ${again} ms`);
  await picture(page, 'large-map');
  assert.ok(n >= 4_000 && ready < 1_000, `${n} findings in ${ready} ms`);
  assert.ok(points >= 99_000 && Math.max(first, again) < 100, `${points} points in ${first} and ${again} ms`);
  assert.ok(size <= 25_000_000);
  await page.context().close();
}

/** Sixty thousand of one text leave room for all other findings, and are no list of decisions. */
async function group(folder) {
  assert.ok(fs.statSync(path.join(folder, 'report.html')).size <= 1_000_000);
  const page = await open(folder, '#exact-duplicate');
  assert.match(await text(page, '#range'), /of 301 findings/);
  await page.locator('#of-text').fill('60000 samples');
  assert.match(await text(page, '#detail'), /59,999 samples are too many to decide about on a page/);
  assert.equal(await page.locator('#detail button', { hasText: 'Accept' }).count(), 0);
  await page.context().close();
}

/** Where the browser has no room, that is said until the decisions are exported. */
async function quota(folder) {
  const context = await browser.newContext({ ...DESKTOP, acceptDownloads: true });
  await context.addInitScript(() => {
    Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
  });
  const page = await openIn(context, folder, '#near-duplicate');
  assert.ok(!(await page.locator('#unkept').isVisible()));
  await page.keyboard.press('d');
  await page.keyboard.press('j');
  assert.match(await text(page, '#unkept'), /does not keep them/);
  await picture(page, 'unkept');
  const asked = page.waitForEvent('dialog');
  await page.reload();
  assert.equal((await asked).type(), 'beforeunload');
  await context.close();

  // For thirty thousand there is room.
  const roomy = await open(folder);
  const { hash } = JSON.parse(fs.readFileSync(path.join(folder, 'audit.json'), 'utf8')).dataset;
  const line = (i) => JSON.stringify({ key: `sample-${i}`, identity: 'a'.repeat(64), action: 'relabel', label: 'animal', split: null, reason: 'label-error: accepted in the report', reviewer: 'Ada', finding: 'b'.repeat(32) });
  const file = path.join(work, 'many.jsonl');
  fs.writeFileSync(file, `${[JSON.stringify({ schema: 'tamis-decisions/1', dataset_hash: hash }), ...Array.from({ length: 30_000 }, (_, i) => line(i))].join('\n')}\n`);
  await roomy.locator('#import').setInputFiles(file);
  await roomy.waitForFunction(() => document.getElementById('decided').textContent === 'relabel 30,000');
  assert.ok(!(await roomy.locator('#unkept').isVisible()));
  await roomy.reload();
  assert.equal(await text(roomy, '#decided'), 'relabel 30,000');
  await roomy.context().close();
}

/** Two tabs about the same data know of each other. */
async function tabs(folder) {
  const context = await browser.newContext(DESKTOP);
  const [one, two] = [await openIn(context, folder, '#near-duplicate'), await openIn(context, folder, '#label-error')];
  await one.keyboard.press('d');
  await two.waitForFunction(() => document.getElementById('decided').textContent === 'drop 1');
  await two.keyboard.press('k');
  await one.waitForFunction(() => document.getElementById('decided').textContent === 'keep 1, drop 1');
  await one.reload();
  assert.equal(await text(one, '#decided'), 'keep 1, drop 1', 'and neither has written over the other');
  await context.close();
}

/** A file that comes with the page is shown whatever the browser kept, and is no step to take back. */
async function givenDecisions(folder, given) {
  const context = await browser.newContext(DESKTOP);
  const before = await openIn(context, folder, '#near-duplicate');
  await before.keyboard.press('k');
  assert.equal(await text(before, '#decided'), 'keep 1');
  const page = await openIn(context, given, '#near-duplicate');
  assert.match(await text(page, '#said'), /decisions came with this page: they replace 1 of the 1 that this browser kept/);
  const shown = await text(page, '#decided');
  assert.match(shown, /^drop \d+/);
  await page.keyboard.press('u');
  assert.match(await text(page, '#said'), /nothing to take back/);
  assert.equal(await text(page, '#decided'), shown);
  await page.keyboard.press('k');
  const changed = await text(page, '#decided');
  assert.match(changed, /^keep 1, drop/);
  await page.reload();
  assert.equal(await text(page, '#decided'), changed, 'what was decided since stays');
  await context.close();
}

/** Where the work was left it goes on: after the map, after a decision by a button, and at an address that is none. */
async function places(folder) {
  const page = await open(folder, '#near-duplicate');
  for (let i = 0; i < 2; i += 1) await page.keyboard.press('j');
  const place = () => page.locator('#list .current').getAttribute('data-place');
  assert.equal(await place(), '2');
  await turnTo(page, '#map');
  await turnTo(page, '#near-duplicate');
  assert.equal(await place(), '2');
  await page.locator('#detail [data-name="k"]').focus();
  await page.keyboard.press('Enter');
  assert.equal(await place(), '3');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), 'k', 'the next one can be kept the same way');
  const decided = await page.locator('.row.decided').first().evaluate((it) => getComputedStyle(it).opacity);
  assert.equal(decided, '1');
  assert.ok(await page.locator('.row .dot .sr').count() > 0, 'severities are words');
  await page.context().close();
  const odd = await open(folder, '#%');
  assert.ok(await odd.locator('#view-overview').isVisible());
  await odd.context().close();
  const phone = await open(folder, '#near-duplicate', PHONE);
  await phone.locator('.row').nth(2).tap();
  const top = async () => (await phone.locator('#detail').boundingBox()).y;
  await phone.waitForFunction(() => document.getElementById('detail').getBoundingClientRect().top < 100);
  assert.ok((await top()) > -5);
  await picture(phone, 'phone-finding');
  await turnTo(phone, '#map');
  const touch = () => phone.locator('#canvas').evaluate((it) => getComputedStyle(it).touchAction);
  assert.equal(await touch(), 'pan-x pan-y', 'the page scrolls');
  await phone.locator('#select').tap();
  assert.equal(await touch(), 'none');
  await phone.context().close();
}

/** What is said of false findings, on a page whose check is given a curve. */
async function bounds(folder, changed) {
  const html = fs.readFileSync(path.join(folder, 'report.html'), 'utf8');
  const start = html.indexOf('id="data">') + 'id="data">'.length;
  const end = html.indexOf('</script>', start);
  const data = JSON.parse(html.slice(start, end));
  const check = data.checks.findIndex((it) => it.id === 'split-leak');
  data.checks[check].curve = [[0.8, 5, 1], [0.9, 2, 0]];
  const own = data.findings.filter((it) => it.check === check);
  own[own.length - 1].evidence = [['rung', 'semantic']];
  const equal = data.checks.findIndex((it) => it.id === 'exact-duplicate');
  data.findings.filter((it) => it.check === equal).forEach((it) => Object.assign(it, { score: 1 }));
  fs.mkdirSync(changed, { recursive: true });
  fs.writeFileSync(path.join(changed, 'report.html'), html.slice(0, start) + JSON.stringify(data).replace(/</g, '\\u003c') + html.slice(end));
  const page = await open(changed, '#split-leak');
  assert.match(await text(page, '#bound'), /known so low: the first is at a score of 0.8.* a cosine\.$/);
  await page.locator('#of-score').fill('250');
  assert.match(await text(page, '#bound'), /^2 tested samples at or above this score, at most 0 of them false/);
  await page.locator('#of-score').fill('500');
  assert.match(await text(page, '#bound'), /^No tested sample scores so high/);
  await turnTo(page, '#exact-duplicate');
  assert.ok(!(await page.locator('#slider').isVisible()), 'all scores are equal');
  assert.match(await text(page, '#bound'), /^No threshold decided here/);
  await page.context().close();
}

/** Words, and single characters of what is written without spaces. */
function wordsOfScripts() {
  const source = fs.readFileSync(path.join(__dirname, '../../crates/tamis-report/src/templates/report/diff.js'), 'utf8');
  const pieces = new Function(`${source}; return pieces;`)();
  assert.deepEqual(pieces('学生です cafe\u0301 हिन्दी'), ['学', '生', 'で', 'す', ' ', 'cafe\u0301', ' ', 'हिन्दी']);
  assert.deepEqual(pieces('one, 2_x'), ['one', ',', ' ', '2_x']);
}

async function redacted(folder, whole) {
  const html = fs.readFileSync(path.join(folder, 'report.html'), 'utf8');
  const page_ = await open(whole);
  const texts = await page_.evaluate(() => JSON.parse(document.getElementById('data').textContent).texts);
  await page_.context().close();
  assert.ok(texts.length > 50 && texts.every((it) => !html.includes(JSON.stringify(it.slice(0, 60)).slice(1, -1))), 'no text is there');

  const page = await open(folder, '#near-duplicate');
  assert.equal(await page.locator('#detail .text').count(), 0, 'no text is shown');
  await page.keyboard.press('d');
  assert.equal(await text(page, '#decided'), 'drop 1', 'and still it can be decided');
  await page.context().close();
}

/** Every part of a page on a phone and in the dark; nothing is wider than the screen. */
async function looks(folder, name) {
  const first = await open(folder, '', PHONE);
  const tabs = await tabsOf(first);
  for (const tab of tabs) {
    await turnTo(first, tab);
    const width = await first.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${name}${tab} is ${width} pixels wide on a phone`);
    const below = await first.evaluate(() => document.documentElement.scrollHeight - document.querySelector('footer').getBoundingClientRect().bottom - scrollY);
    assert.ok(Math.abs(below) < 2, `${name}${tab} has ${below} empty pixels below it`);
    await picture(first, `${name}-phone-${tab.slice(1)}`, true);
  }
  await first.context().close();
  for (const colorScheme of ['light', 'dark']) {
    const page = await open(folder, '', { ...DESKTOP, colorScheme });
    for (const tab of tabs) {
      await turnTo(page, tab);
      await picture(page, `${name}-${colorScheme}-${tab.slice(1)}`);
    }
    await page.context().close();
  }
}

async function main() {
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const of = (name) => path.join(work, name);
  const steps = [
    ['answers', () => answers(of('definitions'))],
    ['filters', () => filters(of('definitions'))],
    ['decisions', () => decisions(of('definitions'))],
    ['map', () => map(of('definitions'))],
    ['hostile data', () => hostile(of('hostile'))],
    ['large data', () => large(of('large'))],
    ['redacted', () => redacted(of('redacted'), of('definitions'))],
    ['one large group', () => group(of('group'))],
    ['no room in the browser', () => quota(of('definitions'))],
    ['two tabs', () => tabs(of('definitions'))],
    ['decisions that are given', () => givenDecisions(of('definitions'), of('given'))],
    ['places', () => places(of('definitions'))],
    ['bounds', () => bounds(of('definitions'), of('bounds'))],
    ['words', wordsOfScripts],
    ['looks', () => looks(of('definitions'), 'definitions')],
    ...others.map((folder) => [folder, () => looks(folder, path.basename(folder))]),
  ];
  for (const [name, step] of steps) {
    await step();
    console.log(`ok: ${name}`);
  }
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
