//! Files that are one sample each.

use std::path::Path;
use std::sync::Arc;

use crate::formats::{FileSpec, Records};
use crate::row::{RawRow, Row};
use crate::stream::{self, MAX_RECORD_BYTES};

/// The one row of a file.
#[derive(Debug)]
pub(crate) struct WholeFile {
    file: FileSpec,
    column: &'static str,
    /// Reads it, with the hash of its bytes in the row.
    read: fn(&Path) -> Result<Row, String>,
    is_taken: bool,
}

impl WholeFile {
    /// A file whose row has one column.
    pub(crate) fn new(file: &FileSpec, column: &'static str, read: fn(&Path) -> Result<Row, String>) -> Self {
        Self { file: file.clone(), column, read, is_taken: false }
    }
}

impl Records for WholeFile {
    fn next_row(&mut self) -> Option<RawRow> {
        if std::mem::replace(&mut self.is_taken, true) {
            return None;
        }
        let (path, read) = (self.file.path.clone(), self.read);
        let size_bytes = usize::try_from(self.file.size_bytes).unwrap_or(usize::MAX);
        if MAX_RECORD_BYTES < size_bytes {
            return Some(RawRow::bad(None, stream::too_long(self.column)));
        }
        Some(RawRow { row: None, size_bytes, decode: Box::new(move || read(&path)) })
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        Some(vec![self.column.into()])
    }

    fn bytes_read(&self) -> u64 {
        if self.is_taken { self.file.size_bytes } else { 0 }
    }

    /// The hash comes with the row: the bytes are read once.
    fn hash(&mut self) -> Option<String> {
        None
    }
}
