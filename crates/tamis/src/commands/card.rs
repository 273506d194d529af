//! `tamis card`.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

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
    let commits = Commits::new();
    if let Some(out) = &args.out {
        fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        // The one that can be refused comes first.
        write_croissant(&record, &out.join("croissant.json"), &commits)?;
        write_card(&record, &out.join("README.md"), &commits)?;
    }
    for path in &args.in_place {
        if !path.is_file() {
            return Err(Usage(format!("there is no file {}: --out DIR writes a new one", path.display())).into());
        }
        match path.extension().is_some_and(|it| it == "json") {
            true => write_croissant(&record, path, &commits)?,
            false => write_card(&record, path, &commits)?,
        }
    }
    Ok(ExitStatus::Clean)
}

/// Writes a description in Croissant, or what is ours of one that is there.
fn write_croissant(record: &Record, path: &Path, commits: &Commits) -> anyhow::Result<()> {
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
    write(path, &(serde_json::to_string_pretty(&new)? + "\n"), commits)?;
    if !missing.is_empty() {
        print_to_stderr(&format!("only people can say its {}\n", missing.join(", ")));
    }
    Ok(())
}

/// Writes our part of a card, or a whole card where there is none.
fn write_card(record: &Record, path: &Path, commits: &Commits) -> anyhow::Result<()> {
    let text = match text(path)? {
        None => card::card(&record.audit, n_independent(record)),
        Some(old) => card::merged(&old, &card::block(&record.audit, n_independent(record)))
            .map_err(|error| Usage(format!("{}: {error}", path.display())))?,
    };
    write(path, &text, commits)
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
    // A link stays one: what it leads to is written.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let permissions = fs::metadata(&real).ok().map(|it| it.permissions());
    let written = commits.write(&real, |file| {
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text.as_bytes())
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    print_to_stderr(&format!("wrote {}\n", path.display()));
    Ok(())
}
