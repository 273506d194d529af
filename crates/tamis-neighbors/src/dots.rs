//! Proposals for single pairs.

use ndarray::ArrayView2;
use pulp::{Arch, Simd, WithSimd};

/// Sums that one dot product keeps apart, to hide the latency of a multiply-add.
const N_SUMS: usize = 4;

/// Writes the f32 dot product of each pair of a row of `queries` and a row of `base`.
///
/// The order of the sums is that of the machine: these are proposals as those of a matrix product, within
/// [`proposal_margin`](crate::proposal_margin).
///
/// # Panics
/// When a matrix is not in standard layout.
pub(crate) fn dots(
    queries: ArrayView2<'_, f32>,
    base: ArrayView2<'_, f32>,
    pairs: &[(u32, u32)],
    scores: &mut Vec<f32>,
) {
    let dim = base.ncols();
    let queries = queries.to_slice().expect("because vectors are kept row-major");
    let base = base.to_slice().expect("because vectors are kept row-major");
    scores.clear();
    Arch::new().dispatch(Dots { queries, base, dim, pairs, scores });
}

struct Dots<'a> {
    queries: &'a [f32],
    base: &'a [f32],
    dim: usize,
    pairs: &'a [(u32, u32)],
    scores: &'a mut Vec<f32>,
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let dim = self.dim;
        for (a, b) in self.pairs {
            let a = &self.queries[*a as usize * dim..][..dim];
            let b = &self.base[*b as usize * dim..][..dim];
            let score = dot(simd, a, b);
            self.scores.push(score);
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = S::as_simd_f32s(a);
    let (b, b_rest) = S::as_simd_f32s(b);
    let (a, a_few) = a.as_chunks::<N_SUMS>();
    let (b, b_few) = b.as_chunks::<N_SUMS>();
    let mut sums = [simd.splat_f32s(0.0); N_SUMS];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = simd.mul_add_e_f32s(*a, *b, *sum);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_few).zip(b_few) {
        *sum = simd.mul_add_e_f32s(*a, *b, *sum);
    }
    let pairs = [simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])];
    let mut score = simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1]));
    for (a, b) in a_rest.iter().zip(b_rest) {
        score += a * b;
    }
    score
}
