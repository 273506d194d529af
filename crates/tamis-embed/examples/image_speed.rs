//! Pictures per second of the bundled image model on one thread, at 224 and at 96 pixels; the best of five runs.
//!
//! `cargo run --release -p tamis-embed --example image_speed [FOLDER OF A MODEL]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by hand and its output read by a person")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tamis_core::{NoProgress, Pixels};
use tamis_embed::{ImageModel, ModelFiles};

fn main() {
    let bundled = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mobilenet-v2"));
    let folder = std::env::args_os().nth(1).map_or(bundled, PathBuf::from);
    let model = ImageModel::load(&ModelFiles::Folder(folder)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (side, n) in [(224, 40), (96, 200)] {
        let rgb = (0..side * side * 3).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
        let picture = Pixels { width: side, height: side, rgb };
        let pictures = vec![&picture; n];
        let run = || {
            let start = Instant::now();
            pool.install(|| model.embed(&pictures, &NoProgress)).unwrap();
            start.elapsed()
        };
        let best: Duration = (0..5).map(|_| run()).min().unwrap();
        println!("{side} x {side}: {:.1} pictures a second", f64::from(u32::try_from(n).unwrap()) / best.as_secs_f64());
    }
}
