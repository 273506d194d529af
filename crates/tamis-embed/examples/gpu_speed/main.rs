//! Parity with the CPU and vectors per second of text and image models on an NVIDIA GPU, for `scripts/gpu-check.sh`.
//!
//! `gpu_speed MODELS TEXTS.jsonl SCRATCH`: the folder with the bundled models, a file with one text per line as
//! `{"text": ...}` or as a JSON string, and an empty folder for models of random weights, which need no download; speed
//! does not depend on the weights. Each line of the output is an object of JSON: `rate` (what a product of large matrices
//! and a copy reach here), `parity`, or `speed`. It ends with an error where there is no GPU or a vector is not what the CPU
//! computes.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by a script, which reads its output")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Tensor};
use ndarray::Array2;
use serde_json::json;
use tamis_core::{NoProgress, Pixels};
use tamis_embed::{Device, DeviceChoice, ImageModel, ModelFiles, TextModel};

use models::{Random, Sizes, bert, clip, dinov2};

mod models;

/// Least cosine of a vector in half precision and the CPU's.
const MIN_COSINE: f64 = 0.999;

/// Words that are one token each for BERT's uncased vocabulary.
const WORDS: [&str; 16] = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group",
];

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

/// Floating-point operations for a sample of so many tokens: products and attention, a multiplication and an addition each.
fn flops(sizes: Sizes, tokens: usize) -> usize {
    let Sizes { layers, hidden, inner, .. } = sizes;
    layers * tokens * (2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * tokens * hidden)
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
        speed(&format!("{name}, {tokens} tokens"), *n, *tokens, flops(sizes, *tokens), seconds);
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
    speed(name, n, tokens, flops(sizes, tokens), seconds);
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
