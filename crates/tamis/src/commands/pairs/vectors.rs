//! Pairs of vectors by their cosine.

use std::path::Path;

use anyhow::Context as _;
use ndarray::{Array2, ArrayView2, Axis};
use tamis::config::FileConfig;
use tamis::device::{for_joins, warn_of_failure};
use tamis_core::{Embeddings, Progress};
use tamis_data::store::codec::f32s_to_bytes;
use tamis_data::vectors::{self, Matrix};
use tamis_neighbors::{CellsUsed, Equals, JoinOptions, RowPairs, canonical_dot};

use super::Joined;
use crate::args::PairsArgs;
use crate::commands::device;
use crate::exit::Usage;

/// Reads the vectors and joins them; the number of a row is its key.
pub(super) fn join(args: &PairsArgs, min: f64, file: &FileConfig, progress: &dyn Progress) -> anyhow::Result<Joined> {
    let Some(path) = &args.vectors else {
        let text = "cosine compares vectors: name them with --vectors FILE; `tamis embed` makes them of files";
        return Err(Usage(text.to_owned()).into());
    };
    let queries = Rows::read(path)?;
    let base = args.against.as_deref().map(Rows::read).transpose()?;
    let dim = queries.all.dim();
    if let (Some(base), Some(against)) = (base.as_ref().filter(|it| it.all.dim() != dim), &args.against) {
        let (got, against, path) = (base.all.dim(), against.display(), path.display());
        return Err(Usage(format!("vectors of {against} have {got} numbers, expected {dim} as in {path}")).into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "cosines are compared in f32")]
    let options = JoinOptions { min_cosine: min as f32, max_pairs: args.max_pairs, ..JoinOptions::default() };
    let device = for_joins(&device(&args.read, file)?);
    let task = progress.begin("joining", Some(queries.firsts().nrows() as u64), "vectors");
    let mut joined = Joined { n_represented: queries.equals.n_represented(), ..Joined::default() };
    joined.keys.extend((0..queries.all.rows().nrows()).map(|row| row.to_string()));
    // Rows of the base stand behind the queries.
    let n_before = base.as_ref().map_or(0, |_| queries.all.rows().nrows());
    let found = match &base {
        None => {
            for (a, b) in queries.equals.pairs() {
                let cosine = queries.cosine(a, b);
                if options.min_cosine <= cosine {
                    joined.keep(args.max_pairs, (a, b, cosine.into()));
                }
            }
            device.self_join_of_copies(queries.firsts(), &queries.equals.n_listed(), &options, &*task)
        }
        Some(base) => {
            joined.n_represented += base.equals.n_represented();
            joined.keys.extend((0..base.all.rows().nrows()).map(|row| row.to_string()));
            let copies = [queries.equals.n_listed(), base.equals.n_listed()];
            let copies = [&copies[0][..], &copies[1]];
            device.cross_join_of_copies(queries.firsts(), base.firsts(), copies, &options, &*task)
        }
    };
    warn_of_failure(&device);
    let others = base.as_ref().unwrap_or(&queries);
    let RowPairs { pairs, n_found, cells } = found;
    joined.n_found += n_found;
    joined.notes.extend(cells.map(|cells| saving(cells, queries.firsts().nrows())));
    'pairs: for pair in pairs {
        for a in queries.equals.listed(pair.a as usize) {
            for b in others.equals.listed(pair.b as usize) {
                let (a, b) = if base.is_none() { (*a.min(b), *a.max(b)) } else { (*a, *b) };
                let b = b + u32::try_from(n_before).expect("because files have fewer than 2^32 vectors");
                if joined.pairs.len() == args.max_pairs {
                    break 'pairs;
                }
                joined.pairs.push((a, b, pair.cosine.into()));
            }
        }
    }
    joined.pairs.sort_unstable_by_key(|(a, b, _)| (*a, *b));
    Ok(joined)
}

/// What cells saved in a join of `n` rows.
#[expect(clippy::cast_precision_loss, reason = "printed with few digits")]
fn saving(cells: CellsUsed, n: usize) -> String {
    let CellsUsed { n_cells, n_copies, n_compared } = cells;
    let n = n as f64;
    format!(
        "in {n_cells} cells, {:.1} % of all pairs of rows were compared, with {:.1} copies of a row",
        200.0 * n_compared as f64 / (n * (n - 1.0)),
        n_copies as f64 / n
    )
}

/// Unit vectors.
struct Rows {
    all: Embeddings,
    /// Those that have the same bits.
    equals: Equals,
    /// The first of each group of equals; `None` where all rows differ.
    firsts: Option<Array2<f32>>,
}

impl Rows {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let Matrix { n, dim, values } = vectors::read(path).with_context(cannot)?;
        let all = Array2::from_shape_vec((n, dim), values).with_context(cannot)?;
        let all = Embeddings::new(all, (0..n).map(Some), vec![false; n]).with_context(cannot)?;
        let key = |row: ndarray::ArrayView1<'_, f32>| *blake3::hash(&f32s_to_bytes(&row.to_vec())).as_bytes();
        let equals = Equals::new((0..).zip(all.rows().rows()).map(|(index, row)| (index, Some(key(row)))));
        let firsts: Vec<usize> = equals.firsts().map(|row| row as usize).collect();
        let firsts = (firsts.len() < n).then(|| all.rows().select(Axis(0), &firsts));
        Ok(Self { all, equals, firsts })
    }

    /// The rows that are compared: one for each group of equals.
    fn firsts(&self) -> ArrayView2<'_, f32> {
        self.firsts.as_ref().map_or(self.all.rows(), |rows| rows.view())
    }

    /// The cosine of two rows.
    fn cosine(&self, a: u32, b: u32) -> f32 {
        let rows = self.all.rows();
        let [a, b] = [a, b].map(|row| rows.row(row as usize).to_slice().expect("because vectors are kept row-major"));
        canonical_dot(a, b)
    }
}
