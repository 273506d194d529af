//! What the files of a model mean: `model.toml`, or the model's own configuration files.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{ModelError, ModelFiles};

/// How the vectors of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Mean over all tokens, special ones included.
    Mean,
    /// The first token.
    Cls,
    /// The largest value of each dimension.
    Max,
}

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum WeightsFormat {
    /// As published: F32, F16 or BF16.
    #[serde(rename = "plain")]
    Plain,
    /// int8 with one f16 scale per 64 numbers along the input dimension.
    #[serde(rename = "tamis-int8-g64")]
    Int8Group64,
}

/// The cosine at which two texts count as near-duplicates for this model, and how it was found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicate {
    /// Smallest cosine that counts.
    pub min_cosine: f32,
    /// What was measured, as one sentence.
    pub source: String,
}

/// What is to be known of a model besides its weights.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, equal to the folder's.
    pub id: String,
    /// What it is good for, one sentence.
    pub description: String,
    /// SPDX identifier.
    pub license: String,
    /// ISO 639-1 codes.
    pub languages: Vec<String>,
    /// Where it comes from, `organization/name`.
    pub repo: Option<String>,
    /// Commit of the repository.
    pub revision: Option<String>,
    /// `text`.
    pub modality: String,
    /// An id of [`crate::encoders::ENCODERS`].
    pub architecture: String,
    /// Length of a vector.
    pub dim: usize,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Whether the model is meant to be used with unit vectors. tamis always normalizes.
    pub normalize: bool,
    /// Most tokens of one text, special ones included; the rest of a text is not read.
    pub max_tokens: usize,
    /// File name of the weights.
    pub weights: String,
    /// How they are stored.
    pub weights_format: WeightsFormat,
    /// Threshold for near-duplicates, where somebody measured one.
    pub near_duplicate: Option<NearDuplicate>,
    /// SHA-256 of every file.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

impl Manifest {
    /// Parses a `model.toml`.
    ///
    /// # Errors
    /// When a key is missing, unknown or of the wrong type; the message names it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads `model.toml`, or infers a manifest from `config.json`, `modules.json`, `1_Pooling/config.json` and
    /// `sentence_bert_config.json`, as sentence-transformers writes them. Pooling is by the mean where nothing says
    /// otherwise.
    pub(crate) fn of(files: &ModelFiles) -> Result<Self, ModelError> {
        let config = files.require(
            "config.json",
            "a model folder in hub layout: config.json, tokenizer.json and model.safetensors",
        )?;
        let config: HubConfig = parse_json(files, "config.json", &config)?;
        let manifest = match files.read("model.toml")? {
            None => infer(files, &config)?,
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|error| files.malformed("model.toml", error))?;
                Self::parse(text).map_err(|error| files.malformed("model.toml", error))?
            }
        };
        manifest.check(&config).map_err(|reason| files.malformed("model.toml", reason))?;
        Ok(manifest)
    }

    /// Refuses what the model's own configuration contradicts, and numbers that make no sense.
    fn check(&self, config: &HubConfig) -> Result<(), String> {
        if self.dim != config.hidden_size {
            return Err(format!("dim is {}, config.json has hidden_size {}", self.dim, config.hidden_size));
        }
        if !(3..=config.max_position_embeddings).contains(&self.max_tokens) {
            let positions = config.max_position_embeddings;
            return Err(format!("max_tokens is {}, expected a number from 3 to {positions}", self.max_tokens));
        }
        match &self.near_duplicate {
            Some(it) if !(f32::MIN_POSITIVE..=1.0).contains(&it.min_cosine) => {
                Err(format!("min_cosine is {}, expected a number above 0 and at most 1", it.min_cosine))
            }
            _ => Ok(()),
        }
    }
}

/// `config.json` of the transformers library, as far as every architecture has it.
#[derive(Debug, Deserialize)]
struct HubConfig {
    model_type: String,
    hidden_size: usize,
    max_position_embeddings: usize,
}

/// `1_Pooling/config.json` of sentence-transformers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
}

#[derive(Debug, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

fn infer(files: &ModelFiles, config: &HubConfig) -> Result<Manifest, ModelError> {
    let pooling = match files.read("1_Pooling/config.json")? {
        None => Pooling::Mean,
        Some(bytes) => pooling(files, &parse_json(files, "1_Pooling/config.json", &bytes)?)?,
    };
    let sentence: Option<SentenceConfig> = match files.read("sentence_bert_config.json")? {
        None => None,
        Some(bytes) => Some(parse_json(files, "sentence_bert_config.json", &bytes)?),
    };
    let max_tokens = sentence.and_then(|it| it.max_seq_length).unwrap_or(config.max_position_embeddings);
    let name = files.name();
    let id = name.trim_end_matches('/').rsplit('/').next().unwrap_or(&name).to_owned();
    Ok(Manifest {
        id,
        description: format!("A {} model from a local folder.", config.model_type),
        license: "unknown".to_owned(),
        languages: Vec::new(),
        repo: None,
        revision: None,
        modality: "text".to_owned(),
        architecture: config.model_type.clone(),
        dim: config.hidden_size,
        pooling,
        normalize: true,
        max_tokens: max_tokens.min(config.max_position_embeddings),
        weights: "model.safetensors".to_owned(),
        weights_format: WeightsFormat::Plain,
        near_duplicate: None,
        sha256: BTreeMap::new(),
    })
}

fn pooling(files: &ModelFiles, config: &PoolingConfig) -> Result<Pooling, ModelError> {
    let modes = (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, config.pooling_mode_max_tokens);
    match modes {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::Cls),
        (false, false, true) => Ok(Pooling::Max),
        _ => Err(files.malformed("1_Pooling/config.json", "expected exactly one of the modes mean, cls and max")),
    }
}

fn parse_json<T: serde::de::DeserializeOwned>(files: &ModelFiles, file: &str, bytes: &[u8]) -> Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|error| files.malformed(file, error))
}
