//! Comma-separated values with a header, and the same with semicolons, tabs or bars.

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{FileSpec, Format, Head, Records, io_reason};
use crate::mend;
use crate::row::{Cell, RawRow, Row};
use crate::stream::{self, MAX_RECORD_BYTES, Meter};

/// The format.
#[derive(Debug)]
pub(crate) struct Csv;

/// Delimiters that are looked for, in order of preference.
const DELIMITERS: [u8; 4] = *b",\t;|";

/// Records that the delimiter is told from.
const SNIFFED_RECORDS: usize = 20;

/// Put after the last byte of the file. A file whose quotes are balanced ends in a record of its own that holds this and
/// nothing else; after a quote that is never closed it is found inside the last field instead.
const END_MARK: &[u8] = b"\n\x1etamis:end\x1e\n";

impl Format for Csv {
    fn id(&self) -> &'static str {
        "csv"
    }

    fn summary(&self) -> &'static str {
        "comma-separated values with a header"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn is_table(&self) -> bool {
        true
    }

    fn likely_sign(&self, head: &Head) -> Option<&'static str> {
        if head.is_binary() {
            return None;
        }
        sniff(head).map(|_| "its first lines have the same number of delimiters")
    }

    fn open(&self, file: &FileSpec) -> Result<Box<dyn Records>, String> {
        open_delimited(file, delimiter(file)?)
    }
}

/// The delimiter of a file.
pub(crate) fn delimiter(file: &FileSpec) -> Result<u8, String> {
    let head = Head::read(&file.path).map_err(|it| io_reason(&it))?;
    Ok(sniff(&head).unwrap_or(b','))
}

/// Names of the columns that a header gives.
pub(crate) fn header_of(header: &[u8], delimiter: u8) -> Vec<String> {
    let mut record = ByteRecord::new();
    // Reading from memory does not fail, and what is no record has no names.
    let _ = builder(delimiter).from_reader(header).read_byte_record(&mut record);
    column_names(&record).iter().map(ToString::to_string).collect()
}

/// Names of columns as they are shown: numbers where there is none, and behind one that repeats.
fn column_names(record: &ByteRecord) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::with_capacity(record.len());
    for (idx, name) in record.iter().enumerate() {
        let name = String::from_utf8_lossy(name);
        let name = match name.trim() {
            "" => format!("column {}", idx + 1),
            name => name.to_owned(),
        };
        let repeats = names.iter().any(|it| **it == *name);
        names.push(if repeats { format!("{name} #{}", idx + 1).into() } else { name.into() });
    }
    names
}

/// The delimiter that gives the first records the same number of fields, at least two; the most fields win.
fn sniff(head: &Head) -> Option<u8> {
    let mut best: Option<(usize, u8)> = None;
    for delimiter in DELIMITERS {
        let mut reader = builder(delimiter).from_reader(Cursor::new(&head.bytes));
        let mut widths: Vec<usize> =
            reader.byte_records().take(SNIFFED_RECORDS).map_while(Result::ok).map(|record| record.len()).collect();
        if !head.is_whole && widths.len() < SNIFFED_RECORDS {
            // The last record was cut.
            widths.pop();
        }
        let Some(width) = widths.first().copied() else { continue };
        let is_table = 2 <= widths.len() && 2 <= width && widths.iter().all(|it| *it == width);
        if is_table && best.is_none_or(|(most, _)| most < width) {
            best = Some((width, delimiter));
        }
    }
    best.map(|(_, delimiter)| delimiter)
}

/// Numbers of fields are compared here and not by the parser, whose message does not say what was expected.
fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true);
    builder
}

/// Opens a file with a given delimiter.
pub(super) fn open_delimited(file: &FileSpec, delimiter: u8) -> Result<Box<dyn Records>, String> {
    if file.size_bytes == 0 {
        return Err("empty file: 0 bytes, expected a header".to_owned());
    }
    let (reader, meter) = stream::open(&file.path, file.is_gzip).map_err(|it| io_reason(&it))?;
    let budget = Arc::new(AtomicUsize::new(MAX_RECORD_BYTES));
    let limited = Limited { reader, budget: Arc::clone(&budget) };
    let whole: Source = limited.chain(Cursor::new(END_MARK));
    let mut records = Table {
        reader: builder(delimiter).from_reader(whole),
        budget,
        meter,
        header: Arc::default(),
        row: 0,
        is_done: false,
    };
    records.header = records.read_header()?;
    Ok(Box::new(records))
}

type Source = io::Chain<Limited, Cursor<&'static [u8]>>;

struct Table {
    reader: Reader<Source>,
    budget: Arc<AtomicUsize>,
    meter: Meter,
    header: Arc<[Arc<str>]>,
    row: u64,
    is_done: bool,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Table");
        out.field("meter", &self.meter).field("header", &self.header).field("row", &self.row).finish_non_exhaustive()
    }
}

/// What stands at the place of a record.
enum Found {
    Record(ByteRecord),
    /// A quote opened in this record is closed nowhere.
    OpenQuote,
    End,
}

impl Table {
    fn read_header(&mut self) -> Result<Arc<[Arc<str>]>, String> {
        let record = match self.read_record() {
            Ok(Found::Record(record)) => record,
            Ok(Found::OpenQuote) => return Err("a quote in the header is never closed, expected a header".to_owned()),
            Ok(Found::End) => return Err("no header, expected the names of the columns in the first record".to_owned()),
            Err(error) => return Err(format!("cannot be read ({error}), expected a header")),
        };
        Ok(column_names(&record).into())
    }

    fn read_record(&mut self) -> Result<Found, String> {
        self.budget.store(MAX_RECORD_BYTES, Ordering::Relaxed);
        let mut record = ByteRecord::new();
        let is_there = self.reader.read_byte_record(&mut record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error.to_string(),
            kind => format!("{kind:?}"),
        })?;
        if !is_there {
            return Ok(Found::End);
        }
        let mark = END_MARK.trim_ascii();
        if record.len() == 1 && record.get(0) == Some(mark) {
            return Ok(Found::End);
        }
        let last = record.iter().next_back().unwrap_or_default();
        if last.trim_ascii_end().ends_with(mark)
            && !self.reader.read_byte_record(&mut ByteRecord::new()).unwrap_or(true)
        {
            return Ok(Found::OpenQuote);
        }
        Ok(Found::Record(record))
    }
}

impl Records for Table {
    fn next_row(&mut self) -> Option<RawRow> {
        if self.is_done {
            return None;
        }
        self.row += 1;
        let row = Some(self.row);
        let line = self.reader.position().line();
        match self.read_record() {
            Ok(Found::Record(record)) => {
                let line = record.position().map_or(line, csv::Position::line);
                let header = Arc::clone(&self.header);
                let size_bytes = record.as_slice().len();
                Some(RawRow { row, size_bytes, decode: Box::new(move || decode(&record, &header, line)) })
            }
            Ok(Found::End) => {
                self.is_done = true;
                None
            }
            Ok(Found::OpenQuote) => {
                self.is_done = true;
                let what = format!("a quote is opened in the record at line {line} and never closed");
                Some(RawRow::bad(row, format!("{what}, expected `\"` before the end of the file")))
            }
            Err(error) => {
                self.is_done = true;
                Some(RawRow::bad(row, format!("cannot be read from line {line} on ({error}), expected more records")))
            }
        }
    }

    fn columns(&self) -> Option<Vec<Arc<str>>> {
        Some(self.header.to_vec())
    }

    fn bytes_read(&self) -> u64 {
        self.meter.bytes()
    }

    fn hash(&mut self) -> Option<String> {
        self.meter.hash().ok()
    }
}

fn decode(record: &ByteRecord, header: &[Arc<str>], line: u64) -> Result<Row, String> {
    if record.len() != header.len() {
        let fields = if record.len() == 1 { "1 field".to_owned() } else { format!("{} fields", record.len()) };
        return Err(format!("{fields} in the record at line {line}, expected {}", header.len()));
    }
    let cells =
        header.iter().zip(record).map(|(name, field)| (Arc::clone(name), Cell::Text(mend::text(field.to_vec()))));
    Ok(Row { cells: cells.collect(), file_hash: None })
}

/// Ends with an error where one record takes more than its budget.
struct Limited {
    reader: Box<dyn BufRead + Send>,
    budget: Arc<AtomicUsize>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 {
            let what = format!("a record of more than {} MiB, perhaps an open quote", MAX_RECORD_BYTES >> 20);
            return Err(io::Error::other(what));
        }
        let n = self.reader.read(buffer)?;
        self.budget.store(left.saturating_sub(n), Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(text: &str) -> Option<char> {
        sniff(&Head { bytes: text.into(), is_whole: true, ..Head::default() }).map(char::from)
    }

    #[test]
    fn the_delimiter_with_most_equal_fields_wins() {
        assert_eq!(sniffed("a;b\n1,5;2\n2,5;3\n"), Some(';'));
        assert_eq!(sniffed("a\tb\tc\n1,0\t2\t3\n"), Some('\t'));
        assert_eq!(sniffed("a,b\n\"x\ny\",2\n"), Some(','));
        assert_eq!(sniffed("a|b\n1|2\n"), Some('|'));
        assert_eq!(sniffed("no table\nhere, really\n"), None);
    }
}
