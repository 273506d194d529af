//! Smaller pictures: for verification, for people, and for models.

use std::borrow::Cow;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use tamis_core::{Filter, Fit, Grey, InputSpec, Pixels};

#[cfg(target_arch = "x86_64")]
use super::across::{Across, Plan};
use super::encode;
use super::flat::{Channels, Flat};

/// Long side of the grey picture at most: enough to tell a crop from another picture, small enough to keep for each sample.
const GREY_SIDE: u32 = 64;

/// Long side of a thumbnail at most.
const THUMBNAIL_SIDE: u32 = 128;

/// Quality of thumbnails of larger pictures: artifacts do not show at this size, and a file takes about 4 KB.
const THUMBNAIL_QUALITY: u8 = 85;

/// How many times as many rows as the model's input a narrow picture may have and still be scaled along its rows first, as
/// Pillow does: what that makes has at most this many times the pixels of the input. Chosen so that no picture which people
/// look at is scaled otherwise.
const MOST_TIMES_AS_TALL: u32 = 16;

/// Makes the smaller pictures of one picture; keeps the buffers between them.
#[derive(Debug, Default)]
pub(super) struct Reducer {
    resizer: Resizer,
    #[cfg(target_arch = "x86_64")]
    across: Across,
    /// A picture whose rows are scaled and whose columns are not yet.
    between: Vec<u8>,
}

/// The part of a picture that is scaled: left, top, width, height.
type Crop = (f64, f64, f64, f64);

impl Reducer {
    /// The grey picture.
    pub(super) fn grey(&mut self, grey: &Flat<'_>) -> Result<Grey, String> {
        let to = fitted((grey.width, grey.height), GREY_SIDE);
        let values = self.scale(grey, to, FilterType::Bilinear, None, Vec::new())?;
        // Sides are at most `GREY_SIDE`.
        Ok(Grey { width: to.0 as u8, height: to.1 as u8, values })
    }

    /// A file for people: PNG where nothing was scaled, else JPEG.
    pub(super) fn thumbnail(&mut self, flat: &Flat<'_>) -> Result<Vec<u8>, String> {
        let from = (flat.width, flat.height);
        let to = fitted(from, THUMBNAIL_SIDE);
        if to != from {
            let small = self.scale(flat, to, FilterType::Bilinear, None, Vec::new())?;
            // Sides are at most `THUMBNAIL_SIDE`.
            return Ok(encode::jpeg(&small, (to.0 as u16, to.1 as u16), flat.channels, THUMBNAIL_QUALITY));
        }
        let color = match flat.channels {
            Channels::Grey => ExtendedColorType::L8,
            Channels::Rgb => ExtendedColorType::Rgb8,
        };
        let mut file = Vec::new();
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, PngFilter::Adaptive)
            .write_image(&flat.values, to.0, to.1, color)
            .map_err(|error| format!("thumbnail of {} x {} pixels cannot be written: {error}", to.0, to.1))?;
        Ok(file)
    }

    /// The picture that a model wants.
    ///
    /// Memory: no picture between has more pixels than `flat`, or than 16 times those that are wanted.
    pub(super) fn input(&mut self, flat: &Flat<'_>, spec: &InputSpec) -> Result<Pixels, String> {
        if spec.side == 0 {
            return Err("a model that wants 0 x 0 pixels, expected at least 1 x 1".to_owned());
        }
        let from = (flat.width, flat.height);
        let filter = match spec.filter {
            Filter::Bilinear => FilterType::Bilinear,
            Filter::Bicubic => FilterType::CatmullRom,
        };
        let (left, top, width, height) = match spec.fit {
            Fit::Stretch => (0.0, 0.0, f64::from(from.0), f64::from(from.1)),
            Fit::CenterCrop => center(from, spec.side, spec.side),
            Fit::InnerCrop(short) if short < spec.side => {
                return Err(format!("a model that wants {0} x {0} pixels of {short}", spec.side));
            }
            Fit::InnerCrop(short) => center(from, short, spec.side),
        };
        let (first, end) = reached((top, height), from.1, spec.side, filter);
        let (part, top) = (flat.rows(first, end), top - f64::from(first));
        let to = (spec.side, spec.side);
        let values = if part.width < spec.side && MOST_TIMES_AS_TALL * spec.side < part.height {
            self.scale(&part, to, filter, Some((left, top, width, height)), Vec::new())?
        } else {
            // Pillow goes along the rows first and the resizer along the columns. Both round and clamp in between, which
            // differs by a few levels at sharp edges: two calls keep Pillow's order.
            let values = self.across(&part, spec.side, filter, (left, 0.0, width, f64::from(part.height)))?;
            let rows =
                Flat { width: spec.side, height: part.height, channels: flat.channels, values: Cow::Owned(values) };
            let values = self.scale(&rows, to, filter, Some((0.0, top, f64::from(spec.side), height)), Vec::new())?;
            self.between = rows.values.into_owned();
            values
        };
        let rgb = match flat.channels {
            Channels::Rgb => values,
            Channels::Grey => values.into_iter().flat_map(|it| [it; 3]).collect(),
        };
        Ok(Pixels { width: spec.side, height: spec.side, rgb })
    }

    /// Bytes that are kept.
    pub(super) fn n_bytes(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        let across = self.across.n_bytes();
        #[cfg(not(target_arch = "x86_64"))]
        let across = 0;
        self.resizer.size_of_internal_buffers() + self.between.capacity() + across
    }

    /// Frees what a picture left where it is more than `most` bytes.
    pub(super) fn forget(&mut self, most: usize) {
        if self.n_bytes() > most {
            *self = Self::default();
        }
    }

    /// Scales all rows.
    fn across(&mut self, flat: &Flat<'_>, to: u32, filter: FilterType, crop: Crop) -> Result<Vec<u8>, String> {
        let mut out = std::mem::take(&mut self.between);
        #[cfg(target_arch = "x86_64")]
        if flat.channels == Channels::Rgb {
            let plan = Plan { from: flat.width, left: crop.0, width: crop.2, to, filter };
            if self.across.scale(&flat.values, plan, &mut out).is_some() {
                return Ok(out);
            }
        }
        self.scale(flat, (to, flat.height), filter, Some(crop), out)
    }

    /// Scales with a kernel that widens where the picture shrinks, 8 bits in and out; `buffer` becomes the result, whatever
    /// is in it.
    fn scale(
        &mut self,
        flat: &Flat<'_>,
        to: (u32, u32),
        filter: FilterType,
        crop: Option<Crop>,
        mut buffer: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let from = (flat.width, flat.height);
        let pixel = match flat.channels {
            Channels::Grey => PixelType::U8,
            Channels::Rgb => PixelType::U8x3,
        };
        let failed = |error: &dyn std::fmt::Display| {
            format!("{} x {} pixels cannot be scaled to {} x {}: {error}", from.0, from.1, to.0, to.1)
        };
        let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
        if let Some((left, top, width, height)) = crop {
            options = options.crop(left, top, width, height);
        }
        let source = ImageRef::new(from.0, from.1, &flat.values, pixel).map_err(|error| failed(&error))?;
        buffer.resize(to.0 as usize * to.1 as usize * pixel.size(), 0);
        let mut target = Image::from_vec_u8(to.0, to.1, buffer, pixel).map_err(|error| failed(&error))?;
        self.resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))?;
        Ok(target.into_vec())
    }
}

/// The size of a picture whose long side is at most `side`: aspect kept, at least 1 x 1, never enlarged.
fn fitted((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let long = width.max(height);
    if long <= side {
        return (width, height);
    }
    let scaled = |it: u32| {
        let rounded = (u64::from(it) * u64::from(side) + u64::from(long) / 2) / u64::from(long);
        // At most `side`.
        (rounded as u32).max(1)
    };
    (scaled(width), scaled(height))
}

/// The first row, and the one behind the last, of the `n` of a picture that `side` rows of a part of it are made of: a kernel
/// reaches beyond the part.
fn reached((top, height): (f64, f64), n: u32, side: u32, filter: FilterType) -> (u32, u32) {
    let support = if filter == FilterType::Bilinear { 1.0 } else { 2.0 };
    let reach = support * (height / f64::from(side)).max(1.0);
    ((top - reach).floor().max(0.0) as u32, (top + height + reach).ceil().min(f64::from(n)) as u32)
}

/// The part of a picture that `Resize(short)` and `CenterCrop(side)` of torchvision keep, `side <= short`: the shorter side
/// becomes `short`, the longer one `floor(short * longer / shorter)`, and what is cut at the beginning of each is half of the
/// rest, rounded, ties to even (`_compute_resized_output_size` and `_center_crop_compute_crop_anchor`).
fn center((width, height): (u32, u32), short: u32, side: u32) -> Crop {
    let (shorter, longer) = (width.min(height), width.max(height));
    let along = |length: u32, scaled: u64| {
        let step = f64::from(length) / scaled as f64;
        let start = ((scaled as f64 - f64::from(side)) / 2.0).round_ties_even() * step;
        (start, (f64::from(side) * step).min(f64::from(length) - start))
    };
    let long = along(longer, u64::from(short) * u64::from(longer) / u64::from(shorter));
    let short = along(shorter, u64::from(short));
    let ((left, width), (top, height)) = if width >= height { (long, short) } else { (short, long) };
    (left, top, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_keep_their_size() {
        assert_eq!(fitted((64, 3), 64), (64, 3));
        assert_eq!(fitted((128, 64), 64), (64, 32));
        assert_eq!(fitted((30_000, 1), 64), (64, 1));
        assert_eq!(fitted((u32::MAX, u32::MAX), 64), (64, 64));
    }

    #[test]
    fn the_middle_is_kept() {
        assert_eq!(center((448, 224), 224, 224), (112.0, 0.0, 224.0, 224.0));
        assert_eq!(center((100, 100), 224, 224), (0.0, 0.0, 100.0, 100.0));
        assert_eq!(center((2, 8), 4, 4), (0.0, 3.0, 2.0, 2.0));
    }

    /// A picture of waves without symmetry.
    fn waves(width: u32, height: u32) -> Flat<'static> {
        let value = |at: u32| {
            let (x, y, channel) = (at / 3 % width, at / 3 / width, at % 3);
            let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            (127.0 + 60.0 * ((9.0 * x + f64::from(channel)).sin() + (14.0 * y + 2.0 * x).cos())) as u8
        };
        Flat { width, height, channels: Channels::Rgb, values: (0..3 * width * height).map(value).collect() }
    }

    const FITS: [Fit; 3] = [Fit::Stretch, Fit::CenterCrop, Fit::InnerCrop(32)];

    #[test]
    fn a_narrow_picture_takes_little_memory() {
        for (width, height) in [(1, 1_000_000), (23, 60_000), (24, 60_000)] {
            let flat = waves(width, height);
            for fit in FITS {
                let mut reducer = Reducer::default();
                reducer.input(&flat, &InputSpec { side: 24, fit, filter: Filter::Bicubic }).unwrap();
                let most = flat.values.len().max(MOST_TIMES_AS_TALL as usize * 24 * 24 * 3);
                let between = reducer.between.capacity().max(reducer.resizer.size_of_internal_buffers());
                assert!(between <= most, "{width} x {height}, {fit:?}: {between} bytes, at most {most}");
            }
        }
    }

    #[test]
    fn rows_that_are_not_needed_change_nothing() {
        for (width, height) in [(48, 120), (30, 41), (7, 90), (20, 20), (12, 500)] {
            let flat = waves(width, height);
            for (fit, filter) in FITS.into_iter().flat_map(|it| [(it, Filter::Bilinear), (it, Filter::Bicubic)]) {
                let found = Reducer::default().input(&flat, &InputSpec { side: 24, fit, filter }).unwrap();
                let filter = if filter == Filter::Bilinear { FilterType::Bilinear } else { FilterType::CatmullRom };
                let (left, top, part, tall) = match fit {
                    Fit::Stretch => (0.0, 0.0, f64::from(width), f64::from(height)),
                    Fit::CenterCrop => center((width, height), 24, 24),
                    Fit::InnerCrop(short) => center((width, height), short, 24),
                };
                let mut reducer = Reducer::default();
                let all = reducer.across(&flat, 24, filter, (left, 0.0, part, f64::from(height))).unwrap();
                let all = Flat { width: 24, height, channels: Channels::Rgb, values: Cow::Owned(all) };
                let expected = reducer.scale(&all, (24, 24), filter, Some((0.0, top, 24.0, tall)), Vec::new()).unwrap();
                let worst = found.rgb.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
                // Weights are rounded, and places within a part of the picture are other floating-point numbers; of the
                // tallest picture, where columns are scaled first, the picture between is rounded elsewhere.
                assert!(worst <= Some(1), "{width} x {height}, {fit:?}, {filter:?}: {worst:?} levels");
            }
        }
    }

    #[test]
    fn a_margin_is_cut_on_all_sides() {
        assert_eq!(center((256, 256), 256, 224), (16.0, 16.0, 224.0, 224.0));
        assert_eq!(center((64, 32), 16, 8), (24.0, 8.0, 16.0, 16.0));
        assert_eq!(center((32, 64), 16, 8), (8.0, 24.0, 16.0, 16.0));
    }
}
