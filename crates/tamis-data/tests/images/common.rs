//! What the tests share: fixtures, and pictures that are made on the spot.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use tamis_core::InputSpec;
use tamis_data::image::{Decoded, Decoder, Wanted};

/// The bytes of a fixture.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/images");
    std::fs::read(folder.join(name)).unwrap()
}

/// Decodes what must be readable.
pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    Decoder::new().decode(bytes, Wanted::default()).unwrap()
}

/// The reason why bytes cannot be read.
pub(crate) fn reason(bytes: &[u8]) -> String {
    Decoder::new().decode(bytes, Wanted::default()).unwrap_err()
}

/// The model's input of a fixture, red, green and blue in turn.
pub(crate) fn input(bytes: &[u8], spec: &InputSpec) -> Vec<u8> {
    Decoder::new().decode(bytes, Wanted { input: Some(spec), ..Wanted::default() }).unwrap().input.unwrap().rgb
}

/// Writes a picture with the default options of its format.
pub(crate) fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A picture of 8-bit RGB whose pixels all differ.
pub(crate) fn colorful(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x + y) as u8]);
    DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, pixel))
}
