//! Reads back what `samples.parquet` of an audit says of each sample.

use std::path::Path;

use crate::artifacts::{ArtifactError, Columns};

/// One row of `samples.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedSample {
    /// Its key.
    pub key: String,
    /// The file it was read from.
    pub file: String,
    /// One-based line or record; `None` where the file is the sample.
    pub row: Option<u64>,
    /// Its split.
    pub split: String,
    /// Its label.
    pub label: Option<String>,
    /// Hash of its bytes in hexadecimal; `None` where it could not be read.
    pub identity: Option<String>,
    /// Its hash at the widest level of identity.
    pub widest_identity: Option<String>,
    /// Key of the first sample of its family; its own where there is none.
    pub family: String,
}

/// Reads all rows, in reading order.
///
/// # Errors
/// When the file cannot be read, or lacks a column.
pub fn read_samples(path: &Path) -> Result<Vec<AuditedSample>, ArtifactError> {
    let columns = Columns::open(path)?;
    // Levels stand in their order, the widest last.
    let widest = columns.names().iter().rfind(|it| it.starts_with("identity_")).cloned();
    let widest = columns.texts(&widest.unwrap_or_else(|| "identity_bytes".to_owned()))?;
    let texts = columns.whole_texts("key")?.into_iter().zip(columns.whole_texts("file")?);
    let places = columns.integers("row")?.into_iter().zip(columns.whole_texts("split")?);
    let said = columns.texts("label")?.into_iter().zip(columns.whole_texts("family")?);
    let identities = columns.texts("identity_bytes")?.into_iter().zip(widest);
    let all = texts.zip(places).zip(said.zip(identities));
    let samples =
        all.map(|(((key, file), (row, split)), ((label, family), (identity, widest_identity)))| AuditedSample {
            key,
            file,
            row: row.and_then(|it| u64::try_from(it).ok()),
            split,
            label,
            identity,
            widest_identity,
            family,
        });
    Ok(samples.collect())
}
