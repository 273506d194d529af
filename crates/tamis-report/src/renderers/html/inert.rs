//! JSON in which nothing means anything to HTML, and what it takes on the page.

use serde::Serialize;

use crate::snippet::is_hidden;

/// A value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("because all keys are strings and all numbers were found to be finite")
}

/// Bytes that a value takes on the page.
pub(super) fn cost<T: Serialize>(value: &T) -> usize {
    let text = json(value);
    let escaped: usize = text.chars().filter(|c| is_escaped(*c)).map(|c| c.len_utf16() * 6 - c.len_utf8()).sum();
    text.len() + escaped
}

/// Bytes that the values of a list take, with their commas.
pub(super) fn cost_of<T: Serialize>(values: &[T]) -> usize {
    values.iter().map(|it| cost(it) + 1).sum()
}

/// What may not stand in the page as it is: what could be taken for markup, and what is not seen.
fn is_escaped(c: char) -> bool {
    matches!(c, '<' | '>' | '&') || is_hidden(c)
}

/// JSON without a character that means something to HTML: these only stand within strings, where an escape says the same.
pub(super) fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_escaped(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}
