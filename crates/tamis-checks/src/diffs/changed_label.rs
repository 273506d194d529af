use tamis_core::{Change, CheckInfo, DiffCheck, DiffContext};

use super::{named, severity_of};

/// The same content under another label.
#[derive(Debug)]
pub(super) struct ChangedLabel;

static INFO: CheckInfo = CheckInfo {
    id: "changed-label",
    summary: "Unchanged samples whose label is another one now",
    page: include_str!("changed_label.md"),
    judges_labels: false,
};

impl DiffCheck for ChangedLabel {
    fn info(&self) -> &'static CheckInfo {
        &INFO
    }

    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for (before, after) in &cx.matching.same {
            let (old, new) = (cx.before.dataset.label_name(*before), cx.after.dataset.label_name(*after));
            if old == new {
                continue;
            }
            let name = |label: Option<&str>| label.map_or("no label".to_owned(), str::to_owned);
            changes.push(Change {
                severity: severity_of(&cx.after, *after),
                message: format!("{}: {} became {}", named(&cx.after, *after), name(old), name(new)),
                before: vec![*before],
                after: vec![*after],
            });
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.severity));
        changes
    }
}
