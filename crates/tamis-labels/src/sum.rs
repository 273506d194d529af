//! Sums in the order of numpy, where a result hangs on the last digit.

/// Entries that numpy adds without splitting (numpy 2, `loops_utils`: `PW_BLOCKSIZE`).
const UNSPLIT: usize = 128;

/// Interleaved partial sums within such a part.
const LANES: usize = 8;

/// Sums `n` numbers pairwise: halves are summed apart, down to [`UNSPLIT`] numbers in [`LANES`] interleaved sums.
///
/// `next` gives the numbers in order. The order of the additions is that of numpy's sum of a contiguous array, so that
/// a total which is then multiplied and rounded to whole numbers has the same last digit.
pub(crate) fn pairwise_sum(n: usize, next: &mut impl FnMut() -> f64) -> f64 {
    if n < LANES {
        return (0..n).fold(0.0, |sum, _| sum + next());
    }
    if UNSPLIT < n {
        let half = n / 2;
        let first = half - half % LANES;
        let sum_of_first = pairwise_sum(first, next);
        return sum_of_first + pairwise_sum(n - first, next);
    }
    let mut sums = [0.0; LANES];
    for _ in 0..n / LANES {
        for sum in &mut sums {
            *sum += next();
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let total = ((a + b) + (c + d)) + ((e + f) + (g + h));
    (0..n % LANES).fold(total, |sum, _| sum + next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digit_is_that_of_numpy() {
        // (np.arange(n) / 7 + 0.1).sum() of numpy 2.4.6; a plain loop ends otherwise from 129 on.
        let expected = [
            (7, 3.7),
            (100, 717.142_857_142_857_1),
            (129, 1_192.328_571_428_571_4),
            (200, 2_862.857_142_857_142_7),
            (1000, 71_457.142_857_142_86),
            (5000, 1_785_857.142_857_143),
        ];
        for (n, expected) in expected {
            let mut numbers = (0..n).map(|number| f64::from(number) / 7.0 + 0.1);
            let sum = pairwise_sum(n as usize, &mut || numbers.next().unwrap());
            assert_eq!(sum.to_bits(), f64::to_bits(expected), "{n}: {sum:?}");
        }
    }
}
