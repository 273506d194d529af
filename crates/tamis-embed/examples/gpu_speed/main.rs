//! Parity with the CPU and vectors per second of text and image models on an NVIDIA GPU, for `scripts/gpu-check.sh`.
//!
//! `gpu_speed MODELS TEXTS.jsonl SCRATCH`: the folder with the bundled models, a file with one text per line as
//! `{"text": ...}` or as a JSON string, and an empty folder for models of random weights, which need no download; speed
//! does not depend on the weights. Each line of the output is an object of JSON: `rate` (what a product of large matrices
//! and a copy reach here), `parity`, or `speed`. It ends with an error where there is no GPU or a vector is not what the CPU
//! computes.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by a script, which reads its output")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Tensor};
use half::f16;
use ndarray::Array2;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use tamis_core::{NoProgress, Pixels};
use tamis_embed::{Device, DeviceChoice, ImageModel, ModelFiles, TextModel};

/// Least cosine of a vector in half precision and the CPU's.
const MIN_COSINE: f64 = 0.999;

/// Words that are one token each for BERT's uncased vocabulary.
const WORDS: [&str; 16] = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group",
];

/// A transformer's sizes.
#[derive(Clone, Copy)]
struct Sizes {
    layers: usize,
    hidden: usize,
    inner: usize,
    heads: usize,
}

impl Sizes {
    /// Floating-point operations for a sample of so many tokens: products and attention, a multiplication and an addition
    /// each.
    fn flops(self, tokens: usize) -> usize {
        let Self { layers, hidden, inner, .. } = self;
        layers * tokens * (2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * tokens * hidden)
    }
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    /// The next number by splitmix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// From -0.04 to 0.04: about the spread that transformers are initialized with.
    fn weight(&mut self) -> f32 {
        let byte = u8::try_from(self.next() >> 56).unwrap();
        (f32::from(byte) - 127.5) / 3187.5
    }
}

/// Weights of one model on their way to a file.
#[derive(Default)]
struct Weights(BTreeMap<String, Vec<usize>>);

impl Weights {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.insert(name.into(), shape.to_vec());
    }

    /// A weight of shape `(n_out, n_in)` and a bias.
    fn linear(&mut self, name: &str, n_out: usize, n_in: usize) {
        self.add(format!("{name}.weight"), &[n_out, n_in]);
        self.add(format!("{name}.bias"), &[n_out]);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    /// Writes the model's files; scales of norms and layers are 1, all other numbers random.
    fn write(self, folder: &Path, manifest: &str, config: &serde_json::Value) -> ModelFiles {
        fs::create_dir_all(folder).unwrap();
        let mut random = Random(7);
        let scale =
            |name: &str| name.contains("lambda") || name.to_lowercase().contains("norm") && name.ends_with("weight");
        let tensors = self.0.into_iter().map(|(name, shape)| {
            let is_scale = name.contains("layrnorm.weight") || scale(&name);
            let number = |_| if is_scale { f16::ONE } else { f16::from_f32(random.weight()) };
            let bytes: Vec<u8> = (0..shape.iter().product()).map(number).flat_map(f16::to_le_bytes).collect();
            (name, shape, bytes)
        });
        let tensors: Vec<_> = tensors.collect();
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap()));
        // Python's readers ask for this entry.
        let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
        safetensors::serialize_to_file(views, metadata, &folder.join("model.safetensors")).unwrap();
        fs::write(folder.join("model.toml"), manifest).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        ModelFiles::Folder(folder.to_owned())
    }
}

/// A model of random weights for texts; the tokenizer is MiniLM's.
fn bert(scratch: &Path, models: &Path, name: &str, sizes: Sizes) -> ModelFiles {
    let Sizes { layers, hidden, inner, heads } = sizes;
    let mut weights = Weights::default();
    weights.add("embeddings.word_embeddings.weight", &[30_522, hidden]);
    weights.add("embeddings.position_embeddings.weight", &[512, hidden]);
    weights.add("embeddings.token_type_embeddings.weight", &[2, hidden]);
    weights.norm("embeddings.LayerNorm", hidden);
    for i in 0..layers {
        let at = |part: &str| format!("encoder.layer.{i}.{part}");
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            weights.linear(&at(part), hidden, hidden);
        }
        weights.norm(&at("attention.output.LayerNorm"), hidden);
        weights.linear(&at("intermediate.dense"), inner, hidden);
        weights.linear(&at("output.dense"), hidden, inner);
        weights.norm(&at("output.LayerNorm"), hidden);
    }
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 30_522, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    });
    let manifest = format!(
        "id = \"{name}\"\nlicense = \"none\"\nrepo = \"none/none\"\nmodality = \"text\"\narchitecture = \"bert\"\n\
         dim = {hidden}\nnormalize = true\ncentered = false\nweights = \"model.safetensors\"\n\
         weights_format = \"plain\"\n[text]\nlanguages = [\"en\"]\npooling = \"cls\"\nmax_tokens = 512\n"
    );
    let files = weights.write(&scratch.join(name), &manifest, &config);
    fs::copy(models.join("all-minilm-l6-v2/tokenizer.json"), scratch.join(name).join("tokenizer.json")).unwrap();
    files
}

/// The manifest of a model for pictures of 224 x 224.
fn image_manifest(name: &str, architecture: &str, dim: usize) -> String {
    format!(
        "id = \"{name}\"\nlicense = \"none\"\nrepo = \"none/none\"\nmodality = \"image\"\n\
         architecture = \"{architecture}\"\ndim = {dim}\nnormalize = true\ncentered = false\n\
         weights = \"model.safetensors\"\nweights_format = \"plain\"\n[image]\nsizes = [224]\nfit = \"center-crop\"\n\
         filter = \"bicubic\"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    )
}

/// A tower of CLIP for pictures, of random weights.
fn clip(scratch: &Path, name: &str, patch: usize, sizes: Sizes, dim: usize) -> ModelFiles {
    let Sizes { layers, hidden, inner, heads } = sizes;
    let mut weights = Weights::default();
    let top = "vision_model.embeddings";
    weights.add(format!("{top}.class_embedding"), &[hidden]);
    weights.add(format!("{top}.patch_embedding.weight"), &[hidden, 3, patch, patch]);
    weights.add(format!("{top}.position_embedding.weight"), &[1 + (224 / patch).pow(2), hidden]);
    weights.norm("vision_model.pre_layrnorm", hidden);
    weights.norm("vision_model.post_layernorm", hidden);
    weights.add("visual_projection.weight", &[dim, hidden]);
    for i in 0..layers {
        let at = |part: &str| format!("vision_model.encoder.layers.{i}.{part}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            weights.linear(&at(&format!("self_attn.{part}")), hidden, hidden);
        }
        weights.norm(&at("layer_norm1"), hidden);
        weights.norm(&at("layer_norm2"), hidden);
        weights.linear(&at("mlp.fc1"), inner, hidden);
        weights.linear(&at("mlp.fc2"), hidden, inner);
    }
    let config = json!({
        "projection_dim": dim,
        "vision_config": {
            "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "patch_size": patch, "image_size": 224, "hidden_act": "quick_gelu",
        },
    });
    weights.write(&scratch.join(name), &image_manifest(name, "clip", dim), &config)
}

/// `DINOv2` of random weights.
fn dinov2(scratch: &Path, name: &str, sizes: Sizes) -> ModelFiles {
    let Sizes { layers, hidden, inner, heads } = sizes;
    let mut weights = Weights::default();
    weights.add("embeddings.cls_token", &[1, 1, hidden]);
    weights.add("embeddings.mask_token", &[1, hidden]);
    weights.add("embeddings.position_embeddings", &[1, 257, hidden]);
    weights.add("embeddings.patch_embeddings.projection.weight", &[hidden, 3, 14, 14]);
    weights.add("embeddings.patch_embeddings.projection.bias", &[hidden]);
    weights.norm("layernorm", hidden);
    for i in 0..layers {
        let at = |part: &str| format!("encoder.layer.{i}.{part}");
        for part in ["attention.query", "attention.key", "attention.value", "output.dense"] {
            weights.linear(&at(&format!("attention.{part}")), hidden, hidden);
        }
        for part in ["norm1", "norm2"] {
            weights.norm(&at(part), hidden);
        }
        for part in ["layer_scale1", "layer_scale2"] {
            weights.add(at(&format!("{part}.lambda1")), &[hidden]);
        }
        weights.linear(&at("mlp.fc1"), inner, hidden);
        weights.linear(&at("mlp.fc2"), hidden, inner);
    }
    let config = json!({
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "mlp_ratio": 4,
        "patch_size": 14, "image_size": 224, "hidden_act": "gelu",
    });
    weights.write(&scratch.join(name), &image_manifest(name, "dinov2", hidden), &config)
}

/// Texts of so many tokens, with the two that every text gets.
fn texts_of(tokens: usize, n: usize) -> Vec<String> {
    let mut random = Random(11);
    let mut word = |_| WORDS[usize::try_from(random.next() >> 60).unwrap()];
    (0..n).map(|_| (0..tokens - 2).map(&mut word).collect::<Vec<_>>().join(" ")).collect()
}

/// Pictures of noise.
fn pictures(n: usize) -> Vec<Pixels> {
    let mut random = Random(13);
    let mut byte = |_| u8::try_from(random.next() >> 56).unwrap();
    (0..n).map(|_| Pixels { width: 224, height: 224, rgb: (0..224 * 224 * 3).map(&mut byte).collect() }).collect()
}

/// The median of five runs after one that is not counted, in seconds.
fn median(mut run: impl FnMut()) -> f64 {
    run();
    let seconds = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let mut times: Vec<f64> = (0..5).map(seconds).collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

/// What this GPU reaches: products of large matrices in half precision, and copies.
fn rates() {
    let gpu = candle_core::Device::new_cuda(0).unwrap();
    let side = 8192;
    let matrix = || Tensor::randn(0_f32, 1.0, (side, side), &gpu).unwrap().to_dtype(DType::F16).unwrap();
    let (x, y) = (matrix(), matrix());
    let seconds = median(|| {
        for _ in 0..10 {
            x.matmul(&y).unwrap();
        }
        gpu.synchronize().unwrap();
    });
    let flops = count(10 * 2 * side * side * side) / seconds;
    let large = Tensor::zeros(1 << 30, DType::F32, &gpu).unwrap();
    let seconds = median(|| {
        large.copy().unwrap();
        gpu.synchronize().unwrap();
    });
    println!("{}", json!({"rate": {"f16_flops": flops, "copy_bytes": count(2 << 32) / seconds}}));
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
fn count(n: usize) -> f64 {
    n as f64
}

/// Compares the vectors of two devices.
fn parity(name: &str, ours: &Array2<f32>, reference: &Array2<f32>) -> bool {
    let cosine = |(x, y): (ndarray::ArrayView1<'_, f32>, ndarray::ArrayView1<'_, f32>)| {
        let [x, y] = [x, y].map(|row| row.mapv(f64::from));
        x.dot(&y) / (x.dot(&x) * y.dot(&y)).sqrt()
    };
    let cosines: Vec<f64> = ours.rows().into_iter().zip(reference.rows()).map(cosine).collect();
    // NaN is not close.
    let close = cosines.iter().all(|cosine| *cosine >= MIN_COSINE);
    let least = cosines.iter().copied().fold(1.0, f64::min);
    println!("{}", json!({"parity": {"name": name, "vectors": cosines.len(), "min_cosine": least, "close": close}}));
    close
}

fn speed(name: &str, items: usize, tokens: usize, flops: usize, seconds: f64) {
    let result = json!({
        "name": name, "items": items, "seconds": seconds, "items_per_s": count(items) / seconds,
        "tokens_per_s": count(items * tokens) / seconds, "flops": count(items * flops) / seconds,
    });
    println!("{}", json!({"speed": result}));
}

/// Parity and speed of a model for texts; `lengths` holds tokens per text and numbers of texts.
fn run_texts(
    gpu: &Device,
    name: &str,
    files: &ModelFiles,
    natural: &[String],
    lengths: &[(usize, usize)],
    sizes: Sizes,
) -> bool {
    let model = TextModel::load_on(files, gpu).unwrap();
    let few = &natural[..natural.len().min(48)];
    let reference = TextModel::load(files).unwrap().embed(few, &NoProgress).unwrap().rows;
    let close = parity(name, &model.embed(few, &NoProgress).unwrap().rows, &reference);
    for (tokens, n) in lengths {
        let texts = texts_of(*tokens, *n);
        let seconds = median(|| drop(model.embed(&texts, &NoProgress).unwrap()));
        speed(&format!("{name}, {tokens} tokens"), *n, *tokens, sizes.flops(*tokens), seconds);
    }
    let many: Vec<&String> = natural.iter().cycle().take(50_000).collect();
    let seconds = median(|| drop(model.embed(&many, &NoProgress).unwrap()));
    speed(&format!("{name}, natural lengths"), many.len(), 0, 0, seconds);
    close
}

/// Parity and speed of a model for pictures; `tokens` is 0 where the model has none.
fn run_pictures(gpu: &Device, name: &str, files: &ModelFiles, n: usize, tokens: usize, sizes: Sizes) -> bool {
    let model = ImageModel::load_on(files, gpu).unwrap();
    let distinct = pictures(16);
    let few: Vec<&Pixels> = distinct.iter().take(6).collect();
    let reference = ImageModel::load(files).unwrap().embed(&few, &NoProgress).unwrap();
    let close = parity(name, &model.embed(&few, &NoProgress).unwrap(), &reference);
    let many: Vec<&Pixels> = distinct.iter().cycle().take(n).collect();
    let seconds = median(|| drop(model.embed(&many, &NoProgress).unwrap()));
    speed(name, n, tokens, sizes.flops(tokens), seconds);
    close
}

/// The texts of a file, one JSON value per line.
fn natural(path: &Path) -> Vec<String> {
    let text = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_str().or_else(|| value["text"].as_str()).unwrap().to_owned()
    };
    fs::read_to_string(path).unwrap().lines().map(text).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [models, texts, scratch] = &args[..] else {
        return Err("usage: gpu_speed MODELS TEXTS.jsonl SCRATCH".into());
    };
    let gpu = Device::open(DeviceChoice::Cuda(0))?;
    rates();
    let natural = natural(texts);
    let base = Sizes { layers: 12, hidden: 768, inner: 3072, heads: 12 };
    let minilm = Sizes { layers: 6, hidden: 384, inner: 1536, heads: 12 };
    let large = Sizes { layers: 24, hidden: 1024, inner: 4096, heads: 16 };
    let dino = Sizes { layers: 12, hidden: 384, inner: 1536, heads: 6 };
    let none = Sizes { layers: 0, hidden: 0, inner: 0, heads: 0 };
    let bundled = |name: &str| ModelFiles::Folder(models.join(name));
    let close = [
        run_texts(&gpu, "MiniLM-L6", &bundled("all-minilm-l6-v2"), &natural, &[(128, 100_000)], minilm),
        run_texts(
            &gpu,
            "bge-base",
            &bert(scratch, models, "base", base),
            &natural,
            &[(50, 50_000), (512, 8_000)],
            base,
        ),
        run_pictures(&gpu, "MobileNetV2", &bundled("mobilenet-v2"), 4096, 0, none),
        run_pictures(&gpu, "CLIP ViT-B/32", &clip(scratch, "b32", 32, base, 512), 16_384, 50, base),
        run_pictures(&gpu, "CLIP ViT-L/14", &clip(scratch, "l14", 14, large, 768), 2048, 257, large),
        run_pictures(&gpu, "DINOv2-S", &dinov2(scratch, "dino", dino), 8192, 257, dino),
    ];
    if close.contains(&false) {
        return Err(
            format!("vectors of the GPU are not those of the CPU: expected cosines of at least {MIN_COSINE}").into()
        );
    }
    Ok(())
}
