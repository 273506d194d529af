//! Kinds of picture files: told by their first bytes, named by extensions.

use std::fmt;

/// A kind of picture file, read or only known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG, also animated.
    Png,
    /// GIF.
    Gif,
    /// WebP, lossy or lossless.
    Webp,
    /// Windows bitmap.
    Bmp,
    /// TIFF or `BigTIFF`.
    Tiff,
    /// HEIF with HEVC inside, as telephones write it.
    Heic,
    /// HEIF with AV1 inside.
    Avif,
    /// JPEG XL.
    Jxl,
    /// JPEG 2000.
    Jp2,
    /// Photoshop.
    Psd,
    /// Scalable vector graphics.
    Svg,
    /// Windows icon or cursor.
    Ico,
    /// `OpenEXR`.
    Exr,
    /// Radiance RGBE.
    Hdr,
    /// Portable anymap: PBM, PGM, PPM and PAM.
    Pnm,
}

/// What is known of one kind.
struct Entry {
    kind: Kind,
    id: &'static str,
    /// As a sentence names it, with its article.
    phrase: &'static str,
    /// Lower case, without the dot, the usual one first.
    extensions: &'static [&'static str],
}

/// All kinds, in the order of [`Kind`]: a kind is its place.
const ENTRIES: [Entry; 16] = [
    Entry { kind: Kind::Jpeg, id: "jpeg", phrase: "a JPEG", extensions: &["jpg", "jpeg", "jpe", "jfif"] },
    Entry { kind: Kind::Png, id: "png", phrase: "a PNG", extensions: &["png", "apng"] },
    Entry { kind: Kind::Gif, id: "gif", phrase: "a GIF", extensions: &["gif"] },
    Entry { kind: Kind::Webp, id: "webp", phrase: "a WebP", extensions: &["webp"] },
    Entry { kind: Kind::Bmp, id: "bmp", phrase: "a BMP", extensions: &["bmp", "dib"] },
    Entry { kind: Kind::Tiff, id: "tiff", phrase: "a TIFF", extensions: &["tif", "tiff"] },
    Entry { kind: Kind::Heic, id: "heic", phrase: "an HEIC", extensions: &["heic", "heif", "hif"] },
    Entry { kind: Kind::Avif, id: "avif", phrase: "an AVIF", extensions: &["avif"] },
    Entry { kind: Kind::Jxl, id: "jxl", phrase: "a JPEG XL", extensions: &["jxl"] },
    Entry { kind: Kind::Jp2, id: "jp2", phrase: "a JPEG 2000", extensions: &["jp2", "j2k", "j2c", "jpx", "jpf"] },
    Entry { kind: Kind::Psd, id: "psd", phrase: "a Photoshop", extensions: &["psd", "psb"] },
    Entry { kind: Kind::Svg, id: "svg", phrase: "an SVG", extensions: &["svg"] },
    Entry { kind: Kind::Ico, id: "ico", phrase: "an icon", extensions: &["ico", "cur"] },
    Entry { kind: Kind::Exr, id: "exr", phrase: "an OpenEXR", extensions: &["exr"] },
    Entry { kind: Kind::Hdr, id: "hdr", phrase: "a Radiance HDR", extensions: &["hdr"] },
    Entry { kind: Kind::Pnm, id: "pnm", phrase: "a PNM", extensions: &["ppm", "pgm", "pbm", "pnm", "pam"] },
];

/// The kinds that are read, as messages list them.
pub(super) const SUPPORTED: &str = "JPEG, PNG, GIF, WebP, BMP or TIFF";

impl Kind {
    /// All kinds, the ones that are read first.
    pub fn all() -> impl Iterator<Item = Self> {
        ENTRIES.iter().map(|entry| entry.kind)
    }

    /// Name in facts and findings.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.entry().id
    }

    /// Extensions that name this kind, in lower case and without the dot, the usual one first.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        self.entry().extensions
    }

    /// Whether [`super::Decoder::decode`] reads it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self <= Self::Tiff
    }

    /// The name without its article.
    pub(super) fn name(self) -> &'static str {
        self.phrase().split_once(' ').map_or(self.phrase(), |(_, name)| name)
    }

    /// The name with its article, as in "an HEIC".
    pub(super) fn phrase(self) -> &'static str {
        self.entry().phrase
    }

    fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kind that an extension names, whatever its case; `extension` has no dot.
#[must_use]
pub fn kind_by_extension(extension: &str) -> Option<Kind> {
    let names = |entry: &&Entry| entry.extensions.iter().any(|it| it.eq_ignore_ascii_case(extension));
    ENTRIES.iter().find(names).map(|entry| entry.kind)
}

/// The kind of a picture by its first bytes: 32 tell all kinds but SVG, whose first tag may stand within the first 1,024.
#[must_use]
pub fn kind(head: &[u8]) -> Option<Kind> {
    let starts: [(&[u8], Kind); 20] = [
        (b"\xff\xd8\xff", Kind::Jpeg),
        (b"\x89PNG\r\n\x1a\n", Kind::Png),
        (b"GIF87a", Kind::Gif),
        (b"GIF89a", Kind::Gif),
        (b"II*\0", Kind::Tiff),
        (b"MM\0*", Kind::Tiff),
        (b"II+\0", Kind::Tiff),
        (b"MM\0+", Kind::Tiff),
        (b"\xff\x0a", Kind::Jxl),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Kind::Jxl),
        (b"\0\0\0\x0cjP  \r\n\x87\n", Kind::Jp2),
        (b"\xff\x4f\xff\x51", Kind::Jp2),
        (b"8BPS", Kind::Psd),
        (b"\x76\x2f\x31\x01", Kind::Exr),
        (b"#?RADIANCE", Kind::Hdr),
        (b"#?RGBE", Kind::Hdr),
        (b"P7\n", Kind::Pnm),
        (b"Pf\n", Kind::Pnm),
        (b"PF\n", Kind::Pnm),
        (b"\xef\xbb\xbf<svg", Kind::Svg),
    ];
    if let Some((_, kind)) = starts.iter().find(|(start, _)| head.starts_with(start)) {
        return Some(*kind);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(Kind::Webp);
    }
    if is_bmp(head) {
        return Some(Kind::Bmp);
    }
    if head.get(4..8) == Some(b"ftyp") {
        return heif(head);
    }
    if is_icon(head) {
        return Some(Kind::Ico);
    }
    if is_pnm(head) {
        return Some(Kind::Pnm);
    }
    is_svg(head).then_some(Kind::Svg)
}

/// `BM` begins words too: the size of the second header tells a bitmap. Sizes: OS/2 1 and 2, Windows 3, 3 with masks, 4, 5.
fn is_bmp(head: &[u8]) -> bool {
    head.starts_with(b"BM") && matches!(head.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// ISO/IEC 23008-12: the major brand, then the compatible ones.
fn heif(head: &[u8]) -> Option<Kind> {
    let size = usize::from(*head.get(3)?).clamp(12, head.len().max(12));
    let brands = head.get(8..size.min(head.len()))?;
    let has = |wanted: &[&[u8]]| brands.chunks_exact(4).any(|brand| wanted.contains(&brand));
    if has(&[b"avif", b"avis"]) {
        return Some(Kind::Avif);
    }
    has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"]).then_some(Kind::Heic)
}

/// Two zero bytes and a small number begin many files: the reserved byte and the planes of the first icon are looked at too.
fn is_icon(head: &[u8]) -> bool {
    let first = matches!(head.get(..4), Some([0, 0, 1 | 2, 0]));
    first && matches!(head.get(4..12), Some([n, 0, _, _, _, 0, _, 0]) if *n > 0)
}

fn is_pnm(head: &[u8]) -> bool {
    let after = head.get(3).is_some_and(|byte| byte.is_ascii_digit() || *byte == b'#');
    matches!(head, [b'P', b'1'..=b'6', b'\n' | b' ' | b'\r' | b'\t', ..]) && after
}

/// The first tag is `svg`, after a declaration, comments and a document type at most.
fn is_svg(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&head[..head.len().min(1024)]);
    let text = head.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<svg")
        || ((text.starts_with("<?xml") || text.starts_with("<!")) && text.contains("<svg") && !text.contains("<html"))
}

/// What bytes that are no picture look like, for a message that says what was found.
pub(super) fn describe(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(1024)];
    let text = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character may be cut where the head ends.
        Err(error) => error.error_len().is_none() && bytes.len() > head.len(),
    };
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0x1b;
    if text && !head.iter().any(is_control) {
        return "text".to_owned();
    }
    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes that begin with {}", bytes.len(), first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_at_the_place_of_their_kind() {
        for (place, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.kind as usize, place);
            assert_eq!(kind_by_extension(entry.extensions[0]), Some(entry.kind));
        }
        assert_eq!(Kind::all().filter(|it| it.is_supported()).count(), 6);
        let listed: Vec<&str> = Kind::all().filter(|it| it.is_supported()).map(Kind::name).collect();
        assert_eq!(SUPPORTED, format!("{} or {}", listed[..5].join(", "), listed[5]));
    }

    #[test]
    fn extensions_are_compared_without_case() {
        assert_eq!(kind_by_extension("JPeG"), Some(Kind::Jpeg));
        assert_eq!(kind_by_extension("txt"), None);
        assert_eq!(kind_by_extension(""), None);
    }

    #[test]
    fn first_bytes_tell_the_kind() {
        let cases: [(&[u8], Option<Kind>); 14] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(Kind::Heic)),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Some(Kind::Avif)),
            (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", None),
            (b"\xff\x0a\xfa\x1f", Some(Kind::Jxl)),
            (b"<?xml version=\"1.0\"?>\n<!-- x --><svg xmlns=\"\">", Some(Kind::Svg)),
            (b"<!DOCTYPE html><html><svg>", None),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", Some(Kind::Ico)),
            (b"\0\0\x08\x03\0\0\x27\x10\0\0\0\x1c", None),
            (b"P6\n3 2\n255\n", Some(Kind::Pnm)),
            (b"P1 is a name", None),
            (b"BMW builds cars, among other", None),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"MM\0*\0\0\0\x08", Some(Kind::Tiff)),
            (b"", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_described() {
        assert_eq!(describe(b"404: not found\n"), "text");
        assert_eq!(describe(b"\0\x01\x02"), "3 bytes that begin with 00 01 02");
        assert_eq!(
            describe(&"\u{e9}".repeat(600).as_bytes()[1..]),
            "1199 bytes that begin with a9 c3 a9 c3 a9 c3 a9 c3"
        );
        assert_eq!(describe(format!("a{}", "\u{e9}".repeat(600)).as_bytes()), "text");
    }
}
