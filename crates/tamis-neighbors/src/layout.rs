//! A map: a place in the plane for every row, near the rows that are near to it.
//!
//! The method is that of UMAP (`McInnes`, Healy and Melville, "UMAP: Uniform Manifold Approximation and Projection for
//! Dimension Reduction", arXiv 1802.03426v3), on the graph of nearest neighbors that is there already: its weights are those of section
//! 3.1, with the smooth distances of algorithm 3, and the places are found by sampling of edges with negative samples as in
//! section 3.2 and algorithm 5. Two things are simpler. The start is a projection on two principal components in the place of
//! eigenvectors of the graph, and likeness in the plane is 1 / (1 + d^2), which is UMAP's curve for a = b = 1 and that of
//! t-SNE: it needs no powers. One thread and a seed of its own make the same input give the same bytes.

use ndarray::{Array2, ArrayView2, Axis};

/// Neighbors of each row that count; UMAP's default.
const MAX_NEIGHBORS: usize = 15;
/// Rows that a sampled edge is pushed away from at each end; UMAP's default.
const NEGATIVES: usize = 5;
/// Epochs of small maps; UMAP takes 500 up to 10,000 rows, and no map of ours looked different after 300.
const MAX_EPOCHS: usize = 300;
/// Epochs of large ones; UMAP takes 200 from 10,000 rows on.
const MIN_EPOCHS: usize = 50;
/// Rows times epochs, so that the time grows no further between these bounds: some seconds on one core.
const ROW_EPOCHS: usize = 12_000_000;
/// Rows that principal components are taken from, evenly spread: they only have to begin well.
const MAX_PCA_ROWS: usize = 5_000;
/// Rounds of the power iteration.
const PCA_ROUNDS: usize = 20;
/// Half the side of the square that places begin in; as in UMAP.
const EXTENT: f32 = 10.0;
/// Largest step in one direction; as in UMAP.
const MAX_STEP: f32 = 4.0;
/// Keeps rows at one place from being thrown apart without bound; as in UMAP.
const EPSILON: f32 = 0.001;
/// Where the random numbers begin.
const SEED: u64 = 0x7461_6d69_735f_6d61;

/// Lays out rows in the plane. `rows` has shape `(n, dim)`; `ids` and `cosine` have shape `(n, k)`: the nearest other rows of
/// each, best first.
///
/// Takes O(n k) an epoch, fewer epochs for more rows, and O(n k) memory. Rows without neighbors stay where their principal
/// components put them, unless others push them.
///
/// # Panics
/// When the shapes do not fit together, or a neighbor is no row.
#[must_use]
pub fn layout(rows: ArrayView2<'_, f32>, ids: ArrayView2<'_, u32>, cosine: ArrayView2<'_, f32>) -> Vec<[f32; 2]> {
    assert_eq!(ids.dim(), cosine.dim(), "because each neighbor has a cosine");
    assert_eq!(ids.nrows(), rows.nrows(), "because each row has neighbors");
    let mut random = Random(SEED);
    let mut places = start(rows, &mut random);
    let edges = edges(ids, cosine);
    let epochs = (ROW_EPOCHS / rows.nrows().max(1)).clamp(MIN_EPOCHS, MAX_EPOCHS);
    settle(&mut places, &edges, epochs, &mut random);
    places
}

/// Two rows that are joined, and how strongly, in `(0, 1]`.
struct Edge {
    a: u32,
    b: u32,
    weight: f32,
}

/// Numbers that look random: `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is below 2^32.
    fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    /// A number in `[-0.5, 0.5)`.
    fn around_zero(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    }
}

/// Places by two principal components, scaled into the square, and a little disorder so that equal rows can part.
fn start(rows: ArrayView2<'_, f32>, random: &mut Random) -> Vec<[f32; 2]> {
    let [first, second] = components(rows, random);
    let project = |row: ndarray::ArrayView1<'_, f32>, axis: &[f32]| dot(row.iter().copied(), axis);
    let mut places: Vec<[f32; 2]> =
        rows.axis_iter(Axis(0)).map(|row| [project(row, &first), project(row, &second)]).collect();
    for axis in 0..2 {
        let of_axis = || places.iter().map(|it| it[axis]);
        let (low, high) = (of_axis().fold(f32::INFINITY, f32::min), of_axis().fold(f32::NEG_INFINITY, f32::max));
        let (middle, half) = ((low + high) / 2.0, (high - low) / 2.0);
        let scale = if f32::EPSILON < half { EXTENT / half } else { 0.0 };
        for place in &mut places {
            place[axis] = (place[axis] - middle) * scale + 0.01 * random.around_zero();
        }
    }
    places
}

fn dot(values: impl Iterator<Item = f32>, axis: &[f32]) -> f32 {
    values.zip(axis).map(|(value, weight)| value * weight).sum()
}

/// The two directions in which some of the rows differ most, by power iteration; the second is orthogonal to the first.
fn components(rows: ArrayView2<'_, f32>, random: &mut Random) -> [Vec<f32>; 2] {
    let step = rows.nrows().div_ceil(MAX_PCA_ROWS).max(1);
    let some: Vec<usize> = (0..rows.nrows()).step_by(step).collect();
    let mut centered: Array2<f32> = rows.select(Axis(0), &some);
    if let Some(mean) = centered.mean_axis(Axis(0)) {
        centered -= &mean;
    }
    let mut found: Vec<Vec<f32>> = Vec::new();
    for _ in 0..2 {
        let mut axis: Vec<f32> = (0..rows.ncols()).map(|_| random.around_zero()).collect();
        for _ in 0..PCA_ROUNDS {
            let mut next = vec![0.0_f32; axis.len()];
            for row in centered.rows() {
                let along = dot(row.iter().copied(), &axis);
                next.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * value);
            }
            for other in &found {
                let along = dot(next.iter().copied(), other);
                next.iter_mut().zip(other).for_each(|(value, it)| *value -= along * it);
            }
            let norm = dot(next.iter().copied(), &next).sqrt();
            if norm <= f32::MIN_POSITIVE {
                // Nothing differs in a further direction.
                axis.fill(0.0);
                break;
            }
            axis = next.into_iter().map(|it| it / norm).collect();
        }
        found.push(axis);
    }
    let second = found.pop().unwrap_or_default();
    [found.pop().unwrap_or_default(), second]
}

/// The graph with weights, each pair once, in order: the probabilistic union of both directions (section 3.1).
#[expect(clippy::cast_possible_truncation, reason = "rows have indices of 32 bits")]
fn edges(ids: ArrayView2<'_, u32>, cosine: ArrayView2<'_, f32>) -> Vec<Edge> {
    let k = ids.ncols().min(MAX_NEIGHBORS);
    let mut directed: Vec<Edge> = Vec::with_capacity(ids.nrows() * k);
    for (row, (ids, cosine)) in ids.rows().into_iter().zip(cosine.rows()).enumerate() {
        let distances: Vec<f32> = cosine.iter().take(k).map(|it| (1.0 - it).max(0.0)).collect();
        for (other, weight) in ids.iter().zip(smooth(&distances)) {
            let row = row as u32;
            if *other != row {
                directed.push(Edge { a: row.min(*other), b: row.max(*other), weight });
            }
        }
    }
    directed.sort_by_key(|it| (it.a, it.b));
    let mut edges: Vec<Edge> = Vec::with_capacity(directed.len());
    for edge in directed {
        match edges.last_mut().filter(|it| (it.a, it.b) == (edge.a, edge.b)) {
            Some(last) => last.weight += edge.weight - last.weight * edge.weight,
            None => edges.push(edge),
        }
    }
    edges.retain(|it| 0.0 < it.weight);
    edges
}

/// How strongly a row is joined to its neighbors: 1 to the nearest, less with the distance beyond that, so that all weights
/// sum to the binary logarithm of their number (algorithm 3).
fn smooth(distances: &[f32]) -> Vec<f32> {
    let Some(nearest) = distances.iter().copied().reduce(f32::min) else { return Vec::new() };
    let wanted = (distances.len() as f32).log2();
    let weight =
        |distance: f32, sigma: f32| if distance <= nearest { 1.0 } else { (-(distance - nearest) / sigma).exp() };
    let (mut low, mut high) = (1e-6_f32, 1e3_f32);
    for _ in 0..24 {
        // By halves of the logarithm, because sigmas differ by orders of magnitude.
        let middle = (low * high).sqrt();
        let sum: f32 = distances.iter().map(|it| weight(*it, middle)).sum();
        if sum < wanted { low = middle } else { high = middle }
    }
    distances.iter().map(|it| weight(*it, high)).collect()
}

/// Pulls joined rows together, the more often the stronger the edge, and pushes rows drawn by lot apart.
fn settle(places: &mut [[f32; 2]], edges: &[Edge], epochs: usize, random: &mut Random) {
    let strongest = edges.iter().map(|it| it.weight).fold(0.0, f32::max);
    // In parts of an epoch: how often an edge was due so far.
    let mut due: Vec<f32> = vec![0.0; edges.len()];
    for epoch in 0..epochs {
        let rate = 1.0 - epoch as f32 / epochs as f32;
        for (edge, due) in edges.iter().zip(&mut due) {
            *due += edge.weight / strongest;
            if *due < 1.0 {
                continue;
            }
            *due -= 1.0;
            for (head, tail) in [(edge.a as usize, edge.b as usize), (edge.b as usize, edge.a as usize)] {
                pull(places, head, tail, rate);
                for _ in 0..NEGATIVES {
                    let other = random.below(places.len());
                    if other != head {
                        push(places, head, other, rate);
                    }
                }
            }
        }
    }
}

fn pull(places: &mut [[f32; 2]], head: usize, tail: usize, rate: f32) {
    let (x, y) = (places[head][0] - places[tail][0], places[head][1] - places[tail][1]);
    let strength = -2.0 / (1.0 + x * x + y * y);
    let step = [x, y].map(|it| (strength * it).clamp(-MAX_STEP, MAX_STEP) * rate);
    for (axis, step) in step.into_iter().enumerate() {
        places[head][axis] += step;
        places[tail][axis] -= step;
    }
}

fn push(places: &mut [[f32; 2]], head: usize, other: usize, rate: f32) {
    let (x, y) = (places[head][0] - places[other][0], places[head][1] - places[other][1]);
    let distance = x * x + y * y;
    let strength = 2.0 / ((EPSILON + distance) * (1.0 + distance));
    places[head][0] += (strength * x).clamp(-MAX_STEP, MAX_STEP) * rate;
    places[head][1] += (strength * y).clamp(-MAX_STEP, MAX_STEP) * rate;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::knn;
    use tamis_core::NoProgress;

    /// `n_groups` bunches of `per_group` unit vectors.
    fn mixture(n_groups: usize, per_group: usize, dim: usize) -> Array2<f32> {
        let mut random = Random(1);
        let centers: Vec<Vec<f32>> = (0..n_groups).map(|_| (0..dim).map(|_| random.around_zero()).collect()).collect();
        let mut rows = Array2::zeros((n_groups * per_group, dim));
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            row.iter_mut().zip(&centers[i % n_groups]).for_each(|(it, at)| *it = at + 0.3 * random.around_zero());
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        rows
    }

    fn map_of(rows: &Array2<f32>, k: usize) -> Vec<[f32; 2]> {
        let task = tamis_core::Progress::begin(&NoProgress, "", None, "");
        let found = knn(rows.view(), k, &*task);
        layout(rows.view(), found.ids.view(), found.cosine.view())
    }

    /// Share of the ten nearest in the plane that are of the same bunch.
    fn purity(places: &[[f32; 2]], n_groups: usize) -> f64 {
        let mut same = 0;
        for (i, here) in places.iter().enumerate() {
            let mut others: Vec<(f32, usize)> = places
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(j, it)| ((it[0] - here[0]).powi(2) + (it[1] - here[1]).powi(2), j))
                .collect();
            others.sort_by(|x, y| x.0.total_cmp(&y.0));
            same += others.iter().take(10).filter(|(_, j)| j % n_groups == i % n_groups).count();
        }
        same as f64 / (10 * places.len()) as f64
    }

    #[test]
    fn what_belongs_together_lies_together_more_than_by_principal_components() {
        let rows = mixture(40, 20, 32);
        let before = purity(&start(rows.view(), &mut Random(SEED)), 40);
        let after = purity(&map_of(&rows, 15), 40);
        assert!(before < 0.7 && 0.98 < after, "{before} and {after}");
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let rows = mixture(5, 40, 16);
        let bits = |places: Vec<[f32; 2]>| places.into_iter().map(|it| it.map(f32::to_bits)).collect::<Vec<_>>();
        assert_eq!(bits(map_of(&rows, 10)), bits(map_of(&rows, 10)));
    }

    #[test]
    fn few_rows_and_equal_ones_have_places_too() {
        for n in 0..4 {
            let places = map_of(&mixture(1, n, 4), 15);
            assert!(places.len() == n && places.iter().flatten().all(|it| it.is_finite()), "{places:?}");
        }
        let equal = Array2::from_elem((50, 4), 0.5);
        let places = map_of(&equal, 15);
        assert!(places.iter().flatten().all(|it| it.is_finite() && it.abs() < 100.0), "{places:?}");
    }

    #[test]
    fn weights_of_a_row_sum_to_the_logarithm_of_their_number() {
        let weights = smooth(&[0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0, 1.1]);
        assert_eq!(weights[0], 1.0);
        assert!((weights.iter().sum::<f32>() - 3.0).abs() < 1e-3, "{weights:?}");
        assert!(weights.is_sorted_by(|x, y| x >= y));
    }

    #[test]
    fn an_edge_has_the_union_of_both_directions() {
        // Row 0 is far from its neighbors and as far from each; to row 1 it is the farther one of two.
        let ids = ndarray::array![[1, 2, 3], [2, 0, 3], [1, 3, 0], [2, 1, 0]];
        let cosine = ndarray::array![[0.5, 0.4, 0.3], [0.9, 0.5, 0.5], [0.9, 0.8, 0.4], [0.8, 0.5, 0.3]];
        let found = edges(ids.view(), cosine.view());
        let pairs: Vec<(u32, u32)> = found.iter().map(|it| (it.a, it.b)).collect();
        assert_eq!(pairs, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        let there = smooth(&[0.5, 0.6, 0.7])[1];
        let back = smooth(&[0.1, 0.2, 0.6])[2];
        assert!((found[1].weight - (there + back - there * back)).abs() < 1e-6);
        assert_eq!(found[3].weight, 1.0, "each is the nearest of the other");
    }

    proptest! {
        #[test]
        fn every_row_has_a_finite_place(n in 1_usize..40, dim in 1_usize..6, k in 1_usize..20, seed: u64) {
            let mut random = Random(seed);
            let rows = Array2::from_shape_simple_fn((n, dim), || random.around_zero());
            let places = map_of(&rows, k);
            prop_assert_eq!(places.len(), n);
            prop_assert!(places.iter().flatten().all(|it| it.is_finite()));
        }
    }
}
