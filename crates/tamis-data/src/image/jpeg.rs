//! JPEG files that are as they should be, by the decoder that `image` uses, called directly.
//!
//! Through `image` a file is copied, its header is read two or three times, and the pixels get new memory each time. The
//! decoder itself (zune-jpeg) takes about half of the time that is left of a whole picture, most of it for its Huffman
//! codes; libjpeg-turbo would be about as fast, and is C. To decode at a smaller scale does not pay: the hash of the pixels
//! needs all of them, and what could be left out, transform and colors, is less than a third of decoding.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::read;

/// Decodes a file with the options of `image`; the pixels are written to `buffer`, whatever is in it.
///
/// `None` where anything is wrong or unusual: the way of all other formats then says what, or copes with it.
pub(super) fn upright(bytes: &[u8], mut buffer: Vec<u8>) -> Option<DynamicImage> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let decoder_of = |color| {
        let mut decoder =
            JpegDecoder::new_with_options(Source { bytes, at: 0 }, options.jpeg_set_out_colorspace(color));
        decoder.decode_headers().ok().map(|()| decoder)
    };
    let mut decoder = decoder_of(ColorSpace::RGB)?;
    // The decoder chooses its conversion while it reads the header.
    let is_grey = decoder.input_colorspace()? == ColorSpace::Luma;
    if is_grey {
        decoder = decoder_of(ColorSpace::Luma)?;
    }
    let (width, height) = decoder.dimensions()?;
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    read::check_size(width, height).ok()?;
    // A file may end its pixels early without an error: what it does not fill is 0, and not of the picture before.
    buffer.clear();
    buffer.resize(decoder.output_buffer_size()?, 0);
    let orientation = decoder.exif().and_then(|it| read::orientation_of(it)).unwrap_or(Orientation::NoTransforms);
    decoder.decode_into(&mut buffer).ok()?;
    let mut image = if is_grey {
        DynamicImage::ImageLuma8(GrayImage::from_raw(width, height, buffer)?)
    } else {
        DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, buffer)?)
    };
    image.apply_orientation(orientation);
    Some(image)
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
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte
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
            assert_eq!(upright(&bytes, vec![77; 10_000]), expected, "{width} x {height}");
        }
    }

    #[test]
    fn a_source_reads_as_a_cursor_does() {
        let mut source = Source { bytes: b"abcdef", at: 0 };
        let mut four = [0; 4];
        source.read_exact_bytes(&mut four).unwrap();
        assert_eq!(&four, b"abcd");
        assert!(source.read_exact_bytes(&mut four).is_err());
        assert_eq!((source.read_bytes(&mut four).unwrap(), &four[..2]), (2, b"ef".as_slice()));
        assert_eq!((source.is_eof().unwrap(), source.read_byte_no_error(), source.at), (true, 0, 7));
        assert_eq!(source.z_seek(ZSeekFrom::Current(-4)).unwrap(), 3);
        assert_eq!((source.read_byte_no_error(), source.is_eof().unwrap()), (b'd', false));
        assert!(source.z_seek(ZSeekFrom::Current(-9)).is_err());
        let mut rest = Vec::new();
        assert_eq!((source.read_remaining(&mut rest).unwrap(), rest.as_slice()), (2, b"ef".as_slice()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

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
            let found = std::panic::catch_unwind(|| upright(&bytes, vec![1; 5000]));
            if let (Ok(Some(found)), Ok(expected)) = (found, expected) {
                // A damaged byte may make an orientation, which `by_image` does not apply; there is no EXIF in these files.
                prop_assert_eq!(Some(found), expected);
            }
        }
    }
}
