//! Few columns whose product bounds the product of all.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::quantized::GROUP;
use crate::join::index;
use crate::proposal_margin;

/// Columns that share the length of the rest, so that it is no larger than other columns and is rounded as finely.
pub(super) const REST: usize = 4;

/// By how much the squared length of a row may exceed 1.
const UNIT: f64 = 1e-5;

/// What stands for a row `x` in a screen: a row `x'` with `x.y <= x'.y' + margin` for all `x` and `y`.
pub(super) enum Space {
    /// The row as it is.
    All { dim: usize },
    /// Its product with a basis, and the length of the rest of it in [`REST`] equal parts.
    ///
    /// Be `Q` the basis of shape `(dim, n)`, `E = Q^T Q - I` with norm at most `e`, `x1` the computed product, `u = x - Q x1`,
    /// and `d` a bound of `|x1 - Q^T x|`. Then `|Q^T u| <= d + e |x1|` and
    /// `x.y = x1.y1 + x1.E y1 + x1.Q^T v + Q^T u.y1 + u.v`, whose last term is at most `|u| |v|` (Cauchy and Schwarz), with
    /// `|u|^2 <= |x|^2 - |x1|^2 + 2 d |x1| + e |x1|^2`.
    Projected { basis: Array2<f32>, orthogonality: f64, rounding: f64 },
}

impl Space {
    /// The span of the columns of `basis`, which are orthogonal up to rounding.
    pub(super) fn projected(basis: Array2<f32>) -> Self {
        let wide = basis.mapv(f64::from);
        let off = wide.t().dot(&wide) - Array2::<f64>::eye(basis.ncols());
        let n = f64::from(index(basis.ncols()));
        Self::Projected {
            orthogonality: off.iter().map(|x| x * x).sum::<f64>().sqrt() + 1e-9,
            rounding: f64::from(proposal_margin(basis.nrows())) * n.sqrt() * 1.02,
            basis,
        }
    }

    /// Columns of `x'`.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::All { dim } => dim.next_multiple_of(GROUP).max(GROUP),
            Self::Projected { basis, .. } => (basis.ncols() + REST).next_multiple_of(GROUP),
        }
    }

    /// How far `|u|^2` may exceed what is computed of it.
    fn slack(&self) -> f64 {
        match self {
            Self::All { .. } => 0.0,
            Self::Projected { orthogonality, rounding, .. } => 2.1 * rounding + 1.1 * orthogonality,
        }
    }

    /// Largest `|x'|`; the factors in `slack` and `margin` hold while it is at most 1.04.
    pub(super) fn norm(&self) -> f64 {
        (1.0 + UNIT + self.slack()).sqrt() + 1e-6
    }

    /// By how much `x.y`, and the canonical dot of it, may exceed `x'.y'`: the terms above, that rows may be longer than 1,
    /// where the canonical dot is cut, and roundings to f32.
    pub(super) fn margin(&self) -> f64 {
        match self {
            Self::All { .. } => 2.0 * UNIT,
            Self::Projected { orthogonality, rounding, .. } => 2.0 * UNIT + 3.3 * orthogonality + 2.1 * rounding,
        }
    }

    /// Writes `x'` of the rows of `rows`, in `f32`; false where a row is longer than a unit row or not finite.
    pub(super) fn fill(&self, rows: ArrayView2<'_, f32>, out: &mut [f32]) -> bool {
        let width = self.width();
        let norms: Vec<f64> = rows.axis_iter(Axis(0)).map(|row| squares(row.iter())).collect();
        match self {
            Self::All { .. } => {
                for (row, out) in rows.axis_iter(Axis(0)).zip(out.chunks_exact_mut(width)) {
                    for (value, out) in row.iter().zip(out) {
                        *out = *value;
                    }
                }
            }
            Self::Projected { basis, .. } => {
                let n = basis.ncols();
                let mut projected = Array2::zeros((rows.nrows(), n));
                general_mat_mul(1.0, &rows, basis, 0.0, &mut projected);
                let mut all =
                    ArrayViewMut2::from_shape((rows.nrows(), width), out).expect("because there is room for each row");
                all.slice_mut(s![.., ..n]).assign(&projected);
                for ((row, mut out), norm) in projected.axis_iter(Axis(0)).zip(all.axis_iter_mut(Axis(0))).zip(&norms) {
                    let rest = ((norm - squares(row.iter())).max(0.0) + self.slack()).sqrt();
                    out.slice_mut(s![n..n + REST]).fill(narrow(rest / 2.0));
                }
            }
        }
        norms.iter().all(|norm| *norm <= 1.0 + UNIT)
    }
}

fn squares<'a>(row: impl Iterator<Item = &'a f32>) -> f64 {
    row.map(|x| f64::from(*x) * f64::from(*x)).sum()
}

#[expect(clippy::cast_possible_truncation, reason = "the margin counts the rounding")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}
