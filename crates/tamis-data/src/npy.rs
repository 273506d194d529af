//! Vectors as a `NumPy` file.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use half::f16;

use crate::atomic::Commits;
use crate::vectors::Matrix;

/// The first bytes of every file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// What the beginning of a file says of its array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Type of the numbers, e.g. `<f4`; `a record` where it is none of one word.
    pub(crate) kind: String,
    pub(crate) shape: Vec<usize>,
    /// Whether the first dimension varies quickest.
    pub(crate) is_by_columns: bool,
    /// Where in the file the numbers begin.
    pub(crate) data_start: usize,
}

impl Header {
    /// Parses the header of a file of version 1 to 3.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let no_header = || "not a NumPy file of version 1 to 3".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(no_header)?;
        let (version, rest) = rest.split_at_checked(2).ok_or_else(no_header)?;
        let n_length = match version[0] {
            1 => 2,
            2 | 3 => 4,
            _ => return Err(no_header()),
        };
        let (length, rest) = rest.split_at_checked(n_length).ok_or_else(no_header)?;
        let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (text, data) = rest.split_at_checked(length).ok_or_else(no_header)?;
        let text = std::str::from_utf8(text).map_err(|_| no_header())?;
        let value = |key: &str| {
            let (_, behind) = text.split_once(&format!("'{key}':"))?;
            Some(behind.trim_start())
        };
        let shape = value("shape").and_then(|it| it.strip_prefix('(')?.split_once(')')).ok_or_else(no_header)?.0;
        let shape: Option<Vec<usize>> =
            shape.split(',').map(str::trim).filter(|it| !it.is_empty()).map(|it| it.parse().ok()).collect();
        let kind = value("descr").and_then(|it| it.strip_prefix('\'')?.split_once('\'')).map_or("a record", |it| it.0);
        Ok(Self {
            kind: kind.to_owned(),
            shape: shape.ok_or_else(no_header)?,
            is_by_columns: value("fortran_order").is_some_and(|it| it.starts_with("True")),
            data_start: bytes.len() - data.len(),
        })
    }

    /// The shape as Python writes it, e.g. `(4,)`.
    pub(crate) fn shape_text(&self) -> String {
        let sides: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        let comma = if sides.len() == 1 { "," } else { "" };
        format!("({}{comma})", sides.join(", "))
    }
}

/// The vectors of a file: two dimensions of f16, f32 or f64, in either order.
pub(crate) fn parse(bytes: &[u8]) -> Result<Matrix, String> {
    let header = Header::parse(bytes)?;
    let data = &bytes[header.data_start..];
    let [n, dim] = header.shape[..] else {
        let shape = header.shape_text();
        return Err(format!("an array of shape {shape}, expected two dimensions: vectors and their numbers"));
    };
    if dim == 0 {
        return Err("vectors of 0 numbers, expected at least 1".to_owned());
    }
    let kind = header.kind.as_str();
    let numbers: Vec<f32> = match kind {
        "<f2" => data.as_chunks().0.iter().map(|it| f16::from_le_bytes(*it).to_f32()).collect(),
        "<f4" => data.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect(),
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is said")]
        "<f8" => data.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it) as f32).collect(),
        _ => return Err(format!("numbers of type `{kind}`, expected `<f2`, `<f4` or `<f8`")),
    };
    if n.checked_mul(dim) != Some(numbers.len()) {
        return Err(format!("{} numbers, expected {n} vectors of {dim}", numbers.len()));
    }
    let values = match header.is_by_columns {
        false => numbers,
        true => (0..n).flat_map(|row| (0..dim).map(move |column| column * n + row)).map(|at| numbers[at]).collect(),
    };
    Ok(Matrix { n, dim, values })
}

/// Writes an array of shape `(n, dim)`, f32, little-endian, row-major, NPY format 1.0.
///
/// `rows` gives `n` rows of `dim` values; `None`, for a sample without a vector, becomes a row of NaN.
///
/// # Errors
/// When the file cannot be written, or `rows` has another shape; no file is left then.
pub fn write<'a>(
    commits: &Commits,
    path: &Path,
    (n, dim): (usize, usize),
    rows: impl IntoIterator<Item = Option<&'a [f32]>>,
) -> io::Result<()> {
    commits.write(path, |file| {
        let mut out = BufWriter::new(file);
        out.write_all(&header("<f4", &[n, dim]))?;
        let absent = vec![f32::NAN; dim];
        let mut n_rows = 0;
        for row in rows {
            let row = row.unwrap_or(&absent);
            if row.len() != dim {
                return Err(shape_error(&format!("row {n_rows} has {} values, expected {dim}", row.len())));
            }
            for value in row {
                out.write_all(&value.to_le_bytes())?;
            }
            n_rows += 1;
        }
        if n_rows != n {
            return Err(shape_error(&format!("{n_rows} rows, expected {n}")));
        }
        out.flush()
    })
}

fn shape_error(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// A number that an array can be written of.
pub trait Number: Copy {
    /// Its type, as the header says it.
    const KIND: &'static str;

    /// Appends its little-endian bytes.
    fn put(self, bytes: &mut Vec<u8>);
}

impl Number for f64 {
    const KIND: &'static str = "<f8";

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Number for u64 {
    const KIND: &'static str = "<u8";

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Number for i64 {
    const KIND: &'static str = "<i8";

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

/// Writes an array of any shape, row-major, NPY format 1.0.
///
/// # Errors
/// When the file cannot be written, or the shape has another number of values; no file is left then.
pub fn write_numbers<T: Number>(commits: &Commits, path: &Path, shape: &[usize], values: &[T]) -> io::Result<()> {
    let n: usize = shape.iter().product();
    if n != values.len() {
        return Err(shape_error(&format!("{} values, expected {n}", values.len())));
    }
    commits.write(path, |file| {
        let mut out = BufWriter::new(file);
        out.write_all(&header(T::KIND, shape))?;
        let mut bytes = Vec::new();
        for part in values.chunks(WRITTEN_AT_ONCE) {
            bytes.clear();
            part.iter().for_each(|value| value.put(&mut bytes));
            out.write_all(&bytes)?;
        }
        out.flush()
    })
}

/// Numbers of which the bytes are in memory at once while they are written.
const WRITTEN_AT_ONCE: usize = 1 << 13;

/// Magic, version, length and description; the data begins at a multiple of 64 bytes.
fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let header = Header { kind: kind.to_owned(), shape: shape.to_vec(), is_by_columns: false, data_start: 0 };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {}, }}", header.shape_text());
    let unpadded = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    // A few numbers of at most twenty digits keep it far below 2^16.
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [MAGIC, b"\x01\x00", &len.to_le_bytes()[..], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_numpy_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        write(&Commits::new(), &path, (2, 2), [Some(&[1.0_f32, -2.5][..]), None]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(&bytes[10..70], b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), } ");
        assert_eq!(bytes[127], b'\n');
        assert_eq!(&bytes[128..136], &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
        let last = f32::from_le_bytes(bytes[140..144].try_into().unwrap());
        assert!(last.is_nan() && bytes.len() == 144);
    }

    #[test]
    fn numbers_of_any_shape_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        write_numbers(&Commits::new(), &path, &[3], &[1_u64, 2, 1 << 40]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.kind.as_str(), &header.shape[..], header.data_start), ("<u8", &[3][..], 128));
        assert_eq!(&bytes[144..], (1_u64 << 40).to_le_bytes());
        write_numbers(&Commits::new(), &path, &[2, 1], &[0.5, -1.0]).unwrap();
        assert_eq!(parse(&std::fs::read(&path).unwrap()).unwrap().values, [0.5, -1.0]);
        let error = write_numbers(&Commits::new(), &path, &[2, 2], &[0.5]).unwrap_err();
        assert_eq!(error.to_string(), "1 values, expected 4");
    }

    /// A file with a header and the bytes of some numbers.
    fn file(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), data].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let rows = [[1.0_f32, -2.5, 3.0], [0.0, 5.5, -1e-3]];
        write(&Commits::new(), &path, (2, 3), rows.iter().map(|row| Some(&row[..]))).unwrap();
        assert_eq!(crate::vectors::read(&path).unwrap(), Matrix { n: 2, dim: 3, values: rows.concat() });
    }

    #[test]
    fn other_types_and_orders_are_read() {
        let expected = Matrix { n: 2, dim: 2, values: vec![1.0, 2.0, 3.0, 4.0] };
        let f64s: Vec<u8> = [1.0_f64, 3.0, 2.0, 4.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(parse(&file("'<f8'", "True", "(2, 2)", &f64s)).unwrap(), expected);
        let f16s: Vec<u8> = [1.0, 2.0, 3.0, 4.0].iter().flat_map(|it| f16::from_f32(*it).to_le_bytes()).collect();
        assert_eq!(parse(&file("'<f2'", "False", "(2, 2)", &f16s)).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |file: &[u8]| parse(file).unwrap_err();
        assert_eq!(error(b"PK\x03\x04"), "not a NumPy file of version 1 to 3");
        let one = file("'<f4'", "False", "(4,)", &[0; 16]);
        assert_eq!(error(&one), "an array of shape (4,), expected two dimensions: vectors and their numbers");
        let whole = file("'<i8'", "False", "(1, 2)", &[0; 16]);
        assert_eq!(error(&whole), "numbers of type `<i8`, expected `<f2`, `<f4` or `<f8`");
        let record = file("[('a', '<f4')]", "False", "(1, 2)", &[0; 8]);
        assert_eq!(error(&record), "numbers of type `a record`, expected `<f2`, `<f4` or `<f8`");
        assert_eq!(error(&file("'<f4'", "False", "(2, 2)", &[0; 12])), "3 numbers, expected 2 vectors of 2");
        for order in ["True", "False"] {
            let none = file("'<f4'", order, "(1000000000000000000, 0)", &[]);
            assert_eq!(error(&none), "vectors of 0 numbers, expected at least 1");
            assert!(
                error(&file("'<f4'", order, "(4611686018427387905, 4)", &[0; 16])).starts_with("4 numbers, expected")
            );
        }
        let whole = file("'<f4'", "False", "(1, 1)", &[0; 4]);
        (0..whole.len()).for_each(|end| assert!(parse(&whole[..end]).is_err(), "{end} bytes"));
    }

    #[test]
    fn another_shape_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let error = write(&Commits::new(), &path, (1, 2), [Some(&[1.0_f32][..])]).unwrap_err();
        assert_eq!(error.to_string(), "row 0 has 1 values, expected 2");
        let error = write(&Commits::new(), &path, (2, 1), [None]).unwrap_err();
        assert_eq!(error.to_string(), "1 rows, expected 2");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
