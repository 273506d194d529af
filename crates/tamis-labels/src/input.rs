//! Checks of the arrays where they enter the crate; later code relies on them.

use ndarray::ArrayView2;

use crate::Error;

/// Fewest classes for which a label can be wrong.
const MIN_CLASSES: usize = 2;

/// Most rows and most columns: both are kept as `u32`, of which one value says that there is none.
const MAX_LENGTH: usize = u32::MAX as usize - 1;

/// Checks labels and the shape `(n, n_classes)` of probabilities against each other and returns `n_classes`.
///
/// The values are checked where they are first read.
pub(crate) fn check_labeled_shape(labels: &[u32], (n_samples, n_classes): (usize, usize)) -> Result<usize, Error> {
    check_length("labels", n_samples, labels.len())?;
    let what = "probabilities";
    if n_classes < MIN_CLASSES {
        return Err(Error::TooFew { what, unit: "columns", expected: MIN_CLASSES, got: n_classes });
    }
    if n_samples == 0 {
        return Err(Error::TooFew { what, unit: "rows", expected: 1, got: 0 });
    }
    for (unit, got) in [("rows", n_samples), ("columns", n_classes)] {
        if MAX_LENGTH < got {
            return Err(Error::TooMany { what, unit, expected: MAX_LENGTH, got });
        }
    }
    check_labels(labels, n_classes)?;
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

/// Checks every value of a matrix; the error names the first that is not legal.
pub(crate) fn check_values(
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
