//! A text model: tokenizer, encoder and pooling behind one call.

use ndarray::Array2;
use rayon::prelude::*;
use tamis_core::{ModelFacts, ModelInput, Task};

use crate::device::Device;
use crate::encoders::{self, EncoderInput, PackedTokens, Source, TextEncoder};
use crate::manifest::TextInput;
use crate::ops::Span;
use crate::tokens::{TextTokenizer, Tokens};
use crate::weights::Weights;
use crate::{EmbedError, Manifest, ModelError, ModelFiles};

/// Most tokens in one forward pass on the CPU. Chosen by measurement on one and two cores: 256 to 1,024 are equally fast, less
/// loses in the matrix products, more spends its time in page faults.
const TOKENS_PER_BATCH: usize = 512;

/// A text model, ready to embed.
pub struct TextModel {
    manifest: Manifest,
    input: TextInput,
    weights_blake3: String,
    device: Device,
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
    /// Loads a model from its files, for the CPU.
    ///
    /// # Errors
    /// As [`Self::load_on`].
    pub fn load(files: &ModelFiles) -> Result<Self, ModelError> {
        Self::load_on(files, &Device::cpu())
    }

    /// Loads a model from its files, for a device.
    ///
    /// # Errors
    /// When the model is not one for texts, a file is missing or malformed, the architecture is unknown, or a weight has not the shape that the
    /// configuration says.
    pub fn load_on(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        let manifest = Manifest::of(files)?;
        let input = manifest.text(files)?.clone();
        let tokenizer = TextTokenizer::load(
            files,
            &manifest.tokenizer,
            encoders::special_tokens(&manifest.architecture),
            input.max_tokens,
        )?;
        let config = match files.read("config.json")? {
            None if manifest.architecture == "model2vec" => serde_json::Value::Null,
            None => return Err(files.missing("config.json", "the configuration of the transformers library")),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| files.malformed("config.json", error))?,
        };
        let bytes = files.require(&manifest.weights, "the weights in safetensors format (not pytorch_model.bin)")?;
        let weights = Weights::open(files, &manifest.weights, &bytes, manifest.weights_format)?;
        let read = EncoderInput::Text { pooling: input.pooling, max_tokens: input.max_tokens };
        let source = Source { files, config, weights, tokenizer: &manifest.tokenizer, dim: manifest.dim, input: read };
        let encoder = encoders::build_text(&manifest.architecture, &device.backend, &source)?;
        let ((last, token), n_ids) = (&tokenizer.last, encoder.n_ids());
        if n_ids <= *last as usize {
            let reason = format!(
                "it has a token with the id {last}, `{token}`, and {} has vectors for {n_ids} tokens, 0 to {}; expected the \
                 tokenizer that the model was trained with",
                manifest.weights,
                n_ids.saturating_sub(1),
            );
            return Err(files.malformed(&manifest.tokenizer, reason));
        }
        let weights_blake3 = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { manifest, input, weights_blake3, device: device.clone(), tokenizer, encoder })
    }

    /// What is to be known of the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the model runs.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
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
    /// texts, the result, and one batch per thread. A text without a single token, which takes an empty text and a tokenizer
    /// that puts nothing around it, has the vector 0, .., 0, 1.
    ///
    /// # Errors
    /// When the tokenizer or the forward pass fails: bugs and exhausted resources.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T], task: &dyn Task) -> Result<Encoded, EmbedError> {
        let tokens = match self.input.prefix() {
            "" => self.tokenizer.encode(texts)?,
            prefix => {
                let prefixed = |text: &T| [prefix, text.as_ref()].concat();
                self.tokenizer.encode(&texts.par_iter().map(prefixed).collect::<Vec<_>>())?
            }
        };
        let rows = self.embed_tokens(&tokens, task)?;
        Ok(Encoded { rows, truncated: tokens.iter().map(|it| it.truncated).collect() })
    }

    /// Vectors of tokenized texts, shape `(texts, dim)`.
    fn embed_tokens(&self, tokens: &[Tokens], task: &dyn Task) -> Result<Array2<f32>, EmbedError> {
        let batches = batches(tokens, TOKENS_PER_BATCH * self.device.batch_factor());
        let vectors = batches
            .par_iter()
            .map(|batch| {
                let rows = self.forward(tokens, batch)?;
                task.advance(batch.len() as u64);
                Ok(rows)
            })
            .collect::<Result<Vec<_>, EmbedError>>()?;
        let mut rows = Array2::zeros((tokens.len(), self.manifest.dim));
        for (mut row, _) in rows.rows_mut().into_iter().zip(tokens).filter(|(_, tokens)| tokens.ids.is_empty()) {
            row[self.manifest.dim - 1] = 1.0;
            task.advance(1);
        }
        for (batch, vectors) in batches.iter().zip(vectors) {
            for (index, vector) in batch.iter().zip(vectors.rows()) {
                rows.row_mut(*index).assign(&vector);
            }
        }
        Ok(rows)
    }

    /// How the model reads texts.
    pub(crate) fn text_input(&self) -> &TextInput {
        &self.input
    }

    /// Vectors of texts that are tokenized already, one after the other; tells `task` of every text that is done.
    pub(crate) fn embed_ids(&self, texts: Vec<Vec<u32>>, task: &dyn Task) -> Result<Vec<f32>, EmbedError> {
        let tokens: Vec<Tokens> = texts.into_iter().map(|ids| Tokens { ids, truncated: false }).collect();
        Ok(self.embed_tokens(&tokens, task)?.into_raw_vec_and_offset().0)
    }

    /// Vectors of the texts `batch`, shape `(batch, dim)`.
    fn forward(&self, tokens: &[Tokens], batch: &[usize]) -> Result<Array2<f32>, EmbedError> {
        let packed = pack(tokens, batch);
        let rows = self.encoder.embed(&packed).map_err(|source| EmbedError::Forward {
            n_texts: batch.len(),
            n_tokens: packed.ids.len(),
            source: Box::from(source),
        })?;
        Ok(Array2::from_shape_vec((batch.len(), self.manifest.dim), rows)
            .expect("because the encoder gives one vector of the model's dimension per text"))
    }
}

/// Indices of texts that have tokens, longest first, cut into batches of at most `most` tokens (one text at least).
fn batches(tokens: &[Tokens], most: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..tokens.len()).filter(|i| !tokens[*i].ids.is_empty()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(tokens[*i].ids.len()), *i));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in order {
        let len = tokens[index].ids.len();
        match batches.last_mut() {
            Some(batch) if len <= room => batch.push(index),
            _ => {
                batches.push(vec![index]);
                room = most;
            }
        }
        room = room.saturating_sub(len);
    }
    batches
}

/// Puts the tokens of a batch one text after the other.
fn pack(tokens: &[Tokens], batch: &[usize]) -> PackedTokens {
    let mut packed = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Vec::new() };
    for index in batch {
        let ids = &tokens[*index].ids;
        packed.spans.push(Span { start: packed.ids.len(), len: ids.len() });
        packed.ids.extend_from_slice(ids);
        packed.positions.extend((0..).take(ids.len()));
    }
    packed
}
