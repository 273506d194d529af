//! `tamis-manifest.json`: what `tamis apply` made of which dataset.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolRecord;

/// Value of [`Manifest::schema`].
pub const MANIFEST_SCHEMA: &str = "tamis-manifest/1";

/// How a dataset came from another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Name and version of this format: `tamis-manifest/1`.
    pub schema: String,
    /// The program that wrote it.
    pub tool: ToolRecord,
    /// The command line, one entry per argument.
    pub command: Vec<String>,
    /// The dataset that was read.
    pub parent: ParentRecord,
    /// The files of decisions, in the order they were applied.
    pub decisions: Vec<DecisionsFileRecord>,
    /// How new splits were made; null where none were asked for.
    pub resplit: Option<ResplitRecord>,
    /// How files came over that stayed as they were: `copy`, `hard` or `symbolic`.
    pub link: String,
    /// What became of the samples.
    pub actions: ActionCounts,
    /// The same by split, those of the parent first and in its order.
    pub splits: Vec<SplitChange>,
    /// Every file, by path.
    pub files: Vec<FileChange>,
}

/// The dataset that another one was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParentRecord {
    /// `dataset.hash` as `audit.json` has it: BLAKE3 over key, content, split and label of every sample.
    pub dataset_hash: String,
    /// Number of its samples.
    pub n_samples: u64,
}

/// One file of decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionsFileRecord {
    /// Path as it was given.
    pub path: String,
    /// BLAKE3 of its bytes in hexadecimal.
    pub blake3: String,
    /// Number of decisions in it.
    pub decisions: u64,
}

/// How new splits were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResplitRecord {
    /// Names of the splits.
    pub names: Vec<String>,
    /// Share of each.
    pub shares: Vec<f64>,
    /// Seed of the order among families of one size.
    pub seed: u64,
}

/// Samples by what became of them. A sample may be both relabeled and moved; those that are not dropped are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionCounts {
    /// Still there.
    pub kept: u64,
    /// Not there any more.
    pub dropped: u64,
    /// With another label.
    pub relabeled: u64,
    /// In another split.
    pub moved: u64,
}

/// What became of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplitChange {
    /// Its name.
    pub name: String,
    /// Samples in the parent.
    pub before: u64,
    /// Samples of those that were dropped.
    pub dropped: u64,
    /// Samples of those that have another label.
    pub relabeled: u64,
    /// Samples that went to other splits.
    pub moved_out: u64,
    /// Samples that came from other splits.
    pub moved_in: u64,
    /// Samples now.
    pub after: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// Path below the folder of this manifest.
    pub path: String,
    /// Samples of the parent's file at the same place; zero where there was none, and for files that hold no samples.
    pub rows_in: u64,
    /// Samples in it now.
    pub rows_out: u64,
    /// Bytes; zero where nothing was left of it.
    pub size: u64,
    /// BLAKE3 of the bytes in hexadecimal; null where nothing was left of the parent's file, and it is not there.
    pub blake3: Option<String>,
}
