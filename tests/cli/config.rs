//! The configuration file: where it is looked for, what it says, and that flags beat it.

use serde_json::Value as Json;

use crate::common::{Run, Workspace, rows};

fn workspace(name: &str, config: &str) -> Workspace {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "first", "second"]));
    work.write(name, config);
    work
}

fn ran(run: &Run) -> Vec<String> {
    run.audit().checks.into_iter().map(|check| check.id).collect()
}

/// The effective options of a check.
fn options(run: &Run, check: &str) -> Json {
    let audit = run.timeless();
    let checks = audit["config"]["checks"].as_array().unwrap();
    checks.iter().find(|it| it["id"] == check).unwrap()["options"].clone()
}

#[test]
fn tamis_toml_in_the_working_folder_is_read() {
    let config = "only = ['exact-duplicate', 'empty-text']\nskip = ['empty-text']\nseed = 7\nfail_on = 'low'\n\
                  format = 'concise'\nout = 'record'\nthreads = 1\n";
    let work = workspace("tamis.toml", config);
    let run = work.tamis(&["audit", "a.jsonl"]).expect(1);
    assert_eq!(run.stdout.lines().count(), 2, "one finding and the sum: {}", run.stdout);
    assert_eq!(work.names(), ["a.jsonl", "record", "tamis.toml"]);
    let audit = std::fs::read_to_string(work.path("record/audit.json")).unwrap();
    let audit: Json = serde_json::from_str(&audit).unwrap();
    assert_eq!((&audit["seed"], audit["checks"].as_array().unwrap().len()), (&Json::from(7), 1));
}

#[test]
fn pyproject_is_read_under_tool_tamis() {
    let config = "[project]\nname = 'x'\n\n[tool.tamis]\nonly = ['empty-text']\nseed = 8\n";
    let run = workspace("pyproject.toml", config).tamis(&["audit", "a.jsonl"]).expect(0);
    assert_eq!((ran(&run), run.audit().seed), (vec!["empty-text".to_owned()], 8));
}

#[test]
fn tamis_toml_stands_alone_beside_a_pyproject() {
    let work = workspace("tamis.toml", "only = ['empty-text']\n");
    work.write("pyproject.toml", "[tool.tamis]\nseed = 8\n");
    let run = work.tamis(&["audit", "a.jsonl"]).expect(0);
    assert_eq!((ran(&run), run.audit().seed), (vec!["empty-text".to_owned()], 0));
}

#[test]
fn a_pyproject_that_was_named_must_say_something() {
    let work = workspace("pyproject.toml", "[project]\nname = 'x'\n");
    let refused = work.tamis(&["audit", "a.jsonl", "--config", "pyproject.toml"]).expect(2);
    assert!(refused.stderr.contains("it has no table [tool.tamis]"), "{}", refused.stderr);
}

#[test]
fn a_pyproject_that_says_nothing_of_tamis_changes_nothing() {
    let run = workspace("pyproject.toml", "[project]\nname = 'x'\n").facts(&["a.jsonl"]).expect(0);
    assert_eq!(run.audit().seed, 0);
}

#[test]
fn a_named_configuration_is_read_in_place_of_the_found_one() {
    let work = workspace("tamis.toml", "seed = 7\n");
    work.write("conf/other.toml", "only = ['empty-text']\n");
    let run = work.tamis(&["audit", "a.jsonl", "--config", "conf/other.toml"]).expect(0);
    assert_eq!((ran(&run), run.audit().seed), (vec!["empty-text".to_owned()], 0));
}

#[test]
fn flags_beat_the_file() {
    let config = "only = ['exact-duplicate']\nseed = 7\nfail_on = 'low'\nformat = 'json'\nout = 'record'\n";
    let work = workspace("tamis.toml", config);
    let flags = ["--only", "empty-text", "--seed", "9", "--fail-on", "high", "--format", "jsonl", "--out", "other"];
    let run = work.tamis(&[&["audit", "a.jsonl"], &flags[..]].concat()).expect(0);
    assert_eq!((ran(&run), run.audit().seed, run.stdout.as_str()), (vec!["empty-text".to_owned()], 9, ""));
    assert_eq!(work.names(), ["a.jsonl", "other", "tamis.toml"]);
}

#[test]
fn columns_of_the_file_are_taken_and_those_of_flags_beat_them() {
    let work = workspace("tamis.toml", "text = ['a']\nlabel = 'c'\nonly = ['exact-duplicate', 'empty-text']\n");
    work.write("a.csv", "a,b,c\none,x,1\ntwo,x,2\n");
    let run = work.tamis(&["audit", "a.csv"]).expect(0);
    run.expect_note("text column: `a` (given)");
    run.expect_note("label column: `c` (given)");
    let run = work.tamis(&["audit", "a.csv", "--text", "b"]).expect(0);
    run.expect_note("text column: `b` (given)");
    assert_eq!(run.fact("exact-duplicate", "groups_bytes"), 1);
}

#[test]
fn options_of_checks_come_from_the_file_and_set_beats_them() {
    let work = workspace("tamis.toml", "[checks.outlier]\nk = 3\niqr_factor = 2.5\n");
    let run = work.tamis(&["audit", "a.jsonl", "--only", "outlier", "--set", "outlier.iqr-factor=4.0"]);
    assert_eq!(options(&run.expect(0), "outlier"), serde_json::json!({ "k": 3, "iqr_factor": 4.0 }));
}

#[test]
fn what_the_page_holds_can_be_limited_by_the_file_and_by_flags() {
    let work = workspace("tamis.toml", "redact = true\nreport_budget = '2MB'\n");
    let page = work.tamis(&["audit", "a.jsonl"]).expect(0).text("report.html");
    assert!(page.contains("contents left out") && page.len() < 2_000_000);
    let run = work.tamis(&["audit", "a.jsonl", "--report-budget", "12"]).expect(2);
    assert!(run.stderr.contains("the budget of the report is `12`, expected a number with a unit"), "{}", run.stderr);
}
