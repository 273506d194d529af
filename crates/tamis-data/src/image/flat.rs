//! Pictures of 8 bits without alpha: what hashes, thumbnails and models look at.

use std::borrow::Cow;

use image::DynamicImage;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;
use tamis_core::{ColorMode, Digest};

#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Keeps the hash of pixels apart from hashes of other things.
const PIXELS_TAG: &[u8] = b"tamis:pixels\0";

/// Samples that are hashed at once where they have to be written little endian first.
const CHUNK: usize = 4096;

/// Most pixels along a side that are looked at one by one: what a JPEG or a GIF can have at most, and four times a WebP.
pub(super) const LONGEST_SIDE: u32 = 65_535;

/// A picture of 8 bits, blended over white.
#[derive(Debug)]
pub(super) struct Flat<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: Channels,
    /// Shape `(height, width, channels)`, row-major.
    pub(super) values: Cow<'a, [u8]>,
}

/// Numbers per pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    Grey,
    Rgb,
}

impl Channels {
    /// Bytes of a pixel.
    fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

impl Flat<'_> {
    /// Some of its rows, up to the one before `end`.
    pub(super) fn rows(&self, first: u32, end: u32) -> Flat<'_> {
        let n_bytes = self.width as usize * self.channels.count();
        let values = &self.values[first as usize * n_bytes..end as usize * n_bytes];
        Flat { width: self.width, height: end - first, channels: self.channels, values: Cow::Borrowed(values) }
    }

    /// The picture with no side of more than [`LONGEST_SIDE`]: squares of neighbors, as small as they can be, become their
    /// mean.
    ///
    /// Weights grow with the side that they are made for, up to 36 bytes for each pixel of it: a picture of one column and
    /// millions of rows would need gigabytes.
    pub(super) fn shortened(&self) -> Flat<'_> {
        let side = self.width.max(self.height).div_ceil(LONGEST_SIDE);
        if side <= 1 {
            return self.rows(0, self.height);
        }
        let (width, height) = (self.width.div_ceil(side), self.height.div_ceil(side));
        let n_channels = self.channels.count();
        let n_bytes = self.width as usize * n_channels;
        let mut values = Vec::with_capacity(width as usize * height as usize * n_channels);
        for rows in self.values.chunks(side as usize * n_bytes) {
            for start in (0..n_bytes).step_by(side as usize * n_channels) {
                let end = (start + side as usize * n_channels).min(n_bytes);
                let n = (rows.len() / n_bytes * (end - start) / n_channels) as u64;
                for channel in 0..n_channels {
                    let of_row = |row: &[u8]| {
                        row[start..end].iter().skip(channel).step_by(n_channels).map(|it| u64::from(*it)).sum::<u64>()
                    };
                    let sum: u64 = rows.chunks_exact(n_bytes).map(of_row).sum();
                    // A mean of bytes is one.
                    values.push(((sum + n / 2) / n) as u8);
                }
            }
        }
        Flat { width, height, channels: self.channels, values: Cow::Owned(values) }
    }

    /// Grey as Pillow's mode `L` has it, ITU-R 601-2 in fixed point: `(19595 R + 38470 G + 7471 B + 0x8000) >> 16`
    /// (Pillow, `src/libImaging/Convert.c`, `L24`). A picture in color is written to `buffer`, whatever is in it.
    pub(super) fn grey<'a>(&'a self, buffer: &'a mut Vec<u8>) -> Flat<'a> {
        let values = match self.channels {
            Channels::Grey => &self.values,
            Channels::Rgb => {
                buffer.resize(self.values.len() / 3, 0);
                luma(&self.values, buffer);
                &buffer[..]
            }
        };
        Flat { width: self.width, height: self.height, channels: Channels::Grey, values: Cow::Borrowed(values) }
    }
}

/// Grey values of pixels of red, green and blue.
fn luma(rgb: &[u8], grey: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let done = V3::try_new().map_or(0, |simd| avx2::luma(simd, rgb, grey));
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (grey, rgb) in grey[done..].iter_mut().zip(rgb[3 * done..].chunks_exact(3)) {
        let sum = 19_595 * u32::from(rgb[0]) + 38_470 * u32::from(rgb[1]) + 7_471 * u32::from(rgb[2]) + 0x8000;
        // The weights add up to 65,536: the result is at most 255.
        *grey = (sum >> 16) as u8;
    }
}

/// The mode of a decoded picture.
///
/// # Errors
/// When `image` decodes to a mode that this version does not know.
pub(super) fn mode(image: &DynamicImage) -> Result<ColorMode, String> {
    Ok(match image {
        DynamicImage::ImageLuma8(_) => ColorMode::L,
        DynamicImage::ImageLumaA8(_) => ColorMode::La,
        DynamicImage::ImageRgb8(_) => ColorMode::Rgb,
        DynamicImage::ImageRgba8(_) => ColorMode::Rgba,
        DynamicImage::ImageLuma16(_) => ColorMode::L16,
        DynamicImage::ImageLumaA16(_) => ColorMode::La16,
        DynamicImage::ImageRgb16(_) => ColorMode::Rgb16,
        DynamicImage::ImageRgba16(_) => ColorMode::Rgba16,
        DynamicImage::ImageRgb32F(_) => ColorMode::RgbF32,
        DynamicImage::ImageRgba32F(_) => ColorMode::RgbaF32,
        other => return Err(format!("pixels of type {:?}, expected grey or RGB of 8, 16 or 32 bits", other.color())),
    })
}

/// Hashes upright pixels: a domain tag, width, height, the code of the mode, then all samples, little endian.
pub(super) fn digest(image: &DynamicImage, mode: ColorMode) -> Digest {
    let mut hasher = pixel_hasher(image.width(), image.height(), mode);
    let wide = |hasher: &mut blake3::Hasher, samples: &[u16]| {
        for chunk in samples.chunks(CHUNK) {
            hasher.update(&chunk.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        }
    };
    let float = |hasher: &mut blake3::Hasher, samples: &[f32]| {
        for chunk in samples.chunks(CHUNK) {
            hasher.update(&chunk.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        }
    };
    match image {
        DynamicImage::ImageLuma16(it) => wide(&mut hasher, it.as_raw()),
        DynamicImage::ImageLumaA16(it) => wide(&mut hasher, it.as_raw()),
        DynamicImage::ImageRgb16(it) => wide(&mut hasher, it.as_raw()),
        DynamicImage::ImageRgba16(it) => wide(&mut hasher, it.as_raw()),
        DynamicImage::ImageRgb32F(it) => float(&mut hasher, it.as_raw()),
        DynamicImage::ImageRgba32F(it) => float(&mut hasher, it.as_raw()),
        bytes => {
            hasher.update(bytes.as_bytes());
        }
    }
    finish(&hasher)
}

/// [`digest`] of samples of 8 bits.
pub(super) fn digest_of_bytes(width: u32, height: u32, mode: ColorMode, samples: &[u8]) -> Digest {
    let mut hasher = pixel_hasher(width, height, mode);
    hasher.update(samples);
    finish(&hasher)
}

fn pixel_hasher(width: u32, height: u32, mode: ColorMode) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(PIXELS_TAG).update(&width.to_le_bytes()).update(&height.to_le_bytes()).update(&[super::code(mode)]);
    hasher
}

fn finish(hasher: &blake3::Hasher) -> Digest {
    Digest(*hasher.finalize().as_bytes())
}

/// Brings a picture to 8 bits without alpha. Consumes it, so that two copies of a large picture never stay in memory.
pub(super) fn flatten(image: DynamicImage) -> Flat<'static> {
    let (width, height) = (image.width(), image.height());
    let (channels, values) = match image {
        DynamicImage::ImageLuma8(it) => (Channels::Grey, it.into_raw()),
        DynamicImage::ImageRgb8(it) => (Channels::Rgb, it.into_raw()),
        DynamicImage::ImageLumaA8(it) => (Channels::Grey, blend_grey(it.as_raw(), |it| it)),
        DynamicImage::ImageRgba8(it) => (Channels::Rgb, blend_rgb(it.as_raw(), |it| it)),
        DynamicImage::ImageLuma16(it) => (Channels::Grey, it.as_raw().iter().map(|it| narrow(*it)).collect()),
        DynamicImage::ImageLumaA16(it) => (Channels::Grey, blend_grey(it.as_raw(), narrow)),
        DynamicImage::ImageRgb16(it) => (Channels::Rgb, it.as_raw().iter().map(|it| narrow(*it)).collect()),
        DynamicImage::ImageRgba16(it) => (Channels::Rgb, blend_rgb(it.as_raw(), narrow)),
        DynamicImage::ImageRgb32F(it) => (Channels::Rgb, it.as_raw().iter().map(|it| unit(*it)).collect()),
        DynamicImage::ImageRgba32F(it) => (Channels::Rgb, blend_rgb(it.as_raw(), unit)),
        // `mode` has refused it before; the crate's own conversion keeps the types complete.
        other => (Channels::Rgb, other.into_rgb8().into_raw()),
    };
    Flat { width, height, channels, values: Cow::Owned(values) }
}

fn blend_grey<T: Copy>(values: &[T], to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    values.as_chunks::<2>().0.iter().map(|[grey, alpha]| over_white(to_byte(*grey), to_byte(*alpha))).collect()
}

fn blend_rgb<T: Copy>(values: &[T], to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut out = vec![0; values.len() / 4 * 3];
    for ([r, g, b, alpha], to) in values.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<3>().0) {
        let alpha = to_byte(*alpha);
        *to = [r, g, b].map(|it| over_white(to_byte(*it), alpha));
    }
    out
}

/// `value` over 255, in stored numbers, rounded to the nearest.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// 16 bits to 8, rounded to the nearest: 65,535 / 257 = 255.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// 0 to 1 becomes 0 to 255; what is outside is clamped, and not-a-number counts as 0.
fn unit(value: f32) -> u8 {
    // A cast from float saturates and turns not-a-number to 0.
    (value * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_of_equal_channels_is_the_channel() {
        let greys: Vec<u8> = (0..=255).collect();
        let mut found = [0; 256];
        luma(&greys.iter().flat_map(|it| [*it; 3]).collect::<Vec<u8>>(), &mut found);
        assert_eq!(found, *greys);
        let mut found = [0; 3];
        luma(&[255, 0, 0, 0, 255, 0, 0, 0, 255], &mut found);
        assert_eq!(found, [76, 150, 29]);
    }

    #[test]
    fn long_sides_become_means() {
        let mut values: Vec<u8> = (0..3 * 65_537_u32).map(|at| (at % 3) as u8 * 50).collect();
        values[..6].copy_from_slice(&[10, 20, 30, 13, 20, 31]);
        for (width, height, short) in [(1, 65_537, (1, 32_769)), (65_537, 1, (32_769, 1))] {
            let flat = Flat { width, height, channels: Channels::Rgb, values: Cow::Borrowed(&values) };
            let found = flat.shortened();
            assert_eq!((found.width, found.height), short);
            assert_eq!(found.values.len(), 3 * 32_769);
            assert_eq!(&found.values[..6], [12, 20, 31, 0, 50, 100], "halves are rounded up");
            assert_eq!(&found.values[found.values.len() - 3..], [0, 50, 100]);
        }
        let flat =
            Flat { width: 65_535, height: 3, channels: Channels::Rgb, values: Cow::Owned(vec![9; 3 * 3 * 65_535]) };
        assert!(matches!(flat.shortened(), Flat { width: 65_535, height: 3, values: Cow::Borrowed(_), .. }));
    }

    #[test]
    fn grey_does_not_depend_on_the_place() {
        let rgb: Vec<u8> = (0..3 * 200_u32).map(|at| (at * at * 7 % 253) as u8).collect();
        let one = |at: usize| {
            let mut grey = [0];
            luma(&rgb[3 * at..][..3], &mut grey);
            grey[0]
        };
        for n_pixels in [0, 1, 15, 16, 17, 18, 33, 200] {
            let mut grey = vec![0; n_pixels];
            luma(&rgb[..3 * n_pixels], &mut grey);
            assert_eq!(grey, (0..n_pixels).map(one).collect::<Vec<u8>>(), "{n_pixels} pixels");
        }
    }

    #[test]
    fn alpha_is_blended_over_white() {
        assert_eq!([over_white(0, 0), over_white(7, 255), over_white(0, 128), over_white(255, 3)], [255, 7, 127, 255]);
        assert_eq!(blend_rgb(&[10, 20, 30, 255, 1, 2, 3, 0], |it| it), [10, 20, 30, 255, 255, 255]);
        assert_eq!(blend_grey(&[10, 255, 1, 0], |it| it), [10, 255]);
    }

    #[test]
    fn wide_samples_are_rounded() {
        assert_eq!([narrow(0), narrow(128), narrow(129), narrow(65_535), narrow(0x8080)], [0, 0, 1, 255, 0x80]);
        assert_eq!([unit(-3.0), unit(0.5), unit(1.0), unit(9.0), unit(f32::NAN)], [0, 128, 255, 255, 0]);
    }
}
