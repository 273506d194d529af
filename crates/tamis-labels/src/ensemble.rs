//! Label quality scores from several models.

use ndarray::ArrayView2;

use crate::table::{Block, Table};
use crate::{Adjustment, ConfidentLearning, Error, LearningOptions, Probability, QualityScore};

/// Temperatures tried by [`EnsembleWeights::LogLossSearch`] (cleanlab 2.9.0).
const TEMPERATURES: [f64; 8] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 2e2];

/// Least probability when the loss of one model is computed (cleanlab 2.9.0).
const MIN_PROBABILITY: f64 = 1e-6;

/// How the scores of the models are weighted.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum EnsembleWeights {
    /// All alike.
    Uniform,
    /// By the share of the items whose most probable class is the given one; cleanlab's default.
    #[default]
    Accuracy,
    /// By exp(-T · log loss), T being the one of 1e-4, 1e-3, …, 100, 200 for which the weighted mean of the
    /// probabilities has the least log loss.
    LogLossSearch,
    /// By these numbers as they are, one per model.
    Custom(Vec<f64>),
}

/// Scores every item by the weighted mean of the label quality scores that each model gives it; **low is suspicious**.
///
/// `models` holds one array of probabilities `(n, n_classes)` per model. **Scores** are averaged, not probabilities
/// (cleanlab 2.9.0, `rank`). Time and memory are those of [`ConfidentLearning`] per model.
///
/// # Errors
/// When there is no model, an array does not fit the labels or holds illegal values, the score cannot be adjusted, or
/// there is not one custom weight per model.
pub fn ensemble_scores<P: Probability>(
    labels: &[u32],
    models: &[ArrayView2<'_, P>],
    score: QualityScore,
    adjustment: Adjustment,
    weights: &EnsembleWeights,
) -> Result<Vec<f64>, Error> {
    if models.is_empty() {
        return Err(Error::TooFew { what: "ensemble", unit: "models", expected: 1, got: 0 });
    }
    let options = LearningOptions::default();
    let models: Result<Vec<ConfidentLearning<'_, P>>, Error> =
        models.iter().map(|&probabilities| ConfidentLearning::new(labels, probabilities, &options)).collect();
    let models = models?;
    let weights = match weights {
        EnsembleWeights::Uniform => vec![1.0 / models.len() as f64; models.len()],
        EnsembleWeights::Accuracy => normalized(models.iter().map(ConfidentLearning::accuracy).collect()),
        EnsembleWeights::LogLossSearch => search_weights(&models),
        EnsembleWeights::Custom(weights) => {
            crate::input::check_length("ensemble weights", models.len(), weights.len())?;
            weights.clone()
        }
    };
    let mut scores = vec![0.0; labels.len()];
    for (model, weight) in models.iter().zip(weights) {
        for (sum, score) in scores.iter_mut().zip(model.scores(score, adjustment)?) {
            *sum += weight * score;
        }
    }
    Ok(scores)
}

fn normalized(weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Weights of the temperature whose mean probabilities have the least log loss; the first of equal ones.
fn search_weights<P: Probability>(models: &[ConfidentLearning<'_, P>]) -> Vec<f64> {
    let losses: Vec<f64> = models.iter().map(clipped_log_loss).collect();
    let mut best = (f64::INFINITY, vec![1.0 / models.len() as f64; models.len()]);
    for temperature in TEMPERATURES {
        let weights = normalized(losses.iter().map(|loss| (-temperature * loss).exp()).collect());
        let n_samples = models[0].n_samples();
        let mean = |row: usize| models.iter().zip(&weights).map(|(model, weight)| weight * model.own[row]).sum();
        let loss = log_loss((0..n_samples).map(mean));
        if loss < best.0 {
            best = (loss, weights);
        }
    }
    best.1
}

/// Log loss of one model whose probabilities are raised to [`MIN_PROBABILITY`] and divided by the new sum of their row.
fn clipped_log_loss<P: Probability>(model: &ConfidentLearning<'_, P>) -> f64 {
    let totals = clipped_totals(&model.table);
    log_loss(model.own.iter().zip(totals).map(|(own, total)| own.max(MIN_PROBABILITY) / total))
}

fn clipped_totals<P: Probability>(table: &Table<'_, P>) -> Vec<f64> {
    fn add<Q: Probability>(rows: &[Q], n_classes: usize, totals: &mut Vec<f64>) {
        totals.extend(rows.chunks_exact(n_classes).map(|row| {
            let raised = row.iter().map(|&value| -> f64 { value.into() }).map(|value| value.max(MIN_PROBABILITY));
            raised.sum::<f64>()
        }));
    }
    let (n, step) = (table.n_samples(), table.block_rows());
    let mut totals = Vec::with_capacity(n);
    for first in (0..n).step_by(step) {
        table.visit(first..(first + step).min(n), |rows| match rows {
            Block::Given(rows) => add(rows, table.n_classes(), &mut totals),
            Block::Renormalized(rows) => add(rows, table.n_classes(), &mut totals),
        });
    }
    totals
}

/// Mean of -ln p over the probabilities of the given labels, which are kept off 0 and 1 as scikit-learn 1.9 does.
fn log_loss(own: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = own.len() as f64;
    own.map(|p| -p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn custom_weights_are_taken_as_they_are() {
        let models = [array![[0.75_f64, 0.25]], array![[0.5, 0.5]]];
        let views = [models[0].view(), models[1].view()];
        let score = |weights| {
            let weights = EnsembleWeights::Custom(weights);
            ensemble_scores(&[0], &views, QualityScore::SelfConfidence, Adjustment::None, &weights)
        };
        assert_eq!(score(vec![2.0, 1.0]).unwrap(), [2.0]);
        let message = score(vec![2.0]).unwrap_err().to_string();
        assert_eq!(message, "ensemble weights has 1 entries, expected 2");
    }
}
