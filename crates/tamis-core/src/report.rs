//! All that an output gets to see of an audit.

use std::path::PathBuf;

use crate::check::{CheckInfo, CheckResult, Severity};
use crate::fingerprint::{Digest, Fingerprints};
use crate::{Contents, Dataset, Evidence, Families, Finding, InputFile, InputSpec, PairSet, SampleId, SampleMap, text};

/// What became of a check.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ran.
    Ran(CheckResult),
    /// Something it needs is not there, e.g. the dataset has no labels. Said to the user as it stands.
    Skipped(String),
    /// It broke; the other checks still ran. The error chain as one line.
    Failed(String),
}

impl Outcome {
    /// Name in wire formats.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Ran(_) => "ran",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
        }
    }

    /// The findings; none where it did not run.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Ran(result) => &result.findings,
            Self::Skipped(_) | Self::Failed(_) => &[],
        }
    }
}

/// One check and what became of it.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The check.
    pub info: &'static CheckInfo,
    /// What became of it.
    pub outcome: Outcome,
}

/// Which model made the vectors.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Name in the catalogue, or the folder's name.
    pub id: String,
    /// Revision upstream; `None` for a local folder.
    pub revision: Option<String>,
    /// BLAKE3 of the weights file, hexadecimal.
    pub weights_blake3: String,
    /// Length of a vector.
    pub dim: usize,
    /// How much of a sample the model sees.
    pub input: ModelInput,
}

/// How much of a sample a model sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelInput {
    /// This many tokens of a text; the rest is not read.
    Tokens(usize),
    /// A picture scaled to this.
    Pixels(InputSpec),
}

/// Where the vectors were computed, and under which name they are kept.
#[derive(Clone, Debug)]
pub struct DeviceFacts {
    /// `cpu`, `cuda:0` ...
    pub device: String,
    /// `f32`, `f16` ...
    pub dtype: String,
    /// Hash of all that decides the vectors; names them in the store of the record.
    pub vectors: Digest,
}

/// Seconds spent in one stage; the only part of a report that may differ between equal runs.
#[derive(Clone, Debug)]
pub struct StageTime {
    /// What was done.
    pub stage: String,
    /// How many items went through.
    pub rows: usize,
    /// Wall seconds.
    pub seconds: f64,
    /// Items whose result was at hand already.
    pub reused: usize,
}

/// How a finding stands against what somebody has looked at before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is in the baseline, an earlier audit; `None` without one.
    pub is_known: Option<bool>,
    /// Why it does not count, where the configuration says so.
    pub suppressed: Option<Suppressed>,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// In the words of whoever decided it.
    pub reason: String,
    /// The day from which it counts again, as `2027-01-31`; `None` for never.
    pub expires: Option<String>,
}

/// A finding that nobody has looked at.
static OPEN: Standing = Standing { is_known: None, suppressed: None };

impl Standing {
    /// Whether the finding counts: it is neither suppressed nor known.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.suppressed.is_none() && self.is_known != Some(true)
    }
}

/// One whole audit.
#[derive(Debug)]
pub struct Report<'a> {
    /// Version of tamis that audited.
    pub version: &'a str,
    /// The command line, one entry per argument.
    pub command: Vec<String>,
    /// The effective configuration.
    pub config: Evidence,
    /// What was inferred while reading, and why; and what a reader must know. Sentences.
    pub notes: Vec<String>,
    /// The dataset.
    pub dataset: &'a Dataset,
    /// Lends the content of samples.
    pub contents: Contents<'a>,
    /// Its hashes.
    pub fingerprints: &'a Fingerprints,
    /// What must stay in one split, because identical samples and copies connect it.
    pub families: &'a Families,
    /// All pairs that were joined for some check.
    pub pairs: Vec<&'a PairSet>,
    /// Where each sample lies in the plane; `None` where no check needed neighbors.
    pub map: Option<&'a SampleMap>,
    /// The model; `None` where no check needed one.
    pub model: Option<ModelFacts>,
    /// The device; `None` where no check needed a model.
    pub device: Option<DeviceFacts>,
    /// The run's seed.
    pub seed: u64,
    /// Every check, in registry order.
    pub checks: &'a [CheckReport],
    /// How each finding stands, in the order of [`Report::findings`]; empty where there is neither a baseline nor a suppression.
    pub standings: &'a [Standing],
    /// Seconds per stage.
    pub timing: &'a [StageTime],
    /// The files written so far, without the record itself; their names are relative to `out`.
    pub outputs: &'a [InputFile],
    /// Where the record was written.
    pub out: PathBuf,
}

impl Report<'_> {
    /// All findings with the check they come from, in registry order.
    pub fn findings(&self) -> impl Iterator<Item = (&'static CheckInfo, &Finding)> {
        self.checks.iter().flat_map(|check| check.outcome.findings().iter().map(|it| (check.info, it)))
    }

    /// How the finding stands that comes at `idx` in [`Report::findings`].
    #[must_use]
    pub fn standing(&self, idx: usize) -> &Standing {
        self.standings.get(idx).unwrap_or(&OPEN)
    }

    /// All findings as [`Report::findings`] has them, with how each stands.
    pub fn triaged(&self) -> impl Iterator<Item = (&'static CheckInfo, &Finding, &Standing)> {
        self.findings().enumerate().map(|(idx, (info, finding))| (info, finding, self.standing(idx)))
    }

    /// How the findings of the check at `check` stand, in their order.
    pub fn standings_of(&self, check: usize) -> impl Iterator<Item = &Standing> {
        let n_findings = |it: &CheckReport| it.outcome.findings().len();
        let first: usize = self.checks[..check].iter().map(n_findings).sum();
        (first..first + n_findings(&self.checks[check])).map(|idx| self.standing(idx))
    }

    /// `n` words of a sample's text from the `first` on, as they stand there; as many as there are, and nothing where the text
    /// can no longer be read back: a report about data that has gone in the meantime is still a report.
    #[must_use]
    pub fn words(&self, id: SampleId, first: u32, n: u32) -> String {
        let Contents::Texts(texts) = self.contents else { return String::new() };
        let text = texts.text(id, usize::MAX).unwrap_or_default();
        let mut words = text::words(&text).skip(first as usize).take(n as usize);
        let Some(start) = words.next() else { return String::new() };
        let end = words.last().map_or(start.end, |it| it.end);
        text[start.start..end].to_owned()
    }

    /// The highest severity of findings that count.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.triaged().filter(|(_, _, standing)| standing.counts()).map(|(_, finding, _)| finding.severity).max()
    }
}

/// Wilson's 95 % interval for a rate of `hits` in `total`: `(low, high)`; `None` for an empty population.
///
/// Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), with z = 1.959964.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn wilson_interval(hits: usize, total: usize) -> Option<(f64, f64)> {
    if total == 0 {
        return None;
    }
    let (z, n) = (1.959_964_f64, total as f64);
    let p = hits as f64 / n;
    let center = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    let low = if hits == 0 { 0.0 } else { (center - spread) / scale };
    let high = if hits == total { 1.0 } else { (center + spread) / scale };
    Some((low, high))
}

/// An error with its causes on one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_matches_the_textbook() {
        // 10 of 100: (0.0552, 0.1744), e.g. Agresti and Coull, The American Statistician 52 (1998).
        let (low, high) = wilson_interval(10, 100).unwrap();
        assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson_interval(0, 10).unwrap().0, 0.0);
        assert_eq!(wilson_interval(0, 0), None);
    }
}
