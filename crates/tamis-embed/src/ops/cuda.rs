//! The operations on NVIDIA GPUs: products by cuBLAS, all else by our kernels (`cuda/kernels.cu`).
//!
//! Rows and weights are kept in half precision ([`f16`]), or in single precision for comparisons ([`f32`]); sums, norms
//! and softmax are computed in single precision either way, and biases, norms and tables are kept in it. A result beyond
//! 65504 does not fit into half precision and becomes infinite.
//!
//! What depends on other rows of a call: our kernels compute a row or a sample in an order of its own, so nothing; cuBLAS
//! chooses the order of its sums by the shape of a product, so the number of rows may show in the last digits.
//!
//! Each thread that computes gets a [`Lane`]: a stream of its own with its own cuBLAS. So one batch is copied and prepared
//! while another one is computed. Threads that share a lane wait for each other's pictures to be copied, for nothing else.

use std::any::type_name;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg as _};
use candle_core::{Error, Result, bail};
use half::f16;

use super::{
    Activation, Attention, DepthwiseWeights, Heads, Images, InvertedResidual, Levels, Matrix, NormWeights, Ops, Size,
    Span, Window, check_count, check_width,
};
use crate::manifest::Pooling;
use device::{Gpu, Held, Lane, by_rows, launch, short};
use product::{Done, Product};
use shape::{MapShape, attention_shape, tiles};

mod device;
mod product;
mod shape;

pub(crate) use product::Number;

/// A kernel's argument for what is not there.
const NULL: u64 = 0;

/// Our kernels on one GPU.
pub(crate) struct Cuda<T: Number = f16> {
    gpu: Arc<Gpu<T>>,
}

impl<T: Number> Clone for Cuda<T> {
    fn clone(&self) -> Self {
        Self { gpu: Arc::clone(&self.gpu) }
    }
}

impl<T: Number> fmt::Debug for Cuda<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda").field("number", &type_name::<T>()).finish_non_exhaustive()
    }
}

/// Activations: shape `(n, width)`, row-major, in a buffer that may be longer.
pub(crate) struct CudaRows<T> {
    lane: Arc<Lane>,
    buffer: Option<CudaSlice<T>>,
    n: usize,
    width: usize,
}

/// A weight and a bias.
pub(crate) struct CudaLinear<T: Number> {
    n_in: usize,
    n_out: usize,
    /// Shape `(n_out, n_in)`.
    weight: Held<T>,
    /// For cuBLAS, and for our kernel where cuBLAS cannot add it.
    bias: Option<(Held<T>, Held<f32>)>,
}

/// A norm over columns.
pub(crate) struct CudaNorm {
    centered: bool,
    width: usize,
    weight: Held<f32>,
    bias: Option<Held<f32>>,
    eps: f32,
}

/// Rows to pick from: shape `(n, width)`.
pub(crate) struct CudaTable {
    n: usize,
    width: usize,
    values: Held<f32>,
}

/// A depthwise convolution.
pub(crate) struct CudaDepthwise {
    window: Window,
    channels: usize,
    /// Shape `(kernel * kernel, channels)`.
    weight: Held<f32>,
    bias: Held<f32>,
    activation: Activation,
}

/// The number that a kernel knows an activation by.
fn code(activation: Activation) -> i32 {
    match activation {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Relu6 => 2,
        Activation::Gelu => 3,
        Activation::GeluTanh => 4,
        Activation::QuickGelu => 5,
        Activation::Silu => 6,
    }
}

impl<T: Number> CudaRows<T> {
    /// The numbers, after the first operation that wrote some.
    fn filled(&self) -> Result<&CudaSlice<T>> {
        match &self.buffer {
            Some(buffer) => Ok(buffer),
            None => bail!("rows are read before anything is written to them"),
        }
    }

    /// The numbers, to be changed in place.
    fn filled_mut(&mut self) -> Result<&mut CudaSlice<T>> {
        match &mut self.buffer {
            Some(buffer) => Ok(buffer),
            None => bail!("rows are changed before anything is written to them"),
        }
    }

    /// Takes the shape `(n, width)`; what the numbers are is left over from before.
    fn reshape(&mut self, n: usize, width: usize) -> Result<&mut CudaSlice<T>> {
        (self.n, self.width) = (n, width);
        // What was too small goes before there is something larger.
        let buffer = match self.buffer.take().filter(|buffer| n * width <= buffer.len()) {
            Some(buffer) => buffer,
            None => self.lane.allocate(n * width)?,
        };
        Ok(self.buffer.insert(buffer))
    }

    /// Refuses rows of another thread's lane: nothing orders the work of two.
    fn check_lane(&self, other: &Self) -> Result<()> {
        if !Arc::ptr_eq(&self.lane, &other.lane) {
            bail!("rows of two threads are used together, expected those of one");
        }
        Ok(())
    }
}

impl<T: Number> Cuda<T> {
    /// Opens the GPU number `ordinal`.
    ///
    /// # Errors
    /// When there is none, its driver or cuBLAS is missing, or it does not take the kernels.
    pub(crate) fn open(ordinal: usize) -> Result<Self> {
        Ok(Self { gpu: Arc::new(Gpu::open(ordinal)?) })
    }

    /// Adds a bias, if there is one, and applies an activation, in place.
    fn finish(&self, rows: &mut CudaRows<T>, bias: Option<&Held<f32>>, activation: Activation) -> Result<()> {
        if bias.is_none() && activation == Activation::Identity {
            return Ok(());
        }
        let (n, width, activation) = (short(rows.n)?, short(rows.width)?, code(activation));
        let lane = Arc::clone(&rows.lane);
        let mut args = lane.stream.launch_builder(self.gpu.kernel("add_bias")?);
        args.arg(rows.filled_mut()?);
        match bias {
            Some(bias) => args.arg(bias.slice()),
            None => args.arg(&NULL),
        };
        args.arg(&n).arg(&width).arg(&activation);
        launch(args, by_rows::<T>(n, width))
    }

    /// Picks rows of a table, or adds them to those of `out`.
    fn pick(&self, table: &CudaTable, indices: &[u32], add: bool, out: &mut CudaRows<T>) -> Result<()> {
        if let Some(index) = indices.iter().find(|index| table.n <= **index as usize) {
            bail!("there is no row {index} in a table of {}", table.n);
        }
        let lane = Arc::clone(&out.lane);
        let indices = lane.upload(indices)?;
        let (n, width, add) = (short(out.n)?, short(out.width)?, i32::from(add));
        let mut args = lane.stream.launch_builder(self.gpu.kernel("gather")?);
        args.arg(table.values.slice()).arg(&*indices).arg(out.filled_mut()?).arg(&n).arg(&width).arg(&add);
        launch(args, by_rows::<T>(n, width))
    }

    /// `out = x * weight^T`, or `+=`, and what cuBLAS adds on its way; `out` has the right shape.
    fn multiply(
        &self,
        x: &CudaRows<T>,
        linear: &CudaLinear<T>,
        activation: Activation,
        add: bool,
        out: &mut CudaRows<T>,
    ) -> Result<()> {
        check_width("input of a product", x.width, linear.n_in)?;
        x.check_lane(out)?;
        if x.n == 0 {
            return Ok(());
        }
        let lane = Arc::clone(&out.lane);
        // cuBLAS takes the context of the thread, unlike cudarc's own calls.
        lane.stream.context().bind_to_thread().map_err(failed)?;
        let product = Product {
            x: x.filled()?,
            weight: linear.weight.slice(),
            bias: linear.bias.as_ref().map(|(bias, _)| bias.slice()),
            n: x.n,
            n_in: linear.n_in,
            n_out: linear.n_out,
            add,
            activation,
        };
        let bias = linear.bias.as_ref().map(|(_, bias)| bias);
        match T::multiply(&lane, &product, out.filled_mut()?)? {
            Done::Product => self.finish(out, bias, activation),
            Done::Bias => self.finish(out, None, activation),
            Done::All => Ok(()),
        }
    }

    /// Normalizes each row of `x` to `out`.
    fn normalize_rows(&self, x: &CudaRows<T>, norm: &CudaNorm, out: &mut CudaRows<T>) -> Result<()> {
        let lane = Arc::clone(&out.lane);
        let (n, width, centered) = (short(x.n)?, short(x.width)?, i32::from(norm.centered));
        // As many kernels as there are in kernels.cu: 16 bytes for each of 32 threads, so often.
        let wide = 16 / size_of::<T>();
        let name = match x.width.div_ceil(32 * wide) {
            _ if !x.width.is_multiple_of(wide) => "normalize",
            0..=2 => "normalize_2",
            3..=4 => "normalize_4",
            5..=8 => "normalize_8",
            _ => "normalize",
        };
        let mut args = lane.stream.launch_builder(self.gpu.kernel(name)?);
        args.arg(x.filled()?).arg(out.filled_mut()?).arg(norm.weight.slice());
        match &norm.bias {
            Some(bias) => args.arg(bias.slice()),
            None => args.arg(&NULL),
        };
        args.arg(&n).arg(&width).arg(&norm.eps).arg(&centered);
        launch(args, by_warps(n))
    }
}

/// A launch of 32 threads for each of `n`, eight in a block.
fn by_warps(n: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (n.div_ceil(8), 1, 1), block_dim: (32, 8, 1), shared_mem_bytes: 0 }
}

/// The heads of `dim` columns in some columns of rows of `width`: first column and number.
fn heads_in(columns: &Range<usize>, dim: usize, width: usize) -> Result<(u32, u32)> {
    if columns.end > width || dim == 0 || !columns.len().is_multiple_of(dim) {
        bail!("columns {columns:?} of {width} are no heads of {dim}");
    }
    Ok((short(columns.start)?, short(columns.len() / dim)?))
}

/// Refuses spans that reach beyond `n` rows.
fn check_spans(spans: &[Span], n: usize) -> Result<()> {
    match spans.iter().find(|span| n < span.start + span.len) {
        Some(span) => bail!("a sample ends at row {}, expected at most {n}", span.start + span.len),
        None => Ok(()),
    }
}

impl<T: Number> Ops for Cuda<T> {
    type Rows = CudaRows<T>;
    type Linear = CudaLinear<T>;
    type Norm = CudaNorm;
    type Table = CudaTable;
    type Depthwise = CudaDepthwise;

    fn linear(&self, weight: Matrix, bias: Option<Vec<f32>>) -> Result<CudaLinear<T>> {
        let (n_in, n_out) = (weight.width, weight.n_rows());
        let numbers = |values: &[f32]| values.iter().map(|x| T::from_f32(*x)).collect::<Vec<_>>();
        let bias = match bias {
            Some(bias) => {
                check_count("numbers of a bias", bias.len(), n_out)?;
                Some((self.gpu.hold(&numbers(&bias))?, self.gpu.hold(&bias)?))
            }
            None => None,
        };
        Ok(CudaLinear { n_in, n_out, weight: self.gpu.hold(&numbers(&weight.values))?, bias })
    }

    fn norm(&self, norm: NormWeights) -> Result<CudaNorm> {
        let NormWeights { centered, weight, bias, eps } = norm;
        let bias = bias.map(|bias| self.gpu.hold(&bias)).transpose()?;
        Ok(CudaNorm { centered, width: weight.len(), weight: self.gpu.hold(&weight)?, bias, eps })
    }

    fn table(&self, rows: Matrix) -> Result<CudaTable> {
        Ok(CudaTable { n: rows.n_rows(), width: rows.width, values: self.gpu.hold(&rows.values)? })
    }

    fn n_rows(&self, table: &CudaTable) -> usize {
        table.n
    }

    fn depthwise(&self, weights: DepthwiseWeights) -> Result<CudaDepthwise> {
        let weight = self.gpu.hold(&weights.by_tap())?;
        let DepthwiseWeights { window, bias, activation, .. } = weights;
        Ok(CudaDepthwise { window, channels: bias.len(), weight, bias: self.gpu.hold(&bias)?, activation })
    }

    fn rows(&self) -> CudaRows<T> {
        CudaRows { lane: self.gpu.lane(), buffer: None, n: 0, width: 0 }
    }

    fn read(&self, x: &CudaRows<T>) -> Result<Vec<f32>> {
        let values = x.lane.read(x.filled()?, x.n * x.width)?;
        Ok(values.into_iter().map(T::to_f32).collect())
    }

    fn gather(&self, table: &CudaTable, indices: &[u32], out: &mut CudaRows<T>) -> Result<()> {
        out.reshape(indices.len(), table.width)?;
        self.pick(table, indices, false, out)
    }

    fn add_gather(&self, table: &CudaTable, indices: &[u32], sum: &mut CudaRows<T>) -> Result<()> {
        check_width("table", table.width, sum.width)?;
        check_count("row numbers", indices.len(), sum.n)?;
        self.pick(table, indices, true, sum)
    }

    fn prepend(&self, prefix: &CudaTable, x: &CudaRows<T>, n: usize, out: &mut CudaRows<T>) -> Result<()> {
        check_width("prefix", prefix.width, x.width)?;
        x.check_lane(out)?;
        if n == 0 || !x.n.is_multiple_of(n) {
            bail!("{} rows are not {n} samples of equal length", x.n);
        }
        let (n_prefix, len) = (short(prefix.n)?, short(x.n / n)?);
        out.reshape(n * prefix.n + x.n, x.width)?;
        let (n, width) = (short(out.n)?, short(out.width)?);
        let mut args = x.lane.stream.launch_builder(self.gpu.kernel("prepend")?);
        args.arg(prefix.values.slice()).arg(x.filled()?).arg(out.filled_mut()?);
        args.arg(&n).arg(&width).arg(&n_prefix).arg(&len);
        launch(args, by_rows::<T>(n, width))
    }

    fn product(
        &self,
        x: &CudaRows<T>,
        linear: &CudaLinear<T>,
        activation: Activation,
        out: &mut CudaRows<T>,
    ) -> Result<()> {
        out.reshape(x.n, linear.n_out)?;
        self.multiply(x, linear, activation, false, out)
    }

    fn add_product(&self, x: &CudaRows<T>, linear: &CudaLinear<T>, sum: &mut CudaRows<T>) -> Result<()> {
        check_width("sum with a product", sum.width, linear.n_out)?;
        check_count("rows of a sum with a product", sum.n, x.n)?;
        self.multiply(x, linear, Activation::Identity, true, sum)
    }

    fn normalize(&self, x: &CudaRows<T>, norm: &CudaNorm, out: &mut CudaRows<T>) -> Result<()> {
        check_width("input of a norm", x.width, norm.width)?;
        x.check_lane(out)?;
        out.reshape(x.n, x.width)?;
        self.normalize_rows(x, norm, out)
    }

    fn normalize_heads(&self, x: &mut CudaRows<T>, columns: Range<usize>, norm: &CudaNorm) -> Result<()> {
        let (first, n_heads) = heads_in(&columns, norm.width, x.width)?;
        let (n, width, dim) = (short(x.n * columns.len() / norm.width)?, short(x.width)?, short(norm.width)?);
        let centered = i32::from(norm.centered);
        let lane = Arc::clone(&x.lane);
        let mut args = lane.stream.launch_builder(self.gpu.kernel("normalize_heads")?);
        args.arg(x.filled_mut()?).arg(norm.weight.slice());
        match &norm.bias {
            Some(bias) => args.arg(bias.slice()),
            None => args.arg(&NULL),
        };
        args.arg(&n).arg(&width).arg(&first).arg(&n_heads).arg(&dim).arg(&norm.eps).arg(&centered);
        launch(args, by_warps(n))
    }

    fn rotate(&self, x: &mut CudaRows<T>, columns: Range<usize>, angles: &CudaTable, positions: &[u32]) -> Result<()> {
        let (first, n_heads) = heads_in(&columns, angles.width, x.width)?;
        check_count("positions", positions.len(), x.n)?;
        if let Some(position) = positions.iter().find(|position| angles.n <= **position as usize) {
            bail!("there are no angles of position {position}, only of {}", angles.n);
        }
        let (n, width, dim) = (short(x.n)?, short(x.width)?, short(angles.width)?);
        let lane = Arc::clone(&x.lane);
        let positions = lane.upload(positions)?;
        let mut args = lane.stream.launch_builder(self.gpu.kernel("rotate")?);
        args.arg(x.filled_mut()?).arg(angles.values.slice()).arg(&*positions);
        args.arg(&n).arg(&width).arg(&first).arg(&n_heads).arg(&dim);
        launch(args, by_rows::<T>(n, n_heads * (dim / 2)))
    }

    fn gate(&self, x: &CudaRows<T>, activation: Activation, out: &mut CudaRows<T>) -> Result<()> {
        x.check_lane(out)?;
        out.reshape(x.n, x.width / 2)?;
        let (n, width, activation) = (short(x.n)?, short(out.width)?, code(activation));
        let mut args = x.lane.stream.launch_builder(self.gpu.kernel("gate")?);
        args.arg(x.filled()?).arg(out.filled_mut()?).arg(&n).arg(&width).arg(&activation);
        launch(args, by_rows::<T>(n, width))
    }

    fn attend(
        &self,
        heads: &Heads<'_, CudaRows<T>>,
        attention: &Attention<CudaTable>,
        out: &mut CudaRows<T>,
    ) -> Result<()> {
        let [query, key, value] = [&heads.query, &heads.key, &heads.value].map(|part| part.rows);
        for (part, spans) in [(query, heads.query_spans), (key, heads.key_spans), (value, heads.key_spans)] {
            part.check_lane(out)?;
            check_spans(spans, part.n)?;
        }
        check_count("samples of keys", heads.key_spans.len(), heads.query_spans.len())?;
        let n = heads.query_spans.iter().map(|span| span.len).sum();
        out.reshape(n, attention.query_width())?;
        let shape = attention_shape(heads, attention)?;
        let Some(kernel) = T::attention(attention.head_dim) else {
            bail!("heads have {} numbers, expected at most 128", attention.head_dim);
        };
        let tiles = tiles(heads, T::QUERIES)?;
        let n_blocks = short(tiles.len() * attention.n_heads)?;
        let lane = Arc::clone(&out.lane);
        let tiles = lane.upload(tiles.as_flattened())?;
        let mut args = lane.stream.launch_builder(self.gpu.kernel(kernel)?);
        args.arg(query.filled()?).arg(key.filled()?).arg(value.filled()?);
        match &attention.bias {
            Some(bias) => args.arg(bias.values.slice()),
            None => args.arg(&NULL),
        };
        args.arg(&*tiles).arg(out.filled_mut()?).arg(&shape);
        launch(args, LaunchConfig { grid_dim: (n_blocks, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 })
    }

    fn pool(&self, x: &CudaRows<T>, spans: &[Span], pooling: Pooling, out: &mut CudaRows<T>) -> Result<()> {
        x.check_lane(out)?;
        check_spans(spans, x.n)?;
        if spans.iter().any(|span| span.len == 0) {
            bail!("a sample has no rows, expected one at least");
        }
        out.reshape(spans.len(), x.width)?;
        let numbers = spans.iter().map(|span| Ok([short(span.start)?, short(span.len)?]));
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        let spans = x.lane.upload(numbers.as_flattened())?;
        let (n, width) = (short(out.n)?, short(x.width)?);
        let pooling: i32 = match pooling {
            Pooling::Mean => 0,
            Pooling::Cls => 1,
            Pooling::Last => 2,
            Pooling::Max => 3,
        };
        let mut args = x.lane.stream.launch_builder(self.gpu.kernel("pool")?);
        args.arg(x.filled()?).arg(&*spans).arg(out.filled_mut()?).arg(&width).arg(&pooling);
        let grid_dim = (n, width.div_ceil(32), 1);
        launch(args, LaunchConfig { grid_dim, block_dim: (32, 8, 1), shared_mem_bytes: 0 })
    }

    fn unfold(&self, images: &Images<'_>, window: Window, levels: &Levels, out: &mut CudaRows<T>) -> Result<()> {
        let n = images.pictures.len() * window.out(images.size).area();
        out.reshape(n, window.kernel * window.kernel * 3)?;
        let (n, width, map) = (short(n)?, short(out.width)?, MapShape::new(images.size, window)?);
        let lane = Arc::clone(&out.lane);
        let bits: Vec<u32> = levels.as_flattened().iter().map(|level| level.to_bits()).collect();
        let levels = lane.upload(&bits)?;
        let parts: Vec<&[u8]> = images.pictures.iter().map(|picture| &*picture.rgb).collect();
        if let Some(part) = parts.iter().find(|part| part.len() != images.size.area() * 3) {
            bail!("a picture has {} bytes, expected {}", part.len(), images.size.area() * 3);
        }
        let pictures = lane.upload_bytes(&parts)?;
        let mut args = lane.stream.launch_builder(self.gpu.kernel("unfold")?);
        args.arg(&pictures).arg(&*levels).arg(out.filled_mut()?).arg(&n).arg(&map);
        launch(args, by_rows::<T>(n, width))
    }

    fn convolve(&self, x: &CudaRows<T>, size: Size, depthwise: &CudaDepthwise, out: &mut CudaRows<T>) -> Result<()> {
        check_width("input of a depthwise convolution", x.width, depthwise.channels)?;
        x.check_lane(out)?;
        let n_maps = x.n / size.area();
        out.reshape(n_maps * depthwise.window.out(size).area(), x.width)?;
        let (n, channels, map) = (short(out.n)?, short(x.width)?, MapShape::new(size, depthwise.window)?);
        let activation = code(depthwise.activation);
        let mut args = x.lane.stream.launch_builder(self.gpu.kernel("convolve")?);
        args.arg(x.filled()?).arg(depthwise.weight.slice()).arg(depthwise.bias.slice()).arg(out.filled_mut()?);
        args.arg(&n).arg(&channels).arg(&map).arg(&activation);
        launch(args, by_rows::<T>(n, channels))
    }

    fn invert(&self, x: &CudaRows<T>, size: Size, block: &InvertedResidual<Self>, out: &mut CudaRows<T>) -> Result<()> {
        x.check_lane(out)?;
        let (mut wide, mut convolved) = (self.rows(), self.rows());
        (wide.lane, convolved.lane) = (Arc::clone(&x.lane), Arc::clone(&x.lane));
        let input = match &block.expand {
            Some(expand) => {
                self.product(x, expand, block.activation, &mut wide)?;
                &wide
            }
            None => x,
        };
        self.convolve(input, size, &block.depthwise, &mut convolved)?;
        if !block.residual {
            return self.product(&convolved, &block.project, Activation::Identity, out);
        }
        let copy = out.reshape(x.n, x.width)?;
        x.lane.copy(x.filled()?, x.n * x.width, copy)?;
        self.add_product(&convolved, &block.project, out)
    }
}

/// Any error of cudarc as one of candle.
fn failed(error: impl fmt::Display + Send + Sync + 'static) -> Error {
    Error::wrap(error)
}
