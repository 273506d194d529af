//! The shapes of attention and of convolutions as kernels have them.

use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{Result, bail};

use super::device::short;
use super::{CudaRows, CudaTable, Number};
use crate::ops::{Attention, Heads, Reach, Size, Window};

/// `struct Attention` of `attention.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct AttentionShape {
    n_heads: u32,
    n_key_heads: u32,
    dim: u32,
    widths: [u32; 3],
    firsts: [u32; 3],
    scale: f32,
    reach: i32,
    window: u32,
    n_bias: u32,
    aligned: i32,
}

/// `struct Map` of `kernels.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct MapShape {
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel: u32,
    stride: u32,
    before_y: u32,
    before_x: u32,
}

// SAFETY: plain numbers, laid out as in C.
#[expect(unsafe_code, reason = "arguments of kernels are marked so")]
unsafe impl DeviceRepr for AttentionShape {}

// SAFETY: plain numbers, laid out as in C.
#[expect(unsafe_code, reason = "arguments of kernels are marked so")]
unsafe impl DeviceRepr for MapShape {}

impl MapShape {
    /// Of a convolution of maps of `size`, or of pictures.
    pub(super) fn new(size: Size, window: Window) -> Result<Self> {
        let out = window.out(size);
        Ok(Self {
            height: short(size.height)?,
            width: short(size.width)?,
            out_height: short(out.height)?,
            out_width: short(out.width)?,
            kernel: short(window.kernel)?,
            stride: short(window.stride)?,
            before_y: short(window.before(size.height))?,
            before_x: short(window.before(size.width))?,
        })
    }
}

/// The tiles of `n_queries` queries of all samples, as `struct Tile` of `attention.cuh`. Their results stand one after the
/// other.
pub(super) fn tiles<R>(heads: &Heads<'_, R>, n_queries: usize) -> Result<Vec<[u32; 6]>> {
    let (mut tiles, mut out_start) = (Vec::new(), 0);
    for (queries, keys) in heads.query_spans.iter().zip(heads.key_spans) {
        let [start, n, key_start, n_keys, out] =
            [short(queries.start)?, short(queries.len)?, short(keys.start)?, short(keys.len)?, short(out_start)?];
        for first in (0..queries.len).step_by(n_queries) {
            tiles.push([start, n, key_start, n_keys, out, short(first)?]);
        }
        out_start += queries.len;
    }
    Ok(tiles)
}

/// The shape of some attention, for its kernel.
pub(super) fn attention_shape<T: Number>(
    heads: &Heads<'_, CudaRows<T>>,
    attention: &Attention<CudaTable>,
) -> Result<AttentionShape> {
    let parts = [
        (&heads.query, attention.query_width()),
        (&heads.key, attention.key_width()),
        (&heads.value, attention.key_width()),
    ];
    for (part, width) in &parts {
        if part.rows.width < part.first + width {
            bail!("heads end at column {}, expected at most {}", part.first + width, part.rows.width);
        }
    }
    let wide = 16 / size_of::<T>();
    let numbers = parts.iter().flat_map(|(part, _)| [part.first, part.rows.width]);
    let aligned = numbers.chain([attention.head_dim]).all(|n| n.is_multiple_of(wide));
    let (reach, window) = match attention.reach {
        Reach::All => (0, 0),
        Reach::Causal => (1, 0),
        // No sample is as long as 2^30 rows.
        Reach::Window(n) => (2, short(n.min(1 << 30))?),
    };
    Ok(AttentionShape {
        n_heads: short(attention.n_heads)?,
        n_key_heads: short(attention.n_key_heads)?,
        dim: short(attention.head_dim)?,
        widths: [short(heads.query.rows.width)?, short(heads.key.rows.width)?, short(heads.value.rows.width)?],
        firsts: [short(heads.query.first)?, short(heads.key.first)?, short(heads.value.first)?],
        scale: attention.scale,
        reach,
        window,
        n_bias: short(attention.bias.as_ref().map_or(0, |bias| bias.n))?,
        aligned: i32::from(aligned),
    })
}
