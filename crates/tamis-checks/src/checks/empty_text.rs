//! `empty-text`: samples without any text.

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, Modality, Need, Severity,
    State, Suggestion,
};

use super::{CheckDef, options};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "empty-text",
        summary: "a text holds nothing but white space",
        page: include_str!("empty_text.md"),
        judges_labels: false,
    },
    build: |table| options::<EmptyText>(DEF.info.id, table).map(|it| Box::new(it) as Box<dyn Check>),
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EmptyText {}

impl Check for EmptyText {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Modality(Modality::Text)]
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let empty = cx.dataset.ids().filter(|id| cx.dataset.sample(*id).state == State::Empty);
        let findings: Vec<Finding> = empty
            .map(|id| Finding {
                severity: Severity::Low,
                confidence: Confidence::High,
                score: 1.0,
                samples: vec![id],
                message: "holds no text".to_owned(),
                evidence: Evidence::new(),
                suggestion: Some(Suggestion::Drop(vec![id])),
            })
            .collect();
        Ok(CheckResult {
            population: cx.dataset.len(),
            flagged: findings.len(),
            findings,
            threshold_source: "a fact: no character but white space".to_owned(),
            ..CheckResult::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};

    #[test]
    fn an_empty_text_is_found() {
        let result = Scene::parse("a | train | - | 1, 0\nb | train | - | empty").run("empty-text", "");
        assert_eq!(messages(&result), ["b: holds no text"]);
    }

    #[test]
    fn a_text_and_an_unreadable_row_are_not_found() {
        let result = Scene::parse("a | train | - | 1, 0\nb | train | - | unreadable: x").run("empty-text", "");
        assert!(result.findings.is_empty());
    }
}
