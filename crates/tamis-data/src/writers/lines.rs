//! Plain text, one sample a line.

use super::{Target, Writer, Written};
use crate::records::{self, Lines as Cut};
use crate::rewrite::{Part, RewriteError};

/// The writer.
#[derive(Debug)]
pub(crate) struct Lines;

impl Writer for Lines {
    fn id(&self) -> &'static str {
        "lines"
    }

    fn write(&self, parts: &[Part], target: &Target<'_>) -> Result<Vec<Written>, RewriteError> {
        records::write(parts, target, |_| Ok(Box::new(Cut)))
    }
}
