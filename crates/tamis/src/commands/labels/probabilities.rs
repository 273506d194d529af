//! Labels judged by probabilities.

use std::path::Path;

use anyhow::Context as _;
use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder as _};
use tamis_data::arrays::{ArrayFile, Floats, Table};
use tamis_labels::{
    Adjustment, Collision, ConfidentLearning, Convergence, CountMethod, Error, Filter, FilterOptions, LabelEvidence,
    LearningOptions, OverlapDirection, Probability, QualityScore, RowSums, ShareMethod, latent_estimate,
};

use super::given::Given;
use super::{Confident, Judged, NO_CLASS, UNINFORMATIVE};
use crate::args::{LabelsArgs, RECOMMENDED};
use crate::exit::Usage;

/// Pairs of classes that are shown.
const MAX_OVERLAPS: usize = 10;

/// Name of the order that tamis's own evidence gives.
pub(super) const BY_EVIDENCE: &str = "evidence";

/// Reads the probabilities where they lie and judges the labels by them.
pub(super) fn judge(args: &LabelsArgs, path: &Path, given: Given) -> anyhow::Result<Judged> {
    check(args)?;
    let cannot = || format!("cannot use the probabilities of {}", path.display());
    let file = ArrayFile::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table = file.table().map_err(anyhow::Error::msg).with_context(cannot)?;
    let Table { n_rows, n_columns, is_by_columns, values } = &table;
    given.check_length("rows", path, *n_rows)?;
    if let Some(classes) = given.classes.as_ref().filter(|it| it.len() != *n_columns) {
        let names: Vec<&str> = classes.iter().take(20).map(String::as_str).collect();
        let more = if names.len() < classes.len() { ", …" } else { "" };
        let (n, names, path) = (classes.len(), names.join(", "), path.display());
        return Err(Usage(format!(
            "labels have {n} names ({names}{more}), and {path} has {n_columns} columns, expected one for each name in \
             sorted order; --classes NAME,... names the columns"
        ))
        .into());
    }
    let shape = (*n_rows, *n_columns).set_f(*is_by_columns);
    match values {
        Floats::F32(values) => judge_by(args, given, ArrayView2::from_shape(shape, values).with_context(cannot)?),
        Floats::F64(values) => judge_by(args, given, ArrayView2::from_shape(shape, values).with_context(cannot)?),
    }
    .with_context(cannot)
}

/// Refuses what can be corrected on the command line.
fn check(args: &LabelsArgs) -> Result<(), Usage> {
    let filter = filter(args);
    let prunes = matches!(filter, Some(Filter::PruneByNoiseRate | Filter::PruneByClass | Filter::Both));
    for (flag, is_given) in [
        ("--frac-noise", args.frac_noise.is_some()),
        ("--min-examples-per-class", args.min_examples_per_class.is_some()),
        ("--num-to-remove-per-class", !args.num_to_remove_per_class.is_empty()),
    ] {
        if is_given && !prunes {
            let filter = filter.map_or(RECOMMENDED, Filter::name);
            return Err(Usage(format!(
                "{flag} is not for --filter {filter}; it is for prune_by_noise_rate, prune_by_class and both"
            )));
        }
    }
    if args.adjust && filter.is_none() && args.rank.is_none() {
        return Err(Usage("--adjust is for a score: name one with --rank".to_owned()));
    }
    Ok(())
}

/// The filter of cleanlab that is asked for; `None` for tamis's own cut.
fn filter(args: &LabelsArgs) -> Option<Filter> {
    let name = args.filter.as_deref().unwrap_or(Filter::default().name());
    Filter::ALL.into_iter().find(|filter| filter.name() == name)
}

/// The score that is asked for; `None` where tamis's own evidence orders.
fn score(args: &LabelsArgs) -> Option<QualityScore> {
    match args.rank.as_deref() {
        Some(name) => QualityScore::ALL.into_iter().find(|score| score.name() == name),
        None => filter(args).map(|_| QualityScore::default()),
    }
}

/// Takes out the rows without a label, of which nothing is counted.
fn judge_by<P: Probability>(args: &LabelsArgs, given: Given, table: ArrayView2<'_, P>) -> anyhow::Result<Judged> {
    let missing = given.missing();
    if missing.is_empty() {
        let rows: Vec<usize> = Vec::new();
        return Ok(judge_labeled(args, given, missing, &rows, table)?);
    }
    let rows: Vec<usize> = (0..given.labels.len()).filter(|&row| given.labels[row].is_some()).collect();
    let labeled: Array2<P> = table.select(Axis(0), &rows);
    judge_labeled(args, given, missing, &rows, labeled.view()).map_err(|error| at_rows(error, &rows).into())
}

/// Names the rows of the file, and not those that are left of it.
fn at_rows(mut error: Error, rows: &[usize]) -> Error {
    if let Error::LabelOutOfRange { row, .. }
    | Error::ValueOutOfRange { row, .. }
    | Error::RowSum { row, .. }
    | Error::EmptyRow { row } = &mut error
    {
        *row = rows.get(*row).copied().unwrap_or(*row);
    }
    error
}

/// Judges rows that all have a label; `rows` are their places in the file, none where they are all of it.
fn judge_labeled<P: Probability>(
    args: &LabelsArgs,
    given: Given,
    missing: Vec<usize>,
    rows: &[usize],
    table: ArrayView2<'_, P>,
) -> Result<Judged, Error> {
    let labels: Vec<u32> = given.labels.iter().flatten().copied().collect();
    let row_sums = if args.renormalize { RowSums::Renormalize } else { RowSums::Check };
    let collision = if args.collision.as_deref() == Some("paper") { Collision::Paper } else { Collision::Cleanlab };
    let options = LearningOptions { collision, row_sums, thresholds: None };
    let learning = ConfidentLearning::new(&labels, table, &options)?;
    let confident = count(&learning)?;
    let place = |row: usize| rows.get(row).copied().unwrap_or(row);
    let adjustment = if args.adjust { Adjustment::Thresholds } else { Adjustment::None };
    let (filter, score) = (filter(args), score(args));
    let evidence = match filter {
        Some(_) => None,
        None => Some(learning.evidence()?),
    };
    let scores = match (score, &evidence) {
        (Some(score), _) => learning.scores(score, adjustment)?,
        (None, Some(evidence)) => trusts(evidence),
        (None, None) => unreachable!("a filter of cleanlab has a score"),
    };
    let issues = match (filter, score, &evidence) {
        (Some(filter), Some(score), _) => learning.issues(filter, &filter_options(args), score, adjustment)?,
        (_, _, Some(evidence)) => suspected(evidence, &scores),
        _ => unreachable!("either a filter of cleanlab or evidence"),
    };
    let mut notes: Vec<String> = evidence.iter().map(|it| why(it, &learning, &labels)).collect();
    if evidence.as_ref().is_some_and(|it| !it.is_informative) {
        notes.push(UNINFORMATIVE.to_owned());
    }
    notes.extend(in_sample(&learning));
    let suggested = learning.arg_max().iter().map(|&class| i64::from(class));
    let n = given.labels.len();
    let suggested = match &evidence {
        Some(evidence) => spread(n, rows, suggestions(evidence), NO_CLASS),
        None => spread(n, rows, suggested, NO_CLASS),
    };
    let rank = score.map_or(BY_EVIDENCE, QualityScore::name);
    let adjusted = if args.adjust { ", adjusted" } else { "" };
    Ok(Judged {
        n,
        given: learning.label_counts().to_vec(),
        missing,
        filter: filter.map_or(RECOMMENDED, Filter::name).to_owned(),
        rank: format!("{rank}{adjusted}"),
        notes,
        issues: issues.into_iter().map(place).collect(),
        quality: spread(n, rows, scores, f64::NAN),
        suggested,
        confident: Some(confident),
        evidence: evidence.map(|it| at_places(it, n, rows)),
        classes: given.classes,
        labels: given.labels,
    })
}

fn count<P: Probability>(learning: &ConfidentLearning<'_, P>) -> Result<Confident, Error> {
    let joint = learning.calibrated_joint();
    Ok(Confident {
        thresholds: learning.thresholds().to_vec(),
        latent: latent_estimate(
            joint.view(),
            learning.label_counts(),
            ShareMethod::Diagonal,
            Convergence::Independent,
        )?,
        health: learning.health_summary(OverlapDirection::Symmetric, MAX_OVERLAPS),
        off_diagonal_calibrated: tamis_labels::off_diagonal(joint.view()),
        joint,
    })
}

fn filter_options(args: &LabelsArgs) -> FilterOptions<'_> {
    let default = FilterOptions::default();
    let removed = &args.num_to_remove_per_class;
    FilterOptions {
        frac_noise: args.frac_noise.unwrap_or(default.frac_noise),
        min_examples_per_class: args.min_examples_per_class.unwrap_or(default.min_examples_per_class),
        num_to_remove_per_class: (!removed.is_empty()).then_some(removed),
        joint: None,
    }
}

/// Trust in each label: low is suspicious, NaN where it is not judged.
pub(super) fn trusts(evidence: &LabelEvidence) -> Vec<f64> {
    evidence.rows.iter().map(|row| row.suspicion().map_or(f64::NAN, |suspicion| 1.0 - suspicion)).collect()
}

/// Rows with suspected labels, by ascending trust; ties to the smaller row.
pub(super) fn suspected(evidence: &LabelEvidence, trusts: &[f64]) -> Vec<usize> {
    if !evidence.is_informative {
        return Vec::new();
    }
    let flags: Vec<bool> = evidence.rows.iter().map(tamis_labels::RowEvidence::is_suspected).collect();
    tamis_labels::order_by_score(&flags, trusts)
}

/// The class that is suggested for each row.
pub(super) fn suggestions(evidence: &LabelEvidence) -> impl Iterator<Item = i64> + '_ {
    evidence.rows.iter().map(|row| row.suggested.map_or(NO_CLASS, i64::from))
}

/// Values of `rows` at their places among `n`, with `none` elsewhere; all of them in order where there are no `rows`.
fn spread<T: Clone>(n: usize, rows: &[usize], values: impl IntoIterator<Item = T>, none: T) -> Vec<T> {
    if rows.is_empty() {
        return values.into_iter().collect();
    }
    let mut spread = vec![none; n];
    rows.iter().zip(values).for_each(|(&row, value)| spread[row] = value);
    spread
}

/// The same for what is known of each label.
pub(super) fn at_places(mut evidence: LabelEvidence, n: usize, rows: &[usize]) -> LabelEvidence {
    evidence.rows = spread(n, rows, evidence.rows, tamis_labels::RowEvidence::UNKNOWN);
    evidence
}

/// Why the recommended issues are these.
fn why<P: Probability>(evidence: &LabelEvidence, learning: &ConfidentLearning<'_, P>, labels: &[u32]) -> String {
    let rate = evidence.noise.rate;
    let trust = evidence.judge_weights.0;
    let sure = match trust {
        ..0.8 => "surer than they are right",
        0.8..=1.25 => "about as sure as they are right",
        _ => "less sure than they are right",
    };
    let n_suspected = evidence.rows.iter().filter(|row| row.is_suspected()).count();
    let n_other = labels.iter().zip(learning.arg_max()).filter(|(label, arg_max)| label != arg_max).count();
    format!(
        "recommended: the labels are explained best by probabilities to the power {trust:.2} ({sure}) and {:.2} % wrong \
         labels (90 %: {:.2} to {:.2} %); {n_suspected} are more probably wrong than right, or have next to nothing that \
         speaks for them (the most probable class is another one for {n_other}, cleanlab's confident joint counts {})",
        100.0 * rate.estimate,
        100.0 * rate.low,
        100.0 * rate.high,
        learning.num_label_issues(CountMethod::OffDiagonal),
    )
}

/// A warning where the model seems to have seen the labels.
fn in_sample<P: Probability>(learning: &ConfidentLearning<'_, P>) -> Option<String> {
    let n = learning.n_samples();
    let confidence = learning.self_confidence().iter().sum::<f64>() / n as f64;
    let agreement = learning.accuracy();
    learning.looks_in_sample().then(|| {
        format!(
            "warning: the most probable class is the given label for {:.2} % of the rows, and its mean probability is \
             {confidence:.4}: a model that has seen these labels looks so, and hides the wrong ones. Probabilities must \
             be of a model that was fitted without the row, e.g. by cross-validation, or use --vectors",
            100.0 * agreement
        )
    })
}
