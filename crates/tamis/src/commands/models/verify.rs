//! `tamis models verify`.

use tamis::models::Source;
use tamis::{config, models};
use tamis_embed::hub::{self, Snapshot};
use tamis_embed::{DeviceChoice, Manifest, ModelFiles};

use super::{has_encoder, print};
use crate::args::ModelArgs;
use crate::commands::open_device;
use crate::commands::trial::try_model;
use crate::exit::ExitStatus;

/// Compares the files of a model with their hashes, then loads it and embeds something.
pub(super) fn run(args: &ModelArgs) -> anyhow::Result<ExitStatus> {
    let name = &args.model;
    let (files, pulled) = models::locate(name, &config::hub())?;
    let manifest = Manifest::of(&files)?;
    let mut lines = vec![("model", manifest.id.clone())];
    lines.extend(manifest.revision.clone().map(|revision| ("revision", revision)));
    lines.push(("files", hashes(name, &files, pulled.as_ref(), &manifest)?));
    if has_encoder(&manifest) {
        lines.extend(
            try_model(name, &files, &open_device(DeviceChoice::Auto)?)?.into_iter().map(|said| ("trial", said)),
        );
    } else {
        lines.push(("trial", format!("not tried: this version has no encoder for `{}`", manifest.architecture)));
    }
    print(&lines)?;
    Ok(ExitStatus::Clean)
}

/// What was compared; an error at the first file that differs.
fn hashes(
    name: &str,
    files: &ModelFiles,
    pulled: Option<&(Source, Snapshot)>,
    manifest: &Manifest,
) -> anyhow::Result<String> {
    let pinned = |n: usize| format!("{n} as pinned in model.toml");
    match files {
        ModelFiles::Bundled { files, .. } => {
            let mut n = 0;
            for (file, bytes) in files.iter().filter(|(file, _)| *file != "model.toml") {
                let expected = manifest.sha256.get(*file).map_or("nothing", String::as_str);
                hub::expect(name, file, expected, &hub::sha256(bytes), "model.toml")?;
                n += 1;
            }
            Ok(pinned(n))
        }
        ModelFiles::Folder(_) if manifest.sha256.is_empty() => {
            Ok("nothing to compare with: there is no model.toml with hashes".to_owned())
        }
        ModelFiles::Folder(folder) => {
            let pins = manifest.sha256.iter().map(|(file, sha256)| (file.clone(), sha256.clone(), "model.toml"));
            let pins: Vec<_> = pins.collect();
            hub::verify_folder(name, folder, &pins)?;
            Ok(pinned(pins.len()))
        }
        ModelFiles::Pulled { .. } => {
            let verify = |(source, snapshot): &(Source, Snapshot)| hub::verify(&source.wanted(), snapshot);
            let n = pulled.map(verify).transpose()?.unwrap_or(0);
            Ok(match n {
                0 => "nothing to compare with: another tool fetched them; `tamis models pull` pins them".to_owned(),
                n => format!("{n} as pinned by the first pull"),
            })
        }
    }
}
