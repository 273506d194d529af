//! The heaviest sequence of words that two texts have in the same order.
//!
//! Texts are numbers of words, and each word has a weight above 0. Two ways give the same: by the pairs of places with equal
//! words where these are few, and by all pairs of places where they are many.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::join::index;

/// Bits of a place in a text.
const PLACE_BITS: u32 = 16;

/// Most words of a text that is compared.
pub(super) const MAX_PLACES: usize = 1 << PLACE_BITS;

/// How many cells of a table of all pairs of places are filled in the time that a pair of equal words takes in a tree. By
/// measurement; the choice changes the time only.
const CELLS_PER_MATCH: usize = 12;

/// A heaviest common subsequence: of equally heavy ones one that ends first in the second text, and of these one that begins
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heaviest {
    pub(super) weight: u64,
    /// Its first and its last place in the second text.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Ord for Heaviest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.cmp(&other.weight).then(other.end.cmp(&self.end)).then(self.start.cmp(&other.start))
    }
}

impl PartialOrd for Heaviest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The heaviest common subsequence of two texts, in the shortest time; `None` where no word is common. `weights` are by the
/// number of a word, and texts have at most [`MAX_PLACES`] words.
pub(super) fn heaviest(weights: &[u32], ours: &[u32], theirs: &[u32], matches: &Matches) -> Option<Heaviest> {
    if ours.len() * theirs.len() <= CELLS_PER_MATCH * matches.n() {
        by_table(weights, ours, theirs)
    } else {
        by_matches(weights, ours, theirs.len(), matches)
    }
}

/// By the places in a second text of `n_theirs` words that can end one (Hunt and Szymanski, "A fast algorithm for computing
/// longest common subsequences", CACM 20 (1977), with weights, and a tree of maxima in the place of the list of
/// thresholds).
fn by_matches(weights: &[u32], ours: &[u32], n_theirs: usize, matches: &Matches) -> Option<Heaviest> {
    let (mut best, mut heaviest) = (Maxima::new(n_theirs), None);
    for (i, word) in ours.iter().enumerate() {
        let weight = weights[*word as usize];
        // From the last place on: a word is taken once.
        for j in matches.places(i).iter().rev() {
            let chain = best.before(*j).with(weight, *j);
            best.raise(*j, chain);
            heaviest = heaviest.max(Some(chain.ending(*j)));
        }
    }
    heaviest
}

/// By all pairs of places (Wagner and Fischer, "The string-to-string correction problem", JACM 21 (1974), with weights).
fn by_table(weights: &[u32], ours: &[u32], theirs: &[u32]) -> Option<Heaviest> {
    // The best of the words of ours so far and those of theirs up to each place.
    let mut best = vec![Chain::default(); theirs.len()];
    for word in ours {
        let weight = weights[*word as usize];
        let (mut left, mut before) = (Chain::default(), Chain::default());
        for (j, (other, best)) in (0..).zip(theirs.iter().zip(&mut best)) {
            let taken = if other == word { before.with(weight, j) } else { Chain::default() };
            before = *best;
            left = left.max(before).max(taken);
            *best = left;
        }
    }
    let weight = best.last()?.weight();
    let (end, chain) = (0..).zip(&best).find(|(_, chain)| chain.weight() == weight)?;
    (weight != 0).then(|| chain.ending(end))
}

/// How many words two texts begin with alike, and how many of the others they end with alike.
///
/// Such a word belongs to some heaviest common subsequence: one that takes the first word of either text, or none of them,
/// can as well take the pair of them in the place of its first pair, and weighs no less; so with the last words.
pub(super) fn common_ends(ours: &[u32], theirs: &[u32]) -> [usize; 2] {
    let is_same = |(x, y): &(&u32, &u32)| x == y;
    let n_first = ours.iter().zip(theirs).take_while(is_same).count();
    let n_last = ours[n_first..].iter().rev().zip(theirs[n_first..].iter().rev()).take_while(is_same).count();
    [n_first, n_last]
}

/// Some first words, those between, and some last words.
pub(super) fn without(words: &[u32], [n_first, n_last]: [usize; 2]) -> (&[u32], &[u32], &[u32]) {
    let (begin, rest) = words.split_at(n_first);
    let (middle, end) = rest.split_at(rest.len() - n_last);
    (begin, middle, end)
}

/// Where each word of a first text stands in a second one.
pub(super) struct Matches {
    /// Places of the second text by their word, ascending.
    places: Vec<u32>,
    /// For each word of the first text the part of `places` that is its own.
    parts: Vec<(u32, u32)>,
}

impl Matches {
    pub(super) fn of(ours: &[u32], theirs: &[u32]) -> Self {
        let mut places: Vec<u32> = (0..index(theirs.len())).collect();
        places.sort_by_key(|place| theirs[*place as usize]);
        let word = |place: &u32| theirs[*place as usize];
        let part = |ours: &u32| {
            let start = places.partition_point(|it| word(it) < *ours);
            let n = places[start..].partition_point(|it| word(it) == *ours);
            (index(start), index(start + n))
        };
        let parts = ours.iter().map(part).collect();
        Self { places, parts }
    }

    /// Number of pairs of equal words.
    fn n(&self) -> usize {
        self.parts.iter().map(|(start, end)| (end - start) as usize).sum()
    }

    fn places(&self, ours: usize) -> &[u32] {
        let (start, end) = self.parts[ours];
        &self.places[start as usize..end as usize]
    }

    /// Places of the first text whose words the second one has too; as many of one word as there are in both.
    pub(super) fn common(&self) -> impl Iterator<Item = usize> + '_ {
        let mut left: HashMap<u32, u32> = HashMap::new();
        let found = self.parts.iter().enumerate().filter(|(_, (start, end))| start < end);
        found.filter_map(move |(i, (start, end))| {
            let left = left.entry(*start).or_insert(end - start);
            *left = left.checked_sub(1)?;
            Some(i)
        })
    }
}

/// A common subsequence that can be continued: its weight, and in the last bits its first place in the second text. The
/// heaviest is the largest, of equally heavy ones the one that begins last; 0 where there is none.
///
/// A weight of 20,000 words has fewer than the 48 bits that are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Chain(u64);

impl Chain {
    /// Continued by a word at a place.
    #[inline]
    fn with(self, weight: u32, place: u32) -> Self {
        let start = if self.0 == 0 { u64::from(place) } else { self.0 };
        Self(start + (u64::from(weight) << PLACE_BITS))
    }

    fn weight(self) -> u64 {
        self.0 >> PLACE_BITS
    }

    /// The whole of it, where it ends at a place.
    fn ending(self, end: u32) -> Heaviest {
        let start = (self.0 & ((1 << PLACE_BITS) - 1)) as usize;
        Heaviest { weight: self.weight(), start, end: end as usize }
    }
}

/// The heaviest chain that ends before a place, for all places (Fenwick, "A new data structure for cumulative frequency
/// tables", 1994, of maxima).
struct Maxima(Vec<Chain>);

impl Maxima {
    fn new(n: usize) -> Self {
        Self(vec![Chain::default(); n + 1])
    }

    /// The heaviest chain that ends before `place`.
    fn before(&self, place: u32) -> Chain {
        let mut best = Chain::default();
        let mut node = place as usize;
        while node != 0 {
            best = best.max(self.0[node]);
            node &= node - 1;
        }
        best
    }

    fn raise(&mut self, place: u32, chain: Chain) {
        let mut node = place as usize + 1;
        while node < self.0.len() {
            self.0[node] = self.0[node].max(chain);
            node += node & node.wrapping_neg();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_texts_of_few_words_are_compared_by_all_pairs_of_places() {
        let (ours, theirs) = (&[0, 1].repeat(100), &[1, 2].repeat(100));
        let matches = Matches::of(ours, theirs);
        assert_eq!((matches.n(), common_ends(ours, theirs)), (10_000, [0, 0]));
        assert!(ours.len() * theirs.len() <= CELLS_PER_MATCH * matches.n());
        // Equal texts are no pairs at all.
        assert_eq!(common_ends(ours, ours), [200, 0]);
        assert_eq!(common_ends(ours, &ours[2..]), [198, 0]);
        assert_eq!(common_ends(&[1, 2, 3, 4], &[1, 9, 3, 4]), [1, 2]);
        // A word is at one end alone.
        assert_eq!((common_ends(&[1], &[1, 1]), common_ends(&[1, 2, 1], &[1, 1])), ([1, 0], [1, 1]));
    }

    proptest! {
        #[test]
        fn the_heaviest_ends_first_and_then_begins_last(
            ours in prop::collection::vec(0_u32..6, 0..16),
            theirs in prop::collection::vec(0_u32..6, 0..16),
            weights in prop::collection::vec(1_u32..4, 6),
        ) {
            let weight = textbook(&weights, &ours, &theirs);
            let expected = (weight != 0).then(|| {
                let end = (0..theirs.len()).find(|end| textbook(&weights, &ours, &theirs[..=*end]) == weight).unwrap();
                let is_whole = |start: &usize| textbook(&weights, &ours, &theirs[*start..=end]) == weight;
                Heaviest { weight, start: (0..=end).rev().find(is_whole).unwrap(), end }
            });
            let matches = Matches::of(&ours, &theirs);
            prop_assert_eq!(by_matches(&weights, &ours, theirs.len(), &matches), expected);
            prop_assert_eq!(by_table(&weights, &ours, &theirs), expected);
        }
    }

    /// The weight of a heaviest common subsequence.
    pub(crate) fn textbook(weights: &[u32], ours: &[u32], theirs: &[u32]) -> u64 {
        let mut best = vec![vec![0_u64; theirs.len() + 1]; ours.len() + 1];
        for (i, x) in ours.iter().enumerate() {
            for (j, y) in theirs.iter().enumerate() {
                let taken = if x == y { best[i][j] + u64::from(weights[*x as usize]) } else { 0 };
                best[i + 1][j + 1] = taken.max(best[i][j + 1]).max(best[i + 1][j]);
            }
        }
        best[ours.len()][theirs.len()]
    }
}
