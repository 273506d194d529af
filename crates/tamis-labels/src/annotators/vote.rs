//! The majority vote and its ties.

use ndarray::Array2;

use super::input::Annotations;

/// The label most annotators gave, with the tie rules of [`super::majority_vote`].
pub(super) fn majority(annotations: &Annotations, probabilities: Option<&Array2<f64>>) -> Vec<u32> {
    let n_items = annotations.n_items();
    let mut totals = vec![0_usize; annotations.n_classes()];
    let mut tied: Vec<Vec<usize>> = Vec::with_capacity(n_items);
    for row in 0..n_items {
        let votes = annotations.votes(row);
        for (total, votes) in totals.iter_mut().zip(&votes) {
            *total += votes;
        }
        tied.push(largest(0..votes.len(), |class| votes[class] as f64));
    }
    let qualities = qualities(annotations, &tied);
    let labels = tied.into_iter().enumerate().map(|(row, mut classes)| {
        if let Some(probabilities) = probabilities {
            classes = largest(classes.into_iter(), |class| probabilities[[row, class]]);
        }
        classes = largest(classes.into_iter(), |class| -(totals[class] as f64));
        classes = largest(classes.into_iter(), |class| {
            let givers = annotations.of_item(row).filter(|&(_, label)| label as usize == class);
            let (sum, count) = givers.fold((0.0, 0), |(sum, count), (giver, _)| (sum + qualities[giver], count + 1));
            sum / f64::from(count)
        });
        classes[0] as u32
    });
    labels.collect()
}

/// The index of the largest value; the smaller index among equals.
pub(super) fn arg_max(values: impl Iterator<Item = f64>) -> usize {
    let best = values.enumerate().fold(
        (0, f64::NEG_INFINITY),
        |best, (index, value)| {
            if best.1 < value { (index, value) } else { best }
        },
    );
    best.0
}

/// Each annotator's agreement with the items that are not tied; the mean of the others for annotators without any.
fn qualities(annotations: &Annotations, tied: &[Vec<usize>]) -> Vec<f64> {
    let agreement = (0..annotations.n_annotators()).map(|annotator| {
        let decided = annotations.of_annotator(annotator).filter(|&(row, _)| tied[row].len() == 1);
        let (n_agreeing, n_decided) = decided.fold((0_u32, 0_u32), |(agreeing, all), (row, label)| {
            (agreeing + u32::from(tied[row][0] == label as usize), all + 1)
        });
        (0 < n_decided).then(|| f64::from(n_agreeing) / f64::from(n_decided))
    });
    or_mean(agreement.collect())
}

/// Replaces what is not known by the mean of what is; zeros when nothing is.
pub(super) fn or_mean(values: Vec<Option<f64>>) -> Vec<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    values.into_iter().map(|value| value.unwrap_or(mean)).collect()
}

/// The classes with the largest key, in their order.
fn largest(classes: impl Iterator<Item = usize>, key: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut best = Vec::new();
    let mut best_key = f64::NEG_INFINITY;
    for class in classes {
        let value = key(class);
        if best_key < value {
            best.clear();
            best_key = value;
        }
        if value.total_cmp(&best_key).is_eq() {
            best.push(class);
        }
    }
    best
}
