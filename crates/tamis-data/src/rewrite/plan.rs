//! What becomes of every file, and what cannot be done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tamis_core::{Dataset, FileId, SampleId, State};

use super::places::{self, Base};
use super::{Change, Edit, Edits, Layout, MANIFEST, Output, Part, Rewrite, RewriteError, Rows};
use crate::formats::FileSpec;
use crate::metadata::{self, FILE_NAME};
use crate::reader::Planned;
use crate::walk::{self, Found};
use crate::writers;

impl Layout {
    /// Says what becomes of every file when `changes`, one for each sample of `dataset`, are made.
    ///
    /// # Errors
    /// When a change cannot be made where the reader found the value; the message names the sample, its file and the mend.
    ///
    /// # Panics
    /// When there is not one change for each sample.
    pub fn plan(&self, dataset: &Dataset, changes: &[Change]) -> Result<Rewrite, RewriteError> {
        assert_eq!(changes.len(), dataset.len(), "because every sample has a change");
        let base = Base::of(&self.traces.inputs)?;
        let mut planner = Planner {
            layout: self,
            dataset,
            base,
            paths: Vec::new(),
            tables: BTreeMap::new(),
            destinations: BTreeMap::new(),
            outputs: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        planner.locate()?;
        let mut relocated = Vec::new();
        for id in dataset.ids() {
            let change = effective(dataset, id, &changes[id.idx()]);
            planner.check_readable(id, &change)?;
            match dataset.sample(id).origin.row {
                Some(row) => planner.row(id, row, change)?,
                None => relocated.extend(planner.file(id, change)?),
            }
        }
        planner.images_of_tables(changes)?;
        planner.other_files()?;
        planner.finish_tables(relocated)
    }
}

/// The parts of a change that change something.
fn effective(dataset: &Dataset, id: SampleId, change: &Change) -> Change {
    let label = change.label.clone().filter(|it| Some(it.as_str()) != dataset.label_name(id));
    let split = change.split.clone().filter(|it| it != dataset.split_name(id));
    Change { is_dropped: change.is_dropped, label, split }
}

/// What becomes of the rows of one table.
struct Draft<'a> {
    found: &'a Found,
    id: Option<FileId>,
    /// Samples in it; zero for metadata.
    n_rows: u64,
    gone: BTreeSet<u64>,
    edits: Edits,
    /// Rows that go to another file.
    moved: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl<'a> Draft<'a> {
    fn new(found: &'a Found, id: Option<FileId>) -> Self {
        let (gone, edits, moved) = (BTreeSet::new(), Edits::new(), BTreeMap::new());
        Self { found, id, n_rows: 0, gone, edits, moved }
    }

    fn edit(&mut self, row: u64, column: &str, value: String) {
        self.edits.entry(row).or_default().push(Edit { column: column.to_owned(), value });
    }
}

/// A file that gets another place, because its place shows what changes.
struct Relocated {
    id: SampleId,
    path: PathBuf,
    split: Option<String>,
}

struct Planner<'a> {
    layout: &'a Layout,
    dataset: &'a Dataset,
    base: Base,
    /// Where each file of the layout comes to lie.
    paths: Vec<PathBuf>,
    /// By path: tables of samples and of metadata.
    tables: BTreeMap<PathBuf, Draft<'a>>,
    /// Where rows of a file go that change to a split.
    destinations: BTreeMap<(u32, String), PathBuf>,
    outputs: BTreeMap<PathBuf, Output>,
    gone: BTreeMap<PathBuf, u64>,
}

impl<'a> Planner<'a> {
    /// Finds the place of every file, each of which has one of its own.
    fn locate(&mut self) -> Result<(), RewriteError> {
        let mut seen = BTreeSet::new();
        for planned in &self.layout.files {
            let path = self.relative(&planned.found.file.path)?;
            if !seen.insert(path.clone()) {
                let what = format!("`{}` is read twice", planned.found.file.path.display());
                return Err(RewriteError::unfit(what, "name every file once, and no folder that holds another input"));
            }
            if planned.found.is_table() || planned.found.format.as_ref().is_ok_and(|it| it.id() == "lines") {
                self.tables.insert(path.clone(), Draft::new(&planned.found, Some(planned.id)));
            }
            for said in &planned.found.said_in {
                let table = self.relative(&said.table.file.path)?;
                self.tables.entry(table).or_insert_with(|| Draft::new(&said.table, None));
            }
            self.paths.push(path);
        }
        Ok(())
    }

    fn relative(&mut self, path: &Path) -> Result<PathBuf, RewriteError> {
        self.base.relative(path).ok_or_else(|| {
            let what = format!("`{}` does not lie below `{}`", path.display(), self.base.folder().display());
            RewriteError::unfit(what, "give the folder that holds all files")
        })
    }

    fn planned(&self, id: SampleId) -> &'a Planned {
        // Files of samples were added first, in the order of the layout.
        &self.layout.files[self.dataset.sample(id).origin.file.0 as usize]
    }

    fn path(&self, id: SampleId) -> &PathBuf {
        &self.paths[self.dataset.sample(id).origin.file.0 as usize]
    }

    /// Only what could be read has a label or a split that can be changed.
    fn check_readable(&self, id: SampleId, change: &Change) -> Result<(), RewriteError> {
        let is_changed = !change.is_dropped && (change.label.is_some() || change.split.is_some());
        match &self.dataset.sample(id).state {
            State::Unreadable(reason) if is_changed => {
                let what = format!("cannot change `{}`, which could not be read: {reason}", self.dataset.key(id));
                Err(RewriteError::unfit(what, "decide to keep or to drop it"))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, id: SampleId, doing: &str, why: &str, hint: &str) -> RewriteError {
        let (key, path) = (self.dataset.key(id), self.dataset.path(id).display());
        let row = self.dataset.sample(id).origin.row.map_or_else(String::new, |row| format!(":{row}"));
        RewriteError::unfit(format!("cannot {doing} `{key}` (`{path}`{row}): {why}"), hint)
    }

    /// A sample that is a row of a table.
    fn row(&mut self, id: SampleId, row: u64, change: Change) -> Result<(), RewriteError> {
        let (planned, path) = (self.planned(id), self.path(id).clone());
        let mut edits = Vec::new();
        let mut destination = None;
        if !change.is_dropped {
            if let Some(label) = change.label {
                let no_column = "its table has no column of labels";
                let hint = "name the column with --label, or leave the label as it is";
                let column = planned.plan.label.as_ref();
                let column = column.ok_or_else(|| self.refused(id, "relabel", no_column, hint))?;
                edits.push((column, label));
            }
            match (change.split, &planned.plan.split) {
                (Some(split), Some(column)) => edits.push((column, self.spelled(split))),
                (Some(split), None) => destination = Some(self.destination(id, &split)?),
                (None, _) => {}
            }
        }
        let Some(draft) = self.tables.get_mut(&path) else {
            return Err(self.refused(id, "write", "its file is no table", "audit the data again"));
        };
        draft.n_rows += 1;
        if change.is_dropped {
            draft.gone.insert(row);
            return Ok(());
        }
        for (column, value) in edits {
            draft.edit(row, column, value);
        }
        if let Some(destination) = destination {
            draft.moved.entry(destination).or_default().insert(row);
        }
        Ok(())
    }

    /// A split as the column spells it.
    fn spelled(&self, split: String) -> String {
        self.layout.traces.split_spellings.get(&split).cloned().unwrap_or(split)
    }

    /// The table that rows of `id`'s file go to that change to `split`.
    fn destination(&mut self, id: SampleId, split: &str) -> Result<PathBuf, RewriteError> {
        let file = self.dataset.sample(id).origin.file.0;
        let key = (file, split.to_owned());
        if let Some(path) = self.destinations.get(&key) {
            return Ok(path.clone());
        }
        let (planned, own) = (self.planned(id), self.path(id).clone());
        let format = |it: &Planned| it.found.format.as_ref().map(|it| it.id()).ok();
        let is_alike = |it: &(&Planned, &PathBuf)| {
            it.0.plan.split.is_none()
                && it.0.found.split.as_ref().is_some_and(|(name, _)| name == split)
                && format(it.0) == format(planned)
        };
        let alike: Vec<_> = self.layout.files.iter().zip(&self.paths).filter(is_alike).collect();
        let of_name = |path: &PathBuf| alike.iter().find(|it| it.1 == path).map(|it| it.1.clone());
        let first = || alike.first().map(|it| it.1.clone());
        let current = self.dataset.split_name(id);
        let path = if planned.found.is_split_given {
            let same = alike.iter().find(|it| it.0.found.name == planned.found.name).map(|it| it.1.clone());
            same.or_else(first)
                .or_else(|| places::in_split(&own, current, split))
                .or_else(|| places::with_split(&own, split))
        } else if planned.found.split.is_some() {
            let shown = places::in_split(&own, current, split);
            shown.as_ref().and_then(of_name).or_else(first).or(shown)
        } else {
            first().or_else(|| places::with_split(&own, split))
        };
        let path = path.ok_or_else(|| self.no_place(id, split))?;
        self.destinations.insert(key, path.clone());
        Ok(path)
    }

    fn no_place(&self, id: SampleId, split: &str) -> RewriteError {
        let why = format!(
            "there is no file of the split `{split}`, and none can be named after its own that would be read as it"
        );
        let hint = "give a file of that split as well, e.g. --test PATH, or take one of train, validation and test";
        self.refused(id, "move", &why, hint)
    }

    /// A sample that is a file; `Some` where it gets another place.
    fn file(&mut self, id: SampleId, change: Change) -> Result<Option<Relocated>, RewriteError> {
        let (planned, path) = (self.planned(id), self.path(id).clone());
        let found = &planned.found;
        if change.is_dropped {
            for said in &found.said_in {
                let table = self.relative(&said.table.file.path)?;
                self.tables.entry(table).and_modify(|it| it.gone.extend(&said.rows));
            }
            // A table that cannot be opened goes as a whole, and so has no rows to write.
            self.tables.remove(&path);
            self.gone.insert(path, 1);
            return Ok(None);
        }
        if !found.file.path.is_file() {
            // What only metadata names stays there.
            return Ok(None);
        }
        if self.tables.remove(&path).is_some() || change.label.is_none() && change.split.is_none() {
            self.carry(path, planned, [1, 1]);
            return Ok(None);
        }
        let mut place = path.clone();
        if let Some(label) = change.label {
            let column = planned.plan.label.as_deref().filter(|it| says(found, it));
            match (column, &found.label) {
                (Some(column), _) => self.edit_metadata(found, column, label)?,
                (None, Some(current)) => {
                    let hint = "rename the class, or leave the label as it is";
                    let moved = places::with_label(&place, current, &label);
                    place = moved.map_err(|why| self.refused(id, "relabel", &why, hint))?;
                }
                (None, None) => {
                    let why = "neither its folder nor metadata says its label";
                    return Err(self.refused(id, "relabel", why, "leave the label as it is"));
                }
            }
        }
        if let Some(split) = &change.split {
            match planned.plan.split.as_deref().filter(|it| says(found, it)) {
                Some(column) => self.edit_metadata(found, column, self.spelled(split.clone()))?,
                None => {
                    let moved = self.file_in_split(id, &place, split);
                    place = moved.ok_or_else(|| self.no_place(id, split))?;
                }
            }
        }
        if place == path {
            self.carry(path, planned, [1, 1]);
            return Ok(None);
        }
        Ok(Some(Relocated { id, path: place, split: change.split }))
    }

    /// Where a file that is a sample goes when its split changes.
    fn file_in_split(&mut self, id: SampleId, place: &Path, split: &str) -> Option<PathBuf> {
        let found = &self.planned(id).found;
        let current = self.dataset.split_name(id);
        if found.is_split_given {
            let root_of = |is_meant: &dyn Fn(&crate::reader::Input) -> bool| {
                self.layout.traces.inputs.iter().find(|it| it.path.is_dir() && is_meant(it)).map(|it| it.path.clone())
            };
            let own = root_of(&|it| found.file.path.starts_with(&it.path));
            let other = root_of(&|it| it.split.as_ref().is_some_and(|(name, _)| name == split));
            let (Some(own), Some(other)) = (own, other) else {
                return places::in_split(place, current, split).or_else(|| places::below_split(place, split));
            };
            let own = self.base.relative(&own.join("x"))?.parent()?.to_owned();
            let other = self.base.relative(&other.join("x"))?.parent()?.to_owned();
            return Some(other.join(place.strip_prefix(own).ok()?));
        }
        match found.split {
            Some(_) => places::in_split(place, current, split),
            None => places::below_split(place, split),
        }
    }

    /// Changes what metadata says of a file; the last table that names it counts, and of its rows the first.
    fn edit_metadata(&mut self, found: &Found, column: &str, value: String) -> Result<(), RewriteError> {
        let Some(said) = found.said_in.last() else { return Ok(()) };
        let table = self.relative(&said.table.file.path)?;
        self.tables.entry(table).and_modify(|it| it.edit(said.rows[0], column, value));
        Ok(())
    }

    /// Takes a file over as it stands.
    fn carry(&mut self, path: PathBuf, planned: &Planned, rows: [u64; 2]) {
        let blake3 = self.dataset.files()[planned.id.0 as usize].blake3.clone();
        self.outputs.insert(path, carried(planned.found.file.clone(), blake3, rows));
    }

    /// Images that tables name by path come along with the rows that name them.
    fn images_of_tables(&mut self, changes: &[Change]) -> Result<(), RewriteError> {
        let mut named: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for (id, name) in &self.layout.traces.image_paths {
            if Path::new(name).is_absolute() {
                continue;
            }
            let file = self.planned(*id).found.file.folder().join(name);
            let Some(source) = self.base.relative(&file).filter(|_| !name.split(['/', '\\']).any(|it| it == ".."))
            else {
                let why = format!("it names the image `{name}`, which lies outside of what is written");
                return Err(self.refused(*id, "copy", &why, "give the folder that holds the table and its images"));
            };
            let is_kept = !changes[id.idx()].is_dropped;
            *named.entry(source.clone()).or_default() |= is_kept;
            if !is_kept || !file.is_file() {
                continue;
            }
            let change = effective(self.dataset, *id, &changes[id.idx()]);
            let moved = match (change.split, &self.planned(*id).plan.split) {
                (Some(split), None) => Some(self.destination(*id, &split)?),
                _ => None,
            };
            let table = moved.as_ref().unwrap_or(self.path(*id));
            let place = table.parent().unwrap_or(Path::new("")).join(metadata::normalized(name));
            let size_bytes = std::fs::metadata(&file).map_or(0, |it| it.len());
            let spec = FileSpec { path: file, size_bytes, is_gzip: false, is_text_only: false };
            if let Some(other) = self.outputs.get(&place).filter(|it| it.parts[0].file.path != spec.path) {
                let why =
                    format!("`{}` is another file there: `{}`", place.display(), other.parts[0].file.path.display());
                return Err(self.refused(*id, "copy the image of", &why, "give one of the two images another name"));
            }
            self.outputs.insert(place, carried(spec, None, [0, 0]));
        }
        for (source, is_kept) in named {
            if !is_kept {
                self.gone.insert(source, 0);
            }
        }
        Ok(())
    }

    /// Takes over what lies in the folders and is no part of what was read.
    fn other_files(&mut self) -> Result<(), RewriteError> {
        let mut known: BTreeSet<PathBuf> = self.paths.iter().cloned().collect();
        known.extend(self.tables.keys().cloned());
        for planned in &self.layout.files {
            for beside in &planned.found.beside {
                known.extend(self.base.relative(beside));
            }
        }
        for input in self.layout.traces.inputs.iter().filter(|it| it.path.is_dir()) {
            for (file, name) in walk::all_files(&input.path)? {
                let path = self.relative(&file)?;
                let is_other = !known.contains(&path) && !self.gone.contains_key(&path);
                let is_manifest = name.rsplit('/').next() == Some(MANIFEST);
                if !is_other || is_manifest || !file.is_file() || self.outputs.contains_key(&path) {
                    continue;
                }
                let size_bytes = std::fs::metadata(&file).map_or(0, |it| it.len());
                let spec = FileSpec { path: file, size_bytes, is_gzip: false, is_text_only: false };
                self.outputs.insert(path, carried(spec, None, [0, 0]));
            }
        }
        Ok(())
    }

    fn finish_tables(mut self, relocated: Vec<Relocated>) -> Result<Rewrite, RewriteError> {
        for it in relocated {
            self.relocate(it)?;
        }
        let tables = std::mem::take(&mut self.tables);
        for (path, draft) in &tables {
            self.own_rows(path, draft)?;
        }
        for (path, draft) in &tables {
            for (destination, rows) in &draft.moved {
                let (writer, blake3) = self.writer_of(draft)?;
                let file = draft.found.file.clone();
                let edits = draft.edits.iter().filter(|(row, _)| rows.contains(row));
                let edits = edits.map(|(row, edits)| (*row, edits.clone())).collect();
                let n_rows = if draft.id.is_some() { rows.len() as u64 } else { 0 };
                let part = Part { file, blake3, rows: Rows::Only(rows.clone()), edits, n_rows };
                let new = || Output { writer, parts: Vec::new(), rows_in: 0 };
                let output = self.outputs.entry(destination.clone()).or_insert_with(new);
                output.writer = writer;
                output.parts.push(part);
                if path == destination {
                    let what = format!("rows of `{}` would move to it", path.display());
                    return Err(RewriteError::unfit(what, "audit the data again"));
                }
            }
        }
        let Self { mut outputs, mut gone, .. } = self;
        // A table of samples that has none left would be an unreadable file.
        let is_bare =
            |it: &Output| it.writer.is_some() && 0 < it.rows_in && it.parts.iter().all(|part| part.n_rows == 0);
        let bare: Vec<PathBuf> = outputs.iter().filter(|(_, it)| is_bare(it)).map(|(path, _)| path.clone()).collect();
        for path in bare {
            if let Some(output) = outputs.remove(&path) {
                gone.insert(path, output.rows_in);
            }
        }
        gone.retain(|path, _| !outputs.contains_key(path));
        if outputs.values().all(|it| it.parts.iter().all(|part| part.n_rows == 0)) {
            let what = "nothing would be left: every sample is dropped".to_owned();
            return Err(RewriteError::unfit(what, "decide to keep some"));
        }
        Ok(Rewrite { outputs, gone })
    }

    /// The rows of a table that stay in it.
    fn own_rows(&mut self, path: &Path, draft: &Draft<'_>) -> Result<(), RewriteError> {
        let (writer, blake3) = self.writer_of(draft)?;
        let mut gone = draft.gone.clone();
        gone.extend(draft.moved.values().flatten());
        let is_target = self.destinations.values().any(|it| it == path);
        if gone.is_empty() && draft.edits.is_empty() && !is_target {
            let rows = [draft.n_rows, draft.n_rows];
            self.outputs.insert(path.to_owned(), carried(draft.found.file.clone(), blake3, rows));
            for beside in &draft.found.beside {
                let path = self.relative(beside)?;
                let size_bytes = std::fs::metadata(beside).map_or(0, |it| it.len());
                let file = FileSpec { path: beside.clone(), size_bytes, is_gzip: false, is_text_only: false };
                self.outputs.insert(path, carried(file, None, [0, 0]));
            }
            return Ok(());
        }
        let n_rows = if draft.id.is_some() { draft.n_rows.saturating_sub(gone.len() as u64) } else { 0 };
        let edits = draft.edits.iter().filter(|(row, _)| !gone.contains(row));
        let edits = edits.map(|(row, edits)| (*row, edits.clone())).collect();
        let part = Part { file: draft.found.file.clone(), blake3, rows: Rows::AllBut(gone), edits, n_rows };
        self.outputs.insert(path.to_owned(), Output { writer, parts: vec![part], rows_in: draft.n_rows });
        Ok(())
    }

    /// The writer of a table's format, and the hash of the table as it was read.
    fn writer_of(
        &self,
        draft: &Draft<'_>,
    ) -> Result<(Option<&'static dyn writers::Writer>, Option<String>), RewriteError> {
        let blake3 = draft.id.and_then(|id| self.dataset.files()[id.0 as usize].blake3.clone());
        let id = draft.found.format.as_ref().map_or("", |it| it.id());
        let writer = writers::by_id(id).ok_or_else(|| {
            let what = format!("there is no writer for `{}`", draft.found.file.path.display());
            RewriteError::unfit(what, "leave this file out")
        })?;
        Ok((Some(writer), blake3))
    }

    /// Gives a file its new place, with a number where that is taken, and lets metadata follow.
    fn relocate(&mut self, it: Relocated) -> Result<(), RewriteError> {
        let planned = self.planned(it.id);
        let mut place = it.path.clone();
        let mut n = 2;
        while self.outputs.contains_key(&place) || self.tables.contains_key(&place) {
            place = places::numbered(&it.path, n);
            n += 1;
        }
        if let Some(said) = planned.found.said_in.last() {
            if 1 < planned.found.said_in.len() {
                let why = "several tables of metadata name it";
                return Err(self.refused(it.id, "move", why, "leave one row that names it"));
            }
            let own = self.relative(&said.table.file.path)?;
            let current = self.dataset.split_name(it.id);
            // Metadata in the folder of a split goes to that of the other split.
            let table = it.split.as_ref().and_then(|split| {
                let moved = places::in_split(&own, current, split)?;
                (moved.parent() != own.parent()).then_some(moved)
            });
            let table = table.unwrap_or_else(|| own.clone());
            let folder = table.parent().unwrap_or(Path::new(""));
            let name = place.strip_prefix(folder).ok().and_then(places::names).map(|it| it.join("/"));
            let Some(name) = name else {
                let why = format!("the metadata in `{}` could no longer name it", table.display());
                return Err(self.refused(it.id, "move", &why, "put the metadata into the folder above"));
            };
            let old_name = self.path(it.id).strip_prefix(own.parent().unwrap_or(Path::new(""))).ok();
            let old_name = old_name.and_then(places::names).map(|it| it.join("/"));
            let draft = self.tables.get_mut(&own);
            let draft = draft.expect("because every table of metadata has a draft");
            let row = said.rows[0];
            if old_name != Some(name.clone()) {
                draft.edit(row, FILE_NAME, name);
            }
            if table != own {
                draft.gone.extend(&said.rows[1..]);
                draft.moved.entry(table.clone()).or_default().insert(row);
                // Counted as a target, so that a table there is written and not carried over.
                let key = (u32::MAX, table.to_string_lossy().into_owned());
                self.destinations.insert(key, table);
            }
        }
        self.gone.insert(self.path(it.id).clone(), 1);
        self.carry(place, planned, [0, 1]);
        Ok(())
    }
}

/// Whether metadata has a column that says something of the file.
fn says(found: &Found, column: &str) -> bool {
    !found.said_in.is_empty() && found.cells.iter().any(|(name, _)| **name == *column)
}

/// A file that comes over as it stands, with its samples at this place before and after.
fn carried(file: FileSpec, blake3: Option<String>, [rows_in, n_rows]: [u64; 2]) -> Output {
    let part = Part { file, blake3, rows: Rows::AllBut(BTreeSet::new()), edits: Edits::new(), n_rows };
    Output { writer: None, parts: vec![part], rows_in }
}
