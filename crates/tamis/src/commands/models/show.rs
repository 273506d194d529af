//! `tamis models show`.

use tamis_core::Fit;
use tamis_embed::manifest::{ImageInput, TextInput, WeightsFormat};
use tamis_embed::{Manifest, ModelFiles};

use super::{address, has_encoder, manifest, modality, print};
use crate::args::ModelArgs;
use crate::exit::ExitStatus;

/// Prints the manifest of a model.
pub(super) fn run(args: &ModelArgs) -> anyhow::Result<ExitStatus> {
    let (it, files) = manifest(&args.model)?;
    let mut lines = about(&it, files.as_ref());
    if let Some(text) = &it.text {
        lines.extend(text_lines(text));
    }
    if let Some(image) = &it.image {
        lines.extend(image_lines(image));
    }
    if let Some(near) = &it.near_duplicate {
        lines.push(("near-duplicate", format!("cosine of at least {}: {}", near.min_cosine, near.source)));
    }
    lines.extend(it.sha256.iter().map(|(file, sha256)| ("sha256", format!("{sha256} {file}"))));
    print(&lines)?;
    Ok(ExitStatus::Clean)
}

fn about(it: &Manifest, files: Option<&ModelFiles>) -> Vec<(&'static str, String)> {
    let unsupported = if has_encoder(it) { "" } else { " (this version has no encoder for it)" };
    let format = match it.weights_format {
        WeightsFormat::Plain => "as published",
        WeightsFormat::Int8Group64 => "int8 with one f16 scale per 64 numbers",
    };
    let place = match files {
        None => "not here".to_owned(),
        Some(ModelFiles::Bundled { .. }) => "in this binary".to_owned(),
        Some(ModelFiles::Folder(folder) | ModelFiles::Pulled { folder, .. }) => folder.display().to_string(),
    };
    let mut lines = vec![("name", it.id.clone()), ("about", it.description.clone()), ("license", it.license.clone())];
    lines.extend(address(it).map(|it| ("from", it)));
    lines.push(("revision", it.revision.clone().unwrap_or("pinned at the first pull".to_owned())));
    lines.extend(it.derived_by.clone().map(|script| ("derived by", script)));
    lines.extend(it.download_mb.map(|mb| ("download", format!("about {mb} MB"))));
    lines.push(("where", place));
    lines.push(("reads", modality(it)));
    lines.push(("architecture", format!("{}{unsupported}", it.architecture)));
    lines.push(("dim", it.dim.to_string()));
    lines.push(("weights", format!("{}, {format}", it.weights)));
    lines.push(("compared", if it.centered { "less the mean of the data" } else { "as they come" }.to_owned()));
    lines
}

fn text_lines(text: &TextInput) -> Vec<(&'static str, String)> {
    let languages = if text.languages.is_empty() { "unknown".to_owned() } else { text.languages.join(" ") };
    let mut lines = vec![
        ("languages", languages),
        ("tokens", format!("{}, the rest of a text is not read", text.max_tokens)),
        ("pooling", format!("{:?}", text.pooling).to_lowercase()),
    ];
    for (name, prompt) in &text.prompts {
        let used = if text.prompt.as_ref() == Some(name) { " (put before every sample)" } else { "" };
        lines.push(("prompt", format!("{name}: {prompt:?}{used}")));
    }
    lines
}

fn image_lines(image: &ImageInput) -> Vec<(&'static str, String)> {
    let sizes: Vec<String> = image.sizes.iter().map(|side| format!("{side} x {side}")).collect();
    let margin = match image.fit {
        Fit::InnerCrop(short) => format!(" of {short} pixels on the shorter side"),
        Fit::Stretch | Fit::CenterCrop => String::new(),
    };
    vec![
        ("pixels", sizes.join(", ")),
        ("scaled", format!("{}{margin}, {}", image.fit.id(), image.filter.id())),
        ("mean", format!("{:?}", image.mean)),
        ("std", format!("{:?}", image.std)),
    ]
}
