//! Tokenizing on all cores, never more of a text than the model reads.
//!
//! [`WordPiece`] gives the ids of the tokenizers library for tokenizers of BERT's kind; all others are left to the
//! library.

mod normalize;
mod trie;
mod wordpiece;

use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::{Model as _, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::{EmbedError, ModelError, ModelFiles};

pub use wordpiece::WordPiece;
pub(crate) use wordpiece::around;

/// Bytes of a text that the library looks at first, per token that the model reads: English WordPiece tokens are 4 to 5
/// bytes long, so one look suffices for nearly every text, and a 10 MB text costs no more than a page.
const BYTES_PER_TOKEN: usize = 16;

/// The tokens of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids with the special tokens around them; at most `max_tokens` of the manifest.
    pub ids: Vec<u32>,
    /// Whether the text goes on after them.
    pub truncated: bool,
}

/// A model's tokenizer, set to its longest input.
pub(crate) struct TextTokenizer {
    way: Way,
    /// The largest id that it gives, with its token.
    pub(crate) last: (u32, String),
}

/// Who tokenizes.
enum Way {
    /// We, for tokenizers of BERT's kind.
    WordPiece(Box<WordPiece>),
    /// The library, for all others.
    Library(Box<LibraryTokenizer>),
}

/// A tokenizer of the tokenizers library, set to truncate.
pub(crate) struct LibraryTokenizer {
    tokenizer: Tokenizer,
    special: SpecialTokens,
    max_tokens: usize,
}

/// Whether the special tokens stand around a text, as its tokenizer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpecialTokens {
    /// They do.
    Around,
    /// The model was made for texts without them.
    None,
}

/// Reads the tokenizer `file`.
pub(crate) fn read(files: &ModelFiles, file: &str) -> Result<Tokenizer, ModelError> {
    let bytes = files.require(file, "the tokenizer in the format of the Hugging Face tokenizers library")?;
    Tokenizer::from_bytes(&bytes).map_err(|error| files.malformed(file, error))
}

impl TextTokenizer {
    /// Loads the tokenizer `file`, for texts of at most `max_tokens`.
    pub(crate) fn load(
        files: &ModelFiles,
        file: &str,
        special: SpecialTokens,
        max_tokens: usize,
    ) -> Result<Self, ModelError> {
        let mut tokenizer = read(files, file)?;
        let vocabulary = tokenizer.get_model().get_vocab();
        let ours = WordPiece::with_vocabulary(&tokenizer, &vocabulary, max_tokens);
        let last = last(&tokenizer, vocabulary);
        if let Some(ours) = ours {
            let ours = if special == SpecialTokens::None { ours.without_special_tokens() } else { ours };
            return Ok(Self { way: Way::WordPiece(Box::new(ours)), last });
        }
        // The library forgets what it cut where it adds no special tokens, so one more token is asked for to see it.
        let n_more = usize::from(special == SpecialTokens::None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens + n_more,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| files.malformed(file, error))?;
        tokenizer.with_padding(None);
        let way = Way::Library(Box::new(LibraryTokenizer { tokenizer, special, max_tokens }));
        Ok(Self { way, last })
    }

    /// Tokenizes `texts`, in order.
    pub(crate) fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Tokens>, EmbedError> {
        let encode = |(index, text): (usize, &T)| match &self.way {
            Way::WordPiece(tokenizer) => Ok(tokenizer.encode(text.as_ref())),
            Way::Library(tokenizer) => {
                tokenizer.encode(text.as_ref()).map_err(|source| EmbedError::Tokenize { index, source })
            }
        };
        texts.par_iter().enumerate().map(encode).collect()
    }
}

impl LibraryTokenizer {
    /// Tokenizes the beginning of `text`, and more of it as long as the model would read more.
    fn encode(&self, text: &str) -> tokenizers::Result<Tokens> {
        let mut n_bytes = self.max_tokens.saturating_mul(BYTES_PER_TOKEN);
        loop {
            let head = head(text, n_bytes);
            let encoding = self.tokenizer.encode_fast(head, self.special == SpecialTokens::Around)?;
            let mut ids = encoding.get_ids().to_vec();
            let full = !encoding.get_overflowing().is_empty() || self.max_tokens < ids.len();
            if full || head.len() == text.len() {
                ids.truncate(self.max_tokens);
                return Ok(Tokens { ids, truncated: full });
            }
            n_bytes = n_bytes.saturating_mul(4);
        }
    }
}

/// The largest id of the vocabulary, of the added tokens and of the special ones around a text, which may be others, with
/// its token.
fn last(tokenizer: &Tokenizer, vocabulary: HashMap<String, u32>) -> (u32, String) {
    let (before, after) = around(tokenizer).unwrap_or_default();
    let around = before
        .into_iter()
        .chain(after)
        .map(|id| (id, tokenizer.id_to_token(id).unwrap_or_else(|| "a special token".to_owned())));
    let added = tokenizer.get_added_tokens_decoder().into_iter().map(|(id, token)| (id, token.content));
    let vocabulary = vocabulary.into_iter().map(|(token, id)| (id, token));
    vocabulary.chain(added).chain(around).max().unwrap_or_default()
}

/// About the first `n_bytes` of `text`, cut before white space where there is some: a word cut in two would give other
/// tokens than the whole text does. Only the last word of a head can differ, and a head is used only if its tokens
/// overflow, that is, if its last word is not read to its end. A head without white space is one word to this rule: where
/// the library splits such text further (Chinese, Thai), what differs is at its end too.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Loads the tokenizer of the bundled model after `change`.
    fn load(special: SpecialTokens, max_tokens: usize, change: impl FnOnce(&mut Value)) -> TextTokenizer {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/all-minilm-l6-v2/tokenizer.json");
        let mut file = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        change(&mut file);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), serde_json::to_vec(&file).unwrap()).unwrap();
        let files = ModelFiles::Folder(folder.path().to_owned());
        TextTokenizer::load(&files, "tokenizer.json", special, max_tokens).unwrap()
    }

    #[test]
    fn tokenizers_that_are_not_ours_are_the_librarys() {
        let texts = ["Hello, WORLD!", "", "don't stop", &"one two three ".repeat(10_000)];
        let ours = load(SpecialTokens::Around, 8, |_| {});
        let same = json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]});
        let library = load(SpecialTokens::Around, 8, |file| file["pre_tokenizer"] = same);
        assert!(matches!(ours.way, Way::WordPiece(_)));
        assert!(matches!(library.way, Way::Library(_)));
        let tokens = ours.encode(&texts).unwrap();
        assert_eq!(tokens, library.encode(&texts).unwrap());
        assert_eq!(tokens[0], Tokens { ids: vec![101, 7592, 1010, 2088, 999, 102], truncated: false });
        assert_eq!((tokens[3].ids.len(), tokens[3].truncated), (8, true));
    }

    #[test]
    fn special_tokens_are_left_out_where_the_model_has_none() {
        let same = json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]});
        let ours = load(SpecialTokens::None, 3, |_| {});
        let library = load(SpecialTokens::None, 3, |file| file["pre_tokenizer"] = same);
        let tokens = ours.encode(&["Hello, WORLD!", ""]).unwrap();
        assert_eq!(tokens[0], Tokens { ids: vec![7592, 1010, 2088], truncated: true });
        assert_eq!(tokens[1], Tokens { ids: vec![], truncated: false });
        assert_eq!(tokens, library.encode(&["Hello, WORLD!", ""]).unwrap());
    }
}
