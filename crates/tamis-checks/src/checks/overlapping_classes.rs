//! `overlapping-classes`: pairs of classes that cannot be told apart.

use std::collections::{BTreeMap, BTreeSet};

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, LabelId, Need, SampleId,
    Severity, Suggestion,
};
use tamis_labels::{DoubtfulPair, EvidenceOptions};

use super::{BadOption, CheckDef, options};
use crate::labels::{self, JudgedLabels, name, rounded};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "overlapping-classes",
        summary: "two classes can hardly be told apart",
        page: include_str!("overlapping_classes.md"),
        judges_labels: true,
    },
    build: |table| {
        let check: OverlappingClasses = options(DEF.info.id, table)?;
        let got = check.min_overlap;
        if !(0.0 < got && got <= 1.0) {
            let reason = format!("min_overlap is {got}, expected a number above 0 and at most 1");
            return Err(BadOption { check: DEF.info.id, reason });
        }
        Ok(Box::new(check))
    },
};

#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OverlappingClasses {
    /// Share of the smaller class from which two classes overlap.
    min_overlap: f64,
}

impl Default for OverlappingClasses {
    /// A fifth. Chosen: of the ten classes of Fashion-MNIST's test images it names shirts and coats (25 %); shirts and
    /// T-shirts, pullovers and coats follow with 15 %, and no other pair has 5 %.
    fn default() -> Self {
        Self { min_overlap: 0.2 }
    }
}

/// Fewest samples that an overlap must amount to: fewer are single doubtful samples.
const MIN_SAMPLES: f64 = 5.0;

/// Doubtful samples that a finding shows; all are counted.
const MAX_SHOWN: usize = 50;

impl Check for OverlappingClasses {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        labels::needs()
    }

    fn options(&self) -> Evidence {
        Evidence::new().with("min_overlap", self.min_overlap)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let judged = match JudgedLabels::of(cx, &EvidenceOptions::default())? {
            Ok(judged) => judged,
            Err(nothing) => return Ok(nothing),
        };
        let mut result = CheckResult::default();
        let sizes: BTreeMap<u32, usize> = judged.noise.by_class.iter().map(|noise| (noise.class, noise.n)).collect();
        let size = |class: u32| sizes.get(&class).copied().unwrap_or(0);
        let mut doubtful = doubtful(&judged);
        let mut flagged = BTreeSet::<SampleId>::new();
        for overlap in &judged.overlaps {
            let smaller = size(overlap.a).min(size(overlap.b));
            let share = (overlap.count / (2.0 * smaller as f64)).min(1.0);
            if overlap.count < MIN_SAMPLES || share < self.min_overlap {
                continue;
            }
            let samples = doubtful.remove(&(judged.label(overlap.a), judged.label(overlap.b))).unwrap_or_default();
            flagged.extend(&samples);
            result.findings.push(finding(cx, &judged, overlap, share, samples));
        }
        result.findings.retain(|finding| !finding.samples.is_empty());
        result.findings.sort_by(|x, y| y.score.total_cmp(&x.score).then(x.samples.cmp(&y.samples)));
        result.population = judged.labeled().filter(|(_, _, it)| it.given_probability.is_some()).count();
        result.flagged = flagged.len();
        result.threshold = Some(self.min_overlap);
        result.threshold_source = "share of the smaller class that could belong to either".to_owned();
        result.facts = vec![("classes".into(), judged.n_classes()), ("pairs".into(), result.findings.len())];
        Ok(result)
    }
}

/// Probability of the given label, before it is looked at, between which a sample is doubtful.
const DOUBTFUL: std::ops::RangeInclusive<f32> = 0.2..=0.8;

/// Samples that could have either of two labels, the most doubtful first, by both labels in order.
fn doubtful(judged: &JudgedLabels) -> BTreeMap<(LabelId, LabelId), Vec<SampleId>> {
    let mut found = BTreeMap::<(LabelId, LabelId), Vec<(f32, SampleId)>>::new();
    for (id, given, evidence) in judged.labeled() {
        let Some(probability) = evidence.given_probability.filter(|it| DOUBTFUL.contains(it)) else { continue };
        let Some(other) = evidence.suggested.map(|class| judged.label(class)) else { continue };
        found.entry((given.min(other), given.max(other))).or_default().push(((probability - 0.5).abs(), id));
    }
    let sorted = |mut samples: Vec<(f32, SampleId)>| {
        samples.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        samples.into_iter().map(|(_, id)| id).collect()
    };
    found.into_iter().map(|(labels, samples)| (labels, sorted(samples))).collect()
}

fn finding(
    cx: &CheckContext<'_>,
    judged: &JudgedLabels,
    overlap: &DoubtfulPair,
    share: f64,
    mut samples: Vec<SampleId>,
) -> Finding {
    let names = [overlap.a, overlap.b].map(|class| name(cx, judged.label(class)));
    let n_doubtful = samples.len();
    samples.truncate(MAX_SHOWN);
    let wrong = |given: u32, class: u32| {
        let found = judged.confusions.iter().find(|it| (it.given, it.class) == (given, class));
        found.map_or(0.0, |it| (it.count * 10.0).round() / 10.0)
    };
    Finding {
        severity: Severity::Low,
        confidence: if 0.5 <= share { Confidence::High } else { Confidence::Medium },
        score: share,
        message: format!(
            "{} and {} can hardly be told apart: {:.0} % of the smaller class could belong to either, {n_doubtful} samples \
             are doubtful",
            names[0],
            names[1],
            share * 100.0
        ),
        evidence: Evidence::new()
            .with("a", names[0])
            .with("b", names[1])
            .with("overlap", rounded(share))
            .with("doubtful_samples", n_doubtful)
            .with("labeled_a_probably_b", wrong(overlap.a, overlap.b))
            .with("labeled_b_probably_a", wrong(overlap.b, overlap.a)),
        samples,
        suggestion: Some(Suggestion::Review),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};

    /// Four classes; `b` and `c` lie on the same arc when `apart` is zero.
    fn scene(apart: f64) -> Scene {
        let lines: String = (0..30)
            .map(|i| {
                let x = f64::from(i) / 100.0;
                let b = 0.5 + f64::from((i * 7) % 30) / 100.0;
                let c = 0.5 + f64::from((i * 11) % 30) / 100.0 + apart;
                format!("a{i} | t | a | 1, {x:.3}\nb{i} | t | b | {b:.3}, 1\nc{i} | t | c | {c:.3}, 1.003\nd{i} | t | d | -1, {x:.3}\n")
            })
            .collect();
        Scene::parse(&lines)
    }

    #[test]
    fn two_classes_on_the_same_place_overlap() {
        let result = scene(0.0).run("overlapping-classes", "");
        assert_eq!(result.findings.len(), 1, "{:?}", messages(&result));
        assert!(result.findings[0].message.starts_with("b and c can hardly be told apart"), "{:?}", messages(&result));
    }

    #[test]
    fn copies_are_counted_among_the_samples_that_were_looked_at() {
        let mut lines = String::new();
        for i in 0..30 {
            let (b, c) = (0.5 + f64::from((i * 7) % 30) / 100.0, 0.5 + f64::from((i * 11) % 30) / 100.0);
            for copy in ["x", "y"] {
                lines.push_str(&format!(
                    "b{i}{copy} | t | b | {b:.3}, 1 | b{i}\nc{i}{copy} | t | c | {c:.3}, 1.003 | c{i}\n"
                ));
            }
        }
        let result = Scene::parse(&lines).run("overlapping-classes", "");
        assert!(
            result.flagged <= result.population && 60 < result.population,
            "{} of {}",
            result.flagged,
            result.population
        );
    }

    #[test]
    fn classes_apart_do_not() {
        let result = scene(-1.5).run("overlapping-classes", "");
        assert!(result.findings.is_empty(), "{:?}", messages(&result));
    }
}
