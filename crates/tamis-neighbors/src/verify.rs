//! Evidence that two samples that something took for alike are copies: what a join proposes is compared as it is.

mod image;
mod subsequence;
mod text;

pub use image::{ImageCopy, ImagePrint, MIN_TEXTURE};
pub use text::{Extent, Weighted, WordTexts};
