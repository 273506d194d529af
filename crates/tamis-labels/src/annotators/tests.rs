use super::*;
use ndarray::{Array2, array};

#[test]
fn ties_of_votes_go_to_the_model_then_the_rarest_then_the_best_annotators_then_the_smaller_class() {
    let by_model = majority_vote(array![[0, 1]].view(), 2, Some(array![[0.4_f32, 0.6]].view()));
    assert_eq!(by_model.unwrap(), [1]);
    // Class 1 is given once, class 0 twice.
    assert_eq!(majority_vote(array![[0, 1], [0, -1]].view(), 2, None).unwrap(), [1, 0]);
    // Both classes are given seven times; annotator 0 always agrees with the items that are not tied.
    let annotations = array![[1, 0, -1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1]];
    assert_eq!(majority_vote(annotations.view(), 2, None).unwrap(), [1, 0, 1, 0, 1]);
    assert_eq!(majority_vote(array![[0, 1], [0, 0], [1, 1]].view(), 2, None).unwrap(), [0, 0, 1]);
}

#[test]
fn a_lone_annotator_is_outvoted_and_weighs_less() {
    let annotations = array![[0, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]];
    let model = array![[0.9_f32, 0.1], [0.2, 0.8], [0.8, 0.2], [0.1, 0.9]];
    let found = consensus(annotations.view(), &[model.view()], Calibration::None).unwrap();
    assert_eq!(found.labels, [0, 1, 0, 1]);
    assert!(found.weights.annotators[2] < found.weights.annotators[0], "{:?}", found.weights);
    assert!(found.annotators[2].quality < found.annotators[0].quality, "{:?}", found.annotators);
    assert_eq!(found.annotators[2].worst_class, 0);
}

#[test]
fn a_class_that_nobody_chooses_is_legal() {
    let annotations = array![[0, 0], [1, -1], [0, 1]];
    let model = array![[0.6_f32, 0.2, 0.2], [0.1, 0.5, 0.4], [0.5, 0.2, 0.3]];
    let found = consensus(annotations.view(), &[model.view()], Calibration::ByClass).unwrap();
    assert_eq!(found.labels, [0, 1, 0]);
    assert!(found.quality.iter().all(|quality| quality.is_finite()), "{:?}", found.quality);
}

#[test]
fn temperatures_by_class_sharpen_a_model_that_is_unsure_and_right() {
    let annotations = array![[0, 0], [1, 1], [2, 2]];
    let model = array![[0.4_f32, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]];
    let temperature =
        |calibration| consensus(annotations.view(), &[model.view()], calibration).unwrap().temperatures[0];
    assert!(temperature(Calibration::ByClass) < 0.11);
    // cleanlab counts all three items as class 0, of which the model knows nothing.
    assert!(7.0 < temperature(Calibration::Cleanlab));
}

#[test]
fn bad_annotations_are_named() {
    let model = array![[0.5_f32, 0.5], [0.5, 0.5]];
    let message = |annotations: Array2<i32>, model: &Array2<f32>| {
        let found = consensus(annotations.view(), &[model.view()], Calibration::None);
        found.unwrap_err().to_string()
    };
    let expected = "expected a class below the number of classes, or -1 for none";
    assert_eq!(message(array![[0, 1], [0, 2]], &model), format!("annotation at row 1, column 1 is 2, {expected}"));
    assert_eq!(message(array![[-2, 1], [0, 1]], &model), format!("annotation at row 0, column 0 is -2, {expected}"));
    let unlabeled = "labels of an item at row 1, column 0 is 0, expected at least one";
    assert_eq!(message(array![[0, 1], [-1, -1]], &model), unlabeled);
    let idle = "labels of an annotator at row 0, column 1 is 0, expected at least one";
    assert_eq!(message(array![[0, -1], [1, -1]], &model), idle);
    let single = "annotations has 0 rows with two labels, expected at least 1";
    assert_eq!(message(array![[0], [1]], &model), single);
    assert_eq!(message(array![[0, -1], [-1, 1]], &model), single);
    let one_class = "probabilities has 1 columns, expected at least 2";
    assert_eq!(message(array![[0, 0]], &array![[1.0]]), one_class);
    let nan = "probabilities at row 0, column 1 is NaN, expected a number in [0, 1]";
    assert_eq!(message(array![[0, 0]], &array![[0.5, f32::NAN]]), nan);
    let shape = "probabilities has shape (2, 2), expected (1, 2)";
    assert_eq!(message(array![[0, 0]], &model), shape);
    let none = consensus(array![[0, 0]].view(), &[], Calibration::None).unwrap_err().to_string();
    assert_eq!(none, "models has 0 arrays, expected at least 1");
}
