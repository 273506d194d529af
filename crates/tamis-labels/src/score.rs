//! Label quality scores: one number per item, **low is suspicious**.
//!
//! The formulas are those of cleanlab 2.9.0 (`rank`); self-confidence and normalized margin are also sections 3.2 and
//! the ranking rule of Northcutt et al. 2021. Each score costs O(n · `n_classes`) time.

use ndarray::{ArrayView1, ArrayView2};

use crate::Error;
use crate::confident::thresholds_of_checked;
use crate::input::check_labeled_probabilities;

/// Least self-confidence and least normalized entropy that are divided by (cleanlab 2.9.0).
const MIN_DIVISOR: f64 = 1e-6;

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
pub fn self_confidence(labels: &[u32], probabilities: ArrayView2<'_, f32>) -> Result<Vec<f64>, Error> {
    self_confidence_adjusted(labels, probabilities, Adjustment::None)
}

/// Scores each item by the probability of its given label, with or without threshold adjustment.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn self_confidence_adjusted(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    adjustment: Adjustment,
) -> Result<Vec<f64>, Error> {
    scored(labels, probabilities, adjustment, |row, label| row[label])
}

/// Scores each item by `(p(given) - max p(other) + 1) / 2`, in [0, 1]; below one half another class is more probable.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn normalized_margin(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    adjustment: Adjustment,
) -> Result<Vec<f64>, Error> {
    scored(labels, probabilities, adjustment, |row, label| {
        let other = row
            .iter()
            .enumerate()
            .filter(|&(class, _)| class != label)
            .fold(f64::NEG_INFINITY, |best, (_, &value)| best.max(value));
        f64::midpoint(row[label] - other, 1.0)
    })
}

/// Scores each item by `ln(h + 1) / h` of `h` = normalized entropy / p(given), in (0, 1].
///
/// The normalized entropy of the probabilities lies in [0, 1]; a sure model that contradicts the label, and an unsure
/// one, both give low scores.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn confidence_weighted_entropy(labels: &[u32], probabilities: ArrayView2<'_, f32>) -> Result<Vec<f64>, Error> {
    scored(labels, probabilities, Adjustment::None, |row, label| {
        let entropy: f64 = row.iter().filter(|&&value| value > 0.0).map(|&value| -value * value.ln()).sum();
        let normalized = entropy / (row.len() as f64).ln();
        let weighted = normalized / row[label].max(MIN_DIVISOR);
        (weighted + 1.0).ln() / weighted.max(MIN_DIVISOR)
    })
}

/// Applies `score(probabilities of the item, given label)` to every item.
fn scored(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    adjustment: Adjustment,
    score: impl Fn(&[f64], usize) -> f64,
) -> Result<Vec<f64>, Error> {
    let n_classes = check_labeled_probabilities(labels, probabilities)?;
    let offsets = match adjustment {
        Adjustment::None => None,
        Adjustment::Thresholds => Some(threshold_offsets(labels, probabilities, n_classes)),
    };
    let mut row = vec![0.0; n_classes];
    let mut scores = Vec::with_capacity(labels.len());
    for (entries, &label) in probabilities.rows().into_iter().zip(labels) {
        load(&mut row, entries, offsets.as_deref());
        scores.push(score(&row, label as usize));
    }
    Ok(scores)
}

/// What threshold adjustment adds to each class before scaling: the largest threshold less the class's own.
fn threshold_offsets(labels: &[u32], probabilities: ArrayView2<'_, f32>, n_classes: usize) -> Vec<f64> {
    let thresholds = thresholds_of_checked(labels, probabilities, n_classes);
    let largest = thresholds.iter().fold(0.0_f64, |best, &value| best.max(value));
    thresholds.iter().map(|threshold| largest - threshold).collect()
}

/// Copies one row, adjusted when there are offsets.
fn load(row: &mut [f64], entries: ArrayView1<'_, f32>, offsets: Option<&[f64]>) {
    for (value, &entry) in row.iter_mut().zip(entries) {
        *value = f64::from(entry);
    }
    let Some(offsets) = offsets else { return };
    for (value, offset) in row.iter_mut().zip(offsets) {
        *value += offset;
    }
    let total: f64 = row.iter().sum();
    for value in row.iter_mut() {
        *value /= total;
    }
}
