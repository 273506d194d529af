//! Every architecture against the vectors that the reference libraries compute from the same files.
//!
//! The cases are the folders of `tests/fixtures/models/parity`, made by `scripts/make_parity_fixtures.py`, which says what
//! they hold and shows that they can fail.

use std::path::PathBuf;

use candle_core::{DType, Device};
use serde::Deserialize;
use serde_json::{Value, json};
use tamis_core::Pixels;

use super::{Backend, ENCODERS, EncoderDef, EncoderInput, ImageEncoder, PackedTokens, Source, TextEncoder, find};
use crate::manifest::{Pooling, WeightsFormat};
use crate::ops::plain::Plain;
use crate::ops::{Images, Levels, Size, Span};
use crate::weights::Weights;
use crate::{ModelError, ModelFiles};

/// Architectures whose reference vectors are elsewhere: those of the bundled weights.
const ELSEWHERE: &[&str] = &["mobilenet-v2"];

/// What is held against the reference.
#[derive(Clone, Copy)]
struct Tolerance {
    min_cosine: f64,
    max_abs: f32,
}

/// Other orders of summation move numbers of about 1 by some 1e-6; a wrong constant moves them by 3e-4 at least.
const SINGLE: Tolerance = Tolerance { min_cosine: 0.99999, max_abs: 1e-4 };

/// Rounding to 8 bits after each of 22 convolutions whose random weights are not centered: 0.967 is seen.
const BF16_CONVOLUTIONS: Tolerance = Tolerance { min_cosine: 0.95, max_abs: f32::INFINITY };

/// What rounding to 11 bits in every operation leaves; `PyTorch` in F16 has 0.99993 at least, on `modernbert`.
const F16: Tolerance = Tolerance { min_cosine: 0.999, max_abs: f32::INFINITY };

/// What rounding to 8 bits leaves; `PyTorch` in BF16 has 0.9918 at least, on `modernbert`, whose random weights make much of
/// little.
const BF16: Tolerance = Tolerance { min_cosine: 0.99, max_abs: f32::INFINITY };

/// `golden.json`.
#[derive(Deserialize)]
pub(super) struct Golden {
    pub(super) dim: usize,
    normalized: bool,
    #[serde(default)]
    pooling: String,
    #[serde(default)]
    pub(super) max_tokens: usize,
    #[serde(default)]
    pub(super) texts: Vec<TextRow>,
    #[serde(default)]
    prompted: Vec<TextRow>,
    /// Vectors of CLIP with the end token of old checkpoints.
    #[serde(default)]
    texts_legacy: Vec<TextRow>,
    #[serde(default)]
    pub(super) inputs: Vec<ImageRow>,
}

#[derive(Deserialize)]
pub(super) struct TextRow {
    pub(super) ids: Vec<u32>,
    pub(super) vector: Vec<f32>,
}

#[derive(Deserialize)]
pub(super) struct ImageRow {
    formula: String,
    width: u32,
    height: u32,
    vector: Vec<f32>,
}

/// A folder.
pub(super) struct Case {
    name: String,
    pub(super) files: ModelFiles,
    pub(super) config: Value,
    /// Mean and standard deviation of each color.
    normalization: Value,
    weights: Vec<u8>,
    pub(super) golden: Golden,
}

fn cases() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/models/parity");
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    /// The folder of this name.
    pub(super) fn named(name: &str) -> Self {
        cases().into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case `{name}`"))
    }

    fn read(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let weights = std::fs::read(folder.join("model.safetensors")).unwrap();
        let golden = serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let files = ModelFiles::Folder(folder);
        let parsed =
            |file: &str| files.read(file).unwrap().map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        let (config, processor) = (parsed("config.json"), parsed("preprocessor_config.json"));
        let normalization = if processor.is_null() {
            config["pretrained_cfg"].clone()
        } else {
            json!({"mean": processor["image_mean"], "std": processor["image_std"]})
        };
        Self { name, files, config, normalization, weights, golden }
    }

    /// Our name for the architecture: that of the configuration, or else of the folder.
    fn architecture(&self) -> String {
        self.config["model_type"].as_str().unwrap_or(&self.name).replace('_', "-")
    }

    fn def(&self) -> &'static EncoderDef {
        find(&self.architecture()).unwrap_or_else(|| panic!("{}: no encoder `{}`", self.name, self.architecture()))
    }

    fn source(&self, config: &Value, input: EncoderInput) -> Source<'_> {
        let weights = Weights::open(&self.files, "model.safetensors", &self.weights, WeightsFormat::Plain).unwrap();
        Source {
            files: &self.files,
            config: config.clone(),
            weights,
            tokenizer: "tokenizer.json",
            dim: self.golden.dim,
            input,
        }
    }

    /// The encoder for texts of `config`.
    fn text(&self, backend: &Backend, config: &Value) -> Box<dyn TextEncoder> {
        let pooling = match self.golden.pooling.as_str() {
            "cls" => Pooling::Cls,
            "last" | "lasttoken" => Pooling::Last,
            // CLIP finds its end token by itself.
            "mean" | "eos" => Pooling::Mean,
            other => panic!("{}: unknown pooling `{other}`", self.name),
        };
        self.text_of(backend, config, pooling).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The same, or what is wrong with `config`.
    pub(super) fn text_of(
        &self,
        backend: &Backend,
        config: &Value,
        pooling: Pooling,
    ) -> Result<Box<dyn TextEncoder>, ModelError> {
        let input = EncoderInput::Text { pooling, max_tokens: self.golden.max_tokens };
        let build = self.def().text.unwrap_or_else(|| panic!("{}: does not read texts", self.name));
        build(backend, &self.source(config, input))
    }

    /// The encoder for pictures.
    fn image(&self, backend: &Backend) -> Box<dyn ImageEncoder> {
        let mut sizes: Vec<_> = self.golden.inputs.iter().map(|row| row.width).collect();
        sizes.sort_unstable();
        sizes.dedup();
        self.image_of(backend, &self.config, sizes).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The encoder of `config` for pictures of these sides, or what is wrong with it.
    pub(super) fn image_of(
        &self,
        backend: &Backend,
        config: &Value,
        sizes: Vec<u32>,
    ) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let input = EncoderInput::Image { sizes, levels: Box::new(self.levels()) };
        let build = self.def().image.unwrap_or_else(|| panic!("{}: does not read pictures", self.name));
        build(backend, &self.source(config, input))
    }

    #[expect(clippy::cast_possible_truncation, reason = "what the reference computes with is f32")]
    fn levels(&self) -> Levels {
        let number = |key: &str, color: usize| self.normalization[key][color].as_f64().unwrap() as f32;
        [0, 1, 2].map(|color| {
            let (mean, std) = (number("mean", color), number("std", color));
            std::array::from_fn(|level| (f32::from(u8::try_from(level).unwrap()) / 255.0 - mean) / std)
        })
    }

    fn text_rows(&self) -> Vec<&TextRow> {
        self.golden.texts.iter().chain(&self.golden.prompted).collect()
    }

    /// The pictures of each size.
    fn image_rows(&self) -> Vec<Vec<&ImageRow>> {
        self.golden.inputs.chunk_by(|a, b| a.width == b.width).map(|rows| rows.iter().collect()).collect()
    }

    /// What is wrong with `got`.
    fn differences(&self, what: &str, expected: &[f32], got: &[f32], tolerance: Tolerance) -> Vec<String> {
        let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let at = format!("{}, {what}", self.name);
        if got.len() != expected.len() || !(norm(got) > 0.0 && norm(got).is_finite()) {
            return vec![format!("{at}: {} numbers of norm {}, expected {}", got.len(), norm(got), expected.len())];
        }
        if norm(expected) == 0.0 {
            return Vec::new(); // A text without tokens, for which we have a vector of our own.
        }
        let scale = if self.golden.normalized { norm(got) } else { 1.0 };
        let pairs = || expected.iter().zip(got).map(|(x, y)| (f64::from(*x), f64::from(*y) / scale));
        let cosine = pairs().map(|(x, y)| x * y).sum::<f64>() / norm(expected) / (norm(got) / scale);
        let worst = pairs().map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        if cosine < tolerance.min_cosine || f64::from(tolerance.max_abs) < worst {
            return vec![format!("{at}: cosine {cosine}, largest difference {worst}")];
        }
        Vec::new()
    }

    /// What is wrong with the vectors of texts.
    fn wrong_texts(&self, backend: &Backend, config: &Value, rows: &[&TextRow], tolerance: Tolerance) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        let vectors = embed_texts(&*self.text(backend, config), rows, self.golden.dim);
        let compared = rows.iter().zip(vectors).enumerate();
        compared
            .flat_map(|(i, (row, got))| self.differences(&format!("text {i}"), &row.vector, &got, tolerance))
            .collect()
    }

    /// What is wrong with the vectors of pictures.
    fn wrong_images(&self, backend: &Backend, tolerance: Tolerance) -> Vec<String> {
        let mut wrong = Vec::new();
        for rows in self.image_rows() {
            for (row, got) in rows.iter().zip(embed_images(&*self.image(backend), &rows, self.golden.dim)) {
                let what = format!("{} of {}", row.formula, row.width);
                wrong.extend(self.differences(&what, &row.vector, &got, tolerance));
            }
        }
        wrong
    }
}

pub(super) fn embed_texts(encoder: &dyn TextEncoder, rows: &[&TextRow], dim: usize) -> Vec<Vec<f32>> {
    let mut tokens = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Vec::new() };
    for row in rows {
        tokens.spans.push(Span { start: tokens.ids.len(), len: row.ids.len() });
        tokens.ids.extend(&row.ids);
        tokens.positions.extend((0..).take(row.ids.len()));
    }
    encoder.embed(&tokens).unwrap().chunks_exact(dim).map(<[f32]>::to_vec).collect()
}

pub(super) fn embed_images(encoder: &dyn ImageEncoder, rows: &[&ImageRow], dim: usize) -> Vec<Vec<f32>> {
    let pictures: Vec<_> = rows.iter().map(|row| picture(row)).collect();
    let pictures: Vec<_> = pictures.iter().collect();
    let size = Size { height: rows[0].height as usize, width: rows[0].width as usize };
    encoder.embed(&Images { pictures: &pictures, size }).unwrap().chunks_exact(dim).map(<[f32]>::to_vec).collect()
}

/// The picture that the formula of a row gives; `i` is the row of a pixel, `j` its column, `c` its color.
fn picture(row: &ImageRow) -> Pixels {
    let value = |i: u32, j: u32, c: u32| match row.formula.as_str() {
        "ramp" => (c * 7919 + i * 31 + j * 17) % 255,
        "waves" => (c * 53 + i * i * 3 + j * j * 5 + i * j * (c + 1)) % 256,
        "slope" => (c * 40 + i * 3 + j * 2) % 256,
        other => panic!("unknown formula `{other}`"),
    };
    let places = (0..row.height).flat_map(|i| (0..row.width).map(move |j| (i, j)));
    let rgb = places.flat_map(|(i, j)| (0..3).map(move |c| u8::try_from(value(i, j, c)).unwrap())).collect();
    Pixels { width: row.width, height: row.height, rgb }
}

/// Asserts that every case agrees with the reference.
fn check(backend: &Backend, tolerance: Tolerance) {
    check_cases(backend, tolerance, |_| true);
}

/// Asserts that the cases of some names agree with the reference.
fn check_cases(backend: &Backend, tolerance: Tolerance, is_checked: impl Fn(&str) -> bool) {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| is_checked(&case.name)) {
        wrong.extend(case.wrong_texts(backend, &case.config, &case.text_rows(), tolerance));
        wrong.extend(case.wrong_images(backend, tolerance));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_case_has_an_encoder_and_every_encoder_a_case() {
    let cases: Vec<_> = cases().iter().map(Case::architecture).collect();
    let unknown: Vec<_> = cases.iter().filter(|id| find(id).is_none()).collect();
    assert!(unknown.is_empty(), "no encoder: {unknown:?}");
    let untested: Vec<_> = ENCODERS.iter().map(|def| def.id).filter(|id| !ELSEWHERE.contains(id)).collect();
    let untested: Vec<_> = untested.into_iter().filter(|id| !cases.iter().any(|case| case == id)).collect();
    assert!(untested.is_empty(), "no case: {untested:?}");
}

#[test]
fn vectors_of_the_cpu_are_those_of_the_reference() {
    check(&Backend::Cpu, SINGLE);
}

#[test]
fn vectors_of_plain_candle_are_those_of_the_reference() {
    check(&Backend::Plain(Plain::new(Device::Cpu)), SINGLE);
}

#[test]
fn vectors_in_half_precision_are_near_those_of_the_reference() {
    check(&Backend::Plain(Plain::with_dtype(Device::Cpu, DType::F16)), F16);
    let bf16 = Backend::Plain(Plain::with_dtype(Device::Cpu, DType::BF16));
    let is_convolution = |name: &str| name == "efficientnet-lite";
    check_cases(&bf16, BF16, |name| !is_convolution(name));
    check_cases(&bf16, BF16_CONVOLUTIONS, is_convolution);
}

/// The first GPU: with the feature there is one. Whole encoders, as the operations in `ops/tests.rs`.
#[cfg(feature = "cuda")]
#[test]
fn vectors_of_a_gpu_are_near_those_of_the_reference() {
    check(&Backend::Cuda(crate::ops::cuda::Cuda::open(0).unwrap()), F16);
}

#[test]
fn both_forms_of_a_configuration_mean_the_same() {
    let mut compared = Vec::new();
    for case in cases() {
        let Some(bytes) = case.files.read("config.transformers5.json").unwrap() else {
            continue;
        };
        let rows = case.text_rows();
        let other = case.text(&Backend::Cpu, &serde_json::from_slice(&bytes).unwrap());
        let published = case.text(&Backend::Cpu, &case.config);
        let embed = |encoder: &dyn TextEncoder| embed_texts(encoder, &rows, case.golden.dim);
        assert_eq!(embed(&*other), embed(&*published), "{}", case.name);
        compared.push(case.name);
    }
    assert_eq!(compared, ["modernbert", "nomic-bert", "qwen3"]);
}

#[test]
fn old_checkpoints_of_clip_are_pooled_at_the_highest_id() {
    for case in cases() {
        let rows: Vec<_> = case.golden.texts_legacy.iter().collect();
        let mut config = case.config.clone();
        if !rows.is_empty() {
            config["text_config"]["eos_token_id"] = 2.into();
        }
        let wrong = case.wrong_texts(&Backend::Cpu, &config, &rows, SINGLE);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Configurations that mean something else than what is computed.
#[test]
fn settings_that_are_not_computed_are_refused() {
    for (name, key, value, expected) in [
        ("bert", "position_embedding_type", json!("relative_key"), "is `relative_key`, expected `absolute`"),
        ("bert", "hidden_act", json!("mish"), "hidden_act is `mish`, expected one of gelu, "),
        ("bert", "type_vocab_size", json!(0), "type_vocab_size is 0, expected at least 1"),
        ("bert", "num_attention_heads", json!(5), "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ("bert", "max_position_embeddings", json!(47), "is 47, expected at least 48 for texts of 48 tokens"),
        ("roberta", "max_position_embeddings", json!(49), "is 49, expected at least 50 for texts of 48 tokens"),
        ("mpnet", "relative_attention_num_buckets", json!(64), "relative_attention_num_buckets is 64, expected 32"),
        ("modernbert", "global_attn_every_n_layers", json!(0), "global_attn_every_n_layers is 0, expected at least 1"),
        ("modernbert", "layer_types", json!(["full_attention"]), "layer_types has 1 entries, expected 4"),
        (
            "modernbert",
            "layer_types",
            json!(["a", "b", "c", "d"]),
            "layer_types has `a`, expected `full_attention` or ",
        ),
        (
            "modernbert",
            "global_rope_theta",
            json!(0.5),
            "the base of rotary positions is 0.5, expected a number above 1",
        ),
        ("modernbert", "norm_bias", json!(true), "weight embeddings.norm.bias: expected shape [32], got nothing"),
        ("nomic-bert", "prenorm", json!(true), "prenorm is true, expected false"),
        ("nomic-bert", "moe_every_n_layers", json!(2), "moe_every_n_layers is 2, expected 0"),
        ("nomic-bert", "rotary_emb_fraction", json!(0.5), "rotary_emb_fraction is 0.5, expected 1"),
        ("nomic-bert", "activation_function", json!("gelu"), "is `gelu`, expected `swiglu` or `geglu`"),
        ("qwen3", "use_sliding_window", json!(true), "use_sliding_window is true, expected false"),
        ("qwen3", "rope_scaling", json!({"type": "yarn"}), "rope_type is `yarn`, expected `default`"),
        ("qwen3", "num_key_value_heads", json!(3), "num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
        ("qwen3", "head_dim", json!(15), "heads have 15 dimensions, expected an even number above 0"),
    ] {
        let case = Case::named(name);
        let mut config = case.config.clone();
        config[key] = value;
        let got = case
            .text_of(&Backend::Cpu, &config, Pooling::Mean)
            .err()
            .map_or("nothing".to_owned(), |error| error.to_string());
        assert!(got.contains(expected), "{name}, {key}: {got}");
    }
}

/// Every vector is bit for bit what it is without batch-mates, in whatever order they stand.
fn check_alone<R: Copy>(what: &str, rows: &[R], embed: impl Fn(&[R]) -> Vec<Vec<f32>>) {
    let alone: Vec<_> = rows.iter().flat_map(|row| embed(&[*row])).collect();
    let n = rows.len();
    let orders = [(0..n).collect(), (0..n).rev().collect(), (0..n).map(|i| (i * 2) % n.max(1)).collect()];
    for order in orders as [Vec<usize>; 3] {
        let together = embed(&order.iter().map(|i| rows[*i]).collect::<Vec<_>>());
        for (vector, index) in together.iter().zip(&order) {
            assert_eq!(*vector, alone[*index], "{what}: row {index} in the order {order:?}");
        }
    }
}

#[test]
fn a_row_on_the_cpu_does_not_depend_on_its_batch() {
    for case in cases() {
        if !case.golden.texts.is_empty() {
            let encoder = case.text(&Backend::Cpu, &case.config);
            check_alone(&case.name, &case.text_rows(), |rows| embed_texts(&*encoder, rows, case.golden.dim));
        }
        for rows in case.image_rows() {
            let encoder = case.image(&Backend::Cpu);
            check_alone(&case.name, &rows, |rows| embed_images(&*encoder, rows, case.golden.dim));
        }
    }
}
