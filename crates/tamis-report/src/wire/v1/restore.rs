//! From the wire back to the types of an audit, for what is shown or compared without auditing again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use tamis_core::{
    CheckResult, Dataset, Evidence, Filter, Fit, InputSpec, LabelId, Outcome, SampleId, SplitId, Standing, Value,
};

use super::audit::{Audit, CheckOutcome, CheckRecord, PixelsRecord, SplitRole};
use super::finding::{Action, Baseline, Confidence, Finding, Severity, Suggestion};
use crate::RenderOptions;

/// A name in a record that the record itself does not explain: it was changed by hand, or its files are of two runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}` in samples.parquet; the files of the record are not of one run")]
pub struct UnknownName {
    /// `sample`, `label` or `split`.
    pub what: &'static str,
    /// The name.
    pub name: String,
}

/// Finds samples, labels and splits by their names.
#[derive(Debug)]
pub struct Names<'a> {
    dataset: &'a Dataset,
    samples: BTreeMap<&'a str, SampleId>,
    labels: BTreeMap<&'a str, LabelId>,
}

impl<'a> Names<'a> {
    /// All names of `dataset`.
    #[must_use]
    pub fn new(dataset: &'a Dataset) -> Self {
        Self {
            dataset,
            samples: dataset.ids().map(|id| (dataset.key(id), id)).collect(),
            labels: (0..).map(LabelId).zip(dataset.label_names()).map(|(id, name)| (name.as_str(), id)).collect(),
        }
    }

    /// The sample with this key.
    ///
    /// # Errors
    /// When there is none.
    pub fn sample(&self, key: &str) -> Result<SampleId, UnknownName> {
        self.samples.get(key).copied().ok_or_else(|| UnknownName { what: "sample", name: key.to_owned() })
    }

    fn label(&self, name: &str) -> Result<LabelId, UnknownName> {
        self.labels.get(name).copied().ok_or_else(|| UnknownName { what: "label", name: name.to_owned() })
    }

    fn split(&self, name: &str) -> Result<SplitId, UnknownName> {
        let place = self.dataset.split_names().iter().position(|it| it == name);
        let place = place.and_then(|it| u16::try_from(it).ok());
        place.map(SplitId).ok_or_else(|| UnknownName { what: "split", name: name.to_owned() })
    }

    /// Evidence as it was, but for passages, which become [`Value::Quote`].
    ///
    /// # Errors
    /// When a name that stands for a sample is none.
    pub fn evidence(&self, object: &Map<String, Json>) -> Result<Evidence, UnknownName> {
        named(object, &|name, text| {
            Ok(match name {
                "common" => Value::Quote(text.to_owned()),
                name if Evidence::names_a_sample(name) => Value::Sample(self.sample(text)?),
                _ => Value::Text(text.to_owned()),
            })
        })
    }
}

/// The configuration as it was: no text in it stands for a sample.
///
/// # Panics
/// Never: no name is looked up.
#[must_use]
pub fn settings(object: &Map<String, Json>) -> Evidence {
    named(object, &|_, text| Ok(Value::from(text))).expect("because no name is looked up")
}

impl Audit {
    /// What `report.html` may hold, as it was configured; as usual where the record does not say.
    #[must_use]
    pub fn page(&self) -> RenderOptions {
        let usual = RenderOptions::default();
        let budget = self.config.get("report_budget").and_then(Json::as_u64).and_then(|it| usize::try_from(it).ok());
        let redact = self.config.get("redact").and_then(Json::as_bool);
        RenderOptions { budget: budget.unwrap_or(usual.budget), redact: redact.unwrap_or(usual.redact), ..usual }
    }
}

/// What a text under a name means.
type Meaning<'a> = &'a dyn Fn(&str, &str) -> Result<Value, UnknownName>;

fn named(object: &Map<String, Json>, meaning: Meaning<'_>) -> Result<Evidence, UnknownName> {
    let entry = |(name, json): (&String, &Json)| Ok((Cow::from(name.clone()), value(name, json, meaning)?));
    object.iter().map(entry).collect::<Result<_, _>>().map(Evidence)
}

fn value(name: &str, json: &Json, meaning: Meaning<'_>) -> Result<Value, UnknownName> {
    Ok(match json {
        Json::String(text) => meaning(name, text)?,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(items) => Value::List(items.iter().map(|it| value(name, it, meaning)).collect::<Result<_, _>>()?),
        Json::Object(object) => Value::Map(named(object, meaning)?),
        Json::Null => Value::Text(String::new()),
    })
}

impl Finding {
    /// The finding as its check gave it.
    ///
    /// # Errors
    /// When it names what is not in the dataset.
    pub fn restore(&self, names: &Names<'_>) -> Result<tamis_core::Finding, UnknownName> {
        let samples = self.samples.iter().map(|it| names.sample(&it.key));
        Ok(tamis_core::Finding {
            severity: self.severity.into(),
            confidence: self.confidence.into(),
            score: self.score,
            samples: samples.collect::<Result<_, _>>()?,
            message: self.message.clone(),
            evidence: names.evidence(&self.evidence)?,
            suggestion: self.suggestion.as_ref().map(|it| it.restore(names)).transpose()?,
        })
    }
}

impl Finding {
    /// How the finding stood.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            is_known: self.baseline.map(|it| it == Baseline::Known),
            suppressed: self
                .suppressed
                .as_ref()
                .map(|it| tamis_core::Suppressed { reason: it.reason.clone(), expires: it.expires.clone() }),
        }
    }
}

impl Suggestion {
    fn restore(&self, names: &Names<'_>) -> Result<tamis_core::Suggestion, UnknownName> {
        let ids: Vec<SampleId> = self.keys.iter().map(|key| names.sample(key)).collect::<Result<_, _>>()?;
        Ok(match (self.action, &self.label, &self.split, ids.as_slice()) {
            (Action::Drop, ..) => tamis_core::Suggestion::Drop(ids),
            (Action::Relabel, Some(label), _, [id]) => tamis_core::Suggestion::Relabel(*id, names.label(label)?),
            (Action::MoveSplit, _, Some(split), _) => tamis_core::Suggestion::MoveSplit(ids, names.split(split)?),
            _ => tamis_core::Suggestion::Review,
        })
    }
}

impl CheckRecord {
    /// What became of the check, with its findings; scores of samples stand elsewhere.
    ///
    /// # Errors
    /// When its details name what is not in the dataset.
    pub fn restore(&self, findings: Vec<tamis_core::Finding>, names: &Names<'_>) -> Result<Outcome, UnknownName> {
        let reason = || self.reason.clone().unwrap_or_default();
        let count = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
        Ok(match self.outcome {
            CheckOutcome::Skipped => Outcome::Skipped(reason()),
            CheckOutcome::Failed => Outcome::Failed(reason()),
            CheckOutcome::Ran => Outcome::Ran(CheckResult {
                findings,
                population: count(self.population.unwrap_or(0)),
                flagged: count(self.flagged.unwrap_or(0)),
                threshold: self.threshold,
                threshold_source: self.threshold_source.clone().unwrap_or_default(),
                facts: self.facts.iter().map(|(name, n)| (Cow::from(name.clone()), count(*n))).collect(),
                details: names.evidence(&self.details)?,
                scores: None,
                notes: self.notes.clone(),
                curve: self
                    .curve
                    .iter()
                    .map(|it| tamis_core::CurvePoint {
                        threshold: it.threshold,
                        flagged: count(it.flagged),
                        max_false: count(it.max_false),
                    })
                    .collect(),
            }),
        })
    }
}

impl PixelsRecord {
    /// The picture that the model sees; the margin of an inner crop is not recorded and comes back as none.
    #[must_use]
    pub fn restore(&self) -> InputSpec {
        let fits = [Fit::Stretch, Fit::CenterCrop, Fit::InnerCrop(self.side)];
        InputSpec {
            side: self.side,
            fit: fits.into_iter().find(|it| it.id() == self.fit).unwrap_or(Fit::Stretch),
            filter: if self.filter == Filter::Bicubic.id() { Filter::Bicubic } else { Filter::Bilinear },
        }
    }
}

impl From<Severity> for tamis_core::Severity {
    fn from(value: Severity) -> Self {
        match value {
            Severity::Info => Self::Info,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
        }
    }
}

impl From<SplitRole> for tamis_core::SplitRole {
    fn from(value: SplitRole) -> Self {
        match value {
            SplitRole::Train => Self::Train,
            SplitRole::Validation => Self::Validation,
            SplitRole::Test => Self::Test,
            SplitRole::Benchmark => Self::Benchmark,
            SplitRole::Reference => Self::Reference,
        }
    }
}

impl From<Confidence> for tamis_core::Confidence {
    fn from(value: Confidence) -> Self {
        match value {
            Confidence::Low => Self::Low,
            Confidence::Medium => Self::Medium,
            Confidence::High => Self::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;
    use crate::testing;

    #[test]
    fn findings_and_outcomes_come_back_as_they_were_written() {
        let fixture = testing::triaged_fixture();
        let report = fixture.report();
        let names = Names::new(&fixture.dataset);
        let audit = Audit::from_report(&report).unwrap();
        let written: Vec<Finding> = findings(&report).map(Result::unwrap).collect();
        let mut checks = Vec::new();
        for (record, check) in audit.checks.iter().zip(&fixture.checks) {
            let own = written.iter().filter(|it| it.check == record.id).map(|it| it.restore(&names).unwrap());
            let outcome = record.restore(own.collect(), &names).unwrap();
            checks.push(tamis_core::CheckReport { info: check.info, outcome });
        }
        let mut restored = testing::fixture();
        restored.checks = checks;
        restored.standings = written.iter().map(Finding::standing).collect();
        assert_eq!(Audit::from_report(&restored.report()).unwrap().checks, audit.checks);
        let again: Vec<Finding> = findings(&restored.report()).map(Result::unwrap).collect();
        assert_eq!(again, written);
    }

    #[test]
    fn an_unknown_sample_is_named() {
        let fixture = testing::fixture();
        let error = Names::new(&fixture.dataset).sample("gone").unwrap_err();
        assert!(error.to_string().starts_with("there is no sample `gone` in samples.parquet"), "{error}");
    }
}
