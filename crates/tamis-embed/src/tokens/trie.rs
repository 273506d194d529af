//! Sets of words in one double-array trie.
//!
//! A child stands at `base of its parent + byte` and names its parent, so that a step is one addition, one load and one
//! comparison (Aoe 1989, "An Efficient Digital Search Algorithm by Using a Double-Array Structure", IEEE Transactions
//! on Software Engineering 15:9).

/// The parent of a place where no node stands.
const FREE: u32 = u32::MAX;

/// The parent of a root.
const NOBODY: u32 = u32::MAX - 1;

/// No word ends here; so no word may have this id.
const NO_WORD: u32 = u32::MAX;

/// Children of one node stand within as many places.
const SPREAD: usize = 256;

/// How many places at the end of the array are tried for several children at once; single children fill the holes that
/// stay. Chosen so that a build of 30,522 words takes milliseconds; more places made the array hardly shorter.
const LOOK_BACK: usize = 1024;

/// Several sets of byte strings, each string with an id; a set is named by its index.
#[derive(Debug)]
pub(super) struct Trie {
    /// The roots of the sets, everything below them, and `SPREAD` free places, so that no lookup leaves the array.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    base: u32,
    parent: u32,
    id: u32,
}

/// Words of a set, sorted, that begin alike.
type Words<'a> = [(&'a [u8], u32)];

impl Trie {
    /// Lays out `sets`, whose strings are distinct; empty ones are left out. `None` if an id is `u32::MAX` or the array
    /// outgrows `u32`.
    pub(super) fn new<const N: usize>(sets: [Vec<(&[u8], u32)>; N]) -> Option<Self> {
        let mut builder = Builder { nodes: Vec::new(), first_free: N + SPREAD };
        builder.grow(N + SPREAD);
        for (root, mut words) in sets.into_iter().enumerate() {
            words.retain(|(word, _)| !word.is_empty());
            words.sort_unstable();
            if words.iter().any(|&(_, id)| id == NO_WORD) {
                return None;
            }
            builder.nodes[root].parent = NOBODY;
            builder.lay_out(root, &words)?;
        }
        Some(Self { nodes: builder.nodes })
    }

    /// Finds the longest word of `set` that `text` begins with: its length in bytes and its id. Each byte of the text
    /// is looked up in `fold` first. O(length of the longest word).
    #[inline]
    pub(super) fn longest(&self, set: u32, text: &[u8], fold: &[u8; 256]) -> Option<(usize, u32)> {
        let mut longest = None;
        let mut parent = set;
        let mut base = self.nodes[set as usize].base;
        for (index, &byte) in text.iter().enumerate() {
            let child = base + u32::from(fold[usize::from(byte)]);
            let node = self.nodes[child as usize];
            if node.parent != parent {
                break;
            }
            if node.id != NO_WORD {
                longest = Some((index + 1, node.id));
            }
            parent = child;
            base = node.base;
        }
        longest
    }
}

/// A trie under construction.
struct Builder {
    nodes: Vec<Node>,
    /// No place before this one is free, but for the first ones: a base of 0 or more does not bring every label there.
    first_free: usize,
}

impl Builder {
    /// Makes room for places below `n` and for the children of the nodes there.
    fn grow(&mut self, n: usize) {
        if self.nodes.len() < n + SPREAD {
            self.nodes.resize(n + SPREAD, Node { base: 0, parent: FREE, id: NO_WORD });
        }
    }

    /// Places everything below `root`, one level after the other.
    fn lay_out(&mut self, root: usize, words: &Words<'_>) -> Option<()> {
        let mut level = vec![(root, words)];
        let mut depth = 0;
        while !level.is_empty() {
            let mut below = Vec::new();
            for (place, mut words) in level {
                if let Some((&(word, id), longer)) = words.split_first()
                    && word.len() == depth
                {
                    self.nodes[place].id = id;
                    words = longer;
                }
                let children: Vec<_> = words.chunk_by(|(a, _), (b, _)| a[depth] == b[depth]).collect();
                let labels: Vec<usize> = children.iter().map(|child| usize::from(child[0].0[depth])).collect();
                let base = self.place(place, &labels)?;
                below.extend(labels.iter().zip(children).map(|(label, child)| (base + label, child)));
            }
            level = below;
            depth += 1;
        }
        Some(())
    }

    /// Reserves places for the children of `parent` and returns their base.
    fn place(&mut self, parent: usize, labels: &[usize]) -> Option<usize> {
        let &[first, ref others @ ..] = labels else {
            return Some(0);
        };
        while self.nodes[self.first_free].parent != FREE {
            self.first_free += 1;
            self.grow(self.first_free);
        }
        let start = if others.is_empty() { 0 } else { self.nodes.len().saturating_sub(SPREAD + LOOK_BACK) };
        let mut base = start.max(self.first_free) - first;
        while labels.iter().any(|label| self.nodes[base + label].parent != FREE) {
            base += 1;
            self.grow(base);
        }
        self.grow(base + SPREAD);
        self.nodes[parent].base = u32::try_from(base).ok()?;
        for label in labels {
            self.nodes[base + label].parent = u32::try_from(parent).ok()?;
        }
        Some(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> [u8; 256] {
        std::array::from_fn(|byte| u8::try_from(byte).unwrap())
    }

    #[test]
    fn the_longest_word_wins_and_sets_stay_apart() {
        let first = vec![(b"a".as_slice(), 7), (b"abc".as_slice(), 0), (b"".as_slice(), 9)];
        let trie = Trie::new([first, vec![(b"ab".as_slice(), 5)]]).unwrap();
        assert_eq!(trie.longest(0, b"abcd", &identity()), Some((3, 0)));
        assert_eq!(trie.longest(0, b"abd", &identity()), Some((1, 7)));
        assert_eq!(trie.longest(1, b"abc", &identity()), Some((2, 5)));
        assert_eq!(trie.longest(1, b"a", &identity()), None);
        assert_eq!(trie.longest(0, b"", &identity()), None);
    }

    #[test]
    fn bytes_are_folded_before_they_are_looked_up() {
        let trie = Trie::new([vec![(b"ab".as_slice(), 1)]]).unwrap();
        let fold = identity().map(|byte| byte.to_ascii_lowercase());
        assert_eq!(trie.longest(0, b"AB", &identity()), None);
        assert_eq!(trie.longest(0, b"AB", &fold), Some((2, 1)));
    }

    #[test]
    fn the_id_that_means_no_word_is_refused() {
        assert!(Trie::new([vec![(b"a".as_slice(), u32::MAX)]]).is_none());
    }

    proptest! {
        #[test]
        fn lookups_are_those_of_a_list(
            words in prop::collection::btree_set(prop::collection::vec(prop_oneof![0..3_u8, 253..=255_u8], 1..6), 0..300),
            texts in prop::collection::vec(prop::collection::vec(prop_oneof![0..3_u8, 253..=255_u8], 0..8), 20),
        ) {
            let ids = |words: &[&[u8]]| -> Vec<u32> { (0..u32::try_from(words.len()).unwrap()).collect() };
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let list: Vec<(&[u8], u32)> = words.iter().copied().zip(ids(&words)).collect();
            let trie = Trie::new([Vec::new(), list.clone()]).unwrap();
            for text in &texts {
                let expected = list.iter().filter(|(word, _)| text.starts_with(word)).max_by_key(|(word, _)| word.len());
                prop_assert_eq!(trie.longest(1, text, &identity()), expected.map(|(word, id)| (word.len(), *id)));
                prop_assert_eq!(trie.longest(0, text, &identity()), None);
            }
        }
    }
}
