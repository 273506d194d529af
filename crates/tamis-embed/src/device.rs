//! Where vectors are computed: the CPU always, a GPU where the build and the machine have one.

use std::fmt;
use std::str::FromStr;

use candle_core::DType;

use crate::encoders::Backend;
use crate::ops::plain::Plain;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that answers, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this number.
    Cuda(usize),
    /// The Apple GPU of this number.
    Metal(usize),
}

/// A word that names no device.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no device `{0}`, expected auto, cpu, cuda, cuda:N, metal or metal:N")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        match (name, number.parse(), text.contains(':')) {
            ("auto", _, false) => Ok(Self::Auto),
            ("cpu", _, false) => Ok(Self::Cpu),
            ("cuda", Ok(n), _) => Ok(Self::Cuda(n)),
            ("metal", Ok(n), _) => Ok(Self::Metal(n)),
            _ => Err(UnknownDevice(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal(n) => write!(f, "metal:{n}"),
        }
    }
}

/// A device that was asked for by name and cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The binary has no code for it.
    #[error("this build has no support for {device}: expected one built with the feature `{feature}`")]
    NotBuilt {
        /// What was asked for.
        device: DeviceChoice,
        /// The feature of cargo that it takes.
        feature: &'static str,
    },
    /// The machine has none, or its driver or libraries are missing.
    #[error("{device} cannot be used, expected a GPU with its driver{}", requirement(.device))]
    Unusable {
        /// What was asked for.
        device: DeviceChoice,
        /// What the driver said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A device that is ready.
#[derive(Clone, Debug)]
pub struct Device {
    pub(crate) backend: Backend,
    name: String,
    fallback: Option<String>,
}

impl Device {
    /// The CPU.
    #[must_use]
    pub fn cpu() -> Self {
        Self { backend: Backend::Cpu, name: "cpu".to_owned(), fallback: None }
    }

    /// Opens a device.
    ///
    /// # Errors
    /// When one was asked for by name and this build or this machine has none; [`DeviceChoice::Auto`] falls back to the
    /// CPU instead, and [`Device::fallback`] says why.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Cuda(n) => cuda(n),
            DeviceChoice::Metal(n) => metal(n),
            DeviceChoice::Auto => {
                let gpu = if cfg!(feature = "cuda") {
                    cuda(0)
                } else if cfg!(feature = "metal") {
                    metal(0)
                } else {
                    return Ok(Self::cpu());
                };
                Ok(gpu.unwrap_or_else(|error| Self { fallback: Some(tamis_core::with_causes(&error)), ..Self::cpu() }))
            }
        }
    }

    /// What to call the device in records: `cpu`, `cuda:0` or `metal:0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the NVIDIA GPU; `None` for any other device.
    #[must_use]
    pub fn cuda_ordinal(&self) -> Option<usize> {
        match self.name.parse() {
            Ok(DeviceChoice::Cuda(n)) => Some(n),
            _ => None,
        }
    }

    /// Number type that layers are computed in; vectors are f32 always.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        match &self.backend {
            Backend::Cpu => DType::F32.as_str(),
            Backend::Plain(plain) => plain.dtype().as_str(),
            #[cfg(feature = "cuda")]
            Backend::Cuda(_) => DType::F16.as_str(),
        }
    }

    /// How many times what one thread of the CPU takes in a forward pass the device takes: 8,192 tokens on a GPU, whose
    /// widest layer still fits into its second cache (60 MB on an H100) for the smaller models. Computed, not measured.
    pub(crate) fn batch_factor(&self) -> usize {
        match &self.backend {
            Backend::Cpu => 1,
            Backend::Plain(_) => 16,
            #[cfg(feature = "cuda")]
            Backend::Cuda(_) => 16,
        }
    }

    /// Why the CPU computes although this build supports a GPU; `None` where nothing went wrong.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }
}

/// What a driver must be for a device: empty where any will do.
fn requirement(device: &DeviceChoice) -> &'static str {
    // CUDA 13.0, for which scripts/build-cuda.sh builds.
    if matches!(device, DeviceChoice::Cuda(_)) { " of release 580 or newer" } else { "" }
}

/// An error of candle without the calls that led to it, which say nothing of the device.
fn unusable(device: DeviceChoice, error: candle_core::Error) -> DeviceError {
    let source = match error {
        candle_core::Error::WithBacktrace { inner, .. } => *inner,
        other => other,
    };
    DeviceError::Unusable { device, source: Box::new(source) }
}

/// An NVIDIA GPU, in half precision.
#[cfg(feature = "cuda")]
fn cuda(n: usize) -> Result<Device, DeviceError> {
    let choice = DeviceChoice::Cuda(n);
    let cuda = crate::ops::cuda::Cuda::open(n).map_err(|source| unusable(choice, source))?;
    Ok(Device { backend: Backend::Cuda(cuda), name: choice.to_string(), fallback: None })
}

#[cfg(not(feature = "cuda"))]
fn cuda(n: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: DeviceChoice::Cuda(n), feature: "cuda" })
}

/// An Apple GPU, in single precision.
fn metal(n: usize) -> Result<Device, DeviceError> {
    let choice = DeviceChoice::Metal(n);
    if !cfg!(feature = "metal") {
        return Err(DeviceError::NotBuilt { device: choice, feature: "metal" });
    }
    plain(choice, candle_core::Device::new_metal(n), DType::F32)
}

/// candle's tensors on a device of its own.
fn plain(
    choice: DeviceChoice,
    device: candle_core::Result<candle_core::Device>,
    dtype: DType,
) -> Result<Device, DeviceError> {
    let device = device.map_err(|source| unusable(choice, source))?;
    Ok(Device { backend: Backend::Plain(Plain::with_dtype(device, dtype)), name: choice.to_string(), fallback: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_they_are_asked_for() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal:0"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["gpu", "cuda:x", "cpu:0", ""] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert_eq!(
                message,
                format!("there is no device `{text}`, expected auto, cpu, cuda, cuda:N, metal or metal:N")
            );
        }
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn a_build_without_gpus_says_so_when_one_is_asked_for() {
        let message = Device::open(DeviceChoice::Cuda(1)).unwrap_err().to_string();
        assert_eq!(message, "this build has no support for cuda:1: expected one built with the feature `cuda`");
        let device = Device::open(DeviceChoice::Auto).unwrap();
        assert_eq!((device.name(), device.dtype(), device.fallback()), ("cpu", "f32", None));
        assert_eq!(device.cuda_ordinal(), None);
    }
}
