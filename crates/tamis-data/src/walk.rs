//! From the paths that were given to the files that are read, each with its format, split and label.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis_core::{Modality, SplitRole};

use crate::error::ReadError;
use crate::formats::{self, FileSpec, Format, Head, idx};
use crate::metadata::Cells;
use crate::reader::Input;
use crate::splits;

mod folder;

pub(crate) use folder::{all_files, said_by_names};

/// The folder that may name a label, and how deep it lies.
pub(crate) type Parent = (String, usize);

/// A file that will be read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) file: FileSpec,
    /// How samples and reasons name it: relative to its root.
    pub(crate) name: String,
    /// Its format, or why it has none.
    pub(crate) format: Result<&'static dyn Format, String>,
    /// Its split: given, or told from its name.
    pub(crate) split: Option<(String, Option<SplitRole>)>,
    /// Whether the split was given.
    pub(crate) is_split_given: bool,
    /// Its label, where folders name labels.
    pub(crate) label: Option<String>,
    /// What a file of metadata says of it.
    pub(crate) cells: Cells,
    /// Files that were read for it as well: labels, metadata.
    pub(crate) beside: Vec<PathBuf>,
    /// The tables of metadata that name it; what the last one says counts.
    pub(crate) said_in: Vec<SaidIn>,
    /// The folder that may name its label, and how deep it lies.
    pub(crate) parent: Option<Parent>,
}

impl Found {
    /// Whether rows have named columns; a file that cannot be opened counts as none.
    pub(crate) fn is_table(&self) -> bool {
        self.format.as_ref().is_ok_and(|it| it.is_table())
    }

    /// A file that something names and that is not there.
    pub(crate) fn missing(path: PathBuf, name: String, reason: String, cells: Cells) -> Self {
        Self {
            file: FileSpec { path, size_bytes: 0, is_gzip: false, is_text_only: false },
            split: splits::of_folders(&folders_of(&name)).map(|split| (split.to_owned(), None)),
            name,
            format: Err(reason),
            is_split_given: false,
            label: None,
            cells,
            beside: Vec::new(),
            said_in: Vec::new(),
            parent: None,
        }
    }

    /// What its samples are, where that does not depend on columns.
    pub(crate) fn modality(&self) -> Option<Modality> {
        self.format.as_ref().ok().and_then(|it| it.modality())
    }
}

/// The rows of a table beside images that name one of them; the first one counts.
#[derive(Clone, Debug)]
pub(crate) struct SaidIn {
    pub(crate) table: Arc<Found>,
    pub(crate) rows: Vec<u64>,
}

/// How to look for files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The format of all files.
    pub(crate) forced: Option<&'static dyn Format>,
    /// Whether columns of texts were named, so that images are not wanted.
    pub(crate) is_text_only: bool,
}

/// Finds the files of all inputs, in reading order, and says what was inferred.
///
/// # Errors
/// When a path is missing or a folder holds nothing to read.
pub(crate) fn find(inputs: &[Input], search: Search) -> Result<(Vec<Found>, Vec<String>), ReadError> {
    let mut found = Vec::new();
    let mut notes = Vec::new();
    for input in inputs {
        let metadata = fs::metadata(&input.path).map_err(|error| inaccessible(&input.path, error))?;
        let mut files = if metadata.is_dir() {
            folder::folder(&input.path, search, &mut notes)?
        } else if metadata.is_file() {
            vec![single(&input.path, metadata.len(), search, &mut notes)]
        } else {
            return Err(ReadError::NotAFile { path: input.path.clone() });
        };
        if let Some(split) = &input.split {
            for file in &mut files {
                file.split = Some(split.clone());
                file.is_split_given = true;
            }
        }
        found.append(&mut files);
    }
    label_by_folder(&mut found, &mut notes);
    note_splits(&found, &mut notes);
    tell_names_apart(&mut found);
    Ok((found, notes))
}

fn inaccessible(path: &Path, source: io::Error) -> ReadError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path },
        _ => ReadError::Inaccessible { path, source },
    }
}

/// A file that was given by its own path.
fn single(path: &Path, size_bytes: u64, search: Search, notes: &mut Vec<String>) -> Found {
    let head = Head::read(path).map_err(|error| formats::io_reason(&error));
    let is_gzip = head.as_ref().is_ok_and(|it| it.is_gzip);
    let detected = head.and_then(|head| match search.forced {
        Some(format) => Ok((format, "given".to_owned())),
        None => formats::detect(&head),
    });
    if let Ok((format, reason)) = &detected {
        notes.push(format!("`{}` is read as {} ({reason})", path.display(), format.id()));
    }
    let format = detected.map(|(format, _)| format);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Found {
        file: FileSpec { path: path.to_owned(), size_bytes, is_gzip, is_text_only: search.is_text_only },
        split: split_of(&[&name]).map(|split| (split, None)),
        name,
        beside: idx::beside(format.as_ref().ok(), path),
        format,
        said_in: Vec::new(),
        is_split_given: false,
        label: None,
        cells: Cells::default(),
        parent: None,
    }
}

/// The folders that lead to a file.
fn folders_of(name: &str) -> Vec<&str> {
    let mut components: Vec<&str> = name.split('/').collect();
    components.pop();
    components
}

/// The split that a path shows; MNIST calls its test files `t10k`.
pub(crate) fn split_of(components: &[&str]) -> Option<String> {
    let is_mnist_test = |name: &&str| name.starts_with("t10k-");
    splits::of_path(components).or_else(|| components.last().filter(|it| is_mnist_test(it)).map(|_| "test".to_owned()))
}

/// Whether folders name labels: there is more than one name, and all files lie equally deep.
pub(crate) fn name_labels<'a>(parents: impl Iterator<Item = &'a Parent>) -> bool {
    let (names, depths): (BTreeSet<&String>, BTreeSet<usize>) = parents.map(|it| (&it.0, it.1)).unzip();
    1 < names.len() && depths.len() == 1 && !depths.contains(&0)
}

/// Takes the folders of single files as labels: more than one name, all files equally deep, no metadata.
///
/// The rule is that of Hugging Face's `ImageFolder` (`folder_based_builder.py`).
fn label_by_folder(found: &mut [Found], notes: &mut Vec<String>) {
    let parents = || found.iter().filter_map(|it| it.parent.as_ref());
    let names: BTreeSet<_> = parents().map(|(name, _)| name.clone()).collect();
    if names.len() < 2 {
        return;
    }
    if !name_labels(parents()) {
        notes.push("no labels: folders name labels only where all files lie equally deep in one".to_owned());
        return;
    }
    let names: Vec<_> = names.into_iter().collect();
    notes.push(format!("labels: the names of {} folders ({})", names.len(), some(&names)));
    for file in found {
        file.label = file.parent.as_ref().map(|(name, _)| name.clone());
    }
}

fn note_splits(found: &[Found], notes: &mut Vec<String>) {
    let mut n_files: BTreeMap<&str, usize> = BTreeMap::new();
    let mut n_unnamed = 0;
    for file in found.iter().filter(|it| !it.is_split_given) {
        match &file.split {
            Some((name, _)) => *n_files.entry(name).or_default() += 1,
            None => n_unnamed += 1,
        }
    }
    if n_files.is_empty() {
        return;
    }
    let counts: Vec<_> = n_files.iter().map(|(name, n)| format!("{name} ({})", count(*n, "file", "files"))).collect();
    notes.push(format!("splits by the names of folders and files: {}", counts.join(", ")));
    if 0 < n_unnamed {
        let n = count(n_unnamed, "file shows", "files show");
        notes.push(format!("{n} no split by name and count as `{}`", splits::DEFAULT));
    }
}

/// Files of the same name get their whole path.
fn tell_names_apart(found: &mut [Found]) {
    let mut n_files: BTreeMap<String, usize> = BTreeMap::new();
    for file in found.iter() {
        *n_files.entry(file.name.clone()).or_default() += 1;
    }
    for file in found {
        if n_files.get(&file.name).is_some_and(|n| 1 < *n) {
            file.name = file.file.path.to_string_lossy().into_owned();
        }
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The first few of some names.
pub(crate) fn some(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = if shown.len() < names.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
