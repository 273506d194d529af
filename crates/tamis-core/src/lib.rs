//! The vocabulary of tamis: what a sample, an embedding, a pair, a check and a finding are.
//!
//! Everything else in the workspace speaks in these types, and this crate speaks to nothing: it opens no file, knows
//! no tensor library and prints nothing. Read it in the order of the modules below; that is also the way of the data:
//!
//! 1. [`dataset`] holds the metadata of every sample (key, place, split, label, columns), readable or not. Content is
//!    never in it; [`content`] says how content is lent.
//! 2. [`text`] is the one place where text is normalized, [`image`] what is known of a picture, and [`fingerprint`] the
//!    place where "the same" is defined.
//! 3. [`embedding`], [`neighbors`] and [`map`] hold what models and joins compute.
//! 4. [`check`] is what a check sees and what it answers; [`report`] is all that an output gets to see, [`diff`] what two
//!    versions of a dataset have to do with each other.
//!
//! Three rules hold everywhere. A [`SampleId`] is the reading order, so arrays are indexed by it and ties go to the
//! smaller one. Scores grow with suspicion. Bad data is a finding, never an error.

pub mod dataset;

pub mod content;

pub mod text;

pub mod image;

pub mod fingerprint;

pub mod embedding;

pub mod neighbors;

pub mod map;

pub mod check;

pub mod report;

pub mod diff;

pub mod progress;

pub mod words;

mod products;

pub use check::{
    Check, CheckContext, CheckError, CheckInfo, CheckResult, Confidence, CurvePoint, Evidence, Finding, Need, PairNeed,
    Probabilities, Severity, Shelf, Suggestion, Undeclared, Value,
};
pub use content::{ContentError, Contents, ImageSource, Modality, TextSource};
pub use dataset::{
    Column, ColumnRole, Dataset, DatasetBuilder, FileId, InputFile, LabelId, Origin, Sample, SampleId, SplitId,
    SplitRole, State, StringArena,
};
pub use diff::{Change, DiffCheck, DiffContext, Drift, Matching, UnmatchedFinding, Version};
pub use embedding::{DegenerateRow, Embeddings};
pub use fingerprint::{Digest, Fingerprints, IdentityGroups, IdentityLevel, Member};
pub use image::{Alignment, ColorMode, Crop, Filter, Fit, Grey, ImageFacts, InputSpec, Margins, Orientation, Pixels};
pub use map::SampleMap;
pub use neighbors::{
    Families, Family, NeighborGraph, Overlap, Pair, PairKind, PairSearch, PairSet, Rung, Shared, Star, Verified,
};
pub use products::MatrixProducts;
pub use progress::{NoProgress, Progress, Task};
pub use report::{
    CheckReport, DeviceFacts, ModelFacts, ModelInput, Outcome, Report, StageTime, Standing, Suppressed, with_causes,
};
