//! Blocked matrix products: the fast half of every join.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// Columns of one tile. With 384 dimensions a tile's columns take 1.5 MB, which stays in a second-level cache share.
const TILE_COLUMNS: usize = 1024;

/// Calls `visit(first_column, tile)` for every tile of `rows * base^T` from column `from` on, in ascending order.
///
/// `tile` has one row per row of `rows`. Memory: one tile.
pub(crate) fn for_each_tile(
    rows: ArrayView2<'_, f32>,
    base: ArrayView2<'_, f32>,
    from: usize,
    mut visit: impl FnMut(usize, ArrayView2<'_, f32>),
) {
    let n = rows.nrows();
    let mut buffer = vec![0.0; n * TILE_COLUMNS.min(base.nrows().saturating_sub(from))];
    for first in (from..base.nrows()).step_by(TILE_COLUMNS) {
        let last = (first + TILE_COLUMNS).min(base.nrows());
        let width = last - first;
        let mut tile = ArrayViewMut2::from_shape((n, width), &mut buffer[..n * width])
            .expect("because the buffer holds the widest tile");
        general_mat_mul(1.0, &rows, &base.slice(s![first..last, ..]).t(), 0.0, &mut tile);
        visit(first, tile.view());
    }
}
