//! A text model: tokenizer, encoder and pooling behind one call.

use candle_core::Tensor;
use ndarray::{Array2, ArrayView2, ArrayViewMut1};
use rayon::prelude::*;
use tamis_core::{ModelFacts, ModelInput, Task};

use crate::encoders::{self, PackedTokens, TextEncoder};
use crate::manifest::{Pooling, TextInput};
use crate::tokens::{TextTokenizer, Tokens};
use crate::weights::Weights;
use crate::{EmbedError, Manifest, ModelError, ModelFiles};

/// Most tokens in one forward pass. Chosen by measurement on one and two cores: 256 to 1,024 are equally fast, less
/// loses in the matrix products, more spends its time in page faults.
const TOKENS_PER_BATCH: usize = 512;

/// A text model, ready to embed.
pub struct TextModel {
    manifest: Manifest,
    input: TextInput,
    weights_blake3: String,
    tokenizer: TextTokenizer,
    encoder: Box<dyn TextEncoder>,
}

impl std::fmt::Debug for TextModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextModel").field("id", &self.manifest.id).finish_non_exhaustive()
    }
}

/// The vectors of some texts.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Shape `(texts, dim)`, not normalized, in the order of the texts.
    pub rows: Array2<f32>,
    /// Whether each text was longer than the model reads.
    pub truncated: Vec<bool>,
}

impl TextModel {
    /// Loads a model from its files.
    ///
    /// # Errors
    /// When the model is not one for texts, a file is missing or malformed, the architecture is unknown, or a weight has not the shape that the
    /// configuration says.
    pub fn load(files: &ModelFiles) -> Result<Self, ModelError> {
        let manifest = Manifest::of(files)?;
        let input = manifest.text(files)?.clone();
        let tokenizer = TextTokenizer::load(files, input.max_tokens)?;
        let config = files.require("config.json", "the configuration of the transformers library")?;
        let config = serde_json::from_slice(&config).map_err(|error| files.malformed("config.json", error))?;
        let bytes = files.require(&manifest.weights, "the weights in safetensors format (not pytorch_model.bin)")?;
        let weights = Weights::open(files, &manifest.weights, &bytes, manifest.weights_format)?;
        let encoder = encoders::build_text(&manifest.architecture, files, &config, weights)?;
        let weights_blake3 = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { manifest, input, weights_blake3, tokenizer, encoder })
    }

    /// What is to be known of the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What an audit records of the model.
    #[must_use]
    pub fn facts(&self) -> ModelFacts {
        ModelFacts {
            id: self.manifest.id.clone(),
            revision: self.manifest.revision.clone(),
            weights_blake3: self.weights_blake3.clone(),
            dim: self.manifest.dim,
            input: ModelInput::Tokens(self.input.max_tokens),
        }
    }

    /// Embeds `texts`; tells `task` of every text that is done.
    ///
    /// Batches are made of texts of similar length and run on all threads of the rayon pool. Memory: the tokens of all
    /// texts, the result, and one batch per thread.
    ///
    /// # Errors
    /// When the tokenizer or the forward pass fails: bugs and exhausted resources.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T], task: &dyn Task) -> Result<Encoded, EmbedError> {
        let tokens = self.tokenizer.encode(texts)?;
        let batches = batches(&tokens);
        let vectors = batches
            .par_iter()
            .map(|batch| {
                let rows = self.forward(&tokens, batch)?;
                task.advance(batch.len() as u64);
                Ok(rows)
            })
            .collect::<Result<Vec<_>, EmbedError>>()?;
        let mut rows = Array2::zeros((texts.len(), self.manifest.dim));
        for (batch, vectors) in batches.iter().zip(vectors) {
            for (index, vector) in batch.iter().zip(vectors.rows()) {
                rows.row_mut(*index).assign(&vector);
            }
        }
        Ok(Encoded { rows, truncated: tokens.iter().map(|it| it.truncated).collect() })
    }

    /// Vectors of the texts `batch`, shape `(batch, dim)`.
    fn forward(&self, tokens: &[Tokens], batch: &[usize]) -> Result<Array2<f32>, EmbedError> {
        let packed = pack(tokens, batch);
        let failed = |source| EmbedError::Forward {
            n_texts: batch.len(),
            n_tokens: packed.ids.len(),
            source: Box::<dyn std::error::Error + Send + Sync>::from(source),
        };
        let hidden = self.encoder.forward(&packed).and_then(|it| flat(&it)).map_err(failed)?;
        let dim = self.manifest.dim;
        let hidden = ArrayView2::from_shape((packed.ids.len(), dim), &hidden)
            .expect("because the encoder gives one vector of the model's dimension per token");
        let mut rows = Array2::zeros((batch.len(), dim));
        for (row, (start, len)) in rows.rows_mut().into_iter().zip(packed.spans) {
            pool(self.input.pooling, hidden.slice(ndarray::s![start..start + len, ..]), row);
        }
        Ok(rows)
    }
}

/// Indices of texts, longest first, cut into batches of at most [`TOKENS_PER_BATCH`] tokens (one text at least).
fn batches(tokens: &[Tokens]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(tokens[*i].ids.len()), *i));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in order {
        let len = tokens[index].ids.len();
        match batches.last_mut() {
            Some(batch) if len <= room => batch.push(index),
            _ => {
                batches.push(vec![index]);
                room = TOKENS_PER_BATCH;
            }
        }
        room = room.saturating_sub(len);
    }
    batches
}

/// Puts the tokens of a batch one text after the other.
///
/// A matrix product with a single row goes another way through the gemm crate and differs in the last digits, so a lone
/// token is followed by a copy of itself that nobody reads.
fn pack(tokens: &[Tokens], batch: &[usize]) -> PackedTokens {
    let mut packed = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Vec::new() };
    for index in batch {
        let ids = &tokens[*index].ids;
        packed.spans.push((packed.ids.len(), ids.len()));
        packed.ids.extend_from_slice(ids);
        packed.positions.extend((0..).take(ids.len()));
    }
    if let [id] = packed.ids[..] {
        packed.ids.push(id);
        packed.positions.push(0);
    }
    packed
}

fn flat(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// Pools the vectors of one text, shape `(tokens, dim)`, into `out`.
#[expect(clippy::cast_precision_loss, reason = "a text has far fewer than 2^24 tokens")]
fn pool(pooling: Pooling, tokens: ArrayView2<'_, f32>, mut out: ArrayViewMut1<'_, f32>) {
    match pooling {
        Pooling::Cls => out.assign(&tokens.row(0)),
        Pooling::Mean => {
            for token in tokens.rows() {
                out += &token;
            }
            out /= tokens.nrows() as f32;
        }
        Pooling::Max => {
            out.assign(&tokens.row(0));
            for token in tokens.rows() {
                out.zip_mut_with(&token, |max, x| *max = max.max(*x));
            }
        }
    }
}
