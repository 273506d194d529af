//! How a decoded picture is kept in a store.
//!
//! One record, little endian: version (1 byte) · width, height (4 + 4) · code of the mode, code of the format (1 + 1) ·
//! phash, the same in seven orientations, dhash (8 + 56 + 8) · hash of the pixels (32) · length and UTF-8 of the note (4 + n; length 0 for none) · width and height
//! of the grey picture and its values (1 + 1 + w h) · length and bytes of the thumbnail (4 + n). Nothing follows.

use tamis_core::{ColorMode, Digest, Grey, ImageFacts};

use super::{Decoded, RAW};
use crate::image::Kind;

/// Version of the layout; the first byte of a record.
const VERSION: u8 = 2;

/// What a record holds apart from pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// What is known of the picture.
    pub facts: ImageFacts,
    /// Hash of the upright pixels.
    pub pixels: Digest,
}

impl Decoded {
    /// Packs everything but what is made only where it is asked for.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        let facts = &self.facts;
        let note = facts.note.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(128 + note.len() + self.grey.values.len() + self.thumbnail.len());
        out.push(VERSION);
        out.extend(facts.width.to_le_bytes());
        out.extend(facts.height.to_le_bytes());
        out.push(super::code(facts.mode));
        out.push(format_code(facts.format));
        out.extend(facts.phash.to_le_bytes());
        out.extend(facts.turned_phashes.iter().flat_map(|hash| hash.to_le_bytes()));
        out.extend(facts.dhash.to_le_bytes());
        out.extend(self.pixels.0);
        put(&mut out, note.as_bytes());
        out.extend([self.grey.width, self.grey.height]);
        out.extend(&self.grey.values);
        put(&mut out, &self.thumbnail);
        out
    }
}

impl ImageRecord {
    /// Takes a record apart; `None` where the bytes are not a whole record of this version.
    #[must_use]
    pub fn parse(record: &[u8]) -> Option<Self> {
        Parts::of(record).map(|parts| Self { facts: parts.facts, pixels: parts.pixels })
    }
}

/// The thumbnail of a record: a PNG or JPEG file. `None` as in [`ImageRecord::parse`].
#[must_use]
pub fn thumbnail_of(record: &[u8]) -> Option<Vec<u8>> {
    Parts::of(record).map(|parts| parts.thumbnail.to_vec())
}

/// The grey picture of a record. `None` as in [`ImageRecord::parse`].
#[must_use]
pub fn grey_of(record: &[u8]) -> Option<Grey> {
    Parts::of(record).map(|parts| Grey { width: parts.grey.0, height: parts.grey.1, values: parts.grey.2.to_vec() })
}

/// The format of [`ImageFacts::format`] that has this name.
#[must_use]
pub fn format_named(name: &str) -> Option<&'static str> {
    formats().find(|it| *it == name)
}

/// Formats in the order of their codes: the kinds, and `raw` for pixels of a table.
fn formats() -> impl Iterator<Item = &'static str> {
    Kind::all().map(Kind::id).chain([RAW])
}

/// A format that no version of this module writes has the code of `raw`.
fn format_code(format: &str) -> u8 {
    let raw = formats().count() - 1;
    // There are fewer than 256 formats.
    formats().position(|it| it == format).unwrap_or(raw) as u8
}

/// Writes a length and then the bytes. None of ours reaches 4 GiB; what would is left out.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len());
    out.extend(length.unwrap_or(0).to_le_bytes());
    if length.is_ok() {
        out.extend(bytes);
    }
}

struct Parts<'a> {
    facts: ImageFacts,
    pixels: Digest,
    grey: (u8, u8, &'a [u8]),
    thumbnail: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(record: &'a [u8]) -> Option<Self> {
        let mut rest = record;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let (width, height) = (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?));
        let [mode, format] = take(&mut rest)?;
        let mode = *ColorMode::ALL.get(usize::from(mode))?;
        let format = formats().nth(usize::from(format))?;
        let phash = u64::from_le_bytes(take(&mut rest)?);
        let mut turned_phashes = [0; 7];
        for hash in &mut turned_phashes {
            *hash = u64::from_le_bytes(take(&mut rest)?);
        }
        let dhash = u64::from_le_bytes(take(&mut rest)?);
        let pixels = Digest(take(&mut rest)?);
        let note = std::str::from_utf8(block(&mut rest)?).ok()?;
        let note = (!note.is_empty()).then(|| note.to_owned());
        let [grey_width, grey_height] = take(&mut rest)?;
        let values = slice(&mut rest, usize::from(grey_width) * usize::from(grey_height))?;
        let thumbnail = block(&mut rest)?;
        let facts = ImageFacts { width, height, mode, format, phash, turned_phashes, dhash, note };
        rest.is_empty().then_some(Self { facts, pixels, grey: (grey_width, grey_height, values), thumbnail })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn block<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?);
    slice(rest, length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Decoded {
        Decoded {
            facts: ImageFacts {
                width: 70_000,
                height: 2,
                mode: ColorMode::Rgba16,
                format: "gif",
                phash: 1 << 63 | 5,
                turned_phashes: [1, 2, 3, 4, 5, 6, u64::MAX],
                dhash: 77,
                note: Some("the first of 3 frames".to_owned()),
            },
            pixels: Digest([9; 32]),
            grey: Grey { width: 3, height: 2, values: vec![1, 2, 3, 4, 5, 6] },
            thumbnail: b"file".to_vec(),
            input: None,
            pdq: None,
        }
    }

    #[test]
    fn records_come_back() {
        let mut decoded = example();
        for (format, mode) in formats().zip(ColorMode::ALL.into_iter().cycle()) {
            decoded.facts.format = format;
            decoded.facts.mode = mode;
            let record = decoded.to_record();
            let expected = ImageRecord { facts: decoded.facts.clone(), pixels: decoded.pixels };
            assert_eq!(ImageRecord::parse(&record), Some(expected));
            assert_eq!(thumbnail_of(&record).as_deref(), Some(b"file".as_slice()));
            assert_eq!(grey_of(&record), Some(decoded.grey.clone()));
            decoded.facts.note = None;
        }
    }

    #[test]
    fn records_that_are_cut_or_continued_are_none() {
        let record = example().to_record();
        for end in 0..record.len() {
            assert_eq!(ImageRecord::parse(&record[..end]), None, "{end} of {} bytes", record.len());
        }
        assert_eq!(ImageRecord::parse(&[record.as_slice(), b"x"].concat()), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), as_version in any::<bool>()) {
            let mut bytes = bytes;
            if let (true, Some(first)) = (as_version, bytes.first_mut()) {
                *first = VERSION;
            }
            let _ = (ImageRecord::parse(&bytes), thumbnail_of(&bytes), grey_of(&bytes));
        }

        #[test]
        fn changed_records_never_panic(place in 0_usize..100, value in any::<u8>()) {
            let mut record = example().to_record();
            let place = place % record.len();
            record[place] = value;
            let _ = (ImageRecord::parse(&record), thumbnail_of(&record), grey_of(&record));
        }
    }
}
