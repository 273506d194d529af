//! What an audit would cost, measured on a few texts instead of guessed.

use std::time::Instant;

use tamis_core::{Contents, Dataset, NoProgress, Pixels, Progress, SampleId};
use tamis_data::Reader;
use tamis_data::store::Store;

use crate::audit::{self, AuditError, AuditOptions, Lacks};
use crate::ingest::{IngestError, Ingested, ingest};
use crate::model::Model;

/// Texts that are embedded to learn the speed, spread evenly over the data; or images, which are all alike to a model.
const PROBES: usize = 64;

/// Vectors whose product is timed to learn the speed of joins.
const PROBE_ROWS: usize = 1024;

/// What an audit would do and cost.
#[derive(Debug)]
pub struct DryRun {
    /// Samples, readable or not.
    pub n_samples: usize,
    /// Distinct texts or images to embed.
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
    /// Estimated disk space of the store.
    pub store_bytes: u64,
    /// Each check and, where it would be skipped, why.
    pub checks: Vec<(&'static str, Option<String>)>,
}

/// Reads everything into `store`, embeds a few texts and estimates the rest.
///
/// # Errors
/// As [`crate::audit::run`].
pub fn dry_run(options: &AuditOptions, store: &Store, progress: &dyn Progress) -> Result<DryRun, AuditError> {
    let reader = Reader::open(&options.inputs, &options.read)?;
    let needs_model = options.checks.iter().any(|check| check.needs().iter().any(audit::needs_vectors));
    let model = if needs_model { Some(audit::load(options, &reader)?) } else { None };
    let started = Instant::now();
    let ingested = ingest(reader, None, store, options.window, progress)?;
    let read_seconds = started.elapsed().as_secs_f64();
    let groups = ingested.fingerprints.groups(&ingested.dataset, ingested.fingerprints.levels()[0]);
    let n_distinct = groups.n_distinct();
    let mut lacks = Lacks::of(&ingested);
    if 0 < n_distinct {
        lacks.assume_embeddings();
    }
    let dim = model.as_ref().map_or(0, |model| model.manifest().dim);
    let embed_seconds = match &model {
        None => None,
        Some(model) => Some(embed_seconds(model, &ingested)? * ratio(n_distinct, PROBES.min(n_distinct))),
    };
    let n = ingested.dataset.len();
    Ok(DryRun {
        n_samples: n,
        n_distinct,
        read_seconds,
        embed_seconds,
        join_seconds: model.map(|_| join_seconds(n_distinct, dim)),
        memory_bytes: memory_bytes(&ingested.dataset, n_distinct, dim),
        store_bytes: store.size_bytes() + (4 * dim * n_distinct) as u64,
        checks: options.checks.iter().map(|check| (check.info().id, lacks.reason(&**check))).collect(),
        notes: ingested.notes,
    })
}

/// Seconds that some contents take, evenly spread over the data. Images are stood in for by grey ones.
fn embed_seconds(model: &Model, ingested: &Ingested) -> Result<f64, AuditError> {
    let ok: Vec<SampleId> = ingested.dataset.ok_ids().collect();
    let ids = ok.iter().step_by((ok.len() / PROBES).max(1)).take(PROBES);
    let started;
    match (ingested.stored.contents(), model.input()) {
        (Contents::Images(_), Some(input)) => {
            let side = input.side;
            let image = Pixels { width: side, height: side, rgb: vec![128; 3 * side as usize * side as usize] };
            started = Instant::now();
            model.embed_images(&vec![&image; ids.len()], &NoProgress).map_err(IngestError::from)?;
        }
        (Contents::Texts(source), _) => {
            let texts: Vec<String> = ids.map(|id| source.text(*id, 1 << 16)).collect::<Result<_, _>>()?;
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            started = Instant::now();
            model.embed_texts(&texts, &NoProgress).map_err(IngestError::from)?;
        }
        (Contents::Images(_), None) => return Ok(0.0),
    }
    Ok(started.elapsed().as_secs_f64())
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
