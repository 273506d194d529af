//! Attention of each sample, head by head: scores, softmax and context of a block of queries before the next block.
//!
//! Memory: the packed keys and values of one head of one sample, and the scores of one block.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::CpuRows;
use super::math::exp;
use super::product::{Into, PANEL, Panels, Product, Strided, pack};
use crate::ops::{Activation, Attention, Columns, Heads, Span};

/// Queries whose scores are held at once: as many as a pass of a product takes.
const QUERIES: usize = 48;

/// Writes the contexts of all heads to `out`, shape `(queries, n_heads * head_dim)`.
pub(super) fn attend(heads: &Heads<'_, CpuRows>, attention: &Attention<CpuRows>, out: &mut [f32]) {
    Arch::new().dispatch(Attend { heads, attention, first: 0, out });
}

/// One call of [`attend`].
struct Attend<'a> {
    heads: &'a Heads<'a, CpuRows>,
    attention: &'a Attention<CpuRows>,
    /// Row of `out` where the queries of the sample at hand begin: `out` has no gaps, the rows they are read from may.
    first: usize,
    out: &'a mut [f32],
}

/// What one head of one sample leaves to the next.
#[derive(Default)]
struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let attention = self.attention;
        let shared = attention.n_heads / attention.n_key_heads;
        let mut scratch = Scratch::default();
        for (queries, keys) in self.heads.query_spans.iter().zip(self.heads.key_spans) {
            for head in 0..attention.n_heads {
                if head % shared == 0 {
                    self.pack(*keys, head / shared, &mut scratch);
                }
                let mut first = 0;
                while first < queries.len {
                    let block = first..queries.len.min(first + QUERIES);
                    self.block(simd, head, (*queries, block.clone()), keys.len, &mut scratch);
                    first = block.end;
                }
            }
            self.first += queries.len;
        }
    }
}

impl Attend<'_> {
    /// Lays out the keys of a head as outputs of a product, and its values as inputs of one.
    #[inline(always)]
    fn pack(&self, span: Span, head: usize, scratch: &mut Scratch) {
        let dim = self.attention.head_dim;
        let Scratch { keys, values, .. } = scratch;
        let key = &self.heads.key;
        let first = key.first + head * dim;
        pack(|place| &key.rows.row(span.start + place)[first..first + dim], dim, span.len, keys);
        values.clear();
        values.resize(dim.next_multiple_of(PANEL) * span.len, 0.0);
        for (place, value) in rows_of(&self.heads.value, span, head * dim, dim).enumerate() {
            let (whole, rest) = value.as_chunks::<PANEL>();
            for (panel, part) in whole.iter().enumerate() {
                // Of a known length: copied without a call.
                values[(panel * span.len + place) * PANEL..].as_chunks_mut().0[0] = *part;
            }
            if !rest.is_empty() {
                values[(whole.len() * span.len + place) * PANEL..][..rest.len()].copy_from_slice(rest);
            }
        }
    }

    /// The contexts of some queries of a sample, for one head.
    #[inline(always)]
    fn block<S: Simd>(
        &mut self,
        simd: S,
        head: usize,
        (span, block): (Span, Range<usize>),
        n_keys: usize,
        scratch: &mut Scratch,
    ) {
        let attention = self.attention;
        let (dim, reach) = (attention.head_dim, attention.reach);
        // The keys that some query of the block sees, from the beginning of a panel on.
        let seen = reach.keys(block.start, n_keys).start / PANEL * PANEL..reach.keys(block.end - 1, n_keys).end;
        let width = seen.len().next_multiple_of(PANEL);
        let Scratch { keys, values, scores } = scratch;
        if scores.len() < block.len() * width {
            scores.resize(block.len() * width, 0.0);
        }
        let scores = &mut scores[..block.len() * width];
        let query = &self.heads.query;
        let scored = Product {
            x: Strided {
                values: &query.rows.values[(span.start + block.start) * query.rows.width + query.first + head * dim..],
                stride: query.rows.width,
            },
            n_rows: block.len(),
            panels: Panels { values: &keys[seen.start * dim..], n_in: dim, depth: dim },
            bias: None,
            activation: Activation::Identity,
            into: Into::Place,
            n_out: width, // what stands beyond the last key is not visible
            out_stride: width,
        };
        scored.run(simd, scores);
        for (place, scores) in block.clone().zip(scores.chunks_exact_mut(width)) {
            let visible = reach.keys(place, n_keys);
            let visible = visible.start - seen.start..visible.end - seen.start;
            let distance = seen.start + visible.start; // of the first visible key, counted from the first key
            let bias = attention.bias.as_ref().map(|bias| Bias { bias, head, first: distance, place });
            softmax(simd, scores, visible, attention.scale, bias);
        }
        let out_stride = attention.query_width();
        let context = Product {
            x: Strided { values: scores, stride: width },
            n_rows: block.len(),
            panels: Panels { values: &values[seen.start * PANEL..], n_in: seen.len(), depth: n_keys },
            bias: None,
            activation: Activation::Identity,
            into: Into::Place,
            n_out: dim,
            out_stride,
        };
        context.run(simd, &mut self.out[(self.first + block.start) * out_stride + head * dim..]);
    }
}

/// What is added to the scores of one query.
struct Bias<'a> {
    bias: &'a CpuRows,
    head: usize,
    /// The first key that is seen.
    first: usize,
    /// Place of the query.
    place: usize,
}

/// Softmax of the scores `visible` in a row of whole registers; the others become 0.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [f32], visible: Range<usize>, scale: f32, bias: Option<Bias<'_>>) {
    let mut factor = simd.splat_f32s(scale);
    if let Some(Bias { bias, head, first, place }) = bias {
        let middle = bias.values.len() / bias.width / 2;
        let rows = bias.values.chunks_exact(bias.width).skip(middle + first - place);
        scores[visible.clone()].iter_mut().zip(rows).for_each(|(score, row)| *score = *score * scale + row[head]);
        factor = simd.splat_f32s(1.0);
    }
    scores[..visible.start].fill(f32::NEG_INFINITY);
    scores[visible.end..].fill(f32::NEG_INFINITY);
    let vectors = S::as_mut_simd_f32s(scores).0;
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for score in vectors.iter_mut() {
        *score = simd.mul_f32s(*score, factor);
        max = simd.max_f32s(max, *score);
    }
    let max = simd.splat_f32s(simd.reduce_max_f32s(max));
    let mut total = simd.splat_f32s(0.0);
    for score in vectors.iter_mut() {
        // Of what is not visible about 1e-38, too little to change a sum that is 1 at least.
        *score = exp(simd, simd.sub_f32s(*score, max));
        total = simd.add_f32s(total, *score);
    }
    let factor = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(total));
    for score in vectors {
        *score = simd.mul_f32s(*score, factor);
    }
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
}

/// The rows of a span, `dim` columns from `column` behind the first one on.
#[inline(always)]
fn rows_of<'a>(
    columns: &Columns<'a, CpuRows>,
    span: Span,
    column: usize,
    dim: usize,
) -> impl Iterator<Item = &'a [f32]> + use<'a> {
    let first = columns.first + column;
    let width = columns.rows.width;
    let rows = &columns.rows.values[span.start * width..(span.start + span.len) * width];
    rows.chunks_exact(width).map(move |row| &row[first..first + dim])
}
