//! The operations in candle's own tensors, on every device that candle has.
//!
//! Nothing here is written for one device, so this backend is what the others are compared with, and the way to Metal.
//! Rows may be kept in half precision. Then the products of [`Ops::product`] read and write it, and all else is
//! computed in single precision and rounded once, at the end of the operation: biases, activations, norms, attention,
//! rotations, convolutions and pooling. No constant in here is too large for it. A result beyond 65504 does not fit
//! into F16 and becomes infinite; BF16 has the range of single precision.
//!
//! Samples of equal length are taken together, because a device waits longer for the start of an operation than for one
//! sample's share of it.

use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::{
    Activation, Attention, Columns, DepthwiseWeights, Heads, Images, InvertedResidual, Levels, Matrix, NormWeights,
    Ops, Reach, Size, Span, Window,
};
use crate::manifest::Pooling;

/// Added to the score of a key that is not seen. In single precision it leaves no sum infinite and no weight above 0.
const UNSEEN: f32 = -1e30;

/// Most scores that exist at once, 256 MiB of single precision: samples beyond that are attended to by themselves.
const MOST_SCORES: usize = 1 << 26;

/// candle's tensors on one device.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    device: Device,
    /// Of rows and of weights.
    dtype: DType,
}

/// Activations: shape `(n, width)`, contiguous; `None` until they are written.
#[derive(Clone, Debug)]
pub(crate) struct PlainRows(Option<Tensor>);

/// A weight and a bias.
#[derive(Debug)]
pub(crate) struct PlainLinear {
    /// Shape `(n_in, n_out)`.
    weight: Tensor,
    /// In single precision, like everything but products.
    bias: Option<Tensor>,
}

/// A norm over columns, in single precision.
#[derive(Debug)]
pub(crate) struct PlainNorm {
    centered: bool,
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f32,
}

/// A depthwise convolution, in single precision.
#[derive(Debug)]
pub(crate) struct PlainDepthwise {
    window: Window,
    /// The channels' weights at each place of the kernel, row by row.
    taps: Vec<Tensor>,
    bias: Tensor,
    activation: Activation,
}

impl Plain {
    /// Single precision on `device`.
    #[cfg(test)]
    pub(crate) fn new(device: Device) -> Self {
        Self::with_dtype(device, DType::F32)
    }

    /// Rows and weights of `dtype` on `device`: F32, F16 or BF16.
    pub(crate) fn with_dtype(device: Device, dtype: DType) -> Self {
        Self { device, dtype }
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Number type of rows and weights.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Uploads numbers in single precision.
    fn upload(&self, values: Vec<f32>, shape: (usize, usize)) -> Result<Tensor> {
        Tensor::from_vec(values, shape, &self.device)
    }

    /// Uploads row numbers.
    fn indices(&self, indices: &[u32]) -> Result<Tensor> {
        Tensor::from_slice(indices, indices.len(), &self.device)
    }

    /// The result of an operation, rounded.
    fn store(&self, x: &Tensor, out: &mut PlainRows) -> Result<()> {
        out.0 = Some(x.to_dtype(self.dtype)?.contiguous()?);
        Ok(())
    }

    /// `x * weight^T + bias` in single precision, rounded once before the bias.
    fn multiply(&self, x: &PlainRows, linear: &PlainLinear) -> Result<Tensor> {
        let x = x.tensor()?;
        // candle multiplies no BF16 on the CPU.
        let product = if self.dtype == DType::BF16 && self.device.is_cpu() {
            x.to_dtype(DType::F32)?.matmul(&linear.weight.to_dtype(DType::F32)?)?
        } else {
            x.matmul(&linear.weight)?.to_dtype(DType::F32)?
        };
        match &linear.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// The rows of some spans one after the other, in single precision; the spans are of equal length.
    fn take(&self, rows: &PlainRows, columns: Range<usize>, spans: &[Span]) -> Result<Tensor> {
        let rows = rows.tensor()?.narrow(1, columns.start, columns.len())?;
        let (first, n) = (spans[0].start, spans.iter().map(|span| span.len).sum());
        let adjoining = spans.windows(2).all(|pair| pair[0].rows().end == pair[1].start);
        let rows = if adjoining {
            rows.narrow(0, first, n)?
        } else {
            let indices: Vec<u32> = spans.iter().flat_map(|span| span.rows()).map(index).collect();
            rows.contiguous()?.index_select(&self.indices(&indices)?, 0)?
        };
        rows.to_dtype(DType::F32)?.contiguous()
    }

    /// The heads of some samples: shape `(samples, heads, len, head_dim)`, single precision.
    fn heads(&self, columns: &Columns<'_, PlainRows>, spans: &[Span], (heads, dim): (usize, usize)) -> Result<Tensor> {
        let rows = self.take(columns.rows, columns.first..columns.first + heads * dim, spans)?;
        rows.reshape((spans.len(), spans[0].len, heads, dim))?.transpose(1, 2)?.contiguous()
    }

    /// What is added to the scores of samples of `n_queries` and `n_keys` rows: a shape that broadcasts to
    /// `(samples, heads, n_queries, n_keys)`; `None` where that is nothing.
    fn offsets(&self, attention: &Attention<Tensor>, n_queries: usize, n_keys: usize) -> Result<Option<Tensor>> {
        let mask = if attention.reach == Reach::All {
            None
        } else {
            let mut mask = vec![UNSEEN; n_queries * n_keys];
            for (place, row) in mask.chunks_exact_mut(n_keys).enumerate() {
                row[attention.reach.keys(place, n_keys)].fill(0.0);
            }
            Some(self.upload(mask, (n_queries, n_keys))?.reshape((1, 1, n_queries, n_keys))?)
        };
        let Some(bias) = &attention.bias else {
            return Ok(mask);
        };
        let middle = bias.dim(0)? / 2;
        let rows: Vec<u32> =
            (0..n_queries).flat_map(|query| (0..n_keys).map(move |key| index(middle + key - query))).collect();
        let bias = bias.index_select(&self.indices(&rows)?, 0)?; // (n_queries * n_keys, heads)
        let bias = bias.t()?.reshape((1, attention.n_heads, n_queries, n_keys))?;
        Ok(Some(match mask {
            Some(mask) => bias.broadcast_add(&mask)?,
            None => bias,
        }))
    }

    /// Contexts of samples of equal length: shape `(samples * queries, n_heads * head_dim)`, single precision.
    fn attend_equal(
        &self,
        heads: &Heads<'_, PlainRows>,
        (query_spans, key_spans): (&[Span], &[Span]),
        attention: &Attention<Tensor>,
        offsets: Option<&Tensor>,
    ) -> Result<Tensor> {
        let dim = attention.head_dim;
        let query = self.heads(&heads.query, query_spans, (attention.n_heads, dim))?;
        let key = self.heads(&heads.key, key_spans, (attention.n_key_heads, dim))?;
        let value = self.heads(&heads.value, key_spans, (attention.n_key_heads, dim))?;
        let shared = attention.n_heads / attention.n_key_heads;
        let key = repeat_heads(&key, shared)?.t()?;
        let value = repeat_heads(&value, shared)?;
        let scores = (query.matmul(&key)? * f64::from(attention.scale))?; // (samples, heads, queries, keys)
        let scores = match offsets {
            Some(offsets) => scores.broadcast_add(offsets)?,
            None => scores,
        };
        let context = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&value)?; // (samples, heads, queries, dim)
        let n = query_spans.len() * query_spans[0].len;
        context.transpose(1, 2)?.contiguous()?.reshape((n, attention.query_width()))
    }

    /// Joins the rows of groups of samples in the order of the samples: `order` holds the samples as they stand in
    /// `parts`, `lens` their numbers of rows.
    fn join(&self, parts: &[Tensor], order: &[usize], lens: &[usize]) -> Result<Tensor> {
        let joined = Tensor::cat(parts, 0)?;
        if order.is_sorted() {
            return Ok(joined);
        }
        let mut starts = vec![0; order.len()];
        let mut next = 0;
        for sample in order {
            starts[*sample] = next;
            next += lens[*sample];
        }
        let rows = starts.iter().zip(lens).flat_map(|(start, len)| *start..start + len);
        joined.index_select(&self.indices(&rows.map(index).collect::<Vec<_>>())?, 0)
    }

    /// Pixels `first`, `first + stride` and so on of `x` along `dim`, `n` of them.
    fn every(&self, x: &Tensor, dim: usize, (first, stride, n): (usize, usize, usize)) -> Result<Tensor> {
        if stride == 1 {
            return x.narrow(dim, first, n);
        }
        let pixels: Vec<u32> = (0..n).map(|i| index(first + i * stride)).collect();
        x.contiguous()?.index_select(&self.indices(&pixels)?, dim)
    }
}

impl PlainRows {
    /// The numbers, after the first operation that wrote some.
    fn tensor(&self) -> Result<&Tensor> {
        match &self.0 {
            Some(tensor) => Ok(tensor),
            None => bail!("rows are read before anything is written to them"),
        }
    }

    /// The numbers in single precision.
    fn wide(&self) -> Result<Tensor> {
        self.tensor()?.to_dtype(DType::F32)
    }
}

impl PlainNorm {
    /// Normalizes along the last dimension.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.centered { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
        let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
        let deviation = (variance + f64::from(self.eps))?.sqrt()?;
        let x = x.broadcast_div(&deviation)?.broadcast_mul(&self.weight)?;
        match &self.bias {
            Some(bias) => x.broadcast_add(bias),
            None => Ok(x),
        }
    }
}

/// A row number as candle wants it.
fn index(row: usize) -> u32 {
    u32::try_from(row).expect("because a batch has far fewer than 2^32 rows")
}

/// Applies an activation in single precision.
fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0_f32, 6_f32),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
        Activation::Silu => x.silu(),
    }
}

/// Puts `part` in the place of the columns from `first` on.
fn replace(x: &Tensor, first: usize, part: &Tensor) -> Result<Tensor> {
    let (width, end) = (x.dim(1)?, first + part.dim(1)?);
    Tensor::cat(&[&x.narrow(1, 0, first)?, part, &x.narrow(1, end, width - end)?], 1)
}

/// Repeats each head of shape `(samples, heads, len, dim)` so many times, one after the other.
fn repeat_heads(x: &Tensor, times: usize) -> Result<Tensor> {
    if times == 1 {
        return Ok(x.clone());
    }
    let (samples, heads, len, dim) = x.dims4()?;
    x.unsqueeze(2)?.broadcast_as((samples, heads, times, len, dim))?.reshape((samples, heads * times, len, dim))
}

/// The numbers of the samples, those with the same key one after the other, in groups of at most `most(key)` samples.
fn groups<K: Ord + Copy>(keys: &[K], most: impl Fn(K) -> usize) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|sample| keys[*sample]);
    let mut groups = Vec::new();
    let mut first = 0;
    while first < order.len() {
        let key = keys[order[first]];
        let most = most(key).max(1);
        let n = order[first..].iter().take(most).take_while(|sample| keys[**sample] == key).count();
        groups.push(first..first + n);
        first += n;
    }
    (order, groups)
}

impl Ops for Plain {
    type Rows = PlainRows;
    type Linear = PlainLinear;
    type Norm = PlainNorm;
    /// Single precision: angles need it, and only the rows that are read are copied.
    type Table = Tensor;
    type Depthwise = PlainDepthwise;

    fn linear(&self, weight: Matrix, bias: Option<Vec<f32>>) -> Result<PlainLinear> {
        let shape = (weight.n_rows(), weight.width);
        let bias = bias.map(|bias| Tensor::from_vec(bias, shape.0, &self.device)).transpose()?;
        Ok(PlainLinear { weight: self.upload(weight.values, shape)?.to_dtype(self.dtype)?.t()?, bias })
    }

    fn norm(&self, NormWeights { centered, weight, bias, eps }: NormWeights) -> Result<PlainNorm> {
        let width = weight.len();
        let upload = |values| Tensor::from_vec(values, width, &self.device);
        Ok(PlainNorm { centered, weight: upload(weight)?, bias: bias.map(upload).transpose()?, eps })
    }

    fn table(&self, rows: Matrix) -> Result<Tensor> {
        let shape = (rows.n_rows(), rows.width);
        self.upload(rows.values, shape)
    }

    fn n_rows(&self, table: &Tensor) -> usize {
        table.dims()[0]
    }

    fn depthwise(&self, weights: DepthwiseWeights) -> Result<PlainDepthwise> {
        let DepthwiseWeights { window, weight, bias, activation } = weights;
        let (channels, area) = (bias.len(), window.kernel * window.kernel);
        let weight = self.upload(weight, (channels, area))?.t()?.contiguous()?;
        Ok(PlainDepthwise {
            window,
            taps: (0..area).map(|tap| weight.get(tap)).collect::<Result<_>>()?,
            bias: Tensor::from_vec(bias, channels, &self.device)?,
            activation,
        })
    }

    fn rows(&self) -> PlainRows {
        PlainRows(None)
    }

    fn read(&self, x: &PlainRows) -> Result<Vec<f32>> {
        x.wide()?.flatten_all()?.to_vec1()
    }

    fn gather(&self, table: &Tensor, indices: &[u32], out: &mut PlainRows) -> Result<()> {
        self.store(&table.index_select(&self.indices(indices)?, 0)?, out)
    }

    fn add_gather(&self, table: &Tensor, indices: &[u32], sum: &mut PlainRows) -> Result<()> {
        let rows = table.index_select(&self.indices(indices)?, 0)?;
        self.store(&(sum.wide()? + rows)?, sum)
    }

    fn prepend(&self, prefix: &Tensor, x: &PlainRows, n: usize, out: &mut PlainRows) -> Result<()> {
        let x = x.tensor()?;
        let (n_rows, width) = x.dims2()?;
        let (len, before) = (n_rows / n, prefix.dim(0)?);
        let x = x.reshape((n, len, width))?;
        let prefix = prefix.to_dtype(self.dtype)?.broadcast_as((n, before, width))?.contiguous()?;
        let joined = Tensor::cat(&[&prefix, &x], 1)?;
        self.store(&joined.reshape((n * (before + len), width))?, out)
    }

    fn product(&self, x: &PlainRows, linear: &PlainLinear, activation: Activation, out: &mut PlainRows) -> Result<()> {
        self.store(&activate(&self.multiply(x, linear)?, activation)?, out)
    }

    fn add_product(&self, x: &PlainRows, linear: &PlainLinear, sum: &mut PlainRows) -> Result<()> {
        self.store(&(sum.wide()? + self.multiply(x, linear)?)?, sum)
    }

    fn normalize(&self, x: &PlainRows, norm: &PlainNorm, out: &mut PlainRows) -> Result<()> {
        self.store(&norm.apply(&x.wide()?)?, out)
    }

    fn normalize_heads(&self, x: &mut PlainRows, columns: Range<usize>, norm: &PlainNorm) -> Result<()> {
        let wide = x.wide()?;
        let n = wide.dim(0)?;
        let width = norm.weight.dim(0)?;
        let heads = wide.narrow(1, columns.start, columns.len())?.reshape((n, columns.len() / width, width))?;
        let heads = norm.apply(&heads)?.reshape((n, columns.len()))?;
        self.store(&replace(&wide, columns.start, &heads)?, x)
    }

    fn rotate(&self, x: &mut PlainRows, columns: Range<usize>, angles: &Tensor, positions: &[u32]) -> Result<()> {
        let wide = x.wide()?;
        let n = wide.dim(0)?;
        let dim = angles.dim(1)?;
        let half = dim / 2;
        let angles = angles.index_select(&self.indices(positions)?, 0)?.unsqueeze(1)?; // (n, 1, dim)
        let (cos, sin) = (angles.narrow(2, 0, half)?, angles.narrow(2, half, half)?);
        let heads = wide.narrow(1, columns.start, columns.len())?.reshape((n, columns.len() / dim, dim))?;
        let (first, second) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let rotated = [
            (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
            (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
        ];
        let heads = Tensor::cat(&rotated, 2)?.reshape((n, columns.len()))?;
        self.store(&replace(&wide, columns.start, &heads)?, x)
    }

    fn gate(&self, x: &PlainRows, activation: Activation, out: &mut PlainRows) -> Result<()> {
        let x = x.wide()?;
        let half = x.dim(1)? / 2;
        let left = activate(&x.narrow(1, 0, half)?.contiguous()?, activation)?;
        self.store(&(left * x.narrow(1, half, half)?)?, out)
    }

    fn attend(&self, heads: &Heads<'_, PlainRows>, attention: &Attention<Tensor>, out: &mut PlainRows) -> Result<()> {
        let lens: Vec<_> = heads.query_spans.iter().zip(heads.key_spans).map(|(q, k)| (q.len, k.len)).collect();
        let (order, groups) = groups(&lens, |(queries, keys)| MOST_SCORES / (attention.n_heads * queries * keys));
        let mut parts = Vec::with_capacity(groups.len());
        let mut offsets = ((0, 0), None);
        for group in groups {
            let samples = &order[group];
            let key = lens[samples[0]];
            if offsets.0 != key {
                offsets = (key, self.offsets(attention, key.0, key.1)?);
            }
            let query_spans: Vec<_> = samples.iter().map(|sample| heads.query_spans[*sample]).collect();
            let key_spans: Vec<_> = samples.iter().map(|sample| heads.key_spans[*sample]).collect();
            parts.push(self.attend_equal(heads, (&query_spans, &key_spans), attention, offsets.1.as_ref())?);
        }
        let lens: Vec<_> = lens.iter().map(|(queries, _)| *queries).collect();
        self.store(&self.join(&parts, &order, &lens)?, out)
    }

    fn pool(&self, x: &PlainRows, spans: &[Span], pooling: Pooling, out: &mut PlainRows) -> Result<()> {
        let place = |of: fn(&Span) -> usize| spans.iter().map(of).map(index).collect::<Vec<_>>();
        let picked = match pooling {
            Pooling::Cls => Some(place(|span| span.start)),
            Pooling::Last => Some(place(|span| span.start + span.len - 1)),
            Pooling::Mean | Pooling::Max => None,
        };
        if let Some(picked) = picked {
            return self.store(&x.tensor()?.index_select(&self.indices(&picked)?, 0)?, out);
        }
        let width = x.tensor()?.dim(1)?;
        let lens: Vec<_> = spans.iter().map(|span| span.len).collect();
        let (order, groups) = groups(&lens, |_| usize::MAX);
        let mut parts = Vec::with_capacity(groups.len());
        for group in groups {
            let spans: Vec<_> = order[group].iter().map(|sample| spans[*sample]).collect();
            let rows = self.take(x, 0..width, &spans)?.reshape((spans.len(), spans[0].len, width))?;
            parts.push(if pooling == Pooling::Mean { rows.mean(1)? } else { rows.max(1)? });
        }
        self.store(&self.join(&parts, &order, &vec![1; spans.len()])?, out)
    }

    fn unfold(&self, images: &Images<'_>, window: Window, levels: &Levels, out: &mut PlainRows) -> Result<()> {
        let (size, out_size, side) = (images.size, window.out(images.size), window.kernel);
        let (above, left) = (window.before(size.height), window.before(size.width));
        let shape = (images.pictures.len() * out_size.area(), side * side * 3);
        let mut values = Vec::with_capacity(shape.0 * shape.1);
        for picture in images.pictures {
            for place in 0..out_size.area() {
                let (top, start) = (place / out_size.width * window.stride, place % out_size.width * window.stride);
                for tap in 0..side * side {
                    let (y, x) = ((top + tap / side).wrapping_sub(above), (start + tap % side).wrapping_sub(left));
                    if y < size.height && x < size.width {
                        let pixel = &picture.rgb[(y * size.width + x) * 3..][..3];
                        values.extend(pixel.iter().zip(levels).map(|(color, levels)| levels[usize::from(*color)]));
                    } else {
                        values.extend([0.0; 3]);
                    }
                }
            }
        }
        self.store(&self.upload(values, shape)?, out)
    }

    fn convolve(&self, x: &PlainRows, size: Size, depthwise: &PlainDepthwise, out: &mut PlainRows) -> Result<()> {
        let x = x.wide()?;
        let (n, channels) = (x.dim(0)? / size.area(), x.dim(1)?);
        let Window { kernel, stride, .. } = depthwise.window;
        let out_size = depthwise.window.out(size);
        let pad = |x: &Tensor, dim, n: usize, n_out: usize| {
            let before = depthwise.window.before(n);
            x.pad_with_zeros(dim, before, ((n_out - 1) * stride + kernel).saturating_sub(before + n))
        };
        let x = x.reshape((n, size.height, size.width, channels))?;
        let x = pad(&pad(&x, 1, size.height, out_size.height)?, 2, size.width, out_size.width)?;
        let mut sum = depthwise.bias.broadcast_as((n, out_size.height, out_size.width, channels))?;
        for (row, taps) in depthwise.taps.chunks_exact(kernel).enumerate() {
            let x = self.every(&x, 1, (row, stride, out_size.height))?;
            for (column, tap) in taps.iter().enumerate() {
                let x = self.every(&x, 2, (column, stride, out_size.width))?;
                sum = (sum + x.broadcast_mul(tap)?)?;
            }
        }
        let sum = sum.reshape((n * out_size.area(), channels))?;
        self.store(&activate(&sum, depthwise.activation)?, out)
    }

    fn invert(&self, x: &PlainRows, size: Size, block: &InvertedResidual<Self>, out: &mut PlainRows) -> Result<()> {
        let (mut wide, mut convolved) = (self.rows(), self.rows());
        match &block.expand {
            Some(expand) => self.product(x, expand, block.activation, &mut wide)?,
            None => wide = x.clone(),
        }
        self.convolve(&wide, size, &block.depthwise, &mut convolved)?;
        if block.residual {
            out.0.clone_from(&x.0);
            return self.add_product(&convolved, &block.project, out);
        }
        self.product(&convolved, &block.project, Activation::Identity, out)
    }
}
