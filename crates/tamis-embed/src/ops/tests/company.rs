//! What one row has to do with another on the CPU: nothing, bit for bit.

use std::ops::Range;

use super::convolutions::{Block, Shape, shapes};
use super::{ACTIVATIONS, Attending, On, REACHES, packed};
use crate::ops::cpu::Cpu;
use crate::ops::{Activation, Attention, Matrix, Ops as _, Span};

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
