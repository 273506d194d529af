//! What `tamis labels` prints and writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolRecord;

/// Value of [`Labels::schema`].
pub const LABELS_SCHEMA: &str = "tamis-labels/1";

/// Labels of one file, judged by probabilities or by vectors. Rows and classes are numbered from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Labels {
    /// Name and version of this format: `tamis-labels/1`.
    pub schema: String,
    /// The program that wrote it.
    pub tool: ToolRecord,
    /// Number of rows, those without a label included.
    pub n: u64,
    /// Number of classes.
    pub k: u64,
    /// Names of the classes, by number; null where labels are numbers.
    pub classes: Option<Vec<String>>,
    /// What chose the issues: the name of a filter, or `recommended`.
    pub filter: String,
    /// What orders them: the name of a label quality score, or `evidence`.
    pub rank: String,
    /// Why these, and what may mislead. Sentences.
    pub notes: Vec<String>,
    /// Rows without a label: neither counted nor judged.
    pub missing: Vec<u64>,
    /// Rows whose labels are probably wrong, worst first.
    pub issues: Array<u64>,
    /// Trust in the label of each row, low where it is suspicious; null where it is not judged, in a file NaN.
    pub label_quality: Array<Option<f64>>,
    /// How many labels there are, and how many are estimated to be wrong.
    pub counts: LabelCounts,
    /// What confident learning counts; not there where labels are judged by vectors.
    #[serde(flatten)]
    pub confident: Option<ConfidentCounts>,
    /// What tamis's own evidence says; not there with the filters of cleanlab.
    #[serde(flatten)]
    pub evidence: Option<EvidenceRecord>,
}

/// Numbers, or the file that holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Array<T> {
    /// The numbers, or the rows of a matrix.
    Values(Vec<T>),
    /// In the folder of `--out`.
    File {
        /// Name of the `.npy` file.
        file: String,
    },
}

/// How many labels there are, and how many are wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelCounts {
    /// Rows given each label, by class.
    pub given: Vec<u64>,
    /// Number of issues.
    pub issues: u64,
    /// Rows that the confident joint counts off its diagonal and whose label the model does not agree with; null where
    /// labels are judged by vectors.
    pub off_diagonal: Option<u64>,
    /// Rows off the diagonal of the calibrated joint; null where labels are judged by vectors.
    pub off_diagonal_calibrated: Option<u64>,
}

/// What confident learning counts from probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfidentCounts {
    /// Probability from which on a row counts confidently for a class, by class; 2 for a class that is never given.
    pub thresholds: Vec<f64>,
    /// Rows by given label (row) and guessed true label (column), calibrated to the counts of the given labels.
    pub confident_joint: Array<Vec<u64>>,
    /// The same as shares of all.
    pub joint: Array<Vec<f64>>,
    /// Probability of a given label (row) for a true one (column).
    pub noise_matrix: Array<Vec<f64>>,
    /// Probability of a true label (row) for a given one (column).
    pub inverse_noise_matrix: Array<Vec<f64>>,
    /// Share of each true class.
    pub py: Vec<f64>,
    /// Share of labels that are thought to be right.
    pub health: f64,
}

/// What tamis's own evidence says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceRecord {
    /// The most probable class other than the given one, by row; null where nothing is suggested, in a file -1.
    pub suggested: Array<Option<i64>>,
    /// Its probability.
    pub suggested_probability: Array<Option<f64>>,
    /// Probability that the label is wrong, by row; null where it is not judged, in a file NaN.
    pub error_probability: Array<Option<f64>>,
    /// Share of wrong labels.
    pub noise_rate: RateRecord,
    /// The same by given label; classes that were not judged are left out.
    pub noise_by_class: Vec<ClassNoiseRecord>,
    /// How far to read the list of issues.
    pub review: ReviewRecord,
    /// Expected numbers of rows of one class under the label of another, largest first.
    pub confusions: Vec<ConfusionRecord>,
}

/// A share with its 90 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateRecord {
    /// Most probable share.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wrong labels among the rows of one given class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassNoiseRecord {
    /// The given label.
    pub class: u64,
    /// Judged rows that have it.
    pub n: u64,
    /// Share of them that have another class.
    #[serde(flatten)]
    pub rate: RateRecord,
}

/// How far to read the list of issues, worst first: up to where fewer than one in five is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewRecord {
    /// Rows to review.
    pub n: u64,
    /// Wrong labels to expect among them.
    pub expected_errors: f64,
}

/// Rows of one class under the label of another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfusionRecord {
    /// The given label.
    pub given: u64,
    /// The class that they probably have.
    pub class: u64,
    /// Expected number of such rows.
    pub count: f64,
}
