//! The k nearest rows of a base for every query.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use tamis_core::Task;

use crate::blocks::{TILE_COLUMNS, tile};
use crate::join::{index, slice};
use crate::knn::{BLOCK_ROWS, Candidates, Neighbors};
use crate::proposal_margin;

/// Finds the `k` nearest rows of `base` for every row of `queries`, or all of them where there are fewer; best first, ties
/// to the smaller row.
///
/// Shapes `(m, dim)` and `(n, dim)`, unit rows in standard layout. Time O(m n dim), memory O(m k). Tells `task` of every
/// query that is done.
///
/// # Panics
/// When the dimensions differ or a matrix is not in standard layout.
#[must_use]
pub fn nearest_in(queries: ArrayView2<'_, f32>, base: ArrayView2<'_, f32>, k: usize, task: &dyn Task) -> Neighbors {
    assert_eq!(queries.ncols(), base.ncols(), "because a cosine needs vectors of one length");
    let k = k.min(base.nrows());
    let mut ids = Array2::zeros((queries.nrows(), k));
    let mut cosine = Array2::zeros((queries.nrows(), k));
    let blocks = ids.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).into_par_iter();
    let blocks = blocks.zip(cosine.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS)).enumerate();
    blocks.for_each(|(block, (mut ids, mut cosine))| {
        let first = block * BLOCK_ROWS;
        let queries = queries.slice(s![first..first + ids.nrows(), ..]);
        let margin = 2.0 * proposal_margin(base.ncols());
        let mut candidates: Vec<Candidates> = (0..ids.nrows()).map(|_| Candidates::new(k, margin)).collect();
        let mut buffer = Vec::new();
        for start in (0..base.nrows()).step_by(TILE_COLUMNS) {
            let columns = start..(start + TILE_COLUMNS).min(base.nrows());
            let tile = tile(queries, base, columns, &mut buffer);
            for (scores, candidates) in tile.axis_iter(Axis(0)).zip(&mut candidates) {
                for (b, score) in (index(start)..).zip(scores) {
                    candidates.consider(*score, b);
                }
            }
        }
        for (i, candidates) in candidates.into_iter().enumerate() {
            for (j, (similarity, row)) in candidates.decide(slice(&queries, i), base).into_iter().enumerate() {
                ids[[i, j]] = row;
                cosine[[i, j]] = similarity;
            }
        }
        task.advance(ids.nrows() as u64);
    });
    Neighbors { ids, cosine }
}
