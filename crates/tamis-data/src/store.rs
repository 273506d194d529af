//! The content-keyed store: cache, resume and incremental audit in one mechanism.
//!
//! What is computed from one content alone is kept under the hash of the content and the id of its [`Producer`], which says
//! who computed it and how. A run asks the [`Table`] of a producer what is there, computes the rest and adds it, window by
//! window. So a killed run goes on where it was, an edited dataset recomputes only what changed, and an equal run
//! recomputes nothing: the three are the same lookup. A stage that needs the whole dataset keeps its output under a key
//! that hashes all it depends on.
//!
//! ```text
//! store/
//!   lock                               held by the process that is in; its number, for people
//!   vector-91b0e4c2d7a3f586/           a producer: name and start of its id
//!     04d1f5a9c0e2b763.seg             records that were added together, named by their hash
//!   stages/
//!     neighbors-5c1f0a8e7b3d2946.bin   output of a stage: name and start of its key
//! ```
//!
//! Files are written by [`Commits`], whole or not at all, and never changed. `segment` is the format of them all; its hash
//! is checked before anything is believed. A file that is damaged counts as absent and is computed again, so nothing that a
//! crash or a disk does can become a wrong result. Nothing here is needed to read the record of an audit: the folder may be
//! deleted at any time between runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tamis_core::Digest;
use tempfile::TempDir;

use crate::atomic::{Commits, is_hex, remove_leftovers};

pub mod codec;

mod lock;

mod segment;

mod table;

pub use table::Table;

use lock::Locking;
use segment::Segment;

/// Outputs of one stage that are kept: enough to go back and forth between a few configurations.
const KEPT_STAGES: usize = 4;

/// Folder for the outputs of stages. A producer's folder ends in hexadecimal digits, so none has this name.
const STAGES: &str = "stages";

/// A folder of results that can be computed again. One process at a time is in it; see the [module](self).
#[derive(Debug)]
pub struct Store {
    root: Arc<Root>,
}

/// What a store and its tables share: the lock and a temporary folder go with the last of them.
#[derive(Debug)]
struct Root {
    dir: PathBuf,
    commits: Arc<Commits>,
    lock: Option<fs::File>,
    is_read_only: bool,
    _temporary: Option<TempDir>,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process is in the store.
    #[error("`{}` is in use by another tamis{}", path.display(), process(*pid))]
    Locked {
        /// Folder of the store.
        path: PathBuf,
        /// Number of the process, where it is known.
        pid: Option<u32>,
    },
    /// A file or folder of the store is there and cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder of the store cannot be made, written or removed.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Who computed something and how: whatever changes results is part of the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    name: &'static str,
    id: Digest,
}

impl Store {
    /// Opens the store in the folder `dir`, or makes it, and locks it until the store and its tables are dropped.
    ///
    /// Removes the temporary files that killed runs left in it and in the folder around it: the lock of
    /// `tamis-out/store` covers `tamis-out`.
    ///
    /// # Errors
    /// When another process is in it, or the folder cannot be made.
    pub fn open(dir: &Path, commits: Arc<Commits>) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::writing(dir))?;
        let path = dir.join("lock");
        let lock = match lock::lock(&path).map_err(StoreError::writing(&path))? {
            Locking::Locked(file) => Some(file),
            Locking::Unsupported => None,
            Locking::Held(pid) => return Err(StoreError::Locked { path: dir.to_owned(), pid }),
        };
        // Without a lock, what looks left over may be what another run is writing.
        if lock.is_some() {
            remove_all_leftovers(dir)?;
        }
        Ok(Self { root: Arc::new(Root { dir: dir.to_owned(), commits, lock, is_read_only: false, _temporary: None }) })
    }

    /// Opens the store in the folder `dir` to read from it: others may do so too, and nobody writes to it until the store and
    /// its tables are dropped. Nothing is made or removed; where there is no folder, the store is empty.
    ///
    /// # Errors
    /// When another process writes to it.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let lock = match lock::share(&path).map_err(StoreError::reading(&path))? {
            Locking::Locked(file) => Some(file),
            Locking::Unsupported => None,
            Locking::Held(pid) => return Err(StoreError::Locked { path: dir.to_owned(), pid }),
        };
        let commits = Arc::new(Commits::new());
        Ok(Self { root: Arc::new(Root { dir: dir.to_owned(), commits, lock, is_read_only: true, _temporary: None }) })
    }

    /// The folder of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.root.dir
    }

    /// Makes a store in a temporary folder of `parent`, for commands that leave no record.
    ///
    /// The folder, `tamis-store-<random>`, goes with the store and its tables. A killed process leaves it behind.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn temporary(parent: &Path) -> Result<Self, StoreError> {
        let made = tempfile::Builder::new().prefix("tamis-store-").tempdir_in(parent);
        let temporary = made.map_err(StoreError::writing(parent))?;
        let dir = temporary.path().to_owned();
        let commits = Arc::new(Commits::temporary());
        let root = Root { dir, commits, lock: None, is_read_only: false, _temporary: Some(temporary) };
        Ok(Self { root: Arc::new(root) })
    }

    /// Whether other processes are kept out: not where the file system has no locks, nor in a temporary folder.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.root.lock.is_some()
    }

    /// Bytes of all files in the store, as far as they can be looked at.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        size_of(&self.root.dir)
    }

    /// What `producer` computed from single contents.
    ///
    /// Reads all of it once to check the hashes, several files at a time.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or is damaged and cannot be removed.
    pub fn table(&self, producer: &Producer) -> Result<Table, StoreError> {
        Table::open(Arc::clone(&self.root), producer)
    }

    /// The output of a stage that was kept under `key`; `None` where there is none or it is damaged.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    ///
    /// # Panics
    /// When `name` is not in kebab case.
    pub fn stage(&self, name: &str, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.stage_path(name, key);
        let mut bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(StoreError::reading(&path))?,
        };
        let entries = segment::read(&bytes[..], bytes.len() as u64, &key).map_err(StoreError::reading(&path))?;
        let Some([output]) = entries.as_deref() else { return Ok(None) };
        let start = usize::try_from(output.offset).expect("because the file is in memory");
        let end = usize::try_from(output.offset + output.length).expect("because the file is in memory");
        bytes.truncate(end);
        bytes.drain(..start);
        Ok(Some(bytes))
    }

    /// Keeps the output of a stage under `key`, and removes all but the newest few of other keys.
    ///
    /// # Errors
    /// When the file cannot be written, or an older one cannot be removed.
    ///
    /// # Panics
    /// When `name` is not in kebab case.
    pub fn keep_stage(&self, name: &str, key: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.stage_path(name, key);
        let folder = self.root.dir.join(STAGES);
        // A stage has one output: a segment with one record, which needs no content of its own.
        let records = [(key, bytes)];
        let segment = Segment::new(&key, &records);
        let written =
            fs::create_dir_all(&folder).and_then(|()| self.root.commits.write(&path, |file| segment.write_to(file)));
        written.map_err(StoreError::writing(&path))?;
        let mut others = stages_in(&folder, name).map_err(StoreError::reading(&folder))?;
        others.retain(|(_, other)| *other != path);
        others.sort_unstable_by(|a, b| b.cmp(a));
        for (_, old) in others.iter().skip(KEPT_STAGES - 1) {
            self.root.commits.remove(old).map_err(StoreError::writing(old))?;
        }
        Ok(())
    }

    fn stage_path(&self, name: &str, key: Digest) -> PathBuf {
        assert_kebab_case(name);
        self.root.dir.join(STAGES).join(format!("{name}-{:016x}.bin", key.prefix()))
    }
}

/// The kept outputs of one stage with the time when they were written.
fn stages_in(folder: &Path, name: &str) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let mut stages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name().into_string().unwrap_or_default();
        let key = file_name.strip_prefix(name).and_then(|it| it.strip_prefix('-')?.strip_suffix(".bin"));
        if key.is_some_and(is_hex) {
            stages.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    Ok(stages)
}

impl Producer {
    /// A producer of this name whose results depend on `facts`, pairs of a name and a value, in this order.
    ///
    /// # Panics
    /// When `name` is not in kebab case.
    #[must_use]
    pub fn new(name: &'static str, facts: &[(&str, &str)]) -> Self {
        assert_kebab_case(name);
        let mut hasher = blake3::Hasher::new();
        let facts = facts.iter().flat_map(|(key, value)| [*key, *value]);
        for part in [name].into_iter().chain(facts) {
            // With its length before it, no part can take letters from the next.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Self { name, id: Digest(*hasher.finalize().as_bytes()) }
    }

    /// A producer whose id is known already.
    ///
    /// # Panics
    /// When `name` is not in kebab case.
    #[must_use]
    pub fn known(name: &'static str, id: Digest) -> Self {
        assert_kebab_case(name);
        Self { name, id }
    }

    /// Name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Hash of the name and the facts.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.id
    }

    fn folder_name(&self) -> String {
        format!("{}-{:016x}", self.name, self.id.prefix())
    }
}

/// Removes the temporary files that a killed run left beside the store and in it.
fn remove_all_leftovers(dir: &Path) -> Result<(), StoreError> {
    remove_leftovers(dir.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    remove_leftovers(dir);
    for folder in fs::read_dir(dir).map_err(StoreError::reading(dir))?.flatten() {
        remove_leftovers(&folder.path());
    }
    Ok(())
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |it: fs::DirEntry| match it.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&it.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Names become names of files.
fn assert_kebab_case(name: &str) {
    let is_kebab_case = !name.is_empty() && name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    assert!(is_kebab_case, "`{name}` is no name in kebab case");
}

impl StoreError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => Some("wait until it is done, or name another folder with --out DIR".to_owned()),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(
                "free some space, or name a folder on another disk with --out DIR; what is done is kept".to_owned(),
            ),
            _ => None,
        }
    }

    fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::open(&dir.join("store"), Arc::new(Commits::new()))
    }

    /// All files below a folder, by their path in it.
    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = PathBuf::from(path.file_name().unwrap());
            match path.is_dir() {
                true => found.extend(files(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes))),
                false => drop(found.insert(name, fs::read(&path).unwrap())),
            }
        }
        found
    }

    fn copy(from: &Path) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files(from) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn facts_cannot_take_letters_from_each_other() {
        let id = |facts: &[(&str, &str)]| Producer::new("vector", facts).id();
        let all = [id(&[]), id(&[("ab", "c")]), id(&[("a", "bc")]), id(&[("a", "b"), ("c", "")]), id(&[("", "abc")])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        assert_ne!(Producer::new("text", &[]).id(), id(&[]));
        assert_eq!(id(&[("a", "b")]), id(&[("a", "b")]));
    }

    #[test]
    fn a_second_process_is_refused_until_the_last_table_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        assert!(store.is_locked());
        let table = store.table(&Producer::new("text", &[])).unwrap();
        for held in [Some(store), None] {
            let error = open(dir.path()).unwrap_err();
            let path = dir.path().join("store");
            let pid = std::process::id();
            assert_eq!(error.to_string(), format!("`{}` is in use by another tamis (process {pid})", path.display()));
            assert_eq!(error.hint().unwrap(), "wait until it is done, or name another folder with --out DIR");
            drop(held);
        }
        drop(table);
        open(dir.path()).unwrap();
    }

    #[test]
    fn a_longer_number_in_the_lock_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("store/lock"), b"99999999999999\n").unwrap();
        let _store = open(dir.path()).unwrap();
        assert_eq!(files(dir.path())[Path::new("store/lock")], format!("{}\n", std::process::id()).as_bytes());
    }

    #[test]
    fn opening_removes_what_killed_runs_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        store.table(&Producer::new("text", &[])).unwrap().add(&[(digest(1), b"one")]).unwrap();
        store.keep_stage("map", digest(1), b"map").unwrap();
        drop(store);
        let before = files(dir.path());
        let folders: Vec<_> = before.keys().map(|it| dir.path().join(it.parent().unwrap())).collect();
        for folder in folders.iter().chain([&dir.path().to_owned()]) {
            fs::write(folder.join("audit.json.tmp-0123456789abcdef"), b"half").unwrap();
        }
        assert_eq!(files(dir.path()).len(), before.len() + 4);
        open(dir.path()).unwrap();
        assert_eq!(files(dir.path()), before);
    }

    #[test]
    fn readers_share_a_store_and_touch_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("store");
        let producer = Producer::new("text", &[]);
        let read = || Store::open_read_only(&at);
        assert!(read().unwrap().table(&producer).unwrap().is_empty() && !at.exists());
        open(dir.path()).unwrap().table(&producer).unwrap().add(&[(digest(1), b"one")]).unwrap();
        let damaged = files(&at).into_keys().find(|it| it.extension().is_some_and(|it| it == "seg")).unwrap();
        fs::write(at.join(damaged), b"half").unwrap();
        let before = files(dir.path());
        let readers = [read().unwrap(), read().unwrap()];
        assert!(readers.iter().all(|it| it.is_locked() && it.table(&producer).unwrap().damaged() == 1));
        assert_eq!(files(dir.path()), before);
        assert!(matches!(Store::open(&at, Arc::new(Commits::new())), Err(StoreError::Locked { .. })));
        drop(readers);
        let writer = open(dir.path()).unwrap();
        assert!(matches!(read(), Err(StoreError::Locked { .. })));
        drop(writer);
        read().unwrap();
    }

    #[test]
    fn a_temporary_store_goes_with_its_last_table() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::temporary(dir.path()).unwrap();
        assert!(!store.is_locked());
        let mut table = store.table(&Producer::new("text", &[])).unwrap();
        drop(store);
        table.add(&[(digest(1), b"one")]).unwrap();
        assert_eq!(table.get(&digest(1)).unwrap().unwrap(), b"one");
        assert_eq!(files(dir.path()).len(), 1);
        drop(table);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stage_comes_back_under_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        store.keep_stage("map", digest(1), b"one").unwrap();
        store.keep_stage("map-of-splits", digest(2), b"").unwrap();
        drop(store);
        let store = open(dir.path()).unwrap();
        assert_eq!(store.stage("map", digest(1)).unwrap().unwrap(), b"one");
        assert_eq!(store.stage("map-of-splits", digest(2)).unwrap().unwrap(), b"");
        assert_eq!(store.stage("map", digest(2)).unwrap(), None);
        // The name of the file has only the start of the key.
        let mut alike = digest(1);
        alike.0[31] = 0;
        assert_eq!(store.stage("map", alike).unwrap(), None);
        store.keep_stage("map", digest(1), b"other").unwrap();
        assert_eq!(store.stage("map", digest(1)).unwrap().unwrap(), b"other");
    }

    #[test]
    fn a_damaged_stage_is_none_until_it_is_kept_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        store.keep_stage("map", digest(1), b"one").unwrap();
        let path = store.stage_path("map", digest(1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[95] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.stage("map", digest(1)).unwrap(), None);
        fs::write(&path, &bytes[..50]).unwrap();
        assert_eq!(store.stage("map", digest(1)).unwrap(), None);
        store.keep_stage("map", digest(1), b"one").unwrap();
        assert_eq!(store.stage("map", digest(1)).unwrap().unwrap(), b"one");
    }

    #[test]
    fn the_newest_stages_of_each_name_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let keep = |name, n: u8, seconds| {
            store.keep_stage(name, digest(n), &[n]).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(store.stage_path(name, digest(n))).unwrap();
            file.set_modified(time).unwrap();
        };
        // The order of names is not the order of times.
        keep("map", 9, 1);
        keep("map-of-splits", 1, 1);
        for n in 1..=5 {
            keep("map", n, 10 - u64::from(n));
        }
        let kept: Vec<u8> = (1..=9).filter(|n| store.stage("map", digest(*n)).unwrap().is_some()).collect();
        assert_eq!(kept, [1, 2, 3, 5]);
        assert!(store.stage("map-of-splits", digest(1)).unwrap().is_some());
    }

    #[test]
    fn names_that_are_no_file_names_are_bugs() {
        for name in ["", "../map", "Map"] {
            assert!(std::panic::catch_unwind(|| Producer::new(name, &[])).is_err());
        }
    }

    /// What a run does: looks what is there, adds what is not, keeps the output of a stage.
    fn run(dir: &Path, commits: &Arc<Commits>) {
        let store = Store::open(&dir.join("store"), Arc::clone(commits)).unwrap();
        let mut texts = store.table(&Producer::new("text", &[])).unwrap();
        let mut vectors = store.table(&Producer::new("vector", &[("model", "m")])).unwrap();
        for n in 1..=3 {
            texts.add(&[(digest(n), &[n; 100]), (digest(n + 10), &[n + 10; 100])]).unwrap();
            vectors.add(&[(digest(n), &[n; 50])]).unwrap();
        }
        store.keep_stage("map", digest(1), b"map").unwrap();
        commits.write(&dir.join("audit.json"), |file| io::Write::write_all(file, b"{}")).unwrap();
        commits.remove(&dir.join("old.json")).unwrap();
    }

    /// A folder with a damaged segment and a file of an earlier run.
    fn folder_before_the_run() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let segments = dir.path().join("store").join(Producer::new("text", &[]).folder_name());
        fs::create_dir_all(&segments).unwrap();
        fs::write(segments.join("0000000000000000.seg"), b"tamisseg").unwrap();
        fs::write(dir.path().join("old.json"), b"{}").unwrap();
        dir
    }

    #[test]
    fn a_run_killed_at_any_point_goes_on_to_the_same_files() {
        let commits = Arc::new(Commits::new());
        let whole = folder_before_the_run();
        run(whole.path(), &commits);
        assert_eq!(files(whole.path()).len(), 9);
        assert_eq!(commits.passed(), 3 * 8 + 2 * 2);
        for n in 1..=commits.passed() {
            let dir = folder_before_the_run();
            let (reached, stopped) = mpsc::channel();
            let stopping = Commits::stopping_at(n, Box::new(move || reached.send(()).unwrap()));
            // The thread stays parked until the tests end; with it the lock, so the copy is what a killed run leaves.
            thread::spawn({
                let path = dir.path().to_owned();
                move || run(&path, &Arc::new(stopping))
            });
            stopped.recv().unwrap();
            let killed = copy(dir.path());
            let store = open(killed.path()).unwrap();
            let texts = store.table(&Producer::new("text", &[])).unwrap();
            assert_eq!(texts.damaged(), usize::from(n == 1));
            for n in [1, 2, 3, 11, 12, 13] {
                assert!(texts.get(&digest(n)).unwrap().is_none_or(|record| record == [n; 100]));
            }
            assert!(store.stage("map", digest(1)).unwrap().is_none_or(|output| output == b"map"));
            assert!(files(killed.path()).keys().all(|it| !it.to_string_lossy().contains(".tmp-")));
            drop((store, texts));
            run(killed.path(), &Arc::new(Commits::new()));
            assert_eq!(files(killed.path()), files(whole.path()), "killed at point {n}");
        }
    }
}
