//! What an audit measured, under the names of others.
//!
//! The names are those by which ISO/IEC 5259-2 and the NIST AI Risk Management Framework call such measures, given so that a
//! reader finds them; that a number is computed as the standard wants it is not claimed.

use serde_json::Value as Json;
use tamis_core::report::wilson_interval;

use super::{share, whole};
use crate::prose::{count, counted, interval, number, percent};
use crate::wire::v1::{Audit, CheckOutcome, CheckRecord};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// What is measured.
    pub name: &'static str,
    /// The number, or why there is none.
    pub value: Measured,
    /// Code and name in ISO/IEC 5259-2; empty where it has none.
    pub iso: &'static str,
    /// Subcategory of the NIST AI RMF.
    pub nist: &'static str,
}

/// A number with what it is a part of, or why there is none. What was not measured is never zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// It was measured.
    Value {
        /// The number in words.
        value: String,
        /// What it is a part of.
        denominator: String,
        /// How sure it is.
        interval: String,
    },
    /// It could have been, and was not.
    NotMeasured(String),
    /// It has no meaning for these data.
    NotApplicable(String),
}

const COUNTED: &str = "none: all were counted";

/// All rows, in a fixed order. `n_independent` is the number of families among the samples that can be read.
#[must_use]
pub fn measures(audit: &Audit, n_independent: u64) -> Vec<Measure> {
    let measure =
        |Row { name, iso, nist, value }: &Row| Measure { name, value: value(audit, n_independent), iso, nist };
    ROWS.iter().map(measure).collect()
}

/// A measure that can be taken: its names, and how.
struct Row {
    name: &'static str,
    iso: &'static str,
    nist: &'static str,
    /// From the record and the number of families.
    value: fn(&Audit, u64) -> Measured,
}

static ROWS: [Row; 21] = [
    Row {
        name: "labels that are right, estimated",
        iso: "Acc-ML-7 data label accuracy",
        nist: "MAP 2.3",
        value: |audit, _| label_accuracy(audit),
    },
    Row {
        name: "samples that can be read",
        iso: "Acc-ML-1 syntactic data accuracy",
        nist: "MAP 2.3",
        value: |audit, _| rate_of(audit, "unreadable-sample", Part::Unflagged),
    },
    Row {
        name: "samples far from all others",
        iso: "Acc-ML-4 risk of dataset inaccuracy",
        nist: "MEASURE 3.1",
        value: |audit, _| rate_of(audit, "outlier", Part::Flagged),
    },
    Row {
        name: "records with something in them",
        iso: "Com-ML-4 data record completeness",
        nist: "MAP 2.3",
        value: |audit, _| completeness(audit),
    },
    Row {
        name: "samples with a label",
        iso: "Com-ML-5 data label completeness",
        nist: "MAP 2.3",
        value: |audit, _| labeled(audit),
    },
    Row {
        name: "samples that stand there more than once",
        iso: "Con-ML-1 data record consistency",
        nist: "MAP 2.3",
        value: |audit, _| rate_of(audit, "exact-duplicate", Part::Flagged),
    },
    Row {
        name: "samples with a near copy in their split",
        iso: "Con-ML-1 data record consistency",
        nist: "MAP 2.3",
        value: |audit, _| rate_of(audit, "near-duplicate", Part::Flagged),
    },
    Row {
        name: "samples without an identical one of another label",
        iso: "Con-ML-2 data label consistency",
        nist: "MAP 2.3",
        value: |audit, _| rate_of(audit, "conflicting-labels", Part::Unflagged),
    },
    Row {
        name: "families of identical samples and copies",
        iso: "Sim-ML-1 sample similarity",
        nist: "MAP 2.3",
        value: families,
    },
    Row {
        name: "distance of the labels from equal shares",
        iso: "Bal-ML-8 label distribution balance",
        nist: "MEASURE 2.11",
        value: |audit, _| imbalance(audit),
    },
    Row { name: "labels", iso: "Div-ML-1 label richness", nist: "MEASURE 2.11", value: |audit, _| richness(audit) },
    Row {
        name: "evaluated samples that stand in the training data",
        iso: "",
        nist: "MEASURE 2.1",
        value: |audit, _| rate_of(audit, "split-leak", Part::Flagged),
    },
    Row {
        name: "benchmark samples that stand in the training data",
        iso: "",
        nist: "MEASURE 2.1",
        value: |audit, _| rate_of(audit, "benchmark-contamination", Part::Flagged),
    },
    Row {
        name: "brightness by label",
        iso: "Bal-ML-1 brightness balance",
        nist: "MEASURE 2.11",
        value: |audit, _| of_pictures(audit),
    },
    Row {
        name: "resolution by label",
        iso: "Bal-ML-2 resolution balance",
        nist: "MEASURE 2.11",
        value: |audit, _| of_pictures(audit),
    },
    Row {
        name: "labels with enough samples",
        iso: "Eft-ML-2 category size effectiveness",
        nist: "MAP 2.3",
        value: |_, _| not_applicable("nobody said how many are enough"),
    },
    Row {
        name: "share of the target population",
        iso: "Rep-ML-1 representativeness",
        nist: "MEASURE 2.11",
        value: |_, _| not_applicable("no target population was named"),
    },
    Row {
        name: "age of the data",
        iso: "Cur-ML-1 currentness",
        nist: "MAP 2.3",
        value: |_, _| not_applicable("no range of dates was named"),
    },
    Row {
        name: "samples with personal data",
        iso: "Idn-ML-1 identifiability",
        nist: "MEASURE 2.10",
        value: |_, _| not_measured("no check looks for it"),
    },
    Row {
        name: "samples that a person reviewed",
        iso: "Aud-ML-1 audited records",
        nist: "MEASURE 1.1",
        value: |_, _| not_measured("an audit knows of no reviews"),
    },
    Row {
        name: "origin, trust, rights, cost of the data",
        iso: "Tra-ML, Cre-ML, Rel-ML",
        nist: "MAP 4.1",
        value: |_, _| not_applicable("not computable from data alone"),
    },
];

fn completeness(audit: &Audit) -> Measured {
    match audit.dataset.modality.as_str() {
        "text" => rate_of(audit, "empty-text", Part::Unflagged),
        _ => not_applicable("a picture that can be read is not empty"),
    }
}

fn of_pictures(audit: &Audit) -> Measured {
    match audit.dataset.modality.as_str() {
        "text" => not_applicable("the samples are texts"),
        _ => not_measured("no check looks at it"),
    }
}

fn not_applicable(why: &str) -> Measured {
    Measured::NotApplicable(why.to_owned())
}

fn not_measured(why: &str) -> Measured {
    Measured::NotMeasured(why.to_owned())
}

/// Which samples of a check are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Flagged,
    Unflagged,
}

/// The result of a check, or why there is none.
pub(super) fn ran<'a>(audit: &'a Audit, id: &str) -> Result<&'a CheckRecord, Measured> {
    let Some(check) = audit.checks.iter().find(|it| it.id == id) else {
        return Err(Measured::NotMeasured(format!("the check {id} was not asked for")));
    };
    let reason = check.reason.clone().unwrap_or_default();
    match check.outcome {
        CheckOutcome::Ran => Ok(check),
        CheckOutcome::Skipped => Err(Measured::NotMeasured(format!("the check {id} was skipped: {reason}"))),
        CheckOutcome::Failed => Err(Measured::NotMeasured(format!("the check {id} failed: {reason}"))),
    }
}

/// The share of samples that a check flags, or of those that it does not.
fn rate_of(audit: &Audit, id: &str, part: Part) -> Measured {
    let check = match ran(audit, id) {
        Ok(check) => check,
        Err(none) => return none,
    };
    let (flagged, population) = (check.flagged.unwrap_or(0), check.population.unwrap_or(0));
    let n = if part == Part::Flagged { flagged } else { population.saturating_sub(flagged) };
    part_of(n, population, "samples that the check looked at")
}

/// `n` of `total`, with Wilson's interval.
fn part_of(n: u64, total: u64, what: &str) -> Measured {
    match wilson_interval(whole(n), whole(total)) {
        None => Measured::NotApplicable(format!("there are no {what}")),
        Some((low, high)) => Measured::Value {
            value: format!("{} ({})", share(n, total), count(whole(n))),
            denominator: format!("{} {what}", count(whole(total))),
            interval: format!("{} (95 %)", interval([low, high])),
        },
    }
}

/// One minus the estimated share of wrong labels.
fn label_accuracy(audit: &Audit) -> Measured {
    let check = match ran(audit, "label-error") {
        Ok(check) => check,
        Err(none) => return none,
    };
    match WrongLabels::of(check) {
        None => Measured::NotMeasured("the check label-error left no estimate".to_owned()),
        Some(it) => Measured::Value {
            value: percent(1.0 - it.rate),
            denominator: format!("{} labels of distinct samples", count(whole(it.n))),
            interval: format!("{} (90 %)", interval([1.0 - it.high, 1.0 - it.low])),
        },
    }
}

/// The estimate of the check `label-error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WrongLabels {
    pub(super) rate: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Labels of distinct samples.
    pub(super) n: u64,
}

impl WrongLabels {
    pub(super) fn of(check: &CheckRecord) -> Option<Self> {
        let number = |name: &str| check.details.get(name).and_then(Json::as_f64);
        let classes = check.details.get("classes").and_then(Json::as_array)?;
        let n = classes.iter().filter_map(|it| it.get("samples").and_then(Json::as_u64)).sum();
        let (rate, low, high) = (number("wrong_labels")?, number("wrong_labels_low")?, number("wrong_labels_high")?);
        (0 < n).then_some(Self { rate, low, high, n })
    }
}

fn n_labeled(audit: &Audit) -> u64 {
    audit.dataset.labels.iter().map(|it| it.samples).sum()
}

fn labeled(audit: &Audit) -> Measured {
    match audit.dataset.labels.is_empty() {
        true => not_applicable("the samples have no labels"),
        false => part_of(n_labeled(audit), audit.dataset.n_samples, "samples"),
    }
}

fn families(audit: &Audit, n: u64) -> Measured {
    let total = audit.dataset.states.ok;
    if total == 0 {
        return not_applicable("no sample can be read");
    }
    Measured::Value {
        value: format!("{} ({})", share(n, total), count(whole(n))),
        denominator: format!("{} samples that can be read", count(whole(total))),
        interval: COUNTED.to_owned(),
    }
}

/// The divergence of the shares of labels from equal ones, in bits.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn imbalance(audit: &Audit) -> Measured {
    let (labels, total) = (&audit.dataset.labels, n_labeled(audit));
    if labels.len() < 2 || total == 0 {
        return not_applicable("there are no two labels");
    }
    let of = |n: u64| {
        let share = n as f64 / total as f64;
        if n == 0 { 0.0 } else { share * (share * labels.len() as f64).log2() }
    };
    let bits: f64 = labels.iter().map(|it| of(it.samples)).sum();
    Measured::Value {
        value: format!("{} bits", number(bits.max(0.0))),
        denominator: format!("{} of {}", counted(whole(total), "labeled sample"), counted(labels.len(), "label")),
        interval: COUNTED.to_owned(),
    }
}

fn richness(audit: &Audit) -> Measured {
    let labels = audit.dataset.labels.len();
    if labels == 0 {
        return not_applicable("the samples have no labels");
    }
    Measured::Value {
        value: count(labels),
        denominator: counted(whole(n_labeled(audit)), "labeled sample"),
        interval: COUNTED.to_owned(),
    }
}
