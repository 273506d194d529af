//! Pairs as they are found.

use super::join::{SetPair, SetPairs};

/// Pairs of parts that are kept before the best ones are chosen, at least.
const MIN_ROOM: usize = 1 << 16;

/// The pairs that were found so far.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) pairs: Vec<SetPair>,
    n_found: u64,
    max_pairs: usize,
    /// The document of each set, ascending, where the best pair of each two documents is kept.
    pub(super) documents: Option<&'a [u32]>,
    /// How many pairs of parts are kept before the best ones are chosen.
    room: usize,
    /// Whether pairs of documents were left out.
    is_cut: bool,
}

impl<'a> Found<'a> {
    /// Will keep pairs of sets in the order in which they are found, at most `max_pairs`.
    pub(super) fn list(max_pairs: usize) -> Self {
        Self { pairs: Vec::new(), n_found: 0, max_pairs, documents: None, room: MIN_ROOM, is_cut: false }
    }

    /// Will keep the best pair of sets for each two documents, for the first `max_pairs` of these.
    pub(super) fn best(max_pairs: usize, documents: &'a [u32]) -> Self {
        Self { documents: Some(documents), ..Self::list(max_pairs) }
    }

    /// Will keep pairs that are found beside these, as many as there is room for.
    pub(super) fn more(&self) -> Self {
        match self.documents {
            None => Self::list(self.max_pairs - self.pairs.len()),
            Some(documents) => Self::best(self.max_pairs, documents),
        }
    }

    /// Counts a pair, and adds it if there is room. Sets of one document are no pair.
    pub(super) fn keep(&mut self, pair: SetPair) {
        let Some(documents) = self.documents else {
            self.n_found += 1;
            if self.pairs.len() < self.max_pairs {
                self.pairs.push(pair);
            }
            return;
        };
        if documents[pair.a as usize] != documents[pair.b as usize] {
            self.pairs.push(pair);
            if self.room <= self.pairs.len() {
                self.choose(documents);
            }
        }
    }

    /// Adds what another one found after this one.
    pub(super) fn add(&mut self, other: Self) {
        let n_found = self.n_found + other.n_found;
        self.is_cut |= other.is_cut;
        for pair in other.pairs {
            self.keep(pair);
        }
        self.n_found = n_found;
    }

    /// All pairs, in order.
    pub(super) fn done(mut self, n_represented: usize) -> SetPairs {
        match self.documents {
            None => self.pairs.sort_unstable_by_key(|pair| (pair.a, pair.b)),
            Some(documents) => {
                self.choose(documents);
                self.n_found = self.pairs.len() as u64 + u64::from(self.is_cut);
            }
        }
        SetPairs { pairs: self.pairs, n_found: self.n_found, n_represented }
    }

    /// Leaves the best pair of each two documents. What does not depend on when this is done: the first pairs of documents
    /// stay the first whatever comes.
    fn choose(&mut self, documents: &[u32]) {
        let of = |pair: &SetPair| (documents[pair.a as usize], documents[pair.b as usize]);
        self.pairs.sort_unstable_by(|x, y| {
            let best = || y.similarity.total_cmp(&x.similarity);
            of(x).cmp(&of(y)).then_with(best).then_with(|| (x.a, x.b).cmp(&(y.a, y.b)))
        });
        self.pairs.dedup_by(|x, y| of(x) == of(y));
        self.is_cut |= self.max_pairs < self.pairs.len();
        self.pairs.truncate(self.max_pairs);
        self.room = MIN_ROOM.max(2 * self.pairs.len());
    }
}
