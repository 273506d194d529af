//! What was audited and what became of each check, counted and in words.

use tamis_core::{CheckReport, CheckResult, Dataset, Outcome, Report, Severity, SplitId, Standing, State};

use crate::prose;
use crate::snippet::visible;

/// Samples by state, split and label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Read, with something in them.
    pub(crate) ok: usize,
    /// Read, with nothing but white space in them.
    pub(crate) empty: usize,
    /// Not readable.
    pub(crate) unreadable: usize,
    /// One count for each split.
    pub(crate) splits: Vec<usize>,
    /// One count for each label.
    pub(crate) labels: Vec<usize>,
}

impl Tally {
    /// Counts the samples of a dataset.
    pub(crate) fn new(dataset: &Dataset) -> Self {
        let mut tally = Self {
            splits: vec![0; dataset.split_names().len()],
            labels: vec![0; dataset.label_names().len()],
            ..Self::default()
        };
        for sample in dataset.ids().map(|id| dataset.sample(id)) {
            match sample.state {
                State::Ok => tally.ok += 1,
                State::Empty => tally.empty += 1,
                State::Unreadable(_) => tally.unreadable += 1,
            }
            tally.splits[sample.split.0 as usize] += 1;
            if let Some(label) = sample.label {
                tally.labels[label.0 as usize] += 1;
            }
        }
        tally
    }
}

/// What was audited, by name, with at most `max_labels` labels, the most frequent first.
pub(crate) fn dataset_facts(report: &Report<'_>, max_labels: usize) -> Vec<(&'static str, String)> {
    let tally = Tally::new(report.dataset);
    let mut facts = vec![
        ("Samples", states(&tally)),
        ("Splits", splits(report.dataset, &tally)),
        ("Labels", labels(report.dataset, &tally, max_labels)),
    ];
    if let Some(model) = &report.model {
        let device = report.device.as_ref().map(|it| format!(" on {} in {}", it.device, it.dtype));
        facts.push(("Model", format!("{}{}", visible(&model.id), device.unwrap_or_default())));
    }
    facts
}

fn states(tally: &Tally) -> String {
    let total = tally.ok + tally.empty + tally.unreadable;
    if total == tally.ok {
        return prose::count(total);
    }
    let odd = [(tally.empty, "empty"), (tally.unreadable, "unreadable")];
    let odd = odd.into_iter().filter(|(n, _)| 0 < *n).map(|(n, what)| format!("{} {what}", prose::count(n)));
    format!("{}, of which {}", prose::count(total), odd.collect::<Vec<_>>().join(" and "))
}

fn splits(dataset: &Dataset, tally: &Tally) -> String {
    let split = |(idx, n): (u16, &usize)| format!("{} {}", prose::split(dataset, SplitId(idx)), prose::count(*n));
    (0..).zip(&tally.splits).map(split).collect::<Vec<_>>().join(", ")
}

fn labels(dataset: &Dataset, tally: &Tally, max_labels: usize) -> String {
    let labeled: usize = tally.labels.iter().sum();
    if labeled == 0 {
        return "none".to_owned();
    }
    let mut counts: Vec<(&String, usize)> = dataset.label_names().iter().zip(tally.labels.iter().copied()).collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let shown = counts.iter().take(max_labels).map(|(name, n)| format!("{} {}", visible(name), prose::count(*n)));
    let mut parts: Vec<String> = shown.collect();
    if max_labels < counts.len() {
        parts.push(format!("{} more labels", prose::count(counts.len() - max_labels)));
    }
    if labeled < dataset.len() {
        parts.push(format!("unlabeled {}", prose::count(dataset.len() - labeled)));
    }
    parts.join(", ")
}

/// What became of a check, as a row of a table.
#[derive(Debug)]
pub(crate) struct CheckRow<'a> {
    /// The check.
    pub(crate) id: &'static str,
    /// Its counts, or the name of its outcome and the reason.
    pub(crate) outcome: Result<CheckCounts, (&'static str, &'a str)>,
}

/// What a check that ran counted.
#[derive(Debug)]
pub(crate) struct CheckCounts {
    /// Number of findings.
    pub(crate) findings: usize,
    /// The highest severity among them.
    pub(crate) worst: Option<Severity>,
    /// How many samples of how many.
    pub(crate) samples: String,
    /// Their share in percent; empty for an empty population.
    pub(crate) rate: String,
    /// Wilson's 95 % interval of it.
    pub(crate) interval: String,
}

impl<'a> CheckRow<'a> {
    /// Describes one check.
    pub(crate) fn new(check: &'a CheckReport) -> Self {
        let outcome = match &check.outcome {
            Outcome::Ran(result) => Ok(CheckCounts::new(result)),
            Outcome::Skipped(reason) | Outcome::Failed(reason) => Err((check.outcome.id(), reason.as_str())),
        };
        Self { id: check.info.id, outcome }
    }
}

impl CheckCounts {
    /// Counts one result.
    pub(crate) fn new(result: &CheckResult) -> Self {
        let (flagged, population) = (result.flagged, result.population);
        Self {
            findings: result.findings.len(),
            worst: result.findings.iter().map(|it| it.severity).max(),
            samples: format!("{} of {}", prose::count(flagged), prose::count(population)),
            rate: prose::rate(flagged, population).map(prose::percent).unwrap_or_default(),
            interval: prose::wilson(flagged, population),
        }
    }
}

/// How much was found in all and how many checks did not run, as sentences.
pub(crate) fn verdict(report: &Report<'_>) -> String {
    let n_findings = report.findings().count();
    let severities = prose::severities(report.findings().map(|(_, finding)| finding));
    let found = match n_findings {
        0 => "No findings.".to_owned(),
        _ => {
            let triage = triage(report).map(|it| format!(" Of these {it}.")).unwrap_or_default();
            format!("{}: {severities}.{triage}", prose::counted(n_findings, "finding"))
        }
    };
    let count = |outcome: &str| report.checks.iter().filter(|check| check.outcome.id() == outcome).count();
    let missing = ["skipped", "failed"].map(|outcome| (count(outcome), outcome));
    let missing = missing.iter().filter(|(n, _)| 0 < *n).map(|(n, outcome)| format!("{n} {outcome}"));
    let missing = missing.collect::<Vec<_>>().join(", ");
    if missing.is_empty() { found } else { format!("{found} Checks that did not run: {missing}.") }
}

/// How many findings are suppressed, known and new; `None` without a baseline where nothing is suppressed.
pub(crate) fn triage(report: &Report<'_>) -> Option<String> {
    let count = |is_meant: fn(&Standing) -> bool| report.triaged().filter(|(_, _, it)| is_meant(it)).count();
    let suppressed = count(|it| it.suppressed.is_some());
    let mut parts = Vec::new();
    if 0 < suppressed {
        parts.push(format!("{} suppressed", prose::count(suppressed)));
    }
    if report.standings.first().is_some_and(|it| it.is_known.is_some()) {
        let known = count(|it| it.suppressed.is_none() && it.is_known == Some(true));
        parts.push(format!("{} known from the baseline", prose::count(known)));
        parts.push(format!("{} new", prose::count(count(Standing::counts))));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How much a check found, as a sentence: findings, samples, rate.
pub(crate) fn extent(result: &CheckResult) -> String {
    let counts = CheckCounts::new(result);
    let findings = prose::counted(counts.findings, "finding");
    let extent = format!("{findings} about {} samples", counts.samples);
    if counts.rate.is_empty() {
        return format!("{extent}.");
    }
    format!("{extent}: {} (95 % interval {}).", counts.rate, counts.interval)
}

/// What stands under the extent of a check: threshold, further counts, notes.
pub(crate) fn remarks(result: &CheckResult) -> Vec<String> {
    let facts = prose::facts(result);
    let threshold = prose::threshold(result).map(|it| match result.threshold {
        Some(_) => format!("Threshold: {it}."),
        None => format!("{}.", prose::capitalized(&it)),
    });
    let counts = (!facts.is_empty()).then(|| format!("Counts: {facts}."));
    threshold.into_iter().chain(counts).chain(result.notes.iter().map(|it| visible(it))).collect()
}
