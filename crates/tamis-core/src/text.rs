//! The one place where text is normalized.
//!
//! Two texts are compared at three levels: their bytes, their text with case and white space folded, and their letters
//! and digits alone. Joins over words use the same functions, so that "the same text" means one thing in every check.

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
        fn folded_text_has_the_same_letters(text in ".*") {
            prop_assert_eq!(alphanumeric(&fold(&text)), alphanumeric(&text));
        }
    }
}
