//! What the page's script knows of a check.

use serde::Serialize;
use tamis_core::{CheckReport, Outcome, Report, SplitId, SplitRole};

use super::questions::{LEAKED, question_of};
use crate::snippet::visible;
use crate::{overview, prose};

/// A check that ran or did not.
#[derive(Debug, Serialize)]
pub(super) struct CheckData {
    id: &'static str,
    title: String,
    extent: String,
    suggestions: Option<String>,
    remarks: Vec<String>,
    /// Threshold, flagged, at most so many false.
    curve: Vec<(f64, usize, usize)>,
    /// What is said of false findings where there is no curve.
    unbounded: &'static str,
    /// Findings that are not on the page.
    pub(super) n_more: usize,
    /// Findings that are there without their contents.
    pub(super) n_bare: usize,
}

impl CheckData {
    pub(super) fn new(report: &Report<'_>, check: &CheckReport) -> Self {
        let info = check.info;
        let data = Self {
            id: info.id,
            title: prose::capitalized(info.summary),
            extent: String::new(),
            suggestions: None,
            remarks: Vec::new(),
            curve: Vec::new(),
            unbounded: "",
            n_more: 0,
            n_bare: 0,
        };
        match &check.outcome {
            Outcome::Ran(result) => Self {
                extent: overview::extent(result),
                suggestions: prose::suggestions(&result.findings),
                remarks: overview::remarks(result),
                curve: result.curve.iter().map(|it| (it.threshold, it.flagged, it.max_false)).collect(),
                unbounded: unbounded(report, info.id, result.threshold),
                ..data
            },
            Outcome::Skipped(reason) | Outcome::Failed(reason) => Self { extent: visible(reason), ..data },
        }
    }
}

/// Why nothing bounds how many findings are false.
fn unbounded(report: &Report<'_>, check: &str, threshold: Option<f64>) -> &'static str {
    let is_reference = |split| report.dataset.split_role(SplitId(split)) == SplitRole::Reference;
    let splits = (0..).zip(report.dataset.split_names()).map(|(split, _)| split);
    match threshold {
        None => "No threshold decided here: the score only orders the findings.",
        Some(_) if question_of(check) != LEAKED => "How many of these are false is not known.",
        Some(_) if splits.into_iter().any(is_reference) => {
            "How many of these are false is not known: no tested sample has a score to compare with the clean reference."
        }
        Some(_) => "How many of these are false is not known: there was no clean reference to compare with.",
    }
}
