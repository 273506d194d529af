//! What goes wrong: a message that names the thing, a hint where the user can act, and the exit code that fits.

use std::process::{Command, Stdio};

use crate::common::{FACTS, Run, Workspace, rows};

/// Asserts exit code and all that was printed; stdout stays empty and no record is begun.
#[track_caller]
fn expect_error(run: Run, status: i32, stderr: &str) {
    let run = run.expect(status);
    assert_eq!(run.stderr, stderr);
    assert_eq!(run.stdout, "");
    assert!(run.files.is_empty(), "a record was begun");
}

/// As [`expect_error`], for what another program words: the parts must be there.
#[track_caller]
fn expect_error_with(run: Run, status: i32, parts: &[&str]) {
    let run = run.expect(status);
    for part in parts {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
    assert_eq!(run.stdout, "");
    assert!(run.files.is_empty(), "a record was begun");
}

/// A folder with a table of three columns in `a.csv`.
fn table() -> Workspace {
    let work = Workspace::new();
    work.write("a.csv", "serial,passage,topic\n1,one text,a\n2,another text,b\n");
    work
}

#[test]
fn no_input_is_a_usage_error() {
    let said = "error: nothing to read: name a file or a folder, or use --train and --test\n";
    expect_error(Workspace::new().tamis(&["audit"]), 2, said);
}

#[test]
fn a_missing_path_is_named() {
    let run = Workspace::new().tamis(&["audit", "nothing/here.jsonl"]);
    expect_error(run, 3, "error: no such file or folder: `nothing/here.jsonl`\n");
}

#[test]
fn an_empty_folder_says_what_was_looked_for() {
    let work = Workspace::new();
    std::fs::create_dir(work.path("empty")).unwrap();
    let said = "error: nothing to read in `empty`: looked for tables (.parquet .jsonl .ndjson .csv .tsv, idx), image files and text files, \
                found no file\n";
    expect_error_with(work.tamis(&["audit", "empty"]), 3, &[said]);
}

#[test]
fn without_a_text_column_the_columns_are_listed() {
    let work = Workspace::new();
    work.write("n.csv", "width,height\n1,2\n3,4\n");
    let said = "error: no text column in `n.csv`: none of its columns holds text or images (`width`, `height`)\n\n\
                hint: name the column with --text NAME, or with --image NAME where it holds images or their paths\n";
    expect_error(work.tamis(&["audit", "n.csv"]), 2, said);
}

#[test]
fn a_named_column_that_is_not_there_is_a_usage_error_with_the_nearest_name() {
    let said = "error: no column `pasage` (from --text), expected one of `serial`, `passage`, `topic`\n\n\
                hint: did you mean --text passage?\n";
    expect_error(table().tamis(&["audit", "a.csv", "--text", "pasage"]), 2, said);
    let said = "error: no column `sentiment` (from --label), expected one of `serial`, `passage`, `topic`\n";
    expect_error(table().tamis(&["audit", "a.csv", "--label", "sentiment"]), 2, said);
}

#[test]
fn a_broken_line_in_the_middle_is_a_finding_with_file_and_row() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "second"]) + "{\"text\": \"thi\n" + &rows(&["fourth"]));
    let run = work.facts(&["a.jsonl"]).expect(0);
    assert_eq!(run.audit().dataset.n_samples, 4);
    let findings = run.findings_of("unreadable-sample");
    assert_eq!(findings.len(), 1);
    let sample = &findings[0].samples[0];
    assert_eq!((sample.file.as_str(), sample.row, sample.key.as_str()), ("a.jsonl", Some(3), "a.jsonl:3"));
    let (start, end) = ("cannot be read: a.jsonl:3: not JSON (", "), expected one JSON object a line");
    assert!(findings[0].message.starts_with(start) && findings[0].message.ends_with(end), "{}", findings[0].message);
    run.expect_note("1 sample could not be read");
}

#[test]
fn broken_records_of_csv_are_findings_with_file_and_row() {
    let work = Workspace::new();
    work.write("a.csv", "id,text\n1,one,more\n2,two\n3,\"open\n4,four\n");
    let run = work.facts(&["a.csv"]).expect(0);
    let said: Vec<_> = run.findings_of("unreadable-sample").into_iter().map(|finding| finding.message).collect();
    let expected = [
        "cannot be read: a.csv:1: 3 fields in the record at line 2, expected 2",
        "cannot be read: a.csv:3: a quote is opened in the record at line 4 and never closed, expected `\"` before the \
         end of the file",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_parquet_file_of_0_bytes_alone_is_nothing_to_audit() {
    let work = Workspace::new();
    work.write("zero.parquet", "");
    let said = "error: nothing could be read: zero.parquet: not a Parquet file: 0 bytes, expected the magic PAR1\n";
    expect_error(work.tamis(&["audit", "zero.parquet"]), 3, said);
}

#[test]
fn a_parquet_file_of_0_bytes_beside_a_good_file_is_a_finding() {
    let work = Workspace::new();
    work.write("zero.parquet", "");
    work.write("good.jsonl", rows(&["first", "second"]));
    let run = work.facts(&["good.jsonl", "zero.parquet"]).expect(0);
    let findings = run.findings_of("unreadable-sample");
    let said: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(said, ["cannot be read: zero.parquet: not a Parquet file: 0 bytes, expected the magic PAR1"]);
    assert_eq!((findings[0].samples[0].file.as_str(), findings[0].samples[0].row), ("zero.parquet", None));
    assert_eq!(run.audit().dataset.n_samples, 3);
}

#[test]
fn a_truncated_parquet_file_is_nothing_to_audit() {
    let work = Workspace::new();
    work.write("cut.parquet", b"PAR1\x15\x04\x15\x20");
    expect_error_with(work.tamis(&["audit", "cut.parquet"]), 3, &["error: nothing could be read: cut.parquet: "]);
}

#[test]
fn all_unreadable_rows_are_counted_and_the_first_is_shown() {
    let work = Workspace::new();
    work.write("a.jsonl", "{\"text\": \n{\"text\": \n{\"text\": \n");
    let run = work.tamis(&["audit", "a.jsonl", "--from", "jsonl"]);
    expect_error_with(run, 3, &["error: nothing could be read: a.jsonl:1: not JSON ("]);
}

#[test]
fn an_unknown_check_is_a_usage_error_with_those_that_exist() {
    let said = "error: there is no check `near-dup`; checks: unreadable-sample, exact-duplicate, near-duplicate, \
                conflicting-labels, split-leak, benchmark-contamination, label-error, overlapping-classes, outlier, empty-text\n";
    expect_error(table().tamis(&["audit", "a.csv", "--only", "near-dup"]), 2, said);
    expect_error(table().tamis(&["audit", "a.csv", "--skip", "near-dup"]), 2, said);
    expect_error(table().tamis(&["audit", "a.csv", "--set", "near-dup.min_cosine=0.9"]), 2, said);
    let with_those_of_versions =
        said.trim_end().to_owned() + ", new-finding, changed-label, moved-sample, drifted-measure\n";
    expect_error(table().tamis(&["explain", "near-dup"]), 2, &with_those_of_versions);
}

#[test]
fn only_and_skip_of_the_same_check_leave_nothing_to_do() {
    let said = "error: no check is left to run: --skip leaves out all that --only names\n";
    expect_error(table().tamis(&["audit", "a.csv", "--only", "outlier", "--skip", "outlier"]), 2, said);
}

#[test]
fn an_unknown_option_of_a_check_is_named_with_those_it_has() {
    let said = "error: bad option of check outlier: unknown field `neighbors`, expected `k` or `iqr_factor`\n";
    expect_error(table().tamis(&["audit", "a.csv", "--set", "outlier.neighbors=3"]), 2, said);
}

#[test]
fn options_out_of_range_are_refused_and_not_clamped() {
    let cases = [
        ("outlier.k=0", "outlier: k is 0, expected at least 1"),
        (
            "label-error.min_error_probability=0",
            "label-error: min_error_probability is 0, expected a number above 0 and at most 1",
        ),
        (
            "overlapping-classes.min_overlap=2",
            "overlapping-classes: min_overlap is 2, expected a number above 0 and at most 1",
        ),
        ("near-duplicate.min_cosine=1.5", "near-duplicate: min_cosine is 1.5, expected a number above 0 and at most 1"),
        ("split-leak.min_cosine=0", "split-leak: min_cosine is 0, expected a number above 0 and at most 1"),
    ];
    for (set, said) in cases {
        let said = format!("error: bad option of check {said}\n");
        expect_error(table().tamis(&["audit", "a.csv", "--set", set]), 2, &said);
    }
}

#[test]
fn what_copies_cannot_be_kept_by_is_refused() {
    let said = "error: keep is `oldest`, expected one of split, size, label, key, first, column:NAME\n";
    expect_error(table().tamis(&["audit", "a.csv", "--keep", "oldest"]), 2, said);
    let run = table().tamis(&["audit", "a.csv", "--only", FACTS, "--keep", "size,column:age"]).expect(2);
    assert!(run.stderr.contains("there is no column `age` to keep copies by, expected one of: "), "{}", run.stderr);
}

#[test]
fn a_wrong_option_of_a_check_that_does_not_run_is_not_passed_over() {
    let run = table().tamis(&["audit", "a.csv", "--only", "empty-text", "--set", "outlier.k=0"]);
    expect_error(run, 2, "error: bad option of check outlier: k is 0, expected at least 1\n");
}

#[test]
fn set_needs_check_option_and_value() {
    let said = "error: `outlier` is not CHECK.OPTION=VALUE, e.g. near-duplicate.min_cosine=0.97\n";
    expect_error(table().tamis(&["audit", "a.csv", "--set", "outlier"]), 2, said);
}

#[test]
fn unknown_words_for_flags_are_usage_errors_with_those_that_exist() {
    for (flag, known) in [
        ("--from", "parquet, idx, jsonl, csv, tsv, lines, text-files, image-files"),
        ("--format", "full, concise, json, jsonl, html, sarif, junit, github, markdown"),
        ("--fail-on", "info, low, medium, high"),
    ] {
        let said = [format!("error: invalid value 'unheard' for '{flag}"), format!("[possible values: {known}]")];
        let run = table().tamis(&["audit", "a.csv", flag, "unheard"]);
        expect_error_with(run, 2, &said.each_ref().map(String::as_str));
    }
    expect_error_with(table().tamis(&["audit", "a.csv", "--unheard"]), 2, &["unexpected argument '--unheard'"]);
    expect_error_with(table().tamis(&["audit", "a.csv", "--seed", "x"]), 2, &["invalid value 'x' for '--seed <N>'"]);
}

#[test]
fn an_unknown_model_is_a_usage_error() {
    let said = "error: there is no model `gpt`: expected a folder with config.json, tokenizer.json and model.safetensors, \
                or one of all-minilm-l6-v2, mobilenet-v2\n\nhint: `tamis models list` shows the models that have a name\n";
    expect_error(table().tamis(&["audit", "a.csv", "--model", "gpt"]), 2, said);
}

#[test]
fn a_folder_that_is_no_model_says_what_is_missing() {
    let work = table();
    std::fs::create_dir(work.path("empty")).unwrap();
    let run = work.tamis(&["embed", "a.csv", "--model", "empty", "--out", "v.npy"]);
    let said = "error: cannot load the model\ncaused by: model empty has no config.json; expected a model folder in hub \
                layout: config.json, tokenizer.json and model.safetensors\n";
    expect_error(run, 3, said);
}

#[test]
fn an_unknown_key_of_the_configuration_is_a_usage_error() {
    let work = table();
    work.write("tamis.toml", "colour = 1\n");
    let said =
        ["error: tamis.toml is not a usable configuration: ", "line 1", "unknown field `colour`, expected one of "];
    expect_error_with(work.tamis(&["audit", "a.csv"]), 2, &said);
}

#[test]
fn unknown_words_in_the_configuration_are_named_with_those_that_exist() {
    let cases = [
        ("fail_on = 'grave'", "error: fail_on is `grave`, expected one of info, low, medium, high\n"),
        (
            "from = 'xml'",
            "error: unknown format `xml`, expected one of parquet, idx, jsonl, csv, tsv, lines, text-files, image-files\n",
        ),
        ("[checks.outliers]", "error: there is no check `outliers`; checks: unreadable-sample, "),
        ("[checks.outlier]\nneighbors = 3", "error: bad option of check outlier: unknown field `neighbors`, expected "),
    ];
    for (config, said) in cases {
        let work = table();
        work.write("tamis.toml", config);
        expect_error_with(work.tamis(&["audit", "a.csv"]), 2, &[said]);
    }
}

#[test]
fn an_unknown_report_format_in_the_configuration_is_a_usage_error() {
    let work = table();
    work.write("tamis.toml", "format = 'yaml'");
    expect_error_with(work.tamis(&["audit", "a.csv"]), 2, &["error: ", "`yaml`", "full, concise, json, jsonl, html"]);
}

#[test]
fn a_configuration_that_is_not_there_is_a_usage_error() {
    let run = table().tamis(&["audit", "a.csv", "--config", "none.toml"]);
    expect_error_with(run, 2, &["error: cannot read none.toml\ncaused by: No such file or directory"]);
}

#[test]
fn an_out_folder_that_cannot_be_made_gives_a_hint() {
    // Below a file there is no folder, not even for root.
    let run = table().tamis(&["audit", "a.csv", "--out", "a.csv/out"]);
    let said =
        ["error: cannot make the folder a.csv/out\ncaused by: ", "\n\nhint: name another folder with --out DIR\n"];
    expect_error_with(run, 3, &said);
}

#[test]
fn vectors_that_cannot_be_written_name_the_file() {
    let run = table().tamis(&["embed", "a.csv", "--quiet", "--out", "a.csv/v.npy"]);
    expect_error_with(run, 3, &["error: cannot write a.csv/v.npy\ncaused by: "]);
}

/// Runs over a dataset whose worst fact is `worst`.
fn with_worst(worst: &str, flags: &[&str]) -> i32 {
    let work = Workspace::new();
    let broken = if worst == "medium" { "{\"text\": \n" } else { "" };
    let copy = if worst == "clean" { "second" } else { "first" };
    work.write("a.jsonl", rows(&["first", copy]) + broken);
    work.facts(&[&["a.jsonl"], flags].concat()).status
}

#[test]
fn fail_on_decides_which_findings_fail() {
    // What is found, and the exit codes for --fail-on info, low, medium, high and none of it.
    for (worst, codes) in [("clean", [0, 0, 0, 0, 0]), ("low", [1, 1, 0, 0, 0]), ("medium", [1, 1, 1, 0, 0])] {
        let flags =
            [&["--fail-on", "info"][..], &["--fail-on", "low"], &["--fail-on", "medium"], &["--fail-on", "high"], &[]];
        assert_eq!(flags.map(|flags| with_worst(worst, flags)), codes, "{worst}");
    }
}

#[test]
fn exit_zero_turns_1_into_0_and_nothing_else() {
    assert_eq!(with_worst("medium", &["--fail-on", "info", "--exit-zero"]), 0);
    assert_eq!(with_worst("clean", &["--exit-zero"]), 0);
    assert_eq!(Workspace::new().tamis(&["audit", "missing", "--exit-zero"]).status, 3);
    assert_eq!(table().tamis(&["audit", "a.csv", "--only", "unheard", "--exit-zero"]).status, 2);
}

#[test]
fn the_exit_code_does_not_depend_on_the_report_format() {
    for format in ["full", "concise", "json", "jsonl", "html"] {
        assert_eq!(with_worst("low", &["--fail-on", "low", "--format", format]), 1, "{format}");
        assert_eq!(with_worst("low", &["--format", format]), 0, "{format}");
    }
}

#[test]
fn copies_across_splits_are_leaks_even_where_all_texts_are_the_same() {
    let work = Workspace::new();
    work.write("train.jsonl", rows(&["the same text", "the same text"]));
    work.write("test.jsonl", rows(&["the same text"]));
    let run = work.tamis(&["audit", "train.jsonl", "test.jsonl"]).expect(1);
    assert_eq!(run.fact("split-leak", "groups_bytes"), 1);
}

/// Runs a command whose stdout nobody reads; gives exit code and stderr.
fn with_closed_stdout(mut command: Command) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_pipe_is_no_error() {
    let work = table();
    for args in [&["audit", "a.csv", "--only", FACTS][..], &["explain"], &["explain", "outlier"], &["--help"]] {
        assert_eq!(with_closed_stdout(work.command(args)), (0, String::new()), "{args:?}");
    }
}

#[test]
fn completions_into_a_closed_pipe_are_no_error() {
    assert_eq!(with_closed_stdout(table().command(&["completions", "bash"])), (0, String::new()));
}

#[test]
fn findings_fail_the_run_though_nobody_reads_the_report() {
    let work = Workspace::new();
    work.write("a.jsonl", rows(&["first", "first"]));
    let command = work.command(&["audit", "a.jsonl", "--only", FACTS, "--fail-on", "low"]);
    assert_eq!(with_closed_stdout(command), (1, String::new()));
}

#[test]
fn help_and_version_are_no_errors() {
    let run = Workspace::new().tamis(&["--help"]).expect(0);
    for command in ["audit", "embed", "explain", "doctor", "completions"] {
        assert!(run.stdout.contains(&format!("\n  {command} ")), "{command} is not in the help");
    }
    let version = Workspace::new().tamis(&["--version"]).expect(0);
    assert_eq!(version.stdout, format!("tamis {}\n", env!("CARGO_PKG_VERSION")));
}
