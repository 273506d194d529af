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
    /// A weight is missing, or is not what the configuration says.
    #[error("{file} of model {model}, weight {name}: expected {expected}, got {got}")]
    Weight {
        /// Folder or name of the model.
        model: String,
        /// File name.
        file: String,
        /// Tensor name.
        name: String,
        /// Shape, number type or range by the configuration.
        expected: String,
        /// What was found, or "nothing".
        got: String,
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

/// A model that cannot be had from the hub, or is not what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// This build cannot download.
    #[error("{repo} cannot be pulled: this build has no feature `hub`")]
    NotBuilt {
        /// `organization/name`.
        repo: String,
    },
    /// The user asked for no network.
    #[error("{repo} cannot be pulled: HF_HUB_OFFLINE is set")]
    Offline {
        /// `organization/name`.
        repo: String,
    },
    /// Nobody says where downloads are kept.
    #[error("there is no place to keep models: expected one of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME")]
    NoCache,
    /// Not the name of a repository.
    #[error("`{name}` is not a repository of the hub, expected ORGANIZATION/NAME")]
    NoRepo {
        /// What was given.
        name: String,
    },
    /// The hub did not give what was asked for.
    #[error("cannot fetch {what} of {repo}")]
    Fetch {
        /// `organization/name`.
        repo: String,
        /// A file, or what else was asked for.
        what: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The repository has no weights that tamis reads.
    #[error("{repo} has no model.safetensors, found {found}")]
    NoWeights {
        /// `organization/name`.
        repo: String,
        /// The files of weights that are there.
        found: String,
    },
    /// A file is not the one that was pinned.
    #[error("{file} of {model} has the SHA-256 {got}, expected {expected} ({source_of_pin})")]
    Mismatch {
        /// Name of the model.
        model: String,
        /// File name.
        file: String,
        /// Where the expected hash stands.
        source_of_pin: String,
        /// Hash pinned.
        expected: String,
        /// Hash found.
        got: String,
    },
    /// A file is not the one that the hub has; it was removed.
    #[error("{file} of {repo} was damaged on its way, or in the cache, and was removed")]
    Damaged {
        /// `organization/name`.
        repo: String,
        /// File name.
        file: String,
    },
    /// A file that was pinned is not there.
    #[error("{model} has no {file}, which {source_of_pin} lists")]
    Missing {
        /// Name of the model.
        model: String,
        /// File name.
        file: String,
        /// Where it is listed.
        source_of_pin: String,
    },
    /// A lock that says nothing.
    #[error("{path} is not a lock of tamis: {reason}")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
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
    /// The forward pass failed on pictures.
    #[error("the forward pass failed on a batch of {n_images} images")]
    ForwardImages {
        /// Pictures in the batch.
        n_images: usize,
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
