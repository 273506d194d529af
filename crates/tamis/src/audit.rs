//! One audit from paths to a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tamis_checks::{CHECKS, CheckDef};
use tamis_core::{
    Check, CheckContext, CheckReport, Dataset, Embeddings, Evidence, IdentityGroups, InputFile, MatrixProducts,
    Modality, Need, Outcome, PairNeed, PairSearch, PairSet, Progress, Report, Severity, SplitRole, StageTime, Standing,
    Value,
};
use tamis_data::atomic::Commits;
use tamis_data::store::{Store, StoreError};
use tamis_data::{Input, ReadOptions, Reader};

use tamis_embed::hub::Hub;
use tamis_embed::{Device, DeviceProducts};
use tamis_report::wire::v1::{self, NotFinite};

use crate::device;
use crate::ingest::{IngestError, Ingested, Tally, WindowSize, ingest};
use crate::joins::{Joined, Joins, families};
use crate::keep_order::KeepOrder;
use crate::kept::StoreShelf;
use crate::model::{Model, UnfitModel};
use crate::models::{self, NoSuchModel};
use crate::probabilities::{self, BadProbabilities};
use crate::triage::Triage;

/// What the record says of `keep` where nothing was asked for: in that case alone, of identical samples the first is kept.
pub const USUAL_KEEP: &str = "split,size,label,key, and of identical ones the first";

/// What to audit and how; the meaning of every flag and key of the configuration, resolved.
#[derive(Debug)]
pub struct AuditOptions {
    /// What to read.
    pub inputs: Vec<Input>,
    /// How to read it.
    pub read: ReadOptions,
    /// Where the record goes.
    pub out: PathBuf,
    /// Name of the model; `None` for the one that is bundled for the samples.
    pub model: Option<String>,
    /// Where pulled models are.
    pub hub: Hub,
    /// Where to embed.
    pub device: Device,
    /// Checks with their options, in registry order.
    pub checks: Vec<Box<dyn Check>>,
    /// Which of several copies is best to keep; without it the usual order of copies, and the first of identical samples.
    pub keep: Option<KeepOrder>,
    /// A file with class probabilities of all samples, to judge labels by in place of vectors.
    pub pred_probs: Option<PathBuf>,
    /// The run's seed.
    pub seed: u64,
    /// The severity from which the caller takes the audit as failed, for the record.
    pub fail_on: Severity,
    /// The configuration file that was read, for the record.
    pub config_file: Option<PathBuf>,
    /// Whether `report.html` leaves contents out, for the record.
    pub redact: bool,
    /// Bytes that `report.html` may take, for the record.
    pub report_budget: usize,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// How much is read and committed at once.
    pub window: WindowSize,
    /// Writes all files of the record and of the store.
    pub commits: Arc<Commits>,
}

/// An audit that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Reading or embedding failed.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The model cannot be used.
    #[error("cannot load the model")]
    Model(#[from] UnfitModel),
    /// There is no such model.
    #[error(transparent)]
    NoSuchModel(#[from] NoSuchModel),
    /// Copies are to be kept by a column that is not there.
    #[error("there is no column `{name}` to keep copies by, expected one of: {known}")]
    NoSuchColumn {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// The probabilities that were brought do not fit.
    #[error(transparent)]
    Probabilities(#[from] BadProbabilities),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A content cannot be read back.
    #[error(transparent)]
    Content(#[from] tamis_core::ContentError),
    /// The folder for the record cannot be made.
    #[error("cannot make the folder {path}")]
    Out {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<tamis_data::ReadError> for AuditError {
    fn from(error: tamis_data::ReadError) -> Self {
        Self::Ingest(error.into())
    }
}

/// A finished audit: everything that a [`Report`] lends.
#[derive(Debug)]
pub struct Audit {
    ingested: Ingested,
    joined: Joined,
    checks: Vec<CheckReport>,
    standings: Vec<Standing>,
    model: Option<Model>,
    config: Evidence,
    command: Vec<String>,
    seed: u64,
    timing: Vec<StageTime>,
    out: PathBuf,
    outputs: Vec<InputFile>,
    commits: Arc<Commits>,
    /// Holds the lock on the folder until everything is written.
    _store: Store,
}

/// Reads, embeds, joins and checks.
///
/// # Errors
/// When nothing can be read, the model cannot be used, or a resource is exhausted. Bad rows are findings, and a check that
/// fails is an outcome.
///
/// # Panics
/// When a modality has no level of identity: a bug.
pub fn run(options: AuditOptions, progress: &dyn Progress) -> Result<Audit, AuditError> {
    let config = effective_config(&options);
    let reader = Reader::open(&options.inputs, &options.read)?;
    let store = open_store(&options)?;
    let mut watch = Stopwatch::default();
    let model = match options.checks.iter().flat_map(|check| check.needs()).any(|it| needs_vectors(&it)) {
        true => Some(watch.time("load model", || (1, load(&options, &reader)))?),
        false => None,
    };
    let mut ingested = ingest(reader, model.as_ref(), &store, options.window, progress)?;
    ingested.embeddings = centered(ingested.embeddings, model.as_ref())?;
    let keep = options.keep.clone().unwrap_or_default();
    check_columns(&keep, &ingested.dataset)?;
    let n = ingested.dataset.len();
    let pred_probs = probabilities::read(options.pred_probs.as_deref(), &ingested.dataset)?;
    watch.add_ingested(&ingested, model.is_some());
    let identity = watch.time("group", || (n, ingested.fingerprints.all_groups(&ingested.dataset)));
    let widest = identity.last().expect("because every modality has a level");
    let lacks = Lacks::of(&ingested);
    let runnable = options.checks.iter().filter(|check| lacks.reason(&***check).is_none());
    let needs: Vec<Need> = runnable.flat_map(|check| check.needs()).collect();
    let mut joined = match (&ingested.embeddings, &model) {
        (Some(embeddings), Some(model)) => {
            let joins = Joins {
                dataset: &ingested.dataset,
                identity: widest,
                embeddings,
                contents: ingested.stored.contents(),
                device: &device::for_joins(&options.device),
                keep: &keep,
                vectors_id: ingested.vectors_id,
                manifest: model.manifest(),
                store: &store,
                progress,
            };
            let started = Instant::now();
            let joined = joins.run(&needs)?;
            let reused = if joined.is_reused { n } else { 0 };
            watch.add("join", Tally { done: n - reused, reused }, started.elapsed().as_secs_f64());
            joined
        }
        _ => not_joined(&ingested, widest, &keep),
    };
    let shelf = StoreShelf { store: &store, vectors_id: ingested.vectors_id };
    let products = options.device.products();
    let task = progress.begin("checking", Some(options.checks.len() as u64), "checks");
    let mut checks = Vec::new();
    for check in &options.checks {
        let outcome = match lacks.reason(&**check) {
            Some(reason) => Outcome::Skipped(reason),
            None => watch.time(&format!("check {}", check.info().id), || {
                let seed = tamis_core::check::derive_seed(options.seed, check.info().id);
                let cx = CheckContext::new(&ingested.dataset, &ingested.fingerprints, &identity, seed);
                let cx = cx.with_shelf(&shelf).with_families(&joined.families);
                let cx = cx.with_ranks(options.keep.is_some().then_some(&joined.ranks[..]));
                let cx = cx.with_probabilities(pred_probs.as_ref());
                let cx = cx.with_products(products.as_ref().map(|it| it as &dyn MatrixProducts));
                (n, run_check(&**check, cx, ingested.embeddings.as_ref(), &joined))
            }),
        };
        decide(&mut joined.pairs, &check.needs(), &outcome);
        checks.push(CheckReport { info: check.info(), outcome });
        task.advance(1);
    }
    warn_of_failure(products.as_ref());
    Ok(Audit {
        ingested,
        joined,
        checks,
        standings: Vec::new(),
        model,
        config,
        command: options.command,
        seed: options.seed,
        timing: watch.stages,
        out: options.out,
        outputs: Vec::new(),
        commits: options.commits,
        _store: store,
    })
}

/// What is known without vectors.
fn not_joined(ingested: &Ingested, widest: &IdentityGroups, keep: &KeepOrder) -> Joined {
    let families = families(&ingested.dataset, widest, std::iter::empty());
    let ranks = keep.ranks(&ingested.dataset, ingested.stored.contents(), &families);
    Joined { families, ranks, ..Joined::default() }
}

fn warn_of_failure(products: Option<&DeviceProducts>) {
    if let Some(failure) = products.and_then(DeviceProducts::failure) {
        tracing::warn!("labels were judged on the CPU: {failure}");
    }
}

/// The vectors of a model as they are compared.
fn centered(embeddings: Option<Embeddings>, model: Option<&Model>) -> Result<Option<Embeddings>, IngestError> {
    let (Some(embeddings), Some(model)) = (embeddings, model) else { return Ok(None) };
    Ok(Some(model.center(embeddings)?))
}

/// Refuses to keep by a column that is not there.
fn check_columns(keep: &KeepOrder, dataset: &Dataset) -> Result<(), AuditError> {
    let Some(name) = keep.missing_column(dataset) else { return Ok(()) };
    let known: Vec<&str> = dataset.columns().iter().map(|it| it.name.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(AuditError::NoSuchColumn { name: name.to_owned(), known })
}

/// Gives pairs across splits the score that a check for leaks decided by, which a reference may have told. Others look at
/// these pairs as well, with thresholds about other things.
#[expect(clippy::cast_possible_truncation, reason = "the threshold is the shortest decimal of an f32")]
fn decide(sets: &mut [(PairNeed, PairSet)], needs: &[Need], outcome: &Outcome) {
    let Outcome::Ran(result) = outcome else { return };
    if !needs.iter().any(|need| matches!(need, Need::Splits | Need::Benchmark)) {
        return;
    }
    for (need, set) in sets.iter_mut().filter(|(need, _)| needs.contains(&Need::Pairs(*need))) {
        if need.search == PairSearch::AcrossSplits {
            // Without one, nothing was called a copy.
            set.min_copy = result.threshold.map_or(f32::INFINITY, |it| it as f32);
        }
    }
}

/// Makes the folder of the record and opens the store in it, whose lock is the lock on the folder.
fn open_store(options: &AuditOptions) -> Result<Store, AuditError> {
    std::fs::create_dir_all(&options.out).map_err(|source| AuditError::Out { path: options.out.clone(), source })?;
    let store = Store::open(&options.out.join("store"), Arc::clone(&options.commits))?;
    if !store.is_locked() {
        let out = options.out.display();
        tracing::warn!("`{out}` is on a file system without locks: see to it that no other run writes there");
    }
    Ok(store)
}

/// Whether a need takes vectors, and so a model.
pub(crate) fn needs_vectors(need: &Need) -> bool {
    matches!(need, Need::Embeddings | Need::Neighbors(_) | Need::Pairs(_))
}

/// The model that was named, or the one bundled for the samples.
pub(crate) fn load(options: &AuditOptions, reader: &Reader) -> Result<Model, AuditError> {
    let name = options.model.as_deref().unwrap_or(models::default_for(reader.modality()));
    let files = models::find(name, &options.hub)?;
    Ok(Model::load(&files, reader.modality(), reader.typical_side(), &options.device)?)
}

impl Audit {
    /// All that outputs get to see.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        Report {
            version: env!("CARGO_PKG_VERSION"),
            command: self.command.clone(),
            config: self.config.clone(),
            notes: self.ingested.notes.clone(),
            dataset: &self.ingested.dataset,
            contents: self.ingested.stored.contents(),
            fingerprints: &self.ingested.fingerprints,
            families: &self.joined.families,
            pairs: self.joined.pairs.iter().map(|(_, pairs)| pairs).collect(),
            map: self.joined.map.as_ref(),
            model: self.model.as_ref().map(Model::facts),
            device: self.model.as_ref().map(Model::device_facts),
            seed: self.seed,
            checks: &self.checks,
            standings: &self.standings,
            timing: &self.timing,
            outputs: &self.outputs,
            out: self.out.clone(),
        }
    }

    /// Marks findings that the baseline knows or the configuration suppresses, and says so in the notes.
    ///
    /// # Errors
    /// When a finding holds a number that is not finite.
    pub fn triage(&mut self, triage: &Triage) -> Result<(), NotFinite> {
        let config = std::mem::take(&mut self.config);
        self.config = triage.record(config);
        if triage.is_empty() {
            return Ok(());
        }
        let report = self.report();
        let findings: Vec<v1::Finding> = v1::findings(&report).collect::<Result<_, _>>()?;
        let (standings, notes) = triage.judge(&report, &findings);
        self.standings = standings;
        self.ingested.notes.extend(notes);
        Ok(())
    }

    /// Writes the files of the record.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Names the files that were written.
    pub fn set_outputs(&mut self, outputs: Vec<InputFile>) {
        self.outputs = outputs;
    }

    /// Seconds per stage, to which writing is added.
    pub fn add_time(&mut self, stage: &str, rows: usize, seconds: f64) {
        self.timing.push(StageTime { stage: stage.to_owned(), rows, seconds, reused: 0 });
    }
}

/// The definition of a check by its id.
#[must_use]
pub fn check_def(id: &str) -> Option<&'static CheckDef> {
    CHECKS.iter().copied().find(|def| def.info.id == id)
}

/// What a dataset has not, so that checks are skipped with a reason.
#[derive(Debug)]
pub(crate) struct Lacks {
    labels: Option<String>,
    splits: Option<String>,
    benchmark: Option<String>,
    embeddings: Option<String>,
    modality: Modality,
}

impl Lacks {
    pub(crate) fn of(ingested: &Ingested) -> Self {
        let dataset = &ingested.dataset;
        let labels = match dataset.label_names() {
            [] => Some("the samples have no labels (name a column with --label, or let folders name them)".to_owned()),
            [only] => Some(format!("all labeled samples have the same label, `{only}`")),
            _ => None,
        };
        let mut roles: Vec<SplitRole> =
            dataset.ok_ids().map(|id| dataset.split_role(dataset.sample(id).split)).collect();
        roles.sort_unstable();
        roles.dedup();
        let n_used = roles.iter().filter(|role| **role < SplitRole::Benchmark).count();
        let splits = (n_used < 2).then(|| {
            let names = dataset.split_names().join(", ");
            format!(
                "there is no split to be evaluated on beside one to train on, with samples that can be read: {names} (use \
                 --train PATH --test PATH)"
            )
        });
        let has_base = roles.iter().any(|role| role.comes_before(SplitRole::Benchmark));
        let benchmark = match (roles.contains(&SplitRole::Benchmark), has_base) {
            (true, true) => None,
            (true, false) => Some("no sample of the corpus could be read".to_owned()),
            (false, _) => Some(
                "no benchmark with a sample that can be read was named: `tamis leaks --corpus PATH --benchmark PATH` does"
                    .to_owned(),
            ),
        };
        let modality = ingested.stored.contents().modality();
        let noun = modality.noun();
        let embeddings = ingested.embeddings.is_none().then(|| format!("no sample has a readable {noun}"));
        Self { labels, splits, benchmark, embeddings, modality }
    }

    /// Takes it that there will be vectors.
    pub(crate) fn assume_embeddings(&mut self) {
        self.embeddings = None;
    }

    /// Why `check` cannot run, if so.
    pub(crate) fn reason(&self, check: &dyn Check) -> Option<String> {
        let lack = |need: Need| match need {
            Need::Modality(wanted) => (wanted != self.modality)
                .then(|| format!("it looks at {}, and the samples are {}", wanted.nouns(), self.modality.nouns())),
            Need::Labels => self.labels.clone(),
            Need::Splits => self.splits.clone(),
            Need::Benchmark => self.benchmark.clone(),
            Need::Embeddings | Need::Neighbors(_) | Need::Pairs(_) => self.embeddings.clone(),
            _ => None,
        };
        check.needs().into_iter().find_map(lack)
    }
}

/// Runs a check with what it needs beside what all checks get.
fn run_check<'a>(
    check: &dyn Check,
    mut cx: CheckContext<'a>,
    embeddings: Option<&'a Embeddings>,
    joined: &'a Joined,
) -> Outcome {
    for need in check.needs() {
        match need {
            Need::Embeddings => {
                if let Some(embeddings) = embeddings {
                    cx = cx.with_embeddings(embeddings);
                }
            }
            Need::Neighbors(_) => {
                if let Some(neighbors) = &joined.neighbors {
                    cx = cx.with_neighbors(neighbors);
                }
            }
            Need::Pairs(need) => {
                if let Some((_, pairs)) = joined.pairs.iter().find(|it| it.0 == need) {
                    cx = cx.with_pairs(need, pairs);
                }
            }
            _ => {}
        }
    }
    match check.run(&cx) {
        Ok(result) => Outcome::Ran(result),
        Err(error) => Outcome::Failed(tamis_core::with_causes(&*error)),
    }
}

fn effective_config(options: &AuditOptions) -> Evidence {
    let path = |path: &Path| Value::from(path.display().to_string());
    let inputs = options.inputs.iter().map(|input| {
        let split = input.split.as_ref().map_or("from the data", |(name, _)| name);
        Value::from(Evidence::new().with("path", path(&input.path)).with("split", split))
    });
    let or_guessed = |option: &Option<String>| Value::from(option.as_deref().unwrap_or("guessed"));
    let text = match options.read.text.as_slice() {
        [] => Value::from("guessed"),
        names => Value::from(names.iter().map(|it| Value::from(it.as_str())).collect::<Vec<_>>()),
    };
    let checks = options
        .checks
        .iter()
        .map(|check| Value::from(Evidence::new().with("id", check.info().id).with("options", check.options())));
    Evidence::new()
        .with("inputs", inputs.collect::<Vec<_>>())
        .with("from", or_guessed(&options.read.from))
        .with("text", text)
        .with("image", or_guessed(&options.read.image))
        .with("label", or_guessed(&options.read.label))
        .with("split", or_guessed(&options.read.split))
        .with("id", or_guessed(&options.read.id))
        .with("model", options.model.as_deref().unwrap_or("the bundled one"))
        .with("pred_probs", options.pred_probs.as_deref().map_or(Value::from("none"), path))
        .with("keep", options.keep.as_ref().map_or(USUAL_KEEP.to_owned(), KeepOrder::to_string))
        .with("fail_on", options.fail_on.id())
        .with("config_file", options.config_file.as_deref().map_or(Value::from("none"), path))
        .with("redact", options.redact)
        .with("report_budget", options.report_budget)
        .with("checks", checks.collect::<Vec<_>>())
}

/// Takes the time of stages.
#[derive(Debug, Default)]
struct Stopwatch {
    stages: Vec<StageTime>,
}

impl Stopwatch {
    /// Runs `work`, which also says how many items went through.
    fn time<T>(&mut self, stage: &str, work: impl FnOnce() -> (usize, T)) -> T {
        let started = Instant::now();
        let (done, result) = work();
        self.add(stage, Tally { done, reused: 0 }, started.elapsed().as_secs_f64());
        result
    }

    /// The stages of the one pass over the data.
    fn add_ingested(&mut self, it: &Ingested, is_embedded: bool) {
        let reading = match it.stored.contents().modality() {
            Modality::Text => "read",
            Modality::Image => "decode",
        };
        self.add(reading, it.decoded, it.read_time.as_secs_f64());
        if is_embedded {
            self.add("embed", it.embedded, it.embed_time.as_secs_f64());
        }
        self.add("store", Tally { done: it.dataset.len(), reused: 0 }, it.store_time.as_secs_f64());
    }

    fn add(&mut self, stage: &str, Tally { done, reused }: Tally, seconds: f64) {
        tracing::info!("{stage}: {done} in {seconds:.3} s, {reused} from the store");
        self.stages.push(StageTime { stage: stage.to_owned(), rows: done, seconds, reused });
    }
}

#[cfg(test)]
mod tests {
    use tamis_core::CheckResult;

    use super::*;

    #[test]
    fn only_checks_for_leaks_say_what_a_copy_across_splits_is() {
        let need = PairNeed { search: PairSearch::AcrossSplits, min_cosine: None, min_copy: None };
        let set = PairSet {
            search: need.search,
            min: 0.95,
            min_source: String::new(),
            min_copy: 0.7,
            min_copy_source: String::new(),
            pairs: Vec::new(),
            min_kept: 0.2,
            n_found: 0,
            n_not_compared: 0,
            stars: Vec::new(),
        };
        let mut sets = [(need, set)];
        let ran = |threshold| Outcome::Ran(CheckResult { threshold: Some(threshold), ..CheckResult::default() });
        decide(&mut sets, &[Need::Splits, Need::Pairs(need)], &ran(0.9));
        decide(&mut sets, &[Need::Labels, Need::Pairs(need)], &ran(0.2));
        assert_eq!(sets[0].1.min_copy, 0.9);
    }
}
