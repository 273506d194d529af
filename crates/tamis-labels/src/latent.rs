//! What a joint says about the unseen true labels: class shares and noise rates.
//!
//! The formulas are those of cleanlab 2.9.0 (`count.estimate_latent`, `internal.latent_algebra`).

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2, Zip};

use crate::Error;
use crate::confident::check_joint_shape;
use crate::input::check_length;

/// Least estimated share of a true class before shares are scaled to sum 1 (cleanlab 2.9.0).
const MIN_SHARE: f64 = 1e-6;

/// The same after the estimates were made to agree (cleanlab 2.9.0).
const MIN_CONVERGED_SHARE: f64 = 1e-5;

/// Largest noise rate (cleanlab 2.9.0).
const MAX_NOISE_RATE: f64 = 0.9999;

/// Least number that is divided by (cleanlab 2.9.0).
const MIN_DIVISOR: f64 = 1e-100;

/// Rounds in which the noise matrix follows from the inverse one, and in each the rounds in which the inverse matrix and
/// the shares follow from each other (cleanlab 2.9.0).
const CONVERGENCE_ROUNDS: (usize, usize) = (3, 5);

/// How the shares of the true classes are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ShareMethod {
    /// From the diagonals alone: P(y | s) / P(s | y) · P(s) of y = s.
    #[default]
    Diagonal,
    /// The solution of noise matrix · shares = shares of the given labels.
    Equation,
    /// Column sums of the joint over its total.
    Marginal,
    /// Inverse noise matrix · shares of the given labels.
    MarginalOfGiven,
}

impl ShareMethod {
    /// Every method, in documented order.
    pub const ALL: [Self; 4] = [Self::Diagonal, Self::Equation, Self::Marginal, Self::MarginalOfGiven];

    /// The name of the method in cleanlab (`py_method`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Diagonal => "cnt",
            Self::Equation => "eqn",
            Self::Marginal => "marginal",
            Self::MarginalOfGiven => "marginal_ps",
        }
    }
}

impl fmt::Display for ShareMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ShareMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| Error::UnknownName {
            what: "share method",
            got: name.to_owned(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Whether the estimates are made to agree with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Convergence {
    /// Each estimate stands for itself.
    #[default]
    Independent,
    /// Three rounds of computing them from each other.
    Converged,
}

/// Estimates of the unseen true labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentEstimate {
    /// Share of each true class, `n_classes`, sum 1 (cleanlab's `py`).
    pub true_shares: Vec<f64>,
    /// P(given `s` | true `y`) at `(s, y)`; columns sum to 1, that of a class without any count to 0.
    pub noise_matrix: Array2<f64>,
    /// P(true `y` | given `s`) at `(y, s)`; columns sum to 1, that of a class without any count to 0.
    pub inverse_noise_matrix: Array2<f64>,
}

/// Estimates shares of the true classes and noise rates from a joint `(given, true)` and the items given each label.
///
/// O(`n_classes`²) time and two matrices of memory; [`ShareMethod::Equation`] solves a linear system in
/// O(`n_classes`³) time and a third matrix.
///
/// # Errors
/// When the joint is not square, the lengths differ, no item is given any label, or the noise matrix is singular and a
/// linear system is to be solved.
pub fn latent_estimate(
    joint: ArrayView2<'_, u64>,
    label_counts: &[u64],
    method: ShareMethod,
    convergence: Convergence,
) -> Result<LatentEstimate, Error> {
    check_joint_shape(joint, joint.nrows())?;
    check_length("label counts", joint.nrows(), label_counts.len())?;
    let n_samples: u64 = label_counts.iter().sum();
    if n_samples == 0 {
        return Err(Error::TooFew { what: "label counts", unit: "items", expected: 1, got: 0 });
    }
    let given: Vec<f64> = label_counts.iter().map(|&count| count as f64 / n_samples as f64).collect();
    let column_sums: Vec<f64> = joint.columns().into_iter().map(|column| column.sum() as f64).collect();
    let row_sums: Vec<f64> = joint.rows().into_iter().map(|row| row.sum() as f64).collect();
    let noise = |s: usize, y: usize| joint[[s, y]] as f64 / column_sums[y].max(MIN_DIVISOR);
    let inverse = |y: usize, s: usize| joint[[s, y]] as f64 / row_sums[s].max(MIN_DIVISOR);
    let mut noise_matrix = Array2::from_shape_fn(joint.dim(), |(s, y)| noise(s, y));
    let mut inverse_noise_matrix = Array2::from_shape_fn(joint.dim(), |(y, s)| inverse(y, s));
    let shares = match method {
        ShareMethod::Diagonal => shares_of_diagonals(&given, &noise_matrix, &inverse_noise_matrix),
        ShareMethod::Equation => solve(noise_matrix.clone(), given.clone())?,
        ShareMethod::Marginal => {
            let total: f64 = column_sums.iter().sum();
            column_sums.iter().map(|sum| sum / total.max(MIN_DIVISOR)).collect()
        }
        ShareMethod::MarginalOfGiven => {
            let rows = inverse_noise_matrix.rows().into_iter();
            rows.map(|row| row.iter().zip(&given).map(|(rate, share)| rate * share).sum()).collect()
        }
    };
    let mut true_shares = clip_shares(shares, MIN_SHARE);
    clip_noise_rates(&mut noise_matrix);
    clip_noise_rates(&mut inverse_noise_matrix);
    if convergence == Convergence::Converged {
        true_shares = converge(&given, true_shares, &mut noise_matrix, &mut inverse_noise_matrix);
        true_shares = clip_shares(true_shares, MIN_CONVERGED_SHARE);
        clip_noise_rates(&mut noise_matrix);
        clip_noise_rates(&mut inverse_noise_matrix);
    }
    Ok(LatentEstimate { true_shares, noise_matrix, inverse_noise_matrix })
}

fn shares_of_diagonals(given: &[f64], noise: &Array2<f64>, inverse: &Array2<f64>) -> Vec<f64> {
    let diagonals = inverse.diag().into_iter().zip(noise.diag()).zip(given);
    diagonals.map(|((inverse, noise), share)| inverse / noise.max(MIN_DIVISOR) * share).collect()
}

/// Computes both matrices and the shares from each other, in turn.
fn converge(given: &[f64], mut shares: Vec<f64>, noise: &mut Array2<f64>, inverse: &mut Array2<f64>) -> Vec<f64> {
    let (n_outer, n_inner) = CONVERGENCE_ROUNDS;
    for _ in 0..n_outer {
        for _ in 0..n_inner {
            for (y, mut row) in inverse.rows_mut().into_iter().enumerate() {
                Zip::from(&mut row).and(noise.column(y)).and(given).for_each(|rate, &noise, share| {
                    *rate = noise * shares[y] / share.max(MIN_DIVISOR);
                });
            }
            clip_noise_rates(inverse);
            shares = clip_shares(shares_of_diagonals(given, noise, inverse), MIN_SHARE);
        }
        for (s, mut row) in noise.rows_mut().into_iter().enumerate() {
            Zip::from(&mut row).and(inverse.column(s)).and(&shares).for_each(|rate, &inverse, share| {
                *rate = inverse * given[s] / share.max(MIN_DIVISOR);
            });
        }
        clip_noise_rates(noise);
    }
    shares
}

/// Brings shares into [`least`, 1] and scales them to sum 1.
fn clip_shares(shares: Vec<f64>, least: f64) -> Vec<f64> {
    let clipped: Vec<f64> = shares.into_iter().map(|share| share.clamp(least, 1.0)).collect();
    let total: f64 = clipped.iter().sum();
    clipped.into_iter().map(|share| share / total.max(MIN_DIVISOR)).collect()
}

/// Brings the rates off the diagonal into [0, [`MAX_NOISE_RATE`]] and scales columns to sum 1.
fn clip_noise_rates(matrix: &mut Array2<f64>) {
    for ((row, column), rate) in matrix.indexed_iter_mut() {
        if row != column {
            *rate = rate.clamp(0.0, MAX_NOISE_RATE);
        }
    }
    let mut sums = vec![0.0; matrix.ncols()];
    for row in matrix.rows() {
        Zip::from(&mut sums[..]).and(row).for_each(|sum, rate| *sum += rate);
    }
    for mut row in matrix.rows_mut() {
        Zip::from(&mut row).and(&sums).for_each(|rate, sum| *rate /= sum.max(MIN_DIVISOR));
    }
}

/// Solves `matrix · x = right` by Gaussian elimination with row pivots.
fn solve(mut matrix: Array2<f64>, mut right: Vec<f64>) -> Result<Vec<f64>, Error> {
    let n = right.len();
    for pivot in 0..n {
        let size = |row: &usize| matrix[[*row, pivot]].abs();
        let best = (pivot..n).fold(pivot, |best, row| if size(&best) < size(&row) { row } else { best });
        if size(&best) <= 0.0 {
            return Err(Error::Singular { what: "noise matrix", pivot });
        }
        right.swap(pivot, best);
        for column in pivot..n {
            matrix.swap([pivot, column], [best, column]);
        }
        let (upper, mut lower) = matrix.view_mut().split_at(ndarray::Axis(0), pivot + 1);
        let pivot_row = upper.row(pivot);
        for (offset, mut row) in lower.rows_mut().into_iter().enumerate() {
            let factor = row[pivot] / pivot_row[pivot];
            Zip::from(&mut row).and(pivot_row).for_each(|entry, above| *entry -= factor * above);
            right[pivot + 1 + offset] -= factor * right[pivot];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| matrix[[row, column]] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[[row, row]];
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_equation_of_the_shares_is_solved_with_row_pivots() {
        let solution = solve(array![[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [4.0, 0.0, 1.0]], vec![7.0, 3.0, 7.0]).unwrap();
        for (got, expected) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - expected).abs() < 1e-15, "{solution:?}");
        }
    }

    #[test]
    fn a_class_without_any_count_makes_the_equation_singular() {
        let joint = array![[5_u64, 1, 0], [1, 3, 0], [0, 0, 0]];
        let estimate = |method| latent_estimate(joint.view(), &[6, 4, 0], method, Convergence::Independent);
        assert_eq!(estimate(ShareMethod::Equation).unwrap_err().to_string(), "noise matrix is singular: pivot 2 is 0");
        let shares = estimate(ShareMethod::Marginal).unwrap().true_shares;
        // 0.4 and 1e-6, scaled to sum 1.
        assert!((shares[1] - 0.4 / (1.0 + 1e-6)).abs() < 1e-15, "{shares:?}");
        assert!((shares[2] - 1e-6 / (1.0 + 1e-6)).abs() < 1e-15, "{shares:?}");
    }

    #[test]
    fn names_are_parsed() {
        for method in ShareMethod::ALL {
            assert_eq!(method.to_string().parse::<ShareMethod>().unwrap(), method);
        }
        let message = "count".parse::<ShareMethod>().unwrap_err().to_string();
        assert_eq!(message, "share method \"count\" is unknown, expected one of cnt, eqn, marginal, marginal_ps");
    }
}
