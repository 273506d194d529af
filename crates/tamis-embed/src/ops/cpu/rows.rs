//! What happens to rows one by one: norms, rotations, gates and sums.
//!
//! The loops are written so that the compiler vectorizes them inside of a dispatched closure; what they call is inlined
//! always, because only there it is vectorized. Each row is summed in a fixed order.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::CpuRows;
use super::math::activate;
use crate::manifest::Pooling;
use crate::ops::{Activation, NormWeights, Span};

/// Partial sums per row; enough for the widest registers and for the latency of an addition.
const LANES: usize = 32;

/// Sum of `f(x)` in a fixed order: [`LANES`] partial sums, then these by halves.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (partial, x) in partial.iter_mut().zip(chunk) {
            *partial += f(*x);
        }
    }
    let tail: f32 = rest.iter().map(|x| f(*x)).sum();
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        let (low, high) = partial.split_at_mut(n);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
    }
    partial[0] + tail
}

/// Normalizes each row of `x`, of the norm's width.
pub(super) fn normalize(norm: &NormWeights, x: &[f32], out: &mut [f32]) {
    let width = norm.weight.len();
    Arch::new().dispatch(|| {
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, scale) = moments(norm, row);
            let scaled = out.iter_mut().zip(row).zip(&norm.weight);
            match &norm.bias {
                Some(bias) => scaled.zip(bias).for_each(|(((out, x), w), b)| *out = (*x - mean) * scale * *w + *b),
                None => scaled.for_each(|((out, x), w)| *out = (*x - mean) * scale * *w),
            }
        }
    });
}

/// Normalizes one row in place.
#[inline(always)]
fn normalize_row(norm: &NormWeights, row: &mut [f32]) {
    let (mean, scale) = moments(norm, row);
    let scaled = row.iter_mut().zip(&norm.weight);
    match &norm.bias {
        Some(bias) => scaled.zip(bias).for_each(|((x, w), b)| *x = (*x - mean) * scale * *w + *b),
        None => scaled.for_each(|(x, w)| *x = (*x - mean) * scale * *w),
    }
}

/// What is subtracted from a row, and what the difference is multiplied with.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "a row is far shorter than 2^24")]
fn moments(norm: &NormWeights, row: &[f32]) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = if norm.centered { sum(row, |x| x) / n } else { 0.0 };
    let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + norm.eps).sqrt())
}

/// Normalizes each head in some columns.
pub(super) fn normalize_heads(x: &mut CpuRows, columns: &Range<usize>, norm: &NormWeights) {
    Arch::new().dispatch(|| {
        for row in x.values.chunks_exact_mut(x.width) {
            row[columns.clone()].chunks_exact_mut(norm.weight.len()).for_each(|head| normalize_row(norm, head));
        }
    });
}

/// Rotates each head in some columns.
pub(super) fn rotate(x: &mut CpuRows, columns: &Range<usize>, angles: &CpuRows, positions: &[u32]) {
    Arch::new().dispatch(|| {
        for (row, position) in x.values.chunks_exact_mut(x.width).zip(positions) {
            let angles = &angles.values[*position as usize * angles.width..][..angles.width];
            let (cos, sin) = angles.split_at(angles.len() / 2);
            for head in row[columns.clone()].chunks_exact_mut(angles.len()) {
                let (first, second) = head.split_at_mut(cos.len());
                for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*x, *y) = (*x * *cos - *y * *sin, *y * *cos + *x * *sin);
                }
            }
        }
    });
}

/// `out = activation(left half of x) * right half of x`.
pub(super) fn gate(x: &CpuRows, activation: Activation, out: &mut [f32]) {
    Arch::new().dispatch(Gate { x, activation, out });
}

/// One call of [`gate`].
struct Gate<'a> {
    x: &'a CpuRows,
    activation: Activation,
    out: &'a mut [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.x.width / 2;
        for (out, x) in self.out.chunks_exact_mut(width).zip(self.x.values.chunks_exact(self.x.width)) {
            let (left, right) = x.split_at(width);
            let ((out, out_rest), (left, left_rest)) = (S::as_mut_simd_f32s(out), S::as_simd_f32s(left));
            let (right, right_rest) = S::as_simd_f32s(right);
            for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
                *out = simd.mul_f32s(activate(simd, self.activation, *left), *right);
            }
            let left = activate(simd, self.activation, simd.partial_load_f32s(left_rest));
            simd.partial_store_f32s(out_rest, simd.mul_f32s(left, simd.partial_load_f32s(right_rest)));
        }
    }
}

/// Pools each sample into a row of `out`.
pub(super) fn pool(x: &CpuRows, spans: &[Span], pooling: Pooling, out: &mut [f32]) {
    Arch::new().dispatch(|| {
        for (out, span) in out.chunks_exact_mut(x.width).zip(spans) {
            let rows = &x.values[span.start * x.width..(span.start + span.len) * x.width];
            pool_one(rows, pooling, out);
        }
    });
}

/// Pools the rows of one sample.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "a sample has far fewer than 2^24 rows")]
fn pool_one(rows: &[f32], pooling: Pooling, out: &mut [f32]) {
    let width = out.len();
    match pooling {
        Pooling::Cls => out.copy_from_slice(&rows[..width]),
        Pooling::Last => out.copy_from_slice(&rows[rows.len() - width..]),
        Pooling::Mean => {
            out.fill(0.0);
            for row in rows.chunks_exact(width) {
                out.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
            }
            let n = (rows.len() / width) as f32;
            out.iter_mut().for_each(|sum| *sum /= n);
        }
        Pooling::Max => {
            out.copy_from_slice(&rows[..width]);
            for row in rows.chunks_exact(width) {
                out.iter_mut().zip(row).for_each(|(max, x)| *max = max.max(*x));
            }
        }
    }
}
