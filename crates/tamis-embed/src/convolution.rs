//! Convolutions of small image networks on the CPU, over pixels that stand in rows like the tokens of a text.
//!
//! A feature map has shape `(pictures, height, width, channels)`: the channels of a pixel stand side by side. So a 1x1
//! convolution is a matrix product of pixels and weights, and a depthwise convolution is vectorized over channels. Bias,
//! activation and residual are applied while a result is still in registers.
//!
//! candle's own convolution runs one call per group, which is one per channel for a depthwise layer, and a general matrix
//! product packs both of its sides anew in each call, which is dear where the inner dimension is 16 to 960.
//!
//! `pulp` picks the instructions of the machine at run time. Each number is bias, then products in the order of the
//! inputs, whatever its pixel's place among others: results do not depend on the other pixels of a call. A multiplication
//! and its addition are fused wherever the machine does that, and then everywhere.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

/// Output channels that are computed together: a multiple of the registers' width on every machine.
const PANEL: usize = 16;

/// Pixels that are computed together. With [`PANEL`] channels each, and 8 numbers to a register, their sums take 12 of
/// AVX2's 16 registers; weights and input take the rest.
const BLOCK: usize = 6;

/// Pixels that pass all weights before the next ones do, so that they stay in the nearest cache: a multiple of [`BLOCK`],
/// and large enough that weights, which may come from a farther one, are used often. Chosen by measurement.
const PIXELS_PER_PASS: usize = 48;

/// Height and width of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Size {
    /// Number of pixels.
    pub(crate) fn area(self) -> usize {
        self.height * self.width
    }

    /// Size of the result of a 3x3 convolution with padding 1.
    pub(crate) fn strided(self, stride: usize) -> Self {
        Self { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride) }
    }
}

/// What happens to a sum at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    Linear,
    /// It is held in [0, 6].
    Relu6,
}

/// A convolution with its batch norm folded in.
pub(crate) struct Folded {
    /// Output channel by output channel.
    pub(crate) weight: Vec<f32>,
    /// One number per output channel.
    pub(crate) bias: Vec<f32>,
}

/// A 1x1 convolution.
pub(crate) struct Pointwise {
    n_in: usize,
    n_out: usize,
    /// For each [`PANEL`] of output channels, for each input channel: the weights of the panel; 0 beyond the last channel.
    panels: Vec<f32>,
    /// Padded as the panels are.
    bias: Vec<f32>,
    activation: Activation,
}

impl Pointwise {
    /// Lays out a weight of shape `(n_out, n_in)`.
    pub(crate) fn new(folded: Folded, activation: Activation) -> Self {
        let Folded { weight, mut bias } = folded;
        let n_out = bias.len();
        let n_in = weight.len() / n_out;
        bias.resize(n_out.next_multiple_of(PANEL), 0.0);
        let mut panels = vec![0.0; bias.len() * n_in];
        for (output, weights) in weight.chunks_exact(n_in).enumerate() {
            let panel = &mut panels[output / PANEL * PANEL * n_in..][..PANEL * n_in];
            for (at, weight) in panel.iter_mut().skip(output % PANEL).step_by(PANEL).zip(weights) {
                *at = *weight;
            }
        }
        Self { n_in, n_out, panels, bias, activation }
    }

    /// Channels of the result.
    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Channels of the input.
    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Writes `activation(x * weight^T + bias + residual)` to `out`: `x` has shape `(pixels, n_in)`, `residual` and `out`
    /// have `(pixels, n_out)`.
    pub(crate) fn apply(&self, x: &[f32], residual: Option<&[f32]>, out: &mut [f32]) {
        debug_assert_eq!(x.len() / self.n_in, out.len() / self.n_out);
        Arch::new().dispatch(Product { layer: self, x, residual, out });
    }
}

/// One call of [`Pointwise::apply`].
struct Product<'a> {
    layer: &'a Pointwise,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Registers per panel.
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, PANEL>(simd),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(mut self, simd: S) {
        let n_pixels = self.out.len() / self.layer.n_out;
        let mut first = 0;
        while first < n_pixels {
            let last = n_pixels.min(first + PIXELS_PER_PASS);
            for panel in 0..self.layer.bias.len() / PANEL {
                self.pass::<S, N>(simd, panel, first..last);
            }
            first = last;
        }
    }

    /// One panel of output channels for some pixels. The last block of pixels overlaps the one before where they do not
    /// fill a whole number of blocks: a number that is computed twice is the same twice.
    #[inline(always)]
    fn pass<S: Simd, const N: usize>(&mut self, simd: S, panel: usize, pixels: Range<usize>) {
        if pixels.len() < BLOCK {
            pixels.for_each(|pixel| self.block::<S, N, 1>(simd, panel, pixel));
            return;
        }
        let last = pixels.end - BLOCK;
        for pixel in pixels.step_by(BLOCK) {
            self.block::<S, N, BLOCK>(simd, panel, pixel.min(last));
        }
    }

    /// One panel of output channels for `ROWS` pixels from `pixel` on.
    #[inline(always)]
    fn block<S: Simd, const N: usize, const ROWS: usize>(&mut self, simd: S, panel: usize, pixel: usize) {
        let n_in = self.layer.n_in;
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &self.x[(pixel + row) * n_in..][..n_in]);
        let weights = vectors::<S, N>(&self.layer.panels[panel * PANEL * n_in..][..PANEL * n_in]);
        let bias = vectors::<S, N>(&self.layer.bias[panel * PANEL..][..PANEL])[0];
        let mut sums = [bias; ROWS];
        for (input, weights) in weights[..n_in].iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let x = simd.splat_f32s(row[input]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            self.store(simd, panel, pixel + row, sums);
        }
    }

    /// Adds the residual, applies the activation and writes one panel of output channels of `pixel`.
    #[inline(always)]
    fn store<S: Simd, const N: usize>(&mut self, simd: S, panel: usize, pixel: usize, mut sums: [S::f32s; N]) {
        let n_out = self.layer.n_out;
        let first = pixel * n_out + panel * PANEL;
        let n = PANEL.min(n_out - panel * PANEL);
        if let Some(residual) = self.residual {
            let mut padded = [0.0; PANEL];
            padded[..n].copy_from_slice(&residual[first..first + n]);
            for (sum, residual) in sums.iter_mut().zip(vectors::<S, N>(&padded)[0]) {
                *sum = simd.add_f32s(*sum, residual);
            }
        }
        if self.layer.activation == Activation::Relu6 {
            sums = sums.map(|sum| relu6(simd, sum));
        }
        let out = &mut self.out[first..first + n];
        if n == PANEL {
            S::as_mut_simd_f32s(out).0.copy_from_slice(&sums);
        } else {
            let mut padded = [0.0; PANEL];
            S::as_mut_simd_f32s(&mut padded).0.copy_from_slice(&sums);
            out.copy_from_slice(&padded[..n]);
        }
    }
}

/// `values` as panels of `N` registers.
#[inline(always)]
fn vectors<S: Simd, const N: usize>(values: &[f32]) -> &[[S::f32s; N]] {
    S::as_simd_f32s(values).0.as_chunks::<N>().0
}

#[inline(always)]
fn relu6<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(0.0)), simd.splat_f32s(6.0))
}

/// A depthwise 3x3 convolution with padding 1, followed by `ReLU6`.
pub(crate) struct Depthwise {
    stride: usize,
    /// Shape `(9, channels)`, kernel row by kernel row.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Rows of one feature map of shape `(rows, width, channels)`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    /// Which row of the map the first one is.
    pub(crate) first: usize,
    /// Size of the whole map.
    pub(crate) size: Size,
}

impl Depthwise {
    /// Lays out a weight of shape `(channels, 1, 3, 3)`.
    pub(crate) fn new(folded: Folded, stride: usize) -> Self {
        let Folded { weight, bias } = folded;
        let taps = |tap: usize| weight.iter().skip(tap).step_by(9).copied();
        Self { stride, weight: (0..9).flat_map(taps).collect(), bias }
    }

    /// Channels of input and result.
    pub(crate) fn channels(&self) -> usize {
        self.bias.len()
    }

    /// Distance of the pixels that kernels stand on.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The rows of the input that the rows `out` of the result are computed from.
    pub(crate) fn rows_for(&self, out: &Range<usize>, size: Size) -> Range<usize> {
        (out.start * self.stride).saturating_sub(1)..((out.end - 1) * self.stride + 2).min(size.height)
    }

    /// Writes the rows `rows` of the result, each of shape `(width, channels)`, to `out`. `x` holds the rows that
    /// [`Depthwise::rows_for`] names.
    pub(crate) fn apply(&self, x: Rows<'_>, rows: Range<usize>, out: &mut [f32]) {
        Arch::new().dispatch(Window { layer: self, x, rows, out });
    }
}

/// One call of [`Depthwise::apply`].
struct Window<'a> {
    layer: &'a Depthwise,
    x: Rows<'a>,
    rows: Range<usize>,
    out: &'a mut [f32],
}

impl WithSimd for Window<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.layer.channels();
        let padding = vec![0.0; channels];
        let width = self.x.size.strided(self.layer.stride).width;
        let weights: [&[f32]; 9] = std::array::from_fn(|tap| &self.layer.weight[tap * channels..][..channels]);
        for (out, y) in self.out.chunks_exact_mut(width * channels).zip(self.rows) {
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let taps = std::array::from_fn(|tap| {
                    let (y, x) = (y * self.layer.stride + tap / 3, x * self.layer.stride + tap % 3);
                    self.x.pixel(y, x, channels).unwrap_or(&padding)
                });
                pixel(simd, taps, weights, &self.layer.bias, out);
            }
        }
    }
}

impl<'a> Rows<'a> {
    /// Channels of the pixel above and to the left of (`y`, `x`); `None` outside of the map.
    #[inline(always)]
    fn pixel(&self, y: usize, x: usize, channels: usize) -> Option<&'a [f32]> {
        if !(1..=self.size.height).contains(&y) || !(1..=self.size.width).contains(&x) {
            return None;
        }
        Some(&self.values[((y - 1 - self.first) * self.size.width + x - 1) * channels..][..channels])
    }
}

/// One pixel of a depthwise convolution: `relu6(bias + sum of tap * weight)`, channel by channel.
#[inline(always)]
fn pixel<S: Simd>(simd: S, taps: [&[f32]; 9], weights: [&[f32]; 9], bias: &[f32], out: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(out);
    let n = vectors.len();
    let taps_of = taps.map(|it| &S::as_simd_f32s(it).0[..n]);
    let weights_of = weights.map(|it| &S::as_simd_f32s(it).0[..n]);
    for (i, (out, bias)) in vectors.iter_mut().zip(S::as_simd_f32s(bias).0).enumerate() {
        let mut sum = *bias;
        for (tap, weight) in taps_of.iter().zip(weights_of) {
            sum = simd.mul_add_e_f32s(tap[i], weight[i], sum);
        }
        *out = relu6(simd, sum);
    }
    let first = bias.len() - rest.len();
    for (i, out) in (first..).zip(rest) {
        let sum = taps.iter().zip(weights).fold(bias[i], |sum, (tap, weight)| sum + tap[i] * weight[i]);
        *out = sum.clamp(0.0, 6.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [-1, 1) without a pattern that a kernel could profit from; the same in every run.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            // The linear congruential generator of Numerical Recipes; its high bits are the good ones.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Sums of at most 40 products of numbers below 1, in another order and with other roundings, differ by less.
    fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
        assert_eq!(ours.len(), theirs.len(), "{what}");
        for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert!((ours - theirs).abs() < 1e-5, "{what}: number {i} is {ours}, expected {theirs}");
        }
    }

    #[test]
    fn pointwise_is_the_product_plus_bias_and_residual() {
        for (n_pixels, n_in, n_out) in [(1, 3, 1), (5, 27, 16), (6, 16, 24), (7, 40, 33), (50, 8, 32), (101, 9, 48)] {
            let (x, weight) = (numbers(n_pixels * n_in, 1), numbers(n_out * n_in, 2));
            let (bias, residual) = (numbers(n_out, 3), numbers(n_pixels * n_out, 4));
            let mut expected = residual.clone();
            for (row, x) in expected.chunks_exact_mut(n_out).zip(x.chunks_exact(n_in)) {
                for ((sum, weight), bias) in row.iter_mut().zip(weight.chunks_exact(n_in)).zip(&bias) {
                    *sum += bias + x.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f32>();
                }
            }
            let layer = |activation| Pointwise::new(Folded { weight: weight.clone(), bias: bias.clone() }, activation);
            let mut ours = vec![f32::NAN; n_pixels * n_out];
            layer(Activation::Linear).apply(&x, Some(&residual), &mut ours);
            let what = format!("{n_pixels} pixels, {n_in} to {n_out} channels");
            assert_close(&ours, &expected, &what);
            layer(Activation::Relu6).apply(&x, Some(&residual), &mut ours);
            let clamped: Vec<f32> = expected.iter().map(|it| it.clamp(0.0, 6.0)).collect();
            assert_close(&ours, &clamped, &what);
        }
    }

    /// Registers of 1, 4, 8 and 16 numbers, whatever this machine has.
    #[test]
    fn every_width_of_registers_gives_the_same() {
        let (n_pixels, n_in, channels) = (7, 9, 40);
        let folded = |n: usize| Folded { weight: numbers(n, 8), bias: numbers(channels, 9) };
        let pointwise = Pointwise::new(folded(channels * n_in), Activation::Relu6);
        let depthwise = Depthwise::new(folded(channels * 9), 1);
        let (x, size) = (numbers(n_pixels * n_in, 10), Size { height: 1, width: n_pixels });
        let run = |width: usize| {
            let (mut inner, mut out) = (vec![f32::NAN; n_pixels * channels], vec![f32::NAN; n_pixels * channels]);
            let product = Product { layer: &pointwise, x: &x, residual: None, out: &mut inner };
            match width {
                1 => product.with_simd(pulp::Scalar),
                4 => product.with_simd(pulp::Scalar128b),
                8 => product.with_simd(pulp::Scalar256b),
                _ => product.with_simd(pulp::Scalar512b),
            }
            let values = Rows { values: &inner, first: 0, size };
            let window = Window { layer: &depthwise, x: values, rows: 0..1, out: &mut out };
            match width {
                1 => window.with_simd(pulp::Scalar),
                4 => window.with_simd(pulp::Scalar128b),
                8 => window.with_simd(pulp::Scalar256b),
                _ => window.with_simd(pulp::Scalar512b),
            }
            out
        };
        let one = run(1);
        for width in [4, 8, 16] {
            assert_close(&run(width), &one, &format!("registers of {width}"));
        }
    }

    /// One number of a depthwise 3x3 convolution with padding 1 and `ReLU6`, from its definition.
    fn naive(layer: &Depthwise, x: &[f32], size: Size, (y, column, channel): (usize, usize, usize)) -> f32 {
        let mut sum = layer.bias[channel];
        for tap in 0..9 {
            let (y, column) = (y * layer.stride + tap / 3, column * layer.stride + tap % 3);
            if (1..=size.height).contains(&y) && (1..=size.width).contains(&column) {
                let pixel = (y - 1) * size.width + column - 1;
                sum += x[pixel * layer.channels() + channel] * layer.weight[tap * layer.channels() + channel];
            }
        }
        sum.clamp(0.0, 6.0)
    }

    #[test]
    fn depthwise_is_its_definition_whole_and_row_by_row() {
        for (height, width, channels) in [(1, 1, 8), (1, 5, 3), (2, 1, 16), (3, 3, 32), (7, 4, 19), (6, 9, 40)] {
            for stride in [1, 2] {
                let size = Size { height, width };
                let folded = Folded { weight: numbers(9 * channels, 5), bias: numbers(channels, 6) };
                let layer = Depthwise::new(folded, stride);
                let x = numbers(size.area() * channels, 7);
                let out_size = size.strided(stride);
                let places = (0..out_size.height).flat_map(|y| (0..out_size.width).map(move |column| (y, column)));
                let places = places.flat_map(|(y, column)| (0..channels).map(move |channel| (y, column, channel)));
                let expected: Vec<f32> = places.map(|place| naive(&layer, &x, size, place)).collect();

                let what = format!("{height} x {width}, {channels} channels, stride {stride}");
                let mut whole = vec![f32::NAN; expected.len()];
                layer.apply(Rows { values: &x, first: 0, size }, 0..out_size.height, &mut whole);
                assert_close(&whole, &expected, &what);

                let mut by_rows = vec![f32::NAN; expected.len()];
                for (y, out) in by_rows.chunks_exact_mut(out_size.width * channels).enumerate() {
                    let needed = layer.rows_for(&(y..y + 1), size);
                    let values = &x[needed.start * width * channels..needed.end * width * channels];
                    layer.apply(Rows { values, first: needed.start, size }, y..y + 1, out);
                }
                assert_eq!(by_rows, whole, "{what}");
            }
        }
    }

    #[test]
    fn kernels_of_torch_are_read_channel_by_channel() {
        let weight = (0..18_u8).map(f32::from).collect();
        let layer = Depthwise::new(Folded { weight, bias: vec![0.0; 2] }, 1);
        assert_eq!(layer.weight[..6], [0.0, 9.0, 1.0, 10.0, 2.0, 11.0]);
    }
}
