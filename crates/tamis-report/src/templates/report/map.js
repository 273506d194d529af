// ---- The map: points of all samples, drawn pixel by pixel --------------------------------------------------------------

/** Numbers of a base64 text, in the order of bytes that the page was written in (little-endian). */
function numbers(base64, Type) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const out = new Type(bytes.length / Type.BYTES_PER_ELEMENT);
  const read = { 2: 'getUint16', 4: 'getUint32' }[Type.BYTES_PER_ELEMENT];
  for (let i = 0; i < out.length; i += 1) out[i] = view[read](i * Type.BYTES_PER_ELEMENT, true);
  return out;
}

/** What is drawn; made when the map is first opened. */
let points = null;
/** Part of the map that is seen: its corner and its side, where 65536 is all of it. */
const seen = { x: 0, y: 0, side: 65_536 };
/** Corners of the lasso, in pixels of the page; the place that is pointed at. */
const lasso = [];
const pointer = { x: 0, y: 0, place: -1 };

const SIDE = 65_536;
/** Cells of the grid in each direction, by which a point is found. */
const CELLS = 128;
const NO_LABEL = 65_535;
/** Colors that are told apart also by those who see no red or green (Okabe and Ito, 2008), then hues. */
const COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#b8a800', '#8a63d2'];

function color(i) {
  if (i < COLORS.length) return COLORS[i];
  const [hue, light] = [(i * 137.508) % 360, 42 + 14 * (i % 3)];
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const value = light / 100 - 0.6 * Math.min(light / 100, 1 - light / 100) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, '0');
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}

function loadPoints() {
  if (points !== null || data.map === null) return;
  const { map } = data;
  const xy = numbers(map.xy, Uint16Array);
  points = {
    n: xy.length / 2,
    xy,
    ids: numbers(map.ids, Uint32Array),
    split: numbers(map.split, Uint16Array),
    label: numbers(map.label, Uint16Array),
    checks: numbers(map.checks, Uint32Array),
    grid: null,
    sampleOf: new Map(data.samples.map((sample, place) => [sample.id, place])),
  };
  points.grid = grid(points);
}

/** The points of each cell, one cell after the other, and where each cell begins. */
function grid({ n, xy }) {
  const cell = (i) => (xy[2 * i + 1] >> 9) * CELLS + (xy[2 * i] >> 9);
  const starts = new Uint32Array(CELLS * CELLS + 1);
  for (let i = 0; i < n; i += 1) starts[cell(i) + 1] += 1;
  for (let c = 0; c < CELLS * CELLS; c += 1) starts[c + 1] += starts[c];
  const next = starts.slice();
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i += 1) {
    order[next[cell(i)]] = i;
    next[cell(i)] += 1;
  }
  return { starts, order };
}

/** Groups to color by: the group of each point (-1 for none), with names and colors. */
function grouping() {
  const by = byId('color-by').value;
  const gray = '#9a9891';
  if (by === 'split') {
    return { of: (i) => points.split[i], names: data.splits.map((_, i) => splitName(i)), colors: data.splits.map((_, i) => color(i)), gray };
  }
  if (by === 'check') {
    const checks = data.checks.map((it, i) => ({ ...it, i })).filter((it) => ofCheck[it.i].length > 0 && it.i < 32);
    const bit = checks.map((it) => 2 ** it.i);
    return { of: (i) => bit.findIndex((it) => (points.checks[i] & it) !== 0), names: checks.map((it) => it.id), colors: checks.map((_, i) => color(i)), gray };
  }
  return { of: (i) => (points.label[i] === NO_LABEL ? -1 : points.label[i]), names: data.labels.map((_, i) => labelName(i)), colors: data.labels.map((_, i) => color(i)), gray };
}

/** Red, green and blue of `#rrggbb`. */
const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

/** A pixel as the 32 bits that canvases keep on little-endian machines. */
function pixel(text, alpha) {
  const [r, g, b] = parts(text);
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** The points as they are drawn; what is pointed at and the lasso are drawn over it. */
let drawn = null;

/** Draws all points; says how long it took. */
function drawMap() {
  const canvas = byId('canvas');
  if (points === null || canvas.clientWidth === 0) return;
  const started = performance.now();
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const groups = grouping();
  const groupOf = new Int32Array(points.n);
  for (let i = 0; i < points.n; i += 1) groupOf[i] = groups.of(i);
  drawn = new ImageData(width, height);
  drawPoints(drawn, scale, groups, groupOf);
  drawOver();
  document.documentElement.dataset.drawMs = (performance.now() - started).toFixed(1);
  document.documentElement.dataset.points = points.n;
  legend(groups, groupOf);
}

function drawPoints({ data: bytes, width, height }, scale, groups, groupOf) {
  const pixels = new Uint32Array(bytes.buffer);
  const faint = pixel(groups.gray, 70);
  const none = pixel(groups.gray, byId('color-by').value === 'check' ? 110 : 200);
  const colors = Uint32Array.from(groups.colors, (it) => pixel(it, 255));
  const size = Math.max(1, Math.round(scale * (points.n > 60_000 ? 1.4 : points.n > 8_000 ? 2 : points.n > 1_000 ? 4 : 6)));
  const view = viewport(width, height);
  // What is in no group or not selected lies below the rest.
  for (const layer of [0, 1]) {
    for (let i = 0; i < points.n; i += 1) {
      const isOut = state.selected !== null && !state.selected.has(points.ids[i]);
      const group = groupOf[i];
      if ((isOut || group < 0 ? 0 : 1) !== layer) continue;
      const x = Math.round((points.xy[2 * i] - seen.x) * view.scale + view.x - size / 2);
      const y = Math.round((points.xy[2 * i + 1] - seen.y) * view.scale + view.y - size / 2);
      if (x < 0 || y < 0 || x + size > width || y + size > height) continue;
      const value = isOut ? faint : group < 0 ? none : colors[group];
      for (let row = y; row < y + size; row += 1) {
        // Larger points are round.
        const cut = size > 3 && (row === y || row === y + size - 1) ? 1 : 0;
        pixels.fill(value, row * width + x + cut, row * width + x + size - cut);
      }
    }
  }
}

/** Draws what changes while the pointer moves: the points stay as they are. */
function drawOver() {
  const canvas = byId('canvas');
  if (drawn === null) return;
  const context = canvas.getContext('2d');
  context.putImageData(drawn, 0, 0);
  drawLasso(context, window.devicePixelRatio || 1);
}

/** Where the part that is seen lies on the canvas, with a margin, in pixels of the canvas. */
function viewport(width, height) {
  const margin = 0.03 * Math.min(width, height);
  const scale = (Math.min(width, height) - 2 * margin) / seen.side;
  return { scale, x: (width - seen.side * scale) / 2, y: (height - seen.side * scale) / 2 };
}

/** A place of the page on the map. */
function toMap(x, y) {
  const canvas = byId('canvas');
  const view = viewport(canvas.clientWidth, canvas.clientHeight);
  return [(x - view.x) / view.scale + seen.x, (y - view.y) / view.scale + seen.y, view.scale];
}

function drawLasso(context, scale) {
  const line = getComputedStyle(document.documentElement).getPropertyValue('--text');
  context.strokeStyle = line;
  context.lineWidth = 1.5 * scale;
  if (lasso.length > 1) {
    context.beginPath();
    lasso.forEach(([x, y], i) => (i === 0 ? context.moveTo(x * scale, y * scale) : context.lineTo(x * scale, y * scale)));
    context.closePath();
    context.stroke();
  }
  if (pointer.place !== -1) {
    const canvas = byId('canvas');
    const view = viewport(canvas.clientWidth, canvas.clientHeight);
    const x = (points.xy[2 * pointer.place] - seen.x) * view.scale + view.x;
    const y = (points.xy[2 * pointer.place + 1] - seen.y) * view.scale + view.y;
    context.beginPath();
    context.arc(x * scale, y * scale, 7 * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}

function legend(groups, groupOf) {
  const counts = new Map();
  for (let i = 0; i < groupOf.length; i += 1) counts.set(groupOf[i], (counts.get(groupOf[i]) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 24);
  const items = most.map(([group, n]) => {
    const swatch = shape('svg', { viewBox: '0 0 10 10', class: 'swatch', 'aria-hidden': 'true' }, [
      shape('circle', { cx: 5, cy: 5, r: 5, fill: group < 0 ? groups.gray : groups.colors[group] })]);
    const name = group < 0 ? (byId('color-by').value === 'check' ? 'no finding' : 'none') : groups.names[group];
    return element('li', {}, [swatch, bdi(name), element('span', { class: 'muted', text: n.toLocaleString('en-US') })]);
  });
  if (counts.size > most.length) items.push(element('li', { class: 'muted', text: `and ${counts.size - most.length} more` }));
  byId('legend').replaceChildren(...items);
}

/** The point nearest to a place of the page, within some pixels; -1 where there is none. */
function nearest(x, y) {
  const [mx, my, scale] = toMap(x, y);
  const reach = 12 / scale;
  let [best, least] = [-1, reach * reach];
  const cellOf = (value) => Math.min(Math.max(Math.floor(value / 512), 0), CELLS - 1);
  for (let cy = cellOf(my - reach); cy <= cellOf(my + reach); cy += 1) {
    const from = points.grid.starts[cy * CELLS + cellOf(mx - reach)];
    const to = points.grid.starts[cy * CELLS + cellOf(mx + reach) + 1];
    for (let k = from; k < to; k += 1) {
      const i = points.grid.order[k];
      const distance = (points.xy[2 * i] - mx) ** 2 + (points.xy[2 * i + 1] - my) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
  }
  return best;
}

/** Shows the sample that is pointed at. */
function pointAt(x, y) {
  Object.assign(pointer, { x, y });
  const place = nearest(x, y);
  if (place === pointer.place) return;
  pointer.place = place;
  drawOver();
  byId('pointed').replaceChildren(...(place === -1 ? [element('p', { class: 'muted', text: 'Point at the map: the sample is shown here.' })] : sampleAt(place)));
}

function sampleAt(place) {
  const found = points.sampleOf.get(points.ids[place]);
  const sample = found === undefined ? null : data.samples[found];
  const content = data.map.contents[place] ?? '';
  const label = points.label[place] === NO_LABEL ? null : points.label[place];
  const nodes = [
    element('p', {}, [element('strong', {}, [bdi(visible(data.map.keys[place]))])]),
    element('p', { class: 'tags' }, [
      element('span', { class: 'tag' }, [bdi(splitName(points.split[place]))]),
      label === null ? null : element('span', { class: 'tag' }, [bdi(labelName(label))]),
    ]),
  ];
  const src = sample?.picture === undefined ? content : data.pictures[sample.picture];
  if (data.modality === 'image') {
    if (src) nodes.push(element('img', { src, alt: visible(data.map.keys[place]), class: 'pointed' }));
    else if (!data.redacted) nodes.push(element('p', { class: 'muted', text: 'Its picture did not fit into this page.' }));
  } else if (content) nodes.push(element('p', {}, [bdi(content)]));
  const checks = data.checks.filter((_, i) => i < 32 && (points.checks[place] & 2 ** i) !== 0);
  nodes.push(element('p', { class: 'muted', text: checks.length ? `Findings: ${checks.map((it) => it.id).join(', ')}` : 'No finding.' }));
  return nodes;
}

// Selecting

/** Whether a place lies within a polygon: crossings of a ray (Shimrat, CACM 5, 1962). */
function isWithin(x, y, corners) {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [corners[i], corners[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Selects what the lasso holds; a click selects the sample that is pointed at. */
function endLasso() {
  const corners = lasso.map(([x, y]) => toMap(x, y));
  const isClick = lasso.length < 3;
  lasso.length = 0;
  const chosen = new Set();
  if (isClick && pointer.place !== -1) chosen.add(points.ids[pointer.place]);
  for (let i = 0; !isClick && i < points.n; i += 1) {
    if (isWithin(points.xy[2 * i], points.xy[2 * i + 1], corners)) chosen.add(points.ids[i]);
  }
  select(chosen.size === 0 ? null : chosen);
}

function select(chosen) {
  state.selected = chosen;
  if (state.check !== -1) refilter();
  drawMap();
  const box = byId('selection');
  if (chosen === null) {
    box.replaceChildren(element('p', { class: 'muted', id: 'how', text: howToSelect() }));
    return;
  }
  const about = ofCheck.map((places) => places.filter((place) => samplesOf(data.findings[place]).some((it) => chosen.has(it.id))).length);
  const links = about.flatMap((n, check) => (n === 0 ? [] : [element('li', {}, [
    element('a', { href: `#${data.checks[check].id}`, text: `${data.checks[check].id}: ${counted(n, 'finding')}` })])]));
  box.replaceChildren(
    element('p', {}, [element('strong', { text: `${counted(chosen.size, 'sample')} selected` })]),
    links.length ? element('ul', {}, links) : element('p', { text: 'No finding is about them.' }),
    element('button', { type: 'button', text: 'Select nothing', on: { click: () => select(null) } }),
  );
}

// Moving

/** Makes the part that is seen `factor` times as large, around a place of the page. */
function zoom(factor, x, y) {
  const [mx, my] = toMap(x, y);
  const side = Math.min(Math.max(seen.side * factor, SIDE / 200), SIDE);
  const by = side / seen.side;
  seen.x = Math.min(Math.max(mx - (mx - seen.x) * by, 0), SIDE - side);
  seen.y = Math.min(Math.max(my - (my - seen.y) * by, 0), SIDE - side);
  seen.side = side;
  drawMap();
}

/** Moves the part that is seen by pixels of the page. */
function pan(dx, dy) {
  const [, , scale] = toMap(0, 0);
  seen.x = Math.min(Math.max(seen.x - dx / scale, 0), SIDE - seen.side);
  seen.y = Math.min(Math.max(seen.y - dy / scale, 0), SIDE - seen.side);
  drawMap();
}

/** Zooms around what is pointed at, else around the middle. */
function zoomHere(factor) {
  const canvas = byId('canvas');
  if (pointer.place === -1) zoom(factor, canvas.clientWidth / 2, canvas.clientHeight / 2);
  else zoom(factor, pointer.x, pointer.y);
  Object.assign(pointer, { place: -1 });
  pointAt(pointer.x, pointer.y);
}

const isSelecting = () => byId('select').getAttribute('aria-pressed') === 'true';

const howToSelect = () => (isSelecting()
  ? 'Draw around points to select them; two fingers or the middle button move the map.'
  : 'Press “Select” to draw around points; two fingers then move the map.');

/** Whether one pointer draws around points, or is left to the page and to moving the map. */
function setSelecting(is) {
  byId('select').setAttribute('aria-pressed', is ? 'true' : 'false');
  byId('canvas').classList.toggle('selecting', is);
  if (byId('how')) byId('how').textContent = howToSelect();
}

/** What fingers, pen and mouse do: one draws or moves the map, two move the map and zoom. */
function listenToPointers(canvas, place) {
  const down = new Map();
  let does = null;
  canvas.addEventListener('pointerdown', (event) => {
    const at = place(event);
    const isMiddle = event.button === 1;
    down.set(event.pointerId, at);
    does = down.size > 1 || isMiddle || (!isSelecting() && event.pointerType === 'mouse') ? 'pan' : isSelecting() ? 'draw' : 'tap';
    lasso.length = 0;
    if (does === 'draw') lasso.push(at);
    canvas.setPointerCapture(event.pointerId);
    pointAt(...at);
  });
  // Else the middle button scrolls the page by itself.
  canvas.addEventListener('mousedown', (event) => event.button === 1 && event.preventDefault());
  canvas.addEventListener('pointermove', (event) => {
    const [x, y] = place(event);
    const last = down.get(event.pointerId);
    if (last === undefined) pointAt(x, y);
    else if (does === 'pan') {
      const others = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      down.set(event.pointerId, [x, y]);
      pan((x - last[0]) / down.size, (y - last[1]) / down.size);
      for (const [ox, oy] of others.slice(0, 1)) {
        const [before, after] = [Math.hypot(last[0] - ox, last[1] - oy), Math.hypot(x - ox, y - oy)];
        if (before > 0 && after > 0) zoom(before / after, (x + ox) / 2, (y + oy) / 2);
      }
    } else if (does === 'draw') {
      const [lastX, lastY] = lasso[lasso.length - 1];
      if (Math.hypot(x - lastX, y - lastY) < 4) return;
      lasso.push([x, y]);
      drawOver();
    }
  });
  const end = (event) => {
    if (!down.delete(event.pointerId) || down.size > 0) return;
    // A page that is scrolled takes the finger away: that is no tap.
    if (event.type === 'pointerup' && (does === 'draw' || does === 'tap')) endLasso();
    else lasso.length = 0;
    does = null;
    drawOver();
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
}

function listenToMap() {
  const canvas = byId('canvas');
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  listenToPointers(canvas, place);
  canvas.addEventListener('wheel', (event) => {
    // Elsewhere the wheel scrolls the page: the map has it once it was clicked.
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, ...place(event));
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow && event.shiftKey) pan(-40 * arrow[0], -40 * arrow[1]);
    else if (arrow) pointAt(pointer.x + 10 * arrow[0], pointer.y + 10 * arrow[1]);
    else if (event.key === '+' || event.key === '-') zoomHere(event.key === '+' ? 0.5 : 2);
    else if (event.key === 'Enter') {
      lasso.length = 0;
      endLasso();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  byId('select').addEventListener('click', () => setSelecting(!isSelecting()));
  byId('zoom-in').addEventListener('click', () => zoomHere(0.5));
  byId('zoom-out').addEventListener('click', () => zoomHere(2));
  byId('color-by').addEventListener('change', drawMap);
  window.addEventListener('resize', drawMap);
  setSelecting(!window.matchMedia('(pointer: coarse)').matches);
}

function openMap() {
  loadPoints();
  const { n_all: all } = data.map;
  const said = points.n < all ? [`Of ${counted(all, 'sample')}, ${points.n.toLocaleString('en-US')} are drawn, chosen by lot.`] : [];
  if (data.map.n_bare > 0) said.push(`The contents of ${data.map.n_bare.toLocaleString('en-US')} of these did not fit into this page.`);
  byId('drawn').textContent = said.join(' ');
  if (pointer.x === 0) Object.assign(pointer, { x: byId('canvas').clientWidth / 2, y: byId('canvas').clientHeight / 2 });
  drawMap();
}

