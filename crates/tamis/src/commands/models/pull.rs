//! `tamis models pull`.

use tamis::{config, models};
use tamis_embed::hub;

use super::{has_encoder, print, source};
use crate::args::ModelsPullArgs;
use crate::exit::{ExitStatus, print_to_stderr};
use crate::progress::Bars;

/// Downloads a model, or says that it is here.
pub(super) fn run(args: &ModelsPullArgs) -> anyhow::Result<ExitStatus> {
    let name = &args.model;
    if models::bundled().iter().any(|(id, _)| id == name) {
        print(&[("model", format!("{name}: this build carries it, there is nothing to pull"))])?;
        return Ok(ExitStatus::Clean);
    }
    let source = source(name)?;
    if let Some(manifest) = source.manifest().filter(|it| !has_encoder(it)) {
        let architecture = &manifest.architecture;
        print_to_stderr(&format!("warning: this version cannot run {name} yet: no encoder for `{architecture}`\n"));
    }
    let snapshot = hub::pull(&config::hub(), &source.wanted(), &Bars::new(args.quiet))?;
    let files = snapshot.lock.as_ref().map(|it| &it.files);
    let (n, bytes) = files.map_or((0, 0), |it| (it.len(), it.values().map(|file| file.size_bytes).sum::<u64>()));
    print(&[
        ("model", name.clone()),
        ("revision", snapshot.revision),
        ("files", format!("{n}, {bytes} bytes, SHA-256 pinned")),
        ("folder", snapshot.folder.display().to_string()),
    ])?;
    Ok(ExitStatus::Clean)
}
