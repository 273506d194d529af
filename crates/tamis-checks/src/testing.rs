//! Hand-drawn datasets for the tests of checks: two-dimensional vectors, one line a sample.
//!
//! ```text
//! key | split | label or - | x, y          [| text [| truncated]]
//! key | split | label or - | empty
//! key | split | label or - | unreadable: reason
//! ```
//!
//! Without a text the key is the text. Joins and neighbors are brute force.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use ndarray::Array2;
use tamis_core::{
    CheckContext, CheckResult, Dataset, DatasetBuilder, Digest, Embeddings, Families, Family, Fingerprints,
    IdentityGroups, Modality, Need, NeighborGraph, Origin, Pair, PairKind, PairNeed, PairSearch, PairSet, Rung, Sample,
    SampleId, Shared, SplitId, SplitRole, Star, State, Verified, text,
};

use crate::CHECKS;

/// A dataset with all that a check may need.
pub(crate) struct Scene {
    dataset: Dataset,
    fingerprints: Fingerprints,
    identity: Vec<IdentityGroups>,
    embeddings: Embeddings,
    /// What a scene says of each sample after its vector.
    texts: Vec<Option<String>>,
}

impl Scene {
    pub(crate) fn parse(lines: &str) -> Self {
        let mut builder = DatasetBuilder::new();
        let mut fingerprints = Fingerprints::new(Modality::Text);
        let mut texts = Vec::new();
        let (mut rows, mut row_of, mut truncated) = (Vec::new(), Vec::new(), Vec::new());
        let file = builder.add_file(tamis_core::InputFile { path: "scene".into(), ..tamis_core::InputFile::default() });
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            let (key, vector) = (fields[0], fields[3]);
            let role = [SplitRole::Benchmark, SplitRole::Reference].into_iter().find(|role| role.id() == fields[1]);
            let split = builder.split(fields[1], role);
            texts.push(fields.get(4).map(|text| (*text).to_owned()));
            let label = (fields[2] != "-").then(|| builder.label(fields[2]));
            let state = match vector.strip_prefix("unreadable: ") {
                Some(reason) => State::Unreadable(reason.to_owned()),
                None if vector == "empty" => State::Empty,
                None => State::Ok,
            };
            if state == State::Ok {
                fingerprints.push(Some(&digests(fields.get(4).unwrap_or(&key))));
                row_of.push(Some(truncated.len()));
                rows.extend(vector.split(',').map(|x| x.trim().parse::<f32>().unwrap()));
                truncated.push(fields.get(5) == Some(&"truncated"));
            } else {
                fingerprints.push(None);
                row_of.push(None);
            }
            let origin = Origin { file, row: Some(builder.len() as u64 + 1) };
            builder.push(key, Sample { origin, split, label, state, note: None }, []).unwrap();
        }
        let dataset = builder.finish();
        let identity = fingerprints.all_groups(&dataset);
        let rows = Array2::from_shape_vec((truncated.len(), 2), rows).unwrap();
        let embeddings = Embeddings::new(rows, row_of, truncated).unwrap();
        Self { dataset, fingerprints, identity, embeddings, texts }
    }

    /// Runs a check with options in TOML, given exactly what it declares.
    pub(crate) fn run(&self, id: &str, options: &str) -> Ran {
        let def = CHECKS.iter().find(|def| def.info.id == id).unwrap();
        let check = (def.build)(options.parse().unwrap()).unwrap();
        let needs = check.needs();
        let graph = needs.iter().find_map(|need| match need {
            Need::Neighbors(k) => Some(self.graph(*k)),
            _ => None,
        });
        let pairs: Vec<_> = needs
            .iter()
            .filter_map(|need| match need {
                Need::Pairs(need) => Some((*need, self.pairs(*need))),
                _ => None,
            })
            .collect();
        let mut cx = CheckContext::new(&self.dataset, &self.fingerprints, &self.identity, 7);
        if needs.contains(&Need::Embeddings) {
            cx = cx.with_embeddings(&self.embeddings);
        }
        if let Some(graph) = &graph {
            cx = cx.with_neighbors(graph);
        }
        for (need, pairs) in &pairs {
            cx = cx.with_pairs(*need, pairs);
        }
        let links = pairs.iter().flat_map(|(_, set)| set.of_rung(Rung::Copy)).map(|it| (it.a.idx(), it.b.idx()));
        let families = families(self.dataset.len(), &links.collect::<Vec<_>>());
        cx = cx.with_families(&families);
        let keys = self.dataset.ids().map(|id| self.dataset.key(id).to_owned()).collect();
        Ran { result: check.run(&cx).unwrap(), keys }
    }

    fn cosine(&self, a: SampleId, b: SampleId) -> f32 {
        self.embeddings.vector(a).unwrap().dot(&self.embeddings.vector(b).unwrap())
    }

    /// The first sample of each identity group in each split.
    fn firsts(&self) -> Vec<SampleId> {
        let mut firsts = BTreeMap::new();
        for id in self.dataset.ok_ids() {
            let leader = self.identity[2].leader(id);
            firsts.entry((self.dataset.sample(id).split, leader)).or_insert(id);
        }
        let mut firsts: Vec<SampleId> = firsts.into_values().collect();
        firsts.sort();
        firsts
    }

    /// The share of words of either that both have, where both have a text; a stand-in for the comparison of contents.
    fn score(&self, a: SampleId, b: SampleId) -> Option<f32> {
        let words =
            |id: SampleId| -> Option<BTreeSet<&str>> { Some(self.texts[id.idx()].as_deref()?.split(' ').collect()) };
        let (a, b) = (words(a)?, words(b)?);
        Some(a.intersection(&b).count() as f32 / a.union(&b).count() as f32)
    }

    fn pairs(&self, need: PairNeed) -> PairSet {
        let PairNeed { search, min_cosine, min_copy } = need;
        let (min, min_copy) = (min_cosine.unwrap_or(0.99), min_copy.unwrap_or(0.8));
        let min_kept = if search == PairSearch::AcrossSplits { 0.1 } else { min_copy };
        let role = |id: SampleId| self.dataset.split_role(self.dataset.sample(id).split);
        let split = |id: SampleId| -> SplitId { self.dataset.sample(id).split };
        let firsts = self.firsts();
        let mut pairs = Vec::new();
        for a in &firsts {
            for b in &firsts {
                let compared = match search {
                    PairSearch::WithinSplits => a < b && split(*a) == split(*b),
                    PairSearch::AcrossSplits => {
                        role(*b).comes_before(role(*a)) && self.identity[2].leader(*a) != self.identity[2].leader(*b)
                    }
                };
                let verified =
                    self.score(*a, *b).map(|score| Verified { score, shared: Shared::Nothing, overlap: None });
                let similarity = self.cosine(*a, *b).min(1.0);
                if compared && (min <= similarity || verified.is_some_and(|it| min_kept <= it.score)) {
                    pairs.push(Pair { a: *a, b: *b, kind: PairKind::Cosine, similarity, verified });
                }
            }
        }
        let n_found = pairs.len() as u64;
        let source = || "the test".to_owned();
        let mut set = PairSet {
            search,
            min,
            min_source: source(),
            min_copy,
            min_copy_source: source(),
            pairs,
            min_kept,
            n_found,
            n_not_compared: 0,
            stars: Vec::new(),
        };
        if search == PairSearch::WithinSplits {
            set.stars = stars(&set);
        }
        set
    }

    fn graph(&self, k: usize) -> NeighborGraph {
        let ids = self.dataset.ok_ids();
        let leaders: Vec<SampleId> = ids.filter(|id| self.identity[2].leader(*id) == *id).collect();
        let k = k.min(leaders.len() - 1);
        let (mut ids, mut cosines) = (Array2::zeros((leaders.len(), k)), Array2::zeros((leaders.len(), k)));
        for (i, a) in leaders.iter().enumerate() {
            let mut others: Vec<(f32, u32)> =
                (0..).zip(&leaders).filter(|(_, b)| a != *b).map(|(j, b)| (self.cosine(*a, *b), j)).collect();
            others.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
            for (j, (cosine, other)) in others.into_iter().take(k).enumerate() {
                ids[[i, j]] = other;
                cosines[[i, j]] = cosine;
            }
        }
        NeighborGraph::new(self.dataset.len(), leaders, ids, cosines)
    }
}

/// Stars in reading order: enough for scenes drawn by hand.
fn stars(set: &PairSet) -> Vec<Star> {
    let mut covered = BTreeSet::new();
    let mut stars: Vec<Star> = Vec::new();
    for rung in [Rung::Copy, Rung::Semantic] {
        let mut leaders = BTreeSet::new();
        for pair in set.of_rung(rung) {
            if covered.contains(&pair.a) || covered.contains(&pair.b) || leaders.contains(&pair.b) {
                continue;
            }
            covered.insert(pair.b);
            leaders.insert(pair.a);
            let closeness = if rung == Rung::Copy { pair.score() } else { pair.similarity };
            match stars.iter_mut().find(|star| star.leader == pair.a && star.rung == rung) {
                Some(star) => star.members.push((pair.b, closeness)),
                None => stars.push(Star { leader: pair.a, rung, members: vec![(pair.b, closeness)] }),
            }
        }
    }
    stars
}

/// Families by merging links one after the other; the weakest link is not looked for.
fn families(n: usize, links: &[(usize, usize)]) -> Families {
    let mut family: Vec<usize> = (0..n).collect();
    for (a, b) in links {
        let (from, to) = (family[*a].max(family[*b]), family[*a].min(family[*b]));
        family.iter_mut().filter(|it| **it == from).for_each(|it| *it = to);
    }
    let members =
        |first: usize| -> Vec<SampleId> { (0..n).filter(|id| family[*id] == first).map(SampleId::from_idx).collect() };
    let all = (0..n).map(members).filter(|it| 1 < it.len());
    let diameter = |members: &[SampleId]| members.len() - 1;
    let list = all.map(|members| Family { diameter: diameter(&members), members, weakest_link: 0.5 });
    Families::new(n, list.collect())
}

/// Stand-ins for the three hashes: any function of the same normalized texts will do.
fn digests(raw: &str) -> [Digest; 3] {
    let folded = text::fold(raw);
    let letters = text::alphanumeric_of_folded(&folded);
    let letters = if letters.is_empty() { format!("\0{folded}") } else { letters };
    [raw.to_owned(), folded, letters].map(|text| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&hasher.finish().to_be_bytes());
        Digest(digest)
    })
}

/// What a check said of a scene.
pub(crate) struct Ran {
    result: CheckResult,
    keys: Vec<String>,
}

impl std::ops::Deref for Ran {
    type Target = CheckResult;

    fn deref(&self) -> &CheckResult {
        &self.result
    }
}

/// `keys: message` of each finding, in order.
pub(crate) fn messages(ran: &Ran) -> Vec<String> {
    let keys =
        |samples: &[SampleId]| samples.iter().map(|id| ran.keys[id.idx()].as_str()).collect::<Vec<_>>().join(" ");
    ran.findings.iter().map(|finding| format!("{}: {}", keys(&finding.samples), finding.message)).collect()
}

/// The fact called `name`.
pub(crate) fn fact(ran: &Ran, name: &str) -> usize {
    ran.facts.iter().find(|(it, _)| *it == name).unwrap().1
}
