//! `unreadable-sample`: rows and files that could not be read.

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, Severity, State, Suggestion,
};

use super::{CheckDef, options};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "unreadable-sample",
        summary: "a row or file could not be read",
        page: include_str!("unreadable_sample.md"),
        judges_labels: false,
    },
    build: |table| options::<UnreadableSample>(DEF.info.id, table).map(|it| Box::new(it) as Box<dyn Check>),
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnreadableSample {}

impl Check for UnreadableSample {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let mut result = CheckResult { population: cx.dataset.len(), ..CheckResult::default() };
        for id in cx.dataset.ids() {
            let State::Unreadable(reason) = &cx.dataset.sample(id).state else { continue };
            result.findings.push(Finding {
                severity: Severity::Medium,
                confidence: Confidence::High,
                score: 1.0,
                samples: vec![id],
                message: format!("cannot be read: {reason}"),
                evidence: Evidence::new().with("reason", reason.as_str()),
                suggestion: Some(Suggestion::Review),
            });
        }
        result.flagged = result.findings.len();
        result.threshold_source = "a fact: the reader could not read it".to_owned();
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};

    #[test]
    fn a_broken_row_is_found_with_its_reason() {
        let result =
            Scene::parse("a | train | - | 1, 0\nb | train | - | unreadable: expected `,`").run("unreadable-sample", "");
        assert_eq!(messages(&result), ["b: cannot be read: expected `,`"]);
        assert_eq!((result.flagged, result.population), (1, 2));
    }

    #[test]
    fn readable_rows_are_not_found() {
        let result = Scene::parse("a | train | - | 1, 0\nb | train | - | empty").run("unreadable-sample", "");
        assert!(result.findings.is_empty());
    }
}
