//! Temperatures, as documented at [`super::Calibration`].

use ndarray::{Array2, ArrayView1, s};

use super::vote::arg_max;

/// Temperatures tried first (cleanlab 2.9.0).
const GRID: [f64; 9] = [0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0];

/// Steps from the best temperature to its neighbor on either side (cleanlab 2.9.0).
const N_STEPS: u32 = 4;

/// Least probability whose logarithm is taken (cleanlab 2.9.0).
const MIN_PROBABILITY: f64 = 1e-30;

/// The temperature at which the model comes nearest to the distributions `(n, n_classes)` in cross-entropy.
pub(super) fn temperature(probabilities: &Array2<f64>, distributions: &Array2<f64>) -> f64 {
    let best_of = |candidates: &[f64]| {
        let losses = candidates.iter().map(|&candidate| -cross_entropy(probabilities, distributions, candidate));
        arg_max(losses)
    };
    let best = best_of(&GRID);
    let mut candidates = Vec::new();
    let mut steps = |from: f64, to: f64| {
        candidates.extend((0..N_STEPS).map(|step| from + (to - from) * f64::from(step) / f64::from(N_STEPS)));
    };
    if 0 < best {
        steps(GRID[best - 1], GRID[best]);
    }
    if best + 1 < GRID.len() {
        steps(GRID[best], GRID[best + 1]);
    }
    candidates[best_of(&candidates)]
}

/// The probabilities to the power of `1 / temperature`, each row scaled to sum 1.
pub(super) fn calibrated(probabilities: &Array2<f64>, temperature: f64) -> Array2<f64> {
    let mut scaled = probabilities.clone();
    for mut row in scaled.rows_mut() {
        let powers = powers(row.view(), temperature);
        row.assign(&powers);
    }
    scaled
}

fn powers(row: ArrayView1<'_, f64>, temperature: f64) -> ndarray::Array1<f64> {
    let logits = row.mapv(|value| value.max(MIN_PROBABILITY).ln() / temperature);
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers = logits.mapv(|value| (value - largest).exp());
    let total = powers.sum();
    powers / total
}

fn cross_entropy(probabilities: &Array2<f64>, distributions: &Array2<f64>, temperature: f64) -> f64 {
    let mut total = 0.0;
    for (row, shares) in distributions.rows().into_iter().enumerate() {
        let logits = probabilities.slice(s![row, ..]).mapv(|value| value.max(MIN_PROBABILITY).ln() / temperature);
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_total = largest + logits.mapv(|value| (value - largest).exp()).sum().ln();
        total += shares.iter().zip(&logits).map(|(share, logit)| share * (log_total - logit)).sum::<f64>();
    }
    total
}
