//! Rows in half precision, and how far their products may be from the canonical dot.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ndarray::ArrayView2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Columns of rounded rows are a multiple of this, so that every row begins at 16 bytes.
const PIECE: usize = 8;

/// Rows that one thread rounds at a time.
const ROWS_AT_ONCE: usize = 64;

/// Largest length of a row that is taken for a unit row.
const MAX_NORM: f64 = 1.04;

/// The largest lengths among some rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extremes {
    /// Of a row; infinite where a number is not finite.
    norm: f64,
    /// Of the difference between a row and what it is rounded to.
    error: f64,
}

impl Extremes {
    /// Those of two sets of rows.
    pub(super) fn max(self, other: Self) -> Self {
        Self { norm: self.norm.max(other.norm), error: self.error.max(other.error) }
    }

    /// Whether the rows are unit rows, or shorter.
    pub(super) fn is_of_units(&self) -> bool {
        self.norm <= MAX_NORM && self.error <= MAX_NORM
    }
}

/// Columns of rows of `dim` numbers once they are rounded; those behind `dim` are zero.
pub(super) fn width(dim: usize) -> usize {
    dim.next_multiple_of(PIECE)
}

/// Rounds the rows `range` to `out`, shape `(range, width(dim))`.
///
/// # Panics
/// When `rows` is not in standard layout.
pub(super) fn round(rows: ArrayView2<'_, f32>, range: Range<usize>, out: &mut [f16]) -> Extremes {
    let (dim, width) = (rows.ncols(), width(rows.ncols()));
    if dim == 0 {
        return Extremes::default();
    }
    let all = rows.to_slice().expect("because vectors are kept row-major");
    let parts = all[range.start * dim..range.end * dim].par_chunks(ROWS_AT_ONCE * dim);
    let parts = parts.zip(out.par_chunks_mut(ROWS_AT_ONCE * width)).map(|(rows, out)| {
        let (mut halves, mut back) = (vec![f16::ZERO; width], vec![0.0; width]);
        let mut extremes = Extremes::default();
        for (row, out) in rows.chunks_exact(dim).zip(out.chunks_exact_mut(width)) {
            halves[..dim].convert_from_f32_slice(row);
            halves.convert_to_f32_slice(&mut back);
            // Memory that a device reads by itself is dear to read for us.
            out.copy_from_slice(&halves);
            extremes = extremes.max(Arch::new().dispatch(Rounded { row, back: &back[..dim] }));
        }
        extremes
    });
    parts.reduce(Extremes::default, Extremes::max)
}

/// A row, and what it is rounded to.
struct Rounded<'a> {
    row: &'a [f32],
    back: &'a [f32],
}

impl WithSimd for Rounded<'_> {
    type Output = Extremes;

    /// The length of the row, and of its difference from what it is rounded to.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Extremes {
        let (mut norms, mut errors) = ([0.0_f64; PIECE], [0.0_f64; PIECE]);
        let (row, row_rest) = self.row.as_chunks::<PIECE>();
        let (back, back_rest) = self.back.as_chunks::<PIECE>();
        for (row, back) in row.iter().zip(back) {
            for (((norm, error), x), y) in norms.iter_mut().zip(&mut errors).zip(row).zip(back) {
                let (x, y) = (f64::from(*x), f64::from(*y));
                *norm += x * x;
                *error += (x - y) * (x - y);
            }
        }
        for (((norm, error), x), y) in norms.iter_mut().zip(&mut errors).zip(row_rest).zip(back_rest) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            *norm += x * x;
            *error += (x - y) * (x - y);
        }
        Extremes { norm: length(norms), error: length(errors) }
    }
}

/// The length of a row whose squares these are; infinite where one is not finite.
fn length(squares: [f64; PIECE]) -> f64 {
    let length = squares.iter().sum::<f64>().sqrt();
    if length.is_finite() { length } else { f64::INFINITY }
}

/// How far a product of rounded rows may be from [`canonical_dot`](crate::canonical_dot): rows of half precision, sums in
/// single precision, the result in half precision.
///
/// For rows `x`, `y` rounded to `x'`, `y'`, by Cauchy and Schwarz:
///
/// - `|x.y - x'.y'| <= |x - x'| |y| + |x'| |y - y'|`, where the differences are those that rounding made, about `2^-12`
///   and at most `2^-11` of a unit row (and `2^-25` a number below `2^-14`);
/// - sums: products of two numbers of 11 bits are exact in single precision. Tensor cores add a few of them at once,
///   after all were cut to 24 bits of the largest one, and cut the sum (Fasi, Higham, Mikaitis and Pranesh, Numerical
///   behavior of NVIDIA tensor cores, `PeerJ` Computer Science 7:e330, 2021, section 4): with `b >= 4` of them at once and
///   the sum so far, at most `b + 1` cuts of `2^-23 |x'| |y'|`, which makes `(d + d / b) 2^-23` and less than `d 2^-22` of
///   `|x'| |y'|` for `d` numbers; plain sums in any order err less;
/// - the result is rounded by `2^-11` of it, or by `2^-25` where it is small;
/// - the canonical dot is cut at 1, which moves it by what `|x| |y|` is above 1, and rounded by `2^-24`.
///
/// What computing these numbers and a limit in f32 rounds is below the 1 % that is added. For unit rows of 768 numbers
/// this is about `1.1e-3`.
pub(super) fn margin(queries: Extremes, base: Extremes, dim: usize) -> f32 {
    let (x, y) = (queries.norm + queries.error, base.norm + base.error);
    let rounding = queries.error * base.norm + x * base.error;
    #[expect(clippy::cast_precision_loss, reason = "a dimension is far below 2^24")]
    let sums = (width(dim) + PIECE) as f64 * 2.0_f64.powi(-22) * x * y;
    let result = 2.0_f64.powi(-11) * (x * y + sums) + 2.0_f64.powi(-25);
    let canonical = (queries.norm * base.norm - 1.0).max(0.0) + 2.0_f64.powi(-24);
    #[expect(clippy::cast_possible_truncation, reason = "1 % is added")]
    let margin = (1.01 * (rounding + sums + result + canonical)) as f32;
    margin
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn rows_are_padded_and_their_errors_are_known() {
        let rows = Array2::from_shape_fn((130, 3), |(i, j)| if i % 3 == j { 0.6 } else { 0.5_f32.powi(20) });
        let mut out = vec![f16::ONE; 129 * 8];
        let extremes = round(rows.view(), 1..130, &mut out);
        assert!(out.chunks(8).all(|row| row[3..].iter().all(|x| *x == f16::ZERO)), "zeros behind the numbers");
        assert_eq!(out[8 + 2].to_f32(), f16::from_f32(0.6).to_f32(), "row 2, number 2");
        let error = f64::from(0.6_f32) - f64::from(f16::from_f32(0.6).to_f32());
        assert!((extremes.error - error.abs()).abs() < 1e-9, "{extremes:?}, expected {error}");
        assert!((extremes.norm - 0.6).abs() < 1e-6, "{extremes:?}");
    }

    #[test]
    fn rows_that_are_too_long_or_not_finite_are_no_units() {
        for (number, is_unit) in [(1.0, true), (1.1, false), (1e6, false), (f32::NAN, false), (f32::INFINITY, false)] {
            let rows = ndarray::array![[0.5, 0.5], [0.0, number], [1.0, 0.0]];
            let extremes = round(rows.view(), 0..3, &mut [f16::ZERO; 24]);
            assert_eq!(extremes.is_of_units(), is_unit, "{number}");
        }
    }

    #[test]
    fn the_margin_is_that_of_half_precision() {
        let row = Array2::from_elem((1, 768), 768.0_f32.sqrt().recip());
        let extremes = round(row.view(), 0..1, &mut vec![f16::ZERO; 768]);
        let margin = margin(extremes, extremes, 768);
        assert!(5e-4 < margin && margin < 1.8e-3, "{margin}");
    }
}
