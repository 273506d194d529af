//! From a decoded row to what a sample is made of: pure work, done on many threads at once.

use std::path::Path;
use std::sync::Arc;

use tamis_core::{Digest, text as normalize};

use crate::chat;
use crate::columns::Plan;
use crate::identity;
use crate::image::{Decoded, Decoder, Wanted};
use crate::metadata::Cells;
use crate::row::{Cell, Decode, Picture, Row, Text};
use crate::stream;

/// Longest value of a column without meaning that is kept with a sample. Such columns are for reports and stay in memory;
/// 4 KiB shows what a person would read of it.
pub(crate) const MAX_METADATA_BYTES: usize = 4096;

/// The content of a sample.
#[derive(Debug)]
pub(crate) enum Content {
    /// It was read; nothing but white space makes `is_empty`.
    Text { text: String, digests: [Digest; 3], is_empty: bool, is_mended: bool },
    /// It was read; `decoded` is `None` where all that a decode gives is known already.
    Image { bytes: Digest, decoded: Option<Box<Decoded>> },
    /// It could not be read; says what was found and what was expected.
    Bad(String),
}

/// One row, ready to become a sample.
#[derive(Debug)]
pub(crate) struct Interpreted {
    pub(crate) content: Content,
    pub(crate) label: Option<String>,
    pub(crate) split: Option<String>,
    pub(crate) id: Option<String>,
    /// Columns without meaning, in the order of the input.
    pub(crate) columns: Vec<(Arc<str>, String)>,
    /// Columns whose value was cut.
    pub(crate) cut: Vec<Arc<str>>,
    pub(crate) file_hash: Option<String>,
    /// The path of an image that a table names.
    pub(crate) image_path: Option<String>,
}

/// What to make of images.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// What is made besides what is made of every image.
    pub wanted: Wanted<'a>,
    /// Whether all that a decode gives is known of an image by the hash of its bytes, so that it need not be decoded.
    pub is_known: &'a (dyn Fn(&Digest) -> bool + Sync),
}

impl Default for Images<'_> {
    fn default() -> Self {
        Self { wanted: Wanted::default(), is_known: &|_| false }
    }
}

impl std::fmt::Debug for Images<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// What a row of a file is interpreted by.
#[derive(Clone, Copy)]
pub(crate) struct Interpreter<'a> {
    pub(crate) plan: &'a Plan,
    /// What a file of metadata says of the file.
    pub(crate) cells: &'a Cells,
    /// What paths of images are relative to.
    pub(crate) folder: &'a Path,
    pub(crate) images: Images<'a>,
    pub(crate) decoder: &'a Decoder,
}

/// Decodes a row and gives its cells their meaning.
pub(crate) fn interpret(decode: Decode, by: Interpreter<'_>) -> Interpreted {
    let plan = by.plan;
    let (row, problem) = match decode() {
        Ok(row) => (row, None),
        Err(reason) => (Row::default(), Some(reason)),
    };
    let Row { mut cells, file_hash } = row;
    cells.extend(by.cells.iter().cloned());
    let image_path = plan.image.as_ref().and_then(|name| image_path(&cells, name));
    let content = match (problem, &plan.image) {
        (Some(reason), _) => Err(reason),
        (None, Some(name)) => by.image(&mut cells, name),
        (None, None) => take_text(&mut cells, &plan.text).map(content),
    };
    let content = content.unwrap_or_else(Content::Bad);
    let mut take_value = |name: &Option<String>| {
        let value = take(&mut cells, name.as_deref()?)?.into_metadata()?;
        (!value.trim().is_empty()).then_some(value)
    };
    let (label, split, id) = (take_value(&plan.label), take_value(&plan.split), take_value(&plan.id));
    let mut columns = Vec::with_capacity(cells.len());
    let mut cut = Vec::new();
    for (name, cell) in cells {
        let Some(mut value) = cell.into_metadata() else { continue };
        if MAX_METADATA_BYTES < value.len() {
            value = normalize::cut(&value, MAX_METADATA_BYTES).to_owned();
            cut.push(Arc::clone(&name));
        }
        columns.push((name, value));
    }
    Interpreted { content, label, split, id, columns, cut, file_hash, image_path }
}

impl Interpreter<'_> {
    /// Takes the image out of the column `name` and decodes it.
    fn image(&self, cells: &mut Vec<(Arc<str>, Cell)>, name: &str) -> Result<Content, String> {
        let picture = match take(cells, name) {
            None => return Err(format!("no column `{name}`, expected it to hold an image")),
            Some(Cell::Image(picture)) => picture,
            Some(Cell::Text(path)) => Picture::File(self.read(path.text.trim())?),
            Some(cell) => return Err(format!("column `{name}` is {}, expected an image or its path", cell.kind())),
        };
        let bytes = match &picture {
            Picture::File(bytes) => Digest(*blake3::hash(bytes).as_bytes()),
            Picture::Raw(raw) => raw.digest(),
        };
        if (self.images.is_known)(&bytes) {
            return Ok(Content::Image { bytes, decoded: None });
        }
        let decoded = match &picture {
            Picture::File(file) => self.decoder.decode(file, self.images.wanted),
            Picture::Raw(raw) => self.decoder.raw(&raw.lent(), self.images.wanted),
        };
        Ok(Content::Image { bytes, decoded: Some(Box::new(decoded?)) })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        stream::read_file(&self.folder.join(path)).map_err(|reason| format!("image `{path}` {reason}"))
    }
}

/// The path in the column `name`, if it holds one.
fn image_path(cells: &[(Arc<str>, Cell)], name: &str) -> Option<String> {
    match cells.iter().find(|(it, _)| **it == *name) {
        Some((_, Cell::Text(path))) => Some(path.text.trim().to_owned()),
        _ => None,
    }
}

fn content(text: Text) -> Content {
    let digests = identity::digests(text.bytes(), &text.text);
    let is_empty = text.text.trim().is_empty();
    Content::Text { text: text.text, digests, is_empty, is_mended: text.mended }
}

fn take(cells: &mut Vec<(Arc<str>, Cell)>, name: &str) -> Option<Cell> {
    let idx = cells.iter().position(|(it, _)| **it == *name)?;
    Some(cells.remove(idx).1)
}

fn take_text(cells: &mut Vec<(Arc<str>, Cell)>, names: &[String]) -> Result<Text, String> {
    if let [name] = names {
        return match take(cells, name) {
            None => Err(format!("no column `{name}`, expected it to hold a string")),
            Some(cell) => text_of(name, cell),
        };
    }
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        match take(cells, name) {
            None | Some(Cell::Null) => {}
            Some(cell) => parts.push(text_of(name, cell)?),
        }
    }
    if parts.is_empty() {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        return Err(format!("no value in the columns {}, expected a string in one of them", names.join(", ")));
    }
    Ok(join(&parts))
}

fn text_of(name: &str, cell: Cell) -> Result<Text, String> {
    let kind = cell.kind();
    match cell {
        Cell::Text(text) => Ok(text),
        Cell::Nested(value) => {
            let text = chat::text(&value).map(Text::plain);
            text.ok_or_else(|| format!("column `{name}` is {kind}, expected a string or a conversation"))
        }
        Cell::Null | Cell::Scalar(_) | Cell::Image(_) => Err(format!("column `{name}` is {kind}, expected a string")),
    }
}

fn join(parts: &[Text]) -> Text {
    let texts: Vec<_> = parts.iter().map(|it| it.text.as_str()).collect();
    let text = texts.join("\n");
    let raw = parts.iter().any(|it| it.raw.is_some()).then(|| {
        let bytes: Vec<_> = parts.iter().map(Text::bytes).collect();
        bytes.join(&b'\n')
    });
    Text { text, raw, mended: parts.iter().any(|it| it.mended) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, text: &[&str]) -> Interpreted {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let cells = value.as_object().unwrap().iter();
        let cells = cells.map(|(name, value)| (name.as_str().into(), Cell::from_json(value.clone()))).collect();
        let text = text.iter().map(|it| (*it).to_owned()).collect();
        let plan = Plan { text, label: Some("label".into()), ..Plan::default() };
        let by = Interpreter {
            plan: &plan,
            cells: &Cells::default(),
            folder: Path::new(""),
            images: Images::default(),
            decoder: &Decoder::default(),
        };
        interpret(Box::new(|| Ok(Row { cells, file_hash: None })), by)
    }

    fn check_bad(json: &str, text: &[&str], reason: &str) {
        match read(json, text).content {
            Content::Bad(it) => assert_eq!(it, reason),
            other => panic!("read {other:?}"),
        }
    }

    #[test]
    fn a_text_that_is_no_string_is_named() {
        check_bad(r#"{"a": "x"}"#, &["text"], "no column `text`, expected it to hold a string");
        check_bad(r#"{"text": null}"#, &["text"], "column `text` is null, expected a string");
        check_bad(r#"{"text": 3}"#, &["text"], "column `text` is a number, expected a string");
        check_bad(r#"{"text": true}"#, &["text"], "column `text` is a truth value, expected a string");
        check_bad(r#"{"text": [1]}"#, &["text"], "column `text` is a list, expected a string or a conversation");
        check_bad(r#"{}"#, &["a", "b"], "no value in the columns `a`, `b`, expected a string in one of them");
    }

    #[test]
    fn several_columns_are_joined_by_line_breaks() {
        let it = read(r#"{"a": "x", "b": null, "c": "y", "label": true}"#, &["a", "b", "c"]);
        assert!(matches!(it.content, Content::Text { text, .. } if text == "x\ny"));
        assert_eq!(it.label.as_deref(), Some("true"));
    }

    #[test]
    fn other_columns_are_kept_and_long_ones_cut() {
        let long = "é".repeat(MAX_METADATA_BYTES);
        let it = read(&format!(r#"{{"text": "x", "n": [1, {{"a": null}}], "long": "{long}", "no": null}}"#), &["text"]);
        assert_eq!(it.columns[0], ("n".into(), r#"[1,{"a":null}]"#.to_owned()));
        assert_eq!(it.columns[1].1.len(), MAX_METADATA_BYTES);
        assert_eq!((it.columns.len(), it.cut), (2, vec!["long".into()]));
    }

    #[test]
    fn a_blank_label_is_none() {
        assert_eq!(read(r#"{"text": "x", "label": " "}"#, &["text"]).label, None);
    }
}
