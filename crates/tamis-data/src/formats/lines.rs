//! Plain text, one sample a line.

use std::io::BufRead;
use std::sync::Arc;

use super::{FileSpec, Format, Head, Records, io_reason};
use crate::mend;
use crate::row::{Cell, RawRow, Row};
use crate::stream::{self, Line, MAX_RECORD_BYTES, Meter};

/// The format.
#[derive(Debug)]
pub(crate) struct Lines;

impl Format for Lines {
    fn id(&self) -> &'static str {
        "lines"
    }

    fn summary(&self) -> &'static str {
        "plain text, one sample a line"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["txt", "text"]
    }

    fn is_table(&self) -> bool {
        false
    }

    fn likely_sign(&self, head: &Head) -> Option<&'static str> {
        let is_text = !head.bytes.is_empty() && !head.is_binary();
        is_text.then_some("it is text and no table")
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        if file.size_bytes == 0 {
            return Err("empty file: 0 bytes, expected one text a line".to_owned());
        }
        let (reader, meter) = stream::open(&file.path, file.is_gzip).map_err(|it| io_reason(&it))?;
        Ok(Box::new(TextLines { reader, meter, name: "text".into(), line: 0, is_done: false }))
    }
}

struct TextLines {
    reader: Box<dyn BufRead + Send>,
    meter: Meter,
    name: Arc<str>,
    line: u64,
    is_done: bool,
}

impl std::fmt::Debug for TextLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextLines").field("meter", &self.meter).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Records for TextLines {
    fn next_row(&mut self) -> Option<RawRow> {
        if self.is_done {
            return None;
        }
        self.line += 1;
        let row = Some(self.line);
        let mut line = Vec::new();
        match stream::read_line(&mut *self.reader, &mut line, MAX_RECORD_BYTES) {
            Ok(Line::Whole) => {
                let name = Arc::clone(&self.name);
                line.shrink_to_fit();
                let size_bytes = line.len();
                let decode = move || Ok(Row { cells: vec![(name, Cell::Text(mend::text(line)))], file_hash: None });
                Some(RawRow { row, size_bytes, decode: Box::new(decode) })
            }
            Ok(Line::TooLong) => Some(RawRow::bad(row, stream::too_long("line"))),
            Ok(Line::End) => {
                self.is_done = true;
                None
            }
            Err(error) => {
                self.is_done = true;
                Some(RawRow::bad(row, stream::broken_off(&error, "lines")))
            }
        }
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        Some(vec![Arc::clone(&self.name)])
    }

    fn bytes_read(&self) -> u64 {
        self.meter.bytes()
    }

    fn hash(&mut self) -> Option<String> {
        self.meter.hash().ok()
    }
}
