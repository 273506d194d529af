//! Contents that are not shown.

use std::io;

use tamis_core::{ContentError, Grey, ImageFacts, ImageSource, SampleId, TextSource};

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
