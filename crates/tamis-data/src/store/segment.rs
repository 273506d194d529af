//! The one file format of the store: some records of one producer, never changed once written.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `tamisseg` |
//! | 4 | version of this format, 1 |
//! | 32 | id of the producer |
//! | 8 | number of records |
//! | 40 each | hash of the content (32), length of the record (8) |
//! | the lengths together | the records, in the order of the index |
//! | 32 | BLAKE3 of everything before |

use std::io::{self, BufReader, BufWriter, Read, Write};

use tamis_core::Digest;

const MAGIC: &[u8; 8] = b"tamisseg";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 8 + 4 + 32 + 8;
const ENTRY_BYTES: usize = 32 + 8;
const TRAILER_BYTES: usize = 32;

/// Bytes that go to the system or come from it at once.
const BUFFER_BYTES: usize = 1 << 18;

/// Where in its file the record of a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Digest,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A segment to be written.
pub(super) struct Segment<'a> {
    /// Everything before the records.
    head: Vec<u8>,
    records: &'a [(Digest, &'a [u8])],
    hash: blake3::Hash,
}

impl<'a> Segment<'a> {
    /// Puts the index together and hashes; the records stay where they are.
    pub(super) fn new(producer: &Digest, records: &'a [(Digest, &'a [u8])]) -> Self {
        let mut head = Vec::with_capacity(HEAD_BYTES + records.len() * ENTRY_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&producer.0);
        head.extend_from_slice(&(records.len() as u64).to_le_bytes());
        for (content, record) in records {
            head.extend_from_slice(&content.0);
            head.extend_from_slice(&(record.len() as u64).to_le_bytes());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head);
        for (_, record) in records {
            hasher.update(record);
        }
        Self { head, records, hash: hasher.finalize() }
    }

    /// A name that equal segments share.
    pub(super) fn file_name(&self) -> String {
        format!("{:016x}.seg", Digest(*self.hash.as_bytes()).prefix())
    }

    /// Where the records will be, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.records.iter().scan(self.head.len() as u64, |end, (content, record)| {
            let entry = Entry { content: *content, offset: *end, length: record.len() as u64 };
            *end += entry.length;
            Some(entry)
        })
    }

    pub(super) fn write_to(&self, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
        out.write_all(&self.head)?;
        for (_, record) in self.records {
            out.write_all(record)?;
        }
        out.write_all(self.hash.as_bytes())?;
        out.flush()
    }
}

/// Reads a segment of `n_bytes` to its end, checks its hash and returns its index.
///
/// `None` where it is damaged, of another version or of another producer. Memory: the index and a constant.
///
/// # Errors
/// What the system says; that the input ends early is damage.
pub(super) fn read(input: impl Read, n_bytes: u64, producer: &Digest) -> io::Result<Option<Vec<Entry>>> {
    match read_whole(BufReader::with_capacity(BUFFER_BYTES, input), n_bytes, producer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        other => other,
    }
}

fn read_whole(mut input: impl Read, n_bytes: u64, producer: &Digest) -> io::Result<Option<Vec<Entry>>> {
    let mut head = [0; HEAD_BYTES];
    input.read_exact(&mut head)?;
    let (description, count) = head.split_at(HEAD_BYTES - 8);
    if description != [MAGIC, &VERSION.to_le_bytes()[..], &producer.0].concat() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head);
    // Nothing is believed before the hash was seen: memory grows with the entries that are there, not with their number,
    // and each must end inside the file.
    let count = number(count);
    let payload = count.checked_mul(ENTRY_BYTES as u64).and_then(|it| it.checked_add(HEAD_BYTES as u64));
    let (Some(mut offset), Some(end)) = (payload, n_bytes.checked_sub(TRAILER_BYTES as u64)) else { return Ok(None) };
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut entry = [0; ENTRY_BYTES];
        input.read_exact(&mut entry)?;
        hasher.update(&entry);
        let mut content = Digest([0; 32]);
        content.0.copy_from_slice(&entry[..32]);
        let length = number(&entry[32..]);
        entries.push(Entry { content, offset, length });
        match offset.checked_add(length).filter(|it| *it <= end) {
            Some(next) => offset = next,
            None => return Ok(None),
        }
    }
    if offset != end {
        return Ok(None);
    }
    let payload = end - (HEAD_BYTES + entries.len() * ENTRY_BYTES) as u64;
    hasher.update_reader(input.by_ref().take(payload))?;
    let mut trailer = [0; TRAILER_BYTES];
    input.read_exact(&mut trailer)?;
    Ok((hasher.finalize() == trailer).then_some(entries))
}

/// A number of eight bytes.
fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("because the callers cut eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRODUCER: Digest = Digest([7; 32]);

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn bytes(records: &[(Digest, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Segment::new(&PRODUCER, records).write_to(&mut bytes).unwrap();
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
        read(bytes, bytes.len() as u64, &PRODUCER).unwrap()
    }

    #[test]
    fn the_index_comes_back() {
        let records: [(Digest, &[u8]); 3] = [(digest(2), b"two"), (digest(0), b""), (digest(1), b"one")];
        let bytes = bytes(&records);
        let entries = parse(&bytes).unwrap();
        assert_eq!(entries, Segment::new(&PRODUCER, &records).entries().collect::<Vec<_>>());
        let range = |it: &Entry| it.offset as usize..(it.offset + it.length) as usize;
        let back: Vec<_> = entries.iter().map(|it| (it.content, &bytes[range(it)])).collect();
        assert_eq!(back, records);
        assert_eq!(bytes.len(), HEAD_BYTES + 3 * ENTRY_BYTES + 6 + TRAILER_BYTES);
    }

    #[test]
    fn another_producer_or_version_is_none() {
        let bytes = bytes(&[(digest(1), b"one")]);
        assert!(read(&bytes[..], bytes.len() as u64, &digest(8)).unwrap().is_none());
        let mut newer = bytes;
        newer[8] = 2;
        let end = newer.len() - TRAILER_BYTES;
        let hash = blake3::hash(&newer[..end]);
        newer[end..].copy_from_slice(hash.as_bytes());
        assert!(parse(&newer).is_none());
    }

    #[test]
    fn a_number_of_records_beyond_the_end_is_none() {
        for count in [2, u64::MAX / 40, u64::MAX] {
            let mut bytes = bytes(&[(digest(1), b"one")]);
            bytes[HEAD_BYTES - 8..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
            assert!(parse(&bytes).is_none());
        }
    }

    #[test]
    fn errors_of_the_system_are_not_damage() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        assert_eq!(read(Broken, 100, &PRODUCER).unwrap_err().to_string(), "the disk is gone");
    }

    proptest! {
        #[test]
        fn any_flipped_bit_or_cut_is_seen(records: Vec<(u8, Vec<u8>)>, at: prop::sample::Index, bit in 0_u32..8) {
            let records: Vec<_> = records.iter().map(|(n, record)| (digest(*n), record.as_slice())).collect();
            let mut bytes = bytes(&records);
            prop_assert_eq!(parse(&bytes).unwrap().len(), records.len());
            let at = at.index(bytes.len());
            prop_assert!(parse(&bytes[..at]).is_none());
            bytes[at] ^= 1 << bit;
            prop_assert!(parse(&bytes).is_none());
        }

        #[test]
        fn arbitrary_bytes_never_panic(tail: Vec<u8>, count: u64, n_bytes: u64, has_head: bool) {
            let head = [MAGIC, &VERSION.to_le_bytes()[..], &PRODUCER.0, &count.to_le_bytes()].concat();
            let bytes = if has_head { [head, tail].concat() } else { tail };
            prop_assert!(parse(&bytes).is_none());
            prop_assert!(read(&bytes[..], n_bytes, &PRODUCER).unwrap().is_none());
        }
    }
}
