//! Networks of inverted residuals: a convolution, blocks, a product, and the mean over the last map.

use candle_core::Result;

use crate::encoders::ImageEncoder;
use crate::manifest::Pooling;
use crate::ops::{Activation, Images, InvertedResidual, Levels, Ops, Span, Window};

/// A network of inverted residuals with its weights; `ReLU6` follows on all but the projections.
pub(in crate::encoders) struct InvertedResiduals<O: Ops> {
    pub(in crate::encoders) ops: O,
    pub(in crate::encoders) levels: Box<Levels>,
    /// The first convolution, as a product over the numbers under its kernel.
    pub(in crate::encoders) stem: O::Linear,
    /// Where the kernels of the first convolution stand.
    pub(in crate::encoders) window: Window,
    /// Each with the window of its depthwise convolution.
    pub(in crate::encoders) blocks: Vec<(InvertedResidual<O>, Window)>,
    pub(in crate::encoders) head: O::Linear,
}

impl<O: Ops> ImageEncoder for InvertedResiduals<O> {
    fn embed(&self, images: &Images<'_>) -> Result<Vec<f32>> {
        let ops = &self.ops;
        let (mut x, mut y) = (ops.rows(), ops.rows()); // (pixels, channels)
        ops.unfold(images, self.window, &self.levels, &mut y)?;
        ops.product(&y, &self.stem, Activation::Relu6, &mut x)?;
        let mut size = self.window.out(images.size);
        for (block, window) in &self.blocks {
            ops.invert(&x, size, block, &mut y)?;
            std::mem::swap(&mut x, &mut y);
            size = window.out(size);
        }
        ops.product(&x, &self.head, Activation::Relu6, &mut y)?;
        ops.pool(&y, &Span::equal(images.pictures.len(), size.area()), Pooling::Mean, &mut x)?;
        ops.read(&x)
    }
}
