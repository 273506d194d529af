//! How two versions differ, for people: on a terminal, in a pull request, as a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::markdown::{cell, code};
use crate::page::{self, STYLE};
use crate::prose;
use crate::snippet::visible;
use crate::wire::v1::{
    ChangeRecord, CheckDiff, CheckOutcome, Diff, DriftRecord, Severity, VersionOutcome, VersionRecord,
};

/// Findings of each check, and measures, that are shown; JSON has all.
const MAX_FINDINGS: usize = 10;
const MAX_MEASURES: usize = 30;

/// The difference as text of at most 100 columns, but for names.
#[must_use]
pub fn text(diff: &Diff) -> String {
    let view = Changes::new(diff);
    let mut out = format!("{}\n\n", view.title);
    for fact in view.facts.iter().chain(&view.samples) {
        let _ = writeln!(out, "  {:10} {}", fact.0, fact.1);
    }
    for warning in &view.warnings {
        let _ = writeln!(out, "\n  warning: {warning}");
    }
    if !view.findings.is_empty() {
        out.push('\n');
    }
    for finding in &view.findings {
        let _ = writeln!(out, "  {:8} {:16} {}", finding.severity, finding.check, finding.message);
    }
    if let Some(more) = &view.more_findings {
        let _ = writeln!(out, "  {more}");
    }
    let _ = writeln!(out, "\n  {:26} {:>12} {:>12} {:>8} {:>8}", "check", "before", "after", "new", "gone");
    for check in &view.checks {
        let _ = writeln!(
            out,
            "  {:26} {:>12} {:>12} {:>8} {:>8}",
            check.id, check.before, check.after, check.new, check.gone
        );
    }
    if !view.drift.is_empty() {
        let _ = writeln!(out, "\n  {:26} {:>8} {:>8}  what", "measure", "effect", "p");
    }
    for drift in &view.drift {
        let mark = if drift.is_significant { "*" } else { " " };
        let _ = writeln!(out, "{mark} {:26} {:>8} {:>8}  {}", drift.measure, drift.effect, drift.p_value, drift.what);
    }
    let _ = writeln!(out, "\n{}", view.verdict);
    out
}

/// The difference as GitHub's Markdown, for a comment.
#[must_use]
pub fn markdown(diff: &Diff) -> String {
    let view = Changes::new(diff);
    let mut out = format!("### {}\n\n**{}**\n\n", view.title, view.verdict);
    for fact in view.facts.iter().chain(&view.samples) {
        let _ = writeln!(out, "- {}: {}", fact.0, code(&fact.1));
    }
    for warning in &view.warnings {
        let _ = writeln!(out, "\n> {}", code(warning));
    }
    if !view.findings.is_empty() {
        out.push_str("\n| severity | check | what |\n|---|---|---|\n");
    }
    for finding in &view.findings {
        let _ = writeln!(out, "| {} | {} | {} |", finding.severity, finding.check, cell(&finding.message));
    }
    if let Some(more) = &view.more_findings {
        let _ = writeln!(out, "\n{more}");
    }
    out.push_str("\n| check | before | after | new | gone |\n|---|--:|--:|--:|--:|\n");
    for check in &view.checks {
        let _ = writeln!(out, "| {} | {} | {} | {} | {} |", check.id, check.before, check.after, check.new, check.gone);
    }
    if !view.drift.is_empty() {
        out.push_str("\n| measure | effect | p | what |\n|---|--:|--:|---|\n");
    }
    for drift in &view.drift {
        let measure = cell(&drift.measure);
        let measure = if drift.is_significant { format!("**{measure}**") } else { measure };
        let _ = writeln!(
            out,
            "| {measure} | {} | {} | {} |",
            drift.effect,
            drift.p_value,
            if drift.what.is_empty() { String::new() } else { cell(&drift.what) }
        );
    }
    out
}

/// The difference as one page that loads nothing and runs nothing.
///
/// # Errors
/// When the template does not fit: a bug.
pub fn html(diff: &Diff) -> Result<String, minijinja::Error> {
    page::filled("diff.html", &Filling { policy: page::policy(None), style: STYLE, changes: Changes::new(diff) })
}

/// What the template of the page is filled with.
#[derive(Debug, Serialize)]
struct Filling {
    policy: String,
    style: &'static str,
    changes: Changes,
}

/// Words and numbers, nothing left to decide.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    title: String,
    verdict: String,
    facts: Vec<(String, String)>,
    samples: Vec<(String, String)>,
    warnings: Vec<String>,
    findings: Vec<FindingView>,
    more_findings: Option<String>,
    checks: Vec<CheckView>,
    drift: Vec<DriftView>,
}

#[derive(Debug, Serialize)]
struct FindingView {
    severity: &'static str,
    check: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct CheckView {
    id: String,
    before: String,
    after: String,
    new: String,
    gone: String,
}

#[derive(Debug, Serialize)]
struct DriftView {
    measure: String,
    effect: String,
    p_value: String,
    is_significant: bool,
    what: String,
}

impl Changes {
    pub(crate) fn new(diff: &Diff) -> Self {
        let version = |name: &str, it: &VersionRecord| {
            let n = format!("{} samples", count(it.dataset.n_samples));
            (name.to_owned(), format!("{} · {n}", visible(&it.path)))
        };
        let counts = &diff.samples;
        let counted = |name: &str, n: u64| (0 < n).then(|| (name.to_owned(), count(n)));
        let samples = [
            counted("same", counts.same),
            counted("added", counts.added),
            counted("removed", counts.removed),
            counted("changed", counts.changed),
            counted("moved", counts.moved),
            counted("relabeled", counts.relabeled),
            counted("renamed", counts.renamed),
        ];
        let mut findings: Vec<&ChangeRecord> = diff.findings.iter().collect();
        findings.sort_by_key(|it| std::cmp::Reverse(it.severity));
        let n_findings = findings.len();
        let mut shown = BTreeMap::<&str, usize>::new();
        findings.retain(|it| {
            let shown = shown.entry(&it.check).or_default();
            *shown += 1;
            *shown <= MAX_FINDINGS
        });
        let hidden = n_findings - findings.len();
        Self {
            title: "What changed between two versions".to_owned(),
            verdict: verdict(diff),
            facts: vec![version("before", &diff.before), version("after", &diff.after)],
            samples: samples.into_iter().flatten().collect(),
            warnings: diff.warnings.iter().map(|it| visible(it)).collect(),
            findings: findings.into_iter().map(FindingView::new).collect(),
            more_findings: (0 < hidden).then(|| format!("and {} more, all of them in JSON", prose::count(hidden))),
            checks: diff.checks.iter().map(CheckView::new).collect(),
            drift: diff.drift.iter().take(MAX_MEASURES).map(DriftView::new).collect(),
        }
    }
}

impl FindingView {
    fn new(finding: &ChangeRecord) -> Self {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
        };
        Self { severity, check: finding.check.clone(), message: visible(&finding.message) }
    }
}

impl CheckView {
    fn new(check: &CheckDiff) -> Self {
        let outcome = |it: &Option<VersionOutcome>| match it {
            None => "not asked".to_owned(),
            Some(it) => match it.outcome {
                CheckOutcome::Ran => count(it.findings.unwrap_or(0)),
                CheckOutcome::Skipped => "skipped".to_owned(),
                CheckOutcome::Failed => "failed".to_owned(),
            },
        };
        let number = |n: Option<u64>| n.map_or("-".to_owned(), count);
        Self {
            id: check.id.clone(),
            before: outcome(&check.before),
            after: outcome(&check.after),
            new: number(check.new),
            gone: number(check.gone),
        }
    }
}

impl DriftView {
    fn new(drift: &DriftRecord) -> Self {
        let what = match (&drift.means, &drift.moved_most) {
            (Some([before, after]), _) => format!("mean {} became {}", number(*before), number(*after)),
            (None, Some(it)) if it.before != it.after => {
                let share = |share: f64| format!("{:.1} %", share * 100.0);
                format!("{}: {} became {}", visible(&it.value), share(it.before), share(it.after))
            }
            _ => String::new(),
        };
        Self {
            measure: visible(&drift.measure),
            effect: format!("{:.3}", drift.effect),
            p_value: drift.p_value.map_or("-".to_owned(), |p| format!("{p:.3}")),
            is_significant: drift.is_significant,
            what,
        }
    }
}

fn count(n: u64) -> String {
    prose::count(usize::try_from(n).unwrap_or(usize::MAX))
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

fn verdict(diff: &Diff) -> String {
    let counts = &diff.samples;
    let of = |severity: Severity| diff.findings.iter().filter(|it| it.severity == severity).count();
    let (high, medium, low) = (of(Severity::High), of(Severity::Medium), of(Severity::Low));
    let is_equal = counts.added + counts.removed + counts.changed + counts.moved + counts.relabeled == 0;
    match (is_equal, high + medium + low) {
        (true, 0) => "Both versions hold the same samples with the same labels in the same splits.".to_owned(),
        (_, 0) => "The versions differ; nothing is worse than before.".to_owned(),
        _ => format!("Worth a look: {high} of high, {medium} of medium, {low} of low severity."),
    }
}
