//! The confident joint: how often an item given label `s` looks confidently like class `y`.

use ndarray::{Array2, ArrayView2};

use crate::Error;
use crate::input::{check_labeled_probabilities, check_length, label_counts};

/// Least threshold of a class that is given at least once (cleanlab 2.9.0, `count`: twice its 1e-6).
pub(crate) const MIN_THRESHOLD: f64 = 2e-6;

/// Threshold of a class that no item is given: above every probability, so that it never counts (cleanlab 2.9.0).
pub(crate) const ABSENT_THRESHOLD: f64 = 2.0;

/// Slack below the threshold at which a class still counts as confident (cleanlab 2.9.0).
const THRESHOLD_SLACK: f64 = 1e-6;

/// Which class an item counts for when several classes reach their thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Collision {
    /// The most probable of **all** classes, even one that is under its own threshold: what cleanlab does.
    #[default]
    Cleanlab,
    /// The most probable of the classes that reach their thresholds: equation 1 of the paper.
    Paper,
}

/// Counts of given against confidently guessed labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfidentJoint {
    /// Counts `(n_classes, n_classes)`; rows are given labels, columns guessed true labels.
    ///
    /// Every diagonal entry is at least 1, also that of a class no item is given (cleanlab 2.9.0).
    pub counts: Array2<u64>,
    /// Rows of the items that count off the diagonal, ascending.
    pub off_diagonal: Vec<usize>,
}

/// Computes the mean self-confidence of the items given each class, length `n_classes`.
///
/// The values lie in [2e-6, 1]; a class that no item is given has 2.0, which no probability reaches.
/// Source: section 3.1 of Northcutt et al. 2021; the two constants are cleanlab 2.9.0's. O(n) time beyond the checks.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn class_thresholds(labels: &[u32], probabilities: ArrayView2<'_, f32>) -> Result<Vec<f64>, Error> {
    let n_classes = check_labeled_probabilities(labels, probabilities)?;
    Ok(thresholds_of_checked(labels, probabilities, n_classes))
}

/// Counts every item under its given label and the class it confidently looks like.
///
/// A class is confident for an item when its probability is at least the class's threshold less 1e-6. An item without
/// confident class is not counted, one confident class is the guess, and of several `collision` decides (equal
/// probabilities: the smaller class). `thresholds` has one entry per class, as [`class_thresholds`] gives them.
/// O(n · `n_classes`) time, O(`n_classes`²) memory beyond the item list.
///
/// # Errors
/// When labels, probabilities `(n, n_classes)` and thresholds do not fit each other or hold illegal values.
pub fn confident_joint(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    thresholds: &[f64],
    collision: Collision,
) -> Result<ConfidentJoint, Error> {
    let n_classes = check_labeled_probabilities(labels, probabilities)?;
    check_length("thresholds", n_classes, thresholds.len())?;
    if let Some(class) = thresholds.iter().position(|threshold| threshold.is_nan()) {
        return Err(Error::ValueOutOfRange {
            what: "thresholds",
            row: class,
            column: 0,
            expected: "a number",
            got: f64::NAN,
        });
    }
    Ok(joint_of_checked(labels, probabilities, thresholds, collision))
}

/// Scales the confident joint to the number of items given each label, keeping whole numbers.
///
/// Row `s` of the result sums to the number of items given `s`; a class no item is given has a row of zeros. Each row is
/// rounded half to even; if it then lacks `m` items, the `m` entries that were rounded down most gain one (ties: the
/// higher class first), and if it has `m` too many, the `m` entries that were rounded up most lose one (ties: the lower
/// class first). The tie rule is that of cleanlab 2.9.0 with a stable sort.
///
/// # Errors
/// When `counts` is not `(n_classes, n_classes)`, has a row of zeros, or a label is not below `n_classes`.
pub fn calibrated_joint(counts: ArrayView2<'_, u64>, labels: &[u32]) -> Result<Array2<u64>, Error> {
    let (n_rows, n_classes) = counts.dim();
    if n_rows != n_classes {
        return Err(Error::ShapeMismatch {
            what: "confident joint",
            expected: (n_rows, n_rows),
            got: (n_rows, n_classes),
        });
    }
    crate::input::check_labels(labels, n_classes)?;
    let given = label_counts(labels, n_classes);
    for (class, row) in counts.rows().into_iter().enumerate() {
        if row.sum() == 0 && given[class] > 0 {
            return Err(Error::ValueOutOfRange {
                what: "total of the confident joint",
                row: class,
                column: 0,
                expected: "a positive count for a label that is given",
                got: 0.0,
            });
        }
    }
    Ok(calibrate(counts, &given))
}

/// Normalizes a calibrated joint to the estimated joint distribution of given and true labels.
///
/// The result `(n_classes, n_classes)` sums to 1, entry `(s, y)` being the estimate of P(given s, true y). A joint
/// without any count gives zeros.
pub fn estimated_joint(calibrated: ArrayView2<'_, u64>) -> Array2<f64> {
    let total = calibrated.sum().max(1) as f64;
    calibrated.mapv(|count| count as f64 / total)
}

pub(crate) fn thresholds_of_checked(labels: &[u32], probabilities: ArrayView2<'_, f32>, n_classes: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f64; n_classes];
    for (row, &label) in labels.iter().enumerate() {
        sums[label as usize] += f64::from(probabilities[[row, label as usize]]);
    }
    sums.iter()
        .zip(label_counts(labels, n_classes))
        .map(|(&sum, count)| match count {
            0 => ABSENT_THRESHOLD,
            _ => (sum / count as f64).max(MIN_THRESHOLD),
        })
        .collect()
}

pub(crate) fn joint_of_checked(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    thresholds: &[f64],
    collision: Collision,
) -> ConfidentJoint {
    let n_classes = thresholds.len();
    let mut counts = Array2::<u64>::zeros((n_classes, n_classes));
    let mut off_diagonal = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        let entries = probabilities.row(row);
        let entries = entries.iter().map(|&value| f64::from(value));
        let Some(guess) = confident_class(entries, thresholds, collision) else {
            continue;
        };
        counts[[label as usize, guess]] += 1;
        if guess != label as usize {
            off_diagonal.push(row);
        }
    }
    for count in counts.diag_mut() {
        *count = (*count).max(1);
    }
    ConfidentJoint { counts, off_diagonal }
}

/// [`calibrated_joint`] for counts whose shape and rows are known to be good.
pub(crate) fn calibrate(counts: ArrayView2<'_, u64>, given: &[u64]) -> Array2<u64> {
    let mut scaled = counts.mapv(|count| count as f64);
    for (mut row, &n_given) in scaled.rows_mut().into_iter().zip(given) {
        // 1e-100 keeps a row of zeros at zero (cleanlab 2.9.0).
        let total = row.sum().max(1e-100);
        row.mapv_inplace(|count| count / total * n_given as f64);
    }
    let n_samples = given.iter().sum::<u64>() as f64;
    let total = scaled.sum();
    if total > 0.0 {
        scaled.mapv_inplace(|count| count / total * n_samples);
    }
    let mut rounded = Array2::zeros(counts.dim());
    for (row, &n_given) in given.iter().enumerate() {
        let whole = round_keeping_total(&scaled.row(row).to_vec(), n_given);
        rounded.row_mut(row).assign(&ndarray::ArrayView1::from(&whole));
    }
    rounded
}

/// The class an item counts for; `None` when no class reaches its threshold.
fn confident_class(entries: impl Iterator<Item = f64>, thresholds: &[f64], collision: Collision) -> Option<usize> {
    let mut n_confident = 0;
    let mut best_confident = (0, f64::NEG_INFINITY);
    let mut best = (0, f64::NEG_INFINITY);
    for (class, (value, threshold)) in entries.zip(thresholds).enumerate() {
        if best.1 < value {
            best = (class, value);
        }
        if threshold - THRESHOLD_SLACK <= value {
            n_confident += 1;
            if best_confident.1 < value {
                best_confident = (class, value);
            }
        }
    }
    match (n_confident, collision) {
        (0, _) => None,
        (1, _) | (_, Collision::Paper) => Some(best_confident.0),
        (_, Collision::Cleanlab) => Some(best.0),
    }
}

/// Rounds non-negative values to whole numbers that sum to `total`, as [`calibrated_joint`] documents.
fn round_keeping_total(values: &[f64], total: u64) -> Vec<u64> {
    let mut rounded: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let missing = total as f64 - rounded.iter().sum::<f64>();
    let n_changes = (missing.abs() as usize).min(values.len());
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Ascending by what rounding took away; the sort is stable, so equal entries stay in class order.
    order.sort_by(|&a, &b| (values[a] - rounded[a]).total_cmp(&(values[b] - rounded[b])));
    if missing > 0.0 {
        for &class in order.iter().rev().take(n_changes) {
            rounded[class] += 1.0;
        }
    } else {
        for &class in order.iter().take(n_changes) {
            rounded[class] -= 1.0;
        }
    }
    rounded.iter().map(|&value| value as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rounding_gives_missing_items_to_the_largest_remainders_and_ties_to_the_higher_class() {
        assert_eq!(round_keeping_total(&[1.4, 2.4, 0.2], 4), [1, 3, 0]);
        assert_eq!(round_keeping_total(&[0.5, 0.5, 2.0], 3), [0, 1, 2]);
    }

    #[test]
    fn rounding_takes_surplus_items_from_the_lower_class_first() {
        assert_eq!(round_keeping_total(&[1.5, 1.5, 0.0], 3), [1, 2, 0]);
    }

    #[test]
    fn a_collision_counts_the_arg_max_over_all_classes_or_over_the_confident_ones() {
        let probabilities = array![[0.41_f32, 0.30, 0.29]];
        let thresholds = [0.9, 0.25, 0.25];
        let count = |collision| {
            let joint = confident_joint(&[1], probabilities.view(), &thresholds, collision);
            joint.unwrap().off_diagonal
        };
        assert_eq!(count(Collision::Cleanlab), [0]);
        assert!(count(Collision::Paper).is_empty());
    }

    #[test]
    fn estimated_joint_sums_to_one() {
        let joint = estimated_joint(array![[3_u64, 1], [0, 4]].view());
        assert!((joint.sum() - 1.0).abs() < 1e-15);
        assert!((joint[[0, 1]] - 0.125).abs() < 1e-15);
    }

    #[test]
    fn bad_input_is_named() {
        let probabilities = array![[0.5_f32, 0.5], [0.2, f32::NAN]];
        let message = |labels: &[u32]| {
            let thresholds = class_thresholds(labels, probabilities.view());
            thresholds.unwrap_err().to_string()
        };
        assert_eq!(message(&[0]), "labels has 1 entries, expected 2");
        assert_eq!(message(&[0, 2]), "label of row 1 is 2, expected less than 2 (the number of classes)");
        assert_eq!(message(&[0, 1]), "probabilities at row 1, column 1 is NaN, expected a number in [0, 1]");
    }

    #[test]
    fn a_joint_that_is_not_square_is_refused() {
        let message = calibrated_joint(array![[1_u64, 0, 0], [0, 1, 0]].view(), &[0]).unwrap_err().to_string();
        assert_eq!(message, "confident joint has shape (2, 3), expected (2, 2)");
    }
}
