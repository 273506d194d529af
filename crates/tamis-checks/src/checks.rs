//! The table of all checks, and how their options are read.

use serde::de::DeserializeOwned;
use tamis_core::{
    Check, CheckContext, CheckInfo, Dataset, Embeddings, Evidence, Overlap, Pair, PairSet, SampleId, Shared, SplitId,
    Value,
};

mod benchmark_contamination;
mod conflicting_labels;
mod empty_text;
mod exact_duplicate;
mod label_error;
mod near_duplicate;
mod outlier;
mod overlapping_classes;
mod split_leak;
mod unreadable_sample;

/// A check's facts and how to build it from its options.
#[derive(Debug)]
pub struct CheckDef {
    /// The fixed facts.
    pub info: CheckInfo,
    /// Builds the check from `[checks.<id>]` of the configuration.
    pub build: fn(toml::Table) -> Result<Box<dyn Check>, BadOption>,
}

/// An option that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("bad option of check {check}: {reason}")]
pub struct BadOption {
    /// The check.
    pub check: &'static str,
    /// What is wrong and what is accepted.
    pub reason: String,
}

/// Every check, in the order of reports.
pub static CHECKS: &[&CheckDef] = &[
    &unreadable_sample::DEF,
    &exact_duplicate::DEF,
    &near_duplicate::DEF,
    &conflicting_labels::DEF,
    &split_leak::DEF,
    &benchmark_contamination::DEF,
    &label_error::DEF,
    &overlapping_classes::DEF,
    &outlier::DEF,
    &empty_text::DEF,
];

/// Reads the options of `check`: unknown keys and wrong types are errors that name them.
fn options<T: DeserializeOwned>(check: &'static str, table: toml::Table) -> Result<T, BadOption> {
    let reason = |error: toml::de::Error| error.message().trim().replace('\n', " ");
    T::deserialize(table).map_err(|error| BadOption { check, reason: reason(error) })
}

/// Refuses a cosine outside of `(0, 1]`.
pub(crate) fn check_cosine(check: &'static str, value: Option<f32>) -> Result<(), BadOption> {
    match value {
        Some(value) if !(0.0 < value && value <= 1.0) => {
            let reason = format!("min_cosine is {value}, expected a number above 0 and at most 1");
            Err(BadOption { check, reason })
        }
        _ => Ok(()),
    }
}

/// Refuses a score outside of `(0, 1]`.
pub(crate) fn check_score(check: &'static str, value: Option<f32>) -> Result<(), BadOption> {
    match value {
        Some(value) if !(0.0 < value && value <= 1.0) => {
            let reason = format!("min_copy is {value}, expected a number above 0 and at most 1");
            Err(BadOption { check, reason })
        }
        _ => Ok(()),
    }
}

/// What a pair has in common, as seen from one of its samples.
pub(crate) fn shown(pair: &Pair, from: SampleId) -> Evidence {
    let shared = pair.verified.map_or(Shared::Nothing, |it| it.shared);
    let mut shown = match shared {
        Shared::Run { a, b, n_words } => {
            let (sample, first) = if from == pair.a { (pair.a, a) } else { (pair.b, b) };
            let words = Value::Words(sample, first, n_words.min(MAX_WORDS));
            Evidence::new().with("common_words", n_words as usize).with("common", words)
        }
        Shared::Pixels(alignment) => {
            let alignment = if from == pair.a { alignment } else { alignment.inverse() };
            let phrase = alignment.phrase();
            let phrase = if phrase.is_empty() { "as it is".to_owned() } else { phrase };
            Evidence::new().with("transformation", phrase).with("orientation", alignment.orientation.id())
        }
        _ => Evidence::new(),
    };
    if let Some(Overlap { text, answer }) = pair.verified.and_then(|it| it.overlap) {
        shown = shown.with("overlap", text);
        if let Some(answer) = answer {
            shown = shown.with("answer_overlap", answer);
        }
    }
    shown
}

/// Words of a common run that are shown; all are counted.
const MAX_WORDS: u32 = 60;

/// The option `min_cosine` as it stands in the record.
pub(crate) fn cosine_option(min: Option<f32>) -> Evidence {
    Evidence::new().with("min_cosine", min.map_or(Value::from("the model's"), Value::from))
}

/// A threshold for the record: the shortest decimal of the `f32`.
pub(crate) fn shortest(threshold: f32) -> f64 {
    match Value::from(threshold) {
        Value::Float(value) => value,
        _ => f64::from(threshold),
    }
}

/// What a reader must know of pairs found by cosine.
pub(crate) fn pair_notes(pairs: &PairSet, embeddings: &Embeddings) -> Vec<String> {
    let mut notes = Vec::new();
    if embeddings.n_truncated() != 0 {
        notes.push(format!(
            "{} texts are longer than the model reads: by their vectors only the beginning was compared",
            embeddings.n_truncated()
        ));
    }
    if pairs.is_capped() {
        let (kept, found) = (pairs.pairs.len(), pairs.n_found);
        notes.push(format!(
            "{found} pairs were found and only the first {kept} were kept and grouped: raise min_cosine"
        ));
    }
    if pairs.n_not_compared != 0 {
        notes.push(format!(
            "{} pairs that have words or a hash in common were not compared, as so many were: copies may be missing; \
             leave out what most samples have in common, such as a template",
            pairs.n_not_compared
        ));
    }
    notes
}

/// Samples of `split` that are identical to `id` at the widest level, `id` among them, ascending.
pub(crate) fn copies_in_split(cx: &CheckContext<'_>, id: SampleId, split: SplitId) -> Vec<SampleId> {
    let groups = cx.identity();
    let members = groups.members(groups.leader(id)).map_or_else(|| vec![id], <[SampleId]>::to_vec);
    members.into_iter().filter(|id| cx.dataset.sample(*id).split == split).collect()
}

/// Whether the samples have at least two different labels.
fn labels_differ(dataset: &Dataset, samples: &[SampleId]) -> bool {
    let mut labels = samples.iter().filter_map(|id| dataset.sample(*id).label);
    labels.next().is_some_and(|first| labels.any(|label| label != first))
}

pub(crate) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn stems(extension: &str) -> BTreeSet<String> {
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == extension))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().replace('_', "-"))
            .collect()
    }

    #[test]
    fn every_file_is_a_check_with_a_page_and_listed_once() {
        let ids: BTreeSet<String> = CHECKS.iter().map(|def| def.info.id.to_owned()).collect();
        assert_eq!(ids.len(), CHECKS.len());
        assert_eq!(ids, stems("rs"));
        assert_eq!(ids, stems("md"));
    }

    #[test]
    fn every_page_has_all_sections_in_order() {
        let sections =
            ["## What it does", "## Why it matters", "## Method", "## Limits", "## Options", "## References"];
        for def in CHECKS {
            let page = def.info.page;
            assert!(page.starts_with(&format!("# {}\n", def.info.id)), "{}", def.info.id);
            let found: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(found, sections, "{}", def.info.id);
        }
    }

    #[test]
    fn every_option_is_on_its_page_and_unknown_ones_are_refused() {
        for def in CHECKS {
            let check = (def.build)(toml::Table::new()).unwrap();
            assert_eq!(check.info().id, def.info.id);
            for (name, _) in check.options().0 {
                assert!(def.info.page.contains(&format!("`{name}`")), "{}: {name}", def.info.id);
            }
            let table = toml::Table::from_iter([("no_such_option".to_owned(), toml::Value::from(1))]);
            let error = (def.build)(table).unwrap_err().to_string();
            assert!(error.contains(def.info.id) && error.contains("no_such_option"), "{error}");
        }
    }

    #[test]
    fn a_cosine_out_of_range_is_refused_not_clamped() {
        for (id, value) in [("near-duplicate", 1.5), ("split-leak", 0.0), ("benchmark-contamination", 2.0)] {
            let def = CHECKS.iter().find(|def| def.info.id == id).unwrap();
            let table = toml::Table::from_iter([("min_cosine".to_owned(), toml::Value::from(value))]);
            assert!((def.build)(table).unwrap_err().to_string().contains("expected a number above 0"));
        }
    }

    /// `docs/checks.md` is all pages one after the other; `UPDATE=1 cargo test --release --workspace generated` writes it.
    #[test]
    fn the_generated_page_of_all_checks_is_current() {
        let mut page =
            "# Checks\n\nGenerated from `crates/tamis-checks/src/checks/*.md`.\n\n| check | finds |\n|---|---|\n"
                .to_owned();
        for def in CHECKS {
            page.push_str(&format!("| [`{0}`](#{0}) | {1} |\n", def.info.id, def.info.summary));
        }
        for def in CHECKS {
            // One level deeper: the file has one title of its own.
            let deeper = def
                .info
                .page
                .lines()
                .map(|line| if line.starts_with('#') { format!("#{line}") } else { line.to_owned() });
            page.push_str(&format!("\n{}\n", deeper.collect::<Vec<_>>().join("\n")));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checks.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == page,
            "docs/checks.md is not what the pages say: run UPDATE=1 cargo test --release --workspace generated"
        );
    }
}
