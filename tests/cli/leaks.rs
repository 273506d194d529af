//! `tamis leaks`: what is found, what it leaves, and what is refused.

use std::fs;

use serde_json::{Value as Json, json};

use crate::common::Workspace;

const QUESTION: &str = "A farmer has seventeen sheep and all but nine die; how many sheep does the farmer have left?";

fn lines(rows: &[Json]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Training texts, of which one holds a question, and test texts: the question itself, an edited copy of a text, and two
/// that are nowhere.
fn workspace() -> Workspace {
    let work = Workspace::new();
    let document = format!(
        "Riddles from an old almanac, collected over many years by the editors of the gazette. {QUESTION} The answer is on \
         the last page, among the solutions that readers sent in from the coast and the mountains alike, with their names."
    );
    let poem = "The fog comes in on little feet and sits over harbour and city on silent haunches before it moves on.";
    let train = [
        json!({"id": "doc", "text": document}),
        json!({"id": "poem", "text": poem}),
        json!({"id": "other", "text": "Tomatoes want sun, patience, and water in the early morning hours."}),
    ];
    let test = [
        json!({"id": "q", "text": QUESTION}),
        json!({"id": "edited", "text": poem.replace("little", "tiny")}),
        json!({"id": "new", "text": "Bicycles of the last century had wooden rims and no brakes at all."}),
        json!({"id": "newer", "text": "Winter wheat is sown in autumn and harvested in the following summer."}),
    ];
    work.write("train.jsonl", lines(&train));
    work.write("test.jsonl", lines(&test));
    work
}

fn read(work: &Workspace, name: &str) -> String {
    fs::read_to_string(work.path(name)).unwrap()
}

#[test]
fn copies_and_questions_inside_documents_are_found_and_clean_samples_are_listed() {
    let work = workspace();
    let predictions: Vec<Json> = ["q", "edited", "new", "newer"]
        .iter()
        .map(|key| json!({"key": key, "correct": key.len() < 7 && *key != "new"}))
        .collect();
    work.write("predictions.jsonl", lines(&predictions));
    let args = [
        "leaks",
        "--train",
        "train.jsonl",
        "--test",
        "test.jsonl",
        "--ngram",
        "15",
        "--predictions",
        "predictions.jsonl",
    ];
    let run = work.tamis(&args).expect(0);
    assert!(run.stderr.contains("leaked: 2 of 4 samples, 50.0 %"), "{}", run.stderr);
    assert!(run.stderr.contains("1 of 4 samples share a run of 15 words"), "{}", run.stderr);
    assert!(run.stderr.contains("2 leaked") && run.stderr.contains("2 clean samples: difference"), "{}", run.stderr);
    assert_eq!(read(&work, "tamis-leaks/clean-test.txt"), "new\nnewer\n");
    let findings: Vec<Json> =
        read(&work, "tamis-leaks/findings.jsonl").lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let question = findings.iter().find(|it| it["samples"][0]["key"] == "q").unwrap();
    let found = &question["evidence"]["matches"][0];
    assert_eq!((&found["key"], &found["rung"]), (&json!("doc"), &json!("copy")));
    assert_eq!(found["common"], json!(QUESTION.trim_end_matches('?')), "the words as they stand in the sample");
    assert_eq!(found["common_words"], 18);
    let leaks: Json = serde_json::from_str(&read(&work, "tamis-leaks/leaks.json")).unwrap();
    assert_eq!((&leaks["samples"], &leaks["leaked"]), (&json!(4), &json!(2)));
}

#[test]
fn benchmarks_have_splits_of_their_own_and_a_reference_says_when_it_is_too_small() {
    let work = workspace();
    work.write("reference.jsonl", lines(&[json!({"text": "Nobody wrote this sentence into any of the other files."})]));
    let args = [
        "leaks",
        "--corpus",
        "train.jsonl",
        "--benchmark",
        "test.jsonl",
        "--reference",
        "reference.jsonl",
        "--out",
        "out",
    ];
    let run = work.tamis(&args).expect(0);
    assert!(
        run.stdout
            .contains("1 clean references are too few to call any of the 4 tested a copy: 79 would tell a single one"),
        "{}",
        run.stdout
    );
    let audit: Json = serde_json::from_str(&read(&work, "out/audit.json")).unwrap();
    let splits: Vec<&str> =
        audit["dataset"]["splits"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(splits, ["corpus", "test", "reference"]);
    assert_eq!(audit["checks"][0]["id"], "benchmark-contamination");
    assert_eq!(audit["checks"][0]["population"], 4);
}

#[test]
fn a_question_that_leaked_with_its_answer_is_told_from_one_that_leaked_alone() {
    let work = workspace();
    let answer = "Nine sheep are left, for all but nine of the seventeen have died during the hard winter.";
    let rows = |text: &str, answer: Option<&str>| lines(&[json!({"id": "q", "question": text, "answer": answer})]);
    work.write("test.jsonl", rows(QUESTION, Some(answer)));
    let filler = "Almanacs were printed every year and sold at fairs to whoever had a penny to spare for reading.";
    let documents = [
        ("alone", json!({"text": format!("{filler} {QUESTION} {filler}")}), 0.0),
        ("inside", json!({"text": format!("{filler} {QUESTION} {answer} {filler}")}), 1.0),
        ("beside", json!({"text": QUESTION.replace("farmer", "shepherd"), "answer": answer}), 1.0),
    ];
    for (name, document, expected) in documents {
        work.write("corpus.jsonl", lines(&[document, json!({"text": filler.replace("fairs", "markets")})]));
        let args = ["leaks", "--corpus", "corpus.jsonl", "--benchmark", "test.jsonl", "--out", name];
        work.tamis(&args).expect(0);
        let findings = read(&work, &format!("{name}/findings.jsonl"));
        let finding: Json = serde_json::from_str(findings.lines().next().expect(name)).unwrap();
        let found = &finding["evidence"]["matches"][0];
        assert_eq!(found["rung"], "copy", "{name}: {found}");
        let overlap = found["answer_overlap"].as_f64().unwrap_or_else(|| panic!("{name}: {found}"));
        assert!((overlap - expected).abs() < 0.15, "{name}: {found}");
        assert!(0.5 < found["overlap"].as_f64().unwrap(), "{name}: {found}");
    }
    // The same texts, and an answer that is another one: nothing of before is taken up.
    work.write("test.jsonl", rows(QUESTION, Some("Seventeen, said the miller, and went on grinding corn until dawn.")));
    work.tamis(&["leaks", "--corpus", "corpus.jsonl", "--benchmark", "test.jsonl", "--out", "beside"]).expect(0);
    let finding: Json = serde_json::from_str(read(&work, "beside/findings.jsonl").lines().next().unwrap()).unwrap();
    assert_eq!(finding["evidence"]["matches"][0]["answer_overlap"], 0.0);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let work = workspace();
    for (args, said) in [
        (&["leaks", "train.jsonl"][..], "`train.jsonl` has no part to play: expected --train and --test"),
        (&["leaks", "--train", "train.jsonl"], "expected --train and --test, or --corpus and --benchmark"),
        (
            &["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--benchmark", "test.jsonl"],
            "--benchmark stands in the place of --test",
        ),
        (
            &["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--reference", "test.jsonl", "--fdr", "1"],
            "fdr is 1, expected a number above 0 and below 1",
        ),
        (&["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--fdr", "0.1"], "--fdr needs --reference"),
        (
            &["leaks", "--corpus", "train.jsonl", "--benchmark", "test.jsonl", "--benchmark", "test.jsonl"],
            "the benchmark `test.jsonl` is named twice",
        ),
        (
            &["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--min", "2"],
            "min_copy is 2, expected a number above 0 and at most 1",
        ),
    ] {
        let run = work.tamis(args).expect(2);
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
    }
    let before = work.path("tamis-leaks");
    assert!(!before.exists(), "nothing was written");
    work.write("bad.jsonl", "{\"key\": \"q\", \"correct\": 3}\n");
    let run = work
        .tamis(&["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--predictions", "bad.jsonl"])
        .expect(3);
    assert!(run.stderr.contains("bad.jsonl:1: `correct` is 3, expected true or false"), "{}", run.stderr);
}

#[test]
fn a_benchmark_called_like_another_input_is_no_part_of_it() {
    let work = workspace();
    work.write(
        "corpus.jsonl",
        lines(&[json!({"text": "Tomatoes want sun, patience, and water in the early morning hours."})]),
    );
    let run = work.tamis(&["leaks", "--corpus", "train.jsonl", "--benchmark", "corpus.jsonl"]).expect(1);
    assert!(run.stderr.contains("leaked: 1 of 1 samples"), "{}", run.stderr);
    assert!(run.stdout.contains("benchmark corpus.jsonl"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_read_is_not_called_clean() {
    let work = workspace();
    work.write("empty.jsonl", "{\"text\": 3}\n{\"text\": 4}\n");
    for args in
        [["--corpus", "empty.jsonl", "--benchmark", "test.jsonl"], ["--train", "empty.jsonl", "--test", "test.jsonl"]]
    {
        let run = work.tamis(&[&["leaks"][..], &args].concat()).expect(3);
        assert!(run.stderr.contains("nothing was compared: "), "{}", run.stderr);
        assert!(!work.path("tamis-leaks/clean-test.txt").exists() && !work.path("tamis-leaks/audit.json").exists());
    }
}

#[test]
fn predictions_of_leaked_samples_are_found_by_their_own_keys() {
    let work = Workspace::new();
    let row = |id: &str, text: &str| json!({"id": id, "text": text});
    let (sheep, wheat) = ("Seventeen sheep and all but nine die.", "Winter wheat is sown in autumn.");
    work.write("train.jsonl", lines(&[row("q1", sheep), row("q2", wheat), row("t3", "Anything else at all.")]));
    let rims = "Bicycles of the last century had wooden rims.";
    work.write("test.jsonl", lines(&[row("q1", sheep), row("q2", wheat), row("q3", rims), row("q4", "Nobody knows.")]));
    let said = |key: &str, score: f64| json!({"key": key, "score": score});
    let predictions = [said("q1", 0.9), said("q2", 0.8), said("q3", 0.1), said("t3", 0.5)];
    work.write("predictions.jsonl", lines(&predictions));
    let args = ["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--id", "id"];
    let run = work.tamis(&[&args[..], &["--predictions", "predictions.jsonl"]].concat()).expect(1);
    assert!(run.stderr.contains("metric 0.8500 on 2 leaked and 0.1000 on 1 clean samples"), "{}", run.stderr);
    assert!(run.stderr.contains("too few for an interval"), "{}", run.stderr);
    assert!(run.stderr.contains("1 predictions have keys of no tested sample, such as `t3`"), "{}", run.stderr);
    assert!(run.stderr.contains("1 tested samples have no prediction"), "{}", run.stderr);
    work.write("predictions.jsonl", lines(&[said("q1", 0.9), said("q1", 0.8)]));
    let run = work.tamis(&[&args[..], &["--predictions", "predictions.jsonl", "--out", "new"]].concat()).expect(3);
    assert!(run.stderr.contains("predictions.jsonl:2: the key `q1` was in line 1"), "{}", run.stderr);
    assert!(!work.path("new").exists(), "the mistake is said before anything is read");
}

#[test]
fn validation_is_told_apart_and_an_audit_leaves_no_lists_of_leaks() {
    let work = workspace();
    let validation = json!({"id": "v", "text": "Tomatoes want sun, patience, and water in the early morning hours."});
    work.write("dev.jsonl", lines(&[validation]));
    let args = ["leaks", "--train", "train.jsonl", "--validation", "dev.jsonl", "--test", "test.jsonl", "--out", "out"];
    let run = work.tamis(&args).expect(0);
    assert!(run.stderr.contains("validation: leaked: 1 of 1 samples"), "{}", run.stderr);
    assert!(run.stderr.contains("test: leaked: 2 of 4 samples"), "{}", run.stderr);
    assert_eq!(read(&work, "out/clean-test.txt"), "new\nnewer\n");
    let leaks: Json = serde_json::from_str(&read(&work, "out/leaks.json")).unwrap();
    assert_eq!((&leaks["samples"], &leaks["splits"]["validation"]["leaked"]), (&json!(4), &json!(1)));
    work.tamis(&["audit", "train.jsonl", "--only", "exact-duplicate", "--out", "out"]).expect(0);
    assert!(!work.path("out/leaks.json").exists() && !work.path("out/clean-test.parquet").exists());
}

#[test]
fn references_that_were_trained_on_are_named_and_left_out() {
    let work = workspace();
    let run = work.tamis(&["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--reference", "train.jsonl"]);
    let run = run.expect(0);
    assert!(run.stdout.contains("3 of the references are identical to what they should not be in"), "{}", run.stdout);
}
