//! Vectors as a `NumPy` file.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::atomic::Commits;

/// Writes an array of shape `(n, dim)`, f32, little-endian, row-major, NPY format 1.0.
///
/// `rows` gives `n` rows of `dim` values; `None`, for a sample without a vector, becomes a row of NaN.
///
/// The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
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
        out.write_all(&header(n, dim))?;
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

/// Magic, version, length and description; the data begins at a multiple of 64 bytes.
fn header(n: usize, dim: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {dim}), }}");
    let unpadded = 10 + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    // Two numbers of at most twenty digits keep it far below 2^16.
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [b"\x93NUMPY\x01\x00", &len.to_le_bytes()[..], text.as_bytes()].concat()
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
