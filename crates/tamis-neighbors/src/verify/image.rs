//! Whether a picture is a copy of another one, by their pixels: the correlation of what both show, once it is aligned.
//!
//! Two pictures are compared in the unit square, so that a copy may have another size or aspect. Of the eight orientations,
//! and of a picture's whole and its middle, the most similar ones by coarse pixels are refined: two scales and two shifts
//! are fitted together with contrast and brightness by Gauss-Newton steps (Lucas and Kanade, IJCAI 1981; contrast and
//! brightness as in Baker, Gross and Matthews, CMU-RI-TR-03-35), first on 16 x 16 and then on 32 x 32 pixels.
//!
//! The score is a correlation: the root of the share of the variance of the pixels in common that the other picture, in the
//! fitted light and cut at black and white, explains. Either picture may explain the other one, and the better of the two
//! counts, whichever was given first.

use std::cmp::Ordering;

use tamis_core::{Alignment, Crop, Grey, Margins, Orientation};

/// Standard deviation in levels from which a picture has something to be recognized by. One dark pixel among the 4,096 of a
/// white picture gives 4; a guess below that.
pub const MIN_TEXTURE: f64 = 2.0;

/// Pixels along a side, coarse and fine.
const SIDES: [usize; 2] = [16, 32];

/// Part of a picture's width and height that counts as its middle: halfway between the whole and a crop of 15 % on each
/// side, from which a fit reaches both.
const MIDDLE: f32 = 0.8;

/// Starts that are refined, of 24.
const N_STARTS: usize = 3;

/// Steps of a fit, coarse and fine: more than most need to stand still.
const STEPS: [usize; 2] = [8, 6];

/// Correlation of coarse pixels below which no start is refined: a guess, far below the scores that count.
const MIN_START: f32 = 0.4;

/// Least and greatest scale of one picture against the other: a crop of 20 % on each side.
const SCALES: (f32, f32) = (0.6, 1.0 / 0.6);

/// Margin from which a picture counts as cropped: half a fine pixel is what a fit misses.
const MIN_MARGIN: f32 = 0.02;

/// A picture as it is compared.
#[derive(Clone, Debug)]
pub struct ImagePrint {
    /// Shape `(16, 16)` and `(32, 32)`, row-major, levels from 0 to 255; empty where it is flat.
    pixels: [Vec<f32>; 2],
    /// Its coarse pixels and those of its middle, with mean 0 and length 1; empty where it is flat.
    shapes: [Vec<f32>; 2],
}

/// How far a picture is a copy of another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageCopy {
    /// From 0 to 1: the correlation of the pixels in common, in the same light.
    pub score: f32,
    /// What turns the first picture into the second.
    pub alignment: Alignment,
}

impl ImagePrint {
    /// Prepares a picture for comparisons; one without pixels is flat.
    #[must_use]
    pub fn new(grey: &Grey) -> Self {
        if grey.texture() < MIN_TEXTURE {
            return Self { pixels: [Vec::new(), Vec::new()], shapes: [Vec::new(), Vec::new()] };
        }
        let whole = |side| resized(grey, (0.0, 1.0), side);
        let margin = (1.0 - MIDDLE) / 2.0;
        let (coarse, middle) = (whole(SIDES[0]), resized(grey, (margin, 1.0 - margin), SIDES[0]));
        let shapes = [shape(&coarse), shape(&middle)];
        Self { pixels: [coarse, whole(SIDES[1])], shapes }
    }

    /// Whether it has one color or nearly so, and is a copy of nothing as far as pixels can tell.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.shapes[0].is_empty()
    }

    /// Compares two pictures; `None` where nothing in them lies alike, or one is flat.
    ///
    /// Time: up to three fits on 16 x 16 pixels and one on 32 x 32. Both orders of two pictures give the same score and the
    /// inverse alignment, bit by bit.
    #[must_use]
    pub fn compare(&self, second: &Self) -> Option<ImageCopy> {
        if self.is_flat() || second.is_flat() {
            return None;
        }
        if self.is_fitted_to(second) {
            return self.fitted_to(second);
        }
        let copy = second.fitted_to(self)?;
        Some(ImageCopy { score: copy.score, alignment: copy.alignment.inverse() })
    }

    /// Which of two pictures is moved: the one of which fewer pixels are cut at black or at white, since what is cut cannot be
    /// told from the other one's; of as many, the one whose pixels are less at the first place where they differ.
    fn is_fitted_to(&self, second: &Self) -> bool {
        let n_cut = |it: &Self| it.pixels[1].iter().filter(|it| !(DARK..=LIGHT).contains(*it)).count();
        let by_pixels = || self.pixels.iter().flatten().partial_cmp(second.pixels.iter().flatten());
        n_cut(self).cmp(&n_cut(second)).then_with(|| by_pixels().unwrap_or(Ordering::Equal)).is_le()
    }

    /// Fits this picture to the second one.
    fn fitted_to(&self, second: &Self) -> Option<ImageCopy> {
        let mut starts = self.starts(second);
        starts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut best: Option<(f32, Orientation, Warp)> = None;
        for (similarity, orientation, start) in starts.into_iter().take(N_STARTS) {
            if similarity < MIN_START {
                break;
            }
            let first = turned(&self.pixels[0], SIDES[0], orientation);
            let (fitted, warp) = fit(&first, &second.pixels[0], SIDES[0], start, STEPS[0]);
            if best.is_none_or(|(score, ..)| score < fitted) {
                best = Some((fitted, orientation, warp));
            }
        }
        let (_, orientation, warp) = best?;
        let first = turned(&self.pixels[1], SIDES[1], orientation);
        let (score, warp) = fit(&first, &second.pixels[1], SIDES[1], warp, STEPS[1]);
        let score = score.max(best_score(&first, &second.pixels[1], warp));
        Some(ImageCopy { score, alignment: warp.alignment(orientation) })
    }

    /// Orientations and scales from which a fit may begin, with the correlation of coarse pixels.
    fn starts(&self, second: &Self) -> Vec<(f32, Orientation, Warp)> {
        let mut starts = Vec::with_capacity(3 * Orientation::ALL.len());
        for orientation in Orientation::ALL {
            let [whole, middle] = [0, 1].map(|it| turned(&self.shapes[it], SIDES[0], orientation));
            let sides = [(&whole, 0, 1.0), (&middle, 0, MIDDLE), (&whole, 1, 1.0 / MIDDLE)];
            starts.extend(sides.map(|(first, part, scale)| {
                let similarity: f32 = first.iter().zip(&second.shapes[part]).map(|(a, b)| a * b).sum();
                (similarity, orientation, Warp { scale: [scale; 2], shift: [(1.0 - scale) / 2.0; 2] })
            }));
        }
        starts
    }
}

/// Where the second picture lies in the first one, turned: `scale * place + shift`, along the rows and along the columns.
#[derive(Clone, Copy, Debug)]
struct Warp {
    scale: [f32; 2],
    shift: [f32; 2],
}

impl Warp {
    fn is_plausible(&self) -> bool {
        let is_within = |it: &f32| SCALES.0 <= *it && *it <= SCALES.1;
        let overlaps = |axis: usize| {
            let (start, end) = (self.shift[axis], self.shift[axis] + self.scale[axis]);
            let common = end.min(1.0) - start.max(0.0);
            SCALES.0 <= common.max(common / self.scale[axis])
        };
        self.scale.iter().all(is_within) && overlaps(0) && overlaps(1)
    }

    /// Where the first picture lies in the second one.
    fn inverse(&self) -> Self {
        let along = |axis: usize| (1.0 / self.scale[axis], -self.shift[axis] / self.scale[axis]);
        let [across, down] = [along(0), along(1)];
        Self { scale: [across.0, down.0], shift: [across.1, down.1] }
    }

    fn alignment(&self, orientation: Orientation) -> Alignment {
        let [(left, right, inner_left, inner_right), (top, bottom, inner_top, inner_bottom)] = [0, 1].map(|axis| {
            let (scale, start) = (self.scale[axis], self.shift[axis]);
            let end = start + scale;
            (start.max(0.0), (1.0 - end).max(0.0), (-start / scale).max(0.0), ((end - 1.0) / scale).max(0.0))
        });
        // Corners of what is left, where the first picture has them.
        let (x0, y0) = orientation.source((left, top), 1.0);
        let (x1, y1) = orientation.source((1.0 - right, 1.0 - bottom), 1.0);
        let first = Margins { left: x0.min(x1), top: y0.min(y1), right: 1.0 - x0.max(x1), bottom: 1.0 - y0.max(y1) };
        let second = Margins { left: inner_left, top: inner_top, right: inner_right, bottom: inner_bottom };
        let crop = (MIN_MARGIN <= first.widest().max(second.widest())).then_some(Crop { first, second });
        Alignment { orientation, crop }
    }
}

/// Scales the part of a picture between two places, the same along both axes, to a square. The kernel is a triangle as wide
/// as the picture shrinks.
fn resized(grey: &Grey, part: (f32, f32), side: usize) -> Vec<f32> {
    let (width, height) = (usize::from(grey.width), usize::from(grey.height));
    let (across, down) = (weights(width, part, side), weights(height, part, side));
    let mut rows = vec![0.0; height * side];
    for (row, values) in rows.chunks_exact_mut(side).zip(grey.values.chunks_exact(width)) {
        for (out, (start, weights)) in row.iter_mut().zip(&across) {
            *out = weights.iter().zip(&values[*start..]).map(|(weight, value)| weight * f32::from(*value)).sum();
        }
    }
    let mut out = vec![0.0; side * side];
    for (out, (start, weights)) in out.chunks_exact_mut(side).zip(&down) {
        for (weight, row) in weights.iter().zip(rows[start * side..].chunks_exact(side)) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

/// For each of `side` pixels the first pixel it is made of, and weights that add up to 1.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 64")]
fn weights(length: usize, (start, end): (f32, f32), side: usize) -> Vec<(usize, Vec<f32>)> {
    let step = (end - start) * length as f32 / side as f32;
    let reach = step.max(1.0);
    let one = |place: usize| {
        let center = start * length as f32 + (place as f32 + 0.5) * step - 0.5;
        let first = (center - reach).ceil().max(0.0) as usize;
        let last = ((center + reach).floor().max(0.0) as usize).min(length - 1);
        let weights = (first..=last).map(|x| (1.0 - (x as f32 - center).abs() / reach).max(0.0));
        let weights: Vec<f32> = weights.collect();
        let sum: f32 = weights.iter().sum();
        (first, weights.into_iter().map(|weight| weight / sum).collect())
    };
    (0..side).map(one).collect()
}

/// Pixels less their mean, of length 1; all 0 where they are equal.
#[expect(clippy::cast_precision_loss, reason = "some hundred pixels")]
fn shape(pixels: &[f32]) -> Vec<f32> {
    let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
    let length = pixels.iter().map(|it| (it - mean).powi(2)).sum::<f32>().sqrt().max(1e-6);
    pixels.iter().map(|it| (it - mean) / length).collect()
}

/// A square of pixels as it is after it was turned.
fn turned(pixels: &[f32], side: usize, orientation: Orientation) -> Vec<f32> {
    let (is_swapped, is_mirrored, is_flipped) = orientation.parts();
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..side {
        for x in 0..side {
            let (x, y) = if is_swapped { (y, x) } else { (x, y) };
            let x = if is_mirrored { side - 1 - x } else { x };
            let y = if is_flipped { side - 1 - y } else { y };
            out.push(pixels[y * side + x]);
        }
    }
    out
}

/// Fine pixels averaged with those around them by binomial weights of 5 x 5: a standard deviation of one pixel, that of a
/// blur by 2 pixels of a picture of 64.
fn blurred(pixels: &[f32]) -> Vec<f32> {
    const WEIGHTS: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];
    let side = SIDES[1];
    let near = |place: usize, offset: usize| (place + offset).clamp(2, side + 1) - 2;
    let mut rows = Vec::with_capacity(pixels.len());
    for row in pixels.chunks_exact(side) {
        rows.extend((0..side).map(|x| (0..5).map(|it| WEIGHTS[it] * row[near(x, it)]).sum::<f32>()));
    }
    let one = |place: usize| {
        let (x, y) = (place % side, place / side);
        (0..5).map(|it| WEIGHTS[it] * rows[near(y, it) * side + x]).sum()
    };
    (0..pixels.len()).map(one).collect()
}

/// How well one of two fine pictures that lie on each other explains the other one, whichever does it better: what was made
/// brighter until it is cut at white cannot explain what it was made of. Either may have been blurred: then the other one,
/// blurred, is like it.
fn best_score(first: &[f32], second: &[f32], warp: Warp) -> f32 {
    let (soft_first, soft_second) = (blurred(first), blurred(second));
    let mut best = 0.0_f32;
    for (from, to) in [(first, second), (&*soft_first, second), (first, &*soft_second)] {
        for (from, to, warp) in [(from, to, warp), (to, from, warp.inverse())] {
            let common = Common::new(from, SIDES[1], warp);
            let light = common.as_ref().and_then(|it| it.light(to, SIDES[1]));
            if let (Some(common), Some(light)) = (common, light) {
                best = best.max(common.score(to, SIDES[1], light));
            }
        }
    }
    best
}

/// Moves `first` until it lies on `second`; returns the best score seen and its place.
fn fit(first: &[f32], second: &[f32], side: usize, start: Warp, n_steps: usize) -> (f32, Warp) {
    let mut warp = start;
    let mut best = (0.0, start);
    for step in 0..=n_steps {
        let Some(common) = Common::new(first, side, warp) else { break };
        let Some((light, delta)) = common.step(second, side) else { break };
        let score = common.score(second, side, light);
        if best.0 < score {
            best = (score, warp);
        }
        // A hundredth of a fine pixel is not seen.
        if step == n_steps || delta.iter().all(|it| it.abs() < 3e-4) {
            break;
        }
        // At most two coarse pixels: a step further than the pixels reach is none.
        let delta = delta.map(|it| it.clamp(-0.125, 0.125));
        for axis in [0, 1] {
            warp.scale[axis] += delta[2 * axis];
            warp.shift[axis] += delta[2 * axis + 1] - 0.5 * delta[2 * axis];
        }
        if !warp.is_plausible() {
            break;
        }
    }
    best
}

/// What of a picture lies on the other one.
struct Common {
    /// The first picture where the second one has its pixels.
    pixels: Vec<f32>,
    /// Columns and rows of the second picture that the first one covers.
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    scale: [f32; 2],
}

/// Contrast and brightness.
type Light = (f32, f32);

impl Common {
    fn new(first: &[f32], side: usize, warp: Warp) -> Option<Self> {
        let [columns, rows] = [0, 1].map(|axis| places(side, warp.scale[axis], warp.shift[axis]));
        let range = |places: &[Option<(usize, f32)>]| {
            let start = places.iter().position(Option::is_some)?;
            let end = places.iter().rposition(Option::is_some)? + 1;
            (side / 2 <= end - start).then_some(start..end)
        };
        let (across, down) = (range(&columns)?, range(&rows)?);
        let mut pixels = vec![0.0; side * side];
        let mut line = vec![0.0; side];
        for y in down.clone() {
            let (above, part) = rows[y].expect("because the range holds places alone");
            let below = (above + 1).min(side - 1);
            let pairs = first[above * side..].iter().zip(&first[below * side..(below + 1) * side]);
            for (out, (above, below)) in line.iter_mut().zip(pairs) {
                *out = above + part * (below - above);
            }
            for x in across.clone() {
                let (left, part) = columns[x].expect("because the range holds places alone");
                let right = (left + 1).min(side - 1);
                pixels[y * side + x] = line[left] + part * (line[right] - line[left]);
            }
        }
        Some(Self { pixels, columns: across, rows: down, scale: warp.scale })
    }

    /// The light that makes the first picture most like the second one, and the move of scale and shift, about the middle,
    /// along the rows and along the columns. `None` where nothing can be fitted, or only a negative.
    #[expect(clippy::cast_precision_loss, reason = "some hundred pixels")]
    fn step(&self, second: &[f32], side: usize) -> Option<(Light, [f32; 4])> {
        let mut sums = [[0.0_f64; 7]; 6];
        let end = side as f32;
        for y in self.rows.clone() {
            let v = (y as f32 + 0.5) / end - 0.5;
            let (above, below) = (y.max(self.rows.start + 1) - 1, (y + 1).min(self.rows.end - 1));
            // Single precision holds a row.
            let mut of_row = [[0.0_f32; 7]; 6];
            for x in self.columns.clone() {
                let value = second[y * side + x];
                let (left, right) = (x.max(self.columns.start + 1) - 1, (x + 1).min(self.columns.end - 1));
                let u = (x as f32 + 0.5) / end - 0.5;
                let at = |x: usize, y: usize| self.pixels[y * side + x];
                let across = (at(right, y) - at(left, y)) * end / ((right - left) as f32 * self.scale[0]);
                let down = (at(x, below) - at(x, above)) * end / ((below - above) as f32 * self.scale[1]);
                let terms = [across * u, across, down * v, down, at(x, y), 1.0, value];
                for (row, sums) in of_row.iter_mut().enumerate() {
                    for (sum, term) in sums.iter_mut().zip(&terms).skip(row) {
                        *sum += terms[row] * term;
                    }
                }
            }
            sums.as_flattened_mut().iter_mut().zip(of_row.as_flattened()).for_each(|(a, b)| *a += f64::from(*b));
        }
        let upper = sums;
        for (row, sums) in sums.iter_mut().enumerate() {
            for (sum, above) in sums.iter_mut().zip(&upper).take(row) {
                *sum = above[row];
            }
        }
        let moved = solve(sums)?;
        let light = self.light(second, side)?;
        if moved[4] <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a move is small")]
        Some((light, [0, 1, 2, 3].map(|it| (moved[it] / moved[4]) as f32)))
    }

    /// Contrast and brightness by least squares over pixels that are not cut, without a move.
    fn light(&self, second: &[f32], side: usize) -> Option<Light> {
        let (mut n, mut sum_x, mut sum_y, mut sum_xx, mut sum_xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let (a, b) = (self.pixels[y * side + x], second[y * side + x]);
                if (DARK..=LIGHT).contains(&a) && (DARK..=LIGHT).contains(&b) {
                    n += 1.0;
                    sum_x += a;
                    sum_y += b;
                    sum_xx += a * a;
                    sum_xy += a * b;
                }
            }
        }
        let spread = sum_xx - sum_x * sum_x / n;
        if n < 8.0 || spread < n {
            // All is black or white: it stays what it is.
            return Some((1.0, 0.0));
        }
        let contrast = (sum_xy - sum_x * sum_y / n) / spread;
        (0.0 < contrast).then_some((contrast, (sum_y - contrast * sum_x) / n))
    }

    /// The share of the second picture that the first one explains in the light, as a correlation.
    fn score(&self, second: &[f32], side: usize, (contrast, brightness): Light) -> f32 {
        let (mut n, mut sum, mut squares, mut missed) = (0.0_f32, 0.0, 0.0, 0.0);
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let value = second[y * side + x];
                let expected = (contrast * self.pixels[y * side + x] + brightness).clamp(0.0, 255.0);
                n += 1.0;
                sum += value;
                squares += value * value;
                missed += (value - expected).powi(2);
            }
        }
        let spread = (squares - sum * sum / n).max(1.0);
        (1.0 - missed / spread).max(0.0).sqrt()
    }
}

/// Levels beyond which a pixel may have been cut at black or at white.
const DARK: f32 = 4.0;
const LIGHT: f32 = 251.0;

/// For each pixel the one before its place, and how far behind that it is; `None` outside of the picture.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 32")]
fn places(side: usize, scale: f32, shift: f32) -> Vec<Option<(usize, f32)>> {
    let end = side as f32;
    let place = |it: usize| {
        let place = (scale * (it as f32 + 0.5) / end + shift) * end - 0.5;
        if !(-0.5..=end - 0.5).contains(&place) {
            return None;
        }
        let place = place.clamp(0.0, end - 1.0);
        Some((place as usize, place.fract()))
    };
    (0..side).map(place).collect()
}

/// Solves six equations by elimination; the last column is the right-hand side. `None` where they do not determine it.
fn solve(mut rows: [[f64; 7]; 6]) -> Option<[f64; 6]> {
    // A little damping, so that a picture that varies along one axis alone can be fitted along it.
    for (at, row) in rows.iter_mut().enumerate().take(4) {
        row[at] = row[at] * 1.001 + 1.0;
    }
    for at in 0..6 {
        let pivot = rows[at][at];
        if pivot < 1e-9 {
            return None;
        }
        for below in at + 1..6 {
            let share = rows[below][at] / pivot;
            let above = rows[at];
            for (value, above) in rows[below].iter_mut().zip(&above).skip(at) {
                *value -= share * above;
            }
        }
    }
    let mut found = [0.0; 6];
    for at in (0..6).rev() {
        let rest: f64 = (at + 1..6).map(|it| rows[at][it] * found[it]).sum();
        found[at] = (rows[at][6] - rest) / rows[at][at];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A picture of some waves and a dark corner, without symmetry, seen in part: `place` maps its places from 0 to 1.
    fn picture(seed: u32, (width, height): (u8, u8), place: impl Fn((f32, f32)) -> (f32, f32)) -> Grey {
        let phase = seed as f32;
        let value = |at: usize| {
            let (x, y) = (at % usize::from(width), at / usize::from(width));
            let (x, y) = ((x as f32 + 0.5) / f32::from(width), (y as f32 + 0.5) / f32::from(height));
            let (x, y) = place((x, y));
            let waves =
                (5.0 * x + phase).sin() + (7.0 * y + 3.0 * x * y + 2.0 * phase).cos() + (9.0 * x * y + phase).sin();
            (120.0 + 35.0 * waves - if x < 0.3 && y < 0.4 { 60.0 } else { 0.0 }).clamp(0.0, 255.0) as u8
        };
        Grey { width, height, values: (0..usize::from(width) * usize::from(height)).map(value).collect() }
    }

    fn compare(first: &Grey, second: &Grey) -> Option<ImageCopy> {
        ImagePrint::new(first).compare(&ImagePrint::new(second))
    }

    proptest! {
        #[test]
        fn copies_are_found_with_what_was_done(seed in 0_u32..50, turn in 0_usize..8, margin in 0.0_f32..0.12, small: bool) {
            let orientation = Orientation::ALL[turn];
            let size = if small { (32, 24) } else { (64, 48) };
            let size = if orientation.parts().0 { (size.1, size.0) } else { size };
            let first = picture(seed, (64, 48), |it| it);
            let second = picture(seed, size, |it| {
                let (x, y) = orientation.source(it, 1.0);
                (margin + (1.0 - 2.0 * margin) * x, margin + (1.0 - 2.0 * margin) * y)
            });
            for (first, second, expected) in [(&first, &second, orientation), (&second, &first, orientation.inverse())] {
                let copy = compare(first, second).unwrap();
                prop_assert!(0.97 < copy.score, "{copy:?}");
                prop_assert_eq!(copy.alignment.orientation, expected);
                let widest = copy.alignment.crop.map_or(0.0, |it| it.first.widest().max(it.second.widest()));
                prop_assert!((widest - margin).abs() < 0.03, "{margin}: {copy:?}");
            }
        }
    }

    proptest! {
        /// Also of pictures that are no copies, and of those that lie alike in more than one orientation.
        #[test]
        fn the_order_of_two_pictures_changes_no_score(
            seeds in (0_u32..6, 0_u32..6), contrast in 0.5_f32..3.0, margin in 0.0_f32..0.12, is_even: bool,
        ) {
            let fold = |it: f32| if is_even { (it - 0.5).abs() } else { it };
            let first = picture(seeds.0, (64, 48), |(x, y)| (fold(x), y));
            let second = picture(seeds.1, (50, 64), |(x, y)| (margin + (1.0 - margin) * fold(x), y));
            let second = brighter(&second, contrast, 0.0);
            let (there, back) = (compare(&first, &second), compare(&second, &first));
            prop_assert_eq!(there, back.map(|it| ImageCopy { alignment: it.alignment.inverse(), ..it }));
        }
    }

    /// A picture in another light.
    fn brighter(picture: &Grey, contrast: f32, brightness: f32) -> Grey {
        let change = |value: &u8| (contrast * f32::from(*value) + brightness).clamp(0.0, 255.0) as u8;
        Grey { values: picture.values.iter().map(change).collect(), ..*picture }
    }

    #[test]
    fn other_light_is_no_other_picture() {
        let first = picture(3, (64, 64), |it| it);
        for (contrast, brightness) in [(1.3, 0.0), (2.0, 0.0), (0.5, 100.0), (1.0, -40.0)] {
            let second = brighter(&first, contrast, brightness);
            for (first, second) in [(&first, &second), (&second, &first)] {
                let copy = compare(first, second).unwrap();
                assert!(0.99 < copy.score, "{contrast} {brightness}: {copy:?}");
                assert_eq!(copy.alignment, Alignment { orientation: Orientation::Upright, crop: None });
            }
        }
    }

    #[test]
    fn a_flat_picture_and_a_negative_are_no_copies() {
        let first = picture(1, (64, 64), |it| it);
        let flat = Grey { width: 64, height: 64, values: (0..64 * 64).map(|it| 100 + (it % 3 == 0) as u8).collect() };
        assert_eq!((compare(&flat, &flat), compare(&first, &flat)), (None, None));
        let negative = Grey { values: first.values.iter().map(|it| 255 - it).collect(), ..first };
        assert!(compare(&first, &negative).is_none_or(|it| it.score < 0.8));
    }

    #[test]
    fn other_pictures_score_low() {
        let first = picture(1, (64, 64), |it| it);
        let copy = compare(&first, &picture(9, (64, 64), |it| it));
        assert!(copy.is_none_or(|it| it.score < 0.9), "{copy:?}");
    }

    #[test]
    fn sizes_of_one_pixel_and_of_none_are_compared() {
        for (width, height) in [(1, 1), (1, 64), (64, 1), (2, 2), (0, 0), (0, 5), (5, 0)] {
            let picture = picture(1, (width, height), |it| it);
            assert!(compare(&picture, &picture).is_none_or(|it| (0.0..=1.0).contains(&it.score)), "{width} x {height}");
        }
    }
}
