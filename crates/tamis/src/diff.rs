//! Two records compared: sample by sample, check by check, measure by measure.

mod measures;

use serde_json::Value as Json;
use tamis_checks::DIFF_CHECKS;
use tamis_core::{Change, Dataset, DiffContext, Drift, Matching, Outcome, SampleId, Severity, Version};
use tamis_report::wire::v1::{self, ChangeRecord, CheckDiff, SampleRef, VersionOutcome, VersionRecord};

use crate::record::Record;

/// How two records differ.
#[derive(Debug)]
pub struct Diff<'a> {
    before: &'a Record,
    after: &'a Record,
    /// Which sample is which.
    pub matching: Matching,
    /// How far distributions differ, largest effect first.
    pub drifts: Vec<Drift>,
    /// What the checks of two versions found.
    pub changes: Vec<(&'static str, Vec<Change>)>,
    /// Why findings may differ although the data do not.
    pub warnings: Vec<String>,
}

/// Samples that each list of the JSON has at most.
const MAX_LISTED: usize = 1_000;

/// Compares the record of a later version with that of an earlier one.
///
/// O(n log n) time but for the permutation tests, which look at 20,000 samples at most.
#[must_use]
pub fn diff<'a>(before: &'a Record, after: &'a Record, seed: u64) -> Diff<'a> {
    let versions = [version(before), version(after)];
    let matching = Matching::new(&versions[0], &versions[1]);
    let mut warnings = warnings(before, after);
    let (drifts, missing) = measures::drifts(before, after, &matching, seed);
    warnings.extend(missing);
    let cx = DiffContext { before: versions[0], after: versions[1], matching: &matching, drifts: &drifts };
    let changes = DIFF_CHECKS.iter().map(|check| (check.info().id, check.run(&cx))).collect();
    Diff { before, after, matching, drifts, changes, warnings }
}

fn version(record: &Record) -> Version<'_> {
    let report = record.report();
    let (checks, standings) = (report.checks, report.standings);
    Version { dataset: report.dataset, fingerprints: report.fingerprints, checks, standings }
}

impl Diff<'_> {
    /// The highest severity among what was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.changes.iter().flat_map(|(_, changes)| changes).map(|change| change.severity).max()
    }

    /// The difference as it is printed; `paths` are what the user named.
    #[must_use]
    pub fn record(&self, paths: [String; 2]) -> v1::Diff {
        let [before, after] = paths;
        let list = |dataset: &Dataset, ids: &[SampleId]| -> Vec<SampleRef> {
            ids.iter().take(MAX_LISTED).map(|id| SampleRef::new(dataset, *id)).collect()
        };
        let (old, new) = (&self.before.dataset, &self.after.dataset);
        let changed: Vec<SampleId> = self.matching.changed.iter().map(|pair| pair.1).collect();
        let change = |(check, changes): &(&'static str, Vec<Change>)| {
            let of = |change: &Change| ChangeRecord {
                check: (*check).to_owned(),
                severity: change.severity.into(),
                message: change.message.clone(),
                before: list(old, &change.before),
                after: list(new, &change.after),
            };
            changes.iter().map(of).collect::<Vec<_>>()
        };
        v1::Diff {
            schema: v1::DIFF_SCHEMA.to_owned(),
            tool: v1::ToolRecord { name: "tamis".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            before: version_record(before, self.before),
            after: version_record(after, self.after),
            warnings: self.warnings.clone(),
            samples: self.counts(),
            added: list(new, &self.matching.added),
            removed: list(old, &self.matching.removed),
            changed: list(new, &changed),
            checks: self.checks(),
            drift: self.drifts.iter().map(v1::DriftRecord::from).collect(),
            findings: self.changes.iter().flat_map(change).collect(),
        }
    }

    fn counts(&self) -> v1::SampleCounts {
        let (old, new) = (&self.before.dataset, &self.after.dataset);
        let same = |differs: &dyn Fn(SampleId, SampleId) -> bool| {
            self.matching.same.iter().filter(|(a, b)| differs(*a, *b)).count() as u64
        };
        v1::SampleCounts {
            same: self.matching.same.len() as u64,
            added: self.matching.added.len() as u64,
            removed: self.matching.removed.len() as u64,
            changed: self.matching.changed.len() as u64,
            moved: same(&|a, b| old.split_name(a) != new.split_name(b)),
            relabeled: same(&|a, b| old.label_name(a) != new.label_name(b)),
            renamed: same(&|a, b| old.key(a) != new.key(b)),
        }
    }

    /// Every check of either version, those of the later one first.
    fn checks(&self) -> Vec<CheckDiff> {
        let [before, after] = [version(self.before), version(self.after)];
        let only_before = before.checks.iter().filter(|it| after.outcome(it.info.id).is_none());
        let all = after.checks.iter().chain(only_before);
        all.map(|check| {
            let id = check.info.id;
            let n_unmatched =
                |own: &Version<'_>, other: &Version<'_>| own.unmatched(other, check.info).map(|it| it.len() as u64);
            CheckDiff {
                id: id.to_owned(),
                before: before.outcome(id).map(outcome),
                after: after.outcome(id).map(outcome),
                new: n_unmatched(&after, &before),
                gone: n_unmatched(&before, &after),
            }
        })
        .collect()
    }
}

fn outcome(outcome: &Outcome) -> VersionOutcome {
    let (outcome, result) = match outcome {
        Outcome::Ran(result) => (v1::CheckOutcome::Ran, Some(result)),
        Outcome::Skipped(_) => (v1::CheckOutcome::Skipped, None),
        Outcome::Failed(_) => (v1::CheckOutcome::Failed, None),
    };
    VersionOutcome {
        outcome,
        findings: result.map(|it| it.findings.len() as u64),
        rate: result.and_then(|it| (0 < it.population).then(|| it.flagged as f64 / it.population as f64)),
        threshold: result.and_then(|it| it.threshold),
    }
}

fn version_record(path: String, record: &Record) -> VersionRecord {
    let audit = &record.audit;
    VersionRecord { path, dataset: audit.dataset.clone(), model: audit.model.clone(), tool: audit.tool.clone() }
}

/// Why a check did not run.
fn reason(check: &v1::CheckRecord) -> &str {
    check.reason.as_deref().unwrap_or("no reason given")
}

/// How a check was configured.
fn options<'a>(audit: &'a v1::Audit, id: &str) -> Option<&'a Json> {
    let checks = audit.config.get("checks")?.as_array()?;
    checks.iter().find(|it| it["id"] == id)?.get("options")
}

/// Why findings of both may differ although the data do not.
fn warnings(before: &Record, after: &Record) -> Vec<String> {
    let (old, new) = (&before.audit, &after.audit);
    let mut warnings = Vec::new();
    if old.tool.version != new.tool.version {
        warnings.push(format!("audited by tamis {} and {}", old.tool.version, new.tool.version));
    }
    match (&old.model, &new.model) {
        (Some(a), Some(b)) if a.weights_blake3 != b.weights_blake3 || a.dim != b.dim => {
            warnings.push(format!("vectors are of different models: {} and {}", a.id, b.id));
        }
        (Some(a), Some(b)) if a != b => warnings.push(format!("the model {} saw the samples in different ways", b.id)),
        _ => {}
    }
    if old.dtype != new.dtype || old.device != new.device {
        let place = |audit: &v1::Audit| {
            format!("{} in {}", audit.device.as_deref().unwrap_or("none"), audit.dtype.as_deref().unwrap_or("none"))
        };
        if old.model.is_some() && new.model.is_some() {
            warnings.push(format!("vectors were computed on {} and {}", place(old), place(new)));
        }
    }
    for check in &new.checks {
        let Some(other) = old.checks.iter().find(|it| it.id == check.id) else {
            warnings.push(format!("{} was not asked for before", check.id));
            continue;
        };
        match (other.outcome == v1::CheckOutcome::Ran, check.outcome == v1::CheckOutcome::Ran) {
            (true, false) => warnings.push(format!("{} ran before and did not now: {}", check.id, reason(check))),
            (false, true) => warnings.push(format!("{} did not run before: {}", check.id, reason(other))),
            _ => {}
        }
        if let (Some(a), Some(b)) = (other.threshold, check.threshold)
            && a != b
        {
            warnings.push(format!("{}: the threshold was {a:.4} and is {b:.4}", check.id));
        }
        if options(old, &check.id) != options(new, &check.id) {
            warnings.push(format!("{}: its options differ", check.id));
        }
    }
    let is_gone = |it: &&v1::CheckRecord| new.checks.iter().all(|other| other.id != it.id);
    warnings.extend(old.checks.iter().filter(is_gone).map(|it| format!("{} was not asked for now", it.id)));
    warnings
}
