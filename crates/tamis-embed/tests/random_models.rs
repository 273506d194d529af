//! The models of random weights that `examples/gpu_speed` measures can be loaded, and give vectors.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/gpu_speed/models.rs"]
mod models;

use std::path::Path;

use models::{Random, Sizes, bert, clip, dinov2};
use tamis_core::{NoProgress, Pixels};
use tamis_embed::{ImageModel, TextModel};

const SIZES: Sizes = Sizes { layers: 1, hidden: 64, inner: 256, heads: 2 };

#[test]
fn models_of_random_weights_give_vectors() {
    let scratch = tempfile::tempdir().unwrap();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let text = TextModel::load(&bert(scratch.path(), &bundled, "base", SIZES)).unwrap();
    let rows = text.embed(&["a text", "another one"], &NoProgress).unwrap().rows;
    assert_eq!(rows.dim(), (2, SIZES.hidden));
    assert!(rows.iter().all(|it| it.is_finite()));
    let mut random = Random(5);
    let rgb = (0..224 * 224 * 3).map(|_| (random.next() >> 56) as u8).collect();
    let picture = Pixels { width: 224, height: 224, rgb };
    let files = [
        clip(scratch.path(), "b32", 32, SIZES, 48),
        clip(scratch.path(), "l14", 14, SIZES, 48),
        dinov2(scratch.path(), "dino", SIZES),
    ];
    for (files, dim) in files.iter().zip([48, 48, SIZES.hidden]) {
        let rows = ImageModel::load(files).unwrap().embed(&[&picture], &NoProgress).unwrap();
        assert_eq!(rows.dim(), (1, dim));
        assert!(rows.iter().all(|it| it.is_finite()));
    }
}
