//! Cards of datasets: what an audit measured, put into files that people publish with their data.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tamis_core::{Column, ColumnRole, Dataset, FileId, SampleId};
use tamis_report::croissant::{Role, Source, SourceColumn, SourceFile, SourceSet};
use tamis_report::wire::v1::InputRecord;

use crate::record::Record;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A file that cannot be described as it was audited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// It cannot be read.
    #[error("cannot read {path}, whose SHA-256 a description in Croissant must give")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is another one by now.
    #[error("{path} is not what was audited: its bytes have changed since. Audit it again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// Families of identical samples and copies among the samples that can be read; one that is like no other is a family.
#[must_use]
pub fn n_independent(record: &Record) -> u64 {
    let report = record.report();
    let redundant: usize = report.families.list().iter().map(|it| it.members.len() - 1).sum();
    record.audit.dataset.states.ok.saturating_sub(redundant as u64)
}

/// The data as they were read, described from the folder `out`. Tables are read once more, for their SHA-256.
///
/// # Errors
/// When a table is not there or is not what was audited.
pub fn source(record: &Record, out: &Path) -> Result<Source, CardError> {
    let audit = &record.audit;
    let with_rows: HashSet<FileId> = record
        .dataset
        .ids()
        .map(|id| record.dataset.sample(id).origin)
        .filter_map(|origin| origin.row.map(|_| origin.file))
        .collect();
    let mut source = Source { columns: columns(record, &with_rows), ..Source::default() };
    let mut sets: BTreeMap<&'static str, (Vec<String>, usize)> = BTreeMap::new();
    for (idx, input) in audit.inputs.iter().enumerate() {
        // What could not be read then is a finding, and no part of what was audited.
        let Some(blake3) = input.blake3.clone() else { continue };
        let url = relative(Path::new(&input.path), out);
        let format = input.format.as_deref();
        let media = media(format, Path::new(&input.path));
        let is_single =
            matches!(format, Some("image-files" | "text-files")) && media != OTHER && !media.ends_with("csv");
        let has_rows = u32::try_from(idx).is_ok_and(|idx| with_rows.contains(&FileId(idx)));
        if is_single && !has_rows {
            let (patterns, n) = sets.entry(media).or_default();
            patterns.push(pattern(&url));
            *n += 1;
            continue;
        }
        let is_table = has_rows && media != OTHER;
        source.files.push(SourceFile {
            sha256: sha256(input, &blake3)?,
            url,
            media,
            size: input.size,
            blake3,
            is_table,
        });
    }
    for (media, (mut includes, n)) in sets {
        includes.sort();
        includes.dedup();
        source.sets.push(SourceSet { includes, media, n });
    }
    Ok(source)
}

const OTHER: &str = "application/octet-stream";

fn media(format: Option<&str>, path: &Path) -> &'static str {
    let extension = path.extension().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    match (format, extension.as_str()) {
        (Some("csv"), _) | (_, "csv") => "text/csv",
        (Some("tsv"), _) | (_, "tsv") => "text/tab-separated-values",
        (Some("jsonl"), _) | (_, "jsonl" | "ndjson") => "application/jsonlines",
        (Some("parquet"), _) | (_, "parquet") => "application/x-parquet",
        (Some("lines" | "text-files"), _) | (_, "txt") => "text/plain",
        (_, "png") => "image/png",
        (_, "jpg" | "jpeg") => "image/jpeg",
        (_, "gif") => "image/gif",
        (_, "webp") => "image/webp",
        (_, "bmp") => "image/bmp",
        (_, "tif" | "tiff") => "image/tiff",
        _ => OTHER,
    }
}

/// The columns of the tables: those that mean something, then the others.
fn columns(record: &Record, with_rows: &HashSet<FileId>) -> Vec<SourceColumn> {
    let role_of = |role| match role {
        ColumnRole::Id => Role::Key,
        ColumnRole::Text => Role::Text,
        ColumnRole::Image => Role::Image,
        ColumnRole::Label => Role::Label,
        ColumnRole::Split => Role::Split,
    };
    let files = || record.dataset.files().iter();
    let of_role = |role| files().flat_map(|it| &it.columns).filter(move |it| it.0 == role);
    let named = ColumnRole::ALL.into_iter().flat_map(of_role).map(|(role, name)| (name.clone(), role_of(*role)));
    let mut columns: Vec<SourceColumn> = Vec::new();
    let others = common_columns(&record.dataset, with_rows).into_iter().map(|name| (name, Role::Other));
    for (name, role) in named.chain(others) {
        if !columns.iter().any(|it| it.name == name) {
            columns.push(SourceColumn { name, role });
        }
    }
    columns
}

/// Columns of which every file with rows has a value: a description names the columns of all files of a type at once.
fn common_columns(dataset: &Dataset, with_rows: &HashSet<FileId>) -> Vec<String> {
    let file_of = |id: SampleId| dataset.sample(id).origin.file;
    let is_common = |column: &&Column| {
        let files: HashSet<FileId> = dataset.ids().filter(|id| column.get(*id).is_some()).map(file_of).collect();
        with_rows.is_subset(&files)
    };
    dataset.columns().iter().filter(is_common).map(|it| it.name.clone()).collect()
}

/// A path as it is seen from the folder `out`; one that does not lie in it as it is.
fn relative(path: &Path, out: &Path) -> String {
    let within = path.canonicalize().ok().zip(out.canonicalize().ok());
    let within = within.and_then(|(path, out)| path.strip_prefix(out).ok().map(Path::to_owned));
    within.unwrap_or_else(|| path.to_owned()).display().to_string().replace(std::path::MAIN_SEPARATOR, "/")
}

/// All files of the same ending in the folder of a file.
fn pattern(url: &str) -> String {
    let (folder, name) = url.rsplit_once('/').map_or(("", url), |(folder, name)| (folder, name));
    let literal = |text: &str| -> String {
        let one = |c: char| if "[*?".contains(c) { format!("[{c}]") } else { c.to_string() };
        text.chars().map(one).collect()
    };
    let name = name.rsplit_once('.').map_or_else(|| literal(name), |(_, ending)| format!("*.{}", literal(ending)));
    if folder.is_empty() { name } else { format!("{}/{name}", literal(folder)) }
}

/// The SHA-256 of a file, if it is what was audited.
fn sha256(input: &InputRecord, audited: &str) -> Result<String, CardError> {
    let path = PathBuf::from(&input.path);
    let read = |source| CardError::Read { path: path.clone(), source };
    let mut file = File::open(&path).map_err(read)?;
    let (mut sha256, mut hasher) = (Sha256::new(), blake3::Hasher::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = file.read(&mut buffer).map_err(read)?;
        if n == 0 {
            break;
        }
        sha256.update(&buffer[..n]);
        hasher.update(&buffer[..n]);
    }
    if hasher.finalize().to_hex().as_str() != audited {
        return Err(CardError::Changed { path });
    }
    Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
