//! Parquet files: columns, types, names of classes, metadata, encodings.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int8Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType};
use arrow_array::{
    Array as _, ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;

use tamis_data::rewrite::Change;

use crate::common::{Files, Work, drop, label, names, split};

const FEATURES: &str = r#"{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;

/// Rows with nested columns, dictionaries and names of classes, in groups of two.
fn parquet(texts: &[&str], labels: &[i64]) -> Vec<u8> {
    parquet_of(FEATURES, texts, labels)
}

fn parquet_of(features: &str, texts: &[&str], labels: &[i64]) -> Vec<u8> {
    let n = texts.len();
    let list: ListArray = ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..n).map(|it| (it != 1).then(|| vec![Some(i64::MAX), None, Some(it as i64)])),
    );
    let inner: ArrayRef = Arc::new(StringArray::from_iter(texts.iter().map(|it| Some(format!("<{it}>")))));
    let nested = StructArray::from(vec![(Arc::new(Field::new("deep", DataType::Utf8, true)), inner)]);
    let kind: DictionaryArray<Int8Type> = texts.iter().map(|it| Some(&it[..1])).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ("label", Arc::new(Int64Array::from(labels.to_vec()))),
        ("list", Arc::new(list)),
        ("nested", Arc::new(nested)),
        ("kind", Arc::new(kind)),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, it)| Field::new(*name, it.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|it| it.1).collect()).unwrap();
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![pair("huggingface", features), pair("pandas", "{\"odd\": [1]}")]))
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Opens a Parquet file.
fn reader(bytes: &[u8]) -> ParquetRecordBatchReaderBuilder<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap()
}

/// All rows, the file's own metadata, and rows and compression of its groups.
fn opened(files: &Files, name: &str) -> (RecordBatch, Vec<KeyValue>, Vec<(i64, Compression)>) {
    let reader = reader(&files[name]);
    let metadata = Arc::clone(reader.metadata());
    let keys = metadata.file_metadata().key_value_metadata().unwrap().clone();
    let groups = metadata.row_groups().iter().map(|it| (it.num_rows(), it.column(0).compression())).collect();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    (arrow_select::concat::concat_batches(&schema, &batches).unwrap(), keys, groups)
}

#[test]
fn parquet_keeps_columns_metadata_groups_and_compression() {
    let input = parquet(&["a1", "b1", "a2", "c1", "b2"], &[0, 1, 0, 1, 0]);
    let work = Work::new(&[("train.parquet", &input)]);
    let files = work.apply(&[("train.parquet:2", drop()), ("train.parquet:3", label("pos"))]);
    let before = opened(&Files::from([("x".to_owned(), input)]), "x");
    let (batch, keys, groups) = opened(&files, "train.parquet");
    assert_eq!(keys, before.1);
    assert!(keys.iter().any(|it| it.key == "ARROW:schema") && keys.iter().any(|it| it.key == "huggingface"));
    assert_eq!(groups, [1, 2, 1].map(|n| (n, Compression::SNAPPY)));
    assert_eq!(batch.schema(), before.0.schema());
    let left = |idx: usize| -> ArrayRef {
        let kept = arrow_array::BooleanArray::from(vec![true, false, true, true, true]);
        arrow_select::filter::filter(before.0.column(idx), &kept).unwrap()
    };
    for idx in [0, 2, 3, 4] {
        assert_eq!(batch.column(idx), &left(idx), "column {idx}");
    }
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[0, 1, 1, 0]);
}

#[test]
fn a_parquet_file_that_stays_is_copied() {
    let train = parquet(&["a1", "b1"], &[0, 1]);
    let work = Work::new(&[("train.parquet", &train), ("test.parquet", &parquet(&["c", "d"], &[1, 1]))]);
    let files = work.apply(&[("test.parquet:1", drop())]);
    assert!(files["train.parquet"] == train);
}

#[test]
fn parquet_rows_move_to_the_shard_of_their_split() {
    let name = "data/train-00000-of-00001.parquet";
    let work = Work::new(&[(name, &parquet(&["a", "b", "c"], &[0, 1, 0]))]);
    let files = work.apply(&[("data/train-00000-of-00001.parquet:2", split("test"))]);
    assert_eq!(names(&files), ["data/test-00000-of-00001.parquet", name]);
    let (batch, keys, _) = opened(&files, "data/test-00000-of-00001.parquet");
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "b");
    assert_eq!((batch.num_rows(), keys.len()), (1, 3));
}

#[test]
fn a_label_that_is_no_class_is_refused() {
    let work = Work::new(&[("t.parquet", &parquet(&["a", "b"], &[0, 1]))]);
    let refusal = work.refusal(&[("t.parquet:1", label("neutral"))]);
    assert_eq!(
        refusal,
        "cannot change row 1 of `[DIR]/in/t.parquet`: `neutral` is none of the 2 classes of column `label`; leave this \
         sample as it is"
    );
}

#[test]
fn a_damaged_group_goes_and_the_others_stay() {
    let mut input = parquet(&["a1", "b1", "a2", "c1", "b2"], &[0, 1, 0, 1, 0]);
    let column = reader(&input).metadata().row_group(1).column(0).clone();
    let (start, len) = column.byte_range();
    let (start, len) = (usize::try_from(start).unwrap(), usize::try_from(len).unwrap());
    input[start..start + len].fill(0xff);
    let work = Work::new(&[("t.parquet", &input)]);
    let (dataset, _) = work.read();
    let keys: Vec<&str> = dataset.ids().map(|id| dataset.key(id)).collect();
    assert_eq!(keys, ["t.parquet:1", "t.parquet:2", "t.parquet:3", "t.parquet:5"]);
    let (batch, ..) = opened(&work.apply(&[("t.parquet:3", drop())]), "t.parquet");
    let texts: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["a1", "b1", "b2"]);
    let work = Work::new(&[("t.parquet", &input)]);
    let refusal = work.refusal(&[("t.parquet:1", drop())]);
    assert!(refusal.starts_with("cannot copy `[DIR]/in/t.parquet` from row 3 on: "), "{refusal}");
}

#[test]
fn rows_move_between_files_that_number_their_classes_in_another_way() {
    let other = FEATURES.replace(r#"["neg", "pos"]"#, r#"["odd", "pos", "neg"]"#);
    let (train, test) = (parquet(&["a", "b", "c"], &[0, 1, -1]), parquet_of(&other, &["d", "e"], &[2, 0]));
    let work = Work::new(&[("train.parquet", &train), ("test.parquet", &test)]);
    let both = Change { label: Some("odd".to_owned()), ..split("test") };
    let files = work.apply(&[
        ("train.parquet:1", split("test")),
        ("train.parquet:2", both),
        ("train.parquet:3", split("test")),
    ]);
    let (batch, ..) = opened(&files, "test.parquet");
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[2, 0, 2, 0, -1]);
    let work = Work::new(&[("train.parquet", &train), ("test.parquet", &test)]);
    let refusal = work.refusal(&[("test.parquet:2", split("train"))]);
    assert!(
        refusal.contains("to the file of another split: row 2: `odd` of column `label` is no class there"),
        "{refusal}"
    );
    let work = Work::new(&[("train.parquet", &train), ("test.parquet", &parquet_of("{}", &["d"], &[1]))]);
    let refusal = work.refusal(&[("train.parquet:1", split("test"))]);
    assert!(refusal.contains("one of the files does not name the classes of column `label`"), "{refusal}");
}

#[test]
fn pages_and_encodings_stay_what_every_reader_knows() {
    let texts: Vec<String> = (0..40).map(|n| format!("text {n}")).collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("n", DataType::Int64, false),
        Field::new("delta", DataType::Int64, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(texts)),
        Arc::new(Int64Array::from_iter_values(0..40)),
        Arc::new(Int64Array::from_iter_values(0..40)),
    ];
    let order = vec![SortingColumn { column_idx: 1, descending: false, nulls_first: false }];
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_column_encoding("delta".into(), Encoding::DELTA_BINARY_PACKED)
        .set_sorting_columns(Some(order.clone()));
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), Some(properties.build())).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    writer.close().unwrap();
    let encodings = |files: &Files| {
        let reader = reader(&files["t.parquet"]);
        let group = reader.metadata().row_group(0).clone();
        let of = |it: &parquet::file::metadata::ColumnChunkMetaData| it.encodings().collect::<Vec<_>>();
        assert_eq!(reader.metadata().file_metadata().version(), 1);
        (group.columns().iter().map(of).collect::<Vec<_>>(), group.sorting_columns().cloned())
    };
    let (all, sorted) = encodings(&Work::new(&[("t.parquet", &bytes)]).apply(&[("t.parquet:3", drop())]));
    assert!(all[..2].iter().all(|it| it.contains(&Encoding::PLAIN)), "{all:?}");
    assert!(!all[..2].iter().flatten().any(|it| format!("{it:?}").starts_with("DELTA")), "{all:?}");
    assert!(all[2].contains(&Encoding::DELTA_BINARY_PACKED), "{all:?}");
    assert_eq!(sorted, Some(order));
}

/// Texts and times of the old type INT96, by Julian day and nanoseconds of it.
fn old_times(times: &[(u32, u64)]) -> Vec<u8> {
    let schema = "message schema { REQUIRED BYTE_ARRAY text (UTF8); REQUIRED INT96 time; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: Vec<ByteArray> = (0..times.len()).map(|n| ByteArray::from(format!("text {n}").into_bytes())).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    let time = |(day, nanos): &(u32, u64)| {
        let mut time = Int96::new();
        time.set_data((*nanos & 0xffff_ffff) as u32, (*nanos >> 32) as u32, *day);
        time
    };
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&times.iter().map(time).collect::<Vec<_>>(), None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn times_of_the_old_type_stay_the_same_times() {
    // 9999-12-31, which is beyond what nanoseconds reach, and a time of day in microseconds.
    let input = old_times(&[(5_373_484, 0), (2_440_588, 0), (2_440_589, 3_661_000_004_000)]);
    let files = Work::new(&[("t.parquet", &input)]).apply(&[("t.parquet:2", drop())]);
    let (batch, groups) = {
        let reader = reader(&files["t.parquet"]);
        let groups = reader.metadata().num_row_groups();
        (reader.build().unwrap().next().unwrap().unwrap(), groups)
    };
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.values().to_vec(), groups), (vec![253_402_214_400_000_000, 90_061_000_004], 1));
    let copied = Work::new(&[("t.parquet", &input)]).apply(&[]);
    assert_eq!(copied["t.parquet"], input);
    let fine = old_times(&[(2_440_588, 0), (2_440_588, 1_001)]);
    let files = Work::new(&[("t.parquet", &fine)]).apply(&[("t.parquet:1", drop())]);
    let batch = reader(&files["t.parquet"]).build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.column(1).as_primitive::<TimestampNanosecondType>().values(), &[1_001]);
    let work = Work::new(&[("t.parquet", &old_times(&[(5_373_484, 0), (2_440_588, 1)]))]);
    let refusal = work.refusal(&[("t.parquet:1", drop())]);
    assert!(
        refusal.ends_with("too far for nanoseconds; write these columns as timestamps first, and audit the data again")
    );
}
