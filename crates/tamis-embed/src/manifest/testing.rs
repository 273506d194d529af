//! Folders for tests.

use super::{CONFIG, ImageInput, Manifest, TextInput};
use crate::{ModelError, ModelFiles};

/// A transformer.
pub(super) const BERT: (&str, &str) =
    (CONFIG, r#"{"model_type": "bert", "hidden_size": 32, "max_position_embeddings": 64}"#);

/// Pooling and normalization.
pub(super) const MODULES: (&str, &str) = (
    "modules.json",
    r#"[{"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]"#,
);

/// Pooling of [`MODULES`].
pub(super) const CLS: (&str, &str) = (
    "1_Pooling/config.json",
    r#"{"word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
);

/// `preprocessor_config.json` of CLIP.
pub(super) const CROPPED: &str = r#"{"do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "resample": 3,
    "size": {"shortest_edge": 224}, "rescale_factor": 0.00392156862745098,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;

/// `preprocessor_config.json` of `SigLIP`.
pub(super) const SQUARE: &str = r#"{"do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

/// Reads a folder with these files.
pub(super) fn of(files: &[(&str, &str)]) -> Result<Manifest, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    Manifest::of(&ModelFiles::Folder(folder.path().to_owned()))
}

/// How the model of such a folder reads texts.
pub(super) fn text_of(files: &[(&str, &str)]) -> TextInput {
    of(files).unwrap().text.unwrap()
}

/// How the model of such a folder reads pictures.
pub(super) fn image_of(config: &str, preprocessor: &str) -> ImageInput {
    of(&[(CONFIG, config), ("preprocessor_config.json", preprocessor)]).unwrap().image.unwrap()
}

/// What is wrong with a folder, from the name of the file on.
#[track_caller]
pub(super) fn error(files: &[(&str, &str)]) -> String {
    let error = of(files).unwrap_err().to_string();
    match error.split_once(" of model ") {
        Some((file, rest)) => format!("{file}: {}", rest.split_once(" is not usable: ").unwrap().1),
        None => error,
    }
}
