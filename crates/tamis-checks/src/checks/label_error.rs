//! `label-error`: given labels that the rest of the data contradicts.

use ndarray::{Array2, ArrayView1, Axis};
use tamis_core::check::SampleScores;
use tamis_core::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, Embeddings, Evidence, Finding, LabelId, Need,
    SampleId, Severity, Suggestion,
};
use tamis_labels::{LogisticOptions, OutOfFold, PruneOptions};

use super::{BadOption, CheckDef, options};

pub(super) static DEF: CheckDef = CheckDef {
    info: CheckInfo {
        id: "label-error",
        summary: "a given label is probably wrong",
        page: include_str!("label_error.md"),
    },
    build: |table| {
        let check: LabelError = options(DEF.info.id, table)?;
        let bad = |reason: String| Err(BadOption { check: DEF.info.id, reason });
        if check.folds < 2 {
            return bad(format!("folds is {}, expected at least 2", check.folds));
        }
        if !(0.0 < check.c && check.c.is_finite()) {
            return bad(format!("c is {}, expected a number above 0", check.c));
        }
        Ok(Box::new(check))
    },
};

#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LabelError {
    /// Folds of the cross-validation.
    folds: usize,
    /// Inverse strength of the penalty.
    c: f64,
}

impl Default for LabelError {
    /// Five folds, as cleanlab and scikit-learn take; the penalty that the labels crate measured.
    fn default() -> Self {
        Self { folds: 5, c: LogisticOptions::default().c }
    }
}

/// Most numbers in the table of probabilities: 2 GiB of f32.
const MAX_CELLS: usize = 1 << 29;

/// The samples that take part, and what is known of them in plain arrays.
struct Problem {
    ids: Vec<SampleId>,
    labels: Vec<u32>,
    /// The dataset's label of each class.
    classes: Vec<LabelId>,
    n_rare: usize,
}

impl Check for LabelError {
    fn info(&self) -> &'static CheckInfo {
        &DEF.info
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need::Labels, Need::Embeddings]
    }

    fn options(&self) -> Evidence {
        Evidence::new().with("folds", self.folds).with("c", self.c)
    }

    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError> {
        let embeddings = cx.embeddings()?;
        let problem = self.problem(cx, embeddings);
        let (n, k) = (problem.ids.len(), problem.classes.len());
        let mut result = CheckResult { population: n, ..CheckResult::default() };
        if problem.n_rare != 0 {
            let (n_rare, folds) = (problem.n_rare, self.folds);
            result.notes.push(format!(
                "{n_rare} labeled samples were left out: their class has fewer than {folds} distinct samples"
            ));
        }
        if k < 2 || MAX_CELLS < n * k {
            let reason = if k < 2 {
                "fewer than two classes are large enough"
            } else {
                "too many samples times classes for memory"
            };
            result.notes.push(format!("nothing was estimated: {reason}"));
            result.threshold_source = "none".to_owned();
            return Ok(result);
        }
        let out = self.probabilities(cx, embeddings, &problem)?;
        let (probabilities, n_unfinished) = (&out.probabilities, out.n_unfinished);
        if n_unfinished != 0 {
            let folds = self.folds;
            result.notes.push(format!("{n_unfinished} of {folds} fits did not converge: probabilities may mislead"));
        }
        let wrong = tamis_labels::prune_by_noise_rate(&problem.labels, probabilities.view(), &PruneOptions::default())?;
        let quality = tamis_labels::self_confidence(&problem.labels, probabilities.view())?;
        let mut values = vec![f32::NAN; cx.dataset.len()];
        for (i, id) in problem.ids.iter().enumerate() {
            let score = 1.0 - quality[i];
            values[id.idx()] = narrow(score);
            if wrong[i] {
                result.findings.push(finding(cx, &problem, i, score, probabilities.row(i)));
            }
        }
        // Stable: findings of one score stay in reading order.
        result.findings.sort_by(|x, y| y.score.total_cmp(&x.score));
        result.flagged = result.findings.len();
        result.threshold_source =
            "confident learning, pruned by noise rate: counts per pair of classes, no cut on a score".to_owned();
        result.facts = vec![("classes".into(), k), ("folds".into(), self.folds)];
        result.scores = Some(SampleScores { name: "label_error_score", values });
        Ok(result)
    }
}

impl LabelError {
    /// Labeled samples with a vector, of classes that have a distinct sample for each fold.
    fn problem(&self, cx: &CheckContext<'_>, embeddings: &Embeddings) -> Problem {
        let groups = cx.identity();
        let labeled: Vec<(SampleId, LabelId)> = cx
            .dataset
            .ok_ids()
            .filter(|id| embeddings.row_of(*id).is_some())
            .filter_map(|id| Some((id, cx.dataset.sample(id).label?)))
            .collect();
        let mut distinct = vec![std::collections::BTreeSet::new(); cx.dataset.label_names().len()];
        for (id, label) in &labeled {
            distinct[label.0 as usize].insert(groups.leader(*id));
        }
        let mut class_of = vec![None; distinct.len()];
        let mut classes = Vec::new();
        for (label, distinct) in (0..).zip(&distinct) {
            if self.folds <= distinct.len() {
                class_of[label as usize] = u32::try_from(classes.len()).ok();
                classes.push(LabelId(label));
            }
        }
        let kept = labeled.iter().filter_map(|(id, label)| Some((*id, class_of[label.0 as usize]?)));
        let (ids, labels): (Vec<_>, Vec<_>) = kept.unzip();
        let n_rare = labeled.len() - ids.len();
        Problem { ids, labels, classes, n_rare }
    }

    /// Probability of each class for each sample, by a model that has not seen it or a copy of it; shape `(n, classes)`.
    fn probabilities(
        &self,
        cx: &CheckContext<'_>,
        embeddings: &Embeddings,
        problem: &Problem,
    ) -> Result<Judged, CheckError> {
        let groups = cx.identity();
        let group_of: Vec<u32> = problem.ids.iter().map(|id| groups.leader(*id).0).collect();
        let keys: Vec<u64> = problem.ids.iter().map(|id| fold_key(cx, *id)).collect();
        let folds = tamis_labels::stratified_group_folds(&problem.labels, &group_of, &keys, self.folds)?;
        let rows: Vec<usize> = problem.ids.iter().filter_map(|id| embeddings.row_of(*id)).collect();
        let n_classes = problem.classes.len();
        let bytes_of = |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let inputs = [
            PROBE_VERSION.to_vec(),
            self.c.to_le_bytes().to_vec(),
            bytes_of(&problem.labels),
            bytes_of(&folds),
            rows.iter().flat_map(|it| (*it as u64).to_le_bytes()).collect(),
        ];
        let output = cx.kept("probabilities", &inputs.each_ref().map(Vec::as_slice), || {
            let features = embeddings.rows().select(Axis(0), &rows);
            let options = LogisticOptions { c: self.c, ..LogisticOptions::default() };
            tamis_labels::out_of_fold_probabilities(features.view(), &problem.labels, n_classes, &folds, &options)
                .map(|out| Judged::of(out).to_bytes())
        })?;
        Judged::parse(&output, (problem.ids.len(), n_classes)).ok_or_else(|| "kept probabilities are damaged".into())
    }
}

/// Raised when the probe gives other probabilities than before, so that those of an older version are not taken up.
const PROBE_VERSION: &[u8] = b"1";

/// What the probe says of every sample.
struct Judged {
    /// Shape `(n, classes)`.
    probabilities: Array2<f32>,
    /// Fits that did not reach their tolerance.
    n_unfinished: usize,
}

impl Judged {
    fn of(out: OutOfFold) -> Self {
        let n_unfinished = out.folds.iter().filter(|fold| !fold.fit.converged).count();
        Self { probabilities: out.probabilities, n_unfinished }
    }

    /// The number of fits, then the probabilities row by row, little endian.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.n_unfinished as u64).to_le_bytes().to_vec();
        bytes.extend(self.probabilities.iter().flat_map(|it| it.to_le_bytes()));
        bytes
    }

    fn parse(bytes: &[u8], shape: (usize, usize)) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (values, []) = rest.as_chunks::<4>() else { return None };
        let values = values.iter().map(|it| f32::from_le_bytes(*it)).collect();
        Some(Self {
            probabilities: Array2::from_shape_vec(shape, values).ok()?,
            n_unfinished: usize::try_from(u64::from_le_bytes(*head)).ok()?,
        })
    }
}

/// The order of a sample in the draw of folds: from its content and the seed, not from its place.
fn fold_key(cx: &CheckContext<'_>, id: SampleId) -> u64 {
    let widest = cx.fingerprints.levels().last();
    let digest = widest.and_then(|level| cx.fingerprints.digest(id, *level));
    let key = digest.map_or(0, |digest| digest.prefix()) ^ cx.seed;
    // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): without it the seed would keep most of the order.
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

fn finding(cx: &CheckContext<'_>, problem: &Problem, i: usize, score: f64, row: ArrayView1<'_, f32>) -> Finding {
    let id = problem.ids[i];
    let given = problem.labels[i] as usize;
    let best = |best: usize, class: usize| if row[best] < row[class] { class } else { best };
    let suggested = (0..row.len()).filter(|class| *class != given).reduce(best).expect("because there are two classes");
    let label = |class: usize| problem.classes[class];
    let name = |class: usize| cx.dataset.label_names()[label(class).0 as usize].as_str();
    let confidence = match row[suggested] {
        p if 0.9 <= p => Confidence::High,
        p if 0.5 <= p => Confidence::Medium,
        _ => Confidence::Low,
    };
    Finding {
        severity: Severity::Medium,
        confidence,
        score,
        samples: vec![id],
        message: format!(
            "labeled {}, looks like {}: probability {:.2} against {:.2}",
            name(given),
            name(suggested),
            row[suggested],
            row[given]
        ),
        evidence: Evidence::new()
            .with("given", name(given))
            .with("suggested", name(suggested))
            .with("given_probability", row[given])
            .with("suggested_probability", row[suggested]),
        suggestion: Some(match confidence {
            // The model doubts the label and knows no better one.
            Confidence::Low => Suggestion::Review,
            Confidence::Medium | Confidence::High => Suggestion::Relabel(id, label(suggested)),
        }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a score is kept as f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use crate::testing::{Scene, messages};
    use tamis_core::{LabelId, SampleId, Suggestion};

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
            messages(&result)[0].starts_with("odd: labeled right, looks like left: probability 0."),
            "{:?}",
            messages(&result)
        );
        assert_eq!(result.findings[0].suggestion, Some(Suggestion::Relabel(SampleId(60), LabelId(0))));
        let scores = result.scores.clone().unwrap().values;
        assert!(scores[..60].iter().all(|score| *score < scores[60]));
    }

    #[test]
    fn labels_that_agree_with_their_neighbors_are_not_found() {
        let result = scene("left").run("label-error", "");
        assert!(result.findings.is_empty(), "{:?}", messages(&result));
        assert_eq!(result.population, 61);
    }

    #[test]
    fn a_class_too_small_for_the_folds_is_left_out_and_said() {
        let result = scene("rare").run("label-error", "");
        assert_eq!(result.population, 60);
        assert!(result.notes[0].starts_with("1 labeled samples were left out"), "{:?}", result.notes);
    }
}
