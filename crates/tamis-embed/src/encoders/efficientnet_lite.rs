//! `EfficientNet-Lite` 0 to 4, without the classifier.
//!
//! Order of operations and tensor names follow `EfficientNet` of timm (`timm/models/efficientnet.py`, release 1.0), from
//! `conv_stem` to the average over the last map. timm has two kinds: `tf_efficientnet_lite*`, with the weights of Google
//! (`tensorflow/tpu`, `models/official/efficientnet/lite`), pads as TensorFlow does and adds 1e-3 to variances;
//! `efficientnet_lite*`, trained with timm, pads alike on all sides and adds 1e-5. `config.json` says which in
//! `architecture`; a model without that file is of the first kind. The names of `efficientnet_lite_pytorch` (release 0.1),
//! which has the same weights of Google, are read as well. Channels and numbers of blocks are those of the tensors.
//! Deviations: batch norms are folded into the convolutions before them; dropout and classifier are left out.
//!
//! Tan and Le, "`EfficientNet`: Rethinking Model Scaling for Convolutional Neural Networks" (2019).

use serde::Deserialize;

use super::layers::inverted_residuals::InvertedResiduals;
use super::layers::{self, Convolution};
use super::{Build, EncoderDef, ImageEncoder, Source};
use crate::ModelError;
use crate::ops::{Activation, InvertedResidual, Ops, Padding, Window};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::image::<Def>("efficientnet-lite");

struct Def;

/// `config.json`, as far as the forward pass depends on it.
#[derive(Debug, Deserialize)]
struct Config {
    architecture: String,
}

/// What the blocks of a stage have in common.
struct Stage {
    /// Channels of the wide map per channel of the input.
    expansion: usize,
    /// Side of the depthwise kernel.
    kernel: usize,
    /// Of the first block; the others have 1.
    stride: usize,
    /// Output channels in Lite0.
    n_out: usize,
}

/// Table 1 of the paper, `arch_def` of `_gen_efficientnet_lite` upstream; the same for all sizes but for the channels.
const STAGES: [Stage; 7] = [
    Stage { expansion: 1, kernel: 3, stride: 1, n_out: 16 },
    Stage { expansion: 6, kernel: 3, stride: 2, n_out: 24 },
    Stage { expansion: 6, kernel: 5, stride: 2, n_out: 40 },
    Stage { expansion: 6, kernel: 3, stride: 2, n_out: 80 },
    Stage { expansion: 6, kernel: 5, stride: 1, n_out: 112 },
    Stage { expansion: 6, kernel: 5, stride: 2, n_out: 192 },
    Stage { expansion: 6, kernel: 3, stride: 1, n_out: 320 },
];

/// Channels of the first map, whatever the size of the model (`fix_stem` upstream).
const STEM: usize = 32;

/// A convolution and the batch norm after it.
type Names = [&'static str; 2];

/// How blocks are numbered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// Stage by stage.
    Staged,
    /// From the first to the last.
    Flat,
}

/// How a checkpoint calls its tensors.
struct Naming {
    stem: Names,
    head: Names,
    /// Depthwise convolution and projection of a block that does not expand.
    plain: [Names; 2],
    /// Expansion, depthwise convolution and projection of one that does.
    expanding: [Names; 3],
    blocks: Blocks,
}

const TIMM: Naming = Naming {
    stem: ["conv_stem", "bn1"],
    head: ["conv_head", "bn2"],
    plain: [["conv_dw", "bn1"], ["conv_pw", "bn2"]],
    expanding: [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
    blocks: Blocks::Staged,
};

const EFFICIENTNET_LITE_PYTORCH: Naming = Naming {
    stem: ["_conv_stem", "_bn0"],
    head: ["_conv_head", "_bn1"],
    plain: [["_depthwise_conv", "_bn1"], ["_project_conv", "_bn2"]],
    expanding: [["_expand_conv", "_bn0"], ["_depthwise_conv", "_bn1"], ["_project_conv", "_bn2"]],
    blocks: Blocks::Flat,
};

/// Reads convolutions of one checkpoint.
struct Reader<'a> {
    weights: &'a Weights<'a>,
    naming: Naming,
    padding: Padding,
    /// What batch norms add to the variance.
    eps: f32,
}

/// One block, before its weights are read.
struct Block {
    /// What its tensors begin with.
    name: String,
    expansion: usize,
    n_in: usize,
    n_out: usize,
    window: Window,
}

impl Build for Def {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let reader = Reader::new(source)?;
        let Naming { stem, head, .. } = reader.naming;
        let stem = reader.convolution(stem.map(str::to_owned), [STEM, 3, 3, 3])?;
        let blocks = reader.blocks();
        let load = |block: &Block| Ok((reader.load(&ops, block)?, block.window));
        let n_in = blocks.last().map_or(STEM, |block| block.n_out);
        let n_out = reader.n_out(head[0]).unwrap_or(source.dim);
        source.check_dim(n_out)?;
        Ok(Box::new(InvertedResiduals {
            levels: Box::new(*source.pictures().1),
            stem: stem.colors_last().into_linear(&ops)?,
            window: Window { kernel: 3, stride: 2, padding: reader.padding },
            blocks: blocks.iter().map(load).collect::<Result<_, ModelError>>()?,
            head: reader.convolution(head.map(str::to_owned), [n_out, n_in, 1, 1])?.into_linear(&ops)?,
            ops,
        }))
    }
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source<'_>) -> Result<Self, ModelError> {
        let config: Option<Config> = source.config()?;
        let (padding, eps) = match config.as_ref().map(|config| config.architecture.as_str()) {
            None => (Padding::Same, 1e-3),
            Some(name) if name.starts_with("tf_efficientnet_lite") => (Padding::Same, 1e-3),
            Some(name) if name.starts_with("efficientnet_lite") => (Padding::Symmetric, 1e-5),
            Some(name) => {
                let expected = "expected efficientnet_lite or tf_efficientnet_lite with a number";
                return Err(source.malformed(format!("architecture is `{name}`, {expected}")));
            }
        };
        let weights = &source.weights;
        let naming = if weights.has("_conv_stem.weight") { EFFICIENTNET_LITE_PYTORCH } else { TIMM };
        Ok(Self { weights, naming, padding, eps })
    }

    /// Output channels of the convolution `name`; `None` where there is no such convolution.
    fn n_out(&self, name: &str) -> Option<usize> {
        let shape = self.weights.shape(&format!("{name}.weight"))?;
        shape.first().copied().filter(|n| 0 < *n)
    }

    /// A convolution of this shape with its batch norm.
    fn convolution(&self, [conv, norm]: [String; 2], shape: [usize; 4]) -> Result<Convolution, ModelError> {
        layers::folded(self.weights, &format!("{conv}.weight"), &norm, &shape, self.eps)
    }

    /// The blocks of all stages. Where they are numbered from the first to the last, a stage goes on while blocks keep the
    /// channels: the first block of a stage changes them in every published size.
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut n_in = STEM;
        for (i, stage) in STAGES.iter().enumerate() {
            let [depthwise, project] = self.naming.ends(stage.expansion).map(|names| names[0]);
            for place in 0.. {
                let name = match self.naming.blocks {
                    Blocks::Staged => format!("blocks.{i}.{place}"),
                    Blocks::Flat => format!("_blocks.{}", blocks.len()),
                };
                let there = self.n_out(&format!("{name}.{depthwise}")).is_some();
                let n_out = self.n_out(&format!("{name}.{project}"));
                let goes_on = there && (self.naming.blocks == Blocks::Staged || n_out == Some(n_in));
                if 0 < place && !goes_on {
                    break;
                }
                let stride = if place == 0 { stage.stride } else { 1 };
                let window = Window { kernel: stage.kernel, stride, padding: self.padding };
                // A missing block is loaded like the others, for the error that names its tensors.
                let n_out = if place == 0 { n_out.unwrap_or(stage.n_out) } else { n_in };
                blocks.push(Block { name, expansion: stage.expansion, n_in, n_out, window });
                n_in = n_out;
            }
        }
        blocks
    }

    /// Reads the weights of a block.
    fn load<O: Ops>(&self, ops: &O, block: &Block) -> Result<InvertedResidual<O>, ModelError> {
        let Block { ref name, expansion, n_in, n_out, window } = *block;
        let wide = n_in * expansion;
        let read = |names: Names, shape| self.convolution(names.map(|part| format!("{name}.{part}")), shape);
        let expand = match expansion {
            1 => None,
            _ => Some(read(self.naming.expanding[0], [wide, n_in, 1, 1])?.into_linear(ops)?),
        };
        let [depthwise, project] = self.naming.ends(expansion);
        let depthwise = read(depthwise, [wide, 1, window.kernel, window.kernel])?;
        Ok(InvertedResidual {
            expand,
            depthwise: depthwise.into_depthwise(ops, window, Activation::Relu6)?,
            project: read(project, [n_out, wide, 1, 1])?.into_linear(ops)?,
            activation: Activation::Relu6,
            residual: window.stride == 1 && n_in == n_out,
        })
    }
}

impl Naming {
    /// Depthwise convolution and projection of a block.
    fn ends(&self, expansion: usize) -> [Names; 2] {
        let [_, depthwise, project] = self.expanding;
        if expansion == 1 { self.plain } else { [depthwise, project] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use serde_json::{Value, json};
    use tamis_core::Pixels;

    use super::*;
    use crate::ModelFiles;
    use crate::encoders::{Backend, EncoderInput, build_image};
    use crate::manifest::WeightsFormat;
    use crate::ops::{Images, Size};

    /// Channels of the results of the stages, all different from their predecessors as in every published size, and numbers
    /// of blocks.
    const STAGES_HERE: [(usize, usize); 7] = [(8, 1), (16, 2), (8, 1), (16, 2), (8, 1), (16, 1), (8, 1)];

    /// Channels of the last map.
    const LAST: usize = 24;

    /// Tensors by name.
    type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

    fn add(tensors: &mut Tensors, [conv, norm]: [String; 2], shape: [usize; 4]) {
        let seed = tensors.len();
        let value = |i: usize| f32::from(u8::try_from((i * 73 + seed * 29) % 251).unwrap()) / 251.0;
        let values = |n: usize, from: f32, scale: f32| (0..n).map(|i| from + scale * value(i)).collect();
        let (n, fan_in) = (shape.iter().product(), shape[1..].iter().product::<usize>());
        // Uniform, of variance 2 / fan_in, so that maps neither vanish nor grow.
        let limit = (6.0 / f32::from(u16::try_from(fan_in).unwrap())).sqrt();
        tensors.insert(format!("{conv}.weight"), (shape.to_vec(), values(n, -limit, 2.0 * limit)));
        for (name, from, scale) in
            [("weight", 0.8, 0.4), ("bias", 0.0, 1.0), ("running_mean", -0.2, 0.4), ("running_var", 0.001, 1.0)]
        {
            tensors.insert(format!("{norm}.{name}"), (vec![shape[0]], values(shape[0], from, scale)));
        }
    }

    /// The weights of a small network.
    fn network(naming: &Naming) -> Tensors {
        let mut tensors = Tensors::new();
        let (mut n_in, mut index) = (STEM, 0);
        add(&mut tensors, naming.stem.map(str::to_owned), [STEM, 3, 3, 3]);
        for (i, (stage, (n_out, n))) in STAGES.iter().zip(STAGES_HERE).enumerate() {
            for place in 0..n {
                let block = match naming.blocks {
                    Blocks::Staged => format!("blocks.{i}.{place}"),
                    Blocks::Flat => format!("_blocks.{index}"),
                };
                let mut add = |names: Names, shape| add(&mut tensors, names.map(|it| format!("{block}.{it}")), shape);
                let wide = n_in * stage.expansion;
                if stage.expansion != 1 {
                    add(naming.expanding[0], [wide, n_in, 1, 1]);
                }
                let [depthwise, project] = naming.ends(stage.expansion);
                add(depthwise, [wide, 1, stage.kernel, stage.kernel]);
                add(project, [n_out, wide, 1, 1]);
                (n_in, index) = (n_out, index + 1);
            }
        }
        add(&mut tensors, naming.head.map(str::to_owned), [LAST, n_in, 1, 1]);
        tensors
    }

    fn build(tensors: &Tensors, config: Value, dim: usize) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let bytes = |values: &Vec<f32>| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let stored: Vec<_> =
            tensors.iter().map(|(name, (shape, values))| (name, shape.clone(), bytes(values))).collect();
        let views = stored
            .iter()
            .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        let file = safetensors::serialize(views, None).unwrap();
        let files = ModelFiles::Folder("small".into());
        let weights = Weights::open(&files, "model.safetensors", &file, WeightsFormat::Plain).unwrap();
        let level = |value: usize| f32::from(u8::try_from(value).unwrap()) / 128.0 - 1.0;
        let input = EncoderInput::Image { sizes: vec![64], levels: Box::new([std::array::from_fn(level); 3]) };
        let source = Source { files: &files, config, weights, tokenizer: "", dim, input };
        build_image("efficientnet-lite", &Backend::Cpu, &source)
    }

    fn vector(encoder: &dyn ImageEncoder) -> Vec<f32> {
        let size = Size { height: 50, width: 41 };
        let rgb = (0..size.area() * 3).map(|i| u8::try_from(i * i % 253).unwrap()).collect();
        let picture = Pixels { width: 41, height: 50, rgb };
        encoder.embed(&Images { pictures: &[&picture], size }).unwrap()
    }

    #[test]
    fn both_namings_mean_the_same() {
        let [staged, flat] = [TIMM, EFFICIENTNET_LITE_PYTORCH].map(|naming| {
            let vector = vector(&*build(&network(&naming), Value::Null, LAST).unwrap());
            assert!(vector.len() == LAST && vector.iter().any(|x| 0.1 < *x && *x < 5.9), "{vector:?}");
            vector
        });
        assert_eq!(staged, flat);
    }

    #[test]
    fn the_configuration_says_which_kind_it_is() {
        let with = |config| vector(&*build(&network(&TIMM), config, LAST).unwrap());
        let google = with(json!({"architecture": "tf_efficientnet_lite3"}));
        assert_eq!(google, with(Value::Null));
        let other = with(json!({"architecture": "efficientnet_lite3"}));
        assert!(google.iter().zip(&other).any(|(x, y)| 0.01 < (x - y).abs()), "{google:?}, {other:?}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |tensors: &Tensors, config, dim| build(tensors, config, dim).err().unwrap().to_string();
        let complete = network(&TIMM);
        for (config, dim, expected) in [
            (
                json!({"architecture": "resnet18"}),
                LAST,
                "architecture is `resnet18`, expected efficientnet_lite or tf_",
            ),
            (json!({}), LAST, "missing field `architecture`"),
            (Value::Null, 1280, "dim is 1280, vectors of this model have 24"),
        ] {
            let error = error(&complete, config, dim);
            assert!(error.contains(expected), "{error}");
        }
        for (naming, gone, expected) in [
            (TIMM, "conv_stem.weight", "weight conv_stem.weight: expected shape [32, 3, 3, 3], got nothing"),
            (
                TIMM,
                "blocks.0.0.conv_dw.weight",
                "weight blocks.0.0.conv_dw.weight: expected shape [32, 1, 3, 3], got n",
            ),
            (TIMM, "blocks.2.0.conv_pwl.weight", "weight blocks.2.0.conv_pwl.weight: expected shape [40, 96, 1, 1], "),
            (TIMM, "blocks.3.1.conv_pwl.weight", "weight blocks.3.1.conv_pwl.weight: expected shape [16, 96, 1, 1], "),
            (TIMM, "blocks.4.0.bn2.running_var", "weight blocks.4.0.bn2.running_var: expected shape [96], got nothing"),
            (TIMM, "conv_head.weight", "weight conv_head.weight: expected shape [24, 8, 1, 1], got nothing"),
            (EFFICIENTNET_LITE_PYTORCH, "_blocks.3._project_conv.weight", "weight _blocks.3._project_conv.weight: "),
        ] {
            let mut tensors = network(&naming);
            tensors.remove(gone).unwrap();
            let error = error(&tensors, Value::Null, LAST);
            assert!(error.contains(expected), "{error}");
        }
        let mut tensors = complete;
        tensors.insert("blocks.5.0.conv_dw.weight".to_owned(), (vec![48, 1, 3, 3], vec![0.0; 432]));
        let error = error(&tensors, Value::Null, LAST);
        let expected = "weight blocks.5.0.conv_dw.weight: expected shape [48, 1, 5, 5], got [48, 1, 3, 3]";
        assert!(error.ends_with(expected), "{error}");
    }
}
