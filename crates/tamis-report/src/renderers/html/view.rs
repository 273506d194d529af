//! What the template of the HTML report is filled with: words and numbers, nothing left to decide.

use serde::Serialize;
use tamis_core::report::wilson_interval;
use tamis_core::{CheckReport, CheckResult, Evidence, Finding, ModelInput, Outcome, Report, Severity};

use super::plots::Plots;
use super::questions::{self, Cost, Step, Verdict};
use crate::overview::{self, CheckCounts, CheckRow};
use crate::prose;
use crate::snippet::visible;

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
    is_redacted: bool,
    facts: Vec<Fact>,
    notes: Vec<String>,
    verdicts: Vec<Verdict>,
    cost: Option<Cost>,
    steps: Vec<Step>,
    plots: Option<Plots>,
    has_labels: bool,
    /// Right end of the shared scale of all rates.
    scale: String,
    checks: Vec<Row>,
    provenance: Vec<Fact>,
    config: Vec<Fact>,
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

impl Page {
    /// Decides what is on the page.
    pub(super) fn new(report: &Report<'_>, is_redacted: bool, hash: &str) -> Self {
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
            is_redacted,
            facts: overview::dataset_facts(report, MAX_LABELS).into_iter().map(Fact::from).collect(),
            notes: report.notes.iter().map(|it| visible(it)).collect(),
            verdicts: questions::verdicts(report),
            cost: questions::cost(report),
            steps: questions::first_steps(report),
            plots: Some(Plots::new(report)).filter(|it| !it.is_empty()),
            has_labels: !report.dataset.label_names().is_empty(),
            scale: prose::percent(scale),
            checks: report.checks.iter().map(|check| Row::new(check, scale)).collect(),
            provenance: provenance(report, hash),
            config: facts(report, &report.config),
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

/// One decimal is a tenth of a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What is needed to run the audit again.
fn provenance(report: &Report<'_>, hash: &str) -> Vec<Fact> {
    let mut facts = vec![
        ("Command", visible(&report.command.join(" "))),
        ("Version", format!("tamis {}", report.version)),
        ("Dataset hash", hash.to_owned()),
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
