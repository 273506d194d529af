//! An image model: preprocessing and encoder behind one call.

use ndarray::Array2;
use rayon::prelude::*;
use tamis_core::{InputSpec, ModelFacts, ModelInput, Pixels, Task};

use crate::device::Device;
use crate::encoders::{self, EncoderInput, ImageEncoder, Source};
use crate::manifest::ImageInput;
use crate::ops::{Images, Size};
use crate::weights::Weights;
use crate::{EmbedError, Manifest, ModelError, ModelFiles};

/// Most pixels in one forward pass on the CPU, one picture at least: 4 pictures of 224 x 224 or 21 of 96 x 96. Chosen by measurement
/// on one core (`examples/image_speed.rs`): single small pictures are slower, for want of pixels per weight in the last
/// layers; a fourth to four times of this are equal within the noise.
const PIXELS_PER_BATCH: usize = 4 * 224 * 224;

/// The tensor of [`ImageModel::center`].
const CENTER: &str = "center";

/// An image model, ready to embed.
pub struct ImageModel {
    manifest: Manifest,
    input: ImageInput,
    weights_blake3: String,
    device: Device,
    encoder: Box<dyn ImageEncoder>,
    center: Vec<f32>,
}

impl std::fmt::Debug for ImageModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageModel").field("id", &self.manifest.id).finish_non_exhaustive()
    }
}

impl ImageModel {
    /// Loads a model from its files, for the CPU.
    ///
    /// # Errors
    /// As [`Self::load_on`].
    pub fn load(files: &ModelFiles) -> Result<Self, ModelError> {
        Self::load_on(files, &Device::cpu())
    }

    /// Loads a model from its files, for a device.
    ///
    /// # Errors
    /// When the model is not one for pictures, a file is missing or malformed, the architecture is unknown, or a weight
    /// has not the shape that the architecture says.
    pub fn load_on(files: &ModelFiles, device: &Device) -> Result<Self, ModelError> {
        let manifest = Manifest::of(files)?;
        let input = manifest.image(files)?.clone();
        let bytes = files.require(&manifest.weights, "the weights in safetensors format (not .pth)")?;
        let weights = Weights::open(files, &manifest.weights, &bytes, manifest.weights_format)?;
        let config = match files.read("config.json")? {
            None => serde_json::Value::Null,
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| files.malformed("config.json", error))?,
        };
        let levels = Box::new([0, 1, 2].map(|color| levels(input.mean[color], input.std[color])));
        let read = EncoderInput::Image { sizes: input.sizes.clone(), levels };
        let source = Source { files, config, weights, tokenizer: &manifest.tokenizer, dim: manifest.dim, input: read };
        let encoder = encoders::build_image(&manifest.architecture, &device.backend, &source)?;
        let center = match source.weights.has(CENTER) {
            true => source.weights.values(CENTER, &[manifest.dim])?,
            false => vec![0.0; manifest.dim],
        };
        let weights_blake3 = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { manifest, input, weights_blake3, device: device.clone(), encoder, center })
    }

    /// What is to be known of the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Mean of the unit vectors of many photographs, length `dim`; zero where the weights do not bring one.
    #[must_use]
    pub fn center(&self) -> &[f32] {
        &self.center
    }

    /// What the model wants to see of pictures whose sides are about `side` pixels long: the smallest size that the
    /// manifest lists and that is not smaller, or else the largest.
    #[must_use]
    pub fn input_for(&self, side: u32) -> InputSpec {
        self.input.spec(side)
    }

    /// Where the model runs.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What an audit records of the model when its pictures were scaled to `input`.
    #[must_use]
    pub fn facts(&self, input: InputSpec) -> ModelFacts {
        ModelFacts {
            id: self.manifest.id.clone(),
            revision: self.manifest.revision.clone(),
            weights_blake3: self.weights_blake3.clone(),
            dim: self.manifest.dim,
            input: ModelInput::Pixels(input),
        }
    }

    /// Embeds `images`, all of one size; tells `task` of every picture that is done. Returns vectors of shape
    /// `(images, dim)`, not normalized, in the order of the images.
    ///
    /// Batches run on all threads of the rayon pool. Memory: the result, and the rows of one batch per thread (for `MobileNetV2` on the
    /// CPU about 13 MB).
    ///
    /// # Errors
    /// When a picture has another size than the first one, or not as many bytes as its size says: bugs.
    pub fn embed(&self, images: &[&Pixels], task: &dyn Task) -> Result<Array2<f32>, EmbedError> {
        let Some(size) = common_size(images)? else {
            return Ok(Array2::zeros((0, self.manifest.dim)));
        };
        let share = images.len().div_ceil(rayon::current_num_threads());
        let n = (PIXELS_PER_BATCH * self.device.batch_factor() / size.area()).clamp(1, share);
        let dim = self.manifest.dim;
        let mut rows = vec![0.0; images.len() * dim];
        let batches = images.par_chunks(n).zip(rows.par_chunks_mut(n * dim));
        batches.try_for_each(|(batch, rows)| {
            let vectors = self.encoder.embed(&Images { pictures: batch, size });
            let failed = |source| EmbedError::ForwardImages { n_images: batch.len(), source: Box::from(source) };
            rows.copy_from_slice(&vectors.map_err(failed)?);
            task.advance(batch.len() as u64);
            Ok(())
        })?;
        Ok(matrix(rows, dim))
    }
}

/// The numbers `rows` as rows of `dim`.
fn matrix(rows: Vec<f32>, dim: usize) -> Array2<f32> {
    Array2::from_shape_vec((rows.len() / dim, dim), rows).expect("because there are whole rows of numbers")
}

/// The size that all `images` have; `None` where there are none.
fn common_size(images: &[&Pixels]) -> Result<Option<Size>, EmbedError> {
    let Some(first) = images.first() else {
        return Ok(None);
    };
    let (width, height) = (first.width, first.height);
    let n_bytes = width as usize * height as usize * 3;
    let right = |image: &Pixels| (image.width, image.height, image.rgb.len()) == (width, height, n_bytes);
    match images.iter().position(|image| !right(image) || n_bytes == 0) {
        None => Ok(Some(Size { height: height as usize, width: width as usize })),
        Some(index) => Err(EmbedError::ImageSize {
            index,
            width: images[index].width,
            height: images[index].height,
            n_bytes: images[index].rgb.len(),
            expected: match n_bytes {
                0 => "at least one pixel".to_owned(),
                _ => format!("{width} x {height} pixels in {n_bytes} bytes"),
            },
        }),
    }
}

/// `(value / 255 - mean) / std` for each of the 256 values.
fn levels(mean: f32, std: f32) -> [f32; 256] {
    let mut value = 0.0;
    std::array::from_fn(|_| {
        let level = (value / 255.0 - mean) / std;
        value += 1.0;
        level
    })
}
