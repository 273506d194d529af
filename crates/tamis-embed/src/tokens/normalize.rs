//! What `BertNormalizer` and `BertPreTokenizer` of the tokenizers library do to a text, character by character.
//!
//! Written from `normalizers/bert.rs` and `pre_tokenizers/bert.rs` of tokenizers 0.23.2, over the tables that it uses:
//! those of the crates `unicode_categories` and `unicode-normalization-alignments`, which are older than those of the
//! standard library.

use std::ops::ControlFlow;

use tokenizers::normalizers::BertNormalizer;
use unicode_categories::UnicodeCategories as _;
use unicode_normalization_alignments::UnicodeNormalization as _;

/// Whether a character is dropped by `clean_text`. Vertical tab, form feed and U+0085 are, though they are white space:
/// dropped, they join the words on both sides.
pub(super) fn is_dropped(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        ' '..='~' => false,
        '\0' | '\u{fffd}' => true,
        _ => c.is_other(),
    }
}

/// Whether a character is a word of its own.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { c.is_punctuation() }
}

/// Whether a character is in one of the blocks of Chinese characters that get white space around them.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x3400..=0x4DBF
            | 0x4E00..=0x9FFF
            | 0xF900..=0xFAFF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0x2F800..=0x2FA1F
    )
}

/// Gives the characters of `text`, normalized, to `emit` until it breaks.
pub(super) fn normalize(
    options: BertNormalizer,
    text: impl Iterator<Item = char>,
    mut emit: impl FnMut(char) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase, .. } = options;
    let cleaned = text.filter(|&c| !(clean_text && is_dropped(c)));
    let mut spaced = cleaned.flat_map(|c| {
        let padded = [' ', c, ' '];
        let range = if handle_chinese_chars && is_chinese(c) { 0..3 } else { 1..2 };
        range.map(move |index| padded[index])
    });
    let mut fold = |c: char| if lowercase { c.to_lowercase().try_for_each(&mut emit) } else { emit(c) };
    if strip_accents.unwrap_or(lowercase) {
        spaced.nfd().map(|(c, _)| c).filter(|c| !c.is_mark_nonspacing()).try_for_each(fold)
    } else {
        spaced.try_for_each(&mut fold)
    }
}
