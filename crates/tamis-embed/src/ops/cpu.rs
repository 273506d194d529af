//! The operations on one thread of the CPU.
//!
//! `pulp` picks the widest instructions of the machine at run time: AVX-512, AVX2 with multiply-add, NEON, or plain
//! numbers. Threads take whole batches, so nothing here waits for another thread. A row is bit-identical whatever stands
//! beside it, because every number is summed in an order of its own.

use std::ops::Range;

use candle_core::{Result, bail};

use super::{
    Activation, Attention, DepthwiseWeights, Heads, Images, InvertedResidual, Levels, Matrix, NormWeights, Ops, Size,
    Span, Window, check_count, check_width,
};
use crate::manifest::Pooling;

mod attention;
mod convolution;
mod math;
mod product;
mod rows;

pub(crate) use convolution::Depthwise;
pub(crate) use product::Linear;

use product::Into;

/// Our kernels on the CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu;

/// Activations and tables: shape `(n, width)`, row-major.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuRows {
    pub(super) width: usize,
    pub(super) values: Vec<f32>,
}

impl CpuRows {
    /// Number of rows.
    pub(super) fn n(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The row `index`.
    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// Takes the shape `(n, width)`; what the numbers are is left over from before.
    fn reshape(&mut self, n: usize, width: usize) -> &mut [f32] {
        self.width = width;
        self.values.resize(n * width, 0.0);
        &mut self.values
    }
}

impl Ops for Cpu {
    type Rows = CpuRows;
    type Linear = Linear;
    type Norm = NormWeights;
    type Table = CpuRows;
    type Depthwise = Depthwise;

    fn linear(&self, weight: Matrix, bias: Option<Vec<f32>>) -> Result<Linear> {
        Ok(Linear::new(&weight, bias))
    }

    fn norm(&self, norm: NormWeights) -> Result<NormWeights> {
        Ok(norm)
    }

    fn table(&self, Matrix { width, values }: Matrix) -> Result<CpuRows> {
        Ok(CpuRows { width, values })
    }

    fn n_rows(&self, table: &CpuRows) -> usize {
        table.n()
    }

    fn depthwise(&self, weights: DepthwiseWeights) -> Result<Depthwise> {
        Ok(Depthwise::new(&weights))
    }

    fn rows(&self) -> CpuRows {
        CpuRows::default()
    }

    fn read(&self, x: &CpuRows) -> Result<Vec<f32>> {
        Ok(x.values.clone())
    }

    fn gather(&self, table: &CpuRows, indices: &[u32], out: &mut CpuRows) -> Result<()> {
        let rows = out.reshape(indices.len(), table.width).chunks_exact_mut(table.width);
        rows.zip(indices).for_each(|(row, index)| row.copy_from_slice(table.row(*index as usize)));
        Ok(())
    }

    fn add_gather(&self, table: &CpuRows, indices: &[u32], sum: &mut CpuRows) -> Result<()> {
        check_width("table", table.width, sum.width)?;
        check_count("row numbers", indices.len(), sum.n())?;
        for (row, index) in sum.values.chunks_exact_mut(table.width).zip(indices) {
            row.iter_mut().zip(table.row(*index as usize)).for_each(|(x, y)| *x += *y);
        }
        Ok(())
    }

    fn prepend(&self, prefix: &CpuRows, x: &CpuRows, n: usize, out: &mut CpuRows) -> Result<()> {
        check_width("prefix", prefix.width, x.width)?;
        if n == 0 || !x.n().is_multiple_of(n) {
            bail!("{} rows are not {n} samples of equal length", x.n());
        }
        out.width = x.width;
        out.values.clear();
        out.values.reserve(n * prefix.values.len() + x.values.len());
        for sample in x.values.chunks_exact(x.values.len() / n) {
            out.values.extend_from_slice(&prefix.values);
            out.values.extend_from_slice(sample);
        }
        Ok(())
    }

    fn product(&self, x: &CpuRows, linear: &Linear, activation: Activation, out: &mut CpuRows) -> Result<()> {
        check_width("input of a product", x.width, linear.n_in)?;
        linear.apply(&x.values, activation, Into::Place, out.reshape(x.n(), linear.n_out));
        Ok(())
    }

    fn add_product(&self, x: &CpuRows, linear: &Linear, sum: &mut CpuRows) -> Result<()> {
        check_width("input of a product", x.width, linear.n_in)?;
        check_width("sum with a product", sum.width, linear.n_out)?;
        check_count("rows of a sum with a product", sum.n(), x.n())?;
        linear.apply(&x.values, Activation::Identity, Into::Sum, &mut sum.values);
        Ok(())
    }

    fn normalize(&self, x: &CpuRows, norm: &NormWeights, out: &mut CpuRows) -> Result<()> {
        check_width("input of a norm", x.width, norm.weight.len())?;
        rows::normalize(norm, &x.values, out.reshape(x.n(), x.width));
        Ok(())
    }

    fn normalize_heads(&self, x: &mut CpuRows, columns: Range<usize>, norm: &NormWeights) -> Result<()> {
        rows::normalize_heads(x, &columns, norm);
        Ok(())
    }

    fn rotate(&self, x: &mut CpuRows, columns: Range<usize>, angles: &CpuRows, positions: &[u32]) -> Result<()> {
        check_count("positions", positions.len(), x.n())?;
        rows::rotate(x, &columns, angles, positions);
        Ok(())
    }

    fn gate(&self, x: &CpuRows, activation: Activation, out: &mut CpuRows) -> Result<()> {
        rows::gate(x, activation, out.reshape(x.n(), x.width / 2));
        Ok(())
    }

    fn attend(&self, heads: &Heads<'_, CpuRows>, attention: &Attention<CpuRows>, out: &mut CpuRows) -> Result<()> {
        let n: usize = heads.query_spans.iter().map(|span| span.len).sum();
        attention::attend(heads, attention, out.reshape(n, attention.query_width()));
        Ok(())
    }

    fn pool(&self, x: &CpuRows, spans: &[Span], pooling: Pooling, out: &mut CpuRows) -> Result<()> {
        rows::pool(x, spans, pooling, out.reshape(spans.len(), x.width));
        Ok(())
    }

    fn unfold(&self, images: &Images<'_>, window: Window, levels: &Levels, out: &mut CpuRows) -> Result<()> {
        let n = images.pictures.len() * window.out(images.size).area();
        convolution::unfold(images, window, levels, out.reshape(n, window.kernel * window.kernel * 3));
        Ok(())
    }

    fn convolve(&self, x: &CpuRows, size: Size, depthwise: &Depthwise, out: &mut CpuRows) -> Result<()> {
        check_width("input of a depthwise convolution", x.width, depthwise.channels())?;
        let n = x.n() / size.area();
        let out_size = depthwise.window().out(size);
        depthwise.apply_all(&x.values, size, out.reshape(n * out_size.area(), x.width));
        Ok(())
    }

    fn invert(&self, x: &CpuRows, size: Size, block: &InvertedResidual<Self>, out: &mut CpuRows) -> Result<()> {
        let n = x.n() / size.area();
        let out_size = block.depthwise.window().out(size);
        let rows = out.reshape(n * out_size.area(), block.project.n_out);
        convolution::invert(&x.values, size, block, rows);
        Ok(())
    }
}
