//! A Gaussian per class with one covariance for all (linear discriminant analysis), each family judged without itself.
//!
//! With whitened vectors `z` and class means `m` the log density of class `k` is `-|z - m_k|² / 2` up to what all
//! classes share. Leaving a family out moves the means of its classes and takes a rank-one term per class off the
//! covariance; both are closed forms (Sherman, Morrison and Woodbury), so one fit serves all samples.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, azip, s};
use rayon::prelude::*;

use super::Grouping;
use super::family::LeftOut;
use super::linear::{cholesky, invert_lower};
use crate::MatrixProducts;

/// Columns of one panel of a triangle, a unit of parallel work: it must not depend on the number of threads.
const PANEL: usize = 128;

/// Rows whose products are made at once: at 384 dimensions 1.5 MiB, about one core's second-level cache.
const BLOCK_ROWS: usize = 1024;

/// Blocks whose panels are summed by one task.
const BLOCKS_PER_SUM: usize = 16;

/// Rows per dimension to which the covariance is fitted at most. A covariance of `m` rows blurs distances by about
/// `d / m`: here 3 %. On 60,000 clothes of 1,280 dimensions 32 rank as well as 64, 16 by .002 worse.
pub(super) const ROWS_PER_DIMENSION: usize = 32;

/// What is added to the diagonal relative to the mean variance, so that every direction has a variance to divide by.
const RIDGE: f64 = 1e-9;

/// Least mean variance within classes relative to that between them, and least of all: equal vectors have none.
const LEAST_SPREAD: f64 = 1e-6;
const LEAST_VARIANCE: f64 = 1e-20;

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
    /// Samples of each class, unweighted, and their logarithms.
    class_counts: Vec<f64>,
    log_counts: Vec<f32>,
    /// Share of the sample covariance in the covariance, divided by the weight of its rows.
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
    /// Whether the covariance is fitted to a row.
    pub(super) is_spread: &'a [bool],
    pub(super) n_classes: usize,
    /// Who multiplies.
    pub(super) products: &'a dyn MatrixProducts,
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
    /// m·d²/2 multiplications for the covariance of m rows, 2 d³/3 for its factor.
    pub(super) fn fit(samples: &Labeled<'_>, shrinkage: f64) -> Self {
        let d = samples.features.ncols();
        let (class_weights, class_counts) = class_totals(samples);
        let mut means = class_sums(samples);
        let center = means.sum_axis(Axis(0)) / class_weights.iter().sum::<f64>();
        for (mut mean, &weight) in means.rows_mut().into_iter().zip(&class_weights) {
            if 0.0 < weight {
                mean /= weight;
            } else {
                mean.assign(&center);
            }
        }
        let rows: Vec<usize> =
            (0..samples.labels.len()).filter(|&row| samples.is_spread[row] && samples.labels[row].is_some()).collect();
        let total: f64 = rows.iter().map(|&row| f64::from(samples.weights[row])).sum();
        let mut covariance = scatter(samples, &rows, &means.mapv(|value| value as f32)) / total;
        means -= &center;
        let between = means.iter().fold(0.0_f64, |most, value| most.max(value * value));
        let variance = (covariance.diag().sum() / d as f64).max(LEAST_SPREAD * between).max(LEAST_VARIANCE);
        covariance *= 1.0 - shrinkage;
        covariance.diag_mut().mapv_inplace(|value| value + (shrinkage + RIDGE) * variance);
        let factor = cholesky(covariance).unwrap_or_else(|| Array2::eye(d) * variance.sqrt());
        let inverse = invert_lower(&factor);
        let means = means.dot(&inverse.t()).mapv(|value| value as f32);
        let half_norms = means.rows().into_iter().map(|mean| mean.dot(&mean) / 2.0).collect();
        Self {
            center: center.mapv(|value| value as f32).to_vec(),
            whitening: inverse.mapv(|value| value as f32),
            means,
            half_norms,
            class_weights,
            log_counts: class_counts.iter().map(|count| count.ln() as f32).collect(),
            class_counts,
            share: (1.0 - shrinkage) / total,
        }
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
        let mut whitened = self.whiten(&vectors, samples.products);
        drop(vectors);
        whitened
            .append(Axis(0), self.means.select(Axis(0), left_out.labels()).view())
            .expect("because both have d columns");
        let products = samples.products.times_transposed(whitened.view(), self.means.view());
        let products = products.unwrap_or_else(|| whitened.dot(&self.means.t()));
        let mut scores = products.slice(s![..rows.len(), ..]).to_owned();
        for mut row in scores.rows_mut() {
            for ((score, half_norm), log_count) in row.iter_mut().zip(&self.half_norms).zip(&self.log_counts) {
                *score += log_count - half_norm;
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
    fn whiten(&self, vectors: &Array2<f32>, products: &dyn MatrixProducts) -> Array2<f32> {
        if let Some(whitened) = products.times_transposed(vectors.view(), self.whitening.view()) {
            return whitened;
        }
        let d = self.center.len();
        let mut whitened = Array2::zeros(vectors.dim());
        for start in (0..d).step_by(PANEL) {
            let end = d.min(start + PANEL);
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

/// `Σ w (x - m)(x - m)ᵀ` over the given rows, with the mean `m` of each row's class, `(d, d)`; only the lower triangle
/// is meant.
fn scatter(samples: &Labeled<'_>, rows: &[usize], means: &Array2<f32>) -> Array2<f64> {
    let d = means.ncols();
    let blocks: Vec<&[usize]> = rows.chunks(BLOCK_ROWS).collect();
    let tasks: Vec<(&[&[usize]], usize)> = blocks
        .chunks(BLOCKS_PER_SUM)
        .flat_map(|blocks| (0..d).step_by(PANEL).map(move |start| (blocks, start)))
        .collect();
    let sum_panel = |&(blocks, start): &(&[&[usize]], usize)| {
        let end = d.min(start + PANEL);
        let mut total = Array2::<f64>::zeros((d - start, end - start));
        let mut product = Array2::<f32>::zeros(total.dim());
        let mut centered = Array2::<f32>::zeros((BLOCK_ROWS, d - start));
        let mut weighted = Array2::<f32>::zeros((BLOCK_ROWS, end - start));
        for rows in blocks {
            for (place, &row) in rows.iter().enumerate() {
                let (class, weight) = samples.of(row).expect("because only labeled rows are taken");
                let (vector, mean) = (samples.features.slice(s![row, start..]), means.slice(s![class, start..]));
                let mut centered = centered.row_mut(place);
                azip!((centered in &mut centered, &value in vector, &mean in mean) *centered = value - mean);
                let centered = centered.slice(s![..end - start]);
                azip!((weighted in weighted.row_mut(place), &value in &centered) *weighted = weight as f32 * value);
            }
            let taken = s![..rows.len(), ..];
            let (centered, weighted) = (centered.slice(taken), weighted.slice(taken));
            match samples.products.times_transposed(centered.t(), weighted.t()) {
                Some(made) => product = made,
                None => general_mat_mul(1.0, &centered.t(), &weighted, 0.0, &mut product),
            }
            azip!((total in &mut total, &value in &product) *total += f64::from(value));
        }
        total
    };
    let parts: Vec<Array2<f64>> = tasks.par_iter().map(sum_panel).collect();
    let mut scatter = Array2::<f64>::zeros((d, d));
    for (&(_, start), part) in tasks.iter().zip(parts) {
        let mut place = scatter.slice_mut(s![start.., start..start + part.ncols()]);
        place += &part;
    }
    scatter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty vectors of three dimensions around one point per class, numbers from a linear congruence.
    fn vectors() -> (Array2<f32>, Vec<Option<u32>>, Vec<f32>) {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let labels: Vec<Option<u32>> = (0..60).map(|row| (row % 10 != 9).then_some(row % 3)).collect();
        let features = Array2::from_shape_fn((60, 3), |(row, column)| {
            next() * 2.0 + if row % 3 == column { 1.5 } else { 0.0 } + column as f32 * next()
        });
        let weights = (0..60).map(|_| 0.2 + next()).collect();
        (features, labels, weights)
    }

    /// Scores of one row by fitting anew to all rows outside `family`, as the closed form promises: total weight,
    /// shrinkage and the scatter within the family stay.
    fn refitted(samples: &Labeled<'_>, family: &[usize], row: usize, shrinkage: f64) -> Vec<f64> {
        let (n, d) = samples.features.dim();
        let vector = |row: usize| samples.features.row(row).mapv(f64::from);
        let fit = |without: &[usize]| {
            let mut means = Array2::<f64>::zeros((samples.n_classes, d));
            let mut weights = vec![0.0; samples.n_classes];
            let mut counts = vec![0.0_f64; samples.n_classes];
            for row in (0..n).filter(|row| !without.contains(row)) {
                let Some((class, weight)) = samples.of(row) else { continue };
                means.row_mut(class).scaled_add(weight, &vector(row));
                weights[class] += weight;
                counts[class] += 1.0;
            }
            for (mut mean, weight) in means.rows_mut().into_iter().zip(&weights) {
                mean /= *weight;
            }
            let mut scatter = Array2::<f64>::zeros((d, d));
            for row in (0..n).filter(|row| !without.contains(row)) {
                let Some((class, weight)) = samples.of(row) else { continue };
                let x = (vector(row) - means.row(class)).insert_axis(Axis(1));
                scatter = scatter + x.dot(&x.t()) * weight;
            }
            (means, counts, scatter, weights.iter().sum::<f64>())
        };
        let (_, _, whole, total) = fit(&[]);
        let (means, counts, rest, _) = fit(family);
        // What the members of one class differ among themselves stays in the covariance.
        let mut within = Array2::<f64>::zeros((d, d));
        for class in 0..samples.n_classes {
            let members: Vec<(usize, f64)> = family
                .iter()
                .filter_map(|&row| samples.of(row).filter(|of| of.0 == class).map(|(_, weight)| (row, weight)))
                .collect();
            let weight: f64 = members.iter().map(|(_, weight)| weight).sum();
            let mut mean = ndarray::Array1::<f64>::zeros(d);
            members.iter().for_each(|(row, weight_of)| mean.scaled_add(weight_of / weight, &vector(*row)));
            for (row, weight) in members {
                let x = (vector(row) - &mean).insert_axis(Axis(1));
                within = within + x.dot(&x.t()) * weight;
            }
        }
        let variance = whole.diag().sum() / total / d as f64;
        let covariance =
            (rest + within) * ((1.0 - shrinkage) / total) + Array2::<f64>::eye(d) * ((shrinkage + RIDGE) * variance);
        let inverse = super::super::linear::invert_small(covariance).unwrap();
        (0..samples.n_classes)
            .map(|class| {
                let x = vector(row) - means.row(class);
                counts[class].ln() - x.dot(&inverse.dot(&x)) / 2.0
            })
            .collect()
    }

    fn assert_left_out(families: &[u32]) {
        let (features, labels, weights) = vectors();
        let is_spread = [true; 60];
        let samples = Labeled {
            features: features.view(),
            labels: &labels,
            weights: &weights,
            is_spread: &is_spread,
            n_classes: 3,
            products: &crate::OnCpu,
        };
        let grouping = Grouping::new(families);
        let gaussian = Gaussian::fit(&samples, 0.1);
        for rows in grouping.blocks() {
            let scores = gaussian.score(&samples, &grouping, rows);
            for (&row, scores) in rows.iter().zip(scores.rows()) {
                let family: Vec<usize> = grouping.members(row).iter().map(|&row| row as usize).collect();
                let expected = refitted(&samples, &family, row as usize, 0.1);
                for class in 1..3 {
                    let (got, expected) = (f64::from(scores[class] - scores[0]), expected[class] - expected[0]);
                    assert!((got - expected).abs() < 2e-4, "row {row}, class {class}: {got} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn a_sample_is_judged_as_if_fitted_without_it() {
        assert_left_out(&(0..60).collect::<Vec<u32>>());
    }

    #[test]
    fn a_family_with_several_labels_is_judged_as_if_fitted_without_it() {
        assert_left_out(&(0..60).map(|row| row / 4).collect::<Vec<u32>>());
    }

    #[test]
    fn a_class_within_one_family_is_impossible_for_it() {
        let features = ndarray::array![[0.0_f32, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, 1.0], [1.0, 1.1]];
        let labels = [0, 0, 1, 1, 2, 2].map(Some);
        let samples = Labeled {
            features: features.view(),
            labels: &labels,
            weights: &[1.0; 6],
            is_spread: &[true; 6],
            n_classes: 3,
            products: &crate::OnCpu,
        };
        let grouping = Grouping::new(&[0, 1, 2, 3, 4, 4]);
        let scores = Gaussian::fit(&samples, 0.5).score(&samples, &grouping, grouping.blocks()[0]);
        assert!(scores.slice(s![..4, ..]).iter().all(|score| score.is_finite()), "{scores}");
        assert!(scores.slice(s![4.., 2]).iter().all(|&score| score == f32::NEG_INFINITY), "{scores}");
    }
}
