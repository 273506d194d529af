//! What the configurations of these layers mean, and which of them are refused.

use serde_json::{Value, json};

use super::super::parity::{Case, TextRow, embed_images, embed_texts};
use super::super::{Backend, TextEncoder};
use crate::manifest::Pooling;
use crate::{ModelError, ModelFiles};

fn text(case: &Case) -> Result<Box<dyn TextEncoder>, ModelError> {
    case.text_of(&Backend::Cpu, &case.config, Pooling::Last)
}

/// The vector of a text.
fn embed(encoder: &dyn TextEncoder, ids: &[u32], case: &Case) -> Vec<f32> {
    embed_texts(encoder, &[&TextRow { ids: ids.to_vec(), vector: Vec::new() }], case.golden.dim).concat()
}

/// The message of what is wrong with the configuration of a model for pictures once `change` was applied.
fn image_error(name: &str, sizes: &[u32], change: impl FnOnce(&mut Value)) -> String {
    let mut case = Case::named(name);
    change(&mut case.config);
    case.image_of(&Backend::Cpu, &case.config, sizes.to_vec()).err().unwrap().to_string()
}

#[test]
fn short_texts_of_siglip_are_padded_to_the_full_length() {
    let case = Case::named("siglip");
    let encoder = text(&case).unwrap();
    let padded = case.golden.texts.iter().find(|text| text.ids.ends_with(&[1, 1])).unwrap();
    let n = 1 + padded.ids.iter().position(|id| *id == 1).unwrap();
    assert_eq!(embed(&*encoder, &padded.ids[..n], &case), embed(&*encoder, &padded.ids, &case));
}

#[test]
fn the_tokenizer_says_what_siglip_pads_with() {
    let case = Case::named("siglip");
    let encoder = text(&case).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, content: &Value| std::fs::write(folder.path().join(file), content.to_string()).unwrap();
    write("tokenizer_config.json", &json!({"pad_token": {"content": "<pad>"}}));
    write("tokenizer.json", &json!({"added_tokens": [{"id": 1, "content": "</s>"}, {"id": 0, "content": "<pad>"}]}));
    let mut other = Case::named("siglip");
    other.files = ModelFiles::Folder(folder.path().to_owned());
    let padded = [5, 7, 1].into_iter().chain(std::iter::repeat_n(0, case.golden.max_tokens - 3)).collect::<Vec<_>>();
    let got = embed(&*text(&other).unwrap(), &[5, 7, 1], &case);
    assert_eq!(got, embed(&*encoder, &padded, &case));

    for (tokens, expected) in [
        (json!([]), "added_tokens has no pad_token `<pad>`"),
        (
            json!([{"id": 999_999, "content": "<pad>"}]),
            "padding is token 999999, expected one of the 300 of the vocabulary",
        ),
    ] {
        write("tokenizer.json", &json!({"added_tokens": tokens}));
        let error = text(&other).err().unwrap().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn a_tower_has_the_same_vectors_with_a_configuration_of_its_own() {
    let case = Case::named("clip");
    let mut config = case.config["vision_config"].clone();
    config["model_type"] = json!("clip_vision_model");
    config["projection_dim"] = json!(case.golden.dim);
    let row = &case.golden.inputs[0];
    let vectors = [&case.config, &config].map(|config| {
        let encoder = case.image_of(&Backend::Cpu, config, vec![32]).unwrap();
        embed_images(&*encoder, &[row], case.golden.dim)
    });
    assert_eq!(vectors[0], vectors[1]);
}

#[test]
fn a_second_part_for_a_tower_of_clip_counts() {
    let case = Case::named("clip");
    let mut config = case.config.clone();
    config["vision_config_dict"] = config["vision_config"].clone();
    config["vision_config"] = json!({"hidden_size": 1});
    let error = case.image_of(&Backend::Cpu, &config, vec![32]).err();
    assert_eq!(error.map(|error| error.to_string()), None);
}

#[test]
fn sides_that_the_reference_refuses_are_named() {
    for architecture in ["clip", "siglip", "vit"] {
        let error = image_error(architecture, &[32, 64], |_| ());
        let expected = "config.json of model";
        assert!(error.starts_with(expected), "{architecture}: {error}");
        let expected = "image_size is 32, expected 64, the side of the pictures";
        assert!(error.ends_with(expected), "{architecture}: {error}");
    }
    let error = image_error("dinov2", &[7, 48], |_| ());
    assert!(error.ends_with("patch_size is 8, expected at most 7, the side of the pictures"), "{error}");
}

#[test]
fn senseless_configurations_are_named() {
    for (key, value, expected) in [
        ("patch_size", json!(0), "patch_size is 0, expected a number from 1 to image_size 32"),
        ("patch_size", json!([8, 8]), "patch_size: invalid type: sequence, expected usize"),
        ("num_channels", json!(1), "num_channels is 1, expected 3"),
        ("num_hidden_layers", json!(0), "num_hidden_layers is 0, expected at least 1"),
        ("num_attention_heads", json!(7), "hidden_size 48 is not a multiple of num_attention_heads 7"),
        ("hidden_act", json!("tanh"), "hidden_act is `tanh`, expected one of gelu"),
        ("hidden_size", Value::Null, "dim is 48, vectors of this model have 768"),
    ] {
        let error = image_error("vit", &[32], |config| config[key] = value);
        assert!(error.contains(expected), "{key}: {error}");
    }
    let error = image_error("siglip", &[32], |it| it["vision_config"]["vision_use_head"] = json!(false));
    assert!(error.ends_with("vision_use_head is false, expected true"), "{error}");
    let error = image_error("siglip", &[32], |it| it["vision_config"]["hidden_size"] = json!("32"));
    assert!(error.ends_with("vision_config.hidden_size: invalid type: string \"32\", expected usize"), "{error}");
}

#[test]
fn texts_longer_than_the_positions_are_refused() {
    let mut case = Case::named("clip");
    case.golden.max_tokens = 49;
    let error = text(&case).err().unwrap().to_string();
    assert!(error.ends_with("max_position_embeddings is 48, expected at least max_tokens 49"), "{error}");
}
