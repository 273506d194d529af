//! From the bytes of a file to upright pixels, or the reason why not.

use std::any::Any;
use std::io::{Cursor, ErrorKind};
use std::panic::{self, AssertUnwindSafe};

use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::header::{self, Outline};
use super::jpeg;
use super::kind::{self, Kind, SUPPORTED};

/// Pixels of a picture at most: Pillow's `MAX_IMAGE_PIXELS`, 1 GiB / 4 / 3, above which it warns of a decompression bomb
/// (`src/PIL/Image.py`).
pub(super) const MAX_PIXELS: u64 = 1024 * 1024 * 1024 / 4 / 3;

/// Bytes of decoded samples at most: enough for [`MAX_PIXELS`] of 8-bit RGBA, half of them at 16 bits.
pub(super) const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;

/// Bytes of the libraries' message that are kept in a reason.
const MAX_MESSAGE: usize = 160;

/// The kind of a file that can be read.
///
/// # Errors
/// When it is empty, no picture, or of a kind that is not read.
pub(super) fn supported(bytes: &[u8]) -> Result<Kind, String> {
    if bytes.is_empty() {
        return Err("empty file: 0 bytes, expected an image".to_owned());
    }
    let Some(kind) = kind::kind(bytes) else {
        return Err(format!("{}, expected an image ({SUPPORTED})", kind::describe(bytes)));
    };
    if !kind.is_supported() {
        let image = if kind == Kind::Ico { "" } else { " image" };
        let extension = kind.extensions()[0];
        return Err(format!(
            "{}{image}, expected {SUPPORTED}; `magick in.{extension} out.png` makes it so",
            kind.phrase()
        ));
    }
    Ok(kind)
}

/// Refuses a size that is none or too large.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("declares {width} x {height} pixels, expected at least 1 x 1"));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("declares {width} x {height} pixels, expected at most 89,478,485"));
    }
    Ok(())
}

/// Checks the outline of a file before anything is decoded: its end, and the size that its header declares.
pub(super) fn check_outline(kind: Kind, bytes: &[u8]) -> Result<Outline<'_>, String> {
    if let Some((width, height)) = header::dimensions(bytes) {
        check_size(width, height)?;
    }
    let outline = header::outline(kind, bytes);
    if outline.cut {
        return Err(format!("truncated {kind}: {} bytes do not reach its end, expected a whole file", bytes.len()));
    }
    Ok(outline)
}

/// Decodes the first frame, upright. The pixels of a JPEG are written to the memory of `buffer`, whatever is in it.
pub(super) fn upright(
    kind: Kind,
    bytes: &[u8],
    exif: Option<&[u8]>,
    buffer: &mut Vec<u8>,
) -> Result<DynamicImage, String> {
    let step = || {
        if kind == Kind::Jpeg {
            return jpeg::upright(bytes, buffer);
        }
        let format = image_format(kind).expect("because `supported` refuses what no decoder reads");
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        // Decoders keep a frame beside the canvas.
        limits.max_alloc = Some(2 * MAX_DECODED_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(|error| reason(kind, &error))?;
        let (width, height) = decoder.dimensions();
        check_size(width, height)?;
        let size = decoder.total_bytes();
        if size > MAX_DECODED_BYTES {
            return Err(format!(
                "declares {width} x {height} pixels of {} bytes each, expected at most 536,870,912 bytes",
                decoder.color_type().bytes_per_pixel()
            ));
        }
        let orientation = orientation(kind, &mut decoder, exif);
        let mut image = DynamicImage::from_decoder(decoder).map_err(|error| reason(kind, &error))?;
        image.apply_orientation(orientation);
        Ok(if kind == Kind::Gif { without_idle_alpha(image) } else { image })
    };
    panic::catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|payload| Err(damaged(kind, panic_text(payload.as_ref()))))
}

/// What the decoders of `image` call a kind; `None` for what they do not read here.
fn image_format(kind: Kind) -> Option<ImageFormat> {
    match kind {
        Kind::Png => Some(ImageFormat::Png),
        Kind::Gif => Some(ImageFormat::Gif),
        Kind::Webp => Some(ImageFormat::WebP),
        Kind::Bmp => Some(ImageFormat::Bmp),
        Kind::Tiff => Some(ImageFormat::Tiff),
        _ => None,
    }
}

/// A block that cannot be read turns nothing.
fn orientation(kind: Kind, decoder: &mut impl ImageDecoder, exif: Option<&[u8]>) -> Orientation {
    let found = if kind == Kind::Tiff {
        decoder.orientation().ok()
    } else {
        let block = exif.map(<[u8]>::to_vec).or_else(|| decoder.exif_metadata().ok().flatten());
        block.and_then(|it| orientation_of(&it))
    };
    found.unwrap_or(Orientation::NoTransforms)
}

/// Some writers of WebP keep the prefix that JPEG wants before the block.
pub(super) fn orientation_of(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
}

/// A GIF is decoded with alpha even where no pixel is transparent: there its palette maps to red, green and blue.
fn without_idle_alpha(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageRgba8(it) if it.as_raw().as_chunks::<4>().0.iter().all(|rgba| rgba[3] == 255) => {
            DynamicImage::ImageRgb8(DynamicImage::ImageRgba8(it).into_rgb8())
        }
        other => other,
    }
}

fn reason(kind: Kind, error: &ImageError) -> String {
    match error {
        ImageError::Unsupported(_) => unsupported(kind, error.to_string()),
        ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::InsufficientMemory) => {
            format!("{kind} that needs more memory than its size allows, expected at most 1 GiB")
        }
        ImageError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            format!("truncated {kind}: pixels are missing, expected a whole file")
        }
        _ => damaged(kind, error.to_string()),
    }
}

pub(super) fn unsupported(kind: Kind, message: impl AsRef<str>) -> String {
    format!("{kind} of a kind that is not read ({}), expected 8- or 16-bit grey or RGB", short(message.as_ref()))
}

pub(super) fn damaged(kind: Kind, message: impl AsRef<str>) -> String {
    format!("damaged {kind} ({}), expected a whole file", short(message.as_ref()))
}

/// A library's message on one line, without its general beginning and its period.
fn short(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line =
        line.split_once(": ").filter(|(start, _)| start.starts_with("Format error")).map_or(&*line, |(_, end)| end);
    let end = line.char_indices().map(|(place, _)| place).find(|place| *place > MAX_MESSAGE).unwrap_or(line.len());
    line[..end].trim_end_matches('.').to_owned()
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|it| (*it).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_has_one_decoder() {
        for kind in Kind::all() {
            let has_decoder = kind == Kind::Jpeg || image_format(kind).is_some();
            assert_eq!(has_decoder, kind.is_supported(), "{kind}");
        }
        assert_eq!(image_format(Kind::Jpeg), None, "it is decoded by another crate");
    }
}
