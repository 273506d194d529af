//! `label-error`: given labels that the rest of the data contradicts.

use std::collections::BTreeSet;

use tamis_core::check::SampleScores;
use tamis_core::words::counted;
use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, LabelId, Need, SampleId,
    Severity, Suggestion,
};
use tamis_labels::{EvidenceOptions, RowEvidence};

use super::{BadOption, CheckDef, options, outlier};
use crate::labels::{self, JudgedLabels, name, rounded};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "label-error",
        summary: "a given label is probably wrong",
        page: include_str!("label_error.md"),
        judges_labels: true,
    },
    build: |table| {
        let check: LabelError = options(DEF.info.id, table)?;
        let (low, got) = (0.0, check.min_error_probability);
        if !(low < got && got <= 1.0) {
            let reason = format!("min_error_probability is {got}, expected a number above 0 and at most 1");
            return Err(BadOption { check: DEF.info.id, reason });
        }
        Ok(Box::new(check))
    },
};

#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LabelError {
    /// Probability of an error from which a label is a finding.
    min_error_probability: f64,
}

impl Default for LabelError {
    /// More probably wrong than right.
    fn default() -> Self {
        Self { min_error_probability: 0.5 }
    }
}

impl Check for LabelError {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        labels::needs()
    }

    fn options(&self) -> Evidence {
        Evidence::new().with("min_error_probability", self.min_error_probability)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let judged = match JudgedLabels::of(cx, &EvidenceOptions::default())? {
            Ok(judged) => judged,
            Err(nothing) => return Ok(nothing),
        };
        let mut result = CheckResult::default();
        let mut values = vec![f32::NAN; cx.dataset.len()];
        let (mut n_unjudged, mut n_unexplained) = (0_usize, 0_usize);
        let outliers = outlier::outliers(cx)?;
        for (id, given, evidence) in judged.labeled() {
            let Some(suspicion) = evidence.suspicion() else {
                n_unjudged += 1;
                continue;
            };
            values[id.idx()] = narrow(suspicion);
            result.population += 1;
            if let Some(suggested) = evidence.suggested
                && evidence.is_wrong_with(self.min_error_probability)
            {
                let labels = Labels { given, suggested: judged.label(suggested) };
                let is_probable = evidence.correct_probability.is_some_and(|it| it < 0.5);
                n_unexplained += usize::from(!is_probable);
                result.findings.push(finding(cx, id, &labels, evidence, &outliers)?);
            }
        }
        result.findings.sort_by(|x, y| y.score.total_cmp(&x.score).then(x.samples.cmp(&y.samples)));
        result.flagged = result.findings.len();
        result.threshold = Some(self.min_error_probability);
        result.threshold_source =
            "probability that the given label is wrong, by the noise estimated from all labels".to_owned();
        result.notes = notes(cx, &judged, n_unexplained, n_unjudged);
        result.facts = facts(&judged);
        result.details = Evidence::new()
            .with("wrong_labels", rounded(judged.noise.rate.estimate))
            .with("wrong_labels_low", rounded(judged.noise.rate.low))
            .with("wrong_labels_high", rounded(judged.noise.rate.high))
            .with("classes", judged.class_table(cx))
            .with("confusions", confusions(cx, &judged));
        result.scores = Some(SampleScores { name: "label_error_score".into(), values });
        Ok(result)
    }
}

/// What stands at a sample and what should.
struct Labels {
    given: LabelId,
    suggested: LabelId,
}

/// Pairs of labels in the record: the most frequent ones.
const MAX_CONFUSIONS: usize = 100;

fn confusions(cx: &CheckContext<'_>, judged: &JudgedLabels) -> Vec<Evidence> {
    let row = |confusion: &tamis_labels::Confusion| {
        Evidence::new()
            .with("given", name(cx, judged.label(confusion.given)))
            .with("suggested", name(cx, judged.label(confusion.class)))
            .with("samples", (confusion.count * 10.0).round() / 10.0)
    };
    judged.confusions.iter().take(MAX_CONFUSIONS).map(row).collect()
}

fn facts(judged: &JudgedLabels) -> Vec<(std::borrow::Cow<'static, str>, usize)> {
    let (noise, budget) = (&judged.noise, judged.noise.budget);
    let samples = |share: f64| whole(share * noise.n as f64);
    vec![
        ("classes".into(), judged.n_classes()),
        ("wrong".into(), samples(noise.rate.estimate)),
        ("wrong_low".into(), samples(noise.rate.low)),
        ("wrong_high".into(), samples(noise.rate.high)),
        ("to_review".into(), budget.n),
        ("errors_in_review".into(), whole(budget.expected_errors)),
    ]
}

fn notes(cx: &CheckContext<'_>, judged: &JudgedLabels, n_unexplained: usize, n_unjudged: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let (noise, budget) = (&judged.noise, judged.noise.budget);
    let (rate, low, high) = (percent(noise.rate.estimate), percent(noise.rate.low), percent(noise.rate.high));
    notes.push(format!(
        "about {rate} of {} distinct labels are wrong (90 % interval {low} to {high}), not counting those that fit a \
         doubtful sample as well as another would",
        noise.n
    ));
    notes.extend(worst_classes(cx, judged));
    if budget.n != 0 {
        notes.push(format!(
            "to review: the worst {} by score; expect about {} errors; further down fewer than one label in five is wrong",
            budget.n,
            whole(budget.expected_errors)
        ));
    }
    if judged.looks_in_sample {
        notes.push(
            "the probabilities agree with nearly all labels, as those of a model that has seen them do: it hides the wrong \
             ones; expected are probabilities of a model fitted without the sample"
                .to_owned(),
        );
    }
    if n_unexplained != 0 {
        notes.push(format!(
            "{} for which hardly anything speaks, but so few that doubt explains them as well as noise: not counted above",
            counted(n_unexplained, "finding")
        ));
    }
    if n_unjudged != 0 {
        notes.push(format!(
            "{} not judged: the class has no other sample that is no copy",
            counted(n_unjudged, "labeled sample")
        ));
    }
    notes
}

/// Classes that a note names, and the share of wrong labels from which one is worth naming.
const MAX_NAMED: usize = 5;
const NAMED_FROM: f64 = 0.005;

/// The classes with the largest shares of wrong labels; the record has all of them.
fn worst_classes(cx: &CheckContext<'_>, judged: &JudgedLabels) -> Option<String> {
    let mut classes = judged.noise.by_class.clone();
    classes.retain(|noise| NAMED_FROM <= noise.rate.estimate);
    classes.sort_by(|a, b| b.rate.estimate.total_cmp(&a.rate.estimate));
    let named = |noise: &tamis_labels::ClassNoise| {
        let rate = noise.rate;
        let label = name(cx, judged.label(noise.class));
        format!("{label} {} ({} to {})", percent(rate.estimate), percent(rate.low), percent(rate.high))
    };
    let named: Vec<String> = classes.iter().take(MAX_NAMED).map(named).collect();
    (!named.is_empty()).then(|| format!("most of them by label: {}", named.join(", ")))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn finding(
    cx: &CheckContext<'_>,
    id: SampleId,
    labels: &Labels,
    row: &RowEvidence,
    outliers: &BTreeSet<SampleId>,
) -> Result<Finding, CheckError> {
    let leader = cx.identity().leader(id);
    let (given, suggested) = (name(cx, labels.given), name(cx, labels.suggested));
    let correct = row.correct_probability.unwrap_or_default();
    let confidence = match row.suggested_probability {
        p if 0.9 <= p => Confidence::High,
        p if 0.5 <= p => Confidence::Medium,
        _ => Confidence::Low,
    };
    let mut evidence = Evidence::new()
        .with("given", given)
        .with("suggested", suggested)
        .with("given_probability", correct)
        .with("suggested_probability", row.suggested_probability)
        .with("given_probability_unseen", row.given_probability.unwrap_or_default());
    let family = cx.family(leader);
    let is_other = |other: SampleId| family.is_none_or(|family| !family.members.contains(&other));
    let nearest = |label: LabelId| {
        let neighbors = cx.neighbors().ok()?.neighbors(leader);
        neighbors.into_iter().find(|(other, _)| is_other(*other) && cx.dataset.sample(*other).label == Some(label))
    };
    for (label, sample, cosine) in [
        (labels.given, "nearest_given", "nearest_given_cosine"),
        (labels.suggested, "nearest_suggested", "nearest_suggested_cosine"),
    ] {
        if let Some((other, similarity)) = nearest(label) {
            evidence = evidence.with(sample, other).with(cosine, similarity);
        }
    }
    if let Some(family) = family {
        evidence = evidence.with("copies", family.members.len() - 1);
    }
    if outliers.contains(&leader) {
        evidence = evidence.with("is_outlier", true);
    }
    Ok(Finding {
        severity: Severity::Medium,
        confidence,
        score: row.suspicion().unwrap_or_default(),
        samples: vec![id],
        message: format!(
            "labeled {given}, looks like {suggested}: probability {:.2} against {correct:.2}",
            row.suggested_probability
        ),
        evidence,
        suggestion: Some(match confidence {
            // The data doubts the label and knows no better one.
            Confidence::Low => Suggestion::Review,
            Confidence::Medium | Confidence::High => Suggestion::Relabel(id, labels.suggested),
        }),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a score is kept as f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// A count that was estimated.
fn whole(count: f64) -> usize {
    count.round() as usize
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, fact, messages};
    use tamis_core::{LabelId, SampleId, Suggestion, Value};

    /// Two classes on two arcs; `odd` stands in the middle of one of them.
    fn scene(odd_label: &str) -> Scene {
        let mut lines: String =
            (0..30).map(|i| format!("l{i} | t | left | 1, 0.0{i:02}\nr{i} | t | right | 0.0{i:02}, 1\n")).collect();
        lines.push_str(&format!("odd | t | {odd_label} | 1, 0.015"));
        Scene::parse(&lines)
    }

    #[test]
    fn a_label_that_contradicts_its_neighbors_is_found_with_a_better_one() {
        let result = scene("right").run("label-error", "");
        assert_eq!(result.findings.len(), 1);
        assert!(
            messages(&result)[0].starts_with("odd: labeled right, looks like left: probability 0.")
                || messages(&result)[0].starts_with("odd: labeled right, looks like left: probability 1."),
            "{:?}",
            messages(&result)
        );
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Relabel(SampleId(60), LabelId(0))));
        let scores = result.scores.clone().unwrap().values;
        assert!(scores[..60].iter().all(|score| *score < scores[60]));
        assert_eq!(fact(&result, "to_review"), 1);
    }

    #[test]
    fn a_finding_shows_the_nearest_sample_of_either_label() {
        let result = scene("right").run("label-error", "");
        let sample = |name: &str| match result.findings[0].evidence.get(name) {
            Some(Value::Sample(id)) => *id,
            other => panic!("{name} is {other:?}"),
        };
        // Sample 2 i is `li`: the two nearest have 1, 0.015 and 1, 0.014.
        assert_eq!(sample("nearest_suggested"), SampleId(30));
        // `r29` is the one of the right that leans most to the left.
        assert_eq!(sample("nearest_given"), SampleId(59));
    }

    #[test]
    fn labels_that_agree_with_their_neighbors_are_not_found() {
        let result = scene("left").run("label-error", "");
        assert!(result.findings.is_empty(), "{:?}", messages(&result));
        assert_eq!(result.population, 61);
    }

    #[test]
    fn vectors_that_say_nothing_of_the_labels_find_nothing_and_say_so() {
        let lines: String = (0..40)
            .map(|i| format!("s{i} | t | {} | 1, 0.{:03}\n", if (i * 7) % 5 < 2 { "x" } else { "y" }, (i * 13) % 40))
            .collect();
        let result = Scene::parse(&lines).run("label-error", "");
        assert!(result.findings.is_empty(), "{:?}", messages(&result));
        assert!(
            result.notes[0].starts_with("nothing was estimated: what is known of the samples"),
            "{:?}",
            result.notes
        );
    }

    #[test]
    fn a_class_of_one_sample_is_not_judged_and_that_is_said() {
        let result = scene("rare").run("label-error", "");
        assert_eq!(result.population, 60);
        let note = result.notes.last().unwrap();
        assert!(note.starts_with("1 labeled sample not judged"), "{note}");
    }
}
