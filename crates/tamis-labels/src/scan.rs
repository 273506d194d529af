//! The one scan of all probabilities from which counts and flags follow.

use rayon::prelude::*;

use crate::probability::{Probability, first_equal, summarize};
use crate::table::{Block, Table};
use crate::{Collision, Error};

/// What is added to the probability of the given label before a flag is taken back (cleanlab 2.9.0).
const GIVEN_LABEL_BONUS: f64 = 1e-6;

/// Slack below the threshold at which a class still counts as confident (cleanlab 2.9.0).
const THRESHOLD_SLACK: f64 = 1e-6;

/// Guess of an item of which no class reaches its threshold.
pub(crate) const NO_GUESS: u32 = u32::MAX;

/// Mark of an item whose given label is the most probable class once it has its bonus; a tie goes to the smaller class.
pub(crate) const AGREES: u8 = 1;

/// Mark of an item of which some class is more probable than the given one.
pub(crate) const BEATEN: u8 = 2;

/// Mark of an item whose most probable class reaches its threshold.
pub(crate) const ARG_MAX_CONFIDENT: u8 = 4;

/// What is kept of each item: 9 bytes.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Class that the item counts for in the confident joint, or [`NO_GUESS`].
    pub(crate) guesses: Vec<u32>,
    /// Most probable class; of equal ones the smallest.
    pub(crate) arg_max: Vec<u32>,
    /// [`AGREES`], [`BEATEN`] and [`ARG_MAX_CONFIDENT`].
    pub(crate) marks: Vec<u8>,
}

/// Reads every row once; the error is that of the smallest row that has one.
pub(crate) fn scan<P: Probability>(
    labels: &[u32],
    table: &Table<'_, P>,
    thresholds: &[f64],
    collision: Collision,
) -> Result<Scan, Error> {
    let n = labels.len();
    let mut scan = Scan { guesses: vec![NO_GUESS; n], arg_max: vec![0; n], marks: vec![0; n] };
    let step = table.block_rows();
    let rules = Rules { table, collision, given: bounds(thresholds), renormalized: bounds(thresholds) };
    let outputs =
        (scan.guesses.par_chunks_mut(step), scan.arg_max.par_chunks_mut(step), scan.marks.par_chunks_mut(step));
    let blocks: Vec<Result<(), Error>> = (outputs.0, outputs.1, outputs.2, labels.par_chunks(step))
        .into_par_iter()
        .enumerate()
        .map(|(block, (guesses, arg_max, marks, labels))| {
            let first = block * step;
            let out = Part { first, labels, guesses, arg_max, marks };
            table.visit(first..first + labels.len(), |rows| match rows {
                Block::Given(rows) => rules.scan_rows(rows, &rules.given, out),
                Block::Renormalized(rows) => rules.scan_rows(rows, &rules.renormalized, out),
            })
        })
        .collect();
    blocks.into_iter().collect::<Result<(), Error>>()?;
    Ok(scan)
}

/// Least value of each class that counts as confident.
fn bounds<Q: Probability>(thresholds: &[f64]) -> Vec<Q> {
    thresholds.iter().map(|threshold| Q::at_least(threshold - THRESHOLD_SLACK)).collect()
}

/// How rows are judged.
struct Rules<'a, 'b, P> {
    table: &'a Table<'b, P>,
    collision: Collision,
    given: Vec<P>,
    renormalized: Vec<f64>,
}

/// The items of one block.
struct Part<'a> {
    first: usize,
    labels: &'a [u32],
    guesses: &'a mut [u32],
    arg_max: &'a mut [u32],
    marks: &'a mut [u8],
}

impl<P: Probability> Rules<'_, '_, P> {
    fn scan_rows<Q: Probability>(&self, rows: &[Q], bounds: &[Q], out: Part<'_>) -> Result<(), Error> {
        for (index, (row, &label)) in rows.chunks_exact(bounds.len()).zip(out.labels).enumerate() {
            let summary = summarize(row, bounds);
            self.table.check_row(out.first + index, &summary)?;
            let arg_max = first_equal(row, summary.largest);
            let given = label as usize;
            let (own, largest): (f64, f64) = (row[given].into(), summary.largest.into());
            let with_bonus = own + GIVEN_LABEL_BONUS;
            let agrees = largest < with_bonus || (largest <= with_bonus && given < arg_max);
            let arg_max_is_confident = bounds[arg_max] <= summary.largest;
            let guess = match (summary.n_reached, self.collision) {
                (0, _) => NO_GUESS,
                (2.., Collision::Cleanlab) => arg_max as u32,
                _ if arg_max_is_confident => arg_max as u32,
                _ => most_probable_confident(row, bounds),
            };
            out.guesses[index] = guess;
            out.arg_max[index] = arg_max as u32;
            out.marks[index] = if agrees { AGREES } else { 0 }
                | if own < largest { BEATEN } else { 0 }
                | if arg_max_is_confident { ARG_MAX_CONFIDENT } else { 0 };
        }
        Ok(())
    }
}

/// Most probable of the classes that reach their bounds, of which there is one; of equal ones the smallest.
fn most_probable_confident<Q: Probability>(row: &[Q], bounds: &[Q]) -> u32 {
    let mut best = (0, Q::NEG_INFINITY);
    for (class, (&value, &bound)) in row.iter().zip(bounds).enumerate() {
        if bound <= value && best.1 < value {
            best = (class, value);
        }
    }
    best.0 as u32
}
