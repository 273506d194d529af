//! What the layers of several architectures have in common.

use candle_core::Result;

use super::Source;
use crate::ModelError;
use crate::ops::{Activation, DepthwiseWeights, Matrix, NormWeights, Ops, Window};
use crate::weights::Weights;

pub(super) mod bicubic;

pub(super) mod feed_forward;

pub(super) mod inverted_residuals;

pub(super) mod patches;

pub(super) mod post_norm;

pub(super) mod pre_norm;

pub(super) mod rotary;

pub(super) mod section;

pub(super) mod towers;

pub(super) mod transformer;

#[cfg(test)]
mod tests;

/// Whether a linear layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    /// It has one.
    With,
    /// It has none.
    Without,
}

impl Bias {
    /// What a key of `config.json` such as `attention_bias` says.
    pub(super) fn from_config(present: bool) -> Self {
        if present { Self::With } else { Self::Without }
    }
}

/// The activation that the transformers library calls `name` (`hidden_act` and the like).
pub(super) fn activation(source: &Source<'_>, key: &str, name: &str) -> std::result::Result<Activation, ModelError> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "quick_gelu" => Ok(Activation::QuickGelu),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        _ => {
            let known = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu, swish";
            Err(source.malformed(format!("{key} is `{name}`, expected one of {known}")))
        }
    }
}

/// Refuses a width that heads do not divide.
pub(super) fn head_dim(source: &Source<'_>, hidden: usize, n_heads: usize) -> std::result::Result<usize, ModelError> {
    if n_heads == 0 || !hidden.is_multiple_of(n_heads) {
        let reason = format!("hidden_size {hidden} is not a multiple of num_attention_heads {n_heads}");
        return Err(source.malformed(reason));
    }
    Ok(hidden / n_heads)
}

/// The linear layer `name` of shape `(n_out, n_in)`, with a bias.
pub(super) fn linear<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    (n_out, n_in): (usize, usize),
) -> std::result::Result<O::Linear, ModelError> {
    side_by_side(ops, weights, &[(name, n_out)], n_in, Bias::With)
}

/// The linear layer `name` of shape `(n_out, n_in)`, without a bias.
pub(super) fn linear_without_bias<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    (n_out, n_in): (usize, usize),
) -> std::result::Result<O::Linear, ModelError> {
    side_by_side(ops, weights, &[(name, n_out)], n_in, Bias::Without)
}

/// Linear layers, given by name and `n_out`, as one whose results stand side by side.
pub(super) fn side_by_side<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    parts: &[(&str, usize)],
    n_in: usize,
    bias: Bias,
) -> std::result::Result<O::Linear, ModelError> {
    // One part is not copied, and nothing is allocated before the file has it in its shape.
    let together = |what: &str, width: Option<usize>| {
        let read = |(name, n_out): &(&str, usize)| {
            let shape: Vec<_> = std::iter::once(*n_out).chain(width).collect();
            weights.values(&format!("{name}.{what}"), &shape)
        };
        let append = |mut values: Vec<f32>, part| {
            values.extend(read(part)?);
            Ok::<_, ModelError>(values)
        };
        let Some((first, others)) = parts.split_first() else { return Ok(Vec::new()) };
        others.iter().try_fold(read(first)?, append)
    };
    let weight = Matrix { width: n_in, values: together("weight", Some(n_in))? };
    let bias = (bias == Bias::With).then(|| together("bias", None)).transpose()?;
    Ok(ops.linear(weight, bias)?)
}

/// The layer norm `name` over `width` columns; its bias is optional.
pub(super) fn layer_norm<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    shape: (usize, f32),
) -> std::result::Result<O::Norm, ModelError> {
    let bias = Bias::from_config(weights.has(&format!("{name}.bias")));
    layer_norm_with(ops, weights, name, shape, bias)
}

/// The layer norm `name` over `width` columns, with or without a bias.
pub(super) fn layer_norm_with<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    (width, eps): (usize, f32),
    bias: Bias,
) -> std::result::Result<O::Norm, ModelError> {
    let weight = weights.values(&format!("{name}.weight"), &[width])?;
    let bias = (bias == Bias::With).then(|| weights.values(&format!("{name}.bias"), &[width])).transpose()?;
    Ok(ops.norm(NormWeights { centered: true, weight, bias, eps })?)
}

/// The RMS norm `name` over `width` columns, which has no bias.
pub(super) fn rms_norm<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    (width, eps): (usize, f32),
) -> std::result::Result<O::Norm, ModelError> {
    let weight = weights.values(&format!("{name}.weight"), &[width])?;
    Ok(ops.norm(NormWeights { centered: false, weight, bias: None, eps })?)
}

/// The table `name` of shape `(n, width)`.
pub(super) fn table<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    (n, width): (usize, usize),
) -> std::result::Result<O::Table, ModelError> {
    Ok(ops.table(weights.matrix(name, n, width)?)?)
}

/// Normalizes `x` in its place, by way of `buffer`.
pub(super) fn normalize<O: Ops>(ops: &O, norm: &O::Norm, x: &mut O::Rows, buffer: &mut O::Rows) -> Result<()> {
    ops.normalize(x, norm, buffer)?;
    std::mem::swap(x, buffer);
    Ok(())
}

/// A convolution with its batch norm folded in.
pub(super) struct Convolution {
    /// Output channel by output channel.
    weight: Vec<f32>,
    /// One number per output channel.
    bias: Vec<f32>,
}

/// The convolution `weight` of shape `(n_out, n_in, kernel, kernel)` with the batch norm `norm` after it.
pub(super) fn folded(
    weights: &Weights<'_>,
    weight: &str,
    norm: &str,
    shape: &[usize; 4],
    eps: f32,
) -> std::result::Result<Convolution, ModelError> {
    let n_out = shape[0];
    let mut weight = weights.values(weight, shape)?;
    let part = |name: &str| weights.values(&format!("{norm}.{name}"), &[n_out]);
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let mut bias = beta;
    let per_output = weight.len() / n_out;
    for (i, weights) in weight.chunks_exact_mut(per_output).enumerate() {
        let scale = gamma[i] / (variance[i] + eps).sqrt();
        weights.iter_mut().for_each(|weight| *weight *= scale);
        bias[i] -= mean[i] * scale;
    }
    Ok(Convolution { weight, bias })
}

impl Convolution {
    /// As a product over the channels of a pixel, or over the numbers under a kernel.
    pub(super) fn into_linear<O: Ops>(self, ops: &O) -> Result<O::Linear> {
        let width = self.weight.len() / self.bias.len();
        ops.linear(Matrix { width, values: self.weight }, Some(self.bias))
    }

    /// As a depthwise convolution.
    pub(super) fn into_depthwise<O: Ops>(
        self,
        ops: &O,
        window: Window,
        activation: Activation,
    ) -> Result<O::Depthwise> {
        ops.depthwise(DepthwiseWeights { window, weight: self.weight, bias: self.bias, activation })
    }

    /// Sorted for products with what [`Ops::unfold`] gives: from `(n_out, 3 colors, pixels)` to `(n_out, pixels, 3 colors)`.
    pub(super) fn colors_last(self) -> Self {
        let n_pixels = self.weight.len() / self.bias.len() / 3;
        let kernels = self.weight.chunks_exact(3 * n_pixels);
        let sorted = kernels.flat_map(|kernel| (0..3 * n_pixels).map(|i| kernel[i % 3 * n_pixels + i / 3]));
        Self { weight: sorted.collect(), bias: self.bias }
    }
}
