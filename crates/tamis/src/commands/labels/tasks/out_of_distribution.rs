//! Rows that belong to none of the classes, or lie far from all others.

use ndarray::{Array2, ArrayView1};
use serde_json::json;
use tamis_core::Progress;
use tamis_labels::out_of_distribution::{ProbabilityScore, distance_scale, distance_scores, probability_scores};

use super::{Found, classes, needed, numbers, probabilities, score, shapley, worst};
use crate::args::LabelsArgs;

/// Scores rows by probabilities, adjusted by the thresholds of the labels if there are any; or by vectors, by the cosine
/// distances to the 10 nearest others.
pub(super) fn judge(args: &LabelsArgs, progress: &dyn Progress) -> anyhow::Result<Found> {
    let (name, scores) = if let Some(path) = &args.vectors {
        let (rows, found) = shapley::neighbors(args, path, progress)?;
        let is_equal =
            |a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let distances = Array2::from_shape_fn(found.ids.dim(), |(row, place)| {
            let neighbor = found.ids[[row, place]] as usize;
            // The cosine of equal rows is 1 but for rounding.
            if is_equal(rows.row(row), rows.row(neighbor)) {
                return 0.0;
            }
            (1.0 - f64::from(found.cosine[[row, place]])).max(0.0)
        });
        ("distance", distance_scores(distances.view(), distance_scale(distances.view())?)?)
    } else {
        let kinds = [
            ("entropy", ProbabilityScore::Entropy),
            ("least_confidence", ProbabilityScore::LeastConfidence),
            ("gen", ProbabilityScore::Gen),
        ];
        let (name, kind) = score(args, &kinds)?;
        let probabilities = probabilities(needed(args, "--pred-probs or --vectors", &args.pred_probs)?)?;
        let labels = args.labels.as_deref().map(classes).transpose()?;
        (name, probability_scores(probabilities.view(), labels.as_deref(), kind)?)
    };
    Ok(Found {
        n: scores.len(),
        worst: worst(&scores),
        notes: vec![format!("scored by {name}: low is out of distribution")],
        json: json!({"score": name, "scores": numbers(&scores)}),
    })
}
