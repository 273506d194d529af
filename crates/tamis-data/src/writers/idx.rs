//! Temporary.
use super::{Writer, Written};
use crate::rewrite::{Part, RewriteError};
use std::path::Path;
/// The writer.
#[derive(Debug)]
pub(crate) struct Idx;
impl Writer for Idx {
    fn id(&self) -> &'static str {
        "idx"
    }
    fn write(&self, _: &[Part], _: &Path) -> Result<Vec<Written>, RewriteError> {
        Ok(vec![])
    }
}
