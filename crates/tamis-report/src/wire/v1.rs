//! Version 1 of `findings.jsonl`, `audit.json`, `decisions.jsonl`, `tamis-manifest.json`, and what `tamis labels` and
//! `tamis diff` print.
//!
//! Keys are written in the order of the fields below, and the types read back what they write. A number that is not
//! finite has no place in JSON; it is an error of the check that gave it, never a silent `null`.

mod audit;

mod decision;

mod diff;

mod finding;

mod labels;

mod manifest;

mod restore;

use std::borrow::Cow;
use std::io;

use serde_json::{Map, Value as Json};
use tamis_core::{Evidence, Report, Value};

pub use audit::{
    AUDIT_SCHEMA, Audit, CheckOutcome, CheckRecord, CurvePoint, DatasetRecord, FullAudit, InputRecord, LabelRecord,
    ModelRecord, PixelsRecord, SeverityCounts, SplitRecord, SplitRole, StageRecord, StateCounts, ToolRecord,
    dataset_hash,
};
pub use decision::{
    BadDecisions, DECISIONS_SCHEMA, Decision, DecisionAction, DecisionLine, Decisions, DecisionsHeader,
};
pub use diff::{
    ChangeRecord, CheckDiff, DIFF_SCHEMA, Diff, DriftRecord, Outcome as VersionOutcome, SampleCounts, ShareRecord,
    VersionRecord,
};
pub use finding::{
    Action, Baseline, Confidence, Finding, SampleRef, Severity, Suggestion, Suppressed, findings, fingerprints,
};
pub use labels::{
    Array, ClassNoiseRecord, ConfidentCounts, ConfusionRecord, EvidenceRecord, LABELS_SCHEMA, LabelCounts, Labels,
    RateRecord, ReviewRecord,
};
pub use manifest::{
    ActionCounts, DecisionsFileRecord, FileChange, MANIFEST_SCHEMA, Manifest, ParentRecord, ResplitRecord, SplitChange,
};
pub use restore::{Names, UnknownName, settings};

use crate::RenderError;

/// A number that JSON cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` of {owner} is not a finite number")]
pub struct NotFinite {
    /// The check, or `config`.
    pub owner: String,
    /// The key it stands under.
    pub name: String,
}

/// Writes `findings.jsonl`: every finding of every check in full, one object a line, in registry order.
///
/// # Errors
/// When `out` cannot be written to, or a check gave a number that is not finite.
pub fn write_findings(report: &Report<'_>, out: &mut dyn io::Write) -> Result<(), RenderError> {
    for finding in findings(report) {
        serde_json::to_writer(&mut *out, &finding?)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes `audit.json`, indented.
///
/// # Errors
/// When `out` cannot be written to, or the report holds a number that is not finite.
pub fn write_audit(report: &Report<'_>, out: &mut dyn io::Write) -> Result<(), RenderError> {
    serde_json::to_writer_pretty(&mut *out, &Audit::from_report(report)?)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Named values as a JSON object, in their order; a sample becomes its key.
fn object(report: &Report<'_>, owner: &str, evidence: &Evidence) -> Result<Map<String, Json>, NotFinite> {
    let entry = |(name, value): &(Cow<'static, str>, Value)| Ok((name.to_string(), json(report, owner, name, value)?));
    evidence.0.iter().map(entry).collect()
}

fn json(report: &Report<'_>, owner: &str, name: &str, value: &Value) -> Result<Json, NotFinite> {
    Ok(match value {
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(finite(owner, name, *number)?),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bool(flag) => Json::from(*flag),
        Value::Sample(id) => Json::from(report.dataset.key(*id)),
        Value::Words(id, first, n) => Json::from(report.words(*id, *first, *n)),
        Value::Quote(text) => Json::from(text.as_str()),
        Value::List(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(|it| json(report, owner, name, it)).collect();
            Json::from(values?)
        }
        Value::Map(evidence) => Json::from(object(report, owner, evidence)?),
    })
}

pub(crate) fn finite(owner: &str, name: &str, number: f64) -> Result<f64, NotFinite> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(NotFinite { owner: owner.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::{JsonSchema, schema_for};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::testing;

    fn jsonl() -> String {
        let fixture = testing::fixture();
        let mut out = Vec::new();
        write_findings(&fixture.report(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn audit_json() -> String {
        let fixture = testing::fixture();
        let mut out = Vec::new();
        write_audit(&fixture.report(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Asserts that reading `text` as a `T` and writing it again gives the same JSON.
    fn round_trip<T: DeserializeOwned + serde::Serialize>(text: &str) {
        let read: T = serde_json::from_str(text).unwrap();
        let original: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), original);
    }

    #[test]
    fn findings_read_back_as_they_were_written() {
        let text = jsonl();
        assert_eq!(text.lines().count(), testing::fixture().report().findings().count());
        text.lines().for_each(round_trip::<Finding>);
    }

    #[test]
    fn findings_are_pinned() {
        insta::assert_snapshot!(jsonl());
    }

    #[test]
    fn audit_reads_back_as_it_was_written() {
        round_trip::<Audit>(&audit_json());
    }

    #[test]
    fn audit_is_pinned() {
        insta::assert_snapshot!(audit_json());
    }

    #[test]
    fn a_number_that_is_not_finite_is_named() {
        let evidence = Evidence::new().with("inner", Evidence::new().with("cosine", f64::NAN));
        let fixture = testing::fixture();
        let error = object(&fixture.report(), "outlier", &evidence).unwrap_err();
        assert_eq!(error.to_string(), "`cosine` of outlier is not a finite number");
    }

    /// `UPDATE=1 cargo test --release --workspace schemas` writes the schemas; otherwise they are compared.
    #[test]
    fn schemas_in_the_tree_are_up_to_date() {
        compare_schema::<Audit>("audit.v1.json");
        compare_schema::<Finding>("finding.v1.json");
        compare_schema::<Labels>("labels.v1.json");
        compare_schema::<Diff>("diff.v1.json");
        compare_schema::<DecisionLine>("decision.v1.json");
        compare_schema::<Manifest>("manifest.v1.json");
    }

    fn compare_schema<T: JsonSchema>(name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
        let generated = serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == generated,
            "docs/schema/{name} is stale: run UPDATE=1 cargo test --release --workspace schemas"
        );
    }
}
