//! Joins of made vectors on an NVIDIA GPU: parity with the CPU, and time, for `scripts/gpu-check.sh`.
//!
//! `gpu_joins [N_PARITY [N_SPEED [DIM]]]`, 100,000, 1,000,000 and 768 by default: pairs at 0.9 and the 10 nearest neighbors
//! of `N_PARITY` vectors, of a set with itself and with another one, are compared with those of the CPU; then those of
//! `N_SPEED` vectors are timed, uploading and rechecking included. Vectors are drawn around centers, some 20 around each.
//!
//! Prints a table, and ends with an error where there is no GPU or a pair differs.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "its output is for people, and it stops at any error")]

use std::time::Instant;

use ndarray::Array2;
use rayon::prelude::*;
use tamis_core::NoProgress;
use tamis_neighbors::{Device, JoinOptions, cross_join, knn, nearest_in, self_join};

const MIN_COSINE: f32 = 0.9;

const K: usize = 10;

/// Vectors around each center.
const PER_CENTER: usize = 20;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|arg| arg.parse().unwrap()).collect();
    let at = |place: usize, default| args.get(place).copied().unwrap_or(default);
    let (n_parity, n_speed, dim) = (at(0, 100_000), at(1, 1_000_000), at(2, 768));
    let gpu = Device::cuda(0);
    let mut is_equal = true;
    if 0 < n_parity {
        is_equal = parity(&gpu, n_parity, dim);
    }
    if 0 < n_speed {
        speed(&gpu, n_speed, dim);
    }
    if let Some(failure) = gpu.failure() {
        panic!("{failure}");
    }
    assert!(is_equal, "what the GPU found differs from what the CPU found");
}

/// Compares the results of both devices.
fn parity(gpu: &Device, n: usize, dim: usize) -> bool {
    let (rows, queries) = (made(n, dim, 0), made(n / 4, dim, 1));
    let (rows, queries) = (rows.view(), queries.view());
    let options = JoinOptions { min_cosine: MIN_COSINE, ..JoinOptions::default() };
    let few = JoinOptions { max_pairs: 1000, ..options };
    println!("{:44}{:>12}{:>12}  equal", "parity", "CPU s", "GPU s");
    let mut equal = Vec::new();
    let mut report = |what: &str, found: String, on_cpu: f64, on_gpu: f64, is_equal: bool| {
        println!("{:44}{on_cpu:12.3}{on_gpu:12.3}  {is_equal}", format!("{what}, {found}"));
        equal.push(is_equal);
    };
    for (what, options) in [("pairs", options), ("the first 1,000 pairs", few)] {
        let (ours, on_gpu) = timed(|| gpu.self_join(rows, &options, &NoProgress));
        let (theirs, on_cpu) = timed(|| self_join(rows, &options, &NoProgress));
        let is_equal = ours.n_found == theirs.n_found && ours.pairs == theirs.pairs;
        report(what, format!("{} of {n}", theirs.n_found), on_cpu, on_gpu, is_equal);
    }
    let (ours, on_gpu) = timed(|| gpu.cross_join(queries, rows, &options, &NoProgress));
    let (theirs, on_cpu) = timed(|| cross_join(queries, rows, &options, &NoProgress));
    let is_equal = ours.n_found == theirs.n_found && ours.pairs == theirs.pairs;
    report("pairs across", format!("{} of {} x {n}", theirs.n_found, queries.nrows()), on_cpu, on_gpu, is_equal);
    let (ours, on_gpu) = timed(|| gpu.knn(rows, K, &NoProgress));
    let (theirs, on_cpu) = timed(|| knn(rows, K, &NoProgress));
    report("neighbors", format!("{K} of {n}"), on_cpu, on_gpu, ours == theirs);
    let (ours, on_gpu) = timed(|| gpu.nearest_in(queries, rows, K, &NoProgress));
    let (theirs, on_cpu) = timed(|| nearest_in(queries, rows, K, &NoProgress));
    report("nearest across", format!("{K} of {} x {n}", queries.nrows()), on_cpu, on_gpu, ours == theirs);
    equal.into_iter().all(|it| it)
}

/// Times both joins three times; the first time includes what a GPU does once.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
fn speed(gpu: &Device, n: usize, dim: usize) {
    let rows = made(n, dim, 0);
    let options = JoinOptions { min_cosine: MIN_COSINE, ..JoinOptions::default() };
    // A multiplication and an addition for each number of each pair.
    let flops = (n as f64).powi(2) * dim as f64;
    println!("{:44}{:>12}{:>12}", format!("speed, {n} x {dim}"), "GPU s", "TFLOP/s");
    for _ in 0..3 {
        let (found, seconds) = timed(|| gpu.self_join(rows.view(), &options, &NoProgress));
        let what = format!("pairs at {MIN_COSINE}: {}", found.n_found);
        println!("{what:44}{seconds:12.3}{:12.0}", flops / seconds / 1e12);
        let (found, seconds) = timed(|| gpu.knn(rows.view(), K, &NoProgress));
        let sum = found.cosine.iter().map(|it| f64::from(*it)).sum::<f64>();
        let what = format!("{K} neighbors: mean cosine {:.6}", sum / found.cosine.len() as f64);
        println!("{what:44}{seconds:12.3}{:12.0}", flops / seconds / 1e12);
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = run();
    (result, started.elapsed().as_secs_f64())
}

/// Unit vectors around random centers, spread so that cosines of neighbors lie around the minimum. All sets share the
/// centers.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "random numbers of 24 bits")]
fn made(n: usize, dim: usize, set: u64) -> Array2<f32> {
    let mut rows = Array2::zeros((n, dim));
    let number = |random: u64| (random >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
    rows.as_slice_mut().unwrap().par_chunks_mut(dim).enumerate().for_each(|(i, row)| {
        // The rows of a center are far from each other, as in data that is not sorted.
        let center = (i % n.div_ceil(PER_CENTER)) as u64;
        let own = mixed(mixed(set + 1) ^ i as u64);
        let spread = 0.1 + 0.3 * (number(own) + 1.0);
        for (j, x) in row.iter_mut().enumerate() {
            let j = mixed(j as u64);
            *x = number(mixed(mixed(center) ^ j)) + spread * number(mixed(own ^ j));
        }
        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    });
    rows
}

/// The output of splitmix64 for a state (Steele et al. 2014).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
