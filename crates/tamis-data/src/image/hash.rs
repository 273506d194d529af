//! Perceptual hashes as `ImageHash` 4.3 computes them, bit by bit.
//!
//! Both begin with a Lanczos reduction in Pillow's fixed-point arithmetic (`src/libImaging/Resample.c`, 8 bits per
//! channel), along the rows first. It is written out here and not left to the resizer of thumbnails: a hash is compared with
//! hashes of other tools and other machines, and one grey level decides a bit. Pillow 13 goes along the columns first where
//! a picture loses more than twice as many rows as columns (found by trial, not documented); of a picture that tall, a bit or
//! two may differ from its hash.

use std::f64::consts::PI;

use tamis_core::Orientation;

use super::machine::{self, LANES, Machine, Pass, Weights};

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
    /// The same in the other orientations: a mirrored picture has the frequencies of the picture, those of odd number along
    /// its rows with the other sign, and an exchange of axes exchanges frequencies.
    pub(super) turned: [u64; 7],
    /// By differences: 9 columns x 8 rows, and a bit for each pixel that is greater than its left neighbor.
    pub(super) dhash: u64,
}

/// Makes hashes; keeps what the next picture of the same size needs as well.
#[derive(Debug)]
pub(super) struct Hasher {
    /// For `phash` and for `dhash`.
    across: [Kernels; 2],
    down: [Kernels; 2],
    wide: Vec<i16>,
}

impl Default for Hasher {
    fn default() -> Self {
        let across = [TRANSFORM_SIDE, HASH_SIDE + 1].map(Kernels::to);
        Self { across, down: [TRANSFORM_SIDE, HASH_SIDE].map(Kernels::to), wide: Vec::new() }
    }
}

impl Hasher {
    /// Bytes that are kept.
    pub(super) fn n_bytes(&self) -> usize {
        let kernels = self.across.iter().chain(&self.down).map(Kernels::n_bytes).sum::<usize>();
        kernels + self.wide.capacity() * size_of::<i16>()
    }

    /// Hashes a grey picture; bits stand row by row, top left first, most significant bit first.
    pub(super) fn hashes(&mut self, grey: &[u8], width: u32, height: u32) -> Hashes {
        let (width, height) = (width as usize, height as usize);
        self.across.iter_mut().for_each(|it| it.prepare(width));
        self.down.iter_mut().for_each(|it| it.prepare(height));
        let mut rows = [&self.across[0], &self.across[1]].map(|it| vec![0; height * it.to]);
        machine::run(Rows { values: grey, width, kernels: &self.across, wide: &mut self.wide, out: &mut rows });
        let [wide, narrow] = rows;
        let mut column = |values, width, kernels: &Kernels| {
            let mut out = vec![0; width * kernels.to];
            machine::run(Columns { values, width, kernels, wide: &mut self.wide, out: &mut out });
            out
        };
        let [phash, turned @ ..] = phashes(&column(wide, TRANSFORM_SIDE, &self.down[0]));
        Hashes { phash, turned, dhash: dhash(&column(narrow, HASH_SIDE + 1, &self.down[1])) }
    }
}

/// Hashes of a picture in all orientations.
fn phashes(small: &[u8]) -> [u64; 8] {
    let block: [[f64; HASH_SIDE]; HASH_SIDE] = transform(small, &waves(TRANSFORM_SIDE, 0));
    // The unnormalized transform has a factor 2 in each direction.
    let block = block.map(|row| row.map(|sum| (4.0 * sum * STEPS).round() as i64));
    Orientation::ALL.map(|it| phash(&turned(&block, it, 0)))
}

/// A bit for each frequency that is greater than the median.
fn phash(block: &[[i64; HASH_SIDE]; HASH_SIDE]) -> u64 {
    let values = block.as_flattened();
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let doubled_median = sorted[31] + sorted[32];
    bits(values.iter().map(|value| 2 * value > doubled_median))
}

/// The cosine transform of a square of `values`, row-major, with the waves of its places: frequencies along a row, then along
/// the columns. Row and column of the block are those of the first of the waves.
pub(super) fn transform<const N: usize>(values: &[impl Copy + Into<f64>], waves: &[[f64; N]]) -> [[f64; N]; N] {
    let mut block = [[0.0; N]; N];
    for (row, down) in values.chunks_exact(waves.len()).zip(waves) {
        let mut across = [0.0; N];
        for (value, wave) in row.iter().zip(waves) {
            add(&mut across, wave, (*value).into());
        }
        for (sums, weight) in block.iter_mut().zip(down) {
            add(sums, &across, *weight);
        }
    }
    block
}

/// The frequencies of a picture that is turned, from those of the picture as it is, which begin with number `first`.
pub(super) fn turned<const N: usize>(block: &[[i64; N]; N], orientation: Orientation, first: usize) -> [[i64; N]; N] {
    let (is_swapped, is_mirrored, is_flipped) = orientation.parts();
    let one = |v: usize, u: usize| {
        let (v, u) = if is_swapped { (u, v) } else { (v, u) };
        let is_odd = |at: usize| (first + at) % 2 == 1;
        let is_negative = (is_mirrored && is_odd(u)) != (is_flipped && is_odd(v));
        if is_negative { -block[v][u] } else { block[v][u] }
    };
    std::array::from_fn(|v| std::array::from_fn(|u| one(v, u)))
}

fn add<const N: usize>(sums: &mut [f64; N], values: &[f64; N], weight: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value * weight;
    }
}

/// `cos(pi u (2 x + 1) / (2 side))` for each place `x` and `N` frequencies `u` from `first`.
pub(super) fn waves<const N: usize>(side: usize, first: usize) -> Vec<[f64; N]> {
    // The angles are multiples of a fourth part of the circle divided by the side.
    let circle: Vec<f64> = (0..4 * side).map(|it| (PI * it as f64 / (2 * side) as f64).cos()).collect();
    let wave = |x: usize| std::array::from_fn(|u| circle[(first + u) * (2 * x + 1) % circle.len()]);
    (0..side).map(wave).collect()
}

fn dhash(small: &[u8]) -> u64 {
    bits(small.chunks_exact(HASH_SIDE + 1).flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])))
}

fn bits(bits: impl Iterator<Item = bool>) -> u64 {
    bits.fold(0, |sum, bit| sum << 1 | u64::from(bit))
}

/// Scales all rows to two widths at once: each row is widened to 16 bits for both.
struct Rows<'a> {
    values: &'a [u8],
    width: usize,
    kernels: &'a [Kernels; 2],
    wide: &'a mut Vec<i16>,
    out: &'a mut [Vec<u8>; 2],
}

impl Pass for Rows<'_> {
    #[inline(always)]
    fn run(self, machine: impl Machine) {
        let Self { values, width, kernels, wide, out } = self;
        wide.resize(width + LANES, 0);
        for (y, row) in values.chunks_exact(width).enumerate() {
            for (to, from) in wide.iter_mut().zip(row) {
                *to = i16::from(*from);
            }
            for (out, kernels) in out.iter_mut().zip(kernels) {
                let out = &mut out[y * kernels.to..][..kernels.to];
                if out.len() == width {
                    out.copy_from_slice(row);
                } else {
                    scale_line(machine, wide, kernels, out);
                }
            }
        }
    }
}

/// Scales all columns to a height.
struct Columns<'a> {
    values: Vec<u8>,
    width: usize,
    kernels: &'a Kernels,
    wide: &'a mut Vec<i16>,
    out: &'a mut Vec<u8>,
}

impl Pass for Columns<'_> {
    #[inline(always)]
    fn run(self, machine: impl Machine) {
        let Self { values, width, kernels, wide, out } = self;
        let height = values.len() / width;
        if height == kernels.to {
            *out = values;
            return;
        }
        wide.resize(height + LANES, 0);
        let mut small = vec![0; kernels.to];
        for x in 0..width {
            for (to, row) in wide.iter_mut().zip(values.chunks_exact(width)) {
                *to = i16::from(row[x]);
            }
            scale_line(machine, wide, kernels, &mut small);
            for (row, value) in out.chunks_exact_mut(width).zip(&small) {
                row[x] = *value;
            }
        }
    }
}

/// Weighs a line, which is longer than its pixels by [`LANES`], with all kernels.
///
/// A weight has up to 23 bits and the processor's multiplier takes 16, so a sum is first made of weights that are coarser by
/// some bits. What they lack is known to lie between two bounds: where the sum rounds to the same level with both, which is
/// so in all but 2 or 3 of 100 cases, the level is exact; elsewhere the full weights are summed.
#[inline(always)]
fn scale_line(machine: impl Machine, line: &[i16], kernels: &Kernels, out: &mut [u8]) {
    let mut sums = [0; TRANSFORM_SIDE];
    for (sum, kernel) in sums.iter_mut().zip(&kernels.list) {
        *sum = machine.dot(&line[kernel.start..], &kernel.coarse);
    }
    let (mut levels, mut is_open) = ([0; TRANSFORM_SIDE], [false; TRANSFORM_SIDE]);
    for at in 0..TRANSFORM_SIDE {
        let sum = (sums[at] << kernels.shift) + HALF;
        levels[at] = level(sum + kernels.below[at]);
        is_open[at] = levels[at] != level(sum + kernels.above[at]);
    }
    out.copy_from_slice(&levels[..out.len()]);
    if is_open.contains(&true) {
        for ((out, kernel), is_open) in out.iter_mut().zip(&kernels.list).zip(is_open) {
            if is_open {
                *out = kernel.exact(line);
            }
        }
    }
}

/// The weights of one output pixel.
#[derive(Debug)]
struct Kernel {
    start: usize,
    weights: Vec<i32>,
    /// The weights without their lowest [`Kernels::shift`] bits, rounded to the nearest; 0 behind the last.
    coarse: Vec<Weights>,
}

impl Kernel {
    /// The level of the weighted sum.
    ///
    /// It does not overflow, and the coarse one does not: the absolute weights of a kernel add up to less than 2^23 (2^22,
    /// and what its negative lobes take back), times 255.
    fn exact(&self, line: &[i16]) -> u8 {
        let products = self.weights.iter().zip(&line[self.start..]).map(|(weight, value)| weight * i32::from(*value));
        level(products.sum::<i32>() + HALF)
    }
}

/// Half a level.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

#[inline(always)]
fn level(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The weights that make `to` pixels of `from`; at most [`TRANSFORM_SIDE`].
#[derive(Debug)]
struct Kernels {
    from: usize,
    to: usize,
    list: Vec<Kernel>,
    /// Bits that the coarse weights lack.
    shift: u32,
    /// By how much a full sum of pixels of 0 to 255 is at least and at most more than the coarse one; 0 where there is no
    /// kernel.
    below: [i32; TRANSFORM_SIDE],
    above: [i32; TRANSFORM_SIDE],
}

impl Kernels {
    /// Not yet of any size.
    fn to(to: usize) -> Self {
        Self { from: 0, to, list: Vec::new(), shift: 0, below: [0; TRANSFORM_SIDE], above: [0; TRANSFORM_SIDE] }
    }

    /// Bytes of the weights.
    fn n_bytes(&self) -> usize {
        let of_one =
            |it: &Kernel| it.weights.capacity() * size_of::<i32>() + it.coarse.capacity() * size_of::<Weights>();
        self.list.iter().map(of_one).sum()
    }

    /// Makes the weights, unless they are there.
    fn prepare(&mut self, from: usize) {
        if self.from == from {
            return;
        }
        self.from = from;
        self.list = kernels(from, self.to);
        let weights = self.list.iter().flat_map(|it| &it.weights);
        let longest = weights.map(|it| it.unsigned_abs()).max().unwrap_or(0);
        // Half a step may be added before a weight is cut.
        self.shift = (0..).find(|shift| (longest + (1 << shift >> 1)) >> shift < 1 << 15).unwrap_or(0);
        let half = 1 << self.shift >> 1;
        for (kernel, (below, above)) in self.list.iter_mut().zip(self.below.iter_mut().zip(&mut self.above)) {
            let Kernel { start: _, weights, coarse } = kernel;
            (*below, *above) = (0, 0);
            coarse.reserve_exact(weights.len().div_ceil(LANES));
            for weights in weights.chunks(LANES) {
                let mut lanes = [0; LANES];
                for (lane, weight) in lanes.iter_mut().zip(weights) {
                    *lane = ((weight + half) >> self.shift) as i16;
                    let lacking = weight - (i32::from(*lane) << self.shift);
                    *below += 255 * lacking.min(0);
                    *above += 255 * lacking.max(0);
                }
                coarse.push(Weights(lanes));
            }
        }
    }
}

/// The weights that make `to` pixels of `from`: the kernel is widened where the picture shrinks, and cut and normalized at
/// the border (`precompute_coeffs` and `normalize_coeffs_8bpc`).
fn kernels(from: usize, to: usize) -> Vec<Kernel> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = LANCZOS_SUPPORT * stretch;
    // From pixel to pixel the angle of the kernel's sine grows by the same step.
    let step = PI / (LANCZOS_SUPPORT * stretch);
    let turns: Vec<(f64, f64)> = (0..2 * support as usize + 2).map(|it| (it as f64 * step).sin_cos()).collect();
    let mut weights = Vec::new();
    let one = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let first = start as f64 - center + 0.5;
        let (sine, cosine) = (first * step).sin_cos();
        weights.clear();
        weights.extend(turns.iter().zip(start..end).map(|((sine_of_turn, cosine_of_turn), x)| {
            lanczos_kernel((x as f64 - center + 0.5) / stretch, sine * cosine_of_turn + cosine * sine_of_turn)
        }));
        let total: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let scaled = weight / total * f64::from(1_u32 << PRECISION_BITS);
            (scaled + 0.5_f64.copysign(scaled)) as i32
        };
        Kernel { start, weights: weights.iter().map(fixed).collect(), coarse: Vec::new() }
    };
    (0..to).map(one).collect()
}

/// `sinc(x) sinc(x / 3)` within 3, given the sine of a third of `pi x`: sin 3a = 3 sin a - 4 sin^3 a.
fn lanczos_kernel(x: f64, sine: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if !(-LANCZOS_SUPPORT..LANCZOS_SUPPORT).contains(&x) {
        return 0.0;
    }
    let angle = x * PI / LANCZOS_SUPPORT;
    (3.0 - 4.0 * sine * sine) * sine * sine / (LANCZOS_SUPPORT * angle * angle)
}

#[cfg(test)]
mod tests {
    use super::super::machine::Portable;
    use super::*;

    #[test]
    fn flat_pictures_have_only_a_mean() {
        for value in [1, 77, 255] {
            let flat = vec![value; 200 * 3];
            let expected = Hashes { phash: 1 << 63, turned: [1 << 63; 7], dhash: 0 };
            assert_eq!(Hasher::default().hashes(&flat, 200, 3), expected, "value {value}");
        }
        assert_eq!(Hasher::default().hashes(&[0], 1, 1), Hashes { phash: 0, turned: [0; 7], dhash: 0 });
    }

    #[test]
    fn hashes_of_other_orientations_are_those_of_turned_pictures() {
        let small: Vec<u8> = noise(32 * 32).iter().take(32 * 32).map(|it| *it as u8).collect();
        let hashes = phashes(&small);
        for (orientation, hash) in Orientation::ALL.into_iter().zip(hashes) {
            let turned = |place: usize| {
                let (x, y) = orientation.source(((place % 32) as f32, (place / 32) as f32), 31.0);
                small[y as usize * 32 + x as usize]
            };
            let turned: Vec<u8> = (0..small.len()).map(turned).collect();
            assert_eq!(phashes(&turned)[0], hash, "{orientation:?}");
        }
    }

    #[test]
    fn a_ramp_rises_everywhere() {
        let ramp: Vec<u8> = (0..64).flat_map(|_| (0..64).map(|x| x * 4)).collect();
        assert_eq!(Hasher::default().hashes(&ramp, 64, 64).dhash, u64::MAX);
    }

    /// A line of noise at full contrast, long enough for what a kernel reads.
    fn noise(length: usize) -> Vec<i16> {
        let mut seed = length as u32;
        let next = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 { ((seed >> 16) & 255) as i16 } else { ((seed >> 30) & 1) as i16 * 255 }
        };
        (0..length).map(next).chain([0; LANES]).collect()
    }

    /// Compares all levels of a line with those of full sums, and counts those that needed them.
    struct Levels<'a> {
        line: &'a [i16],
        kernels: &'a Kernels,
        n_open: &'a mut usize,
    }

    impl Pass for Levels<'_> {
        fn run(self, machine: impl Machine) {
            let Self { line, kernels, n_open } = self;
            let mut levels = vec![0; kernels.to];
            scale_line(machine, line, kernels, &mut levels);
            let full: Vec<u8> = kernels.list.iter().map(|kernel| kernel.exact(line)).collect();
            assert_eq!(levels, full, "{} to {}", kernels.from, kernels.to);
            for (at, kernel) in kernels.list.iter().enumerate() {
                let coarse = machine.dot(&line[kernel.start..], &kernel.coarse);
                let sum = (coarse << kernels.shift) + HALF;
                *n_open += usize::from(level(sum + kernels.below[at]) != level(sum + kernels.above[at]));
            }
        }
    }

    #[test]
    fn coarse_sums_give_the_levels_of_full_ones() {
        let mut n_open = 0;
        for from in [2, 9, 10, 31, 33, 64, 100, 375, 500, 1600, 9000] {
            let line = noise(from);
            for to in [8, 9, 32] {
                let mut kernels = Kernels::to(to);
                kernels.prepare(from);
                Levels { line: &line, kernels: &kernels, n_open: &mut n_open }.run(Portable);
                machine::run(Levels { line: &line, kernels: &kernels, n_open: &mut n_open });
            }
        }
        // Both ways were gone.
        assert!(n_open > 0);
    }

    #[test]
    fn full_sums_are_those_of_a_loop() {
        let line = noise(300);
        for kernel in kernels(300, 9) {
            let products = kernel.weights.iter().zip(&line[kernel.start..]);
            let sum =
                products.map(|(weight, value)| i64::from(*weight) * i64::from(*value)).sum::<i64>() + i64::from(HALF);
            assert_eq!(i64::from(kernel.exact(&line)), (sum >> PRECISION_BITS).clamp(0, 255));
        }
    }

    #[test]
    fn sizes_that_alternate_change_nothing() {
        let mut hasher = Hasher::default();
        for (width, height) in [(70, 40), (40, 70), (70, 40), (9, 8), (32, 32), (70, 41)] {
            let grey: Vec<u8> = noise(width * height).iter().take(width * height).map(|it| *it as u8).collect();
            let (width, height) = (width as u32, height as u32);
            assert_eq!(hasher.hashes(&grey, width, height), Hasher::default().hashes(&grey, width, height));
        }
    }

    #[test]
    fn one_sine_gives_the_kernel_of_two() {
        let sinc = |x: f64| (x * PI).sin() / (x * PI);
        for step in 1..300 {
            let x = f64::from(step) / 100.0 - 0.003;
            // A weight has 22 bits of fraction: 1e-12 is far below.
            assert!((lanczos_kernel(x, (x * PI / 3.0).sin()) - sinc(x) * sinc(x / 3.0)).abs() < 1e-12, "at {x}");
        }
    }

    #[test]
    fn very_long_rows_do_not_overflow() {
        let white = Hasher::default().hashes(&vec![255; 60_000], 60_000, 1);
        assert_eq!((white.phash, white.dhash), (1 << 63, 0));
    }
}
