//! Judges labels by vectors again and again: what a comparison with another program measures.
//!
//! `label_evidence VECTORS LABELS NEIGHBORS SIMILARITIES OUT N DIM K CLASSES THREADS [SWEEPS [VOTERS]]`: files of plain
//! little-endian numbers in C order, vectors and similarities `f32`, labels `i32` with -1 for none, neighbors `u32`.
//!
//! Vectors and neighbors are read once; every line of the standard input has the labels read anew, and is answered by an
//! object of JSON with the `seconds` that judging took, the estimated `rate` of wrong labels with `low` and `high`, the
//! same by class, and the review budget. Four `f32` a sample go to OUT: the probability of the given label before and
//! after it was looked at (not a number where there is none), the suggested class (-1 for none), its probability.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is read by a script, and it stops at any error"
)]

use std::io::{Write as _, stdin, stdout};
use std::time::Instant;

use ndarray::Array2;
use tamis_labels::{EvidenceOptions, LabelEvidence, LabeledVectors, Rate, label_evidence};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, labels, neighbors, similarities, out] = &args[..5] else { panic!("too few arguments: {args:?}") };
    let numbers: Vec<usize> = args[5..].iter().map(|number| number.parse().unwrap()).collect();
    let [n, dim, k, n_classes, threads] = numbers[..5] else { panic!("too few numbers: {args:?}") };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let mut options = EvidenceOptions::default();
    options.sweeps = numbers.get(5).copied().unwrap_or(options.sweeps);
    options.neighbors = numbers.get(6).copied().unwrap_or(options.neighbors);
    let features = Array2::from_shape_vec((n, dim), read(vectors, f32::from_le_bytes)).unwrap();
    let neighbors = Array2::from_shape_vec((n, k), read(neighbors, u32::from_le_bytes)).unwrap();
    let similarities = Array2::from_shape_vec((n, k), read(similarities, f32::from_le_bytes)).unwrap();
    let families: Vec<u32> = (0..).take(n).collect();
    for line in stdin().lines() {
        line.unwrap();
        let labels: Vec<Option<u32>> =
            read(labels, i32::from_le_bytes).into_iter().map(|label| u32::try_from(label).ok()).collect();
        let start = Instant::now();
        let samples = LabeledVectors {
            features: features.view(),
            labels: &labels,
            n_classes,
            families: &families,
            neighbors: neighbors.view(),
            similarities: similarities.view(),
        };
        let evidence = label_evidence(&samples, &options).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        write(out, &evidence);
        println!("{}", answer(&evidence, seconds));
        stdout().flush().unwrap();
    }
}

fn answer(evidence: &LabelEvidence, seconds: f64) -> String {
    let rate = |rate: &Rate| format!("\"rate\": {}, \"low\": {}, \"high\": {}", rate.estimate, rate.low, rate.high);
    let by_class = evidence.noise.by_class.iter().map(|it| format!("{{\"class\": {}, {}}}", it.class, rate(&it.rate)));
    let budget = evidence.noise.budget;
    format!(
        "{{\"seconds\": {seconds}, {}, \"by_class\": [{}], \"to_review\": {}, \"expected_errors\": {}}}",
        rate(&evidence.noise.rate),
        by_class.collect::<Vec<_>>().join(", "),
        budget.n,
        budget.expected_errors
    )
}

fn write(path: &str, evidence: &LabelEvidence) {
    let numbers = evidence.rows.iter().flat_map(|row| {
        [
            row.given_probability.unwrap_or(f32::NAN),
            row.correct_probability.unwrap_or(f32::NAN),
            row.suggested.map_or(-1.0, |class| class as f32),
            row.suggested_probability,
        ]
    });
    std::fs::write(path, numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
}

fn read<T, const N: usize>(path: &str, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let bytes = std::fs::read(path).unwrap();
    let (elements, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "{path} ends within a number");
    elements.iter().map(|&bytes| decode(bytes)).collect()
}
