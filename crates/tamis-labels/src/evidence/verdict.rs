//! From candidates and channel to what is said of each sample.

use rayon::prelude::*;

use super::channel::{self, Candidates, Channel, NO_CLASS, WIDTH, Weights};
use super::{Confusion, DoubtfulPair, Grouping, LabelEvidence, NoiseEstimate, RowEvidence};

/// The most probable class of a row with its probability, and that of the given label (1 where there is none).
pub(super) fn verdict(candidates: &Candidates, row: usize, given: Option<u32>, channel: &Channel) -> (u32, f64, f32) {
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
pub(super) fn conclude(
    labels: &[Option<u32>],
    grouping: &Grouping,
    candidates: &Candidates,
    channel: &Channel,
    weights: Weights,
) -> LabelEvidence {
    let rows: Vec<(RowEvidence, [f64; WIDTH])> = (0..candidates.len())
        .into_par_iter()
        .with_min_len(1024)
        .map(|row| row_evidence(candidates.row(row), labels[row], channel))
        .collect();
    let (mut confusions, mut overlaps) = (Vec::new(), Vec::new());
    let mut n_agreeing = 0_usize;
    let mut n_given = vec![0_usize; channel.n_classes()];
    for (row, (evidence, posterior)) in rows.iter().enumerate() {
        let (Some(given), Some(_)) = (labels[row], evidence.given_probability) else { continue };
        let (classes, probabilities) = candidates.row(row);
        n_given[given as usize] += 1;
        n_agreeing += usize::from(probabilities[1..].iter().all(|&other| other <= probabilities[0]));
        for place in (1..WIDTH).filter(|&place| classes[place] != NO_CLASS) {
            let class = classes[place];
            confusions.push(((given, class), posterior[place]));
            let both = 2.0 * f64::from(probabilities[place].min(probabilities[0]));
            overlaps.push(((given.min(class), given.max(class)), both));
        }
    }
    let rows: Vec<RowEvidence> = rows.into_iter().map(|(row, _)| row).collect();
    LabelEvidence {
        is_informative: is_informative(n_agreeing, &n_given),
        noise: NoiseEstimate::new(labels, channel.n_classes(), grouping, &rows),
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

/// Whether the judges name the given label more often than whoever always names the most frequent one, by more than two
/// standard errors of a share.
fn is_informative(n_agreeing: usize, n_given: &[usize]) -> bool {
    let n: usize = n_given.iter().sum();
    let most = n_given.iter().copied().max().unwrap_or_default();
    most as f64 + (n as f64).sqrt() < n_agreeing as f64
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
