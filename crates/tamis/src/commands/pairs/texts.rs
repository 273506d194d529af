//! Pairs of texts that share words or characters.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;
use tamis::config::FileConfig;
use tamis::ingest::WindowSize;
use tamis_core::{Modality, Progress};
use tamis_data::{Images, Input, ReadContent, Reader};
use tamis_neighbors::{CommonRun, SetJoin, SetMeasure, SetPairs, TokenSets, Words, windows};

use super::{Joined, Pair, UNREAD, left_out};
use crate::args::{PairKind, PairsArgs};
use crate::commands::{inputs, read_options};
use crate::exit::Usage;

mod near;

/// Reads the texts and joins them.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let near = if args.approximate { Some(near::read(args, min, file, progress)?) } else { None };
    let stage = if args.approximate { "reading again" } else { "reading" };
    let mut all = Hashed { near: near.as_ref().map(|it| &it.near[..]), ..Hashed::default() };
    let Read { keys, n_queries } = read(args, file, stage, progress, |texts| all.add(texts, args))?;
    let n_bare = all.n_bare + near.as_ref().map_or(0, |it| it.n_bare);
    let left_out = [left_out(all.n_unread, UNREAD), left_out(n_bare, "without words to compare")];
    let mut joined = Joined { keys, notes: left_out.into_iter().flatten().collect(), ..Joined::default() };
    if let Some(near) = &near {
        near.check(joined.keys.len())?;
        joined.notes.push(near.note(min));
    }
    let Hashed { hashes, documents, bytes, texts, .. } = all;
    let SetPairs { pairs, n_found, n_represented } = pairs(args, min, hashes, &documents, n_queries, progress);
    let document = |set: u32| documents.get(set as usize).copied().unwrap_or(set);
    joined.pairs.extend(pairs.iter().map(|it| (document(it.a), document(it.b), it.similarity)));
    (joined.n_found, joined.n_represented) = (n_found, n_represented);
    if args.window.is_some() {
        joined.bytes = pairs.iter().map(|pair| [pair.a, pair.b].map(|part| bytes[part as usize].clone())).collect();
        // Of pairs of texts that are not listed, one is counted.
        joined.is_least = (pairs.len() as u64) < n_found;
    }
    if args.evidence {
        joined.runs = common_runs(&texts, &joined.pairs, progress);
    }
    Ok(joined)
}

/// The pairs of sets of hashes. The texts that they are of are `documents`; where that is empty, each is of its own. The first
/// `n_queries` texts are queries.
fn pairs(
    args: &PairsArgs,
    min: f64,
    hashes: Vec<Vec<u64>>,
    documents: &[u32],
    n_queries: usize,
    progress: &dyn Progress,
) -> SetPairs {
    let document = |set: usize| documents.get(set).copied().unwrap_or_else(|| number(set));
    let n_queries = match documents {
        [] => n_queries.min(hashes.len()),
        _ => documents.partition_point(|it| *it < number(n_queries)),
    };
    let sets = match &args.against {
        None => TokenSets::of_owners(&hashes, document),
        Some(_) => TokenSets::of_owners(&hashes, |set| u32::from(n_queries <= set)),
    };
    drop(hashes);
    let measure = if args.kind == PairKind::Jaccard { SetMeasure::Jaccard } else { SetMeasure::Containment };
    let join = SetJoin { measure, min, max_pairs: args.max_pairs };
    let noun = if args.window.is_some() { "windows" } else { Modality::Text.nouns() };
    let task = progress.begin("joining", Some(sets.len() as u64), noun);
    match (args.window, &args.against) {
        (None, None) => join.self_join(&sets, &*task),
        (None, Some(_)) => join.cross_join(&sets, n_queries, &*task),
        (Some(_), None) => join.self_join_of_parts(&sets, documents, &*task),
        (Some(_), Some(_)) => join.cross_join_of_parts(&sets, documents, n_queries, &*task),
    }
}

/// The longest run of words that stands in both texts, for each pair.
fn common_runs(texts: &[String], pairs: &[Pair], progress: &dyn Progress) -> Vec<Option<(usize, String)>> {
    let task = progress.begin("comparing words", Some(pairs.len() as u64), "pairs");
    // Of the texts that are in some pair, once each.
    let words: Vec<OnceLock<Words>> = texts.iter().map(|_| OnceLock::new()).collect();
    let words_of = |text: u32| words[text as usize].get_or_init(|| Words::of(&texts[text as usize]));
    let run = |(a, b, _): &Pair| {
        let run = words_of(*a).longest_common_run(words_of(*b));
        task.advance(1);
        run.map(|CommonRun { n_words, a: bytes, .. }| (n_words, texts[*a as usize][bytes].to_owned()))
    };
    pairs.par_iter().map(run).collect()
}

/// What was read.
struct Read {
    /// By number of the text.
    keys: Vec<String>,
    /// How many of the texts are those of the files, before those that they are compared with.
    n_queries: usize,
}

/// Gives all texts to `take`, some at a time, in order; `None` for those that could not be read.
fn read(
    args: &PairsArgs,
    file: &FileConfig,
    stage: &'static str,
    progress: &dyn Progress,
    mut take: impl FnMut(Vec<Option<String>>),
) -> anyhow::Result<Read> {
    let options = read_options(&args.read, file);
    let against = args.against.iter().map(|path| vec![Input { path: path.clone(), split: None }]);
    let mut read = Read { keys: Vec::new(), n_queries: 0 };
    for (side, inputs) in [inputs(&args.read)?].into_iter().chain(against).enumerate() {
        let mut reader = Reader::open(&inputs, &options)?;
        if reader.modality() != Modality::Text {
            let (kind, nouns) = (args.kind.id(), reader.modality().nouns());
            return Err(Usage(format!("{kind} compares texts, and the samples are {nouns}")).into());
        }
        let task = progress.begin(stage, None, Modality::Text.nouns());
        let window = WindowSize::default();
        while let Some(window) = reader.next_window(window.texts, window.bytes, Images::default())? {
            let n_texts = window.contents.len() as u64;
            let text = |content| match content {
                Some(ReadContent::Text { text, .. }) => Some(text),
                _ => None,
            };
            take(window.contents.into_iter().map(text).collect());
            task.advance(n_texts);
        }
        let (dataset, _) = reader.finish();
        read.keys.extend(dataset.ids().map(|id| dataset.key(id).to_owned()));
        if side == 0 {
            read.n_queries = read.keys.len();
        }
    }
    Ok(read)
}

/// The hashes of the shingles of texts, or of their windows.
#[derive(Default)]
struct Hashed<'a> {
    /// Whether a text may have a pair; others are left out.
    near: Option<&'a [bool]>,
    /// Of each text or window; none for what could not be read.
    hashes: Vec<Vec<u64>>,
    /// The text of each, ascending. Empty where all texts are compared as a whole.
    documents: Vec<u32>,
    /// Where in its text each window is. Empty where there are no windows.
    bytes: Vec<Range<usize>>,
    /// Empty where nobody looks at them again.
    texts: Vec<String>,
    n_texts: usize,
    n_unread: usize,
    /// Texts without shingles.
    n_bare: usize,
}

impl Hashed<'_> {
    /// Adds texts.
    fn add(&mut self, texts: Vec<Option<String>>, args: &PairsArgs) {
        let (first, near) = (self.n_texts, self.near);
        // A file that grew since is refused in the end.
        let is_near = |at: usize| near.is_none_or(|near| near.get(first + at).copied().unwrap_or_default());
        let parts = texts.par_iter().enumerate().map(|(at, text)| match text {
            _ if !is_near(at) => Vec::new(),
            text => parts(text.as_deref().unwrap_or_default(), args),
        });
        for (text, parts) in texts.iter().zip(parts.collect::<Vec<_>>()) {
            let is_bare = !parts.is_empty() && parts.iter().all(|(_, hashes)| hashes.is_empty());
            self.n_unread += usize::from(text.is_none());
            self.n_bare += usize::from(text.is_some() && is_bare);
            for (bytes, hashes) in parts {
                self.hashes.push(hashes);
                if args.window.is_some() || near.is_some() {
                    self.documents.push(number(self.n_texts));
                }
                if args.window.is_some() {
                    self.bytes.push(bytes);
                }
            }
            self.n_texts += 1;
        }
        if args.evidence {
            let text = |(at, text): (usize, Option<String>)| text.filter(|_| is_near(at)).unwrap_or_default();
            self.texts.extend(texts.into_iter().enumerate().map(text));
        }
    }
}

fn number(text: usize) -> u32 {
    u32::try_from(text).expect("because there are fewer than 2^32 texts")
}

/// The bytes of the windows of a text, and the hashes of their shingles; without windows, of the text.
fn parts(text: &str, args: &PairsArgs) -> Vec<(Range<usize>, Vec<u64>)> {
    let Some(n_words) = args.window else { return vec![(0..text.len(), args.shingle().hashes(text))] };
    let part = |bytes: Range<usize>| (bytes.clone(), args.shingle().hashes(&text[bytes]));
    windows(text, n_words as usize).into_par_iter().map(part).collect()
}
