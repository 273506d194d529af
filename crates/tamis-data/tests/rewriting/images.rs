//! Images that tables name by path.

use std::fs;

use tamis_data::rewrite::RewriteError;

use crate::common::{Work, apply_between, drop, names, split, text};
use crate::folders::png;

#[test]
fn a_moved_image_takes_no_other_ones_place() {
    let work = Work::new(&[
        ("train/data.csv", b"image,label\nimg/1.png,cat\nimg/2.png,dog\n"),
        ("train/img/1.png", &png(1)),
        ("train/img/2.png", &png(2)),
        ("test/data.csv", b"image,label\nimg/2.png,dog\n"),
        ("test/img/1.png", &png(3)),
        ("test/img/2.png", &png(4)),
    ]);
    let files = work.apply(&[("train/data.csv:1", split("test"))]);
    assert_eq!(text(&files, "test/data.csv"), "image,label\nimg/2.png,dog\nimg/1-2.png,cat\n");
    assert_eq!((&files["test/img/1.png"], &files["test/img/1-2.png"]), (&png(3), &png(1)));
    assert!(!files.contains_key("train/img/1.png"), "what moved is no longer where it was");
}

#[test]
fn splits_with_the_same_names_of_images_can_be_made_anew() {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (at, folder) in ["train", "test"].into_iter().enumerate() {
        let rows: String = (0..5).map(|n| format!("{{\"image\": \"img/{n}.png\", \"label\": {n}}}\n")).collect();
        all.push((format!("{folder}/data.jsonl"), rows.into_bytes()));
        all.extend((0..5_u8).map(|n| (format!("{folder}/img/{n}.png"), png(1 + n + 5 * u8::try_from(at).unwrap()))));
    }
    let all: Vec<(&str, &[u8])> = all.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let moved = [
        ("train/data.jsonl:1", split("test")),
        ("train/data.jsonl:2", split("test")),
        ("train/data.jsonl:3", split("validation")),
        ("test/data.jsonl:1", split("train")),
        ("test/data.jsonl:4", split("validation")),
        ("test/data.jsonl:3", drop()),
    ];
    let files = Work::new(&all).naming().apply(&moved);
    assert_eq!(names(&files).len(), 3 + 9);
    assert_eq!(files["train/img/0.png"], png(6), "a name that got free is taken");
    assert_eq!(files["test/img/1-2.png"], png(2));
    assert!(text(&files, "test/data.jsonl").ends_with("{\"image\": \"img/1-2.png\", \"label\": 1}\n"));
}

#[test]
fn an_image_stays_where_another_cell_names_it() {
    let work = Work::new(&[
        ("train.jsonl", b"{\"image\": \"img/1.png\", \"crop\": \"img/2.png\"}\n{\"image\": \"img/2.png\", \"crop\": \"\"}\n\
          {\"image\": \"img/3.png\", \"crop\": \"\"}\n{\"image\": \"img/4.png\", \"crop\": {\"of\": [\"./img/3.png\"]}}\n\
          {\"image\": \"img/5.png\", \"crop\": \"\"}\n"),
        ("img/1.png", &png(1)),
        ("img/2.png", &png(2)),
        ("img/3.png", &png(3)),
        ("img/4.png", &png(4)),
        ("img/5.png", &png(5)),
    ]);
    let dropped = [2, 3, 5].map(|row| format!("train.jsonl:{row}"));
    let files = work.apply(&dropped.each_ref().map(|key| (key.as_str(), drop())));
    assert_eq!(names(&files), ["img/1.png", "img/2.png", "img/3.png", "img/4.png", "train.jsonl"]);
}

#[test]
fn tables_may_name_images_in_folders_beside_theirs() {
    let work = Work::new(&[
        ("ann/train.jsonl", b"{\"image\": \"../images/0.png\"}\n{\"image\": \"../images/1.png\"}\n"),
        ("images/0.png", &png(1)),
        ("images/1.png", &png(2)),
    ]);
    let files = work.apply(&[("ann/train.jsonl:1", drop())]);
    assert_eq!(names(&files), ["ann/train.jsonl", "images/1.png"]);
    let work = Work::new(&[("ann/train.jsonl", b"{\"image\": \"../images/0.png\"}\n"), ("images/0.png", &png(1))]);
    let refusal = work.inputs(&["ann/train.jsonl"]).refusal(&[]);
    assert!(
        refusal.contains("it names the image `../images/0.png`, which lies outside of what is written"),
        "{refusal}"
    );
}

#[cfg(unix)]
#[test]
fn the_folder_of_images_may_be_a_link() {
    let work = Work::new(&[("train.jsonl", b"{\"image\": \"img/0.png\"}\n{\"image\": \"img/1.png\"}\n")]);
    fs::create_dir(work.path("elsewhere")).unwrap();
    fs::write(work.path("elsewhere/0.png"), png(1)).unwrap();
    fs::write(work.path("elsewhere/1.png"), png(2)).unwrap();
    std::os::unix::fs::symlink(work.path("elsewhere"), work.path("in/img")).unwrap();
    let files = work.apply(&[("train.jsonl:1", drop())]);
    assert_eq!(names(&files), ["img/1.png", "train.jsonl"]);
}

#[test]
fn an_image_that_changed_since_it_was_read_is_noticed() {
    let work = Work::new(&[("train.jsonl", b"{\"image\": \"img/0.png\"}\n"), ("img/0.png", &png(1))]);
    let error = apply_between(&work, &[], || fs::write(work.path("in/img/0.png"), png(2)).unwrap());
    assert!(matches!(error, RewriteError::Changed { path } if path.ends_with("img/0.png")));
    let metadata = "file_name,label\n1.png,cat\n2.png,dog\n";
    let work = Work::new(&[("metadata.csv", metadata.as_bytes()), ("1.png", &png(1)), ("2.png", &png(2))]);
    for changes in [&[][..], &[("1.png", drop())]] {
        let other = metadata.replace("dog", "cow");
        let error = apply_between(&work, changes, || fs::write(work.path("in/metadata.csv"), other).unwrap());
        assert!(matches!(error, RewriteError::Changed { path } if path.ends_with("metadata.csv")));
        fs::write(work.path("in/metadata.csv"), metadata).unwrap();
    }
}
