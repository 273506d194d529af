//! What each sample is worth to a nearest-neighbor classifier: **low is suspicious**.
//!
//! Recursion of Jia et al., "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms" (PVLDB 12, 2019),
//! theorem 1, cut after the k-th neighbor as in cleanlab 2.9.0.

use ndarray::ArrayView2;

use crate::Error;
use crate::input::check_length;

/// Scores each item by its Shapley value for a k-nearest-neighbor vote on all other items, in [0, 1].
///
/// `neighbors` is `(n, k)`: the rows of the k nearest other items, nearest first. One half means no influence, more that
/// the item helps its neighbors to their labels, less that it harms. Cut after k neighbors the recursion telescopes: the
/// j-th neighbor of an item gains 1 when it has the item's label, and loses 1 when the k-th has it; the sum over all
/// items is divided by `n k` and mapped from [-1, 1]. The counts are whole numbers, so their order does not matter.
/// Ties of distance are the business of whoever orders the neighbors. O(n k) time, O(n) memory.
///
/// # Errors
/// When labels and neighbors do not fit each other, there is no row or no column, or a neighbor is no row or the item
/// itself.
pub fn knn_shapley(labels: &[u32], neighbors: ArrayView2<'_, u32>) -> Result<Vec<f64>, Error> {
    let (n_samples, k) = neighbors.dim();
    for (unit, got) in [("rows", n_samples), ("columns", k)] {
        if got == 0 {
            return Err(Error::TooFew { what: "neighbors", unit, expected: 1, got });
        }
    }
    check_length("labels", n_samples, labels.len())?;
    let mut values = vec![0_i64; n_samples];
    for (row, entries) in neighbors.rows().into_iter().enumerate() {
        if let Some(column) = entries.iter().position(|&neighbor| !is_other_row(neighbor, row, n_samples)) {
            let got = f64::from(entries[column]);
            let expected = "another row";
            return Err(Error::ValueOutOfRange { what: "neighbors", row, column, expected, got });
        }
        let matches = |neighbor: u32| i64::from(labels[neighbor as usize] == labels[row]);
        let last = matches(entries[k - 1]);
        for &neighbor in entries {
            values[neighbor as usize] += matches(neighbor) - last;
        }
    }
    let n_votes = (n_samples * k) as f64;
    Ok(values.iter().map(|&value| f64::midpoint(value as f64 / n_votes, 1.0)).collect())
}

fn is_other_row(neighbor: u32, row: usize, n_samples: usize) -> bool {
    let neighbor = neighbor as usize;
    neighbor < n_samples && neighbor != row
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn helpful_neighbors_gain_and_harmful_ones_lose() {
        // Items 0 and 1 share a label; item 2 has another and is the first neighbor of both.
        let values = knn_shapley(&[0, 0, 1], array![[2_u32, 1], [2, 0], [0, 1]].view()).unwrap();
        assert_eq!(values[0].to_bits(), 0.5_f64.to_bits());
        assert!((values[2] - (1.0 - 2.0 / 6.0) / 2.0).abs() < 1e-15, "{values:?}");
    }

    #[test]
    fn bad_neighbors_are_named() {
        let message = |neighbors: ndarray::Array2<u32>| {
            let values = knn_shapley(&[0, 1], neighbors.view());
            values.unwrap_err().to_string()
        };
        assert_eq!(message(array![[1], [1]]), "neighbors at row 1, column 0 is 1, expected another row");
        assert_eq!(message(array![[2], [0]]), "neighbors at row 0, column 0 is 2, expected another row");
        assert_eq!(message(array![[1]]), "labels has 2 entries, expected 1");
        assert_eq!(message(ndarray::Array2::zeros((2, 0))), "neighbors has 0 columns, expected at least 1");
    }
}
