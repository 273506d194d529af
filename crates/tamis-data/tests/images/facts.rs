//! Hashes, modes, orientation, animations.

use image::{DynamicImage, GrayImage, ImageFormat, RgbaImage};
use tamis_core::ColorMode;
use tamis_data::image::{Decoder, Kind, RawImage, Wanted, dimensions, grey_of, kind, thumbnail_of};

use crate::common::{colorful, decode, encode, fixture};

#[test]
fn hashes_are_those_of_imagehash() {
    let table = String::from_utf8(fixture("hashes.csv")).unwrap();
    for line in table.lines().skip(1) {
        let row: Vec<&str> = line.split(',').collect();
        let facts = decode(&fixture(row[0])).facts;
        assert_eq!([facts.width.to_string(), facts.height.to_string()], [row[2], row[3]], "{line}");
        assert_eq!(facts.mode.id(), row[4], "{line}");
        // Decoders of JPEG differ by a level here and there: two bits. PNG is exact.
        let allowed = if facts.format == "jpeg" { 2 } else { 0 };
        for (found, expected) in [(facts.phash, row[5]), (facts.dhash, row[6])] {
            let differing = (found ^ u64::from_str_radix(expected, 16).unwrap()).count_ones();
            assert!(differing <= allowed, "{line}: {found:016x} differs in {differing} bits");
        }
    }
    assert_eq!(table.lines().count(), 13);
}

#[test]
fn hashes_of_256_bits_are_those_of_pdqhash() {
    let table = String::from_utf8(fixture("hashes.csv")).unwrap();
    for line in table.lines().skip(1) {
        let row: Vec<&str> = line.split(',').collect();
        let wanted = Wanted { pdq: true, ..Wanted::default() };
        let decoded = Decoder::new().decode(&fixture(row[0]), wanted).unwrap();
        let pdq = decoded.pdq.unwrap();
        // As of the smaller hashes.
        let allowed = if decoded.facts.format == "jpeg" { 2 } else { 0 };
        let expected = |word: usize| u64::from_str_radix(&row[7][16 * word..][..16], 16).unwrap();
        let differing: u32 = (0..4).map(|word| (pdq.hash()[word] ^ expected(word)).count_ones()).sum();
        assert!(differing <= allowed, "{line}: {:016x?} differs in {differing} bits", pdq.hash());
        assert_eq!(pdq.quality.to_string(), row[8], "{line}");
    }
    assert_eq!(decode(&fixture("00_jpeg30.jpg")).pdq, None);
}

#[test]
fn orientation_is_applied_in_every_format_that_has_it() {
    let upright = decode(&fixture("upright.png"));
    for name in ["turned.png", "turned.webp", "turned.tif"] {
        let turned = decode(&fixture(name));
        assert_eq!((turned.facts.width, turned.facts.height), (16, 24), "{name}");
        assert_eq!(turned.pixels, upright.pixels, "{name}");
        assert_eq!(dimensions(&fixture(name)), Some((24, 16)), "{name}");
    }
    let jpeg = decode(&fixture("turned.jpg"));
    assert_eq!((jpeg.facts.width, jpeg.facts.height), (16, 24));
    for corner in [0, 15, 23 * 16, 23 * 16 + 15] {
        // Quality 95 keeps flat areas within a few levels.
        assert!(jpeg.grey.values[corner].abs_diff(upright.grey.values[corner]) <= 4, "corner {corner}");
    }
}

#[test]
fn an_orientation_behind_the_pixels_of_a_png_counts() {
    let before = fixture("turned.png");
    let start = before.windows(4).position(|name| name == b"eXIf").unwrap() - 4;
    let size = 12 + usize::from(before[start + 3]);
    let end = before.len() - 12;
    let moved = [&before[..start], &before[start + size..end], &before[start..start + size], &before[end..]].concat();
    assert_eq!(decode(&moved).pixels, decode(&fixture("upright.png")).pixels);
}

#[test]
fn the_first_frame_is_read_and_the_others_are_noted() {
    let first = decode(&fixture("animated.png"));
    for (name, note) in [
        ("animated.png", "the first of 3 frames"),
        ("animated.gif", "the first of 3 frames"),
        ("animated.webp", "the first of 3 frames"),
        ("pages.tif", "the first of 3 pages"),
    ] {
        let decoded = decode(&fixture(name));
        assert_eq!(decoded.facts.note.as_deref(), Some(note), "{name}");
        assert_eq!((decoded.pixels, decoded.facts.mode), (first.pixels, ColorMode::Rgb), "{name}");
    }
    assert_eq!(decode(&fixture("upright.png")).facts.note, None);
}

#[test]
fn every_mode_has_its_name_and_its_own_identity() {
    let grey = DynamicImage::ImageLuma8(GrayImage::from_fn(5, 4, |x, y| image::Luma([(x * 40 + y * 20) as u8])));
    let images = [
        (grey.clone(), ColorMode::L),
        (DynamicImage::ImageLumaA8(grey.to_luma_alpha8()), ColorMode::La),
        (DynamicImage::ImageRgb8(grey.to_rgb8()), ColorMode::Rgb),
        (DynamicImage::ImageRgba8(grey.to_rgba8()), ColorMode::Rgba),
        (DynamicImage::ImageLuma16(grey.to_luma16()), ColorMode::L16),
        (DynamicImage::ImageLumaA16(grey.to_luma_alpha16()), ColorMode::La16),
        (DynamicImage::ImageRgb16(grey.to_rgb16()), ColorMode::Rgb16),
        (DynamicImage::ImageRgba16(grey.to_rgba16()), ColorMode::Rgba16),
    ];
    let expected = decode(&encode(&grey, ImageFormat::Png));
    let mut identities = Vec::new();
    for (image, mode) in &images {
        let decoded = decode(&encode(image, ImageFormat::Png));
        assert_eq!(decoded.facts.mode, *mode);
        assert_eq!((decoded.facts.phash, &decoded.grey), (expected.facts.phash, &expected.grey), "{mode:?}");
        identities.push(decoded.pixels);
    }
    for image in [DynamicImage::ImageRgb32F(grey.to_rgb32f()), DynamicImage::ImageRgba32F(grey.to_rgba32f())] {
        let decoded = decode(&encode(&image, ImageFormat::Tiff));
        assert!(matches!(decoded.facts.mode, ColorMode::RgbF32 | ColorMode::RgbaF32));
        assert_eq!(decoded.grey, expected.grey);
        identities.push(decoded.pixels);
    }
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), ColorMode::ALL.len());
}

#[test]
fn packing_does_not_change_the_pixels() {
    let image = colorful(19, 13);
    let expected = decode(&encode(&image, ImageFormat::Png));
    for format in [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let bytes = encode(&image, format);
        let decoded = decode(&bytes);
        assert_eq!(decoded.pixels, expected.pixels, "{format:?}");
        assert_eq!(dimensions(&bytes), Some((19, 13)), "{format:?}");
        assert_eq!(kind(&bytes).map(Kind::id), Some(decoded.facts.format));
    }
    let rgb = image.to_rgb8();
    let raw = RawImage { width: 19, height: 13, channels: 3, values: rgb.as_raw() };
    let decoded = Decoder::new().raw(&raw, Wanted::default()).unwrap();
    assert_eq!((decoded.pixels, decoded.facts.format), (expected.pixels, "raw"));
    assert_eq!(decoded.thumbnail, expected.thumbnail);
}

#[test]
fn hidden_colors_count_for_identity_and_for_nothing_else() {
    let with = |hidden: u8| {
        let pixel = |x: u32, _| image::Rgba(if x < 4 { [hidden, hidden, 9, 0] } else { [1, 2, 3, 255] });
        decode(&encode(&DynamicImage::ImageRgba8(RgbaImage::from_fn(9, 5, pixel)), ImageFormat::Png))
    };
    let (a, b) = (with(0), with(200));
    assert_ne!(a.pixels, b.pixels);
    assert_eq!((&a.grey, &a.thumbnail), (&b.grey, &b.thumbnail));
    assert_eq!(a.grey.values[0], 255);
}

#[test]
fn tables_must_fill_their_size() {
    let of = |channels, values: &[u8]| {
        Decoder::new().raw(&RawImage { width: 2, height: 2, channels, values }, Wanted::default()).unwrap_err()
    };
    assert_eq!(of(1, &[0; 5]), "5 values, expected 4 (2 x 2 x 1)");
    assert_eq!(of(4, &[0; 16]), "4 channels, expected 1 or 3");
    let none = RawImage { width: 0, height: 2, channels: 1, values: &[] };
    assert_eq!(
        Decoder::new().raw(&none, Wanted::default()).unwrap_err(),
        "declares 0 x 2 pixels, expected at least 1 x 1"
    );
}

#[test]
fn extreme_shapes_are_read() {
    let tiny = decode(&encode(&colorful(1, 1), ImageFormat::Png));
    assert_eq!((tiny.grey.width, tiny.grey.height, tiny.facts.dhash), (1, 1, 0));
    let long = decode(&encode(&colorful(30_000, 1), ImageFormat::Png));
    assert_eq!((long.grey.width, long.grey.height), (64, 1));
    assert_eq!(dimensions(&long.thumbnail), Some((128, 1)));
}

#[test]
fn thumbnails_are_files_that_are_never_enlarged() {
    let small = decode(&encode(&colorful(100, 128), ImageFormat::Png));
    assert_eq!((kind(&small.thumbnail), dimensions(&small.thumbnail)), (Some(Kind::Png), Some((100, 128))));
    assert_eq!(decode(&small.thumbnail).pixels, small.pixels);
    let large = decode(&encode(&colorful(300, 150), ImageFormat::Png));
    assert_eq!((kind(&large.thumbnail), dimensions(&large.thumbnail)), (Some(Kind::Jpeg), Some((128, 64))));
    let record = large.to_record();
    assert_eq!(thumbnail_of(&record), Some(large.thumbnail));
    assert_eq!(grey_of(&record), Some(large.grey));
}
