//! `tamis models`: one file per command.

use std::io::Write as _;

use tamis::models::Source;
use tamis::{config, models};
use tamis_embed::{Manifest, ModelFiles, catalog, encoders};

use crate::args::{ModelsArgs, ModelsCommand};
use crate::exit::ExitStatus;

mod distill;

mod list;

mod pull;

mod show;

mod verify;

/// Does what was asked.
pub(crate) fn run(args: &ModelsArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        ModelsCommand::List(args) => list::run(args),
        ModelsCommand::Show(args) => show::run(args),
        ModelsCommand::Pull(args) => pull::run(args),
        ModelsCommand::Verify(args) => verify::run(args),
        ModelsCommand::Distill(args) => distill::run(args),
    }
}

/// The manifest of a model, whether its files are here or not, and the files if they are.
fn manifest(name: &str) -> anyhow::Result<(Manifest, Option<ModelFiles>)> {
    match models::locate(name, &config::hub()) {
        Ok((files, _)) => Ok((Manifest::of(&files)?, Some(files))),
        Err(error) => match (&error, catalog::find(name)) {
            (models::NoSuchModel::NotHere { .. }, Some(entry)) => Ok((entry.manifest(), None)),
            _ => Err(error.into()),
        },
    }
}

/// Whether this version can run the architecture of a model.
fn has_encoder(manifest: &Manifest) -> bool {
    encoders::ENCODERS.iter().any(|it| it.id == manifest.architecture)
}

/// What the model reads, `text`, `image` or `text, image`.
fn modality(manifest: &Manifest) -> String {
    manifest.modalities().iter().map(|it| it.id()).collect::<Vec<_>>().join(", ")
}

/// The address of what a name stands for on the hub.
fn address(manifest: &Manifest) -> Option<String> {
    match manifest.hub_repo() {
        Some(repo) => Some(format!("https://huggingface.co/{repo}")),
        None => manifest.repo.clone(),
    }
}

/// Prints lines of a name and a value.
fn print(lines: &[(&str, String)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in lines {
        writeln!(out, "{}", format!("{name:14} {value}").trim_end())?;
    }
    Ok(())
}

/// What the hub is asked for under `name`; an error where no repository has it.
fn source(name: &str) -> anyhow::Result<Source> {
    let not_here = || models::NoSuchModel::NotHere { name: name.to_owned(), repo: None };
    let missing = || if catalog::find(name).is_some() { not_here() } else { models::unknown(name) };
    Ok(Source::of(name).ok_or_else(missing)?)
}
