//! Who judges the samples, and what the judges' weights are fitted to.

use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::channel::{self, Candidates, Entry, NO_CLASS, Sample, WIDTH, Weights};
use super::gaussian::{Gaussian, Labeled};
use super::grouping::Grouping;
use super::votes::Votes;
use crate::Probability;

/// Rows to which the weights of the judges are fitted: two numbers and a rough channel. A guess: many for so few numbers,
/// and little work beside scoring all rows.
const SAMPLE_ROWS: usize = 4096;

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
    let labels = judges.labels();
    let mut rows = Vec::new();
    for &family in draw {
        let labeled = |row: &&u32| labels[**row as usize].is_some();
        rows.extend(grouping.family(family as usize).iter().filter(labeled).take(SAMPLE_ROWS - rows.len()));
        if rows.len() == SAMPLE_ROWS {
            break;
        }
    }
    let chunks: Vec<&[u32]> = rows.chunks(256).collect();
    let entries: Vec<Vec<Vec<Entry>>> = chunks
        .par_iter()
        .map(|rows| {
            let mut all = Vec::with_capacity(rows.len());
            for_each(judges, grouping, rows, |_, entries| all.push(entries.to_vec()));
            all
        })
        .collect();
    Sample {
        entries: entries.into_iter().flatten().collect(),
        labels: rows.iter().filter_map(|&row| labels[row as usize]).collect(),
    }
}

/// Visits some rows with the classes that they may have.
fn for_each(judges: &impl Judges, grouping: &Grouping, rows: &[u32], mut visit: impl FnMut(u32, &[Entry])) {
    let scores = judges.scores(grouping, rows);
    let (mut votes, mut entries) = (Vec::new(), Vec::new());
    for (&row, scores) in rows.iter().zip(scores.rows()) {
        judges.votes(grouping, row, &mut votes);
        let scores = scores.to_slice().expect("because scores are in row-major order");
        channel::entries(scores, &votes, judges.labels()[row as usize], &mut entries);
        visit(row, &entries);
    }
}

/// The likely classes of all samples.
pub(super) fn candidates(judges: &impl Judges, grouping: &Grouping, weights: Weights) -> Candidates {
    let blocks = grouping.blocks();
    let labels = judges.labels();
    let judge = |rows: &&[u32]| {
        let mut judged = Vec::with_capacity(rows.len());
        for_each(judges, grouping, rows, |row, entries| {
            let probabilities = channel::probabilities(entries, weights);
            let (mut classes, values) = channel::likely(entries, &probabilities, labels[row as usize]);
            // The given class and the best other one are always kept.
            for (class, &value) in classes.iter_mut().zip(&values).skip(2) {
                if value < MIN_PROBABILITY {
                    *class = NO_CLASS;
                }
            }
            judged.push((classes, values));
        });
        judged
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
///
/// Equal rows are spread over the order, so that many of them do not make a sample of one value.
pub(super) fn draw<T: Copy + Into<f64> + Sync>(rows: ArrayView2<'_, T>, grouping: &Grouping) -> Vec<u32> {
    let hash = |family: usize| row_hash(rows.row(grouping.family(family)[0] as usize));
    let hashes: Vec<u64> = (0..grouping.n_families()).into_par_iter().map(hash).collect();
    let mut families: Vec<(u64, u32)> = hashes.into_iter().zip(0..).collect();
    families.sort_unstable();
    for equal in families.chunk_by_mut(|a, b| a.0 == b.0) {
        for (occurrence, (hash, _)) in (0..).zip(equal) {
            *hash = mixed(*hash, occurrence);
        }
    }
    families.sort_unstable();
    families.into_iter().map(|(_, family)| family).collect()
}

/// A hash of all numbers of a row.
fn row_hash<T: Copy + Into<f64>>(row: ArrayView1<'_, T>) -> u64 {
    row.iter().fold(0, |hash, &value| mixed(hash, Into::<f64>::into(value).to_bits()))
}

/// One round of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014) over both.
fn mixed(hash: u64, value: u64) -> u64 {
    let mixed = (hash ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_takes_from_everywhere_whatever_the_rows_begin_with() {
        // Sorted, and the first twenty numbers of all rows are zero.
        let rows =
            Array2::from_shape_fn((1000, 24), |(row, column)| if column < 20 { 0.0 } else { (row * column) as f32 });
        let families: Vec<u32> = (0..1000).collect();
        let first: Vec<u32> = draw(rows.view(), &Grouping::new(&families)).into_iter().take(200).collect();
        let n_late = first.iter().filter(|&&row| 500 <= row).count();
        assert!((60..140).contains(&n_late), "{n_late} of 200 are of the second half");
    }

    #[test]
    fn equal_rows_do_not_fill_a_draw() {
        let rows = Array2::from_shape_fn((1000, 2), |(row, _)| if row < 500 { 0.5_f32 } else { 0.25 });
        let families: Vec<u32> = (0..1000).collect();
        let first: Vec<u32> = draw(rows.view(), &Grouping::new(&families)).into_iter().take(200).collect();
        let n_late = first.iter().filter(|&&row| 500 <= row).count();
        assert!((60..140).contains(&n_late), "{n_late} of 200 are of the second kind");
    }
}
