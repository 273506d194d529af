//! What `tamis diff` prints as JSON: how two versions of a dataset differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit::{CheckOutcome, DatasetRecord, ModelRecord, ToolRecord};
use super::finding::{SampleRef, Severity};

/// Value of [`Diff::schema`].
pub const DIFF_SCHEMA: &str = "tamis-diff/1";

/// How two versions of a dataset differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Name and version of this format: `tamis-diff/1`.
    pub schema: String,
    /// The program that compared them.
    pub tool: ToolRecord,
    /// The earlier version.
    pub before: VersionRecord,
    /// The later version.
    pub after: VersionRecord,
    /// Why findings of both versions may differ although the data do not: another model, threshold or version of the program.
    pub warnings: Vec<String>,
    /// What became of the samples.
    pub samples: SampleCounts,
    /// Samples of the later version only, at most 1,000 of them.
    pub added: Vec<SampleRef>,
    /// Samples of the earlier version only, at most 1,000 of them.
    pub removed: Vec<SampleRef>,
    /// Samples with the same key and another content, as they are now, at most 1,000 of them.
    pub changed: Vec<SampleRef>,
    /// Every check of either version.
    pub checks: Vec<CheckDiff>,
    /// How far distributions differ, largest effect first.
    pub drift: Vec<DriftRecord>,
    /// What is worse than before, or should be known, in the order of the checks, worst first.
    pub findings: Vec<ChangeRecord>,
}

/// One of two versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VersionRecord {
    /// The record or the data that were named.
    pub path: String,
    /// What was in it.
    pub dataset: DatasetRecord,
    /// The model of its audit.
    pub model: Option<ModelRecord>,
    /// The program of its audit.
    pub tool: ToolRecord,
}

/// Samples by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SampleCounts {
    /// The same content in both.
    pub same: u64,
    /// In the later version only.
    pub added: u64,
    /// In the earlier version only.
    pub removed: u64,
    /// The same key with another content.
    pub changed: u64,
    /// The same content in another split.
    pub moved: u64,
    /// The same content with another label.
    pub relabeled: u64,
    /// The same content under another key.
    pub renamed: u64,
}

/// One check in both versions. What did not run is null, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckDiff {
    /// Id of the check.
    pub id: String,
    /// What became of it before; null where it was not asked for.
    pub before: Option<Outcome>,
    /// What became of it after.
    pub after: Option<Outcome>,
    /// Findings about contents that it did not find before; null where it did not run twice.
    pub new: Option<u64>,
    /// Findings that it no longer has.
    pub gone: Option<u64>,
}

/// What became of a check, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// What became of it.
    pub outcome: CheckOutcome,
    /// Number of findings.
    pub findings: Option<u64>,
    /// Samples that some finding is about, as a share of those looked at.
    pub rate: Option<f64>,
    /// The number that decided.
    pub threshold: Option<f64>,
}

/// How far the distribution of a measure differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftRecord {
    /// What was measured.
    pub measure: String,
    /// `kolmogorov-smirnov`, `total-variation` or `maximum-mean-discrepancy`.
    pub statistic: String,
    /// Its value: 0 for no difference.
    pub effect: f64,
    /// By permutation; null where both versions hold the same.
    pub p_value: Option<f64>,
    /// Whether that is less than chance explains, at a false-discovery rate of 5 % over all measures.
    pub is_significant: bool,
    /// Mean before and after; null for what is no number.
    pub means: Option<[f64; 2]>,
    /// The category whose share changed most; null for what is no category.
    pub moved_most: Option<ShareRecord>,
    /// Samples with a value before and after.
    pub n: [u64; 2],
}

/// The share of a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareRecord {
    /// The category.
    pub value: String,
    /// Its share before.
    pub before: f64,
    /// Its share after.
    pub after: f64,
}

/// One thing that is worse than before, or should be known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeRecord {
    /// Id of the check of two versions.
    pub check: String,
    /// How bad.
    pub severity: Severity,
    /// One sentence for a person.
    pub message: String,
    /// Samples of the earlier version.
    pub before: Vec<SampleRef>,
    /// Samples of the later version.
    pub after: Vec<SampleRef>,
}

impl From<&tamis_core::Drift> for DriftRecord {
    fn from(drift: &tamis_core::Drift) -> Self {
        let share = |(value, before, after): &(String, f64, f64)| ShareRecord {
            value: value.clone(),
            before: *before,
            after: *after,
        };
        Self {
            measure: drift.measure.clone(),
            statistic: drift.statistic.to_owned(),
            effect: drift.effect,
            p_value: drift.p_value,
            is_significant: drift.is_significant,
            means: drift.means.map(|(before, after)| [before, after]),
            moved_most: drift.moved_most.as_ref().map(share),
            n: [drift.n.0 as u64, drift.n.1 as u64],
        }
    }
}
