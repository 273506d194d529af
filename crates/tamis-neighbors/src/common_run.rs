//! What two texts literally have in common: the longest run of words that stands in both.

use std::ops::Range;

use tamis_core::text;

use crate::buckets::Buckets;
use crate::lexical::hash;

/// Base of the hash of a run; odd, so that no power of it is 0 modulo 2^64. About 2^64 divided by the golden ratio, by which
/// a product's first bits depend on all bits (Knuth, The Art of Computer Programming, vol. 3, section 6.4).
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The words of a text ([`text::words`]) in lower case, each known by a hash of 64 bits.
///
/// Memory: 24 bytes for each word.
#[derive(Clone, Debug, Default)]
pub struct Words {
    hashes: Vec<u64>,
    /// Where each stands in the text.
    places: Vec<Range<usize>>,
}

/// A run of words that stands in two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonRun {
    /// How many words.
    pub n_words: usize,
    /// Bytes of the run in the first text.
    pub a: Range<usize>,
    /// Bytes of the run in the second text.
    pub b: Range<usize>,
}

impl Words {
    /// Takes a text apart.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let places: Vec<Range<usize>> = text::words(text).collect();
        Self { hashes: places.iter().map(|it| hash(text[it.clone()].to_lowercase().as_bytes())).collect(), places }
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The longest run of words that also stands in `other`: of equally long ones the first here, and its first place there.
    /// `None` where no word is common.
    ///
    /// ```
    /// use tamis_neighbors::Words;
    /// let (a, b) = ("It says: 'the same words'.", "(THE SAME WORDS, again)");
    /// let run = Words::of(a).longest_common_run(&Words::of(b)).unwrap();
    /// assert_eq!((run.n_words, &a[run.a], &b[run.b]), (3, "the same words", "THE SAME WORDS"));
    /// ```
    ///
    /// O((m + n) log min(m, n)) in time for m and n words: a common run of some length has common runs of all smaller ones.
    /// Memory: up to 48 bytes for each word of the shorter text.
    #[must_use]
    pub fn longest_common_run(&self, other: &Self) -> Option<CommonRun> {
        let (n_words, (a, b)) = longest(&self.hashes, &other.hashes)?;
        Some(CommonRun { n_words, a: self.bytes(a, n_words), b: other.bytes(b, n_words) })
    }

    /// Where `n` words from `start` on stand.
    fn bytes(&self, start: usize, n: usize) -> Range<usize> {
        self.places[start].start..self.places[start + n - 1].end
    }
}

/// Length and places in `a` and `b` of the longest run of numbers that stands in both: see [`Words::longest_common_run`].
pub(crate) fn longest<T: Copy + Eq + Into<u64>>(a: &[T], b: &[T]) -> Option<(usize, (usize, usize))> {
    let (mut found, mut least, mut most) = (None, 1, a.len().min(b.len()));
    while least <= most {
        let length = least.midpoint(most);
        match common(a, b, length) {
            Some(places) => (found, least) = (Some((length, places)), length + 1),
            None => most = length - 1,
        }
    }
    found
}

/// The first place in `a`, and the first one in `b`, of a run of `length` numbers that stands in both. The shorter of the two
/// is indexed.
fn common<T: Copy + Eq + Into<u64>>(a: &[T], b: &[T], length: usize) -> Option<(usize, usize)> {
    let is_same = |i: usize, j: usize| a[i..i + length] == b[j..j + length];
    if b.len() <= a.len() {
        let in_b = Index::new(b, length);
        return runs(a, length).enumerate().find_map(|(i, hash)| {
            let j = in_b.places(hash).find(|j| is_same(i, *j))?;
            Some((i, j))
        });
    }
    let in_a = Index::new(a, length);
    let mut first: Option<(usize, usize)> = None;
    for (j, hash) in runs(b, length).enumerate() {
        let may_be_first = |i: &usize| first.is_none_or(|(first, _)| *i < first);
        if let Some(i) = in_a.places(hash).take_while(may_be_first).find(|i| is_same(*i, j)) {
            first = Some((i, j));
            if i == 0 {
                break;
            }
        }
    }
    first
}

/// The places of runs by their hashes.
struct Index {
    /// How far a hash is shifted to become the number of a bucket.
    shift: u32,
    /// Hashes and places, ascending by place in each bucket.
    runs: Buckets<(u64, usize)>,
}

impl Index {
    fn new<T: Copy + Into<u64>>(numbers: &[T], length: usize) -> Self {
        let n_buckets = numbers.len().next_power_of_two().max(2);
        let shift = u64::BITS - n_buckets.trailing_zeros();
        let places = || runs(numbers, length).zip(0..).map(move |(hash, place)| (bucket(hash, shift), (hash, place)));
        Self { shift, runs: Buckets::new(n_buckets, places) }
    }

    /// The places of a hash, ascending.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> {
        let runs = self.runs.of(bucket(hash, self.shift)).iter();
        runs.filter(move |(other, _)| *other == hash).map(|(_, place)| *place)
    }
}

/// The first bits of a product, which depend on all bits of the hash.
#[expect(clippy::cast_possible_truncation, reason = "no more bits are left than a place has")]
fn bucket(hash: u64, shift: u32) -> usize {
    (hash.wrapping_mul(BASE) >> shift) as usize
}

/// The hash of each run of `length` numbers, of which there is one at least (Karp and Rabin 1987).
fn runs<T: Copy + Into<u64>>(numbers: &[T], length: usize) -> impl Iterator<Item = u64> {
    let top = (1..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    // 0 would let runs of the first number have one hash, whatever their length.
    let value = |number: T| number.into().wrapping_add(1);
    let next = move |hash: u64, number: T| hash.wrapping_mul(BASE).wrapping_add(value(number));
    let first = numbers[..length].iter().fold(0_u64, |hash, number| next(hash, *number));
    let others = numbers.iter().zip(&numbers[length..]).scan(first, move |hash, (first, last)| {
        *hash = next(hash.wrapping_sub(value(*first).wrapping_mul(top)), *last);
        Some(*hash)
    });
    std::iter::once(first).chain(others)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(a: &str, b: &str) -> Option<(usize, String, String)> {
        let run = Words::of(a).longest_common_run(&Words::of(b))?;
        Some((run.n_words, a[run.a].to_owned(), b[run.b].to_owned()))
    }

    #[test]
    fn what_stands_between_words_does_not_count() {
        assert_eq!(run("a Größe--7!", "größe: 7 b").unwrap().0, 2);
        assert_eq!(run("", "a"), None);
        assert_eq!(run("?!", "?!"), None);
        assert_eq!(run("a", "b"), None);
    }

    #[test]
    fn of_equal_runs_the_first_is_taken() {
        assert_eq!(run("x y, a b", "a b; x y; x y"), Some((2, "x y".to_owned(), "x y".to_owned())));
        let places = Words::of("x y, a b").longest_common_run(&Words::of("a b; x y; x y")).unwrap();
        assert_eq!((places.a, places.b), (0..3, 5..8));
    }

    #[test]
    fn a_long_repetition_is_found_whole() {
        let text = "again and ".repeat(20_000);
        assert_eq!(run(&text, &format!("first {text}")).unwrap().0, 40_000);
    }

    /// Few or many words, so that either text may be the shorter one.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![proptest::collection::vec(0_u8..4, 0..8), proptest::collection::vec(0_u8..4, 0..40)]
    }

    proptest! {
        #[test]
        fn the_longest_is_that_of_all_pairs_of_places(
            a in words(), b in words(),
        ) {
            let text = |words: &[u8]| words.iter().map(|it| format!("w{it}")).collect::<Vec<_>>().join(" ");
            let at = |i: usize, j: usize| a[i..].iter().zip(&b[j..]).take_while(|(x, y)| x == y).count();
            let all = (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j)));
            // The longest, then the first.
            let best = all.map(|(i, j)| (at(i, j), i, j)).filter(|it| 0 < it.0)
                .min_by_key(|(n, i, j)| (std::cmp::Reverse(*n), *i, *j));
            let (x, y) = (text(&a), text(&b));
            let found = Words::of(&x).longest_common_run(&Words::of(&y)).map(|it| (it.n_words, it.a.start / 3, it.b.start / 3));
            prop_assert_eq!(found, best);
        }
    }
}
