//! Functions of a register of numbers.
//!
//! candle's own erf-GELU costs as much as the matrix product before it, because it calls a scalar `erff` per element.

use pulp::Simd;

use crate::ops::Activation;

/// Applies an activation.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, activation: Activation, x: S::f32s) -> S::f32s {
    match activation {
        Activation::Identity => x,
        Activation::Relu => simd.max_f32s(x, simd.splat_f32s(0.0)),
        Activation::Relu6 => simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(0.0)), simd.splat_f32s(6.0)),
        Activation::Gelu => gelu(simd, x),
        Activation::GeluTanh => gelu_tanh(simd, x),
        Activation::QuickGelu => times_sigmoid(simd, x, simd.mul_f32s(x, simd.splat_f32s(1.702))),
        Activation::Silu => times_sigmoid(simd, x, x),
    }
}

/// `x * Phi(x)` with `erf` by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error of `erf`
/// at most 1.5e-7.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let z = simd.mul_f32s(simd.abs_f32s(x), simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(z, simd.splat_f32s(0.327_591_1), one));
    let mut poly = simd.splat_f32s(1.061_405_4);
    for factor in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        poly = simd.mul_add_e_f32s(poly, t, simd.splat_f32s(factor));
    }
    let power = exp(simd, simd.mul_f32s(simd.neg_f32s(z), z));
    // The mass beyond |x|.
    let tail = simd.mul_f32s(simd.mul_f32s(simd.mul_f32s(poly, t), simd.splat_f32s(0.5)), power);
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    simd.mul_f32s(x, simd.select_f32s(negative, tail, simd.sub_f32s(one, tail)))
}

/// `x * (1 + tanh(u)) / 2` for `u = sqrt(2 / pi) * (x + 0.044715 * x^3)`, which is `x * sigmoid(2 * u)`.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // 2 * sqrt(2 / pi)
    let scale = simd.splat_f32s(1.595_769_2);
    let inner = simd.mul_add_e_f32s(simd.mul_f32s(x, x), simd.splat_f32s(0.044_715), simd.splat_f32s(1.0));
    times_sigmoid(simd, x, simd.mul_f32s(simd.mul_f32s(scale, x), inner))
}

/// `x / (1 + e^-u)`.
#[inline(always)]
fn times_sigmoid<S: Simd>(simd: S, x: S::f32s, u: S::f32s) -> S::f32s {
    simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), exp(simd, simd.neg_f32s(u))))
}

/// `e^x` to a relative error of less than 4e-7, for `x` in `[-87, 88]`; beyond that the value at the end of the range.
///
/// The integer part of `x / ln 2` goes into the exponent, the rest through the Taylor polynomial of degree 6, which is
/// off by less than 2e-7 relative on `[-ln 2 / 2, ln 2 / 2]`; ln 2 in two parts after Cody and Waite (1980).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(88.0));
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mut poly = simd.splat_f32s(0.001_388_888_9);
    for factor in [0.008_333_334, 0.041_666_668, 0.166_666_67, 0.5, 1.0, 1.0] {
        poly = simd.mul_add_e_f32s(poly, r, simd.splat_f32s(factor));
    }
    let bias = simd.splat_u32s(127_u32.wrapping_sub(ROUND.to_bits()));
    let exponent = simd.add_u32s(simd.transmute_u32s_f32s(shifted), bias);
    let power = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23));
    simd.mul_f32s(poly, simd.transmute_f32s_u32s(power))
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;
    use crate::ops::tests::ACTIVATIONS;
    use crate::ops::tests::reference::activated;

    /// Applies a function to numbers with the instructions of this machine.
    struct Each<'a, F>(&'a mut [f32], F);

    /// A function of a register.
    trait Function {
        fn of<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s;
    }

    impl Function for Activation {
        fn of<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            activate(simd, *self, x)
        }
    }

    struct Exp;

    impl Function for Exp {
        fn of<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            exp(simd, x)
        }
    }

    impl<F: Function> WithSimd for Each<'_, F> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty(), "whole registers are expected");
            vectors.iter_mut().for_each(|x| *x = self.1.of(simd, *x));
        }
    }

    fn apply<F: Function>(function: F, xs: &[f32]) -> Vec<f32> {
        let mut values = xs.to_vec();
        values.resize(xs.len().next_multiple_of(64), 0.0);
        Arch::new().dispatch(Each(&mut values, function));
        values.truncate(xs.len());
        values
    }

    #[test]
    fn exp_is_as_exact_as_said() {
        let xs: Vec<f32> = (-8_700..8_800_i16).map(|i| f32::from(i) / 100.0).collect();
        for (x, ours) in xs.iter().zip(apply(Exp, &xs)) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(ours) - exact).abs() / exact;
            assert!(error < 4e-7, "e^{x}: relative error {error:e}");
        }
        let ends = apply(Exp, &[-1000.0, -87.0]);
        assert_eq!(ends[0], ends[1]);
    }

    #[test]
    fn activations_agree_with_their_formulas() {
        let xs: Vec<f32> = (-500..500_i16).map(|i| f32::from(i) / 100.0).collect();
        for activation in ACTIVATIONS {
            for (x, ours) in xs.iter().zip(apply(activation, &xs)) {
                let exact = activated(activation, f64::from(*x));
                assert!((f64::from(ours) - exact).abs() < 2e-6, "{activation:?}({x}) is {ours}, expected {exact}");
            }
        }
    }
}
