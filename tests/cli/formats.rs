//! Reading: each format, and how texts, labels, splits and keys are told or named.
//!
//! That a text came through unharmed is shown by its identity: a copy of it in another file, written by a format that
//! needs no care, has the same bytes.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};

use crate::common::{Run, Workspace, counts, keys, rows};

/// Asserts that the samples are `n` pairs of the same bytes and nothing else.
#[track_caller]
fn expect_pairs(run: &Run, n: u64) {
    assert_eq!(run.audit().dataset.n_samples, 2 * n);
    assert_eq!((run.fact("exact-duplicate", "pairs_bytes"), run.findings().len() as u64), (n.into(), n));
}

fn key_pairs(run: &Run) -> Vec<Vec<String>> {
    run.findings_of("exact-duplicate").iter().map(keys).collect()
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[test]
fn csv_fields_may_hold_quotes_and_line_breaks_behind_a_byte_order_mark() {
    let texts = ["He said \"no\", then left", "two\nlines", "a dos\r\nline", "plain, but with a comma"];
    let mut csv = "\u{feff}id,text\r\n".to_owned();
    for (idx, text) in texts.iter().enumerate() {
        csv += &format!("r{idx},{}\r\n", quoted(text));
    }
    let work = Workspace::new();
    work.write("a.csv", csv);
    work.write("b.jsonl", rows(&texts));
    let run = work.facts(&["a.csv", "b.jsonl", "--text", "text"]).expect(0);
    expect_pairs(&run, 4);
    assert_eq!(key_pairs(&run)[0], ["b.jsonl:1", "r0"], "the mark is no part of the first column's name");
}

#[test]
fn delimiters_are_told_from_the_content() {
    for (name, delimiter) in [("a.tsv", "\t"), ("b.csv", ";"), ("c.csv", "|"), ("d", ",")] {
        let work = Workspace::new();
        let line = |fields: [&str; 2]| fields.join(delimiter) + "\n";
        work.write(
            name,
            line(["text", "label"]) + &line(["Where is my parcel?", "x"]) + &line(["It rained all day", "y"]),
        );
        let run = work.facts(&[name]).expect(0);
        assert_eq!(run.labels(), counts(&[("x", 1), ("y", 1)]), "{name}");
    }
}

#[test]
fn each_line_of_a_text_file_is_a_sample() {
    let work = Workspace::new();
    work.write("a.txt", "one\ntwo\n\none\n");
    let run = work.facts(&["a.txt"]).expect(0);
    run.expect_note("`a.txt` is read as lines (extension .txt)");
    assert_eq!(run.audit().dataset.states.empty, 1);
    assert_eq!(key_pairs(&run), [["a.txt:1", "a.txt:4"]]);
}

#[test]
fn folders_of_text_files_name_splits_and_labels() {
    let work = Workspace::new();
    for name in ["train/good/1", "train/good/2", "train/bad/3", "test/good/4", "test/bad/5"] {
        work.write(&format!("mails/{name}.txt"), format!("the text of\n{name}\n"));
    }
    let run = work.facts(&["mails"]).expect(0);
    assert_eq!(run.splits(), counts(&[("test", 2), ("train", 3)]));
    assert_eq!(run.labels(), counts(&[("bad", 2), ("good", 3)]));
    run.expect_note("`mails`: 5 files read as text-files (one sample a file: it holds no tables)");
    run.expect_note("labels: the names of 2 folders (`bad`, `good`)");
}

#[test]
fn a_folder_of_tables_leaves_out_what_is_none() {
    let work = Workspace::new();
    work.write("set/README.md", "# About the data\n");
    work.write("set/data/train-00000-of-00002.jsonl", rows(&["one"]));
    work.write("set/data/train-00001-of-00002.jsonl", rows(&["two"]));
    work.write("set/data/test-00000-of-00001.jsonl", rows(&["three"]));
    work.write("set/notes.txt", "not a sample\n");
    let run = work.facts(&["set"]).expect(0);
    assert_eq!(run.splits(), counts(&[("test", 1), ("train", 2)]));
    run.expect_note("1 file left out, about the data: `README.md`");
    run.expect_note("1 file left out, of other formats: `notes.txt`");
}

/// Writes Parquet as Hugging Face `datasets` does: class numbers in the column, class names in the metadata.
fn class_label_parquet(work: &Workspace, name: &str, texts: &[&str], classes: &[i64]) {
    let columns: [(&str, ArrayRef); 2] = [
        ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ("label", Arc::new(Int64Array::from(classes.to_vec()))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let features = serde_json::json!({ "info": { "features": {
        "text": { "dtype": "string", "_type": "Value" },
        "label": { "names": ["advert", "genuine"], "_type": "ClassLabel" },
    } } });
    let metadata = vec![KeyValue::new("huggingface".to_owned(), features.to_string())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let file = File::create(work.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_labels_get_the_class_names_of_the_metadata() {
    let work = Workspace::new();
    class_label_parquet(&work, "a.parquet", &["buy now", "hello", "buy now", "no label"], &[0, 1, 1, -1]);
    let run = work.facts(&["a.parquet"]).expect(0);
    assert_eq!(run.labels(), counts(&[("advert", 1), ("genuine", 2)]));
    assert_eq!(run.audit().dataset.n_samples, 4, "-1 is how a missing label is written");
    let said = run.findings_of("conflicting-labels").into_iter().map(|finding| finding.message).collect::<Vec<_>>();
    assert_eq!(said, ["2 labels for the same bytes: genuine (1), advert (1)"]);
}

#[test]
fn parquet_is_told_from_its_content_whatever_its_name() {
    let work = Workspace::new();
    class_label_parquet(&work, "data.bin", &["one", "two"], &[0, 1]);
    let run = work.facts(&["data.bin"]).expect(0);
    assert_eq!(run.audit().dataset.n_samples, 2);
}

#[test]
fn gzip_is_read_through() {
    let work = Workspace::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(rows(&["first", "second"]).as_bytes()).unwrap();
    work.write("a.jsonl.gz", encoder.finish().unwrap());
    work.write("b.jsonl", rows(&["first", "second"]));
    expect_pairs(&work.facts(&["a.jsonl.gz", "b.jsonl"]).expect(0), 2);
}

#[test]
fn a_gzip_file_that_breaks_off_is_a_finding_for_the_rest_of_it() {
    let work = Workspace::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(rows(&["first", "second"]).as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    work.write("a.jsonl.gz", &whole[..whole.len() - 12]);
    let run = work.facts(&["a.jsonl.gz"]).expect(0);
    let findings = run.findings_of("unreadable-sample");
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.starts_with("cannot be read: a.jsonl.gz:2: "), "{}", findings[0].message);
}

#[test]
fn a_format_that_is_given_beats_content_and_extension() {
    let work = Workspace::new();
    work.write("a.csv", "{\"text\": 1}\nfree, text\n");
    let run = work.facts(&["a.csv", "--from", "lines"]).expect(0);
    run.expect_note("`a.csv` is read as lines (given)");
    assert_eq!(run.audit().dataset.n_samples, 2);
}

#[test]
fn train_and_test_give_splits_whatever_the_names_and_columns_say() {
    let work = Workspace::new();
    work.write("test.jsonl", "{\"text\": \"one\", \"split\": \"test\"}\n");
    work.write("b.jsonl", rows(&["two"]));
    work.write("c.jsonl", rows(&["three"]));
    let run = work.facts(&["--train", "test.jsonl", "--test", "b.jsonl", "--validation", "c.jsonl"]).expect(0);
    assert_eq!(run.splits(), counts(&[("train", 1), ("validation", 1), ("test", 1)]));
    run.expect_note("the column `split` was not taken for the split, its split was given");
}

#[test]
fn a_note_on_a_column_names_the_files_that_have_it() {
    let work = Workspace::new();
    work.write("a.jsonl", "{\"text\": \"one\", \"split\": \"test\"}\n");
    work.write("b.jsonl", rows(&["two"]));
    let run = work.facts(&["--train", "a.jsonl", "--test", "b.jsonl"]).expect(0);
    run.expect_note("`a.jsonl`: the column `split` was not taken for the split, its split was given");
}

#[test]
fn a_path_is_put_into_a_split_by_its_name() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["one"]));
    work.write("b=c.jsonl", rows(&["two"]));
    let run = work.facts(&["dev=a.jsonl", "fold-3=a.jsonl", "b=c.jsonl"]).expect(0);
    assert_eq!(run.splits(), counts(&[("dev", 1), ("fold-3", 1), ("train", 1)]), "a file of that whole name is a path");
}

#[test]
fn a_column_may_tell_the_split_by_its_usual_names() {
    let work = Workspace::new();
    work.write("a.csv", "text,split\none,dev\ntwo,TRAIN\nthree,testing\nfour,fold-3\n");
    let run = work.facts(&["a.csv"]).expect(0);
    assert_eq!(run.splits(), counts(&[("validation", 1), ("train", 1), ("test", 1), ("fold-3", 1)]));
    run.expect_note("split column: `split` (by its name)");
}

#[test]
fn columns_are_chosen_by_name_and_text_columns_are_joined_by_a_line_break() {
    let work = Workspace::new();
    work.write("a.csv", "no,subject,mail,kind,part,text\nx1,Hello,World,k,train,-\nx2,Hello,you,l,test,-\n");
    work.write(
        "b.jsonl",
        "{\"no\":\"y1\",\"subject\":\"Hello\\nWorld\"}\n{\"no\":\"y2\",\"subject\":\"Hello\\nyou\"}\n",
    );
    let flags = ["--text", "subject,mail", "--id", "no", "--label", "kind", "--split", "part"];
    let run = work.facts(&[&["a.csv", "b.jsonl"], &flags[..]].concat());
    assert_eq!(key_pairs(&run), [["x1", "y1"], ["x2", "y2"]]);
    assert_eq!(run.labels(), counts(&[("k", 1), ("l", 1)]));
    assert_eq!(run.splits(), counts(&[("train", 3), ("test", 1)]));
    run.expect_note("text columns: `subject`, `mail` (given)");
}

#[test]
fn keys_that_repeat_are_told_apart_and_noted() {
    let work = Workspace::new();
    work.write("a.csv", "id,text\nx,same\nx,same\n");
    let run = work.facts(&["a.csv", "--id", "id"]).expect(0);
    assert_eq!(key_pairs(&run), [["x", "x #2"]]);
    run.expect_note("1 key repeats and was told apart by a number, first `x` in a.csv:2");
}

#[test]
fn conversations_are_read_as_text() {
    let work = Workspace::new();
    let chat = |word: &str| serde_json::json!({ "messages": [{ "role": "user", "content": word }] });
    work.write("a.jsonl", format!("{}\n{}\n{}\n", chat("one"), chat("two"), chat("one")));
    let run = work.facts(&["a.jsonl"]).expect(0);
    assert_eq!(key_pairs(&run), [["a.jsonl:1", "a.jsonl:3"]]);
}

#[test]
fn invalid_utf_8_is_read_with_replacement_and_noted() {
    let work = Workspace::new();
    work.write("a.jsonl", b"{\"text\": \"caf\xe9 latte\"}\n{\"text\": \"caf\xe8 latte\"}\n");
    let run = work.facts(&["a.jsonl"]).expect(0);
    run.expect_note("2 texts hold invalid UTF-8, which was read with replacement characters");
    assert_eq!(run.fact("exact-duplicate", "groups_bytes"), 0, "other bytes are another text");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any texts, written as CSV with every field quoted, are the texts of the same rows in JSONL.
    #[test]
    fn csv_and_jsonl_give_the_same_texts(texts in prop::collection::vec("[ -~\r\n\t\"é🙂]{1,40}", 1..20)) {
        let texts: Vec<String> = texts.iter().enumerate().map(|(idx, text)| format!("no. {idx} {text}")).collect();
        let work = Workspace::new();
        work.write("a.csv", texts.iter().fold("text,n\n".to_owned(), |csv, text| csv + &quoted(text) + ",1\n"));
        work.write("b.jsonl", rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
        let run = work.facts(&["a.csv", "b.jsonl"]);
        prop_assert_eq!(run.fact("exact-duplicate", "groups_bytes"), texts.len());
    }
}
