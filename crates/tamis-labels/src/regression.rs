//! Errors in numeric labels, from predictions of a model that has not seen them: **low is suspicious**.
//!
//! Source: Zhou et al., "Detecting Errors in Numerical Data via any Regression Model" (2023) for the setting; formulas
//! and constants are those of cleanlab 2.9.0.

use rayon::prelude::*;

use crate::Error;
use crate::input::check_length;

/// How much more the residual counts than the label itself (cleanlab 2.9.0).
const RESIDUAL_WEIGHT: f64 = 5.0;

/// Scores each item by `exp(-|prediction - label|)`, in (0, 1]; it depends on the unit of the labels.
///
/// # Errors
/// When the lengths differ or a value is not finite.
pub fn residual_scores(labels: &[f64], predictions: &[f64]) -> Result<Vec<f64>, Error> {
    check(labels, predictions)?;
    Ok(labels.iter().zip(predictions).map(|(label, prediction)| (-(prediction - label).abs()).exp()).collect())
}

/// Scores each item by how far it lies from the others in the plane of label and residual, in [0, 1].
///
/// Both axes are standardized (mean 0, standard deviation 1 with divisor n; an axis that is constant stays at 0), the
/// residual counts five times. The score is `exp(-mean / median)` of the mean Euclidean distance to the (n - 1) / 2
/// nearest others (rounded down), the median being over all items; it does not depend on the unit of the labels.
/// Distances are not kept: O(n²) time over all threads, O(n) memory per thread.
///
/// # Errors
/// When the lengths differ, there are fewer than three items, or a value is not finite.
pub fn outre_scores(labels: &[f64], predictions: &[f64]) -> Result<Vec<f64>, Error> {
    check(labels, predictions)?;
    let n_samples = labels.len();
    if n_samples < 3 {
        return Err(Error::TooFew { what: "labels", unit: "entries", expected: 3, got: n_samples });
    }
    let residuals: Vec<f64> = labels.iter().zip(predictions).map(|(label, prediction)| prediction - label).collect();
    let x = standardized(labels);
    let y: Vec<f64> = standardized(&residuals).iter().map(|value| RESIDUAL_WEIGHT * value).collect();
    let n_neighbors = (n_samples - 1) / 2;
    let means: Vec<f64> = (0..n_samples)
        .into_par_iter()
        .map_init(
            || Vec::with_capacity(n_samples),
            |distances, row| {
                distances.clear();
                let others = (0..n_samples).filter(|&other| other != row);
                distances.extend(others.map(|other| (x[row] - x[other]).hypot(y[row] - y[other])));
                distances.select_nth_unstable_by(n_neighbors - 1, f64::total_cmp);
                distances[..n_neighbors].iter().sum::<f64>() / n_neighbors as f64
            },
        )
        .collect();
    let mut sorted = means.clone();
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[(n_samples - 1) / 2], sorted[n_samples / 2]);
    Ok(means.iter().map(|mean| (-mean / median.max(f64::MIN_POSITIVE)).exp()).collect())
}

/// The values less their mean, over their standard deviation; zeros when they are all equal.
fn standardized(values: &[f64]) -> Vec<f64> {
    if values.iter().all(|value| value.total_cmp(&values[0]).is_eq()) {
        return vec![0.0; values.len()];
    }
    let n_samples = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n_samples;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n_samples;
    values.iter().map(|value| (value - mean) / variance.sqrt()).collect()
}

fn check(labels: &[f64], predictions: &[f64]) -> Result<(), Error> {
    check_length("predictions", labels.len(), predictions.len())?;
    for (what, values) in [("labels", labels), ("predictions", predictions)] {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let (expected, got) = ("a finite number", values[row]);
            return Err(Error::ValueOutOfRange { what, row, column: 0, expected, got });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_item_with_the_odd_residual_is_the_most_suspicious() {
        let labels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let predictions = [1.1, 2.0, 2.9, 9.0, 5.1, 6.0, 6.9];
        for scores in [residual_scores(&labels, &predictions), outre_scores(&labels, &predictions)] {
            let scores = scores.unwrap();
            assert!((0..7).all(|row| row == 3 || scores[3] < scores[row]), "{scores:?}");
        }
    }

    #[test]
    fn constant_labels_with_constant_residuals_are_all_alike() {
        let scores = outre_scores(&[1.0; 8], &[1.5; 8]).unwrap();
        assert_eq!(scores, [1.0; 8]);
    }

    #[test]
    fn bad_values_are_named() {
        let message = |labels: &[f64], predictions: &[f64]| {
            let scores = outre_scores(labels, predictions);
            scores.unwrap_err().to_string()
        };
        assert_eq!(message(&[1.0], &[]), "predictions has 0 entries, expected 1");
        assert_eq!(message(&[1.0; 2], &[1.0; 2]), "labels has 2 entries, expected at least 3");
        let nan = "labels at row 1, column 0 is NaN, expected a finite number";
        assert_eq!(message(&[1.0, f64::NAN], &[1.0; 2]), nan);
    }
}
