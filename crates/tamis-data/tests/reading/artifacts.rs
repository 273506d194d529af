//! The Parquet files, read back by the reader of this crate.

use std::path::PathBuf;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::array_value_to_string;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tamis_core::check::SampleScores;
use tamis_core::{
    CheckInfo, CheckReport, CheckResult, Confidence, Contents, Evidence, Families, Family, Finding, Fingerprints,
    Modality, Outcome, Pair, PairKind, PairSearch, PairSet, Report, Rung, SampleId, SampleMap, Severity, Shared, Star,
    Verified,
};
use tamis_data::ReadOptions;
use tamis_data::artifacts::{FindingRow, write_findings, write_pairs, write_samples};
use tamis_data::atomic::Commits;

use crate::common::{Read, read_with};

static NEAR: CheckInfo = CheckInfo { id: "near-duplicate", summary: "", page: "", judges_labels: false };
static OUTLIER: CheckInfo = CheckInfo { id: "outlier", summary: "", page: "", judges_labels: false };
static LABEL: CheckInfo = CheckInfo { id: "label-error", summary: "", page: "", judges_labels: true };

fn table(path: &std::path::Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    match batches.into_iter().next() {
        Some(batch) => batch,
        None => RecordBatch::new_empty(schema),
    }
}

fn values(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let shown = |row| if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).unwrap() };
    (0..column.len()).map(shown).collect()
}

fn finding(samples: &[u32]) -> Finding {
    Finding {
        severity: Severity::High,
        confidence: Confidence::High,
        score: 1.0,
        samples: samples.iter().map(|id| SampleId(*id)).collect(),
        message: String::new(),
        evidence: Evidence::new(),
        suggestion: None,
    }
}

fn ran(info: &'static CheckInfo, samples: &[u32], scores: Option<(&'static str, Vec<f32>)>) -> CheckReport {
    let scores = scores.map(|(name, values)| SampleScores { name: name.into(), values });
    let outcome = Outcome::Ran(CheckResult { findings: vec![finding(samples)], scores, ..CheckResult::default() });
    CheckReport { info, outcome }
}

fn read() -> Read {
    let rows = b"{\"id\": \"a\", \"text\": \"One.\", \"label\": \"x\", \"source\": \"web\"}
{\"id\": \"b\", \"text\": \"one\"}
broken
{\"id\": \"c\", \"text\": \" \"}
";
    read_with(&[("test.jsonl", rows)], &ReadOptions::default()).unwrap()
}

fn with_report(read: &Read, look: impl FnOnce(&Report<'_>)) {
    let mut fingerprints = Fingerprints::new(Modality::Text);
    for digests in &read.fingerprints {
        fingerprints.push(digests.as_ref().map(<[_; 3]>::as_slice));
    }
    let verified = Some(Verified { score: 0.75, shared: Shared::Nothing, overlap: None });
    let pair = Pair { a: SampleId(0), b: SampleId(1), kind: PairKind::Cosine, similarity: 0.5, verified };
    let pairs = PairSet {
        search: PairSearch::WithinSplits,
        min: 0.1,
        min_source: String::new(),
        min_copy: 0.7,
        min_copy_source: String::new(),
        min_kept: 0.7,
        pairs: vec![pair],
        n_found: 1,
        n_not_compared: 0,
        stars: vec![Star { leader: SampleId(1), rung: Rung::Copy, members: vec![(SampleId(0), 0.5)] }],
    };
    let family = Family { members: vec![SampleId(0), SampleId(1)], diameter: 1, weakest_link: 0.75 };
    let families = Families::new(4, vec![family]);
    let map = SampleMap::new(vec![Some([0.5, -2.0]), Some([0.5, -2.0]), None, None]);
    let report = Report {
        version: "0",
        command: Vec::new(),
        config: Evidence::new(),
        notes: Vec::new(),
        dataset: &read.dataset,
        contents: Contents::Texts(&read.texts),
        fingerprints: &fingerprints,
        families: &families,
        pairs: vec![&pairs],
        map: Some(&map),
        model: None,
        device: None,
        seed: 0,
        standings: &[],
        checks: &[
            ran(&NEAR, &[0, 1], None),
            ran(&OUTLIER, &[1], Some(("outlier", vec![0.25, f32::NAN, 0.5, 1.0]))),
            CheckReport { info: &LABEL, outcome: Outcome::Skipped("no labels".to_owned()) },
        ],
        timing: &[],
        outputs: &[],
        out: PathBuf::new(),
    };
    look(&report);
}

#[test]
fn samples_have_their_metadata_checks_and_columns() {
    let read = read();
    let path = read.dir.path().join("samples.parquet");
    with_report(&read, |report| write_samples(&Commits::new(), &path, report).unwrap());
    let table = table(&path);
    let names: Vec<_> = table.schema().fields().iter().map(|it| it.name().clone()).collect();
    let expected = "key file row split label state note identity_bytes identity_folded identity_alphanumeric family star \
                    x y near_duplicate outlier_score outlier label_error column.source";
    assert_eq!(names.join(" "), expected);
    assert_eq!(values(&table, "key"), ["a", "b", "test.jsonl:3", "c"]);
    assert!(values(&table, "file")[0].ends_with("test.jsonl"));
    assert_eq!(values(&table, "row"), ["1", "2", "3", "4"]);
    assert_eq!(values(&table, "split"), ["test"; 4]);
    assert_eq!(values(&table, "label"), ["x", "-", "-", "-"]);
    assert_eq!(values(&table, "state"), ["ok", "ok", "unreadable", "empty"]);
    assert!(values(&table, "note")[2].starts_with("test.jsonl:3: not JSON"));
    assert_eq!(values(&table, "identity_bytes")[0], blake3::hash(b"One.").to_hex().to_string());
    assert_eq!(values(&table, "identity_bytes")[2], "-");
    assert_eq!(values(&table, "family"), ["a", "a", "test.jsonl:3", "c"]);
    assert_eq!(values(&table, "star"), ["b", "b", "-", "-"]);
    assert_eq!(values(&table, "x"), ["0.5", "0.5", "-", "-"]);
    assert_eq!(values(&table, "y"), ["-2.0", "-2.0", "-", "-"]);
    assert_eq!(values(&table, "near_duplicate"), ["true", "true", "false", "false"]);
    assert_eq!(values(&table, "outlier_score"), ["0.25", "-", "0.5", "1.0"]);
    assert_eq!(values(&table, "outlier"), ["false", "true", "false", "false"]);
    assert_eq!(values(&table, "label_error"), ["-"; 4]);
    assert_eq!(values(&table, "column.source"), ["web", "-", "-", "-"]);
}

#[test]
fn pairs_have_keys_a_rung_and_a_score() {
    let read = read();
    let path = read.dir.path().join("pairs.parquet");
    with_report(&read, |report| write_pairs(&Commits::new(), &path, report).unwrap());
    let table = table(&path);
    let row: Vec<_> = table.schema().fields().iter().map(|it| values(&table, it.name())[0].clone()).collect();
    assert_eq!(row, ["a", "b", "test", "test", "cosine", "0.5", "true", "copy", "0.75"]);
}

#[test]
fn findings_have_a_list_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("findings.parquet");
    let row = FindingRow {
        check: "near-duplicate".into(),
        severity: "low".into(),
        confidence: "high".into(),
        score: 0.5,
        keys: vec!["a".into(), "b".into()],
        message: "a equals b".into(),
        evidence_json: "{}".into(),
        suggestion_json: None,
        fingerprint: "f".into(),
        baseline: Some("new".into()),
        suppressed: None,
    };
    write_findings(&Commits::new(), &path, &[row.clone(), FindingRow { suggestion_json: Some("{}".into()), ..row }])
        .unwrap();
    let findings = table(&path);
    assert_eq!(values(&findings, "samples"), ["[a, b]"; 2]);
    assert_eq!(values(&findings, "suggestion"), ["-", "{}"]);
    assert_eq!(findings.column_by_name("samples").unwrap().as_list::<i32>().value_length(1), 2);
    write_findings(&Commits::new(), &path, &[]).unwrap();
    assert_eq!(table(&path).num_rows(), 0);
}
