//! Texts compared word by word, in their order, rare words before common ones.
//!
//! The score of two texts is `2 W / (A + B + 2 u)`: `A` and `B` are the weights of all their words, `W` is the weight of the
//! heaviest sequence of words that both have in this order (a common subsequence: other words may stand between them), and
//! `u` is the weight of an unknown word. A word weighs its inverse document frequency, `ln(1 + n / (1 + df))` for `df` of `n`
//! texts that have it, and an unknown one `ln(1 + n)`. Copies lose weight in proportion to what was edited, while a set of
//! shingles loses several shingles with every word; texts that share phrases everybody uses have a score near 0; and what two
//! short texts have in common proves less, as if each had one word more that the other lacks.
//!
//! This score was chosen among 36 by how many edited copies it tells from other texts at a false-discovery rate of 5 %, on
//! entries of a dictionary, quotations, prompts and mails.
//!
//! By [`Extent::Passage`], a second text that is more than twice as long is compared by the passage of it that shares most: a
//! question inside a document is a copy of the question.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;

use rayon::prelude::*;
use tamis_core::{Shared, Verified, text};

use super::subsequence::{MAX_PLACES, Matches, common_ends, heaviest, without};
use crate::common_run::longest;
use crate::join::index;
use crate::lexical::{hash, hash_of_run};

/// Words of a text that are looked for in another one; the rest of a longer one is not. Where they are looked for in the
/// passages of a text, all of that is searched. Chosen so that comparing two of the longest takes 0.6 seconds at most,
/// measured on whole texts of few different words; a passage may be twice as long.
const MAX_WORDS: usize = 20_000;
const _: () = assert!(MUCH_LONGER * MAX_WORDS <= MAX_PLACES, "a place has too few bits");

/// Fraction bits of a weight: sums of whole numbers are the same in any order.
const WEIGHT_BITS: u32 = 20;

/// How many times as long a text must be to be compared by its best passage.
const MUCH_LONGER: usize = 2;

/// Words of a run whose presence is asked: long enough to be rare, short enough that an edit spoils few.
const OVERLAP_WORDS: usize = 3;

/// What of the second text must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Where it is more than twice as long as the first, its best passage.
    Passage,
}

/// The words of some texts.
///
/// Memory: 4 bytes for each word of the texts, 8 for each text, and 19 to 39 for each different word, by how full the table of
/// their numbers is; 58 while that grows.
#[derive(Clone, Debug, Default)]
pub struct WordTexts {
    words: Vec<u32>,
    /// Where the words of each text end.
    ends: Vec<usize>,
    numbers: HashMap<u64, u32>,
}

impl WordTexts {
    /// Adds texts in their order.
    ///
    /// # Panics
    /// When there are 2^32 texts or different words.
    pub fn extend(&mut self, texts: &[impl AsRef<str> + Sync]) {
        let words: Vec<Vec<u64>> = texts.par_iter().map(|text| words_of(text.as_ref())).collect();
        for words in words {
            for word in words {
                let next = index(self.numbers.len());
                self.words.push(*self.numbers.entry(word).or_insert(next));
            }
            self.ends.push(self.words.len());
        }
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Hashes of the runs of `n` words of a text, ascending, each once; a shorter text is one run, an empty one has none.
    #[must_use]
    pub fn shingles(&self, text: usize, n: NonZero<usize>) -> Vec<u64> {
        let words: Vec<u64> = self.of(text).iter().map(|word| u64::from(*word)).collect();
        let mut hashes = hash_of_run(&words, n);
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Fixes the weights of words by the texts that count; by all where none does.
    #[must_use]
    pub fn weighted(self, counts: impl Fn(usize) -> bool) -> Weighted {
        let counted: Vec<usize> = (0..self.len()).filter(|text| counts(*text)).collect();
        let counted = if counted.is_empty() { (0..self.len()).collect() } else { counted };
        // By the number of a word: how many texts have it, and the last one that was found to.
        let mut frequency = vec![(0_u32, usize::MAX); self.numbers.len()];
        for text in &counted {
            for word in self.of(*text) {
                let (n_texts, last) = &mut frequency[*word as usize];
                if *last != *text {
                    (*n_texts, *last) = (*n_texts + 1, *text);
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^32 texts")]
        let n_texts = counted.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an idf is from 0.4 to 23")]
        let weight = |frequency: u32| {
            let idf = (n_texts / (1.0 + f64::from(frequency))).ln_1p();
            (idf * f64::from(1_u32 << WEIGHT_BITS)).round() as u32
        };
        let weights = frequency.iter().map(|(n_texts, _)| weight(*n_texts)).collect();
        Weighted { texts: self, weights, unknown: weight(0) }
    }

    /// The numbers of the words of a text, in order.
    #[must_use]
    pub fn of(&self, text: usize) -> &[u32] {
        let start = if text == 0 { 0 } else { self.ends[text - 1] };
        &self.words[start..self.ends[text]]
    }
}

/// The hashes of the words of a text.
fn words_of(text: &str) -> Vec<u64> {
    text::words(text).map(|it| hash(text[it].to_lowercase().as_bytes())).collect()
}

/// Texts that can be compared.
///
/// Memory: that of the texts, with the table of their words, which those of other texts are looked up in; 4 bytes more for
/// each different word, and 16 while they are weighed.
#[derive(Clone, Debug)]
pub struct Weighted {
    texts: WordTexts,
    /// By the number of a word.
    weights: Vec<u32>,
    /// Of a word that no text has.
    unknown: u32,
}

impl Weighted {
    /// The texts.
    #[must_use]
    pub fn texts(&self) -> &WordTexts {
        &self.texts
    }

    /// Compares two texts; pairs whose score is below `min` may be given a score of 0, and are not looked at for what they
    /// share.
    ///
    /// Time O(r log m) for texts of n and m words with r pairs of equal words, but no more than O(n m). Words that both begin
    /// or end with take O(n) where all of the second text is compared.
    #[must_use]
    pub fn compare<'a>(&'a self, a: usize, b: usize, extent: Extent, min: f32) -> Verified {
        let head = |words: &'a [u32]| &words[..words.len().min(MAX_WORDS)];
        let (ours, theirs) = (head(self.texts.of(a)), self.texts.of(b));
        let mut place = 0;
        let mut passage = head(theirs);
        let mut is_part = false;
        if extent == Extent::Passage && MUCH_LONGER * ours.len() < theirs.len() {
            place = self.best_passage(ours, theirs);
            passage = &theirs[place..(place + MUCH_LONGER * ours.len()).min(theirs.len())];
            is_part = true;
        }
        let score = self.score(ours, passage, is_part, min);
        let nothing = Verified { score, shared: Shared::Nothing, overlap: None };
        if score < min {
            return nothing;
        }
        let Some((n_words, (a, b))) = longest(ours, passage) else { return nothing };
        Verified { shared: Shared::Run { a: index(a), b: index(place + b), n_words: index(n_words) }, ..nothing }
    }

    /// The numbers of the words of some texts beside these; words that none of these has get numbers of their own.
    #[must_use]
    pub fn numbers<const N: usize>(&self, texts: [&str; N]) -> [Vec<u32>; N] {
        let mut new: HashMap<u64, u32> = HashMap::new();
        let mut number = |word: u64| match self.texts.numbers.get(&word) {
            Some(number) => *number,
            None => {
                let next = index(self.weights.len() + new.len());
                *new.entry(word).or_insert(next)
            }
        };
        texts.map(|text| words_of(text).into_iter().map(&mut number).collect())
    }

    /// The share of the runs of three words of `ours`, or of the one run of fewer words, that one of `theirs` has, each run
    /// weighing as its words do together; in `[0, 1]`, or `None` where there is no word.
    ///
    /// `ours` and `theirs` are numbers of words ([`WordTexts::of`], and of one call of [`Weighted::numbers`]). Time O(words).
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "weights are far below 2^53")]
    pub fn overlap(&self, ours: &[u32], theirs: &[&[u32]]) -> Option<f32> {
        if ours.is_empty() {
            return None;
        }
        let n_words = ours.len().min(OVERLAP_WORDS);
        let runs: HashSet<&[u32]> = theirs.iter().flat_map(|words| words.windows(n_words)).collect();
        let (mut common, mut all) = (0, 0);
        for run in ours.windows(n_words) {
            let weight = self.weight(run);
            all += weight;
            common += if runs.contains(run) { weight } else { 0 };
        }
        Some((common as f64 / all as f64) as f32)
    }

    fn weight(&self, words: &[u32]) -> u64 {
        words.iter().map(|word| u64::from(self.weights.get(*word as usize).copied().unwrap_or(self.unknown))).sum()
    }

    /// Where the passage of `theirs`, twice as long as `ours`, begins that has the heaviest words of `ours`, each counted as
    /// often as `ours` has it at most; the first of several.
    fn best_passage(&self, ours: &[u32], theirs: &[u32]) -> usize {
        let width = MUCH_LONGER * ours.len();
        let mut wanted = Wanted::new(ours);
        let gain = |counts: bool, word: u32| if counts { u64::from(self.weights[word as usize]) } else { 0 };
        let mut sum: u64 = theirs[..width].iter().map(|word| gain(wanted.add(*word), *word)).sum();
        let mut best = (sum, 0);
        for (start, (first, last)) in (1..).zip(theirs.iter().zip(&theirs[width..])) {
            sum -= gain(wanted.remove(*first), *first);
            sum += gain(wanted.add(*last), *last);
            if best.0 < sum {
                best = (sum, start);
            }
        }
        best.1
    }

    /// The score of two runs of words; `is_passage` where the second is part of a longer text, of which only what lies
    /// between the first and the last common word counts.
    fn score(&self, ours: &[u32], theirs: &[u32], is_passage: bool, min: f32) -> f32 {
        let (all_ours, all_theirs) = (self.weight(ours), self.weight(theirs));
        if all_ours == 0 || all_theirs == 0 {
            return 0.0;
        }
        let n_ends = if is_passage { [0, 0] } else { common_ends(ours, theirs) };
        let [(begin, ours, end), (_, theirs, _)] = [ours, theirs].map(|words| without(words, n_ends));
        let ends = self.weight(begin) + self.weight(end);
        let matches = Matches::of(ours, theirs);
        let between: u64 = matches.common().map(|i| u64::from(self.weights[ours[i] as usize])).sum();
        let shared = ends + between;
        let least_theirs = if is_passage { 0 } else { all_theirs };
        // More than all common words cannot be common in their order.
        if self.ratio(shared, all_ours, least_theirs.max(shared.min(all_theirs))) < min {
            return 0.0;
        }
        let heaviest = heaviest(&self.weights, ours, theirs, &matches);
        let theirs_counted = match &heaviest {
            Some(chain) if is_passage => self.weight(&theirs[chain.start..=chain.end]),
            _ => all_theirs,
        };
        self.ratio(ends + heaviest.map_or(0, |chain| chain.weight), all_ours, theirs_counted)
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "weights are far below 2^53")]
    fn ratio(&self, common: u64, ours: u64, theirs: u64) -> f32 {
        (2.0 * common as f64 / (ours + theirs + 2 * u64::from(self.unknown)) as f64) as f32
    }
}

/// Words that are looked for in a passage.
struct Wanted {
    words: Vec<u32>,
    /// For each word how many are looked for, and how many the passage has.
    counts: Vec<(u32, u32)>,
}

impl Wanted {
    fn new(words: &[u32]) -> Self {
        let mut sorted = words.to_vec();
        sorted.sort_unstable();
        let runs = || sorted.chunk_by(|x, y| x == y);
        Self { words: runs().map(|run| run[0]).collect(), counts: runs().map(|run| (index(run.len()), 0)).collect() }
    }

    /// Takes a word into the passage; whether it counts there.
    fn add(&mut self, word: u32) -> bool {
        let Ok(at) = self.words.binary_search(&word) else { return false };
        let (n_wanted, n) = &mut self.counts[at];
        *n += 1;
        *n <= *n_wanted
    }

    /// Takes a word out of the passage; whether it counted there.
    fn remove(&mut self, word: u32) -> bool {
        let Ok(at) = self.words.binary_search(&word) else { return false };
        let (n_wanted, n) = &mut self.counts[at];
        *n -= 1;
        *n < *n_wanted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verify::subsequence::tests::textbook;

    fn weighted(texts: &[&str]) -> Weighted {
        let mut words = WordTexts::default();
        words.extend(texts);
        words.weighted(|_| true)
    }

    fn score(texts: &[&str]) -> f32 {
        weighted(texts).compare(0, 1, Extent::Whole, 0.0).score
    }

    #[test]
    fn a_copy_is_whole_but_for_a_word_and_other_words_are_none() {
        // Both words are in both texts and weigh ln(1 + 2/3), an unknown one weighs ln 3.
        let word = (1.0 + 2.0 / 3.0_f32).ln();
        let expected = 4.0 * word / (4.0 * word + 2.0 * 3.0_f32.ln());
        assert!((score(&["Say it", "say, IT!"]) - expected).abs() < 1e-6);
        let long = "a copy of many words that has so many that one word more or less is nothing at all ".repeat(5);
        assert!(0.95 < score(&[&long, &long]));
        assert_eq!(score(&["a b", "c d"]), 0.0);
        assert_eq!(score(&["", "a"]), 0.0);
    }

    #[test]
    fn rare_words_count_more_than_common_ones() {
        let common = ["the of"; 40];
        let texts = |a, b| [&[a, b][..], &common].concat();
        let (rare, frequent) = (score(&texts("the zebra", "of zebra")), score(&texts("the zebra", "the horse")));
        assert!(4.0 * frequent < rare, "{rare} {frequent}");
    }

    #[test]
    fn words_weigh_by_the_texts_that_count() {
        let mut words = WordTexts::default();
        words.extend(&["a b", "a c", "a d", "a e"]);
        let of_first = words.clone().weighted(|text| text == 0);
        assert_eq!(of_first.unknown, (2.0_f64.ln() * f64::from(1 << WEIGHT_BITS)).round() as u32);
        assert_eq!(words.clone().weighted(|_| false).unknown, words.weighted(|_| true).unknown);
    }

    #[test]
    fn the_order_of_words_counts() {
        let texts = |b| score(&["one two three four", b]);
        assert!((texts("four three two one") - texts("one two three four") / 4.0).abs() < 1e-6);
    }

    #[test]
    fn a_question_inside_a_document_is_a_copy_of_it() {
        let document =
            format!("{} what is the mass of the sun {}", "filler text ".repeat(40), "more words ".repeat(40));
        let texts = weighted(&["What is the mass of the sun?", &document]);
        assert!(texts.compare(0, 1, Extent::Whole, 0.0).score < 0.3);
        let found = texts.compare(0, 1, Extent::Passage, 0.5);
        assert!(0.7 < found.score, "{found:?}");
        assert_eq!(found.shared, Shared::Run { a: 0, b: 80, n_words: 7 });
    }

    #[test]
    fn a_word_of_a_question_again_and_again_is_no_passage() {
        let filler = "filler text of a document ".repeat(20);
        let question = "how many people live in paris";
        let document = format!("{question} {filler} {}", "paris ".repeat(14));
        let found = weighted(&[question, &document]).compare(0, 1, Extent::Passage, 0.0);
        assert_eq!(found.shared, Shared::Run { a: 0, b: 0, n_words: 6 });
        // All of it, but for the word more that each is said to have.
        let texts = weighted(&[question, &document]);
        let weight = texts.weight(texts.texts.of(0));
        assert_eq!(found.score, texts.ratio(weight, weight, weight));
    }

    #[test]
    fn what_is_below_the_minimum_is_not_looked_at() {
        let found = weighted(&["a b c d", "a x y z"]).compare(0, 1, Extent::Whole, 0.9);
        assert_eq!(found, Verified { score: 0.0, shared: Shared::Nothing, overlap: None });
    }

    #[test]
    fn a_question_late_in_a_very_long_text_is_found_and_the_rest_of_a_long_question_is_not_looked_for() {
        let question = "what is the mass of the sun in kilograms";
        let long = format!("{}{question}", "filler ".repeat(MAX_WORDS + 1));
        let texts = weighted(&[question, &long]);
        let found = texts.compare(0, 1, Extent::Passage, 0.5);
        assert_eq!(found.shared, Shared::Run { a: 0, b: index(MAX_WORDS + 1), n_words: 9 });
        // The words of the first that count are all alike, and those of the second are none of them.
        assert_eq!(texts.compare(1, 0, Extent::Whole, 0.0).score, 0.0);
    }

    #[test]
    fn runs_of_three_words_overlap_by_their_weight() {
        let texts = weighted(&["a b c d e", "x b c d y", "a"]);
        let of = |text| texts.texts.of(text);
        let weight =
            |words: &[usize]| -> u64 { words.iter().map(|it| u64::from(texts.weights[of(0)[*it] as usize])).sum() };
        let expected =
            weight(&[1, 2, 3]) as f32 / (weight(&[0, 1, 2]) + weight(&[1, 2, 3]) + weight(&[2, 3, 4])) as f32;
        assert!((texts.overlap(of(0), &[of(1)]).unwrap() - expected).abs() < 1e-6);
        let [known, new, other, same] = texts.numbers(["C d", "new", "other", "NEW"]);
        assert_eq!(texts.overlap(&known, &[of(2), of(1)]), Some(1.0));
        assert_eq!(texts.overlap(&new, &[&other, of(0)]), Some(0.0));
        assert_eq!(texts.overlap(&new, &[&other, &same]), Some(1.0));
        assert_eq!(texts.overlap(&[], &[of(0)]), None);
    }

    proptest! {
        /// The recurrence of the textbook over all pairs of places.
        #[test]
        fn the_score_is_that_of_the_heaviest_common_subsequence(
            a in prop::collection::vec(0_u8..6, 1..16),
            b in prop::collection::vec(0_u8..6, 1..16),
        ) {
            let text = |words: &[u8]| words.iter().map(|it| format!("w{it}")).collect::<Vec<_>>().join(" ");
            let texts = weighted(&[&text(&a), &text(&b), "w0 w1", "w0"]);
            let (ours, theirs) = (texts.texts.of(0), texts.texts.of(1));
            let weight = textbook(&texts.weights, ours, theirs);
            let expected = texts.ratio(weight, texts.weight(ours), texts.weight(theirs));
            prop_assert_eq!(texts.compare(0, 1, Extent::Whole, 0.0).score, expected);
            // A minimum leaves out nothing that reaches it.
            prop_assert_eq!(texts.compare(0, 1, Extent::Whole, expected).score, expected);
        }

        #[test]
        fn the_best_passage_has_the_heaviest_words_as_often_as_asked(
            a in prop::collection::vec(0_u8..4, 1..6),
            b in prop::collection::vec(0_u8..8, 13..40),
        ) {
            let text = |words: &[u8]| words.iter().map(|it| format!("w{it}")).collect::<Vec<_>>().join(" ");
            let texts = weighted(&[&text(&a), &text(&b)]);
            let (ours, theirs) = (texts.texts.of(0), texts.texts.of(1));
            let gain = |passage: &[u32]| {
                let mut left = passage.to_vec();
                let mut gain = 0;
                for word in ours {
                    if let Some(at) = left.iter().position(|it| it == word) {
                        gain += texts.weights[left.swap_remove(at) as usize];
                    }
                }
                gain
            };
            let gains: Vec<u32> = theirs.windows(MUCH_LONGER * ours.len()).map(gain).collect();
            let best = gains.iter().max().unwrap();
            prop_assert_eq!(Some(texts.best_passage(ours, theirs)), gains.iter().position(|it| it == best));
        }
    }
}
