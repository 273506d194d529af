//! A Gaussian per class with one covariance for all (linear discriminant analysis), each family judged without itself.
//!
//! With whitened vectors `z` and class means `m` the log density of class `k` is `-|z - m_k|² / 2` up to what all
//! classes share. Leaving a family out moves the means of its classes and takes a rank-one term per class off the
//! covariance; both are closed forms (Sherman, Morrison and Woodbury), so one fit serves all samples.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::Grouping;
use super::family::LeftOut;
use super::linear::{cholesky, invert_lower};

/// Columns of one panel of the covariance, the unit of parallel work: it must not depend on the number of threads.
const PANEL: usize = 64;

/// Rows whose products are made at once: at 384 dimensions 1.5 MiB, about one core's second-level cache.
const BLOCK_ROWS: usize = 1024;

/// Blocks whose panels are summed by one task: 2^18 rows.
const BLOCKS_PER_SUM: usize = 256;

/// What is added to the diagonal relative to the mean variance, so that equal vectors have a covariance to divide by.
const RIDGE: f64 = 1e-9;

/// Class means and shared covariance of weighted, labeled vectors, in the coordinates that make the covariance one.
#[derive(Debug)]
pub(super) struct Gaussian {
    /// Weighted mean of all labeled vectors, length d.
    center: Vec<f32>,
    /// `(d, d)`, lower triangle; row `j` makes whitened coordinate `j`.
    whitening: Array2<f32>,
    /// Whitened class means `(n_classes, d)`; zeros for classes without samples.
    means: Array2<f32>,
    /// Half the square norm of each whitened mean.
    half_norms: Vec<f32>,
    /// Weight of the samples of each class.
    class_weights: Vec<f64>,
    /// Samples of each class, unweighted.
    class_counts: Vec<f64>,
    /// Share of the sample covariance in the covariance, divided by the total weight.
    share: f64,
}

/// Labeled vectors to fit to; samples without label have no weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labeled<'a> {
    /// `(n, d)`.
    pub(super) features: ArrayView2<'a, f32>,
    pub(super) labels: &'a [Option<u32>],
    /// Trust in each label, above 0.
    pub(super) weights: &'a [f32],
    pub(super) n_classes: usize,
}

impl Labeled<'_> {
    /// Label and weight of a row, when it has a label.
    fn of(&self, row: usize) -> Option<(usize, f64)> {
        self.labels[row].map(|label| (label as usize, f64::from(self.weights[row])))
    }
}

impl Gaussian {
    /// Fits means and covariance; `shrinkage` of the covariance is its mean variance in all directions.
    ///
    /// 2 n·d²/2 multiplications for the covariance, 2 d³/3 for its factor.
    pub(super) fn fit(samples: &Labeled<'_>, shrinkage: f64) -> Self {
        let d = samples.features.ncols();
        let (class_weights, class_counts) = class_totals(samples);
        let total: f64 = class_weights.iter().sum();
        let sums = class_sums(samples);
        let center: Vec<f64> = sums.sum_axis(Axis(0)).iter().map(|sum| sum / total).collect();
        let mut means = sums;
        for (mut mean, &weight) in means.rows_mut().into_iter().zip(&class_weights) {
            for (value, center) in mean.iter_mut().zip(&center) {
                *value = if 0.0 < weight { *value / weight - center } else { 0.0 };
            }
        }
        let center_f32: Vec<f32> = center.iter().map(|&value| value as f32).collect();
        let mut covariance = scatter(samples, &center_f32);
        let weighted = &means * &ndarray::ArrayView1::from(&class_weights).insert_axis(Axis(1));
        general_mat_mul(-1.0, &means.t(), &weighted, 1.0, &mut covariance);
        covariance /= total;
        let variance = (covariance.diag().sum() / d as f64).max(f64::MIN_POSITIVE);
        covariance *= 1.0 - shrinkage;
        covariance.diag_mut().mapv_inplace(|value| value + (shrinkage + RIDGE) * variance);
        let factor = cholesky(covariance).unwrap_or_else(|| Array2::eye(d) * variance.sqrt());
        let inverse = invert_lower(&factor);
        let means = means.dot(&inverse.t()).mapv(|value| value as f32);
        let half_norms = means.rows().into_iter().map(|mean| mean.dot(&mean) / 2.0).collect();
        Self {
            center: center_f32,
            whitening: inverse.mapv(|value| value as f32),
            means,
            half_norms,
            class_weights,
            class_counts,
            share: (1.0 - shrinkage) / total,
        }
    }

    pub(super) fn n_classes(&self) -> usize {
        self.class_counts.len()
    }

    /// Log densities plus log class shares, `(rows.len(), n_classes)`, up to a constant per row.
    ///
    /// Each row is judged by what remains without its family; `rows` must hold whole families or parts of one, members
    /// next to each other, as [`Grouping::blocks`] gives them. A class that has no other samples has minus infinity.
    pub(super) fn score(&self, samples: &Labeled<'_>, grouping: &Grouping, rows: &[u32]) -> Array2<f32> {
        let left_out = LeftOut::new(samples, grouping, rows);
        let d = self.center.len();
        let n_vectors = rows.len() + left_out.n_means();
        let mut vectors = Array2::<f32>::zeros((n_vectors, d));
        for (mut vector, &row) in vectors.rows_mut().into_iter().zip(rows) {
            vector.assign(&samples.features.row(row as usize));
        }
        left_out.write_means(samples, vectors.slice_mut(s![rows.len().., ..]));
        for mut vector in vectors.rows_mut() {
            for (value, center) in vector.iter_mut().zip(&self.center) {
                *value -= center;
            }
        }
        let mut whitened = self.whiten(&vectors);
        drop(vectors);
        whitened.append(Axis(0), self.means.select(Axis(0), left_out.labels()).view()).expect("because both have d columns");
        let products = whitened.dot(&self.means.t());
        let mut scores = products.slice(s![..rows.len(), ..]).to_owned();
        for mut row in scores.rows_mut() {
            for ((score, half_norm), count) in row.iter_mut().zip(&self.half_norms).zip(&self.class_counts) {
                *score += (count.ln() as f32) - half_norm;
            }
        }
        left_out.correct(self, &whitened, &products, &mut scores);
        scores
    }

    /// Weight of a class, and what a family of weight `w` in it changes: the step of the mean, and the covariance term.
    pub(super) fn without(&self, class: usize, weight: f64) -> Option<(f64, f64)> {
        let rest = self.class_weights[class] - weight;
        // Sums of the same f32 weights in another order differ by less.
        if rest <= 1e-6 * self.class_weights[class] {
            return None;
        }
        Some((weight / rest, self.share * weight * self.class_weights[class] / rest))
    }

    /// Number of samples of a class.
    pub(super) fn count(&self, class: usize) -> f64 {
        self.class_counts[class]
    }

    /// Coordinates in which the covariance is one; the triangle is gone through in panels to skip its zeros.
    fn whiten(&self, vectors: &Array2<f32>) -> Array2<f32> {
        let d = self.center.len();
        let mut whitened = Array2::zeros(vectors.dim());
        for start in (0..d).step_by(2 * PANEL) {
            let end = d.min(start + 2 * PANEL);
            general_mat_mul(
                1.0,
                &vectors.slice(s![.., ..end]),
                &self.whitening.slice(s![start..end, ..end]).t(),
                0.0,
                &mut whitened.slice_mut(s![.., start..end]),
            );
        }
        whitened
    }
}

fn class_totals(samples: &Labeled<'_>) -> (Vec<f64>, Vec<f64>) {
    let (mut weights, mut counts) = (vec![0.0; samples.n_classes], vec![0.0; samples.n_classes]);
    for (class, weight) in (0..samples.labels.len()).filter_map(|row| samples.of(row)) {
        weights[class] += weight;
        counts[class] += 1.0;
    }
    (weights, counts)
}

/// Weighted sums of the vectors of each class, `(n_classes, d)`; each column is summed in row order.
fn class_sums(samples: &Labeled<'_>) -> Array2<f64> {
    let mut sums = Array2::<f64>::zeros((samples.n_classes, samples.features.ncols()));
    sums.axis_chunks_iter_mut(Axis(1), PANEL).into_par_iter().enumerate().for_each(|(panel, mut sums)| {
        let columns = panel * PANEL..panel * PANEL + sums.ncols();
        let features = samples.features.slice(s![.., columns]);
        for (row, vector) in features.rows().into_iter().enumerate() {
            let Some((class, weight)) = samples.of(row) else { continue };
            for (sum, &value) in sums.row_mut(class).iter_mut().zip(vector) {
                *sum += weight * f64::from(value);
            }
        }
    });
    sums
}

/// `Σ w (x - center)(x - center)ᵀ` over the labeled rows, `(d, d)`; only the lower triangle is meant.
///
/// One factor of the product is taken as it is: the weighted sum of the other is zero, so its center drops out.
fn scatter(samples: &Labeled<'_>, center: &[f32]) -> Array2<f64> {
    let (n, d) = samples.features.dim();
    let n_blocks = n.div_ceil(BLOCK_ROWS);
    let tasks: Vec<(usize, usize)> = (0..n_blocks.div_ceil(BLOCKS_PER_SUM))
        .flat_map(|sum| (0..d.div_ceil(PANEL)).map(move |panel| (sum, panel)))
        .collect();
    let sum_panel = |&(sum, panel): &(usize, usize)| {
        let start = panel * PANEL;
        let end = d.min(start + PANEL);
        let mut total = Array2::<f64>::zeros((d - start, end - start));
        let mut product = Array2::<f32>::zeros(total.dim());
        for block in sum * BLOCKS_PER_SUM..n_blocks.min((sum + 1) * BLOCKS_PER_SUM) {
            let rows = block * BLOCK_ROWS..n.min((block + 1) * BLOCK_ROWS);
            let mut weighted = samples.features.slice(s![rows.clone(), start..end]).to_owned();
            for (row, mut vector) in rows.clone().zip(weighted.rows_mut()) {
                let weight = samples.of(row).map_or(0.0, |(_, weight)| weight as f32);
                for (value, center) in vector.iter_mut().zip(&center[start..end]) {
                    *value = weight * (*value - center);
                }
            }
            general_mat_mul(1.0, &samples.features.slice(s![rows, start..]).t(), &weighted, 0.0, &mut product);
            for (total, &value) in total.iter_mut().zip(&product) {
                *total += f64::from(value);
            }
        }
        total
    };
    let parts: Vec<Array2<f64>> = tasks.par_iter().map(sum_panel).collect();
    let mut scatter = Array2::<f64>::zeros((d, d));
    for ((_, panel), part) in tasks.iter().zip(parts) {
        let start = panel * PANEL;
        let mut place = scatter.slice_mut(s![start.., start..start + part.ncols()]);
        place += &part;
    }
    scatter
}
