//! End to end over planted messages: what is wrong is found, and what is found is wrong.
//!
//! `truth.toml` beside the messages declares the defects. Facts are compared as sets; suspicions of the model must reach
//! the recall and precision that are declared there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tamis_report::wire::v1::{Action, CheckOutcome, Confidence, Finding, Severity};

use crate::common::{Workspace, keys, planted, rows, support};

/// The declared defects.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Truth {
    #[serde(rename = "n_samples")]
    n_samples: u64,
    exact_duplicate: Groups<Leveled>,
    near_duplicate: Groups<Vec<String>>,
    conflicting_labels: Groups<Vec<String>>,
    split_leak: Leaks,
    label_error: Relabels,
    outlier: Samples,
    empty_text: Samples,
    unreadable_sample: Samples,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Groups<T> {
    groups: Vec<T>,
    #[serde(default)]
    min_recall: f64,
    #[serde(default)]
    min_precision: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leveled {
    level: String,
    samples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaks {
    leaks: Vec<Leak>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leak {
    rung: String,
    test: String,
    train: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relabels {
    samples: BTreeMap<String, String>,
    min_recall: f64,
    min_precision: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    samples: BTreeSet<String>,
    #[serde(default)]
    min_recall: f64,
    #[serde(default)]
    min_precision: f64,
}

fn truth() -> Truth {
    toml::from_str(&std::fs::read_to_string(planted().join("truth.toml")).unwrap()).unwrap()
}

/// Asserts the share of `planted` that is in `found`, and of `found` that is in `planted`.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "a few dozen at most")]
fn expect_bounds<T: Ord + std::fmt::Debug>(planted: &BTreeSet<T>, found: &BTreeSet<T>, recall: f64, precision: f64) {
    let hits = planted.intersection(found).count() as f64;
    let (of_planted, of_found) = (hits / planted.len() as f64, hits / found.len().max(1) as f64);
    assert!(recall <= of_planted, "recall {of_planted:.2}, expected {recall}: planted {planted:?}, found {found:?}");
    assert!(
        precision <= of_found,
        "precision {of_found:.2}, expected {precision}: planted {planted:?}, found {found:?}"
    );
}

/// Keys of each finding of `check`.
fn found(check: &str) -> BTreeSet<Vec<String>> {
    support().findings_of(check).iter().map(keys).collect()
}

/// The keys of findings about one sample each.
fn found_samples(check: &str) -> BTreeSet<String> {
    found(check).into_iter().map(|keys| keys.concat()).collect()
}

fn sorted(groups: &[Vec<String>]) -> BTreeSet<Vec<String>> {
    let sorted = |group: &Vec<String>| group.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    groups.iter().map(sorted).collect()
}

fn evidence(finding: &Finding, name: &str) -> String {
    finding.evidence[name].as_str().unwrap().to_owned()
}

#[test]
fn every_row_is_a_sample_readable_or_not() {
    let dataset = support().audit().dataset;
    assert_eq!(dataset.n_samples, truth().n_samples);
    assert_eq!((dataset.states.ok, dataset.states.empty, dataset.states.unreadable), (85, 1, 1));
}

#[test]
fn every_check_ran() {
    // But for the one that needs a benchmark.
    for check in support().audit().checks.into_iter().filter(|it| it.id != "benchmark-contamination") {
        assert_eq!((check.outcome, check.reason), (CheckOutcome::Ran, None), "{}", check.id);
    }
}

#[test]
fn exact_duplicates_are_found_at_the_level_that_they_agree_on() {
    let truth = truth().exact_duplicate.groups.into_iter();
    let planted: BTreeSet<_> = truth.map(|group| (group.level, group.samples)).collect();
    let found = support().findings_of("exact-duplicate");
    let found: BTreeSet<_> = found.iter().map(|it| (evidence(it, "level"), keys(it))).collect();
    assert_eq!(found, planted);
}

#[test]
fn the_first_copy_in_a_split_is_kept_and_copies_in_other_splits_are_not_dropped() {
    let found = support().findings_of("exact-duplicate");
    let dropped: BTreeSet<_> = found.iter().filter_map(|it| Some(it.suggestion.clone()?.keys)).flatten().collect();
    // t26 agrees with t14 in letters and digits only: that is to be reviewed.
    assert_eq!(dropped, ["t22", "t24"].map(str::to_owned).into());
}

#[test]
fn which_of_two_labels_is_right_is_not_decided_by_dropping_a_copy() {
    let found = support().findings_of("exact-duplicate");
    let conflict = found.into_iter().find(|it| keys(it) == ["t46", "t54"]).unwrap();
    assert_eq!(conflict.suggestion.unwrap().action, Action::Review);
}

#[test]
fn near_duplicates_are_found_in_their_split() {
    let truth = truth().near_duplicate;
    let planted = sorted(&truth.groups);
    // Copies are one star and what is merely close to the kept one is another.
    let mut found: Vec<Vec<String>> = Vec::new();
    for keys in self::found("near-duplicate") {
        match found.iter_mut().find(|it| keys.iter().any(|key| it.contains(key))) {
            Some(star) => star.extend(keys),
            None => found.push(keys),
        }
    }
    found.iter_mut().for_each(|keys| {
        keys.sort();
        keys.dedup();
    });
    let found: BTreeSet<Vec<String>> = found.into_iter().collect();
    expect_bounds(&planted, &found, truth.min_recall, truth.min_precision);
}

#[test]
fn the_same_text_under_two_labels_is_a_conflict() {
    assert_eq!(found("conflicting-labels"), sorted(&truth().conflicting_labels.groups));
    let finding = &support().findings_of("conflicting-labels")[0];
    assert_eq!(finding.message, "2 labels for the same bytes: account (1), billing (1)");
    assert_eq!((finding.severity, finding.confidence), (Severity::Medium, Confidence::High));
}

#[test]
fn every_leak_is_found_on_its_rung_surest_first() {
    let leaks = support().findings_of("split-leak");
    let found: Vec<_> =
        leaks.iter().map(|it| (evidence(it, "rung"), it.samples[0].key.clone(), it.samples[1].key.clone())).collect();
    let planted: Vec<_> = truth().split_leak.leaks.into_iter().map(|it| (it.rung, it.test, it.train)).collect();
    assert_eq!(found, planted);
    assert!(leaks.iter().all(|it| evidence(it, "direction") == "train -> test"));
}

#[test]
fn leaks_are_graded_by_their_rung() {
    let leaks = support().findings_of("split-leak");
    let grades: Vec<_> = leaks.iter().map(|it| (it.severity, it.confidence)).collect();
    let (bytes, folded) = ((Severity::High, Confidence::High), (Severity::High, Confidence::High));
    let (letters, copy) = ((Severity::Medium, Confidence::Medium), (Severity::Medium, Confidence::Medium));
    assert_eq!(grades, [bytes, folded, letters, copy]);
}

#[test]
fn leaks_are_mended_in_train_and_never_in_test() {
    for finding in support().findings_of("split-leak") {
        let suggestion = finding.suggestion.clone().unwrap();
        let expected = match evidence(&finding, "rung").as_str() {
            "copy" | "semantic" | "alphanumeric" => (Action::Review, vec![]),
            _ => (Action::Drop, vec![finding.samples[1].key.clone()]),
        };
        assert_eq!((suggestion.action, suggestion.keys), expected);
    }
}

#[test]
fn wrong_labels_are_found_and_the_right_ones_suggested() {
    let truth = truth().label_error;
    let planted: BTreeSet<_> = truth.samples.into_iter().collect();
    let findings = support().findings_of("label-error");
    let suggested = |it: &Finding| (it.samples[0].key.clone(), it.suggestion.clone().unwrap().label.unwrap());
    let found: BTreeSet<_> = findings.iter().map(suggested).collect();
    expect_bounds(&planted, &found, truth.min_recall, truth.min_precision);
    for finding in &findings {
        assert_eq!(finding.suggestion.as_ref().unwrap().action, Action::Relabel);
        let label = finding.samples[0].label.clone().unwrap();
        let start = format!("labeled {label}, looks like {}: probability ", evidence(finding, "suggested"));
        assert!(finding.message.starts_with(&start), "{}", finding.message);
    }
}

#[test]
fn what_does_not_belong_is_an_outlier_and_only_to_be_reviewed() {
    let truth = truth().outlier;
    expect_bounds(&truth.samples, &found_samples("outlier"), truth.min_recall, truth.min_precision);
    for finding in support().findings_of("outlier") {
        assert_eq!((finding.severity, finding.suggestion.unwrap().action), (Severity::Info, Action::Review));
    }
}

#[test]
fn the_empty_text_is_found() {
    assert_eq!(found_samples("empty-text"), truth().empty_text.samples);
    assert_eq!(support().findings_of("empty-text")[0].message, "holds no text");
}

#[test]
fn the_broken_line_is_named_by_file_and_row() {
    assert_eq!(found_samples("unreadable-sample"), truth().unreadable_sample.samples);
    let finding = &support().findings_of("unreadable-sample")[0];
    let sample = &finding.samples[0];
    assert_eq!((sample.file.as_str(), sample.row), ("support/train.jsonl", Some(43)));
    let said = "cannot be read: train.jsonl:43: not JSON (";
    assert!(finding.message.starts_with(said), "{}", finding.message);
    assert!(finding.message.ends_with("), expected one JSON object a line"), "{}", finding.message);
}

#[test]
fn high_findings_exit_with_1_and_leave_the_whole_record() {
    let run = support();
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let names: Vec<_> = run.files.keys().map(String::as_str).collect();
    let parquet = ["findings.parquet", "pairs.parquet", "samples.parquet"];
    let [findings, pairs, samples] = parquet;
    assert_eq!(names, ["audit.json", "findings.jsonl", findings, pairs, "report.html", samples]);
    for name in parquet {
        assert!(run.files[name].starts_with(b"PAR1") && run.files[name].ends_with(b"PAR1"), "{name} is not Parquet");
    }
}

#[test]
fn the_record_says_with_what_it_was_made() {
    let audit = support().audit();
    let model = audit.model.unwrap();
    assert_eq!((model.id.as_str(), model.dim, model.max_tokens), ("all-minilm-l6-v2", 384, Some(256)));
    assert_eq!(model.weights_blake3.len(), 64);
    assert_eq!((audit.schema.as_str(), audit.seed), ("tamis-audit/1", 0));
    let inputs: Vec<_> = audit.inputs.iter().map(|it| (it.path.as_str(), it.blake3.is_some())).collect();
    assert_eq!(inputs, [("support/train.jsonl", true), ("support/test.jsonl", true)]);
    let stages: Vec<_> = audit.timing.iter().map(|it| it.stage.as_str()).collect();
    assert_eq!(stages[..6], ["load model", "read", "embed", "store", "group", "join"]);
}

#[test]
fn checks_that_lack_something_are_skipped_with_a_reason() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["one text", "another text"]));
    let run = work.tamis(&["audit", "a.jsonl"]).expect(0);
    let reason = |check: &str| run.check(check).reason.unwrap();
    assert_eq!(
        reason("label-error"),
        "the samples have no labels (name a column with --label, or let folders name them)"
    );
    assert_eq!(reason("conflicting-labels"), reason("label-error"));
    let no_split = "there is no split to be evaluated on beside one to train on, with samples that can be read: train (use --train PATH --test PATH)";
    assert_eq!(reason("split-leak"), no_split);
    assert_eq!(run.check("split-leak").findings, None, "what was not counted is not zero");
}

#[test]
fn a_few_samples_are_no_ground_for_outliers() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["one text", "another text", "SIGSEGV 0x00af31"]));
    let run = work.tamis(&["audit", "a.jsonl", "--only", "outlier"]).expect(0);
    let note = "fewer than 16 distinct samples: no distance is unusual among so few";
    assert_eq!(run.check("outlier").notes, [note]);
}

#[test]
fn validation_in_train_is_medium_and_test_in_validation_is_a_leak_too() {
    let work = Workspace::new();
    work.write("train.jsonl", rows(&["The cat sat on the mat.", "Where is my parcel?"]));
    work.write("val.jsonl", rows(&["Where is my parcel?", "I lost the password."]));
    work.write("test.jsonl", rows(&["I lost the password.", "It rained all day."]));
    let run = work.tamis(&["audit", "train.jsonl", "val.jsonl", "test.jsonl", "--only", "split-leak"]).expect(0);
    let found: Vec<_> = run.findings().iter().map(|it| (evidence(it, "direction"), it.severity)).collect();
    let medium = Severity::Medium;
    assert_eq!(found, [("train -> validation".to_owned(), medium), ("validation -> test".to_owned(), medium)]);
}
