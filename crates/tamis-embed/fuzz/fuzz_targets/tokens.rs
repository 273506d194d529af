//! The tokenizer alone, by path, so that candle is not built.

#[path = "../../src/tokens/normalize.rs"]
mod normalize;
#[path = "../../src/tokens/trie.rs"]
mod trie;
#[path = "../../src/tokens/wordpiece.rs"]
mod wordpiece;

pub use wordpiece::WordPiece;

/// The tokens of one text, as in the crate.
pub struct Tokens {
    pub ids: Vec<u32>,
    pub truncated: bool,
}
