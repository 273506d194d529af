//! Tables: rows as they stand, less those that go, in the file of their split.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int8Type, Int64Type};
use arrow_array::{
    Array as _, ArrayRef, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::common::{Files, Work, drop, label, names, split, text};

const JSONL: &str = "\u{feff}{\"id\":\"a\" ,\"text\": \"One \\u00e9\", \"label\":\"x\",\"n\":123456789012345678901234567890}\r\n\r\n\
    {\"id\":\"b\",  \"text\":\"two\",\"label\":\"y\", \"f\": 1.0e+2}\r\n{\"id\":\"c\",\r\n  {\"text\":\"three\",\"id\":\"d\"}";

#[test]
fn lines_of_json_stay_byte_for_byte() {
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    assert_eq!(text(&work.apply(&[]), "train.jsonl"), JSONL);
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    let expected = JSONL.replace("{\"id\":\"b\",  \"text\":\"two\",\"label\":\"y\", \"f\": 1.0e+2}\r\n", "");
    assert_eq!(text(&work.apply(&[("b", drop())]), "train.jsonl"), expected);
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    let changes = [("a", label("y")), ("d", label("\"q\"")), ("train.jsonl:4", drop())];
    let expected = JSONL
        .replace("\"label\":\"x\"", "\"label\":\"y\"")
        .replace("{\"id\":\"c\",\r\n", "")
        .replace("\"id\":\"d\"}", "\"id\":\"d\", \"label\": \"\\\"q\\\"\"}");
    assert_eq!(text(&work.apply(&changes), "train.jsonl"), expected);
}

#[test]
fn what_is_packed_is_packed_again() {
    let rows = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(rows.as_bytes()).unwrap();
    let work = Work::new(&[("a.jsonl.gz", &packer.finish().unwrap())]);
    let files = work.apply(&[("a.jsonl.gz:1", drop())]);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&files["a.jsonl.gz"][..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, "{\"text\": \"two\"}\n");
}

const CSV: &str = "\u{feff}id,text,label,note\r\n1,\"a \"\"quoted\"\",\r\nline\",x, spaced \r\n\r\n\
    2,b,\"y\",\"\"\r\n3,two,fields\r\n4,é,x,\"last\"";

#[test]
fn records_of_csv_stay_byte_for_byte() {
    let apply = |changes: &[_]| text(&Work::new(&[("t.csv", CSV.as_bytes())]).apply(changes), "t.csv").to_owned();
    assert_eq!(apply(&[]), CSV);
    assert_eq!(apply(&[("2", drop())]), CSV.replace("2,b,\"y\",\"\"\r\n", ""));
    assert_eq!(apply(&[("4", drop()), ("t.csv:3", drop())]), CSV.replace("3,two,fields\r\n4,é,x,\"last\"", ""));
    let changed = CSV.replace("line\",x,", "line\",\"com,ma\",").replace("\"y\"", "\"x\"");
    assert_eq!(apply(&[("1", label("com,ma")), ("2", label("x"))]), changed);
    let work = Work::new(&[("t.csv", b"text;label\na,b;x\nc;y\n")]);
    assert_eq!(text(&work.apply(&[("t.csv:2", label("x;"))]), "t.csv"), "text;label\na,b;x\nc;\"x;\"\n");
}

#[test]
fn a_quote_that_is_never_closed_goes_with_the_rest_of_the_file() {
    let broken = "text,label\na,x\nb,y\n\"c,x\nd,y\n";
    let work = Work::new(&[("t.csv", broken.as_bytes())]);
    assert_eq!(text(&work.apply(&[("t.csv:3", drop())]), "t.csv"), "text,label\na,x\nb,y\n");
}

#[test]
fn lines_and_tabs_stay_byte_for_byte() {
    let lines = "one\n\n  two \r\nthree";
    let work = Work::new(&[("t.txt", lines.as_bytes())]).inputs(&["t.txt"]);
    assert_eq!(text(&work.apply(&[("t.txt:2", drop()), ("t.txt:4", drop())]), "t.txt"), "one\n  two \r\n");
    let work = Work::new(&[("t.tsv", b"text\tlabel\na\tx\nb, \"c\ty\n")]);
    assert_eq!(text(&work.apply(&[("t.tsv:1", drop()), ("t.tsv:2", label("x"))]), "t.tsv"), "text\tlabel\nb, \"c\tx\n");
}

#[test]
fn rows_move_to_the_file_of_their_split() {
    let work = Work::new(&[("train.csv", b"text,label\na,x\nb,y"), ("test.csv", b"text,label\r\nc,x")]);
    let files = work.apply(&[("train.csv:2", split("test")), ("test.csv:1", split("validation"))]);
    assert_eq!(names(&files), ["test.csv", "train.csv", "validation.csv"]);
    assert_eq!(text(&files, "train.csv"), "text,label\na,x\n");
    assert_eq!(text(&files, "test.csv"), "text,label\r\nb,y");
    assert_eq!(text(&files, "validation.csv"), "text,label\r\nc,x");
}

#[test]
fn a_file_that_names_no_split_gets_others_beside_it() {
    let work = Work::new(&[("all.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}")]).inputs(&["all.jsonl"]);
    let files = work.apply(&[("all.jsonl:2", split("test"))]);
    assert_eq!(text(&files, "all.jsonl"), "{\"text\": \"a\"}\n");
    assert_eq!(text(&files, "all-test.jsonl"), "{\"text\": \"b\"}");
}

#[test]
fn a_file_without_rows_goes() {
    let work = Work::new(&[("train.jsonl", b"{\"text\": \"a\"}\n"), ("test.jsonl", b"{\"text\": \"b\"}\n")]);
    assert_eq!(names(&work.apply(&[("train.jsonl:1", drop())])), ["test.jsonl"]);
}

#[test]
fn splits_that_were_given_name_their_files() {
    let work =
        Work::new(&[("a/x.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}"), ("b/x.jsonl", b"{\"text\": \"c\"}")]);
    let work = work.inputs(&["train=a/x.jsonl", "test=b/x.jsonl"]);
    let (dataset, _) = work.read();
    let key = dataset.key(tamis_core::SampleId(1)).to_owned();
    let files = work.apply(&[(&key, split("test"))]);
    assert_eq!(text(&files, "b/x.jsonl"), "{\"text\": \"c\"}\n{\"text\": \"b\"}");
    assert_eq!(text(&files, "a/x.jsonl"), "{\"text\": \"a\"}\n");
    let work = Work::new(&[("train.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}")]).inputs(&["train=train.jsonl"]);
    assert_eq!(names(&work.apply(&[("train.jsonl:2", split("validation"))])), ["train.jsonl", "validation.jsonl"]);
}

#[test]
fn a_column_of_splits_is_written_in_its_own_spelling() {
    let rows = "id,text,split\n1,a,train\n2,b,dev\n3,c,\n";
    let work = Work::new(&[("t.csv", rows.as_bytes())]);
    let files = work.apply(&[("1", split("validation")), ("3", split("test"))]);
    assert_eq!(text(&files, "t.csv"), "id,text,split\n1,a,dev\n2,b,dev\n3,c,test\n");
}

#[test]
fn what_cannot_be_done_is_said_with_the_mend() {
    let check = |files: &[(&str, &[u8])], key: &str, change, expected: &str| {
        assert_eq!(Work::new(files).refusal(&[(key, change)]), expected);
    };
    check(
        &[("t.csv", b"text,n\na,1\nb,2\n")],
        "t.csv:1",
        label("x"),
        "cannot relabel `t.csv:1` (`[DIR]/in/t.csv`:1): its table has no column of labels; name the column with --label, or \
         leave the label as it is",
    );
    check(
        &[("train.csv", b"text,n\na,1\nb,2\n"), ("test.csv", b"text,m\na,1\n")],
        "train.csv:1",
        split("test"),
        "rows of `[DIR]/in/train.csv` cannot go to the file of `[DIR]/in/test.csv`: they have other columns; leave these rows \
         in their split, or bring the columns into line",
    );
    check(
        &[("train.csv", b"text,n\na,1\nb,2\n"), ("test.csv", b"text;n\na;1\nb;2\n")],
        "train.csv:1",
        split("test"),
        "rows of `[DIR]/in/train.csv` have another delimiter than the file they would go to; leave these rows in their split, \
         or bring the delimiters into line",
    );
    check(
        &[("t.jsonl", b"{\"text\": \"a\", \"label\": \"x\"}\n{\"text\"\n")],
        "t.jsonl:2",
        label("x"),
        "cannot change `t.jsonl:2`, which could not be read: t.jsonl:2: not JSON (EOF while parsing an object at byte 7), \
         expected one JSON object a line; decide to keep or to drop it",
    );
    check(
        &[("t.jsonl", b"{\"text\": \"a\"}\n")],
        "t.jsonl:1",
        drop(),
        "nothing would be left: every sample is dropped; decide to keep some",
    );
    check(
        &[("train.jsonl", b"{\"text\": \"a\"}\n")],
        "train.jsonl:1",
        split("odd"),
        "cannot move `train.jsonl:1` (`[DIR]/in/train.jsonl`:1): there is no file of the split `odd`, and none can be named \
         after its own that would be read as it; give a file of that split as well, e.g. --test PATH, or take one of train, \
         validation and test",
    );
    let twice = Work::new(&[("t.jsonl", b"{\"text\": \"a\"}\n")]).inputs(&["t.jsonl", ""]);
    assert!(twice.refusal(&[]).starts_with("`[DIR]/in/t.jsonl` is read twice"), "{}", twice.refusal(&[]));
}

const FEATURES: &str = r#"{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;

/// Rows with nested columns, dictionaries and names of classes, in groups of two.
fn parquet(texts: &[&str], labels: &[i64]) -> Vec<u8> {
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
        .set_key_value_metadata(Some(vec![pair("huggingface", FEATURES), pair("pandas", "{\"odd\": [1]}")]))
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

/// An idx file of images of two pixels and its labels.
fn idx(n: u8) -> (Vec<u8>, Vec<u8>) {
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 1, 0, 0, 0, 2];
    images.extend((0..n).flat_map(|it| [it, 100 + it]));
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, n];
    labels.extend(0..n);
    (images, labels)
}

#[test]
fn idx_files_get_new_counts_and_labels() {
    let (images, labels) = idx(4);
    let (test_images, test_labels) = idx(1);
    let work = Work::new(&[
        ("train-images-idx3-ubyte", &images),
        ("train-labels-idx1-ubyte", &labels),
        ("t10k-images-idx3-ubyte", &test_images),
        ("t10k-labels-idx1-ubyte", &test_labels),
    ]);
    let key = |row: u8| format!("train-images-idx3-ubyte:{row}");
    let files = work.apply(&[(&key(1), drop()), (&key(3), label("255")), (&key(4), split("test"))]);
    assert_eq!(names(&files).len(), 4);
    let train = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 101, 2, 102];
    assert_eq!(files["train-images-idx3-ubyte"], train);
    assert_eq!(files["train-labels-idx1-ubyte"], [0, 0, 8, 1, 0, 0, 0, 2, 1, 255]);
    let test = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 100, 3, 103];
    assert_eq!(files["t10k-images-idx3-ubyte"], test);
    assert_eq!(files["t10k-labels-idx1-ubyte"], [0, 0, 8, 1, 0, 0, 0, 2, 0, 3]);
    let work = Work::new(&[("train-images-idx3-ubyte", &images), ("train-labels-idx1-ubyte", &labels)]);
    let refusal = work.refusal(&[(&key(2), label("cat"))]);
    assert!(refusal.contains("`cat` is no such label; labels of idx files are numbers from 0 to 255"), "{refusal}");
}
