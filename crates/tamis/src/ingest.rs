//! Reading and embedding in one pass: every text is read, hashed and embedded once.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ndarray::Array2;
use tamis_core::{Dataset, Digest, Embeddings, Fingerprints, Progress, Task};
use tamis_data::{Reader, TextStore, Window};
use tamis_embed::{EmbedError, TextModel};

/// Most samples of one window: enough for batches of texts of equal length on many cores.
const WINDOW_SAMPLES: usize = 4096;

/// Most bytes of one window, one text aside.
const WINDOW_BYTES: usize = 32 << 20;

/// What one pass over the data leaves.
#[derive(Debug)]
pub struct Ingested {
    /// Metadata of all samples.
    pub dataset: Dataset,
    /// What the reader inferred.
    pub notes: Vec<String>,
    /// Hashes of all samples.
    pub fingerprints: Fingerprints,
    /// The texts, on disk.
    pub texts: TextStore,
    /// The vectors; `None` where no model was given or no sample has a text.
    pub embeddings: Option<Embeddings>,
    /// Distinct texts embedded.
    pub n_embedded: usize,
    /// Time spent reading, decoding and hashing.
    pub read_time: Duration,
    /// Time spent tokenizing and embedding.
    pub embed_time: Duration,
}

/// A pass that could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The data could not be read.
    #[error(transparent)]
    Read(#[from] tamis_data::ReadError),
    /// The model failed.
    #[error("cannot embed")]
    Embed(#[from] EmbedError),
    /// A vector came out zero or not finite.
    #[error("the model gave a vector that cannot be used")]
    Degenerate(#[from] tamis_core::DegenerateRow),
    /// The scratch file for texts could not be written.
    #[error("cannot keep texts in {dir}")]
    Scratch {
        /// Folder of the scratch file.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads all of `reader` and embeds each distinct text with `model`, if there is one.
///
/// Texts go to a scratch file in `scratch` that nobody else can open. Memory: the metadata and hashes of all samples, one
/// vector per distinct text, and one window.
///
/// # Errors
/// When the data ends without one readable sample, the model fails, or the scratch file cannot be written.
///
/// # Panics
/// When the model gives vectors of another length than it says: a bug.
pub fn ingest(
    mut reader: Reader,
    model: Option<&TextModel>,
    scratch: &std::path::Path,
    progress: &dyn Progress,
) -> Result<Ingested, IngestError> {
    let disk = |source| IngestError::Scratch { dir: scratch.to_owned(), source };
    let mut pass = Pass {
        texts: TextStore::new(scratch).map_err(disk)?,
        fingerprints: Fingerprints::default(),
        first_of: HashMap::new(),
        rows: Vec::new(),
        row_of: Vec::new(),
        truncated: Vec::new(),
        embed_time: Duration::ZERO,
    };
    let started = Instant::now();
    let task = progress.begin(if model.is_some() { "reading and embedding" } else { "reading" }, None, "texts");
    while let Some(window) = reader.next_window(WINDOW_SAMPLES, WINDOW_BYTES)? {
        task.expect(expected(&reader));
        pass.keep(&window).map_err(disk)?;
        pass.embed(&window, model, &*task)?;
    }
    let read_time = started.elapsed().saturating_sub(pass.embed_time);
    let (dataset, notes) = reader.finish();
    let n_embedded = pass.truncated.len();
    let embeddings = match model {
        Some(model) if 0 < n_embedded => {
            let rows = Array2::from_shape_vec((n_embedded, model.manifest().dim), pass.rows)
                .expect("because every text gave one vector of the model's dimension");
            Some(Embeddings::new(rows, pass.row_of, pass.truncated)?)
        }
        _ => None,
    };
    Ok(Ingested {
        dataset,
        notes,
        fingerprints: pass.fingerprints,
        texts: pass.texts,
        embeddings,
        n_embedded,
        read_time,
        embed_time: pass.embed_time,
    })
}

/// Samples there will be in all, if the rest of the bytes holds as many as those so far.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn expected(reader: &Reader) -> u64 {
    let share = reader.bytes_read() as f64 / reader.total_bytes().max(1) as f64;
    (reader.n_samples() as f64 / share.clamp(1e-9, 1.0)) as u64
}

/// What grows during the pass.
struct Pass {
    texts: TextStore,
    fingerprints: Fingerprints,
    /// The first sample of each content, by the hash of its bytes.
    first_of: HashMap<Digest, tamis_core::SampleId>,
    /// Vectors of distinct texts, one after the other.
    rows: Vec<f32>,
    row_of: Vec<Option<usize>>,
    truncated: Vec<bool>,
    embed_time: Duration,
}

impl Pass {
    /// Stores hashes and texts of a window; a text that was there before is not stored again.
    fn keep(&mut self, window: &Window) -> io::Result<()> {
        let mut texts = window.texts.iter().peekable();
        for (id, digests) in (window.first.0..).map(tamis_core::SampleId).zip(&window.fingerprints) {
            self.fingerprints.push(*digests);
            match texts.next_if(|text| text.id == id) {
                None => self.texts.push(None)?,
                Some(text) => match self.first_of.get(&text.digests[0]) {
                    Some(first) => self.texts.share(*first),
                    None => {
                        self.texts.push(Some(&text.text))?;
                        self.first_of.insert(text.digests[0], id);
                    }
                },
            }
        }
        Ok(())
    }

    /// Embeds the texts of a window that are the first of their content.
    fn embed(&mut self, window: &Window, model: Option<&TextModel>, task: &dyn Task) -> Result<(), EmbedError> {
        let started = Instant::now();
        let Some(model) = model else {
            task.advance(window.fingerprints.len() as u64);
            return Ok(());
        };
        let (new, seen): (Vec<_>, Vec<_>) =
            window.texts.iter().partition(|text| self.first_of.get(&text.digests[0]) == Some(&text.id));
        let texts: Vec<&str> = new.iter().map(|text| text.text.as_str()).collect();
        let encoded = model.embed(&texts, task)?;
        tracing::debug!(
            "window from {}: {} samples, {} new texts",
            window.first.0,
            window.fingerprints.len(),
            new.len()
        );
        self.row_of.resize(window.first.idx() + window.fingerprints.len(), None);
        for (i, text) in new.iter().enumerate() {
            self.row_of[text.id.idx()] = Some(self.truncated.len() + i);
        }
        self.rows.extend(encoded.rows);
        self.truncated.extend(encoded.truncated);
        for text in &seen {
            let first = self.first_of[&text.digests[0]];
            self.row_of[text.id.idx()] = self.row_of[first.idx()];
        }
        task.advance((window.fingerprints.len() - new.len()) as u64);
        self.embed_time += started.elapsed();
        Ok(())
    }
}
