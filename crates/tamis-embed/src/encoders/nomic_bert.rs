//! Nomic BERT: nomic-embed-text v1 and v1.5, `CodeRankEmbed` and their kin.
//!
//! Order of operations and tensor names follow `NomicBertModel` of the contrastors library, which published checkpoints
//! bring along (`src/contrastors/models/huggingface/modeling_hf_nomic_bert.py`, commit 1e27692), and which the transformers
//! library computes too (`src/transformers/models/nomic_bert/modeling_nomic_bert.py`, release 5.23) and writes under the
//! same names; both forms of `config.json` are read. Deviations: tokens are packed, so there is no padding and no mask;
//! the two upper layers of the MLP are one product; dropout and pooler are left out; every token is of type 0, whose
//! embedding is added to the words when they are loaded; norms before attention, experts, partial or scaled rotation and
//! MLPs without a gate are refused.
//!
//! Nussbaum et al., "Nomic Embed: Training a Reproducible Long Context Text Embedder" (2024), section 3.1.

use serde::Deserialize;

use super::layers::feed_forward::{FeedForward, Inner};
use super::layers::post_norm::{self, Layer, PostNorm};
use super::layers::rotary::{self, RopeParameters};
use super::layers::{self, Bias};
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Activation, Attention, Ops};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::text::<Def>("nomic-bert");

struct Def;

/// What the forward pass depends on.
struct Config {
    vocab_size: usize,
    hidden: usize,
    n_layers: usize,
    n_heads: usize,
    inner: usize,
    type_vocab_size: usize,
    eps: f32,
    activation: Activation,
    theta: f64,
    qkv_bias: Bias,
    up_bias: Bias,
    down_bias: Bias,
}

/// `config.json` of published checkpoints.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the keys of the file")]
struct Published {
    vocab_size: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: usize,
    type_vocab_size: usize,
    layer_norm_epsilon: f32,
    activation_function: String,
    rotary_emb_base: f64,
    rotary_emb_fraction: f64,
    #[serde(default)]
    rotary_emb_interleaved: bool,
    /// Beyond `max_trained_positions` angles depend on the length of the text where it is given.
    rotary_scaling_factor: Option<f64>,
    max_trained_positions: Option<usize>,
    #[serde(default)]
    prenorm: bool,
    #[serde(default)]
    use_rms_norm: bool,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    moe_every_n_layers: usize,
    #[serde(default)]
    qkv_proj_bias: bool,
    #[serde(default)]
    mlp_fc1_bias: bool,
    #[serde(default)]
    mlp_fc2_bias: bool,
}

/// `config.json` as the transformers library writes it.
#[derive(Debug, Deserialize)]
struct Transformers {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default)]
    rope_parameters: RopeParameters,
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        let config = Config::read(source)?;
        source.check_dim(config.hidden)?;
        let weights = source.weights.with_optional_prefix("bert.").with_optional_prefix("nomic_bert.");
        let hidden = config.hidden;
        let head_dim = layers::head_dim(source, hidden, config.n_heads)?;
        let mut words = weights.matrix("embeddings.word_embeddings.weight", config.vocab_size, hidden)?;
        let types = ("embeddings.token_type_embeddings.weight", config.type_vocab_size);
        post_norm::add_type(source, &weights, types, &mut words)?;
        let layers = (0..config.n_layers).map(|i| config.layer(&ops, &weights, i));
        Ok(Box::new(PostNorm {
            words: ops.table(words)?,
            positions: None,
            norm: layers::layer_norm(&ops, &weights, "emb_ln", (hidden, config.eps))?,
            attention: Attention::new(config.n_heads, head_dim),
            angles: Some(rotary::angles(&ops, source, head_dim, config.theta)?),
            layers: layers.collect::<Result<_, _>>()?,
            pooling: source.pooling(),
            ops,
        }))
    }
}

impl Config {
    /// Reads either form of `config.json`; a file with the keys of both means the published one.
    fn read(source: &Source<'_>) -> Result<Self, ModelError> {
        if source.config.get("n_embd").is_some() {
            return Self::from_published(source, &source.config()?);
        }
        let config: Transformers = source.config()?;
        Ok(Self {
            vocab_size: config.vocab_size,
            hidden: config.hidden_size,
            n_layers: config.num_hidden_layers,
            n_heads: config.num_attention_heads,
            inner: config.intermediate_size,
            type_vocab_size: config.type_vocab_size,
            eps: config.layer_norm_eps,
            activation: layers::activation(source, "hidden_act", &config.hidden_act)?,
            // The default is the library's.
            theta: config.rope_parameters.theta(source)?.unwrap_or(1000.0),
            qkv_bias: Bias::Without,
            up_bias: Bias::Without,
            down_bias: Bias::Without,
        })
    }

    fn from_published(source: &Source<'_>, config: &Published) -> Result<Self, ModelError> {
        config.check(source)?;
        let activation = match config.activation_function.as_str() {
            "swiglu" => Activation::Silu,
            "geglu" => Activation::Gelu,
            got => {
                return Err(source.malformed(format!("activation_function is `{got}`, expected `swiglu` or `geglu`")));
            }
        };
        Ok(Self {
            vocab_size: config.vocab_size,
            hidden: config.n_embd,
            n_layers: config.n_layer,
            n_heads: config.n_head,
            inner: config.n_inner,
            type_vocab_size: config.type_vocab_size,
            eps: config.layer_norm_epsilon,
            activation,
            theta: config.rotary_emb_base,
            qkv_bias: Bias::from_config(config.qkv_proj_bias),
            up_bias: Bias::from_config(config.mlp_fc1_bias),
            down_bias: Bias::from_config(config.mlp_fc2_bias),
        })
    }

    /// The layer `index`.
    fn layer<O: Ops>(&self, ops: &O, weights: &Weights<'_>, index: usize) -> Result<Layer<O>, ModelError> {
        let (hidden, inner) = (self.hidden, self.inner);
        let at = |name: &str| format!("encoder.layers.{index}.{name}");
        let linear = |name: &str, n_out: usize, n_in: usize, bias: Bias| {
            layers::side_by_side(ops, weights, &[(&at(name), n_out)], n_in, bias)
        };
        let norm = |name: &str| layers::layer_norm(ops, weights, &at(name), (hidden, self.eps));
        // The second one is activated.
        let up = [(&*at("mlp.fc12"), inner), (&*at("mlp.fc11"), inner)];
        Ok(Layer {
            qkv: linear("attn.Wqkv", 3 * hidden, hidden, self.qkv_bias)?,
            attention_out: linear("attn.out_proj", hidden, hidden, self.qkv_bias)?,
            attention_norm: norm("norm1")?,
            feed_forward: FeedForward {
                up: layers::side_by_side(ops, weights, &up, hidden, self.up_bias)?,
                inner: Inner::Gate(self.activation),
                down: linear("mlp.fc2", hidden, inner, self.down_bias)?,
            },
            last_norm: norm("norm2")?,
        })
    }
}

impl Published {
    /// What the forward pass relies on.
    fn check(&self, source: &Source<'_>) -> Result<(), ModelError> {
        for (key, got) in [
            ("prenorm", self.prenorm),
            ("use_rms_norm", self.use_rms_norm),
            ("causal", self.causal),
            ("rotary_emb_interleaved", self.rotary_emb_interleaved),
        ] {
            if got {
                return Err(source.malformed(format!("{key} is true, expected false")));
            }
        }
        if self.moe_every_n_layers != 0 {
            let got = self.moe_every_n_layers;
            return Err(source.malformed(format!("moe_every_n_layers is {got}, expected 0: experts are not supported")));
        }
        if (self.rotary_emb_fraction - 1.0).abs() > f64::EPSILON {
            let got = self.rotary_emb_fraction;
            return Err(source.malformed(format!("rotary_emb_fraction is {got}, expected 1")));
        }
        let max_tokens = source.max_tokens();
        match (self.rotary_scaling_factor, self.max_trained_positions) {
            (Some(factor), Some(trained)) if factor != 0.0 && trained < max_tokens => Err(source.malformed(format!(
                "max_trained_positions is {trained} with a rotary_scaling_factor, expected at least {max_tokens} for \
                 texts of {max_tokens} tokens"
            ))),
            _ => Ok(()),
        }
    }
}
