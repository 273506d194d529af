//! How content is lent: a dataset holds metadata only, and content stays where the reader put it.

use std::fmt;

use crate::SampleId;

/// Lends the text of samples that were read; answers in any order.
pub trait TextSource: fmt::Debug + Send + Sync {
    /// The text of one sample, at most `max_bytes` of it (cut at a character boundary).
    ///
    /// An unreadable sample has no text and gives the empty string.
    ///
    /// # Errors
    /// When the content can no longer be read back.
    fn text(&self, id: SampleId, max_bytes: usize) -> Result<String, ContentError>;

    /// Length of the whole text in bytes.
    fn text_bytes(&self, id: SampleId) -> u64;
}

/// Content that was there while reading and cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("cannot read back the text of sample {}", .id.0)]
pub struct ContentError {
    /// The sample asked for.
    pub id: SampleId,
    /// What the system said.
    pub source: std::io::Error,
}
