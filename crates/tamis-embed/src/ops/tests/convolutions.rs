//! Operations on maps and pictures.

use tamis_core::Pixels;

use super::reference::{Numbers, Random, activated};
use super::{ACTIVATIONS, On};
use crate::ops::{Activation, DepthwiseWeights, Images, InvertedResidual, Levels, Matrix, Ops, Padding, Size, Window};

/// The places of a map of `size` under the kernel that stands at `place` of the result; `None` outside of the map.
fn under(window: Window, size: Size, place: usize) -> Vec<Option<usize>> {
    // What stands around a side of `n` pixels before the first one, by the definitions of the frameworks.
    let before = |n: usize| match window.padding {
        Padding::Valid => 0,
        Padding::Symmetric => window.kernel / 2,
        Padding::Same => {
            let n_out = n.div_ceil(window.stride);
            ((n_out - 1) * window.stride + window.kernel).saturating_sub(n) / 2
        }
    };
    let side = |n: usize| match window.padding {
        Padding::Same => n.div_ceil(window.stride),
        Padding::Valid | Padding::Symmetric => (n + 2 * before(n) - window.kernel) / window.stride + 1,
    };
    assert_eq!(window.out(size), Size { height: side(size.height), width: side(size.width) }, "size of the result");
    let corner = (place / side(size.width) * window.stride, place % side(size.width) * window.stride);
    let tap = |tap: usize| {
        let y = (corner.0 + tap / window.kernel).checked_sub(before(size.height))?;
        let x = (corner.1 + tap % window.kernel).checked_sub(before(size.width))?;
        (y < size.height && x < size.width).then(|| y * size.width + x)
    };
    (0..window.kernel * window.kernel).map(tap).collect()
}

/// Windows with every padding, sizes odd and even, strides 1 and 2.
fn windows(kernels: &[usize]) -> Vec<(Window, Size)> {
    let mut windows = Vec::new();
    for kernel in kernels.iter().copied() {
        for padding in [Padding::Valid, Padding::Symmetric, Padding::Same] {
            for stride in [1, 2] {
                for (height, width) in [(7, 7), (8, 8), (9, 6), (6, 13), (kernel, kernel)] {
                    windows.push((Window { kernel, stride, padding }, Size { height, width }));
                }
            }
        }
    }
    windows
}

pub(super) fn unfolding<O: Ops>(on: &On<O>) {
    let mut random = Random(1);
    let mut levels: Levels = [[0.0; 256]; 3];
    for color in &mut levels {
        color.copy_from_slice(&on.numbers(random.next(), 256, 2.0));
    }
    let patches = |side, stride| (Window { kernel: 14, stride, padding: Padding::Valid }, side);
    let mut cases = windows(&[3]);
    // The last one leaves pixels over, to the right and below.
    cases.extend([(14, 14), (28, 42), (30, 41)].map(|(height, width)| patches(Size { height, width }, 14)));
    cases.push(patches(Size { height: 17, width: 16 }, 1));
    for (window, size) in cases {
        let side = |n: usize| u32::try_from(n).unwrap();
        let picture = |_| Pixels {
            width: side(size.width),
            height: side(size.height),
            rgb: (0..size.area() * 3).map(|_| random.next().to_le_bytes()[0]).collect(),
        };
        let pictures: Vec<_> = (0..3).map(picture).collect();
        let images = Images { pictures: &pictures.iter().collect::<Vec<_>>(), size };
        let got = on.run(|out| on.ops.unfold(&images, window, &levels, out));
        let rows = pictures.iter().flat_map(|picture| {
            let levels = &levels;
            (0..window.out(size).area()).map(move |place| {
                let colors = under(window, size, place).into_iter().flat_map(|pixel| {
                    let level =
                        move |color: usize, pixel: usize| levels[color][usize::from(picture.rgb[pixel * 3 + color])];
                    (0..3).map(move |color| pixel.map_or(0.0, |pixel| f64::from(level(color, pixel))))
                });
                colors.collect()
            })
        });
        on.check(&format!("{window:?} on {size:?}"), &got, &Numbers::from_rows(rows));
    }
}

/// A depthwise convolution by plain loops.
fn convolved(x: &Numbers, size: Size, weights: &DepthwiseWeights) -> Numbers {
    let area = weights.window.kernel * weights.window.kernel;
    let places = weights.window.out(size).area();
    let rows = (0..x.n() / size.area() * places).map(|row| {
        let first = row / places * size.area();
        let pixels = under(weights.window, size, row % places);
        let channel = |channel: usize| {
            let taps = weights.weight[channel * area..][..area].iter().zip(&pixels);
            let products = taps.filter_map(|(tap, pixel)| Some(f64::from(*tap) * x.row(first + (*pixel)?)[channel]));
            activated(weights.activation, f64::from(weights.bias[channel]) + products.sum::<f64>())
        };
        (0..x.width).map(channel).collect()
    });
    Numbers::from_rows(rows)
}

impl<O: Ops> On<O> {
    pub(super) fn depthwise(&self, window: Window, channels: usize, activation: Activation) -> DepthwiseWeights {
        DepthwiseWeights {
            window,
            weight: self.numbers(30, channels * window.kernel * window.kernel, 1.0),
            bias: self.numbers(31, channels, 1.0),
            activation,
        }
    }
}

pub(super) fn depthwise_convolutions<O: Ops>(on: &On<O>) {
    for (i, (window, size)) in windows(&[3, 5]).into_iter().enumerate() {
        let (n, channels) = [(1, 1), (2, 16), (3, 19), (1, 40)][i % 4];
        let weights = on.depthwise(window, channels, ACTIVATIONS[i % 7]);
        let x = on.matrix(1, n * size.area(), channels);
        let depthwise = on.ops.depthwise(weights.clone()).unwrap();
        let got = on.run(|out| on.ops.convolve(&on.rows(&x), size, &depthwise, out));
        let what = format!("{n} maps of {size:?}, {channels} channels, {window:?}, {:?}", weights.activation);
        on.check(&what, &got, &convolved(&Numbers::of(&x), size, &weights));
    }
}

/// The weights of an inverted residual, and what belongs to it.
pub(super) struct Block {
    expand: Option<(Matrix, Vec<f32>)>,
    depthwise: DepthwiseWeights,
    project: (Matrix, Vec<f32>),
    activation: Activation,
    residual: bool,
}

impl Block {
    /// A block of `(n_in, wide, n_out)` channels; without a wider map where `n_in` is `wide`.
    pub(super) fn new<O: Ops>(
        on: &On<O>,
        (n_in, wide, n_out): (usize, usize, usize),
        window: Window,
        residual: bool,
    ) -> Self {
        let activation = Activation::Relu6;
        let linear = |seed, n_out, n_in| {
            let weight = Matrix { width: n_in, values: on.numbers(seed, n_in * n_out, 0.5) };
            (weight, on.numbers(seed + 1, n_out, 1.0))
        };
        Self {
            expand: (n_in != wide).then(|| linear(10, wide, n_in)),
            depthwise: on.depthwise(window, wide, activation),
            project: linear(12, n_out, wide),
            activation,
            residual,
        }
    }

    fn expected(&self, x: &Numbers, size: Size) -> Numbers {
        let wide = match &self.expand {
            Some((weight, bias)) => x.product(weight, Some(bias), self.activation),
            None => x.clone(),
        };
        let (weight, bias) = &self.project;
        let out = convolved(&wide, size, &self.depthwise).product(weight, Some(bias), Activation::Identity);
        if self.residual { out.plus(x) } else { out }
    }

    pub(super) fn load<O: Ops>(&self, on: &On<O>) -> InvertedResidual<O> {
        let linear = |(weight, bias): &(Matrix, Vec<f32>)| on.ops.linear(weight.clone(), Some(bias.clone())).unwrap();
        InvertedResidual {
            expand: self.expand.as_ref().map(linear),
            depthwise: on.ops.depthwise(self.depthwise.clone()).unwrap(),
            project: linear(&self.project),
            activation: self.activation,
            residual: self.residual,
        }
    }
}

/// Channels, and whether they allow a residual.
const BLOCKS: [((usize, usize, usize), bool); 5] =
    [((16, 16, 8), false), ((3, 18, 3), true), ((16, 96, 24), false), ((24, 144, 24), true), ((7, 50, 7), true)];

/// A block without its weights, and the size of its maps.
pub(super) struct Shape {
    pub(super) channels: (usize, usize, usize),
    pub(super) residual: bool,
    pub(super) window: Window,
    pub(super) size: Size,
}

/// Small blocks, and some whose maps are so large that a backend may compute the wide one piece by piece.
pub(super) fn shapes() -> Vec<Shape> {
    let small = windows(&[3, 5]).into_iter().enumerate().map(|(i, (window, size))| {
        let (channels, residual) = BLOCKS[i % BLOCKS.len()];
        Shape { channels, residual: residual && window.out(size) == size, window, size }
    });
    let large = [
        ((8, 48, 8), true, Window { kernel: 3, stride: 1, padding: Padding::Symmetric }),
        ((8, 48, 8), false, Window { kernel: 3, stride: 2, padding: Padding::Symmetric }),
        ((8, 48, 8), false, Window { kernel: 5, stride: 2, padding: Padding::Same }),
        ((8, 48, 8), false, Window { kernel: 3, stride: 2, padding: Padding::Valid }),
        ((32, 32, 8), false, Window { kernel: 3, stride: 1, padding: Padding::Same }),
    ];
    let size = Size { height: 45, width: 47 };
    let large = large.map(|(channels, residual, window)| Shape { channels, residual, window, size });
    small.chain(large).collect()
}

pub(super) fn inverted_residuals<O: Ops>(on: &On<O>) {
    for Shape { channels, residual, window, size } in shapes() {
        let block = Block::new(on, channels, window, residual);
        let x = on.matrix(1, 2 * size.area(), channels.0);
        let loaded = block.load(on);
        let got = on.run(|out| on.ops.invert(&on.rows(&x), size, &loaded, out));
        let what = format!("{channels:?}, residual {residual}, {window:?} on {size:?}");
        // Half precision rounds the wide map twice: the errors of up to 144 numbers of up to 6 are added up.
        let tolerance = if on.grain > 0.0 { 8.0 * on.tolerance } else { on.tolerance };
        on.check_within(tolerance, &what, &got, &block.expected(&Numbers::of(&x), size));
    }
}
