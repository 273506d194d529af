//! Every operation of every backend against plain loops in double precision, and what one row has to do with another.

use std::ops::Range;
#[cfg(feature = "cuda")]
use std::sync::LazyLock;

use candle_core::{DType, Device};

use super::cpu::Cpu;
#[cfg(feature = "cuda")]
use super::cuda::Cuda;
use super::plain::Plain;
use super::{Activation, Attention, Columns, Heads, Matrix, NormWeights, Ops, Reach, Span};
use crate::manifest::Pooling;
use convolutions::{depthwise_convolutions, inverted_residuals, unfolding};
use reference::{Numbers, Random, activated, dot, float, normalized};

mod company;

mod convolutions;

pub(super) mod reference;

pub(super) const ACTIVATIONS: [Activation; 7] = [
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

/// Threads that share a lane of the GPU do not overwrite each other's pictures on their way.
#[cfg(feature = "cuda")]
#[test]
fn pictures_of_many_threads_stay_apart() {
    use super::{Images, Levels, Padding, Size, Window};
    use tamis_core::Pixels;

    const SIDE: u32 = 224;
    let window = Window { kernel: 32, stride: 32, padding: Padding::Valid };
    let size = Size { height: SIDE as usize, width: SIDE as usize };
    let levels: Levels = [std::array::from_fn(|level| float(level) as f32); 3];
    let compute = |unfold: &dyn Fn(&[&Pixels]) -> Vec<f32>, value: u8| {
        let picture = Pixels { width: SIDE, height: SIDE, rgb: vec![value; 3 * size.area()] };
        let n = unfold(&[&picture; 16]).into_iter().filter(|x| *x != f32::from(value)).count();
        assert_eq!(n, 0, "numbers of other pictures among those of thread {value}");
    };
    let unfold = |pictures: &[&Pixels]| {
        let ops = &*CUDA_F32;
        let mut out = ops.rows();
        ops.unfold(&Images { pictures, size }, window, &levels, &mut out).unwrap();
        ops.read(&out).unwrap()
    };
    std::thread::scope(|scope| {
        for value in 0..16 {
            let (compute, unfold) = (&compute, &unfold);
            scope.spawn(move || (0..50).for_each(|_| compute(unfold, value)));
        }
    });
}

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
