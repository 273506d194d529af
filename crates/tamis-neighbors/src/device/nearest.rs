//! Nearest neighbors by the proposals of a device.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use tamis_core::Task;

use super::tiles::{Engine, Failure, Hit, Share, Tile, Word, places, rounds, run};
use crate::Neighbors;
use crate::join::{index, slice};
use crate::knn::{BLOCK_ROWS, Candidates};

/// Most neighbors that are looked for on a device: a quarter of the threads that look for the floor of a row, so that it is
/// not much below the k-th best proposal of a sample.
pub(super) const MAX_K: usize = 64;

/// Candidates of a query that are decided before all are there: so many times k, and some. Twice as many as make
/// [`Candidates`] look for what they can leave out, so that this concerns queries with many rows within the margin alone.
const FACTOR: usize = 8;
const FEW: usize = 64;

/// What is searched: rows among each other, or queries in a base; and how far proposals are from the canonical dot.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// `None` where the base is compared with itself.
    pub(super) queries: Option<ArrayView2<'a, f32>>,
    pub(super) base: ArrayView2<'a, f32>,
    /// At most [`MAX_K`], and at most the rows that a query is compared with.
    pub(super) k: usize,
    pub(super) margin: f32,
}

/// The k nearest rows of the base for each query; the same as [`crate::knn()`] and [`crate::nearest_in`] find.
///
/// Memory O(n k): a query whose candidates are more than a few times k is decided with what it has.
///
/// # Panics
/// When `k` is more than [`MAX_K`].
pub(super) fn nearest(engine: &mut impl Engine, wanted: Wanted<'_>, task: &dyn Task) -> Result<Neighbors, Failure> {
    let Wanted { queries, base, k, margin } = wanted;
    assert!(k <= MAX_K, "because no more are looked for on a device");
    let rows = queries.unwrap_or(base);
    let mut candidates: Vec<Candidates> = (0..rows.nrows()).map(|_| Candidates::new(k, 2.0 * margin)).collect();
    if k != 0 {
        let floors = engine.floors(&sample(base.nrows(), engine.sizes().columns), k)?;
        candidates.iter_mut().zip(floors).for_each(|(candidates, kth)| candidates.raise_to(kth));
        let rounds = rounds(&engine.sizes(), queries.map(|rows| rows.nrows()), base.nrows());
        let mut share = Share::new(task, rows.nrows(), rounds.iter().flatten().map(places).sum());
        for round in rounds {
            candidates.par_iter_mut().for_each(Candidates::raise);
            let floors: Vec<f32> = candidates.iter().map(|candidates| candidates.floor).collect();
            match queries {
                None => engine.set_limits(&floors, &floors)?,
                Some(_) => engine.set_limits(&floors, &vec![f32::INFINITY; base.nrows()])?,
            }
            run(engine, round, |tile, words| {
                consider(&wanted, &mut candidates, tile, words);
                share.done(tile);
            })?;
        }
        candidates.par_iter_mut().for_each(Candidates::raise);
    }
    let mut ids = Array2::zeros((rows.nrows(), k));
    let mut cosine = Array2::zeros((rows.nrows(), k));
    let blocks = ids.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).into_par_iter();
    let blocks = blocks.zip(cosine.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS));
    blocks.zip(candidates.par_chunks_mut(BLOCK_ROWS)).enumerate().for_each(|(block, ((mut ids, mut cosine), own))| {
        for (i, candidates) in own.iter_mut().enumerate() {
            let best = std::mem::take(candidates).decide(slice(&rows, block * BLOCK_ROWS + i), base);
            for (j, (similarity, row)) in best.into_iter().enumerate() {
                ids[[i, j]] = row;
                cosine[[i, j]] = similarity;
            }
        }
    });
    Ok(Neighbors { ids, cosine })
}

impl Candidates {
    /// Raises the floor to what it is when the proposals of `k` rows, which are yet to come, reach `kth`.
    fn raise_to(&mut self, kth: f32) {
        self.floor = self.floor.max(kth - self.margin);
    }

    /// Leaves the k nearest to `row` so far, by the canonical dot, where there are many more: these exactly beat the others.
    fn settle(&mut self, row: &[f32], base: ArrayView2<'_, f32>) {
        if FACTOR * self.k + FEW < self.rows.len() {
            let mut seen = Self::new(self.k, self.margin);
            std::mem::swap(&mut seen.rows, &mut self.rows);
            self.rows = seen.decide(row, base);
            self.pruned = 0;
            self.raise();
        }
    }
}

/// At most `most` of `n` rows, evenly spread.
fn sample(n: usize, most: usize) -> Vec<u32> {
    let n_sampled = n.min(most);
    (0..n_sampled).map(|i| index(i * n / n_sampled)).collect()
}

/// Takes the pairs that a device lists for a tile: for the query and, where rows are compared among each other, for the row
/// of the base as well.
fn consider(wanted: &Wanted<'_>, candidates: &mut [Candidates], tile: &Tile, words: &[Word]) {
    let rows = wanted.queries.unwrap_or(wanted.base);
    let hits = || words.iter().map(|word| Hit::new(tile, *word));
    // Each thread has some queries, and picks theirs from all pairs.
    let mut side = |first: usize, n: usize, of: &(dyn Fn(Hit) -> (usize, usize) + Sync)| {
        let at_once = n.div_ceil(rayon::current_num_threads());
        let all = candidates[first..first + n].par_chunks_mut(at_once).enumerate();
        all.for_each(|(part, own)| {
            let first = first + part * at_once;
            for (hit, (row, other)) in hits().map(|hit| (hit, of(hit))) {
                if let Some(candidates) = row.checked_sub(first).and_then(|at| own.get_mut(at)) {
                    candidates.consider(hit.score, index(other));
                }
            }
            for (at, candidates) in own.iter_mut().enumerate() {
                candidates.settle(slice(&rows, first + at), wanted.base);
            }
        });
    };
    side(tile.rows.start, tile.rows.len(), &|hit| (hit.a, hit.b));
    if wanted.queries.is_none() {
        side(tile.columns.start, tile.columns.len(), &|hit| (hit.b, hit.a));
    }
}
