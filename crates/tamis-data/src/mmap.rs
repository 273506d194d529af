//! Files mapped into memory: arrays that may be larger than it. See `docs/decisions/0018-mapped-arrays.md`.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// Mapped: the system reads what is looked at, and may drop it again.
    Mapped(Mmap),
    /// Read: of pipes and the like, which cannot be mapped.
    Read(Vec<u8>),
}

impl FileBytes {
    /// Maps a file, or reads what is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            let mut bytes = Vec::new();
            io::copy(&mut file, &mut bytes)?;
            return Ok(Self::Read(bytes));
        }
        #[expect(unsafe_code, reason = "a mapping is only as constant as its file")]
        // SAFETY: the mapping is private to this process and never written to, and any bytes are valid `u8`s. That nobody
        // else changes or cuts the file while it is read is asked of the user (`docs/labels.md`): numbers are checked where
        // they are read and used as numbers alone, never as indices without a check, so changed ones give wrong results and
        // no wrong access; a cut file ends the process by SIGBUS.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self::Mapped(map))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_bytes_are_those_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for bytes in [&b""[..], b"x", &[7; 70_000]] {
            std::fs::write(&path, bytes).unwrap();
            let file = FileBytes::open(&path).unwrap();
            assert!(matches!(file, FileBytes::Mapped(_)));
            assert_eq!(file.as_slice(), bytes);
        }
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(FileBytes::open(&dir.path().join("no")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(FileBytes::open(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
