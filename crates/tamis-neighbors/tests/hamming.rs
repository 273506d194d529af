//! The join of hashes against all pairs.

use proptest::prelude::*;
use tamis_core::{NoProgress, Progress as _};
use tamis_neighbors::{HammingJoin, HashPair, HashPairs};

fn self_join<const W: usize>(hashes: &[Option<[u64; W]>], radius: u32) -> HashPairs {
    HammingJoin { radius, max_pairs: 10_000_000 }.self_join(hashes, &*NoProgress.begin("join", None, "images"))
}

fn distance<const W: usize>(a: &[u64; W], b: &[u64; W]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The pairs of those that are there, by a distance of each two.
fn all_pairs<T>(items: &[Option<T>], radius: u32, distance: impl Fn(&T, &T) -> u32) -> Vec<HashPair> {
    let some: Vec<(u32, &T)> = (0..).zip(items).filter_map(|(index, item)| Some((index, item.as_ref()?))).collect();
    let mut pairs = Vec::new();
    for (i, (a, x)) in some.iter().enumerate() {
        for (b, y) in &some[i + 1..] {
            let distance = distance(x, y);
            if distance <= radius {
                pairs.push(HashPair { a: *a, b: *b, distance });
            }
        }
    }
    pairs
}

fn brute_force<const W: usize>(hashes: &[Option<[u64; W]>], radius: u32) -> Vec<HashPair> {
    all_pairs(hashes, radius, distance)
}

fn oriented_join<const W: usize>(
    join: HammingJoin,
    queries: &[Option<[[u64; W]; 8]>],
    base: &[Option<[u64; W]>],
) -> HashPairs {
    join.oriented_join(queries, base, &*NoProgress.begin("join", None, "images"))
}

/// The least distance of a hash of `query` to `hash`.
fn least<const W: usize>(query: &[[u64; W]; 8], hash: &[u64; W]) -> u32 {
    query.iter().fold(u32::MAX, |least, it| least.min(distance(it, hash)))
}

fn oriented_brute_force<const W: usize>(
    queries: &[Option<[[u64; W]; 8]>],
    base: &[Option<[u64; W]>],
    radius: u32,
) -> Vec<HashPair> {
    let mut pairs = Vec::new();
    for (a, query) in (0..).zip(queries) {
        for (b, hash) in (0..).zip(base) {
            let (Some(query), Some(hash)) = (query, hash) else { continue };
            let distance = least(query, hash);
            if distance <= radius {
                pairs.push(HashPair { a, b, distance });
            }
        }
    }
    pairs
}

fn oriented_self_join<const W: usize>(hashes: &[Option<[[u64; W]; 8]>], radius: u32) -> HashPairs {
    HammingJoin { radius, max_pairs: 10_000_000 }.oriented_self_join(hashes, &*NoProgress.begin("join", None, "images"))
}

fn oriented_self_brute_force<const W: usize>(hashes: &[Option<[[u64; W]; 8]>], radius: u32) -> Vec<HashPair> {
    all_pairs(hashes, radius, |a, b| least(a, &b[0]).min(least(b, &a[0])))
}

/// Bits by splitmix64.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 27)
}

/// Hashes by splitmix64, every third one with some bits of another one changed.
fn hashes<const W: usize>(n: u64, most_changed: u64) -> Vec<Option<[u64; W]>> {
    let n_bits = 64 * W as u64;
    let hash = |i: u64| -> [u64; W] { std::array::from_fn(|word| mixed(i + (word as u64) * 1_000_000_007)) };
    let changed = |i: u64| {
        let mut hash = hash(i / 2);
        for k in 0..mixed(i) % (most_changed + 1) {
            let bit = mixed(i + 1000 * k) % n_bits;
            hash[bit as usize / 64] |= 1 << (bit % 64);
        }
        hash
    };
    (0..n).map(|i| Some(if i % 3 == 0 { changed(i) } else { hash(i) })).collect()
}

#[test]
fn the_index_finds_what_all_pairs_have() {
    // Enough that the index is used up to a radius of 11.
    let small = hashes::<1>(8_000, 14);
    for radius in [0, 1, 2, 3, 4, 5, 7, 8, 10, 11] {
        let found = self_join(&small, radius);
        assert_eq!(found.pairs, brute_force(&small, radius), "{radius}");
        assert_eq!(found.n_found, found.pairs.len() as u64, "{radius}");
    }
    let large = hashes::<4>(4_000, 80);
    for radius in [0, 1, 14, 15, 16, 17, 30, 31] {
        let found = self_join(&large, radius);
        assert_eq!(found.pairs, brute_force(&large, radius), "{radius} of 256");
        assert!(500 < found.pairs.len() || radius < 30, "{radius} of 256: {}", found.pairs.len());
    }
}

#[test]
fn equal_hashes_are_listed_with_the_first() {
    let found = self_join(&vec![Some([5]); 50_000], 10);
    assert_eq!((found.n_found, found.n_represented), (49_999, 49_999));
    assert!(found.pairs.iter().all(|pair| pair.a == 0 && pair.distance == 0));
    assert_eq!(self_join(&vec![None::<[u64; 1]>; 100], 64), HashPairs::default());
    let found = oriented_self_join(&vec![Some([[5, 0, 1, 2]; 8]); 50_000], 31);
    assert_eq!((found.n_found, found.n_represented), (49_999, 49_999));
}

#[test]
fn the_cap_bounds_what_is_kept_and_not_what_is_counted() {
    let hashes: Vec<Option<[u64; 1]>> = (0..3000).map(|it| Some([it])).collect();
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
    let base = hashes::<1>(6_000, 14);
    // Of each query one of eight is a hash of the base with some bits changed; some are not there.
    let other = hashes::<1>(30_000, 0);
    let mask = 0x1111_1111_1111_1111_u64;
    let query = |i: usize| {
        let mut query: [[u64; 1]; 8] =
            std::array::from_fn(|k| other[(8 * i + k) % other.len()].unwrap().map(|it| it ^ 1 << (k + 40)));
        query[i % 8] = base[3 * i].unwrap().map(|it| it ^ mask.checked_shr(i as u32 % 65).unwrap_or(0));
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

#[test]
fn the_index_finds_pairs_that_are_near_one_way_or_both() {
    // Of each picture one turned hash is that of another one with some bits changed, and of every fifth that other one's is
    // its own: enough for the index.
    let upright = hashes::<4>(2_800, 80);
    let flipped = |i: usize, n: u32| -> [u64; 4] {
        let bits = mixed(i as u64).checked_shr(64 - n.min(64)).unwrap_or(0);
        upright[i].unwrap().map(|word| word ^ bits)
    };
    let turned = |i: usize| {
        let mut turned: [[u64; 4]; 8] = std::array::from_fn(|k| {
            std::array::from_fn(|word| mixed((i * 40 + k * 4 + word) as u64 ^ 0x5555_5555_0000))
        });
        turned[0] = upright[i].unwrap();
        if i % 5 != 1 {
            turned[1 + i % 7] = flipped(i ^ 1, i as u32 % 20);
        }
        (i % 11 != 7).then_some(turned)
    };
    let turned: Vec<_> = (0..upright.len()).map(turned).collect();
    for radius in [15, 31] {
        let found = oriented_self_join(&turned, radius);
        let expected = oriented_self_brute_force(&turned, radius);
        assert!(500 < expected.len() || radius < 31, "{radius}: {}", expected.len());
        assert_eq!((found.n_found, found.pairs), (expected.len() as u64, expected), "{radius}");
    }
}

/// Hashes with few bits set, so that many are near.
fn sparse<const W: usize>(bits: Vec<([u64; W], [u64; W], bool)>) -> Vec<Option<[u64; W]>> {
    let hash = |a: [u64; W], b: [u64; W]| std::array::from_fn(|at| a[at] & b[at] & (a[at] >> 7));
    bits.into_iter().map(|(a, b, is_there)| is_there.then(|| hash(a, b))).collect()
}

proptest! {
    #[test]
    fn few_oriented_hashes_of_any_radius_are_brute_force(
        queries in proptest::collection::vec(proptest::option::of(any::<[[u64; 1]; 8]>()), 0..20),
        base in proptest::collection::vec(proptest::option::of(any::<(u64, u64)>()), 0..20),
        radius in 0_u32..=64,
    ) {
        // Few bits set, so that many are near.
        let sparse = |it: [[u64; 1]; 8]| it.map(|[hash]| [hash & (hash >> 7)]);
        let queries: Vec<_> = queries.into_iter().map(|it| it.map(sparse)).collect();
        let base: Vec<_> = base.into_iter().map(|it| it.map(|(a, b)| [a & b])).collect();
        let found = oriented_join(HammingJoin { radius, max_pairs: 1_000_000 }, &queries, &base);
        prop_assert_eq!(found.pairs, oriented_brute_force(&queries, &base, radius));
        prop_assert_eq!(oriented_self_join(&queries, radius).pairs, oriented_self_brute_force(&queries, radius));
    }

    #[test]
    fn few_oriented_hashes_of_four_words_are_brute_force(
        queries in proptest::collection::vec(proptest::option::of(any::<[[u64; 4]; 8]>()), 0..12),
        radius in 0_u32..=256,
    ) {
        let sparse = |it: [[u64; 4]; 8]| it.map(|hash| hash.map(|word| word & (word >> 7)));
        let queries: Vec<_> = queries.into_iter().map(|it| it.map(sparse)).collect();
        let base: Vec<_> = queries.iter().rev().map(|it| it.map(|it| it[3])).collect();
        let found = oriented_join(HammingJoin { radius, max_pairs: 1_000_000 }, &queries, &base);
        prop_assert_eq!(found.pairs, oriented_brute_force(&queries, &base, radius));
        prop_assert_eq!(oriented_self_join(&queries, radius).pairs, oriented_self_brute_force(&queries, radius));
    }

    #[test]
    fn few_hashes_of_any_radius_are_brute_force(
        bits in proptest::collection::vec(any::<([u64; 1], [u64; 1], bool)>(), 0..60),
        radius in 0_u32..=64,
    ) {
        let hashes = sparse(bits);
        prop_assert_eq!(self_join(&hashes, radius).pairs, brute_force(&hashes, radius));
    }

    #[test]
    fn few_hashes_of_several_words_and_any_radius_are_brute_force(
        two in proptest::collection::vec(any::<([u64; 2], [u64; 2], bool)>(), 0..40),
        four in proptest::collection::vec(any::<([u64; 4], [u64; 4], bool)>(), 0..40),
        radius in 0_u32..=256,
    ) {
        let (two, four) = (sparse(two), sparse(four));
        prop_assert_eq!(self_join(&two, radius).pairs, brute_force(&two, radius));
        prop_assert_eq!(self_join(&four, radius).pairs, brute_force(&four, radius));
    }
}

proptest! {
    // Each case builds an index of sixteen parts.
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Hashes that repeat a base with a few bits flipped, and as many of nothing else that the index is used.
    #[test]
    fn many_hashes_of_256_bits_are_brute_force(
        bits in proptest::collection::vec((0_u64..30, proptest::collection::vec(0_usize..256, 0..40)), 1..80),
        radius in 0_u32..32,
    ) {
        let flipped = |(number, bits): (u64, Vec<usize>)| {
            let mut hash: [u64; 4] = std::array::from_fn(|word| mixed(4 * number + word as u64 + 77));
            bits.into_iter().for_each(|bit| hash[bit / 64] ^= 1 << (bit % 64));
            Some(hash)
        };
        let mut near: Vec<_> = bits.into_iter().map(flipped).collect();
        let expected = brute_force(&near, radius);
        near.extend((0..3_000).map(|i| Some(std::array::from_fn(|word| mixed(4 * i + word as u64 + 1_000_003)))));
        prop_assert_eq!(self_join(&near, radius).pairs, expected);
    }
}
