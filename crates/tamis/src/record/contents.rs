//! Contents of a record, from its store.

use std::collections::HashMap;
use std::path::Path;

use tamis_core::{
    ContentError, Contents, Dataset, Digest, Fingerprints, Grey, IdentityLevel, ImageFacts, ImageSource, Modality,
    SampleId, State,
};
use tamis_data::artifacts::{self, ArtifactError, Columns};
use tamis_data::store::{Store, Table};
use tamis_data::{StoredImages, StoredTexts, image};

use super::RecordError;
use crate::ingest::records_producer;

/// Contents that the store kept.
#[derive(Debug)]
pub(super) enum Kept {
    Texts(StoredTexts),
    Images(KeptImages),
}

impl Kept {
    /// The contents as checks and outputs see them.
    pub(super) fn lend(&self) -> Contents<'_> {
        match self {
            Self::Texts(texts) => Contents::Texts(texts),
            Self::Images(images) => Contents::Images(images),
        }
    }

    /// Contents from the store.
    pub(super) fn open(
        dir: &Path,
        store: &Store,
        dataset: &Dataset,
        fingerprints: &Fingerprints,
        columns: &Columns,
    ) -> Result<Self, RecordError> {
        let table = store.table(&records_producer(fingerprints.modality()))?;
        let is_kept = |id: &SampleId| dataset.sample(*id).state == State::Ok;
        let digest = |id: SampleId| is_kept(&id).then(|| fingerprints.digest(id, IdentityLevel::Bytes)).flatten();
        let digests: Vec<Option<Digest>> = dataset.ids().map(digest).collect();
        if fingerprints.modality() == Modality::Text {
            return Ok(Self::Texts(StoredTexts::new(table, digests)));
        }
        let at = |file: &str| {
            let path = dir.join(file);
            move |source| RecordError::Artifact { path: path.clone(), source }
        };
        let facts = facts(&table, &digests, columns).map_err(at("samples.parquet"))?;
        let path = dir.join("thumbnails.parquet");
        let named = if path.is_file() {
            artifacts::read_thumbnails(&path).map_err(at("thumbnails.parquet"))?
        } else {
            Vec::new()
        };
        let stored = StoredImages::new(table, digests, facts, image::thumbnail_of, image::grey_of);
        let id_of: HashMap<&str, SampleId> = dataset.ids().map(|id| (dataset.key(id), id)).collect();
        let thumbnails = named.into_iter().filter_map(|(key, file)| Some((*id_of.get(key.as_str())?, file))).collect();
        Ok(Self::Images(KeptImages { stored, thumbnails }))
    }
}

/// What is known of each picture: from the store, else what `samples.parquet` has of it.
fn facts(
    table: &Table,
    digests: &[Option<Digest>],
    columns: &Columns,
) -> Result<Vec<Option<ImageFacts>>, ArtifactError> {
    let (widths, heights) = (columns.integers("width")?, columns.integers("height")?);
    let (modes, formats) = (columns.texts("mode")?, columns.texts("format")?);
    let (phashes, dhashes) = (columns.texts("phash")?, columns.texts("dhash")?);
    let stored = |digest: &Digest| {
        let record = table.get(digest).ok().flatten()?;
        image::ImageRecord::parse(&record).map(|it| it.facts)
    };
    let recorded = |row: usize| {
        let side = |side: Option<i64>| side.and_then(|it| u32::try_from(it).ok());
        let hash = |hex: &Option<String>| u64::from_str_radix(hex.as_deref()?, 16).ok();
        let mode = modes[row].as_deref()?;
        Some(ImageFacts {
            width: side(widths[row])?,
            height: side(heights[row])?,
            mode: tamis_core::ColorMode::ALL.into_iter().find(|it| it.id() == mode)?,
            format: image::format_named(formats[row].as_deref()?)?,
            phash: hash(&phashes[row])?,
            turned_phashes: [0; 7],
            dhash: hash(&dhashes[row])?,
            note: None,
        })
    };
    Ok(digests.iter().enumerate().map(|(row, it)| it.as_ref().and_then(stored).or_else(|| recorded(row))).collect())
}

/// Pictures from the store, or their thumbnails where that was deleted.
#[derive(Debug)]
pub(super) struct KeptImages {
    stored: StoredImages,
    thumbnails: HashMap<SampleId, Vec<u8>>,
}

impl ImageSource for KeptImages {
    fn facts(&self, id: SampleId) -> Option<&ImageFacts> {
        self.stored.facts(id)
    }

    fn thumbnail(&self, id: SampleId) -> Result<Option<Vec<u8>>, ContentError> {
        self.stored.thumbnail(id).or_else(|error| self.thumbnails.get(&id).cloned().map(Some).ok_or(error))
    }

    fn grey(&self, id: SampleId) -> Result<Option<Grey>, ContentError> {
        self.stored.grey(id)
    }
}
