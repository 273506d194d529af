//! Columns, wrapping and color on a terminal.

/// Says how a piece of text is meant; shown by color and weight where those may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A heading.
    Strong,
    /// Something to look at second.
    Faint,
    /// Something broken, or severity high.
    Alarm,
    /// Severity medium.
    Warning,
    /// Severity low.
    Notice,
    /// As it is.
    Plain,
}

impl From<tamis_core::Severity> for Ink {
    fn from(severity: tamis_core::Severity) -> Self {
        match severity {
            tamis_core::Severity::High => Self::Alarm,
            tamis_core::Severity::Medium => Self::Warning,
            tamis_core::Severity::Low => Self::Notice,
            tamis_core::Severity::Info => Self::Plain,
        }
    }
}

/// Wraps `text` in the ANSI sequences of `ink`, if colors may be used.
pub(crate) fn paint(color: bool, ink: Ink, text: &str) -> String {
    let code = match ink {
        Ink::Strong => "1",
        Ink::Faint => "2",
        Ink::Alarm => "1;31",
        Ink::Warning => "33",
        Ink::Notice => "36",
        Ink::Plain => return text.to_owned(),
    };
    if !color || text.is_empty() {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Columns that `text` takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// Appends spaces up to `width` columns.
pub(crate) fn pad_end(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Puts spaces before `text`, up to `width` columns.
pub(crate) fn pad_start(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Breaks `text` into lines of at most `width` columns, at spaces where there are any; at least one line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|it| !it.is_empty()) {
        let word_columns = columns(word);
        if 0 < used && width < used + 1 + word_columns {
            lines.push(String::new());
            used = 0;
        }
        if 0 < used {
            push(&mut lines, ' ');
            used += 1;
        }
        for c in word.chars() {
            if 0 < used && width < used + char_columns(c) {
                lines.push(String::new());
                used = 0;
            }
            push(&mut lines, c);
            used += char_columns(c);
        }
    }
    lines
}

fn push(lines: &mut [String], c: char) {
    lines.last_mut().expect("because there is always a line").push(c);
}

/// Two for East Asian wide characters and emoji, none for combining ones, one for everything else.
///
/// The blocks are those of Unicode's `EastAsianWidth.txt` (W and F) and the combining blocks, without single exceptions:
/// enough to keep lines within the terminal.
fn char_columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x1ab0..=0x1aff | 0x200c..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_stay_within_the_width() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn words_longer_than_a_line_are_broken() {
        assert_eq!(wrap("a bcdefghij", 4), ["a", "bcde", "fghi", "j"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(columns("猫a\u{301}"), 3);
        assert_eq!(wrap("猫猫猫", 4), ["猫猫", "猫"]);
    }

    #[test]
    fn color_is_used_only_where_it_may_be() {
        assert_eq!(paint(false, Ink::Alarm, "x"), "x");
        assert_eq!(paint(true, Ink::Alarm, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
