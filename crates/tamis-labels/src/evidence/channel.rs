//! The noise channel: how often a sample of true class `y` was given label `s`, and how far the scores are to be trusted.
//!
//! Given log scores `g` of the Gaussian and `v` of the votes, a sample's class has `C(y) ∝ exp(a g_y + b v_y)`, and its
//! label was drawn from row `y` of the channel `T`. Weights and channel are those that make the given labels most likely:
//! expectation maximization (Dempster, Laird and Rubin 1977) with one Newton step for the weights in each round. The
//! scores come from models that have not seen the label, so the channel cannot explain a label by itself.

use rayon::prelude::*;

/// Least probability of a class that is possible: far below what makes a difference, far above where `f32` underflows.
const LEAST_PROBABILITY: f32 = 1e-30;

/// Pseudo-samples per true class with the overall noise rate and the shares of the given labels: keeps rare classes
/// from having a channel of their own. Chosen: 2 to 50 rank injected noise alike; 200 no longer sees pair-wise noise on
/// 1,800 samples.
const PRIOR_SAMPLES: f64 = 2.0;

/// Starting points, the rate of wrong labels; the likelihood has a second maximum for two classes.
const STARTS: [f64; 3] = [0.02, 0.15, 0.4];

/// Rounds of one start, and most rounds of a fit. Guesses: [`TOLERANCE`] is meant to end fits before.
const START_ROUNDS: usize = 15;
const ROUNDS: usize = 60;

/// Change of the mean log likelihood at which a fit has ended.
const TOLERANCE: f64 = 1e-7;

/// Largest step and largest value of a weight.
const MAX_STEP: f64 = 0.5;
const MAX_WEIGHT: f64 = 8.0;

/// Weight of the judges' own verdicts beside the given labels while the judges' weights are fitted. Noise and doubt explain
/// a few contradicted labels equally well; this share decides for noise. Chosen: the estimate for mails with 30 % noise
/// rises from .277 to .291, all other settings keep theirs within a tenth; .05 raises that at 3 % noise by 9 %.
const VERDICT_SHARE: f64 = 0.02;

/// Classes of a sample that are kept apart; all others count as one rest.
pub(super) const WIDTH: usize = 9;

/// No class: the place is unused.
pub(super) const NO_CLASS: u32 = u32::MAX;

/// Weights of the two log scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weights {
    pub(super) gaussian: f64,
    pub(super) votes: f64,
}

impl Weights {
    /// Where every fit starts. Chosen: between what fits of 64 to 1,280 dimensions end with.
    const START: Self = Self { gaussian: 0.3, votes: 1.0 };
}

/// Likely classes of many samples, [`WIDTH`] places each.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Classes, [`NO_CLASS`] where unused.
    pub(super) classes: Vec<u32>,
    /// Their probabilities before the label is looked at.
    pub(super) probabilities: Vec<f32>,
}

/// A sample's classes and their probabilities.
pub(super) type Row<'a> = (&'a [u32], &'a [f32]);

impl Candidates {
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let places = row * WIDTH..(row + 1) * WIDTH;
        (&self.classes[places.clone()], &self.probabilities[places])
    }
}

/// P(given label | true class), sparse over a uniform rest.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    /// By given label: true classes, ascending, with the probability that they are given this label.
    by_given: Vec<Vec<(u32, f64)>>,
    /// By given label: the same for all true classes that are not listed.
    rest: Vec<f64>,
    /// Share of samples whose label is right.
    pub(super) agreement: f64,
}

impl Channel {
    fn uniform(shares: &[f64], noise: f64) -> Self {
        let own = |(class, share): (usize, &f64)| vec![(narrow(class), 1.0 - noise + noise * share)];
        Self {
            by_given: shares.iter().enumerate().map(own).collect(),
            rest: shares.iter().map(|share| noise * share).collect(),
            agreement: 1.0 - noise,
        }
    }

    pub(super) fn n_classes(&self) -> usize {
        self.rest.len()
    }

    /// P(given | class).
    pub(super) fn given(&self, class: u32, given: u32) -> f64 {
        let listed = &self.by_given[given as usize];
        match listed.binary_search_by_key(&class, |&(class, _)| class) {
            Ok(place) => listed[place].1,
            Err(_) => self.rest[given as usize],
        }
    }

    /// Probabilities of the row's classes after its label was looked at, into `posterior`; returns that of the rest.
    pub(super) fn posterior(&self, row: Row<'_>, given: u32, posterior: &mut [f64; WIDTH]) -> f64 {
        let mut left = 1.0;
        let mut total = 0.0;
        for ((&class, &probability), posterior) in row.0.iter().zip(row.1).zip(posterior.iter_mut()) {
            if class == NO_CLASS {
                *posterior = 0.0;
                continue;
            }
            left -= f64::from(probability);
            *posterior = f64::from(probability) * self.given(class, given);
            total += *posterior;
        }
        let rest = left.max(0.0) * self.rest[given as usize];
        total += rest;
        if total <= 0.0 {
            return 1.0;
        }
        posterior.iter_mut().for_each(|value| *value /= total);
        rest / total
    }
}

/// A class that a sample may have, with its log scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) class: u32,
    /// Log density less the largest one of the sample.
    gaussian: f32,
    /// Log vote, relative to a class nobody votes for.
    vote: f32,
}

/// Classes of a sample that are looked at beside those that neighbors vote for: those with the highest density.
/// Chosen: soft-max over the other classes of 10,000 cost more than all matrix products.
const MAX_CLASSES: usize = 256;

/// Writes the classes that a sample may have, ascending: the densest, those with votes, and the given one.
///
/// `scores` are log densities by class, minus infinity where a class is impossible; `votes` ascend by class.
pub(super) fn entries(scores: &[f32], votes: &[(u32, f32)], given: Option<u32>, entries: &mut Vec<Entry>) {
    entries.clear();
    let highest = scores.iter().fold(f32::NEG_INFINITY, |best, &value| best.max(value));
    let least = if scores.len() <= MAX_CLASSES {
        f32::MIN
    } else {
        let mut sorted = scores.to_vec();
        let (_, least, _) = sorted.select_nth_unstable_by(MAX_CLASSES - 1, |a, b| b.total_cmp(a));
        least.max(f32::MIN)
    };
    let mut votes = votes.iter().peekable();
    for (class, &score) in (0..).zip(scores) {
        let vote = votes.next_if(|&&(voted, _)| voted == class).map_or(0.0, |&(_, vote)| vote);
        if least <= score || (score != f32::NEG_INFINITY && (0.0 < vote || given == Some(class))) {
            entries.push(Entry { class, gaussian: score - highest, vote });
        }
    }
}

/// Probabilities of the entries under the weights, in their order.
pub(super) fn probabilities(entries: &[Entry], weights: Weights) -> Vec<f32> {
    let (gaussian, vote) = (weights.gaussian as f32, weights.votes as f32);
    let mut scores: Vec<f32> = entries.iter().map(|entry| gaussian * entry.gaussian + vote * entry.vote).collect();
    let highest = scores.iter().fold(f32::NEG_INFINITY, |best, &value| best.max(value));
    let mut total = 0.0_f64;
    for score in &mut scores {
        // Only what is impossible has probability 0.
        *score = (*score - highest).exp().max(LEAST_PROBABILITY);
        total += f64::from(*score);
    }
    let scale = (1.0 / total) as f32;
    scores.iter_mut().for_each(|score| *score *= scale);
    scores
}

/// Full log scores of a few samples, for fitting the weights.
#[derive(Debug)]
pub(super) struct Sample {
    /// What each sample may be, ascending by class.
    pub(super) entries: Vec<Vec<Entry>>,
    pub(super) labels: Vec<u32>,
}

/// Counts of given labels and the classes they may stand for, in the places that candidates refer to.
struct Slots {
    /// Slot of each place of the candidates.
    slot_of: Vec<u32>,
    /// True class and given label of each slot.
    pairs: Vec<(u32, u32)>,
}

impl Slots {
    /// Rows without label have no slots.
    fn new(labels: impl Iterator<Item = Option<u32>>, candidates: &[u32], n_classes: usize) -> Self {
        let mut rows_of = vec![Vec::new(); n_classes];
        for (row, label) in (0..).zip(labels) {
            if let Some(label) = label {
                rows_of[label as usize].push(row);
            }
        }
        let mut slot_of = vec![NO_CLASS; candidates.len()];
        let mut pairs = Vec::new();
        let mut latest = vec![(NO_CLASS, 0_u32); n_classes];
        for (given, rows) in (0..).zip(&rows_of) {
            for place in rows.iter().flat_map(|&row: &usize| row * WIDTH..(row + 1) * WIDTH) {
                let class = candidates[place];
                if class == NO_CLASS {
                    continue;
                }
                let known = &mut latest[class as usize];
                if known.0 != given {
                    *known = (given, narrow(pairs.len()));
                    pairs.push((class, given));
                }
                slot_of[place] = known.1;
            }
        }
        Self { slot_of, pairs }
    }
}

/// What rounds of expectation maximization carry along.
struct Rounds<'a> {
    slots: &'a Slots,
    /// Shares of the given labels.
    shares: &'a [f64],
    n_samples: f64,
    /// P(given | class) by slot, and by given label for classes without slot.
    values: Vec<f64>,
    rest: Vec<f64>,
    agreement: f64,
}

impl<'a> Rounds<'a> {
    fn new(slots: &'a Slots, shares: &'a [f64], n_samples: usize, channel: &Channel) -> Self {
        let values = slots.pairs.iter().map(|&(class, given)| channel.given(class, given)).collect();
        let (rest, agreement) = (channel.rest.clone(), channel.agreement);
        Self { slots, shares, n_samples: n_samples as f64, values, rest, agreement }
    }

    /// Takes over the expected counts by slot.
    fn update(&mut self, counts: &[f64]) {
        let mut totals = vec![0.0; self.shares.len()];
        let mut agreeing = 0.0;
        for (&(class, given), count) in self.slots.pairs.iter().zip(counts) {
            totals[class as usize] += count;
            if class == given {
                agreeing += count;
            }
        }
        self.agreement = (agreeing / self.n_samples).clamp(0.0, 1.0);
        let noise = 1.0 - self.agreement;
        for ((value, count), &(class, given)) in self.values.iter_mut().zip(counts).zip(&self.slots.pairs) {
            let own = if class == given { self.agreement } else { 0.0 };
            let prior = PRIOR_SAMPLES * (own + noise * self.shares[given as usize]);
            *value = (count + prior) / (totals[class as usize] + PRIOR_SAMPLES);
        }
        self.cap();
        let mean_total = self.n_samples / self.shares.len() as f64;
        for (rest, share) in self.rest.iter_mut().zip(self.shares) {
            *rest = PRIOR_SAMPLES * noise * share / (mean_total + PRIOR_SAMPLES);
        }
    }

    /// No class is given another label more often than its own: else classes could change their names.
    fn cap(&mut self) {
        let mut own = vec![0.0_f64; self.shares.len()];
        for (&(class, given), &value) in self.slots.pairs.iter().zip(&self.values) {
            if class == given {
                own[class as usize] = value;
            }
        }
        for (&(class, _), value) in self.slots.pairs.iter().zip(&mut self.values) {
            *value = value.min(own[class as usize]);
        }
    }

    fn channel(&self) -> Channel {
        let mut by_given = vec![Vec::new(); self.shares.len()];
        for (&(class, given), &value) in self.slots.pairs.iter().zip(&self.values) {
            by_given[given as usize].push((class, value));
        }
        for listed in &mut by_given {
            listed.sort_unstable_by_key(|&(class, _)| class);
        }
        Channel { by_given, rest: self.rest.clone(), agreement: self.agreement }
    }
}

/// Fits weights and channel to a sample; the best of several starts.
///
/// O(rounds · rows · classes) exponentials.
pub(super) fn fit_weights(sample: &Sample, n_classes: usize) -> (Weights, Channel) {
    let labels = || sample.labels.iter().map(|&label| Some(label));
    let shares = shares(labels(), n_classes);
    let classes: Vec<u32> = (0..sample.labels.len()).into_par_iter().flat_map_iter(|row| sample.likely(row)).collect();
    let slots = Slots::new(labels(), &classes, n_classes);
    let fit = |start: (Weights, Channel), n_rounds: usize| {
        let mut rounds = Rounds::new(&slots, &shares, sample.labels.len(), &start.1);
        let mut weights = start.0;
        let mut likelihood = f64::NEG_INFINITY;
        for _ in 0..n_rounds {
            let round = sample.round(weights, &classes, &rounds);
            rounds.update(&round.counts);
            weights = round.weights;
            if (round.likelihood - likelihood).abs() < TOLERANCE {
                break;
            }
            likelihood = round.likelihood;
        }
        (likelihood, weights, rounds.channel())
    };
    let starts = STARTS.map(|noise| fit((Weights::START, Channel::uniform(&shares, noise)), START_ROUNDS));
    let better =
        |best: (f64, Weights, Channel), next: (f64, Weights, Channel)| if best.0 < next.0 { next } else { best };
    let best = starts.into_iter().reduce(better).expect("because there are starts");
    let (_, weights, channel) = fit((best.1, best.2), ROUNDS);
    (weights, channel)
}

/// Fits the channel to all labeled samples, from that of a few; the candidates' probabilities stay as they are.
pub(super) fn fit_channel(candidates: &Candidates, labels: &[Option<u32>], channel: &Channel) -> Channel {
    let n_classes = channel.rest.len();
    let shares = shares(labels.iter().copied(), n_classes);
    let slots = Slots::new(labels.iter().copied(), &candidates.classes, n_classes);
    let n_labeled = labels.iter().flatten().count();
    let mut rounds = Rounds::new(&slots, &shares, n_labeled, channel);
    for _ in 0..ROUNDS {
        let agreement = rounds.agreement;
        let counts = expected_counts(candidates, labels, &rounds);
        rounds.update(&counts);
        if (rounds.agreement - agreement).abs() < TOLERANCE {
            break;
        }
    }
    rounds.channel()
}

/// Parts of the samples whose counts are summed apart, where the counts are few; fixed, so that sums are.
const PARTS: usize = 16;

/// Most counts that are summed apart: 128 MiB in all.
const MAX_PART_COUNTS: usize = 1 << 20;

fn expected_counts(candidates: &Candidates, labels: &[Option<u32>], rounds: &Rounds<'_>) -> Vec<f64> {
    let n_counts = rounds.values.len();
    let n_parts = if n_counts <= MAX_PART_COUNTS { PARTS } else { 1 };
    let size = labels.len().div_ceil(n_parts).max(1);
    let count = |(part, labels): (usize, &[Option<u32>])| {
        let mut counts = vec![0.0; n_counts];
        for (row, given) in (part * size..).zip(labels) {
            let Some(given) = *given else { continue };
            let places = row * WIDTH..(row + 1) * WIDTH;
            let mut left = 1.0;
            let mut total = 0.0;
            for place in places.clone() {
                let slot = rounds.slots.slot_of[place];
                if slot != NO_CLASS {
                    let probability = f64::from(candidates.probabilities[place]);
                    left -= probability;
                    total += probability * rounds.values[slot as usize];
                }
            }
            total += left.max(0.0) * rounds.rest[given as usize];
            if total <= 0.0 {
                continue;
            }
            for place in places {
                let slot = rounds.slots.slot_of[place];
                if slot != NO_CLASS {
                    let probability = f64::from(candidates.probabilities[place]);
                    counts[slot as usize] += probability * rounds.values[slot as usize] / total;
                }
            }
        }
        counts
    };
    let parts: Vec<Vec<f64>> = labels.par_chunks(size).enumerate().map(count).collect();
    let mut total = vec![0.0; n_counts];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, count)| *total += count);
    }
    total
}

/// What one round finds.
struct Round {
    likelihood: f64,
    counts: Vec<f64>,
    weights: Weights,
}

/// Sums of one row that the Newton step needs: the two features `g` and `v` of the scores.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    likelihood: f64,
    gradient: [f64; 2],
    /// Covariance of the features: gg, gv, vv.
    curvature: [f64; 3],
}

impl Sample {
    /// The classes of a row that are kept apart: its own, and the most probable ones at the first weights.
    fn likely(&self, row: usize) -> [u32; WIDTH] {
        let entries = &self.entries[row];
        likely(entries, &probabilities(entries, Weights::START), Some(self.labels[row])).0
    }

    fn round(&self, weights: Weights, classes: &[u32], rounds: &Rounds<'_>) -> Round {
        let judged: Vec<(Moments, [f64; WIDTH])> = (0..self.labels.len())
            .into_par_iter()
            .with_min_len(64)
            .map(|row| self.judge(row, weights, &classes[row * WIDTH..(row + 1) * WIDTH], rounds))
            .collect();
        let mut sums = Moments::default();
        let mut counts = vec![0.0; rounds.values.len()];
        for (row, (moments, posterior)) in judged.iter().enumerate() {
            sums.likelihood += moments.likelihood;
            for (sum, value) in sums.gradient.iter_mut().zip(moments.gradient) {
                *sum += value;
            }
            for (sum, value) in sums.curvature.iter_mut().zip(moments.curvature) {
                *sum += value;
            }
            for (place, value) in posterior.iter().enumerate() {
                let slot = rounds.slots.slot_of[row * WIDTH + place];
                if slot != NO_CLASS {
                    counts[slot as usize] += value;
                }
            }
        }
        Round { likelihood: sums.likelihood / self.labels.len() as f64, counts, weights: weights.step(&sums) }
    }

    fn judge(&self, row: usize, weights: Weights, classes: &[u32], rounds: &Rounds<'_>) -> (Moments, [f64; WIDTH]) {
        let entries = &self.entries[row];
        if entries.is_empty() {
            return (Moments::default(), [0.0; WIDTH]);
        }
        let probabilities = probabilities(entries, weights);
        // Means and covariance of the two features under C.
        let (mut mean, mut second) = ([0.0; 2], [0.0; 3]);
        for (entry, &probability) in entries.iter().zip(&probabilities) {
            let (p, g, v) = (f64::from(probability), f64::from(entry.gaussian), f64::from(entry.vote));
            mean[0] += p * g;
            mean[1] += p * v;
            second[0] += p * g * g;
            second[1] += p * g * v;
            second[2] += p * v * v;
        }
        // The same means under the posterior; those of the rest are C's, less the kept classes.
        let mut posterior = [0.0; WIDTH];
        let (mut total, mut left, mut rest_mean, mut kept_mean) = (0.0, 1.0, mean, [0.0; 2]);
        for (place, &class) in classes.iter().enumerate() {
            if class == NO_CLASS {
                continue;
            }
            // An own class without other samples is impossible and not among the entries.
            let Ok(found) = entries.binary_search_by_key(&class, |entry| entry.class) else { continue };
            let p = f64::from(probabilities[found]);
            let features = [f64::from(entries[found].gaussian), f64::from(entries[found].vote)];
            posterior[place] = p * rounds.values[rounds.slots.slot_of[row * WIDTH + place] as usize];
            total += posterior[place];
            left -= p;
            for j in 0..2 {
                rest_mean[j] -= p * features[j];
                kept_mean[j] += posterior[place] * features[j];
            }
        }
        let rest = left.max(0.0) * rounds.rest[self.labels[row] as usize];
        total += rest;
        let mut moments = Moments::default();
        if total <= 0.0 {
            return (moments, [0.0; WIDTH]);
        }
        let rest_share = if 1e-9 < left { rest / left } else { 0.0 };
        moments.likelihood = total.ln();
        for j in 0..2 {
            moments.gradient[j] = (kept_mean[j] + rest_share * rest_mean[j]) / total - mean[j];
        }
        let verdict = &entries[highest_place(&probabilities)];
        moments.gradient[0] += VERDICT_SHARE * (f64::from(verdict.gaussian) - mean[0]);
        moments.gradient[1] += VERDICT_SHARE * (f64::from(verdict.vote) - mean[1]);
        moments.curvature =
            [second[0] - mean[0] * mean[0], second[1] - mean[0] * mean[1], second[2] - mean[1] * mean[1]];
        posterior.iter_mut().for_each(|value| *value /= total);
        (moments, posterior)
    }
}

impl Weights {
    /// One Newton step, damped and kept within bounds.
    fn step(self, sums: &Moments) -> Self {
        let [gg, gv, vv] = sums.curvature;
        // Keeps the matrix invertible where one feature is constant.
        let ridge = 1e-9 * (gg + vv) + f64::MIN_POSITIVE;
        let (gg, vv) = (gg + ridge, vv + ridge);
        let determinant = gg * vv - gv * gv;
        let [g, v] = sums.gradient;
        let step = |value: f64, by: f64| (value + by.clamp(-MAX_STEP, MAX_STEP)).clamp(0.0, MAX_WEIGHT);
        if determinant.is_nan() || determinant <= 0.0 {
            return self;
        }
        Self {
            gaussian: step(self.gaussian, (vv * g - gv * v) / determinant),
            votes: step(self.votes, (gg * v - gv * g) / determinant),
        }
    }
}

/// The given class and the most probable others, with their probabilities; unused places hold [`NO_CLASS`].
///
/// The given class stands first, with 0 where it is impossible; the others go from large to small, equal ones by the
/// smaller class.
pub(super) fn likely(entries: &[Entry], probabilities: &[f32], given: Option<u32>) -> ([u32; WIDTH], [f32; WIDTH]) {
    let (mut classes, mut kept) = ([NO_CLASS; WIDTH], [0.0_f32; WIDTH]);
    let first = usize::from(given.is_some());
    if let Some(given) = given {
        classes[0] = given;
    }
    let mut end = first;
    for (entry, &value) in entries.iter().zip(probabilities) {
        if given == Some(entry.class) {
            kept[0] = value;
            continue;
        }
        if end == WIDTH && value <= kept[WIDTH - 1] {
            continue;
        }
        let mut place = end.min(WIDTH - 1);
        while first < place && kept[place - 1] < value {
            (classes[place], kept[place]) = (classes[place - 1], kept[place - 1]);
            place -= 1;
        }
        (classes[place], kept[place]) = (entry.class, value);
        end = (end + 1).min(WIDTH);
    }
    (classes, kept)
}

/// Place of the largest value; the first of equal ones.
fn highest_place(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, place| if values[best] < values[place] { place } else { best })
}

/// Share of each class among the given labels.
fn shares(labels: impl Iterator<Item = Option<u32>>, n_classes: usize) -> Vec<f64> {
    let mut counts = vec![0.0_f64; n_classes];
    labels.flatten().for_each(|label| counts[label as usize] += 1.0);
    let total = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|count| count / total).collect()
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("because classes and their pairs are fewer than 2^32")
}
