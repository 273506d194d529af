//! The last steps: the rows of tables, and files that get another place.

use std::path::Path;

use super::{Change, Draft, Output, Part, Planner, Relocated, Rewrite, RewriteError, Rows, other_file, places};
use crate::metadata::FILE_NAME;
use crate::rewrite::Edits;
use crate::writers;

impl Planner<'_> {
    /// Puts the tables together; files have their places by now.
    pub(super) fn finish(mut self, changes: &[Change]) -> Result<Rewrite, RewriteError> {
        let tables = std::mem::take(&mut self.tables);
        for (path, draft) in &tables {
            self.own_rows(path, draft)?;
        }
        for (path, draft) in &tables {
            for (destination, rows) in &draft.moved {
                let n_rows = if draft.id.is_some() { rows.len() as u64 } else { 0 };
                let part = self.part(draft, Rows::Only(rows.clone()), n_rows);
                let writer = Some(writer_of(draft)?);
                let new = || Output { writer, parts: Vec::new(), rows_in: 0 };
                let output = self.outputs.entry(destination.clone()).or_insert_with(new);
                if path == destination || output.writer.is_none() {
                    let (path, destination) = (path.display(), destination.display());
                    let what = format!("rows of `{path}` would move to `{destination}`, which is another file");
                    return Err(RewriteError::unfit(what, "give that file another name, and audit the data again"));
                }
                output.parts.push(part);
            }
        }
        if self.outputs.values().all(|it| it.parts.iter().all(|part| part.n_rows == 0)) {
            let what = "nothing would be left: every sample is dropped".to_owned();
            return Err(RewriteError::unfit(what, "decide to keep some"));
        }
        self.compare_reading(&tables, changes);
        let Self { mut outputs, mut gone, notes, .. } = self;
        // A place that got free may be taken by another file.
        gone.retain(|path, rows_in| {
            let taken = outputs.get_mut(path);
            taken.map(|it| it.rows_in = it.rows_in.max(*rows_in)).is_none()
        });
        Ok(Rewrite { outputs, gone, notes })
    }

    /// The rows of a table that stay in it.
    fn own_rows(&mut self, path: &Path, draft: &Draft<'_>) -> Result<(), RewriteError> {
        let mut gone = draft.gone.clone();
        gone.extend(draft.moved.values().flatten());
        let is_target = self.targets.contains(path);
        let n_rows = if draft.id.is_some() { draft.n_rows.saturating_sub(gone.len() as u64) } else { 0 };
        let is_bare = match draft.id {
            // A table of samples that has none left would be an unreadable file.
            Some(_) => 0 < draft.n_rows && n_rows == 0,
            None => draft.said.is_subset(&gone),
        };
        if is_bare && !is_target {
            self.gone.insert(path.to_owned(), draft.n_rows);
            return Ok(());
        }
        let is_home = draft.home == path;
        if !is_home {
            self.gone.insert(path.to_owned(), draft.n_rows);
        }
        let rows_in = if is_home { draft.n_rows } else { 0 };
        // Files beside one that is called otherwise get their names from its writer.
        let are_beside = draft.found.beside.is_empty() || is_home;
        if gone.is_empty() && draft.edits.is_empty() && !is_target && are_beside {
            let output = self.carried(draft.found.file.clone(), None, [rows_in, n_rows]);
            self.outputs.insert(draft.home.clone(), output);
            for beside in &draft.found.beside {
                let path = self.relative(beside)?;
                let output = self.carried(other_file(beside.clone()), None, [0, 0]);
                self.outputs.insert(path, output);
            }
            return Ok(());
        }
        let part = self.part(draft, Rows::AllBut(gone), n_rows);
        let output = Output { writer: Some(writer_of(draft)?), parts: vec![part], rows_in };
        self.outputs.insert(draft.home.clone(), output);
        Ok(())
    }

    /// Some rows of a table, with what changes in them.
    fn part(&self, draft: &Draft<'_>, rows: Rows, n_rows: u64) -> Part {
        let file = draft.found.file.clone();
        let beside = draft.found.beside.iter().filter_map(|it| Some((it.clone(), self.hash_of(it)?))).collect();
        let edits = draft.edits.iter().filter(|(row, _)| rows.take(**row));
        let edits: Edits = edits.map(|(row, edits)| (*row, edits.clone())).collect();
        Part { blake3: self.hash_of(&file.path), file, beside, rows, edits, n_rows }
    }

    /// Gives a file its new place, with a number where that is taken, and lets metadata follow.
    pub(super) fn relocate(&mut self, it: Relocated) -> Result<(), RewriteError> {
        let planned = self.planned(it.id);
        let place = places::free(&it.path, |it| self.outputs.contains_key(it) || self.tables.contains_key(it));
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
            let name_in = |path: &Path, table: &Path| {
                let folder = table.parent().unwrap_or(Path::new(""));
                path.strip_prefix(folder).ok().and_then(places::names).map(|it| it.join("/"))
            };
            let Some(name) = name_in(&place, &table) else {
                let why = format!("the metadata in `{}` could no longer name it", table.display());
                return Err(self.refused(it.id, "move", &why, "put the metadata into the folder above"));
            };
            let is_renamed = name_in(self.path(it.id), &own).as_ref() != Some(&name);
            let draft = self.tables.get_mut(&own);
            let draft = draft.expect("because every table of metadata has a draft");
            for row in &said.rows {
                if is_renamed {
                    draft.edit(*row, FILE_NAME, name.clone());
                }
                if table != own {
                    draft.moved.entry(table.clone()).or_default().insert(*row);
                }
            }
            if table != own {
                self.targets.insert(table);
            }
        }
        self.gone.insert(self.path(it.id).clone(), 1);
        self.carry(it.id, place, [0, 1]);
        Ok(())
    }
}

/// The writer of a table's format.
fn writer_of(draft: &Draft<'_>) -> Result<&'static dyn writers::Writer, RewriteError> {
    let id = draft.found.format.as_ref().map_or("", |it| it.id());
    writers::by_id(id).ok_or_else(|| {
        let what = format!("there is no writer for `{}`", draft.found.file.path.display());
        RewriteError::unfit(what, "leave this file out")
    })
}
