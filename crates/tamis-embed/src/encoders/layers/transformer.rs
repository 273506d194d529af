//! Transformer layers that normalize before attention and before the feed-forward part, and add to what they read.
//!
//! Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020), figure 1b.

use candle_core::Result;

use super::super::Source;
use super::Bias;
use super::feed_forward::{FeedForward, Inner};
use crate::ModelError;
use crate::manifest::Pooling;
use crate::ops::{Activation, Attention, Columns, Heads, Ops, Reach, Span};
use crate::weights::Weights;

/// What the tensors of a layer are called, behind the name of the layer.
#[derive(Clone, Copy, Debug)]
pub(in crate::encoders) struct Names {
    pub(in crate::encoders) attention_norm: &'static str,
    /// Queries, keys and values.
    pub(in crate::encoders) qkv: [&'static str; 3],
    pub(in crate::encoders) attention_out: &'static str,
    pub(in crate::encoders) inner_norm: &'static str,
    pub(in crate::encoders) up: &'static str,
    pub(in crate::encoders) down: &'static str,
    /// What the results of attention and of the feed-forward part are multiplied with (Touvron et al. 2021, "Going
    /// deeper with Image Transformers", section 2.1).
    pub(in crate::encoders) scales: Option<[&'static str; 2]>,
}

impl Names {
    /// In both towers of CLIP and of `SigLIP`.
    pub(in crate::encoders) const CLIP: Self = Self {
        attention_norm: "layer_norm1",
        qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        attention_out: "self_attn.out_proj",
        inner_norm: "layer_norm2",
        up: "mlp.fc1",
        down: "mlp.fc2",
        scales: None,
    };
}

/// What layers are built by.
#[derive(Debug)]
pub(in crate::encoders) struct Settings<'a> {
    /// What stands before the number of a layer in the names of its tensors.
    pub(in crate::encoders) name: &'a str,
    pub(in crate::encoders) names: Names,
    pub(in crate::encoders) n_layers: usize,
    pub(in crate::encoders) hidden: usize,
    pub(in crate::encoders) n_heads: usize,
    /// Width between the two products of the feed-forward part.
    pub(in crate::encoders) intermediate: usize,
    pub(in crate::encoders) inner: Inner,
    /// `eps` of all norms.
    pub(in crate::encoders) eps: f32,
    /// Of queries, keys and values.
    pub(in crate::encoders) qkv_bias: Bias,
    pub(in crate::encoders) reach: Reach,
}

/// Layers, one after the other.
pub(in crate::encoders) struct Layers<O: Ops> {
    layers: Vec<Layer<O>>,
    /// Of the last layer, where one token of each sample is wanted: that token sees all of its sample.
    pooled: Attention<O::Table>,
}

struct Layer<O: Ops> {
    attention_norm: O::Norm,
    /// Queries, keys and values.
    qkv: O::Linear,
    attention: Attention<O::Table>,
    /// With its scale folded in.
    attention_out: O::Linear,
    inner_norm: O::Norm,
    /// With its scale folded in.
    feed_forward: FeedForward<O>,
}

/// What one layer leaves to the next.
pub(in crate::encoders) struct Buffers<R> {
    /// Normalized rows, and what attention makes of them.
    pub(in crate::encoders) narrow: R,
    /// Queries, keys and values, and the input of a gate.
    pub(in crate::encoders) wide: R,
    /// What stands between the two products of the feed-forward part.
    pub(in crate::encoders) inner: R,
}

impl<R> Buffers<R> {
    /// Empty buffers.
    pub(in crate::encoders) fn new<O: Ops<Rows = R>>(ops: &O) -> Self {
        Self { narrow: ops.rows(), wide: ops.rows(), inner: ops.rows() }
    }
}

impl<O: Ops> Layers<O> {
    /// Reads the layers.
    ///
    /// # Errors
    /// When there is no layer, heads do not divide the width, or a weight is missing or has another shape.
    pub(in crate::encoders) fn load(
        ops: &O,
        source: &Source<'_>,
        weights: &Weights<'_>,
        settings: &Settings<'_>,
    ) -> std::result::Result<Self, ModelError> {
        if settings.n_layers == 0 {
            return Err(source.malformed("num_hidden_layers is 0, expected at least 1"));
        }
        let head_dim = super::head_dim(source, settings.hidden, settings.n_heads)?;
        let attention = || Attention::new(settings.n_heads, head_dim);
        let layers = (0..settings.n_layers).map(|index| {
            let attention = Attention { reach: settings.reach, ..attention() };
            Layer::load(ops, weights, settings, index, attention)
        });
        Ok(Self { layers: layers.collect::<std::result::Result<_, _>>()?, pooled: attention() })
    }

    /// `x` has shape `(tokens, hidden)`.
    pub(in crate::encoders) fn forward(
        &self,
        ops: &O,
        spans: &[Span],
        x: &mut O::Rows,
        buffers: &mut Buffers<O::Rows>,
    ) -> Result<()> {
        self.layers.iter().try_for_each(|layer| layer.forward(ops, spans, x, buffers))
    }

    /// The same where only one token of each sample is wanted: `x` becomes `(samples, hidden)`. The last layer computes
    /// no other token. Where tokens see but those before them, `pooling` must be [`Pooling::Last`].
    pub(in crate::encoders) fn forward_pooled(
        &self,
        ops: &O,
        spans: &[Span],
        pooling: Pooling,
        x: &mut O::Rows,
        buffers: &mut Buffers<O::Rows>,
    ) -> Result<()> {
        let (last, layers) = self.layers.split_last().expect("because there is a layer, as was checked at load");
        layers.iter().try_for_each(|layer| layer.forward(ops, spans, x, buffers))?;
        let Buffers { narrow, wide, inner } = buffers;
        last.attend_from(ops, x, narrow, wide)?;
        ops.pool(wide, spans, pooling, inner)?; // (samples, 3 * hidden), of which the queries are read
        let query_spans = Span::equal(spans.len(), 1);
        let queries = Columns { rows: &*inner, first: 0 };
        let heads = Heads { query: queries, query_spans: &query_spans, ..self.pooled.within(wide, spans) };
        ops.attend(&heads, &self.pooled, narrow)?; // (samples, hidden)
        ops.pool(x, spans, pooling, wide)?;
        std::mem::swap(x, wide);
        last.finish(ops, x, buffers)
    }
}

impl<O: Ops> Layer<O> {
    fn load(
        ops: &O,
        weights: &Weights<'_>,
        settings: &Settings<'_>,
        index: usize,
        attention: Attention<O::Table>,
    ) -> std::result::Result<Self, ModelError> {
        let Settings { names, hidden, intermediate, eps, inner, .. } = *settings;
        let at = |name: &str| format!("{}.{index}.{name}", settings.name);
        let norm = |name: &str| super::layer_norm(ops, weights, &at(name), (hidden, eps));
        let qkv = names.qkv.map(at);
        let qkv = qkv.each_ref().map(|name| (name.as_str(), hidden));
        let [attention_scale, inner_scale] = match names.scales {
            Some(scales) => scales.map(|name| Some(at(name))),
            None => [None, None],
        };
        Ok(Self {
            attention_norm: norm(names.attention_norm)?,
            qkv: super::side_by_side(ops, weights, &qkv, hidden, settings.qkv_bias)?,
            attention,
            attention_out: scaled(ops, weights, &at(names.attention_out), attention_scale, (hidden, hidden))?,
            inner_norm: norm(names.inner_norm)?,
            feed_forward: FeedForward {
                up: super::linear(ops, weights, &at(names.up), (inner.width(intermediate), hidden))?,
                inner,
                down: scaled(ops, weights, &at(names.down), inner_scale, (hidden, intermediate))?,
            },
        })
    }

    /// `x` has shape `(tokens, hidden)`.
    fn forward(&self, ops: &O, spans: &[Span], x: &mut O::Rows, buffers: &mut Buffers<O::Rows>) -> Result<()> {
        let Buffers { narrow, wide, .. } = buffers;
        self.attend_from(ops, x, narrow, wide)?;
        ops.attend(&self.attention.within(wide, spans), &self.attention, narrow)?;
        self.finish(ops, x, buffers)
    }

    /// Queries, keys and values of `x`, into `qkv`: shape `(tokens, 3 * hidden)`.
    fn attend_from(&self, ops: &O, x: &O::Rows, normed: &mut O::Rows, qkv: &mut O::Rows) -> Result<()> {
        ops.normalize(x, &self.attention_norm, normed)?;
        ops.product(normed, &self.qkv, Activation::Identity, qkv)
    }

    /// What comes after attention, whose result is in `buffers.narrow`.
    fn finish(&self, ops: &O, x: &mut O::Rows, buffers: &mut Buffers<O::Rows>) -> Result<()> {
        let Buffers { narrow, wide, inner } = buffers;
        ops.add_product(narrow, &self.attention_out, x)?;
        ops.normalize(x, &self.inner_norm, narrow)?;
        self.feed_forward.first(ops, narrow, wide, inner)?;
        self.feed_forward.add_second(ops, inner, x)
    }
}

/// The linear layer `name` with each of its results multiplied by the number that the tensor `scale` has for it.
fn scaled<O: Ops>(
    ops: &O,
    weights: &Weights<'_>,
    name: &str,
    scale: Option<String>,
    (n_out, n_in): (usize, usize),
) -> std::result::Result<O::Linear, ModelError> {
    let Some(scale) = scale else {
        return super::linear(ops, weights, name, (n_out, n_in));
    };
    let scale = weights.values(&scale, &[n_out])?;
    let mut weight = weights.matrix(&format!("{name}.weight"), n_out, n_in)?;
    let mut bias = weights.values(&format!("{name}.bias"), &[n_out])?;
    for ((row, bias), scale) in weight.values.chunks_exact_mut(n_in).zip(&mut bias).zip(scale) {
        row.iter_mut().for_each(|x| *x *= scale);
        *bias *= scale;
    }
    Ok(ops.linear(weight, Some(bias))?)
}
