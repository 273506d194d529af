//! Finds label issues in two `.npy` files again and again: what a comparison with another program measures.
//!
//! `find_label_issues LABELS.npy PROBABILITIES.npy ISSUES.npy THREADS [FILTER [SCORE]]`: labels are whole numbers of one to
//! eight bytes, probabilities `f32` or `f64` in C or Fortran order. FILTER and SCORE have the names of cleanlab,
//! `prune_by_noise_rate` and `self_confidence` by default.
//!
//! The files are read once; then every line of the standard input is answered by an object of JSON with the `seconds` that
//! finding took, the number `issues`, and in bytes the memory before (`input_bytes`) and the most so far (`peak_bytes`),
//! both as Linux counts them, else 0. The issues of the last line, worst first, are written as `i64`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is read by a script, and it stops at any error"
)]

use std::fs::File;
use std::io::{BufReader, Read, Write as _, stdin, stdout};
use std::time::Instant;

use ndarray::{Array2, ShapeBuilder as _};
use tamis_labels::{Adjustment, ConfidentLearning, Filter, FilterOptions, LearningOptions, Probability, QualityScore};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [labels, probabilities, issues, threads] = &args[..4] else { panic!("four arguments, got {args:?}") };
    let threads = threads.parse().unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let filter = args.get(4).map_or_else(Filter::default, |name| name.parse().unwrap());
    let score = args.get(5).map_or_else(QualityScore::default, |name| name.parse().unwrap());
    let labels = read_labels(labels);
    let mut file = BufReader::new(File::open(probabilities).unwrap());
    let header = Header::read(&mut file);
    match header.element.as_str() {
        "<f4" => answer(&labels, &header.matrix(&mut file, f32::from_le_bytes), (filter, score), issues),
        "<f8" => answer(&labels, &header.matrix(&mut file, f64::from_le_bytes), (filter, score), issues),
        other => panic!("{probabilities} has element type {other}"),
    }
}

fn answer<P: Probability>(labels: &[u32], probabilities: &Array2<P>, how: (Filter, QualityScore), path: &str) {
    let (filter, score) = how;
    let input_bytes = memory("VmRSS:");
    for line in stdin().lines() {
        line.unwrap();
        let start = Instant::now();
        let options = LearningOptions::default();
        let learning = ConfidentLearning::new(labels, probabilities.view(), &options).unwrap();
        let issues = learning.issues(filter, &FilterOptions::default(), score, Adjustment::None).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        drop(learning);
        let (n, peak_bytes) = (issues.len(), memory("VmHWM:"));
        println!(
            "{{\"seconds\": {seconds}, \"issues\": {n}, \"input_bytes\": {input_bytes}, \"peak_bytes\": {peak_bytes}}}"
        );
        stdout().flush().unwrap();
        write_indices(path, &issues);
    }
}

/// One number of the process's memory, in bytes.
fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(key));
    value.map_or(0, |value| value.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024)
}

/// What the first bytes of an `.npy` file of version 1 say.
struct Header {
    element: String,
    is_fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(file: &mut impl Read) -> Self {
        let mut start = [0; 10];
        file.read_exact(&mut start).unwrap();
        assert_eq!(&start[..8], b"\x93NUMPY\x01\x00", "no .npy of version 1");
        let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
        file.read_exact(&mut header).unwrap();
        let header = String::from_utf8(header).unwrap();
        let between = |start: &str, end: &str| {
            let rest = header.split_once(start).unwrap().1;
            rest.split_once(end).unwrap().0.to_owned()
        };
        let lengths = between("'shape': (", ")");
        Self {
            element: between("'descr': '", "'"),
            is_fortran: header.contains("'fortran_order': True"),
            shape: lengths.split(',').filter_map(|length| length.trim().parse().ok()).collect(),
        }
    }

    /// The rest of the file, element by element, without a second copy of it in memory.
    fn elements<T, const N: usize>(&self, file: &mut impl Read, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
        let n = self.shape.iter().product();
        let mut element = [0; N];
        let mut elements = Vec::with_capacity(n);
        for _ in 0..n {
            file.read_exact(&mut element).unwrap();
            elements.push(decode(element));
        }
        elements
    }

    fn matrix<T, const N: usize>(&self, file: &mut impl Read, decode: impl Fn([u8; N]) -> T) -> Array2<T> {
        let shape = (self.shape[0], self.shape[1]);
        Array2::from_shape_vec(shape.set_f(self.is_fortran), self.elements(file, decode)).unwrap()
    }
}

fn read_labels(path: &str) -> Vec<u32> {
    let mut file = BufReader::new(File::open(path).unwrap());
    let header = Header::read(&mut file);
    match header.element.as_str() {
        "|u1" => header.elements(&mut file, |[byte]| u32::from(byte)),
        "<i4" => header.elements(&mut file, |bytes| u32::try_from(i32::from_le_bytes(bytes)).unwrap()),
        "<i8" => header.elements(&mut file, |bytes| u32::try_from(i64::from_le_bytes(bytes)).unwrap()),
        other => panic!("{path} has element type {other}"),
    }
}

fn write_indices(path: &str, indices: &[usize]) {
    let mut header = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", indices.len());
    // The header ends with a line break and is padded to a multiple of 64 bytes with its ten bytes before it.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let mut bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
    bytes.extend(indices.iter().flat_map(|&index| (index as i64).to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}
