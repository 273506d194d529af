//! The bundled text model: parity with the original, and independence of rows from everything around them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::{Path, PathBuf};

use ndarray::{ArrayView1, Axis};
use proptest::prelude::*;
use tamis_core::NoProgress;
use tamis_embed::{Encoded, ModelError, ModelFiles, TextModel};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn bundled() -> &'static TextModel {
    static MODEL: std::sync::OnceLock<TextModel> = std::sync::OnceLock::new();
    MODEL.get_or_init(|| TextModel::load(&ModelFiles::Folder(root().join("models/all-minilm-l6-v2"))).unwrap())
}

fn embed(texts: &[&str]) -> Encoded {
    bundled().embed(texts, &NoProgress).unwrap()
}

fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

/// The weights are int8: on 320 texts their vectors have a cosine of at least 0.9993 with the original's, see
/// `scripts/make_default_models.py --verify`, which also holds the f32 path to 1e-4.
#[test]
fn bundled_weights_agree_with_the_original() {
    let golden = std::fs::read(root().join("tests/fixtures/models/minilm_l6_v2.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let ours = embed(&texts);
    assert!(8 <= texts.len() && golden.vectors.len() == texts.len());
    for ((text, ours), theirs) in texts.iter().zip(ours.rows.axis_iter(Axis(0))).zip(&golden.vectors) {
        let cosine = cosine(ours, ArrayView1::from(theirs));
        assert!(0.999 <= cosine, "cosine {cosine} for {text:?}");
    }
}

#[test]
fn only_texts_longer_than_the_model_reads_are_truncated() {
    let long = "word ".repeat(255);
    let very_long = format!("{} end", "word ".repeat(2_000_000));
    let encoded = embed(&["short", &"word ".repeat(254), &long, &very_long]);
    assert_eq!(encoded.truncated, [false, false, true, true]);
    assert_eq!(encoded.rows.row(2), encoded.rows.row(3), "because the model reads the same 254 words");
}

#[test]
fn a_folder_without_weights_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = TextModel::load(&ModelFiles::Folder(folder.path().to_owned())).unwrap_err();
    assert!(matches!(&error, ModelError::MissingFile { file, .. } if file == "config.json"), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

#[test]
fn another_architecture_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let source = root().join("models/all-minilm-l6-v2");
    for file in ["tokenizer.json", "model.safetensors"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    let config = std::fs::read_to_string(source.join("config.json")).unwrap();
    std::fs::write(folder.path().join("config.json"), config.replace("\"bert\"", "\"gpt2\"")).unwrap();
    let error = TextModel::load(&ModelFiles::Folder(folder.path().to_owned())).unwrap_err().to_string();
    assert!(error.contains("`gpt2`") && error.contains("supported: bert"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// A row depends on its text alone: not on batch-mates, their order, or the number of threads.
    #[test]
    fn a_row_in_a_batch_is_bit_identical_to_the_row_alone(
        texts in prop::collection::vec("[a-zA-Zäß中 .,!0-9]{0,300}", 1..16),
        threads in 1_usize..4,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = pool.install(|| embed(&texts));
        for (text, row) in texts.iter().zip(together.rows.axis_iter(Axis(0))) {
            let alone = embed(&[text]);
            prop_assert_eq!(row, alone.rows.row(0));
        }
    }
}
