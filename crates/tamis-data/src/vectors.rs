//! Vectors that the user brings: a `NumPy` array, or a column of lists in a Parquet file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float32Type;
use arrow_array::{Array as _, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::npy;

/// Vectors of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of vectors.
    pub n: usize,
    /// Numbers of one.
    pub dim: usize,
    /// Shape `(n, dim)`, row-major.
    pub values: Vec<f32>,
}

/// Reads the vectors of a file, told by its content: `.npy` of two dimensions of f16, f32 or f64; or Parquet, where the one
/// column of lists of such numbers is taken. f64 is rounded to f32.
///
/// # Errors
/// When the file cannot be read, is neither, or has no such array or column, several of them, or rows of several lengths.
pub fn read(path: &Path) -> io::Result<Matrix> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let read = if magic == b"PAR1" { parquet(file) } else { npy::parse(&std::fs::read(path)?) };
    read.map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

fn parquet(file: File) -> Result<Matrix, String> {
    let bad = |error: parquet::errors::ParquetError| error.to_string();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(bad)?;
    let column = column(builder.schema())?;
    let name = builder.schema().field(column).name().clone();
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let (mut n, mut dim, mut values) = (0, None, Vec::new());
    for batch in builder.with_projection(mask).build().map_err(bad)? {
        let batch = batch.map_err(|error| error.to_string())?;
        for row in 0..batch.num_rows() {
            let numbers = numbers(batch.column(0), row)?;
            let wrong = |got: &str| format!("row {n} of column `{name}` is {got}, expected a list of numbers");
            let numbers = numbers.ok_or_else(|| wrong("null"))?;
            if numbers.null_count() > 0 {
                return Err(wrong("a list with nulls"));
            }
            let numbers = numbers.as_primitive::<Float32Type>().values();
            if *dim.get_or_insert(numbers.len()) != numbers.len() {
                let dim = dim.unwrap_or_default();
                return Err(format!("row {n} of column `{name}` has {} numbers, expected {dim}", numbers.len()));
            }
            values.extend_from_slice(numbers);
            n += 1;
        }
    }
    match dim {
        Some(dim) if 0 < dim => Ok(Matrix { n, dim, values }),
        _ => Err(format!("column `{name}` has no numbers, expected vectors")),
    }
}

/// The column that holds vectors.
fn column(schema: &Schema) -> Result<usize, String> {
    let is_number = |kind: &DataType| matches!(kind, DataType::Float16 | DataType::Float32 | DataType::Float64);
    let holds_vectors = |kind: &DataType| match kind {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            is_number(item.data_type())
        }
        _ => false,
    };
    let found: Vec<usize> =
        (0..schema.fields().len()).filter(|it| holds_vectors(schema.field(*it).data_type())).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err("no column of lists of floating-point numbers, expected one".to_owned()),
        _ => {
            let names: Vec<&str> = found.iter().map(|it| schema.field(*it).name().as_str()).collect();
            Err(format!("columns {} are lists of numbers, expected one such column", names.join(", ")))
        }
    }
}

/// The numbers of a row as f32; `None` where it is null.
fn numbers(lists: &ArrayRef, row: usize) -> Result<Option<ArrayRef>, String> {
    if lists.is_null(row) {
        return Ok(None);
    }
    let list = match lists.data_type() {
        DataType::FixedSizeList(..) => lists.as_fixed_size_list().value(row),
        DataType::LargeList(_) => lists.as_list::<i64>().value(row),
        _ => lists.as_list::<i32>().value(row),
    };
    cast(&list, &DataType::Float32).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::{Float16Type, Float64Type};
    use arrow_array::{FixedSizeListArray, Int64Array, ListArray, RecordBatch};
    use half::f16;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn read_columns(columns: &[(&str, ArrayRef)]) -> Result<Matrix, String> {
        let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, it)| (*name, Arc::clone(it)))).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        read(file.path()).map_err(|error| error.to_string())
    }

    fn lists(rows: &[Option<Vec<Option<f64>>>]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows.iter().cloned()))
    }

    #[test]
    fn lists_of_all_kinds_are_vectors() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        let expected = Matrix { n: 2, dim: 2, values: vec![1.0, 2.0, 3.0, 4.0] };
        let rows = [[1.0, 2.0], [3.0, 4.0]];
        let some = |row: &[f64; 2]| Some(row.iter().map(|it| Some(*it)).collect());
        let of_f64 = lists(&rows.iter().map(some).collect::<Vec<_>>());
        assert_eq!(read_columns(&[("id", Arc::clone(&ids)), ("v", of_f64)]), Ok(expected.clone()));
        let halves = rows.iter().map(|row| Some(row.iter().map(|it| Some(f16::from_f64(*it))).collect::<Vec<_>>()));
        let fixed = FixedSizeListArray::from_iter_primitive::<Float16Type, _, _>(halves, 2);
        assert_eq!(read_columns(&[("v", Arc::new(fixed)), ("id", ids)]), Ok(expected));
    }

    #[test]
    fn what_is_no_column_of_vectors_is_named() {
        let error = |columns: &[(&str, ArrayRef)]| read_columns(columns).unwrap_err();
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let one = || lists(&[Some(vec![Some(1.0)])]);
        assert_eq!(error(&[("id", ids)]), "no column of lists of floating-point numbers, expected one");
        let several = "columns a, b are lists of numbers, expected one such column";
        assert_eq!(error(&[("a", one()), ("b", one())]), several);
        let short = lists(&[Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0)])]);
        assert_eq!(error(&[("v", short)]), "row 1 of column `v` has 1 numbers, expected 2");
        let null = lists(&[Some(vec![Some(1.0)]), None]);
        assert_eq!(error(&[("v", null)]), "row 1 of column `v` is null, expected a list of numbers");
        let inside = lists(&[Some(vec![None])]);
        assert_eq!(error(&[("v", inside)]), "row 0 of column `v` is a list with nulls, expected a list of numbers");
    }
}
