//! PDQ: a perceptual hash of 256 bits, with a quality that says whether there is anything to hash.
//!
//! Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm" (2019, `hashing/hashing.pdf` in the
//! repository `facebook/ThreatExchange`), the part on PDQ: of the luminance, two passes of a box filter in each direction,
//! one sample of each of 64 x 64 blocks, the 16 x 16 lowest frequencies of these without those of number 0, and a bit for
//! each that is greater than the median.
//!
//! Box filters and samples are linear, and those along the rows do not mix with those along the columns: a sample is a sum of
//! pixels with a weight for their row times one for their column. Only these sums are made, in which most pixels stand
//! once, and the filtered picture never exists. The whole picture counts, as in the Python package `pdqhash`; programs that
//! first scale it to at most 512 x 512 give hashes that differ in some bits.

use std::ops::Range;

use tamis_core::Orientation;

use super::flat::{Channels, Flat};
use super::hash::{transform, turned, waves};
use super::machine::{self, Machine, Pass};

/// Side of the picture that the cosine transform sees.
const SIDE: usize = 64;

/// Side of the block of frequencies that is kept; its first row and column are those of number 1.
const HASH_SIDE: usize = 16;

/// Steps per unit to which a frequency is rounded before it is compared. Those that are 0 for a symmetric picture come out
/// of sums as noise near 1e-11; without rounding, their bits would be noise too.
const STEPS: f64 = 1_048_576.0;

/// Pixels of a row that are weighed at a time, so that their sums stay in the nearest cache and a picture of one long row
/// takes no more memory than others.
const STRIP: usize = 512;

/// A hash of 256 bits, and how far it is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdq {
    /// The hash of the picture in all orientations, in the order of [`Orientation::ALL`]; the first bit is the most
    /// significant one of the first word. Each is that of a file with the turned picture.
    pub oriented: [[u64; 4]; 8],
    /// How much neighboring blocks differ, from 0 for a picture of one color to 100.
    pub quality: u8,
}

impl Pdq {
    /// Quality from which on a hash is compared: Meta recommends to discard those of 49 and less (`pdq/README.md` in the
    /// repository `facebook/ThreatExchange`).
    pub const MIN_QUALITY: u8 = 50;

    /// Most bits in which the hashes of copies differ, as Meta recommends to begin with (there).
    pub const RADIUS: u32 = 31;

    /// The hash of the picture as it is.
    #[must_use]
    pub fn hash(&self) -> [u64; 4] {
        self.oriented[0]
    }

    /// Whether there is enough in the picture for its hash to say something.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        Self::MIN_QUALITY <= self.quality
    }
}

/// Hashes a picture.
///
/// A picture that is turned has the frequencies of the picture with other signs and with axes exchanged, but for one thing:
/// an even box and a sample between two pixels lean to the end, which is the other end where the picture is mirrored. So
/// frequencies are made four times, of samples that lean to either end of rows and of columns.
///
/// Time: two products for each channel of each pixel. Memory: 32 bytes for each row and column.
pub(super) fn pdq(flat: &Flat<'_>) -> Pdq {
    let (across, down) = (both_ways(flat.width as usize), both_ways(flat.height as usize));
    let mut samples = vec![0.0; down.len() * across.len()];
    machine::run(Blocks { flat, across: &across, down: &down, out: &mut samples });
    let leaning = |is_mirrored: bool, is_flipped: bool| -> Vec<f64> {
        // Where both ways are the same, there is one.
        let left = if is_mirrored { across.len() - SIDE } else { 0 };
        let top = if is_flipped { down.len() - SIDE } else { 0 };
        let rows = samples.chunks_exact(across.len()).skip(top).take(SIDE);
        rows.flat_map(|row| &row[left..][..SIDE]).copied().collect()
    };
    let waves = waves(SIDE, 1);
    let blocks = [false, true]
        .map(|is_flipped| [false, true].map(|is_mirrored| frequencies(&leaning(is_mirrored, is_flipped), &waves)));
    let hash = |orientation: Orientation| {
        let (_, is_mirrored, is_flipped) = orientation.parts();
        bits(&turned(&blocks[usize::from(is_flipped)][usize::from(is_mirrored)], orientation, 1))
    };
    Pdq { oriented: Orientation::ALL.map(hash), quality: quality(&leaning(false, false)) }
}

/// The lowest frequencies of 64 x 64 samples, in steps.
fn frequencies(samples: &[f64], waves: &[[f64; HASH_SIDE]]) -> [[i64; HASH_SIDE]; HASH_SIDE] {
    // The transform is orthonormal: each wave has a factor of the root of 2 / 64.
    let scale = 2.0 / SIDE as f64 * STEPS;
    transform(samples, waves).map(|row| row.map(|sum| (scale * sum).round() as i64))
}

/// A bit for each value that is greater than the median, which is the smaller one of the two in the middle; the bit of the
/// last value is the first.
fn bits(block: &[[i64; HASH_SIDE]; HASH_SIDE]) -> [u64; 4] {
    let values = block.as_flattened();
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2 - 1];
    let word = |at: usize| &values[64 * (3 - at)..][..64];
    std::array::from_fn(|at| word(at).iter().rev().fold(0, |sum, value| sum << 1 | u64::from(median < *value)))
}

/// The differences of samples that are next to each other, in whole hundredths of the range of levels: 90 of them are one
/// step of quality.
fn quality(samples: &[f64]) -> u8 {
    let step = |(a, b): (&f64, &f64)| ((a - b) * 100.0 / 255.0).trunc().abs();
    let down: f64 = samples.iter().zip(&samples[SIDE..]).map(step).sum();
    let across: f64 = samples.chunks_exact(SIDE).flat_map(|row| row.iter().zip(&row[1..])).map(step).sum();
    ((down + across) / 90.0).min(100.0) as u8
}

/// Weighs the pixels of all blocks.
struct Blocks<'a> {
    flat: &'a Flat<'a>,
    across: &'a [Kernel],
    down: &'a [Kernel],
    /// Shape `(down, across)`, row-major.
    out: &'a mut [f64],
}

impl Pass for Blocks<'_> {
    #[inline(always)]
    fn run(self, _: impl Machine) {
        let Self { flat: Flat { width, height: _, channels, values }, across, down, out } = self;
        let (width, n_channels) = (*width as usize, if *channels == Channels::Grey { 1 } else { 3 });
        let (mut sums, mut luma) = ([0.0; 3 * STRIP], [0.0; STRIP]);
        let n_across = across.len();
        for y in 0..down.len() {
            if 0 < y && down[y] == down[y - 1] {
                out.copy_within((y - 1) * n_across..y * n_across, y * n_across);
                continue;
            }
            let rows = values.chunks_exact(width * n_channels).skip(down[y].start);
            for start in (0..width).step_by(STRIP) {
                let end = (start + STRIP).min(width);
                let sums = &mut sums[..(end - start) * n_channels];
                sums.fill(0.0);
                for (row, weight) in rows.clone().zip(&down[y].weights) {
                    for (sum, value) in sums.iter_mut().zip(&row[start * n_channels..end * n_channels]) {
                        *sum += f64::from(*value) * weight;
                    }
                }
                let luma = &mut luma[..end - start];
                match channels {
                    Channels::Grey => luma.copy_from_slice(sums),
                    Channels::Rgb => luminance(sums, luma),
                }
                for (sample, kernel) in out[y * n_across..][..n_across].iter_mut().zip(across) {
                    *sample += kernel.sum(start..end, luma);
                }
            }
        }
    }
}

/// ITU-R 601: `0.299 R + 0.587 G + 0.114 B`, in whole thousandths, so that three equal channels give exactly their level.
#[inline(always)]
fn luminance(rgb: &[f64], luma: &mut [f64]) {
    for (luma, [r, g, b]) in luma.iter_mut().zip(rgb.as_chunks().0) {
        *luma = (299.0 * r + 587.0 * g + 114.0 * b) / 1000.0;
    }
}

/// The pixels of one block in one direction.
#[derive(Debug, PartialEq)]
struct Kernel {
    start: usize,
    /// They add up to 1.
    weights: Vec<f64>,
}

impl Kernel {
    /// The weighted sum of those of its pixels that `values`, which are those of `places`, hold.
    #[inline(always)]
    fn sum(&self, places: Range<usize>, values: &[f64]) -> f64 {
        let (start, end) = (self.start.max(places.start), (self.start + self.weights.len()).min(places.end));
        if end <= start {
            return 0.0;
        }
        let weights = &self.weights[start - self.start..end - self.start];
        values[start - places.start..].iter().zip(weights).map(|(value, weight)| value * weight).sum()
    }
}

/// [`kernels`], and behind them those that lean to the beginning, where these are others.
fn both_ways(n: usize) -> Vec<Kernel> {
    let mut kernels = kernels(n);
    let mirrored = |it: &Kernel| {
        let start = n - it.start - it.weights.len();
        Kernel { start, weights: it.weights.iter().rev().copied().collect() }
    };
    let mirrored: Vec<Kernel> = kernels.iter().rev().map(mirrored).collect();
    if mirrored != kernels {
        kernels.extend(mirrored);
    }
    kernels
}

/// The weights that make the samples of `n` pixels: of the pixel in the middle of each block what two passes of a box filter
/// leave. The box has a 128th of the pixels, rounded up; an even one reaches one pixel further to the end than to the
/// beginning, and at the border it is the mean of what is inside.
fn kernels(n: usize) -> Vec<Kernel> {
    let window = n.div_ceil(2 * SIDE);
    let span = |place: usize| place.saturating_sub((window - 1) / 2)..(place + window / 2 + 1).min(n);
    let kernel = |block: usize| {
        let outer = span((2 * block + 1) * n / (2 * SIDE));
        let (start, end) = (span(outer.start).start, span(outer.end - 1).end);
        // Where the boxes of the first pass begin and end.
        let mut steps = vec![0.0; end - start + 1];
        for place in outer.clone() {
            let inner = span(place);
            let weight = 1.0 / (outer.len() * inner.len()) as f64;
            steps[inner.start - start] += weight;
            steps[inner.end - start] -= weight;
        }
        steps.truncate(end - start);
        let mut sum = 0.0;
        let sums = |step: f64| {
            sum += step;
            sum
        };
        Kernel { start, weights: steps.into_iter().map(sums).collect() }
    };
    (0..SIDE).map(kernel).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// Levels by splitmix64, for each channel of each pixel.
    fn noise(width: u32, height: u32, channels: Channels) -> Flat<'static> {
        let n_channels = if channels == Channels::Grey { 1 } else { 3 };
        let level = |at: u64| {
            let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed >> 56) as u8
        };
        let values: Vec<u8> = (1..=u64::from(width) * u64::from(height) * n_channels).map(level).collect();
        Flat { width, height, channels, values: Cow::Owned(values) }
    }

    /// The means of a box around each value, of those that there are.
    fn boxed(line: &[f64], window: usize) -> Vec<f64> {
        let mean = |at: usize| {
            let inside = &line[at.saturating_sub((window - 1) / 2)..(at + window / 2 + 1).min(line.len())];
            inside.iter().sum::<f64>() / inside.len() as f64
        };
        (0..line.len()).map(mean).collect()
    }

    #[test]
    fn samples_are_those_of_a_picture_that_was_filtered_as_a_whole() {
        for (width, height, channels) in
            [(64, 64, Channels::Rgb), (1, 3, Channels::Grey), (200, 129, Channels::Rgb), (1300, 70, Channels::Grey)]
        {
            let flat = noise(width, height, channels);
            let (width, height) = (width as usize, height as usize);
            let luma: Vec<f64> = match channels {
                Channels::Grey => flat.values.iter().map(|it| f64::from(*it)).collect(),
                Channels::Rgb => {
                    let luma = |rgb: &[u8; 3]| {
                        0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2])
                    };
                    flat.values.as_chunks().0.iter().map(luma).collect()
                }
            };
            let twice = |line: &[f64]| boxed(&boxed(line, line.len().div_ceil(128)), line.len().div_ceil(128));
            let rows: Vec<Vec<f64>> = luma.chunks_exact(width).map(twice).collect();
            let columns: Vec<Vec<f64>> =
                (0..width).map(|x| twice(&rows.iter().map(|row| row[x]).collect::<Vec<_>>())).collect();
            let mut samples = [0.0; SIDE * SIDE];
            let (across, down) = (kernels(width), kernels(height));
            machine::run(Blocks { flat: &flat, across: &across, down: &down, out: &mut samples });
            for (at, sample) in samples.iter().enumerate() {
                let place = |block: usize, n: usize| ((block as f64 + 0.5) * n as f64 / 64.0) as usize;
                let expected = columns[place(at % 64, width)][place(at / 64, height)];
                // Some thousand sums in double precision of levels to 255.
                assert!((sample - expected).abs() < 1e-9, "{width} x {height}, {at}: {sample}, expected {expected}");
            }
        }
    }

    #[test]
    fn hashes_of_other_orientations_are_those_of_turned_pictures() {
        // Boxes of one, two and three pixels, and samples in the middle of pixels and between them.
        for (width, height) in [(64, 64), (200, 130), (256, 300), (7, 128)] {
            let flat = noise(width, height, Channels::Rgb);
            let pdq = pdq(&flat);
            for (orientation, hash) in Orientation::ALL.into_iter().zip(pdq.oriented) {
                let (is_swapped, is_mirrored, is_flipped) = orientation.parts();
                let (columns, rows) = if is_swapped { (height, width) } else { (width, height) };
                let pixel = |place: u32| {
                    let (x, y) = (place % columns, place / columns);
                    let (x, y) = if is_swapped { (y, x) } else { (x, y) };
                    let x = if is_mirrored { width - 1 - x } else { x };
                    let y = if is_flipped { height - 1 - y } else { y };
                    let at = 3 * (y * width + x) as usize;
                    [flat.values[at], flat.values[at + 1], flat.values[at + 2]]
                };
                let values: Vec<u8> = (0..width * height).flat_map(pixel).collect();
                let channels = Channels::Rgb;
                let turned = Flat { width: columns, height: rows, channels, values: Cow::Owned(values) };
                assert_eq!(super::pdq(&turned).hash(), hash, "{width} x {height}, {orientation:?}");
            }
        }
    }

    #[test]
    fn half_of_the_bits_are_set_and_channels_that_agree_are_grey() {
        let grey = noise(150, 90, Channels::Grey);
        let rgb: Vec<u8> = grey.values.iter().flat_map(|it| [*it; 3]).collect();
        let of_grey = pdq(&grey);
        assert_eq!(of_grey.oriented.map(|it| it.iter().map(|word| word.count_ones()).sum::<u32>()), [128; 8]);
        assert_eq!(pdq(&Flat { width: 150, height: 90, channels: Channels::Rgb, values: Cow::Owned(rgb) }), of_grey);
    }

    #[test]
    fn a_picture_of_one_color_has_no_quality_and_no_bits() {
        for (width, height, value) in [(1, 1, 0), (300, 5, 77), (2, 900, 255)] {
            let values = Cow::Owned(vec![value; 3 * (width * height) as usize]);
            let flat = pdq(&Flat { width, height, channels: Channels::Rgb, values });
            assert_eq!(flat, Pdq { oriented: [[0; 4]; 8], quality: 0 }, "{width} x {height} of {value}");
            assert!(!flat.is_telling());
        }
    }

    #[test]
    fn quality_counts_whole_hundredths_of_neighbors_that_differ() {
        // Columns of 0 and 51 in turn: 63 steps of 20 hundredths in each of 64 rows, 896 steps of quality.
        let stripes: Vec<f64> = (0..SIDE * SIDE).map(|at| if at % 2 == 0 { 0.0 } else { 51.0 }).collect();
        assert_eq!(quality(&stripes), 100);
        // One edge of 128 levels, which are 50 hundredths, and one of 2, which are none: 64 times 50, by 90.
        let edge: Vec<f64> = (0..SIDE * SIDE).map(|at| if at % SIDE < 9 { 128.0 } else { 0.0 }).collect();
        assert_eq!(quality(&edge), 35);
        let dim: Vec<f64> = edge.iter().map(|it| it / 64.0).collect();
        assert_eq!(quality(&dim), 0);
        assert!(!Pdq { oriented: [[1; 4]; 8], quality: 49 }.is_telling());
        assert!(Pdq { oriented: [[1; 4]; 8], quality: 50 }.is_telling());
    }
}
