//! What an audit measured, under the names of others.
//!
//! The names are those by which ISO/IEC 5259-2 and the NIST AI Risk Management Framework call such measures, given so that a
//! reader finds them; that a number is computed as the standard wants it is not claimed.

use serde_json::Value as Json;
use tamis_core::report::wilson_interval;

use super::{interval, share, whole};
use crate::prose::{count, counted, number};
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
    let row = |(name, iso, nist): &(&'static str, &'static str, &'static str)| Measure {
        name,
        value: value(audit, name, n_independent),
        iso,
        nist,
    };
    ROWS.iter().map(row).collect()
}

/// What is measured, its code and name in ISO/IEC 5259-2, and the subcategory of the NIST AI RMF.
const ROWS: [(&str, &str, &str); 21] = [
    ("labels that are right, estimated", "Acc-ML-7 data label accuracy", "MAP 2.3"),
    ("samples that can be read", "Acc-ML-1 syntactic data accuracy", "MAP 2.3"),
    ("samples far from all others", "Acc-ML-4 risk of dataset inaccuracy", "MEASURE 3.1"),
    ("records with something in them", "Com-ML-4 data record completeness", "MAP 2.3"),
    ("samples with a label", "Com-ML-5 data label completeness", "MAP 2.3"),
    ("samples that stand there more than once", "Con-ML-1 data record consistency", "MAP 2.3"),
    ("samples with a near copy in their split", "Con-ML-1 data record consistency", "MAP 2.3"),
    ("samples without an identical one of another label", "Con-ML-2 data label consistency", "MAP 2.3"),
    ("families of identical samples and copies", "Sim-ML-1 sample similarity", "MAP 2.3"),
    ("distance of the labels from equal shares", "Bal-ML-8 label distribution balance", "MEASURE 2.11"),
    ("labels", "Div-ML-1 label richness", "MEASURE 2.11"),
    ("evaluated samples that stand in the training data", "", "MEASURE 2.1"),
    ("benchmark samples that stand in the training data", "", "MEASURE 2.1"),
    ("brightness by label", "Bal-ML-1 brightness balance", "MEASURE 2.11"),
    ("resolution by label", "Bal-ML-2 resolution balance", "MEASURE 2.11"),
    ("labels with enough samples", "Eft-ML-2 category size effectiveness", "MAP 2.3"),
    ("share of the target population", "Rep-ML-1 representativeness", "MEASURE 2.11"),
    ("age of the data", "Cur-ML-1 currentness", "MAP 2.3"),
    ("samples with personal data", "Idn-ML-1 identifiability", "MEASURE 2.10"),
    ("samples that a person reviewed", "Aud-ML-1 audited records", "MEASURE 1.1"),
    ("origin, trust, rights, cost of the data", "Tra-ML, Cre-ML, Rel-ML", "MAP 4.1"),
];

/// The number of the row with this name.
fn value(audit: &Audit, name: &str, n_independent: u64) -> Measured {
    let is_text = audit.dataset.modality == "text";
    let rate = |id, part| rate_of(audit, id, part);
    match name {
        "labels that are right, estimated" => label_accuracy(audit),
        "samples that can be read" => rate("unreadable-sample", Part::Unflagged),
        "samples far from all others" => rate("outlier", Part::Flagged),
        "records with something in them" if is_text => rate("empty-text", Part::Unflagged),
        "records with something in them" => not_applicable("a picture that can be read is not empty"),
        "samples with a label" => labeled(audit),
        "samples that stand there more than once" => rate("exact-duplicate", Part::Flagged),
        "samples with a near copy in their split" => rate("near-duplicate", Part::Flagged),
        "samples without an identical one of another label" => rate("conflicting-labels", Part::Unflagged),
        "families of identical samples and copies" => families(audit, n_independent),
        "distance of the labels from equal shares" => imbalance(audit),
        "labels" => richness(audit),
        "evaluated samples that stand in the training data" => rate("split-leak", Part::Flagged),
        "benchmark samples that stand in the training data" => rate("benchmark-contamination", Part::Flagged),
        "brightness by label" | "resolution by label" if is_text => not_applicable("the samples are texts"),
        "brightness by label" | "resolution by label" => not_measured("no check looks at it"),
        "labels with enough samples" => not_applicable("nobody said how many are enough"),
        "share of the target population" => not_applicable("no target population was named"),
        "age of the data" => not_applicable("no range of dates was named"),
        "samples with personal data" => not_measured("no check looks for it"),
        "samples that a person reviewed" => not_measured("an audit knows of no reviews"),
        _ => not_applicable("not computable from data alone"),
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
            value: format!("{:.1} %", (1.0 - it.rate) * 100.0),
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
