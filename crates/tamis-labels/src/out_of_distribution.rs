//! Scores of what does not belong: from distances to neighbors, or from probabilities alone. **Low is suspicious.**
//!
//! The distance score is that of Kuan and Mueller, "Back to the Basics: Revisiting Out-of-Distribution Detection
//! Baselines" (2022), scaled as in cleanlab 2.9.0; the generalized entropy is section 3.2 of Liu, Lochman and Zach, "GEN:
//! Pushing the Limits of Softmax-Based Out-of-Distribution Detection" (CVPR 2023). All scores equal cleanlab 2.9.0's.

use ndarray::ArrayView2;

use crate::Error;
use crate::confident::class_thresholds;
use crate::input::check_values;

/// Exponent of the generalized entropy (the paper's default, cleanlab 2.9.0's as well).
const GEN_GAMMA: f64 = 0.1;

/// Number of the largest probabilities in the generalized entropy, and what their sum is divided by (cleanlab 2.9.0).
const GEN_CLASSES: usize = 100;

/// How probabilities tell that an item belongs to none of the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbabilityScore {
    /// One less the entropy divided by ln(`n_classes`), in [0, 1].
    Entropy,
    /// The largest probability, in [0, 1].
    LeastConfidence,
    /// One less the generalized entropy (gamma .1, the 100 most probable classes) divided by 100, in [0, 1].
    ///
    /// The soft-max of the row is taken first, as cleanlab 2.9.0 does although it is handed probabilities.
    Gen,
}

/// The scale of [`distance_scores`]: the median over the items of the mean distance to the neighbors.
///
/// `distances` is `(n, k)`. Of an even number of items it is the mean of the middle two.
/// O(n (k + log n)) time, O(n) memory.
///
/// # Errors
/// When there is no row or no column, or a distance is negative or not finite.
pub fn distance_scale(distances: ArrayView2<'_, f64>) -> Result<f64, Error> {
    let mut means = mean_distances(distances)?;
    means.sort_by(f64::total_cmp);
    let middle = means.len() / 2;
    Ok(if means.len() % 2 == 1 { means[middle] } else { f64::midpoint(means[middle - 1], means[middle]) })
}

/// Scores each item by `exp(-mean / scale)` of its mean distance to its neighbors, in [0, 1].
///
/// `distances` is `(n, k)`: to the k nearest other items, in any order. cleanlab 2.9.0 takes cosine distances where the
/// vectors have more than three dimensions and Euclidean ones else, and k = 10; exact duplicates must have distance
/// exactly 0. `scale` is the [`distance_scale`] of the items that are taken as belonging, usually the same ones. Where
/// the scale is 0, an item scores 1 when its own mean is 0 and 0 else. O(n k) time, O(n) memory.
///
/// # Errors
/// When there is no row or no column, a distance is negative or not finite, or the scale is.
pub fn distance_scores(distances: ArrayView2<'_, f64>, scale: f64) -> Result<Vec<f64>, Error> {
    if !(0.0..f64::INFINITY).contains(&scale) {
        return Err(Error::InvalidOption { option: "scale", expected: "a finite number of at least 0", got: scale });
    }
    let means = mean_distances(distances)?;
    // The least positive number keeps 0 / 0 at 0.
    Ok(means.iter().map(|mean| (-mean / scale.max(f64::MIN_POSITIVE)).exp()).collect())
}

/// Scores each item by its probabilities `(n, n_classes)`.
///
/// With `labels`, rows are first adjusted by the class thresholds as in [`crate::Adjustment::Thresholds`].
/// O(n · `n_classes`) time, with a factor log(`n_classes`) for [`ProbabilityScore::Gen`]; O(n) memory.
///
/// # Errors
/// When there are fewer than two columns, labels and probabilities do not fit each other, or a value is illegal.
pub fn probability_scores(
    probabilities: ArrayView2<'_, f32>,
    labels: Option<&[u32]>,
    score: ProbabilityScore,
) -> Result<Vec<f64>, Error> {
    let n_classes = probabilities.ncols();
    if n_classes < 2 {
        return Err(Error::TooFew { what: "probabilities", unit: "columns", expected: 2, got: n_classes });
    }
    if probabilities.nrows() == 0 {
        return Err(Error::TooFew { what: "probabilities", unit: "rows", expected: 1, got: 0 });
    }
    check_values("probabilities", probabilities, "a number in [0, 1]", |value| (0.0..=1.0).contains(&value))?;
    let mut offsets = vec![0.0; n_classes];
    if let Some(labels) = labels {
        let thresholds = class_thresholds(labels, probabilities)?;
        let largest = thresholds.iter().copied().fold(0.0, f64::max);
        offsets = thresholds.iter().map(|threshold| largest - threshold).collect();
    }
    let mut row = vec![0.0; n_classes];
    let mut scores = Vec::with_capacity(probabilities.nrows());
    for entries in probabilities.rows() {
        for ((value, &entry), offset) in row.iter_mut().zip(entries).zip(&offsets) {
            *value = f64::from(entry) + offset;
        }
        if labels.is_some() {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= total);
        }
        scores.push(match score {
            ProbabilityScore::Entropy => 1.0 - entropy(&row) / (n_classes as f64).ln(),
            ProbabilityScore::LeastConfidence => row.iter().copied().fold(0.0, f64::max),
            ProbabilityScore::Gen => 1.0 - generalized_entropy(&mut row) / GEN_CLASSES as f64,
        });
    }
    Ok(scores)
}

fn mean_distances(distances: ArrayView2<'_, f64>) -> Result<Vec<f64>, Error> {
    for (unit, got) in [("rows", distances.nrows()), ("columns", distances.ncols())] {
        if got == 0 {
            return Err(Error::TooFew { what: "distances", unit, expected: 1, got });
        }
    }
    for ((row, column), &got) in distances.indexed_iter() {
        if !(0.0..f64::INFINITY).contains(&got) {
            let expected = "a finite number of at least 0";
            return Err(Error::ValueOutOfRange { what: "distances", row, column, expected, got });
        }
    }
    Ok(distances.rows().into_iter().map(|row| row.sum() / row.len() as f64).collect())
}

fn entropy(row: &[f64]) -> f64 {
    row.iter().filter(|&&value| value > 0.0).map(|&value| -value * value.ln()).sum()
}

/// The sum of `p^gamma (1 - p)^gamma` over the largest entries of the row's soft-max; the row is overwritten.
fn generalized_entropy(row: &mut [f64]) -> f64 {
    row.iter_mut().for_each(|value| *value = value.exp());
    let total: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= total);
    row.sort_by(|a, b| b.total_cmp(a));
    row.iter().take(GEN_CLASSES).map(|&p| (p * (1.0 - p)).powf(GEN_GAMMA)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn the_median_item_scores_one_over_e_and_a_duplicate_one() {
        let distances = array![[0.0, 0.0], [1.0, 3.0], [4.0, 8.0]];
        let scale = distance_scale(distances.view()).unwrap();
        assert!((scale - 2.0).abs() < 1e-15, "{scale}");
        let scores = distance_scores(distances.view(), scale).unwrap();
        for (got, expected) in scores.iter().zip([1.0, (-1.0_f64).exp(), (-3.0_f64).exp()]) {
            assert!((got - expected).abs() < 1e-15, "{scores:?}");
        }
    }

    #[test]
    fn a_scale_of_zero_parts_duplicates_from_the_rest() {
        let scores = distance_scores(array![[0.0], [0.0], [1e-9]].view(), 0.0).unwrap();
        assert_eq!(scores, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn bad_distances_are_named() {
        let message = |distances: Array2<f64>| distance_scale(distances.view()).unwrap_err().to_string();
        let expected = "expected a finite number of at least 0";
        assert_eq!(message(array![[0.0, -1.0]]), format!("distances at row 0, column 1 is -1, {expected}"));
        assert_eq!(message(array![[0.0], [f64::NAN]]), format!("distances at row 1, column 0 is NaN, {expected}"));
        assert_eq!(message(Array2::zeros((0, 3))), "distances has 0 rows, expected at least 1");
        assert_eq!(message(Array2::zeros((3, 0))), "distances has 0 columns, expected at least 1");
        let scale = distance_scores(array![[1.0]].view(), f64::NAN).unwrap_err().to_string();
        assert_eq!(scale, format!("option scale is NaN, {expected}"));
    }

    #[test]
    fn bad_probabilities_are_named() {
        let message = |probabilities: Array2<f32>| {
            let scores = probability_scores(probabilities.view(), None, ProbabilityScore::Entropy);
            scores.unwrap_err().to_string()
        };
        assert_eq!(message(array![[1.0]]), "probabilities has 1 columns, expected at least 2");
        let expected = "probabilities at row 1, column 0 is NaN, expected a number in [0, 1]";
        assert_eq!(message(array![[0.5, 0.5], [f32::NAN, 1.0]]), expected);
    }
}
