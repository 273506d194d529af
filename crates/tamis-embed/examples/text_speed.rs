//! Texts per second of a text model, for `scripts/bench.sh engine`.
//!
//! `cargo run --release -p tamis-embed --example text_speed -- FOLDER TEXTS.json THREADS [VECTORS.f32]`
//!
//! `TEXTS.json` is a list of texts. For every line on stdin the texts are embedded once, or a bare loop of multiply-adds
//! is timed if the line says `peak`; one line of JSON says what came out. Vectors are written once, unit length, in the
//! order of the texts, as little-endian f32.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by a script, which reads its output")]

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};
use tamis_core::NoProgress;
use tamis_embed::{ModelFiles, TextModel};

/// Multiply-adds that do not wait for each other: more than two units with a latency of four cycles can hold.
const CHAINS: usize = 12;

/// Rounds of a calibration.
const ROUNDS: u32 = 100_000_000;

struct Peak;

impl WithSimd for Peak {
    type Output = f64;

    /// Floating-point operations of the loop.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let [scale, shift] = std::hint::black_box([0.999, 0.001]).map(|x| simd.splat_f32s(x));
        let mut sums = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..ROUNDS {
            sums.iter_mut().for_each(|sum| *sum = simd.mul_add_e_f32s(*sum, scale, shift));
        }
        std::hint::black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
        f64::from(ROUNDS) * f64::from(u32::try_from(2 * CHAINS * S::F32_LANES).unwrap())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let model = TextModel::load(&ModelFiles::Folder(args[0].clone().into())).unwrap();
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(&args[1]).unwrap()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args[2].parse().unwrap()).build().unwrap();
    let run = || timed(|| pool.install(|| model.embed(&texts, &NoProgress)).unwrap().rows);
    let (rows, _) = run();
    if let Some(path) = args.get(3) {
        let unit = rows.rows().into_iter().flat_map(|row| {
            let norm = row.dot(&row).sqrt();
            row.iter().map(|x| x / norm).collect::<Vec<_>>()
        });
        std::fs::write(path, unit.flat_map(f32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    }
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "peak" {
            let (flops, time) = timed(|| Arch::new().dispatch(Peak));
            println!("{{\"gflop\": {:.1}, \"seconds\": {:.6}}}", flops / 1e9, time.as_secs_f64());
        } else {
            let (rows, time) = run();
            println!("{{\"texts\": {}, \"seconds\": {:.6}}}", rows.nrows(), time.as_secs_f64());
        }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
