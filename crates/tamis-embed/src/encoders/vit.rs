//! `ViT`, the vision transformer, pooled at its first token.
//!
//! Order of operations and tensor names follow `ViTModel` of the transformers library
//! (`src/transformers/models/vit/modeling_vit.py`, release 5.23), the names as they stand in files. Deviations:
//! queries, keys and values are one product; the position of the first token is added to it at load; the last layer
//! computes nothing but the first token; dropout, pooler, masks and the interpolation of positions, which is off by
//! default, are left out.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (2021).

use candle_core::Result;

use super::layers::Bias;
use super::layers::feed_forward::Inner;
use super::layers::patches::{self, Patches};
use super::layers::section::Section;
use super::layers::transformer::{self, Buffers, Layers, Names};
use super::layers::{self, normalize};
use super::{Build, EncoderDef, ImageEncoder, Source};
use crate::ModelError;
use crate::manifest::Pooling;
use crate::ops::{Images, Ops, Reach};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::image::<Def>("vit");

struct Def;

const NAMES: Names = Names {
    attention_norm: "layernorm_before",
    qkv: ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
    attention_out: "attention.output.dense",
    inner_norm: "layernorm_after",
    up: "intermediate.dense",
    down: "output.dense",
    scales: None,
};

impl Build for Def {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn ImageEncoder>, ModelError> {
        // The defaults are those of `ViTConfig`.
        let config = Section::whole(source);
        let hidden = config.get("hidden_size", 768)?;
        let activation: String = config.get("hidden_act", "gelu".to_owned())?;
        let patches = patches::Settings {
            hidden,
            patch: config.get("patch_size", 16)?,
            image: config.get("image_size", 224)?,
            colors: config.get("num_channels", 3)?,
            resize: None,
        };
        let layers = transformer::Settings {
            name: "encoder.layer",
            names: NAMES,
            n_layers: config.get("num_hidden_layers", 12)?,
            hidden,
            n_heads: config.get("num_attention_heads", 12)?,
            intermediate: config.get("intermediate_size", 3072)?,
            inner: Inner::Activation(layers::activation(source, "hidden_act", &activation)?),
            eps: config.get("layer_norm_eps", 1e-12)?,
            qkv_bias: Bias::from_config(config.get("qkv_bias", true)?),
            reach: Reach::All,
        };
        let weights = source.weights.with_optional_prefix("vit.");
        Ok(Box::new(Vit::load(ops, source, &weights, (&patches, &layers), 0)?))
    }
}

/// `ViT`, and what is made of the same parts.
pub(super) struct Vit<O: Ops> {
    ops: O,
    patches: Patches<O>,
    layers: Layers<O>,
    norm: O::Norm,
}

impl<O: Ops> Vit<O> {
    /// Reads the weights of a model with so many registers behind its first token.
    ///
    /// # Errors
    /// When the settings make no sense, or a weight is missing or has another shape.
    pub(super) fn load(
        ops: O,
        source: &Source<'_>,
        weights: &Weights<'_>,
        (settings, layers): (&patches::Settings, &transformer::Settings<'_>),
        n_registers: usize,
    ) -> std::result::Result<Self, ModelError> {
        let hidden = settings.hidden;
        source.check_dim(hidden)?;
        let n_patches = settings.check(source)?;
        let registers = match n_registers {
            0 => Vec::new(),
            n => weights.values("embeddings.register_tokens", &[1, n, hidden])?,
        };
        let tensors = patches::Tensors {
            weight: settings.weight(weights, "embeddings.patch_embeddings.projection.weight")?,
            bias: weights.values("embeddings.patch_embeddings.projection.bias", &[hidden])?,
            class: weights.values("embeddings.cls_token", &[1, 1, hidden])?,
            registers,
            positions: weights.values("embeddings.position_embeddings", &[1, 1 + n_patches, hidden])?,
        };
        Ok(Self {
            patches: Patches::new(&ops, source, settings, tensors)?,
            layers: Layers::load(&ops, source, weights, layers)?,
            norm: layers::layer_norm(&ops, weights, "layernorm", (hidden, layers.eps))?,
            ops,
        })
    }
}

impl<O: Ops> ImageEncoder for Vit<O> {
    fn embed(&self, images: &Images<'_>) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (mut x, mut buffers) = (ops.rows(), Buffers::new(ops));
        let spans = self.patches.embed(ops, images, &mut buffers.wide, &mut x)?; // (pictures * tokens, hidden)
        self.layers.forward_pooled(ops, &spans, Pooling::Cls, &mut x, &mut buffers)?; // (pictures, hidden)
        normalize(ops, &self.norm, &mut x, &mut buffers.narrow)?;
        ops.read(&x)
    }
}
