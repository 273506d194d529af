//! BERT: MiniLM, bge, e5, gte v1 and their kin.
//!
//! Order of operations and tensor names follow `BertModel` of the transformers library
//! (`src/transformers/models/bert/modeling_bert.py`, release 4.57). Deviations: tokens are packed, so there is no padding
//! and no mask; queries, keys and values are one product; dropout, pooler and cross-attention are left out, and every
//! token is of type 0, whose embedding is added to the positions when they are loaded.
//!
//! Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).

use serde::Deserialize;

use super::layers;
use super::layers::Bias;
use super::layers::feed_forward::{FeedForward, Inner};
use super::layers::post_norm::{self, Layer, Numbering, Positions, PostNorm};
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Attention, Ops};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::text::<Def>("bert");

struct Def;

const VARIANT: Variant = Variant {
    prefix: "bert.",
    numbering: |_| Numbering::FromZero,
    typed: true,
    names: Names {
        qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
        attention_out: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
    },
};

/// What tells BERT's successors from BERT.
pub(super) struct Variant {
    /// Of tensor names, where the file is one of a model for a task.
    pub(super) prefix: &'static str,
    /// How rows of the position table are numbered.
    pub(super) numbering: fn(&Config) -> Numbering,
    /// Whether there are token types.
    pub(super) typed: bool,
    pub(super) names: Names,
}

/// Names of tensors within a layer, as far as successors changed them.
pub(super) struct Names {
    pub(super) qkv: [&'static str; 3],
    pub(super) attention_out: &'static str,
    pub(super) attention_norm: &'static str,
}

/// `config.json`, as far as the forward pass depends on it.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    /// 0 where there are no types.
    #[serde(default)]
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    /// Positions depend on it in successors of BERT.
    pub(super) pad_token_id: Option<u32>,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        Ok(Box::new(load(ops, source, &VARIANT)?))
    }
}

/// Loads BERT or a successor.
pub(super) fn load<O: Ops>(ops: O, source: &Source<'_>, variant: &Variant) -> Result<PostNorm<O>, ModelError> {
    let config: Config = source.config()?;
    let numbering = (variant.numbering)(&config);
    config.check(source, numbering)?;
    let weights = source.weights.with_optional_prefix(variant.prefix);
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let head_dim = layers::head_dim(source, hidden, config.num_attention_heads)?;
    let places = "embeddings.position_embeddings.weight";
    let mut places = weights.matrix(places, config.max_position_embeddings, hidden)?;
    if variant.typed {
        let types = ("embeddings.token_type_embeddings.weight", config.type_vocab_size);
        post_norm::add_type(source, &weights, types, &mut places)?;
    }
    let words = "embeddings.word_embeddings.weight";
    let layers = (0..config.num_hidden_layers).map(|i| layer(&ops, source, &weights, &config, (&variant.names, i)));
    Ok(PostNorm {
        words: layers::table(&ops, &weights, words, (config.vocab_size, hidden))?,
        positions: Some(Positions { table: ops.table(places)?, numbering }),
        norm: layers::layer_norm(&ops, &weights, "embeddings.LayerNorm", (hidden, eps))?,
        attention: Attention::new(config.num_attention_heads, head_dim),
        angles: None,
        layers: layers.collect::<Result<_, _>>()?,
        pooling: source.pooling(),
        ops,
    })
}

impl Config {
    /// What the forward pass relies on.
    fn check(&self, source: &Source<'_>, numbering: Numbering) -> Result<(), ModelError> {
        source.check_dim(self.hidden_size)?;
        if self.position_embedding_type != "absolute" {
            let got = &self.position_embedding_type;
            return Err(source.malformed(format!("position_embedding_type is `{got}`, expected `absolute`")));
        }
        numbering.check(source, self.max_position_embeddings)
    }
}

/// The layer `index`.
fn layer<O: Ops>(
    ops: &O,
    source: &Source<'_>,
    weights: &Weights<'_>,
    config: &Config,
    (names, index): (&Names, usize),
) -> Result<Layer<O>, ModelError> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let at = |name: &str| format!("encoder.layer.{index}.{name}");
    let parts = names.qkv.map(at);
    let parts = parts.each_ref().map(|name| (name.as_str(), hidden));
    let linear = |name: &str, shape| layers::linear(ops, weights, &at(name), shape);
    let norm = |name: &str| layers::layer_norm(ops, weights, &at(name), (hidden, config.layer_norm_eps));
    Ok(Layer {
        qkv: layers::side_by_side(ops, weights, &parts, hidden, Bias::With)?,
        attention_out: linear(names.attention_out, (hidden, hidden))?,
        attention_norm: norm(names.attention_norm)?,
        feed_forward: FeedForward {
            up: linear("intermediate.dense", (inner, hidden))?,
            inner: Inner::Activation(layers::activation(source, "hidden_act", &config.hidden_act)?),
            down: linear("output.dense", (hidden, inner))?,
        },
        last_norm: norm("output.LayerNorm")?,
    })
}
