//! Every operation of every backend against plain loops in double precision, and what one row has to do with another.

use std::ops::Range;
#[cfg(feature = "cuda")]
use std::sync::LazyLock;

use candle_core::{DType, Device};
use tamis_core::Pixels;

use super::cpu::Cpu;
#[cfg(feature = "cuda")]
use super::cuda::Cuda;
use super::plain::Plain;
use super::{
    Activation, Attention, Columns, DepthwiseWeights, Heads, Images, InvertedResidual, Levels, Matrix, NormWeights,
    Ops, Padding, Reach, Size, Span, Window,
};
use crate::manifest::Pooling;

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Silu,
];

/// Numbers of rows: one, the remainders of blocks of 3, 6 and 12, and more than a pass of 48.
const ROWS: [usize; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 49, 100];

/// A backend under test.
struct On<O> {
    ops: O,
    /// Allowed error of a number `x`: `tolerance * (1 + |x|)`.
    tolerance: f64,
    /// Inputs are multiples of one over this, so that half precision holds them exactly and only results are rounded;
    /// 0 for any number.
    grain: f32,
}

/// The first GPU, with rows in single precision: with the feature there is one.
#[cfg(feature = "cuda")]
static CUDA_F32: LazyLock<Cuda<f32>> = LazyLock::new(|| Cuda::open(0).unwrap());

/// The same with rows in half precision.
#[cfg(feature = "cuda")]
static CUDA_F16: LazyLock<Cuda> = LazyLock::new(|| Cuda::open(0).unwrap());

/// Makes a module of tests of every operation on one backend. Tolerances: sums of at most 200 numbers in single
/// precision stay within 1e-5. Half precision rounds a result by up to 2^-11 (F16) or 2^-8 (BF16) of itself; a product
/// is rounded before its bias or sum and once more after it, which adds up where they cancel.
macro_rules! suite {
    ($backend:ident, $on:expr, $($operation:ident)+) => {
        mod $backend {
            use super::*;

            $(#[test]
            fn $operation() {
                super::$operation(&$on);
            })+
        }
    };
    ($backend:ident, $on:expr) => {
        suite!($backend, $on,
            tables prefixes products sums_of_products norms norms_of_heads rotations gates attention_of_samples
            attention_of_shared_heads attention_within_reach attention_with_bias attention_across_samples pooling
            unfolding depthwise_convolutions inverted_residuals extremes_stay_finite);
    };
}

suite!(cpu, On { ops: Cpu, tolerance: 1e-5, grain: 0.0 });
suite!(plain_f32, On { ops: Plain::new(Device::Cpu), tolerance: 1e-5, grain: 0.0 });
suite!(plain_f16, On { ops: Plain::with_dtype(Device::Cpu, DType::F16), tolerance: 2e-3, grain: 64.0 });
#[cfg(feature = "cuda")]
suite!(cuda_f32, On { ops: CUDA_F32.clone(), tolerance: 1e-5, grain: 0.0 });
#[cfg(feature = "cuda")]
suite!(cuda_f16, On { ops: CUDA_F16.clone(), tolerance: 2e-3, grain: 64.0 });
suite!(plain_bf16, On { ops: Plain::with_dtype(Device::Cpu, DType::BF16), tolerance: 1.6e-2, grain: 64.0 });

/// Numbers from -1 to 1 that look random, the same for the same seed.
struct Random(u64);

impl Random {
    /// The next number by splitmix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Numbers in double precision, shape `(n, width)`, row-major: what the reference computes with.
#[derive(Clone, Debug)]
struct Numbers {
    width: usize,
    values: Vec<f64>,
}

impl Numbers {
    fn of(matrix: &Matrix) -> Self {
        Self { width: matrix.width, values: matrix.values.iter().map(|x| f64::from(*x)).collect() }
    }

    fn n(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..][..self.width]
    }

    /// From rows of equal length.
    fn from_rows(rows: impl IntoIterator<Item = Vec<f64>>) -> Self {
        let rows: Vec<_> = rows.into_iter().collect();
        Self { width: rows[0].len(), values: rows.concat() }
    }

    /// Each row by a function.
    fn map_rows(&self, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        Self::from_rows((0..self.n()).map(|row| f(self.row(row))))
    }

    fn product(&self, weight: &Matrix, bias: Option<&[f32]>, activation: Activation) -> Self {
        let weight = Self::of(weight);
        self.map_rows(|row| {
            let sums = (0..weight.n()).map(|output| {
                let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
                activated(activation, bias + dot(row, weight.row(output)))
            });
            sums.collect()
        })
    }

    fn plus(&self, other: &Self) -> Self {
        assert_eq!((self.width, self.values.len()), (other.width, other.values.len()), "shapes of a sum");
        let values = self.values.iter().zip(&other.values).map(|(x, y)| x + y);
        Self { width: self.width, values: values.collect() }
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[expect(clippy::cast_precision_loss, reason = "lengths are small")]
fn float(n: usize) -> f64 {
    n as f64
}

/// The error function by its Maclaurin series (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.5);
/// beyond 4 it is 1 to 2e-8.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / (2.0 * f64::from(n) + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn activated(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Silu => x * sigmoid(x),
    }
}

fn normalized(row: &[f64], norm: &NormWeights) -> Vec<f64> {
    let n = float(row.len());
    let mean = if norm.centered { row.iter().sum::<f64>() / n } else { 0.0 };
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let scale = (variance + f64::from(norm.eps)).sqrt();
    let bias = |i: usize| norm.bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
    row.iter().enumerate().map(|(i, x)| (x - mean) / scale * f64::from(norm.weight[i]) + bias(i)).collect()
}

impl<O: Ops> On<O> {
    /// Random numbers up to `scale`.
    fn numbers(&self, seed: u64, n: usize, scale: f32) -> Vec<f32> {
        let mut random = Random(seed);
        let number = |_| {
            let x = random.unit() * scale;
            if self.grain > 0.0 { (x * self.grain).round() / self.grain } else { x }
        };
        (0..n).map(number).collect()
    }

    fn matrix(&self, seed: u64, n: usize, width: usize) -> Matrix {
        Matrix { width, values: self.numbers(seed, n * width, 2.0) }
    }

    /// The rows of a matrix.
    fn rows(&self, matrix: &Matrix) -> O::Rows {
        let table = self.ops.table(matrix.clone()).unwrap();
        let indices: Vec<u32> = (0..u32::try_from(matrix.n_rows()).unwrap()).collect();
        let mut rows = self.ops.rows();
        self.ops.gather(&table, &indices, &mut rows).unwrap();
        rows
    }

    /// What an operation writes.
    fn run(&self, operation: impl FnOnce(&mut O::Rows) -> candle_core::Result<()>) -> Vec<f32> {
        // Something stands in the buffer before: an operation overwrites it and takes its own shape.
        let mut out = self.rows(&Matrix { width: 5, values: vec![7.0; 15] });
        operation(&mut out).unwrap();
        self.ops.read(&out).unwrap()
    }

    /// Compares what an operation wrote with what it should have.
    fn check(&self, what: &str, got: &[f32], expected: &Numbers) {
        self.check_within(self.tolerance, what, got, expected);
    }

    /// The same with a tolerance of its own.
    fn check_within(&self, tolerance: f64, what: &str, got: &[f32], expected: &Numbers) {
        assert_eq!(got.len(), expected.values.len(), "{what}: numbers");
        for (i, (x, y)) in got.iter().zip(&expected.values).enumerate() {
            let (row, column) = (i / expected.width, i % expected.width);
            let close = (f64::from(*x) - y).abs() <= tolerance * (1.0 + y.abs()); // NaN is not
            assert!(close, "{what}: row {row}, column {column} is {x}, expected {y}");
        }
    }

    fn norm(&self, width: usize, centered: bool, bias: bool) -> NormWeights {
        NormWeights {
            centered,
            weight: self.numbers(20, width, 1.0),
            bias: bias.then(|| self.numbers(21, width, 1.0)),
            eps: 1e-6,
        }
    }
}

/// Spans of these lengths, one after the other.
fn packed(lens: &[usize]) -> Vec<Span> {
    let mut start = 0;
    let next = |len: &usize| {
        start += len;
        Span { start: start - len, len: *len }
    };
    lens.iter().map(next).collect()
}

fn tables<O: Ops>(on: &On<O>) {
    let (matrix, other) = (on.matrix(1, 7, 19), on.matrix(2, 3, 19));
    let (table, added) = (on.ops.table(matrix.clone()).unwrap(), on.ops.table(other.clone()).unwrap());
    let (picked, places) = ([6, 0, 3, 3, 1], [2, 2, 0, 1, 0]);
    let expected = Numbers::from_rows(picked.map(|row| Numbers::of(&matrix).row(row).to_vec()));
    let indices = picked.map(|row| u32::try_from(row).unwrap());
    on.check("gather", &on.run(|out| on.ops.gather(&table, &indices, out)), &expected);

    let sum = expected.plus(&Numbers::from_rows(places.map(|row| Numbers::of(&other).row(row).to_vec())));
    let places = places.map(|row| u32::try_from(row).unwrap());
    let mut rows = on.ops.rows();
    on.ops.gather(&table, &indices, &mut rows).unwrap();
    on.ops.add_gather(&added, &places, &mut rows).unwrap();
    on.check("add_gather", &on.ops.read(&rows).unwrap(), &sum);
}

fn prefixes<O: Ops>(on: &On<O>) {
    for (n_prefix, n, len) in [(1, 1, 1), (1, 3, 4), (5, 2, 3)] {
        let (prefix, x) = (on.matrix(1, n_prefix, 10), on.matrix(2, n * len, 10));
        let table = on.ops.table(prefix.clone()).unwrap();
        let (prefix, numbers) = (Numbers::of(&prefix), Numbers::of(&x));
        let samples = (0..n).flat_map(|sample| {
            let own = (0..len).map(move |row| (false, sample * len + row));
            (0..n_prefix).map(|row| (true, row)).chain(own)
        });
        let rows = samples.map(|(before, row)| if before { prefix.row(row) } else { numbers.row(row) }.to_vec());
        let got = on.run(|out| on.ops.prepend(&table, &on.rows(&x), n, out));
        on.check(&format!("{n_prefix} rows before {n} samples of {len}"), &got, &Numbers::from_rows(rows));
    }
}

fn products<O: Ops>(on: &On<O>) {
    for (i, n) in ROWS.into_iter().enumerate() {
        // Widths beside multiples of 16 and 32, and multiples of them.
        let (n_in, n_out) = [(1, 1), (7, 17), (48, 16), (100, 33), (33, 50), (64, 64), (19, 15)][i % 7];
        let (x, weight, bias) = (on.matrix(1, n, n_in), on.matrix(2, n_out, n_in), on.numbers(3, n_out, 1.0));
        let with = on.ops.linear(weight.clone(), Some(bias.clone())).unwrap();
        let without = on.ops.linear(weight.clone(), None).unwrap();
        let numbers = Numbers::of(&x);
        let x = on.rows(&x);
        for activation in ACTIVATIONS {
            let what = format!("{activation:?} of ({n}, {n_in}) x ({n_in}, {n_out})");
            let got = on.run(|out| on.ops.product(&x, &with, activation, out));
            on.check(&what, &got, &numbers.product(&weight, Some(&bias), activation));
        }
        let got = on.run(|out| on.ops.product(&x, &without, Activation::Identity, out));
        on.check("product without bias", &got, &numbers.product(&weight, None, Activation::Identity));
    }
}

fn sums_of_products<O: Ops>(on: &On<O>) {
    for (i, n) in ROWS.into_iter().enumerate() {
        let (n_in, n_out) = [(9, 40), (50, 7), (32, 32)][i % 3];
        let (x, weight, bias) = (on.matrix(1, n, n_in), on.matrix(2, n_out, n_in), on.numbers(3, n_out, 1.0));
        let before = on.matrix(4, n, n_out);
        for bias in [Some(bias), None] {
            let linear = on.ops.linear(weight.clone(), bias.clone()).unwrap();
            let mut sum = on.rows(&before);
            on.ops.add_product(&on.rows(&x), &linear, &mut sum).unwrap();
            let product = Numbers::of(&x).product(&weight, bias.as_deref(), Activation::Identity);
            let what = format!("sum with ({n}, {n_in}) x ({n_in}, {n_out})");
            on.check(&what, &on.ops.read(&sum).unwrap(), &Numbers::of(&before).plus(&product));
        }
    }
}

fn norms<O: Ops>(on: &On<O>) {
    for (n, width) in [(1, 1), (3, 2), (13, 31), (5, 64), (49, 100), (2, 200)] {
        let x = on.matrix(1, n, width);
        for (centered, bias) in [(true, true), (true, false), (false, true), (false, false)] {
            let weights = on.norm(width, centered, bias);
            let norm = on.ops.norm(weights.clone()).unwrap();
            let got = on.run(|out| on.ops.normalize(&on.rows(&x), &norm, out));
            let expected = Numbers::of(&x).map_rows(|row| normalized(row, &weights));
            on.check(&format!("norm of ({n}, {width}), centered {centered}, bias {bias}"), &got, &expected);
        }
    }
    // A row without variance: what is left is the bias, whatever is added to the variance.
    let weights = NormWeights { eps: 1e-12, ..on.norm(64, true, true) };
    let norm = on.ops.norm(weights.clone()).unwrap();
    let x = on.rows(&Matrix { width: 64, values: vec![0.5; 64] });
    let expected = Numbers::of(&Matrix { width: 64, values: weights.bias.unwrap() });
    on.check("norm of equal numbers", &on.run(|out| on.ops.normalize(&x, &norm, out)), &expected);
}

/// `x` with each head of `columns` by a function of its row and its numbers.
fn heads_by(x: &Numbers, columns: &Range<usize>, dim: usize, f: impl Fn(usize, &[f64]) -> Vec<f64>) -> Numbers {
    let rows = (0..x.n()).map(|row| {
        let values = x.row(row);
        let heads = values[columns.clone()].chunks_exact(dim).flat_map(|head| f(row, head));
        let before = values[..columns.start].iter().copied();
        before.chain(heads).chain(values[columns.end..].iter().copied()).collect()
    });
    Numbers::from_rows(rows)
}

fn norms_of_heads<O: Ops>(on: &On<O>) {
    for (n, width, columns, dim) in [(1, 8, 0..8, 8), (7, 72, 24..72, 24), (3, 100, 0..64, 32), (13, 170, 5..165, 80)] {
        for (centered, bias) in [(false, false), (true, true)] {
            let (x, weights) = (on.matrix(1, n, width), on.norm(dim, centered, bias));
            let norm = on.ops.norm(weights.clone()).unwrap();
            let mut rows = on.rows(&x);
            on.ops.normalize_heads(&mut rows, columns.clone(), &norm).unwrap();
            let expected = heads_by(&Numbers::of(&x), &columns, dim, |_, head| normalized(head, &weights));
            on.check(&format!("heads of {dim} in {columns:?}"), &on.ops.read(&rows).unwrap(), &expected);
        }
    }
}

fn rotations<O: Ops>(on: &On<O>) {
    for (n, width, columns, dim) in [(1, 8, 0..8, 8), (5, 72, 24..72, 24), (3, 100, 0..64, 32), (13, 170, 5..165, 80)] {
        let (x, angles) = (on.matrix(1, n, width), on.matrix(2, 4, dim));
        let positions: Vec<u32> = (0..4).rev().cycle().take(n).collect();
        let table = on.ops.table(angles.clone()).unwrap();
        let mut rows = on.rows(&x);
        on.ops.rotate(&mut rows, columns.clone(), &table, &positions).unwrap();
        let angles = Numbers::of(&angles);
        let expected = heads_by(&Numbers::of(&x), &columns, dim, |row, head| {
            let (cos, sin) = angles.row(usize::try_from(positions[row]).unwrap()).split_at(dim / 2);
            let (first, second) = head.split_at(dim / 2);
            let left = (0..dim / 2).map(|i| first[i] * cos[i] - second[i] * sin[i]);
            left.chain((0..dim / 2).map(|i| second[i] * cos[i] + first[i] * sin[i])).collect()
        });
        on.check(&format!("rotation of heads of {dim} in {columns:?}"), &on.ops.read(&rows).unwrap(), &expected);
    }
}

fn gates<O: Ops>(on: &On<O>) {
    for (n, half) in [(1, 1), (13, 7), (3, 16), (5, 33), (2, 100)] {
        let x = on.matrix(1, n, 2 * half);
        for activation in ACTIVATIONS {
            let got = on.run(|out| on.ops.gate(&on.rows(&x), activation, out));
            let expected = Numbers::of(&x).map_rows(|row| {
                let (left, right) = row.split_at(half);
                left.iter().zip(right).map(|(x, y)| activated(activation, *x) * y).collect()
            });
            on.check(&format!("gate by {activation:?} of ({n}, {})", 2 * half), &got, &expected);
        }
    }
}

/// Attention without the rows: their numbers and where heads begin.
struct Attending<'a> {
    /// Queries, keys and values, and their first columns.
    parts: [(&'a Matrix, usize); 3],
    query_spans: &'a [Span],
    key_spans: &'a [Span],
    bias: Option<Matrix>,
}

impl<'a> Attending<'a> {
    /// Samples that attend to themselves.
    fn within(qkv: &'a Matrix, attention: &Attention<()>, spans: &'a [Span]) -> Self {
        let key = attention.query_width();
        let parts = [(qkv, 0), (qkv, key), (qkv, key + attention.key_width())];
        Self { parts, query_spans: spans, key_spans: spans, bias: None }
    }

    /// Attention by plain loops: one row per query, sample by sample.
    fn expected(&self, attention: &Attention<()>) -> Numbers {
        let [query, key, value] = self.parts.map(|(matrix, first)| (Numbers::of(matrix), first));
        let bias = self.bias.as_ref().map(Numbers::of);
        let dim = attention.head_dim;
        let head_of = |(rows, first): &(Numbers, usize), row: usize, head: usize| {
            rows.row(row)[first + head * dim..][..dim].to_vec()
        };
        let context = |queries: Span, keys: Span, place: usize, head: usize| {
            let shared = head * attention.n_key_heads / attention.n_heads;
            let query = head_of(&query, queries.start + place, head);
            let seen = attention.reach.keys(place, keys.len);
            let score = |at: usize| {
                let bias = bias.as_ref().map_or(0.0, |bias| bias.row(bias.n() / 2 + at - place)[head]);
                dot(&query, &head_of(&key, keys.start + at, shared)) * f64::from(attention.scale) + bias
            };
            let scores: Vec<f64> = seen.clone().map(score).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut context = vec![0.0; dim];
            for (at, weight) in seen.zip(&weights) {
                let value = head_of(&value, keys.start + at, shared);
                context.iter_mut().zip(value).for_each(|(sum, x)| *sum += weight / total * x);
            }
            context
        };
        let samples = self.query_spans.iter().zip(self.key_spans);
        Numbers::from_rows(samples.flat_map(|(queries, keys)| {
            let row = |place| (0..attention.n_heads).flat_map(|head| context(*queries, *keys, place, head)).collect();
            (0..queries.len).map(row).collect::<Vec<_>>()
        }))
    }

    /// Attention by a backend.
    fn run<O: Ops>(&self, on: &On<O>, attention: &Attention<()>) -> Vec<f32> {
        let [query, key, value] = self.parts.map(|(matrix, first)| (on.rows(matrix), first));
        let heads = Heads {
            query: Columns { rows: &query.0, first: query.1 },
            key: Columns { rows: &key.0, first: key.1 },
            value: Columns { rows: &value.0, first: value.1 },
            query_spans: self.query_spans,
            key_spans: self.key_spans,
        };
        let attention = Attention {
            n_heads: attention.n_heads,
            n_key_heads: attention.n_key_heads,
            head_dim: attention.head_dim,
            scale: attention.scale,
            reach: attention.reach,
            bias: self.bias.clone().map(|bias| on.ops.table(bias).unwrap()),
        };
        on.run(|out| on.ops.attend(&heads, &attention, out))
    }

    fn check<O: Ops>(&self, on: &On<O>, what: &str, attention: &Attention<()>) {
        on.check(what, &self.run(on, attention), &self.expected(attention));
    }
}

fn attention_of_samples<O: Ops>(on: &On<O>) {
    for (n_heads, dim) in [(1, 8), (3, 24), (2, 32), (1, 64), (2, 80)] {
        for lens in [&[1][..], &[1, 1, 1], &[5, 5], &[3, 17, 1, 16, 3], &[49, 100]] {
            let attention = Attention::new(n_heads, dim);
            let spans = packed(lens);
            let qkv = on.matrix(1, lens.iter().sum(), 3 * n_heads * dim);
            let what = format!("{n_heads} heads of {dim}, samples of {lens:?}");
            Attending::within(&qkv, &attention, &spans).check(on, &what, &attention);
        }
    }
}

fn attention_of_shared_heads<O: Ops>(on: &On<O>) {
    for (n_heads, n_key_heads, dim) in [(2, 1, 8), (4, 2, 24), (6, 2, 32), (3, 1, 80)] {
        let attention = Attention { n_key_heads, ..Attention::new(n_heads, dim) };
        let spans = packed(&[4, 13, 1]);
        let qkv = on.matrix(1, 18, (n_heads + 2 * n_key_heads) * dim);
        let what = format!("{n_heads} heads of {dim} on {n_key_heads}");
        Attending::within(&qkv, &attention, &spans).check(on, &what, &attention);
    }
}

/// Windows shorter and longer than samples and than the blocks of a backend.
const REACHES: [Reach; 8] = [
    Reach::All,
    Reach::Causal,
    Reach::Window(0),
    Reach::Window(1),
    Reach::Window(5),
    Reach::Window(16),
    Reach::Window(64),
    Reach::Window(1000),
];

fn attention_within_reach<O: Ops>(on: &On<O>) {
    for reach in REACHES {
        let attention = Attention { reach, ..Attention::new(2, 24) };
        let lens = [1, 7, 150, 33, 49];
        let (spans, qkv) = (packed(&lens), on.matrix(1, lens.iter().sum(), 144));
        Attending::within(&qkv, &attention, &spans).check(on, &format!("{reach:?}"), &attention);
    }
}

fn attention_with_bias<O: Ops>(on: &On<O>) {
    for reach in REACHES {
        let attention = Attention { reach, scale: 1.0, ..Attention::new(3, 8) };
        let lens = [1, 20, 60, 53];
        let (spans, qkv) = (packed(&lens), on.matrix(1, lens.iter().sum(), 72));
        // Samples have at most 60 rows: one of them has as many.
        let bias = Some(on.matrix(2, 119, 3));
        let attending = Attending { bias, ..Attending::within(&qkv, &attention, &spans) };
        attending.check(on, &format!("bias and {reach:?}"), &attention);
    }
}

fn attention_across_samples<O: Ops>(on: &On<O>) {
    let attention = Attention { n_key_heads: 1, ..Attention::new(2, 24) };
    let key_spans = packed(&[6, 1, 20, 6]);
    // Keys and values stand in the order values, keys, behind 3 columns that belong to nobody.
    let kv = on.matrix(1, 33, 3 + 48);
    for (what, n, query_spans) in [
        ("one query per sample", 4, packed(&[1; 4])),
        ("some queries per sample", 13, packed(&[3, 3, 2, 5])),
        // The first row of each sample, of rows of which there are more than queries.
        ("queries apart", 33, key_spans.iter().map(|span| Span { len: 1, ..*span }).collect()),
    ] {
        let query = on.matrix(2, n, 50);
        let parts = [(&query, 2), (&kv, 27), (&kv, 3)];
        let attending = Attending { parts, query_spans: &query_spans, key_spans: &key_spans, bias: None };
        attending.check(on, what, &attention);
    }
}

fn pooling<O: Ops>(on: &On<O>) {
    for (lens, width) in [(&[1][..], 1), (&[1, 1], 16), (&[4, 4, 4], 33), (&[3, 1, 20, 3, 49], 50)] {
        let (x, spans) = (on.matrix(1, lens.iter().sum(), width), packed(lens));
        let numbers = Numbers::of(&x);
        for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Max, Pooling::Last] {
            let got = on.run(|out| on.ops.pool(&on.rows(&x), &spans, pooling, out));
            let pooled = spans.iter().map(|span| {
                let column = |i: usize| span.rows().map(|row| numbers.row(row)[i]).collect::<Vec<_>>();
                let pool = |column: Vec<f64>| match pooling {
                    Pooling::Mean => column.iter().sum::<f64>() / float(column.len()),
                    Pooling::Cls => column[0],
                    Pooling::Max => column.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    Pooling::Last => column[column.len() - 1],
                };
                (0..width).map(|i| pool(column(i))).collect()
            });
            on.check(&format!("{pooling:?} of {lens:?}"), &got, &Numbers::from_rows(pooled));
        }
    }
}

/// The places of a map of `size` under the kernel that stands at `place` of the result; `None` outside of the map.
fn under(window: Window, size: Size, place: usize) -> Vec<Option<usize>> {
    // What stands around a side of `n` pixels before the first one, by the definitions of the frameworks.
    let before = |n: usize| match window.padding {
        Padding::Valid => 0,
        Padding::Symmetric => window.kernel / 2,
        Padding::Same => {
            let n_out = n.div_ceil(window.stride);
            ((n_out - 1) * window.stride + window.kernel).saturating_sub(n) / 2
        }
    };
    let side = |n: usize| match window.padding {
        Padding::Same => n.div_ceil(window.stride),
        Padding::Valid | Padding::Symmetric => (n + 2 * before(n) - window.kernel) / window.stride + 1,
    };
    assert_eq!(window.out(size), Size { height: side(size.height), width: side(size.width) }, "size of the result");
    let corner = (place / side(size.width) * window.stride, place % side(size.width) * window.stride);
    let tap = |tap: usize| {
        let y = (corner.0 + tap / window.kernel).checked_sub(before(size.height))?;
        let x = (corner.1 + tap % window.kernel).checked_sub(before(size.width))?;
        (y < size.height && x < size.width).then(|| y * size.width + x)
    };
    (0..window.kernel * window.kernel).map(tap).collect()
}

/// Windows with every padding, sizes odd and even, strides 1 and 2.
fn windows(kernels: &[usize]) -> Vec<(Window, Size)> {
    let mut windows = Vec::new();
    for kernel in kernels.iter().copied() {
        for padding in [Padding::Valid, Padding::Symmetric, Padding::Same] {
            for stride in [1, 2] {
                for (height, width) in [(7, 7), (8, 8), (9, 6), (6, 13), (kernel, kernel)] {
                    windows.push((Window { kernel, stride, padding }, Size { height, width }));
                }
            }
        }
    }
    windows
}

fn unfolding<O: Ops>(on: &On<O>) {
    let mut random = Random(1);
    let mut levels: Levels = [[0.0; 256]; 3];
    for color in &mut levels {
        color.copy_from_slice(&on.numbers(random.next(), 256, 2.0));
    }
    let patches = |side, stride| (Window { kernel: 14, stride, padding: Padding::Valid }, side);
    let mut cases = windows(&[3]);
    // The last one leaves pixels over, to the right and below.
    cases.extend([(14, 14), (28, 42), (30, 41)].map(|(height, width)| patches(Size { height, width }, 14)));
    cases.push(patches(Size { height: 17, width: 16 }, 1));
    for (window, size) in cases {
        let side = |n: usize| u32::try_from(n).unwrap();
        let picture = |_| Pixels {
            width: side(size.width),
            height: side(size.height),
            rgb: (0..size.area() * 3).map(|_| random.next().to_le_bytes()[0]).collect(),
        };
        let pictures: Vec<_> = (0..3).map(picture).collect();
        let images = Images { pictures: &pictures.iter().collect::<Vec<_>>(), size };
        let got = on.run(|out| on.ops.unfold(&images, window, &levels, out));
        let rows = pictures.iter().flat_map(|picture| {
            let levels = &levels;
            (0..window.out(size).area()).map(move |place| {
                let colors = under(window, size, place).into_iter().flat_map(|pixel| {
                    let level =
                        move |color: usize, pixel: usize| levels[color][usize::from(picture.rgb[pixel * 3 + color])];
                    (0..3).map(move |color| pixel.map_or(0.0, |pixel| f64::from(level(color, pixel))))
                });
                colors.collect()
            })
        });
        on.check(&format!("{window:?} on {size:?}"), &got, &Numbers::from_rows(rows));
    }
}

/// A depthwise convolution by plain loops.
fn convolved(x: &Numbers, size: Size, weights: &DepthwiseWeights) -> Numbers {
    let area = weights.window.kernel * weights.window.kernel;
    let places = weights.window.out(size).area();
    let rows = (0..x.n() / size.area() * places).map(|row| {
        let first = row / places * size.area();
        let pixels = under(weights.window, size, row % places);
        let channel = |channel: usize| {
            let taps = weights.weight[channel * area..][..area].iter().zip(&pixels);
            let products = taps.filter_map(|(tap, pixel)| Some(f64::from(*tap) * x.row(first + (*pixel)?)[channel]));
            activated(weights.activation, f64::from(weights.bias[channel]) + products.sum::<f64>())
        };
        (0..x.width).map(channel).collect()
    });
    Numbers::from_rows(rows)
}

impl<O: Ops> On<O> {
    fn depthwise(&self, window: Window, channels: usize, activation: Activation) -> DepthwiseWeights {
        DepthwiseWeights {
            window,
            weight: self.numbers(30, channels * window.kernel * window.kernel, 1.0),
            bias: self.numbers(31, channels, 1.0),
            activation,
        }
    }
}

fn depthwise_convolutions<O: Ops>(on: &On<O>) {
    for (i, (window, size)) in windows(&[3, 5]).into_iter().enumerate() {
        let (n, channels) = [(1, 1), (2, 16), (3, 19), (1, 40)][i % 4];
        let weights = on.depthwise(window, channels, ACTIVATIONS[i % 7]);
        let x = on.matrix(1, n * size.area(), channels);
        let depthwise = on.ops.depthwise(weights.clone()).unwrap();
        let got = on.run(|out| on.ops.convolve(&on.rows(&x), size, &depthwise, out));
        let what = format!("{n} maps of {size:?}, {channels} channels, {window:?}, {:?}", weights.activation);
        on.check(&what, &got, &convolved(&Numbers::of(&x), size, &weights));
    }
}

/// The weights of an inverted residual, and what belongs to it.
struct Block {
    expand: Option<(Matrix, Vec<f32>)>,
    depthwise: DepthwiseWeights,
    project: (Matrix, Vec<f32>),
    activation: Activation,
    residual: bool,
}

impl Block {
    /// A block of `(n_in, wide, n_out)` channels; without a wider map where `n_in` is `wide`.
    fn new<O: Ops>(on: &On<O>, (n_in, wide, n_out): (usize, usize, usize), window: Window, residual: bool) -> Self {
        let activation = Activation::Relu6;
        let linear = |seed, n_out, n_in| {
            let weight = Matrix { width: n_in, values: on.numbers(seed, n_in * n_out, 0.5) };
            (weight, on.numbers(seed + 1, n_out, 1.0))
        };
        Self {
            expand: (n_in != wide).then(|| linear(10, wide, n_in)),
            depthwise: on.depthwise(window, wide, activation),
            project: linear(12, n_out, wide),
            activation,
            residual,
        }
    }

    fn expected(&self, x: &Numbers, size: Size) -> Numbers {
        let wide = match &self.expand {
            Some((weight, bias)) => x.product(weight, Some(bias), self.activation),
            None => x.clone(),
        };
        let (weight, bias) = &self.project;
        let out = convolved(&wide, size, &self.depthwise).product(weight, Some(bias), Activation::Identity);
        if self.residual { out.plus(x) } else { out }
    }

    fn load<O: Ops>(&self, on: &On<O>) -> InvertedResidual<O> {
        let linear = |(weight, bias): &(Matrix, Vec<f32>)| on.ops.linear(weight.clone(), Some(bias.clone())).unwrap();
        InvertedResidual {
            expand: self.expand.as_ref().map(linear),
            depthwise: on.ops.depthwise(self.depthwise.clone()).unwrap(),
            project: linear(&self.project),
            activation: self.activation,
            residual: self.residual,
        }
    }
}

/// Channels, and whether they allow a residual.
const BLOCKS: [((usize, usize, usize), bool); 5] =
    [((16, 16, 8), false), ((3, 18, 3), true), ((16, 96, 24), false), ((24, 144, 24), true), ((7, 50, 7), true)];

/// A block without its weights, and the size of its maps.
struct Shape {
    channels: (usize, usize, usize),
    residual: bool,
    window: Window,
    size: Size,
}

/// Small blocks, and some whose maps are so large that a backend may compute the wide one piece by piece.
fn shapes() -> Vec<Shape> {
    let small = windows(&[3, 5]).into_iter().enumerate().map(|(i, (window, size))| {
        let (channels, residual) = BLOCKS[i % BLOCKS.len()];
        Shape { channels, residual: residual && window.out(size) == size, window, size }
    });
    let large = [
        ((8, 48, 8), true, Window { kernel: 3, stride: 1, padding: Padding::Symmetric }),
        ((8, 48, 8), false, Window { kernel: 3, stride: 2, padding: Padding::Symmetric }),
        ((8, 48, 8), false, Window { kernel: 5, stride: 2, padding: Padding::Same }),
        ((8, 48, 8), false, Window { kernel: 3, stride: 2, padding: Padding::Valid }),
        ((32, 32, 8), false, Window { kernel: 3, stride: 1, padding: Padding::Same }),
    ];
    let size = Size { height: 45, width: 47 };
    let large = large.map(|(channels, residual, window)| Shape { channels, residual, window, size });
    small.chain(large).collect()
}

fn inverted_residuals<O: Ops>(on: &On<O>) {
    for Shape { channels, residual, window, size } in shapes() {
        let block = Block::new(on, channels, window, residual);
        let x = on.matrix(1, 2 * size.area(), channels.0);
        let loaded = block.load(on);
        let got = on.run(|out| on.ops.invert(&on.rows(&x), size, &loaded, out));
        let what = format!("{channels:?}, residual {residual}, {window:?} on {size:?}");
        // Half precision rounds the wide map twice: the errors of up to 144 numbers of up to 6 are added up.
        let tolerance = if on.grain > 0.0 { 8.0 * on.tolerance } else { on.tolerance };
        on.check_within(tolerance, &what, &got, &block.expected(&Numbers::of(&x), size));
    }
}

/// Scores beyond the range of half precision, norms of large numbers, activations far out: all that is finite before is
/// finite after.
fn extremes_stay_finite<O: Ops>(on: &On<O>) {
    let large = |seed, n: usize, width: usize| {
        let values = on.numbers(seed, n * width, 60.0);
        Matrix { width, values: values.into_iter().map(|x| x + 40_f32.copysign(x)).collect() }
    };
    // A score is a sum of 80 squares of 40 to 100: at least 128000, and F16 ends at 65504.
    let attention = Attention { reach: Reach::Causal, scale: 1.0, ..Attention::new(1, 80) };
    let (spans, qkv) = (packed(&[9, 4]), large(1, 13, 240));
    let alike = Matrix { width: 240, values: qkv.values.chunks(80).flat_map(|_| qkv.values[..80].to_vec()).collect() };
    for (what, qkv) in [("large scores", &qkv), ("large and equal scores", &alike)] {
        let context = Attending::within(qkv, &attention, &spans).run(on, &attention);
        let bound = 100.0 * (1.0 + on.tolerance);
        assert!(context.iter().all(|x| f64::from(x.abs()) <= bound), "{what}: {context:?} is not within {bound}");
    }
    let weights = on.norm(240, false, false);
    let norm = on.ops.norm(weights.clone()).unwrap();
    let expected = Numbers::of(&qkv).map_rows(|row| normalized(row, &weights));
    on.check("norm of large numbers", &on.run(|out| on.ops.normalize(&on.rows(&qkv), &norm, out)), &expected);
    for activation in ACTIVATIONS {
        let got = on.run(|out| on.ops.gate(&on.rows(&qkv), activation, out));
        let expected = Numbers::of(&qkv).map_rows(|row| {
            let (left, right) = row.split_at(120);
            left.iter().zip(right).map(|(x, y)| activated(activation, *x) * y).collect()
        });
        on.check(&format!("{activation:?} far out"), &got, &expected);
    }
}

/// Rows at some places of a matrix, one after the other.
fn picked(matrix: &Matrix, rows: impl IntoIterator<Item = usize>) -> Matrix {
    let width = matrix.width;
    Matrix { width, values: rows.into_iter().flat_map(|row| matrix.values[row * width..][..width].to_vec()).collect() }
}

/// Asserts that samples come out of `operation` with the same bits in whatever company and order; `lens` are the
/// numbers of rows of the samples of `x`. The results of a sample are one row for each of its own, or `n_out` rows.
fn alone_or_not(
    what: &str,
    x: &Matrix,
    lens: &[usize],
    n_out: Option<usize>,
    operation: impl Fn(&Matrix, &[Span]) -> Vec<f32>,
) {
    let spans = packed(lens);
    let together = operation(x, &spans);
    let backward: Vec<usize> = (0..lens.len()).rev().collect();
    let alone = (0..lens.len()).map(|sample| vec![sample]);
    // The first samples in their order, all of them backward, and each one alone.
    for samples in alone.chain([(0..lens.len() / 2).collect(), backward]) {
        let picked_lens: Vec<_> = samples.iter().map(|sample| lens[*sample]).collect();
        let rows = picked(x, samples.iter().flat_map(|sample| spans[*sample].rows()));
        let results = operation(&rows, &packed(&picked_lens));
        let out_lens: Vec<_> = lens.iter().map(|len| n_out.unwrap_or(*len)).collect();
        let width = together.len() / out_lens.iter().sum::<usize>();
        let out_spans = packed(&out_lens);
        let expected = Matrix { width, values: together.clone() };
        let expected = picked(&expected, samples.iter().flat_map(|sample| out_spans[*sample].rows()));
        let same = results.len() == expected.values.len()
            && results.iter().zip(&expected.values).all(|(x, y)| x.to_bits() == y.to_bits());
        assert!(same, "{what}: samples {samples:?} of {lens:?} differ from the same among all");
    }
}

const CPU: On<Cpu> = On { ops: Cpu, tolerance: 0.0, grain: 0.0 };

#[test]
fn rows_of_the_cpu_do_not_depend_on_others() {
    let ops = CPU.ops;
    for (n, n_in, n_out) in [(13, 33, 17), (60, 50, 40), (100, 64, 7)] {
        let (x, weight) = (CPU.matrix(1, n, n_in), CPU.matrix(2, n_out, n_in));
        let linear = ops.linear(weight, Some(CPU.numbers(3, n_out, 1.0))).unwrap();
        let norm = ops.norm(CPU.norm(n_in, true, true)).unwrap();
        let lens = vec![1; n];
        for activation in ACTIVATIONS {
            alone_or_not(&format!("product with {activation:?}"), &x, &lens, None, |x, _| {
                CPU.run(|out| ops.product(&CPU.rows(x), &linear, activation, out))
            });
            let gated = CPU.matrix(4, n, 2 * n_in);
            alone_or_not(&format!("gate by {activation:?}"), &gated, &lens, None, |x, _| {
                CPU.run(|out| ops.gate(&CPU.rows(x), activation, out))
            });
        }
        alone_or_not("normalize", &x, &lens, None, |x, _| CPU.run(|out| ops.normalize(&CPU.rows(x), &norm, out)));
        // What the sum is before belongs to a row as well.
        let both = CPU.matrix(5, n, n_in + n_out);
        alone_or_not("add_product", &both, &lens, None, |both, _| {
            let part = |columns: Range<usize>| Matrix {
                width: columns.len(),
                values: both.values.chunks(both.width).flat_map(|row| row[columns.clone()].to_vec()).collect(),
            };
            let mut sum = CPU.rows(&part(n_in..n_in + n_out));
            ops.add_product(&CPU.rows(&part(0..n_in)), &linear, &mut sum).unwrap();
            ops.read(&sum).unwrap()
        });
    }
}

#[test]
fn samples_of_the_cpu_do_not_depend_on_others() {
    for reach in REACHES {
        for (n_heads, n_key_heads, dim) in [(2, 1, 24), (1, 1, 80)] {
            let attention = Attention { reach, n_key_heads, ..Attention::new(n_heads, dim) };
            let lens = [49, 1, 13, 100, 13, 2];
            let qkv = CPU.matrix(1, lens.iter().sum(), (n_heads + 2 * n_key_heads) * dim);
            for bias in [None, Some(CPU.matrix(2, 199, n_heads))] {
                let what = format!("attention within {reach:?}, bias {}", bias.is_some());
                alone_or_not(&what, &qkv, &lens, None, |qkv, spans| {
                    let attending = Attending::within(qkv, &attention, spans);
                    Attending { bias: bias.clone(), ..attending }.run(&CPU, &attention)
                });
            }
        }
    }
}

#[test]
fn maps_of_the_cpu_do_not_depend_on_others() {
    let ops = CPU.ops;
    for Shape { channels, residual, window, size } in shapes() {
        let (lens, places) = ([size.area(); 4], Some(window.out(size).area()));
        let depthwise = ops.depthwise(CPU.depthwise(window, channels.1, Activation::Silu)).unwrap();
        let wide = CPU.matrix(1, lens.iter().sum(), channels.1);
        alone_or_not(&format!("convolution, {window:?} on {size:?}"), &wide, &lens, places, |x, _| {
            CPU.run(|out| ops.convolve(&CPU.rows(x), size, &depthwise, out))
        });
        let block = Block::new(&CPU, channels, window, residual).load(&CPU);
        let x = CPU.matrix(1, lens.iter().sum(), channels.0);
        alone_or_not(&format!("inverted residual, {window:?} on {size:?}"), &x, &lens, places, |x, _| {
            CPU.run(|out| ops.invert(&CPU.rows(x), size, &block, out))
        });
    }
}
