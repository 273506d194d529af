//! Rows in eight bits, and how far they are from what they stand for.

use ndarray::Array2;
use rayon::prelude::*;

/// Columns of a group: what one instruction multiplies and adds into one lane.
pub(super) const GROUP: usize = 4;

/// Rows of one piece of work.
const CHUNK_ROWS: usize = 256;

/// Rows `q` of small integers with `scale * q` near the rows `x` they stand for.
pub(super) struct Quantized {
    /// Groups of one row.
    pub(super) n_groups: usize,
    /// Shape `(n, n_groups)`.
    pub(super) groups: Vec<[i8; GROUP]>,
    /// `|x - scale * q|` of each row.
    pub(super) errors: Vec<f32>,
}

impl Quantized {
    /// Rounds `n_rows` rows of `width` columns. `fill` writes the rows from the first one on into a slice, and tells
    /// whether they may be screened; `None` where a row may not.
    pub(super) fn new(
        n_rows: usize,
        width: usize,
        scale: f64,
        fill: impl Fn(usize, &mut [f32]) -> bool + Sync,
    ) -> Option<Self> {
        let n_groups = width / GROUP;
        let mut groups = vec![[0; GROUP]; n_rows * n_groups];
        let mut errors = vec![0.0; n_rows];
        let chunks = groups.par_chunks_mut(CHUNK_ROWS * n_groups).zip(errors.par_chunks_mut(CHUNK_ROWS));
        let all = chunks.enumerate().all(|(chunk, (groups, errors))| {
            let mut values = vec![0.0; errors.len() * width];
            let fits = fill(chunk * CHUNK_ROWS, &mut values);
            let rows = values.chunks_exact(width).zip(groups.as_flattened_mut().chunks_exact_mut(width));
            for ((values, quantized), error) in rows.zip(errors) {
                *error = round(values, scale, quantized);
            }
            fits
        });
        all.then_some(Self { n_groups, groups, errors })
    }

    /// Some of the rows.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let of = |row: &u32| &self.groups[*row as usize * self.n_groups..][..self.n_groups];
        let groups = rows.iter().flat_map(of).copied().collect();
        Self { n_groups: self.n_groups, groups, errors: rows.iter().map(|row| self.errors[*row as usize]).collect() }
    }

    /// The integers as f32, shape `(n, width)`.
    pub(super) fn to_f32(&self) -> Array2<f32> {
        let values = self.groups.as_flattened().iter().map(|level| f32::from(*level)).collect();
        Array2::from_shape_vec((self.errors.len(), self.n_groups * GROUP), values)
            .expect("because each row has its groups")
    }
}

/// Rounds one row; larger values than fit are cut, which the error counts like any other distance.
#[expect(clippy::cast_possible_truncation, reason = "values are rounded to integers in [-127, 127], the error up")]
fn round(values: &[f32], scale: f64, quantized: &mut [i8]) -> f32 {
    let mut squares = 0.0;
    for (value, quantized) in values.iter().zip(quantized) {
        let value = f64::from(*value);
        let level = (value / scale).clamp(-127.0, 127.0) + 0.5;
        // Truncation of a positive number, which needs no library call as `round` does.
        *quantized = ((level + 128.0) as i32 - 128) as i8;
        let off = value - scale * f64::from(*quantized);
        squares += off * off;
    }
    (squares.sqrt() * (1.0 + 1e-6)) as f32
}
