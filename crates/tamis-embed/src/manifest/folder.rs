//! What a folder in hub layout says of its model, and whether a manifest agrees with it.
//!
//! Read are the files of the transformers library (`config.json`, `tokenizer_config.json`, `preprocessor_config.json`), of
//! sentence-transformers 5 (`modules.json`, the folder of its module Pooling, `sentence_bert_config.json`,
//! `config_sentence_transformers.json`) and of model2vec (`config.json`). What they say and tamis does not do is an error.

use std::collections::BTreeMap;

use serde_json::Value;
use tamis_core::Modality;

use super::architectures::{Architecture, Positions};
use super::json::Flag;
use super::{Json, Manifest, Pooling, TextInput, WeightsFormat, preprocessing, tokenizer_json};
use crate::{ModelError, ModelFiles};

const CONFIG: &str = "config.json";

const SENTENCE: &str = "sentence_bert_config.json";

/// Where `sentence_bert_config.json` says nothing and the tables have no rows: `StaticModel.encode` of model2vec cuts texts
/// to 512 tokens.
const MODEL2VEC_TOKENS: usize = 512;

/// sentence-transformers reads every token of a text by a `StaticEmbedding`. Chosen so that a text of some hundred kilobytes
/// is read whole, and one of megabytes costs no more than others.
const STATIC_TOKENS: usize = 32_768;

/// Least tokens that a model may read: a text between two special ones.
const LEAST_TOKENS: usize = 3;

/// What `modules.json` says.
#[derive(Debug, PartialEq, Eq)]
enum Modules {
    /// A transformer, pooled by what lies in `pooling`, a folder.
    Transformer { pooling: Option<String>, normalize: bool },
    /// One vector per token in `folder`, which ends in `/` or is empty.
    Static { folder: String, normalize: bool },
}

/// Infers a manifest from the model's own files.
pub(super) fn infer(files: &ModelFiles) -> Result<Manifest, ModelError> {
    match modules(files)? {
        Modules::Static { folder, normalize } => infer_static(files, &folder, normalize),
        Modules::Transformer { pooling, normalize } => {
            let expected = "a model folder in hub layout: config.json, tokenizer.json and model.safetensors";
            let config = Json::require(files, CONFIG, expected)?;
            let architecture = Architecture::of_config(files, &config)?;
            let (dim, key) = architecture.dim(&config)?;
            let mut manifest = bare(files, architecture.id, dim, normalize);
            if architecture.reads.contains(&Modality::Text) {
                let pooling = match pooling {
                    Some(folder) => pooling_of(files, &format!("{folder}/config.json"), dim, key)?,
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
        (Some(text), Some((most, _))) if !(LEAST_TOKENS..=most).contains(&text.max_tokens) => {
            contradiction(format!("max_tokens is {}, expected a number from {LEAST_TOKENS} to {most}", text.max_tokens))
        }
        _ => Ok(()),
    }
}

/// What every manifest without a `model.toml` has in common.
fn bare(files: &ModelFiles, architecture: &str, dim: usize, normalize: bool) -> Manifest {
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
        normalize,
        centered: false,
        weights: "model.safetensors".to_owned(),
        tokenizer: tokenizer_json(),
        weights_format: WeightsFormat::Plain,
        near_duplicate: None,
        sha256: BTreeMap::new(),
    }
}

/// A table with one vector per token: model2vec's layout, which has a `config.json`, or sentence-transformers', which has
/// none.
fn infer_static(files: &ModelFiles, folder: &str, normalize: bool) -> Result<Manifest, ModelError> {
    let weights = format!("{folder}model.safetensors");
    let (dim, max_tokens) = match Json::read(files, CONFIG)?.filter(|it| it.get("hidden_dim").is_some()) {
        Some(config) => {
            let architecture = Architecture::of_config(files, &config)?;
            let max_tokens = config.get("max_length").and_then(|it| usize::try_from(it.as_u64()?).ok());
            (architecture.dim(&config)?.0, max_tokens.unwrap_or(MODEL2VEC_TOKENS))
        }
        None => (columns(files, &weights)?, STATIC_TOKENS),
    };
    let (prompts, prompt) = prompts(files)?;
    let max_tokens = sentence_tokens(files)?.unwrap_or(max_tokens);
    let text = TextInput { languages: Vec::new(), pooling: Pooling::Mean, max_tokens, prompts, prompt };
    let tokenizer = format!("{folder}tokenizer.json");
    Ok(Manifest { text: Some(text), weights, tokenizer, ..bare(files, "model2vec", dim, normalize) })
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

/// The modules of sentence-transformers, in the orders that tamis can do; a plain transformer where there is no list.
fn modules(files: &ModelFiles) -> Result<Modules, ModelError> {
    let file = "modules.json";
    let Some(json) = Json::read(files, file)? else {
        let has_pooling = files.read("1_Pooling/config.json")?.is_some();
        let pooling = has_pooling.then(|| "1_Pooling".to_owned());
        let is_static = match Json::read(files, CONFIG)? {
            Some(config) => config.text("model_type")? == Some("model2vec"),
            None => false,
        };
        return Ok(match is_static {
            true => Modules::Static { folder: String::new(), normalize: true },
            false => Modules::Transformer { pooling, normalize: true },
        });
    };
    let wrong = |reason: String| files.malformed(file, reason);
    let mut found = Vec::new();
    for module in json.root().as_array().ok_or_else(|| wrong("expected a list of modules".to_owned()))? {
        let word = |key: &str| module.get(key).and_then(Value::as_str);
        let kind = word("type").ok_or_else(|| wrong(format!("module {} has no type", found.len())))?;
        let path = word("path").unwrap_or_default().trim_start_matches("./").trim_matches('/');
        found.push((kind.rsplit('.').next().unwrap_or(kind), if path == "." { "" } else { path }));
    }
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| *kind).collect();
    let known = ["Transformer", "Pooling", "Normalize", "StaticEmbedding"];
    if let Some(at) = kinds.iter().position(|it| !known.contains(it)) {
        let known = known.join(", ");
        return Err(wrong(format!("module {at} is `{}`, supported are {known}", kinds[at])));
    }
    let normalize = kinds.last() == Some(&"Normalize");
    match kinds.strip_suffix(&["Normalize"]).unwrap_or(&kinds) {
        ["Transformer", "Pooling"] if found[0].1.is_empty() => {
            Ok(Modules::Transformer { pooling: Some(found[1].1.to_owned()), normalize })
        }
        ["Transformer", "Pooling"] => Err(wrong(format!(
            "path of the module Transformer is `{}`, expected the model's folder itself",
            found[0].1
        ))),
        ["StaticEmbedding"] => {
            let folder = found[0].1;
            let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            Ok(Modules::Static { folder, normalize })
        }
        _ => Err(wrong(format!(
            "modules are {}, expected Transformer and Pooling, or StaticEmbedding, with or without Normalize at the end",
            kinds.join(", ")
        ))),
    }
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
    let max_tokens = match sentence_tokens(files)? {
        Some(asked) if most < asked && architecture.positions != Positions::Rotary => {
            let reason =
                format!("max_seq_length is {asked}, expected at most the {most} that {key} of config.json allows");
            return Err(files.malformed(SENTENCE, reason));
        }
        Some(asked) => asked,
        None => {
            let tokenizer = Json::read(files, "tokenizer_config.json")?;
            tokenizer.and_then(|it| it.sane_length("model_max_length")).map_or(most, |it| it.min(most))
        }
    };
    if max_tokens < LEAST_TOKENS {
        let reason = format!("a text may have {max_tokens} tokens, expected at least {LEAST_TOKENS}");
        return Err(files.malformed(CONFIG, reason));
    }
    let (prompts, prompt) = prompts(files)?;
    Ok(TextInput { languages: Vec::new(), pooling, max_tokens, prompts, prompt })
}

/// `max_seq_length` of `sentence_bert_config.json`, where there is one.
fn sentence_tokens(files: &ModelFiles) -> Result<Option<usize>, ModelError> {
    let Some(json) = Json::read(files, SENTENCE)? else { return Ok(None) };
    if json.flag("do_lower_case", Flag::Off)? && !lowercases(files)? {
        return Err(json.wrong("do_lower_case", "false, since tokenizer.json keeps upper case"));
    }
    match json.get("max_seq_length") {
        None => Ok(None),
        Some(_) => json.count("max_seq_length", None).map(Some),
    }
}

/// Whether the tokenizer makes letters lower case by itself.
fn lowercases(files: &ModelFiles) -> Result<bool, ModelError> {
    fn is_lower(normalizer: &Value) -> bool {
        let kind = normalizer.get("type").and_then(Value::as_str);
        match kind {
            Some("Lowercase") => true,
            Some("BertNormalizer") => normalizer.get("lowercase") == Some(&Value::Bool(true)),
            Some("Sequence") => {
                normalizer.get("normalizers").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_lower))
            }
            _ => false,
        }
    }
    let json = Json::read(files, "tokenizer.json")?;
    Ok(json.as_ref().and_then(|it| it.get("normalizer")).is_some_and(is_lower))
}

/// The prompts of `config_sentence_transformers.json`, less empty ones, and the default among them.
fn prompts(files: &ModelFiles) -> Result<(BTreeMap<String, String>, Option<String>), ModelError> {
    let Some(json) = Json::read(files, "config_sentence_transformers.json")? else { return Ok(Default::default()) };
    let mut prompts = BTreeMap::new();
    let table = match json.get("prompts") {
        None => None,
        Some(value) => Some(value.as_object().ok_or_else(|| json.wrong("prompts", "names and texts"))?),
    };
    for (name, text) in table.into_iter().flatten() {
        let text = text.as_str().ok_or_else(|| json.wrong("prompts", "names and texts"))?;
        prompts.insert(name.clone(), text.to_owned());
    }
    let default = match json.text("default_prompt_name")? {
        Some(name) if !prompts.contains_key(name) => {
            return Err(
                json.wrong("default_prompt_name", format!("one of the prompts: {}", super::known(prompts.keys())))
            );
        }
        name => name.map(str::to_owned),
    };
    prompts.retain(|_, text| !text.is_empty());
    let default = default.filter(|name| prompts.contains_key(name));
    Ok((prompts, default))
}

/// Pooling by the configuration of the module Pooling; `dim_key` of `config.json` says `dim`.
fn pooling_of(files: &ModelFiles, file: &str, dim: usize, dim_key: &str) -> Result<Pooling, ModelError> {
    let json = Json::require(files, file, "the pooling that modules.json names")?;
    for key in ["word_embedding_dimension", "embedding_dimension"] {
        if json.get(key).is_some() && json.count(key, None)? != dim {
            return Err(json.wrong(key, format!("{dim}, as {dim_key} of config.json has it")));
        }
    }
    if !json.flag("include_prompt", Flag::On)? {
        return Err(json.wrong("include_prompt", "true"));
    }
    let one_of = "cls, lasttoken, max or mean";
    // Release 5.4 and later write a word, or several joined by `_`; earlier ones a flag for each.
    if let Some(mode) = json.text("pooling_mode")? {
        return mode_of(mode).ok_or_else(|| json.wrong("pooling_mode", one_of));
    }
    let mut modes = Vec::new();
    let all = ["cls_token", "lasttoken", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens"];
    for name in all {
        if json.flag(&format!("pooling_mode_{name}"), Flag::Off)? {
            modes.push(name);
        }
    }
    let mode = match modes[..] {
        [mode] => mode_of(mode.trim_end_matches("_tokens").trim_end_matches("_token")),
        _ => None,
    };
    let found = if modes.is_empty() { "none".to_owned() } else { modes.join(" and ") };
    mode.ok_or_else(|| files.malformed(file, format!("pooling modes are {found}, expected one of {one_of}")))
}

fn mode_of(mode: &str) -> Option<Pooling> {
    match mode {
        "mean" => Some(Pooling::Mean),
        "cls" => Some(Pooling::Cls),
        "max" => Some(Pooling::Max),
        "lasttoken" => Some(Pooling::Last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tamis_core::{Filter, Fit};

    use super::super::ImageInput;
    use super::*;

    const BERT: (&str, &str) = (CONFIG, r#"{"model_type": "bert", "hidden_size": 32, "max_position_embeddings": 64}"#);

    const MODULES: (&str, &str) = (
        "modules.json",
        r#"[{"type": "sentence_transformers.models.Transformer", "path": ""},
            {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
            {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]"#,
    );

    const CLS: (&str, &str) = (
        "1_Pooling/config.json",
        r#"{"word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
    );

    /// `preprocessor_config.json` of CLIP.
    const CROPPED: &str = r#"{"do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "resample": 3,
        "size": {"shortest_edge": 224}, "rescale_factor": 0.00392156862745098,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;

    const SQUARE: &str = r#"{"do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

    /// Reads a folder with these files.
    fn of(files: &[(&str, &str)]) -> Result<Manifest, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Manifest::of(&ModelFiles::Folder(folder.path().to_owned()))
    }

    fn text_of(files: &[(&str, &str)]) -> TextInput {
        of(files).unwrap().text.unwrap()
    }

    fn image_of(config: &str, preprocessor: &str) -> ImageInput {
        of(&[(CONFIG, config), ("preprocessor_config.json", preprocessor)]).unwrap().image.unwrap()
    }

    /// What is wrong with a folder, from the name of the file on.
    #[track_caller]
    fn error(files: &[(&str, &str)]) -> String {
        let error = of(files).unwrap_err().to_string();
        match error.split_once(" of model ") {
            Some((file, rest)) => format!("{file}: {}", rest.split_once(" is not usable: ").unwrap().1),
            None => error,
        }
    }

    #[test]
    fn a_bare_transformer_is_pooled_by_the_mean_over_all_its_positions() {
        let manifest = of(&[BERT]).unwrap();
        assert_eq!((manifest.architecture.as_str(), manifest.dim, manifest.normalize), ("bert", 32, true));
        assert_eq!((manifest.weights.as_str(), manifest.tokenizer.as_str()), ("model.safetensors", "tokenizer.json"));
        assert_eq!(manifest.modalities(), [Modality::Text]);
        let text = manifest.text.unwrap();
        assert_eq!((text.pooling, text.max_tokens, text.prefix()), (Pooling::Mean, 64, ""));
    }

    #[test]
    fn modules_say_pooling_and_normalization() {
        let manifest = of(&[BERT, MODULES, CLS]).unwrap();
        assert_eq!((manifest.text.unwrap().pooling, manifest.normalize), (Pooling::Cls, true));
        let elsewhere = MODULES.1.replace("1_Pooling", "7_Pool").replace(
            ",\n            {\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}",
            "",
        );
        let manifest = of(&[BERT, ("modules.json", &elsewhere), ("7_Pool/config.json", CLS.1)]).unwrap();
        assert_eq!((manifest.text.unwrap().pooling, manifest.normalize), (Pooling::Cls, false));
    }

    #[test]
    fn pooling_is_read_as_flags_and_as_a_word() {
        for (config, expected) in [
            (r#"{"pooling_mode_mean_tokens": true}"#, Pooling::Mean),
            (r#"{"pooling_mode_max_tokens": true, "pooling_mode_cls_token": false}"#, Pooling::Max),
            (r#"{"pooling_mode_lasttoken": true, "include_prompt": true}"#, Pooling::Last),
            (r#"{"embedding_dimension": 32, "pooling_mode": "lasttoken"}"#, Pooling::Last),
            (r#"{"pooling_mode": "cls"}"#, Pooling::Cls),
        ] {
            assert_eq!(text_of(&[BERT, MODULES, ("1_Pooling/config.json", config)]).pooling, expected, "{config}");
        }
    }

    #[test]
    fn what_pooling_cannot_be_is_an_error() {
        let pooled = |config: &str| error(&[BERT, MODULES, ("1_Pooling/config.json", config)]);
        for (config, expected) in [
            ("{}", "pooling modes are none, expected one of cls, lasttoken, max or mean"),
            (
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
                "pooling modes are cls_token and mean_tokens, expected one of cls, lasttoken, max or mean",
            ),
            (
                r#"{"pooling_mode_weightedmean_tokens": true}"#,
                "pooling modes are weightedmean_tokens, expected one of cls, lasttoken, max or mean",
            ),
            (r#"{"pooling_mode": "mean_sqrt_len_tokens"}"#, "pooling_mode is \"mean_sqrt_len_tokens\", expected cls,"),
            (r#"{"pooling_mode_mean_tokens": 1}"#, "pooling_mode_mean_tokens is 1, expected true or false"),
            (
                r#"{"pooling_mode_mean_tokens": true, "word_embedding_dimension": 48}"#,
                "word_embedding_dimension is 48, expected 32, as hidden_size of config.json has it",
            ),
            (
                r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#,
                "include_prompt is false, expected true",
            ),
        ] {
            let got = pooled(config);
            assert!(got.starts_with(&format!("1_Pooling/config.json: {expected}")), "{config}: {got}");
        }
        let missing = error(&[BERT, MODULES]);
        assert!(
            missing.ends_with("has no 1_Pooling/config.json; expected the pooling that modules.json names"),
            "{missing}"
        );
    }

    #[test]
    fn modules_that_are_not_done_are_named() {
        let modules = |from: &str, to: &str| error(&[BERT, CLS, ("modules.json", &MODULES.1.replace(from, to))]);
        let dense = modules("models.Normalize", "models.Dense");
        let supported = "supported are Transformer, Pooling, Normalize, StaticEmbedding";
        assert_eq!(dense, format!("modules.json: module 2 is `Dense`, {supported}"));
        let order = modules("models.Transformer", "models.Normalize");
        let expected = "modules.json: modules are Normalize, Pooling, Normalize, expected Transformer and Pooling, or \
                        StaticEmbedding, with or without Normalize at the end";
        assert_eq!(order, expected);
        let path = modules(r#""path": """#, r#""path": "0_Transformer""#);
        assert!(
            path.ends_with("path of the module Transformer is `0_Transformer`, expected the model's folder itself")
        );
        assert_eq!(error(&[BERT, ("modules.json", "{}")]), "modules.json: expected a list of modules");
        assert_eq!(error(&[BERT, ("modules.json", "[{}]")]), "modules.json: module 0 has no type");
    }

    #[test]
    fn the_longest_text_is_what_the_files_say() {
        let sentence = |n: &str| (SENTENCE.to_owned(), format!(r#"{{"max_seq_length": {n}, "do_lower_case": false}}"#));
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
        let asked = (SENTENCE, r#"{"max_seq_length": 8192}"#);
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
    fn lower_case_that_the_tokenizer_does_not_make_is_an_error() {
        let lower = (SENTENCE, r#"{"do_lower_case": true}"#);
        let expected =
            "sentence_bert_config.json: do_lower_case is true, expected false, since tokenizer.json keeps upper case";
        assert_eq!(error(&[BERT, lower]), expected);
        let keeps = ("tokenizer.json", r#"{"normalizer": {"type": "BertNormalizer", "lowercase": false}}"#);
        assert_eq!(error(&[BERT, lower, keeps]), expected);
        let sequence =
            r#"{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}}"#;
        assert_eq!(text_of(&[BERT, lower, ("tokenizer.json", sequence)]).max_tokens, 64);
    }

    #[test]
    fn prompts_are_kept_and_the_default_is_put_before_samples() {
        let file = "config_sentence_transformers.json";
        let prompts = r#"{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}"#;
        let text = text_of(&[BERT, (file, prompts)]);
        assert_eq!((text.prefix(), text.prompts.len()), ("query: ", 1), "an empty prompt is none");
        let none = prompts.replace("\"query\"}", "null}");
        assert_eq!(text_of(&[BERT, (file, &none)]).prefix(), "");
        let empty = prompts.replace("\"query\"}", "\"document\"}");
        assert_eq!(text_of(&[BERT, (file, &empty)]).prompt, None);
        let unknown = prompts.replace("\"query\"}", "\"passage\"}");
        let expected = "default_prompt_name is \"passage\", expected one of the prompts: `document`, `query`";
        assert_eq!(error(&[BERT, (file, &unknown)]), format!("{file}: {expected}"));
        let got = error(&[BERT, (file, r#"{"prompts": {"query": 1}}"#)]);
        assert_eq!(got, format!("{file}: prompts is {{\"query\":1}}, expected names and texts"));
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
        assert_eq!((manifest.dim, manifest.normalize), (1024, false));
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
    fn preprocessing_becomes_fit_and_filter() {
        let dino = r#"{"model_type": "dinov2", "hidden_size": 384, "image_size": 518}"#;
        let image = image_of(dino, &CROPPED.replace(r#"{"shortest_edge": 224}"#, r#"{"shortest_edge": 256}"#));
        assert_eq!((image.sizes, image.fit, image.filter), (vec![224], Fit::InnerCrop(256), Filter::Bicubic));
        assert_eq!(image.mean, [0.481_454_66, 0.457_827_5, 0.408_210_73]);
        let registers = dino.replace("dinov2", "dinov2_with_registers");
        assert_eq!(image_of(&registers, CROPPED).fit, Fit::CenterCrop);
        let vit = r#"{"model_type": "vit", "hidden_size": 768}"#;
        let image = image_of(vit, SQUARE);
        assert_eq!((image.fit, image.filter, image.std), (Fit::Stretch, Filter::Bilinear, [0.5; 3]));
        // Files of older releases: numbers alone.
        let old = r#"{"size": 224, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        assert_eq!(image_of(vit, old), image);
        let old = old.replace("224,", "224, \"do_center_crop\": true, \"crop_size\": 224,");
        assert_eq!(image_of(vit, &old).fit, Fit::CenterCrop);
        let raw = image_of(vit, r#"{"size": 224, "do_normalize": false}"#);
        assert_eq!((raw.mean, raw.std), ([0.0; 3], [1.0; 3]));
    }

    #[test]
    fn preprocessing_that_is_not_done_is_named() {
        let vit = (CONFIG, r#"{"model_type": "vit", "hidden_size": 768}"#);
        for (base, from, to, expected) in [
            (SQUARE, "\"resample\": 2", "\"resample\": 1", "resample is 1, expected 2 (bilinear) or 3 (bicubic)"),
            (SQUARE, "\"do_resize\": true", "\"do_resize\": false", "do_resize is false, expected true"),
            (
                SQUARE,
                "\"width\": 224",
                "\"width\": 160",
                "size is {\"height\":224,\"width\":160}, expected a number of",
            ),
            (SQUARE, "\"resample\": 2", "\"rescale_factor\": 0.0078125", "rescale_factor is 0.0078125, expected 1/255"),
            (SQUARE, "\"image_mean\": [0.5, 0.5, 0.5]", "\"image_mean\": [0.5]", "image_mean is [0.5], expected three"),
            (SQUARE, "\"image_mean\": [0.5, 0.5, 0.5], ", "", "there is no image_mean, expected three numbers"),
            (
                SQUARE,
                "[0.5, 0.5, 0.5]",
                "[127.5, 127.5, 127.5]",
                "mean is [127.5, 127.5, 127.5], expected numbers from",
            ),
            (
                CROPPED,
                "\"do_center_crop\": true",
                "\"do_center_crop\": false",
                "do_center_crop is false, expected true, since",
            ),
            (
                CROPPED,
                "\"shortest_edge\": 224",
                "\"shortest_edge\": 200",
                "crop_size is {\"height\":224,\"width\":224}, expected at most 200",
            ),
            (
                CROPPED,
                "\"shortest_edge\": 224",
                "\"height\": 256, \"width\": 256",
                "crop_size is {\"height\":224,\"width\":224}, expected the height and width of size",
            ),
        ] {
            assert!(base.contains(from), "{from}");
            let got = error(&[vit, ("preprocessor_config.json", &base.replace(from, to))]);
            assert!(got.starts_with(&format!("preprocessor_config.json: {expected}")), "{to}: {got}");
        }
    }

    #[test]
    fn sizes_that_are_missing_or_no_numbers_are_named() {
        let config = |from: &str, to: &str| error(&[(CONFIG, &BERT.1.replace(from, to))]);
        assert_eq!(config("32", "\"x\""), "config.json: hidden_size is \"x\", expected a whole number above 0");
        assert_eq!(config("32", "0"), "config.json: hidden_size is 0, expected a whole number above 0");
        let got = config("\"hidden_size\": 32,", "");
        assert_eq!(got, "config.json: there is no hidden_size, expected a whole number above 0");
        let got = config("\"model_type\": \"bert\",", "");
        assert!(got.starts_with("config.json: there is no model_type, expected one of `bert`, `roberta`, "), "{got}");
        let got = config("\"bert\"", "\"gpt2\"");
        assert!(got.contains("has the architecture `gpt2`; supported: bert, roberta, "), "{got}");
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
        assert_eq!(got, "model.toml: max_tokens is 65, expected a number from 3 to 64");
        let got = with("architecture = \"bert\"", "architecture = \"mpnet\"");
        assert_eq!(got, "model.toml: architecture is `mpnet`, config.json has model_type `bert`");
        let manifest = of(&[BERT, ("model.toml", &toml.replace("= 512", "= 64"))]).unwrap();
        assert_eq!(manifest.id, "gte-small");
    }
}
