//! `tamis diff`: two versions of the planted messages.

use std::fs;

use serde_json::Value as Json;
use tamis_report::wire::v1::Diff;

use crate::common::{FACTS, Run, SUPPORT, Workspace, rows};
use crate::images::png;

/// Audits `support/` by facts alone into `out`.
fn audit(work: &Workspace, out: &str) {
    work.tamis(&[&SUPPORT[..], &["--only", FACTS, "--out", out, "--exit-zero"]].concat()).expect(0);
}

fn json(run: &Run) -> Diff {
    serde_json::from_str(&run.stdout).unwrap()
}

/// Rewrites the lines of the training file.
fn rewrite(work: &Workspace, change: impl Fn(Vec<Json>) -> Vec<Json>) {
    let path = work.path("support/train.jsonl");
    let rows = fs::read_to_string(&path).unwrap();
    let rows: Vec<Json> = rows.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<String> = change(rows).iter().map(Json::to_string).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_version_and_itself_in_another_order_are_the_same() {
    let work = Workspace::with_support();
    rewrite(&work, |rows| rows);
    audit(&work, "one");
    rewrite(&work, |rows| rows.into_iter().rev().collect());
    audit(&work, "two");
    let run = work.tamis(&["diff", "one", "two"]).expect(0);
    assert!(run.stdout.contains("Both versions hold the same samples"), "{}", run.stdout);
    let diff = json(&work.tamis(&["diff", "one", "two", "--format", "json"]).expect(0));
    assert_eq!((diff.samples.added, diff.samples.removed, diff.samples.changed), (0, 0, 0));
    assert!(diff.findings.is_empty() && diff.warnings.is_empty(), "{:?} {:?}", diff.findings, diff.warnings);
    assert!(diff.checks.iter().all(|check| check.new == Some(0) && check.gone == Some(0)), "{:?}", diff.checks);
}

#[test]
fn what_was_added_turned_and_taken_away_is_named() {
    let work = Workspace::with_support();
    rewrite(&work, |rows| rows);
    audit(&work, "one");
    rewrite(&work, |mut rows| {
        rows[0]["label"] = "turned".into();
        let copy = rows[4].clone();
        rows.remove(2);
        rows.push(copy);
        rows.last_mut().unwrap()["id"] = "copy".into();
        rows
    });
    audit(&work, "two");
    let diff = json(&work.tamis(&["diff", "one", "two", "--format", "json", "--fail-on", "low"]).expect(1));
    assert_eq!((diff.samples.added, diff.samples.removed, diff.samples.relabeled), (1, 1, 1));
    assert_eq!(diff.added[0].key, "copy");
    let of = |check: &str| diff.findings.iter().filter(|it| it.check == check).collect::<Vec<_>>();
    assert_eq!(of("changed-label").len(), 1);
    assert!(of("changed-label")[0].message.ends_with("became turned"), "{}", of("changed-label")[0].message);
    let new = of("new-finding");
    assert!(new.iter().any(|it| it.after.iter().any(|sample| sample.key == "copy")), "{new:?}");
}

#[test]
fn a_trained_sample_that_is_evaluated_on_now_fails() {
    let work = Workspace::with_support();
    rewrite(&work, |rows| rows);
    audit(&work, "one");
    let train = fs::read_to_string(work.path("support/train.jsonl")).unwrap();
    let (moved, rest) = train.split_once('\n').unwrap();
    fs::write(work.path("support/train.jsonl"), rest).unwrap();
    let test = fs::read_to_string(work.path("support/test.jsonl")).unwrap();
    fs::write(work.path("support/test.jsonl"), format!("{}\n{moved}\n", test.trim_end())).unwrap();
    audit(&work, "two");
    let run = work.tamis(&["diff", "one", "two"]).expect(1);
    assert!(run.stdout.contains(" moved from train to test"), "{}", run.stdout);
    work.tamis(&["diff", "one", "two", "--exit-zero"]).expect(0);
}

#[test]
fn data_are_audited_first_and_leave_nothing() {
    let work = Workspace::new();
    work.write("a.csv", "text,label\none red fox,x\ntwo blue jays,y\nthree grey wolves,x\n");
    work.write("b.csv", "text,label\none red fox,y\ntwo blue jays,y\nthree grey wolves,x\nfour sheep,x\n");
    let diff = json(&work.tamis(&["diff", "a.csv", "b.csv", "--format", "json", "--quiet"]).expect(0));
    assert_eq!((diff.samples.same, diff.samples.added, diff.samples.relabeled), (3, 1, 1));
    assert!(diff.drift.iter().any(|it| it.measure == "embedding"), "{:?}", diff.drift);
    assert_eq!(work.names(), ["a.csv", "b.csv"]);
}

#[test]
fn pages_and_comments_hold_no_markup_of_the_data() {
    let work = Workspace::new();
    work.write("a.csv", "text,label\none red fox,x\ntwo blue jays,y\n");
    work.write("b.csv", "text,label\none red fox,<script>alert(1)</script>\ntwo blue jays,@y|z\n");
    let page = work.tamis(&["diff", "a.csv", "b.csv", "--format", "html", "--quiet"]).expect(0).stdout;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    let comment = work.tamis(&["diff", "a.csv", "b.csv", "--format", "markdown", "--quiet"]).expect(0).stdout;
    // In a span of code nothing is markup, and in a cell no bar ends it.
    let messages: Vec<&str> = comment.lines().filter(|it| it.contains("changed-label")).collect();
    assert!(messages.iter().all(|it| it.ends_with("` |") && it.matches('`').count() == 2), "{comment}");
    assert!(messages.iter().any(|it| it.contains(r"became @y\|z`")), "{comment}");
}

/// Audits `data` by one kind of facts into `out`, with the configuration that is there.
fn audit_data(work: &Workspace, only: &str, out: &str) {
    work.tamis(&["audit", "data", "--only", only, "--out", out, "--exit-zero"]).expect(0);
}

#[test]
fn rows_that_cannot_be_read_any_more_are_new() {
    let work = Workspace::new();
    let row = |n: usize| format!("{{\"id\":\"{n}\",\"text\":\"number {n}\"}}\n");
    work.write("data/a.jsonl", "{bad\n".to_owned() + &row(1));
    audit_data(&work, "unreadable-sample", "one");
    work.write("data/a.jsonl", "{bad\n".to_owned() + &row(1) + "{bad\n{bad\n");
    audit_data(&work, "unreadable-sample", "two");
    let diff = json(&work.tamis(&["diff", "one", "two", "--format", "json", "--fail-on", "medium"]).expect(1));
    assert_eq!((diff.checks[0].new, diff.checks[0].gone), (Some(2), Some(0)));
    assert_eq!(diff.findings.iter().filter(|it| it.check == "new-finding").count(), 2);
}

#[test]
fn what_was_not_looked_for_before_or_does_not_count_is_not_new() {
    let work = Workspace::new();
    work.write("data/a.jsonl", rows(&["first", "second"]));
    audit_data(&work, "empty-text", "one");
    work.write("data/a.jsonl", rows(&["first", "first", "second"]));
    audit_data(&work, "empty-text,exact-duplicate", "two");
    let diff = |after: &str| work.tamis(&["diff", "one", after, "--format", "json", "--fail-on", "low"]);
    let run = json(&diff("two").expect(0));
    assert!(
        run.warnings.iter().any(|it| it.starts_with("exact-duplicate was not asked for before")),
        "{:?}",
        run.warnings
    );
    let check = run.checks.iter().find(|it| it.id == "exact-duplicate").unwrap();
    assert_eq!((check.new, check.gone), (None, None));

    work.write("data/a.jsonl", rows(&["first", "second"]));
    audit_data(&work, "exact-duplicate", "one");
    work.write("data/a.jsonl", rows(&["first", "first", "second"]));
    audit_data(&work, "exact-duplicate", "two");
    let run = json(&diff("two").expect(1));
    assert!(run.findings.iter().any(|it| it.check == "new-finding"), "{:?}", run.findings);
    let suppress = "[[suppress]]\ncheck = 'exact-duplicate'\npath = 'data/*'\nreason = 'as wanted'\n";
    work.write("tamis.toml", suppress);
    audit_data(&work, "exact-duplicate", "two");
    let run = json(&diff("two").expect(0));
    assert!(run.findings.iter().all(|it| it.check != "new-finding"), "{:?}", run.findings);
}

#[test]
fn a_large_group_takes_no_longer_than_its_size() {
    let work = Workspace::new();
    work.write("data/a.jsonl", rows(&vec!["the same"; 20_000]));
    audit_data(&work, "exact-duplicate", "one");
    work.write("data/a.jsonl", rows(&vec!["the same"; 20_001]));
    audit_data(&work, "exact-duplicate", "two");
    // Cubic time would take hours.
    let diff = json(&work.tamis(&["diff", "one", "two", "--format", "json"]).expect(0));
    let found: Vec<&str> = diff.findings.iter().map(|it| it.message.as_str()).collect();
    assert!(found.iter().any(|it| it.starts_with("other than before: exact-duplicate")), "{found:?}");
}

#[test]
fn a_report_has_a_part_for_what_changed() {
    let work = Workspace::with_support();
    audit(&work, "one");
    audit(&work, "two");
    let plain = fs::read_to_string(work.path("two/report.html")).unwrap();
    let page = work.tamis(&["report", "two", "--format", "html", "--against", "one"]).expect(0).stdout;
    let same = "Both versions hold the same samples with the same labels in the same splits.";
    assert!(page.contains("id=\"view-changes\"") && page.contains(same), "{page}");
    assert!(!plain.contains("id=\"view-changes\""));
    work.write("a/train/cat/a.png", png(1));
    work.tamis(&["audit", "a", "--only", FACTS, "--out", "pictures", "--exit-zero"]).expect(0);
    let refused = work.tamis(&["report", "two", "--against", "pictures"]).expect(2);
    assert!(refused.stderr.contains("one version holds image samples, the other text samples"), "{}", refused.stderr);
}

#[test]
fn what_is_no_version_is_refused() {
    let work = Workspace::with_support();
    audit(&work, "one");
    let run = work.tamis(&["diff", "one", "nowhere"]).expect(3);
    assert!(run.stderr.contains("nowhere"), "{}", run.stderr);
}
