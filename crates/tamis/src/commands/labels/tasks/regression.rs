//! Labels that are numbers.

use serde_json::json;
use tamis_labels::regression::{outre_scores, residual_scores};

use super::{Found, needed, numbers, open, score, with_path, worst};
use crate::args::LabelsArgs;

/// How labels are scored.
type Score = fn(&[f64], &[f64]) -> Result<Vec<f64>, tamis_labels::Error>;

/// Scores labels by predictions of a model that has not seen them.
pub(super) fn judge(args: &LabelsArgs) -> anyhow::Result<Found> {
    let (name, score) = score(args, &[("outre", outre_scores as Score), ("residual", residual_scores as Score)])?;
    let [labels, predictions] =
        [("--labels", &args.labels), ("--predictions", &args.predictions)].map(|(flag, path)| {
            let path = needed(args, flag, path)?;
            with_path(path, open(path)?.numbers())
        });
    let (labels, predictions) = (labels?, predictions?);
    let scores = score(&labels, &predictions)?;
    Ok(Found {
        n: scores.len(),
        worst: worst(&scores),
        notes: vec![format!("scored by {name}: low is suspicious")],
        json: json!({"score": name, "label_quality": numbers(&scores)}),
    })
}
