//! What can go wrong: loading a model, and running it.

use std::path::PathBuf;

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The folder lacks a file.
    #[error("model {model} has no {file}; expected {expected}")]
    MissingFile {
        /// Folder or name of the model.
        model: String,
        /// File name.
        file: String,
        /// What the file is and what may stand in for it.
        expected: String,
    },
    /// A file is there and cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("{file} of model {model} is not usable: {reason}")]
    Malformed {
        /// Folder or name of the model.
        model: String,
        /// File name.
        file: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// The architecture is not one of ours.
    #[error("model {model} has the architecture `{architecture}`; supported: {supported}")]
    Architecture {
        /// Folder or name of the model.
        model: String,
        /// `model_type` of its configuration.
        architecture: String,
        /// The architectures that there are.
        supported: String,
    },
    /// A weight is missing, or has another shape than the configuration says.
    #[error("weight {name}: expected shape {expected:?}, got {got}")]
    Weight {
        /// Tensor name.
        name: String,
        /// Shape by the configuration.
        expected: Vec<usize>,
        /// Shape found, or "nothing".
        got: String,
    },
    /// A weight has a number type that is not read.
    #[error("weight {name} has the number type {dtype}; expected F32, F16, BF16, or I8 with scales")]
    WeightType {
        /// Tensor name.
        name: String,
        /// Number type found.
        dtype: String,
    },
    /// candle failed while the weights were laid out.
    #[error("cannot lay out the weights")]
    Tensor(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(Box::new(error))
    }
}

/// A batch that could not be embedded: a bug or an exhausted resource, never bad data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The tokenizer failed.
    #[error("cannot tokenize text {index} of the batch")]
    Tokenize {
        /// Index in the batch.
        index: usize,
        /// What the tokenizer said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The forward pass failed.
    #[error("the forward pass failed on a batch of {n_texts} texts and {n_tokens} tokens")]
    Forward {
        /// Texts in the batch.
        n_texts: usize,
        /// Tokens in the batch.
        n_tokens: usize,
        /// What candle said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A picture has not the size of the others in the call.
    #[error("image {index} of the batch has {width} x {height} pixels in {n_bytes} bytes; expected {expected}")]
    ImageSize {
        /// Index in the call.
        index: usize,
        /// Its columns.
        width: u32,
        /// Its rows.
        height: u32,
        /// How many bytes its pixels are.
        n_bytes: usize,
        /// What would be right.
        expected: String,
    },
}
