//! What the structure of a file tells without decoding it: its size, its frames, and whether it ends where it should.

use super::Kind;

/// How much of a chain of TIFF pages is followed: a damaged chain may be a circle. More pages than any scanner writes.
const MAX_PAGES: u32 = 10_000;

/// Width and height by the header alone, as stored: an EXIF orientation may turn them.
///
/// Takes the beginning of a file or the whole of it; `None` where what was given does not hold the size (a JPEG may keep it
/// behind a long preview, a TIFF at its end) or is of a kind that is not read.
#[must_use]
pub fn dimensions(head_or_file: &[u8]) -> Option<(u32, u32)> {
    let bytes = head_or_file;
    match super::kind(bytes)? {
        Kind::Jpeg => jpeg_dimensions(bytes),
        Kind::Png => Some((be32(bytes, 16)?, be32(bytes, 20)?)),
        Kind::Gif => Some((le16(bytes, 6)?.into(), le16(bytes, 8)?.into())),
        Kind::Webp => webp_dimensions(bytes),
        Kind::Bmp => bmp_dimensions(bytes),
        Kind::Tiff => Tiff::of(bytes)?.dimensions(),
        _ => None,
    }
}

/// The outline of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// Frames or pages, at least one.
    pub(super) frames: u32,
    /// Whether the file ends before its structure does.
    pub(super) cut: bool,
    /// An EXIF block that decoders may miss: that of a PNG may stand behind the pixels.
    pub(super) exif: Option<&'a [u8]>,
}

/// Walks over the blocks of a file without looking into them. Time grows with the number of blocks; in a JPEG, with its bytes.
///
/// A BMP has no end mark and a TIFF none either: their decoders tell where pixels are missing.
pub(super) fn outline(kind: Kind, bytes: &[u8]) -> Outline<'_> {
    match kind {
        Kind::Jpeg => Outline { frames: 1, cut: !jpeg_ends(bytes), exif: None },
        Kind::Png => png_outline(bytes),
        Kind::Gif => gif_outline(bytes),
        Kind::Webp => webp_outline(bytes),
        Kind::Tiff => Outline { frames: Tiff::of(bytes).map_or(1, |tiff| tiff.pages().max(1)), cut: false, exif: None },
        _ => Outline { frames: 1, cut: false, exif: None },
    }
}

/// ITU-T T.81, B.2.2: the frame header holds precision, height and width.
fn jpeg_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let (marker, after) = jpeg_marker(bytes, at)?;
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => return Some((be16(bytes, after + 5)?.into(), be16(bytes, after + 3)?.into())),
            0xd8 | 0xd0..=0xd7 | 0x01 => {
                at = after;
                continue;
            }
            0xd9 | 0xda => return None,
            _ => {}
        }
        at = after + usize::from(be16(bytes, after)?.max(2));
    }
}

/// The next marker at or after `at`, and the place behind it. `FF` may be repeated before a marker.
fn jpeg_marker(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let start = at + marker_start(bytes.get(at..)?)?;
    let marker = start + bytes[start..].iter().position(|byte| *byte != 0xff)?;
    Some((bytes[marker], marker + 1))
}

/// The first FF. Pixels have one in some hundred bytes, so most are passed over many at a time.
fn marker_start(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<32>();
    let passed =
        32 * blocks.iter().take_while(|block| !block.iter().fold(false, |any, it| any | (*it == 0xff))).count();
    bytes[passed..].iter().position(|byte| *byte == 0xff).map(|it| passed + it)
}

/// Whether the end mark (FF D9) stands where the structure has it: not inside a preview, and not among the pixels.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some((marker, after)) = jpeg_marker(bytes, at) {
        at = match marker {
            0xd9 => return true,
            // Segments with a length: tables, headers, comments, application data. Behind the header of a scan come the
            // pixels, in which FF is followed by 00 or by a restart mark; both are stepped over as marks of no length.
            0xc0..=0xcf | 0xda..=0xef | 0xfe => match be16(bytes, after) {
                Some(size) => after + usize::from(size),
                None => return false,
            },
            _ => after,
        };
    }
    false
}

/// PNG specification, 5.3: length, type, data, checksum; 12.3 of the third edition lets `eXIf` stand behind the pixels.
fn png_outline(bytes: &[u8]) -> Outline<'_> {
    let mut found = Outline { frames: 1, cut: true, exif: None };
    let mut at = 8;
    while let (Some(size), Some(name)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        let Some(end) = (at + 12).checked_add(size as usize).filter(|end| *end <= bytes.len()) else { break };
        let data = &bytes[at + 8..end - 4];
        match name {
            b"acTL" => found.frames = be32(data, 0).unwrap_or(1).max(1),
            b"eXIf" => found.exif = Some(data),
            b"IEND" => return Outline { cut: false, ..found },
            _ => {}
        }
        at = end;
    }
    found
}

/// The specification of 1989. A file may end behind any whole block once it has a
/// frame: some writers leave out the end mark.
fn gif_outline(bytes: &[u8]) -> Outline<'_> {
    let mut frames = 0;
    let whole = gif_blocks(bytes, &mut frames).is_some();
    Outline { frames: frames.max(1), cut: !whole || frames == 0, exif: None }
}

/// Counts whole frames; `None` where the file ends inside a block.
fn gif_blocks(bytes: &[u8], frames: &mut u32) -> Option<()> {
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3_usize << ((flags & 7) + 1) };
    let mut at = 13 + palette(*bytes.get(10)?);
    loop {
        match bytes.get(at) {
            Some(0x21) => at = gif_sub_blocks(bytes, at + 2)?,
            Some(0x2c) => {
                let flags = *bytes.get(at + 9)?;
                at = gif_sub_blocks(bytes, at + 11 + palette(flags))?;
                *frames += 1;
            }
            // The end mark, the end of the file, or what somebody appended.
            _ => return Some(()),
        }
    }
}

/// The place behind a chain of sub-blocks.
fn gif_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let size = usize::from(*bytes.get(at)?);
        at += size + 1;
        if size == 0 {
            return Some(at);
        }
    }
}

/// RFC 9649, section 2: chunks of even size inside one that holds the size of all.
fn webp_outline(bytes: &[u8]) -> Outline<'_> {
    let declared = le32(bytes, 4).map_or(usize::MAX, |size| (size as usize).saturating_add(8));
    let (mut at, mut frames) = (12, 0_u32);
    // What stands behind the declared size is no chunk.
    let chunks = &bytes[..declared.min(bytes.len())];
    while let (Some(name), Some(size)) = (chunks.get(at..at + 4), le32(chunks, at + 4)) {
        frames += u32::from(name == b"ANMF");
        let end = (at + 8).saturating_add(size as usize);
        if end > bytes.len() {
            return Outline { frames: frames.max(1), cut: true, exif: None };
        }
        at = end + end % 2;
    }
    // The padding of the last chunk may be missing.
    Outline { frames: frames.max(1), cut: declared > bytes.len().max(at), exif: None }
}

fn webp_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((le24(bytes, 24)? + 1, le24(bytes, 27)? + 1)),
        b"VP8L" => {
            let bits = le32(bytes, 21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some(((le16(bytes, 26)? & 0x3fff).into(), (le16(bytes, 28)? & 0x3fff).into())),
        _ => None,
    }
}

/// The height is negative where rows stand from the top.
fn bmp_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    if le32(bytes, 14)? == 12 {
        return Some((le16(bytes, 18)?.into(), le16(bytes, 20)?.into()));
    }
    let signed = |at| le32(bytes, at).map(u32::cast_signed);
    Some((u32::try_from(signed(18)?).ok()?, signed(22)?.unsigned_abs()))
}

/// TIFF 6.0 and `BigTIFF` differ in the width of their numbers.
#[derive(Clone, Copy)]
struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

impl<'a> Tiff<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let little = bytes.starts_with(b"II");
        Some(Self { bytes, little, big: *bytes.get(if little { 2 } else { 3 })? == b'+' })
    }

    /// An unsigned number of `size` bytes.
    fn number(self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?.iter();
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little { bytes.rev().fold(0, join) } else { bytes.fold(0, join) })
    }

    fn offset(self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, if self.big { 8 } else { 4 })?).ok()
    }

    /// Where the first directory stands.
    fn first(self) -> Option<usize> {
        self.offset(if self.big { 8 } else { 4 })
    }

    /// Entries of the directory at `at`: where they begin, their number, and the size of one.
    fn entries(self, at: usize) -> Option<(usize, usize, usize)> {
        let (width, size) = if self.big { (8, 20) } else { (2, 12) };
        let n = usize::try_from(self.number(at, width)?).ok()?;
        Some((at.checked_add(width)?, n, size))
    }

    fn dimensions(self) -> Option<(u32, u32)> {
        let (start, n, size) = self.entries(self.first()?)?;
        let (mut width, mut height) = (None, None);
        for idx in 0..n.min(usize::from(u16::MAX)) {
            let at = start.checked_add(idx * size)?;
            let value = at + size - if self.big { 8 } else { 4 };
            let number = match self.number(at + 2, 2)? {
                3 => self.number(value, 2)?,
                4 => self.number(value, 4)?,
                _ => continue,
            };
            match self.number(at, 2)? {
                256 => width = u32::try_from(number).ok(),
                257 => height = u32::try_from(number).ok(),
                _ => {}
            }
        }
        Some((width?, height?))
    }

    fn pages(self) -> u32 {
        let mut pages = 0;
        let mut next = self.first();
        while let Some(at) = next.filter(|at| *at != 0 && pages < MAX_PAGES) {
            let Some((start, n, size)) = self.entries(at) else { break };
            pages += 1;
            next = n.checked_mul(size).and_then(|all| start.checked_add(all)).and_then(|end| self.offset(end));
        }
        pages
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_marks_inside_previews_do_not_count() {
        let preview = b"\xff\xd8\xff\xe1\x00\x06\xff\xd8\xff\xd9";
        assert!(!jpeg_ends(preview));
        assert!(jpeg_ends(&[preview.as_slice(), b"\xff\xda\x00\x02ab\xff\x00\xff\xd0cd\xff\xd9\0\0"].concat()));
        assert!(!jpeg_ends(b"\xff\xd8\xff\xda\x00\x02ab\xff\x00cd\xff"));
    }

    #[test]
    fn a_circle_of_tiff_pages_ends() {
        // One directory without entries, whose successor is itself.
        let circle = b"II*\0\x08\0\0\0\0\0\x08\0\0\0";
        assert_eq!(Tiff::of(circle).map(Tiff::pages), Some(MAX_PAGES));
    }

    #[test]
    fn headers_that_are_cut_have_no_size() {
        assert_eq!(dimensions(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x05"), None);
        assert_eq!(dimensions(b"GIF89a\x05\0\x07\0"), Some((5, 7)));
        assert_eq!(dimensions(b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x02\x00\x03"), Some((3, 2)));
        assert_eq!(dimensions(b"\xff\xd8\xff\xe0\xff\xff"), None);
    }
}
