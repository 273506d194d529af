//! The directions that hold most of the lengths of rows.

use ndarray::{Array2, ArrayView2, s};

use super::count;

/// Steps of the iteration, each with the square of the moments. A basis that has not settled costs a little time, never
/// a pair.
const N_STEPS: usize = 2;

/// An orthogonal basis of about the `n` directions in which `rows` are longest, of shape `(dim, n)` or with fewer columns
/// where rows span less, the longest first.
///
/// Orthogonal iteration on the second moments, without a mean taken off (Golub and Van Loan, Matrix Computations, 4th
/// ed., section 8.2.4). Time: [`n_products`].
pub(super) fn longest(rows: ArrayView2<'_, f32>, n: usize) -> Array2<f64> {
    let rows = rows.mapv(f64::from);
    let moments = rows.t().dot(&rows);
    let mut basis = random(rows.ncols(), n.min(rows.ncols()));
    for _ in 0..N_STEPS {
        // With the square of the moments, which would take longer to make.
        basis = orthogonal(moments.dot(&moments.dot(&basis)));
    }
    basis
}

/// Products of two numbers that [`longest`] computes for so many rows and directions, but for the few that make directions
/// orthogonal.
pub(super) fn n_products(n_rows: usize, dim: usize, n: usize) -> f64 {
    count(dim) * count(dim) * count(n_rows + 2 * N_STEPS * n.min(dim))
}

/// The first `n` directions of `basis`, turned among themselves at random: the span is the same, and no column is much
/// larger than another, which eight bits need.
pub(super) fn turned(basis: &Array2<f64>, n: usize) -> Array2<f32> {
    let n = n.min(basis.ncols());
    basis.slice(s![.., ..n]).dot(&orthogonal(random(n, n))).mapv(narrow)
}

/// Gram and Schmidt, twice over each column; columns that depend on those before are left out.
fn orthogonal(columns: Array2<f64>) -> Array2<f64> {
    let mut rows = columns.reversed_axes().as_standard_layout().into_owned();
    let mut n = 0;
    for i in 0..rows.nrows() {
        let mut row = rows.row(i).to_owned();
        let before = row.dot(&row).sqrt();
        for _ in 0..2 {
            let done = rows.slice(s![..n, ..]);
            let parts = done.dot(&row);
            row -= &done.t().dot(&parts);
        }
        let after = row.dot(&row).sqrt();
        if 1e-9 * before < after && after.is_finite() {
            rows.row_mut(n).assign(&(row / after));
            n += 1;
        }
    }
    rows.slice(s![..n, ..]).reversed_axes().to_owned()
}

/// Numbers in `[-1, 1)` from the generator of Vigna, "xorshift64*" (Experiments on Marsaglia's xorshift, 2016), always
/// the same ones.
fn random(n_rows: usize, n_columns: usize) -> Array2<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    Array2::from_shape_simple_fn((n_rows, n_columns), || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let high = u32::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("because 32 bits are left");
        f64::from(high) / 2.0_f64.powi(31) - 1.0
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the basis is what its f32 numbers are")]
fn narrow(value: f64) -> f32 {
    value as f32
}
