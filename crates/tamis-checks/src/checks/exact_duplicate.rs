//! `exact-duplicate`: the same sample several times, at several levels of sameness.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, IdentityLevel, SampleId,
    Severity, Suggestion,
};

use super::{CheckDef, options};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "exact-duplicate",
        summary: "the same sample stands in the dataset more than once",
        page: include_str!("exact_duplicate.md"),
        judges_labels: false,
    },
    build: |table| options::<ExactDuplicate>(DEF.info.id, table).map(|it| Box::new(it) as Box<dyn Check>),
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExactDuplicate {}

impl Check for ExactDuplicate {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let groups = cx.identity().repeated();
        let mut findings: Vec<Finding> = groups.iter().map(|group| finding(cx, group)).collect();
        // Stable: groups of one size stay in reading order.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.samples.len()));
        Ok(CheckResult {
            population: cx.dataset.ok_ids().count(),
            flagged: groups.iter().map(Vec::len).sum(),
            findings,
            threshold_source: "a fact: equal hashes".to_owned(),
            facts: facts(cx),
            ..CheckResult::default()
        })
    }
}

fn finding(cx: &CheckContext<'_>, group: &[SampleId]) -> Finding {
    let level = cx.common_level(group);
    // One of each split stays: what a copy in another split means is for split-leak to say.
    let mut kept: BTreeMap<_, SampleId> = BTreeMap::new();
    for id in group {
        let best = kept.entry(cx.dataset.sample(*id).split).or_insert(*id);
        if cx.rank(*id) < cx.rank(*best) {
            *best = *id;
        }
    }
    let kept: Vec<SampleId> = kept.into_values().collect();
    let redundant: Vec<SampleId> = group.iter().copied().filter(|id| !kept.contains(id)).collect();
    let suggestion = match redundant.is_empty() {
        true => None,
        // Which copy to keep is then a question of which label is right: see conflicting-labels.
        false if super::labels_differ(cx.dataset, group) => Some(Suggestion::Review),
        // Punctuation may be what tells them apart: `3 + 4` and `3 - 4`.
        false if !level.is_certain() => Some(Suggestion::Review),
        false => Some(Suggestion::Drop(redundant.clone())),
    };
    let message = if redundant.is_empty() {
        format!("{} samples have the same {}, one in each split", group.len(), level.phrase())
    } else {
        format!("{} samples have the same {}", group.len(), level.phrase())
    };
    let samples = redundant.iter().chain(&kept).copied().collect();
    Finding {
        severity: Severity::Low,
        confidence: if level.is_certain() { Confidence::High } else { Confidence::Medium },
        score: f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX)),
        samples,
        message,
        evidence: Evidence::new().with("level", level.id()).with("copies", group.len()).with("keep", kept),
        suggestion,
    }
}

/// Groups and redundant samples at each level; of the strictest also pairs and the largest group, of the widest what is left.
fn facts(cx: &CheckContext<'_>) -> Vec<(Cow<'static, str>, usize)> {
    let mut facts = Vec::new();
    for (level, groups) in cx.levels() {
        let mut add = |name: &str, n: usize| facts.push((format!("{name}_{}", level.id()).into(), n));
        let sizes = || groups.repeated().iter().map(Vec::len);
        add("groups", groups.repeated().len());
        add("redundant", groups.redundant());
        if level == IdentityLevel::Bytes {
            add("pairs", sizes().map(|n| n * (n - 1) / 2).sum());
            add("largest_group", sizes().max().unwrap_or(0));
        }
    }
    if let Some(widest) = cx.fingerprints.levels().last() {
        facts.push((format!("distinct_{}", widest.id()).into(), cx.identity().n_distinct()));
    }
    facts
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};
    use tamis_core::{SampleId, Suggestion};

    const SCENE: &str = "
        a | train | - | 1, 0 | The cat.
        b | train | - | 1, 0 | The cat.
        c | test  | - | 1, 0 | the   CAT.
        d | train | - | 0, 1 | Something else
        e | train | - | 0, 1 | (something else)
        f | train | - | 0, 1 | Alone";

    #[test]
    fn groups_are_counted_at_each_level() {
        let result = Scene::parse(SCENE).run("exact-duplicate", "");
        let counts = ["groups_bytes", "redundant_bytes", "groups_folded", "redundant_folded", "groups_alphanumeric"];
        assert_eq!(counts.map(|name| fact(&result, name)), [1, 1, 1, 2, 2]);
        assert_eq!(
            messages(&result),
            [
                "b a c: 3 samples have the same text but for case and white space",
                "e d: 2 samples have the same letters and digits",
            ]
        );
        assert_eq!((result.flagged, result.population), (5, 6));
    }

    #[test]
    fn one_of_each_split_is_kept() {
        let result = Scene::parse(SCENE).run("exact-duplicate", "");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Drop(vec![SampleId(1)])));
    }

    #[test]
    fn copies_whose_labels_differ_are_not_proposed_to_be_dropped() {
        let result = Scene::parse("a | t | x | 1, 0 | x\nb | t | y | 1, 0 | x").run("exact-duplicate", "");
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Review));
    }

    #[test]
    fn copies_in_two_splits_are_for_split_leak_to_judge() {
        let result = Scene::parse("a | train | - | 1, 0 | x\nb | test | - | 1, 0 | x").run("exact-duplicate", "");
        assert_eq!(messages(&result), ["a b: 2 samples have the same bytes, one in each split"]);
        assert_eq!(result.findings[0].suggestion, None);
    }

    #[test]
    fn different_texts_punctuation_alone_and_empty_texts_are_not_found() {
        let scene = "a | t | - | 1, 0 | one\nb | t | - | 1, 0 | two\nc | t | - | 1, 0 | !?\nd | t | - | 1, 0 | ...\ne | t | - | empty\nf | t | - | empty";
        assert!(Scene::parse(scene).run("exact-duplicate", "").findings.is_empty());
    }
}
