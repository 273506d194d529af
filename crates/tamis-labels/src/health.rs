//! Health of a whole set of labels, of its classes, and of pairs of classes.
//!
//! The measures are those of cleanlab 2.9.0 (`dataset`); ties go to the smaller class, which cleanlab leaves to chance.

use ndarray::ArrayView2;

/// Least share that is divided by (cleanlab 2.9.0).
const MIN_SHARE: f64 = 1e-6;

/// Pairs of classes kept while the most confused are looked for, beyond the number wanted.
const SPARE_PAIRS: usize = 4096;

/// How well the items of one class are labeled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassQuality {
    /// The class.
    pub class: usize,
    /// Estimated items given this class that are truly another.
    pub n_issues: u64,
    /// Estimated items that are truly this class and given another.
    pub n_inverse_issues: u64,
    /// Share of the items given this class that are truly another.
    pub noise: f64,
    /// Share of the items truly of this class that are given another.
    pub inverse_noise: f64,
    /// 1 less `noise`; **low is suspicious**.
    pub quality: f64,
}

/// How often two classes are confused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassOverlap {
    /// The smaller class, or the given one.
    pub class_a: usize,
    /// The larger class, or the true one.
    pub class_b: usize,
    /// Estimated items.
    pub n_items: u64,
    /// Their share of all items.
    pub probability: f64,
}

/// Whether given and true class of a confusion are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlapDirection {
    /// A pair of classes counts both ways; `class_a` is the smaller.
    #[default]
    Symmetric,
    /// Items given `class_a` that are truly `class_b`.
    Asymmetric,
}

/// Health of a set of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSummary {
    /// Share of labels thought to be right, in [0, 1].
    pub overall: f64,
    /// Estimated number of label errors, [`crate::CountMethod::OffDiagonal`].
    pub n_issues: u64,
    /// One entry per class, worst first.
    pub classes: Vec<ClassQuality>,
    /// The pairs of classes that are confused most, worst first.
    pub overlaps: Vec<ClassOverlap>,
}

/// Ranks the classes of a calibrated joint `(given, true)` by label quality, worst first; ties to the smaller class.
///
/// O(`n_classes`²) time, O(`n_classes`) memory.
pub fn rank_classes_by_label_quality(calibrated: ArrayView2<'_, u64>) -> Vec<ClassQuality> {
    let total = calibrated.sum().max(1) as f64;
    let sums =
        calibrated.rows().into_iter().map(|row| row.sum()).zip(calibrated.columns().into_iter().map(|c| c.sum()));
    let mut classes: Vec<ClassQuality> = sums
        .enumerate()
        .map(|(class, (n_given, n_true))| {
            let n_right = calibrated[[class, class]];
            let rate = |n: u64| ((n - n_right) as f64 / total) / (n as f64 / total).max(MIN_SHARE);
            ClassQuality {
                class,
                n_issues: n_given - n_right,
                n_inverse_issues: n_true - n_right,
                noise: rate(n_given),
                inverse_noise: rate(n_true),
                quality: 1.0 - rate(n_given),
            }
        })
        .collect();
    classes.sort_by(|a, b| a.quality.total_cmp(&b.quality));
    classes
}

/// Finds the `max_pairs` pairs of classes of a calibrated joint `(given, true)` that are confused most, worst first.
///
/// Pairs that are never confused count as well, with 0; ties go to the smaller `class_a`, then the smaller `class_b`.
/// O(`n_classes`²) time, O(`max_pairs`) memory.
pub fn overlapping_classes(
    calibrated: ArrayView2<'_, u64>,
    direction: OverlapDirection,
    max_pairs: usize,
) -> Vec<ClassOverlap> {
    let n_classes = calibrated.nrows();
    let total = calibrated.sum().max(1) as f64;
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    let by_count = |a: &(u64, usize, usize), b: &(u64, usize, usize)| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)));
    for a in 0..n_classes {
        for b in 0..n_classes {
            match direction {
                OverlapDirection::Symmetric if a < b => pairs.push((calibrated[[a, b]] + calibrated[[b, a]], a, b)),
                OverlapDirection::Asymmetric if a != b => pairs.push((calibrated[[a, b]], a, b)),
                OverlapDirection::Symmetric | OverlapDirection::Asymmetric => {}
            }
        }
        if max_pairs.saturating_mul(2).saturating_add(SPARE_PAIRS) < pairs.len() {
            pairs.select_nth_unstable_by(max_pairs, by_count);
            pairs.truncate(max_pairs);
        }
    }
    pairs.sort_unstable_by(by_count);
    pairs.truncate(max_pairs);
    let overlap =
        |(n_items, class_a, class_b)| ClassOverlap { class_a, class_b, n_items, probability: n_items as f64 / total };
    pairs.into_iter().map(overlap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn classes_are_ranked_by_the_share_of_right_labels() {
        let joint = array![[6_u64, 2, 0], [1, 9, 0], [0, 0, 0]];
        let ranked = rank_classes_by_label_quality(joint.view());
        let order: Vec<usize> = ranked.iter().map(|class| class.class).collect();
        assert_eq!(order, [0, 1, 2]);
        assert_eq!((ranked[0].n_issues, ranked[0].n_inverse_issues), (2, 1));
        assert!((ranked[0].noise - 0.25).abs() < 1e-15 && (ranked[0].inverse_noise - 1.0 / 7.0).abs() < 1e-15);
        // A class that is neither given nor true has no noise.
        assert_eq!(ranked[2].quality.to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn the_most_confused_pairs_are_the_same_however_few_are_wanted() {
        let joint = Array2::from_shape_fn((130, 130), |(given, truth)| ((given * 31 + truth * 17) % 97) as u64);
        for direction in [OverlapDirection::Symmetric, OverlapDirection::Asymmetric] {
            let all = overlapping_classes(joint.view(), direction, usize::MAX);
            assert!(all.is_sorted_by_key(|pair| (std::cmp::Reverse(pair.n_items), pair.class_a, pair.class_b)));
            for max_pairs in [0, 1, 60, 5000] {
                let some = overlapping_classes(joint.view(), direction, max_pairs);
                assert_eq!(some, all[..max_pairs], "{direction:?}");
            }
        }
    }
}
