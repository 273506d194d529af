//! What the files of a model mean: `model.toml`, or the model's own configuration files.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use tamis_core::{Filter, Fit, InputSpec, Modality};

use crate::{ModelError, ModelFiles};

mod architectures;

mod folder;

mod json;

mod preprocessing;

mod sentence;

#[cfg(test)]
mod testing;

pub(crate) use json::Json;

/// The configuration of the transformers library.
const CONFIG: &str = "config.json";

/// The tokenizer, where nothing else is said.
const TOKENIZER: &str = "tokenizer.json";

/// Least and most tokens that a model may read: one between two special ones, and far more than any model does.
const TOKENS: std::ops::RangeInclusive<usize> = 3..=1_000_000;

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
    /// The last token.
    Last,
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
    /// Commit or release of the repository; `None` where the first download pins it ([`crate::hub`]).
    pub revision: Option<String>,
    /// The script that made the files out of those of `repo`; `None` where they are the repository's own.
    pub derived_by: Option<String>,
    /// What the weights take, in millions of bytes, as published.
    pub download_mb: Option<u32>,
    /// An id of [`crate::encoders::ENCODERS`], or of an architecture that has no encoder yet.
    pub architecture: String,
    /// Length of a vector.
    pub dim: usize,
    /// How it reads texts, where it does.
    pub text: Option<TextInput>,
    /// How it reads pictures, where it does.
    pub image: Option<ImageInput>,
    /// Whether vectors are compared after the mean of the data was subtracted, because the raw cosines of this model
    /// crowd.
    pub centered: bool,
    /// File name of the weights.
    pub weights: String,
    /// File name of the tokenizer of a model for texts.
    pub tokenizer: String,
    /// How they are stored.
    pub weights_format: WeightsFormat,
    /// Threshold for near-duplicates, where somebody measured one.
    pub near_duplicate: Option<NearDuplicate>,
    /// SHA-256 of every file.
    pub sha256: BTreeMap<String, String>,
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
    /// Texts that the model wants before a sample, by what the sample is for, e.g. `query`.
    #[serde(default)]
    pub prompts: BTreeMap<String, String>,
    /// Which of them is put before every sample when samples are compared with each other; `None` for nothing.
    pub prompt: Option<String>,
}

/// How a model reads pictures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "ImageToml")]
pub struct ImageInput {
    /// Sides of the squares that the model may be given, ascending; one alone where `fit` cuts off a margin.
    pub sizes: Vec<u32>,
    /// How a picture that is not square becomes a square.
    pub fit: Fit,
    /// How pixels are averaged when a picture is scaled.
    pub filter: Filter,
    /// What is subtracted from red, green and blue, which are in [0, 1].
    pub mean: [f32; 3],
    /// What they are divided by afterwards.
    pub std: [f32; 3],
}

/// The table `[image]` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageToml {
    sizes: Vec<u32>,
    #[serde(deserialize_with = "fit")]
    fit: Fit,
    /// Of `inner-crop` alone.
    shortest_edge: Option<u32>,
    #[serde(deserialize_with = "filter")]
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
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
    derived_by: Option<String>,
    download_mb: Option<u32>,
    modality: OneOrMore,
    architecture: String,
    dim: usize,
    text: Option<TextInput>,
    image: Option<ImageInput>,
    centered: bool,
    weights: String,
    #[serde(default = "tokenizer_json")]
    tokenizer: String,
    weights_format: WeightsFormat,
    near_duplicate: Option<NearDuplicate>,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
}

/// `modality = "text"`, or `modality = ["text", "image"]` where the model has a tower for each.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn tokenizer_json() -> String {
    TOKENIZER.to_owned()
}

/// Reads from the manifest what a model embeds.
///
/// # Errors
/// When the manifest is missing or malformed.
pub fn modalities(files: &ModelFiles) -> Result<Vec<Modality>, ModelError> {
    Ok(Manifest::of(files)?.modalities())
}

impl Manifest {
    /// Parses a `model.toml`.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or senseless; the message names it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What the model embeds, texts first.
    #[must_use]
    pub fn modalities(&self) -> Vec<Modality> {
        let text = self.text.as_ref().map(|_| Modality::Text);
        text.into_iter().chain(self.image.as_ref().map(|_| Modality::Image)).collect()
    }

    /// The repository on the hub that has the files as tamis reads them; `None` where a script made them.
    #[must_use]
    pub fn hub_repo(&self) -> Option<&str> {
        self.repo.as_deref().filter(|_| self.derived_by.is_none())
    }

    /// Reads `model.toml`, or infers a manifest from the files of a folder in hub layout.
    ///
    /// # Errors
    /// When a file is missing or malformed, or when two of them contradict each other.
    pub fn of(files: &ModelFiles) -> Result<Self, ModelError> {
        let mut manifest = match files.read("model.toml")? {
            None => folder::infer(files)?,
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|error| files.malformed("model.toml", error))?;
                let manifest = Self::parse(text).map_err(|error| files.malformed("model.toml", error))?;
                folder::check(files, &manifest)?;
                manifest
            }
        };
        if let ModelFiles::Pulled { revision, .. } = files {
            manifest.revision = Some(revision.clone());
        }
        Ok(manifest)
    }

    /// How the model reads texts; an error where it does not.
    pub(crate) fn text(&self, files: &ModelFiles) -> Result<&TextInput, ModelError> {
        self.text.as_ref().ok_or_else(|| files.malformed("model.toml", "modality is `image`, expected `text`"))
    }

    /// How the model reads pictures; an error where it does not.
    pub(crate) fn image(&self, files: &ModelFiles) -> Result<&ImageInput, ModelError> {
        self.image.as_ref().ok_or_else(|| files.malformed("model.toml", "modality is `text`, expected `image`"))
    }
}

impl TextInput {
    /// What is put before every sample when samples are compared with each other; empty for nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prompt.as_ref().and_then(|name| self.prompts.get(name)).map_or("", String::as_str)
    }

    /// Refuses a length that makes no sense and a prompt that is not there.
    fn check(&self) -> Result<(), String> {
        if !TOKENS.contains(&self.max_tokens) {
            let (least, most) = (TOKENS.start(), TOKENS.end());
            return Err(format!("max_tokens is {}, expected a number from {least} to {most}", self.max_tokens));
        }
        match &self.prompt {
            Some(name) if !self.prompts.contains_key(name) => {
                Err(format!("prompt is `{name}`, expected one of the prompts: {}", known(self.prompts.keys())))
            }
            _ => Ok(()),
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
        match (self.fit, &self.sizes[..]) {
            (Fit::InnerCrop(short), [size]) if size <= &short => Ok(()),
            (Fit::InnerCrop(short), sizes) => {
                Err(format!("shortest_edge is {short} and sizes is {sizes:?}, expected one size that is not larger"))
            }
            _ => Ok(()),
        }
    }
}

impl TryFrom<ImageToml> for ImageInput {
    type Error = String;

    fn try_from(toml: ImageToml) -> Result<Self, String> {
        let fit = match (toml.fit, toml.shortest_edge) {
            (Fit::InnerCrop(_), Some(short)) => Fit::InnerCrop(short),
            (Fit::Stretch | Fit::CenterCrop, None) => toml.fit,
            (fit, _) => {
                return Err(format!(
                    "fit is `{}`, expected shortest_edge with `inner-crop` and with it alone",
                    fit.id()
                ));
            }
        };
        let ImageToml { sizes, filter, mean, std, .. } = toml;
        let input = Self { sizes, fit, filter, mean, std };
        input.check()?;
        Ok(input)
    }
}

impl TryFrom<ModelToml> for Manifest {
    type Error = String;

    fn try_from(toml: ModelToml) -> Result<Self, String> {
        let said = toml.modality.read()?;
        let (text, image) = (toml.text, toml.image);
        let tables = [text.as_ref().map(|_| Modality::Text), image.as_ref().map(|_| Modality::Image)];
        let tables: Vec<Modality> = tables.into_iter().flatten().collect();
        if said != tables {
            return Err(contradiction(&said, &tables));
        }
        if toml.dim == 0 {
            return Err("dim is 0, expected a number above 0".to_owned());
        }
        text.as_ref().map_or(Ok(()), TextInput::check)?;
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
            derived_by: toml.derived_by,
            download_mb: toml.download_mb,
            architecture: toml.architecture,
            dim: toml.dim,
            text,
            image,
            centered: toml.centered,
            weights: toml.weights,
            tokenizer: toml.tokenizer,
            weights_format: toml.weights_format,
            near_duplicate: toml.near_duplicate,
            sha256: toml.sha256,
        })
    }
}

impl OneOrMore {
    /// The modalities in the order of [`Manifest::modalities`].
    fn read(self) -> Result<Vec<Modality>, String> {
        let names = match self {
            Self::One(name) => vec![name],
            Self::More(names) => names,
        };
        if names.is_empty() {
            return Err("modality is empty, expected `text`, `image` or both".to_owned());
        }
        let all = [Modality::Text, Modality::Image];
        if let Some(name) = names.iter().find(|name| all.iter().all(|it| it.id() != *name)) {
            return Err(format!("modality: expected `text` or `image`, got `{name}`"));
        }
        Ok(all.into_iter().filter(|it| names.iter().any(|name| name == it.id())).collect())
    }
}

/// What to say where the tables are not those of the modality.
fn contradiction(said: &[Modality], tables: &[Modality]) -> String {
    let named = |all: &[Modality]| all.iter().map(|it| format!("[{}]", it.id())).collect::<Vec<_>>().join(" and ");
    let expected = match said {
        [_] => format!("the table {} alone", named(said)),
        _ => format!("the tables {}", named(said)),
    };
    let got = if tables.is_empty() { "neither [text] nor [image]".to_owned() } else { named(tables) };
    let said = said.iter().map(|it| format!("`{}`", it.id())).collect::<Vec<_>>().join(" and ");
    format!("modality is {said}, expected {expected}, got {got}")
}

/// Names between backticks, or "none".
fn known<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|it| format!("`{it}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn fit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fit, D::Error> {
    by_id(deserializer, [Fit::Stretch, Fit::CenterCrop, Fit::InnerCrop(0)], Fit::id)
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
            ("fit = \"stretch\"", "fit = \"pad\"", "expected `stretch` or `center-crop` or `inner-crop`, got `pad`"),
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
        let input = Manifest::parse(IMAGE).unwrap().image.unwrap();
        let sides = [1, 64, 96, 97, 128, 200, 224, 225, 4_000].map(|side| input.spec(side).side);
        assert_eq!(sides, [96, 96, 96, 128, 128, 224, 224, 224, 224]);
        assert_eq!(input.spec(1), InputSpec { side: 96, fit: Fit::Stretch, filter: Filter::Bilinear });
    }

    #[test]
    fn a_model_of_both_has_both_tables() {
        const BOTH: &str = include_str!("../../../models/clip-vit-base-patch32/model.toml");
        assert_eq!(Manifest::parse(BOTH).unwrap().modalities(), [Modality::Text, Modality::Image]);
        let list = "modality = [\"text\", \"image\"]";
        let got = error(BOTH, list, "modality = \"image\"");
        assert!(got.contains("modality is `image`, expected the table [image] alone, got [text] and [image]"), "{got}");
        let got = error(IMAGE, "modality = \"image\"", list);
        let expected = "modality is `text` and `image`, expected the tables [text] and [image], got [image]";
        assert!(got.contains(expected), "{got}");
        let got = error(BOTH, list, "modality = []");
        assert!(got.contains("modality is empty, expected `text`, `image` or both"), "{got}");
    }

    #[test]
    fn the_prompt_is_one_of_the_prompts() {
        const E5: &str = include_str!("../../../models/e5-base-v2/model.toml");
        assert_eq!(Manifest::parse(E5).unwrap().text.unwrap().prefix(), "query: ");
        let got = error(E5, "prompt = \"query\"", "prompt = \"search\"");
        assert!(got.contains("prompt is `search`, expected one of the prompts: `passage`, `query`"), "{got}");
        let got = error(TEXT, "max_tokens = 256", "max_tokens = 256\nprompt = \"query\"");
        assert!(got.contains("prompt is `query`, expected one of the prompts: none"), "{got}");
    }

    #[test]
    fn a_margin_stands_with_the_fit_that_cuts_it() {
        const DINO: &str = include_str!("../../../models/dinov2-small/model.toml");
        assert_eq!(Manifest::parse(DINO).unwrap().image.unwrap().fit, Fit::InnerCrop(256));
        let alone = "expected shortest_edge with `inner-crop` and with it alone";
        for (toml, from, to, expected) in [
            (DINO, "shortest_edge = 256\n", "", format!("fit is `inner-crop`, {alone}")),
            (IMAGE, "fit = \"stretch\"", "fit = \"stretch\"\nshortest_edge = 9", format!("fit is `stretch`, {alone}")),
            (DINO, "edge = 256", "edge = 200", "shortest_edge is 200 and sizes is [224], expected one size".to_owned()),
            (DINO, "sizes = [224]", "sizes = [96, 224]", "and sizes is [96, 224], expected one size".to_owned()),
        ] {
            let got = error(toml, from, to);
            assert!(got.contains(&expected), "{to}: {got}");
        }
    }
}
