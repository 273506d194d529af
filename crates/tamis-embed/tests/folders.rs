//! Folders in hub layout, without a manifest of ours: what their own files say gives the vectors of the reference libraries.
//!
//! The folders are tiny random checkpoints that `scripts/make_parity_fixtures.py` saves with those libraries.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "common/copy.rs"]
mod copy;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tamis_core::{NoProgress, Pixels};
use tamis_embed::{ImageModel, ModelFiles, TextModel};

use copy::copy;

/// Smallest cosine to the reference: f32 in another order of summation.
const MIN_COSINE: f64 = 0.999_99;

fn cases() -> Vec<(String, PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/parity");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|it| it.unwrap().path()).collect();
    folders.sort();
    let case = |path: PathBuf| {
        let golden = serde_json::from_slice(&std::fs::read(path.join("golden.json")).unwrap()).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), path, golden)
    };
    folders.into_iter().map(case).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
}

/// `None` where the reference has a zero vector.
fn cosine(ours: &[f32], theirs: &[f64]) -> Option<f64> {
    let (mut dot, mut a, mut b) = (0.0, 0.0, 0.0);
    for (x, y) in ours.iter().map(|x| f64::from(*x)).zip(theirs) {
        dot += x * y;
        a += x * x;
        b += y * y;
    }
    (0.0 < b).then(|| dot / (a * b).sqrt())
}

#[test]
fn texts_of_a_folder_have_the_vectors_of_the_reference() {
    let mut n = 0;
    for (name, path, golden) in cases() {
        let Some(texts) = golden["texts"].as_array() else { continue };
        let model = TextModel::load(&ModelFiles::Folder(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let words: Vec<&str> = texts.iter().map(|it| it["text"].as_str().unwrap()).collect();
        let rows = model.embed(&words, &NoProgress).unwrap().rows;
        for (text, ours) in texts.iter().zip(rows.rows()) {
            let theirs = numbers(&text["vector"]);
            assert_eq!(ours.len(), theirs.len(), "{name}");
            if let Some(cosine) = cosine(ours.as_slice().unwrap(), &theirs) {
                assert!(MIN_COSINE <= cosine, "{name}, {}: cosine {cosine}", text["text"]);
            }
            n += 1;
        }
    }
    assert!(50 < n, "{n} texts were compared");
}

/// Configurations of transformers 5 stand beside those that were published.
#[test]
fn a_folder_with_the_other_form_of_its_configuration_has_the_same_vectors() {
    let texts = ["a text", "and another one, of more words"];
    let embed = |path: &Path| {
        TextModel::load(&ModelFiles::Folder(path.to_owned())).unwrap().embed(&texts, &NoProgress).unwrap().rows
    };
    let mut compared = Vec::new();
    for (name, path, _) in cases().into_iter().filter(|(_, path, _)| path.join("config.transformers5.json").exists()) {
        let other = tempfile::tempdir().unwrap();
        copy(&path, other.path());
        std::fs::rename(other.path().join("config.transformers5.json"), other.path().join("config.json")).unwrap();
        assert_eq!(embed(other.path()), embed(&path), "{name}");
        compared.push(name);
    }
    assert_eq!(compared, ["modernbert", "nomic-bert", "qwen3"]);
}

/// The pixel of a formula of the fixtures; see `golden.json`.
fn value(formula: &str, i: usize, j: usize, c: usize) -> u8 {
    let value = match formula {
        "ramp" => (c * 7919 + i * 31 + j * 17) % 255,
        "waves" => (c * 53 + i * i * 3 + j * j * 5 + i * j * (c + 1)) % 256,
        "slope" => (c * 40 + i * 3 + j * 2) % 256,
        _ => panic!("no formula {formula}"),
    };
    u8::try_from(value).unwrap()
}

#[test]
fn pictures_of_a_folder_have_the_vectors_of_the_reference() {
    let mut n = 0;
    for (name, path, golden) in cases() {
        // timm writes no configuration that says how its networks are built.
        let Some(inputs) = golden["inputs"].as_array().filter(|_| name != "efficientnet-lite") else { continue };
        let model = ImageModel::load(&ModelFiles::Folder(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for input in inputs {
            let side = input["width"].as_u64().unwrap();
            let (width, size) = (u32::try_from(side).unwrap(), usize::try_from(side).unwrap());
            // What the folder asks for is one side; others are goldens of the encoder alone.
            if model.input_for(width).side != width {
                continue;
            }
            let formula = input["formula"].as_str().unwrap();
            let places = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
            let rgb = places.flat_map(|(i, j)| [0, 1, 2].map(|c| value(formula, i, j, c))).collect();
            let picture = Pixels { width, height: width, rgb };
            let rows = model.embed(&[&picture], &NoProgress).unwrap();
            let cosine = cosine(rows.row(0).as_slice().unwrap(), &numbers(&input["vector"])).unwrap();
            assert!(MIN_COSINE <= cosine, "{name}, {formula} of {side}: cosine {cosine}");
            n += 1;
        }
    }
    assert!(10 < n, "{n} pictures were compared");
}
