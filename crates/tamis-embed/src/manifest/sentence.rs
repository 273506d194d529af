//! What a folder says in the files of sentence-transformers 5: `modules.json`, the folder of its module Pooling,
//! `sentence_bert_config.json` and `config_sentence_transformers.json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::Flag;
use super::{CONFIG, Json, Pooling};
use crate::{ModelError, ModelFiles};

/// The file with the longest text.
pub(super) const LENGTH: &str = "sentence_bert_config.json";

/// What `modules.json` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Modules {
    /// A transformer, pooled by what lies in `pooling`, a folder.
    Transformer { pooling: Option<String> },
    /// One vector per token in `folder`, which ends in `/` or is empty.
    Static { folder: String },
}

/// The modules of sentence-transformers, in the orders that tamis can do; a plain transformer where there is no list.
pub(super) fn modules(files: &ModelFiles) -> Result<Modules, ModelError> {
    let file = "modules.json";
    let Some(json) = Json::read(files, file)? else {
        let has_pooling = files.read("1_Pooling/config.json")?.is_some();
        let pooling = has_pooling.then(|| "1_Pooling".to_owned());
        let is_static = match Json::read(files, CONFIG)? {
            Some(config) => config.text("model_type")? == Some("model2vec"),
            None => false,
        };
        return Ok(match is_static {
            true => Modules::Static { folder: String::new() },
            false => Modules::Transformer { pooling },
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
    match kinds.strip_suffix(&["Normalize"]).unwrap_or(&kinds) {
        ["Transformer", "Pooling"] if found[0].1.is_empty() => {
            Ok(Modules::Transformer { pooling: Some(found[1].1.to_owned()) })
        }
        ["Transformer", "Pooling"] => Err(wrong(format!(
            "path of the module Transformer is `{}`, expected the model's folder itself",
            found[0].1
        ))),
        ["StaticEmbedding"] => {
            let folder = found[0].1;
            let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            Ok(Modules::Static { folder })
        }
        _ => Err(wrong(format!(
            "modules are {}, expected Transformer and Pooling, or StaticEmbedding, with or without Normalize at the end",
            kinds.join(", ")
        ))),
    }
}

/// `max_seq_length` of `sentence_bert_config.json`, where there is one.
pub(super) fn max_tokens(files: &ModelFiles, tokenizer: &str) -> Result<Option<usize>, ModelError> {
    let Some(json) = Json::read(files, LENGTH)? else { return Ok(None) };
    if json.flag("do_lower_case", Flag::Off)? && !lowercases(files, tokenizer)? {
        return Err(json.wrong("do_lower_case", format!("false, since {tokenizer} keeps upper case")));
    }
    match json.get("max_seq_length") {
        None => Ok(None),
        Some(_) => json.count("max_seq_length", None).map(Some),
    }
}

/// Whether the tokenizer makes letters lower case by itself.
fn lowercases(files: &ModelFiles, tokenizer: &str) -> Result<bool, ModelError> {
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
    let json = Json::read(files, tokenizer)?;
    Ok(json.as_ref().and_then(|it| it.get("normalizer")).is_some_and(is_lower))
}

/// The prompts of `config_sentence_transformers.json`, less empty ones, and the default among them.
pub(super) fn prompts(files: &ModelFiles) -> Result<(BTreeMap<String, String>, Option<String>), ModelError> {
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
pub(super) fn pooling(files: &ModelFiles, file: &str, dim: usize, dim_key: &str) -> Result<Pooling, ModelError> {
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
    use super::super::testing::{BERT, CLS, MODULES, error, of, text_of};
    use super::*;

    #[test]
    fn modules_say_the_pooling() {
        let manifest = of(&[BERT, MODULES, CLS]).unwrap();
        assert_eq!(manifest.text.unwrap().pooling, Pooling::Cls);
        let elsewhere = MODULES.1.replace("1_Pooling", "7_Pool").replace(
            ",\n            {\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}",
            "",
        );
        let manifest = of(&[BERT, ("modules.json", &elsewhere), ("7_Pool/config.json", CLS.1)]).unwrap();
        assert_eq!(manifest.text.unwrap().pooling, Pooling::Cls);
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
    fn lower_case_that_the_tokenizer_does_not_make_is_an_error() {
        let lower = (LENGTH, r#"{"do_lower_case": true}"#);
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
}
