//! Cutting and escaping of texts for people.
//!
//! The texts of a dataset are untrusted: they may hold terminal sequences, characters that reverse or hide their
//! neighbors, and megabytes. What is shown has none of them left: such characters appear as `\u{202e}`.

use std::fmt::Write as _;

/// Characters shown before the place where two texts begin to differ.
const LEAD: usize = 40;

/// A part of a text, with marks where something is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The part, with `…` at an end that was cut.
    pub(crate) text: String,
    /// Whether it begins where the text begins.
    pub(crate) from_start: bool,
    /// Whether it ends where the given text ends.
    pub(crate) to_end: bool,
}

/// Shows names, messages and paths: on one line, nothing hidden.
#[must_use]
pub fn visible(text: &str) -> String {
    escape(text, |_| false)
}

/// Shows a text over several lines: line ends and tabs stay, everything else that is hidden is escaped.
pub(crate) fn visible_block(text: &str) -> String {
    escape(text, |c| c == '\n' || c == '\t')
}

/// Turns every run of white space into one space and drops it at the ends.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Turns line ends of any system into `\n` and drops white space at the end.
pub(crate) fn lines(text: &str) -> String {
    text.trim_end().replace("\r\n", "\n").replace('\r', "\n")
}

/// Cuts texts that are shown next to each other to `max_chars` characters each.
///
/// All begin at the same place: at their beginning, or, where that would hide the first difference, shortly before it.
pub(crate) fn excerpts(texts: &[String], max_chars: usize) -> Vec<Excerpt> {
    let start = match first_difference(texts) {
        Some(at) if max_chars < at + LEAD => word_start(&texts[0], at.saturating_sub(LEAD)),
        _ => 0,
    };
    texts.iter().map(|text| excerpt(text, start, max_chars)).collect()
}

/// Number of characters before the first one in which any text differs from the first text; `None` where all are equal.
///
/// A text that goes on where another ends does not count as different: long texts are read in part, and such an end may be
/// where reading stopped.
fn first_difference(texts: &[String]) -> Option<usize> {
    let (first, rest) = texts.split_first()?;
    let common = |other: &String| first.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let differs = |other: &&String| !first.starts_with(other.as_str()) && !other.starts_with(first.as_str());
    rest.iter().filter(differs).map(common).min()
}

/// The first character after a space from `start` on, if it comes before half of the lead is gone; else `start`.
fn word_start(text: &str, start: usize) -> usize {
    let space = text.chars().skip(start).take(LEAD / 2).position(char::is_whitespace);
    space.map_or(start, |at| start + at + 1)
}

fn excerpt(text: &str, start: usize, max_chars: usize) -> Excerpt {
    let n_chars = text.chars().count();
    // A text that ends before the others differ is shown by its end.
    let start = start.min(n_chars.saturating_sub(LEAD / 2));
    let to_end = n_chars - start <= max_chars;
    let kept = if to_end { max_chars } else { max_chars.saturating_sub(1) };
    let body: String = text.chars().skip(start).take(kept).collect();
    let head = if start == 0 { "" } else { "…" };
    let tail = if to_end { "" } else { "…" };
    Excerpt { text: format!("{head}{body}{tail}"), from_start: start == 0, to_end }
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if keep(c) || !is_hidden(c) {
            out.push(c);
            continue;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => write!(out, "{}", c.escape_unicode()).expect("because writing to a string cannot fail"),
        }
    }
    out
}

/// Whether a character acts on others or cannot be seen.
///
/// These are the control characters, the bidirectional controls (Unicode Standard Annex 9), and the invisible ones that
/// Trojan-source and tag-smuggling attacks use: zero-width space and word joiner, invisible operators, byte order mark,
/// soft hyphen, line and paragraph separators, tags. The joiners U+200C and U+200D stay: Persian, the scripts of India and
/// emoji are written with them.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(texts: &[&str], max_chars: usize) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(|it| (*it).to_owned()).collect();
        excerpts(&texts, max_chars).into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn terminal_sequences_and_reversals_are_escaped() {
        assert_eq!(visible("a\u{1b}[31mb\u{9b}c"), "a\\u{1b}[31mb\\u{9b}c");
        assert_eq!(visible("user\u{202e}fdp.exe"), "user\\u{202e}fdp.exe");
        assert_eq!(visible("two\nlines"), "two\\nlines");
        assert_eq!(visible_block("two\n\tlines\u{0}"), "two\n\tlines\\u{0}");
    }

    #[test]
    fn scripts_that_need_joiners_stay_as_they_are() {
        assert_eq!(visible("می\u{200c}خواهم"), "می\u{200c}خواهم");
    }

    #[test]
    fn white_space_becomes_single_spaces() {
        assert_eq!(one_line("  a \r\n\t b\u{a0}c "), "a b c");
        assert_eq!(lines("a\r\nb\rc\n\n"), "a\nb\nc");
    }

    #[test]
    fn a_cut_is_marked_and_counted() {
        assert_eq!(shown(&["abcdef"], 6), ["abcdef"]);
        assert_eq!(shown(&["abcdefg"], 6), ["abcde…"]);
        assert_eq!(shown(&["äöüß"], 3), ["äö…"]);
    }

    #[test]
    fn texts_that_differ_early_are_shown_from_the_start() {
        assert_eq!(shown(&["one two", "one three"], 100), ["one two", "one three"]);
    }

    #[test]
    fn texts_that_differ_late_are_shown_where_they_differ() {
        let same = "x".repeat(200);
        let texts = [format!("{same} old end"), format!("{same} new end")];
        let lead = "x".repeat(LEAD - 1);
        assert_eq!(
            shown(&[&texts[0], &texts[1]], 80),
            [format!("…{lead} old end"), format!("…{lead} new end")],
            "the same {LEAD} characters lead to the difference"
        );
    }

    #[test]
    fn an_excerpt_begins_with_a_whole_word() {
        let same = "word ".repeat(40);
        let shown = shown(&[&format!("{same}old"), &format!("{same}new")], 80);
        assert!(shown.iter().all(|it| it.starts_with("…word ")), "{shown:?}");
    }

    #[test]
    fn a_beginning_of_another_text_is_no_difference() {
        let same = "x".repeat(200);
        let longer = format!("{same}{}", "y".repeat(200));
        let shown = shown(&[&same, &longer], 80);
        assert_eq!(shown[0], shown[1]);
        assert!(shown[0].starts_with('x') && shown[0].ends_with("x…"));
    }
}
