//! Copies: what joins propose is compared as it is, and only what agrees counts.

use rayon::prelude::*;
use tamis_core::{ContentError, Contents, PairKind, Progress, SampleId, Shared, Task, Verified};
use tamis_neighbors::verify::Extent;

use crate::joins::Joins;
use images::Pictures;
use texts::Texts;

pub mod images;

pub mod texts;

/// Two samples that look alike, by their places in what was searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposal {
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) kind: PairKind,
    pub(crate) similarity: f32,
}

/// Pairs that look alike.
#[derive(Debug, Default)]
pub(crate) struct Proposed {
    pub(crate) pairs: Vec<Proposal>,
    /// Those beyond the cap.
    pub(crate) n_more: u64,
}

/// What proposes pairs beside vectors, and compares contents.
pub(crate) enum Copies<'a> {
    Texts(Texts<'a>),
    Images(Pictures<'a>),
}

/// What counts as a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyRule {
    /// Smallest score of a copy.
    pub(crate) min: f32,
    /// Where it comes from.
    pub(crate) source: &'static str,
    /// Smallest score of pairs that are kept to be compared with others.
    pub(crate) min_kept: f32,
}

impl CopyRule {
    /// The rule for contents of this kind.
    pub(crate) fn of(contents: Contents<'_>) -> Self {
        match contents {
            Contents::Texts(_) => texts::RULE,
            Contents::Images(_) => images::RULE,
        }
    }
}

impl<'a> Copies<'a> {
    /// Prepares the contents of `ids` to be compared.
    ///
    /// # Errors
    /// When a content cannot be read back.
    pub(crate) fn new(joins: &Joins<'a>, ids: &[SampleId]) -> Result<Self, ContentError> {
        let Joins { dataset, identity, embeddings, device, progress, .. } = *joins;
        Ok(match joins.contents {
            Contents::Texts(source) => Self::Texts(Texts::new(source, dataset, identity, ids, progress)?),
            Contents::Images(source) => Self::Images(Pictures { source, embeddings: Some(embeddings), device }),
        })
    }

    /// Pairs of `queries` and `base` that look alike by their contents; of `queries` among each other where there is no base,
    /// and then the first is the smaller place.
    ///
    /// # Errors
    /// When a content cannot be read back.
    pub(crate) fn propose(
        &self,
        queries: &[SampleId],
        base: Option<&[SampleId]>,
        progress: &dyn Progress,
    ) -> Result<Proposed, ContentError> {
        match self {
            Self::Texts(texts) => Ok(texts.propose(queries, base, progress)),
            Self::Images(pictures) => pictures.propose(queries, base, progress),
        }
    }

    /// Compares the contents of pairs; what is below `min` need not be told from nothing.
    ///
    /// # Errors
    /// When a content cannot be read back.
    pub(crate) fn verify(
        &self,
        pairs: &[(SampleId, SampleId)],
        extent: Extent,
        min: f32,
        task: &dyn Task,
    ) -> Result<Vec<Verified>, ContentError> {
        match self {
            Self::Texts(texts) => {
                let compare = |(a, b): &(SampleId, SampleId)| {
                    task.advance(1);
                    texts.compare(*a, *b, extent, min)
                };
                Ok(pairs.par_iter().map(compare).collect())
            }
            Self::Images(pictures) => {
                let is_told = |(a, b): &(SampleId, SampleId)| pictures.is_large(*a) && pictures.is_large(*b);
                let told: Vec<(SampleId, SampleId)> = pairs.iter().copied().filter(is_told).collect();
                let mut found = pictures.compare(&told, task)?.into_iter();
                let verified = |pair| {
                    let copy = if is_told(pair) { found.next().flatten() } else { None };
                    copy.map_or(Verified { score: 0.0, shared: Shared::Nothing, overlap: None }, |it| Verified {
                        score: it.score,
                        shared: Shared::Pixels(it.alignment),
                        overlap: None,
                    })
                };
                Ok(pairs.iter().map(verified).collect())
            }
        }
    }
}
