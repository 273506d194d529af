//! `DINOv2`.
//!
//! Order of operations and tensor names follow `Dinov2Model` of the transformers library
//! (`src/transformers/models/dinov2/modeling_dinov2.py`, release 5.23), the names as they stand in files. Deviations:
//! those of [`vit`](super::vit), but for positions, which are interpolated at load where pictures have other sides;
//! scales of layers are folded into the products before them; stochastic depth is left out.
//!
//! Oquab et al., "`DINOv2`: Learning Robust Visual Features without Supervision" (2023).

use super::layers::Bias;
use super::layers::bicubic::Bicubic;
use super::layers::feed_forward::Inner;
use super::layers::section::Section;
use super::layers::transformer::{self, Names};
use super::layers::{self, patches};
use super::vit::Vit;
use super::{Build, EncoderDef, ImageEncoder, Source};
use crate::ModelError;
use crate::ops::{Activation, Ops, Reach};

pub(super) static DEF: EncoderDef = super::image::<Def>("dinov2");

struct Def;

/// In what the model with registers differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    /// What may stand before the names of all tensors.
    pub(super) prefix: &'static str,
    /// Side of a patch where the configuration does not say it.
    pub(super) patch_size: usize,
    /// How positions are made for other sides of pictures.
    pub(super) resize: Bicubic,
    /// Whether `num_register_tokens` tokens without a position stand behind the first one.
    pub(super) registers: bool,
}

impl Build for Def {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let variant = Variant { prefix: "dinov2.", patch_size: 14, resize: Bicubic::Plain, registers: false };
        build(ops, source, variant)
    }
}

/// Builds either variant.
///
/// # Errors
/// When the configuration makes no sense, or a weight is missing or has another shape.
pub(super) fn build<O: Ops>(
    ops: O,
    source: &Source<'_>,
    variant: Variant,
) -> Result<Box<dyn ImageEncoder>, ModelError> {
    // The defaults are those of `Dinov2Config` and, where the variants differ, of `Dinov2WithRegistersConfig`.
    let config = Section::whole(source);
    let patches = patches::Settings {
        hidden: config.get("hidden_size", 768)?,
        patch: config.get("patch_size", variant.patch_size)?,
        image: config.get("image_size", 224)?,
        colors: config.get("num_channels", 3)?,
        resize: Some(variant.resize),
    };
    let layers = layer_settings(&config, patches.hidden)?;
    let weights = source.weights.with_optional_prefix(variant.prefix);
    let n_registers = if variant.registers { config.get("num_register_tokens", 4)? } else { 0 };
    Ok(Box::new(Vit::load(ops, source, &weights, (&patches, &layers), n_registers)?))
}

/// Layers whose feed-forward part is of the kind that `use_swiglu_ffn` says.
fn layer_settings(config: &Section<'_>, hidden: usize) -> Result<transformer::Settings<'static>, ModelError> {
    let wide = hidden * config.get("mlp_ratio", 4)?;
    let (intermediate, inner, up, down) = match config.get("use_swiglu_ffn", false)? {
        false => {
            let activation: String = config.get("hidden_act", "gelu".to_owned())?;
            let activation = layers::activation(config.source(), "hidden_act", &activation)?;
            (wide, Inner::Activation(activation), "mlp.fc1", "mlp.fc2")
        }
        // Two thirds, in multiples of 8: about as many weights as without a gate.
        true => {
            let intermediate = (wide * 2 / 3).next_multiple_of(8);
            (intermediate, Inner::Gate(Activation::Silu), "mlp.weights_in", "mlp.weights_out")
        }
    };
    Ok(transformer::Settings {
        name: "encoder.layer",
        names: Names {
            attention_norm: "norm1",
            qkv: ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
            attention_out: "attention.output.dense",
            inner_norm: "norm2",
            up,
            down,
            scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
        },
        n_layers: config.get("num_hidden_layers", 12)?,
        hidden,
        n_heads: config.get("num_attention_heads", 12)?,
        intermediate,
        inner,
        eps: config.get("layer_norm_eps", 1e-6)?,
        qkv_bias: Bias::from_config(config.get("qkv_bias", true)?),
        reach: Reach::All,
    })
}
