//! Pairs of images whose perceptual hashes differ in few bits.

use tamis::config::FileConfig;
use tamis::ingest::WindowSize;
use tamis_core::{Dataset, ImageFacts, Modality, Progress};
use tamis_data::image::{Decoded, Pdq, Wanted};
use tamis_data::{Images, ReadContent, Reader};
use tamis_neighbors::{HammingJoin, HashPair, HashPairs};

use super::{Joined, UNREAD, left_out};
use crate::args::{ImageHash, PairsArgs};
use crate::commands::{inputs, read_options};
use crate::exit::Usage;

/// Reads the images and joins their hashes.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let n_bits = f64::from(args.hash().n_bits());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to the number of bits")]
    let radius = ((1.0 - min) * n_bits + 1e-9) as u32;
    let join = HammingJoin { radius, max_pairs: args.max_pairs };
    let joining = |n: usize| progress.begin("joining", Some(n as u64), Modality::Image.nouns());
    let (found, read) = match (args.hash(), args.turned) {
        (ImageHash::Phash, true) => {
            let read =
                read(args, file, progress, |it| unless_flat(&it.facts, |it| it.oriented_phashes().map(|it| [it])))?;
            (join.oriented_self_join(&read.hashes, &*joining(read.hashes.len())), read.about)
        }
        (ImageHash::Phash, false) => {
            let read = read(args, file, progress, |it| unless_flat(&it.facts, |it| [it.phash]))?;
            (join.self_join(&read.hashes, &*joining(read.hashes.len())), read.about)
        }
        (ImageHash::Dhash, _) => {
            let read = read(args, file, progress, |it| unless_flat(&it.facts, |it| [it.dhash]))?;
            (join.self_join(&read.hashes, &*joining(read.hashes.len())), read.about)
        }
        (ImageHash::Pdq, true) => {
            let read = read(args, file, progress, |it| telling(it).map(|it| it.oriented))?;
            (join.oriented_self_join(&read.hashes, &*joining(read.hashes.len())), read.about)
        }
        (ImageHash::Pdq, false) => {
            let read = read(args, file, progress, |it| telling(it).map(|it| it.hash()))?;
            (join.self_join(&read.hashes, &*joining(read.hashes.len())), read.about)
        }
    };
    let HashPairs { pairs, n_found, n_represented } = found;
    let similar = |it: &HashPair| (it.a, it.b, 1.0 - f64::from(it.distance) / n_bits);
    let silent = match args.hash() {
        ImageHash::Pdq => format!("whose quality for pdq is below {}", Pdq::MIN_QUALITY),
        ImageHash::Phash | ImageHash::Dhash => "of one color, whose hashes say nothing".to_owned(),
    };
    let About { dataset, n_silent, n_unread } = read;
    let notes = [left_out(n_unread, UNREAD), left_out(n_silent, &silent)].into_iter().flatten().collect();
    Ok(Joined {
        keys: dataset.ids().map(|id| dataset.key(id).to_owned()).collect(),
        pairs: pairs.iter().map(similar).collect(),
        n_found,
        n_represented,
        notes,
        ..Joined::default()
    })
}

/// Images that were read.
struct Read<T> {
    /// `None` for what could not be read, and for images whose hashes say nothing.
    hashes: Vec<Option<T>>,
    about: About,
}

/// What is known of the images besides.
struct About {
    dataset: Dataset,
    n_silent: usize,
    n_unread: usize,
}

/// Decodes the images; `hash` is `None` for one whose hashes say nothing.
fn read<T>(
    args: &PairsArgs,
    file: &FileConfig,
    progress: &dyn Progress,
    hash: impl Fn(&Decoded) -> Option<T>,
) -> anyhow::Result<Read<T>> {
    let mut reader = Reader::open(&inputs(&args.read)?, &read_options(&args.read, file))?;
    if reader.modality() != Modality::Image {
        let nouns = reader.modality().nouns();
        return Err(Usage(format!("hamming compares images, and the samples are {nouns}")).into());
    }
    let task = progress.begin("decoding", None, Modality::Image.nouns());
    let (mut hashes, mut n_silent, mut n_unread, window) = (Vec::new(), 0, 0, WindowSize::default());
    let wanted = Wanted { pdq: args.hash() == ImageHash::Pdq, ..Wanted::default() };
    let images = || Images { wanted, ..Images::default() };
    while let Some(window) = reader.next_window(window.images, window.bytes, images())? {
        for content in &window.contents {
            let decoded = match content {
                Some(ReadContent::Image { decoded: Some(decoded), .. }) => Some(decoded),
                _ => None,
            };
            let hash = decoded.and_then(|it| hash(it));
            n_unread += usize::from(decoded.is_none());
            n_silent += usize::from(decoded.is_some() && hash.is_none());
            hashes.push(hash);
        }
        task.advance(window.contents.len() as u64);
    }
    let (dataset, _) = reader.finish();
    Ok(Read { hashes, about: About { dataset, n_silent, n_unread } })
}

/// A hash of an image that has more than one color, by what its hashes are then.
fn unless_flat<T>(facts: &ImageFacts, hash: impl Fn(&ImageFacts) -> T) -> Option<T> {
    let is_flat = facts.dhash == 0 && [0, 1 << 63].contains(&facts.phash);
    (!is_flat).then(|| hash(facts))
}

/// The hash of 256 bits of an image that has enough in it.
fn telling(decoded: &Decoded) -> Option<Pdq> {
    decoded.pdq.filter(Pdq::is_telling)
}
