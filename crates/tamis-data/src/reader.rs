//! Reading a dataset window by window: each row becomes a sample, readable or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use tamis_core::{
    Dataset, DatasetBuilder, Digest, FileId, InputFile, Modality, Origin, Sample, SampleId, SplitRole, State,
};

use crate::columns::{self, Plan};
use crate::error::ReadError;
use crate::formats::{self, Format, Records};
use crate::image::{Decoded, Decoder};
use crate::interpret::{self, Content, Images, Interpreted, Interpreter};
use crate::rewrite::Layout;
use crate::row::RawRow;
use crate::splits;
use crate::stream;
use crate::survey::{self, FileNotes};
use crate::walk::{self, Found, Search, count};

/// Most splits of one dataset: more is a column that is no split.
const MAX_SPLITS: usize = 1000;

/// One path to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// A file or a folder.
    pub path: PathBuf,
    /// The split of all that is in it, and what that split is for; told from names and columns where it is not given.
    pub split: Option<(String, Option<SplitRole>)>,
}

/// How to read; the default guesses everything.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Id of the format of all inputs.
    pub from: Option<String>,
    /// Columns that are the text, joined by a line break.
    pub text: Vec<String>,
    /// Column that is the image or its path.
    pub image: Option<String>,
    /// Column that is the label.
    pub label: Option<String>,
    /// Column that is the split.
    pub split: Option<String>,
    /// Column that is the key.
    pub id: Option<String>,
}

/// The content of a sample that could be read.
#[derive(Clone, Debug)]
pub enum ReadContent {
    /// A text.
    Text {
        /// The whole text.
        text: String,
        /// Its hashes, strictest level first.
        digests: [Digest; 3],
        /// Whether it holds nothing but white space.
        is_empty: bool,
    },
    /// An image.
    Image {
        /// Hash of its bytes.
        bytes: Digest,
        /// What its one decode gave; `None` where that was known before.
        decoded: Option<Box<Decoded>>,
    },
}

impl ReadContent {
    /// Hash of the bytes: what everything computed from this content is kept under.
    #[must_use]
    pub fn bytes(&self) -> Digest {
        match self {
            Self::Text { digests, .. } => digests[0],
            Self::Image { bytes, .. } => *bytes,
        }
    }
}

/// Some samples in reading order.
#[derive(Clone, Debug)]
pub struct Window {
    /// The first sample of the window.
    pub first: SampleId,
    /// The content of each sample; `None` for those that could not be read.
    pub contents: Vec<Option<ReadContent>>,
}

/// Reads inputs sample by sample.
///
/// Memory: one window, the metadata of all samples read so far, and 40 bytes a sample for the uniqueness of keys.
#[derive(Debug)]
pub struct Reader {
    files: Vec<Planned>,
    builder: DatasetBuilder,
    /// Index of the file to open next.
    next_file: usize,
    current: Option<Open>,
    bytes_done: u64,
    keys: HashMap<[u8; 16], u32>,
    notes: Vec<String>,
    file_notes: FileNotes,
    tally: Tally,
    modality: Modality,
    typical_side: Option<u32>,
    decoder: Decoder,
    traces: Traces,
}

/// A file with all that is known before its rows are read.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) found: Found,
    pub(crate) id: FileId,
    pub(crate) plan: Plan,
}

/// What has to be known of the reading to write the dataset again.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// The paths that were given, each with its split.
    pub(crate) inputs: Vec<Input>,
    /// Images that tables name by path, with the hash of the file where it could be read.
    pub(crate) image_paths: Vec<(SampleId, String, Option<Digest>)>,
    /// How columns spell the splits, the first spelling of each.
    pub(crate) split_spellings: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Open {
    file: usize,
    records: Box<dyn Records>,
    n_rows: u64,
}

/// What is counted while reading, for notes at the end.
#[derive(Debug, Default)]
struct Tally {
    unreadable: usize,
    first_reason: Option<String>,
    mended: usize,
    renamed: usize,
    first_renamed: Option<String>,
    cut: BTreeMap<Arc<str>, usize>,
    splits: BTreeMap<String, usize>,
}

impl Reader {
    /// Finds the files, tells their formats, looks at their first rows and chooses columns.
    ///
    /// # Errors
    /// When a path is missing, a folder holds nothing to read, nothing at all can be read, or an option does not fit the
    /// data: see [`ReadError`].
    pub fn open(inputs: &[Input], options: &ReadOptions) -> Result<Self, ReadError> {
        let Some(first) = inputs.first() else { return Err(ReadError::NoInput) };
        let forced = options.from.as_deref().map(format_called).transpose()?;
        let search = Search { forced, is_text_only: !options.text.is_empty() };
        let (found, mut notes) = walk::find(inputs, search)?;
        let Some(survey) = survey::survey(&found, options)? else { return Err(no_rows(first.path.clone())) };
        notes.extend(survey.notes);
        let mut builder = DatasetBuilder::new();
        let mut files = Vec::with_capacity(found.len());
        for (found, plan) in found.into_iter().zip(survey.plans) {
            let (path, size_bytes) = (found.file.path.clone(), found.file.size_bytes);
            let format = found.format.as_ref().ok().map(|it| it.id().to_owned());
            let id = builder.add_file(InputFile { path, size_bytes, blake3: None, format, columns: plan.columns() });
            files.push(Planned { found, id, plan });
        }
        add_files_beside(&files, &mut builder);
        Ok(Self {
            files,
            builder,
            next_file: 0,
            current: None,
            bytes_done: 0,
            keys: HashMap::new(),
            notes,
            file_notes: survey.file_notes,
            tally: Tally::default(),
            modality: survey.modality,
            typical_side: survey.typical_side,
            decoder: Decoder::default(),
            traces: Traces { inputs: inputs.to_vec(), ..Traces::default() },
        })
    }

    /// What was inferred and why, what was left out and what was mended so far. Sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        self.file_notes.write(&mut notes);
        self.tally.note(&mut notes);
        notes
    }

    /// What the samples are.
    #[must_use]
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// The longer side of typical images in pixels: nine of ten are at most as large, by the headers of some spread over
    /// the data. `None` for texts, and where no header could be read.
    #[must_use]
    pub fn typical_side(&self) -> Option<u32> {
        self.typical_side
    }

    /// Size of all files.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|it| it.found.file.size_bytes).sum()
    }

    /// Bytes of the files that have gone by.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_done + self.current.as_ref().map_or(0, |it| it.records.bytes_read())
    }

    /// Number of samples so far.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.builder.len()
    }

    /// Reads the next samples: at most `max_items`, and no further one once `max_bytes` are reached, so that a single
    /// large text passes. `None` at the end.
    ///
    /// The dataset does not depend on the limits.
    ///
    /// # Errors
    /// At the end, when no sample could be read; earlier, when there are more samples or splits than can be named.
    pub fn next_window(
        &mut self,
        max_items: usize,
        max_bytes: usize,
        images: Images<'_>,
    ) -> Result<Option<Window>, ReadError> {
        let rows = self.take_rows(max_items.max(1), max_bytes.max(1));
        if rows.is_empty() {
            return self.check_end().map(|()| None);
        }
        let (files, decoder) = (&self.files, &self.decoder);
        let interpreter = |file: usize| {
            let Planned { found, plan, .. } = &files[file];
            Interpreter { plan, cells: &found.cells, folder: found.file.folder(), images, decoder }
        };
        let interpreted: Vec<(usize, Option<u64>, Interpreted)> = rows
            .into_par_iter()
            .map(|(file, raw)| (file, raw.row, interpret::interpret(raw.decode, interpreter(file))))
            .collect();
        let first = SampleId::from_idx(self.builder.len());
        let mut window = Window { first, contents: Vec::with_capacity(interpreted.len()) };
        for (file, row, it) in interpreted {
            window.contents.push(self.push(file, row, it)?);
        }
        Ok(Some(window))
    }

    /// Closes the dataset; the notes are those of [`Reader::notes`] at the end.
    #[must_use]
    pub fn finish(self) -> (Dataset, Vec<String>) {
        let notes = self.notes();
        (self.builder.finish(), notes)
    }

    /// Closes the dataset, and says how it lies in its files.
    #[must_use]
    pub fn finish_with_layout(self) -> (Dataset, Layout) {
        (self.builder.finish(), Layout { files: self.files, traces: self.traces })
    }

    fn take_rows(&mut self, max_items: usize, max_bytes: usize) -> Vec<(usize, RawRow)> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < max_items && bytes < max_bytes {
            let Some((file, raw)) = self.next_row() else { break };
            bytes += raw.size_bytes;
            rows.push((file, raw));
        }
        rows
    }

    fn next_row(&mut self) -> Option<(usize, RawRow)> {
        loop {
            if let Some(open) = &mut self.current {
                if let Some(raw) = open.records.next_row() {
                    open.n_rows += 1;
                    return Some((open.file, raw));
                }
                self.close();
            }
            let file = self.next_file;
            let planned = self.files.get(file)?;
            self.next_file += 1;
            match survey::open_records(&planned.found) {
                Ok(records) => self.current = Some(Open { file, records, n_rows: 0 }),
                Err(reason) => {
                    self.bytes_done += planned.found.file.size_bytes;
                    if let Ok(hash) = stream::hash_file(&planned.found.file.path) {
                        self.builder.set_file_hash(planned.id, hash);
                    }
                    return Some((file, RawRow::bad(None, reason)));
                }
            }
        }
    }

    fn close(&mut self) {
        let Some(mut open) = self.current.take() else { return };
        let planned = &self.files[open.file];
        self.bytes_done += planned.found.file.size_bytes;
        if let Some(hash) = open.records.hash() {
            self.builder.set_file_hash(planned.id, hash);
        }
        let name = &planned.found.name;
        for note in open.records.notes() {
            self.file_notes.add(name, note);
        }
        if open.n_rows == 0 {
            self.file_notes.add(name, "it holds no rows".to_owned());
        }
    }

    fn check_end(&self) -> Result<(), ReadError> {
        match &self.tally.first_reason {
            Some(first) if self.tally.unreadable == self.builder.len() => {
                Err(ReadError::AllUnreadable { n: self.tally.unreadable, first: first.clone() })
            }
            None if self.builder.is_empty() => {
                let path = self.files.first().map(|it| it.found.file.path.clone()).unwrap_or_default();
                Err(no_rows(path))
            }
            _ => Ok(()),
        }
    }

    /// Makes a sample of an interpreted row.
    fn push(&mut self, file: usize, row: Option<u64>, it: Interpreted) -> Result<Option<ReadContent>, ReadError> {
        let (name, file_id) = (self.files[file].found.name.clone(), self.files[file].id);
        let place = row.map_or_else(|| name.clone(), |row| format!("{name}:{row}"));
        let (split, role) = self.files[file].split_of(it.split.as_deref());
        if let Some(spelling) = &it.split {
            self.traces.split_spellings.entry(split.clone()).or_insert_with(|| spelling.clone());
        }
        if let Some(path) = it.image_path.filter(|_| row.is_some()) {
            let bytes = if let Content::Image { bytes, .. } = &it.content { Some(*bytes) } else { None };
            self.traces.image_paths.push((SampleId::from_idx(self.builder.len()), path, bytes));
        }
        let split = self.split(file, split, role)?;
        let label = it.label.as_deref().or(self.files[file].found.label.as_deref());
        let label = label.map(|name| self.builder.label(name));
        let (key, mut note) = self.unique_key(it.id.unwrap_or_else(|| place.clone()), &place);
        if let Some(hash) = it.file_hash {
            self.builder.set_file_hash(file_id, hash);
        }
        for name in it.cut {
            *self.tally.cut.entry(name).or_default() += 1;
        }
        let (state, content) = match it.content {
            Content::Bad(reason) => {
                let reason = format!("{place}: {reason}");
                self.tally.unreadable += 1;
                self.tally.first_reason.get_or_insert_with(|| reason.clone());
                (State::Unreadable(reason), None)
            }
            Content::Text { text, digests, is_empty, is_mended } => {
                if is_mended {
                    self.tally.mended += 1;
                    let mended = "invalid UTF-8 was read with replacement characters";
                    note = Some(note.map_or_else(|| mended.to_owned(), |note| format!("{note}; {mended}")));
                }
                let state = if is_empty { State::Empty } else { State::Ok };
                (state, Some(ReadContent::Text { text, digests, is_empty }))
            }
            Content::Image { bytes, decoded } => (State::Ok, Some(ReadContent::Image { bytes, decoded })),
        };
        let sample = Sample { origin: Origin { file: file_id, row }, split, label, state, note };
        self.builder.push(&key, sample, it.columns.iter().map(|(name, value)| (&**name, value.as_str())))?;
        Ok(content)
    }

    fn split(&mut self, file: usize, name: String, role: Option<SplitRole>) -> Result<tamis_core::SplitId, ReadError> {
        let id = self.builder.split(&name, role);
        *self.tally.splits.entry(name).or_default() += 1;
        if MAX_SPLITS < self.tally.splits.len() {
            let name = self.files[file].plan.split.clone().unwrap_or_default();
            return Err(ReadError::TooManySplits { name, limit: MAX_SPLITS });
        }
        Ok(id)
    }

    /// Makes a key unique by a number behind it, and says so.
    fn unique_key(&mut self, key: String, place: &str) -> (String, Option<String>) {
        let n = self.keys.entry(short_hash(&key)).or_default();
        *n += 1;
        if *n == 1 {
            return (key, None);
        }
        let mut n = *n;
        let renamed = loop {
            let renamed = format!("{key} #{n}");
            if self.keys.insert(short_hash(&renamed), 1).is_none() {
                break renamed;
            }
            n += 1;
        };
        self.keys.insert(short_hash(&key), n);
        self.tally.renamed += 1;
        self.tally.first_renamed.get_or_insert_with(|| format!("`{key}` in {place}"));
        (renamed, Some(format!("the key `{key}` was taken already")))
    }
}

/// Half of a BLAKE3 hash: two of 2^32 keys meet with probability 2^-65.
fn short_hash(key: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
    short
}

impl Planned {
    /// The split of a row: given with its file, from a column, or from the names of folders and files.
    fn split_of(&self, value: Option<&str>) -> (String, Option<SplitRole>) {
        let of_file = || self.found.split.clone().unwrap_or_else(|| (splits::DEFAULT.to_owned(), None));
        match value {
            Some(value) => (splits::canonical(value.trim()).to_owned(), None),
            None => of_file(),
        }
    }
}

impl Tally {
    fn note(&self, notes: &mut Vec<String>) {
        if let Some(first) = &self.first_reason {
            notes.push(format!("{} could not be read, first {first}", count(self.unreadable, "sample", "samples")));
        }
        if 0 < self.mended {
            let n = count(self.mended, "text holds", "texts hold");
            notes.push(format!("{n} invalid UTF-8, which was read with replacement characters"));
        }
        if let Some(first) = &self.first_renamed {
            let n = count(self.renamed, "key repeats and was", "keys repeat and were");
            notes.push(format!("{n} told apart by a number, first {first}"));
        }
        for (name, n) in &self.cut {
            let n = count(*n, "value was", "values were");
            notes.push(format!("column `{name}`: {n} cut to {} bytes in the record", interpret::MAX_METADATA_BYTES));
        }
    }
}

fn no_rows(path: PathBuf) -> ReadError {
    ReadError::NothingToRead { path, what: "expected at least one row, found none".to_owned(), found_files: false }
}

fn format_called(name: &str) -> Result<&'static dyn Format, ReadError> {
    formats::by_id(name).ok_or_else(|| {
        let formats: Vec<_> = formats::FORMATS.iter().map(|it| it.id()).collect();
        let among: Vec<_> = formats.iter().map(|it| (*it).to_owned()).collect();
        ReadError::UnknownFormat { name: name.to_owned(), formats, nearest: columns::nearest(name, &among) }
    })
}

/// Records labels and metadata that were read beside other files.
fn add_files_beside(files: &[Planned], builder: &mut DatasetBuilder) {
    let beside: BTreeSet<&PathBuf> = files.iter().flat_map(|it| &it.found.beside).collect();
    for path in beside {
        let size_bytes = std::fs::metadata(path).map_or(0, |it| it.len());
        let blake3 = stream::hash_file(path).ok();
        builder.add_file(InputFile { path: path.clone(), size_bytes, blake3, ..InputFile::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_may_run_on_a_thread_of_its_own() {
        fn check<T: Send>() {}
        check::<Reader>();
    }
}
