//! The join of hashes against all pairs.

use proptest::prelude::*;
use tamis_core::{NoProgress, Progress as _};
use tamis_neighbors::{HammingJoin, HashPair, HashPairs};

fn self_join(hashes: &[Option<u64>], radius: u32) -> HashPairs {
    HammingJoin { radius, max_pairs: 10_000_000 }.self_join(hashes, &*NoProgress.begin("join", None, "images"))
}

fn brute_force(hashes: &[Option<u64>], radius: u32) -> Vec<HashPair> {
    let some: Vec<(u32, u64)> = (0..).zip(hashes).filter_map(|(index, hash)| Some((index, (*hash)?))).collect();
    let mut pairs = Vec::new();
    for (i, (a, x)) in some.iter().enumerate() {
        for (b, y) in &some[i + 1..] {
            let distance = (x ^ y).count_ones();
            if distance <= radius {
                pairs.push(HashPair { a: *a, b: *b, distance });
            }
        }
    }
    pairs
}

fn oriented_join(join: HammingJoin, queries: &[Option<[u64; 8]>], base: &[Option<u64>]) -> HashPairs {
    join.oriented_join(queries, base, &*NoProgress.begin("join", None, "images"))
}

fn oriented_brute_force(queries: &[Option<[u64; 8]>], base: &[Option<u64>], radius: u32) -> Vec<HashPair> {
    let mut pairs = Vec::new();
    for (a, query) in (0..).zip(queries) {
        for (b, hash) in (0..).zip(base) {
            let (Some(query), Some(hash)) = (query, hash) else { continue };
            let distance = query.iter().fold(64, |least, it| least.min((it ^ hash).count_ones()));
            if distance <= radius {
                pairs.push(HashPair { a, b, distance });
            }
        }
    }
    pairs
}

/// Hashes by splitmix64, every third one with some bits of another one changed.
fn hashes(n: u64, most_changed: u64) -> Vec<Option<u64>> {
    let mixed = |x: u64| {
        let x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 27)
    };
    let changed =
        |i: u64| (0..mixed(i) % (most_changed + 1)).fold(0, |bits, k| bits | 1_u64 << (mixed(i + 1000 * k) % 64));
    (0..n).map(|i| Some(if i % 3 == 0 { mixed(i / 2) ^ changed(i) } else { mixed(i) })).collect()
}

#[test]
fn the_index_finds_what_all_pairs_have() {
    // Enough that the index is used up to a radius of 11.
    let hashes = hashes(8_000, 14);
    for radius in [0, 1, 2, 3, 4, 5, 7, 8, 10, 11] {
        let found = self_join(&hashes, radius);
        assert_eq!(found.pairs, brute_force(&hashes, radius), "{radius}");
        assert_eq!(found.n_found, found.pairs.len() as u64, "{radius}");
    }
}

#[test]
fn equal_hashes_are_listed_with_the_first() {
    let found = self_join(&vec![Some(5); 50_000], 10);
    assert_eq!((found.n_found, found.n_represented), (49_999, 49_999));
    assert!(found.pairs.iter().all(|pair| pair.a == 0 && pair.distance == 0));
    assert_eq!(self_join(&vec![None; 100], 64), HashPairs::default());
}

#[test]
fn the_cap_bounds_what_is_kept_and_not_what_is_counted() {
    let hashes: Vec<Option<u64>> = (0..3000).map(Some).collect();
    let all = self_join(&hashes, 64);
    assert_eq!((all.n_found, all.pairs.len()), (3000 * 2999 / 2, 3000 * 2999 / 2));
    for max_pairs in [0, 10] {
        let join = HammingJoin { radius: 64, max_pairs };
        let few = join.self_join(&hashes, &*NoProgress.begin("join", None, "images"));
        assert_eq!((few.n_found, few.pairs.len()), (all.n_found, max_pairs));
    }
}

#[test]
fn the_index_finds_a_picture_in_any_orientation() {
    let base = hashes(6_000, 14);
    // Of each query one of eight is a hash of the base with some bits changed; some are not there.
    let other = hashes(30_000, 0);
    let mask = 0x1111_1111_1111_1111_u64;
    let query = |i: usize| {
        let mut query: [u64; 8] = std::array::from_fn(|k| other[(8 * i + k) % other.len()].unwrap() ^ 1 << (k + 40));
        query[i % 8] = base[3 * i].unwrap() ^ mask.checked_shr(i as u32 % 65).unwrap_or(0);
        (i % 9 != 5).then_some(query)
    };
    let queries: Vec<_> = (0..1_300).map(query).collect();
    let base: Vec<_> = base.into_iter().enumerate().map(|(b, hash)| hash.filter(|_| b % 11 != 7)).collect();
    for radius in [0, 3, 8, 11, 16] {
        let expected = oriented_brute_force(&queries, &base, radius);
        let found = oriented_join(HammingJoin { radius, max_pairs: 1_000_000 }, &queries, &base);
        assert!(expected.iter().any(|it| it.a % 8 == 7), "{radius}: {}", expected.len());
        assert_eq!((found.n_found, found.pairs), (expected.len() as u64, expected), "{radius}");
    }
    let [all, few] =
        [1_000_000, 5].map(|max_pairs| oriented_join(HammingJoin { radius: 16, max_pairs }, &queries, &base));
    assert_eq!((few.n_found, &few.pairs[..]), (all.n_found, &all.pairs[..5]));
}

proptest! {
    #[test]
    fn few_oriented_hashes_of_any_radius_are_brute_force(
        queries in proptest::collection::vec(proptest::option::of(any::<[u64; 8]>()), 0..20),
        base in proptest::collection::vec(proptest::option::of(any::<(u64, u64)>()), 0..20),
        radius in 0_u32..=64,
    ) {
        // Few bits set, so that many are near.
        let queries: Vec<_> = queries.into_iter().map(|it| it.map(|it| it.map(|hash| hash & (hash >> 7)))).collect();
        let base: Vec<_> = base.into_iter().map(|it| it.map(|(a, b)| a & b)).collect();
        let found = oriented_join(HammingJoin { radius, max_pairs: 1_000_000 }, &queries, &base);
        prop_assert_eq!(found.pairs, oriented_brute_force(&queries, &base, radius));
    }

    #[test]
    fn few_hashes_of_any_radius_are_brute_force(
        bits in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..60),
        radius in 0_u32..=64,
    ) {
        // Few bits set, so that many are near.
        let hashes: Vec<_> = bits.into_iter().map(|(a, b, is_there)| is_there.then_some(a & b & (a >> 7))).collect();
        prop_assert_eq!(self_join(&hashes, radius).pairs, brute_force(&hashes, radius));
    }
}
