//! Rows with labels of several annotators.

use serde_json::{Value as Json, json};
use tamis_labels::annotators::{self, Calibration};

use super::{Found, needed, numbers, probabilities, score, whole, worst};
use crate::args::LabelsArgs;

/// Infers the consensus of labels `(n, annotators)`, -1 for none, with the help of probabilities `(n, K)`.
pub(super) fn judge(args: &LabelsArgs) -> anyhow::Result<Found> {
    let path = needed(args, "--labels", &args.labels)?;
    let labels = whole(path)?;
    if let Some(((row, column), number)) = labels.indexed_iter().find(|(_, number)| i32::try_from(**number).is_err()) {
        let path = path.display();
        anyhow::bail!(
            "labels of {path}: row {row}, column {column} is {number}, expected the number of a class, or -1"
        );
    }
    let labels = labels.mapv(|it| i32::try_from(it).unwrap_or(-1));
    let probabilities = probabilities(needed(args, "--pred-probs", &args.pred_probs)?)?;
    let calibrations =
        [("none", Calibration::None), ("cleanlab", Calibration::Cleanlab), ("by_class", Calibration::ByClass)];
    let (name, calibration) = score(args, &calibrations)?;
    let models = [probabilities.view()];
    let found = annotators::consensus(labels.view(), &models, calibration)?;
    let active = annotators::active_learning_scores(labels.view(), &models, &[])?;
    let people: Vec<Json> = found
        .annotators
        .iter()
        .map(|it| {
            json!({
                "quality": it.quality,
                "agreement_with_consensus": it.agreement_with_consensus,
                "worst_class": it.worst_class,
                "labels": it.n_labels,
            })
        })
        .collect();
    let least = found.annotators.iter().enumerate().min_by(|a, b| a.1.quality.total_cmp(&b.1.quality));
    let note = least.map(|(column, it)| format!("the least reliable annotator is column {column}: {:.4}", it.quality));
    Ok(Found {
        n: labels.nrows(),
        worst: worst(&found.quality),
        notes: note.into_iter().collect(),
        json: json!({
            "calibration": name,
            "consensus": found.labels,
            "consensus_quality": numbers(&found.quality),
            "agreement": numbers(&found.agreement),
            "annotations": found.n_annotations,
            "label_quality": found.label_quality.rows().into_iter().map(numbers).collect::<Vec<_>>(),
            "annotators": people,
            "active_learning": numbers(&active.labeled),
        }),
    })
}
