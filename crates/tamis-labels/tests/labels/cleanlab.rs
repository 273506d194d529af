//! Equality with the outputs of cleanlab 2.9.0; `tests/fixtures/README.md` tells how they were made.

use ndarray::Array2;
use serde_json::Value;
use tamis_labels::{
    Adjustment, Collision, PruneOptions, calibrated_joint, class_thresholds, confidence_weighted_entropy,
    confident_joint, confident_learning, estimated_joint, normalized_margin, predicted_neq_given, prune_by_both,
    prune_by_class, prune_by_noise_rate, self_confidence, self_confidence_adjusted,
};

use crate::npy;

const CASES: [&str; 8] = [
    "collisions",
    "digits_lr_noise10",
    "k10_imbalanced",
    "k2_n200",
    "k3_n500",
    "missing_class_and_singleton",
    "one_hot_probs",
    "ties",
];

/// Scores are sums and logarithms of a few f64; cleanlab sums in another order.
const SCORE_TOLERANCE: f64 = 1e-9;

struct Case {
    name: &'static str,
    labels: Vec<u32>,
    probabilities: Array2<f32>,
    expected: Value,
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.into_iter().map(|name| {
        let text = std::fs::read_to_string(npy::fixture(&format!("{name}/expected.json")));
        let labels = npy::read(&format!("{name}/labels.npy"));
        Case {
            name,
            labels: labels.iter().map(|&label| label as u32).collect(),
            probabilities: npy::read(&format!("{name}/pred_probs.npy")).mapv(|value| value as f32),
            expected: serde_json::from_str(&text.unwrap()).unwrap(),
        }
    })
}

fn numbers(value: &Value) -> Vec<f64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    let shape = (rows.len(), rows[0].len());
    Array2::from_shape_vec(shape, rows.concat()).unwrap()
}

fn counts(value: &Value) -> Array2<u64> {
    matrix(value).mapv(|count| count as u64)
}

fn assert_close(name: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance, "{name}, entry {index}: {got} instead of {expected}");
    }
}

#[test]
fn thresholds_and_joints_equal_cleanlab() {
    for case in cases() {
        let name = case.name;
        let probabilities = case.probabilities.view();
        let thresholds = class_thresholds(&case.labels, probabilities).unwrap();
        assert_close(name, &thresholds, &numbers(&case.expected["thresholds"]), 1e-12);

        let rule = Collision::Cleanlab;
        let joint = confident_joint(&case.labels, probabilities, &thresholds, rule).unwrap();
        assert_eq!(joint.counts, counts(&case.expected["confident_joint_uncalibrated"]), "{name}");
        let off_diagonal = numbers(&case.expected["off_diagonal_indices"]);
        let off_diagonal: Vec<usize> = off_diagonal.iter().map(|&row| row as usize).collect();
        assert_eq!(joint.off_diagonal, off_diagonal, "{name}");

        let calibrated = calibrated_joint(joint.counts.view(), &case.labels).unwrap();
        assert_eq!(calibrated, counts(&case.expected["confident_joint_calibrated"]), "{name}");

        let estimated = estimated_joint(calibrated.view());
        let expected = matrix(&case.expected["joint"]);
        assert_close(name, estimated.as_slice().unwrap(), expected.as_slice().unwrap(), 1e-12);
    }
}

#[test]
fn masks_equal_cleanlab() {
    for case in cases() {
        let masks = npy::read(&format!("{}/masks.npy", case.name));
        let names = case.expected["mask_names"].as_array().unwrap();
        let mut n_compared = 0;
        for (expected, name) in masks.rows().into_iter().zip(names) {
            let name = name.as_str().unwrap();
            let Some(flags) = flags(&case, name) else { continue };
            let expected: Vec<bool> = expected.iter().map(|&flag| 0.5 < flag).collect();
            assert_eq!(flags, expected, "{} {name}", case.name);
            n_compared += 1;
        }
        assert_eq!(n_compared, 11, "{}", case.name);
    }
}

/// The flags of a named mask; `None` for filters that this crate does not have.
fn flags(case: &Case, mask: &str) -> Option<Vec<bool>> {
    let (labels, probabilities) = (&case.labels[..], case.probabilities.view());
    let (filter, option) = mask.split_once('|').unwrap_or((mask, ""));
    let mut options = PruneOptions::default();
    match option {
        "" => {}
        "frac_noise=0.5" => options.frac_noise = 0.5,
        "min_examples_per_class=5" => options.min_examples_per_class = 5,
        other => panic!("unknown option {other}"),
    }
    let flags = match filter {
        "prune_by_noise_rate" => prune_by_noise_rate(labels, probabilities, &options),
        "prune_by_class" => prune_by_class(labels, probabilities, &options),
        "both" => prune_by_both(labels, probabilities, &options),
        "confident_learning" => confident_learning(labels, probabilities, Collision::Cleanlab),
        "predicted_neq_given" => predicted_neq_given(labels, probabilities),
        _ => return None,
    };
    Some(flags.unwrap())
}

#[test]
fn scores_equal_cleanlab() {
    for case in cases() {
        let (labels, probabilities) = (&case.labels[..], case.probabilities.view());
        let got = [
            self_confidence(labels, probabilities),
            self_confidence_adjusted(labels, probabilities, Adjustment::Thresholds),
            normalized_margin(labels, probabilities, Adjustment::None),
            normalized_margin(labels, probabilities, Adjustment::Thresholds),
            confidence_weighted_entropy(labels, probabilities),
        ];
        let expected = npy::read(&format!("{}/scores.npy", case.name));
        for (index, (got, expected)) in got.into_iter().zip(expected.rows()).enumerate() {
            let name = format!("{}, score {index}", case.name);
            assert_close(&name, &got.unwrap(), &expected.to_vec(), SCORE_TOLERANCE);
        }
    }
}
