//! Which model a name means, and the weights that the binary carries.

use std::path::Path;

use tamis_core::Modality;
use tamis_embed::{ModelFiles, catalog};

/// A model that was named and is not at hand.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no model `{name}`: expected a folder with config.json, tokenizer.json and model.safetensors, or one of {known}"
)]
pub struct NoSuchModel {
    /// What was asked for.
    pub name: String,
    /// The models that this binary carries.
    pub known: String,
}

/// The model used for texts where none is named.
pub const DEFAULT_TEXT_MODEL: &str = "all-minilm-l6-v2";

/// The model used for images where none is named.
pub const DEFAULT_IMAGE_MODEL: &str = "mobilenet-v2";

/// The model used where none is named.
#[must_use]
pub fn default_for(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => DEFAULT_TEXT_MODEL,
        Modality::Image => DEFAULT_IMAGE_MODEL,
    }
}

/// Finds the files of `name`: a model that the binary carries, or a folder (`./NAME` where both are there).
///
/// # Errors
/// When it is neither.
pub fn find(name: &str) -> Result<ModelFiles, NoSuchModel> {
    if let Some(files) = bundled().iter().find(|(id, _)| *id == name) {
        return Ok(ModelFiles::Bundled { name: files.0, files: files.1 });
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Ok(ModelFiles::Folder(path.to_owned()));
    }
    let known: Vec<&str> = bundled().iter().map(|(id, _)| *id).collect();
    let known = if known.is_empty() { "none (this build carries no model)".to_owned() } else { known.join(", ") };
    Err(NoSuchModel { name: name.to_owned(), known })
}

/// Models of the catalogue that this binary does not carry.
#[must_use]
pub fn not_bundled() -> Vec<&'static str> {
    let carried = |id: &str| bundled().iter().any(|(it, _)| *it == id);
    catalog::CATALOG.iter().map(|entry| entry.id).filter(|id| !carried(id)).collect()
}

/// File name and bytes of each file of a model.
type Files = &'static [(&'static str, &'static [u8])];

/// The models that this binary carries.
#[must_use]
pub fn bundled() -> &'static [(&'static str, Files)] {
    BUNDLED
}

#[cfg(feature = "bundled-models")]
macro_rules! file {
    ($model:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../../models/", $model, "/", $name)).as_slice())
    };
}

#[cfg(feature = "bundled-models")]
static BUNDLED: &[(&str, Files)] = &[
    (
        DEFAULT_TEXT_MODEL,
        &[
            file!("all-minilm-l6-v2", "model.toml"),
            file!("all-minilm-l6-v2", "config.json"),
            file!("all-minilm-l6-v2", "tokenizer.json"),
            file!("all-minilm-l6-v2", "model.safetensors"),
            file!("all-minilm-l6-v2", "LICENSE"),
            file!("all-minilm-l6-v2", "NOTICE"),
        ],
    ),
    (
        DEFAULT_IMAGE_MODEL,
        &[
            file!("mobilenet-v2", "model.toml"),
            file!("mobilenet-v2", "model.safetensors"),
            file!("mobilenet-v2", "LICENSE"),
            file!("mobilenet-v2", "NOTICE"),
        ],
    ),
];

#[cfg(not(feature = "bundled-models"))]
static BUNDLED: &[(&str, Files)] = &[];
