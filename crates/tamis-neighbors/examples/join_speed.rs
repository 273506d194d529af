//! Joins a file again and again: what `scripts/bench.sh pairs` measures.
//!
//! `join_speed lexical FILE.jsonl SHINGLE MIN THREADS`, where a line of the file is an object with a key `text`. The file is
//! read once; then every line of the standard input is answered by an object of JSON: `seconds` for shingles and join,
//! `pairs`, and a `checksum` of them.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is read by a script, and it stops at any error"
)]

use std::io::{Write as _, stdin, stdout};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Value, json};
use tamis_core::{NoProgress, Progress as _};
use tamis_neighbors::{SetJoin, SetMeasure, Shingle, TokenSets};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["lexical", file, shingle, min, threads] => {
            set_threads(threads);
            let (shingle, min): (Shingle, f64) = (shingle.parse().unwrap(), min.parse().unwrap());
            let file = std::fs::read_to_string(file).unwrap();
            let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
            let texts: Vec<String> = file.lines().map(text).collect();
            answer(|| lexical(&texts, shingle, min));
        }
        _ => panic!("usage: join_speed lexical FILE.jsonl SHINGLE MIN THREADS"),
    }
}

fn set_threads(threads: &str) {
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
}

/// Answers every line by what `run` says and the seconds that it took.
fn answer(mut run: impl FnMut() -> Value) {
    for _ in stdin().lines() {
        let started = Instant::now();
        let mut said = run();
        said["seconds"] = json!(started.elapsed().as_secs_f64());
        println!("{said}");
        stdout().flush().unwrap();
    }
}

fn lexical(texts: &[String], shingle: Shingle, min: f64) -> Value {
    let hashes: Vec<Vec<u64>> = texts.par_iter().map(|text| shingle.hashes(text)).collect();
    let join = SetJoin { measure: SetMeasure::Jaccard, min, max_pairs: 100_000_000 };
    let found = join.self_join(&TokenSets::new(&hashes), &*NoProgress.begin("join", None, "texts"));
    let sum =
        found.pairs.iter().fold(0_u64, |sum, it| sum.wrapping_add(mixed(u64::from(it.a) << 32 | u64::from(it.b))));
    json!({"pairs": found.n_found, "checksum": format!("{sum:016x}")})
}

/// The output of splitmix64 for a state (Steele et al. 2014).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
