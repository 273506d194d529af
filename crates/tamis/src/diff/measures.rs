//! What is measured of each sample of both versions.

use std::collections::BTreeMap;

use ndarray::Array2;
use tamis_checks::drift::{self, Unit};
use tamis_core::{Contents, Drift, Matching, Modality, Outcome, Report, SampleId};
use tamis_embed::hub::Hub;
use tamis_embed::{Device, DeviceChoice};

use crate::model::Model;
use crate::models;
use crate::record::Record;

/// Categories of a column of the user beyond which it is no category.
const MAX_CATEGORIES: usize = 100;

/// Which samples stand for one thing: before, after.
type Units = Vec<(Option<SampleId>, Option<SampleId>)>;

/// The drift of every measure that both have, and why vectors were not compared.
pub(super) fn drifts(
    before: &Record,
    after: &Record,
    matching: &Matching,
    hub: &Hub,
    seed: u64,
) -> (Vec<Drift>, Option<String>) {
    let units = units(matching);
    let (old, new) = (before.report(), after.report());
    let mut drifts = Vec::new();
    for (name, of) in numbers(old.contents.modality()) {
        let values = |report: &Report<'_>, id: Option<SampleId>| id.and_then(|id| of(report, id));
        let units: Vec<Unit<f32>> = units.iter().map(|(a, b)| (values(&old, *a), values(&new, *b))).collect();
        drifts.extend(drift::of_numbers(name, &units, seed));
    }
    for name in scores(&old) {
        let values = |report: &Report<'_>, id: Option<SampleId>| id.and_then(|id| score(report, &name, id));
        let units: Vec<Unit<f32>> = units.iter().map(|(a, b)| (values(&old, *a), values(&new, *b))).collect();
        drifts.extend(drift::of_numbers(&name, &units, seed));
    }
    let report = |is_old: bool| if is_old { &old } else { &new };
    let label = |is_old: bool, id: SampleId| report(is_old).dataset.label_name(id).map(str::to_owned);
    let split = |is_old: bool, id: SampleId| Some(report(is_old).dataset.split_name(id).to_owned());
    drifts.extend(categories("label", &units, label, seed));
    drifts.extend(categories("split", &units, split, seed));
    for column in old.dataset.columns() {
        let Some(other) = new.dataset.columns().iter().find(|it| it.name == column.name) else { continue };
        let name = format!("column.{}", column.name);
        let value = |is_old: bool, id: SampleId| if is_old { column.get(id) } else { other.get(id) };
        drifts.extend(of_column(&name, &units, value, seed));
    }
    let vectors = vectors(before, after, &units, hub, seed);
    let missing = match vectors {
        Ok(drift) => {
            drifts.extend(drift);
            None
        }
        Err(reason) => Some(format!("vectors were not compared: {reason}")),
    };
    (drift::judged(drifts), missing)
}

fn units(matching: &Matching) -> Units {
    let same = matching.same.iter().map(|(a, b)| (Some(*a), Some(*b)));
    let changed = matching.changed.iter().flat_map(|(a, b)| [(Some(*a), None), (None, Some(*b))]);
    let removed = matching.removed.iter().map(|id| (Some(*id), None));
    let added = matching.added.iter().map(|id| (None, Some(*id)));
    same.chain(changed).chain(removed).chain(added).collect()
}

/// A number about a sample.
type Measure = fn(&Report<'_>, SampleId) -> Option<f32>;

/// What is measured of a content.
fn numbers(modality: Modality) -> &'static [(&'static str, Measure)] {
    match modality {
        Modality::Text => &[("text_bytes", text_bytes)],
        Modality::Image => &[
            ("width", |report, id| Some(facts(report, id)?.width as f32)),
            ("height", |report, id| Some(facts(report, id)?.height as f32)),
            ("aspect_ratio", |report, id| {
                let facts = facts(report, id)?;
                Some(facts.width as f32 / facts.height.max(1) as f32)
            }),
            ("brightness", |report, id| {
                let values = grey(report, id)?.values;
                let sum: f32 = values.iter().map(|it| f32::from(*it)).sum();
                Some(sum / values.len().max(1) as f32)
            }),
            ("contrast", |report, id| Some(grey(report, id)?.texture() as f32)),
        ],
    }
}

fn text_bytes(report: &Report<'_>, id: SampleId) -> Option<f32> {
    let Contents::Texts(texts) = report.contents else { return None };
    let bytes = texts.text_bytes(id);
    // A text that the store no longer has seems to have none.
    (0 < bytes).then_some(bytes as f32)
}

fn facts<'a>(report: &Report<'a>, id: SampleId) -> Option<&'a tamis_core::ImageFacts> {
    let Contents::Images(images) = report.contents else { return None };
    images.facts(id)
}

fn grey(report: &Report<'_>, id: SampleId) -> Option<tamis_core::Grey> {
    let Contents::Images(images) = report.contents else { return None };
    images.grey(id).ok().flatten()
}

/// Names of the scores that checks gave to all samples.
fn scores(report: &Report<'_>) -> Vec<String> {
    let of = |outcome: &Outcome| match outcome {
        Outcome::Ran(result) => result.scores.as_ref().map(|it| it.name.to_string()),
        Outcome::Skipped(_) | Outcome::Failed(_) => None,
    };
    report.checks.iter().filter_map(|check| of(&check.outcome)).collect()
}

fn score(report: &Report<'_>, name: &str, id: SampleId) -> Option<f32> {
    let of = |outcome: &Outcome| match outcome {
        Outcome::Ran(result) => result.scores.as_ref().filter(|it| it.name == name).map(|it| it.values[id.idx()]),
        Outcome::Skipped(_) | Outcome::Failed(_) => None,
    };
    report.checks.iter().find_map(|check| of(&check.outcome)).filter(|it| !it.is_nan())
}

/// The drift of words; `None` where there are none, or too many.
fn categories(name: &str, units: &Units, value: impl Fn(bool, SampleId) -> Option<String>, seed: u64) -> Option<Drift> {
    let mut code_of: BTreeMap<String, u32> = BTreeMap::new();
    let mut names = Vec::new();
    let mut code = |value: Option<String>| {
        value.map(|value| {
            *code_of.entry(value.clone()).or_insert_with(|| {
                names.push(value);
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            })
        })
    };
    let coded: Vec<Unit<u32>> = units
        .iter()
        .map(|(a, b)| (code(a.and_then(|id| value(true, id))), code(b.and_then(|id| value(false, id)))))
        .collect();
    drift::of_categories(name, &coded, &names, seed)
}

/// The drift of a column of the user: of numbers where all values are, of words where they are few.
fn of_column<'a>(
    name: &str,
    units: &Units,
    value: impl Fn(bool, SampleId) -> Option<&'a str>,
    seed: u64,
) -> Option<Drift> {
    let all = || units.iter().flat_map(|(a, b)| [a.and_then(|id| value(true, id)), b.and_then(|id| value(false, id))]);
    let number = |text: &str| text.trim().parse::<f32>().ok().filter(|it| it.is_finite());
    if all().flatten().all(|text| number(text).is_some()) {
        let of = |is_old: bool, id: Option<SampleId>| number(value(is_old, id?)?);
        let units: Vec<Unit<f32>> = units.iter().map(|(a, b)| (of(true, *a), of(false, *b))).collect();
        return drift::of_numbers(name, &units, seed);
    }
    let mut distinct = std::collections::BTreeSet::new();
    for text in all().flatten() {
        distinct.insert(text);
        if MAX_CATEGORIES < distinct.len() {
            return None;
        }
    }
    categories(name, units, |is_old, id| value(is_old, id).map(str::to_owned), seed)
}

/// The drift of vectors, where the same model made both.
///
/// # Errors
/// Why they cannot be compared, as a sentence's end.
fn vectors(before: &Record, after: &Record, units: &Units, hub: &Hub, seed: u64) -> Result<Option<Drift>, String> {
    let (Some(old), Some(new)) = (&before.audit.model, &after.audit.model) else { return Ok(None) };
    if old != new {
        return Err("the models differ".to_owned());
    }
    let files = models::find(&new.id, hub).map_err(|error| error.to_string())?;
    let device = Device::open(DeviceChoice::Cpu).map_err(|error| error.to_string())?;
    let side = new.pixels.as_ref().map(|it| it.side);
    let modality = after.report().contents.modality();
    let model = Model::load(&files, modality, side, &device).map_err(|error| tamis_core::with_causes(&error))?;
    if model.facts().weights_blake3 != new.weights_blake3 {
        return Err(format!("the model {} on this machine is another one", new.id));
    }
    let lost = || "the store of a record has none".to_owned();
    let [old, new] = [before.vectors(&model.producer()), after.vectors(&model.producer())];
    let (old, new) = (old.map_err(|_| lost())?, new.map_err(|_| lost())?);
    let dim = model.manifest().dim;
    let (mut rows, mut sides) = (Vec::new(), Vec::new());
    for (a, b) in units {
        let vector = match (a, b) {
            (_, Some(id)) => new.get(after, *id),
            (Some(id), None) => old.get(before, *id),
            (None, None) => None,
        };
        let Some(vector) = vector.filter(|it| it.len() == dim) else { continue };
        rows.extend(vector);
        sides.push((a.is_some(), b.is_some()));
    }
    if sides.is_empty() {
        return Err(lost());
    }
    let rows = Array2::from_shape_vec((sides.len(), dim), rows).map_err(|error| error.to_string())?;
    Ok(drift::of_vectors("embedding", rows.view(), &sides, seed))
}
