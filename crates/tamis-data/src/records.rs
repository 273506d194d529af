//! Records of text files, byte for byte: cut from their file, taken or left, and put together again.
//!
//! What is cut is all there is: the pieces of a file, one after the other, are the file.

use std::io::{self, BufRead, BufReader, Cursor, Read as _};

use crate::formats::FileSpec;
use crate::rewrite::{Edit, Part, RewriteError};
use crate::stream::{self, BOM, MAX_RECORD_BYTES};
use crate::writers::{Sink, Target, Written, check_count, check_unchanged};

/// What a piece of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// What a file begins with: a byte-order mark, a header.
    Head,
    /// A record, with its line break.
    Record,
    /// What stands between records and is none, e.g. a blank line.
    Between,
}

/// Cuts files of one format.
pub(crate) trait Cut {
    /// Reads the next piece into `piece`, which is empty; `None` at the end.
    ///
    /// # Errors
    /// Why the file cannot be read on; [`io::ErrorKind::FileTooLarge`] for a record that is longer than the limit.
    fn next(&mut self, reader: &mut dyn BufRead, piece: &mut Vec<u8>) -> io::Result<Option<Piece>>;

    /// Whether blank lines are counted as rows: rows are lines then, and records otherwise.
    fn counts_lines(&self) -> bool;

    /// Changes values of a record.
    ///
    /// # Errors
    /// Why that cannot be done.
    fn edit(&self, record: &mut Vec<u8>, edits: &[Edit]) -> Result<(), String>;

    /// Names of the columns once the head went by; `None` where each record may have others.
    fn columns(&self) -> Option<Vec<String>> {
        None
    }
}

/// Writes the records of all parts.
pub(crate) fn write(
    parts: &[Part],
    target: &Target<'_>,
    cut: impl Fn(&FileSpec) -> Result<Box<dyn Cut>, RewriteError>,
) -> Result<Vec<Written>, RewriteError> {
    let is_gzip = target.is_gzip(parts);
    let mut out = Joined { sink: Sink::create(target, is_gzip)?, line_break: b"\n", ends_open: false };
    let mut columns = None;
    for (idx, part) in parts.iter().enumerate() {
        let mut cut = cut(&part.file)?;
        write_part(part, idx == 0, &mut *cut, &mut out)?;
        let own = cut.columns();
        if idx == 0 {
            columns = own;
        } else if own != columns {
            let (path, first) = (part.file.path.display(), parts[0].file.path.display());
            let what = format!("rows of `{path}` cannot go to the file of `{first}`: they have other columns");
            return Err(RewriteError::unfit(what, "leave these rows in their split, or bring the columns into line"));
        }
    }
    Ok(vec![out.sink.finish()?])
}

/// What is being put together.
struct Joined<'a> {
    sink: Sink<'a>,
    /// How lines end, by the last one that did.
    line_break: &'static [u8],
    /// Whether the last piece has no line break.
    ends_open: bool,
}

impl Joined<'_> {
    fn put(&mut self, piece: &[u8]) -> Result<(), RewriteError> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.ends_open {
            self.sink.put(self.line_break)?;
        }
        self.sink.put(piece)?;
        self.ends_open = !piece.ends_with(b"\n") && !piece.ends_with(b"\r");
        if !self.ends_open {
            self.line_break = match piece {
                [.., b'\r', b'\n'] => b"\r\n",
                [.., b'\r'] => b"\r",
                _ => b"\n",
            };
        }
        Ok(())
    }
}

fn write_part(part: &Part, is_first: bool, cut: &mut dyn Cut, out: &mut Joined<'_>) -> Result<(), RewriteError> {
    let unread = |row: Option<u64>, error: &io::Error| RewriteError::Source {
        path: part.file.path.clone(),
        row,
        what: format!("{error}, expected more records"),
    };
    let (mut reader, meter) =
        stream::open_whole(&part.file.path, part.file.is_gzip).map_err(|error| unread(None, &error))?;
    let mut mark = Vec::new();
    reader.by_ref().take(BOM.len() as u64).read_to_end(&mut mark).map_err(|error| unread(None, &error))?;
    if mark == BOM {
        mark.clear();
        if is_first {
            // No line ends with it.
            out.sink.put(BOM)?;
        }
    }
    let mut reader = BufReader::with_capacity(128 * 1024, Cursor::new(mark).chain(reader));
    let mut piece = Vec::new();
    let (mut row, mut n_taken) = (0, 0);
    loop {
        piece.clear();
        let is_taken = part.rows.take(row + 1);
        match cut.next(&mut reader, &mut piece) {
            Ok(None) => break,
            Ok(Some(Piece::Head)) if is_first => out.put(&piece)?,
            Ok(Some(Piece::Head)) => {}
            Ok(Some(Piece::Between)) => {
                row += u64::from(cut.counts_lines());
                if part.rows.is_whole_file() {
                    out.put(&piece)?;
                }
            }
            Ok(Some(Piece::Record)) => {
                row += 1;
                if is_taken {
                    if let Some(edits) = part.edits.get(&row) {
                        cut.edit(&mut piece, edits).map_err(|why| {
                            let what = format!("cannot change row {row} of `{}`: {why}", part.file.path.display());
                            RewriteError::unfit(what, "leave this sample as it is")
                        })?;
                    }
                    out.put(&piece)?;
                    n_taken += 1;
                }
            }
            // A record of this length that goes need not be read whole.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge && !is_taken => row += 1,
            Err(error) if is_taken => return Err(unread(Some(row + 1), &error)),
            // The unreadable sample that goes stood for the rest of the file.
            Err(_) => break,
        }
    }
    check_count(part, n_taken)?;
    let blake3 = meter.hash().map_err(|error| unread(None, &error))?;
    check_unchanged(part, &blake3)
}

/// Cuts lines: every one is a record.
#[derive(Debug)]
pub(crate) struct Lines;

impl Cut for Lines {
    fn next(&mut self, reader: &mut dyn BufRead, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        Ok(next_line(reader, piece)?.then_some(Piece::Record))
    }

    fn counts_lines(&self) -> bool {
        true
    }

    fn edit(&self, _record: &mut Vec<u8>, _edits: &[Edit]) -> Result<(), String> {
        Err("lines of text have no columns".to_owned())
    }
}

/// Reads one line with its line break; `false` at the end.
pub(crate) fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let max_bytes = MAX_RECORD_BYTES as u64 + 1;
    let n = (&mut *reader).take(max_bytes).read_until(b'\n', line)?;
    if n as u64 == max_bytes && !line.ends_with(b"\n") {
        line.clear();
        stream::skip_line(reader)?;
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, stream::too_long("line")));
    }
    Ok(n != 0)
}
