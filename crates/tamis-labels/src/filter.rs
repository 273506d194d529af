//! Filters: which items to flag as mislabeled.
//!
//! The two prune filters first estimate from the calibrated joint **how many** items of each given label are wrong, then
//! flag that many of the most suspicious. Every filter finally takes back its flag where the model agrees with the label
//! (the most probable class, after 1e-6 is added to the given one, is the given one).
//! Method: section 3.2 of Northcutt et al. 2021, in the form of cleanlab 2.9.0 (`filter`) and with its stable tie rule:
//! equal margins or probabilities go to the smaller row.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::Error;
use crate::confident::{Collision, calibrate, joint_of_checked, thresholds_of_checked};
use crate::input::{check_labeled_probabilities, label_counts};

/// What is added to the probability of the given label before a flag is taken back (cleanlab 2.9.0).
const GIVEN_LABEL_BONUS: f64 = 1e-6;

/// Options of the filters that count before they flag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneOptions {
    /// Items of each given label that are kept at least; labels given to no more than this many items are never flagged.
    pub min_examples_per_class: u64,
    /// Share of the estimated label errors to flag, in [0, 1].
    pub frac_noise: f64,
    /// How the confident joint counts items with several confident classes.
    pub collision: Collision,
}

impl Default for PruneOptions {
    /// cleanlab's defaults: keep one item per class, flag all estimated errors.
    fn default() -> Self {
        Self { min_examples_per_class: 1, frac_noise: 1.0, collision: Collision::Cleanlab }
    }
}

/// Flags, for each pair of given class `k` and other class `j`, as many items given `k` as the joint says are truly `j`:
/// those with the largest `p(j) - p(k)`. cleanlab's default filter.
///
/// Returns one flag per item. A class given to a single item is never flagged. O(n · `n_classes`) time when every pair
/// of classes is confused, O(n) memory; classes run in parallel.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_noise_rate(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    let plan = PrunePlan::new(labels, probabilities, options)?;
    Ok(plan.flags(flag_by_noise_rate))
}

/// Flags, for each given class, as many items as the joint says are truly something else: those with the smallest
/// probability of the given label.
///
/// Returns one flag per item. A class given to a single item is never flagged. O(n) time and memory beyond the joint.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_class(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    let plan = PrunePlan::new(labels, probabilities, options)?;
    Ok(plan.flags(flag_by_class))
}

/// Flags what both [`prune_by_class`] and [`prune_by_noise_rate`] flag.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_both(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    let plan = PrunePlan::new(labels, probabilities, options)?;
    let mut flags = plan.flags(flag_by_class);
    for (flag, other) in flags.iter_mut().zip(plan.flags(flag_by_noise_rate)) {
        *flag &= other;
    }
    Ok(flags)
}

/// Flags the items that the confident joint counts off its diagonal, before any calibration.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn confident_learning(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    collision: Collision,
) -> Result<Vec<bool>, Error> {
    let n_classes = check_labeled_probabilities(labels, probabilities)?;
    let thresholds = thresholds_of_checked(labels, probabilities, n_classes);
    let joint = joint_of_checked(labels, probabilities, &thresholds, collision);
    Ok(flags_without_agreement(labels, probabilities, joint.off_diagonal))
}

/// Flags the items whose most probable class is not the given one; when it ties with the given one, it is no flag.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn predicted_neq_given(labels: &[u32], probabilities: ArrayView2<'_, f32>) -> Result<Vec<bool>, Error> {
    check_labeled_probabilities(labels, probabilities)?;
    Ok(flags_without_agreement(labels, probabilities, 0..labels.len()))
}

/// The items of one given class, and how many of them to flag.
struct ClassToPrune<'a> {
    probabilities: ArrayView2<'a, f32>,
    /// The given class.
    class: usize,
    /// Rows of its items, ascending.
    rows: &'a [usize],
    /// Per true class, how many items given `class` are kept (own class) or wrong (others).
    kept: Vec<u64>,
}

/// How many items of each class to flag.
struct PrunePlan<'a> {
    labels: &'a [u32],
    probabilities: ArrayView2<'a, f32>,
    min_examples_per_class: u64,
    /// Rows by given class.
    rows_of: Vec<Vec<usize>>,
    /// `(true, given)` counts: the calibrated joint, transposed and raised to the least number of kept items.
    kept: Array2<u64>,
}

impl<'a> PrunePlan<'a> {
    fn new(labels: &'a [u32], probabilities: ArrayView2<'a, f32>, options: &PruneOptions) -> Result<Self, Error> {
        let n_classes = check_labeled_probabilities(labels, probabilities)?;
        if !(0.0..=1.0).contains(&options.frac_noise) {
            return Err(Error::InvalidOption {
                option: "frac_noise",
                expected: "a number in [0, 1]",
                got: options.frac_noise,
            });
        }
        let thresholds = thresholds_of_checked(labels, probabilities, n_classes);
        let joint = joint_of_checked(labels, probabilities, &thresholds, options.collision);
        let calibrated = calibrate(joint.counts.view(), &label_counts(labels, n_classes));
        let mut rows_of = vec![Vec::new(); n_classes];
        for (row, &label) in labels.iter().enumerate() {
            rows_of[label as usize].push(row);
        }
        Ok(Self {
            labels,
            probabilities,
            min_examples_per_class: options.min_examples_per_class,
            rows_of,
            kept: counts_to_keep(calibrated.view(), options),
        })
    }

    /// Runs one rule over the classes and takes back flags where the model agrees with the label.
    fn flags(&self, rule: impl Fn(&ClassToPrune<'_>) -> Vec<usize> + Sync) -> Vec<bool> {
        let flagged: Vec<Vec<usize>> = self
            .rows_of
            .par_iter()
            .enumerate()
            .map(|(class, rows)| {
                // cleanlab never writes back the flags of a class with a single item.
                if rows.len() < 2 || rows.len() as u64 <= self.min_examples_per_class {
                    return Vec::new();
                }
                rule(&ClassToPrune {
                    probabilities: self.probabilities,
                    class,
                    rows,
                    kept: self.kept.column(class).to_vec(),
                })
            })
            .collect();
        flags_without_agreement(self.labels, self.probabilities, flagged.into_iter().flatten())
    }
}

fn flag_by_noise_rate(class: &ClassToPrune<'_>) -> Vec<usize> {
    let given = class.class;
    let mut flagged = Vec::new();
    for (other, &n_wrong) in class.kept.iter().enumerate() {
        if other == given || n_wrong == 0 {
            continue;
        }
        let falling_margin = |row: usize| {
            let entries = class.probabilities.row(row);
            f64::from(entries[given]) - f64::from(entries[other])
        };
        flagged.extend(smallest(class.rows, n_wrong, falling_margin));
    }
    flagged
}

fn flag_by_class(class: &ClassToPrune<'_>) -> Vec<usize> {
    let given = class.class;
    let n_wrong = (class.rows.len() as u64).saturating_sub(class.kept[given]);
    smallest(class.rows, n_wrong, |row| f64::from(class.probabilities[[row, given]]))
}

/// The `n` rows with the smallest keys, in no particular order; equal keys go to the smaller row.
fn smallest(rows: &[usize], n: u64, key: impl Fn(usize) -> f64) -> Vec<usize> {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if n == 0 {
        return Vec::new();
    }
    if rows.len() <= n {
        return rows.to_vec();
    }
    let mut keyed: Vec<(f64, usize)> = rows.iter().map(|&row| (key(row), row)).collect();
    keyed.select_nth_unstable_by(n - 1, |a, b| {
        // Keys come from checked probabilities, so they always compare; -0 and 0 are equal.
        a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
    });
    keyed.truncate(n);
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// Turns a calibrated joint into `(true, given)` counts that keep enough items of each class (cleanlab 2.9.0).
///
/// The diagonal is raised to the least number of kept items and the raise is taken in equal parts from the other counts
/// of that given class; these are then scaled by `frac_noise` and cut to whole numbers, and the diagonal takes the rest.
fn counts_to_keep(calibrated: ArrayView2<'_, u64>, options: &PruneOptions) -> Array2<u64> {
    let mut kept = Array2::zeros(calibrated.dim());
    for (given, row) in calibrated.rows().into_iter().enumerate() {
        let old_own = row[given];
        let own = old_own.max(options.min_examples_per_class);
        let n_nonzero = row.iter().filter(|&&count| count > 0).count();
        // One is taken off for the own class even when its count is zero, and at least one part remains (cleanlab).
        let n_parts = n_nonzero.saturating_sub(1).max(1);
        let part = (own - old_own) as f64 / n_parts as f64;
        let mut rest = 0.0;
        for (other, &count) in row.iter().enumerate() {
            if other == given {
                continue;
            }
            let reduced = (count as f64 - part).max(0.0);
            let scaled = reduced * options.frac_noise;
            rest += reduced - scaled;
            kept[[other, given]] = scaled as u64;
        }
        kept[[given, given]] = (own as f64 + rest) as u64;
    }
    kept
}

/// Flags the given rows except where the model agrees with the label.
fn flags_without_agreement(
    labels: &[u32],
    probabilities: ArrayView2<'_, f32>,
    rows: impl IntoIterator<Item = usize>,
) -> Vec<bool> {
    let mut flags = vec![false; labels.len()];
    for row in rows {
        flags[row] = !agrees(probabilities.row(row), labels[row] as usize);
    }
    flags
}

/// Whether the given label is the most probable class once it has its bonus; a tie goes to the smaller class.
fn agrees(entries: ArrayView1<'_, f32>, given: usize) -> bool {
    let own = f64::from(entries[given]) + GIVEN_LABEL_BONUS;
    entries.iter().enumerate().all(|(class, &value)| {
        let value = f64::from(value);
        match class.cmp(&given) {
            Ordering::Less => value < own,
            Ordering::Equal => true,
            Ordering::Greater => value <= own,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_diagonal_is_raised_at_the_expense_of_the_other_counts() {
        let options = PruneOptions { min_examples_per_class: 5, ..PruneOptions::default() };
        // Class 0 keeps 5 of 10; its raise of 3 is taken from two counts, 1.5 each, and cut to whole numbers.
        let kept = counts_to_keep(array![[2_u64, 4, 4], [0, 9, 0], [1, 0, 9]].view(), &options);
        assert_eq!(kept, array![[5, 0, 1], [2, 9, 0], [2, 0, 9]]);
    }

    #[test]
    fn a_share_of_the_noise_leaves_the_rest_on_the_diagonal() {
        let options = PruneOptions { frac_noise: 0.5, ..PruneOptions::default() };
        let kept = counts_to_keep(array![[5_u64, 5], [0, 9]].view(), &options);
        assert_eq!(kept, array![[7, 0], [2, 9]]);
    }

    #[test]
    fn a_class_with_one_item_is_never_pruned() {
        let probabilities = array![[0.9_f32, 0.1], [0.8, 0.2], [0.9, 0.1]];
        let options = PruneOptions { min_examples_per_class: 0, ..PruneOptions::default() };
        let flags = prune_by_class(&[0, 0, 1], probabilities.view(), &options).unwrap();
        assert_eq!(flags, [false; 3]);
        let predicted = predicted_neq_given(&[0, 0, 1], probabilities.view()).unwrap();
        assert_eq!(predicted, [false, false, true]);
    }

    #[test]
    fn a_tie_with_the_given_label_is_no_flag() {
        let flags = predicted_neq_given(&[1], array![[0.5_f32, 0.5]].view()).unwrap();
        assert_eq!(flags, [false]);
    }

    #[test]
    fn a_share_above_one_is_refused() {
        let options = PruneOptions { frac_noise: 1.5, ..PruneOptions::default() };
        let error = prune_by_noise_rate(&[0], array![[0.5_f32, 0.5]].view(), &options).unwrap_err();
        assert_eq!(error.to_string(), "option frac_noise is 1.5, expected a number in [0, 1]");
    }
}
