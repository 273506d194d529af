//! What a person wants to know of a dataset, answered from the outcomes of checks.
//!
//! A question is answered by the checks that ran and by nothing else: what was skipped is not checked, never clean.

use std::collections::BTreeSet;

use serde::Serialize;
use tamis_core::{CheckReport, Confidence, Outcome, Report, SampleId, Severity, SplitRole};

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
        id: "leaked",
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

/// The answers to all questions; the last one only where a check belongs to it.
pub(super) fn verdicts(report: &Report<'_>) -> Vec<Verdict> {
    let of = |question: &'static Question| {
        let checks: Vec<&CheckReport> =
            report.checks.iter().filter(|check| question_of(check.info.id) == question.id).collect();
        (question.id != OTHER || !checks.is_empty()).then(|| Verdict::new(question, &checks))
    };
    QUESTIONS.iter().filter_map(of).collect()
}

impl Verdict {
    fn new(question: &'static Question, checks: &[&CheckReport]) -> Self {
        let findings = || checks.iter().flat_map(|check| check.outcome.findings());
        let n_ran = checks.iter().filter(|it| has_looked(&it.outcome)).count();
        let n_failed = checks.iter().filter(|it| matches!(it.outcome, Outcome::Failed(_))).count();
        let samples: BTreeSet<SampleId> = findings().flat_map(|it| it.samples.iter().copied()).collect();
        let worst = findings().map(|it| it.severity).max();
        let surest = findings().map(|it| it.confidence).max();
        let (answer, tone) = match (worst, surest) {
            (Some(worst), Some(Confidence::High)) => ("Yes", worst.id()),
            (Some(worst), Some(Confidence::Medium)) => ("Probably", worst.id()),
            (Some(worst), _) => ("Perhaps", worst.id()),
            (None, _) if 0 < n_failed => ("Check failed", "failed"),
            (None, _) if n_ran == 0 => ("Not checked", "skipped"),
            (None, _) if n_ran < checks.len() => ("Nothing found, in part", "none"),
            (None, _) => ("Nothing found", "none"),
        };
        let count = match samples.len() {
            0 => String::new(),
            n => format!("{} in {}", prose::counted(n, "sample"), prose::counted(findings().count(), "finding")),
        };
        let mut parts: Vec<Part> = checks.iter().map(|check| Part::new(check)).collect();
        if checks.is_empty() {
            parts.push(Part { check: "", is_linked: false, text: question.unanswered.to_owned() });
        }
        Self { id: question.id, ask: question.ask, answer, tone, count, parts }
    }
}

/// Whether a check looked at any sample: one that ran on none says nothing.
fn has_looked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ran(result) if 0 < result.population || !result.findings.is_empty())
}

impl Part {
    fn new(check: &CheckReport) -> Self {
        let text = match &check.outcome {
            Outcome::Ran(_) if !has_looked(&check.outcome) => "not checked: there was no sample to look at.".to_owned(),
            Outcome::Ran(result) if result.findings.is_empty() => {
                format!("nothing found among {}.", prose::counted(result.population, "sample"))
            }
            Outcome::Ran(result) => {
                let rate = prose::rate(result.flagged, result.population).map(prose::percent).unwrap_or_default();
                let (flagged, population) = (prose::count(result.flagged), prose::count(result.population));
                format!("{flagged} of {population} samples ({rate}).")
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

/// What to do first: checks with something to do, by their worst finding, leaks before the rest.
pub(super) fn first_steps(report: &Report<'_>) -> Vec<Step> {
    let mut steps: Vec<(Severity, usize, Step)> = Vec::new();
    for check in report.checks {
        let findings = check.outcome.findings();
        let Some(worst) = findings.iter().map(|it| it.severity).max() else { continue };
        let question = QUESTIONS.iter().position(|it| it.id == question_of(check.info.id)).unwrap_or(QUESTIONS.len());
        let what = prose::suggestions(findings)
            .unwrap_or_else(|| format!("look at {}.", prose::counted(findings.len(), "finding")));
        let because = match question_of(check.info.id) {
            "leaked" => "A score on samples that training has seen says nothing.",
            "twice" => "Repeats cost compute and weigh double.",
            "mislabeled" => "A wrong label teaches the wrong thing and hides in the score.",
            "broken" => "What cannot be read or does not belong is not what you think you have.",
            _ => "",
        };
        let text = format!("{} {because}", prose::capitalized(&what)).trim_end().to_owned();
        // Leaks first, then what is worse.
        let order = usize::from(question_of(check.info.id) != "leaked") * QUESTIONS.len() + question;
        steps.push((worst, order, Step { check: check.info.id, text, severity: worst.id() }));
    }
    steps.sort_by_key(|(worst, order, _)| (std::cmp::Reverse(*worst), *order));
    steps.into_iter().take(MAX_STEPS).map(|(_, _, step)| step).collect()
}
