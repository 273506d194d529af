//! A small audit with one finding of every kind, built by hand.

use std::path::PathBuf;

use tamis_core::{
    CheckInfo, CheckReport, CheckResult, ColumnRole, Confidence, ContentError, Contents, Dataset, DatasetBuilder,
    DeviceFacts, Digest, Evidence, Families, Finding, Fingerprints, InputFile, LabelId, Modality, ModelFacts,
    ModelInput, Origin, Outcome, Report, Sample, SampleId, SampleMap, Severity, StageTime, Standing, State, Suggestion,
    Suppressed, TextSource, Value, text,
};

use crate::{RenderOptions, find};

const LICENSE: &str = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software \
    and associated documentation files, to deal in the software without restriction, including without limitation \
    the rights to use, copy, modify, merge, publish, distribute, sublicense and sell copies of the software";

/// Split, label, text; `None` for a text that could not be read. The key of the n-th is `m` and n, but for one that tries
/// to be markup and to reverse what follows.
fn rows() -> Vec<(&'static str, Option<&'static str>, Option<String>)> {
    let own = |text: &str| Some(text.to_owned());
    let letter = "Dear friend,\n\nI write to you in confidence about a transfer of funds.\nKindly answer today.\n";
    vec![
        ("train", Some("spam"), own(letter)),
        ("train", Some("ham"), own(letter)),
        ("train", Some("ham"), Some(format!("{LICENSE}, and to permit persons to whom it is furnished to do so."))),
        ("train", Some("ham"), Some(format!("{LICENSE}; no one else may do so without asking first."))),
        ("train", Some("ham"), own("<script>alert(1)</script> Win a \u{202e}prize\u{202c} now & \"here\"!")),
        ("train", Some("ham"), Some("0x7f3a 0x7f3b\t0x7f3c\n".repeat(2_000))),
        ("train", Some("ham"), own(" \n ")),
        ("train", None, None),
        ("test", Some("spam"), own(letter)),
        (
            "test",
            Some("ham"),
            own("DEAR FRIEND, I write to you in confidence about a transfer of funds. Kindly answer today."),
        ),
        ("test", Some("spam"), own("Ihre Rechnung vom März liegt bei. 請求書をご確認ください。")),
        ("test", Some("ham"), own("The meeting moves to Thursday, same room.")),
    ]
}

/// Texts in memory.
#[derive(Debug)]
struct Texts(Vec<String>);

impl TextSource for Texts {
    fn text(&self, id: SampleId, max_bytes: usize) -> Result<String, ContentError> {
        Ok(text::cut(&self.0[id.idx()], max_bytes).to_owned())
    }

    fn text_bytes(&self, id: SampleId) -> u64 {
        self.0[id.idx()].len() as u64
    }
}

/// What a [`Report`] borrows.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// Twelve samples in two splits.
    pub(crate) dataset: Dataset,
    fingerprints: Fingerprints,
    /// Samples that are the same; none at first.
    pub(crate) families: Families,
    map: SampleMap,
    texts: Texts,
    /// What became of the checks.
    pub(crate) checks: Vec<CheckReport>,
    /// How the findings stand; empty at first.
    pub(crate) standings: Vec<Standing>,
    timing: Vec<StageTime>,
}

/// Builds the audit.
pub(crate) fn fixture() -> Fixture {
    let (dataset, fingerprints, texts) = data();
    let stage = |stage: &str, seconds| StageTime { stage: stage.to_owned(), rows: 12, seconds, reused: 0 };
    let timing = vec![stage("read", 0.25), stage("embed", 1.5)];
    let families = Families::new(dataset.len(), Vec::new());
    let map = (0_u8..12).map(|n| (n != 7).then(|| [f32::from(n), f32::from(n % 3)])).collect();
    let map = SampleMap::new(map);
    Fixture { dataset, fingerprints, families, map, texts, checks: checks(), standings: Vec::new(), timing }
}

/// The audit with a baseline that holds all but the worst finding, and with the second one suppressed in words that try to
/// be markup.
pub(crate) fn triaged_fixture() -> Fixture {
    let mut fixture = fixture();
    let leak = fixture.report().findings().position(|(info, _)| info.id == "split-leak");
    let n = fixture.report().findings().count();
    let reason = "a <b>test</b> row, ](x) \u{202e}\n::error::no".to_owned();
    let suppressed = Suppressed { reason, expires: Some("2027-01-31".to_owned()) };
    fixture.standings = (0..n)
        .map(|idx| Standing {
            is_known: Some(Some(idx) != leak && idx != 1),
            suppressed: (idx == 1).then(|| suppressed.clone()),
        })
        .collect();
    fixture
}

/// The audit as one output shows it.
pub(crate) fn rendered(id: &str, options: &RenderOptions) -> String {
    rendered_from(&fixture(), id, options)
}

/// An audit as one output shows it.
pub(crate) fn rendered_from(fixture: &Fixture, id: &str, options: &RenderOptions) -> String {
    let mut out = Vec::new();
    find(id).unwrap().render(&fixture.report(), options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

impl Fixture {
    /// The audit.
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            version: "0.1.0",
            command: ["tamis", "audit", "mail"].map(str::to_owned).to_vec(),
            config: Evidence::new().with("near_duplicate", Evidence::new().with("min_cosine", 0.93_f32)),
            notes: vec![
                "Read train.jsonl and test.jsonl as JSON Lines: every line is an object.".to_owned(),
                "Took `body` for the text: it is the longest column of strings. Choose another with --text.".to_owned(),
            ],
            dataset: &self.dataset,
            contents: Contents::Texts(&self.texts),
            fingerprints: &self.fingerprints,
            families: &self.families,
            pairs: Vec::new(),
            map: Some(&self.map),
            model: Some(ModelFacts {
                id: "all-minilm-l6-v2".to_owned(),
                revision: Some("c9745ed1d9f2".to_owned()),
                weights_blake3: "5f".repeat(32),
                dim: 384,
                input: ModelInput::Tokens(256),
            }),
            device: Some(DeviceFacts { device: "cpu".to_owned(), dtype: "f32".to_owned(), vectors: Digest([7; 32]) }),
            seed: 0,
            checks: &self.checks,
            standings: &self.standings,
            timing: &self.timing,
            outputs: &[],
            out: PathBuf::from("tamis-out"),
        }
    }
}

fn data() -> (Dataset, Fingerprints, Texts) {
    let mut builder = DatasetBuilder::new();
    let file = |name: &str| InputFile {
        path: name.into(),
        size_bytes: 2_048,
        blake3: Some("ab".repeat(32)),
        format: Some("jsonl".to_owned()),
        columns: vec![(ColumnRole::Text, "body".to_owned())],
    };
    let files = [builder.add_file(file("mail/train.jsonl")), builder.add_file(file("mail/test.jsonl"))];
    let mut fingerprints = Fingerprints::new(Modality::Text);
    let mut texts = Vec::new();
    for (row, (split, label, text)) in (1_u64..).zip(rows()) {
        let state = match text.as_deref() {
            None => State::Unreadable("expected a JSON object, found the end of the line".to_owned()),
            Some(text) if text.trim().is_empty() => State::Empty,
            Some(_) => State::Ok,
        };
        let digest = |text: &str| Digest(*blake3::hash(text.as_bytes()).as_bytes());
        let all = |text: &String| [text.clone(), text::fold(text), text::alphanumeric(text)].map(|it| digest(&it));
        fingerprints.push(text.as_ref().map(all).as_ref().map(<[_; 3]>::as_slice));
        texts.push(text.unwrap_or_default());
        let (file, row) = if split == "train" { (files[0], row) } else { (files[1], row - 8) };
        let (split, label) = (builder.split(split, None), label.map(|it| builder.label(it)));
        let origin = Origin { file, row: Some(row) };
        let key = if texts.len() == 11 { "m<11>\u{202e}".to_owned() } else { format!("m{}", texts.len()) };
        builder.push(&key, Sample { origin, split, label, state, note: None }, []).unwrap();
    }
    (builder.finish(), fingerprints, Texts(texts))
}

fn id(n: u32) -> SampleId {
    SampleId(n - 1)
}

fn finding(severity: Severity, samples: &[u32], message: &str, evidence: Evidence) -> Finding {
    Finding {
        severity,
        confidence: Confidence::High,
        score: 1.0,
        samples: samples.iter().map(|n| id(*n)).collect(),
        message: message.to_owned(),
        evidence,
        suggestion: Some(Suggestion::Review),
    }
}

/// A check that ran, with one finding.
fn ran(info: &'static CheckInfo, flagged: usize, finding: Finding, suggestion: Suggestion) -> CheckReport {
    let finding = Finding { suggestion: Some(suggestion), ..finding };
    let threshold_source = "a fact".to_owned();
    let findings = vec![finding];
    let result = CheckResult { findings, population: 10, flagged, threshold_source, ..CheckResult::default() };
    CheckReport { info, outcome: Outcome::Ran(result) }
}

macro_rules! info {
    ($id:literal, $summary:literal) => {{
        static INFO: CheckInfo = CheckInfo { id: $id, summary: $summary, page: "", judges_labels: false };
        &INFO
    }};
}

fn checks() -> Vec<CheckReport> {
    let mut checks = facts();
    checks.extend(judgments());
    checks.push(CheckReport {
        info: info!("benchmark-contamination", "Samples of a known benchmark"),
        outcome: Outcome::Skipped("no benchmark was named: name one with --benchmark".to_owned()),
    });
    checks.push(CheckReport {
        info: info!("odd-length-text", "Texts far longer or shorter than the others"),
        outcome: Outcome::Failed("the length of row 3 is not a number: found NaN".to_owned()),
    });
    checks
}

/// Findings that are facts.
fn facts() -> Vec<CheckReport> {
    let matched = |n: u32, rung: &str| {
        let entry = Evidence::new().with("key", id(n)).with("split", "train").with("rung", rung);
        Value::from(entry.with("similarity", 1.0_f32))
    };
    let labels =
        ["spam", "ham"].map(|label| Value::from(Evidence::new().with("label", label).with("samples", 1_usize)));
    vec![
        ran(
            info!("unreadable-sample", "Samples whose content cannot be read"),
            1,
            finding(
                Severity::Medium,
                &[8],
                "mail/train.jsonl:8 cannot be read: expected a JSON object, found the end of the line",
                Evidence::new().with("reason", "expected a JSON object, found the end of the line"),
            ),
            Suggestion::Review,
        ),
        ran(
            info!("empty-text", "Texts with nothing but white space"),
            1,
            finding(Severity::Low, &[7], "m7 holds nothing but white space", Evidence::new()),
            Suggestion::Drop(vec![id(7)]),
        ),
        ran(
            info!("exact-duplicate", "Samples that are the same text"),
            2,
            finding(
                Severity::Low,
                &[2, 1],
                "m2 has the same bytes as m1",
                Evidence::new().with("level", "bytes").with("copies", 2_usize).with("keep", id(1)),
            ),
            Suggestion::Drop(vec![id(2)]),
        ),
        ran(
            info!("conflicting-labels", "Equal texts with different labels"),
            2,
            finding(
                Severity::Medium,
                &[1, 2],
                "2 samples with the same bytes have different labels: spam, ham",
                Evidence::new().with("level", "bytes").with("labels", labels.to_vec()),
            ),
            Suggestion::Review,
        ),
        ran(
            info!("split-leak", "Evaluated samples that training has already seen"),
            2,
            finding(
                Severity::High,
                &[9, 1, 2],
                "m9 of test is also in train: m1 and 1 more have the same bytes",
                Evidence::new()
                    .with("rung", "bytes")
                    .with("direction", "train -> test")
                    .with("matches", vec![matched(1, "bytes"), matched(2, "bytes")]),
            ),
            Suggestion::Drop(vec![id(1), id(2)]),
        ),
    ]
}

/// Findings that rest on a threshold.
fn judgments() -> Vec<CheckReport> {
    let member = Evidence::new().with("key", id(4)).with("cosine", 0.9712_f32);
    let near = ran(
        info!("near-duplicate", "Samples that say almost the same"),
        2,
        finding(
            Severity::Low,
            &[4, 3],
            "m4 is close to m3: cosine 0.9712",
            Evidence::new().with("keep", id(3)).with("members", vec![member]).with("truncated", false),
        ),
        Suggestion::Drop(vec![id(4)]),
    );
    let label = ran(
        info!("label-error", "Labels that the other samples contradict"),
        1,
        finding(
            Severity::Medium,
            &[5],
            "m5 is labeled ham and looks like spam",
            Evidence::new()
                .with("given", "ham")
                .with("suggested", "spam")
                .with("given_probability", 0.04_f32)
                .with("suggested_probability", 0.95_f32)
                .with("self_confidence", 0.04_f32),
        ),
        Suggestion::Relabel(id(5), LabelId(0)),
    );
    let outlier = ran(
        info!("outlier", "Samples far from all others"),
        1,
        finding(
            Severity::Info,
            &[6],
            "m6 is far from its 5 nearest neighbors",
            Evidence::new().with("mean_distance", 0.81_f32).with("nearest", id(11)).with("nearest_cosine", 0.2_f32),
        ),
        Suggestion::Review,
    );
    vec![with_threshold(near, 0.93, "the model's manifest"), label, with_threshold(outlier, 0.8, "the default")]
}

fn with_threshold(mut check: CheckReport, threshold: f64, source: &str) -> CheckReport {
    if let Outcome::Ran(result) = &mut check.outcome {
        result.threshold = Some(threshold);
        result.threshold_source = source.to_owned();
        result.facts = vec![("pairs".into(), 1)];
        result.notes = vec!["Texts over 256 tokens were compared by their first 256 tokens.".to_owned()];
    }
    check
}
