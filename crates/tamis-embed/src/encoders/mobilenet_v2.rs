//! `MobileNetV2` of width 1, without its classifier.
//!
//! Order of operations and tensor names follow `MobileNetV2` of torchvision (`torchvision/models/mobilenetv2.py`, release
//! 0.24), from `features` to the average over the last map. Deviations: batch norms are folded into the convolutions
//! before them; the map of a block's hidden layer, six times as large as its input, never exists as a whole, its rows are
//! computed when the depthwise convolution needs them; dropout and classifier are left out.
//!
//! Sandler et al., "`MobileNetV2`: Inverted Residuals and Linear Bottlenecks" (2018).

use super::layers::inverted_residuals::InvertedResiduals;
use super::layers::{self, Convolution};
use super::{Build, EncoderDef, ImageEncoder, Source};
use crate::ModelError;
use crate::ops::{Activation, InvertedResidual, Ops, Padding, Window};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::image::<Def>("mobilenet-v2");

struct Def;

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

impl Build for Def {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn ImageEncoder>, ModelError> {
        source.check_dim(LAST)?;
        let weights = &source.weights;
        let stem = fold(weights, "features.0.0", "features.0.1", &[STEM, 3, 3, 3])?;
        let mut blocks = Vec::new();
        let mut n_in = STEM;
        for (expansion, n_out, n, stride) in SETTING {
            for i in 0..n {
                let name = format!("features.{}.conv", 1 + blocks.len());
                let stride = if i == 0 { stride } else { 1 };
                blocks.push((block(&ops, weights, &name, expansion, (n_in, n_out), stride)?, window(stride)));
                n_in = n_out;
            }
        }
        let last = 1 + blocks.len();
        let head = fold(weights, &format!("features.{last}.0"), &format!("features.{last}.1"), &[LAST, n_in, 1, 1])?;
        Ok(Box::new(InvertedResiduals {
            stem: stem.colors_last().into_linear(&ops)?,
            window: window(2),
            blocks,
            head: head.into_linear(&ops)?,
            levels: Box::new(*source.pictures().1),
            ops,
        }))
    }
}

/// Where the kernels of all convolutions but the 1x1 ones stand.
fn window(stride: usize) -> Window {
    Window { kernel: 3, stride, padding: Padding::Symmetric }
}

/// The convolution `conv` of this shape with the batch norm `norm` after it.
fn fold(weights: &Weights<'_>, conv: &str, norm: &str, shape: &[usize; 4]) -> Result<Convolution, ModelError> {
    layers::folded(weights, &format!("{conv}.weight"), norm, shape, NORM_EPS)
}

/// An inverted residual.
fn block<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    expansion: usize,
    (n_in, n_out): (usize, usize),
    stride: usize,
) -> Result<InvertedResidual<O>, ModelError> {
    let wide = n_in * expansion;
    let at = |part: &str| format!("{name}.{part}");
    let expand = match expansion {
        1 => None,
        _ => Some(fold(weights, &at("0.0"), &at("0.1"), &[wide, n_in, 1, 1])?.into_linear(ops)?),
    };
    let next = usize::from(expand.is_some());
    let depthwise = fold(weights, &at(&format!("{next}.0")), &at(&format!("{next}.1")), &[wide, 1, 3, 3])?;
    let (conv, norm) = (at(&format!("{}", next + 1)), at(&format!("{}", next + 2)));
    Ok(InvertedResidual {
        expand,
        depthwise: depthwise.into_depthwise(ops, window(stride), Activation::Relu6)?,
        project: fold(weights, &conv, &norm, &[n_out, wide, 1, 1])?.into_linear(ops)?,
        activation: Activation::Relu6,
        residual: stride == 1 && n_in == n_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelFiles;
    use crate::encoders::{Backend, EncoderInput, build_image};
    use crate::manifest::WeightsFormat;
    use crate::ops::{Images, Size};
    use tamis_core::Pixels;

    #[derive(serde::Deserialize)]
    struct Golden {
        pooled_features: Vec<f32>,
    }

    /// The input of the golden vector, by its formula; `shift` is 0.
    fn picture(size: Size, shift: usize) -> Pixels {
        let places = (0..size.height).flat_map(|i| (0..size.width).map(move |j| (i, j)));
        let value = |i: usize, j: usize, c: usize| u8::try_from((c * 7919 + i * 31 + j * 17 + shift) % 255).unwrap();
        let rgb = places.flat_map(|(i, j)| [0, 1, 2].map(|c| value(i, j, c))).collect();
        Pixels { width: u32::try_from(size.width).unwrap(), height: u32::try_from(size.height).unwrap(), rgb }
    }

    /// The bundled model, which gets `(value - 127) / 128` as the golden vector's did.
    fn bundled() -> Box<dyn ImageEncoder> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mobilenet-v2");
        let files = ModelFiles::Folder(folder.into());
        let bytes = files.require("model.safetensors", "the weights").unwrap();
        let weights = Weights::open(&files, "model.safetensors", &bytes, WeightsFormat::Plain).unwrap();
        let level = |value: usize| (f32::from(u8::try_from(value).unwrap()) - 127.0) / 128.0;
        let levels = Box::new([std::array::from_fn(level); 3]);
        let input = EncoderInput::Image { sizes: vec![224], levels };
        let source =
            Source { files: &files, config: serde_json::Value::Null, weights, tokenizer: "", dim: LAST, input };
        build_image("mobilenet-v2", &Backend::Cpu, &source).unwrap()
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
        let ours = bundled().embed(&Images { pictures: &[&picture(size, 0)], size }).unwrap();
        let differences = ours.iter().zip(&golden.pooled_features).map(|(ours, theirs)| (ours - theirs).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(ours.len() == 1280 && worst < 0.02, "largest difference {worst}");
    }

    /// Pictures so large that wide maps are computed by rows, and so small and odd that whole groups are.
    #[test]
    fn other_pictures_of_a_batch_do_not_show() {
        let encoder = bundled();
        for (height, width) in [(97, 130), (33, 35), (1, 1), (224, 96), (7, 3)] {
            let size = Size { height, width };
            let (one, other) = (picture(size, 0), picture(size, 99));
            let alone = encoder.embed(&Images { pictures: &[&one], size }).unwrap();
            let together = encoder.embed(&Images { pictures: &[&one, &other, &one], size }).unwrap();
            assert_eq!(together[..1280], alone, "{height} x {width}");
            assert_eq!(together[2560..], alone, "{height} x {width}");
        }
    }
}
