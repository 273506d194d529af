//! From the paths that were given to the files that are read, each with its format, split and label.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tamis_core::SplitRole;

use crate::error::ReadError;
use crate::formats::{self, FileSpec, Format, Head};
use crate::reader::Input;
use crate::splits;

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
    /// The folder that may name its label, and how deep it lies.
    parent: Option<(String, usize)>,
}

impl Found {
    /// Whether rows have named columns; a file that cannot be opened counts as none.
    pub(crate) fn is_table(&self) -> bool {
        self.format.as_ref().is_ok_and(|it| it.is_table())
    }
}

/// Finds the files of all inputs, in reading order, and says what was inferred.
///
/// # Errors
/// When a path is missing or a folder holds nothing to read.
pub(crate) fn find(
    inputs: &[Input],
    forced: Option<&'static dyn Format>,
) -> Result<(Vec<Found>, Vec<String>), ReadError> {
    let mut found = Vec::new();
    let mut notes = Vec::new();
    for input in inputs {
        let metadata = fs::metadata(&input.path).map_err(|error| inaccessible(&input.path, error))?;
        let mut files = if metadata.is_dir() {
            folder(&input.path, forced, &mut notes)?
        } else if metadata.is_file() {
            vec![single(&input.path, metadata.len(), forced, &mut notes)]
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
fn single(path: &Path, size_bytes: u64, forced: Option<&'static dyn Format>, notes: &mut Vec<String>) -> Found {
    let head = Head::read(path).map_err(|error| formats::io_reason(&error));
    let is_gzip = head.as_ref().is_ok_and(|it| it.is_gzip);
    let detected = head.and_then(|head| match forced {
        Some(format) => Ok((format, "given".to_owned())),
        None => formats::detect(&head),
    });
    if let Ok((format, reason)) = &detected {
        notes.push(format!("`{}` is read as {} ({reason})", path.display(), format.id()));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Found {
        file: FileSpec { path: path.to_owned(), size_bytes, is_gzip },
        split: splits::of_path(&[&name]).map(|split| (split, None)),
        name,
        format: detected.map(|(format, _)| format),
        is_split_given: false,
        label: None,
        parent: None,
    }
}

/// Something found in a folder.
struct Entry {
    path: PathBuf,
    /// Relative to the root, `/` between components.
    name: String,
    size_bytes: u64,
    /// Why it cannot be read, where that is known already.
    problem: Option<String>,
}

impl Entry {
    fn components(&self) -> Vec<&str> {
        self.name.split('/').collect()
    }

    fn extension(&self) -> String {
        formats::extension(&self.path)
    }
}

/// What in a folder is not read.
#[derive(Default)]
struct LeftOut {
    hidden: usize,
    linked_folders: usize,
    audits: usize,
    about: Vec<String>,
    binary: Vec<String>,
    other: Vec<String>,
}

/// What the beginning of an entry shows.
struct Look {
    entry: Entry,
    head: Result<(Result<&'static dyn Format, String>, Traits), String>,
}

#[derive(Clone, Copy)]
struct Traits {
    is_table: bool,
    is_binary: bool,
    is_gzip: bool,
}

/// The files of a folder: its tables, or else its text files.
fn folder(root: &Path, forced: Option<&'static dyn Format>, notes: &mut Vec<String>) -> Result<Vec<Found>, ReadError> {
    let mut left_out = LeftOut::default();
    let entries = list(root, &mut left_out)?;
    let n_entries = entries.len();
    let looks: Vec<Look> = entries.into_par_iter().map(look).collect();
    let (found, what) = match forced {
        Some(format) => (forced_files(looks, format, &mut left_out), format!("read as {} (given)", format.id())),
        None if looks.iter().any(Look::is_table) => tables(looks, &mut left_out),
        None => (text_files(looks, &mut left_out), "read as text-files (one sample a file: it holds no tables)".into()),
    };
    if found.is_empty() {
        let looked_for = match forced {
            Some(format) => format!("looked for {}", format.summary()),
            None => "looked for tables (.parquet .jsonl .ndjson .csv .tsv) and text files".to_owned(),
        };
        let there = match n_entries {
            0 => "found no file".to_owned(),
            n => format!("found {}, all of them binary or of another kind", count(n, "file", "files")),
        };
        let what = format!("{looked_for}, {there}");
        return Err(ReadError::NothingToRead { path: root.to_owned(), what, found_files: n_entries != 0 });
    }
    notes.push(format!("`{}`: {} {what}", root.display(), count(found.len(), "file", "files")));
    left_out.note(root, notes);
    Ok(found)
}

impl Look {
    fn is_table(&self) -> bool {
        match &self.head {
            Ok((_, traits)) => traits.is_table,
            // A file that cannot be opened is what its name says.
            Err(_) => {
                let extension = self.entry.extension();
                extension != "json" && formats::by_extension(&extension).is_some_and(Format::is_table)
            }
        }
    }

    fn found(self, format: Result<&'static dyn Format, String>) -> Found {
        let is_gzip = self.head.as_ref().is_ok_and(|(_, traits)| traits.is_gzip);
        let split = splits::of_path(&self.entry.components()).map(|split| (split, None));
        Found {
            file: FileSpec { path: self.entry.path, size_bytes: self.entry.size_bytes, is_gzip },
            name: self.entry.name,
            format,
            split,
            is_split_given: false,
            label: None,
            parent: None,
        }
    }
}

fn look(entry: Entry) -> Look {
    let head = match &entry.problem {
        Some(problem) => Err(problem.clone()),
        None => Head::read(&entry.path).map_err(|error| formats::io_reason(&error)),
    };
    let head = head.map(|head| {
        let is_table = formats::table_in_folder(&head);
        let traits = Traits { is_table, is_binary: head.is_binary(), is_gzip: head.is_gzip };
        let format = if is_table { formats::detect(&head).map(|(format, _)| format) } else { Err(String::new()) };
        (format, traits)
    });
    Look { entry, head }
}

fn tables(looks: Vec<Look>, left_out: &mut LeftOut) -> (Vec<Found>, String) {
    let mut found = Vec::new();
    let mut by_format: BTreeMap<&str, usize> = BTreeMap::new();
    for look in looks {
        if !look.is_table() {
            left_out.other.push(look.entry.name);
            continue;
        }
        let format = match &look.head {
            Ok((format, _)) => format.clone(),
            Err(reason) => Err(reason.clone()),
        };
        *by_format.entry(format.as_ref().map_or("nothing", |it| it.id())).or_default() += 1;
        found.push(look.found(format));
    }
    let counts: Vec<_> = by_format.iter().map(|(id, n)| format!("{n} as {id}")).collect();
    (found, format!("read by content and extension ({})", counts.join(", ")))
}

fn text_files(looks: Vec<Look>, left_out: &mut LeftOut) -> Vec<Found> {
    let is_text = |it: &Look| !matches!(&it.head, Ok((_, traits)) if traits.is_binary || traits.is_gzip);
    let (texts, binary): (Vec<_>, Vec<_>) = looks.into_iter().partition(is_text);
    left_out.binary.extend(binary.into_iter().map(|it| it.entry.name));
    // A word like "test" in the name of a single text is no split, unless every name has one.
    let is_named = |it: &Look| splits::of_path(&it.entry.components()).is_some();
    let are_all_named = texts.iter().all(is_named);
    let found = texts.into_iter().map(|look| {
        let components = look.entry.components();
        let folders = &components[..components.len() - 1];
        let classes: Vec<_> = folders.iter().filter(|it| !splits::is_split_folder(it)).collect();
        let parent = classes.last().map(|it| ((**it).to_owned(), classes.len()));
        let split = splits::of_folders(folders).map(|split| (split.to_owned(), None));
        let format = match &look.head {
            Ok(_) => Ok(formats::TEXT_FILES),
            Err(reason) => Err(reason.clone()),
        };
        let mut found = look.found(format);
        found.parent = Some(parent.unwrap_or_default());
        if !are_all_named {
            found.split = split;
        }
        found
    });
    found.collect()
}

fn forced_files(looks: Vec<Look>, format: &'static dyn Format, left_out: &mut LeftOut) -> Vec<Found> {
    if format.id() == formats::TEXT_FILES.id() {
        return text_files(looks, left_out);
    }
    let fits = |it: &Look| format.extensions().contains(&it.entry.extension().as_str());
    let any_fits = looks.iter().any(fits);
    let (chosen, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|it| !any_fits || fits(it));
    left_out.other.extend(others.into_iter().map(|it| it.entry.name));
    let found = chosen.into_iter().map(|look| {
        let format = match &look.head {
            Ok(_) => Ok(format),
            Err(reason) => Err(reason.clone()),
        };
        look.found(format)
    });
    found.collect()
}

/// Lists a folder and all below it, sorted by the bytes of the names.
fn list(root: &Path, left_out: &mut LeftOut) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let listed = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) if prefix.is_empty() => return Err(inaccessible(root, error)),
            Err(error) => {
                let name = prefix.trim_end_matches('/').to_owned();
                let problem = Some(formats::io_reason(&error).replace("file", "folder"));
                entries.push(Entry { path: folder, name, size_bytes: 0, problem });
                continue;
            }
        };
        let names: BTreeSet<_> = listed.iter().map(fs::DirEntry::file_name).collect();
        if !prefix.is_empty()
            && ["audit.json", "samples.parquet"].iter().all(|it| names.contains(it.as_ref() as &std::ffi::OsStr))
        {
            left_out.audits += 1;
            continue;
        }
        for entry in listed {
            let name = entry.file_name().to_string_lossy().into_owned();
            let (path, relative) = (entry.path(), format!("{prefix}{name}"));
            let is_link = entry.file_type().is_ok_and(|it| it.is_symlink());
            match fs::metadata(&path) {
                _ if name.starts_with('.') => left_out.hidden += 1,
                Ok(it) if it.is_dir() && is_link => left_out.linked_folders += 1,
                Ok(it) if it.is_dir() && name == "tamis-out" => left_out.audits += 1,
                Ok(it) if it.is_dir() => folders.push((path, format!("{relative}/"))),
                Ok(it) if it.is_file() => {
                    entries.push(Entry { path, name: relative, size_bytes: it.len(), problem: None });
                }
                Ok(_) => left_out.other.push(relative),
                Err(error) => {
                    let problem = Some(formats::io_reason(&error));
                    entries.push(Entry { path, name: relative, size_bytes: 0, problem });
                }
            }
        }
    }
    entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    if entries.iter().any(|it| !is_about(&it.name)) {
        let (about, kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|it| is_about(&it.name));
        left_out.about.extend(about.into_iter().map(|it| it.name));
        return Ok(kept);
    }
    Ok(entries)
}

/// Whether a file is about the dataset and no part of it.
///
/// The names are those of `datasets/data_files.py` (`FILES_TO_IGNORE`), and the license at the top.
fn is_about(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ignored = [
        "README.md",
        "config.json",
        "dataset_info.json",
        "dataset_infos.json",
        "dummy_data.zip",
        "dataset_dict.json",
        "state.json",
    ];
    ignored.contains(&file) || file == name && (name.starts_with("LICENSE") || name == "README")
}

impl LeftOut {
    fn note(&self, root: &Path, notes: &mut Vec<String>) {
        let mut note = |names: &[String], why: &str| {
            if !names.is_empty() {
                let n = count(names.len(), "file", "files");
                notes.push(format!("`{}`: {n} left out, {why}: {}", root.display(), some(names)));
            }
        };
        note(&self.about, "about the data");
        note(&self.binary, "binary");
        note(&self.other, "no tables of these formats");
        for (n, what) in [(self.hidden, "hidden"), (self.linked_folders, "links to folders"), (self.audits, "audits")] {
            if 0 < n {
                let n = count(n, "entry", "entries");
                notes.push(format!("`{}`: {n} left out, {what}", root.display()));
            }
        }
    }
}

/// Takes the folders of text files as labels: more than one name, all files equally deep.
///
/// The rule is that of Hugging Face's `ImageFolder` (`folder_based_builder.py`).
fn label_by_folder(found: &mut [Found], notes: &mut Vec<String>) {
    let parents: Vec<_> = found.iter().filter_map(|it| it.parent.as_ref()).collect();
    let names: BTreeSet<_> = parents.iter().map(|(name, _)| name.clone()).collect();
    let depths: BTreeSet<_> = parents.iter().map(|(_, depth)| *depth).collect();
    if names.len() < 2 {
        return;
    }
    if depths.len() != 1 || depths.contains(&0) {
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
fn some(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let more = if shown.len() < names.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
