//! What outputs for other programs share: the order of findings, and where a program finds a sample.

use std::cmp::Reverse;
use std::path::{Component, Path};

use tamis_core::{CheckInfo, Dataset, Finding, InputFile, Report, SampleId, Severity, Standing, Value};

use crate::wire::v1::{self, NotFinite};

/// A finding with what is recorded of it.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    /// Its check.
    pub(crate) info: &'static CheckInfo,
    /// The finding.
    pub(crate) finding: &'a Finding,
    /// How it stands.
    pub(crate) standing: &'a Standing,
    /// Its fingerprint.
    pub(crate) fingerprint: String,
}

/// All findings, those that count first, then the most severe, of equal ones the most certain; else in the order of the
/// report. What a limit cuts off at the end is what matters least.
///
/// # Errors
/// When a check gave a number that is not finite.
pub(crate) fn worst_first<'a>(report: &'a Report<'a>) -> Result<Vec<Ranked<'a>>, NotFinite> {
    let pairs = report.triaged().zip(v1::fingerprints(report));
    let mut all: Vec<Ranked<'a>> = pairs
        .map(|((info, finding, standing), fingerprint)| {
            v1::finite(info.id, "score", finding.score)?;
            Ok(Ranked { info, finding, standing, fingerprint })
        })
        .collect::<Result<_, NotFinite>>()?;
    all.sort_by_key(|it| Reverse((it.standing.counts(), it.finding.severity, it.finding.confidence)));
    Ok(all)
}

/// The severity from which the audit counts as failed, and how many findings have it; `None` where the configuration does
/// not say.
pub(crate) fn failing<'a>(report: &'a Report<'_>) -> Option<(&'a str, usize)> {
    let Some(Value::Text(fail_on)) = report.config.get("fail_on") else { return None };
    let least = Severity::ALL.into_iter().find(|it| it.id() == fail_on)?;
    let is_meant = |(_, finding, standing): &(_, &Finding, &Standing)| standing.counts() && least <= finding.severity;
    Some((fail_on, report.triaged().filter(is_meant).count()))
}

/// Where a program finds a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file with `/` between its parts, relative where it was named so.
    pub(crate) path: String,
    /// The same as a URI reference.
    pub(crate) uri: String,
    /// One-based line; `None` where the file has no lines that an editor or a reviewer could open.
    pub(crate) line: Option<u64>,
}

impl Place {
    /// The place of a sample.
    pub(crate) fn of(report: &Report<'_>, id: SampleId) -> Self {
        let origin = report.dataset.sample(id).origin;
        let InputFile { path, format, .. } = &report.dataset.files()[origin.file.0 as usize];
        let line = origin.row.and_then(|row| line(path, format.as_deref()?, row));
        Self { path: slashed(path), uri: uri(path), line }
    }

    /// Where a finding is that is about the whole dataset: its first file, since some programs refuse what is nowhere.
    pub(crate) fn of_dataset(dataset: &Dataset) -> Option<Self> {
        let path = &dataset.files().first()?.path;
        Some(Self { path: slashed(path), uri: uri(path), line: None })
    }

    /// The place of a finding.
    pub(crate) fn of_finding(report: &Report<'_>, finding: &Finding) -> Option<Self> {
        match finding.samples.first() {
            Some(id) => Some(Self::of(report, *id)),
            None => Self::of_dataset(report.dataset),
        }
    }
}

/// The line on which a row of a file begins: of lines and JSON Lines the row, of tables in text the one after it, because a
/// header comes first. That is wrong behind a record with a line break in it. Everything else, packed files too, has no
/// lines.
fn line(path: &Path, format: &str, row: u64) -> Option<u64> {
    let is_packed = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("gz"));
    match format {
        _ if is_packed => None,
        "jsonl" | "lines" => Some(row),
        "csv" | "tsv" => Some(row + 1),
        _ => None,
    }
}

fn slashed(path: &Path) -> String {
    let path = path.display().to_string();
    let path = if std::path::MAIN_SEPARATOR == '/' { path } else { path.replace(std::path::MAIN_SEPARATOR, "/") };
    path.strip_prefix("./").map(str::to_owned).unwrap_or(path)
}

/// A path as a URI reference (RFC 3986): relative where the path is.
fn uri(path: &Path) -> String {
    let mut out = String::new();
    if path.is_absolute() {
        out.push_str("file://");
    }
    let mut is_first = !path.is_absolute();
    for component in path.components() {
        let part = match component {
            Component::CurDir | Component::RootDir => continue,
            Component::ParentDir => "..".as_ref(),
            Component::Prefix(prefix) => prefix.as_os_str(),
            Component::Normal(part) => part,
        };
        if !is_first {
            out.push('/');
        }
        is_first = false;
        out.push_str(&percent_encoded(part.as_encoded_bytes()));
    }
    out
}

/// All bytes but unreserved ones (RFC 3986) as `%XX`: so any name is a part of an address.
pub(crate) fn percent_encoded(bytes: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(byte).collect()
}

/// Cuts a text to so many characters, and marks the cut.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().nth(max_chars).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_worst_comes_first_and_equal_ones_keep_their_order() {
        let fixture = testing::fixture();
        let report = fixture.report();
        let ranked = worst_first(&report).unwrap();
        let ids: Vec<&str> = ranked.iter().map(|it| it.info.id).collect();
        assert_eq!(ids[..3], ["split-leak", "unreadable-sample", "conflicting-labels"]);
        assert_eq!(ids.last(), Some(&"outlier"));
        let recorded: Vec<v1::Finding> = v1::findings(&report).collect::<Result<_, _>>().unwrap();
        let of = |it: &Ranked<'_>| recorded.iter().find(|other| other.fingerprint == it.fingerprint).unwrap();
        assert!(ranked.iter().all(|it| of(it).message == it.finding.message), "finding and fingerprint stay together");
    }

    #[test]
    fn uris_hold_nothing_that_has_a_meaning_in_a_uri() {
        let of = |path: &str| uri(Path::new(path));
        assert_eq!(of("./a/b.jsonl"), "a/b.jsonl");
        assert_eq!(of("../a b/c#d?e%.txt"), "../a%20b/c%23d%3Fe%25.txt");
        assert_eq!(of("javascript:alert(1)/ä\n.csv"), "javascript%3Aalert%281%29/%C3%A4%0A.csv");
        assert_eq!(of("/tmp/x.jsonl"), "file:///tmp/x.jsonl");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_has_a_uri() {
        use std::os::unix::ffi::OsStrExt as _;
        assert_eq!(uri(Path::new(std::ffi::OsStr::from_bytes(b"a\xff.png"))), "a%FF.png");
    }

    #[test]
    fn lines_are_those_of_files_that_have_lines() {
        let of = |path: &str, format: &str| line(Path::new(path), format, 7);
        assert_eq!([of("a.JSON", "jsonl"), of("a.md", "lines")], [Some(7); 2]);
        assert_eq!([of("a.csv", "csv"), of("a.data", "tsv")], [Some(8); 2]);
        assert_eq!([of("a.parquet", "parquet"), of("a.jsonl.gz", "jsonl"), of("a.txt", "text-files")], [None; 3]);
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!([cut("abc", 3), cut("abcd", 3), cut("ab cd", 4)], ["abc", "ab…", "ab…"]);
    }
}
