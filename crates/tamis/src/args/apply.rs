//! What can be typed after `tamis apply`.

use std::path::PathBuf;

use tamis::apply::resplit::Shares;

use super::ReadArgs;

/// Arguments of `tamis apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What was decided, one JSON object a line; of several files a later one takes precedence.
    #[arg(long, value_name = "FILE")]
    pub(crate) decisions: Vec<PathBuf>,
    /// Folder for the new dataset; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) suggest: SuggestArgs,
    /// Folder of the record of an audit of the same data, for --suggest and --resplit. [default: tamis-out]
    #[arg(long, value_name = "DIR")]
    pub(crate) audit: Option<PathBuf>,
    /// Makes new splits of these shares, train and test or train, validation and test, e.g. 0.8,0.1,0.1: no family of copies
    /// is cut, and classes keep their shares.
    #[arg(long, value_name = "SHARES")]
    pub(crate) resplit: Option<Shares>,
    /// Seed of the order in which families of one size are dealt, for --resplit. [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How files come over that stay as they are: copy, hard or symbolic.
    #[arg(long, value_name = "HOW", default_value = "copy")]
    pub(crate) link: LinkChoice,
    /// Applies decisions to data that has changed since it was reviewed, as long as every decided sample is the same.
    #[arg(long)]
    pub(crate) allow_changes: bool,
    /// Says what would become of every split and file, and writes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For tests: stops for good at the n-th point at which a crash must do no harm.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) failpoint: Option<u64>,
}

/// What decisions `tamis apply --suggest` makes.
#[derive(Debug, clap::Args)]
pub(crate) struct SuggestArgs {
    /// Writes decisions to a new file instead, by a rule that docs/apply.md describes, from the audit in --audit.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paths", "train", "validation", "test", "decisions", "out", "resplit", "dry_run"])]
    pub(crate) suggest: Option<PathBuf>,
    /// Suggests new labels too, for as many samples as are worth a review.
    #[arg(long, requires = "suggest")]
    pub(crate) relabel: bool,
    /// Suggests to drop what is merely close, too: by embeddings alone.
    #[arg(long, requires = "suggest")]
    pub(crate) semantic: bool,
}

/// How files come over that stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LinkChoice {
    /// As copies.
    Copy,
    /// As hard links: further names of the same file.
    Hard,
    /// As symbolic links.
    Symbolic,
}
