//! Weights of models and annotators, and the posterior they give.

use ndarray::Array2;

use super::input::Annotations;
use super::vote::{arg_max, or_mean};
use super::{Annotator, Weights};

/// Least error rate that is divided by, least likelihood and least weight (cleanlab 2.9.0).
const MIN_RATE: f64 = 1e-6;

/// How far below the largest posterior a class counts as tied with it: rounding of sums of a few weights.
const TIE: f64 = 1e-12;

/// One round: weights estimated from given labels, and the posterior under these weights.
pub(super) struct Pass {
    pub(super) weights: Weights,
    /// `(n, n_classes)`; rows sum to 1 up to rounding.
    pub(super) posterior: Array2<f64>,
}

impl Pass {
    /// Estimates weights from `labels` and computes the posterior; some item has two labels.
    ///
    /// Section 3 of the CROWDLAB paper: over the items with several labels, P is the mean agreement with the labels, E
    /// the error rate of always guessing the most frequent label. An annotator weighs `1 - (1 - a) / E` with a the share
    /// of pairs with other annotators that agree (the mean of the others without pairs); a model weighs `1 - e / E`, e
    /// its error rate, times the root of the mean number of labels of all items. An annotator's vote gives its label P
    /// and every other class `(1 - P) / (n_classes - 1)`.
    pub(super) fn new(annotations: &Annotations, models: &[Array2<f64>], labels: &[u32]) -> Self {
        let n_several = annotations.several().count() as f64;
        let agreement = annotations.agreement(labels);
        let likelihood = (annotations.several().map(|row| agreement[row]).sum::<f64>() / n_several).max(MIN_RATE);
        let mut counts = vec![0_u32; annotations.n_classes()];
        annotations.several().for_each(|row| counts[labels[row] as usize] += 1);
        let n_most = counts.iter().max().copied().unwrap_or(0);
        let baseline_error = ((n_several - f64::from(n_most)) / n_several).max(MIN_RATE);
        let weight = |error: f64| (1.0 - error / baseline_error).max(MIN_RATE);
        let root = annotations.mean_n_labels().sqrt();
        let model_weight = |model: &Array2<f64>| {
            let is_wrong = |&row: &usize| arg_max(model.row(row).iter().copied()) != labels[row] as usize;
            let n_wrong = annotations.several().filter(is_wrong).count();
            weight(n_wrong as f64 / n_several) * root
        };
        let weights = Weights {
            models: models.iter().map(model_weight).collect(),
            annotators: pair_agreement(annotations).into_iter().map(|share| weight(1.0 - share)).collect(),
        };
        let posterior = posterior(annotations, models, &weights, likelihood);
        Self { weights, posterior }
    }

    /// The posterior of one label per item.
    pub(super) fn quality(&self, labels: &[u32]) -> Vec<f64> {
        labels.iter().enumerate().map(|(row, &label)| self.posterior[[row, label as usize]]).collect()
    }

    /// The posterior of every given label; NaN where there is none.
    pub(super) fn label_quality(&self, annotations: &Annotations) -> Array2<f64> {
        let mut quality = Array2::from_elem((annotations.n_items(), annotations.n_annotators()), f64::NAN);
        for row in 0..annotations.n_items() {
            for (annotator, label) in annotations.of_item(row) {
                quality[[row, annotator]] = self.posterior[[row, label as usize]];
            }
        }
        quality
    }

    /// What all models and the annotators of one item weigh.
    pub(super) fn total_weight(&self, annotations: &Annotations, row: usize) -> f64 {
        let annotators = annotations.of_item(row).map(|(annotator, _)| self.weights.annotators[annotator]);
        self.weights.models.iter().sum::<f64>() + annotators.sum::<f64>()
    }

    pub(super) fn mean_annotator_weight(&self) -> f64 {
        self.weights.annotators.iter().sum::<f64>() / self.weights.annotators.len() as f64
    }
}

/// The most probable class of each item; the preferred one among ties, then the smaller.
pub(super) fn most_probable(posterior: &Array2<f64>, preferred: &[u32]) -> Vec<u32> {
    let labels = posterior.rows().into_iter().zip(preferred).map(|(row, &preferred)| {
        let best = arg_max(row.iter().copied());
        if row[best] - TIE <= row[preferred as usize] { preferred } else { best as u32 }
    });
    labels.collect()
}

/// How good each annotator is, against the final consensus and posterior.
pub(super) fn annotators(annotations: &Annotations, pass: &Pass, labels: &[u32]) -> Vec<Annotator> {
    let models = pass.weights.models.iter().sum::<f64>() / pass.weights.models.len() as f64;
    let share_of_models = models / (models + annotations.mean_n_labels() * pass.mean_annotator_weight());
    let agreement_on_several = (0..annotations.n_annotators()).map(|annotator| {
        let several = annotations.of_annotator(annotator).filter(|&(row, _)| 1 < annotations.n_labels()[row]);
        agreement_share(several, labels)
    });
    let agreement_on_several = or_mean(agreement_on_several.collect());
    let of_annotator = |annotator: usize| {
        let given: Vec<(usize, u32)> = annotations.of_annotator(annotator).collect();
        let posterior: f64 = given.iter().map(|&(row, label)| pass.posterior[[row, label as usize]]).sum();
        let quality = posterior / given.len() as f64;
        Annotator {
            quality: share_of_models * quality + (1.0 - share_of_models) * agreement_on_several[annotator],
            agreement_with_consensus: agreement_share(given.iter().copied(), labels).unwrap_or(0.0),
            worst_class: worst_class(&given, labels, annotations.n_classes()),
            n_labels: given.len(),
        }
    };
    (0..annotations.n_annotators()).map(of_annotator).collect()
}

/// The share of an annotator's labels that equal `labels`; `None` without labels.
fn agreement_share(given: impl Iterator<Item = (usize, u32)>, labels: &[u32]) -> Option<f64> {
    let (n_agreeing, n_all) = given
        .fold((0_u32, 0_u32), |(agreeing, all), (row, label)| (agreeing + u32::from(labels[row] == label), all + 1));
    (0 < n_all).then(|| f64::from(n_agreeing) / f64::from(n_all))
}

fn worst_class(given: &[(usize, u32)], labels: &[u32], n_classes: usize) -> u32 {
    let mut counts = vec![(0_u64, 0_u64); n_classes];
    for &(row, label) in given {
        let (n_agreeing, n_given) = &mut counts[label as usize];
        *n_agreeing += u64::from(labels[row] == label);
        *n_given += 1;
    }
    let mut worst: Option<usize> = None;
    for (class, &(agreeing, all)) in counts.iter().enumerate().filter(|(_, (_, all))| 0 < *all) {
        let is_worse = worst.is_none_or(|worst| {
            let (worst_agreeing, worst_all) = counts[worst];
            // Shares are compared as fractions, so that ties are exact.
            let order = (agreeing * worst_all).cmp(&(worst_agreeing * all)).then(worst_all.cmp(&all));
            order.is_lt()
        });
        if is_worse {
            worst = Some(class);
        }
    }
    worst.unwrap_or(0) as u32
}

/// The share of pairs of labels of one item, one being the annotator's, that agree; the mean of the others without pairs.
fn pair_agreement(annotations: &Annotations) -> Vec<f64> {
    let mut pairs = vec![(0_u64, 0_u64); annotations.n_annotators()];
    for row in annotations.several() {
        let votes = annotations.votes(row);
        for (annotator, label) in annotations.of_item(row) {
            pairs[annotator].0 += votes[label as usize] as u64 - 1;
            pairs[annotator].1 += annotations.n_labels()[row] as u64 - 1;
        }
    }
    let shares = pairs.iter().map(|&(agreeing, all)| (0 < all).then(|| agreeing as f64 / all as f64));
    or_mean(shares.collect())
}

fn posterior(annotations: &Annotations, models: &[Array2<f64>], weights: &Weights, likelihood: f64) -> Array2<f64> {
    let n_classes = annotations.n_classes();
    let unlikely = (1.0 - likelihood) / (n_classes - 1) as f64;
    let mut posterior = Array2::zeros((annotations.n_items(), n_classes));
    for (row, mut entries) in posterior.rows_mut().into_iter().enumerate() {
        let mut total = 0.0;
        for (model, &weight) in models.iter().zip(&weights.models) {
            entries.scaled_add(weight, &model.row(row));
            total += weight;
        }
        for (annotator, label) in annotations.of_item(row) {
            let weight = weights.annotators[annotator];
            for (class, entry) in entries.iter_mut().enumerate() {
                *entry += weight * if class == label as usize { likelihood } else { unlikely };
            }
            total += weight;
        }
        entries /= total;
    }
    posterior
}
