//! Pictures as patches: a product over the numbers of each patch, learned positions, and tokens that stand before them.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), section 3.1.

use candle_core::{Result, bail};

use super::super::Source;
use super::Convolution;
use super::bicubic::Bicubic;
use crate::ModelError;
use crate::ops::{Activation, Images, Levels, Matrix, Ops, Padding, Size, Span, Window};
use crate::weights::Weights;

/// Colors of a pixel.
const COLORS: usize = 3;

/// What `config.json` says of patches.
#[derive(Clone, Copy, Debug)]
pub(in crate::encoders) struct Settings {
    pub(in crate::encoders) hidden: usize,
    /// Side of a patch, `patch_size`.
    pub(in crate::encoders) patch: usize,
    /// Side of the pictures that there are positions for, `image_size`.
    pub(in crate::encoders) image: usize,
    /// `num_channels`.
    pub(in crate::encoders) colors: usize,
    /// How positions are made for other sides; `None` where the reference refuses these.
    pub(in crate::encoders) resize: Option<Bicubic>,
}

/// What the weights file has on patches.
#[derive(Debug)]
pub(in crate::encoders) struct Tensors {
    /// Shape `(hidden, 3, patch, patch)`.
    pub(in crate::encoders) weight: Vec<f32>,
    /// One number per column; 0 where the reference has none.
    pub(in crate::encoders) bias: Vec<f32>,
    /// The token before the patches, length `hidden`; empty where there is none.
    pub(in crate::encoders) class: Vec<f32>,
    /// Tokens without a position behind it, shape `(n, hidden)`; empty where there are none.
    pub(in crate::encoders) registers: Vec<f32>,
    /// That of the token before the patches where there is one, then those of the patches, row by row.
    pub(in crate::encoders) positions: Vec<f32>,
}

/// From pictures to the rows that layers read.
pub(in crate::encoders) struct Patches<O: Ops> {
    window: Window,
    levels: Box<Levels>,
    projection: O::Linear,
    /// What stands before the patches of each picture and how many rows that is; the first brings its position.
    prefix: Option<(O::Table, usize)>,
    /// For each size of a picture the size of its grid of patches, and their positions.
    positions: Vec<(Size, Size, O::Table)>,
}

impl Settings {
    /// Number of positions of patches.
    ///
    /// # Errors
    /// When the numbers make no sense, or the pictures have sides that there are no positions for.
    pub(in crate::encoders) fn check(&self, source: &Source<'_>) -> std::result::Result<usize, ModelError> {
        let Self { patch, image, colors, .. } = *self;
        if patch == 0 || image < patch {
            let reason = format!("patch_size is {patch}, expected a number from 1 to image_size {image}");
            return Err(source.malformed(reason));
        }
        if colors != COLORS {
            return Err(source.malformed(format!("num_channels is {colors}, expected {COLORS}")));
        }
        for side in source.pictures().0.iter().map(|side| *side as usize) {
            if self.resize.is_none() && side != image {
                return Err(
                    source.malformed(format!("image_size is {image}, expected {side}, the side of the pictures"))
                );
            }
            if side < patch {
                let reason = format!("patch_size is {patch}, expected at most {side}, the side of the pictures");
                return Err(source.malformed(reason));
            }
        }
        Ok((image / patch) * (image / patch))
    }

    /// The weight `name` of the patches.
    pub(in crate::encoders) fn weight(
        &self,
        weights: &Weights<'_>,
        name: &str,
    ) -> std::result::Result<Vec<f32>, ModelError> {
        weights.values(name, &[self.hidden, COLORS, self.patch, self.patch])
    }
}

impl<O: Ops> Patches<O> {
    /// Lays out `tensors`, whose shapes fit `settings`, for all sides of the pictures. Patches at the right and at the
    /// bottom that are not whole are left out, as by a convolution.
    pub(in crate::encoders) fn new(
        ops: &O,
        source: &Source<'_>,
        settings: &Settings,
        tensors: Tensors,
    ) -> std::result::Result<Self, ModelError> {
        let Settings { hidden, patch, .. } = *settings;
        let (sides, levels) = source.pictures();
        let window = Window { kernel: patch, stride: patch, padding: Padding::Valid };
        let (first, positions) = tensors.positions.split_at(tensors.class.len());
        let mut prefix: Vec<f32> = tensors.class.iter().zip(first).map(|(x, y)| x + y).collect();
        prefix.extend(tensors.registers);
        let n_prefix = prefix.len() / hidden;
        let prefix = match n_prefix {
            0 => None,
            _ => Some((ops.table(Matrix { width: hidden, values: prefix })?, n_prefix)),
        };
        let learned = Matrix { width: hidden, values: positions.to_vec() };
        let positions = sides.iter().map(|side| {
            let size = Size { height: *side as usize, width: *side as usize };
            let grid = window.out(size);
            Ok((size, grid, ops.table(positions_of(&learned, settings, grid.height))?))
        });
        let positions = positions.collect::<Result<_>>()?;
        let convolution = Convolution { weight: tensors.weight, bias: tensors.bias };
        Ok(Self {
            window,
            levels: Box::new(*levels),
            projection: convolution.colors_last().into_linear(ops)?,
            prefix,
            positions,
        })
    }

    /// Writes the rows of `images` to `x`, shape `(pictures * tokens, hidden)`, and returns where each picture stands.
    ///
    /// # Errors
    /// When the pictures have another size than was laid out.
    pub(in crate::encoders) fn embed(
        &self,
        ops: &O,
        images: &Images<'_>,
        buffer: &mut O::Rows,
        x: &mut O::Rows,
    ) -> Result<Vec<Span>> {
        let Some((_, grid, positions)) = self.positions.iter().find(|(size, ..)| *size == images.size) else {
            let Size { height, width } = images.size;
            bail!("pictures have {width} x {height} pixels, expected a size that the manifest lists");
        };
        let n = images.pictures.len();
        let places: Vec<u32> = (0..n).flat_map(|_| (0..).take(grid.area())).collect();
        ops.unfold(images, self.window, &self.levels, buffer)?; // (pictures * patches, 3 * patch^2)
        ops.product(buffer, &self.projection, Activation::Identity, x)?;
        ops.add_gather(positions, &places, x)?;
        let Some((prefix, n_prefix)) = &self.prefix else {
            return Ok(Span::equal(n, grid.area()));
        };
        ops.prepend(prefix, x, n, buffer)?;
        std::mem::swap(x, buffer);
        Ok(Span::equal(n, n_prefix + grid.area()))
    }
}

/// Positions of a grid of `n` by `n` patches, from those that were `learned`.
fn positions_of(learned: &Matrix, settings: &Settings, n: usize) -> Matrix {
    let n_learned = settings.image / settings.patch;
    match settings.resize {
        Some(resize) if n != n_learned => resize.resize(learned, n_learned, n),
        _ => learned.clone(),
    }
}
