//! What is known of a picture without its pixels, and the pixels as a model wants them.

use std::fmt;

/// What the numbers of a pixel are. Part of the identity of a picture: grey stored as RGB is not the same picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ColorMode {
    /// Grey, 8 bits.
    L,
    /// Grey and alpha, 8 bits.
    La,
    /// Red, green and blue, 8 bits.
    Rgb,
    /// Red, green, blue and alpha, 8 bits.
    Rgba,
    /// Grey, 16 bits.
    L16,
    /// Grey and alpha, 16 bits.
    La16,
    /// Red, green and blue, 16 bits.
    Rgb16,
    /// Red, green, blue and alpha, 16 bits.
    Rgba16,
    /// Red, green and blue as 32-bit floating-point numbers.
    RgbF32,
    /// Red, green, blue and alpha as 32-bit floating-point numbers.
    RgbaF32,
}

impl ColorMode {
    /// All modes, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::L,
        Self::La,
        Self::Rgb,
        Self::Rgba,
        Self::L16,
        Self::La16,
        Self::Rgb16,
        Self::Rgba16,
        Self::RgbF32,
        Self::RgbaF32,
    ];

    /// Name in findings and artifacts: Pillow's where Pillow has the mode, with the number of bits where it has not.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::L => "L",
            Self::La => "LA",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::L16 => "L16",
            Self::La16 => "LA16",
            Self::Rgb16 => "RGB16",
            Self::Rgba16 => "RGBA16",
            Self::RgbF32 => "RGB32F",
            Self::RgbaF32 => "RGBA32F",
        }
    }
}

/// What is known of one picture after it was decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Columns of pixels, upright.
    pub width: u32,
    /// Rows of pixels, upright.
    pub height: u32,
    /// What the numbers of a pixel are, before any conversion; a palette counts as what it maps to.
    pub mode: ColorMode,
    /// Kind of file by its content: `jpeg`, `png`, `gif`, `webp`, `bmp`, `tiff`, or `raw` for pixels of a table.
    pub format: &'static str,
    /// Perceptual hash by the discrete cosine transform, 64 bits; the first bit is the most significant one.
    pub phash: u64,
    /// The same hash of the picture in the other seven orientations, in the order of [`Orientation::ALL`].
    pub turned_phashes: [u64; 7],
    /// Difference hash, 64 bits.
    pub dhash: u64,
    /// What a reader should know, e.g. that only the first frame of an animation was read; `None` for nothing.
    pub note: Option<String>,
}

impl ImageFacts {
    /// The hash by the cosine transform in all eight orientations, in the order of [`Orientation::ALL`].
    #[must_use]
    pub fn oriented_phashes(&self) -> [u64; 8] {
        let [a, b, c, d, e, f, g] = self.turned_phashes;
        [self.phash, a, b, c, d, e, f, g]
    }
}

/// A grey picture of 8 bits, small enough to keep for each sample: long side at most 64 pixels, aspect kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Grey {
    /// Columns.
    pub width: u8,
    /// Rows.
    pub height: u8,
    /// Shape `(height, width)`, row-major; 0 is black.
    pub values: Vec<u8>,
}

impl Grey {
    /// The standard deviation of the values in levels, 0 for a picture of one color.
    #[must_use]
    pub fn texture(&self) -> f64 {
        let n = self.values.len().max(1) as f64;
        let sum: f64 = self.values.iter().map(|value| f64::from(*value)).sum();
        let squares: f64 = self.values.iter().map(|value| f64::from(*value).powi(2)).sum();
        (squares / n - (sum / n).powi(2)).max(0.0).sqrt()
    }
}

impl fmt::Debug for Grey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grey").field("width", &self.width).field("height", &self.height).finish_non_exhaustive()
    }
}

/// How a picture was turned: the eight ways in which a square covers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Orientation {
    /// As it was.
    Upright,
    /// Left and right exchanged.
    Mirrored,
    /// Top and bottom exchanged.
    Flipped,
    /// Rotated by 180 degrees.
    Rotated180,
    /// Rows and columns exchanged.
    Transposed,
    /// Rotated by 90 degrees, counterclockwise.
    Rotated90,
    /// Rotated by 270 degrees, counterclockwise.
    Rotated270,
    /// Rows and columns exchanged, and then rotated by 180 degrees.
    Transversed,
}

impl Orientation {
    /// All orientations. The number of one has a bit for exchanged columns (1), rows (2), and axes (4).
    pub const ALL: [Self; 8] = [
        Self::Upright,
        Self::Mirrored,
        Self::Flipped,
        Self::Rotated180,
        Self::Transposed,
        Self::Rotated90,
        Self::Rotated270,
        Self::Transversed,
    ];

    /// Name in artifacts.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Upright => "upright",
            Self::Mirrored => "mirrored",
            Self::Flipped => "flipped",
            Self::Rotated180 => "rotated-180",
            Self::Transposed => "transposed",
            Self::Rotated90 => "rotated-90",
            Self::Rotated270 => "rotated-270",
            Self::Transversed => "transversed",
        }
    }

    /// What was done to the picture, for people, one thing after the other; empty where nothing was.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Upright => "",
            Self::Mirrored => "mirrored",
            Self::Flipped => "upside down and mirrored",
            Self::Rotated180 => "rotated by 180 degrees",
            Self::Transposed => "rotated by 90 degrees to the right and mirrored",
            Self::Rotated90 => "rotated by 90 degrees to the left",
            Self::Rotated270 => "rotated by 90 degrees to the right",
            Self::Transversed => "rotated by 90 degrees to the left and mirrored",
        }
    }

    /// The orientation that undoes this one.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Self::Rotated90 => Self::Rotated270,
            Self::Rotated270 => Self::Rotated90,
            other => other,
        }
    }

    /// Whether rows and columns are exchanged, then whether columns and rows of the original run backwards.
    #[must_use]
    pub fn parts(self) -> (bool, bool, bool) {
        let number = self as u8;
        (number & 4 != 0, number & 1 != 0, number & 2 != 0)
    }

    /// The place of the original that the turned picture shows at `(x, y)`; places run from 0 to `end` in both.
    #[must_use]
    pub fn source(self, (x, y): (f32, f32), end: f32) -> (f32, f32) {
        let (is_swapped, is_mirrored, is_flipped) = self.parts();
        let (x, y) = if is_swapped { (y, x) } else { (x, y) };
        (if is_mirrored { end - x } else { x }, if is_flipped { end - y } else { y })
    }
}

/// Fractions of a picture's width or height, each 0 or above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margins {
    /// Of the width.
    pub left: f32,
    /// Of the height.
    pub top: f32,
    /// Of the width.
    pub right: f32,
    /// Of the height.
    pub bottom: f32,
}

impl Margins {
    /// The widest of the four.
    #[must_use]
    pub fn widest(&self) -> f32 {
        self.left.max(self.top).max(self.right).max(self.bottom)
    }
}

/// What one of two pictures shows and the other one does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Margins of the first picture, as it stands, that the second one lacks.
    pub first: Margins,
    /// Margins of the second picture, as it stands, that the first one lacks.
    pub second: Margins,
}

/// How the second of two pictures lies in the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// What turns the first picture into the second.
    pub orientation: Orientation,
    /// What is cut off; `None` where both show the same.
    pub crop: Option<Crop>,
}

impl Alignment {
    /// How the first of the two pictures lies in the second.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let crop = self.crop.map(|Crop { first, second }| Crop { first: second, second: first });
        Self { orientation: self.orientation.inverse(), crop }
    }

    /// What was done to the first picture, for people, e.g. `mirrored, cropped by up to 5 %`; empty where nothing was.
    #[must_use]
    pub fn phrase(&self) -> String {
        let turned = self.orientation.phrase();
        let Some(Crop { first, second }) = self.crop else { return turned.to_owned() };
        let (verb, margins) = if second.widest() <= first.widest() { ("cropped", first) } else { ("widened", second) };
        let separator = if turned.is_empty() { "" } else { ", " };
        format!("{turned}{separator}{verb} by up to {:.0} %", 100.0 * margins.widest())
    }
}

/// Red, green and blue of 8 bits each, row by row from the top left.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Shape `(height, width, 3)`, row-major.
    pub rgb: Vec<u8>,
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pixels").field("width", &self.width).field("height", &self.height).finish_non_exhaustive()
    }
}

/// How a picture that is not square becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Width and height are scaled each on its own: nothing is lost at the border, shapes are squeezed.
    Stretch,
    /// The shorter side is scaled to the square's, and the middle of the longer one is kept.
    CenterCrop,
    /// The shorter side is scaled to this many pixels, not fewer than the square has, and the middle square is kept: a margin
    /// is cut off on all four sides.
    InnerCrop(u32),
}

impl Fit {
    /// Name in manifests and records.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Stretch => "stretch",
            Self::CenterCrop => "center-crop",
            Self::InnerCrop(_) => "inner-crop",
        }
    }
}

/// How pixels are averaged when a picture is scaled; both widen with the scale, so that nothing is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Name in manifests and records.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }
}

/// The picture that a model wants to see: the model states it, the decoder fulfils it.
///
/// Colors are sRGB as stored; alpha is blended over white; grey becomes three equal channels. What a model does to the
/// numbers themselves (mean, standard deviation) it does itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputSpec {
    /// Width and height.
    pub side: u32,
    /// How a picture that is not square becomes one.
    pub fit: Fit,
    /// How pixels are averaged.
    pub filter: Filter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_and_its_inverse_are_the_picture() {
        for (number, it) in Orientation::ALL.into_iter().enumerate() {
            assert_eq!(it as usize, number);
            assert_eq!(it.inverse().source(it.source((0.25, 0.375), 1.0), 1.0), (0.25, 0.375), "{it:?}");
        }
    }

    #[test]
    fn phrases_say_what_was_done() {
        type Square = [[char; 3]; 3];
        let square = [['a', 'b', 'c'], ['d', 'e', 'f'], ['g', 'h', 'i']];
        let mirrored = |it: Square| it.map(|[a, b, c]| [c, b, a]);
        let to_the_left = |it: Square| [2, 1, 0].map(|column| it.map(|row| row[column]));
        let repeated = |n: usize, it: Square| (0..n).fold(it, |it, _| to_the_left(it));
        assert_eq!(to_the_left(square)[0], ['c', 'f', 'i']);
        for orientation in Orientation::ALL {
            let done = orientation.phrase().split(" and ").fold(square, |it, step| match step {
                "" => it,
                "mirrored" => mirrored(it),
                "upside down" | "rotated by 180 degrees" => repeated(2, it),
                "rotated by 90 degrees to the left" => repeated(1, it),
                "rotated by 90 degrees to the right" => repeated(3, it),
                other => panic!("{orientation:?} is {other}, which nobody can do"),
            });
            let place = |x: u8, y: u8| {
                let (x, y) = orientation.source((f32::from(x), f32::from(y)), 2.0);
                square[y as usize][x as usize]
            };
            assert_eq!(done, [0, 1, 2].map(|y| [0, 1, 2].map(|x| place(x, y))), "{orientation:?}");
        }
    }

    #[test]
    fn a_picture_of_one_color_has_no_texture() {
        assert_eq!(Grey { width: 2, height: 2, values: vec![7; 4] }.texture(), 0.0);
        assert_eq!(Grey { width: 2, height: 1, values: vec![5, 9] }.texture(), 2.0);
    }

    #[test]
    fn alignments_say_what_was_done() {
        let margins = Margins { left: 0.05, ..Margins::default() };
        let crop = Some(Crop { first: margins, second: Margins::default() });
        let phrase = |orientation, crop| Alignment { orientation, crop }.phrase();
        assert_eq!(phrase(Orientation::Mirrored, crop), "mirrored, cropped by up to 5 %");
        assert_eq!(phrase(Orientation::Upright, crop), "cropped by up to 5 %");
        assert_eq!(phrase(Orientation::Upright, None), "");
    }
}
