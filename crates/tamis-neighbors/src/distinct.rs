//! Rows that are bit for bit the same, searched as one.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::canonical_dot;
use crate::equal::Equals;
use crate::join::index;
use crate::knn::{Neighbors, by_cosine};
use crate::lexical::of_numbers;

/// The different rows of a matrix, and which rows are the same as each.
pub(crate) struct DistinctRows<'a> {
    all: ArrayView2<'a, f32>,
    equals: Equals,
    /// The first of each group of equals; `None` where all rows differ.
    firsts: Option<Array2<f32>>,
}

impl<'a> DistinctRows<'a> {
    /// Groups the rows of a matrix in standard layout.
    pub(crate) fn of(all: ArrayView2<'a, f32>) -> Self {
        let rows = (0..all.nrows()).into_par_iter();
        let keys: Vec<Key<'_>> = rows.map(|row| Key::of(row_of(all, row))).collect();
        let equals = Equals::new((0..).zip(keys.into_iter().map(Some)));
        let firsts: Vec<usize> = equals.firsts().map(|row| row as usize).collect();
        let firsts = (firsts.len() < all.nrows()).then(|| all.select(Axis(0), &firsts));
        Self { all, equals, firsts }
    }

    /// Number of different rows.
    pub(crate) fn len(&self) -> usize {
        self.equals.firsts().len()
    }

    /// The different rows, in the order of their first ones.
    pub(crate) fn rows(&self) -> ArrayView2<'_, f32> {
        self.firsts.as_ref().map_or(self.all, |rows| rows.view())
    }

    /// The `k` nearest other rows of all rows, from as many nearest other ones of the different rows, or all of these.
    ///
    /// That is enough: a row of a further group is beaten by the first rows of `k` groups. Rows of a group differ from each
    /// other in what they have of their own group alone.
    pub(crate) fn expand(&self, found: Neighbors, k: usize) -> Neighbors {
        if self.firsts.is_none() {
            return found;
        }
        let mut all =
            Neighbors { ids: Array2::zeros((self.all.nrows(), k)), cosine: Array2::zeros((self.all.nrows(), k)) };
        for (group, rows) in self.equals.iter().enumerate() {
            let mut nearest = found.of(group);
            if 1 < rows.len() {
                let row = row_of(self.all, rows[0] as usize);
                nearest.push((canonical_dot(row, row), index(group)));
            }
            // One more, which may be the row itself.
            let nearest = self.members(nearest, k + 1);
            for row in rows {
                all.put(*row as usize, nearest.iter().filter(|(_, other)| other != row).take(k));
            }
        }
        all
    }

    /// The `k` nearest rows for each query, from as many nearest ones of the different rows, or all of these.
    pub(crate) fn expand_in(&self, found: Neighbors, k: usize) -> Neighbors {
        if self.firsts.is_none() {
            return found;
        }
        let n = found.ids.nrows();
        let mut all = Neighbors { ids: Array2::zeros((n, k)), cosine: Array2::zeros((n, k)) };
        for query in 0..n {
            all.put(query, self.members(found.of(query), k).iter());
        }
        all
    }

    /// The `k` best members of groups by their cosine; ties to the smaller row.
    fn members(&self, mut groups: Vec<(f32, u32)>, k: usize) -> Vec<(f32, u32)> {
        groups.sort_by(by_cosine);
        let mut members = Vec::new();
        for tied in groups.chunk_by(|x, y| by_cosine(&(x.0, 0), &(y.0, 0)).is_eq()) {
            let first = members.len();
            for (cosine, group) in tied {
                members.extend(self.equals.of(*group as usize).iter().take(k).map(|row| (*cosine, *row)));
            }
            members[first..].sort_by(by_cosine);
            if k <= members.len() {
                members.truncate(k);
                break;
            }
        }
        members
    }
}

impl Neighbors {
    /// The nearest ones of a row.
    fn of(&self, row: usize) -> Vec<(f32, u32)> {
        self.cosine.row(row).iter().copied().zip(self.ids.row(row).iter().copied()).collect()
    }

    fn put<'a>(&mut self, row: usize, nearest: impl Iterator<Item = &'a (f32, u32)>) {
        for (i, (cosine, id)) in nearest.enumerate() {
            self.ids[[row, i]] = *id;
            self.cosine[[row, i]] = *cosine;
        }
    }
}

/// A row of a matrix in standard layout.
fn row_of<'a>(rows: ArrayView2<'a, f32>, row: usize) -> &'a [f32] {
    let all = rows.to_slice().expect("because vectors are kept row-major");
    &all[row * rows.ncols()..][..rows.ncols()]
}

/// A row as a key: compared by a mix of its bits, then by all of them.
#[derive(Clone, Copy, Debug)]
struct Key<'a> {
    mixed: u64,
    row: &'a [f32],
}

impl<'a> Key<'a> {
    fn of(row: &'a [f32]) -> Self {
        let (pairs, rest) = row.as_chunks::<2>();
        let of_pair = |[x, y]: &[f32; 2]| u64::from(x.to_bits()) << 32 | u64::from(y.to_bits());
        let numbers = pairs.iter().map(of_pair).chain(rest.iter().map(|x| x.to_bits().into()));
        Self { mixed: of_numbers(numbers), row }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let [ours, theirs] = [self, other].map(|it| it.row.iter().map(|x| x.to_bits()));
        self.mixed.cmp(&other.mixed).then_with(|| ours.cmp(theirs))
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_by_their_bits() {
        let rows = ndarray::array![[1.0_f32, 0.0], [0.0, 1.0], [1.0, -0.0], [1.0, 0.0], [0.0, 1.0]];
        let distinct = DistinctRows::of(rows.view());
        assert_eq!(distinct.rows(), ndarray::array![[1.0_f32, 0.0], [0.0, 1.0], [1.0, -0.0]]);
        assert_eq!(distinct.equals.iter().collect::<Vec<_>>(), [&[0, 3][..], &[1, 4], &[2]]);
        assert!(DistinctRows::of(rows.slice(ndarray::s![..3, ..])).firsts.is_none());
    }

    #[test]
    fn members_come_by_their_cosine_and_then_by_their_row() {
        // Groups of rows 0 and 3, 1 and 4, and 2.
        let rows = ndarray::array![[1.0_f32], [0.5], [0.25], [1.0], [0.5]];
        let distinct = DistinctRows::of(rows.view());
        let members = |groups: &[(f32, u32)], k| distinct.members(groups.to_vec(), k);
        let tied = [(0.5, 1), (0.5, 0), (0.75, 2)];
        assert_eq!(members(&tied, 9), [(0.75, 2), (0.5, 0), (0.5, 1), (0.5, 3), (0.5, 4)]);
        assert_eq!(members(&tied, 2), [(0.75, 2), (0.5, 0)]);
        assert_eq!(members(&tied, 0), []);
    }
}
