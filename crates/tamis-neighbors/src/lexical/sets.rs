//! Sets of tokens that are numbered by how rare they are.

use rayon::prelude::*;

use crate::buckets::Buckets;

/// The sets of some texts.
///
/// A token is a number, the smaller the fewer texts have it. Tokens that one text alone has can match nothing and are only
/// counted. Memory: 4 bytes for each token of a text that another text has, too, and 24 while the sets are made.
#[derive(Clone, Debug, Default)]
pub struct TokenSets {
    /// Tokens that two texts have at least, by text, ascending.
    tokens: Buckets<u32>,
    /// Sizes of the whole sets.
    sizes: Vec<u32>,
    /// Number of different tokens in `tokens`.
    n_tokens: usize,
}

impl TokenSets {
    /// Numbers the tokens of texts, which are given by hashes without repetition.
    ///
    /// # Panics
    /// When a text has 2^32 tokens, there are as many texts, or as many different tokens that two texts have.
    #[must_use]
    pub fn new(texts: &[Vec<u64>]) -> Self {
        let sizes: Vec<u32> = texts.iter().map(|hashes| small(hashes.len())).collect();
        let mut occurrences: Vec<(u64, u32)> = Vec::with_capacity(texts.iter().map(Vec::len).sum());
        for (text, hashes) in texts.iter().enumerate() {
            occurrences.extend(hashes.iter().map(|hash| (*hash, small(text))));
        }
        occurrences.par_sort_unstable();
        // Runs of one hash, those of one text left out; ordered by length, then by hash.
        let mut runs: Vec<&[(u64, u32)]> =
            occurrences.chunk_by(|a, b| a.0 == b.0).filter(|run| 1 < run.len()).collect();
        runs.sort_by_key(|run| run.len());
        // Tokens are handed out in ascending order, so each text's come ascending.
        let given =
            || runs.iter().enumerate().flat_map(|(token, run)| run.iter().map(move |it| (it.1 as usize, small(token))));
        Self { tokens: Buckets::new(texts.len(), given), sizes, n_tokens: runs.len() }
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Number of tokens of a text.
    #[must_use]
    pub fn size(&self, text: usize) -> usize {
        self.sizes[text] as usize
    }

    /// The tokens of a text that other texts have, too, the rarest first.
    pub(super) fn shared(&self, text: usize) -> &[u32] {
        self.tokens.of(text)
    }

    /// Number of different tokens that two texts have at least.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_tokens
    }
}

pub(super) fn small(n: usize) -> u32 {
    u32::try_from(n).expect("because there are fewer than 2^32 texts and tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_tokens_come_first_and_single_ones_are_counted_only() {
        let sets = TokenSets::new(&[vec![1, 5, 9], vec![5, 9], vec![9, 100], vec![]]);
        assert_eq!((sets.len(), sets.n_tokens()), (4, 2));
        assert_eq!((0..4).map(|text| sets.size(text)).collect::<Vec<_>>(), [3, 2, 2, 0]);
        assert_eq!((0..4).map(|text| sets.shared(text)).collect::<Vec<_>>(), [&[0, 1][..], &[0, 1], &[1], &[]]);
    }
}
