// ---- Differences of two texts, word by word ---------------------------------------------------------------------------

/** Pieces of a text beyond which two texts are not compared: the table of all pairs of pieces stays under 9 MB. */
const MAX_PIECES = 2_000;
/** Share of the words in common below which marking differences would mark nearly everything. */
const MIN_COMMON = 0.3;

/** What is written without spaces between words: each character is a piece. */
const UNSPACED = '\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Thai}';
const PIECE = new RegExp(`\\s+|[${UNSPACED}]\\p{M}*|(?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}_])+|[^\\s\\p{L}\\p{M}\\p{N}_]`, 'gu');

/** Words, white space and single other characters. */
const pieces = (text) => text.match(PIECE) ?? [];

const isWord = (piece) => /[\p{L}\p{M}\p{N}_]/u.test(piece);

/**
 * Which words and signs of `a` are in the longest common subsequence with `b` (Wagner and Fischer, J. ACM 21, 1974); null where the
 * texts are too long, or too different for it to say something. White space does not count.
 */
function common(a, b) {
  const places = a.flatMap((piece, i) => (piece.trim() === '' ? [] : [i]));
  const others = b.filter((piece) => piece.trim() !== '').map((piece) => piece.toLowerCase());
  const n = places.length;
  const m = others.length;
  if (n === 0 || m === 0 || n > MAX_PIECES || m > MAX_PIECES) return null;
  const words = places.map((i) => a[i].toLowerCase());
  const table = new Uint16Array((n + 1) * (m + 1));
  for (let i = n - 1; i >= 0; i -= 1) {
    for (let j = m - 1; j >= 0; j -= 1) {
      const here = i * (m + 1) + j;
      const below = here + m + 1;
      table[here] = words[i] === others[j] ? table[below + 1] + 1 : Math.max(table[below], table[here + 1]);
    }
  }
  if (table[0] < MIN_COMMON * Math.min(n, m)) return null;
  const found = new Set();
  for (let i = 0, j = 0; i < n && j < m;) {
    const here = i * (m + 1) + j;
    if (words[i] === others[j]) {
      found.add(places[i]);
      i += 1;
      j += 1;
    } else if (table[here + m + 1] >= table[here + 1]) i += 1;
    else j += 1;
  }
  return found;
}

/** The pieces of a text from the first to the last of a run of words, whatever stands between them; null without it. */
function runOf(text, run) {
  const wanted = pieces(run).filter(isWord).map((word) => word.toLowerCase());
  const places = text.flatMap((piece, i) => (isWord(piece) ? [i] : []));
  if (wanted.length === 0) return null;
  for (let start = 0; start + wanted.length <= places.length; start += 1) {
    if (wanted.every((word, k) => text[places[start + k]].toLowerCase() === word)) {
      return [places[start], places[start + wanted.length - 1]];
    }
  }
  return null;
}

/**
 * A text in which what `other` has not is marked, and the run of words that both have: an array of nodes.
 */
function marked(text, other, run) {
  const own = pieces(text);
  const shared = other === null ? null : common(own, pieces(other));
  const span = run ? runOf(own, run) : null;
  const kindOf = (i) => {
    if (span !== null && span[0] <= i && i <= span[1]) return 'run';
    return shared !== null && own[i].trim() !== '' && !shared.has(i) ? 'differs' : '';
  };
  const nodes = [];
  for (let i = 0; i < own.length;) {
    const kind = kindOf(i);
    let end = i + 1;
    // White space between two marked words is marked with them.
    while (end < own.length && (kindOf(end) === kind || (kind === 'differs' && own[end].trim() === '' && kindOf(end + 1) === kind))) end += 1;
    const part = own.slice(i, end).join('');
    nodes.push(kind === '' ? document.createTextNode(part) : element('mark', { class: kind, text: part }));
    i = end;
  }
  return nodes;
}

