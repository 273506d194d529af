//! Attention of each sample, head by head: scores, softmax and context of a block of queries before the next block.
//!
//! Memory: the packed keys and values of one head of one sample, and the scores of one block.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::CpuRows;
use super::math::exp;
use super::product::{Into, PANEL, Panels, Product, Strided, pack};
use super::rows::sum;
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
    head: Vec<f32>,
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
        scratch.head.clear();
        rows_of(&self.heads.key, span, head * dim, dim).for_each(|key| scratch.head.extend_from_slice(key));
        pack(&scratch.head, dim, span.len, &mut scratch.keys);
        let Scratch { values, .. } = scratch;
        values.clear();
        values.resize(dim.next_multiple_of(PANEL) * span.len, 0.0);
        for (place, value) in rows_of(&self.heads.value, span, head * dim, dim).enumerate() {
            for (panel, part) in value.chunks(PANEL).enumerate() {
                values[(panel * span.len + place) * PANEL..][..part.len()].copy_from_slice(part);
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
        let Scratch { keys, values, scores, .. } = scratch;
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
            n_out: seen.len(),
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

/// Softmax of the scores `visible`; the others become 0.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [f32], visible: Range<usize>, scale: f32, bias: Option<Bias<'_>>) {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    let scores = &mut scores[visible];
    if let Some(Bias { bias, head, first, place }) = bias {
        let middle = bias.values.len() / bias.width / 2;
        let rows = bias.values.chunks_exact(bias.width).skip(middle + first - place);
        scores.iter_mut().zip(rows).for_each(|(score, row)| *score = *score * scale + row[head]);
    } else {
        scores.iter_mut().for_each(|score| *score *= scale);
    }
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = simd.splat_f32s(max);
    let (vectors, rest) = S::as_mut_simd_f32s(scores);
    for score in vectors {
        *score = exp(simd, simd.sub_f32s(*score, shift));
    }
    let tail = exp(simd, simd.sub_f32s(simd.partial_load_f32s(rest), shift));
    simd.partial_store_f32s(rest, tail);
    let scale = 1.0 / sum(scores, |x| x);
    scores.iter_mut().for_each(|score| *score *= scale);
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
