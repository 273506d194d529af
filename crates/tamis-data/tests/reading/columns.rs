//! Columns that were named or guessed, keys and splits.

use tamis_core::SampleId;
use tamis_data::ReadOptions;

use crate::common::{check, error_of, read_with};

fn options(text: &[&str], label: &str, split: &str, id: &str) -> ReadOptions {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let text = text.iter().map(|it| (*it).to_owned()).collect();
    ReadOptions { from: None, text, image: None, label: name(label), split: name(split), id: name(id) }
}

const TABLE: &[u8] = b"id,question,answer,kind,part\na,why,because,x,dev\nb,who,me,y,\n";

#[test]
fn given_columns_are_taken() {
    let read = read_with(&[("a.csv", TABLE)], &options(&["question", "answer"], "kind", "part", "id")).unwrap();
    assert_eq!(read.lines(), ["a | validation | x | why\nbecause", "b | train | y | who\nme"]);
    assert!(read.dataset.columns().is_empty());
    assert_eq!(
        read.notes[1..],
        [
            "text columns: `question`, `answer` (given)",
            "label column: `kind` (given)",
            "split column: `part` (given)",
            "id column: `id` (given)",
        ]
    );
}

#[test]
fn a_column_that_is_not_there_is_a_usage_error() {
    let error = error_of("a.csv", TABLE, &options(&["qestion"], "", "", ""));
    assert_eq!(
        error.to_string(),
        "no column `qestion` (from --text), expected one of `id`, `question`, `answer`, `kind`, `part`"
    );
    assert_eq!(error.hint().as_deref(), Some("did you mean --text question?"));
    assert!(error.is_usage());
    let error = error_of("a.txt", b"one\n", &options(&[], "class", "", ""));
    assert_eq!(error.to_string(), "no column `class` (from --label), the input has no columns");
}

#[test]
fn a_table_without_text_is_a_usage_error() {
    let error = error_of("a.csv", b"x,y\n1,2\n3,4\n", &ReadOptions::default()).to_string();
    assert!(error.ends_with("a.csv`: none of its columns holds text or images (`x`, `y`)"), "{error}");
    let error = error_of("a.csv", b"x,y\n1,2\n", &ReadOptions::default());
    assert_eq!(
        error.hint().as_deref(),
        Some("name the column with --text NAME, or with --image NAME where it holds images or their paths")
    );
    assert!(error.is_usage());
}

#[test]
fn a_column_may_show_late() {
    let mut rows = "{\"text\": \"one\"}\n".repeat(500);
    rows.push_str("{\"text\": \"last\", \"kind\": \"x\"}\n");
    let read = read_with(&[("a.jsonl", rows.as_bytes())], &options(&[], "kind", "", "")).unwrap();
    assert_eq!(read.lines().last().unwrap(), "a.jsonl:501 | train | x | last");
}

#[test]
fn files_with_other_columns_get_their_own_choice() {
    let read = read_with(
        &[("a.csv", b"text,label\none,x\n"), ("b.csv", b"content,category\ntwo,y\n")],
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(read.lines(), ["a.csv:1 | train | x | one", "b.csv:1 | train | y | two"]);
    assert_eq!(
        read.note("text column: `content`"),
        "`b.csv`: it has other columns than the rest; text column: `content` (by its name)"
    );
}

#[test]
fn repeated_ids_are_told_apart() {
    let read = read_with(
        &[("a.csv", b"id,text\nx,1 one\nx #2,two\nx,three\n,four\nx,five\n")],
        &options(&["text"], "", "", "id"),
    )
    .unwrap();
    assert_eq!(
        read.lines(),
        [
            "x | train | - | 1 one",
            "x #2 | train | - | two",
            "x #3 | train | - | three",
            "a.csv:4 | train | - | four",
            "x #4 | train | - | five",
        ]
    );
    assert_eq!(read.note("told apart"), "2 keys repeat and were told apart by a number, first `x` in a.csv:3");
    assert_eq!(read.dataset.sample(SampleId(2)).note.as_deref(), Some("the key `x` was taken already"));
}

#[test]
fn a_split_column_counts_where_names_show_none() {
    let row = b"{\"text\": \"one\", \"split\": \"Dev\"}\n{\"text\": \"two\"}\n";
    check("a.jsonl", row, &["a.jsonl:1 | validation | - | one", "a.jsonl:2 | train | - | two"]);
    let read = check("test.jsonl", row, &["test.jsonl:1 | test | - | one", "test.jsonl:2 | test | - | two"]);
    assert_eq!(
        read.note("not taken"),
        "`test.jsonl`: the column `split` was not taken for the split, its name shows the split"
    );
    assert_eq!(read.column("split"), [Some("Dev"), None]);
}

#[test]
fn a_split_column_with_too_many_values_is_an_error() {
    let rows: String = (0..1100).map(|i| format!("{{\"text\": \"one\", \"n\": {i}}}\n")).collect();
    let error = error_of("a.jsonl", rows.as_bytes(), &options(&[], "", "n", ""));
    assert_eq!(error.to_string(), "column `n` has more than 1000 values, expected the name of a split in each row");
    assert!(error.is_usage());
}

#[test]
fn long_values_of_other_columns_are_cut_and_said_so() {
    let row = format!("{{\"text\": \"one\", \"html\": \"{}\"}}\n", "x".repeat(5000));
    let read = check("a.jsonl", row.as_bytes(), &["a.jsonl:1 | train | - | one"]);
    assert_eq!(read.column("html")[0].map(str::len), Some(4096));
    assert_eq!(read.note("cut"), "column `html`: 1 value was cut to 4096 bytes in the record");
}
