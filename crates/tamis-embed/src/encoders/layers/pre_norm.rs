//! The encoder that `ModernBERT` and Qwen3 share: layers that normalize before attention and before a gate, with rotary
//! positions.
//!
//! Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020), section 3; Shazeer, "GLU Variants
//! Improve Transformer" (2020), section 2.

use candle_core::Result;

use super::feed_forward::FeedForward;
use super::normalize;
use crate::encoders::{PackedTokens, TextEncoder};
use crate::manifest::Pooling;
use crate::ops::{Activation, Attention, Ops};

/// An encoder for texts.
pub(in crate::encoders) struct PreNorm<O: Ops> {
    pub(in crate::encoders) ops: O,
    pub(in crate::encoders) words: O::Table,
    /// Before the layers.
    pub(in crate::encoders) first_norm: Option<O::Norm>,
    /// Ways to attend, of which each layer has one.
    pub(in crate::encoders) kinds: Vec<Kind<O>>,
    pub(in crate::encoders) layers: Vec<Layer<O>>,
    /// After the layers.
    pub(in crate::encoders) last_norm: O::Norm,
    pub(in crate::encoders) pooling: Pooling,
}

/// A way to attend.
pub(in crate::encoders) struct Kind<O: Ops> {
    pub(in crate::encoders) attention: Attention<O::Table>,
    /// Angles of queries and keys.
    pub(in crate::encoders) angles: O::Table,
}

/// A layer.
pub(in crate::encoders) struct Layer<O: Ops> {
    /// Index of its way to attend.
    pub(in crate::encoders) kind: usize,
    /// Before attention; `None` where the input is normalized already.
    pub(in crate::encoders) attention_norm: Option<O::Norm>,
    /// Queries, keys and values.
    pub(in crate::encoders) qkv: O::Linear,
    /// Norms over each head of the queries and of the keys.
    pub(in crate::encoders) head_norms: Option<[O::Norm; 2]>,
    pub(in crate::encoders) attention_out: O::Linear,
    /// Before the feed-forward part.
    pub(in crate::encoders) inner_norm: O::Norm,
    pub(in crate::encoders) feed_forward: FeedForward<O>,
}

/// What one layer leaves to the next.
struct Buffers<R> {
    normed: R,
    /// Queries, keys and values, and the input of a gate.
    wide: R,
    context: R,
    inner: R,
}

impl<O: Ops> Layer<O> {
    /// `x` has shape `(tokens, hidden)`.
    fn forward(
        &self,
        ops: &O,
        Kind { attention, angles }: &Kind<O>,
        tokens: &PackedTokens,
        x: &mut O::Rows,
        buffers: &mut Buffers<O::Rows>,
    ) -> Result<()> {
        let Buffers { normed, wide, context, inner } = buffers;
        match &self.attention_norm {
            None => ops.product(x, &self.qkv, Activation::Identity, wide)?,
            Some(norm) => {
                ops.normalize(x, norm, normed)?;
                ops.product(normed, &self.qkv, Activation::Identity, wide)?;
            }
        }
        // (tokens, queries | keys | values)
        let queries = attention.query_width();
        let keys = queries..queries + attention.key_width();
        if let Some([query, key]) = &self.head_norms {
            ops.normalize_heads(wide, 0..queries, query)?;
            ops.normalize_heads(wide, keys.clone(), key)?;
        }
        ops.rotate(wide, 0..keys.end, angles, &tokens.positions)?;
        ops.attend(&attention.within(wide, &tokens.spans), attention, context)?;
        ops.add_product(context, &self.attention_out, x)?;
        ops.normalize(x, &self.inner_norm, normed)?;
        self.feed_forward.first(ops, normed, wide, inner)?;
        self.feed_forward.add_second(ops, inner, x)
    }
}

impl<O: Ops> TextEncoder for PreNorm<O> {
    fn n_ids(&self) -> usize {
        self.ops.n_rows(&self.words)
    }

    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let rows = || ops.rows();
        let mut x = rows(); // (tokens, hidden)
        let mut buffers = Buffers { normed: rows(), wide: rows(), context: rows(), inner: rows() };
        ops.gather(&self.words, &tokens.ids, &mut x)?;
        if let Some(norm) = &self.first_norm {
            normalize(ops, norm, &mut x, &mut buffers.normed)?;
        }
        for layer in &self.layers {
            layer.forward(ops, &self.kinds[layer.kind], tokens, &mut x, &mut buffers)?;
        }
        normalize(ops, &self.last_norm, &mut x, &mut buffers.normed)?;
        ops.pool(&x, &tokens.spans, self.pooling, &mut buffers.context)?;
        ops.read(&buffers.context)
    }
}
