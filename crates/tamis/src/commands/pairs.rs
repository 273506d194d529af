//! `tamis pairs`.

use std::io::{BufWriter, Write};
use std::ops::Range;

use anyhow::Context as _;
use serde_json::json;
use tamis::config;
use tamis::copies::images::ImageCopyOptions;
use tamis_core::{Alignment, Margins};
use tamis_data::atomic::Commits;
use tamis_neighbors::Shingle;

use super::set_threads;
use crate::args::{ImageHash, PairKind, PairsArgs};
use crate::exit::{ExitStatus, Usage, print_to_stderr};
use crate::progress::Bars;

mod copies;

mod hashes;

mod texts;

mod vectors;

/// Bytes of a run that are shown.
const MAX_SHOWN: usize = 100;

/// Two samples, by their numbers, and their similarity.
type Pair = (u32, u32, f64);

/// Samples that were joined, and their pairs.
#[derive(Default)]
struct Joined {
    /// By number of the sample.
    keys: Vec<String>,
    /// Ascending.
    pairs: Vec<Pair>,
    /// How many there are in all.
    n_found: u64,
    /// Samples, or windows of them, that are listed with the first of their equals alone.
    n_represented: usize,
    /// Where in both texts the windows are, for each pair. Empty where texts were compared as a whole.
    bytes: Vec<[Range<usize>; 2]>,
    /// The longest run of words that stands in both, for each pair: how many, and as the first text has it. Empty where it
    /// was not asked for.
    runs: Vec<Option<(usize, String)>>,
    /// How the second lies in the first, for each pair. Empty where that is not known.
    alignments: Vec<Alignment>,
    /// Whether there may be more pairs than were counted.
    is_least: bool,
    /// What else is to be known.
    notes: Vec<String>,
}

impl Joined {
    /// Counts a pair, and adds it if there is room.
    fn keep(&mut self, max_pairs: usize, pair: Pair) {
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
    let min = min(args)?;
    let bars = Bars::new(args.read.quiet);
    let joined = match args.kind {
        PairKind::Cosine => vectors::join(args, min, &file, &bars)?,
        PairKind::Jaccard | PairKind::Containment => texts::join(args, min, &file, &bars)?,
        PairKind::Hamming => hashes::join(args, min, &file, &bars)?,
        PairKind::Copy => copies::join(args, min, &file, &bars)?,
    };
    match &args.out {
        None => print(args, &joined, &mut BufWriter::new(std::io::stdout().lock()))?,
        Some(path) => Commits::new()
            .write(path, |file| print(args, &joined, &mut BufWriter::new(file)))
            .with_context(|| format!("cannot write {}", path.display()))?,
    }
    if !args.read.quiet {
        print_to_stderr(&summary(args, min, &joined));
    }
    Ok(ExitStatus::Clean)
}

/// The smallest similarity that counts; refuses what can be corrected on the command line.
fn min(args: &PairsArgs) -> Result<f64, Usage> {
    let (hash, radius) = (args.hash(), radius(args));
    let min = match (args.min, radius) {
        (Some(min), _) => min,
        (None, Some(radius)) if args.kind == PairKind::Hamming && radius <= hash.n_bits() => {
            1.0 - f64::from(radius) / f64::from(hash.n_bits())
        }
        (None, Some(radius)) if args.kind == PairKind::Hamming => {
            let (n_bits, id) = (hash.n_bits(), hash.id());
            return Err(Usage(format!("--radius is {radius}, expected at most the {n_bits} bits of {id}")));
        }
        (None, _) if args.kind == PairKind::Copy => f64::from(ImageCopyOptions::default().min_score),
        (None, None) => return Err(Usage(format!("--kind {} wants --min", args.kind.id()))),
        (None, Some(_)) => {
            return Err(Usage(format!("--radius is for --kind hamming; {} wants --min", args.kind.id())));
        }
    };
    let (is_within, range) = match args.kind {
        PairKind::Cosine => ((-1.0..=1.0).contains(&min), "from -1 to 1"),
        PairKind::Hamming | PairKind::Copy => ((0.0..=1.0).contains(&min), "from 0 to 1"),
        PairKind::Jaccard | PairKind::Containment => (0.0 < min && min <= 1.0, "above 0 and at most 1"),
    };
    if !is_within {
        return Err(Usage(format!("--min is {min}, expected a similarity {range} for --kind {}", args.kind.id())));
    }
    let is_of_texts = matches!(args.kind, PairKind::Jaccard | PairKind::Containment);
    for (flag, is_given, is_meant) in [
        ("--vectors", args.vectors.is_some(), args.kind == PairKind::Cosine),
        ("--evidence", args.evidence, is_of_texts),
        ("--shingle", args.shingle.is_some(), is_of_texts),
        ("--window", args.window.is_some(), is_of_texts),
        ("--approximate", args.approximate, args.kind == PairKind::Jaccard),
        ("--hash", args.hash.is_some(), args.kind == PairKind::Hamming),
        ("--radius", args.radius.is_some(), args.kind == PairKind::Hamming),
        ("--turned", args.turned, args.kind == PairKind::Hamming),
        ("--against", args.against.is_some(), !matches!(args.kind, PairKind::Hamming | PairKind::Copy)),
        ("--model", args.read.model.is_some(), args.kind == PairKind::Copy),
        ("--device", args.read.device.is_some(), matches!(args.kind, PairKind::Copy | PairKind::Cosine)),
    ] {
        if is_given && !is_meant {
            return Err(Usage(format!("{flag} is not for `tamis pairs --kind {}`", args.kind.id())));
        }
    }
    if args.turned && args.hash() == ImageHash::Dhash {
        return Err(Usage("--turned is not for --hash dhash, which has no hashes of other orientations".to_owned()));
    }
    let read = &args.read;
    let n_paths = read.paths.len() + read.train.len() + read.validation.len() + read.test.len();
    if args.vectors.is_some() && 0 < n_paths {
        return Err(Usage("--vectors stands in the place of files to read".to_owned()));
    }
    if let (Some(n_words), Shingle::Words(n) | Shingle::Alnum(n)) = (args.window, args.shingle())
        && (n_words as usize) < n.get()
    {
        return Err(Usage(format!("--window is {n_words}, expected at least {n} words for {}", args.shingle())));
    }
    let recall = args.recall();
    if !(0.0 < recall && recall < 1.0) {
        return Err(Usage(format!("--recall is {recall}, expected a share above 0 and below 1")));
    }
    Ok(min)
}

/// Most bits that may differ, given or by default; `None` where neither is.
fn radius(args: &PairsArgs) -> Option<u32> {
    let by_default = || args.hash().default_radius().filter(|_| args.kind == PairKind::Hamming && args.min.is_none());
    args.radius.or_else(by_default)
}

fn print(args: &PairsArgs, joined: &Joined, out: &mut dyn Write) -> std::io::Result<()> {
    for (place, (a, b, similarity)) in joined.pairs.iter().enumerate() {
        let (a, b) = (&joined.keys[*a as usize], &joined.keys[*b as usize]);
        let (run, bytes) = (joined.runs.get(place).map(Option::as_ref), joined.bytes.get(place));
        let alignment = joined.alignments.get(place);
        if args.format == "jsonl" || args.out.is_some() {
            let mut line = json!({"a_key": a, "b_key": b, "kind": args.kind.id(), "similarity": similarity});
            if let Some([a, b]) = bytes {
                line["a_bytes"] = json!([a.start, a.end]);
                line["b_bytes"] = json!([b.start, b.end]);
            }
            if let Some(run) = run {
                line["run"] = run.map_or(json!(null), |(n_words, text)| json!({"words": n_words, "text": text}));
            }
            if let Some(Alignment { orientation, crop }) = alignment {
                line["orientation"] = json!(orientation.id());
                let margins =
                    |it: Margins| json!({"left": it.left, "top": it.top, "right": it.right, "bottom": it.bottom});
                line["crop"] = crop.map_or(json!(null), |it| json!({"a": margins(it.first), "b": margins(it.second)}));
            }
            writeln!(out, "{line}")?;
        } else {
            let [a, b] = [a, b].map(|key| tamis_report::visible(key));
            write!(out, "{similarity:.4}\t{a}\t{b}")?;
            if let Some(alignment) = alignment {
                write!(out, "\t{}", alignment.phrase())?;
            }
            for Range { start, end } in bytes.into_iter().flatten() {
                write!(out, "\t{start}-{end}")?;
            }
            match run {
                None => writeln!(out)?,
                Some(None) => writeln!(out, "\t0 words\t")?,
                Some(Some((n_words, text))) => writeln!(out, "\t{n_words} words\t{}", shown(text))?,
            }
        }
    }
    out.flush()
}

/// The beginning of a run, on one line.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = tamis_core::text::cut(&line, MAX_SHOWN);
    let more = if cut.len() < line.len() { "…" } else { "" };
    format!("{}{more}", tamis_report::visible(cut))
}

/// What to say of samples that are in no pair, and why.
fn left_out(n: usize, why: &str) -> Option<String> {
    (0 < n).then(|| format!("in no pair: {n} {why}"))
}

/// Why samples are left out that could not be read.
const UNREAD: &str = "that could not be read, `tamis audit` says why";

/// What was found, for people.
fn summary(args: &PairsArgs, min: f64, joined: &Joined) -> String {
    let Joined { keys, pairs, n_found, n_represented, notes, .. } = joined;
    let windows = args.window.map_or_else(String::new, |n_words| format!(" in windows of {n_words} words"));
    let turned = if args.turned { ", one of them turned," } else { "" };
    let what = match (args.kind, radius(args)) {
        (PairKind::Cosine, _) => format!("cosine at least {min}"),
        (PairKind::Hamming, Some(radius)) => {
            format!("{}{turned} that differ in at most {radius} bits", args.hash().id())
        }
        (PairKind::Hamming, None) => format!("{}{turned} with at least {min} of their bits equal", args.hash().id()),
        (PairKind::Copy, _) => format!("pixels in common alike by at least {min:.4}"),
        (kind, _) => format!("{} of {}{windows} at least {min}", kind.id(), args.shingle()),
    };
    let noun = if *n_found == 1 { "pair" } else { "pairs" };
    let least = if joined.is_least { "at least " } else { "" };
    let mut text = format!("{least}{n_found} {noun} of {} samples, {what}\n", keys.len());
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    if (pairs.len() as u64) < *n_found {
        text.push_str(&format!(
            "{} of them are listed, those of equal samples first; --max-pairs lists more\n",
            pairs.len()
        ));
    }
    if 0 < *n_represented {
        let noun = if args.window.is_some() { "windows" } else { "samples" };
        text.push_str(&format!("{n_represented} {noun} are listed with the first of many equal ones alone\n"));
    }
    text
}
