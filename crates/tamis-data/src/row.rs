//! One row of a table as the formats hand it over: named cells, still without meaning.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use tamis_core::Digest;

use crate::image::RawImage;

/// Text together with the bytes it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text; invalid UTF-8 is replaced by U+FFFD.
    pub text: String,
    /// The bytes, where they are not those of `text`.
    pub raw: Option<Vec<u8>>,
    /// Whether invalid UTF-8 was replaced.
    pub mended: bool,
}

impl Text {
    /// Text that was read as it stands.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), raw: None, mended: false }
    }

    /// The bytes that the identity of the sample rests on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }
}

/// A picture as it stands in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The bytes of an image file.
    File(Vec<u8>),
    /// Bare pixels.
    Raw(RawPixels),
}

/// Pixels of 8 bits as they stand in a table.
#[derive(Clone, PartialEq, Eq)]
pub struct RawPixels {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Numbers per pixel: 1 for grey, 3 for red, green and blue.
    pub channels: u8,
    /// Shape `(height, width, channels)`, row-major.
    pub values: Vec<u8>,
}

impl fmt::Debug for RawPixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lent().fmt(f)
    }
}

impl RawPixels {
    /// Lends the pixels to a decoder.
    #[must_use]
    pub fn lent(&self) -> RawImage<'_> {
        RawImage { width: self.width, height: self.height, channels: self.channels, values: &self.values }
    }

    /// Hash of size and values: what stands for the bytes of a file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tamis:pixels\0").update(&self.width.to_le_bytes()).update(&self.height.to_le_bytes());
        hasher.update(&[self.channels]).update(&self.values);
        Digest(*hasher.finalize().as_bytes())
    }
}

/// The value of one column in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A string.
    Text(Text),
    /// A number or a truth value, as JSON writes it.
    Scalar(String),
    /// A list or an object.
    Nested(Value),
    /// A picture.
    Image(Picture),
}

impl Cell {
    /// Takes over a JSON value.
    #[must_use]
    pub fn from_json(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) | Value::Number(_) => Self::Scalar(value.to_string()),
            Value::String(text) => Self::Text(Text::plain(text)),
            Value::Array(_) | Value::Object(_) => Self::Nested(value),
        }
    }

    /// What it is, with its article, as error messages say it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Scalar(text) if text == "true" || text == "false" => "a truth value",
            Self::Scalar(_) => "a number",
            Self::Nested(Value::Array(_)) => "a list",
            Self::Nested(_) => "an object",
            Self::Image(_) => "an image",
        }
    }

    /// The value as one line of metadata: strings as they are, nested values as JSON, `None` for null and for pictures.
    #[must_use]
    pub fn into_metadata(self) -> Option<String> {
        match self {
            Self::Null | Self::Image(_) => None,
            Self::Text(text) => Some(text.text),
            Self::Scalar(text) => Some(text),
            Self::Nested(value) => Some(value.to_string()),
        }
    }
}

/// One decoded row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Columns in the order of the input.
    pub cells: Vec<(Arc<str>, Cell)>,
    /// Hash of the whole file, where the file is the row.
    pub file_hash: Option<String>,
}

/// Turns what was cut from a file into a row, or says what is wrong with it and what was expected.
pub type Decode = Box<dyn FnOnce() -> Result<Row, String> + Send>;

/// A row as it was cut from its file; decoding it is left to a pool of threads.
pub struct RawRow {
    /// One-based line or record; `None` where the file is the row.
    pub row: Option<u64>,
    /// About how much memory the row takes.
    pub size_bytes: usize,
    /// Decodes it.
    pub decode: Decode,
}

impl RawRow {
    /// A row that is known to be bad; `reason` says what was found and what was expected.
    #[must_use]
    pub fn bad(row: Option<u64>, reason: String) -> Self {
        Self { row, size_bytes: 0, decode: Box::new(|| Err(reason)) }
    }
}

impl fmt::Debug for RawRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRow").field("row", &self.row).field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}
