//! WordPiece as BERT's tokenizers do it, in one pass over the text.
//!
//! The ids are those of the tokenizers library, which normalizes the whole text, splits it, and then looks for pieces.
//! Here a text is cut at ASCII white space, ASCII punctuation and added tokens, and each part is done with before the
//! next is looked at. That is the same because nothing in the normalization crosses such a place: dropping, spacing,
//! stripping and lower-casing look at one character alone; canonical decomposition reorders combining marks, but never
//! across a character of combining class 0, as all of ASCII is; and no word goes on behind white space or punctuation.
//! Words of ASCII alone need no normalization but lower case, which the trie's lookup does on the way.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{Encoding, Model as _, PostProcessor as _, Token, Tokenizer};

use super::Tokens;
use super::normalize::{is_dropped, is_punctuation, normalize};
use super::trie::Trie;

/// The set of pieces that begin a word.
const FIRST: u32 = 0;

/// The set of pieces that continue a word.
const NEXT: u32 = 1;

/// The set of added tokens.
const ADDED: u32 = 2;

/// A tokenizer of BERT's kind. Every id is that of the tokenizers library.
#[derive(Debug)]
pub struct WordPiece {
    classes: [Class; 256],
    normalizer: BertNormalizer,
    pieces: Pieces,
    /// What stands before and after the tokens of a text, as a rule \[CLS\] and \[SEP\].
    frame: (Vec<u32>, Vec<u32>),
    /// How many tokens there may be inside of the frame.
    n_inside: usize,
}

/// What a byte outside of a word is the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// An ASCII character that is part of a word.
    Letter,
    /// ASCII white space.
    Space,
    /// An ASCII character that is a word of its own.
    Punctuation,
    /// The same, and an added token may begin there.
    Opening,
    /// A character that is not ASCII, or one that is dropped.
    Other,
}

impl WordPiece {
    /// Takes over from `tokenizer`, for texts of at most `max_tokens`, whatever truncation and padding it is set to.
    ///
    /// `None` unless it is a `BertNormalizer`, a `BertPreTokenizer`, a `WordPiece` model whose unknown token is in the
    /// vocabulary, a `TemplateProcessing` or `BertProcessing` that puts at least one token around a text, and added
    /// tokens that begin with ASCII punctuation and are looked for as they are (not normalized, not as single words,
    /// not with the white space around them).
    #[must_use]
    pub fn new(tokenizer: &Tokenizer, max_tokens: usize) -> Option<Self> {
        Self::with_vocabulary(tokenizer, &tokenizer.get_model().get_vocab(), max_tokens)
    }

    /// The same for whoever has a copy of the model's vocabulary already.
    pub(crate) fn with_vocabulary(
        tokenizer: &Tokenizer,
        vocabulary: &HashMap<String, u32>,
        max_tokens: usize,
    ) -> Option<Self> {
        let Some(NormalizerWrapper::BertNormalizer(normalizer)) = tokenizer.get_normalizer() else { return None };
        let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = tokenizer.get_pre_tokenizer() else { return None };
        let ModelWrapper::WordPiece(model) = tokenizer.get_model() else { return None };
        let (PostProcessorWrapper::Template(_) | PostProcessorWrapper::Bert(_)) = tokenizer.get_post_processor()?
        else {
            return None;
        };
        let frame = around(tokenizer).filter(|(before, after)| 0 < before.len() + after.len())?;
        let n_inside = max_tokens.checked_sub(frame.0.len() + frame.1.len())?;

        let mut classes = classes(*normalizer);
        let added: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
        for (_, token) in &added {
            let class = &mut classes[usize::from(*token.content.as_bytes().first()?)];
            let literal = !(token.normalized || token.single_word || token.lstrip || token.rstrip);
            if !literal || !matches!(class, Class::Punctuation | Class::Opening) {
                return None;
            }
            *class = Class::Opening;
        }

        let prefix = model.continuing_subword_prefix.as_bytes();
        let first: Vec<(&[u8], u32)> = vocabulary.iter().map(|(word, &id)| (word.as_bytes(), id)).collect();
        let next = first.iter().filter_map(|&(word, id)| Some((word.strip_prefix(prefix)?, id))).collect();
        let added = added.iter().map(|(id, token)| (token.content.as_bytes(), *id)).collect();
        let lower = |byte: u8| if normalizer.lowercase { byte.to_ascii_lowercase() } else { byte };
        let pieces = Pieces {
            trie: Trie::new([first, next, added])?,
            fold: BYTES.map(lower),
            unknown: *vocabulary.get(&model.unk_token)?,
            max_chars: model.max_input_chars_per_word,
        };
        Some(Self { classes, normalizer: *normalizer, pieces, frame, n_inside })
    }

    /// The same without the special tokens around a text; as many of its own take their place.
    #[must_use]
    pub(crate) fn without_special_tokens(self) -> Self {
        let n_inside = self.n_inside + self.frame.0.len() + self.frame.1.len();
        Self { frame: Default::default(), n_inside, ..self }
    }

    /// Tokenizes `text` as far as the word that holds the first token that is not read.
    ///
    /// O(bytes up to there) in time. In memory, the ids, one word, and combining marks until the character on which the
    /// next ones would stand.
    #[must_use]
    pub fn encode(&self, text: &str) -> Tokens {
        let (before, after) = &self.frame;
        let end = before.len() + self.n_inside;
        let mut output = Output { ids: before.clone(), end, word: Vec::new(), n_chars: 0 };
        self.tokenize(text, &mut output);
        let mut ids = output.ids;
        let truncated = end < ids.len();
        ids.truncate(end);
        ids.extend_from_slice(after);
        Tokens { ids, truncated }
    }

    /// Appends the tokens of `text`, up to the word that fills the output.
    fn tokenize(&self, text: &str, output: &mut Output) {
        let class = |byte: u8| self.classes[usize::from(byte)];
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() && !output.is_full() {
            let rest = &bytes[at..];
            at += match class(rest[0]) {
                Class::Space => 1,
                Class::Letter => {
                    let n_bytes = rest.iter().position(|&byte| class(byte) != Class::Letter).unwrap_or(rest.len());
                    if rest.get(n_bytes).is_some_and(|&byte| class(byte) == Class::Other) {
                        self.tokenize_run(&text[at..], output)
                    } else {
                        self.pieces.push(&rest[..n_bytes], n_bytes, &mut output.ids);
                        n_bytes
                    }
                }
                Class::Other => self.tokenize_run(&text[at..], output),
                Class::Opening if let Some((n_bytes, id)) = self.pieces.trie.longest(ADDED, rest, &BYTES) => {
                    output.ids.push(id);
                    n_bytes
                }
                Class::Opening | Class::Punctuation => {
                    self.pieces.push(&rest[..1], 1, &mut output.ids);
                    1
                }
            };
        }
    }

    /// Appends the tokens of `text` up to the next ASCII white space or punctuation, and returns how many bytes that is.
    fn tokenize_run(&self, text: &str, output: &mut Output) -> usize {
        let goes_on = |c: char| !c.is_ascii() || matches!(self.classes[c as usize], Class::Letter | Class::Other);
        let mut n_bytes = 0;
        let run = text.chars().take_while(|&c| goes_on(c)).inspect(|c| n_bytes += c.len_utf8());
        // It breaks when the output is full, and then nobody asks for more.
        let _ = normalize(self.normalizer, run, |c| {
            output.push(c, &self.pieces);
            if output.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        output.end_word(&self.pieces);
        n_bytes
    }
}

/// The tokens of a text so far, and the word that is being read where it is not read in place.
struct Output {
    ids: Vec<u32>,
    /// Ids past this length are not read.
    end: usize,
    /// The normalized word, cut where it is too long to be known.
    word: Vec<u8>,
    n_chars: usize,
}

impl Output {
    fn is_full(&self) -> bool {
        self.end < self.ids.len()
    }

    /// Takes the next character of a normalized text.
    fn push(&mut self, c: char, pieces: &Pieces) {
        if c.is_whitespace() {
            self.end_word(pieces);
        } else if is_punctuation(c) {
            self.end_word(pieces);
            self.lengthen(c, pieces);
            self.end_word(pieces);
        } else {
            self.lengthen(c, pieces);
        }
    }

    fn lengthen(&mut self, c: char, pieces: &Pieces) {
        self.n_chars += 1;
        if self.n_chars <= pieces.max_chars {
            self.word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn end_word(&mut self, pieces: &Pieces) {
        if 0 < self.n_chars {
            pieces.push(&self.word, self.n_chars, &mut self.ids);
            self.word.clear();
            self.n_chars = 0;
        }
    }
}

/// The vocabulary.
#[derive(Debug)]
struct Pieces {
    trie: Trie,
    /// What is looked up for a byte of a word: its lower case, if the tokenizer knows no other.
    fold: [u8; 256],
    /// The id of a word that is not made of pieces.
    unknown: u32,
    /// Longer words are unknown.
    max_chars: usize,
}

impl Pieces {
    /// Appends the ids of a word of `n_chars` characters: the longest piece that it begins with, then the longest that
    /// goes on from there. O(n m) for n bytes and pieces of up to m bytes.
    #[inline]
    fn push(&self, word: &[u8], n_chars: usize, ids: &mut Vec<u32>) {
        let n_before = ids.len();
        let mut rest = if n_chars <= self.max_chars { word } else { &[] };
        let mut set = FIRST;
        while let Some((n_bytes, id)) = self.trie.longest(set, rest, &self.fold) {
            ids.push(id);
            rest = &rest[n_bytes..];
            set = NEXT;
        }
        if !rest.is_empty() || ids.len() == n_before {
            ids.truncate(n_before);
            ids.push(self.unknown);
        }
    }
}

/// Every byte as it is.
const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = u8::MAX;
    while 0 < byte {
        bytes[byte as usize] = byte;
        byte -= 1;
    }
    bytes
};

/// Returns what every byte is the beginning of; no token is added yet.
fn classes(normalizer: BertNormalizer) -> [Class; 256] {
    BYTES.map(|byte| match char::from(byte) {
        c if !c.is_ascii() || (normalizer.clean_text && is_dropped(c)) => Class::Other,
        c if c.is_whitespace() => Class::Space,
        c if is_punctuation(c) => Class::Punctuation,
        _ => Class::Letter,
    })
}

/// Returns what `tokenizer` puts before and after the tokens of a text; `None` if it does anything else.
pub(crate) fn around(tokenizer: &Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let Some(processor) = tokenizer.get_post_processor() else { return Some(Default::default()) };
    let inside = Encoding::from_tokens(vec![Token::new(u32::MAX, String::new(), (0, 0))], 0);
    let framed = processor.process(inside, None, true).ok()?;
    let mut parts = framed.get_ids().split(|&id| id == u32::MAX).map(<[u32]>::to_vec);
    let (before, after) = (parts.next()?, parts.next()?);
    let n_added = before.len() + after.len();
    (parts.next().is_none() && n_added == processor.added_tokens(false)).then_some((before, after))
}

#[cfg(test)]
mod tests;
