//! `tamis report`.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use tamis::config;
use tamis::output;
use tamis::record::Record;
use tamis_data::atomic::Commits;
use tamis_report::wire::v1::Decisions;
use tamis_report::{RENDERERS, RenderError, RenderOptions, Renderer};

use crate::args::AgainArgs;
use crate::commands::audit::for_stdout;
use crate::commands::diff::compare;
use crate::exit::{ExitStatus, Usage, print_to_stderr};

/// The output that an audit always leaves in its folder.
const PAGE: &str = "html";

/// Renders the record of an audit again: without a format the page in the folder itself, else to stdout or a file.
pub(crate) fn run(args: &AgainArgs) -> anyhow::Result<ExitStatus> {
    let mut record = Record::open(&args.dir)?;
    let options = options(args, &record)?;
    let commits = Commits::new();
    let id = args.format.as_deref().unwrap_or(PAGE);
    let renderer = tamis_report::find(id).unwrap_or(RENDERERS[0]);
    match (&args.output, &args.format) {
        (Some(path), _) => to_file(&record, renderer, &options, &commits, path)?,
        (None, Some(_)) => to_stdout(&record, renderer, options)?,
        (None, None) => {
            let path = args.dir.join("report.html");
            to_file(&record, renderer, &options, &commits, &path)?;
            // The record says of each of its files what is in it.
            record.set_output(output::described(&args.dir, "report.html")?);
            output::write_audit(&record.report(), &commits)?;
            print_to_stderr(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(ExitStatus::Clean)
}

/// What the page may hold, as in the audit unless said otherwise, and what it starts with.
fn options(args: &AgainArgs, record: &Record) -> anyhow::Result<RenderOptions> {
    let mut options = record.audit.page();
    options.redact = args.page.is_redacted(options.redact);
    if let Some(text) = &args.page.report_budget {
        options.budget = config::report_budget(text)?;
    }
    if let Some(path) = &args.decisions {
        let what = || format!("cannot read the decisions of {}", path.display());
        let text = std::fs::read_to_string(path).with_context(what)?;
        let decisions = Decisions::read(text.as_bytes()).with_context(what)?;
        if decisions.header.dataset_hash != record.audit.dataset.hash {
            let (path, dir) = (path.display(), args.dir.display());
            return Err(Usage(format!("the decisions of {path} are about another dataset than {dir}")).into());
        }
        options.decisions = Some(text);
    }
    if let Some(path) = &args.against {
        let before = Record::open(path)?;
        let paths = [path, &args.dir].map(|it| it.display().to_string());
        options.changes = Some(compare(&before, record, 0)?.record(paths));
    }
    Ok(options)
}

fn to_stdout(record: &Record, renderer: &dyn Renderer, options: RenderOptions) -> Result<(), RenderError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    renderer.render(&record.report(), &for_stdout(options), &mut out)?;
    Ok(out.flush()?)
}

fn to_file(
    record: &Record,
    renderer: &dyn Renderer,
    options: &RenderOptions,
    commits: &Commits,
    path: &Path,
) -> anyhow::Result<()> {
    let written = commits.write(path, |file| {
        let mut out = BufWriter::new(file);
        renderer.render(&record.report(), options, &mut out)?;
        out.flush().map_err(RenderError::from)
    });
    written.map_err(|error| anyhow::Error::from(error).context(format!("cannot write {}", path.display())))
}
