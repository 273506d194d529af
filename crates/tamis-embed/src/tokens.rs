//! Tokenizing on all cores, never more of a text than the model reads.

use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::{EmbedError, ModelError, ModelFiles};

/// Bytes of a text that are looked at first, per token that the model reads: English WordPiece tokens are 4 to 5 bytes
/// long, so one look suffices for nearly every text, and a 10 MB text costs no more than a page.
const BYTES_PER_TOKEN: usize = 16;

/// The tokens of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Ids with the special tokens around them; at most `max_tokens` of the manifest.
    pub(crate) ids: Vec<u32>,
    /// Whether the text goes on after them.
    pub(crate) truncated: bool,
}

/// A model's tokenizer, set to its longest input.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
}

impl TextTokenizer {
    /// Loads `tokenizer.json`, for texts of at most `max_tokens`.
    pub(crate) fn load(files: &ModelFiles, max_tokens: usize) -> Result<Self, ModelError> {
        let file = "tokenizer.json";
        let bytes = files.require(file, "the tokenizer in the format of the Hugging Face tokenizers library")?;
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| files.malformed(file, error))?;
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| files.malformed(file, error))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, max_tokens })
    }

    /// Tokenizes `texts`, in order.
    pub(crate) fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Tokens>, EmbedError> {
        let encode = |(index, text): (usize, &T)| {
            self.encode_one(text.as_ref()).map_err(|source| EmbedError::Tokenize { index, source })
        };
        texts.par_iter().enumerate().map(encode).collect()
    }

    /// Tokenizes the beginning of `text`, and more of it as long as the model would read more.
    fn encode_one(&self, text: &str) -> tokenizers::Result<Tokens> {
        let mut n_bytes = self.max_tokens * BYTES_PER_TOKEN;
        loop {
            let head = head(text, n_bytes);
            let encoding = self.tokenizer.encode_fast(head, true)?;
            let full = !encoding.get_overflowing().is_empty();
            if full || head.len() == text.len() {
                return Ok(Tokens { ids: encoding.get_ids().to_vec(), truncated: full });
            }
            n_bytes *= 4;
        }
    }
}

/// About the first `n_bytes` of `text`, cut before white space where there is some: a word cut in two would give other
/// tokens than the whole text does. Only the last word of a head can differ, and a head is used only if its tokens
/// overflow, that is, if its last word is not read.
fn head(text: &str, n_bytes: usize) -> &str {
    let cut = tamis_core::text::cut(text, n_bytes);
    if cut.len() == text.len() {
        return cut;
    }
    match cut.rfind(char::is_whitespace) {
        Some(end) if 0 < end => &cut[..end],
        _ => cut,
    }
}
