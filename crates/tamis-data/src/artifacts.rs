//! The Parquet files of an audit: samples, pairs, findings and thumbnails, for DuckDB, polars or pandas, and back.
//!
//! Files are compressed by zstd and written in row groups of bounded size. Column names and types are the wire format,
//! version 1; a column is only ever added.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tamis_core::{CheckReport, Contents, Dataset, ImageSource, Outcome, Pair, PairSet, Report, Rung, SampleId, State};

use crate::atomic::Commits;

pub use read::{Columns, read_thumbnails};

/// Rows that are put together in memory at once.
const BATCH_ROWS: usize = 8192;

/// A file of the audit could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file system said no.
    #[error("cannot write or read the file")]
    Io(#[from] io::Error),
    /// Columns do not fit together: a bug, or a damaged file.
    #[error("cannot put rows together")]
    Arrow(#[from] ArrowError),
    /// It is no Parquet file, or cannot become one.
    #[error("cannot write or read Parquet")]
    Parquet(#[from] ParquetError),
    /// Its bytes are not those that were written.
    #[error("damaged Parquet file ({0}), expected one that an audit has written")]
    Damaged(String),
    /// A column that every such file has is not there.
    #[error("{path}: `{column}` is not there as expected: {expected}")]
    Unlike {
        /// The file.
        path: std::path::PathBuf,
        /// The column.
        column: String,
        /// What it should be.
        expected: String,
    },
}

/// One row of `findings.parquet`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FindingRow {
    /// Id of the check.
    pub check: String,
    /// How bad: `info`, `low`, `medium` or `high`.
    pub severity: String,
    /// How sure: `low`, `medium` or `high`.
    pub confidence: String,
    /// The check's own number.
    pub score: f64,
    /// Keys of the samples, the one to act on first.
    pub keys: Vec<String>,
    /// One sentence for a person.
    pub message: String,
    /// What it rests on, a JSON object.
    pub evidence_json: String,
    /// What could be done, a JSON object.
    pub suggestion_json: Option<String>,
    /// Stable across runs.
    pub fingerprint: String,
    /// `new` or `known` beside the baseline.
    pub baseline: Option<String>,
    /// Why it does not count.
    pub suppressed: Option<String>,
}

/// Writes `samples.parquet`: one row a sample, in reading order.
///
/// Columns: `key file row split label state note`, one `identity_` column for each level in hexadecimal, for images `width
/// height mode format phash dhash`, `family` (key of
/// the first sample of its family; its own where there is none), `star` (key of the sample that is kept in its star; null
/// where it is in none), `x` and `y` (its place on the map; null without a vector, and where no check needed neighbors). Then for each check its score, where it has one, and whether a finding names the sample; null
/// where the check did not run. Last the user's own columns, as `column.<name>`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_samples(commits: &Commits, path: &Path, report: &Report<'_>) -> Result<(), ArtifactError> {
    let columns = sample_columns(report);
    let checks = check_columns(report, &columns);
    let mut fields: Vec<Field> =
        columns.iter().map(|(name, kind, nullable, _)| Field::new(name, kind.clone(), *nullable)).collect();
    for check in &checks {
        fields.extend(check.score.as_ref().map(|(name, _)| Field::new(name, DataType::Float32, true)));
        fields.push(Field::new(&check.name, DataType::Boolean, true));
    }
    for column in report.dataset.columns() {
        fields.push(Field::new(format!("column.{}", column.name), DataType::Utf8, true));
    }
    let ids: Vec<SampleId> = report.dataset.ids().collect();
    let batches = ids.chunks(BATCH_ROWS).map(|ids| {
        let mut arrays: Vec<ArrayRef> = columns.iter().map(|(_, _, _, values)| values(ids)).collect();
        for check in &checks {
            arrays.extend(check.score.as_ref().map(|(_, values)| scores(values, ids)));
            arrays.push(check.flags(ids));
        }
        for column in report.dataset.columns() {
            let values = ids.iter().map(|id| column.get(*id));
            arrays.push(Arc::new(values.collect::<StringArray>()));
        }
        arrays
    });
    write(commits, path, fields, batches)
}

/// Writes `pairs.parquet`: one row a pair, in the order of the report.
///
/// Columns: `a_key b_key a_split b_split kind similarity verified rung score`. `kind` is the join that found the pair and
/// `similarity` what it measured; `verified` says whether the contents themselves were compared, `score` how much of them
/// agrees, and `rung` whether that makes the pair a `copy` or only `semantic`; null where it is neither, but was close
/// enough to be told from others.
///
/// # Errors
/// When the file cannot be written.
pub fn write_pairs(commits: &Commits, path: &Path, report: &Report<'_>) -> Result<(), ArtifactError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let fields = vec![
        text("a_key"),
        text("b_key"),
        text("a_split"),
        text("b_split"),
        text("kind"),
        Field::new("similarity", DataType::Float32, false),
        Field::new("verified", DataType::Boolean, false),
        Field::new("rung", DataType::Utf8, true),
        Field::new("score", DataType::Float32, true),
    ];
    let sets = report.pairs.iter().copied();
    let batches = sets.flat_map(|set| set.pairs.chunks(BATCH_ROWS).map(move |pairs| (set, pairs)));
    write(commits, path, fields, batches.map(|(set, pairs)| pair_columns(report.dataset, set, pairs)))
}

/// Writes `findings.parquet`: one row a finding, in the order given.
///
/// Columns: `check severity confidence score samples message evidence suggestion fingerprint`; `samples` is a list of
/// keys, `evidence` and `suggestion` are JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_findings(commits: &Commits, path: &Path, rows: &[FindingRow]) -> Result<(), ArtifactError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let item = Arc::new(Field::new("item", DataType::Utf8, false));
    let fields = vec![
        text("check"),
        text("severity"),
        text("confidence"),
        Field::new("score", DataType::Float64, false),
        Field::new("samples", DataType::List(Arc::clone(&item)), false),
        text("message"),
        text("evidence"),
        Field::new("suggestion", DataType::Utf8, true),
        text("fingerprint"),
        Field::new("baseline", DataType::Utf8, true),
        Field::new("suppressed", DataType::Utf8, true),
    ];
    let batches = rows.chunks(BATCH_ROWS).map(|rows| {
        let text = |of: fn(&FindingRow) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
        };
        let mut samples = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(&item));
        for row in rows {
            samples.append_value(row.keys.iter().map(Some));
        }
        vec![
            text(|it| &it.check),
            text(|it| &it.severity),
            text(|it| &it.confidence),
            Arc::new(rows.iter().map(|it| it.score).collect::<Float64Array>()),
            Arc::new(samples.finish()),
            text(|it| &it.message),
            text(|it| &it.evidence_json),
            Arc::new(rows.iter().map(|it| it.suggestion_json.as_deref()).collect::<StringArray>()),
            text(|it| &it.fingerprint),
            Arc::new(rows.iter().map(|it| it.baseline.as_deref()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|it| it.suppressed.as_deref()).collect::<StringArray>()),
        ]
    });
    write(commits, path, fields, batches)
}

/// Writes a list of samples with a word about each: columns `key file row split status`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_statuses(
    commits: &Commits,
    path: &Path,
    dataset: &Dataset,
    samples: &[(SampleId, &str)],
) -> Result<(), ArtifactError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let fields =
        vec![text("key"), text("file"), Field::new("row", DataType::Int64, true), text("split"), text("status")];
    let batches = samples.chunks(BATCH_ROWS).map(|samples| {
        let text = |of: &dyn Fn(SampleId) -> String| -> ArrayRef {
            Arc::new(samples.iter().map(|(id, _)| Some(of(*id))).collect::<StringArray>())
        };
        let row = |id: &SampleId| dataset.sample(*id).origin.row.and_then(|row| i64::try_from(row).ok());
        vec![
            text(&|id| dataset.key(id).to_owned()),
            text(&|id| dataset.path(id).to_string_lossy().into_owned()),
            Arc::new(samples.iter().map(|(id, _)| row(id)).collect::<Int64Array>()),
            text(&|id| dataset.split_name(id).to_owned()),
            Arc::new(samples.iter().map(|(_, status)| Some(*status)).collect::<StringArray>()),
        ]
    });
    write(commits, path, fields, batches)
}

/// Writes `thumbnails.parquet`: one row for each image that a finding names, in reading order.
///
/// Columns: `key image`; `image` has the shape `{bytes, path}` in which Hugging Face `datasets` keeps images, with a PNG or
/// JPEG file of at most 128 pixels a side; `bytes` is null where that can no longer be read back.
///
/// # Errors
/// When the file cannot be written.
pub fn write_thumbnails(
    commits: &Commits,
    path: &Path,
    report: &Report<'_>,
    images: &dyn ImageSource,
) -> Result<(), ArtifactError> {
    let parts =
        Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)]);
    let fields =
        vec![Field::new("key", DataType::Utf8, false), Field::new("image", DataType::Struct(parts.clone()), false)];
    let named: BTreeSet<SampleId> = report.findings().flat_map(|(_, it)| it.samples.iter().copied()).collect();
    let named: Vec<SampleId> = named.into_iter().filter(|id| images.facts(*id).is_some()).collect();
    let batches = named.chunks(BATCH_ROWS).map(|ids| {
        // A small version that has gone in the meantime is no reason to lose the others.
        let thumbnails: Vec<_> = ids.iter().map(|id| images.thumbnail(*id).unwrap_or(None)).collect();
        let keys: StringArray = ids.iter().map(|id| Some(report.dataset.key(*id))).collect();
        let bytes: BinaryArray = thumbnails.iter().map(Option::as_deref).collect();
        let none: StringArray = ids.iter().map(|_| None::<&str>).collect();
        let image = StructArray::new(parts.clone(), vec![Arc::new(bytes), Arc::new(none)], None);
        vec![Arc::new(keys) as ArrayRef, Arc::new(image) as ArrayRef]
    });
    write(commits, path, fields, batches)
}

/// A column of `samples.parquet`: name, type, whether it may be null, and the values for some samples.
type SampleColumn<'a> = (String, DataType, bool, Box<dyn Fn(&[SampleId]) -> ArrayRef + 'a>);

/// A column of texts.
fn text_column<'a>(
    name: impl Into<String>,
    nullable: bool,
    of: impl Fn(SampleId) -> Option<String> + 'a,
) -> SampleColumn<'a> {
    let values =
        move |ids: &[SampleId]| -> ArrayRef { Arc::new(ids.iter().map(|id| of(*id)).collect::<StringArray>()) };
    (name.into(), DataType::Utf8, nullable, Box::new(values))
}

/// A column of numbers.
fn number_column<'a>(name: &str, of: impl Fn(SampleId) -> Option<u64> + 'a) -> SampleColumn<'a> {
    let number = move |id: &SampleId| of(*id).and_then(|it| i64::try_from(it).ok());
    let values = move |ids: &[SampleId]| -> ArrayRef { Arc::new(ids.iter().map(&number).collect::<Int64Array>()) };
    (name.to_owned(), DataType::Int64, true, Box::new(values))
}

/// The columns that do not depend on checks and on what the user's columns are called.
fn sample_columns<'a>(report: &'a Report<'_>) -> Vec<SampleColumn<'a>> {
    let dataset = report.dataset;
    let mut columns = vec![
        text_column("key", false, |id| Some(dataset.key(id).to_owned())),
        text_column("file", false, |id| Some(dataset.path(id).to_string_lossy().into_owned())),
        number_column("row", |id| dataset.sample(id).origin.row),
        text_column("split", false, |id| Some(dataset.split_name(id).to_owned())),
        text_column("label", true, |id| dataset.label_name(id).map(str::to_owned)),
        text_column("state", false, |id| Some(state_name(&dataset.sample(id).state).to_owned())),
        text_column("note", true, |id| note(report, id)),
    ];
    for level in report.fingerprints.levels() {
        let hex = |id| report.fingerprints.digest(id, *level).map(|it| it.to_hex());
        columns.push(text_column(format!("identity_{}", level.id()), true, hex));
    }
    if let Contents::Images(images) = report.contents {
        columns.push(number_column("width", |id| Some(images.facts(id)?.width.into())));
        columns.push(number_column("height", |id| Some(images.facts(id)?.height.into())));
        columns.push(text_column("mode", true, |id| Some(images.facts(id)?.mode.id().to_owned())));
        columns.push(text_column("format", true, |id| Some(images.facts(id)?.format.to_owned())));
        columns.push(text_column("phash", true, |id| Some(format!("{:016x}", images.facts(id)?.phash))));
        columns.push(text_column("dhash", true, |id| Some(format!("{:016x}", images.facts(id)?.dhash))));
    }
    let stars = star_leaders(report);
    columns.push(text_column("family", false, |id| Some(dataset.key(report.families.first(id)).to_owned())));
    let place = |axis: usize| {
        move |ids: &[SampleId]| -> ArrayRef {
            let place = |id: &SampleId| report.map.and_then(|map| map.place(*id)).map(|it| it[axis]);
            Arc::new(ids.iter().map(place).collect::<Float32Array>())
        }
    };
    columns.push(text_column("star", true, move |id| stars.get(&id).map(|it| dataset.key(*it).to_owned())));
    columns.push(("x".to_owned(), DataType::Float32, true, Box::new(place(0))));
    columns.push(("y".to_owned(), DataType::Float32, true, Box::new(place(1))));
    columns
}

/// The kept sample of each sample that is in a star, itself included.
fn star_leaders(report: &Report<'_>) -> BTreeMap<SampleId, SampleId> {
    let stars = report.pairs.iter().flat_map(|pairs| &pairs.stars);
    stars
        .flat_map(|star| star.members.iter().map(|(id, _)| *id).chain([star.leader]).map(|id| (id, star.leader)))
        .collect()
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Empty => "empty",
        State::Unreadable(_) => "unreadable",
    }
}

/// Why a sample is unreadable, and what was noticed while reading it.
fn note(report: &Report<'_>, id: SampleId) -> Option<String> {
    let sample = report.dataset.sample(id);
    let reason = match &sample.state {
        State::Unreadable(reason) => Some(reason.as_str()),
        State::Ok | State::Empty => None,
    };
    let of_image = match report.contents {
        Contents::Images(images) => images.facts(id).and_then(|it| it.note.as_deref()),
        Contents::Texts(_) => None,
    };
    let notes: Vec<&str> = [reason, of_image, sample.note.as_deref()].into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// What one check says of every sample.
struct CheckColumns<'a> {
    name: String,
    score: Option<(String, &'a [f32])>,
    /// `None` where the check did not run.
    flagged: Option<BTreeSet<SampleId>>,
}

/// The columns of all checks, under names of their own.
fn check_columns<'a>(report: &'a Report<'_>, columns: &[SampleColumn<'_>]) -> Vec<CheckColumns<'a>> {
    let mut taken: BTreeSet<String> = columns.iter().map(|(name, ..)| name.clone()).collect();
    taken.extend(report.checks.iter().map(flag_name));
    let mut columns = Vec::with_capacity(report.checks.len());
    for check in report.checks.iter() {
        let result = match &check.outcome {
            Outcome::Ran(result) => Some(result),
            Outcome::Skipped(_) | Outcome::Failed(_) => None,
        };
        let score = result.and_then(|it| it.scores.as_ref()).map(|scores| {
            let mut name = scores.name.to_string();
            while !taken.insert(name.clone()) {
                name.push_str("_score");
            }
            (name, scores.values.as_slice())
        });
        let flagged = result.map(|it| it.findings.iter().flat_map(|finding| finding.samples.iter().copied()).collect());
        columns.push(CheckColumns { name: flag_name(check), score, flagged });
    }
    columns
}

fn flag_name(check: &CheckReport) -> String {
    check.info.id.replace('-', "_")
}

impl CheckColumns<'_> {
    fn flags(&self, ids: &[SampleId]) -> ArrayRef {
        let flag = |id: &SampleId| self.flagged.as_ref().map(|it| it.contains(id));
        Arc::new(ids.iter().map(flag).collect::<BooleanArray>())
    }
}

/// NaN, where a check says nothing, becomes null.
fn scores(values: &[f32], ids: &[SampleId]) -> ArrayRef {
    let score = |id: &SampleId| values.get(id.idx()).copied().filter(|it| !it.is_nan());
    Arc::new(ids.iter().map(score).collect::<Float32Array>())
}

fn pair_columns(dataset: &Dataset, set: &PairSet, pairs: &[Pair]) -> Vec<ArrayRef> {
    let text = |of: &dyn Fn(&Pair) -> String| -> ArrayRef {
        Arc::new(pairs.iter().map(|it| Some(of(it))).collect::<StringArray>())
    };
    vec![
        text(&|it| dataset.key(it.a).to_owned()),
        text(&|it| dataset.key(it.b).to_owned()),
        text(&|it| dataset.split_name(it.a).to_owned()),
        text(&|it| dataset.split_name(it.b).to_owned()),
        text(&|it| it.kind.id().to_owned()),
        Arc::new(pairs.iter().map(|it| it.similarity).collect::<Float32Array>()),
        Arc::new(pairs.iter().map(|it| Some(it.verified.is_some())).collect::<BooleanArray>()),
        Arc::new(pairs.iter().map(|it| set.rung(it).map(Rung::id)).collect::<StringArray>()),
        Arc::new(pairs.iter().map(|it| it.verified.map(|it| it.score)).collect::<Float32Array>()),
    ]
}

fn write(
    commits: &Commits,
    path: &Path,
    fields: Vec<Field>,
    batches: impl Iterator<Item = Vec<ArrayRef>>,
) -> Result<(), ArtifactError> {
    let schema = Arc::new(Schema::new(fields));
    let level = ZstdLevel::default();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    commits.write(path, |file: &mut File| {
        let mut writer = ArrowWriter::try_new(&mut *file, Arc::clone(&schema), Some(properties))?;
        for columns in batches {
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
        writer.close()?;
        Ok(())
    })
}
