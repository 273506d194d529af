//! Cells: near rows are compared with each other alone, and no pair is missed.
//!
//! Each row belongs to the cell of a centroid, its home. Be `x` at home with `a` and `y` with `c`, and `h` half of the
//! largest distance of two rows that count. With `f(z) = z.(a - c)`, `f(x) - f(y) <= |x - y| |a - c| <= 2 h |a - c|`, so
//! that `f(x)` or `-f(y)` is at most `h |a - c|`, whatever the centroids and whichever homes: **a row is copied into each
//! cell `c` with `x.a - x.c <= h |a - c|`, and one of two near rows is then in the home of the other.** In each cell, the
//! rows at home are compared with one another and with the copies, behind the same screen as all rows would be.
//!
//! How many copies there are is a matter of the data: where rows lie along few directions there are few, where they fill
//! all directions each row is near to most borders. A sample tells.

use std::sync::Mutex;

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use tamis_core::Task;

use crate::blocks::{TILE_COLUMNS, tile};
use crate::buckets::Buckets;
use crate::dots::dots;
use crate::join::{HITS_PER_TILE, JoinOptions, RowPairs, Search, first_pairs, index};
use crate::proposal_margin;
use crate::screen::{Rounded, STEP, count, pair_cost, product_cost};

/// How many cells a plan chooses from.
const N_CELLS: [usize; 4] = [64, 256, 1024, 4096];

/// Rows from which centroids are made, for each of them, and rounds of the making. Guesses: more make better cells, and cost
/// more.
const ROWS_PER_CENTROID: usize = 16;
const ROUNDS: usize = 3;

/// Rows that are put into cells to know how many copies there would be.
const SAMPLE: usize = 4096;

/// What a pair in a cell costs more than one among all: rows are gathered, and blocks are smaller. A guess, as the next one;
/// both change the time only.
const IN_CELL: f64 = 1.5;

/// By how much the cells have to be expected to be faster, for the estimate may be wrong.
const GAIN: f64 = 1.5;

/// Rows that are put into cells at a time.
const CHUNK_ROWS: usize = 256;

/// By how much the square of a row's length, or the cosine of two rows, may exceed what it is thought to be; the first is
/// checked where rows are rounded.
const SLACK: f64 = 2e-5;

/// Centroids, and how near to the border with each other one a row is copied.
pub(crate) struct Cells {
    /// Shape `(cells, dim)`, unit rows.
    centroids: Array2<f32>,
    /// Shape `(cells, cells)`: the largest `x.a - x.c` of a row at home with the first that is copied to the second.
    reach: Array2<f32>,
}

/// Rows in their cells.
struct Placed {
    homes: Vec<u32>,
    /// The rows at home in each cell.
    residents: Buckets<u32>,
    /// The rows copied into each cell.
    guests: Buckets<u32>,
    /// The cells that each row is copied into, ascending.
    copied_to: Buckets<u32>,
}

/// What cells saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellsUsed {
    /// Cells, some of which may be empty.
    pub n_cells: usize,
    /// Copies of rows in cells that are not their home.
    pub n_copies: u64,
    /// Pairs of rows that were compared, of `n (n - 1) / 2`.
    pub n_compared: u64,
}

impl Cells {
    /// The cells that are expected to save most time in a join of `rows` with themselves, whose screened rows are `rounded`,
    /// or `None` where none save enough.
    pub(crate) fn plan(rows: ArrayView2<'_, f32>, rounded: &Rounded, min_cosine: f32) -> Option<Self> {
        let (n, dim) = (count(rows.nrows()), rows.ncols());
        let pair = pair_cost(rounded.width());
        let mut least = n * n / 2.0 * pair / GAIN;
        let mut best = None;
        for n_cells in N_CELLS {
            let made_from = count(n_cells * ROWS_PER_CENTROID * ROUNDS + SAMPLE);
            let placing = (n + made_from) * count(n_cells) * product_cost(dim);
            if least <= placing || rows.nrows() < 2 * n_cells * ROWS_PER_CENTROID {
                break;
            }
            let cells = Self::new(centroids(rows, n_cells), min_cosine);
            let cost = placing + cells.share_compared(rows) * n * n * pair * IN_CELL;
            if cost < least {
                (least, best) = (cost, Some(cells));
            }
        }
        best
    }

    /// Cells around unit rows `centroids`, for pairs of at least `min_cosine`.
    pub(crate) fn new(centroids: Array2<f32>, min_cosine: f32) -> Self {
        // |x - y|^2 = |x|^2 + |y|^2 - 2 x.y
        let half = ((1.0 - f64::from(min_cosine) + 2.0 * SLACK).max(0.0) / 2.0).sqrt();
        // Of two products, and of the numbers here.
        let slack = 2.0 * f64::from(proposal_margin(centroids.ncols())) + 1e-5;
        let wide = centroids.mapv(f64::from);
        let reach = Array2::from_shape_fn((centroids.nrows(), centroids.nrows()), |(a, c)| {
            let apart = &wide.row(a) - &wide.row(c);
            narrow(half * apart.dot(&apart).sqrt() + slack)
        });
        Self { centroids, reach }
    }

    /// Joins `rows` with themselves; the same pairs as of [`self_join`](crate::self_join).
    pub(crate) fn join(
        &self,
        rows: ArrayView2<'_, f32>,
        copies: Option<&[u32]>,
        rounded: &Rounded,
        options: &JoinOptions,
        task: &dyn Task,
    ) -> RowPairs {
        let placed = self.place(rows);
        let search = Search::new(rows, rows, copies.map(|copies| [copies, copies]), options.min_cosine);
        let n_cells = self.centroids.nrows();
        let mut largest_first: Vec<usize> = (0..n_cells).collect();
        largest_first.sort_by_key(|cell| std::cmp::Reverse(placed.n_compared(*cell)));
        let found = Mutex::new(RowPairs::default());
        largest_first.par_iter().with_max_len(1).for_each(|cell| {
            let pairs = placed.cell(*cell, &search, rounded, options);
            let mut found = found.lock().expect("because no thread panics with the pairs");
            found.n_found += pairs.n_found;
            found.pairs.extend(pairs.pairs);
            if 2 * options.max_pairs <= found.pairs.len() {
                first_pairs(&mut found.pairs, options.max_pairs);
            }
            task.advance(placed.residents.of(*cell).len() as u64);
        });
        let mut found = found.into_inner().expect("because no thread panics with the pairs");
        first_pairs(&mut found.pairs, options.max_pairs);
        found.cells = Some(CellsUsed {
            n_cells,
            n_copies: (0..n_cells).map(|cell| placed.guests.of(cell).len() as u64).sum(),
            n_compared: (0..n_cells).map(|cell| placed.n_compared(cell)).sum(),
        });
        found
    }

    /// The home of each row and the other cells it is copied into.
    fn assign(&self, rows: ArrayView2<'_, f32>) -> Vec<(u32, Vec<u32>)> {
        let mut buffer = Vec::new();
        let products = tile(rows, self.centroids.view(), 0..self.centroids.nrows(), &mut buffer);
        let place = |products: ndarray::ArrayView1<'_, f32>| {
            let (home, nearest) = largest(products.iter().copied());
            let near = products.iter().zip(self.reach.row(home)).map(|(product, reach)| nearest - product <= *reach);
            let copied = near.enumerate().filter(|(cell, near)| *near && *cell != home);
            (index(home), copied.map(|(cell, _)| index(cell)).collect())
        };
        products.axis_iter(Axis(0)).map(place).collect()
    }

    fn place(&self, rows: ArrayView2<'_, f32>) -> Placed {
        let n_cells = self.centroids.nrows();
        let chunks: Vec<_> = rows.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter().collect();
        let places: Vec<(u32, Vec<u32>)> = chunks.into_par_iter().flat_map_iter(|rows| self.assign(rows)).collect();
        let homes: Vec<u32> = places.iter().map(|(home, _)| *home).collect();
        let copied = || (0..).zip(&places).flat_map(|(row, (_, cells))| cells.iter().map(move |cell| (row, *cell)));
        Placed {
            residents: Buckets::new(n_cells, || (0..).zip(&homes).map(|(row, home)| (*home as usize, row))),
            guests: Buckets::new(n_cells, || copied().map(|(row, cell)| (cell as usize, row))),
            copied_to: Buckets::new(homes.len(), || copied().map(|(row, cell)| (row as usize, cell))),
            homes,
        }
    }

    /// About the share of all ordered pairs of rows that would be compared.
    fn share_compared(&self, rows: ArrayView2<'_, f32>) -> f64 {
        let some = evenly(rows, SAMPLE, 1);
        let placed = self.place(some.view());
        let n_compared: u64 = (0..self.centroids.nrows()).map(|cell| placed.n_compared(cell)).sum();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let n_compared = n_compared as f64;
        n_compared / (count(some.nrows()) * count(some.nrows()))
    }
}

impl Placed {
    /// Pairs that are compared in a cell.
    fn n_compared(&self, cell: usize) -> u64 {
        let (residents, guests) = (self.residents.of(cell).len() as u64, self.guests.of(cell).len() as u64);
        residents * residents.saturating_sub(1) / 2 + residents * guests
    }

    /// Whether the pair of a resident of `cell` and another row of it is found in the other row's home too, and belongs there.
    fn belongs_elsewhere(&self, cell: usize, resident: u32, other: u32) -> bool {
        let home = self.homes[other as usize];
        (home as usize) < cell && self.copied_to.of(resident as usize).binary_search(&home).is_ok()
    }

    /// The pairs of a cell; of more than the cap, the first ones.
    fn cell(&self, cell: usize, search: &Search<'_>, rounded: &Rounded, options: &JoinOptions) -> RowPairs {
        let residents = self.residents.of(cell);
        let members = [residents, self.guests.of(cell)].concat();
        let mut found = RowPairs::default();
        let keep = options.max_pairs;
        if residents.is_empty() {
            return found;
        }
        let screen = rounded.part(&members).screen();
        let (mut hits, mut scores, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        let block_rows = options.block_rows.max(1);
        for start in (0..residents.len()).step_by(block_rows) {
            let block = start..(start + block_rows).min(residents.len());
            for first in ((start + 1) / STEP * STEP..members.len()).step_by(TILE_COLUMNS) {
                let columns = first..(first + TILE_COLUMNS).min(members.len());
                let most = block.len() * columns.len() / HITS_PER_TILE;
                let minima = block.clone().map(|_| options.min_cosine);
                if screen.hits(block.clone(), minima, columns.clone(), most, &mut hits) {
                    hits.retain(|(a, b)| start + (*a as usize) < *b as usize);
                    hits.iter_mut().for_each(|(a, b)| {
                        (*a, *b) = (members[start + *a as usize], members[*b as usize]);
                    });
                    dots(search.queries, search.base, &hits, &mut scores);
                } else {
                    hits.clear();
                    scores.clear();
                    let ids = |members: &[u32]| members.iter().map(|it| *it as usize).collect::<Vec<_>>();
                    let queries = search.queries.select(Axis(0), &ids(&members[block.clone()]));
                    let base = search.base.select(Axis(0), &ids(&members[columns.clone()]));
                    let tile = tile(queries.view(), base.view(), 0..columns.len(), &mut buffer);
                    for ((a, b), score) in tile.indexed_iter() {
                        if start + a < first + b && search.may_count(*score) {
                            hits.push((members[start + a], members[first + b]));
                            scores.push(*score);
                        }
                    }
                }
                for ((a, b), score) in hits.iter().zip(&scores) {
                    if !self.belongs_elsewhere(cell, *a, *b) {
                        search.decide(*a.min(b) as usize, *a.max(b) as usize, *score, keep, &mut found);
                    }
                }
                if 2 * keep <= found.pairs.len() {
                    first_pairs(&mut found.pairs, keep);
                }
            }
        }
        first_pairs(&mut found.pairs, keep);
        found
    }
}

/// Unit centroids of `rows`: k-means by the angle (Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data
/// Using Clustering", Machine Learning 42, 2001, section 3), from evenly spaced rows.
fn centroids(rows: ArrayView2<'_, f32>, n_cells: usize) -> Array2<f32> {
    let some = evenly(rows, n_cells * ROWS_PER_CENTROID, 0);
    let mut centroids = evenly(some.view(), n_cells, 0);
    for _ in 0..ROUNDS {
        let chunks: Vec<_> = some.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter().collect();
        let nearest = |rows: ArrayView2<'_, f32>| {
            let mut buffer = Vec::new();
            let products = tile(rows, centroids.view(), 0..centroids.nrows(), &mut buffer);
            products.axis_iter(Axis(0)).map(|products| largest(products.iter().copied()).0).collect::<Vec<_>>()
        };
        let homes: Vec<usize> = chunks.into_par_iter().flat_map_iter(nearest).collect();
        let mut sums = Array2::<f32>::zeros(centroids.dim());
        for (row, home) in some.axis_iter(Axis(0)).zip(homes) {
            let mut sum = sums.row_mut(home);
            sum += &row;
        }
        for (sum, mut centroid) in sums.axis_iter(Axis(0)).zip(centroids.axis_iter_mut(Axis(0))) {
            let norm = sum.dot(&sum).sqrt();
            // A centroid without rows, or whose rows cancel out, stays.
            if 1e-3 < norm {
                centroid.assign(&(&sum / norm));
            }
        }
    }
    centroids
}

/// The place of the largest number, the first of equal ones, and the number.
fn largest(numbers: impl Iterator<Item = f32>) -> (usize, f32) {
    numbers.enumerate().fold((0, f32::NEG_INFINITY), |best, it| if best.1 < it.1 { it } else { best })
}

/// Up to `n` rows, evenly spaced from `first` on.
fn evenly(rows: ArrayView2<'_, f32>, n: usize, first: usize) -> Array2<f32> {
    rows.slice(s![first.min(rows.nrows())..;(rows.nrows() / n).max(1), ..])
        .slice(s![..n.min(rows.nrows().saturating_sub(first)), ..])
        .to_owned()
}

#[expect(clippy::cast_possible_truncation, reason = "the slack is far above the rounding")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tamis_core::NoProgress;

    use super::*;
    use crate::join::join;
    use crate::screen::any_rounding;
    use crate::testing::{Kind, kinds, rows};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn cells_change_no_join(
            kind in kinds(), n in 1_usize..160, dim in prop::sample::select(vec![1_usize, 2, 3, 7, 33, 64]), seed: u64,
            n_cells in 1_usize..20, min_cosine in prop::sample::select(vec![-1.0_f32, 0.0, 0.5, 0.9, 0.99, 1.0, f32::NAN]),
            block_rows in 1_usize..80, max_pairs in prop::sample::select(vec![0, 5, 1_000_000]), is_copied: bool,
        ) {
            let base = rows(kind, n, dim, seed);
            let copies: Vec<u32> = (0..3).cycle().take(n).collect();
            let copies = is_copied.then_some(&copies[..]);
            let options = JoinOptions { min_cosine, max_pairs, block_rows };
            let expected = join(None, base.view(), copies.map(|it| [it, it]), None, &options, &NoProgress);
            // Any centroids do: these are rows of another set.
            for centroids in [rows(Kind::Isotropic, n_cells, dim, !seed), centroids(base.view(), n_cells.min(n))] {
                let cells = Cells::new(centroids, min_cosine);
                let found = cells.join(base.view(), copies, &any_rounding(base.view()), &options, &NoProgress);
                prop_assert_eq!(found.n_found, expected.n_found);
                prop_assert_eq!(&found.pairs, &expected.pairs);
            }
        }
    }

    #[test]
    fn pairs_over_borders_are_found_by_copies_alone() {
        let base = rows(Kind::Isotropic, 600, 3, 9);
        let options = JoinOptions { min_cosine: 0.99, ..JoinOptions::default() };
        let cells = Cells::new(centroids(base.view(), 12), options.min_cosine);
        let placed = cells.place(base.view());
        let found = cells.join(base.view(), None, &any_rounding(base.view()), &options, &NoProgress);
        let over = |pair: &&crate::RowPair| placed.homes[pair.a as usize] != placed.homes[pair.b as usize];
        assert!(found.pairs.iter().filter(over).count() > 20, "{:?}", found.cells);
        let used = found.cells.unwrap();
        assert!(used.n_copies > 0 && used.n_compared < 600 * 599 / 2, "{used:?}");
        // Each pair is listed once, though some were compared in both homes.
        assert!(found.pairs.is_sorted_by_key(|pair| (pair.a, pair.b)));
        let twice = found.pairs.iter().filter(|pair| {
            let (a, b) = (pair.a as usize, pair.b as usize);
            placed.copied_to.of(a).contains(&placed.homes[b]) && placed.copied_to.of(b).contains(&placed.homes[a])
        });
        assert!(twice.count() > 5);
    }

    #[test]
    fn cells_are_chosen_where_rows_lie_along_few_directions() {
        let flat = rows(Kind::LowRank, 20_000, 64, 3);
        let wide = rows(Kind::Isotropic, 20_000, 64, 3);
        let plan = |rows: &Array2<f32>| Cells::plan(rows.view(), &any_rounding(rows.view()), 0.95).is_some();
        assert_eq!((plan(&flat), plan(&wide)), (true, false));
    }
}
