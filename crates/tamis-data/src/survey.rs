//! What is decided before reading: a look at the first rows of every file, and the columns that are chosen from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rayon::prelude::*;
use tamis_core::Modality;

use crate::columns::{self, Columns, ContentColumns, Plan};
use crate::error::ReadError;
use crate::formats::{self, Records, image_files};
use crate::image;
use crate::reader::ReadOptions;
use crate::row::{Cell, Picture};
use crate::walk::{Found, count};

/// Readable rows of each file that columns are guessed from.
const HEAD_ROWS: usize = 100;

/// Rows of each file that are looked at for them.
const HEAD_ATTEMPTS: usize = 1000;

/// Bytes of each file that are looked at for them.
const HEAD_BYTES: usize = 16 << 20;

/// Image files whose size is looked at before reading.
const SIZED_FILES: usize = 256;

/// Bytes of each of them: the size of a JPEG may stand behind a preview of up to 64 KiB.
const SIZED_BYTES: u64 = 128 * 1024;

/// Rows of each file that are searched for a column that was named and that the first rows do not show.
const SEARCHED_ROWS: usize = 100_000;

/// What a look at the data decided.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The columns of each file.
    pub(crate) plans: Vec<Plan>,
    pub(crate) modality: Modality,
    /// See [`crate::Reader::typical_side`].
    pub(crate) typical_side: Option<u32>,
    pub(crate) notes: Vec<String>,
    pub(crate) file_notes: FileNotes,
}

/// Notes on single files; files with the same note share one sentence.
#[derive(Debug, Default)]
pub(crate) struct FileNotes(BTreeMap<String, (usize, String)>);

impl FileNotes {
    pub(crate) fn add(&mut self, file: &str, note: String) {
        self.0.entry(note).or_insert_with(|| (0, file.to_owned())).0 += 1;
    }

    pub(crate) fn write(&self, notes: &mut Vec<String>) {
        for (note, (n_files, first)) in &self.0 {
            let more = match n_files - 1 {
                0 => String::new(),
                n => format!(" and {}", count(n, "more file", "more files")),
            };
            notes.push(format!("`{first}`{more}: {note}"));
        }
    }
}

/// Looks at the first rows of every file and chooses columns; `None` where there is no row at all.
///
/// # Errors
/// When nothing can be read, or an option does not fit the data.
pub(crate) fn survey(found: &[Found], options: &ReadOptions) -> Result<Option<Survey>, ReadError> {
    let mut heads: Vec<Result<Shown, String>> = found.par_iter().map(|it| look(it, HEAD_ROWS, HEAD_ATTEMPTS)).collect();
    // Of files that are one sample each, the first ones stand for all.
    let with_cells = found.iter().zip(&mut heads).filter(|(found, _)| !found.is_table() && !found.cells.is_empty());
    for (found, head) in with_cells.take(HEAD_ROWS) {
        if let Ok(shown) = head {
            shown.columns.add(&found.cells, found.file.folder());
        }
    }
    check_some_readable(found, &heads)?;
    if heads.iter().all(|it| it.as_ref().is_ok_and(|shown| shown.rows == 0)) {
        return Ok(None);
    }
    let (mut notes, mut file_notes) = (Vec::new(), FileNotes::default());
    let plans = plan(found, &heads, options, (&mut notes, &mut file_notes))?;
    let modality = modality(found, &heads, &plans)?;
    let typical_side = match modality {
        Modality::Text => None,
        Modality::Image => typical_side(found, &heads),
    };
    Ok(Some(Survey { plans, modality, typical_side, notes, file_notes }))
}

/// What the first rows of a file show.
#[derive(Debug, Default)]
struct Shown {
    columns: Columns,
    /// Rows seen, good or bad.
    rows: usize,
    /// Rows that could be decoded.
    good_rows: usize,
    /// Why the first bad row is bad.
    first_reason: Option<String>,
    /// Whether other rows may have other columns.
    is_open: bool,
    /// The longer side of each image whose header could be read.
    sides: Vec<u32>,
}

/// Looks at the first rows of a file, until `max_rows` good ones were seen.
fn look(found: &Found, max_rows: usize, max_attempts: usize) -> Result<Shown, String> {
    if found.format.is_ok() && !found.is_table() {
        // Each sample counts; opening it is left to reading.
        return Ok(Shown { rows: 1, ..Shown::default() });
    }
    let mut records = open_records(found).map_err(|reason| format!("{}: {reason}", found.name))?;
    let declared = records.columns();
    let mut shown = Shown { is_open: declared.is_none(), ..Shown::default() };
    for name in declared.into_iter().flatten() {
        shown.columns.declare(&name);
    }
    let mut bytes = 0;
    while shown.good_rows < max_rows && shown.rows < max_attempts && bytes < HEAD_BYTES {
        let Some(raw) = records.next_row() else { break };
        shown.rows += 1;
        bytes += raw.size_bytes;
        match (raw.decode)() {
            Ok(row) => {
                shown.good_rows += 1;
                shown.columns.add(&row.cells, found.file.folder());
                shown.sides.extend(row.cells.iter().filter_map(|(_, cell)| side(cell, found)));
            }
            Err(reason) => {
                let place = raw.row.map_or_else(String::new, |row| format!(":{row}"));
                shown.first_reason.get_or_insert_with(|| format!("{}{place}: {reason}", found.name));
            }
        }
    }
    Ok(shown)
}

/// Some file must have something that can be read.
fn check_some_readable(found: &[Found], heads: &[Result<Shown, String>]) -> Result<(), ReadError> {
    let reason = |head: &Result<Shown, String>| match head {
        Err(reason) => Some(reason.clone()),
        Ok(shown) if shown.good_rows == 0 => shown.first_reason.clone(),
        Ok(_) => None,
    };
    let reasons: Vec<String> = heads.iter().filter_map(reason).collect();
    match reasons.first() {
        Some(first) if reasons.len() == found.len() => {
            Err(ReadError::AllUnreadable { n: reasons.len(), first: first.clone() })
        }
        _ => Ok(()),
    }
}

/// Chooses the columns of each file: one choice for all, and another where a file has none of these columns.
fn plan(
    found: &[Found],
    heads: &[Result<Shown, String>],
    options: &ReadOptions,
    (notes, file_notes): (&mut Vec<String>, &mut FileNotes),
) -> Result<Vec<Plan>, ReadError> {
    let mut all = Columns::default();
    for shown in heads.iter().flatten() {
        all.merge(&shown.columns);
    }
    if columns::check_given(&all, options).is_err() {
        for (found, _) in found.iter().zip(heads).filter(|(_, head)| head.as_ref().is_ok_and(|it| it.is_open)) {
            if let Ok(shown) = look(found, SEARCHED_ROWS, SEARCHED_ROWS) {
                all.merge(&shown.columns);
            }
        }
        columns::check_given(&all, options)?;
    }
    let has_tables = found.iter().any(Found::is_table);
    let content = if has_tables { ContentColumns::Guessed } else { ContentColumns::Known };
    let (general, mut sentences) = columns::choose(&all, options, content);
    let tables: Vec<_> = found.iter().filter(|it| it.is_table()).collect();
    let is_without = general.text.is_empty() && general.image.is_none() && !all.is_empty();
    if let (Some(first), true) = (tables.first(), is_without) {
        return Err(ReadError::NoTextColumn { path: first.file.path.clone(), columns: all.names() });
    }
    notes.append(&mut sentences);
    let mut plans = Vec::with_capacity(found.len());
    for (found, head) in found.iter().zip(heads) {
        let plan = match head {
            Ok(shown) if found.is_table() => plan_file(found, &shown.columns, &general, options, file_notes),
            Ok(_) if found.modality() == Some(Modality::Image) => {
                Plan { image: Some(image_files::COLUMN.to_owned()), text: Vec::new(), ..general.clone() }
            }
            Ok(_) => Plan { text: vec!["text".to_owned()], ..Plan::default() },
            // What can be said of a file that cannot be opened is said by metadata.
            Err(_) => general.clone(),
        };
        plans.push(plan);
    }
    Ok(plans)
}

fn plan_file(found: &Found, columns: &Columns, general: &Plan, options: &ReadOptions, notes: &mut FileNotes) -> Plan {
    let mut plan = general.clone();
    let lacks = |name: &String| !columns.is_empty() && !columns.has(name);
    let is_guessed = options.text.is_empty() && options.image.is_none();
    if is_guessed && general.text.iter().chain(&general.image).any(lacks) {
        let (own, sentences) = columns::choose(columns, options, ContentColumns::Guessed);
        if !own.text.is_empty() || own.image.is_some() {
            for it in sentences {
                notes.add(&found.name, format!("it has other columns than the rest; {it}"));
            }
            plan.text = own.text;
            plan.image = own.image;
            plan.label = own.label.or(plan.label);
            plan.split = own.split.or(plan.split);
            plan.id = own.id.or(plan.id);
        }
    }
    let is_known = found.is_split_given || options.split.is_none() && found.split.is_some();
    if let Some(column) = plan.split.take_if(|_| is_known)
        && columns.has(&column)
    {
        let why = if found.is_split_given { "its split was given" } else { "its name shows the split" };
        notes.add(&found.name, format!("the column `{column}` was not taken for the split, {why}"));
    }
    plan
}

/// What the samples are, by the formats and the columns chosen.
///
/// # Errors
/// When some files hold texts and some images.
fn modality(found: &[Found], heads: &[Result<Shown, String>], plans: &[Plan]) -> Result<Modality, ReadError> {
    let of = |found: &Found, plan: &Plan| {
        let by_plan = || if plan.image.is_some() { Modality::Image } else { Modality::Text };
        found.modality().unwrap_or_else(by_plan)
    };
    let opened = || found.iter().zip(heads).zip(plans).filter(|((_, head), _)| head.is_ok());
    let first = |wanted| opened().find(|((found, _), plan)| of(found, plan) == wanted).map(|((found, _), _)| found);
    match (first(Modality::Image), first(Modality::Text)) {
        (Some(images), Some(texts)) => {
            Err(ReadError::MixedModalities { images: images.file.path.clone(), texts: texts.file.path.clone() })
        }
        (Some(_), None) => Ok(Modality::Image),
        (None, _) => Ok(Modality::Text),
    }
}

/// Width and height of an image file by its beginning.
fn dimensions_of_file(path: &Path) -> Option<(u32, u32)> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(SIZED_BYTES).read_to_end(&mut head).ok()?;
    image::dimensions(&head)
}

/// The longer side of an image in a table, from its header.
fn side(cell: &Cell, found: &Found) -> Option<u32> {
    let (width, height) = match cell {
        Cell::Image(Picture::File(bytes)) => image::dimensions(bytes)?,
        Cell::Image(Picture::Raw(raw)) => (raw.width, raw.height),
        Cell::Text(path) => {
            let path = found.file.folder().join(path.text.trim());
            image::kind_by_extension(&formats::extension(&path))?;
            dimensions_of_file(&path)?
        }
        _ => return None,
    };
    Some(width.max(height))
}

/// See [`Reader::typical_side`].
fn typical_side(found: &[Found], heads: &[Result<Shown, String>]) -> Option<u32> {
    let files: Vec<_> = found.iter().filter(|it| !it.is_table()).collect();
    let step = files.len().div_ceil(SIZED_FILES).max(1);
    let of_files = files.par_iter().step_by(step).filter_map(|it| dimensions_of_file(&it.file.path));
    let mut sides: Vec<u32> = of_files.map(|(width, height)| width.max(height)).collect();
    sides.extend(heads.iter().flatten().flat_map(|it| &it.sides));
    sides.sort_unstable();
    let place = (sides.len() * 9).div_ceil(10);
    sides.get(place.checked_sub(1)?).copied()
}

pub(crate) fn open_records(found: &Found) -> Result<Box<dyn Records>, String> {
    match &found.format {
        Ok(format) => format.open(&found.file),
        Err(reason) => Err(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_the_same_note_share_a_sentence() {
        let mut all = FileNotes::default();
        for file in ["a", "b", "c"] {
            all.add(file, "it holds no rows".to_owned());
        }
        all.add("d", "another".to_owned());
        let mut notes = Vec::new();
        all.write(&mut notes);
        assert_eq!(notes, ["`d`: another", "`a` and 2 more files: it holds no rows"]);
    }
}
