//! Decodes the pictures of a folder on one thread, again and again: what `scripts/bench.sh engine images` measures.
//!
//! `cargo run --release -p tamis-data --example decode_speed`
//!
//! Reads tasks from its standard input, one a line: `full FOLDER` (fingerprints and the model's input, 224 x 224, bicubic),
//! `bilinear FOLDER` (the same by the bilinear filter), `fingerprints FOLDER` (no input) or `pdq FOLDER` (that and the hash of
//! 256 bits). Each is answered by a line with the number of pictures once all were decoded. Files are read into memory when their folder is named first, so that the
//! second and later tasks on a folder read nothing. The time is taken from outside, as that of the process.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is read by a script, and it stops at any error"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Write as _, stdin, stdout};
use std::path::Path;

use tamis_core::{Filter, Fit, InputSpec};
use tamis_data::image::{Decoder, Wanted};

fn main() {
    let mut folders: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let decoder = Decoder::new();
    for line in stdin().lines() {
        let line = line.unwrap();
        let (task, folder) = line.split_once(' ').unwrap();
        let files = folders.entry(folder.to_owned()).or_insert_with(|| files_of(Path::new(folder)));
        let spec = |filter| InputSpec { side: 224, fit: Fit::Stretch, filter };
        let input = match task {
            "full" => Some(spec(Filter::Bicubic)),
            "bilinear" => Some(spec(Filter::Bilinear)),
            "fingerprints" | "pdq" => None,
            other => panic!("unknown task `{other}`"),
        };
        let wanted = Wanted { input: input.as_ref(), pdq: task == "pdq" };
        for file in files.iter() {
            black_box(decoder.decode(black_box(file), wanted).unwrap());
        }
        println!("{}", files.len());
        stdout().flush().unwrap();
    }
}

/// The content of all files of a folder, sorted by path.
fn files_of(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|it| std::fs::read(it).unwrap()).collect()
}
