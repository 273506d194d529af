//! `tamis apply`: what was decided is done, nothing else is, and never to the input.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use tamis_report::wire::v1::{Decision, DecisionAction, Decisions, Finding, Manifest};

use crate::common::{FACTS, Run, SUPPORT, Workspace, keys, rows};
use crate::images::png;

/// The arguments that read the planted messages.
const INPUTS: [&str; 4] = ["--train", "support/train.jsonl", "--test", "support/test.jsonl"];

/// All files below a folder, by path.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|it| it.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Decisions as a file holds them.
fn decisions(work: &Workspace, name: &str) -> Vec<Decision> {
    Decisions::read(BufReader::new(fs::File::open(work.path(name)).unwrap())).unwrap().decisions
}

/// Writes decisions on the dataset that `run` audited: key and what becomes of it.
fn decide(work: &Workspace, name: &str, run: &Run, actions: &[(&str, Json)]) {
    let samples = samples(run);
    let mut text =
        json!({ "schema": "tamis-decisions/1", "dataset_hash": run.audit().dataset.hash }).to_string() + "\n";
    for (key, action) in actions {
        let mut line = json!({ "key": key, "identity": samples[*key], "reason": "by hand", "reviewer": "me" });
        line.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
        text.push_str(&format!("{line}\n"));
    }
    work.write(name, text);
}

/// Identity of every sample by key.
fn samples(run: &Run) -> BTreeMap<String, Option<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.parquet");
    fs::write(&path, &run.files["samples.parquet"]).unwrap();
    let samples = tamis_data::audited::read_samples(&path).unwrap();
    samples.into_iter().map(|it| (it.key, it.identity)).collect()
}

fn manifest(work: &Workspace, dir: &str) -> Manifest {
    serde_json::from_slice(&fs::read(work.path(dir).join("tamis-manifest.json")).unwrap()).unwrap()
}

/// Which check says something of which samples.
fn facts(findings: &[Finding]) -> BTreeSet<(String, Vec<String>)> {
    findings.iter().map(|it| (it.check.clone(), keys(it))).collect()
}

#[test]
fn what_was_suggested_is_gone_in_the_next_audit_and_everything_else_is_there() {
    let work = Workspace::with_support();
    let before = work.tamis(&SUPPORT).expect(1);
    let suggested = work.tamis(&["apply", "--suggest", "suggested.jsonl"]).expect(0);
    insta::assert_snapshot!(suggested.stdout, @r"
    11 decisions in suggested.jsonl
      unreadable-sample               1
      empty-text                      1
      split-leak                      4
      exact-duplicate                 2
      near-duplicate                  3
    ");
    let again = work.tamis(&["apply", "--suggest", "again.jsonl"]).expect(0);
    assert_eq!(suggested.stdout.replace("suggested", "again"), again.stdout);
    assert_eq!(fs::read(work.path("suggested.jsonl")).unwrap(), fs::read(work.path("again.jsonl")).unwrap());
    let input = tree(&work.path("support"));
    let args = [&["apply"], &INPUTS[..], &["--decisions", "suggested.jsonl", "--out", "clean"]].concat();
    let applied = work.tamis(&args).expect(0);
    insta::assert_snapshot!(applied.stdout, @r"
    split  before  dropped  relabeled  moved out  moved in  after
    train      69       11          0          0         0     58
    test       18        0          0          0         0     18

    file                 kept  dropped  relabeled  moved
    support/train.jsonl    58       11          0      0
    support/test.jsonl     18        0          0      0

    written to clean; tamis-manifest.json there says how it came about
    ");
    assert!(tree(&work.path("support")) == input, "the input was touched");

    let dropped: BTreeSet<String> = decisions(&work, "suggested.jsonl").into_iter().map(|it| it.key).collect();
    let after = work.tamis(&["audit", "--train", "clean/train.jsonl", "--test", "clean/test.jsonl", "--out", "o2"]);
    assert_eq!(after.check("split-leak").findings, Some(0));
    for check in ["unreadable-sample", "empty-text", "exact-duplicate", "near-duplicate"] {
        let left = after.findings_of(check);
        let actionable = left.iter().filter(|it| it.suggestion.as_ref().is_some_and(|it| !it.keys.is_empty()));
        assert_eq!(actionable.count(), 0, "{check}: {left:#?}");
    }
    // What was not acted on is still found: nothing else went.
    let is_untouched = |it: &&Finding| it.samples.iter().all(|sample| !dropped.contains(&sample.key));
    let checks = ["exact-duplicate", "near-duplicate", "conflicting-labels", "outlier"];
    for check in checks {
        let expected: Vec<Finding> = before.findings_of(check).iter().filter(is_untouched).cloned().collect();
        assert!(facts(&expected).is_subset(&facts(&after.findings_of(check))), "{check}: {expected:#?}");
    }
    // Every line that is left is one of the input, in its order, and those that are not were dropped.
    for name in ["train.jsonl", "test.jsonl"] {
        let lines =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let is_kept = |(idx, line): &(usize, String)| match serde_json::from_str::<Json>(line) {
            Ok(object) => !dropped.contains(object["id"].as_str().unwrap()),
            Err(_) => !dropped.contains(&format!("{name}:{}", idx + 1)),
        };
        let expected = lines(&input[name]).into_iter().enumerate().filter(is_kept).map(|it| it.1).collect::<Vec<_>>();
        assert_eq!(lines(&fs::read(work.path("clean").join(name)).unwrap()), expected);
    }
    let manifest = manifest(&work, "clean");
    assert_eq!(manifest.parent.dataset_hash, before.audit().dataset.hash);
    assert_eq!((manifest.actions.dropped, manifest.actions.kept), (dropped.len() as u64, 87 - dropped.len() as u64));
    for file in &manifest.files {
        let bytes = fs::read(work.path("clean").join(&file.path)).unwrap();
        assert_eq!(file.blake3.as_deref(), Some(blake3::hash(&bytes).to_hex().as_str()));
        assert_eq!(bytes.split_inclusive(|it| *it == b'\n').count() as u64, file.rows_out);
    }
    // An audit of the folder takes the manifest for what it is.
    let folder = work.tamis(&["audit", "clean", "--only", FACTS, "--out", "o3"]).expect(0);
    assert_eq!(folder.audit().dataset.n_samples, manifest.actions.kept);
}

#[test]
fn relabeling_is_suggested_when_asked_for_and_up_to_the_budget() {
    let work = Workspace::with_support();
    let audit = work.tamis(&SUPPORT).expect(1);
    work.tamis(&["apply", "--suggest", "plain.jsonl"]).expect(0);
    work.tamis(&["apply", "--suggest", "relabel.jsonl", "--relabel"]).expect(0);
    let relabeled: Vec<Decision> =
        decisions(&work, "relabel.jsonl").into_iter().filter(|it| it.action == DecisionAction::Relabel).collect();
    assert!(decisions(&work, "plain.jsonl").iter().all(|it| it.action == DecisionAction::Drop));
    let budget = audit.fact("label-error", "to_review").as_u64().unwrap();
    assert!(!relabeled.is_empty() && relabeled.len() as u64 <= budget, "{budget} {relabeled:#?}");
    let args = [&["apply"], &INPUTS[..], &["--decisions", "relabel.jsonl", "--out", "clean"]].concat();
    work.tamis(&args).expect(0);
    let text = fs::read_to_string(work.path("clean/train.jsonl")).unwrap();
    for it in &relabeled {
        let line = text.lines().find(|line| line.contains(&format!("\"id\": \"{}\"", it.key))).unwrap();
        let object: Json = serde_json::from_str(line).unwrap();
        assert_eq!(object["label"].as_str(), it.label.as_deref());
    }
    // Nothing that was dropped is relabeled, and one of two that are alike stays.
    let all = decisions(&work, "relabel.jsonl");
    assert_eq!(all.iter().map(|it| &it.key).collect::<BTreeSet<_>>().len(), all.len());
    let dropped: BTreeSet<&String> =
        all.iter().filter(|it| it.action == DecisionAction::Drop).map(|it| &it.key).collect();
    for finding in audit.findings().iter().filter(|it| it.check.ends_with("-duplicate")) {
        // Where none stays, they are copies of what is evaluated on, and that stays.
        let is_leak = |key: &String| all.iter().any(|it| it.key == *key && it.reason.contains("split-leak: "));
        let stays = finding.samples.iter().any(|it| !dropped.contains(&it.key));
        assert!(stays || finding.samples.iter().all(|it| is_leak(&it.key)), "{finding:#?}");
    }
}

#[test]
fn a_persons_decisions_override_the_suggested_ones() {
    let work = Workspace::new();
    work.write("data/train.jsonl", "{\"text\": \"one\", \"label\": \"x\"}\n{\"text\": \"one\", \"label\": \"x\"}\n{\"text\": \"two\", \"label\": \"y\"}\n");
    let run = work.facts(&["data"]);
    work.tamis(&["apply", "--suggest", "a.jsonl"]).expect(0);
    let by_hand = [
        ("train.jsonl:2", json!({ "action": "keep" })),
        ("train.jsonl:3", json!({ "action": "relabel", "label": "x" })),
        ("train.jsonl:1", json!({ "action": "move-split", "split": "dev" })),
    ];
    decide(&work, "b.jsonl", &run, &by_hand);
    let args = ["apply", "data", "--decisions", "a.jsonl", "--decisions", "b.jsonl", "--out", "clean"];
    let run = work.tamis(&args).expect(0);
    insta::assert_snapshot!(run.stdout, @r"
    split       before  dropped  relabeled  moved out  moved in  after
    train            3        0          1          1         0      2
    validation       0        0          0          0         1      1

    file              kept  dropped  relabeled  moved
    data/train.jsonl     3        0          1      1

    written to clean; tamis-manifest.json there says how it came about
    ");
    let clean = tree(&work.path("clean"));
    assert_eq!(clean["train.jsonl"], b"{\"text\": \"one\", \"label\": \"x\"}\n{\"text\": \"two\", \"label\": \"x\"}\n");
    assert_eq!(clean["validation.jsonl"], b"{\"text\": \"one\", \"label\": \"x\"}\n");
    let actions = manifest(&work, "clean").actions;
    assert_eq!([actions.kept, actions.dropped, actions.relabeled, actions.moved], [3, 0, 1, 1]);
}

#[test]
fn of_several_leaks_of_one_sample_the_first_gives_the_reason() {
    let work = Workspace::new();
    work.write("train.jsonl", rows(&["the same words", "the same words", "other words"]));
    work.write("test.jsonl", rows(&["the same words", "the same words", "more words"]));
    let inputs = ["--train", "train.jsonl", "--test", "test.jsonl"];
    work.tamis(&[&["audit"], &inputs[..], &["--only", "split-leak", "--exit-zero"]].concat()).expect(0);
    work.tamis(&["apply", "--suggest", "d.jsonl"]).expect(0);
    let reasons: Vec<(String, String)> =
        decisions(&work, "d.jsonl").into_iter().map(|it| (it.key, it.reason)).collect();
    let reason = "split-leak: the same bytes as `test.jsonl:1` of test";
    let expected = ["train.jsonl:1", "train.jsonl:2"].map(|key| (key.to_owned(), reason.to_owned()));
    assert_eq!(reasons, expected);
}

#[test]
fn what_may_be_the_rest_of_a_file_is_not_suggested_to_go() {
    let work = Workspace::new();
    work.write("data.csv", "text,label\nfirst,a\nonly one field\n\"never closed,a\nand,more\n");
    work.tamis(&["audit", "data.csv", "--only", FACTS, "--exit-zero"]).expect(0);
    let suggested = work.tamis(&["apply", "--suggest", "d.jsonl"]).expect(0);
    insta::assert_snapshot!(suggested.stdout, @r"
    1 decision in d.jsonl
      unreadable-sample               1
    note: 1 unreadable row left to a person: the last row of a file holds the rest of it where a quote is never closed
    ");
    assert_eq!(decisions(&work, "d.jsonl").iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["data.csv:2"]);
}

#[test]
fn images_are_applied_from_the_record_to_the_links() {
    let work = Workspace::new();
    for (name, seed) in [("train/cat/a.png", 3), ("train/cat/b.png", 3), ("train/dog/c.png", 4), ("test/dog/d.png", 4)]
    {
        work.write(&format!("data/{name}"), png(seed));
    }
    work.write("data/train/cat/broken.png", &png(5)[..40]);
    work.write("data/test/cat/e.png", png(6));
    let before = work.tamis(&["audit", "data", "--only", "unreadable-sample,exact-duplicate,split-leak"]).expect(1);
    work.tamis(&["apply", "--suggest", "d.jsonl"]).expect(0);
    let input = tree(&work.path("data"));
    for (link, extra) in [("copy", &[][..]), ("hard", &["--audit", "tamis-out"]), ("symbolic", &[])] {
        let args = [&["apply", "data", "--decisions", "d.jsonl", "--link", link, "--out", link], extra].concat();
        work.tamis(&args).expect(0);
        let mut clean = tree(&work.path(link));
        clean.remove("tamis-manifest.json").unwrap();
        let expected = ["test/cat/e.png", "test/dog/d.png", "train/cat/a.png"];
        assert_eq!(clean.keys().collect::<Vec<_>>(), expected);
        assert!(clean.iter().all(|(name, bytes)| input[name] == *bytes), "{link}");
        assert_eq!(work.path(link).join(expected[0]).is_symlink(), link == "symbolic");
    }
    assert!(tree(&work.path("data")) == input, "the input was touched");
    assert_eq!(manifest(&work, "copy").parent.dataset_hash, before.audit().dataset.hash);
    let audit = ["audit", "copy", "--only", "unreadable-sample,exact-duplicate,split-leak", "--out", "o2"];
    let left = work.tamis(&audit).expect(0).findings();
    // The pictures are drawn by one formula, and so close to each other.
    assert!(left.iter().all(|it| it.evidence["rung"] == "semantic"), "{left:#?}");
}

#[test]
fn a_run_that_ends_anywhere_leaves_nothing_half_written() {
    let work = Workspace::with_support();
    let run = work.facts(&INPUTS);
    decide(&work, "d.jsonl", &run, &[("t01", json!({ "action": "drop" }))]);
    let args = [&["apply"], &INPUTS[..], &["--decisions", "d.jsonl", "--out", "clean", "-q"]].concat();
    for point in 1.. {
        let mut command = work.command(&[&args[..], &["--failpoint", &point.to_string()]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reached = lines.any(|line| line.unwrap() == "failpoint reached");
        if !reached {
            assert_eq!(child.wait().unwrap().code(), Some(0));
            assert!(5 < point, "there are more points than {point}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let clean = tree(&work.path("clean"));
        let is_whole = clean.len() == 3 && clean.contains_key("tamis-manifest.json");
        assert!(clean.is_empty() || is_whole, "at point {point}: {:?}", clean.keys());
        if is_whole {
            fs::remove_dir_all(work.path("clean")).unwrap();
        }
    }
    let left: Vec<String> = work.names().into_iter().filter(|it| it.contains(".tmp-")).collect();
    assert!(!left.is_empty(), "what a killed run leaves has a name that says so");
    fs::remove_dir_all(work.path("clean")).unwrap();
    let run = work.tamis(&args[..args.len() - 1]).expect(0);
    assert!(
        run.stderr.contains(&format!("note: `{}` is what another run has not finished", left[0])),
        "{}",
        run.stderr
    );
}

#[test]
fn data_that_changed_since_the_review_is_refused() {
    let work = Workspace::new();
    let text = rows(&["one", "two", "three"]);
    work.write("t.jsonl", &text);
    let run = work.facts(&["t.jsonl"]);
    decide(&work, "d.jsonl", &run, &[("t.jsonl:2", json!({ "action": "drop" }))]);
    let apply = |extra: &[&str]| {
        work.tamis(&[&["apply", "t.jsonl", "--decisions", "d.jsonl", "--out", "clean"], extra].concat())
    };
    work.write("t.jsonl", text.replace("three", "other"));
    let refused = apply(&[]).expect(3);
    assert!(refused.stderr.starts_with("error: the dataset is not the one that `d.jsonl` is about: its hash is "));
    assert!(refused.stderr.contains("\nhint: give the inputs and options of the audit; where the data changed"));
    apply(&["--allow-changes"]).expect(0);
    assert_eq!(fs::read_to_string(work.path("clean/t.jsonl")).unwrap(), rows(&["one", "other"]));
    work.write("t.jsonl", text.replace("two", "2"));
    let refused = apply(&["--allow-changes", "--dry-run"]).expect(3);
    assert!(
        refused.stderr.starts_with("error: `t.jsonl:2` (`t.jsonl`:2) has changed since it was reviewed in `d.jsonl`\n"),
        "{}",
        refused.stderr
    );
    work.write("t.jsonl", rows(&["one"]));
    let refused = apply(&["--allow-changes", "--dry-run"]).expect(3);
    assert!(refused.stderr.starts_with("error: `d.jsonl` decides on `t.jsonl:2`, and no sample has that key\n"));
}

#[test]
fn what_is_wrong_with_the_command_is_said_before_anything_is_written() {
    let work = Workspace::new();
    work.write("data/t.jsonl", rows(&["one", "two"]));
    let run = work.facts(&["data"]);
    decide(&work, "d.jsonl", &run, &[("t.jsonl:2", json!({ "action": "relabel", "label": "x" }))]);
    work.write("bad.jsonl", "{}\n");
    let check = |args: &[&str], status, expected: &str| {
        let run = work.tamis(&[&["apply"], args].concat()).expect(status);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    };
    check(&["data", "--out", "clean"], 2, "error: nothing to apply: expected --decisions FILE, --resplit SHARES");
    check(&["data", "--decisions", "d.jsonl"], 2, "error: nowhere to write: expected --out DIR, or --dry-run");
    check(&["data", "--decisions", "d.jsonl", "--out", "data/x"], 2, "lies in `data`, which is read");
    check(&["data", "--decisions", "d.jsonl", "--out", "tamis-out"], 2, "is there already: expected a new folder");
    check(&["data", "--decisions", "bad.jsonl", "--out", "c"], 2, "caused by: line 1: no schema, expected a header");
    check(&["data", "--decisions", "no.jsonl", "--out", "c"], 3, "error: cannot read `no.jsonl`");
    check(
        &["data", "--decisions", "d.jsonl", "--out", "c"],
        2,
        "its table has no column of labels\n\nhint: name the column",
    );
    check(&["data", "--resplit", "0.5,0.6", "--out", "c"], 2, "expected two or three shares above 0 that add up to 1");
    check(&["data", "--resplit", "0.5,0.5", "--audit", "no", "--out", "c"], 3, "cannot read `no/audit.json`");
    #[cfg(unix)]
    {
        fs::create_dir(work.path("empty")).unwrap();
        std::os::unix::fs::symlink("empty", work.path("link")).unwrap();
        for out in ["link", "link/"] {
            check(&["data", "--decisions", "d.jsonl", "--out", out], 2, "`link` is a link: expected a new folder");
        }
        fs::remove_file(work.path("link")).unwrap();
        fs::remove_dir(work.path("empty")).unwrap();
    }
    check(&["--suggest", "d.jsonl"], 2, "error: `d.jsonl` is there already: expected the name of a new file");
    check(&["--suggest", "e.jsonl", "--audit", "no"], 3, "hint: name the folder of an audit with --audit DIR");
    assert_eq!(work.names(), ["bad.jsonl", "d.jsonl", "data", "tamis-out"]);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let work = Workspace::with_support();
    let run = work.facts(&INPUTS);
    decide(&work, "d.jsonl", &run, &[("t01", json!({ "action": "drop" })), ("t02", json!({ "action": "keep" }))]);
    let before = work.names();
    let args = [&["apply"], &INPUTS[..], &["--decisions", "d.jsonl", "--dry-run"]].concat();
    let dry = work.tamis(&args).expect(0);
    assert_eq!(work.names(), before);
    let args = [&["apply"], &INPUTS[..], &["--decisions", "d.jsonl", "--out", "deep/er/clean"]].concat();
    let done = work.tamis(&args).expect(0);
    let table = |run: &Run| run.stdout.rsplit_once("\n\n").unwrap().0.to_owned();
    assert_eq!(table(&dry), table(&done));
    assert!(dry.stdout.ends_with("nothing was written (--dry-run)\n"));
    insta::assert_snapshot!(table(&dry), @r"
    split  before  dropped  relabeled  moved out  moved in  after
    train      69        1          0          0         0     68
    test       18        0          0          0         0     18

    file                 kept  dropped  relabeled  moved
    support/train.jsonl    68        1          0      0
    support/test.jsonl     18        0          0      0
    ");
}

#[test]
fn new_splits_cut_no_family_and_keep_classes() {
    let work = Workspace::new();
    let mut text = String::new();
    for idx in 0..60 {
        let (number, label) = (idx / 2, if idx % 4 < 2 { "even" } else { "odd" });
        // Every text stands there twice, once in capitals.
        let words = format!("this is message number {number} of all the messages");
        let words = if idx % 2 == 0 { words.to_uppercase() } else { words };
        text.push_str(&format!("{}\n", json!({ "text": words, "label": label })));
    }
    work.write("all.jsonl", &text);
    let audit = ["audit", "all.jsonl", "--only", "exact-duplicate,conflicting-labels"];
    work.tamis(&audit).expect(0);
    let args = ["apply", "all.jsonl", "--resplit", "0.8,0.1,0.1", "--seed", "7", "--out", "new"];
    let run = work.tamis(&args).expect(0);
    insta::assert_snapshot!(run.stdout, @r"
    split       before  dropped  relabeled  moved out  moved in  after
    train           60        0          0         12         0     48
    validation       0        0          0          0         6      6
    test             0        0          0          0         6      6

    file       kept  dropped  relabeled  moved
    all.jsonl    60        0          0     12

    written to new; tamis-manifest.json there says how it came about
    ");
    let files = ["all-train.jsonl", "all-validation.jsonl", "all-test.jsonl"];
    assert!(!work.path("new/all.jsonl").exists(), "other tools would read it as nothing");
    let read = |name: &str| fs::read_to_string(work.path("new").join(name)).unwrap();
    let sizes = files.map(|name| read(name).lines().count());
    assert_eq!(sizes, [48, 6, 6]);
    let numbers = files.map(|name| {
        let number =
            |line: &str| line.to_lowercase().split_once("number ").unwrap().1.split(' ').next().unwrap().to_owned();
        read(name).lines().map(number).collect::<BTreeSet<_>>()
    });
    assert!(numbers[0].is_disjoint(&numbers[1]) && numbers[0].is_disjoint(&numbers[2]));
    assert!(numbers[1].is_disjoint(&numbers[2]), "a family was cut");
    let n_even = files.map(|name| read(name).lines().filter(|it| it.contains("\"even\"")).count());
    assert!((23..=25).contains(&n_even[0]) && n_even[1..].iter().all(|it| (2..=4).contains(it)), "{n_even:?}");
    let mut lines: Vec<String> =
        files.iter().flat_map(|name| read(name).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    let resplit = manifest(&work, "new").resplit.unwrap();
    assert_eq!((resplit.names.join(" "), resplit.seed), ("train validation test".to_owned(), 7));
    let again = work.tamis(&["audit", "new", "--only", "split-leak", "--out", "o2"]).expect(0);
    assert_eq!(again.splits().len(), 3);
    assert!(
        again
            .findings_of("split-leak")
            .iter()
            .all(|it| it.evidence["rung"] == "semantic" || it.evidence["rung"] == "copy")
    );
}

#[test]
fn a_dry_run_refuses_what_the_real_run_refuses() {
    let work = Workspace::new();
    work.write("data/train.csv", "text,n\na,1\nb,2\n");
    work.write("data/test.csv", "text,m\nc,1\n");
    let run = work.facts(&["data"]);
    decide(&work, "d.jsonl", &run, &[("train.csv:2", json!({ "action": "move-split", "split": "test" }))]);
    let args = ["apply", "data", "--decisions", "d.jsonl", "--out", "far/away/clean"];
    let dry = work.tamis(&[&args[..], &["--dry-run"]].concat()).expect(2);
    let done = work.tamis(&args).expect(2);
    assert!(dry.stderr.contains("rows of `data/train.csv` cannot go to the file of `data/test.csv`"), "{}", dry.stderr);
    assert_eq!((dry.stderr, dry.stdout), (done.stderr, String::new()));
    assert_eq!(work.names(), ["d.jsonl", "data", "tamis-out"], "the folders on the way are gone as well");
}

#[test]
fn notes_say_what_does_not_come_along() {
    let work = Workspace::new();
    work.write("data/train.jsonl", rows(&["one", "two"]));
    work.write("data/.gitattributes", "x");
    let run = work.facts(&["data"]);
    decide(&work, "d.jsonl", &run, &[("train.jsonl:2", json!({ "action": "drop" }))]);
    let args = ["apply", "data", "--decisions", "d.jsonl", "--out", "clean"];
    let expected = "note: `data`: 1 entry does not come along, hidden\n";
    let dry = work.tamis(&[&args[..], &["--dry-run"]].concat()).expect(0);
    let quiet = work.tamis(&[&args[..], &["--dry-run", "-q"]].concat()).expect(0);
    assert!(dry.stderr.contains(expected) && quiet.stderr.is_empty(), "{} {}", dry.stderr, quiet.stderr);
    assert!(work.tamis(&args).expect(0).stderr.contains(expected));
}

#[cfg(unix)]
#[test]
fn decisions_may_come_through_a_pipe() {
    let work = Workspace::new();
    work.write("t.jsonl", rows(&["one", "two"]));
    let run = work.facts(&["t.jsonl"]);
    decide(&work, "d.jsonl", &run, &[("t.jsonl:2", json!({ "action": "drop" }))]);
    let bytes = fs::read(work.path("d.jsonl")).unwrap();
    let mut command = work.command(&["apply", "t.jsonl", "--decisions", "/dev/stdin", "--out", "clean"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(work.path("clean/t.jsonl")).unwrap(), rows(&["one"]));
    assert_eq!(manifest(&work, "clean").decisions[0].blake3, blake3::hash(&bytes).to_hex().to_string());
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_of_the_new_folder() {
    let work = Workspace::new();
    for n in 0..3000 {
        work.write(&format!("data/{}/{n}.txt", ["a", "b"][n % 2]), format!("text number {n}"));
    }
    let run = work.facts(&["data"]);
    decide(&work, "d.jsonl", &run, &[("a/0.txt", json!({ "action": "drop" }))]);
    let before = work.names();
    let mut n_interrupted = 0;
    for _ in 0..12 {
        let mut command = work.interruptible(&["apply", "data", "--decisions", "d.jsonl", "--out", "made/clean", "-q"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = || fs::read_dir(work.path("made")).is_ok_and(|it| it.count() != 0);
        while !begun() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        if ended.status.code() == Some(0) {
            // It was done already, and then it says nothing else.
            assert!(said.is_empty() && tree(&work.path("made/clean")).len() == 3000, "{said}");
            fs::remove_dir_all(work.path("made")).unwrap();
            continue;
        }
        assert_eq!((ended.status.code(), said.as_str()), (Some(130), "\ninterrupted: nothing was written\n"));
        assert_eq!(work.names(), before);
        n_interrupted += 1;
    }
    assert_ne!(n_interrupted, 0, "no run was interrupted in time");
}
