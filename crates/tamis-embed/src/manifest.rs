//! What the files of a model mean: `model.toml`, or the model's own configuration files.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use tamis_core::{Filter, Fit, InputSpec, Modality};

use crate::{ModelError, ModelFiles};

mod hub;

use hub::HubConfig;

/// Shortest and longest side of a picture that a manifest may ask for: less is a single pixel in the last map of a
/// network that halves its maps five times, more is beyond what image models are trained on.
const SIDES: std::ops::RangeInclusive<u32> = 32..=1024;

/// How the vectors of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Mean over all tokens, special ones included.
    Mean,
    /// The first token.
    Cls,
    /// The largest value of each dimension.
    Max,
}

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum WeightsFormat {
    /// As published: F32, F16 or BF16.
    #[serde(rename = "plain")]
    Plain,
    /// int8 with one f16 scale per 64 numbers along the input dimension.
    #[serde(rename = "tamis-int8-g64")]
    Int8Group64,
}

/// The cosine at which two samples count as near-duplicates for this model, and how it was found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicate {
    /// Smallest cosine that counts.
    pub min_cosine: f32,
    /// What was measured, as one sentence.
    pub source: String,
}

/// What is to be known of a model besides its weights.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "ModelToml")]
pub struct Manifest {
    /// Name, equal to the folder's.
    pub id: String,
    /// What it is good for, one sentence.
    pub description: String,
    /// SPDX identifier.
    pub license: String,
    /// Where it comes from, `organization/name`.
    pub repo: Option<String>,
    /// Commit or release of the repository.
    pub revision: Option<String>,
    /// An id of [`crate::encoders::ENCODERS`].
    pub architecture: String,
    /// Length of a vector.
    pub dim: usize,
    /// What the model reads, and how.
    pub input: Input,
    /// Whether the model is meant to be used with unit vectors. tamis always normalizes.
    pub normalize: bool,
    /// Whether vectors are compared after the mean of the data was subtracted, because the raw cosines of this model
    /// crowd.
    pub centered: bool,
    /// File name of the weights.
    pub weights: String,
    /// How they are stored.
    pub weights_format: WeightsFormat,
    /// Threshold for near-duplicates, where somebody measured one.
    pub near_duplicate: Option<NearDuplicate>,
    /// SHA-256 of every file.
    pub sha256: BTreeMap<String, String>,
}

/// What a model reads, and how: the table of a manifest that is named after the modality.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Texts.
    Text(TextInput),
    /// Pictures.
    Image(ImageInput),
}

/// How a model reads texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInput {
    /// ISO 639-1 codes.
    pub languages: Vec<String>,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Most tokens of one text, special ones included; the rest of a text is not read.
    pub max_tokens: usize,
}

/// How a model reads pictures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// Sides of the squares that the model may be given, ascending.
    pub sizes: Vec<u32>,
    /// How a picture that is not square becomes a square.
    #[serde(deserialize_with = "fit")]
    pub fit: Fit,
    /// How pixels are averaged when a picture is scaled.
    #[serde(deserialize_with = "filter")]
    pub filter: Filter,
    /// What is subtracted from red, green and blue, which are in [0, 1].
    pub mean: [f32; 3],
    /// What they are divided by afterwards.
    pub std: [f32; 3],
}

/// `model.toml` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelToml {
    id: String,
    description: String,
    license: String,
    repo: Option<String>,
    revision: Option<String>,
    #[serde(deserialize_with = "modality_id")]
    modality: Modality,
    architecture: String,
    dim: usize,
    text: Option<TextInput>,
    image: Option<ImageInput>,
    normalize: bool,
    centered: bool,
    weights: String,
    weights_format: WeightsFormat,
    near_duplicate: Option<NearDuplicate>,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
}

/// Reads from the manifest whether a model embeds texts or pictures.
///
/// # Errors
/// When the manifest is missing or malformed.
pub fn modality(files: &ModelFiles) -> Result<Modality, ModelError> {
    Ok(Manifest::of(files)?.modality())
}

impl Manifest {
    /// Parses a `model.toml`.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or senseless; the message names it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What the model embeds.
    #[must_use]
    pub fn modality(&self) -> Modality {
        match self.input {
            Input::Text(_) => Modality::Text,
            Input::Image(_) => Modality::Image,
        }
    }

    /// Reads `model.toml`, or infers a manifest from the files of a folder in hub layout.
    pub(crate) fn of(files: &ModelFiles) -> Result<Self, ModelError> {
        let manifest = match files.read("model.toml")? {
            None => hub::infer(files, &HubConfig::read(files)?)?,
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|error| files.malformed("model.toml", error))?;
                Self::parse(text).map_err(|error| files.malformed("model.toml", error))?
            }
        };
        if let Input::Text(text) = &manifest.input {
            let checked = HubConfig::read(files)?.check(manifest.dim, text);
            checked.map_err(|reason| files.malformed("model.toml", reason))?;
        }
        Ok(manifest)
    }

    /// How the model reads texts; an error where it does not.
    pub(crate) fn text(&self, files: &ModelFiles) -> Result<&TextInput, ModelError> {
        match &self.input {
            Input::Text(input) => Ok(input),
            Input::Image(_) => Err(files.malformed("model.toml", "modality is `image`, expected `text`")),
        }
    }

    /// How the model reads pictures; an error where it does not.
    pub(crate) fn image(&self, files: &ModelFiles) -> Result<&ImageInput, ModelError> {
        match &self.input {
            Input::Image(input) => Ok(input),
            Input::Text(_) => Err(files.malformed("model.toml", "modality is `text`, expected `image`")),
        }
    }
}

impl ImageInput {
    /// What the model wants to see of pictures whose sides are about `side` pixels long: the smallest of the sizes that is
    /// not smaller, or else the largest.
    ///
    /// # Panics
    /// When there are no sizes, which no manifest can say.
    #[must_use]
    pub fn spec(&self, side: u32) -> InputSpec {
        let size = self.sizes.iter().find(|size| side <= **size).or(self.sizes.last());
        let side = *size.expect("because a manifest has at least one size");
        InputSpec { side, fit: self.fit, filter: self.filter }
    }

    /// Refuses numbers that make no sense.
    fn check(&self) -> Result<(), String> {
        let ascending = self.sizes.is_sorted_by(|a, b| a < b);
        if self.sizes.is_empty() || !ascending || !self.sizes.iter().all(|size| SIDES.contains(size)) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(format!("sizes is {:?}, expected ascending numbers from {least} to {most}", self.sizes));
        }
        if !self.mean.iter().all(|mean| (0.0..=1.0).contains(mean)) {
            return Err(format!("mean is {:?}, expected numbers from 0 to 1", self.mean));
        }
        if !self.std.iter().all(|std| (f32::MIN_POSITIVE..=1.0).contains(std)) {
            return Err(format!("std is {:?}, expected numbers above 0 and at most 1", self.std));
        }
        Ok(())
    }
}

impl TryFrom<ModelToml> for Manifest {
    type Error = String;

    fn try_from(toml: ModelToml) -> Result<Self, String> {
        let input = match (toml.modality, toml.text, toml.image) {
            (Modality::Text, Some(text), None) => Input::Text(text),
            (Modality::Image, None, Some(image)) => {
                image.check()?;
                Input::Image(image)
            }
            (modality, text, image) => {
                let tables = [text.map(|_| "[text]"), image.map(|_| "[image]")];
                let tables: Vec<_> = tables.into_iter().flatten().collect();
                let got =
                    if tables.is_empty() { "neither [text] nor [image]".to_owned() } else { tables.join(" and ") };
                let modality = modality.id();
                return Err(format!("modality is `{modality}`, expected the table [{modality}] alone, got {got}"));
            }
        };
        if let Some(it) = &toml.near_duplicate
            && !(f32::MIN_POSITIVE..=1.0).contains(&it.min_cosine)
        {
            return Err(format!("min_cosine is {}, expected a number above 0 and at most 1", it.min_cosine));
        }
        Ok(Self {
            id: toml.id,
            description: toml.description,
            license: toml.license,
            repo: toml.repo,
            revision: toml.revision,
            architecture: toml.architecture,
            dim: toml.dim,
            input,
            normalize: toml.normalize,
            centered: toml.centered,
            weights: toml.weights,
            weights_format: toml.weights_format,
            near_duplicate: toml.near_duplicate,
            sha256: toml.sha256,
        })
    }
}

fn modality_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Modality, D::Error> {
    by_id(deserializer, [Modality::Text, Modality::Image], Modality::id)
}

fn fit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fit, D::Error> {
    by_id(deserializer, [Fit::Stretch, Fit::CenterCrop], Fit::id)
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
    by_id(deserializer, [Filter::Bilinear, Filter::Bicubic], Filter::id)
}

/// The one of `all` that has the id found.
fn by_id<'de, D: Deserializer<'de>, T: Copy, const N: usize>(
    deserializer: D,
    all: [T; N],
    id: fn(T) -> &'static str,
) -> Result<T, D::Error> {
    let found = String::deserialize(deserializer)?;
    all.into_iter().find(|it| id(*it) == found).ok_or_else(|| {
        let known = all.map(|it| format!("`{}`", id(it))).join(" or ");
        serde::de::Error::custom(format!("expected {known}, got `{found}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = include_str!("../../../models/mobilenet-v2/model.toml");
    const TEXT: &str = include_str!("../../../models/all-minilm-l6-v2/model.toml");

    /// Replaces `from` in the manifest `toml` and returns the message of what is wrong with it then.
    fn error(toml: &str, from: &str, to: &str) -> String {
        assert!(toml.contains(from), "{from}");
        Manifest::parse(&toml.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn the_table_of_the_modality_stands_alone() {
        let expected = "modality is `text`, expected the table [text] alone, got [image]";
        let got = error(IMAGE, "modality = \"image\"", "modality = \"text\"");
        assert!(got.contains(expected), "{got}");

        let text = "[text]\nlanguages = []\npooling = \"cls\"\nmax_tokens = 9\n[image]";
        let got = error(IMAGE, "[image]", text);
        assert!(got.contains("expected the table [image] alone, got [text] and [image]"), "{got}");

        let table = &IMAGE[IMAGE.find("[image]").unwrap()..IMAGE.find("[sha256]").unwrap()];
        let got = error(IMAGE, table, "");
        assert!(got.contains("expected the table [image] alone, got neither [text] nor [image]"), "{got}");
    }

    #[test]
    fn unknown_ids_and_keys_are_named() {
        for (from, to, expected) in [
            ("modality = \"image\"", "modality = \"video\"", "expected `text` or `image`, got `video`"),
            ("fit = \"stretch\"", "fit = \"pad\"", "expected `stretch` or `center-crop`, got `pad`"),
            ("filter = \"bilinear\"", "filter = \"box\"", "expected `bilinear` or `bicubic`, got `box`"),
            ("fit = \"stretch\"", "fit = \"stretch\"\ncrop = 1", "unknown field `crop`"),
            ("centered = true", "", "missing field `centered`"),
            ("centered = true", "centered = true\nmax_tokens = 3", "unknown field `max_tokens`"),
        ] {
            let got = error(IMAGE, from, to);
            assert!(got.contains(expected), "{to}: {got}");
        }
    }

    #[test]
    fn senseless_numbers_are_refused() {
        let sizes = "sizes = [96, 128, 160, 192, 224]";
        for (from, to, expected) in [
            (sizes, "sizes = []", "sizes is [], expected ascending numbers from 32 to 1024"),
            (sizes, "sizes = [96, 96]", "sizes is [96, 96]"),
            (sizes, "sizes = [16, 96]", "sizes is [16, 96]"),
            ("mean = [0.485,", "mean = [123.7,", "expected numbers from 0 to 1"),
            ("std = [0.229,", "std = [0.0,", "expected numbers above 0 and at most 1"),
            ("std = [0.229,", "std = [nan,", "expected numbers above 0 and at most 1"),
        ] {
            let got = error(IMAGE, from, to);
            assert!(got.contains(expected), "{to}: {got}");
        }
        let got = error(TEXT, "min_cosine = 0.95", "min_cosine = 1.5");
        assert!(got.contains("min_cosine is 1.5, expected a number above 0 and at most 1"), "{got}");
    }

    #[test]
    fn the_smallest_size_that_is_large_enough_is_taken() {
        let Input::Image(input) = Manifest::parse(IMAGE).unwrap().input else { panic!("expected an image model") };
        let sides = [1, 64, 96, 97, 128, 200, 224, 225, 4_000].map(|side| input.spec(side).side);
        assert_eq!(sides, [96, 96, 96, 128, 128, 224, 224, 224, 224]);
        assert_eq!(input.spec(1), InputSpec { side: 96, fit: Fit::Stretch, filter: Filter::Bilinear });
    }
}
