//! `tamis report`: what an audit wrote is shown again from its folder alone.

use std::fs;

use crate::common::{FACTS, Run, SUPPORT, Workspace};
use crate::images::png;

/// The planted messages with the model, in `tamis-out`.
fn audited() -> (Workspace, Run) {
    let work = Workspace::with_support();
    let run = work.tamis(&[&SUPPORT[..], &["--exit-zero"]].concat()).expect(0);
    (work, run)
}

#[test]
fn every_output_of_the_folder_is_the_one_of_the_audit() {
    let (work, run) = audited();
    // The data are not needed.
    fs::remove_dir_all(work.path("support")).unwrap();
    let shown = |format: &str| work.tamis(&["report", "--format", format]).expect(0).stdout;
    assert_eq!(shown("full"), run.stdout);
    assert_eq!(shown("jsonl"), run.text("findings.jsonl"));
    assert_eq!(shown("html"), run.text("report.html"));
    let full: serde_json::Value = serde_json::from_str(&shown("json")).unwrap();
    let audit: serde_json::Value = serde_json::from_str(&run.text("audit.json")).unwrap();
    assert!(audit.as_object().unwrap().iter().all(|(name, value)| &full[name] == value), "{full}");
}

#[test]
fn the_page_is_written_anew_and_the_record_says_so() {
    let (work, run) = audited();
    fs::write(work.path("tamis-out/report.html"), "changed").unwrap();
    let again = work.tamis(&["report"]).expect(0);
    assert_eq!(again.stderr, "wrote tamis-out/report.html\n");
    assert_eq!(again.files, run.files);
}

#[test]
fn without_the_store_texts_are_gone_and_the_rest_is_shown() {
    let (work, run) = audited();
    fs::remove_dir_all(work.path("tamis-out/store")).unwrap();
    let shown = work.tamis(&["report", "--format", "full"]).expect(0).stdout;
    assert!(shown.contains("can no longer be read back"), "{shown}");
    let lines =
        |text: &str| text.lines().filter(|line| line.starts_with("  high ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&shown), lines(&run.stdout));
    assert!(!work.path("tamis-out/store").exists(), "reading made a folder");
}

#[test]
fn images_are_shown_from_the_store_or_their_thumbnails() {
    let work = Workspace::new();
    for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] {
        work.write(&format!("pictures/{name}.png"), png(seed));
    }
    let run = work.tamis(&["audit", "pictures", "--only", "exact-duplicate", "--exit-zero"]).expect(0);
    let page = || work.tamis(&["report", "--format", "html"]).expect(0).stdout;
    assert_eq!(page(), run.text("report.html"));
    fs::remove_dir_all(work.path("tamis-out/store")).unwrap();
    assert_eq!(page(), run.text("report.html"));
}

#[test]
fn a_file_can_be_named_for_any_format() {
    let work = Workspace::with_support();
    let run = work.tamis(&[&SUPPORT[..], &["--only", FACTS, "--format", "concise", "--exit-zero"]].concat()).expect(0);
    work.tamis(&["report", "tamis-out", "--format", "concise", "--output", "lines.txt"]).expect(0);
    assert_eq!(fs::read_to_string(work.path("lines.txt")).unwrap(), run.stdout);
}

#[test]
fn decisions_are_shown_again_and_contents_left_out_on_request() {
    let (work, run) = audited();
    work.tamis(&["apply", "--suggest", "decisions.jsonl", "--audit", "tamis-out"]).expect(0);
    let page = work.tamis(&["report", "--decisions", "decisions.jsonl", "--format", "html"]).expect(0).stdout;
    assert!(page != run.text("report.html") && page.contains("tamis-decisions/1"));
    let text = "I was charged twice for my subscription this month";
    assert!(run.text("report.html").contains(text));
    let redacted = work.tamis(&["report", "--redact", "--format", "html"]).expect(0).stdout;
    assert!(!redacted.contains(text) && redacted.contains("t01"));
    let other = fs::read_to_string(work.path("decisions.jsonl")).unwrap();
    let hash = run.audit().dataset.hash;
    fs::write(work.path("other.jsonl"), other.replace(&hash, &"0".repeat(64))).unwrap();
    let refused = work.tamis(&["report", "--decisions", "other.jsonl"]).expect(2);
    assert!(refused.stderr.contains("about another dataset"), "{}", refused.stderr);
}

#[test]
fn what_the_audit_left_out_of_the_page_stays_out() {
    let work = Workspace::with_support();
    let page = ["--redact", "--report-budget", "2MiB", "--only", FACTS, "--exit-zero"];
    let run = work.tamis(&[&SUPPORT[..], &page].concat()).expect(0);
    let text = "I was charged twice for my subscription this month";
    assert!(!run.text("report.html").contains(text));
    let config = run.audit().config;
    assert_eq!((&config["redact"], &config["report_budget"]), (&true.into(), &2_097_152.into()));
    let again = work.tamis(&["report"]).expect(0);
    assert_eq!(again.files, run.files, "the page is the one of the audit");
    let shown = work.tamis(&["report", "--no-redact", "--format", "html"]).expect(0).stdout;
    assert!(shown.contains(text));
    let like = ["audit", "--like", "tamis-out/audit.json", "--out", "again", "--exit-zero"];
    let same = work.tamis(&like).expect(0);
    assert_eq!(same.audit().config, config);
    assert!(!same.text("report.html").contains(text));
    let other = work.tamis(&[&like[..], &["--no-redact", "--report-budget", "1MB"]].concat()).expect(0);
    let config = other.audit().config;
    assert_eq!((&config["redact"], &config["report_budget"]), (&false.into(), &1_000_000.into()));
    assert!(other.text("report.html").contains(text));
}

#[test]
fn a_damaged_file_of_the_record_is_named() {
    let (work, _) = audited();
    let path = work.path("tamis-out/samples.parquet");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for part in 1..60 {
        let mut damaged = whole.clone();
        damaged[whole.len() * part / 60] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let run = work.tamis(&["report", "--format", "concise"]);
        assert!([0, 3].contains(&run.status), "exit {}: {}", run.status, run.stderr);
        if run.status == 3 {
            refused += 1;
            assert!(run.stderr.contains("tamis-out"), "{}", run.stderr);
        }
    }
    assert!(0 < refused);
}

#[test]
fn what_is_no_record_is_refused_by_name() {
    let (work, _) = audited();
    let missing = work.tamis(&["report", "nowhere"]).expect(3);
    assert!(
        missing.stderr.starts_with("error: nowhere holds no record of an audit: `audit.json`"),
        "{}",
        missing.stderr
    );
    let audit = fs::read_to_string(work.path("tamis-out/audit.json")).unwrap();
    fs::write(work.path("tamis-out/audit.json"), audit.replace("tamis-audit/1", "tamis-audit/9")).unwrap();
    let newer = work.tamis(&["report"]).expect(3);
    assert!(newer.stderr.contains("is of the format `tamis-audit/9`, expected `tamis-audit/1`"), "{}", newer.stderr);
    fs::write(work.path("tamis-out/audit.json"), &audit).unwrap();
    let findings = fs::read_to_string(work.path("tamis-out/findings.jsonl")).unwrap();
    fs::write(work.path("tamis-out/findings.jsonl"), findings.replace("\"key\":\"e02\"", "\"key\":\"other\"")).unwrap();
    let mixed = work.tamis(&["report"]).expect(3);
    assert!(mixed.stderr.contains("there is no sample `other` in samples.parquet"), "{}", mixed.stderr);
    fs::write(work.path("tamis-out/findings.jsonl"), "{}\n").unwrap();
    let broken = work.tamis(&["report"]).expect(3);
    assert!(broken.stderr.contains("findings.jsonl line 1: expected what tamis"), "{}", broken.stderr);
}
