//! What a person wants to know of a dataset, answered from the outcomes of checks.
//!
//! A question is answered by the checks that ran and by nothing else: what was skipped is not checked, never clean.

use std::collections::BTreeSet;

use serde::Serialize;
use tamis_core::{CheckReport, Confidence, Finding, Outcome, Report, SampleId, Severity, SplitRole};

use crate::prose;
use crate::snippet::visible;

/// A question with the checks that answer it.
struct Question {
    id: &'static str,
    ask: &'static str,
    checks: &'static [&'static str],
    /// Said where no check of this version answers it.
    unanswered: &'static str,
}

/// The question of checks that look for leaks.
pub(super) const LEAKED: &str = "leaked";
/// The question of checks that stand nowhere else.
const OTHER: &str = "other";

static QUESTIONS: &[Question] = &[
    Question {
        id: "twice",
        ask: "Is anything in it twice?",
        checks: &["exact-duplicate", "near-duplicate"],
        unanswered: "No check for copies was run.",
    },
    Question {
        id: LEAKED,
        ask: "Did test data leak into training?",
        checks: &["split-leak", "benchmark-contamination"],
        unanswered: "No check for leaks was run.",
    },
    Question {
        id: "mislabeled",
        ask: "Are labels wrong?",
        checks: &["conflicting-labels", "label-error", "overlapping-classes"],
        unanswered: "No check of labels was run.",
    },
    Question {
        id: "broken",
        ask: "Is anything broken or out of place?",
        checks: &["unreadable-sample", "empty-text", "outlier"],
        unanswered: "No check for broken samples was run.",
    },
    Question {
        id: "private",
        ask: "Is anything private in it?",
        checks: &[],
        unanswered: "This version has no check for personal data, passwords or keys.",
    },
    Question { id: OTHER, ask: "Anything else?", checks: &[], unanswered: "" },
];

/// The question that a check answers.
pub(super) fn question_of(check: &str) -> &'static str {
    QUESTIONS.iter().find(|it| it.checks.contains(&check)).map_or(OTHER, |it| it.id)
}

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    id: &'static str,
    ask: &'static str,
    /// One or two words.
    answer: &'static str,
    /// How it is colored: a severity, `none`, `skipped` or `failed`.
    tone: &'static str,
    /// How many, in large letters.
    count: String,
    /// One sentence for each check that says something.
    parts: Vec<Part>,
}

/// What one check says to a question.
#[derive(Debug, Serialize)]
struct Part {
    check: &'static str,
    is_linked: bool,
    text: String,
}

/// A check with what of it counts.
struct Judged<'a> {
    check: &'a CheckReport,
    /// Findings that nobody has looked at.
    open: Vec<&'a Finding>,
    /// Findings that are known from the baseline, and suppressed ones.
    n_known: usize,
    n_suppressed: usize,
}

impl<'a> Judged<'a> {
    fn all(report: &'a Report<'_>) -> Vec<Self> {
        let judged = |(place, check): (usize, &'a CheckReport)| {
            let findings = || check.outcome.findings().iter().zip(report.standings_of(place));
            let n_suppressed = findings().filter(|(_, it)| it.suppressed.is_some()).count();
            let open: Vec<&Finding> = findings().filter(|(_, it)| it.counts()).map(|(finding, _)| finding).collect();
            let n_known = check.outcome.findings().len() - n_suppressed - open.len();
            Self { check, open, n_known, n_suppressed }
        };
        report.checks.iter().enumerate().map(judged).collect()
    }
}

/// How many findings do not count, in brackets after a blank: ` (27 known)`; empty where all do.
fn settled(judged: &[&Judged<'_>]) -> String {
    let known: usize = judged.iter().map(|it| it.n_known).sum();
    let suppressed: usize = judged.iter().map(|it| it.n_suppressed).sum();
    let counts = [(known, "known"), (suppressed, "suppressed")].into_iter().filter(|(n, _)| 0 < *n);
    let counts: Vec<String> = counts.map(|(n, what)| format!("{} {what}", prose::count(n))).collect();
    if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
}

/// The answers to all questions; the last one only where a check belongs to it.
pub(super) fn verdicts(report: &Report<'_>) -> Vec<Verdict> {
    let all = Judged::all(report);
    let of = |question: &'static Question| {
        let checks: Vec<&Judged<'_>> = all.iter().filter(|it| question_of(it.check.info.id) == question.id).collect();
        (question.id != OTHER || !checks.is_empty()).then(|| Verdict::new(question, &checks))
    };
    QUESTIONS.iter().filter_map(of).collect()
}

impl Verdict {
    fn new(question: &'static Question, checks: &[&Judged<'_>]) -> Self {
        let findings = || checks.iter().flat_map(|it| &it.open);
        let n_ran = checks.iter().filter(|it| has_looked(&it.check.outcome)).count();
        let n_failed = checks.iter().filter(|it| matches!(it.check.outcome, Outcome::Failed(_))).count();
        let worst = findings().map(|it| it.severity).max();
        let surest = findings().map(|it| it.confidence).max();
        let settled = settled(checks);
        let (answer, tone) = match (worst, surest) {
            (Some(worst), Some(Confidence::High)) => ("Yes", worst.id()),
            (Some(worst), Some(Confidence::Medium)) => ("Probably", worst.id()),
            (Some(worst), _) => ("Perhaps", worst.id()),
            (None, _) if 0 < n_failed => ("Check failed", "failed"),
            (None, _) if n_ran == 0 => ("Not checked", "skipped"),
            (None, _) if n_ran < checks.len() && settled.is_empty() => ("Nothing found, in part", "none"),
            (None, _) if n_ran < checks.len() => ("Nothing new, in part", "none"),
            (None, _) if settled.is_empty() => ("Nothing found", "none"),
            (None, _) => ("Nothing new", "none"),
        };
        let n_open = match findings().count() {
            0 => String::new(),
            n => prose::counted(n, "finding"),
        };
        // Several checks may flag the same sample, and what does not count is flagged as well.
        let count = match checks.iter().filter(|it| !it.open.is_empty()).collect::<Vec<_>>().as_slice() {
            [it] if it.n_known + it.n_suppressed == 0 => format!("{} in {n_open}", flagged(&it.check.outcome)),
            _ => format!("{n_open}{settled}").trim_start().to_owned(),
        };
        let mut parts: Vec<Part> = checks.iter().map(|it| Part::new(it)).collect();
        if checks.is_empty() {
            parts.push(Part { check: "", is_linked: false, text: question.unanswered.to_owned() });
        }
        Self { id: question.id, ask: question.ask, answer, tone, count, parts }
    }
}

/// How many samples a check flags: `34 samples`.
fn flagged(outcome: &Outcome) -> String {
    let n = match outcome {
        Outcome::Ran(result) => result.flagged,
        Outcome::Skipped(_) | Outcome::Failed(_) => 0,
    };
    prose::counted(n, "sample")
}

/// Whether a check looked at any sample: one that ran on none says nothing.
fn has_looked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ran(result) if 0 < result.population || !result.findings.is_empty())
}

impl Part {
    fn new(judged: &Judged<'_>) -> Self {
        let check = judged.check;
        let text = match &check.outcome {
            Outcome::Ran(_) if !has_looked(&check.outcome) => "not checked: there was no sample to look at.".to_owned(),
            Outcome::Ran(result) if result.findings.is_empty() => {
                format!("nothing found among {}.", prose::counted(result.population, "sample"))
            }
            Outcome::Ran(result) => {
                let rate = prose::rate(result.flagged, result.population).map(prose::percent).unwrap_or_default();
                let (flagged, population) = (prose::count(result.flagged), prose::count(result.population));
                let findings = match settled(&[judged]) {
                    known if known.is_empty() => known,
                    known => format!("; {}{known}", prose::counted(judged.open.len(), "new finding")),
                };
                format!("{flagged} of {population} samples ({rate}){findings}.")
            }
            Outcome::Skipped(reason) => format!("not checked: {}.", visible(reason).trim_end_matches('.')),
            Outcome::Failed(reason) => format!("failed: {}.", visible(reason).trim_end_matches('.')),
        };
        Self { check: check.info.id, is_linked: !check.outcome.findings().is_empty(), text }
    }
}

/// What repeats cost.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// Samples without their repeats.
    effective: String,
    all: String,
    /// Share of the samples that repeat another one.
    share: String,
    /// Which samples are counted.
    of: &'static str,
    /// What counts as a repeat.
    by: &'static str,
}

/// Checks for which copies within splits are looked for.
const JOINING: &[&str] = &["near-duplicate", "label-error", "overlapping-classes"];

/// Counts the families of what is trained on, of all samples where nothing is; `None` where no sample could be read.
pub(super) fn cost(report: &Report<'_>) -> Option<Cost> {
    let dataset = report.dataset;
    let role = |id: SampleId| dataset.split_role(dataset.sample(id).split);
    let trains: Vec<SampleId> = dataset.ok_ids().filter(|id| role(*id) == SplitRole::Train).collect();
    let (ids, of) = match trains.is_empty() {
        false => (trains, "training samples"),
        true => (dataset.ok_ids().filter(|id| role(*id) != SplitRole::Reference).collect(), "samples"),
    };
    let families: BTreeSet<SampleId> = ids.iter().map(|id| report.families.first(*id)).collect();
    let repeats = ids.len() - families.len();
    Some(Cost {
        effective: prose::count(families.len()),
        all: prose::count(ids.len()),
        share: prose::percent(prose::rate(repeats, ids.len())?),
        of,
        by: match report.checks.iter().any(|it| JOINING.contains(&it.info.id) && has_looked(&it.outcome)) {
            true => "identical samples and copies",
            false => "identical samples; other copies within a split were not looked for",
        },
    })
}

/// A thing to do.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    check: &'static str,
    text: String,
    severity: &'static str,
}

/// Steps on the front page.
const MAX_STEPS: usize = 4;

/// What to do first: checks with something to do, by their worst finding that counts; of equals leaks before the rest.
pub(super) fn first_steps(report: &Report<'_>) -> Vec<Step> {
    let mut steps: Vec<(Severity, usize, Step)> = Vec::new();
    for Judged { check, open, .. } in Judged::all(report) {
        let Some(worst) = open.iter().map(|it| it.severity).max() else { continue };
        let question = QUESTIONS.iter().position(|it| it.id == question_of(check.info.id)).unwrap_or(QUESTIONS.len());
        let what = prose::suggestions(open.iter().copied())
            .unwrap_or_else(|| format!("look at {}.", prose::counted(open.len(), "finding")));
        let because = match question_of(check.info.id) {
            LEAKED => "A score on samples that training has seen says nothing.",
            "twice" => "Repeats cost compute and weigh double.",
            "mislabeled" => "A wrong label teaches the wrong thing and hides in the score.",
            "broken" => "What cannot be read or does not belong is not what you think you have.",
            _ => "",
        };
        let text = format!("{} {because}", prose::capitalized(&what)).trim_end().to_owned();
        let order = usize::from(question_of(check.info.id) != LEAKED) * QUESTIONS.len() + question;
        steps.push((worst, order, Step { check: check.info.id, text, severity: worst.id() }));
    }
    steps.sort_by_key(|(worst, order, _)| (std::cmp::Reverse(*worst), *order));
    steps.into_iter().take(MAX_STEPS).map(|(_, _, step)| step).collect()
}
