//! Image files: each file is one sample.

use std::path::Path;

use tamis_core::Modality;

use super::{FileSpec, Format, Records};
use crate::row::{Cell, Picture, Row};
use crate::stream;
use crate::whole_file::WholeFile;

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
        Ok(Box::new(WholeFile::new(file, COLUMN, read)))
    }
}

fn read(path: &Path) -> Result<Row, String> {
    let bytes = stream::read_file(path)?;
    let file_hash = Some(blake3::hash(&bytes).to_hex().to_string());
    Ok(Row { cells: vec![(COLUMN.into(), Cell::Image(Picture::File(bytes)))], file_hash })
}
