//! How many labels are wrong, and how many are worth a look.

use std::collections::BTreeMap;

use super::RowEvidence;
use super::grouping::Grouping;
use crate::Error;
use crate::input::check_length;

/// Number of standard deviations on either side of a 90 % interval.
const Z90: f64 = 1.645;

/// A share with its 90 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Most probable share, in [0, 1].
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// Wrong labels among the samples of one given class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassNoise {
    /// The given label.
    pub class: u32,
    /// Judged samples that have it.
    pub n: usize,
    /// Share of them that have another class.
    pub rate: Rate,
}

/// How many labels are wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseEstimate {
    /// Judged samples.
    pub n: usize,
    /// Share of wrong labels among them.
    pub rate: Rate,
    /// The same by given label, ascending; classes without judged samples are left out.
    pub by_class: Vec<ClassNoise>,
    /// How far to read the list of suspects.
    pub budget: ReviewBudget,
}

/// How far to read the list of suspects, worst first: all samples with a chance of an error of at least one in five.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReviewBudget {
    /// Samples to review.
    pub n: usize,
    /// Errors to expect among them.
    pub expected_errors: f64,
}

/// Chance of an error below which the next sample is no longer worth a look: one in five.
const WORTH_A_LOOK: f64 = 0.2;

/// How wrong the model can be, whatever the number of samples.
///
/// Chosen on 48 settings of injected noise (seeds other than those of `docs/benchmarks`), so that at least nine in ten
/// intervals hold the truth: there 48 of 48 do, and 380 of 410 of single classes, which are further off than all together
/// because some are doubtful as a whole.
#[derive(Debug, Clone, Copy)]
struct ModelError {
    /// Relative error of the estimate.
    relative: f64,
    /// Share of the honest doubt, what the judges doubt beyond the wrong labels, that may be taken for wrong labels.
    of_doubt: f64,
}

const OF_ALL: ModelError = ModelError { relative: 0.1, of_doubt: 0.05 };
const OF_A_CLASS: ModelError = ModelError { relative: 0.15, of_doubt: 0.1 };

impl NoiseEstimate {
    /// Estimates how many labels are wrong from what is known of each; `families` as in [`crate::LabeledVectors`].
    ///
    /// # Errors
    /// When the arrays differ in length.
    pub fn of(labels: &[Option<u32>], families: &[u32], rows: &[RowEvidence]) -> Result<Self, Error> {
        check_length("families", labels.len(), families.len())?;
        check_length("evidence", labels.len(), rows.len())?;
        let n_classes = labels.iter().flatten().max().map_or(0, |&class| class as usize + 1);
        Ok(Self::new(labels, n_classes, &Grouping::new(families), rows))
    }

    pub(super) fn new(labels: &[Option<u32>], n_classes: usize, grouping: &Grouping, rows: &[RowEvidence]) -> Self {
        let mut all = Sum::default();
        let mut by_class = vec![Sum::default(); n_classes];
        for family in 0..grouping.n_families() {
            let mut in_family = Sum::default();
            let mut in_class = BTreeMap::<u32, Sum>::new();
            for &row in grouping.family(family) {
                let Some(label) = labels[row as usize] else { continue };
                let own = Sum::of(&rows[row as usize]);
                in_family.add(&own);
                in_class.entry(label).or_default().add(&own);
            }
            all.add(&in_family.together());
            for (label, sum) in in_class {
                by_class[label as usize].add(&sum.together());
            }
        }
        let by_class = (0..).zip(&by_class).filter(|(_, sum)| 0.0 < sum.n);
        Self {
            n: all.n as usize,
            rate: all.rate(OF_ALL),
            by_class: by_class
                .map(|(class, sum)| ClassNoise { class, n: sum.n as usize, rate: sum.rate(OF_A_CLASS) })
                .collect(),
            budget: ReviewBudget::new(rows),
        }
    }
}

/// Sums over samples.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    n: f64,
    errors: f64,
    /// Variance of the number of errors, given the chances.
    variance: f64,
    /// Chance of another class before the label was looked at.
    doubt: f64,
}

impl Sum {
    fn of(row: &RowEvidence) -> Self {
        let (Some(given), Some(correct)) = (row.given_probability, row.correct_probability) else {
            return Self::default();
        };
        let error = 1.0 - f64::from(correct);
        Self { n: 1.0, errors: error, variance: error * (1.0 - error), doubt: 1.0 - f64::from(given) }
    }

    /// The same for copies, which are right or wrong together.
    fn together(self) -> Self {
        Self { variance: self.variance * self.n.max(1.0), ..self }
    }

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.errors += other.errors;
        self.variance += other.variance;
        self.doubt += other.doubt;
    }

    fn rate(&self, error: ModelError) -> Rate {
        let n = self.n.max(1.0);
        let estimate = self.errors / n;
        let doubt = (self.doubt - self.errors).max(0.0) / n;
        let sampling = self.variance / (n * n);
        let model = error.relative * estimate;
        let ambiguity = error.of_doubt * doubt;
        let half = Z90 * (sampling + model * model + ambiguity * ambiguity).sqrt();
        Rate { estimate, low: (estimate - half).max(0.0), high: (estimate + half).min(1.0) }
    }
}

impl ReviewBudget {
    fn new(rows: &[RowEvidence]) -> Self {
        let chances = rows.iter().filter_map(|row| row.correct_probability).map(|correct| 1.0 - f64::from(correct));
        let worth: Vec<f64> = chances.filter(|&chance| WORTH_A_LOOK <= chance).collect();
        Self { n: worth.len(), expected_errors: worth.iter().fold(0.0, |sum, chance| sum + chance) }
    }
}
