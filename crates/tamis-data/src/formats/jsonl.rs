//! JSON Lines: one object a line.

use std::io::BufRead;
use std::sync::Arc;

use serde_json::Value;

use super::{FileSpec, Format, Head, Records, io_reason};
use crate::mend;
use crate::row::{Cell, RawRow, Row};
use crate::stream::{self, Line, MAX_RECORD_BYTES, Meter};

/// The format.
#[derive(Debug)]
pub(crate) struct Jsonl;

const A_LIST: &str = "it begins with a JSON list of objects";

impl Format for Jsonl {
    fn id(&self) -> &'static str {
        "jsonl"
    }

    fn summary(&self) -> &'static str {
        "one JSON object a line"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl", "ndjson", "json"]
    }

    fn is_table(&self) -> bool {
        true
    }

    fn certain_sign(&self, head: &Head) -> Option<&'static str> {
        if head.extension == "json" && begins_with_list(&head.bytes) {
            return Some(A_LIST);
        }
        let (line, is_whole) = head.first_line()?;
        if !line.starts_with(b"{") {
            return None;
        }
        let is_object = match serde_json::from_str::<Value>(&mend::stand_in(line)) {
            Ok(_) => true,
            Err(error) => error.is_eof() && !is_whole,
        };
        is_object.then_some("its first line is a JSON object")
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        if file.size_bytes == 0 {
            return Err("empty file: 0 bytes, expected one JSON object a line".to_owned());
        }
        let head = Head::read(&file.path).map_err(|it| io_reason(&it))?;
        if begins_with_list(&head.bytes) {
            let mend = "`jq -c '.[]' FILE > FILE.jsonl` makes it so";
            return Err(format!("one JSON list over the whole file, expected one JSON object a line; {mend}"));
        }
        let (reader, meter) = stream::open(&file.path, file.is_gzip).map_err(|it| io_reason(&it))?;
        Ok(Box::new(JsonLines { reader, meter, line: 0, is_done: false }))
    }
}

/// Whether the first signs are `[` and `{`: a list of objects.
fn begins_with_list(bytes: &[u8]) -> bool {
    let mut signs = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    signs.next() == Some(&b'[') && signs.next() == Some(&b'{')
}

struct JsonLines {
    reader: Box<dyn BufRead + Send>,
    meter: Meter,
    line: u64,
    is_done: bool,
}

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").field("meter", &self.meter).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Records for JsonLines {
    fn next_row(&mut self) -> Option<RawRow> {
        let mut line = Vec::new();
        while !self.is_done {
            self.line += 1;
            let row = Some(self.line);
            match stream::read_line(&mut *self.reader, &mut line, MAX_RECORD_BYTES) {
                Ok(Line::Whole) if line.trim_ascii().is_empty() => {}
                Ok(Line::Whole) => {
                    line.shrink_to_fit();
                    return Some(RawRow { row, size_bytes: line.len(), decode: Box::new(move || decode(&line)) });
                }
                Ok(Line::TooLong) => return Some(RawRow::bad(row, stream::too_long("line"))),
                Ok(Line::End) => self.is_done = true,
                Err(error) => {
                    self.is_done = true;
                    return Some(RawRow::bad(row, stream::broken_off(&error, "lines")));
                }
            }
        }
        None
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        None
    }

    fn bytes_read(&self) -> u64 {
        self.meter.bytes()
    }

    fn hash(&mut self) -> Option<String> {
        self.meter.hash().ok()
    }
}

fn decode(line: &[u8]) -> Result<Row, String> {
    let (value, is_mended) = match std::str::from_utf8(line) {
        Ok(text) => match parse(text) {
            Ok(value) => (value, false),
            // Half a surrogate pair is no character, but some writers let it pass.
            Err(reason) => (parse(&mend::stand_in_for_surrogates(text)).map_err(|_| reason)?, true),
        },
        Err(_) => (parse(&mend::stand_in_for_surrogates(&mend::stand_in(line)))?, true),
    };
    let Value::Object(map) = value else {
        return Err(format!("{}, expected a JSON object", Cell::from_json(value).kind()));
    };
    let cells = map.into_iter().map(|(name, value)| {
        let cell = Cell::from_json(value);
        (name.into(), if is_mended { mend::restore(cell) } else { cell })
    });
    Ok(Row { cells: cells.collect(), file_hash: None })
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| {
        // A line is one line: its number in the file stands before the reason already.
        let reason = error.to_string().replace("at line 1 column", "at byte");
        format!("not JSON ({reason}), expected one JSON object a line")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Text;

    #[test]
    fn a_broken_line_says_where() {
        let reason = decode(br#"{"a": 1"#).unwrap_err();
        assert_eq!(reason, "not JSON (EOF while parsing an object at byte 7), expected one JSON object a line");
        assert_eq!(decode(b"[1]").unwrap_err(), "a list, expected a JSON object");
        assert_eq!(decode(b"12").unwrap_err(), "a number, expected a JSON object");
    }

    #[test]
    fn stray_bytes_are_replaced_and_kept() {
        let row = decode(b"{\"text\": \"caf\xe9\"}").unwrap();
        let expected = Text { text: "caf\u{fffd}".into(), raw: Some(b"caf\xe9".to_vec()), mended: true };
        assert_eq!(row.cells[0].1, Cell::Text(expected));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        let row = decode(br#"{"text": "a\ud83d\ude00 b\ud800 c\\ud800 d\udc01"}"#).unwrap();
        let Cell::Text(text) = &row.cells[0].1 else { panic!("{row:?}") };
        assert!(text.mended);
        assert_eq!(text.text, "a\u{1f600} b\u{fffd}\u{fffd}\u{fffd} c\\ud800 d\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_long_first_line_is_recognized_by_its_beginning() {
        let head = Head { bytes: b"{\"text\": \"aaaa".to_vec(), ..Head::default() };
        assert!(Jsonl.certain_sign(&head).is_some());
        assert!(Jsonl.certain_sign(&Head { is_whole: true, ..head }).is_none());
    }
}
