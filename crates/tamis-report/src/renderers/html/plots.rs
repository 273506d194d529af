//! Pictures of counts: similarities, suspected labels, leaks between splits and the balance of classes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tamis_core::{CheckReport, Finding, Outcome, Pair, PairKind, PairSearch, Report, SampleId, SplitRole, Value};

use crate::overview::Tally;
use crate::prose;
use crate::snippet::visible;

/// Bars of a histogram.
const BINS: usize = 40;
/// Width and height of a histogram, in the units of its picture.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 100.0;
/// Classes of a table; the others are counted.
const MAX_CLASSES: usize = 12;
/// Classes whose balance is shown.
const MAX_BALANCE: usize = 30;

/// All plots of a report.
#[derive(Debug, Serialize)]
pub(super) struct Plots {
    histograms: Vec<Histogram>,
    /// Given labels and what they look like.
    confusion: Option<Matrix>,
    /// Where leaks come from and where they go.
    leaks: Option<Matrix>,
    balance: Option<Balance>,
}

/// How similar pairs are.
#[derive(Debug, Serialize)]
struct Histogram {
    title: String,
    caption: String,
    bars: Vec<Bar>,
    /// Bars of what is known to be clean; empty where there is no such reference.
    null: Vec<Bar>,
    threshold: Option<Mark>,
    low: String,
    high: String,
    most: String,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, Serialize)]
struct Mark {
    x: f64,
    /// Which end of the text stands there, so that it stays in the picture.
    anchor: &'static str,
    text: String,
}

/// Counts by two names.
#[derive(Debug, Serialize)]
struct Matrix {
    columns: Vec<String>,
    rows: Vec<MatrixRow>,
    /// What is not in it.
    more: Option<String>,
}

#[derive(Debug, Serialize)]
struct MatrixRow {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    text: String,
    /// From 0 for nothing to 9 for the most.
    heat: usize,
}

/// Samples of each class by split.
#[derive(Debug, Serialize)]
struct Balance {
    classes: Vec<Class>,
    more: Option<String>,
}

#[derive(Debug, Serialize)]
struct Class {
    name: String,
    count: String,
    share: String,
    width: f64,
}

impl Plots {
    pub(super) fn new(report: &Report<'_>) -> Self {
        let searches = [PairSearch::WithinSplits, PairSearch::AcrossSplits];
        let histograms = searches.into_iter().flat_map(|it| [scores(report, it), cosines(report, it)]).flatten();
        let histograms = histograms.collect();
        Self { histograms, confusion: confusion(report), leaks: leaks(report), balance: balance(report) }
    }

    /// Whether there is anything to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.confusion.is_none() && self.leaks.is_none() && self.balance.is_none()
    }
}

/// What was compared, in words.
fn searched(search: PairSearch) -> &'static str {
    match search {
        PairSearch::WithinSplits => "within splits",
        PairSearch::AcrossSplits => "across splits",
    }
}

/// The pairs of a search.
fn pairs<'a>(report: &'a Report<'_>, search: PairSearch) -> impl Iterator<Item = &'a Pair> {
    report.pairs.iter().filter(move |set| set.search == search).flat_map(|set| &set.pairs)
}

/// The score from which a check called pairs of a search copies.
fn threshold(report: &Report<'_>, search: PairSearch) -> Option<f64> {
    let deciding: &[&str] = match search {
        PairSearch::WithinSplits => &["near-duplicate"],
        PairSearch::AcrossSplits => &["split-leak", "benchmark-contamination"],
    };
    let threshold = |check: &CheckReport| match &check.outcome {
        Outcome::Ran(result) if deciding.contains(&check.info.id) => result.threshold,
        _ => None,
    };
    report.checks.iter().find_map(threshold)
}

/// The best score of every sample that has a kept pair, with those of a clean reference beside them.
fn scores(report: &Report<'_>, search: PairSearch) -> Option<Histogram> {
    let mut best: BTreeMap<SampleId, f32> = BTreeMap::new();
    for pair in pairs(report, search).filter(|pair| pair.verified.is_some()) {
        let score = best.entry(pair.a).or_insert(0.0);
        *score = score.max(pair.score());
    }
    let is_reference =
        |id: SampleId| report.dataset.split_role(report.dataset.sample(id).split) == SplitRole::Reference;
    let of = |wanted: bool| {
        best.iter().filter(|(id, _)| is_reference(**id) == wanted).map(|(_, it)| f64::from(*it)).collect::<Vec<_>>()
    };
    let (tested, null) = (of(false), of(true));
    let n_reference = report.dataset.ids().filter(|id| is_reference(*id)).count();
    let reference = match (search, n_reference) {
        (PairSearch::WithinSplits, _) => String::new(),
        (PairSearch::AcrossSplits, 0) => {
            " No clean reference was named (--reference), so how high clean samples score is not known.".to_owned()
        }
        (PairSearch::AcrossSplits, n) => {
            format!(" Outlined: the clean reference, of which {} of {n} have a pair.", prose::count(null.len()))
        }
    };
    let caption = format!(
        "How much of a sample's content agrees with the most similar one: {} with a pair that was kept.{reference}",
        prose::counted(tested.len(), "sample"),
    );
    let title = format!("Best score of each sample, {}", searched(search));
    histogram(title, caption, [&tested, &null], threshold(report, search))
}

/// The cosines of pairs that were found by their vectors.
fn cosines(report: &Report<'_>, search: PairSearch) -> Option<Histogram> {
    let close = pairs(report, search).filter(|pair| pair.kind == PairKind::Cosine);
    let values: Vec<f64> = close.map(|pair| f64::from(pair.similarity)).collect();
    let n = prose::counted(values.len(), "pair");
    let caption = format!("{n} found by vectors: close ones, and others that turned out to be copies.");
    histogram(format!("Cosine of pairs, {}", searched(search)), caption, [&values, &[]], None)
}

/// A histogram of values and a null; `None` where there is nothing to count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the place of a bin")]
fn histogram(title: String, caption: String, [values, null]: [&[f64]; 2], threshold: Option<f64>) -> Option<Histogram> {
    if values.is_empty() && null.is_empty() {
        return None;
    }
    let lowest = values.iter().chain(null).copied().chain(threshold).fold(1.0, f64::min);
    let low = ((lowest * 20.0).floor() / 20.0).clamp(-1.0, 0.95);
    let place = |value: f64| (value - low) / (1.0 - low);
    let counts = |values: &[f64]| {
        let mut counts = [0_usize; BINS];
        for value in values {
            counts[((place(*value) * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        counts
    };
    let (counted, null_counted) = (counts(values), counts(null));
    let most = counted.iter().chain(&null_counted).copied().max().unwrap_or(0);
    let bars = |counts: &[usize; BINS]| {
        let bar = |(bin, n): (usize, &usize)| {
            let height = rounded(prose::rate(*n, most)? * HEIGHT);
            let width = WIDTH / BINS as f64;
            (0 < *n).then(|| Bar { x: bin as f64 * width, y: rounded(HEIGHT - height), width: width - 1.0, height })
        };
        counts.iter().enumerate().filter_map(bar).collect()
    };
    let mark = |value: f64| Mark {
        x: rounded(place(value) * WIDTH),
        anchor: match place(value) {
            ..0.15 => "start",
            0.15..0.85 => "middle",
            _ => "end",
        },
        text: prose::number(rounded_to_4(value)),
    };
    Some(Histogram {
        title,
        caption,
        bars: bars(&counted),
        null: bars(&null_counted),
        threshold: threshold.filter(|it| (low..=1.0).contains(it)).map(mark),
        low: prose::number(low),
        high: "1".to_owned(),
        most: prose::count(most),
    })
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn rounded_to_4(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// How often a label that is given looks like another.
fn confusion(report: &Report<'_>) -> Option<Matrix> {
    let label = |finding: &Finding, name: &str| match finding.evidence.get(name) {
        Some(Value::Text(label)) => Some(visible(label)),
        _ => None,
    };
    let pairs = report.findings().filter_map(|(_, it)| Some((label(it, "given")?, label(it, "suggested")?)));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    pairs.for_each(|pair| *counts.entry(pair).or_default() += 1);
    matrix(&counts, "label")
}

/// Findings of leaks by the split that a sample was seen in and the one that it is evaluated in.
fn leaks(report: &Report<'_>) -> Option<Matrix> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let leaks = report.findings().filter(|(_, finding)| finding.evidence.get("direction").is_some());
    for (_, finding) in leaks {
        let Some((first, others)) = finding.samples.split_first() else { continue };
        let split = |id: &SampleId| visible(report.dataset.split_name(*id));
        let seen_in: BTreeSet<String> = others.iter().map(split).filter(|it| *it != split(first)).collect();
        for from in seen_in {
            *counts.entry((from, split(first))).or_default() += 1;
        }
    }
    matrix(&counts, "split")
}

/// A table of the names with the highest counts; `None` without any.
fn matrix(counts: &BTreeMap<(String, String), usize>, noun: &str) -> Option<Matrix> {
    let most = *counts.values().max()?;
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for ((from, to), n) in counts {
        *totals.entry(from).or_default() += n;
        *totals.entry(to).or_default() += n;
    }
    let mut names: Vec<(&str, usize)> = totals.into_iter().collect();
    names.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let n_more = names.len().saturating_sub(MAX_CLASSES);
    names.truncate(MAX_CLASSES);
    names.sort_unstable();
    let names: Vec<&str> = names.into_iter().map(|(name, _)| name).collect();
    let n_of = |from: &str, to: &str| counts.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or(0);
    let columns: Vec<&str> = names.iter().copied().filter(|to| names.iter().any(|from| 0 < n_of(from, to))).collect();
    let cell =
        |n: usize| Cell { text: if n == 0 { String::new() } else { prose::count(n) }, heat: (n * 9).div_ceil(most) };
    let row = |from: &&str| MatrixRow {
        name: (*from).to_owned(),
        cells: columns.iter().map(|to| cell(n_of(from, to))).collect(),
    };
    let rows = names.iter().filter(|from| columns.iter().any(|to| 0 < n_of(from, to))).map(row).collect();
    Some(Matrix {
        columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        rows,
        more: (0 < n_more).then(|| format!("{} with fewer findings left out.", prose::counted(n_more, noun))),
    })
}

/// How many samples each class has, the largest first.
fn balance(report: &Report<'_>) -> Option<Balance> {
    let counts = Tally::new(report.dataset).labels;
    let total: usize = counts.iter().sum();
    let most = counts.iter().copied().max().filter(|n| 0 < *n)?;
    let mut classes: Vec<(&String, usize)> = report.dataset.label_names().iter().zip(counts).collect();
    classes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let n_more = classes.len().saturating_sub(MAX_BALANCE);
    let class = |(name, n): &(&String, usize)| Class {
        name: visible(name),
        count: prose::count(*n),
        share: prose::rate(*n, total).map(prose::percent).unwrap_or_default(),
        width: rounded(prose::rate(*n, most).unwrap_or_default() * 100.0),
    };
    Some(Balance {
        classes: classes.iter().take(MAX_BALANCE).map(class).collect(),
        more: (0 < n_more).then(|| format!("{} more, with fewer samples each, left out.", prose::count(n_more))),
    })
}
