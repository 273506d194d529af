//! What a folder in hub layout says of its model.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Input, Manifest, Pooling, TextInput, WeightsFormat};
use crate::{ModelError, ModelFiles};

/// `config.json` of the transformers library, as far as every architecture for texts has it.
#[derive(Debug, Deserialize)]
pub(super) struct HubConfig {
    model_type: String,
    hidden_size: usize,
    max_position_embeddings: usize,
}

impl HubConfig {
    pub(super) fn read(files: &ModelFiles) -> Result<Self, ModelError> {
        let file = "config.json";
        let expected = "a model folder in hub layout: config.json, tokenizer.json and model.safetensors";
        parse_json(files, file, &files.require(file, expected)?)
    }

    /// Refuses a manifest for texts that the model's own configuration contradicts.
    pub(super) fn check(&self, dim: usize, text: &TextInput) -> Result<(), String> {
        if dim != self.hidden_size {
            return Err(format!("dim is {dim}, config.json has hidden_size {}", self.hidden_size));
        }
        if !(3..=self.max_position_embeddings).contains(&text.max_tokens) {
            let (max_tokens, positions) = (text.max_tokens, self.max_position_embeddings);
            return Err(format!("max_tokens is {max_tokens}, expected a number from 3 to {positions}"));
        }
        Ok(())
    }
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

/// Infers a manifest from `config.json`, `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json`, as
/// sentence-transformers writes them. Pooling is by the mean where nothing says otherwise.
pub(super) fn infer(files: &ModelFiles, config: &HubConfig) -> Result<Manifest, ModelError> {
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
    let max_tokens = max_tokens.min(config.max_position_embeddings);
    Ok(Manifest {
        id,
        description: format!("A {} model from a local folder.", config.model_type),
        license: "unknown".to_owned(),
        repo: None,
        revision: None,
        architecture: config.model_type.clone(),
        dim: config.hidden_size,
        input: Input::Text(TextInput { languages: Vec::new(), pooling, max_tokens }),
        normalize: true,
        centered: false,
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
