//! Cards of datasets: what an audit measured, put into files that people publish with their data.

use crate::record::Record;

/// Families of identical samples and copies among the samples that can be read; one that is like no other is a family.
#[must_use]
pub fn n_independent(record: &Record) -> u64 {
    let report = record.report();
    let redundant: usize = report.families.list().iter().map(|it| it.members.len() - 1).sum();
    record.audit.dataset.states.ok.saturating_sub(redundant as u64)
}
