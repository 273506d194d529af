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

/// Reads the texts and joins them.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let mut all = Hashed::default();
    let Read { keys, n_queries } = read(args, file, "reading", progress, |texts| all.add(texts, args))?;
    let bare = "without words to compare";
    let notes = [left_out(all.n_unread, UNREAD), left_out(all.n_bare, bare)].into_iter().flatten().collect();
    let Hashed { hashes, documents, bytes, texts, .. } = all;
    let (is_cross, documents) = (args.against.is_some(), args.window.map(|_| documents));
    let document = |set: usize| documents.as_ref().map_or(set, |it| it[set] as usize);
    let owner = |set: usize| if is_cross { usize::from(n_queries <= document(set)) } else { document(set) };
    let owner = |set: usize| u32::try_from(owner(set)).expect("because there are fewer than 2^32 texts");
    let sets = TokenSets::of_owners(&hashes, owner);
    drop(hashes);
    let measure = if args.kind == PairKind::Jaccard { SetMeasure::Jaccard } else { SetMeasure::Containment };
    let join = SetJoin { measure, min, max_pairs: args.max_pairs };
    let task =
        progress.begin("joining", Some(sets.len() as u64), if documents.is_some() { "windows" } else { "texts" });
    let found = match (&documents, is_cross) {
        (None, false) => join.self_join(&sets, &*task),
        (None, true) => join.cross_join(&sets, n_queries, &*task),
        (Some(documents), false) => join.self_join_of_parts(&sets, documents, &*task),
        (Some(documents), true) => {
            let n_parts = documents.partition_point(|document| (*document as usize) < n_queries);
            join.cross_join_of_parts(&sets, documents, n_parts, &*task)
        }
    };
    let SetPairs { pairs, n_found, n_represented } = found;
    let mut joined = Joined { keys, n_found, n_represented, notes, ..Joined::default() };
    if let Some(documents) = &documents {
        joined.bytes = pairs.iter().map(|pair| [pair.a, pair.b].map(|part| bytes[part as usize].clone())).collect();
        joined.pairs.extend(pairs.iter().map(|it| (documents[it.a as usize], documents[it.b as usize], it.similarity)));
        // Of pairs of texts that are not listed, one is counted.
        joined.is_least = (pairs.len() as u64) < n_found;
    } else {
        joined.pairs.extend(pairs.into_iter().map(|it| (it.a, it.b, it.similarity)));
    }
    if args.evidence {
        joined.runs = common_runs(&texts, &joined.pairs, progress);
    }
    Ok(joined)
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
        let images = || Images { input: None, is_known: &|_| false };
        while let Some(window) = reader.next_window(window.texts, window.bytes, images())? {
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
struct Hashed {
    /// Of each text or window; none for what could not be read.
    hashes: Vec<Vec<u64>>,
    /// The text of each window, ascending. Empty where texts are compared as a whole.
    documents: Vec<u32>,
    /// Where in its text each window is. Empty as `documents`.
    bytes: Vec<Range<usize>>,
    /// Empty where nobody looks at them again.
    texts: Vec<String>,
    n_texts: u32,
    n_unread: usize,
    /// Texts without shingles.
    n_bare: usize,
}

impl Hashed {
    /// Adds texts.
    fn add(&mut self, texts: Vec<Option<String>>, args: &PairsArgs) {
        let parts = texts.par_iter().map(|text| parts(text.as_deref().unwrap_or_default(), args));
        let parts: Vec<_> = parts.collect();
        for (text, parts) in texts.iter().zip(parts) {
            let is_bare = parts.iter().all(|(_, hashes)| hashes.is_empty());
            self.n_unread += usize::from(text.is_none());
            self.n_bare += usize::from(text.is_some() && is_bare);
            for (bytes, hashes) in parts {
                self.hashes.push(hashes);
                if args.window.is_some() {
                    self.documents.push(self.n_texts);
                    self.bytes.push(bytes);
                }
            }
            self.n_texts += 1;
        }
        if args.evidence {
            self.texts.extend(texts.into_iter().map(Option::unwrap_or_default));
        }
    }
}

/// The bytes of the windows of a text, and the hashes of their shingles; without windows, of the text.
fn parts(text: &str, args: &PairsArgs) -> Vec<(Range<usize>, Vec<u64>)> {
    let Some(n_words) = args.window else { return vec![(0..text.len(), args.shingle().hashes(text))] };
    let part = |bytes: Range<usize>| (bytes.clone(), args.shingle().hashes(&text[bytes]));
    windows(text, n_words as usize).into_par_iter().map(part).collect()
}
