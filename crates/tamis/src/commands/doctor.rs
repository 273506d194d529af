//! `tamis doctor`.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use tamis::{config, models};
use tamis_core::NoProgress;
use tamis_embed::TextModel;

use crate::exit::ExitStatus;

/// Two texts that say the same and one that does not: what any text model must tell apart.
const TRIAL: [&str; 3] =
    ["How do I reset my password?", "I forgot my password, how can I change it?", "The cat sat on the mat."];

/// Shows what this installation has and whether it works.
pub(crate) fn run() -> anyhow::Result<ExitStatus> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: String| writeln!(out, "{name:14} {value}");
    line("version", env!("CARGO_PKG_VERSION").to_owned())?;
    line("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))?;
    line("threads", rayon::current_num_threads().to_string())?;
    line("device", "cpu (this build has no GPU support)".to_owned())?;
    let (_, path) = config::load(None)?;
    line("configuration", path.map_or("none in this folder".to_owned(), |path| path.display().to_string()))?;
    for (name, _) in models::bundled() {
        line("model", format!("{name}: {}", try_model(name)?))?;
    }
    for name in models::not_bundled() {
        line("model", format!("{name}: not in this build; name its folder with --model"))?;
    }
    Ok(ExitStatus::Clean)
}

/// Loads a model, embeds [`TRIAL`] and says what came out.
fn try_model(name: &str) -> anyhow::Result<String> {
    let started = Instant::now();
    let model = TextModel::load(&models::find(name)?).with_context(|| format!("cannot load {name}"))?;
    let loaded = started.elapsed();
    let rows = model.embed(&TRIAL, &NoProgress)?.rows;
    let norm = |i: usize| rows.row(i).dot(&rows.row(i)).sqrt();
    let cosine = |i: usize, j: usize| rows.row(i).dot(&rows.row(j)) / (norm(i) * norm(j));
    let (same, other) = (cosine(0, 1), cosine(0, 2));
    anyhow::ensure!(other < same, "{name} does not work: cosine {same:.2} of a paraphrase, {other:.2} of another text");
    let facts = model.facts();
    let ms = loaded.as_millis();
    Ok(format!(
        "works ({} numbers, {} tokens, loaded in {ms} ms, weights {})",
        facts.dim,
        facts.max_tokens,
        &facts.weights_blake3[..16]
    ))
}
