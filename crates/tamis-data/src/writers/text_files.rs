//! Files of texts: each comes over as it stands, under the name that shows its split and label.

use std::path::Path;

use super::{Writer, Written, carry_all};
use crate::rewrite::{Part, RewriteError};

/// The writer.
#[derive(Debug)]
pub(crate) struct TextFiles;

impl Writer for TextFiles {
    fn id(&self) -> &'static str {
        "text-files"
    }

    fn write(&self, parts: &[Part], target: &Path) -> Result<Vec<Written>, RewriteError> {
        carry_all(parts, target)
    }
}
