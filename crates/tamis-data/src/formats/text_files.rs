//! Text files: each file is one sample.

use std::path::Path;
use std::sync::Arc;

use super::{FileSpec, Format, Records, io_reason};
use crate::mend;
use crate::row::{Cell, RawRow, Row};
use crate::stream::{self, BOM, MAX_RECORD_BYTES};

/// The format. It is never told from content: a folder without tables is read this way.
#[derive(Debug)]
pub(crate) struct TextFiles;

impl Format for TextFiles {
    fn id(&self) -> &'static str {
        "text-files"
    }

    fn summary(&self) -> &'static str {
        "text files, one sample a file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }

    fn is_table(&self) -> bool {
        false
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        Ok(Box::new(WholeFile { file: file.clone(), is_taken: false }))
    }
}

#[derive(Debug)]
struct WholeFile {
    file: FileSpec,
    is_taken: bool,
}

impl Records for WholeFile {
    fn next_row(&mut self) -> Option<RawRow> {
        if std::mem::replace(&mut self.is_taken, true) {
            return None;
        }
        let path = self.file.path.clone();
        let size_bytes = usize::try_from(self.file.size_bytes).unwrap_or(usize::MAX);
        if MAX_RECORD_BYTES < size_bytes {
            return Some(RawRow::bad(None, stream::too_long("text")));
        }
        Some(RawRow { row: None, size_bytes, decode: Box::new(move || read(&path)) })
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        Some(vec!["text".into()])
    }

    fn bytes_read(&self) -> u64 {
        if self.is_taken { self.file.size_bytes } else { 0 }
    }

    /// The hash comes with the row: the bytes are read once.
    fn hash(&mut self) -> Option<String> {
        None
    }
}

fn read(path: &Path) -> Result<Row, String> {
    let raw = std::fs::read(path).map_err(|it| io_reason(&it))?;
    let file_hash = Some(blake3::hash(&raw).to_hex().to_string());
    let text = match raw.strip_prefix(BOM) {
        None => mend::text(raw),
        // The mark is no part of the text, but it is one of the bytes.
        Some(rest) => {
            let mut text = mend::text(rest.to_vec());
            text.raw = Some(raw);
            text
        }
    };
    Ok(Row { cells: vec![("text".into(), Cell::Text(text))], file_hash })
}
