//! Equality with the outputs of cleanlab 2.9.0; `tests/fixtures/README.md` tells how they were made.
//!
//! Every key of every `expected.json` is compared, for `f32` and `f64` and for row-major and column-major arrays.

use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder as _};
use serde_json::Value;
use tamis_labels::{
    Adjustment, ConfidentLearning, Convergence, CountMethod, EnsembleWeights, Filter, FilterOptions, LearningOptions,
    OverlapDirection, Probability, QualityScore, ShareMethod, calibrated_joint, ensemble_scores, estimated_joint,
    latent_estimate, lowest, off_diagonal, order_by_score, overlapping_classes, rank_classes_by_label_quality,
};

use crate::npy;

const CASES: [&str; 11] = [
    "collisions",
    "digits_lr_clean",
    "digits_lr_noise10",
    "k10_imbalanced",
    "k2_n200",
    "k3_n500",
    "k50_n3000",
    "missing_class_and_singleton",
    "one_hot_probs",
    "synthetic20d_lr_noise15",
    "ties",
];

/// The rows of `scores.npy`.
const SCORES: [(QualityScore, Adjustment); 5] = [
    (QualityScore::SelfConfidence, Adjustment::None),
    (QualityScore::SelfConfidence, Adjustment::Thresholds),
    (QualityScore::NormalizedMargin, Adjustment::None),
    (QualityScore::NormalizedMargin, Adjustment::Thresholds),
    (QualityScore::ConfidenceWeightedEntropy, Adjustment::None),
];

/// Scores are sums and logarithms of a few f64; cleanlab sums in another order.
const SCORE_TOLERANCE: f64 = 1e-9;

/// Shares and rates are quotients of whole numbers, some of them after a linear system.
const RATE_TOLERANCE: f64 = 1e-11;

struct Case {
    name: &'static str,
    labels: Vec<u32>,
    probabilities: Array2<f64>,
    expected: Value,
}

fn case(name: &'static str) -> Case {
    let text = std::fs::read_to_string(npy::fixture(&format!("{name}/expected.json")));
    Case {
        name,
        labels: labels(name),
        probabilities: npy::read(&format!("{name}/pred_probs.npy")),
        expected: serde_json::from_str(&text.unwrap()).unwrap(),
    }
}

fn labels(name: &str) -> Vec<u32> {
    npy::read(&format!("{name}/labels.npy")).iter().map(|&label| label as u32).collect()
}

/// The same numbers, column-major.
fn by_columns<P: Copy>(array: ArrayView2<'_, P>) -> Array2<P> {
    Array2::from_shape_vec(array.dim().f(), array.t().iter().copied().collect()).unwrap()
}

/// Runs a check on the four forms of the input.
macro_rules! in_every_form {
    ($check:ident, $case:expr, $probabilities:expr) => {
        let wide: &Array2<f64> = $probabilities;
        let narrow = wide.mapv(|value| value as f32);
        $check($case, wide.view());
        $check($case, narrow.view());
        $check($case, by_columns(wide.view()).view());
        $check($case, by_columns(narrow.view()).view());
    };
}

fn numbers(value: &Value) -> Vec<f64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_f64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    numbers(value).iter().map(|&index| index as usize).collect()
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

fn assert_matrices_close(name: &str, got: &Array2<f64>, expected: &Value) {
    assert_close(name, got.as_slice().unwrap(), matrix(expected).as_slice().unwrap(), RATE_TOLERANCE);
}

fn flagged(flags: &[bool]) -> Vec<usize> {
    (0..flags.len()).filter(|&row| flags[row]).collect()
}

#[test]
fn every_output_equals_cleanlab() {
    for name in CASES {
        let case = case(name);
        in_every_form!(check_case, &case, &case.probabilities);
    }
}

fn check_case<P: Probability>(case: &Case, probabilities: ArrayView2<'_, P>) {
    let learning = ConfidentLearning::new(&case.labels, probabilities, &LearningOptions::default()).unwrap();
    for (key, expected) in case.expected.as_object().unwrap() {
        let name = format!("{} {key}", case.name);
        let (kind, suffix) = key.split_once('_').unwrap_or((key, ""));
        match (kind, suffix) {
            ("latent", method) => check_latent(&learning, &name, method, expected),
            ("find", method) => check_overlaps(&learning, &name, method, expected),
            _ => check_key(&learning, &name, key, expected),
        }
    }
    check_masks(case, &learning);
    let expected = npy::read(&format!("{}/scores.npy", case.name));
    for ((score, adjustment), expected) in SCORES.into_iter().zip(expected.rows()) {
        let got = learning.scores(score, adjustment).unwrap();
        assert_close(&format!("{} {score}", case.name), &got, &expected.to_vec(), SCORE_TOLERANCE);
    }
}

fn check_key<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, key: &str, expected: &Value) {
    match key {
        "n" => assert_eq!(learning.n_samples() as u64, expected.as_u64().unwrap(), "{name}"),
        "K" => assert_eq!(learning.n_classes() as u64, expected.as_u64().unwrap(), "{name}"),
        // What the case is for, the rows of the masks, and what cleanlab computes otherwise on another processor.
        "note" | "mask_names" | "vanilla_differs" => {}
        "thresholds" => assert_close(name, learning.thresholds(), &numbers(expected), 1e-12),
        "batched_thresholds" => assert_close(name, &learning.batched_thresholds(), &numbers(expected), 1e-12),
        "confident_joint_uncalibrated" => assert_eq!(learning.joint().counts, counts(expected), "{name}"),
        "off_diagonal_indices" => assert_eq!(learning.joint().off_diagonal, indices(expected), "{name}"),
        "confident_joint_calibrated" => {
            assert_eq!(learning.calibrated_joint(), counts(expected), "{name}");
            let of_joint = calibrated_joint(learning.joint().counts.view(), &labels_of(learning)).unwrap();
            assert_eq!(of_joint, counts(expected), "{name}");
        }
        "joint" => assert_matrices_close(name, &estimated_joint(learning.calibrated_joint().view()), expected),
        "num_label_issues" => {
            let count = |method| learning.num_label_issues(method);
            assert_eq!(count(CountMethod::OffDiagonal), expected["off_diagonal"].as_u64().unwrap(), "{name}");
            let calibrated = expected["off_diagonal_calibrated"].as_u64().unwrap();
            assert_eq!(count(CountMethod::OffDiagonalCalibrated), calibrated, "{name}");
        }
        "batched_mask_indices" => {
            let flags = learning.batched_flags(QualityScore::SelfConfidence, Adjustment::None).unwrap();
            check_batched(learning, name, &flagged(&flags), &indices(expected));
        }
        "overall_label_health_score" => {
            assert_close(name, &[learning.overall_health()], &[expected.as_f64().unwrap()], 1e-15);
        }
        "rank_classes_by_label_quality" => check_class_ranks(learning, name, expected),
        "ranked" => check_ranked(learning, name, expected),
        other => panic!("{name}: nothing compares {other}"),
    }
}

/// Compares rows but for ties of the last score: that sort of cleanlab was not replaced by a stable one.
fn check_batched<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, got: &[usize], expected: &[usize]) {
    let score = |row: usize| learning.self_confidence()[row];
    let last = expected.iter().map(|&row| score(row)).fold(0.0, f64::max);
    let below = |rows: &[usize]| rows.iter().copied().filter(|&row| score(row) < last).collect::<Vec<usize>>();
    assert_eq!(below(got), below(expected), "{name}");
    assert_eq!(got.len(), expected.len(), "{name}");
    assert!(got.iter().all(|&row| score(row) <= last), "{name}");
}

/// Labels with the counts of the given ones, in class order; the calibrated joint depends on the counts alone.
fn labels_of<P: Probability>(learning: &ConfidentLearning<'_, P>) -> Vec<u32> {
    let counts = (0..).zip(learning.label_counts());
    counts.flat_map(|(class, &count)| std::iter::repeat_n(class, count as usize)).collect()
}

fn check_latent<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, method: &str, expected: &Value) {
    let (method, convergence) = match method.strip_suffix("_converged") {
        Some(method) => (method, Convergence::Converged),
        None => (method, Convergence::Independent),
    };
    let method: ShareMethod = method.parse().unwrap();
    let joint = learning.calibrated_joint();
    let estimate = latent_estimate(joint.view(), learning.label_counts(), method, convergence);
    if let Some(error) = expected.get("error") {
        assert_eq!(error, "singular");
        let message = estimate.unwrap_err().to_string();
        assert!(message.starts_with("noise matrix is singular"), "{name}: {message}");
        return;
    }
    let estimate = estimate.unwrap();
    for (key, expected) in expected.as_object().unwrap() {
        let name = format!("{name} {key}");
        match key.as_str() {
            "py" => assert_close(&name, &estimate.true_shares, &numbers(expected), RATE_TOLERANCE),
            "noise_matrix" => assert_matrices_close(&name, &estimate.noise_matrix, expected),
            "inverse_noise_matrix" => assert_matrices_close(&name, &estimate.inverse_noise_matrix, expected),
            other => panic!("{name}: nothing compares {other}"),
        }
    }
}

fn check_class_ranks<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, expected: &Value) {
    let ranked = rank_classes_by_label_quality(learning.calibrated_joint().view());
    let rows: Vec<Vec<f64>> = expected["rows"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(ranked.len(), rows.len(), "{name}");
    assert!(ranked.is_sorted_by(|a, b| a.quality <= b.quality), "{name}");
    for row in rows {
        let class = ranked.iter().find(|class| class.class == row[0] as usize).unwrap();
        let (issues, inverse) = (class.n_issues as f64, class.n_inverse_issues as f64);
        let got = [issues, inverse, class.noise, class.inverse_noise, class.quality];
        assert_close(&format!("{name}, class {}", class.class), &got, &row[1..], RATE_TOLERANCE);
    }
}

fn check_overlaps<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, method: &str, expected: &Value) {
    let direction = match method {
        "overlapping_classes" => OverlapDirection::Symmetric,
        "overlapping_classes_asymmetric" => OverlapDirection::Asymmetric,
        other => panic!("{name}: nothing compares {other}"),
    };
    let joint = learning.calibrated_joint();
    let all = overlapping_classes(joint.view(), direction, usize::MAX);
    let rows: Vec<Vec<f64>> = expected["rows"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(rows.len(), all.len().min(60), "{name}");
    let best = overlapping_classes(joint.view(), direction, rows.len());
    assert_eq!(best, all[..rows.len()], "{name}");
    for (row, at_same_place) in rows.iter().zip(best) {
        // pandas leaves ties to chance, so pairs are looked up and the values of each place compared.
        let pair = all.iter().find(|pair| (pair.class_a as f64, pair.class_b as f64) == (row[0], row[1])).unwrap();
        assert_close(name, &[pair.n_items as f64, pair.probability], &row[2..], RATE_TOLERANCE);
        assert_close(name, &[at_same_place.probability], &row[3..], RATE_TOLERANCE);
    }
    let summary = learning.health_summary(direction, rows.len());
    assert_eq!(summary.overlaps, all[..rows.len()], "{name}");
    assert_eq!(summary.classes, rank_classes_by_label_quality(joint.view()), "{name}");
}

fn check_ranked<P: Probability>(learning: &ConfidentLearning<'_, P>, name: &str, expected: &Value) {
    for (key, expected) in expected.as_object().unwrap() {
        let (filter, score) = key.split_once('|').unwrap();
        let filter: Filter = filter.parse().unwrap();
        let score: QualityScore = score.parse().unwrap();
        let options = FilterOptions::default();
        let issues = learning.issues(filter, &options, score, Adjustment::None).unwrap();
        assert_eq!(issues, indices(expected), "{name} {key}");
        let flags = learning.flags(filter, &options).unwrap();
        let scores = learning.scores(score, Adjustment::None).unwrap();
        assert_eq!(order_by_score(&flags, &scores), issues, "{name} {key}");
    }
}

fn check_masks<P: Probability>(case: &Case, learning: &ConfidentLearning<'_, P>) {
    let masks = npy::read(&format!("{}/masks.npy", case.name));
    let names = case.expected["mask_names"].as_array().unwrap();
    assert_eq!((masks.nrows(), names.len()), (13, 13), "{}", case.name);
    for (expected, name) in masks.rows().into_iter().zip(names) {
        let name = name.as_str().unwrap();
        let (filter, option) = name.split_once('|').unwrap_or((name, ""));
        let mut options = FilterOptions::default();
        match option {
            "" => {}
            "frac_noise=0.5" => options.frac_noise = 0.5,
            "min_examples_per_class=5" => options.min_examples_per_class = 5,
            other => panic!("unknown option {other}"),
        }
        let flags = learning.flags(filter.parse().unwrap(), &options).unwrap();
        let expected: Vec<bool> = expected.iter().map(|&flag| 0.5 < flag).collect();
        assert_eq!(flags, expected, "{} {name}", case.name);
    }
}

#[test]
fn options_and_ensembles_equal_cleanlab() {
    let case = case("options_and_ensemble");
    in_every_form!(check_options, &case, &case.probabilities);
    // Both models side by side, so that they come in the same form.
    let second = npy::read("options_and_ensemble/pred_probs_2.npy");
    let models = ndarray::concatenate(Axis(1), &[case.probabilities.view(), second.view()]).unwrap();
    in_every_form!(check_ensemble, &case, &models);
}

fn check_options<P: Probability>(case: &Case, probabilities: ArrayView2<'_, P>) {
    let expected = &case.expected;
    let of_thresholds = |thresholds: Vec<f64>| {
        let options = LearningOptions { thresholds: Some(thresholds), ..LearningOptions::default() };
        ConfidentLearning::new(&case.labels, probabilities, &options).unwrap()
    };
    let custom = of_thresholds(numbers(&expected["thresholds_in"]));
    let custom_joint = custom.joint().counts;
    let learning = ConfidentLearning::new(&case.labels, probabilities, &LearningOptions::default()).unwrap();
    let to_remove: Vec<u64> =
        numbers(&expected["num_to_remove_per_class_in"]).iter().map(|&number| number as u64).collect();
    for (key, expected) in expected.as_object().unwrap() {
        let (kind, filter) = key.split_once('|').unwrap_or((key, ""));
        let flags = |learning: &ConfidentLearning<'_, P>, options| {
            flagged(&learning.flags(filter.parse().unwrap_or_default(), &options).unwrap())
        };
        let default = FilterOptions::default();
        match kind {
            "note" | "thresholds_in" | "num_to_remove_per_class_in" => {}
            "n" => assert_eq!(learning.n_samples() as u64, expected.as_u64().unwrap()),
            "K" => assert_eq!(learning.n_classes() as u64, expected.as_u64().unwrap()),
            "confident_joint_custom_thresholds" => assert_eq!(custom_joint, counts(expected)),
            "confident_joint_thresholds_all_above_1" => {
                assert_eq!(of_thresholds(vec![1.1; 4]).joint().counts, counts(expected));
            }
            "confident_joint_custom_thresholds_calibrated" => {
                assert_eq!(custom.calibrated_joint(), counts(expected));
            }
            "indices_custom_joint" => {
                let joint = custom.calibrated_joint();
                let options = FilterOptions { joint: Some(joint.view()), ..default };
                assert_eq!(flags(&learning, options), indices(expected), "{key}");
                assert_eq!(flags(&custom, default), indices(expected), "{key}");
            }
            "indices_num_to_remove" => {
                let options = FilterOptions { num_to_remove_per_class: Some(&to_remove), ..default };
                assert_eq!(flags(&learning, options), indices(expected), "{key}");
            }
            "off_diagonal_custom" => {
                let calibrated = calibrated_joint(custom_joint.view(), &case.labels).unwrap();
                assert_eq!(off_diagonal(calibrated.view()), expected.as_u64().unwrap());
            }
            "argmax_confusion_indices" => {
                let confusion = calibrated_joint(learning.arg_max_confusion().view(), &case.labels).unwrap();
                let options = FilterOptions { joint: Some(confusion.view()), ..default };
                assert_eq!(flags(&learning, options), indices(expected));
            }
            // Compared by check_ensemble.
            "ensemble" => {}
            other => panic!("nothing compares {other}"),
        }
    }
}

fn check_ensemble<P: Probability>(case: &Case, models: ArrayView2<'_, P>) {
    let (first, second) = models.split_at(Axis(1), models.ncols() / 2);
    let expected = &case.expected["ensemble"];
    assert_eq!(expected.as_object().unwrap().len(), 12);
    for (key, expected) in expected.as_object().unwrap() {
        let parts: Vec<&str> = key.split('|').collect();
        let [weights, score, adjusted] = parts[..] else { panic!("{key}") };
        let weights = match weights {
            "uniform" => EnsembleWeights::Uniform,
            "accuracy" => EnsembleWeights::Accuracy,
            "log_loss_search" => EnsembleWeights::LogLossSearch,
            other => panic!("unknown weights {other}"),
        };
        let adjustment = if adjusted == "True" { Adjustment::Thresholds } else { Adjustment::None };
        let got =
            ensemble_scores(&case.labels, &[first, second], score.parse().unwrap(), adjustment, &weights).unwrap();
        assert_close(key, &got, &numbers(expected), SCORE_TOLERANCE);
    }
}

/// Human verdicts on the labels of MNIST's test images.
///
/// The fixture keeps the probabilities of the rows in which the given label has less than 0.99 or another class more
/// than 0.01. Elsewhere only the given label can be confident, so the rest of the row is spread evenly over the others.
#[test]
fn wrong_labels_of_mnist_are_found_as_people_confirm_them() {
    let labels = labels("mnist_verdicts");
    let own = npy::read("mnist_verdicts/self_confidence.npy");
    let mut probabilities = Array2::from_shape_fn((labels.len(), 10), |(row, class)| {
        let own = own[[0, row]];
        if labels[row] as usize == class { own } else { (1.0 - own) / 9.0 }
    });
    let kept = npy::read("mnist_verdicts/pred_probs.npy");
    for (&row, entries) in npy::read("mnist_verdicts/rows.npy").iter().zip(kept.rows()) {
        probabilities.row_mut(row as usize).assign(&entries);
    }
    let text = std::fs::read_to_string(npy::fixture("mnist_verdicts/verdicts.json")).unwrap();
    let verdicts: Value = serde_json::from_str(&text).unwrap();
    let confirmed = indices(&verdicts["confirmed_errors"]);
    assert_eq!(confirmed.len(), 15);
    let case = Case { name: "mnist_verdicts", labels, probabilities: Array2::default((0, 0)), expected: verdicts };
    in_every_form!(check_verdicts, &case, &probabilities);
}

fn check_verdicts<P: Probability>(case: &Case, probabilities: ArrayView2<'_, P>) {
    let confirmed = indices(&case.expected["confirmed_errors"]);
    let learning = ConfidentLearning::new(&case.labels, probabilities, &LearningOptions::default()).unwrap();
    let flags = |filter| flagged(&learning.flags(filter, &FilterOptions::default()).unwrap());
    let counts = [Filter::PruneByNoiseRate, Filter::PruneByClass, Filter::Both, Filter::ConfidentLearning]
        .map(|filter| flags(filter).len());
    assert_eq!(counts, [15; 4]);
    assert_eq!(learning.num_label_issues(CountMethod::OffDiagonal), 15);
    assert_eq!(flags(Filter::PredictedNeqGiven).len(), 87);
    let lowest = lowest(learning.self_confidence(), 100);
    assert!(confirmed.iter().all(|row| lowest.contains(row)), "{lowest:?}");
    let n_confirmed = flags(Filter::PruneByNoiseRate).iter().filter(|row| confirmed.contains(row)).count();
    assert_eq!(n_confirmed, 7);
}
