//! Folders of files that are one sample each, and files beside tables.

use std::fs;

use image::{GrayImage, ImageFormat};
use tamis_data::rewrite::Link;

use crate::common::{Work, drop, label, names, split, text};

/// A picture; every number gives another one.
fn png(n: u8) -> Vec<u8> {
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
        ["README.md", "test/dog/1.png", "test/notes.bin", "train/dog/1.png", "validation/dog/1.png"]
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
    assert_eq!(names(&work.apply(&[("cat/1.png", split("test"))])), ["dog/1.png", "test/cat/1.png"]);
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
    let work = Work::new(&[("ham/1.txt", b"one"), ("ham/2.txt", b"two\r\n"), ("spam/1.txt", b"three")]);
    let files = work.apply(&[("ham/1.txt", drop()), ("ham/2.txt", label("spam"))]);
    assert_eq!(names(&files), ["spam/1.txt", "spam/2.txt"]);
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
