//! Reading and embedding in one pass: every content is read, decoded and embedded once, in this run or an earlier one.
//!
//! While a window is embedded, the next one is read, decoded and hashed on the same threads, so that neither a device nor
//! a disk waits for the other; two windows are in memory at most. So the times of the two stages overlap.
//!
//! What one content gives (the text itself, or what is known of an image and its small versions; and its vector) goes into
//! the store under the hash of its bytes, window by window. A run that comes after takes it from there: that is how an
//! interrupted run goes on, and why an edited dataset costs no more than what was edited.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ndarray::Array2;
use tamis_core::{
    Contents, Dataset, DegenerateRow, Digest, Embeddings, Fingerprints, ImageFacts, Modality, Pixels, Progress, Task,
};
use tamis_data::image::{ImageRecord, Wanted, grey_of, thumbnail_of};
use tamis_data::store::codec::{bytes_to_f32s, f32s_to_bytes};
use tamis_data::store::{Producer, Store, StoreError, Table};
use tamis_data::{Images, ReadContent, ReadError, Reader, StoredImages, StoredTexts, Window};
use tamis_embed::EmbedError;

use crate::model::Model;

/// Raised when a decode gives something else than before, so that records of an older version are not taken up.
const RECORD_VERSION: &str = "3";

/// Who keeps what a content is: its text, or what is known of the image and its small versions.
pub(crate) fn records_producer(modality: Modality) -> Producer {
    Producer::new(modality.id(), &[("version", RECORD_VERSION)])
}

/// Whether the content of a record of a vector was cut, and the vector; `None` where it is no such record.
pub(crate) fn vector_of(record: &[u8]) -> Option<(bool, Vec<f32>)> {
    let (cut, rest) = record.split_first()?;
    Some((*cut != 0, bytes_to_f32s(rest)?))
}

/// How much is read, embedded and committed at once: what a crash may cost. No result depends on it.
#[derive(Clone, Copy, Debug)]
pub struct WindowSize {
    /// Most samples, where they are texts.
    pub texts: usize,
    /// Most samples, where they are images: some seconds of work for one core.
    pub images: usize,
    /// Most bytes, one sample aside.
    pub bytes: usize,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { texts: 1024, images: 256, bytes: 32 << 20 }
    }
}

/// Done now, and taken from the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Done in this run.
    pub done: usize,
    /// Done in an earlier one.
    pub reused: usize,
}

/// The content of a dataset, in the store.
#[derive(Debug)]
pub enum Stored {
    /// Texts.
    Texts(StoredTexts),
    /// Images.
    Images(StoredImages),
}

impl Stored {
    /// Lends it.
    #[must_use]
    pub fn contents(&self) -> Contents<'_> {
        match self {
            Self::Texts(texts) => Contents::Texts(texts),
            Self::Images(images) => Contents::Images(images),
        }
    }
}

/// What one pass over the data leaves.
#[derive(Debug)]
pub struct Ingested {
    /// Metadata of all samples.
    pub dataset: Dataset,
    /// What the reader inferred.
    pub notes: Vec<String>,
    /// Hashes of all samples.
    pub fingerprints: Fingerprints,
    /// The content of all samples.
    pub stored: Stored,
    /// The vectors; `None` where no model was given or no sample has a content that can be embedded.
    pub embeddings: Option<Embeddings>,
    /// Distinguishes these vectors from all others: a hash of who made them and of which contents.
    pub vectors_id: Digest,
    /// Contents decoded: images, or all texts, which are read again in every run.
    pub decoded: Tally,
    /// Distinct contents embedded.
    pub embedded: Tally,
    /// Time spent reading, decoding and hashing.
    pub read_time: Duration,
    /// Time spent tokenizing and embedding.
    pub embed_time: Duration,
    /// Time spent writing to the store and reading from it.
    pub store_time: Duration,
}

/// A pass that could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The data could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The model failed.
    #[error("cannot embed")]
    Embed(#[from] EmbedError),
    /// A vector came out zero or not finite.
    #[error("the model gave a vector that cannot be used")]
    Degenerate(#[from] DegenerateRow),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads all of `reader` and embeds each distinct content with `model`, if there is one.
///
/// Memory: the metadata and hashes of all samples, one vector per distinct content, and two windows.
///
/// # Errors
/// When the data ends without one readable sample, the model fails, or the store cannot be used.
///
/// # Panics
/// When the model gives vectors of another length than it says: a bug.
pub fn ingest(
    mut reader: Reader,
    model: Option<&Model>,
    store: &Store,
    window: WindowSize,
    progress: &dyn Progress,
) -> Result<Ingested, IngestError> {
    let modality = reader.modality();
    let mut pass = Pass::new(modality, model, store)?;
    let stage = if model.is_some() { "reading and embedding" } else { "reading" };
    let task = progress.begin(stage, None, modality.nouns());
    let max_samples = match modality {
        Modality::Text => window.texts,
        Modality::Image => window.images,
    };
    let wanted = Wanted { input: model.and_then(Model::input), ..Wanted::default() };
    let read = |reader: &mut Reader, pass: &Pass<'_>| -> Result<(Option<Window>, Duration), ReadError> {
        let started = Instant::now();
        let is_known = |content: &Digest| pass.is_known(content);
        let read = reader.next_window(max_samples, window.bytes, Images { wanted, is_known: &is_known })?;
        Ok((read, started.elapsed()))
    };
    let mut next = read(&mut reader, &pass)?;
    loop {
        pass.read_time += next.1;
        let Some(window) = next.0 else { break };
        task.expect(expected(&reader));
        let fresh = pass.take(window, &*task)?;
        let (embedded, read) = rayon::join(|| pass.embed(&fresh, &*task), || read(&mut reader, &pass));
        pass.keep(&fresh, embedded?)?;
        next = read?;
    }
    pass.finish(reader)
}

/// Samples there will be in all, if the rest of the bytes holds as many as those so far.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn expected(reader: &Reader) -> u64 {
    let share = reader.bytes_read() as f64 / reader.total_bytes().max(1) as f64;
    (reader.n_samples() as f64 / share.clamp(1e-9, 1.0)) as u64
}

/// What grows during the pass.
struct Pass<'a> {
    modality: Modality,
    model: Option<&'a Model>,
    /// What a content is: its text, or what is known of the image.
    records: Table,
    /// A byte that says whether the content was cut, and the vector, by content.
    vectors: Option<Table>,
    /// Contents whose vectors are on their way: they are committed before a window that was read meanwhile is taken in.
    in_flight: HashSet<Digest>,
    fingerprints: Fingerprints,
    /// What is kept of each sample under which hash; `None` where it could not be read.
    contents: Vec<Option<Digest>>,
    facts: Vec<Option<ImageFacts>>,
    /// The row of each content.
    row_by_content: HashMap<Digest, usize>,
    row_of: Vec<Option<usize>>,
    /// Vectors, one after the other.
    rows: Vec<f32>,
    truncated: Vec<bool>,
    decoded: Tally,
    embedded: Tally,
    read_time: Duration,
    embed_time: Duration,
    store_time: Duration,
}

/// A content that has no vector yet.
enum Fresh {
    Text(String),
    Image(Pixels),
}

/// What of a window has no vector yet.
struct Unembedded {
    /// The first sample of the window.
    first: usize,
    contents: Vec<(Digest, Fresh)>,
}

/// The vectors of what had none.
struct NewVectors {
    /// Shape `(contents, dim)`.
    rows: Array2<f32>,
    truncated: Vec<bool>,
    time: Duration,
}

impl<'a> Pass<'a> {
    fn new(modality: Modality, model: Option<&'a Model>, store: &Store) -> Result<Self, StoreError> {
        let started = Instant::now();
        let records = store.table(&records_producer(modality))?;
        let vectors = model.map(|model| store.table(&model.producer())).transpose()?;
        let n_damaged = records.damaged() + vectors.as_ref().map_or(0, Table::damaged);
        if 0 < n_damaged {
            tracing::warn!("{n_damaged} damaged files of the store were removed; what they held is computed again");
        }
        Ok(Self {
            modality,
            model,
            records,
            vectors,
            in_flight: HashSet::new(),
            fingerprints: Fingerprints::new(modality),
            contents: Vec::new(),
            facts: Vec::new(),
            row_by_content: HashMap::new(),
            row_of: Vec::new(),
            rows: Vec::new(),
            truncated: Vec::new(),
            decoded: Tally::default(),
            embedded: Tally::default(),
            read_time: Duration::ZERO,
            embed_time: Duration::ZERO,
            store_time: started.elapsed(),
        })
    }

    /// Whether an image need not be decoded.
    fn is_known(&self, content: &Digest) -> bool {
        let has_vector = |vectors: &Table| vectors.contains(content) || self.in_flight.contains(content);
        self.records.contains(content) && self.vectors.as_ref().is_none_or(has_vector)
    }

    /// Takes the hashes and records of a window in; returns what is to be embedded.
    fn take(&mut self, window: Window, task: &dyn Task) -> Result<Unembedded, IngestError> {
        let n = window.contents.len();
        let mut new_records: Vec<(Digest, Vec<u8>)> = Vec::new();
        let mut fresh: Vec<(Digest, Fresh)> = Vec::new();
        for content in window.contents {
            let Some(content) = content else {
                self.push(None, None, None);
                continue;
            };
            let bytes = content.bytes();
            match content {
                ReadContent::Text { text, digests, is_empty } => {
                    self.push((!is_empty).then_some(bytes), Some(&digests), None);
                    self.decoded.done += 1;
                    if !is_empty {
                        if !self.records.contains(&bytes) {
                            new_records.push((bytes, text.clone().into_bytes()));
                        }
                        fresh.push((bytes, Fresh::Text(text)));
                    }
                }
                ReadContent::Image { decoded: Some(decoded), .. } => {
                    self.push(Some(bytes), Some(&[bytes, decoded.pixels]), Some(decoded.facts.clone()));
                    self.decoded.done += 1;
                    new_records.push((bytes, decoded.to_record()));
                    fresh.extend(decoded.input.map(|pixels| (bytes, Fresh::Image(pixels))));
                }
                ReadContent::Image { decoded: None, .. } => {
                    let record = self.record(&bytes)?;
                    self.push(Some(bytes), Some(&[bytes, record.pixels]), Some(record.facts));
                    self.decoded.reused += 1;
                }
            }
        }
        let started = Instant::now();
        let records: Vec<_> = new_records.iter().map(|(content, record)| (*content, record.as_slice())).collect();
        self.records.add(&records)?;
        self.store_time += started.elapsed();
        let contents = self.without_vectors(fresh);
        self.in_flight = contents.iter().map(|(content, _)| *content).collect();
        task.advance((n - contents.len()) as u64);
        Ok(Unembedded { first: self.contents.len() - n, contents })
    }

    fn push(&mut self, content: Option<Digest>, digests: Option<&[Digest]>, facts: Option<ImageFacts>) {
        self.contents.push(content);
        self.fingerprints.push(digests);
        if self.modality == Modality::Image {
            self.facts.push(facts);
        }
    }

    /// What an earlier run, or an earlier window, knows of an image.
    fn record(&mut self, content: &Digest) -> Result<ImageRecord, StoreError> {
        let started = Instant::now();
        let record = self.records.get(content)?;
        self.store_time += started.elapsed();
        record.and_then(|it| ImageRecord::parse(&it)).ok_or_else(|| self.records.invalid())
    }

    /// Those of `fresh` that have no vector, each once; none where there is no model.
    fn without_vectors(&self, fresh: Vec<(Digest, Fresh)>) -> Vec<(Digest, Fresh)> {
        let Some(vectors) = &self.vectors else { return Vec::new() };
        let mut seen = HashSet::new();
        let is_new = |(content, _): &(Digest, Fresh)| !vectors.contains(content) && seen.insert(*content);
        fresh.into_iter().filter(is_new).collect()
    }

    /// Embeds what has no vector yet.
    fn embed(&self, fresh: &Unembedded, task: &dyn Task) -> Result<Option<NewVectors>, EmbedError> {
        let (Some(model), false) = (self.model, fresh.contents.is_empty()) else { return Ok(None) };
        let started = Instant::now();
        let (rows, truncated) = embed(model, &fresh.contents, task)?;
        Ok(Some(NewVectors { rows, truncated, time: started.elapsed() }))
    }

    /// Commits the vectors of `fresh` and gives its samples their rows.
    fn keep(&mut self, fresh: &Unembedded, embedded: Option<NewVectors>) -> Result<(), StoreError> {
        if let (Some(vectors), Some(NewVectors { rows, truncated, time })) = (&mut self.vectors, embedded) {
            self.embed_time += time;
            let started = Instant::now();
            let record = |(row, cut): (ndarray::ArrayView1<'_, f32>, &bool)| {
                let mut record = vec![u8::from(*cut)];
                record.extend(f32s_to_bytes(&row.to_vec()));
                record
            };
            let records: Vec<Vec<u8>> = rows.rows().into_iter().zip(&truncated).map(record).collect();
            let contents = fresh.contents.iter().map(|(content, _)| *content);
            let records: Vec<_> = contents.zip(records.iter().map(Vec::as_slice)).collect();
            vectors.add(&records)?;
            self.store_time += started.elapsed();
            self.embedded.done += fresh.contents.len();
        }
        self.place(fresh.first)
    }

    /// Gives the samples from `first` on the rows of their contents.
    fn place(&mut self, first: usize) -> Result<(), StoreError> {
        let started = Instant::now();
        for content in &self.contents[first..] {
            let (Some(content), Some(vectors)) = (content, &self.vectors) else {
                self.row_of.push(None);
                continue;
            };
            if let Some(row) = self.row_by_content.get(content) {
                self.row_of.push(Some(*row));
                continue;
            }
            let record = vectors.get(content)?.unwrap_or_default();
            let (cut, vector) = vector_of(&record).ok_or_else(|| vectors.invalid())?;
            let row = self.truncated.len();
            self.rows.extend(vector);
            self.truncated.push(cut);
            self.row_by_content.insert(*content, row);
            self.row_of.push(Some(row));
        }
        self.store_time += started.elapsed();
        Ok(())
    }

    fn finish(self, reader: Reader) -> Result<Ingested, IngestError> {
        let (dataset, mut notes) = reader.finish();
        notes.extend(notes_on(&self.facts));
        let n_rows = self.truncated.len();
        let mut id = blake3::Hasher::new();
        let mut embedded = self.embedded;
        let embeddings = match self.model {
            Some(model) if 0 < n_rows => {
                embedded.reused = n_rows - embedded.done;
                id.update(RECORD_VERSION.as_bytes())
                    .update(&model.producer().id().0)
                    .update(&model.center_weight().to_le_bytes());
                for content in self.contents.iter().flatten() {
                    id.update(&content.0);
                }
                let dim = model.manifest().dim;
                let rows = Array2::from_shape_vec((n_rows, dim), self.rows)
                    .expect("because every content gave one vector of the model's dimension");
                Some(Embeddings::new(rows, self.row_of, self.truncated)?)
            }
            _ => None,
        };
        let stored = match self.modality {
            Modality::Text => Stored::Texts(StoredTexts::new(self.records, self.contents)),
            Modality::Image => {
                Stored::Images(StoredImages::new(self.records, self.contents, self.facts, thumbnail_of, grey_of))
            }
        };
        Ok(Ingested {
            dataset,
            notes,
            fingerprints: self.fingerprints,
            stored,
            embeddings,
            vectors_id: Digest(*id.finalize().as_bytes()),
            decoded: self.decoded,
            embedded,
            read_time: self.read_time,
            embed_time: self.embed_time,
            store_time: self.store_time,
        })
    }
}

/// What a reader should know of the images as a whole.
fn notes_on(facts: &[Option<ImageFacts>]) -> Option<String> {
    let mut notes = facts.iter().flatten().filter_map(|it| it.note.as_deref());
    let first = notes.next()?;
    let n = 1 + notes.count();
    let images = if n == 1 { "image was" } else { "images were" };
    Some(format!("{n} {images} read in part, the first one: {first}"))
}

/// Vectors of contents of one kind, shape `(contents, dim)`, and which of them were cut.
fn embed(model: &Model, fresh: &[(Digest, Fresh)], task: &dyn Task) -> Result<(Array2<f32>, Vec<bool>), EmbedError> {
    let texts: Vec<&str> = fresh
        .iter()
        .filter_map(|(_, it)| if let Fresh::Text(text) = it { Some(text.as_str()) } else { None })
        .collect();
    if !texts.is_empty() {
        let encoded = model.embed_texts(&texts, task)?;
        return Ok((encoded.rows, encoded.truncated));
    }
    let images: Vec<&Pixels> =
        fresh.iter().filter_map(|(_, it)| if let Fresh::Image(pixels) = it { Some(pixels) } else { None }).collect();
    let rows = model.embed_images(&images, task)?;
    Ok((rows, vec![false; images.len()]))
}
