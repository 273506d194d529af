//! Checks of the arrays where they enter the crate; later code relies on them.

use ndarray::ArrayView2;

use crate::Error;

/// Fewest classes for which a label can be wrong.
const MIN_CLASSES: usize = 2;

/// Checks labels and probabilities of shape `(n, n_classes)` against each other and returns `n_classes`.
pub(crate) fn check_labeled_probabilities(labels: &[u32], probabilities: ArrayView2<'_, f32>) -> Result<usize, Error> {
    let (n_samples, n_classes) = probabilities.dim();
    check_length("labels", n_samples, labels.len())?;
    if n_classes < MIN_CLASSES {
        return Err(Error::TooFew { what: "probabilities", unit: "columns", expected: MIN_CLASSES, got: n_classes });
    }
    check_labels(labels, n_classes)?;
    check_values("probabilities", probabilities, "a number in [0, 1]", |value| (0.0..=1.0).contains(&value))?;
    Ok(n_classes)
}

/// Checks that features `(n, d)` are finite and that there is at least one row and one column.
pub(crate) fn check_features(features: ArrayView2<'_, f32>) -> Result<(), Error> {
    for (unit, got) in [("rows", features.nrows()), ("columns", features.ncols())] {
        if got == 0 {
            return Err(Error::TooFew { what: "features", unit, expected: 1, got });
        }
    }
    check_values("features", features, "a finite number", f32::is_finite)
}

/// Checks that every label is below `n_classes`.
pub(crate) fn check_labels(labels: &[u32], n_classes: usize) -> Result<(), Error> {
    match labels.iter().position(|&label| label as usize >= n_classes) {
        None => Ok(()),
        Some(row) => Err(Error::LabelOutOfRange { row, label: labels[row], n_classes }),
    }
}

/// Checks the length of one array against the number of items.
pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::LengthMismatch { what, expected, got })
}

/// Number of items given each label, length `n_classes`.
pub(crate) fn label_counts(labels: &[u32], n_classes: usize) -> Vec<u64> {
    let mut counts = vec![0; n_classes];
    for &label in labels {
        counts[label as usize] += 1;
    }
    counts
}

fn check_values(
    what: &'static str,
    values: ArrayView2<'_, f32>,
    expected: &'static str,
    is_legal: impl Fn(f32) -> bool,
) -> Result<(), Error> {
    for (row, entries) in values.rows().into_iter().enumerate() {
        if let Some(column) = entries.iter().position(|&value| !is_legal(value)) {
            return Err(Error::ValueOutOfRange { what, row, column, expected, got: f64::from(entries[column]) });
        }
    }
    Ok(())
}
