//! Screened searches against plain ones, with every space and every kernel.

use ndarray::Array2;
use proptest::prelude::*;
use tamis_core::NoProgress;

use super::basis::{longest, turned};
use super::plan::{Offered, choose, offered};
use super::space::{REST, Space};
use super::{Instructions, Rounded, Screen, Want};
use crate::join::join;
use crate::knn::nearest;
use crate::testing::{Kind, kinds, rows};
use crate::{JoinOptions, canonical_dot, knn, nearest_in, self_join};

/// Screens with all columns and with few, with the best instructions and with any.
fn screens(queries: Option<&Array2<f32>>, base: &Array2<f32>) -> Vec<Screen> {
    let mut spaces = vec![Space::All { dim: base.ncols() }];
    for n in [1, 3, 12] {
        spaces.push(Space::projected(turned(&longest(base.view(), n), n)));
    }
    let instructions = [Instructions::Best, Instructions::Float];
    let each = spaces.iter().flat_map(|space| instructions.map(|instructions| (space, instructions)));
    // A reach that is too small cuts large numbers: that costs time, not pairs.
    let screens = each.map(|(space, instructions)| {
        Rounded::new(queries.map(|rows| rows.view()), base.view(), space, 0.3, instructions)
            .map(Rounded::screen)
            .expect("because the rows have unit length")
    });
    screens.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_screen_never_changes_a_join(
        kind in kinds(), n in 1_usize..160, dim in prop::sample::select(vec![1_usize, 2, 3, 7, 33, 64]), seed: u64,
        min_cosine in prop::sample::select(vec![-1.0_f32, 0.0, 0.5, 0.9, 1.0]), block_rows in 1_usize..80,
        max_pairs in prop::sample::select(vec![0, 5, 1000, 1_000_000]),
    ) {
        let (base, queries) = (rows(kind, n, dim, seed), rows(kind, n / 2, dim, seed / 3));
        let options = JoinOptions { min_cosine, max_pairs, block_rows };
        let expected = self_join(base.view(), &options, &NoProgress);
        let mut n_pairs = 0;
        for i in 0..n {
            for j in i + 1..n {
                let cosine = canonical_dot(base.row(i).as_slice().unwrap(), base.row(j).as_slice().unwrap());
                n_pairs += u64::from(min_cosine <= cosine);
            }
        }
        prop_assert_eq!(expected.n_found, n_pairs);
        for screen in screens(None, &base) {
            let found = join(None, base.view(), None, Some(&screen), &options, &NoProgress);
            prop_assert_eq!(found.n_found, expected.n_found);
            prop_assert_eq!(&found.pairs, &expected.pairs);
        }
        let expected = join(Some(queries.view()), base.view(), None, None, &options, &NoProgress);
        for screen in screens(Some(&queries), &base) {
            let found = join(Some(queries.view()), base.view(), None, Some(&screen), &options, &NoProgress);
            prop_assert_eq!(found.n_found, expected.n_found);
            prop_assert_eq!(&found.pairs, &expected.pairs);
        }
    }

    #[test]
    fn a_screen_never_changes_neighbors(
        kind in kinds(), n in 1_usize..260, dim in prop::sample::select(vec![1_usize, 2, 3, 7, 33, 64]), seed: u64, k in 0_usize..12,
    ) {
        let (base, queries) = (rows(kind, n, dim, seed), rows(kind, n / 2, dim, seed / 3));
        let k = k.min(n - 1);
        let expected = knn(base.view(), k, &NoProgress);
        prop_assert_eq!(&nearest(None, base.view(), k, None, &NoProgress), &expected);
        for screen in screens(None, &base) {
            prop_assert_eq!(&nearest(None, base.view(), k, Some(&screen), &NoProgress), &expected);
        }
        let expected = nearest_in(queries.view(), base.view(), k, &NoProgress);
        prop_assert_eq!(&nearest(Some(queries.view()), base.view(), k, None, &NoProgress), &expected);
        for screen in screens(Some(&queries), &base) {
            prop_assert_eq!(&nearest(Some(queries.view()), base.view(), k, Some(&screen), &NoProgress), &expected);
        }
    }

    /// Pairs within a millionth of the minimum, on both sides of it: each is a hit if it counts, and the kernels agree.
    #[test]
    fn pairs_at_the_minimum_are_hits(seed: u64, dim in 2_usize..70, min_cosine in -0.99_f32..0.999) {
        let n = 64;
        let mut rows = rows(Kind::Isotropic, 2 * n, dim, seed);
        for i in 0..n {
            // The part of the second row that is orthogonal to the first one, and then at the angle that is wanted.
            let offset = f32::from(u8::try_from(i).unwrap()) / 64.0 * 2e-6 - 1e-6;
            let cosine = f64::from((min_cosine + offset).clamp(-1.0, 1.0));
            let (a, b) = (rows.row(i).mapv(f64::from), rows.row(n + i).mapv(f64::from));
            let across = &b - &(&a * a.dot(&b));
            let length = across.dot(&across).sqrt();
            // Shorter, its direction would be less exact than the rows' lengths have to be.
            if 0.1 < length {
                let b = &a * cosine + &across * ((1.0 - cosine * cosine).sqrt() / length);
                rows.row_mut(n + i).assign(&b.mapv(super::space::narrow));
            }
        }
        let mut before: Option<Vec<(u32, u32)>> = None;
        for (i, screen) in screens(None, &rows).iter().enumerate() {
            let mut hits = Vec::new();
            let minima = vec![min_cosine; 2 * n];
            assert!(screen.hits(0..2 * n, minima.into_iter(), 0..2 * n, usize::MAX, &mut hits));
            hits.sort_unstable();
            for a in 0..2 * n {
                for b in 0..2 * n {
                    let cosine = canonical_dot(rows.row(a).as_slice().unwrap(), rows.row(b).as_slice().unwrap());
                    let pair = (u32::try_from(a).unwrap(), u32::try_from(b).unwrap());
                    prop_assert!(cosine < min_cosine || hits.binary_search(&pair).is_ok(), "{pair:?} {cosine}");
                }
            }
            if i % 2 == 1 {
                prop_assert_eq!(before.as_ref(), Some(&hits));
            }
            before = Some(hits);
        }
    }
}

#[test]
fn rows_that_are_no_unit_rows_are_not_screened() {
    for bad in [2.0, f32::NAN, f32::INFINITY] {
        let mut rows = rows(Kind::Isotropic, 40, 16, 7);
        rows[[20, 3]] = bad;
        assert!(Rounded::new(None, rows.view(), &Space::All { dim: 16 }, 0.3, Instructions::Best).is_none());
    }
}

#[test]
fn a_screen_of_rows_along_few_directions_leaves_few_pairs() {
    let rows = rows(Kind::Clustered, 200, 64, 5);
    let space = Space::projected(turned(&longest(rows.view(), 12), 12));
    assert_eq!(space.width(), 12 + REST);
    let rounded = Rounded::new(None, rows.view(), &space, 0.8, Instructions::Best).unwrap();
    let screen = rounded.screen();
    let mut hits = Vec::new();
    assert!(screen.hits(0..200, std::iter::repeat(0.9), 0..200, usize::MAX, &mut hits));
    // The five clusters, whose centers are far apart.
    assert!(hits.iter().all(|(a, b)| a % 5 == b % 5), "{}", hits.len());
    assert!(!screen.hits(0..200, std::iter::repeat(-1.0), 0..200, 100, &mut hits));
}

/// More rows than a tile has columns, and than a sample takes.
#[test]
fn a_plan_changes_no_result_and_spares_rows_that_are_alike() {
    let any = Offered { all: true, projections: true };
    for kind in [Kind::Isotropic, Kind::Clustered, Kind::Duplicated, Kind::LowRank, Kind::Identical] {
        let rows = rows(kind, 2100, 40, 11);
        let options = JoinOptions { min_cosine: 0.95, max_pairs: 3000, block_rows: 256 };
        let expected = join(None, rows.view(), None, None, &options, &NoProgress);
        let screen = choose(None, rows.view(), Want::Cosine(0.95), any).map(Rounded::screen);
        assert!(!matches!(kind, Kind::Identical) || screen.is_none());
        let found = join(None, rows.view(), None, screen.as_ref(), &options, &NoProgress);
        assert_eq!((found.n_found, found.pairs), (expected.n_found, expected.pairs), "{kind:?}");
        let expected = nearest(None, rows.view(), 5, None, &NoProgress);
        let screen = choose(None, rows.view(), Want::Neighbors(5), any).map(Rounded::screen);
        assert_eq!(nearest(None, rows.view(), 5, screen.as_ref(), &NoProgress), expected, "{kind:?}");
    }
    let rows = rows(Kind::Isotropic, 100, 40, 11);
    assert!(choose(None, rows.view(), Want::Cosine(-1.0), any).is_none());
}

#[test]
fn screens_are_offered_where_they_take_a_small_part_of_the_search_to_be_found() {
    let cosine = |n: usize, dim: usize| {
        let Offered { all, projections } = offered(n, n, dim, Want::Cosine(0.9));
        (all, projections)
    };
    // Of few rows the sample would be most of the work, and directions take time with the square of their numbers.
    assert_eq!(
        (cosine(7_000, 384), cosine(8_000, 384), cosine(12_000, 384)),
        ((false, false), (true, false), (true, true))
    );
    assert_eq!(
        (cosine(4_000, 1024), cosine(7_300, 1024), cosine(15_000, 1024)),
        ((false, false), (true, false), (true, true))
    );
    assert_eq!(
        (cosine(4_000, 3072), cosine(20_000, 3072), cosine(30_000, 3072)),
        ((false, false), (true, false), (true, true))
    );
    // Rows of more than 8,192 numbers have no screen of all columns.
    assert_eq!(
        (cosine(2_500, 8193), cosine(20_000, 8193), cosine(60_000, 8193)),
        ((false, false), (false, false), (false, true))
    );
    assert_eq!((cosine(20_000, 8192), cosine(60_000, 8192)), ((true, false), (true, true)));
    // The floors of some queries are looked for in all of the base.
    let nearest = |n_queries| offered(n_queries, 100_000, 384, Want::Neighbors(10)).all;
    assert_eq!((nearest(64), nearest(1_000), nearest(2_000)), (false, false, true));
}

#[test]
fn directions_of_many_numbers_are_those_in_which_rows_are_longest() {
    let rows = rows(Kind::LowRank, 50, 300, 3);
    let basis = longest(rows.view(), 4);
    // Rows in a plane span two directions, and are no longer than their products with these.
    assert_eq!(basis.dim(), (300, 2));
    let projected = rows.mapv(f64::from).dot(&basis);
    assert!(projected.rows().into_iter().all(|row| (row.dot(&row) - 1.0).abs() < 1e-5));
}

#[test]
fn rows_that_f32_cannot_hold_the_products_of_are_not_screened() {
    for (dim, is_screened) in [(1024, true), (1028, false)] {
        let number = (1.0 / f64::from(dim)).sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what rows are of")]
        let rows = Array2::from_elem((4, dim as usize), number as f32);
        let space = Space::All { dim: dim as usize };
        let rounded = Rounded::new(None, rows.view(), &space, number, Instructions::Float);
        assert_eq!(rounded.is_some(), is_screened, "{dim}");
    }
}
