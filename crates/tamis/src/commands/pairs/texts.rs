//! Pairs of texts that share words or characters.

use std::sync::OnceLock;

use rayon::prelude::*;
use tamis::config::FileConfig;
use tamis::ingest::WindowSize;
use tamis_core::{Modality, Progress};
use tamis_data::{Images, Input, ReadContent, Reader};
use tamis_neighbors::{CommonRun, SetJoin, SetMeasure, SetPair, SetPairs, TokenSets, Words};

use super::{Joined, UNREAD, left_out};
use crate::args::{PairKind, PairsArgs};
use crate::commands::{inputs, read_options};
use crate::exit::Usage;

/// Reads the texts and joins them.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let options = read_options(&args.read, file);
    let mut all = Hashed::default();
    all.read(Reader::open(&inputs(&args.read)?, &options)?, args, progress)?;
    let n_queries = all.keys.len();
    if let Some(path) = &args.against {
        let against = Input { path: path.clone(), split: None };
        all.read(Reader::open(&[against], &options)?, args, progress)?;
    }
    let n_bare = all.hashes.iter().filter(|hashes| hashes.is_empty()).count() - all.n_unread;
    let bare = "without words to compare";
    let notes = [left_out(all.n_unread, UNREAD), left_out(n_bare, bare)].into_iter().flatten().collect();
    let Hashed { keys, hashes, texts, .. } = all;
    let sets = match &args.against {
        None => TokenSets::new(&hashes),
        Some(_) => TokenSets::of_owners(&hashes, |text| u32::from(n_queries <= text)),
    };
    drop(hashes);
    let measure = if args.kind == PairKind::Jaccard { SetMeasure::Jaccard } else { SetMeasure::Containment };
    let join = SetJoin { measure, min, max_pairs: args.max_pairs };
    let task = progress.begin("joining", Some(keys.len() as u64), Modality::Text.nouns());
    let found = match &args.against {
        None => join.self_join(&sets, &*task),
        Some(_) => join.cross_join(&sets, n_queries, &*task),
    };
    let SetPairs { pairs, n_found, n_represented } = found;
    let runs = if args.evidence { common_runs(&texts, &pairs, progress) } else { Vec::new() };
    let pairs = pairs.into_iter().map(|SetPair { a, b, similarity }| (a, b, similarity)).collect();
    Ok(Joined { keys, pairs, n_found, n_represented, runs, notes, ..Joined::default() })
}

/// The longest run of words that stands in both texts, for each pair.
fn common_runs(texts: &[String], pairs: &[SetPair], progress: &dyn Progress) -> Vec<Option<(usize, String)>> {
    let task = progress.begin("comparing words", Some(pairs.len() as u64), "pairs");
    // Of the texts that are in some pair, once each.
    let words: Vec<OnceLock<Words>> = texts.iter().map(|_| OnceLock::new()).collect();
    let words_of = |text: u32| words[text as usize].get_or_init(|| Words::of(&texts[text as usize]));
    let run = |pair: &SetPair| {
        let run = words_of(pair.a).longest_common_run(words_of(pair.b));
        task.advance(1);
        run.map(|CommonRun { n_words, a, .. }| (n_words, texts[pair.a as usize][a].to_owned()))
    };
    pairs.par_iter().map(run).collect()
}

/// Texts by their keys and the hashes of their shingles; what could not be read has none.
#[derive(Default)]
struct Hashed {
    keys: Vec<String>,
    hashes: Vec<Vec<u64>>,
    /// Empty where nobody looks at them again.
    texts: Vec<String>,
    n_unread: usize,
}

impl Hashed {
    /// Adds all texts of a reader.
    fn read(&mut self, mut reader: Reader, args: &PairsArgs, progress: &dyn Progress) -> anyhow::Result<()> {
        if reader.modality() != Modality::Text {
            let kind = args.kind.id();
            return Err(
                Usage(format!("{kind} compares texts, and the samples are {}", reader.modality().nouns())).into()
            );
        }
        let task = progress.begin("reading", None, Modality::Text.nouns());
        let window = WindowSize::default();
        let images = || Images { input: None, is_known: &|_| false };
        while let Some(window) = reader.next_window(window.texts, window.bytes, images())? {
            self.n_unread += window.contents.iter().filter(|content| content.is_none()).count();
            let text = |content| match content {
                Some(ReadContent::Text { text, .. }) => text,
                _ => String::new(),
            };
            let texts: Vec<String> = window.contents.into_iter().map(text).collect();
            self.hashes.par_extend(texts.par_iter().map(|text| args.shingle().hashes(text)));
            task.advance(texts.len() as u64);
            if args.evidence {
                self.texts.extend(texts);
            }
        }
        let (dataset, _) = reader.finish();
        self.keys.extend(dataset.ids().map(|id| dataset.key(id).to_owned()));
        Ok(())
    }
}
