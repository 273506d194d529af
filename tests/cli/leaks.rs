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
        run.stdout.contains("with 1 clean references, none is called a copy unless at least 40 of the 4 tested are"),
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
            &["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--fdr", "1"],
            "fdr is 1, expected a number above 0 and below 1",
        ),
        (
            &["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--min", "2"],
            "min_copy is 2, expected a number above 0 and at most 1",
        ),
    ] {
        let run = work.tamis(args).expect(2);
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
    }
    work.write("bad.jsonl", "{\"key\": \"q\", \"correct\": 3}\n");
    let run = work
        .tamis(&["leaks", "--train", "train.jsonl", "--test", "test.jsonl", "--predictions", "bad.jsonl"])
        .expect(3);
    assert!(run.stderr.contains("bad.jsonl:1: `correct` is 3, expected true or false"), "{}", run.stderr);
}
