//! Qwen3: Qwen3-Embedding and its kin.
//!
//! Order of operations and tensor names follow `Qwen3Model` of the transformers library
//! (`src/transformers/models/qwen3/modeling_qwen3.py`, release 5.23). Deviations: tokens are packed, so there is no
//! padding and no mask but the causal one; queries, keys and values are one product, as are gate and values of the MLP;
//! dropout and the cache are left out; layers with a sliding window are refused.
//!
//! Yang et al., "Qwen3 Technical Report" (2025), section 2.

use serde::Deserialize;

use super::layers::feed_forward::{FeedForward, Inner};
use super::layers::pre_norm::{Kind, Layer, PreNorm};
use super::layers::rotary::{self, RopeParameters};
use super::layers::{self, Bias};
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Attention, Ops, Reach};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::text::<Def>("qwen3");

struct Def;

/// `config.json`, as far as the forward pass depends on it. Defaults are the library's.
#[derive(Debug, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    #[serde(default = "head_dim")]
    head_dim: usize,
    intermediate_size: usize,
    rms_norm_eps: f32,
    hidden_act: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    /// From release 5 on; before that, the other two.
    rope_parameters: Option<RopeParameters>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeParameters>,
}

fn head_dim() -> usize {
    128
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        let config: Config = source.config()?;
        config.check(source)?;
        let weights = source.weights.with_optional_prefix("model.");
        let words = (config.vocab_size, config.hidden_size);
        let layers = (0..config.num_hidden_layers).map(|i| config.layer(&ops, source, &weights, i));
        let mut attention = Attention::new(config.num_attention_heads, config.head_dim);
        attention.n_key_heads = config.num_key_value_heads;
        attention.reach = Reach::Causal;
        let angles = rotary::angles(&ops, source, config.head_dim, config.theta(source)?)?;
        Ok(Box::new(PreNorm {
            words: layers::table(&ops, &weights, "embed_tokens.weight", words)?,
            first_norm: None,
            kinds: vec![Kind { attention, angles }],
            layers: layers.collect::<Result<_, _>>()?,
            last_norm: layers::rms_norm(&ops, &weights, "norm", (config.hidden_size, config.rms_norm_eps))?,
            pooling: source.pooling(),
            ops,
        }))
    }
}

impl Config {
    /// What the forward pass relies on.
    fn check(&self, source: &Source<'_>) -> Result<(), ModelError> {
        source.check_dim(self.hidden_size)?;
        let (heads, key_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if heads == 0 || key_heads == 0 || !heads.is_multiple_of(key_heads) {
            let reason = format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {key_heads}");
            return Err(source.malformed(reason));
        }
        if self.use_sliding_window {
            return Err(source.malformed("use_sliding_window is true, expected false"));
        }
        Ok(())
    }

    /// The base of the angles; 10,000 where it stands nowhere, as in the library.
    fn theta(&self, source: &Source<'_>) -> Result<f64, ModelError> {
        let theta = |it: &Option<RopeParameters>| it.as_ref().map_or(Ok(None), |it| it.theta(source));
        let scaling = theta(&self.rope_scaling)?;
        Ok(theta(&self.rope_parameters)?.or(scaling).or(self.rope_theta).unwrap_or(10_000.0))
    }

    /// The layer `index`.
    fn layer<O: Ops>(
        &self,
        ops: &O,
        source: &Source<'_>,
        weights: &Weights<'_>,
        index: usize,
    ) -> Result<Layer<O>, ModelError> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (queries, keys) = (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        let at = |name: &str| format!("layers.{index}.{name}");
        let linear = |parts: &[(&str, usize)], n_in: usize, bias: Bias| {
            let names: Vec<_> = parts.iter().map(|(name, _)| at(name)).collect();
            let parts: Vec<_> = names.iter().zip(parts).map(|(name, (_, n_out))| (name.as_str(), *n_out)).collect();
            layers::side_by_side(ops, weights, &parts, n_in, bias)
        };
        let norm = |name: &str, width: usize| layers::rms_norm(ops, weights, &at(name), (width, self.rms_norm_eps));
        let bias = Bias::from_config(self.attention_bias);
        let qkv = [("self_attn.q_proj", queries), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)];
        Ok(Layer {
            kind: 0,
            attention_norm: Some(norm("input_layernorm", hidden)?),
            qkv: linear(&qkv, hidden, bias)?,
            head_norms: Some([norm("self_attn.q_norm", self.head_dim)?, norm("self_attn.k_norm", self.head_dim)?]),
            attention_out: linear(&[("self_attn.o_proj", hidden)], queries, bias)?,
            inner_norm: norm("post_attention_layernorm", hidden)?,
            feed_forward: FeedForward {
                up: linear(&[("mlp.gate_proj", inner), ("mlp.up_proj", inner)], hidden, Bias::Without)?,
                inner: Inner::Gate(layers::activation(source, "hidden_act", &self.hidden_act)?),
                down: linear(&[("mlp.down_proj", hidden)], inner, Bias::Without)?,
            },
        })
    }
}
