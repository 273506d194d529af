//! What is read of a folder, and what its names tell.

use tamis_core::{SampleId, SplitRole};
use tamis_data::{Images, Input, ReadOptions, Reader};

use crate::common::{check_folder, folder, read_paths};

const ROW: &[u8] = b"{\"text\": \"one\"}\n";

#[test]
fn tables_win_over_text_files() {
    let read = check_folder(
        &[("b.jsonl", ROW), ("a.csv", b"text\ntwo\n"), ("notes.txt", b"not read")],
        &["a.csv:1 | train | - | two", "b.jsonl:1 | train | - | one"],
    );
    assert_eq!(read.note("2 files"), "`.`: 2 files read by content and extension (1 as csv, 1 as jsonl)");
    assert_eq!(read.note("notes.txt"), "`.`: 1 file left out, of other formats: `notes.txt`");
}

#[test]
fn files_are_read_in_the_order_of_their_bytes() {
    check_folder(
        &[("b.txt", b"3"), ("a/z.txt", b"2"), ("a-b.txt", b"1"), ("B.txt", b"0")],
        &["B.txt | train | - | 0", "a-b.txt | train | - | 1", "a/z.txt | train | - | 2", "b.txt | train | - | 3"],
    );
}

#[test]
fn what_is_no_data_is_left_out() {
    let read = check_folder(
        &[
            ("a.txt", b"one"),
            ("README.md", b"about"),
            ("LICENSE-MIT", b"about"),
            ("sub/LICENSE", b"a text"),
            (".hidden", b"x"),
            (".git/config", b"x"),
            ("image.png", b"\x89PNG\0"),
            ("tamis-out/samples.parquet", b"x"),
            ("other/audit.json", b"{}"),
            ("other/samples.parquet", b"x"),
            ("killed/store/lock", b"1"),
            ("killed/store/text-0/1.seg", b"x"),
        ],
        &["a.txt | train | - | one", "sub/LICENSE | train | - | a text"],
    );
    assert_eq!(read.note("about"), "`.`: 2 files left out, about the data: `LICENSE-MIT`, `README.md`");
    assert_eq!(read.note("binary"), "`.`: 1 file left out, binary: `image.png`");
    assert_eq!(read.note("hidden"), "`.`: 2 entries left out, hidden");
    assert_eq!(read.note("audits"), "`.`: 3 entries left out, audits");
}

#[test]
fn a_readme_alone_is_a_text() {
    check_folder(&[("README.md", b"about")], &["README.md | train | - | about"]);
}

#[test]
fn folders_of_equal_depth_are_labels_and_splits() {
    let read = check_folder(
        &[("train/spam/test.txt", b"1"), ("train/ham/b.txt", b"2"), ("test/ham/c.txt", b"3")],
        &[
            "test/ham/c.txt | test | ham | 3",
            "train/ham/b.txt | train | ham | 2",
            "train/spam/test.txt | train | spam | 1",
        ],
    );
    assert_eq!(read.note("labels"), "labels: the names of 2 folders (`ham`, `spam`)");
    assert_eq!(read.note("splits"), "splits by the names of folders and files: test (1 file), train (2 files)");
}

#[test]
fn one_folder_or_unequal_depths_give_no_labels() {
    check_folder(
        &[("spam/a.txt", b"1"), ("spam/b.txt", b"2")],
        &["spam/a.txt | train | - | 1", "spam/b.txt | train | - | 2"],
    );
    let read = check_folder(
        &[("spam/a.txt", b"1"), ("b.txt", b"2")],
        &["b.txt | train | - | 2", "spam/a.txt | train | - | 1"],
    );
    assert_eq!(read.note("no labels"), "no labels: folders name labels only where all files lie equally deep in one");
}

#[test]
fn a_word_in_the_name_of_one_text_is_no_split() {
    check_folder(
        &[("unit test.txt", b"1"), ("essay.txt", b"2")],
        &["essay.txt | train | - | 2", "unit test.txt | train | - | 1"],
    );
    check_folder(
        &[("test-1.txt", b"1"), ("train-1.txt", b"2")],
        &["test-1.txt | test | - | 1", "train-1.txt | train | - | 2"],
    );
}

#[test]
fn names_of_tables_are_splits() {
    let read = check_folder(
        &[("data/test-00000-of-00001.jsonl", ROW), ("data/dev.jsonl", ROW), ("data/more.jsonl", ROW)],
        &[
            "data/dev.jsonl:1 | validation | - | one",
            "data/more.jsonl:1 | train | - | one",
            "data/test-00000-of-00001.jsonl:1 | test | - | one",
        ],
    );
    assert_eq!(read.note("no split"), "1 file shows no split by name and count as `train`");
}

#[test]
fn given_splits_win_and_equal_names_get_their_path() {
    let dir = folder(&[("a/test.jsonl", ROW), ("b/test.jsonl", b"{\"text\": \"two\", \"split\": \"train\"}\n")]);
    let root = dir.path().to_string_lossy().into_owned();
    let read =
        read_paths(dir, &["train=a/test.jsonl", "held-out=b/test.jsonl"], &ReadOptions::default(), (10, 10)).unwrap();
    let lines: Vec<_> = read.lines().iter().map(|it| it.replace(&format!("{root}/"), "")).collect();
    assert_eq!(lines, ["a/test.jsonl:1 | train | - | one", "b/test.jsonl:1 | held-out | - | two"]);
    assert!(
        read.note("its split was given")
            .ends_with("the column `split` was not taken for the split, its split was given")
    );
}

#[test]
fn a_given_role_is_kept() {
    let dir = folder(&[("a.jsonl", ROW)]);
    let split = Some(("held-out".to_owned(), Some(SplitRole::Test)));
    let inputs = [Input { path: dir.path().join("a.jsonl"), split }];
    let mut reader = Reader::open(&inputs, &ReadOptions::default()).unwrap();
    while reader.next_window(10, 10, Images::default()).unwrap().is_some() {}
    let (dataset, _) = reader.finish();
    assert_eq!(dataset.split_role(dataset.sample(SampleId(0)).split), SplitRole::Test);
}

#[test]
fn nothing_to_read_says_what_was_looked_for() {
    let error = |files: &[(&str, &[u8])], path: &str, options: &ReadOptions| {
        let dir = folder(files);
        let root = dir.path().to_string_lossy().into_owned();
        let error = read_paths(dir, &[path], options, (10, 10)).map(|it| it.lines()).unwrap_err();
        assert!(!error.is_usage());
        error.to_string().replace(&root, "ROOT")
    };
    let default = ReadOptions::default();
    assert_eq!(error(&[], "no", &default), "no such file or folder: `ROOT/no`");
    let looked_for = "looked for tables (.parquet .jsonl .ndjson .csv .tsv, idx), image files and text files";
    assert_eq!(error(&[], "", &default), format!("nothing to read in `ROOT`: {looked_for}, found no file"));
    assert_eq!(
        error(&[("a.bin", b"\0")], "", &default),
        format!("nothing to read in `ROOT`: {looked_for}, found 1 file, all of them binary or of another kind")
    );
    assert_eq!(
        error(&[("a.csv", b"text\n")], "a.csv", &default),
        "nothing to read in `ROOT/a.csv`: expected at least one row, found none"
    );
    assert_eq!(
        error(&[("a.jsonl", b"\n\n")], "a.jsonl", &default),
        "nothing to read in `ROOT/a.jsonl`: expected at least one row, found none"
    );
    let no_input = Reader::open(&[], &default).unwrap_err();
    assert_eq!(no_input.to_string(), "no input: expected a file or a folder");
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_opened_are_samples() {
    let dir = folder(&[("a.txt", b"one")]);
    std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("b.txt")).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
    let read = read_paths(dir, &[""], &ReadOptions::default(), (10, 10)).unwrap();
    assert_eq!(
        read.lines(),
        [
            "a.txt | train | - | one",
            "b.txt | train | - | [b.txt: cannot be opened: it is no longer there, expected a readable file]",
        ]
    );
    assert_eq!(read.note("links"), "`.`: 1 entry left out, links to folders");
    assert_eq!(read.dataset.files()[1].blake3, None);
}

#[test]
fn a_forced_format_reads_the_files_that_fit() {
    let options = ReadOptions { from: Some("lines".to_owned()), ..ReadOptions::default() };
    let dir = folder(&[("a.txt", b"1\n2\n"), ("b.jsonl", ROW)]);
    let read = read_paths(dir, &[""], &options, (10, 10)).unwrap();
    assert_eq!(read.lines(), ["a.txt:1 | train | - | 1", "a.txt:2 | train | - | 2"]);
    assert_eq!(read.note("lines"), "`.`: 1 file read as lines (given)");
}
