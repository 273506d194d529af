//! Whatever stands in a table: what is kept reads back as before.

use proptest::prelude::*;
use tamis_core::{Dataset, SampleId};
use tamis_data::rewrite::Change;
use tamis_data::{Images, Input, ReadContent, ReadOptions, Reader};

use crate::common::Work;

/// Hash of the bytes, label and split of every sample.
type Samples = Vec<(Option<String>, Option<String>, String)>;

fn samples(path: &std::path::Path, options: &ReadOptions) -> Samples {
    let Ok(mut reader) = Reader::open(&[Input { path: path.to_owned(), split: None }], options) else {
        return Vec::new();
    };
    let mut contents: Vec<Option<String>> = Vec::new();
    while let Ok(Some(window)) = reader.next_window(100, 1 << 20, Images::default()) {
        contents.extend(window.contents.iter().map(|it| it.as_ref().map(ReadContent::bytes).map(|it| it.to_hex())));
    }
    let (dataset, _): (Dataset, _) = reader.finish();
    let all = contents.into_iter().zip(dataset.ids());
    let of = |id: SampleId| (dataset.label_name(id).map(str::to_owned), dataset.split_name(id).to_owned());
    all.map(|(content, id)| (content, of(id).0, of(id).1)).collect()
}

/// Drops some samples, gives some the label `new`, and reads again.
fn check(name: &str, bytes: &[u8], options: ReadOptions, picks: &[u8]) -> Result<(), TestCaseError> {
    let mut work = Work::new(&[(name, bytes)]).inputs(&[name]);
    work.options = options;
    let before = samples(&work.path(&format!("in/{name}")), &work.options);
    prop_assume!(!before.is_empty());
    let (dataset, _) = work.read();
    let pick = |idx: usize| picks[idx % picks.len()];
    let mut expected = Samples::new();
    let mut changes: Vec<(String, Change)> = Vec::new();
    for (idx, (content, label, split)) in before.iter().enumerate() {
        let key = dataset.key(SampleId::from_idx(idx)).to_owned();
        let new = || Some("new \"1\", é\n".to_owned());
        match pick(idx) {
            0 => changes.push((key, Change { is_dropped: true, ..Change::default() })),
            1 if content.is_some() && work.options.label.is_some() => {
                changes.push((key, Change { label: new(), ..Change::default() }));
                expected.push((content.clone(), new(), split.clone()));
            }
            _ => expected.push((content.clone(), label.clone(), split.clone())),
        }
    }
    prop_assume!(expected.iter().any(|it| it.0.is_some()));
    let changes: Vec<(&str, Change)> = changes.iter().map(|(key, it)| (key.as_str(), it.clone())).collect();
    work.apply(&changes);
    prop_assert_eq!(samples(&work.path(&format!("out/{name}")), &work.options), expected);
    Ok(())
}

fn labeled() -> ReadOptions {
    ReadOptions { text: vec!["text".to_owned()], label: Some("label".to_owned()), ..ReadOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_of_csv_read_back(
        rows in prop::collection::vec(("[a\",;é\r\n ]{0,8}", "[x\",\r\n]{0,3}"), 1..8),
        ends in "(\r\n|\n)?",
        picks in prop::collection::vec(0_u8..4, 1..6),
    ) {
        let mut bytes = Vec::new();
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Necessary).from_writer(&mut bytes);
        writer.write_record(["text", "label"]).unwrap();
        for (text, label) in &rows {
            writer.write_record([text, label]).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        let text = String::from_utf8(bytes).unwrap();
        let text = format!("{}{ends}", text.trim_end_matches('\n'));
        check("t.csv", text.as_bytes(), labeled(), &picks)?;
    }

    #[test]
    fn lines_of_json_read_back(
        rows in prop::collection::vec((".{0,8}", ".{0,3}", " {0,2}"), 1..8),
        between in "(\r\n|\n\n|\n)",
        picks in prop::collection::vec(0_u8..4, 1..6),
    ) {
        let rows: Vec<String> = rows
            .iter()
            .map(|(text, label, space)| {
                let (text, label) = (serde_json::json!(text), serde_json::json!(label));
                format!("{space}{{{space}\"label\"{space}:{label},\"text\":{text},\"n\": [1, {{}}]}}{space}")
            })
            .collect();
        check("t.jsonl", rows.join(&between).as_bytes(), labeled(), &picks)?;
    }

    #[test]
    fn lines_read_back(text in "[a\r\n é]{1,30}", picks in prop::collection::vec(0_u8..4, 1..6)) {
        check("t.txt", text.as_bytes(), ReadOptions::default(), &picks)?;
    }
}
