//! Several annotators per item: consensus labels, and how far each label and each annotator is to be trusted.
//!
//! Method: CROWDLAB (Goh, Tkachenko and Mueller, "CROWDLAB: Supervised learning to infer consensus labels and quality
//! scores for data with multiple annotators", 2022) and `ActiveLab` (Goh and Mueller, "`ActiveLab`: Active Learning with
//! Re-Labeling by Multiple Annotators", 2023), with the constants of cleanlab 2.9.0. **Low quality is suspicious.**
//!
//! Annotations are `(n, n_annotators)`: a class below the number of classes, or -1 where the annotator gave no label.
//! Every item and every annotator must have at least one label, and [`consensus`] needs an item with two. Probabilities
//! are `(n, n_classes)` per model. Everything costs O(n (`n_annotators` + `n_models` · `n_classes`)) time, calibration some
//! twenty times as much, and one `f64` per probability in memory; nothing depends on the number of threads.

mod calibration;
mod input;
mod posterior;
mod vote;

use ndarray::{Array2, ArrayView2};

use crate::Error;
use crate::input::check_length;

use self::calibration::{calibrated, temperature};
use self::input::{Annotations, check_models};
use self::posterior::Pass;

/// How the probabilities of a model are softened or sharpened before they meet the annotators.
///
/// The probabilities (raised to 1e-30 at least) are taken to the power `1 / T` and normalized. T minimizes the
/// cross-entropy to the annotators' distribution of each item: first on the grid .1, .2, .5, .8, 1, 2, 3, 5, 8, then on
/// four equal steps from the neighbor below up to the best and four from the best up to the neighbor above, ends
/// excluded; ties go to the smaller T. When 8 is the best of the grid only the steps from 5 below 8 are tried, so
/// that the largest T is 7.25 (cleanlab 2.9.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Calibration {
    /// Probabilities as they are.
    #[default]
    None,
    /// Against distributions as cleanlab 2.9.0 counts them: the shares of an item's labels stand in the first places,
    /// ordered by class, whatever the classes are. An item labeled 2 by all counts as an item of class 0.
    Cleanlab,
    /// Against the shares of each class among the labels of the item, as the paper has it.
    ByClass,
}

/// What [`consensus`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    /// The consensus label of each item.
    pub labels: Vec<u32>,
    /// The posterior probability of the consensus label, in [0, 1].
    pub quality: Vec<f64>,
    /// The share of the item's annotators who gave the consensus label.
    pub agreement: Vec<f64>,
    /// Labels of each item.
    pub n_annotations: Vec<usize>,
    /// `(n, n_annotators)`: the posterior probability of each given label; NaN where there is none.
    pub label_quality: Array2<f64>,
    /// The majority vote, where the computation starts.
    pub majority: MajorityConsensus,
    /// One entry per annotator, in the order of the columns.
    pub annotators: Vec<Annotator>,
    /// Weights estimated from the majority vote; cleanlab 2.9.0 reports these for one model.
    pub first_weights: Weights,
    /// Weights estimated from the consensus, on which the qualities rest; cleanlab 2.9.0 reports these for ensembles.
    pub weights: Weights,
    /// Temperature of each model; 1 without calibration.
    pub temperatures: Vec<f64>,
}

/// The majority vote and what the posterior says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MajorityConsensus {
    /// The label of each item, as [`majority_vote`] gives it with the mean of the models' probabilities.
    pub labels: Vec<u32>,
    /// Its posterior probability under the first weights.
    pub quality: Vec<f64>,
    /// The share of the item's annotators who gave it.
    pub agreement: Vec<f64>,
}

/// How much the models and annotators count in the posterior.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One weight per model, positive.
    pub models: Vec<f64>,
    /// One weight per annotator, in [1e-6, 1].
    pub annotators: Vec<f64>,
}

/// How good one annotator is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annotator {
    /// Mean of the posterior of the annotator's labels and of the agreement with the consensus on items with several
    /// labels, weighted by how much the models count.
    pub quality: f64,
    /// The share of the annotator's labels that are the consensus.
    pub agreement_with_consensus: f64,
    /// The class whose labels by this annotator are the consensus least often; ties go to the class the annotator gave
    /// most often, then to the smaller class (cleanlab 2.9.0 has some other last rule).
    pub worst_class: u32,
    /// Labels given.
    pub n_labels: usize,
}

/// Scores for what to label next: **low first**.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveScores {
    /// One score per annotated item: whether another label would help.
    pub labeled: Vec<f64>,
    /// One score per item without labels, on the same scale.
    pub unlabeled: Vec<f64>,
}

/// The label that most annotators gave each item.
///
/// Ties go to the class with the largest probability of the item (when given), then to the class that is rarest among
/// all annotations, then to the class whose givers agree best, in the mean, with the items that are not tied (an
/// annotator without such items counts with the mean of the others), then to the smaller class, where cleanlab 2.9.0
/// draws at random.
///
/// # Errors
/// When there are fewer than two classes, an annotation is illegal, an item or annotator has no label, or probabilities
/// do not fit or are illegal.
pub fn majority_vote(
    annotations: ArrayView2<'_, i32>,
    n_classes: usize,
    probabilities: Option<ArrayView2<'_, f32>>,
) -> Result<Vec<u32>, Error> {
    let annotations = Annotations::new(annotations, n_classes)?;
    let models = match probabilities {
        None => Vec::new(),
        Some(probabilities) => check_models(&[probabilities], annotations.n_items(), Some(n_classes))?,
    };
    Ok(vote::majority(&annotations, models.first()))
}

/// The share of each item's annotators who gave it the label in `labels`, in [0, 1].
///
/// # Errors
/// When an annotation is illegal, an item or annotator has no label, or the labels do not fit.
pub fn agreement(annotations: ArrayView2<'_, i32>, n_classes: usize, labels: &[u32]) -> Result<Vec<f64>, Error> {
    let annotations = Annotations::new(annotations, n_classes)?;
    check_length("labels", annotations.n_items(), labels.len())?;
    crate::input::check_labels(labels, n_classes)?;
    Ok(annotations.agreement(labels))
}

/// Infers consensus labels and the quality of every label and annotator (CROWDLAB).
///
/// `models` holds the probabilities of one model or of an ensemble. Weights are estimated from the majority vote; the
/// most probable class of the posterior is the consensus (within 1e-12 of the largest, the majority vote wins, then the
/// smaller class); weights are estimated once more from the consensus, and qualities are those of the second posterior.
///
/// # Errors
/// When there is no model, a model has fewer than two classes or does not fit the annotations, a value is illegal, an
/// item or annotator has no label, or no item has two labels.
pub fn consensus(
    annotations: ArrayView2<'_, i32>,
    models: &[ArrayView2<'_, f32>],
    calibration: Calibration,
) -> Result<Consensus, Error> {
    let models = check_models(models, annotations.nrows(), None)?;
    let annotations = Annotations::new(annotations, models[0].ncols())?;
    Ok(consensus_of_checked(&annotations, models, calibration)?.0)
}

/// Scores annotated and other items by how much a further label would help (`ActiveLab`).
///
/// The score of an annotated item is the mean of the posterior of its consensus and of `1 / n_classes`, the latter with
/// the mean annotator's weight. An item without labels has the models alone. All probabilities are calibrated as
/// [`Calibration::Cleanlab`] says.
///
/// `unlabeled` holds one array `(n_unlabeled, n_classes)` per model, or nothing. The class of an unlabeled item is the
/// majority vote of the models' most probable classes, each model taken for an annotator ([`majority_vote`] with
/// their mean probabilities).
///
/// # Errors
/// As [`consensus`], and when `unlabeled` has another number of models or classes or illegal values.
pub fn active_learning_scores(
    annotations: ArrayView2<'_, i32>,
    models: &[ArrayView2<'_, f32>],
    unlabeled: &[ArrayView2<'_, f32>],
) -> Result<ActiveScores, Error> {
    let models = check_models(models, annotations.nrows(), None)?;
    let n_models = models.len();
    let n_classes = models[0].ncols();
    let annotations = Annotations::new(annotations, n_classes)?;
    let unlabeled = match unlabeled.first() {
        None => Vec::new(),
        Some(first) => {
            check_length("unlabeled models", n_models, unlabeled.len())?;
            check_models(unlabeled, first.nrows(), Some(n_classes))?
        }
    };
    let (found, pass) = consensus_of_checked(&annotations, models, Calibration::Cleanlab)?;
    let mean_weight = pass.mean_annotator_weight();
    let prior = mean_weight / n_classes as f64;
    let labeled = (0..annotations.n_items()).map(|row| {
        let total = pass.total_weight(&annotations, row);
        (found.quality[row] * total + prior) / (total + mean_weight)
    });
    let model_total: f64 = pass.weights.models.iter().sum();
    let unlabeled: Vec<Array2<f64>> =
        unlabeled.iter().zip(&found.temperatures).map(|(model, &value)| calibrated(model, value)).collect();
    let n_unlabeled = unlabeled.first().map_or(0, Array2::nrows);
    let classes = match n_unlabeled {
        0 => Vec::new(),
        _ => vote::majority(&Annotations::of_predictions(&unlabeled), Some(&mean_of(&unlabeled))),
    };
    let score = |row: usize| {
        let class = classes[row] as usize;
        let weighted = unlabeled.iter().zip(&pass.weights.models).map(|(model, weight)| weight * model[[row, class]]);
        (weighted.sum::<f64>() + prior) / (model_total + mean_weight)
    };
    Ok(ActiveScores { labeled: labeled.collect(), unlabeled: (0..n_unlabeled).map(score).collect() })
}

/// [`consensus`] with the second pass, on which it rests.
fn consensus_of_checked(
    annotations: &Annotations,
    mut models: Vec<Array2<f64>>,
    calibration: Calibration,
) -> Result<(Consensus, Pass), Error> {
    if annotations.several().next().is_none() {
        return Err(Error::TooFew { what: "annotations", unit: "rows with two labels", expected: 1, got: 0 });
    }
    let mut temperatures = vec![1.0; models.len()];
    let distributions = match calibration {
        Calibration::None => None,
        Calibration::Cleanlab => Some(annotations.packed_distributions()),
        Calibration::ByClass => Some(annotations.distributions()),
    };
    if let Some(distributions) = distributions {
        temperatures = models.iter().map(|model| temperature(model, &distributions)).collect();
        models = models.iter().zip(&temperatures).map(|(model, &value)| calibrated(model, value)).collect();
    }
    let majority = vote::majority(annotations, Some(&mean_of(&models)));
    let first = Pass::new(annotations, &models, &majority);
    let labels = posterior::most_probable(&first.posterior, &majority);
    let second = Pass::new(annotations, &models, &labels);
    let found = Consensus {
        quality: second.quality(&labels),
        agreement: annotations.agreement(&labels),
        n_annotations: annotations.n_labels().to_vec(),
        label_quality: second.label_quality(annotations),
        majority: MajorityConsensus {
            quality: first.quality(&majority),
            agreement: annotations.agreement(&majority),
            labels: majority,
        },
        annotators: posterior::annotators(annotations, &second, &labels),
        first_weights: first.weights,
        weights: second.weights.clone(),
        temperatures,
        labels,
    };
    Ok((found, second))
}

/// The mean of the models' probabilities; there is at least one model.
fn mean_of(models: &[Array2<f64>]) -> Array2<f64> {
    let mut mean = Array2::zeros(models[0].dim());
    for model in models {
        mean += model;
    }
    mean / models.len() as f64
}

#[cfg(test)]
mod tests;
