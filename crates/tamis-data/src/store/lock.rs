//! One process at a time in a store.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

/// How it went.
#[derive(Debug)]
pub(super) enum Locking {
    /// Nobody else gets in until the file is closed; the system closes it when the process dies, however it dies.
    Locked(File),
    /// The file system has no locks.
    Unsupported,
    /// Somebody else is in; its number where it can be read.
    Held(Option<u32>),
}

/// Locks the file at `path`, which it makes where there is none, and writes the number of this process into it.
///
/// The file is never removed: whoever waits for its lock must wait for the same file.
pub(super) fn lock(path: &Path) -> io::Result<Locking> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let tried = file.try_lock();
    if tried.is_ok() {
        // The number is for people; the lock holds without it.
        let _ = sign(&mut file);
    }
    Ok(locking(file, tried))
}

/// Locks the file at `path` together with everybody else who only reads. Where it cannot be opened, there is nothing to lock.
pub(super) fn share(path: &Path) -> io::Result<Locking> {
    match File::open(path) {
        Ok(file) => {
            let tried = file.try_lock_shared();
            Ok(locking(file, tried))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(Locking::Unsupported)
        }
        Err(error) => Err(error),
    }
}

fn locking(mut file: File, tried: Result<(), TryLockError>) -> Locking {
    match tried {
        Ok(()) => Locking::Locked(file),
        Err(TryLockError::WouldBlock) => Locking::Held(holder(&mut file)),
        // Systems say "no locks here" in several ways (ENOLCK, ENOSYS, EOPNOTSUPP), and no other error can happen to an
        // open file.
        Err(TryLockError::Error(_)) => Locking::Unsupported,
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
