//! Arrays of `NumPy` files that are looked at where they lie, and labels in them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use half::f16;

use crate::mmap::FileBytes;
use crate::npy::{Header, MAGIC};

/// An array in a file, mapped into memory: what is not looked at is not read, and larger ones than fit are no matter.
#[derive(Debug)]
pub struct ArrayFile {
    bytes: FileBytes,
    header: Header,
}

/// Numbers of two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<'a> {
    /// Length of the first dimension.
    pub n_rows: usize,
    /// Length of the second dimension.
    pub n_columns: usize,
    /// Whether the values stand column by column and not row by row.
    pub is_by_columns: bool,
    /// `n_rows` · `n_columns` numbers.
    pub values: Floats<'a>,
}

/// Numbers of one of two types: the file's own bytes where they can be taken as they are, else a copy.
#[derive(Clone, Debug, PartialEq)]
pub enum Floats<'a> {
    /// Single precision; half precision is widened to it.
    F32(Cow<'a, [f32]>),
    /// Double precision.
    F64(Cow<'a, [f64]>),
}

/// Labels as they stand in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelValues {
    /// Numbers of classes; `None` where the label is missing.
    Numbers(Vec<Option<u32>>),
    /// Names of classes; `None` where the label is missing.
    Names(Vec<Option<String>>),
}

impl LabelValues {
    /// Number of labels, missing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(labels) => labels.len(),
            Self::Names(labels) => labels.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes of a character in arrays of strings.
const CHARACTER_BYTES: usize = 4;

/// The number that says that a label is missing.
const MISSING: i64 = -1;

/// First number that names no class: libraries keep the largest `u32` for "none".
const N_CLASS_NUMBERS: i64 = u32::MAX as i64;

impl ArrayFile {
    /// Opens a `.npy` file of version 1 to 3.
    ///
    /// # Errors
    /// When the file cannot be read, is none of these, or has not as many bytes as its header says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = FileBytes::open(path)?;
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let header = Header::parse(bytes.as_slice()).map_err(invalid)?;
        let file = Self { bytes, header };
        if let (Some(size), n) = (file.item_bytes(), file.n_items()) {
            let n_bytes = file.data().len();
            if n.and_then(|n| n.checked_mul(size)) != Some(n_bytes) {
                let (shape, kind) = (file.header.shape_text(), &file.header.kind);
                return Err(invalid(format!("{n_bytes} bytes of numbers, expected shape {shape} of type `{kind}`")));
            }
        }
        Ok(file)
    }

    /// Whether a file begins like one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_one(path: &Path) -> io::Result<bool> {
        let mut magic = Vec::new();
        File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        Ok(magic == MAGIC)
    }

    /// Length of each dimension.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The numbers of an array of two dimensions, copied only where they are of half precision or not aligned.
    ///
    /// # Errors
    /// What was found and what was expected, when it has other dimensions or other numbers.
    pub fn table(&self) -> Result<Table<'_>, String> {
        let [n_rows, n_columns] = self.header.shape[..] else {
            return Err(format!("an array of shape {}, expected two dimensions", self.header.shape_text()));
        };
        let data = self.data();
        let values = match self.kind() {
            "<f2" => Floats::F32(data.as_chunks().0.iter().map(|it| f16::from_le_bytes(*it).to_f32()).collect()),
            "<f4" => Floats::F32(lent(data, f32::from_le_bytes)),
            "<f8" => Floats::F64(lent(data, f64::from_le_bytes)),
            kind => return Err(other_kind(kind, "`<f4`, `<f8` or `<f2`", "astype('float32')")),
        };
        Ok(Table { n_rows, n_columns, is_by_columns: self.header.is_by_columns, values })
    }

    /// The labels of an array of one dimension, or of two of which the second is 1: whole numbers from 0, -1 or NaN where one
    /// is missing; truth values; or strings, empty where one is missing.
    ///
    /// # Errors
    /// What was found and what was expected, with the row, when it has other dimensions, types or values.
    pub fn labels(&self) -> Result<LabelValues, String> {
        let shape = self.shape();
        if !matches!(shape, [_] | [_, 1]) {
            let shape = self.header.shape_text();
            return Err(format!(
                "an array of shape {shape}, expected one label for each row; `argmax(axis=1)` makes it of one-hot rows"
            ));
        }
        let kind = self.kind();
        match kind {
            _ if kind.starts_with("<U") => self.names(text_of_characters),
            _ if kind.starts_with("|S") => self.names(|field| {
                let end = field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                std::str::from_utf8(&field[..end]).ok().map(str::to_owned)
            }),
            _ => {
                let label = |(row, label)| match label {
                    MISSING => Ok(None),
                    0..N_CLASS_NUMBERS => Ok(u32::try_from(label).ok()),
                    _ => Err(format!("row {row} is {label}, expected the number of a class from 0 on, or -1 for none")),
                };
                let labels = self.integers()?.into_iter().enumerate().map(label);
                labels.collect::<Result<_, _>>().map(LabelValues::Numbers)
            }
        }
    }

    /// Whether the first dimension varies quickest.
    #[must_use]
    pub fn is_by_columns(&self) -> bool {
        self.header.is_by_columns
    }

    /// Whole numbers of any shape, in the order of the file: integers, truth values as 0 and 1, or whole numbers in floating
    /// point, of which NaN is -1. Those above the largest `i64` become that.
    ///
    /// # Errors
    /// What was found and what was expected, with its place, when it has other types or values.
    pub fn integers(&self) -> Result<Vec<i64>, String> {
        let data = self.data();
        Ok(match self.kind() {
            "|b1" => data.iter().map(|it| i64::from(*it != 0)).collect(),
            "|u1" => data.iter().map(|it| i64::from(*it)).collect(),
            "|i1" => data.iter().map(|it| i64::from(it.cast_signed())).collect(),
            "<u2" => data.as_chunks().0.iter().map(|it| i64::from(u16::from_le_bytes(*it))).collect(),
            "<i2" => data.as_chunks().0.iter().map(|it| i64::from(i16::from_le_bytes(*it))).collect(),
            "<u4" => data.as_chunks().0.iter().map(|it| i64::from(u32::from_le_bytes(*it))).collect(),
            "<i4" => data.as_chunks().0.iter().map(|it| i64::from(i32::from_le_bytes(*it))).collect(),
            "<u8" => {
                let large = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
                data.as_chunks().0.iter().map(|it| large(u64::from_le_bytes(*it))).collect()
            }
            "<i8" => data.as_chunks().0.iter().map(|it| i64::from_le_bytes(*it)).collect(),
            "<f4" => rounded(data.as_chunks().0.iter().map(|it| f64::from(f32::from_le_bytes(*it))))?,
            "<f8" => rounded(data.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it)))?,
            "|O" => {
                let mend = "`astype(str)` makes it one of strings";
                return Err(format!("an array of Python objects (`|O`), expected numbers or strings; {mend}"));
            }
            kind => return Err(other_kind(kind, "whole numbers, truth values or strings", "astype('int64')")),
        })
    }

    /// Numbers of one dimension, or of two of which the second is 1, as f64.
    ///
    /// # Errors
    /// What was found and what was expected, when it has other dimensions or other numbers.
    pub fn numbers(&self) -> Result<Vec<f64>, String> {
        if !matches!(self.shape(), [_] | [_, 1]) {
            return Err(format!("an array of shape {}, expected one number for each row", self.header.shape_text()));
        }
        let data = self.data();
        match self.kind() {
            "<f4" => Ok(data.as_chunks().0.iter().map(|it| f64::from(f32::from_le_bytes(*it))).collect()),
            "<f8" => Ok(lent(data, f64::from_le_bytes).into_owned()),
            #[expect(clippy::cast_precision_loss, reason = "as every computation with such numbers has it")]
            _ => Ok(self.integers()?.into_iter().map(|it| it as f64).collect()),
        }
    }

    /// The strings of fields of one length.
    fn names(&self, read: impl Fn(&[u8]) -> Option<String>) -> Result<LabelValues, String> {
        let size = self.item_bytes().unwrap_or_default();
        if size == 0 {
            // Any number of them fits into no bytes at all.
            return Err(format!(
                "strings without length (`{}`), expected strings of at least one character",
                self.kind()
            ));
        }
        let name = |(row, field): (usize, &[u8])| {
            let name = read(field).ok_or_else(|| format!("row {row} is no text, expected Unicode"))?;
            Ok(Some(name).filter(|it| !it.is_empty()))
        };
        let names: Result<_, String> = self.data().chunks_exact(size).enumerate().map(name).collect();
        Ok(LabelValues::Names(names?))
    }

    fn kind(&self) -> &str {
        &self.header.kind
    }

    fn data(&self) -> &[u8] {
        &self.bytes.as_slice()[self.header.data_start..]
    }

    /// Number of items; `None` where no memory holds as many.
    fn n_items(&self) -> Option<usize> {
        self.shape().iter().try_fold(1_usize, |n, side| n.checked_mul(*side))
    }

    /// Bytes of one item of a type that is read; `None` for others.
    fn item_bytes(&self) -> Option<usize> {
        let kind = self.kind();
        let size: usize = kind.get(2..)?.parse().ok()?;
        match kind.get(..2)? {
            "<U" => size.checked_mul(CHARACTER_BYTES),
            "|S" | "|b" | "|u" | "|i" | "<u" | "<i" | "<f" => Some(size),
            _ => None,
        }
    }
}

/// The numbers of little-endian bytes: the bytes themselves where the machine has them so, else a copy.
fn lent<const N: usize, T: bytemuck::Pod>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(data) {
        Ok(numbers) if cfg!(target_endian = "little") => Cow::Borrowed(numbers),
        _ => data.as_chunks().0.iter().map(|it| read(*it)).collect(),
    }
}

/// Whole numbers in floating point.
fn rounded(numbers: impl Iterator<Item = f64>) -> Result<Vec<i64>, String> {
    let whole = |(row, number): (usize, f64)| {
        if number.is_nan() {
            return Ok(MISSING);
        }
        if number.fract() != 0.0 || N_CLASS_NUMBERS as f64 <= number.abs() {
            return Err(format!("row {row} is {number}, expected a whole number, or -1 or NaN for none"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^32")]
        Ok(number as i64)
    };
    numbers.enumerate().map(whole).collect()
}

/// Characters of four bytes, filled with zeros at the end.
fn text_of_characters(field: &[u8]) -> Option<String> {
    let codes: Vec<u32> = field.as_chunks().0.iter().map(|it| u32::from_le_bytes(*it)).collect();
    let end = codes.iter().rposition(|code| *code != 0).map_or(0, |last| last + 1);
    codes[..end].iter().map(|code| char::from_u32(*code)).collect()
}

fn other_kind(kind: &str, expected: &str, mend: &str) -> String {
    let is_big = kind.starts_with('>');
    let found = if is_big { " (big-endian)" } else { "" };
    let mend = if is_big { "astype(a.dtype.newbyteorder('<'))" } else { mend };
    format!("numbers of type `{kind}`{found}, expected {expected}; `{mend}` makes it so")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a file with this header, filled up by blanks to a multiple of `aligned`, and these numbers.
    fn opened(kind: &str, shape: &str, aligned: usize, data: &[u8]) -> io::Result<ArrayFile> {
        let mut text = format!("{{'descr': '{kind}', 'fortran_order': True, 'shape': {shape}, }}");
        let n = (text.len() + 11).next_multiple_of(aligned) - 11;
        text.extend(std::iter::repeat_n(' ', n - text.len()));
        text.push('\n');
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let length = (text.len() as u16).to_le_bytes();
        std::fs::write(&path, [MAGIC, b"\x01\x00", &length, text.as_bytes(), data].concat()).unwrap();
        ArrayFile::open(&path)
    }

    fn labels(kind: &str, n: usize, data: &[u8]) -> Result<LabelValues, String> {
        opened(kind, &format!("({n},)"), 64, data).unwrap().labels()
    }

    #[test]
    fn numbers_are_lent_where_they_are_aligned() {
        let data: Vec<u8> = [1.0_f64, 3.0, 2.0, 4.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        let file = opened("<f8", "(2, 2)", 64, &data).unwrap();
        let table = file.table().unwrap();
        let values = vec![1.0, 3.0, 2.0, 4.0];
        assert!(matches!(table.values, Floats::F64(Cow::Borrowed(_))));
        let expected = Table { n_rows: 2, n_columns: 2, is_by_columns: true, values: Floats::F64(values.into()) };
        assert_eq!(table, expected);
        let askew = (1..9).map(|by| opened("<f8", "(2, 2)", 64 + by, &data).unwrap());
        let copied = askew.filter(|it| matches!(it.table().unwrap().values, Floats::F64(Cow::Owned(_)))).count();
        assert!(0 < copied, "some lie askew");
        let halves: Vec<u8> = [0.5, 0.25].iter().flat_map(|it| f16::from_f32(*it).to_le_bytes()).collect();
        let file = opened("<f2", "(1, 2)", 64, &halves).unwrap();
        assert_eq!(file.table().unwrap().values, Floats::F32(vec![0.5, 0.25].into()));
    }

    #[test]
    fn labels_of_all_types_are_read() {
        let expected = |missing: bool| LabelValues::Numbers(vec![Some(1), Some(0), Some(1).filter(|_| !missing)]);
        assert_eq!(labels("|b1", 3, &[1, 0, 1]), Ok(expected(false)));
        assert_eq!(labels("|u1", 3, &[1, 0, 1]), Ok(expected(false)));
        assert_eq!(labels("|i1", 3, &[1, 0, 255]), Ok(expected(true)));
        macro_rules! of {
            ($kind:literal, $numbers:expr, $missing:expr) => {
                let data: Vec<u8> = $numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
                assert_eq!(labels($kind, 3, &data), Ok(expected($missing)), $kind);
            };
        }
        of!("<u2", [1_u16, 0, 1], false);
        of!("<u4", [1_u32, 0, 1], false);
        of!("<u8", [1_u64, 0, 1], false);
        of!("<i2", [1_i16, 0, -1], true);
        of!("<i4", [1_i32, 0, -1], true);
        of!("<i8", [1_i64, 0, -1], true);
        of!("<f4", [1.0_f32, 0.0, f32::NAN], true);
        of!("<f8", [1.0_f64, 0.0, -1.0], true);
    }

    #[test]
    fn strings_are_names_and_empty_ones_are_missing() {
        let names = LabelValues::Names(vec![Some("né".to_owned()), None, Some("cat".to_owned())]);
        let data: Vec<u8> =
            ["né\0", "\0\0\0", "cat"].concat().chars().flat_map(|it| u32::from(it).to_le_bytes()).collect();
        assert_eq!(labels("<U3", 3, &data), Ok(names.clone()));
        assert_eq!(labels("|S3", 3, "né\0\0\0cat".as_bytes()), Ok(names));
        let no_length = "strings without length (`<U0`), expected strings of at least one character";
        assert_eq!(labels("<U0", 1_000_000_000_000, &[]).unwrap_err(), no_length);
        assert_eq!(labels("<U1", 1, &u32::MAX.to_le_bytes()).unwrap_err(), "row 0 is no text, expected Unicode");
    }

    #[test]
    fn what_are_no_labels_is_named() {
        let error = |kind: &str, n, data: &[u8]| labels(kind, n, data).unwrap_err();
        let number = "expected the number of a class from 0 on, or -1 for none";
        assert_eq!(error("|i1", 2, &[0, 254]), format!("row 1 is -2, {number}"));
        assert_eq!(error("<u4", 1, &[255; 4]), format!("row 0 is 4294967295, {number}"));
        assert_eq!(
            error("<f4", 1, &1.5_f32.to_le_bytes()),
            "row 0 is 1.5, expected a whole number, or -1 or NaN for none"
        );
        assert_eq!(
            error("|O", 1, &[0; 4]),
            "an array of Python objects (`|O`), expected numbers or strings; `astype(str)` makes it one of strings"
        );
        assert_eq!(
            error(">i8", 1, &[0; 8]),
            "numbers of type `>i8` (big-endian), expected whole numbers, truth values or strings; \
             `astype(a.dtype.newbyteorder('<'))` makes it so"
        );
        assert_eq!(
            opened("|u1", "(2, 3)", 64, &[0; 6]).unwrap().labels().unwrap_err(),
            "an array of shape (2, 3), expected one label for each row; `argmax(axis=1)` makes it of one-hot rows"
        );
    }

    #[test]
    fn what_is_no_table_is_named() {
        let error = |kind: &str, shape: &str, data: &[u8]| opened(kind, shape, 64, data).unwrap().table().unwrap_err();
        assert_eq!(error("<f4", "(1,)", &[0; 4]), "an array of shape (1,), expected two dimensions");
        assert_eq!(
            error("|b1", "(1, 2)", &[0; 2]),
            "numbers of type `|b1`, expected `<f4`, `<f8` or `<f2`; `astype('float32')` makes it so"
        );
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let error = |shape: &str| opened("<f4", shape, 64, &[0; 12]).unwrap_err().to_string();
        assert_eq!(error("(2, 2)"), "12 bytes of numbers, expected shape (2, 2) of type `<f4`");
        assert_eq!(error("(2,)"), "12 bytes of numbers, expected shape (2,) of type `<f4`");
        assert_eq!(
            error("(4611686018427387907, 4)"),
            "12 bytes of numbers, expected shape (4611686018427387907, 4) of type `<f4`"
        );
    }
}
