//! Text files: each file is one sample.

use std::path::Path;

use super::{FileSpec, Format, Records, io_reason};
use crate::mend;
use crate::row::{Cell, Row};
use crate::stream::BOM;
use crate::whole_file::WholeFile;

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
        Ok(Box::new(WholeFile::new(file, "text", read)))
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
