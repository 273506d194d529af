//! The table of the checks of two versions: one file each, with its page.

use tamis_core::{DiffCheck, Severity, Version};

mod changed_label;
mod drifted_measure;
mod moved_sample;
mod new_finding;

/// Every check of two versions, in the order of reports.
pub static DIFF_CHECKS: &[&dyn DiffCheck] = &[
    &new_finding::NewFinding,
    &changed_label::ChangedLabel,
    &moved_sample::MovedSample,
    &drifted_measure::DriftedMeasure,
];

/// A sample as a message names it.
fn named(version: &Version<'_>, id: tamis_core::SampleId) -> String {
    format!("{} ({})", version.dataset.key(id), version.dataset.split_name(id))
}

/// How bad it is that a sample stands in another split, or under another label, than before.
fn severity_of(version: &Version<'_>, id: tamis_core::SampleId) -> Severity {
    let role = version.dataset.split_role(version.dataset.sample(id).split);
    if role == tamis_core::SplitRole::Train { Severity::Low } else { Severity::Medium }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_in_the_table_and_has_its_page() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diffs");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "rs"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().replace('_', "-"))
            .collect();
        files.sort_unstable();
        let mut ids: Vec<&str> = DIFF_CHECKS.iter().map(|it| it.info().id).collect();
        ids.sort_unstable();
        assert_eq!(ids, files);
        for check in DIFF_CHECKS {
            let info = check.info();
            assert!(info.page.starts_with(&format!("# {}\n", info.id)), "{}", info.id);
            for part in ["## What it does", "## Why it matters", "## Method", "## Limits"] {
                assert!(info.page.contains(part), "{} has no {part}", info.id);
            }
        }
    }
}
