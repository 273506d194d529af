//! Reads a dataset without embedding it: what is known of every sample, and how it lies in its files.

use std::collections::HashSet;

use tamis_core::{Dataset, Digest, Modality, Progress};
use tamis_data::audited::AuditedSample;
use tamis_data::rewrite::Layout;
use tamis_data::{Images, Input, ReadError, ReadOptions, Reader};

use crate::ingest::WindowSize;

/// A dataset as it is read.
pub(super) struct Read {
    pub(super) dataset: Dataset,
    pub(super) layout: Layout,
    /// Hash of the bytes of each sample; `None` where it could not be read.
    pub(super) contents: Vec<Option<Digest>>,
    pub(super) notes: Vec<String>,
}

/// Reads everything. An image is decoded, for that tells whether it can be read, unless an audit could read the same bytes.
pub(super) fn read(
    inputs: &[Input],
    options: &ReadOptions,
    known: &[AuditedSample],
    progress: &dyn Progress,
) -> Result<Read, ReadError> {
    let known: HashSet<&str> = known.iter().filter_map(|it| it.identity.as_deref()).collect();
    let is_known = |content: &Digest| known.contains(content.to_hex().as_str());
    let mut reader = Reader::open(inputs, options)?;
    let task = progress.begin("reading", None, reader.modality().nouns());
    let window = WindowSize::default();
    let max_samples = match reader.modality() {
        Modality::Text => window.texts,
        Modality::Image => window.images,
    };
    let mut contents = Vec::new();
    let images = || Images { is_known: &is_known, ..Images::default() };
    while let Some(read) = reader.next_window(max_samples, window.bytes, images())? {
        contents.extend(read.contents.iter().map(|it| it.as_ref().map(tamis_data::ReadContent::bytes)));
        task.advance(read.contents.len() as u64);
    }
    let notes = reader.notes();
    let (dataset, layout) = reader.finish_with_layout();
    Ok(Read { dataset, layout, contents, notes })
}
