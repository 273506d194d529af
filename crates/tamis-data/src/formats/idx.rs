//! The idx files of MNIST and its kin: images in one file, their labels in another beside it.
//!
//! The format is the one at the end of the page of the MNIST database ("THE IDX FILE FORMAT", by `LeCun`, Cortes and
//! Burges): two zero bytes, a type, the number of dimensions, each dimension as a big-endian 32-bit number, then the values. Read are
//! unsigned bytes: `(n, height, width)` grey or `(n, height, width, 3)` color, and labels `(n,)`.

use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileSpec, Format, Head, Records, io_reason};
use crate::row::{Cell, Picture, RawPixels, RawRow, Row};
use crate::stream::{self, MAX_RECORD_BYTES, Meter};

/// The format.
#[derive(Debug)]
pub(crate) struct Idx;

/// Unsigned bytes, the only type that images come in.
const UNSIGNED_BYTE: u8 = 8;

impl Format for Idx {
    fn id(&self) -> &'static str {
        "idx"
    }

    fn summary(&self) -> &'static str {
        "images of an idx file, as of MNIST"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["idx3-ubyte", "idx4-ubyte"]
    }

    fn is_table(&self) -> bool {
        true
    }

    fn certain_sign(&self, head: &Head) -> Option<&'static str> {
        let shape = shape_in(&head.bytes)?;
        let is_plausible = (3..=4).contains(&shape.len()) && shape[1..].iter().all(|it| (1..=65_535).contains(it));
        is_plausible.then_some("it begins like an idx file of images")
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        let (mut reader, meter) = stream::open(&file.path, file.is_gzip).map_err(|it| io_reason(&it))?;
        let shape = read_shape(&mut *reader)?;
        let (n, height, width, channels) = match shape[..] {
            [n, height, width] => (n, height, width, 1),
            [n, height, width, 1] => (n, height, width, 1),
            [n, height, width, 3] => (n, height, width, 3),
            _ => {
                return Err(format!(
                    "an idx file of shape {shape:?}, expected (n, height, width) or (n, height, width, 3)"
                ));
            }
        };
        let size_bytes = u64::from(height) * u64::from(width) * u64::from(channels);
        if size_bytes == 0 || MAX_RECORD_BYTES as u64 <= size_bytes {
            return Err(format!(
                "images of {width} x {height} pixels, expected at least 1 and fewer than 256 Mi values"
            ));
        }
        let labels = match labels_beside(&file.path) {
            Some(path) => Labels::open(&path, n)?,
            None => Labels::default(),
        };
        let size_bytes = usize::try_from(size_bytes).unwrap_or(MAX_RECORD_BYTES);
        Ok(Box::new(Images { reader, meter, size: (width, height, channels), size_bytes, n, next: 0, labels }))
    }
}

/// The shape that a file begins with, if it is one of unsigned bytes.
fn shape_in(bytes: &[u8]) -> Option<Vec<u32>> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let [0, 0, UNSIGNED_BYTE, n_dims @ 1..=4] = *head else { return None };
    let dims = rest.get(..4 * usize::from(n_dims))?;
    Some(dims.as_chunks::<4>().0.iter().map(|it| u32::from_be_bytes(*it)).collect())
}

pub(crate) fn read_shape(reader: &mut dyn BufRead) -> Result<Vec<u32>, String> {
    let expected = "expected the header of an idx file of unsigned bytes";
    let mut head = vec![0; 4];
    let cut = |error: io::Error| format!("cannot be read ({error}), {expected}");
    reader.read_exact(&mut head).map_err(cut)?;
    head.resize(4 + 4 * usize::from(head[3].min(4)), 0);
    reader.read_exact(&mut head[4..]).map_err(cut)?;
    shape_in(&head).ok_or_else(|| format!("it begins with {:02x?}, {expected}", &head[..4]))
}

/// Whether a file beside images holds their labels, by its name.
pub(crate) fn is_labels_name(name: &str) -> bool {
    name.contains("labels") && name.contains("idx1")
}

/// The files that are read together with one of this format: its labels.
pub(crate) fn beside(format: Option<&&'static dyn Format>, path: &Path) -> Vec<PathBuf> {
    format.filter(|it| it.id() == Idx.id()).and_then(|_| labels_beside(path)).into_iter().collect()
}

/// The file of labels beside a file of images: `train-labels-idx1-ubyte` for `train-images-idx3-ubyte`, packed or not.
pub(crate) fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let labels = labels_name(stem);
    let beside = [labels.clone(), format!("{labels}.gz")].map(|it| path.with_file_name(it));
    beside.into_iter().find(|it| labels != stem && it.is_file())
}

/// What the file of labels is called beside a file of images of this name.
pub(crate) fn labels_name(images: &str) -> String {
    images.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
}

/// One byte for each image; empty where there is no file of labels.
#[derive(Debug, Default)]
struct Labels(Vec<u8>);

impl Labels {
    fn open(path: &Path, n_images: u32) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_gzip = path.extension().is_some_and(|it| it == "gz");
        let (mut reader, _) =
            stream::open(path, is_gzip).map_err(|it| format!("labels `{name}` {}", io_reason(&it)))?;
        let shape = read_shape(&mut *reader).map_err(|reason| format!("labels `{name}`: {reason}"))?;
        if shape[..] != [n_images] {
            return Err(format!("labels `{name}` have the shape {shape:?}, expected [{n_images}]: one for each image"));
        }
        let mut values = Vec::new();
        reader.take(n_images.into()).read_to_end(&mut values).map_err(|it| format!("labels `{name}`: {it}"))?;
        match u32::try_from(values.len()) == Ok(n_images) {
            true => Ok(Self(values)),
            false => {
                Err(format!("labels `{name}` end after {} of {n_images}, expected one for each image", values.len()))
            }
        }
    }
}

struct Images {
    reader: Box<dyn BufRead + Send>,
    meter: Meter,
    /// Width, height and channels.
    size: (u32, u32, u8),
    size_bytes: usize,
    n: u32,
    next: u32,
    labels: Labels,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("meter", &self.meter).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Records for Images {
    fn next_row(&mut self) -> Option<RawRow> {
        if self.n <= self.next {
            return None;
        }
        let label = self.labels.0.get(self.next as usize).copied();
        self.next += 1;
        let row = Some(u64::from(self.next));
        let mut values = vec![0; self.size_bytes];
        if let Err(error) = self.reader.read_exact(&mut values) {
            let what = format!("cannot be read from image {} on ({error}), expected {} images", self.next, self.n);
            self.next = self.n;
            return Some(RawRow::bad(row, what));
        }
        let (width, height, channels) = self.size;
        let decode = move || {
            let image = RawPixels { width, height, channels, values };
            let mut cells = vec![(Arc::from("image"), Cell::Image(Picture::Raw(image)))];
            cells.extend(label.map(|label| (Arc::from("label"), Cell::Scalar(label.to_string()))));
            Ok(Row { cells, file_hash: None })
        };
        Some(RawRow { row, size_bytes: self.size_bytes, decode: Box::new(decode) })
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        let label = (!self.labels.0.is_empty()).then(|| Arc::from("label"));
        Some([Some(Arc::from("image")), label].into_iter().flatten().collect())
    }

    fn bytes_read(&self) -> u64 {
        self.meter.bytes()
    }

    fn hash(&mut self) -> Option<String> {
        self.meter.hash().ok()
    }

    fn notes(&self) -> Vec<String> {
        match self.labels.0.is_empty() {
            true => vec!["no file of labels lies beside it, so its images have none".to_owned()],
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_read_from_the_header() {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28];
        assert_eq!(shape_in(&bytes), Some(vec![2, 28, 28]));
        bytes[2] = 13; // floating-point numbers
        assert_eq!(shape_in(&bytes), None);
        assert_eq!(shape_in(&bytes[..7]), None);
    }

    #[test]
    fn labels_are_looked_for_beside_their_images() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("train-images-idx3-ubyte");
        assert_eq!(labels_beside(&images), None);
        std::fs::write(dir.path().join("train-labels-idx1-ubyte.gz"), []).unwrap();
        assert_eq!(labels_beside(&images), Some(dir.path().join("train-labels-idx1-ubyte.gz")));
        assert!(is_labels_name("t10k-labels-idx1-ubyte"));
    }
}
