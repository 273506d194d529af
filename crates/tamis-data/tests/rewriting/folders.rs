//! Folders of files that are one sample each, and files beside tables.

use std::fs;

use image::{GrayImage, ImageFormat};
use tamis_data::rewrite::Link;

use crate::common::{Applied, Work, drop, label, names, split, text};

/// A picture; every number gives another one.
pub(crate) fn png(n: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    GrayImage::from_fn(3, 2, |x, y| image::Luma([n.wrapping_mul(u8::try_from(x + 2 * y).unwrap()); 1]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn folder() -> Work {
    Work::new(&[
        ("README.md", b"about"),
        ("train/cat/1.png", &png(1)),
        ("train/cat/2.png", &png(2)),
        ("train/cat/3.png", &png(5)),
        ("train/dog/1.png", &png(3)),
        ("test/dog/1.png", &png(4)),
        ("test/notes.bin", b"\0\x01"),
    ])
}

#[test]
fn images_go_to_the_folder_of_their_label_and_split() {
    let files = folder().apply(&[
        ("train/cat/1.png", label("dog")),
        ("train/cat/2.png", drop()),
        ("train/dog/1.png", split("validation")),
    ]);
    assert_eq!(
        names(&files),
        ["README.md", "test/dog/1.png", "test/notes.bin", "train/cat/3.png", "train/dog/1.png", "validation/dog/1.png"]
    );
    assert_eq!((&files["train/dog/1.png"], &files["validation/dog/1.png"]), (&png(1), &png(3)));
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let files = folder().apply(&[("train/cat/1.png", label("dog"))]);
    assert_eq!((&files["train/dog/1.png"], &files["train/dog/1-2.png"]), (&png(3), &png(1)));
}

#[test]
fn files_that_stay_may_be_links() {
    let work = folder();
    work.apply_linked(&[("train/cat/2.png", drop())], Link::Symbolic).unwrap();
    let link = fs::read_link(work.path("out/train/cat/1.png")).unwrap();
    assert_eq!(link, work.path("in/train/cat/1.png").canonicalize().unwrap());
    let work = folder();
    work.apply_linked(&[("train/cat/2.png", drop())], Link::Hard).unwrap();
    let path = work.path("out/train/cat/1.png");
    assert!(!path.is_symlink() && fs::read(path).unwrap() == png(1));
}

#[test]
fn folders_without_a_split_move_below_one() {
    let work = Work::new(&[("cat/1.png", &png(1)), ("dog/1.png", &png(2))]);
    let files = work.apply(&[("cat/1.png", split("test"))]);
    assert_eq!(names(&files), ["dog/1.png", "test/cat/1.png"]);
}

#[test]
fn folders_of_given_splits_keep_their_names() {
    let work = Work::new(&[("a/cat/1.png", &png(1)), ("a/dog/1.png", &png(2)), ("b/dog/7.png", &png(3))]);
    let files = work.inputs(&["train=a", "test=b"]).apply(&[("cat/1.png", split("test"))]);
    assert_eq!(names(&files), ["a/dog/1.png", "b/cat/1.png", "b/dog/7.png"]);
    let work = Work::new(&[("cat/1.png", &png(1)), ("dog/1.png", &png(2))]).inputs(&["train="]);
    // Read with the same option again it would be train; its place says more.
    let Applied { files, .. } = work.write(&[("cat/1.png", split("test"))], Link::Copy).unwrap();
    assert_eq!(names(&files), ["dog/1.png", "test/cat/1.png"]);
}

#[test]
fn what_stays_goes_below_its_split_where_all_are_to_be_shown() {
    let work = Work::new(&[("cat/1.png", &png(1)), ("dog/1.png", &png(2)), ("dog/2.png", &png(2)[..30])]).naming();
    let files = work.apply(&[("cat/1.png", split("test")), ("dog/1.png", split("train"))]);
    assert_eq!(names(&files), ["test/cat/1.png", "train/dog/1.png", "train/dog/2.png"]);
    let rows = "file_name,label\ncat/1.png,x\ndog/1.png,y\n";
    let work = Work::new(&[("metadata.csv", rows.as_bytes()), ("cat/1.png", &png(1)), ("dog/1.png", &png(2))]);
    let files = work.naming().apply(&[("cat/1.png", split("test"))]);
    assert_eq!(text(&files, "metadata.csv"), "file_name,label\ntest/cat/1.png,x\ntrain/dog/1.png,y\n");
}

#[test]
fn what_stays_and_will_be_read_in_another_way_is_said() {
    let work = Work::new(&[("train_a.txt", b"one"), ("test_b.txt", b"two"), ("readme_c.txt", b"three")]);
    let Applied { notes, .. } = work.write(&[("readme_c.txt", drop())], Link::Copy).unwrap();
    assert_eq!(
        notes,
        [
            "1 file that stays will be read with another split than before, first `test_b.txt` in `test` instead of `train`: \
          names of single files show splits only where all of them do"
        ]
    );
    let work = Work::new(&[("cat/1.png", &png(1)), ("dog/1.png", &png(2))]);
    let Applied { notes, .. } = work.write(&[("cat/1.png", drop())], Link::Copy).unwrap();
    assert_eq!(
        notes,
        [
            "1 file that stays will be read with another label than before, first `dog/1.png` with no label instead of the \
          label `dog`: folders name labels only where there is more than one and all files lie equally deep"
        ]
    );
    let work = Work::new(&[("cat/1.png", &png(1)), ("cat/2.png", &png(3)), ("dog/1.png", &png(2))]);
    assert!(work.apply_linked(&[("cat/1.png", drop())], Link::Copy).unwrap().notes.is_empty());
}

#[test]
fn metadata_of_nothing_goes_and_its_repeated_rows_follow() {
    let work = Work::new(&[
        ("train/metadata.jsonl", b"{\"file_name\": \"1.png\", \"label\": \"x\"}\n"),
        ("train/1.png", &png(1)),
        ("test/metadata.jsonl", b"{\"file_name\": \"2.png\", \"label\": \"x\"}\n"),
        ("test/2.png", &png(2)),
    ]);
    assert_eq!(names(&work.apply(&[("train/1.png", drop())])), ["test/2.png", "test/metadata.jsonl"]);
    let rows = "file_name,label\ntrain/1.png,x\ntrain/1.png,y\ntest/2.png,x\n";
    let work = Work::new(&[("metadata.csv", rows.as_bytes()), ("train/1.png", &png(1)), ("test/2.png", &png(2))]);
    let files = work.apply(&[("train/1.png", split("test"))]);
    assert_eq!(text(&files, "metadata.csv"), rows.replace("train/1", "test/1"));
}

#[cfg(unix)]
#[test]
fn what_does_not_come_along_is_said() {
    let work = Work::new(&[("train.csv", b"text\na\n"), (".gitattributes", b"x"), ("notes.md", b"y")]);
    std::os::unix::fs::symlink(work.path("nowhere"), work.path("in/broken.md")).unwrap();
    let Applied { files, notes } = work.apply_linked(&[], Link::Copy).unwrap();
    assert_eq!(names(&files), ["notes.md", "train.csv"]);
    let notes: Vec<String> = notes.iter().map(|it| it.replace(work.dir.path().to_str().unwrap(), "[DIR]")).collect();
    assert_eq!(
        notes,
        [
            "`[DIR]/in/`: 1 entry does not come along, hidden",
            "`[DIR]/in/`: 1 entry does not come along, for no file can be read there: `broken.md`"
        ]
    );
}

#[test]
fn a_label_that_is_no_name_of_a_folder_is_refused() {
    let refusal = folder().refusal(&[("train/cat/1.png", label("a/b"))]);
    assert_eq!(
        refusal,
        "cannot relabel `train/cat/1.png` (`[DIR]/in/train/cat/1.png`): `a/b` cannot be the name of a folder of a label; \
         rename the class, or leave the label as it is"
    );
}

#[test]
fn texts_in_folders_move_and_go_as_well() {
    let work = Work::new(&[
        ("ham/1.txt", b"one"),
        ("ham/2.txt", b"two\r\n"),
        ("ham/3.txt", b"four"),
        ("spam/1.txt", b"three"),
    ]);
    let files = work.apply(&[("ham/1.txt", drop()), ("ham/2.txt", label("spam"))]);
    assert_eq!(names(&files), ["ham/3.txt", "spam/1.txt", "spam/2.txt"]);
    assert_eq!(text(&files, "spam/2.txt"), "two\r\n");
}

const METADATA: &str = "file_name,label,note\r\n1.png,cat,\"a, b\"\r\n2.png,dog,\r\ngone.png,dog,x\r\n";

#[test]
fn metadata_follows_its_images() {
    let work = Work::new(&[
        ("train/metadata.csv", METADATA.as_bytes()),
        ("train/1.png", &png(1)),
        ("train/2.png", &png(2)),
        ("test/metadata.csv", b"file_name,label,note\n3.png,cat,\n"),
        ("test/3.png", &png(3)),
    ]);
    let files =
        work.apply(&[("train/1.png", split("test")), ("train/2.png", label("cat")), ("train/gone.png", drop())]);
    assert_eq!(names(&files), ["test/1.png", "test/3.png", "test/metadata.csv", "train/2.png", "train/metadata.csv"]);
    assert_eq!(text(&files, "train/metadata.csv"), "file_name,label,note\r\n2.png,cat,\r\n");
    assert_eq!(text(&files, "test/metadata.csv"), "file_name,label,note\n3.png,cat,\n1.png,cat,\"a, b\"\r\n");
}

#[test]
fn metadata_at_the_top_gets_the_new_names() {
    let rows = "{\"file_name\": \"train/1.png\", \"label\": 1}\n{\"file_name\": \"test/2.png\", \"label\": 2}\n";
    let work = Work::new(&[("metadata.jsonl", rows.as_bytes()), ("train/1.png", &png(1)), ("test/2.png", &png(2))]);
    let files = work.apply(&[("train/1.png", split("test")), ("test/2.png", label("1"))]);
    assert_eq!(names(&files), ["metadata.jsonl", "test/1.png", "test/2.png"]);
    let expected = "{\"file_name\": \"test/1.png\", \"label\": 1}\n{\"file_name\": \"test/2.png\", \"label\": 1}\n";
    assert_eq!(text(&files, "metadata.jsonl"), expected);
}

#[test]
fn images_come_with_the_rows_that_name_them() {
    let work = Work::new(&[
        ("train.csv", b"image,label\nimg/1.png,cat\nimg/2.png,dog\n"),
        ("img/1.png", &png(1)),
        ("img/2.png", &png(2)),
        ("img/3.png", &png(3)),
    ]);
    let files = work.apply(&[("train.csv:1", drop())]);
    assert_eq!(names(&files), ["img/2.png", "img/3.png", "train.csv"]);
    let work = work.inputs(&["train.csv"]);
    fs::remove_dir_all(work.path("out")).unwrap();
    assert_eq!(names(&work.apply(&[("train.csv:1", drop())])), ["img/2.png", "train.csv"]);
    let work = Work::new(&[
        ("a/train.csv", b"image,label\n../1.png,cat\n../2.png,dog\n"),
        ("1.png", &png(1)),
        ("2.png", &png(2)),
    ]);
    let refusal = work.inputs(&["a/train.csv"]).refusal(&[]);
    assert!(refusal.contains("it names the image `../1.png`, which lies outside of what is written"), "{refusal}");
}
