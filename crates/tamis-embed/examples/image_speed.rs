//! Pictures per second of an image model, for `scripts/bench.sh engine`.
//!
//! `cargo run --release -p tamis-embed --example image_speed -- FOLDER THREADS SIDE N`
//!
//! For every line on stdin, `N` pictures of `SIDE` x `SIDE` pixels are embedded once; one line of JSON says how long it
//! took.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by a script, which reads its output")]

use std::io::BufRead as _;
use std::time::Instant;

use tamis_core::{NoProgress, Pixels};
use tamis_embed::{ImageModel, ModelFiles};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let model = ImageModel::load(&ModelFiles::Folder(args[0].clone().into())).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args[1].parse().unwrap()).build().unwrap();
    let side: u32 = args[2].parse().unwrap();
    let rgb = (0..side * side * 3).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
    let picture = Pixels { width: side, height: side, rgb };
    let pictures = vec![&picture; args[3].parse().unwrap()];
    let run = || pool.install(|| model.embed(&pictures, &NoProgress)).unwrap();
    run();
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        let start = Instant::now();
        run();
        println!("{{\"images\": {}, \"seconds\": {:.6}}}", pictures.len(), start.elapsed().as_secs_f64());
    }
}
