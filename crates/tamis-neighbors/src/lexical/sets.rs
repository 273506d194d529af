//! Sets of tokens that are numbered by how rare they are.

use rayon::prelude::*;

use super::shingle::of_numbers;
use crate::buckets::Buckets;
use crate::equal::Equals;
use crate::join::index;

/// The sets of some texts, or of parts of texts.
///
/// A token is a number, the smaller the fewer sets have it. Tokens that can match nothing are only counted, and of equal
/// sets the tokens are kept once. Memory: 4 bytes for each token that is kept, 16 for each set, and 24 for each token while
/// the sets are made.
#[derive(Clone, Debug, Default)]
pub struct TokenSets {
    /// Tokens that can match, by set, ascending; none for sets with an equal before them.
    tokens: Buckets<u32>,
    /// Sizes of the whole sets.
    sizes: Vec<u32>,
    /// The first set that is equal to each.
    firsts: Vec<u32>,
    /// Number of different tokens in `tokens`.
    n_tokens: usize,
}

/// Marks a set that several owners have.
const SEVERAL: u32 = u32::MAX;

impl TokenSets {
    /// Numbers the tokens of sets that are all compared with each other; they are given by hashes without repetition, in one
    /// order.
    ///
    /// # Panics
    /// When a set has 2^32 tokens, there are as many sets, or as many different tokens that two sets have.
    #[must_use]
    pub fn new(sets: &[Vec<u64>]) -> Self {
        Self::of_owners(sets, index)
    }

    /// The same for sets of which only those with different owners are compared: tokens that one owner alone has can match
    /// nothing. The owner of a set is a number below 2^32 - 1.
    ///
    /// # Panics
    /// As [`TokenSets::new`].
    #[must_use]
    pub fn of_owners(sets: &[Vec<u64>], owner: impl Fn(usize) -> u32) -> Self {
        let sizes: Vec<u32> = sets.iter().map(|hashes| index(hashes.len())).collect();
        let keys = sets.par_iter().map(|hashes| Key::of(hashes)).collect::<Vec<_>>();
        let equals = Equals::new((0..).zip(keys.into_iter().map(Some)));
        let (mut firsts, mut owners) = (vec![0; sets.len()], vec![SEVERAL; sets.len()]);
        for group in equals.iter() {
            let first_owner = owner(group[0] as usize);
            let has_several = group.iter().any(|set| owner(*set as usize) != first_owner);
            owners[group[0] as usize] = if has_several { SEVERAL } else { first_owner };
            for set in group {
                firsts[*set as usize] = group[0];
            }
        }
        let mut occurrences: Vec<(u64, u32)> =
            Vec::with_capacity(equals.firsts().map(|set| sets[set as usize].len()).sum());
        for set in equals.firsts() {
            occurrences.extend(sets[set as usize].iter().map(|hash| (*hash, set)));
        }
        occurrences.par_sort_unstable();
        let can_match = |run: &&[(u64, u32)]| {
            let first = owners[run[0].1 as usize];
            first == SEVERAL || run[1..].iter().any(|it| owners[it.1 as usize] != first)
        };
        // Runs of one hash, ordered by length, then by hash.
        let mut runs: Vec<&[(u64, u32)]> = occurrences.chunk_by(|a, b| a.0 == b.0).filter(can_match).collect();
        runs.sort_by_key(|run| run.len());
        // Tokens are handed out in ascending order, so each set's come ascending.
        let given =
            || runs.iter().enumerate().flat_map(|(token, run)| run.iter().map(move |it| (it.1 as usize, index(token))));
        Self { tokens: Buckets::new(sets.len(), given), sizes, firsts, n_tokens: runs.len() }
    }

    /// Number of sets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are no sets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Number of tokens of a set.
    #[must_use]
    pub fn size(&self, set: usize) -> usize {
        self.sizes[set] as usize
    }

    /// The tokens of a set that can match, the rarest first.
    pub(super) fn shared(&self, set: usize) -> &[u32] {
        self.tokens.of(self.first_equal(set) as usize)
    }

    /// The first set that is equal to this one.
    pub(super) fn first_equal(&self, set: usize) -> u32 {
        self.firsts[set]
    }

    /// Number of different tokens that can match.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_tokens
    }
}

/// A set as a key: compared by a mix of its hashes, then by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    mixed: u64,
    hashes: &'a [u64],
}

impl<'a> Key<'a> {
    fn of(hashes: &'a [u64]) -> Self {
        Self { mixed: of_numbers(hashes.iter().copied()), hashes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_tokens_come_first_and_those_that_match_nothing_are_counted_only() {
        let sets = TokenSets::new(&[vec![1, 5, 9], vec![5, 9], vec![9, 100], vec![]]);
        assert_eq!((sets.len(), sets.n_tokens()), (4, 2));
        assert_eq!((0..4).map(|text| sets.size(text)).collect::<Vec<_>>(), [3, 2, 2, 0]);
        assert_eq!((0..4).map(|text| sets.shared(text)).collect::<Vec<_>>(), [&[0, 1][..], &[0, 1], &[1], &[]]);
    }

    #[test]
    fn tokens_of_one_owner_are_counted_only_and_equal_sets_kept_once() {
        let sets = [vec![1, 2, 3], vec![1, 2, 4], vec![2, 3, 4], vec![7, 8], vec![7, 8]];
        let made = TokenSets::of_owners(&sets, |set| [0, 0, 1, 2, 3][set]);
        // 1 is the first owner's alone; 7 and 8 are of one set that two have.
        assert_eq!((made.n_tokens(), made.size(0)), (5, 3));
        let shared: Vec<_> = (0..5).map(|set| made.shared(set).len()).collect();
        assert_eq!((shared, made.first_equal(4)), (vec![2, 2, 3, 2, 2], 3));
    }
}
