// ---- The page: its data, and elements made without markup -------------------------------------------------------------

/** All that the page knows. Texts of it are never parsed as HTML: they become text nodes. */
const data = JSON.parse(document.getElementById('data').textContent);

/** The element with an id of the template. */
const byId = (id) => document.getElementById(id);

/**
 * Makes an element. `properties` are attributes, but for `text` (its text), `on` (listeners) and values that are null or
 * false, which are left out.
 */
function element(name, properties = {}, children = []) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === 'text') node.textContent = value;
    else if (key === 'on') for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A shape of a picture. */
function shape(name, attributes, children = []) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** Characters that are not seen, or that reverse what follows. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** A name of the data as it may be shown. */
const visible = (text) => text.replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

/** `1 sample`, `12,345 samples`. */
function counted(n, noun) {
  return `${n.toLocaleString('en-US')} ${noun}${n === 1 ? '' : 's'}`;
}

/** A number with at most four decimals. */
const short = (value) => String(Math.round(value * 1e4) / 1e4);

/** A text that is set off from what runs in the other direction. */
const bdi = (text) => element('bdi', { text });

const labelName = (label) => (label === null || label === undefined ? 'no label' : visible(data.labels[label]));
const splitName = (split) => visible(data.splits[split]);

/** Says something to whoever looks or listens. */
function say(text) {
  byId('said').textContent = text;
}

