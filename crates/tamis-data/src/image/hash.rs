//! Perceptual hashes as `ImageHash` 4.3 computes them, bit by bit.
//!
//! Both begin with a Lanczos reduction in Pillow's fixed-point arithmetic (`src/libImaging/Resample.c`, 8 bits per
//! channel), along the rows first. It is written out here and not left to the resizer of thumbnails: a hash is compared with
//! hashes of other tools and other machines, and one grey level decides a bit. Pillow 13 goes along the columns first where
//! a picture loses more than twice as many rows as columns (found by trial, not documented); of a picture that tall, a bit or
//! two may differ from its hash.

use std::f64::consts::PI;

/// Fraction bits of a coefficient (Pillow: `32 - 8 - 2`).
const PRECISION_BITS: u32 = 22;

/// Half the width of the kernel at its own scale.
const LANCZOS_SUPPORT: f64 = 3.0;

/// Side of the picture that the cosine transform sees (`ImageHash`: `hash_size * highfreq_factor`).
const TRANSFORM_SIDE: usize = 32;

/// Side of the block of low frequencies that is kept.
const HASH_SIDE: usize = 8;

/// Steps per unit to which a frequency is rounded before it is compared. Frequencies that are 0 for a flat or symmetric
/// picture come out of floating-point sums as noise near 1e-12; without rounding, their bits would be noise too.
const STEPS: f64 = 1024.0;

/// The two hashes of a grey picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    /// By the discrete cosine transform: 32 x 32, unnormalized DCT-II along rows and columns, the 8 x 8 lowest frequencies,
    /// and a bit for each that is greater than the median of the 64.
    pub(super) phash: u64,
    /// By differences: 9 columns x 8 rows, and a bit for each pixel that is greater than its left neighbor.
    pub(super) dhash: u64,
}

/// Hashes a grey picture; bits stand row by row, top left first, most significant bit first.
pub(super) fn hashes(grey: &[u8], width: u32, height: u32) -> Hashes {
    let (width, height) = (width as usize, height as usize);
    let [wide, narrow] = along_rows(grey, width, [TRANSFORM_SIDE, HASH_SIDE + 1]);
    Hashes {
        phash: phash(&along_columns(wide, (TRANSFORM_SIDE, height), TRANSFORM_SIDE)),
        dhash: dhash(&along_columns(narrow, (HASH_SIDE + 1, height), HASH_SIDE)),
    }
}

fn phash(small: &[u8]) -> u64 {
    let waves = waves();
    // Frequencies along a row, then along the columns.
    let mut block = [[0.0; HASH_SIDE]; HASH_SIDE];
    for (row, down) in small.chunks_exact(TRANSFORM_SIDE).zip(&waves) {
        let mut across = [0.0; HASH_SIDE];
        for (value, wave) in row.iter().zip(&waves) {
            add(&mut across, wave, f64::from(*value));
        }
        for (sums, weight) in block.iter_mut().zip(down) {
            add(sums, &across, *weight);
        }
    }
    // The unnormalized transform has a factor 2 in each direction.
    let values: Vec<i64> = block.as_flattened().iter().map(|sum| (4.0 * sum * STEPS).round() as i64).collect();
    let mut sorted = values.clone();
    sorted.sort_unstable();
    let doubled_median = sorted[31] + sorted[32];
    bits(values.iter().map(|value| 2 * value > doubled_median))
}

fn add(sums: &mut [f64; HASH_SIDE], values: &[f64; HASH_SIDE], weight: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value * weight;
    }
}

/// `cos(pi u (2 x + 1) / 64)` for each place `x` and the frequencies `u` that are kept.
fn waves() -> [[f64; HASH_SIDE]; TRANSFORM_SIDE] {
    // The angles are multiples of a 128th of the circle.
    let circle: [f64; 4 * TRANSFORM_SIDE] = std::array::from_fn(|it| (PI * it as f64 / 64.0).cos());
    std::array::from_fn(|x| std::array::from_fn(|u| circle[u * (2 * x + 1) % circle.len()]))
}

fn dhash(small: &[u8]) -> u64 {
    bits(small.chunks_exact(HASH_SIDE + 1).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])))
}

fn bits(bits: impl Iterator<Item = bool>) -> u64 {
    bits.fold(0, |sum, bit| sum << 1 | u64::from(bit))
}

/// Scales all rows to two widths at once: each row is widened to 16 bits for both.
fn along_rows(values: &[u8], width: usize, to: [usize; 2]) -> [Vec<u8>; 2] {
    let kernels = to.map(|to| kernels(width, to));
    let mut out = to.map(|to| Vec::with_capacity(values.len() / width * to));
    let mut wide = vec![0; width + LANES];
    for row in values.chunks_exact(width) {
        for (to, from) in wide.iter_mut().zip(row) {
            *to = i16::from(*from);
        }
        for ((out, kernels), to) in out.iter_mut().zip(&kernels).zip(to) {
            if to == width {
                out.extend(row);
            } else {
                out.extend(kernels.iter().map(|kernel| kernel.apply(&wide)));
            }
        }
    }
    out
}

fn along_columns(values: Vec<u8>, (width, height): (usize, usize), to: usize) -> Vec<u8> {
    if height == to {
        return values;
    }
    let kernels = kernels(height, to);
    let mut out = vec![0; width * to];
    let mut column = vec![0; height + LANES];
    for x in 0..width {
        for (to, row) in column.iter_mut().zip(values.chunks_exact(width)) {
            *to = i16::from(row[x]);
        }
        for (y, kernel) in kernels.iter().enumerate() {
            out[y * width + x] = kernel.apply(&column);
        }
    }
    out
}

/// Weights that are multiplied at once; kernels are filled with zeros to a multiple.
const LANES: usize = 8;

/// Bits of the lower half of a weight: the higher half of a weight of up to 2^22 fits 11 bits and a sign.
const SPLIT: u32 = 12;

/// Products of 255 and a lower half that are added before 32 bits could overflow: 255 x 4,095 x 2,048 < 2^31.
const BLOCK: usize = 2048;

/// The weights of one output pixel, split in two so that products fit 16-bit multipliers: `weight = high << SPLIT | low`.
struct Kernel {
    start: usize,
    high: Vec<i16>,
    low: Vec<i16>,
}

impl Kernel {
    fn new(start: usize, weights: &[i32]) -> Self {
        let length = weights.len().next_multiple_of(LANES);
        let padded = || weights.iter().copied().chain(std::iter::repeat(0)).take(length);
        let high = padded().map(|it| (it >> SPLIT) as i16).collect();
        let low = padded().map(|it| (it & ((1 << SPLIT) - 1)) as i16).collect();
        Self { start, high, low }
    }

    /// The weighted sum of the pixels of `line`, rounded and clamped; the line is longer than its pixels by [`LANES`].
    fn apply(&self, line: &[i16]) -> u8 {
        let values = &line[self.start..self.start + self.high.len()];
        let sum = (dot(values, &self.high) << SPLIT) + dot(values, &self.low) + (1 << (PRECISION_BITS - 1));
        (sum >> PRECISION_BITS).clamp(0, 255) as u8
    }
}

/// Sum of products, in the form for which the compiler finds the processor's 16-bit multiply-add: measured at half the time
/// of a plain loop.
fn dot(values: &[i16], weights: &[i16]) -> i64 {
    let mut total = 0;
    for (values, weights) in values.chunks(BLOCK).zip(weights.chunks(BLOCK)) {
        let lanes = values.as_chunks::<LANES>().0.iter().zip(weights.as_chunks::<LANES>().0);
        let products = lanes.map(|(values, weights)| {
            let mut sum = 0;
            for (value, weight) in values.iter().zip(weights) {
                sum += i32::from(*value) * i32::from(*weight);
            }
            sum
        });
        total += i64::from(products.sum::<i32>());
    }
    total
}

/// The weights that make `to` pixels of `from`: the kernel is widened where the picture shrinks, and cut and normalized at
/// the border (`precompute_coeffs` and `normalize_coeffs_8bpc`).
fn kernels(from: usize, to: usize) -> Vec<Kernel> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = LANCZOS_SUPPORT * stretch;
    let one = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights: Vec<f64> =
            (start..end).map(|x| lanczos_kernel((x as f64 - center + 0.5) * (1.0 / stretch))).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let scaled = weight / total * f64::from(1_u32 << PRECISION_BITS);
            (scaled + 0.5_f64.copysign(scaled)) as i32
        };
        Kernel::new(start, &weights.iter().map(fixed).collect::<Vec<i32>>())
    };
    (0..to).map(one).collect()
}

/// `sinc(x) sinc(x / 3)` within 3. One sine serves both: sin 3a = 3 sin a - 4 sin^3 a.
fn lanczos_kernel(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if !(-LANCZOS_SUPPORT..LANCZOS_SUPPORT).contains(&x) {
        return 0.0;
    }
    let angle = x * PI / LANCZOS_SUPPORT;
    let sine = angle.sin();
    (3.0 - 4.0 * sine * sine) * sine * sine / (LANCZOS_SUPPORT * angle * angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pictures_have_only_a_mean() {
        for value in [1, 77, 255] {
            let flat = vec![value; 200 * 3];
            assert_eq!(hashes(&flat, 200, 3), Hashes { phash: 1 << 63, dhash: 0 }, "value {value}");
        }
        assert_eq!(hashes(&[0], 1, 1), Hashes { phash: 0, dhash: 0 });
    }

    #[test]
    fn a_ramp_rises_everywhere() {
        let ramp: Vec<u8> = (0..64).flat_map(|_| (0..64).map(|x| x * 4)).collect();
        assert_eq!(hashes(&ramp, 64, 64).dhash, u64::MAX);
    }

    #[test]
    fn halves_of_a_weight_make_the_weight() {
        for weight in [-400_000, -1, 0, 1, 4095, 4096, 1 << 22] {
            let kernel = Kernel::new(0, &[weight]);
            assert_eq!((i32::from(kernel.high[0]) << SPLIT) + i32::from(kernel.low[0]), weight);
        }
    }

    #[test]
    fn one_sine_gives_the_kernel_of_two() {
        let sinc = |x: f64| (x * PI).sin() / (x * PI);
        for step in 1..300 {
            let x = f64::from(step) / 100.0 - 0.003;
            // A weight has 22 bits of fraction: 1e-12 is far below.
            assert!((lanczos_kernel(x) - sinc(x) * sinc(x / 3.0)).abs() < 1e-12, "at {x}");
        }
    }

    #[test]
    fn very_long_rows_do_not_overflow() {
        let [wide, narrow] = along_rows(&vec![255; 60_000], 60_000, [32, 9]);
        assert!(wide.iter().chain(&narrow).all(|it| *it == 255));
    }
}
