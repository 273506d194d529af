//! `DINOv2` with registers: tokens behind the first one that belong to no patch.
//!
//! Order of operations and tensor names follow `Dinov2WithRegistersModel` of the transformers library
//! (`src/transformers/models/dinov2_with_registers/modeling_dinov2_with_registers.py`, release 5.23), the names as they
//! stand in files. Deviations: those of [`dinov2`](super::dinov2), which is the same but for the registers and for the
//! interpolation of positions.
//!
//! Darcet et al., "Vision Transformers Need Registers" (2024).

use super::dinov2::{self, Variant};
use super::layers::bicubic::Bicubic;
use super::{Build, EncoderDef, ImageEncoder, Source};
use crate::ModelError;
use crate::ops::Ops;

pub(super) static DEF: EncoderDef = super::image::<Def>("dinov2-with-registers");

struct Def;

impl Build for Def {
    type Encoder = dyn ImageEncoder;

    fn build<O: Ops>(ops: O, source: &Source<'_>) -> Result<Box<dyn ImageEncoder>, ModelError> {
        let prefix = "dinov2_with_registers.";
        dinov2::build(ops, source, Variant { prefix, patch_size: 16, resize: Bicubic::Antialiased, registers: true })
    }
}
