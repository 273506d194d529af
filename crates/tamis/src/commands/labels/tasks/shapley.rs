//! What each row is worth to a vote of nearest neighbors.

use std::path::Path;

use anyhow::Context as _;
use ndarray::Array2;
use serde_json::json;
use tamis::config;
use tamis::device::{for_joins, warn_of_failure};
use tamis_core::{Embeddings, Progress};
use tamis_data::vectors::{self, Matrix};
use tamis_labels::shapley::knn_shapley;
use tamis_neighbors::Neighbors;

use super::{Found, classes, needed, numbers, worst};
use crate::args::LabelsArgs;
use crate::commands::{device_choice, open_device};
use crate::exit::Usage;

/// Neighbors that vote (cleanlab 2.9.0).
const N_NEIGHBORS: usize = 10;

/// Fewest numbers of a vector: cleanlab 2.9.0 compares shorter ones by Euclidean distances, which are not made here.
const MIN_DIM: usize = 4;

/// Scores labels by what their rows are worth to their neighbors.
pub(super) fn judge(args: &LabelsArgs, progress: &dyn Progress) -> anyhow::Result<Found> {
    let labels = classes(needed(args, "--labels", &args.labels)?)?;
    let (_, found) = neighbors(args, needed(args, "--vectors", &args.vectors)?, progress)?;
    let values = knn_shapley(&labels, found.ids.view())?;
    Ok(Found {
        n: values.len(),
        worst: worst(&values),
        notes: vec!["below one half a row harms its neighbors".to_owned()],
        json: json!({"label_quality": numbers(&values)}),
    })
}

/// Vectors of unit length and their nearest others by cosine.
pub(super) fn neighbors(
    args: &LabelsArgs,
    path: &Path,
    progress: &dyn Progress,
) -> anyhow::Result<(Array2<f32>, Neighbors)> {
    let cannot = || format!("cannot use {}", path.display());
    let Matrix { n, dim, values } = vectors::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if dim < MIN_DIM {
        return Err(
            Usage(format!("{} has vectors of {dim} numbers, expected at least {MIN_DIM}", path.display())).into()
        );
    }
    let rows = Array2::from_shape_vec((n, dim), values).with_context(cannot)?;
    let rows = Embeddings::new(rows, std::iter::empty(), vec![false; n]).with_context(cannot)?;
    let (file, _) = config::load(args.config.as_deref())?;
    let device = for_joins(&open_device(device_choice(args.device, &file)?)?);
    let task = progress.begin("finding neighbors", Some(n as u64), "vectors");
    let found = device.knn(rows.rows(), N_NEIGHBORS, &*task);
    drop(task);
    warn_of_failure(&device);
    Ok((rows.rows().to_owned(), found))
}
