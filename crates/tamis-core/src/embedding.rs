//! What a model says of each sample: unit vectors, so that a dot product is a cosine.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use crate::SampleId;

/// Marks a sample without a vector in the row table.
const NO_ROW: u32 = u32::MAX;

/// Unit-length vectors, one row per distinct content; samples with equal bytes share a row.
///
/// Invariant: every value is finite and every row has Euclidean norm 1 (to f32), so a dot product is a cosine.
/// [`Embeddings::new`] is the only way in. Unreadable and empty samples have no row.
#[derive(Clone, Debug)]
pub struct Embeddings {
    rows: Array2<f32>,
    row_of: Vec<u32>,
    truncated: Vec<bool>,
}

impl Embeddings {
    /// Normalizes `rows`, shape `(rows, dim)`, and checks the invariant.
    ///
    /// `row_of[i]` is the row of `SampleId(i)` or `None`; `truncated[r]` says whether the content of row `r` was longer
    /// than the model reads, so that the vector stands for its beginning only.
    ///
    /// # Errors
    /// Names the first row that is zero or not finite.
    ///
    /// # Panics
    /// When `truncated` has not one entry per row, or `row_of` names a row that is not there.
    pub fn new(
        mut rows: Array2<f32>,
        row_of: impl IntoIterator<Item = Option<usize>>,
        truncated: Vec<bool>,
    ) -> Result<Self, DegenerateRow> {
        assert_eq!(rows.nrows(), truncated.len(), "because both describe the same rows");
        for (i, mut row) in rows.axis_iter_mut(Axis(0)).enumerate() {
            // In f64: the square of a large f32 overflows.
            let norm = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
            if !(norm.is_finite() && 0.0 < norm) {
                return Err(DegenerateRow { row: i, norm });
            }
            row.mapv_inplace(|it| narrow(f64::from(it) / norm));
        }
        let n_rows = rows.nrows();
        let row_of = row_of.into_iter().map(|row| match row {
            Some(row) => {
                assert!(row < n_rows, "because row {row} of {n_rows} is not there");
                u32::try_from(row).unwrap_or(NO_ROW)
            }
            None => NO_ROW,
        });
        let row_of = row_of.collect();
        Ok(Self { rows, row_of, truncated })
    }

    /// Subtracts what all vectors have in common, and normalizes again.
    ///
    /// Where vectors crowd around one direction, all cosines are high and say little; around their mean they spread. What is
    /// subtracted is `(sum of rows + weight * prior) / (rows + weight)`: the mean of the data, drawn towards `prior`, the
    /// mean of some other data, by as much as `weight` rows. Without a prior, two vectors would always end up opposite each
    /// other. (The mean with a conjugate prior, e.g. Murphy, "Machine Learning", section 4.6.1; centering of crowded
    /// vectors: Mu and Viswanath, "All-but-the-Top", ICLR 2018.) Sums are in f64 in the order of the rows.
    ///
    /// # Errors
    /// Names the first row that is the mean itself.
    ///
    /// # Panics
    /// When `prior` has another length than the vectors.
    pub fn centered(self, prior: &[f32], weight: f64) -> Result<Self, DegenerateRow> {
        assert_eq!(prior.len(), self.dim(), "because both are vectors of one model");
        let Self { mut rows, row_of, truncated } = self;
        let mut sum: Vec<f64> = prior.iter().map(|it| f64::from(*it) * weight).collect();
        for row in rows.rows() {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        let total = weight + to_f64(rows.nrows());
        for mut row in rows.rows_mut() {
            for (value, sum) in row.iter_mut().zip(&sum) {
                *value = narrow(f64::from(*value) - sum / total);
            }
        }
        let row_of: Vec<_> = row_of.into_iter().map(|row| (row != NO_ROW).then_some(row as usize)).collect();
        Self::new(rows, row_of, truncated)
    }

    /// Row of one sample in [`Embeddings::rows`], or `None` where it has no vector.
    #[must_use]
    pub fn row_of(&self, id: SampleId) -> Option<usize> {
        let row = *self.row_of.get(id.idx())?;
        (row != NO_ROW).then_some(row as usize)
    }

    /// The vector of one sample, length `dim`.
    #[must_use]
    pub fn vector(&self, id: SampleId) -> Option<ArrayView1<'_, f32>> {
        Some(self.rows.row(self.row_of(id)?))
    }

    /// Whether the content of `id` was longer than the model reads.
    #[must_use]
    pub fn is_truncated(&self, id: SampleId) -> bool {
        self.row_of(id).is_some_and(|row| self.truncated[row])
    }

    /// Number of samples that have a vector standing for a part of their content only.
    #[must_use]
    pub fn n_truncated(&self) -> usize {
        self.row_of.iter().filter(|row| **row != NO_ROW && self.truncated[**row as usize]).count()
    }

    /// All distinct vectors, shape `(rows, dim)`, row-major.
    #[must_use]
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Length of each vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.rows.ncols()
    }

    /// Number of samples, with or without a vector.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.row_of.len()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 rows")]
fn to_f64(n: usize) -> f64 {
    n as f64
}

/// A row that cannot be normalized.
#[derive(Debug, thiserror::Error)]
#[error("embedding row {row} cannot be normalized: norm is {norm}")]
pub struct DegenerateRow {
    /// Row index.
    pub row: usize,
    /// The norm found.
    pub norm: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_become_unit_length_and_may_be_shared() {
        let rows = array![[3.0, 4.0], [1e30, 0.0]];
        let embeddings = Embeddings::new(rows, [Some(0), None, Some(1), Some(0)], vec![false, true]).unwrap();
        assert_eq!(embeddings.vector(SampleId(3)).unwrap().to_vec(), [0.6, 0.8]);
        assert_eq!(embeddings.vector(SampleId(2)).unwrap().to_vec(), [1.0, 0.0]);
        assert!(embeddings.vector(SampleId(1)).is_none());
        assert!(embeddings.is_truncated(SampleId(2)) && !embeddings.is_truncated(SampleId(0)));
    }

    #[test]
    fn centering_spreads_vectors_around_their_mean_and_the_prior() {
        let crowded = || Embeddings::new(array![[1.0, 0.1], [1.0, -0.1]], [Some(0), Some(1)], vec![false; 2]).unwrap();
        let cosine = |it: &Embeddings| it.rows().row(0).dot(&it.rows().row(1));
        assert!(0.97 < cosine(&crowded()));
        assert!(cosine(&crowded().centered(&[0.0, 0.0], 0.0).unwrap()) < -0.99);
        // Far from the prior, two rows stay as close as they are.
        assert!(0.9 < cosine(&crowded().centered(&[-1.0, 0.0], 100.0).unwrap()));
        assert!(crowded().centered(&[1.0, 0.0], 0.0).is_ok());
        let one = Embeddings::new(array![[1.0, 0.0]], [Some(0)], vec![false]).unwrap();
        assert_eq!(one.centered(&[0.0, 0.0], 0.0).unwrap_err().norm, 0.0);
    }

    #[test]
    fn a_zero_or_nan_row_is_named() {
        let zero = Embeddings::new(array![[1.0], [0.0]], [], vec![false; 2]).unwrap_err();
        assert_eq!(zero.to_string(), "embedding row 1 cannot be normalized: norm is 0");
        assert!(Embeddings::new(array![[f32::NAN]], [], vec![false]).is_err());
    }
}
