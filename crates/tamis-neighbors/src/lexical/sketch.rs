//! Sets by what is left of them in little room: which of them may be alike at all.
//!
//! A hash function gives each set the least hash of its tokens; of two sets these are the same with a probability that is
//! their Jaccard similarity s (Broder, "On the resemblance and containment of documents", 1997). Bands of r such functions
//! each have one bucket for each set, and two sets share one of b buckets with a probability of 1 - (1 - s^r)^b (Leskovec,
//! Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4).

use rayon::prelude::*;

use super::join::SetMeasure;
use super::shingle::mix;
use crate::join::index;

/// Most hash functions of a sketch, the number of permutations that other programs have by default.
const MAX_FUNCTIONS: usize = 128;

/// How many buckets a set has, and how many hash functions must agree for two sets to share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands {
    n: usize,
    n_rows: usize,
}

impl Bands {
    /// Bands by which two sets with a Jaccard similarity of `min` share a bucket with a probability of at least `recall`, both
    /// within (0, 1), `min` up to 1; of those that need at most 128 functions the ones with the most rows, by which the fewest
    /// other sets share one. `None` where 128 bands of one function are too few.
    ///
    /// ```
    /// let bands = tamis_neighbors::Bands::new(0.8, 0.99).unwrap();
    /// assert_eq!((bands.n(), bands.n_rows()), (16, 6));
    /// assert!(0.99 < bands.recall(0.8) && bands.recall(0.8) < 0.993 && 0.9999 < bands.recall(0.9));
    /// ```
    #[must_use]
    pub fn new(min: f64, recall: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "too many stay too many")]
        let n_bands = |rows: u32| ((1.0 - recall).ln() / (-min.powf(rows.into())).ln_1p()).ceil().max(1.0) as usize;
        let of_rows = |rows: usize| Self { n: n_bands(index(rows)), n_rows: rows };
        (1..=MAX_FUNCTIONS).rev().map(of_rows).find(|it| it.n <= MAX_FUNCTIONS / it.n_rows)
    }

    /// Number of bands.
    #[must_use]
    pub fn n(self) -> usize {
        self.n
    }

    /// Number of hash functions of a band.
    #[must_use]
    pub fn n_rows(self) -> usize {
        self.n_rows
    }

    /// The probability with which two sets of a similarity share a bucket.
    #[must_use]
    pub fn recall(self, similarity: f64) -> f64 {
        let [n, n_rows] = [self.n, self.n_rows].map(|it| f64::from(index(it)));
        1.0 - (1.0 - similarity.powf(n_rows)).powf(n)
    }
}

/// The buckets of some sets.
///
/// Memory: 4 bytes for each set and band, and 4 for each set; 12 more while they are compared.
#[derive(Clone, Debug)]
pub struct Sketches {
    bands: Bands,
    /// What a hash is changed by and multiplied with, for each function.
    functions: Vec<[u64; 2]>,
    /// A bucket for each set and band.
    buckets: Vec<u32>,
    /// Number of tokens of each set.
    sizes: Vec<u32>,
}

impl Sketches {
    /// Sketches of no sets.
    #[must_use]
    pub fn new(bands: Bands) -> Self {
        // Numbers of splitmix64; odd ones to multiply with, by which no two hashes become the same.
        let number = |at: usize| mix((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let functions = (0..bands.n * bands.n_rows).map(|it| [number(2 * it), number(2 * it + 1) | 1]).collect();
        Self { bands, functions, buckets: Vec::new(), sizes: Vec::new() }
    }

    /// Adds sets, given by hashes without repetition.
    ///
    /// # Panics
    /// When a set has 2^32 tokens.
    pub fn add(&mut self, sets: &[Vec<u64>]) {
        let Self { bands, functions, buckets, sizes } = self;
        let first = buckets.len();
        buckets.resize(first + sets.len() * bands.n, 0);
        buckets[first..].par_chunks_mut(bands.n).zip(sets).for_each(|(buckets, set)| {
            for (bucket, functions) in buckets.iter_mut().zip(functions.chunks(bands.n_rows)) {
                *bucket = bucket_of(set, functions);
            }
        });
        sizes.extend(sets.iter().map(|set| index(set.len())));
    }

    /// Which sets share a bucket with another one of a size that a Jaccard similarity of `min` allows: with any other one, or
    /// sets of the first `n_queries` with others and the other way round. Sets without tokens share none.
    ///
    /// # Panics
    /// When there are 2^32 sets.
    #[must_use]
    pub fn near(&self, min: f64, n_queries: Option<usize>) -> Vec<bool> {
        let mut near = vec![false; self.sizes.len()];
        for band in 0..self.bands.n {
            let bucket = |set: usize| self.buckets[set * self.bands.n + band];
            let sets = (0..self.sizes.len()).filter(|set| 0 < self.sizes[*set]);
            let mut sets: Vec<_> = sets.map(|set| (bucket(set), self.sizes[set], index(set))).collect();
            sets.par_sort_unstable();
            for sets in sets.chunk_by(|a, b| a.0 == b.0).filter(|sets| 1 < sets.len()) {
                // From both ends: of all sets of the other side, those before and behind are nearest in size.
                mark(sets.iter(), min, n_queries, &mut near);
                mark(sets.iter().rev(), min, n_queries, &mut near);
            }
        }
        near
    }
}

/// Marks the sets of a bucket whose size is near that of the last one before them on the other side.
fn mark<'a>(sets: impl Iterator<Item = &'a (u32, u32, u32)>, min: f64, n_queries: Option<usize>, near: &mut [bool]) {
    let mut last = [None; 2];
    for (_, size, set) in sets {
        let side = n_queries.map(|n| usize::from(n <= *set as usize));
        let other: Option<u32> = last[side.map_or(0, |side| 1 - side)];
        let is_near = |other: u32| {
            let [small, large] = [other.min(*size), other.max(*size)].map(|it| it as usize);
            SetMeasure::Jaccard.least_size(min, large) <= small
        };
        near[*set as usize] |= other.is_some_and(is_near);
        last[side.unwrap_or(0)] = Some(*size);
    }
}

/// The bucket of a set by some functions.
fn bucket_of(set: &[u64], functions: &[[u64; 2]]) -> u32 {
    let least = |[change, factor]: &[u64; 2]| set.iter().map(|hash| (hash ^ change).wrapping_mul(*factor)).min();
    let all = functions.iter().fold(0_u64, |all, function| mix(all.rotate_left(23) ^ least(function).unwrap_or(0)));
    #[expect(clippy::cast_possible_truncation, reason = "32 of its bits are the bucket")]
    let bucket = all as u32;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sets of `size` numbers of which `same` are the same, different ones for each `at`.
    fn two(at: u64, size: u64, same: u64) -> [Vec<u64>; 2] {
        let number = |it: u64| mix((at << 32 | it).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        [0, size - same].map(|first| (first..first + size).map(number).collect())
    }

    #[test]
    fn sets_share_a_bucket_as_often_as_expected() {
        const N: u64 = 4000;
        for (bands, size, same) in [
            (Bands { n: 16, n_rows: 6 }, 39, 26),
            (Bands { n: 16, n_rows: 6 }, 18, 16),
            (Bands { n: 1, n_rows: 1 }, 30, 20),
            (Bands { n: 40, n_rows: 3 }, 200, 40),
        ] {
            let mut sketches = Sketches::new(bands);
            let mut n_near = 0;
            for at in 0..N {
                sketches.buckets.clear();
                sketches.sizes.clear();
                sketches.add(&two(at, size, same));
                let near = sketches.near(0.01, None);
                assert_eq!(near[0], near[1]);
                n_near += u32::from(near[0]);
            }
            let expected = bands.recall(same as f64 / (2 * size - same) as f64);
            // Four standard deviations: once in 16,000 such tests.
            let deviation = (expected * (1.0 - expected) / N as f64).sqrt();
            let share = f64::from(n_near) / N as f64;
            assert!((share - expected).abs() < 4.0 * deviation, "{bands:?}: {share}, expected {expected}");
        }
    }

    #[test]
    fn bands_have_the_most_rows_that_128_functions_allow() {
        for (min, recall, n, n_rows) in
            [(0.8, 0.99, 16, 6), (0.5, 0.99, 35, 3), (0.9, 0.999, 13, 8), (1.0, 0.99, 1, 128), (0.036, 0.99, 126, 1)]
        {
            let bands = Bands::new(min, recall).unwrap();
            assert_eq!((bands.n(), bands.n_rows()), (n, n_rows), "{min}");
            assert!(recall <= bands.recall(min), "{min}");
        }
        assert_eq!(Bands::new(0.03, 0.99), None);
    }

    #[test]
    fn only_sets_of_alike_sizes_and_of_different_sides_are_near() {
        // All least hashes are those of the same numbers.
        let mut sketches = Sketches::new(Bands { n: 2, n_rows: 1 });
        sketches.sizes = vec![10, 7, 20, 0, 4, 10];
        sketches.buckets = [[1, 1], [1, 2], [1, 3], [1, 1], [5, 1], [2, 2]].concat();
        assert_eq!(sketches.near(0.7, None), [true, true, false, false, false, true]);
        assert_eq!(sketches.near(0.4, None), [true, true, true, false, true, true]);
        assert_eq!(sketches.near(0.7, Some(1)), [true, true, false, false, false, false]);
        assert_eq!(sketches.near(0.7, Some(2)), [false, true, false, false, false, true]);
    }
}
