//! Annotations, checked once.

use ndarray::{Array2, ArrayView2};

use crate::Error;
use crate::input::check_values;

use super::vote::arg_max;

/// What stands where an annotator gave no label.
const MISSING: i32 = -1;

/// Checked annotations: every item and every annotator has a label.
pub(super) struct Annotations {
    /// `(n, n_annotators)`; `None` where there is no label.
    labels: Array2<Option<u32>>,
    n_classes: usize,
    /// Labels per item.
    n_labels: Vec<usize>,
}

impl Annotations {
    pub(super) fn new(annotations: ArrayView2<'_, i32>, n_classes: usize) -> Result<Self, Error> {
        check_n_classes(n_classes)?;
        for (unit, got) in [("rows", annotations.nrows()), ("columns", annotations.ncols())] {
            if got == 0 {
                return Err(Error::TooFew { what: "annotations", unit, expected: 1, got });
            }
        }
        let mut labels = Array2::from_elem(annotations.dim(), None);
        let mut n_labels = vec![0; annotations.nrows()];
        let mut n_labels_of_annotator = vec![0; annotations.ncols()];
        for ((row, column), &entry) in annotations.indexed_iter() {
            match u32::try_from(entry) {
                Ok(label) if (label as usize) < n_classes => {
                    labels[[row, column]] = Some(label);
                    n_labels[row] += 1;
                    n_labels_of_annotator[column] += 1;
                }
                _ if entry == MISSING => {}
                _ => {
                    let (expected, got) = ("a class below the number of classes, or -1 for none", f64::from(entry));
                    return Err(Error::ValueOutOfRange { what: "annotation", row, column, expected, got });
                }
            }
        }
        let unlabeled = n_labels.iter().position(|&count| count == 0).map(|row| ("labels of an item", row, 0));
        let idle = n_labels_of_annotator.iter().position(|&count| count == 0);
        let idle = idle.map(|column| ("labels of an annotator", 0, column));
        if let Some((what, row, column)) = unlabeled.or(idle) {
            return Err(Error::ValueOutOfRange { what, row, column, expected: "at least one", got: 0.0 });
        }
        Ok(Self { labels, n_classes, n_labels })
    }

    /// Takes each model for an annotator who gives every item its most probable class; there are items and models.
    pub(super) fn of_predictions(models: &[Array2<f64>]) -> Self {
        let (n_items, n_classes) = models[0].dim();
        let predicted = |(row, model): (usize, usize)| Some(arg_max(models[model].row(row).iter().copied()) as u32);
        let labels = Array2::from_shape_fn((n_items, models.len()), predicted);
        Self { labels, n_classes, n_labels: vec![models.len(); n_items] }
    }

    pub(super) fn n_items(&self) -> usize {
        self.labels.nrows()
    }

    pub(super) fn n_annotators(&self) -> usize {
        self.labels.ncols()
    }

    pub(super) fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Labels per item.
    pub(super) fn n_labels(&self) -> &[usize] {
        &self.n_labels
    }

    /// Mean number of labels of an item.
    pub(super) fn mean_n_labels(&self) -> f64 {
        self.n_labels.iter().sum::<usize>() as f64 / self.n_items() as f64
    }

    /// Rows with two labels or more, ascending.
    pub(super) fn several(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.n_items()).filter(|&row| 1 < self.n_labels[row])
    }

    /// Annotators and labels of one item.
    pub(super) fn of_item(&self, row: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        let entries = self.labels.row(row).into_iter().enumerate();
        entries.filter_map(|(annotator, label)| label.map(|label| (annotator, label)))
    }

    /// Items and labels of one annotator.
    pub(super) fn of_annotator(&self, annotator: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        let entries = self.labels.column(annotator).into_iter().enumerate();
        entries.filter_map(|(row, label)| label.map(|label| (row, label)))
    }

    /// Votes per class of one item.
    pub(super) fn votes(&self, row: usize) -> Vec<usize> {
        let mut votes = vec![0; self.n_classes];
        for (_, label) in self.of_item(row) {
            votes[label as usize] += 1;
        }
        votes
    }

    /// The share of each item's annotators who gave it the label of `labels`.
    pub(super) fn agreement(&self, labels: &[u32]) -> Vec<f64> {
        let shares = labels.iter().enumerate().map(|(row, &label)| {
            let n_agreeing = self.of_item(row).filter(|&(_, given)| given == label).count();
            n_agreeing as f64 / self.n_labels[row] as f64
        });
        shares.collect()
    }

    /// `(n, n_classes)`: the share of each class among an item's labels.
    pub(super) fn distributions(&self) -> Array2<f64> {
        let mut shares = Array2::zeros((self.n_items(), self.n_classes));
        for row in 0..self.n_items() {
            for (share, votes) in shares.row_mut(row).iter_mut().zip(self.votes(row)) {
                *share = votes as f64 / self.n_labels[row] as f64;
            }
        }
        shares
    }

    /// [`Self::distributions`] with the classes that an item has moved to the front of its row.
    pub(super) fn packed_distributions(&self) -> Array2<f64> {
        let mut shares = Array2::zeros((self.n_items(), self.n_classes));
        for row in 0..self.n_items() {
            let votes = self.votes(row).into_iter().filter(|&votes| 0 < votes);
            for (share, votes) in shares.row_mut(row).iter_mut().zip(votes) {
                *share = votes as f64 / self.n_labels[row] as f64;
            }
        }
        shares
    }
}

/// Checks the probabilities of models `(n_items, n_classes)` and widens them; there is at least one model.
pub(super) fn check_models(
    models: &[ArrayView2<'_, f32>],
    n_items: usize,
    n_classes: Option<usize>,
) -> Result<Vec<Array2<f64>>, Error> {
    let Some(first) = models.first() else {
        return Err(Error::TooFew { what: "models", unit: "arrays", expected: 1, got: 0 });
    };
    let expected = (n_items, n_classes.unwrap_or(first.ncols()));
    check_n_classes(expected.1)?;
    for model in models {
        if model.dim() != expected {
            return Err(Error::ShapeMismatch { what: "probabilities", expected, got: model.dim() });
        }
        check_values("probabilities", *model, "a number in [0, 1]", |value| (0.0..=1.0).contains(&value))?;
    }
    Ok(models.iter().map(|model| model.mapv(f64::from)).collect())
}

fn check_n_classes(n_classes: usize) -> Result<(), Error> {
    if n_classes < 2 {
        return Err(Error::TooFew { what: "probabilities", unit: "columns", expected: 2, got: n_classes });
    }
    Ok(())
}
