//! A threshold join by the proposals of a device.

use rayon::prelude::*;
use tamis_core::Task;

use super::tiles::{Engine, Failure, Hit, Share, Tile, Word, all_tiles, places, run};
use crate::RowPairs;
use crate::join::{Search, first_pairs};

/// Hits that one thread decides at a time.
const HITS_AT_ONCE: usize = 512;

/// All pairs of `search`, whose margin is that of `engine`; of a `triangle`, pairs with a larger row of the base. The same
/// as [`crate::join::join`] finds.
pub(super) fn join(
    engine: &mut impl Engine,
    search: &Search<'_>,
    triangle: bool,
    max_pairs: usize,
    task: &dyn Task,
) -> Result<RowPairs, Failure> {
    let (n_queries, n_base) = (search.queries.nrows(), search.base.nrows());
    let limit = search.min_cosine - search.margin;
    engine.set_limits(&vec![limit; n_queries], &vec![limit; n_base])?;
    let sizes = engine.sizes();
    let tiles = || all_tiles(&sizes, (!triangle).then_some(n_queries), n_base);
    let mut share = Share::new(task, n_queries, tiles().map(|tile| places(&tile)).sum());
    let mut kept = Kept { found: RowPairs::default(), max_pairs, last: None };
    run(engine, tiles(), |tile, words| {
        kept.add(search, tile, words);
        share.done(tile);
    })?;
    first_pairs(&mut kept.found.pairs, max_pairs);
    Ok(kept.found)
}

/// The first pairs of those found so far, and a few more.
struct Kept {
    found: RowPairs,
    max_pairs: usize,
    /// The last one that was kept when there were too many: none behind it will be.
    last: Option<(u32, u32)>,
}

impl Kept {
    /// Decides the pairs that a device lists for a tile.
    fn add(&mut self, search: &Search<'_>, tile: &Tile, words: &[Word]) {
        let (max_pairs, last) = (self.max_pairs, self.last);
        let is_kept = |hit: &Hit| 0 < max_pairs && last.is_none_or(|(a, b)| (hit.a, hit.b) <= (a as usize, b as usize));
        let decide = |words: &[Word]| {
            let mut found = RowPairs::default();
            for word in words {
                let hit = Hit::new(tile, *word);
                search.decide(hit.a, hit.b, hit.score, usize::from(is_kept(&hit)), &mut found);
            }
            found
        };
        let parts: Vec<RowPairs> = words.par_chunks(HITS_AT_ONCE).map(decide).collect();
        for part in parts {
            self.found.n_found += part.n_found;
            self.found.pairs.extend(part.pairs);
        }
        if self.max_pairs.saturating_mul(2) < self.found.pairs.len() {
            first_pairs(&mut self.found.pairs, self.max_pairs);
            self.last = self.found.pairs.last().map(|pair| (pair.a, pair.b));
        }
    }
}
