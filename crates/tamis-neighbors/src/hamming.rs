//! Hashes of 64 bits that differ in few bits: an exact join.
//!
//! Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing" (CVPR 2012), section 3.1: of the
//! four parts of two hashes that differ in at most `radius` bits, one differs in few. Each part of a query is looked up
//! with few bits changed, and only hashes that are found so are compared. Where that would look up more than there is,
//! all are compared.

use rayon::prelude::*;
use tamis_core::Task;

use crate::buckets::Buckets;
use crate::equal::Equals;

/// Parts of a hash, of 16 bits each.
const N_PARTS: usize = 4;

/// Values of a part.
const N_VALUES: usize = 1 << 16;

/// Hashes that one thread takes at a time.
const CHUNK: usize = 1024;

/// What is joined.
#[derive(Clone, Copy, Debug)]
pub struct HammingJoin {
    /// Most bits that may differ, at most 64.
    pub radius: u32,
    /// Most pairs to keep, those of equal hashes first; further ones are counted only.
    pub max_pairs: usize,
}

/// Two hashes and the number of bits in which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashPair {
    /// The smaller index.
    pub a: u32,
    /// The larger index.
    pub b: u32,
    /// Bits that differ.
    pub distance: u32,
}

/// The pairs of a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashPairs {
    /// The pairs kept, ascending by `(a, b)`.
    pub pairs: Vec<HashPair>,
    /// How many there are in all.
    pub n_found: u64,
    /// Hashes that are listed with the first of their equals alone, as in [`Equals`].
    pub n_represented: usize,
}

impl HammingJoin {
    /// Finds all pairs of `hashes`; `None` stands for what has none and is in no pair. Tells `task` of every hash that is
    /// done.
    ///
    /// Time: for each different hash, the look-ups of a part with up to `radius / 4` bits changed (137 for a radius of 8 to
    /// 11) in four parts, and comparisons with what they give; where these are more than the hashes, comparisons with all of
    /// them. Memory: 20 bytes a hash, the pairs, and for each thread as many again as there is room for.
    #[must_use]
    pub fn self_join(&self, hashes: &[Option<u64>], task: &dyn Task) -> HashPairs {
        let some = (0..).zip(hashes).filter_map(|(index, hash)| Some((index, Some((*hash)?))));
        let equals = Equals::new(some);
        let firsts: Vec<u64> = equals.firsts().filter_map(|index| hashes[index as usize]).collect();
        let index = Index::new(&firsts, self.radius);
        let mut found = HashPairs { n_represented: equals.n_represented(), ..HashPairs::default() };
        for (a, b) in equals.pairs() {
            self.keep(&mut found, HashPair { a, b, distance: 0 });
        }
        task.advance(hashes.iter().filter(|hash| hash.is_none()).count() as u64);
        let starts: Vec<usize> = (0..firsts.len()).step_by(CHUNK).collect();
        // A round of one chunk per thread: each may hold as many pairs as there is room for.
        for round in starts.chunks(rayon::current_num_threads()) {
            let join = Self { max_pairs: self.max_pairs - found.pairs.len(), ..*self };
            let chunks = round.par_iter().map(|start| {
                let mut chunk = HashPairs::default();
                for i in *start..(start + CHUNK).min(firsts.len()) {
                    index.near(&firsts, firsts[i], self.radius, |j| {
                        if j <= i {
                            return;
                        }
                        let distance = (firsts[i] ^ firsts[j]).count_ones();
                        for a in equals.listed(i) {
                            for b in equals.listed(j) {
                                join.keep(&mut chunk, HashPair { a: *a.min(b), b: *a.max(b), distance });
                            }
                        }
                    });
                    task.advance(equals.groups[i].len() as u64);
                }
                chunk
            });
            for HashPairs { pairs, n_found, .. } in chunks.collect::<Vec<_>>() {
                found.n_found += n_found;
                found.pairs.extend(pairs.into_iter().take(self.max_pairs - found.pairs.len()));
            }
        }
        found.pairs.sort_unstable();
        found
    }

    /// Finds all pairs of a query with a hash of `base` where one of the query's hashes, those of a picture in all
    /// orientations, is near; `None` stands for what has none. `a` is the place of the query, `b` that of the base, and the
    /// distance is the least of the eight.
    ///
    /// Time: as [`HammingJoin::self_join`] for eight hashes each. Memory: 20 bytes a hash of the base, the pairs, and for each
    /// thread as many again as there is room for. Equal hashes are not joined as one: leave equal pictures out before.
    #[must_use]
    pub fn oriented_join(&self, queries: &[Option<[u64; 8]>], base: &[Option<u64>], task: &dyn Task) -> HashPairs {
        let places: Vec<u32> = (0..).zip(base).filter_map(|(place, hash)| hash.map(|_| place)).collect();
        let hashes: Vec<u64> = base.iter().copied().flatten().collect();
        let index = Index::new(&hashes, self.radius);
        let mut found = HashPairs::default();
        let starts: Vec<usize> = (0..queries.len()).step_by(CHUNK).collect();
        for round in starts.chunks(rayon::current_num_threads()) {
            let join = Self { max_pairs: self.max_pairs - found.pairs.len(), ..*self };
            let chunks = round.par_iter().map(|start| {
                let (mut chunk, mut near) = (HashPairs::default(), Vec::new());
                for (a, query) in (0..).zip(queries).skip(*start).take(CHUNK) {
                    near.clear();
                    for hash in query.iter().flatten() {
                        index.near(&hashes, *hash, self.radius, |j| {
                            near.push((places[j], (hash ^ hashes[j]).count_ones()));
                        });
                    }
                    near.sort_unstable();
                    near.dedup_by_key(|(b, _)| *b);
                    near.iter()
                        .for_each(|(b, distance)| join.keep(&mut chunk, HashPair { a, b: *b, distance: *distance }));
                    task.advance(1);
                }
                chunk
            });
            for HashPairs { pairs, n_found, .. } in chunks.collect::<Vec<_>>() {
                found.n_found += n_found;
                found.pairs.extend(pairs.into_iter().take(self.max_pairs - found.pairs.len()));
            }
        }
        found
    }

    /// Counts a pair, and adds it if there is room.
    fn keep(&self, found: &mut HashPairs, pair: HashPair) {
        found.n_found += 1;
        if found.pairs.len() < self.max_pairs {
            found.pairs.push(pair);
        }
    }
}

/// How hashes near to another one are found.
enum Index {
    /// By comparing all.
    All,
    /// By their parts.
    Parts(Vec<Part>),
}

/// One part of all hashes.
struct Part {
    /// Bits to change in a query.
    masks: Vec<u16>,
    /// Bits that `masks` change at most.
    radius: u32,
    /// Indices of hashes by the value of the part, ascending for each.
    by_value: Buckets<u32>,
}

/// The part `number` of a hash.
fn part(hash: u64, number: usize) -> u16 {
    (hash >> (16 * number)) as u16
}

impl Index {
    fn new(hashes: &[u64], radius: u32) -> Self {
        // With one part within `radius / 4` bits, or one of the first `radius % 4 + 1` parts, or else one of the others within
        // one less: were all beyond that, they would add up to more than the radius.
        let (share, rest) = (radius / N_PARTS as u32, radius as usize % N_PARTS);
        let of_part = |number: usize| if number <= rest { Some(share) } else { share.checked_sub(1) };
        let radii: Vec<(usize, u32)> = (0..N_PARTS).filter_map(|number| Some((number, of_part(number)?))).collect();
        let n_masks = |radius: u32| (0..N_VALUES).filter(|mask| mask.count_ones() <= radius).count();
        // A look-up costs about as much as ten comparisons.
        let n_looked: usize = radii.iter().map(|(_, radius)| n_masks(*radius) * (10 + hashes.len() / N_VALUES)).sum();
        if hashes.len() <= n_looked {
            return Self::All;
        }
        Self::Parts(radii.into_iter().map(|(number, radius)| Part::new(hashes, number, radius)).collect())
    }

    /// Gives the places of the hashes that differ from `hash` in at most `radius` bits, each once.
    fn near(&self, hashes: &[u64], hash: u64, radius: u32, mut give: impl FnMut(usize)) {
        let is_near = |j: usize| (hash ^ hashes[j]).count_ones() <= radius;
        let Self::Parts(parts) = self else {
            return (0..hashes.len()).filter(|j| is_near(*j)).for_each(give);
        };
        for (number, it) in parts.iter().enumerate() {
            for mask in &it.masks {
                for j in it.by_value.of(usize::from(part(hash, number) ^ mask)) {
                    let j = *j as usize;
                    // A pair that an earlier part gives was found there.
                    let is_new = || {
                        let differ = |earlier: usize| (part(hash, earlier) ^ part(hashes[j], earlier)).count_ones();
                        (0..number).all(|earlier| parts[earlier].radius < differ(earlier))
                    };
                    if is_near(j) && is_new() {
                        give(j);
                    }
                }
            }
        }
    }
}

impl Part {
    fn new(hashes: &[u64], number: usize, radius: u32) -> Self {
        let value = |hash: &u64| usize::from(part(*hash, number));
        let by_value = Buckets::new(N_VALUES, || hashes.iter().map(value).zip(0..));
        let masks = (0..=u16::MAX).filter(|mask| mask.count_ones() <= radius).collect();
        Self { masks, radius, by_value }
    }
}
