use tamis_core::{Change, CheckInfo, DiffCheck, DiffContext, Severity, SplitRole};

/// The same content in another split.
#[derive(Debug)]
pub(super) struct MovedSample;

static INFO: CheckInfo = CheckInfo {
    id: "moved-sample",
    summary: "Unchanged samples that stand in another split now",
    page: include_str!("moved_sample.md"),
    judges_labels: false,
};

impl DiffCheck for MovedSample {
    fn info(&self) -> &'static CheckInfo {
        &INFO
    }

    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for (before, after) in &cx.matching.same {
            let (old, new) = (cx.before.dataset.split_name(*before), cx.after.dataset.split_name(*after));
            if old == new {
                continue;
            }
            let was = cx.before.dataset.split_role(cx.before.dataset.sample(*before).split);
            let is = cx.after.dataset.split_role(cx.after.dataset.sample(*after).split);
            changes.push(Change {
                // Whoever trained on the earlier version has seen it.
                severity: if was == SplitRole::Train && is != SplitRole::Train {
                    Severity::High
                } else {
                    Severity::Low
                },
                message: format!("{} moved from {old} to {new}", cx.after.dataset.key(*after)),
                before: vec![*before],
                after: vec![*after],
            });
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.severity));
        changes
    }
}
