//! What tells whether two samples are the same thing, and the groups of samples that are.

use std::collections::BTreeMap;

use crate::{CheckInfo, Dataset, Modality, SampleId, State};

/// A BLAKE3 hash of 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Lower-case hexadecimal, 64 characters.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first eight bytes as a number, for seeds and orders.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// What tells a sample that a finding is about from every other, in any version of its dataset and wherever it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member<'a> {
    /// Hash of its bytes; `None` where it could not be read.
    pub content: Option<Digest>,
    /// Its key, where nothing else is known of it.
    pub key: Option<&'a str>,
    /// Its label, where the check judges labels.
    pub label: Option<&'a str>,
}

impl<'a> Member<'a> {
    /// The sample `id` in a finding of a check.
    #[must_use]
    pub fn new(check: &CheckInfo, dataset: &'a Dataset, fingerprints: &Fingerprints, id: SampleId) -> Self {
        let content = fingerprints.digest(id, IdentityLevel::Bytes);
        let key = content.is_none().then(|| dataset.key(id));
        let label = if check.judges_labels { dataset.label_name(id) } else { None };
        Self { content, key, label }
    }
}

/// How much two samples may differ and still count as identical; each level of a modality includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityLevel {
    /// The same bytes.
    Bytes,
    /// The same text after [`crate::text::fold`]: case and white space do not count.
    Folded,
    /// The same letters and digits after [`crate::text::alphanumeric`]. A text that has none keeps its folded identity, so
    /// `"!?"` and `"..."` stay apart.
    Alphanumeric,
    /// The same upright pixels of the same size and [`crate::ColorMode`]: how the file packs them does not count.
    Pixels,
}

impl IdentityLevel {
    /// The levels of a modality, strictest first.
    #[must_use]
    pub fn of(modality: Modality) -> &'static [Self] {
        match modality {
            Modality::Text => &[Self::Bytes, Self::Folded, Self::Alphanumeric],
            Modality::Image => &[Self::Bytes, Self::Pixels],
        }
    }

    /// Name in findings and audits.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Folded => "folded",
            Self::Alphanumeric => "alphanumeric",
            Self::Pixels => "pixels",
        }
    }

    /// What is equal, as a person would say it; completes "the same ...".
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Folded => "text but for case and white space",
            Self::Alphanumeric => "letters and digits",
            Self::Pixels => "pixels",
        }
    }

    /// Whether nothing that matters can differ. Punctuation can: `3 + 4` and `3 - 4` have the same letters and digits.
    #[must_use]
    pub fn is_certain(self) -> bool {
        self != Self::Alphanumeric
    }
}

/// The hashes of every sample at every level of its modality; unreadable samples have none.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    modality: Modality,
    levels: &'static [IdentityLevel],
    /// One per sample and level, zero where the sample could not be read.
    digests: Vec<Digest>,
    present: Vec<bool>,
}

impl Fingerprints {
    /// Starts without a sample.
    #[must_use]
    pub fn new(modality: Modality) -> Self {
        Self { modality, levels: IdentityLevel::of(modality), digests: Vec::new(), present: Vec::new() }
    }

    /// Appends the hashes of the next sample in reading order, strictest level first.
    ///
    /// # Panics
    /// When there is not one hash for each level.
    pub fn push(&mut self, digests: Option<&[Digest]>) {
        match digests {
            Some(digests) => {
                assert_eq!(digests.len(), self.levels.len(), "because each level has a hash");
                self.digests.extend_from_slice(digests);
            }
            None => self.digests.extend(self.levels.iter().map(|_| Digest([0; 32]))),
        }
        self.present.push(digests.is_some());
    }

    /// What the samples are.
    #[must_use]
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// The levels, strictest first.
    #[must_use]
    pub fn levels(&self) -> &'static [IdentityLevel] {
        self.levels
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// The hash of one sample, or `None` where it could not be read or its modality has no such level.
    #[must_use]
    pub fn digest(&self, id: SampleId, level: IdentityLevel) -> Option<Digest> {
        let place = self.levels.iter().position(|it| *it == level)?;
        self.present[id.idx()].then(|| self.digests[id.idx() * self.levels.len() + place])
    }

    /// Groups the samples at every level, strictest first: see [`Fingerprints::groups`].
    #[must_use]
    pub fn all_groups(&self, dataset: &Dataset) -> Vec<IdentityGroups> {
        self.levels.iter().map(|level| self.groups(dataset, *level)).collect()
    }

    /// Groups the readable, non-empty samples of `dataset` that are identical at `level`.
    ///
    /// Time O(n log n), memory O(n).
    #[must_use]
    pub fn groups(&self, dataset: &Dataset, level: IdentityLevel) -> IdentityGroups {
        let mut leader_of: Vec<SampleId> = dataset.ids().collect();
        let mut first: BTreeMap<Digest, SampleId> = BTreeMap::new();
        let mut members: BTreeMap<SampleId, Vec<SampleId>> = BTreeMap::new();
        for id in dataset.ids().filter(|id| dataset.sample(*id).state == State::Ok) {
            let Some(digest) = self.digest(id, level) else { continue };
            let leader = *first.entry(digest).or_insert(id);
            leader_of[id.idx()] = leader;
            if leader != id {
                members.entry(leader).or_insert_with(|| vec![leader]).push(id);
            }
        }
        let n_distinct = first.len();
        IdentityGroups { leader_of, groups: members.into_values().collect(), n_distinct }
    }
}

/// Samples that are identical at one level. The leader of a group is its smallest id.
#[derive(Clone, Debug)]
pub struct IdentityGroups {
    leader_of: Vec<SampleId>,
    groups: Vec<Vec<SampleId>>,
    n_distinct: usize,
}

impl IdentityGroups {
    /// The first sample that is identical to `id`; `id` itself where there is no other.
    #[must_use]
    pub fn leader(&self, id: SampleId) -> SampleId {
        self.leader_of[id.idx()]
    }

    /// Groups of two or more, ascending ids inside, ordered by leader.
    #[must_use]
    pub fn repeated(&self) -> &[Vec<SampleId>] {
        &self.groups
    }

    /// Members of the group of `leader`, ascending; `None` where the sample is the only one of its kind.
    #[must_use]
    pub fn members(&self, leader: SampleId) -> Option<&[SampleId]> {
        let found = self.groups.binary_search_by_key(&leader, |group| group[0]).ok()?;
        Some(&self.groups[found])
    }

    /// Number of distinct readable samples at this level.
    #[must_use]
    pub fn n_distinct(&self) -> usize {
        self.n_distinct
    }

    /// Samples that could go without losing a distinct one: members beyond the first of each group.
    #[must_use]
    pub fn redundant(&self) -> usize {
        self.groups.iter().map(|group| group.len() - 1).sum()
    }
}
