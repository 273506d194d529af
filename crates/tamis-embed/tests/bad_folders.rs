//! Folders that are not what they should be, and inputs at the edges: an error that names the file and the tensor, or a
//! defined vector; no panic and no NaN.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "common/copy.rs"]
mod copy;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tamis_core::{NoProgress, Pixels};
use tamis_embed::{ImageModel, ModelFiles, TextModel};

use copy::copy;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/parity").join(name)
}

/// A copy of a fixture, removed at the end.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of(name: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        copy(&fixture(name), folder.0.path());
        folder
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// The same with another file of JSON.
    fn with(self, file: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&std::fs::read(self.path(file)).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(self.path(file), value.to_string()).unwrap();
        self
    }

    fn files(&self) -> ModelFiles {
        ModelFiles::Folder(self.0.path().to_owned())
    }

    /// Loads a model for texts.
    fn load(&self) -> Result<TextModel, String> {
        TextModel::load(&self.files()).map_err(|error| error.to_string())
    }

    /// Asserts that it is refused, by an error with the folder's name and these parts.
    fn refused(&self, parts: &[&str]) {
        let error = self.load().unwrap_err();
        let folder = self.0.path().display().to_string();
        for part in [&[folder.as_str()], parts].concat() {
            assert!(error.contains(part), "expected `{part}` in: {error}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = Folder::of("bert");
        std::fs::remove_file(folder.path(file)).unwrap();
        folder.refused(&[file]);
    }
}

#[test]
fn a_file_that_is_no_json_is_named() {
    for file in ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"] {
        let folder = Folder::of("bert");
        std::fs::write(folder.path(file), "{").unwrap();
        folder.refused(&[file]);
    }
}

#[test]
fn weights_that_end_early_are_named_however_much_is_there() {
    let whole = std::fs::read(fixture("bert").join("model.safetensors")).unwrap();
    for keep in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        let folder = Folder::of("bert");
        std::fs::write(folder.path("model.safetensors"), &whole[..keep]).unwrap();
        folder.refused(&["model.safetensors"]);
    }
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let folder = Folder::of("bert").with("config.json", |config| config["intermediate_size"] = json!(48));
    folder.refused(&["model.safetensors", "encoder.layer.0.intermediate.dense.weight", "[48, 32]", "[64, 32]"]);
}

#[test]
fn numbers_that_no_file_has_room_for_are_refused_before_memory_is_taken_for_them() {
    let huge = json!(1_u64 << 50);
    for (name, key, parts) in [
        ("bert", "intermediate_size", ["model.safetensors", "encoder.layer.0.intermediate.dense.weight"]),
        ("bert", "vocab_size", ["model.safetensors", "embeddings.word_embeddings.weight"]),
        ("clip", "projection_dim", ["model.safetensors", "text_projection.weight"]),
        ("qwen3", "intermediate_size", ["model.safetensors", "layers.0.mlp"]),
        ("modernbert", "num_hidden_layers", ["model.safetensors", "layers."]),
    ] {
        let folder = Folder::of(name).with("config.json", |config| config[key] = huge.clone());
        let error = folder.load().unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{name}, {key}: {error}");
    }
}

#[test]
fn lengths_that_no_model_has_are_refused() {
    for (name, file, key) in [
        ("static", "config.json", "max_length"),
        ("modernbert", "sentence_bert_config.json", "max_seq_length"),
        ("qwen3", "sentence_bert_config.json", "max_seq_length"),
    ] {
        for length in [json!(0), json!(1), json!("512"), json!(1_u64 << 60)] {
            let folder = Folder::of(name);
            if !folder.path(file).exists() {
                std::fs::write(folder.path(file), "{}").unwrap();
            }
            let folder = folder.with(file, |value| value[key] = length.clone());
            let error = folder.load().unwrap_err();
            let is_named = error.contains(key) || error.contains("max_tokens is");
            assert!(is_named && error.contains("expected a"), "{name}, {length}: {error}");
        }
    }
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    for path in ["../elsewhere", "/etc", "1_Pooling/../.."] {
        let folder = Folder::of("bert").with("modules.json", |modules| modules[1]["path"] = json!(path));
        // A leading slash is cut off, as sentence-transformers cuts it.
        let expected = if path == "/etc" { "etc/config.json" } else { "leads out of the model's folder" };
        folder.refused(&[expected]);
    }
}

#[test]
fn an_unknown_architecture_is_named() {
    Folder::of("bert").with("config.json", |config| config["model_type"] = json!("gpt2")).refused(&["`gpt2`"]);
}

#[test]
fn a_tokenizer_with_tokens_that_the_model_has_no_vectors_for_is_refused() {
    let more = |tokenizer: &mut Value| tokenizer["model"]["vocab"]["tamis"] = json!(300);
    let parts = ["tokenizer.json", "the id 300, `tamis`", "model.safetensors has vectors for 300 tokens, 0 to 299"];
    Folder::of("bert").with("tokenizer.json", more).refused(&parts);
    let around = |tokenizer: &mut Value| {
        tokenizer["post_processor"]["special_tokens"]["[SEP]"]["ids"] = json!([7000]);
    };
    Folder::of("bert").with("tokenizer.json", around).refused(&["tokenizer.json", "the id 7000, `a special token`"]);
}

#[test]
fn an_empty_text_and_one_of_10_mb_have_vectors() {
    let long = "The quick brown fox. ".repeat(500_000);
    for name in ["bert", "clip", "modernbert", "mpnet", "nomic-bert", "qwen3", "roberta", "siglip", "static"] {
        let encoded = Folder::of(name).load().unwrap().embed(&["", &long, "a"], &NoProgress).unwrap();
        assert!(encoded.rows.iter().all(|x| x.is_finite()), "{name}");
        assert_eq!(encoded.truncated, [false, true, false], "{name}");
    }
}

#[test]
fn a_text_without_tokens_has_a_vector_of_its_own() {
    let bare = |tokenizer: &mut Value| tokenizer["post_processor"] = Value::Null;
    let model = Folder::of("bert").with("tokenizer.json", bare).load().unwrap();
    let rows = model.embed(&["", "a", ""], &NoProgress).unwrap().rows;
    let mut expected = vec![0.0; rows.ncols()];
    *expected.last_mut().unwrap() = 1.0;
    assert_eq!(rows.row(0).to_vec(), expected);
    assert_eq!(rows.row(2), rows.row(0));
    assert!(rows.row(1).iter().all(|x| x.is_finite()));
    assert_ne!(rows.row(1), rows.row(0));
}

#[test]
fn pictures_of_one_color_have_finite_vectors() {
    for name in ["clip", "dinov2", "siglip", "vit"] {
        let model = ImageModel::load(&Folder::of(name).files()).unwrap();
        let side = model.input_for(0).side;
        for level in [0, 255] {
            let rgb = vec![level; 3 * side as usize * side as usize];
            let rows = model.embed(&[&Pixels { width: side, height: side, rgb }], &NoProgress).unwrap();
            assert!(rows.iter().all(|x| x.is_finite()), "{name}, {level}");
        }
    }
}
