//! Threshold joins: all pairs of rows whose cosine reaches a minimum.

use std::ops::Range;

use ndarray::{ArrayView2, Axis, s};
use rayon::prelude::*;
use tamis_core::Task;

use crate::blocks::{TILE_COLUMNS, tile};
use crate::cells::{Cells, CellsUsed};
use crate::dots::dots;
use crate::screen::{Rounded, STEP, Screen, Want, plan};
use crate::{canonical_dot, proposal_margin};

/// A screen that leaves more than one pair of a tile in this many costs more than the tile's product.
pub(crate) const HITS_PER_TILE: usize = 16;

/// Options of a threshold join.
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    /// Smallest cosine that counts: below -1 all pairs count, above 1 none, and none where it is no number.
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
    /// How many there are in all; where rows stand for copies, how many pairs of copies.
    pub n_found: u64,
    /// The cells that rows were put into, where that was expected to save time.
    pub cells: Option<CellsUsed>,
}

/// Finds all pairs of different rows of `rows` with a cosine of at least `min_cosine`.
///
/// `rows` has shape `(n, dim)` and unit rows in standard layout. Time O(n^2 dim / 2) at most, and less where a screen leaves
/// out pairs; memory O(pairs + threads x tile) and, with a screen, up to two bytes for each number of `rows`, five on
/// machines without VNNI. While a round runs, each of its blocks may hold up to twice the cap.
/// Tells `task` of every row that is done.
///
/// # Panics
/// When `rows` is not in standard layout.
#[must_use]
pub fn self_join(rows: ArrayView2<'_, f32>, options: &JoinOptions, task: &dyn Task) -> RowPairs {
    join_with_itself(rows, None, options, task)
}

/// As [`self_join`], but every row stands for as many rows as `copies` says: a pair counts as often as their product.
///
/// The cap is on pairs of `rows`. Pairs of copies of one row are not counted.
///
/// # Panics
/// When `rows` is not in standard layout, or `copies` has another length.
#[must_use]
pub fn self_join_of_copies(
    rows: ArrayView2<'_, f32>,
    copies: &[u32],
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    join_with_itself(rows, Some(copies), options, task)
}

/// In cells, by a screen, or plainly: the way that is expected to take least time.
fn join_with_itself(
    rows: ArrayView2<'_, f32>,
    copies: Option<&[u32]>,
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    let rounded = plan(None, rows, Want::Cosine(options.min_cosine));
    if let Some(rounded) = &rounded
        && let Some(cells) = Cells::plan(rows, rounded, options.min_cosine)
    {
        return cells.join(rows, copies, rounded, options, task);
    }
    let screen = rounded.map(Rounded::screen);
    join(None, rows, copies.map(|copies| [copies, copies]), screen.as_ref(), options, task)
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
    assert_eq!(queries.ncols(), base.ncols(), "because a cosine needs vectors of one length");
    let screen = plan(Some(queries), base, Want::Cosine(options.min_cosine)).map(Rounded::screen);
    join(Some(queries), base, None, screen.as_ref(), options, task)
}

/// As [`cross_join`], but every row stands for as many rows as `copies`, of the queries and of the base, says: a pair
/// counts as often as their product.
///
/// The cap is on pairs of a row of `queries` and a row of `base`.
///
/// # Panics
/// When the dimensions differ, a matrix is not in standard layout, or `copies` has other lengths.
#[must_use]
pub fn cross_join_of_copies(
    queries: ArrayView2<'_, f32>,
    base: ArrayView2<'_, f32>,
    copies: [&[u32]; 2],
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    assert_eq!(queries.ncols(), base.ncols(), "because a cosine needs vectors of one length");
    let screen = plan(Some(queries), base, Want::Cosine(options.min_cosine)).map(Rounded::screen);
    join(Some(queries), base, Some(copies), screen.as_ref(), options, task)
}

pub(crate) fn join(
    queries: Option<ArrayView2<'_, f32>>,
    base: ArrayView2<'_, f32>,
    copies: Option<[&[u32]; 2]>,
    screen: Option<&Screen>,
    options: &JoinOptions,
    task: &dyn Task,
) -> RowPairs {
    let triangle = queries.is_none();
    let queries = queries.unwrap_or(base);
    let block_rows = options.block_rows.max(1);
    let firsts: Vec<usize> = (0..queries.nrows()).step_by(block_rows).collect();
    let search = Search::new(queries, base, copies, options.min_cosine);
    let mut found = RowPairs::default();
    // A round of one block per thread: what a round may keep is known before it starts, so memory is bounded by the cap
    // and one round, and what is kept does not depend on the number of threads.
    for round in firsts.chunks(rayon::current_num_threads()) {
        let room = options.max_pairs - found.pairs.len();
        let blocks: Vec<RowPairs> = round
            .par_iter()
            .map(|first| {
                let last = (first + block_rows).min(queries.nrows());
                let pairs = search.block(*first..last, triangle, screen, room);
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

/// What all blocks of a join share.
pub(crate) struct Search<'a> {
    pub(crate) queries: ArrayView2<'a, f32>,
    pub(crate) base: ArrayView2<'a, f32>,
    /// For how many rows a query and a row of the base stand; one where there is nothing.
    copies: Option<[&'a [u32]; 2]>,
    pub(crate) min_cosine: f32,
    /// Of a proposal: that of a product in f32, where nothing else is set.
    pub(crate) margin: f32,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        queries: ArrayView2<'a, f32>,
        base: ArrayView2<'a, f32>,
        copies: Option<[&'a [u32]; 2]>,
        min_cosine: f32,
    ) -> Self {
        if let Some(copies) = copies {
            let lengths = [queries.nrows(), base.nrows()];
            assert_eq!(copies.map(<[u32]>::len), lengths, "because each row stands for a number of rows");
        }
        Self { queries, base, copies, min_cosine, margin: proposal_margin(base.ncols()) }
    }

    /// Pairs of the queries `range`, ascending; the first `keep` of them are kept, all are counted. Of a `triangle`, pairs
    /// with a larger row of the base.
    fn block(&self, range: Range<usize>, triangle: bool, screen: Option<&Screen>, keep: usize) -> RowPairs {
        let rows = self.queries.slice(s![range.clone(), ..]);
        let from = if triangle { (range.start + 1) / STEP * STEP } else { 0 };
        let mut found = RowPairs::default();
        let (mut hits, mut scores, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        for first in (from..self.base.nrows()).step_by(TILE_COLUMNS) {
            let columns = first..(first + TILE_COLUMNS).min(self.base.nrows());
            let minima = range.clone().map(|_| self.min_cosine);
            let most = range.len() * columns.len() / HITS_PER_TILE;
            if let Some(screen) = screen
                && screen.hits(range.clone(), minima, columns.clone(), most, &mut hits)
            {
                if triangle {
                    hits.retain(|(a, b)| range.start + (*a as usize) < *b as usize);
                }
                dots(rows, self.base, &hits, &mut scores);
                for ((a, b), score) in hits.iter().zip(&scores) {
                    self.decide(range.start + *a as usize, *b as usize, *score, keep, &mut found);
                }
            } else {
                let tile = tile(rows, self.base, columns, &mut buffer);
                for (a, scores) in range.clone().zip(tile.axis_iter(Axis(0))) {
                    for (b, score) in (first..).zip(scores) {
                        if self.may_count(*score) && (!triangle || a < b) {
                            self.decide(a, b, *score, keep, &mut found);
                        }
                    }
                }
            }
            if 2 * keep <= found.pairs.len() {
                first_pairs(&mut found.pairs, keep);
            }
        }
        first_pairs(&mut found.pairs, keep);
        found
    }

    /// Whether a pair with the proposal `score` may reach the minimum.
    #[inline(always)]
    pub(crate) fn may_count(&self, score: f32) -> bool {
        self.min_cosine - self.margin <= score
    }

    /// Adds the pair `(a, b)`, whose proposal is `score`, where it counts.
    #[inline(always)]
    pub(crate) fn decide(&self, a: usize, b: usize, score: f32, keep: usize, found: &mut RowPairs) {
        if !self.may_count(score) {
            return;
        }
        if keep == 0 && self.min_cosine + self.margin <= score {
            // Nobody will see the pair, and it counts whatever its exact cosine is.
            found.n_found += self.n_pairs(a, b);
            return;
        }
        let cosine = canonical_dot(slice(&self.queries, a), slice(&self.base, b));
        if self.min_cosine <= cosine {
            found.n_found += self.n_pairs(a, b);
            found.pairs.push(RowPair { a: index(a), b: index(b), cosine });
        }
    }

    /// For how many pairs the pair `(a, b)` stands.
    fn n_pairs(&self, a: usize, b: usize) -> u64 {
        self.copies.map_or(1, |[queries, base]| u64::from(queries[a]) * u64::from(base[b]))
    }
}

/// Sorts `pairs` and keeps the first `keep`.
pub(crate) fn first_pairs(pairs: &mut Vec<RowPair>, keep: usize) {
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    pairs.truncate(keep);
}

pub(crate) fn slice<'a>(rows: &'a ArrayView2<'_, f32>, row: usize) -> &'a [f32] {
    let all = rows.as_slice().expect("because vectors are kept row-major");
    &all[row * rows.ncols()..(row + 1) * rows.ncols()]
}

/// A count, or the number of a sample, a text, a word or a token, in 32 bits.
pub(crate) fn index(n: usize) -> u32 {
    u32::try_from(n).expect("because there are fewer than 2^32 samples, words and tokens")
}
