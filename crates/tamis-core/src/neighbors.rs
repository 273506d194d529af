//! Pairs of similar samples and nearest neighbors: what joins answer.

use ndarray::Array2;

use crate::SampleId;

/// What kind of likeness a similarity measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PairKind {
    /// Cosine of two embeddings, in `[-1, 1]`.
    Cosine,
}

impl PairKind {
    /// Name in wire formats.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
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
    /// Similarity by the kind of the [`PairSet`], from the canonical sum.
    pub similarity: f32,
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
    /// The samples that the leader stands for and their similarity to it, most similar first.
    pub members: Vec<(SampleId, f32)>,
}

/// All pairs at or above a threshold, ordered by `(a, b)`.
#[derive(Clone, Debug)]
pub struct PairSet {
    /// What the similarity measures.
    pub kind: PairKind,
    /// Which samples were compared.
    pub search: PairSearch,
    /// Smallest similarity that counts.
    pub min: f32,
    /// Where that number comes from, as one sentence.
    pub min_source: String,
    /// The pairs kept.
    pub pairs: Vec<Pair>,
    /// How many there are in all; more than `pairs.len()` where the cap was reached.
    pub n_found: u64,
    /// For [`PairSearch::WithinSplits`] a cover of all paired samples by stars, ordered by leader; else empty.
    pub stars: Vec<Star>,
}

impl PairSet {
    /// Whether pairs were left out because there are more than the cap.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        (self.pairs.len() as u64) < self.n_found
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
