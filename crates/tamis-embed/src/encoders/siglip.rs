//! `SigLIP`, and the checkpoints of `SigLIP` 2 for pictures of one size: a tower for texts and one for pictures, whose
//! vectors can be compared.
//!
//! Order of operations and tensor names follow `SiglipModel` of the transformers library
//! (`src/transformers/models/siglip/modeling_siglip.py`, release 5.23), `get_text_features` and `get_image_features`.
//! Texts are padded to `max_position_embeddings` tokens, which belongs to the model: padding is attended to, and the
//! last token becomes the vector. Deviations: queries, keys and values are one product; the query of the pooling head is
//! computed at load; the last layer for texts computes nothing but the last token; dropout and the interpolation of
//! positions, which is off by default, are left out.
//!
//! Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023); Tschannen et al., "`SigLIP` 2" (2025).

use candle_core::Result;
use serde_json::Value;

use super::layers::feed_forward::FeedForward;
use super::layers::patches::{self, Patches};
use super::layers::section::Section;
use super::layers::towers::{Defaults, Lengths, TextTower};
use super::layers::transformer::{self, Buffers, Layers};
use super::layers::{self, normalize};
use super::{Build, EncoderDef, ImageEncoder, PackedTokens, Source, TextEncoder};
use crate::ModelError;
use crate::ops::{Activation, Attention, Columns, Heads, Images, Matrix, Ops, Reach, Span};

pub(super) static DEF: EncoderDef = super::both::<Texts, Pictures>("siglip");

/// The tower for texts.
struct Texts;

/// The tower for pictures.
struct Pictures;

/// Defaults of `SiglipTextConfig` and of `SiglipVisionConfig`.
const DEFAULTS: Defaults =
    Defaults { hidden: 768, intermediate: 3072, n_heads: 12, activation: "gelu_pytorch_tanh", eps: 1e-6 };

struct Text<O: Ops> {
    tower: TextTower<O>,
    /// Tokens of every text, padding included.
    len: usize,
    /// Id of padding.
    pad: u32,
}

struct Vision<O: Ops> {
    ops: O,
    patches: Patches<O>,
    layers: Layers<O>,
    norm: O::Norm,
    head: Head<O>,
}

/// From the tokens of a picture to its vector: attention with one learned query, and a feed-forward part.
struct Head<O: Ops> {
    /// The query, one row.
    query: O::Table,
    /// Keys and values.
    kv: O::Linear,
    attention: Attention<O::Table>,
    attention_out: O::Linear,
    norm: O::Norm,
    feed_forward: FeedForward<O>,
}

impl Build for Texts {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn TextEncoder>, ModelError> {
        let section = Section::of(source, &["text_config"], "_text_model");
        let settings = section.layers("text_model.encoder.layers", &DEFAULTS, Reach::All)?;
        let lengths = Lengths::of(&section, Lengths { vocabulary: 32_000, positions: 64 })?;
        let dim = section.get("projection_size", settings.hidden)?;
        source.check_dim(dim)?;
        let pad: u32 = match pad_of_tokenizer(source)? {
            Some(pad) => pad,
            None => section.get("pad_token_id", 1)?,
        };
        if lengths.vocabulary <= pad as usize {
            let n = lengths.vocabulary;
            return Err(source.malformed(format!("padding is token {pad}, expected one of the {n} of the vocabulary")));
        }
        let head = layers::linear(&ops, &source.weights, "text_model.head", (dim, settings.hidden))?;
        let tower = TextTower::load(ops, source, &settings, lengths, head)?;
        Ok(Box::new(Text { tower, len: lengths.positions, pad }))
    }
}

/// The id of `pad_token` in the tokenizer's files; `None` where they have none. It goes before `pad_token_id` of the
/// configuration, whose default is that of the first `SigLIP` and which the second one leaves out.
fn pad_of_tokenizer(source: &Source<'_>) -> std::result::Result<Option<u32>, ModelError> {
    let read = |file: &str| -> std::result::Result<Value, ModelError> {
        let bytes = source.files.read(file)?;
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| source.files.malformed(file, error));
        bytes.map_or(Ok(Value::Null), |bytes| parse(&bytes))
    };
    let settings = read("tokenizer_config.json")?;
    let token = &settings["pad_token"];
    let Some(token) = token.as_str().or(token["content"].as_str()) else {
        return Ok(None);
    };
    let tokenizer = read(source.tokenizer)?;
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let id = added.filter(|it| it["content"] == token).find_map(|it| u32::try_from(it["id"].as_u64()?).ok());
    let missing = || source.files.malformed(source.tokenizer, format!("added_tokens has no pad_token `{token}`"));
    id.ok_or_else(missing).map(Some)
}

impl<O: Ops> TextEncoder for Text<O> {
    fn n_ids(&self) -> usize {
        self.tower.n_ids()
    }

    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        self.tower.embed(&pad(tokens, self.len, self.pad))
    }
}

/// The texts at a length of `len` tokens each.
fn pad(tokens: &PackedTokens, len: usize, pad: u32) -> PackedTokens {
    let n = tokens.spans.len();
    let mut padded = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Span::equal(n, len) };
    for span in &tokens.spans {
        let ids = tokens.ids[span.rows()].iter().copied();
        padded.ids.extend(ids.chain(std::iter::repeat(pad)).take(len));
        padded.positions.extend((0..).take(len));
    }
    padded
}

impl Build for Pictures {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn ImageEncoder>, ModelError> {
        let section = Section::of(source, &["vision_config"], "_vision_model");
        let settings = section.layers("vision_model.encoder.layers", &DEFAULTS, Reach::All)?;
        if !section.get("vision_use_head", true)? {
            return Err(source.malformed("vision_use_head is false, expected true"));
        }
        let hidden = settings.hidden;
        source.check_dim(hidden)?;
        let patches = section.patches(hidden, 16)?;
        let n_patches = patches.check(source)?;
        let weights = &source.weights;
        let positions = "vision_model.embeddings.position_embedding.weight";
        let tensors = patches::Tensors {
            weight: patches.weight(weights, "vision_model.embeddings.patch_embedding.weight")?,
            bias: weights.values("vision_model.embeddings.patch_embedding.bias", &[hidden])?,
            class: Vec::new(),
            registers: Vec::new(),
            positions: weights.values(positions, &[n_patches, hidden])?,
        };
        let norm = (hidden, settings.eps);
        Ok(Box::new(Vision {
            patches: Patches::new(&ops, source, &patches, tensors)?,
            layers: Layers::load(&ops, source, weights, &settings)?,
            norm: layers::layer_norm(&ops, weights, "vision_model.post_layernorm", norm)?,
            head: Head::load(&ops, source, &settings)?,
            ops,
        }))
    }
}

impl<O: Ops> Head<O> {
    /// Reads the weights of a head that is as wide as the layers before it.
    fn load(
        ops: &O,
        source: &Source<'_>,
        settings: &transformer::Settings<'_>,
    ) -> std::result::Result<Self, ModelError> {
        let transformer::Settings { hidden, intermediate, inner, eps, n_heads, .. } = *settings;
        let weights = &source.weights;
        let at = |name: &str| format!("vision_model.head.{name}");
        let linear = |name: &str, shape| layers::linear(ops, weights, &at(name), shape);
        // Queries, keys and values, one after the other.
        let mut query = weights.matrix(&at("attention.in_proj_weight"), 3 * hidden, hidden)?;
        let mut query_bias = weights.values(&at("attention.in_proj_bias"), &[3 * hidden])?;
        let kv = Matrix { width: hidden, values: query.values.split_off(hidden * hidden) };
        let kv_bias = query_bias.split_off(hidden);
        let query = ops.linear(query, Some(query_bias))?;
        let probe = ops.table(Matrix { width: hidden, values: weights.values(&at("probe"), &[1, 1, hidden])? })?;
        let (mut x, mut queries) = (ops.rows(), ops.rows());
        ops.gather(&probe, &[0], &mut x)?;
        ops.product(&x, &query, Activation::Identity, &mut queries)?;
        Ok(Self {
            query: ops.table(Matrix { width: hidden, values: ops.read(&queries)? })?,
            kv: ops.linear(kv, Some(kv_bias))?,
            attention: Attention::new(n_heads, layers::head_dim(source, hidden, n_heads)?),
            attention_out: linear("attention.out_proj", (hidden, hidden))?,
            norm: layers::layer_norm(ops, weights, &at("layernorm"), (hidden, eps))?,
            feed_forward: FeedForward {
                up: linear("mlp.fc1", (inner.width(intermediate), hidden))?,
                inner,
                down: linear("mlp.fc2", (hidden, intermediate))?,
            },
        })
    }

    /// `x` has shape `(pictures * tokens, hidden)` and becomes `(pictures, hidden)`.
    fn forward(&self, ops: &O, spans: &[Span], x: &mut O::Rows, buffers: &mut Buffers<O::Rows>) -> Result<()> {
        let Buffers { narrow, wide, inner } = buffers;
        let query_spans = Span::equal(spans.len(), 1);
        ops.gather(&self.query, &vec![0; spans.len()], narrow)?;
        ops.product(x, &self.kv, Activation::Identity, wide)?; // (pictures * tokens, 2 * hidden)
        let heads = Heads {
            query: Columns { rows: &*narrow, first: 0 },
            key: Columns { rows: &*wide, first: 0 },
            value: Columns { rows: &*wide, first: self.attention.key_width() },
            query_spans: &query_spans,
            key_spans: spans,
        };
        ops.attend(&heads, &self.attention, inner)?;
        ops.product(inner, &self.attention_out, Activation::Identity, x)?;
        ops.normalize(x, &self.norm, narrow)?;
        self.feed_forward.first(ops, narrow, wide, inner)?;
        self.feed_forward.add_second(ops, inner, x)
    }
}

impl<O: Ops> ImageEncoder for Vision<O> {
    fn embed(&self, images: &Images<'_>) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (mut x, mut buffers) = (ops.rows(), Buffers::new(ops));
        let spans = self.patches.embed(ops, images, &mut buffers.wide, &mut x)?; // (pictures * patches, hidden)
        self.layers.forward(ops, &spans, &mut x, &mut buffers)?;
        normalize(ops, &self.norm, &mut x, &mut buffers.narrow)?;
        self.head.forward(ops, &spans, &mut x, &mut buffers)?;
        ops.read(&x)
    }
}
