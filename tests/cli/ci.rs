//! What a pipeline uses: outputs for other programs, suppressions, a baseline, and the action and the hooks in the tree.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;
use tamis_report::RENDERERS;
use tamis_report::wire::v1::Baseline;

use crate::common::{FACTS, Run, SUPPORT, Workspace, rows};

/// The facts of the planted messages, ten findings of which two are medium, with further arguments.
fn facts(work: &Workspace, args: &[&str]) -> Run {
    work.tamis(&[&SUPPORT[..], &["--only", FACTS, "--fail-on", "low"], args].concat())
}

#[test]
fn every_format_of_the_folder_is_the_one_of_the_audit() {
    let work = Workspace::with_support();
    facts(&work, &["--out", "base"]).expect(1);
    let suppress =
        "[[suppress]]\ncheck = 'empty-text'\nkey = 't32'\nreason = 'a <b>form</b> feed'\nexpires = 2027-01-31\n";
    work.write("tamis.toml", suppress);
    let lines = std::fs::read_to_string(work.path("base/findings.jsonl")).unwrap();
    work.write("some.jsonl", lines.lines().take(4).collect::<Vec<_>>().join("\n"));
    for format in RENDERERS.iter().map(|it| it.id()).filter(|it| *it != "json") {
        let run = facts(&work, &["--baseline", "some.jsonl", "--today", "2026-12-31", "--format", format]).expect(1);
        let again = work.tamis(&["report", "--format", format]).expect(0);
        assert_eq!(again.stdout, run.stdout, "{format}");
    }
}

#[test]
fn what_a_baseline_knows_does_not_count() {
    let work = Workspace::with_support();
    facts(&work, &["--out", "base"]).expect(1);
    let run = facts(&work, &["--baseline", "base"]).expect(0);
    assert!(run.findings().iter().all(|it| it.baseline == Some(Baseline::Known)));
    run.expect_note("baseline: base/findings.jsonl has 10 findings, 10 of them were found again");
    assert!(run.stdout.contains("Of these 10 known from the baseline, 0 new."), "{}", run.stdout);
    // One message more, a copy of another, and the audit fails by it alone.
    let train = std::fs::read_to_string(work.path("support/train.jsonl")).unwrap();
    let first = train.lines().nth(2).unwrap().replacen("t03", "t99", 1);
    assert!(first.contains("t99"), "{first}");
    work.write("support/train.jsonl", format!("{train}{first}\n"));
    let run = facts(&work, &["--baseline", "base/findings.jsonl"]).expect(1);
    let new: Vec<_> = run.findings().into_iter().filter(|it| it.baseline == Some(Baseline::New)).collect();
    let keys: BTreeSet<_> = new.iter().flat_map(|it| it.samples.iter().map(|it| it.key.clone())).collect();
    assert_eq!((new.len(), keys), (1, ["t03", "t99"].map(str::to_owned).into()));
    let record = run.check("exact-duplicate");
    assert_eq!((record.findings, record.known, record.suppressed), (Some(8), Some(7), Some(0)));
}

#[test]
fn a_suppressed_finding_stays_in_the_record_with_its_reason() {
    let work = Workspace::new();
    work.write("data/a.jsonl", rows(&["first", "first", "second"]));
    let config = "only = ['exact-duplicate']\nfail_on = 'low'\n\
                  [[suppress]]\ncheck = 'exact-duplicate'\npath = 'data/*.jsonl'\nreason = 'as wanted'\nexpires = 2027-01-31\n";
    work.write("tamis.toml", config);
    let audit = |day: &str| work.tamis(&["audit", "data", "--today", day]);
    let run = audit("2027-01-30").expect(0);
    let [finding] = &run.findings()[..] else { panic!("{}", run.stdout) };
    let suppressed = finding.suppressed.as_ref().unwrap();
    assert_eq!((suppressed.reason.as_str(), suppressed.expires.as_deref()), ("as wanted", Some("2027-01-31")));
    assert_eq!(run.check("exact-duplicate").suppressed, Some(1));
    assert!(run.stdout.contains("(suppressed until 2027-01-31: as wanted)"), "{}", run.stdout);
    let sarif: Json = serde_json::from_str(&work.tamis(&["report", "--format", "sarif"]).expect(0).stdout).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["suppressions"][0]["justification"], "as wanted");
    let suggested = |file: &str| {
        work.tamis(&["apply", "--suggest", file]).expect(0);
        std::fs::read_to_string(work.path(file)).unwrap().lines().count() - 1
    };
    assert_eq!(suggested("none.jsonl"), 0, "nobody wants it to go");
    let late = audit("2027-01-31").expect(1);
    assert_eq!(suggested("one.jsonl"), 1);
    late.expect_note("suppression 1 (exact-duplicate: as wanted) expired on 2027-01-31; findings it covers: 1");
    assert_eq!(late.findings()[0].suppressed, None);
}

#[test]
fn a_baseline_is_never_what_the_run_writes() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "first"]));
    work.facts(&["a.jsonl", "--exit-zero"]).expect(0);
    for baseline in ["tamis-out", "./tamis-out/findings.jsonl"] {
        let refused = work.facts(&["a.jsonl", "--baseline", baseline]).expect(2);
        assert!(refused.stderr.contains("is what this run writes"), "{}", refused.stderr);
    }
}

#[test]
fn a_finding_about_labels_is_another_one_under_other_labels() {
    let work = Workspace::new();
    let row = |label: &str| format!("{{\"text\":\"the same words\",\"label\":\"{label}\"}}\n");
    work.write("a.jsonl", row("x") + &row("y"));
    work.facts(&["a.jsonl", "--exit-zero", "--out", "base"]).expect(0);
    work.write("a.jsonl", row("y") + &row("z"));
    let run = work.facts(&["a.jsonl", "--exit-zero", "--baseline", "base"]).expect(0);
    let known = |check: &str| run.check(check).known;
    assert_eq!((known("exact-duplicate"), known("conflicting-labels")), (Some(1), Some(0)));
}

#[test]
fn rows_that_cannot_be_read_are_known_however_the_path_is_spelled() {
    let work = Workspace::new();
    work.write("data/a.jsonl", rows(&["one"]) + "{bad\n");
    work.facts(&["data", "--exit-zero", "--out", "base"]).expect(0);
    for path in ["./data".to_owned(), work.path("data").display().to_string()] {
        let run = work.facts(&[&path, "--exit-zero", "--baseline", "base"]).expect(0);
        assert_eq!(run.check("unreadable-sample").known, Some(1), "{path}");
    }
}

#[test]
fn a_suppression_that_covers_nothing_is_named() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "second"]));
    let suppress = |check: &str| format!("[[suppress]]\ncheck = '{check}'\nkey = 'gone'\nreason = 'fixed?'\n");
    work.write("tamis.toml", suppress("empty-text") + &suppress("outlier"));
    let run = work.facts(&["a.jsonl"]).expect(0);
    run.expect_note("suppression 1 (empty-text: fixed?) covers no finding and can go");
    assert!(!run.stdout.contains("outlier: fixed?"), "the check did not run: {}", run.stdout);
}

#[test]
fn suppressions_and_baselines_that_cannot_be_used_are_refused_before_reading() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first"]));
    let refused = |config: &str, args: &[&str], said: &str| {
        work.write("tamis.toml", config);
        let run = work.facts(&[&["a.jsonl"], args].concat()).expect(2);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    };
    let suppress = |rest: &str| format!("[[suppress]]\ncheck = 'empty-text'\n{rest}\n");
    refused(&suppress("key = 'a'"), &[], "missing field `reason`");
    refused(&suppress("reason = 'r'"), &[], "suppress 1: it does not say which findings of empty-text");
    refused(
        &suppress("reason = 'r'\nkey = 'a'\nexpires = 'soon'"),
        &[],
        "`soon` is no day, expected one like 2027-01-31",
    );
    refused("", &["--baseline", "gone"], "cannot read gone");
    work.write("bad.jsonl", "{\"fingerprint\": \"00\"}\n{}\n");
    refused("", &["--baseline", "bad.jsonl"], "bad.jsonl line 2 is no finding of findings.jsonl");
    assert!(!work.path("tamis-out").exists());
}

#[test]
fn hostile_names_of_files_and_keys_do_no_harm_in_any_format() {
    let work = Workspace::new();
    let row = |id: &str| {
        format!("{}\n", serde_json::json!({ "id": id, "label": "@team `|", "text": "the same words in both" }))
    };
    let content = row("::error::x\n::set-output y") + &row("]]> \u{0}\u{202e}<b>");
    work.write("data/a b,c:d%#&\n'é.jsonl", content);
    let shown = |format: &str| work.facts(&["data", "--format", format]).expect(0).stdout;
    let sarif: Json = serde_json::from_str(&shown("sarif")).unwrap();
    let uri = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "data/a%20b%2Cc%3Ad%25%23%26%0A%27%C3%A9.jsonl");
    let github = shown("github");
    assert!(github.contains("file=data/a b%2Cc%3Ad%25#&\\n'é.jsonl,line=2,"), "{github}");
    assert!(github.lines().all(|it| it.starts_with("::notice ")), "{github}");
    let junit = shown("junit");
    assert!(junit.contains("]]&gt; \\u{0}\\u{202e}&lt;b&gt;"), "{junit}");
    let markdown = shown("markdown");
    assert!(markdown.contains("key `]]> \\u{0}\\u{202e}<b>`"), "{markdown}");
    for text in [github, junit, markdown] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

/// A file of the tree.
fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// All long flags in a text.
fn flags(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    text.split(|c: char| !is_part(c)).filter(|it| it.starts_with("--") && 2 < it.len()).collect()
}

#[test]
fn the_action_and_the_hooks_use_flags_that_exist() {
    let work = Workspace::new();
    let help: String = ["audit", "report"].map(|it| work.tamis(&[it, "--help"]).expect(0).stdout).concat();
    let known: BTreeSet<&str> = flags(&help);
    // Of cargo, which builds, and of the shell.
    let others = BTreeSet::from(["--release", "--locked", "--bin", "--manifest-path"]);
    for name in ["action.yml", ".pre-commit-hooks.yaml"] {
        let text = file(name);
        let used = flags(&text);
        assert!(used.contains("--format"), "{name}");
        let unknown: Vec<_> = used.difference(&known).filter(|it| !others.contains(**it)).collect();
        assert!(unknown.is_empty(), "{name} uses {unknown:?}");
    }
    let action = file("action.yml");
    let formats = action.lines().filter_map(|it| it.split("--format ").nth(1)?.split_whitespace().next());
    let formats: Vec<_> = formats.collect();
    assert_eq!(formats, ["github", "markdown", "sarif"]);
    assert!(formats.iter().all(|it| tamis_report::find(it).is_some()));
}

#[test]
fn the_inputs_of_the_action_are_those_it_uses() {
    let action = file("action.yml");
    let declared: BTreeSet<&str> = action
        .split("\ninputs:\n")
        .nth(1)
        .and_then(|it| it.split("\noutputs:\n").next())
        .unwrap()
        .lines()
        .filter_map(|it| it.strip_prefix("  ").filter(|it| !it.starts_with(' '))?.strip_suffix(':'))
        .collect();
    let used: BTreeSet<&str> = action
        .split("inputs.")
        .skip(1)
        .filter_map(|it| it.split(|c: char| !c.is_ascii_lowercase() && c != '-').next())
        .collect();
    assert_eq!(declared, used);
    // An input in a script would be run by the shell; in a variable it is a text.
    let scripts = action.split("run: |").skip(1).filter_map(|it| it.split("\n    - ").next());
    for script in scripts {
        assert!(!script.split("env:").next().unwrap().contains("${{"), "{script}");
    }
}
