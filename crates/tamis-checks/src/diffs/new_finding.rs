use std::collections::BTreeSet;

use tamis_core::{Change, CheckInfo, DiffCheck, DiffContext, Digest, Finding, Severity};

use super::{contents, named};

/// Findings about contents that the same check did not find before.
#[derive(Debug)]
pub(super) struct NewFinding;

static INFO: CheckInfo = CheckInfo {
    id: "new-finding",
    summary: "Findings that the earlier version did not have",
    page: include_str!("new_finding.md"),
};

impl DiffCheck for NewFinding {
    fn info(&self) -> &'static CheckInfo {
        &INFO
    }

    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        for check in cx.after.checks {
            let before = cx.before.checks.iter().filter(|it| it.info.id == check.info.id);
            let before: Vec<&Finding> = before.flat_map(|it| it.outcome.findings()).collect();
            let known: BTreeSet<Vec<Option<Digest>>> =
                before.iter().map(|finding| contents(&cx.before, &finding.samples)).collect();
            let touched: BTreeSet<Digest> = known.iter().flatten().flatten().copied().collect();
            for finding in check.outcome.findings() {
                let own = contents(&cx.after, &finding.samples);
                if !known.contains(&own) {
                    let has_grown = own.iter().flatten().any(|it| touched.contains(it));
                    let first = finding.samples.first().map_or(String::new(), |id| named(&cx.after, *id) + ": ");
                    changes.push(change(check.info.id, finding, has_grown, &first));
                }
            }
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.severity));
        changes
    }
}

fn change(check: &str, finding: &Finding, has_grown: bool, first: &str) -> Change {
    let what = if has_grown { "other than before" } else { "new" };
    // What was found before, about fewer samples or others, is no worse than it was known to be.
    let severity = if has_grown { finding.severity.min(Severity::Low) } else { finding.severity };
    Change {
        severity,
        message: format!("{what}: {check}: {first}{}", finding.message),
        before: Vec::new(),
        after: finding.samples.clone(),
    }
}
