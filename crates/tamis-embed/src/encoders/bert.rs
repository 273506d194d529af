//! BERT: MiniLM, bge, e5, gte v1 and their kin.
//!
//! Order of operations and tensor names follow `BertModel` of the transformers library
//! (`src/transformers/models/bert/modeling_bert.py`, release 4.57). Deviations: tokens are packed, so there is no padding
//! and no mask; queries, keys and values are one matrix product; biases are added where their product is read next;
//! dropout, pooler and cross-attention are left out, and every token is of type 0.
//!
//! Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).

use candle_core::{Device, Result, Tensor};
use candle_nn::{Embedding, Module as _};
use serde::Deserialize;

use super::{Build, EncoderDef, PackedTokens, TextEncoder};
use crate::kernels::{AddNorm, Attention, BiasGelu, LayerNorm};
use crate::weights::Weights;
use crate::{ModelError, ModelFiles};

pub(super) static DEF: EncoderDef = EncoderDef { id: "bert", build: Build::Text(build) };

/// `config.json`, as far as the forward pass depends on it.
#[derive(Debug, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

struct Bert {
    words: Embedding,
    positions: Embedding,
    token_type: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    n_heads: usize,
}

struct Layer {
    /// `(3 * hidden, hidden)`: query, key and value.
    qkv: Tensor,
    qkv_bias: Vec<f32>,
    attention_out: Linear,
    attention_norm: LayerNorm,
    /// `(intermediate, hidden)`.
    up: Tensor,
    up_bias: Tensor,
    down: Linear,
    down_norm: LayerNorm,
}

struct Linear {
    weight: Tensor,
    bias: Vec<f32>,
}

fn build(
    files: &ModelFiles,
    config: &serde_json::Value,
    weights: Weights<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, ModelError> {
    let config = Config::deserialize(config).map_err(|error| files.malformed("config.json", error))?;
    config.check().map_err(|reason| files.malformed("config.json", reason))?;
    let weights = weights.with_optional_prefix("bert.");
    let hidden = config.hidden_size;
    let token_types = weights.values("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden])?;
    let table = |name: &str, rows: usize| -> std::result::Result<Embedding, ModelError> {
        Ok(Embedding::new(weights.get(&format!("embeddings.{name}_embeddings.weight"), &[rows, hidden])?, hidden))
    };
    let layers = (0..config.num_hidden_layers).map(|i| Layer::load(&weights, &config, i));
    Ok(Box::new(Bert {
        words: table("word", config.vocab_size)?,
        positions: table("position", config.max_position_embeddings)?,
        token_type: token_types[..hidden].to_vec(),
        norm: norm(&weights, "embeddings.LayerNorm", &config)?,
        layers: layers.collect::<std::result::Result<_, _>>()?,
        n_heads: config.num_attention_heads,
    }))
}

impl Config {
    /// What the forward pass below relies on.
    fn check(&self) -> std::result::Result<(), String> {
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is `{}`, expected `gelu`", self.hidden_act));
        }
        if self.position_embedding_type != "absolute" {
            return Err(format!("position_embedding_type is `{}`, expected `absolute`", self.position_embedding_type));
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
            return Err(format!("hidden_size {hidden} is not a multiple of num_attention_heads {heads}"));
        }
        if self.type_vocab_size == 0 {
            return Err("type_vocab_size is 0, expected at least 1".to_owned());
        }
        Ok(())
    }
}

impl Layer {
    fn load(weights: &Weights<'_>, config: &Config, index: usize) -> std::result::Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let at = |name: &str| format!("encoder.layer.{index}.{name}");
        let (mut qkv, mut qkv_bias) = (Vec::new(), Vec::new());
        for part in ["query", "key", "value"] {
            qkv.extend(weights.values(&at(&format!("attention.self.{part}.weight")), &[hidden, hidden])?);
            qkv_bias.extend(weights.values(&at(&format!("attention.self.{part}.bias")), &[hidden])?);
        }
        let linear = |name: &str, n_in: usize| -> std::result::Result<Linear, ModelError> {
            Ok(Linear {
                weight: weights.get(&at(&format!("{name}.weight")), &[hidden, n_in])?,
                bias: weights.values(&at(&format!("{name}.bias")), &[hidden])?,
            })
        };
        Ok(Self {
            qkv: Tensor::from_vec(qkv, (3 * hidden, hidden), &Device::Cpu)?,
            qkv_bias,
            attention_out: linear("attention.output.dense", hidden)?,
            attention_norm: norm(weights, &at("attention.output.LayerNorm"), config)?,
            up: weights.get(&at("intermediate.dense.weight"), &[inner, hidden])?,
            up_bias: weights.get(&at("intermediate.dense.bias"), &[inner])?,
            down: linear("output.dense", inner)?,
            down_norm: norm(weights, &at("output.LayerNorm"), config)?,
        })
    }

    /// `x` and the result have shape `(tokens, hidden)`.
    fn forward(&self, x: &Tensor, n_heads: usize, spans: &[(usize, usize)]) -> Result<Tensor> {
        let qkv = x.matmul(&self.qkv.t()?)?; // (tokens, 3 * hidden)
        let context = qkv.apply_op1_no_bwd(&Attention { spans, n_heads, bias: &self.qkv_bias })?;
        let attended = self.attention_out.forward_norm(&context, x, &self.attention_norm)?;
        let inner = attended.matmul(&self.up.t()?)?; // (tokens, intermediate)
        inner.inplace_op2(&self.up_bias, &BiasGelu)?;
        self.down.forward_norm(&inner, &attended, &self.down_norm)
    }
}

impl Linear {
    /// `layer_norm(x * weight^T + bias + residual)`.
    fn forward_norm(&self, x: &Tensor, residual: &Tensor, norm: &LayerNorm) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        y.inplace_op2(residual, &AddNorm { bias: &self.bias, norm })?;
        Ok(y)
    }
}

impl TextEncoder for Bert {
    fn forward(&self, tokens: &PackedTokens) -> Result<Tensor> {
        let n = tokens.ids.len();
        let words = self.words.forward(&Tensor::from_slice(&tokens.ids, n, &Device::Cpu)?)?;
        let places = self.positions.forward(&Tensor::from_slice(&tokens.positions, n, &Device::Cpu)?)?;
        words.inplace_op2(&places, &AddNorm { bias: &self.token_type, norm: &self.norm })?;
        let mut x = words; // (tokens, hidden)
        for layer in &self.layers {
            x = layer.forward(&x, self.n_heads, &tokens.spans)?;
        }
        Ok(x)
    }
}

fn norm(weights: &Weights<'_>, name: &str, config: &Config) -> std::result::Result<LayerNorm, ModelError> {
    Ok(LayerNorm {
        weight: weights.values(&format!("{name}.weight"), &[config.hidden_size])?,
        bias: weights.values(&format!("{name}.bias"), &[config.hidden_size])?,
        eps: config.layer_norm_eps,
    })
}
