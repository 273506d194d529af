//! The bundled image model: independence of rows from everything around them, and errors by name. Parity with the original
//! is tested beside the encoder.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ndarray::{Array2, ArrayView1, Axis};
use proptest::prelude::*;
use tamis_core::{Modality, ModelInput, NoProgress, Pixels};
use tamis_embed::{EmbedError, ImageModel, ModelError, ModelFiles, TextModel};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn files() -> ModelFiles {
    ModelFiles::Folder(models().join("mobilenet-v2"))
}

fn bundled() -> &'static ImageModel {
    static MODEL: OnceLock<ImageModel> = OnceLock::new();
    MODEL.get_or_init(|| ImageModel::load(&files()).unwrap())
}

/// A picture of smooth waves; another one for another `seed`.
fn picture(side: u32, seed: u32) -> Pixels {
    let value = |i: u32| u8::try_from((i / 3 * (1 + seed % 5) + i / (3 * side) * seed + i % 3 * 50) % 256).unwrap();
    Pixels { width: side, height: side, rgb: (0..side * side * 3).map(value).collect() }
}

fn embed(pictures: &[&Pixels]) -> Array2<f32> {
    bundled().embed(pictures, &NoProgress).unwrap()
}

fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

#[test]
fn a_changed_pixel_changes_little_and_another_picture_much() {
    let (one, other) = (picture(96, 1), picture(96, 9));
    let mut changed = one.clone();
    changed.rgb[4_000] ^= 64;
    let rows = embed(&[&one, &changed, &other]);
    let [near, far] = [1, 2].map(|i| cosine(rows.row(0), rows.row(i)));
    assert!(0.99 < near && near < 1.0 && far < 0.9, "near {near}, far {far}");
}

#[test]
fn no_pictures_have_no_rows() {
    assert_eq!(embed(&[]).dim(), (0, 1280));
}

#[test]
fn facts_say_what_the_model_saw() {
    let spec = bundled().input_for(100);
    let facts = bundled().facts(spec);
    assert_eq!((spec.side, facts.dim, facts.input), (128, 1280, ModelInput::Pixels(spec)));
    assert_eq!(facts.id, "mobilenet-v2");
}

#[test]
fn a_picture_of_another_size_is_named() {
    let mut short = picture(96, 3);
    short.rgb.pop();
    for (odd, expected) in [
        (
            picture(97, 2),
            "image 2 of the batch has 97 x 97 pixels in 28227 bytes; expected 96 x 96 pixels in 27648 bytes",
        ),
        (short, "image 2 of the batch has 96 x 96 pixels in 27647 bytes; expected 96 x 96 pixels in 27648 bytes"),
    ] {
        let right = picture(96, 1);
        let error = bundled().embed(&[&right, &right, &odd, &right], &NoProgress).unwrap_err();
        assert!(matches!(error, EmbedError::ImageSize { index: 2, .. }));
        assert_eq!(error.to_string(), expected);
    }
    let empty = Pixels { width: 0, height: 4, rgb: Vec::new() };
    let error = bundled().embed(&[&empty], &NoProgress).unwrap_err().to_string();
    assert_eq!(error, "image 0 of the batch has 0 x 4 pixels in 0 bytes; expected at least one pixel");
}

#[test]
fn a_model_says_what_it_embeds_and_refuses_the_rest() {
    let text = ModelFiles::Folder(models().join("all-minilm-l6-v2"));
    assert_eq!(tamis_embed::modalities(&files()).unwrap(), [Modality::Image]);
    assert_eq!(tamis_embed::modalities(&text).unwrap(), [Modality::Text]);
    let error = ImageModel::load(&text).unwrap_err().to_string();
    assert!(error.ends_with("modality is `text`, expected `image`"), "{error}");
    let error = TextModel::load(&files()).unwrap_err().to_string();
    assert!(error.ends_with("modality is `image`, expected `text`"), "{error}");
}

/// Loads the bundled model with `from` in its manifest replaced by `to`.
fn load_changed(from: &str, to: &str) -> Result<ImageModel, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let source = models().join("mobilenet-v2");
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let toml = std::fs::read_to_string(source.join("model.toml")).unwrap();
    assert!(toml.contains(from), "{from}");
    std::fs::write(folder.path().join("model.toml"), toml.replace(from, to)).unwrap();
    ImageModel::load(&ModelFiles::Folder(folder.path().to_owned()))
}

#[test]
fn malformed_manifests_are_refused_by_name() {
    for (from, to, expected) in [
        (
            "architecture = \"mobilenet-v2\"",
            "architecture = \"bert\"",
            "has the architecture `bert`; supported: clip, ",
        ),
        ("dim = 1280", "dim = 1000", "dim is 1000, vectors of this model have 1280"),
        ("weights = \"model.safetensors\"", "weights = \"gone\"", "has no gone; expected the weights in safetensors"),
        ("weights = \"model.safetensors\"", "weights = \"model.toml\"", "model.toml of model"),
        ("sizes = [96,", "sizes = [160,", "sizes is [160, 128, 160, 192, 224], expected ascending"),
    ] {
        let error = load_changed(from, to).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A row depends on its picture alone: not on batch-mates, their order, or the number of threads.
    #[test]
    fn a_row_in_a_batch_is_bit_identical_to_the_row_alone(
        side in prop::sample::select(vec![32_u32, 50, 96, 128, 160]),
        seeds in prop::collection::vec(0_u32..1_000, 1..40),
        threads in 1_usize..4,
    ) {
        let pictures: Vec<Pixels> = seeds.iter().map(|seed| picture(side, *seed)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = pool.install(|| embed(&pictures.iter().collect::<Vec<_>>()));
        for (picture, row) in pictures.iter().zip(together.axis_iter(Axis(0))) {
            let alone = embed(&[picture]);
            prop_assert_eq!(row, alone.row(0));
        }
    }
}
