//! What an audit would cost, measured on a few texts instead of guessed.

use std::path::Path;
use std::time::Instant;

use tamis_core::{Dataset, IdentityLevel, Need, NoProgress, Progress, SampleId, TextSource as _};
use tamis_data::Reader;
use tamis_embed::TextModel;

use crate::audit::{AuditError, AuditOptions, Lacks};
use crate::config;
use crate::ingest::{IngestError, ingest};

/// Texts that are embedded to learn the speed, spread evenly over the data.
const PROBE_TEXTS: usize = 64;

/// Vectors whose product is timed to learn the speed of joins.
const PROBE_ROWS: usize = 1024;

/// What an audit would do and cost.
#[derive(Debug)]
pub struct DryRun {
    /// Samples, readable or not.
    pub n_samples: usize,
    /// Distinct texts to embed.
    pub n_distinct: usize,
    /// What the reader inferred.
    pub notes: Vec<String>,
    /// Seconds the reading took, here and now.
    pub read_seconds: f64,
    /// Estimated seconds to embed; `None` where no check needs vectors.
    pub embed_seconds: Option<f64>,
    /// Estimated seconds of joins and neighbors; `None` where no check needs vectors.
    pub join_seconds: Option<f64>,
    /// Estimated memory.
    pub memory_bytes: u64,
    /// Estimated disk space of the scratch file, which is gone at the end.
    pub scratch_bytes: u64,
    /// Each check and, where it would be skipped, why.
    pub checks: Vec<(&'static str, Option<String>)>,
}

/// Reads everything, embeds a few texts and estimates the rest. Leaves nothing behind.
///
/// # Errors
/// As [`crate::audit::run`].
pub fn dry_run(options: &AuditOptions, progress: &dyn Progress) -> Result<DryRun, AuditError> {
    let reader = Reader::open(&options.inputs, &options.read)?;
    let scratch = config::scratch_dir();
    let started = Instant::now();
    let ingested = ingest(reader, None, &scratch, progress)?;
    let read_seconds = started.elapsed().as_secs_f64();
    let groups = ingested.fingerprints.groups(&ingested.dataset, IdentityLevel::Bytes);
    let distinct = ingested.dataset.ids().filter(|id| groups.leader(*id) == *id);
    let n_distinct = groups.n_distinct();
    let mut lacks = Lacks::of(&ingested);
    if 0 < n_distinct {
        lacks.assume_embeddings();
    }
    let needs_model = options.checks.iter().any(|check| check.needs().contains(&Need::Embeddings));
    let model = if needs_model { Some(TextModel::load(&options.model)?) } else { None };
    let dim = model.as_ref().map_or(0, |model| model.manifest().dim);
    let embed_seconds = match &model {
        None => None,
        Some(model) => {
            let texts = probe(&ingested, &scratch)?;
            let started = Instant::now();
            model.embed(&texts, &NoProgress).map_err(IngestError::from)?;
            Some(started.elapsed().as_secs_f64() * ratio(n_distinct, texts.len()))
        }
    };
    let n = ingested.dataset.len();
    Ok(DryRun {
        n_samples: n,
        n_distinct,
        read_seconds,
        embed_seconds,
        join_seconds: model.map(|_| join_seconds(n_distinct, dim)),
        memory_bytes: memory_bytes(&ingested.dataset, n_distinct, dim),
        scratch_bytes: distinct.map(|id| ingested.texts.text_bytes(id)).sum(),
        checks: options.checks.iter().map(|check| (check.info().id, lacks.reason(&**check))).collect(),
        notes: ingested.notes,
    })
}

/// Some texts, evenly spread over the data.
fn probe(ingested: &crate::ingest::Ingested, scratch: &Path) -> Result<Vec<String>, IngestError> {
    let ok: Vec<SampleId> = ingested.dataset.ok_ids().collect();
    let step = (ok.len() / PROBE_TEXTS).max(1);
    let read = |id: &SampleId| {
        let text = ingested.texts.text(*id, 1 << 16);
        text.map_err(|error| IngestError::Scratch { dir: scratch.to_owned(), source: error.source })
    };
    ok.iter().step_by(step).take(PROBE_TEXTS).map(read).collect()
}

/// Two self-joins (pairs and neighbors; the half that symmetry saves goes into selecting) at the speed of one small
/// product on one core, spread over all threads.
fn join_seconds(n: usize, dim: usize) -> f64 {
    let rows = ndarray::Array2::<f32>::from_elem((PROBE_ROWS, dim), 0.1);
    let started = Instant::now();
    std::hint::black_box(rows.dot(&rows.t()));
    let seconds = started.elapsed().as_secs_f64();
    let scale = ratio(n, PROBE_ROWS);
    2.0 * seconds * scale * scale / ratio(rayon::current_num_threads(), 1)
}

/// Vectors three times (rows are gathered for joins and twice for label-error, one after the other), the probabilities of
/// label-error, 160 bytes of hashes and metadata a sample, the user's own columns, and 300 MB for the model in f32, windows
/// and tiles.
fn memory_bytes(dataset: &Dataset, n_distinct: usize, dim: usize) -> u64 {
    let n = dataset.len();
    let vectors = 2 * n_distinct * dim + n * dim + n * dataset.label_names().len();
    let cells = dataset
        .columns()
        .iter()
        .map(|column| dataset.ids().filter_map(|id| column.get(id)).map(str::len).sum::<usize>() + 9 * n);
    (4 * vectors + 160 * n + cells.sum::<usize>()) as u64 + 300_000_000
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b.max(1) as f64
}
