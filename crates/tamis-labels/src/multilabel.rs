//! Label errors where an item has any number of classes: each class is judged against the rest.
//!
//! Method: Thyagarajan et al., "Identifying Incorrect Annotations in Multi-Label Classification Data" (2022), with the
//! constants of cleanlab 2.9.0. Labels are `(n, n_classes)`, true where the item was given the class; probabilities
//! `(n, n_classes)`, each within [0, 1] on its own. Class k alone is a problem of two classes with the probabilities
//! `[1 - p, p]`, in f64. **Low is suspicious.**
//! Everything costs O(n · `n_classes`) time (sorting adds a logarithm) and memory.

use ndarray::{Array2, Array3, ArrayView2, Axis};

use crate::Error;
use crate::confident::{Collision, calibrated_joint, class_thresholds, confident_joint};
use crate::filter::{
    PruneOptions, confident_learning, predicted_neq_given, prune_by_both, prune_by_class, prune_by_noise_rate,
};
use crate::input::check_values;
use crate::score::{
    Adjustment, confidence_weighted_entropy, normalized_margin, self_confidence, self_confidence_adjusted,
};

/// Share of the worse score in each step of the moving average (cleanlab 2.9.0).
const EMA_SHARE: f64 = 0.8;

/// Temperature of the soft minimum over the classes (cleanlab 2.9.0).
const SOFTMIN_TEMPERATURE: f64 = 0.1;

/// How one class is scored against the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClassScore {
    /// [`crate::self_confidence`].
    #[default]
    SelfConfidence,
    /// [`crate::self_confidence_adjusted`] by thresholds.
    SelfConfidenceAdjusted,
    /// [`crate::normalized_margin`].
    NormalizedMargin,
    /// [`crate::normalized_margin`] adjusted by thresholds.
    NormalizedMarginAdjusted,
    /// [`crate::confidence_weighted_entropy`].
    ConfidenceWeightedEntropy,
}

/// How the scores of its classes make the score of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// Moving average from the best class to the worst: `s = .8 · next + .2 · s`.
    #[default]
    MovingAverage,
    /// The mean of the scores `s` with weights `exp((1 - s) / .1)`.
    Softmin,
}

/// Which labels of a class are flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Filter {
    /// [`crate::prune_by_noise_rate`].
    #[default]
    PruneByNoiseRate,
    /// [`crate::prune_by_class`].
    PruneByClass,
    /// [`crate::prune_by_both`].
    Both,
    /// [`crate::confident_learning`].
    ConfidentLearning,
    /// [`crate::predicted_neq_given`].
    PredictedNeqGiven,
    /// As many items as [`Self::ConfidentLearning`] flags, those with the lowest normalized margin of the item.
    LowNormalizedMargin,
    /// The same with self-confidence.
    LowSelfConfidence,
}

/// Joints and thresholds of every class against the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct MultilabelJoint {
    /// `(n_classes, 2)`: thresholds of not having and of having the class.
    pub thresholds: Array2<f64>,
    /// `(n_classes, 2, 2)`: class, whether given, whether confidently guessed.
    pub counts: Array3<u64>,
    /// The counts scaled to the number of items with and without the class; each class sums to n.
    pub calibrated: Array3<u64>,
}

/// How many labels of one class are probably wrong in one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommonIssue {
    /// The class.
    pub class: usize,
    /// Whether the class was given and should not have been; else it is missing.
    pub is_given: bool,
    /// Flagged items.
    pub n_issues: usize,
    /// The same over n.
    pub share: f64,
}

/// How good the labels of one class are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassQuality {
    /// The class.
    pub class: usize,
    /// Items that were given the class and probably do not have it.
    pub n_given: usize,
    /// Items that were not given the class and probably have it.
    pub n_missing: usize,
    /// `n_given` over n.
    pub given_share: f64,
    /// `n_missing` over n.
    pub missing_share: f64,
    /// One less `given_share`.
    pub quality: f64,
}

/// Counts every class against the rest, with cleanlab's rule for collisions.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn joint(labels: ArrayView2<'_, bool>, probabilities: ArrayView2<'_, f32>) -> Result<MultilabelJoint, Error> {
    check(labels, probabilities)?;
    let n_classes = labels.ncols();
    let mut joint = MultilabelJoint {
        thresholds: Array2::zeros((n_classes, 2)),
        counts: Array3::zeros((n_classes, 2, 2)),
        calibrated: Array3::zeros((n_classes, 2, 2)),
    };
    for class in 0..n_classes {
        let (given, pair) = against_rest(labels, probabilities, class);
        let thresholds = class_thresholds(&given, pair.view())?;
        let counts = confident_joint(&given, pair.view(), &thresholds, Collision::Cleanlab)?.counts;
        joint.calibrated.index_axis_mut(Axis(0), class).assign(&calibrated_joint(counts.view(), &given)?);
        joint.counts.index_axis_mut(Axis(0), class).assign(&counts);
        joint.thresholds.row_mut(class).assign(&ndarray::arr1(&thresholds));
    }
    Ok(joint)
}

/// Scores every label `(n, n_classes)`, given or not, against the rest.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn class_scores(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    score: ClassScore,
) -> Result<Array2<f64>, Error> {
    check(labels, probabilities)?;
    let mut scores = Array2::zeros(labels.dim());
    for class in 0..labels.ncols() {
        let (given, pair) = against_rest(labels, probabilities, class);
        let of_class = match score {
            ClassScore::SelfConfidence => self_confidence(&given, pair.view()),
            ClassScore::SelfConfidenceAdjusted => self_confidence_adjusted(&given, pair.view(), Adjustment::Thresholds),
            ClassScore::NormalizedMargin => normalized_margin(&given, pair.view(), Adjustment::None),
            ClassScore::NormalizedMarginAdjusted => normalized_margin(&given, pair.view(), Adjustment::Thresholds),
            ClassScore::ConfidenceWeightedEntropy => confidence_weighted_entropy(&given, pair.view()),
        }?;
        scores.column_mut(class).assign(&ndarray::arr1(&of_class));
    }
    Ok(scores)
}

/// Scores every item by its classes.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn item_scores(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    score: ClassScore,
    aggregation: Aggregation,
) -> Result<Vec<f64>, Error> {
    let scores = class_scores(labels, probabilities, score)?;
    let aggregate = match aggregation {
        Aggregation::MovingAverage => moving_average,
        Aggregation::Softmin => softmin,
    };
    Ok(scores.rows().into_iter().map(|row| aggregate(row.to_vec())).collect())
}

/// Flags labels `(n, n_classes)` of every class against the rest.
///
/// The two filters on the scores of items flag no labels of their own: they give all labels of a flagged item.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn class_flags(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    filter: Filter,
) -> Result<Array2<bool>, Error> {
    check(labels, probabilities)?;
    let options = PruneOptions::default();
    let mut flags = Array2::from_elem(labels.dim(), false);
    for class in 0..labels.ncols() {
        let (given, pair) = against_rest(labels, probabilities, class);
        let of_class = match filter {
            Filter::PruneByNoiseRate => prune_by_noise_rate(&given, pair.view(), &options),
            Filter::PruneByClass => prune_by_class(&given, pair.view(), &options),
            Filter::Both => prune_by_both(&given, pair.view(), &options),
            Filter::ConfidentLearning => confident_learning(&given, pair.view(), Collision::Cleanlab),
            Filter::PredictedNeqGiven => predicted_neq_given(&given, pair.view()),
            Filter::LowNormalizedMargin => return low_scores(labels, probabilities, ClassScore::NormalizedMargin),
            Filter::LowSelfConfidence => return low_scores(labels, probabilities, ClassScore::SelfConfidence),
        }?;
        flags.column_mut(class).assign(&ndarray::arr1(&of_class));
    }
    Ok(flags)
}

/// Lists the items with a flagged label, ascending.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn issues(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    filter: Filter,
) -> Result<Vec<usize>, Error> {
    let flags = class_flags(labels, probabilities, filter)?;
    Ok((0..flags.nrows()).filter(|&row| flags.row(row).iter().any(|&flag| flag)).collect())
}

/// Lists the items with a flagged label, lowest item score first (ties: the smaller row).
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn ranked_issues(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    filter: Filter,
    score: ClassScore,
) -> Result<Vec<usize>, Error> {
    let mut rows = issues(labels, probabilities, filter)?;
    let scores = item_scores(labels, probabilities, score, Aggregation::MovingAverage)?;
    rows.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    Ok(rows)
}

/// Counts the labels that [`Filter::PruneByNoiseRate`] flags by class and direction, most first.
///
/// Two entries per class; ties go to the smaller class, of one class to what was given.
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn common_issues(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
) -> Result<Vec<CommonIssue>, Error> {
    let flags = class_flags(labels, probabilities, Filter::PruneByNoiseRate)?;
    let mut issues = Vec::with_capacity(2 * labels.ncols());
    for (class, (flags, labels)) in flags.columns().into_iter().zip(labels.columns()).enumerate() {
        for is_given in [true, false] {
            let n_issues = flags.iter().zip(labels).filter(|&(&flag, &label)| flag && label == is_given).count();
            let share = n_issues as f64 / labels.len() as f64;
            issues.push(CommonIssue { class, is_given, n_issues, share });
        }
    }
    issues.sort_by_key(|issue| std::cmp::Reverse(issue.n_issues));
    Ok(issues)
}

/// Ranks the classes by the quality of their labels, worst first (ties: the smaller class).
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn rank_classes(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
) -> Result<Vec<ClassQuality>, Error> {
    let mut issues = common_issues(labels, probabilities)?;
    issues.sort_by_key(|issue| (issue.class, !issue.is_given));
    let (pairs, _) = issues.as_chunks::<2>();
    let quality = |[given, missing]: &[CommonIssue; 2]| ClassQuality {
        class: given.class,
        n_given: given.n_issues,
        n_missing: missing.n_issues,
        given_share: given.share,
        missing_share: missing.share,
        quality: 1.0 - given.share,
    };
    let mut classes: Vec<ClassQuality> = pairs.iter().map(quality).collect();
    classes.sort_by_key(|class| std::cmp::Reverse(class.n_given));
    Ok(classes)
}

/// The share of items without any label that [`Filter::PruneByNoiseRate`] flags, in [0, 1].
///
/// # Errors
/// When labels and probabilities do not fit each other, there is no row or column, or a value is illegal.
pub fn health(labels: ArrayView2<'_, bool>, probabilities: ArrayView2<'_, f32>) -> Result<f64, Error> {
    let n_issues = issues(labels, probabilities, Filter::PruneByNoiseRate)?.len();
    Ok(1.0 - n_issues as f64 / labels.nrows() as f64)
}

/// Flags all labels of the items with the lowest scores, as many items as the confident joint counts off its diagonal.
fn low_scores(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    score: ClassScore,
) -> Result<Array2<bool>, Error> {
    let n_issues = issues(labels, probabilities, Filter::ConfidentLearning)?.len();
    let scores = item_scores(labels, probabilities, score, Aggregation::MovingAverage)?;
    let mut rows: Vec<usize> = (0..labels.nrows()).collect();
    rows.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut flags = Array2::from_elem(labels.dim(), false);
    for &row in &rows[..n_issues] {
        flags.row_mut(row).fill(true);
    }
    Ok(flags)
}

/// The labels and probabilities of having the class or not.
fn against_rest(
    labels: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f32>,
    class: usize,
) -> (Vec<u32>, Array2<f64>) {
    let given = labels.column(class).iter().map(|&label| u32::from(label)).collect();
    let pair = |(row, side): (usize, usize)| match side {
        0 => 1.0 - f64::from(probabilities[[row, class]]),
        _ => f64::from(probabilities[[row, class]]),
    };
    (given, Array2::from_shape_fn((labels.nrows(), 2), pair))
}

fn moving_average(mut scores: Vec<f64>) -> f64 {
    scores.sort_by(|a, b| b.total_cmp(a));
    scores[1..].iter().fold(scores[0], |average, next| EMA_SHARE * next + (1.0 - EMA_SHARE) * average)
}

fn softmin(scores: Vec<f64>) -> f64 {
    let (weighted, total) = scores.into_iter().fold((0.0, 0.0), |(weighted, total), score| {
        let weight = ((1.0 - score) / SOFTMIN_TEMPERATURE).exp();
        (weighted + weight * score, total + weight)
    });
    weighted / total
}

fn check(labels: ArrayView2<'_, bool>, probabilities: ArrayView2<'_, f32>) -> Result<(), Error> {
    if labels.dim() != probabilities.dim() {
        return Err(Error::ShapeMismatch { what: "labels", expected: probabilities.dim(), got: labels.dim() });
    }
    for (unit, got) in [("rows", labels.nrows()), ("columns", labels.ncols())] {
        if got == 0 {
            return Err(Error::TooFew { what: "labels", unit, expected: 1, got });
        }
    }
    check_values("probabilities", probabilities, "a number in [0, 1]", |value| (0.0..=1.0).contains(&value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn one_bad_class_makes_an_item_suspicious() {
        let labels = array![[true, false], [true, true]];
        let probabilities = array![[0.9_f32, 0.1], [0.9, 0.1]];
        for aggregation in [Aggregation::MovingAverage, Aggregation::Softmin] {
            let scores = item_scores(labels.view(), probabilities.view(), ClassScore::SelfConfidence, aggregation);
            let scores = scores.unwrap();
            assert!(scores[1] < 0.3 && 0.8 < scores[0], "{scores:?}");
        }
    }

    #[test]
    fn a_class_that_nobody_or_everybody_has_and_a_single_class_are_legal() {
        let labels = array![[false, true], [false, true]];
        let probabilities = array![[0.4_f32, 0.8], [0.1, 0.9]];
        let joint = joint(labels.view(), probabilities.view()).unwrap();
        assert_eq!(joint.calibrated, array![[[2, 0], [0, 0]], [[0, 0], [0, 2]]]);
        let single = array![[true], [false]];
        let scores = class_scores(single.view(), array![[0.25_f32], [0.75]].view(), ClassScore::SelfConfidence);
        assert_eq!(scores.unwrap(), array![[0.25], [0.25]]);
    }

    #[test]
    fn bad_input_is_named() {
        let message = |labels: Array2<bool>, probabilities: Array2<f32>| {
            let flags = issues(labels.view(), probabilities.view(), Filter::default());
            flags.unwrap_err().to_string()
        };
        let nan = "probabilities at row 0, column 1 is NaN, expected a number in [0, 1]";
        assert_eq!(message(array![[true, false]], array![[0.5, f32::NAN]]), nan);
        let shape = "labels has shape (1, 1), expected (1, 2)";
        assert_eq!(message(array![[true]], array![[0.5, 0.5]]), shape);
        let empty = "labels has 0 rows, expected at least 1";
        assert_eq!(message(Array2::from_elem((0, 2), true), Array2::zeros((0, 2))), empty);
    }
}
