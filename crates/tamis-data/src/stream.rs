//! Reading a file once: its bytes are hashed and counted as they go by, unpacked where they are gzip, and freed of a
//! byte-order mark.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;

use crate::formats::io_reason;

/// Size of one read; large enough that the hash works on whole chunks.
const BUFFER_BYTES: usize = 128 * 1024;

/// Longest line or record that is kept in memory; longer ones are findings. A CSV field whose quote is never closed
/// would otherwise take in the whole file.
pub(crate) const MAX_RECORD_BYTES: usize = 256 << 20;

/// UTF-8's byte-order mark.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What went by in a stream.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    path: PathBuf,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Meter {
    /// Bytes of the file read so far, before unpacking.
    pub(crate) fn bytes(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Hash of the whole file; reads it again where the stream was left before its end.
    pub(crate) fn hash(&self) -> io::Result<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.bytes == std::fs::metadata(&self.path)?.len() {
            return Ok(seen.hasher.finalize().to_hex().to_string());
        }
        hash_file(&self.path)
    }
}

/// Reads a whole file that a table names. A table may name anything: devices and pipes, which never end, are refused.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let is_file = std::fs::metadata(path).map_err(|it| io_reason(&it))?.is_file();
    if !is_file {
        return Err("is no file, expected an image file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|it| io_reason(&it))?;
    file.take(MAX_RECORD_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|it| io_reason(&it))?;
    if MAX_RECORD_BYTES < bytes.len() { Err(too_long("file")) } else { Ok(bytes) }
}

/// BLAKE3 of a file in hexadecimal, in bounded memory.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn hash_file(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..n]);
    }
}

/// Opens a file for reading from its beginning, without a byte-order mark.
pub(crate) fn open(path: &Path, gzip: bool) -> io::Result<(Box<dyn BufRead + Send>, Meter)> {
    let (mut unpacked, meter) = open_whole(path, gzip)?;
    let mut first = Vec::with_capacity(BOM.len());
    unpacked.by_ref().take(BOM.len() as u64).read_to_end(&mut first)?;
    if first == BOM {
        first.clear();
    }
    let whole = Cursor::new(first).chain(unpacked);
    Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, whole)), meter))
}

/// Opens a file for reading from its beginning, every byte of it.
pub(crate) fn open_whole(path: &Path, gzip: bool) -> io::Result<(Box<dyn Read + Send>, Meter)> {
    let seen = Arc::<Mutex<Seen>>::default();
    let tap = BufReader::with_capacity(BUFFER_BYTES, Tap { file: File::open(path)?, seen: Arc::clone(&seen) });
    let unpacked: Box<dyn Read + Send> = if gzip { Box::new(MultiGzDecoder::new(tap)) } else { Box::new(tap) };
    Ok((unpacked, Meter { path: path.to_owned(), seen }))
}

struct Tap {
    file: File,
    seen: Arc<Mutex<Seen>>,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.hasher.update(&buffer[..n]);
        seen.bytes += n as u64;
        Ok(n)
    }
}

/// How reading a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line is in the buffer, without its line break.
    Whole,
    /// The line was longer than the limit and was skipped.
    TooLong,
    /// There is no further line.
    End,
}

/// Reads one line into `line`, at most `max_bytes` of it; `\r\n` counts as one line break.
pub(crate) fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, max_bytes: usize) -> io::Result<Line> {
    line.clear();
    let n = (&mut *reader).take(max_bytes as u64 + 1).read_until(b'\n', line)?;
    if n == 0 {
        return Ok(Line::End);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() && n == max_bytes + 1 {
        line.clear();
        skip_line(reader)?;
        return Ok(Line::TooLong);
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(Line::Whole)
}

/// Says that a line or record is longer than the limit.
pub(crate) fn too_long(unit: &str) -> String {
    format!("a {unit} of more than {} MiB, expected a shorter one", MAX_RECORD_BYTES >> 20)
}

/// Says that a file cannot be read on.
pub(crate) fn broken_off(error: &io::Error, units: &str) -> String {
    format!("cannot be read from here on ({error}), expected more {units}")
}

pub(crate) fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let found = buffer.iter().position(|byte| *byte == b'\n');
        let n = found.map_or(buffer.len(), |at| at + 1);
        reader.consume(n);
        if found.is_some() || n == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lines_end_at_either_line_break_or_the_end() {
        let mut reader = Cursor::new(b"a\r\n\nlonger than eight\nb".to_vec());
        let mut line = Vec::new();
        let mut seen = Vec::new();
        while let Ok(it @ (Line::Whole | Line::TooLong)) = read_line(&mut reader, &mut line, 8) {
            seen.push((it, String::from_utf8(line.clone()).unwrap()));
        }
        let expected = [(Line::Whole, "a"), (Line::Whole, ""), (Line::TooLong, ""), (Line::Whole, "b")];
        assert_eq!(seen, expected.map(|(it, text)| (it, text.to_owned())));
    }

    #[test]
    fn the_hash_is_of_the_packed_bytes_and_the_mark_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gz");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(b"\xef\xbb\xbfhello").unwrap();
        let packed = packer.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        let (mut reader, meter) = open(&path, true).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(meter.hash().unwrap(), blake3::hash(&packed).to_hex().to_string());
        assert_eq!(meter.bytes(), packed.len() as u64);
    }
}
