//! What two texts literally have in common: the longest run of words that stands in both.

use std::collections::HashMap;
use std::ops::Range;

use tamis_core::text;

/// Base of the hash of a run; odd, so that no power of it is 0 modulo 2^64.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The words of a text ([`text::words`]) in lower case.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Each word, and where it stands in the text.
    words: Vec<(String, Range<usize>)>,
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
        Self { words: text::words(text).map(|it| (text[it.clone()].to_lowercase(), it)).collect() }
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
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
    #[must_use]
    pub fn longest_common_run(&self, other: &Self) -> Option<CommonRun> {
        let mut numbers = HashMap::new();
        let [ours, theirs] = [self, other].map(|it| it.numbered(&mut numbers));
        let (n_words, (a, b)) = longest(&ours, &theirs)?;
        Some(CommonRun { n_words, a: self.bytes(a, n_words), b: other.bytes(b, n_words) })
    }

    /// Each word as a number, the same for the same word.
    fn numbered<'a>(&'a self, numbers: &mut HashMap<&'a str, u32>) -> Vec<u32> {
        let number = |(word, _): &'a (String, Range<usize>)| {
            let next = u32::try_from(numbers.len()).expect("because a text has fewer than 2^32 words");
            *numbers.entry(word).or_insert(next)
        };
        self.words.iter().map(number).collect()
    }

    /// Where `n` words from `start` on stand.
    fn bytes(&self, start: usize, n: usize) -> Range<usize> {
        self.words[start].1.start..self.words[start + n - 1].1.end
    }
}

/// Length and places in `a` and `b` of the longest run of numbers that stands in both: see [`Words::longest_common_run`].
pub(crate) fn longest(a: &[u32], b: &[u32]) -> Option<(usize, (usize, usize))> {
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

/// The first place in `a`, and the first one in `b`, of a run of `length` numbers that stands in both.
fn common(a: &[u32], b: &[u32], length: usize) -> Option<(usize, usize)> {
    let mut in_b: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, hash) in runs(b, length).into_iter().enumerate() {
        in_b.entry(hash).or_default().push(place);
    }
    let is_same = |i: usize, j: usize| a[i..i + length] == b[j..j + length];
    runs(a, length).into_iter().enumerate().find_map(|(i, hash)| {
        let places = in_b.get(&hash)?;
        places.iter().find(|j| is_same(i, **j)).map(|j| (i, *j))
    })
}

/// The hash of each run of `length` numbers (Karp and Rabin 1987).
fn runs(numbers: &[u32], length: usize) -> Vec<u64> {
    let top = (1..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    // 0 would let runs of the first number have one hash, whatever their length.
    let value = |number: u32| u64::from(number) + 1;
    let next = |hash: u64, number: u32| hash.wrapping_mul(BASE).wrapping_add(value(number));
    let mut hash = numbers[..length].iter().fold(0_u64, |hash, number| next(hash, *number));
    let mut hashes = vec![hash];
    for (first, last) in numbers.iter().zip(&numbers[length..]) {
        hash = next(hash.wrapping_sub(value(*first).wrapping_mul(top)), *last);
        hashes.push(hash);
    }
    hashes
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

    proptest! {
        #[test]
        fn the_longest_is_that_of_all_pairs_of_places(
            a in proptest::collection::vec(0_u8..4, 0..40),
            b in proptest::collection::vec(0_u8..4, 0..40),
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
