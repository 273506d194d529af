//! The element-wise parts of a transformer on the CPU: bias and GELU, residual and layer norm, attention.
//!
//! candle's own erf-GELU costs as much as the matrix product before it, because it calls a scalar `erff` per element.
//! Here the loops are written so that the compiler vectorizes them, and `pulp` picks the widest instructions of the
//! machine at run time; what they call is inlined always, because only inside of a dispatched loop it is vectorized. No fused multiply-add is asked for, and each row is summed in a fixed order, so results do not
//! depend on batch-mates or on the number of threads.

use candle_core::{CpuStorage, CustomOp1, InplaceOp2, Layout, Result, Shape, bail};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder as _};
use pulp::Arch;

/// Partial sums per row; enough for the widest registers and for the latency of an addition.
const LANES: usize = 32;

/// `x <- gelu(x + bias)`, row by row; exact GELU by the error function.
pub(crate) struct BiasGelu;

/// `x <- layer_norm(x + bias + residual)`, row by row.
pub(crate) struct AddNorm<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) norm: &'a LayerNorm,
}

/// Scale and shift of a layer norm.
pub(crate) struct LayerNorm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

/// Multi-head attention of each text with itself, over packed tokens.
///
/// Input `(tokens, 3 * hidden)`: queries, keys and values side by side, biases not yet added; output `(tokens, hidden)`.
pub(crate) struct Attention<'a> {
    /// First token and number of tokens of each text.
    pub(crate) spans: &'a [(usize, usize)],
    pub(crate) n_heads: usize,
    /// Length `3 * hidden`.
    pub(crate) bias: &'a [f32],
}

impl InplaceOp2 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, x_layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let bias = contiguous(bias, bias_layout)?;
        let x = contiguous_mut(x, x_layout)?;
        Arch::new().dispatch(|| {
            for row in x.chunks_exact_mut(bias.len()) {
                for (x, b) in row.iter_mut().zip(bias) {
                    *x = gelu(*x + *b);
                }
            }
        });
        Ok(())
    }
}

impl InplaceOp2 for AddNorm<'_> {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, x_layout: &Layout, y: &CpuStorage, y_layout: &Layout) -> Result<()> {
        let residual = contiguous(y, y_layout)?;
        let x = contiguous_mut(x, x_layout)?;
        let dim = self.bias.len();
        Arch::new().dispatch(|| {
            for (row, residual) in x.chunks_exact_mut(dim).zip(residual.chunks_exact(dim)) {
                for ((x, r), b) in row.iter_mut().zip(residual).zip(self.bias) {
                    *x += *r + *b;
                }
                self.norm.apply(row);
            }
        });
        Ok(())
    }
}

impl LayerNorm {
    /// Normalizes one row in place.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "a hidden size is far below 2^24")]
    pub(crate) fn apply(&self, row: &mut [f32]) {
        let n = row.len() as f32;
        let mean = sum(row, |x| x) / n;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + self.eps).sqrt();
        for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = (*x - mean) * scale * *w + *b;
        }
    }
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_tokens, width) = layout.shape().dims2()?;
        let hidden = width / 3;
        let mut qkv = contiguous(qkv, layout)?.to_vec();
        for row in qkv.chunks_exact_mut(width) {
            for (x, b) in row.iter_mut().zip(self.bias) {
                *x += *b;
            }
        }
        let mut out = vec![0.0; n_tokens * hidden];
        let longest = self.spans.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let mut scores = vec![0.0; longest * longest];
        for (start, len) in self.spans.iter().copied() {
            let qkv = &qkv[start * width..(start + len) * width];
            let out = &mut out[start * hidden..(start + len) * hidden];
            self.attend(qkv, out, &mut scores[..len * len], len);
        }
        Ok((CpuStorage::F32(out), Shape::from((n_tokens, hidden))))
    }
}

impl Attention<'_> {
    /// Attention of one text: `qkv` is `(len, 3 * hidden)`, `out` is `(len, hidden)`, `scores` is scratch.
    #[expect(clippy::cast_precision_loss, reason = "a head has far fewer than 2^24 dimensions")]
    fn attend(&self, qkv: &[f32], out: &mut [f32], scores: &mut [f32], len: usize) {
        let width = qkv.len() / len;
        let hidden = width / 3;
        let head_dim = hidden / self.n_heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        for head in 0..self.n_heads {
            let part = |which: usize| {
                let from = which * hidden + head * head_dim;
                ArrayView2::from_shape((len, head_dim).strides((width, 1)), &qkv[from..])
                    .expect("because a head lies inside its row")
            };
            let (q, k, v) = (part(0), part(1), part(2));
            let mut weights =
                ArrayViewMut2::from_shape((len, len), &mut *scores).expect("because scores has len * len entries");
            general_mat_mul(scale, &q, &k.t(), 0.0, &mut weights);
            softmax_rows(scores, len);
            let weights = ArrayView2::from_shape((len, len), &*scores).expect("because scores has len * len entries");
            let shape = (len, head_dim).strides((hidden, 1));
            let mut context = ArrayViewMut2::from_shape(shape, &mut out[head * head_dim..])
                .expect("because a head lies inside its row");
            general_mat_mul(1.0, &weights, &v, 0.0, &mut context);
        }
    }
}

/// Softmax of each row of `len` numbers, in place.
fn softmax_rows(rows: &mut [f32], len: usize) {
    Arch::new().dispatch(|| {
        for row in rows.chunks_exact_mut(len) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for x in row.iter_mut() {
                *x = exp(*x - max);
            }
            let scale = 1.0 / sum(row, |x| x);
            for x in row.iter_mut() {
                *x *= scale;
            }
        }
    });
}

/// Sum of `f(x)` in a fixed order: [`LANES`] partial sums, then these from first to last.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (partial, x) in partial.iter_mut().zip(chunk) {
            *partial += f(*x);
        }
    }
    let tail: f32 = rest.iter().map(|x| f(*x)).sum();
    partial.iter().sum::<f32>() + tail
}

/// `x * Phi(x)` with `erf` by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error of `erf`
/// at most 1.5e-7.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let tail = 0.5 * poly * exp(-z * z); // the mass beyond |x|
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// `e^x` to a relative error of about 2e-7, for `x` in `[-87, 88]`; beyond that the value at the end of the range.
///
/// The integer part of `x / ln 2` goes into the exponent, the rest through the Taylor polynomial of degree 6, which is
/// off by less than 2e-7 relative on `[-ln 2 / 2, ln 2 / 2]`; ln 2 in two parts after Cody and Waite (1980).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let poly = 1.0
        + r * (1.0 + r * (0.5 + r * (0.166_666_67 + r * (0.041_666_668 + r * (0.008_333_334 + r * 0.001_388_888_9)))));
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    poly * f32::from_bits(exponent)
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        bail!("expected contiguous f32 numbers")
    };
    Ok(&values[start..end])
}

fn contiguous_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        bail!("expected contiguous f32 numbers")
    };
    Ok(&mut values[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Tensor};

    /// Numbers in [-1, 1) without a pattern that a kernel could profit from; the same in every run.
    fn numbers(n: usize, seed: u32) -> Tensor {
        let mut state = seed;
        let mut next = || {
            // The linear congruential generator of Numerical Recipes; its high bits are the good ones.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
        };
        Tensor::from_vec((0..n).map(|_| next()).collect(), n, &Device::Cpu).unwrap()
    }

    #[test]
    fn exp_is_as_exact_as_said() {
        for i in -8_700..8_800_i16 {
            let x = f32::from(i) / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 4e-7, "e^{x}: relative error {error:e}");
        }
        assert_eq!(exp(-1000.0), exp(-87.0));
    }

    #[test]
    fn gelu_agrees_with_the_error_function() {
        let xs: Vec<f32> = (-1000..1000_i16).map(|i| f32::from(i) / 100.0).collect();
        let tensor = Tensor::from_slice(&xs, xs.len(), &Device::Cpu).unwrap();
        let exact = tensor.gelu_erf().unwrap().to_vec1::<f32>().unwrap();
        for (x, exact) in xs.iter().zip(exact) {
            assert!((gelu(*x) - exact).abs() < 1e-6, "gelu({x})");
        }
    }

    /// Attention of two texts in one batch against plain candle, one text at a time.
    #[test]
    fn packed_attention_is_attention_of_each_text_alone() {
        let (n_heads, hidden) = (2, 8);
        let qkv = numbers(7 * 3 * hidden, 1).reshape((7, 3 * hidden)).unwrap();
        let bias = numbers(3 * hidden, 2);
        let spans = [(0, 3), (3, 4)];
        let op = Attention { spans: &spans, n_heads, bias: &bias.to_vec1::<f32>().unwrap() };
        let ours = qkv.apply_op1_no_bwd(&op).unwrap();
        for (start, len) in spans {
            let one = qkv.narrow(0, start, len).unwrap().broadcast_add(&bias).unwrap();
            let part = |i: usize| {
                let part = one.narrow(1, i * hidden, hidden).unwrap();
                part.reshape((len, n_heads, hidden / n_heads)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap()
            };
            let scores = (part(0).matmul(&part(1).t().unwrap()).unwrap() / 2.0).unwrap();
            let weights = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
            let context = weights.matmul(&part(2)).unwrap().transpose(0, 1).unwrap().reshape((len, hidden)).unwrap();
            let difference = (ours.narrow(0, start, len).unwrap() - context).unwrap().abs().unwrap();
            assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn add_norm_is_candles_layer_norm_of_the_sum() {
        let dim = 40;
        let x = numbers(3 * dim, 3).reshape((3, dim)).unwrap();
        let y = numbers(3 * dim, 4).reshape((3, dim)).unwrap();
        let vectors: Vec<Tensor> = (5..8).map(|seed| numbers(dim, seed)).collect();
        let [bias, weight, shift] = [0, 1, 2].map(|i| vectors[i].to_vec1::<f32>().unwrap());
        let sum = (&x + &y).unwrap().broadcast_add(&vectors[0]).unwrap();
        let theirs = candle_nn::ops::layer_norm(&sum, &vectors[1], &vectors[2], 1e-12).unwrap();
        let norm = LayerNorm { weight, bias: shift, eps: 1e-12 };
        x.inplace_op2(&y, &AddNorm { bias: &bias, norm: &norm }).unwrap();
        let difference = (x - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5, "{difference}");
    }
}
