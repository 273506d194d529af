//! From texts and pictures to vectors: manifests, weights, tokenizing, encoders, batching.
//!
//! [`TextModel::load`] takes the files of a model (a folder in hub layout, or bytes that the binary carries) and
//! [`TextModel::embed`] turns texts into vectors; [`ImageModel`] does the same for pictures. In between:
//!
//! 1. [`manifest`] says what the files mean: modality, architecture, input. It is read from `model.toml`, or inferred
//!    from the model's own files where there is none. [`catalog`] lists the models that tamis knows by name, [`hub`] finds
//!    those that were downloaded, and with the feature `hub` downloads them.
//! 2. `weights` reads safetensors in every number type that models come in, our own int8 layout among them.
//! 3. [`tokens`] tokenizes on all cores, never more of a text than the model reads: tokenizers of BERT's kind in one pass
//!    of our own, the others by the tokenizers library.
//! 4. [`encoders`] holds one forward pass per architecture. Texts are *packed*: the tokens of a batch stand one text
//!    after the other without padding, so nothing is computed for padding, no mask exists that could overflow, and no
//!    row depends on its batch-mates. Pictures of a batch have one size.
//! 5. `ops` holds the operations that encoders are written in, and the backends that compute them.
//!
//! A row's vector is bit-identical whatever its batch, its order and the number of threads. No candle type leaves this
//! crate.

pub mod manifest;

pub mod catalog;

pub mod hub;

mod files;

mod weights;

pub mod tokens;

mod ops;

pub mod encoders;

mod text_model;

mod image_model;

pub mod distill;

mod device;

mod products;

mod error;

pub use device::{Device, DeviceChoice, DeviceError, UnknownDevice};
pub use error::{EmbedError, HubError, ModelError};
pub use files::ModelFiles;
pub use image_model::ImageModel;
pub use manifest::{Manifest, modalities};
pub use products::DeviceProducts;
pub use text_model::{Encoded, TextModel};
