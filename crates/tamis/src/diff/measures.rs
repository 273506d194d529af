//! What is measured of each sample of both versions.

use std::collections::BTreeMap;

use ndarray::Array2;
use tamis_checks::drift::{self, Chance, Unit};
use tamis_core::{Contents, Drift, Matching, Modality, Outcome, Report, SampleId};

use crate::record::Record;

/// Categories of a column of the user beyond which it is no category.
const MAX_CATEGORIES: usize = 100;

/// Which samples stand for one thing: before, after.
type Units = Vec<(Option<SampleId>, Option<SampleId>)>;

/// The drift of every measure that both have, and why vectors were not compared.
pub(super) fn drifts(before: &Record, after: &Record, matching: &Matching, seed: u64) -> (Vec<Drift>, Option<String>) {
    let units = units(matching);
    let (old, new) = (before.report(), after.report());
    let (numbers, scores) = (numbers(old.contents.modality()), scores(&old));
    // Beside these: label, split, vectors.
    let chance = Chance::new(seed, numbers.len() + scores.len() + old.dataset.columns().len() + 3);
    let mut drifts = Vec::new();
    let measured = measured(&old, &new, &units, numbers);
    for (name, units) in numbers.iter().zip(measured) {
        drifts.extend(drift::of_numbers(name, &units, chance));
    }
    for name in scores {
        let values = |report: &Report<'_>, id: Option<SampleId>| id.and_then(|id| score(report, &name, id));
        let units: Vec<Unit<f32>> = units.iter().map(|(a, b)| (values(&old, *a), values(&new, *b))).collect();
        drifts.extend(drift::of_numbers(&name, &units, chance));
    }
    let report = |is_old: bool| if is_old { &old } else { &new };
    let label = |is_old: bool, id: SampleId| report(is_old).dataset.label_name(id).map(str::to_owned);
    let split = |is_old: bool, id: SampleId| Some(report(is_old).dataset.split_name(id).to_owned());
    drifts.extend(categories("label", &units, label, chance));
    drifts.extend(categories("split", &units, split, chance));
    for column in old.dataset.columns() {
        let Some(other) = new.dataset.columns().iter().find(|it| it.name == column.name) else { continue };
        let name = format!("column.{}", column.name);
        let value = |is_old: bool, id: SampleId| if is_old { column.get(id) } else { other.get(id) };
        drifts.extend(of_column(&name, &units, value, chance));
    }
    let missing = match vectors(before, after, &units, chance) {
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

/// What is measured of a content.
fn numbers(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Text => &["text_bytes"],
        Modality::Image => &["width", "height", "aspect_ratio", "brightness", "contrast"],
    }
}

/// The values of `names`, each of all units. A content that both versions have is looked at once.
fn measured(old: &Report<'_>, new: &Report<'_>, units: &Units, names: &[&str]) -> Vec<Vec<Unit<f32>>> {
    let mut all = vec![Vec::with_capacity(units.len()); names.len()];
    for (before, after) in units {
        let (a, b) = match (before, after) {
            (Some(id), Some(other)) => {
                let of_both = content(new, *other).or_else(|| content(old, *id));
                (of_both.clone(), of_both)
            }
            _ => (before.and_then(|id| content(old, id)), after.and_then(|id| content(new, id))),
        };
        for (idx, values) in all.iter_mut().enumerate() {
            let value = |of: &Option<Vec<Option<f32>>>| of.as_ref().and_then(|it| it[idx]);
            values.push((value(&a), value(&b)));
        }
    }
    all
}

/// What [`numbers`] names, of one sample; `None` where the content is no longer there.
fn content(report: &Report<'_>, id: SampleId) -> Option<Vec<Option<f32>>> {
    match report.contents {
        Contents::Texts(texts) => {
            // A text that the store no longer has seems to have none.
            let bytes = texts.text_bytes(id);
            (0 < bytes).then(|| vec![Some(bytes as f32)])
        }
        Contents::Images(images) => {
            let facts = images.facts(id)?;
            let grey = images.grey(id).ok().flatten();
            let brightness = grey.as_ref().map(|it| {
                let sum: f32 = it.values.iter().map(|it| f32::from(*it)).sum();
                sum / it.values.len().max(1) as f32
            });
            let (width, height) = (facts.width as f32, facts.height as f32);
            let contrast = grey.map(|it| it.texture() as f32);
            Some(vec![Some(width), Some(height), Some(width / height.max(1.0)), brightness, contrast])
        }
    }
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
fn categories(
    name: &str,
    units: &Units,
    value: impl Fn(bool, SampleId) -> Option<String>,
    chance: Chance,
) -> Option<Drift> {
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
    drift::of_categories(name, &coded, &names, chance)
}

/// The drift of a column of the user: of numbers where all values are, of words where they are few.
fn of_column<'a>(
    name: &str,
    units: &Units,
    value: impl Fn(bool, SampleId) -> Option<&'a str>,
    chance: Chance,
) -> Option<Drift> {
    let all = || units.iter().flat_map(|(a, b)| [a.and_then(|id| value(true, id)), b.and_then(|id| value(false, id))]);
    let number = |text: &str| text.trim().parse::<f32>().ok().filter(|it| it.is_finite());
    if all().flatten().all(|text| number(text).is_some()) {
        let of = |is_old: bool, id: Option<SampleId>| number(value(is_old, id?)?);
        let units: Vec<Unit<f32>> = units.iter().map(|(a, b)| (of(true, *a), of(false, *b))).collect();
        return drift::of_numbers(name, &units, chance);
    }
    let mut distinct = std::collections::BTreeSet::new();
    for text in all().flatten() {
        distinct.insert(text);
        if MAX_CATEGORIES < distinct.len() {
            return None;
        }
    }
    categories(name, units, |is_old, id| value(is_old, id).map(str::to_owned), chance)
}

/// The drift of vectors, where the same model made both.
///
/// # Errors
/// Why they cannot be compared, as a sentence's end.
fn vectors(before: &Record, after: &Record, units: &Units, chance: Chance) -> Result<Option<Drift>, String> {
    let (Some(old), Some(new)) = (&before.audit.model, &after.audit.model) else { return Ok(None) };
    if old != new {
        return Err("the models differ".to_owned());
    }
    let of = |record: &Record| record.vectors().map_err(|error| tamis_core::with_causes(&error));
    let (Some(old), Some(new)) = (of(before)?, of(after)?) else { return Ok(None) };
    let dim = after.report().model.map_or(0, |it| it.dim);
    let (mut rows, mut sides) = (Vec::new(), Vec::new());
    for (a, b) in units {
        let after = b.and_then(|id| new.get(after, id));
        let vector = after.or_else(|| a.and_then(|id| old.get(before, id)));
        let Some(vector) = vector.filter(|it| it.len() == dim) else { continue };
        rows.extend(vector);
        sides.push((a.is_some(), b.is_some()));
    }
    if sides.is_empty() {
        return Err("the store of a record has none".to_owned());
    }
    let rows = Array2::from_shape_vec((sides.len(), dim), rows).map_err(|error| error.to_string())?;
    Ok(drift::of_vectors("embedding", rows.view(), &sides, chance))
}
