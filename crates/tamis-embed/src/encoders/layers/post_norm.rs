//! The encoder that BERT and its successors share: embeddings, then layers that normalize after each residual.
//!
//! Vaswani et al., "Attention Is All You Need" (2017), section 3.1. Files beside this one name the tensors and say how
//! positions come in: as a table, as a bias of scores, or as rotations.

use candle_core::Result;

use super::feed_forward::FeedForward;
use super::normalize;
use crate::ModelError;
use crate::encoders::{PackedTokens, Source, TextEncoder};
use crate::manifest::Pooling;
use crate::ops::{Activation, Attention, Matrix, Ops};
use crate::weights::Weights;

/// An encoder for texts.
pub(in crate::encoders) struct PostNorm<O: Ops> {
    pub(in crate::encoders) ops: O,
    pub(in crate::encoders) words: O::Table,
    /// What is added to words by their places; `None` where positions come in otherwise.
    pub(in crate::encoders) positions: Option<Positions<O::Table>>,
    pub(in crate::encoders) norm: O::Norm,
    /// The same in all layers.
    pub(in crate::encoders) attention: Attention<O::Table>,
    /// Angles of the queries and keys; `None` where positions come in otherwise.
    pub(in crate::encoders) angles: Option<O::Table>,
    pub(in crate::encoders) layers: Vec<Layer<O>>,
    pub(in crate::encoders) pooling: Pooling,
}

/// A row for each place of a token in its text.
pub(in crate::encoders) struct Positions<T> {
    pub(in crate::encoders) table: T,
    pub(in crate::encoders) numbering: Numbering,
}

/// Which row of the table belongs to which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::encoders) enum Numbering {
    /// Places are counted from 0.
    FromZero,
    /// Places are counted from `padding + 1`, tokens with the id `padding` not at all: these have the row `padding`. Texts
    /// hold such tokens where they name them.
    Behind {
        /// Id of the padding token.
        padding: u32,
    },
}

/// A layer.
pub(in crate::encoders) struct Layer<O: Ops> {
    /// Queries, keys and values.
    pub(in crate::encoders) qkv: O::Linear,
    pub(in crate::encoders) attention_out: O::Linear,
    pub(in crate::encoders) attention_norm: O::Norm,
    pub(in crate::encoders) feed_forward: FeedForward<O>,
    pub(in crate::encoders) last_norm: O::Norm,
}

/// What one layer leaves to the next.
struct Buffers<R> {
    /// Queries, keys and values, and the input of a gate.
    wide: R,
    context: R,
    inner: R,
}

impl Numbering {
    /// Positions that texts of `max_tokens` need.
    fn n_positions(self, max_tokens: usize) -> usize {
        match self {
            Self::FromZero => max_tokens,
            Self::Behind { padding } => padding as usize + 1 + max_tokens,
        }
    }

    /// Refuses a table of `n_positions` rows, `max_position_embeddings` of `config.json`, that is too short for the texts.
    pub(in crate::encoders) fn check(
        self,
        source: &Source<'_>,
        n_positions: usize,
    ) -> std::result::Result<(), ModelError> {
        let (max_tokens, needed) = (source.max_tokens(), self.n_positions(source.max_tokens()));
        if n_positions < needed {
            let reason = format!(
                "max_position_embeddings is {n_positions}, expected at least {needed} for texts of {max_tokens} tokens"
            );
            return Err(source.malformed(reason));
        }
        Ok(())
    }

    /// The row of each token.
    fn rows(self, tokens: &PackedTokens) -> Vec<u32> {
        let Self::Behind { padding } = self else {
            return tokens.positions.clone();
        };
        let mut rows = Vec::with_capacity(tokens.ids.len());
        for span in &tokens.spans {
            let mut last = padding;
            rows.extend(tokens.ids[span.rows()].iter().map(|id| {
                if *id == padding {
                    return padding;
                }
                last += 1;
                last
            }));
        }
        rows
    }
}

/// Adds the embedding of token type 0, the first of `n_types` rows of the tensor `name`, to all rows of `table`: every
/// token is of that type.
pub(in crate::encoders) fn add_type(
    source: &Source<'_>,
    weights: &Weights<'_>,
    (name, n_types): (&str, usize),
    table: &mut Matrix,
) -> std::result::Result<(), ModelError> {
    if n_types == 0 {
        return Err(source.malformed("type_vocab_size is 0, expected at least 1"));
    }
    let types = weights.values(name, &[n_types, table.width])?;
    for row in table.values.chunks_exact_mut(table.width) {
        row.iter_mut().zip(&types).for_each(|(x, y)| *x += *y);
    }
    Ok(())
}

impl<O: Ops> Layer<O> {
    /// `x` has shape `(tokens, hidden)`.
    fn forward(
        &self,
        model: &PostNorm<O>,
        tokens: &PackedTokens,
        x: &mut O::Rows,
        buffers: &mut Buffers<O::Rows>,
    ) -> Result<()> {
        let PostNorm { ops, attention, .. } = model;
        let Buffers { wide, context, inner } = buffers;
        ops.product(x, &self.qkv, Activation::Identity, wide)?; // (tokens, 3 * hidden)
        if let Some(angles) = &model.angles {
            ops.rotate(wide, 0..attention.query_width() + attention.key_width(), angles, &tokens.positions)?;
        }
        ops.attend(&attention.within(wide, &tokens.spans), attention, context)?;
        ops.add_product(context, &self.attention_out, x)?;
        normalize(ops, &self.attention_norm, x, context)?;
        self.feed_forward.first(ops, x, wide, inner)?;
        self.feed_forward.add_second(ops, inner, x)?;
        normalize(ops, &self.last_norm, x, context)
    }
}

impl<O: Ops> TextEncoder for PostNorm<O> {
    fn n_ids(&self) -> usize {
        self.ops.n_rows(&self.words)
    }

    fn embed(&self, tokens: &PackedTokens) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let mut x = ops.rows(); // (tokens, hidden)
        let mut buffers = Buffers { wide: ops.rows(), context: ops.rows(), inner: ops.rows() };
        ops.gather(&self.words, &tokens.ids, &mut x)?;
        if let Some(Positions { table, numbering }) = &self.positions {
            ops.add_gather(table, &numbering.rows(tokens), &mut x)?;
        }
        normalize(ops, &self.norm, &mut x, &mut buffers.context)?;
        for layer in &self.layers {
            layer.forward(self, tokens, &mut x, &mut buffers)?;
        }
        ops.pool(&x, &tokens.spans, self.pooling, &mut buffers.context)?;
        ops.read(&buffers.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Span;

    #[test]
    fn padding_within_a_text_is_not_counted() {
        let spans = vec![Span { start: 0, len: 4 }, Span { start: 4, len: 2 }];
        let tokens = PackedTokens { ids: vec![5, 1, 1, 6, 7, 1], positions: vec![0, 1, 2, 3, 0, 1], spans };
        assert_eq!(Numbering::Behind { padding: 1 }.rows(&tokens), [2, 1, 1, 3, 2, 1]);
        assert_eq!(Numbering::FromZero.rows(&tokens), tokens.positions);
    }
}
