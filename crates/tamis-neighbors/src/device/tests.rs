//! Joins by the proposals of a device against those of the CPU: of its twin always, of a GPU with the feature `cuda`.

use std::sync::Mutex;

use half::f16;
use ndarray::{Array2, ArrayView2, Axis};
use proptest::prelude::*;
use tamis_core::{NoProgress, Task};

use super::nearest::{Wanted, nearest};
use super::tiles::{Engine, Failure, Sizes, Tile, all_tiles, places, rounds, run};
use super::twin::Twin;
use super::{Device, Once, pairs};
use crate::join::Search;
use crate::{JoinOptions, Neighbors, RowPairs, canonical_dot};

/// What is joined, and by tiles of which sizes.
#[derive(Clone, Debug)]
struct Case {
    sizes: Sizes,
    queries: Option<Array2<f32>>,
    base: Array2<f32>,
}

impl Case {
    fn views(&self) -> (Option<ArrayView2<'_, f32>>, ArrayView2<'_, f32>) {
        (self.queries.as_ref().map(|rows| rows.view()), self.base.view())
    }

    fn n_queries(&self) -> usize {
        self.queries.as_ref().map_or(self.base.nrows(), |rows| rows.nrows())
    }

    /// How often each row counts.
    fn copies(&self) -> [Vec<u32>; 2] {
        let of = |n: usize| (0..n).map(|row| u32::try_from(row % 3 + 1).unwrap()).collect();
        [of(self.n_queries()), of(self.base.nrows())]
    }
}

fn join_with(
    engine: &mut impl Engine,
    margin: f32,
    case: &Case,
    options: &JoinOptions,
    task: &dyn Task,
) -> Result<RowPairs, Failure> {
    let (queries, base) = case.views();
    let copies = case.copies();
    let mut search = Search::new(queries.unwrap_or(base), base, Some([&copies[0], &copies[1]]), options.min_cosine);
    search.margin = margin;
    pairs::join(engine, &search, queries.is_none(), options.max_pairs, task)
}

fn join_on_twin(case: &Case, options: &JoinOptions) -> RowPairs {
    let (queries, base) = case.views();
    let (mut twin, margin) = Twin::new(case.sizes, queries, base).unwrap();
    join_with(&mut twin, margin, case, options, &NoProgress).unwrap()
}

fn nearest_on_twin(case: &Case, k: usize) -> Neighbors {
    let (queries, base) = case.views();
    let (mut twin, margin) = Twin::new(case.sizes, queries, base).unwrap();
    nearest(&mut twin, Wanted { queries, base, k, margin }, &NoProgress).unwrap()
}

#[cfg(feature = "cuda")]
static GPU: std::sync::LazyLock<super::cuda::Gpu> = std::sync::LazyLock::new(|| super::cuda::Gpu::new(0));

#[cfg(feature = "cuda")]
fn join_on_gpu(case: &Case, options: &JoinOptions) -> RowPairs {
    let (queries, base) = case.views();
    let join = |session: &mut super::cuda::Session<'_>, margin| join_with(session, margin, case, options, &NoProgress);
    GPU.with_session_of(case.sizes, queries, base, join).unwrap().unwrap()
}

#[cfg(feature = "cuda")]
fn nearest_on_gpu(case: &Case, k: usize) -> Neighbors {
    let (queries, base) = case.views();
    let search = |session: &mut super::cuda::Session<'_>, margin| {
        nearest(session, Wanted { queries, base, k, margin }, &NoProgress)
    };
    GPU.with_session_of(case.sizes, queries, base, search).unwrap().unwrap()
}

/// Unit rows around a few centers, so that cosines near any threshold occur; some rows are exact copies, and some nearly so
/// that half precision does not tell which one is nearer.
fn rows(dim: usize, n: std::ops::Range<usize>) -> impl Strategy<Value = Array2<f32>> {
    let spread = prop_oneof![Just(0.0_f32), 0.0_f32..0.03, 0.0_f32..0.6];
    let row = (0..4_usize, prop::collection::vec(-1.0_f32..1.0, dim), spread);
    prop::collection::vec(row, n).prop_map(move |rows| {
        let mut out = Array2::zeros((rows.len(), dim));
        for (mut out, (center, noise, spread)) in out.axis_iter_mut(Axis(0)).zip(rows) {
            for (i, (x, noise)) in out.iter_mut().zip(noise).enumerate() {
                *x = f32::from(u8::from(i % 4 == center)) + spread * noise;
            }
            let norm = out.dot(&out).sqrt();
            out /= norm;
        }
        out
    })
}

prop_compose! {
    fn sizes()(rows in 1_usize..30, columns in 1_usize..30, part in 1_usize..4, capacity in 1_usize..40) -> Sizes {
        Sizes { rows, columns, part: 8 * part, capacity }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (4_usize..30).prop_flat_map(|dim| {
        (sizes(), prop::option::of(rows(dim, 1..40)), rows(dim, 1..70)).prop_map(|(sizes, queries, base)| Case {
            sizes,
            queries,
            base,
        })
    })
}

/// Where the cosine of some pair is the minimum, whatever a product makes of that pair, it must be found.
fn check_join(
    join: fn(&Case, &JoinOptions) -> RowPairs,
    case: &Case,
    at: (prop::sample::Index, prop::sample::Index),
    max_pairs: usize,
) -> Result<(), TestCaseError> {
    let (queries, base) = case.views();
    let row = |rows: ArrayView2<'_, f32>, at: prop::sample::Index| rows.row(at.index(rows.nrows())).to_vec();
    let min_cosine = canonical_dot(&row(queries.unwrap_or(base), at.0), &row(base, at.1));
    let [left, right] = &case.copies();
    for options in [max_pairs, usize::MAX].map(|max_pairs| JoinOptions { min_cosine, max_pairs, block_rows: 7 }) {
        let expected = match queries {
            Some(queries) => crate::cross_join_of_copies(queries, base, [left, right], &options, &NoProgress),
            None => crate::self_join_of_copies(base, left, &options, &NoProgress),
        };
        let found = join(case, &options);
        prop_assert_eq!(found.n_found, expected.n_found);
        prop_assert_eq!(found.pairs, expected.pairs);
    }
    Ok(())
}

fn check_nearest(nearest: fn(&Case, usize) -> Neighbors, case: &Case, k: usize) -> Result<(), TestCaseError> {
    let (queries, base) = case.views();
    let k = k.min(base.nrows() - usize::from(queries.is_none()));
    let expected = match queries {
        Some(queries) => crate::nearest_in(queries, base, k, &NoProgress),
        None => crate::knn(base, k, &NoProgress),
    };
    prop_assert_eq!(nearest(case, k), expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pairs_of_the_twin_are_those_of_the_cpu(
        case in cases(), at in any::<(prop::sample::Index, prop::sample::Index)>(), max_pairs in 0_usize..50,
    ) {
        check_join(join_on_twin, &case, at, max_pairs)?;
    }

    #[test]
    fn neighbors_of_the_twin_are_those_of_the_cpu(case in cases(), k in 0_usize..12) {
        check_nearest(nearest_on_twin, &case, k)?;
    }

    #[test]
    fn every_pair_is_in_one_tile_and_rounds_grow(sizes in sizes(), n_queries in prop::option::of(1_usize..150), n_base in 1_usize..150) {
        let rounds = rounds(&sizes, n_queries, n_base);
        let of_rounds = rounds.iter().flatten().cloned().collect();
        for tiles in [all_tiles(&sizes, n_queries, n_base).collect::<Vec<_>>(), of_rounds] {
            let mut n_met = vec![0; n_queries.unwrap_or(n_base) * n_base];
            for Tile { rows, columns } in tiles {
                prop_assert!(rows.len() <= sizes.rows && columns.len() <= sizes.columns);
                for a in rows {
                    columns.clone().for_each(|b| n_met[a * n_base + b] += 1);
                }
            }
            for (place, n_met) in n_met.iter().enumerate() {
                let is_wanted = n_queries.is_some() || place / n_base < place % n_base;
                prop_assert!(if is_wanted { *n_met == 1 } else { *n_met <= 1 }, "pair {place} is met {n_met} times");
            }
        }
        let n_places: Vec<u128> = rounds.iter().map(|round| round.iter().map(places).sum()).collect();
        for (round, n) in n_places.iter().enumerate().skip(1) {
            prop_assert!(*n <= 2 * n_places[..round].iter().sum::<u128>(), "{n_places:?}");
        }
    }

    #[test]
    fn products_of_half_precision_are_within_the_margin(
        (x, y, scale) in (1_usize..300).prop_flat_map(|dim| (
            prop::collection::vec(-1.0_f32..1.0, dim), prop::collection::vec(-1.0_f32..1.0, dim), 0.0_f32..1.0,
        )),
    ) {
        // From nearly the same row to any other one; the second one to the square, so that some numbers are small.
        let mixed: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + scale * y * y.abs()).collect();
        let mut rows = Array2::from_shape_vec((2, x.len()), [x, mixed].concat()).unwrap();
        for mut row in rows.rows_mut() {
            let norm = row.dot(&row).sqrt().max(f32::MIN_POSITIVE);
            row /= norm;
        }
        prop_assert!(error_and_margin(&rows).is_none_or(|(error, margin)| error <= margin));
    }
}

#[cfg(feature = "cuda")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pairs_of_a_gpu_are_those_of_the_cpu(
        case in cases(), at in any::<(prop::sample::Index, prop::sample::Index)>(), max_pairs in 0_usize..50,
    ) {
        check_join(join_on_gpu, &case, at, max_pairs)?;
    }

    #[test]
    fn neighbors_of_a_gpu_are_those_of_the_cpu(case in cases(), k in 0_usize..12) {
        check_nearest(nearest_on_gpu, &case, k)?;
    }
}

/// The largest error of the products of two rows, with each other and with themselves, and what is promised; `None` where
/// one is no unit row.
fn error_and_margin(rows: &Array2<f32>) -> Option<(f32, f32)> {
    let sizes = Sizes { rows: 2, columns: 2, part: 8, capacity: 4 };
    let (twin, margin) = Twin::new(sizes, Some(rows.view()), rows.view())?;
    let error = |(a, b): (usize, usize)| {
        let exact = canonical_dot(&rows.row(a).to_vec(), &rows.row(b).to_vec());
        (0..2).map(|order| (twin.product(a, b, order) - exact).abs()).fold(0.0, f32::max)
    };
    Some(([(0, 0), (0, 1), (1, 0), (1, 1)].map(error).into_iter().fold(0.0, f32::max), margin))
}

/// Rows of one number alone: all are rounded to the same side, so errors add up.
#[test]
fn errors_that_add_up_are_within_the_margin_and_use_most_of_it() {
    let mut most = 0.0_f32;
    for dim in 1_u16..1100 {
        let rows = Array2::from_elem((2, dim.into()), f32::from(dim).sqrt().recip());
        let (error, margin) = error_and_margin(&rows).unwrap();
        assert!(error <= margin, "{dim} numbers: error {error}, margin {margin}");
        most = most.max(error / margin);
    }
    assert!(0.5 < most && most <= 1.0, "{most} of the margin is used");
}

/// Numbers below the smallest normal one of half precision, and below what it has at all.
#[test]
fn small_numbers_are_within_the_margin() {
    for exponent in 10..30 {
        let small = 0.5_f32.powi(exponent) * 1.3;
        let row = |i: usize| if i == 0 { 0.8 } else { small };
        let rows = Array2::from_shape_fn((2, 500), |(a, i)| if a == 0 { row(i) } else { -row(499 - i) });
        let (error, margin) = error_and_margin(&rows).unwrap();
        assert!(error <= margin, "{small}: error {error}, margin {margin}");
    }
    assert_eq!(f16::from_f32(0.5_f32.powi(25)).to_f32().to_bits(), 0, "rounded to nothing");
}

/// 90 rows of three directions.
fn crowd() -> Case {
    let base = Array2::from_shape_fn((90, 3), |(i, j)| f32::from(u8::from(i % 3 == j)));
    Case { sizes: Sizes { rows: 32, columns: 32, part: 8, capacity: 50 }, queries: None, base }
}

#[test]
fn tiles_with_too_many_pairs_are_split_until_they_fit() {
    let case = crowd();
    let (mut twin, margin) = Twin::new(case.sizes, None, case.base.view()).unwrap();
    let found = join_with(&mut twin, margin, &case, &JoinOptions::default(), &NoProgress).unwrap();
    assert_eq!(found.pairs.len(), 3 * (30 * 29 / 2), "pairs of the same direction");
    assert!(found.pairs.is_sorted_by_key(|pair| (pair.a, pair.b)), "in order");
    // 6 tiles; those above the diagonal have 341 or 342 pairs, and are cut in 14 parts at once.
    assert!((3..12).contains(&twin.n_split), "{} tiles were split", twin.n_split);
    let (mut twin, margin) = Twin::new(case.sizes, None, case.base.view()).unwrap();
    let wanted = Wanted { queries: None, base: case.base.view(), k: 4, margin };
    let graph = nearest(&mut twin, wanted, &NoProgress).unwrap();
    assert_eq!(graph, crate::knn(case.base.view(), 4, &NoProgress));
    assert!(0 < twin.n_split, "all rows of a direction are within the margin of the nearest");
}

/// More rows around each direction than are kept as candidates, at different distances within the margin.
#[test]
fn many_rows_within_the_margin_are_decided_before_all_are_there() {
    let base = Array2::from_shape_fn((600, 5), |(i, j)| match (i % 3 == j, j) {
        (true, _) => 1.0,
        (false, 4) => f32::from(u16::try_from(i * 7 % 600).unwrap()) * 3e-5,
        _ => 0.0,
    });
    let norms = base.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1));
    let base = base / norms;
    let case = Case { sizes: Sizes { rows: 64, columns: 64, part: 16, capacity: 5000 }, queries: None, base };
    for k in [1, 4] {
        assert_eq!(nearest_on_twin(&case, k), crate::knn(case.base.view(), k, &NoProgress), "{k} neighbors");
    }
}

#[test]
fn the_next_tile_is_computed_while_pairs_are_looked_at() {
    let case = crowd();
    let (mut twin, _) = Twin::new(case.sizes, None, case.base.view()).unwrap();
    twin.set_limits(&[2.0; 90], &[2.0; 90]).unwrap();
    let tiles = || all_tiles(&case.sizes, None, 90);
    // One tile less than there are is begun, and then two of those have not been looked at yet.
    twin.n_good = Some(tiles().count() - 1);
    let mut n_found = 0;
    let failure = run(&mut twin, tiles(), |_, _| n_found += 1).unwrap_err();
    assert_eq!((failure.to_string().as_str(), n_found), ("out of memory", tiles().count() - 3));
}

#[test]
fn rows_that_are_no_unit_rows_are_left_to_the_cpu() {
    let mut case = crowd();
    for number in [2.0, f32::NAN, f32::INFINITY] {
        case.base[[7, 1]] = number;
        assert!(Twin::new(case.sizes, None, case.base.view()).is_none(), "{number}");
    }
}

#[test]
fn a_minimum_beyond_all_cosines_finds_all_or_nothing() {
    let case = crowd();
    for (min_cosine, n) in [(f32::NEG_INFINITY, 4005), (-2.0, 4005), (1.0, 1305), (1.1, 0), (f32::NAN, 0)] {
        let found = join_on_twin(&case, &JoinOptions { min_cosine, ..JoinOptions::default() });
        assert_eq!(found.pairs.len(), n, "{min_cosine}");
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<u64>>);

impl Task for Told {
    fn advance(&self, n: u64) {
        self.0.lock().unwrap().push(n);
    }

    fn expect(&self, _total: u64) {}
}

impl Told {
    fn sum(&self) -> u64 {
        self.0.lock().unwrap().iter().sum()
    }
}

#[test]
fn a_task_is_told_of_every_row_once_though_the_work_begins_again() {
    let case = crowd();
    let told = Told::default();
    let task = Once::new(&told);
    let (mut twin, margin) = Twin::new(case.sizes, None, case.base.view()).unwrap();
    twin.n_good = Some(4);
    join_with(&mut twin, margin, &case, &JoinOptions::default(), &task).unwrap_err();
    assert!(told.sum() < 90, "it failed before the end");
    let _ = crate::self_join(case.base.view(), &JoinOptions::default(), task.again());
    assert_eq!(told.sum(), 90);
    let told = Told::default();
    let (mut twin, margin) = Twin::new(case.sizes, None, case.base.view()).unwrap();
    let wanted = Wanted { queries: None, base: case.base.view(), k: 4, margin };
    nearest(&mut twin, wanted, &told).unwrap();
    assert_eq!(told.sum(), 90);
}

/// A device whose GPU does not answer, or that has none.
#[test]
fn what_a_gpu_does_not_do_is_done_on_the_cpu_and_the_reason_kept() {
    let (case, options) = (crowd(), JoinOptions::default());
    let device = Device {
        #[cfg(feature = "cuda")]
        min_products: 0.0,
        ..Device::cuda(1000)
    };
    let rows = case.base.view();
    assert_eq!(
        device.self_join(rows, &options, &NoProgress).pairs,
        crate::self_join(rows, &options, &NoProgress).pairs
    );
    assert_eq!(device.knn(rows, 3, &NoProgress), crate::knn(rows, 3, &NoProgress));
    let why = device.failure().unwrap();
    let expected =
        if cfg!(feature = "cuda") { "cuda:1000 cannot join: " } else { "this build has no support for cuda:1000" };
    assert!(why.starts_with(expected), "{why}");
    let on_cpu = Device::cpu();
    assert_eq!(on_cpu.nearest_in(rows, rows, 3, &NoProgress), crate::nearest_in(rows, rows, 3, &NoProgress));
    assert_eq!(on_cpu.failure(), None);
}

#[cfg(feature = "cuda")]
#[test]
fn joins_of_a_gpu_are_those_of_the_cpu_from_the_outside() {
    let device = Device { min_products: 0.0, ..Device::cuda(0) };
    let (case, options) = (crowd(), JoinOptions::default());
    let rows = case.base.view();
    let found = device.cross_join(rows, rows, &options, &NoProgress);
    assert_eq!(device.failure(), None);
    assert_eq!(found.pairs, crate::cross_join(rows, rows, &options, &NoProgress).pairs);
    let k = super::nearest::MAX_K + 1;
    for k in [1, k - 1, k] {
        assert_eq!(device.knn(rows, k, &NoProgress), crate::knn(rows, k, &NoProgress), "{k} neighbors");
    }
    assert_eq!(device.failure(), None);
}
