//! How a model wants its pictures: `preprocessor_config.json` of the transformers library.

use serde_json::Value;
use tamis_core::{Filter, Fit};

use super::architectures::Architecture;
use super::json::Flag;
use super::{ImageInput, Json};
use crate::{ModelError, ModelFiles};

const FILE: &str = "preprocessor_config.json";

/// What a `size` or `crop_size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// A number alone, which is a side of a square or a shortest edge, as the rest of the file has it.
    Number(u32),
    /// The shorter side.
    ShortestEdge(u32),
    /// Both sides.
    Square(u32),
}

/// Infers how pictures are put in.
pub(super) fn infer(
    files: &ModelFiles,
    architecture: &Architecture,
    config: &Json<'_>,
) -> Result<ImageInput, ModelError> {
    let json = Json::require(files, FILE, "the preprocessing of the transformers library")?;
    for key in ["do_resize", "do_rescale"] {
        if !json.flag(key, Flag::On)? {
            return Err(json.wrong(key, "true"));
        }
    }
    rescale_factor(&json)?;
    let (side, fit) = fit(&json)?;
    if let Some((key, default)) = architecture.side
        && usize::try_from(side).ok() != Some(config.count(key, Some(default))?)
    {
        let expected = config.count(key, Some(default))?;
        return Err(
            files.malformed(FILE, format!("the side of pictures is {side}, {key} of config.json is {expected}"))
        );
    }
    let (mean, std) = match json.flag("do_normalize", Flag::On)? {
        true => (three(&json, "image_mean")?, three(&json, "image_std")?),
        false => ([0.0; 3], [1.0; 3]),
    };
    let filter = filter(&json, architecture.filter)?;
    let input = ImageInput { sizes: vec![side], fit, filter, mean, std };
    input.check().map_err(|reason| files.malformed(FILE, reason))?;
    Ok(input)
}

/// Levels must become numbers from 0 to 1.
fn rescale_factor(json: &Json<'_>) -> Result<(), ModelError> {
    // Files write 0.00392156862745098 and 0.003921569.
    const ROUNDING: f64 = 1e-8;
    match json.get("rescale_factor").map(Value::as_f64) {
        None => Ok(()),
        Some(Some(factor)) if (factor - 1.0 / 255.0).abs() < ROUNDING => Ok(()),
        Some(_) => Err(json.wrong("rescale_factor", "1/255")),
    }
}

/// Side of the square, and how a picture becomes one.
fn fit(json: &Json<'_>) -> Result<(u32, Fit), ModelError> {
    let size = size(json, "size")?;
    if !json.flag("do_center_crop", Flag::Off)? {
        return match size {
            Size::Number(side) | Size::Square(side) => Ok((side, Fit::Stretch)),
            Size::ShortestEdge(_) => Err(json.wrong("do_center_crop", "true, since size has a shortest_edge alone")),
        };
    }
    let side = match self::size(json, "crop_size")? {
        Size::Number(side) | Size::Square(side) => side,
        Size::ShortestEdge(_) => return Err(json.wrong("crop_size", "height and width")),
    };
    match size {
        Size::Square(square) if square == side => Ok((side, Fit::Stretch)),
        Size::Square(_) => Err(json.wrong("crop_size", "the height and width of size, or a shortest_edge there")),
        Size::Number(short) | Size::ShortestEdge(short) if short == side => Ok((side, Fit::CenterCrop)),
        Size::Number(short) | Size::ShortestEdge(short) if side < short => Ok((side, Fit::InnerCrop(short))),
        Size::Number(short) | Size::ShortestEdge(short) => {
            Err(json.wrong("crop_size", format!("at most {short}, the shortest edge of size")))
        }
    }
}

fn size(json: &Json<'_>, key: &str) -> Result<Size, ModelError> {
    let wrong = || json.wrong(key, "a number of pixels, shortest_edge, or height and width that are equal");
    let pixels = |value: &Value| value.as_u64().and_then(|it| u32::try_from(it).ok()).ok_or_else(wrong);
    let value = json.get(key).ok_or_else(wrong)?;
    if value.is_u64() {
        return Ok(Size::Number(pixels(value)?));
    }
    match (value.get("shortest_edge"), value.get("height"), value.get("width"), value.get("longest_edge")) {
        (Some(short), None, None, None) => Ok(Size::ShortestEdge(pixels(short)?)),
        (None, Some(height), Some(width), None) if height == width => Ok(Size::Square(pixels(height)?)),
        _ => Err(wrong()),
    }
}

/// Pillow's numbers of filters; those that a picture is scaled down with without one that widens are not ours.
fn filter(json: &Json<'_>, default: Filter) -> Result<Filter, ModelError> {
    match json.get("resample").map(Value::as_u64) {
        None => Ok(default),
        Some(Some(2)) => Ok(Filter::Bilinear),
        Some(Some(3)) => Ok(Filter::Bicubic),
        Some(_) => Err(json.wrong("resample", "2 (bilinear) or 3 (bicubic)")),
    }
}

fn three(json: &Json<'_>, key: &str) -> Result<[f32; 3], ModelError> {
    let wrong = || json.wrong(key, "three numbers");
    let values = json.get(key).and_then(Value::as_array).ok_or_else(wrong)?;
    #[expect(clippy::cast_possible_truncation, reason = "a mean of pixels needs no more digits than f32 has")]
    let numbers: Option<Vec<f32>> = values.iter().map(|it| it.as_f64().map(|it| it as f32)).collect();
    numbers.and_then(|it| it.try_into().ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::CONFIG;
    use super::super::testing::{BERT, CROPPED, SQUARE, error, image_of};
    use super::*;

    #[test]
    fn preprocessing_becomes_fit_and_filter() {
        let dino = r#"{"model_type": "dinov2", "hidden_size": 384, "image_size": 518}"#;
        let image = image_of(dino, &CROPPED.replace(r#"{"shortest_edge": 224}"#, r#"{"shortest_edge": 256}"#));
        assert_eq!((image.sizes, image.fit, image.filter), (vec![224], Fit::InnerCrop(256), Filter::Bicubic));
        assert_eq!(image.mean, [0.481_454_66, 0.457_827_5, 0.408_210_73]);
        let registers = dino.replace("dinov2", "dinov2_with_registers");
        assert_eq!(image_of(&registers, CROPPED).fit, Fit::CenterCrop);
        let vit = r#"{"model_type": "vit", "hidden_size": 768}"#;
        let image = image_of(vit, SQUARE);
        assert_eq!((image.fit, image.filter, image.std), (Fit::Stretch, Filter::Bilinear, [0.5; 3]));
        // Files of older releases: numbers alone.
        let old = r#"{"size": 224, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        assert_eq!(image_of(vit, old), image);
        let old = old.replace("224,", "224, \"do_center_crop\": true, \"crop_size\": 224,");
        assert_eq!(image_of(vit, &old).fit, Fit::CenterCrop);
        let raw = image_of(vit, r#"{"size": 224, "do_normalize": false}"#);
        assert_eq!((raw.mean, raw.std), ([0.0; 3], [1.0; 3]));
    }

    #[test]
    fn preprocessing_that_is_not_done_is_named() {
        let vit = (CONFIG, r#"{"model_type": "vit", "hidden_size": 768}"#);
        for (base, from, to, expected) in [
            (SQUARE, "\"resample\": 2", "\"resample\": 1", "resample is 1, expected 2 (bilinear) or 3 (bicubic)"),
            (SQUARE, "\"do_resize\": true", "\"do_resize\": false", "do_resize is false, expected true"),
            (
                SQUARE,
                "\"width\": 224",
                "\"width\": 160",
                "size is {\"height\":224,\"width\":160}, expected a number of",
            ),
            (SQUARE, "\"resample\": 2", "\"rescale_factor\": 0.0078125", "rescale_factor is 0.0078125, expected 1/255"),
            (SQUARE, "\"image_mean\": [0.5, 0.5, 0.5]", "\"image_mean\": [0.5]", "image_mean is [0.5], expected three"),
            (SQUARE, "\"image_mean\": [0.5, 0.5, 0.5], ", "", "there is no image_mean, expected three numbers"),
            (
                SQUARE,
                "[0.5, 0.5, 0.5]",
                "[127.5, 127.5, 127.5]",
                "mean is [127.5, 127.5, 127.5], expected numbers from",
            ),
            (
                CROPPED,
                "\"do_center_crop\": true",
                "\"do_center_crop\": false",
                "do_center_crop is false, expected true, since",
            ),
            (
                CROPPED,
                "\"shortest_edge\": 224",
                "\"shortest_edge\": 200",
                "crop_size is {\"height\":224,\"width\":224}, expected at most 200",
            ),
            (
                CROPPED,
                "\"shortest_edge\": 224",
                "\"height\": 256, \"width\": 256",
                "crop_size is {\"height\":224,\"width\":224}, expected the height and width of size",
            ),
        ] {
            assert!(base.contains(from), "{from}");
            let got = error(&[vit, ("preprocessor_config.json", &base.replace(from, to))]);
            assert!(got.starts_with(&format!("preprocessor_config.json: {expected}")), "{to}: {got}");
        }
    }

    #[test]
    fn sizes_that_are_missing_or_no_numbers_are_named() {
        let config = |from: &str, to: &str| error(&[(CONFIG, &BERT.1.replace(from, to))]);
        assert_eq!(config("32", "\"x\""), "config.json: hidden_size is \"x\", expected a whole number above 0");
        assert_eq!(config("32", "0"), "config.json: hidden_size is 0, expected a whole number above 0");
        let got = config("\"hidden_size\": 32,", "");
        assert_eq!(got, "config.json: there is no hidden_size, expected a whole number above 0");
        let got = config("\"model_type\": \"bert\",", "");
        assert!(got.starts_with("config.json: there is no model_type, expected one of `bert`, `roberta`, "), "{got}");
        let got = config("\"bert\"", "\"gpt2\"");
        assert!(got.contains("has the architecture `gpt2`; supported: bert, roberta, "), "{got}");
    }
}
