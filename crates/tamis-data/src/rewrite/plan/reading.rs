//! How files will be read that are one sample each: what their names say depends on the names of all others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tamis_core::SampleId;

use super::{Change, Draft, Planner, places, says};
use crate::splits;
use crate::walk::{self, Parent};

/// A file as the reader will find it.
struct Reading {
    id: SampleId,
    place: PathBuf,
    split: Option<String>,
    parent: Option<Parent>,
}

impl Planner<'_> {
    /// Says where what stays will be read with another split or label than it is to have.
    pub(super) fn compare_reading(&mut self, tables: &BTreeMap<PathBuf, Draft<'_>>, changes: &[Change]) {
        let readings = self.readings(tables);
        let name_labels = walk::name_labels(readings.iter().filter_map(|it| it.parent.as_ref()));
        let (mut other_splits, mut other_labels) = (Vec::new(), Vec::new());
        for it in &readings {
            let (planned, change) = (self.planned(it.id), &changes[it.id.idx()]);
            let said = |column: &Option<String>| column.as_deref().is_some_and(|it| says(&planned.found, it));
            let place = it.place.display();
            if let Some(split) = it.split.as_ref().filter(|_| !said(&planned.plan.split)) {
                let wanted = change.split.as_deref().unwrap_or_else(|| self.dataset.split_name(it.id));
                if split != wanted {
                    other_splits.push(format!("`{place}` in `{split}` instead of `{wanted}`"));
                }
            }
            if !said(&planned.plan.label) {
                let label = it.parent.as_ref().filter(|_| name_labels).map(|it| it.0.as_str());
                let wanted = change.label.as_deref().or_else(|| self.dataset.label_name(it.id));
                if label != wanted {
                    let shown = |it: Option<&str>| it.map_or("no label".to_owned(), |it| format!("the label `{it}`"));
                    other_labels.push(format!("`{place}` with {} instead of {}", shown(label), shown(wanted)));
                }
            }
        }
        let why = "names of single files show splits only where all of them do";
        self.note_reading("split", &other_splits, why);
        let why = "folders name labels only where there is more than one and all files lie equally deep";
        self.note_reading("label", &other_labels, why);
    }

    fn note_reading(&mut self, what: &str, others: &[String], why: &str) {
        if let Some(first) = others.first() {
            let n = walk::count(others.len(), "file that stays", "files that stay");
            self.notes.push(format!("{n} will be read with another {what} than before, first {first}: {why}"));
        }
    }

    /// What the reader will find, input by input.
    fn readings(&mut self, tables: &BTreeMap<PathBuf, Draft<'_>>) -> Vec<Reading> {
        let is_metadata = |it: &(&PathBuf, &Draft<'_>)| it.1.id.is_none();
        let metadata = tables.iter().filter(is_metadata).flat_map(|(path, it)| it.moved.keys().chain([path]));
        let metadata = metadata.filter(|it| self.outputs.contains_key(*it));
        let metadata: BTreeSet<&Path> = metadata.filter_map(|it| it.parent()).collect();
        let mut roots: Vec<(PathBuf, bool)> = Vec::new();
        for input in self.layout.traces.inputs.iter().filter(|it| it.path.is_dir()) {
            let inside = self.base.relative(&input.path.join("x"));
            roots.extend(inside.and_then(|it| Some((it.parent()?.to_owned(), input.split.is_some()))));
        }
        let mut readings = Vec::new();
        for (root, is_given) in &roots {
            let below = |it: &&(SampleId, PathBuf)| it.1.starts_with(root);
            let files: Vec<&(SampleId, PathBuf)> = self.places.iter().filter(below).collect();
            let inner = |path: &Path| path.strip_prefix(root).ok().and_then(places::names).map(|it| it.join("/"));
            let names: Vec<String> = files.iter().map(|it| inner(&it.1).unwrap_or_default()).collect();
            for ((id, place), (split, parent)) in files.into_iter().zip(walk::said_by_names(&names)) {
                let is_joined = place.ancestors().skip(1).any(|it| metadata.contains(it));
                let split = split.unwrap_or_else(|| splits::DEFAULT.to_owned());
                readings.push(Reading {
                    id: *id,
                    place: place.clone(),
                    split: (!is_given).then_some(split),
                    parent: (!is_joined).then_some(parent),
                });
            }
        }
        readings
    }
}
