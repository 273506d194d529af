//! The texts of a run, kept in an anonymous temporary file: memory holds 16 bytes a sample.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tamis_core::{ContentError, SampleId, TextSource};

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Append-only store of texts, one entry per sample in reading order.
///
/// The file has no name and goes when the store does, or when the process is killed.
#[derive(Debug)]
pub struct TextStore {
    /// Offset and length of each sample's text.
    places: Vec<(u64, u64)>,
    tail: Mutex<Tail>,
}

/// The file, and the bytes at its end that are not written yet.
#[derive(Debug)]
struct Tail {
    file: File,
    written: u64,
    pending: Vec<u8>,
}

impl TextStore {
    /// Starts an empty store in a temporary file of the folder `dir`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let tail = Tail { file: tempfile::tempfile_in(dir)?, written: 0, pending: Vec::new() };
        Ok(Self { places: Vec::new(), tail: Mutex::new(tail) })
    }

    /// Appends the text of the next sample; `None` for a sample that has none.
    ///
    /// # Errors
    /// When it cannot be written, e.g. because the disk is full.
    pub fn push(&mut self, text: Option<&str>) -> io::Result<()> {
        let text = text.unwrap_or_default().as_bytes();
        let tail = self.tail.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.places.push((tail.written + tail.pending.len() as u64, text.len() as u64));
        tail.pending.extend_from_slice(text);
        if BUFFER_BYTES <= tail.pending.len() {
            tail.flush()?;
        }
        Ok(())
    }

    /// Gives the next sample the text of an earlier one.
    ///
    /// # Panics
    /// When `earlier` is not in the store.
    pub fn share(&mut self, earlier: SampleId) {
        self.places.push(self.places[earlier.idx()]);
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn read(&self, id: SampleId, max_bytes: usize) -> io::Result<Vec<u8>> {
        let (start, len) = self.place(id);
        let mut text = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(max_bytes)];
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.written < start + len {
            tail.flush()?;
        }
        tail.file.seek(SeekFrom::Start(start))?;
        tail.file.read_exact(&mut text)?;
        Ok(text)
    }

    fn place(&self, id: SampleId) -> (u64, u64) {
        self.places.get(id.idx()).copied().unwrap_or_default()
    }
}

impl Tail {
    fn flush(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.written))?;
        self.file.write_all(&self.pending)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl TextSource for TextStore {
    fn text(&self, id: SampleId, max_bytes: usize) -> Result<String, ContentError> {
        let bytes = self.read(id, max_bytes).map_err(|source| ContentError { id, source })?;
        String::from_utf8(bytes).or_else(|cut| {
            // Only the last character can be cut: what was stored is valid UTF-8.
            let end = cut.utf8_error().valid_up_to();
            let mut bytes = cut.into_bytes();
            bytes.truncate(end);
            String::from_utf8(bytes).map_err(|error| ContentError { id, source: io::Error::other(error) })
        })
    }

    fn text_bytes(&self, id: SampleId) -> u64 {
        self.place(id).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store(texts: &[Option<String>]) -> (tempfile::TempDir, TextStore) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = TextStore::new(dir.path()).unwrap();
        for text in texts {
            store.push(text.as_deref()).unwrap();
        }
        (dir, store)
    }

    #[test]
    fn a_cut_text_ends_at_a_character() {
        let (_dir, store) = store(&[Some("aé".into())]);
        assert_eq!(store.text(SampleId(0), 2).unwrap(), "a");
        assert_eq!(store.text(SampleId(0), 3).unwrap(), "aé");
        assert_eq!(store.text_bytes(SampleId(0)), 3);
    }

    #[test]
    fn pushing_after_reading_keeps_every_text() {
        let (_dir, mut store) = store(&[Some("one".into()), None]);
        assert_eq!(store.text(SampleId(0), 99).unwrap(), "one");
        store.push(Some("three")).unwrap();
        store.share(SampleId(0));
        let all: Vec<_> = (0..4).map(|id| store.text(SampleId(id), 99).unwrap()).collect();
        assert_eq!(all, ["one", "", "three", "one"]);
    }

    #[test]
    fn texts_longer_than_the_buffer_come_back() {
        let long = "é".repeat(BUFFER_BYTES);
        let (_dir, store) = store(&[Some("a".into()), Some(long.clone()), Some("b".into())]);
        assert_eq!(store.text(SampleId(1), usize::MAX).unwrap(), long);
        assert_eq!(store.text(SampleId(2), usize::MAX).unwrap(), "b");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(texts: Vec<Option<String>>) {
            let (_dir, store) = store(&texts);
            for (idx, text) in texts.iter().enumerate() {
                let read = store.text(SampleId::from_idx(idx), usize::MAX).unwrap();
                prop_assert_eq!(&read, text.as_deref().unwrap_or_default());
            }
        }
    }
}
