//! Two versions of a dataset, matched by what their samples hold and not by where they stand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::{
    CheckInfo, CheckReport, Dataset, Digest, Finding, Fingerprints, IdentityLevel, Member, Outcome, SampleId, Severity,
    Standing,
};

/// One of two versions.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// Its samples.
    pub dataset: &'a Dataset,
    /// Their hashes.
    pub fingerprints: &'a Fingerprints,
    /// What became of the checks of its audit.
    pub checks: &'a [CheckReport],
    /// How their findings stand, as in [`crate::Report::standings`].
    pub standings: &'a [Standing],
}

/// A finding that another version does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmatchedFinding {
    /// Its place among the findings of the check.
    pub place: usize,
    /// Whether the other version has one about some of its samples.
    pub is_known_in_part: bool,
}

impl<'a> Version<'a> {
    /// Hash of the bytes of a sample; `None` where it could not be read.
    #[must_use]
    pub fn content(&self, id: SampleId) -> Option<Digest> {
        self.fingerprints.digest(id, IdentityLevel::Bytes)
    }

    /// What became of a check; `None` where it was not asked for.
    #[must_use]
    pub fn outcome(&self, check: &str) -> Option<&'a Outcome> {
        self.checks.iter().find(|it| it.info.id == check).map(|it| &it.outcome)
    }

    /// Whether a finding of a check counts: it is neither suppressed nor known from a baseline.
    #[must_use]
    pub fn counts(&self, check: &str, place: usize) -> bool {
        let before = self.checks.iter().take_while(|it| it.info.id != check);
        let first: usize = before.map(|it| it.outcome.findings().len()).sum();
        self.standings.get(first + place).is_none_or(Standing::counts)
    }

    /// The findings of a check that `other` does not have, not even about more samples: what is left of a group is no other
    /// group. `None` where the check did not run in both.
    ///
    /// O(n log n) time for n samples in findings, as long as few findings are about the same sample.
    #[must_use]
    pub fn unmatched(&self, other: &Version<'_>, check: &'static CheckInfo) -> Option<Vec<UnmatchedFinding>> {
        let (Outcome::Ran(own), Outcome::Ran(others)) = (self.outcome(check.id)?, other.outcome(check.id)?) else {
            return None;
        };
        let known: Vec<Vec<Member<'_>>> = others.findings.iter().map(|it| other.members(check, it)).collect();
        let mut known_of: BTreeMap<Member<'_>, Vec<usize>> = BTreeMap::new();
        for (place, members) in known.iter().enumerate() {
            members.chunk_by(|a, b| a == b).for_each(|it| known_of.entry(it[0]).or_default().push(place));
        }
        let mut unmatched = Vec::new();
        for (place, finding) in own.findings.iter().enumerate() {
            let members = self.members(check, finding);
            let touched: BTreeSet<usize> =
                members.chunk_by(|a, b| a == b).filter_map(|it| known_of.get(&it[0])).flatten().copied().collect();
            if !touched.iter().any(|known_at| is_part(&members, &known[*known_at])) {
                unmatched.push(UnmatchedFinding { place, is_known_in_part: !touched.is_empty() });
            }
        }
        Some(unmatched)
    }

    /// The samples of a finding, ascending.
    fn members(&self, check: &CheckInfo, finding: &Finding) -> Vec<Member<'a>> {
        let mut members: Vec<Member<'a>> =
            finding.samples.iter().map(|id| Member::new(check, self.dataset, self.fingerprints, *id)).collect();
        members.sort_unstable();
        members
    }
}

/// Whether all of `part` is in `whole`, as often; both ascending.
fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|it| rest.any(|other| other == it))
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
        let file = builder.add_file(InputFile { path: "a".into(), ..InputFile::default() });
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
            &Version { dataset: &a.0, fingerprints: &a.1, checks: &[], standings: &[] },
            &Version { dataset: &b.0, fingerprints: &b.1, checks: &[], standings: &[] },
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
    fn a_part_holds_nothing_that_the_whole_has_less_often() {
        assert!(is_part(&[1, 3], &[1, 2, 3]) && is_part(&[], &[1]));
        assert!(!is_part(&[1, 1], &[1, 2]) && !is_part(&[1, 4], &[1, 2, 3]));
    }

    static DUPLICATE: CheckInfo = CheckInfo { id: "duplicate", summary: "", page: "", judges_labels: false };
    static LABEL: CheckInfo = CheckInfo { id: "label", summary: "", page: "", judges_labels: true };

    /// Findings about the samples of a version at these places that a version before, with findings of its own, lacks.
    fn unmatched(
        check: &'static CheckInfo,
        before: (&[&str], &[&[u32]]),
        after: (&[&str], &[&[u32]]),
    ) -> Vec<(usize, bool)> {
        let sides = [before, after].map(|(lines, findings)| {
            let finding = |samples: &&[u32]| Finding {
                severity: Severity::High,
                confidence: crate::Confidence::High,
                score: 1.0,
                samples: samples.iter().copied().map(SampleId).collect(),
                message: String::new(),
                evidence: crate::Evidence::new(),
                suggestion: None,
            };
            let findings = findings.iter().map(finding).collect();
            let outcome = Outcome::Ran(crate::CheckResult { findings, ..crate::CheckResult::default() });
            (version(lines), [CheckReport { info: check, outcome }])
        });
        let [old, new] = [&sides[0], &sides[1]].map(|((dataset, fingerprints), checks)| Version {
            dataset,
            fingerprints,
            checks: checks.as_slice(),
            standings: &[],
        });
        new.unmatched(&old, check).unwrap().into_iter().map(|it| (it.place, it.is_known_in_part)).collect()
    }

    #[test]
    fn findings_are_known_by_what_they_are_about() {
        let lines = ["a t x 1", "b t x 1", "c t x 2", "d t x 3"];
        let known: (&[&str], &[&[u32]]) = (&lines, &[&[0, 1]]);
        assert_eq!(unmatched(&DUPLICATE, known, (&lines, &[&[1, 0], &[0], &[2, 3]])), [(2, false)]);
        assert_eq!(unmatched(&DUPLICATE, known, (&lines, &[&[0, 1, 2]])), [(0, true)]);
        // What cannot be read is told by its key, and what is said of labels by these as well.
        let unread = ["a t x ?", "b t x ?"];
        assert_eq!(unmatched(&DUPLICATE, (&unread, &[&[0]]), (&unread, &[&[0], &[1]])), [(1, false)]);
        let relabeled = ["a t x 1", "b t y 1", "c t x 2", "d t x 3"];
        assert_eq!(unmatched(&DUPLICATE, known, (&relabeled, &[&[0, 1]])), []);
        assert_eq!(unmatched(&LABEL, known, (&relabeled, &[&[0, 1]])), [(0, true)]);
    }

    #[test]
    fn one_more_copy_is_added() {
        let it = matching(&["a t x 1"], &["a t x 1", "b t x 1"]);
        assert_eq!((it.same, it.added), (pairs(&[(0, 0)]), vec![SampleId(1)]));
    }
}
