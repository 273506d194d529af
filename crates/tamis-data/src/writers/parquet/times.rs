//! Times of the old type INT96, which is read and no longer written: they become microseconds, or nanoseconds where some
//! are finer.

use std::fs::File;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::Int96;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::formats::parquet::{guarded, load};

/// Values that are looked at at once.
const BATCH: usize = 64 * 1024;

/// The Julian day of 1970-01-01, which the days of INT96 are counted to.
const EPOCH: i64 = 2_440_588;

/// Days before and after 1970 that a count of microseconds in 64 bits reaches.
const MAX_DAYS_IN_MICROS: i64 = i64::MAX / 86_400_000_000 - 1;

/// The same for nanoseconds.
const MAX_DAYS_IN_NANOS: i64 = i64::MAX / 86_400_000_000_000 - 1;

/// Reads the footer of a file so that every time in it can be written; `None` where no unit holds all of them.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn load_for_writing(file: &File) -> Result<Option<ArrowReaderMetadata>, String> {
    let metadata = guarded(|| load(file).map_err(|it| it.to_string()))?;
    let columns = metadata.metadata().file_metadata().schema_descr().columns();
    let mut fits = Fits { micros: true, nanos: true };
    for (idx, _) in columns.iter().enumerate().filter(|(_, it)| it.physical_type() == Type::INT96) {
        // Pages that cannot be read are told where the rows are read.
        let _ = guarded(|| fits.add(file, &metadata, idx).map_err(|it| it.to_string()));
    }
    match fits {
        Fits { micros: true, .. } => Ok(Some(metadata)),
        Fits { nanos: true, .. } => {
            let load = || ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|it| it.to_string());
            guarded(load).map(Some)
        }
        _ => Ok(None),
    }
}

/// The units that hold all times that went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fits {
    micros: bool,
    nanos: bool,
}

impl Fits {
    fn add(&mut self, file: &File, metadata: &ArrowReaderMetadata, column: usize) -> parquet::errors::Result<()> {
        let reader = SerializedFileReader::new(file.try_clone()?)?;
        for idx in 0..metadata.metadata().num_row_groups() {
            let ColumnReader::Int96ColumnReader(mut values) = reader.get_row_group(idx)?.get_column_reader(column)?
            else {
                continue;
            };
            loop {
                let (mut batch, mut def, mut rep) = (Vec::new(), Vec::new(), Vec::new());
                let (n_rows, ..) = values.read_records(BATCH, Some(&mut def), Some(&mut rep), &mut batch)?;
                batch.iter().for_each(|it| self.time(it));
                if n_rows == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, time: &Int96) {
        let [low, high, day] = time.data() else { return };
        let nanos = u64::from(*high) << 32 | u64::from(*low);
        let days = (i64::from(*day) - EPOCH).abs();
        self.micros &= nanos % 1000 == 0 && days <= MAX_DAYS_IN_MICROS;
        self.nanos &= days <= MAX_DAYS_IN_NANOS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_holds_every_time() {
        let fits = |times: &[(u32, u32)]| {
            let mut fits = Fits { micros: true, nanos: true };
            for (nanos, day) in times {
                let mut time = Int96::new();
                time.set_data(*nanos, 0, *day);
                fits.time(&time);
            }
            (fits.micros, fits.nanos)
        };
        assert_eq!(fits(&[(5_000, 2_440_588)]), (true, true));
        assert_eq!(fits(&[(5_001, 2_440_588)]), (false, true));
        assert_eq!(fits(&[(0, 5_373_485)]), (true, false));
        assert_eq!(fits(&[(0, 5_373_485), (1, 2_440_588)]), (false, false));
        assert_eq!(fits(&[(0, u32::MAX)]), (false, false));
    }
}
