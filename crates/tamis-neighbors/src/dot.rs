//! The one dot product that decides, and how far a fast one may be from it.

use pulp::{Arch, Simd, WithSimd};

/// Partial sums of the canonical dot product.
const LANES: usize = 8;

/// Dot product of two rows in f64: eight partial sums over the columns `i mod 8`, added from first to last, then rounded
/// to f32.
///
/// Products of two f32 are exact in f64, and the order never changes, whatever instructions the machine has for it, so the
/// same two rows give the same number everywhere. For unit vectors this is the cosine; it is clamped to `[-1, 1]`, which
/// rounding may leave by an ulp.
///
/// # Panics
/// When the rows differ in length.
#[must_use]
pub fn canonical_dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "because rows of one matrix have one length");
    Arch::new().dispatch(Canonical { a, b })
}

/// Two rows, compiled for the instructions of each kind of machine.
struct Canonical<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl WithSimd for Canonical<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        let mut partial = [0.0_f64; LANES];
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for ((sum, a), b) in partial.iter_mut().zip(a).zip(b) {
                *sum += f64::from(*a) * f64::from(*b);
            }
        }
        for ((sum, a), b) in partial.iter_mut().zip(a_rest).zip(b_rest) {
            *sum += f64::from(*a) * f64::from(*b);
        }
        narrow(partial.iter().sum::<f64>().clamp(-1.0, 1.0))
    }
}

/// How far an f32 matrix product of unit vectors of dimension `dim` may be from [`canonical_dot`], whatever its order of
/// summation.
///
/// `|fl(x.y) - x.y| <= gamma_d |x|.|y|` with `gamma_d = d u / (1 - d u)` and `u = 2^-24` for every order, fused or not
/// (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). By Cauchy and Schwarz `|x|.|y|` is at
/// most the product of the norms, which rounding to f32 leaves within 1e-6 of 1; rounding the canonical dot adds `u`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a dimension is far below 2^24")]
pub fn proposal_margin(dim: usize) -> f32 {
    let du = (dim + 2) as f32 * f32::EPSILON / 2.0;
    1.01 * du / (1.0 - du)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dot_of_a_row_with_itself_is_its_squared_norm() {
        let row: Vec<f32> = (0..19).map(|i| if i == 3 { 0.6 } else { 0.0 }).collect();
        let other: Vec<f32> = (0..19).map(|i| if i == 3 { 0.5 } else { 1.0 }).collect();
        assert!((canonical_dot(&row, &row) - 0.36).abs() < 1e-7);
        assert!((canonical_dot(&row, &other) - 0.3).abs() < 1e-7);
    }

    /// Eight sums, one after the other, by what every machine has.
    #[test]
    fn the_instructions_of_the_machine_change_no_bit() {
        for dim in 0..70_u16 {
            let row = |seed: u16| (0..dim).map(|i| (f32::from(i * 7 + seed) * 0.7).sin() * 0.17).collect::<Vec<f32>>();
            let (a, b) = (row(1), row(3));
            let sum = |lane: usize| {
                let numbers = (lane..dim.into()).step_by(LANES);
                numbers.fold(0.0, |sum, i| sum + std::hint::black_box(f64::from(a[i]) * f64::from(b[i])))
            };
            let expected = narrow((0..LANES).map(sum).sum::<f64>().clamp(-1.0, 1.0));
            assert_eq!(canonical_dot(&a, &b).to_bits(), expected.to_bits(), "{dim} numbers");
        }
    }

    #[test]
    fn the_margin_grows_with_the_dimension() {
        assert!(2.2e-5 < proposal_margin(384) && proposal_margin(384) < 2.5e-5);
        assert!(proposal_margin(64) < proposal_margin(1024));
    }
}
