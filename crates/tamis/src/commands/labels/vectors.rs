//! Labels judged by vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use ndarray::{Array2, ArrayView2, Axis};
use tamis::config::FileConfig;
use tamis::device::{for_joins, warn_of_failure};
use tamis_core::{Embeddings, Progress};
use tamis_data::arrays::LabelValues;
use tamis_data::store::codec::f32s_to_bytes;
use tamis_data::vectors::{self, Matrix};
use tamis_labels::{EvidenceOptions, LabelEvidence, LabeledVectors, label_evidence};

use super::given::Given;
use super::probabilities::{BY_EVIDENCE, at_places, suggestions, suspected, trusts};
use super::{Judged, UNINFORMATIVE};
use crate::args::{LabelsArgs, RECOMMENDED};
use crate::commands::{device_choice, open_device};
use crate::exit::Usage;

/// Neighbors that are looked up: as many as vote, and some in case copies are among the nearest.
const GRAPH_NEIGHBORS: usize = 40;

/// Reads vectors, finds their neighbors and judges the labels by both.
pub(super) fn judge(
    args: &LabelsArgs,
    path: &Path,
    given: Given,
    file: &FileConfig,
    progress: &dyn Progress,
) -> anyhow::Result<Judged> {
    let n_classes = match &given.classes {
        Some(classes) => classes.len(),
        None => given.labels.iter().flatten().max().map_or(0, |&label| label as usize + 1),
    };
    if MAX_CLASSES < n_classes {
        let n = given.labels.len();
        return Err(Usage(format!(
            "the largest label is {}, of {n} rows: expected numbers of classes from 0 on, below {MAX_CLASSES}",
            n_classes - 1
        ))
        .into());
    }
    let cannot = || format!("cannot use the vectors of {}", path.display());
    let Matrix { n, dim, values } = vectors::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    given.check_length("vectors", path, n)?;
    let rows = Array2::from_shape_vec((n, dim), values).with_context(cannot)?;
    // As `tamis embed` writes samples that have none.
    let with_vector: Vec<usize> = (0..n).filter(|&row| !rows.row(row).iter().all(|value| value.is_nan())).collect();
    let rows = if with_vector.len() < n { rows.select(Axis(0), &with_vector) } else { rows };
    let embeddings = Embeddings::new(rows, std::iter::empty(), vec![false; with_vector.len()]).with_context(cannot)?;
    let families = families(args, &given, embeddings.rows(), &with_vector)?;
    let device = for_joins(&open_device(device_choice(args.device, file)?)?);
    let task = progress.begin("finding neighbors", Some(n as u64), "vectors");
    let neighbors = device.knn(embeddings.rows(), GRAPH_NEIGHBORS, &*task);
    drop(task);
    warn_of_failure(&device);
    let (classes, labels) = compacted(with_vector.iter().map(|&row| given.labels[row]));
    let samples = LabeledVectors {
        features: embeddings.rows(),
        labels: &labels,
        n_classes: classes.len(),
        families: &families,
        neighbors: neighbors.ids.view(),
        similarities: neighbors.cosine.view(),
    };
    let mut evidence = label_evidence(&samples, &EvidenceOptions::default()).with_context(cannot)?;
    rename(&mut evidence, &classes);
    let n_without = n - with_vector.len();
    Ok(judged(given, n_classes, at_places(evidence, n, &with_vector), n_without))
}

/// Numbers the classes that are given from 0 on without gaps: the class of each number, and the labels in these numbers.
fn compacted(labels: impl Iterator<Item = Option<u32>> + Clone) -> (Vec<u32>, Vec<Option<u32>>) {
    let classes: BTreeSet<u32> = labels.clone().flatten().collect();
    let number_of: BTreeMap<u32, u32> = classes.iter().copied().zip(0..).collect();
    let labels = labels.map(|label| label.and_then(|label| number_of.get(&label).copied())).collect();
    (classes.into_iter().collect(), labels)
}

/// Turns numbers of [`compacted`] classes back.
fn rename(evidence: &mut LabelEvidence, classes: &[u32]) {
    let of = |number: u32| classes[number as usize];
    for row in &mut evidence.rows {
        row.suggested = row.suggested.map(of);
    }
    for confusion in &mut evidence.confusions {
        (confusion.given, confusion.class) = (of(confusion.given), of(confusion.class));
    }
    for pair in &mut evidence.overlaps {
        (pair.a, pair.b) = (of(pair.a), of(pair.b));
    }
    for noise in &mut evidence.noise.by_class {
        noise.class = of(noise.class);
    }
}

/// More classes than these are numbers that name something else.
const MAX_CLASSES: usize = 1 << 24;

fn judged(given: Given, n_classes: usize, evidence: LabelEvidence, n_without: usize) -> Judged {
    let quality = trusts(&evidence);
    let n_unjudged = quality.iter().zip(&given.labels).filter(|(it, label)| it.is_nan() && label.is_some()).count();
    let mut notes = Vec::new();
    if 0 < n_without {
        notes.push(format!("{n_without} rows have no vector (not a number throughout) and are not judged"));
    }
    if !evidence.is_informative {
        notes.push(UNINFORMATIVE.to_owned());
    }
    if n_without < n_unjudged {
        notes.push(format!(
            "{} labels could not be judged: outside their family no other row has the same label",
            n_unjudged - n_without
        ));
    }
    Judged {
        n: given.labels.len(),
        given: given.counts(n_classes),
        missing: given.missing(),
        filter: RECOMMENDED.to_owned(),
        rank: BY_EVIDENCE.to_owned(),
        notes,
        issues: suspected(&evidence, &quality),
        quality,
        suggested: suggestions(&evidence).collect(),
        confident: None,
        evidence: Some(evidence),
        classes: given.classes,
        labels: given.labels,
    }
}

/// Which rows are copies: those of one family in the file, those with the same bits, and those that are so by way of others.
fn families(
    args: &LabelsArgs,
    given: &Given,
    rows: ArrayView2<'_, f32>,
    with_vector: &[usize],
) -> anyhow::Result<Vec<u32>> {
    let mut families: Vec<u32> = (0..).take(rows.nrows()).collect();
    let mut first_of_bits = BTreeMap::new();
    for (number, row) in (0..).zip(rows.rows()) {
        let key = *blake3::hash(&f32s_to_bytes(&row.to_vec())).as_bytes();
        let first = *first_of_bits.entry(key).or_insert(number);
        join(&mut families, first, number);
    }
    if let Some(path) = &args.families {
        let named = match tamis_data::labels::read(path, None)? {
            LabelValues::Numbers(numbers) => {
                numbers.into_iter().map(|it| it.map(|it| it.to_string())).collect::<Vec<_>>()
            }
            LabelValues::Names(names) => names,
        };
        given.check_length("families", path, named.len())?;
        let mut first_of_name = BTreeMap::new();
        for (number, name) in (0..).zip(with_vector.iter().map(|&row| &named[row])) {
            let Some(name) = name else { continue };
            let first = *first_of_name.entry(name).or_insert(number);
            join(&mut families, first, number);
        }
    }
    Ok((0..).take(rows.nrows()).map(|row| root(&mut families, row)).collect())
}

/// Makes two rows one family, named by its first row.
fn join(families: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(families, a), root(families, b));
    families[a.max(b) as usize] = a.min(b);
}

/// The first row of a row's family.
fn root(families: &mut [u32], mut row: u32) -> u32 {
    while families[row as usize] != row {
        // Halving the way keeps the next one short.
        families[row as usize] = families[families[row as usize] as usize];
        row = families[row as usize];
    }
    row
}
