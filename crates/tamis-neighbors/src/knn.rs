//! The k nearest neighbors of every row, and the k nearest rows of a base for every query.

use std::cmp::Ordering;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use tamis_core::Task;

use crate::blocks::{TILE_COLUMNS, tile};
use crate::distinct::DistinctRows;
use crate::dots::dots;
use crate::join::{HITS_PER_TILE, index, slice};
use crate::screen::{Rounded, Screen, Want, plan};
use crate::{canonical_dot, proposal_margin};

/// Rows of one block; a tile of 128 rows takes 0.5 MB.
pub(crate) const BLOCK_ROWS: usize = 128;

/// Columns of the first tile before a screen: a few times the neighbors that are asked for, and a multiple of its step.
const FIRST_COLUMNS: usize = 64;

/// The k nearest rows of every row, best first; ties go to the smaller row.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbors {
    /// Shape `(n, k)`.
    pub ids: Array2<u32>,
    /// Shape `(n, k)`, canonical cosine, not increasing along a row.
    pub cosine: Array2<f32>,
}

/// Finds the `k` nearest other rows of every row, or all other rows where there are fewer than `k`.
///
/// `rows` has shape `(n, dim)` and unit rows in standard layout. Time O(n^2 dim) at most. Memory O(n k), that of a screen as in
/// [`self_join`](crate::self_join), and where rows are equal that of the different ones. Tells `task` of every row that is
/// done.
///
/// Rows with the same bits are compared once. The worst case are many rows that differ, but by less than twice
/// [`proposal_margin`]: each pair of them is computed once more by [`canonical_dot`], and 8 bytes are kept for each pair of
/// a block of 128 rows that a thread has.
///
/// # Panics
/// When `rows` is not in standard layout.
#[must_use]
pub fn knn(rows: ArrayView2<'_, f32>, k: usize, task: &dyn Task) -> Neighbors {
    let k = k.min(rows.nrows().saturating_sub(1));
    let distinct = DistinctRows::of(rows);
    task.advance((rows.nrows() - distinct.len()) as u64);
    let screen = plan(None, distinct.rows(), Want::Neighbors(k.min(distinct.len()))).map(Rounded::screen);
    let found = nearest(None, distinct.rows(), k.min(distinct.len().saturating_sub(1)), screen.as_ref(), task);
    distinct.expand(found, k)
}

/// Finds the `k` nearest rows of `base` for every row of `queries`, or all of them where there are fewer.
///
/// Shapes `(m, dim)` and `(n, dim)`, unit rows in standard layout. Time O(m n dim) at most; memory and the worst case as in
/// [`knn`], with O(m k). Tells `task` of every query that is done.
///
/// # Panics
/// When the dimensions differ or a matrix is not in standard layout.
#[must_use]
pub fn nearest_in(queries: ArrayView2<'_, f32>, base: ArrayView2<'_, f32>, k: usize, task: &dyn Task) -> Neighbors {
    assert_eq!(queries.ncols(), base.ncols(), "because a cosine needs vectors of one length");
    let distinct = DistinctRows::of(base);
    let n_nearest = k.min(distinct.len());
    let screen = plan(Some(queries), distinct.rows(), Want::Neighbors(n_nearest)).map(Rounded::screen);
    let found = nearest(Some(queries), distinct.rows(), n_nearest, screen.as_ref(), task);
    distinct.expand_in(found, k.min(base.nrows()))
}

/// The `k` nearest rows of `base`, which has as many, to each query; without queries, the nearest others to each row of it.
pub(crate) fn nearest(
    queries: Option<ArrayView2<'_, f32>>,
    base: ArrayView2<'_, f32>,
    k: usize,
    screen: Option<&Screen>,
    task: &dyn Task,
) -> Neighbors {
    let n = queries.unwrap_or(base).nrows();
    let mut ids = Array2::zeros((n, k));
    let mut cosine = Array2::zeros((n, k));
    let blocks = ids.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).into_par_iter();
    let blocks = blocks.zip(cosine.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS)).enumerate();
    blocks.for_each(|(block, (mut ids, mut cosine))| {
        let first = block * BLOCK_ROWS;
        for (i, best) in of_block(queries, base, first..first + ids.nrows(), k, screen).into_iter().enumerate() {
            for (j, (similarity, row)) in best.into_iter().enumerate() {
                ids[[i, j]] = row;
                cosine[[i, j]] = similarity;
            }
        }
        task.advance(ids.nrows() as u64);
    });
    Neighbors { ids, cosine }
}

/// The `k` nearest rows to each query of `range`.
fn of_block(
    queries: Option<ArrayView2<'_, f32>>,
    base: ArrayView2<'_, f32>,
    range: Range<usize>,
    k: usize,
    screen: Option<&Screen>,
) -> Vec<Vec<(f32, u32)>> {
    let margin = 2.0 * proposal_margin(base.ncols());
    let mut candidates: Vec<Candidates> = range.clone().map(|_| Candidates::new(k, margin)).collect();
    // A row is no neighbor of itself.
    let is_other = |query: usize, row: u32| queries.is_some() || range.start + query != row as usize;
    let rows = queries.unwrap_or(base);
    let some = rows.slice(s![range.clone(), ..]);
    let (mut hits, mut scores, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    while first < base.nrows() {
        // Few at first where a screen waits for floors.
        let width = if screen.is_some() { first.clamp(FIRST_COLUMNS, TILE_COLUMNS) } else { TILE_COLUMNS };
        let columns = first..(first + width).min(base.nrows());
        let most = range.len() * columns.len() / HITS_PER_TILE;
        let floors = candidates.iter().map(|candidates| candidates.floor);
        if let Some(screen) = screen
            && screen.hits(range.clone(), floors, columns.clone(), most, &mut hits)
        {
            dots(some, base, &hits, &mut scores);
            for ((query, row), score) in hits.iter().zip(&scores) {
                if is_other(*query as usize, *row) {
                    candidates[*query as usize].consider(*score, *row);
                }
            }
        } else {
            let tile = tile(some, base, columns.clone(), &mut buffer);
            for ((query, scores), candidates) in tile.axis_iter(Axis(0)).enumerate().zip(&mut candidates) {
                for (row, score) in (index(first)..).zip(scores) {
                    if is_other(query, row) {
                        candidates.consider(*score, row);
                    }
                }
            }
        }
        if screen.is_some() {
            candidates.iter_mut().for_each(Candidates::raise);
        }
        first = columns.end;
    }
    let decide = |(query, candidates): (usize, Candidates)| candidates.decide(slice(&rows, range.start + query), base);
    candidates.into_iter().enumerate().map(decide).collect()
}

/// The larger cosine first, then the smaller row.
pub(crate) fn by_cosine(x: &(f32, u32), y: &(f32, u32)) -> Ordering {
    y.0.total_cmp(&x.0).then(x.1.cmp(&y.1))
}

/// Rows that may be among the k nearest: everything within twice the margin of the k-th best proposal so far. A row
/// below that floor is exactly beaten by k others.
#[derive(Default)]
pub(crate) struct Candidates {
    pub(crate) k: usize,
    pub(crate) margin: f32,
    /// What a proposal has to reach.
    pub(crate) floor: f32,
    pub(crate) rows: Vec<(f32, u32)>,
    /// Rows left by the last look.
    pub(crate) pruned: usize,
    /// Rows at which to look again.
    prune_at: usize,
}

impl Candidates {
    pub(crate) fn new(k: usize, margin: f32) -> Self {
        Self {
            k,
            margin,
            floor: if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY },
            rows: Vec::new(),
            pruned: 0,
            prune_at: 4 * k + 32,
        }
    }

    /// Takes row `b` with the proposal `score` where it may be among the nearest.
    #[inline]
    pub(crate) fn consider(&mut self, score: f32, b: u32) {
        if self.floor <= score {
            self.push(score, b);
        }
    }

    /// The k nearest of `base` to `row` by the canonical dot, best first; ties go to the smaller row.
    pub(crate) fn decide(self, row: &[f32], base: ArrayView2<'_, f32>) -> Vec<(f32, u32)> {
        let exact = self.rows.iter().map(|(_, b)| (canonical_dot(row, slice(&base, *b as usize)), *b));
        let mut exact: Vec<(f32, u32)> = exact.collect();
        exact.sort_by(by_cosine);
        exact.truncate(self.k);
        exact
    }

    /// Raises the floor where rows have come since it was set.
    pub(crate) fn raise(&mut self) {
        if self.pruned < self.rows.len() && self.k <= self.rows.len() && self.k != 0 {
            self.prune();
        }
    }

    fn push(&mut self, score: f32, row: u32) {
        self.rows.push((score, row));
        if self.prune_at <= self.rows.len() {
            self.prune();
        }
    }

    fn prune(&mut self) {
        let (_, kth, _) = self.rows.select_nth_unstable_by(self.k - 1, |x, y| y.0.total_cmp(&x.0));
        self.floor = self.floor.max(kth.0 - self.margin);
        self.rows.retain(|(score, _)| self.floor <= *score);
        // Many rows may lie within the margin; then the next look comes after as many again.
        self.pruned = self.rows.len();
        self.prune_at = (2 * self.rows.len()).max(4 * self.k + 32);
    }
}
