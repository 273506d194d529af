//! What `config.json` says of the sizes of a model, architecture by architecture.
//!
//! Keys and defaults are those of the configuration classes of the transformers library
//! (`src/transformers/models/*/configuration_*.py`, release 4.57), of `nomic-bert-2048` for `nomic_bert`, and of model2vec
//! 0.6 for `model2vec`.

use tamis_core::{Filter, Modality};

use super::{Json, Pooling};
use crate::{ModelError, ModelFiles};

/// How a model for texts knows the place of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// By a table with one row per place, the first `reserved` of which no token uses: those of `RoBERTa` begin behind
    /// `pad_token_id`, which is 1.
    Table {
        /// Rows without a place.
        reserved: usize,
    },
    /// By rotating its vector: there is no table, and the limit is what the model was trained on.
    Rotary,
    /// Not at all.
    None,
}

/// An architecture as it stands in `config.json`.
#[derive(Debug)]
pub(super) struct Architecture {
    /// Our name for it.
    pub(super) id: &'static str,
    /// `model_type`.
    pub(super) model_type: &'static str,
    /// What it reads.
    pub(super) reads: &'static [Modality],
    /// Keys of the length of a vector, one per tower, all of which must agree; the default where the library has one.
    pub(super) dims: &'static [(&'static str, Option<usize>)],
    /// Key of the number of positions of a text, and its default.
    pub(super) n_positions: Option<(&'static str, Option<usize>)>,
    /// What a second form of the configuration calls the length of a vector and the number of positions.
    pub(super) renamed: Option<(&'static str, &'static str)>,
    /// What those are.
    pub(super) positions: Positions,
    /// Where nothing else says how tokens become one vector.
    pub(super) pooling: Pooling,
    /// Key and default of the side of a picture that the weights are for; `None` where they are for any.
    pub(super) side: Option<(&'static str, usize)>,
    /// Where `preprocessor_config.json` does not say how pictures are scaled.
    pub(super) filter: Filter,
}

/// A model for texts with a table of positions; the base of the entries below.
const TEXT: Architecture = Architecture {
    id: "",
    model_type: "",
    reads: &[Modality::Text],
    dims: &[("hidden_size", None)],
    n_positions: Some(("max_position_embeddings", None)),
    renamed: None,
    positions: Positions::Table { reserved: 0 },
    pooling: Pooling::Mean,
    side: None,
    filter: Filter::Bicubic,
};

/// A model for pictures; the base of the entries below.
const IMAGE: Architecture =
    Architecture { reads: &[Modality::Image], n_positions: None, positions: Positions::None, ..TEXT };

const BOTH: &[Modality] = &[Modality::Text, Modality::Image];

const AFTER_PADDING: Positions = Positions::Table { reserved: 2 };

/// Every architecture whose configuration is understood; some have no encoder yet.
pub(super) static ARCHITECTURES: &[Architecture] = &[
    Architecture { id: "bert", model_type: "bert", ..TEXT },
    Architecture { id: "roberta", model_type: "roberta", positions: AFTER_PADDING, ..TEXT },
    Architecture { id: "xlm-roberta", model_type: "xlm-roberta", positions: AFTER_PADDING, ..TEXT },
    Architecture { id: "mpnet", model_type: "mpnet", positions: AFTER_PADDING, ..TEXT },
    Architecture { id: "modernbert", model_type: "modernbert", positions: Positions::Rotary, ..TEXT },
    Architecture {
        id: "nomic-bert",
        model_type: "nomic_bert",
        dims: &[("n_embd", None)],
        n_positions: Some(("n_positions", None)),
        // transformers 5 has the architecture, and the usual keys.
        renamed: Some(("hidden_size", "max_position_embeddings")),
        positions: Positions::Rotary,
        ..TEXT
    },
    Architecture { id: "qwen3", model_type: "qwen3", positions: Positions::Rotary, pooling: Pooling::Last, ..TEXT },
    Architecture {
        id: "model2vec",
        model_type: "model2vec",
        dims: &[("hidden_dim", None)],
        n_positions: None,
        positions: Positions::None,
        ..TEXT
    },
    Architecture {
        id: "clip",
        model_type: "clip",
        reads: BOTH,
        dims: &[("projection_dim", Some(512))],
        n_positions: Some(("text_config.max_position_embeddings", Some(77))),
        pooling: Pooling::Last,
        side: Some(("vision_config.image_size", 224)),
        ..TEXT
    },
    Architecture {
        id: "siglip",
        model_type: "siglip",
        reads: BOTH,
        dims: &[("text_config.hidden_size", Some(768)), ("vision_config.hidden_size", Some(768))],
        n_positions: Some(("text_config.max_position_embeddings", Some(64))),
        pooling: Pooling::Last,
        side: Some(("vision_config.image_size", 224)),
        ..TEXT
    },
    Architecture { id: "dinov2", model_type: "dinov2", ..IMAGE },
    Architecture { id: "dinov2-with-registers", model_type: "dinov2_with_registers", ..IMAGE },
    Architecture { id: "vit", model_type: "vit", side: Some(("image_size", 224)), filter: Filter::Bilinear, ..IMAGE },
];

impl Architecture {
    /// The architecture that a manifest names.
    pub(super) fn of_id(id: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|it| it.id == id)
    }

    /// The architecture of `config.json`.
    pub(super) fn of_config(files: &ModelFiles, config: &Json<'_>) -> Result<&'static Self, ModelError> {
        let known = || {
            let types: Vec<String> = ARCHITECTURES.iter().map(|it| format!("`{}`", it.model_type)).collect();
            config.wrong("model_type", format!("one of {}", types.join(", ")))
        };
        let model_type = config.text("model_type")?.ok_or_else(known)?;
        ARCHITECTURES.iter().find(|it| it.model_type == model_type).ok_or_else(|| ModelError::Architecture {
            model: files.name(),
            architecture: model_type.to_owned(),
            supported: ARCHITECTURES.iter().map(|it| it.model_type).collect::<Vec<_>>().join(", "),
        })
    }

    /// Length of a vector, with the key that says it.
    pub(super) fn dim(&self, config: &Json<'_>) -> Result<(usize, &'static str), ModelError> {
        let (key, default) = self.dims[0];
        let key = key_of(config, key, self.renamed.map(|it| it.0));
        let dim = config.count(key, default)?;
        for (other, default) in &self.dims[1..] {
            if config.count(other, *default)? != dim {
                return Err(config.wrong(other, format!("{dim}, as {key} has it")));
            }
        }
        Ok((dim, key))
    }

    /// Most tokens that `config.json` allows for, with the key that says it; `None` where nothing limits them.
    pub(super) fn max_tokens(&self, config: &Json<'_>) -> Result<Option<(usize, &'static str)>, ModelError> {
        let Some((key, default)) = self.n_positions else { return Ok(None) };
        let key = key_of(config, key, self.renamed.map(|it| it.1));
        let rows = config.count(key, default)?;
        let reserved = match self.positions {
            Positions::Table { reserved } => reserved,
            Positions::Rotary | Positions::None => 0,
        };
        match rows.checked_sub(reserved).filter(|it| 0 < *it) {
            Some(max_tokens) => Ok(Some((max_tokens, key))),
            None => Err(config.wrong(key, format!("more than {reserved}"))),
        }
    }
}

/// `renamed` where it is there and `key` is not.
fn key_of(config: &Json<'_>, key: &'static str, renamed: Option<&'static str>) -> &'static str {
    renamed.filter(|renamed| config.get(key).is_none() && config.get(renamed).is_some()).unwrap_or(key)
}
