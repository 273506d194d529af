//! What becomes of every file, and what cannot be done.

mod finish;

mod images;

mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tamis_core::{Dataset, FileId, SampleId, State};

use super::places::{self, Base};
use super::{Change, Edit, Edits, Layout, MANIFEST, Naming, Output, Part, Rewrite, RewriteError, Rows};
use crate::formats::FileSpec;
use crate::reader::Planned;
use crate::splits;
use crate::walk::{self, Found};

impl Layout {
    /// Says what becomes of every file when `changes`, one for each sample of `dataset`, are made.
    ///
    /// # Errors
    /// When a change cannot be made where the reader found the value; the message names the sample, its file and the mend.
    ///
    /// # Panics
    /// When there is not one change for each sample.
    pub fn plan(&self, dataset: &Dataset, changes: &[Change], naming: Naming) -> Result<Rewrite, RewriteError> {
        assert_eq!(changes.len(), dataset.len(), "because every sample has a change");
        let changes: Vec<Change> = dataset.ids().map(|id| effective(dataset, id, &changes[id.idx()])).collect();
        let hashes = dataset.files().iter().filter_map(|it| Some((it.path.as_path(), it.blake3.as_deref()?)));
        let mut planner = Planner {
            layout: self,
            dataset,
            hashes: hashes.collect(),
            base: Base::of(&self.traces.inputs)?,
            paths: Vec::new(),
            homes: Vec::new(),
            tables: BTreeMap::new(),
            destinations: BTreeMap::new(),
            targets: BTreeSet::new(),
            places: Vec::new(),
            outputs: BTreeMap::new(),
            gone: BTreeMap::new(),
            notes: Vec::new(),
        };
        planner.locate(naming)?;
        let mut relocated = Vec::new();
        for id in dataset.ids() {
            let change = &changes[id.idx()];
            planner.check_readable(id, change)?;
            match dataset.sample(id).origin.row {
                Some(row) => planner.row(id, row, change.clone())?,
                None => relocated.extend(planner.file(id, change.clone())?),
            }
        }
        let moved = planner.images(&changes)?;
        planner.other_files()?;
        planner.move_images(moved)?;
        for it in relocated {
            planner.relocate(it)?;
        }
        planner.finish(&changes)
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
    /// Where what stays comes to lie.
    home: PathBuf,
    /// Samples in it; zero for metadata.
    n_rows: u64,
    /// Rows of metadata that name a file.
    said: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    edits: Edits,
    /// Rows that go to another file.
    moved: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl<'a> Draft<'a> {
    fn new(found: &'a Found, id: Option<FileId>, home: PathBuf) -> Self {
        let (said, gone, edits, moved) = (BTreeSet::new(), BTreeSet::new(), Edits::new(), BTreeMap::new());
        Self { found, id, home, n_rows: 0, said, gone, edits, moved }
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
    /// Hashes of the files as they were read.
    hashes: HashMap<&'a Path, &'a str>,
    base: Base,
    /// Where each file of the layout lies.
    paths: Vec<PathBuf>,
    /// Where what stays of it comes to lie.
    homes: Vec<PathBuf>,
    /// By path: tables of samples and of metadata.
    tables: BTreeMap<PathBuf, Draft<'a>>,
    /// Where rows of a file go that change to a split.
    destinations: BTreeMap<(u32, String), PathBuf>,
    /// All tables that rows of other tables go to.
    targets: BTreeSet<PathBuf>,
    /// Where files come to lie that are one sample each.
    places: Vec<(SampleId, PathBuf)>,
    outputs: BTreeMap<PathBuf, Output>,
    gone: BTreeMap<PathBuf, u64>,
    notes: Vec<String>,
}

impl<'a> Planner<'a> {
    /// Finds the place of every file, each of which has one of its own.
    fn locate(&mut self, naming: Naming) -> Result<(), RewriteError> {
        let mut seen = BTreeSet::new();
        for planned in &self.layout.files {
            let path = self.relative(&planned.found.file.path)?;
            if !seen.insert(path.clone()) {
                let what = format!("`{}` is read twice", planned.found.file.path.display());
                return Err(RewriteError::unfit(what, "name every file once, and no folder that holds another input"));
            }
            self.paths.push(path);
        }
        for (planned, path) in self.layout.files.iter().zip(&self.paths) {
            let is_of_rows =
                planned.found.is_table() || planned.found.format.as_ref().is_ok_and(|it| it.id() == "lines");
            let mut home = path.clone();
            if naming == Naming::EverySplit && !shows_split(planned) {
                let named = match is_of_rows {
                    true => places::with_split(path, splits::DEFAULT),
                    false => places::below_split(path, splits::DEFAULT),
                };
                home = named.map_or(home, |it| places::free(&it, |it| seen.contains(it)));
                seen.insert(home.clone());
            }
            if is_of_rows {
                self.tables.insert(path.clone(), Draft::new(&planned.found, Some(planned.id), home.clone()));
            }
            self.homes.push(home);
        }
        for said in self.layout.files.iter().flat_map(|it| &it.found.said_in) {
            let table = self.relative(&said.table.file.path)?;
            let new = || Draft::new(&said.table, None, table.clone());
            self.tables.entry(table.clone()).or_insert_with(new).said.extend(&said.rows);
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

    fn home(&self, id: SampleId) -> &PathBuf {
        &self.homes[self.dataset.sample(id).origin.file.0 as usize]
    }

    /// A file that comes over as it stands, with its samples at this place before and after.
    fn carried(&self, file: FileSpec, blake3: Option<String>, [rows_in, n_rows]: [u64; 2]) -> Output {
        let blake3 = blake3.or_else(|| self.hash_of(&file.path));
        let rows = Rows::AllBut(BTreeSet::new());
        let part = Part { file, blake3, beside: Vec::new(), rows, edits: Edits::new(), n_rows };
        Output { writer: None, parts: vec![part], rows_in }
    }

    /// The hash of a file as it was read; `None` where it was not.
    fn hash_of(&self, path: &Path) -> Option<String> {
        self.hashes.get(path).map(|it| (*it).to_owned())
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
        self.targets.insert(path.clone());
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
        let home = self.home(id).clone();
        if self.tables.remove(&path).is_some() || change.label.is_none() && change.split.is_none() && home == path {
            self.carry(id, path, [1, 1]);
            return Ok(None);
        }
        // Where a new split is shown, it is shown in the place of none.
        let mut place = if change.split.is_some() { path.clone() } else { home };
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
            self.carry(id, path, [1, 1]);
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
    fn carry(&mut self, id: SampleId, place: PathBuf, rows: [u64; 2]) {
        let output = self.carried(self.planned(id).found.file.clone(), None, rows);
        self.places.push((id, place.clone()));
        self.outputs.insert(place, output);
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
            let all = walk::all_files(&input.path)?;
            self.notes.extend(all.left_out);
            let mut unusual = Vec::new();
            for (file, name) in all.files {
                let path = self.relative(&file)?;
                let is_other = !known.contains(&path) && !self.gone.contains_key(&path);
                let is_manifest = name.rsplit('/').next() == Some(MANIFEST);
                if !is_other || is_manifest || self.outputs.contains_key(&path) {
                    continue;
                }
                if !file.is_file() {
                    unusual.push(name);
                    continue;
                }
                let output = self.carried(other_file(file), None, [0, 0]);
                self.outputs.insert(path, output);
            }
            if !unusual.is_empty() {
                let n = walk::count(unusual.len(), "entry does", "entries do");
                let (input, names) = (input.path.display(), walk::some(&unusual));
                self.notes.push(format!("`{input}`: {n} not come along, for no file can be read there: {names}"));
            }
        }
        Ok(())
    }
}

/// Whether metadata has a column that says something of the file.
fn says(found: &Found, column: &str) -> bool {
    !found.said_in.is_empty() && found.cells.iter().any(|(name, _)| **name == *column)
}

/// Whether something says the split of all that is in a file.
fn shows_split(planned: &Planned) -> bool {
    let column = planned.plan.split.as_deref();
    let has_column = column.is_some_and(|it| planned.found.is_table() || says(&planned.found, it));
    planned.found.split.is_some() || has_column
}

/// A file that is no part of what was read.
fn other_file(path: PathBuf) -> FileSpec {
    let size_bytes = std::fs::metadata(&path).map_or(0, |it| it.len());
    FileSpec { path, size_bytes, is_gzip: false, is_text_only: false }
}
