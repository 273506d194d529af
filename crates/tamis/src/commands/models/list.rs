//! `tamis models list`.

use std::io::Write as _;

use tamis::models::Place;
use tamis::{config, models};
use tamis_embed::Manifest;
use tamis_embed::catalog::CATALOG;

use crate::args::ModelsListArgs;
use crate::exit::ExitStatus;

/// Heads of the columns.
const HEAD: [&str; 8] = ["name", "reads", "dim", "input", "license", "languages", "MB", "where"];

/// Languages that are named; more are counted.
const N_NAMED: usize = 3;

/// Prints the catalogue.
pub(super) fn run(args: &ModelsListArgs) -> anyhow::Result<ExitStatus> {
    let hub = config::hub();
    let mut models = Vec::new();
    for entry in CATALOG {
        models.push((entry.manifest(), models::place(entry, &hub)?));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        for (manifest, place) in &models {
            writeln!(out, "{}", json(manifest, *place))?;
        }
        return Ok(ExitStatus::Clean);
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(models.iter().map(|(manifest, place)| row(manifest, *place)));
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(ExitStatus::Clean)
}

/// The cells of a model, as in [`HEAD`].
fn row(manifest: &Manifest, place: Place) -> [String; 8] {
    let tokens = manifest.text.as_ref().map(|it| format!("{} tokens", it.max_tokens));
    let sides = manifest.image.as_ref().and_then(|it| Some(format!("{} px", it.sizes.last()?)));
    [
        manifest.id.clone(),
        super::modality(manifest),
        manifest.dim.to_string(),
        tokens.into_iter().chain(sides).collect::<Vec<_>>().join(", "),
        manifest.license.clone(),
        languages(manifest),
        manifest.download_mb.map_or("-".to_owned(), |it| it.to_string()),
        place.id().to_owned(),
    ]
}

fn languages(manifest: &Manifest) -> String {
    match manifest.text.as_ref().map(|it| &it.languages[..]) {
        None => "-".to_owned(),
        Some([one]) if one == "mul" => "many".to_owned(),
        Some(all) if all.len() <= N_NAMED => all.join(", "),
        Some(all) => format!("{} languages", all.len()),
    }
}

/// A model as one object.
fn json(manifest: &Manifest, place: Place) -> serde_json::Value {
    serde_json::json!({
        "name": manifest.id,
        "description": manifest.description,
        "reads": manifest.modalities().iter().map(|it| it.id()).collect::<Vec<_>>(),
        "architecture": manifest.architecture,
        "supported": super::has_encoder(manifest),
        "dim": manifest.dim,
        "max_tokens": manifest.text.as_ref().map(|it| it.max_tokens),
        "languages": manifest.text.as_ref().map(|it| &it.languages),
        "sizes": manifest.image.as_ref().map(|it| &it.sizes),
        "license": manifest.license,
        "repo": manifest.repo,
        "revision": manifest.revision,
        "download_mb": manifest.download_mb,
        "where": place.id(),
    })
}
