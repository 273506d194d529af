use super::*;
use crate::LearningOptions;
use ndarray::Array2;

/// Two classes on either side of zero, `n` samples each, and their neighbors by brute force.
struct Scene {
    features: Array2<f32>,
    labels: Vec<Option<u32>>,
    families: Vec<u32>,
    neighbors: Array2<u32>,
    similarities: Array2<f32>,
}

impl Scene {
    fn new(n: usize) -> Self {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let features = Array2::from_shape_fn((2 * n, 4), |(row, column)| {
            next()
                + if column > 0 {
                    0.0
                } else if row % 2 == 0 {
                    1.0
                } else {
                    -1.0
                }
        });
        let labels = (0..2 * n as u32).map(|row| Some(row % 2)).collect();
        let families = (0..2 * n as u32).collect();
        Self { features, labels, families, neighbors: Array2::zeros((0, 0)), similarities: Array2::zeros((0, 0)) }
    }

    /// Ten neighbors by the negative distance, brought into [0, 1].
    fn find_neighbors(&mut self) {
        let n = self.features.nrows();
        self.neighbors = Array2::zeros((n, 10));
        self.similarities = Array2::zeros((n, 10));
        for row in 0..n {
            let mut found: Vec<(f32, u32)> = (0..n)
                .filter(|&other| other != row)
                .map(|other| {
                    let difference = &self.features.row(row) - &self.features.row(other);
                    (1.0 / (1.0 + difference.dot(&difference)), other as u32)
                })
                .collect();
            found.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (place, (similarity, other)) in found.into_iter().take(10).enumerate() {
                self.neighbors[[row, place]] = other;
                self.similarities[[row, place]] = similarity;
            }
        }
    }

    fn samples(&self) -> LabeledVectors<'_> {
        LabeledVectors {
            features: self.features.view(),
            labels: &self.labels,
            n_classes: 2,
            families: &self.families,
            neighbors: self.neighbors.view(),
            similarities: self.similarities.view(),
        }
    }

    fn evidence(&self) -> LabelEvidence {
        label_evidence(&self.samples(), &EvidenceOptions::default()).unwrap()
    }
}

#[test]
fn flipped_labels_are_suspected_and_no_others() {
    let mut scene = Scene::new(100);
    scene.find_neighbors();
    for row in [10, 31, 77] {
        scene.labels[row] = scene.labels[row].map(|label| 1 - label);
    }
    let evidence = scene.evidence();
    let suspected: Vec<usize> = (0..200).filter(|&row| evidence.rows[row].is_suspected()).collect();
    assert_eq!(suspected, [10, 31, 77]);
    assert_eq!(evidence.rows[10].suggested, Some(0));
    assert_eq!(evidence.noise.budget.n, 3);
    let rate = evidence.noise.rate;
    assert!(rate.low <= 0.015 && 0.015 <= rate.high, "{rate:?}");
}

/// Makes every product, in plain loops.
#[derive(Debug)]
struct Elsewhere;

impl MatrixProducts for Elsewhere {
    fn times_transposed(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
        assert_eq!(a.ncols(), b.ncols());
        let dot = |row: usize, column: usize| a.row(row).iter().zip(b.row(column)).map(|(x, y)| x * y).sum();
        Some(Array2::from_shape_fn((a.nrows(), b.nrows()), |(row, column)| dot(row, column)))
    }
}

#[test]
fn products_made_elsewhere_give_the_same_evidence() {
    let mut scene = Scene::new(100);
    scene.find_neighbors();
    for row in [10, 31, 77] {
        scene.labels[row] = scene.labels[row].map(|label| 1 - label);
    }
    let here = scene.evidence();
    let there = label_evidence_on(&scene.samples(), &EvidenceOptions::default(), &Elsewhere).unwrap();
    let differ = |a: Option<f32>, b: Option<f32>| a.zip(b).map_or(0.0, |(a, b)| (a - b).abs());
    for (a, b) in here.rows.iter().zip(&there.rows) {
        let largest = differ(a.given_probability, b.given_probability);
        assert!(largest.max(differ(a.correct_probability, b.correct_probability)) < 1e-4, "{a:?} {b:?}");
        assert_eq!(a.suggested, b.suggested);
    }
}

#[test]
fn copies_with_the_same_wrong_label_do_not_confirm_each_other() {
    let mut scene = Scene::new(40);
    // Row 3 of class 1 lies among class 0, nine times.
    for row in [3, 5, 7, 9, 11, 13, 15, 17, 19] {
        let copied = scene.features.row(0).mapv(|value| value + 0.01);
        scene.features.row_mut(row).assign(&copied);
        scene.families[row] = 3;
    }
    scene.find_neighbors();
    let evidence = scene.evidence();
    assert!(evidence.rows[3].is_suspected(), "{:?}", evidence.rows[3]);
    scene.families = (0..80).collect();
    assert!(!scene.evidence().rows[3].is_suspected());
}

#[test]
fn a_sample_without_label_is_scored_and_not_learned_from() {
    let mut scene = Scene::new(30);
    scene.find_neighbors();
    scene.labels[4] = None;
    let evidence = scene.evidence();
    assert_eq!(evidence.rows[4].given_probability, None);
    assert_eq!(evidence.rows[4].suggested, Some(0));
    assert_eq!(evidence.noise.n, 59);
}

#[test]
fn a_class_of_one_family_is_not_judged() {
    let mut scene = Scene::new(30);
    scene.find_neighbors();
    for (row, label) in scene.labels.iter_mut().enumerate() {
        *label = Some(u32::from(row == 3));
    }
    let evidence = scene.evidence();
    assert_eq!(evidence.rows[3].suspicion(), None);
    assert!(evidence.rows[4].suspicion().is_some());
}

#[test]
fn a_label_that_is_certainly_wrong_is_judged() {
    // Far apart and nearly without spread: the probability of the given label underflows.
    let mut scene = Scene::new(30);
    scene.features.mapv_inplace(|value| value.round() + value / 1000.0);
    scene.labels[4] = Some(1);
    scene.find_neighbors();
    let evidence = scene.evidence();
    assert!(evidence.rows[4].is_suspected(), "{:?}", evidence.rows[4]);
    assert_eq!(evidence.rows[4].suggested, Some(0));
}

#[test]
fn few_labels_among_many_samples_are_learned_from() {
    let mut scene = Scene::new(400);
    scene.find_neighbors();
    for label in &mut scene.labels[12..] {
        *label = None;
    }
    let evidence = scene.evidence();
    let n_right = (12..800).filter(|&row| evidence.rows[row].suggested == Some(row as u32 % 2)).count();
    assert!(750 < n_right, "{n_right} of 788 suggestions are right");
}

#[test]
fn vectors_without_spread_within_classes_are_judged() {
    let mut scene = Scene::new(30);
    for row in 0..60 {
        let side = if row % 2 == 0 { 1.0 } else { -1.0 };
        scene.features.row_mut(row).assign(&ndarray::array![side, 0.0, 0.0, 0.0]);
    }
    scene.labels[4] = Some(1);
    scene.find_neighbors();
    let evidence = scene.evidence();
    let suspected: Vec<usize> = (0..60).filter(|&row| evidence.rows[row].is_suspected()).collect();
    assert_eq!(suspected, [4]);
}

#[test]
fn vectors_that_say_nothing_of_the_labels_are_told() {
    let mut scene = Scene::new(60);
    scene.features.column_mut(0).fill(0.0);
    scene.find_neighbors();
    assert!(!scene.evidence().is_informative);
    let mut told = Scene::new(60);
    told.find_neighbors();
    assert!(told.evidence().is_informative);
}

#[test]
fn one_family_judges_nothing() {
    let mut scene = Scene::new(3);
    scene.families = vec![0; 6];
    scene.find_neighbors();
    let evidence = scene.evidence();
    assert!(evidence.rows.iter().all(|row| row.suspicion().is_none() && row.suggested.is_none()));
    assert_eq!(evidence.noise.n, 0);
    assert!(evidence.confusions.is_empty() && evidence.overlaps.is_empty(), "{:?}", evidence.confusions);
}

#[test]
fn one_class_is_refused() {
    let mut scene = Scene::new(3);
    scene.labels = vec![Some(1); 6];
    scene.find_neighbors();
    let message = label_evidence(&scene.samples(), &EvidenceOptions::default()).unwrap_err().to_string();
    assert_eq!(message, "labels has 1 distinct classes, expected at least 2");
}

#[test]
fn given_probabilities_are_judged_by_the_noise_they_show() {
    // A model that is right and never sure: arg-max contradicts three of 200 labels.
    let probabilities = Array2::from_shape_fn((200, 2), |(row, class)| if row % 2 == class { 0.7_f32 } else { 0.3 });
    let mut labels: Vec<u32> = (0..200).map(|row| row % 2).collect();
    for row in [10, 31, 77] {
        labels[row] = 1 - labels[row];
    }
    let learning = ConfidentLearning::new(&labels, probabilities.view(), &LearningOptions::default()).unwrap();
    let evidence = learning.evidence().unwrap();
    let suspected: Vec<usize> = (0..200).filter(|&row| evidence.rows[row].is_suspected()).collect();
    assert_eq!(suspected, [10, 31, 77]);
    assert!(1.0 < evidence.judge_weights.0, "{:?}", evidence.judge_weights);
}

#[test]
fn probabilities_of_one_given_class_are_refused() {
    let probabilities = ndarray::array![[0.5_f32, 0.5], [0.5, 0.5]];
    let learning = ConfidentLearning::new(&[1, 1], probabilities.view(), &LearningOptions::default()).unwrap();
    let message = learning.evidence().unwrap_err().to_string();
    assert_eq!(message, "labels has 1 distinct classes, expected at least 2");
}
