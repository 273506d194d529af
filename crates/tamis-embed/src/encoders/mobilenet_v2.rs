//! `MobileNetV2` of width 1, without its classifier.
//!
//! Order of operations and tensor names follow `MobileNetV2` of torchvision (`torchvision/models/mobilenetv2.py`, release
//! 0.24), from `features` to the average over the last map. Deviations: batch norms are folded into the convolutions
//! before them; the map of a block's hidden layer, six times as large as its input, never exists as a whole, its rows are
//! computed when the depthwise convolution needs them; dropout and classifier are left out.
//!
//! Sandler et al., "`MobileNetV2`: Inverted Residuals and Linear Bottlenecks" (2018).

use std::ops::Range;

use super::{Build, EncoderDef, ImageEncoder, Scratch};
use crate::ModelError;
use crate::convolution::{Activation, Depthwise, Folded, Pointwise, Rows, Size};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = EncoderDef { id: "mobilenet-v2", build: Build::Image(build) };

/// Expansion, output channels, number of blocks and stride of the first of them: table 2 of the paper,
/// `inverted_residual_setting` upstream.
const SETTING: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

/// Channels of the first map.
const STEM: usize = 32;

/// Channels of the last map.
const LAST: usize = 1280;

/// `eps` of `torch.nn.BatchNorm2d`.
const NORM_EPS: f32 = 1e-5;

/// Most numbers of a hidden map that are computed before they are used: 256 KiB, which stay in the second cache
/// of common machines. Chosen by measurement at 224 x 224 on one core with 1 MiB of it: whole maps were
/// slower in the best of several runs, a half or the double of this equal within the noise of 10 %.
const TILE: usize = 65_536;

struct MobileNetV2 {
    /// 3x3 with stride 2, as a product over the 27 numbers under the kernel.
    stem: Pointwise,
    blocks: Vec<Block>,
    head: Pointwise,
}

/// An inverted residual.
struct Block {
    /// `None` in the first block, whose hidden layer is its input.
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

fn build(weights: &Weights<'_>) -> Result<Box<dyn ImageEncoder>, ModelError> {
    let stem = fold(weights, "features.0.0", "features.0.1", &[STEM, 3, 3, 3])?;
    let mut blocks = Vec::new();
    let mut n_in = STEM;
    for (expansion, n_out, n, stride) in SETTING {
        for i in 0..n {
            let name = format!("features.{}.conv", 1 + blocks.len());
            let stride = if i == 0 { stride } else { 1 };
            blocks.push(Block::load(weights, &name, expansion, (n_in, n_out), stride)?);
            n_in = n_out;
        }
    }
    let last = 1 + blocks.len();
    let head = fold(weights, &format!("features.{last}.0"), &format!("features.{last}.1"), &[LAST, n_in, 1, 1])?;
    Ok(Box::new(MobileNetV2 {
        stem: Pointwise::new(kernel_last(stem), Activation::Relu6),
        blocks,
        head: Pointwise::new(head, Activation::Relu6),
    }))
}

/// The convolution `conv` of this shape with the batch norm `norm` after it.
fn fold(weights: &Weights<'_>, conv: &str, norm: &str, shape: &[usize; 4]) -> Result<Folded, ModelError> {
    let n_out = shape[0];
    let mut weight = weights.values(&format!("{conv}.weight"), shape)?;
    let part = |name: &str| weights.values(&format!("{norm}.{name}"), &[n_out]);
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let mut bias = beta;
    let per_output = weight.len() / n_out;
    for (i, weights) in weight.chunks_exact_mut(per_output).enumerate() {
        let scale = gamma[i] / (variance[i] + NORM_EPS).sqrt();
        weights.iter_mut().for_each(|weight| *weight *= scale);
        bias[i] -= mean[i] * scale;
    }
    Ok(Folded { weight, bias })
}

/// From `(n_out, 3 colors, 3, 3)` to `(n_out, 3, 3, 3 colors)`: the order in which pixels stand under the kernel.
fn kernel_last(folded: Folded) -> Folded {
    let reorder = |kernel: &[f32]| -> Vec<f32> { (0..27).map(|i| kernel[i % 3 * 9 + i / 3]).collect() };
    Folded { weight: folded.weight.chunks_exact(27).flat_map(reorder).collect(), bias: folded.bias }
}

impl Block {
    fn load(
        weights: &Weights<'_>,
        name: &str,
        expansion: usize,
        (n_in, n_out): (usize, usize),
        stride: usize,
    ) -> Result<Self, ModelError> {
        let hidden = n_in * expansion;
        let at = |part: &str| format!("{name}.{part}");
        let expand = match expansion {
            1 => None,
            _ => Some(fold(weights, &at("0.0"), &at("0.1"), &[hidden, n_in, 1, 1])?),
        };
        let next = usize::from(expand.is_some());
        let depthwise = fold(weights, &at(&format!("{next}.0")), &at(&format!("{next}.1")), &[hidden, 1, 3, 3])?;
        let (conv, norm) = (at(&format!("{}", next + 1)), at(&format!("{}", next + 2)));
        let project = fold(weights, &conv, &norm, &[n_out, hidden, 1, 1])?;
        Ok(Self {
            expand: expand.map(|it| Pointwise::new(it, Activation::Relu6)),
            depthwise: Depthwise::new(depthwise, stride),
            project: Pointwise::new(project, Activation::Linear),
            residual: stride == 1 && n_in == n_out,
        })
    }

    fn n_in(&self) -> usize {
        self.expand.as_ref().map_or(self.depthwise.channels(), Pointwise::n_in)
    }

    /// `x` has shape `(pictures, size, n_in)`, `out` `(pictures, strided size, n_out)`.
    fn forward(&self, x: &[f32], size: Size, scratch: &mut [Vec<f32>; 2], out: &mut [f32]) {
        let out_size = size.strided(self.depthwise.stride());
        let (x_len, out_len) = (size.area() * self.n_in(), out_size.area() * self.project.n_out());
        let hidden_len = size.area() * self.depthwise.channels();
        if TILE < hidden_len {
            for (x, out) in x.chunks_exact(x_len).zip(out.chunks_exact_mut(out_len)) {
                self.forward_by_rows(x, size, scratch, out);
            }
            return;
        }
        let n = TILE / hidden_len;
        for (x, out) in x.chunks(n * x_len).zip(out.chunks_mut(n * out_len)) {
            self.forward_whole(x, size, scratch, out);
        }
    }

    /// Some pictures at once.
    fn forward_whole(&self, x: &[f32], size: Size, [hidden, inner]: &mut [Vec<f32>; 2], out: &mut [f32]) {
        let channels = self.depthwise.channels();
        let out_size = size.strided(self.depthwise.stride());
        let n = x.len() / (size.area() * self.n_in());
        let hidden = match &self.expand {
            None => x,
            Some(expand) => {
                let hidden = reserve(hidden, n * size.area() * channels);
                expand.apply(x, None, hidden);
                hidden
            }
        };
        let inner = reserve(inner, n * out_size.area() * channels);
        let maps = hidden.chunks_exact(size.area() * channels);
        for (values, inner) in maps.zip(inner.chunks_exact_mut(out_size.area() * channels)) {
            self.depthwise.apply(Rows { values, first: 0, size }, 0..out_size.height, inner);
        }
        self.project.apply(inner, self.residual.then_some(x), out);
    }

    /// One picture, a few rows of its hidden map at a time.
    fn forward_by_rows(&self, x: &[f32], size: Size, [hidden, inner]: &mut [Vec<f32>; 2], out: &mut [f32]) {
        let (channels, stride) = (self.depthwise.channels(), self.depthwise.stride());
        let out_size = size.strided(stride);
        let hidden_row = size.width * channels;
        let n_rows = ((TILE / hidden_row).saturating_sub(2) / stride).max(1);
        let hidden = reserve(hidden, (n_rows * stride + 2) * hidden_row);
        let mut present: Range<usize> = 0..0;
        let mut start = 0;
        while start < out_size.height {
            let rows = start..out_size.height.min(start + n_rows);
            let wanted = self.depthwise.rows_for(&rows, size);
            let rows_in = match &self.expand {
                None => Rows { values: x, first: 0, size },
                Some(expand) => {
                    slide(expand, x, size.width, &present, &wanted, hidden);
                    present = wanted.clone();
                    Rows { values: hidden, first: wanted.start, size }
                }
            };
            let inner = reserve(inner, rows.len() * out_size.width * channels);
            self.depthwise.apply(rows_in, rows.clone(), inner);
            let row = out_size.width * self.project.n_out();
            let span = rows.start * row..rows.end * row;
            let residual = self.residual.then(|| &x[span.clone()]);
            self.project.apply(inner, residual, &mut out[span]);
            start = rows.end;
        }
    }
}

impl ImageEncoder for MobileNetV2 {
    fn dim(&self) -> usize {
        LAST
    }

    fn forward(&self, pixels: &[f32], size: Size, scratch: &mut Scratch) -> Vec<f32> {
        let n = pixels.len() / (size.area() * 3);
        let Scratch { maps: [from, to], tiles } = scratch;
        let (mut from, mut to) = (from, to);
        let mut size = size;
        stem(&self.stem, pixels, size, tiles, from);
        size = size.strided(2);
        for block in &self.blocks {
            let out_size = size.strided(block.depthwise.stride());
            let x = &from[..n * size.area() * block.n_in()];
            block.forward(x, size, tiles, reserve(to, n * out_size.area() * block.project.n_out()));
            std::mem::swap(&mut from, &mut to);
            size = out_size;
        }
        let mut pooled = vec![0.0; n * LAST];
        let map = reserve(to, n * size.area() * LAST);
        self.head.apply(&from[..n * size.area() * self.head.n_in()], None, map);
        for (map, mean) in map.chunks_exact(size.area() * LAST).zip(pooled.chunks_exact_mut(LAST)) {
            average(map, mean);
        }
        pooled
    }
}

/// Makes `hidden`, which holds the rows `present`, hold the rows `wanted` of what `expand` gives for the map `x`.
fn slide(
    expand: &Pointwise,
    x: &[f32],
    width: usize,
    present: &Range<usize>,
    wanted: &Range<usize>,
    hidden: &mut [f32],
) {
    let (row_in, row_out) = (width * expand.n_in(), width * expand.n_out());
    let kept = present.end.saturating_sub(wanted.start);
    if 0 < kept {
        let from = wanted.start - present.start;
        hidden.copy_within(from * row_out..(from + kept) * row_out, 0);
    }
    let new = &x[(wanted.start + kept) * row_in..wanted.end * row_in];
    expand.apply(new, None, &mut hidden[kept * row_out..wanted.len() * row_out]);
}

/// The first convolution, row by row, into `out`.
fn stem(stem: &Pointwise, pixels: &[f32], size: Size, tiles: &mut [Vec<f32>; 2], out: &mut Vec<f32>) {
    let out_size = size.strided(2);
    let out_row = out_size.width * STEM;
    let n = pixels.len() / (size.area() * 3);
    let kernels = reserve(&mut tiles[0], out_size.width * 27);
    let out = reserve(out, n * out_size.height * out_row);
    for (row, out) in out.chunks_exact_mut(out_row).enumerate() {
        let (picture, y) = (row / out_size.height, row % out_size.height);
        gather(&pixels[picture * size.area() * 3..][..size.area() * 3], size, y, kernels);
        stem.apply(kernels, None, out);
    }
}

/// The numbers under the kernels of row `y` of the first convolution, shape `(width / 2, 3, 3, 3 colors)`; 0 outside of
/// the picture.
fn gather(pixels: &[f32], size: Size, y: usize, kernels: &mut [f32]) {
    for (x, kernel) in kernels.chunks_exact_mut(27).enumerate() {
        // The kernel's first column stands at 2 * x - 1.
        let columns = (2 * x).max(1)..(2 * x + 3).min(size.width + 1);
        for (kernel, y) in kernel.chunks_exact_mut(9).zip(2 * y..) {
            kernel.fill(0.0);
            if (1..=size.height).contains(&y) {
                let row = &pixels[(y - 1) * size.width * 3..][..size.width * 3];
                let to = (columns.start - 2 * x) * 3;
                let from = &row[(columns.start - 1) * 3..(columns.end - 1) * 3];
                kernel[to..to + from.len()].copy_from_slice(from);
            }
        }
    }
}

/// Mean over the pixels of `map`, shape `(pixels, channels)`, summed in their order.
#[expect(clippy::cast_precision_loss, reason = "a map has far fewer than 2^24 pixels")]
fn average(map: &[f32], mean: &mut [f32]) {
    let n_pixels = map.len() / mean.len();
    for pixel in map.chunks_exact(mean.len()) {
        mean.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += *x);
    }
    mean.iter_mut().for_each(|sum| *sum /= n_pixels as f32);
}

/// The first `n` numbers of `buffer`, which grows where it is shorter; what they are is left over from before.
fn reserve(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelFiles;
    use crate::manifest::WeightsFormat;

    #[derive(serde::Deserialize)]
    struct Golden {
        pooled_features: Vec<f32>,
    }

    /// The input of the golden vector, by its formula.
    fn golden_input(size: Size) -> Vec<f32> {
        let value = |i: usize, j: usize, c: usize| {
            let level = u8::try_from((c * 7919 + i * 31 + j * 17) % 255).unwrap();
            (f32::from(level) - 127.0) / 128.0
        };
        let places = (0..size.height).flat_map(|i| (0..size.width).map(move |j| (i, j)));
        places.flat_map(|(i, j)| (0..3).map(move |c| value(i, j, c))).collect()
    }

    fn bundled() -> Box<dyn ImageEncoder> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mobilenet-v2");
        let files = ModelFiles::Folder(folder.into());
        let bytes = files.require("model.safetensors", "the weights").unwrap();
        let weights = Weights::open(&files, "model.safetensors", &bytes, WeightsFormat::Plain).unwrap();
        build(&weights).unwrap()
    }

    /// The weights are f16, which is a relative rounding error of up to 2^-11 in each of 52 convolutions: the largest
    /// difference is 0.008, among features of up to 3.6, and 0.02 leaves room for other orders of summation. With the f32
    /// weights it is 6e-6; `scripts/make_default_models.py --verify` holds that to 1e-3.
    #[test]
    fn bundled_weights_agree_with_the_original() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/models/mobilenet_v2.json");
        let golden = std::fs::read(path).unwrap();
        let golden: Golden = serde_json::from_slice(&golden).unwrap();
        let size = Size { height: 224, width: 224 };
        let ours = bundled().forward(&golden_input(size), size, &mut Scratch::default());
        let differences = ours.iter().zip(&golden.pooled_features).map(|(ours, theirs)| (ours - theirs).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(ours.len() == 1280 && worst < 0.02, "largest difference {worst}");
    }

    /// Pictures so large that hidden maps are computed by rows, and so small and odd that whole groups are.
    #[test]
    fn scratch_of_other_pictures_does_not_show() {
        let encoder = bundled();
        let mut scratch = Scratch::default();
        for (height, width) in [(97, 130), (33, 35), (1, 1), (224, 96), (7, 3)] {
            let size = Size { height, width };
            let one = golden_input(size);
            let three = [one.clone(), one.iter().map(|x| -x).collect(), one.clone()].concat();
            let alone = encoder.forward(&one, size, &mut Scratch::default());
            let together = encoder.forward(&three, size, &mut scratch);
            assert_eq!(together[..1280], alone, "{height} x {width}");
            assert_eq!(together[2560..], alone, "{height} x {width}");
        }
    }

    #[test]
    fn rows_of_a_hidden_map_are_those_of_the_whole() {
        let (n_in, channels, n_out) = (8, 48, 8);
        let numbers = |n: usize, seed: u8| -> Vec<f32> {
            (0..n).map(|i| f32::from(u8::try_from((i * 37 + usize::from(seed)) % 255).unwrap()) / 128.0 - 1.0).collect()
        };
        let folded = |n_out: usize, n: usize| Folded { weight: numbers(n, 1), bias: numbers(n_out, 2) };
        for stride in [1, 2] {
            let block = Block {
                expand: Some(Pointwise::new(folded(channels, channels * n_in), Activation::Relu6)),
                depthwise: Depthwise::new(folded(channels, channels * 9), stride),
                project: Pointwise::new(folded(n_out, n_out * channels), Activation::Linear),
                residual: stride == 1,
            };
            let size = Size { height: 61, width: 85 };
            assert!(2 * TILE < size.area() * channels, "because several tiles are to be tested");
            let x = numbers(size.area() * n_in, 3);
            let mut tiles = <[Vec<f32>; 2]>::default();
            let (mut whole, mut by_rows) = (vec![0.0; size.strided(stride).area() * n_out], Vec::new());
            by_rows.resize(whole.len(), f32::NAN);
            block.forward_whole(&x, size, &mut tiles, &mut whole);
            block.forward_by_rows(&x, size, &mut tiles, &mut by_rows);
            assert_eq!(whole, by_rows, "stride {stride}");
        }
    }
}
