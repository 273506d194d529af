//! One forward pass per architecture, over packed tokens.
//!
//! A new architecture is one file under `encoders/` and one line in [`ENCODERS`].

use candle_core::Tensor;

use crate::weights::Weights;
use crate::{ModelError, ModelFiles};

mod bert;

/// The tokens of several texts, one text after the other, without padding.
pub(crate) struct PackedTokens {
    /// Token ids, length `tokens`.
    pub(crate) ids: Vec<u32>,
    /// Place of each token in its text, length `tokens`.
    pub(crate) positions: Vec<u32>,
    /// First token and number of tokens of each text.
    pub(crate) spans: Vec<(usize, usize)>,
}

/// A forward pass with its weights.
pub(crate) trait Encoder: Send + Sync {
    /// Vectors of the last layer, shape `(tokens, dim)`.
    fn forward(&self, tokens: &PackedTokens) -> candle_core::Result<Tensor>;
}

/// An architecture: its name in `config.json`, and how to build it.
pub struct EncoderDef {
    /// `model_type` of the transformers library; the file name, with `_` for `-`.
    pub id: &'static str,
    build: Build,
}

/// Builds an encoder from `config.json` and the weights.
type Build = fn(&ModelFiles, &serde_json::Value, Weights<'_>) -> Result<Box<dyn Encoder>, ModelError>;

impl std::fmt::Debug for EncoderDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncoderDef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Every architecture.
pub static ENCODERS: &[&EncoderDef] = &[&bert::DEF];

/// Builds the encoder called `architecture`.
pub(crate) fn build(
    architecture: &str,
    files: &ModelFiles,
    config: &serde_json::Value,
    weights: Weights<'_>,
) -> Result<Box<dyn Encoder>, ModelError> {
    let Some(def) = ENCODERS.iter().find(|def| def.id == architecture) else {
        let supported: Vec<_> = ENCODERS.iter().map(|def| def.id).collect();
        return Err(ModelError::Architecture {
            model: files.name(),
            architecture: architecture.to_owned(),
            supported: supported.join(", "),
        });
    };
    (def.build)(files, config, weights)
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
