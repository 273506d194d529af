//! Large products of matrices, for checks that have them.

use std::fmt;

use ndarray::{Array2, ArrayView2};

/// A device that multiplies large matrices faster than the CPU.
pub trait MatrixProducts: fmt::Debug + Send + Sync {
    /// `a bᵀ` of shapes `(m, k)` and `(n, k)` in any layout, summed in `f32` or better; `None` where the CPU does as well, or
    /// the device failed.
    fn times_transposed(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Option<Array2<f32>>;
}
