//! The confident joint: how often an item given label `s` looks confidently like class `y`.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::input::{check_labels, label_counts};
use crate::scan::{NO_GUESS, Scan};
use crate::sum::pairwise_sum;
use crate::{ConfidentLearning, Error, LearningOptions, Probability};

/// Least threshold of a class that is given at least once (cleanlab 2.9.0, `count`: twice its 1e-6).
pub(crate) const MIN_THRESHOLD: f64 = 2e-6;

/// Threshold of a class that no item is given: above every probability, so that it never counts (cleanlab 2.9.0).
pub(crate) const ABSENT_THRESHOLD: f64 = 2.0;

/// Columns of the joint that are read side by side where it is summed column by column: four cache lines, so that the
/// rows of a joint of many classes, which lie on pages of their own, are visited less often.
const SUMMED_COLUMNS: usize = 32;

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
/// Source: section 3.1 of Northcutt et al. 2021; the two constants are cleanlab 2.9.0's. O(n · `n_classes`) time for the
/// checks, O(n) memory.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn class_thresholds<P: Probability>(labels: &[u32], probabilities: ArrayView2<'_, P>) -> Result<Vec<f64>, Error> {
    let learning = ConfidentLearning::new(labels, probabilities, &LearningOptions::default())?;
    Ok(learning.thresholds().to_vec())
}

/// Counts every item under its given label and the class it confidently looks like.
///
/// A class is confident for an item when its probability is at least the class's threshold less 1e-6. An item without
/// confident class is not counted, one confident class is the guess, and of several `collision` decides (equal
/// probabilities: the smaller class). `thresholds` has one entry per class, as [`class_thresholds`] gives them.
/// O(n · `n_classes`) time, O(`n_classes`² + n) memory.
///
/// # Errors
/// When labels, probabilities `(n, n_classes)` and thresholds do not fit each other or hold illegal values.
pub fn confident_joint<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    thresholds: &[f64],
    collision: Collision,
) -> Result<ConfidentJoint, Error> {
    let options = LearningOptions { collision, thresholds: Some(thresholds.to_vec()), ..LearningOptions::default() };
    Ok(ConfidentLearning::new(labels, probabilities, &options)?.joint())
}

/// Scales the confident joint to the number of items given each label, keeping whole numbers.
///
/// Row `s` of the result sums to the number of items given `s`; a class no item is given has a row of zeros. Each row is
/// rounded half to even; if it then lacks `m` items, the `m` entries that were rounded down most gain one (ties: the
/// higher class first), and if it has `m` too many, the `m` entries that were rounded up most lose one (ties: the lower
/// class first). The tie rule is that of cleanlab 2.9.0 with a stable sort. O(`n_classes`²) time and memory.
///
/// # Errors
/// When `counts` is not `(n_classes, n_classes)`, has a row of zeros, or a label is not below `n_classes`.
pub fn calibrated_joint(counts: ArrayView2<'_, u64>, labels: &[u32]) -> Result<Array2<u64>, Error> {
    let (n_rows, n_classes) = counts.dim();
    check_joint_shape(counts, n_rows)?;
    check_labels(labels, n_classes)?;
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
    Ok(calibrate(counts.to_owned(), &given))
}

/// Normalizes a calibrated joint to the estimated joint distribution of given and true labels.
///
/// The result `(n_classes, n_classes)` sums to 1, entry `(s, y)` being the estimate of P(given s, true y). A joint
/// without any count gives zeros.
pub fn estimated_joint(calibrated: ArrayView2<'_, u64>) -> Array2<f64> {
    let total = calibrated.sum().max(1) as f64;
    calibrated.mapv(|count| count as f64 / total)
}

/// Checks that a joint is `(n_classes, n_classes)`.
pub(crate) fn check_joint_shape(counts: ArrayView2<'_, u64>, n_classes: usize) -> Result<(), Error> {
    if counts.dim() == (n_classes, n_classes) {
        return Ok(());
    }
    Err(Error::ShapeMismatch { what: "confident joint", expected: (n_classes, n_classes), got: counts.dim() })
}

/// Thresholds of the classes from the probability of each item's given label, in index order.
pub(crate) fn mean_self_confidence(labels: &[u32], own: &[f64], given: &[u64]) -> Vec<f64> {
    let mut sums = vec![0.0_f64; given.len()];
    for (&label, own) in labels.iter().zip(own) {
        sums[label as usize] += own;
    }
    sums.iter()
        .zip(given)
        .map(|(&sum, &count)| match count {
            0 => ABSENT_THRESHOLD,
            _ => (sum / count as f64).max(MIN_THRESHOLD),
        })
        .collect()
}

/// Counts the guesses of a scan by given label, with the diagonal raised to 1.
pub(crate) fn counts_of(labels: &[u32], scan: &Scan, n_classes: usize) -> Array2<u64> {
    let mut counts = Array2::<u64>::zeros((n_classes, n_classes));
    for (&label, &guess) in labels.iter().zip(&scan.guesses) {
        if guess != NO_GUESS {
            counts[[label as usize, guess as usize]] += 1;
        }
    }
    for count in counts.diag_mut() {
        *count = (*count).max(1);
    }
    counts
}

/// [`calibrated_joint`] for counts whose shape and rows are known to be good, in place.
pub(crate) fn calibrate(mut counts: Array2<u64>, given: &[u64]) -> Array2<u64> {
    let row_sums: Vec<f64> = counts.rows().into_iter().map(|row| row.sum() as f64).collect();
    let scale = |row: usize, count: u64| match count {
        0 => 0.0,
        // 1e-100 keeps a row of zeros at zero (cleanlab 2.9.0).
        _ => count as f64 / row_sums[row].max(1e-100) * given[row] as f64,
    };
    let total = sum_by_columns(counts.view(), scale);
    let n_samples = given.iter().sum::<u64>() as f64;
    counts.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row, mut entries)| {
        let scaled: Vec<f64> = entries.iter().map(|&count| scale(row, count) / total.max(1e-100) * n_samples).collect();
        for (entry, whole) in entries.iter_mut().zip(round_keeping_total(&scaled, given[row])) {
            *entry = whole;
        }
    });
    counts
}

/// Sums `scale(row, count)` column after column: cleanlab's array lies so in memory, and numpy sums as it lies.
fn sum_by_columns(counts: ArrayView2<'_, u64>, scale: impl Fn(usize, u64) -> f64) -> f64 {
    let n = counts.nrows();
    let mut columns = vec![0.0; SUMMED_COLUMNS * n];
    let mut place = 0;
    pairwise_sum(n * n, &mut || {
        let (column, row) = (place / n, place % n);
        if row == 0 && column % SUMMED_COLUMNS == 0 {
            for (row, entries) in counts.rows().into_iter().enumerate() {
                for (offset, &count) in entries.iter().skip(column).take(SUMMED_COLUMNS).enumerate() {
                    columns[offset * n + row] = scale(row, count);
                }
            }
        }
        place += 1;
        columns[column % SUMMED_COLUMNS * n + row]
    })
}

/// Rounds non-negative values to whole numbers that sum to `total`, as [`calibrated_joint`] documents.
pub(crate) fn round_keeping_total(values: &[f64], total: u64) -> Vec<u64> {
    // Most counts of many classes are 0, and rounding is a call of the system's library on some processors.
    let round = |&value: &f64| if 0.0 < value { value.round_ties_even() } else { 0.0 };
    let mut rounded: Vec<f64> = values.iter().map(round).collect();
    let missing = total as f64 - rounded.iter().sum::<f64>();
    let n_changes = (missing.abs() as usize).min(values.len());
    if 0 < n_changes {
        // Entries by how much they lose if they are not changed, then by the order that ties are changed in.
        let loss = |class: usize| (values[class] - rounded[class]) * missing.signum();
        let mut order: Vec<usize> = (0..values.len()).filter(|&class| 0.0 < loss(class)).collect();
        if order.len() < n_changes {
            order = (0..values.len()).collect();
        }
        let by_loss = |a: &usize, b: &usize| {
            let ties = if missing < 0.0 { a.cmp(b) } else { b.cmp(a) };
            loss(*b).total_cmp(&loss(*a)).then(ties)
        };
        order.select_nth_unstable_by(n_changes - 1, by_loss);
        for &class in &order[..n_changes] {
            rounded[class] += missing.signum();
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
