//! `tamis labels`.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use tamis::config;
use tamis_data::atomic::Commits;
use tamis_labels::{Error, LabelEvidence};

use super::set_n_threads;
use crate::args::LabelsArgs;
use crate::exit::{ExitStatus, print_to_stderr};
use crate::progress::Bars;

mod given;

mod probabilities;

mod record;

mod tasks;

mod text;

mod vectors;

/// Name of the JSON file in the folder of `--out`.
const RECORD: &str = "labels.json";

/// The label of a class in results that has none.
const NO_CLASS: i64 = -1;

/// Said where evidence is none.
const UNINFORMATIVE: &str = "nothing is suspected: what is known of the rows names the given label no more often than the most \
                             frequent label alone would, so either it says nothing of these labels, or the rows are too few";

/// What the library calls the numbers of `--num-to-remove-per-class`.
const TO_REMOVE: &str = "num_to_remove_per_class";

/// Labels, judged. Rows are those of the files.
struct Judged {
    /// Number of rows, those without a label included.
    n: usize,
    /// Names of the classes; `None` where labels are numbers.
    classes: Option<Vec<String>>,
    /// Rows given each label.
    given: Vec<u64>,
    labels: Vec<Option<u32>>,
    missing: Vec<usize>,
    filter: String,
    rank: String,
    /// Sentences.
    notes: Vec<String>,
    /// Worst first.
    issues: Vec<usize>,
    /// By row; low is suspicious, NaN where it is not judged.
    quality: Vec<f64>,
    /// By row: the most probable other class, or the most probable one; [`NO_CLASS`] where there is none.
    suggested: Vec<i64>,
    confident: Option<Confident>,
    evidence: Option<LabelEvidence>,
}

/// What confident learning counts.
struct Confident {
    thresholds: Vec<f64>,
    joint: ndarray::Array2<u64>,
    latent: tamis_labels::LatentEstimate,
    health: tamis_labels::HealthSummary,
    off_diagonal_calibrated: u64,
}

impl Judged {
    /// The name of a class: its number where it has none.
    fn class(&self, class: usize) -> String {
        self.classes.as_ref().and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Judges and prints.
pub(crate) fn run(args: &LabelsArgs) -> anyhow::Result<ExitStatus> {
    let (file, _) = config::load(args.config.as_deref())?;
    set_n_threads(args.threads.or(file.threads))?;
    if let Some(task) = args.task {
        return tasks::run(args, task).with_context(|| format!("cannot do --task {}", task.id()));
    }
    let given = given::Given::read(args)?;
    let judged = match (&args.pred_probs, &args.vectors) {
        (Some(path), _) => probabilities::judge(args, path, given)?,
        (None, Some(path)) => vectors::judge(args, path, given, &file, &Bars::new(args.quiet))?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let text = text::text(&judged, args.out.as_deref());
    if !args.quiet {
        for note in &judged.notes {
            print_to_stderr(&format!("{note}\n"));
        }
    }
    let json = write(args.out.as_deref(), judged, args.format == "json")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    match json {
        Some(record) => {
            serde_json::to_writer(&mut out, &record)?;
            out.write_all(b"\n")?;
        }
        None => out.write_all(text.as_bytes())?,
    }
    out.flush()?;
    Ok(ExitStatus::Clean)
}

/// Whether an error can be corrected on the command line.
pub(crate) fn is_usage(error: &Error) -> bool {
    match error {
        Error::InvalidOption { .. } | Error::Unsupported { .. } => true,
        Error::LengthMismatch { what, .. } | Error::ValueOutOfRange { what, .. } => *what == TO_REMOVE,
        _ => false,
    }
}

/// What the user can do about labels or probabilities that cannot be used.
pub(crate) fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::RowSum { .. } => "--renormalize divides each row by its sum; of logits take the soft-max first",
        Error::ValueOutOfRange { what: "probabilities", got, .. } if got.is_nan() => {
            "a fold that was not predicted leaves NaN: predict those rows, or mark their labels as missing by -1"
        }
        Error::ValueOutOfRange { what: "probabilities", .. } => {
            "take the soft-max of logits; --renormalize divides counts by their sums"
        }
        Error::EmptyRow { .. } => "predict that row, or mark its label as missing by -1",
        Error::LabelOutOfRange { .. } => "labels count from 0, one for each column; subtract 1 if they count from 1",
        Error::TooFew { what: "probabilities", unit: "columns", .. } => {
            "two classes take two columns, 1 - p and p: `numpy.c_[1 - p, p]`"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Writes the folder, if one is asked for; the record, if it is to be printed.
fn write(
    folder: Option<&Path>,
    judged: Judged,
    is_printed: bool,
) -> anyhow::Result<Option<tamis_report::wire::v1::Labels>> {
    let Some(folder) = folder else {
        return Ok(is_printed.then(|| record::record(judged, &record::Inline)).transpose()?);
    };
    let commits = Commits::new();
    let cannot = |name: &str| format!("cannot write {}", folder.join(name).display());
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A record that is there is whole: the old one ends before its arrays do.
    commits.remove(&folder.join(RECORD)).with_context(|| cannot(RECORD))?;
    let files = record::Files { folder, commits: &commits };
    let record = record::record(judged, &files).with_context(|| format!("cannot write to {}", folder.display()))?;
    let written = commits.write(&folder.join(RECORD), |file| {
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, &record)?;
        out.write_all(b"\n")?;
        out.flush()
    });
    written.with_context(|| cannot(RECORD))?;
    Ok(is_printed.then_some(record))
}
