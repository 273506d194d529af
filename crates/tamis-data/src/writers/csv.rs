//! Comma-separated values: records as they stand, quotes, line breaks and all; of one whose label or split changes, only that
//! field.

use std::io::{self, BufRead};
use std::ops::Range;

use super::{Target, Writer, Written};
use crate::formats::{FileSpec, csv};
use crate::records::{self, Cut, Piece};
use crate::rewrite::{Edit, Part, RewriteError};
use crate::stream::MAX_RECORD_BYTES;

/// The writer.
#[derive(Debug)]
pub(crate) struct Csv;

impl Writer for Csv {
    fn id(&self) -> &'static str {
        "csv"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        write(parts, target, csv::delimiter)
    }
}

/// Writes values with the delimiter of each file, which must be the same one.
pub(super) fn write(
    parts: &[Part],
    target: &Target<'_>,
    delimiter: impl Fn(&FileSpec) -> Result<u8, String>,
) -> Result<Vec<Written>, RewriteError> {
    let of = |file: &FileSpec| {
        delimiter(file).map_err(|what| RewriteError::Source { path: file.path.clone(), row: None, what })
    };
    let first = parts.first().map(|it| of(&it.file)).transpose()?.unwrap_or(b',');
    records::write(parts, target, |file| {
        let own = of(file)?;
        if own != first {
            let what =
                format!("rows of `{}` have another delimiter than the file they would go to", file.path.display());
            return Err(RewriteError::unfit(
                what,
                "leave these rows in their split, or bring the delimiters into line",
            ));
        }
        Ok(Box::new(Records { delimiter: own, header: None }))
    })
}

/// Where in a record a byte stands. The rules are those of the crate `csv`, which reads: a quote counts at the beginning of a
/// field, two in a quoted field are one, and what follows the closing quote belongs to the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FieldStart,
    Bare,
    Quoted,
    QuoteInQuoted,
}

impl State {
    /// The state behind a byte; `None` where the byte ends the record.
    fn after(self, byte: u8, delimiter: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) | (Self::FieldStart | Self::QuoteInQuoted, b'"') => Self::Quoted,
            (_, b'\n' | b'\r') => return None,
            (_, it) if it == delimiter => Self::FieldStart,
            _ => Self::Bare,
        })
    }
}

/// Cuts records.
struct Records {
    delimiter: u8,
    header: Option<Vec<String>>,
}

impl Cut for Records {
    fn next(&mut self, reader: &mut dyn BufRead, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        let mut state = State::FieldStart;
        'reading: loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            for (idx, byte) in buffer.iter().enumerate() {
                match state.after(*byte, self.delimiter) {
                    Some(next) => state = next,
                    None => {
                        let is_return = *byte == b'\r';
                        piece.extend_from_slice(&buffer[..=idx]);
                        reader.consume(idx + 1);
                        if is_return && reader.fill_buf()?.first() == Some(&b'\n') {
                            piece.push(b'\n');
                            reader.consume(1);
                        }
                        break 'reading;
                    }
                }
            }
            let n = buffer.len();
            piece.extend_from_slice(buffer);
            reader.consume(n);
            if MAX_RECORD_BYTES < piece.len() {
                return Err(io::Error::other("a record that is too long, perhaps an open quote"));
            }
        }
        if piece.is_empty() {
            return Ok(None);
        }
        if piece.iter().all(|it| matches!(it, b'\n' | b'\r')) {
            return Ok(Some(Piece::Between));
        }
        if self.header.is_some() {
            return Ok(Some(Piece::Record));
        }
        self.header = Some(csv::header_of(piece, self.delimiter));
        Ok(Some(Piece::Head))
    }

    fn counts_lines(&self) -> bool {
        false
    }

    fn edit(&self, record: &mut Vec<u8>, edits: &[Edit]) -> Result<(), String> {
        let header = self.header.as_deref().unwrap_or_default();
        for edit in edits {
            let column = header.iter().position(|it| *it == edit.column);
            let column = column.ok_or_else(|| format!("there is no column `{}`", edit.column))?;
            let field = fields(record, self.delimiter).get(column).cloned();
            let field = field.ok_or_else(|| format!("the record has fewer than {} fields", column + 1))?;
            let value = quoted(&edit.value, self.delimiter, record[field.clone()].starts_with(b"\""));
            record.splice(field, value.into_bytes());
        }
        Ok(())
    }

    fn columns(&self) -> Option<Vec<String>> {
        self.header.clone()
    }
}

/// Where the fields of a record stand, their quotes included.
fn fields(record: &[u8], delimiter: u8) -> Vec<Range<usize>> {
    let (mut fields, mut start, mut state) = (Vec::new(), 0, State::FieldStart);
    for (idx, byte) in record.iter().enumerate() {
        let Some(next) = state.after(*byte, delimiter) else {
            fields.push(start..idx);
            return fields;
        };
        if next == State::FieldStart {
            fields.push(start..idx);
            start = idx + 1;
        }
        state = next;
    }
    fields.push(start..record.len());
    fields
}

/// A value as a field: in quotes where the old one was, or where it needs them.
fn quoted(value: &str, delimiter: u8, was_quoted: bool) -> String {
    let needs = |byte: u8| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if was_quoted || value.is_empty() || value.bytes().any(needs) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pieces of a file, the header among them.
    fn pieces(text: &[u8]) -> Vec<(Piece, Vec<u8>)> {
        let mut cut = Records { delimiter: b',', header: None };
        let mut reader = io::BufReader::with_capacity(3, text);
        let mut all = Vec::new();
        loop {
            let mut piece = Vec::new();
            match cut.next(&mut reader, &mut piece).unwrap() {
                Some(kind) => all.push((kind, piece)),
                None => return all,
            }
        }
    }

    fn edited(record: &str, column: &str, value: &str) -> String {
        let cut = Records { delimiter: b',', header: Some(vec!["a".to_owned(), "label".to_owned(), "c".to_owned()]) };
        let mut record = record.as_bytes().to_vec();
        cut.edit(&mut record, &[Edit { column: column.to_owned(), value: value.to_owned() }]).unwrap();
        String::from_utf8(record).unwrap()
    }

    #[test]
    fn only_the_field_changes() {
        assert_eq!(edited("\"x, \"\"y\"\"\r\nz\" , old,  3\r\n", "label", "new"), "\"x, \"\"y\"\"\r\nz\" ,new,  3\r\n");
        assert_eq!(edited("x,\"old\",3", "label", "new"), "x,\"new\",3");
        assert_eq!(edited("x,old,3\n", "label", "a,\"b\""), "x,\"a,\"\"b\"\"\",3\n");
        assert_eq!(edited("x,old,3\n", "c", "4"), "x,old,4\n");
        assert_eq!(edited("x,,\"3\"tail\n", "c", "4"), "x,,\"4\"\n");
    }

    proptest! {
        #[test]
        fn records_are_cut_where_the_reader_cuts_them(text in "[a\",\r\n;é ]{0,40}") {
            let pieces = pieces(text.as_bytes());
            prop_assert_eq!(pieces.iter().flat_map(|it| it.1.clone()).collect::<Vec<u8>>(), text.as_bytes());
            let mut reader = ::csv::ReaderBuilder::new();
            reader.has_headers(false).flexible(true);
            let expected: Vec<Vec<Vec<u8>>> = reader
                .from_reader(text.as_bytes())
                .into_byte_records()
                .map(|it| it.unwrap().iter().map(<[u8]>::to_vec).collect())
                .collect();
            let records: Vec<&Vec<u8>> =
                pieces.iter().filter(|it| it.0 != Piece::Between).map(|it| &it.1).collect();
            prop_assert_eq!(records.len(), expected.len());
            for (record, expected) in records.into_iter().zip(expected) {
                prop_assert_eq!(fields(record, b',').len(), expected.len());
                for (idx, _) in expected.iter().enumerate() {
                    let header = (0..expected.len()).map(|it| it.to_string()).collect();
                    let cut = Records { delimiter: b',', header: Some(header) };
                    let mut changed = record.clone();
                    cut.edit(&mut changed, &[Edit { column: idx.to_string(), value: "n,\"ew".to_owned() }]).unwrap();
                    let read = reader.from_reader(&changed[..]).into_byte_records().next().unwrap().unwrap();
                    let mut wanted = expected.clone();
                    wanted[idx] = b"n,\"ew".to_vec();
                    prop_assert_eq!(read.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), wanted);
                }
            }
        }
    }
}
