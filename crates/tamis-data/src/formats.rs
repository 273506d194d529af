//! The input formats: how a file is recognized by its content, and how it is cut into rows.
//!
//! A new format is one file in `formats/` and one line in [`FORMATS`]. Cutting is sequential and cheap; decoding the
//! rows is left to a pool of threads, so a format hands out closures.

pub(crate) mod csv;
pub(crate) mod idx;
pub(crate) mod image_files;
mod jsonl;
mod lines;
pub(crate) mod parquet;
mod text_files;
mod tsv;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis_core::Modality;

use crate::image;
use crate::row::RawRow;
use crate::stream;

/// All formats, in the order in which they are tried.
pub static FORMATS: &[&dyn Format] = &[
    &parquet::Parquet,
    &idx::Idx,
    &jsonl::Jsonl,
    &csv::Csv,
    &tsv::Tsv,
    &lines::Lines,
    &text_files::TextFiles,
    &image_files::ImageFiles,
];

/// The format of a folder of texts.
pub(crate) static TEXT_FILES: &dyn Format = &text_files::TextFiles;

/// The format of a folder of images.
pub(crate) static IMAGE_FILES: &dyn Format = &image_files::ImageFiles;

/// Bytes of a file that is called like an image: enough for every magic.
const IMAGE_HEAD_BYTES: usize = 64;

/// Bytes at the beginning of a file that its format is told from.
const HEAD_BYTES: usize = 64 * 1024;

/// Bytes in which a NUL makes a file binary; git looks at the first 8,000 (`xdiff-interface.c`, `FIRST_FEW_BYTES`).
const BINARY_BYTES: usize = 8 * 1024;

/// One input format.
pub trait Format: fmt::Debug + Send + Sync {
    /// Kebab-case name, as `--from` takes it; equal to the file name.
    fn id(&self) -> &'static str;

    /// What such a file is, as it completes "expected ...".
    fn summary(&self) -> &'static str;

    /// Extensions that suggest it, lower case, without a dot and without `gz`.
    fn extensions(&self) -> &'static [&'static str];

    /// Whether rows have named columns, so that one of them must be chosen as the text or the image.
    fn is_table(&self) -> bool;

    /// What the samples are, where that does not depend on the columns.
    fn modality(&self) -> Option<Modality> {
        None
    }

    /// Says why a file that begins like `head` is of this format whatever its name; `None` where that is not certain.
    fn certain_sign(&self, _head: &Head) -> Option<&'static str> {
        None
    }

    /// Says why it is probably of this format where its name suggests no other; `None` where nothing speaks for it.
    fn likely_sign(&self, _head: &Head) -> Option<&'static str> {
        None
    }

    /// Opens a file at its first row.
    ///
    /// # Errors
    /// What is wrong with the file and what was expected, without its name. It becomes an unreadable sample.
    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String>;
}

/// The rows of an open file.
pub trait Records: fmt::Debug + Send {
    /// The next row, good or bad; `None` at the end and after a point from which there is no way on.
    fn next_row(&mut self) -> Option<RawRow>;

    /// Names of the columns; `None` where each row may have others.
    fn columns(&self) -> Option<Vec<Arc<str>>>;

    /// Bytes of the file that have gone by.
    fn bytes_read(&self) -> u64;

    /// BLAKE3 of the whole file in hexadecimal; `None` where it can no longer be read.
    fn hash(&mut self) -> Option<String>;

    /// What a reader should know, e.g. columns that were left out. Sentences.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A file to be opened.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// Where it is.
    pub path: PathBuf,
    /// Its size when it was found.
    pub size_bytes: u64,
    /// Whether it is packed by gzip.
    pub is_gzip: bool,
    /// Whether columns of images need not be read.
    pub is_text_only: bool,
}

/// The beginning of a file, unpacked and without a byte-order mark.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// Whether that is the whole file.
    pub is_whole: bool,
    /// Whether the file is packed by gzip.
    pub is_gzip: bool,
    /// Its extension, lower case, without `gz`; empty where it has none.
    pub extension: String,
}

impl Head {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let extension = extension(path);
        let is_image = image::kind_by_extension(&extension).is_some();
        let max_bytes = if is_image { IMAGE_HEAD_BYTES } else { HEAD_BYTES };
        File::open(path)?.take(max_bytes as u64).read_to_end(&mut bytes)?;
        let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
        if is_gzip {
            bytes.clear();
            // A damaged archive is told by its name; what is wrong with it is said where it is opened.
            let _ = stream::open(path, true).and_then(|(it, _)| it.take(HEAD_BYTES as u64).read_to_end(&mut bytes));
        }
        let is_whole = bytes.len() < max_bytes;
        if bytes.starts_with(stream::BOM) {
            bytes.drain(..stream::BOM.len());
        }
        Ok(Self { bytes, is_whole, is_gzip, extension })
    }

    /// Whether a NUL byte stands near the beginning.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.bytes.iter().take(BINARY_BYTES).any(|byte| *byte == 0)
    }

    /// Whether it is an image, or a file that is called like one.
    #[must_use]
    pub fn is_image(&self) -> bool {
        !self.is_gzip && (image::kind_by_extension(&self.extension).is_some() || self.begins_like_image())
    }

    /// Whether it is an image by its content. Texts may begin with the letters of a magic (`BM`), but hold no NUL.
    #[must_use]
    pub fn begins_like_image(&self) -> bool {
        !self.is_gzip && self.is_binary() && image::kind(&self.bytes).is_some()
    }

    /// Whether it begins with a byte-order mark of UTF-16.
    fn is_utf16(&self) -> bool {
        self.bytes.starts_with(b"\xff\xfe") || self.bytes.starts_with(b"\xfe\xff")
    }

    /// The first line that is not blank, and whether the head holds all of it.
    fn first_line(&self) -> Option<(&[u8], bool)> {
        let start = self.bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.bytes[start..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => Some((&rest[..end], true)),
            None => Some((rest, self.is_whole)),
        }
    }
}

/// The extension of a path, lower case, looking through `.gz`.
pub(crate) fn extension(path: &Path) -> String {
    let lower = |it: &std::ffi::OsStr| it.to_string_lossy().to_lowercase();
    let last = path.extension().map(lower).unwrap_or_default();
    if last != "gz" {
        return last;
    }
    path.file_stem().map(Path::new).and_then(Path::extension).map(lower).unwrap_or_default()
}

/// The format called `id`.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.id() == id)
}

/// The format that an extension suggests.
pub(crate) fn by_extension(extension: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.extensions().contains(&extension))
}

/// Tells the format of a file from its beginning, with the reason.
///
/// Certain content comes first, then the extension, then likely content.
///
/// # Errors
/// What was found instead, and what was expected.
pub fn detect(head: &Head) -> Result<(&'static dyn Format, String), String> {
    if head.is_utf16() {
        let mend = "`iconv -f UTF-16 -t UTF-8` makes it so";
        return Err(format!("text in UTF-16, expected UTF-8; {mend}"));
    }
    let certain = || FORMATS.iter().find_map(|it| Some((*it, it.certain_sign(head)?.to_owned())));
    let suggested = || by_extension(&head.extension).map(|it| (it, format!("extension .{}", head.extension)));
    let likely = || FORMATS.iter().find_map(|it| Some((*it, it.likely_sign(head)?.to_owned())));
    if let Some(found) = certain().or_else(suggested).or_else(likely) {
        return Ok(found);
    }
    let known: Vec<_> = FORMATS.iter().map(|it| it.id()).collect();
    let found = if head.bytes.is_empty() { "an empty file" } else { "binary data" };
    Err(format!("{found}, expected one of {}", known.join(", ")))
}

/// Whether a file found in a folder is a table, which decides what the folder is.
///
/// Content alone does not do: a mail may look like CSV. Parquet and idx have a magic; otherwise the name must suggest a
/// table, and `.json` must hold one object a line or a list of objects.
pub(crate) fn table_in_folder(head: &Head) -> bool {
    match head.extension.as_str() {
        "json" | "" => FORMATS.iter().any(|it| it.is_table() && it.certain_sign(head).is_some()),
        extension => {
            by_extension(extension).is_some_and(Format::is_table)
                || head.bytes.starts_with(parquet::MAGIC)
                || idx::Idx.certain_sign(head).is_some()
        }
    }
}

/// Says what the system said about a file that cannot be opened or read.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "cannot be opened: permission denied, expected a readable file".to_owned(),
        io::ErrorKind::NotFound => "cannot be opened: it is no longer there, expected a readable file".to_owned(),
        _ => format!("cannot be read: {error}, expected a readable file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn head(extension: &str, bytes: &[u8]) -> Head {
        Head { bytes: bytes.to_vec(), is_whole: true, is_gzip: false, extension: extension.to_owned() }
    }

    fn detected(extension: &str, bytes: &[u8]) -> &'static str {
        detect(&head(extension, bytes)).map_or("none", |(format, _)| format.id())
    }

    #[test]
    fn every_file_is_a_format_of_its_name() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/formats");
        let files = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
        let stems: BTreeSet<String> =
            files.map(|it| it.file_stem().unwrap().to_string_lossy().replace('_', "-")).collect();
        let ids: BTreeSet<String> = FORMATS.iter().map(|it| it.id().to_owned()).collect();
        assert_eq!(stems, ids);
        assert_eq!(ids.len(), FORMATS.len(), "ids are unique");
        for format in FORMATS {
            assert!(!format.summary().is_empty() && by_id(format.id()).is_some());
        }
    }

    #[test]
    fn certain_content_beats_the_extension_and_the_extension_beats_likely_content() {
        assert_eq!(detected("txt", b"PAR1...."), "parquet");
        assert_eq!(detected("csv", b"\n {\"a\": 1}\n"), "jsonl");
        assert_eq!(detected("txt", b"a,b\n1,2\n3,4\n"), "lines");
        assert_eq!(detected("", b"a,b\n1,2\n3,4\n"), "csv");
        assert_eq!(detected("", b"just\nwords\n"), "lines");
        assert_eq!(detected("tsv", b"a\tb\n"), "tsv");
        assert_eq!(detected("jsonl", b"broken\n"), "jsonl");
        assert_eq!(detected("parquet", b""), "parquet");
        assert_eq!(detected("txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image-files");
        assert_eq!(detected("png", b"no image"), "image-files");
        assert_eq!(detected("", &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]), "idx");
    }

    #[test]
    fn what_nothing_fits_is_named() {
        let reason = detect(&head("bin", b"\x01\0\0")).unwrap_err();
        assert_eq!(
            reason,
            "binary data, expected one of parquet, idx, jsonl, csv, tsv, lines, text-files, image-files"
        );
        let reason = detect(&head("csv", b"\xff\xfea\0,\0")).unwrap_err();
        assert_eq!(reason, "text in UTF-16, expected UTF-8; `iconv -f UTF-16 -t UTF-8` makes it so");
    }

    #[test]
    fn mails_that_look_like_csv_do_not_make_a_folder_a_table() {
        assert!(!table_in_folder(&head("", b"a,b\n1,2\n")));
        assert!(!table_in_folder(&head("txt", b"{\"a\": 1}\n")));
        assert!(table_in_folder(&head("csv", b"anything")));
        assert!(table_in_folder(&head("json", b"{\"a\": 1}\n")));
        assert!(!table_in_folder(&head("json", b"{\n\"a\": 1}\n")));
    }

    #[test]
    fn extensions_look_through_gz() {
        assert_eq!(extension(Path::new("a/b.JSONL.gz")), "jsonl");
        assert_eq!(extension(Path::new("b.gz")), "");
        assert_eq!(extension(Path::new("b")), "");
    }
}
