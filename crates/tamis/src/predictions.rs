//! What a model said of samples, for the impact of leaks.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tamis_core::{Dataset, SampleId};

/// Predictions that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictionError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was found and what was expected.
        reason: String,
    },
}

/// The predictions of a file, one for each key.
#[derive(Debug)]
pub struct Predictions {
    path: PathBuf,
    /// By key: the line, from 1, and what it says.
    lines: BTreeMap<String, (usize, Said)>,
}

/// What a line says of a sample.
#[derive(Debug)]
enum Said {
    /// A metric.
    Metric(f64),
    /// A label, which is right where it is the sample's.
    Label(String),
}

/// The metric of samples that have one.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By sample.
    pub values: BTreeMap<SampleId, f64>,
    /// Keys that are those of no sample that was asked for, in the order of keys.
    pub unknown: Vec<String>,
}

/// Largest absolute value of a metric: sums of as many as there are samples stay finite.
const MAX_METRIC: f64 = 1e100;

impl Predictions {
    /// Reads a JSON object a line with `key` (a text or a number) and one of `correct` (true or false, 1 or 0), `score` (a
    /// number), or `prediction` (a label, to be compared with the sample's).
    ///
    /// # Errors
    /// When the file cannot be read, a line is not such an object, or a key is there twice.
    pub fn read(path: &Path) -> Result<Self, PredictionError> {
        let failed = |source| PredictionError::Read { path: path.to_owned(), source };
        let file = io::BufReader::new(std::fs::File::open(path).map_err(failed)?);
        let mut lines = BTreeMap::new();
        for (line, text) in (1..).zip(file.lines()) {
            let text = text.map_err(failed)?;
            if text.trim().is_empty() {
                continue;
            }
            let wrong = |reason: String| PredictionError::Line { path: path.to_owned(), line, reason };
            let (key, said) = parse(&text).map_err(wrong)?;
            if let Some((before, _)) = lines.insert(key.clone(), (line, said)) {
                return Err(wrong(format!("the key `{key}` was in line {before}, expected each once")));
            }
        }
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Finds the samples of the keys among `samples`.
    ///
    /// A sample whose key was taken by one before it, which got a number (`q1 #2`), is found by its own key (`q1`) too, if that
    /// is no key of the others here: a leaked sample often has the key of what it leaked from.
    ///
    /// # Errors
    /// When a label is given for a sample without one.
    pub fn of(&self, dataset: &Dataset, samples: &[SampleId]) -> Result<Metrics, PredictionError> {
        let mut by_key: HashMap<&str, Option<SampleId>> =
            samples.iter().map(|id| (dataset.key(*id), Some(*id))).collect();
        for id in samples {
            if let Some((own, number)) = dataset.key(*id).rsplit_once(" #")
                && number.bytes().all(|it| it.is_ascii_digit())
            {
                // Two of one key: neither is meant more than the other.
                by_key.entry(own).and_modify(|it| *it = it.filter(|it| dataset.key(*it) == own)).or_insert(Some(*id));
            }
        }
        let mut metrics = Metrics::default();
        for (key, (line, said)) in &self.lines {
            let Some(id) = by_key.get(key.as_str()).copied().flatten() else {
                metrics.unknown.push(key.clone());
                continue;
            };
            let wrong = |reason: &str| PredictionError::Line {
                path: self.path.clone(),
                line: *line,
                reason: reason.to_owned(),
            };
            let value = match said {
                Said::Metric(value) => *value,
                Said::Label(label) => {
                    let own = dataset.label_name(id);
                    let own =
                        own.ok_or_else(|| wrong("`prediction` needs a sample with a label to compare it with"))?;
                    f64::from(u8::from(label == own))
                }
            };
            metrics.values.insert(id, value);
        }
        Ok(metrics)
    }
}

fn parse(line: &str) -> Result<(String, Said), String> {
    let object: Json = serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let key = match &object["key"] {
        key @ (Json::String(_) | Json::Number(_)) => text(key),
        Json::Null => return Err("`key` is missing, expected the key of a sample".to_owned()),
        other => return Err(format!("`key` is {other}, expected a text or a number")),
    };
    let number = |value: &Json| value.as_f64().or_else(|| value.as_bool().map(|it| f64::from(u8::from(it))));
    if let Some(value) = object.get("correct") {
        let found = number(value).filter(|it| [0.0, 1.0].contains(it));
        return Ok((key, Said::Metric(found.ok_or_else(|| format!("`correct` is {value}, expected true or false"))?)));
    }
    if let Some(value) = object.get("score") {
        let found = number(value).filter(|it| it.abs() <= MAX_METRIC);
        let found = found.ok_or_else(|| format!("`score` is {value}, expected a number of at most 1e100"))?;
        return Ok((key, Said::Metric(found)));
    }
    let prediction = object.get("prediction").ok_or("expected one of `correct`, `score` and `prediction`")?;
    Ok((key, Said::Label(text(prediction))))
}
