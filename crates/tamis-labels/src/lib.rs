//! Label noise on plain arrays: which labels are probably wrong, and how many.
//!
//! This crate knows labels, probabilities and embeddings as `ndarray` arrays; it knows no dataset, no file and no other
//! tamis crate. There are two ways to suspicious labels.
//!
//! **From vectors**, without training a model: [`label_evidence`] judges each label by a Gaussian per class and by the
//! votes of neighbors, both without the sample and its copies, and estimates in one step how far to trust them and how
//! noisy the labels are. [`NoiseEstimate`] says how many labels are wrong, with intervals, and how many to review.
//! [`ConfidentLearning::evidence`] does the same with probabilities from elsewhere.
//!
//! **Confident learning**, as cleanlab has it, from probabilities of a model that has not seen the label:
//!
//! ```text
//! keys, groups, labels ── folds ──┐
//!          embeddings, labels ────┴─ cross_validation (logistic) ── probabilities, labels ── table ── scan ── learning
//!
//! learning ──┬── confident (joint, calibrated) ──┬── latent (noise rates, class shares)
//!            │                                   └── health (classes, pairs of classes)
//!            ├── filter ── prune (flags)
//!            └── score (ranks), ensemble (several models)
//! ```
//!
//! 1. [`stratified_group_folds`] splits the samples; copies of one sample never lie on both sides of a split.
//! 2. [`out_of_fold_probabilities`] fits one multinomial logistic regression per fold on the other folds: each sample
//!    gets its probabilities from a model that has not seen its label.
//! 3. [`ConfidentLearning`] checks labels and probabilities and scans them once: any `f32` or `f64` array, row-major or
//!    column-major, also a mapped file larger than memory. It keeps 17 bytes a row; whatever follows reads probabilities
//!    again only for the few rows that are suspicious, or for scores that need whole rows.
//! 4. Its [joint](ConfidentLearning::joint) counts how often items given label `s` look confidently like class `y`
//!    (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021); the
//!    [calibrated](ConfidentLearning::calibrated_joint) one is scaled to the number of items given each label.
//! 5. A [`Filter`] turns the counts into flags, a [`QualityScore`] ranks; [`ConfidentLearning::issues`] does both.
//! 6. [`latent_estimate`], [`rank_classes_by_label_quality`] and [`overlapping_classes`] say what the joint means for
//!    classes, [`ensemble_scores`] ranks by several models.
//!
//! [`class_thresholds`], [`confident_joint`], [`prune_by_noise_rate`], [`self_confidence`] and their siblings do one thing
//! from labels and probabilities; each scans anew.
//!
//! Beyond one label per item: [`annotators`] (several people label one item), [`multilabel`] (any number of classes), [`tokens`] (sentences of labeled tokens), [`regression`] (numeric labels),
//! [`out_of_distribution`] (what belongs to no class) and [`shapley`] (what a sample is worth to its neighbors).
//!
//! # Conventions
//! Labels are `u32` below the number of classes. Probabilities are `(n, n_classes)`, `f32` or `f64`, each within [0, 1],
//! and all arithmetic on them is `f64`; rows sum to 1 ([`RowSums`]). A label quality score grows with the trust in the
//! label: **low is suspicious**; whoever reports a suspicion turns it around. Rows of a joint are given labels, columns
//! are guessed true labels. Equal values are ordered by the smaller index, so every result is a function of its input
//! alone: neither the number of threads nor the processor's sort decides.
//!
//! # Agreement with cleanlab
//! Counts, flags, scores, ranks, noise rates, ensembles and health agree with cleanlab 2.9.0 on its outputs in
//! `tests/fixtures`, under the stable tie rule stated there (cleanlab itself leaves ties to the processor's sort) and with
//! `f64` probabilities; given `f32`, cleanlab computes in `f32` and may order neighbors otherwise, here `f32` is widened.
//! Confidence-weighted entropies agree to 1e-9, so items whose entropies differ in the last digits may change places.
//! Where cleanlab departs from the paper, see [`Collision`]; where it divides by zero, nothing is counted.
//!
//! ```
//! use ndarray::array;
//! use tamis_labels::{
//!     Adjustment, ConfidentLearning, CountMethod, Filter, FilterOptions, LearningOptions, QualityScore,
//! };
//!
//! let labels = [0, 0, 0, 1, 1, 1];
//! let probabilities = array![[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]];
//! let learning = ConfidentLearning::new(&labels, probabilities.view(), &LearningOptions::default())?;
//! let (filter, score) = (Filter::PruneByNoiseRate, QualityScore::SelfConfidence);
//! let issues = learning.issues(filter, &FilterOptions::default(), score, Adjustment::None)?;
//! assert_eq!(issues, [2]);
//! assert_eq!(learning.num_label_issues(CountMethod::OffDiagonal), 1);
//! assert!((learning.self_confidence()[2] - 0.1).abs() < 1e-6);
//! # Ok::<(), tamis_labels::Error>(())
//! ```

mod error;
mod input;
mod sum;

mod confident;
mod ensemble;
mod filter;
mod health;
mod latent;
mod learning;
mod probability;
mod prune;
mod scan;
mod score;
mod table;

mod cross_validation;
mod evidence;
mod folds;
mod logistic;
mod products;

pub mod annotators;
pub mod multilabel;
pub mod out_of_distribution;
pub mod regression;
pub mod shapley;
pub mod tokens;

pub use confident::{Collision, ConfidentJoint, calibrated_joint, class_thresholds, confident_joint, estimated_joint};
pub use cross_validation::{FoldReport, OutOfFold, out_of_fold_probabilities};
pub use ensemble::{EnsembleWeights, ensemble_scores};
pub use error::Error;
pub use evidence::{
    ClassNoise, Confusion, DoubtfulPair, EvidenceOptions, LabelEvidence, LabeledVectors, NoiseEstimate, Rate,
    ReviewBudget, RowEvidence, label_evidence, label_evidence_on,
};
pub use filter::{
    Filter, FilterOptions, PruneOptions, confident_learning, predicted_neq_given, prune_by_both, prune_by_class,
    prune_by_noise_rate,
};
pub use folds::stratified_group_folds;
pub use health::{
    ClassOverlap, ClassQuality, HealthSummary, OverlapDirection, overlapping_classes, rank_classes_by_label_quality,
};
pub use latent::{Convergence, LatentEstimate, ShareMethod, latent_estimate};
pub use learning::{ConfidentLearning, CountMethod, LearningOptions, RowSums, off_diagonal};
pub use logistic::{FitReport, LogisticOptions, LogisticRegression};
pub use probability::Probability;
pub use products::{MatrixProducts, OnCpu};
pub use score::{
    Adjustment, QualityScore, confidence_weighted_entropy, lowest, normalized_margin, order_by_score, self_confidence,
    self_confidence_adjusted,
};
