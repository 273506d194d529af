//! The record that an audit leaves behind: `tamis-out/`.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tamis_core::{Contents, InputFile, Report};
use tamis_data::artifacts;
use tamis_data::atomic::Commits;
use tamis_report::{RenderError, RenderOptions, find, wire::v1};

/// The files that only a search for leaks writes.
pub const OF_LEAKS: [&str; 4] = ["leaks.json", "leak-status.parquet", "clean-test.parquet", "clean-test.txt"];

/// A file of the record that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Writes all files of the record but `audit.json`, which it removes; each appears whole or not at all. `page` says what
/// `report.html` may hold. Returns what was written, for that last file to list.
///
/// # Errors
/// When a file cannot be written; those before it are there.
///
/// # Panics
/// Never, as long as there is a renderer called `html`.
pub fn write(report: &Report<'_>, page: &RenderOptions, commits: &Commits) -> Result<Vec<InputFile>, OutputError> {
    // The record of an earlier run ends here: a run that stops half-way must not look complete.
    for name in ["audit.json"].iter().chain(&OF_LEAKS) {
        commits.remove(&report.out.join(name)).map_err(|error| at(&report.out, name, error))?;
    }
    let rows: Vec<artifacts::FindingRow> = v1::findings(report)
        .map(|finding| finding.map(row))
        .collect::<Result<_, _>>()
        .map_err(|error| at(&report.out, "findings.parquet", error))?;
    let html = find("html").expect("because html is one of the renderers");
    file(report, commits, "findings.jsonl", |out| v1::write_findings(report, out))?;
    parquet(report, "findings.parquet", |path| artifacts::write_findings(commits, path, &rows))?;
    parquet(report, "pairs.parquet", |path| artifacts::write_pairs(commits, path, report))?;
    parquet(report, "samples.parquet", |path| artifacts::write_samples(commits, path, report))?;
    let mut names = vec!["findings.jsonl", "findings.parquet", "pairs.parquet", "samples.parquet"];
    if let Contents::Images(images) = report.contents {
        parquet(report, "thumbnails.parquet", |path| artifacts::write_thumbnails(commits, path, report, images))?;
        names.push("thumbnails.parquet");
    } else {
        // Of an audit of images that was here before.
        let removed = commits.remove(&report.out.join("thumbnails.parquet"));
        removed.map_err(|error| at(&report.out, "thumbnails.parquet", error))?;
    }
    file(report, commits, "report.html", |out| html.render(report, page, out))?;
    names.push("report.html");
    names.into_iter().map(|name| described(&report.out, name)).collect()
}

/// Size and hash of a file as it lies there.
///
/// # Errors
/// When it cannot be read.
pub fn described(out: &Path, name: &str) -> Result<InputFile, OutputError> {
    let path = out.join(name);
    let hashed = tamis_data::hash_file(&path).and_then(|blake3| Ok((std::fs::metadata(&path)?.len(), blake3)));
    let (size_bytes, blake3) = hashed.map_err(|error| at(out, name, error))?;
    Ok(InputFile { path: name.into(), size_bytes, blake3: Some(blake3), ..InputFile::default() })
}

/// Writes `audit.json`, last: where it is, the record is complete.
///
/// # Errors
/// When it cannot be written.
pub fn write_audit(report: &Report<'_>, commits: &Commits) -> Result<(), OutputError> {
    file(report, commits, "audit.json", |out| v1::write_audit(report, out))
}

fn file(
    report: &Report<'_>,
    commits: &Commits,
    name: &str,
    fill: impl FnOnce(&mut dyn std::io::Write) -> Result<(), RenderError>,
) -> Result<(), OutputError> {
    let path = report.out.join(name);
    let written = commits.write(&path, |file| {
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        out.flush().map_err(RenderError::from)
    });
    written.map_err(|error| at(&report.out, name, error))
}

fn parquet(
    report: &Report<'_>,
    name: &str,
    write: impl FnOnce(&Path) -> Result<(), artifacts::ArtifactError>,
) -> Result<(), OutputError> {
    write(&report.out.join(name)).map_err(|error| at(&report.out, name, error))
}

fn at(out: &Path, name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OutputError {
    OutputError { path: out.join(name), source: error.into() }
}

fn row(finding: v1::Finding) -> artifacts::FindingRow {
    let json =
        |value: serde_json::Result<String>| value.expect("because wire types have string keys and finite numbers");
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("a severity and a confidence are one word each"),
    };
    artifacts::FindingRow {
        severity: word(serde_json::to_value(finding.severity)),
        confidence: word(serde_json::to_value(finding.confidence)),
        check: finding.check,
        score: finding.score,
        keys: finding.samples.into_iter().map(|sample| sample.key).collect(),
        message: finding.message,
        evidence_json: json(serde_json::to_string(&finding.evidence)),
        suggestion_json: finding.suggestion.map(|it| json(serde_json::to_string(&it))),
        fingerprint: finding.fingerprint,
        baseline: finding.baseline.map(|it| word(serde_json::to_value(it))),
        suppressed: finding.suppressed.map(|it| it.reason),
    }
}
