//! The idx files of MNIST and its kin: headers with new counts, pixels and labels as they stand.

use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{Sink, Target, Writer, Written, check_count, check_unchanged, is_gzip_name};
use crate::formats::idx;
use crate::rewrite::{Edit, Part, RewriteError};
use crate::stream;

/// The writer.
#[derive(Debug)]
pub(crate) struct Idx;

/// What a file of unsigned bytes begins with; the number of dimensions follows.
const MAGIC: [u8; 3] = [0, 0, 8];

impl Writer for Idx {
    fn id(&self) -> &'static str {
        "idx"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        let n_rows: u64 = parts.iter().map(|it| it.n_rows).sum();
        let mut images = Sink::create(target, target.is_gzip(parts))?;
        let mut labels: Vec<u8> = Vec::new();
        let mut sizes = None;
        for part in parts {
            let mut source = Source::open(part)?;
            match &sizes {
                None => {
                    images.put(&header(n_rows, &source.sizes, part)?)?;
                    sizes = Some(source.sizes.clone());
                }
                Some(sizes) if *sizes == source.sizes => {}
                Some(sizes) => {
                    let path = part.file.path.display();
                    let what = format!("images of `{path}` have the size {:?}, expected {sizes:?}", source.sizes);
                    return Err(RewriteError::unfit(what, "leave these images in their split"));
                }
            }
            source.copy(part, &mut images, &mut labels)?;
        }
        let mut written = vec![images.finish()?];
        if !labels.is_empty() {
            let name = target.path().file_name().unwrap_or_default().to_string_lossy();
            let beside = target.beside(&idx::labels_name(&name));
            if beside.path() == target.path() {
                let what =
                    format!("no file of labels can be named beside `{name}`, which does not say `images` or `idx3`");
                return Err(RewriteError::unfit(what, "give the files of all splits as input"));
            }
            // The reader goes by its name.
            let mut out = Sink::create(&beside, is_gzip_name(beside.path()))?;
            out.put(&header(n_rows, &[], &parts[0])?)?;
            out.put(&labels)?;
            written.push(out.finish()?);
        }
        Ok(written)
    }
}

/// The header of a file of `n` things, each of these sizes.
fn header(n: u64, sizes: &[u32], part: &Part) -> Result<Vec<u8>, RewriteError> {
    let path = part.file.path.display();
    let too_many = || RewriteError::unfit(format!("{n} images do not go into one file like `{path}`"), "make fewer");
    let n = u32::try_from(n).map_err(|_| too_many())?;
    let n_dims = u8::try_from(1 + sizes.len()).map_err(|_| too_many())?;
    let mut header = MAGIC.to_vec();
    header.push(n_dims);
    header.extend([n].iter().chain(sizes).flat_map(|it| it.to_be_bytes()));
    Ok(header)
}

/// An input file behind its header.
struct Source {
    reader: BufReader<Box<dyn Read + Send>>,
    meter: stream::Meter,
    /// Number of images.
    n: u32,
    /// Height, width and channels of each.
    sizes: Vec<u32>,
    labels: Option<Vec<u8>>,
}

impl Source {
    fn open(part: &Part) -> Result<Self, RewriteError> {
        let path = &part.file.path;
        let unread = |what: String| RewriteError::Source { path: path.clone(), row: None, what };
        let opened = stream::open_whole(path, part.file.is_gzip);
        let (reader, meter) = opened.map_err(|error| unread(format!("{error}, expected a readable file")))?;
        let mut reader = BufReader::with_capacity(128 * 1024, reader);
        let shape = idx::read_shape(&mut reader).map_err(unread)?;
        let (n, sizes) = shape.split_first().ok_or_else(|| unread("no shape, expected images".to_owned()))?;
        let (n, sizes) = (*n, sizes.to_vec());
        let labels = match idx::labels_beside(path) {
            Some(beside) => Some(read_labels(part, &beside)?),
            None => None,
        };
        Ok(Self { reader, meter, n, sizes, labels })
    }

    /// Copies the images and the labels of the rows that are taken.
    fn copy(&mut self, part: &Part, images: &mut Sink<'_>, labels: &mut Vec<u8>) -> Result<(), RewriteError> {
        let path = &part.file.path;
        let size = self.sizes.iter().map(|it| *it as usize).product();
        let mut image = vec![0; size];
        let mut n_taken = 0;
        for row in 1..=u64::from(self.n) {
            let is_taken = part.rows.take(row);
            match self.reader.read_exact(&mut image) {
                Ok(()) if !is_taken => {}
                Ok(()) => {
                    n_taken += 1;
                    images.put(&image)?;
                    let edit = part.edits.get(&row).and_then(|it| it.last());
                    labels.extend(self.label(row, edit).map_err(|why| {
                        let what = format!("cannot change row {row} of `{}`: {why}", path.display());
                        RewriteError::unfit(what, "labels of idx files are numbers from 0 to 255")
                    })?);
                }
                Err(error) if is_taken => {
                    let what = format!("{error}, expected {} images", self.n);
                    return Err(RewriteError::Source { path: path.clone(), row: Some(row), what });
                }
                // The unreadable sample that goes stood for the rest of the file.
                Err(_) => break,
            }
        }
        check_count(part, n_taken)?;
        let blake3 = self.meter.hash();
        let unread = |error: io::Error| RewriteError::Source { path: path.clone(), row: None, what: error.to_string() };
        check_unchanged(part, &blake3.map_err(unread)?)
    }

    /// The label of a row, as it stands or is to be; `None` where there is no file of labels.
    fn label(&self, row: u64, edit: Option<&Edit>) -> Result<Option<u8>, String> {
        let Some(labels) = &self.labels else { return Ok(None) };
        if let Some(edit) = edit {
            return edit.value.trim().parse().map(Some).map_err(|_| format!("`{}` is no such label", edit.value));
        }
        let at = usize::try_from(row - 1).unwrap_or(usize::MAX);
        labels.get(at).copied().map(Some).ok_or_else(|| "its label is missing".to_owned())
    }
}

fn read_labels(part: &Part, path: &Path) -> Result<Vec<u8>, RewriteError> {
    let unread = |what: String| RewriteError::Source { path: path.to_owned(), row: None, what };
    let failed = |error: io::Error| unread(error.to_string());
    let (mut reader, meter) = stream::open(path, is_gzip_name(path)).map_err(failed)?;
    idx::read_shape(&mut *reader).map_err(unread)?;
    let mut labels = Vec::new();
    reader.read_to_end(&mut labels).map_err(failed)?;
    match part.beside.iter().find(|it| it.0 == path) {
        Some((_, before)) if *before != meter.hash().map_err(failed)? => {
            Err(RewriteError::Changed { path: path.to_owned() })
        }
        _ => Ok(labels),
    }
}
