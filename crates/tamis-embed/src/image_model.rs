//! An image model: preprocessing and encoder behind one call.

use ndarray::Array2;
use rayon::prelude::*;
use tamis_core::{InputSpec, ModelFacts, ModelInput, Pixels, Task};

use crate::convolution::Size;
use crate::encoders::{self, ImageEncoder, Scratch};
use crate::manifest::ImageInput;
use crate::weights::Weights;
use crate::{EmbedError, Manifest, ModelError, ModelFiles};

/// Most pixels in one forward pass, one picture at least: 4 pictures of 224 x 224 or 21 of 96 x 96. Chosen by measurement
/// on one core (`examples/image_speed.rs`): at 96 x 96, single pictures are a third slower, for want of pixels per weight in
/// the last layers; a fourth to four times of this are equal within the noise.
const PIXELS_PER_BATCH: usize = 4 * 224 * 224;

/// The tensor of [`ImageModel::center`].
const CENTER: &str = "center";

/// An image model, ready to embed.
pub struct ImageModel {
    manifest: Manifest,
    input: ImageInput,
    /// For each color, what the encoder gets for each of the 256 values.
    levels: [[f32; 256]; 3],
    weights_blake3: String,
    encoder: Box<dyn ImageEncoder>,
    center: Vec<f32>,
}

impl std::fmt::Debug for ImageModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageModel").field("id", &self.manifest.id).finish_non_exhaustive()
    }
}

impl ImageModel {
    /// Loads a model from its files.
    ///
    /// # Errors
    /// When the model is not one for pictures, a file is missing or malformed, the architecture is unknown, or a weight
    /// has not the shape that the architecture says.
    pub fn load(files: &ModelFiles) -> Result<Self, ModelError> {
        let manifest = Manifest::of(files)?;
        let input = manifest.image(files)?.clone();
        let bytes = files.require(&manifest.weights, "the weights in safetensors format (not .pth)")?;
        let weights = Weights::open(files, &manifest.weights, &bytes, manifest.weights_format)?;
        let encoder = encoders::build_image(&manifest.architecture, files, &weights)?;
        if manifest.dim != encoder.dim() {
            let reason =
                format!("dim is {}, vectors of {} have {}", manifest.dim, manifest.architecture, encoder.dim());
            return Err(files.malformed("model.toml", reason));
        }
        let center = match weights.has(CENTER) {
            true => weights.values(CENTER, &[manifest.dim])?,
            false => vec![0.0; manifest.dim],
        };
        let levels = [0, 1, 2].map(|color| levels(input.mean[color], input.std[color]));
        let weights_blake3 = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { manifest, input, levels, weights_blake3, encoder, center })
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
    /// Batches run on all threads of the rayon pool. Memory: the result, and about 13 MB per thread.
    ///
    /// # Errors
    /// When a picture has another size than the first one, or not as many bytes as its size says: bugs.
    pub fn embed(&self, images: &[&Pixels], task: &dyn Task) -> Result<Array2<f32>, EmbedError> {
        let Some(size) = common_size(images)? else {
            return Ok(Array2::zeros((0, self.manifest.dim)));
        };
        let share = images.len().div_ceil(rayon::current_num_threads());
        let n = (PIXELS_PER_BATCH / size.area()).clamp(1, share);
        let dim = self.manifest.dim;
        let mut rows = vec![0.0; images.len() * dim];
        let batches = images.par_chunks(n).zip(rows.par_chunks_mut(n * dim));
        batches.for_each_init(Workspace::default, |workspace, (batch, rows)| {
            workspace.pixels.clear();
            batch.iter().for_each(|image| self.normalize(image, &mut workspace.pixels));
            rows.copy_from_slice(&self.encoder.forward(&workspace.pixels, size, &mut workspace.scratch));
            task.advance(batch.len() as u64);
        });
        Ok(matrix(rows, dim))
    }

    /// Appends what the encoder gets for `image`, shape `(height, width, 3)`.
    fn normalize(&self, image: &Pixels, pixels: &mut Vec<f32>) {
        let levels = &self.levels;
        let normalized = image.rgb.as_chunks::<3>().0.iter();
        let normalized = normalized.map(|rgb| std::array::from_fn(|color| levels[color][usize::from(rgb[color])]));
        normalized.for_each(|pixel: [f32; 3]| pixels.extend_from_slice(&pixel));
    }
}

/// What one thread works in.
#[derive(Default)]
struct Workspace {
    pixels: Vec<f32>,
    scratch: Scratch,
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
