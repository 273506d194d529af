//! Tiles of all pairs, and what a device has to do for them.

use std::collections::VecDeque;
use std::error::Error;
use std::ops::Range;

use crate::join::index;

/// Why a device could not do something.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Tiles that a device works on at the same time: one is computed while hits of the other are copied.
pub(super) const N_SLOTS: usize = 2;

/// Most rows and most columns of a tile: a hit has 16 bits for each.
pub(super) const MAX_SIDE: usize = 1 << 16;

/// Some queries and some rows of a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

/// A pair as a device lists it: the row within the tile in the upper 16 bits of the first word, the column in the lower
/// ones; the bits of the proposal, an f32, in the second.
pub(super) type Word = [u32; 2];

/// A pair that may count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    /// Among the queries.
    pub(super) a: usize,
    /// Among the base.
    pub(super) b: usize,
    /// The product, within the margin of the canonical dot.
    pub(super) score: f32,
}

impl Hit {
    pub(super) fn new(tile: &Tile, [place, score]: Word) -> Self {
        Self {
            a: tile.rows.start + (place >> 16) as usize,
            b: tile.columns.start + (place & 0xffff) as usize,
            score: f32::from_bits(score),
        }
    }
}

/// How large the tiles of a device are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Most rows of a tile.
    pub(super) rows: usize,
    /// Most columns of a tile.
    pub(super) columns: usize,
    /// Columns whose products are there at the same time.
    pub(super) part: usize,
    /// Most hits of a tile.
    pub(super) capacity: usize,
}

/// A device that holds queries and a base in half precision, or a base alone that is compared with itself: then a pair is a
/// row and a larger column.
pub(super) trait Engine {
    /// How large tiles may be.
    fn sizes(&self) -> Sizes;

    /// Sets what the proposal of a pair has to reach: the smaller one of the numbers of its query and of its row of the
    /// base. No tile may be in work.
    fn set_limits(&mut self, queries: &[f32], base: &[f32]) -> Result<(), Failure>;

    /// For each query a number that the proposals of `k` different rows of the base reach, other than the query itself;
    /// `-inf` where there are fewer among the rows `sample`.
    fn floors(&mut self, sample: &[u32], k: usize) -> Result<Vec<f32>, Failure>;

    /// Begins to list the pairs of a tile that reach their limit. The slot is free.
    fn begin(&mut self, slot: usize, tile: &Tile) -> Result<(), Failure>;

    /// Waits for a tile and fills `words`, in any order; answers how many pairs there are. Where that is more than the
    /// capacity, `words` is of no use.
    fn end(&mut self, slot: usize, words: &mut Vec<Word>) -> Result<usize, Failure>;
}

/// Computes all `tiles`, splits those that have too many pairs, and gives the pairs of each to `found`, while the next one
/// is computed.
pub(super) fn run(
    engine: &mut impl Engine,
    tiles: impl IntoIterator<Item = Tile>,
    mut found: impl FnMut(&Tile, &[Word]),
) -> Result<(), Failure> {
    let capacity = engine.sizes().capacity;
    let mut rest = tiles.into_iter();
    let mut split = VecDeque::new();
    let mut in_work = VecDeque::new();
    let mut free: Vec<usize> = (0..N_SLOTS).collect();
    let mut words = Vec::new();
    loop {
        while let Some(slot) = free.pop() {
            let Some(tile) = split.pop_front().or_else(|| rest.next()) else {
                free.push(slot);
                break;
            };
            engine.begin(slot, &tile)?;
            in_work.push_back((slot, tile));
        }
        let Some((slot, tile)) = in_work.pop_front() else { return Ok(()) };
        let n_found = engine.end(slot, &mut words)?;
        if capacity < n_found {
            split.extend(parts(&tile, n_found.div_ceil(capacity)));
        }
        match split.pop_front().or_else(|| rest.next()) {
            Some(next) => {
                engine.begin(slot, &next)?;
                in_work.push_back((slot, next));
            }
            None => free.push(slot),
        }
        if n_found <= capacity {
            found(&tile, &words);
        }
    }
}

/// Cuts a tile into about twice as many parts as would do if its pairs lay evenly. Each is smaller than the tile, and a
/// tile with no more places than the capacity is never cut.
fn parts(tile: &Tile, n: usize) -> Vec<Tile> {
    let cut = |range: &Range<usize>| blocks(range.clone(), range.len().div_ceil(2 * n).max(1));
    if 1 < tile.rows.len() {
        cut(&tile.rows).map(|rows| Tile { rows, ..tile.clone() }).collect()
    } else {
        cut(&tile.columns).map(|columns| Tile { columns, ..tile.clone() }).collect()
    }
}

/// Blocks of `step` numbers; the last one may be smaller.
pub(super) fn blocks(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(step).map(move |first| first..(first + step).min(range.end))
}

/// All tiles of `n` queries and a base of `m` rows, by queries; those of a triangle where `n_queries` is `None`.
pub(super) fn all_tiles(sizes: &Sizes, n_queries: Option<usize>, n_base: usize) -> impl Iterator<Item = Tile> {
    let columns = sizes.columns;
    blocks(0..n_queries.unwrap_or(n_base), sizes.rows).flat_map(move |rows| {
        let first = if n_queries.is_some() { 0 } else { rows.start };
        blocks(first..n_base, columns).map(move |columns| Tile { rows: rows.clone(), columns })
    })
}

/// All tiles in rounds, each of which compares every query with about as many rows of the base as all before it.
pub(super) fn rounds(sizes: &Sizes, n_queries: Option<usize>, n_base: usize) -> Vec<Vec<Tile>> {
    let side = sizes.rows.min(sizes.columns);
    let bases: Vec<Range<usize>> = blocks(0..n_base, side).collect();
    let n = bases.len();
    // Blocks are compared with those that follow them at some distance, from the end on with those at the beginning.
    let queries: Vec<Range<usize>> = blocks(0..n_queries.unwrap_or(n_base), side).collect();
    let n_distances = if n_queries.is_some() { n } else { n / 2 + 1 };
    let mut distances = 0..n_distances.min(1);
    let mut rounds = Vec::new();
    while !distances.is_empty() {
        let mut round = Vec::new();
        for distance in distances.clone() {
            for (i, rows) in queries.iter().enumerate() {
                let j = (i + distance) % n;
                let (rows, columns) = (rows.clone(), bases[j].clone());
                if n_queries.is_some() || i <= j {
                    round.push(Tile { rows, columns });
                } else if 2 * distance != n {
                    // At half the way round each two blocks meet twice.
                    round.push(Tile { rows: columns, columns: rows });
                }
            }
        }
        rounds.push(round);
        distances = distances.end..(2 * distances.end).min(n_distances);
    }
    rounds
}

/// Tells a task of rows as the tiles that they are in are done.
pub(super) struct Share<'a> {
    task: &'a dyn tamis_core::Task,
    n_rows: u64,
    n_pairs: u128,
    done: u128,
    told: u64,
}

impl<'a> Share<'a> {
    /// `n_rows` in all, whose tiles have `n_pairs` places.
    pub(super) fn new(task: &'a dyn tamis_core::Task, n_rows: usize, n_pairs: u128) -> Self {
        Self { task, n_rows: index(n_rows).into(), n_pairs, done: 0, told: 0 }
    }

    /// Counts the places of a tile as done.
    pub(super) fn done(&mut self, tile: &Tile) {
        self.done += places(tile);
        let rows = u128::from(self.n_rows) * self.done / self.n_pairs.max(1);
        let rows = u64::try_from(rows).expect("because no more than all rows are done");
        self.task.advance(rows - self.told);
        self.told = rows;
    }
}

/// How many pairs a tile may have.
pub(super) fn places(tile: &Tile) -> u128 {
    tile.rows.len() as u128 * tile.columns.len() as u128
}
