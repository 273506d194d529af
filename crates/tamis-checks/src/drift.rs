//! How far the distribution of a measure differs between two versions of a dataset, and whether chance explains it.
//!
//! A unit is a sample of either version or one that both have. The hypothesis is that chance decided which units are in
//! which version, and of units that both have, which of their two values is the later one. So the kinds of units (before,
//! after, both) are permuted over all units, and values swapped; what both versions share cancels out as it does in the
//! effect itself.
//!
//! It is drawn until the effect was as large twenty times, and the p-value is that number by the draws: Besag and Clifford,
//! "Sequential Monte Carlo p-values", Biometrika 78 (1991). Where that did not happen in all draws there are, it is `(1 + draws
//! with as large an effect) / (1 + draws)`: Phipson and Smyth, "Permutation p-values should never be zero" (2010).

use ndarray::{Array2, ArrayView2};
use tamis_core::Drift;
use tamis_core::check::derive_seed;

use crate::stats::{SplitMix, benjamini_hochberg};

/// Draws of each test, at most, where there are few: the smallest p-value is .001.
const MIN_DRAWS: usize = 999;

/// Draws with as large an effect after which chance explains it: the p-value is known to a fifth or so.
const ENOUGH: usize = 20;

/// Units that are permuted: beyond, a seeded choice of them is. Of 10,000 against 10,000 the test of Kolmogorov and Smirnov
/// sees a difference of 1.36 sqrt(2 / 10,000), that is .02, at 5 %.
const MAX_UNITS: usize = 20_000;

/// Vectors that are, which cost more.
const MAX_VECTORS: usize = 10_000;

/// Share of measures called drifted that have not, at most, on average.
const FALSE_DISCOVERIES: f64 = 0.05;

/// How chance is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    seed: u64,
    max_draws: usize,
}

impl Chance {
    /// Draws enough for one of `n_measures` to be significant by itself: the smallest p-value is at most
    /// .05 by their number.
    #[must_use]
    pub fn new(seed: u64, n_measures: usize) -> Self {
        let needed = (n_measures as f64 / FALSE_DISCOVERIES).ceil() as usize;
        Self { seed, max_draws: MIN_DRAWS.max(needed.saturating_sub(1)) }
    }

    /// How probable an effect of this size is.
    fn p_value(self, observed: f64, mut draw: impl FnMut() -> f64) -> f64 {
        let mut as_large = 0;
        for n in 1..=self.max_draws {
            // Sums in another order differ in their last bits.
            as_large += usize::from(observed <= draw() + 1e-12);
            if as_large == ENOUGH {
                return as_large as f64 / n as f64;
            }
        }
        (1 + as_large) as f64 / (1 + self.max_draws) as f64
    }
}

/// A value before and after; `None` where the version has no such sample, or the sample no value.
pub type Unit<T> = (Option<T>, Option<T>);

/// The drift of numbers: the largest difference of both distribution functions (Kolmogorov and Smirnov).
///
/// `None` where a version has no value.
#[must_use]
pub fn of_numbers(measure: &str, units: &[Unit<f32>], chance: Chance) -> Option<Drift> {
    let mut values: Vec<f32> = units.iter().flat_map(|unit| [unit.0, unit.1]).flatten().collect();
    values.sort_by(f32::total_cmp);
    // 0 and -0 are one value, here and below.
    values.dedup();
    let bin = |value: Option<f32>| value.map(|it| values.partition_point(|other| *other < it));
    let bins: Vec<Unit<usize>> = units.iter().map(|unit| (bin(unit.0), bin(unit.1))).collect();
    let tested = Tested { n_bins: values.len(), effect: kolmogorov_smirnov };
    let mean = |of: fn(&Unit<f32>) -> Option<f32>| {
        let all: Vec<f64> = units.iter().filter_map(of).map(f64::from).collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    };
    let drift = tested.drift(measure, "kolmogorov-smirnov", &bins, chance)?;
    Some(Drift { means: Some((mean(|unit| unit.0), mean(|unit| unit.1))), ..drift })
}

/// The drift of categories, numbers below `names.len()`: half the sum of the differences of their shares (total variation).
///
/// `None` where a version has no value.
#[must_use]
pub fn of_categories(measure: &str, units: &[Unit<u32>], names: &[String], chance: Chance) -> Option<Drift> {
    let bins: Vec<Unit<usize>> =
        units.iter().map(|unit| (unit.0.map(|it| it as usize), unit.1.map(|it| it as usize))).collect();
    let tested = Tested { n_bins: names.len(), effect: total_variation };
    let drift = tested.drift(measure, "total-variation", &bins, chance)?;
    let [before, after] = shares(&bins, names.len());
    let difference = |place: &usize| (after[*place] - before[*place]).abs();
    let most = (0..names.len()).max_by(|x, y| difference(x).total_cmp(&difference(y)).then(y.cmp(x)));
    let moved_most = most.map(|place| (names[place].clone(), before[place], after[place]));
    Some(Drift { moved_most, ..drift })
}

/// The drift of vectors: the maximum mean discrepancy under a Gaussian kernel, by 256 random Fourier features, with the
/// median distance as width, less what permutations have on average.
///
/// `units` say in which version each row of `vectors` `(n, dim)` is: before, after. `None` where a version has none. Gretton,
/// Borgwardt, Rasch, Schölkopf and Smola, "A Kernel Two-Sample Test", JMLR 13 (2012); Rahimi and Recht, "Random Features for
/// Large-Scale Kernel Machines" (2007).
#[must_use]
pub fn of_vectors(
    measure: &str,
    vectors: ArrayView2<'_, f32>,
    units: &[(bool, bool)],
    chance: Chance,
) -> Option<Drift> {
    let n = (units.iter().filter(|it| it.0).count(), units.iter().filter(|it| it.1).count());
    if n.0 == 0 || n.1 == 0 {
        return None;
    }
    let mut random = SplitMix::new(derive_seed(chance.seed, measure));
    let chosen = chosen(units.len(), MAX_VECTORS, &mut random);
    let mut kinds: Vec<(bool, bool)> = chosen.iter().map(|&unit| units[unit]).collect();
    let mut drift = Drift {
        measure: measure.to_owned(),
        effect: 0.0,
        statistic: "maximum-mean-discrepancy",
        p_value: None,
        is_significant: false,
        means: None,
        moved_most: None,
        n,
    };
    if kinds.iter().all(|kind| *kind == (true, true)) {
        return Some(drift);
    }
    let features = fourier_features(vectors, &chosen, &mut random);
    let observed = discrepancy(&features, &kinds);
    let (mut total, mut n_draws) = (0.0, 0_u32);
    drift.p_value = Some(chance.p_value(observed, || {
        random.shuffle(&mut kinds);
        let drawn = discrepancy(&features, &kinds);
        total += drawn;
        n_draws += 1;
        drawn
    }));
    drift.effect = (observed - total / f64::from(n_draws)).max(0.0).sqrt();
    Some(drift)
}

/// Marks what is significant, all measures together (Benjamini and Hochberg), and orders by effect.
#[must_use]
pub fn judged(mut drifts: Vec<Drift>) -> Vec<Drift> {
    let p_values: Vec<f64> = drifts.iter().filter_map(|drift| drift.p_value).collect();
    let largest = benjamini_hochberg(&p_values, FALSE_DISCOVERIES);
    for drift in &mut drifts {
        drift.is_significant = drift.p_value.zip(largest).is_some_and(|(p, largest)| p <= largest);
    }
    drifts.sort_by(|x, y| y.effect.total_cmp(&x.effect));
    drifts
}

/// Binned values and what is computed of their shares.
struct Tested {
    n_bins: usize,
    effect: fn(&[Vec<f64>; 2]) -> f64,
}

impl Tested {
    fn drift(&self, measure: &str, statistic: &'static str, units: &[Unit<usize>], chance: Chance) -> Option<Drift> {
        let n = (units.iter().filter(|it| it.0.is_some()).count(), units.iter().filter(|it| it.1.is_some()).count());
        if n.0 == 0 || n.1 == 0 {
            return None;
        }
        Some(Drift {
            measure: measure.to_owned(),
            effect: (self.effect)(&shares(units, self.n_bins)),
            statistic,
            p_value: self.p_value(units, chance, &mut SplitMix::new(derive_seed(chance.seed, measure))),
            is_significant: false,
            means: None,
            moved_most: None,
            n,
        })
    }

    /// `None` where nothing can be exchanged.
    fn p_value(&self, units: &[Unit<usize>], chance: Chance, random: &mut SplitMix) -> Option<f64> {
        if units.iter().all(|unit| unit.0 == unit.1) {
            return None;
        }
        let with_value: Vec<Unit<usize>> =
            units.iter().copied().filter(|unit| unit.0.is_some() || unit.1.is_some()).collect();
        let mut units: Vec<Unit<usize>> =
            chosen(with_value.len(), MAX_UNITS, random).into_iter().map(|unit| with_value[unit]).collect();
        let n_bins = without_empty_bins(&mut units);
        let observed = (self.effect)(&shares(&units, n_bins));
        let mut kinds: Vec<(bool, bool)> = units.iter().map(|unit| (unit.0.is_some(), unit.1.is_some())).collect();
        let mut drawn = units.clone();
        Some(chance.p_value(observed, || {
            random.shuffle(&mut kinds);
            for ((drawn, unit), kind) in drawn.iter_mut().zip(&units).zip(&kinds) {
                let (mut before, mut after) = (unit.0.or(unit.1), unit.1.or(unit.0));
                if before != after && random.below(2) == 0 {
                    std::mem::swap(&mut before, &mut after);
                }
                *drawn = (before.filter(|_| kind.0), after.filter(|_| kind.1));
            }
            (self.effect)(&shares(&drawn, n_bins))
        }))
    }
}

/// Numbers the bins that hold something anew, in their order, and says how many there are: empty ones change no effect.
fn without_empty_bins(units: &mut [Unit<usize>]) -> usize {
    let mut used: Vec<usize> = units.iter().flat_map(|unit| [unit.0, unit.1]).flatten().collect();
    used.sort_unstable();
    used.dedup();
    let place = |bin: usize| used.partition_point(|it| *it < bin);
    for unit in units {
        *unit = (unit.0.map(place), unit.1.map(place));
    }
    used.len()
}

/// Shares of the bins before and after.
fn shares(units: &[Unit<usize>], n_bins: usize) -> [Vec<f64>; 2] {
    let mut shares = [vec![0.0; n_bins], vec![0.0; n_bins]];
    for unit in units {
        for (shares, bin) in shares.iter_mut().zip([unit.0, unit.1]) {
            if let Some(bin) = bin {
                shares[bin] += 1.0;
            }
        }
    }
    for shares in &mut shares {
        let total = shares.iter().sum::<f64>().max(1.0);
        shares.iter_mut().for_each(|share| *share /= total);
    }
    shares
}

fn kolmogorov_smirnov(shares: &[Vec<f64>; 2]) -> f64 {
    let (mut below, mut largest) = (0.0_f64, 0.0_f64);
    for (before, after) in shares[0].iter().zip(&shares[1]) {
        below += after - before;
        largest = largest.max(below.abs());
    }
    largest
}

fn total_variation(shares: &[Vec<f64>; 2]) -> f64 {
    shares[0].iter().zip(&shares[1]).map(|(before, after)| (after - before).abs()).sum::<f64>() / 2.0
}

/// At most `max` of `n` places, ascending, by chance.
fn chosen(n: usize, max: usize, random: &mut SplitMix) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    if max < n {
        for place in 0..max {
            let other = place + random.below(n - place);
            places.swap(place, other);
        }
        places.truncate(max);
        places.sort_unstable();
    }
    places
}

/// Random features of each chosen vector.
const N_FEATURES: usize = 256;

/// Pairs of vectors whose median distance is the width of the kernel.
const N_WIDTH_PAIRS: usize = 2_000;

fn fourier_features(vectors: ArrayView2<'_, f32>, chosen: &[usize], random: &mut SplitMix) -> Array2<f32> {
    let mut distances: Vec<f64> = (0..N_WIDTH_PAIRS)
        .map(|_| {
            let (a, b) = (chosen[random.below(chosen.len())], chosen[random.below(chosen.len())]);
            let squares = vectors.row(a).into_iter().zip(vectors.row(b)).map(|(x, y)| f64::from(x - y).powi(2));
            squares.sum::<f64>().sqrt()
        })
        .filter(|distance| 0.0 < *distance)
        .collect();
    distances.sort_by(f64::total_cmp);
    let width = distances.get(distances.len() / 2).copied().unwrap_or(1.0);
    let frequencies = Array2::from_shape_fn((vectors.ncols(), N_FEATURES), |_| (random.normal() / width) as f32);
    let phases: Vec<f32> = (0..N_FEATURES).map(|_| (random.unit() * std::f64::consts::TAU) as f32).collect();
    let mut features = vectors.select(ndarray::Axis(0), chosen).dot(&frequencies);
    let scale = (2.0 / N_FEATURES as f32).sqrt();
    for mut row in features.rows_mut() {
        for (value, phase) in row.iter_mut().zip(&phases) {
            *value = (*value + phase).cos() * scale;
        }
    }
    features
}

/// Squared distance of the mean features of both versions.
fn discrepancy(features: &Array2<f32>, kinds: &[(bool, bool)]) -> f64 {
    let mut sums = [vec![0.0_f32; N_FEATURES], vec![0.0_f32; N_FEATURES]];
    let mut counts = [0.0_f64; 2];
    for (row, kind) in features.rows().into_iter().zip(kinds) {
        for (side, is_in) in [kind.0, kind.1].into_iter().enumerate() {
            if is_in {
                counts[side] += 1.0;
                sums[side].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    let mean = |side: usize, place: usize| f64::from(sums[side][place]) / counts[side].max(1.0);
    (0..N_FEATURES).map(|place| (mean(0, place) - mean(1, place)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANCE: Chance = Chance { seed: 1, max_draws: MIN_DRAWS };

    fn before(values: impl IntoIterator<Item = f32>) -> Vec<Unit<f32>> {
        values.into_iter().map(|it| (Some(it), None)).collect()
    }

    fn after(values: impl IntoIterator<Item = f32>) -> Vec<Unit<f32>> {
        values.into_iter().map(|it| (None, Some(it))).collect()
    }

    #[test]
    fn the_effect_is_the_largest_difference_of_the_distribution_functions() {
        // Below 2: half of the former, none of the latter.
        let units = [before([0.0, 1.0, 2.0, 3.0]), after([2.0, 2.5, 3.0])].concat();
        let drift = of_numbers("length", &units, CHANCE).unwrap();
        assert!((drift.effect - 0.5).abs() < 1e-12, "{drift:?}");
        assert_eq!(drift.means, Some((1.5, 2.5)));
        assert_eq!(drift.n, (4, 3));
    }

    #[test]
    fn zero_has_no_sign() {
        let units = [before([-0.0, 0.0, -1.0]), after([0.0, -0.0, -1.0])].concat();
        assert_eq!(of_numbers("length", &units, CHANCE).unwrap().effect, 0.0);
    }

    #[test]
    fn of_many_measures_one_can_still_be_sure() {
        let units = [before((0..30_u8).map(f32::from)), after((0..30_u8).map(|it| 100.0 + f32::from(it)))].concat();
        let n_measures = 300;
        let p = of_numbers("length", &units, Chance::new(1, n_measures)).unwrap().p_value.unwrap();
        assert!(p <= FALSE_DISCOVERIES / n_measures as f64, "{p}");
    }

    #[test]
    fn what_is_the_same_in_both_versions_does_not_drift() {
        let units: Vec<Unit<f32>> = (0..50_u8).map(|it| (Some(it.into()), Some(it.into()))).collect();
        let drift = of_numbers("length", &units, CHANCE).unwrap();
        assert_eq!((drift.effect, drift.p_value), (0.0, None));
    }

    #[test]
    fn p_values_are_uniform_where_chance_decided() {
        // 200 experiments: the p-value is below .1 in about 20; 3.5 standard deviations are 15.
        let mut random = SplitMix::new(7);
        let mut n_low = 0;
        for seed in 0..200 {
            let units: Vec<Unit<f32>> = (0..60)
                .map(|_| {
                    let value = Some(random.unit() as f32);
                    match random.below(3) {
                        0 => (value, None),
                        1 => (None, value),
                        _ => (value, value),
                    }
                })
                .collect();
            let p = of_numbers("noise", &units, Chance::new(seed, 1)).unwrap().p_value.unwrap();
            n_low += usize::from(p <= 0.1);
        }
        assert!((5..=35).contains(&n_low), "{n_low} of 200");
    }

    #[test]
    fn added_samples_of_another_kind_are_seen() {
        let mut units: Vec<Unit<f32>> = (0..200_u8).map(|it| (Some(it.into()), Some(it.into()))).collect();
        units.extend(after((0..40_u8).map(|it| 300.0 + f32::from(it))));
        let drift = of_numbers("length", &units, CHANCE).unwrap();
        assert!((drift.effect - 40.0 / 240.0).abs() < 1e-9 && drift.p_value.unwrap() <= 0.01, "{drift:?}");
    }

    #[test]
    fn labels_that_turn_one_way_are_seen_and_named() {
        let names = ["ham".to_owned(), "spam".to_owned()];
        let turned = (0..12).map(|_| (Some(0), Some(1)));
        let kept = (0..88).map(|it| (Some(it % 2), Some(it % 2)));
        let units: Vec<Unit<u32>> = turned.chain(kept).collect();
        let drift = of_categories("label", &units, &names, CHANCE).unwrap();
        assert!((drift.effect - 0.12).abs() < 1e-9 && drift.p_value.unwrap() <= 0.01, "{drift:?}");
        assert_eq!(drift.moved_most.unwrap().0, "ham");
    }

    #[test]
    fn vectors_that_move_are_seen_and_others_are_not() {
        let mut random = SplitMix::new(5);
        let moved = |random: &mut SplitMix, by: f32| {
            Array2::from_shape_fn((200, 8), |(row, column)| {
                random.normal() as f32 + if 100 <= row && column == 0 { by } else { 0.0 }
            })
        };
        let units: Vec<(bool, bool)> = (0..200).map(|row| (row < 100, 100 <= row)).collect();
        let far = moved(&mut random, 2.0);
        let near = moved(&mut random, 0.0);
        let far = of_vectors("embedding", far.view(), &units, CHANCE).unwrap();
        let near = of_vectors("embedding", near.view(), &units, CHANCE).unwrap();
        assert!(far.p_value.unwrap() <= 0.002 && 0.1 < far.effect, "{far:?}");
        assert!(0.01 < near.p_value.unwrap() && near.effect < far.effect / 3.0, "{near:?}");
    }

    #[test]
    fn many_measures_share_one_rate_of_false_discoveries() {
        let drift = |p_value: f64, effect: f64| Drift {
            measure: String::new(),
            effect,
            statistic: "",
            p_value: Some(p_value),
            is_significant: false,
            means: None,
            moved_most: None,
            n: (1, 1),
        };
        let judged = judged(vec![drift(0.04, 0.1), drift(0.9, 0.2), drift(0.001, 0.3), drift(0.5, 0.0)]);
        let seen: Vec<(f64, bool)> = judged.iter().map(|it| (it.effect, it.is_significant)).collect();
        // .04 would pass alone, but not as the second of four: .025.
        assert_eq!(seen, [(0.3, true), (0.2, false), (0.1, false), (0.0, false)]);
    }
}
