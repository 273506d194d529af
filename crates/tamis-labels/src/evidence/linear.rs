//! The dense linear algebra of the Gaussian: Cholesky factors and inverses of triangles, in `f64`.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, s};

/// Columns that are factored by plain loops between two matrix products; 64 columns of 1,280 rows are 640 KiB of `f64`.
const BLOCK: usize = 64;

/// Factors a symmetric positive definite matrix `(d, d)` into `L Lᵀ` and returns the lower triangle `L`.
///
/// Only the lower triangle of `matrix` is read. Blocked, left-looking (Golub and Van Loan, Matrix Computations, section
/// 4.2); d³/3 multiplications. `None` when a pivot is not a positive number.
pub(super) fn cholesky(mut matrix: Array2<f64>) -> Option<Array2<f64>> {
    let d = matrix.nrows();
    for start in (0..d).step_by(BLOCK) {
        let end = d.min(start + BLOCK);
        let (done, mut panel) = matrix.slice_mut(s![start.., ..end]).split_at(ndarray::Axis(1), start);
        let top = done.slice(s![..end - start, ..]).to_owned();
        general_mat_mul(-1.0, &done, &top.t(), 1.0, &mut panel);
        factor_panel(panel)?;
    }
    for row in 0..d {
        matrix.slice_mut(s![row, row + 1..]).fill(0.0);
    }
    Some(matrix)
}

/// Factors the upper square of a panel `(rows, block)` and solves for the rows below it.
fn factor_panel(mut panel: ArrayViewMut2<'_, f64>) -> Option<()> {
    for column in 0..panel.ncols() {
        let square: f64 = panel.slice(s![column, ..column]).iter().map(|value| value * value).sum();
        let pivot = (panel[[column, column]] - square).sqrt();
        if !(pivot.is_finite() && 0.0 < pivot) {
            return None;
        }
        panel[[column, column]] = pivot;
        let top = panel.slice(s![column, ..column]).to_owned();
        for row in column + 1..panel.nrows() {
            let dot = panel.slice(s![row, ..column]).dot(&top);
            panel[[row, column]] = (panel[[row, column]] - dot) / pivot;
        }
    }
    Some(())
}

/// Inverts a lower triangle `(d, d)` with a positive diagonal; d³/3 multiplications.
pub(super) fn invert_lower(lower: &Array2<f64>) -> Array2<f64> {
    let d = lower.nrows();
    let mut inverse = Array2::<f64>::zeros((d, d));
    for start in (0..d).step_by(BLOCK) {
        let end = d.min(start + BLOCK);
        let (done, mut rows) = inverse.view_mut().split_at(ndarray::Axis(0), start);
        let mut rows = rows.slice_mut(s![..end - start, ..end]);
        general_mat_mul(
            -1.0,
            &lower.slice(s![start..end, ..start]),
            &done.slice(s![.., ..start]),
            0.0,
            &mut rows.slice_mut(s![.., ..start]),
        );
        for row in start..end {
            rows[[row - start, row]] = 1.0;
            let (above, mut own) = rows.view_mut().split_at(ndarray::Axis(0), row - start);
            let mut own = own.row_mut(0);
            for (column, above) in (start..row).zip(above.rows()) {
                own.scaled_add(-lower[[row, column]], &above);
            }
            own /= lower[[row, row]];
        }
    }
    inverse
}

/// Inverts a small square matrix, at most a few rows, by elimination with partial pivoting; `None` when it is singular.
pub(super) fn invert_small(mut matrix: Array2<f64>) -> Option<Array2<f64>> {
    let n = matrix.nrows();
    let mut inverse = Array2::<f64>::eye(n);
    for column in 0..n {
        let size = |row: usize| matrix[[row, column]].abs();
        let pivot = (column..n).max_by(|&a, &b| size(a).total_cmp(&size(b)).then(b.cmp(&a)))?;
        if size(pivot) < f64::MIN_POSITIVE {
            return None;
        }
        for other in 0..n {
            matrix.swap([column, other], [pivot, other]);
            inverse.swap([column, other], [pivot, other]);
        }
        let scale = matrix[[column, column]];
        matrix.row_mut(column).mapv_inplace(|value| value / scale);
        inverse.row_mut(column).mapv_inplace(|value| value / scale);
        let (own, own_inverse) = (matrix.row(column).to_owned(), inverse.row(column).to_owned());
        for row in (0..n).filter(|&row| row != column) {
            let factor = matrix[[row, column]];
            matrix.row_mut(row).scaled_add(-factor, &own);
            inverse.row_mut(row).scaled_add(-factor, &own_inverse);
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A positive definite matrix of 150 rows: more than two blocks.
    fn matrix() -> Array2<f64> {
        let root =
            Array2::from_shape_fn((150, 150), |(row, column)| ((row * 31 + column * 17) % 23) as f64 / 23.0 - 0.5);
        root.dot(&root.t()) + Array2::<f64>::eye(150)
    }

    fn assert_near(got: &Array2<f64>, expected: &Array2<f64>) {
        let worst = (got - expected).iter().fold(0.0_f64, |worst, value| worst.max(value.abs()));
        assert!(worst < 1e-9, "largest difference {worst}");
    }

    #[test]
    fn the_factor_times_its_transpose_is_the_matrix() {
        let factor = cholesky(matrix()).unwrap();
        assert_near(&factor.dot(&factor.t()), &matrix());
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_factor() {
        assert_eq!(cholesky(-matrix()), None);
    }

    #[test]
    fn a_triangle_times_its_inverse_is_the_unit_matrix() {
        let factor = cholesky(matrix()).unwrap();
        assert_near(&factor.dot(&invert_lower(&factor)), &Array2::eye(150));
    }

    #[test]
    fn a_small_matrix_times_its_inverse_is_the_unit_matrix() {
        let small = ndarray::array![[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [3.0, 1.0, 4.0]];
        assert_near(&small.dot(&invert_small(small.clone()).unwrap()), &Array2::eye(3));
        assert_eq!(invert_small(Array2::zeros((2, 2))), None);
    }
}
