//! The three hashes of a text.

use tamis_core::{Digest, text};

/// Keeps the hash of a text without letters and digits apart from every hash of letters and digits: neither `:` nor NUL
/// is alphanumeric.
const NO_LETTERS: &[u8] = b"tamis:folded\0";

/// Hashes a text at every level of [`tamis_core::IdentityLevel`], strictest first.
///
/// `raw` are the bytes that `text` was read from. The levels are nested: equal bytes give equal texts, equal folded texts
/// give equal letters and digits.
#[must_use]
pub fn digests(raw: &[u8], text: &str) -> [Digest; 3] {
    let folded = text::fold(text);
    let alphanumeric = text::alphanumeric_of_folded(&folded);
    let last = if alphanumeric.is_empty() {
        blake3::Hasher::new().update(NO_LETTERS).update(folded.as_bytes()).finalize()
    } else {
        blake3::hash(alphanumeric.as_bytes())
    };
    [blake3::hash(raw), blake3::hash(folded.as_bytes()), last].map(|hash| Digest(*hash.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> [Digest; 3] {
        digests(text.as_bytes(), text)
    }

    #[test]
    fn each_level_ignores_more() {
        let [a, b, c] = [of("The GPL."), of("the  gpl."), of("(the gpl)")];
        assert_ne!(a[0], b[0]);
        assert_eq!(a[1], b[1]);
        assert_ne!(b[1], c[1]);
        assert_eq!(b[2], c[2]);
    }

    #[test]
    fn texts_without_letters_stay_apart() {
        assert_ne!(of("!?")[2], of("...")[2]);
        assert_eq!(of("! ?")[2], of("!  ?")[2]);
        assert_ne!(of("!?")[2], of("!?")[1]);
    }

    #[test]
    fn raw_bytes_tell_mended_texts_apart() {
        assert_ne!(digests(b"\xff", "\u{fffd}")[0], digests(b"\xfe", "\u{fffd}")[0]);
    }

    proptest! {
        #[test]
        fn levels_are_nested(a in "[aA .!]{0,6}", b in "[aA .!]{0,6}") {
            let (x, y) = (of(&a), of(&b));
            prop_assert!(x[0] != y[0] || x[1] == y[1]);
            prop_assert!(x[1] != y[1] || x[2] == y[2]);
        }
    }
}
