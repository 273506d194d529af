//! The joins that the chosen checks need, from samples to rows and back.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use tamis_core::{
    Contents, Dataset, Digest, Embeddings, Families, Family, IdentityGroups, Need, NeighborGraph, Pair, PairKind,
    PairNeed, PairSearch, PairSet, Progress, Rung, SampleId, SampleMap, SplitId, SplitRole, Star, Verified,
};
use tamis_data::store::Store;
use tamis_embed::Manifest;
use tamis_neighbors::verify::Extent;
use tamis_neighbors::{Device, JoinOptions};

use crate::audit::AuditError;
use crate::copies::{Copies, CopyRule, Proposal, Proposed};
use crate::keep_order::KeepOrder;
use crate::kept::{Key, PlacePairs, Places, keep};

/// The threshold for models that nobody has measured one for: the strictest that is in wide use.
const UNMEASURED_MIN_COSINE: f32 = 0.95;

/// Nearest samples of the base that are compared with each query whatever their cosine: with ten, a copy of which a fifth
/// of the words were edited was among them in all but a few of a hundred cases with a far cruder embedding.
const NEAREST: usize = 10;

/// Proposals that are compared before those that are no pairs are forgotten; chosen so that they take some 50 MB.
const VERIFIED_AT_ONCE: usize = 1 << 20;

/// All that was joined: what each kind of need got.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// The graph of the largest `k` asked for.
    pub(crate) neighbors: Option<NeighborGraph>,
    /// Where that graph puts each sample.
    pub(crate) map: Option<SampleMap>,
    /// By what was asked for.
    pub(crate) pairs: Vec<(PairNeed, PairSet)>,
    /// What identical samples and copies connect.
    pub(crate) families: Families,
    /// How good each sample is to keep among its copies, the smallest being best.
    pub(crate) ranks: Vec<u32>,
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
    /// What is compared where vectors are close.
    pub(crate) contents: Contents<'a>,
    /// Where vectors are joined.
    pub(crate) device: &'a Device,
    /// Which of several copies is kept.
    pub(crate) keep: &'a KeepOrder,
    /// Distinguishes the vectors from all others.
    pub(crate) vectors_id: Digest,
    pub(crate) manifest: &'a Manifest,
    pub(crate) store: &'a Store,
    pub(crate) progress: &'a dyn Progress,
}

/// The contents, prepared when the first search wants them.
type Prepared<'a> = OnceCell<Copies<'a>>;

impl<'a> Joins<'a> {
    /// Runs the joins that `needs` ask for, each once.
    ///
    /// # Errors
    /// When the store cannot be used, or a content cannot be read back.
    pub(crate) fn run(&self, needs: &[Need]) -> Result<Joined, AuditError> {
        let mut joined = Joined { is_reused: true, ..Joined::default() };
        let copies = Prepared::new();
        for need in needs {
            match need {
                Need::Pairs(need) if !joined.pairs.iter().any(|it| it.0 == *need) => {
                    let pairs = self.pairs(*need, &copies, &mut joined.is_reused)?;
                    joined.pairs.push((*need, pairs));
                }
                _ => {}
            }
        }
        joined.families = families(self.dataset, self.identity, joined.pairs.iter().map(|it| &it.1));
        joined.ranks = self.keep.ranks(self.dataset, self.contents, &joined.families);
        for (_, set) in joined.pairs.iter_mut().filter(|(need, _)| need.search == PairSearch::WithinSplits) {
            set.stars = stars(set, &joined.ranks);
        }
        let k = needs.iter().filter_map(|need| if let Need::Neighbors(k) = need { Some(*k) } else { None }).max();
        if let Some(k) = k {
            let (graph, map) = self.neighbors(k, &mut joined.is_reused)?;
            (joined.neighbors, joined.map) = (Some(graph), Some(map));
        }
        crate::device::warn_of_failure(self.device);
        Ok(joined)
    }

    fn pairs(&self, need: PairNeed, copies: &Prepared<'a>, is_reused: &mut bool) -> Result<PairSet, AuditError> {
        let (min, min_source) = self.threshold(need.min_cosine);
        let rule = CopyRule::of(self.contents);
        let (min_copy, min_copy_source) = match need.min_copy {
            Some(min) => (min, "set by the user".to_owned()),
            None => (rule.min, rule.source.to_owned()),
        };
        let firsts = self.firsts();
        let mut set = PairSet {
            search: need.search,
            min,
            min_source,
            min_copy,
            min_copy_source,
            pairs: Vec::new(),
            min_kept: min_copy,
            n_found: 0,
            n_not_compared: 0,
            stars: Vec::new(),
        };
        match need.search {
            PairSearch::WithinSplits => {
                for (split, ids) in &firsts {
                    let side = Side { name: format!("pairs-{}", split.0), queries: ids, base: None };
                    let found = self.search(&side, &set, copies, is_reused)?;
                    add(&mut set, &side, &found);
                }
            }
            PairSearch::AcrossSplits => {
                set.min_kept = min_copy.min(rule.min_kept);
                for (query, base) in self.directions(&firsts) {
                    let (queries, bases) = (&firsts[&query], &firsts[&base]);
                    let side = Side { name: format!("pairs-{}-{}", query.0, base.0), queries, base: Some(bases) };
                    let found = self.search(&side, &set, copies, is_reused)?;
                    add(&mut set, &side, &found);
                }
            }
        }
        set.pairs.sort_by_key(|pair| (pair.a, pair.b));
        Ok(set)
    }

    /// One search: what vectors and contents propose, compared.
    fn search(
        &self,
        side: &Side<'_>,
        set: &PairSet,
        copies: &Prepared<'a>,
        is_reused: &mut bool,
    ) -> Result<PlacePairs, AuditError> {
        let options = JoinOptions { min_cosine: set.min, ..JoinOptions::default() };
        let (left, right) = (self.rows_of(side.queries), side.base.map(|it| self.rows_of(it)));
        let key = Key::new(if side.base.is_some() { "across" } else { "within" }, &self.vectors_id);
        let key = key.options(&options).min_kept(set.min_kept).rows(&left).rows(right.as_deref().unwrap_or_default());
        // Words weigh by what trains, in whatever split is searched.
        let trains = |id| self.dataset.split_role(self.dataset.sample(id).split) == SplitRole::Train;
        let key = key.flags(self.dataset.ids().map(trains));
        let key = match crate::copies::texts::answers(self.dataset) {
            Some(column) if side.base.is_some() => key.texts(self.dataset.ids().map(|id| column.get(id))),
            _ => key,
        };
        let (found, was_there) = keep(self.store, &side.name, &key, || {
            let (mut proposals, n_more) = self.by_vectors(&left, right.as_deref(), &options);
            let copies = self.prepared(copies)?;
            let Proposed { pairs, n_more: n_not_compared } = copies.propose(side.queries, side.base, self.progress)?;
            proposals.extend(pairs);
            // Of several kinds the first.
            proposals.sort_by_key(|it| (it.a, it.b, it.kind));
            proposals.dedup_by_key(|it| (it.a, it.b));
            let base = side.base.unwrap_or(side.queries);
            // Identical samples are no pair: they are one identity group, found by hash.
            let differ = |it: &Proposal| {
                self.identity.leader(side.queries[it.a as usize]) != self.identity.leader(base[it.b as usize])
            };
            proposals.retain(differ);
            let extent = if side.base.is_some() { Extent::Passage } else { Extent::Whole };
            let is_kept = |(it, verified): &(Proposal, Verified)| {
                set.min_kept <= verified.score || (it.kind == PairKind::Cosine && set.min <= it.similarity)
            };
            let task = self.progress.begin("comparing contents", Some(proposals.len() as u64), "pairs");
            let mut pairs = Vec::new();
            for some in proposals.chunks(VERIFIED_AT_ONCE) {
                let ids: Vec<_> = some.iter().map(|it| (side.queries[it.a as usize], base[it.b as usize])).collect();
                let verified = copies.verify(&ids, extent, set.min_kept, &*task)?;
                pairs.extend(some.iter().copied().zip(verified).filter(is_kept));
            }
            Ok::<_, AuditError>(PlacePairs { pairs, n_more, n_not_compared })
        })?;
        *is_reused &= was_there;
        Ok(found)
    }

    /// What is close by its vectors, and how many such pairs are beyond the cap.
    fn by_vectors(&self, left: &[usize], right: Option<&[usize]>, options: &JoinOptions) -> (Vec<Proposal>, u64) {
        let proposal = |a, b, similarity| Proposal { a, b, kind: PairKind::Cosine, similarity };
        let Some(right) = right else {
            let task = self.begin("comparing within splits", left.len());
            let found = self.device.self_join(self.select(left).view(), options, &*task);
            let n_more = found.n_found - found.pairs.len() as u64;
            return (found.pairs.iter().map(|it| proposal(it.a, it.b, it.cosine)).collect(), n_more);
        };
        let task = self.begin("comparing across splits", left.len());
        let (left, right) = (self.select(left), self.select(right));
        let found = self.device.cross_join(left.view(), right.view(), options, &*task);
        let n_more = found.n_found - found.pairs.len() as u64;
        let mut proposals: Vec<Proposal> = found.pairs.iter().map(|it| proposal(it.a, it.b, it.cosine)).collect();
        let task = self.begin("finding the nearest", left.nrows());
        let nearest = self.device.nearest_in(left.view(), right.view(), NEAREST, &*task);
        for ((a, _), (b, similarity)) in
            nearest.ids.indexed_iter().map(|it| it.0).zip(nearest.ids.iter().zip(&nearest.cosine))
        {
            let a = u32::try_from(a).expect("because a dataset has fewer than 2^32 samples");
            proposals.push(proposal(a, *b, *similarity));
        }
        (proposals, n_more)
    }

    fn prepared<'b>(&self, copies: &'b Prepared<'a>) -> Result<&'b Copies<'a>, AuditError> {
        if let Some(copies) = copies.get() {
            return Ok(copies);
        }
        let ids: Vec<SampleId> = self.with_vector().collect();
        let prepared = Copies::new(self, &ids)?;
        Ok(copies.get_or_init(|| prepared))
    }

    fn neighbors(&self, k: usize, is_reused: &mut bool) -> Result<(NeighborGraph, SampleMap), AuditError> {
        let leaders: Vec<SampleId> = self.with_vector().filter(|id| self.identity.leader(*id) == *id).collect();
        let rows = self.rows_of(&leaders);
        let key = Key::new("neighbors", &self.vectors_id).k(k).rows(&rows);
        let (found, was_there) = keep(self.store, "neighbors", &key, || {
            let task = self.begin("finding neighbors", leaders.len());
            Ok::<_, AuditError>(self.device.knn(self.select(&rows).view(), k, &*task))
        })?;
        *is_reused &= was_there;
        let key = Key::new("map", &self.vectors_id).k(k).rows(&rows);
        let (places, was_there) = keep(self.store, "map", &key, || {
            let _task = self.begin("drawing the map", leaders.len());
            let places = tamis_neighbors::layout(self.select(&rows).view(), found.ids.view(), found.cosine.view());
            Ok::<_, AuditError>(Places(places))
        })?;
        *is_reused &= was_there;
        let graph = NeighborGraph::new(self.dataset.len(), leaders, found.ids, found.cosine);
        let leader_of = self.dataset.ids().map(|id| self.identity.leader(id));
        let map = SampleMap::of_graph(&graph, &places.0, leader_of);
        Ok((graph, map))
    }

    fn begin(&self, stage: &str, n: usize) -> Box<dyn tamis_core::Task> {
        self.progress.begin(stage, Some(n as u64), self.contents.modality().nouns())
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
            directions
                .extend(firsts.keys().filter(|base| role(base).comes_before(role(query))).map(|base| (*query, *base)));
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

/// What is searched: queries among each other, or with a base.
struct Side<'a> {
    /// Of the search, in the store.
    name: String,
    queries: &'a [SampleId],
    base: Option<&'a [SampleId]>,
}

/// Translates places to samples and adds the pairs.
fn add(set: &mut PairSet, side: &Side<'_>, found: &PlacePairs) {
    let base = side.base.unwrap_or(side.queries);
    set.n_found += found.n_more + found.pairs.len() as u64;
    set.n_not_compared += found.n_not_compared;
    set.pairs.extend(found.pairs.iter().map(|(it, verified)| Pair {
        a: side.queries[it.a as usize],
        b: base[it.b as usize],
        kind: it.kind,
        similarity: it.similarity,
        verified: Some(*verified),
    }));
}

/// What identical samples and copies connect, in whatever splits they are; what is merely close connects nothing.
pub(crate) fn families<'a>(
    dataset: &Dataset,
    identity: &IdentityGroups,
    sets: impl Iterator<Item = &'a PairSet>,
) -> Families {
    // A reference is no part of the data.
    let is_reference = |id: SampleId| dataset.split_role(dataset.sample(id).split) == SplitRole::Reference;
    let links = sets.flat_map(|set| set.of_rung(Rung::Copy)).filter(|pair| !is_reference(pair.a));
    let links: Vec<(u32, u32, f32)> =
        links.map(|pair| (identity.leader(pair.a).0, identity.leader(pair.b).0, pair.score())).collect();
    let n_samples = dataset.len();
    let mut is_linked = vec![false; n_samples];
    links.iter().for_each(|(a, b, _)| {
        is_linked[*a as usize] = true;
        is_linked[*b as usize] = true;
    });
    let members = |leaders: &[u32]| {
        let mut members: Vec<SampleId> = Vec::new();
        for leader in leaders {
            match identity.members(SampleId(*leader)) {
                Some(group) => members.extend(group),
                None => members.push(SampleId(*leader)),
            }
        }
        members.sort_unstable();
        members
    };
    let linked = tamis_neighbors::families(n_samples, &links).into_iter().map(|it| Family {
        members: members(&it.members),
        diameter: it.diameter,
        weakest_link: it.weakest_link,
    });
    let alone = identity.repeated().iter().filter(|group| !is_linked[group[0].idx()]);
    let mut list: Vec<Family> =
        alone.map(|group| Family { members: group.clone(), diameter: 1, weakest_link: 1.0 }).chain(linked).collect();
    list.sort_by_key(|family| family.members[0]);
    Families::new(n_samples, list)
}

/// Covers the copies by stars, then what is close and no copy of something that is kept.
fn stars(set: &PairSet, ranks: &[u32]) -> Vec<Star> {
    let mut goes = vec![false; ranks.len()];
    let mut all = Vec::new();
    for rung in [Rung::Copy, Rung::Semantic] {
        let pairs: Vec<&Pair> = set.of_rung(rung).filter(|pair| !goes[pair.a.idx()] && !goes[pair.b.idx()]).collect();
        let closeness = |a: SampleId, b: SampleId| {
            let place = pairs.binary_search_by_key(&(a.min(b), a.max(b)), |pair| (pair.a, pair.b));
            let pair = pairs[place.expect("because a member is paired with its leader")];
            if rung == Rung::Copy { pair.score() } else { pair.similarity }
        };
        let found = tamis_neighbors::stars(pairs.iter().map(|pair| (pair.a.0, pair.b.0)), ranks);
        for star in found {
            let leader = SampleId(star.leader);
            let with = |member: &u32| (SampleId(*member), closeness(leader, SampleId(*member)));
            let mut members: Vec<(SampleId, f32)> = star.members.iter().map(with).collect();
            members.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
            members.iter().for_each(|(member, _)| goes[member.idx()] = true);
            all.push(Star { leader, rung, members });
        }
    }
    all.sort_by_key(|star| (star.leader, star.rung));
    all
}
