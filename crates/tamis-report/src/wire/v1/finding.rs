//! One line of `findings.jsonl`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tamis_core::{CheckInfo, Dataset, Digest, Member, Report, SampleId, Suggestion as Remedy};

use super::{NotFinite, finite, object};

/// One defect found by one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Id of the check.
    pub check: String,
    /// How bad it is if true.
    pub severity: Severity,
    /// How likely it is true.
    pub confidence: Confidence,
    /// The check's own number, higher for more suspicious; its unit stands on the check's page.
    pub score: f64,
    /// The samples it is about, the one to act on first.
    pub samples: Vec<SampleRef>,
    /// One sentence for a person.
    pub message: String,
    /// What the finding rests on, by check; samples are written as their keys.
    pub evidence: Map<String, Json>,
    /// What could be done; null where the check has no proposal.
    pub suggestion: Option<Suggestion>,
    /// Name of the finding that stays the same from run to run, 32 hexadecimal characters: a hash of the check, the
    /// contents it is about, and its number among findings of that check about equal contents.
    pub fingerprint: String,
    /// Whether the baseline, an earlier audit, has this finding too; null without a baseline.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// Why it does not count; null where it does.
    #[serde(default)]
    pub suppressed: Option<Suppressed>,
}

/// Where a finding stands beside an earlier audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The earlier audit does not have it.
    New,
    /// The earlier audit has it, so it does not count.
    Known,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppressed {
    /// As the configuration says.
    pub reason: String,
    /// The day from which it counts again, as `2027-01-31`; null for never.
    pub expires: Option<String>,
}

impl Baseline {
    fn new(is_known: bool) -> Self {
        if is_known { Self::Known } else { Self::New }
    }
}

impl Suppressed {
    fn new(it: &tamis_core::Suppressed) -> Self {
        Self { reason: it.reason.clone(), expires: it.expires.clone() }
    }
}

/// How bad a finding is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs quality.
    Low,
    /// Biases training or evaluation.
    Medium,
    /// Makes a reported result wrong.
    High,
}

impl From<tamis_core::Severity> for Severity {
    fn from(value: tamis_core::Severity) -> Self {
        match value {
            tamis_core::Severity::Info => Self::Info,
            tamis_core::Severity::Low => Self::Low,
            tamis_core::Severity::Medium => Self::Medium,
            tamis_core::Severity::High => Self::High,
        }
    }
}

/// How likely a finding is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Expect many false alarms.
    Low,
    /// Expect some.
    Medium,
    /// Expect hardly any.
    High,
}

impl From<tamis_core::Confidence> for Confidence {
    fn from(value: tamis_core::Confidence) -> Self {
        match value {
            tamis_core::Confidence::Low => Self::Low,
            tamis_core::Confidence::Medium => Self::Medium,
            tamis_core::Confidence::High => Self::High,
        }
    }
}

/// A sample by the user's own name for it, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SampleRef {
    /// Unique in the dataset.
    pub key: String,
    /// The input file.
    pub file: String,
    /// One-based line or record; null where the file is the sample.
    pub row: Option<u64>,
    /// Name of its split.
    pub split: String,
    /// Name of its given label; null for unlabeled data.
    pub label: Option<String>,
}

impl SampleRef {
    /// Describes one sample of `dataset`.
    #[must_use]
    pub fn new(dataset: &Dataset, id: SampleId) -> Self {
        Self {
            key: dataset.key(id).to_owned(),
            file: dataset.path(id).display().to_string(),
            row: dataset.sample(id).origin.row,
            split: dataset.split_name(id).to_owned(),
            label: dataset.label_name(id).map(str::to_owned),
        }
    }
}

/// What could be done about a finding; never done without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestion {
    /// What to do.
    pub action: Action,
    /// Keys of the samples to do it to; empty for `review`, which is about the whole finding.
    pub keys: Vec<String>,
    /// The new label, for `relabel`.
    pub label: Option<String>,
    /// The new split, for `move-split`.
    pub split: Option<String>,
}

/// A kind of remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Remove the samples.
    Drop,
    /// Give the sample another label.
    Relabel,
    /// Put the samples into another split.
    MoveSplit,
    /// A person must decide.
    Review,
}

impl Suggestion {
    fn new(dataset: &Dataset, remedy: &Remedy) -> Self {
        let keys = |ids: &[SampleId]| ids.iter().map(|id| dataset.key(*id).to_owned()).collect();
        let (action, keys, label, split) = match remedy {
            Remedy::Drop(ids) => (Action::Drop, keys(ids), None, None),
            Remedy::Relabel(id, label) => {
                (Action::Relabel, keys(&[*id]), Some(dataset.label_names()[label.0 as usize].clone()), None)
            }
            Remedy::MoveSplit(ids, split) => {
                (Action::MoveSplit, keys(ids), None, Some(dataset.split_names()[split.0 as usize].clone()))
            }
            // A remedy that this version of the format has no word for is for a person to judge.
            _ => (Action::Review, Vec::new(), None, None),
        };
        Self { action, keys, label, split }
    }
}

/// All findings of a report as they are written, in registry order and, within a check, worst first.
///
/// An item is an error where its score or evidence holds a number that is not finite.
pub fn findings<'a>(report: &'a Report<'a>) -> impl Iterator<Item = Result<Finding, NotFinite>> + 'a {
    let dataset = report.dataset;
    report.triaged().zip(fingerprints(report)).map(move |((info, finding, standing), fingerprint)| {
        Ok(Finding {
            check: info.id.to_owned(),
            severity: finding.severity.into(),
            confidence: finding.confidence.into(),
            score: finite(info.id, "score", finding.score)?,
            samples: finding.samples.iter().map(|id| SampleRef::new(dataset, *id)).collect(),
            message: finding.message.clone(),
            evidence: object(report, info.id, &finding.evidence)?,
            suggestion: finding.suggestion.as_ref().map(|remedy| Suggestion::new(dataset, remedy)),
            fingerprint,
            baseline: standing.is_known.map(Baseline::new),
            suppressed: standing.suppressed.as_ref().map(Suppressed::new),
        })
    })
}

/// The fingerprints of all findings of a report, in the order of [`findings`].
pub fn fingerprints<'a>(report: &'a Report<'a>) -> impl Iterator<Item = String> + 'a {
    let mut seen: BTreeMap<Digest, u64> = BTreeMap::new();
    report.findings().map(move |(info, finding)| {
        let identity = identity(report, info, &finding.samples);
        let ordinal = seen.entry(identity).and_modify(|it| *it += 1).or_default();
        fingerprint(identity, *ordinal)
    })
}

/// Hash of a check and the samples it speaks of, in any order.
fn identity(report: &Report<'_>, check: &CheckInfo, samples: &[SampleId]) -> Digest {
    let mut members: Vec<[u8; 32]> =
        samples.iter().map(|id| hash(Member::new(check, report.dataset, report.fingerprints, *id))).collect();
    members.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(check.id.as_bytes()).update(b"\0");
    members.iter().for_each(|it| {
        hasher.update(it);
    });
    Digest(*hasher.finalize().as_bytes())
}

/// A content stands for itself.
fn hash(member: Member<'_>) -> [u8; 32] {
    if let (Some(content), None) = (member.content, member.label) {
        return content.0;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&member.content.map_or([0; 32], |it| it.0));
    // With its length before it, neither text can take letters from the other.
    for text in [member.key, member.label].map(Option::unwrap_or_default) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The first 128 bits of the hash of an identity and its ordinal; collisions among n findings: about n^2 / 2^129.
fn fingerprint(identity: Digest, ordinal: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&identity.0).update(&ordinal.to_le_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use tamis_core::Outcome;

    use super::*;
    use crate::testing::{self, Fixture};

    fn fingerprints(fixture: &Fixture) -> Vec<String> {
        super::fingerprints(&fixture.report()).collect()
    }

    /// Changes the findings of the fixture's check at `idx`.
    fn change(fixture: &mut Fixture, idx: usize, with: impl Fn(&mut Vec<tamis_core::Finding>)) {
        let Outcome::Ran(result) = &mut fixture.checks[idx].outcome else { panic!("it ran") };
        with(&mut result.findings);
    }

    #[test]
    fn fingerprints_depend_on_the_contents_and_not_on_what_is_said() {
        let mut fixture = testing::fixture();
        let before = fingerprints(&fixture);
        change(&mut fixture, 2, |findings| {
            findings[0].samples.reverse();
            findings[0].score = 0.5;
            findings[0].message = "put otherwise".to_owned();
        });
        assert_eq!(fingerprints(&fixture), before);
        change(&mut fixture, 2, |findings| findings[0].samples.truncate(1));
        assert_ne!(fingerprints(&fixture)[2], before[2]);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_key_and_judged_labels_count() {
        static JUDGES: CheckInfo = CheckInfo { id: "any", summary: "", page: "", judges_labels: true };
        static OTHER: CheckInfo = CheckInfo { id: "any", summary: "", page: "", judges_labels: false };
        let fixture = testing::fixture();
        let report = fixture.report();
        let ids = || report.dataset.ids();
        let of = |check: &CheckInfo, id: SampleId| identity(&report, check, &[id]);
        let is_unread = |id: SampleId| report.fingerprints.digest(id, tamis_core::IdentityLevel::Bytes).is_none();
        assert!(ids().any(is_unread));
        for id in ids() {
            assert_eq!(of(&OTHER, id) == of(&JUDGES, id), report.dataset.label_name(id).is_none(), "{id:?}");
            let others = ids().filter(|other| *other != id && is_unread(id));
            others.for_each(|other| assert_ne!(of(&OTHER, id), of(&OTHER, other)));
        }
    }

    #[test]
    fn findings_about_equal_contents_are_told_apart_by_their_order() {
        let mut fixture = testing::fixture();
        let before = fingerprints(&fixture);
        change(&mut fixture, 0, |findings| findings.push(findings[0].clone()));
        let after = fingerprints(&fixture);
        assert_eq!((&after[0], &after[2..]), (&before[0], &before[1..]));
        assert_ne!(after[1], after[0]);
    }

    #[test]
    fn a_score_that_is_not_finite_is_an_error_and_not_null() {
        let mut fixture = testing::fixture();
        change(&mut fixture, 0, |findings| findings[0].score = f64::INFINITY);
        let error = findings(&fixture.report()).next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "`score` of unreadable-sample is not a finite number");
    }
}
