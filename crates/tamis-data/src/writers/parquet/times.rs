//! Times of the old type INT96, which are written as microseconds.

use std::fs::File;

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::Int96;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::formats::parquet::{guarded, rows_of};
use crate::rewrite::{Part, RewriteError};

/// Values that are looked at at once.
const BATCH: usize = 64 * 1024;

/// The Julian day of 1970-01-01, which the days of INT96 are counted to.
const EPOCH: i64 = 2_440_588;

/// Days before and after 1970 that a count of microseconds in 64 bits reaches.
const MAX_DAYS: i64 = i64::MAX / 86_400_000_000 - 1;

/// Refuses a file with times that microseconds cannot hold.
pub(super) fn check(part: &Part, file: &File, metadata: &ArrowReaderMetadata) -> Result<(), RewriteError> {
    let columns = metadata.metadata().file_metadata().schema_descr().columns();
    for (idx, column) in columns.iter().enumerate().filter(|(_, it)| it.physical_type() == Type::INT96) {
        // Pages that cannot be read are told where the rows are read.
        let odd = guarded(|| first_odd(file, metadata, idx).map_err(|it| it.to_string())).unwrap_or_default();
        if let Some(row) = odd {
            let (name, path) = (column.path().string(), part.file.path.display());
            let what = format!(
                "cannot write `{path}`: column `{name}` holds a time near row {row} that microseconds cannot hold, and its \
                 type (INT96) is no longer written"
            );
            return Err(RewriteError::unfit(
                what,
                "write that column as timestamps in nanoseconds, and audit the data again",
            ));
        }
    }
    Ok(())
}

/// The first row of a group, counted from 1, that has such a time.
fn first_odd(file: &File, metadata: &ArrowReaderMetadata, column: usize) -> parquet::errors::Result<Option<u64>> {
    let reader = SerializedFileReader::new(file.try_clone()?)?;
    let mut first = 1;
    for (idx, group) in metadata.metadata().row_groups().iter().enumerate() {
        if let ColumnReader::Int96ColumnReader(mut values) = reader.get_row_group(idx)?.get_column_reader(column)? {
            loop {
                let (mut batch, mut def, mut rep) = (Vec::new(), Vec::new(), Vec::new());
                let (n_rows, ..) = values.read_records(BATCH, Some(&mut def), Some(&mut rep), &mut batch)?;
                if batch.iter().any(is_odd) {
                    return Ok(Some(first));
                }
                if n_rows == 0 {
                    break;
                }
            }
        }
        first += rows_of(group);
    }
    Ok(None)
}

/// Whether a time is no whole number of microseconds, or too far away.
fn is_odd(time: &Int96) -> bool {
    let [low, high, day] = time.data() else { return true };
    let nanos = u64::from(*high) << 32 | u64::from(*low);
    nanos % 1000 != 0 || MAX_DAYS < (i64::from(*day) - EPOCH).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_two_microseconds_are_odd() {
        let time = |nanos: u32, day| {
            let mut time = Int96::new();
            time.set_data(nanos, 0, day);
            time
        };
        assert!(!is_odd(&time(5_000, 2_440_588)) && is_odd(&time(5_001, 2_440_588)));
        assert!(!is_odd(&time(0, 5_373_485)) && is_odd(&time(0, u32::MAX)));
    }
}
