//! Rows that tests are made of.

use ndarray::{Array2, Axis};
use proptest::prelude::*;

/// What rows look like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// In all directions.
    Isotropic,
    /// Around five centers.
    Clustered,
    /// Each three times.
    Duplicated,
    /// In a plane.
    LowRank,
    /// All the same.
    Identical,
    /// Rows that have one number each.
    Axes,
}

/// Each of them.
pub(crate) fn kinds() -> impl Strategy<Value = Kind> {
    use Kind as K;
    prop::sample::select(vec![K::Isotropic, K::Clustered, K::Duplicated, K::LowRank, K::Identical, K::Axes])
}

/// `n` unit rows, the same for the same seed.
pub(crate) fn rows(kind: Kind, n: usize, dim: usize, seed: u64) -> Array2<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f32::from(i16::from_ne_bytes([state.to_ne_bytes()[2], state.to_ne_bytes()[3]])) / 32768.0
    };
    let mut random = |n: usize, dim: usize| Array2::from_shape_simple_fn((n, dim), &mut next);
    let mut rows = match kind {
        Kind::Isotropic => random(n, dim),
        Kind::Clustered => {
            let centers = random(5, dim);
            let noise = random(n, dim);
            Array2::from_shape_fn((n, dim), |(i, j)| centers[[i % 5, j]] + 0.2 * noise[[i, j]])
        }
        Kind::Duplicated => random(n.div_ceil(3), dim).select(Axis(0), &(0..n).map(|i| i / 3).collect::<Vec<_>>()),
        Kind::LowRank => random(n, 2).dot(&random(2, dim)),
        Kind::Identical => random(1, dim).select(Axis(0), &vec![0; n]),
        Kind::Axes => Array2::from_shape_fn((n, dim), |(i, j)| f32::from(u8::from(i % dim == j))),
    };
    for mut row in rows.axis_iter_mut(Axis(0)) {
        if row.dot(&row) < 1e-6 {
            row[0] = 1.0;
        }
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    rows
}
