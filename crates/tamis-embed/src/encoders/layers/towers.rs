//! What CLIP and `SigLIP` have in common: a tower for texts and one for pictures, each with its part of `config.json`.

use candle_core::Result;

use super::super::{PackedTokens, Source};
use super::Bias;
use super::feed_forward::Inner;
use super::section::Section;
use super::transformer::{self, Buffers, Layers, Names};
use super::{normalize, patches};
use crate::ModelError;
use crate::manifest::Pooling;
use crate::ops::{Activation, Ops, Reach};

/// What a tower is made of where its part of `config.json` does not say it.
#[derive(Clone, Copy, Debug)]
pub(in crate::encoders) struct Defaults {
    pub(in crate::encoders) hidden: usize,
    pub(in crate::encoders) intermediate: usize,
    pub(in crate::encoders) n_heads: usize,
    pub(in crate::encoders) activation: &'static str,
    pub(in crate::encoders) eps: f32,
}

impl<'a> Section<'a> {
    /// The layers of the tower, whose tensors begin with `name`.
    ///
    /// # Errors
    /// When a value is of another type, or the activation is not known.
    pub(in crate::encoders) fn layers(
        &self,
        name: &'a str,
        defaults: &Defaults,
        reach: Reach,
    ) -> std::result::Result<transformer::Settings<'a>, ModelError> {
        let activation: String = self.get("hidden_act", defaults.activation.to_owned())?;
        Ok(transformer::Settings {
            name,
            names: Names::CLIP,
            n_layers: self.get("num_hidden_layers", 12)?,
            hidden: self.get("hidden_size", defaults.hidden)?,
            n_heads: self.get("num_attention_heads", defaults.n_heads)?,
            intermediate: self.get("intermediate_size", defaults.intermediate)?,
            inner: Inner::Activation(super::activation(self.source(), "hidden_act", &activation)?),
            eps: self.get("layer_norm_eps", defaults.eps)?,
            qkv_bias: Bias::With,
            reach,
        })
    }

    /// The patches of a tower for pictures.
    ///
    /// # Errors
    /// When a value is of another type.
    pub(in crate::encoders) fn patches(
        &self,
        hidden: usize,
        patch: usize,
    ) -> std::result::Result<patches::Settings, ModelError> {
        Ok(patches::Settings {
            hidden,
            patch: self.get("patch_size", patch)?,
            image: self.get("image_size", 224)?,
            colors: self.get("num_channels", 3)?,
            resize: None,
        })
    }
}

/// How many tokens a tower for texts knows, and how many it reads.
#[derive(Clone, Copy, Debug)]
pub(in crate::encoders) struct Lengths {
    /// `vocab_size`.
    pub(in crate::encoders) vocabulary: usize,
    /// `max_position_embeddings`.
    pub(in crate::encoders) positions: usize,
}

impl Lengths {
    /// What the configuration says, or the defaults.
    ///
    /// # Errors
    /// When a value is of another type, or texts may have more tokens than there are positions.
    pub(in crate::encoders) fn of(section: &Section<'_>, defaults: Self) -> std::result::Result<Self, ModelError> {
        let vocabulary = section.get("vocab_size", defaults.vocabulary)?;
        let positions = section.get("max_position_embeddings", defaults.positions)?;
        let max_tokens = section.source().max_tokens();
        if positions < max_tokens {
            let reason = format!("max_position_embeddings is {positions}, expected at least max_tokens {max_tokens}");
            return Err(section.source().malformed(reason));
        }
        Ok(Self { vocabulary, positions })
    }
}

/// A tower for texts, pooled at the last token of each.
pub(in crate::encoders) struct TextTower<O: Ops> {
    ops: O,
    words: O::Table,
    positions: O::Table,
    layers: Layers<O>,
    norm: O::Norm,
    /// From the last token to the vector.
    head: O::Linear,
}

impl<O: Ops> TextTower<O> {
    /// Reads the weights but for `head`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub(in crate::encoders) fn load(
        ops: O,
        source: &Source<'_>,
        settings: &transformer::Settings<'_>,
        lengths: Lengths,
        head: O::Linear,
    ) -> std::result::Result<Self, ModelError> {
        let (weights, hidden) = (&source.weights, settings.hidden);
        let (words, positions) = ((lengths.vocabulary, hidden), (lengths.positions, hidden));
        Ok(Self {
            words: super::table(&ops, weights, "text_model.embeddings.token_embedding.weight", words)?,
            positions: super::table(&ops, weights, "text_model.embeddings.position_embedding.weight", positions)?,
            layers: Layers::load(&ops, source, weights, settings)?,
            norm: super::layer_norm(&ops, weights, "text_model.final_layer_norm", (hidden, settings.eps))?,
            head,
            ops,
        })
    }

    /// How many token ids it has vectors for.
    pub(in crate::encoders) fn n_ids(&self) -> usize {
        self.ops.n_rows(&self.words)
    }

    /// Vectors of the texts, shape `(texts, dim)`.
    pub(in crate::encoders) fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (mut x, mut buffers) = (ops.rows(), Buffers::new(ops));
        ops.gather(&self.words, &tokens.ids, &mut x)?; // (tokens, hidden)
        ops.add_gather(&self.positions, &tokens.positions, &mut x)?;
        self.layers.forward_pooled(ops, &tokens.spans, Pooling::Last, &mut x, &mut buffers)?; // (texts, hidden)
        normalize(ops, &self.norm, &mut x, &mut buffers.narrow)?;
        ops.product(&x, &self.head, Activation::Identity, &mut buffers.wide)?;
        ops.read(&buffers.wide)
    }
}
