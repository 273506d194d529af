//! The filters that count before they flag: how many items of each class, then which.

use ndarray::{Array2, ArrayView1, CowArray, Ix2};
use rayon::prelude::*;

use crate::confident::{check_joint_shape, round_keeping_total};
use crate::input::check_length;
use crate::scan::BEATEN;
use crate::score::{RankKey, smallest};
use crate::sum::pairwise_sum;
use crate::{ConfidentLearning, Error, FilterOptions, Probability};

/// Margins held at once where a class is pruned: 4 MiB, beyond those of one pair of classes.
const MAX_MARGINS: usize = 1 << 19;

/// How many items of each class to flag, and where they are.
pub(crate) struct PrunePlan<'a, 'b, 'c, P> {
    learning: &'a ConfidentLearning<'b, P>,
    min_examples_per_class: u64,
    kept: Kept<'c>,
    /// Rows, by given class and ascending within a class.
    rows: Vec<u32>,
    /// Where each class starts in `rows`; one entry more than there are classes.
    starts: Vec<usize>,
}

/// Where the counts `(true, given)` come from: how many items given a class stay (own class) or are wrong (others).
enum Kept<'a> {
    /// From a joint `(given, true)`, by [`counts_to_keep`].
    Joint { joint: CowArray<'a, u64, Ix2>, min_examples_per_class: u64, frac_noise: f64 },
    /// As they stand here, by true class.
    Counts(Array2<u64>),
}

impl Kept<'_> {
    /// Counts of the items given one class, by true class.
    fn of(&self, given: usize) -> Vec<u64> {
        match self {
            Self::Joint { joint, min_examples_per_class, frac_noise } => {
                counts_to_keep(joint.row(given), given, *min_examples_per_class, *frac_noise)
            }
            Self::Counts(counts) => counts.column(given).to_vec(),
        }
    }
}

impl<'a, 'b, 'c, P: Probability> PrunePlan<'a, 'b, 'c, P> {
    pub(crate) fn new(learning: &'a ConfidentLearning<'b, P>, options: &FilterOptions<'c>) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&options.frac_noise) {
            return Err(Error::InvalidOption {
                option: "frac_noise",
                expected: "a number in [0, 1]",
                got: options.frac_noise,
            });
        }
        let joint = match options.joint {
            Some(joint) => {
                check_joint_shape(joint, learning.n_classes())?;
                CowArray::from(joint)
            }
            None => CowArray::from(learning.calibrated_joint()),
        };
        let &FilterOptions { min_examples_per_class, frac_noise, .. } = options;
        let mut kept = Kept::Joint { joint, min_examples_per_class, frac_noise };
        if let Some(to_remove) = options.num_to_remove_per_class {
            kept = Kept::Counts(counts_for_removal(&kept, to_remove, learning.label_counts())?);
        }
        let (rows, starts) = rows_by_class(learning.labels, learning.label_counts());
        Ok(Self { learning, min_examples_per_class, kept, rows, starts })
    }

    pub(crate) fn flag_by_noise_rate(&self) -> Vec<bool> {
        self.flags(|class, rows| self.rows_by_noise_rate(class, rows))
    }

    pub(crate) fn flag_by_class(&self) -> Vec<bool> {
        self.flags(|class, rows| {
            let n_wrong = (rows.len() as u64).saturating_sub(self.kept.of(class)[class]);
            let keys = rows.iter().map(|&row| RankKey::new(self.learning.own[row as usize], row as usize)).collect();
            smallest(keys, limit(n_wrong)).into_iter().map(|key| key.row() as u32).collect()
        })
    }

    /// Runs one rule over the classes and takes back flags where the model agrees with the label.
    fn flags(&self, rule: impl Fn(usize, &[u32]) -> Vec<u32> + Sync) -> Vec<bool> {
        let flagged: Vec<Vec<u32>> = (0..self.learning.n_classes())
            .into_par_iter()
            .map(|class| {
                let rows = &self.rows[self.starts[class]..self.starts[class + 1]];
                // cleanlab never writes back the flags of a class with a single item.
                if rows.len() < 2 || rows.len() as u64 <= self.min_examples_per_class {
                    return Vec::new();
                }
                rule(class, rows)
            })
            .collect();
        let mut flags = vec![false; self.learning.n_samples()];
        for row in flagged.into_iter().flatten() {
            flags[row as usize] = !self.learning.agrees(row as usize);
        }
        flags
    }

    /// Rows of one given class to flag by noise rate; agreeing rows may be left out.
    ///
    /// The slots for another class go first to rows for which it is more probable than the given class. A row with whose
    /// label the model does not agree is always among the rows that some class beats, so the rest of the class is looked
    /// at only where there are more slots and such a row is still without a flag.
    fn rows_by_noise_rate(&self, given: usize, rows: &[u32]) -> Vec<u32> {
        let mut open: Vec<u32> =
            rows.iter().copied().filter(|&row| self.learning.marks(row as usize, BEATEN)).collect();
        let slots: Vec<(usize, u64)> =
            self.kept.of(given).into_iter().enumerate().filter(|&(other, n)| other != given && 0 < n).collect();
        let mut flagged = Vec::new();
        let mut unfilled = Vec::new();
        let mut is_flagged = vec![false; open.len()];
        for slots in slots.chunks((MAX_MARGINS / open.len().max(1)).max(1)) {
            let margins = self.margins(&open, slots);
            for (column, &(other, n_slots)) in slots.iter().enumerate() {
                let margins = margins.chunks_exact(slots.len()).map(|row| row[column]).zip(0..);
                let beaten = margins.filter(|&(margin, _)| margin < 0.0);
                let beaten: Vec<RankKey> = beaten.map(|(margin, place)| RankKey::new(margin, place)).collect();
                if (beaten.len() as u64) < n_slots {
                    unfilled.push((other, n_slots - beaten.len() as u64));
                }
                for key in smallest(beaten, limit(n_slots)) {
                    is_flagged[key.row()] = true;
                }
            }
        }
        flagged.extend(open.iter().zip(&is_flagged).filter_map(|(&row, &flag)| flag.then_some(row)));
        let mut places = is_flagged.iter();
        open.retain(|&row| places.next() == Some(&false) && !self.learning.agrees(row as usize));
        for (other, n_slots) in unfilled {
            if open.is_empty() {
                break;
            }
            let rest = self.rows_of_rest(other, rows, n_slots);
            let taken: Vec<u32> = open.iter().copied().filter(|row| rest.binary_search(row).is_ok()).collect();
            open.retain(|row| taken.binary_search(row).is_err());
            flagged.extend(taken);
        }
        flagged
    }

    /// Of the rows for which `other` is not more probable than the given class the `n` where it comes nearest, ascending.
    fn rows_of_rest(&self, other: usize, rows: &[u32], n: u64) -> Vec<u32> {
        let margins = rows
            .iter()
            .map(|&row| (self.learning.own[row as usize] - self.learning.table.at(row as usize, other), row as usize));
        let keys = margins.filter(|&(margin, _)| 0.0 <= margin).map(|(margin, row)| RankKey::new(margin, row));
        let mut nearest: Vec<u32> =
            smallest(keys.collect(), limit(n)).into_iter().map(|key| key.row() as u32).collect();
        nearest.sort_unstable();
        nearest
    }

    /// Margins of the given class over some others, one row of them per item: each item's memory is touched once.
    fn margins(&self, rows: &[u32], others: &[(usize, u64)]) -> Vec<f64> {
        let mut margins = Vec::with_capacity(rows.len() * others.len());
        for &row in rows {
            let own = self.learning.own[row as usize];
            let entries = self.learning.table.entries_of(row as usize);
            margins.extend(others.iter().map(|&(other, _)| own - entries.at(other)));
        }
        margins
    }
}

/// A count as a length, which it may exceed where a joint is given.
fn limit(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Sorts rows by class, counting; within a class they stay in order.
fn rows_by_class(labels: &[u32], counts: &[u64]) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0];
    for &count in counts {
        starts.push(starts[starts.len() - 1] + count as usize);
    }
    let mut next = starts.clone();
    let mut rows = vec![0; labels.len()];
    for (row, &label) in (0..).zip(labels) {
        rows[next[label as usize]] = row;
        next[label as usize] += 1;
    }
    (rows, starts)
}

/// Turns the counts of one given class, by true class, into those that keep enough items (cleanlab 2.9.0).
///
/// The own count is raised to the least number of kept items and the raise is taken in equal parts from the other
/// counts; these are then scaled by `frac_noise` and cut to whole numbers, and the own count takes the rest.
fn counts_to_keep(counts: ArrayView1<'_, u64>, given: usize, min_examples_per_class: u64, frac_noise: f64) -> Vec<u64> {
    let own = counts[given].max(min_examples_per_class);
    let n_nonzero = counts.iter().filter(|&&count| count > 0).count();
    // One is taken off for the own class even when its count is zero, and at least one part remains (cleanlab).
    let n_parts = n_nonzero.saturating_sub(1).max(1);
    let part = (own - counts[given]) as f64 / n_parts as f64;
    let mut rest = 0.0;
    let mut kept: Vec<u64> = Vec::with_capacity(counts.len());
    for (other, &count) in counts.iter().enumerate() {
        if other == given || count == 0 {
            kept.push(0);
            continue;
        }
        let reduced = (count as f64 - part).max(0.0);
        let scaled = reduced * frac_noise;
        rest += reduced - scaled;
        kept.push(scaled as u64);
    }
    kept[given] = (own as f64 + rest) as u64;
    kept
}

/// Counts `(true, given)` of which each given class loses the wanted number of items (cleanlab 2.9.0).
///
/// The wrong items of a true class are spread over the given classes as `kept` spreads them, relative to the total of
/// the **true** class that has the number of the given one (so cleanlab's broadcast has it), scaled to the number to
/// remove, and rounded so that each row keeps its total. Where nothing is wrong there is nothing to scale: cleanlab
/// divides by zero there, here no item is taken from another class.
fn counts_for_removal(kept: &Kept<'_>, to_remove: &[u64], given_counts: &[u64]) -> Result<Array2<u64>, Error> {
    let n_classes = given_counts.len();
    check_length("num_to_remove_per_class", n_classes, to_remove.len())?;
    for (class, (&n, &given)) in to_remove.iter().zip(given_counts).enumerate() {
        if given < n {
            return Err(Error::ValueOutOfRange {
                what: "num_to_remove_per_class",
                row: class,
                column: 0,
                expected: "at most the number of items given the class",
                got: n as f64,
            });
        }
    }
    let mut counts = Array2::zeros((n_classes, n_classes));
    for given in 0..n_classes {
        counts.column_mut(given).assign(&ArrayView1::from(&kept.of(given)));
    }
    let totals: Vec<f64> = counts.rows().into_iter().map(|row| (row.sum() as f64).max(1.0)).collect();
    for (class, mut row) in counts.rows_mut().into_iter().enumerate() {
        let shares: Vec<f64> = row.iter().zip(&totals).map(|(&count, total)| count as f64 / total).collect();
        let noise = sum(&shares) - shares[class];
        let scale = |share: f64| if 0.0 < noise { share * to_remove[class] as f64 / noise } else { 0.0 };
        let mut scaled: Vec<f64> = shares.iter().map(|&share| scale(share)).collect();
        scaled[class] = (given_counts[class] - to_remove[class]) as f64;
        let total = sum(&scaled).round_ties_even();
        row.assign(&ArrayView1::from(&round_keeping_total(&scaled, total as u64)));
    }
    Ok(counts)
}

fn sum(values: &[f64]) -> f64 {
    let mut next = values.iter();
    pairwise_sum(values.len(), &mut || next.next().copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_diagonal_is_raised_at_the_expense_of_the_other_counts() {
        // Class 0 keeps 5 of 10; its raise of 3 is taken from two counts, 1.5 each, and cut to whole numbers.
        assert_eq!(counts_to_keep(array![2, 4, 4].view(), 0, 5, 1.0), [5, 2, 2]);
        assert_eq!(counts_to_keep(array![1, 0, 9].view(), 2, 5, 1.0), [1, 0, 9]);
    }

    #[test]
    fn a_share_of_the_noise_leaves_the_rest_on_the_diagonal() {
        assert_eq!(counts_to_keep(array![5, 5].view(), 0, 1, 0.5), [7, 2]);
    }

    #[test]
    fn more_removals_than_items_are_refused() {
        let joint = CowArray::from(array![[2_u64, 1], [0, 1]]);
        let kept = Kept::Joint { joint, min_examples_per_class: 1, frac_noise: 1.0 };
        let message = counts_for_removal(&kept, &[1, 2], &[3, 1]).unwrap_err().to_string();
        assert_eq!(
            message,
            "num_to_remove_per_class at row 1, column 0 is 2, expected at most the number of items given the class"
        );
        assert_eq!(counts_for_removal(&kept, &[1, 0], &[3, 1]).unwrap(), array![[2, 0], [0, 1]]);
    }
}
