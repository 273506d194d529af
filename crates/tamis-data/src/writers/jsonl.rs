//! JSON Lines: lines as they stand; of one whose label or split changes, only that value.

use std::io::{self, BufRead};
use std::ops::Range;

use serde_json::Value;

use super::{Target, Writer, Written};
use crate::mend;
use crate::records::{self, Cut, Piece, next_line};
use crate::rewrite::{Edit, Part, RewriteError};

/// The writer.
#[derive(Debug)]
pub(crate) struct Jsonl;

impl Writer for Jsonl {
    fn id(&self) -> &'static str {
        "jsonl"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        records::write(parts, target, |_| Ok(Box::new(Objects)))
    }
}

/// Cuts lines: those that are not blank hold an object.
struct Objects;

impl Cut for Objects {
    fn next(&mut self, reader: &mut dyn BufRead, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        if !next_line(reader, piece)? {
            return Ok(None);
        }
        Ok(Some(if piece.trim_ascii().is_empty() { Piece::Between } else { Piece::Record }))
    }

    fn counts_lines(&self) -> bool {
        true
    }

    fn edit(&self, record: &mut Vec<u8>, edits: &[Edit]) -> Result<(), String> {
        edits.iter().try_for_each(|it| set(record, &it.column, &it.value))
    }
}

/// Gives the last member called `name` another value, or adds one; nothing else in the line changes.
fn set(line: &mut Vec<u8>, name: &str, value: &str) -> Result<(), String> {
    let object = members(line)?;
    let Some(found) = object.members.iter().rev().find(|it| it.name == name) else {
        let comma = if object.members.is_empty() { "" } else { ", " };
        let member = format!("{comma}{}: {}", Value::from(name), json(None, value));
        line.splice(object.end..object.end, member.into_bytes());
        return Ok(());
    };
    let old = parse(&line[found.value.clone()])?;
    if old.is_array() || old.is_object() {
        return Err(format!("`{name}` is a list or an object, expected one value"));
    }
    line.splice(found.value.clone(), json(Some(&old), value).into_bytes());
    Ok(())
}

/// A value as JSON of the kind that stood there: a number or truth value stays one where it can, and stands in for null where
/// it reads as one.
fn json(old: Option<&Value>, value: &str) -> String {
    let is_text = old.is_some_and(Value::is_string);
    match serde_json::from_str(value) {
        Ok(Value::Number(_) | Value::Bool(_)) if !is_text => value.to_owned(),
        _ => Value::from(value).to_string(),
    }
}

struct Object {
    members: Vec<Member>,
    /// Behind the last value, or the opening brace.
    end: usize,
}

struct Member {
    name: String,
    value: Range<usize>,
}

/// Where the values of an object stand in a line that holds one.
fn members(line: &[u8]) -> Result<Object, String> {
    let mut scan = Scan { line, at: 0 };
    scan.expect(b'{')?;
    let mut object = Object { members: Vec::new(), end: scan.at };
    if scan.peek() == Some(b'}') {
        return Ok(object);
    }
    loop {
        scan.peek();
        let name = scan.value()?;
        let Value::String(name) = parse(&line[name])? else { return Err("a name is no string".to_owned()) };
        scan.expect(b':')?;
        scan.peek();
        let value = scan.value()?;
        object.end = value.end;
        object.members.push(Member { name, value });
        match scan.peek() {
            Some(b',') => scan.at += 1,
            Some(b'}') => return Ok(object),
            _ => return Err("the line is no JSON object".to_owned()),
        }
    }
}

/// Parses a value as the reader does: stray bytes and halves of surrogate pairs are no obstacle.
fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = mend::stand_in(bytes);
    let parsed = serde_json::from_str(&text).or_else(|_| serde_json::from_str(&mend::stand_in_for_surrogates(&text)));
    parsed.map_err(|error| error.to_string())
}

/// Walks over JSON that is known to be valid.
struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// The next byte that is no white space, which becomes the current one.
    fn peek(&mut self) -> Option<u8> {
        while self.line.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err("the line is no JSON object".to_owned());
        }
        self.at += 1;
        Ok(())
    }

    /// Goes over the value at the current byte; says where it stands.
    fn value(&mut self) -> Result<Range<usize>, String> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.line.get(self.at).copied() {
            match byte {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if 0 < depth => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if 0 < depth => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        Ok(start..self.at)
    }

    /// Goes over a string.
    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        while let Some(byte) = self.line.get(self.at).copied() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        Err("a string is never closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, name: &str, value: &str, expected: &str) {
        let mut bytes = line.as_bytes().to_vec();
        set(&mut bytes, name, value).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn only_the_value_changes() {
        check(
            "  {\"n\":  123456789012345678901234567890 , \"label\" :\t\"a\", \"x\": {\"label\": [\"}\\\"\"]} }\r\n",
            "label",
            "é \"q\"",
            "  {\"n\":  123456789012345678901234567890 , \"label\" :\t\"é \\\"q\\\"\", \"x\": {\"label\": [\"}\\\"\"]} }\r\n",
        );
        check(r#"{"label":1e0,"a":2}"#, "label", "3", r#"{"label":3,"a":2}"#);
        check(r#"{"label":"1"}"#, "label", "3", r#"{"label":"3"}"#);
        check(r#"{"label":1}"#, "label", "three", r#"{"label":"three"}"#);
        check(r#"{"label":true}"#, "label", "false", r#"{"label":false}"#);
        check(r#"{"label":null}"#, "label", "3", r#"{"label":3}"#);
        check(r#"{"a":1 }"#, "label", "x", r#"{"a":1, "label": "x" }"#);
        check("{ }", "label", "x", "{\"label\": \"x\" }");
        check(r#"{"label":"a","label":"b"}"#, "label", "c", r#"{"label":"a","label":"c"}"#);
        check(r#"{"l\u0061bel":"a"}"#, "label", "c", r#"{"l\u0061bel":"c"}"#);
    }

    #[test]
    fn stray_bytes_stay() {
        let mut line = b"{\"text\": \"caf\xe9 \\ud800\", \"label\": \"a\"}".to_vec();
        set(&mut line, "label", "b").unwrap();
        assert_eq!(line, b"{\"text\": \"caf\xe9 \\ud800\", \"label\": \"b\"}");
    }

    #[test]
    fn a_list_is_no_label() {
        let error = set(&mut br#"{"label": ["a"]}"#.to_vec(), "label", "b").unwrap_err();
        assert_eq!(error, "`label` is a list or an object, expected one value");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..4).prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_reads_back_with_the_new_value(
            members in prop::collection::vec((".*", any_json()), 0..5),
            label: String,
            is_pretty: bool,
        ) {
            let mut object: serde_json::Map<_, _> = members.into_iter().collect();
            object.insert("label".to_owned(), Value::from("old"));
            let text = if is_pretty {
                serde_json::to_string_pretty(&object).unwrap()
            } else {
                serde_json::to_string(&object).unwrap()
            };
            let mut line = text.into_bytes();
            set(&mut line, "label", &label).unwrap();
            object.insert("label".to_owned(), Value::from(label));
            prop_assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), Value::Object(object));
        }
    }
}
