//! Bicubic interpolation of learned positions, as PyTorch's `interpolate` does it with `align_corners=False`.
//!
//! Keys, "Cubic convolution interpolation for digital image processing" (1981), equation 4 with a free constant `a`.

use crate::ops::Matrix;

/// What happens between the samples of a signal, and where it is made shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::encoders) enum Bicubic {
    /// Four samples around each point, whatever the scale; beyond the border the last sample goes on. `a` is -0.75, as
    /// in PyTorch without `antialias`.
    Plain,
    /// The kernel is widened by the scale where the signal is made shorter, samples beyond the border do not count, and
    /// weights are divided by their sum. `a` is -0.5, as in PyTorch with `antialias`.
    Antialiased,
}

impl Bicubic {
    /// Interpolates a square map of side `n_in`, shape `(n_in, n_in, width)`, to `(n_out, n_out, width)`.
    pub(in crate::encoders) fn resize(self, map: &Matrix, n_in: usize, n_out: usize) -> Matrix {
        let width = map.width;
        let weights = self.weights(n_in, n_out);
        let columns = map.values.chunks_exact(n_in * width).flat_map(|row| combine(&weights, row));
        let narrowed: Vec<f32> = columns.collect(); // (n_in, n_out, width)
        Matrix { width, values: combine(&weights, &narrowed) }
    }

    /// Share of each of `n_in` samples in each of `n_out` points, shape `(n_out, n_in)`.
    #[expect(clippy::cast_precision_loss, reason = "a side has far fewer than 2^11 patches")]
    fn weights(self, n_in: usize, n_out: usize) -> Matrix {
        let signed = |n: usize| i64::try_from(n).expect("because a side has far fewer than 2^63 patches");
        let (last, scale) = (signed(n_in) - 1, (signed(n_in), signed(n_out)));
        let unit = match self {
            Self::Plain => scale.1,
            Self::Antialiased => scale.0.max(scale.1),
        };
        let mut weights = Matrix { width: n_in, values: vec![0.0; n_out * n_in] };
        for (point, weights) in weights.values.chunks_exact_mut(n_in).enumerate() {
            // Two samples more on each side than there are: the kernel reaches as far.
            for sample in -2..=last + 2 {
                // Both centers are half a sample behind a whole number, so the distance is a fraction of whole numbers.
                let distance = (2 * sample + 1) * scale.1 - (2 * signed(point) + 1) * scale.0;
                let weight = self.kernel((distance as f32 / (2 * unit) as f32).abs());
                let inside = sample.clamp(0, last);
                if self == Self::Plain || inside == sample {
                    weights[usize::try_from(inside).expect("because it is clamped to 0 and more")] += weight;
                }
            }
            if self == Self::Antialiased {
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        weights
    }

    /// Weight of a sample at the distance `x`.
    fn kernel(self, x: f32) -> f32 {
        let a = match self {
            Self::Plain => -0.75,
            Self::Antialiased => -0.5,
        };
        if x < 1.0 {
            ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            (((x - 5.0) * x + 8.0) * x - 4.0) * a
        } else {
            0.0
        }
    }
}

/// The sums of `samples`, as many equal parts as `weights` has columns, one sum per row of `weights`.
fn combine(weights: &Matrix, samples: &[f32]) -> Vec<f32> {
    let len = samples.len() / weights.width;
    let mut sums = vec![0.0; weights.n_rows() * len];
    for (sum, weights) in sums.chunks_exact_mut(len).zip(weights.values.chunks_exact(weights.width)) {
        for (sample, weight) in samples.chunks_exact(len).zip(weights).filter(|(_, weight)| **weight != 0.0) {
            sum.iter_mut().zip(sample).for_each(|(sum, x)| *sum += *weight * *x);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `torch.nn.functional.interpolate` of PyTorch 2.15 gives for one sample of 1 among zeros, at each place; its
    /// positions are rounded to f32, so that it is off by some 1e-6 itself.
    fn agrees(bicubic: Bicubic, n_in: usize, expected: &[f32]) {
        let got = bicubic.weights(n_in, expected.len() / n_in);
        assert_eq!((got.width, got.values.len()), (n_in, expected.len()));
        for (place, (got, expected)) in got.values.iter().zip(expected).enumerate() {
            assert!((got - expected).abs() < 3e-6, "{bicubic:?} from {n_in}, {place}: got {got}, expected {expected}");
        }
    }

    #[test]
    fn plain_weights_agree_with_pytorch() {
        agrees(
            Bicubic::Plain,
            6,
            &[
                0.7734375, 0.2617188, -0.0351562, 0.0, 0.0, 0.0, //
                -0.0351562, 0.2617188, 0.8789062, -0.1054688, 0.0, 0.0, //
                0.0, 0.0, -0.1054688, 0.8789062, 0.2617188, -0.0351562, //
                0.0, 0.0, 0.0, -0.0351562, 0.2617188, 0.7734375,
            ],
        );
        agrees(Bicubic::Plain, 2, &[1.0868058, -0.0868056, 0.5, 0.5, -0.0868053, 1.0868055]);
        agrees(Bicubic::Plain, 3, &[0.0, 1.0, 0.0]);
    }

    #[test]
    fn antialiased_weights_agree_with_pytorch() {
        agrees(
            Bicubic::Antialiased,
            6,
            &[
                0.6553399, 0.3932039, -0.0404531, -0.0080908, 0.0, 0.0, //
                -0.0382849, 0.3721287, 0.6202145, 0.0872894, -0.0413476, 0.0, //
                0.0, -0.0413476, 0.0872894, 0.6202145, 0.3721287, -0.0382849, //
                0.0, 0.0, -0.0080908, -0.0404531, 0.393204, 0.65534,
            ],
        );
        agrees(Bicubic::Antialiased, 2, &[1.0657893, -0.0657893, 0.5, 0.5, -0.0657896, 1.0657896]);
        agrees(Bicubic::Antialiased, 3, &[0.3043478, 0.3913043, 0.3043478]);
    }

    #[test]
    fn rows_and_columns_are_interpolated_alike_and_channels_apart() {
        let map = |values: &[f32]| Matrix { width: 2, values: values.to_vec() };
        // Channel 0 grows downwards, channel 1 to the right.
        let grown = Bicubic::Plain.resize(&map(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]), 2, 3);
        let ends = [-0.0868056, 0.5, 1.0868056];
        let expected: Vec<f32> = (0..9).flat_map(|i| [ends[i / 3], ends[i % 3]]).collect();
        assert_eq!((grown.width, grown.values.len()), (2, expected.len()));
        for (got, expected) in grown.values.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-6, "got {:?}, expected {expected:?}", grown.values);
        }
    }
}
