//! Compares our WordPiece with the tokenizers library on files: ids and truncation of every text, and the time of both.
//!
//! `cargo run --release -p tamis-embed --example tokenizer_parity -- TOKENIZER.json FILE|FOLDER...`
//!
//! Bytes that are not UTF-8 are replaced. Each file is compared four times: line by line and in pieces of 550 bytes, cut
//! at 256 tokens, and whole, cut at 256 tokens and not at all. Both run on one thread, one after the other for each
//! file; times are those of the processor where the system tells them (Linux), else those of the clock. Ends with an
//! error if anything differs.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "it is run by hand and its output read by a person"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use tamis_embed::tokens::{Tokens, WordPiece};
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

/// Bytes of a piece: a short English document.
const PIECE_BYTES: usize = 550;

/// What the bundled model reads.
const MAX_TOKENS: usize = 256;

/// One way to make texts of a file.
struct Way {
    name: &'static str,
    split: fn(&str) -> Vec<&str>,
    ours: WordPiece,
    theirs: Tokenizer,
    n_texts: usize,
    n_bytes: usize,
    n_tokens: usize,
    n_different: usize,
    our_seconds: f64,
    their_seconds: f64,
}

impl Way {
    fn new(name: &'static str, split: fn(&str) -> Vec<&str>, tokenizer: &Tokenizer, max_tokens: usize) -> Self {
        let ours = WordPiece::new(tokenizer, max_tokens).expect("because the tokenizer is of BERT's kind");
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let mut theirs = tokenizer.clone();
        theirs.with_padding(None).with_truncation(Some(truncation)).unwrap();
        let (n_texts, n_bytes, n_tokens, n_different) = (0, 0, 0, 0);
        Self {
            name,
            split,
            ours,
            theirs,
            n_texts,
            n_bytes,
            n_tokens,
            n_different,
            our_seconds: 0.0,
            their_seconds: 0.0,
        }
    }

    fn compare(&mut self, path: &Path, text: &str) {
        let texts = (self.split)(text);
        let (ours, seconds) = timed(|| texts.iter().map(|text| self.ours.encode(text)).collect::<Vec<_>>());
        self.our_seconds += seconds;
        let encode = |text: &&str| {
            let encoding = self.theirs.encode_fast(*text, true).unwrap();
            Tokens { ids: encoding.get_ids().to_vec(), truncated: !encoding.get_overflowing().is_empty() }
        };
        let (theirs, seconds) = timed(|| texts.iter().map(encode).collect::<Vec<_>>());
        self.their_seconds += seconds;
        for ((text, ours), theirs) in texts.iter().zip(&ours).zip(&theirs) {
            self.n_texts += 1;
            self.n_bytes += text.len();
            self.n_tokens += theirs.ids.len();
            if ours != theirs {
                self.n_different += 1;
                let head: String = text.chars().take(200).collect();
                println!("{} differs, {}: {head:?}", path.display(), self.name);
            }
        }
    }

    fn print(&self) {
        let speed = |seconds: f64| self.n_bytes as f64 / 1e6 / seconds;
        let (ours, theirs) = (speed(self.our_seconds), speed(self.their_seconds));
        let Self { name, n_texts, n_bytes, n_tokens, n_different, .. } = self;
        println!(
            "{name:24} {n_texts:9} texts {n_bytes:11} bytes {n_tokens:10} tokens {n_different:3} different, \
             ours {ours:8.1} MB/s, theirs {theirs:6.2} MB/s, {:.0} times",
            ours / theirs
        );
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let tokenizer = arguments.next().expect("because the first argument is a tokenizer.json");
    let tokenizer = Tokenizer::from_file(tokenizer).unwrap();
    let mut ways = [
        Way::new("lines", |text| text.lines().collect(), &tokenizer, MAX_TOKENS),
        Way::new("pieces of 550 bytes", pieces, &tokenizer, MAX_TOKENS),
        Way::new("files", |text| vec![text], &tokenizer, MAX_TOKENS),
        Way::new("files, not truncated", |text| vec![text], &tokenizer, 1 << 30),
    ];
    let mut paths: Vec<PathBuf> = arguments.collect();
    let mut n_files = 0;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        n_files += 1;
        for way in &mut ways {
            way.compare(&path, &text);
        }
    }
    println!("{n_files} files");
    for way in &ways {
        way.print();
    }
    assert!(ways.iter().all(|way| way.n_different == 0), "some texts have other tokens");
}

/// Cuts `text` into pieces of at most `PIECE_BYTES`, wherever that is.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Runs `work` and says how many seconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let (clock, cpu) = (Instant::now(), cpu_seconds());
    let done = work();
    let seconds = cpu.zip(cpu_seconds()).map_or(clock.elapsed().as_secs_f64(), |(start, end)| end - start);
    (done, seconds)
}

/// Seconds that this thread has run, by the first number of its `schedstat` (nanoseconds); `None` where there is none.
/// Linux brings the number up to date when it schedules, hence the yield.
fn cpu_seconds() -> Option<f64> {
    std::thread::yield_now();
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(line.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
