//! Each format with a good and a bad input.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tamis_core::{SampleId, State};
use tamis_data::ReadOptions;

use crate::common::{check, check_folder, check_unreadable, error_of, gzip, read_with};

pub(crate) fn parquet(columns: &[(&str, ArrayRef)], metadata: &[(&str, &str)], rows_per_group: usize) -> Vec<u8> {
    let fields: Vec<_> = columns.iter().map(|(name, it)| Field::new(*name, it.data_type().clone(), true)).collect();
    let metadata: HashMap<_, _> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
    let arrays = columns.iter().map(|(_, it)| Arc::clone(it)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub(crate) fn strings<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

#[test]
fn jsonl_rows_are_lines() {
    let read = check(
        "a.jsonl",
        b"{\"text\": \"one\", \"label\": \"x\", \"n\": 1}\n\n{\"text\": \" \\n\", \"label\": null, \"n\": [1, {}]}\r\n{\"text\": \"three\"}",
        &["a.jsonl:1 | train | x | one", "a.jsonl:3 | train | - | [empty]", "a.jsonl:4 | train | - | three"],
    );
    assert_eq!(read.column("n"), [Some("1"), Some("[1,{}]"), None]);
    assert_eq!(read.dataset.files()[0].blake3.as_deref().map(str::len), Some(64));
}

#[test]
fn a_broken_line_is_a_sample_and_reading_goes_on() {
    check(
        "a.jsonl",
        b"{\"text\": \"one\"}\n{\"text\": \"tw\n[1]\n{\"text\": 4}\n{\"txt\": \"five\"}\n{\"text\": \"six\"}\n",
        &[
            "a.jsonl:1 | train | - | one",
            "a.jsonl:2 | train | - | [a.jsonl:2: not JSON (EOF while parsing a string at byte 12), \
             expected one JSON object a line]",
            "a.jsonl:3 | train | - | [a.jsonl:3: a list, expected a JSON object]",
            "a.jsonl:4 | train | - | [a.jsonl:4: column `text` is a number, expected a string]",
            "a.jsonl:5 | train | - | [a.jsonl:5: no column `text`, expected it to hold a string]",
            "a.jsonl:6 | train | - | six",
        ],
    );
}

#[test]
fn a_json_list_says_how_to_mend_it() {
    for name in ["a.json", "a.jsonl"] {
        check_unreadable(
            name,
            b"[\n  {\"text\": \"one\"}]",
            &format!(
                "{name}: one JSON list over the whole file, expected one JSON object a line; \
                 `jq -c '.[]' FILE > FILE.jsonl` makes it so"
            ),
        );
    }
}

#[test]
fn jsonl_may_be_packed_and_have_any_name() {
    check("a.jsonl.gz", &gzip(b"\xef\xbb\xbf{\"text\": \"one\"}\n"), &["a.jsonl.gz:1 | train | - | one"]);
    check("data", b"{\"text\": \"one\"}\n", &["data:1 | train | - | one"]);
}

#[test]
fn a_broken_gzip_stands_for_the_rest() {
    let mut packed = gzip("{\"text\": \"one\"}\n".repeat(20_000).as_bytes());
    packed.truncate(packed.len() - 30);
    let read = read_with(&[("a.jsonl.gz", &packed)], &ReadOptions::default()).unwrap();
    let lines = read.lines();
    let last = lines.last().unwrap();
    assert!(last.contains(": cannot be read from here on (") && last.ends_with("), expected more lines]"), "{last}");
    assert!(10_000 < lines.len(), "the rows before the break were read");
    assert_eq!(read.dataset.files()[0].blake3.clone().unwrap(), blake3::hash(&packed).to_hex().to_string());
    check_unreadable(
        "b.jsonl.gz",
        b"\x1f\x8bnothing at all",
        "b.jsonl.gz: cannot be read: invalid gzip header, expected a readable file",
    );
}

#[test]
fn empty_files_are_named() {
    check_unreadable("a.jsonl", b"", "a.jsonl: empty file: 0 bytes, expected one JSON object a line");
    check_unreadable("a.csv", b"", "a.csv: empty file: 0 bytes, expected a header");
    check_unreadable("a.tsv", b"", "a.tsv: empty file: 0 bytes, expected a header");
    check_unreadable("a.txt", b"", "a.txt: empty file: 0 bytes, expected one text a line");
    check_unreadable("a.parquet", b"", "a.parquet: not a Parquet file: 0 bytes, expected the magic PAR1");
    check_unreadable(
        "a",
        b"",
        "a: an empty file, expected one of parquet, idx, jsonl, csv, tsv, lines, text-files, image-files",
    );
}

#[test]
fn invalid_utf8_is_replaced_noted_and_keeps_its_identity() {
    let read = check(
        "a.jsonl",
        b"{\"text\": \"caf\xe9\"}\n{\"text\": \"caf\xe8\"}\n{\"text\": \"caf\xef\xbf\xbd\"}\n",
        &[
            "a.jsonl:1 | train | - | caf\u{fffd}",
            "a.jsonl:2 | train | - | caf\u{fffd}",
            "a.jsonl:3 | train | - | caf\u{fffd}",
        ],
    );
    let digests: Vec<_> = read.fingerprints.iter().map(|it| it.unwrap()).collect();
    assert_ne!(digests[0][0], digests[1][0]);
    assert_ne!(digests[0][0], digests[2][0]);
    assert_eq!(digests[0][1], digests[2][1]);
    let note = "invalid UTF-8 was read with replacement characters";
    assert_eq!(read.dataset.sample(SampleId(0)).note.as_deref(), Some(note));
    assert_eq!(read.dataset.sample(SampleId(2)).note, None);
    assert_eq!(read.note("UTF-8"), "2 texts hold invalid UTF-8, which was read with replacement characters");
}

#[test]
fn csv_has_quotes_line_breaks_and_a_byte_order_mark() {
    let read = check(
        "a.csv",
        b"\xef\xbb\xbftext,label,\r\n\"one, \"\"two\"\"\r\nthree\",x,1\r\nfour,,\r\n",
        &["a.csv:1 | train | x | one, \"two\"\r\nthree", "a.csv:2 | train | - | four"],
    );
    assert_eq!(read.column("column 3"), [Some("1"), Some("")]);
}

#[test]
fn a_record_with_another_number_of_fields_is_a_sample() {
    check(
        "a.csv",
        b"text,label\none,x\n\"two\nlines\",x,y\nthree\nfour,x\n",
        &[
            "a.csv:1 | train | x | one",
            "a.csv:2 | train | - | [a.csv:2: 3 fields in the record at line 3, expected 2]",
            "a.csv:3 | train | - | [a.csv:3: 1 field in the record at line 5, expected 2]",
            "a.csv:4 | train | x | four",
        ],
    );
}

#[test]
fn a_quote_that_is_never_closed_stands_for_the_rest() {
    check(
        "a.csv",
        b"label,text\nx,one\nx,\"two\nx,three\nx,four\n",
        &[
            "a.csv:1 | train | x | one",
            "a.csv:2 | train | - | [a.csv:2: a quote is opened in the record at line 3 and never closed, \
             expected `\"` before the end of the file]",
        ],
    );
    check_unreadable("b.csv", b"\"text\none\n", "b.csv: a quote in the header is never closed, expected a header");
}

#[test]
fn the_delimiter_is_told_from_the_content() {
    for (delimiter, name) in [(";", "a.csv"), ("|", "a.csv"), ("\t", "a.csv"), ("\t", "a.tsv"), (",", "noname")] {
        let bytes = "text,label\none two,x\nthree,y\n".replace(',', delimiter);
        check(
            name,
            bytes.as_bytes(),
            &[&format!("{name}:1 | train | x | one two"), &format!("{name}:2 | train | y | three")],
        );
    }
}

#[test]
fn lines_are_samples_and_blank_ones_are_empty() {
    check(
        "a.txt",
        b"\xef\xbb\xbfone\r\n\ncaf\xe9",
        &["a.txt:1 | train | - | one", "a.txt:2 | train | - | [empty]", "a.txt:3 | train | - | caf\u{fffd}"],
    );
    check("a.txt.gz", &gzip(b"one\ntwo\n"), &["a.txt.gz:1 | train | - | one", "a.txt.gz:2 | train | - | two"]);
}

#[test]
fn binary_data_is_no_format() {
    check_unreadable(
        "a.bin",
        b"\x01\x02\0\0",
        "a.bin: binary data, expected one of parquet, idx, jsonl, csv, tsv, lines, text-files, image-files",
    );
    check_unreadable(
        "a.csv",
        b"\xff\xfet\0e\0x\0t\0",
        "a.csv: text in UTF-16, expected UTF-8; `iconv -f UTF-16 -t UTF-8` makes it so",
    );
}

#[test]
fn a_text_file_is_one_sample_and_its_hash_is_of_the_bytes() {
    let bytes = b"\xef\xbb\xbfone\ntwo\n";
    let read = check_folder(
        &[("a.md", bytes), ("b", b"one\ntwo\n"), ("c", b"")],
        &["a.md | train | - | one\ntwo\n", "b | train | - | one\ntwo\n", "c | train | - | [empty]"],
    );
    assert_eq!(read.dataset.files()[0].blake3.clone().unwrap(), blake3::hash(bytes).to_hex().to_string());
    assert_eq!(read.fingerprints[0].unwrap()[0].to_hex(), blake3::hash(bytes).to_hex().to_string());
    assert_eq!(read.fingerprints[0].unwrap()[1], read.fingerprints[1].unwrap()[1]);
    assert_eq!(read.dataset.sample(SampleId(2)).state, State::Empty);
}

#[test]
fn a_forced_format_wins() {
    let from = |id: &str| ReadOptions { from: Some(id.to_owned()), ..ReadOptions::default() };
    let read = read_with(&[("a.jsonl", b"{\"text\": \"one\"}\n")], &from("lines")).unwrap();
    assert_eq!(read.lines(), ["a.jsonl:1 | train | - | {\"text\": \"one\"}"]);
    assert_eq!(read.note("read as"), "`a.jsonl` is read as lines (given)");
    let read = read_with(&[("a.jsonl", b"{\"text\": \"one\"}\n")], &from("text-files")).unwrap();
    assert_eq!(read.lines(), ["a.jsonl | train | - | {\"text\": \"one\"}\n"]);
    let error = error_of("a.csv", b"a,b\n", &from("cvs"));
    assert_eq!(
        error.to_string(),
        "unknown format `cvs`, expected one of parquet, idx, jsonl, csv, tsv, lines, text-files, image-files"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean --from csv?"));
    assert!(error.is_usage());
}

#[test]
fn parquet_takes_class_names_from_hugging_face_metadata() {
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(0), Some(-1), Some(7)]));
    let text = strings([Some("one"), None, Some(" "), Some("four")]);
    let info = r#"{"info": {"features": {"text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;
    let read = check(
        "data",
        &parquet(&[("text", text), ("label", labels)], &[("huggingface", info)], 2),
        &[
            "data:1 | train | pos | one",
            "data:2 | train | neg | [data:2: column `text` is null, expected a string]",
            "data:3 | train | - | [empty]",
            "data:4 | train | 7 | four",
        ],
    );
    assert_eq!(read.note("read as"), "`data` is read as parquet (it begins with the magic PAR1)");
}

#[test]
fn parquet_has_dictionaries_conversations_and_bytes() {
    let dictionary: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
    let turn = |role: &'static str, content: &'static str| (role, content);
    let turns = [turn("user", "hi"), turn("assistant", "hello"), turn("user", "again"), turn("user", "more")];
    let fields = [Field::new("role", DataType::Utf8, true), Field::new("content", DataType::Utf8, true)];
    let values = StructArray::from(vec![
        (Arc::new(fields[0].clone()), strings(turns.map(|it| Some(it.0)))),
        (Arc::new(fields[1].clone()), strings(turns.map(|it| Some(it.1)))),
    ]);
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let lengths = [2, 1, 1].map(|n| Some(vec![Some(0); n]));
    let offsets = ListArray::from_iter_primitive::<Int32Type, _, _>(lengths).offsets().clone();
    let messages: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), None));
    let image = StructArray::from(vec![(
        Arc::new(Field::new("bytes", DataType::Binary, true)),
        Arc::new(BinaryArray::from_vec(vec![b"\xff", b"b", b"c"])) as ArrayRef,
    )]);
    let old: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"a", b"b", b"c"]));
    let bytes = parquet(
        &[("messages", messages), ("label", Arc::new(dictionary)), ("image", Arc::new(image)), ("old", old)],
        &[],
        10,
    );
    let read = check(
        "a.parquet",
        &bytes,
        &["a.parquet:1 | train | x | hi\n\nhello", "a.parquet:2 | train | y | again", "a.parquet:3 | train | x | more"],
    );
    assert_eq!(read.note("left out"), "column `image` was left out: it holds bytes");
    assert_eq!(read.column("old"), [Some("a"), Some("b"), Some("c")]);
}

#[test]
fn damaged_parquet_is_a_sample() {
    let text: Vec<String> = (0..300).map(|i| format!("text number {i}, {}", "padding ".repeat(i % 7))).collect();
    let text = strings(text.iter().map(|it| Some(it.as_str())));
    let whole = parquet(&[("text", text)], &[], 100);
    check_unreadable("a.parquet", b"PAR1PAR1", "a.parquet: not a Parquet file: 8 bytes, expected the magic PAR1");
    check_unreadable(
        "a.parquet",
        b"just some text",
        "a.parquet: not a Parquet file: it begins with [6a, 75, 73, 74], expected the magic PAR1",
    );
    check_unreadable(
        "a.parquet",
        &whole[..whole.len() - 10],
        "a.parquet: truncated Parquet file: no magic PAR1 at its end, expected a whole file",
    );
    let mut damaged = whole.clone();
    let footer = damaged.len() - 8;
    damaged[footer..footer + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = error_of("a.parquet", &damaged, &ReadOptions::default()).to_string();
    assert!(error.starts_with("nothing could be read: a.parquet: damaged Parquet file ("), "{error}");
    assert!(error.ends_with("expected a readable footer"), "{error}");

    // The second of three row groups: one sample stands for the rest of it, and the third is read.
    let mut damaged = whole;
    let second = damaged.windows(16).position(|it| it == b"text number 100,").unwrap();
    damaged[second..second + 60].fill(0xff);
    let read = read_with(&[("a.parquet", &damaged)], &ReadOptions::default()).unwrap();
    let lines = read.lines();
    assert_eq!(lines.len(), 201, "{:?}", &lines[100..]);
    assert!(lines[100].starts_with("a.parquet:101 | train | - | [a.parquet:101: damaged from row 101 on ("));
    assert!(lines[100].ends_with("), expected rows up to 200]"), "{}", lines[100]);
    assert!(lines[101].starts_with("a.parquet:201 | train | - | text number 200"), "{}", lines[101]);
}

#[test]
fn one_bad_file_among_others_is_one_sample() {
    check_folder(
        &[("a.parquet", b""), ("b.jsonl", b"{\"text\": \"one\"}\n")],
        &[
            "a.parquet | train | - | [a.parquet: not a Parquet file: 0 bytes, expected the magic PAR1]",
            "b.jsonl:1 | train | - | one",
        ],
    );
}
