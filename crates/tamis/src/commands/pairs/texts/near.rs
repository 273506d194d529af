//! Which texts may have a pair, where not all sets of shingles fit.

use rayon::prelude::*;
use tamis::config::FileConfig;
use tamis_core::Progress;
use tamis_neighbors::{Bands, Sketches};

use crate::args::PairsArgs;
use crate::exit::Usage;

/// What a first reading says.
pub(super) struct Near {
    /// Whether a text may have a pair, by its number.
    pub(super) near: Vec<bool>,
    /// Texts without shingles.
    pub(super) n_bare: usize,
    bands: Bands,
}

/// Reads the texts and keeps their buckets.
pub(super) fn read(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Near> {
    let recall = args.recall();
    let Some(bands) = Bands::new(min, recall) else {
        return Err(Usage(format!(
            "--approximate cannot find {recall} of the pairs at --min {min}, expected more of --min or less of --recall"
        ))
        .into());
    };
    let (mut sketches, mut n_bare) = (Sketches::new(bands), 0);
    let read = super::read(args, file, "reading", progress, |texts| {
        let hashes = |text: &Option<String>| text.as_deref().map_or_else(Vec::new, |text| args.shingle().hashes(text));
        let sets: Vec<Vec<u64>> = texts.par_iter().map(hashes).collect();
        n_bare += texts.iter().zip(&sets).filter(|(text, set)| text.is_some() && set.is_empty()).count();
        sketches.add(&sets);
    })?;
    let near = sketches.near(min, args.against.as_ref().map(|_| read.n_queries));
    Ok(Near { near, n_bare, bands })
}

impl Near {
    /// Refuses files that had other texts when they were read again.
    pub(super) fn check(&self, n_texts: usize) -> anyhow::Result<()> {
        let n = self.near.len();
        anyhow::ensure!(n == n_texts, "the files changed while they were read: they had {n} texts, then {n_texts}");
        Ok(())
    }

    /// What is to be known of the pairs.
    pub(super) fn note(&self, min: f64) -> String {
        let Self { near, bands, .. } = self;
        let n_near = near.iter().filter(|it| **it).count();
        let (n, n_rows, recall) = (bands.n(), bands.n_rows(), 100.0 * bands.recall(min));
        format!(
            "compared {n_near} of {} texts, by {n} bands of {n_rows}: of the pairs at {min}, {recall:.2} % or more are expected",
            near.len()
        )
    }
}
