//! A dataset in a folder of its own, and what becomes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tamis_core::{Dataset, NoProgress, SampleId};
use tamis_data::atomic::Commits;
use tamis_data::rewrite::{Change, Layout, Link, Naming, RewriteError};
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
    naming: Naming,
}

/// What was written, and what was said about it.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) files: Files,
    pub(crate) notes: Vec<String>,
}

/// What a sample is: hash of its content, label and split.
pub(crate) type Sample = (Option<String>, Option<String>, String);

impl Work {
    /// An input of these files below one folder.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let (options, inputs, naming) = (ReadOptions::default(), Vec::new(), Naming::AsItIs);
        let work = Self { dir: tempfile::tempdir().unwrap(), options, inputs, naming };
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

    /// All splits are to be shown.
    pub(crate) fn naming(mut self) -> Self {
        self.naming = Naming::EverySplit;
        self
    }

    /// The inputs below a folder, as far as they are there.
    fn inputs_in(&self, folder: &str) -> Vec<Input> {
        let whole = [(String::new(), None)];
        let inputs = if self.inputs.is_empty() { &whole[..] } else { &self.inputs[..] };
        let input = |(name, split): &(String, Option<String>)| Input {
            path: self.path(folder).join(name),
            split: split.clone().map(|it| (it, None)),
        };
        inputs.iter().map(input).filter(|it| it.path.exists()).collect()
    }

    pub(crate) fn read(&self) -> (Dataset, Layout) {
        let (_, dataset, layout) = read(&self.inputs_in("in"), &self.options);
        (dataset, layout)
    }

    /// Makes changes by key; everything else stays. What is read from the new folder is what it was to be.
    pub(crate) fn apply_linked(&self, changes: &[(&str, Change)], link: Link) -> Result<Applied, RewriteError> {
        let applied = self.write(changes, link)?;
        assert_eq!(self.samples_out(), self.expected(changes), "{:?}", applied.notes);
        Ok(applied)
    }

    /// What is to be read from the new folder.
    pub(crate) fn expected(&self, changes: &[(&str, Change)]) -> Vec<Sample> {
        let (contents, dataset, _) = read(&self.inputs_in("in"), &self.options);
        let mut expected = Vec::new();
        for (id, content) in dataset.ids().zip(contents) {
            let change = changes.iter().rev().find(|it| it.0 == dataset.key(id)).map(|it| it.1.clone());
            let change = change.unwrap_or_default();
            if !change.is_dropped && content.is_some() {
                let label = change.label.or_else(|| dataset.label_name(id).map(str::to_owned));
                expected.push((content, label, change.split.unwrap_or_else(|| dataset.split_name(id).to_owned())));
            }
        }
        expected.sort();
        expected
    }

    /// What is read from the new folder: by the inputs, and files that were made beside them.
    pub(crate) fn samples_out(&self) -> Vec<Sample> {
        let mut inputs = self.inputs_in("out");
        let are_folders = self.inputs.iter().all(|it| !it.0.contains('.'));
        for name in files(&self.path("out")).keys().filter(|_| !self.inputs.is_empty()) {
            let path = self.path("out").join(name);
            let is_table = [".csv", ".jsonl", ".parquet"].iter().any(|it| name.ends_with(it));
            let is_sample = is_table || are_folders && name.ends_with(".png");
            if is_sample && !inputs.iter().any(|it| path.starts_with(&it.path)) {
                inputs.push(Input { path, split: None });
            }
        }
        let (contents, dataset, _) = read(&inputs, &self.options);
        let of = |id: SampleId| (dataset.label_name(id).map(str::to_owned), dataset.split_name(id).to_owned());
        let all = dataset.ids().zip(contents).filter(|it| it.1.is_some());
        let mut samples: Vec<Sample> = all.map(|(id, content)| (content, of(id).0, of(id).1)).collect();
        samples.sort();
        samples
    }

    /// Makes changes by key and looks at what was written, whatever it is read as.
    pub(crate) fn write(&self, changes: &[(&str, Change)], link: Link) -> Result<Applied, RewriteError> {
        let before = files(&self.path("in"));
        let (dataset, layout) = self.read();
        let mut all = vec![Change::default(); dataset.len()];
        for (key, change) in changes {
            let id = dataset.ids().find(|id| dataset.key(*id) == *key);
            let keys: Vec<&str> = dataset.ids().map(|id| dataset.key(id)).collect();
            all[id.unwrap_or_else(|| panic!("{key} among {keys:?}")).idx()] = change.clone();
        }
        let out = self.path("out");
        let rewrite = layout.plan(&dataset, &all, self.naming)?;
        let rehearsed = rewrite.rehearse(&NoProgress);
        let done = Commits::new().write_folder(&out, |dir| rewrite.write(dir, link, &Commits::new(), &NoProgress));
        assert!(before == files(&self.path("in")), "the input was touched");
        let said = |error: &RewriteError| error.to_string();
        assert_eq!(
            rehearsed.as_ref().map_err(said),
            done.as_ref().map(|_| &()).map_err(said),
            "a rehearsal says the same"
        );
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
        assert_eq!(
            records.iter().map(|it| it.rows_in).sum::<u64>(),
            dataset.ids().filter(|id| is_there(id) || all[id.idx()].is_dropped).count() as u64
        );
        assert_eq!(written.len(), records.iter().filter(|it| it.blake3.is_some()).count());
        Ok(Applied { files: written, notes: rewrite.notes().to_vec() })
    }

    pub(crate) fn apply(&self, changes: &[(&str, Change)]) -> Files {
        self.apply_linked(changes, Link::Copy).unwrap().files
    }

    /// What keeps the changes from being made, with the hint.
    pub(crate) fn refusal(&self, changes: &[(&str, Change)]) -> String {
        let error = self.write(changes, Link::Copy).unwrap_err();
        let text = format!("{error}; {}", error.hint().unwrap_or_default());
        text.replace(self.dir.path().to_str().unwrap(), "[DIR]")
    }
}

/// What is said when the input changes between planning and writing.
pub(crate) fn apply_between(work: &Work, changes: &[(&str, Change)], between: impl FnOnce()) -> RewriteError {
    let (dataset, layout) = work.read();
    let change = |id| changes.iter().find(|it| it.0 == dataset.key(id)).map(|it| it.1.clone()).unwrap_or_default();
    let all: Vec<Change> = dataset.ids().map(change).collect();
    let rewrite = layout.plan(&dataset, &all, Naming::AsItIs).unwrap();
    between();
    let fill = |dir: &Path| rewrite.write(dir, Link::Copy, &Commits::new(), &NoProgress);
    Commits::new().write_folder(&work.path("out"), fill).unwrap_err()
}

/// Reads inputs to their end: the hash of every content, and what is known of the samples.
pub(crate) fn read(inputs: &[Input], options: &ReadOptions) -> (Vec<Option<String>>, Dataset, Layout) {
    let mut reader = Reader::open(inputs, options).unwrap();
    let mut contents: Vec<Option<String>> = Vec::new();
    while let Some(window) = reader.next_window(7, 1 << 20, Images::default()).unwrap() {
        contents.extend(window.contents.iter().map(|it| it.as_ref().map(|it| it.bytes().to_hex())));
    }
    let (dataset, layout) = reader.finish_with_layout();
    (contents, dataset, layout)
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
            } else if let Ok(bytes) = fs::read(&path) {
                all.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), bytes);
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
