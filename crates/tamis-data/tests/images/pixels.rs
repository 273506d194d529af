//! What a model sees, compared with Pillow.

use image::ImageFormat;
use tamis_core::{Filter, Fit, InputSpec};

use crate::common::{colorful, encode, fixture, input};

#[test]
fn inputs_are_within_a_level_of_pillow() {
    let cases = [
        ("stretch_bilinear.png", Fit::Stretch, Filter::Bilinear),
        ("stretch_bicubic.png", Fit::Stretch, Filter::Bicubic),
        ("center_bicubic.png", Fit::CenterCrop, Filter::Bicubic),
    ];
    for (name, fit, filter) in cases {
        let found = input(&fixture("04_resize50.png"), &InputSpec { side: 16, fit, filter });
        let expected = image::load_from_memory(&fixture(name)).unwrap().into_rgb8().into_raw();
        assert_eq!(found.len(), expected.len(), "{name}");
        let off = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "{name}: {off:?}");
    }
}

#[test]
fn a_picture_of_the_right_size_is_not_touched() {
    let image = colorful(24, 24);
    for fit in [Fit::Stretch, Fit::CenterCrop] {
        let found = input(&encode(&image, ImageFormat::Png), &InputSpec { side: 24, fit, filter: Filter::Bicubic });
        assert_eq!(found, image.to_rgb8().into_raw());
    }
}

#[test]
fn grey_becomes_three_equal_channels() {
    let spec = InputSpec { side: 10, fit: Fit::CenterCrop, filter: Filter::Bilinear };
    let found = input(&fixture("03_gray.png"), &spec);
    assert_eq!(found.len(), 300);
    assert!(found.chunks(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]));
}

#[test]
fn inverted_cmyk_keeps_its_colors() {
    let spec = InputSpec { side: 2, fit: Fit::Stretch, filter: Filter::Bilinear };
    // A triangle over 2 x 2 mixes the neighbors in: an eighth on each border.
    let found = input(&fixture("cmyk.jpg"), &InputSpec { side: 4, ..spec });
    let corner = |idx: usize| [found[3 * idx], found[3 * idx + 1], found[3 * idx + 2]];
    let near = |found: [u8; 3], expected: [u8; 3]| found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4);
    assert!(near(corner(0), [255, 0, 0]), "{:?}", corner(0));
    assert!(near(corner(3), [0, 255, 0]), "{:?}", corner(3));
    assert!(near(corner(12), [0, 0, 255]), "{:?}", corner(12));
    assert!(near(corner(15), [255, 255, 255]), "{:?}", corner(15));
}
