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
mod linear;
mod noise;
mod votes;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::Error;
use crate::input::{check_features, check_length};
use channel::{Candidates, Channel, NO_CLASS, Sample, WIDTH, Weights};
use gaussian::{Gaussian, Labeled};
use grouping::Grouping;
use votes::Votes;

pub use noise::{ClassNoise, NoiseEstimate, Rate, ReviewBudget};

/// Rows to which the weights of the judges are fitted: two numbers and a rough channel. Chosen: from 2,048 rows on the
/// weights of 10,000 samples move by less than a tenth.
const SAMPLE_ROWS: usize = 4096;

/// Most scores that are in memory at once while weights are fitted: 64 MiB.
const SAMPLE_SCORES: usize = 1 << 24;

/// Least probability at which a class is remembered for a sample.
const MIN_PROBABILITY: f32 = 1e-4;

/// Least trust in a label: a label that is certainly wrong still counts a fiftieth, so that no class dies out.
const MIN_TRUST: f32 = 0.02;

/// Probability from which a neighbor votes with another label than its given one.
/// Chosen: from .4 to .8 the average precision on injected noise moves by less than .003.
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
    /// Neighbors that vote at most, outside the family.
    pub neighbors: usize,
    /// Times that labels are trusted anew.
    pub sweeps: usize,
}

impl Default for EvidenceOptions {
    /// Shrinkage .1, 30 neighbors, one sweep: the values of the first experiments on pixels, and of none of .03 to .3 and
    /// 15 to 60 is the average precision on injected noise better on all of digits, mails and clothes.
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
    /// How suspicious the label is, in [0, 1]; `None` where it cannot be judged.
    ///
    /// 1 less the geometric mean of both probabilities. The second alone ranks labels best that were flipped by a rule,
    /// the first alone those that people confuse; their mean is within .01 of the better one on both.
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
    /// case. Chosen: on injected noise .02 costs up to .03 of F1 at 3 % noise and nothing at more; .05 costs up to .1.
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
pub fn label_evidence(samples: &LabeledVectors<'_>, options: &EvidenceOptions) -> Result<LabelEvidence, Error> {
    check(samples, options)?;
    let n = samples.labels.len();
    let grouping = Grouping::new(samples.families);
    let draw = draw(samples, &grouping);
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
        };
        let votes = Votes { ids: samples.neighbors, similarities: samples.similarities, n_voters: options.neighbors };
        let judges = Judges {
            gaussian: Gaussian::fit(&labeled, options.shrinkage),
            labeled,
            votes,
            vote_labels: &vote_labels,
            grouping: &grouping,
        };
        let (weights, channel) = channel::fit_weights(&judges.sample(&draw), samples.n_classes);
        let candidates = judges.candidates(weights);
        let channel = channel::fit_channel(&candidates, samples.labels, &channel);
        if sweep == options.sweeps {
            return Ok(conclude(samples, &grouping, &candidates, &channel, weights));
        }
        drop(judges);
        for row in 0..n {
            let (class, probability, own) = verdict(&candidates, row, samples.labels[row], &channel);
            trust[row] = own.clamp(MIN_TRUST, 1.0);
            vote_labels[row] = if RELABEL_FROM < probability { Some(class) } else { samples.labels[row] };
        }
    }
    unreachable!("the loop returns after the last sweep")
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
    let mut is_given = vec![false; samples.n_classes];
    for (row, label) in samples.labels.iter().enumerate() {
        let Some(label) = *label else { continue };
        let Some(is_given) = is_given.get_mut(label as usize) else {
            return Err(Error::LabelOutOfRange { row, label, n_classes: samples.n_classes });
        };
        *is_given = true;
    }
    let n_given = is_given.into_iter().filter(|&is_given| is_given).count();
    if n_given < 2 {
        return Err(Error::TooFew { what: "labels", unit: "distinct classes", expected: 2, got: n_given });
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

/// Both judges, fitted.
struct Judges<'a> {
    gaussian: Gaussian,
    labeled: Labeled<'a>,
    votes: Votes<'a>,
    vote_labels: &'a [Option<u32>],
    grouping: &'a Grouping,
}

impl Judges<'_> {
    /// Full scores of the families that come first in the draw.
    fn sample(&self, draw: &[u32]) -> Sample {
        let n_rows = SAMPLE_ROWS.min(SAMPLE_SCORES / self.labeled.n_classes).max(1);
        let mut rows = Vec::new();
        for &family in draw {
            let labeled = |row: &&u32| self.labeled.labels[**row as usize].is_some();
            rows.extend(self.grouping.family(family as usize).iter().filter(labeled).take(n_rows - rows.len()));
            if rows.len() == n_rows {
                break;
            }
        }
        let parts: Vec<Array2<f32>> =
            rows.par_chunks(256).map(|rows| self.gaussian.score(&self.labeled, self.grouping, rows)).collect();
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let votes = |&row: &u32| {
            let mut votes = Vec::new();
            self.votes.of(row, self.grouping, self.vote_labels, &mut votes);
            votes
        };
        Sample {
            gaussian: ndarray::concatenate(ndarray::Axis(0), &views).expect("because all have one column per class"),
            votes: rows.iter().map(votes).collect(),
            labels: rows.iter().filter_map(|&row| self.labeled.labels[row as usize]).collect(),
        }
    }

    /// The likely classes of all samples.
    fn candidates(&self, weights: Weights) -> Candidates {
        let blocks = self.grouping.blocks();
        let judge = |rows: &&[u32]| {
            let scores = self.gaussian.score(&self.labeled, self.grouping, rows);
            let mut votes = Vec::new();
            let judge_row = |(&row, scores): (&u32, ndarray::ArrayView1<'_, f32>)| {
                self.votes.of(row, self.grouping, self.vote_labels, &mut votes);
                let scores = scores.to_slice().expect("because scores are in row-major order");
                let probabilities = channel::probabilities(channel::combined(scores, &votes, weights));
                let (mut classes, values) = channel::likely(&probabilities, self.labeled.labels[row as usize]);
                // The given class and the best other one are always kept.
                for (class, &value) in classes.iter_mut().zip(&values).skip(2) {
                    if value < MIN_PROBABILITY {
                        *class = NO_CLASS;
                    }
                }
                (classes, values)
            };
            rows.iter().zip(scores.rows()).map(judge_row).collect::<Vec<_>>()
        };
        let judged: Vec<Vec<([u32; WIDTH], [f32; WIDTH])>> = blocks.par_iter().map(judge).collect();
        let n = self.labeled.labels.len();
        let mut candidates = Candidates { classes: vec![NO_CLASS; n * WIDTH], probabilities: vec![0.0; n * WIDTH] };
        for (&row, (classes, values)) in blocks.into_iter().flatten().zip(judged.into_iter().flatten()) {
            let places = row as usize * WIDTH..(row as usize + 1) * WIDTH;
            candidates.classes[places.clone()].copy_from_slice(&classes);
            candidates.probabilities[places].copy_from_slice(&values);
        }
        candidates
    }
}

/// All families in an order that their vectors decide, not their place: samples are taken from its beginning.
fn draw(samples: &LabeledVectors<'_>, grouping: &Grouping) -> Vec<u32> {
    let mut families: Vec<(u64, u32)> = (0..grouping.n_families() as u32)
        .map(|family| (vector_hash(samples.features.row(grouping.family(family as usize)[0] as usize)), family))
        .collect();
    families.sort_unstable();
    families.into_iter().map(|(_, family)| family).collect()
}

/// The rows to which the covariance is fitted: whole families from the beginning of the draw.
fn spread(samples: &LabeledVectors<'_>, grouping: &Grouping, draw: &[u32]) -> Vec<bool> {
    let (n, d) = samples.features.dim();
    let n_rows = gaussian::ROWS_PER_DIMENSION * d;
    if n <= n_rows {
        return vec![true; n];
    }
    let mut is_spread = vec![false; n];
    let mut taken = 0;
    for &family in draw {
        let members = grouping.family(family as usize);
        members.iter().for_each(|&row| is_spread[row as usize] = true);
        taken += members.len();
        if n_rows <= taken {
            break;
        }
    }
    is_spread
}

/// FNV-1a over the first numbers of a vector: enough to draw a sample that does not depend on the order.
fn vector_hash(vector: ndarray::ArrayView1<'_, f32>) -> u64 {
    vector
        .iter()
        .take(16)
        .flat_map(|value| value.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The most probable class of a row with its probability, and that of the given label (1 where there is none).
fn verdict(candidates: &Candidates, row: usize, given: Option<u32>, channel: &Channel) -> (u32, f64, f32) {
    let (classes, probabilities) = candidates.row(row);
    let mut posterior = [0.0; WIDTH];
    match given {
        Some(given) => {
            channel.posterior((classes, probabilities), given, &mut posterior);
        }
        None => posterior.iter_mut().zip(probabilities).for_each(|(value, &probability)| *value = probability.into()),
    }
    let mut best = 0;
    for place in 1..WIDTH {
        if classes[place] != NO_CLASS && posterior[best] < posterior[place] {
            best = place;
        }
    }
    (classes[best], posterior[best], if given.is_some() { posterior[0] as f32 } else { 1.0 })
}

/// Evidence from the final candidates and channel.
fn conclude(
    samples: &LabeledVectors<'_>,
    grouping: &Grouping,
    candidates: &Candidates,
    channel: &Channel,
    weights: Weights,
) -> LabelEvidence {
    let rows: Vec<(RowEvidence, [f64; WIDTH])> = (0..candidates.len())
        .into_par_iter()
        .with_min_len(1024)
        .map(|row| row_evidence(candidates.row(row), samples.labels[row], channel))
        .collect();
    let (mut confusions, mut overlaps) = (Vec::new(), Vec::new());
    for (row, (_, posterior)) in rows.iter().enumerate() {
        let Some(given) = samples.labels[row] else { continue };
        let (classes, probabilities) = candidates.row(row);
        for place in (1..WIDTH).filter(|&place| classes[place] != NO_CLASS) {
            let class = classes[place];
            confusions.push(((given, class), posterior[place]));
            let both = 2.0 * f64::from(probabilities[place].min(probabilities[0]));
            overlaps.push(((given.min(class), given.max(class)), both));
        }
    }
    let rows: Vec<RowEvidence> = rows.into_iter().map(|(row, _)| row).collect();
    LabelEvidence {
        noise: NoiseEstimate::new(samples.labels, samples.n_classes, grouping, &rows),
        confusions: summed(confusions).map(|((given, class), count)| Confusion { given, class, count }).collect(),
        overlaps: summed(overlaps).map(|((a, b), count)| DoubtfulPair { a, b, count }).collect(),
        rows,
        judge_weights: (weights.gaussian, weights.votes),
    }
}

fn row_evidence(row: channel::Row<'_>, given: Option<u32>, channel: &Channel) -> (RowEvidence, [f64; WIDTH]) {
    let (classes, probabilities) = row;
    let mut posterior = [0.0; WIDTH];
    match given {
        Some(given) => {
            channel.posterior(row, given, &mut posterior);
        }
        None => posterior.iter_mut().zip(probabilities).for_each(|(value, &probability)| *value = probability.into()),
    }
    let first = usize::from(given.is_some());
    let mut best = first;
    for place in first + 1..WIDTH {
        if classes[place] != NO_CLASS && posterior[best] < posterior[place] {
            best = place;
        }
    }
    // A class without other samples has no score at all, not a small one.
    let is_judged = given.is_some() && 0.0 < probabilities[0];
    let evidence = RowEvidence {
        given_probability: is_judged.then_some(probabilities[0]),
        correct_probability: is_judged.then_some(posterior[0] as f32),
        suggested: Some(classes[best]).filter(|&class| class != NO_CLASS),
        suggested_probability: posterior[best] as f32,
    };
    (evidence, posterior)
}

/// Adds up the counts of equal pairs; largest first, ties by pair, without those below a tenth.
fn summed(mut counts: Vec<((u32, u32), f64)>) -> impl Iterator<Item = ((u32, u32), f64)> {
    counts.sort_by_key(|&(pair, _)| pair);
    let sum = |equal: &[((u32, u32), f64)]| (equal[0].0, equal.iter().map(|(_, count)| count).sum::<f64>());
    let mut sums: Vec<((u32, u32), f64)> = counts.chunk_by(|a, b| a.0 == b.0).map(sum).collect();
    sums.retain(|&(_, count)| 0.1 <= count);
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes on either side of zero, `n` samples each, and their neighbors by brute force.
    struct Scene {
        features: Array2<f32>,
        labels: Vec<Option<u32>>,
        families: Vec<u32>,
        neighbors: Array2<u32>,
        similarities: Array2<f32>,
    }

    impl Scene {
        fn new(n: usize) -> Self {
            let mut state = 1_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            let features = Array2::from_shape_fn((2 * n, 4), |(row, column)| {
                next()
                    + if column > 0 {
                        0.0
                    } else if row % 2 == 0 {
                        1.0
                    } else {
                        -1.0
                    }
            });
            let labels = (0..2 * n as u32).map(|row| Some(row % 2)).collect();
            let families = (0..2 * n as u32).collect();
            Self { features, labels, families, neighbors: Array2::zeros((0, 0)), similarities: Array2::zeros((0, 0)) }
        }

        /// Ten neighbors by the negative distance, brought into [0, 1].
        fn find_neighbors(&mut self) {
            let n = self.features.nrows();
            self.neighbors = Array2::zeros((n, 10));
            self.similarities = Array2::zeros((n, 10));
            for row in 0..n {
                let mut found: Vec<(f32, u32)> = (0..n)
                    .filter(|&other| other != row)
                    .map(|other| {
                        let difference = &self.features.row(row) - &self.features.row(other);
                        (1.0 / (1.0 + difference.dot(&difference)), other as u32)
                    })
                    .collect();
                found.sort_by(|a, b| b.0.total_cmp(&a.0));
                for (place, (similarity, other)) in found.into_iter().take(10).enumerate() {
                    self.neighbors[[row, place]] = other;
                    self.similarities[[row, place]] = similarity;
                }
            }
        }

        fn evidence(&self) -> LabelEvidence {
            let samples = LabeledVectors {
                features: self.features.view(),
                labels: &self.labels,
                n_classes: 2,
                families: &self.families,
                neighbors: self.neighbors.view(),
                similarities: self.similarities.view(),
            };
            label_evidence(&samples, &EvidenceOptions::default()).unwrap()
        }
    }

    #[test]
    fn flipped_labels_are_suspected_and_no_others() {
        let mut scene = Scene::new(100);
        scene.find_neighbors();
        for row in [10, 31, 77] {
            scene.labels[row] = scene.labels[row].map(|label| 1 - label);
        }
        let evidence = scene.evidence();
        let suspected: Vec<usize> = (0..200).filter(|&row| evidence.rows[row].is_suspected()).collect();
        assert_eq!(suspected, [10, 31, 77]);
        assert_eq!(evidence.rows[10].suggested, Some(0));
        assert_eq!(evidence.noise.budget.n, 3);
        let rate = evidence.noise.rate;
        assert!(rate.low <= 0.015 && 0.015 <= rate.high, "{rate:?}");
    }

    #[test]
    fn copies_with_the_same_wrong_label_do_not_confirm_each_other() {
        let mut scene = Scene::new(40);
        // Row 3 of class 1 lies among class 0, nine times.
        for row in [3, 5, 7, 9, 11, 13, 15, 17, 19] {
            let copied = scene.features.row(0).mapv(|value| value + 0.01);
            scene.features.row_mut(row).assign(&copied);
            scene.families[row] = 3;
        }
        scene.find_neighbors();
        let evidence = scene.evidence();
        assert!(evidence.rows[3].is_suspected(), "{:?}", evidence.rows[3]);
        scene.families = (0..80).collect();
        assert!(!scene.evidence().rows[3].is_suspected());
    }

    #[test]
    fn a_sample_without_label_is_scored_and_not_learned_from() {
        let mut scene = Scene::new(30);
        scene.find_neighbors();
        scene.labels[4] = None;
        let evidence = scene.evidence();
        assert_eq!(evidence.rows[4].given_probability, None);
        assert_eq!(evidence.rows[4].suggested, Some(0));
        assert_eq!(evidence.noise.n, 59);
    }

    #[test]
    fn a_class_of_one_family_is_not_judged() {
        let mut scene = Scene::new(30);
        scene.find_neighbors();
        for (row, label) in scene.labels.iter_mut().enumerate() {
            *label = Some(u32::from(row == 3));
        }
        let evidence = scene.evidence();
        assert_eq!(evidence.rows[3].suspicion(), None);
        assert!(evidence.rows[4].suspicion().is_some());
    }

    #[test]
    fn a_label_that_is_certainly_wrong_is_judged() {
        // Far apart and nearly without spread: the probability of the given label underflows.
        let mut scene = Scene::new(30);
        scene.features.mapv_inplace(|value| value.round() + value / 1000.0);
        scene.labels[4] = Some(1);
        scene.find_neighbors();
        let evidence = scene.evidence();
        assert!(evidence.rows[4].is_suspected(), "{:?}", evidence.rows[4]);
        assert_eq!(evidence.rows[4].suggested, Some(0));
    }

    #[test]
    fn one_class_is_refused() {
        let mut scene = Scene::new(3);
        scene.labels = vec![Some(1); 6];
        scene.find_neighbors();
        let samples = LabeledVectors {
            features: scene.features.view(),
            labels: &scene.labels,
            n_classes: 2,
            families: &scene.families,
            neighbors: scene.neighbors.view(),
            similarities: scene.similarities.view(),
        };
        let message = label_evidence(&samples, &EvidenceOptions::default()).unwrap_err().to_string();
        assert_eq!(message, "labels has 1 distinct classes, expected at least 2");
    }
}
