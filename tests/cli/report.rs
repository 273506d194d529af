//! What is printed and the page that is written.

use std::collections::BTreeSet;

use tamis_report::wire::v1::{Finding, FullAudit};

use crate::common::{FACTS, Run, SUPPORT, Workspace, rows, support};

/// The facts of the planted messages in one format: without a model there is no number that a processor could round.
fn facts_as(format: &str) -> Run {
    Workspace::with_support().tamis(&[&SUPPORT[..], &["--only", FACTS, "--format", format]].concat()).expect(0)
}

#[test]
fn the_full_report_reads_so() {
    let run = facts_as("full");
    assert_eq!(run.stderr, "");
    insta::assert_snapshot!(run.stdout);
}

#[test]
fn the_full_report_keeps_to_100_columns_where_there_is_no_terminal() {
    let widest = support().stdout.lines().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(100), "the rules beside the names of checks");
}

#[test]
fn the_full_report_shows_suspicions_with_their_texts_and_remedies() {
    let report = &support().stdout;
    for line in [
        "  high     a sample of test has the same bytes as one of train",
        "           e02 · test · delivery · support/test.jsonl:2",
        "           t17 · train · delivery · support/train.jsonl:17 · rung bytes · similarity 1",
        "             (the same bytes as e02)",
        "           Relabel t37 as delivery.",
        "             0x7ffe3a10: SIGSEGV in libavcodec.so.58 @ 0x00af31; r8=0000 r9=ffff r10=1b2c;",
        "  Explain  tamis explain split-leak",
    ] {
        assert!(report.lines().any(|it| it == line), "no line {line:?} in\n{report}");
    }
}

#[test]
fn the_concise_report_has_a_line_for_each_finding_and_one_for_all() {
    let run = facts_as("concise");
    insta::assert_snapshot!(run.stdout, @r"
    support/train.jsonl:43: medium unreadable-sample cannot be read: train.jsonl:43: not JSON (EOF while parsing an object at byte 117), expected one JSON object a line [train.jsonl:43]
    support/train.jsonl:22: low exact-duplicate 2 samples have the same bytes [t22]
    support/train.jsonl:24: low exact-duplicate 2 samples have the same text but for case and white space [t24]
    support/train.jsonl:26: low exact-duplicate 2 samples have the same letters and digits [t26]
    support/train.jsonl:17: low exact-duplicate 2 samples have the same bytes, one in each split [t17]
    support/train.jsonl:30: low exact-duplicate 2 samples have the same letters and digits, one in each split [t30]
    support/train.jsonl:31: low exact-duplicate 2 samples have the same text but for case and white space, one in each split [t31]
    support/train.jsonl:54: low exact-duplicate 2 samples have the same bytes [t54]
    support/train.jsonl:46: medium conflicting-labels 2 labels for the same bytes: account (1), billing (1) [t46]
    support/train.jsonl:32: low empty-text holds no text [t32]
    10 findings (medium 2, low 8) in 87 samples; checks: 4 ran
    ");
}

#[test]
fn every_concise_line_has_place_severity_and_check() {
    let run = Workspace::with_support().tamis(&[&SUPPORT[..], &["--format", "concise"]].concat());
    let findings = run.findings();
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), findings.len() + 1);
    for (line, finding) in lines.iter().zip(&findings) {
        let sample = &finding.samples[0];
        let severity = serde_json::to_value(finding.severity).unwrap();
        let (place, severity) = (format!("{}:{}", sample.file, sample.row.unwrap()), severity.as_str().unwrap());
        let (check, message, key) = (&finding.check, &finding.message, &sample.key);
        assert_eq!(*line, format!("{place}: {severity} {check} {message} [{key}]"));
    }
}

#[test]
fn json_is_one_document_with_the_audit_and_all_findings() {
    let run = facts_as("json");
    let full: FullAudit = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(full.findings, run.findings());
    assert_eq!(full.audit.dataset, run.audit().dataset);
    assert_eq!(full.audit.checks, run.audit().checks);
}

#[test]
fn jsonl_is_findings_jsonl() {
    let run = facts_as("jsonl");
    assert_eq!(run.stdout, run.text("findings.jsonl"));
    assert_eq!(run.stdout.lines().count(), 10);
}

#[test]
fn html_is_the_page_of_the_record() {
    let run = facts_as("html");
    assert_eq!(run.stdout, run.text("report.html"));
}

#[test]
fn the_wire_types_know_every_key_that_is_written() {
    let run = support();
    let audit: serde_json::Value = serde_json::from_str(&run.text("audit.json")).unwrap();
    assert_eq!(serde_json::to_value(run.audit()).unwrap(), audit);
    for line in run.text("findings.jsonl").lines() {
        let finding: Finding = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&finding).unwrap(), line);
    }
}

#[test]
fn the_keys_of_the_record_are_those_of_the_schemas() {
    let schema = |name: &str| -> serde_json::Value {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let audit: serde_json::Value = serde_json::from_str(&support().text("audit.json")).unwrap();
    assert_eq!(names(&audit), names(&schema("audit.v1.json")["properties"]));
    for line in support().text("findings.jsonl").lines() {
        let finding = serde_json::from_str(line).unwrap();
        assert_eq!(names(&finding), names(&schema("finding.v1.json")["properties"]));
    }
}

#[test]
fn findings_say_what_to_do_and_name_samples_that_exist() {
    let page = support().text("findings.jsonl");
    for finding in support().findings() {
        assert!(!finding.message.is_empty() && !finding.samples.is_empty(), "{page}");
        let named: BTreeSet<_> = finding.samples.iter().map(|sample| &sample.key).collect();
        let suggestion = finding.suggestion.as_ref();
        assert!(suggestion.is_none_or(|it| it.keys.iter().all(|key| named.contains(key))), "{finding:?}");
    }
}

/// Messages whose texts, keys and labels would do harm if they were not escaped.
fn hostile() -> Run {
    let work = Workspace::new();
    let row = |id: &str, label: &str, text: &str| {
        let row = serde_json::json!({ "id": id, "label": label, "text": text });
        format!("{row}\n")
    };
    let script = "<script>alert(1)</script> & \"quoted\" \u{1b}[31mred\u{7} {{ version }}";
    let content = row("\"><img src=x onerror=alert(2)>", "</td><b>", script) + &row("\u{1b}]0;title\u{7}", "b", script);
    work.write("a.jsonl", content);
    work.facts(&["a.jsonl"]).expect(0)
}

/// The page without its own style and script: its markup and what stands in it as JSON.
fn markup(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (body, rest) = rest.rsplit_once("<script>").unwrap();
    let (script, tail) = rest.rsplit_once("</script>").unwrap();
    assert!(script.starts_with("'use strict';"), "it is ours: {}", &script[..40]);
    format!("{head}{body}{tail}")
}

#[test]
fn the_page_may_load_nothing() {
    let page = support().text("report.html");
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-";
    assert!(page.contains(policy), "the policy forbids all that it does not name");
    assert!(!page.contains("unsafe-"), "and no exception undoes it");
    let lower = markup(&page).to_lowercase();
    for load in ["<link", "<iframe", "<object", "<embed", "<base", "@import", "url(", "src=", "srcset=", "onload="] {
        assert!(!lower.contains(load), "the page holds {load}");
    }
    assert_eq!(lower.matches("<script").count(), 1, "the data alone");
    assert!(!lower.contains("http://") && !lower.contains("href=\"//"), "the page refers elsewhere");
}

#[test]
fn the_page_shows_texts_side_by_side() {
    let page = support().text("report.html");
    for text in
        ["which I did not authorize", "The parcel arrived with a big dent", "SIGSEGV in libavcodec.so.58", "t25"]
    {
        assert!(page.contains(text), "{text} is not on the page");
    }
}

#[test]
fn the_page_escapes_what_comes_from_the_data() {
    let page = hostile().text("report.html");
    let markup = markup(&page);
    assert_eq!(markup.matches("<script").count(), 1, "the data alone");
    for raw in ["<img", "</td><b>", "\u{1b}", "\u{7}"] {
        assert!(!markup.contains(raw), "the page holds {raw:?}");
    }
    assert!(markup.contains("\\u003cscript\\u003ealert(1)"), "the text is shown");
    assert!(markup.contains("{{ version }}"), "the text is no template");
}

#[test]
fn the_terminal_gets_no_control_characters_from_the_data() {
    let report = hostile().stdout;
    let controls: Vec<_> = report.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(controls.is_empty(), "{controls:?} in {report:?}");
    assert!(report.contains("<script>alert(1)</script>"), "the text is shown");
}

#[test]
fn the_wire_keeps_data_as_it_is() {
    let run = hostile();
    let keys: BTreeSet<_> = run.findings()[0].samples.iter().map(|sample| sample.key.clone()).collect();
    assert!(keys.contains("\u{1b}]0;title\u{7}"), "{keys:?}");
}

#[test]
fn without_findings_the_report_says_so() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "second"]));
    let run = work.facts(&["a.jsonl"]).expect(0);
    assert!(run.stdout.contains("  Found    No findings."), "{}", run.stdout);
    assert!(run.text("report.html").contains("No findings"));
    assert_eq!(run.text("findings.jsonl"), "");
}

#[test]
fn progress_is_for_terminals() {
    let work = Workspace::with_support();
    assert_eq!(work.facts(&["support"]).stderr, "");
}
