//! Joins the same data again and again: what `scripts/bench.sh pairs` measures.
//!
//! - `join_speed lexical FILE.jsonl SHINGLE MIN THREADS`: lines are objects with a key `text`; seconds are for shingles and
//!   join.
//! - `join_speed across FILE.jsonl N MEASURE SHINGLE MIN THREADS`: the same for pairs of one of the first N texts and one of
//!   the others; MEASURE is `jaccard` or `containment`.
//! - `join_speed cosine ROWS.f32 DIM MIN THREADS` and `join_speed knn ROWS.f32 DIM K THREADS`: rows are little-endian f32 of
//!   unit length.
//!
//! The file is read once; then every line of the standard input is answered by an object of JSON with `seconds`; with the
//! number of `pairs`, and for texts a `checksum` of them; or, for neighbors, with the sum of their cosines as `checksum`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is read by a script, and it stops at any error"
)]

use std::io::{Write as _, stdin, stdout};
use std::time::Instant;

use ndarray::Array2;
use rayon::prelude::*;
use serde_json::{Value, json};
use tamis_core::NoProgress;
use tamis_neighbors::{JoinOptions, SetJoin, SetMeasure, Shingle, TokenSets, knn, self_join};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["lexical", file, shingle, min, threads] => {
            set_threads(threads);
            let texts = texts(file);
            let join = join(SetMeasure::Jaccard, min);
            answer(|| lexical(&texts, None, shingle.parse().unwrap(), join));
        }
        ["across", file, n, measure, shingle, min, threads] => {
            set_threads(threads);
            let (texts, n) = (texts(file), n.parse().unwrap());
            let measure = if measure == "jaccard" { SetMeasure::Jaccard } else { SetMeasure::Containment };
            let join = join(measure, min);
            answer(|| lexical(&texts, Some(n), shingle.parse().unwrap(), join));
        }
        ["cosine", file, dim, min, threads] => {
            set_threads(threads);
            let rows = rows(file, dim);
            let options = JoinOptions { min_cosine: min.parse().unwrap(), ..JoinOptions::default() };
            answer(|| json!({"pairs": self_join(rows.view(), &options, &NoProgress).n_found}));
        }
        ["knn", file, dim, k, threads] => {
            set_threads(threads);
            let (rows, k) = (rows(file, dim), k.parse().unwrap());
            let sum = |cosines: &Array2<f32>| cosines.iter().map(|it| f64::from(*it)).sum::<f64>();
            answer(|| json!({"checksum": sum(&knn(rows.view(), k, &NoProgress).cosine)}));
        }
        _ => panic!("usage: join_speed lexical|across|cosine|knn FILE .. THREADS, see the source"),
    }
}

fn set_threads(threads: &str) {
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
}

/// Rows of a file.
fn rows(file: &str, dim: &str) -> Array2<f32> {
    let dim: usize = dim.parse().unwrap();
    let bytes = std::fs::read(file).unwrap();
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it)).collect();
    Array2::from_shape_vec((values.len() / dim, dim), values).unwrap()
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

/// Texts of a file.
fn texts(file: &str) -> Vec<String> {
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    std::fs::read_to_string(file).unwrap().lines().map(text).collect()
}

fn join(measure: SetMeasure, min: &str) -> SetJoin {
    SetJoin { measure, min: min.parse().unwrap(), max_pairs: 100_000_000 }
}

/// The pairs of all texts, or of the first `n_queries` and the others.
fn lexical(texts: &[String], n_queries: Option<usize>, shingle: Shingle, join: SetJoin) -> Value {
    let hashes: Vec<Vec<u64>> = texts.par_iter().map(|text| shingle.hashes(text)).collect();
    let found = match n_queries {
        None => join.self_join(&TokenSets::new(&hashes), &NoProgress),
        Some(n) => {
            let sets = TokenSets::of_owners(&hashes, |text| u32::from(n <= text));
            join.cross_join(&sets, n, &NoProgress)
        }
    };
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
