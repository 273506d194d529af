//! What one producer computed, by content: an index in memory over segments on disk.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use tamis_core::Digest;

use super::segment::{self, Entry, Segment};
use super::{Producer, Root, StoreError};

/// Most segments of one table that are open at once; the usual limit of a process is 256 files or more.
const OPEN_FILES: usize = 16;

/// Segments whose index is in memory twice while a table is opened.
const READ_AT_ONCE: usize = 64;

/// What one producer computed from single contents.
///
/// Sees the records that were there when it was opened and those that it added. Memory: about 56 bytes a record.
pub struct Table {
    folder: PathBuf,
    producer: Digest,
    places: HashMap<Digest, Place>,
    segments: Vec<PathBuf>,
    n_damaged: usize,
    /// Segment `i` is open in place `i % OPEN_FILES`, or not at all.
    open: [Mutex<Option<(usize, File)>>; OPEN_FILES],
    root: Arc<Root>,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Place {
    segment: u32,
    offset: u64,
    length: u64,
}

impl Table {
    /// Reads all segments of the producer, in the order of their names, and removes those that are damaged where it may.
    pub(super) fn open(root: Arc<Root>, producer: &Producer) -> Result<Self, StoreError> {
        let mut table = Self {
            folder: root.dir.join(producer.folder_name()),
            producer: producer.id(),
            places: HashMap::new(),
            segments: Vec::new(),
            n_damaged: 0,
            open: Default::default(),
            root,
        };
        let paths = segments_in(&table.folder).map_err(StoreError::reading(&table.folder))?;
        for paths in paths.chunks(READ_AT_ONCE) {
            let read = |path: &PathBuf| read_segment(path, &table.producer).map_err(StoreError::reading(path));
            let indices: Vec<_> = paths.par_iter().map(read).collect::<Result<_, StoreError>>()?;
            for (path, index) in paths.iter().zip(indices) {
                match index {
                    Some(entries) => table.index(path.clone(), &entries),
                    None => {
                        table.n_damaged += 1;
                        if !table.root.is_read_only {
                            table.root.commits.remove(path).map_err(StoreError::writing(path))?;
                        }
                    }
                }
            }
        }
        Ok(table)
    }

    /// Whether there is a record for `content`.
    #[must_use]
    pub fn contains(&self, content: &Digest) -> bool {
        self.places.contains_key(content)
    }

    /// Bytes of the record for `content`.
    #[must_use]
    pub fn size(&self, content: &Digest) -> Option<u64> {
        self.places.get(content).map(|place| place.length)
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Number of segments that were damaged, or of another version, when the table was opened; they are gone
    /// unless the store is only read.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.n_damaged
    }

    /// Reads the record for `content` from disk; `None` where there is none.
    ///
    /// # Errors
    /// When its file can no longer be read.
    pub fn get(&self, content: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_prefix(content, usize::MAX)
    }

    /// Reads at most the first `max_bytes` of the record for `content`.
    ///
    /// # Errors
    /// When its file can no longer be read.
    pub fn get_prefix(&self, content: &Digest, max_bytes: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(place) = self.places.get(content) else { return Ok(None) };
        let segment = place.segment as usize;
        let path = &self.segments[segment];
        self.read(segment, place, max_bytes).map(Some).map_err(StoreError::reading(path))
    }

    /// Says that a record is not what its producer writes: a bug, or a hand in the store.
    #[must_use]
    pub fn invalid(&self) -> StoreError {
        let source = io::Error::new(io::ErrorKind::InvalidData, "a record is not what was written; delete the folder");
        StoreError::Read { path: self.folder.clone(), source }
    }

    /// Adds records and commits them as one file; those that are there already are left out, and of equal contents the
    /// first record is taken.
    ///
    /// # Errors
    /// When the file cannot be written; the table is as it was then.
    pub fn add(&mut self, records: &[(Digest, &[u8])]) -> Result<(), StoreError> {
        let mut new = HashSet::new();
        let records: Vec<_> =
            records.iter().filter(|(content, _)| !self.contains(content) && new.insert(*content)).copied().collect();
        if records.is_empty() {
            return Ok(());
        }
        let segment = Segment::new(&self.producer, &records);
        let path = self.folder.join(segment.file_name());
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| self.root.commits.write(&path, |file| segment.write_to(file)));
        written.map_err(StoreError::writing(&path))?;
        self.index(path, &segment.entries().collect::<Vec<_>>());
        Ok(())
    }

    /// Takes up the records of one more segment; of equal contents the one that is there stays.
    fn index(&mut self, path: PathBuf, entries: &[Entry]) {
        let segment = u32::try_from(self.segments.len()).expect("because no folder holds 2^32 files");
        self.segments.push(path);
        self.places.reserve(entries.len());
        for Entry { content, offset, length } in entries.iter().copied() {
            self.places.entry(content).or_insert(Place { segment, offset, length });
        }
    }

    fn read(&self, segment: usize, place: &Place, max_bytes: usize) -> io::Result<Vec<u8>> {
        let mut record = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX).min(max_bytes)];
        let mut slot = self.open[segment % OPEN_FILES].lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *slot {
            Some((open, file)) if *open == segment => file,
            slot => &mut slot.insert((segment, File::open(&self.segments[segment])?)).1,
        };
        file.seek(SeekFrom::Start(place.offset))?;
        file.read_exact(&mut record)?;
        Ok(record)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("folder", &self.folder).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The segments in a folder, ordered by name; none where there is no folder.
fn segments_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let paths: io::Result<Vec<_>> = entries.map(|it| Ok(it?.path())).collect();
    let mut paths: Vec<_> = paths?.into_iter().filter(|it| it.extension().is_some_and(|it| it == "seg")).collect();
    paths.sort_unstable();
    Ok(paths)
}

fn read_segment(path: &Path, producer: &Digest) -> io::Result<Option<Vec<Entry>>> {
    let file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    segment::read(file, n_bytes, producer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::Commits;
    use crate::store::Store;
    use tempfile::TempDir;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn producer() -> Producer {
        Producer::new("vector", &[("version", "1")])
    }

    fn store(dir: &TempDir) -> Store {
        Store::open(&dir.path().join("store"), Arc::new(Commits::new())).unwrap()
    }

    fn table(dir: &TempDir) -> Table {
        store(dir).table(&producer()).unwrap()
    }

    fn segments(table: &Table) -> Vec<PathBuf> {
        segments_in(&table.folder).unwrap()
    }

    #[test]
    fn records_come_back_also_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = table(&dir);
        it.add(&[(digest(1), b"one"), (digest(2), b"")]).unwrap();
        it.add(&[(digest(3), b"three")]).unwrap();
        for reopen in [false, true] {
            if reopen {
                drop(it);
                it = table(&dir);
            }
            assert_eq!(it.len(), 3);
            assert_eq!(it.get(&digest(1)).unwrap().unwrap(), b"one");
            assert_eq!(it.get(&digest(2)).unwrap().unwrap(), b"");
            assert_eq!(it.get(&digest(3)).unwrap().unwrap(), b"three");
            assert_eq!(it.get_prefix(&digest(3), 2).unwrap().unwrap(), b"th");
            assert_eq!(it.size(&digest(3)), Some(5));
            assert_eq!(
                (it.get(&digest(4)).unwrap(), it.size(&digest(4)), it.contains(&digest(4))),
                (None, None, false)
            );
            assert_eq!(it.damaged(), 0);
        }
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = table(&dir);
        it.add(&[]).unwrap();
        assert!(!it.folder.exists());
        it.add(&[(digest(1), b"one"), (digest(1), b"uno")]).unwrap();
        it.add(&[(digest(1), b"eins")]).unwrap();
        assert_eq!(segments(&it).len(), 1);
        it.add(&[(digest(1), b"un"), (digest(2), b"deux")]).unwrap();
        assert_eq!((segments(&it).len(), it.len()), (2, 2));
        assert_eq!(it.get(&digest(1)).unwrap().unwrap(), b"one");
        assert_eq!(it.get(&digest(2)).unwrap().unwrap(), b"deux");
    }

    #[test]
    fn of_equal_contents_the_first_segment_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        // Two tables do not see what the other adds.
        let mut tables = [0, 1].map(|_| store.table(&producer()).unwrap());
        tables[0].add(&[(digest(1), b"a")]).unwrap();
        tables[1].add(&[(digest(1), b"b")]).unwrap();
        let first = segments(&tables[0])[0].clone();
        let expected = if first == tables[0].segments[0] { b"a" } else { b"b" };
        let it = store.table(&producer()).unwrap();
        assert_eq!((it.len(), it.segments.len()), (1, 2));
        assert_eq!(it.get(&digest(1)).unwrap().unwrap(), expected);
    }

    #[test]
    fn equal_runs_write_equal_files() {
        let [a, b] = [0, 1].map(|_| {
            let dir = tempfile::tempdir().unwrap();
            let mut it = table(&dir);
            it.add(&[(digest(2), b"two"), (digest(1), b"one")]).unwrap();
            it.add(&[(digest(3), b"three")]).unwrap();
            let files = segments(&it).into_iter();
            files.map(|it| (it.file_name().unwrap().to_owned(), fs::read(it).unwrap())).collect::<Vec<_>>()
        });
        assert_eq!(a, b);
    }

    #[test]
    fn another_producer_sees_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        store.table(&producer()).unwrap().add(&[(digest(1), b"one")]).unwrap();
        let other = Producer::new("vector", &[("version", "2")]);
        assert!(store.table(&other).unwrap().is_empty());
        // Not even where the names agree by chance.
        let moved = store.table(&other).unwrap().folder;
        fs::rename(store.table(&producer()).unwrap().folder, moved).unwrap();
        let it = store.table(&other).unwrap();
        assert_eq!((it.len(), it.damaged()), (0, 1));
    }

    #[test]
    fn a_damaged_segment_goes_and_the_rest_stays() {
        let damages: [fn(&mut Vec<u8>); 4] =
            [Vec::clear, |bytes| bytes.truncate(bytes.len() - 1), |bytes| bytes[100] ^= 1, |bytes| bytes.push(0)];
        for damage in damages {
            let dir = tempfile::tempdir().unwrap();
            let mut it = table(&dir);
            it.add(&[(digest(1), &[1; 100])]).unwrap();
            it.add(&[(digest(2), &[2; 100])]).unwrap();
            let path = it.segments[0].clone();
            drop(it);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let mut it = table(&dir);
            assert_eq!((it.len(), it.damaged(), path.exists()), (1, 1, false));
            assert_eq!(it.get(&digest(2)).unwrap().unwrap(), [2; 100]);
            it.add(&[(digest(1), &[1; 100])]).unwrap();
            drop(it);
            let it = table(&dir);
            assert_eq!((it.len(), it.damaged()), (2, 0));
        }
    }

    #[test]
    fn more_segments_than_open_files_are_read_from_many_threads() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = table(&dir);
        let n = READ_AT_ONCE as u8 + 6;
        for n in 0..n {
            it.add(&[(digest(n), &[n; 5]), (digest(n + 100), &[n + 100; 7])]).unwrap();
        }
        drop(it);
        let it = table(&dir);
        assert_eq!(it.segments.len(), usize::from(n));
        (0..2000_u32).into_par_iter().for_each(|i| {
            let n = (i % u32::from(n)) as u8;
            assert_eq!(it.get(&digest(n)).unwrap().unwrap(), [n; 5]);
            assert_eq!(it.get(&digest(n + 100)).unwrap().unwrap(), [n + 100; 7]);
        });
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = table(&dir);
        it.add(&[(digest(1), b"one")]).unwrap();
        fs::remove_file(&it.segments[0]).unwrap();
        let error = it.get(&digest(1)).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read `{}`", it.segments[0].display()));
    }

    #[test]
    fn a_failed_add_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = table(&dir);
        fs::write(&it.folder, b"in the way").unwrap();
        let error = it.add(&[(digest(1), b"one")]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write `{}", it.folder.display())), "{error}");
        assert!(!it.contains(&digest(1)));
        fs::remove_file(&it.folder).unwrap();
        it.add(&[(digest(1), b"one")]).unwrap();
        assert_eq!(it.get(&digest(1)).unwrap().unwrap(), b"one");
    }
}
