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

/// Sum of `f(x)` in a fixed order: [`LANES`] partial sums, then these from first to last.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (partial, x) in partial.iter_mut().zip(chunk) {
            *partial += f(*x);
        }
    }
    let tail: f32 = rest.iter().map(|x| f(*x)).sum();
    partial.iter().sum::<f32>() + tail
}

/// Normalizes the rows of `out`, each of the norm's width, in place.
pub(super) fn normalize(norm: &NormWeights, out: &mut [f32]) {
    Arch::new().dispatch(|| out.chunks_exact_mut(norm.weight.len()).for_each(|row| normalize_row(norm, row)));
}

/// Normalizes one row in place.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "a row is far shorter than 2^24")]
fn normalize_row(norm: &NormWeights, row: &mut [f32]) {
    let n = row.len() as f32;
    let mean = if norm.centered { sum(row, |x| x) / n } else { 0.0 };
    let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    let scaled = row.iter_mut().zip(&norm.weight);
    match &norm.bias {
        Some(bias) => scaled.zip(bias).for_each(|((x, w), b)| *x = (*x - mean) * scale * *w + *b),
        None => scaled.for_each(|(x, w)| *x = (*x - mean) * scale * *w),
    }
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
