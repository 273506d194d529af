//! The joins that the chosen checks need, from samples to rows and back.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use tamis_core::{
    Dataset, Digest, Embeddings, IdentityGroups, Modality, Need, NeighborGraph, Pair, PairKind, PairSearch, PairSet,
    Progress, SampleId, SplitId, Star,
};
use tamis_data::store::{Store, StoreError};
use tamis_embed::Manifest;
use tamis_neighbors::{JoinOptions, RowPairs};

use crate::kept::{Key, keep};

/// The threshold for models that nobody has measured one for: the strictest that is in wide use.
const UNMEASURED_MIN_COSINE: f32 = 0.95;

/// All that was joined: what each kind of need got.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// The graph of the largest `k` asked for.
    pub(crate) neighbors: Option<NeighborGraph>,
    /// By the search and the minimum asked for.
    pub(crate) pairs: Vec<(PairSearch, Option<f32>, PairSet)>,
    /// Whether all of it was in the store.
    pub(crate) is_reused: bool,
}

/// What the joins run on.
#[derive(Clone, Copy)]
pub(crate) struct Joins<'a> {
    pub(crate) dataset: &'a Dataset,
    /// Identity groups at the widest level: pairs are between them.
    pub(crate) identity: &'a IdentityGroups,
    pub(crate) embeddings: &'a Embeddings,
    /// Distinguishes the vectors from all others.
    pub(crate) vectors_id: Digest,
    pub(crate) manifest: &'a Manifest,
    pub(crate) modality: Modality,
    pub(crate) store: &'a Store,
    pub(crate) progress: &'a dyn Progress,
}

impl Joins<'_> {
    /// Runs the joins that `needs` ask for, each once.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(crate) fn run(&self, needs: &[Need]) -> Result<Joined, StoreError> {
        let mut joined = Joined { is_reused: true, ..Joined::default() };
        for need in needs {
            match need {
                Need::Pairs { search, min } if !joined.pairs.iter().any(|it| (it.0, it.1) == (*search, *min)) => {
                    let pairs = self.pairs(*search, *min, &mut joined.is_reused)?;
                    joined.pairs.push((*search, *min, pairs));
                }
                _ => {}
            }
        }
        let k = needs.iter().filter_map(|need| if let Need::Neighbors(k) = need { Some(*k) } else { None }).max();
        joined.neighbors = k.map(|k| self.neighbors(k, &mut joined.is_reused)).transpose()?;
        Ok(joined)
    }

    fn pairs(&self, search: PairSearch, min: Option<f32>, is_reused: &mut bool) -> Result<PairSet, StoreError> {
        let (min, min_source) = self.threshold(min);
        let firsts = self.firsts();
        let mut set = PairSet {
            kind: PairKind::Cosine,
            search,
            min,
            min_source,
            pairs: Vec::new(),
            n_found: 0,
            stars: Vec::new(),
        };
        let options = JoinOptions { min_cosine: min, ..JoinOptions::default() };
        match search {
            PairSearch::WithinSplits => {
                for (split, ids) in &firsts {
                    let rows = self.rows_of(ids);
                    let key = Key::new("pairs-within", &self.vectors_id).options(&options).rows(&rows);
                    let (found, was_there) = keep(self.store, &format!("pairs-{}", split.0), &key, || {
                        let task = self.begin("comparing within splits", ids.len());
                        tamis_neighbors::self_join(self.select(&rows).view(), &options, &*task)
                    })?;
                    *is_reused &= was_there;
                    set.stars.extend(stars(ids, &found));
                    add(&mut set, ids, ids, &found, |_, _| true);
                }
                set.stars.sort_by_key(|star| star.leader);
            }
            PairSearch::AcrossSplits => {
                for (query, base) in self.directions(&firsts) {
                    let (queries, bases) = (&firsts[&query], &firsts[&base]);
                    let (left, right) = (self.rows_of(queries), self.rows_of(bases));
                    let key = Key::new("pairs-across", &self.vectors_id).options(&options).rows(&left).rows(&right);
                    let (found, was_there) = keep(self.store, &format!("pairs-{}-{}", query.0, base.0), &key, || {
                        let task = self.begin("comparing across splits", queries.len());
                        let (left, right) = (self.select(&left), self.select(&right));
                        tamis_neighbors::cross_join(left.view(), right.view(), &options, &*task)
                    })?;
                    *is_reused &= was_there;
                    // Identical samples are no pair: they are one identity group, found by hash.
                    let differ = |a, b| self.identity.leader(a) != self.identity.leader(b);
                    add(&mut set, queries, bases, &found, differ);
                }
            }
        }
        set.pairs.sort_by_key(|pair| (pair.a, pair.b));
        Ok(set)
    }

    fn neighbors(&self, k: usize, is_reused: &mut bool) -> Result<NeighborGraph, StoreError> {
        let leaders: Vec<SampleId> = self.with_vector().filter(|id| self.identity.leader(*id) == *id).collect();
        let rows = self.rows_of(&leaders);
        let key = Key::new("neighbors", &self.vectors_id).k(k).rows(&rows);
        let (found, was_there) = keep(self.store, "neighbors", &key, || {
            let task = self.begin("finding neighbors", leaders.len());
            tamis_neighbors::knn(self.select(&rows).view(), k, &*task)
        })?;
        *is_reused &= was_there;
        Ok(NeighborGraph::new(self.dataset.len(), leaders, found.ids, found.cosine))
    }

    fn begin(&self, stage: &str, n: usize) -> Box<dyn tamis_core::Task> {
        self.progress.begin(stage, Some(n as u64), self.modality.nouns())
    }

    /// The minimum in force and where it comes from.
    fn threshold(&self, min: Option<f32>) -> (f32, String) {
        match (min, &self.manifest.near_duplicate) {
            (Some(min), _) => (min, "set by the user".to_owned()),
            (None, Some(measured)) => (measured.min_cosine, format!("{}: {}", self.manifest.id, measured.source)),
            (None, None) => {
                let source = format!("nobody has measured one for {}: tamis's default", self.manifest.id);
                (UNMEASURED_MIN_COSINE, source)
            }
        }
    }

    fn with_vector(&self) -> impl Iterator<Item = SampleId> + '_ {
        self.dataset.ok_ids().filter(|id| self.embeddings.row_of(*id).is_some())
    }

    /// The first sample of each identity group in each split, ascending.
    fn firsts(&self) -> BTreeMap<SplitId, Vec<SampleId>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut firsts: BTreeMap<SplitId, Vec<SampleId>> = BTreeMap::new();
        for id in self.with_vector() {
            let split = self.dataset.sample(id).split;
            if seen.insert((split, self.identity.leader(id))) {
                firsts.entry(split).or_default().push(id);
            }
        }
        firsts
    }

    /// Pairs of splits of which the first is evaluated on after the second was seen.
    fn directions(&self, firsts: &BTreeMap<SplitId, Vec<SampleId>>) -> Vec<(SplitId, SplitId)> {
        let role = |split: &SplitId| self.dataset.split_role(*split);
        let mut directions = Vec::new();
        for query in firsts.keys() {
            directions.extend(firsts.keys().filter(|base| role(base) < role(query)).map(|base| (*query, *base)));
        }
        directions
    }

    /// The row of each of `ids`, all of which have one.
    fn rows_of(&self, ids: &[SampleId]) -> Vec<usize> {
        ids.iter().filter_map(|id| self.embeddings.row_of(*id)).collect()
    }

    /// Vectors of some rows, shape `(rows, dim)`.
    fn select(&self, rows: &[usize]) -> Array2<f32> {
        let all: ArrayView2<'_, f32> = self.embeddings.rows();
        all.select(Axis(0), rows)
    }
}

/// Translates rows to samples and adds the pairs that `wanted` lets through; the others are not counted either.
fn add(
    set: &mut PairSet,
    left: &[SampleId],
    right: &[SampleId],
    found: &RowPairs,
    wanted: impl Fn(SampleId, SampleId) -> bool,
) {
    let before = set.pairs.len();
    let pairs = found.pairs.iter().map(|pair| Pair {
        a: left[pair.a as usize],
        b: right[pair.b as usize],
        similarity: pair.cosine,
    });
    set.pairs.extend(pairs.filter(|pair| wanted(pair.a, pair.b)));
    let unwanted = found.pairs.len() - (set.pairs.len() - before);
    set.n_found += found.n_found - unwanted as u64;
}

fn stars(ids: &[SampleId], found: &RowPairs) -> Vec<Star> {
    let cosine = |a: u32, b: u32| {
        let place = found.pairs.binary_search_by_key(&(a.min(b), a.max(b)), |pair| (pair.a, pair.b));
        found.pairs[place.expect("because a member is paired with its leader")].cosine
    };
    let star = |star: tamis_neighbors::Star| {
        let with = |member: &u32| (ids[*member as usize], cosine(star.leader, *member));
        let mut members: Vec<(SampleId, f32)> = star.members.iter().map(with).collect();
        members.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
        Star { leader: ids[star.leader as usize], members }
    };
    let pairs = found.pairs.iter().map(|pair| (pair.a, pair.b));
    tamis_neighbors::stars(ids.len(), pairs).into_iter().map(star).collect()
}
