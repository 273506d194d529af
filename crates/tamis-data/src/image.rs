//! Pictures: one decode gives all that is kept of one.
//!
//! # What is read
//! - JPEG, PNG, GIF, WebP, BMP and TIFF, told by their bytes and not by their names. Other kinds are known by name
//!   ([`Kind`]), so that the reason says what was found; they are not read.
//! - Of an animation (GIF, WebP, PNG) the first frame, on its canvas; of a TIFF the first page. [`ImageFacts::note`] says so.
//! - Truncated files are errors, and so are damaged ones, where the format or the decoder can tell. A JPEG, PNG or WebP must
//!   reach its own end (the end mark, or the length that its header declares); what follows the end does not count. A GIF may
//!   end behind any whole block once it has a frame. A JPEG has no checksums: changed or missing bytes in the middle of its
//!   data are decoded to something, as by other readers.
//! - Of TIFF, not read: palettes, YCbCr, grey of 4 or 32 bits. The reason says so.
//! - At most 89,478,485 pixels (Pillow's limit against decompression bombs) and 512 MiB of decoded samples, by the header:
//!   nothing is allocated for what is refused.
//!
//! # What a pixel is
//! - Pictures are upright: an EXIF orientation (JPEG, PNG, WebP) or TIFF's own tag is applied before anything else, and
//!   [`ImageFacts`] has the upright size. Orientations in XMP are not looked at.
//! - The mode is that of the decoded picture. A palette counts as the colors it maps to, RGB or (with transparency) RGBA; grey
//!   of 1, 2 and 4 bits is `L`; a GIF without a transparent pixel is RGB. CMYK (JPEG, TIFF) is decoded to RGB without its
//!   color profile. Color profiles are not applied.
//! - [`Decoded::pixels`] is the identity at [`tamis_core::IdentityLevel::Pixels`]: a hash of size, mode and all samples at
//!   full depth. Colors behind fully transparent pixels count. The same grey values as `L` and as RGB are two identities.
//! - Everything else looks at 8 bits without alpha: 16 bits are divided by 257 and rounded, floating-point samples are clamped
//!   to 0 to 1, alpha is blended over white in stored (sRGB) values.
//!
//! # What is made of it
//! - Perceptual hashes, equal to those of `ImageHash` on the same pixels. Pillow 13 scales tall pictures along the columns
//!   first, here it is always the rows: a bit or two may differ there. A flat picture has `phash` 2^63 (black: 0) and `dhash` 0.
//! - Where it is asked for, [`Pdq`], the hash of 256 bits of the package `pdqhash` on the same pixels. It takes a third of the
//!   time of all the rest (`docs/benchmarks/`), so it is not made of every picture.
//! - A grey picture of at most 64 pixels a side for verification, and a thumbnail of at most 128 for people: PNG where nothing
//!   was scaled, else JPEG of quality 85, colors at full resolution. Neither is enlarged.
//! - The model's input, where one is asked for: within one level of Pillow's resize of the same pixels (along the rows
//!   first). A center crop keeps what torchvision's `Resize` and `CenterCrop` keep.
//! - Of a picture with a side of more than 65,535 pixels, which no JPEG, GIF or WebP has, squares of pixels become their mean
//!   first. The model's input of a picture that is narrower than the input, and has more than 16 times its rows, is made
//!   along the columns first. Both keep a small file from taking gigabytes.
//!
//! # Time and memory
//! Time grows with the number of pixels. `scripts/bench.sh engine images` says how much of a picture the model's input takes,
//! and compares the whole with what other libraries take for decoding and scaling alone. Inner loops use AVX2 where the machine has it, with the same results everywhere. What a picture leaves (buffers,
//! and the weights of its size) serves the next one, so pictures of one size are cheaper than pictures of many.
//!
//! Pictures above 16 million pixels are decoded one at a time by each [`Decoder`], so that
//! memory does not grow with the number of threads.

#[cfg(target_arch = "x86_64")]
mod across;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod encode;
mod flat;
mod hash;
mod header;
mod jpeg;
mod kind;
mod machine;
mod pdq;
mod read;
mod record;
mod resize;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tamis_core::{ColorMode, Digest, Grey, ImageFacts, InputSpec, Pixels};

use flat::{Channels, Flat};
use hash::Hasher;
use resize::Reducer;

pub use header::dimensions;
pub use kind::{Kind, kind, kind_by_extension};
pub use pdq::Pdq;
pub use record::{ImageRecord, format_named, grey_of, thumbnail_of};

/// [`ImageFacts::format`] of pixels that stand in a table.
const RAW: &str = "raw";

/// Pixels above which pictures are decoded one at a time: with 8-bit RGBA, 64 MB of samples and about as much beside them,
/// so that 16 threads stay near 2 GB. Cameras of telephones stay below with 12 million.
const LARGE_PIXELS: u64 = 16_000_000;

/// Bytes of a buffer that is kept for the next picture, at most: the pixels of one that is just not large.
const KEPT_BYTES: usize = 3 * LARGE_PIXELS as usize;

/// What one decode of a picture gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Upright size, mode, format, perceptual hashes, note.
    pub facts: ImageFacts,
    /// Hash of the upright pixels with their size and mode.
    pub pixels: Digest,
    /// Small grey picture for verification.
    pub grey: Grey,
    /// A PNG or JPEG file for people, long side at most 128 pixels.
    pub thumbnail: Vec<u8>,
    /// The model's input; `None` where none was asked for.
    pub input: Option<Pixels>,
    /// Hash of 256 bits; `None` where it was not asked for.
    pub pdq: Option<Pdq>,
}

/// What is made of a picture only where it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The model's input.
    pub input: Option<&'a InputSpec>,
    /// Whether the hash of 256 bits is computed.
    pub pdq: bool,
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded").field("facts", &self.facts).field("pixels", &self.pixels).finish_non_exhaustive()
    }
}

/// Pixels that stand in a table, of 8 bits.
#[derive(Clone, Copy)]
pub struct RawImage<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Numbers per pixel: 1 for grey, 3 for red, green and blue.
    pub channels: u8,
    /// Shape `(height, width, channels)`, row-major.
    pub values: &'a [u8],
}

impl fmt::Debug for RawImage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawImage { width, height, channels, values: _ } = self;
        write!(f, "RawImage({width} x {height} x {channels})")
    }
}

/// Decodes pictures, the large ones one at a time. One is shared by all threads.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Held while a large picture is in memory.
    large: Mutex<()>,
    /// One for each thread that has decoded so far and does not now.
    idle: Mutex<Vec<Workspace>>,
}

/// Memory that pictures use one after the other. What is in it never shows in a result.
#[derive(Debug, Default)]
struct Workspace {
    pixels: Vec<u8>,
    grey: Vec<u8>,
    hasher: Hasher,
    reducer: Reducer,
}

impl Decoder {
    /// A decoder that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes a file once and computes everything from its pixels.
    ///
    /// Never panics, whatever the bytes; waits where the picture is large and another large one is being decoded.
    ///
    /// # Errors
    /// Says why it cannot be read and what was expected: no picture, of a kind that is not read, too large, truncated, damaged.
    pub fn decode(&self, bytes: &[u8], wanted: Wanted<'_>) -> Result<Decoded, String> {
        let kind = read::supported(bytes)?;
        let outline = read::check_outline(kind, bytes)?;
        // A size that only the decoder finds belongs to a file that is damaged.
        let n_pixels = dimensions(bytes).map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        let _guard = (n_pixels > LARGE_PIXELS).then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        self.lend_workspace(|workspace| {
            let image = read::upright(kind, bytes, outline.exif, &mut workspace.pixels)?;
            let mode = flat::mode(&image)?;
            let pixels = flat::digest(&image, mode);
            let what = if kind == Kind::Tiff { "pages" } else { "frames" };
            let note = (outline.frames > 1).then(|| format!("the first of {} {what}", outline.frames));
            let flat = flat::flatten(image);
            let decoded = derive(&flat, Source { mode, format: kind.id(), note, pixels }, wanted, workspace);
            if kind == Kind::Jpeg {
                workspace.pixels = flat.values.into_owned();
            }
            decoded
        })
    }

    /// Computes everything from pixels that stand in a table, e.g. digits of MNIST.
    ///
    /// # Errors
    /// When there are not as many values as the size wants, the size is none or too large, or there are not 1 or 3 channels.
    pub fn raw(&self, raw: &RawImage<'_>, wanted: Wanted<'_>) -> Result<Decoded, String> {
        read::check_size(raw.width, raw.height)?;
        let (channels, mode) = match raw.channels {
            1 => (Channels::Grey, ColorMode::L),
            3 => (Channels::Rgb, ColorMode::Rgb),
            other => return Err(format!("{other} channels, expected 1 or 3")),
        };
        let expected = u64::from(raw.width) * u64::from(raw.height) * u64::from(raw.channels);
        if raw.values.len() as u64 != expected {
            let RawImage { width, height, channels, values } = raw;
            return Err(format!("{} values, expected {expected} ({width} x {height} x {channels})", values.len()));
        }
        let pixels = flat::digest_of_bytes(raw.width, raw.height, mode, raw.values);
        let flat = Flat { width: raw.width, height: raw.height, channels, values: Cow::Borrowed(raw.values) };
        let source = Source { mode, format: RAW, note: None, pixels };
        self.lend_workspace(|workspace| derive(&flat, source, wanted, workspace))
    }

    /// Lends memory to `make`, and keeps it for the next picture, less what a large one has left.
    fn lend_workspace<T>(&self, make: impl FnOnce(&mut Workspace) -> T) -> T {
        let mut workspace = self.idle().pop().unwrap_or_default();
        let made = make(&mut workspace);
        workspace.forget();
        self.idle().push(workspace);
        made
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Workspace>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace {
    /// Frees what a large picture has left.
    fn forget(&mut self) {
        for buffer in [&mut self.pixels, &mut self.grey] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        if self.hasher.n_bytes() > KEPT_BYTES {
            self.hasher = Hasher::default();
        }
        self.reducer.forget(KEPT_BYTES);
    }
}

/// What is known of a picture before it is flat.
struct Source {
    mode: ColorMode,
    format: &'static str,
    note: Option<String>,
    pixels: Digest,
}

fn derive(flat: &Flat<'_>, source: Source, wanted: Wanted<'_>, workspace: &mut Workspace) -> Result<Decoded, String> {
    let (width, height) = (flat.width, flat.height);
    let flat = &flat.shortened();
    let Workspace { pixels: _, grey, hasher, reducer } = workspace;
    let grey = flat.grey(grey);
    let hashes = hasher.hashes(&grey.values, grey.width, grey.height);
    Ok(Decoded {
        facts: ImageFacts {
            width,
            height,
            mode: source.mode,
            format: source.format,
            phash: hashes.phash,
            turned_phashes: hashes.turned,
            dhash: hashes.dhash,
            note: source.note,
        },
        pixels: source.pixels,
        grey: reducer.grey(&grey)?,
        thumbnail: reducer.thumbnail(flat)?,
        input: wanted.input.map(|spec| reducer.input(flat, spec)).transpose()?,
        pdq: wanted.pdq.then(|| pdq::pdq(flat)),
    })
}

/// The place of a mode among [`ColorMode::ALL`]: stands in records and in the hash of pixels.
fn code(mode: ColorMode) -> u8 {
    // There are fewer than 256 modes, and all of them are in the list.
    ColorMode::ALL.iter().position(|it| *it == mode).unwrap_or(usize::from(u8::MAX)) as u8
}

#[cfg(test)]
mod tests {
    use tamis_core::{Filter, Fit};

    use super::*;

    #[test]
    fn a_small_file_of_a_long_picture_takes_little_memory() {
        let spec = InputSpec { side: 224, fit: Fit::Stretch, filter: Filter::Bicubic };
        for (width, height) in [(1, 1_000_000), (1_000_000, 1)] {
            let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x + y) as u8; 3]));
            let mut file = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
            let mut workspace = Workspace::default();
            let image = read::upright(Kind::Png, file.get_ref(), None, &mut workspace.pixels).unwrap();
            let source = Source { mode: ColorMode::Rgb, format: "png", note: None, pixels: Digest([0; 32]) };
            let decoded =
                derive(&flat::flatten(image), source, Wanted { input: Some(&spec), pdq: false }, &mut workspace)
                    .unwrap();
            assert_eq!((decoded.facts.width, decoded.facts.height), (width, height));
            let Workspace { pixels: _, grey, hasher, reducer } = &workspace;
            let side = flat::LONGEST_SIDE as usize;
            // Of a pixel of a side, weights of two kernels, of 6 times 6 bytes each, and the line itself; for the model's
            // input 32 bytes beside its neighbor, four rows of colors, and weights that are at most as long.
            for (what, n, most) in [
                ("grey", grey.capacity(), side),
                ("weights", hasher.n_bytes(), side * 80),
                ("input", reducer.n_bytes(), side * 64),
            ] {
                assert!(n <= most, "{what} of {width} x {height}: {n} bytes, expected at most {most}");
            }
        }
    }

    #[test]
    fn little_is_kept_of_a_picture_however_long_it_is() {
        let decoder = Decoder::new();
        let (values, spec) = (vec![7; 12_000_000], InputSpec { side: 64, fit: Fit::Stretch, filter: Filter::Bicubic });
        for (width, height) in [(4_000_000, 1), (1, 4_000_000)] {
            let raw = RawImage { width, height, channels: 3, values: &values };
            decoder.raw(&raw, Wanted { input: Some(&spec), pdq: true }).unwrap();
            let mut idle = decoder.idle();
            let Workspace { pixels, grey, hasher, reducer } = &mut idle[0];
            for (what, n) in [("pixels", pixels.capacity()), ("grey", grey.capacity()), ("weights", hasher.n_bytes())] {
                assert!(n <= KEPT_BYTES, "{what} of {width} x {height}: {n} bytes");
            }
            assert!(reducer.n_bytes() <= KEPT_BYTES, "{width} x {height}: {} bytes", reducer.n_bytes());
        }
    }
}
