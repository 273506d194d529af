//! Products of rows and weights by cuBLAS.
//!
//! cuBLAS counts by columns: what it takes for a matrix of shape `(width, n)` are our rows of shape `(n, width)`. So
//! `out = x * weight^T` is `out' = weight'^T * x'` to it.

#![expect(unsafe_code, reason = "cuBLAS is called, which checks no lengths")]

use std::fmt;

use candle_core::Result;
use candle_core::cuda_backend::cudarc::cublas::sys::cublasOperation_t;
use candle_core::cuda_backend::cudarc::cublas::{CudaBlas, Gemm, GemmConfig};
use candle_core::cuda_backend::cudarc::cublaslt::result::CublasError;
use candle_core::cuda_backend::cudarc::cublaslt::sys::cublasStatus_t;
use candle_core::cuda_backend::cudarc::cublaslt::{Activation as Epilogue, Matmul as _, MatmulConfig};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr};
use half::f16;

use super::device::{Lane, short};
use super::failed;
use crate::ops::Activation;

/// A product, all but its result.
pub(crate) struct Product<'a, T> {
    /// Shape `(n, n_in)`.
    pub(super) x: &'a CudaSlice<T>,
    /// Shape `(n_out, n_in)`.
    pub(super) weight: &'a CudaSlice<T>,
    /// Length `n_out`.
    pub(super) bias: Option<&'a CudaSlice<T>>,
    pub(super) n: usize,
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    /// Whether it is added to what is there.
    pub(super) add: bool,
    pub(super) activation: Activation,
}

/// What of a product is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Neither bias nor activation.
    Product,
    /// All but the activation.
    Bias,
    /// All.
    All,
}

/// What rows and weights are made of.
pub(crate) trait Number: DeviceRepr + Copy + Send + Sync + fmt::Debug + 'static {
    /// The kernels for it.
    const PTX: &'static str;
    /// Its kernels of attention.
    const ATTENTION: &'static [&'static str];
    /// Queries of a tile: `QUERIES` of `attention.cuh`.
    const QUERIES: usize;

    /// Rounded.
    fn from_f32(x: f32) -> Self;

    /// In single precision.
    fn to_f32(self) -> f32;

    /// The kernel for heads of `dim` numbers; `None` where there is none.
    fn attention(dim: usize) -> Option<&'static str>;

    /// `out = x * weight^T`, or `out +=`, and as much of bias and activation as costs no pass of its own.
    fn multiply(lane: &Lane, product: &Product<'_, Self>, out: &mut CudaSlice<Self>) -> Result<Done>;
}

impl Number for f16 {
    const PTX: &'static str = include_str!(concat!(env!("OUT_DIR"), "/kernels_f16.ptx"));
    const ATTENTION: &'static [&'static str] = &["attend_32", "attend_64", "attend_96", "attend_128"];
    const QUERIES: usize = 64;

    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    fn attention(dim: usize) -> Option<&'static str> {
        match dim {
            1..=32 => Some("attend_32"),
            33..=64 => Some("attend_64"),
            65..=96 => Some("attend_96"),
            97..=128 => Some("attend_128"),
            _ => None,
        }
    }

    /// By cuBLASLt, which adds the bias before it writes, and applies two of the activations; where it has no way to do
    /// that for the shape, by plain cuBLAS.
    fn multiply(lane: &Lane, product: &Product<'_, Self>, out: &mut CudaSlice<Self>) -> Result<Done> {
        let epilogue = match product.activation {
            Activation::Relu => Some(Epilogue::Relu),
            Activation::GeluTanh => Some(Epilogue::Gelu),
            _ => None,
        };
        let (m, n, k) = (short(product.n_out)?, short(product.n)?, short(product.n_in)?);
        let config = MatmulConfig {
            transa: true,
            transb: false,
            transc: false,
            m: m.into(),
            n: n.into(),
            k: k.into(),
            alpha: 1.0,
            lda: k.into(),
            ldb: k.into(),
            beta: if product.add { 1.0 } else { 0.0 },
            ldc: m.into(),
            stride_a: None,
            stride_b: None,
            stride_c: None,
            stride_bias: None,
            batch_size: None,
        };
        // SAFETY: the slices have the lengths that the shapes say, which `Cuda::multiply` compares.
        let done = unsafe {
            lane.blas_lt.matmul(
                config,
                product.weight,
                product.x,
                out,
                product.bias.as_ref().copied(),
                epilogue.as_ref(),
            )
        };
        match done {
            Ok(()) if epilogue.is_some() => Ok(Done::All),
            Ok(()) => Ok(Done::Bias),
            Err(CublasError(cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)) => {
                plain(lane, product, (Self::ONE, Self::ZERO), out)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Number for f32 {
    const PTX: &'static str = include_str!(concat!(env!("OUT_DIR"), "/kernels_f32.ptx"));
    const ATTENTION: &'static [&'static str] = &["attend"];
    const QUERIES: usize = 16;

    fn from_f32(x: f32) -> Self {
        x
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn attention(dim: usize) -> Option<&'static str> {
        (1..=128).contains(&dim).then_some("attend")
    }

    /// By plain cuBLAS: cuBLASLt as cudarc calls it would round the factors to 11 bits (TF32).
    fn multiply(lane: &Lane, product: &Product<'_, Self>, out: &mut CudaSlice<Self>) -> Result<Done> {
        plain(lane, product, (1.0, 0.0), out)
    }
}

/// A product by plain cuBLAS, without bias and activation.
fn plain<T: Number>(lane: &Lane, product: &Product<'_, T>, (one, zero): (T, T), out: &mut CudaSlice<T>) -> Result<Done>
where
    CudaBlas: Gemm<T>,
{
    let int = |n: usize| i32::try_from(n).map_err(failed);
    let (m, n, k) = (int(product.n_out)?, int(product.n)?, int(product.n_in)?);
    let config = GemmConfig {
        transa: cublasOperation_t::CUBLAS_OP_T,
        transb: cublasOperation_t::CUBLAS_OP_N,
        m,
        n,
        k,
        alpha: one,
        lda: k,
        ldb: k,
        beta: if product.add { one } else { zero },
        ldc: m,
    };
    // SAFETY: the slices have the lengths that the shapes say, which `Cuda::multiply` compares.
    unsafe { lane.blas.gemm(config, product.weight, product.x, out) }.map_err(failed)?;
    Ok(Done::Product)
}
