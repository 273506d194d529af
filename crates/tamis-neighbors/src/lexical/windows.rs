//! Long texts in parts.

use std::ops::Range;

/// The bytes of the windows of a text: runs of `n_words` words, which white space separates. Each begins half a window after
/// the one before it, the last one ends with the text. A text of at most `n_words` words is one window as a whole.
///
/// A run of words that stands in two longer texts is seen almost alike by two of their windows: where both begin depends on
/// the texts, in steps of s = `n_words` / 2 (rounded down), so two of them begin at most s / 2 words apart within the run.
/// Both are within it but for these words where it has `n_words + s` words or more. Then at least
/// i = `n_words` - s / 2 - n + 1 of their shingles of n words are the same, at most d = s / 2 of each are not, and where no
/// shingle of the run stands in it twice, their Jaccard similarity is at least i / (i + 2 d), their containment i / (i + d).
///
/// # Panics
/// When a window has less than 2 words.
///
/// ```
/// use tamis_neighbors::windows;
/// assert_eq!(windows(" a b c d e ", 4), [1..8, 3..10]); // the last one could not begin at the e
/// assert_eq!(windows(" a b c d ", 4), [0..9]);
/// ```
#[must_use]
pub fn windows(text: &str, n_words: usize) -> Vec<Range<usize>> {
    assert!(2 <= n_words, "because half a window is a step");
    let n = text.split_whitespace().count();
    if n <= n_words {
        return std::iter::once(0..text.len()).collect();
    }
    let regular = (0..n - n_words).step_by(n_words / 2);
    let mut windows: Vec<Range<usize>> = regular.chain([n - n_words]).map(|word| word..word + n_words).collect();
    // From words to bytes: both begins and ends ascend.
    let (mut begun, mut ended) = (0, 0);
    for (word, it) in text.split_whitespace().enumerate() {
        let at = it.as_ptr().addr() - text.as_ptr().addr();
        if let Some(window) = windows.get_mut(begun).filter(|window| window.start == word) {
            window.start = at;
            begun += 1;
        }
        if let Some(window) = windows.get_mut(ended).filter(|window| window.end == word + 1) {
            window.end = at + it.len();
            ended += 1;
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(n: usize, n_words: usize) -> Vec<String> {
        let text: String = (0..n).map(|word| format!(" {word}\u{a0}\n")).collect();
        let window = |bytes: Range<usize>| {
            let words: Vec<&str> = text[bytes].split_whitespace().collect();
            format!("{}-{}", words[0], words[words.len() - 1])
        };
        windows(&text, n_words).into_iter().map(window).collect()
    }

    #[test]
    fn windows_overlap_by_half_and_cover_the_text() {
        assert_eq!(words(4, 4), ["0-3"]);
        assert_eq!(words(5, 4), ["0-3", "1-4"]);
        assert_eq!(words(6, 4), ["0-3", "2-5"]);
        assert_eq!(words(7, 4), ["0-3", "2-5", "3-6"]);
        assert_eq!(words(8, 4), ["0-3", "2-5", "4-7"]);
        assert_eq!(words(8, 5), ["0-4", "2-6", "3-7"]);
        assert_eq!(words(4, 2), ["0-1", "1-2", "2-3"]);
    }

    #[test]
    fn a_text_without_words_is_one_window() {
        for text in ["", " \n"] {
            assert_eq!(format!("{:?}", windows(text, 9)), format!("[0..{}]", text.len()));
        }
    }
}
