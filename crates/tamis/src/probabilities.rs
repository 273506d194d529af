//! Class probabilities that the user brings to an audit.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use tamis_core::{Dataset, LabelId, Probabilities};

/// Probabilities that do not fit the samples.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadProbabilities {
    /// The file cannot be read.
    #[error("cannot read the probabilities of {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the format said.
        source: std::io::Error,
    },
    /// The array has another number of rows than there are samples.
    #[error("{path} has {got} rows, expected {expected}: one for each sample in reading order, readable or not")]
    Rows {
        /// The file.
        path: PathBuf,
        /// Its rows.
        got: usize,
        /// Samples.
        expected: usize,
    },
    /// A value is no probability.
    #[error("{path}: row {row}, column {column} is {got}, expected a probability in [0, 1]")]
    Value {
        /// The file.
        path: PathBuf,
        /// From 0.
        row: usize,
        /// From 0.
        column: usize,
        /// The value.
        got: f32,
    },
    /// A row is no distribution.
    #[error("{path}: row {row} sums to {got}, expected 1 within {SUM_TOLERANCE}")]
    Sum {
        /// The file.
        path: PathBuf,
        /// From 0.
        row: usize,
        /// The sum.
        got: f32,
    },
    /// The array has another number of columns than there are labels.
    #[error("{path} has {got} columns, expected {expected}: one for each label, in the order {order}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// Its columns.
        got: usize,
        /// Labels.
        expected: usize,
        /// The labels in the order of columns, as many as fit a line.
        order: String,
    },
}

/// How far the probabilities of a row may sum to something else than 1, and one may lie outside of [0, 1]: as
/// `tamis_labels::RowSums::Check` has it.
const SUM_TOLERANCE: f32 = 0.01;
const VALUE_SLACK: f32 = 1e-6;

/// Labels that an error names.
const MAX_NAMED: usize = 10;

/// Reads a `.npy` or Parquet file of shape (samples, labels), if one was named.
///
/// Columns are the dataset's labels in ascending order: by number where all are whole numbers, else by name. That is the
/// order of `numpy.unique` and of scikit-learn's `classes_`.
pub(crate) fn read(path: Option<&Path>, dataset: &Dataset) -> Result<Option<Probabilities>, BadProbabilities> {
    let Some(path) = path else { return Ok(None) };
    let named = || path.to_owned();
    let matrix = tamis_data::vectors::read(path).map_err(|source| BadProbabilities::Read { path: named(), source })?;
    if matrix.n != dataset.len() {
        return Err(BadProbabilities::Rows { path: named(), got: matrix.n, expected: dataset.len() });
    }
    let columns = columns(dataset.label_names());
    if matrix.dim != columns.len() {
        let mut order: Vec<&str> =
            columns.iter().take(MAX_NAMED).map(|label| dataset.label_names()[label.0 as usize].as_str()).collect();
        if MAX_NAMED < columns.len() {
            order.push("...");
        }
        let (got, expected, order) = (matrix.dim, columns.len(), order.join(", "));
        return Err(BadProbabilities::Columns { path: named(), got, expected, order });
    }
    let values = Array2::from_shape_vec((matrix.n, matrix.dim), matrix.values).expect("because a matrix is whole");
    for id in dataset.ok_ids().filter(|id| dataset.sample(*id).label.is_some()) {
        let row = id.idx();
        let is_legal = |value: &f32| (-VALUE_SLACK..=1.0 + VALUE_SLACK).contains(value);
        if let Some(column) = values.row(row).iter().position(|value| !is_legal(value)) {
            return Err(BadProbabilities::Value { path: named(), row, column, got: values[[row, column]] });
        }
        let got = values.row(row).sum();
        if SUM_TOLERANCE < (got - 1.0).abs() {
            return Err(BadProbabilities::Sum { path: named(), row, got });
        }
    }
    Ok(Some(Probabilities { values, columns }))
}

fn columns(names: &[String]) -> Vec<LabelId> {
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    let mut columns: Vec<LabelId> = (0..).map(LabelId).take(names.len()).collect();
    match numbers {
        Some(numbers) => columns.sort_by_key(|label| numbers[label.0 as usize]),
        None => columns.sort_by_key(|label| &names[label.0 as usize]),
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_the_order_of_numbers_or_of_names() {
        let of = |names: [&str; 3]| columns(&names.map(str::to_owned)).iter().map(|label| label.0).collect::<Vec<_>>();
        assert_eq!(of(["10", "9", "2"]), [2, 1, 0]);
        assert_eq!(of(["10", "9", "b"]), [0, 1, 2]);
    }
}
