//! What a folder in hub layout says of its model, and whether a manifest agrees with it.
//!
//! Read are the files of the transformers library (`config.json`, `tokenizer_config.json`, `preprocessor_config.json`), of
//! sentence-transformers 5 (`modules.json`, the folder of its module Pooling, `sentence_bert_config.json`,
//! `config_sentence_transformers.json`) and of model2vec (`config.json`). What they say and tamis does not do is an error.

use std::collections::BTreeMap;

use tamis_core::Modality;

use super::architectures::{Architecture, Positions};
use super::sentence::{self, Modules};
use super::{CONFIG, Json, Manifest, Pooling, TOKENIZER, TextInput, WeightsFormat, preprocessing};
use crate::{ModelError, ModelFiles};

/// Where `sentence_bert_config.json` says nothing and the tables have no rows: `StaticModel.encode` of model2vec cuts texts
/// to 512 tokens.
const MODEL2VEC_TOKENS: usize = 512;

/// sentence-transformers reads every token of a text by a `StaticEmbedding`. Chosen so that a text of some hundred kilobytes
/// is read whole, and one of megabytes costs no more than others.
const STATIC_TOKENS: usize = 32_768;

/// Infers a manifest from the model's own files.
pub(super) fn infer(files: &ModelFiles) -> Result<Manifest, ModelError> {
    match sentence::modules(files)? {
        Modules::Static { folder } => infer_static(files, &folder),
        Modules::Transformer { pooling } => {
            let expected = "a model folder in hub layout: config.json, tokenizer.json and model.safetensors";
            let config = Json::require(files, CONFIG, expected)?;
            let architecture = Architecture::of_config(files, &config)?;
            let (dim, key) = architecture.dim(&config)?;
            let mut manifest = bare(files, architecture.id, dim);
            if architecture.reads.contains(&Modality::Text) {
                let pooling = match pooling {
                    Some(folder) => sentence::pooling(files, &format!("{folder}/config.json"), dim, key)?,
                    None => architecture.pooling,
                };
                manifest.text = Some(text(files, architecture, &config, pooling)?);
            }
            if architecture.reads.contains(&Modality::Image) {
                manifest.image = Some(preprocessing::infer(files, architecture, &config)?);
            }
            Ok(manifest)
        }
    }
}

/// Refuses a manifest that the model's own configuration contradicts. Architectures whose sizes stand in the code have no
/// `config.json`, and tables of vectors need none.
pub(super) fn check(files: &ModelFiles, manifest: &Manifest) -> Result<(), ModelError> {
    let Some(architecture) = Architecture::of_id(&manifest.architecture) else { return Ok(()) };
    if !manifest.modalities().iter().all(|it| architecture.reads.contains(it)) {
        // Whoever builds its encoder says that there is none.
        return Ok(());
    }
    let config = match Json::read(files, CONFIG)? {
        Some(config) => config,
        None if architecture.id == "model2vec" => return Ok(()),
        None => Json::require(files, CONFIG, "the configuration of the transformers library")?,
    };
    let contradiction = |reason: String| Err(files.malformed("model.toml", reason));
    let found = Architecture::of_config(files, &config)?;
    if found.id != architecture.id {
        let (ours, theirs) = (architecture.id, found.model_type);
        return contradiction(format!("architecture is `{ours}`, config.json has model_type `{theirs}`"));
    }
    let (dim, key) = architecture.dim(&config)?;
    if manifest.dim != dim {
        return contradiction(format!("dim is {}, config.json has {key} {dim}", manifest.dim));
    }
    let limit = match architecture.positions {
        Positions::Table { .. } => architecture.max_tokens(&config)?,
        Positions::Rotary | Positions::None => None,
    };
    match (&manifest.text, limit) {
        (Some(text), Some((most, _))) if most < text.max_tokens => {
            contradiction(format!("max_tokens is {}, expected at most {most}", text.max_tokens))
        }
        _ => Ok(()),
    }
}

/// What every manifest without a `model.toml` has in common.
fn bare(files: &ModelFiles, architecture: &str, dim: usize) -> Manifest {
    let name = files.name();
    let id = name.trim_end_matches('/').rsplit('/').next().unwrap_or(&name).to_owned();
    Manifest {
        id,
        description: format!("A {architecture} model without a model.toml."),
        license: "unknown".to_owned(),
        repo: None,
        revision: None,
        derived_by: None,
        download_mb: None,
        architecture: architecture.to_owned(),
        dim,
        text: None,
        image: None,
        centered: false,
        weights: "model.safetensors".to_owned(),
        tokenizer: TOKENIZER.to_owned(),
        weights_format: WeightsFormat::Plain,
        near_duplicate: None,
        sha256: BTreeMap::new(),
    }
}

/// A table with one vector per token: model2vec's layout, which has a `config.json`, or sentence-transformers', which has
/// none.
fn infer_static(files: &ModelFiles, folder: &str) -> Result<Manifest, ModelError> {
    let weights = format!("{folder}model.safetensors");
    let (dim, max_tokens) = match Json::read(files, CONFIG)?.filter(|it| it.get("hidden_dim").is_some()) {
        Some(config) => {
            let architecture = Architecture::of_config(files, &config)?;
            (architecture.dim(&config)?.0, config.count("max_length", Some(MODEL2VEC_TOKENS))?)
        }
        None => (columns(files, &weights)?, STATIC_TOKENS),
    };
    let (prompts, prompt) = sentence::prompts(files)?;
    let tokenizer = format!("{folder}tokenizer.json");
    let max_tokens = sentence::max_tokens(files, &tokenizer)?.unwrap_or(max_tokens);
    let text = TextInput { languages: Vec::new(), pooling: Pooling::Mean, max_tokens, prompts, prompt };
    text.check().map_err(|reason| files.malformed(CONFIG, reason))?;
    Ok(Manifest { text: Some(text), weights, tokenizer, ..bare(files, "model2vec", dim) })
}

/// Length of the vectors of a table: `embedding.weight` of sentence-transformers, `embeddings` of model2vec.
fn columns(files: &ModelFiles, weights: &str) -> Result<usize, ModelError> {
    let header = files.safetensors_header(weights)?;
    let names = ["embedding.weight", "embeddings"];
    let shape = names.iter().find_map(|name| header.get(name)?.get("shape")?.as_array());
    let columns = shape.filter(|it| it.len() == 2).and_then(|it| it[1].as_u64());
    let columns = columns.and_then(|it| usize::try_from(it).ok());
    columns
        .ok_or_else(|| files.malformed(weights, "expected a tensor embedding.weight or embeddings of two dimensions"))
}

/// How a transformer reads texts.
fn text(
    files: &ModelFiles,
    architecture: &Architecture,
    config: &Json<'_>,
    pooling: Pooling,
) -> Result<TextInput, ModelError> {
    let limit = architecture.max_tokens(config)?;
    let (most, key) = limit.ok_or_else(|| config.wrong("max_position_embeddings", "a whole number above 0"))?;
    let max_tokens = match sentence::max_tokens(files, TOKENIZER)? {
        Some(asked) if most < asked && architecture.positions != Positions::Rotary => {
            let reason =
                format!("max_seq_length is {asked}, expected at most the {most} that {key} of config.json allows");
            return Err(files.malformed(sentence::LENGTH, reason));
        }
        Some(asked) => asked,
        None => {
            let tokenizer = Json::read(files, "tokenizer_config.json")?;
            tokenizer.and_then(|it| it.sane_length("model_max_length")).map_or(most, |it| it.min(most))
        }
    };
    let (prompts, prompt) = sentence::prompts(files)?;
    let text = TextInput { languages: Vec::new(), pooling, max_tokens, prompts, prompt };
    text.check().map_err(|reason| files.malformed(CONFIG, reason))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tamis_core::{Filter, Fit};

    use super::super::sentence::LENGTH;
    use super::super::testing::{BERT, CROPPED, SQUARE, error, of, text_of};
    use super::*;

    #[test]
    fn a_bare_transformer_is_pooled_by_the_mean_over_all_its_positions() {
        let manifest = of(&[BERT]).unwrap();
        assert_eq!((manifest.architecture.as_str(), manifest.dim), ("bert", 32));
        assert_eq!((manifest.weights.as_str(), manifest.tokenizer.as_str()), ("model.safetensors", "tokenizer.json"));
        assert_eq!(manifest.modalities(), [Modality::Text]);
        let text = manifest.text.unwrap();
        assert_eq!((text.pooling, text.max_tokens, text.prefix()), (Pooling::Mean, 64, ""));
    }

    #[test]
    fn the_longest_text_is_what_the_files_say() {
        let sentence = |n: &str| (LENGTH.to_owned(), format!(r#"{{"max_seq_length": {n}, "do_lower_case": false}}"#));
        let limited = |n: &str| {
            let (file, content) = sentence(n);
            text_of(&[BERT, (&file, &content), ("tokenizer_config.json", r#"{"model_max_length": 8}"#)]).max_tokens
        };
        assert_eq!((limited("48"), limited("null")), (48, 8), "sentence_bert_config.json is asked first");
        let huge = r#"{"model_max_length": 1000000000000000019884624838656}"#;
        assert_eq!(text_of(&[BERT, ("tokenizer_config.json", huge)]).max_tokens, 64);
        assert_eq!(text_of(&[BERT, ("tokenizer_config.json", r#"{"model_max_length": 512}"#)]).max_tokens, 64);
        let (file, content) = sentence("65");
        let expected = "sentence_bert_config.json: max_seq_length is 65, expected at most the 64 that \
                        max_position_embeddings of config.json allows";
        assert_eq!(error(&[BERT, (&file, &content)]), expected);
    }

    #[test]
    fn positions_behind_the_padding_are_not_counted() {
        for model_type in ["roberta", "xlm-roberta", "mpnet"] {
            let config = BERT.1.replace("bert", model_type);
            let text = text_of(&[(CONFIG, &config)]);
            assert_eq!((text.max_tokens, text.pooling), (62, Pooling::Mean), "{model_type}");
        }
        let config = BERT.1.replace("bert", "roberta").replace("64", "2");
        assert_eq!(error(&[(CONFIG, &config)]), "config.json: max_position_embeddings is 2, expected more than 2");
    }

    #[test]
    fn rotary_models_have_no_table_to_run_out_of() {
        let asked = (LENGTH, r#"{"max_seq_length": 8192}"#);
        let nomic = (CONFIG, r#"{"model_type": "nomic_bert", "n_embd": 32, "n_positions": 2048}"#);
        let manifest = of(&[nomic, asked]).unwrap();
        assert_eq!((manifest.architecture.as_str(), manifest.dim), ("nomic-bert", 32));
        assert_eq!(manifest.text.unwrap().max_tokens, 8192);
        let modern = BERT.1.replace("bert", "modernbert");
        assert_eq!(text_of(&[(CONFIG, &modern), asked]).max_tokens, 8192);
        let qwen = BERT.1.replace("bert", "qwen3");
        let text = text_of(&[(CONFIG, &qwen), ("tokenizer_config.json", r#"{"model_max_length": 131072}"#)]);
        assert_eq!((text.max_tokens, text.pooling), (64, Pooling::Last));
    }

    #[test]
    fn a_table_of_vectors_is_known_in_both_layouts() {
        let model2vec = (CONFIG, r#"{"model_type": "model2vec", "hidden_dim": 256, "normalize": true}"#);
        let modules = r#"[{"type": "sentence_transformers.models.StaticEmbedding", "path": "."}]"#;
        for files in [vec![model2vec], vec![model2vec, ("modules.json", modules)]] {
            let manifest = of(&files).unwrap();
            assert_eq!((manifest.architecture.as_str(), manifest.dim), ("model2vec", 256));
            assert_eq!((manifest.weights.as_str(), manifest.text.unwrap().max_tokens), ("model.safetensors", 512));
        }
        let header = r#"{"embedding.weight": {"dtype": "F32", "shape": [30522, 1024], "data_offsets": [0, 1]}}"#;
        let length = String::from_utf8((header.len() as u64).to_le_bytes().to_vec()).unwrap();
        let modules = modules.replace("\".\"", "\"0_StaticEmbedding\"");
        let weights = length + header;
        let files = [("modules.json", modules.as_str()), ("0_StaticEmbedding/model.safetensors", weights.as_str())];
        let manifest = of(&files).unwrap();
        assert_eq!(manifest.dim, 1024);
        assert_eq!(manifest.tokenizer, "0_StaticEmbedding/tokenizer.json");
        assert_eq!(manifest.weights, "0_StaticEmbedding/model.safetensors");
        let other = weights.replace("embedding.weight", "embedding.other!");
        let expected =
            "0_StaticEmbedding/model.safetensors: expected a tensor embedding.weight or embeddings of two dimensions";
        assert_eq!(error(&[files[0], (files[1].0, &other)]), expected);
        let missing = error(&files[..1]);
        assert!(
            missing.ends_with("has no 0_StaticEmbedding/model.safetensors; expected the weights in safetensors format")
        );
    }

    #[test]
    fn models_with_two_towers_serve_both() {
        let clip = r#"{"model_type": "clip", "projection_dim": 48, "text_config": {"hidden_size": 32,
            "max_position_embeddings": 12}, "vision_config": {"hidden_size": 64, "image_size": 224}}"#;
        let preprocessor = ("preprocessor_config.json", CROPPED);
        let manifest = of(&[(CONFIG, clip), preprocessor]).unwrap();
        assert_eq!((manifest.dim, manifest.modalities()), (48, vec![Modality::Text, Modality::Image]));
        let (text, image) = (manifest.text.unwrap(), manifest.image.unwrap());
        assert_eq!((text.max_tokens, text.pooling), (12, Pooling::Last));
        assert_eq!((image.sizes, image.fit, image.filter), (vec![224], Fit::CenterCrop, Filter::Bicubic));
        let expected =
            "preprocessor_config.json: the side of pictures is 224, vision_config.image_size of config.json is 336";
        assert_eq!(error(&[(CONFIG, &clip.replace("224", "336")), preprocessor]), expected);
        // As published: sizes are left to the defaults of the library.
        let siglip = r#"{"model_type": "siglip", "text_config": {"model_type": "siglip_text_model"}}"#;
        let manifest = of(&[(CONFIG, siglip), ("preprocessor_config.json", SQUARE)]).unwrap();
        assert_eq!((manifest.dim, manifest.text.unwrap().max_tokens), (768, 64));
        assert_eq!(manifest.image.unwrap().fit, Fit::Stretch);
        let uneven = r#"{"model_type": "siglip", "text_config": {"hidden_size": 512}}"#;
        let got = error(&[(CONFIG, uneven), ("preprocessor_config.json", SQUARE)]);
        assert_eq!(
            got,
            "config.json: there is no vision_config.hidden_size, expected 512, as text_config.hidden_size has it"
        );
        let missing = error(&[(CONFIG, siglip)]);
        assert!(
            missing
                .ends_with("has no preprocessor_config.json; expected the preprocessing of the transformers library")
        );
    }

    #[test]
    fn a_manifest_that_the_configuration_contradicts_is_refused() {
        let toml = include_str!("../../../../models/gte-small/model.toml").replace("dim = 384", "dim = 32");
        let with = |from: &str, to: &str| {
            assert!(toml.contains(from), "{from}");
            error(&[BERT, ("model.toml", &toml.replace(from, to))])
        };
        assert_eq!(with("dim = 32", "dim = 48"), "model.toml: dim is 48, config.json has hidden_size 32");
        let got = with("max_tokens = 512", "max_tokens = 65");
        assert_eq!(got, "model.toml: max_tokens is 65, expected at most 64");
        let got = with("architecture = \"bert\"", "architecture = \"mpnet\"");
        assert_eq!(got, "model.toml: architecture is `mpnet`, config.json has model_type `bert`");
        let manifest = of(&[BERT, ("model.toml", &toml.replace("= 512", "= 64"))]).unwrap();
        assert_eq!(manifest.id, "gte-small");
    }
}
