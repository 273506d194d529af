//! Probabilities as rows of one contiguous block after the other, whatever the strides of the array.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::probability::{Probability, RowSummary, summarize};
use crate::{Error, RowSums};

/// How far a probability may lie outside of [0, 1]: rounding of the soft-max that made it (cleanlab 2.9.0, `validation`).
const VALUE_SLACK: f64 = 1e-6;

/// How far the probabilities of one item may sum to something else than 1.
///
/// Rounding to bfloat16 moves each value by at most 2⁻⁹ of itself and so the sum by at most 0.002, float16 by 0.0005;
/// five times that still tells probabilities from logits, counts and independent one-against-all scores.
const SUM_TOLERANCE: f64 = 1e-2;

/// Entries of a block that is copied: 1 MiB of `f32`, which the second-level cache holds.
const BLOCK_ENTRIES: usize = 1 << 18;

/// Columns copied side by side, one cache line of `f32`.
const COPIED_COLUMNS: usize = 16;

/// Probabilities `(n, n_classes)` with what they are divided by.
#[derive(Debug)]
pub(crate) struct Table<'a, P> {
    entries: ArrayView2<'a, P>,
    row_sums: RowSums,
    /// Sum of each row when rows are divided by it, else empty.
    totals: Vec<f64>,
}

/// Adjacent rows, row-major.
pub(crate) enum Block<'a, P> {
    /// As they were given.
    Given(&'a [P]),
    /// Divided by their sums.
    Renormalized(&'a [f64]),
}

/// The probabilities of one item, and what they are divided by.
pub(crate) struct Entries<'a, P> {
    row: ArrayView1<'a, P>,
    total: f64,
}

impl<P: Probability> Entries<'_, P> {
    pub(crate) fn at(&self, class: usize) -> f64 {
        let value: f64 = self.row[class].into();
        value / self.total
    }
}

impl<'a, P: Probability> Table<'a, P> {
    /// Takes the array; with [`RowSums::Renormalize`] this reads it once to sum and check every row.
    pub(crate) fn new(entries: ArrayView2<'a, P>, row_sums: RowSums) -> Result<Self, Error> {
        let mut table = Self { entries, row_sums, totals: Vec::new() };
        if row_sums == RowSums::Renormalize {
            table.totals = table.checked_totals()?;
        }
        Ok(table)
    }

    /// The array as it was given, whatever rows are divided by.
    pub(crate) fn entries(&self) -> ArrayView2<'a, P> {
        self.entries
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.entries.nrows()
    }

    pub(crate) fn n_classes(&self) -> usize {
        self.entries.ncols()
    }

    /// Rows of one block; the last block may be shorter.
    pub(crate) fn block_rows(&self) -> usize {
        (BLOCK_ENTRIES / self.n_classes().max(1)).clamp(32, 1024)
    }

    /// One probability, as every computation sees it.
    pub(crate) fn at(&self, row: usize, class: usize) -> f64 {
        self.entries_of(row).at(class)
    }

    /// The probabilities of one item, to be read one by one.
    pub(crate) fn entries_of(&self, row: usize) -> Entries<'_, P> {
        // Dividing by 1 changes nothing.
        Entries { row: self.entries.row(row), total: self.totals.get(row).copied().unwrap_or(1.0) }
    }

    /// Copies the probabilities of one item.
    pub(crate) fn load(&self, row: usize, into: &mut [f64]) {
        for (value, &entry) in into.iter_mut().zip(self.entries.row(row)) {
            *value = entry.into();
        }
        if let Some(total) = self.totals.get(row) {
            into.iter_mut().for_each(|value| *value /= total);
        }
    }

    /// Hands adjacent rows to `visit`.
    pub(crate) fn visit<R>(&self, rows: Range<usize>, visit: impl FnOnce(Block<'_, P>) -> R) -> R {
        if !self.totals.is_empty() {
            let n_classes = self.n_classes();
            let mut block: Vec<f64> = self.with_given(rows.clone(), |given| given.iter().map(|&p| p.into()).collect());
            for (row, total) in block.chunks_exact_mut(n_classes).zip(&self.totals[rows]) {
                row.iter_mut().for_each(|value| *value /= total);
            }
            return visit(Block::Renormalized(&block));
        }
        self.with_given(rows, |given| visit(Block::Given(given)))
    }

    /// Checks one row as it was given, from its summary.
    #[inline]
    pub(crate) fn check_row<Q: Probability>(&self, row: usize, summary: &RowSummary<Q>) -> Result<(), Error> {
        let (smallest, largest): (f64, f64) = (summary.smallest.into(), summary.largest.into());
        let in_range = -VALUE_SLACK <= smallest && largest <= 1.0 + VALUE_SLACK && !summary.total.is_nan();
        if !in_range {
            return Err(self.illegal_value(row, "a number in [0, 1]", |value| {
                (-VALUE_SLACK..=1.0 + VALUE_SLACK).contains(&value)
            }));
        }
        let sum_is_free = self.row_sums != RowSums::Check;
        if sum_is_free || (summary.total - 1.0).abs() <= SUM_TOLERANCE {
            return Ok(());
        }
        Err(Error::RowSum { row, got: summary.total, tolerance: SUM_TOLERANCE })
    }

    /// Sums every row; entries must be finite and not negative, sums positive.
    fn checked_totals(&self) -> Result<Vec<f64>, Error> {
        let n_classes = self.n_classes();
        let no_bounds = vec![P::INFINITY; n_classes];
        let step = self.block_rows();
        let blocks: Result<Vec<Vec<f64>>, Error> = (0..self.n_samples().div_ceil(step))
            .into_par_iter()
            .map(|block| {
                let rows = block * step..((block + 1) * step).min(self.n_samples());
                self.with_given(rows.clone(), |given| {
                    let rows = rows.zip(given.chunks_exact(n_classes));
                    rows.map(|(row, entries)| self.checked_total(row, summarize(entries, &no_bounds))).collect()
                })
            })
            .collect::<Vec<Result<Vec<f64>, Error>>>()
            .into_iter()
            .collect();
        Ok(blocks?.concat())
    }

    fn checked_total(&self, row: usize, summary: RowSummary<P>) -> Result<f64, Error> {
        let smallest: f64 = summary.smallest.into();
        if smallest < 0.0 || !summary.total.is_finite() {
            return Err(self.illegal_value(row, "a finite number that is not negative", |value| {
                0.0 <= value && value.is_finite()
            }));
        }
        if summary.total <= 0.0 {
            return Err(Error::EmptyRow { row });
        }
        Ok(self.entries.row(row).iter().map(|&value| -> f64 { value.into() }).sum())
    }

    fn illegal_value(&self, row: usize, expected: &'static str, is_legal: impl Fn(f64) -> bool) -> Error {
        let entries = self.entries.row(row);
        let mut entries = entries.iter().map(|&value| -> f64 { value.into() });
        let column = entries.position(|value| !is_legal(value)).unwrap_or(0);
        Error::ValueOutOfRange { what: "probabilities", row, column, expected, got: self.entries[[row, column]].into() }
    }

    /// Hands adjacent rows to `visit` as one slice: the array's own memory where it is row-major, else a copy.
    fn with_given<R>(&self, rows: Range<usize>, visit: impl FnOnce(&[P]) -> R) -> R {
        let block = self.entries.slice(s![rows, ..]);
        if let Some(given) = block.to_slice() {
            return visit(given);
        }
        let n_classes = self.n_classes();
        let mut copy = vec![P::ZERO; block.len()];
        for first in (0..n_classes).step_by(COPIED_COLUMNS) {
            let columns = first..(first + COPIED_COLUMNS).min(n_classes);
            let part = block.slice(s![.., columns.clone()]);
            for (row, entries) in copy.chunks_exact_mut(n_classes).zip(part.axis_iter(Axis(0))) {
                for (value, &entry) in row[columns.clone()].iter_mut().zip(entries) {
                    *value = entry;
                }
            }
        }
        visit(&copy)
    }
}
