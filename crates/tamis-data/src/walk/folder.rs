//! What a folder is read as, and the files of it that are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Found, Parent, Search, count, inaccessible, some, split_of};
use crate::error::ReadError;
use crate::formats::{self, FileSpec, Format, Head, idx};
use crate::metadata::{self, Beside, Cells};
use crate::splits;

/// Tables of a folder that are looked at for images: enough for one a split.
const LOOKED_AT_TABLES: usize = 8;

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
    images: Vec<String>,
    tables: Vec<String>,
    other: Vec<String>,
}

/// What the beginning of an entry shows.
struct Look {
    entry: Entry,
    head: Result<(Result<&'static dyn Format, String>, Traits), String>,
}

#[derive(Clone, Copy)]
struct Traits {
    kind: Kind,
    is_binary: bool,
    is_gzip: bool,
}

/// What a file of a folder is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Image,
    Other,
}

/// The files of a folder: its tables, its images or its text files.
pub(super) fn folder(root: &Path, search: Search, notes: &mut Vec<String>) -> Result<Vec<Found>, ReadError> {
    let mut left_out = LeftOut::default();
    let entries = list(root, &mut left_out)?;
    let n_entries = entries.len();
    let looks: Vec<Look> = entries.into_par_iter().map(look).collect();
    let kind = match search.forced {
        Some(format) => FolderKind::Forced(format),
        None => FolderKind::of(&looks, search.is_text_only),
    };
    let (mut found, what) = match kind {
        FolderKind::Forced(format) => {
            (forced_files(looks, format, &mut left_out, notes), format!("read as {} (given)", format.id()))
        }
        FolderKind::Tables => tables(looks, &mut left_out),
        FolderKind::Images => {
            (image_files(looks, &mut left_out, notes), "read as image-files (one sample a file)".into())
        }
        FolderKind::Texts => {
            (text_files(looks, &mut left_out), "read as text-files (one sample a file: it holds no tables)".into())
        }
    };
    if found.is_empty() {
        let looked_for = match search.forced {
            Some(format) => format!("looked for {}", format.summary()),
            None => "looked for tables (.parquet .jsonl .ndjson .csv .tsv, idx), image files and text files".to_owned(),
        };
        let there = match n_entries {
            0 => "found no file".to_owned(),
            n => format!("found {}, all of them binary or of another kind", count(n, "file", "files")),
        };
        let what = format!("{looked_for}, {there}");
        return Err(ReadError::NothingToRead { path: root.to_owned(), what, found_files: n_entries != 0 });
    }
    for file in &mut found {
        file.file.is_text_only = search.is_text_only;
    }
    notes.push(format!("`{}`: {} {what}", root.display(), count(found.len(), "file", "files")));
    left_out.note(root, notes);
    Ok(found)
}

/// What the files of a folder are.
#[derive(Clone, Copy, Debug)]
enum FolderKind {
    Forced(&'static dyn Format),
    Tables,
    Images,
    Texts,
}

impl FolderKind {
    /// Metadata beside images makes them images; tables come next, unless none holds or names an image and there are more
    /// images than rows; then what there is more of.
    fn of(looks: &[Look], is_text_only: bool) -> Self {
        let n_images = looks.iter().filter(|it| it.is_image()).count();
        let tables: Vec<&Look> = looks.iter().filter(|it| it.is_table()).collect();
        if is_text_only || n_images == 0 {
            return if tables.is_empty() { Self::Texts } else { Self::Tables };
        }
        let beside: Vec<Beside> = tables.iter().take(LOOKED_AT_TABLES).map(|it| it.beside()).collect();
        if beside.iter().any(|it| it.is_metadata) {
            return Self::Images;
        }
        if !beside.is_empty() {
            let n_rows: usize = beside.iter().map(|it| it.n_rows).sum();
            let holds_images = beside.iter().any(|it| it.holds_images);
            return if holds_images || n_images <= n_rows { Self::Tables } else { Self::Images };
        }
        let n_texts = looks.iter().filter(|it| it.is_text()).count();
        if n_texts <= n_images { Self::Images } else { Self::Texts }
    }
}

impl Look {
    fn is_table(&self) -> bool {
        match &self.head {
            Ok((_, traits)) => traits.kind == Kind::Table,
            // A file that cannot be opened is what its name says.
            Err(_) => {
                let extension = self.entry.extension();
                extension != "json" && formats::by_extension(&extension).is_some_and(Format::is_table)
            }
        }
    }

    fn is_image(&self) -> bool {
        match &self.head {
            Ok((_, traits)) => traits.kind == Kind::Image,
            Err(_) => crate::image::kind_by_extension(&self.entry.extension()).is_some(),
        }
    }

    fn is_text(&self) -> bool {
        matches!(&self.head, Ok((_, traits)) if !traits.is_binary && !traits.is_gzip && traits.kind != Kind::Image)
    }

    /// What a table is to the images beside it.
    fn beside(&self) -> Beside {
        let Ok((Ok(format), traits)) = &self.head else { return Beside::default() };
        let file = FileSpec {
            path: self.entry.path.clone(),
            size_bytes: self.entry.size_bytes,
            is_gzip: traits.is_gzip,
            is_text_only: false,
        };
        metadata::look(&self.entry.name, *format, &file)
    }

    fn found(self, format: Result<&'static dyn Format, String>) -> Found {
        let is_gzip = self.head.as_ref().is_ok_and(|(_, traits)| traits.is_gzip);
        let split = split_of(&self.entry.components()).map(|split| (split, None));
        Found {
            beside: idx::beside(format.as_ref().ok(), &self.entry.path),
            file: FileSpec { path: self.entry.path, size_bytes: self.entry.size_bytes, is_gzip, is_text_only: false },
            name: self.entry.name,
            format,
            split,
            is_split_given: false,
            label: None,
            cells: Cells::default(),
            said_in: Vec::new(),
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
        let kind = match (is_table, head.is_image()) {
            (true, _) => Kind::Table,
            (false, true) => Kind::Image,
            (false, false) => Kind::Other,
        };
        let traits = Traits { kind, is_binary: head.is_binary(), is_gzip: head.is_gzip };
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
            let names = if look.is_image() { &mut left_out.images } else { &mut left_out.other };
            if !idx::is_labels_name(&look.entry.name) {
                names.push(look.entry.name);
            }
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
    one_sample_each(texts, formats::TEXT_FILES)
}

fn image_files(looks: Vec<Look>, left_out: &mut LeftOut, notes: &mut Vec<String>) -> Vec<Found> {
    let (images, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(Look::is_image);
    let is_metadata = |it: &Look| it.is_table() && metadata::is_metadata_name(&it.entry.name);
    let (metadata, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_metadata);
    let (tables, others): (Vec<_>, Vec<_>) = others.into_iter().partition(Look::is_table);
    left_out.tables.extend(tables.into_iter().map(|it| it.entry.name));
    left_out.other.extend(others.into_iter().map(|it| it.entry.name));
    let mut found = one_sample_each(images, formats::IMAGE_FILES);
    for look in metadata {
        let format = look.head.as_ref().map_err(Clone::clone).and_then(|(format, _)| format.clone());
        let table = look.found(format);
        let said = metadata::read(&table);
        metadata::join(&mut found, &table, said, notes);
    }
    found
}

/// Files that are one sample each, with what their folders say of split and label.
fn one_sample_each(looks: Vec<Look>, format: &'static dyn Format) -> Vec<Found> {
    let names: Vec<String> = looks.iter().map(|it| it.entry.name.clone()).collect();
    let found = looks.into_iter().zip(said_by_names(&names)).map(|(look, (split, parent))| {
        let format = match &look.head {
            Ok(_) => Ok(format),
            Err(reason) => Err(reason.clone()),
        };
        let split = split.map(|split| (split, None));
        Found { parent: Some(parent), split, ..look.found(format) }
    });
    found.collect()
}

/// What the names of files that are one sample each say: the split, and the folder that may name the label.
pub(crate) fn said_by_names(names: &[String]) -> Vec<(Option<String>, Parent)> {
    let components = |name: &String| name.split('/').map(str::to_owned).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = names.iter().map(components).collect();
    let all: Vec<Vec<&str>> = all.iter().map(|it| it.iter().map(String::as_str).collect()).collect();
    // A word like "test" in the name of a single file is no split, unless every name has one.
    let are_all_named = all.iter().all(|it| splits::of_path(it).is_some());
    let said = all.iter().map(|components| {
        let folders = &components[..components.len() - 1];
        let classes: Vec<_> = folders.iter().filter(|it| !splits::is_split_folder(it)).collect();
        let parent = classes.last().map(|it| ((**it).to_owned(), classes.len()));
        let split = match are_all_named {
            true => split_of(components),
            false => splits::of_folders(folders).map(str::to_owned),
        };
        (split, parent.unwrap_or_default())
    });
    said.collect()
}

fn forced_files(
    looks: Vec<Look>,
    format: &'static dyn Format,
    left_out: &mut LeftOut,
    notes: &mut Vec<String>,
) -> Vec<Found> {
    if format.id() == formats::TEXT_FILES.id() {
        return text_files(looks, left_out);
    }
    if format.id() == formats::IMAGE_FILES.id() {
        return image_files(looks, left_out, notes);
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

/// What a folder holds that may belong to the dataset.
pub(crate) struct AllFiles {
    /// All files, read or not, with their names relative to the folder: none that are hidden, linked folders or audits.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// What is none of them. Sentences.
    pub(crate) left_out: Vec<String>,
}

/// Lists a folder for somebody who takes over what is no part of the dataset, too.
pub(crate) fn all_files(root: &Path) -> Result<AllFiles, ReadError> {
    let mut left_out = LeftOut::default();
    let entries = list(root, &mut left_out)?;
    let other = std::mem::take(&mut left_out.other).into_iter();
    let others = std::mem::take(&mut left_out.about).into_iter().chain(other).map(|name| (root.join(&name), name));
    let files = entries.into_iter().map(|it| (it.path, it.name)).chain(others).collect();
    let counts = left_out.counts();
    let note = |(n, what): (usize, &str)| {
        let n = count(n, "entry does", "entries do");
        format!("`{}`: {n} not come along, {what}", root.display())
    };
    Ok(AllFiles { files, left_out: counts.into_iter().filter(|it| 0 < it.0).map(note).collect() })
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
        let is_record =
            || ["audit.json", "samples.parquet"].iter().all(|it| names.contains(it.as_ref() as &std::ffi::OsStr));
        // A run that was killed leaves no record, but a store.
        if !prefix.is_empty() && (is_record() || folder.join("store").join("lock").is_file()) {
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
        // What `tamis apply` says of the folder it made.
        crate::rewrite::MANIFEST,
    ];
    ignored.contains(&file) || file == name && (name.starts_with("LICENSE") || name == "README")
}

impl LeftOut {
    fn counts(&self) -> [(usize, &'static str); 3] {
        [(self.hidden, "hidden"), (self.linked_folders, "links to folders"), (self.audits, "audits")]
    }

    fn note(&self, root: &Path, notes: &mut Vec<String>) {
        let mut note = |names: &[String], why: &str| {
            if !names.is_empty() {
                let n = count(names.len(), "file", "files");
                notes.push(format!("`{}`: {n} left out, {why}: {}", root.display(), some(names)));
            }
        };
        note(&self.about, "about the data");
        note(&self.binary, "binary");
        note(&self.images, "read only where a table names them");
        note(&self.tables, "tables that name no image; give them by their own path to audit them");
        note(&self.other, "of other formats");
        for (n, what) in self.counts() {
            if 0 < n {
                let n = count(n, "entry", "entries");
                notes.push(format!("`{}`: {n} left out, {what}", root.display()));
            }
        }
    }
}
