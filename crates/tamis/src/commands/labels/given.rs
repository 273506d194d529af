//! The labels that were given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tamis_data::arrays::LabelValues;
use tamis_data::labels;

use crate::args::LabelsArgs;
use crate::exit::Usage;

/// Labels as numbers of classes.
pub(super) struct Given {
    pub(super) path: PathBuf,
    pub(super) labels: Vec<Option<u32>>,
    /// Names of the classes; `None` where labels are numbers.
    pub(super) classes: Option<Vec<String>>,
}

impl Given {
    /// Reads the labels. Names become numbers: their places in `--classes`, or among all names that are given, in the order
    /// of their code points.
    pub(super) fn read(args: &LabelsArgs) -> anyhow::Result<Self> {
        let Some(path) = args.labels.clone() else {
            unreachable!("clap asks for labels where there is no task");
        };
        let classes = (!args.classes.is_empty()).then(|| args.classes.clone());
        let (labels, classes) = match labels::read(&path, args.label.as_deref())? {
            LabelValues::Numbers(labels) => match numbers(&classes, &labels) {
                Some(labels) => (labels, classes),
                None => (labels, None),
            },
            LabelValues::Names(names) => {
                let distinct: BTreeSet<&String> = names.iter().flatten().collect();
                let classes = classes.unwrap_or_else(|| distinct.into_iter().cloned().collect());
                (by_name(&names, &classes)?, Some(classes))
            }
        };
        if labels.iter().flatten().next().is_none() {
            let why = if labels.is_empty() { "the file is empty" } else { "all of them are missing" };
            anyhow::bail!("no labels in {}: {why}, expected some", path.display());
        }
        Ok(Self { path, labels, classes })
    }

    /// Refuses another file whose length differs.
    pub(super) fn check_length(&self, what: &str, path: &std::path::Path, n: usize) -> Result<(), Usage> {
        let (n_labels, labels) = (self.labels.len(), self.path.display());
        if n == n_labels {
            return Ok(());
        }
        Err(Usage(format!("{} has {n} {what}, expected {n_labels}, as many as {labels} has labels", path.display())))
    }

    /// Rows without a label.
    pub(super) fn missing(&self) -> Vec<usize> {
        (0..self.labels.len()).filter(|&row| self.labels[row].is_none()).collect()
    }

    /// Rows given each label.
    pub(super) fn counts(&self, n_classes: usize) -> Vec<u64> {
        let mut counts = vec![0; n_classes];
        self.labels.iter().flatten().for_each(|&label| counts[label as usize] += 1);
        counts
    }
}

/// Whole numbers that are names in `--classes`: their places there; `None` where `--classes` is not given.
fn numbers(classes: &Option<Vec<String>>, labels: &[Option<u32>]) -> Option<Vec<Option<u32>>> {
    let place_of: BTreeMap<&str, u32> = classes.as_ref()?.iter().map(String::as_str).zip(0..).collect();
    let place = |label: &Option<u32>| match label {
        None => Some(None),
        Some(label) => place_of.get(label.to_string().as_str()).map(|&place| Some(place)),
    };
    // Otherwise the names of the classes say what the numbers mean.
    Some(labels.iter().map(place).collect::<Option<_>>().unwrap_or_else(|| labels.to_vec()))
}

fn by_name(names: &[Option<String>], classes: &[String]) -> Result<Vec<Option<u32>>, Usage> {
    let number_of: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    if number_of.len() < classes.len() {
        return Err(Usage("--classes has a name twice, expected each once".to_owned()));
    }
    let number = |(row, name): (usize, &Option<String>)| match name {
        None => Ok(None),
        Some(name) => number_of.get(name.as_str()).map(|&number| Some(number)).ok_or_else(|| {
            Usage(format!("label of row {row} is `{name}`, which is not among --classes {}", classes.join(",")))
        }),
    };
    names.iter().enumerate().map(number).collect()
}
