//! Probabilities from models that have not seen the item they judge.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::Error;
use crate::input::check_length;
use crate::logistic::{Block, FitReport, LogisticOptions, LogisticRegression, check_training_data};

/// Out-of-fold probabilities, and how their models were fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    /// `(n, n_classes)`; each row sums to 1 up to rounding.
    ///
    /// A class that has no item outside the row's fold has probability 0 there: the model cannot know it.
    pub probabilities: Array2<f32>,
    /// One entry per fold that holds a sample, ascending by fold.
    pub folds: Vec<FoldReport>,
}

/// How the model for one fold was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldReport {
    /// Number of the fold whose samples the model judges.
    pub fold: u32,
    /// Samples the model was fitted to: those of all other folds.
    pub n_training: usize,
    /// Classes that some sample outside this fold has, ascending; all others have probability 0 in this fold.
    pub classes: Vec<u32>,
    /// How the fit ended.
    pub fit: FitReport,
}

impl OutOfFold {
    /// Whether every fit reached its gradient tolerance.
    pub fn converged(&self) -> bool {
        self.folds.iter().all(|report| report.fit.converged)
    }
}

/// Fits one logistic regression per fold to the samples of the other folds and applies it to the fold.
///
/// Features are `(n, d)`, labels below `n_classes`, `folds` any numbers (as [`crate::stratified_group_folds`] gives
/// them), of which at least two must differ. Folds are fitted in parallel; the result does not depend on the number of
/// threads. Takes one copy of the features for all folds, and a fit's time and memory ([`LogisticRegression::fit`])
/// per fold.
///
/// # Errors
/// When features, labels and folds do not fit each other, hold illegal values or name fewer than two folds, or an
/// option is illegal.
pub fn out_of_fold_probabilities(
    features: ArrayView2<'_, f32>,
    labels: &[u32],
    n_classes: usize,
    folds: &[u32],
    options: &LogisticOptions,
) -> Result<OutOfFold, Error> {
    check_training_data(features, labels, n_classes)?;
    check_length("folds", labels.len(), folds.len())?;
    options.check()?;
    let sorted = SortedByFold::new(features, labels, folds);
    if sorted.folds.len() < 2 {
        return Err(Error::TooFew { what: "folds", unit: "distinct values", expected: 2, got: sorted.folds.len() });
    }
    let judged: Vec<(FoldReport, Array2<f32>)> =
        sorted.folds.par_iter().map(|part| sorted.judge(part, n_classes, options)).collect();
    let mut probabilities = Array2::zeros((labels.len(), n_classes));
    let mut reports = Vec::with_capacity(judged.len());
    let mut rows = sorted.rows.iter();
    for (report, part) in judged {
        for (from, &row) in part.rows().into_iter().zip(rows.by_ref()) {
            probabilities.row_mut(row).assign(&from);
        }
        reports.push(report);
    }
    Ok(OutOfFold { probabilities, folds: reports })
}

/// Samples ordered by fold, so that the training part of a fold is what lies before and after it.
struct SortedByFold {
    /// Row in the input by place here; rows of one fold keep their order.
    rows: Vec<usize>,
    features: Array2<f32>,
    labels: Vec<u32>,
    folds: Vec<FoldRange>,
}

/// Where one fold lies.
struct FoldRange {
    fold: u32,
    start: usize,
    end: usize,
}

impl SortedByFold {
    fn new(features: ArrayView2<'_, f32>, labels: &[u32], folds: &[u32]) -> Self {
        let mut rows: Vec<usize> = (0..folds.len()).collect();
        rows.sort_by_key(|&row| folds[row]);
        let mut ranges = Vec::new();
        let mut start = 0;
        for same_fold in rows.chunk_by(|&a, &b| folds[a] == folds[b]) {
            let end = start + same_fold.len();
            ranges.push(FoldRange { fold: folds[same_fold[0]], start, end });
            start = end;
        }
        Self {
            features: features.select(Axis(0), &rows),
            labels: rows.iter().map(|&row| labels[row]).collect(),
            folds: ranges,
            rows,
        }
    }

    fn judge(&self, part: &FoldRange, n_classes: usize, options: &LogisticOptions) -> (FoldReport, Array2<f32>) {
        let block = |start: usize, end: usize| Block {
            features: self.features.slice(s![start..end, ..]),
            labels: &self.labels[start..end],
        };
        let training = [block(0, part.start), block(part.end, self.labels.len())];
        let model = LogisticRegression::fit_checked(&training, n_classes, options);
        let held_out = self.features.slice(s![part.start..part.end, ..]);
        let report = FoldReport {
            fold: part.fold,
            n_training: self.labels.len() - (part.end - part.start),
            classes: model.classes().to_vec(),
            fit: model.report(),
        };
        (report, model.predict_checked(held_out))
    }
}
