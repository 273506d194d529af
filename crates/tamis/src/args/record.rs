//! Arguments of the commands on records of audits.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use tamis_core::Severity;
use tamis_report::RENDERERS;

/// What the HTML page may hold; where nothing is said, it is as in the record that is shown or repeated, or as configured.
#[derive(Debug, clap::Args)]
pub(crate) struct PageArgs {
    /// Size that report.html may have, at least 1MB; the worst findings come first. [default: that of the record, else 25MB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) report_budget: Option<String>,
    /// Leaves texts, pictures and what is quoted of them out of report.html; names and labels stay.
    #[arg(long, conflicts_with = "no_redact")]
    pub(crate) redact: bool,
    /// Shows them, although the configuration or the record leaves them out.
    #[arg(long)]
    pub(crate) no_redact: bool,
}

impl PageArgs {
    /// Whether contents are left out, where it is `usual` to.
    pub(crate) fn is_redacted(&self, usual: bool) -> bool {
        self.redact || (usual && !self.no_redact)
    }
}

/// Arguments of `tamis report`.
#[derive(Debug, clap::Args)]
pub(crate) struct AgainArgs {
    /// Folder that an audit has written.
    #[arg(value_name = "DIR", default_value = "tamis-out")]
    pub(crate) dir: PathBuf,
    /// Prints this format to stdout, or to --output. [default: report.html in the folder is written anew]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(RENDERERS.iter().map(|it| it.id())))]
    pub(crate) format: Option<String>,
    /// Writes to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    /// Shows these decisions on the page.
    #[arg(long, value_name = "FILE")]
    pub(crate) decisions: Option<PathBuf>,
    /// Shows on the page what changed since the audit in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
}

/// Arguments of `tamis diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The earlier version: a folder that an audit has written, or data, which are audited first.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// The later version.
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// How the difference is printed.
    #[arg(long, value_name = "FORMAT", value_parser = ["full", "json", "markdown", "html"], default_value = "full")]
    pub(crate) format: String,
    /// Writes to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Exits with 1 where something of this severity or above is found.
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::id)), default_value = "high")]
    pub(crate) fail_on: String,
    /// Exits with 0 whatever is found.
    #[arg(long)]
    pub(crate) exit_zero: bool,
    /// Seed of the permutations.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `tamis card`.
#[derive(Debug, clap::Args)]
pub(crate) struct CardArgs {
    /// Folder that an audit has written.
    #[arg(value_name = "DIR", default_value = "tamis-out")]
    pub(crate) dir: PathBuf,
    /// Writes README.md and croissant.json into this folder; of what is there already, our part.
    #[arg(long, value_name = "DIR", required_unless_present = "in_place")]
    pub(crate) out: Option<PathBuf>,
    /// Writes our part of this card, between the lines `<!-- tamis:begin -->` and `<!-- tamis:end -->` or at its end, or of
    /// this description in Croissant (.json); all else in it stays as it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) in_place: Vec<PathBuf>,
}
