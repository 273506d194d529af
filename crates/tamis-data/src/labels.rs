//! Labels that the user brings: a `NumPy` array, a column of a table, or a line each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::arrays::{ArrayFile, LabelValues};
use crate::columns;
use crate::error::ReadError;
use crate::formats::{self, FileSpec, Head};
use crate::row::Cell;

/// Labels that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said, or what is wrong with the file.
        source: io::Error,
    },
    /// The file has other content than labels.
    #[error("labels of {}: {reason}", path.display())]
    NotLabels {
        /// The file.
        path: PathBuf,
        /// What was found, where, and what was expected.
        reason: String,
    },
    /// No column, or another than the one that was named, could be meant.
    #[error("no labels in {}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The columns that are there.
        source: ReadError,
    },
}

/// Reads labels: of a `.npy` file of whole numbers, truth values or strings ([`ArrayFile::labels`]); of the column `column`
/// of a CSV, TSV, JSON Lines or Parquet file; or the lines of a text file.
///
/// Without `column` the only column is taken, or the one called `label` or the like. Strings that are all whole numbers are
/// numbers; an empty string, null, and the number -1 say that a label is missing.
///
/// # Errors
/// When the file cannot be read, has no such column, a row is broken, or a value is no label.
pub fn read(path: &Path, column: Option<&str>) -> Result<LabelValues, LabelsError> {
    let failed = |source| LabelsError::Read { path: path.to_owned(), source };
    let wrong = |reason| LabelsError::NotLabels { path: path.to_owned(), reason };
    // What cannot be opened twice is looked at once.
    if !path.is_file() || ArrayFile::is_one(path).map_err(failed)? {
        return ArrayFile::open(path).map_err(failed)?.labels().map_err(wrong);
    }
    let head = Head::read(path).map_err(failed)?;
    let (format, _) = formats::detect(&head).map_err(wrong)?;
    if format.modality() == Some(tamis_core::Modality::Image) {
        return Err(wrong(format!("{}, expected labels", format.summary())));
    }
    let size_bytes = std::fs::metadata(path).map_err(failed)?.len();
    let spec = FileSpec { path: path.to_owned(), size_bytes, is_gzip: head.is_gzip, is_text_only: true };
    let mut records = format.open(&spec).map_err(wrong)?;
    let no_column = |source| LabelsError::Column { path: path.to_owned(), source };
    let mut labels = Vec::new();
    let mut chosen: Option<String> = None;
    // Without named columns each row may have others, and one that was named may come later.
    let is_table = records.columns().is_some();
    let mut names: Vec<String> = texts(records.columns().unwrap_or_default().iter());
    let mut is_found = is_table;
    while let Some(raw) = records.next_row() {
        let at = raw.row;
        let row = (raw.decode)().map_err(|reason| wrong(located(at, &reason)))?;
        if labels.is_empty() && !is_table {
            names = texts(row.cells.iter().map(|(name, _)| name));
        }
        let column = match (&chosen, column) {
            (Some(chosen), _) => chosen,
            (None, Some(given)) if !is_table => chosen.insert(given.to_owned()),
            (None, _) => chosen.insert(columns::label_column(column, &names).map_err(no_column)?),
        };
        is_found |= row.cells.iter().any(|(name, _)| name.as_ref() == column);
        labels.push(label(at, row.cells, column).map_err(wrong)?);
    }
    if !is_found && !labels.is_empty() {
        columns::label_column(column, &names).map_err(no_column)?;
    }
    Ok(numbers_or_names(labels))
}

fn texts<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Vec<String> {
    names.map(|name| name.as_ref().to_owned()).collect()
}

fn located(row: Option<u64>, reason: &str) -> String {
    row.map_or_else(|| reason.to_owned(), |row| format!("row {row}: {reason}"))
}

/// The label of a row; `None` where it is missing.
fn label(row: Option<u64>, cells: Vec<(Arc<str>, Cell)>, column: &str) -> Result<Option<String>, String> {
    let cell = cells.into_iter().find(|(name, _)| name.as_ref() == column).map_or(Cell::Null, |(_, cell)| cell);
    if matches!(cell, Cell::Nested(_) | Cell::Image(_)) {
        return Err(located(row, &format!("{} in column `{column}`, expected a label", cell.kind())));
    }
    Ok(cell.into_metadata().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Numbers where all labels are whole numbers from 0, or -1; else names.
fn numbers_or_names(labels: Vec<Option<String>>) -> LabelValues {
    let number = |label: &Option<String>| match label.as_deref() {
        None | Some("-1" | "-1.0") => Some(None),
        // Tables with gaps write whole numbers with a point.
        Some(text) => text.strip_suffix(".0").unwrap_or(text).parse().ok().filter(|it| *it < u32::MAX).map(Some),
    };
    match labels.iter().map(number).collect() {
        Some(numbers) => LabelValues::Numbers(numbers),
        None => LabelValues::Names(labels),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn read_as(name: &str, content: &str, column: Option<&str>) -> Result<LabelValues, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        read(&path, column).map_err(|error| {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}").replace(dir.path().to_str().unwrap(), "")
        })
    }

    fn names(names: &[&str]) -> LabelValues {
        LabelValues::Names(names.iter().map(|it| Some((*it).to_owned()).filter(|it| !it.is_empty())).collect())
    }

    #[test]
    fn labels_of_tables_and_lines_are_read() {
        assert_eq!(read_as("a.csv", "id,class\n7,cat\n8,\n9,dog\n", None), Ok(names(&["cat", "", "dog"])));
        assert_eq!(read_as("a.tsv", "id\tkind\n7\tcat\n8\tdog\n", Some("kind")), Ok(names(&["cat", "dog"])));
        assert_eq!(read_as("a.jsonl", "{\"label\": \"x\"}\n{\"label\": null}\n", None), Ok(names(&["x", ""])));
        assert_eq!(read_as("a.jsonl", "{}\n{\"y\": \"b\"}\n", Some("y")), Ok(names(&["", "b"])));
        assert_eq!(read_as("a.txt", "cat\n\ndog\n", None), Ok(names(&["cat", "", "dog"])));
    }

    #[test]
    fn strings_that_are_all_whole_numbers_are_numbers() {
        let numbers = |it: &[Option<u32>]| Ok(LabelValues::Numbers(it.to_vec()));
        assert_eq!(read_as("a.txt", "2\n-1\n0\n", None), numbers(&[Some(2), None, Some(0)]));
        assert_eq!(read_as("a.csv", "label,b\n2.0,1\n,1\n", None), numbers(&[Some(2), None]));
        assert_eq!(read_as("a.jsonl", "{\"label\": 3}\n{\"label\": 1}\n", None), numbers(&[Some(3), Some(1)]));
        assert_eq!(read_as("a.txt", "2\n1.5\n", None), Ok(names(&["2", "1.5"])));
    }

    #[test]
    fn what_are_no_labels_is_named() {
        assert_eq!(
            read_as("a.csv", "id,kind\n1,2\n", None).unwrap_err(),
            "no labels in /a.csv: no column `label` (from --label), expected one of `id`, `kind`"
        );
        assert_eq!(
            read_as("a.jsonl", "{\"label\": 1}\n{\"label\": [1]}\n", None).unwrap_err(),
            "labels of /a.jsonl: row 2: a list in column `label`, expected a label"
        );
        assert!(
            read_as("a.jsonl", "{\"label\": 1}\n{\n", None).unwrap_err().starts_with("labels of /a.jsonl: row 2: ")
        );
    }
}
