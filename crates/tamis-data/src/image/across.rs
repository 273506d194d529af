//! Scaling the rows of a picture in color, as the resizer does, and quicker.
//!
//! The rows are most of the work of a model's input. `fast_image_resize` rearranges the bytes of each pixel for each output
//! pixel that it is part of, four to six times; here it is done once. Weights, their precision and rounding are the same,
//! and so is each byte. Without AVX2 the resizer does it.

use fast_image_resize::FilterType;
use pulp::x86::V3;

use super::avx2::{FourRows, Pair};

/// Fraction bits of a weight at most, and bits of a weight with its sign (`fast_image_resize` 6.1, `Normalizer16`).
const MAX_PRECISION: u32 = 21;
const WEIGHT_BITS: u32 = 16;

/// Bytes behind a row that may be read.
const SLACK: usize = 16;

/// Makes rows shorter or longer; keeps weights and scratch between pictures.
#[derive(Debug, Default)]
pub(super) struct Across {
    /// What the weights were made for.
    plan: Option<Plan>,
    /// For each output pixel, the first pair that it is made of.
    starts: Vec<usize>,
    /// Of all output pixels, as many pairs each.
    weights: Vec<[i16; 2]>,
    precision: u32,
    pairs: Vec<Pair>,
    /// The last rows of a picture, and what they become where they are fewer than four.
    rows: Vec<u8>,
    last: Vec<u8>,
}

/// Scales `from` pixels, or the part of them that begins at `left` and is `width` long, to `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) from: u32,
    pub(super) left: f64,
    pub(super) width: f64,
    pub(super) to: u32,
    pub(super) filter: FilterType,
}

impl Across {
    /// Scales all rows of a picture of red, green and blue; `out` becomes the result, whatever is in it. `None` where the
    /// machine has no AVX2.
    pub(super) fn scale(&mut self, values: &[u8], plan: Plan, out: &mut Vec<u8>) -> Option<()> {
        let simd = V3::try_new()?;
        self.prepare(plan);
        let Self { plan: _, starts, weights, precision, pairs, rows, last } = self;
        let (precision, n_bytes, n_bytes_out) = (*precision, 3 * plan.from as usize, 3 * plan.to as usize);
        out.resize(values.len() / n_bytes * n_bytes_out, 0);
        pairs.resize(plan.from.div_ceil(2) as usize, Pair([[0; 16]; 2]));
        last.resize(4 * n_bytes_out, 0);
        for (four, out) in out.chunks_mut(4 * n_bytes_out).enumerate() {
            let values = &values[four * 4 * n_bytes..];
            let is_inside = values.len() >= 4 * n_bytes + SLACK;
            if !is_inside {
                // The last rows are copied, so that there is something behind them, and what is missing of four.
                rows.clear();
                rows.extend_from_slice(&values[..values.len().min(4 * n_bytes)]);
                rows.resize(4 * n_bytes + SLACK, 0);
            }
            let values = if is_inside { values } else { &*rows };
            let rows_of_four = [0, 1, 2, 3].map(|it| &values[it * n_bytes..]);
            let target = if out.len() == last.len() { &mut *out } else { &mut last[..] };
            simd.vectorize(FourRows { simd, rows: rows_of_four, starts, weights, precision, pairs, out: target });
            if out.len() < last.len() {
                out.copy_from_slice(&last[..out.len()]);
            }
        }
        Some(())
    }

    /// Bytes that are kept.
    pub(super) fn n_bytes(&self) -> usize {
        let weights = self.starts.capacity() * size_of::<usize>() + self.weights.capacity() * size_of::<[i16; 2]>();
        weights + self.pairs.capacity() * size_of::<Pair>() + self.rows.capacity() + self.last.capacity()
    }

    /// Makes the weights, unless they are there (`fast_image_resize` 6.1, `precompute_coefficients` and `Normalizer16`).
    fn prepare(&mut self, plan: Plan) {
        if self.plan == Some(plan) {
            return;
        }
        let Plan { from, left, width, to, filter } = plan;
        let scale = ((left + width) - left) / f64::from(to);
        let stretch = scale.max(1.0);
        let (kernel, support): (fn(f64) -> f64, f64) =
            if filter == FilterType::Bilinear { (triangle, 1.0) } else { (keys, 2.0) };
        let places: Vec<(usize, Vec<f64>)> = (0..to)
            .map(|place| {
                let center = left + (f64::from(place) + 0.5) * scale;
                let start = (center - support * stretch).floor().max(0.0) as usize;
                let end = (center + support * stretch).ceil().min(f64::from(from)) as usize;
                let center = center - 0.5;
                let weights: Vec<f64> = (start..end).map(|x| kernel((x as f64 - center) * (1.0 / stretch))).collect();
                let total: f64 = weights.iter().sum();
                (start, weights.iter().map(|it| it / total).collect())
            })
            .collect();
        let largest = places.iter().flat_map(|(_, weights)| weights).copied().fold(0.0, f64::max);
        let fits = |precision: u32| (largest * f64::from(1 << precision)).round() < f64::from(1 << (WEIGHT_BITS - 1));
        self.precision = (0..MAX_PRECISION).find(|it| !fits(it + 1)).unwrap_or(MAX_PRECISION);
        self.starts.clear();
        self.weights.clear();
        // All columns have as many pairs as the longest: a loop whose length changes costs more than a few weights of 0.
        let pairs_of = |(start, weights): &(usize, Vec<f64>)| (start + weights.len()).div_ceil(2) - start / 2;
        let n_pairs = places.iter().map(pairs_of).max().unwrap_or(0);
        for (start, weights) in places {
            let first = (start / 2).min(from.div_ceil(2) as usize - n_pairs);
            let mut fixed = vec![0; 2 * n_pairs];
            for (to, weight) in fixed[start - 2 * first..].iter_mut().zip(&weights) {
                // The largest weight fits.
                *to = (weight * f64::from(1 << self.precision)).round() as i16;
            }
            self.weights.extend(fixed.as_chunks::<2>().0);
            self.starts.push(first);
        }
        self.plan = Some(plan);
    }
}

fn triangle(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

/// Cubic convolution with a = -1/2 (Keys 1981).
fn keys(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use fast_image_resize::images::{Image, ImageRef};
    use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};

    use super::*;

    #[test]
    fn rows_are_those_of_the_resizer() {
        let mut across = Across::default();
        let (mut seed, mut out) = (1_u32, Vec::new());
        for (width, height) in [(1, 1), (2, 5), (5, 3), (7, 4), (100, 6), (224, 9), (333, 7), (500, 8), (1999, 2)] {
            // Full contrast: where rounding and clamping show.
            let values: Vec<u8> = (0..3 * width * height)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if seed >> 31 == 0 { (seed >> 16) as u8 } else { ((seed >> 30) & 1) as u8 * 255 }
                })
                .collect();
            let whole = f64::from(width);
            for (left, part) in [(0.0, whole), (whole / 7.0, whole / 1.5), (0.5, whole - 0.5)] {
                for to in [1, 2, 64, 100, 224, 500] {
                    for filter in [FilterType::Bilinear, FilterType::CatmullRom] {
                        let plan = Plan { from: width, left, width: part, to, filter };
                        if across.scale(&values, plan, &mut out).is_none() {
                            assert!(V3::try_new().is_none(), "there is AVX2, and it is not used");
                            return;
                        }
                        let source = ImageRef::new(width, height, &values, PixelType::U8x3).unwrap();
                        let mut target = Image::new(to, height, PixelType::U8x3);
                        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
                        let options = options.crop(left, 0.0, part, f64::from(height));
                        Resizer::new().resize(&source, &mut target, &options).unwrap();
                        assert!(out == target.into_vec(), "{height} rows, {plan:?}");
                    }
                }
            }
        }
    }
}
