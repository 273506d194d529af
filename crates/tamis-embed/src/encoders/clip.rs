//! CLIP: a tower for texts and one for pictures, whose vectors can be compared.
//!
//! Order of operations and tensor names follow `CLIPModel` of the transformers library
//! (`src/transformers/models/clip/modeling_clip.py`, release 5.23), `get_text_features` and `get_image_features`.
//! Deviations: queries, keys and values are one product; tokens behind the one that a text is pooled at are left out,
//! which no token before them sees; the position of a picture's first token is added to it at load; the last layer
//! computes nothing but the token that is pooled; dropout and the interpolation of positions, which is off by default,
//! are left out.
//!
//! Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021).

use candle_core::Result;

use super::layers::patches::{self, Patches};
use super::layers::section::Section;
use super::layers::towers::{Defaults, Lengths, TextTower};
use super::layers::transformer::{Buffers, Layers};
use super::layers::{self, normalize};
use super::{Build, EncoderDef, ImageEncoder, PackedTokens, Source, TextEncoder};
use crate::ModelError;
use crate::manifest::Pooling;
use crate::ops::{Activation, Images, Ops, Reach, Span};

pub(super) static DEF: EncoderDef = super::both::<Texts, Pictures>("clip");

/// The tower for texts.
struct Texts;

/// The tower for pictures.
struct Pictures;

/// Defaults of `CLIPTextConfig`.
const TEXTS: Defaults = Defaults { hidden: 512, intermediate: 2048, n_heads: 8, activation: "quick_gelu", eps: 1e-5 };

/// Defaults of `CLIPVisionConfig`.
const PICTURES: Defaults =
    Defaults { hidden: 768, intermediate: 3072, n_heads: 12, activation: "quick_gelu", eps: 1e-5 };

/// `eos_token_id` of checkpoints from before 2023, which means another token: texts are pooled at their highest id.
const LEGACY_END: u32 = 2;

struct Text<O: Ops> {
    tower: TextTower<O>,
    /// Id of the token that texts are pooled at.
    end: u32,
}

struct Vision<O: Ops> {
    ops: O,
    patches: Patches<O>,
    pre_norm: O::Norm,
    layers: Layers<O>,
    post_norm: O::Norm,
    projection: O::Linear,
}

/// The product from the width of a tower to the length of a vector.
fn projection<O: Ops>(
    ops: &O,
    source: &Source<'_>,
    name: &str,
    hidden: usize,
) -> std::result::Result<O::Linear, ModelError> {
    let dim = Section::whole(source).get("projection_dim", 512)?;
    source.check_dim(dim)?;
    layers::linear_without_bias(ops, &source.weights, name, (dim, hidden))
}

impl Build for Texts {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn TextEncoder>, ModelError> {
        // Where there is a `text_config_dict`, it and its defaults are what counts.
        let section = Section::of(source, &["text_config_dict", "text_config"], "_text_model");
        let settings = section.layers("text_model.encoder.layers", &TEXTS, Reach::Causal)?;
        let lengths = Lengths::of(&section, Lengths { vocabulary: 49_408, positions: 77 })?;
        let end = section.get("eos_token_id", 49_407)?;
        let head = projection(&ops, source, "text_projection", settings.hidden)?;
        Ok(Box::new(Text { tower: TextTower::load(ops, source, &settings, lengths, head)?, end }))
    }
}

impl Build for Pictures {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn ImageEncoder>, ModelError> {
        let section = Section::of(source, &["vision_config_dict", "vision_config"], "_vision_model");
        let settings = section.layers("vision_model.encoder.layers", &PICTURES, Reach::All)?;
        let hidden = settings.hidden;
        let patches = section.patches(hidden, 32)?;
        let n_patches = patches.check(source)?;
        let weights = &source.weights;
        let positions = "vision_model.embeddings.position_embedding.weight";
        let tensors = patches::Tensors {
            weight: patches.weight(weights, "vision_model.embeddings.patch_embedding.weight")?,
            bias: vec![0.0; hidden],
            class: weights.values("vision_model.embeddings.class_embedding", &[hidden])?,
            registers: Vec::new(),
            positions: weights.values(positions, &[1 + n_patches, hidden])?,
        };
        let norm = |name: &str| layers::layer_norm(&ops, weights, name, (hidden, settings.eps));
        Ok(Box::new(Vision {
            patches: Patches::new(&ops, source, &patches, tensors)?,
            // The spelling is that of the reference.
            pre_norm: norm("vision_model.pre_layrnorm")?,
            layers: Layers::load(&ops, source, weights, &settings)?,
            post_norm: norm("vision_model.post_layernorm")?,
            projection: projection(&ops, source, "visual_projection", hidden)?,
            ops,
        }))
    }
}

impl<O: Ops> TextEncoder for Text<O> {
    fn n_ids(&self) -> usize {
        self.tower.n_ids()
    }

    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        self.tower.embed(&cut(tokens, self.end))
    }
}

/// The texts up to the token that each is pooled at.
fn cut(tokens: &PackedTokens, end: u32) -> PackedTokens {
    let mut cut = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Vec::new() };
    for span in &tokens.spans {
        let ids = &tokens.ids[span.rows()];
        let rows = span.start..=span.start + end_of(ids, end);
        cut.spans.push(Span { start: cut.ids.len(), len: rows.clone().count() });
        cut.ids.extend_from_slice(&tokens.ids[rows.clone()]);
        cut.positions.extend_from_slice(&tokens.positions[rows]);
    }
    cut
}

/// The first place of `end` in a text. A text without it is pooled at its first token, as in the reference.
fn end_of(ids: &[u32], end: u32) -> usize {
    let highest = ids.iter().max().copied();
    let wanted = if end == LEGACY_END { highest } else { Some(end) };
    ids.iter().position(|id| Some(*id) == wanted).unwrap_or(0)
}

impl<O: Ops> ImageEncoder for Vision<O> {
    fn embed(&self, images: &Images<'_>) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (mut x, mut buffers) = (ops.rows(), Buffers::new(ops));
        let spans = self.patches.embed(ops, images, &mut buffers.wide, &mut x)?; // (pictures * tokens, hidden)
        normalize(ops, &self.pre_norm, &mut x, &mut buffers.narrow)?;
        self.layers.forward_pooled(ops, &spans, Pooling::Cls, &mut x, &mut buffers)?; // (pictures, hidden)
        normalize(ops, &self.post_norm, &mut x, &mut buffers.narrow)?;
        ops.product(&x, &self.projection, Activation::Identity, &mut buffers.wide)?;
        ops.read(&buffers.wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_pooled_at_the_first_end_or_as_before_2023_at_the_first_highest_id() {
        assert_eq!(end_of(&[7, 3, 9, 5, 5], 5), 3);
        assert_eq!(end_of(&[7, 3, 9, 9, 5], LEGACY_END), 2);
        assert_eq!(end_of(&[7, 3, 9], 5), 0);
    }

    #[test]
    fn what_stands_behind_the_end_is_left_out() {
        let spans = vec![Span { start: 0, len: 3 }, Span { start: 3, len: 2 }];
        let tokens = PackedTokens { ids: vec![7, 5, 8, 6, 5], positions: vec![0, 1, 2, 0, 1], spans };
        let cut = cut(&tokens, 5);
        assert_eq!(cut.ids, [7, 5, 6, 5]);
        assert_eq!(cut.positions, [0, 1, 0, 1]);
        assert_eq!(cut.spans, [Span { start: 0, len: 2 }, Span { start: 2, len: 2 }]);
    }
}
