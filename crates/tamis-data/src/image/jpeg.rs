//! JPEG files by the decoder that `image` uses (zune-jpeg), called directly.
//!
//! Through `image` a file is copied, its header is read two or three times, and the pixels get new memory each time. To
//! decode at a smaller scale would not do: the hash of the pixels needs all of them.

use std::mem;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::kind::Kind;
use super::read;

/// Decodes a file with the options of `image`; the pixels are written to the memory of `buffer`, whatever is in it.
///
/// # Errors
/// Says what is wrong with the file and what was expected.
pub(super) fn upright(bytes: &[u8], buffer: &mut Vec<u8>) -> Result<DynamicImage, String> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(Source { bytes, at: 0 }, options);
    decoder.decode_headers().map_err(reason)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    if is_grey {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    let unknown = || read::damaged(Kind::Jpeg, "no size");
    let (width, height) = decoder.dimensions().ok_or_else(unknown)?;
    let side = |n: usize| u32::try_from(n).map_err(|_| unknown());
    let (width, height) = (side(width)?, side(height)?);
    read::check_size(width, height)?;
    // A file may end its pixels early without an error: what it does not fill is 0, and not of the picture before.
    buffer.clear();
    buffer.resize(decoder.output_buffer_size().ok_or_else(unknown)?, 0);
    let orientation = decoder.exif().and_then(|it| read::orientation_of(it)).unwrap_or(Orientation::NoTransforms);
    decoder.decode_into(buffer).map_err(reason)?;
    let pixels = mem::take(buffer);
    let image = if is_grey {
        GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
    };
    let mut image = image.expect("because the decoder said how many bytes there are");
    image.apply_orientation(orientation);
    Ok(image)
}

fn reason(error: DecodeErrors) -> String {
    match error {
        DecodeErrors::Unsupported(scheme) => read::unsupported(Kind::Jpeg, format!("{scheme:?}")),
        error => read::damaged(Kind::Jpeg, error.to_string()),
    }
}

/// A file in memory, as the decoder's own `ZCursor` reads it, but for its copies of as many bytes as there are: the decoder
/// asks for four at a time, and each took a call.
struct Source<'a> {
    bytes: &'a [u8],
    /// May lie behind the end.
    at: usize,
}

impl Source<'_> {
    /// What is not yet read.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

impl ZByteReaderTrait for Source<'_> {
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        let Some(byte) = self.bytes.get(self.at) else { return 0 };
        self.at += 1;
        *byte
    }

    #[inline(always)]
    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        self.peek_exact_bytes(buffer)?;
        self.at += buffer.len();
        Ok(())
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let n_read = self.peek_bytes(buffer)?;
        self.at += n_read;
        Ok(n_read)
    }

    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let rest = self.rest();
        let n_read = rest.len().min(buffer.len());
        buffer[..n_read].copy_from_slice(&rest[..n_read]);
        Ok(n_read)
    }

    #[inline(always)]
    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let n_bytes = buffer.len();
        let found = self.rest().get(..n_bytes).ok_or(ZByteIoError::NotEnoughBytes(self.rest().len(), n_bytes))?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    #[inline(always)]
    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let place = match from {
            ZSeekFrom::Start(at) => usize::try_from(at).ok(),
            ZSeekFrom::End(by) => isize::try_from(by).ok().and_then(|by| self.bytes.len().checked_add_signed(by)),
            ZSeekFrom::Current(by) => isize::try_from(by).ok().and_then(|by| self.at.checked_add_signed(by)),
        };
        self.at = place.ok_or(ZByteIoError::SeekError("a place before the beginning"))?;
        Ok(self.at as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        Ok(self.bytes.len() <= self.at)
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.at as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let n_read = self.rest().len();
        sink.extend_from_slice(self.rest());
        self.at += n_read;
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::jpeg::JpegEncoder;
    use image::{ImageFormat, ImageReader};
    use proptest::prelude::*;

    use image::ImageDecoder as _;
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::*;

    /// A file of a picture of that size.
    fn file(width: u32, height: u32, is_grey: bool) -> Vec<u8> {
        let pixel = |x: u32, y: u32| image::Rgb([(x * x * 7) as u8, (y * 11) as u8, ((x ^ y) * 5) as u8]);
        let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, pixel));
        let mut file = Vec::new();
        let picture = if is_grey { DynamicImage::ImageLuma8(picture.to_luma8()) } else { picture };
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, 90)).unwrap();
        file
    }

    /// What `image` makes of a file.
    fn by_image(bytes: &[u8]) -> Option<DynamicImage> {
        ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg).decode().ok()
    }

    #[test]
    fn pixels_are_those_of_image_whatever_was_in_the_buffer() {
        for (width, height, is_grey) in [(1, 1, false), (17, 9, false), (40, 33, true), (64, 8, false)] {
            let bytes = file(width, height, is_grey);
            let expected = by_image(&bytes);
            assert!(expected.is_some(), "{width} x {height}");
            assert_eq!(upright(&bytes, &mut vec![77; 10_000]).ok(), expected, "{width} x {height}");
        }
    }

    /// Files that `image` cannot write: progressive, with colors at half the resolution, with restart marks, of four inks, turned.
    #[test]
    fn files_of_other_writers_give_the_pixels_of_image() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/images");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut n_files = 0;
        for path in paths.filter(|path| path.extension().is_some_and(|it| it == "jpg")) {
            let bytes = std::fs::read(&path).unwrap();
            let mut decoder = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Jpeg).into_decoder().unwrap();
            let orientation = decoder.orientation().unwrap();
            let mut expected = DynamicImage::from_decoder(decoder).unwrap();
            expected.apply_orientation(orientation);
            assert_eq!(upright(&bytes, &mut vec![77; 10_000]), Ok(expected), "{}", path.display());
            n_files += 1;
        }
        assert!(n_files >= 9, "{n_files} files");
    }

    /// What one step of reading gave.
    fn step(source: &mut impl ZByteReaderTrait, step: u8, n: usize) -> (Option<u64>, Vec<u8>) {
        let mut buffer = vec![0; n];
        let found = match step {
            0 => source.read_exact_bytes(&mut buffer).ok().map(|()| 0),
            1 => source.peek_exact_bytes(&mut buffer).ok().map(|()| 0),
            2 => source.read_bytes(&mut buffer).ok().map(|n| n as u64),
            3 => source.peek_bytes(&mut buffer).ok().map(|n| n as u64),
            4 => source.z_seek(ZSeekFrom::Start(n as u64)).ok(),
            5 => source.z_seek(ZSeekFrom::Current(2 - n as i64)).ok(),
            6 => Some(source.read_byte_no_error().into()),
            _ => source.read_remaining(&mut buffer).ok().map(|n| n as u64),
        };
        if found.is_none() {
            buffer.clear();
        }
        (found, buffer)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn a_source_reads_as_a_cursor_does(steps in proptest::collection::vec((0_u8..8, 0_usize..5), 0..20)) {
            let bytes = b"abcdefgh";
            let (mut source, mut cursor) = (Source { bytes, at: 0 }, ZCursor::new(bytes));
            for (kind, n) in steps {
                prop_assert_eq!(step(&mut source, kind, n), step(&mut cursor, kind, n), "step {} of {}", kind, n);
                prop_assert_eq!(source.is_eof().unwrap(), cursor.is_eof().unwrap());
            }
        }

        /// Of damaged files too: the decoder must see the same bytes as behind `image`.
        #[test]
        fn damaged_files_give_the_pixels_of_image(
            is_grey in any::<bool>(),
            changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..4),
            keep in any::<u16>(),
        ) {
            let mut bytes = file(37, 21, is_grey);
            for (place, value) in changes {
                let place = usize::from(place) % bytes.len();
                bytes[place] = value;
            }
            if keep % 3 == 0 {
                bytes.truncate(usize::from(keep) % bytes.len());
            }
            let expected = std::panic::catch_unwind(|| by_image(&bytes));
            let found = std::panic::catch_unwind(|| upright(&bytes, &mut vec![1; 5000]).ok());
            if let (Ok(found), Ok(expected)) = (found, expected) {
                // A damaged byte may make an orientation, which `by_image` does not apply; there is no EXIF in these files.
                prop_assert_eq!(found, expected);
            }
        }
    }
}
