//! Files that are there whole or not at all, and the points at which a crash must do no harm.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What stands between the name of a file and sixteen hexadecimal digits while it is being written.
const INFIX: &str = ".tmp-";

/// Writes files whole or not at all, and counts the points at which a crash must do no harm.
///
/// A run makes one value and hands it to everything that writes, so that a test can name each point of the run by its
/// number, stop there and kill the process. Points of writes that run at the same time come in any order.
#[derive(Debug, Default)]
pub struct Commits {
    durability: Durability,
    passed: AtomicU64,
    is_interrupted: AtomicBool,
    stop: Option<Stop>,
}

/// A folder that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the folder `{}`", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl From<FolderError> for io::Error {
    fn from(error: FolderError) -> Self {
        error.source
    }
}

/// What written files outlive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Durability {
    /// The process and the power: files and folders are synced.
    #[default]
    Power,
    /// The process, which is all that a temporary folder outlives.
    Process,
}

/// Where to stop for good.
struct Stop {
    at: u64,
    reached: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Commits {
    /// Never stops.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For tests: calls `reached` at the `n`-th point, counted from 1, and parks every thread that comes to that point or
    /// a later one, so that nothing changes on disk any more and the process can be killed.
    #[must_use]
    pub fn stopping_at(n: u64, reached: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { stop: Some(Stop { at: n, reached }), ..Self::default() }
    }

    /// For files that nobody looks for after the run: nothing is synced.
    pub(crate) fn temporary() -> Self {
        Self { durability: Durability::Process, ..Self::default() }
    }

    /// Asks whoever writes a folder to stop; from another thread, say when somebody pressed ctrl-C.
    pub fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Number of points so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Writes a file by way of `X.tmp-<16 hexadecimal digits>` in the same folder: filled by `fill`, synced to disk, then
    /// renamed.
    ///
    /// A run that is killed leaves the old file, or none, and never half of the new one. There are three points: filled,
    /// synced, renamed. A link stays one: what it leads to is written. What is no file, such as `/dev/null` or a pipe, has no
    /// place that could be taken, and is written to as it is.
    ///
    /// # Errors
    /// What `fill` says, or why the file cannot be made, synced or renamed. The temporary file is gone then.
    pub fn write<T, E: From<io::Error>>(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<T, E> {
        let real =
            fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink()).then(|| path.canonicalize().ok()).flatten();
        let path = real.as_deref().unwrap_or(path);
        if fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            return fill(&mut File::options().write(true).open(path)?);
        }
        let (mut file, mut temporary) = create(path)?;
        let value = fill(&mut file)?;
        self.point();
        if self.durability == Durability::Power {
            file.sync_all()?;
        }
        drop(file);
        self.point();
        fs::rename(&temporary.path, path)?;
        temporary.is_renamed = true;
        self.point();
        self.sync_folder_of(path);
        Ok(value)
    }

    /// Removes a file for good; it is fine if there is none. There are two points: before and after.
    ///
    /// # Errors
    /// Why the file cannot be removed.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.point();
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.point();
        self.sync_folder_of(path);
        Ok(())
    }

    /// Makes a folder by way of `X.tmp-<16 hexadecimal digits>` beside it: filled by `fill`, then renamed. An empty folder of
    /// that name gives way.
    ///
    /// A run that is killed leaves no folder of that name, or the whole one. What `fill` writes is not synced here, its
    /// names are, in all folders. There are two points: filled, renamed.
    ///
    /// # Errors
    /// What `fill` says, or why the folder cannot be made or renamed. The temporary folder is gone then.
    pub fn write_folder<T, E: From<FolderError>>(
        &self,
        path: &Path,
        fill: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |source| FolderError { path: path.to_owned(), source };
        let mut temporary = create_folder(path).map_err(failed)?;
        let value = fill(&temporary.path)?;
        if self.durability == Durability::Power {
            sync_folders(&temporary.path);
        }
        self.point();
        match fs::remove_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error).into()),
            _ => {}
        }
        fs::rename(&temporary.path, path).map_err(failed)?;
        temporary.is_renamed = true;
        self.point();
        self.sync_folder_of(path);
        Ok(value)
    }

    /// Makes a change of names durable where the system can sync folders; where it cannot, files are whole all the same.
    fn sync_folder_of(&self, path: &Path) {
        if self.durability == Durability::Process {
            return;
        }
        sync_folder(path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    }

    /// A point at which a crash must do no harm.
    pub(crate) fn point(&self) {
        let n = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(stop) = self.stop.as_ref().filter(|stop| stop.at <= n) else { return };
        if n == stop.at {
            (stop.reached)();
        }
        loop {
            std::thread::park();
        }
    }
}

/// Makes the names in a folder durable where the system can.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// The same for a folder and all below it, links aside.
fn sync_folders(top: &Path) {
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.filter(|it| it.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path()));
        sync_folder(&folder);
    }
}

/// Removes the temporary files that killed runs left in `folder`. Nobody may be writing there.
///
/// What cannot be removed stays: it is in nobody's way.
pub(crate) fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if is_temporary(&entry.file_name()) && entry.file_type().is_ok_and(|it| it.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether [`Commits::write`] gives such names to files that are not whole yet.
fn is_temporary(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.rsplit_once(INFIX).is_some_and(|(_, random)| is_hex(random))
}

/// Whether these are sixteen lower-case hexadecimal digits.
pub(crate) fn is_hex(digits: &str) -> bool {
    digits.len() == 16 && digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// A temporary file that goes unless it was renamed.
struct Temporary {
    path: PathBuf,
    is_renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // The error that led here is the one to tell.
            let _ = if self.path.is_dir() { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
        }
    }
}

fn create(path: &Path) -> io::Result<(File, Temporary)> {
    create_beside(path, |temporary| File::create_new(temporary))
}

fn create_folder(path: &Path) -> io::Result<Temporary> {
    create_beside(path, |temporary| fs::create_dir(temporary)).map(|((), temporary)| temporary)
}

/// Makes something beside `path` whose name says that it is not whole yet.
fn create_beside<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, Temporary)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    loop {
        // The name must only be free, which making it sees to; nothing of it reaches a result.
        let random = RandomState::new().build_hasher().finish();
        let mut temporary = name.to_owned();
        temporary.push(format!("{INFIX}{random:016x}"));
        let temporary = path.with_file_name(temporary);
        match make(&temporary) {
            Ok(made) => return Ok((made, Temporary { path: temporary, is_renamed: false })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// The temporary folders of [`Commits::write_folder`] beside `path`: of runs that were killed, or that are writing now.
#[must_use]
pub fn temporary_folders(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().map(|it| format!("{}{INFIX}", it.to_string_lossy())) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |it: &fs::DirEntry| it.file_name().to_string_lossy().strip_prefix(&name).is_some_and(is_hex);
    let mut found: Vec<PathBuf> =
        entries.filter(|it| is_ours(it) && it.path().is_dir()).map(|it| path.with_file_name(it.file_name())).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
        Commits::new().write(path, |file| file.write_all(bytes))
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_what_is_no_file_is_never_replaced() {
        use std::io::{Read as _, Write as _};
        use std::os::unix::fs::{FileTypeExt as _, symlink};

        let dir = tempfile::tempdir().unwrap();
        let [file, link, pipe] = ["file", "link", "pipe"].map(|it| dir.path().join(it));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        let write = |path: &Path| Commits::new().write(path, |out| out.write_all(b"new"));
        write(&link).unwrap();
        assert!(link.is_symlink() && fs::read(&file).unwrap() == b"new");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Open at both ends, or either side would wait for the other.
        let mut end = File::options().read(true).write(true).open(&pipe).unwrap();
        write(&pipe).unwrap();
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        let mut got = [0; 3];
        end.read_exact(&mut got).unwrap();
        assert_eq!((&got, fs::read_dir(dir.path()).unwrap().count()), (b"new", 3));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_bytes(&path, b"old").unwrap();
        let failed: io::Result<()> = Commits::new().write(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn a_write_replaces_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_bytes(&path, b"old").unwrap();
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_bytes(&dir.path().join("no/a.json"), b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_missing_file_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_bytes(&path, b"old").unwrap();
        let commits = Commits::new();
        commits.remove(&path).unwrap();
        commits.remove(&path).unwrap();
        assert!(names(dir.path()).is_empty());
        assert_eq!(commits.passed(), 4);
    }

    /// Writes a file over an old one, removes it, and stops at the n-th point: what is on disk then, whole files and others.
    fn stopped_at(n: u64) -> (Option<Vec<u8>>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_bytes(&path, b"old").unwrap();
        let (reached, stopped) = mpsc::channel();
        let commits = Arc::new(Commits::stopping_at(n, Box::new(move || reached.send(()).unwrap())));
        // The thread stays parked until the tests end.
        thread::spawn({
            let path = path.clone();
            move || {
                commits.write(&path, |file| file.write_all(b"new")).unwrap();
                commits.remove(&path).unwrap();
            }
        });
        stopped.recv().unwrap();
        let n_leftovers = names(dir.path()).iter().filter(|it| is_temporary(OsStr::new(it))).count();
        remove_leftovers(dir.path());
        let file = fs::read(&path).ok();
        assert_eq!(names(dir.path()).len(), usize::from(file.is_some()));
        (file, n_leftovers)
    }

    #[test]
    fn every_point_has_the_old_or_the_new_file() {
        let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
        let all: Vec<_> = (1..=5).map(stopped_at).collect();
        assert_eq!(all, [(old.clone(), 1), (old, 1), (new.clone(), 0), (new, 0), (None, 0)]);
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clean");
        let failed: io::Result<()> = Commits::new().write_folder(&path, |folder| {
            fs::write(folder.join("half"), b"")?;
            assert_eq!(temporary_folders(&path), [folder]);
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert!(names(dir.path()).is_empty());
        fs::create_dir(&path).unwrap();
        let write = |folder: &Path| fs::write(folder.join("a"), b"x");
        Commits::new().write_folder(&path, write).unwrap();
        assert_eq!((names(dir.path()), names(&path)), (vec!["clean".to_owned()], vec!["a".to_owned()]));
        let error = Commits::new().write_folder(&path, write).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert_eq!(names(dir.path()), ["clean"]);
    }

    #[test]
    fn only_temporary_files_are_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let kept = ["a.tmp", "a.tmp-0123456789abcde", "a.tmp-0123456789abcdeg", "a.tmp-0123456789abcdef.json"];
        for name in kept.iter().chain(&["a.json.tmp-0123456789abcdef"]) {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        fs::create_dir(dir.path().join("b.tmp-0123456789abcdef")).unwrap();
        remove_leftovers(dir.path());
        let mut left = names(dir.path());
        left.sort();
        assert_eq!(left, [kept[0], kept[1], kept[3], kept[2], "b.tmp-0123456789abcdef"]);
    }
}
