//! The same input gives the same bytes, on any number of threads, and the order of rows gives no other findings.

use std::collections::BTreeSet;

use crate::common::{Run, SUPPORT, Workspace, planted, support};

/// The files that hold results alone. `report.html` and `audit.json` hold the command line, too.
const RESULTS: [&str; 4] = ["findings.jsonl", "findings.parquet", "pairs.parquet", "samples.parquet"];

#[track_caller]
fn expect_same(names: &[&str], run: &Run, other: &Run) {
    for name in names.iter().copied() {
        assert!(run.files[name] == other.files[name], "{name} differs");
    }
}

#[test]
fn a_second_run_leaves_the_same_record_but_for_the_seconds() {
    let again = Workspace::with_support().tamis(&SUPPORT);
    expect_same(&[&RESULTS[..], &["report.html"]].concat(), support(), &again);
    assert_eq!(again.timeless(), support().timeless());
    assert_eq!(again.stdout, support().stdout);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for threads in ["1", "2", "3"] {
        let run = Workspace::with_support().tamis(&[&SUPPORT[..], &["--threads", threads]].concat());
        expect_same(&RESULTS, support(), &run);
        let (mut one, mut other) = (run.timeless(), support().timeless());
        for audit in [&mut one, &mut other] {
            audit.as_object_mut().unwrap().remove("command").unwrap();
            // The page shows the command as well.
            audit["outputs"].as_array_mut().unwrap().retain(|it| it["path"] != "report.html");
        }
        assert_eq!(one, other, "{threads} threads");
    }
}

#[test]
fn a_run_into_the_record_of_another_replaces_it_and_leaves_nothing_else() {
    let work = Workspace::with_support();
    let first = work.facts(&["support"]);
    let second = work.facts(&["support"]);
    expect_same(&RESULTS, &first, &second);
    assert_eq!(work.names(), ["support", "tamis-out"]);
    assert_eq!(second.files.len(), 6);
}

fn fingerprints(run: &Run) -> BTreeSet<String> {
    // A row that cannot be read is told by its place, which is another one here.
    let findings = run.findings().into_iter().filter(|finding| finding.check != "unreadable-sample");
    findings.map(|finding| finding.fingerprint).collect()
}

#[test]
fn the_order_of_rows_gives_no_other_findings() {
    let work = Workspace::new();
    for name in ["train.jsonl", "test.jsonl"] {
        let text = std::fs::read_to_string(planted().join(name)).unwrap();
        let reversed: Vec<_> = text.lines().rev().collect();
        work.write(&format!("support/{name}"), reversed.join("\n") + "\n");
    }
    let reversed = work.tamis(&SUPPORT);
    assert_eq!(fingerprints(&reversed), fingerprints(support()));
}

#[test]
fn fingerprints_are_unique_in_a_run() {
    let findings = support().findings();
    let distinct: BTreeSet<_> = findings.iter().map(|finding| &finding.fingerprint).collect();
    assert_eq!(distinct.len(), findings.len());
    assert!(distinct.iter().all(|it| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit())));
}
