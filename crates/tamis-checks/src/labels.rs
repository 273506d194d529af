//! The labels of a dataset judged by its vectors: what `label-error` and `overlapping-classes` share.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use tamis_core::{
    CheckContext, CheckError, CheckResult, Evidence, LabelId, Need, PairNeed, PairSearch, Probabilities, SampleId,
};
use tamis_labels::{
    ConfidentLearning, Confusion, DoubtfulPair, EvidenceOptions, LabelEvidence, LabeledVectors, LearningOptions,
    NoiseEstimate, RowEvidence, RowSums, label_evidence_on,
};

/// Neighbors that are looked up: as many as vote, and some in case copies are among the nearest.
const GRAPH_NEIGHBORS: usize = 40;

/// Raised when the evidence comes out otherwise than before, so that that of an older version is not taken up.
const EVIDENCE_VERSION: &[u8] = b"3";

/// No neighbor, and no class.
const NONE: u32 = u32::MAX;

/// What must be there to judge labels: vectors, neighbors, and the pairs that tell which samples are copies.
pub(crate) fn needs() -> Vec<Need> {
    let pairs = |search| Need::Pairs(PairNeed { search, min_cosine: None, min_copy: None });
    vec![
        Need::Labels,
        Need::Embeddings,
        Need::Neighbors(GRAPH_NEIGHBORS),
        pairs(PairSearch::WithinSplits),
        pairs(PairSearch::AcrossSplits),
    ]
}

/// Every label judged without the sample and its copies.
#[derive(Debug)]
pub(crate) struct JudgedLabels {
    /// Identical samples with the same label, or without one, judged as one.
    units: Vec<Unit>,
    /// The dataset's label of each class.
    classes: Vec<LabelId>,
    /// One per unit.
    evidence: Vec<RowEvidence>,
    /// Expected numbers of samples of one class under the label of another; identical samples count once.
    pub(crate) confusions: Vec<Confusion>,
    /// How many samples could belong to either of two classes; identical samples count once.
    pub(crate) overlaps: Vec<DoubtfulPair>,
    /// How many labels are wrong; identical samples count once.
    pub(crate) noise: NoiseEstimate,
    /// Whether the user's probabilities look as if their model had seen the labels.
    pub(crate) looks_in_sample: bool,
}

/// The device of an audit, if it has one, for products.
#[derive(Debug)]
struct OnDevice<'a>(Option<&'a dyn tamis_core::MatrixProducts>);

impl tamis_labels::MatrixProducts for OnDevice<'_> {
    fn times_transposed(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
        self.0?.times_transposed(a, b)
    }
}

/// Identical samples with the same label.
#[derive(Debug)]
struct Unit {
    leader: SampleId,
    /// A class, or [`NONE`].
    class: u32,
    members: Vec<SampleId>,
}

impl JudgedLabels {
    /// Judges the labels, or takes up what was kept; where nothing can be judged, the result of a check that says so.
    ///
    /// # Errors
    /// When the check did not declare [`needs`].
    pub(crate) fn of(
        cx: &CheckContext<'_>,
        options: &EvidenceOptions,
    ) -> Result<Result<Self, CheckResult>, CheckError> {
        let embeddings = cx.embeddings()?;
        let units = units(cx)?;
        let mut counts = BTreeMap::<LabelId, usize>::new();
        for unit in units.iter().filter_map(|unit| cx.dataset.sample(unit.members[0]).label) {
            *counts.entry(unit).or_default() += 1;
        }
        let classes: Vec<LabelId> = counts.into_keys().collect();
        if classes.len() < 2 {
            return Ok(Err(nothing("fewer than two classes have samples with a vector")));
        }
        let class_of: BTreeMap<LabelId, u32> = classes.iter().copied().zip(0..).collect();
        let mut units = units;
        for unit in &mut units {
            unit.class = cx.dataset.sample(unit.members[0]).label.map_or(NONE, |label| class_of[&label]);
        }
        let labels: Vec<Option<u32>> = units.iter().map(|unit| (unit.class != NONE).then_some(unit.class)).collect();
        let families: Vec<u32> = units
            .iter()
            .map(|unit| cx.family(unit.leader).map_or(unit.leader.0, |family| family.members[0].0))
            .collect();
        let (neighbors, similarities) = neighbors(cx, &units)?;
        let bytes_of = |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let rows: Vec<usize> = units.iter().filter_map(|unit| embeddings.row_of(unit.leader)).collect();
        let inputs = [
            EVIDENCE_VERSION.to_vec(),
            format!("{options:?}").into_bytes(),
            bytes_of(&units.iter().map(|unit| unit.class).collect::<Vec<_>>()),
            bytes_of(&units.iter().map(|unit| unit.leader.0).collect::<Vec<_>>()),
            bytes_of(&families),
        ];
        let mut looks_in_sample = false;
        let kept = match cx.probabilities() {
            Some(given) => {
                let (evidence, in_sample) = from_probabilities(given, &classes, &units)?;
                looks_in_sample = in_sample;
                to_bytes(&evidence)
            }
            None => cx.kept("label-evidence", &inputs.each_ref().map(Vec::as_slice), || {
                let features = embeddings.rows().select(Axis(0), &rows);
                let samples = LabeledVectors {
                    features: features.view(),
                    labels: &labels,
                    n_classes: classes.len(),
                    families: &families,
                    neighbors: neighbors.view(),
                    similarities: similarities.view(),
                };
                label_evidence_on(&samples, options, &OnDevice(cx.products())).map(|evidence| to_bytes(&evidence))
            })?,
        };
        let kept = parse(&kept, units.len()).ok_or("kept evidence on labels is damaged")?;
        if !kept.is_informative {
            return Ok(Err(nothing(
                "what is known of the samples names the given label no more often than the most frequent label alone \
                 would; it says nothing of these labels, or samples are too few",
            )));
        }
        let noise = NoiseEstimate::of(&labels, &families, &kept.rows)?;
        let Kept { rows: evidence, confusions, overlaps, .. } = kept;
        Ok(Ok(Self { units, classes, evidence, confusions, overlaps, noise, looks_in_sample }))
    }

    /// Every labeled sample with what is known of its label, in no particular order.
    pub(crate) fn labeled(&self) -> impl Iterator<Item = (SampleId, LabelId, &RowEvidence)> {
        let units = self.units.iter().zip(&self.evidence).filter(|(unit, _)| unit.class != NONE);
        units.flat_map(move |(unit, evidence)| {
            unit.members.iter().map(move |&id| (id, self.label(unit.class), evidence))
        })
    }

    /// The dataset's label of a class.
    pub(crate) fn label(&self, class: u32) -> LabelId {
        self.classes[class as usize]
    }

    pub(crate) fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// A table of all classes with their estimated noise, worst first.
    pub(crate) fn class_table(&self, cx: &CheckContext<'_>) -> Vec<Evidence> {
        let mut by_class = self.noise.by_class.clone();
        by_class.sort_by(|a, b| b.rate.estimate.total_cmp(&a.rate.estimate));
        let row = |noise: &tamis_labels::ClassNoise| {
            Evidence::new()
                .with("label", name(cx, self.label(noise.class)))
                .with("samples", noise.n)
                .with("wrong", rounded(noise.rate.estimate))
                .with("low", rounded(noise.rate.low))
                .with("high", rounded(noise.rate.high))
        };
        by_class.iter().map(row).collect()
    }
}

/// Evidence from probabilities that the user brought, and whether they look in-sample; units without label have none.
fn from_probabilities(
    given: &Probabilities,
    classes: &[LabelId],
    units: &[Unit],
) -> Result<(LabelEvidence, bool), tamis_labels::Error> {
    let column = |label: &LabelId| given.columns.iter().position(|it| it == label);
    let columns: Vec<usize> = classes.iter().filter_map(column).collect();
    let labeled: Vec<&Unit> = units.iter().filter(|unit| unit.class != NONE).collect();
    let rows: Vec<usize> = labeled.iter().map(|unit| unit.members[0].idx()).collect();
    let labels: Vec<u32> = labeled.iter().map(|unit| unit.class).collect();
    let values = given.values.select(Axis(0), &rows).select(Axis(1), &columns);
    // Without the columns of labels that no readable sample has, rows need not sum to 1 any more.
    let options = LearningOptions { row_sums: RowSums::Renormalize, ..LearningOptions::default() };
    let learning = ConfidentLearning::new(&labels, values.view(), &options)?;
    let mut evidence = learning.evidence()?;
    let mut judged = evidence.rows.into_iter();
    let mut of = |unit: &Unit| if unit.class == NONE { None } else { judged.next() };
    evidence.rows = units.iter().map(|unit| of(unit).unwrap_or(RowEvidence::UNKNOWN)).collect();
    Ok((evidence, learning.looks_in_sample()))
}

/// What a check answers that could not estimate anything.
fn nothing(reason: &str) -> CheckResult {
    CheckResult {
        notes: vec![format!("nothing was estimated: {reason}")],
        threshold_source: "none".to_owned(),
        ..CheckResult::default()
    }
}

/// A share to four decimals: no estimate is better than that.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// The name of a label.
pub(crate) fn name<'a>(cx: &CheckContext<'a>, label: LabelId) -> &'a str {
    cx.dataset.label_names()[label.0 as usize].as_str()
}

/// Readable samples with a vector by identity group and label, ordered by the first member.
fn units(cx: &CheckContext<'_>) -> Result<Vec<Unit>, CheckError> {
    let embeddings = cx.embeddings()?;
    let groups = cx.identity();
    let mut by_group = BTreeMap::<(SampleId, Option<LabelId>), Vec<SampleId>>::new();
    for id in cx.dataset.ok_ids().filter(|id| embeddings.row_of(groups.leader(*id)).is_some()) {
        by_group.entry((groups.leader(id), cx.dataset.sample(id).label)).or_default().push(id);
    }
    let mut units: Vec<Unit> =
        by_group.into_iter().map(|((leader, _), members)| Unit { leader, class: NONE, members }).collect();
    units.sort_by_key(|unit| unit.members[0]);
    Ok(units)
}

/// The neighbor graph between units: a group that has several labels stands with the most frequent one.
fn neighbors(cx: &CheckContext<'_>, units: &[Unit]) -> Result<(Array2<u32>, Array2<f32>), CheckError> {
    let graph = cx.neighbors()?;
    let mut unit_of = BTreeMap::<SampleId, u32>::new();
    for (unit, number) in units.iter().zip(0..) {
        let known = unit_of.entry(unit.leader).or_insert(number);
        if units[*known as usize].members.len() < unit.members.len() {
            *known = number;
        }
    }
    let mut ids = Array2::from_elem((units.len(), graph.k()), NONE);
    let mut similarities = Array2::zeros(ids.dim());
    for (row, unit) in units.iter().enumerate() {
        for (place, (neighbor, cosine)) in graph.neighbors(unit.leader).enumerate() {
            ids[[row, place]] = unit_of.get(&neighbor).copied().unwrap_or(NONE);
            similarities[[row, place]] = cosine;
        }
    }
    Ok((ids, similarities))
}

/// Records of 16 bytes: per unit two probabilities (NaN for none), the suggested class ([`NONE`] for none) and its probability; then whether
/// it is informative and how many confusions there are, the confusions, and the overlaps.
fn to_bytes(evidence: &LabelEvidence) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(evidence.rows.len() * 16);
    for row in &evidence.rows {
        for value in [row.given_probability, row.correct_probability] {
            bytes.extend(value.unwrap_or(f32::NAN).to_le_bytes());
        }
        bytes.extend(row.suggested.unwrap_or(NONE).to_le_bytes());
        bytes.extend(row.suggested_probability.to_le_bytes());
    }
    let counts = evidence.confusions.iter().map(|it| (it.given, it.class, it.count));
    let counts = counts.chain(evidence.overlaps.iter().map(|it| (it.a, it.b, it.count)));
    let n_confusions = evidence.confusions.len() as f64;
    let head = (u32::from(evidence.is_informative), 0, n_confusions);
    for (first, second, count) in std::iter::once(head).chain(counts) {
        bytes.extend(first.to_le_bytes());
        bytes.extend(second.to_le_bytes());
        bytes.extend(count.to_le_bytes());
    }
    bytes
}

/// What [`to_bytes`] keeps.
struct Kept {
    is_informative: bool,
    rows: Vec<RowEvidence>,
    confusions: Vec<Confusion>,
    overlaps: Vec<DoubtfulPair>,
}

fn parse(bytes: &[u8], n_units: usize) -> Option<Kept> {
    let (records, []) = bytes.as_chunks::<16>() else { return None };
    let (rows, counts) = records.split_at_checked(n_units)?;
    let rows = rows.iter().map(|record| {
        let [given, correct, suggested, probability] = words(record);
        let known = |word| Some(f32::from_le_bytes(word)).filter(|value| !value.is_nan());
        RowEvidence {
            given_probability: known(given),
            correct_probability: known(correct),
            suggested: Some(u32::from_le_bytes(suggested)).filter(|&class| class != NONE),
            suggested_probability: f32::from_le_bytes(probability),
        }
    });
    let mut counts = counts.iter().map(|record| {
        let [first, second, low, high] = words(record);
        let count = u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
        (u32::from_le_bytes(first), u32::from_le_bytes(second), f64::from_bits(count))
    });
    let (is_informative, _, n_confusions) = counts.next()?;
    let counts: Vec<_> = counts.collect();
    let (confusions, overlaps) = counts.split_at_checked(n_confusions as usize)?;
    Some(Kept {
        is_informative: is_informative == 1,
        rows: rows.collect(),
        confusions: confusions.iter().map(|&(given, class, count)| Confusion { given, class, count }).collect(),
        overlaps: overlaps.iter().map(|&(a, b, count)| DoubtfulPair { a, b, count }).collect(),
    })
}

fn words(record: &[u8; 16]) -> [[u8; 4]; 4] {
    let mut words = [[0; 4]; 4];
    words.iter_mut().zip(record.chunks_exact(4)).for_each(|(word, bytes)| word.copy_from_slice(bytes));
    words
}
