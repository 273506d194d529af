//! From candidates and channel to what is said of each sample.

use rayon::prelude::*;

use super::channel::{Candidates, Channel, NO_CLASS, Row, WIDTH, Weights};
use super::{Confusion, DoubtfulPair, Grouping, LabelEvidence, NoiseEstimate, RowEvidence};

/// The most probable class of a row with its probability, and that of the given label (1 where there is none).
pub(super) fn verdict(candidates: &Candidates, row: usize, given: Option<u32>, channel: &Channel) -> (u32, f64, f32) {
    let row = candidates.row(row);
    let posterior = posterior(row, given, channel);
    let best = most_probable(row.0, &posterior, 0);
    (row.0[best], posterior[best], if given.is_some() { posterior[0] as f32 } else { 1.0 })
}

/// Probabilities of the row's classes, knowing the label that was given, if one was.
fn posterior(row: Row<'_>, given: Option<u32>, channel: &Channel) -> [f64; WIDTH] {
    let mut posterior = [0.0; WIDTH];
    match given {
        Some(given) => {
            channel.posterior(row, given, &mut posterior);
        }
        None => posterior.iter_mut().zip(row.1).for_each(|(value, &probability)| *value = probability.into()),
    }
    posterior
}

/// The place of the most probable class from place `first` on; of equal ones the first.
fn most_probable(classes: &[u32], posterior: &[f64; WIDTH], first: usize) -> usize {
    let mut best = first;
    for place in first + 1..WIDTH {
        if classes[place] != NO_CLASS && posterior[best] < posterior[place] {
            best = place;
        }
    }
    best
}

/// Rows whose pairs of classes are summed apart; fixed, so that sums are.
const PART_ROWS: usize = 1 << 14;

/// Evidence from the final candidates and channel.
pub(super) fn conclude(
    labels: &[Option<u32>],
    grouping: &Grouping,
    candidates: &Candidates,
    channel: &Channel,
    weights: Weights,
) -> LabelEvidence {
    let parts: Vec<&[Option<u32>]> = labels.chunks(PART_ROWS).collect();
    let parts: Vec<Part> = parts
        .into_par_iter()
        .enumerate()
        .map(|(part, labels)| Part::of(labels, part * PART_ROWS, candidates, channel))
        .collect();
    let mut rows = Vec::with_capacity(labels.len());
    let (mut confusions, mut overlaps) = (Vec::new(), Vec::new());
    let mut n_agreeing = 0;
    for part in parts {
        rows.extend(part.rows);
        confusions.extend(part.confusions);
        overlaps.extend(part.overlaps);
        n_agreeing += part.n_agreeing;
    }
    let mut n_given = vec![0_usize; channel.n_classes()];
    let judged = labels.iter().zip(&rows).filter(|(_, row)| row.given_probability.is_some());
    judged.filter_map(|(label, _)| *label).for_each(|given| n_given[given as usize] += 1);
    let confusions = largest(summed(confusions));
    let overlaps = largest(summed(overlaps));
    LabelEvidence {
        is_informative: is_informative(n_agreeing, &n_given),
        noise: NoiseEstimate::new(labels, channel.n_classes(), grouping, &rows),
        confusions: confusions.map(|((given, class), count)| Confusion { given, class, count }).collect(),
        overlaps: overlaps.map(|((a, b), count)| DoubtfulPair { a, b, count }).collect(),
        rows,
        judge_weights: (weights.gaussian, weights.votes),
    }
}

/// A pair of classes and how many samples are of it.
type PairCount = ((u32, u32), f64);

/// Evidence on adjacent rows, with sums over them.
struct Part {
    rows: Vec<RowEvidence>,
    confusions: Vec<PairCount>,
    overlaps: Vec<PairCount>,
    /// Rows of which the given label is the most probable before it is looked at.
    n_agreeing: usize,
}

impl Part {
    fn of(labels: &[Option<u32>], start: usize, candidates: &Candidates, channel: &Channel) -> Self {
        let mut rows = Vec::with_capacity(labels.len());
        let (mut confusions, mut overlaps) = (Vec::new(), Vec::new());
        let mut n_agreeing = 0;
        for (row, &label) in (start..).zip(labels) {
            let (classes, probabilities) = candidates.row(row);
            let (evidence, posterior) = row_evidence((classes, probabilities), label, channel);
            rows.push(evidence);
            let (Some(given), Some(_)) = (label, evidence.given_probability) else { continue };
            n_agreeing += usize::from(probabilities[1..].iter().all(|&other| other <= probabilities[0]));
            for place in (1..WIDTH).filter(|&place| classes[place] != NO_CLASS) {
                let class = classes[place];
                confusions.push(((given, class), posterior[place]));
                let both = 2.0 * f64::from(probabilities[place].min(probabilities[0]));
                overlaps.push(((given.min(class), given.max(class)), both));
            }
        }
        Self { rows, confusions: summed(confusions), overlaps: summed(overlaps), n_agreeing }
    }
}

fn row_evidence(row: Row<'_>, given: Option<u32>, channel: &Channel) -> (RowEvidence, [f64; WIDTH]) {
    let (classes, probabilities) = row;
    let posterior = posterior(row, given, channel);
    let best = most_probable(classes, &posterior, usize::from(given.is_some()));
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

/// Whether the judges name the given label more often than whoever always names the most frequent one, by more than two
/// standard errors of a share.
fn is_informative(n_agreeing: usize, n_given: &[usize]) -> bool {
    let n: usize = n_given.iter().sum();
    let most = n_given.iter().copied().max().unwrap_or_default();
    most as f64 + (n as f64).sqrt() < n_agreeing as f64
}

/// Adds up the counts of equal pairs, ascending by pair.
fn summed(mut counts: Vec<PairCount>) -> Vec<PairCount> {
    counts.sort_by_key(|&(pair, _)| pair);
    let sum = |equal: &[PairCount]| (equal[0].0, equal.iter().map(|(_, count)| count).sum::<f64>());
    counts.chunk_by(|a, b| a.0 == b.0).map(sum).collect()
}

/// Pairs by count, largest first, ties by pair, without those below a tenth.
fn largest(mut counts: Vec<PairCount>) -> impl Iterator<Item = PairCount> {
    counts.retain(|&(_, count)| 0.1 <= count);
    counts.sort_by(|a, b| b.1.total_cmp(&a.1));
    counts.into_iter()
}
