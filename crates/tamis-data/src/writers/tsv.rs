//! Tab-separated values: CSV whose delimiter is known.

use super::{Target, Writer, Written, csv};
use crate::rewrite::{Part, RewriteError};

/// The writer.
#[derive(Debug)]
pub(crate) struct Tsv;

impl Writer for Tsv {
    fn id(&self) -> &'static str {
        "tsv"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        csv::write(parts, target, |_| Ok(b'\t'))
    }
}
