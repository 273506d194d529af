//! Decisions by a fixed rule, from the findings of an audit: a start for a person to go on from. `docs/apply.md` has the
//! rule in words; the same record gives the same decisions.
//!
//! Checks are gone through by how certain they are. A sample that is to go takes others with it no more: of two that are
//! alike, one stays.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value as Json;
use tamis_core::IdentityLevel;
use tamis_core::words::counted;
use tamis_data::audited::AuditedSample;
use tamis_report::wire::v1::{self, Action, Decision, DecisionAction, Decisions, Finding, SplitRole};

use super::{ApplyError, read_audit_json, read_audited_samples};

/// What is suggested beyond what is clear.
#[derive(Clone, Copy, Debug, Default)]
pub struct SuggestOptions {
    /// Whether labels are changed that are probably wrong, up to the number that is worth a review.
    pub relabel: bool,
    /// Whether samples go that are merely close to another one.
    pub semantic: bool,
}

/// Decisions with what a reader must know of them.
#[derive(Clone, Debug)]
pub struct Suggested {
    /// The decisions, in reading order.
    pub decisions: Decisions,
    /// How many come from which check, in the order of the rule.
    pub by_check: Vec<(&'static str, usize)>,
    /// What was left to a person. Sentences.
    pub notes: Vec<String>,
}

/// Makes decisions from the record in `dir`.
///
/// # Errors
/// When the record cannot be read.
pub fn suggest(dir: &Path, options: SuggestOptions) -> Result<Suggested, ApplyError> {
    let audit = read_audit_json(dir)?;
    let samples = read_audited_samples(dir)?;
    let findings = read_findings(dir)?;
    let mut rule = Rule::new(&audit, &samples, options);
    rule.broken(&findings);
    rule.leaks(&findings);
    rule.identical(&findings);
    rule.copies(&findings);
    if options.relabel {
        rule.labels(&audit, &findings);
    }
    Ok(rule.finish(audit.dataset.hash.clone()))
}

/// All findings but those that somebody has decided to live with.
fn read_findings(dir: &Path) -> Result<Vec<Finding>, ApplyError> {
    let path = dir.join("findings.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|source| ApplyError::Io { path: path.clone(), source })?;
    let parsed = text.lines().map(serde_json::from_str).collect::<Result<Vec<Finding>, _>>();
    let mut findings = parsed.map_err(|error| ApplyError::Record { path, source: error.into() })?;
    findings.retain(|it| it.suppressed.is_none());
    Ok(findings)
}

/// The checks in the order of the rule.
const CHECKS: [&str; 7] = [
    "unreadable-sample",
    "empty-text",
    "split-leak",
    "benchmark-contamination",
    "exact-duplicate",
    "near-duplicate",
    "label-error",
];

struct Rule<'a> {
    samples: &'a [AuditedSample],
    options: SuggestOptions,
    is_image: bool,
    roles: HashMap<&'a str, SplitRole>,
    places: HashMap<&'a str, usize>,
    /// Samples that are the same at the widest level of identity in one split.
    same: HashMap<(&'a str, &'a str), Vec<usize>>,
    decisions: BTreeMap<usize, Decision>,
    by_check: BTreeMap<&'static str, usize>,
    notes: Vec<String>,
}

impl<'a> Rule<'a> {
    fn new(audit: &'a v1::Audit, samples: &'a [AuditedSample], options: SuggestOptions) -> Self {
        let mut same: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (idx, it) in samples.iter().enumerate() {
            if let Some(identity) = &it.widest_identity {
                same.entry((&it.split, identity)).or_default().push(idx);
            }
        }
        Self {
            samples,
            options,
            is_image: audit.dataset.modality == "image",
            roles: audit.dataset.splits.iter().map(|it| (it.name.as_str(), it.role)).collect(),
            places: samples.iter().enumerate().map(|(idx, it)| (it.key.as_str(), idx)).collect(),
            same,
            decisions: BTreeMap::new(),
            by_check: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    fn is_dropped(&self, key: &str) -> bool {
        let decision = self.places.get(key).and_then(|idx| self.decisions.get(idx));
        decision.is_some_and(|it| it.action == DecisionAction::Drop)
    }

    /// Drops a sample; what led to it before is said as well.
    fn drop(&mut self, check: &'static str, idx: usize, finding: &Finding, reason: String) {
        let decided = self.decisions.get_mut(&idx);
        if let Some(decision) = decided.filter(|it| it.action == DecisionAction::Drop) {
            if !decision.reason.contains(&reason) {
                decision.reason = format!("{}; {reason}", decision.reason);
            }
            return;
        }
        self.decide(check, idx, finding, (DecisionAction::Drop, None), reason);
    }

    fn decide(
        &mut self,
        check: &'static str,
        idx: usize,
        finding: &Finding,
        (action, label): (DecisionAction, Option<String>),
        reason: String,
    ) {
        *self.by_check.entry(check).or_default() += 1;
        let sample = &self.samples[idx];
        let decision = Decision {
            key: sample.key.clone(),
            identity: sample.identity.clone(),
            action,
            label,
            split: None,
            reason,
            reviewer: None,
            finding: Some(finding.fingerprint.clone()),
        };
        self.decisions.insert(idx, decision);
    }

    /// What cannot be read, and what is empty.
    fn broken(&mut self, findings: &[Finding]) {
        let mut n_left = 0_usize;
        for check in ["unreadable-sample", "empty-text"] {
            for finding in findings.iter().filter(|it| it.check == check) {
                for sample in &finding.samples {
                    let Some(idx) = self.places.get(sample.key.as_str()).copied() else { continue };
                    if self.samples[idx].identity.is_none() && self.is_last_row(idx) {
                        n_left += 1;
                    } else {
                        self.drop(check, idx, finding, format!("{check}: {}", finding.message));
                    }
                }
            }
        }
        if n_left != 0 {
            self.notes.push(format!(
                "{} left to a person: the last row of a file holds the rest of it where a quote is never closed",
                counted(n_left, "unreadable row")
            ));
        }
    }

    /// Whether a sample is the last row of its file: where a quote is never closed, that row is the rest of the file.
    fn is_last_row(&self, idx: usize) -> bool {
        let sample = &self.samples[idx];
        sample.row.is_some() && self.samples.get(idx + 1).is_none_or(|it| it.file != sample.file)
    }

    /// The train side of leaks.
    fn leaks(&mut self, findings: &[Finding]) {
        let mut n_cut = 0_u64;
        for check in ["split-leak", "benchmark-contamination"] {
            // Samples that are alike go at once, by the first finding that names one of them.
            let mut handled = HashSet::new();
            for finding in findings.iter().filter(|it| it.check == check) {
                let matches = list(&finding.evidence, "matches");
                let listed = matches.len() as u64;
                n_cut += finding.evidence.get("n_matches").and_then(Json::as_u64).unwrap_or(0).saturating_sub(listed);
                let query = finding.samples.first().map_or("", |it| it.key.as_str());
                for it in matches {
                    let (Some(key), Some(rung)) = (text(it, "key"), text(it, "rung")) else { continue };
                    if rung == "semantic" && !self.options.semantic {
                        continue;
                    }
                    let Some(idx) = self.places.get(key).copied() else { continue };
                    let identity = self.samples[idx].widest_identity.as_deref();
                    let is_handled = identity.is_some_and(|it| !handled.insert((&self.samples[idx].split, it)));
                    if is_handled || !self.is_train_side(idx) {
                        continue;
                    }
                    let to = finding.samples.first().map_or("", |it| it.split.as_str());
                    let reason = match rung {
                        "semantic" => format!("{check}: close to `{query}` of {to}"),
                        "copy" => format!("{check}: a copy of `{query}` of {to}"),
                        level => format!("{check}: the same {} as `{query}` of {to}", phrase(level)),
                    };
                    for idx in self.alike(idx) {
                        self.drop(check, idx, finding, reason.clone());
                    }
                }
            }
        }
        if n_cut != 0 {
            self.notes.push(format!(
                "{n_cut} matches of leaks are not listed in the findings: audit again after applying to find what is left"
            ));
        }
    }

    /// Whether a sample is in a split that is not evaluated on.
    fn is_train_side(&self, idx: usize) -> bool {
        let role = self.roles.get(self.samples[idx].split.as_str());
        matches!(role, Some(SplitRole::Train | SplitRole::Validation))
    }

    /// A sample and those of its split that are the same at the widest level.
    fn alike(&self, idx: usize) -> Vec<usize> {
        let sample = &self.samples[idx];
        let key = sample.widest_identity.as_deref().map(|identity| (sample.split.as_str(), identity));
        key.and_then(|it| self.same.get(&it)).cloned().unwrap_or_else(|| vec![idx])
    }

    /// What is the same as another sample of its split.
    fn identical(&mut self, findings: &[Finding]) {
        for finding in findings.iter().filter(|it| it.check == "exact-duplicate") {
            let Some(suggestion) = finding.suggestion.as_ref().filter(|it| it.action == Action::Drop) else { continue };
            let kept: HashSet<&str> = finding
                .evidence
                .get("keep")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .filter(|key| !self.is_dropped(key))
                .collect();
            for key in &suggestion.keys {
                let Some(idx) = self.places.get(key.as_str()).copied() else { continue };
                let split = &self.samples[idx].split;
                let stays = finding.samples.iter().find(|it| kept.contains(it.key.as_str()) && it.split == *split);
                if let Some(stays) = stays {
                    let level = finding.evidence.get("level").and_then(Json::as_str).unwrap_or("bytes");
                    let reason = format!("exact-duplicate: the same {} as `{}`", phrase(level), stays.key);
                    self.drop("exact-duplicate", idx, finding, reason);
                }
            }
        }
    }

    /// What is a copy of the leader of its star.
    fn copies(&mut self, findings: &[Finding]) {
        let mut n_left = 0_usize;
        for finding in findings.iter().filter(|it| it.check == "near-duplicate") {
            let (Some(rung), Some(keep)) = (member(finding, "rung"), member(finding, "keep")) else { continue };
            let members = finding.samples.iter().filter(|it| it.key != keep);
            let mut labels = finding.samples.iter().map(|it| &it.label);
            let first = labels.next();
            let is_of_one_label = labels.all(|it| Some(it) == first);
            let is_suggested = finding.suggestion.as_ref().is_some_and(|it| it.action == Action::Drop);
            let is_clear = match rung {
                "copy" => is_suggested || self.is_image && is_of_one_label,
                _ => self.options.semantic && is_of_one_label,
            };
            // Where the leader goes, its members stay: they are alike with it, and not with each other.
            if !is_clear || self.is_dropped(keep) {
                n_left += usize::from(rung == "copy" || self.options.semantic);
                continue;
            }
            let alike = if rung == "copy" { "a copy of" } else { "close to" };
            let members: Vec<usize> = members.filter_map(|it| self.places.get(it.key.as_str()).copied()).collect();
            for idx in members {
                self.drop("near-duplicate", idx, finding, format!("near-duplicate: {alike} `{keep}`"));
            }
        }
        if n_left != 0 {
            self.notes.push(format!(
                "{n_left} groups of near duplicates are left to a person: their labels differ, copies differ in more than \
                 case, or the sample to keep goes for another reason"
            ));
        }
    }

    /// The labels that are most probably wrong, as many as are worth a review.
    fn labels(&mut self, audit: &v1::Audit, findings: &[Finding]) {
        let record = audit.checks.iter().find(|it| it.id == "label-error");
        let budget = record.and_then(|it| it.facts.get("to_review").copied()).unwrap_or(0);
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        for finding in findings.iter().filter(|it| it.check == "label-error").take(budget) {
            let Some(suggestion) = finding.suggestion.as_ref().filter(|it| it.action == Action::Relabel) else {
                continue;
            };
            for key in &suggestion.keys {
                let Some(idx) = self.places.get(key.as_str()).copied().filter(|_| !self.is_dropped(key)) else {
                    continue;
                };
                let action = (DecisionAction::Relabel, suggestion.label.clone());
                self.decide("label-error", idx, finding, action, format!("label-error: {}", finding.message));
            }
        }
    }

    fn finish(self, dataset_hash: String) -> Suggested {
        let by_check = CHECKS.iter().filter_map(|it| Some((*it, *self.by_check.get(it)?))).collect();
        let decisions = Decisions::new(dataset_hash, self.decisions.into_values().collect());
        Suggested { decisions, by_check, notes: self.notes }
    }
}

/// What is equal at a level of identity, in words.
fn phrase(level: &str) -> &str {
    use IdentityLevel::{Alphanumeric, Bytes, Folded, Pixels};
    let levels = [Bytes, Folded, Alphanumeric, Pixels];
    levels.into_iter().find(|it| it.id() == level).map_or(level, |it| it.phrase())
}

fn list<'a>(evidence: &'a serde_json::Map<String, Json>, name: &str) -> &'a [Json] {
    evidence.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Json, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Json::as_str)
}

fn member<'a>(finding: &'a Finding, name: &str) -> Option<&'a str> {
    finding.evidence.get(name).and_then(Json::as_str)
}
