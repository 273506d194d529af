//! Pictures that are copies of others: perceptual hashes in eight orientations and vectors propose, pixels decide.

use std::collections::HashMap;

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use tamis_core::{
    Alignment, ContentError, Embeddings, Grey, ImageFacts, ImageSource, Modality, PairKind, Progress, SampleId, Task,
};
use tamis_neighbors::verify::{ImageCopy, ImagePrint, MIN_TEXTURE};
use tamis_neighbors::{Device, HammingJoin, JoinOptions};

use super::{CopyRule, Proposal, Proposed};

/// What counts as a copy of a picture in an audit.
pub(crate) const RULE: CopyRule = CopyRule {
    min: 0.975,
    source: "measured on 8,000 pictures and their edited copies, see docs/pairs.md",
    min_kept: 0.85,
};

/// Most bits in which the hashes of a proposal differ in an audit, where vectors and the nearest neighbors propose as well:
/// what `imagededup` takes for a duplicate.
const AUDIT_RADIUS: u32 = 10;

/// Pixels of the shorter side from which on an audit calls pictures copies. What was measured had 64 and more; of the
/// garments of Fashion-MNIST, 28 pixels wide, 4 in 10 of a test would be called copies: trousers on black agree.
const MIN_SIDE: u32 = 48;

/// Bits of a hash.
const HASH_BITS: f32 = 64.0;

/// What is proposed and what counts.
#[derive(Clone, Copy, Debug)]
pub struct ImageCopyOptions {
    /// Most bits in which hashes differ that are proposed.
    pub radius: u32,
    /// Smallest cosine that is proposed.
    pub min_cosine: f32,
    /// Smallest score that counts.
    pub min_score: f32,
    /// Most proposals of each kind; there may be more copies where it is reached.
    pub max_proposed: usize,
}

impl Default for ImageCopyOptions {
    /// The score is what `scripts/bench.sh copies` chooses; the others are guesses on the generous side.
    fn default() -> Self {
        Self { radius: 14, min_cosine: 0.6, min_score: 0.975, max_proposed: 20_000_000 }
    }
}

/// A picture and a copy of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImagePair {
    /// In a search within a set the sample that stands first there, otherwise the query.
    pub a: SampleId,
    /// The other one.
    pub b: SampleId,
    /// How well the pixels in common agree, from 0 to 1.
    pub score: f32,
    /// What turns `a` into `b`.
    pub alignment: Alignment,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageCopies {
    /// In the order of the samples as they were given.
    pub pairs: Vec<ImagePair>,
    /// Pairs that were compared.
    pub n_proposed: u64,
    /// Whether more was proposed than was compared.
    pub is_capped: bool,
    /// Samples of one color or nearly so, which are in no pair.
    pub flat: Vec<SampleId>,
}

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Lends hashes and small grey pictures.
    pub source: &'a dyn ImageSource,
    /// Centered vectors; `None` where hashes alone propose.
    pub embeddings: Option<&'a Embeddings>,
    /// Where vectors are joined.
    pub device: &'a Device,
}

impl Pictures<'_> {
    /// Finds the copies among `ids`, of which no two should have the same pixels.
    ///
    /// Time: the two joins, and one comparison of pixels for each pair that they propose. Memory: 7 KB for each sample that is in
    /// such a pair, and 16 bytes for each pair.
    ///
    /// # Errors
    /// When a small picture cannot be read back.
    pub fn within(
        &self,
        ids: &[SampleId],
        options: &ImageCopyOptions,
        progress: &dyn Progress,
    ) -> Result<ImageCopies, ContentError> {
        self.search(ids, None, options, progress)
    }

    /// Finds the pairs of one of `queries` and one of `base` that are copies; as [`Pictures::within`].
    ///
    /// # Errors
    /// When a small picture cannot be read back.
    pub fn across(
        &self,
        queries: &[SampleId],
        base: &[SampleId],
        options: &ImageCopyOptions,
        progress: &dyn Progress,
    ) -> Result<ImageCopies, ContentError> {
        self.search(queries, Some(base), options, progress)
    }

    /// Whether a picture has enough pixels for its comparison to tell copies.
    pub(super) fn is_large(&self, id: SampleId) -> bool {
        self.source.facts(id).is_some_and(|it| MIN_SIDE <= it.width.min(it.height))
    }

    /// Pairs whose hashes are near in one of eight orientations; a flat or small picture is in none.
    pub(super) fn propose(
        &self,
        queries: &[SampleId],
        base: Option<&[SampleId]>,
        progress: &dyn Progress,
    ) -> Result<Proposed, ContentError> {
        let others = base.unwrap_or(queries);
        let facts = |ids: &[SampleId]| -> Result<Vec<Option<&ImageFacts>>, ContentError> {
            let of = |id: &SampleId| {
                let is_rich =
                    self.is_large(*id) && self.source.grey(*id)?.is_some_and(|it| MIN_TEXTURE <= it.texture());
                Ok(if is_rich { self.source.facts(*id) } else { None })
            };
            ids.par_iter().map(of).collect()
        };
        let join = HammingJoin { radius: AUDIT_RADIUS, max_pairs: ImageCopyOptions::default().max_proposed };
        // Within a set every picture is read once.
        let facts_of_others = facts(others)?;
        let facts_of_queries = base.map(|_| facts(queries)).transpose()?;
        let facts_of_queries = facts_of_queries.as_ref().unwrap_or(&facts_of_others);
        let turned = |it: &ImageFacts| it.oriented_phashes().map(|hash| [hash]);
        let turned: Vec<_> = facts_of_queries.iter().map(|it| it.map(turned)).collect();
        let upright: Vec<_> = facts_of_others.iter().map(|it| it.map(|it| [it.phash])).collect();
        let task = progress.begin("comparing hashes", Some(queries.len() as u64), Modality::Image.nouns());
        let found = join.oriented_join(&turned, &upright, &*task);
        let n_more = found.n_found - found.pairs.len() as u64;
        #[expect(clippy::cast_precision_loss, reason = "a distance is at most 64")]
        let proposal = |it: tamis_neighbors::HashPair| {
            let (a, b) = if base.is_none() { (it.a.min(it.b), it.a.max(it.b)) } else { (it.a, it.b) };
            Proposal { a, b, kind: PairKind::Hamming, similarity: 1.0 - it.distance as f32 / HASH_BITS }
        };
        let pairs = found.pairs.into_iter().map(proposal).filter(|it| base.is_some() || it.a != it.b).collect();
        Ok(Proposed { pairs, n_more })
    }

    /// Compares the pixels of pairs; `None` where one of the pictures is flat or they have nothing in common.
    pub(super) fn compare(
        &self,
        pairs: &[(SampleId, SampleId)],
        task: &dyn Task,
    ) -> Result<Vec<Option<ImageCopy>>, ContentError> {
        let prints = self.prints(pairs)?;
        let compare = |(a, b): &(SampleId, SampleId)| {
            task.advance(1);
            prints.get(a)?.compare(prints.get(b)?)
        };
        Ok(pairs.par_iter().map(compare).collect())
    }

    fn search(
        &self,
        queries: &[SampleId],
        base: Option<&[SampleId]>,
        options: &ImageCopyOptions,
        progress: &dyn Progress,
    ) -> Result<ImageCopies, ContentError> {
        let mut copies = ImageCopies::default();
        let flat = |ids: &[SampleId]| -> Result<Vec<SampleId>, ContentError> {
            let is_flat = |id: &SampleId| {
                let grey = self.source.grey(*id)?;
                Ok(grey.is_some_and(|it| it.texture() < MIN_TEXTURE).then_some(*id))
            };
            Ok(ids.par_iter().map(is_flat).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        };
        copies.flat = flat(queries)?;
        copies.flat.extend(base.map(flat).transpose()?.unwrap_or_default());
        copies.flat.sort_unstable();
        copies.flat.dedup();
        let is_rich = |id: &SampleId| copies.flat.binary_search(id).is_err();
        let queries: Vec<SampleId> = queries.iter().copied().filter(is_rich).collect();
        let base: Option<Vec<SampleId>> = base.map(|ids| ids.iter().copied().filter(is_rich).collect());
        let (proposed, is_capped) = self.proposed(&queries, base.as_deref(), options, progress);
        copies.is_capped = is_capped;
        copies.n_proposed = proposed.len() as u64;
        let task = progress.begin("comparing pixels", Some(proposed.len() as u64), "pairs");
        let compared = self.compare(&proposed, &*task)?;
        let pair = |((a, b), copy): (&(SampleId, SampleId), Option<ImageCopy>)| {
            let copy = copy.filter(|it| options.min_score <= it.score)?;
            Some(ImagePair { a: *a, b: *b, score: copy.score, alignment: copy.alignment })
        };
        copies.pairs = proposed.iter().zip(compared).filter_map(pair).collect();
        Ok(copies)
    }

    /// Pairs that hashes or vectors take for alike, each once, in the order of the samples; and whether there are more.
    fn proposed(
        &self,
        queries: &[SampleId],
        base: Option<&[SampleId]>,
        options: &ImageCopyOptions,
        progress: &dyn Progress,
    ) -> (Vec<(SampleId, SampleId)>, bool) {
        let others = base.unwrap_or(queries);
        let hash_join = HammingJoin { radius: options.radius, max_pairs: options.max_proposed };
        let turned: Vec<_> = queries
            .iter()
            .map(|id| self.source.facts(*id).map(|it| it.oriented_phashes().map(|hash| [hash])))
            .collect();
        let upright: Vec<_> = others.iter().map(|id| self.source.facts(*id).map(|it| [it.phash])).collect();
        let task = progress.begin("comparing hashes", Some(queries.len() as u64), Modality::Image.nouns());
        let by_hash = hash_join.oriented_join(&turned, &upright, &*task);
        let mut is_capped = (by_hash.pairs.len() as u64) < by_hash.n_found;
        let mut places: Vec<(u32, u32)> = by_hash.pairs.iter().map(|it| (it.a, it.b)).collect();
        if let Some(embeddings) = self.embeddings {
            let rows = |ids: &[SampleId]| -> (Vec<u32>, Array2<f32>) {
                let some = (0..).zip(ids).filter_map(|(place, id)| Some((place, embeddings.row_of(*id)?)));
                let (places, rows): (Vec<u32>, Vec<usize>) = some.unzip();
                (places, embeddings.rows().select(Axis(0), &rows))
            };
            let join = JoinOptions {
                min_cosine: options.min_cosine,
                max_pairs: options.max_proposed,
                ..JoinOptions::default()
            };
            let task = progress.begin("comparing vectors", Some(queries.len() as u64), Modality::Image.nouns());
            let (places_of_queries, left) = rows(queries);
            let (places_of_base, found) = match base {
                None => (places_of_queries.clone(), self.device.self_join(left.view(), &join, &*task)),
                Some(base) => {
                    let (places, right) = rows(base);
                    (places, self.device.cross_join(left.view(), right.view(), &join, &*task))
                }
            };
            is_capped |= (found.pairs.len() as u64) < found.n_found;
            let place =
                |it: &tamis_neighbors::RowPair| (places_of_queries[it.a as usize], places_of_base[it.b as usize]);
            places.extend(found.pairs.iter().map(place));
        }
        if base.is_none() {
            // Either picture's orientations may have been the ones that met the other.
            places = places.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
        }
        places.par_sort_unstable();
        places.dedup();
        (places.into_iter().map(|(a, b)| (queries[a as usize], others[b as usize])).collect(), is_capped)
    }

    /// The samples of some pairs as they are compared.
    fn prints(&self, pairs: &[(SampleId, SampleId)]) -> Result<HashMap<SampleId, ImagePrint>, ContentError> {
        let mut ids: Vec<SampleId> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
        ids.par_sort_unstable();
        ids.dedup();
        let print = |id: &SampleId| {
            let grey: Option<Grey> = self.source.grey(*id)?;
            Ok(grey.map(|grey| (*id, ImagePrint::new(&grey))))
        };
        let prints: Vec<_> = ids.par_iter().map(print).collect::<Result<_, ContentError>>()?;
        Ok(prints.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tamis_core::{ColorMode, NoProgress};

    use super::*;

    /// Pictures with the same hash that count how often one is read.
    #[derive(Debug)]
    struct Counted {
        facts: ImageFacts,
        n_read: AtomicUsize,
    }

    impl ImageSource for Counted {
        fn facts(&self, _: SampleId) -> Option<&ImageFacts> {
            Some(&self.facts)
        }

        fn thumbnail(&self, _: SampleId) -> Result<Option<Vec<u8>>, ContentError> {
            Ok(None)
        }

        fn grey(&self, _: SampleId) -> Result<Option<Grey>, ContentError> {
            self.n_read.fetch_add(1, Ordering::Relaxed);
            Ok(Some(Grey { width: 2, height: 1, values: vec![0, 255] }))
        }
    }

    #[test]
    fn each_picture_is_read_once_for_what_its_hash_proposes() {
        let facts = ImageFacts {
            width: MIN_SIDE,
            height: MIN_SIDE,
            mode: ColorMode::L,
            format: "png",
            phash: 0b1011,
            turned_phashes: [u64::MAX; 7],
            dhash: 0,
            note: None,
        };
        let source = Counted { facts, n_read: AtomicUsize::new(0) };
        let device = Device::cpu();
        let pictures = Pictures { source: &source, embeddings: None, device: &device };
        let ids = [0, 1, 2, 3].map(SampleId);
        for (base, n_pairs, n_read) in [(None, 12, 4), (Some(&ids[2..]), 4, 4)] {
            let queries = if base.is_some() { &ids[..2] } else { &ids };
            assert_eq!(pictures.propose(queries, base, &NoProgress).unwrap().pairs.len(), n_pairs);
            assert_eq!(source.n_read.swap(0, Ordering::Relaxed), n_read, "{base:?}");
        }
    }
}
