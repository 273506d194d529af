//! The feed-forward part of a transformer's layer: two products with an activation or a gate between them.
//!
//! Vaswani et al., "Attention Is All You Need" (2017), section 3.3; gates: Shazeer, "GLU Variants Improve Transformer"
//! (2020), section 2.

use candle_core::Result;

use crate::ops::{Activation, Ops};

/// What stands between the two products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::encoders) enum Inner {
    /// A function of each number.
    Activation(Activation),
    /// The function of a number, times another number: the first product is twice as wide. See [`Ops::gate`].
    Gate(Activation),
}

/// The feed-forward part of a layer.
pub(in crate::encoders) struct FeedForward<O: Ops> {
    pub(in crate::encoders) up: O::Linear,
    pub(in crate::encoders) inner: Inner,
    pub(in crate::encoders) down: O::Linear,
}

impl Inner {
    /// Width of the first product where `intermediate` numbers reach the second one.
    pub(in crate::encoders) fn width(self, intermediate: usize) -> usize {
        match self {
            Self::Activation(_) => intermediate,
            Self::Gate(_) => 2 * intermediate,
        }
    }
}

impl<O: Ops> FeedForward<O> {
    /// What the second product is given for `x`, into `inner`: shape `(tokens, intermediate)`. `wide` is scratch.
    pub(in crate::encoders) fn first(
        &self,
        ops: &O,
        x: &O::Rows,
        wide: &mut O::Rows,
        inner: &mut O::Rows,
    ) -> Result<()> {
        match self.inner {
            Inner::Activation(activation) => ops.product(x, &self.up, activation, inner),
            Inner::Gate(activation) => {
                ops.product(x, &self.up, Activation::Identity, wide)?;
                ops.gate(wide, activation, inner)
            }
        }
    }

    /// Adds the second product to `sum`.
    pub(in crate::encoders) fn add_second(&self, ops: &O, inner: &O::Rows, sum: &mut O::Rows) -> Result<()> {
        ops.add_product(inner, &self.down, sum)
    }
}
