//! `outlier`: samples that are far from everything else.

use std::collections::BTreeSet;

use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Evidence, Finding, Need, NeighborGraph,
    SampleId, Severity, Suggestion,
};

use super::{BadOption, CheckDef, options};
use crate::stats::quantile;

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "outlier",
        summary: "a sample is far from all others",
        page: include_str!("outlier.md"),
        judges_labels: false,
    },
    build: |table| {
        let check: Outlier = options(DEF.info.id, table)?;
        let reason = match &check {
            Outlier { k: 0, .. } => "k is 0, expected at least 1".to_owned(),
            Outlier { iqr_factor, .. } if !iqr_factor.is_finite() || *iqr_factor < 0.0 => {
                format!("iqr_factor is {iqr_factor}, expected a finite number of at least 0")
            }
            _ => return Ok(Box::new(check)),
        };
        Err(BadOption { check: DEF.info.id, reason })
    },
};

#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Outlier {
    /// Neighbors whose distance is averaged.
    k: usize,
    /// Interquartile ranges above the third quartile from which a distance is an outlier.
    iqr_factor: f64,
}

impl Default for Outlier {
    /// The constants of cleanlab 2.9's Datalab for features: ten neighbors, and `1 / 0.37037 - 1` ranges.
    fn default() -> Self {
        Self { k: 10, iqr_factor: 1.7 }
    }
}

/// Samples below which quartiles say nothing about a tail. Chosen: four values per quartile.
const MIN_SAMPLES: usize = 16;

impl Check for Outlier {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Embeddings, Need::Neighbors(self.k)]
    }

    fn options(&self) -> Evidence {
        Evidence::new().with("k", self.k).with("iqr_factor", self.iqr_factor)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let graph = cx.neighbors()?;
        let mut result = CheckResult { population: graph.leaders().len(), ..CheckResult::default() };
        if result.population < MIN_SAMPLES {
            result
                .notes
                .push(format!("fewer than {MIN_SAMPLES} distinct samples: no distance is unusual among so few"));
            result.threshold_source = "none: too few samples".to_owned();
            return Ok(result);
        }
        let (distances, threshold) = self.distances(cx, graph);
        for (distance, id) in distances.iter().filter(|(distance, _)| threshold < *distance) {
            result.findings.push(finding(*id, *distance, graph.neighbors(*id).next()));
        }
        result.findings.sort_by(|x, y| y.score.total_cmp(&x.score));
        result.flagged = result.findings.len();
        result.threshold = Some(threshold);
        result.threshold_source =
            format!("third quartile of all distances plus {} interquartile ranges", self.iqr_factor);
        result.scores = Some(scores(cx, &distances));
        Ok(result)
    }
}

/// Samples that lead an identity group and that this check finds with its usual options; none where they are too few.
pub(super) fn outliers(cx: &CheckContext<'_>) -> Result<BTreeSet<SampleId>, CheckError> {
    let graph = cx.neighbors()?;
    if graph.leaders().len() < MIN_SAMPLES {
        return Ok(BTreeSet::new());
    }
    let (distances, threshold) = Outlier::default().distances(cx, graph);
    Ok(distances.into_iter().filter(|(distance, _)| threshold < *distance).map(|(_, id)| id).collect())
}

impl Outlier {
    /// The distance of each identity group, and that from which one is an outlier.
    fn distances(&self, cx: &CheckContext<'_>, graph: &NeighborGraph) -> (Vec<(f64, SampleId)>, f64) {
        let distances: Vec<(f64, SampleId)> = graph.leaders().iter().map(|id| (self.distance(cx, *id), *id)).collect();
        let mut sorted: Vec<f64> = distances.iter().map(|(distance, _)| *distance).collect();
        sorted.sort_by(f64::total_cmp);
        let quartile = |q| quantile(&sorted, q).expect("because there are samples");
        let (q1, q3) = (quartile(0.25), quartile(0.75));
        (distances, q3 + self.iqr_factor * (q3 - q1))
    }

    /// Mean of `1 - cosine` to the nearest `k` other identity groups.
    #[expect(clippy::cast_precision_loss, reason = "k is small")]
    fn distance(&self, cx: &CheckContext<'_>, id: SampleId) -> f64 {
        let Ok(graph) = cx.neighbors() else { return 0.0 };
        let distances: Vec<f64> = graph.neighbors(id).take(self.k).map(|(_, cosine)| 1.0 - f64::from(cosine)).collect();
        distances.iter().sum::<f64>() / distances.len().max(1) as f64
    }
}

/// Every sample gets the distance of its identity group.
#[expect(clippy::cast_possible_truncation, reason = "a score is kept as f32")]
fn scores(cx: &CheckContext<'_>, distances: &[(f64, SampleId)]) -> tamis_core::check::SampleScores {
    let mut by_leader = vec![f32::NAN; cx.dataset.len()];
    for (distance, id) in distances {
        by_leader[id.idx()] = *distance as f32;
    }
    let groups = cx.identity();
    let values = cx.dataset.ids().map(|id| by_leader[groups.leader(id).idx()]).collect();
    tamis_core::check::SampleScores { name: "outlier_score".into(), values }
}

fn finding(id: SampleId, distance: f64, nearest: Option<(SampleId, f32)>) -> Finding {
    let mut evidence = Evidence::new().with("mean_distance", distance);
    let mut message = format!("mean cosine distance to its neighbors is {distance:.3}");
    if let Some((nearest, cosine)) = nearest {
        evidence = evidence.with("nearest", nearest).with("nearest_cosine", cosine);
        message = format!("{message}; the nearest sample has cosine {cosine:.3}");
    }
    Finding {
        severity: Severity::Info,
        confidence: Confidence::Low,
        score: distance,
        samples: vec![id],
        message,
        evidence,
        suggestion: Some(Suggestion::Review),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};

    /// Twenty samples on an arc with widening gaps, so that distances spread, and perhaps one far off.
    fn arc(extra: &str) -> String {
        let mut scene: String = (0..20).map(|i| format!("s{i} | t | - | 1, 0.{:03}\n", i * i)).collect();
        scene.push_str(extra);
        scene
    }

    #[test]
    fn a_sample_far_from_all_others_is_found() {
        let result = Scene::parse(&arc("far | t | - | 0, 1")).run("outlier", "k = 1");
        assert_eq!(result.findings.len(), 1);
        assert!(
            messages(&result)[0].starts_with("far: mean cosine distance to its neighbors is 0.6"),
            "{:?}",
            messages(&result)
        );
        assert_eq!(result.population, 21);
    }

    #[test]
    fn an_even_crowd_has_no_outlier() {
        assert!(Scene::parse(&arc("")).run("outlier", "k = 1").findings.is_empty());
    }

    #[test]
    fn copies_do_not_make_a_far_sample_near() {
        let result = Scene::parse(&arc("far | t | - | 0, 1 | x\ncopy | t | - | 0, 1 | x")).run("outlier", "k = 1");
        assert_eq!(result.findings.len(), 1, "one finding for the identity group");
        let scores = result.scores.clone().unwrap().values;
        assert!(scores[20] == scores[21] && 0.6 < scores[21]);
    }

    #[test]
    fn too_few_samples_are_said_to_be_too_few() {
        let result = Scene::parse("a | t | - | 1, 0\nb | t | - | 0, 1").run("outlier", "");
        assert!(result.findings.is_empty() && result.notes[0].starts_with("fewer than 16"));
    }
}
