//! The one place where text is normalized.
//!
//! Two texts are compared at three levels: their bytes, their text with case and white space folded, and their letters
//! and digits alone. Joins over words use the same functions, so that "the same text" means one thing in every check.
//! What two texts have in common is said in [`words`].

use std::ops::Range;

/// Lower-cases `text` and folds every run of white space into one space, none at the ends.
///
/// Lower case is Unicode's, without locale; white space is the property `White_Space`.
///
/// ```
/// assert_eq!(tamis_core::text::fold("  The\n\tGPL  "), "the gpl");
/// ```
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        push_lower(&mut out, word);
    }
    out
}

/// Keeps the letters and digits of `text`, lower-cased; everything else goes.
///
/// Letters and digits are Unicode's `Alphabetic`, `Nd`, `Nl` and `No`. A text of punctuation or emoji alone gives the empty
/// string, and then says nothing about what the text is: see [`crate::fingerprint::IdentityLevel::Alphanumeric`].
///
/// ```
/// assert_eq!(tamis_core::text::alphanumeric("Don't -- panic! 42"), "dontpanic42");
/// ```
#[must_use]
pub fn alphanumeric(text: &str) -> String {
    alphanumeric_of_folded(&fold(text))
}

/// [`alphanumeric`] of a text that [`fold`] has already been through: the levels are nested by construction.
#[must_use]
pub fn alphanumeric_of_folded(folded: &str) -> String {
    folded.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Where the words of `text` stand, in bytes: runs of letters and digits, whatever stands between them.
///
/// Letters and digits are those of [`alphanumeric`]. Scripts that put no space between words have none to go by: each of
/// their letters (Han, Hiragana, Katakana, Thai, Lao, Khmer, Burmese) is a word of its own.
///
/// ```
/// let text = "It's 7 o'clock; 東京";
/// let words: Vec<&str> = tamis_core::text::words(text).map(|it| &text[it]).collect();
/// assert_eq!(words, ["It", "s", "7", "o", "clock", "東", "京"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = rest.find(|(_, c)| c.is_alphanumeric())?;
        let mut end = start + first.len_utf8();
        if !is_a_word(first) {
            while let Some((at, c)) = rest.next_if(|(_, c)| c.is_alphanumeric() && !is_a_word(*c)) {
                end = at + c.len_utf8();
            }
        }
        Some(start..end)
    })
}

/// Whether a letter is a word of its own. Blocks of the Unicode standard, version 16.
fn is_a_word(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

fn push_lower(out: &mut String, word: &str) {
    if word.is_ascii() {
        out.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        // The whole word at once: a final sigma depends on its neighbors.
        out.push_str(&word.to_lowercase());
    }
}

/// Cuts `text` to at most `max_bytes`, at a character boundary.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_differ_by_what_they_ignore() {
        assert_eq!(fold("MIT  License"), fold("mit\u{a0}license"));
        assert_ne!(fold("MIT License."), fold("MIT License"));
        assert_eq!(alphanumeric("MIT License."), alphanumeric("(MIT) license"));
        assert_eq!(alphanumeric("!?"), "");
    }

    #[test]
    fn cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("a", 99), "a");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in ".*") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        /// The levels are nested: what is equal folded is equal in letters and digits.
        #[test]
        fn folded_text_has_the_same_letters(text in "(?s).*") {
            let letters: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            prop_assert_eq!(alphanumeric_of_folded(&fold(&text)), letters);
        }
    }
}
