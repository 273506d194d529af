//! What can be typed. Meaning is given to it in `tamis::config` and in the commands.

mod apply;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use tamis::date::Date;
use tamis_core::Severity;
use tamis_data::FORMATS;
use tamis_data::image::Pdq;
use tamis_embed::DeviceChoice;
use tamis_labels::{Filter, QualityScore};
use tamis_neighbors::Shingle;
use tamis_report::RENDERERS;

mod record;

pub(crate) use apply::{ApplyArgs, LinkChoice};
pub(crate) use record::{AgainArgs, CardArgs, DiffArgs, PageArgs};

/// Audits a dataset before somebody trains or evaluates on it.
#[derive(Debug, clap::Parser)]
#[command(name = "tamis", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say more on stderr; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Finds duplicates, leaks, wrong labels and outliers, and writes a report.
    Audit(AuditArgs),
    /// Acts on decisions: writes the dataset again in its own format and layout, without what was dropped.
    Apply(ApplyArgs),
    /// Embeds texts or images and writes their vectors as .npy.
    Embed(EmbedArgs),
    /// Lists pairs of texts, vectors or images that are alike, found exactly.
    Pairs(PairsArgs),
    /// Finds samples of a test set, or of public benchmarks, that stand in the data that is trained on.
    Leaks(LeaksArgs),
    /// Finds labels that are probably wrong, by out-of-sample probabilities or by vectors.
    Labels(LabelsArgs),
    /// Renders the record of an audit again, without auditing.
    Report(AgainArgs),
    /// Compares two versions of a dataset: samples, labels, findings, distributions.
    Diff(DiffArgs),
    /// Writes what an audit measured into the card of a dataset.
    Card(CardArgs),
    /// Prints the page of a check: what it does, how, and when it is wrong.
    Explain(ExplainArgs),
    /// Lists the models that have a name, shows, downloads and verifies them.
    Models(ModelsArgs),
    /// Shows version, threads, device and models, and tries them.
    Doctor,
    /// Prints completions for a shell.
    Completions(CompletionsArgs),
}

/// What to read and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadArgs {
    /// Files or folders; `SPLIT=PATH` puts a path into a split.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// Reads all inputs as one format instead of telling it from their content.
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.id())))]
    pub(crate) from: Option<String>,
    /// Column that is the text; several are joined by a line break.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) text: Vec<String>,
    /// Column that is the image, or its path relative to the table.
    #[arg(long, value_name = "COLUMN", conflicts_with = "text")]
    pub(crate) image: Option<String>,
    /// Column that is the label.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Column that is the split.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) split: Option<String>,
    /// Column that is the key of a sample.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) id: Option<String>,
    /// File or folder that is trained on.
    #[arg(long, value_name = "PATH")]
    pub(crate) train: Vec<PathBuf>,
    /// File or folder that choices are made on.
    #[arg(long, value_name = "PATH")]
    pub(crate) validation: Vec<PathBuf>,
    /// File or folder that is evaluated on.
    #[arg(long, value_name = "PATH")]
    pub(crate) test: Vec<PathBuf>,
    /// Model: the name of one that is bundled or was pulled, ORG/NAME of the hub, or a folder in hub layout.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Where to embed and join: auto, cpu, cuda, cuda:N, metal or metal:N. [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// Threads, at most 1024; the default is one per core.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Configuration file; the default is tamis.toml, then pyproject.toml, in the working folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How an audit reports, for the commands that run one.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// How the report is printed. [default: full]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(RENDERERS.iter().map(|it| it.id())))]
    pub(crate) format: Option<String>,
    /// Exits with 1 on findings of this severity and above. [default: high]
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::id)))]
    pub(crate) fail_on: Option<String>,
    /// Exits with 0 whatever is found.
    #[arg(long)]
    pub(crate) exit_zero: bool,
    /// Seed of all random choices. [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    /// An earlier record or its findings.jsonl: findings that it has too do not count.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// The day on which suppressions hold or have expired. [default: today]
    #[arg(long, hide = true, value_name = "DAY")]
    pub(crate) today: Option<Date>,
}

/// Arguments of `tamis audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Folder for the record; it is replaced file by file. [default: tamis-out]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Runs these checks only.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Leaves these checks out.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Sets an option of a check: CHECK.OPTION=VALUE.
    #[arg(long, value_name = "OPTION")]
    pub(crate) set: Vec<String>,
    /// Which of several copies is kept, near or identical, the first reason first: split (test before validation before
    /// train), size (most pixels, longest text), label (the one that most copies have), key (smallest), first, column:NAME
    /// (largest number). [default: split,size,label,key, and of identical ones the first]
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
    /// Class probabilities to judge labels by in place of vectors: .npy or Parquet, one row a sample in reading order, one
    /// column a label in ascending order; from a model that has not seen the sample.
    #[arg(long, value_name = "FILE")]
    pub(crate) pred_probs: Option<PathBuf>,
    /// Audits as this audit.json says: its inputs, model, device, checks with their options, and seed, and no configuration
    /// file; what is named beside it wins.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) like: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// Says what an audit would read, do and cost, and writes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For tests: stops for good at the n-th point at which a crash must do no harm.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) failpoint: Option<u64>,
    /// For tests: samples that are read and committed at once.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) window: Option<usize>,
}

/// Arguments of `tamis embed`.
#[derive(Debug, clap::Args)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// File for the vectors: f32, shape (samples, dim), in reading order; NaN where a sample has no vector.
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) out: PathBuf,
    /// Leaves the vectors as the model gives them but for their length; without it those of a model whose vectors crowd
    /// are centered, as an audit compares them.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// What makes two samples alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PairKind {
    /// Cosine of vectors.
    Cosine,
    /// Shingles of both texts over those of either.
    Jaccard,
    /// Shingles of both texts over those of the text with fewer.
    Containment,
    /// Bits in which perceptual hashes of images differ.
    Hamming,
    /// Pixels in common of two images, however the one was turned, cropped or scaled.
    Copy,
}

impl PairKind {
    /// Name in outputs.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Jaccard => "jaccard",
            Self::Containment => "containment",
            Self::Hamming => "hamming",
            Self::Copy => "copy",
        }
    }
}

/// A perceptual hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ImageHash {
    /// 64 bits, of the lowest 8 x 8 frequencies.
    Phash,
    /// 64 bits, of the differences of neighbors.
    Dhash,
    /// 256 bits, of 16 x 16 frequencies; images with too little in them for it are left out.
    Pdq,
}

impl ImageHash {
    /// Name in outputs.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Phash => "phash",
            Self::Dhash => "dhash",
            Self::Pdq => "pdq",
        }
    }

    /// Bits of a hash.
    pub(crate) fn n_bits(self) -> u32 {
        if self == Self::Pdq { 256 } else { 64 }
    }

    /// Most bits that differ where it is not said; `None` where it has to be.
    pub(crate) fn default_radius(self) -> Option<u32> {
        (self == Self::Pdq).then_some(Pdq::RADIUS)
    }
}

/// Arguments of `tamis pairs`.
#[derive(Debug, clap::Args)]
pub(crate) struct PairsArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// What makes two samples alike.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: PairKind,
    /// Smallest similarity that is listed; for hamming, the share of bits that agree. [default: for copy the calibrated one]
    #[arg(long, value_name = "SIMILARITY", allow_negative_numbers = true)]
    pub(crate) min: Option<f64>,
    /// Most bits that may differ, of 64 or of the 256 of pdq, for hamming. [default: 31 for pdq]
    #[arg(long, value_name = "BITS", conflicts_with = "min", value_parser = clap::value_parser!(u32).range(0..=256))]
    pub(crate) radius: Option<u32>,
    /// Which hashes of images are compared. [default: phash]
    #[arg(long, value_name = "HASH")]
    pub(crate) hash: Option<ImageHash>,
    /// Compares each image in all eight orientations, for hamming with phash and pdq: finds what was mirrored or turned by 90,
    /// 180 or 270 degrees.
    #[arg(long)]
    pub(crate) turned: bool,
    /// What of a text is compared: runs of so many words (word:N), of characters (char:N), or of words of a-z and 0-9 alone
    /// (alnum:N), in lower case. [default: word:3]
    #[arg(long, value_name = "SHINGLE")]
    pub(crate) shingle: Option<Shingle>,
    /// Compares windows of so many words, overlapping by half, where texts are longer, and lists the most similar two of each
    /// pair of texts and where they are: finds passages that long texts have in common.
    #[arg(long, value_name = "WORDS", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) window: Option<u32>,
    /// For more texts than fit: reads them twice, keeps little of each the first time, and compares what may have a pair, for
    /// jaccard. Misses some pairs; similarities are exact.
    #[arg(long, conflicts_with = "window")]
    pub(crate) approximate: bool,
    /// Share of pairs at the minimum that --approximate finds, expected; of more similar ones it finds more. [default: 0.99]
    #[arg(long, value_name = "SHARE", requires = "approximate")]
    pub(crate) recall: Option<f64>,
    /// Says of each pair of texts the longest run of words that stands in both. Keeps the texts in memory.
    #[arg(long)]
    pub(crate) evidence: bool,
    /// Vectors to compare in the place of files: a .npy array of f16, f32 or f64 with a row for each, or a Parquet file with
    /// a column of lists. Keys are row numbers from 0.
    #[arg(long, value_name = "FILE")]
    pub(crate) vectors: Option<PathBuf>,
    /// Compares with the samples of this file or folder, or the vectors of this one, and not among each other.
    #[arg(long, value_name = "PATH")]
    pub(crate) against: Option<PathBuf>,
    /// Most pairs that are listed; further ones are counted.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) max_pairs: usize,
    /// How pairs are printed: similarity and keys with tabs between them, or one JSON object a line.
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "jsonl"])]
    pub(crate) format: String,
    /// File for the pairs, one JSON object a line, instead of the standard output.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) out: Option<PathBuf>,
}

impl PairsArgs {
    /// What of a text is compared.
    pub(crate) fn shingle(&self) -> Shingle {
        self.shingle.unwrap_or_default()
    }

    /// Share of pairs that is found, expected.
    pub(crate) fn recall(&self) -> f64 {
        self.recall.unwrap_or(0.99)
    }

    /// Which hashes are compared.
    pub(crate) fn hash(&self) -> ImageHash {
        self.hash.unwrap_or(ImageHash::Phash)
    }
}

/// Arguments of `tamis leaks`.
#[derive(Debug, clap::Args)]
pub(crate) struct LeaksArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// File or folder that is trained on, to be searched for benchmarks; as --train.
    #[arg(long, value_name = "PATH")]
    pub(crate) corpus: Vec<PathBuf>,
    /// File or folder of a benchmark; several are told apart by their names.
    #[arg(long, value_name = "PATH")]
    pub(crate) benchmark: Vec<PathBuf>,
    /// File or folder of samples that are known not to be in the training data and are otherwise like those of the test: a
    /// thousand or more make scores into a false-discovery rate.
    #[arg(long, value_name = "PATH")]
    pub(crate) reference: Vec<PathBuf>,
    /// Share of false ones among the samples called copies, with --reference. [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    pub(crate) fdr: Option<f64>,
    /// Smallest score that is called a copy, in the place of a false-discovery rate.
    #[arg(long, value_name = "SCORE", conflicts_with = "fdr")]
    pub(crate) min: Option<f64>,
    /// Counts the samples that share a run of so many words with the training data, as papers define contamination (13 in
    /// GPT-3's, 8 in others).
    #[arg(long, value_name = "WORDS", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) ngram: Option<u32>,
    /// A JSON object a line with `key` and `correct`, `score` or `prediction`: what leaks do to that metric.
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) predictions: Option<PathBuf>,
    /// Folder for the record; it is replaced file by file. [default: tamis-leaks]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Arguments of `tamis labels`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelsArgs {
    /// Given labels, one for each row: a .npy array of whole numbers, truth values or strings; a column of a CSV, TSV, JSON
    /// Lines or Parquet file; or the lines of a text file. -1, NaN or nothing where one is missing.
    #[arg(long, value_name = "FILE", required_unless_present = "task")]
    pub(crate) labels: Option<PathBuf>,
    /// Column of a table that is the label.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Names of the classes in the order of the columns of --pred-probs. [default: the names that are given, sorted]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Probabilities of a model that has not seen the labels it is judged by: a .npy array of f32, f64 or f16 with a row for
    /// each label and a column for each class.
    #[arg(long, value_name = "FILE.npy", required_unless_present_any = ["vectors", "task"], conflicts_with = "vectors")]
    pub(crate) pred_probs: Option<PathBuf>,
    /// Vectors to judge by in the place of probabilities: a .npy array with a row for each label, or a Parquet file with a
    /// column of lists.
    #[arg(long, value_name = "FILE")]
    pub(crate) vectors: Option<PathBuf>,
    /// Which rows are copies of each other, for --vectors: equal numbers or names, in a file as that of --labels. Rows with
    /// equal vectors are taken for copies in any case.
    #[arg(long, value_name = "FILE", conflicts_with = "pred_probs")]
    pub(crate) families: Option<PathBuf>,
    /// What is an issue: a filter of cleanlab, or `recommended`, tamis's own cut. [default: `prune_by_noise_rate`, and
    /// recommended for --vectors]
    #[arg(long, value_name = "FILTER", conflicts_with = "vectors", value_parser = PossibleValuesParser::new(filter_names()))]
    pub(crate) filter: Option<String>,
    /// What issues are ordered by. [default: `self_confidence`, and tamis's own evidence for recommended]
    #[arg(long, value_name = "SCORE", conflicts_with = "vectors", value_parser = PossibleValuesParser::new(QualityScore::ALL.map(QualityScore::name)))]
    pub(crate) rank: Option<String>,
    /// Compares probabilities relative to the thresholds of the classes when ranking.
    #[arg(long, conflicts_with = "vectors")]
    pub(crate) adjust: bool,
    /// Share of the estimated errors that are issues. [default: 1]
    #[arg(long, value_name = "SHARE", conflicts_with = "vectors", allow_negative_numbers = true)]
    pub(crate) frac_noise: Option<f64>,
    /// Rows of each label that are never issues. [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "vectors")]
    pub(crate) min_examples_per_class: Option<u64>,
    /// Issues of each given label, in the place of estimates, a number for each class.
    #[arg(long, value_name = "N", conflicts_with = "vectors", value_delimiter = ',')]
    pub(crate) num_to_remove_per_class: Vec<u64>,
    /// Which class counts where several are confident: the most probable of all (cleanlab) or of these (paper).
    /// [default: cleanlab]
    #[arg(long, value_name = "RULE", conflicts_with = "vectors", value_parser = ["cleanlab", "paper"])]
    pub(crate) collision: Option<String>,
    /// Judges other things than one class for each row; docs/labels.md says what of.
    #[arg(long, value_name = "TASK", conflicts_with_all = OF_CLASSES)]
    pub(crate) task: Option<LabelsTask>,
    /// Predicted numbers, for --task regression: a .npy array.
    #[arg(long, value_name = "FILE.npy", requires = "task")]
    pub(crate) predictions: Option<PathBuf>,
    /// Where sentences begin among the tokens, and their number at the end, for --task token: a .npy array.
    #[arg(long, value_name = "FILE.npy", requires = "task")]
    pub(crate) offsets: Option<PathBuf>,
    /// How a task scores; docs/labels.md lists what each one knows.
    #[arg(long, value_name = "SCORE", requires = "task")]
    pub(crate) score: Option<String>,
    /// Divides each row of the probabilities by its sum.
    #[arg(long, conflicts_with = "vectors")]
    pub(crate) renormalize: bool,
    /// How it is printed: for people, or as JSON (docs/schema/labels.v1.json).
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub(crate) format: String,
    /// Folder for labels.json and the large arrays as .npy files, which the JSON then names.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where neighbors are looked for: auto, cpu, cuda or cuda:N. [default: auto]
    #[arg(long, value_name = "DEVICE", conflicts_with = "pred_probs")]
    pub(crate) device: Option<DeviceChoice>,
    /// Threads, at most 1024; the default is one per core.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Configuration file; the default is tamis.toml, then pyproject.toml, in the working folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Shows no progress and no notes.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What is judged, where it is not one class for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LabelsTask {
    /// Any number of classes for each row.
    MultiLabel,
    /// Labels of several annotators.
    MultiAnnotator,
    /// Classes of the tokens of sentences.
    Token,
    /// Rows that belong to no class, or lie far from all others.
    OutOfDistribution,
    /// Labels that are numbers.
    Regression,
    /// What each row is worth to a vote of nearest neighbors.
    Shapley,
}

impl LabelsTask {
    /// Name in outputs.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::MultiLabel => "multi-label",
            Self::MultiAnnotator => "multi-annotator",
            Self::Token => "token",
            Self::OutOfDistribution => "out-of-distribution",
            Self::Regression => "regression",
            Self::Shapley => "shapley",
        }
    }
}

/// The options that tasks do not have.
const OF_CLASSES: [&str; 11] = [
    "label",
    "classes",
    "families",
    "filter",
    "rank",
    "adjust",
    "frac_noise",
    "min_examples_per_class",
    "num_to_remove_per_class",
    "collision",
    "renormalize",
];

/// The name of tamis's own cut.
pub(crate) const RECOMMENDED: &str = "recommended";

/// The names of all filters.
fn filter_names() -> impl Iterator<Item = &'static str> {
    Filter::ALL.map(Filter::name).into_iter().chain([RECOMMENDED])
}

/// Arguments of `tamis explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The check; without it all checks are listed.
    pub(crate) check: Option<String>,
}

/// Arguments of `tamis models`.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelsArgs {
    /// What to do with models.
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// The commands of `tamis models`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ModelsCommand {
    /// Lists the models that have a name, and says which are here.
    List(ModelsListArgs),
    /// Shows all that is known of a model.
    Show(ModelArgs),
    /// Downloads a model from the Hugging Face hub and pins its files.
    Pull(ModelsPullArgs),
    /// Compares the files of a model with their hashes, and tries it.
    Verify(ModelArgs),
    /// Makes a static model of a text model: quick on any machine, deaf to the order of words.
    Distill(ModelsDistillArgs),
}

/// Arguments of `tamis models list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelsListArgs {
    /// Prints one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `tamis models distill`.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelsDistillArgs {
    /// Name of a model that is here, or its folder.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Folder for the static model; it must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Numbers of a vector.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) dim: usize,
    /// Stores weights as int8: a quarter of the size.
    #[arg(long)]
    pub(crate) int8: bool,
    /// Where to embed the vocabulary: auto, cpu, cuda, cuda:N, metal or metal:N. [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Arguments of `tamis models pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelsPullArgs {
    /// Name of a model, or ORG/NAME of the hub.
    #[arg(value_name = "NAME")]
    pub(crate) model: String,
    /// Shows no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A model.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// Name of a model, ORG/NAME of the hub, or a folder.
    #[arg(value_name = "NAME")]
    pub(crate) model: String,
}

/// Arguments of `tamis completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
