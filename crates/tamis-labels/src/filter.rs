//! Filters: which items to flag as mislabeled.
//!
//! The two prune filters first estimate from the calibrated joint **how many** items of each given label are wrong, then
//! flag that many of the most suspicious ([`crate::prune`]). Every filter but the two that cut a ranking finally takes
//! back its flag where the model agrees with the label (the most probable class, after 1e-6 is added to the given one, is
//! the given one).
//! Method: section 3.2 of Northcutt et al. 2021, in the form of cleanlab 2.9.0 (`filter`) and with its stable tie rule:
//! equal margins, probabilities or scores go to the smaller row.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayView2;

use crate::prune::PrunePlan;
use crate::score::{RankKey, lowest, sorted_rows};
use crate::{Adjustment, Collision, ConfidentLearning, CountMethod, Error, LearningOptions, Probability, QualityScore};

/// A rule for which items to flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Filter {
    /// For each pair of given class `k` and other class `j`, as many items given `k` as the joint says are truly `j`:
    /// those with the largest `p(j) - p(k)`.
    #[default]
    PruneByNoiseRate,
    /// For each given class, as many items as the joint says are truly something else: those with the smallest
    /// probability of the given label.
    PruneByClass,
    /// What both of the above flag.
    Both,
    /// The items that the confident joint counts off its diagonal, before any calibration.
    ConfidentLearning,
    /// The items whose most probable class is not the given one.
    PredictedNeqGiven,
    /// The items of the lowest normalized margin, as many as [`CountMethod::OffDiagonal`] says.
    LowNormalizedMargin,
    /// The items of the lowest self-confidence, as many as [`CountMethod::OffDiagonal`] says.
    LowSelfConfidence,
}

impl Filter {
    /// Every filter, in cleanlab's order.
    pub const ALL: [Self; 7] = [
        Self::PruneByNoiseRate,
        Self::PruneByClass,
        Self::Both,
        Self::ConfidentLearning,
        Self::PredictedNeqGiven,
        Self::LowNormalizedMargin,
        Self::LowSelfConfidence,
    ];

    /// The name of the filter in cleanlab.
    pub fn name(self) -> &'static str {
        match self {
            Self::PruneByNoiseRate => "prune_by_noise_rate",
            Self::PruneByClass => "prune_by_class",
            Self::Both => "both",
            Self::ConfidentLearning => "confident_learning",
            Self::PredictedNeqGiven => "predicted_neq_given",
            Self::LowNormalizedMargin => "low_normalized_margin",
            Self::LowSelfConfidence => "low_self_confidence",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|filter| filter.name() == name).ok_or_else(|| Error::UnknownName {
            what: "filter",
            got: name.to_owned(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Options of the filters that count before they flag ([`Filter::PruneByNoiseRate`], [`Filter::PruneByClass`] and
/// [`Filter::Both`]); the other filters ignore them but for `num_to_remove_per_class`, which they refuse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterOptions<'a> {
    /// Items of each given label that are kept at least; labels given to no more than this many items are never flagged.
    pub min_examples_per_class: u64,
    /// Share of the estimated label errors to flag, in [0, 1].
    pub frac_noise: f64,
    /// Number of items to flag of each given label, instead of the estimate; `None`: the estimate.
    pub num_to_remove_per_class: Option<&'a [u64]>,
    /// Counts of given (rows) against true labels `(n_classes, n_classes)`, taken as they are; `None`: the calibrated
    /// confident joint.
    pub joint: Option<ArrayView2<'a, u64>>,
}

impl Default for FilterOptions<'_> {
    /// cleanlab's defaults: keep one item per class, flag all estimated errors, estimate the joint.
    fn default() -> Self {
        Self { min_examples_per_class: 1, frac_noise: 1.0, num_to_remove_per_class: None, joint: None }
    }
}

/// Options of [`prune_by_noise_rate`], [`prune_by_class`] and [`prune_by_both`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneOptions {
    /// Items of each given label that are kept at least; labels given to no more than this many items are never flagged.
    pub min_examples_per_class: u64,
    /// Share of the estimated label errors to flag, in [0, 1].
    pub frac_noise: f64,
    /// How the confident joint counts items with several confident classes.
    pub collision: Collision,
}

impl Default for PruneOptions {
    /// cleanlab's defaults: keep one item per class, flag all estimated errors.
    fn default() -> Self {
        Self { min_examples_per_class: 1, frac_noise: 1.0, collision: Collision::Cleanlab }
    }
}

impl<P: Probability> ConfidentLearning<'_, P> {
    /// Flags suspicious items; one flag per item.
    ///
    /// A class given to a single item is never flagged by the prune filters. The ranking filters take O(n) time, the
    /// others what the joint takes, O(n + `n_classes`²), and the pairs of classes that are confused: for each pair the
    /// items of the given class of which some other class is more probable, and all its items only where more are to be
    /// flagged. Memory beyond the joint: 5 bytes a row, and 16 bytes for each item of the class at hand. Classes run in
    /// parallel.
    ///
    /// # Errors
    /// When an option is illegal or has the wrong shape, or a filter that does not count is given numbers to remove.
    pub fn flags(&self, filter: Filter, options: &FilterOptions<'_>) -> Result<Vec<bool>, Error> {
        let prunes = matches!(filter, Filter::PruneByNoiseRate | Filter::PruneByClass | Filter::Both);
        if options.num_to_remove_per_class.is_some() && !prunes {
            return Err(Error::Unsupported { option: "num_to_remove_per_class", with: filter.name() });
        }
        match filter {
            Filter::PruneByNoiseRate => Ok(PrunePlan::new(self, options)?.flag_by_noise_rate()),
            Filter::PruneByClass => Ok(PrunePlan::new(self, options)?.flag_by_class()),
            Filter::Both => {
                let plan = PrunePlan::new(self, options)?;
                let mut flags = plan.flag_by_class();
                for (flag, other) in flags.iter_mut().zip(plan.flag_by_noise_rate()) {
                    *flag &= other;
                }
                Ok(flags)
            }
            Filter::ConfidentLearning => Ok((0..self.n_samples()).map(|row| self.is_confident_issue(row)).collect()),
            Filter::PredictedNeqGiven => Ok((0..self.n_samples()).map(|row| !self.agrees(row)).collect()),
            Filter::LowNormalizedMargin => self.flag_lowest(QualityScore::NormalizedMargin),
            Filter::LowSelfConfidence => self.flag_lowest(QualityScore::SelfConfidence),
        }
    }

    /// Finds suspicious items, worst first: the flagged rows by ascending score, equal scores by row.
    ///
    /// This is cleanlab's `find_label_issues` with `return_indices_ranked_by`.
    ///
    /// # Errors
    /// As for [`Self::flags`], and when the score cannot be adjusted ([`Self::scores`]).
    pub fn issues(
        &self,
        filter: Filter,
        options: &FilterOptions<'_>,
        score: QualityScore,
        adjustment: Adjustment,
    ) -> Result<Vec<usize>, Error> {
        let flags = self.flags(filter, options)?;
        let rows: Vec<usize> = flags.iter().enumerate().filter_map(|(row, &flag)| flag.then_some(row)).collect();
        let scores = self.scores_of(&rows, score, adjustment)?;
        Ok(sorted_rows(scores.into_iter().zip(rows).map(|(score, row)| RankKey::new(score, row)).collect()))
    }

    fn flag_lowest(&self, score: QualityScore) -> Result<Vec<bool>, Error> {
        let n_issues = self.num_label_issues(CountMethod::OffDiagonal) as usize;
        let mut flags = vec![false; self.n_samples()];
        for row in lowest(&self.scores(score, Adjustment::None)?, n_issues) {
            flags[row] = true;
        }
        Ok(flags)
    }
}

/// Flags by [`Filter::PruneByNoiseRate`], cleanlab's default filter.
///
/// Returns one flag per item. A class given to a single item is never flagged.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_noise_rate<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    flag_once(labels, probabilities, Filter::PruneByNoiseRate, options)
}

/// Flags by [`Filter::PruneByClass`].
///
/// Returns one flag per item. A class given to a single item is never flagged.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_class<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    flag_once(labels, probabilities, Filter::PruneByClass, options)
}

/// Flags what both [`prune_by_class`] and [`prune_by_noise_rate`] flag.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other, or a value or an option is illegal.
pub fn prune_by_both<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    flag_once(labels, probabilities, Filter::Both, options)
}

/// Flags the items that the confident joint counts off its diagonal, before any calibration.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn confident_learning<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    collision: Collision,
) -> Result<Vec<bool>, Error> {
    let options = PruneOptions { collision, ..PruneOptions::default() };
    flag_once(labels, probabilities, Filter::ConfidentLearning, &options)
}

/// Flags the items whose most probable class is not the given one; when it ties with the given one, it is no flag.
///
/// # Errors
/// When labels and probabilities `(n, n_classes)` do not fit each other or hold illegal values.
pub fn predicted_neq_given<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
) -> Result<Vec<bool>, Error> {
    flag_once(labels, probabilities, Filter::PredictedNeqGiven, &PruneOptions::default())
}

fn flag_once<P: Probability>(
    labels: &[u32],
    probabilities: ArrayView2<'_, P>,
    filter: Filter,
    options: &PruneOptions,
) -> Result<Vec<bool>, Error> {
    let &PruneOptions { min_examples_per_class, frac_noise, collision } = options;
    let learning =
        ConfidentLearning::new(labels, probabilities, &LearningOptions { collision, ..LearningOptions::default() })?;
    learning.flags(filter, &FilterOptions { min_examples_per_class, frac_noise, ..FilterOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn names_are_parsed_and_unknown_ones_listed() {
        for filter in Filter::ALL {
            assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
        }
        let message = "prune".parse::<Filter>().unwrap_err().to_string();
        assert!(message.starts_with("filter \"prune\" is unknown, expected one of prune_by_noise_rate, "), "{message}");
    }

    #[test]
    fn numbers_to_remove_are_refused_where_they_mean_nothing() {
        let probabilities = array![[0.5_f32, 0.5]];
        let learning = ConfidentLearning::new(&[0], probabilities.view(), &LearningOptions::default()).unwrap();
        let options = FilterOptions { num_to_remove_per_class: Some(&[0, 0]), ..FilterOptions::default() };
        let message = learning.flags(Filter::LowSelfConfidence, &options).unwrap_err().to_string();
        assert_eq!(message, "num_to_remove_per_class cannot be combined with low_self_confidence");
    }

    #[test]
    fn a_class_with_one_item_is_never_pruned() {
        let probabilities = array![[0.9_f32, 0.1], [0.8, 0.2], [0.9, 0.1]];
        let options = PruneOptions { min_examples_per_class: 0, ..PruneOptions::default() };
        let flags = prune_by_class(&[0, 0, 1], probabilities.view(), &options).unwrap();
        assert_eq!(flags, [false; 3]);
        let predicted = predicted_neq_given(&[0, 0, 1], probabilities.view()).unwrap();
        assert_eq!(predicted, [false, false, true]);
    }

    #[test]
    fn a_tie_with_the_given_label_is_no_flag() {
        let flags = predicted_neq_given(&[1], array![[0.5_f32, 0.5]].view()).unwrap();
        assert_eq!(flags, [false]);
    }

    #[test]
    fn a_share_above_one_is_refused() {
        let options = PruneOptions { frac_noise: 1.5, ..PruneOptions::default() };
        let error = prune_by_noise_rate(&[0], array![[0.5_f32, 0.5]].view(), &options).unwrap_err();
        assert_eq!(error.to_string(), "option frac_noise is 1.5, expected a number in [0, 1]");
    }
}
