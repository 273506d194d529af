//! Statistics that several checks need.

use tamis_core::report::wilson_interval;

/// The `q`-quantile of `sorted` by linear interpolation between the two nearest values: type 7 of Hyndman and Fan,
/// "Sample quantiles in statistical packages" (1996), the default of R and `NumPy`.
///
/// `None` for no values.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "a dataset has fewer than 2^32 samples")]
    let place = q * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= place <= last")]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - place.floor();
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// The p-value of each score against the scores of a clean reference: `(1 + #{reference >= score}) / (1 + n)`.
///
/// If a sample is as clean as those of the reference, its p-value is at most x with a probability of at most x: Vovk,
/// Gammerman and Shafer, "Algorithmic learning in a random world" (2005), section 2.2.
#[must_use]
pub fn conformal_p_values(reference: &[f32], scores: &[f32]) -> Vec<f64> {
    let sorted = sorted(reference);
    scores.iter().map(|score| ratio(1 + at_least(&sorted, *score), 1 + sorted.len())).collect()
}

/// Scores, ascending.
pub(crate) fn sorted(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted
}

/// How many of `sorted` are at least `score`.
pub(crate) fn at_least(sorted: &[f32], score: f32) -> usize {
    sorted.len() - sorted.partition_point(|it| *it < score)
}

/// The largest p-value that is rejected at a false-discovery rate of `q`; `None` where none is.
///
/// Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995). It holds for conformal p-values, which
/// depend on each other by their common reference: Bates, Candès, Lei, Romano and Sesia, "Testing for outliers with conformal
/// p-values", Annals of Statistics 51 (2023), theorem 2.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let is_under = |(rank, p): &(usize, &f64)| **p <= q * ratio(rank + 1, p_values.len());
    sorted.iter().enumerate().rfind(is_under).map(|(_, p)| *p)
}

/// How many clean samples of a test can be among the highest scores, whatever threshold is chosen afterwards.
///
/// Clean samples of the test and those of the reference are drawn alike, so that their common order is any with the same
/// probability, whatever the scores are. In 4,000 such orders it is counted how many of `n_tests` stand above the j-th largest
/// of the reference, for some j; bounds are as many as are exceeded anywhere in 5 of 100 orders (the template method of
/// Blanchard, Neuvial and Roquain, "Post hoc confidence bounds on false positives", Annals of Statistics 48 (2020), with the
/// quantiles of these counts for a template).
#[derive(Clone, Debug)]
pub struct FalseFlags {
    /// Places in the reference from the largest score on, ascending, from 1.
    places: Vec<usize>,
    /// Clean samples above each place at most.
    most: Vec<usize>,
}

/// Orders that are drawn: the share of 5 % is met within a third of a point.
const N_ORDERS: usize = 4000;

/// The last place that is looked at: where a hundred of the reference are above, a threshold tells nothing.
const LAST_PLACE: usize = 100;

/// Share of orders in which the bounds may be exceeded.
const MISS: f64 = 0.05;

impl FalseFlags {
    /// Bounds for so many tests and so large a reference.
    #[must_use]
    pub fn new(n_reference: usize, n_tests: usize, seed: u64) -> Self {
        let places: Vec<usize> = (1..=n_reference.min(LAST_PLACE)).collect();
        let mut random = SplitMix::new(seed);
        let mut counts: Vec<Vec<u32>> = places.iter().map(|_| Vec::with_capacity(N_ORDERS)).collect();
        for _ in 0..N_ORDERS {
            let (mut tests, mut above) = (n_tests, 0);
            for (place, counts) in counts.iter_mut().enumerate() {
                let references = n_reference - place;
                while tests != 0 && random.below(tests + references) < tests {
                    tests -= 1;
                    above += 1;
                }
                counts.push(above);
            }
        }
        // How seldom a count is as large as that of an order, at the place where that is seldomest.
        let mut seldomest = vec![usize::MAX; N_ORDERS];
        let mut sorted = counts.clone();
        for (counts, sorted) in counts.iter().zip(&mut sorted) {
            sorted.sort_unstable();
            for (count, seldomest) in counts.iter().zip(&mut seldomest) {
                *seldomest = (*seldomest).min(N_ORDERS - sorted.partition_point(|it| it < count));
            }
        }
        seldomest.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share"
        )]
        let allowed = (MISS * N_ORDERS as f64) as usize;
        // Orders that are seldomer than this one are at most as many as allowed.
        let limit = seldomest.get(allowed).copied().unwrap_or(0);
        let most = |sorted: &Vec<u32>| sorted[N_ORDERS - limit.clamp(1, N_ORDERS)] as usize;
        let most = if places.is_empty() { Vec::new() } else { sorted.iter().map(most).collect() };
        Self { places, most }
    }

    /// Clean samples among those with at least a score that so many of the reference have; `None` where there are too many
    /// for a bound.
    #[must_use]
    pub fn at(&self, n_reference_above: usize) -> Option<usize> {
        let place = self.places.binary_search(&(n_reference_above + 1)).ok()?;
        Some(self.most[place])
    }
}

/// How much a metric differs between two groups of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Mean of the first group.
    pub first: f64,
    /// Mean of the second group.
    pub second: f64,
    /// Samples of the first group.
    pub n_first: usize,
    /// Samples of the second group.
    pub n_second: usize,
    /// First less second.
    pub difference: f64,
    /// 95 % interval of the difference: Newcombe's hybrid score interval where all values are 0 or 1, otherwise Welch's with
    /// the variance of each group; `None` where a group has no variance because it is a single sample.
    pub interval: Option<(f64, f64)>,
    /// How often groups drawn by chance differ as much, in either direction: a permutation test with 9,999 draws.
    pub p_value: f64,
}

/// Compares the means of two groups; `None` where one is empty.
///
/// Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998),
/// method 10. Welch, "The generalization of Student's problem when several different population variances are involved",
/// Biometrika 34 (1947). Phipson and Smyth, "Permutation p-values should never be zero" (2010).
#[must_use]
pub fn difference(first: &[f64], second: &[f64], seed: u64) -> Option<Difference> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (a, b) = (mean(first), mean(second));
    let is_binary = first.iter().chain(second).all(|it| [0.0, 1.0].contains(it));
    let interval = if is_binary { Some(newcombe(first, second)) } else { welch(first, a, second, b) };
    let mut all: Vec<f64> = first.iter().chain(second).copied().collect();
    let mut random = SplitMix::new(seed);
    let mut as_far = 1_usize;
    for _ in 0..N_DRAWS {
        for place in 0..first.len() {
            let other = place + random.below(all.len() - place);
            all.swap(place, other);
        }
        let (drawn, rest) = all.split_at(first.len());
        // Sums in another order differ in their last bits.
        as_far += usize::from((a - b).abs() <= (mean(drawn) - mean(rest)).abs() + 1e-12);
    }
    Some(Difference {
        first: a,
        second: b,
        n_first: first.len(),
        n_second: second.len(),
        difference: a - b,
        interval,
        p_value: ratio(as_far, N_DRAWS + 1),
    })
}

/// Draws of a permutation test.
const N_DRAWS: usize = 9_999;

fn newcombe(first: &[f64], second: &[f64]) -> (f64, f64) {
    let hits = |values: &[f64]| values.iter().filter(|it| 0.5 < **it).count();
    let bounds = |values: &[f64]| {
        let (low, high) = wilson_interval(hits(values), values.len()).unwrap_or((0.0, 1.0));
        (ratio(hits(values), values.len()), low, high)
    };
    let ((a, a_low, a_high), (b, b_low, b_high)) = (bounds(first), bounds(second));
    let low = a - b - ((a - a_low).powi(2) + (b_high - b).powi(2)).sqrt();
    let high = a - b + ((a_high - a).powi(2) + (b - b_low).powi(2)).sqrt();
    (low, high)
}

fn welch(first: &[f64], a: f64, second: &[f64], b: f64) -> Option<(f64, f64)> {
    if first.len() < 2 || second.len() < 2 {
        return None;
    }
    let error = |values: &[f64], mean: f64| {
        let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
        squares * ratio(1, values.len() * (values.len() - 1))
    };
    let (a_error, b_error) = (error(first, a), error(second, b));
    let all = a_error + b_error;
    let part = |error: f64, n: usize| error * error * ratio(1, n - 1);
    let freedom = all * all / (part(a_error, first.len()) + part(b_error, second.len()));
    // Two groups without any variance differ by what they differ.
    let spread = if all == 0.0 { 0.0 } else { t_quantile(freedom) * all.sqrt() };
    Some((a - b - spread, a - b + spread))
}

/// What the absolute value of a variable with Student's distribution of `freedom >= 1` degrees stays below in 95 of 100 cases,
/// within 1e-3 of it.
///
/// With `t = sqrt(freedom) tan(x)` the density is proportional to `cos(x)^(freedom - 1)`, which is summed by trapezoids.
fn t_quantile(freedom: f64) -> f64 {
    const NORMAL: f64 = 1.959_964;
    const N_STEPS: u32 = 20_000;
    // Beyond, the two differ by less than is promised, and the density is too narrow for the steps.
    if 10_000.0 < freedom {
        return NORMAL;
    }
    let step = std::f64::consts::FRAC_PI_2 / f64::from(N_STEPS);
    let density = |i: u32| (f64::from(i) * step).cos().powf(freedom - 1.0);
    let areas: Vec<f64> = (0..N_STEPS).map(|i| (density(i) + density(i + 1)) / 2.0).collect();
    let wanted = 0.95 * areas.iter().sum::<f64>();
    let mut sum = 0.0;
    for (i, area) in (0..).zip(&areas) {
        if wanted <= sum + area {
            let x = (f64::from(i) + (wanted - sum) / area) * step;
            return freedom.sqrt() * x.tan();
        }
        sum += area;
    }
    f64::INFINITY
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// Starts with a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A whole number below `n`, which is above 0; the bias is below n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the product is below n * 2^64")]
        let below = ((u128::from(self.next()) * n as u128) >> 64) as usize;
        below
    }

    /// A number in [0, 1).
    #[expect(clippy::cast_precision_loss, reason = "53 bits are left")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit() * std::f64::consts::TAU);
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }

    /// Puts `values` into an order by chance (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for place in (1..values.len()).rev() {
            values.swap(place, self.below(place + 1));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 1.0), Some(8.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn p_values_count_the_reference_at_or_above() {
        assert_eq!(conformal_p_values(&[0.1, 0.5, 0.5], &[0.6, 0.5, 0.0]), [0.25, 0.75, 1.0]);
    }

    #[test]
    fn the_step_up_procedure_is_that_of_the_paper() {
        // Benjamini and Hochberg (1995), section 3.2: 15 tests, of which the first four are rejected at 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
            0.7590, 1.0,
        ];
        assert_eq!(benjamini_hochberg(&p, 0.05), Some(0.0095));
        assert_eq!(benjamini_hochberg(&[0.5, 0.9], 0.05), None);
        assert_eq!(benjamini_hochberg(&[], 0.05), None);
    }

    #[test]
    fn bounds_hold_for_all_thresholds_at_once() {
        let (n, m) = (200, 300);
        let bounds = FalseFlags::new(n, m, 1);
        assert!(bounds.at(0).unwrap() < bounds.at(20).unwrap() && bounds.at(n).is_none());
        // Other orders than those that the bounds were made of.
        let mut random = SplitMix(99);
        let mut missed = 0;
        for _ in 0..2000 {
            let (mut tests, mut above, mut is_missed) = (m, 0, false);
            for place in 0..LAST_PLACE {
                while tests != 0 && random.below(tests + n - place) < tests {
                    tests -= 1;
                    above += 1;
                }
                is_missed |= bounds.at(place).unwrap() < above;
            }
            missed += usize::from(is_missed);
        }
        // 5 % of 2,000 are 100, with a standard deviation of 10, and bounds are themselves drawn.
        assert!((40..=140).contains(&missed), "{missed}");
    }

    #[test]
    fn without_a_reference_there_is_no_bound() {
        assert_eq!(FalseFlags::new(0, 10, 1).at(0), None);
        assert_eq!(FalseFlags::new(10, 0, 1).at(0), Some(0));
    }

    #[test]
    fn the_interval_of_a_difference_is_that_of_the_paper() {
        // Newcombe (1998), table II, (a): 56/70 - 48/80, method 10: 0.0524 to 0.3339.
        let group = |hits: usize, n: usize| (0..n).map(|it| f64::from(u8::from(it < hits))).collect::<Vec<_>>();
        let found = difference(&group(56, 70), &group(48, 80), 1).unwrap();
        let interval = found.interval.unwrap();
        assert!((interval.0 - 0.0524).abs() < 1e-4 && (interval.1 - 0.3339).abs() < 1e-4, "{found:?}");
        // Fisher's exact test gives 0.0085.
        assert!((0.004..0.02).contains(&found.p_value), "{found:?}");
        assert_eq!(difference(&[], &[1.0], 1), None);
        let same = difference(&[0.5, 0.7], &[0.5, 0.7], 1).unwrap();
        let interval = same.interval.unwrap();
        assert!(same.p_value == 1.0 && interval.0 < 0.0 && 0.0 < interval.1);
    }

    #[test]
    fn few_samples_have_the_wide_interval_of_student() {
        // The tables of the distribution.
        for (freedom, expected) in [(1.0, 12.706), (2.0, 4.303), (5.0, 2.571), (30.0, 2.042), (1000.0, 1.962)] {
            assert!((t_quantile(freedom) - expected).abs() < 2e-3, "{freedom}: {}", t_quantile(freedom));
        }
        // By scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95).
        let found = difference(&[0.1, 0.4, 0.35, 0.8], &[0.3, 0.9, 0.95], 1).unwrap().interval.unwrap();
        assert!((found.0 + 1.024_627).abs() < 1e-3 && (found.1 - 0.416_293).abs() < 1e-3, "{found:?}");
        assert_eq!(difference(&[0.7], &[0.1, 0.2], 1).unwrap().interval, None);
    }
}
