//! Rotary positions: the angles by which queries and keys are turned (Su et al. 2021, section 3.2.2).

use serde::Deserialize;

use crate::ModelError;
use crate::encoders::Source;
use crate::ops::{Matrix, Ops};

/// `rope_parameters` or `rope_scaling` of `config.json`, as far as positions that are not scaled depend on it.
#[derive(Debug, Default, Deserialize)]
pub(in crate::encoders) struct RopeParameters {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

impl RopeParameters {
    /// The base of the angles, if it stands here; refuses positions that are scaled, because no model of ours has them.
    pub(in crate::encoders) fn theta(&self, source: &Source<'_>) -> Result<Option<f64>, ModelError> {
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(self.rope_theta),
            Some(got) => Err(source.malformed(format!("rope_type is `{got}`, expected `default`"))),
        }
    }
}

/// The angles of all positions that a text can have, for [`Ops::rotate`]: dimension `i` of half a head is turned by
/// `position * theta^(-2 i / head_dim)`.
///
/// The frequency and its product with the position are rounded to f32 as the transformers library rounds them: at
/// position 8,191 that rounding is worth up to 0.0005 of a radian.
pub(in crate::encoders) fn angles<O: Ops>(
    ops: &O,
    source: &Source<'_>,
    head_dim: usize,
    theta: f64,
) -> Result<O::Table, ModelError> {
    if !head_dim.is_multiple_of(2) || head_dim == 0 {
        return Err(source.malformed(format!("heads have {head_dim} dimensions, expected an even number above 0")));
    }
    if !(theta.is_finite() && 1.0 < theta) {
        return Err(source.malformed(format!("the base of rotary positions is {theta}, expected a number above 1")));
    }
    Ok(ops.table(cosines_and_sines(head_dim, theta, source.max_tokens()))?)
}

/// A row per position: the cosines of its angles, then the sines.
#[expect(clippy::cast_precision_loss, reason = "positions and dimensions are far below 2^24")]
#[expect(clippy::cast_possible_truncation, reason = "the rounding is the reference's")]
fn cosines_and_sines(head_dim: usize, theta: f64, n_positions: usize) -> Matrix {
    let half = head_dim / 2;
    let frequencies: Vec<_> = (0..half).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64) as f32).collect();
    let mut values = Vec::with_capacity(n_positions * head_dim);
    for position in 0..n_positions {
        let angles = frequencies.iter().map(|frequency| f64::from(position as f32 * frequency));
        values.extend(angles.clone().map(|angle| angle.cos() as f32));
        values.extend(angles.map(|angle| angle.sin() as f32));
    }
    Matrix { width: head_dim, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_cosines_then_sines() {
        let table = cosines_and_sines(4, 100.0, 3);
        let expected = [2.0_f32.cos(), 0.2_f32.cos(), 2.0_f32.sin(), 0.2_f32.sin()];
        let worst = table.values[8..].iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(table.n_rows() == 3 && worst < 1e-7, "{:?}, expected {expected:?}", &table.values[8..]);
        assert_eq!(table.values[..4], [1.0, 1.0, 0.0, 0.0]);
    }
}
