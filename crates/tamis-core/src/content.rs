//! How content is lent: a dataset holds metadata only, and content stays where the reader put it.

use std::fmt;

use crate::{Grey, ImageFacts, SampleId};

/// What the samples of a dataset are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// Texts.
    #[default]
    Text,
    /// Pictures.
    Image,
}

impl Modality {
    /// Name in records and manifests.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
        }
    }

    /// What one sample holds, for messages.
    #[must_use]
    pub fn noun(self) -> &'static str {
        self.id()
    }

    /// What samples hold, for messages and progress.
    #[must_use]
    pub fn nouns(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Image => "images",
        }
    }
}

/// The content of a dataset, by what it is.
#[derive(Clone, Copy, Debug)]
pub enum Contents<'a> {
    /// Texts.
    Texts(&'a dyn TextSource),
    /// Pictures.
    Images(&'a dyn ImageSource),
}

impl Contents<'_> {
    /// What the samples are.
    #[must_use]
    pub fn modality(self) -> Modality {
        match self {
            Self::Texts(_) => Modality::Text,
            Self::Images(_) => Modality::Image,
        }
    }
}

/// Lends small versions of pictures that were read; answers in any order.
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// What is known of the picture; `None` where it could not be read.
    fn facts(&self, id: SampleId) -> Option<&ImageFacts>;

    /// A small version for people as a PNG or JPEG file; `None` where the picture could not be read.
    ///
    /// # Errors
    /// When it can no longer be read back.
    fn thumbnail(&self, id: SampleId) -> Result<Option<Vec<u8>>, ContentError>;

    /// A small grey version for verification; `None` where the picture could not be read.
    ///
    /// # Errors
    /// When it can no longer be read back.
    fn grey(&self, id: SampleId) -> Result<Option<Grey>, ContentError>;
}

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
#[error("cannot read back the content of sample {}", .id.0)]
pub struct ContentError {
    /// The sample asked for.
    pub id: SampleId,
    /// What the system said.
    pub source: std::io::Error,
}
