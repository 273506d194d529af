//! Labels of other tasks than one class for each row.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use ndarray::Array2;
use serde_json::{Map, Value as Json, json};
use tamis_data::arrays::{ArrayFile, Floats};
use tamis_data::atomic::Commits;

use super::RECORD;
use crate::args::{LabelsArgs, LabelsTask};
use crate::exit::{ExitStatus, Usage};
use crate::progress::Bars;

mod multi_annotator;

mod multi_label;

mod out_of_distribution;

mod regression;

mod shapley;

mod token;

/// Value of `schema`.
const SCHEMA: &str = "tamis-labels-task/1";

/// Rows that are shown.
const MAX_SHOWN: usize = 10;

/// What a task found.
struct Found {
    /// Number of rows.
    n: usize,
    /// What is looked at first, as it is called, with its score.
    worst: Vec<(String, f64)>,
    /// What else there is to say. Sentences.
    notes: Vec<String>,
    /// The numbers.
    json: Json,
}

/// Judges and prints.
pub(super) fn run(args: &LabelsArgs, task: LabelsTask) -> anyhow::Result<ExitStatus> {
    let found = match task {
        LabelsTask::MultiLabel => multi_label::judge(args)?,
        LabelsTask::MultiAnnotator => multi_annotator::judge(args)?,
        LabelsTask::Token => token::judge(args)?,
        LabelsTask::OutOfDistribution => out_of_distribution::judge(args, &Bars::new(args.quiet))?,
        LabelsTask::Regression => regression::judge(args)?,
        LabelsTask::Shapley => shapley::judge(args, &Bars::new(args.quiet))?,
    };
    let Found { n, worst, notes, json } = found;
    let mut record = Map::new();
    let tool = json!({"name": "tamis", "version": env!("CARGO_PKG_VERSION")});
    record.extend([("schema".to_owned(), json!(SCHEMA)), ("tool".to_owned(), tool)]);
    record.extend([("task".to_owned(), json!(task.id())), ("n".to_owned(), json!(n))]);
    if let Json::Object(numbers) = json {
        record.extend(numbers);
    }
    if let Some(folder) = &args.out {
        let path = folder.join(RECORD);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let written = Commits::new().write(&path, |file| {
            let mut out = BufWriter::new(file);
            serde_json::to_writer(&mut out, &record)?;
            out.write_all(b"\n")?;
            out.flush()
        });
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    if args.format == "json" {
        serde_json::to_writer(&mut out, &record)?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "{}, {n} rows", task.id())?;
        notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        if !worst.is_empty() {
            writeln!(out, "\nlowest scores")?;
        }
        worst.iter().take(MAX_SHOWN).try_for_each(|(what, score)| writeln!(out, "  {score:.4}  {what}"))?;
        writeln!(out, "\nall of it: --format json, or --out DIR")?;
    }
    out.flush()?;
    Ok(ExitStatus::Clean)
}

/// A file that a task needs.
fn needed<'a>(args: &LabelsArgs, flag: &str, path: &'a Option<std::path::PathBuf>) -> Result<&'a Path, Usage> {
    let task = args.task.map_or("", LabelsTask::id);
    path.as_deref().ok_or_else(|| Usage(format!("--task {task} wants {flag}")))
}

fn open(path: &Path) -> anyhow::Result<ArrayFile> {
    ArrayFile::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Says which file a task could not use.
fn with_path<T>(path: &Path, found: Result<T, String>) -> anyhow::Result<T> {
    found.map_err(anyhow::Error::msg).with_context(|| format!("cannot use {}", path.display()))
}

/// Probabilities in single precision.
fn probabilities(path: &Path) -> anyhow::Result<Array2<f32>> {
    let file = open(path)?;
    let table = with_path(path, file.table())?;
    #[expect(clippy::cast_possible_truncation, reason = "what these tasks compute with")]
    let values: Vec<f32> = match table.values {
        Floats::F32(values) => values.into_owned(),
        Floats::F64(values) => values.iter().map(|it| *it as f32).collect(),
    };
    let (n, k) = (table.n_rows, table.n_columns);
    if table.is_by_columns {
        return Ok(Array2::from_shape_vec((k, n), values)?.reversed_axes());
    }
    Ok(Array2::from_shape_vec((n, k), values)?)
}

/// Whole numbers of two dimensions.
fn whole(path: &Path) -> anyhow::Result<Array2<i64>> {
    let file = open(path)?;
    let values = with_path(path, file.integers())?;
    let [n, k] = file.shape()[..] else {
        let text = format!("{} has {} dimensions, expected two", path.display(), file.shape().len());
        anyhow::bail!(text);
    };
    if file.is_by_columns() {
        return Ok(Array2::from_shape_vec((k, n), values)?.reversed_axes());
    }
    Ok(Array2::from_shape_vec((n, k), values)?)
}

/// Labels of one class for each row, none of them missing.
fn classes(path: &Path) -> anyhow::Result<Vec<u32>> {
    let file = open(path)?;
    let class = |(row, number): (usize, i64)| {
        u32::try_from(number).map_err(|_| format!("row {row} is {number}, expected the number of a class from 0 on"))
    };
    let numbers = with_path(path, file.integers())?;
    with_path(path, numbers.into_iter().enumerate().map(class).collect())
}

/// Row numbers by ascending score; ties to the smaller row.
fn worst(scores: &[f64]) -> Vec<(String, f64)> {
    let lowest = tamis_labels::lowest(scores, MAX_SHOWN);
    lowest.into_iter().map(|row| (format!("row {row}"), scores[row])).collect()
}

/// Numbers as JSON has them: NaN is null.
fn numbers<'a>(values: impl IntoIterator<Item = &'a f64>) -> Json {
    values.into_iter().map(|it| json!(Some(*it).filter(|it| it.is_finite()))).collect()
}

/// The score of `--score`, which must be one of `known`.
fn score<'a, T: Copy>(args: &'a LabelsArgs, known: &[(&'a str, T)]) -> Result<(&'a str, T), Usage> {
    let name = args.score.as_deref().unwrap_or(known[0].0);
    let found = known.iter().find(|(it, _)| *it == name).copied();
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|it| it.0).collect();
        Usage(format!("--score is `{name}`, expected one of {}", names.join(", ")))
    })
}
