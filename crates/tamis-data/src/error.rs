//! What stops reading. Bad data does not: it becomes an unreadable sample.

use std::io;
use std::path::PathBuf;

use tamis_core::dataset::TooManySamples;

/// Why nothing, or nothing more, can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No path was given.
    #[error("no input: expected a file or a folder")]
    NoInput,
    /// A path leads nowhere.
    #[error("no such file or folder: `{}`", path.display())]
    Missing {
        /// As it was given.
        path: PathBuf,
    },
    /// A path cannot be looked at.
    #[error("cannot open `{}`", path.display())]
    Inaccessible {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path leads to a pipe, a device or the like.
    #[error("`{}` is neither a file nor a folder", path.display())]
    NotAFile {
        /// As it was given.
        path: PathBuf,
    },
    /// The inputs hold no sample.
    #[error("nothing to read in `{}`: {what}", path.display())]
    NothingToRead {
        /// As it was given.
        path: PathBuf,
        /// What was looked for, and what was there.
        what: String,
        /// Whether there are files, all of them of kinds that are not read.
        found_files: bool,
    },
    /// There are samples, and none of them could be read.
    #[error("nothing could be read: {first}{}", others(*n))]
    AllUnreadable {
        /// Number of unreadable samples.
        n: usize,
        /// Why the first one could not be read.
        first: String,
    },
    /// A column that was named is not there.
    #[error("no column `{name}` (from {option}), {}", expected(columns))]
    NoSuchColumn {
        /// The option that named it.
        option: &'static str,
        /// Its name.
        name: String,
        /// The columns that are there.
        columns: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// `--from` names no format.
    #[error("unknown format `{name}`, expected one of {}", formats.join(", "))]
    UnknownFormat {
        /// The name given.
        name: String,
        /// The formats there are.
        formats: Vec<&'static str>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// Some samples are texts and some are images.
    #[error("`{}` holds images and `{}` holds texts, expected one kind of sample in an audit", images.display(), texts.display())]
    MixedModalities {
        /// The first file of images.
        images: PathBuf,
        /// The first file of texts.
        texts: PathBuf,
    },
    /// No column looks like text.
    #[error("no text column in `{}`: none of its columns holds text or images ({})", path.display(), quoted(columns))]
    NoTextColumn {
        /// The first file.
        path: PathBuf,
        /// The columns that are there.
        columns: Vec<String>,
    },
    /// A split column is none.
    #[error("column `{name}` has more than {limit} values, expected the name of a split in each row")]
    TooManySplits {
        /// The column.
        name: String,
        /// Most splits of one dataset.
        limit: usize,
    },
    /// There are more samples than ids.
    #[error(transparent)]
    TooManySamples(#[from] TooManySamples),
}

impl ReadError {
    /// Whether the command was wrong rather than the data.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoInput
                | Self::NoSuchColumn { .. }
                | Self::UnknownFormat { .. }
                | Self::NoTextColumn { .. }
                | Self::MixedModalities { .. }
                | Self::TooManySplits { .. }
        )
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchColumn { option, nearest, .. } => Some(format!("did you mean {option} {}?", nearest.as_ref()?)),
            Self::UnknownFormat { nearest, .. } => Some(format!("did you mean --from {}?", nearest.as_ref()?)),
            Self::NoTextColumn { .. } => Some("name the column with --text NAME, or with --image NAME where it holds images or their paths".to_owned()),
            Self::MixedModalities { .. } => Some(
                "audit them one after the other, each with an --out of its own; --text COLUMN or --image COLUMN chooses for tables"
                    .to_owned(),
            ),
            Self::TooManySplits { .. } => Some("name another column with --split NAME".to_owned()),
            Self::NothingToRead { found_files: true, .. } => {
                Some("--from FORMAT reads all files of a folder as one format".to_owned())
            }
            _ => None,
        }
    }
}

fn others(n: usize) -> String {
    match n {
        0 | 1 => String::new(),
        2 => " (and 1 more)".to_owned(),
        _ => format!(" (and {} more)", n - 1),
    }
}

fn expected(columns: &[String]) -> String {
    if columns.is_empty() {
        return "the input has no columns".to_owned();
    }
    format!("expected one of {}", quoted(columns))
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
