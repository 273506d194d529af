//! Samples and their metadata: what is known of a dataset without touching its content.

use std::fmt;
use std::path::{Path, PathBuf};

/// Dense index of a sample: `0..dataset.len()`, in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub u32);

impl SampleId {
    /// Returns the id as an index into arrays that have one entry per sample.
    #[must_use]
    pub fn idx(self) -> usize {
        self.0 as usize
    }

    /// Returns the id of the array entry `idx`.
    ///
    /// # Panics
    /// When `idx` does not fit in 32 bits, which [`DatasetBuilder::push`] makes impossible.
    #[must_use]
    pub fn from_idx(idx: usize) -> Self {
        Self(u32::try_from(idx).expect("because a dataset has at most 2^32 - 1 samples"))
    }
}

/// Index into [`Dataset::split_names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SplitId(pub u16);

/// Index into [`Dataset::label_names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub u32);

/// Index into [`Dataset::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A place in an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The input file.
    pub file: FileId,
    /// One-based line (JSONL, text lines) or record (CSV, Parquet); `None` where the file is the sample.
    pub row: Option<u64>,
}

/// Whether a sample's content could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was read and has something in it.
    Ok,
    /// It was read and holds nothing but white space.
    Empty,
    /// It could not be read; the reason stands as the user will see it.
    Unreadable(String),
}

/// Everything known of one sample without touching its content.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where it was read from.
    pub origin: Origin,
    /// The split it belongs to.
    pub split: SplitId,
    /// Its given label, or `None` for unlabeled data.
    pub label: Option<LabelId>,
    /// Whether its content could be read.
    pub state: State,
    /// What was mended or noticed while reading it, e.g. invalid UTF-8; `None` for nothing.
    pub note: Option<String>,
}

/// What a split is for; decides who may have leaked into whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SplitRole {
    /// Seen in training.
    Train,
    /// Used for choices: leaks from train matter, leaks into test matter.
    Validation,
    /// Used for reported results.
    Test,
    /// A public test set: what is in it must be in none of the others.
    Benchmark,
    /// Known to have nothing in common with what is trained on; tells what scores clean samples have.
    Reference,
}

/// What a column was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnRole {
    /// The key of a sample.
    Id,
    /// A text, or a part of it.
    Text,
    /// An image, or the path of one.
    Image,
    /// The given label.
    Label,
    /// The split.
    Split,
}

impl ColumnRole {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Id, Self::Text, Self::Image, Self::Label, Self::Split];

    /// Name in audits and options.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "text",
            Self::Image => "image",
            Self::Label => "label",
            Self::Split => "split",
        }
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct InputFile {
    /// Path as the user gave or would type it.
    pub path: PathBuf,
    /// Size when it was opened.
    pub size_bytes: u64,
    /// BLAKE3 of the bytes in hexadecimal, or `None` where the file could not be read.
    pub blake3: Option<String>,
    /// Id of the format that it was read in; `None` where it was not read as samples.
    pub format: Option<String>,
    /// Its columns that mean something, with what they were taken for.
    pub columns: Vec<(ColumnRole, String)>,
}

/// Many strings in one buffer: eight bytes of overhead each instead of a heap allocation.
#[derive(Clone, Debug, Default)]
pub struct StringArena {
    bytes: String,
    ends: Vec<u64>,
}

impl StringArena {
    /// Appends `text` and returns its index.
    pub fn push(&mut self, text: &str) -> usize {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u64);
        self.ends.len() - 1
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string with index `idx`.
    ///
    /// # Panics
    /// When there is no such string.
    #[must_use]
    pub fn get(&self, idx: usize) -> &str {
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        let bounds = (usize::try_from(start), usize::try_from(self.ends[idx]));
        let (Ok(start), Ok(end)) = bounds else { unreachable!("an offset into memory fits in usize") };
        &self.bytes[start..end]
    }
}

/// A user column that tamis does not interpret, kept for reports and outputs.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the input.
    pub name: String,
    /// One entry per sample, in reading order; `present[i]` tells null from empty.
    values: StringArena,
    present: Vec<bool>,
}

impl Column {
    /// The value of one sample, or `None` where the input had none.
    #[must_use]
    pub fn get(&self, id: SampleId) -> Option<&str> {
        (*self.present.get(id.idx())?).then(|| self.values.get(id.idx()))
    }
}

/// Samples, splits, labels and columns of one dataset, in reading order.
#[derive(Debug)]
pub struct Dataset {
    samples: Vec<Sample>,
    keys: StringArena,
    files: Vec<InputFile>,
    split_names: Vec<String>,
    split_roles: Vec<SplitRole>,
    label_names: Vec<String>,
    columns: Vec<Column>,
}

impl Dataset {
    /// Number of samples, `n` in every shape of this workspace.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Sample ids in reading order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = SampleId> + use<> {
        (0..self.samples.len()).map(SampleId::from_idx)
    }

    /// Ids of the samples whose content was read and is not empty.
    pub fn ok_ids(&self) -> impl Iterator<Item = SampleId> + '_ {
        self.ids().filter(|id| self.sample(*id).state == State::Ok)
    }

    /// Metadata of one sample.
    #[must_use]
    pub fn sample(&self, id: SampleId) -> &Sample {
        &self.samples[id.idx()]
    }

    /// The user's own name for a sample; unique in the dataset.
    #[must_use]
    pub fn key(&self, id: SampleId) -> &str {
        self.keys.get(id.idx())
    }

    /// The input files, indexed by [`FileId`].
    #[must_use]
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// Path of the file that a sample was read from.
    #[must_use]
    pub fn path(&self, id: SampleId) -> &Path {
        &self.files[self.sample(id).origin.file.0 as usize].path
    }

    /// Names of the splits, indexed by [`SplitId`].
    #[must_use]
    pub fn split_names(&self) -> &[String] {
        &self.split_names
    }

    /// Name of the split of one sample.
    #[must_use]
    pub fn split_name(&self, id: SampleId) -> &str {
        &self.split_names[self.sample(id).split.0 as usize]
    }

    /// What a split is for.
    #[must_use]
    pub fn split_role(&self, split: SplitId) -> SplitRole {
        self.split_roles[split.0 as usize]
    }

    /// Names of the labels, indexed by [`LabelId`].
    #[must_use]
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Name of the given label of one sample.
    #[must_use]
    pub fn label_name(&self, id: SampleId) -> Option<&str> {
        let label = self.sample(id).label?;
        Some(&self.label_names[label.0 as usize])
    }

    /// The columns that tamis does not interpret, in the order they were first seen.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// More samples than an id can name.
#[derive(Debug, thiserror::Error)]
#[error("too many samples: one dataset holds at most {}", u32::MAX - 1)]
pub struct TooManySamples;

/// Collects a [`Dataset`] sample by sample, in reading order.
#[derive(Debug, Default)]
pub struct DatasetBuilder {
    samples: Vec<Sample>,
    keys: StringArena,
    files: Vec<InputFile>,
    split_names: Vec<String>,
    split_roles: Vec<Option<SplitRole>>,
    label_names: Vec<String>,
    label_of: std::collections::BTreeMap<String, LabelId>,
    columns: Vec<Column>,
}

impl DatasetBuilder {
    /// Starts an empty dataset.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of samples so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds an input file.
    ///
    /// # Panics
    /// When there are 2^32 of them.
    pub fn add_file(&mut self, file: InputFile) -> FileId {
        self.files.push(file);
        FileId(u32::try_from(self.files.len() - 1).expect("because nobody has 2^32 files"))
    }

    /// Records the hash of a file once its bytes have gone by.
    pub fn set_file_hash(&mut self, file: FileId, blake3: String) {
        self.files[file.0 as usize].blake3 = Some(blake3);
    }

    /// Returns the split called `name`, adding it on first sight.
    ///
    /// A role given here overrides the one that the name suggests.
    ///
    /// # Panics
    /// When there are 2^16 of them; a reader refuses far fewer.
    pub fn split(&mut self, name: &str, role: Option<SplitRole>) -> SplitId {
        let idx = self.split_names.iter().position(|it| it == name).unwrap_or_else(|| {
            self.split_names.push(name.to_owned());
            self.split_roles.push(None);
            self.split_names.len() - 1
        });
        if role.is_some() {
            self.split_roles[idx] = role;
        }
        SplitId(u16::try_from(idx).expect("because the reader refuses more than a thousand splits"))
    }

    /// Returns the label called `name`, adding it on first sight.
    ///
    /// # Panics
    /// When there are 2^32 of them: more than samples.
    pub fn label(&mut self, name: &str) -> LabelId {
        if let Some(id) = self.label_of.get(name) {
            return *id;
        }
        let id = LabelId(u32::try_from(self.label_names.len()).expect("because there are no more labels than samples"));
        self.label_names.push(name.to_owned());
        self.label_of.insert(name.to_owned(), id);
        id
    }

    /// Adds a sample with its key and the columns that tamis does not interpret.
    ///
    /// # Errors
    /// When 32 bits no longer suffice for its id.
    pub fn push<'a>(
        &mut self,
        key: &str,
        sample: Sample,
        columns: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<SampleId, TooManySamples> {
        if u32::MAX as usize - 1 <= self.samples.len() {
            return Err(TooManySamples);
        }
        let id = SampleId::from_idx(self.samples.len());
        for (name, value) in columns {
            self.set_column(id, name, value);
        }
        self.keys.push(key);
        self.samples.push(sample);
        Ok(id)
    }

    /// Closes the dataset.
    ///
    /// A split's role comes from its name, see [`SplitRole::of_name`]; where the name says nothing, it trains.
    #[must_use]
    pub fn finish(mut self) -> Dataset {
        let n = self.samples.len();
        for column in &mut self.columns {
            pad(column, n);
        }
        let named = self.split_names.iter().zip(&self.split_roles);
        let of_name = |name: &str| SplitRole::of_name(name).unwrap_or(SplitRole::Train);
        let split_roles = named.map(|(name, role)| role.unwrap_or_else(|| of_name(name))).collect();
        Dataset {
            samples: self.samples,
            keys: self.keys,
            files: self.files,
            split_names: self.split_names,
            split_roles,
            label_names: self.label_names,
            columns: self.columns,
        }
    }

    fn set_column(&mut self, id: SampleId, name: &str, value: &str) {
        let column = match self.columns.iter().position(|it| it.name == name) {
            Some(idx) => &mut self.columns[idx],
            None => {
                let values = StringArena::default();
                self.columns.push(Column { name: name.to_owned(), values, present: Vec::new() });
                self.columns.last_mut().expect("because it was just pushed")
            }
        };
        pad(column, id.idx());
        if column.present.len() == id.idx() {
            column.values.push(value);
            column.present.push(true);
        }
    }
}

/// Fills `column` with nulls up to `len` entries.
fn pad(column: &mut Column, len: usize) {
    while column.present.len() < len {
        column.values.push("");
        column.present.push(false);
    }
}

impl SplitRole {
    /// The role that a name shows: one of Hugging Face's keywords (`train training`, `validation valid dev val`,
    /// `test testing eval evaluation`), alone or set off by `-`, `.`, `_`, a digit or a space; case does not count.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let is_separator = |c: char| matches!(c, '-' | '.' | '_' | ' ') || c.is_ascii_digit();
        let has = |words: &[&str]| name.split(is_separator).any(|token| words.contains(&token));
        if has(&["train", "training"]) {
            Some(Self::Train)
        } else if has(&["validation", "valid", "dev", "val"]) {
            Some(Self::Validation)
        } else if has(&["test", "testing", "eval", "evaluation"]) {
            Some(Self::Test)
        } else {
            None
        }
    }

    /// Whether samples of this role may have been seen before those of `query` are evaluated.
    #[must_use]
    pub fn comes_before(self, query: Self) -> bool {
        match (self, query) {
            (Self::Reference, _) => false,
            // What comes before a test, so that both are looked for in the same data.
            (base, Self::Reference) => base < Self::Test,
            (base, query) => base < query,
        }
    }

    /// The usual name of a split of this role.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::Benchmark => "benchmark",
            Self::Reference => "reference",
        }
    }
}

impl fmt::Display for SplitRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(split: SplitId) -> Sample {
        let origin = Origin { file: FileId(0), row: None };
        Sample { origin, split, label: None, state: State::Ok, note: None }
    }

    #[test]
    fn a_column_seen_late_is_null_before() {
        let mut builder = DatasetBuilder::new();
        let split = builder.split("train", None);
        let a = builder.push("a", sample(split), []).unwrap();
        let b = builder.push("b", sample(split), [("source", "x")]).unwrap();
        let c = builder.push("c", sample(split), []).unwrap();
        let dataset = builder.finish();
        let column = &dataset.columns()[0];
        assert_eq!([a, b, c].map(|id| column.get(id)), [None, Some("x"), None]);
    }

    #[test]
    fn roles_follow_names_unless_given() {
        let mut builder = DatasetBuilder::new();
        for name in ["train", "dev", "x_test", "extra", "testimonials"] {
            builder.split(name, None);
        }
        builder.split("extra", Some(SplitRole::Test));
        let dataset = builder.finish();
        let roles: Vec<_> = (0..5).map(|i| dataset.split_role(SplitId(i))).collect();
        assert_eq!(
            roles,
            [SplitRole::Train, SplitRole::Validation, SplitRole::Test, SplitRole::Test, SplitRole::Train]
        );
    }

    #[test]
    fn arena_keeps_empty_strings_apart() {
        let mut arena = StringArena::default();
        for text in ["", "ab", "", "c"] {
            arena.push(text);
        }
        let all: Vec<_> = (0..arena.len()).map(|i| arena.get(i)).collect();
        assert_eq!(all, ["", "ab", "", "c"]);
    }
}
