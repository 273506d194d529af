//! `tamis report`.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use tamis::output;
use tamis::record::Record;
use tamis_data::atomic::Commits;
use tamis_report::{RENDERERS, RenderError, Renderer};

use crate::args::AgainArgs;
use crate::commands::audit::render_options;
use crate::exit::{ExitStatus, print_to_stderr};

/// The output that an audit always leaves in its folder.
const PAGE: &str = "html";

/// Renders the record of an audit again: without a format the page in the folder itself, else to stdout or a file.
pub(crate) fn run(args: &AgainArgs) -> anyhow::Result<ExitStatus> {
    let mut record = Record::open(&args.dir)?;
    let commits = Commits::new();
    let id = args.format.as_deref().unwrap_or(PAGE);
    let renderer = tamis_report::find(id).unwrap_or(RENDERERS[0]);
    match (&args.output, &args.format) {
        (Some(path), _) => to_file(&record, renderer, &commits, path)?,
        (None, Some(_)) => to_stdout(&record, renderer)?,
        (None, None) => {
            let path = args.dir.join("report.html");
            to_file(&record, renderer, &commits, &path)?;
            // The record says of each of its files what is in it.
            record.set_output(output::described(&args.dir, "report.html")?);
            output::write_audit(&record.report(), &commits)?;
            print_to_stderr(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(ExitStatus::Clean)
}

fn to_stdout(record: &Record, renderer: &dyn Renderer) -> Result<(), RenderError> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    renderer.render(&record.report(), &render_options(), &mut out)?;
    Ok(out.flush()?)
}

fn to_file(record: &Record, renderer: &dyn Renderer, commits: &Commits, path: &Path) -> anyhow::Result<()> {
    let written = commits.write(path, |file| {
        let mut out = BufWriter::new(file);
        renderer.render(&record.report(), &tamis_report::RenderOptions::default(), &mut out)?;
        out.flush().map_err(RenderError::from)
    });
    written.map_err(|error| anyhow::Error::from(error).context(format!("cannot write {}", path.display())))
}
