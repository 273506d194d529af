//! Pairs of texts that share words or characters.

use rayon::prelude::*;
use tamis::config::FileConfig;
use tamis::ingest::WindowSize;
use tamis_core::{Modality, Progress};
use tamis_data::{Images, Input, ReadContent, Reader};
use tamis_neighbors::{SetJoin, SetMeasure, SetPair, SetPairs, TokenSets};

use super::Joined;
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
    let Hashed { keys, hashes } = all;
    let sets = TokenSets::new(&hashes);
    drop(hashes);
    let measure = if args.kind == PairKind::Jaccard { SetMeasure::Jaccard } else { SetMeasure::Containment };
    let join = SetJoin { measure, min, max_pairs: args.max_pairs };
    let task = progress.begin("joining", Some(keys.len() as u64), Modality::Text.nouns());
    let found = match &args.against {
        None => join.self_join(&sets, &*task),
        Some(_) => join.cross_join(&sets, n_queries, &*task),
    };
    let pairs = found.pairs.iter().map(|SetPair { a, b, similarity }| (*a, *b, *similarity)).collect();
    let SetPairs { n_found, n_represented, .. } = found;
    Ok(Joined { keys, pairs, n_found, n_represented, notes: Vec::new() })
}

/// Texts by their keys and the hashes of their shingles; what could not be read has none.
#[derive(Default)]
struct Hashed {
    keys: Vec<String>,
    hashes: Vec<Vec<u64>>,
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
            let hashes = window.contents.par_iter().map(|content| match content {
                Some(ReadContent::Text { text, .. }) => args.shingle.hashes(text),
                _ => Vec::new(),
            });
            self.hashes.par_extend(hashes);
            task.advance(window.contents.len() as u64);
        }
        let (dataset, _) = reader.finish();
        self.keys.extend(dataset.ids().map(|id| dataset.key(id).to_owned()));
        Ok(())
    }
}
