//! Label errors in token classification: sentences are ranges of one flat list of tokens.
//!
//! Method: Wang and Mueller, "Detecting Label Errors in Token Classification Data" (2022), with the constants of
//! cleanlab 2.9.0. A token is judged like any labeled item; `offsets` has one entry more than there are sentences, and
//! sentence t is the tokens `offsets[t]..offsets[t + 1]`. **Low is suspicious.**

use ndarray::ArrayView2;

use crate::Error;
use crate::filter::{PruneOptions, prune_by_noise_rate};
use crate::input::check_length;
use crate::score::self_confidence;

/// Temperature of the soft minimum over a sentence (cleanlab 2.9.0).
const SOFTMIN_TEMPERATURE: f64 = 0.05;

/// How the scores of its tokens make the score of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SentenceScore {
    /// The least score.
    #[default]
    Min,
    /// The mean of the scores `s` with weights `exp((1 - s) / .05)`.
    Softmin,
}

/// A token by its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    /// Index of the sentence.
    pub sentence: usize,
    /// Place in the sentence, from 0.
    pub position: usize,
}

/// Scores each sentence by the scores of its tokens, as one of the label quality scores gives them.
///
/// A sentence without tokens has nothing to suspect and scores 1. O(tokens) time.
///
/// # Errors
/// When the offsets do not start at 0, fall, or do not end at the number of tokens, or a score is not in [0, 1].
pub fn sentence_scores(scores: &[f64], offsets: &[usize], method: SentenceScore) -> Result<Vec<f64>, Error> {
    check_offsets(offsets, scores.len())?;
    if let Some(row) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
        let (expected, got) = ("a number in [0, 1]", scores[row]);
        return Err(Error::ValueOutOfRange { what: "token scores", row, column: 0, expected, got });
    }
    let sentences = offsets.windows(2).map(|ends| &scores[ends[0]..ends[1]]);
    Ok(sentences.map(|sentence| score(sentence, method)).collect())
}

/// Lists the tokens whose label is probably wrong, least self-confidence first (ties: the earlier token).
///
/// The flags are those of [`prune_by_noise_rate`] on all tokens as one list. Labels and probabilities `(n, n_classes)`
/// have one row per token. Time and memory as of the filter.
///
/// # Errors
/// As the filter's, and when the offsets do not start at 0, fall, or do not end at the number of tokens.
pub fn token_issues(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    offsets: &[usize],
    options: &PruneOptions,
) -> Result<Vec<Token>, Error> {
    check_offsets(offsets, labels.len())?;
    let flags = prune_by_noise_rate(labels, probabilities, options)?;
    let scores = self_confidence(labels, probabilities)?;
    let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| flags[row]).collect();
    rows.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let token = |row: usize| {
        // Of several sentences that start here all but the last are empty.
        let sentence = offsets.partition_point(|&offset| offset <= row) - 1;
        Token { sentence, position: row - offsets[sentence] }
    };
    Ok(rows.into_iter().map(token).collect())
}

fn score(sentence: &[f64], method: SentenceScore) -> f64 {
    let least = sentence.iter().copied().fold(1.0, f64::min);
    if sentence.is_empty() || method == SentenceScore::Min {
        return least;
    }
    // The largest weight is set to 1; the others follow.
    let weight = |value: f64| ((least - value) / SOFTMIN_TEMPERATURE).exp();
    let weighted: f64 = sentence.iter().map(|&value| weight(value) * value).sum();
    weighted / sentence.iter().map(|&value| weight(value)).sum::<f64>()
}

fn check_offsets(offsets: &[usize], n_tokens: usize) -> Result<(), Error> {
    if offsets.is_empty() {
        return Err(Error::TooFew { what: "offsets", unit: "entries", expected: 1, got: 0 });
    }
    let falls = offsets.windows(2).position(|ends| ends[1] < ends[0]).map(|sentence| sentence + 1);
    let bad = match falls {
        _ if offsets[0] != 0 => Some((0, "0, the first token")),
        Some(row) => Some((row, "at least the offset before it")),
        None => None,
    };
    if let Some((row, expected)) = bad {
        let got = offsets[row] as f64;
        return Err(Error::ValueOutOfRange { what: "offsets", row, column: 0, expected, got });
    }
    check_length("list of tokens", offsets[offsets.len() - 1], n_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_as_good_as_its_worst_token() {
        let scores = sentence_scores(&[0.9, 0.2, 0.7], &[0, 2, 2, 3], SentenceScore::Min).unwrap();
        assert_eq!(scores, [0.2, 1.0, 0.7]);
        let soft = sentence_scores(&[0.9, 0.2, 0.7], &[0, 2, 2, 3], SentenceScore::Softmin).unwrap();
        assert!(0.2 < soft[0] && soft[0] < 0.201, "{soft:?}");
        assert_eq!(soft[1..], [1.0, 0.7]);
    }

    #[test]
    fn bad_offsets_and_scores_are_named() {
        let message = |scores: &[f64], offsets: &[usize]| {
            let scores = sentence_scores(scores, offsets, SentenceScore::Min);
            scores.unwrap_err().to_string()
        };
        assert_eq!(message(&[], &[]), "offsets has 0 entries, expected at least 1");
        assert_eq!(message(&[1.0], &[1, 1]), "offsets at row 0, column 0 is 1, expected 0, the first token");
        let falling = "offsets at row 2, column 0 is 1, expected at least the offset before it";
        assert_eq!(message(&[1.0; 2], &[0, 2, 1]), falling);
        assert_eq!(message(&[1.0; 3], &[0, 2]), "list of tokens has 3 entries, expected 2");
        let nan = "token scores at row 1, column 0 is NaN, expected a number in [0, 1]";
        assert_eq!(message(&[1.0, f64::NAN], &[0, 2]), nan);
    }
}
