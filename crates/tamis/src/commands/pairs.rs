//! `tamis pairs`.

use std::io::{BufWriter, Write};

use anyhow::Context as _;
use serde_json::json;
use tamis::config;
use tamis_data::atomic::Commits;

use super::set_threads;
use crate::args::{PairKind, PairsArgs};
use crate::exit::{ExitStatus, Usage, print_to_stderr};
use crate::progress::Bars;

mod texts;

mod vectors;

/// Samples that were joined, and their pairs.
#[derive(Default)]
struct Joined {
    /// By number of the sample.
    keys: Vec<String>,
    /// Two samples and their similarity, ascending.
    pairs: Vec<(u32, u32, f64)>,
    /// How many there are in all.
    n_found: u64,
    /// Samples that are listed with the first of their equals alone.
    n_represented: usize,
}

impl Joined {
    /// Counts a pair, and adds it if there is room.
    fn keep(&mut self, max_pairs: usize, pair: (u32, u32, f64)) {
        self.n_found += 1;
        if self.pairs.len() < max_pairs {
            self.pairs.push(pair);
        }
    }
}

/// Joins and prints.
pub(crate) fn run(args: &PairsArgs) -> anyhow::Result<ExitStatus> {
    let (file, _) = config::load(args.read.config.as_deref())?;
    set_threads(&args.read, &file)?;
    check(args)?;
    let bars = Bars::new(args.read.quiet);
    let joined = match args.kind {
        PairKind::Cosine => vectors::join(args, &bars)?,
        PairKind::Jaccard | PairKind::Containment => texts::join(args, &file, &bars)?,
    };
    match &args.out {
        None => print(args, &joined, &mut BufWriter::new(std::io::stdout().lock()))?,
        Some(path) => Commits::new()
            .write(path, |file| print(args, &joined, &mut BufWriter::new(file)))
            .with_context(|| format!("cannot write {}", path.display()))?,
    }
    if !args.read.quiet {
        print_to_stderr(&summary(args, &joined));
    }
    Ok(ExitStatus::Clean)
}

/// Refuses what can be corrected on the command line.
fn check(args: &PairsArgs) -> Result<(), Usage> {
    let (least, most) = if args.kind == PairKind::Cosine { (-1.0, 1.0) } else { (0.0, 1.0) };
    let is_within = (least..=most).contains(&args.min) && (args.kind == PairKind::Cosine || 0.0 < args.min);
    if !is_within {
        let range = if args.kind == PairKind::Cosine { "from -1 to 1" } else { "above 0 and at most 1" };
        return Err(Usage(format!("--min is {}, expected a {} {range}", args.min, args.kind.id())));
    }
    if args.vectors.is_some() && args.kind != PairKind::Cosine {
        return Err(Usage(format!("--vectors is for --kind cosine, not for {}", args.kind.id())));
    }
    if args.vectors.is_some() && !args.read.paths.is_empty() {
        return Err(Usage("--vectors stands in the place of files to read".to_owned()));
    }
    Ok(())
}

fn print(args: &PairsArgs, joined: &Joined, out: &mut dyn Write) -> std::io::Result<()> {
    for (a, b, similarity) in &joined.pairs {
        let (a, b) = (&joined.keys[*a as usize], &joined.keys[*b as usize]);
        if args.format == "jsonl" || args.out.is_some() {
            let line = json!({"a_key": a, "b_key": b, "kind": args.kind.id(), "similarity": similarity});
            writeln!(out, "{line}")?;
        } else {
            let [a, b] = [a, b].map(|key| tamis_report::visible(key));
            writeln!(out, "{similarity:.4}\t{a}\t{b}")?;
        }
    }
    out.flush()
}

/// What was found, for people.
fn summary(args: &PairsArgs, joined: &Joined) -> String {
    let Joined { keys, pairs, n_found, n_represented } = joined;
    let what = if args.kind == PairKind::Cosine { String::new() } else { format!(" of {}", args.shingle) };
    let mut text =
        format!("{n_found} pairs of {} samples, {}{what} at least {}\n", keys.len(), args.kind.id(), args.min);
    if (pairs.len() as u64) < *n_found {
        text.push_str(&format!("the first {} are listed; --max-pairs lists more\n", pairs.len()));
    }
    if 0 < *n_represented {
        text.push_str(&format!("{n_represented} samples are listed with the first of many equal ones alone\n"));
    }
    text
}
