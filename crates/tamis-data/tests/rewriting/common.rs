//! A dataset in a folder of its own, and what becomes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tamis_core::{Dataset, NoProgress, SampleId};
use tamis_data::atomic::Commits;
use tamis_data::rewrite::{Change, Layout, Link, RewriteError};
use tamis_data::{Images, Input, ReadOptions, Reader};

/// Files by path.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A folder with an input and a place for the output.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) options: ReadOptions,
    /// Paths below `in`, each with its split.
    inputs: Vec<(String, Option<String>)>,
}

impl Work {
    /// An input of these files below one folder.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let work = Self { dir: tempfile::tempdir().unwrap(), options: ReadOptions::default(), inputs: Vec::new() };
        for (name, content) in files {
            let path = work.path(&format!("in/{name}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        work
    }

    /// Names what is read, in the place of the whole folder; `SPLIT=PATH` gives a split.
    pub(crate) fn inputs(mut self, names: &[&str]) -> Self {
        let input = |name: &&str| match name.split_once('=') {
            Some((split, name)) => (name.to_owned(), Some(split.to_owned())),
            None => ((*name).to_owned(), None),
        };
        self.inputs = names.iter().map(input).collect();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self) -> (Dataset, Layout) {
        let whole = [(String::new(), None)];
        let inputs = if self.inputs.is_empty() { &whole[..] } else { &self.inputs[..] };
        let input = |(name, split): &(String, Option<String>)| Input {
            path: self.path("in").join(name),
            split: split.clone().map(|it| (it, None)),
        };
        read(&inputs.iter().map(input).collect::<Vec<_>>(), &self.options)
    }

    /// Makes changes by key; everything else stays.
    pub(crate) fn apply_linked(&self, changes: &[(&str, Change)], link: Link) -> Result<Files, RewriteError> {
        let before = files(&self.path("in"));
        let (dataset, layout) = self.read();
        let mut all = vec![Change::default(); dataset.len()];
        for (key, change) in changes {
            let id = dataset.ids().find(|id| dataset.key(*id) == *key);
            let keys: Vec<&str> = dataset.ids().map(|id| dataset.key(id)).collect();
            all[id.unwrap_or_else(|| panic!("{key} among {keys:?}")).idx()] = change.clone();
        }
        let out = self.path("out");
        let done = layout.plan(&dataset, &all).and_then(|rewrite| {
            Commits::new().write_folder(&out, |dir| rewrite.write(dir, link, &Commits::new(), &NoProgress))
        });
        assert!(before == files(&self.path("in")), "the input was touched");
        let records = done.inspect_err(|_| assert!(!out.exists(), "nothing half-written"))?;
        let written = files(&out);
        for record in &records {
            let hash = written.get(&record.path).map(|it| blake3::hash(it).to_hex().to_string());
            assert_eq!(hash, record.blake3, "{}", record.path);
        }
        // What metadata names in vain is a sample without a file.
        let is_there = |id: &SampleId| dataset.sample(*id).origin.row.is_some() || dataset.path(*id).exists();
        let kept = dataset.ids().filter(|id| !all[id.idx()].is_dropped).filter(is_there).count() as u64;
        assert_eq!(records.iter().map(|it| it.rows_out).sum::<u64>(), kept, "{records:#?}");
        assert_eq!(written.len(), records.iter().filter(|it| it.blake3.is_some()).count());
        Ok(written)
    }

    pub(crate) fn apply(&self, changes: &[(&str, Change)]) -> Files {
        self.apply_linked(changes, Link::Copy).unwrap()
    }

    /// What keeps the changes from being made, with the hint.
    pub(crate) fn refusal(&self, changes: &[(&str, Change)]) -> String {
        let error = self.apply_linked(changes, Link::Copy).unwrap_err();
        let text = format!("{error}; {}", error.hint().unwrap_or_default());
        text.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }
}

/// Reads inputs to their end.
pub(crate) fn read(inputs: &[Input], options: &ReadOptions) -> (Dataset, Layout) {
    let mut reader = Reader::open(inputs, options).unwrap();
    while reader.next_window(7, 1 << 20, Images::default()).unwrap().is_some() {}
    reader.finish_with_layout()
}

pub(crate) fn drop() -> Change {
    Change { is_dropped: true, ..Change::default() }
}

pub(crate) fn label(label: &str) -> Change {
    Change { label: Some(label.to_owned()), ..Change::default() }
}

pub(crate) fn split(split: &str) -> Change {
    Change { split: Some(split.to_owned()), ..Change::default() }
}

/// All files below a folder.
pub(crate) fn files(dir: &Path) -> Files {
    let mut all = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|it| it.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// A file as text.
#[track_caller]
pub(crate) fn text<'a>(files: &'a Files, name: &str) -> &'a str {
    let names: Vec<&String> = files.keys().collect();
    let bytes = files.get(name).unwrap_or_else(|| panic!("{name} among {names:?}"));
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn names(files: &Files) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}
