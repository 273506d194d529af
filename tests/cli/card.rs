//! `tamis card` and `tamis audit --like`: what an audit measured next to the data, and the audit again.

use std::fs;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::common::{FACTS, Run, SUPPORT, Workspace};
use crate::images::png;

const BEGIN: &str = "<!-- tamis:begin -->";
const END: &str = "<!-- tamis:end -->";

/// `audit.json` without what may differ when a command names another one.
fn comparable(run: &Run) -> Json {
    let mut audit = run.timeless();
    audit.as_object_mut().unwrap().remove("command").unwrap();
    // The page shows the command as well.
    audit["outputs"].as_array_mut().unwrap().retain(|it| it["path"] != "report.html");
    audit
}

#[test]
fn an_audit_like_another_is_the_same_but_for_the_command_and_the_seconds() {
    let work = Workspace::with_support();
    let options = ["--seed", "7", "--fail-on", "medium", "--keep", "label,key", "--skip", "outlier"];
    let set = ["--set", "near-duplicate.min_cosine=0.9", "--set", "label-error.min_error_probability=0.4"];
    let first = work.tamis(&[&SUPPORT[..], &options, &set].concat()).expect(1);
    // A configuration file that came later is not read.
    work.write("tamis.toml", "seed = 3\nskip = [\"label-error\"]\n");
    let again = work.tamis(&["audit", "--like", "tamis-out/audit.json", "--out", "again"]).expect(1);
    assert_eq!(comparable(&again), comparable(&first));
    assert_eq!(again.stderr, "");
}

#[test]
fn an_audit_like_one_without_options_is_the_same() {
    let work = Workspace::with_support();
    let first = work.tamis(&SUPPORT);
    let again = work.tamis(&["audit", "--like", "tamis-out/audit.json", "--out", "again"]).expect(first.status);
    assert_eq!(comparable(&again), comparable(&first));
}

#[test]
fn an_audit_like_another_has_its_baseline_its_suppressions_and_its_columns() {
    let work = Workspace::new();
    work.write("a.csv", "\"a,b\",c\nfirst,1\nfirst,2\nsecond,3\nsecond,4\n");
    let suppress =
        "[[suppress]]\ncheck = 'exact-duplicate'\nkey = 'a.csv:1'\nreason = 'as wanted'\nexpires = 2200-01-31\n";
    work.write("tamis.toml", format!("text = ['a,b']\nfail_on = 'low'\n{suppress}"));
    work.tamis(&["audit", "a.csv", "--only", "exact-duplicate", "--out", "base", "--exit-zero"]).expect(0);
    let first = work.tamis(&["audit", "a.csv", "--only", "exact-duplicate", "--baseline", "base"]).expect(0);
    fs::remove_file(work.path("tamis.toml")).unwrap();
    let again = work.tamis(&["audit", "--like", "tamis-out/audit.json", "--out", "again"]).expect(0);
    assert_eq!(comparable(&again), comparable(&first));
    assert_eq!(again.files["findings.jsonl"], first.files["findings.jsonl"]);
}

#[test]
fn the_usual_order_of_copies_is_not_the_one_of_the_same_reasons_by_name() {
    let work = Workspace::new();
    work.write("a.jsonl", "{\"id\":\"b\",\"text\":\"the same words\"}\n{\"id\":\"a\",\"text\":\"the same words\"}\n");
    for keep in [&[][..], &["--keep", "split,size,label,key"]] {
        let first = work.facts(&[&["a.jsonl"], keep].concat());
        let again = work.tamis(&["audit", "--like", "tamis-out/audit.json", "--out", "again"]);
        assert_eq!(again.files["findings.jsonl"], first.files["findings.jsonl"]);
        assert_eq!(comparable(&again), comparable(&first));
    }
}

#[test]
fn what_is_named_beside_like_wins_and_what_changed_is_said() {
    let work = Workspace::with_support();
    work.tamis(&[&SUPPORT[..], &["--only", FACTS, "--exit-zero"]].concat()).expect(0);
    let like = ["audit", "--like", "tamis-out/audit.json", "--out", "again", "--exit-zero"];
    let other = work.tamis(&[&like[..], &["--seed", "4", "--only", "exact-duplicate", "support/train.jsonl"]].concat());
    let audit = other.expect(0);
    assert!(
        audit.stderr.contains("support/test.jsonl: not read any more, says tamis-out/audit.json"),
        "{}",
        audit.stderr
    );
    assert_eq!((audit.audit().seed, audit.audit().checks.len()), (4, 1));
    let mut train = fs::read(work.path("support/train.jsonl")).unwrap();
    train.extend_from_slice(b"{\"id\":\"new\",\"text\":\"one more\",\"label\":\"billing\"}\n");
    work.write("support/train.jsonl", train);
    let changed = work.tamis(&like).expect(0);
    assert!(changed.stderr.contains("support/train.jsonl: changed since, says"), "{}", changed.stderr);
    assert_eq!(changed.audit().dataset.n_samples, 88);
}

#[test]
fn a_card_has_every_number_of_the_audit_with_its_denominator() {
    let work = Workspace::with_support();
    let run = work.tamis(&[&SUPPORT[..], &["--exit-zero"]].concat()).expect(0);
    let said = work.tamis(&["card", "--out", "published"]).expect(0);
    assert!(said.stderr.ends_with("wrote published/README.md\n"), "{}", said.stderr);
    let card = fs::read_to_string(work.path("published/README.md")).unwrap();
    let head = "---\ndataset_info:\n  splits:\n  - name: \"train\"\n    num_examples: 69\n  - name: \"test\"\n    num_examples: 18\n---\n";
    assert!(card.starts_with(head), "{card}");
    for check in run.audit().checks {
        match check.population {
            Some(population) => {
                let row = format!(
                    "| {} | {} | {} | {population} |",
                    check.id,
                    check.findings.unwrap(),
                    check.flagged.unwrap()
                );
                assert!(card.contains(&row), "{row} in\n{card}");
            }
            None => assert!(card.contains(&format!("- {} skipped: ", check.id)), "{card}"),
        }
    }
    for part in [
        "About 6.3 % of 79 labels of distinct samples are wrong (90 % interval 5.3 – 7.4 %)",
        "| labels that are right, estimated | 93.7 % | 79 labels of distinct samples | 92.6 – 94.7 % (90 %) | Acc-ML-7",
        "| exact-duplicate | 7 | 14 | 85 | 16.5 % | 10.1 – 25.8 % | none |",
        "not measured: the check benchmark-contamination was skipped: no benchmark",
        "| not applicable: no target population was named | - | - |",
        "Informative mapping, no statement of conformity",
    ] {
        assert!(card.contains(part), "{part} in\n{card}");
    }
}

#[test]
fn a_card_that_is_there_keeps_every_byte_outside_of_the_marks() {
    let work = Workspace::with_support();
    work.facts(&["support"]);
    let (before, after) = ("---\nlicense: mit\n---\n# Mails\n\n", "\n\ntail without a line end");
    work.write("README.md", format!("{before}{BEGIN}\nold\n{END}{after}"));
    work.tamis(&["card", "--in-place", "README.md"]).expect(0);
    let card = fs::read_to_string(work.path("README.md")).unwrap();
    assert!(card.starts_with(&format!("{before}{BEGIN}\n")) && card.ends_with(&format!("\n{END}{after}")), "{card}");
    assert!(!card.contains("old\n") && card.contains("| unreadable-sample | 1 | 1 | 87 |"), "{card}");
    work.tamis(&["card", "--in-place", "README.md"]).expect(0);
    assert_eq!(fs::read_to_string(work.path("README.md")).unwrap(), card);
    assert_eq!(work.names(), ["README.md", "support", "tamis-out"]);
    // Without marks the part comes last.
    work.write("bare.md", "# Mine\n");
    work.tamis(&["card", "tamis-out", "--in-place", "bare.md"]).expect(0);
    assert!(fs::read_to_string(work.path("bare.md")).unwrap().starts_with(&format!("# Mine\n\n{BEGIN}\n")));
}

#[test]
fn marks_that_are_no_pair_are_refused_and_nothing_is_written() {
    let work = Workspace::with_support();
    work.facts(&["support"]);
    work.write("README.md", format!("# Mine\n{BEGIN}\n"));
    let refused = work.tamis(&["card", "--in-place", "README.md"]).expect(2);
    assert!(
        refused.stderr.starts_with("error: README.md: line 2 is `<!-- tamis:begin -->`, and no line"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(work.path("README.md")).unwrap(), format!("# Mine\n{BEGIN}\n"));
    let nowhere = work.tamis(&["card", "--in-place", "other.md"]).expect(2);
    assert!(nowhere.stderr.contains("there is no file other.md"), "{}", nowhere.stderr);
    work.tamis(&["card"]).expect(2);
    // Of several files none is written where one is refused.
    work.write("good.md", "# Good\n");
    work.tamis(&["card", "--in-place", "good.md", "--in-place", "README.md"]).expect(2);
    assert_eq!(fs::read_to_string(work.path("good.md")).unwrap(), "# Good\n");
    work.tamis(&["card", "--out", "."]).expect(2);
    assert!(!work.path("croissant.json").exists());
}

#[test]
fn marks_in_code_are_not_ours() {
    let work = Workspace::with_support();
    work.facts(&["support"]);
    let readme = format!("# Mine\n```html\n{BEGIN}\n{END}\n```\n");
    work.write("README.md", &readme);
    work.tamis(&["card", "--in-place", "README.md"]).expect(0);
    let merged = fs::read_to_string(work.path("README.md")).unwrap();
    assert!(merged.starts_with(&readme) && merged.matches(BEGIN).count() == 2, "{merged}");
}

#[test]
fn tables_with_other_columns_share_those_of_both() {
    let work = Workspace::new();
    work.write("data/a.csv", "text,both,x\none,1,2\ntwo,3,4\n");
    work.write("data/b.csv", "text,both,y\nthree,1,2\nfour,3,4\n");
    work.facts(&["data"]);
    work.tamis(&["card", "--out", "data"]).expect(0);
    let all = croissant(&work, "data");
    let samples = all["recordSet"].as_array().unwrap().iter().find(|it| it["@id"] == "samples").unwrap();
    let names: Vec<&str> = samples["field"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["text", "both"]);
}

/// The parsed `croissant.json` in a folder.
fn croissant(work: &Workspace, folder: &str) -> Json {
    serde_json::from_str(&fs::read_to_string(work.path(&format!("{folder}/croissant.json"))).unwrap()).unwrap()
}

#[test]
fn tables_are_described_with_their_hashes_columns_and_numbers() {
    let work = Workspace::with_support();
    work.facts(&["--train", "support/train.jsonl", "--test", "support/test.jsonl"]);
    let said = work.tamis(&["card", "--out", "support"]).expect(0);
    assert!(
        said.stderr.contains("only people can say its name, description, license, url, creator"),
        "{}",
        said.stderr
    );
    let described = croissant(&work, "support");
    assert_eq!(described["conformsTo"][0], "http://mlcommons.org/croissant/1.1");
    let file = &described["distribution"][0];
    let bytes = fs::read(work.path("support/train.jsonl")).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let found = [&file["contentUrl"], &file["encodingFormat"], &file["contentSize"], &file["sha256"]];
    assert_eq!(found, ["train.jsonl", "application/jsonlines", &format!("{} B", bytes.len()), &sha256]);
    assert_eq!(described["distribution"][2]["includes"], json!(["train.jsonl", "test.jsonl"]));
    let fields = described["recordSet"][0]["field"].as_array().unwrap();
    let of = |field: &Json| (field["name"].clone(), field["dataType"].clone());
    let expected = [("id", json!("sc:Text")), ("text", json!("sc:Text")), ("label", json!(["sc:Text", "cr:Label"]))];
    assert_eq!(fields.iter().map(of).collect::<Vec<_>>(), expected.map(|(name, kind)| (json!(name), kind)));
    assert_eq!(
        described["recordSet"][1]["data"][1],
        json!({ "splits/name": "test", "splits/url": "cr:TestSplit", "splits/samples": 18 })
    );
    let checks = described["recordSet"][3]["data"].as_array().unwrap();
    assert_eq!((&checks[0]["audit/flagged"], &checks[0]["audit/population"]), (&json!(1), &json!(87)));
    let limitations = described["rai:dataLimitations"].to_string();
    assert!(
        limitations.contains("tamis audit: exact-duplicate: 14 of 85 samples, 16.5 % (95 % interval 10.1 – 25.8 %)"),
        "{limitations}"
    );
}

#[test]
fn what_people_described_stays_and_a_table_that_changed_is_refused() {
    let work = Workspace::with_support();
    work.facts(&["support/test.jsonl"]);
    work.write(
        "croissant.json",
        r#"{"name": "Mails", "rai:dataUseCases": ["triage"], "@context": {"mine": "http://a.b/"}}"#,
    );
    work.tamis(&["card", "--in-place", "croissant.json"]).expect(0);
    let first = croissant(&work, ".");
    let kept = [&first["name"], &first["rai:dataUseCases"], &first["@context"]["mine"], &first["@context"]["field"]];
    assert_eq!(kept, [&json!("Mails"), &json!(["triage"]), &json!("http://a.b/"), &json!("cr:field")]);
    work.tamis(&["card", "--in-place", "croissant.json"]).expect(0);
    assert_eq!(croissant(&work, "."), first);
    work.write("support/test.jsonl", "{\"text\":\"other\"}\n");
    let changed = work.tamis(&["card", "--out", "published"]).expect(3);
    assert!(changed.stderr.starts_with("error: support/test.jsonl is not what was audited"), "{}", changed.stderr);
    assert!(!work.path("published/README.md").exists());
    work.write("croissant.json", "[]");
    work.tamis(&["card", "--in-place", "croissant.json"]).expect(2);
}

#[test]
fn folders_of_pictures_are_sets_of_files() {
    let work = Workspace::new();
    for (name, seed) in [("cat/a", 1), ("cat/b", 2), ("dog/c", 3)] {
        work.write(&format!("pictures/{name}.png"), png(seed));
    }
    work.tamis(&["audit", "pictures", "--only", "exact-duplicate", "--exit-zero"]).expect(0);
    // The pictures are not read again.
    fs::remove_dir_all(work.path("tamis-out/store")).unwrap();
    work.tamis(&["card", "--out", "pictures"]).expect(0);
    let described = croissant(&work, "pictures");
    let set = &described["distribution"][0];
    assert_eq!((&set["@type"], &set["includes"]), (&json!("cr:FileSet"), &json!(["cat/*.png", "dog/*.png"])));
    assert_eq!(described["recordSet"][0]["field"][1]["dataType"], "sc:ImageObject");
    assert_eq!(
        described["recordSet"][2]["data"],
        json!([
            { "labels/name": "cat", "labels/samples": 2 },
            { "labels/name": "dog", "labels/samples": 1 },
        ])
    );
}
