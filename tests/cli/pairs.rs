//! `tamis pairs`: what is listed, and what is refused.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, imageops};
use serde_json::Value as Json;

use crate::common::{Workspace, fixtures};

/// A file with the vectors `rows`.
fn npy(rows: &[&[f32]]) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}\n", rows.len(), rows[0].len());
    let data: Vec<u8> = rows.concat().iter().flat_map(|it| it.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &data].concat()
}

fn lexical(args: &[&str]) -> Vec<Json> {
    let texts = fixtures().join("lexical/texts.jsonl").display().to_string();
    let run = Workspace::new().tamis(&[&["pairs", &texts, "--format", "jsonl", "--quiet"], args].concat()).expect(0);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pairs_of_texts_are_those_of_the_fixture() {
    for (shingle, min, n) in [("word:3", "0.8", 1647), ("word:3", "0.5", 4952), ("char:5", "0.7", 3691)] {
        let pairs = lexical(&["--kind", "jaccard", "--shingle", shingle, "--min", min]);
        assert_eq!(pairs.len(), n, "{shingle}, {min}");
        assert!(pairs.iter().all(
            |pair| pair["kind"] == "jaccard" && min.parse::<f64>().unwrap() <= pair["similarity"].as_f64().unwrap()
        ));
    }
    let first = &lexical(&["--kind", "jaccard", "--min", "0.8"])[0];
    assert_eq!((&first["a_key"], &first["b_key"]), (&"2".into(), &"518".into()));
    let contained = lexical(&["--kind", "containment", "--min", "0.8"]);
    assert!(1647 < contained.len(), "{}", contained.len());
}

#[test]
fn files_are_compared_with_others() {
    let work = Workspace::new();
    work.write("train.csv", "id,text\na,one two three four five\nb,something else here\nc,\n");
    work.write("test.csv", "id,text\nx,ONE  two three four five\ny,one two three four six\nz,nothing alike\n");
    let args =
        ["pairs", "test.csv", "--against", "train.csv", "--kind", "jaccard", "--shingle", "word:2", "--min", "0.6"];
    let run = work.tamis(&args).expect(0);
    assert_eq!(run.stdout, "1.0000\tx\ta\n0.6000\ty\ta\n");
    let said = "2 pairs of 6 samples, jaccard of word:2 at least 0.6\nin no pair: 1 without words to compare\n";
    assert_eq!(run.stderr, said);
    let run = work.tamis(&[&args[..], &["--evidence", "--quiet"]].concat()).expect(0);
    assert_eq!(
        run.stdout,
        "1.0000\tx\ta\t5 words\tONE two three four five\n0.6000\ty\ta\t4 words\tone two three four\n"
    );
    let run = work.tamis(&[&args[..], &["--evidence", "--quiet", "--format", "jsonl"]].concat()).expect(0);
    let pair: Json = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(pair["run"], serde_json::json!({"words": 5, "text": "ONE  two three four five"}));
    work.tamis(&[&args[..], &["--out", "pairs.jsonl", "--quiet"]].concat()).expect(0);
    let written = std::fs::read_to_string(work.path("pairs.jsonl")).unwrap();
    let line = r#"{"a_key":"x","b_key":"a","kind":"jaccard","similarity":1.0}"#;
    assert_eq!(written.lines().next(), Some(line));
}

#[test]
fn passages_of_long_texts_are_found_by_their_windows() {
    let work = Workspace::new();
    let words = |name: &str, n: usize| (0..n).map(|word| format!("{name}{word} ")).collect::<String>();
    let passage = words("p", 60);
    let long = [words("a", 200) + &passage + &words("b", 100), words("c", 70) + &passage + &words("d", 330)];
    // As a whole in the first one's last window, which ends with it.
    let short = words("b", 100)[..].split(' ').skip(80).collect::<Vec<_>>().join(" ");
    let line = |(key, text): (&str, &String)| serde_json::json!({"id": key, "text": text}).to_string() + "\n";
    let lines: Vec<String> = [("x", &long[0]), ("y", &long[1]), ("z", &short)].map(line).into();
    work.write("all.jsonl", lines.concat());
    work.write("x.jsonl", lines[0].as_bytes());
    work.write("yz.jsonl", lines[1..].concat());
    let jaccard = ["--kind", "jaccard", "--min", "0.58", "--quiet"];
    assert_eq!(work.tamis(&[&["pairs", "all.jsonl"], &jaccard[..]].concat()).expect(0).stdout, "");
    let window = [&jaccard[..], &["--window", "40", "--format", "jsonl"]].concat();
    let found = work.tamis(&[&["pairs", "all.jsonl"], &window[..]].concat()).expect(0).stdout;
    let pair: Json = serde_json::from_str(&found).unwrap();
    assert_eq!((&pair["a_key"], &pair["b_key"], found.lines().count()), (&"x".into(), &"y".into(), 1));
    let of = |side: &str, text: &str| {
        let at = |end: usize| pair[side][end].as_u64().unwrap() as usize;
        text[at(0)..at(1)].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let [a, b] = [of("a_bytes", &long[0]), of("b_bytes", &long[1])];
    // Two windows of the second text are as similar, the first one is named.
    assert_eq!((&a[0], &a[39], &b[0], &b[39]), (&"p0".into(), &"p39".into(), &"c60".into(), &"p29".into()));
    // Of the 38 shingles of each, those of 30 words are in both.
    assert!((pair["similarity"].as_f64().unwrap() - 28.0 / 48.0).abs() < 1e-9, "{pair}");
    let across = work.tamis(&[&["pairs", "x.jsonl", "--against", "yz.jsonl"], &window[..]].concat()).expect(0);
    assert_eq!(across.stdout, found);

    let contained = ["pairs", "all.jsonl", "--kind", "containment", "--min", "0.7", "--window", "40"];
    let run = work.tamis(&[&contained[..], &["--evidence"]].concat()).expect(0);
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split('\t').collect()).collect();
    let [first, second] = &lines[..] else { panic!("{}", run.stdout) };
    assert_eq!((&first[..3], first[5]), (&["0.7368", "x", "y"][..], "60 words"));
    let end = format!("{}-{}", long[0].find("b60 ").unwrap(), long[0].trim_end().len());
    let whole = format!("0-{}", short.len());
    assert_eq!(second[..6], ["1.0000", "x", "z", &end, &whole, "20 words"]);
    let said = "2 pairs of 3 samples, containment of word:3 in windows of 40 words at least 0.7\n";
    assert_eq!(run.stderr, said);
    let run = work.tamis(&[&contained[..], &["--max-pairs", "1"]].concat()).expect(0);
    assert!(run.stderr.starts_with("at least 2 pairs of 3 samples, "), "{}", run.stderr);
}

#[test]
fn approximate_pairs_are_exact_ones_and_as_many_as_expected() {
    let key = |pair: &Json| (pair["a_key"].to_string(), pair["b_key"].to_string(), pair["similarity"].to_string());
    let args = ["--kind", "jaccard", "--min", "0.8"];
    let exact = lexical(&args);
    let keys: std::collections::HashSet<_> = exact.iter().map(key).collect();
    // What is missed is less than by buckets alone, so only the lower bound is of use. By 10 bands of 12 some are missed.
    for (recall, n_bands, n_rows, is_missing) in [("0.99", 16, 6, false), ("0.5", 10, 12, true)] {
        let found = lexical(&[&args[..], &["--approximate", "--recall", recall]].concat());
        assert!(found.iter().all(|pair| keys.contains(&key(pair))));
        let chances = exact.iter().map(|pair| {
            let similarity: f64 = pair["similarity"].as_f64().unwrap();
            1.0 - (1.0 - similarity.powi(n_rows)).powi(n_bands)
        });
        let (expected, variance) = chances.fold((0.0, 0.0), |(n, variance), p| (n + p, variance + p * (1.0 - p)));
        assert!(expected - 3.0 * variance.sqrt() <= found.len() as f64, "{}, expected {expected}", found.len());
        assert_eq!(found.len() < exact.len(), is_missing, "{}", found.len());
    }
}

#[test]
fn approximate_pairs_of_two_files_are_of_both() {
    let work = Workspace::new();
    work.write("train.csv", "id,text\na,one two three four five\nb,something else here\nc,\nd,nothing alike here\n");
    work.write("test.csv", "id,text\nx,ONE  two three four five\ny,one two three four five\nz,nothing alike\n");
    work.write("other.csv", "id,text\nz,nothing alike\n");
    let args = ["--against", "train.csv", "--kind", "jaccard", "--min", "0.8", "--approximate"];
    let run = work.tamis(&[&["pairs", "test.csv", "--evidence"], &args[..]].concat()).expect(0);
    let words = "5 words\tONE two three four five";
    assert_eq!(run.stdout, format!("1.0000\tx\ta\t{words}\n1.0000\ty\ta\t{}\n", words.replace("ONE", "one")));
    let said = "2 pairs of 7 samples, jaccard of word:3 at least 0.8\nin no pair: 1 without words to compare\n\
                compared 3 of 7 texts, by 16 bands of 6: of the pairs at 0.8, 99.23 % or more are expected\n";
    assert_eq!(run.stderr, said);
    let run = work.tamis(&[&["pairs", "other.csv"], &args[..]].concat()).expect(0);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("compared 0 of 5 texts"), "{}", run.stderr);
}

#[test]
fn vectors_are_compared_by_their_cosine() {
    let work = Workspace::new();
    work.write("x.npy", npy(&[&[1.0, 0.0], &[0.0, 2.0], &[3.0, 0.1], &[0.0, 1.0]]));
    work.write("y.npy", npy(&[&[0.0, -1.0], &[5.0, 0.0]]));
    let run = work.tamis(&["pairs", "--kind", "cosine", "--min", "0.99", "--vectors", "x.npy"]).expect(0);
    assert_eq!(run.stdout, "0.9994\t0\t2\n1.0000\t1\t3\n");
    let run = work
        .tamis(&["pairs", "--kind", "cosine", "--min", "-1", "--vectors", "y.npy", "--against", "x.npy", "--quiet"])
        .expect(0);
    assert_eq!((run.stdout.lines().count(), run.stderr.as_str()), (8, ""));
    assert!(run.stdout.starts_with("0.0000\t0\t0\n-1.0000\t0\t1\n"), "{}", run.stdout);
    let run = work.tamis(&["pairs", "--kind", "cosine", "--min", "0", "--vectors", "x.npy", "--max-pairs", "1"]);
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(
        run.stderr.contains("1 of them are listed, those of equal samples first; --max-pairs lists more"),
        "{}",
        run.stderr
    );
}

#[test]
fn many_equal_samples_are_listed_with_the_first() {
    let work = Workspace::new();
    work.write("same.txt", "the same line\n".repeat(50_000));
    let run = work.tamis(&["pairs", "same.txt", "--kind", "jaccard", "--min", "0.9"]).expect(0);
    assert_eq!(run.stdout.lines().count(), 49_999);
    assert!(run.stderr.contains("49999 samples are listed with the first of many equal ones alone"), "{}", run.stderr);
    work.write("same.npy", npy(&vec![&[1.0_f32, 2.0][..]; 5000]));
    let run = work.tamis(&["pairs", "--kind", "cosine", "--min", "0.9", "--vectors", "same.npy"]);
    assert_eq!(run.stdout.lines().count(), 4999);
}

#[test]
fn pairs_beyond_the_cap_are_counted_with_all_equal_rows() {
    let work = Workspace::new();
    // Three copies of one row and two of another near it: 3 + 1 pairs of equal rows, 3 x 2 of others.
    let (x, y) = (&[1.0, 0.0][..], &[1.0, 0.1][..]);
    work.write("x.npy", npy(&[x, y, x, y, x]));
    for (max, n) in [("100", 10), ("5", 5), ("0", 0)] {
        let run = work
            .tamis(&["pairs", "--kind", "cosine", "--min", "0.9", "--vectors", "x.npy", "--max-pairs", max])
            .expect(0);
        assert_eq!(run.stdout.lines().count(), n, "--max-pairs {max}");
        assert!(run.stderr.contains("10 pairs of 5 samples"), "--max-pairs {max}: {}", run.stderr);
        assert!(!run.stderr.contains("at least 10"), "{}", run.stderr);
    }
    work.write("y.npy", npy(&[y, y]));
    let args = ["pairs", "--kind", "cosine", "--min", "0.9", "--vectors", "x.npy", "--against", "y.npy"];
    let run = work.tamis(&[&args[..], &["--max-pairs", "1"]].concat()).expect(0);
    assert!(run.stderr.contains("10 pairs of 7 samples"), "{}", run.stderr);
}

/// A quadratic way would list and compare 1.25 thousand million pairs.
#[test]
fn equal_vectors_are_one_row_that_is_joined() {
    let work = Workspace::new();
    work.write("same.npy", npy(&vec![&[0.6_f32, 0.8][..]; 50_000]));
    let run = work.tamis(&["pairs", "--kind", "cosine", "--min", "-1", "--vectors", "same.npy"]).expect(0);
    assert_eq!(run.stdout.lines().count(), 49_999);
    assert!(run.stdout.lines().all(|line| line.starts_with("1.0000\t0\t")), "{}", &run.stdout[..100]);
    assert!(run.stderr.contains("49999 pairs of 50000 samples"), "{}", run.stderr);
}

#[test]
fn images_are_compared_by_their_hashes() {
    let work = Workspace::new();
    for entry in std::fs::read_dir(fixtures().join("images")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            work.write(&format!("images/{name}"), std::fs::read(entry.path()).unwrap());
        }
    }
    let pairs = |args: &[&str]| {
        let run = work.tamis(&[&["pairs", "images", "--kind", "hamming", "--quiet"], args].concat()).expect(0);
        let pair = |line: &str| {
            let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
            (cells[0].parse::<f64>().unwrap(), cells[1].clone(), cells[2].clone())
        };
        run.stdout.lines().map(pair).collect::<Vec<_>>()
    };
    let near = pairs(&["--radius", "10"]);
    // Versions of one picture have its number: two of 03 and of 10, three of 04.
    let of = |key: &str| key.rsplit('/').next().unwrap()[..2].to_owned();
    let numbers: Vec<_> = near.iter().map(|(_, a, b)| (of(a), of(b))).collect();
    let expected = ["03", "04", "04", "04", "10"].map(|it| (it.to_owned(), it.to_owned()));
    assert_eq!(numbers, expected, "{near:?}");
    assert!(near.iter().all(|(similarity, ..)| 1.0 - 10.0 / 64.0 - 1e-4 <= *similarity));
    assert_eq!(pairs(&["--min", "0.84375"]), near);
    assert!(pairs(&["--radius", "2"]).len() < near.len());
    assert_ne!(pairs(&["--radius", "10", "--hash", "dhash"]), near);
    let pdq = pairs(&["--hash", "pdq"]);
    let numbers: Vec<_> = pdq.iter().map(|(_, a, b)| (of(a), of(b))).collect();
    assert_eq!(numbers, expected, "{pdq:?}");
    assert_eq!(pairs(&["--hash", "pdq", "--radius", "31"]), pdq);
    assert_eq!(pairs(&["--hash", "pdq", "--min", "0.87890625"]), pdq);
    assert!(pdq.iter().all(|(similarity, ..)| 1.0 - 31.0 / 256.0 - 1e-4 <= *similarity));
    assert_eq!(pairs(&["--hash", "pdq", "--turned"]), pdq);
}

#[test]
fn turned_images_are_found_where_all_orientations_are_compared() {
    let work = Workspace::new();
    let picture = fixture("04_resize50.png");
    let png = |image: &RgbImage| encoded(image.clone(), ImageFormat::Png);
    work.write("images/a.png", png(&picture));
    work.write("images/b.png", png(&imageops::flip_horizontal(&picture)));
    work.write("images/c.png", png(&imageops::rotate90(&picture)));
    work.write("images/d.png", png(&fixture("10_resize50.png")));
    // A picture of little contrast: its quality is 36, and it has several colors.
    work.write("images/e.png", png(&fixture("13_resize50.png")));
    work.write("images/f.png", png(&RgbImage::from_pixel(50, 40, Rgb([9, 200, 30]))));
    work.write("images/g.png", "no image");
    let hamming = |args: &[&str]| work.tamis(&[&["pairs", "images", "--kind", "hamming"], args].concat()).expect(0);
    let keys = |stdout: &str| -> Vec<String> {
        let key = |cell: &str| cell.rsplit('/').next().unwrap()[..1].to_owned();
        stdout.lines().map(|line| line.split('\t').skip(1).map(key).collect()).collect()
    };
    for hash in ["phash", "pdq"] {
        let upright = hamming(&["--hash", hash, "--radius", "10"]);
        assert_eq!(upright.stdout, "", "{hash}");
        let turned = hamming(&["--hash", hash, "--radius", "10", "--turned"]);
        assert_eq!(keys(&turned.stdout), ["ab", "ac", "bc"], "{hash}: {}", turned.stdout);
    }
    let said = hamming(&["--hash", "pdq", "--turned"]).stderr;
    let unread = "in no pair: 1 that could not be read, `tamis audit` says why\n";
    let expected = format!(
        "3 pairs of 7 samples, pdq, one of them turned, that differ in at most 31 bits\n{unread}\
         in no pair: 2 whose quality for pdq is below 50\n"
    );
    assert_eq!(said, expected);
    let said = hamming(&["--radius", "10"]).stderr;
    assert!(said.ends_with(&format!("{unread}in no pair: 1 of one color, whose hashes say nothing\n")), "{said}");
}

/// A fixture as it is decoded.
fn fixture(name: &str) -> RgbImage {
    image::open(fixtures().join("images").join(name)).unwrap().to_rgb8()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

/// A JPEG file with an EXIF orientation of 6: shown, it is turned by 90 degrees clockwise.
fn exif_turned(image: RgbImage) -> Vec<u8> {
    let jpeg = encoded(image, ImageFormat::Jpeg);
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let segment = [b"Exif\0\0", &tiff[..]].concat();
    let length = u16::try_from(segment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xe1", &length, &segment, &jpeg[2..]].concat()
}

/// The same picture without its corners; what is below them is not white.
fn cut_out(image: &RgbImage) -> RgbaImage {
    let (width, height) = image.dimensions();
    RgbaImage::from_fn(width, height, |x, y| {
        let (across, down) = (2.0 * x as f32 / width as f32 - 1.0, 2.0 * y as f32 / height as f32 - 1.0);
        let Rgb([r, g, b]) = *image.get_pixel(x, y);
        Rgba([r, g, b, if across * across + down * down < 0.8 { 255 } else { 0 }])
    })
}

/// Runs `tamis pairs --kind copy` over the folder `images`.
fn copies(work: &Workspace) -> Vec<Json> {
    let run = work.tamis(&["pairs", "images", "--kind", "copy", "--format", "jsonl", "--quiet"]).expect(0);
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn copies_of_images_are_found_however_they_are_stored_or_turned() {
    let work = Workspace::new();
    let base = fixture("04_jpeg30.jpg");
    let (width, height) = base.dimensions();
    let grey = DynamicImage::from(base.clone()).into_luma8();
    let crop = imageops::crop_imm(&base, 7, 5, width - 14, height - 10).to_image();
    let files = [
        ("base.png", png(base.clone()), "upright"),
        ("crop.png", png(crop), "upright"),
        ("exif.jpg", exif_turned(imageops::rotate270(&base)), "upright"),
        ("grey.png", png(DynamicImage::from(grey).into_rgb8()), "upright"),
        ("left.png", png(imageops::rotate270(&base)), "rotated-90"),
        ("mirrored.png", png(imageops::flip_horizontal(&base)), "mirrored"),
        ("palette.gif", encoded(base.clone(), ImageFormat::Gif), "upright"),
        ("palette.png", std::fs::read(fixtures().join("images/palette.png")).unwrap(), "upright"),
        ("recoded.jpg", encoded(base.clone(), ImageFormat::Jpeg), "upright"),
        ("recoded.webp", encoded(base, ImageFormat::WebP), "upright"),
    ];
    let expected: Vec<_> = files[1..].iter().map(|(name, _, orientation)| (*name, *orientation)).collect();
    for (name, content, _) in &files {
        work.write(&format!("images/{name}"), content);
    }
    let found = copies(&work);
    let of_base: Vec<_> = found.iter().filter(|it| it["a_key"] == "base.png").collect();
    let turned: Vec<_> =
        of_base.iter().map(|it| (it["b_key"].as_str().unwrap(), it["orientation"].as_str().unwrap())).collect();
    assert_eq!(turned, expected);
    // Each that is whole is a copy of each other one.
    let is_whole = |pair: &&Json| ["a_key", "b_key"].iter().all(|key| pair[key] != "crop.png");
    assert_eq!(found.iter().filter(is_whole).count(), 9 * 8 / 2);
    for pair in of_base {
        let is_cropped = pair["b_key"] == "crop.png";
        assert_eq!(pair["crop"].is_object(), is_cropped, "{pair}");
        if is_cropped {
            for side in ["left", "top", "right", "bottom"] {
                let margin = pair["crop"]["a"][side].as_f64().unwrap();
                assert!((0.03..0.07).contains(&margin), "{pair}");
            }
        }
    }
}

#[test]
fn what_is_transparent_is_compared_as_white() {
    let work = Workspace::new();
    let cut = cut_out(&fixture("00_jpeg30.jpg"));
    let on_white = RgbImage::from_fn(cut.width(), cut.height(), |x, y| match *cut.get_pixel(x, y) {
        Rgba([r, g, b, 255]) => Rgb([r, g, b]),
        _ => Rgb([255; 3]),
    });
    work.write("images/cut.png", png(cut));
    work.write("images/mirrored.jpg", encoded(imageops::flip_horizontal(&on_white), ImageFormat::Jpeg));
    work.write("images/white.png", png(on_white));
    let found = copies(&work);
    let turned: Vec<_> = found
        .iter()
        .map(|it| [&it["a_key"], &it["b_key"], &it["orientation"]].map(|it| it.as_str().unwrap()))
        .collect();
    let expected = [
        ["cut.png", "mirrored.jpg", "mirrored"],
        ["cut.png", "white.png", "upright"],
        ["mirrored.jpg", "white.png", "mirrored"],
    ];
    assert_eq!(turned, expected);
}

#[test]
fn other_images_and_flat_ones_are_no_copies() {
    let work = Workspace::new();
    for name in ["00_jpeg30.jpg", "01_resize50.png", "02_resize50.png", "03_gray.png", "04_gray.png", "06_jpeg30.jpg"] {
        work.write(&format!("images/{name}"), std::fs::read(fixtures().join("images").join(name)).unwrap());
    }
    assert_eq!(copies(&work), Vec::<Json>::new());
    let work = Workspace::new();
    for (name, color) in [("a", [255, 255, 255]), ("b", [255, 254, 255]), ("c", [200, 10, 10]), ("d", [0, 0, 0])] {
        work.write(&format!("images/{name}.png"), png(RgbImage::from_pixel(40, 30, Rgb(color))));
    }
    let mut nearly = RgbImage::from_pixel(40, 30, Rgb([255; 3]));
    nearly.put_pixel(3, 4, Rgb([230; 3]));
    work.write("images/e.png", png(nearly));
    let run = work.tamis(&["pairs", "images", "--kind", "copy"]).expect(0);
    assert_eq!(run.stdout, "");
    let said = "in no pair: 5 of one color or nearly so, which pixels do not tell apart";
    assert!(run.stderr.contains(said), "{}", run.stderr);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let work = Workspace::new();
    work.write("a.txt", "one text\nanother text\n");
    work.write("x.npy", npy(&[&[1.0, 0.0], &[0.0, 2.0]]));
    work.write("zero.npy", npy(&[&[1.0, 0.0], &[0.0, 0.0]]));
    work.write("nan.npy", npy(&[&[1.0, f32::NAN]]));
    work.write("long.npy", npy(&[&[1.0, 0.0, 2.0]]));
    for (args, status, expected) in [
        (
            &["--kind", "jaccard", "--min", "0", "a.txt"][..],
            2,
            "--min is 0, expected a similarity above 0 and at most 1",
        ),
        (
            &["--kind", "cosine", "--min", "1.5", "--vectors", "x.npy"],
            2,
            "--min is 1.5, expected a similarity from -1 to 1",
        ),
        (
            &["--kind", "cosine", "--min", "-1.01", "--vectors", "x.npy"],
            2,
            "--min is -1.01, expected a similarity from -1 to 1",
        ),
        (&["--kind", "cosine", "--min", "nan", "--vectors", "x.npy"], 2, "--min is NaN, expected a similarity from"),
        (&["--kind", "jaccard", "--min", "nan", "a.txt"], 2, "--min is NaN"),
        (&["--kind", "jaccard", "--min", "0.5", "--shingle", "byte:5", "a.txt"], 2, "`byte:5` is no shingle"),
        (
            &["--kind", "jaccard", "--min", "0.5", "--vectors", "x.npy"],
            2,
            "--vectors is not for `tamis pairs --kind jaccard`",
        ),
        (&["--kind", "cosine", "--min", "0.5", "a.txt"], 2, "name them with --vectors FILE"),
        (&["--kind", "cosine", "--min", "0.5", "a.txt", "--vectors", "x.npy"], 2, "in the place of files to read"),
        (&["--kind", "cosine", "--min", "0.5", "--vectors", "zero.npy"], 3, "row 1 cannot be normalized: norm is 0"),
        (&["--kind", "cosine", "--min", "0.5", "--vectors", "nan.npy"], 3, "row 0 cannot be normalized: norm is NaN"),
        (
            &["--kind", "cosine", "--min", "0.5", "--vectors", "x.npy", "--against", "zero.npy"],
            3,
            "row 1 cannot be normalized: norm is 0",
        ),
        (&["--kind", "cosine", "--min", "0.5", "--vectors", "a.txt"], 3, "not a NumPy file"),
        (
            &["--kind", "cosine", "--min", "0.5", "--vectors", "x.npy", "--against", "long.npy"],
            2,
            "vectors of long.npy have 3 numbers, expected 2 as in x.npy",
        ),
        (&["--kind", "jaccard", "--min", "0.5", "--against", "a.txt"], 2, "nothing to read"),
        (
            &["--kind", "cosine", "--min", "0.5", "--vectors", "x.npy", "--evidence"],
            2,
            "--evidence is not for `tamis pairs --kind cosine`",
        ),
        (&["--kind", "jaccard", "--radius", "3", "a.txt"], 2, "--radius is for --kind hamming; jaccard wants --min"),
        (&["--kind", "jaccard", "a.txt"], 2, "--kind jaccard wants --min"),
        (&["--kind", "hamming", "--radius", "3", "a.txt"], 2, "hamming compares images, and the samples are texts"),
        (&["--kind", "jaccard", "--min", "0.5", "--hash", "dhash", "a.txt"], 2, "--hash is not for"),
        (&["--kind", "cosine", "--min", "0.5", "--vectors", "x.npy", "--shingle", "word:3"], 2, "--shingle is not for"),
        (&["--kind", "cosine", "--min", "0.5", "--vectors", "x.npy", "--train", "a.txt"], 2, "in the place of files"),
        (&["--kind", "jaccard", "--min", "0.5", "--model", "x", "a.txt"], 2, "--model is not for"),
        (&["--kind", "hamming", "--radius", "65", "a.txt"], 2, "--radius is 65, expected at most the 64 bits of phash"),
        (&["--kind", "hamming", "--hash", "pdq", "--radius", "257", "a.txt"], 2, "257 is not in 0..=256"),
        (&["--kind", "hamming", "--hash", "dhash", "a.txt"], 2, "--kind hamming wants --min"),
        (
            &["--kind", "hamming", "--hash", "dhash", "--turned", "--radius", "3", "a.txt"],
            2,
            "--turned is not for --hash dhash",
        ),
        (
            &["--kind", "jaccard", "--min", "0.5", "--turned", "a.txt"],
            2,
            "--turned is not for `tamis pairs --kind jaccard`",
        ),
    ] {
        let run = work.tamis(&[&["pairs"], args].concat());
        assert_eq!(run.status, status, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn windows_and_recalls_that_mean_nothing_are_refused() {
    let work = Workspace::new();
    work.write("a.txt", "one text\nanother text\n");
    work.write("x.npy", npy(&[&[1.0, 0.0], &[0.0, 2.0]]));
    for (args, expected) in [
        (&["--kind", "jaccard", "--min", "0.5", "--window", "1", "a.txt"][..], "1 is not in 2.."),
        (
            &["--kind", "jaccard", "--min", "0.5", "--window", "4", "--shingle", "alnum:5", "a.txt"],
            "--window is 4, expected at least 5 words for alnum:5",
        ),
        (
            &["--kind", "cosine", "--min", "0.5", "--window", "9", "--vectors", "x.npy"],
            "--window is not for `tamis pairs --kind cosine`",
        ),
        (&["--kind", "hamming", "--min", "0.5", "--window", "9", "a.txt"], "--window is not for"),
        (&["--kind", "containment", "--min", "0.5", "--approximate", "a.txt"], "--approximate is not for"),
        (&["--kind", "jaccard", "--min", "0.5", "--approximate", "--window", "9", "a.txt"], "cannot be used with"),
        (&["--kind", "jaccard", "--min", "0.5", "--recall", "0.9", "a.txt"], "--approximate"),
        (
            &["--kind", "jaccard", "--min", "0.5", "--approximate", "--recall", "1", "a.txt"],
            "--recall is 1, expected a share above 0 and below 1",
        ),
        (
            &["--kind", "jaccard", "--min", "0.02", "--approximate", "a.txt"],
            "--approximate cannot find 0.99 of the pairs at --min 0.02",
        ),
    ] {
        let run = work.tamis(&[&["pairs"], args].concat()).expect(2);
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    }
}
