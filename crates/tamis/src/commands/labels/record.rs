//! What was judged, as JSON and files hold it.

use std::io;
use std::path::Path;

use ndarray::Array2;
use tamis_data::atomic::Commits;
use tamis_data::npy::{self, Number};
use tamis_labels::LabelEvidence;
use tamis_report::wire::v1::{
    Array, ClassNoiseRecord, ConfidentCounts, ConfusionRecord, EvidenceRecord, LABELS_SCHEMA, LabelCounts, Labels,
    RateRecord, ReviewRecord, ToolRecord,
};

use super::{Confident, Judged, NO_CLASS};

/// Where large arrays go.
pub(super) trait Place {
    /// Puts numbers, which in JSON are `shown`.
    fn numbers<T: Number, U>(&self, name: &str, values: Vec<T>, shown: impl Fn(T) -> U) -> io::Result<Array<U>>;

    /// Puts a matrix.
    fn matrix<T: Number>(&self, name: &str, matrix: &Array2<T>) -> io::Result<Array<Vec<T>>>;
}

/// Into the JSON.
pub(super) struct Inline;

impl Place for Inline {
    fn numbers<T: Number, U>(&self, _: &str, values: Vec<T>, shown: impl Fn(T) -> U) -> io::Result<Array<U>> {
        Ok(Array::Values(values.into_iter().map(shown).collect()))
    }

    fn matrix<T: Number>(&self, _: &str, matrix: &Array2<T>) -> io::Result<Array<Vec<T>>> {
        Ok(Array::Values(matrix.rows().into_iter().map(|row| row.to_vec()).collect()))
    }
}

/// Into files of a folder.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) commits: &'a Commits,
}

impl Files<'_> {
    fn put<T: Number, U>(&self, name: &str, shape: &[usize], values: &[T]) -> io::Result<Array<U>> {
        let file = format!("{name}.npy");
        npy::write_numbers(self.commits, &self.folder.join(&file), shape, values)?;
        Ok(Array::File { file })
    }
}

impl Place for Files<'_> {
    fn numbers<T: Number, U>(&self, name: &str, values: Vec<T>, _: impl Fn(T) -> U) -> io::Result<Array<U>> {
        self.put(name, &[values.len()], &values)
    }

    fn matrix<T: Number>(&self, name: &str, matrix: &Array2<T>) -> io::Result<Array<Vec<T>>> {
        let values: Vec<T> = matrix.iter().copied().collect();
        self.put(name, &[matrix.nrows(), matrix.ncols()], &values)
    }
}

/// The record of what was judged.
pub(super) fn record(judged: Judged, place: &impl Place) -> io::Result<Labels> {
    let n_issues = judged.issues.len() as u64;
    let issues = judged.issues.into_iter().map(|row| row as u64).collect();
    let confident = judged.confident.as_ref();
    Ok(Labels {
        schema: LABELS_SCHEMA.to_owned(),
        tool: ToolRecord { name: "tamis".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        n: judged.n as u64,
        k: judged.given.len() as u64,
        classes: judged.classes,
        filter: judged.filter,
        rank: judged.rank,
        notes: judged.notes,
        missing: judged.missing.into_iter().map(|row| row as u64).collect(),
        issues: place.numbers("issues", issues, |row| row)?,
        label_quality: place.numbers("label_quality", judged.quality, number)?,
        counts: LabelCounts {
            given: judged.given,
            issues: n_issues,
            off_diagonal: confident.map(|it| it.health.n_issues),
            off_diagonal_calibrated: confident.map(|it| it.off_diagonal_calibrated),
        },
        confident: judged.confident.map(|it| counts(it, place)).transpose()?,
        evidence: judged.evidence.map(|it| evidence(&it, judged.suggested, place)).transpose()?,
    })
}

fn counts(confident: Confident, place: &impl Place) -> io::Result<ConfidentCounts> {
    let Confident { thresholds, joint, latent, health, .. } = confident;
    Ok(ConfidentCounts {
        thresholds,
        confident_joint: place.matrix("confident_joint", &joint)?,
        joint: place.matrix("joint", &tamis_labels::estimated_joint(joint.view()))?,
        noise_matrix: place.matrix("noise_matrix", &latent.noise_matrix)?,
        inverse_noise_matrix: place.matrix("inverse_noise_matrix", &latent.inverse_noise_matrix)?,
        py: latent.true_shares,
        health: health.overall,
    })
}

fn evidence(evidence: &LabelEvidence, suggested: Vec<i64>, place: &impl Place) -> io::Result<EvidenceRecord> {
    let rate = |it: tamis_labels::Rate| RateRecord { estimate: it.estimate, low: it.low, high: it.high };
    let noise = &evidence.noise;
    let probability = evidence.rows.iter().map(|row| match row.suggested {
        Some(_) => f64::from(row.suggested_probability),
        None => f64::NAN,
    });
    let error = evidence.rows.iter().map(|row| row.correct_probability.map_or(f64::NAN, |it| 1.0 - f64::from(it)));
    Ok(EvidenceRecord {
        suggested: place.numbers("suggested", suggested, |class| Some(class).filter(|it| *it != NO_CLASS))?,
        suggested_probability: place.numbers("suggested_probability", probability.collect(), number)?,
        error_probability: place.numbers("error_probability", error.collect(), number)?,
        noise_rate: rate(noise.rate),
        noise_by_class: noise
            .by_class
            .iter()
            .map(|it| ClassNoiseRecord { class: it.class.into(), n: it.n as u64, rate: rate(it.rate) })
            .collect(),
        review: ReviewRecord { n: noise.budget.n as u64, expected_errors: noise.budget.expected_errors },
        confusions: evidence
            .confusions
            .iter()
            .map(|it| ConfusionRecord { given: it.given.into(), class: it.class.into(), count: it.count })
            .collect(),
    })
}

/// JSON has no NaN.
fn number(value: f64) -> Option<f64> {
    Some(value).filter(|it| !it.is_nan())
}
