//! A picture of the whole dataset: a place in the plane for every sample.

use crate::{NeighborGraph, SampleId};

/// Where each sample lies in the plane, near what its vector is near to. Distances between far places mean little.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleMap {
    places: Vec<Option<[f32; 2]>>,
}

impl SampleMap {
    /// A map of places by sample, in reading order; `None` for what has no vector.
    #[must_use]
    pub fn new(places: Vec<Option<[f32; 2]>>) -> Self {
        Self { places }
    }

    /// Spreads the places of a graph's leaders over `leader_of`, the leader of each sample in reading order: samples that
    /// are identical share a place.
    ///
    /// # Panics
    /// When there is not one place for each leader.
    #[must_use]
    pub fn of_graph(graph: &NeighborGraph, places: &[[f32; 2]], leader_of: impl Iterator<Item = SampleId>) -> Self {
        assert_eq!(graph.leaders().len(), places.len(), "because each leader has a place");
        let place = |leader| graph.leaders().binary_search(&leader).ok().map(|row| places[row]);
        Self { places: leader_of.map(place).collect() }
    }

    /// The place of a sample; `None` for what has no vector.
    #[must_use]
    pub fn place(&self, id: SampleId) -> Option<[f32; 2]> {
        self.places.get(id.idx()).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn identical_samples_share_a_place_and_what_has_no_vector_has_none() {
        let leaders = vec![SampleId(0), SampleId(2)];
        let graph = NeighborGraph::new(4, leaders, array![[1], [0]], array![[0.5], [0.5]]);
        let leader_of = [0, 0, 2, 3].into_iter().map(SampleId);
        let map = SampleMap::of_graph(&graph, &[[1.0, 2.0], [3.0, 4.0]], leader_of);
        let places: Vec<_> = (0..5).map(|id| map.place(SampleId(id))).collect();
        assert_eq!(places, [Some([1.0, 2.0]), Some([1.0, 2.0]), Some([3.0, 4.0]), None, None]);
    }
}
