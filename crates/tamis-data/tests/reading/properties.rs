//! What holds for every input.

use proptest::prelude::*;
use tamis_data::{ReadError, ReadOptions};

use crate::common::{Read, folder, read_paths, read_with};
use crate::formats::{parquet, strings};

fn from(id: &str) -> ReadOptions {
    ReadOptions { from: Some(id.to_owned()), ..ReadOptions::default() }
}

/// Reads what need not be readable; a message is one line.
fn read_anything(name: &str, bytes: &[u8], options: &ReadOptions) -> Option<Read> {
    match read_with(&[(name, bytes)], options) {
        Ok(read) => Some(read),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.lines().count() == 1, "{message:?}");
            None
        }
    }
}

fn texts(read: &Read) -> Vec<String> {
    read.lines().iter().map(|line| line.splitn(4, " | ").last().unwrap_or_default().to_owned()).collect()
}

/// What [`texts`] shows of a text that was read.
fn shown(text: &str) -> String {
    if text.trim().is_empty() { "[empty]".to_owned() } else { text.to_owned() }
}

const TABLE: &[u8] = b"text,label\n\"one, two\nthree\",x\nfour,y\n";
const LINES: &[u8] = b"{\"text\": \"one \\u00e9\", \"label\": [1, {\"a\": null}]}\n{\"text\": \"two\"}\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_format_panics_on_arbitrary_bytes(bytes: Vec<u8>) {
        for id in ["parquet", "jsonl", "csv", "tsv", "lines", "text-files"] {
            read_anything("a", &bytes, &from(id));
        }
        read_anything("a", &bytes, &ReadOptions::default());
        read_anything("a.gz", &[b"\x1f\x8b\x08", &bytes[..]].concat(), &from("jsonl"));
    }

    #[test]
    fn no_format_panics_on_damaged_files(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let table = parquet(&[("text", strings([Some("one"), Some("two"), None]))], &[("huggingface", "{}")], 2);
        for (name, whole) in [("a.csv", TABLE), ("a.jsonl", LINES), ("a.parquet", &table)] {
            let mut damaged = whole.to_vec();
            let at = at.index(damaged.len());
            damaged[at] = byte;
            read_anything(name, &damaged, &ReadOptions::default());
            read_anything(name, &whole[..cut.index(whole.len())], &ReadOptions::default());
        }
    }

    #[test]
    fn texts_come_back_from_jsonl(all in prop::collection::vec(any::<String>(), 1..8)) {
        let lines: String = all.iter().map(|it| format!("{}\n", serde_json::json!({"text": it}))).collect();
        let text = ReadOptions { text: vec!["text".into()], ..ReadOptions::default() };
        let read = read_with(&[("a.jsonl", lines.as_bytes())], &text).unwrap();
        prop_assert_eq!(texts(&read), all.iter().map(|it| shown(it)).collect::<Vec<_>>());
    }

    #[test]
    fn texts_come_back_from_csv(all in prop::collection::vec(any::<String>(), 1..8), delimiter in 0_usize..4) {
        let mut writer = csv::WriterBuilder::new().delimiter(b",;\t|"[delimiter]).from_writer(Vec::new());
        writer.write_record(["n", "text"]).unwrap();
        for text in &all {
            writer.write_record(["1", text]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let text = ReadOptions { text: vec!["text".into()], ..from("csv") };
        let read = read_with(&[("a.csv", &bytes)], &text).unwrap();
        prop_assert_eq!(texts(&read), all.iter().map(|it| shown(it)).collect::<Vec<_>>());
    }

    #[test]
    fn texts_come_back_from_parquet(all in prop::collection::vec(any::<Option<String>>(), 1..8), group in 1_usize..4) {
        let bytes = parquet(&[("text", strings(all.iter().map(Option::as_deref)))], &[], group);
        let text = ReadOptions { text: vec!["text".into()], ..ReadOptions::default() };
        let shown = |(row, text): (usize, &Option<String>)| match text {
            Some(text) => shown(text),
            None => format!("[a.parquet:{}: column `text` is null, expected a string]", row + 1),
        };
        match read_with(&[("a.parquet", &bytes)], &text) {
            Ok(read) => prop_assert_eq!(texts(&read), all.iter().enumerate().map(shown).collect::<Vec<_>>()),
            Err(error) => {
                let is_unreadable = matches!(error, ReadError::AllUnreadable { .. });
                prop_assert!(is_unreadable && all.iter().all(Option::is_none));
            }
        }
    }

    #[test]
    fn the_limits_of_a_window_change_nothing(max_items in 1_usize..9, max_bytes in 1_usize..200) {
        let files: &[(&str, &[u8])] = &[
            ("a.csv", TABLE),
            ("b.jsonl", b"{\"text\": \"caf\xe9\"}\nbroken\n{\"text\": \"\", \"label\": \"x\", \"k\": 1}\n"),
            ("c.parquet", b""),
            ("d.parquet", &parquet(&[("text", strings([Some("one"), Some("two"), None]))], &[], 2)),
        ];
        let read = |limits| read_paths(folder(files), &[""], &ReadOptions::default(), limits).unwrap();
        let (one, other) = (read((1000, 1 << 20)), read((max_items, max_bytes)));
        prop_assert_eq!(one.lines(), other.lines());
        prop_assert_eq!(one.notes, other.notes);
        prop_assert_eq!(one.fingerprints, other.fingerprints);
        let hashes = |it: &tamis_core::Dataset| it.files().iter().map(|it| it.blake3.clone()).collect::<Vec<_>>();
        prop_assert_eq!(hashes(&one.dataset), hashes(&other.dataset));
        prop_assert!(hashes(&one.dataset).iter().all(Option::is_some));
    }
}

#[test]
fn one_large_text_passes_any_window() {
    let large = "word ".repeat(2_000_000);
    let line = format!("{{\"text\": \"{large}\"}}\n{{\"text\": \"small\"}}\n");
    let dir = folder(&[("a.jsonl", line.as_bytes())]);
    let read = read_paths(dir, &["a.jsonl"], &ReadOptions::default(), (100, 1000)).unwrap();
    assert_eq!(read.lines(), [format!("a.jsonl:1 | train | - | {large}"), "a.jsonl:2 | train | - | small".to_owned()]);
}
