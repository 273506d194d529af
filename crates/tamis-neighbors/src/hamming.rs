//! Hashes that differ in few bits: an exact join.
//!
//! Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing" (CVPR 2012), section 3.1: of the
//! parts of two hashes that differ in at most `radius` bits, one differs in few. Each part of a query is looked up with few
//! bits changed, and only hashes that are found so are compared. Where that would look up more than there is, all are
//! compared.

use rayon::prelude::*;
use tamis_core::Task;

use crate::buckets::Buckets;
use crate::equal::Equals;

/// Parts of a word of a hash, of 16 bits each.
const PARTS_PER_WORD: usize = 4;

/// Values of a part.
const N_VALUES: usize = 1 << 16;

/// Hashes that one thread takes at a time.
const CHUNK: usize = 1024;

/// What is joined: hashes of any number `W` of words of 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct HammingJoin {
    /// Most bits that may differ.
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
    /// Time: for each different hash, the look-ups of a part with up to `radius / (4 W)` bits changed (137 for a radius of 8 to
    /// 11 of 64 bits, 17 for one of 16 to 31 of 256) in `4 W` parts, and comparisons with what they give; where these are more
    /// than the hashes, comparisons with all of them. Memory: 12 + 24 W bytes a hash, half a megabyte for each part, the pairs,
    /// and for each thread as many again as there is room for.
    #[must_use]
    pub fn self_join<const W: usize>(&self, hashes: &[Option<[u64; W]>], task: &dyn Task) -> HashPairs {
        self.join_firsts(hashes, task, |firsts| {
            let index = Index::new(&firsts, self.radius);
            move |i: usize, give: &mut dyn FnMut(usize, u32)| {
                index.near(&firsts, &firsts[i], self.radius, |j| {
                    if i < j {
                        give(j, distance(&firsts[i], &firsts[j]));
                    }
                });
            }
        })
    }

    /// Finds all pairs of pictures where a hash of either one, in any of eight orientations, is near to the first hash of the
    /// other; `None` stands for what has none. The distance is the least of the sixteen.
    ///
    /// Time and memory: as [`HammingJoin::self_join`] for eight hashes each.
    #[must_use]
    pub fn oriented_self_join<const W: usize>(&self, hashes: &[Option<[[u64; W]; 8]>], task: &dyn Task) -> HashPairs {
        self.join_firsts(hashes, task, |firsts| {
            let upright: Vec<[u64; W]> = firsts.iter().map(|turned| turned[0]).collect();
            let index = Index::new(&upright, self.radius);
            move |i: usize, give: &mut dyn FnMut(usize, u32)| {
                let mut near = Vec::new();
                for hash in &firsts[i] {
                    index.near(&upright, hash, self.radius, |j| near.push(j));
                }
                near.sort_unstable();
                near.dedup();
                for j in near {
                    // A pair that is near both ways is that of the smaller one.
                    let back = least_distance(&firsts[j], &upright[i]);
                    if i < j || j < i && self.radius < back {
                        give(j, least_distance(&firsts[i], &upright[j]).min(back));
                    }
                }
            }
        })
    }

    /// Finds all pairs of a query with a hash of `base` where one of the query's hashes, those of a picture in all
    /// orientations, is near; `None` stands for what has none. `a` is the place of the query, `b` that of the base, and the
    /// distance is the least of the eight.
    ///
    /// Time and memory: as [`HammingJoin::self_join`] for eight hashes each. Equal hashes are not joined as one: leave equal
    /// pictures out before.
    #[must_use]
    pub fn oriented_join<const W: usize>(
        &self,
        queries: &[Option<[[u64; W]; 8]>],
        base: &[Option<[u64; W]>],
        task: &dyn Task,
    ) -> HashPairs {
        let places: Vec<u32> = (0..).zip(base).filter_map(|(place, hash)| hash.map(|_| place)).collect();
        let hashes: Vec<[u64; W]> = base.iter().copied().flatten().collect();
        let index = Index::new(&hashes, self.radius);
        let mut found = HashPairs::default();
        self.in_rounds(queries.len(), &mut found, |a, keep| {
            let mut near = Vec::new();
            for hash in queries[a].iter().flatten() {
                index.near(&hashes, hash, self.radius, |j| near.push((places[j], distance(hash, &hashes[j]))));
            }
            near.sort_unstable();
            near.dedup_by_key(|(b, _)| *b);
            for (b, distance) in near {
                keep(HashPair { a: crate::join::index(a), b, distance });
            }
            task.advance(1);
        });
        found
    }

    /// Groups equal items, and joins the first ones: `finder` takes them and gives what calls its second argument with the
    /// place and the distance of each that is in a pair with the one at the place of the first argument. A pair is given from
    /// one of its sides.
    fn join_firsts<T: Copy + Ord, F>(
        &self,
        items: &[Option<T>],
        task: &dyn Task,
        finder: impl FnOnce(Vec<T>) -> F,
    ) -> HashPairs
    where
        F: Fn(usize, &mut dyn FnMut(usize, u32)) + Sync,
    {
        let some = (0..).zip(items).filter_map(|(index, item)| Some((index, Some((*item)?))));
        let equals = Equals::new(some);
        let firsts: Vec<T> = equals.firsts().filter_map(|index| items[index as usize]).collect();
        let n_firsts = firsts.len();
        let find = finder(firsts);
        let mut found = HashPairs { n_represented: equals.n_represented(), ..HashPairs::default() };
        for (a, b) in equals.pairs() {
            self.keep(&mut found, HashPair { a, b, distance: 0 });
        }
        task.advance(items.iter().filter(|item| item.is_none()).count() as u64);
        self.in_rounds(n_firsts, &mut found, |i, keep| {
            find(i, &mut |j, distance| {
                for a in equals.listed(i) {
                    for b in equals.listed(j) {
                        keep(HashPair { a: *a.min(b), b: *a.max(b), distance });
                    }
                }
            });
            task.advance(equals.of(i).len() as u64);
        });
        found.pairs.sort_unstable();
        found
    }

    /// Calls `find` for each place below `n`, on all threads, and adds what it gives in the order of the places.
    fn in_rounds(&self, n: usize, found: &mut HashPairs, find: impl Fn(usize, &mut dyn FnMut(HashPair)) + Sync) {
        let starts: Vec<usize> = (0..n).step_by(CHUNK).collect();
        // A round of one chunk per thread: each may hold as many pairs as there is room for.
        for round in starts.chunks(rayon::current_num_threads()) {
            let join = Self { max_pairs: self.max_pairs - found.pairs.len(), ..*self };
            let chunks = round.par_iter().map(|start| {
                let mut chunk = HashPairs::default();
                for place in *start..(start + CHUNK).min(n) {
                    find(place, &mut |pair| join.keep(&mut chunk, pair));
                }
                chunk
            });
            for HashPairs { pairs, n_found, .. } in chunks.collect::<Vec<_>>() {
                found.n_found += n_found;
                found.pairs.extend(pairs.into_iter().take(self.max_pairs - found.pairs.len()));
            }
        }
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
#[inline]
fn part<const W: usize>(hash: &[u64; W], number: usize) -> u16 {
    (hash[number / PARTS_PER_WORD] >> (16 * (number % PARTS_PER_WORD))) as u16
}

/// The number of bits in which two hashes differ.
#[inline]
fn distance<const W: usize>(a: &[u64; W], b: &[u64; W]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The least number of bits in which one of the hashes of a picture in all orientations differs from another hash.
fn least_distance<const W: usize>(turned: &[[u64; W]; 8], hash: &[u64; W]) -> u32 {
    turned.iter().fold(u32::MAX, |least, it| least.min(distance(it, hash)))
}

impl Index {
    fn new<const W: usize>(hashes: &[[u64; W]], radius: u32) -> Self {
        // With one part within `radius / n_parts` bits, or one of the first `radius % n_parts + 1` parts, or else one of the
        // others within one less: were all beyond that, they would add up to more than the radius.
        let n_parts = PARTS_PER_WORD * W;
        let (share, rest) = (radius / n_parts as u32, radius as usize % n_parts);
        let of_part = |number: usize| if number <= rest { Some(share) } else { share.checked_sub(1) };
        let radii: Vec<(usize, u32)> = (0..n_parts).filter_map(|number| Some((number, of_part(number)?))).collect();
        let n_masks = |radius: u32| (0..N_VALUES).filter(|mask| mask.count_ones() <= radius).count();
        // A look-up costs about as much as ten comparisons.
        let n_looked: usize = radii.iter().map(|(_, radius)| n_masks(*radius) * (10 + hashes.len() / N_VALUES)).sum();
        if hashes.len() <= n_looked {
            return Self::All;
        }
        Self::Parts(radii.into_iter().map(|(number, radius)| Part::new(hashes, number, radius)).collect())
    }

    /// Gives the places of the hashes that differ from `hash` in at most `radius` bits, each once.
    fn near<const W: usize>(&self, hashes: &[[u64; W]], hash: &[u64; W], radius: u32, mut give: impl FnMut(usize)) {
        let is_near = |j: usize| distance(hash, &hashes[j]) <= radius;
        let Self::Parts(parts) = self else {
            return (0..hashes.len()).filter(|j| is_near(*j)).for_each(give);
        };
        for (number, it) in parts.iter().enumerate() {
            for mask in &it.masks {
                for j in it.by_value.of(usize::from(part(hash, number) ^ mask)) {
                    let j = *j as usize;
                    // A pair that an earlier part gives was found there.
                    let is_new = || {
                        let differ = |earlier: usize| (part(hash, earlier) ^ part(&hashes[j], earlier)).count_ones();
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
    fn new<const W: usize>(hashes: &[[u64; W]], number: usize, radius: u32) -> Self {
        let value = |hash: &[u64; W]| usize::from(part(hash, number));
        let by_value = Buckets::new(N_VALUES, || hashes.iter().map(value).zip(0..));
        let masks = (0..=u16::MAX).filter(|mask| mask.count_ones() <= radius).collect();
        Self { masks, radius, by_value }
    }
}
