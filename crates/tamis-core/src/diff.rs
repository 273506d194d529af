//! Two versions of a dataset, matched by what their samples hold and not by where they stand.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::{CheckInfo, CheckReport, Dataset, Digest, Fingerprints, IdentityLevel, SampleId, Severity};

/// One of two versions.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// Its samples.
    pub dataset: &'a Dataset,
    /// Their hashes.
    pub fingerprints: &'a Fingerprints,
    /// What became of the checks of its audit.
    pub checks: &'a [CheckReport],
}

impl Version<'_> {
    /// Hash of the bytes of a sample; `None` where it could not be read.
    #[must_use]
    pub fn content(&self, id: SampleId) -> Option<Digest> {
        self.fingerprints.digest(id, IdentityLevel::Bytes)
    }

    /// The contents of some samples, ascending: what tells findings of two versions apart.
    #[must_use]
    pub fn contents(&self, samples: &[SampleId]) -> Vec<Option<Digest>> {
        let mut contents: Vec<Option<Digest>> = samples.iter().map(|id| self.content(*id)).collect();
        contents.sort_unstable();
        contents
    }
}

/// Which sample of one version is which of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// The same content in both, ascending by the sample before: `(before, after)`.
    pub same: Vec<(SampleId, SampleId)>,
    /// The same key with another content, or with one that can be read in one version only.
    pub changed: Vec<(SampleId, SampleId)>,
    /// In the later version only, ascending.
    pub added: Vec<SampleId>,
    /// In the earlier version only, ascending.
    pub removed: Vec<SampleId>,
}

impl Matching {
    /// Matches by content first; of several equal contents those with the same key, then with the same split and label, then
    /// of the same split, then in reading order. What is left is matched by key.
    ///
    /// O(n log n) time, O(n) memory.
    #[must_use]
    pub fn new(before: &Version<'_>, after: &Version<'_>) -> Self {
        let mut by_content: BTreeMap<Digest, [Vec<SampleId>; 2]> = BTreeMap::new();
        let mut rest = [Vec::new(), Vec::new()];
        for (side, version) in [before, after].into_iter().enumerate() {
            for id in version.dataset.ids() {
                match version.content(id) {
                    Some(digest) => by_content.entry(digest).or_default()[side].push(id),
                    None => rest[side].push(id),
                }
            }
        }
        let mut matching = Self::default();
        for mut sides in by_content.into_values() {
            let [a, b] = [before.dataset, after.dataset];
            pair_up(&mut sides, &mut matching.same, |side, id| [a, b][side].key(id));
            pair_up(&mut sides, &mut matching.same, |side, id| {
                let dataset = [a, b][side];
                (dataset.split_name(id), dataset.label_name(id))
            });
            pair_up(&mut sides, &mut matching.same, |side, id| [a, b][side].split_name(id));
            pair_up(&mut sides, &mut matching.same, |_, _| ());
            let [x, y] = sides;
            rest[0].extend(x);
            rest[1].extend(y);
        }
        pair_up(&mut rest, &mut matching.changed, |side, id| [before.dataset, after.dataset][side].key(id));
        // What can be read in neither version is no change.
        let is_unread =
            |pair: &(SampleId, SampleId)| before.content(pair.0).is_none() && after.content(pair.1).is_none();
        matching.same.extend(matching.changed.iter().copied().filter(is_unread));
        matching.changed.retain(|pair| !is_unread(pair));
        [matching.removed, matching.added] = rest;
        matching.same.sort_unstable();
        matching.changed.sort_unstable();
        matching.added.sort_unstable();
        matching.removed.sort_unstable();
        matching
    }
}

/// Takes samples that `key` does not tell apart out of both sides, in order.
fn pair_up<K: Ord>(
    sides: &mut [Vec<SampleId>; 2],
    pairs: &mut Vec<(SampleId, SampleId)>,
    key: impl Fn(usize, SampleId) -> K,
) {
    if sides.iter().any(Vec::is_empty) {
        return;
    }
    let mut waiting: BTreeMap<K, VecDeque<SampleId>> = BTreeMap::new();
    for id in &sides[0] {
        waiting.entry(key(0, *id)).or_default().push_back(*id);
    }
    let mut taken = Vec::new();
    sides[1].retain(|id| match waiting.get_mut(&key(1, *id)).and_then(VecDeque::pop_front) {
        Some(before) => {
            pairs.push((before, *id));
            taken.push(before);
            false
        }
        None => true,
    });
    taken.sort_unstable();
    sides[0].retain(|id| taken.binary_search(id).is_err());
}

/// How far the distribution of something differs between both versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// What was measured: `text_bytes`, `label`, `column.source`, `embedding` ...
    pub measure: String,
    /// How far: the largest difference of the shares below a value (Kolmogorov and Smirnov), half the sum of the differences
    /// of shares (total variation), or the maximum mean discrepancy of vectors; 0 for none, at most 1 but for the last.
    pub effect: f64,
    /// Which of them: `kolmogorov-smirnov`, `total-variation` or `maximum-mean-discrepancy`.
    pub statistic: &'static str,
    /// How often an exchange of samples between the versions by chance gives as large an effect; `None` where the versions
    /// hold the same.
    pub p_value: Option<f64>,
    /// Whether that is less than chance explains, all measures together.
    pub is_significant: bool,
    /// Mean in either version, for numbers.
    pub means: Option<(f64, f64)>,
    /// The value whose share changed most, with its share in either version, for categories.
    pub moved_most: Option<(String, f64, f64)>,
    /// Samples with a value in either version.
    pub n: (usize, usize),
}

/// What a check of two versions sees.
#[derive(Clone, Copy, Debug)]
pub struct DiffContext<'a> {
    /// The earlier version.
    pub before: Version<'a>,
    /// The later version.
    pub after: Version<'a>,
    /// Which sample is which.
    pub matching: &'a Matching,
    /// How far distributions differ, largest effect first.
    pub drifts: &'a [Drift],
}

/// One thing that a new version makes worse, or that somebody should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// How bad.
    pub severity: Severity,
    /// One sentence for a person.
    pub message: String,
    /// Samples of the earlier version that it is about.
    pub before: Vec<SampleId>,
    /// Samples of the later version that it is about.
    pub after: Vec<SampleId>,
}

/// A check of two versions.
pub trait DiffCheck: fmt::Debug + Send + Sync {
    /// The fixed facts.
    fn info(&self) -> &'static CheckInfo;

    /// What it finds, worst first, ties in reading order.
    fn run(&self, cx: &DiffContext<'_>) -> Vec<Change>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatasetBuilder, InputFile, Modality, Origin, Sample, State};

    /// Lines `key split label content`; the content `?` cannot be read.
    fn version(lines: &[&str]) -> (Dataset, Fingerprints) {
        let mut builder = DatasetBuilder::new();
        let file = builder.add_file(InputFile { path: "a".into(), size_bytes: 0, blake3: None });
        let mut fingerprints = Fingerprints::new(Modality::Image);
        for line in lines {
            let [key, split, label, content] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let is_read = content != "?";
            let state = if is_read { State::Ok } else { State::Unreadable("no".to_owned()) };
            let (split, label) = (builder.split(split, None), Some(builder.label(label)));
            let origin = Origin { file, row: None };
            builder.push(key, Sample { origin, split, label, state, note: None }, []).unwrap();
            let digest = Digest([content.as_bytes()[0]; 32]);
            fingerprints.push(is_read.then_some([digest, digest]).as_ref().map(<[_; 2]>::as_slice));
        }
        (builder.finish(), fingerprints)
    }

    fn matching(before: &[&str], after: &[&str]) -> Matching {
        let (a, b) = (version(before), version(after));
        Matching::new(
            &Version { dataset: &a.0, fingerprints: &a.1, checks: &[] },
            &Version { dataset: &b.0, fingerprints: &b.1, checks: &[] },
        )
    }

    fn pairs(list: &[(u32, u32)]) -> Vec<(SampleId, SampleId)> {
        list.iter().map(|(a, b)| (SampleId(*a), SampleId(*b))).collect()
    }

    #[test]
    fn contents_are_matched_wherever_they_stand() {
        let it = matching(&["a t x 1", "b t x 2", "c t x 3"], &["c2 e x 3", "a t y 1", "d t x 4"]);
        assert_eq!(it.same, pairs(&[(0, 1), (2, 0)]));
        assert_eq!((it.removed, it.added), (vec![SampleId(1)], vec![SampleId(2)]));
    }

    #[test]
    fn equal_contents_keep_their_key_then_their_place() {
        let it = matching(&["a t x 1", "b e x 1", "c e y 1"], &["k e y 1", "b t x 1", "m t x 1"]);
        assert_eq!(it.same, pairs(&[(0, 2), (1, 1), (2, 0)]));
        assert!(it.added.is_empty() && it.removed.is_empty() && it.changed.is_empty());
    }

    #[test]
    fn another_content_under_the_same_key_is_a_change() {
        let it = matching(&["a t x 1", "b t x ?", "c t x ?"], &["a t x 2", "b t x 3", "c t x ?"]);
        assert_eq!(it.changed, pairs(&[(0, 0), (1, 1)]));
        assert_eq!(it.same, pairs(&[(2, 2)]));
    }

    #[test]
    fn one_more_copy_is_added() {
        let it = matching(&["a t x 1"], &["a t x 1", "b t x 1"]);
        assert_eq!((it.same, it.added), (pairs(&[(0, 0)]), vec![SampleId(1)]));
    }
}
