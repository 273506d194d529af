//! The two element types of probabilities, and one pass over the probabilities of one item.

/// Element type of probabilities: `f32` or `f64`.
///
/// All arithmetic is done in `f64`; comparisons of an `f32` with a bound are exact, because the bound is first rounded
/// up to the next `f32`. The trait is sealed.
pub trait Probability: Into<f64> + lanes::Lanes {}

impl Probability for f32 {}
impl Probability for f64 {}

/// Adjacent probabilities that [`summarize`] takes at once.
///
/// Chosen by timing: 8 are not turned into vector instructions and take twice as long for 1,000 classes.
const WIDTH: usize = 16;

/// The same for rows of less than twice that; 4 took less time than 1 for 10 classes.
const NARROW_WIDTH: usize = 4;

/// What one pass over the probabilities of one item finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowSummary<P> {
    pub(crate) smallest: P,
    pub(crate) largest: P,
    /// Number of classes at or above their bounds.
    pub(crate) n_reached: usize,
    /// Sum of the probabilities; not a number as soon as one of them is none.
    pub(crate) total: f64,
}

/// Extremes, sum and number of entries at or above their bounds; both slices have one entry per class.
///
/// Entries are taken in interleaved lanes, so that the compiler turns the loop into vector instructions; the
/// order of the sum depends on the number of classes alone. The sum of `f32` is accumulated in `f32` per lane.
pub(crate) fn summarize<P: Probability>(row: &[P], bounds: &[P]) -> RowSummary<P> {
    if row.len() < 2 * WIDTH {
        return summarize_lanes::<P, NARROW_WIDTH>(row, bounds);
    }
    summarize_lanes::<P, WIDTH>(row, bounds)
}

fn summarize_lanes<P: Probability, const N: usize>(row: &[P], bounds: &[P]) -> RowSummary<P> {
    let mut smallest = [P::INFINITY; N];
    let mut largest = [P::NEG_INFINITY; N];
    let mut n_reached = [P::ZERO; N];
    let mut total = [P::ZERO; N];
    let (chunks, rest) = row.as_chunks::<N>();
    let (bound_chunks, rest_of_bounds) = bounds.as_chunks::<N>();
    for (values, bounds) in chunks.iter().zip(bound_chunks) {
        // One simple loop after the other: the compiler turns each into vector instructions.
        for (best, &value) in smallest.iter_mut().zip(values) {
            *best = if value < *best { value } else { *best };
        }
        for (best, &value) in largest.iter_mut().zip(values) {
            *best = if *best < value { value } else { *best };
        }
        for ((count, &value), &bound) in n_reached.iter_mut().zip(values).zip(bounds) {
            *count = count.plus(if bound <= value { P::ONE } else { P::ZERO });
        }
        for (sum, &value) in total.iter_mut().zip(values) {
            *sum = sum.plus(value);
        }
    }
    for (lane, (&value, &bound)) in rest.iter().zip(rest_of_bounds).enumerate() {
        smallest[lane] = if value < smallest[lane] { value } else { smallest[lane] };
        largest[lane] = if largest[lane] < value { value } else { largest[lane] };
        n_reached[lane] = n_reached[lane].plus(if bound <= value { P::ONE } else { P::ZERO });
        total[lane] = total[lane].plus(value);
    }
    RowSummary {
        smallest: smallest.into_iter().fold(P::INFINITY, |best, value| if value < best { value } else { best }),
        largest: largest.into_iter().fold(P::NEG_INFINITY, |best, value| if best < value { value } else { best }),
        n_reached: n_reached.into_iter().map(|count| -> f64 { count.into() }).sum::<f64>() as usize,
        total: total.into_iter().map(|sum| -> f64 { sum.into() }).sum(),
    }
}

/// Place of the first entry that equals `wanted`, which must occur.
pub(crate) fn first_equal<P: Probability>(row: &[P], wanted: P) -> usize {
    if row.len() < 2 * WIDTH {
        return place_in(row, wanted);
    }
    let (chunks, rest) = row.as_chunks::<WIDTH>();
    for (index, chunk) in chunks.iter().enumerate() {
        if chunk.iter().fold(false, |found, &value| found | (value == wanted)) {
            return index * WIDTH + place_in(chunk, wanted);
        }
    }
    chunks.len() * WIDTH + place_in(rest, wanted)
}

fn place_in<P: Probability>(entries: &[P], wanted: P) -> usize {
    entries.iter().position(|&value| value == wanted).expect("because the caller saw the value in this row")
}

mod lanes {
    /// What the pass over a row needs of its element type.
    #[expect(unnameable_types, reason = "a trait that cannot be named seals the one that inherits it")]
    pub trait Lanes: Copy + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
        /// 0.
        const ZERO: Self;
        /// 1.
        const ONE: Self;
        /// Above every number.
        const INFINITY: Self;
        /// Below every number.
        const NEG_INFINITY: Self;

        /// The sum.
        fn plus(self, other: Self) -> Self;

        /// The smallest value of this type that is at least `bound`, so that comparing with it is comparing with
        /// `bound`.
        fn at_least(bound: f64) -> Self;
    }

    impl Lanes for f32 {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
        const INFINITY: Self = Self::INFINITY;
        const NEG_INFINITY: Self = Self::NEG_INFINITY;

        fn plus(self, other: Self) -> Self {
            self + other
        }

        fn at_least(bound: f64) -> Self {
            let nearest = bound as Self;
            if f64::from(nearest) < bound { nearest.next_up() } else { nearest }
        }
    }

    impl Lanes for f64 {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
        const INFINITY: Self = Self::INFINITY;
        const NEG_INFINITY: Self = Self::NEG_INFINITY;

        fn plus(self, other: Self) -> Self {
            self + other
        }

        fn at_least(bound: f64) -> Self {
            bound
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lanes::Lanes as _;
    use super::*;

    #[test]
    fn a_rounded_bound_parts_single_precision_numbers_as_the_bound_does() {
        for bound in [0.1, 0.3 - 1e-6, 1.0 / 3.0, 0.5, -1e-6, 1.999_999, 1e-46] {
            let rounded = f32::at_least(bound);
            assert!(bound <= f64::from(rounded), "{bound}");
            assert!(f64::from(rounded.next_down()) < bound, "{bound}");
        }
    }

    #[test]
    fn summaries_of_long_and_short_rows_equal_plain_loops() {
        for n in [2, 10, 31, 32, 47, 100] {
            let row: Vec<f32> = (0..n).map(|class| ((class * 37) % 64) as f32 / 64.0).collect();
            let bounds: Vec<f32> = (0..n).map(|class| ((class * 11) % 64) as f32 / 64.0).collect();
            let summary = summarize(&row, &bounds);
            let largest = row.iter().copied().fold(0.0, f32::max);
            assert_eq!(summary.largest.to_bits(), largest.to_bits(), "{n}");
            assert_eq!(summary.smallest.to_bits(), row.iter().copied().fold(1.0, f32::min).to_bits(), "{n}");
            assert_eq!(summary.n_reached, row.iter().zip(&bounds).filter(|(value, bound)| bound <= value).count());
            // Sixty-fourths add up exactly.
            let total: f64 = row.iter().map(|&value| f64::from(value)).sum();
            assert_eq!(summary.total.to_bits(), total.to_bits(), "{n}");
            assert_eq!(Some(first_equal(&row, largest)), row.iter().position(|&value| value == largest), "{n}");
        }
    }

    #[test]
    fn one_entry_that_is_no_number_spoils_the_sum() {
        let mut row = [0.01_f32; 100];
        row[77] = f32::NAN;
        assert!(summarize(&row, &[0.5; 100]).total.is_nan());
    }
}
