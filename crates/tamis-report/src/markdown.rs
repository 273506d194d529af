//! Text of the data between Markdown.

use crate::snippet::visible;

/// Text between Markdown: nothing in it is markup, a mention or a cell.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A zero-width space keeps people and issues from being mentioned.
            '@' | '#' => {
                out.push(c);
                out.push('\u{200b}');
            }
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '|' | '!' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// A code span with text that may hold anything: the fence is longer than any run of backticks in it.
pub(crate) fn code(text: &str) -> String {
    let text = visible(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank on both sides goes away again; without it a backtick would join the fence, and an empty span would be none.
    if text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        return format!("{fence} {text} {fence}");
    }
    format!("{fence}{text}{fence}")
}

/// The same in a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_where_it_should() {
        assert_eq!(code("@user #123 <b>"), "`@user #123 <b>`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!([code("`"), code(""), code(" x")], ["`` ` ``", "`  `", "`  x `"]);
        assert_eq!(code("a\n```\n# b"), "````a\\n```\\n# b````");
    }

    #[test]
    fn markup_and_mentions_of_the_data_are_text() {
        assert_eq!(escaped("a|b <img> @user `x`\n"), "a\\|b &lt;img&gt; @\u{200b}user \\`x\\` ");
    }
}
