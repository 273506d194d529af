//! Properties that hold for any input.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis, s};
use proptest::prelude::*;
use tamis_labels::{
    Adjustment, LogisticOptions, LogisticRegression, PruneOptions, normalized_margin, out_of_fold_probabilities,
    prune_by_both, prune_by_class, prune_by_noise_rate, self_confidence_adjusted, stratified_group_folds,
};

const N: usize = 40;
const K: usize = 3;

fn permuted<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&row| values[row]).collect()
}

fn orders(n: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..n).collect::<Vec<usize>>()).prop_shuffle()
}

/// Samples with labels, groups of about two, and different keys.
fn samples() -> impl Strategy<Value = Vec<(u32, u32, u64)>> {
    prop::collection::vec((0_u32..4, 0_u32..30, any::<u64>()), 60..90)
}

fn unzip(samples: &[(u32, u32, u64)]) -> (Vec<u32>, Vec<u32>, Vec<u64>) {
    (
        samples.iter().map(|sample| sample.0).collect(),
        samples.iter().map(|sample| sample.1).collect(),
        samples.iter().map(|sample| sample.2).collect(),
    )
}

/// Deterministic features of unit length around one center per class, `(n, 8)`, and labels of which some are wrong.
fn clusters(n: usize) -> (Array2<f32>, Vec<u32>) {
    let noise = |row: usize, column: usize| {
        let mixed = ((row * 8 + column + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / 16_777_216.0
    };
    let mut features = Array2::from_shape_fn((n, 8), |(row, column)| {
        noise(row, column) - 0.5 + if row % K == column { 0.8 } else { 0.0 }
    });
    for mut row in features.rows_mut() {
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    let labels = (0..n).map(|row| ((row + usize::from(row % 10 == 9)) % K) as u32);
    (features, labels.collect())
}

proptest! {
    #[test]
    fn folds_never_split_a_group_and_are_balanced(samples in samples(), n_folds in 2_usize..6) {
        let (labels, groups, keys) = unzip(&samples);
        let folds = stratified_group_folds(&labels, &groups, &keys, n_folds).unwrap();
        let mut members = BTreeMap::<u32, Vec<usize>>::new();
        for (row, &group) in groups.iter().enumerate() {
            members.entry(group).or_default().push(row);
        }
        // Samples per fold, and the largest group, by the label a group counts for.
        let mut sizes = BTreeMap::<u32, (Vec<usize>, usize)>::new();
        for rows in members.values() {
            prop_assert!(rows.iter().all(|&row| folds[row] == folds[rows[0]]));
            let first = rows.iter().min_by_key(|&&row| keys[row]).unwrap();
            let (counts, largest) = sizes
                .entry(labels[*first])
                .or_insert((vec![0; n_folds], 0));
            counts[folds[*first] as usize] += rows.len();
            *largest = rows.len().max(*largest);
        }
        for (counts, largest) in sizes.values() {
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            prop_assert!(spread <= *largest, "{counts:?}");
        }
    }

    #[test]
    fn folds_of_single_samples_differ_by_at_most_one(samples in samples(), n_folds in 2_usize..6) {
        let (labels, _, keys) = unzip(&samples);
        let groups: Vec<u32> = (0..labels.len() as u32).collect();
        let folds = stratified_group_folds(&labels, &groups, &keys, n_folds).unwrap();
        let mut counts = vec![0_usize; n_folds];
        for &fold in &folds {
            counts[fold as usize] += 1;
        }
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
    }

    #[test]
    fn permuting_rows_permutes_folds(
        (samples, order) in samples().prop_flat_map(|samples| {
            let n = samples.len();
            (Just(samples), orders(n))
        }),
    ) {
        let (labels, groups, keys) = unzip(&samples);
        let folds = stratified_group_folds(&labels, &groups, &keys, 5).unwrap();
        // Other group values for the same groups, ordered the other way around.
        let renamed: Vec<u32> = groups.iter().map(|group| 99 - group).collect();
        let after = stratified_group_folds(
            &permuted(&labels, &order),
            &permuted(&renamed, &order),
            &permuted(&keys, &order),
            5,
        );
        prop_assert_eq!(after.unwrap(), permuted(&folds, &order));
    }

    #[test]
    fn permuting_items_permutes_flags_and_scores(
        values in prop::collection::vec(0.01_f32..1.0, N * K),
        labels in prop::collection::vec(0_u32..K as u32, N),
        order in orders(N),
    ) {
        let mut probabilities = Array2::from_shape_vec((N, K), values).unwrap();
        for mut row in probabilities.rows_mut() {
            let total = row.sum();
            row.mapv_inplace(|value| (value / total).min(1.0));
        }
        // Ties go to the smaller row, which a permutation changes.
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let margins = &probabilities.column(one) - &probabilities.column(other);
            let mut margins: Vec<f32> = margins.iter().map(|margin| margin.abs()).collect();
            margins.sort_by(f32::total_cmp);
            prop_assume!(margins.is_sorted_by(|a, b| a < b));
        }
        for column in probabilities.columns() {
            let mut column = column.to_vec();
            column.sort_by(f32::total_cmp);
            prop_assume!(column.is_sorted_by(|a, b| a < b));
        }
        let moved = probabilities.select(Axis(0), &order);
        let moved_labels = permuted(&labels, &order);
        let options = PruneOptions::default();
        for filter in [prune_by_noise_rate, prune_by_class, prune_by_both] {
            let flags = filter(&labels, probabilities.view(), &options).unwrap();
            let moved_flags = filter(&moved_labels, moved.view(), &options).unwrap();
            prop_assert_eq!(moved_flags, permuted(&flags, &order));
        }
        for score in [self_confidence_adjusted, normalized_margin] {
            let scores = score(&labels, probabilities.view(), Adjustment::Thresholds).unwrap();
            let moved_scores = score(&moved_labels, moved.view(), Adjustment::Thresholds).unwrap();
            // Thresholds are means: another order of summing moves them in the last digits.
            for (moved, before) in moved_scores.iter().zip(permuted(&scores, &order)) {
                prop_assert!((moved - before).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (features, labels) = clusters(5000);
    let folds: Vec<u32> = (0..5000).map(|row| row % 3).collect();
    let with_threads = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
        pool.unwrap().install(|| {
            let options = LogisticOptions::default();
            out_of_fold_probabilities(features.view(), &labels, K, &folds, &options).unwrap()
        })
    };
    let alone = with_threads(1);
    assert!(alone.converged());
    assert_eq!(alone, with_threads(2));
    assert_eq!(alone, with_threads(5));
}

#[test]
fn out_of_fold_probabilities_are_those_of_a_model_without_the_fold() {
    let (features, labels) = clusters(90);
    let folds: Vec<u32> = (0..90).map(|row| u32::from(row < 30)).collect();
    let options = LogisticOptions::default();
    let all = out_of_fold_probabilities(features.view(), &labels, K, &folds, &options).unwrap();
    let (held_out, training) = features.view().split_at(Axis(0), 30);
    let model = LogisticRegression::fit(training, &labels[30..], K, &options).unwrap();
    let expected = model.predict_proba(held_out).unwrap();
    assert_eq!(all.probabilities.slice(s![..30, ..]), expected);
    assert_eq!(all.folds[1].n_training, 60);
    assert_eq!(all.folds[1].fit, model.report());
}

#[test]
fn wrong_labels_get_low_scores() {
    let (features, labels) = clusters(600);
    let keys: Vec<u64> = (0..600).map(|row: u64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    let groups: Vec<u32> = (0..600).collect();
    let folds = stratified_group_folds(&labels, &groups, &keys, 5).unwrap();
    let options = LogisticOptions::default();
    let out = out_of_fold_probabilities(features.view(), &labels, K, &folds, &options).unwrap();
    let flags = prune_by_noise_rate(&labels, out.probabilities.view(), &PruneOptions::default());
    let flags = flags.unwrap();
    let is_wrong = |row: usize| row % 10 == 9;
    let n_hits = (0..600).filter(|&row| flags[row] && is_wrong(row)).count();
    let n_flags = flags.iter().filter(|&&flag| flag).count();
    // 60 labels are wrong and the clusters overlap a little.
    assert!(50 <= n_hits && n_flags <= 70, "{n_hits} of {n_flags}");
}

#[test]
fn a_class_absent_from_training_has_probability_zero() {
    let (features, mut labels) = clusters(60);
    labels.fill(0);
    labels[..30].fill(1);
    labels[7] = 2;
    let folds: Vec<u32> = (0..60).map(|row| row % 2).collect();
    let options = LogisticOptions::default();
    let out = out_of_fold_probabilities(features.view(), &labels, 4, &folds, &options).unwrap();
    assert_eq!(out.folds[0].classes, [0, 1, 2]);
    assert_eq!(out.folds[1].classes, [0, 1]);
    for (row, probabilities) in out.probabilities.rows().into_iter().enumerate() {
        assert!((probabilities.sum() - 1.0).abs() < 1e-6);
        assert_eq!(0.0 < probabilities[2], row % 2 == 0);
        assert!(probabilities[3] <= 0.0);
    }
}

#[test]
fn one_class_has_probability_one() {
    let (features, _) = clusters(10);
    let options = LogisticOptions::default();
    let model = LogisticRegression::fit(features.view(), &[1; 10], 2, &options).unwrap();
    assert!(model.report().converged);
    let probabilities = model.predict_proba(features.view()).unwrap();
    assert!(probabilities.column(1).iter().all(|&value| 1.0 <= value));
}

#[test]
fn more_iterations_lower_the_loss() {
    let (features, labels) = clusters(200);
    let losses: Vec<f64> = (1..8)
        .map(|max_iterations| {
            let options = LogisticOptions { max_iterations, ..LogisticOptions::default() };
            let model = LogisticRegression::fit(features.view(), &labels, K, &options).unwrap();
            assert!(!model.report().converged);
            model.report().objective
        })
        .collect();
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
}

#[test]
fn illegal_training_data_is_named() {
    let (mut features, labels) = clusters(6);
    let message = |features: &Array2<f32>, options: &LogisticOptions, folds: &[u32]| {
        let result = out_of_fold_probabilities(features.view(), &labels, K, folds, options);
        result.unwrap_err().to_string()
    };
    let options = LogisticOptions::default();
    assert_eq!(message(&features, &options, &[1; 6]), "folds has 1 distinct values, expected at least 2");
    assert_eq!(message(&features, &options, &[0, 1]), "folds has 2 entries, expected 6");
    let no_penalty = LogisticOptions { c: f64::INFINITY, ..options };
    assert_eq!(
        message(&features, &no_penalty, &[0, 1, 0, 1, 0, 1]),
        "option c is inf, expected a finite number above 0"
    );
    features[[4, 2]] = f32::NAN;
    assert_eq!(
        message(&features, &options, &[0, 1, 0, 1, 0, 1]),
        "features at row 4, column 2 is NaN, expected a finite number"
    );
}
