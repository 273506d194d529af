//! `conflicting-labels`: the same sample under different labels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tamis_core::words::counted;
use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, IdentityGroups,
    IdentityLevel, LabelId, Need, SampleId, Severity, Suggestion,
};

use super::{CheckDef, options};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "conflicting-labels",
        summary: "the same sample has different labels",
        page: include_str!("conflicting_labels.md"),
        judges_labels: true,
    },
    build: |table| options::<ConflictingLabels>(DEF.info.id, table).map(|it| Box::new(it) as Box<dyn Check>),
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConflictingLabels {}

impl Check for ConflictingLabels {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Labels]
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let groups = conflicts(cx, cx.identity());
        let mut findings: Vec<Finding> = groups.iter().map(|group| finding(cx, group)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.samples.len()));
        let population = cx.dataset.ok_ids().filter(|id| cx.dataset.sample(*id).label.is_some()).count();
        let (ceiling, notes) = ceiling(cx, &groups, population);
        Ok(CheckResult {
            population,
            details: Evidence::new().with("accuracy_ceiling", ceiling),
            notes,
            flagged: groups.iter().map(Vec::len).sum(),
            facts: facts(cx),
            findings,
            threshold_source: "a fact: equal hashes, different labels".to_owned(),
            ..CheckResult::default()
        })
    }
}

/// The best accuracy on these labels of a model that gives identical samples the same label, and what to say of it.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn ceiling(cx: &CheckContext<'_>, groups: &[Vec<SampleId>], population: usize) -> (f64, Vec<String>) {
    let minority =
        |group: &Vec<SampleId>| group.len() - by_label(cx, group).values().map(Vec::len).max().unwrap_or_default();
    let n_lost: usize = groups.iter().map(minority).sum();
    let ceiling = 1.0 - n_lost as f64 / population.max(1) as f64;
    let notes = match n_lost {
        0 => Vec::new(),
        _ => vec![format!(
            "a model that treats identical samples alike can be right on at most {:.2} % of these labels: it errs on {}",
            ceiling * 100.0,
            counted(n_lost, "sample")
        )],
    };
    (ceiling, notes)
}

/// Groups at each level, and pairs at the strictest.
fn facts(cx: &CheckContext<'_>) -> Vec<(Cow<'static, str>, usize)> {
    let mut facts = Vec::new();
    for (level, groups) in cx.levels() {
        let groups = conflicts(cx, groups);
        facts.push((format!("groups_{}", level.id()).into(), groups.len()));
        if level == IdentityLevel::Bytes {
            let pairs = groups.iter().map(|group| conflicting_pairs(cx, group)).sum();
            facts.push((format!("pairs_{}", level.id()).into(), pairs));
        }
    }
    facts
}

/// Labeled members of each group that has more than one label.
fn conflicts(cx: &CheckContext<'_>, groups: &IdentityGroups) -> Vec<Vec<SampleId>> {
    let labeled = |group: &Vec<SampleId>| -> Vec<SampleId> {
        group.iter().copied().filter(|id| cx.dataset.sample(*id).label.is_some()).collect()
    };
    groups.repeated().iter().map(labeled).filter(|group| 1 < by_label(cx, group).len()).collect()
}

fn by_label(cx: &CheckContext<'_>, group: &[SampleId]) -> BTreeMap<LabelId, Vec<SampleId>> {
    let mut samples: BTreeMap<LabelId, Vec<SampleId>> = BTreeMap::new();
    for id in group {
        if let Some(label) = cx.dataset.sample(*id).label {
            samples.entry(label).or_default().push(*id);
        }
    }
    samples
}

/// Pairs of members with different labels: all pairs less those within a label.
fn conflicting_pairs(cx: &CheckContext<'_>, group: &[SampleId]) -> usize {
    let pairs = |n: usize| n * (n - 1) / 2;
    pairs(group.len()) - by_label(cx, group).values().map(|same| pairs(same.len())).sum::<usize>()
}

fn finding(cx: &CheckContext<'_>, group: &[SampleId]) -> Finding {
    let mut labels: Vec<(LabelId, Vec<SampleId>)> = by_label(cx, group).into_iter().collect();
    // The rarest label first: its samples are the ones to look at first.
    labels.sort_by_key(|(label, samples)| (samples.len(), *label));
    let level = cx.common_level(group);
    let name = |label: LabelId| cx.dataset.label_names()[label.0 as usize].as_str();
    let counts: Vec<String> =
        labels.iter().rev().map(|(label, samples)| format!("{} ({})", name(*label), samples.len())).collect();
    let evidence = labels
        .iter()
        .rev()
        .map(|(label, samples)| Evidence::new().with("label", name(*label)).with("samples", samples.len()));
    Finding {
        severity: Severity::Medium,
        confidence: if level.is_certain() { Confidence::High } else { Confidence::Medium },
        score: f64::from(u32::try_from(group.len()).unwrap_or(u32::MAX)),
        message: format!("{} labels for the same {}: {}", labels.len(), level.phrase(), first_of(&counts)),
        evidence: Evidence::new().with("level", level.id()).with("labels", evidence.collect::<Vec<_>>()),
        samples: labels.into_iter().flat_map(|(_, samples)| samples).collect(),
        suggestion: Some(Suggestion::Review),
    }
}

/// The first counts, and how many more there are.
fn first_of(counts: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = counts[..counts.len().min(SHOWN)].join(", ");
    match counts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};

    #[test]
    fn one_text_under_two_labels_is_found() {
        let scene = "
            a | t | spam | 1, 0 | Buy now
            b | t | ham  | 1, 0 | Buy now
            c | t | spam | 1, 0 | buy now!
            d | t | ham  | 0, 1 | Hello";
        let result = Scene::parse(scene).run("conflicting-labels", "");
        assert_eq!(messages(&result), ["b a c: 2 labels for the same letters and digits: spam (2), ham (1)"]);
        assert_eq!(result.details.get("accuracy_ceiling"), Some(&tamis_core::Value::Float(0.75)));
        assert!(result.notes[0].contains("at most 75.00 % of these labels: it errs on 1 sample"), "{:?}", result.notes);
        let counts = ["groups_bytes", "pairs_bytes", "groups_folded", "groups_alphanumeric"];
        assert_eq!(counts.map(|name| fact(&result, name)), [1, 1, 1, 1]);
    }

    #[test]
    fn copies_that_agree_and_copies_without_a_label_are_not_found() {
        let scene = "a | t | x | 1, 0 | one\nb | t | x | 1, 0 | one\nc | t | - | 1, 0 | one\nd | t | y | 0, 1 | two";
        let result = Scene::parse(scene).run("conflicting-labels", "");
        assert!(result.findings.is_empty());
        assert_eq!(result.population, 3);
    }
}
