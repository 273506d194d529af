//! `tamis diff`.

use std::io::Write as _;
use std::path::Path;

use clap::Parser as _;
use tamis::config;
use tamis::diff::{self, Diff};
use tamis::record::Record;
use tamis_core::Severity;
use tamis_data::atomic::Commits;
use tamis_report::comparison;

use crate::args::{Args, Command, DiffArgs};
use crate::commands::audit;
use crate::exit::{ExitStatus, Usage};
use crate::interrupt;

/// Compares two records, or two sets of data that are audited first.
pub(crate) fn run(args: &DiffArgs) -> anyhow::Result<ExitStatus> {
    super::set_n_threads(config::load(None)?.0.threads)?;
    let scratch = tempfile::Builder::new().prefix("tamis-diff-").tempdir_in(config::scratch_dir())?;
    interrupt::remove_scratch(scratch.path().to_owned());
    let before = open(&args.before, &scratch.path().join("before"), args.quiet)?;
    let after = open(&args.after, &scratch.path().join("after"), args.quiet)?;
    let diff = compare(&before, &after, args.seed)?;
    let record = diff.record([&args.before, &args.after].map(|it| it.display().to_string()));
    let text = match args.format.as_str() {
        "json" => serde_json::to_string_pretty(&record)? + "\n",
        "markdown" => comparison::markdown(&record),
        "html" => comparison::html(&record)?,
        _ => comparison::text(&record),
    };
    match &args.output {
        Some(path) => Commits::new().write(path, |file| file.write_all(text.as_bytes()))?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    // What is worse is not known then.
    if audit::has_failed(&after.report()) {
        return Ok(ExitStatus::Failed);
    }
    let fail_on = Severity::ALL.into_iter().find(|it| it.id() == args.fail_on).unwrap_or(Severity::High);
    let is_found = diff.worst().is_some_and(|worst| fail_on <= worst) && !args.exit_zero;
    Ok(if is_found { ExitStatus::Findings } else { ExitStatus::Clean })
}

/// How two versions differ.
pub(super) fn compare<'a>(before: &'a Record, after: &'a Record, seed: u64) -> Result<Diff<'a>, Usage> {
    let (old, new) = (before.audit.dataset.modality.as_str(), after.audit.dataset.modality.as_str());
    if old != new {
        return Err(Usage(format!("one version holds {old} samples, the other {new} samples")));
    }
    Ok(diff::diff(before, after, seed))
}

/// The record at `path`, or that of an audit of what is there, in `scratch`.
fn open(path: &Path, scratch: &Path, is_quiet: bool) -> anyhow::Result<Record> {
    if path.join("audit.json").is_file() || path.join("findings.jsonl").is_file() {
        return Ok(Record::open(path)?);
    }
    let command = ["tamis", "audit", "--out"].map(std::ffi::OsString::from);
    let quiet = is_quiet.then(|| "--quiet".into());
    let command = command.into_iter().chain([scratch.into()]).chain(quiet).chain(["--".into(), path.into()]);
    let Command::Audit(args) = Args::try_parse_from(command)?.command else { unreachable!("an audit was asked for") };
    audit::record(&args)?;
    Ok(Record::open(scratch)?)
}
