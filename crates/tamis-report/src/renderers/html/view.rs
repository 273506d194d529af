//! What the template of the HTML report is filled with: words and numbers, nothing left to decide.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tamis_core::report::wilson_interval;
use tamis_core::{
    CheckReport, CheckResult, Contents, Evidence, Finding, ImageFacts, ModelInput, Outcome, Report, Severity, Value,
};

use crate::exhibit::{Exhibit, Exhibited, Layout, Passage};
use crate::overview::{self, CheckCounts, CheckRow};
use crate::prose;
use crate::snippet::visible;
use crate::wire::v1::DatasetRecord;

/// Findings of a check on the page.
const MAX_FINDINGS: usize = 50;
/// Findings of a check that are unfolded.
const MAX_OPEN: usize = 3;
/// Samples of a finding on the page, where they are texts.
const MAX_TEXTS: usize = 4;
/// The same where they are pictures, which take less room.
const MAX_PICTURES: usize = 8;
/// Characters of a text on the page.
const MAX_CHARS: usize = 2_000;
/// Labels in the head of the page.
const MAX_LABELS: usize = 20;
/// Length of a bar, in the units of its picture.
const BAR: f64 = 100.0;

/// The whole page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    version: String,
    verdict: String,
    facts: Vec<Fact>,
    notes: Vec<String>,
    /// Right end of the shared scale of all rates.
    scale: String,
    checks: Vec<Row>,
    sections: Vec<Section>,
    provenance: Vec<Fact>,
    config: Vec<Fact>,
    limits: String,
}

/// A name and a value.
#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

/// A check in the table.
#[derive(Debug, Serialize)]
struct Row {
    id: &'static str,
    summary: &'static str,
    outcome: &'static str,
    /// Why it did not run; empty where it did.
    reason: String,
    counts: Option<Counts>,
}

/// What a check that ran counted.
#[derive(Debug, Serialize)]
struct Counts {
    findings: String,
    severities: String,
    worst: &'static str,
    bars: Vec<Bar>,
    samples: String,
    rate: String,
    interval: String,
    whisker: Option<Whisker>,
    threshold: String,
}

/// A part of a stacked bar.
#[derive(Debug, Serialize)]
struct Bar {
    severity: &'static str,
    x: f64,
    width: f64,
}

/// A rate with its interval, on a scale that all checks share.
#[derive(Debug, Serialize)]
struct Whisker {
    low: f64,
    width: f64,
    rate: f64,
}

/// A check that found something.
#[derive(Debug, Serialize)]
struct Section {
    id: &'static str,
    summary: String,
    extent: String,
    suggestions: Option<String>,
    remarks: Vec<String>,
    findings: Vec<Item>,
    more: Option<String>,
}

/// A finding.
#[derive(Debug, Serialize)]
struct Item {
    open: bool,
    severity: &'static str,
    confidence: &'static str,
    message: String,
    suggestion: Option<String>,
    direction: Option<String>,
    change: Option<Change>,
    samples: Vec<Card>,
    are_pictures: bool,
    more: Option<String>,
    evidence: Vec<Fact>,
}

/// A label that should perhaps be another.
#[derive(Debug, Serialize)]
struct Change {
    given: Rated,
    suggested: Rated,
}

/// A label and its probability.
#[derive(Debug, Serialize)]
struct Rated {
    label: String,
    probability: Option<String>,
    width: f64,
}

/// A sample.
#[derive(Debug, Serialize)]
struct Card {
    key: String,
    roles: Vec<String>,
    split: String,
    label: Option<String>,
    place: String,
    facts: Vec<Fact>,
    text: Option<String>,
    picture: Option<Picture>,
    /// What stands in the place of a text, or how much of it is missing.
    remark: Option<String>,
}

/// A picture of a sample.
#[derive(Debug, Serialize)]
struct Picture {
    /// A `data:` URL.
    url: String,
    /// What it is, in words.
    caption: String,
    /// Whether its pixels are to be seen as such, because it is smaller than its place.
    is_tiny: bool,
}

/// Longer side up to which a picture is enlarged without smoothing.
const TINY: u32 = 96;

impl Picture {
    fn new(facts: &ImageFacts, thumbnail: Option<&[u8]>) -> Option<Self> {
        let thumbnail = thumbnail?;
        let kind = if thumbnail.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
        let url = format!("data:image/{kind};base64,{}", BASE64_STANDARD.encode(thumbnail));
        Some(Self { url, caption: prose::picture(facts), is_tiny: facts.width.max(facts.height) <= TINY })
    }
}

impl Page {
    /// Decides what is on the page.
    pub(super) fn new(report: &Report<'_>) -> Self {
        let samples = prose::counted(report.dataset.len(), "sample");
        let high = |check: &CheckReport| match &check.outcome {
            Outcome::Ran(it) => wilson_interval(it.flagged, it.population).map(|(_, high)| high),
            _ => None,
        };
        let scale = report.checks.iter().filter_map(high).fold(0.0, f64::max);
        Self {
            title: format!("Audit of {samples}"),
            version: report.version.to_owned(),
            verdict: overview::verdict(report),
            facts: overview::dataset_facts(report, MAX_LABELS).into_iter().map(Fact::from).collect(),
            notes: report.notes.iter().map(|it| visible(it)).collect(),
            scale: prose::percent(scale),
            checks: report.checks.iter().map(|check| Row::new(check, scale)).collect(),
            sections: report.checks.iter().filter_map(|check| Section::new(report, check)).collect(),
            provenance: provenance(report),
            config: facts(report, &report.config),
            limits: format!(
                "This page shows the worst {MAX_FINDINGS} findings of each check, at most {} samples of each \
                 finding and {}. Everything is in findings.jsonl.",
                max_samples(report),
                match report.contents {
                    Contents::Texts(_) => format!("{} characters of each text", prose::count(MAX_CHARS)),
                    Contents::Images(_) => "a small version of each image".to_owned(),
                }
            ),
        }
    }
}

impl From<(&str, String)> for Fact {
    fn from((name, value): (&str, String)) -> Self {
        Self { name: prose::words(name), value }
    }
}

impl Row {
    fn new(check: &CheckReport, scale: f64) -> Self {
        let counts = match &check.outcome {
            Outcome::Ran(result) => Some(Counts::new(result, scale)),
            Outcome::Skipped(_) | Outcome::Failed(_) => None,
        };
        let reason = CheckRow::new(check).outcome.err().map(|(_, reason)| visible(reason)).unwrap_or_default();
        Self { id: check.info.id, summary: check.info.summary, outcome: check.outcome.id(), reason, counts }
    }
}

impl Counts {
    fn new(result: &CheckResult, scale: f64) -> Self {
        let counts = CheckCounts::new(result);
        Self {
            findings: prose::count(counts.findings),
            severities: prose::severities(result.findings.iter()),
            worst: counts.worst.map_or("none", Severity::id),
            bars: bars(&result.findings),
            samples: counts.samples,
            rate: counts.rate,
            interval: counts.interval,
            whisker: Whisker::new(result, scale),
            threshold: prose::threshold(result).unwrap_or_default(),
        }
    }
}

/// The shares of the severities, worst first.
fn bars(findings: &[Finding]) -> Vec<Bar> {
    let mut x = 0.0;
    let bar = |severity: Severity| {
        let hits = findings.iter().filter(|it| it.severity == severity).count();
        let width = rounded(prose::rate(hits, findings.len()).filter(|it| 0.0 < *it)? * BAR);
        let bar = Bar { severity: severity.id(), x, width };
        x = rounded(x + width);
        Some(bar)
    };
    Severity::ALL.into_iter().rev().filter_map(bar).collect()
}

impl Whisker {
    fn new(result: &CheckResult, scale: f64) -> Option<Self> {
        let (low, high) = wilson_interval(result.flagged, result.population)?;
        let rate = prose::rate(result.flagged, result.population)?;
        let at = |value: f64| rounded(value / scale * BAR);
        (0.0 < scale).then(|| Self { low: at(low), width: rounded(at(high) - at(low)), rate: at(rate) })
    }
}

fn max_samples(report: &Report<'_>) -> usize {
    match report.contents {
        Contents::Texts(_) => MAX_TEXTS,
        Contents::Images(_) => MAX_PICTURES,
    }
}

/// One decimal is a tenth of a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Section {
    /// `None` for a check that found nothing.
    fn new(report: &Report<'_>, check: &CheckReport) -> Option<Self> {
        let Outcome::Ran(result) = &check.outcome else { return None };
        let n_more = result.findings.len().saturating_sub(MAX_FINDINGS);
        let findings = result.findings.iter().take(MAX_FINDINGS).enumerate();
        (!result.findings.is_empty()).then(|| Self {
            id: check.info.id,
            summary: prose::capitalized(check.info.summary),
            extent: overview::extent(result),
            suggestions: prose::suggestions(&result.findings),
            remarks: overview::remarks(result),
            findings: findings.map(|(idx, finding)| Item::new(report, finding, idx < MAX_OPEN)).collect(),
            more: (0 < n_more).then(|| format!("{} in findings.jsonl", prose::counted(n_more, "more finding"))),
        })
    }
}

impl Item {
    fn new(report: &Report<'_>, finding: &Finding, open: bool) -> Self {
        let exhibit = Exhibit::new(report, finding, max_samples(report));
        let passages = exhibit.passages(report, Layout::Block { max_chars: MAX_CHARS });
        let cards = exhibit.samples.iter().zip(passages);
        let change = Change::new(&finding.evidence);
        let direction = match finding.evidence.get("direction") {
            Some(Value::Text(text)) => Some(visible(text).replace("->", "→")),
            _ => None,
        };
        let told = |name: &str| (name == "direction" && direction.is_some()) || (change.is_some() && is_change(name));
        let evidence = exhibit.rest.iter().filter(|(name, _)| !told(name));
        Self {
            open,
            severity: finding.severity.id(),
            confidence: finding.confidence.id(),
            message: visible(&finding.message),
            suggestion: prose::remedy(report.dataset, finding),
            evidence: evidence.map(|(name, value)| (&**name, prose::value(report, value)).into()).collect(),
            samples: cards.map(|(sample, passage)| Card::new(report, &exhibit, sample, passage)).collect(),
            are_pictures: matches!(report.contents, Contents::Images(_)),
            more: (0 < exhibit.n_hidden)
                .then(|| format!("{} in findings.jsonl", prose::counted(exhibit.n_hidden, "more sample"))),
            direction,
            change,
        }
    }
}

/// Whether evidence of this name is told by a [`Change`].
fn is_change(name: &str) -> bool {
    ["given", "suggested", "given_probability", "suggested_probability"].contains(&name)
}

impl Change {
    /// `None` for evidence that does not name a given and a suggested label.
    fn new(evidence: &Evidence) -> Option<Self> {
        let rated = |label: &str, probability: &str| {
            let Some(Value::Text(label)) = evidence.get(label) else { return None };
            let probability = match evidence.get(probability) {
                Some(Value::Float(it)) => Some(*it),
                _ => None,
            };
            let width = rounded(probability.unwrap_or(0.0) * BAR);
            Some(Rated { label: visible(label), probability: probability.map(prose::percent), width })
        };
        Some(Self {
            given: rated("given", "given_probability")?,
            suggested: rated("suggested", "suggested_probability")?,
        })
    }
}

impl Card {
    fn new(report: &Report<'_>, exhibit: &Exhibit<'_>, sample: &Exhibited<'_>, passage: Passage) -> Self {
        let (dataset, id) = (report.dataset, sample.id);
        let (mut text, mut picture) = (None, None);
        let remark = match passage {
            Passage::Text { text: shown, cut_from } => {
                text = Some(shown);
                cut_from.map(|size| format!("A part of {}.", prose::bytes(size)))
            }
            Passage::Picture { facts, thumbnail } => {
                picture = Picture::new(&facts, thumbnail.as_deref());
                picture.is_none().then(|| "Can no longer be read back.".to_owned())
            }
            Passage::SameAs(idx) => {
                Some(format!("The same bytes as {}.", prose::key(dataset, exhibit.samples[idx].id)))
            }
            Passage::Nothing(why) => Some(format!("{}.", prose::capitalized(&why))),
        };
        let facts = sample.facts.iter().filter(|(name, _)| *name != "split");
        Self {
            key: prose::key(dataset, id),
            roles: sample.roles.iter().map(|it| prose::words(it)).collect(),
            split: visible(dataset.split_name(id)),
            label: dataset.label_name(id).map(visible),
            place: prose::place(dataset, id),
            facts: facts.map(|(name, value)| (*name, value.clone()).into()).collect(),
            text,
            picture,
            remark,
        }
    }
}

/// What is needed to run the audit again.
fn provenance(report: &Report<'_>) -> Vec<Fact> {
    let mut facts = vec![
        ("Command", visible(&report.command.join(" "))),
        ("Version", format!("tamis {}", report.version)),
        ("Dataset hash", DatasetRecord::new(report).hash),
    ];
    if let Some(model) = &report.model {
        let revision = model.revision.as_ref().map(|it| format!(", revision {}", visible(it))).unwrap_or_default();
        let input = match model.input {
            ModelInput::Tokens(n) => prose::counted(n, "token"),
            ModelInput::Pixels(it) => format!("{0} × {0} pixels ({1}, {2})", it.side, it.fit.id(), it.filter.id()),
        };
        let sizes = format!("{} dimensions, {input}", prose::count(model.dim));
        facts.push(("Model", format!("{}{revision}: {sizes}", visible(&model.id))));
        facts.push(("Weights (BLAKE3)", visible(&model.weights_blake3)));
    }
    if let Some(device) = &report.device {
        facts.push(("Device", format!("{}, {}", visible(&device.device), visible(&device.dtype))));
    }
    facts.push(("Seed", report.seed.to_string()));
    facts.into_iter().map(|(name, value)| Fact { name: name.to_owned(), value }).collect()
}

fn facts(report: &Report<'_>, evidence: &Evidence) -> Vec<Fact> {
    evidence.0.iter().map(|(name, value)| (&**name, prose::value(report, value)).into()).collect()
}
