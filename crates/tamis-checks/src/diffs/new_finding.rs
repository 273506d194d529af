use tamis_core::{Change, CheckInfo, CheckReport, DiffCheck, DiffContext, Severity, UnmatchedFinding};

use super::named;

/// Findings about contents that the same check did not find before.
#[derive(Debug)]
pub(super) struct NewFinding;

static INFO: CheckInfo = CheckInfo {
    id: "new-finding",
    summary: "Findings that the earlier version did not have",
    page: include_str!("new_finding.md"),
    judges_labels: false,
};

impl DiffCheck for NewFinding {
    fn info(&self) -> &'static CheckInfo {
        &INFO
    }

    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        for check in cx.after.checks {
            for it in cx.after.unmatched(&cx.before, check.info).into_iter().flatten() {
                if cx.after.counts(check.info.id, it.place) {
                    changes.push(change(cx, check, it));
                }
            }
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.severity));
        changes
    }
}

fn change(cx: &DiffContext<'_>, check: &CheckReport, unmatched: UnmatchedFinding) -> Change {
    let finding = &check.outcome.findings()[unmatched.place];
    let first = finding.samples.first().map_or(String::new(), |id| named(&cx.after, *id) + ": ");
    let (what, severity) = match unmatched.is_known_in_part {
        // What was found before, about fewer samples or others, is no worse than it was known to be.
        true => ("other than before", finding.severity.min(Severity::Low)),
        false => ("new", finding.severity),
    };
    Change {
        severity,
        message: format!("{what}: {}: {first}{}", check.info.id, finding.message),
        before: Vec::new(),
        after: finding.samples.clone(),
    }
}
