//! Pairs of similar samples and nearest neighbors: what joins answer.

use ndarray::Array2;

use crate::{Alignment, SampleId};

/// What kind of likeness a similarity measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PairKind {
    /// Cosine of two embeddings, in `[-1, 1]`.
    Cosine,
    /// Runs of words of both texts over those of either, in `[0, 1]`.
    Jaccard,
    /// The share of the first text's runs of words that the second one has too, in `[0, 1]`.
    Containment,
    /// Bits of perceptual hashes that agree over all bits, in `[0, 1]`.
    Hamming,
}

impl PairKind {
    /// Name in wire formats.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Jaccard => "jaccard",
            Self::Containment => "containment",
            Self::Hamming => "hamming",
        }
    }
}

/// Two samples and their similarity. Each stands for its identity group, whose leader it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// In a join of a dataset with itself the smaller id; in a join of queries with a base the query.
    pub a: SampleId,
    /// The other one.
    pub b: SampleId,
    /// Which join found the pair; the one named first in [`PairKind`] where several did.
    pub kind: PairKind,
    /// Similarity of that kind, from the canonical sum.
    pub similarity: f32,
    /// How much of the contents themselves agrees; `None` where they were not compared.
    pub verified: Option<Verified>,
}

impl Pair {
    /// The score of the comparison of contents; 0 where there was none.
    #[must_use]
    pub fn score(&self) -> f32 {
        self.verified.map_or(0.0, |it| it.score)
    }
}

/// What a comparison of two contents found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verified {
    /// How much agrees, in `[0, 1]`; 1 for copies.
    pub score: f32,
    /// What shows it.
    pub shared: Shared,
    /// How much of a question and its answer the other text has, where that was asked.
    pub overlap: Option<Overlap>,
}

/// How much of one text the other has, in whatever order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Share of the runs of three words of the text, in `[0, 1]`, rare words weighing more.
    pub text: f32,
    /// The same of the answer that stands in a column beside it; `None` where there is none.
    pub answer: Option<f32>,
}

/// What two samples literally have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shared {
    /// Nothing that can be pointed at.
    Nothing,
    /// The longest run of words that stands in both texts: its first word in each (see [`crate::text::words`]), and how many.
    Run {
        /// Number of the first word in the text of `a`, from 0.
        a: u32,
        /// Number of the first word in the text of `b`, from 0.
        b: u32,
        /// Words of the run.
        n_words: u32,
    },
    /// Pixels, laid over each other: what turns the picture of `a` into that of `b`.
    Pixels(Alignment),
}

/// How sure it is that a pair is one thing twice, surest first; identical samples are no pair, see
/// [`crate::IdentityLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// The contents themselves agree.
    Copy,
    /// Only the embeddings are close.
    Semantic,
}

impl Rung {
    /// Name in findings and wire formats.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Semantic => "semantic",
        }
    }
}

/// Which samples a join compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PairSearch {
    /// Every sample with every other one of the same split.
    WithinSplits,
    /// Every sample of a split that is evaluated on with every sample of a split trained or chosen on before it.
    AcrossSplits,
}

/// A kept leader and the samples within the threshold of it. Only members may be proposed for deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct Star {
    /// The sample that stays.
    pub leader: SampleId,
    /// How sure the pairs of the star are.
    pub rung: Rung,
    /// The samples that the leader stands for and their score (of copies) or similarity to it, closest first.
    pub members: Vec<(SampleId, f32)>,
}

/// All pairs at or above a threshold, ordered by `(a, b)`.
#[derive(Clone, Debug)]
pub struct PairSet {
    /// Which samples were compared.
    pub search: PairSearch,
    /// Smallest cosine that counts.
    pub min: f32,
    /// Where that number comes from, as one sentence.
    pub min_source: String,
    /// Smallest score of a copy.
    pub min_copy: f32,
    /// Where that number comes from, as one sentence.
    pub min_copy_source: String,
    /// The pairs kept: those with at least the cosine, and those whose score is at least [`PairSet::min_kept`].
    pub pairs: Vec<Pair>,
    /// Smallest score of pairs that were kept for it; at most `min_copy`.
    pub min_kept: f32,
    /// How many there are in all; more than `pairs.len()` where the cap was reached.
    pub n_found: u64,
    /// Pairs that share enough words, or have near hashes, and were not compared because there are more than the cap.
    pub n_not_compared: u64,
    /// For [`PairSearch::WithinSplits`] a cover of all paired samples by stars, ordered by leader; else empty. Copies are
    /// covered first, then what is merely close.
    pub stars: Vec<Star>,
}

impl PairSet {
    /// Whether pairs were left out because there are more than the cap.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        (self.pairs.len() as u64) < self.n_found
    }

    /// How sure a pair of this set is; `None` for one that was only kept to be compared with others.
    #[must_use]
    pub fn rung(&self, pair: &Pair) -> Option<Rung> {
        if self.min_copy <= pair.score() {
            return Some(Rung::Copy);
        }
        (pair.kind == PairKind::Cosine && self.min <= pair.similarity).then_some(Rung::Semantic)
    }

    /// The pairs of a rung.
    pub fn of_rung(&self, rung: Rung) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| self.rung(pair) == Some(rung))
    }
}

/// Samples that must stay in one split, because identical samples and copies connect them.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The samples, ascending.
    pub members: Vec<SampleId>,
    /// Steps from copy to copy between the two members that are farthest apart; 1 where every member is a copy of every
    /// other.
    pub diameter: usize,
    /// The score of the pair without which the family would fall apart first: the smallest score of its maximum spanning
    /// tree, 1 among identical samples.
    pub weakest_link: f32,
}

/// The families of a dataset.
#[derive(Clone, Debug, Default)]
pub struct Families {
    first: Vec<SampleId>,
    list: Vec<Family>,
}

impl Families {
    /// The families of `n_samples`, ordered by their first member.
    #[must_use]
    pub fn new(n_samples: usize, list: Vec<Family>) -> Self {
        let mut first: Vec<SampleId> = (0..n_samples).map(SampleId::from_idx).collect();
        for family in &list {
            for member in &family.members {
                first[member.idx()] = family.members[0];
            }
        }
        Self { first, list }
    }

    /// The first sample of the family of `id`; `id` itself where it has none.
    #[must_use]
    pub fn first(&self, id: SampleId) -> SampleId {
        self.first[id.idx()]
    }

    /// The family of `id`, if it has one.
    #[must_use]
    pub fn of(&self, id: SampleId) -> Option<&Family> {
        let found = self.list.binary_search_by_key(&self.first(id), |family| family.members[0]).ok()?;
        Some(&self.list[found])
    }

    /// All of them, ordered by their first member.
    #[must_use]
    pub fn list(&self) -> &[Family] {
        &self.list
    }
}

/// The `k` nearest other identity groups of each group, best first; ties go to the smaller id.
#[derive(Clone, Debug)]
pub struct NeighborGraph {
    leaders: Vec<SampleId>,
    row_of: Vec<u32>,
    ids: Array2<u32>,
    cosine: Array2<f32>,
}

impl NeighborGraph {
    /// Builds a graph over `leaders` (ascending); `ids` and `cosine` have shape `(leaders, k)`.
    ///
    /// `ids` holds indices into `leaders`, and `cosine` does not increase along a row.
    ///
    /// # Panics
    /// When the shapes differ.
    #[must_use]
    pub fn new(n_samples: usize, leaders: Vec<SampleId>, ids: Array2<u32>, cosine: Array2<f32>) -> Self {
        assert_eq!(ids.dim(), cosine.dim(), "because each neighbor has a cosine");
        assert_eq!(ids.nrows(), leaders.len(), "because each leader has a row");
        let mut row_of = vec![u32::MAX; n_samples];
        for (row, leader) in (0..).zip(&leaders) {
            row_of[leader.idx()] = row;
        }
        Self { leaders, row_of, ids, cosine }
    }

    /// Number of neighbors of each sample.
    #[must_use]
    pub fn k(&self) -> usize {
        self.ids.ncols()
    }

    /// The samples that have neighbors: one for each identity group with a vector, ascending.
    #[must_use]
    pub fn leaders(&self) -> &[SampleId] {
        &self.leaders
    }

    /// Neighbors of the group led by `id` with their cosine, best first; none where `id` leads no group.
    pub fn neighbors(&self, id: SampleId) -> impl Iterator<Item = (SampleId, f32)> + '_ {
        let row = self.row_of.get(id.idx()).filter(|row| **row != u32::MAX);
        row.into_iter().flat_map(|row| {
            let row = *row as usize;
            let ids = self.ids.row(row).into_iter().map(|other| self.leaders[*other as usize]);
            ids.zip(self.cosine.row(row).into_iter().copied())
        })
    }
}
