//! Writing a dataset again, as it lies but for what was decided: which rows go, which labels and splits become others.
//!
//! A change acts where the reader found the value: a label in its column, its folder, its metadata or its file of labels; a
//! split in its column, or by moving the row to another file and the file to another folder. [`Layout::plan`] says what
//! becomes of every file, and what cannot be done, before anything is written; [`Rewrite::write`] does it file by file, each
//! by the writer of its format.

mod places;

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tamis_core::Progress;

use crate::atomic::{Commits, FolderError};
use crate::error::ReadError;
use crate::formats::FileSpec;
use crate::reader::{Planned, Traces};
use crate::writers::{self, Target, Writer};

/// Name of the file that `tamis apply` leaves in the folder that it makes.
pub const MANIFEST: &str = "tamis-manifest.json";

/// How a dataset lies in its files: what the reader found, kept so that it can be written again.
#[derive(Debug)]
pub struct Layout {
    pub(crate) files: Vec<Planned>,
    pub(crate) traces: Traces,
}

/// What becomes of one sample; the default is that it stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether it goes.
    pub is_dropped: bool,
    /// Its new label.
    pub label: Option<String>,
    /// Its new split.
    pub split: Option<String>,
}

/// What names of files show of splits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// What they show now, and new splits.
    #[default]
    AsItIs,
    /// All splits: a file that shows none gets a name that does, for other tools may read it as nothing beside files that do.
    EverySplit,
}

/// How files come over that stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// As copies.
    #[default]
    Copy,
    /// As further names of the same file.
    Hard,
    /// As links to where the file lies now.
    Symbolic,
}

/// What keeps a dataset from being written again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// A change cannot be made in this layout or format.
    #[error("{what}")]
    Unfit {
        /// What cannot be done, where and why.
        what: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The input cannot be listed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The input cannot be read again.
    #[error("cannot copy `{}`{}: {what}", path.display(), row.map_or_else(String::new, |row| format!(" from row {row} on")))]
    Source {
        /// The file.
        path: PathBuf,
        /// The row that cannot be read.
        row: Option<u64>,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// The input is not what it was a moment ago.
    #[error("`{}` was changed while it was being read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Somebody asked to stop.
    #[error("interrupted: nothing was written")]
    Interrupted,
}

impl RewriteError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unfit { hint, .. } => hint.clone(),
            Self::Read(error) => error.hint(),
            Self::Source { .. } => {
                Some("decide to drop what cannot be read: it is among the unreadable samples".to_owned())
            }
            Self::Changed { .. } => Some("run the command again when nothing writes to the input".to_owned()),
            Self::Write { source, .. } if source.kind() == std::io::ErrorKind::CrossesDevices => {
                Some("hard links need one file system: take --link copy or --link symbolic".to_owned())
            }
            Self::Write { .. } | Self::Folder(_) | Self::Interrupted => None,
        }
    }

    pub(crate) fn unfit(what: String, hint: impl Into<String>) -> Self {
        Self::Unfit { what, hint: Some(hint.into()) }
    }
}

/// Which rows of a file are taken.
#[derive(Debug)]
pub(crate) enum Rows {
    /// All but these, and what stands between rows.
    AllBut(BTreeSet<u64>),
    /// These alone.
    Only(BTreeSet<u64>),
}

impl Rows {
    pub(crate) fn take(&self, row: u64) -> bool {
        match self {
            Self::AllBut(gone) => !gone.contains(&row),
            Self::Only(rows) => rows.contains(&row),
        }
    }

    /// Whether the file's own head, and what stands between its rows, comes along.
    pub(crate) fn is_whole_file(&self) -> bool {
        matches!(self, Self::AllBut(_))
    }
}

/// A value that becomes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) column: String,
    pub(crate) value: String,
}

/// New values by row.
pub(crate) type Edits = BTreeMap<u64, Vec<Edit>>;

/// Some rows of an input file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: FileSpec,
    /// Hash of the input as it was read.
    pub(crate) blake3: Option<String>,
    /// Files that are read with it, each with its hash as it was read.
    pub(crate) beside: Vec<(PathBuf, String)>,
    pub(crate) rows: Rows,
    pub(crate) edits: Edits,
    /// Number of rows that are taken.
    pub(crate) n_rows: u64,
}

/// A file to write.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None` where the one part comes over as it stands.
    pub(crate) writer: Option<&'static dyn Writer>,
    pub(crate) parts: Vec<Part>,
    /// Samples of the input file at this place.
    pub(crate) rows_in: u64,
}

/// Everything that will be written, and what will no longer be there.
#[derive(Debug)]
pub struct Rewrite {
    /// By path below the new folder.
    outputs: BTreeMap<PathBuf, Output>,
    /// Files of the input that have nothing left, with their samples.
    gone: BTreeMap<PathBuf, u64>,
    notes: Vec<String>,
}

/// One file as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// Path below the new folder, `/` between components.
    pub path: String,
    /// Samples of the input file at the same place; zero where there is none.
    pub rows_in: u64,
    /// Samples in it.
    pub rows_out: u64,
    /// Its size; zero where it is not there any more.
    pub size_bytes: u64,
    /// BLAKE3 of its bytes in hexadecimal; `None` where nothing was left of it.
    pub blake3: Option<String>,
}

impl Rewrite {
    /// What does not come along, and what will be read in another way. Sentences.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Does everything but write: what a writer would refuse, it refuses here.
    ///
    /// # Errors
    /// When a change cannot be made, or the input is no longer what it was.
    pub fn rehearse(&self, progress: &dyn Progress) -> Result<(), RewriteError> {
        let written = || self.outputs.iter().filter_map(|(path, it)| Some((path, it, it.writer?)));
        let task = progress.begin("checking", Some(written().map(|it| n_rows(it.1)).sum()), "samples");
        for (path, output, writer) in written() {
            writer.write(&output.parts, &Target::nowhere(path.clone()))?;
            task.advance(n_rows(output));
        }
        Ok(())
    }

    /// Writes all files below `dir`, which is there and empty.
    ///
    /// # Errors
    /// When the input cannot be read again, is no longer what it was, or the output cannot be written; and when `commits`
    /// says that somebody asked to stop.
    pub fn write(
        &self,
        dir: &Path,
        link: Link,
        commits: &Commits,
        progress: &dyn Progress,
    ) -> Result<Vec<FileRecord>, RewriteError> {
        let task = progress.begin("writing", Some(self.outputs.values().map(n_rows).sum()), "samples");
        let mut records = Vec::with_capacity(self.outputs.len() + self.gone.len());
        for (path, output) in &self.outputs {
            let target = dir.join(path);
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|source| RewriteError::Write { path: folder.to_owned(), source })?;
            }
            let target = Target::new(target, commits);
            let written = match output.writer {
                Some(writer) => writer.write(&output.parts, &target),
                None => writers::carry(&output.parts[0], &target, link).map(|it| vec![it]),
            };
            if commits.is_interrupted() {
                return Err(RewriteError::Interrupted);
            }
            let written = written?;
            commits.point();
            task.advance(n_rows(output));
            for (idx, it) in written.into_iter().enumerate() {
                // What a writer puts beside its file has no samples of its own.
                let (rows_in, rows_out) = if idx == 0 { (output.rows_in, n_rows(output)) } else { (0, 0) };
                let path = it.path.strip_prefix(dir).unwrap_or(&it.path);
                records.push(FileRecord {
                    path: slashed(path),
                    rows_in,
                    rows_out,
                    size_bytes: it.size_bytes,
                    blake3: Some(it.blake3),
                });
            }
        }
        let gone = self.gone.iter().map(|(path, rows_in)| FileRecord {
            path: slashed(path),
            rows_in: *rows_in,
            rows_out: 0,
            size_bytes: 0,
            blake3: None,
        });
        records.extend(gone);
        records.sort_by(|x, y| x.path.cmp(&y.path));
        Ok(records)
    }
}

/// Samples of an output.
fn n_rows(output: &Output) -> u64 {
    output.parts.iter().map(|it| it.n_rows).sum()
}

/// A relative path with `/` between its components.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|it| it.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
