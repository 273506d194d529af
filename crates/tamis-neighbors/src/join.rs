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
/// `rows` has shape `(n, dim)` and unit rows in standard layout. Time O(n^2 dim / 2), memory O(pairs + threads x tile); while a round runs,
/// each of its blocks may hold up to twice the cap.
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
    // A round of one block per thread: what a round may keep is known before it starts, so memory is bounded by the cap
    // and one round, and what is kept does not depend on the number of threads.
    for round in firsts.chunks(rayon::current_num_threads()) {
        let room = options.max_pairs - found.pairs.len();
        let blocks: Vec<RowPairs> = round
            .par_iter()
            .map(|first| {
                let last = (first + block_rows).min(queries.nrows());
                let pairs = join_block(queries, *first..last, base, triangle, options.min_cosine, room);
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

/// Pairs of the queries `range`, ascending; the first `keep` of them are kept, all are counted.
fn join_block(
    queries: ArrayView2<'_, f32>,
    range: std::ops::Range<usize>,
    base: ArrayView2<'_, f32>,
    triangle: bool,
    min_cosine: f32,
    keep: usize,
) -> RowPairs {
    let margin = proposal_margin(base.ncols());
    let rows = queries.slice(s![range.clone(), ..]);
    let from = if triangle { range.start + 1 } else { 0 };
    let mut found = RowPairs::default();
    for_each_tile(rows, base, from, |first, tile| {
        for (i, scores) in tile.axis_iter(Axis(0)).enumerate() {
            let a = range.start + i;
            for (j, score) in scores.iter().enumerate() {
                let b = first + j;
                if *score < min_cosine - margin || (triangle && b <= a) {
                    continue;
                }
                if keep == 0 && min_cosine + margin <= *score {
                    // Nobody will see the pair, and it counts whatever its exact cosine is.
                    found.n_found += 1;
                    continue;
                }
                let cosine = canonical_dot(slice(&queries, a), slice(&base, b));
                if min_cosine <= cosine {
                    found.n_found += 1;
                    found.pairs.push(RowPair { a: index(a), b: index(b), cosine });
                }
            }
        }
        if 2 * keep <= found.pairs.len() {
            first_pairs(&mut found.pairs, keep);
        }
    });
    first_pairs(&mut found.pairs, keep);
    found
}

/// Sorts `pairs` and keeps the first `keep`.
fn first_pairs(pairs: &mut Vec<RowPair>, keep: usize) {
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    pairs.truncate(keep);
}

pub(crate) fn slice<'a>(rows: &'a ArrayView2<'_, f32>, row: usize) -> &'a [f32] {
    let all = rows.as_slice().expect("because vectors are kept row-major");
    &all[row * rows.ncols()..(row + 1) * rows.ncols()]
}

pub(crate) fn index(row: usize) -> u32 {
    u32::try_from(row).expect("because a dataset has fewer than 2^32 samples")
}
