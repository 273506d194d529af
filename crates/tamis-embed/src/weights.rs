//! Reading safetensors into f32 tensors, whatever number type they are stored in.

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use crate::manifest::WeightsFormat;
use crate::{ModelError, ModelFiles};

/// Numbers that share a scale in [`WeightsFormat::Int8Group64`].
const GROUP: usize = 64;

/// The weights of one model, handed out as f32.
pub(crate) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    format: WeightsFormat,
    prefix: &'static str,
    device: Device,
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
        Ok(Self { tensors, format, prefix: "", device: Device::Cpu })
    }

    /// Looks for names behind `prefix` from now on if the file uses it: `BertForMaskedLM` and friends store the same
    /// tensors as `BertModel` behind `bert.`.
    pub(crate) fn with_optional_prefix(mut self, prefix: &'static str) -> Self {
        if self.tensors.names().iter().any(|name| name.starts_with(prefix)) {
            self.prefix = prefix;
        }
        self
    }

    /// Whether there is a tensor `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// The tensor `name` as f32, if it has the expected shape.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let values = self.values(name, shape)?;
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    /// The numbers of the tensor `name`, row-major.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let name = format!("{}{name}", self.prefix);
        let wrong = |got: String| ModelError::Weight { name: name.clone(), expected: shape.to_vec(), got };
        let view = self.tensors.tensor(&name).map_err(|_| wrong("nothing".to_owned()))?;
        if view.shape() != shape {
            return Err(wrong(format!("{:?}", view.shape())));
        }
        let bytes = view.data();
        match view.dtype() {
            Dtype::F32 => Ok(pairs(bytes, |it: [u8; 4]| f32::from_le_bytes(it))),
            Dtype::F16 => Ok(pairs(bytes, |it: [u8; 2]| f16::from_le_bytes(it).to_f32())),
            Dtype::BF16 => Ok(pairs(bytes, |it: [u8; 2]| bf16::from_le_bytes(it).to_f32())),
            Dtype::I8 if self.format == WeightsFormat::Int8Group64 => self.dequantize(&name, shape, bytes),
            other => Err(ModelError::WeightType { name, dtype: format!("{other:?}") }),
        }
    }

    /// Multiplies each group of 64 along the last dimension with its scale.
    fn dequantize(&self, name: &str, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        let scales_name = format!("{name}.scale");
        let [rows, cols] = *shape else {
            return Err(ModelError::WeightType { name: name.to_owned(), dtype: "I8 without rows".to_owned() });
        };
        let expected = vec![rows, cols / GROUP];
        let wrong = |got: String| ModelError::Weight { name: scales_name.clone(), expected: expected.clone(), got };
        let scales = self.tensors.tensor(&scales_name).map_err(|_| wrong("nothing".to_owned()))?;
        if scales.shape() != expected || scales.dtype() != Dtype::F16 || cols % GROUP != 0 {
            return Err(wrong(format!("{:?} of {:?}", scales.shape(), scales.dtype())));
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
fn pairs<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|it| read(*it)).collect()
}
