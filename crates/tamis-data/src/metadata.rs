//! Metadata beside images: a table whose rows name files, as Hugging Face's `ImageFolder` reads it.
//!
//! A file `metadata.csv`, `metadata.jsonl` or `metadata.parquet` with a column `file_name` says something of images in its
//! folder and below it (`folder_based_builder.py`, `METADATA_FILENAMES`). Deviations: an image without a row is read as
//! well, and a row without an image is an unreadable sample.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::columns::Columns;
use crate::formats::{FileSpec, Format};
use crate::row::Cell;
use crate::walk::{Found, SaidIn, count};

/// Cells that a sample has besides its content.
pub(crate) type Cells = Arc<Vec<(Arc<str>, Cell)>>;

/// The column that names a file, relative to the folder of the metadata.
pub(crate) const FILE_NAME: &str = "file_name";

/// Names of files of metadata.
const NAMES: [&str; 3] = ["metadata.csv", "metadata.jsonl", "metadata.parquet"];

/// Rows of a table that are asked whether they hold images.
const LOOKED_AT_ROWS: usize = 20;

/// Rows of a table that are counted: more than this is a dataset and no note beside images.
const COUNTED_ROWS: usize = 1000;

/// What one row says of a file.
#[derive(Debug)]
pub(crate) struct Said {
    file_name: String,
    row: u64,
    cells: Cells,
}

/// Whether a file is called like one of metadata.
pub(crate) fn is_metadata_name(name: &str) -> bool {
    NAMES.contains(&name.rsplit('/').next().unwrap_or(name))
}

/// What a table beside images is, by its first rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// Whether it is metadata: called so, with a column that names files.
    pub(crate) is_metadata: bool,
    /// Whether it holds images, or paths of images that are there.
    pub(crate) holds_images: bool,
    /// Its rows, as far as they were counted.
    pub(crate) n_rows: usize,
}

/// Looks at a table that lies beside images.
pub(crate) fn look(name: &str, format: &dyn Format, file: &FileSpec) -> Beside {
    let Ok(mut records) = format.open(file) else { return Beside::default() };
    let mut columns = Columns::default();
    let mut n_rows = 0;
    while n_rows < COUNTED_ROWS {
        let Some(raw) = records.next_row() else { break };
        if n_rows < LOOKED_AT_ROWS
            && let Ok(row) = (raw.decode)()
        {
            columns.add(&row.cells, file.folder());
        }
        n_rows += 1;
    }
    let is_metadata = is_metadata_name(name) && columns.has(FILE_NAME);
    Beside { is_metadata, holds_images: columns.hold_images(), n_rows }
}

/// The rows of a file of metadata.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    said: Vec<Said>,
    n_bad: usize,
    /// Why the first bad row is bad.
    first_problem: Option<String>,
}

/// Reads a file of metadata.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn read(table: &Found) -> Result<Metadata, String> {
    let format = table.format.clone()?;
    let mut records = format.open(&table.file)?;
    let mut metadata = Metadata::default();
    while let Some(raw) = records.next_row() {
        let row = raw.row.unwrap_or_default();
        match (raw.decode)().map(|it| it.cells).and_then(|cells| said_by(cells, row)) {
            Ok(it) => metadata.said.push(it),
            Err(reason) => {
                metadata.n_bad += 1;
                metadata.first_problem.get_or_insert_with(|| format!("row {row}: {reason}"));
            }
        }
    }
    Ok(metadata)
}

fn said_by(mut cells: Vec<(Arc<str>, Cell)>, row: u64) -> Result<Said, String> {
    let place = cells.iter().position(|(name, _)| **name == *FILE_NAME);
    match place.map(|at| cells.remove(at).1) {
        Some(Cell::Text(text)) if !text.text.trim().is_empty() => {
            Ok(Said { file_name: text.text.trim().to_owned(), row, cells: Arc::new(cells) })
        }
        Some(cell) => Err(format!("`{FILE_NAME}` is {}, expected the name of a file", cell.kind())),
        None => Err(format!("no column `{FILE_NAME}`, expected it to name a file")),
    }
}

/// Gives files the cells that the metadata has for them; what its rows name in vain becomes a file that cannot be read.
pub(crate) fn join(found: &mut Vec<Found>, table: &Found, metadata: Result<Metadata, String>, notes: &mut Vec<String>) {
    let name = &table.name;
    let Metadata { said, n_bad, first_problem } = match metadata {
        Ok(metadata) => metadata,
        Err(reason) => return notes.push(format!("`{name}` was left out: {reason}")),
    };
    let folder = name.rfind('/').map_or("", |at| &name[..=at]);
    let places: BTreeMap<String, usize> = found.iter().enumerate().map(|(at, it)| (it.name.clone(), at)).collect();
    let shared = Arc::new(table.clone());
    let mut seen = BTreeSet::new();
    let mut repeated = Vec::new();
    let mut missing = Vec::new();
    for it in said {
        let target = format!("{folder}{}", normalized(&it.file_name));
        match places.get(&target) {
            Some(at) if seen.insert(*at) => {
                found[*at].cells = it.cells;
                found[*at].said_in.push(SaidIn { table: Arc::clone(&shared), rows: vec![it.row] });
            }
            Some(at) => {
                found[*at].said_in.last_mut().into_iter().for_each(|said| said.rows.push(it.row));
                repeated.push(target);
            }
            None => {
                let path = table.file.folder().join(&it.file_name);
                let reason =
                    format!("not among the images read, expected the one that row {} of `{name}` names", it.row);
                let said_in = vec![SaidIn { table: Arc::clone(&shared), rows: vec![it.row] }];
                missing.push(Found { said_in, ..Found::missing(path, target, reason, it.cells) });
            }
        }
    }
    for file in found.iter_mut().filter(|it| it.name.starts_with(folder)) {
        // Where there is metadata, folders do not name labels.
        file.parent = None;
        file.beside.push(table.file.path.clone());
    }
    let n_without = found.iter().filter(|it| it.name.starts_with(folder) && it.cells.is_empty()).count();
    notes.push(format!("`{name}`: {} joined to images by the names of files", count(seen.len(), "row", "rows")));
    if let Some(reason) = first_problem {
        notes.push(format!("`{name}`: {} could not be read, {reason}", count(n_bad, "row", "rows")));
    }
    if let Some(first) = repeated.first() {
        let n = count(repeated.len(), "row left out, it names", "rows left out, they name");
        notes.push(format!("`{name}`: {n} an image again, first `{first}`"));
    }
    if 0 < n_without {
        notes.push(format!("`{name}`: {} without a row", count(n_without, "image is", "images are")));
    }
    found.append(&mut missing);
}

/// A path with `/` between its parts and none that say nothing.
pub(crate) fn normalized(path: &str) -> String {
    let parts: Vec<&str> = path.split(['/', '\\']).filter(|it| !it.is_empty() && *it != ".").collect();
    parts.join("/")
}

impl FileSpec {
    /// The folder it lies in, which the paths in it are relative to.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}
