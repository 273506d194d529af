//! `ModernBERT`: gte-modernbert, nomic modernbert-embed, granite-embedding r2 and their kin.
//!
//! Order of operations and tensor names follow `ModernBertModel` of the transformers library
//! (`src/transformers/models/modernbert/modeling_modernbert.py`, release 5.23). Deviations: tokens are packed, so there is
//! no padding and no mask; dropout and heads for tasks are left out.
//!
//! Warner et al., "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder" (2024).

use serde::Deserialize;

use super::layers::feed_forward::{FeedForward, Inner};
use super::layers::pre_norm::{Kind, Layer, PreNorm};
use super::layers::rotary::{self, RopeParameters};
use super::layers::{self, Bias};
use super::{Build, EncoderDef, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Attention, Ops, Reach};
use crate::weights::Weights;

pub(super) static DEF: EncoderDef = super::text::<Def>("modernbert");

struct Def;

/// Index of the layers whose tokens see all of the text.
const GLOBAL: usize = 0;

/// Index of the layers whose tokens see their neighbors.
const LOCAL: usize = 1;

/// `config.json`, as far as the forward pass depends on it. Defaults are the library's.
#[derive(Debug, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    norm_eps: f32,
    hidden_activation: String,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    /// Tokens that a token sees in a local layer: half of them on either side, and itself.
    local_attention: usize,
    /// From release 5 on; before that, one layer in `global_attn_every_n_layers` is global, the first one to begin with.
    layer_types: Option<Vec<String>>,
    #[serde(default = "three")]
    global_attn_every_n_layers: usize,
    /// From release 5 on; before that, the two bases.
    #[serde(default)]
    rope_parameters: ByType,
    #[serde(default = "global_rope_theta")]
    global_rope_theta: f64,
    /// Where it is null, the other one holds for all layers.
    #[serde(default = "local_rope_theta")]
    local_rope_theta: Option<f64>,
}

/// `rope_parameters` of `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ByType {
    full_attention: RopeParameters,
    sliding_attention: RopeParameters,
}

fn three() -> usize {
    3
}

fn global_rope_theta() -> f64 {
    160_000.0
}

#[expect(clippy::unnecessary_wraps, reason = "a key that is absent and one that is null mean different things")]
fn local_rope_theta() -> Option<f64> {
    Some(10_000.0)
}

/// Which layers are global and which are local.
enum Kinds {
    /// As many layers as these are.
    Listed(Vec<usize>),
    /// The first of every so many is global.
    Every(usize),
}

impl Kinds {
    /// The kind of layer `i`.
    fn of(&self, i: usize) -> usize {
        match self {
            Self::Listed(kinds) => kinds[i],
            Self::Every(n) if i.is_multiple_of(*n) => GLOBAL,
            Self::Every(_) => LOCAL,
        }
    }
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn TextEncoder>, ModelError> {
        let config: Config = source.config()?;
        source.check_dim(config.hidden_size)?;
        let weights = source.weights.with_optional_prefix("model.");
        let kinds = config.kinds(source)?;
        let words = (config.vocab_size, config.hidden_size);
        let layer = |i: usize| config.layer(&ops, source, &weights, (i, kinds.of(i)));
        let layers = (0..config.num_hidden_layers).map(layer);
        Ok(Box::new(PreNorm {
            words: layers::table(&ops, &weights, "embeddings.tok_embeddings.weight", words)?,
            first_norm: Some(config.norm(&ops, &weights, "embeddings.norm")?),
            kinds: vec![config.global(&ops, source)?, config.local(&ops, source)?],
            layers: layers.collect::<Result<_, _>>()?,
            last_norm: config.norm(&ops, &weights, "final_norm")?,
            pooling: source.pooling(),
            ops,
        }))
    }
}

impl Config {
    /// Which layers are global and which are local.
    fn kinds(&self, source: &Source<'_>) -> Result<Kinds, ModelError> {
        let n = self.num_hidden_layers;
        let Some(types) = &self.layer_types else {
            if self.global_attn_every_n_layers == 0 {
                return Err(source.malformed("global_attn_every_n_layers is 0, expected at least 1"));
            }
            return Ok(Kinds::Every(self.global_attn_every_n_layers));
        };
        if types.len() != n {
            return Err(source.malformed(format!("layer_types has {} entries, expected {n}", types.len())));
        }
        let kind = |name: &String| match name.as_str() {
            "full_attention" => Ok(GLOBAL),
            "sliding_attention" => Ok(LOCAL),
            _ => {
                let known = "`full_attention` or `sliding_attention`";
                Err(source.malformed(format!("layer_types has `{name}`, expected {known}")))
            }
        };
        types.iter().map(kind).collect::<Result<_, _>>().map(Kinds::Listed)
    }

    fn global<O: Ops>(&self, ops: &O, source: &Source<'_>) -> Result<Kind<O>, ModelError> {
        let theta = self.rope_parameters.full_attention.theta(source)?.unwrap_or(self.global_rope_theta);
        self.kind(ops, source, theta)
    }

    fn local<O: Ops>(&self, ops: &O, source: &Source<'_>) -> Result<Kind<O>, ModelError> {
        let old = self.local_rope_theta.unwrap_or(self.global_rope_theta);
        let theta = self.rope_parameters.sliding_attention.theta(source)?.unwrap_or(old);
        let mut kind = self.kind(ops, source, theta)?;
        kind.attention.reach = Reach::Window(self.local_attention / 2);
        Ok(kind)
    }

    fn kind<O: Ops>(&self, ops: &O, source: &Source<'_>, theta: f64) -> Result<Kind<O>, ModelError> {
        let head_dim = layers::head_dim(source, self.hidden_size, self.num_attention_heads)?;
        let attention = Attention::new(self.num_attention_heads, head_dim);
        Ok(Kind { attention, angles: rotary::angles(ops, source, head_dim, theta)? })
    }

    /// The norm `name`; without a bias where the configuration says so, whatever the file holds.
    fn norm<O: Ops>(&self, ops: &O, weights: &Weights<'_>, name: &str) -> Result<O::Norm, ModelError> {
        layers::layer_norm_with(
            ops,
            weights,
            name,
            (self.hidden_size, self.norm_eps),
            Bias::from_config(self.norm_bias),
        )
    }

    /// The layer `index`, which attends in the way `kind`.
    fn layer<O: Ops>(
        &self,
        ops: &O,
        source: &Source<'_>,
        weights: &Weights<'_>,
        (index, kind): (usize, usize),
    ) -> Result<Layer<O>, ModelError> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let at = |name: &str| format!("layers.{index}.{name}");
        let linear = |name: &str, n_out: usize, n_in: usize, bias: bool| {
            layers::side_by_side(ops, weights, &[(&at(name), n_out)], n_in, Bias::from_config(bias))
        };
        // The embeddings are normalized already.
        let attention_norm = (index != 0).then(|| self.norm(ops, weights, &at("attn_norm")));
        Ok(Layer {
            kind,
            attention_norm: attention_norm.transpose()?,
            qkv: linear("attn.Wqkv", 3 * hidden, hidden, self.attention_bias)?,
            head_norms: None,
            attention_out: linear("attn.Wo", hidden, hidden, self.attention_bias)?,
            inner_norm: self.norm(ops, weights, &at("mlp_norm"))?,
            feed_forward: FeedForward {
                up: linear("mlp.Wi", 2 * inner, hidden, self.mlp_bias)?,
                inner: Inner::Gate(layers::activation(source, "hidden_activation", &self.hidden_activation)?),
                down: linear("mlp.Wo", hidden, inner, self.mlp_bias)?,
            },
        })
    }
}
