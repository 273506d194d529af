//! Invalid UTF-8 is read with replacement, and the bytes are kept for the identity of the sample.

use serde_json::Value;

use crate::row::{Cell, Text};

/// First of 256 private-use characters that stand for stray bytes inside JSON; the last plane is used by nobody else.
const STAND_IN: u32 = 0x10_FF00;

/// Reads `bytes` as UTF-8; invalid parts become U+FFFD.
pub(crate) fn text(bytes: Vec<u8>) -> Text {
    match String::from_utf8(bytes) {
        Ok(text) => Text::plain(text),
        Err(error) => {
            let raw = error.into_bytes();
            Text { text: String::from_utf8_lossy(&raw).into_owned(), raw: Some(raw), mended: true }
        }
    }
}

/// Makes valid UTF-8 of `bytes` in which each stray byte is one private-use character, so that a parser of text can go
/// over it; [`restore`] brings the bytes back.
pub(crate) fn stand_in(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(STAND_IN + u32::from(*byte))));
    }
    out
}

/// Does the same for halves of surrogate pairs among the escapes of JSON; the bytes are those of WTF-8.
pub(crate) fn stand_in_for_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let len = match (surrogate(escape), surrogate(escape.get(6..).unwrap_or_default())) {
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
            (Some(0xd800..=0xdbff), Some(0xdc00..)) => 12,
            (Some(half), _) => {
                let bytes = [0xe0 | half >> 12, 0x80 | half >> 6 & 0x3f, 0x80 | half & 0x3f];
                out.extend(bytes.iter().filter_map(|byte| char::from_u32(STAND_IN + byte)));
                rest = &escape[6..];
                continue;
            }
        };
        out.push_str(&escape[..len]);
        rest = &escape[len..];
    }
    out.push_str(rest);
    out
}

/// The surrogate that `text` begins with as an escape: `\ud800` to `\udfff`.
fn surrogate(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    (0xd800..=0xdfff).contains(&code).then_some(code)
}

/// Undoes [`stand_in`] in a cell.
pub(crate) fn restore(cell: Cell) -> Cell {
    match cell {
        Cell::Text(it) => Cell::Text(restore_text(&it.text)),
        Cell::Nested(value) => Cell::Nested(restore_json(value)),
        Cell::Null | Cell::Scalar(_) | Cell::Image(_) => cell,
    }
}

fn restore_text(text: &str) -> Text {
    let mut raw = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match u32::from(c).checked_sub(STAND_IN).map(u8::try_from) {
            Some(Ok(byte)) => raw.push(byte),
            _ => raw.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    self::text(raw)
}

fn restore_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(restore_text(&text).text),
        Value::Array(items) => Value::Array(items.into_iter().map(restore_json).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, restore_json(v))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stray_bytes_become_replacement_characters() {
        let it = text(b"caf\xe9".to_vec());
        assert_eq!((it.text.as_str(), it.raw.as_deref(), it.mended), ("caf\u{fffd}", Some(&b"caf\xe9"[..]), true));
        assert_eq!(text(b"ok".to_vec()), Text::plain("ok"));
    }

    proptest! {
        #[test]
        fn only_surrogates_are_replaced(text: String) {
            let json = Value::from(text).to_string();
            prop_assert_eq!(stand_in_for_surrogates(&json), json);
        }

        #[test]
        fn surrogates_are_found_anywhere(text in r#"(\\\\|\\u|d8|dc|00|é|"| |\\)*"#) {
            let mended = stand_in_for_surrogates(&text);
            prop_assert!(text.len() <= mended.len());
        }

        #[test]
        fn standing_in_loses_no_byte(bytes: Vec<u8>) {
            let restored = restore_text(&stand_in(&bytes));
            prop_assert_eq!(restored.bytes(), &bytes[..]);
        }
    }
}
