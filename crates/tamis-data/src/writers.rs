//! The writers of the input formats: rows as they stand, less those that go, with the values that change.
//!
//! A new writer is one file in `writers/`, called like its format, and one line in [`WRITERS`]. Formats whose rows are files
//! of their own have none: their files come over as they stand.

mod csv;
mod idx;
mod jsonl;
mod lines;
mod parquet;
mod tsv;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::atomic::Commits;
use crate::rewrite::{Link, Part, RewriteError};

/// All writers, in the order of the formats.
pub(crate) static WRITERS: &[&dyn Writer] =
    &[&parquet::Parquet, &idx::Idx, &jsonl::Jsonl, &csv::Csv, &tsv::Tsv, &lines::Lines];

/// Bytes that are copied at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes files of one format.
pub(crate) trait Writer: fmt::Debug + Send + Sync {
    /// Id of the format.
    fn id(&self) -> &'static str;

    /// Writes the rows of all parts, one after the other, to a file that is not there yet. The file itself comes first in the
    /// answer, then what else was written.
    ///
    /// # Errors
    /// When a part cannot be read, is not what it was, or does not fit to the others, or the file cannot be written.
    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError>;
}

/// The writer of the format called `id`.
pub(crate) fn by_id(id: &str) -> Option<&'static dyn Writer> {
    WRITERS.iter().copied().find(|it| it.id() == id)
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) blake3: String,
}

/// Where a writer writes to.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    path: PathBuf,
    /// Asked whether to stop; `None` where everything is done but nothing written, which tells whether it can be.
    commits: Option<&'a Commits>,
}

impl<'a> Target<'a> {
    /// A file that is not there yet.
    pub(crate) fn new(path: PathBuf, commits: &'a Commits) -> Self {
        Self { path, commits: Some(commits) }
    }

    /// Nowhere: the path is only a name.
    pub(crate) fn nowhere(path: PathBuf) -> Self {
        Self { path, commits: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_nowhere(&self) -> bool {
        self.commits.is_none()
    }

    /// Another file in the same folder.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { path: self.path.with_file_name(name), commits: self.commits }
    }

    /// Whether the file is packed by gzip: as the file that was there is, and else by its name.
    pub(crate) fn is_gzip(&self, parts: &[Part]) -> bool {
        let own = parts.iter().find(|it| it.rows.is_whole_file());
        own.map_or_else(|| is_gzip_name(&self.path), |it| it.file.is_gzip)
    }

    fn is_interrupted(&self) -> bool {
        self.commits.is_some_and(Commits::is_interrupted)
    }
}

/// Whether a file is called like one that is packed by gzip.
pub(crate) fn is_gzip_name(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "gz")
}

/// A new file whose bytes are hashed on the way, and packed by gzip if so wanted.
pub(crate) struct Sink<'a> {
    path: PathBuf,
    out: Packed<'a>,
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("path", &self.path).finish_non_exhaustive()
    }
}

enum Packed<'a> {
    Plain(Hashed<'a>),
    // The header holds no time, so that equal rows give equal bytes.
    Gzip(Box<GzEncoder<Hashed<'a>>>),
}

struct Hashed<'a> {
    target: Target<'a>,
    file: Option<BufWriter<File>>,
    /// Large, and so kept apart.
    hasher: Box<blake3::Hasher>,
    size_bytes: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(bytes.len()) };
        if self.target.is_interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let n = file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<'a> Sink<'a> {
    pub(crate) fn create(target: &Target<'a>, is_gzip: bool) -> Result<Self, RewriteError> {
        let path = target.path.clone();
        let file = match target.is_nowhere() {
            true => None,
            false => {
                let file =
                    File::create_new(&path).map_err(|source| RewriteError::Write { path: path.clone(), source })?;
                Some(BufWriter::with_capacity(BUFFER_BYTES, file))
            }
        };
        let out = Hashed { target: target.clone(), file, hasher: Box::default(), size_bytes: 0 };
        let out = match is_gzip && !target.is_nowhere() {
            true => Packed::Gzip(Box::new(GzEncoder::new(out, Compression::default()))),
            false => Packed::Plain(out),
        };
        Ok(Self { path, out })
    }

    /// Writes bytes; an error names the file.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), RewriteError> {
        self.write_all(bytes).map_err(|source| RewriteError::Write { path: self.path.clone(), source })
    }

    /// Writes what is left, syncs the file, and says what it holds.
    pub(crate) fn finish(self) -> Result<Written, RewriteError> {
        let path = self.path;
        let failed = |source| RewriteError::Write { path: path.clone(), source };
        let mut out = match self.out {
            Packed::Plain(out) => out,
            Packed::Gzip(out) => out.finish().map_err(failed)?,
        };
        out.flush().map_err(failed)?;
        if let Some(file) = &out.file {
            file.get_ref().sync_all().map_err(failed)?;
        }
        Ok(Written { size_bytes: out.size_bytes, blake3: out.hasher.finalize().to_hex().to_string(), path })
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Packed::Plain(out) => out.write(bytes),
            Packed::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Packed::Plain(out) => out.flush(),
            Packed::Gzip(out) => out.flush(),
        }
    }
}

/// Takes a file over as it stands.
///
/// Copies are not synced one by one, which would take longer than the copying: their hashes are in the manifest.
pub(crate) fn carry(part: &Part, to: &Target<'_>, link: Link) -> Result<Written, RewriteError> {
    let (source, target) = (&part.file.path, to.path());
    let failed = |source| RewriteError::Write { path: target.to_owned(), source };
    let unread = |error: io::Error| RewriteError::Source {
        path: source.clone(),
        row: None,
        what: format!("{error}, expected a readable file"),
    };
    let (size_bytes, blake3) = match link {
        Link::Copy => {
            let (size_bytes, blake3) = copy(source, to, unread, failed)?;
            // What nobody has read yet cannot have changed.
            check_unchanged(part, &blake3)?;
            (size_bytes, blake3)
        }
        Link::Hard | Link::Symbolic => {
            let real = source.canonicalize().map_err(unread)?;
            let linked = match link {
                Link::Hard => std::fs::hard_link(&real, target),
                _ => symbolic(&real, target),
            };
            linked.map_err(failed)?;
            let blake3 = crate::stream::hash_file(&real).map_err(unread)?;
            check_unchanged(part, &blake3)?;
            (std::fs::metadata(&real).map_err(unread)?.len(), blake3)
        }
    };
    Ok(Written { path: target.to_owned(), size_bytes, blake3 })
}

/// Copies bytes and hashes them on the way.
fn copy(
    source: &Path,
    target: &Target<'_>,
    unread: impl Fn(io::Error) -> RewriteError,
    failed: impl Fn(io::Error) -> RewriteError,
) -> Result<(u64, String), RewriteError> {
    let mut input = File::open(source).map_err(&unread)?;
    let mut output = File::create_new(target.path()).map_err(&failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size_bytes = 0;
    loop {
        let n = io::Read::read(&mut input, &mut buffer).map_err(&unread)?;
        if n == 0 {
            return Ok((size_bytes, hasher.finalize().to_hex().to_string()));
        }
        if target.is_interrupted() {
            return Err(failed(io::Error::other("interrupted")));
        }
        output.write_all(&buffer[..n]).map_err(&failed)?;
        hasher.update(&buffer[..n]);
        size_bytes += n as u64;
    }
}

#[cfg(unix)]
fn symbolic(source: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(source, target)
}

#[cfg(windows)]
fn symbolic(source: &Path, target: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(source, target)
}

#[cfg(not(any(unix, windows)))]
fn symbolic(_source: &Path, _target: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no symbolic links"))
}

/// Refuses an input that is no longer what the decisions were compared with.
pub(crate) fn check_unchanged(part: &Part, blake3: &str) -> Result<(), RewriteError> {
    match &part.blake3 {
        Some(before) if before != blake3 => Err(RewriteError::Changed { path: part.file.path.clone() }),
        _ => Ok(()),
    }
}

/// Refuses an input of which other rows were taken than were decided on.
pub(crate) fn check_count(part: &Part, taken: u64) -> Result<(), RewriteError> {
    // Rows of metadata are not counted.
    if part.n_rows == 0 || taken == part.n_rows {
        return Ok(());
    }
    let what = format!("{taken} of its rows were found, expected {}", part.n_rows);
    Err(RewriteError::Source { path: part.file.path.clone(), row: None, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::FORMATS;
    use std::collections::BTreeSet;

    #[test]
    fn every_format_has_a_writer_in_a_file_of_its_name() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/writers");
        let files = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_file());
        let stems: BTreeSet<String> =
            files.map(|it| it.file_stem().unwrap().to_string_lossy().replace('_', "-")).collect();
        let ids: Vec<&str> = WRITERS.iter().map(|it| it.id()).collect();
        // Files of these are one sample each, and come over as they stand.
        let is_written = |it: &&str| !["text-files", "image-files"].contains(it);
        assert_eq!(ids, FORMATS.iter().map(|it| it.id()).filter(is_written).collect::<Vec<_>>());
        assert_eq!(stems, ids.iter().map(|it| (*it).to_owned()).collect());
    }
}
