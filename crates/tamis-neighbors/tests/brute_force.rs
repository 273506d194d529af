//! Joins and neighbors against brute force, for any block size and thread count.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use tamis_core::NoProgress;
use tamis_neighbors::{
    JoinOptions, Neighbors, RowPair, canonical_dot, cross_join, cross_join_of_copies, knn, nearest_in, self_join,
    self_join_of_copies,
};

/// Unit rows around a few centers, so that cosines near any threshold occur; some rows are exact copies.
fn rows(max: usize) -> impl Strategy<Value = Array2<f32>> {
    let row = (0..4_usize, prop::collection::vec(-1.0_f32..1.0, 24), 0.0_f32..0.6);
    prop::collection::vec(row, 0..max).prop_map(|rows| {
        let mut out = Array2::zeros((rows.len(), 24));
        for (mut out, (center, noise, spread)) in out.axis_iter_mut(Axis(0)).zip(rows) {
            let spread = if spread < 0.05 { 0.0 } else { spread };
            for (i, (x, noise)) in out.iter_mut().zip(noise).enumerate() {
                *x = f32::from(u8::from(i % 4 == center)) + spread * noise;
            }
            let norm = out.dot(&out).sqrt();
            out /= norm;
        }
        out
    })
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn dot(a: &Array2<f32>, i: usize, b: &Array2<f32>, j: usize) -> f32 {
    canonical_dot(a.row(i).as_slice().unwrap(), b.row(j).as_slice().unwrap())
}

/// The cosine of some pair, or any number where there is none.
fn threshold(a: &Array2<f32>, b: &Array2<f32>, at: (prop::sample::Index, prop::sample::Index)) -> f32 {
    if a.is_empty() || b.is_empty() { 0.5 } else { dot(a, at.0.index(a.nrows()), b, at.1.index(b.nrows())) }
}

fn id(i: usize) -> u32 {
    u32::try_from(i).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn self_join_is_brute_force(
        rows in rows(90), at in any::<(prop::sample::Index, prop::sample::Index)>(), block_rows in 1_usize..100, threads in 1_usize..4,
    ) {
        // The cosine of one pair: whatever the fast product makes of that pair, it must be found.
        let min_cosine = threshold(&rows, &rows, at);
        let options = JoinOptions { min_cosine, block_rows, ..JoinOptions::default() };
        let found = in_pool(threads, || self_join(rows.view(), &options, &NoProgress));
        let mut expected = Vec::new();
        for i in 0..rows.nrows() {
            for j in i + 1..rows.nrows() {
                let cosine = dot(&rows, i, &rows, j);
                if min_cosine <= cosine {
                    expected.push(RowPair { a: id(i), b: id(j), cosine });
                }
            }
        }
        prop_assert_eq!(found.n_found, expected.len() as u64);
        prop_assert_eq!(found.pairs, expected);
    }

    #[test]
    fn cross_join_is_brute_force(
        queries in rows(40), base in rows(60), at in any::<(prop::sample::Index, prop::sample::Index)>(), block_rows in 1_usize..50,
    ) {
        let min_cosine = threshold(&queries, &base, at);
        let options = JoinOptions { min_cosine, block_rows, ..JoinOptions::default() };
        let found = cross_join(queries.view(), base.view(), &options, &NoProgress);
        let mut expected = Vec::new();
        for i in 0..queries.nrows() {
            for j in 0..base.nrows() {
                let cosine = dot(&queries, i, &base, j);
                if min_cosine <= cosine {
                    expected.push(RowPair { a: id(i), b: id(j), cosine });
                }
            }
        }
        prop_assert_eq!(found.pairs, expected);
    }

    #[test]
    fn a_cap_keeps_the_first_pairs_and_counts_all(rows in rows(60), max_pairs in 0_usize..40) {
        let all = self_join(rows.view(), &JoinOptions { min_cosine: 0.5, ..JoinOptions::default() }, &NoProgress);
        let options = JoinOptions { min_cosine: 0.5, max_pairs, block_rows: 7 };
        let some = self_join(rows.view(), &options, &NoProgress);
        prop_assert_eq!(some.n_found, all.n_found);
        prop_assert_eq!(&some.pairs[..], &all.pairs[..max_pairs.min(all.pairs.len())]);
    }

    #[test]
    fn a_pair_of_copies_counts_whether_it_is_kept_or_not(rows in rows(60), max_pairs in 0_usize..40) {
        let options = JoinOptions { min_cosine: 0.5, ..JoinOptions::default() };
        let copies: Vec<u32> = (0..id(rows.nrows())).map(|row| row % 5 + 1).collect();
        let n_pairs = |pair: &RowPair| u64::from(copies[pair.a as usize]) * u64::from(copies[pair.b as usize]);
        let of_rows = self_join(rows.view(), &options, &NoProgress).pairs;
        let crossed = cross_join(rows.view(), rows.view(), &options, &NoProgress).pairs;
        let few = JoinOptions { max_pairs, ..options };
        let found = self_join_of_copies(rows.view(), &copies, &few, &NoProgress);
        prop_assert_eq!(found.n_found, of_rows.iter().map(n_pairs).sum::<u64>());
        prop_assert_eq!(&found.pairs[..], &of_rows[..max_pairs.min(of_rows.len())]);
        let found = cross_join_of_copies(rows.view(), rows.view(), [&copies, &copies], &few, &NoProgress);
        prop_assert_eq!(found.n_found, crossed.iter().map(n_pairs).sum::<u64>());
    }

    #[test]
    fn neighbors_are_brute_force(rows in rows(150), k in 0_usize..12, threads in 1_usize..4) {
        let found = in_pool(threads, || knn(rows.view(), k, &NoProgress));
        prop_assert_eq!(found, nearest(&rows, &rows, k, true));
    }

    #[test]
    fn nearest_rows_of_a_base_are_brute_force(queries in rows(40), base in rows(150), k in 0_usize..12) {
        prop_assert_eq!(nearest_in(queries.view(), base.view(), k, &NoProgress), nearest(&queries, &base, k, false));
    }

    /// Few different rows, each many times, some of them almost alike, and some orthogonal to many others.
    #[test]
    fn neighbors_of_many_equal_rows_are_brute_force(
        few in rows(6), of in prop::collection::vec(any::<prop::sample::Index>(), 0..60), k in 0_usize..30,
    ) {
        let mut few = few;
        for i in 0..few.nrows().min(3) {
            // The next number above, which changes a cosine by less than a proposal may be off.
            let mut alike = few.row(i).to_owned();
            alike[i] = alike[i].next_up();
            few.push_row(alike.view()).unwrap();
            let axis = ndarray::Array1::from_shape_fn(24, |j| f32::from(u8::from(i == j)));
            few.push_row(axis.view()).unwrap();
        }
        let places = if few.is_empty() { Vec::new() } else { of.iter().map(|at| at.index(few.nrows())).collect() };
        let all = few.select(Axis(0), &places);
        prop_assert_eq!(knn(all.view(), k, &NoProgress), nearest(&all, &all, k, true));
        prop_assert_eq!(nearest_in(few.view(), all.view(), k, &NoProgress), nearest(&few, &all, k, false));
    }
}

/// The `k` nearest rows of `base` to each query by all cosines; not the row of the same number where they are the same rows.
fn nearest(queries: &Array2<f32>, base: &Array2<f32>, k: usize, is_same: bool) -> Neighbors {
    let k = k.min(base.nrows().saturating_sub(usize::from(is_same)));
    let (mut ids, mut cosine) = (Array2::zeros((queries.nrows(), k)), Array2::zeros((queries.nrows(), k)));
    for i in 0..queries.nrows() {
        let others = (0..base.nrows()).filter(|j| !is_same || *j != i);
        let mut all: Vec<(f32, u32)> = others.map(|j| (dot(queries, i, base, j), id(j))).collect();
        all.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        for (j, (similarity, row)) in all.into_iter().take(k).enumerate() {
            (ids[[i, j]], cosine[[i, j]]) = (row, similarity);
        }
    }
    Neighbors { ids, cosine }
}

#[test]
fn all_other_rows_are_neighbors_where_there_are_no_more() {
    let rows = ndarray::array![[1.0_f32, 0.0], [0.0, 1.0], [0.6, 0.8]];
    for k in [2, 3, usize::MAX] {
        assert_eq!(knn(rows.view(), k, &NoProgress).ids, ndarray::array![[2, 1], [2, 0], [1, 0]], "{k}");
    }
    assert_eq!(
        nearest_in(rows.view(), rows.view(), 9, &NoProgress).ids,
        ndarray::array![[0, 2, 1], [1, 2, 0], [2, 1, 0]]
    );
    assert_eq!(knn(rows.slice(ndarray::s![..1, ..]), 5, &NoProgress).ids.dim(), (1, 0));
    assert_eq!(knn(rows.slice(ndarray::s![..0, ..]), 5, &NoProgress).ids.dim(), (0, 0));
}

#[test]
fn a_minimum_beyond_all_cosines_finds_all_or_nothing() {
    let rows = ndarray::array![[1.0_f32, 0.0], [-1.0, 0.0], [1.0, 0.0]];
    for (min_cosine, n) in [(-2.0, 3), (f32::NEG_INFINITY, 3), (1.0, 1), (1.1, 0), (f32::INFINITY, 0), (f32::NAN, 0)] {
        let options = JoinOptions { min_cosine, ..JoinOptions::default() };
        assert_eq!(self_join(rows.view(), &options, &NoProgress).n_found, n, "{min_cosine}");
    }
}

/// More rows than one tile has columns, so that tiles are cut in the middle.
#[test]
fn tiles_join_without_seams() {
    let n = 2_300_u16;
    let rows = Array2::from_shape_fn((usize::from(n), 8), |(i, j)| {
        let angle = f32::from(u16::try_from(i % 230).unwrap()) * 0.001;
        [angle.cos(), angle.sin()].get(j).copied().unwrap_or(0.0)
    });
    let options = JoinOptions { min_cosine: 0.999_999_9, ..JoinOptions::default() };
    let found = self_join(rows.view(), &options, &NoProgress);
    // Ten copies of each of 230 angles: 45 pairs each. Different angles have a cosine of at most cos(0.001) < 0.9999996.
    assert_eq!(found.n_found, 230 * 45);
    let graph = knn(rows.view(), 9, &NoProgress);
    assert!(graph.cosine.iter().all(|cosine| 0.999_999 < *cosine));
    assert_eq!(graph.ids.row(0).to_vec(), (1..10).map(|i| i * 230).collect::<Vec<u32>>());
}
