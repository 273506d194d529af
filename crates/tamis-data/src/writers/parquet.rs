//! Apache Parquet: all columns with their types, the file's metadata word by word, and the row groups less what goes.

mod classes;
mod times;

use std::fs::File;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Encoding, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::WriterProperties;

use self::classes::Classes;
use super::{Sink, Target, Writer, Written, check_count, check_unchanged};
use crate::formats::parquet::{batch_rows, guarded, rows_of};
use crate::rewrite::{Edit, Part, RewriteError};
use crate::stream;

/// The writer.
#[derive(Debug)]
pub(crate) struct Parquet;

impl Writer for Parquet {
    fn id(&self) -> &'static str {
        "parquet"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        let Some(first) = parts.first() else { return Ok(Vec::new()) };
        let (_, metadata) = open(first)?;
        let like = Like { schema: Arc::clone(metadata.schema()), classes: Classes::of(&metadata) };
        if target.is_nowhere() {
            parts.iter().try_for_each(|part| write_part(part, &like, &mut |_| Ok(())))?;
            return Ok(Vec::new());
        }
        let sink = Sink::create(target, false)?;
        let failed =
            |what: String| RewriteError::Write { path: target.path().to_owned(), source: std::io::Error::other(what) };
        let mut writer = guarded(|| {
            let is_sorted = parts.len() == 1 && first.edits.is_empty();
            let options = options(metadata.metadata(), is_sorted);
            ArrowWriter::try_new_with_options(sink, Arc::clone(&like.schema), options).map_err(|it| it.to_string())
        })
        .map_err(failed)?;
        for part in parts {
            let mut put = |batch: Option<RecordBatch>| {
                let mut step = || match &batch {
                    Some(batch) => writer.write(batch),
                    None => writer.flush(),
                };
                guarded(|| step().map_err(|it| it.to_string())).map_err(failed)
            };
            write_part(part, &like, &mut put)?;
        }
        let sink = guarded(|| writer.into_inner().map_err(|it| it.to_string())).map_err(failed)?;
        Ok(vec![sink.finish()?])
    }
}

/// What all rows of a file have in common: that of its first part.
struct Like {
    schema: SchemaRef,
    classes: Classes,
}

fn open(part: &Part) -> Result<(File, ArrowReaderMetadata), RewriteError> {
    let unread = |what: String| RewriteError::Source { path: part.file.path.clone(), row: None, what };
    let file = File::open(&part.file.path).map_err(|error| unread(error.to_string()))?;
    match times::load_for_writing(&file).map_err(unread)? {
        Some(metadata) => Ok((file, metadata)),
        None => {
            let path = part.file.path.display();
            let what = format!(
                "cannot write `{path}`: it holds times of the old type INT96 that are too fine for microseconds and too far \
                 for nanoseconds"
            );
            Err(RewriteError::unfit(what, "write these columns as timestamps first, and audit the data again"))
        }
    }
}

/// Writes as the input was written: its schema, its keys and values, and compression and encoding of its columns. Pages
/// are of the first version, which everybody reads.
fn options(metadata: &ParquetMetaData, is_sorted: bool) -> ArrowWriterOptions {
    let file = metadata.file_metadata();
    let mut orders = metadata.row_groups().iter().map(|it| it.sorting_columns());
    let order = orders.next().flatten().filter(|first| is_sorted && orders.all(|it| it == Some(*first)));
    let mut properties = WriterProperties::builder()
        .set_key_value_metadata(file.key_value_metadata().cloned())
        .set_sorting_columns(order.cloned())
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None);
    for column in metadata.row_groups().first().into_iter().flat_map(|it| it.columns()) {
        let path = column.column_path().clone();
        properties = properties
            .set_column_encoding(path.clone(), encoding(column))
            .set_column_compression(path.clone(), column.compression())
            .set_column_dictionary_enabled(path.clone(), column.dictionary_page_offset().is_some())
            .set_column_bloom_filter_enabled(path, column.bloom_filter_offset().is_some());
    }
    // What is known of Arrow's types stands among the keys and values already, if it does.
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let schema = file.schema_descr();
    // The times of older writers have a type that is read and no longer written.
    let is_writable = schema.columns().iter().all(|it| it.physical_type() != Type::INT96);
    if is_writable { options.with_parquet_schema(schema.clone()) } else { options }
}

/// How the values of a column are written where no dictionary is.
fn encoding(column: &ColumnChunkMetaData) -> Encoding {
    let is_of_values = |it: &Encoding| {
        use Encoding::{BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY};
        [BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY].contains(it)
    };
    let is_writable = column.column_type() != Type::INT96;
    column.encodings().find(|it| is_writable && is_of_values(it)).unwrap_or(Encoding::PLAIN)
}

/// Hands the rows of a part to `put`, group by group, with nothing behind each group.
fn write_part(
    part: &Part,
    like: &Like,
    put: &mut dyn FnMut(Option<RecordBatch>) -> Result<(), RewriteError>,
) -> Result<(), RewriteError> {
    let (file, metadata) = open(part)?;
    let path = &part.file.path;
    let unfit = |why: &str| {
        let what = format!("rows of `{}` cannot go to the file of another split: {why}", path.display());
        RewriteError::unfit(what, "leave these rows in their split, or bring the columns into line")
    };
    if !is_alike(&like.schema, metadata.schema()) {
        return Err(unfit("the columns differ"));
    }
    let numbers = Classes::of(&metadata).numbers_in(&like.classes).map_err(|why| unfit(&why))?;
    let (mut group_end, mut n_taken) = (0, 0);
    for (idx, group) in metadata.metadata().row_groups().iter().enumerate() {
        let mut row = group_end;
        group_end += rows_of(group);
        let unread = |row: u64, what: String| RewriteError::Source { path: path.clone(), row: Some(row + 1), what };
        let reader = guarded(|| {
            let handle = file.try_clone().map_err(|it| it.to_string())?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, metadata.clone());
            let builder = builder.with_row_groups(vec![idx]).with_batch_size(batch_rows(group));
            builder.build().map_err(|it| it.to_string())
        });
        let mut reader = reader.map_err(|what| unread(row, what))?;
        while row < group_end {
            let batch = guarded(|| match reader.next() {
                Some(batch) => batch.map_err(|it| it.to_string()),
                None => Err("the pages end".to_owned()),
            });
            let batch = match batch {
                Ok(batch) => batch,
                // The unreadable sample that goes stood for the rest of the group.
                Err(_) if !part.rows.take(row + 1) => break,
                Err(what) => return Err(unread(row, format!("{what}, expected rows up to {group_end}"))),
            };
            let taken: BooleanArray = (1..=batch.num_rows() as u64).map(|it| Some(part.rows.take(row + it))).collect();
            let columns = numbers
                .translate(&batch, &taken)
                .map_err(|(at, why)| unfit(&format!("row {}: {why}", row + 1 + at)))?;
            let columns = changed(part, row, columns, like)?;
            let batch = RecordBatch::try_new(Arc::clone(&like.schema), columns);
            let kept = batch.and_then(|it| arrow_select::filter::filter_record_batch(&it, &taken));
            let kept = kept.map_err(|it| unread(row, it.to_string()))?;
            row += taken.len() as u64;
            if kept.num_rows() != 0 {
                n_taken += kept.num_rows() as u64;
                put(Some(kept))?;
            }
        }
        put(None)?;
    }
    check_count(part, n_taken)?;
    let blake3 = stream::hash_file(path);
    check_unchanged(part, &blake3.map_err(|error| RewriteError::Write { path: path.clone(), source: error })?)
}

/// Whether rows of one file can go to the other: names and types are the same.
fn is_alike(a: &SchemaRef, b: &SchemaRef) -> bool {
    let alike = |(a, b): (&arrow_schema::FieldRef, &arrow_schema::FieldRef)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(alike)
}

/// The columns of a batch behind row `before`, with the values that change.
fn changed(part: &Part, before: u64, mut columns: Vec<ArrayRef>, like: &Like) -> Result<Vec<ArrayRef>, RewriteError> {
    let n_rows = columns.first().map_or(0, |it| it.len());
    let rows = before + 1..before + 1 + n_rows as u64;
    let edits: Vec<(u64, &Edit)> =
        part.edits.range(rows).flat_map(|(row, edits)| edits.iter().map(move |it| (*row, it))).collect();
    let mut done: Vec<&str> = Vec::new();
    for (first, edit) in &edits {
        if done.contains(&edit.column.as_str()) {
            continue;
        }
        done.push(&edit.column);
        let refused = |row: u64, why: String| {
            let what = format!("cannot change row {row} of `{}`: {why}", part.file.path.display());
            RewriteError::unfit(what, "leave this sample as it is")
        };
        let idx = like.schema.index_of(&edit.column);
        let idx = idx.map_err(|_| refused(*first, format!("there is no column `{}`", edit.column)))?;
        let mut values: Vec<Option<String>> = vec![None; n_rows];
        for (row, it) in edits.iter().filter(|(_, it)| it.column == edit.column) {
            let value = of_class(&it.value, like.classes.names(&it.column))
                .map_err(|why| refused(*row, format!("{why} of column `{}`", it.column)))?;
            values[usize::try_from(row - before - 1).unwrap_or_default()] = Some(value);
        }
        let column = with_values(&columns[idx], &values);
        columns[idx] = column.map_err(|why| refused(*first, format!("column `{}`: {why}", edit.column)))?;
    }
    Ok(columns)
}

/// A value as the column keeps it: the number of its class, where classes have names.
fn of_class(value: &str, names: Option<&[String]>) -> Result<String, String> {
    let Some(names) = names else { return Ok(value.to_owned()) };
    let place = names.iter().position(|it| it == value);
    place.map(|it| it.to_string()).ok_or_else(|| format!("`{value}` is none of the {} classes", names.len()))
}

/// The column with new values where there are some, of the same type.
fn with_values(column: &ArrayRef, values: &[Option<String>]) -> Result<ArrayRef, String> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |array: &ArrayRef, to: &DataType| cast_with_options(array, to, &strict).map_err(|it| it.to_string());
    let plain = match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values)?,
        _ => Arc::clone(column),
    };
    let mask: BooleanArray = values.iter().map(|it| Some(it.is_some())).collect();
    let new: ArrayRef = Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>());
    let new = cast(&new, plain.data_type())?;
    let joined = arrow_select::zip::zip(&mask, &new, &plain).map_err(|it| it.to_string())?;
    cast(&joined, column.data_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int8Type;
    use arrow_array::{Array, DictionaryArray, Float32Array, Int64Array};

    #[track_caller]
    fn check(column: impl Array + 'static, new: &str, expected: impl Array + 'static) {
        let column: ArrayRef = Arc::new(column);
        let expected: ArrayRef = Arc::new(expected);
        let got = with_values(&column, &[None, Some(new.to_owned()), None]).unwrap();
        assert_eq!(&got, &expected);
    }

    #[test]
    fn a_value_keeps_the_type_of_its_column() {
        check(StringArray::from(vec![Some("a"), None, None]), "b", StringArray::from(vec![Some("a"), Some("b"), None]));
        check(Int64Array::from(vec![i64::MIN, 1, i64::MAX]), "7", Int64Array::from(vec![i64::MIN, 7, i64::MAX]));
        check(BooleanArray::from(vec![true, true, false]), "false", BooleanArray::from(vec![true, false, false]));
        check(Float32Array::from(vec![0.1, 0.2, f32::MAX]), "0.3", Float32Array::from(vec![0.1, 0.3, f32::MAX]));
        let column: DictionaryArray<Int8Type> = vec!["a", "a", "c"].into_iter().collect();
        let expected: DictionaryArray<Int8Type> = vec!["a", "b", "c"].into_iter().collect();
        check(column, "b", expected);
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let error = with_values(&column, &[Some("spam".to_owned())]).unwrap_err();
        assert!(error.contains("Cannot cast string 'spam' to value of Int64 type"), "{error}");
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(of_class("b", Some(&names)).unwrap(), "1");
        assert_eq!(of_class("c", Some(&names)).unwrap_err(), "`c` is none of the 2 classes");
    }
}
