//! One forward pass per architecture: over packed tokens for texts, over pixels for pictures.
//!
//! A new architecture is one file under `encoders/` and one line in [`ENCODERS`].

use candle_core::Tensor;
use tamis_core::Modality;

use crate::convolution::Size;
use crate::weights::Weights;
use crate::{ModelError, ModelFiles};

mod bert;
mod mobilenet_v2;

/// The tokens of several texts, one text after the other, without padding.
pub(crate) struct PackedTokens {
    /// Token ids, length `tokens`.
    pub(crate) ids: Vec<u32>,
    /// Place of each token in its text, length `tokens`.
    pub(crate) positions: Vec<u32>,
    /// First token and number of tokens of each text.
    pub(crate) spans: Vec<(usize, usize)>,
}

/// A forward pass for texts with its weights.
pub(crate) trait TextEncoder: Send + Sync {
    /// Vectors of the last layer, shape `(tokens, dim)`.
    fn forward(&self, tokens: &PackedTokens) -> candle_core::Result<Tensor>;
}

/// A forward pass for pictures with its weights.
pub(crate) trait ImageEncoder: Send + Sync {
    /// Length of a vector.
    fn dim(&self) -> usize;

    /// Vectors of the pictures, shape `(pictures, dim)`, from normalized pixels of shape `(pictures, size, 3)`. A
    /// picture's vector does not depend on the others.
    fn forward(&self, pixels: &[f32], size: Size, scratch: &mut Scratch) -> Vec<f32>;
}

/// Memory that one forward pass leaves to the next: allocating it anew costs page faults.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Input and output of a layer.
    pub(crate) maps: [Vec<f32>; 2],
    /// What lies between them.
    pub(crate) tiles: [Vec<f32>; 2],
}

/// An architecture: its name, and how to build it.
pub struct EncoderDef {
    /// `model_type` of the transformers library, or the manifest's `architecture`; the file name, with `_` for `-`.
    pub id: &'static str,
    build: Build,
}

/// How to build an encoder from its weights; `config.json` says the sizes of a text encoder.
enum Build {
    Text(BuildText),
    Image(BuildImage),
}

type BuildText = fn(&ModelFiles, &serde_json::Value, Weights<'_>) -> Result<Box<dyn TextEncoder>, ModelError>;
type BuildImage = fn(&Weights<'_>) -> Result<Box<dyn ImageEncoder>, ModelError>;

impl EncoderDef {
    /// What the architecture reads.
    #[must_use]
    pub fn modality(&self) -> Modality {
        match self.build {
            Build::Text(_) => Modality::Text,
            Build::Image(_) => Modality::Image,
        }
    }
}

impl std::fmt::Debug for EncoderDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncoderDef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Every architecture.
pub static ENCODERS: &[&EncoderDef] = &[&bert::DEF, &mobilenet_v2::DEF];

/// Builds the text encoder called `architecture`.
pub(crate) fn build_text(
    architecture: &str,
    files: &ModelFiles,
    config: &serde_json::Value,
    weights: Weights<'_>,
) -> Result<Box<dyn TextEncoder>, ModelError> {
    match find(architecture) {
        Some(Build::Text(build)) => build(files, config, weights),
        _ => Err(unsupported(architecture, files, Modality::Text)),
    }
}

/// Builds the image encoder called `architecture`.
pub(crate) fn build_image(
    architecture: &str,
    files: &ModelFiles,
    weights: &Weights<'_>,
) -> Result<Box<dyn ImageEncoder>, ModelError> {
    match find(architecture) {
        Some(Build::Image(build)) => build(weights),
        _ => Err(unsupported(architecture, files, Modality::Image)),
    }
}

fn find(architecture: &str) -> Option<&'static Build> {
    ENCODERS.iter().find(|def| def.id == architecture).map(|def| &def.build)
}

fn unsupported(architecture: &str, files: &ModelFiles, modality: Modality) -> ModelError {
    let supported: Vec<_> = ENCODERS.iter().filter(|def| def.modality() == modality).map(|def| def.id).collect();
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
            .collect();
        stems.sort();
        let mut ids: Vec<_> = ENCODERS.iter().map(|def| def.id.to_owned()).collect();
        ids.sort();
        assert_eq!(ids, stems);
    }
}
