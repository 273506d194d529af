//! Confident learning against a plain implementation, and what must not change its results.

use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder as _};
use proptest::prelude::*;
use tamis_labels::{
    Adjustment, Collision, ConfidentLearning, CountMethod, Filter, FilterOptions, LearningOptions, QualityScore,
    RowSums,
};

/// Labels and probabilities `(n, n_classes)`.
type Data = (Vec<u32>, Array2<f64>);

/// Rows on a grid of 1/8, full of ties, which sum to exactly 1.
fn tied() -> impl Strategy<Value = Data> {
    (2_usize..6, 2_usize..60).prop_flat_map(|(n_classes, n)| {
        let row = prop::collection::vec(0..n_classes, 8);
        (prop::collection::vec(0..n_classes as u32, n), prop::collection::vec(row, n)).prop_map(
            move |(labels, rows)| {
                let mut probabilities = Array2::zeros((n, n_classes));
                for (row, classes) in rows.into_iter().enumerate() {
                    for class in classes {
                        probabilities[[row, class]] += 0.125;
                    }
                }
                (labels, probabilities)
            },
        )
    })
}

/// Rows of any positive numbers, scaled to sum 1.
fn smooth() -> impl Strategy<Value = Data> {
    (2_usize..40, 2_usize..60).prop_flat_map(|(n_classes, n)| {
        let values = prop::collection::vec(0.001_f64..1.0, n * n_classes);
        (prop::collection::vec(0..n_classes as u32, n), values).prop_map(move |(labels, values)| {
            let mut probabilities = Array2::from_shape_vec((n, n_classes), values).unwrap();
            for mut row in probabilities.rows_mut() {
                let total = row.sum();
                row.mapv_inplace(|value| (value / total).powi(2));
                let total = row.sum();
                row /= total;
            }
            (labels, probabilities)
        })
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![tied(), smooth()]
}

fn options() -> impl Strategy<Value = FilterOptions<'static>> {
    (0_u64..6, prop_oneof![Just(1.0), Just(0.5), 0.0_f64..1.0]).prop_map(|(min_examples_per_class, frac_noise)| {
        FilterOptions { min_examples_per_class, frac_noise, ..FilterOptions::default() }
    })
}

fn learn<'a>((labels, probabilities): &'a Data, options: &LearningOptions) -> ConfidentLearning<'a, f64> {
    ConfidentLearning::new(labels, probabilities.view(), options).unwrap()
}

/// The formulas of the crate's essay, each in the plainest form.
mod plain {
    use super::{Collision, Data, Filter, FilterOptions};
    use ndarray::{Array2, ArrayView1};

    pub(super) fn thresholds((labels, probabilities): &Data) -> Vec<f64> {
        let of_class = |class: usize| {
            let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] as usize == class).collect();
            let sum: f64 = rows.iter().map(|&row| probabilities[[row, class]]).sum();
            if rows.is_empty() { 2.0 } else { (sum / rows.len() as f64).max(2e-6) }
        };
        (0..probabilities.ncols()).map(of_class).collect()
    }

    fn arg_max(values: impl Iterator<Item = f64>) -> usize {
        let values: Vec<f64> = values.collect();
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter().position(|&value| value >= largest).unwrap()
    }

    pub(super) fn guess(row: ArrayView1<'_, f64>, thresholds: &[f64], collision: Collision) -> Option<usize> {
        let confident: Vec<usize> = (0..row.len()).filter(|&class| row[class] >= thresholds[class] - 1e-6).collect();
        match (confident.len(), collision) {
            (0, _) => None,
            (1, _) => Some(confident[0]),
            (_, Collision::Paper) => Some(confident[arg_max(confident.iter().map(|&class| row[class]))]),
            _ => Some(arg_max(row.iter().copied())),
        }
    }

    pub(super) fn agrees(row: ArrayView1<'_, f64>, label: usize) -> bool {
        arg_max(row.iter().enumerate().map(|(class, &p)| if class == label { p + 1e-6 } else { p })) == label
    }

    /// The n rows with the smallest keys, by a stable sort.
    fn first_sorted(rows: &[usize], n: u64, key: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut rows = rows.to_vec();
        rows.sort_by(|&a, &b| key(a).partial_cmp(&key(b)).unwrap());
        rows.truncate(n as usize);
        rows
    }

    fn kept(joint: &Array2<u64>, given: usize, options: &FilterOptions<'_>) -> Vec<u64> {
        let counts = joint.row(given);
        let own = counts[given].max(options.min_examples_per_class);
        let n_nonzero = counts.iter().filter(|&&count| count > 0).count() as f64;
        let part = (own - counts[given]) as f64 / (n_nonzero - 1.0).max(1.0);
        let reduced = |class: usize| (counts[class] as f64 - part).max(0.0);
        let scaled = |class: usize| (reduced(class) * options.frac_noise) as u64;
        let others = (0..counts.len()).filter(|&class| class != given);
        let rest: f64 = others.map(|class| reduced(class) - reduced(class) * options.frac_noise).sum();
        (0..counts.len()).map(|class| if class == given { (own as f64 + rest) as u64 } else { scaled(class) }).collect()
    }

    /// Flags of the three filters that prune, from a calibrated joint.
    pub(super) fn prune(data: &Data, joint: &Array2<u64>, filter: Filter, options: &FilterOptions<'_>) -> Vec<bool> {
        let (labels, p) = data;
        let n = labels.len();
        let (mut by_class, mut by_rate) = (vec![false; n], vec![false; n]);
        for given in 0..p.ncols() {
            let rows: Vec<usize> = (0..n).filter(|&row| labels[row] as usize == given).collect();
            if rows.len() < 2 || rows.len() as u64 <= options.min_examples_per_class {
                continue;
            }
            let kept = kept(joint, given, options);
            let n_wrong = (rows.len() as u64).saturating_sub(kept[given]);
            for row in first_sorted(&rows, n_wrong, |row| p[[row, given]]) {
                by_class[row] = true;
            }
            for other in (0..p.ncols()).filter(|&other| other != given) {
                for row in first_sorted(&rows, kept[other], |row| -(p[[row, other]] - p[[row, given]])) {
                    by_rate[row] = true;
                }
            }
        }
        let flag = |row: usize| match filter {
            Filter::PruneByClass => by_class[row],
            Filter::PruneByNoiseRate => by_rate[row],
            _ => by_class[row] && by_rate[row],
        };
        (0..n).map(|row| flag(row) && !agrees(p.row(row), labels[row] as usize)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn joints_equal_a_plain_implementation(data in data(), paper in any::<bool>()) {
        let collision = if paper { Collision::Paper } else { Collision::Cleanlab };
        let learning = learn(&data, &LearningOptions { collision, ..LearningOptions::default() });
        let thresholds = plain::thresholds(&data);
        for (got, expected) in learning.thresholds().iter().zip(&thresholds) {
            prop_assert!((got - expected).abs() < 1e-15);
        }
        let (labels, probabilities) = &data;
        let mut counts = Array2::<u64>::zeros((thresholds.len(), thresholds.len()));
        let mut off_diagonal = Vec::new();
        for (row, &label) in labels.iter().enumerate() {
            if let Some(guess) = plain::guess(probabilities.row(row), &thresholds, collision) {
                counts[[label as usize, guess]] += 1;
                if guess != label as usize {
                    off_diagonal.push(row);
                }
            }
        }
        counts.diag_mut().mapv_inplace(|count| count.max(1));
        let joint = learning.joint();
        prop_assert_eq!(&joint.counts, &counts);
        prop_assert_eq!(&joint.off_diagonal, &off_diagonal);

        let agrees = |row: usize| plain::agrees(probabilities.row(row), labels[row] as usize);
        let issues: Vec<bool> = (0..labels.len()).map(|row| off_diagonal.contains(&row) && !agrees(row)).collect();
        let flags = |filter| learning.flags(filter, &FilterOptions::default()).unwrap();
        prop_assert_eq!(flags(Filter::ConfidentLearning), issues);
        let predicted: Vec<bool> = (0..labels.len()).map(|row| !agrees(row)).collect();
        prop_assert_eq!(flags(Filter::PredictedNeqGiven), predicted);
    }

    #[test]
    fn a_calibrated_joint_keeps_the_label_counts_and_rounds_by_less_than_one(data in data()) {
        let learning = learn(&data, &LearningOptions::default());
        let (counts, calibrated) = (learning.joint().counts, learning.calibrated_joint());
        for (class, &n_given) in learning.label_counts().iter().enumerate() {
            prop_assert_eq!(calibrated.row(class).sum(), n_given);
            let total = counts.row(class).sum() as f64;
            for (&count, &whole) in counts.row(class).iter().zip(calibrated.row(class)) {
                let exact = count as f64 / total * n_given as f64;
                prop_assert!((whole as f64 - exact).abs() < 1.0 + 1e-9, "{} for {}", whole, exact);
            }
        }
    }

    #[test]
    fn prune_filters_equal_full_sorts(data in data(), options in options()) {
        let learning = learn(&data, &LearningOptions::default());
        let joint = learning.calibrated_joint();
        for filter in [Filter::PruneByNoiseRate, Filter::PruneByClass, Filter::Both] {
            let flags = learning.flags(filter, &options).unwrap();
            prop_assert_eq!(flags, plain::prune(&data, &joint, filter, &options), "{}", filter);
        }
    }

    #[test]
    fn more_slots_than_likely_rows_go_to_the_rest_of_the_class(data in data(), counts in prop::collection::vec(0_u64..9, 1600)) {
        // A joint of any counts has slots for classes that few rows or none look like.
        let learning = learn(&data, &LearningOptions::default());
        let n = learning.n_classes();
        let joint = Array2::from_shape_fn((n, n), |(given, other)| counts[given * n + other]);
        let options = FilterOptions { joint: Some(joint.view()), ..FilterOptions::default() };
        for filter in [Filter::PruneByNoiseRate, Filter::PruneByClass, Filter::Both] {
            let flags = learning.flags(filter, &options).unwrap();
            prop_assert_eq!(flags, plain::prune(&data, &joint, filter, &options), "{}", filter);
        }
    }

    #[test]
    fn ranking_filters_flag_as_many_as_are_counted(data in data()) {
        let learning = learn(&data, &LearningOptions::default());
        let n_issues = learning.num_label_issues(CountMethod::OffDiagonal) as usize;
        for (filter, score) in [
            (Filter::LowNormalizedMargin, QualityScore::NormalizedMargin),
            (Filter::LowSelfConfidence, QualityScore::SelfConfidence),
        ] {
            let scores = learning.scores(score, Adjustment::None).unwrap();
            let mut rows: Vec<usize> = (0..scores.len()).collect();
            rows.sort_by(|&a, &b| scores[a].partial_cmp(&scores[b]).unwrap());
            rows.truncate(n_issues);
            let issues = learning.issues(filter, &FilterOptions::default(), score, Adjustment::None).unwrap();
            prop_assert_eq!(issues, rows);
        }
    }

    #[test]
    fn permuting_classes_permutes_results(
        (data, order) in smooth().prop_flat_map(|data| {
            let order = Just((0..data.1.ncols()).collect::<Vec<usize>>()).prop_shuffle();
            (Just(data), order)
        }),
    ) {
        let (labels, probabilities) = &data;
        // Column `new` of the moved array is column `order[new]`.
        let new_of = |class: usize| order.iter().position(|&old| old == class).unwrap();
        let moved = (
            labels.iter().map(|&label| new_of(label as usize) as u32).collect(),
            probabilities.select(Axis(1), &order),
        );
        let (before, after) = (learn(&data, &LearningOptions::default()), learn(&moved, &LearningOptions::default()));
        let permuted = |joint: &Array2<u64>| joint.select(Axis(0), &order).select(Axis(1), &order);
        prop_assert_eq!(after.joint().counts, permuted(&before.joint().counts));
        prop_assert_eq!(after.self_confidence(), before.self_confidence());
        // Rounding gives ties to the higher class, so the calibrated joint is moved instead of made again.
        let joint = before.calibrated_joint();
        let moved_joint = permuted(&joint);
        let options = FilterOptions { joint: Some(joint.view()), ..FilterOptions::default() };
        let moved_options = FilterOptions { joint: Some(moved_joint.view()), ..FilterOptions::default() };
        for filter in Filter::ALL {
            prop_assert_eq!(after.flags(filter, &moved_options), before.flags(filter, &options), "{}", filter);
        }
    }

    #[test]
    fn rows_are_renormalized_to_what_they_were((labels, probabilities) in tied(), factor in 0.5_f64..8.0) {
        let options = LearningOptions { row_sums: RowSums::Renormalize, ..LearningOptions::default() };
        // A power of two scales without rounding.
        let scaled = (labels.clone(), &probabilities * factor.log2().round().exp2());
        let (before, after) = ((labels, probabilities), learn(&scaled, &options));
        let before = learn(&before, &LearningOptions::default());
        prop_assert_eq!(everything(&after), everything(&before));
    }
}

/// All results as one list of numbers, for comparisons to the last bit.
fn everything<P: tamis_labels::Probability>(learning: &ConfidentLearning<'_, P>) -> Vec<u64> {
    let mut all: Vec<u64> = learning.thresholds().iter().map(|value| value.to_bits()).collect();
    all.extend(learning.joint().off_diagonal.iter().map(|&row| row as u64));
    all.extend(learning.calibrated_joint().iter());
    for filter in Filter::ALL {
        let flags = learning.flags(filter, &FilterOptions::default()).unwrap();
        all.extend(flags.iter().map(|&flag| u64::from(flag)));
    }
    for score in QualityScore::ALL {
        let scores = learning.scores(score, Adjustment::None).unwrap();
        all.extend(scores.iter().map(|value| value.to_bits()));
        let issues = learning.issues(Filter::default(), &FilterOptions::default(), score, Adjustment::None);
        all.extend(issues.unwrap().iter().map(|&row| row as u64));
    }
    all
}

/// Labels and probabilities of several blocks of rows, with some wrong labels.
fn several_blocks(n: usize, n_classes: usize) -> (Vec<u32>, Array2<f32>) {
    let noise = |row: usize, column: usize| {
        let mixed = ((row * n_classes + column + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / 16_777_216.0
    };
    let mut probabilities = Array2::from_shape_fn((n, n_classes), |(row, column)| {
        let own = if row % n_classes == column { 4.0 * noise(column, row) } else { 0.0 };
        (own + 2.0 * noise(row, column)).exp()
    });
    for mut row in probabilities.rows_mut() {
        let total = row.sum();
        row /= total;
    }
    let labels = (0..n).map(|row| ((row + usize::from(row % 9 == 4)) % n_classes) as u32);
    (labels.collect(), probabilities)
}

fn by_columns(array: ArrayView2<'_, f32>) -> Array2<f32> {
    Array2::from_shape_vec(array.dim().f(), array.t().iter().copied().collect()).unwrap()
}

#[test]
fn neither_threads_nor_strides_change_a_bit() {
    for (n, n_classes) in [(5000, 7), (700, 400)] {
        let (labels, probabilities) = several_blocks(n, n_classes);
        let columns = by_columns(probabilities.view());
        let results = |n_threads: usize, view: ArrayView2<'_, f32>, row_sums: RowSums| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
            pool.unwrap().install(|| {
                let options = LearningOptions { row_sums, ..LearningOptions::default() };
                everything(&ConfidentLearning::new(&labels, view, &options).unwrap())
            })
        };
        for row_sums in [RowSums::Check, RowSums::Renormalize] {
            let alone = results(1, probabilities.view(), row_sums);
            for n_threads in 1..4 {
                assert!(alone == results(n_threads, probabilities.view(), row_sums), "{n_threads} threads, rows");
                assert!(alone == results(n_threads, columns.view(), row_sums), "{n_threads} threads, columns");
            }
        }
    }
}

#[test]
fn the_first_bad_row_is_named_however_many_threads_look() {
    let (labels, mut probabilities) = several_blocks(5000, 7);
    probabilities[[4700, 3]] = f32::NAN;
    probabilities[[1500, 6]] += 0.5;
    for n_threads in 1..4 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let learned = pool
            .install(|| ConfidentLearning::new(&labels, probabilities.view(), &LearningOptions::default()).map(|_| ()));
        let message = learned.unwrap_err().to_string();
        assert!(message.starts_with("probabilities of row 1500 sum to 1."), "{message}");
    }
}
