use std::collections::BTreeMap;

use tamis_core::{Change, CheckInfo, DiffCheck, DiffContext, Digest, Finding, Severity};

use super::named;

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
            let known: Vec<Contents> = before.iter().map(|finding| cx.before.contents(&finding.samples)).collect();
            let mut by_content: BTreeMap<Digest, Vec<&Contents>> = BTreeMap::new();
            for contents in &known {
                contents.iter().flatten().for_each(|it| by_content.entry(*it).or_default().push(contents));
            }
            for finding in check.outcome.findings() {
                let own = cx.after.contents(&finding.samples);
                let touched: Vec<&Contents> =
                    own.iter().flatten().filter_map(|it| by_content.get(it)).flatten().copied().collect();
                // What is left of an earlier finding is no worse than that was.
                if !touched.iter().any(|known| is_part(&own, known)) && !known.contains(&own) {
                    let first = finding.samples.first().map_or(String::new(), |id| named(&cx.after, *id) + ": ");
                    changes.push(change(check.info.id, finding, !touched.is_empty(), &first));
                }
            }
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.severity));
        changes
    }
}

/// The contents that a finding is about, ascending.
type Contents = Vec<Option<Digest>>;

/// Whether all of `part` is in `whole`, as often; both ascending.
fn is_part(part: &Contents, whole: &Contents) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|it| rest.any(|other| other == it))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_holds_nothing_that_the_whole_has_less_often() {
        let of = |bytes: &[u8]| bytes.iter().map(|it| Some(Digest([*it; 32]))).collect::<Contents>();
        assert!(is_part(&of(&[1, 3]), &of(&[1, 2, 3])));
        assert!(is_part(&of(&[]), &of(&[1])));
        assert!(!is_part(&of(&[1, 1]), &of(&[1, 2])));
        assert!(!is_part(&of(&[1, 4]), &of(&[1, 2, 3])));
    }
}
