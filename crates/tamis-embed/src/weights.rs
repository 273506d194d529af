//! Reading safetensors as f32, whatever number type they are stored in.

use std::fmt;
use std::sync::Arc;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::manifest::WeightsFormat;
use crate::ops::Matrix;
use crate::{ModelError, ModelFiles};

/// Numbers that share a scale in [`WeightsFormat::Int8Group64`].
const GROUP: usize = 64;

/// The weights of one model, handed out as f32.
#[derive(Clone)]
pub(crate) struct Weights<'a> {
    tensors: Arc<SafeTensors<'a>>,
    /// The model and the file, for errors.
    place: Arc<(String, String)>,
    format: WeightsFormat,
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Opens the bytes of a safetensors file.
    pub(crate) fn open(
        files: &ModelFiles,
        file: &str,
        bytes: &'a [u8],
        format: WeightsFormat,
    ) -> Result<Self, ModelError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| files.malformed(file, error))?;
        let place = Arc::new((files.name(), file.to_owned()));
        Ok(Self { tensors: Arc::new(tensors), place, format, prefix: "" })
    }

    /// The same weights, looked for behind `prefix` if the file uses it: `BertForMaskedLM` and friends store the same
    /// tensors as `BertModel` behind `bert.`.
    pub(crate) fn with_optional_prefix(&self, prefix: &'static str) -> Self {
        let used = self.tensors.names().iter().any(|name| name.starts_with(prefix));
        Self { prefix: if used { prefix } else { self.prefix }, ..self.clone() }
    }

    /// Whether there is a tensor `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// The shape of the tensor `name`, for architectures whose sizes stand nowhere else.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).ok().map(|view| view.shape().to_vec())
    }

    /// The tensor `name` of shape `(n_rows, width)`.
    pub(crate) fn matrix(&self, name: &str, n_rows: usize, width: usize) -> Result<Matrix, ModelError> {
        Ok(Matrix { width, values: self.values(name, &[n_rows, width])? })
    }

    /// The numbers of the tensor `name`, row-major.
    ///
    /// # Errors
    /// When there is no such tensor, its shape or number type is another, or a number is not finite.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (name, view) = self.view(name, shape)?;
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => pairs(bytes, |it: [u8; 4]| f32::from_le_bytes(it)),
            Dtype::F16 => pairs(bytes, |it: [u8; 2]| f16::from_le_bytes(it).to_f32()),
            Dtype::BF16 => pairs(bytes, |it: [u8; 2]| bf16::from_le_bytes(it).to_f32()),
            Dtype::I8 if self.format == WeightsFormat::Int8Group64 => self.dequantize(&name, shape, bytes)?,
            other => return Err(self.wrong(&name, "numbers of type F32, F16, BF16, or I8 with scales", other)),
        };
        match values.iter().position(|it| !it.is_finite()) {
            None => Ok(values),
            Some(index) => {
                Err(self.wrong(&name, "finite numbers", format_args!("{} as number {index}", values[index])))
            }
        }
    }

    /// The full name of the tensor `name` of a known shape, and the tensor.
    fn view(&self, name: &str, shape: &[usize]) -> Result<(String, TensorView<'_>), ModelError> {
        let name = format!("{}{name}", self.prefix);
        let wrong = |got: fmt::Arguments<'_>| self.wrong(&name, format_args!("shape {shape:?}"), got);
        let view = self.tensors.tensor(&name).map_err(|_| wrong(format_args!("nothing")))?;
        if view.shape() != shape {
            return Err(wrong(format_args!("{:?}", view.shape())));
        }
        Ok((name, view))
    }

    /// An error about the tensor `name`.
    fn wrong(&self, name: &str, expected: impl ToString, got: impl fmt::Display) -> ModelError {
        let (model, file) = (*self.place).clone();
        ModelError::Weight { model, file, name: name.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }

    /// The whole numbers below `n` of the tensor `name`, length `len`.
    ///
    /// # Errors
    /// When there is no such tensor, its length or number type is another, or a number is negative or not below `n`.
    pub(crate) fn indices(&self, name: &str, len: usize, n: usize) -> Result<Vec<usize>, ModelError> {
        let (name, view) = self.view(name, &[len])?;
        let bytes = view.data();
        let values: Vec<i64> = match view.dtype() {
            Dtype::I32 => pairs(bytes, |it: [u8; 4]| i64::from(i32::from_le_bytes(it))),
            Dtype::I64 => pairs(bytes, i64::from_le_bytes),
            other => return Err(self.wrong(&name, "numbers of type I32 or I64", other)),
        };
        let index = |(index, value): (usize, &i64)| match usize::try_from(*value) {
            Ok(value) if value < n => Ok(value),
            _ => Err(self.wrong(&name, format_args!("numbers below {n}"), format_args!("{value} as number {index}"))),
        };
        values.iter().enumerate().map(index).collect()
    }

    /// Multiplies each group of 64 along the last dimension with its scale.
    fn dequantize(&self, name: &str, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        let [rows, cols] = *shape else {
            return Err(self.wrong(name, "numbers of type F32, F16 or BF16 where there are no rows", "I8"));
        };
        let name = format!("{name}.scale");
        let shape = [rows, cols / GROUP];
        let wrong = |got: fmt::Arguments<'_>| self.wrong(&name, format_args!("shape {shape:?} of F16"), got);
        let scales = self.tensors.tensor(&name).map_err(|_| wrong(format_args!("nothing")))?;
        if scales.shape() != shape || scales.dtype() != Dtype::F16 || cols % GROUP != 0 {
            return Err(wrong(format_args!("{:?} of {:?}", scales.shape(), scales.dtype())));
        }
        let scales = pairs(scales.data(), |it: [u8; 2]| f16::from_le_bytes(it).to_f32());
        let mut values = vec![0.0; rows * cols];
        let groups = values.par_chunks_mut(GROUP).zip(bytes.par_chunks(GROUP)).zip(scales);
        groups.for_each(|((values, bytes), scale)| {
            for (value, byte) in values.iter_mut().zip(bytes) {
                *value = f32::from(i8::from_le_bytes([*byte])) * scale;
            }
        });
        Ok(values)
    }
}

/// Reads `bytes` as numbers of `N` bytes each.
fn pairs<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|it| read(*it)).collect()
}
