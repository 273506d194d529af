//! Apache Parquet, with the conventions of Hugging Face `datasets`: names of classes stand in the file's metadata.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, FieldRef, Fields, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type;
use parquet::file::metadata::RowGroupMetaData;
use serde_json::{Map, Number, Value};

use super::{FileSpec, Format, Head, Records, io_reason};
use crate::image;
use crate::mend;
use crate::row::{Cell, Picture, RawRow, Row, Text};
use crate::stream;

/// The format.
#[derive(Debug)]
pub(crate) struct Parquet;

/// First and last four bytes of every Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// Memory that one batch of rows should take, by the sizes in the file's metadata.
const BATCH_BYTES: u64 = 8 << 20;

/// Most rows in one batch.
const BATCH_ROWS: u64 = 1024;

impl Format for Parquet {
    fn id(&self) -> &'static str {
        "parquet"
    }

    fn summary(&self) -> &'static str {
        "an Apache Parquet file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet", "pq"]
    }

    fn is_table(&self) -> bool {
        true
    }

    fn certain_sign(&self, head: &Head) -> Option<&'static str> {
        (!head.is_gzip && head.bytes.starts_with(MAGIC)).then_some("it begins with the magic PAR1")
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        check_magic(file)?;
        let handle = File::open(&file.path).map_err(|it| io_reason(&it))?;
        let opened = guarded(|| Rows::open(handle, file).map_err(|it| it.to_string()));
        let rows = opened.map_err(|reason| format!("damaged Parquet file ({reason}), expected a readable footer"))?;
        Ok(Box::new(rows))
    }
}

fn check_magic(file: &FileSpec) -> Result<(), String> {
    let mut handle = File::open(&file.path).map_err(|it| io_reason(&it))?;
    let mut magic = [0; 4];
    if file.size_bytes < 12 || handle.read_exact(&mut magic).is_err() || magic != MAGIC {
        let found = match file.size_bytes {
            n if n < 12 => format!("{n} bytes"),
            _ => format!("it begins with {magic:02x?}"),
        };
        return Err(format!("not a Parquet file: {found}, expected the magic PAR1"));
    }
    let is_closed = handle.seek(SeekFrom::End(-4)).is_ok() && handle.read_exact(&mut magic).is_ok() && magic == MAGIC;
    if !is_closed {
        return Err("truncated Parquet file: no magic PAR1 at its end, expected a whole file".to_owned());
    }
    Ok(())
}

/// Runs a step of the Parquet reader; a damaged file makes some of its steps panic.
pub(crate) fn guarded<T>(step: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|payload| Err(panic_text(payload.as_ref())))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value out of range".to_owned())
}

struct Rows {
    path: PathBuf,
    size_bytes: u64,
    handle: File,
    metadata: ArrowReaderMetadata,
    /// Indices of the columns that are read.
    kept: Vec<usize>,
    /// Batches of the current row group.
    reader: Option<ParquetRecordBatchReader>,
    next_group: usize,
    /// Number of the last row of the current row group.
    group_end: u64,
    batch: Arc<Batch>,
    next_in_batch: usize,
    row: u64,
    n_rows: u64,
    class_names: BTreeMap<String, Arc<[String]>>,
    left_out: Vec<String>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("path", &self.path).field("row", &self.row).finish_non_exhaustive()
    }
}

/// Some rows, column by column.
#[derive(Debug, Default)]
struct Batch {
    n_rows: usize,
    row_bytes: usize,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: Arc<str>,
    values: ArrayRef,
    class_names: Option<Arc<[String]>>,
}

impl Rows {
    fn open(handle: File, file: &FileSpec) -> parquet::errors::Result<Self> {
        let metadata = load(&handle)?;
        let groups = metadata.metadata().row_groups();
        let n_rows = groups.iter().map(rows_of).fold(0, u64::saturating_add);
        let (kept, left_out) = readable_columns(metadata.schema(), file.is_text_only);
        Ok(Self {
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            handle,
            class_names: class_names(&features(&metadata)),
            metadata,
            kept,
            reader: None,
            next_group: 0,
            group_end: 0,
            batch: Arc::default(),
            next_in_batch: 0,
            row: 0,
            n_rows,
            left_out,
        })
    }

    /// Moves on to the next row group; `false` after the last one.
    fn next_group(&mut self) -> Result<bool, String> {
        let groups = self.metadata.metadata().row_groups();
        let Some(group) = groups.get(self.next_group) else { return Ok(false) };
        self.group_end = self.row + rows_of(group);
        let batch_rows = batch_rows(group);
        let idx = self.next_group;
        self.next_group += 1;
        let reader = guarded(|| {
            let handle = self.handle.try_clone().map_err(|it| it.to_string())?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, self.metadata.clone());
            let mask = ProjectionMask::roots(builder.parquet_schema(), self.kept.iter().copied());
            let builder = builder.with_row_groups(vec![idx]).with_projection(mask).with_batch_size(batch_rows);
            builder.build().map_err(|it| it.to_string())
        });
        self.reader = Some(reader?);
        Ok(true)
    }

    /// The next rows of the current row group; `None` at its end.
    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let names = &self.class_names;
        let batch = guarded(|| match reader.next() {
            None => Ok(None),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(batch)) => columns(&batch, names).map(Some),
        })?;
        match &batch {
            None if self.row < self.group_end => Err("the pages end".to_owned()),
            Some(it) if self.group_end - self.row < it.n_rows as u64 => {
                Err("there are more rows than stated".to_owned())
            }
            _ => Ok(batch),
        }
    }
}

/// Reads the footer of a file.
///
/// Times of the old type INT96 reach farther than nanoseconds do, so they are read as microseconds.
pub(crate) fn load(file: &File) -> parquet::errors::Result<ArrowReaderMetadata> {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let columns = metadata.metadata().file_metadata().schema_descr().columns();
    let mut leaves = columns.iter().map(|it| it.physical_type());
    if leaves.all(|it| it != Type::INT96) {
        return Ok(metadata);
    }
    let mut leaves = columns.iter().map(|it| it.physical_type());
    let fields = metadata.schema().fields().iter().map(|it| in_micros(it, &mut leaves));
    let schema = Schema::new_with_metadata(fields.collect::<Fields>(), metadata.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// A field whose leaves of the type INT96 are microseconds.
fn in_micros(field: &FieldRef, leaves: &mut dyn Iterator<Item = Type>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|it| in_micros(it, leaves)).collect()),
        DataType::List(it) => DataType::List(in_micros(it, leaves)),
        DataType::LargeList(it) => DataType::LargeList(in_micros(it, leaves)),
        DataType::FixedSizeList(it, n) => DataType::FixedSizeList(in_micros(it, leaves), *n),
        DataType::Map(it, is_sorted) => DataType::Map(in_micros(it, leaves), *is_sorted),
        other => match (leaves.next(), other) {
            (Some(Type::INT96), DataType::Timestamp(_, zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            _ => other.clone(),
        },
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// Rows that are read at once; where a damaged group breaks off depends on it.
pub(crate) fn batch_rows(group: &RowGroupMetaData) -> usize {
    let row_bytes = u64::try_from(group.total_byte_size()).unwrap_or(0) / rows_of(group).max(1);
    usize::try_from((BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_ROWS)).unwrap_or(1)
}

pub(crate) fn rows_of(group: &RowGroupMetaData) -> u64 {
    u64::try_from(group.num_rows()).unwrap_or(0)
}

fn columns(batch: &RecordBatch, class_names: &BTreeMap<String, Arc<[String]>>) -> Result<Batch, String> {
    let schema = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, values) in schema.fields().iter().zip(batch.columns()) {
        let values = match field.data_type() {
            DataType::Dictionary(_, values_type) => {
                arrow_cast::cast(values, values_type).map_err(|it| it.to_string())?
            }
            _ => Arc::clone(values),
        };
        let class_names = class_names.get(field.name()).map(Arc::clone);
        columns.push(Column { name: field.name().as_str().into(), values, class_names });
    }
    let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
    Ok(Batch { n_rows: batch.num_rows(), row_bytes, columns })
}

impl Records for Rows {
    fn next_row(&mut self) -> Option<RawRow> {
        while self.next_in_batch == self.batch.n_rows {
            self.next_in_batch = 0;
            self.batch = Arc::default();
            match self.next_batch() {
                Ok(Some(batch)) => self.batch = Arc::new(batch),
                Ok(None) => match self.next_group() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(reason) => return Some(self.skip_group(&reason)),
                },
                Err(reason) => return Some(self.skip_group(&reason)),
            }
        }
        let (batch, idx) = (Arc::clone(&self.batch), self.next_in_batch);
        self.next_in_batch += 1;
        self.row += 1;
        let decode = move || guarded(|| Ok(decode(&batch, idx)));
        Some(RawRow { row: Some(self.row), size_bytes: self.batch.row_bytes, decode: Box::new(decode) })
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        let fields = self.metadata.schema().fields();
        Some(self.kept.iter().map(|idx| fields[*idx].name().as_str().into()).collect())
    }

    fn bytes_read(&self) -> u64 {
        let done = u128::from(self.size_bytes) * u128::from(self.row.min(self.n_rows)) / u128::from(self.n_rows.max(1));
        u64::try_from(done).unwrap_or(self.size_bytes)
    }

    fn hash(&mut self) -> Option<String> {
        stream::hash_file(&self.path).ok()
    }

    fn notes(&self) -> Vec<String> {
        let note = |name: &String| format!("column `{name}` was left out: it holds bytes");
        self.left_out.iter().map(note).collect()
    }
}

impl Rows {
    /// Stands for the rest of a damaged row group; the next one may be whole.
    fn skip_group(&mut self, reason: &str) -> RawRow {
        let (first, last) = (self.row + 1, self.group_end);
        self.reader = None;
        self.row = self.group_end;
        RawRow::bad(Some(first), format!("damaged from row {first} on ({reason}), expected rows up to {last}"))
    }
}

/// Indices of the columns that can be images, text or metadata, and the names of the others: audio and the like.
fn readable_columns(schema: &Schema, is_text_only: bool) -> (Vec<usize>, Vec<String>) {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for (idx, field) in schema.fields().iter().enumerate() {
        let is_image = !is_text_only && is_image_struct(field.data_type());
        if is_image || is_text_or_scalar(field.data_type()) || !holds_bytes(field.data_type()) {
            kept.push(idx);
        } else {
            left_out.push(field.name().clone());
        }
    }
    (kept, left_out)
}

/// `{bytes: binary, path: string}`, as `datasets` stores images (`features/image.py`, `Image.pa_type`).
fn is_image_struct(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let names: Vec<&str> = fields.iter().map(|it| it.name().as_str()).collect();
    names.contains(&"bytes") && names.iter().all(|it| ["bytes", "path"].contains(it)) && holds_bytes(data_type)
}

/// Binary columns at the top are read: older writers store strings that way.
fn is_text_or_scalar(data_type: &DataType) -> bool {
    !data_type.is_nested()
}

fn holds_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        DataType::Struct(fields) => fields.iter().any(|it| holds_bytes(it.data_type())),
        DataType::List(it) | DataType::LargeList(it) | DataType::FixedSizeList(it, _) | DataType::Map(it, _) => {
            holds_bytes(it.data_type())
        }
        _ => false,
    }
}

/// What `datasets` says of the columns, in the key `huggingface` of the metadata.
///
/// It writes `{"info": {"features": {"label": {"_type": "ClassLabel", "names": [...]}}}}`
/// (`arrow_writer.py`, `ArrowWriter._build_metadata`).
pub(crate) fn features(metadata: &ArrowReaderMetadata) -> Map<String, Value> {
    let in_file = metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let in_file = in_file.filter(|it| it.key == "huggingface").find_map(|it| it.value.as_deref());
    let json = in_file.or_else(|| metadata.schema().metadata().get("huggingface").map(String::as_str));
    let mut info: Value = json.and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    match info.pointer_mut("/info/features").map(Value::take) {
        Some(Value::Object(features)) => features,
        _ => Map::new(),
    }
}

/// Names of classes by column.
pub(crate) fn class_names(features: &Map<String, Value>) -> BTreeMap<String, Arc<[String]>> {
    let named = features.iter().filter(|(_, it)| it.get("_type").and_then(Value::as_str) == Some("ClassLabel"));
    let named = named.filter_map(|(column, it)| {
        let names = it.get("names")?.as_array()?.iter();
        let names: Option<Arc<[String]>> = names.map(|name| name.as_str().map(str::to_owned)).collect();
        Some((column.clone(), names?))
    });
    named.collect()
}

fn decode(batch: &Batch, idx: usize) -> Row {
    let cells = batch.columns.iter().map(|column| (Arc::clone(&column.name), cell(column, idx)));
    Row { cells: cells.collect(), file_hash: None }
}

fn cell(column: &Column, idx: usize) -> Cell {
    let values = &*column.values;
    if values.is_null(idx) {
        return Cell::Null;
    }
    if is_image_struct(values.data_type()) {
        return image_cell(values.as_struct(), idx);
    }
    if let Some(bytes) = bytes(values, idx) {
        return match image::kind(bytes) {
            Some(_) => Cell::Image(Picture::File(bytes.to_vec())),
            None => Cell::Text(mend::text(bytes.to_vec())),
        };
    }
    match (json(values, idx), &column.class_names) {
        (Value::Number(number), Some(names)) => class_name(&number, names),
        (value, _) => Cell::from_json(value),
    }
}

fn bytes(values: &dyn Array, idx: usize) -> Option<&[u8]> {
    match values.data_type() {
        DataType::Binary => Some(values.as_binary::<i32>().value(idx)),
        DataType::LargeBinary => Some(values.as_binary::<i64>().value(idx)),
        DataType::BinaryView => Some(values.as_binary_view().value(idx)),
        _ => None,
    }
}

/// An image by its bytes, or else by its path.
fn image_cell(values: &StructArray, idx: usize) -> Cell {
    let present = |name: &str| values.column_by_name(name).filter(|it| !it.is_null(idx));
    if let Some(bytes) = present("bytes").and_then(|it| bytes(&**it, idx)) {
        return Cell::Image(Picture::File(bytes.to_vec()));
    }
    present("path").map_or(Cell::Null, |it| Cell::from_json(json(&**it, idx)))
}

/// The name of a class; -1 is how `datasets` writes "no label".
fn class_name(number: &Number, names: &[String]) -> Cell {
    let name = number.as_u64().and_then(|it| names.get(usize::try_from(it).ok()?));
    match name {
        Some(name) => Cell::Text(Text::plain(name.as_str())),
        None if number.as_i64() == Some(-1) => Cell::Null,
        None => Cell::Scalar(number.to_string()),
    }
}

/// One value as JSON. What JSON has no form for, e.g. a date, becomes a string; NaN becomes null.
fn json(values: &dyn Array, idx: usize) -> Value {
    if values.is_null(idx) {
        return Value::Null;
    }
    match values.data_type() {
        DataType::Boolean => values.as_boolean().value(idx).into(),
        DataType::Int8 => values.as_primitive::<Int8Type>().value(idx).into(),
        DataType::Int16 => values.as_primitive::<Int16Type>().value(idx).into(),
        DataType::Int32 => values.as_primitive::<Int32Type>().value(idx).into(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(idx).into(),
        DataType::UInt8 => values.as_primitive::<UInt8Type>().value(idx).into(),
        DataType::UInt16 => values.as_primitive::<UInt16Type>().value(idx).into(),
        DataType::UInt32 => values.as_primitive::<UInt32Type>().value(idx).into(),
        DataType::UInt64 => values.as_primitive::<UInt64Type>().value(idx).into(),
        DataType::Float32 => {
            // By way of the shortest decimal: 0.1 stays 0.1.
            let value = values.as_primitive::<Float32Type>().value(idx);
            value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
        }
        DataType::Float64 => values.as_primitive::<Float64Type>().value(idx).into(),
        DataType::Utf8 => values.as_string::<i32>().value(idx).into(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(idx).into(),
        DataType::Utf8View => values.as_string_view().value(idx).into(),
        DataType::List(_) => list(&values.as_list::<i32>().value(idx)),
        DataType::LargeList(_) => list(&values.as_list::<i64>().value(idx)),
        DataType::FixedSizeList(..) => list(&values.as_fixed_size_list().value(idx)),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(values.as_struct().columns());
            let map: Map<String, Value> =
                columns.map(|(field, column)| (field.name().clone(), json(column, idx))).collect();
            Value::Object(map)
        }
        DataType::Map(..) => {
            let entries = values.as_map().value(idx);
            let pairs = (0..entries.len()).map(|at| (text_of(entries.column(0), at), json(entries.column(1), at)));
            Value::Object(pairs.collect())
        }
        _ => Value::String(text_of(values, idx)),
    }
}

fn list(values: &dyn Array) -> Value {
    Value::Array((0..values.len()).map(|idx| json(values, idx)).collect())
}

fn text_of(values: &dyn Array, idx: usize) -> String {
    array_value_to_string(values, idx).unwrap_or_else(|error| error.to_string())
}
