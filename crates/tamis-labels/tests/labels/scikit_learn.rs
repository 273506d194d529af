//! Logistic regression against scikit-learn; `tests/fixtures/README.md` tells how the numbers were made.

use ndarray::Array2;
use serde_json::Value;
use tamis_labels::{LogisticOptions, LogisticRegression};

use crate::npy;

fn matrix(value: &Value) -> Array2<f64> {
    let rows = value.as_array().unwrap();
    let n_columns = rows[0].as_array().unwrap().len();
    let values = rows.iter().flat_map(|row| row.as_array().unwrap());
    let values = values.map(|entry| entry.as_f64().unwrap()).collect();
    Array2::from_shape_vec((rows.len(), n_columns), values).unwrap()
}

fn largest_difference<'a>(got: impl IntoIterator<Item = &'a f64>, expected: impl IntoIterator<Item = &'a f64>) -> f64 {
    let pairs = got.into_iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn the_fit_equals_that_of_scikit_learn() {
    let text = std::fs::read_to_string(npy::fixture("scikit_learn/logistic.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let features = matrix(&case["features"]).mapv(|value| value as f32);
        let labels = case["labels"].as_array().unwrap().iter();
        let labels: Vec<u32> = labels.map(|label| label.as_u64().unwrap() as u32).collect();
        let n_classes = case["n_classes"].as_u64().unwrap() as usize;
        let options =
            LogisticOptions { c: case["c"].as_f64().unwrap(), gradient_tolerance: 1e-7, ..LogisticOptions::default() };
        let model = LogisticRegression::fit(features.view(), &labels, n_classes, &options).unwrap();
        assert!(model.report().converged, "{:?}", model.report());

        // The gradient tolerance divided by the penalty 1 / (c n) bounds the distance of the weights: 1e-7 * 3000.
        let expected = matrix(&case["weights"]);
        assert!(largest_difference(model.weights(), &expected) < 3e-4);
        let intercepts = matrix(&Value::Array(vec![case["intercepts"].clone()]));
        assert!(largest_difference(model.intercepts(), &intercepts) < 3e-4);
        let got = model.predict_proba(features.view()).unwrap().mapv(f64::from);
        assert!(largest_difference(&got, &matrix(&case["probabilities"])) < 2e-5);
    }
}
