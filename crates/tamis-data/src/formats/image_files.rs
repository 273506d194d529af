//! Image files: each file is one sample.

use std::path::Path;
use std::sync::Arc;

use tamis_core::Modality;

use super::{FileSpec, Format, Records};
use crate::row::{Cell, Picture, RawRow, Row};
use crate::stream::{self, MAX_RECORD_BYTES};

/// The format. A folder that holds more images than texts and no tables that name them is read this way.
#[derive(Debug)]
pub(crate) struct ImageFiles;

/// The one column.
pub(crate) const COLUMN: &str = "image";

impl Format for ImageFiles {
    fn id(&self) -> &'static str {
        "image-files"
    }

    fn summary(&self) -> &'static str {
        "image files, one sample a file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff"]
    }

    fn is_table(&self) -> bool {
        false
    }

    fn modality(&self) -> Option<Modality> {
        Some(Modality::Image)
    }

    fn certain_sign(&self, head: &super::Head) -> Option<&'static str> {
        head.begins_like_image().then_some("it begins like an image")
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
            return Some(RawRow::bad(None, stream::too_long("file")));
        }
        Some(RawRow { row: None, size_bytes, decode: Box::new(move || read(&path)) })
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        Some(vec![COLUMN.into()])
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
    let bytes = stream::read_file(path)?;
    let file_hash = Some(blake3::hash(&bytes).to_hex().to_string());
    Ok(Row { cells: vec![(COLUMN.into(), Cell::Image(Picture::File(bytes)))], file_hash })
}
