//! `tamis apply`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tamis::apply::suggest::{SuggestOptions, suggest};
use tamis::apply::{ApplyError, ApplyOptions, Prepared, prepare};
use tamis::config::{self, FileConfig};
use tamis_core::words::counted;
use tamis_data::Input;
use tamis_data::atomic::{Commits, temporary_folders};
use tamis_data::rewrite::{Link, MANIFEST, RewriteError};
use tamis_report::visible;
use tamis_report::wire::v1::ActionCounts;

use super::audit::commits;
use super::{inputs, read_options, set_threads};
use crate::args::{ApplyArgs, LinkChoice};
use crate::exit::{ExitStatus, Usage, print_to_stderr};
use crate::interrupt;
use crate::progress::Bars;

/// The record that is meant where none is named.
const DEFAULT_AUDIT: &str = "tamis-out";

/// Writes decisions, or acts on them.
pub(crate) fn run(args: &ApplyArgs) -> anyhow::Result<ExitStatus> {
    match &args.suggest.suggest {
        Some(file) => write_suggestions(args, file),
        None => apply(args),
    }
}

fn write_suggestions(args: &ApplyArgs, file: &Path) -> anyhow::Result<ExitStatus> {
    if file.exists() {
        let file = file.display();
        return Err(Usage(format!("`{file}` is there already: expected the name of a new file")).into());
    }
    let audit = args.audit.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_AUDIT));
    let options = SuggestOptions { relabel: args.suggest.relabel, semantic: args.suggest.semantic };
    let suggested = suggest(&audit, options)?;
    let fill = |out: &mut std::fs::File| {
        let mut out = std::io::BufWriter::new(out);
        suggested.decisions.write(&mut out)?;
        out.flush()
    };
    Commits::new().write(file, fill).with_context(|| format!("cannot write `{}`", file.display()))?;
    let n = suggested.decisions.decisions.len();
    let mut text = format!("{} in {}\n", counted(n, "decision"), visible(&file.display().to_string()));
    for (check, n) in &suggested.by_check {
        writeln!(text, "  {check:24} {n:>8}")?;
    }
    for note in &suggested.notes {
        writeln!(text, "note: {note}")?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitStatus::Clean)
}

fn apply(args: &ApplyArgs) -> anyhow::Result<ExitStatus> {
    let inputs = inputs(&args.read)?;
    let (file, _) = config::load(args.read.config.as_deref())?;
    set_threads(&args.read, &file)?;
    let options = options(args, inputs, &file)?;
    let (out, commits) = (options.out.clone(), Arc::clone(&options.commits));
    let bars = Bars::new(args.read.quiet);
    let prepared = prepare(options, &bars)?;
    if args.dry_run {
        prepared.rehearse(&bars)?;
        say_notes(args, &prepared);
        std::io::stdout().write_all(summary(&prepared, None).as_bytes())?;
        return Ok(ExitStatus::Clean);
    }
    for left in temporary_folders(&out) {
        let left = left.display();
        print_to_stderr(&format!(
            "note: `{left}` is what another run has not finished; delete it if that run is over\n"
        ));
    }
    let _parents = Parents::make(&out)?;
    interrupt::stop_writing(commits, out.clone());
    match prepared.write(&bars) {
        Err(ApplyError::Rewrite(error @ RewriteError::Interrupted)) => {
            print_to_stderr(&format!("\n{error}\n"));
            return Ok(ExitStatus::Interrupted);
        }
        written => written?,
    };
    say_notes(args, &prepared);
    std::io::stdout().write_all(summary(&prepared, Some(&out)).as_bytes())?;
    Ok(ExitStatus::Clean)
}

/// Folders that were made for the new one to lie in. They go again where it was not written; those that hold something
/// stay by themselves.
struct Parents(Vec<PathBuf>);

impl Parents {
    fn make(out: &Path) -> anyhow::Result<Self> {
        let parent = out.parent().unwrap_or(Path::new(""));
        let is_missing = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
        let made = Self(parent.ancestors().take_while(is_missing).map(Path::to_owned).collect());
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder `{}`", parent.display()))?;
        Ok(made)
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in &self.0 {
            // The deepest comes first.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn say_notes(args: &ApplyArgs, prepared: &Prepared) {
    for note in prepared.notes().iter().filter(|_| !args.read.quiet) {
        print_to_stderr(&format!("note: {}\n", visible(note)));
    }
}

fn options(args: &ApplyArgs, inputs: Vec<Input>, file: &FileConfig) -> anyhow::Result<ApplyOptions> {
    if args.decisions.is_empty() && args.resplit.is_none() {
        let said = "nothing to apply: expected --decisions FILE, --resplit SHARES, or --suggest FILE to make decisions";
        return Err(Usage(said.to_owned()).into());
    }
    let out = match (&args.out, args.dry_run) {
        // Without a slash behind it, which would hide that it is a link.
        (Some(out), _) => out.components().collect(),
        (None, true) => PathBuf::from("."),
        (None, false) => return Err(Usage("nowhere to write: expected --out DIR, or --dry-run".to_owned()).into()),
    };
    if args.out.is_some() && !args.dry_run {
        check_out(&out, &inputs)?;
    }
    let audit = match (&args.audit, &args.resplit) {
        (Some(audit), _) => Some(audit.clone()),
        (None, Some(_)) => Some(PathBuf::from(DEFAULT_AUDIT)),
        (None, None) => None,
    };
    Ok(ApplyOptions {
        inputs,
        read: read_options(&args.read, file),
        decisions: args.decisions.clone(),
        audit,
        resplit: args.resplit.clone(),
        seed: args.seed.or(file.seed).unwrap_or(0),
        link: match args.link {
            LinkChoice::Copy => Link::Copy,
            LinkChoice::Hard => Link::Hard,
            LinkChoice::Symbolic => Link::Symbolic,
        },
        allow_changes: args.allow_changes,
        out,
        // Where the binary lies is nobody's business.
        command: std::iter::once("tamis".to_owned())
            .chain(std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()))
            .collect(),
        commits: Arc::new(commits(args.failpoint)),
    })
}

/// The new folder must be new, and lie in no input.
fn check_out(out: &Path, inputs: &[Input]) -> anyhow::Result<()> {
    let shown = out.display();
    if let Ok(there) = std::fs::symlink_metadata(out) {
        let is_empty = || std::fs::read_dir(out).is_ok_and(|mut it| it.next().is_none());
        let what = match there.is_symlink() {
            true => "is a link",
            false if there.is_dir() && is_empty() => "",
            false => "is there already",
        };
        if !what.is_empty() {
            return Err(Usage(format!("--out `{shown}` {what}: expected a new folder, or an empty one")).into());
        }
    }
    if out.file_name().is_none() {
        return Err(Usage(format!("--out `{shown}` names no folder")).into());
    }
    // What is there already says where the rest will be.
    let whole = std::path::absolute(out)?;
    let place = whole.ancestors().find_map(|it| it.canonicalize().ok()).unwrap_or_default();
    for input in inputs {
        if let Ok(path) = input.path.canonicalize()
            && place.starts_with(&path)
        {
            let path = input.path.display();
            return Err(
                Usage(format!("--out `{shown}` lies in `{path}`, which is read: expected another place")).into()
            );
        }
    }
    Ok(())
}

/// What became, or would become, of splits and files.
fn summary(prepared: &Prepared, out: Option<&Path>) -> String {
    let name = |text: &str| visible(text);
    let mut rows =
        vec![["split", "before", "dropped", "relabeled", "moved out", "moved in", "after"].map(str::to_owned)];
    for it in prepared.by_split() {
        let counts = [it.before, it.dropped, it.relabeled, it.moved_out, it.moved_in, it.after].map(|n| n.to_string());
        let [before, dropped, relabeled, out, into, after] = counts;
        rows.push([name(&it.name), before, dropped, relabeled, out, into, after]);
    }
    let mut text = table(&rows);
    text.push('\n');
    let mut rows = vec![["file", "kept", "dropped", "relabeled", "moved"].map(str::to_owned)];
    for (path, it) in prepared.by_file() {
        let ActionCounts { kept, dropped, relabeled, moved } = it;
        let [kept, dropped, relabeled, moved] = [kept, dropped, relabeled, moved].map(|n| n.to_string());
        rows.push([name(&path.display().to_string()), kept, dropped, relabeled, moved]);
    }
    text.push_str(&table(&rows));
    match out {
        Some(out) => {
            let out = name(&out.display().to_string());
            text.push_str(&format!("\nwritten to {out}; {MANIFEST} there says how it came about\n"));
        }
        None => text.push_str("\nnothing was written (--dry-run)\n"),
    }
    text
}

/// Columns of equal width, the first one to the left.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> =
        (0..N).map(|idx| rows.iter().map(|row| console::measure_text_width(&row[idx])).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (idx, cell) in row.iter().enumerate() {
            let gap = " ".repeat(widths[idx] - console::measure_text_width(cell));
            text.push_str(&if idx == 0 { format!("{cell}{gap}") } else { format!("  {gap}{cell}") });
        }
        text.push('\n');
    }
    text
}
