//! Convolutions of small image networks, over pixels that stand in rows like the tokens of a text.
//!
//! A feature map has shape `(pictures, height, width, channels)`: the channels of a pixel stand side by side. So a 1x1
//! convolution is a product of rows and weights, and a depthwise convolution is vectorized over channels.
//!
//! candle's own convolution runs one call per group, which is one per channel for a depthwise layer.
//!
//! Each number is bias, then products in the order of the kernel, whatever its pixel's place among others: results do not
//! depend on the other pixels of a call. A multiplication and its addition are fused wherever the machine does that.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Cpu;
use super::math::activate;
use super::product::{Into, Linear};
use crate::ops::{Activation, DepthwiseWeights, Images, InvertedResidual, Levels, Size, Window};

/// Most numbers of a wide map that are computed before they are used: 256 KiB, which stay in the second cache of common
/// machines. Chosen by measurement at 224 x 224 on one core with 1 MiB of it: whole maps were slower in the best of
/// several runs, a half or the double of this equal within the noise of 10 %.
const TILE: usize = 65_536;

/// Pixels of a result that are computed together: each weight and most pixels under them are loaded once for all. Chosen
/// by measurement.
const PIXELS: usize = 4;

/// Numbers in a cache line, which is as long as the widest register: what does not begin with one is read as two halves.
const LINE: usize = 16;

/// The numbers under each kernel on each picture, kernel by kernel, the colors of a pixel side by side; 0 outside.
pub(super) fn unfold(images: &Images<'_>, window: Window, levels: &Levels, out: &mut [f32]) {
    // Kernels of 3x3 are many: copies of a known length are no calls.
    match window.kernel {
        3 => gather(images, window, levels, out, |to, from| {
            if let (Some(to), Some(from)) = (to.first_chunk_mut::<9>(), from.first_chunk::<9>()) {
                *to = *from;
            }
        }),
        _ => gather(images, window, levels, out, <[f32]>::copy_from_slice),
    }
}

/// [`unfold`] by way of all that kernels see of a picture; `copy` copies a row of a kernel.
#[inline(always)]
fn gather(images: &Images<'_>, window: Window, levels: &Levels, out: &mut [f32], copy: impl Fn(&mut [f32], &[f32])) {
    let Images { pictures, size } = *images;
    let (out_size, kernel, stride) = (window.out(size), window.kernel, window.stride);
    let (above, left) = (window.before(size.height), window.before(size.width));
    let height = (out_size.height - 1) * stride + kernel;
    let row = ((out_size.width - 1) * stride + kernel) * 3;
    let mut seen = vec![0.0; height * row];
    for (picture, out) in pictures.iter().zip(out.chunks_exact_mut(out_size.area() * kernel * kernel * 3)) {
        for (seen, rgb) in seen.chunks_exact_mut(row).skip(above).zip(picture.rgb.chunks_exact(size.width * 3)) {
            let pixels = seen[left * 3..].as_chunks_mut::<3>().0;
            for (pixel, rgb) in pixels.iter_mut().zip(rgb.as_chunks::<3>().0) {
                *pixel = std::array::from_fn(|color| levels[color][usize::from(rgb[color])]);
            }
        }
        for (out, y) in out.chunks_exact_mut(out_size.width * kernel * kernel * 3).zip((0..).step_by(stride)) {
            for (out, x) in out.chunks_exact_mut(kernel * kernel * 3).zip((0..).step_by(stride)) {
                for (out, y) in out.chunks_exact_mut(kernel * 3).zip(y..) {
                    copy(out, &seen[y * row + x * 3..][..kernel * 3]);
                }
            }
        }
    }
}

/// A depthwise convolution.
pub(crate) struct Depthwise {
    window: Window,
    /// Shape `(kernel * kernel, channels)`, row by row of the kernel.
    weight: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

/// Rows of one feature map of shape `(rows, width, channels)`.
#[derive(Clone, Copy)]
struct MapRows<'a> {
    values: &'a [f32],
    /// Which row of the map the first one is.
    first: usize,
    /// Size of the whole map.
    size: Size,
}

impl Depthwise {
    /// Lays out the weights.
    ///
    /// # Panics
    /// When the kernel is not 3x3 or 5x5, or its stride not 1 or 2: a bug.
    pub(super) fn new(weights: &DepthwiseWeights) -> Self {
        let DepthwiseWeights { window, bias, activation, .. } = weights;
        assert!(matches!((window.kernel, window.stride), (3 | 5, 1 | 2)), "kernels are 3x3 or 5x5, strides 1 or 2");
        Self { window: *window, weight: weights.by_tap(), bias: bias.clone(), activation: *activation }
    }

    /// Channels of input and result.
    pub(super) fn channels(&self) -> usize {
        self.bias.len()
    }

    /// Where the kernels stand.
    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// Convolves whole maps of `size`.
    pub(super) fn apply_all(&self, x: &[f32], size: Size, out: &mut [f32]) {
        let out_size = self.window.out(size);
        let maps = x.chunks_exact(size.area() * self.channels());
        for (values, out) in maps.zip(out.chunks_exact_mut(out_size.area() * self.channels())) {
            self.apply(MapRows { values, first: 0, size }, 0..out_size.height, out);
        }
    }

    /// The rows of the input that the rows `out` of the result are computed from.
    fn rows_for(&self, out: &Range<usize>, size: Size) -> Range<usize> {
        let Window { kernel, stride, .. } = self.window;
        let before = self.window.before(size.height);
        let end = ((out.end - 1) * stride + kernel).saturating_sub(before);
        (out.start * stride).saturating_sub(before)..end.min(size.height)
    }

    /// Writes the rows `rows` of the result, each of shape `(width, channels)`, to `out`. `x` holds the rows that
    /// [`Depthwise::rows_for`] names.
    fn apply(&self, x: MapRows<'_>, rows: Range<usize>, out: &mut [f32]) {
        let padding = vec![0.0; self.channels()];
        let call = Convolution { layer: self, map: x, first: rows.start, padding: &padding };
        Arch::new().dispatch(Whole { call, out });
    }
}

/// One call of [`Depthwise::apply`].
#[derive(Clone, Copy)]
struct Convolution<'a> {
    layer: &'a Depthwise,
    map: MapRows<'a>,
    /// The first row of the result.
    first: usize,
    /// One pixel of zeros.
    padding: &'a [f32],
}

/// A call with its result, on its way to the instructions of the machine.
struct Whole<'a> {
    call: Convolution<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { call, out } = self;
        // The last number is (PIXELS - 1) * STRIDE + SIDE.
        match (call.layer.window.kernel, call.layer.window.stride) {
            (3, 1) => call.run::<S, 3, 1, 6>(simd, out),
            (3, _) => call.run::<S, 3, 2, 9>(simd, out),
            (_, 1) => call.run::<S, 5, 1, 8>(simd, out),
            _ => call.run::<S, 5, 2, 11>(simd, out),
        }
    }
}

/// The pixels under kernels that stand side by side: for each row of the kernel, `COLUMNS` pixels.
type Pixels<'a, const SIDE: usize, const COLUMNS: usize> = [[&'a [f32]; COLUMNS]; SIDE];

impl<'a> Convolution<'a> {
    /// Strips of [`PIXELS`] columns, from top to bottom: what lies under the kernels of one row is in the nearest cache
    /// when the next one needs it. The last strip overlaps the one before where the width is not a multiple; a number that
    /// is computed twice is the same twice.
    #[inline(always)]
    fn run<S: Simd, const SIDE: usize, const STRIDE: usize, const COLUMNS: usize>(self, simd: S, out: &mut [f32]) {
        let width = self.layer.window.out(self.map.size).width;
        if width < PIXELS {
            // No closure: it would be compiled without the instructions of `simd`.
            for x in 0..width {
                self.strip::<S, SIDE, STRIDE, SIDE, 1>(simd, x, out);
            }
            return;
        }
        for x in (0..width).step_by(PIXELS) {
            self.strip::<S, SIDE, STRIDE, COLUMNS, PIXELS>(simd, x.min(width - PIXELS), out);
        }
    }

    /// `N` columns of the result from `x` on.
    #[inline(always)]
    fn strip<S: Simd, const SIDE: usize, const STRIDE: usize, const COLUMNS: usize, const N: usize>(
        self,
        simd: S,
        x: usize,
        out: &mut [f32],
    ) {
        let channels = self.layer.channels();
        let row = self.layer.window.out(self.map.size).width * channels;
        let mut weights = [[self.padding; SIDE]; SIDE];
        for (weights, part) in weights.as_flattened_mut().iter_mut().zip(self.layer.weight.chunks_exact(channels)) {
            *weights = part;
        }
        for (out, y) in out.chunks_exact_mut(row).zip(self.first..) {
            let pixels = self.pixels::<SIDE, COLUMNS>(y * STRIDE, x * STRIDE);
            let out = &mut out[x * channels..][..N * channels];
            block::<S, SIDE, STRIDE, COLUMNS, N>(simd, &pixels, &weights, self.layer, out);
        }
    }

    /// The pixels from (`y`, `x`) on, counted with the padding.
    #[inline(always)]
    fn pixels<const SIDE: usize, const COLUMNS: usize>(self, y: usize, x: usize) -> Pixels<'a, SIDE, COLUMNS> {
        let Self { layer, map, padding, .. } = self;
        let (channels, Size { height, width }) = (layer.channels(), map.size);
        let (above, left) = (layer.window.before(height), layer.window.before(width));
        let mut pixels = [[padding; COLUMNS]; SIDE];
        for (pixels, y) in pixels.iter_mut().zip(y..) {
            // Before the map the difference wraps and is beyond every size.
            let y = y.wrapping_sub(above);
            if height <= y {
                continue;
            }
            let row = &map.values[(y - map.first) * width * channels..][..width * channels];
            for (pixel, x) in pixels.iter_mut().zip(x..) {
                let x = x.wrapping_sub(left);
                if x < width {
                    *pixel = &row[x * channels..][..channels];
                }
            }
        }
        pixels
    }
}

/// `N` pixels side by side: `activation(bias + sum of pixel * weight)`, channel by channel.
#[inline(always)]
fn block<S: Simd, const SIDE: usize, const STRIDE: usize, const COLUMNS: usize, const N: usize>(
    simd: S,
    pixels: &Pixels<'_, SIDE, COLUMNS>,
    weights: &Pixels<'_, SIDE, SIDE>,
    layer: &Depthwise,
    out: &mut [f32],
) {
    let channels = layer.channels();
    let (bias, rest) = S::as_simd_f32s(&layer.bias);
    let n = bias.len();
    let (pixel_vectors, weight_vectors) =
        (vectors::<S, SIDE, COLUMNS>(pixels, n), vectors::<S, SIDE, SIDE>(weights, n));
    for (i, bias) in bias.iter().enumerate() {
        let mut sums = [*bias; N];
        for (pixels, weights) in pixel_vectors.iter().zip(&weight_vectors) {
            for (column, weight) in weights.iter().enumerate() {
                for (at, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add_e_f32s(pixels[at * STRIDE + column][i], weight[i], *sum);
                }
            }
        }
        for (out, sum) in out.chunks_exact_mut(channels).zip(sums) {
            S::as_mut_simd_f32s(out).0[i] = activate(simd, layer.activation, sum);
        }
    }
    if rest.is_empty() {
        return;
    }
    let first = channels - rest.len();
    for (at, out) in out.chunks_exact_mut(channels).enumerate() {
        let mut sum = simd.partial_load_f32s(rest);
        for (pixels, weights) in pixels.iter().zip(weights) {
            for (pixel, weight) in pixels[at * STRIDE..].iter().zip(weights) {
                let (pixel, weight) = (&pixel[first..], &weight[first..]);
                sum = simd.mul_add_e_f32s(simd.partial_load_f32s(pixel), simd.partial_load_f32s(weight), sum);
            }
        }
        simd.partial_store_f32s(&mut out[first..], activate(simd, layer.activation, sum));
    }
}

/// The first `n` registers of each pixel.
#[inline(always)]
fn vectors<'a, S: Simd, const SIDE: usize, const COLUMNS: usize>(
    pixels: &Pixels<'a, SIDE, COLUMNS>,
    n: usize,
) -> [[&'a [S::f32s]; COLUMNS]; SIDE] {
    let mut vectors: [[&[S::f32s]; COLUMNS]; SIDE] = [[&[]; COLUMNS]; SIDE];
    for (vectors, pixels) in vectors.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
        *vectors = &S::as_simd_f32s(pixels).0[..n];
    }
    vectors
}

/// An inverted residual on maps of `size`.
///
/// The wide map, six times as large as the input, never exists as a whole where it is larger than [`TILE`]: its rows are
/// computed when the depthwise convolution needs them.
pub(super) fn invert(x: &[f32], size: Size, block: &InvertedResidual<Cpu>, out: &mut [f32]) {
    let out_size = block.depthwise.window().out(size);
    let (x_len, out_len) = (size.area() * n_in(block), out_size.area() * block.project.n_out);
    let wide_len = size.area() * block.depthwise.channels();
    let mut scratch = Scratch::default();
    let into = if block.residual {
        out.copy_from_slice(x);
        Into::Sum
    } else {
        Into::Place
    };
    if TILE < wide_len {
        for (x, out) in x.chunks_exact(x_len).zip(out.chunks_exact_mut(out_len)) {
            by_rows(x, size, block, &mut scratch, into, out);
        }
        return;
    }
    let n = TILE / wide_len;
    for (x, out) in x.chunks(n * x_len).zip(out.chunks_mut(n * out_len)) {
        whole(x, size, block, &mut scratch, into, out);
    }
}

/// What one tile leaves to the next.
#[derive(Default)]
struct Scratch {
    wide: Vec<f32>,
    convolved: Vec<f32>,
}

fn n_in(block: &InvertedResidual<Cpu>) -> usize {
    block.expand.as_ref().map_or(block.depthwise.channels(), |expand| expand.n_in)
}

/// Some maps at once.
fn whole(
    x: &[f32],
    size: Size,
    block: &InvertedResidual<Cpu>,
    Scratch { wide, convolved }: &mut Scratch,
    into: Into,
    out: &mut [f32],
) {
    let channels = block.depthwise.channels();
    let out_size = block.depthwise.window().out(size);
    let n = x.len() / (size.area() * n_in(block));
    let wide = match &block.expand {
        None => x,
        Some(expand) => {
            let wide = reserve(wide, n * size.area() * channels);
            expand.apply(x, block.activation, Into::Place, wide);
            wide
        }
    };
    let convolved = reserve(convolved, n * out_size.area() * channels);
    block.depthwise.apply_all(wide, size, convolved);
    block.project.apply(convolved, Activation::Identity, into, out);
}

/// One map, a few rows of its wide map at a time.
fn by_rows(
    x: &[f32],
    size: Size,
    block: &InvertedResidual<Cpu>,
    Scratch { wide, convolved }: &mut Scratch,
    into: Into,
    out: &mut [f32],
) {
    let Window { kernel, stride, .. } = block.depthwise.window();
    let channels = block.depthwise.channels();
    let out_size = block.depthwise.window().out(size);
    let wide_row = size.width * channels;
    let n_rows = ((TILE / wide_row).saturating_sub(kernel - 1) / stride).max(1);
    let wide = reserve(wide, (n_rows * stride + kernel - 1) * wide_row);
    let mut present: Range<usize> = 0..0;
    let mut start = 0;
    while start < out_size.height {
        let rows = start..out_size.height.min(start + n_rows);
        let wanted = block.depthwise.rows_for(&rows, size);
        let rows_in = match &block.expand {
            None => MapRows { values: x, first: 0, size },
            Some(expand) => {
                slide(expand, block.activation, (x, size.width), &present, &wanted, wide);
                present = wanted.clone();
                MapRows { values: wide, first: wanted.start, size }
            }
        };
        let convolved = reserve(convolved, rows.len() * out_size.width * channels);
        block.depthwise.apply(rows_in, rows.clone(), convolved);
        let row = out_size.width * block.project.n_out;
        block.project.apply(convolved, Activation::Identity, into, &mut out[rows.start * row..rows.end * row]);
        start = rows.end;
    }
}

/// Makes `wide`, which holds the rows `present`, hold the rows `wanted` of what `expand` gives for the map `x`.
fn slide(
    expand: &Linear,
    activation: Activation,
    (x, width): (&[f32], usize),
    present: &Range<usize>,
    wanted: &Range<usize>,
    wide: &mut [f32],
) {
    let (row_in, row_out) = (width * expand.n_in, width * expand.n_out);
    let kept = present.end.saturating_sub(wanted.start);
    if 0 < kept {
        let from = wanted.start - present.start;
        wide.copy_within(from * row_out..(from + kept) * row_out, 0);
    }
    let new = &x[(wanted.start + kept) * row_in..wanted.end * row_in];
    expand.apply(new, activation, Into::Place, &mut wide[kept * row_out..wanted.len() * row_out]);
}

/// `n` numbers of `buffer`, which grows where it is shorter, from the beginning of a cache line on; what they are is left
/// over from before.
fn reserve(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n + LINE {
        buffer.resize(n + LINE, 0.0);
    }
    let skipped = buffer.as_ptr().align_offset(LINE * size_of::<f32>());
    &mut buffer[skipped..][..n]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matrix, Ops as _, Padding};

    fn numbers(n: usize, seed: u8) -> Vec<f32> {
        (0..n).map(|i| f32::from(u8::try_from((i * 37 + usize::from(seed)) % 251).unwrap()) / 125.5 - 1.0).collect()
    }

    /// Maps so large that wide maps are computed by rows, against the whole.
    #[test]
    fn rows_of_a_wide_map_are_those_of_the_whole() {
        let (n_in, channels) = (8, 48);
        for (kernel, stride, padding) in
            [(3, 1, Padding::Symmetric), (3, 2, Padding::Symmetric), (5, 2, Padding::Same), (3, 2, Padding::Same)]
        {
            let window = Window { kernel, stride, padding };
            let linear = |n_out: usize, n_in: usize| {
                let weight = Matrix { width: n_in, values: numbers(n_out * n_in, 1) };
                Cpu.linear(weight, Some(numbers(n_out, 2))).unwrap()
            };
            let weight = numbers(channels * kernel * kernel, 3);
            let depthwise =
                DepthwiseWeights { window, weight, bias: numbers(channels, 4), activation: Activation::Relu6 };
            let block = InvertedResidual {
                expand: Some(linear(channels, n_in)),
                depthwise: Cpu.depthwise(depthwise).unwrap(),
                project: linear(n_in, channels),
                activation: Activation::Relu6,
                residual: stride == 1,
            };
            let size = Size { height: 61, width: 85 };
            assert!(2 * TILE < size.area() * channels, "because several tiles are to be tested");
            let x = numbers(size.area() * n_in, 5);
            let n = window.out(size).area() * n_in;
            let into = if block.residual { Into::Sum } else { Into::Place };
            let mut expected = if block.residual { x.clone() } else { vec![f32::NAN; n] };
            whole(&x, size, &block, &mut Scratch::default(), into, &mut expected);
            let mut out = vec![f32::NAN; n];
            invert(&x, size, &block, &mut out);
            assert_eq!(out, expected, "kernel {kernel}, stride {stride}");
        }
    }

    /// Registers of 1, 4, 8 and 16 numbers, whatever this machine has, on maps with and without whole strips.
    #[test]
    fn every_width_of_registers_gives_the_same() {
        for (kernel, stride, width) in [(3, 1, 7), (3, 2, 9), (5, 1, 2), (5, 2, 11)] {
            let (channels, size) = (40, Size { height: 5, width });
            let window = Window { kernel, stride, padding: Padding::Same };
            let layer = Depthwise::new(&DepthwiseWeights {
                window,
                weight: numbers(channels * kernel * kernel, 6),
                bias: numbers(channels, 7),
                activation: Activation::Relu6,
            });
            let x = numbers(size.area() * channels, 8);
            let padding = vec![0.0; channels];
            let run = |lanes: usize| {
                let mut out = vec![f32::NAN; window.out(size).area() * channels];
                let map = MapRows { values: &x, first: 0, size };
                let call = Convolution { layer: &layer, map, first: 0, padding: &padding };
                let whole = Whole { call, out: &mut out };
                match lanes {
                    1 => whole.with_simd(pulp::Scalar),
                    4 => whole.with_simd(pulp::Scalar128b),
                    8 => whole.with_simd(pulp::Scalar256b),
                    _ => whole.with_simd(pulp::Scalar512b),
                }
                out
            };
            let what = format!("kernel {kernel}, stride {stride}");
            let four = run(4);
            assert_eq!(run(8), four, "{what}");
            assert_eq!(run(16), four, "{what}");
            // Single numbers are multiplied and added apart: sums of 25 products below 1 differ by less.
            let apart = run(1).iter().zip(&four).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{what}: {apart}");
        }
    }

    #[test]
    fn kernels_of_torch_are_read_channel_by_channel() {
        let weight = (0..18_u8).map(f32::from).collect();
        let window = Window { kernel: 3, stride: 1, padding: Padding::Symmetric };
        let bias = vec![0.0; 2];
        let layer = Depthwise::new(&DepthwiseWeights { window, weight, bias, activation: Activation::Identity });
        assert_eq!(layer.weight[..6], [0.0, 9.0, 1.0, 10.0, 2.0, 11.0]);
    }
}
