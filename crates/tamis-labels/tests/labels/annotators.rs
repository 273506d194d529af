//! Equality with cleanlab 2.9.0 on items with several annotators.

use ndarray::Array2;
use tamis_labels::annotators::{
    Calibration, Consensus, Weights, active_learning_scores, agreement, consensus, majority_vote,
};

use crate::npy;
use crate::tasks::{Expected, assert_close, numbers, probabilities};

const CASES: [&str; 2] = ["multiannotator", "multiannotator_sparse"];

struct Case {
    name: &'static str,
    annotations: Array2<i32>,
    models: [Array2<f32>; 2],
    expected: Expected,
}

fn floats(labels: &[u32]) -> Vec<f64> {
    labels.iter().map(|&label| f64::from(label)).collect()
}

/// What every way to a consensus reports.
fn compare_items(case: &mut Case, key: &str, found: &Consensus) {
    let expected = &mut case.expected;
    expected.compare(&format!("{key}/consensus_label"), &floats(&found.labels));
    expected.compare(&format!("{key}/consensus_quality_score"), &found.quality);
    expected.compare(&format!("{key}/annotator_agreement"), &found.agreement);
    let n_annotations: Vec<f64> = found.n_annotations.iter().map(|&count| count as f64).collect();
    expected.compare(&format!("{key}/num_annotations"), &n_annotations);
}

fn compare_majority(case: &mut Case, key: &str, found: &Consensus) {
    let (expected, majority) = (&mut case.expected, &found.majority);
    expected.compare(&format!("{key}/consensus_label_majority_vote"), &floats(&majority.labels));
    expected.compare(&format!("{key}/consensus_quality_score_majority_vote"), &majority.quality);
    expected.compare(&format!("{key}/annotator_agreement_majority_vote"), &majority.agreement);
}

/// Compares the table of annotators; returns how many worst classes differ, always between exact ties.
fn compare_annotators(case: &mut Case, key: &str, found: &Consensus) -> usize {
    let columns = case.expected.value(&format!("{key}/annotator_stats/columns")).clone();
    assert_eq!(columns[0], "index");
    assert_eq!(columns[1], "annotator_quality");
    assert_eq!(columns[2], "agreement_with_consensus");
    assert_eq!(columns[3], "worst_class");
    assert_eq!(columns[4], "num_examples_labeled");
    let rows = case.expected.value(&format!("{key}/annotator_stats/rows")).as_array().unwrap().clone();
    assert_eq!(rows.len(), found.annotators.len());
    let mut n_other = 0;
    for row in rows {
        let row = numbers(&row);
        let index = row[0] as usize;
        let got = found.annotators[index];
        let name = format!("{} {key}, annotator {index}", case.name);
        assert_close(
            &name,
            &[got.quality, got.agreement_with_consensus, got.n_labels as f64],
            &[row[1], row[2], row[4]],
        );
        if f64::from(got.worst_class) != row[3] {
            let share = |class: u32| share_and_count(case, found, index, class);
            assert_eq!(share(got.worst_class), share(row[3] as u32), "{name}");
            n_other += 1;
        }
    }
    n_other
}

/// Labels of a class by an annotator that are the consensus, and all of them.
fn share_and_count(case: &Case, found: &Consensus, annotator: usize, class: u32) -> (usize, usize) {
    let given = case.annotations.column(annotator);
    let rows: Vec<usize> = (0..given.len()).filter(|&row| given[row] == class as i32).collect();
    (rows.iter().filter(|&&row| found.labels[row] == class).count(), rows.len())
}

fn compare_weights(case: &mut Case, key: &str, weights: &Weights) {
    case.expected.compare(&format!("{key}/annotator_weight"), &weights.annotators);
    let expected = case.expected.value(&format!("{key}/model_weight"));
    let expected = expected.as_f64().map_or_else(|| numbers(expected), |weight| vec![weight]);
    assert_close(key, &weights.models, &expected);
}

/// cleanlab's consensus by agreement alone is the place of the most frequent label among the distinct labels of the item,
/// not the label: [1, 2, 2] gives 1. Only where labels tie is it the majority vote. Place, vote and agreement follow from
/// what this crate computes.
fn compare_agreement(case: &mut Case, n_classes: usize, majority: &[u32]) {
    let mut labels = Vec::new();
    for (given, &majority) in case.annotations.rows().into_iter().zip(majority) {
        let votes = |class: usize| given.iter().filter(|&&label| label == class as i32).count();
        let distinct: Vec<usize> = (0..n_classes).map(votes).filter(|&count| 0 < count).collect();
        let most = distinct.iter().max().unwrap();
        let place = distinct.iter().position(|count| count == most).unwrap() as u32;
        let is_tied = 1 < distinct.iter().filter(|&count| count == most).count();
        labels.push(if is_tied { majority } else { place });
    }
    case.expected.compare("agreement/consensus_label", &floats(&labels));
    let shares = agreement(case.annotations.view(), n_classes, &labels).unwrap();
    case.expected.compare("agreement/annotator_agreement", &shares);
    case.expected.compare("agreement/consensus_quality_score", &shares);
    let n_annotations: Vec<f64> =
        case.annotations.rows().into_iter().map(|row| row.iter().filter(|&&x| 0 <= x).count() as f64).collect();
    case.expected.compare("agreement/num_annotations", &n_annotations);
}

#[test]
fn consensus_and_qualities_equal_cleanlab() {
    let mut n_other_worst_classes = 0;
    for name in CASES {
        let mut case = Case {
            name,
            annotations: npy::read(&format!("{name}/annotators.npy")).mapv(|label| label as i32),
            models: ["pred_probs.npy", "pred_probs_2.npy"].map(|file| probabilities(name, file)),
            expected: Expected::read(name),
        };
        let (annotations, models) = (case.annotations.clone(), case.models.clone());
        let (annotations, [model, other]) = (annotations.view(), [models[0].view(), models[1].view()]);
        let majority = majority_vote(annotations, model.ncols(), Some(model)).unwrap();
        case.expected.compare("majority_vote", &floats(&majority));

        for (key, calibration) in [("crowdlab", Calibration::None), ("crowdlab_calibrated", Calibration::Cleanlab)] {
            let found = consensus(annotations, &[model], calibration).unwrap();
            compare_items(&mut case, key, &found);
            compare_majority(&mut case, key, &found);
            n_other_worst_classes += compare_annotators(&mut case, key, &found);
            compare_weights(&mut case, key, &found.first_weights);
            if calibration == Calibration::Cleanlab {
                let temperature = case.expected.value("best_temperature").as_f64().unwrap();
                assert_close(name, &found.temperatures, &[temperature]);
            } else {
                let expected = npy::read(&format!("{name}/detailed_label_quality.npy"));
                assert_close(name, found.label_quality.as_slice().unwrap(), expected.as_slice().unwrap());
            }
        }

        let found = consensus(annotations, &[model, other], Calibration::None).unwrap();
        compare_items(&mut case, "ensemble", &found);
        compare_weights(&mut case, "ensemble", &found.weights);

        let unlabeled = other.slice_move(ndarray::s![..40, ..]);
        let scores = active_learning_scores(annotations, &[model], &[unlabeled]).unwrap();
        case.expected.compare("active_learning_scores", &scores.labeled);
        case.expected.compare("active_learning_scores_unlabeled_first40_of_pred_probs_2", &scores.unlabeled);
        compare_agreement(&mut case, model.ncols(), &majority);
        case.expected.finish();
    }
    // Annotator 0 of the sparse case, calibrated: 11 of 18 labels agree for class 0 and for class 1.
    assert_eq!(n_other_worst_classes, 1);
}

fn matrix(value: &serde_json::Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn calibrated_ensembles_and_their_active_learning_scores_equal_cleanlab() {
    let mut expected = Expected::read("multiannotator_ensemble");
    let annotations = matrix(expected.value("annotations")).mapv(|label| label as i32);
    let mut models = |key: &str| -> Vec<Array2<f32>> {
        let models = expected.value(key).as_array().unwrap();
        models.iter().map(|model| matrix(model).mapv(|value| value as f32)).collect()
    };
    let (models, unlabeled) = (models("models"), models("unlabeled"));
    let models: Vec<_> = models.iter().map(|model| model.view()).collect();
    let unlabeled: Vec<_> = unlabeled.iter().map(|model| model.view()).collect();
    let found = consensus(annotations.view(), &models, Calibration::Cleanlab).unwrap();
    expected.compare("consensus_label", &floats(&found.labels));
    expected.compare("consensus_quality_score", &found.quality);
    let qualities: Vec<f64> = found.annotators.iter().map(|annotator| annotator.quality).collect();
    expected.compare("annotator_quality", &qualities);
    expected.compare("model_weight", &found.weights.models);
    expected.compare("annotator_weight", &found.weights.annotators);
    let scores = active_learning_scores(annotations.view(), &models, &unlabeled).unwrap();
    expected.compare("active_learning_scores", &scores.labeled);
    expected.compare("active_learning_scores_unlabeled", &scores.unlabeled);
    expected.finish();
}
