//! The record that an audit left behind, read back: what is shown, compared or decided on without auditing again.

mod contents;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use tamis_core::check::SampleScores;
use tamis_core::{
    CheckReport, ColumnRole, Dataset, DatasetBuilder, DeviceFacts, Digest, Evidence, Families, Family, FileId,
    Fingerprints, IdentityLevel, InputFile, Modality, ModelFacts, ModelInput, Origin, Outcome, Pair, PairKind,
    PairSearch, PairSet, Report, Rung, Sample, SampleId, SampleMap, Shared, StageTime, Standing, Star, State, Verified,
};
use tamis_data::artifacts::{ArtifactError, Columns};
use tamis_data::store::{Producer, Store, StoreError, Table};
use tamis_report::wire::v1::{self, Names, UnknownName};

use self::contents::Kept;
use crate::audit::check_def;
use crate::ingest::vector_of;
use crate::model::VECTORS;

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is none, or not a whole one.
    #[error("{path} holds no record of an audit: `{file}` is not there, which an audit writes{}", if *.is_last { " last" } else { "" })]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The file.
        file: &'static str,
        /// Whether it is written when all else is done.
        is_last: bool,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}{}: expected what tamis {} writes", .line.map_or_else(String::new, |it| format!(" line {it}")), env!("CARGO_PKG_VERSION"))]
    Parse {
        /// The file.
        path: PathBuf,
        /// One-based, where the file has lines.
        line: Option<usize>,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The record is of a version that this program does not know.
    #[error("{path} is of the format `{got}`, expected `{}`", v1::AUDIT_SCHEMA)]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        got: String,
    },
    /// A check that this program does not have.
    #[error("{path} records the check `{id}`, which tamis {} does not have; it was written by tamis {version}", env!("CARGO_PKG_VERSION"))]
    UnknownCheck {
        /// The file.
        path: PathBuf,
        /// The check.
        id: String,
        /// The version that wrote it.
        version: String,
    },
    /// A Parquet file cannot be read.
    #[error("cannot read {path}")]
    Artifact {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ArtifactError,
    },
    /// Files of different runs.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// The store is in use.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A whole record: all that a [`Report`] lends, but for what only an audit knows.
///
/// Families keep neither diameter nor weakest link, pairs not what they have in common. Contents come from the store of the
/// record; where that was deleted texts are gone, and of pictures the thumbnails of findings are left.
#[derive(Debug)]
pub struct Record {
    /// `audit.json`.
    pub audit: v1::Audit,
    /// All findings, as they stand in `findings.jsonl`.
    pub findings: Vec<v1::Finding>,
    /// The samples.
    pub dataset: Dataset,
    /// Their hashes.
    pub fingerprints: Fingerprints,
    families: Families,
    pairs: Vec<PairSet>,
    map: Option<SampleMap>,
    checks: Vec<CheckReport>,
    standings: Vec<Standing>,
    contents: Kept,
    config: Evidence,
    timing: Vec<StageTime>,
    outputs: Vec<InputFile>,
    vectors: Option<Digest>,
    dir: PathBuf,
    /// Keeps audits out of the folder.
    store: Store,
}

/// Vectors in the store.
#[derive(Debug)]
pub struct Vectors(Table);

impl Vectors {
    /// The unit vector of a sample of `record`; `None` where it has none.
    #[must_use]
    pub fn get(&self, record: &Record, id: SampleId) -> Option<Vec<f32>> {
        let content = record.fingerprints.digest(id, IdentityLevel::Bytes)?;
        let vector = vector_of(&self.0.get(&content).ok().flatten()?)?.1;
        let norm = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
        Some(vector.into_iter().map(|it| it / norm).collect())
    }
}

impl Record {
    /// Reads the record in the folder `dir`, which no audit may write to meanwhile.
    ///
    /// # Errors
    /// When it is not there, not whole, damaged, of another version, or in use.
    pub fn open(dir: &Path) -> Result<Self, RecordError> {
        for (file, is_last) in [("audit.json", true), ("findings.jsonl", false), ("samples.parquet", false)] {
            if !dir.join(file).is_file() {
                return Err(RecordError::Missing { path: dir.to_owned(), file, is_last });
            }
        }
        let audit = read_audit(&dir.join("audit.json"))?;
        let findings = findings(&dir.join("findings.jsonl"))?;
        let path = dir.join("samples.parquet");
        let at = |source| RecordError::Artifact { path: path.clone(), source };
        let columns = Columns::open(&path).map_err(at)?;
        let modality = if audit.dataset.modality == Modality::Image.id() { Modality::Image } else { Modality::Text };
        let dataset = dataset(&audit, &columns).map_err(at)?;
        let fingerprints = fingerprints(modality, &columns).map_err(at)?;
        let names = Names::new(&dataset);
        let families = families(&names, &columns, dataset.len()).map_err(at)?;
        let checks = checks(dir, &audit, &findings, &names, &columns)?;
        let pairs = pairs(&dir.join("pairs.parquet"), &names, &checks, &columns)?;
        let map = map(&columns).map_err(at)?;
        let config = v1::settings(&audit.config);
        let store = Store::open_read_only(&dir.join("store"))?;
        let contents = Kept::open(dir, &store, &dataset, &fingerprints, &columns)?;
        drop(names);
        let timing = audit.timing.iter().map(|it| StageTime {
            stage: it.stage.clone(),
            rows: count(it.rows),
            seconds: it.seconds,
            reused: count(it.reused),
        });
        Ok(Self {
            timing: timing.collect(),
            outputs: audit.outputs.iter().map(input_file).collect(),
            standings: standings(&audit, &findings),
            vectors: audit.vectors.as_deref().and_then(digest),
            audit,
            findings,
            dataset,
            fingerprints,
            families,
            pairs,
            map,
            checks,
            contents,
            config,
            dir: dir.to_owned(),
            store,
        })
    }

    /// All that outputs get to see.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let device = self.audit.device.clone().zip(self.audit.dtype.clone()).zip(self.vectors);
        Report {
            version: &self.audit.tool.version,
            command: self.audit.command.clone(),
            config: self.config.clone(),
            notes: self.audit.notes.clone(),
            dataset: &self.dataset,
            contents: self.contents.lend(),
            fingerprints: &self.fingerprints,
            families: &self.families,
            pairs: self.pairs.iter().collect(),
            map: self.map.as_ref(),
            model: self.audit.model.as_ref().map(model),
            device: device.map(|((device, dtype), vectors)| DeviceFacts { device, dtype, vectors }),
            seed: self.audit.seed,
            checks: &self.checks,
            standings: &self.standings,
            timing: &self.timing,
            outputs: &self.outputs,
            out: self.dir.clone(),
        }
    }

    /// The vectors of the contents; `None` where no check needed any.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn vectors(&self) -> Result<Option<Vectors>, StoreError> {
        self.vectors.map(|id| self.store.table(&Producer::known(VECTORS, id)).map(Vectors)).transpose()
    }

    /// Names the files of the record anew, one of which has changed.
    pub fn set_output(&mut self, output: InputFile) {
        match self.outputs.iter_mut().find(|it| it.path == output.path) {
            Some(known) => *known = output,
            None => self.outputs.push(output),
        }
    }
}

/// Reads `audit.json` at `path` alone.
///
/// # Errors
/// When it is not there, damaged, or of another version.
pub fn read_audit(path: &Path) -> Result<v1::Audit, RecordError> {
    let read = |source| RecordError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let parse = |source| RecordError::Parse { path: path.to_owned(), line: None, source };
    let json: serde_json::Value = serde_json::from_str(&text).map_err(parse)?;
    let got = json.get("schema").and_then(serde_json::Value::as_str).unwrap_or("none");
    if got != v1::AUDIT_SCHEMA {
        return Err(RecordError::Schema { path: path.to_owned(), got: got.to_owned() });
    }
    serde_json::from_str(&text).map_err(parse)
}

fn findings(path: &Path) -> Result<Vec<v1::Finding>, RecordError> {
    let read = |source| RecordError::Read { path: path.to_owned(), source };
    let lines = BufReader::new(File::open(path).map_err(read)?).lines().enumerate();
    let parse = |(idx, line): (usize, io::Result<String>)| {
        let line = line.map_err(read)?;
        serde_json::from_str(&line).map_err(|source| RecordError::Parse {
            path: path.to_owned(),
            line: Some(idx + 1),
            source,
        })
    };
    lines.map(parse).collect()
}

/// The samples in reading order, with files, splits and labels in the order in which they were first seen.
fn dataset(audit: &v1::Audit, columns: &Columns) -> Result<Dataset, ArtifactError> {
    let mut builder = DatasetBuilder::new();
    let file_of: HashMap<&str, FileId> =
        audit.inputs.iter().map(|it| (it.path.as_str(), builder.add_file(input_file(it)))).collect();
    let splits = &audit.dataset.splits;
    if usize::from(u16::MAX) < splits.len() {
        return Err(columns.unlike("split", "at most 65,535 splits"));
    }
    let split_of: HashMap<&str, _> =
        splits.iter().map(|it| (it.name.as_str(), builder.split(&it.name, Some(it.role.into())))).collect();
    for label in &audit.dataset.labels {
        builder.label(&label.name);
    }
    let own: Vec<(&str, Vec<Option<String>>)> = columns
        .names()
        .iter()
        .filter_map(|name| Some((name.strip_prefix("column.")?, name)))
        .map(|(own, name)| Ok((own, columns.texts(name)?)))
        .collect::<Result<_, ArtifactError>>()?;
    let (keys, files) = (columns.whole_texts("key")?, columns.whole_texts("file")?);
    let (splits, states) = (columns.whole_texts("split")?, columns.whole_texts("state")?);
    let (labels, rows, notes) = (columns.texts("label")?, columns.integers("row")?, columns.texts("note")?);
    for (idx, key) in keys.iter().enumerate() {
        let file = file_of.get(files[idx].as_str()).ok_or_else(|| columns.unlike("file", "the files of audit.json"))?;
        let split = split_of.get(&*splits[idx]).ok_or_else(|| columns.unlike("split", "the splits of audit.json"))?;
        let (state, note) = match states[idx].as_str() {
            "ok" => (State::Ok, notes[idx].clone()),
            "empty" => (State::Empty, notes[idx].clone()),
            _ => (State::Unreadable(notes[idx].clone().unwrap_or_default()), None),
        };
        let sample = Sample {
            origin: Origin { file: *file, row: rows[idx].and_then(|it| u64::try_from(it).ok()) },
            split: *split,
            label: labels[idx].as_deref().map(|it| builder.label(it)),
            state,
            note,
        };
        let own = own.iter().filter_map(|(name, values)| Some((*name, values[idx].as_deref()?)));
        builder.push(key, sample, own).map_err(|_| columns.unlike("key", "fewer samples"))?;
    }
    Ok(builder.finish())
}

fn fingerprints(modality: Modality, columns: &Columns) -> Result<Fingerprints, ArtifactError> {
    let levels = IdentityLevel::of(modality);
    let mut by_level = Vec::new();
    for level in levels {
        let name = format!("identity_{}", level.id());
        let parsed = columns.texts(&name)?.into_iter().map(|hex| match hex {
            Some(hex) => digest(&hex).map(Some).ok_or_else(|| columns.unlike(&name, "64 hexadecimal digits")),
            None => Ok(None),
        });
        by_level.push(parsed.collect::<Result<Vec<Option<Digest>>, _>>()?);
    }
    let mut fingerprints = Fingerprints::new(modality);
    for row in 0..columns.len() {
        let digests: Option<Vec<Digest>> = by_level.iter().map(|digests| digests[row]).collect();
        fingerprints.push(digests.as_deref());
    }
    Ok(fingerprints)
}

/// The digest that 64 hexadecimal digits spell.
fn digest(hex: &str) -> Option<Digest> {
    let hash = blake3::Hash::from_hex(hex).ok()?;
    Some(Digest(*hash.as_bytes()))
}

fn families(names: &Names<'_>, columns: &Columns, n: usize) -> Result<Families, ArtifactError> {
    let mut members: BTreeMap<SampleId, Vec<SampleId>> = BTreeMap::new();
    for (idx, first) in columns.whole_texts("family")?.iter().enumerate() {
        let first = names.sample(first).map_err(|_| columns.unlike("family", "keys of samples"))?;
        members.entry(first).or_default().push(SampleId::from_idx(idx));
    }
    let of = |members: Vec<SampleId>| Family { members, diameter: 0, weakest_link: 0.0 };
    Ok(Families::new(n, members.into_values().filter(|it| 1 < it.len()).map(of).collect()))
}

/// The places of samples; `None` where none has one, and where an older version wrote the record.
fn map(columns: &Columns) -> Result<Option<SampleMap>, ArtifactError> {
    if !columns.names().iter().any(|name| name == "x") {
        return Ok(None);
    }
    let coordinates = columns.numbers("x")?.into_iter().zip(columns.numbers("y")?);
    let places: Vec<Option<[f32; 2]>> = coordinates.map(|(x, y)| Some([x?, y?])).collect();
    Ok(places.iter().any(Option::is_some).then(|| SampleMap::new(places)))
}

/// What became of every check, with its findings and scores.
fn checks(
    dir: &Path,
    audit: &v1::Audit,
    findings: &[v1::Finding],
    names: &Names<'_>,
    columns: &Columns,
) -> Result<Vec<CheckReport>, RecordError> {
    let mut by_check: BTreeMap<&str, Vec<tamis_core::Finding>> = BTreeMap::new();
    for finding in findings {
        by_check.entry(&finding.check).or_default().push(finding.restore(names)?);
    }
    let check = |record: &v1::CheckRecord| {
        let def = check_def(&record.id).ok_or_else(|| RecordError::UnknownCheck {
            path: dir.join("audit.json"),
            id: record.id.clone(),
            version: audit.tool.version.clone(),
        })?;
        let mut outcome = record.restore(by_check.remove(record.id.as_str()).unwrap_or_default(), names)?;
        if let Outcome::Ran(result) = &mut outcome {
            let scores = scores(&record.id, columns);
            result.scores =
                scores.map_err(|source| RecordError::Artifact { path: dir.join("samples.parquet"), source })?;
        }
        Ok(CheckReport { info: &def.info, outcome })
    };
    audit.checks.iter().map(check).collect()
}

/// How the findings stood, in the order of the checks; nothing where all are open.
fn standings(audit: &v1::Audit, findings: &[v1::Finding]) -> Vec<Standing> {
    let mut standings = Vec::with_capacity(findings.len());
    for check in &audit.checks {
        standings.extend(findings.iter().filter(|it| it.check == check.id).map(v1::Finding::standing));
    }
    if standings.iter().all(|it| *it == Standing::default()) { Vec::new() } else { standings }
}

/// The scores that stand before the column of the check.
fn scores(id: &str, columns: &Columns) -> Result<Option<SampleScores>, ArtifactError> {
    let flag = id.replace('-', "_");
    let place = columns.names().iter().position(|it| *it == flag);
    let Some(name) = place.and_then(|it| columns.names().get(it.checked_sub(1)?)) else { return Ok(None) };
    if !name.ends_with("_score") {
        return Ok(None);
    }
    let values = columns.numbers(name)?.into_iter().map(|it| it.unwrap_or(f32::NAN)).collect();
    Ok(Some(SampleScores { name: name.clone().into(), values }))
}

/// The pairs within and across splits; none where the record has no such file.
fn pairs(
    path: &Path,
    names: &Names<'_>,
    checks: &[CheckReport],
    samples: &Columns,
) -> Result<Vec<PairSet>, RecordError> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let at = |source| RecordError::Artifact { path: path.to_owned(), source };
    let columns = Columns::open(path).map_err(at)?;
    let texts = |name: &str| columns.whole_texts(name).map_err(at);
    let (a_keys, b_keys, a_splits, b_splits) = (texts("a_key")?, texts("b_key")?, texts("a_split")?, texts("b_split")?);
    let kinds = texts("kind")?;
    let rungs = columns.texts("rung").map_err(at)?;
    let (similarities, scores) = (columns.numbers("similarity").map_err(at)?, columns.numbers("score").map_err(at)?);
    let mut sets = [PairSearch::WithinSplits, PairSearch::AcrossSplits].map(|search| empty_set(search, checks));
    for row in 0..columns.len() {
        let set = &mut sets[usize::from(a_splits[row] != b_splits[row])];
        let pair = Pair {
            a: names.sample(&a_keys[row])?,
            b: names.sample(&b_keys[row])?,
            kind: kind(&kinds[row]).ok_or_else(|| at(columns.unlike("kind", "kinds of pairs")))?,
            similarity: similarities[row].unwrap_or(f32::NAN),
            verified: scores[row].map(|score| Verified { score, shared: Shared::Nothing, overlap: None }),
        };
        match rungs[row].as_deref() {
            Some("copy") => set.min_copy = set.min_copy.min(pair.score()),
            Some("semantic") => set.min = set.min.min(pair.similarity),
            _ => {}
        }
        set.pairs.push(pair);
        set.n_found += 1;
    }
    sets[0].stars = stars(names, samples, &sets[0])?;
    Ok(sets.into_iter().filter(|set| !set.pairs.is_empty()).collect())
}

/// A set whose bounds are those of the pairs that will be in it.
fn empty_set(search: PairSearch, checks: &[CheckReport]) -> PairSet {
    let id = if search == PairSearch::WithinSplits { "near-duplicate" } else { "split-leak" };
    let source = checks.iter().find(|check| check.info.id == id).map(|check| match &check.outcome {
        Outcome::Ran(result) => result.threshold_source.clone(),
        Outcome::Skipped(_) | Outcome::Failed(_) => String::new(),
    });
    PairSet {
        search,
        min: f32::INFINITY,
        min_source: source.clone().unwrap_or_default(),
        min_copy: f32::INFINITY,
        min_copy_source: source.unwrap_or_default(),
        pairs: Vec::new(),
        min_kept: 0.0,
        n_found: 0,
        n_not_compared: 0,
        stars: Vec::new(),
    }
}

/// The stars that `samples.parquet` names; a member's score is that of its pair with the leader, or 1.
fn stars(names: &Names<'_>, samples: &Columns, set: &PairSet) -> Result<Vec<Star>, RecordError> {
    let leaders = samples.texts("star");
    let Ok(leaders) = leaders else { return Ok(Vec::new()) };
    let score_of: HashMap<(SampleId, SampleId), f32> = set
        .pairs
        .iter()
        .map(|pair| ((pair.a, pair.b), if set.rung(pair) == Some(Rung::Copy) { pair.score() } else { pair.similarity }))
        .collect();
    let copies: HashSet<(SampleId, SampleId)> = set.of_rung(Rung::Copy).map(|pair| (pair.a, pair.b)).collect();
    let mut stars: BTreeMap<SampleId, Star> = BTreeMap::new();
    for (idx, leader) in leaders.iter().enumerate() {
        let Some(leader) = leader else { continue };
        let (leader, id) = (names.sample(leader)?, SampleId::from_idx(idx));
        let star = stars.entry(leader).or_insert_with(|| Star { leader, rung: Rung::Semantic, members: Vec::new() });
        if id == leader {
            continue;
        }
        let pair = (leader.min(id), leader.max(id));
        star.members.push((id, score_of.get(&pair).copied().unwrap_or(1.0)));
        if copies.contains(&pair) {
            star.rung = Rung::Copy;
        }
    }
    let mut stars: Vec<Star> = stars.into_values().collect();
    stars.iter_mut().for_each(|star| star.members.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0))));
    Ok(stars)
}

fn kind(id: &str) -> Option<PairKind> {
    [PairKind::Cosine, PairKind::Jaccard, PairKind::Containment, PairKind::Hamming].into_iter().find(|it| it.id() == id)
}

fn input_file(record: &v1::InputRecord) -> InputFile {
    let role = |name: &String| ColumnRole::ALL.into_iter().find(|it| it.id() == name);
    let columns = record
        .columns
        .iter()
        .flat_map(|(name, columns)| columns.iter().filter_map(move |it| Some((role(name)?, it.clone()))));
    InputFile {
        path: record.path.clone().into(),
        size_bytes: record.size,
        blake3: record.blake3.clone(),
        format: record.format.clone(),
        columns: columns.collect(),
    }
}

fn model(record: &v1::ModelRecord) -> ModelFacts {
    let input = match (&record.pixels, record.max_tokens) {
        (Some(pixels), _) => ModelInput::Pixels(pixels.restore()),
        (None, tokens) => ModelInput::Tokens(count(tokens.unwrap_or(0))),
    };
    ModelFacts {
        id: record.id.clone(),
        revision: record.revision.clone(),
        weights_blake3: record.weights_blake3.clone(),
        dim: count(record.dim),
        input,
    }
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
