//! Static embeddings: a vector per token, and the mean of those of a text. The potion models of model2vec, and the static
//! models of sentence-transformers.
//!
//! The computation and tensor names follow `StaticModel` of the model2vec library (`model2vec/model.py`, release 0.10) and
//! `StaticEmbedding` of sentence-transformers (`sentence_transformer/modules/static_embedding.py`, release 6.2). A file
//! with the tensor `embeddings` is one of the former, which leaves tokens out that the tokenizer does not know; one with
//! `embedding.weight` is one of the latter, which does not. Both read texts without special tokens. Deviations: `mapping`
//! and `weights` are folded into the table when it is loaded; a text whose mean is zero, for want of tokens, gets the unit
//! vector along the last dimension instead of zero, which has no direction. Tables are sorted by principal components as a
//! rule, so that other texts have the least to do with that one.
//!
//! Tulkens and van Dongen, "`Model2Vec`: Fast State-of-the-Art Static Embeddings" (2024).

use std::collections::HashMap;

use candle_core::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Build, EncoderDef, PackedTokens, Source, TextEncoder};
use crate::ModelError;
use crate::manifest::Pooling;
use crate::ops::{Matrix, Ops, Span};

pub(super) static DEF: EncoderDef = super::bare_text::<Def>("model2vec");

struct Def;

/// `tokenizer.json`, as far as it says which token is the unknown one.
#[derive(Debug, Deserialize)]
struct Tokenizer {
    model: TokenizerModel,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Debug, Deserialize)]
struct TokenizerModel {
    /// Of `WordPiece`, BPE and `WordLevel`.
    unk_token: Option<String>,
    /// Of Unigram.
    unk_id: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// The vocabulary in `tokenizer.json` of a model with an `unk_token`.
#[derive(Debug, Deserialize)]
struct Vocabulary {
    model: VocabularyModel,
}

#[derive(Debug, Deserialize)]
struct VocabularyModel {
    vocab: HashMap<String, u32>,
}

struct Model2Vec<O: Ops> {
    ops: O,
    /// A row per token.
    table: O::Table,
    dim: usize,
    /// The token that is left out.
    unknown: Option<u32>,
}

impl Build for Def {
    type Encoder = dyn TextEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> std::result::Result<Box<dyn TextEncoder>, ModelError> {
        let dim = source.dim;
        let (table, unknown) = match source.weights.shape("embedding.weight") {
            Some(shape) => (source.weights.matrix("embedding.weight", first(&shape), dim)?, None),
            None => (folded(source)?, unknown_token(source)?),
        };
        Ok(Box::new(Model2Vec { table: ops.table(table)?, ops, dim, unknown }))
    }
}

/// The table of model2vec's own layout: `embeddings[mapping[token]] * weights[token]`, where the last two are optional.
fn folded(source: &Source<'_>) -> std::result::Result<Matrix, ModelError> {
    let weights = &source.weights;
    let n_rows = weights.shape("embeddings").map_or(0, |shape| first(&shape));
    let mut table = weights.matrix("embeddings", n_rows, source.dim)?;
    if let Some(shape) = weights.shape("mapping") {
        let rows = weights.indices("mapping", first(&shape), n_rows)?;
        let values = rows.iter().flat_map(|row| &table.values[*row * table.width..][..table.width]).copied();
        table = Matrix { width: table.width, values: values.collect() };
    }
    if weights.has("weights") {
        let scales = weights.values("weights", &[table.n_rows()])?;
        for (row, scale) in table.values.chunks_exact_mut(table.width).zip(scales) {
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
    Ok(table)
}

/// Number of rows of a tensor of this shape.
fn first(shape: &[usize]) -> usize {
    shape.first().copied().unwrap_or(0)
}

/// The id of the token that stands for unknown words; `None` where the tokenizer has none.
fn unknown_token(source: &Source<'_>) -> std::result::Result<Option<u32>, ModelError> {
    let file = source.tokenizer;
    let bytes = source.files.require(file, "the tokenizer in the format of the Hugging Face tokenizers library")?;
    let Tokenizer { model, added_tokens } = parse(source, file, &bytes)?;
    let Some(name) = model.unk_token else {
        return Ok(model.unk_id);
    };
    if let Some(added) = added_tokens.iter().find(|added| added.content == name) {
        return Ok(Some(added.id));
    }
    let vocabulary: Vocabulary = parse(source, file, &bytes)?;
    Ok(vocabulary.model.vocab.get(&name).copied())
}

fn parse<T: DeserializeOwned>(source: &Source<'_>, file: &str, bytes: &[u8]) -> std::result::Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|error| source.files.malformed(file, error))
}

impl<O: Ops> Model2Vec<O> {
    /// The tokens that count, and where those of each text stand.
    fn known(&self, tokens: &PackedTokens) -> (Vec<u32>, Vec<Span>) {
        let mut ids = Vec::with_capacity(tokens.ids.len());
        let mut spans = Vec::with_capacity(tokens.spans.len());
        for span in &tokens.spans {
            let start = ids.len();
            ids.extend(tokens.ids[span.rows()].iter().filter(|id| self.unknown != Some(**id)));
            spans.push(Span { start, len: ids.len() - start });
        }
        (ids, spans)
    }
}

impl<O: Ops> TextEncoder for Model2Vec<O> {
    fn n_ids(&self) -> usize {
        self.ops.n_rows(&self.table)
    }

    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (ids, spans) = self.known(tokens);
        let filled: Vec<_> = spans.iter().copied().filter(|span| 0 < span.len).collect();
        let mut means = Vec::new();
        if !filled.is_empty() {
            let (mut x, mut pooled) = (ops.rows(), ops.rows());
            ops.gather(&self.table, &ids, &mut x)?;
            ops.pool(&x, &filled, Pooling::Mean, &mut pooled)?;
            means = ops.read(&pooled)?;
        }
        let mut means = means.chunks_exact(self.dim);
        let mut vectors = vec![0.0; spans.len() * self.dim];
        for (vector, span) in vectors.chunks_exact_mut(self.dim).zip(&spans) {
            if let Some(mean) = (0 < span.len).then(|| means.next()).flatten() {
                vector.copy_from_slice(mean);
            }
            if vector.iter().all(|x| *x == 0.0)
                && let Some(last) = vector.last_mut()
            {
                *last = 1.0;
            }
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::ModelFiles;
    use crate::encoders::EncoderInput;
    use crate::manifest::WeightsFormat;
    use crate::ops::cpu::Cpu;
    use crate::weights::Weights;

    const UNIGRAM: &str = r#"{"model": {"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.0], ["<unk>", -2.0]]}}"#;
    const WORD_PIECE: &str = r#"{"model": {"type": "WordPiece", "unk_token": "?", "vocab": {"a": 0, "?": 1, "b": 2}}}"#;
    const ADDED: &str = r#"{"model": {"unk_token": "?", "vocab": {}}, "added_tokens": [{"id": 1, "content": "?"}]}"#;
    const NONE: &str = r#"{"model": {"type": "BPE", "unk_token": null, "vocab": {"a": 0}}}"#;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    /// The vectors of texts of these tokens, length 2 each.
    fn embed(tokenizer: &str, file: &[u8], texts: &[&[u32]]) -> std::result::Result<Vec<f32>, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer).unwrap();
        let files = ModelFiles::Folder(folder.path().to_owned());
        let weights = Weights::open(&files, "model.safetensors", file, WeightsFormat::Plain)?;
        let input = EncoderInput::Text { pooling: Pooling::Mean, max_tokens: 8 };
        let source = Source {
            files: &files,
            config: serde_json::Value::Null,
            weights,
            tokenizer: "tokenizer.json",
            dim: 2,
            input,
        };
        let encoder = Def::build(Cpu, &source)?;
        let mut tokens = PackedTokens { ids: Vec::new(), positions: Vec::new(), spans: Vec::new() };
        for text in texts {
            tokens.spans.push(Span { start: tokens.ids.len(), len: text.len() });
            tokens.ids.extend_from_slice(text);
        }
        tokens.positions.resize(tokens.ids.len(), 0);
        Ok(encoder.embed(&tokens).unwrap())
    }

    /// Name, number type, shape and bytes of a tensor.
    type Entry<'a> = (&'a str, Dtype, &'a [usize], &'a [u8]);

    /// A file with these tensors.
    fn file(tensors: &[Entry<'_>]) -> Vec<u8> {
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in tensors {
            views.push((*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
        }
        safetensors::serialize(views, None).unwrap()
    }

    fn table(name: &str) -> Vec<u8> {
        file(&[(name, Dtype::F32, &[3, 2], &bytes(&[1.0, 2.0, 30.0, 40.0, 3.0, 4.0]))])
    }

    #[test]
    fn unknown_tokens_are_left_out_by_model2vec_alone() {
        for tokenizer in [UNIGRAM, WORD_PIECE, ADDED] {
            assert_eq!(embed(tokenizer, &table("embeddings"), &[&[0, 1, 2]]).unwrap(), [2.0, 3.0], "{tokenizer}");
        }
        let all = [34.0 / 3.0, 46.0 / 3.0];
        assert_eq!(embed(NONE, &table("embeddings"), &[&[0, 1, 2]]).unwrap(), all);
        assert_eq!(embed(UNIGRAM, &table("embedding.weight"), &[&[0, 1, 2]]).unwrap(), all);
    }

    #[test]
    fn texts_without_tokens_have_a_vector_of_their_own() {
        let got = embed(UNIGRAM, &table("embeddings"), &[&[], &[0], &[1, 1], &[2]]).unwrap();
        assert_eq!(got, [0.0, 1.0, 1.0, 2.0, 0.0, 1.0, 3.0, 4.0]);
        assert_eq!(embed(UNIGRAM, &table("embeddings"), &[&[]]).unwrap(), [0.0, 1.0]);
    }

    #[test]
    fn row_numbers_beyond_the_table_are_refused() {
        for (row, expected) in [(1_i64, "nothing"), (2, "numbers below 2, got 2 as number 1"), (-1, "got -1")] {
            let numbers = bytes(&[1.0, 2.0, 3.0, 4.0]);
            let rows: Vec<u8> = [0, row].iter().flat_map(|row: &i64| row.to_le_bytes()).collect();
            let tensors: [Entry<'_>; 2] =
                [("embeddings", Dtype::F32, &[2, 2], &numbers), ("mapping", Dtype::I64, &[2], &rows)];
            let got = embed(NONE, &file(&tensors), &[&[0]]).err().map_or("nothing".to_owned(), |it| it.to_string());
            assert!(got.contains(expected), "{got}");
        }
    }
}
