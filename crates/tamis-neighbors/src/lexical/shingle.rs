//! Texts as sets of hashes.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use tamis_core::text;

/// Words of a shingle by default.
const DEFAULT_WORDS: NonZero<usize> = NonZero::new(3).expect("because it is above 0");

/// What of a text is compared. Parsed from `word:3`, `char:5` or `alnum:5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shingle {
    /// Runs of so many words. Words are what white space separates, in lower case.
    Words(NonZero<usize>),
    /// Runs of so many characters of the words, joined by one space.
    Chars(NonZero<usize>),
    /// Runs of so many words, where everything but `a` to `z` and `0` to `9` separates words, in lower case.
    Alnum(NonZero<usize>),
}

impl Default for Shingle {
    /// Runs of three words.
    fn default() -> Self {
        Self::Words(DEFAULT_WORDS)
    }
}

impl Shingle {
    /// The hashes of the shingles of `text`, ascending, each once. A text that is shorter than one shingle is one itself;
    /// one without words has none.
    ///
    /// ```
    /// use tamis_neighbors::Shingle;
    /// let shingle: Shingle = "word:3".parse().unwrap();
    /// assert_eq!(shingle.hashes("a b c A  b\nc").len(), 3); // a b c, b c a, c a b
    /// assert_eq!(shingle.hashes("a b").len(), 1);
    /// assert!(shingle.hashes(" \n").is_empty());
    /// ```
    #[must_use]
    pub fn hashes(self, text: &str) -> Vec<u64> {
        let mut hashes = match self {
            Self::Words(n) => of_words(text::fold(text).split(' ').filter(|word| !word.is_empty()), n),
            Self::Chars(n) => of_chars(&text::fold(text), n),
            Self::Alnum(n) => {
                let lower = text.to_lowercase();
                let is_between = |c: char| !c.is_ascii_alphanumeric();
                of_words(lower.split(is_between).filter(|word| !word.is_empty()), n)
            }
        };
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Words or characters of one shingle.
    fn n(self) -> NonZero<usize> {
        let (Self::Words(n) | Self::Chars(n) | Self::Alnum(n)) = self;
        n
    }
}

impl fmt::Display for Shingle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Words(_) => "word",
            Self::Chars(_) => "char",
            Self::Alnum(_) => "alnum",
        };
        write!(f, "{kind}:{}", self.n())
    }
}

impl FromStr for Shingle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no shingle, expected word:N, char:N or alnum:N with N from 1 to 100");
        let (kind, n) = text.split_once(':').ok_or_else(wrong)?;
        let n = n.parse().ok().filter(|n: &NonZero<usize>| n.get() <= 100).ok_or_else(wrong)?;
        match kind {
            "word" => Ok(Self::Words(n)),
            "char" => Ok(Self::Chars(n)),
            "alnum" => Ok(Self::Alnum(n)),
            _ => Err(wrong()),
        }
    }
}

fn of_words<'a>(words: impl Iterator<Item = &'a str>, n: NonZero<usize>) -> Vec<u64> {
    hash_of_run(&words.map(|word| hash(word.as_bytes())).collect::<Vec<_>>(), n)
}

/// A hash of each run of `n` words, which are given by hashes; of all where there are fewer, and none where there is none.
pub(crate) fn hash_of_run(words: &[u64], n: NonZero<usize>) -> Vec<u64> {
    let run = |words: &[u64]| words.iter().fold(0_u64, |hash, word| mix(hash.rotate_left(23) ^ *word));
    match words.len() {
        0 => Vec::new(),
        length if length < n.get() => vec![run(words)],
        _ => words.windows(n.get()).map(run).collect(),
    }
}

fn of_chars(text: &str, n: NonZero<usize>) -> Vec<u64> {
    let n = n.get();
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    match starts.len() - 1 {
        0 => Vec::new(),
        length if length < n => vec![hash(text.as_bytes())],
        _ => starts.windows(n + 1).map(|run| hash(&text.as_bytes()[run[0]..run[n]])).collect(),
    }
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo), with its bits mixed.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// One number for numbers in one order.
pub(crate) fn of_numbers(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, |hash: u64, it| (hash ^ it).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

/// The finalizer of splitmix64 (Steele et al. 2014).
pub(super) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shingle(name: &str) -> Shingle {
        name.parse().unwrap()
    }

    #[test]
    fn words_are_separated_as_said() {
        let same = |shingle: Shingle, a: &str, b: &str| shingle.hashes(a) == shingle.hashes(b);
        assert!(same(shingle("word:2"), "The GPL\u{a0}3", "the gpl 3"));
        assert!(!same(shingle("word:2"), "the gpl, 3", "the gpl 3"));
        assert!(same(shingle("alnum:2"), "The GPL, 3.", "the-gpl 3"));
        assert!(same(shingle("char:3"), "A  b", "a B"));
        assert_eq!(shingle("char:3").hashes("abcabc").len(), 3);
        assert_eq!(shingle("char:2").hashes("äöü").len(), 2);
        assert_eq!(shingle("char:9").hashes("abc").len(), 1);
    }

    #[test]
    fn the_order_of_words_counts() {
        assert_ne!(shingle("word:2").hashes("a b"), shingle("word:2").hashes("b a"));
    }

    /// A run of nothing cannot be written, so that no text can be taken apart into such runs.
    #[test]
    fn a_shingle_has_a_word_or_a_character() {
        let least = NonZero::<usize>::MIN;
        for (shingle, n) in [(Shingle::Words(least), 2), (Shingle::Chars(least), 4), (Shingle::Alnum(least), 2)] {
            assert_eq!((shingle.hashes("ab c").len(), shingle.hashes("").len()), (n, 0), "{shingle}");
        }
        assert_eq!((Shingle::default(), NonZero::new(0_usize)), (shingle("word:3"), None));
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["word:3", "char:5", "alnum:5"] {
            assert_eq!(name.parse::<Shingle>().unwrap().to_string(), name);
        }
        for name in ["word", "word:0", "word:x", "byte:5", "char:101", ""] {
            assert!(name.parse::<Shingle>().unwrap_err().contains("expected word:N"), "{name}");
        }
    }
}
