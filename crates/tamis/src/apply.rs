//! Acts on decisions: reads a dataset anew, checks that it is the one that was reviewed, and writes it again.

pub mod resplit;

pub mod suggest;

mod read;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis_core::{Dataset, Digest, Progress, SampleId};
use tamis_data::artifacts::ArtifactError;
use tamis_data::atomic::Commits;
use tamis_data::audited::AuditedSample;
use tamis_data::rewrite::{Change, FileRecord, Link, MANIFEST, Naming, Rewrite, RewriteError};
use tamis_data::{Input, ReadError, ReadOptions, splits};
use tamis_report::wire::v1::{
    self, ActionCounts, BadDecisions, Decision, DecisionAction, Decisions, DecisionsFileRecord, FileChange, Manifest,
    ParentRecord, ResplitRecord, SplitChange, ToolRecord,
};

use self::resplit::{Member, Shares};

/// What to apply to what.
#[derive(Debug)]
pub struct ApplyOptions {
    /// What to read.
    pub inputs: Vec<Input>,
    /// How to read it.
    pub read: ReadOptions,
    /// Files of decisions; a later one takes precedence.
    pub decisions: Vec<PathBuf>,
    /// The record of an audit of the same dataset, which knows its families.
    pub audit: Option<PathBuf>,
    /// New splits.
    pub resplit: Option<Shares>,
    /// Seed of the order in which families of one size are dealt.
    pub seed: u64,
    /// How files come over that stay as they are.
    pub link: Link,
    /// Whether the dataset may have changed beyond the samples that were decided on.
    pub allow_changes: bool,
    /// The new folder.
    pub out: PathBuf,
    /// The command line, for the manifest.
    pub command: Vec<String>,
    /// Writes the folder.
    pub commits: Arc<Commits>,
}

/// Decisions that could not be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The dataset could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A change cannot be made, or the output cannot be written.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// A file of decisions cannot be used.
    #[error("`{}` is no file of decisions", path.display())]
    Decisions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadDecisions,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record of an audit cannot be read.
    #[error("cannot read `{}`", path.display())]
    Record {
        /// The file of the record.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The dataset is not the one that was reviewed.
    #[error("{what}")]
    Stale {
        /// What does not fit.
        what: String,
    },
    /// A decision that cannot be.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What the user can do.
        hint: &'static str,
    },
}

impl ApplyError {
    /// Whether the command was wrong rather than the data.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage { .. } | Self::Decisions { .. } | Self::Rewrite(RewriteError::Unfit { .. }) => true,
            Self::Read(error) => error.is_usage(),
            _ => false,
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Rewrite(error) => error.hint(),
            Self::Stale { .. } => Some(
                "give the inputs and options of the audit; where the data changed, audit it again, or let --allow-changes \
                 apply the decisions if every decided sample is still the same"
                    .to_owned(),
            ),
            Self::Usage { hint, .. } => Some((*hint).to_owned()),
            Self::Record { .. } => Some("name the folder of an audit with --audit DIR".to_owned()),
            _ => None,
        }
    }
}

/// Everything that is known before something is written.
#[derive(Debug)]
pub struct Prepared {
    options: ApplyOptions,
    dataset: Dataset,
    hash: String,
    changes: Vec<Change>,
    rewrite: Rewrite,
    files: Vec<DecisionsFileRecord>,
    notes: Vec<String>,
}

/// Reads the dataset, compares it with the decisions, and plans what becomes of every file.
///
/// # Errors
/// When the dataset cannot be read or is not the one that was reviewed, or a decision cannot be carried out.
pub fn prepare(options: ApplyOptions, progress: &dyn Progress) -> Result<Prepared, ApplyError> {
    let (decisions, files) = read_decisions(&options.decisions)?;
    let audited = options.audit.as_deref().map(read_audit).transpose()?;
    let known = audited.as_ref().map(|it| it.samples.as_slice()).unwrap_or_default();
    let read = read::read(&options.inputs, &options.read, known, progress)?;
    let dataset = read.dataset;
    let hash = v1::dataset_hash(&dataset, |id| read.contents[id.idx()]);
    let mut changes = vec![Change::default(); dataset.len()];
    decide(&dataset, &read.contents, &decisions, &mut changes)?;
    for (path, decisions) in &decisions {
        check_hash(&decisions.header.dataset_hash, &hash, path, options.allow_changes)?;
    }
    if let Some(shares) = &options.resplit {
        let Some(audited) = &audited else {
            let what = "--resplit keeps families together, which an audit finds".to_owned();
            return Err(ApplyError::Usage { what, hint: "name the folder of its record with --audit DIR" });
        };
        check_hash(&audited.dataset_hash, &hash, &audited.path, false)?;
        deal(&dataset, &read.contents, &audited.samples, (shares, options.seed), &mut changes);
    }
    let naming = if options.resplit.is_some() { Naming::EverySplit } else { Naming::AsItIs };
    let rewrite = read.layout.plan(&dataset, &changes, naming)?;
    let notes = [&read.notes, rewrite.notes()].concat();
    Ok(Prepared { options, dataset, hash, changes, rewrite, files, notes })
}

/// Files of decisions with their content.
type ReadDecisions = (Vec<(PathBuf, Decisions)>, Vec<DecisionsFileRecord>);

fn read_decisions(paths: &[PathBuf]) -> Result<ReadDecisions, ApplyError> {
    let mut all = Vec::new();
    let mut records = Vec::new();
    for path in paths {
        let failed = |source| ApplyError::Io { path: path.clone(), source };
        // Read once, for it may be a pipe.
        let bytes = std::fs::read(path).map_err(failed)?;
        let decisions =
            Decisions::read(bytes.as_slice()).map_err(|source| ApplyError::Decisions { path: path.clone(), source })?;
        records.push(DecisionsFileRecord {
            path: path.display().to_string(),
            blake3: blake3::hash(&bytes).to_hex().to_string(),
            decisions: decisions.decisions.len() as u64,
        });
        all.push((path.clone(), decisions));
    }
    Ok((all, records))
}

/// What the record of an audit says of the samples.
struct Audited {
    path: PathBuf,
    dataset_hash: String,
    samples: Vec<AuditedSample>,
}

fn read_audit(dir: &Path) -> Result<Audited, ApplyError> {
    let audit = read_audit_json(dir)?;
    Ok(Audited { path: dir.join("audit.json"), dataset_hash: audit.dataset.hash, samples: read_audited_samples(dir)? })
}

/// `audit.json` of a record.
fn read_audit_json(dir: &Path) -> Result<v1::Audit, ApplyError> {
    let path = dir.join("audit.json");
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ApplyError::Record { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.into()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.into()))
}

/// `samples.parquet` of a record.
fn read_audited_samples(dir: &Path) -> Result<Vec<AuditedSample>, ApplyError> {
    let path = dir.join("samples.parquet");
    let read = tamis_data::audited::read_samples(&path);
    read.map_err(|source: ArtifactError| ApplyError::Record { path, source: source.into() })
}

/// The dataset must be the one that was reviewed.
fn check_hash(reviewed: &str, read: &str, path: &Path, allow_changes: bool) -> Result<(), ApplyError> {
    if reviewed == read || allow_changes {
        return Ok(());
    }
    let what = format!(
        "the dataset is not the one that `{}` is about: its hash is {read}, expected {reviewed}",
        path.display()
    );
    Err(ApplyError::Stale { what })
}

/// Turns decisions into changes; of several about a sample the last counts.
fn decide(
    dataset: &Dataset,
    contents: &[Option<Digest>],
    decisions: &[(PathBuf, Decisions)],
    changes: &mut [Change],
) -> Result<(), ApplyError> {
    let ids: HashMap<&str, SampleId> = dataset.ids().map(|id| (dataset.key(id), id)).collect();
    for (path, decisions) in decisions {
        for decision in &decisions.decisions {
            let path = path.display();
            let Some(id) = ids.get(decision.key.as_str()).copied() else {
                let what = format!("`{path}` decides on `{}`, and no sample has that key", decision.key);
                return Err(ApplyError::Stale { what });
            };
            let identity = contents[id.idx()].map(|it| it.to_hex());
            if identity != decision.identity {
                let row = dataset.sample(id).origin.row.map_or_else(String::new, |row| format!(":{row}"));
                let what = format!(
                    "`{}` (`{}`{row}) has changed since it was reviewed in `{path}`",
                    decision.key,
                    dataset.path(id).display()
                );
                return Err(ApplyError::Stale { what });
            }
            changes[id.idx()] = change(decision);
        }
    }
    Ok(())
}

fn change(decision: &Decision) -> Change {
    let of = |action, value: &Option<String>| (decision.action == action).then(|| value.clone()).flatten();
    Change {
        is_dropped: decision.action == DecisionAction::Drop,
        label: of(DecisionAction::Relabel, &decision.label),
        split: of(DecisionAction::MoveSplit, &decision.split).map(|it| splits::canonical(it.trim()).to_owned()),
    }
}

/// Gives every sample that stays, and that could be read, its new split.
fn deal(
    dataset: &Dataset,
    contents: &[Option<Digest>],
    audited: &[AuditedSample],
    (shares, seed): (&Shares, u64),
    changes: &mut [Change],
) {
    let families: HashMap<&str, &str> = audited.iter().map(|it| (it.key.as_str(), it.family.as_str())).collect();
    let dealt: Vec<SampleId> =
        dataset.ids().filter(|id| !changes[id.idx()].is_dropped && contents[id.idx()].is_some()).collect();
    let members: Vec<Member<'_>> = dealt
        .iter()
        .map(|id| {
            let label = changes[id.idx()].label.as_deref().or_else(|| dataset.label_name(*id));
            let key = dataset.key(*id);
            let family = families.get(key).copied().unwrap_or(key);
            Member { family, label, content: contents[id.idx()].unwrap_or(Digest([0; 32])), key }
        })
        .collect();
    let splits = resplit::resplit(&members, shares, seed);
    for (id, split) in dealt.into_iter().zip(splits) {
        changes[id.idx()].split = Some(shares.names()[split].to_owned());
    }
}

impl Prepared {
    /// What was inferred while reading, what does not come along, and what will be read in another way. Sentences.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The new label and the new split of a sample, where they are others than before.
    fn changed(&self, id: SampleId) -> (Option<&str>, Option<&str>) {
        let change = &self.changes[id.idx()];
        let label = change.label.as_deref().filter(|it| Some(*it) != self.dataset.label_name(id));
        let split = change.split.as_deref().filter(|it| *it != self.dataset.split_name(id));
        (label, split)
    }

    /// What becomes of the samples.
    #[must_use]
    pub fn actions(&self) -> ActionCounts {
        let mut counts = ActionCounts::default();
        for id in self.dataset.ids() {
            self.count(id, &mut counts);
        }
        counts
    }

    fn count(&self, id: SampleId, counts: &mut ActionCounts) {
        if self.changes[id.idx()].is_dropped {
            counts.dropped += 1;
            return;
        }
        let (label, split) = self.changed(id);
        counts.kept += 1;
        counts.relabeled += u64::from(label.is_some());
        counts.moved += u64::from(split.is_some());
    }

    /// The same by input file, in reading order; a folder whose files are one sample each is one of them.
    #[must_use]
    pub fn by_file(&self) -> Vec<(PathBuf, ActionCounts)> {
        let mut order: Vec<(PathBuf, ActionCounts)> = Vec::new();
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        for id in self.dataset.ids() {
            let path = self.dataset.path(id);
            let is_row = self.dataset.sample(id).origin.row.is_some();
            let place = if is_row { path } else { path.parent().unwrap_or(path) };
            let idx = *places.entry(place.to_owned()).or_insert_with(|| {
                order.push((place.to_owned(), ActionCounts::default()));
                order.len() - 1
            });
            self.count(id, &mut order[idx].1);
        }
        order
    }

    /// What becomes of the splits, those that are there first and in their order.
    #[must_use]
    pub fn by_split(&self) -> Vec<SplitChange> {
        let mut splits: Vec<SplitChange> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut place = |splits: &mut Vec<SplitChange>, name: &str| {
            *places.entry(name.to_owned()).or_insert_with(|| {
                splits.push(SplitChange { name: name.to_owned(), ..SplitChange::default() });
                splits.len() - 1
            })
        };
        let new = self.options.resplit.iter().flat_map(|it| it.names()).copied();
        for name in self.dataset.split_names().iter().map(String::as_str).chain(new) {
            place(&mut splits, name);
        }
        for id in self.dataset.ids() {
            let own = place(&mut splits, self.dataset.split_name(id));
            splits[own].before += 1;
            if self.changes[id.idx()].is_dropped {
                splits[own].dropped += 1;
                continue;
            }
            let (label, split) = self.changed(id);
            splits[own].relabeled += u64::from(label.is_some());
            let now = split.map_or(own, |name| place(&mut splits, name));
            splits[now].after += 1;
            if now != own {
                splits[own].moved_out += 1;
                splits[now].moved_in += 1;
            }
        }
        splits
    }

    /// Does everything but write: whatever [`Prepared::write`] would refuse is refused.
    ///
    /// # Errors
    /// When a decision cannot be carried out, or the input is no longer what was read.
    pub fn rehearse(&self, progress: &dyn Progress) -> Result<(), ApplyError> {
        Ok(self.rewrite.rehearse(progress)?)
    }

    /// Writes the new folder, which appears whole or not at all.
    ///
    /// # Errors
    /// When the input is no longer what was read, the folder cannot be written, or somebody asked the commits to stop.
    pub fn write(&self, progress: &dyn Progress) -> Result<Manifest, ApplyError> {
        let options = &self.options;
        let written: Result<Manifest, RewriteError> = options.commits.write_folder(&options.out, |dir| {
            let files = self.rewrite.write(dir, options.link, &options.commits, progress)?;
            let manifest = self.manifest(files);
            let path = dir.join(MANIFEST);
            let fill = |file: &mut File| -> io::Result<()> {
                serde_json::to_writer_pretty(&mut *file, &manifest)?;
                file.write_all(b"\n")
            };
            let failed = |source| RewriteError::Write { path: path.clone(), source };
            options.commits.write(&path, fill).map_err(failed)?;
            Ok(manifest)
        });
        Ok(written?)
    }

    fn manifest(&self, files: Vec<FileRecord>) -> Manifest {
        let options = &self.options;
        let file = |it: FileRecord| FileChange {
            path: it.path,
            rows_in: it.rows_in,
            rows_out: it.rows_out,
            size: it.size_bytes,
            blake3: it.blake3,
        };
        Manifest {
            schema: v1::MANIFEST_SCHEMA.to_owned(),
            tool: ToolRecord { name: "tamis".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            command: options.command.clone(),
            parent: ParentRecord { dataset_hash: self.hash.clone(), n_samples: self.dataset.len() as u64 },
            decisions: self.files.clone(),
            resplit: options.resplit.as_ref().map(|shares| ResplitRecord {
                names: shares.names().iter().map(|it| (*it).to_owned()).collect(),
                shares: shares.values().to_vec(),
                seed: options.seed,
            }),
            link: match options.link {
                Link::Copy => "copy",
                Link::Hard => "hard",
                Link::Symbolic => "symbolic",
            }
            .to_owned(),
            actions: self.actions(),
            splits: self.by_split(),
            files: files.into_iter().map(file).collect(),
        }
    }
}
