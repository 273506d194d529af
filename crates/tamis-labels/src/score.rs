//! Label quality scores: one number per item, **low is suspicious**.
//!
//! The formulas are those of cleanlab 2.9.0 (`rank`); self-confidence and normalized margin are also sections 3.2 and
//! the ranking rule of Northcutt et al. 2021. Each score costs O(n · `n_classes`) time.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::table::Block;
use crate::{ConfidentLearning, Error, LearningOptions, Probability};

/// Least self-confidence and least normalized entropy that are divided by (cleanlab 2.9.0).
const MIN_DIVISOR: f64 = 1e-6;

/// Which label quality score to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum QualityScore {
    /// The probability of the given label, in [0, 1].
    #[default]
    SelfConfidence,
    /// `(p(given) - max p(other) + 1) / 2`, in [0, 1]; below one half another class is more probable.
    NormalizedMargin,
    /// `ln(h + 1) / h` of `h` = normalized entropy / p(given), in (0, 1].
    ConfidenceWeightedEntropy,
}

impl QualityScore {
    /// Every score, in documented order.
    pub const ALL: [Self; 3] = [Self::SelfConfidence, Self::NormalizedMargin, Self::ConfidenceWeightedEntropy];

    /// The name of the score in cleanlab.
    pub fn name(self) -> &'static str {
        match self {
            Self::SelfConfidence => "self_confidence",
            Self::NormalizedMargin => "normalized_margin",
            Self::ConfidenceWeightedEntropy => "confidence_weighted_entropy",
        }
    }

    /// The score of one item from its probabilities.
    fn of(self, row: &[f64], label: usize) -> f64 {
        match self {
            Self::SelfConfidence => row[label],
            Self::NormalizedMargin => {
                let (before, after) = (&row[..label], &row[label + 1..]);
                let other = before.iter().chain(after).fold(f64::NEG_INFINITY, |best, &value| best.max(value));
                f64::midpoint(row[label] - other, 1.0)
            }
            Self::ConfidenceWeightedEntropy => {
                let entropy: f64 = row.iter().filter(|&&value| value > 0.0).map(|&value| -value * value.ln()).sum();
                let normalized = entropy / (row.len() as f64).ln();
                let weighted = normalized / row[label].max(MIN_DIVISOR);
                (weighted + 1.0).ln() / weighted.max(MIN_DIVISOR)
            }
        }
    }
}

impl fmt::Display for QualityScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for QualityScore {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|score| score.name() == name).ok_or_else(|| Error::UnknownName {
            what: "label quality score",
            got: name.to_owned(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Whether a score compares probabilities as they are or relative to the class thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adjustment {
    /// Probabilities as they are.
    #[default]
    None,
    /// Each row less the class thresholds, plus the largest threshold, scaled to sum 1: classes of which the model is
    /// never sure are no longer suspected as a whole.
    Thresholds,
}

/// Scores each item by the probability of its given label, in [0, 1].
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn self_confidence<P: Probability>(labels: &[u32], probabilities: ArrayView2<'_, P>) -> Result<Vec<f64>, Error> {
    self_confidence_adjusted(labels, probabilities, Adjustment::None)
}

/// Scores each item by the probability of its given label, with or without threshold adjustment.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn self_confidence_adjusted<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    adjustment: Adjustment,
) -> Result<Vec<f64>, Error> {
    ConfidentLearning::new(labels, probabilities, &LearningOptions::default())?
        .scores(QualityScore::SelfConfidence, adjustment)
}

/// Scores each item by `(p(given) - max p(other) + 1) / 2`, in [0, 1]; below one half another class is more probable.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn normalized_margin<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    adjustment: Adjustment,
) -> Result<Vec<f64>, Error> {
    ConfidentLearning::new(labels, probabilities, &LearningOptions::default())?
        .scores(QualityScore::NormalizedMargin, adjustment)
}

/// Scores each item by `ln(h + 1) / h` of `h` = normalized entropy / p(given), in (0, 1].
///
/// The normalized entropy of the probabilities lies in [0, 1]; a sure model that contradicts the label, and an unsure
/// one, both give low scores.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn confidence_weighted_entropy<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
) -> Result<Vec<f64>, Error> {
    ConfidentLearning::new(labels, probabilities, &LearningOptions::default())?
        .scores(QualityScore::ConfidenceWeightedEntropy, Adjustment::None)
}

/// Rows of the `n` lowest scores, lowest first; equal scores go to the smaller row.
///
/// Fewer when there are fewer scores. O(n log n) time, 16 bytes a score; scores must be numbers.
pub fn lowest(scores: &[f64], n: usize) -> Vec<usize> {
    sorted_rows(smallest(scores.iter().zip(0..).map(|(&score, row)| RankKey::new(score, row)).collect(), n))
}

/// Rows that are flagged, lowest score first; equal scores go to the smaller row.
///
/// # Panics
/// When there are fewer scores than flags.
pub fn order_by_score(flags: &[bool], scores: &[f64]) -> Vec<usize> {
    let flagged = flags.iter().enumerate().filter(|&(_, &flag)| flag);
    sorted_rows(flagged.map(|(row, _)| RankKey::new(scores[row], row)).collect())
}

/// A number and a row, as one whole number that orders by the number and then by the row; -0 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RankKey(u128);

impl RankKey {
    pub(crate) fn new(number: f64, row: usize) -> Self {
        // The bits of positive numbers order as the numbers do, those of negative ones the other way around.
        let bits = (number + 0.0).to_bits();
        let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        Self(u128::from(ordered) << 64 | row as u128)
    }

    pub(crate) fn row(self) -> usize {
        self.0 as usize
    }
}

/// Rows of the keys, ascending.
pub(crate) fn sorted_rows(mut keys: Vec<RankKey>) -> Vec<usize> {
    keys.par_sort_unstable();
    keys.into_iter().map(RankKey::row).collect()
}

/// The `n` smallest keys, in no particular order.
pub(crate) fn smallest(mut keys: Vec<RankKey>, n: usize) -> Vec<RankKey> {
    if 0 < n && n < keys.len() {
        keys.select_nth_unstable(n - 1);
    }
    keys.truncate(n);
    keys
}

impl<P: Probability> ConfidentLearning<'_, P> {
    /// Scores every item; **low is suspicious**.
    ///
    /// O(n · `n_classes`) time, O(n) memory; blocks of rows run in parallel.
    ///
    /// # Errors
    /// When the confidence-weighted entropy is to be adjusted, which cleanlab 2.9.0 refuses as well: adjusted rows are no
    /// probabilities of which an entropy means something.
    pub fn scores(&self, score: QualityScore, adjustment: Adjustment) -> Result<Vec<f64>, Error> {
        let offsets = self.offsets(score, adjustment)?;
        if score == QualityScore::SelfConfidence && offsets.is_none() {
            return Ok(self.own.clone());
        }
        let mut scores = vec![0.0; self.n_samples()];
        let step = self.table.block_rows();
        let blocks = (scores.par_chunks_mut(step), self.labels.par_chunks(step)).into_par_iter().enumerate();
        blocks.for_each(|(block, (scores, labels))| {
            let first = block * step;
            let offsets = offsets.as_deref();
            self.table.visit(first..first + labels.len(), |rows| match rows {
                Block::Given(rows) => score_rows(rows, labels, score, offsets, scores),
                Block::Renormalized(rows) => score_rows(rows, labels, score, offsets, scores),
            });
        });
        Ok(scores)
    }

    /// Scores some of the items.
    pub(crate) fn scores_of(
        &self,
        rows: &[usize],
        score: QualityScore,
        adjustment: Adjustment,
    ) -> Result<Vec<f64>, Error> {
        let offsets = self.offsets(score, adjustment)?;
        if score == QualityScore::SelfConfidence && offsets.is_none() {
            return Ok(rows.iter().map(|&row| self.own[row]).collect());
        }
        let buffer = || vec![0.0; self.n_classes()];
        let score_one = |entries: &mut Vec<f64>, &row: &usize| {
            self.table.load(row, entries);
            adjust(entries, offsets.as_deref());
            score.of(entries, self.labels[row] as usize)
        };
        Ok(rows.par_iter().map_init(buffer, score_one).collect())
    }

    /// What threshold adjustment adds to each class before scaling: the largest threshold less the class's own.
    fn offsets(&self, score: QualityScore, adjustment: Adjustment) -> Result<Option<Vec<f64>>, Error> {
        match (adjustment, score) {
            (Adjustment::None, _) => Ok(None),
            (Adjustment::Thresholds, QualityScore::ConfidenceWeightedEntropy) => {
                Err(Error::Unsupported { option: "threshold adjustment", with: "confidence_weighted_entropy" })
            }
            (Adjustment::Thresholds, _) => {
                let thresholds = self.thresholds();
                let largest = thresholds.iter().fold(f64::NEG_INFINITY, |best, &value| best.max(value));
                Ok(Some(thresholds.iter().map(|threshold| largest - threshold).collect()))
            }
        }
    }
}

fn score_rows<Q: Probability>(
    rows: &[Q],
    labels: &[u32],
    score: QualityScore,
    offsets: Option<&[f64]>,
    scores: &mut [f64],
) {
    let n_classes = rows.len() / labels.len();
    let mut row = vec![0.0; n_classes];
    for ((entries, &label), out) in rows.chunks_exact(n_classes).zip(labels).zip(scores) {
        for (value, &entry) in row.iter_mut().zip(entries) {
            *value = entry.into();
        }
        adjust(&mut row, offsets);
        *out = score.of(&row, label as usize);
    }
}

/// Shifts one row by the offsets and scales it to sum 1; without offsets it stays as it is.
fn adjust(row: &mut [f64], offsets: Option<&[f64]>) {
    let Some(offsets) = offsets else { return };
    for (value, offset) in row.iter_mut().zip(offsets) {
        *value += offset;
    }
    let total: f64 = row.iter().sum();
    for value in row.iter_mut() {
        *value /= total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn names_are_parsed_and_unknown_ones_listed() {
        for score in QualityScore::ALL {
            assert_eq!(score.to_string().parse::<QualityScore>().unwrap(), score);
        }
        let message = "margin".parse::<QualityScore>().unwrap_err().to_string();
        assert_eq!(
            message,
            "label quality score \"margin\" is unknown, expected one of self_confidence, normalized_margin, \
             confidence_weighted_entropy"
        );
    }

    #[test]
    fn lowest_scores_come_first_and_ties_go_to_the_smaller_row() {
        let scores = [0.5, 0.25, 0.5, 0.0, 0.25];
        assert_eq!(lowest(&scores, 4), [3, 1, 4, 0]);
        assert_eq!(lowest(&scores, 9), [3, 1, 4, 0, 2]);
        assert!(lowest(&scores, 0).is_empty());
        assert_eq!(order_by_score(&[true, true, true, false, true], &scores), [1, 4, 0, 2]);
    }

    #[test]
    fn keys_order_as_numbers_and_then_as_rows() {
        let numbers = [f64::NEG_INFINITY, -1.0, -0.5, -1e-300, 0.0, 1e-300, 0.5, 1.0];
        assert!(numbers.is_sorted_by(|&a, &b| RankKey::new(a, 9) < RankKey::new(b, 0)));
        assert_eq!(RankKey::new(-0.0, 3), RankKey::new(0.0, 3));
        assert!(RankKey::new(0.0, 3) < RankKey::new(-0.0, 4));
        assert_eq!(RankKey::new(-1.0, usize::MAX).row(), usize::MAX);
    }

    #[test]
    fn the_entropy_is_not_adjusted() {
        let probabilities = array![[0.5_f64, 0.5]];
        let learning = ConfidentLearning::new(&[0], probabilities.view(), &LearningOptions::default()).unwrap();
        let scores = learning.scores(QualityScore::ConfidenceWeightedEntropy, Adjustment::Thresholds);
        let message = scores.unwrap_err().to_string();
        assert_eq!(message, "threshold adjustment cannot be combined with confidence_weighted_entropy");
    }
}
