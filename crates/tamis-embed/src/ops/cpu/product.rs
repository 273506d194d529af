//! Products of rows and packed weights.
//!
//! A weight of shape `(n_out, n_in)` is laid out once, in panels of [`PANEL`] outputs: for each input the weights of the
//! panel side by side. A block of [`rows_per_block`] rows by one panel is summed in registers, and bias, residual and
//! activation are applied before it is written.
//!
//! Each number is bias, then products in the order of the inputs, whatever its row's place among others: results do not
//! depend on the other rows of a call. A multiplication and its addition are fused wherever the machine does that, and
//! then everywhere.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::math::activate;
use crate::ops::{Activation, Matrix};

/// Outputs that are computed together: a multiple of the registers' width on every machine.
pub(super) const PANEL: usize = 16;

/// Rows that pass all panels before the next ones do, so that they stay in the nearest cache: a multiple of every block,
/// and large enough that weights, which may come from a farther one, are used often. Chosen by measurement.
const ROWS_PER_PASS: usize = 48;

/// A weight in panels, with its bias.
pub(crate) struct Linear {
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    /// For each [`PANEL`] of outputs, for each input: the weights of the panel; anything beyond the last output.
    panels: Vec<f32>,
    /// Padded as the panels are; zero where there is none.
    bias: Vec<f32>,
}

impl Linear {
    /// Lays out a weight of shape `(n_out, n_in)` and a bias of length `n_out`.
    pub(super) fn new(weight: &Matrix, bias: Option<Vec<f32>>) -> Self {
        let (n_out, n_in) = (weight.n_rows(), weight.width);
        let mut bias = bias.unwrap_or_default();
        bias.resize(n_out.next_multiple_of(PANEL), 0.0);
        let mut panels = Vec::new();
        pack(|output| &weight.values[output * n_in..][..n_in], n_in, n_out, &mut panels);
        Self { n_in, n_out, panels, bias }
    }

    /// The whole product for `x` of shape `(n, n_in)`; `out` has shape `(n, n_out)`.
    pub(super) fn apply(&self, x: &[f32], activation: Activation, into: Into, out: &mut [f32]) {
        debug_assert_eq!(x.len() / self.n_in, out.len() / self.n_out);
        let n_rows = out.len() / self.n_out;
        let product = Product {
            x: Strided { values: x, stride: self.n_in },
            n_rows,
            panels: Panels { values: &self.panels, n_in: self.n_in, depth: self.n_in },
            bias: Some(&self.bias),
            activation,
            into,
            n_out: self.n_out,
            out_stride: self.n_out,
        };
        Arch::new().dispatch(Whole { product, out });
    }
}

/// Lays out `n` rows of length `width` as panels in which each row is an output; beyond the last one stands anything.
#[inline(always)]
pub(super) fn pack<'a>(row: impl Fn(usize) -> &'a [f32], width: usize, n: usize, panels: &mut Vec<f32>) {
    panels.resize(n.next_multiple_of(PANEL) * width, 0.0);
    for (first, panel) in (0..n).step_by(PANEL).zip(panels.chunks_exact_mut(PANEL * width)) {
        let mut rows = [&[][..]; PANEL];
        for (i, weights) in rows.iter_mut().enumerate() {
            *weights = &row((first + i).min(n - 1))[..width];
        }
        for (input, weights) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate().take(width) {
            for (weight, row) in weights.iter_mut().zip(rows) {
                *weight = row[input];
            }
        }
    }
}

/// Rows that begin `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// Packed weights.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) values: &'a [f32],
    /// Inputs of this product: the first ones of each panel.
    pub(super) n_in: usize,
    /// Inputs that a panel has.
    pub(super) depth: usize,
}

/// Whether a product replaces what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// It does.
    Place,
    /// It is added to it, before the activation.
    Sum,
}

/// A product, all but its result.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) x: Strided<'a>,
    pub(super) n_rows: usize,
    pub(super) panels: Panels<'a>,
    /// Padded to whole panels; `None` is zero.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
    pub(super) into: Into,
    pub(super) n_out: usize,
    /// Distance of the rows of the result.
    pub(super) out_stride: usize,
}

/// A product with its result, on its way to the instructions of the machine.
struct Whole<'a> {
    product: Product<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.product.run(simd, self.out);
    }
}

impl Product<'_> {
    /// Computes the product with the instructions `simd`.
    #[inline(always)]
    pub(super) fn run<S: Simd>(self, simd: S, out: &mut [f32]) {
        // Registers per panel, and rows per block: with 32 registers (AVX-512, NEON) twice as many sums are kept.
        match S::F32_LANES {
            16 => self.passes::<S, 1, 12>(simd, out),
            8 => self.passes::<S, 2, 6>(simd, out),
            4 => self.passes::<S, 4, 6>(simd, out),
            _ => self.passes::<S, PANEL, 1>(simd, out),
        }
    }

    #[inline(always)]
    fn passes<S: Simd, const N: usize, const ROWS: usize>(self, simd: S, out: &mut [f32]) {
        let mut first = 0;
        while first < self.n_rows {
            let last = self.n_rows.min(first + ROWS_PER_PASS);
            for panel in 0..self.n_out.div_ceil(PANEL) {
                self.pass::<S, N, ROWS>(simd, panel, first..last, out);
            }
            first = last;
        }
    }

    /// One panel of outputs for some rows.
    #[inline(always)]
    fn pass<S: Simd, const N: usize, const ROWS: usize>(
        self,
        simd: S,
        panel: usize,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let mut row = rows.start;
        while row + ROWS <= rows.end {
            self.block::<S, N, ROWS>(simd, panel, row, out);
            row += ROWS;
        }
        // As many as it takes to hide the latency of a multiply-add: fewer rows need no less time.
        while row + 4 <= rows.end {
            self.block::<S, N, 4>(simd, panel, row, out);
            row += 4;
        }
        while row + 2 <= rows.end {
            self.block::<S, N, 2>(simd, panel, row, out);
            row += 2;
        }
        if row < rows.end {
            self.block::<S, N, 1>(simd, panel, row, out);
        }
    }

    /// One panel of outputs for `ROWS` rows from `row` on.
    #[inline(always)]
    fn block<S: Simd, const N: usize, const ROWS: usize>(self, simd: S, panel: usize, row: usize, out: &mut [f32]) {
        let Panels { values, n_in, depth } = self.panels;
        // Without closures, which would hide from the compiler that all rows are `n_in` long.
        let mut rows = [&[][..]; ROWS];
        for (i, values) in rows.iter_mut().enumerate() {
            *values = &self.x.values[(row + i) * self.x.stride..][..n_in];
        }
        let weights = vectors::<S, N>(&values[panel * PANEL * depth..][..PANEL * n_in]);
        let bias = match self.bias {
            Some(bias) => vectors::<S, N>(&bias[panel * PANEL..][..PANEL])[0],
            None => [simd.splat_f32s(0.0); N],
        };
        let mut sums = [bias; ROWS];
        for (input, weights) in weights[..n_in].iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let x = simd.splat_f32s(row[input]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
        self.finish(simd, panel, row, sums, out);
    }

    /// Writes one panel of outputs of `ROWS` rows. The common cases are apart, without a loop that could not be unrolled
    /// and without a choice in it, so that the sums stay in registers: with few inputs they are a fifth of the time.
    #[inline(always)]
    fn finish<S: Simd, const N: usize, const ROWS: usize>(
        self,
        simd: S,
        panel: usize,
        row: usize,
        mut sums: [[S::f32s; N]; ROWS],
        out: &mut [f32],
    ) {
        let whole = PANEL <= self.n_out - panel * PANEL;
        match self.activation {
            Activation::Identity | Activation::Relu6 if whole => {
                let rows = &mut out[row * self.out_stride + panel * PANEL..];
                if self.into == Into::Sum {
                    for (sums, row) in sums.iter_mut().zip(rows.chunks(self.out_stride)) {
                        for (sum, before) in sums.iter_mut().zip(vectors::<S, N>(&row[..PANEL])[0]) {
                            *sum = simd.add_f32s(*sum, before);
                        }
                    }
                }
                if self.activation == Activation::Relu6 {
                    for sum in sums.as_flattened_mut() {
                        *sum = activate(simd, Activation::Relu6, *sum);
                    }
                }
                for (sums, row) in sums.iter().zip(rows.chunks_mut(self.out_stride)) {
                    S::as_mut_simd_f32s(&mut row[..PANEL]).0.copy_from_slice(sums);
                }
            }
            _ => {
                for (i, sums) in sums.into_iter().enumerate() {
                    self.store(simd, panel, row + i, sums, out);
                }
            }
        }
    }

    /// Adds what is there, applies the activation and writes one panel of outputs of `row`.
    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        self,
        simd: S,
        panel: usize,
        row: usize,
        mut sums: [S::f32s; N],
        out: &mut [f32],
    ) {
        let n = PANEL.min(self.n_out - panel * PANEL);
        let out = &mut out[row * self.out_stride + panel * PANEL..][..n];
        if self.into == Into::Sum {
            let mut padded = [0.0; PANEL];
            padded[..n].copy_from_slice(out);
            for (sum, before) in sums.iter_mut().zip(vectors::<S, N>(&padded)[0]) {
                *sum = simd.add_f32s(*sum, before);
            }
        }
        // A closure would be compiled without the instructions of `simd`, and each of them become a call.
        for sum in &mut sums {
            *sum = activate(simd, self.activation, *sum);
        }
        if n == PANEL {
            S::as_mut_simd_f32s(out).0.copy_from_slice(&sums);
        } else {
            let mut padded = [0.0; PANEL];
            S::as_mut_simd_f32s(&mut padded).0.copy_from_slice(&sums);
            out.copy_from_slice(&padded[..n]);
        }
    }
}

/// `values` as panels of `N` registers.
#[inline(always)]
fn vectors<S: Simd, const N: usize>(values: &[f32]) -> &[[S::f32s; N]] {
    S::as_simd_f32s(values).0.as_chunks::<N>().0
}
