//! The join: prefix, length and positional filter, then a merge that counts.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tamis_core::Task;

use super::found::Found;
use super::sets::TokenSets;
use crate::buckets::Buckets;
use crate::equal::Equals;
use crate::join::index;

/// Sets that one thread takes at a time.
const CHUNK: usize = 256;

/// Marks a set that cannot reach the minimum any more.
const BEATEN: u32 = u32::MAX;

/// Share of a number that is more than the rounding of a product of a size and a minimum, and far less than 1 of any size.
const SLACK: f64 = 1e-14;

/// How many times as large one of two sets must be for its tokens to be looked up instead of read.
const MUCH_LARGER: usize = 16;

/// How alike two sets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetMeasure {
    /// The tokens of both over the tokens of either.
    Jaccard,
    /// The tokens of both over those of the smaller set.
    Containment,
}

/// What is joined.
#[derive(Clone, Copy, Debug)]
pub struct SetJoin {
    /// How alike two sets are.
    pub measure: SetMeasure,
    /// Smallest similarity that counts, above 0 and at most 1.
    pub min: f64,
    /// Most pairs to keep: those of equal sets first, then those of small ones. Further ones are counted only.
    pub max_pairs: usize,
}

/// Two texts and the similarity of their sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetPair {
    /// The query; in a self-join the smaller text.
    pub a: u32,
    /// The other text.
    pub b: u32,
    /// By the measure of the join.
    pub similarity: f64,
}

/// The pairs of a join.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetPairs {
    /// The pairs kept, ascending by `(a, b)`.
    pub pairs: Vec<SetPair>,
    /// How many there are in all.
    pub n_found: u64,
    /// Texts that are listed with the first of their equals alone, which stands for them in all other pairs.
    pub n_represented: usize,
}

impl SetMeasure {
    /// The measure for an overlap of sets of `a` and `b` tokens.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^32")]
    fn similarity(self, overlap: usize, a: usize, b: usize) -> f64 {
        match self {
            Self::Jaccard => overlap as f64 / (a + b - overlap) as f64,
            Self::Containment => overlap as f64 / a.min(b) as f64,
        }
    }

    /// Least overlap of sets of `a` and `b` tokens with a similarity of `min`.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^32")]
    fn least_overlap(self, min: f64, a: usize, b: usize) -> usize {
        match self {
            Self::Jaccard => ceil(min / (1.0 + min) * (a + b) as f64),
            Self::Containment => ceil(min * a.min(b) as f64),
        }
    }

    /// Least size of a set that can have a similarity of `min` with one of `size` tokens.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^32")]
    pub(super) fn least_size(self, min: f64, size: usize) -> usize {
        match self {
            Self::Jaccard => ceil(min * size as f64),
            Self::Containment => 1,
        }
    }
}

/// The least whole number that is not below `x`, and at least 1; rounding errors of `x` do not count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are above 0 and below 2^32")]
fn ceil(x: f64) -> usize {
    ((x - x * SLACK).ceil() as usize).max(1)
}

impl SetJoin {
    /// Finds all pairs of different texts. Texts without tokens have none.
    ///
    /// Time grows with the pairs of sets that share a rare token; the worst case is quadratic. Memory: about 16 bytes for
    /// each text and thread, 8 for each token of a prefix, 8 for each different token (16 at first), the pairs, and for each
    /// thread as many again as there is room for. Tells `task` of every text that is done.
    ///
    /// # Panics
    /// When the minimum is not above 0 and at most 1.
    #[must_use]
    pub fn self_join(&self, sets: &TokenSets, task: &dyn Task) -> SetPairs {
        self.among(sets, Found::list(self.max_pairs), task)
    }

    /// Finds all pairs of one of the first `n_queries` texts and one of the others, as [`SetJoin::self_join`]. The sets may be
    /// made with two owners, the queries' and the others'.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn cross_join(&self, sets: &TokenSets, n_queries: usize, task: &dyn Task) -> SetPairs {
        self.between(sets, n_queries, Found::list(self.max_pairs), task)
    }

    /// Finds all pairs of different documents of which the sets are parts, `documents` saying of which, ascending; each with
    /// its most similar pair of parts, of equally similar ones the first. Equal parts are listed as equal texts are, each
    /// document's first one alone.
    ///
    /// The pairs are of sets. If there are more pairs of documents than are kept, one more is counted. Time, memory and panics
    /// as [`SetJoin::self_join`], but for 24 bytes for each pair of parts, of which the best are kept where they would be more
    /// than twice the pairs of documents.
    #[must_use]
    pub fn self_join_of_parts(&self, sets: &TokenSets, documents: &[u32], task: &dyn Task) -> SetPairs {
        self.among(sets, Found::best(self.max_pairs, documents), task)
    }

    /// The same for parts of queries, of which there are `n_queries`, and those of others.
    #[must_use]
    pub fn cross_join_of_parts(
        &self,
        sets: &TokenSets,
        documents: &[u32],
        n_queries: usize,
        task: &dyn Task,
    ) -> SetPairs {
        self.between(sets, n_queries, Found::best(self.max_pairs, documents), task)
    }

    /// Pairs of sets of different documents.
    fn among(&self, sets: &TokenSets, mut found: Found<'_>, task: &dyn Task) -> SetPairs {
        let distinct = Distinct::of(sets, 0..sets.len(), found.documents);
        // Equal sets reach any minimum.
        for (a, b) in distinct.equals.pairs() {
            found.keep(SetPair { a, b, similarity: 1.0 });
        }
        task.advance((sets.len() - distinct.n_texts()) as u64);
        self.run(&Sides { sets, probing: &distinct, indexed: &distinct, order: Order::Among }, &mut found, task);
        found.done(distinct.equals.n_represented())
    }

    /// Pairs of one of the first sets and one of the others.
    fn between(&self, sets: &TokenSets, n_queries: usize, mut found: Found<'_>, task: &dyn Task) -> SetPairs {
        let queries = Distinct::of(sets, 0..n_queries, found.documents);
        let base = Distinct::of(sets, n_queries..sets.len(), found.documents);
        task.advance((sets.len() - queries.n_texts() - base.n_texts()) as u64);
        // Every pair by its larger set, which looks for the smaller one.
        for sides in [
            Sides { sets, probing: &queries, indexed: &base, order: Order::Queries },
            Sides { sets, probing: &base, indexed: &queries, order: Order::Base },
        ] {
            self.run(&sides, &mut found, task);
        }
        found.done(queries.equals.n_represented() + base.equals.n_represented())
    }

    fn run(&self, sides: &Sides<'_>, found: &mut Found<'_>, task: &dyn Task) {
        assert!(0.0 < self.min && self.min <= 1.0, "because a smaller minimum would list all pairs of texts");
        let Sides { probing, indexed, .. } = sides;
        let index = Index::new(self, sides);
        let n_threads = rayon::current_num_threads();
        let scratch: Vec<_> = (0..n_threads).map(|_| Mutex::new(Scratch::new(indexed.len()))).collect();
        let firsts: Vec<usize> = (0..probing.len()).step_by(CHUNK).collect();
        // A round of one chunk per thread: each may hold as many pairs as there is room for.
        for round in firsts.chunks(n_threads) {
            let next = AtomicUsize::new(0);
            let chunks: Vec<_> = round.iter().map(|_| Mutex::new(found.more())).collect();
            rayon::broadcast(|thread| {
                let mut scratch = lock(&scratch[thread.index()]);
                while let Some((first, chunk)) = round.iter().zip(&chunks).nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut chunk = lock(chunk);
                    let probe = Probe { join: self, index: &index, sides };
                    for set in *first..(first + CHUNK).min(probing.len()) {
                        probe.run(set, &mut scratch, &mut chunk);
                        task.advance(probing.equals.of(set).len() as u64);
                    }
                }
            });
            for chunk in chunks {
                found.add(chunk.into_inner().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// How many of the rarest tokens of a set of `size` tokens must hold one of any set that shares `least` of them.
    fn prefix(tokens: &[u32], size: usize, least: usize) -> &[u32] {
        // Tokens that no other text has would come first.
        let n_single = size - tokens.len();
        let n = (size + 1).saturating_sub(least).saturating_sub(n_single);
        &tokens[..n.min(tokens.len())]
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The different sets of some texts, ascending by size and then by their first text; those without tokens left out.
struct Distinct {
    /// The texts with each set; of a document the first part alone.
    equals: Equals,
    /// Size of each set.
    sizes: Vec<u32>,
}

impl Distinct {
    fn of(sets: &TokenSets, texts: Range<usize>, documents: Option<&[u32]>) -> Self {
        let mut texts: Vec<usize> = texts.filter(|text| 0 < sets.size(*text)).collect();
        texts.sort_by_key(|text| sets.size(*text));
        let mut equals = Equals::new(texts.into_iter().map(|text| (index(text), Some(sets.first_equal(text)))));
        if let Some(documents) = documents {
            equals.dedup_by_key(|part| documents[part as usize]);
        }
        let sizes = equals.firsts().map(|text| index(sets.size(text as usize))).collect();
        Self { equals, sizes }
    }

    /// Number of texts with these sets.
    fn n_texts(&self) -> usize {
        self.equals.n_items()
    }

    /// Number of different sets.
    fn len(&self) -> usize {
        self.sizes.len()
    }

    /// A text with the set.
    fn first(&self, set: usize) -> usize {
        self.equals.of(set)[0] as usize
    }
}

/// What is compared with what.
struct Sides<'a> {
    sets: &'a TokenSets,
    /// Sets that look for others which are not larger.
    probing: &'a Distinct,
    /// Sets that are looked for.
    indexed: &'a Distinct,
    order: Order,
}

/// Which of the sets that are not larger a set looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Those before it: both sides are the same.
    Among,
    /// All: those that look are queries.
    Queries,
    /// Smaller ones: those that are looked for are queries.
    Base,
}

/// The sets whose prefix has a token, for each token. They are found by sets that are not smaller.
struct Index {
    /// A set, by its place among the distinct ones, and the place of the token in it. Ascending for each token.
    entries: Buckets<(u32, u32)>,
}

impl Index {
    fn new(join: &SetJoin, &Sides { sets, indexed, .. }: &Sides<'_>) -> Self {
        let SetJoin { measure, min, .. } = *join;
        let prefix = |set: usize| {
            let text = indexed.first(set);
            let size = sets.size(text);
            SetJoin::prefix(sets.shared(text), size, measure.least_overlap(min, size, size))
        };
        let of_set = |set: usize| {
            prefix(set).iter().enumerate().map(move |(place, token)| (*token as usize, (index(set), index(place))))
        };
        Self { entries: Buckets::new(sets.n_tokens(), || (0..indexed.len()).flat_map(of_set)) }
    }

    /// The entries of a token for the sets `sets`.
    fn entries(&self, token: u32, sets: &Range<u32>) -> &[(u32, u32)] {
        let all = self.entries.of(token as usize);
        let start = all.partition_point(|(set, _)| *set < sets.start);
        let end = start + all[start..].partition_point(|(set, _)| *set < sets.end);
        &all[start..end]
    }
}

/// What a thread knows of the sets that share a token with a query.
struct Scratch {
    /// Tokens of the prefixes that were shared so far, or [`BEATEN`].
    shared: Vec<u32>,
    /// Least overlap that counts.
    needed: Vec<u32>,
    /// The sets for which `shared` is not 0.
    touched: Vec<u32>,
}

impl Scratch {
    fn new(n: usize) -> Self {
        Self { shared: vec![0; n], needed: vec![0; n], touched: Vec::new() }
    }
}

/// Compares one set after the other with those that are not larger.
struct Probe<'a> {
    join: &'a SetJoin,
    index: &'a Index,
    sides: &'a Sides<'a>,
}

impl Probe<'_> {
    /// Adds the pairs of a set with those that it looks for.
    fn run(&self, probing: usize, scratch: &mut Scratch, found: &mut Found<'_>) {
        let Self { join: SetJoin { measure, min, .. }, sides: Sides { sets, indexed, .. }, .. } = *self;
        let (min, text) = (*min, self.sides.probing.first(probing));
        let (tokens, size) = (sets.shared(text), sets.size(text));
        let least_size = measure.least_size(min, size);
        let first = indexed.sizes.partition_point(|it| (*it as usize) < least_size);
        let end = match self.sides.order {
            Order::Among => probing,
            Order::Queries => indexed.sizes.partition_point(|it| *it as usize <= size),
            Order::Base => indexed.sizes.partition_point(|it| (*it as usize) < size),
        };
        let range = index(first)..index(end.max(first));
        let prefix = SetJoin::prefix(tokens, size, measure.least_overlap(min, least_size, size));
        for (i, token) in prefix.iter().enumerate() {
            for (set, j) in self.index.entries(*token, &range) {
                let at = *set as usize;
                if scratch.shared[at] == BEATEN {
                    continue;
                }
                let other = self.tokens_of(at);
                if scratch.shared[at] == 0 {
                    scratch.touched.push(*set);
                    scratch.needed[at] = index(measure.least_overlap(min, indexed.sizes[at] as usize, size));
                }
                // This token, and as many of the others as both have left.
                let most = scratch.shared[at] as usize + (tokens.len() - i).min(other.len() - *j as usize);
                scratch.shared[at] = if most < scratch.needed[at] as usize { BEATEN } else { scratch.shared[at] + 1 };
            }
        }
        let touched = std::mem::take(&mut scratch.touched);
        for set in &touched {
            let at = *set as usize;
            let is_beaten = std::mem::take(&mut scratch.shared[at]) == BEATEN;
            let needed = scratch.needed[at] as usize;
            if !is_beaten && let Some(overlap) = overlap(tokens, self.tokens_of(at), needed) {
                self.add(probing, at, measure.similarity(overlap, size, indexed.sizes[at] as usize), found);
            }
        }
        scratch.touched = touched;
        scratch.touched.clear();
    }

    fn tokens_of(&self, set: usize) -> &[u32] {
        self.sides.sets.shared(self.sides.indexed.first(set))
    }

    /// Adds the pairs of texts of two sets.
    fn add(&self, probing: usize, set: usize, similarity: f64, found: &mut Found<'_>) {
        if similarity < self.join.min {
            return;
        }
        for a in self.sides.probing.equals.listed(probing) {
            for b in self.sides.indexed.equals.listed(set) {
                let (a, b) = match self.sides.order {
                    Order::Among => (*a.min(b), *a.max(b)),
                    Order::Queries => (*a, *b),
                    Order::Base => (*b, *a),
                };
                found.keep(SetPair { a, b, similarity });
            }
        }
    }
}

/// The number of tokens of both, if there are as many as `needed`.
fn overlap(a: &[u32], b: &[u32], needed: usize) -> Option<usize> {
    let (small, large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if small.len() * MUCH_LARGER < large.len() {
        let n = small.iter().filter(|token| large.binary_search(token).is_ok()).count();
        return (needed <= n).then_some(n);
    }
    let (mut i, mut j, mut n) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        if n + (a.len() - i).min(b.len() - j) < needed {
            return None;
        }
        let (x, y) = (a[i], b[j]);
        n += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    (needed <= n).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roundings_of_large_sizes_leave_no_pair_out() {
        // Similarities that are exactly the minimum.
        for (min, overlap, union) in
            [(0.8, 26_844_428, 33_555_535), (0.9, 30_205_818, 33_562_020), (0.5, 1, 2), (1.0, 7, 7)]
        {
            let sizes = overlap + union;
            let least = SetMeasure::Jaccard.least_overlap(min, sizes / 2, sizes - sizes / 2);
            assert_eq!(least, overlap, "{min}");
        }
    }

    #[test]
    fn sets_of_very_different_sizes_are_counted_alike() {
        let large: Vec<u32> = (0..1000).map(|it| 3 * it).collect();
        let small = [0, 1, 3, 299, 300, 2997, 5000];
        for (a, b) in [(&small[..], &large[..]), (&large, &small)] {
            assert_eq!((overlap(a, b, 1), overlap(a, b, 4), overlap(a, b, 5)), (Some(4), Some(4), None));
        }
    }
}
