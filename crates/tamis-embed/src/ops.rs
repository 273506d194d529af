//! The operations that encoders are written in, and who computes them.
//!
//! An encoder is one forward pass, generic over [`Ops`]. Activations are [`Ops::Rows`]: one row per token or patch, the
//! samples of a batch one after the other without padding ([`Span`] says where each one stands), so that no mask exists
//! that could overflow and no row depends on its batch-mates. Results go into buffers of the caller, which one layer
//! leaves to the next.
//!
//! Three backends compute them, and the same tests cover all of them:
//! - [`cpu`]: our kernels on one thread; threads take whole batches. A row is bit-identical whatever stands beside it.
//! - [`plain`]: candle's own tensors, on every device that candle has: the reference in tests, and the way to Metal.
//! - `cuda` (feature `cuda`): our kernels beside cuBLAS, in half precision.

use std::ops::Range;

use candle_core::{Result, bail};
use tamis_core::Pixels;

use crate::manifest::Pooling;

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
pub(crate) mod plain;

#[cfg(test)]
mod tests;

/// Numbers with a shape, row-major: a weight on its way from a file to a backend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    /// Numbers in a row.
    pub(crate) width: usize,
    /// Row after row.
    pub(crate) values: Vec<f32>,
}

impl Matrix {
    /// Number of rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.values.len() / self.width
    }
}

/// What a norm divides by and adds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NormWeights {
    /// Whether the mean is subtracted first: layer norm does, RMS norm (Zhang and Sennrich 2019) does not.
    pub(crate) centered: bool,
    /// Scale of each column.
    pub(crate) weight: Vec<f32>,
    /// Shift of each column; `None` where there is none.
    pub(crate) bias: Option<Vec<f32>>,
    /// Added to the variance.
    pub(crate) eps: f32,
}

/// What happens to a number after a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    Identity,
    /// Below 0 it becomes 0.
    Relu,
    /// It is held in [0, 6].
    Relu6,
    /// `x * Phi(x)` by the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The approximation of [`Activation::Gelu`] by a hyperbolic tangent (the same, section 2).
    GeluTanh,
    /// The approximation of [`Activation::Gelu`] as `x * sigmoid(1.702 * x)` (the same, section 2).
    QuickGelu,
    /// `x * sigmoid(x)`.
    Silu,
}

/// First row and number of rows of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First row.
    pub(crate) start: usize,
    /// Number of rows.
    pub(crate) len: usize,
}

impl Span {
    /// Its rows.
    pub(crate) fn rows(self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// The spans of `n` samples of `len` rows each.
    pub(crate) fn equal(n: usize, len: usize) -> Vec<Self> {
        (0..n).map(|i| Self { start: i * len, len }).collect()
    }
}

/// Which keys a query sees, both counted from the beginning of their sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of its sample.
    All,
    /// Its own and those before.
    Causal,
    /// Those at most so many places away, on either side.
    Window(usize),
}

impl Reach {
    /// The keys that the query at `place` sees, of `len`.
    pub(crate) fn keys(self, place: usize, len: usize) -> Range<usize> {
        match self {
            Self::All => 0..len,
            Self::Causal => 0..len.min(place + 1),
            Self::Window(n) => place.saturating_sub(n).min(len)..len.min(place + n + 1),
        }
    }
}

/// Multi-head attention: `softmax(scale * q k^T + bias) v` per head and sample (Vaswani et al. 2017, section 3.2).
pub(crate) struct Attention<T> {
    /// Heads of the queries.
    pub(crate) n_heads: usize,
    /// Heads of keys and values: a divisor of `n_heads`; each serves as many heads of queries, one after the other.
    pub(crate) n_key_heads: usize,
    /// Numbers of a head.
    pub(crate) head_dim: usize,
    /// What scores are multiplied with.
    pub(crate) scale: f32,
    /// Which keys a query sees.
    pub(crate) reach: Reach,
    /// What is added to a score, by the distance `key - query`: shape `(2 * n - 1, n_heads)`, distance 0 in the middle
    /// row. Samples have at most `n` rows.
    pub(crate) bias: Option<T>,
}

impl<T> Attention<T> {
    /// Attention of `n_heads` heads over all of a sample, scaled by the root of their dimension.
    pub(crate) fn new(n_heads: usize, head_dim: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a head has far fewer than 2^24 dimensions")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        Self { n_heads, n_key_heads: n_heads, head_dim, scale, reach: Reach::All, bias: None }
    }

    /// Columns of the queries of all heads.
    pub(crate) fn query_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Columns of the keys of all heads, and of the values.
    pub(crate) fn key_width(&self) -> usize {
        self.n_key_heads * self.head_dim
    }

    /// Queries, keys and values that stand side by side in `qkv`, in this order: each sample attends to itself.
    pub(crate) fn within<'a, R>(&self, qkv: &'a R, spans: &'a [Span]) -> Heads<'a, R> {
        let at = |first| Columns { rows: qkv, first };
        let key = self.query_width();
        Heads { query: at(0), key: at(key), value: at(key + self.key_width()), query_spans: spans, key_spans: spans }
    }
}

/// Adjoining columns of rows, from `first` on.
pub(crate) struct Columns<'a, R> {
    pub(crate) rows: &'a R,
    pub(crate) first: usize,
}

/// What attention reads: head `h` of the queries begins `h * head_dim` columns behind `query.first`, and so on.
pub(crate) struct Heads<'a, R> {
    pub(crate) query: Columns<'a, R>,
    pub(crate) key: Columns<'a, R>,
    pub(crate) value: Columns<'a, R>,
    /// The samples' queries.
    pub(crate) query_spans: &'a [Span],
    /// The samples' keys and values, none of which is empty.
    pub(crate) key_spans: &'a [Span],
}

/// Height and width of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Size {
    /// Number of pixels.
    pub(crate) fn area(self) -> usize {
        self.height * self.width
    }
}

/// Pictures of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images<'a> {
    pub(crate) pictures: &'a [&'a Pixels],
    pub(crate) size: Size,
}

/// What is thought to stand around a feature map: zeros, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// None: kernels stand inside of the map.
    Valid,
    /// `kernel / 2` on every side, as PyTorch's networks have it.
    Symmetric,
    /// As many as make the result `ceil(size / stride)`, the odd one below and to the right: TensorFlow's "SAME".
    Same,
}

/// Where the kernels of a convolution stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Side of the kernel.
    pub(crate) kernel: usize,
    /// Distance of one kernel to the next.
    pub(crate) stride: usize,
    pub(crate) padding: Padding,
}

impl Window {
    /// Size of the result for a map of `size`.
    pub(crate) fn out(self, size: Size) -> Size {
        let side = |n: usize| match self.padding {
            Padding::Valid => (n - self.kernel) / self.stride + 1,
            Padding::Symmetric | Padding::Same => n.div_ceil(self.stride),
        };
        Size { height: side(size.height), width: side(size.width) }
    }

    /// Zeros before the first of `n` pixels of a column or row.
    pub(crate) fn before(self, n: usize) -> usize {
        match self.padding {
            Padding::Valid => 0,
            Padding::Symmetric => self.kernel / 2,
            Padding::Same => ((n.div_ceil(self.stride) - 1) * self.stride + self.kernel).saturating_sub(n) / 2,
        }
    }
}

/// A depthwise convolution with its batch norm folded in.
#[derive(Clone, Debug)]
pub(crate) struct DepthwiseWeights {
    pub(crate) window: Window,
    /// Shape `(channels, 1, kernel, kernel)`.
    pub(crate) weight: Vec<f32>,
    /// One number per channel.
    pub(crate) bias: Vec<f32>,
    pub(crate) activation: Activation,
}

impl DepthwiseWeights {
    /// The weights with shape `(kernel * kernel, channels)`.
    pub(crate) fn by_tap(&self) -> Vec<f32> {
        let n_taps = self.window.kernel * self.window.kernel;
        (0..n_taps).flat_map(|tap| self.weight.iter().skip(tap).step_by(n_taps).copied()).collect()
    }
}

/// Refuses `got` columns where `expected` are needed: without this a wrong shape would be computed with.
fn check_width(what: &str, got: usize, expected: usize) -> Result<()> {
    if got != expected {
        bail!("{what} has {got} columns, expected {expected}");
    }
    Ok(())
}

/// Refuses `got` of something where `expected` are needed.
fn check_count(what: &str, got: usize, expected: usize) -> Result<()> {
    if got != expected {
        bail!("there are {got} {what}, expected {expected}");
    }
    Ok(())
}

/// An inverted residual (Sandler et al. 2018, section 3.3): a product to a wide map, a depthwise convolution on it, and a
/// product to a narrow one.
pub(crate) struct InvertedResidual<O: Ops> {
    /// `None` where the wide map is the input.
    pub(crate) expand: Option<O::Linear>,
    pub(crate) depthwise: O::Depthwise,
    pub(crate) project: O::Linear,
    /// After `expand`; `depthwise` brings its own, `project` has none.
    pub(crate) activation: Activation,
    /// Whether the input is added to the result.
    pub(crate) residual: bool,
}

/// For each color, what a network gets for each of the 256 values.
pub(crate) type Levels = [[f32; 256]; 3];

/// The operations of a backend. Buffers called `out` are overwritten and take the shape of the result.
///
/// # Errors
/// All fail only where the device does, or where shapes do not fit: bugs and exhausted resources.
pub(crate) trait Ops: Send + Sync + Sized + 'static {
    /// Activations, shape `(n, width)`.
    type Rows: Send;
    /// A weight of shape `(n_out, n_in)` and a bias, laid out for products.
    type Linear: Send + Sync;
    /// A norm over columns.
    type Norm: Send + Sync;
    /// Rows to pick from.
    type Table: Send + Sync;
    /// A depthwise convolution.
    type Depthwise: Send + Sync;

    /// Lays out a weight of shape `(n_out, n_in)` and a bias of length `n_out`.
    fn linear(&self, weight: Matrix, bias: Option<Vec<f32>>) -> Result<Self::Linear>;

    /// Lays out a norm.
    fn norm(&self, norm: NormWeights) -> Result<Self::Norm>;

    /// Lays out a table.
    fn table(&self, rows: Matrix) -> Result<Self::Table>;

    /// Number of rows of a table.
    fn n_rows(&self, table: &Self::Table) -> usize;

    /// Lays out a depthwise convolution.
    fn depthwise(&self, weights: DepthwiseWeights) -> Result<Self::Depthwise>;

    /// A buffer for results, empty.
    fn rows(&self) -> Self::Rows;

    /// Copies the activations to the host, row-major.
    fn read(&self, x: &Self::Rows) -> Result<Vec<f32>>;

    /// `out[i] = table[indices[i]]`.
    fn gather(&self, table: &Self::Table, indices: &[u32], out: &mut Self::Rows) -> Result<()>;

    /// `sum[i] += table[indices[i]]`.
    fn add_gather(&self, table: &Self::Table, indices: &[u32], sum: &mut Self::Rows) -> Result<()>;

    /// Puts all rows of `prefix` before each sample of `x`, which are `n` of equal length.
    fn prepend(&self, prefix: &Self::Table, x: &Self::Rows, n: usize, out: &mut Self::Rows) -> Result<()>;

    /// `out = activation(x * weight^T + bias)`.
    fn product(
        &self,
        x: &Self::Rows,
        linear: &Self::Linear,
        activation: Activation,
        out: &mut Self::Rows,
    ) -> Result<()>;

    /// `sum += x * weight^T + bias`.
    fn add_product(&self, x: &Self::Rows, linear: &Self::Linear, sum: &mut Self::Rows) -> Result<()>;

    /// Normalizes each row.
    fn normalize(&self, x: &Self::Rows, norm: &Self::Norm, out: &mut Self::Rows) -> Result<()>;

    /// Normalizes each head in `columns`: as many adjoining columns as the norm has weights.
    fn normalize_heads(&self, x: &mut Self::Rows, columns: Range<usize>, norm: &Self::Norm) -> Result<()>;

    /// Rotates each head in `columns` by the angles of its row's position (Su et al. 2021, section 3.2.2): dimension `i` of
    /// the first half of a head is paired with dimension `i` of the second. A row of `angles` holds the cosines of a
    /// position, then its sines: as many numbers as a head.
    fn rotate(&self, x: &mut Self::Rows, columns: Range<usize>, angles: &Self::Table, positions: &[u32]) -> Result<()>;

    /// `out = activation(left half of x) * right half of x`.
    fn gate(&self, x: &Self::Rows, activation: Activation, out: &mut Self::Rows) -> Result<()>;

    /// Attention; `out` has one row per query and `n_heads * head_dim` columns.
    fn attend(
        &self,
        heads: &Heads<'_, Self::Rows>,
        attention: &Attention<Self::Table>,
        out: &mut Self::Rows,
    ) -> Result<()>;

    /// One row per sample; no span is empty.
    fn pool(&self, x: &Self::Rows, spans: &[Span], pooling: Pooling, out: &mut Self::Rows) -> Result<()>;

    /// The numbers under each kernel that stands on a picture, kernel by kernel: shape
    /// `(pictures * kernels, kernel * kernel * 3)`, the colors of a pixel side by side; 0 outside of a picture.
    fn unfold(&self, images: &Images<'_>, window: Window, levels: &Levels, out: &mut Self::Rows) -> Result<()>;

    /// A depthwise convolution of maps of `size`: one row per pixel.
    fn convolve(&self, x: &Self::Rows, size: Size, depthwise: &Self::Depthwise, out: &mut Self::Rows) -> Result<()>;

    /// An inverted residual on maps of `size`: one row per pixel. A backend may compute it without the wide map ever
    /// existing as a whole.
    fn invert(&self, x: &Self::Rows, size: Size, block: &InvertedResidual<Self>, out: &mut Self::Rows) -> Result<()>;
}
