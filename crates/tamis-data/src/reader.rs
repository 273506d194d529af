//! Reading a dataset window by window: each row becomes a sample, readable or not.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;
use tamis_core::{Dataset, DatasetBuilder, Digest, FileId, InputFile, Origin, Sample, SampleId, SplitRole, State};

use crate::columns::{self, Columns, Plan};
use crate::error::ReadError;
use crate::formats::{self, Format, Records};
use crate::interpret::{self, Content, Interpreted};
use crate::row::RawRow;
use crate::splits;
use crate::stream;
use crate::walk::{self, Found, count};

/// Readable rows of each file that columns are guessed from.
const HEAD_ROWS: usize = 100;

/// Rows of each file that are looked at for them.
const HEAD_ATTEMPTS: usize = 1000;

/// Bytes of each file that are looked at for them.
const HEAD_BYTES: usize = 16 << 20;

/// Rows of each file that are searched for a column that was named and that the first rows do not show.
const SEARCHED_ROWS: usize = 100_000;

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
    /// Column that is the label.
    pub label: Option<String>,
    /// Column that is the split.
    pub split: Option<String>,
    /// Column that is the key.
    pub id: Option<String>,
}

/// A sample that was read and is not empty.
#[derive(Clone, Debug)]
pub struct ReadText {
    /// The sample.
    pub id: SampleId,
    /// Its whole text.
    pub text: String,
    /// Its hashes, strictest level first.
    pub digests: [Digest; 3],
}

/// Some samples in reading order.
#[derive(Clone, Debug)]
pub struct Window {
    /// The samples that can be embedded, ascending.
    pub texts: Vec<ReadText>,
    /// The hashes of every sample of the window; `None` for those that could not be read.
    pub fingerprints: Vec<Option<[Digest; 3]>>,
    /// The first sample of the window.
    pub first: SampleId,
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
}

/// Notes on single files; files with the same note share one sentence.
#[derive(Debug, Default)]
struct FileNotes(BTreeMap<String, (usize, String)>);

impl FileNotes {
    fn add(&mut self, file: &str, note: String) {
        self.0.entry(note).or_insert_with(|| (0, file.to_owned())).0 += 1;
    }

    fn write(&self, notes: &mut Vec<String>) {
        for (note, (n_files, first)) in &self.0 {
            let more = match n_files - 1 {
                0 => String::new(),
                n => format!(" and {}", count(n, "more file", "more files")),
            };
            notes.push(format!("`{first}`{more}: {note}"));
        }
    }
}

/// A file with all that is known before its rows are read.
#[derive(Debug)]
struct Planned {
    found: Found,
    id: FileId,
    plan: Plan,
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
        let (found, mut notes) = walk::find(inputs, forced)?;
        let heads: Vec<Result<Shown, String>> = found.par_iter().map(|it| look(it, HEAD_ROWS, HEAD_ATTEMPTS)).collect();
        check_some_readable(&found, &heads)?;
        if heads.iter().all(|it| it.as_ref().is_ok_and(|shown| shown.rows == 0)) {
            return Err(no_rows(first.path.clone()));
        }
        let mut file_notes = FileNotes::default();
        let plans = plan(&found, &heads, options, (&mut notes, &mut file_notes))?;
        let mut builder = DatasetBuilder::new();
        let mut files = Vec::with_capacity(found.len());
        for (found, plan) in found.into_iter().zip(plans) {
            let (path, size_bytes) = (found.file.path.clone(), found.file.size_bytes);
            let id = builder.add_file(InputFile { path, size_bytes, blake3: None });
            files.push(Planned { found, id, plan });
        }
        Ok(Self {
            files,
            builder,
            next_file: 0,
            current: None,
            bytes_done: 0,
            keys: HashMap::new(),
            notes,
            file_notes,
            tally: Tally::default(),
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
    pub fn next_window(&mut self, max_items: usize, max_bytes: usize) -> Result<Option<Window>, ReadError> {
        let rows = self.take_rows(max_items.max(1), max_bytes.max(1));
        if rows.is_empty() {
            return self.check_end().map(|()| None);
        }
        let files = &self.files;
        let interpreted: Vec<(usize, Option<u64>, Interpreted)> = rows
            .into_par_iter()
            .map(|(file, raw)| (file, raw.row, interpret::interpret(raw.decode, &files[file].plan)))
            .collect();
        let first = SampleId::from_idx(self.builder.len());
        let mut window = Window { texts: Vec::new(), fingerprints: Vec::with_capacity(interpreted.len()), first };
        for (file, row, it) in interpreted {
            self.push(file, row, it, &mut window)?;
        }
        Ok(Some(window))
    }

    /// Closes the dataset; the notes are those of [`Reader::notes`] at the end.
    #[must_use]
    pub fn finish(self) -> (Dataset, Vec<String>) {
        let notes = self.notes();
        (self.builder.finish(), notes)
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
            match open_records(&planned.found) {
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
    fn push(&mut self, file: usize, row: Option<u64>, it: Interpreted, window: &mut Window) -> Result<(), ReadError> {
        let id = SampleId::from_idx(self.builder.len());
        let (name, file_id) = (self.files[file].found.name.clone(), self.files[file].id);
        let place = row.map_or_else(|| name.clone(), |row| format!("{name}:{row}"));
        let (split, role) = self.files[file].split_of(it.split.as_deref());
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
        let (state, digests) = match it.content {
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
                if !is_empty {
                    window.texts.push(ReadText { id, text, digests });
                }
                (if is_empty { State::Empty } else { State::Ok }, Some(digests))
            }
        };
        window.fingerprints.push(digests);
        let sample = Sample { origin: Origin { file: file_id, row }, split, label, state, note };
        self.builder.push(&key, sample, it.columns.iter().map(|(name, value)| (&**name, value.as_str())))?;
        Ok(())
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
        if 0 < self.unreadable {
            notes.push(format!("{} could not be read", count(self.unreadable, "sample", "samples")));
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

fn open_records(found: &Found) -> Result<Box<dyn Records>, String> {
    match &found.format {
        Ok(format) => format.open(&found.file),
        Err(reason) => Err(reason.clone()),
    }
}

/// What the first rows of a file show.
#[derive(Debug, Default)]
struct Shown {
    columns: Columns,
    /// Rows seen, good or bad.
    rows: usize,
    /// Rows that could be decoded.
    good_rows: usize,
    /// Why the first bad row is bad.
    first_reason: Option<String>,
    /// Whether other rows may have other columns.
    is_open: bool,
}

/// Looks at the first rows of a file, until `max_rows` good ones were seen.
fn look(found: &Found, max_rows: usize, max_attempts: usize) -> Result<Shown, String> {
    if found.format.is_ok() && !found.is_table() {
        // Each sample counts, and none has columns; opening it is left to reading.
        return Ok(Shown { rows: 1, ..Shown::default() });
    }
    let mut records = open_records(found).map_err(|reason| format!("{}: {reason}", found.name))?;
    let declared = records.columns();
    let mut shown = Shown { is_open: declared.is_none(), ..Shown::default() };
    for name in declared.into_iter().flatten() {
        shown.columns.declare(&name);
    }
    let mut bytes = 0;
    while shown.good_rows < max_rows && shown.rows < max_attempts && bytes < HEAD_BYTES {
        let Some(raw) = records.next_row() else { break };
        shown.rows += 1;
        bytes += raw.size_bytes;
        match (raw.decode)() {
            Ok(row) => {
                shown.good_rows += 1;
                shown.columns.add(&row);
            }
            Err(reason) => {
                let place = raw.row.map_or_else(String::new, |row| format!(":{row}"));
                shown.first_reason.get_or_insert_with(|| format!("{}{place}: {reason}", found.name));
            }
        }
    }
    Ok(shown)
}

/// Some file must have something that can be read.
fn check_some_readable(found: &[Found], heads: &[Result<Shown, String>]) -> Result<(), ReadError> {
    let reason = |head: &Result<Shown, String>| match head {
        Err(reason) => Some(reason.clone()),
        Ok(shown) if shown.good_rows == 0 => shown.first_reason.clone(),
        Ok(_) => None,
    };
    let reasons: Vec<String> = heads.iter().filter_map(reason).collect();
    match reasons.first() {
        Some(first) if reasons.len() == found.len() => {
            Err(ReadError::AllUnreadable { n: reasons.len(), first: first.clone() })
        }
        _ => Ok(()),
    }
}

/// Chooses the columns of each file: one choice for all, and another where a file has none of these columns.
fn plan(
    found: &[Found],
    heads: &[Result<Shown, String>],
    options: &ReadOptions,
    (notes, file_notes): (&mut Vec<String>, &mut FileNotes),
) -> Result<Vec<Plan>, ReadError> {
    let mut all = Columns::default();
    for shown in heads.iter().flatten() {
        all.merge(&shown.columns);
    }
    if columns::check_given(&all, options).is_err() {
        for (found, _) in found.iter().zip(heads).filter(|(_, head)| head.as_ref().is_ok_and(|it| it.is_open)) {
            if let Ok(shown) = look(found, SEARCHED_ROWS, SEARCHED_ROWS) {
                all.merge(&shown.columns);
            }
        }
        columns::check_given(&all, options)?;
    }
    let (general, mut sentences) = columns::choose(&all, options);
    let tables: Vec<_> = found.iter().filter(|it| it.is_table()).collect();
    if let (Some(first), true) = (tables.first(), general.text.is_empty() && !all.is_empty()) {
        return Err(ReadError::NoTextColumn { path: first.file.path.clone(), columns: all.names() });
    }
    notes.append(&mut sentences);
    let mut plans = Vec::with_capacity(found.len());
    for (found, head) in found.iter().zip(heads) {
        let plan = match head {
            Ok(shown) if found.is_table() => plan_file(found, &shown.columns, &general, options, file_notes),
            _ => Plan { text: vec!["text".to_owned()], ..Plan::default() },
        };
        plans.push(plan);
    }
    Ok(plans)
}

fn plan_file(found: &Found, columns: &Columns, general: &Plan, options: &ReadOptions, notes: &mut FileNotes) -> Plan {
    let mut plan = general.clone();
    let lacks = |name: &String| !columns.is_empty() && !columns.has(name);
    if options.text.is_empty() && general.text.iter().any(lacks) {
        let (own, sentences) = columns::choose(columns, options);
        if !own.text.is_empty() {
            for it in sentences {
                notes.add(&found.name, format!("it has other columns than the rest; {it}"));
            }
            plan.text = own.text;
            plan.label = own.label.or(plan.label);
            plan.split = own.split.or(plan.split);
            plan.id = own.id.or(plan.id);
        }
    }
    let is_known = found.is_split_given || options.split.is_none() && found.split.is_some();
    if let Some(column) = plan.split.take_if(|_| is_known)
        && columns.has(&column)
    {
        let why = if found.is_split_given { "its split was given" } else { "its name shows the split" };
        notes.add(&found.name, format!("the column `{column}` was not taken for the split, {why}"));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_may_run_on_a_thread_of_its_own() {
        fn check<T: Send>() {}
        check::<Reader>();
    }

    #[test]
    fn files_with_the_same_note_share_a_sentence() {
        let mut all = FileNotes::default();
        for file in ["a", "b", "c"] {
            all.add(file, "it holds no rows".to_owned());
        }
        all.add("d", "another".to_owned());
        let mut notes = Vec::new();
        all.write(&mut notes);
        assert_eq!(notes, ["`d`: another", "`a` and 2 more files: it holds no rows"]);
    }
}
