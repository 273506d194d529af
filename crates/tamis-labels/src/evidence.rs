//! Evidence on labels from vectors: what class a sample would have if its own label, and its copies', were not known.
//!
//! Two judges look at every sample. The first is a Gaussian per class with one covariance for all, which leaves the
//! sample's whole family out by a closed form; the second are the votes of its nearest neighbors outside the family. A
//! noise channel that says how often each true class is given each label turns both into one probability: how
//! much the judges are to be trusted, and how noisy the labels are, is what makes the given labels most likely.
//!
//! 1. Class means and covariance, every label trusted alike; every sample scored without its family.
//! 2. Votes of up to 30 neighbors.
//! 3. Weights of both log scores and the channel, by expectation maximization on the given labels.
//! 4. One sweep: labels are trusted by their probability of being right, neighbors vote with the label they probably
//!    should have; then 1 to 3 again.
//!
//! The method, what each part adds and the settings it was chosen on are in `docs/decisions/0017-label-evidence.md`.
//! Nothing of size samples × classes is ever in memory.

mod channel;
mod family;
mod gaussian;
mod grouping;
mod judges;
mod linear;
mod noise;
#[cfg(test)]
mod tests;
mod verdict;
mod votes;

use ndarray::ArrayView2;

use crate::input::{check_features, check_length};
use crate::{ConfidentLearning, Error, MatrixProducts, OnCpu, Probability};
use channel::{Candidates, Channel, Weights};
use gaussian::{Gaussian, Labeled};
use grouping::Grouping;
use judges::{Fitted, Given, Judges};
use verdict::{conclude, verdict};
use votes::Votes;

pub use noise::{ClassNoise, NoiseEstimate, Rate, ReviewBudget};

/// Least trust in a label: a label that is certainly wrong still counts a fiftieth, so that no class dies out.
const MIN_TRUST: f32 = 0.02;

/// Probability from which a neighbor votes with another label than its given one.
/// Chosen: from .4 to .8 the average precision on digits and mails with injected noise moves by at most .005.
const RELABEL_FROM: f64 = 0.6;

/// Probability below which a label is suspected whatever the noise.
const UNLIKELY: f32 = 0.02;

/// Labeled vectors and what is known of their copies and neighbors.
#[derive(Debug, Clone, Copy)]
pub struct LabeledVectors<'a> {
    /// `(n, d)`, finite.
    pub features: ArrayView2<'a, f32>,
    /// Given labels below `n_classes`; `None` for samples that are to be scored but not learned from.
    pub labels: &'a [Option<u32>],
    /// Number of classes, at least 2.
    pub n_classes: usize,
    /// Samples with the same value are copies of each other and are judged without each other's labels.
    pub families: &'a [u32],
    /// Rows of the nearest neighbors of each row, `(n, k)`, nearest first; values from n on mean none.
    pub neighbors: ArrayView2<'a, u32>,
    /// Their similarities, `(n, k)`; votes count as much, from 0 to 1.
    pub similarities: ArrayView2<'a, f32>,
}

/// Options of [`label_evidence`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvidenceOptions {
    /// Share of the mean variance in the covariance, in (0, 1].
    pub shrinkage: f64,
    /// Neighbors that vote at most, outside the family; with 0 the Gaussian judges alone.
    pub neighbors: usize,
    /// Times that labels are trusted anew.
    pub sweeps: usize,
}

impl Default for EvidenceOptions {
    /// Shrinkage .1, 30 neighbors, one sweep: the values of the first experiments on pixels. With none of .03 to .3 and 15
    /// to 60 is the average precision on injected noise better on both digits and mails.
    fn default() -> Self {
        Self { shrinkage: 0.1, neighbors: 30, sweeps: 1 }
    }
}

/// What the rest of the data says of one sample's label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowEvidence {
    /// Probability of the given label before the label itself is looked at; `None` for a sample without label, and for
    /// one whose class has no other sample outside its family: nothing could speak for it.
    pub given_probability: Option<f32>,
    /// Probability that the given label is right, knowing that it was given; `None` as above.
    pub correct_probability: Option<f32>,
    /// The most probable class other than the given one; `None` where only the sample's own family has other classes.
    pub suggested: Option<u32>,
    /// Its probability, knowing that the given label was given.
    pub suggested_probability: f32,
}

impl RowEvidence {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { given_probability: None, correct_probability: None, suggested: None, suggested_probability: 0.0 };

    /// How suspicious the label is, in [0, 1]; `None` where it cannot be judged.
    ///
    /// 1 less the geometric mean of both probabilities. The second alone ranks labels best that were flipped by a rule,
    /// the first alone those that people confuse; their mean is within .01 of the better one on most
    /// injected noise tried and .036 below it on the worst.
    pub fn suspicion(&self) -> Option<f64> {
        let (given, correct) = (self.given_probability?, self.correct_probability?);
        Some(1.0 - (f64::from(given) * f64::from(correct)).sqrt())
    }

    /// Whether the label is more probably wrong than right, or hardly anything speaks for it.
    pub fn is_suspected(&self) -> bool {
        self.is_wrong_with(0.5)
    }

    /// Whether the label is wrong with at least the given probability, or had a probability below .02 before it was looked
    /// at: among few samples a single wrong label is as well explained by doubt as by noise, and is worth a look in any
    /// case. Chosen: on injected noise .02 costs up to .03 of F1, .05 up to .13.
    pub fn is_wrong_with(&self, min_probability: f64) -> bool {
        let (Some(given), Some(correct)) = (self.given_probability, self.correct_probability) else { return false };
        min_probability <= 1.0 - f64::from(correct) || given < UNLIKELY
    }
}

/// How often samples of one class are given the label of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confusion {
    /// The label that was given.
    pub given: u32,
    /// The class that the samples probably have.
    pub class: u32,
    /// Expected number of such samples.
    pub count: f64,
}

/// How many samples could belong to either of two classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubtfulPair {
    /// The smaller class.
    pub a: u32,
    /// The larger class.
    pub b: u32,
    /// Twice the smaller of both probabilities, before the label is looked at, summed over the samples labeled one of
    /// them: an evenly doubtful sample counts 1, a clear one 0, whatever its label.
    pub count: f64,
}

/// What [`label_evidence`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelEvidence {
    /// One entry per sample.
    pub rows: Vec<RowEvidence>,
    /// Pairs of different given and true classes with an expected count of at least a tenth, largest first; ties by
    /// given label, then class.
    pub confusions: Vec<Confusion>,
    /// Pairs of classes that at least a tenth of a sample could both have, largest first; ties by class.
    pub overlaps: Vec<DoubtfulPair>,
    /// Whether the judges name the given label more often than whoever always names the most frequent one, by more than
    /// chance. Where they do not, vectors and labels have nothing to do with each other, or samples are too few, and
    /// neither suspicions nor the estimate mean anything.
    pub is_informative: bool,
    /// How many labels are wrong.
    pub noise: NoiseEstimate,
    /// Weight of the Gaussian's log density and of the neighbors' log votes.
    pub judge_weights: (f64, f64),
}

/// Judges every label by the rest of the data.
///
/// The result does not depend on the number of threads. n·d² + 2·n·d·K multiplications in each sweep, and O(n·k) for the
/// votes; memory O(n + d² + K·d) beyond the input, plus the pairs of classes that are confused.
///
/// # Errors
/// When the arrays do not fit each other, hold illegal values, or fewer than two classes have labeled samples.
///
/// ```
/// use ndarray::array;
/// use tamis_labels::{EvidenceOptions, LabeledVectors, label_evidence};
///
/// // Two classes, and a sample of the first with the label of the second.
/// let features = array![[1.0_f32, 0.1], [0.9, 0.0], [1.1, 0.2], [0.1, 1.0], [0.0, 1.1], [0.2, 0.9], [1.0, 0.0]];
/// let neighbors = array![[6_u32, 1], [6, 0], [0, 6], [5, 4], [3, 5], [3, 4], [0, 1]];
/// let similarities = neighbors.mapv(|_| 0.9);
/// let samples = LabeledVectors {
///     features: features.view(),
///     labels: &[Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(1)],
///     n_classes: 2,
///     families: &[0, 1, 2, 3, 4, 5, 6],
///     neighbors: neighbors.view(),
///     similarities: similarities.view(),
/// };
/// let evidence = label_evidence(&samples, &EvidenceOptions::default())?;
/// let by_suspicion = |&row: &usize| evidence.rows[row].suspicion().map(f64::to_bits);
/// assert_eq!((0..7).max_by_key(by_suspicion), Some(6));
/// assert_eq!(evidence.rows[6].suggested, Some(0));
/// # Ok::<(), tamis_labels::Error>(())
/// ```
pub fn label_evidence(samples: &LabeledVectors<'_>, options: &EvidenceOptions) -> Result<LabelEvidence, Error> {
    label_evidence_on(samples, options, &OnCpu)
}

/// The same with the products of the covariance, of whitening and of class means made by `products`.
///
/// Sums in another order make other last digits.
///
/// # Errors
/// As [`label_evidence`].
pub fn label_evidence_on(
    samples: &LabeledVectors<'_>,
    options: &EvidenceOptions,
    products: &dyn MatrixProducts,
) -> Result<LabelEvidence, Error> {
    check(samples, options)?;
    let n = samples.labels.len();
    let grouping = Grouping::new(samples.families);
    let draw = judges::draw(samples.features, &grouping);
    let is_spread = spread(samples, &grouping, &draw);
    let mut trust = vec![1.0_f32; n];
    let mut vote_labels = samples.labels.to_vec();
    for sweep in 0.. {
        let labeled = Labeled {
            features: samples.features,
            labels: samples.labels,
            weights: &trust,
            is_spread: &is_spread,
            n_classes: samples.n_classes,
            products,
        };
        let votes = Votes { ids: samples.neighbors, similarities: samples.similarities, n_voters: options.neighbors };
        let judges =
            Fitted { gaussian: Gaussian::fit(&labeled, options.shrinkage), labeled, votes, vote_labels: &vote_labels };
        let fit = Fit::of(&judges, &grouping, &draw);
        if sweep == options.sweeps {
            return Ok(conclude(samples.labels, &grouping, &fit.candidates, &fit.channel, fit.weights));
        }
        for row in 0..n {
            let (class, probability, own) = verdict(&fit.candidates, row, samples.labels[row], &fit.channel);
            trust[row] = own.clamp(MIN_TRUST, 1.0);
            vote_labels[row] = if RELABEL_FROM < probability { Some(class) } else { samples.labels[row] };
        }
    }
    unreachable!("the loop returns after the last sweep")
}

impl<P: Probability> ConfidentLearning<'_, P> {
    /// Judges every label by the probabilities themselves, those of a model that has not seen it.
    ///
    /// They take the place of the judges of [`label_evidence`]: how far they are to be trusted (an exponent, which is a
    /// temperature), and how noisy the labels are, is what makes the given labels most likely.
    /// [`LabelEvidence::judge_weights`] holds the exponent first. Values below 1e-9 count as 1e-9; what a row sums to makes
    /// no difference. O(n · `n_classes`) time, O(n + pairs of classes that are confused) memory.
    ///
    /// # Errors
    /// When fewer than two classes are given.
    pub fn evidence(&self) -> Result<LabelEvidence, Error> {
        let labels: Vec<Option<u32>> = self.labels.iter().map(|&label| Some(label)).collect();
        check_classes(&labels, self.n_classes())?;
        let families: Vec<u32> = (0..).take(labels.len()).collect();
        let grouping = Grouping::new(&families);
        let probabilities = self.table.entries();
        let judges = Given { probabilities, labels: &labels };
        let fit = Fit::of(&judges, &grouping, &judges::draw(probabilities, &grouping));
        Ok(conclude(&labels, &grouping, &fit.candidates, &fit.channel, fit.weights))
    }
}

/// Weights, channel and likely classes that explain the given labels best.
struct Fit {
    weights: Weights,
    channel: Channel,
    candidates: Candidates,
}

impl Fit {
    fn of(judges: &impl Judges, grouping: &Grouping, draw: &[u32]) -> Self {
        let (weights, channel) = channel::fit_weights(&judges::sample(judges, grouping, draw), judges.n_classes());
        let candidates = judges::candidates(judges, grouping, weights);
        let channel = channel::fit_channel(&candidates, judges.labels(), &channel);
        Self { weights, channel, candidates }
    }
}

fn check(samples: &LabeledVectors<'_>, options: &EvidenceOptions) -> Result<(), Error> {
    let n = samples.features.nrows();
    check_features(samples.features)?;
    check_length("labels", n, samples.labels.len())?;
    check_length("families", n, samples.families.len())?;
    check_length("neighbors", n, samples.neighbors.nrows())?;
    if samples.similarities.dim() != samples.neighbors.dim() {
        return Err(Error::ShapeMismatch {
            what: "similarities",
            expected: samples.neighbors.dim(),
            got: samples.similarities.dim(),
        });
    }
    check_classes(samples.labels, samples.n_classes)?;
    for (row, similarities) in samples.similarities.rows().into_iter().enumerate() {
        if let Some(column) = similarities.iter().position(|similarity| similarity.is_nan()) {
            let expected = "a number";
            return Err(Error::ValueOutOfRange { what: "similarities", row, column, expected, got: f64::NAN });
        }
    }
    if !(0.0 < options.shrinkage && options.shrinkage <= 1.0) {
        return Err(Error::InvalidOption {
            option: "shrinkage",
            expected: "a number in (0, 1]",
            got: options.shrinkage,
        });
    }
    Ok(())
}

/// Checks that labels are below the number of classes and that at least two of them are given.
fn check_classes(labels: &[Option<u32>], n_classes: usize) -> Result<(), Error> {
    let mut is_given = vec![false; n_classes];
    for (row, label) in labels.iter().enumerate() {
        let Some(label) = *label else { continue };
        let Some(is_given) = is_given.get_mut(label as usize) else {
            return Err(Error::LabelOutOfRange { row, label, n_classes });
        };
        *is_given = true;
    }
    let n_given = is_given.into_iter().filter(|&is_given| is_given).count();
    if n_given < 2 {
        return Err(Error::TooFew { what: "labels", unit: "distinct classes", expected: 2, got: n_given });
    }
    Ok(())
}

/// The rows to which the covariance is fitted: whole families with labels from the beginning of the draw.
fn spread(samples: &LabeledVectors<'_>, grouping: &Grouping, draw: &[u32]) -> Vec<bool> {
    let n_rows = gaussian::ROWS_PER_DIMENSION * samples.features.ncols();
    let n_labeled = samples.labels.iter().flatten().count();
    if n_labeled <= n_rows {
        return vec![true; samples.labels.len()];
    }
    let mut is_spread = vec![false; samples.labels.len()];
    let mut taken = 0;
    for &family in draw {
        for &row in grouping.family(family as usize) {
            is_spread[row as usize] = true;
            taken += usize::from(samples.labels[row as usize].is_some());
        }
        if n_rows <= taken {
            break;
        }
    }
    is_spread
}
