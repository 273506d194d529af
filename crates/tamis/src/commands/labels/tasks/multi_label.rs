//! Rows with any number of classes.

use serde_json::json;
use tamis_labels::multilabel::{self, Aggregation, ClassScore, Filter};

use super::{Found, needed, numbers, probabilities, score, whole};
use crate::args::LabelsArgs;

/// Judges labels `(n, K)` of 0 and 1 by probabilities `(n, K)`.
pub(super) fn judge(args: &LabelsArgs) -> anyhow::Result<Found> {
    let path = needed(args, "--labels", &args.labels)?;
    let labels = whole(path)?;
    if let Some(((row, column), number)) = labels.indexed_iter().find(|(_, number)| !(0..=1).contains(*number)) {
        let path = path.display();
        anyhow::bail!(
            "labels of {path}: row {row}, column {column} is {number}, expected 0, or 1 for a class that is given"
        );
    }
    let labels = labels.mapv(|it| it == 1);
    let probabilities = probabilities(needed(args, "--pred-probs", &args.pred_probs)?)?;
    let scores = [
        ("self_confidence", ClassScore::SelfConfidence),
        ("self_confidence_adjusted", ClassScore::SelfConfidenceAdjusted),
        ("normalized_margin", ClassScore::NormalizedMargin),
        ("normalized_margin_adjusted", ClassScore::NormalizedMarginAdjusted),
        ("confidence_weighted_entropy", ClassScore::ConfidenceWeightedEntropy),
    ];
    let (name, score) = score(args, &scores)?;
    let (labels, probabilities) = (labels.view(), probabilities.view());
    let quality = multilabel::item_scores(labels, probabilities, score, Aggregation::MovingAverage)?;
    let issues = multilabel::ranked_issues(labels, probabilities, Filter::PruneByNoiseRate, score)?;
    let flags = multilabel::class_flags(labels, probabilities, Filter::PruneByNoiseRate)?;
    let classes: Vec<Vec<usize>> = issues
        .iter()
        .map(|&row| flags.row(row).iter().enumerate().filter_map(|(class, &flag)| flag.then_some(class)).collect())
        .collect();
    let by_class = multilabel::rank_classes(labels, probabilities)?;
    let by_class: Vec<_> = by_class
        .iter()
        .map(|it| json!({"class": it.class, "wrongly_given": it.n_given, "missing": it.n_missing, "quality": it.quality}))
        .collect();
    let health = multilabel::health(labels, probabilities)?;
    let named = |(&row, classes): (&usize, &Vec<usize>)| (format!("row {row}, classes {classes:?}"), quality[row]);
    Ok(Found {
        n: labels.nrows(),
        worst: issues.iter().zip(&classes).map(named).collect(),
        notes: vec![format!("{} rows have a label that is probably wrong; health {health:.4}", issues.len())],
        json: json!({
            "k": labels.ncols(),
            "score": name,
            "issues": issues,
            "classes_of_issues": classes,
            "label_quality": numbers(&quality),
            "classes": by_class,
            "health": health,
        }),
    })
}
