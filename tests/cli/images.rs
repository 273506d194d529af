//! Images from end to end: how they are read, what is the same, what is close, what cannot be read.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tamis_data::image::{Decoder, Wanted};
use tamis_embed::{ImageModel, ModelFiles};

use crate::common::{Run, Workspace, counts, fixtures, keys};

/// Checks that need no model.
const FACTS: &str = "unreadable-sample,exact-duplicate,conflicting-labels";

/// A picture without symmetry; every `seed` gives another one.
pub(crate) fn picture(seed: u32, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |k: u32| u8::try_from((x * (k + seed) / 3 + y * (2 * k + 3 * seed) / 5 + x * y / 7) % 256).unwrap();
        Rgb([wave(1), wave(5), wave(11)])
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(seed: u32) -> Vec<u8> {
    encoded(&picture(seed, 40, 30).into(), ImageFormat::Png)
}

fn bmp(seed: u32) -> Vec<u8> {
    encoded(&picture(seed, 40, 30).into(), ImageFormat::Bmp)
}

fn facts(work: &Workspace, args: &[&str]) -> Run {
    work.tamis(&[&["audit", "--only", FACTS], args].concat())
}

/// Level and keys of each group of copies.
fn groups(run: &Run) -> Vec<(String, Vec<String>)> {
    let level = |evidence: &serde_json::Value| evidence["level"].as_str().unwrap().to_owned();
    let findings = run.findings_of("exact-duplicate");
    findings.iter().map(|it| (level(&serde_json::to_value(&it.evidence).unwrap()), keys(it))).collect()
}

fn group(level: &str, keys: &[&str]) -> (String, Vec<String>) {
    (level.to_owned(), keys.iter().map(|it| (*it).to_owned()).collect())
}

#[test]
fn folders_name_labels_and_splits_and_copies_are_found_at_their_level() {
    let work = Workspace::new();
    work.write("data/train/cat/a.png", png(1));
    work.write("data/train/cat/b.png", png(1));
    work.write("data/train/dog/c.bmp", bmp(1));
    work.write("data/train/dog/d.png", png(2));
    work.write("data/test/dog/e.png", png(3));
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(run.audit().dataset.modality, "image");
    assert_eq!(run.splits(), counts(&[("test", 1), ("train", 4)]));
    assert_eq!(run.labels(), counts(&[("dog", 3), ("cat", 2)]));
    assert_eq!(groups(&run), [group("pixels", &["train/cat/a.png", "train/cat/b.png", "train/dog/c.bmp"])]);
    assert_eq!(run.fact("exact-duplicate", "groups_bytes"), 1);
    assert_eq!(run.fact("conflicting-labels", "groups_pixels"), 1);
    run.expect_note("labels: the names of 2 folders (`cat`, `dog`)");
}

#[test]
fn metadata_beside_images_gives_labels_and_what_it_names_in_vain_is_a_finding() {
    let work = Workspace::new();
    for (name, seed) in [("a.png", 1), ("b.png", 2), ("c.png", 3)] {
        work.write(&format!("data/images/{name}"), png(seed));
    }
    work.write(
        "data/metadata.csv",
        "file_name,label,artist\nimages/a.png,x,me\nimages/b.png,y,\nimages/no.png,y,you\n",
    );
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(run.labels(), counts(&[("x", 1), ("y", 2)]));
    let unreadable = run.findings_of("unreadable-sample");
    assert_eq!(unreadable.len(), 1);
    let reason = "not among the images read, expected the one that row 3 of `metadata.csv` names";
    assert!(unreadable[0].message.contains(reason), "{}", unreadable[0].message);
    run.expect_note("`metadata.csv`: 1 image is without a row");
    assert!(run.audit().inputs.iter().any(|it| it.path.ends_with("metadata.csv") && it.blake3.is_some()));
}

#[test]
fn a_table_may_name_images_by_their_paths() {
    let work = Workspace::new();
    work.write("data/pictures/a.png", png(1));
    work.write("data/pictures/b.bmp", bmp(1));
    work.write("data/list.jsonl", "{\"img\": \"pictures/a.png\", \"label\": \"x\"}\n{\"img\": \"pictures/b.bmp\", \"label\": \"x\"}\n{\"img\": \"pictures/c.png\", \"label\": \"y\"}\n");
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(groups(&run), [group("pixels", &["list.jsonl:1", "list.jsonl:2"])]);
    let message = &run.findings_of("unreadable-sample")[0].message;
    assert!(message.contains("list.jsonl:3: image `pictures/c.png` cannot be opened"), "{message}");
    run.expect_note("image column: `img` (by its name and content)");
    work.write("texts.csv", "caption,img\nA red fox in the snow,pictures/a.png\n");
    let run = facts(&work, &["texts.csv"]).expect(0);
    assert_eq!(run.audit().dataset.modality, "text", "paths that lead nowhere are texts");
}

/// A Parquet file as Hugging Face `datasets` writes it: a struct of bytes and path, and the names of classes.
fn parquet(images: &[Option<Vec<u8>>], labels: &[i64]) -> Vec<u8> {
    let bytes: BinaryArray = images.iter().map(Option::as_deref).collect();
    let paths: StringArray = images.iter().map(|_| None::<&str>).collect();
    let image = StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), Arc::new(bytes) as ArrayRef),
        (Arc::new(Field::new("path", DataType::Utf8, true)), Arc::new(paths) as ArrayRef),
    ]);
    let columns: [(&str, ArrayRef); 2] =
        [("image", Arc::new(image)), ("label", Arc::new(Int64Array::from(labels.to_vec())))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let features = r#"{"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
    let metadata = vec![KeyValue::new("huggingface".to_owned(), features.to_owned())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn parquet_of_datasets_has_images_and_names_of_classes() {
    let work = Workspace::new();
    let images = [Some(png(1)), Some(png(2)), Some(bmp(1)), Some(b"no image".to_vec()), None];
    work.write("data/train-00000-of-00001.parquet", parquet(&images, &[0, 1, 0, 1, 1]));
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(run.labels(), counts(&[("cat", 2), ("dog", 3)]));
    assert_eq!(run.fact("exact-duplicate", "groups_pixels"), 1);
    let reasons: Vec<_> = run.findings_of("unreadable-sample").into_iter().map(|it| it.message).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("expected an image"), "{reasons:?}");
    assert!(reasons[1].contains("column `image` is null, expected an image"), "{reasons:?}");
}

/// An idx file of unsigned bytes.
fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(shape.len()).unwrap()];
    bytes.extend(shape.iter().flat_map(|it| it.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn idx_files_are_read_with_their_labels_and_their_split() {
    let work = Workspace::new();
    let images: Vec<u8> = (0..3 * 16).map(|i| if i < 32 { i % 16 } else { 200 }).collect();
    work.write("data/train-images-idx3-ubyte", idx(&[3, 4, 4], &images));
    work.write("data/train-labels-idx1-ubyte", idx(&[3], &[7, 7, 9]));
    work.write("data/t10k-images-idx3-ubyte", idx(&[1, 4, 4], &images[..16]));
    work.write("data/t10k-labels-idx1-ubyte", idx(&[1], &[7]));
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(run.splits(), counts(&[("test", 1), ("train", 3)]));
    assert_eq!(run.labels(), counts(&[("7", 3), ("9", 1)]));
    let copies = ["t10k-images-idx3-ubyte:1", "train-images-idx3-ubyte:1", "train-images-idx3-ubyte:2"];
    assert_eq!(groups(&run), [group("bytes", &copies)]);
    work.write("data/train-labels-idx1-ubyte", idx(&[2], &[7, 7]));
    let message = &facts(&work, &["data"]).expect(0).findings_of("unreadable-sample")[0].message;
    let reason = "labels `train-labels-idx1-ubyte` have the shape [2], expected [3]: one for each image";
    assert!(message.contains(reason), "{message}");
}

#[test]
fn what_is_no_image_or_only_a_part_of_one_is_a_finding() {
    let work = Workspace::new();
    let jpeg = encoded(&picture(4, 64, 64).into(), ImageFormat::Jpeg);
    work.write("data/good.jpg", &jpeg);
    work.write("data/cut.jpg", &jpeg[..jpeg.len() / 2]);
    work.write("data/text.jpg", "not a picture at all");
    work.write("data/empty.png", "");
    work.write("data/photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    work.write("data/tiny.png", encoded(&picture(1, 1, 1).into(), ImageFormat::Png));
    work.write("data/long.png", encoded(&picture(1, 30_000, 1).into(), ImageFormat::Png));
    let mut bomb = png(1);
    bomb[16..20].copy_from_slice(&0x8000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&0x10000_u32.to_be_bytes());
    work.write("data/bomb.png", bomb);
    let run = facts(&work, &["data"]).expect(0);
    let found: Vec<_> = run.findings_of("unreadable-sample").iter().flat_map(keys).collect();
    assert_eq!(found, ["bomb.png", "cut.jpg", "empty.png", "photo.heic", "text.jpg"]);
}

#[test]
fn near_copies_are_found_and_the_page_shows_them_side_by_side() {
    let work = Workspace::new();
    for seed in 1..9 {
        work.write(&format!("data/{seed}.png"), png(seed));
    }
    let darker = image::imageops::colorops::brighten(&picture(3, 40, 30), -12);
    work.write("data/3-darker.png", encoded(&darker.into(), ImageFormat::Png));
    let run = work.tamis(&["audit", "data", "--only", "near-duplicate,outlier,empty-text"]).expect(0);
    let near = run.findings_of("near-duplicate");
    assert!(
        near.iter().any(|it| ["3-darker.png", "3.png"].iter().all(|key| keys(it).contains(&(*key).to_owned()))),
        "{near:#?}"
    );
    let actions = near.iter().map(|it| serde_json::to_value(&it.suggestion).unwrap()["action"].clone());
    assert!(actions.into_iter().all(|it| it == "review"), "an image is not dropped for a cosine");
    assert!(run.text("report.html").contains("\"data:image/png;base64,"));
    let check = run.check("empty-text");
    assert_eq!(check.reason.as_deref(), Some("it looks at texts, and the samples are images"));
    let model = run.audit().model.unwrap();
    assert_eq!((model.max_tokens, model.pixels.unwrap().side), (None, 96));
}

#[test]
fn texts_and_images_are_not_audited_together() {
    let work = Workspace::new();
    work.write("images/a.png", png(1));
    work.write("texts.txt", "one\ntwo\n");
    let run = facts(&work, &["images", "texts.txt"]).expect(2);
    assert!(run.stderr.contains("expected one kind of sample in an audit"), "{}", run.stderr);
    let run = work.tamis(&["audit", "images", "--model", "all-minilm-l6-v2"]).expect(2);
    assert!(run.stderr.contains("is for texts, and the samples are images"), "{}", run.stderr);
}

#[test]
fn a_few_pictures_beside_a_table_leave_it_a_table() {
    let work = Workspace::new();
    for (name, seed) in [("a.png", 1), ("b.png", 2)] {
        work.write(&format!("data/{name}"), png(seed));
    }
    work.write("data/train.csv", "text,label\nA red fox,x\nA grey owl,y\nA brown bear,x\n");
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!((run.audit().dataset.modality.as_str(), run.audit().dataset.n_samples), ("text", 3));
    run.expect_note("2 files left out, read only where a table names them: `a.png`, `b.png`");
    work.write("data/train.csv", "text,label\nA red fox,x\n");
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!((run.audit().dataset.modality.as_str(), run.audit().dataset.n_samples), ("image", 2));
    run.expect_note(
        "1 file left out, tables that name no image; give them by their own path to audit them: `train.csv`",
    );
}

#[test]
fn what_metadata_says_twice_or_badly_is_noted() {
    let work = Workspace::new();
    work.write("data/a.png", png(1));
    work.write("data/metadata.jsonl", "{\"file_name\": \"./a.png\", \"label\": \"x\"}\n{\"file_name\": \"a.png\", \"label\": \"y\"}\n{\"label\": \"y\"}\n");
    let run = facts(&work, &["data"]).expect(0);
    assert_eq!(run.labels(), counts(&[("x", 1)]));
    run.expect_note("`metadata.jsonl`: 1 row left out, it names an image again, first `a.png`");
    run.expect_note(
        "`metadata.jsonl`: 1 row could not be read, row 3: no column `file_name`, expected it to name a file",
    );
}

#[test]
#[cfg(unix)]
fn a_table_that_names_a_device_is_not_followed() {
    let work = Workspace::new();
    work.write("data/a.png", png(1));
    work.write("data/list.csv", "image,label\na.png,x\n/dev/zero,x\n");
    let run = facts(&work, &["data"]).expect(0);
    let message = &run.findings_of("unreadable-sample")[0].message;
    assert!(message.contains("image `/dev/zero` is no file, expected an image file"), "{message}");
}

#[test]
fn the_record_does_not_go_into_the_data_and_old_pictures_go_from_it() {
    let work = Workspace::new();
    work.write("data/a.png", png(1));
    work.write("data/b.png", png(1));
    let run = facts(&work, &["data", "--out", "data"]).expect(2);
    assert!(run.stderr.contains("--out is `data`, which is read"), "{}", run.stderr);
    assert!(facts(&work, &["data"]).expect(0).files.contains_key("thumbnails.parquet"));
    work.write("a.txt", "one\ntwo\n");
    assert!(!facts(&work, &["a.txt"]).expect(0).files.contains_key("thumbnails.parquet"));
}

#[test]
fn pictures_at_the_edges_of_size_are_audited() {
    let work = Workspace::new();
    for (name, width, height) in [("one", 1, 1), ("wide", 30_000, 1), ("high", 1, 30_000), ("usual", 40, 30)] {
        work.write(&format!("data/{name}.png"), encoded(&picture(1, width, height).into(), ImageFormat::Png));
    }
    let run = work.tamis(&["audit", "data"]);
    assert!(run.findings_of("unreadable-sample").is_empty());
    work.tamis(&["embed", "data", "--out", "vectors.npy"]).expect(0);
    let header = 128;
    let bytes = fs::read(work.path("vectors.npy")).unwrap();
    let numbers: Vec<f32> = bytes[header..].as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect();
    assert!(!numbers.is_empty() && numbers.iter().all(|x| x.is_finite()));
}

/// Largest share of levels that may be off by more than 1. The reference scales along the rows or the columns first, whichever
/// is less work, and rounds and clamps in between: at the sharp edges of the formulas the order shows.
const MAX_SHARE_OFF: f64 = 0.025;

#[test]
fn pictures_are_scaled_and_cropped_as_the_files_of_a_model_say() {
    let mut n = 0;
    for name in ["clip", "dinov2", "dinov2-swiglu", "dinov2-with-registers", "siglip", "vit"] {
        let folder = fixtures().join("models/parity").join(name);
        let golden: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let model = ImageModel::load(&ModelFiles::Folder(folder)).unwrap();
        for case in golden["preprocess"].as_array().unwrap() {
            let number = |key: &str| u32::try_from(case[key].as_u64().unwrap()).unwrap();
            let formula = match case["formula"].as_str().unwrap() {
                "ramp" => |i: u32, j: u32, c: u32| (c * 7919 + i * 31 + j * 17) % 255,
                "slope" => |i: u32, j: u32, c: u32| (c * 40 + i * 3 + j * 2) % 256,
                other => panic!("no formula {other}"),
            };
            let level = |x, y, c| u8::try_from(formula(y, x, c)).unwrap();
            let picture = RgbImage::from_fn(number("width"), number("height"), |x, y| {
                Rgb([level(x, y, 0), level(x, y, 1), level(x, y, 2)])
            });
            let input = model.input_for(number("side"));
            let file = encoded(&picture.into(), ImageFormat::Png);
            let wanted = Wanted { input: Some(&input), ..Wanted::default() };
            let ours = Decoder::new().decode(&file, wanted).unwrap().input.unwrap().rgb;
            let theirs = case["pixels"].as_array().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let off = ours.iter().zip(theirs).map(|(a, b)| i64::from(*a).abs_diff(b.as_i64().unwrap()));
            let off: Vec<u64> = off.filter(|it| 1 < *it).collect();
            let share = off.len() as f64 / ours.len() as f64;
            assert!(share <= MAX_SHARE_OFF, "{name}, {}: {share} of the levels are off: {off:?}", case["formula"]);
            assert!(off.iter().all(|it| *it < 10), "{name}, {}: levels are off by {off:?}", case["formula"]);
            n += 1;
        }
    }
    assert_eq!(n, 12);
}
