//! What a check is, what it sees and what it answers.
//!
//! A check is a pure function of its [`CheckContext`]: no clock, no files, no content, no environment. It declares in
//! [`Check::needs`] what must be computed for it; the facade plans the union over all checks, and a check that reaches
//! for something it did not declare gets [`Undeclared`], which is a bug in the check.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use ndarray::Array2;

use crate::fingerprint::{Fingerprints, IdentityGroups, IdentityLevel};
use crate::{
    Dataset, Embeddings, Families, Family, LabelId, MatrixProducts, Modality, NeighborGraph, PairSearch, PairSet,
    SampleId, SplitId,
};

/// How bad it is if the finding is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs quality.
    Low,
    /// Biases training or evaluation.
    Medium,
    /// Makes a reported result wrong, e.g. test data in the training split.
    High,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Low, Self::Medium, Self::High];

    /// Name in options and wire formats.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How likely the finding is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Expect many false alarms.
    Low,
    /// Expect some.
    Medium,
    /// Expect hardly any; facts are of this kind.
    High,
}

impl Confidence {
    /// Name in wire formats.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a check must be given.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Need {
    /// Samples of this kind.
    Modality(Modality),
    /// Given labels of at least two classes.
    Labels,
    /// A split that is evaluated on and one that comes before it.
    Splits,
    /// A split that is a benchmark.
    Benchmark,
    /// [`Embeddings`] of at least one sample.
    Embeddings,
    /// A [`NeighborGraph`] of this `k`, or of all others where there are fewer.
    Neighbors(usize),
    /// All pairs of a search that are copies or close.
    Pairs(PairNeed),
}

/// Which pairs a check wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairNeed {
    /// Which samples to compare.
    pub search: PairSearch,
    /// Smallest cosine of pairs that are merely close; `None` for the threshold that the model's manifest states.
    pub min_cosine: Option<f32>,
    /// Smallest score of copies; `None` for the one that was measured for the modality.
    pub min_copy: Option<f32>,
}

/// A seed of its own for each check and each measure, so that adding one changes no other: FNV-1a of the name over the run's
/// seed.
#[must_use]
pub fn derive_seed(seed: u64, name: &str) -> u64 {
    name.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The fixed facts of a check: identity and documentation.
#[derive(Clone, Copy, Debug)]
pub struct CheckInfo {
    /// Kebab-case, equal to the file name; names the defect and reads well after "allow".
    pub id: &'static str,
    /// One line, no full stop.
    pub summary: &'static str,
    /// Its page in Markdown: what it does, why it matters, method, limits, options, references.
    pub page: &'static str,
    /// Whether its findings say something of given labels: the same samples under other labels are another finding then.
    pub judges_labels: bool,
}

/// A number, text or collection in a finding's evidence.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A real number, finite.
    Float(f64),
    /// Text.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// A sample, written as its key.
    Sample(SampleId),
    /// Words of a sample's text, written as they stand there: the number of the first (see [`crate::text::words`]), and how
    /// many. Content is not in the evidence; an output fetches it.
    Words(SampleId, u32, u32),
    /// A passage of a text, as it stands there.
    Quote(String),
    /// Several values.
    List(Vec<Self>),
    /// Named values, in order.
    Map(Evidence),
}

/// Named values in the order they are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence(pub Vec<(Cow<'static, str>, Value)>);

impl Evidence {
    /// Starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Whether texts under `name` are keys of samples and become [`Value::Sample`] again when evidence is read back: `key`,
    /// `keep`, and names that begin with `nearest`.
    #[must_use]
    pub fn names_a_sample(name: &str) -> bool {
        matches!(name, "key" | "keep") || name.starts_with("nearest")
    }

    /// The value called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(it, _)| *it == name).map(|(_, value)| value)
    }
}

impl From<f32> for Value {
    /// Keeps the shortest decimal that reads back as the same `f32`: `0.9`, not `0.8999999761581421`.
    fn from(value: f32) -> Self {
        Self::Float(value.to_string().parse().unwrap_or(f64::from(value)))
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<SampleId> for Value {
    fn from(value: SampleId) -> Self {
        Self::Sample(value)
    }
}
impl From<Evidence> for Value {
    fn from(value: Evidence) -> Self {
        Self::Map(value)
    }
}
impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// One defect found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// The check's own number, higher for more suspicious; its unit stands on the check's page.
    pub score: f64,
    /// The samples it is about, the one to act on first.
    pub samples: Vec<SampleId>,
    /// One sentence for a person.
    pub message: String,
    /// What it rests on.
    pub evidence: Evidence,
    /// What could be done.
    pub suggestion: Option<Suggestion>,
}

/// A possible remedy; never applied without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suggestion {
    /// Remove these samples.
    Drop(Vec<SampleId>),
    /// Give the sample another label.
    Relabel(SampleId, LabelId),
    /// Put these samples into another split.
    MoveSplit(Vec<SampleId>, SplitId),
    /// A person must decide.
    Review,
}

/// A number about each sample, for outputs that show or sort all of them.
#[derive(Clone, Debug)]
pub struct SampleScores {
    /// Column name, snake case, ends with `_score`.
    pub name: Cow<'static, str>,
    /// One per sample in reading order, higher for more suspicious; NaN where the check says nothing.
    pub values: Vec<f32>,
}

/// What a check found, and out of how much.
#[derive(Clone, Debug, Default)]
pub struct CheckResult {
    /// The defects, worst first.
    pub findings: Vec<Finding>,
    /// Number of samples looked at: the denominator of every rate.
    pub population: usize,
    /// Number of those samples that some finding is about.
    pub flagged: usize,
    /// The number that decided, if one did.
    pub threshold: Option<f64>,
    /// Where that number comes from.
    pub threshold_source: String,
    /// Counts with stable names, for records and tests.
    pub facts: Vec<(Cow<'static, str>, usize)>,
    /// Further numbers and tables of the check by name, for the record.
    pub details: Evidence,
    /// A score for each sample, where the check has one.
    pub scores: Option<SampleScores>,
    /// What a reader must know to judge the findings, e.g. what was left out and why.
    pub notes: Vec<String>,
    /// How many findings there would be at other thresholds, and how many of them are false at most; ascending thresholds.
    /// Empty where the check has no clean reference.
    pub curve: Vec<CurvePoint>,
}

/// What another threshold would flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Smallest score that is flagged.
    pub threshold: f64,
    /// Tested samples that are: one of each group of identical ones, and none that is identical to something seen before.
    pub flagged: usize,
    /// Upper bound of those that are clean in truth; holds for all thresholds at once with 95 % confidence.
    pub max_false: usize,
}

/// Class probabilities that the user brought, from a model that has not seen the samples.
#[derive(Clone, Debug)]
pub struct Probabilities {
    /// Shape `(samples, columns.len())`, rows in reading order.
    pub values: Array2<f32>,
    /// The label of each column.
    pub columns: Vec<LabelId>,
}

/// What a check sees. Nothing else is in reach.
#[derive(Debug)]
pub struct CheckContext<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// Hashes of every sample.
    pub fingerprints: &'a Fingerprints,
    /// Seed for this check, already derived from the run's seed and the check's id.
    pub seed: u64,
    identity: &'a [IdentityGroups],
    embeddings: Option<&'a Embeddings>,
    neighbors: Option<&'a NeighborGraph>,
    probabilities: Option<&'a Probabilities>,
    pairs: Vec<(PairNeed, &'a PairSet)>,
    families: Option<&'a Families>,
    ranks: Option<&'a [u32]>,
    shelf: Option<&'a dyn Shelf>,
    products: Option<&'a dyn MatrixProducts>,
}

/// Keeps what a check computes at length from one run to the next.
///
/// A check stays a pure function: what it gets from a shelf is what it would compute from the same inputs. The vectors of
/// the dataset are always among the inputs and need not be named.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// What was put there under `name` for exactly these inputs; `None` where nothing was.
    fn take(&self, name: &str, inputs: &[&[u8]]) -> Option<Vec<u8>>;

    /// Puts an output there; where that fails, the next run computes it again.
    fn put(&self, name: &str, inputs: &[&[u8]], output: &[u8]);
}

impl<'a> CheckContext<'a> {
    /// A context with what is known of every dataset; `identity` holds the groups of each level, strictest first.
    #[must_use]
    pub fn new(
        dataset: &'a Dataset,
        fingerprints: &'a Fingerprints,
        identity: &'a [IdentityGroups],
        seed: u64,
    ) -> Self {
        Self {
            dataset,
            fingerprints,
            seed,
            identity,
            embeddings: None,
            neighbors: None,
            probabilities: None,
            pairs: Vec::new(),
            families: None,
            ranks: None,
            shelf: None,
            products: None,
        }
    }

    /// Adds embeddings.
    #[must_use]
    pub fn with_embeddings(mut self, embeddings: &'a Embeddings) -> Self {
        self.embeddings = Some(embeddings);
        self
    }

    /// Adds a neighbor graph.
    #[must_use]
    pub fn with_neighbors(mut self, neighbors: &'a NeighborGraph) -> Self {
        self.neighbors = Some(neighbors);
        self
    }

    /// Adds probabilities that the user brought.
    #[must_use]
    pub fn with_probabilities(mut self, probabilities: Option<&'a Probabilities>) -> Self {
        self.probabilities = probabilities;
        self
    }

    /// Probabilities that the user brought, if any: whoever judges labels takes them in place of vectors.
    #[must_use]
    pub fn probabilities(&self) -> Option<&'a Probabilities> {
        self.probabilities
    }

    /// Adds the pairs that answer [`Need::Pairs`].
    #[must_use]
    pub fn with_pairs(mut self, need: PairNeed, pairs: &'a PairSet) -> Self {
        self.pairs.push((need, pairs));
        self
    }

    /// Adds which of several identical samples the user wants to keep: a number by sample, the smallest being best. Without
    /// one the first in reading order is.
    #[must_use]
    pub fn with_ranks(mut self, ranks: Option<&'a [u32]>) -> Self {
        self.ranks = ranks;
        self
    }

    /// How good a sample is to keep among identical ones, the smaller the better.
    #[must_use]
    pub fn rank(&self, id: SampleId) -> u32 {
        self.ranks.and_then(|ranks| ranks.get(id.idx()).copied()).unwrap_or(id.0)
    }

    /// Adds the families that all pairs of the run form.
    #[must_use]
    pub fn with_families(mut self, families: &'a Families) -> Self {
        self.families = Some(families);
        self
    }

    /// Adds a shelf; without one everything is computed.
    #[must_use]
    pub fn with_shelf(mut self, shelf: &'a dyn Shelf) -> Self {
        self.shelf = Some(shelf);
        self
    }

    /// Adds a device that multiplies large matrices; without one the CPU does.
    #[must_use]
    pub fn with_products(mut self, products: Option<&'a dyn MatrixProducts>) -> Self {
        self.products = products;
        self
    }

    /// A device that multiplies large matrices faster than the CPU, if there is one.
    #[must_use]
    pub fn products(&self) -> Option<&'a dyn MatrixProducts> {
        self.products
    }

    /// Takes the output called `name` from the shelf, or computes it and puts it there. `inputs` must hold all that
    /// `compute` depends on but for the vectors, the version of the computation among them.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn kept<E>(
        &self,
        name: &str,
        inputs: &[&[u8]],
        compute: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        if let Some(output) = self.shelf.and_then(|shelf| shelf.take(name, inputs)) {
            return Ok(output);
        }
        let output = compute()?;
        if let Some(shelf) = self.shelf {
            shelf.put(name, inputs, &output);
        }
        Ok(output)
    }

    /// The levels of identity that samples of this modality have, strictest first, with their groups.
    pub fn levels(&self) -> impl Iterator<Item = (IdentityLevel, &'a IdentityGroups)> + use<'a> {
        self.fingerprints.levels().iter().copied().zip(self.identity)
    }

    /// Groups of samples that are identical at the widest level.
    ///
    /// # Panics
    /// When the context was made without groups: a bug.
    #[must_use]
    pub fn identity(&self) -> &'a IdentityGroups {
        self.identity.last().expect("because every modality has a level")
    }

    /// The strictest level at which the fingerprints of `ids` are all the same; the widest one where they are not.
    #[must_use]
    pub fn common_level(&self, ids: &[SampleId]) -> IdentityLevel {
        let digest = |id: &SampleId, level| self.fingerprints.digest(*id, level);
        let same = |level: &&IdentityLevel| ids.windows(2).all(|it| digest(&it[0], **level) == digest(&it[1], **level));
        let levels = self.fingerprints.levels();
        *levels.iter().find(same).unwrap_or(&levels[levels.len() - 1])
    }

    /// The embeddings.
    ///
    /// # Errors
    /// When the check did not declare [`Need::Embeddings`].
    pub fn embeddings(&self) -> Result<&'a Embeddings, Undeclared> {
        self.embeddings.ok_or(Undeclared("Need::Embeddings"))
    }

    /// The neighbor graph.
    ///
    /// # Errors
    /// When the check did not declare [`Need::Neighbors`].
    pub fn neighbors(&self) -> Result<&'a NeighborGraph, Undeclared> {
        self.neighbors.ok_or(Undeclared("Need::Neighbors"))
    }

    /// The pairs of a search.
    ///
    /// # Errors
    /// When the check did not declare exactly this need.
    pub fn pairs(&self, need: PairNeed) -> Result<&'a PairSet, Undeclared> {
        let found = self.pairs.iter().find(|(it, _)| *it == need);
        found.map(|(_, pairs)| *pairs).ok_or(Undeclared("Need::Pairs"))
    }

    /// The family of a sample: what identical samples and copies connect it with. `None` where nothing does, and where no
    /// check of the run asks for pairs.
    #[must_use]
    pub fn family(&self, id: SampleId) -> Option<&'a Family> {
        self.families.and_then(|it| it.of(id))
    }
}

/// A check asked for an input it had not declared: a bug in the check.
#[derive(Debug, thiserror::Error)]
#[error("check used {0} without declaring it in its `needs`")]
pub struct Undeclared(pub &'static str);

/// A check that broke. Bad data is a finding; this is for bugs and exhausted resources.
pub type CheckError = Box<dyn StdError + Send + Sync>;

/// A check, ready to run with its options.
pub trait Check: fmt::Debug + Send + Sync {
    /// The fixed facts.
    fn info(&self) -> &'static CheckInfo;

    /// What must be computed for it with these options. Nothing, unless it says otherwise: identity is always there.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// The options in force, for the record. None, unless it says otherwise.
    fn options(&self) -> Evidence {
        Evidence::new()
    }

    /// Finds defects. Same context, same result.
    ///
    /// # Errors
    /// Only for bugs and exhausted resources: bad data is a finding, not an error.
    fn run(&self, cx: &CheckContext<'_>) -> Result<CheckResult, CheckError>;
}
