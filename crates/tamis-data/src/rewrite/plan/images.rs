//! Images that tables name by path: they come along with the rows that name them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use tamis_core::SampleId;

use super::{Change, Planner, RewriteError, other_file, places};

/// An image whose row goes to a table in another folder.
pub(super) struct MovedImage {
    id: SampleId,
    row: u64,
    /// As the row names it.
    name: String,
    file: PathBuf,
    blake3: Option<String>,
    /// Where the row would look for it.
    place: PathBuf,
}

impl Planner<'_> {
    /// Takes over the images of rows that stay where they are; those of rows that move wait for what else stays.
    pub(super) fn images(&mut self, changes: &[Change]) -> Result<Vec<MovedImage>, RewriteError> {
        let mut moved = Vec::new();
        // By place: whether something names it there after all.
        let mut named: BTreeMap<PathBuf, (bool, PathBuf)> = BTreeMap::new();
        for (id, name, blake3) in &self.layout.traces.image_paths {
            let (id, change) = (*id, &changes[id.idx()]);
            let file = self.planned(id).found.file.folder().join(name);
            if Path::new(name).is_absolute() || !file.is_file() {
                continue;
            }
            let outside = |planner: &Self, of: &str| {
                let why = format!("it names the image `{name}`, which lies outside of {of}");
                planner.refused(id, "copy", &why, "give the folder that holds the tables and their images")
            };
            // On the way back from a link, `..` leads elsewhere.
            let source = place(self.path(id), name).filter(|it| !name.contains("..") || self.is_same(it, &file));
            let Some(source) = source else {
                if change.is_dropped {
                    continue;
                }
                return Err(outside(self, "what is written"));
            };
            let stays = &mut named.entry(source.clone()).or_insert((false, file.clone())).0;
            if change.is_dropped {
                continue;
            }
            let target = match (&change.split, &self.planned(id).plan.split) {
                (Some(split), None) => self.destination(id, split)?,
                _ => self.path(id).clone(),
            };
            let place = place(&target, name).ok_or_else(|| outside(self, "the folder it would move in"))?;
            let blake3 = blake3.map(|it| it.to_hex());
            if place == source {
                *stays = true;
                let output = self.carried(other_file(file), blake3, [0, 0]);
                self.outputs.insert(source, output);
            } else {
                let row = self.dataset.sample(id).origin.row.unwrap_or_default();
                moved.push(MovedImage { id, row, name: name.clone(), file, blake3, place });
            }
        }
        self.named_elsewhere(changes, &mut named);
        for (source, (stays, file)) in named {
            if stays && !self.outputs.contains_key(&source) {
                let output = self.carried(other_file(file), None, [0, 0]);
                self.outputs.insert(source, output);
            } else if !stays {
                self.gone.insert(source, 0);
            }
        }
        Ok(moved)
    }

    /// Whether a path below the base is this file.
    fn is_same(&self, place: &Path, file: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        real(&self.base.folder().join(place)) == real(file)
    }

    /// Images that would go stay where another cell of a row that stays names them.
    fn named_elsewhere(&self, changes: &[Change], named: &mut BTreeMap<PathBuf, (bool, PathBuf)>) {
        let going: BTreeSet<PathBuf> = named.iter().filter(|(_, it)| !it.0).map(|(place, _)| place.clone()).collect();
        let names: BTreeSet<&OsStr> = going.iter().filter_map(|it| it.file_name()).collect();
        if names.is_empty() {
            return;
        }
        let is_row = |id: &SampleId| self.dataset.sample(*id).origin.row.is_some() && !changes[id.idx()].is_dropped;
        for id in self.dataset.ids().filter(is_row) {
            for value in self.dataset.columns().iter().filter_map(|it| it.get(id)) {
                each_text(value, &mut |text| {
                    let is_candidate = Path::new(text).file_name().is_some_and(|it| names.contains(it));
                    let place = is_candidate.then(|| place(self.path(id), text)).flatten();
                    if let Some((stays, _)) = place.and_then(|it| named.get_mut(&it)) {
                        *stays = true;
                    }
                });
            }
        }
    }

    /// Takes over the images of rows that move, under a name with a number where theirs is taken.
    pub(super) fn move_images(&mut self, images: Vec<MovedImage>) -> Result<(), RewriteError> {
        for it in images {
            let is_taken = |place: &Path| {
                let other = self.outputs.get(place).is_some_and(|output| output.parts[0].file.path != it.file);
                other || self.tables.contains_key(place)
            };
            let place = places::free(&it.place, is_taken);
            if place != it.place {
                let column = self.planned(it.id).plan.image.clone().unwrap_or_default();
                let name = place.file_name().unwrap_or_default().to_string_lossy();
                let folder = it.name.rfind(['/', '\\']).map_or("", |at| &it.name[..=at]);
                let own = self.path(it.id).clone();
                self.tables.entry(own).and_modify(|draft| draft.edit(it.row, &column, format!("{folder}{name}")));
            }
            let output = self.carried(other_file(it.file), it.blake3, [0, 0]);
            self.outputs.insert(place, output);
        }
        Ok(())
    }
}

/// Where a row of `table` looks for an image: a path below the base; `None` where that leads out of it.
fn place(table: &Path, name: &str) -> Option<PathBuf> {
    let mut place = table.parent().unwrap_or(Path::new("")).to_owned();
    for part in name.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if !place.pop() => return None,
            ".." => {}
            part => place.push(part),
        }
    }
    place.components().all(|it| matches!(it, Component::Normal(_))).then_some(place)
}

/// Hands over a value of a column, or all texts in it where it is a list or an object.
fn each_text(value: &str, found: &mut dyn FnMut(&str)) {
    fn walk(value: &Value, found: &mut dyn FnMut(&str)) {
        match value {
            Value::String(text) => found(text.trim()),
            Value::Array(all) => all.iter().for_each(|it| walk(it, found)),
            Value::Object(all) => all.values().for_each(|it| walk(it, found)),
            _ => {}
        }
    }
    match value.trim() {
        text if text.starts_with(['[', '{']) => {
            serde_json::from_str(text).iter().for_each(|it| walk(it, found));
        }
        text => found(text),
    }
}
