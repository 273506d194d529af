//! The model of a run, whatever it reads.

use ndarray::Array2;
use tamis_core::{DegenerateRow, DeviceFacts, Embeddings, InputSpec, Modality, ModelFacts, Pixels, Task};
use tamis_data::store::Producer;
use tamis_embed::{Device, EmbedError, Encoded, ImageModel, Manifest, ModelError, ModelFiles, TextModel};

/// Raised when the same model gives other vectors than before, so that vectors of an older version are not taken up.
const EMBED_VERSION: &str = "1";

/// What vectors are called in a store.
pub(crate) const VECTORS: &str = "vector";

/// How many vectors of the data weigh as much as the mean that comes with a model. Chosen so that a few images are
/// compared in the light of others, and some hundreds in their own.
const CENTER_WEIGHT: f64 = 100.0;

/// The side that images are taken to have where no header could be read: the largest size of most models.
const UNKNOWN_SIDE: u32 = u32::MAX;

/// A model that fits the data.
#[derive(Debug)]
pub enum Model {
    /// It reads texts.
    Text {
        /// The model.
        model: Box<TextModel>,
        /// Hash of the files that say how it is used.
        files_blake3: String,
    },
    /// It sees images of one size.
    Image {
        /// The model.
        model: Box<ImageModel>,
        /// What it sees of each image.
        input: InputSpec,
    },
}

/// A model that cannot be used for the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitModel {
    /// It cannot be used at all.
    #[error(transparent)]
    Load(#[from] ModelError),
    /// It reads something else.
    #[error("model `{name}` is for {}, and the samples are {}", model.nouns(), data.nouns())]
    Modality {
        /// The model.
        name: String,
        /// What it reads.
        model: Modality,
        /// What the samples are.
        data: Modality,
    },
}

impl Model {
    /// Loads a model for samples of one kind onto a device; images are about `side` pixels long.
    ///
    /// # Errors
    /// When the model cannot be read or is for samples of another kind.
    pub fn load(files: &ModelFiles, data: Modality, side: Option<u32>, device: &Device) -> Result<Self, UnfitModel> {
        let reads = tamis_embed::modalities(files)?;
        if !reads.contains(&data) {
            return Err(UnfitModel::Modality { name: files.name(), model: reads[0], data });
        }
        match data {
            Modality::Text => {
                let model = Box::new(TextModel::load_on(files, device)?);
                let files_blake3 = files.settings_blake3(&model.manifest().tokenizer)?;
                Ok(Self::Text { model, files_blake3 })
            }
            Modality::Image => {
                let model = Box::new(ImageModel::load_on(files, device)?);
                let input = model.input_for(side.unwrap_or(UNKNOWN_SIDE));
                Ok(Self::Image { model, input })
            }
        }
    }

    /// What is to be known of the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Text { model, .. } => model.manifest(),
            Self::Image { model, .. } => model.manifest(),
        }
    }

    /// Where the model runs.
    fn device(&self) -> &Device {
        match self {
            Self::Text { model, .. } => model.device(),
            Self::Image { model, .. } => model.device(),
        }
    }

    /// What an audit records of the device.
    #[must_use]
    pub fn device_facts(&self) -> DeviceFacts {
        let device = self.device();
        let (device, dtype) = (device.name().to_owned(), device.dtype().to_owned());
        DeviceFacts { device, dtype, vectors: self.producer().id() }
    }

    /// What an audit records of the model.
    #[must_use]
    pub fn facts(&self) -> ModelFacts {
        match self {
            Self::Text { model, .. } => model.facts(),
            Self::Image { model, input } => model.facts(*input),
        }
    }

    /// What images must be scaled to; `None` for a model of texts.
    #[must_use]
    pub fn input(&self) -> Option<&InputSpec> {
        match self {
            Self::Text { .. } => None,
            Self::Image { input, .. } => Some(input),
        }
    }

    /// Whose vectors the store keeps: the weights, all that says how they are used, and what is put in.
    #[must_use]
    pub fn producer(&self) -> Producer {
        let facts = self.facts();
        let manifest = self.manifest();
        let (reads, files) = match self {
            Self::Text { files_blake3, .. } => (format!("{:?}", manifest.text), files_blake3.as_str()),
            Self::Image { .. } => (format!("{:?}", manifest.image), ""),
        };
        let input = format!("{reads} {:?} {:?}", facts.input, manifest.weights_format);
        Producer::new(
            VECTORS,
            &[
                ("version", EMBED_VERSION),
                ("architecture", &manifest.architecture),
                ("files", files),
                ("weights", &facts.weights_blake3),
                ("input", &input),
                ("dtype", self.device().dtype()),
            ],
        )
    }

    /// Centers vectors of this model where its manifest says that they crowd; others stay as they are.
    ///
    /// # Errors
    /// When a vector is the mean itself.
    pub fn center(&self, embeddings: Embeddings) -> Result<Embeddings, DegenerateRow> {
        match (self, self.center_weight()) {
            (Self::Image { model, .. }, weight) if 0.0 < weight => embeddings.centered(model.center(), weight),
            _ => Ok(embeddings),
        }
    }

    /// What the mean of the model weighs in [`Model::center`]; 0 where nothing is subtracted.
    #[must_use]
    pub fn center_weight(&self) -> f64 {
        match self {
            Self::Image { model, .. } if model.manifest().centered => CENTER_WEIGHT,
            _ => 0.0,
        }
    }

    /// Embeds texts.
    ///
    /// # Errors
    /// As [`TextModel::embed`].
    ///
    /// # Panics
    /// When the model is for images: a bug.
    pub fn embed_texts(&self, texts: &[&str], task: &dyn Task) -> Result<Encoded, EmbedError> {
        match self {
            Self::Text { model, .. } => model.embed(texts, task),
            Self::Image { .. } => unreachable!("the model was loaded for the samples"),
        }
    }

    /// Embeds images.
    ///
    /// # Errors
    /// As [`ImageModel::embed`].
    ///
    /// # Panics
    /// When the model is for texts: a bug.
    pub fn embed_images(&self, images: &[&Pixels], task: &dyn Task) -> Result<Array2<f32>, EmbedError> {
        match self {
            Self::Image { model, .. } => model.embed(images, task),
            Self::Text { .. } => unreachable!("the model was loaded for the samples"),
        }
    }
}
