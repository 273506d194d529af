//! `audit.json`: what was audited, with what, and what became of every check.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tamis_core::report::wilson_interval;
use tamis_core::{
    CheckResult, Dataset, Digest, IdentityLevel, ModelFacts, ModelInput, Outcome, Report, SampleId, Standing,
};

use super::{Finding, NotFinite, findings, finite, object};
use crate::overview::Tally;
use crate::prose;

/// Value of [`Audit::schema`].
pub const AUDIT_SCHEMA: &str = "tamis-audit/1";

/// The record of one audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// Name and version of this format: `tamis-audit/1`.
    pub schema: String,
    /// The program that wrote it.
    pub tool: ToolRecord,
    /// The command line, one entry per argument.
    pub command: Vec<String>,
    /// The effective configuration.
    pub config: Map<String, Json>,
    /// The files that were read.
    pub inputs: Vec<InputRecord>,
    /// What was in them.
    pub dataset: DatasetRecord,
    /// The model that made the vectors; null where no check needed one.
    pub model: Option<ModelRecord>,
    /// Where the vectors were computed, e.g. `cpu`; null without a model.
    pub device: Option<String>,
    /// Number type of that computation, e.g. `f32`; null without a model.
    pub dtype: Option<String>,
    /// Hash of all that decides the vectors, in hexadecimal: what holds them in the store is named after it; null without a model.
    pub vectors: Option<String>,
    /// Seed of the run.
    pub seed: u64,
    /// What was inferred while reading, and what a reader must know.
    pub notes: Vec<String>,
    /// Every check, in a fixed order.
    pub checks: Vec<CheckRecord>,
    /// The other files of the record.
    pub outputs: Vec<InputRecord>,
    /// Seconds per stage: the only part that may differ between equal runs.
    pub timing: Vec<StageRecord>,
}

/// An [`Audit`] together with all its findings: the output `json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullAudit {
    /// The record.
    #[serde(flatten)]
    pub audit: Audit,
    /// Every finding of every check.
    pub findings: Vec<Finding>,
}

/// The program that wrote a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRecord {
    /// `tamis`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputRecord {
    /// Path as it was given or found.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the bytes in hexadecimal; null where the file could not be read.
    pub blake3: Option<String>,
    /// The format that it was read in; not there where it was not read as samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Its columns that mean something by what they were taken for: `id`, `text`, `image`, `label`, `split`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Vec<String>>,
}

/// What was audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetRecord {
    /// BLAKE3 over key, content, split and label of every sample in reading order, hexadecimal.
    pub hash: String,
    /// `text`.
    pub modality: String,
    /// Number of samples, readable or not.
    pub n_samples: u64,
    /// How many samples are in which state.
    pub states: StateCounts,
    /// The splits, in the order they were first seen.
    pub splits: Vec<SplitRecord>,
    /// The given labels, in the order they were first seen; unlabeled samples are in none.
    pub labels: Vec<LabelRecord>,
}

/// Samples by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCounts {
    /// Read, with something in them.
    pub ok: u64,
    /// Read, with nothing but white space in them.
    pub empty: u64,
    /// Not readable.
    pub unreadable: u64,
}

/// One split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplitRecord {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: SplitRole,
    /// Number of its samples.
    pub samples: u64,
}

/// What a split is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitRole {
    /// Seen in training.
    Train,
    /// Used for choices.
    Validation,
    /// Used for reported results.
    Test,
    /// A public test set.
    Benchmark,
    /// Known to be clean.
    Reference,
}

impl From<tamis_core::SplitRole> for SplitRole {
    fn from(value: tamis_core::SplitRole) -> Self {
        match value {
            tamis_core::SplitRole::Train => Self::Train,
            tamis_core::SplitRole::Validation => Self::Validation,
            tamis_core::SplitRole::Test => Self::Test,
            tamis_core::SplitRole::Benchmark => Self::Benchmark,
            tamis_core::SplitRole::Reference => Self::Reference,
        }
    }
}

/// One given label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRecord {
    /// Its name.
    pub name: String,
    /// Number of samples that have it.
    pub samples: u64,
}

/// The model that made the vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRecord {
    /// Name in the catalogue, or the folder's name.
    pub id: String,
    /// Revision upstream; null for a local folder.
    pub revision: Option<String>,
    /// BLAKE3 of the weights file in hexadecimal.
    pub weights_blake3: String,
    /// Length of a vector.
    pub dim: u64,
    /// Tokens of a text that the model reads; null for a model of images.
    pub max_tokens: Option<u64>,
    /// The picture that the model sees; null for a model of texts.
    pub pixels: Option<PixelsRecord>,
}

/// The picture that a model of images sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PixelsRecord {
    /// Width and height.
    pub side: u32,
    /// How a picture that is not square becomes one: `stretch` or `center-crop`.
    pub fit: String,
    /// How pixels are averaged: `bilinear` or `bicubic`.
    pub filter: String,
}

/// One check and what became of it. What a check that did not run would have counted is null, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRecord {
    /// Id of the check.
    pub id: String,
    /// What became of it.
    pub outcome: CheckOutcome,
    /// Why it did not run; null where it did.
    pub reason: Option<String>,
    /// Number of findings.
    pub findings: Option<u64>,
    /// Number of findings of each severity.
    pub by_severity: Option<SeverityCounts>,
    /// Number of those findings that are suppressed.
    #[serde(default)]
    pub suppressed: Option<u64>,
    /// Number of the others that the baseline has too; null without a baseline, and where the audit has no finding at all.
    #[serde(default)]
    pub known: Option<u64>,
    /// Number of samples looked at: the denominator of `rate`.
    pub population: Option<u64>,
    /// Number of those samples that some finding is about.
    pub flagged: Option<u64>,
    /// `flagged / population`; null for an empty population.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of `rate`: low and high.
    pub interval: Option<[f64; 2]>,
    /// The number that decided; null where none did.
    pub threshold: Option<f64>,
    /// Where that number comes from, or what decided in its place; null where the check does not say.
    pub threshold_source: Option<String>,
    /// Further counts of the check by name, in its order.
    pub facts: IndexMap<String, u64>,
    /// Further numbers and tables of the check; each check's page says which.
    #[serde(default)]
    pub details: Map<String, Json>,
    /// What a reader must know to judge the findings.
    pub notes: Vec<String>,
    /// What other thresholds would flag; empty where the check has no clean reference.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
}

/// What another threshold would flag.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Smallest score that is flagged.
    pub threshold: f64,
    /// Samples that are.
    pub flagged: u64,
    /// Upper bound of those that are clean in truth, for all thresholds at once with 95 % confidence.
    pub max_false: u64,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// It ran.
    Ran,
    /// Something it needs is not there.
    Skipped,
    /// It broke.
    Failed,
}

/// Findings by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeverityCounts {
    /// Worth knowing.
    pub info: u64,
    /// Costs quality.
    pub low: u64,
    /// Biases training or evaluation.
    pub medium: u64,
    /// Makes a reported result wrong.
    pub high: u64,
}

/// Time spent in one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageRecord {
    /// What was done.
    pub stage: String,
    /// How many items went through.
    pub rows: u64,
    /// Wall seconds.
    pub seconds: f64,
    /// Items whose result was at hand already.
    pub reused: u64,
}

impl Audit {
    /// Records a report. Time and memory are linear in the number of samples, without their content.
    ///
    /// # Errors
    /// When the configuration, a threshold or a duration is not finite.
    pub fn from_report(report: &Report<'_>) -> Result<Self, NotFinite> {
        let device = report.device.as_ref();
        Ok(Self {
            schema: AUDIT_SCHEMA.to_owned(),
            tool: ToolRecord { name: "tamis".to_owned(), version: report.version.to_owned() },
            command: report.command.clone(),
            config: object(report, "config", &report.config)?,
            inputs: report.dataset.files().iter().map(InputRecord::new).collect(),
            dataset: DatasetRecord::new(report),
            model: report.model.as_ref().map(ModelRecord::new),
            device: device.map(|it| it.device.clone()),
            dtype: device.map(|it| it.dtype.clone()),
            vectors: device.map(|it| it.vectors.to_hex()),
            seed: report.seed,
            notes: report.notes.clone(),
            checks: (0..report.checks.len()).map(|idx| CheckRecord::new(report, idx)).collect::<Result<_, _>>()?,
            outputs: report.outputs.iter().map(InputRecord::new).collect(),
            timing: report.timing.iter().map(StageRecord::new).collect::<Result<_, _>>()?,
        })
    }
}

impl FullAudit {
    /// Records a report and all its findings; memory grows with their number.
    ///
    /// # Errors
    /// When the report holds a number that is not finite.
    pub fn from_report(report: &Report<'_>) -> Result<Self, NotFinite> {
        Ok(Self { audit: Audit::from_report(report)?, findings: findings(report).collect::<Result<_, _>>()? })
    }
}

impl InputRecord {
    fn new(file: &tamis_core::InputFile) -> Self {
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (role, name) in &file.columns {
            columns.entry(role.id().to_owned()).or_default().push(name.clone());
        }
        Self {
            path: file.path.display().to_string(),
            size: file.size_bytes,
            blake3: file.blake3.clone(),
            format: file.format.clone(),
            columns,
        }
    }
}

impl DatasetRecord {
    /// Counts and hashes a dataset.
    #[must_use]
    pub fn new(report: &Report<'_>) -> Self {
        let dataset = report.dataset;
        let tally = Tally::new(dataset);
        let states =
            StateCounts { ok: tally.ok as u64, empty: tally.empty as u64, unreadable: tally.unreadable as u64 };
        let split = |(idx, (name, samples)): (u16, (&String, &usize))| SplitRecord {
            name: name.clone(),
            role: dataset.split_role(tamis_core::SplitId(idx)).into(),
            samples: *samples as u64,
        };
        let label = |(name, samples): (&String, &usize)| LabelRecord { name: name.clone(), samples: *samples as u64 };
        Self {
            hash: dataset_hash(dataset, |id| report.fingerprints.digest(id, IdentityLevel::Bytes)),
            modality: report.contents.modality().id().to_owned(),
            n_samples: dataset.len() as u64,
            states,
            splits: (0..).zip(dataset.split_names().iter().zip(&tally.splits)).map(split).collect(),
            labels: dataset.label_names().iter().zip(&tally.labels).map(label).collect(),
        }
    }
}

/// Hashes what the checks can see of each sample, in reading order; `content` is the hash of a sample's bytes, `None` where
/// it could not be read. Variable-length fields carry their length.
#[must_use]
pub fn dataset_hash(dataset: &Dataset, content: impl Fn(SampleId) -> Option<Digest>) -> String {
    fn field(hasher: &mut blake3::Hasher, bytes: Option<&[u8]>) {
        let len = bytes.map_or(u64::MAX, |it| it.len() as u64);
        hasher.update(&len.to_le_bytes());
        hasher.update(bytes.unwrap_or_default());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"tamis-dataset/1\n");
    for id in dataset.ids() {
        let digest = content(id);
        field(&mut hasher, Some(dataset.key(id).as_bytes()));
        field(&mut hasher, digest.as_ref().map(|it| it.0.as_slice()));
        field(&mut hasher, Some(dataset.split_name(id).as_bytes()));
        field(&mut hasher, dataset.label_name(id).map(str::as_bytes));
    }
    hasher.finalize().to_hex().to_string()
}

impl ModelRecord {
    fn new(model: &ModelFacts) -> Self {
        Self {
            id: model.id.clone(),
            revision: model.revision.clone(),
            weights_blake3: model.weights_blake3.clone(),
            dim: model.dim as u64,
            max_tokens: match model.input {
                ModelInput::Tokens(n) => Some(n as u64),
                ModelInput::Pixels(_) => None,
            },
            pixels: match model.input {
                ModelInput::Tokens(_) => None,
                ModelInput::Pixels(it) => {
                    Some(PixelsRecord { side: it.side, fit: it.fit.id().to_owned(), filter: it.filter.id().to_owned() })
                }
            },
        }
    }
}

impl CurvePoint {
    fn new(check: &str, point: &tamis_core::CurvePoint) -> Result<Self, NotFinite> {
        Ok(Self {
            threshold: finite(check, "curve", point.threshold)?,
            flagged: point.flagged as u64,
            max_false: point.max_false as u64,
        })
    }
}

impl CheckRecord {
    fn new(report: &Report<'_>, idx: usize) -> Result<Self, NotFinite> {
        let check = &report.checks[idx];
        match &check.outcome {
            Outcome::Ran(result) => Self::ran(report, check.info.id, result).map(|it| it.triaged(report, idx)),
            Outcome::Skipped(reason) => Ok(Self::not_run(check.info.id, CheckOutcome::Skipped, reason)),
            Outcome::Failed(reason) => Ok(Self::not_run(check.info.id, CheckOutcome::Failed, reason)),
        }
    }

    fn ran(report: &Report<'_>, id: &str, result: &CheckResult) -> Result<Self, NotFinite> {
        let interval = wilson_interval(result.flagged, result.population);
        Ok(Self {
            id: id.to_owned(),
            outcome: CheckOutcome::Ran,
            reason: None,
            findings: Some(result.findings.len() as u64),
            by_severity: Some(SeverityCounts::new(result)),
            suppressed: None,
            known: None,
            population: Some(result.population as u64),
            flagged: Some(result.flagged as u64),
            rate: prose::rate(result.flagged, result.population),
            interval: interval.map(|(low, high)| [low, high]),
            threshold: result.threshold.map(|it| finite(id, "threshold", it)).transpose()?,
            threshold_source: (!result.threshold_source.is_empty()).then(|| result.threshold_source.clone()),
            facts: result.facts.iter().map(|(name, count)| (name.to_string(), *count as u64)).collect(),
            details: object(report, id, &result.details)?,
            notes: result.notes.clone(),
            curve: result.curve.iter().map(|it| CurvePoint::new(id, it)).collect::<Result<_, _>>()?,
        })
    }

    /// Adds how the findings of the check at `idx` stand.
    fn triaged(mut self, report: &Report<'_>, idx: usize) -> Self {
        let count = |is_meant: fn(&Standing) -> bool| report.standings_of(idx).filter(|it| is_meant(it)).count() as u64;
        self.suppressed = Some(count(|it| it.suppressed.is_some()));
        let has_baseline = report.standings.first().is_some_and(|it| it.is_known.is_some());
        self.known = has_baseline.then(|| count(|it| it.suppressed.is_none() && it.is_known == Some(true)));
        self
    }

    fn not_run(id: &str, outcome: CheckOutcome, reason: &str) -> Self {
        Self {
            id: id.to_owned(),
            outcome,
            reason: Some(reason.to_owned()),
            findings: None,
            by_severity: None,
            suppressed: None,
            known: None,
            population: None,
            flagged: None,
            rate: None,
            interval: None,
            threshold: None,
            threshold_source: None,
            facts: IndexMap::new(),
            details: Map::new(),
            notes: Vec::new(),
            curve: Vec::new(),
        }
    }
}

impl SeverityCounts {
    fn new(result: &CheckResult) -> Self {
        let mut counts = Self::default();
        for finding in &result.findings {
            match finding.severity {
                tamis_core::Severity::Info => counts.info += 1,
                tamis_core::Severity::Low => counts.low += 1,
                tamis_core::Severity::Medium => counts.medium += 1,
                tamis_core::Severity::High => counts.high += 1,
            }
        }
        counts
    }
}

impl StageRecord {
    fn new(stage: &tamis_core::StageTime) -> Result<Self, NotFinite> {
        Ok(Self {
            stage: stage.stage.clone(),
            rows: stage.rows as u64,
            seconds: finite("timing", &stage.stage, stage.seconds)?,
            reused: stage.reused as u64,
        })
    }
}
