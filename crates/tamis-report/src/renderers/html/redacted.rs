//! Contents that are not shown.

use std::io;

use tamis_core::{ContentError, Evidence, Grey, ImageFacts, ImageSource, SampleId, TextSource, Value};

/// Texts of which nothing can be read.
#[derive(Debug)]
pub(super) struct NoTexts;

impl TextSource for NoTexts {
    fn text(&self, id: SampleId, _: usize) -> Result<String, ContentError> {
        Err(ContentError { id, source: io::Error::other("left out") })
    }

    fn text_bytes(&self, _: SampleId) -> u64 {
        0
    }
}

/// Images of which only sizes and formats are told.
#[derive(Debug)]
pub(super) struct NoPictures<'a>(pub(super) &'a dyn ImageSource);

impl ImageSource for NoPictures<'_> {
    fn facts(&self, id: SampleId) -> Option<&ImageFacts> {
        self.0.facts(id)
    }

    fn thumbnail(&self, _: SampleId) -> Result<Option<Vec<u8>>, ContentError> {
        Ok(None)
    }

    fn grey(&self, _: SampleId) -> Result<Option<Grey>, ContentError> {
        Ok(None)
    }
}

/// Evidence without what is quoted of contents, and without what the reader of a file said of it.
pub(super) fn without_quotes(evidence: &Evidence) -> Evidence {
    let parts = evidence.0.iter().filter(|(name, _)| *name != "reason");
    Evidence(parts.filter_map(|(name, value)| Some((name.clone(), without_quote(value)?))).collect())
}

/// `None` for what is a quote.
fn without_quote(value: &Value) -> Option<Value> {
    match value {
        Value::Words(..) | Value::Quote(_) => None,
        Value::List(values) => Some(Value::List(values.iter().filter_map(without_quote).collect())),
        Value::Map(evidence) => Some(Value::Map(without_quotes(evidence))),
        other => Some(other.clone()),
    }
}
