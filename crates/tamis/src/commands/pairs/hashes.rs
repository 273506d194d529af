//! Pairs of images whose perceptual hashes differ in few bits.

use tamis::config::FileConfig;
use tamis::ingest::WindowSize;
use tamis_core::{ImageFacts, Modality, Progress};
use tamis_data::{Images, ReadContent, Reader};
use tamis_neighbors::{HammingJoin, HashPair, HashPairs};

use super::{Joined, UNREAD, left_out};
use crate::args::PairsArgs;
use crate::commands::{inputs, read_options};
use crate::exit::Usage;

/// Bits of a hash.
const N_BITS: f64 = 64.0;

/// Reads the images and joins their hashes.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let mut reader = Reader::open(&inputs(&args.read)?, &read_options(&args.read, file))?;
    if reader.modality() != Modality::Image {
        let nouns = reader.modality().nouns();
        return Err(Usage(format!("hamming compares images, and the samples are {nouns}")).into());
    }
    let task = progress.begin("decoding", None, Modality::Image.nouns());
    let (mut hashes, mut n_flat, mut n_unread, window) = (Vec::new(), 0, 0, WindowSize::default());
    let images = || Images { input: None, is_known: &|_| false };
    while let Some(window) = reader.next_window(window.images, window.bytes, images())? {
        for content in &window.contents {
            let facts = match content {
                Some(ReadContent::Image { decoded: Some(decoded), .. }) => Some(&decoded.facts),
                _ => None,
            };
            n_unread += usize::from(facts.is_none());
            n_flat += usize::from(facts.is_some_and(is_flat));
            let hash = |it: &ImageFacts| if args.hash() == "dhash" { it.dhash } else { it.phash };
            hashes.push(facts.filter(|it| !is_flat(it)).map(hash));
        }
        task.advance(window.contents.len() as u64);
    }
    let (dataset, _) = reader.finish();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 64")]
    let radius = ((1.0 - min) * N_BITS + 1e-9) as u32;
    let task = progress.begin("joining", Some(hashes.len() as u64), Modality::Image.nouns());
    let join = HammingJoin { radius, max_pairs: args.max_pairs };
    let HashPairs { pairs, n_found, n_represented } = join.self_join(&hashes, &*task);
    let similar = |it: &HashPair| (it.a, it.b, 1.0 - f64::from(it.distance) / N_BITS);
    let flat = "of one color, whose hashes say nothing";
    let notes = [left_out(n_unread, UNREAD), left_out(n_flat, flat)].into_iter().flatten().collect();
    Ok(Joined {
        keys: dataset.ids().map(|id| dataset.key(id).to_owned()).collect(),
        pairs: pairs.iter().map(similar).collect(),
        n_found,
        n_represented,
        notes,
        ..Joined::default()
    })
}

/// Whether an image has one color, by what its hashes are then.
fn is_flat(facts: &ImageFacts) -> bool {
    facts.dhash == 0 && [0, 1 << 63].contains(&facts.phash)
}
