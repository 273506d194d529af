//! Equality with cleanlab 2.9.0 where an item has several classes.

use ndarray::Array2;
use serde_json::Value;
use tamis_labels::multilabel::{
    Aggregation, ClassScore, Filter, class_flags, class_scores, common_issues, health, issues, item_scores, joint,
    rank_classes, ranked_issues,
};

use crate::npy;
use crate::tasks::{Expected, assert_close, indices, probabilities};

const FILTERS: [(&str, Filter); 7] = [
    ("prune_by_noise_rate", Filter::PruneByNoiseRate),
    ("prune_by_class", Filter::PruneByClass),
    ("both", Filter::Both),
    ("confident_learning", Filter::ConfidentLearning),
    ("predicted_neq_given", Filter::PredictedNeqGiven),
    ("low_normalized_margin", Filter::LowNormalizedMargin),
    ("low_self_confidence", Filter::LowSelfConfidence),
];

fn flat(value: &Value) -> Vec<f64> {
    match value.as_array() {
        None => vec![value.as_f64().unwrap()],
        Some(entries) => entries.iter().flat_map(flat).collect(),
    }
}

/// Columns and rows of a table; a truth value reads as 0 or 1.
fn table(expected: &mut Expected, key: &str, columns: &[&str]) -> Vec<Vec<f64>> {
    assert_eq!(*expected.value(&format!("{key}/columns")), Value::from(columns));
    let rows = expected.value(&format!("{key}/rows")).as_array().unwrap();
    let number = |entry: &Value| entry.as_bool().map_or_else(|| entry.as_f64().unwrap(), f64::from);
    rows.iter().map(|row| row.as_array().unwrap().iter().map(number).collect()).collect()
}

#[test]
fn multilabel_outputs_equal_cleanlab() {
    let mut expected = Expected::read("multilabel");
    let labels: Array2<bool> = npy::read("multilabel/labels_onehot.npy").mapv(|label| 0.5 < label);
    let probabilities = probabilities("multilabel", "pred_probs.npy");
    let (labels, probabilities) = (labels.view(), probabilities.view());

    let found = joint(labels, probabilities).unwrap();
    let counts = |counts: &ndarray::Array3<u64>| counts.iter().map(|&count| count as f64).collect::<Vec<_>>();
    assert_eq!(counts(&found.counts), flat(expected.value("confident_joint_uncalibrated")));
    assert_eq!(counts(&found.calibrated), flat(expected.value("confident_joint_calibrated")));
    assert_close("thresholds", found.thresholds.as_slice().unwrap(), &flat(expected.value("thresholds")));

    for (key, score, aggregation) in [
        ("self_confidence|adjust=False|ema0.8", ClassScore::SelfConfidence, Aggregation::MovingAverage),
        ("self_confidence|softmin0.1", ClassScore::SelfConfidence, Aggregation::Softmin),
        ("self_confidence|adjust=True|ema0.8", ClassScore::SelfConfidenceAdjusted, Aggregation::MovingAverage),
        ("normalized_margin|adjust=False|ema0.8", ClassScore::NormalizedMargin, Aggregation::MovingAverage),
        ("normalized_margin|adjust=True|ema0.8", ClassScore::NormalizedMarginAdjusted, Aggregation::MovingAverage),
        (
            "confidence_weighted_entropy|adjust=False|ema0.8",
            ClassScore::ConfidenceWeightedEntropy,
            Aggregation::MovingAverage,
        ),
    ] {
        let scores = item_scores(labels, probabilities, score, aggregation).unwrap();
        assert_close(key, &scores, &expected.numbers(&format!("scores/{key}")));
    }
    let scores = class_scores(labels, probabilities, ClassScore::SelfConfidence).unwrap();
    let key = "scores_per_class_self_confidence";
    assert_close(key, scores.as_slice().unwrap(), &flat(expected.value(key)));

    for (key, filter) in FILTERS {
        let rows = issues(labels, probabilities, filter).unwrap();
        assert_eq!(rows, indices(expected.value(&format!("issues/{key}"))), "{key}");
    }
    for (key, filter) in &FILTERS[..5] {
        let flags = class_flags(labels, probabilities, *filter).unwrap();
        for (class, rows) in expected.value(&format!("issues_per_class/{key}")).as_array().unwrap().iter().enumerate() {
            let got: Vec<usize> = (0..flags.nrows()).filter(|&row| flags[[row, class]]).collect();
            assert_eq!(got, indices(rows), "{key}, class {class}");
        }
    }
    let ranked = ranked_issues(labels, probabilities, Filter::PruneByNoiseRate, ClassScore::SelfConfidence).unwrap();
    assert_eq!(ranked, indices(expected.value("ranked_prune_by_noise_rate_self_confidence")));
    let n_issues = issues(labels, probabilities, Filter::ConfidentLearning).unwrap().len();
    assert_eq!(Value::from(n_issues), *expected.value("num_label_issues"));
    let health = health(labels, probabilities).unwrap();
    assert_close("health", &[health], &flat(expected.value("overall_multilabel_health_score")));
    compare_tables(&mut expected, labels, probabilities);
    expected.finish();
}

fn compare_tables(
    expected: &mut Expected,
    labels: ndarray::ArrayView2<'_, bool>,
    probabilities: ndarray::ArrayView2<'_, f32>,
) {
    let columns = ["Class Index", "In Given Label", "In Suggested Label", "Num Examples", "Issue Probability"];
    let mut rows = table(expected, "common_multilabel_issues", &columns);
    let key = |row: &Vec<f64>| (row[0] as usize, row[2] as usize);
    rows.sort_by_key(key);
    let common = common_issues(labels, probabilities).unwrap();
    assert!(common.is_sorted_by(|a, b| b.n_issues <= a.n_issues));
    let mut got: Vec<Vec<f64>> = common
        .iter()
        .map(|issue| {
            let given = f64::from(issue.is_given);
            vec![issue.class as f64, given, 1.0 - given, issue.n_issues as f64, issue.share]
        })
        .collect();
    got.sort_by_key(key);
    assert_close("common issues", &got.concat(), &rows.concat());

    let columns = [
        "Class Index",
        "Label Issues",
        "Inverse Label Issues",
        "Label Noise",
        "Inverse Label Noise",
        "Label Quality Score",
    ];
    let rows = table(expected, "rank_classes_by_multilabel_quality", &columns);
    let got: Vec<Vec<f64>> = rank_classes(labels, probabilities)
        .unwrap()
        .iter()
        .map(|class| {
            let counts = [class.class, class.n_given, class.n_missing].map(|count| count as f64);
            [&counts[..], &[class.given_share, class.missing_share, class.quality]].concat()
        })
        .collect();
    assert_close("classes", &got.concat(), &rows.concat());
}
