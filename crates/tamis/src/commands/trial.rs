//! A model tried on what any model must tell apart.

use std::time::Instant;

use tamis::model::Model;
use tamis_core::{Modality, ModelInput, NoProgress, Pixels};
use tamis_embed::{Device, ModelFiles};

/// Two texts that say the same and one that does not: what any text model must tell apart.
const TRIAL: [&str; 3] =
    ["How do I reset my password?", "I forgot my password, how can I change it?", "The cat sat on the mat."];

/// Loads a model, embeds something and says what came out, for texts and for images as the model reads them.
pub(super) fn try_model(name: &str, files: &ModelFiles, device: &Device) -> anyhow::Result<Vec<String>> {
    tamis_embed::modalities(files)?.into_iter().map(|modality| try_modality(name, files, modality, device)).collect()
}

fn try_modality(name: &str, files: &ModelFiles, modality: Modality, device: &Device) -> anyhow::Result<String> {
    let started = Instant::now();
    let model = Model::load(files, modality, None, device)?;
    let loaded = started.elapsed();
    let rows = match model.input() {
        None => model.embed_texts(&TRIAL, &NoProgress)?.rows,
        Some(input) => model.embed_images(&trial_images(input.side).each_ref(), &NoProgress)?,
    };
    let norm = |i: usize| rows.row(i).dot(&rows.row(i)).sqrt();
    let cosine = |i: usize, j: usize| rows.row(i).dot(&rows.row(j)) / (norm(i) * norm(j));
    let (same, other) = (cosine(0, 1), cosine(0, 2));
    anyhow::ensure!(other < same, "{name} does not work: cosine {same:.2} of two alike, {other:.2} of two that differ");
    let facts = model.facts();
    let input = match facts.input {
        ModelInput::Tokens(n) => format!("{n} tokens"),
        ModelInput::Pixels(it) => format!("images up to {0} x {0}", it.side),
    };
    let ms = loaded.as_millis();
    Ok(format!("works ({} numbers, {input}, loaded in {ms} ms, weights {})", facts.dim, &facts.weights_blake3[..16]))
}

/// Two shades of one ramp and a checkerboard: what any image model must tell apart.
fn trial_images(side: u32) -> [Pixels; 3] {
    let image = |shade: &dyn Fn(u32, u32) -> u32| {
        let places = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
        let rgb = places.flat_map(|(x, y)| [u8::try_from(shade(x, y)).unwrap_or(u8::MAX); 3]).collect();
        Pixels { width: side, height: side, rgb }
    };
    [image(&|x, _| 200 * x / side), image(&|x, _| 20 + 200 * x / side), image(&|x, y| 255 * ((x / 8 + y / 8) % 2))]
}
