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
    /// Difference hash, 64 bits.
    pub dhash: u64,
    /// What a reader should know, e.g. that only the first frame of an animation was read; `None` for nothing.
    pub note: Option<String>,
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
