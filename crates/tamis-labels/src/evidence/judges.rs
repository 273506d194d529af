//! Who judges the samples, and what the judges' weights are fitted to.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::channel::{self, Candidates, NO_CLASS, Sample, WIDTH, Weights};
use super::gaussian::{Gaussian, Labeled};
use super::grouping::Grouping;
use super::votes::Votes;
use crate::Probability;

/// Rows to which the weights of the judges are fitted: two numbers and a rough channel. Chosen: from 2,048 rows on the
/// weights of 10,000 samples move by less than a tenth.
const SAMPLE_ROWS: usize = 4096;

/// Most scores that are in memory at once while weights are fitted: 64 MiB.
const SAMPLE_SCORES: usize = 1 << 24;

/// Least probability at which a class is remembered for a sample.
const MIN_PROBABILITY: f32 = 1e-4;

/// Least given probability: one that rounded to zero says that a class is improbable, not that it is impossible.
const LEAST_GIVEN: f64 = 1e-9;

/// What gives every class of every sample a score.
pub(super) trait Judges: Sync {
    /// Given labels of all rows.
    fn labels(&self) -> &[Option<u32>];

    fn n_classes(&self) -> usize;

    /// Log scores of some rows of `grouping`, `(rows.len(), n_classes)`, in row-major order.
    fn scores(&self, grouping: &Grouping, rows: &[u32]) -> Array2<f32>;

    /// Log votes for a row, ascending by class.
    fn votes(&self, grouping: &Grouping, row: u32, votes: &mut Vec<(u32, f32)>);
}

/// A Gaussian and the neighbors.
pub(super) struct Fitted<'a> {
    pub(super) gaussian: Gaussian,
    pub(super) labeled: Labeled<'a>,
    pub(super) votes: Votes<'a>,
    /// Labels that neighbors vote with.
    pub(super) vote_labels: &'a [Option<u32>],
}

impl Judges for Fitted<'_> {
    fn labels(&self) -> &[Option<u32>] {
        self.labeled.labels
    }

    fn n_classes(&self) -> usize {
        self.labeled.n_classes
    }

    fn scores(&self, grouping: &Grouping, rows: &[u32]) -> Array2<f32> {
        self.gaussian.score(&self.labeled, grouping, rows)
    }

    fn votes(&self, grouping: &Grouping, row: u32, votes: &mut Vec<(u32, f32)>) {
        self.votes.of(row, grouping, self.vote_labels, votes);
    }
}

/// Probabilities that somebody else computed.
pub(super) struct Given<'a, P> {
    pub(super) probabilities: ArrayView2<'a, P>,
    pub(super) labels: &'a [Option<u32>],
}

impl<P: Probability> Judges for Given<'_, P> {
    fn labels(&self) -> &[Option<u32>] {
        self.labels
    }

    fn n_classes(&self) -> usize {
        self.probabilities.ncols()
    }

    fn scores(&self, _: &Grouping, rows: &[u32]) -> Array2<f32> {
        let mut scores = Array2::zeros((rows.len(), self.n_classes()));
        for (mut scores, &row) in scores.rows_mut().into_iter().zip(rows) {
            for (score, &value) in scores.iter_mut().zip(self.probabilities.row(row as usize)) {
                *score = Into::<f64>::into(value).max(LEAST_GIVEN).ln() as f32;
            }
        }
        scores
    }

    fn votes(&self, _: &Grouping, _: u32, votes: &mut Vec<(u32, f32)>) {
        votes.clear();
    }
}

/// Full scores of the labeled members of the families that come first in the draw.
pub(super) fn sample(judges: &impl Judges, grouping: &Grouping, draw: &[u32]) -> Sample {
    let n_rows = SAMPLE_ROWS.min(SAMPLE_SCORES / judges.n_classes()).max(1);
    let labels = judges.labels();
    let mut rows = Vec::new();
    for &family in draw {
        let labeled = |row: &&u32| labels[**row as usize].is_some();
        rows.extend(grouping.family(family as usize).iter().filter(labeled).take(n_rows - rows.len()));
        if rows.len() == n_rows {
            break;
        }
    }
    let parts: Vec<Array2<f32>> = rows.par_chunks(256).map(|rows| judges.scores(grouping, rows)).collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let votes = |&row: &u32| {
        let mut votes = Vec::new();
        judges.votes(grouping, row, &mut votes);
        votes
    };
    Sample {
        gaussian: ndarray::concatenate(Axis(0), &views).expect("because all have one column per class"),
        votes: rows.iter().map(votes).collect(),
        labels: rows.iter().filter_map(|&row| labels[row as usize]).collect(),
    }
}

/// The likely classes of all samples.
pub(super) fn candidates(judges: &impl Judges, grouping: &Grouping, weights: Weights) -> Candidates {
    let blocks = grouping.blocks();
    let labels = judges.labels();
    let judge = |rows: &&[u32]| {
        let scores = judges.scores(grouping, rows);
        let mut votes = Vec::new();
        let judge_row = |(&row, scores): (&u32, ArrayView1<'_, f32>)| {
            judges.votes(grouping, row, &mut votes);
            let scores = scores.to_slice().expect("because scores are in row-major order");
            let probabilities = channel::probabilities(channel::combined(scores, &votes, weights));
            let (mut classes, values) = channel::likely(&probabilities, labels[row as usize]);
            // The given class and the best other one are always kept.
            for (class, &value) in classes.iter_mut().zip(&values).skip(2) {
                if value < MIN_PROBABILITY {
                    *class = NO_CLASS;
                }
            }
            (classes, values)
        };
        rows.iter().zip(scores.rows()).map(judge_row).collect::<Vec<_>>()
    };
    let judged: Vec<Vec<([u32; WIDTH], [f32; WIDTH])>> = blocks.par_iter().map(judge).collect();
    let n = labels.len();
    let mut candidates = Candidates { classes: vec![NO_CLASS; n * WIDTH], probabilities: vec![0.0; n * WIDTH] };
    for (&row, (classes, values)) in blocks.into_iter().flatten().zip(judged.into_iter().flatten()) {
        let places = row as usize * WIDTH..(row as usize + 1) * WIDTH;
        candidates.classes[places.clone()].copy_from_slice(&classes);
        candidates.probabilities[places].copy_from_slice(&values);
    }
    candidates
}

/// All families in an order that their first rows' numbers decide, not their place: samples are taken from its beginning.
pub(super) fn draw<T: Copy + Into<f64>>(rows: ArrayView2<'_, T>, grouping: &Grouping) -> Vec<u32> {
    let hash = |family: usize| vector_hash(rows.row(grouping.family(family)[0] as usize));
    let mut families: Vec<(u64, u32)> =
        (0..).zip(0..grouping.n_families()).map(|(id, family)| (hash(family), id)).collect();
    families.sort_unstable();
    families.into_iter().map(|(_, family)| family).collect()
}

/// FNV-1a over the first numbers of a row: enough to draw a sample that does not depend on the order.
fn vector_hash<T: Copy + Into<f64>>(vector: ArrayView1<'_, T>) -> u64 {
    let bytes = vector.iter().take(16).flat_map(|&value| Into::<f64>::into(value).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
