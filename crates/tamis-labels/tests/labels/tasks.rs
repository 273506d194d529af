//! Equality with cleanlab 2.9.0 beyond single labels; every key of `expected.json` is compared or named as a note.

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView2};
use serde_json::Value;
use tamis_labels::out_of_distribution::{ProbabilityScore, distance_scale, distance_scores, probability_scores};
use tamis_labels::regression::{outre_scores, residual_scores};
use tamis_labels::shapley::knn_shapley;
use tamis_labels::tokens::{SentenceScore, sentence_scores, token_issues};
use tamis_labels::{PruneOptions, self_confidence};

use crate::npy;

/// Scores are sums and exponentials of a few f64; cleanlab sums in another order.
pub(crate) const TOLERANCE: f64 = 1e-9;

/// Keys that describe a case.
const NOTES: [&str; 7] = ["note", "n", "d", "K", "M", "metric", "k"];

/// The outputs of a case, and which of them a test has asked for.
pub(crate) struct Expected {
    name: &'static str,
    values: Value,
    unread: BTreeSet<String>,
}

impl Expected {
    pub(crate) fn read(name: &'static str) -> Self {
        let text = std::fs::read_to_string(npy::fixture(&format!("{name}/expected.json"))).unwrap();
        let values: Value = serde_json::from_str(&text).unwrap();
        let mut unread = BTreeSet::new();
        leaves("", &values, &mut unread);
        unread.retain(|path| !NOTES.contains(&path.as_str()));
        Self { name, values, unread }
    }

    /// The value at a path of keys joined by `/`.
    pub(crate) fn value(&mut self, path: &str) -> &Value {
        assert!(self.unread.remove(path), "{} has no {path}, or it was compared before", self.name);
        path.split('/').fold(&self.values, |value, key| &value[key])
    }

    pub(crate) fn numbers(&mut self, path: &str) -> Vec<f64> {
        numbers(self.value(path))
    }

    pub(crate) fn compare(&mut self, path: &str, got: &[f64]) {
        let expected = self.numbers(path);
        assert_close(&format!("{} {path}", self.name), got, &expected);
    }

    pub(crate) fn finish(self) {
        assert_eq!(self.unread, BTreeSet::new(), "{} has outputs that nothing was compared with", self.name);
    }
}

/// Paths of everything that is not an object of named outputs.
fn leaves(prefix: &str, value: &Value, paths: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().unwrap() {
        let path = format!("{prefix}{key}");
        if value.is_object() {
            leaves(&format!("{path}/"), value, paths);
        } else {
            paths.insert(path);
        }
    }
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|entry| entry.as_f64().unwrap()).collect()
}

/// Rows of whole numbers.
pub(crate) fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|index| index as usize).collect()
}

pub(crate) fn assert_close(name: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let both_missing = got.is_nan() && expected.is_nan();
        assert!(
            both_missing || (got - expected).abs() <= TOLERANCE,
            "{name}, entry {index}: {got} instead of {expected}"
        );
    }
}

pub(crate) fn probabilities(case: &str, file: &str) -> Array2<f32> {
    npy::read(&format!("{case}/{file}")).mapv(|value| value as f32)
}

pub(crate) fn labels(case: &str) -> Vec<u32> {
    npy::read(&format!("{case}/labels.npy")).iter().map(|&label| label as u32).collect()
}

/// Distances and rows of the k nearest others, by brute force; ties go to the smaller row.
fn neighbors(features: ArrayView2<'_, f64>, metric: &str, k: usize) -> (Array2<f64>, Array2<u32>) {
    let n_samples = features.nrows();
    let mut distances = Array2::zeros((n_samples, k));
    let mut rows = Array2::zeros((n_samples, k));
    for row in 0..n_samples {
        let mut others: Vec<(f64, usize)> = (0..n_samples)
            .filter(|&other| other != row)
            .map(|other| {
                let (a, b) = (features.row(row), features.row(other));
                let distance = match metric {
                    _ if a == b => 0.0,
                    "cosine" => 1.0 - a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt(),
                    "euclidean" => (&a - &b).mapv(|value| value * value).sum().sqrt(),
                    other => panic!("unknown metric {other}"),
                };
                (distance, other)
            })
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (place, &(distance, other)) in others[..k].iter().enumerate() {
            distances[[row, place]] = distance;
            rows[[row, place]] = other as u32;
        }
    }
    (distances, rows)
}

#[test]
fn distance_scores_and_shapley_values_equal_cleanlab() {
    for name in ["ood_cosine_d20", "ood_euclid_d3"] {
        let mut expected = Expected::read(name);
        let metric = expected.values["metric"].as_str().unwrap().to_owned();
        let features = npy::read(&format!("{name}/features.npy"));
        for k in [5, 10] {
            let (distances, _) = neighbors(features.view(), &metric, k);
            let scale = distance_scale(distances.view()).unwrap();
            let scores = distance_scores(distances.view(), scale).unwrap();
            expected.compare(&format!("knn_ood_scores_k{k}"), &scores);
        }
        let (distances, mut rows) = neighbors(features.view(), &metric, 10);
        if metric == "euclidean" {
            // scikit-learn's tree lists exact duplicates in an order of its own.
            rows = npy::read(&format!("{name}/neighbors.npy")).mapv(|row| row as u32);
            for ((row, place), &neighbor) in rows.indexed_iter() {
                let gap = &features.row(row) - &features.row(neighbor as usize);
                let distance = gap.dot(&gap).sqrt();
                assert!((distance - distances[[row, place]]).abs() < TOLERANCE, "row {row}, place {place}");
            }
        }
        expected.compare("knn_shapley_k10", &knn_shapley(&labels(name), rows.view()).unwrap());
        expected.finish();
    }
}

#[test]
fn probability_scores_equal_cleanlab() {
    let name = "ood_pred_probs";
    let mut expected = Expected::read(name);
    let (labels, probabilities) = (labels(name), probabilities(name, "pred_probs.npy"));
    for (method, score) in [
        ("entropy", ProbabilityScore::Entropy),
        ("least_confidence", ProbabilityScore::LeastConfidence),
        ("gen", ProbabilityScore::Gen),
    ] {
        let plain = probability_scores(probabilities.view(), None, score).unwrap();
        expected.compare(&format!("{method}|adjust=False"), &plain);
        let adjusted = probability_scores(probabilities.view(), Some(&labels), score).unwrap();
        expected.compare(&format!("{method}|adjust=True"), &adjusted);
    }
    expected.finish();
}

#[test]
fn token_issues_and_sentence_scores_equal_cleanlab() {
    let name = "tokens";
    let mut expected = Expected::read(name);
    let (labels, probabilities) = (labels(name), probabilities(name, "pred_probs.npy"));
    let offsets: Vec<usize> = npy::read("tokens/offsets.npy").iter().map(|&offset| offset as usize).collect();
    let scores = self_confidence(&labels, probabilities.view()).unwrap();
    let least = sentence_scores(&scores, &offsets, SentenceScore::Min).unwrap();
    expected.compare("sentence_scores_min", &least);
    let soft = sentence_scores(&scores, &offsets, SentenceScore::Softmin).unwrap();
    expected.compare("sentence_scores_softmin0.05", &soft);
    let issues = token_issues(&labels, probabilities.view(), &offsets, &PruneOptions::default()).unwrap();
    let issues: Vec<[usize; 2]> = issues.iter().map(|token| [token.sentence, token.position]).collect();
    let expected_issues = expected.value("issues").as_array().unwrap();
    let expected_issues: Vec<[usize; 2]> =
        expected_issues.iter().map(|token| indices(token).try_into().unwrap()).collect();
    assert_eq!(issues, expected_issues);
    expected.finish();
}

#[test]
fn regression_scores_equal_cleanlab() {
    let mut expected = Expected::read("regression");
    let labels = npy::read("regression/labels.npy").into_raw_vec_and_offset().0;
    let predictions = npy::read("regression/predictions.npy").into_raw_vec_and_offset().0;
    expected.compare("residual", &residual_scores(&labels, &predictions).unwrap());
    expected.compare("outre", &outre_scores(&labels, &predictions).unwrap());
    expected.finish();
}

#[test]
fn the_number_of_threads_changes_no_score() {
    let labels = npy::read("regression/labels.npy").into_raw_vec_and_offset().0;
    let predictions = npy::read("regression/predictions.npy").into_raw_vec_and_offset().0;
    let scores = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let scores = pool.install(|| outre_scores(&labels, &predictions)).unwrap();
        scores.into_iter().map(f64::to_bits).collect::<Vec<u64>>()
    };
    assert_eq!(scores(1), scores(3));
}
