//! Threshold joins: all pairs of rows whose cosine reaches a minimum.

use ndarray::{ArrayView2, Axis, s};
use rayon::prelude::*;
use tamis_core::Task;

use crate::blocks::for_each_tile;
use crate::{canonical_dot, proposal_margin};

/// Options of a threshold join.
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    /// Smallest cosine that counts.
    pub min_cosine: f32,
    /// Most pairs to keep, in order of the rows; further ones are counted only.
    pub max_pairs: usize,
    /// Rows of one block; changes speed and memory, never the result.
    pub block_rows: usize,
}

impl Default for JoinOptions {
    /// Cosine 0.95; ten million pairs, which take 120 MB; blocks of 256 rows, whose tile takes 1 MB.
    fn default() -> Self {
        Self { min_cosine: 0.95, max_pairs: 10_000_000, block_rows: 256 }
    }
}

/// Two rows and their cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowPair {
    /// Row of the queries; in a self-join the smaller row.
    pub a: u32,
    /// Row of the base; in a self-join the larger row.
    pub b: u32,
    /// The canonical cosine.
    pub cosine: f32,
}

/// The pairs of a join, ascending by `(a, b)`.
#[derive(Clone, Debug, Default)]
pub struct RowPairs {
    /// The pairs kept.
    pub pairs: Vec<RowPair>,
    /// How many there are in all.
    pub n_found: u64,
}

/// Finds all pairs of different rows of `rows` with a cosine of at least `min_cosine`.
///
/// `rows` has shape `(n, dim)` and unit rows in standard layout. Time O(n^2 dim / 2), memory O(pairs + threads x tile).
/// Tells `task` of every row that is done.
///
/// # Panics
/// When `rows` is not in standard layout.
#[must_use]
pub fn self_join(rows: ArrayView2<'_, f32>, options: &JoinOptions, task: &dyn Task) -> RowPairs {
    join(rows, rows, true, options, task)
}

/// Finds all pairs of a row of `queries` and a row of `base` with a cosine of at least `min_cosine`.
///
/// Shapes `(m, dim)` and `(n, dim)`, unit rows in standard layout. Time O(m n dim).
///
/// # Panics
/// When the dimensions differ or a matrix is not in standard layout.
#[must_use]
pub fn cross_join(
    queries: ArrayView2<'_, f32>,
    base: ArrayView2<'_, f32>,
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    join(queries, base, false, options, task)
}

fn join(
    queries: ArrayView2<'_, f32>,
    base: ArrayView2<'_, f32>,
    triangle: bool,
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    assert_eq!(queries.ncols(), base.ncols(), "because a cosine needs vectors of one length");
    let block_rows = options.block_rows.max(1);
    let firsts: Vec<usize> = (0..queries.nrows()).step_by(block_rows).collect();
    let mut found = RowPairs::default();
    // Rounds of blocks, so that pairs beyond the cap are dropped as they come and not held until the end.
    for round in firsts.chunks(64) {
        let blocks: Vec<RowPairs> = round
            .par_iter()
            .map(|first| {
                let last = (first + block_rows).min(queries.nrows());
                let pairs = join_block(queries, *first..last, base, triangle, options);
                task.advance((last - first) as u64);
                pairs
            })
            .collect();
        for block in blocks {
            let room = options.max_pairs - found.pairs.len();
            found.n_found += block.n_found;
            found.pairs.extend(block.pairs.into_iter().take(room));
        }
    }
    found
}

/// Pairs of the queries `range`, ascending; at most `max_pairs` of them are kept.
fn join_block(
    queries: ArrayView2<'_, f32>,
    range: std::ops::Range<usize>,
    base: ArrayView2<'_, f32>,
    triangle: bool,
    options: &JoinOptions,
) -> RowPairs {
    let propose = options.min_cosine - proposal_margin(base.ncols());
    let rows = queries.slice(s![range.clone(), ..]);
    let from = if triangle { range.start + 1 } else { 0 };
    let mut proposed: Vec<(usize, usize)> = Vec::new();
    let mut found = RowPairs::default();
    for_each_tile(rows, base, from, |first, tile| {
        for (i, scores) in tile.axis_iter(Axis(0)).enumerate() {
            let a = range.start + i;
            let hits = scores.iter().enumerate().filter(|(_, score)| propose <= **score);
            proposed.extend(hits.map(|(j, _)| (a, first + j)).filter(|(a, b)| !triangle || a < b));
        }
        // The tile's proposals are decided at once, so that memory is bounded by the pairs that count.
        for (a, b) in proposed.drain(..) {
            let cosine = canonical_dot(slice(&queries, a), slice(&base, b));
            if options.min_cosine <= cosine {
                found.n_found += 1;
                found.pairs.push(RowPair { a: index(a), b: index(b), cosine });
            }
        }
    });
    found.pairs.sort_by_key(|pair| (pair.a, pair.b));
    found.pairs.truncate(options.max_pairs);
    found
}

pub(crate) fn slice<'a>(rows: &'a ArrayView2<'_, f32>, row: usize) -> &'a [f32] {
    let all = rows.as_slice().expect("because vectors are kept row-major");
    &all[row * rows.ncols()..(row + 1) * rows.ncols()]
}

pub(crate) fn index(row: usize) -> u32 {
    u32::try_from(row).expect("because a dataset has fewer than 2^32 samples")
}
