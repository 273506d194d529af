//! Who multiplies large matrices.

use std::fmt;

use ndarray::{Array2, ArrayView2};

/// A device that multiplies large matrices faster than the CPU.
pub trait MatrixProducts: fmt::Debug + Sync {
    /// `a bᵀ` of shapes `(m, k)` and `(n, k)` in any layout, summed in `f32` or better; `None` where the CPU does as well.
    fn times_transposed(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Option<Array2<f32>>;
}

/// No such device: the CPU multiplies.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnCpu;

impl MatrixProducts for OnCpu {
    fn times_transposed(&self, _: ArrayView2<'_, f32>, _: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
        None
    }
}
