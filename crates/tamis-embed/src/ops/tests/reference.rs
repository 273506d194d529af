//! What operations should compute, by plain loops in double precision.

use crate::ops::{Activation, Matrix, NormWeights};

/// Numbers from -1 to 1 that look random, the same for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The next number by splitmix64 (Steele et al. 2014).
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Numbers in double precision, shape `(n, width)`, row-major: what the reference computes with.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
}

impl Numbers {
    pub(super) fn of(matrix: &Matrix) -> Self {
        Self { width: matrix.width, values: matrix.values.iter().map(|x| f64::from(*x)).collect() }
    }

    pub(super) fn n(&self) -> usize {
        self.values.len() / self.width
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..][..self.width]
    }

    /// From rows of equal length.
    pub(super) fn from_rows(rows: impl IntoIterator<Item = Vec<f64>>) -> Self {
        let rows: Vec<_> = rows.into_iter().collect();
        Self { width: rows[0].len(), values: rows.concat() }
    }

    /// Each row by a function.
    pub(super) fn map_rows(&self, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        Self::from_rows((0..self.n()).map(|row| f(self.row(row))))
    }

    pub(super) fn product(&self, weight: &Matrix, bias: Option<&[f32]>, activation: Activation) -> Self {
        let weight = Self::of(weight);
        self.map_rows(|row| {
            let sums = (0..weight.n()).map(|output| {
                let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
                activated(activation, bias + dot(row, weight.row(output)))
            });
            sums.collect()
        })
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        assert_eq!((self.width, self.values.len()), (other.width, other.values.len()), "shapes of a sum");
        let values = self.values.iter().zip(&other.values).map(|(x, y)| x + y);
        Self { width: self.width, values: values.collect() }
    }
}

pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_precision_loss, reason = "lengths are small")]
pub(super) fn float(n: usize) -> f64 {
    n as f64
}

/// The error function by its Maclaurin series (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.5);
/// beyond 4 it is 1 to 2e-8.
pub(super) fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / (2.0 * f64::from(n) + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

pub(in crate::ops) fn activated(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Silu => x * sigmoid(x),
    }
}

pub(super) fn normalized(row: &[f64], norm: &NormWeights) -> Vec<f64> {
    let n = float(row.len());
    let mean = if norm.centered { row.iter().sum::<f64>() / n } else { 0.0 };
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let scale = (variance + f64::from(norm.eps)).sqrt();
    let bias = |i: usize| norm.bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
    row.iter().enumerate().map(|(i, x)| (x - mean) / scale * f64::from(norm.weight[i]) + bias(i)).collect()
}
