//! What cannot be read says why; nothing panics.

use image::ImageFormat;
use proptest::prelude::*;
use tamis_data::image::{Decoder, Wanted, dimensions, kind};

use crate::common::{colorful, decode, encode, fixture, reason};

const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];

#[test]
fn what_is_no_image_is_named() {
    let listed = "(JPEG, PNG, GIF, WebP, BMP or TIFF)";
    assert_eq!(reason(b""), "empty file: 0 bytes, expected an image");
    assert_eq!(reason(b"404: not found"), format!("text, expected an image {listed}"));
    assert_eq!(
        reason(b"\0\x01\x02\x03\x04\x05\x06\x07\x08"),
        format!("9 bytes that begin with 00 01 02 03 04 05 06 07, expected an image {listed}")
    );
    assert_eq!(
        reason(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        "an HEIC image, expected JPEG, PNG, GIF, WebP, BMP or TIFF; `magick in.heic out.png` makes it so"
    );
}

#[test]
fn cut_files_are_truncated() {
    for format in FORMATS {
        let bytes = encode(&colorful(40, 30), format);
        let half = reason(&bytes[..bytes.len() / 2]);
        assert!(half.starts_with("truncated ") && half.ends_with("expected a whole file"), "{format:?}: {half}");
        if format != ImageFormat::Tiff {
            let almost = reason(&bytes[..bytes.len() - 2]);
            assert!(almost.starts_with("truncated "), "{format:?}: {almost}");
        }
        // The pictures of a camera may stand one behind the other.
        decode(&[bytes.as_slice(), b"\0\0appended"].concat());
    }
    let jpeg = fixture("03_jpeg30.jpg");
    let expected = format!("truncated JPEG: {} bytes do not reach its end, expected a whole file", jpeg.len() - 2);
    assert_eq!(reason(&jpeg[..jpeg.len() - 2]), expected);
    assert!(reason(&jpeg[..jpeg.len() / 2]).starts_with("truncated JPEG: 990 bytes"));
}

/// A PNG whose header declares a size, with right checksums.
fn png_of(width: u32, height: u32, color: u8, depth: u8) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[depth, color, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header.as_slice()), (b"IDAT", b""), (b"IEND", b"")] {
        file.extend((data.len() as u32).to_be_bytes());
        let body = [name, data].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        file.extend(&body);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

#[test]
fn large_sizes_are_refused_by_the_header() {
    assert_eq!(reason(&png_of(46_341, 46_341, 2, 8)), "declares 46341 x 46341 pixels, expected at most 89,478,485");
    assert_eq!(
        reason(&png_of(0x7fff_ffff, 0x7fff_ffff, 2, 8)),
        "declares 2147483647 x 2147483647 pixels, expected at most 89,478,485"
    );
    assert_eq!(
        reason(&png_of(9_000, 9_000, 6, 16)),
        "declares 9000 x 9000 pixels of 8 bytes each, expected at most 536,870,912 bytes"
    );
    assert_eq!(reason(&png_of(0, 5, 2, 8)), "declares 0 x 5 pixels, expected at least 1 x 1");
}

#[test]
fn damaged_pixels_are_errors() {
    let mut png = encode(&colorful(40, 30), ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle] ^= 0xff;
    let found = reason(&png);
    assert!(found.starts_with("damaged PNG (") && found.ends_with("), expected a whole file"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(start in 0_usize..7, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let starts: [&[u8]; 7] =
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x90\0\0\0WEBP", b"II*\0", b"BM"];
        let bytes = [starts[start], &bytes].concat();
        let _ = (Decoder::new().decode(&bytes, Wanted::default()), dimensions(&bytes), kind(&bytes));
    }

    #[test]
    fn changed_files_never_panic(
        format in 0_usize..6,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        keep in any::<u16>(),
    ) {
        let mut bytes = encode(&colorful(17, 9), FORMATS[format]);
        for (place, value) in changes {
            let place = usize::from(place) % bytes.len();
            bytes[place] = value;
        }
        if keep % 3 == 0 {
            bytes.truncate(usize::from(keep) % bytes.len());
        }
        let _ = (Decoder::new().decode(&bytes, Wanted::default()), dimensions(&bytes), kind(&bytes));
    }
}
