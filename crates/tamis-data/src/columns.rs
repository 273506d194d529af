//! Which column is the text or the image, the label, the split and the id: given by name, or guessed with a reason.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tamis_core::ColumnRole;

use crate::chat;
use crate::error::ReadError;
use crate::formats;
use crate::image;
use crate::reader::ReadOptions;
use crate::row::{Cell, Picture};

/// Names of text columns, most telling first.
const TEXT_NAMES: [&str; 24] = [
    "text",
    "content",
    "sentence",
    "body",
    "document",
    "article",
    "review",
    "comment",
    "message",
    "prompt",
    "question",
    "input",
    "instruction",
    "messages",
    "conversations",
    "conversation",
    "quote",
    "passage",
    "context",
    "utterance",
    "query",
    "abstract",
    "summary",
    "code",
];

/// Names of label columns, most telling first.
const LABEL_NAMES: [&str; 10] =
    ["label", "labels", "class", "category", "target", "sentiment", "intent", "label_text", "topic", "emotion"];

/// Names of image columns, most telling first.
const IMAGE_NAMES: [&str; 10] =
    ["image", "img", "picture", "photo", "image_path", "file_name", "filename", "image_file", "path", "file"];

const SPLIT_NAMES: [&str; 1] = ["split"];

/// Names of id columns, most telling first.
const ID_NAMES: [&str; 6] = ["id", "_id", "key", "guid", "uuid", "idx"];

/// From this many rows on, a guessed label whose values differ in more than nine tenths of them is none.
const MIN_ROWS_FOR_DISTINCT: usize = 20;

/// Most splits that a guessed split column may show in the rows looked at.
const MAX_GUESSED_SPLITS: usize = 10;

/// The columns that have a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Joined by a line break where there are several; not read where there is an image.
    pub(crate) text: Vec<String>,
    pub(crate) image: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) split: Option<String>,
    pub(crate) id: Option<String>,
}

impl Plan {
    /// The columns that mean something.
    pub(crate) fn columns(&self) -> Vec<(ColumnRole, String)> {
        let one = |role, name: &Option<String>| name.clone().map(|it| (role, it));
        let texts = self.text.iter().map(|it| (ColumnRole::Text, it.clone()));
        let others = [
            one(ColumnRole::Id, &self.id),
            one(ColumnRole::Image, &self.image),
            one(ColumnRole::Label, &self.label),
            one(ColumnRole::Split, &self.split),
        ];
        texts.chain(others.into_iter().flatten()).collect()
    }

    /// Whether the column is what is audited.
    fn is_content(&self, name: &str) -> bool {
        self.image.as_deref() == Some(name) || self.text.iter().any(|it| it == name)
    }
}

/// Whether columns hold what is audited, or only say something of it, as metadata beside image files does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentColumns {
    Guessed,
    Known,
}

/// What the first rows of one or more files show of their columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<ColumnStats>,
}

#[derive(Clone, Debug)]
struct ColumnStats {
    name: String,
    /// Values that are not null.
    values: usize,
    /// Values that can be text: strings and conversations.
    texts: usize,
    /// Characters in them.
    chars: usize,
    /// Strings that are numbers.
    numbers: usize,
    /// Lists and objects.
    nested: usize,
    /// Pictures, and bytes that turn out to be none, e.g. sounds.
    bytes: usize,
    /// Pictures, and strings that are the path of an image file.
    images: usize,
    /// Hashes of the values.
    distinct: BTreeSet<[u8; 32]>,
}

impl Columns {
    /// Makes a column known, whether a row shows it or not.
    pub(crate) fn declare(&mut self, name: &str) {
        self.column(name);
    }

    /// Takes a row into account; paths of images are relative to `base`.
    pub(crate) fn add(&mut self, cells: &[(Arc<str>, Cell)], base: &Path) {
        for (name, cell) in cells {
            let column = self.column(name);
            let hash = match cell {
                Cell::Null => continue,
                Cell::Image(picture) => {
                    column.values += 1;
                    column.bytes += 1;
                    column.images += usize::from(is_image(picture));
                    continue;
                }
                Cell::Text(text) => {
                    column.images += usize::from(is_image_path(&text.text, base));
                    column.texts += 1;
                    column.chars += text.text.chars().count();
                    column.numbers += usize::from(text.text.trim().parse::<f64>().is_ok());
                    blake3::hash(text.text.as_bytes())
                }
                Cell::Scalar(text) => blake3::hash(text.as_bytes()),
                Cell::Nested(value) => {
                    column.nested += 1;
                    if let Some(text) = chat::text(value) {
                        column.texts += 1;
                        column.chars += text.chars().count();
                    }
                    blake3::hash(value.to_string().as_bytes())
                }
            };
            column.values += 1;
            column.distinct.insert(*hash.as_bytes());
        }
    }

    /// Takes the rows of another file into account.
    pub(crate) fn merge(&mut self, other: &Self) {
        for it in &other.columns {
            let column = self.column(&it.name);
            column.values += it.values;
            column.texts += it.texts;
            column.chars += it.chars;
            column.numbers += it.numbers;
            column.nested += it.nested;
            column.bytes += it.bytes;
            column.images += it.images;
            column.distinct.extend(it.distinct.iter().copied());
        }
    }

    /// Whether there is a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|it| it.name == name)
    }

    /// Whether no column was seen at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether some column holds images or paths of images.
    pub(crate) fn hold_images(&self) -> bool {
        self.columns.iter().any(ColumnStats::is_image)
    }

    /// Names in the order they were first seen.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|it| it.name.clone()).collect()
    }

    fn column(&mut self, name: &str) -> &mut ColumnStats {
        let idx = self.columns.iter().position(|it| it.name == name).unwrap_or_else(|| {
            self.columns.push(ColumnStats {
                name: name.to_owned(),
                values: 0,
                texts: 0,
                chars: 0,
                numbers: 0,
                nested: 0,
                bytes: 0,
                images: 0,
                distinct: BTreeSet::new(),
            });
            self.columns.len() - 1
        });
        &mut self.columns[idx]
    }

    /// Columns named like one of `names`, best name first; case does not count.
    fn named<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a ColumnStats> {
        names.iter().flat_map(|name| self.columns.iter().filter(move |it| it.name.eq_ignore_ascii_case(name)))
    }
}

impl ColumnStats {
    fn is_text(&self) -> bool {
        0 < self.texts && self.values <= 2 * self.texts && 2 * self.numbers < self.texts.max(1)
    }

    fn is_image(&self) -> bool {
        0 < self.images && self.values <= 2 * self.images
    }

    fn mean_chars(&self) -> usize {
        self.chars / self.texts.max(1)
    }
}

/// Columns that were named must be there.
///
/// # Errors
/// Names the first one that is not, the ones that are, and the one whose name is nearest.
pub(crate) fn check_given(columns: &Columns, options: &ReadOptions) -> Result<(), ReadError> {
    let text = options.text.iter().map(|name| ("--text", name));
    let others =
        [("--image", &options.image), ("--label", &options.label), ("--split", &options.split), ("--id", &options.id)];
    let given = text.chain(others.into_iter().filter_map(|(option, name)| Some((option, name.as_ref()?))));
    for (option, name) in given {
        if !columns.has(name) {
            let columns = columns.names();
            let nearest = nearest(name, &columns);
            return Err(ReadError::NoSuchColumn { option, name: name.clone(), columns, nearest });
        }
    }
    Ok(())
}

/// The column of labels: the one that was named, the only one, or the one with the most telling name.
///
/// # Errors
/// When there is no such column, or none that could be meant.
pub(crate) fn label_column(given: Option<&str>, names: &[String]) -> Result<String, ReadError> {
    let found = match given {
        Some(name) => names.iter().find(|it| *it == name),
        None if names.len() == 1 => names.first(),
        None => LABEL_NAMES.iter().find_map(|name| names.iter().find(|it| it.to_lowercase() == **name)),
    };
    found.cloned().ok_or_else(|| {
        let name = given.unwrap_or(LABEL_NAMES[0]).to_owned();
        let nearest = nearest(&name, names);
        ReadError::NoSuchColumn { option: "--label", name, columns: names.to_vec(), nearest }
    })
}

/// Chooses the columns; the sentences say what was chosen and why.
///
/// The plan has no text column where none was given and none can be guessed.
pub(crate) fn choose(columns: &Columns, options: &ReadOptions, content: ContentColumns) -> (Plan, Vec<String>) {
    let mut plan = Plan {
        text: options.text.clone(),
        image: options.image.clone(),
        label: options.label.clone(),
        split: options.split.clone(),
        id: options.id.clone(),
    };
    let mut notes = Vec::new();
    let mut extra = Vec::new();
    match &plan.image {
        Some(name) => notes.push(format!("image column: `{name}` (given)")),
        None if plan.text.is_empty() && content == ContentColumns::Guessed => {
            guess_image(columns, &mut plan, &mut notes);
        }
        None => {}
    }
    if plan.label.is_none() {
        guess_label(columns, &mut plan, &mut extra);
    } else {
        extra.extend(plan.label.iter().map(|name| format!("label column: `{name}` (given)")));
    }
    if plan.split.is_none() {
        guess_split(columns, &mut plan, &mut extra);
    } else {
        extra.extend(plan.split.iter().map(|name| format!("split column: `{name}` (given)")));
    }
    if plan.id.is_none() {
        guess_id(columns, &mut plan, &mut extra);
    } else {
        extra.extend(plan.id.iter().map(|name| format!("id column: `{name}` (given)")));
    }
    if plan.image.is_some() {
        plan.text.clear();
    } else if !plan.text.is_empty() {
        let names: Vec<_> = plan.text.iter().map(|name| format!("`{name}`")).collect();
        let columns = if names.len() == 1 { "column" } else { "columns" };
        notes.push(format!("text {columns}: {} (given)", names.join(", ")));
    } else if content == ContentColumns::Guessed {
        guess_text(columns, &mut plan, &mut notes);
    }
    notes.append(&mut extra);
    for it in columns.columns.iter().filter(|it| 0 < it.bytes && !plan.is_content(&it.name)) {
        notes.push(format!("column `{}` was left out: it holds bytes", it.name));
    }
    (plan, notes)
}

fn is_image(picture: &Picture) -> bool {
    match picture {
        Picture::File(bytes) => image::kind(bytes).is_some(),
        Picture::Raw(_) => true,
    }
}

/// Whether `text` is the path of a file that is there and called like an image.
fn is_image_path(text: &str, base: &Path) -> bool {
    let path = Path::new(text);
    image::kind_by_extension(&formats::extension(path)).is_some() && base.join(path).is_file()
}

fn guess_image(columns: &Columns, plan: &mut Plan, notes: &mut Vec<String>) {
    let by_name = columns.named(&IMAGE_NAMES).find(|it| it.is_image());
    let why = if by_name.is_some() { "by its name and content" } else { "it holds images" };
    if let Some(it) = by_name.or_else(|| columns.columns.iter().find(|it| it.is_image())) {
        notes.push(format!("image column: `{}` ({why})", it.name));
        plan.image = Some(it.name.clone());
    }
}

fn guess_text(columns: &Columns, plan: &mut Plan, notes: &mut Vec<String>) {
    let is_free = |it: &&ColumnStats| {
        let taken = [&plan.label, &plan.split, &plan.id];
        it.is_text() && !taken.iter().any(|name| name.as_deref() == Some(it.name.as_str()))
    };
    let (name, why) = if let Some(it) = columns.named(&TEXT_NAMES).find(is_free) {
        (it.name.clone(), "by its name".to_owned())
    } else {
        let others: Vec<_> = columns.columns.iter().filter(is_free).collect();
        // The first of the longest.
        let longest = others.iter().rev().max_by_key(|it| it.mean_chars());
        let Some(it) = longest else { return };
        let why = match others.len() {
            1 => "the only one that holds text".to_owned(),
            _ => format!("its texts are the longest: {} characters on average", it.mean_chars()),
        };
        (it.name.clone(), why)
    };
    notes.push(format!("text column: `{name}` ({why})"));
    plan.text.push(name);
}

fn guess_label(columns: &Columns, plan: &mut Plan, notes: &mut Vec<String>) {
    for it in columns.named(&LABEL_NAMES).filter(|it| 0 < it.values && !plan.is_content(&it.name)) {
        let (name, n, n_distinct) = (&it.name, it.values, it.distinct.len());
        if 0 < it.nested {
            notes.push(format!("`{name}` was not taken for the label: it holds lists or objects"));
        } else if MIN_ROWS_FOR_DISTINCT <= n && 9 * n < 10 * n_distinct {
            let what = format!("it has {n_distinct} distinct values in the first {n} rows");
            notes.push(format!("`{name}` was not taken for the label: {what}; --label {name} takes it"));
        } else {
            notes.push(format!("label column: `{name}` (by its name)"));
            plan.label = Some(name.clone());
            return;
        }
    }
}

fn guess_split(columns: &Columns, plan: &mut Plan, notes: &mut Vec<String>) {
    for it in columns.named(&SPLIT_NAMES).filter(|it| 0 < it.values && !plan.is_content(&it.name)) {
        let (name, n_distinct) = (&it.name, it.distinct.len());
        if it.nested == 0 && n_distinct <= MAX_GUESSED_SPLITS {
            notes.push(format!("split column: `{name}` (by its name)"));
            plan.split = Some(name.clone());
            return;
        }
        notes.push(format!(
            "`{name}` was not taken for the split: it has {n_distinct} distinct values in the first rows"
        ));
    }
}

fn guess_id(columns: &Columns, plan: &mut Plan, notes: &mut Vec<String>) {
    let taken = [plan.label.clone(), plan.split.clone()];
    let is_free = |it: &&ColumnStats| {
        0 < it.values && !plan.is_content(&it.name) && !taken.iter().flatten().any(|name| *name == it.name)
    };
    for it in columns.named(&ID_NAMES).filter(is_free) {
        let name = &it.name;
        if it.nested == 0 && it.distinct.len() == it.values {
            notes.push(format!("id column: `{name}` (by its name, and its values differ)"));
            plan.id = Some(name.clone());
            return;
        }
        notes.push(format!("`{name}` was not taken for the id: its values repeat; --id {name} takes it"));
    }
}

/// The name with the smallest edit distance, if it is near enough to be a slip: at most a third of the letters, and two
/// at least.
pub(crate) fn nearest(name: &str, among: &[String]) -> Option<String> {
    let lower = name.to_lowercase();
    let distance = |it: &&String| edit_distance(&lower, &it.to_lowercase());
    let best = among.iter().min_by_key(distance)?;
    (distance(&best) <= (name.chars().count() / 3).max(2)).then(|| best.clone())
}

/// Levenshtein's distance: insertions, deletions and substitutions.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn columns(rows: &[serde_json::Value]) -> Columns {
        let mut columns = Columns::default();
        for row in rows {
            let cells = row.as_object().unwrap().iter();
            let cells = cells.map(|(name, value)| (name.as_str().into(), Cell::from_json(value.clone())));
            columns.add(&cells.collect::<Vec<_>>(), Path::new("."));
        }
        columns
    }

    fn check(rows: &[serde_json::Value], expected: &[&str]) -> Plan {
        let (plan, notes) = choose(&columns(rows), &ReadOptions::default(), ContentColumns::Guessed);
        assert_eq!(notes, expected);
        plan
    }

    #[test]
    fn names_come_before_lengths() {
        check(
            &[json!({"id": "a", "Label": 1, "blob": "long long long", "Text": "x"})],
            &[
                "text column: `Text` (by its name)",
                "label column: `Label` (by its name)",
                "id column: `id` (by its name, and its values differ)",
            ],
        );
    }

    #[test]
    fn without_a_name_the_longest_column_wins() {
        check(
            &[json!({"a": "xy", "b": "xyz", "n": "17"})],
            &["text column: `b` (its texts are the longest: 3 characters on average)"],
        );
        check(&[json!({"n": "17", "b": "xyz"})], &["text column: `b` (the only one that holds text)"]);
    }

    #[test]
    fn numbers_are_no_text() {
        let plan = check(&[json!({"text": "17", "n": 3})], &[]);
        assert!(plan.text.is_empty());
    }

    #[test]
    fn conversations_are_text() {
        let turns = json!([{"role": "user", "content": "hi"}]);
        check(&[json!({"messages": turns, "source": "web"})], &["text column: `messages` (by its name)"]);
    }

    #[test]
    fn a_label_that_differs_in_every_row_is_none() {
        let rows: Vec<_> = (0..20).map(|i| json!({"text": "x", "target": format!("t{i}")})).collect();
        check(
            &rows,
            &[
                "text column: `text` (by its name)",
                "`target` was not taken for the label: it has 20 distinct values in the first 20 rows; \
             --label target takes it",
            ],
        );
        check(&rows[..19], &["text column: `text` (by its name)", "label column: `target` (by its name)"]);
    }

    #[test]
    fn an_id_that_repeats_is_none() {
        let row = json!({"text": "x", "idx": 0});
        check(
            &[row.clone(), row],
            &[
                "text column: `text` (by its name)",
                "`idx` was not taken for the id: its values repeat; --id idx takes it",
            ],
        );
    }

    #[test]
    fn a_slip_is_mended() {
        let names = ["text".to_owned(), "label".to_owned()];
        assert_eq!(nearest("txet", &names).as_deref(), Some("text"));
        assert_eq!(nearest("labels", &names).as_deref(), Some("label"));
        assert_eq!(nearest("completely else", &names), None);
    }
}
