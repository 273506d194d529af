//! Writes inputs into a temporary folder and shows what was read of them as lines.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use tamis_core::{ContentError, Dataset, Digest, SampleId, State, TextSource};
use tamis_data::image::Decoded;
use tamis_data::{Images, Input, ReadContent, ReadError, ReadOptions, Reader};
use tempfile::TempDir;

/// The texts of a dataset, in reading order.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<String>);

impl TextSource for Texts {
    fn text(&self, id: SampleId, max_bytes: usize) -> Result<String, ContentError> {
        Ok(tamis_core::text::cut(&self.0[id.idx()], max_bytes).to_owned())
    }

    fn text_bytes(&self, id: SampleId) -> u64 {
        self.0[id.idx()].len() as u64
    }
}

/// An image as a line of a test shows it.
fn shown(image: &Decoded) -> String {
    format!("{} {} {}x{}", image.facts.format, image.facts.mode.id(), image.facts.width, image.facts.height)
}

/// A dataset that was read to its end.
pub(crate) struct Read {
    pub(crate) dataset: Dataset,
    pub(crate) notes: Vec<String>,
    pub(crate) texts: Texts,
    pub(crate) fingerprints: Vec<Option<[Digest; 3]>>,
    pub(crate) dir: TempDir,
}

/// Writes files; their names may have folders in them.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Reads `paths` below `dir`, in windows of the given size.
pub(crate) fn read_paths(
    dir: TempDir,
    paths: &[&str],
    options: &ReadOptions,
    (max_items, max_bytes): (usize, usize),
) -> Result<Read, ReadError> {
    let inputs: Vec<_> = paths.iter().map(|path| input(dir.path(), path)).collect();
    let mut reader = Reader::open(&inputs, options)?;
    let mut texts = Texts::default();
    let mut fingerprints = Vec::new();
    while let Some(window) = reader.next_window(max_items, max_bytes, Images::default())? {
        assert_eq!(window.first.idx(), fingerprints.len());
        for content in window.contents {
            let (text, digests) = match content {
                Some(ReadContent::Text { text, digests, .. }) => (text, Some(digests)),
                Some(ReadContent::Image { decoded, .. }) => (decoded.map_or_else(String::new, |it| shown(&it)), None),
                None => (String::new(), None),
            };
            texts.0.push(text);
            fingerprints.push(digests);
        }
        assert!(reader.bytes_read() <= reader.total_bytes());
    }
    assert_eq!(reader.bytes_read(), reader.total_bytes());
    let (dataset, notes) = reader.finish();
    let root = dir.path().to_string_lossy().into_owned();
    let notes = notes.into_iter().map(|note| note.replace(&format!("{root}/"), "").replace(&root, ".")).collect();
    Ok(Read { dataset, notes, texts, fingerprints, dir })
}

/// `path` or `split=path`.
fn input(root: &Path, path: &str) -> Input {
    match path.split_once('=') {
        Some((split, path)) => Input { path: root.join(path), split: Some((split.to_owned(), None)) },
        None if path.is_empty() => Input { path: root.to_owned(), split: None },
        None => Input { path: root.join(path), split: None },
    }
}

/// Reads some files of a folder, given one by one.
pub(crate) fn read_with(files: &[(&str, &[u8])], options: &ReadOptions) -> Result<Read, ReadError> {
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    read_paths(folder(files), &names, options, (1000, 1 << 20))
}

/// Reads one file and shows it.
pub(crate) fn check(name: &str, bytes: &[u8], expected: &[&str]) -> Read {
    let read = read_with(&[(name, bytes)], &ReadOptions::default()).unwrap();
    assert_eq!(read.lines(), expected);
    read
}

/// Reads a folder and shows it.
pub(crate) fn check_folder(files: &[(&str, &[u8])], expected: &[&str]) -> Read {
    let read = read_paths(folder(files), &[""], &ReadOptions::default(), (1000, 1 << 20)).unwrap();
    assert_eq!(read.lines(), expected);
    read
}

/// Why one file cannot be read at all.
pub(crate) fn error_of(name: &str, bytes: &[u8], options: &ReadOptions) -> ReadError {
    match read_with(&[(name, bytes)], options) {
        Ok(read) => panic!("read {:?}", read.lines()),
        Err(error) => error,
    }
}

/// The message of a [`ReadError::AllUnreadable`].
pub(crate) fn check_unreadable(name: &str, bytes: &[u8], expected: &str) {
    let error = error_of(name, bytes, &ReadOptions::default());
    assert_eq!(error.to_string(), format!("nothing could be read: {expected}"));
    assert!(!error.is_usage());
}

impl Read {
    /// One line a sample: `key | split | label | text`, and the reason or the state in brackets instead of a text.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.dataset.ids().map(|id| self.line(id)).collect()
    }

    fn line(&self, id: SampleId) -> String {
        let text = match &self.dataset.sample(id).state {
            State::Ok => self.texts.text(id, usize::MAX).unwrap(),
            State::Empty => "[empty]".to_owned(),
            State::Unreadable(reason) => format!("[{reason}]"),
        };
        let label = self.dataset.label_name(id).unwrap_or("-");
        format!("{} | {} | {label} | {text}", self.dataset.key(id), self.dataset.split_name(id))
    }

    pub(crate) fn note(&self, part: &str) -> &str {
        let found = self.notes.iter().find(|it| it.contains(part));
        found.unwrap_or_else(|| panic!("no note with {part:?} in {:#?}", self.notes))
    }

    /// The values of a column without meaning.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<&str>> {
        let column = self.dataset.columns().iter().find(|it| it.name == name).unwrap();
        self.dataset.ids().map(|id| column.get(id)).collect()
    }
}
