//! Reads the `.npy` files of the fixtures: version 1, C order, the six element types that occur there.

use std::path::{Path, PathBuf};

use ndarray::Array2;

/// Path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Reads a matrix, or a vector as a matrix with one row; every element as `f64`, which holds all of them exactly.
pub(crate) fn read(name: &str) -> Array2<f64> {
    let bytes = std::fs::read(fixture(name)).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{name} is no .npy of version 1");
    let data_start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data_start]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let data = &bytes[data_start..];
    let values: Vec<f64> = match between(header, "'descr': '", "'") {
        "|u1" => data.iter().map(|&byte| f64::from(byte)).collect(),
        "|i1" => data.iter().map(|&byte| f64::from(byte.cast_signed())).collect(),
        "<i8" => elements(data, |b| i64::from_le_bytes(b) as f64),
        "<i4" => elements(data, |b| f64::from(i32::from_le_bytes(b))),
        "<f4" => elements(data, |b| f64::from(f32::from_le_bytes(b))),
        "<f8" => elements(data, f64::from_le_bytes),
        other => panic!("{name} has element type {other}"),
    };
    let shape: Vec<usize> =
        between(header, "'shape': (", ")").split(',').filter_map(|length| length.trim().parse().ok()).collect();
    let shape = match shape[..] {
        [n] => (1, n),
        [rows, columns] => (rows, columns),
        _ => panic!("{name} has shape {shape:?}"),
    };
    Array2::from_shape_vec(shape, values).unwrap()
}

fn elements<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (elements, rest) = data.as_chunks::<N>();
    assert!(rest.is_empty(), "the last element is cut");
    elements.iter().map(|&bytes| decode(bytes)).collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}
