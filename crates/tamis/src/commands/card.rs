//! `tamis card`.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tamis::card::{n_independent, source};
use tamis::record::Record;
use tamis_data::atomic::Commits;
use tamis_report::{card, croissant};

use crate::args::CardArgs;
use crate::exit::{ExitStatus, Usage, print_to_stderr};

/// Writes a card and a description in Croissant into a folder, or what is ours of one into a file that is there.
pub(crate) fn run(args: &CardArgs) -> anyhow::Result<ExitStatus> {
    let record = Record::open(&args.dir)?;
    // All texts are made before the first is written: one of the files may be refused.
    let mut drafts = Vec::new();
    if let Some(out) = &args.out {
        fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        drafts.push(croissant_draft(&record, &out.join("croissant.json"))?);
        drafts.push(card_draft(&record, &out.join("README.md"))?);
    }
    for path in &args.in_place {
        if !path.is_file() {
            return Err(Usage(format!("there is no file {}: --out DIR writes a new one", path.display())).into());
        }
        drafts.push(match path.extension().is_some_and(|it| it == "json") {
            true => croissant_draft(&record, path)?,
            false => card_draft(&record, path)?,
        });
    }
    let commits = Commits::new();
    for Draft { path, text, missing } in &drafts {
        write(path, text, &commits)?;
        if !missing.is_empty() {
            print_to_stderr(&format!("only people can say its {}\n", missing.join(", ")));
        }
    }
    Ok(ExitStatus::Clean)
}

/// A file that is to be written.
struct Draft {
    path: PathBuf,
    text: String,
    /// What only people can say, and have not.
    missing: Vec<&'static str>,
}

/// A description in Croissant, or one that is there with what is ours.
fn croissant_draft(record: &Record, path: &Path) -> anyhow::Result<Draft> {
    let old = match text(path)? {
        None => None,
        Some(text) => {
            let not_one = |error| Usage(format!("{}: {error}; expected an object of JSON", path.display()));
            Some(serde_json::from_str(&text).map_err(not_one)?)
        }
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let source = source(record, folder)?;
    let (new, missing) = croissant::merged(old, &record.audit, &source, n_independent(record));
    Ok(Draft { path: path.to_owned(), text: serde_json::to_string_pretty(&new)? + "\n", missing })
}

/// A card, or one that is there with our part.
fn card_draft(record: &Record, path: &Path) -> anyhow::Result<Draft> {
    let text = match text(path)? {
        None => card::card(&record.audit, n_independent(record)),
        Some(old) => card::merged(&old, &card::block(&record.audit, n_independent(record)))
            .map_err(|error| Usage(format!("{}: {error}", path.display())))?,
    };
    Ok(Draft { path: path.to_owned(), text, missing: Vec::new() })
}

/// What stands in a file; `None` where there is none.
fn text(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::from(error).context(format!("cannot read {}", path.display()))),
    }
}

fn write(path: &Path, text: &str, commits: &Commits) -> anyhow::Result<()> {
    let permissions = fs::metadata(path).ok().map(|it| it.permissions());
    let written = commits.write(path, |file| {
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text.as_bytes())
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    print_to_stderr(&format!("wrote {}\n", path.display()));
    Ok(())
}
