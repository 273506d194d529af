//! What inner loops ask of a processor where the compiler does not find its instructions by itself.
//!
//! A loop is written once as a [`Pass`] and compiled for each [`Machine`]. Results are the same on all of them.

#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, x86::V3};

#[cfg(target_arch = "x86_64")]
use super::avx2;

/// Numbers that are multiplied at once.
pub(super) const LANES: usize = 16;

/// Weights that are multiplied at once, aligned so that a register is read from one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Weights(pub(super) [i16; LANES]);

/// The instructions of a processor.
pub(super) trait Machine: Copy {
    /// Sum of products; there are as many values as weights, or more. No sum of some of them may leave 32 bits.
    fn dot(self, values: &[i16], weights: &[Weights]) -> i32;

    /// A bit for each number that is not 0, the lowest for the first.
    fn nonzero(self, numbers: &[i32; 8]) -> u8;

    /// Adds `values` times `factor`, rounded after each of the two steps.
    fn add_scaled(self, sums: &mut [f32; 8], values: &[f32; 8], factor: f32);
}

/// A loop. What it calls is inlined always: only inside of it is that compiled for the machine.
pub(super) trait Pass {
    fn run(self, machine: impl Machine);
}

/// Runs a loop with the widest instructions that there are.
pub(super) fn run(pass: impl Pass) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = V3::try_new() {
        return simd.vectorize(OnAvx2 { simd, pass });
    }
    pass.run(Portable);
}

/// Any machine, in the forms for which the compiler finds its instructions, if only the narrow ones.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Machine for Portable {
    #[inline(always)]
    fn dot(self, values: &[i16], weights: &[Weights]) -> i32 {
        let lanes = values.as_chunks::<LANES>().0.iter().zip(weights);
        let products = lanes.map(|(values, weights)| {
            let mut sum = 0;
            for (value, weight) in values.iter().zip(&weights.0) {
                sum += i32::from(*value) * i32::from(*weight);
            }
            sum
        });
        products.sum()
    }

    #[inline(always)]
    fn nonzero(self, numbers: &[i32; 8]) -> u8 {
        numbers.iter().rev().fold(0, |bits, number| bits << 1 | u8::from(*number != 0))
    }

    #[inline(always)]
    fn add_scaled(self, sums: &mut [f32; 8], values: &[f32; 8], factor: f32) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value * factor;
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Machine for V3 {
    #[inline(always)]
    fn dot(self, values: &[i16], weights: &[Weights]) -> i32 {
        avx2::dot(self, values, weights)
    }

    #[inline(always)]
    fn nonzero(self, numbers: &[i32; 8]) -> u8 {
        avx2::nonzero(self, numbers)
    }

    #[inline(always)]
    fn add_scaled(self, sums: &mut [f32; 8], values: &[f32; 8], factor: f32) {
        avx2::add_scaled(self, sums, values, factor);
    }
}

/// A loop where there is AVX2.
#[cfg(target_arch = "x86_64")]
struct OnAvx2<P> {
    simd: V3,
    pass: P,
}

#[cfg(target_arch = "x86_64")]
impl<P: Pass> NullaryFnOnce for OnAvx2<P> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.pass.run(self.simd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares this machine's results with plain ones.
    struct Comparison;

    impl Pass for Comparison {
        fn run(self, machine: impl Machine) {
            let numbers: Vec<i16> = (0..64_i32).map(|it| (it * it * 523 % 65_521 - 32_760) as i16).collect();
            for length in [0, 16, 32, 48] {
                let weights: Vec<i16> = numbers[64 - length..].iter().map(|it| it / 64).collect();
                let lanes: Vec<Weights> = weights.as_chunks().0.iter().map(|it| Weights(*it)).collect();
                let sum: i32 = numbers.iter().zip(&weights).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                assert_eq!(machine.dot(&numbers, &lanes), sum, "{length} numbers");
            }
            assert_eq!(machine.nonzero(&[1, 0, 0, -1, i32::MIN, 0, 0, 256]), 0b1001_1001);
            assert_eq!(machine.nonzero(&[0; 8]), 0);
            let mut sums = [0.1, 0.2, 0.3, 1e9, -7.5, 0.0, 1.0, 3.0];
            let values = [1.1, -2.3, 0.7, 0.3, 1e-9, 5.0, 1.0, 0.1];
            let expected: Vec<f32> = sums.iter().zip(&values).map(|(sum, value)| sum + value * 0.7).collect();
            machine.add_scaled(&mut sums, &values, 0.7);
            assert_eq!(sums, *expected);
        }
    }

    #[test]
    fn machines_agree_with_plain_sums() {
        Comparison.run(Portable);
        run(Comparison);
    }
}
