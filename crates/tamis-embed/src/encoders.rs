//! One forward pass per architecture, over packed rows: tokens of texts, patches or pixels of pictures.
//!
//! A new architecture is one file under `encoders/` and one line in [`ENCODERS`].

use candle_core::Result;
use tamis_core::Modality;

use crate::manifest::Pooling;
use crate::ops::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::ops::cuda::Cuda;
use crate::ops::plain::Plain;
use crate::ops::{Images, Levels, Ops, Span};
use crate::tokens::SpecialTokens;
use crate::weights::Weights;
use crate::{ModelError, ModelFiles};

mod bert;
mod clip;
mod dinov2;
mod dinov2_with_registers;
mod efficientnet_lite;
mod layers;
mod mobilenet_v2;
mod model2vec;
mod modernbert;
mod mpnet;
mod nomic_bert;
#[cfg(test)]
mod parity;
mod qwen3;
mod roberta;
mod siglip;
mod vit;
mod xlm_roberta;

/// The tokens of several texts, one text after the other, without padding.
pub(crate) struct PackedTokens {
    /// Token ids, length `tokens`.
    pub(crate) ids: Vec<u32>,
    /// Place of each token in its text, length `tokens`.
    pub(crate) positions: Vec<u32>,
    /// Where each text stands.
    pub(crate) spans: Vec<Span>,
}

/// A forward pass for texts with its weights.
pub(crate) trait TextEncoder: Send + Sync {
    /// How many token ids it has vectors for, counted from 0.
    fn n_ids(&self) -> usize;

    /// Vectors of the texts, shape `(texts, dim)`.
    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>>;
}

/// A forward pass for pictures with its weights.
pub(crate) trait ImageEncoder: Send + Sync {
    /// Vectors of the pictures, shape `(pictures, dim)`. A picture's vector does not depend on the others.
    fn embed(&self, images: &Images<'_>) -> Result<Vec<f32>>;
}

/// What an encoder is built from.
pub(crate) struct Source<'a> {
    pub(crate) files: &'a ModelFiles,
    /// `config.json`; null where the model has none.
    pub(crate) config: serde_json::Value,
    pub(crate) weights: Weights<'a>,
    /// File name of the tokenizer, by the manifest.
    pub(crate) tokenizer: &'a str,
    /// Length of a vector, by the manifest.
    pub(crate) dim: usize,
    pub(crate) input: EncoderInput,
}

/// What an encoder is to read, by the manifest.
pub(crate) enum EncoderInput {
    /// Texts of at most so many tokens.
    Text { pooling: Pooling, max_tokens: usize },
    /// Squares of these sides.
    Image { sizes: Vec<u32>, levels: Box<Levels> },
}

impl Source<'_> {
    /// `config.json`, as far as the architecture depends on it.
    pub(crate) fn config<C: serde::de::DeserializeOwned>(&self) -> std::result::Result<C, ModelError> {
        C::deserialize(&self.config).map_err(|error| self.malformed(error))
    }

    /// An error about `config.json`.
    pub(crate) fn malformed(&self, reason: impl ToString) -> ModelError {
        self.files.malformed("config.json", reason)
    }

    /// Refuses an encoder whose vectors have another length than the manifest says.
    pub(crate) fn check_dim(&self, dim: usize) -> std::result::Result<(), ModelError> {
        if self.dim == dim {
            return Ok(());
        }
        Err(self.files.malformed("model.toml", format!("dim is {}, vectors of this model have {dim}", self.dim)))
    }

    /// How the vectors of a text's tokens become one.
    ///
    /// # Panics
    /// When the encoder is one for pictures: a bug.
    pub(crate) fn pooling(&self) -> Pooling {
        match self.input {
            EncoderInput::Text { pooling, .. } => pooling,
            EncoderInput::Image { .. } => unreachable!("an encoder for texts is built for texts"),
        }
    }

    /// Most tokens of a text.
    ///
    /// # Panics
    /// When the encoder is one for pictures: a bug.
    pub(crate) fn max_tokens(&self) -> usize {
        match self.input {
            EncoderInput::Text { max_tokens, .. } => max_tokens,
            EncoderInput::Image { .. } => unreachable!("an encoder for texts is built for texts"),
        }
    }

    /// Sides of the pictures, and what their values become.
    ///
    /// # Panics
    /// When the encoder is one for texts: a bug.
    pub(crate) fn pictures(&self) -> (&[u32], &Levels) {
        match &self.input {
            EncoderInput::Image { sizes, levels } => (sizes, levels),
            EncoderInput::Text { .. } => unreachable!("an encoder for pictures is built for pictures"),
        }
    }
}

/// Who computes.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// Our kernels on the CPU.
    Cpu,
    /// candle's tensors on any of its devices.
    Plain(Plain),
    /// Our kernels on an NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

/// How to build an encoder of one modality on any backend.
pub(crate) trait Build {
    /// [`TextEncoder`] or [`ImageEncoder`].
    type Encoder: ?Sized;

    /// Reads the weights and lays them out.
    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<Self::Encoder>, ModelError>;
}

type BuildOn<E> = fn(&Backend, &Source<'_>) -> std::result::Result<Box<E>, ModelError>;

/// An architecture: its name, and how to build it.
pub struct EncoderDef {
    /// `model_type` of the transformers library, or the manifest's `architecture`; the file name, with `_` for `-`.
    pub id: &'static str,
    text: Option<BuildOn<dyn TextEncoder>>,
    image: Option<BuildOn<dyn ImageEncoder>>,
    special_tokens: SpecialTokens,
}

/// An architecture for texts without special tokens around them.
const fn bare_text<B: Build<Encoder = dyn TextEncoder>>(id: &'static str) -> EncoderDef {
    EncoderDef { special_tokens: SpecialTokens::None, ..text::<B>(id) }
}

/// An architecture for texts.
const fn text<B: Build<Encoder = dyn TextEncoder>>(id: &'static str) -> EncoderDef {
    EncoderDef { id, text: Some(build_on::<B>), image: None, special_tokens: SpecialTokens::Around }
}

/// An architecture for pictures.
const fn image<B: Build<Encoder = dyn ImageEncoder>>(id: &'static str) -> EncoderDef {
    EncoderDef { id, text: None, image: Some(build_on::<B>), special_tokens: SpecialTokens::Around }
}

/// An architecture with a tower for texts and one for pictures.
const fn both<T, I>(id: &'static str) -> EncoderDef
where
    T: Build<Encoder = dyn TextEncoder>,
    I: Build<Encoder = dyn ImageEncoder>,
{
    EncoderDef { image: Some(build_on::<I>), ..text::<T>(id) }
}

/// The one place where a backend becomes a type.
fn build_on<B: Build>(backend: &Backend, source: &Source<'_>) -> std::result::Result<Box<B::Encoder>, ModelError> {
    match backend {
        Backend::Cpu => B::build(Cpu, source),
        Backend::Plain(plain) => B::build(plain.clone(), source),
        #[cfg(feature = "cuda")]
        Backend::Cuda(cuda) => B::build(cuda.clone(), source),
    }
}

impl EncoderDef {
    /// Whether the architecture reads samples of `modality`.
    #[must_use]
    pub fn reads(&self, modality: Modality) -> bool {
        match modality {
            Modality::Text => self.text.is_some(),
            Modality::Image => self.image.is_some(),
        }
    }
}

impl std::fmt::Debug for EncoderDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncoderDef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Every architecture.
pub static ENCODERS: &[&EncoderDef] = &[
    &bert::DEF,
    &clip::DEF,
    &dinov2::DEF,
    &dinov2_with_registers::DEF,
    &efficientnet_lite::DEF,
    &mobilenet_v2::DEF,
    &model2vec::DEF,
    &modernbert::DEF,
    &mpnet::DEF,
    &nomic_bert::DEF,
    &qwen3::DEF,
    &roberta::DEF,
    &siglip::DEF,
    &vit::DEF,
    &xlm_roberta::DEF,
];

/// Builds the text encoder called `architecture`.
pub(crate) fn build_text(
    architecture: &str,
    backend: &Backend,
    source: &Source<'_>,
) -> std::result::Result<Box<dyn TextEncoder>, ModelError> {
    match find(architecture).and_then(|def| def.text) {
        Some(build) => build(backend, source),
        None => Err(unsupported(architecture, source.files, Modality::Text)),
    }
}

/// Builds the image encoder called `architecture`.
pub(crate) fn build_image(
    architecture: &str,
    backend: &Backend,
    source: &Source<'_>,
) -> std::result::Result<Box<dyn ImageEncoder>, ModelError> {
    match find(architecture).and_then(|def| def.image) {
        Some(build) => build(backend, source),
        None => Err(unsupported(architecture, source.files, Modality::Image)),
    }
}

/// Whether the architecture called `architecture` reads texts with special tokens around them.
pub(crate) fn special_tokens(architecture: &str) -> SpecialTokens {
    find(architecture).map_or(SpecialTokens::Around, |def| def.special_tokens)
}

fn find(architecture: &str) -> Option<&'static EncoderDef> {
    ENCODERS.iter().find(|def| def.id == architecture).copied()
}

fn unsupported(architecture: &str, files: &ModelFiles, modality: Modality) -> ModelError {
    let supported: Vec<_> = ENCODERS.iter().filter(|def| def.reads(modality)).map(|def| def.id).collect();
    ModelError::Architecture {
        model: files.name(),
        architecture: architecture.to_owned(),
        supported: supported.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_under_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/encoders");
        let mut stems: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().replace('_', "-"))
            .filter(|stem| !["layers", "parity"].contains(&stem.as_str()))
            .collect();
        stems.sort();
        let mut ids: Vec<_> = ENCODERS.iter().map(|def| def.id.to_owned()).collect();
        ids.sort();
        assert_eq!(ids, stems);
    }
}
