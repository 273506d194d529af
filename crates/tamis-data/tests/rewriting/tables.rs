//! Tables: rows as they stand, less those that go, in the file of their split.

use std::io::{Read as _, Write as _};

use tamis_data::rewrite::{Link, RewriteError};

use crate::common::{Files, Work, apply_between, drop, label, names, split, text};

const JSONL: &str = "\u{feff}{\"id\":\"a\" ,\"text\": \"One \\u00e9\", \"label\":\"x\",\"n\":123456789012345678901234567890}\r\n\r\n\
    {\"id\":\"b\",  \"text\":\"two\",\"label\":\"y\", \"f\": 1.0e+2}\r\n{\"id\":\"c\",\r\n  {\"text\":\"three\",\"id\":\"d\"}";

#[test]
fn lines_of_json_stay_byte_for_byte() {
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    assert_eq!(text(&work.apply(&[]), "train.jsonl"), JSONL);
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    let expected = JSONL.replace("{\"id\":\"b\",  \"text\":\"two\",\"label\":\"y\", \"f\": 1.0e+2}\r\n", "");
    assert_eq!(text(&work.apply(&[("b", drop())]), "train.jsonl"), expected);
    let work = Work::new(&[("train.jsonl", JSONL.as_bytes())]);
    let changes = [("a", label("y")), ("d", label("\"q\"")), ("train.jsonl:4", drop())];
    let expected = JSONL
        .replace("\"label\":\"x\"", "\"label\":\"y\"")
        .replace("{\"id\":\"c\",\r\n", "")
        .replace("\"id\":\"d\"}", "\"id\":\"d\", \"label\": \"\\\"q\\\"\"}");
    assert_eq!(text(&work.apply(&changes), "train.jsonl"), expected);
}

#[test]
fn what_is_packed_is_packed_again() {
    let rows = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    let work = Work::new(&[("a.jsonl.gz", &packed(rows.as_bytes()))]);
    let files = work.apply(&[("a.jsonl.gz:1", drop())]);
    assert_eq!(unpacked(&files, "a.jsonl.gz"), b"{\"text\": \"two\"}\n");
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn unpacked(files: &Files, name: &str) -> Vec<u8> {
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&files[name][..]).read_to_end(&mut unpacked).unwrap();
    unpacked
}

#[test]
fn a_file_is_packed_as_its_name_says_whatever_moves_to_it() {
    let (train, test) = ("text,label\na,x\nb,y\n", "text,label\nc,x\nd,y\n");
    let work = Work::new(&[("train.csv", train.as_bytes()), ("test.csv.gz", &packed(test.as_bytes()))]);
    let files = work.apply(&[("test.csv.gz:1", split("train"))]);
    assert_eq!(text(&files, "train.csv"), "text,label\na,x\nb,y\nc,x\n");
    assert_eq!(unpacked(&files, "test.csv.gz"), b"text,label\nd,y\n");
    let work = Work::new(&[("train.csv", train.as_bytes()), ("test.csv.gz", &packed(test.as_bytes()))]);
    let files = work.apply(&[("train.csv:2", split("test")), ("test.csv.gz:2", split("validation"))]);
    assert_eq!(unpacked(&files, "test.csv.gz"), b"text,label\nc,x\nb,y\n");
    assert_eq!(unpacked(&files, "validation.csv.gz"), b"text,label\nd,y\n");
    let ((images, labels), (test_images, test_labels)) = (idx(2), idx(1));
    let work = Work::new(&[
        ("train-images-idx3-ubyte", &images),
        ("train-labels-idx1-ubyte", &labels),
        ("t10k-images-idx3-ubyte.gz", &packed(&test_images)),
        ("t10k-labels-idx1-ubyte.gz", &packed(&test_labels)),
    ]);
    let files = work.apply(&[("train-images-idx3-ubyte:2", split("test"))]);
    assert_eq!(files["train-labels-idx1-ubyte"], idx(1).1);
    assert_eq!(unpacked(&files, "t10k-labels-idx1-ubyte.gz"), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]);
}

const CSV: &str = "\u{feff}id,text,label,note\r\n1,\"a \"\"quoted\"\",\r\nline\",x, spaced \r\n\r\n\
    2,b,\"y\",\"\"\r\n3,two,fields\r\n4,é,x,\"last\"";

#[test]
fn records_of_csv_stay_byte_for_byte() {
    let apply = |changes: &[_]| text(&Work::new(&[("t.csv", CSV.as_bytes())]).apply(changes), "t.csv").to_owned();
    assert_eq!(apply(&[]), CSV);
    assert_eq!(apply(&[("2", drop())]), CSV.replace("2,b,\"y\",\"\"\r\n", ""));
    assert_eq!(apply(&[("4", drop()), ("t.csv:3", drop())]), CSV.replace("3,two,fields\r\n4,é,x,\"last\"", ""));
    let changed = CSV.replace("line\",x,", "line\",\"com,ma\",").replace("\"y\"", "\"x\"");
    assert_eq!(apply(&[("1", label("com,ma")), ("2", label("x"))]), changed);
    let work = Work::new(&[("t.csv", b"text;label\na,b;x\nc;y\n")]);
    assert_eq!(text(&work.apply(&[("t.csv:2", label("x;"))]), "t.csv"), "text;label\na,b;x\nc;\"x;\"\n");
}

#[test]
fn a_quote_that_is_never_closed_goes_with_the_rest_of_the_file() {
    let broken = "text,label\na,x\nb,y\n\"c,x\nd,y\n";
    let work = Work::new(&[("t.csv", broken.as_bytes())]);
    assert_eq!(text(&work.apply(&[("t.csv:3", drop())]), "t.csv"), "text,label\na,x\nb,y\n");
}

#[test]
fn lines_and_tabs_stay_byte_for_byte() {
    let lines = "one\n\n  two \r\nthree";
    let work = Work::new(&[("t.txt", lines.as_bytes())]).inputs(&["t.txt"]);
    assert_eq!(text(&work.apply(&[("t.txt:2", drop()), ("t.txt:4", drop())]), "t.txt"), "one\n  two \r\n");
    let work = Work::new(&[("t.tsv", b"text\tlabel\na\tx\nb, \"c\ty\n")]);
    assert_eq!(text(&work.apply(&[("t.tsv:1", drop()), ("t.tsv:2", label("x"))]), "t.tsv"), "text\tlabel\nb, \"c\tx\n");
}

#[test]
fn rows_move_to_the_file_of_their_split() {
    let work = Work::new(&[("train.csv", b"text,label\na,x\nb,y"), ("test.csv", b"text,label\r\nc,x")]);
    let files = work.apply(&[("train.csv:2", split("test")), ("test.csv:1", split("validation"))]);
    assert_eq!(names(&files), ["test.csv", "train.csv", "validation.csv"]);
    assert_eq!(text(&files, "train.csv"), "text,label\na,x\n");
    assert_eq!(text(&files, "test.csv"), "text,label\r\nb,y");
    assert_eq!(text(&files, "validation.csv"), "text,label\r\nc,x");
}

#[test]
fn a_file_that_names_no_split_gets_others_beside_it() {
    let work = Work::new(&[("all.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}")]).inputs(&["all.jsonl"]);
    let files = work.apply(&[("all.jsonl:2", split("test"))]);
    assert_eq!(text(&files, "all.jsonl"), "{\"text\": \"a\"}\n");
    assert_eq!(text(&files, "all-test.jsonl"), "{\"text\": \"b\"}");
}

#[test]
fn a_file_without_rows_goes() {
    let work = Work::new(&[("train.jsonl", b"{\"text\": \"a\"}\n"), ("test.jsonl", b"{\"text\": \"b\"}\n")]);
    assert_eq!(names(&work.apply(&[("train.jsonl:1", drop())])), ["test.jsonl"]);
}

#[test]
fn splits_that_were_given_name_their_files() {
    let work =
        Work::new(&[("a/x.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}"), ("b/x.jsonl", b"{\"text\": \"c\"}")]);
    let work = work.inputs(&["train=a/x.jsonl", "test=b/x.jsonl"]);
    let (dataset, _) = work.read();
    let key = dataset.key(tamis_core::SampleId(1)).to_owned();
    let files = work.apply(&[(&key, split("test"))]);
    assert_eq!(text(&files, "b/x.jsonl"), "{\"text\": \"c\"}\n{\"text\": \"b\"}");
    assert_eq!(text(&files, "a/x.jsonl"), "{\"text\": \"a\"}\n");
    let work = Work::new(&[("train.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"b\"}")]).inputs(&["train=train.jsonl"]);
    assert_eq!(names(&work.apply(&[("train.jsonl:2", split("validation"))])), ["train.jsonl", "validation.jsonl"]);
}

#[test]
fn what_stays_is_named_as_well_where_all_splits_are_to_be_shown() {
    let work = Work::new(&[("data.csv", b"text,n\na,1\nb,2\nc,3\n")]).naming();
    let files = work.apply(&[("data.csv:1", split("train")), ("data.csv:2", split("test"))]);
    assert_eq!(names(&files), ["data-test.csv", "data-train.csv"]);
    assert_eq!(text(&files, "data-train.csv"), "text,n\na,1\nc,3\n");
    let work = Work::new(&[("train.csv", b"text,n\na,1\n"), ("more.csv", b"text,n\nb,2\n")]).naming();
    assert_eq!(names(&work.apply(&[])), ["more-train.csv", "train.csv"]);
    let work = Work::new(&[("t.csv", b"text,split\na,train\nb,test\n")]).naming();
    assert_eq!(names(&work.apply(&[("t.csv:1", split("test"))])), ["t.csv"]);
    let (images, labels) = idx(2);
    let work = Work::new(&[("images-idx3-ubyte", &images), ("labels-idx1-ubyte", &labels)]).naming();
    let files = work.apply(&[("images-idx3-ubyte:1", split("test"))]);
    let expected =
        ["images-idx3-ubyte-test", "images-idx3-ubyte-train", "labels-idx1-ubyte-test", "labels-idx1-ubyte-train"];
    assert_eq!(names(&files), expected);
}

#[test]
fn a_column_of_splits_is_written_in_its_own_spelling() {
    let rows = "id,text,split\n1,a,train\n2,b,dev\n3,c,\n";
    let work = Work::new(&[("t.csv", rows.as_bytes())]);
    let files = work.apply(&[("1", split("validation")), ("3", split("test"))]);
    assert_eq!(text(&files, "t.csv"), "id,text,split\n1,a,dev\n2,b,dev\n3,c,test\n");
}

#[test]
fn what_cannot_be_done_is_said_with_the_mend() {
    let check = |files: &[(&str, &[u8])], key: &str, change, expected: &str| {
        assert_eq!(Work::new(files).refusal(&[(key, change)]), expected);
    };
    check(
        &[("t.csv", b"text,n\na,1\nb,2\n")],
        "t.csv:1",
        label("x"),
        "cannot relabel `t.csv:1` (`[DIR]/in/t.csv`:1): its table has no column of labels; name the column with --label, or \
         leave the label as it is",
    );
    check(
        &[("train.csv", b"text,n\na,1\nb,2\n"), ("test.csv", b"text,m\na,1\n")],
        "train.csv:1",
        split("test"),
        "rows of `[DIR]/in/train.csv` cannot go to the file of `[DIR]/in/test.csv`: they have other columns; leave these rows \
         in their split, or bring the columns into line",
    );
    check(
        &[("train.csv", b"text,n\na,1\nb,2\n"), ("test.csv", b"text;n\na;1\nb;2\n")],
        "train.csv:1",
        split("test"),
        "rows of `[DIR]/in/train.csv` have another delimiter than the file they would go to; leave these rows in their split, \
         or bring the delimiters into line",
    );
    check(
        &[("t.jsonl", b"{\"text\": \"a\", \"label\": \"x\"}\n{\"text\"\n")],
        "t.jsonl:2",
        label("x"),
        "cannot change `t.jsonl:2`, which could not be read: t.jsonl:2: not JSON (EOF while parsing an object at byte 7), \
         expected one JSON object a line; decide to keep or to drop it",
    );
    check(
        &[("t.jsonl", b"{\"text\": \"a\"}\n")],
        "t.jsonl:1",
        drop(),
        "nothing would be left: every sample is dropped; decide to keep some",
    );
    check(
        &[("train.jsonl", b"{\"text\": \"a\"}\n")],
        "train.jsonl:1",
        split("odd"),
        "cannot move `train.jsonl:1` (`[DIR]/in/train.jsonl`:1): there is no file of the split `odd`, and none can be named \
         after its own that would be read as it; give a file of that split as well, e.g. --test PATH, or take one of train, \
         validation and test",
    );
    let mut work =
        Work::new(&[("t.jsonl", b"{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": [\"x\"]}\n")]);
    work.options.label = Some("label".to_owned());
    assert_eq!(
        work.refusal(&[("t.jsonl:2", label("y"))]),
        "cannot change row 2 of `[DIR]/in/t.jsonl`: `label` is a list or an object, expected one value; leave this sample \
         as it is"
    );
    let twice = Work::new(&[("t.jsonl", b"{\"text\": \"a\"}\n")]).inputs(&["t.jsonl", ""]);
    assert!(twice.refusal(&[]).starts_with("`[DIR]/in/t.jsonl` is read twice"), "{}", twice.refusal(&[]));
}

/// An idx file of images of two pixels and its labels.
fn idx(n: u8) -> (Vec<u8>, Vec<u8>) {
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 1, 0, 0, 0, 2];
    images.extend((0..n).flat_map(|it| [it, 100 + it]));
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, n];
    labels.extend(0..n);
    (images, labels)
}

#[test]
fn idx_files_get_new_counts_and_labels() {
    let (images, labels) = idx(4);
    let (test_images, test_labels) = idx(1);
    let work = Work::new(&[
        ("train-images-idx3-ubyte", &images),
        ("train-labels-idx1-ubyte", &labels),
        ("t10k-images-idx3-ubyte", &test_images),
        ("t10k-labels-idx1-ubyte", &test_labels),
    ]);
    let key = |row: u8| format!("train-images-idx3-ubyte:{row}");
    let files = work.apply(&[(&key(1), drop()), (&key(3), label("255")), (&key(4), split("test"))]);
    assert_eq!(names(&files).len(), 4);
    let train = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 101, 2, 102];
    assert_eq!(files["train-images-idx3-ubyte"], train);
    assert_eq!(files["train-labels-idx1-ubyte"], [0, 0, 8, 1, 0, 0, 0, 2, 1, 255]);
    let test = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 100, 3, 103];
    assert_eq!(files["t10k-images-idx3-ubyte"], test);
    assert_eq!(files["t10k-labels-idx1-ubyte"], [0, 0, 8, 1, 0, 0, 0, 2, 0, 3]);
    let work = Work::new(&[("train-images-idx3-ubyte", &images), ("train-labels-idx1-ubyte", &labels)]);
    let refusal = work.refusal(&[(&key(2), label("cat"))]);
    assert!(refusal.contains("`cat` is no such label; labels of idx files are numbers from 0 to 255"), "{refusal}");
}

#[test]
fn labels_that_changed_since_they_were_read_are_noticed() {
    let (images, labels) = idx(3);
    let work = Work::new(&[("train-images-idx3-ubyte", &images), ("train-labels-idx1-ubyte", &labels)]);
    for change in [("train-images-idx3-ubyte:1", drop()), ("train-images-idx3-ubyte:1", label("0"))] {
        let error = apply_between(&work, &[change], || {
            let mut other = labels.clone();
            other[9] = 77;
            std::fs::write(work.path("in/train-labels-idx1-ubyte"), other).unwrap();
        });
        assert!(matches!(error, RewriteError::Changed { path } if path.ends_with("train-labels-idx1-ubyte")));
        std::fs::write(work.path("in/train-labels-idx1-ubyte"), &labels).unwrap();
    }
}

#[test]
fn a_hard_link_to_another_file_system_has_a_mend() {
    let source = std::io::Error::from(std::io::ErrorKind::CrossesDevices);
    let hint = RewriteError::Write { path: "x".into(), source }.hint().unwrap();
    assert_eq!(hint, "hard links need one file system: take --link copy or --link symbolic");
    let work = Work::new(&[("t.jsonl", b"{\"text\": \"a\"}\n")]);
    work.apply_linked(&[], Link::Hard).unwrap();
}
