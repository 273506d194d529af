//! Folders of models with random weights: their speed does not depend on the weights, and nothing has to be fetched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use tamis_embed::ModelFiles;

/// A transformer's sizes.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) heads: usize,
}

/// Numbers that look random, the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number by splitmix64 (Steele et al. 2014).
    pub(crate) fn next(&mut self) -> u64 {
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
        let is_scale =
            |name: &str| name.contains("lambda") || name.to_lowercase().contains("norm") && name.ends_with("weight");
        let tensors = self.0.into_iter().map(|(name, shape)| {
            let is_scale = is_scale(&name);
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
pub(crate) fn bert(scratch: &Path, models: &Path, name: &str, sizes: Sizes) -> ModelFiles {
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
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 30_522, "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    });
    let manifest = format!(
        "id = \"{name}\"\ndescription = \"Random weights.\"\nlicense = \"none\"\nrepo = \"none/none\"\nmodality = \"text\"\narchitecture = \"bert\"\n\
         dim = {hidden}\ncentered = false\nweights = \"model.safetensors\"\n\
         weights_format = \"plain\"\n[text]\nlanguages = [\"en\"]\npooling = \"cls\"\nmax_tokens = 512\n"
    );
    let files = weights.write(&scratch.join(name), &manifest, &config);
    fs::copy(models.join("all-minilm-l6-v2/tokenizer.json"), scratch.join(name).join("tokenizer.json")).unwrap();
    files
}

/// The manifest of a model for pictures of 224 x 224.
fn image_manifest(name: &str, architecture: &str, dim: usize) -> String {
    format!(
        "id = \"{name}\"\ndescription = \"Random weights.\"\nlicense = \"none\"\nrepo = \"none/none\"\nmodality = \"image\"\n\
         architecture = \"{architecture}\"\ndim = {dim}\ncentered = false\n\
         weights = \"model.safetensors\"\nweights_format = \"plain\"\n[image]\nsizes = [224]\nfit = \"center-crop\"\n\
         filter = \"bicubic\"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    )
}

/// A tower of CLIP for pictures, of random weights.
pub(crate) fn clip(scratch: &Path, name: &str, patch: usize, sizes: Sizes, dim: usize) -> ModelFiles {
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
        "model_type": "clip", "projection_dim": dim,
        "vision_config": {
            "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "patch_size": patch, "image_size": 224, "hidden_act": "quick_gelu",
        },
    });
    weights.write(&scratch.join(name), &image_manifest(name, "clip", dim), &config)
}

/// `DINOv2` of random weights.
pub(crate) fn dinov2(scratch: &Path, name: &str, sizes: Sizes) -> ModelFiles {
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
        "model_type": "dinov2", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "mlp_ratio": 4,
        "patch_size": 14, "image_size": 224, "hidden_act": "gelu",
    });
    weights.write(&scratch.join(name), &image_manifest(name, "dinov2", hidden), &config)
}
