//! What can be wrong with the arrays handed in.

/// Input that no result can be computed from; the caller's fault in every case.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that describe the same items have different lengths.
    #[error("{what} has {got} entries, expected {expected}")]
    LengthMismatch {
        /// The array that does not fit.
        what: &'static str,
        /// Length of the array it must match.
        expected: usize,
        /// Its own length.
        got: usize,
    },
    /// A label names no class.
    #[error("label of row {row} is {label}, expected less than {n_classes} (the number of classes)")]
    LabelOutOfRange {
        /// Row of the label.
        row: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        n_classes: usize,
    },
    /// A value that must lie in an interval does not, or is not finite.
    #[error("{what} at row {row}, column {column} is {got}, expected {expected}")]
    ValueOutOfRange {
        /// The array that holds the value.
        what: &'static str,
        /// Row of the value.
        row: usize,
        /// Column of the value.
        column: usize,
        /// The legal values, in words.
        expected: &'static str,
        /// The value.
        got: f64,
    },
    /// An array has a dimension too small to compute anything.
    #[error("{what} has {got} {unit}, expected at least {expected}")]
    TooFew {
        /// The array or setting.
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        /// Least number that works.
        expected: usize,
        /// The number there is.
        got: usize,
    },
    /// An array has a dimension too large for the numbers that name its rows and columns.
    #[error("{what} has {got} {unit}, expected at most {expected}")]
    TooMany {
        /// The array.
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        /// Largest number that works.
        expected: usize,
        /// The number there is.
        got: usize,
    },
    /// The probabilities of one item do not sum to 1.
    #[error(
        "probabilities of row {row} sum to {got}, expected 1 within {tolerance} (renormalizing divides rows by their sums)"
    )]
    RowSum {
        /// Row of the item.
        row: usize,
        /// The sum.
        got: f64,
        /// Largest accepted difference from 1.
        tolerance: f64,
    },
    /// The probabilities of one item are all zero, so that they cannot be renormalized.
    #[error("probabilities of row {row} sum to 0, expected a positive sum to divide by")]
    EmptyRow {
        /// Row of the item.
        row: usize,
    },
    /// Two options that exclude each other.
    #[error("{option} cannot be combined with {with}")]
    Unsupported {
        /// One option.
        option: &'static str,
        /// The other.
        with: &'static str,
    },
    /// A name that nothing has.
    #[error("{what} {got:?} is unknown, expected one of {expected}")]
    UnknownName {
        /// What is named.
        what: &'static str,
        /// The name.
        got: String,
        /// The known names, separated by commas.
        expected: String,
    },
    /// A matrix that has no inverse.
    #[error("{what} is singular: pivot {pivot} is 0")]
    Singular {
        /// The matrix.
        what: &'static str,
        /// Column in which elimination found no entry to divide by.
        pivot: usize,
    },
    /// A matrix of counts has the wrong shape.
    #[error("{what} has shape ({}, {}), expected ({}, {})", got.0, got.1, expected.0, expected.1)]
    ShapeMismatch {
        /// The matrix.
        what: &'static str,
        /// Rows and columns it must have.
        expected: (usize, usize),
        /// Rows and columns it has.
        got: (usize, usize),
    },
    /// An option has a value that means nothing.
    #[error("option {option} is {got}, expected {expected}")]
    InvalidOption {
        /// Name of the option.
        option: &'static str,
        /// The legal values, in words.
        expected: &'static str,
        /// The value.
        got: f64,
    },
}
