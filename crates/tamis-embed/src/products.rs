//! Large products of matrices on the device that embeds, for whoever has some.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use ndarray::{Array2, ArrayView2};
use tamis_core::MatrixProducts;

use crate::Device;
use crate::encoders::Backend;

/// Products of two numbers from which on a GPU is asked: a few milliseconds of a CPU, more than it takes to bring both
/// matrices there. Computed, not measured.
const MIN_PRODUCTS: f64 = 1e8;

/// The products of one device.
#[derive(Debug)]
pub struct DeviceProducts {
    device: candle_core::Device,
    /// Fewer are left to the CPU.
    min_products: f64,
    failure: OnceLock<String>,
}

impl Device {
    /// Multiplies matrices on the device; `None` on the CPU, which needs no help.
    #[must_use]
    pub fn products(&self) -> Option<DeviceProducts> {
        let device: Result<candle_core::Device> = match &self.backend {
            Backend::Cpu => return None,
            Backend::Plain(plain) => Ok(plain.device().clone()),
            #[cfg(feature = "cuda")]
            Backend::Cuda(_) => candle_core::Device::new_cuda(self.cuda_ordinal().unwrap_or(0)),
        };
        Some(match device {
            Ok(device) => DeviceProducts { device, min_products: MIN_PRODUCTS, failure: OnceLock::new() },
            Err(error) => DeviceProducts {
                device: candle_core::Device::Cpu,
                min_products: f64::INFINITY,
                failure: OnceLock::from(error.to_string()),
            },
        })
    }
}

impl DeviceProducts {
    /// Why the CPU multiplied although there is a device; `None` where nothing went wrong so far.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn product(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
        let product = self.tensor(a)?.matmul(&self.tensor(b)?.t()?)?;
        product.flatten_all()?.to_vec1()
    }

    /// Brings a matrix to the device; one that lies there column by column is not put into rows first.
    fn tensor(&self, matrix: ArrayView2<'_, f32>) -> Result<Tensor> {
        if !matrix.is_standard_layout()
            && let Some(columns) = matrix.t().as_slice()
        {
            return Tensor::from_slice(columns, (matrix.ncols(), matrix.nrows()), &self.device)?.t();
        }
        match matrix.as_slice() {
            Some(rows) => Tensor::from_slice(rows, matrix.dim(), &self.device),
            None => Tensor::from_iter(matrix.iter().copied(), &self.device)?.reshape(matrix.dim()),
        }
    }
}

impl MatrixProducts for DeviceProducts {
    fn times_transposed(&self, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
        let (m, n) = (a.nrows(), b.nrows());
        #[expect(clippy::cast_precision_loss, reason = "compared with a rough number")]
        let n_products = m as f64 * n as f64 * a.ncols() as f64;
        if n_products < self.min_products || self.failure.get().is_some() {
            return None;
        }
        match self.product(a, b) {
            Ok(values) => Array2::from_shape_vec((m, n), values).ok(),
            Err(error) => {
                // The first of several threads says it.
                let _ = self.failure.set(error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn matrix(rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(row, column)| ((row * 31 + column * 17) % 23) as f32 / 23.0 - 0.5)
    }

    /// Compares products of matrices in every layout with those of `ndarray`.
    fn products_are_those_of_the_cpu(device: candle_core::Device) {
        let products = DeviceProducts { device, min_products: 0.0, failure: OnceLock::new() };
        let (a, b) = (matrix(70, 40), matrix(33, 40));
        let (wide, turned) = (matrix(70, 80), matrix(40, 70));
        for (a, b) in [
            (a.view(), b.view()),
            (turned.t(), b.view()),
            (b.view(), turned.t()),
            (wide.slice(s![.., ..;2]), b.view()),
            (a.slice(s![10..20, ..]), b.view()),
        ] {
            let expected = a.dot(&b.t());
            let got = products.times_transposed(a, b).unwrap_or_else(|| panic!("{:?}", products.failure()));
            let worst = (&got - &expected).iter().fold(0.0_f32, |worst, value| worst.max(value.abs()));
            // Forty products of numbers up to .5.
            assert!(worst < 1e-5, "largest difference {worst}");
        }
    }

    #[test]
    fn products_of_candle_are_those_of_the_cpu() {
        products_are_those_of_the_cpu(candle_core::Device::Cpu);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn parity_of_products_on_cuda() {
        products_are_those_of_the_cpu(candle_core::Device::new_cuda(0).unwrap());
    }

    #[test]
    fn small_products_and_those_after_a_failure_are_left_to_the_cpu() {
        let products = DeviceProducts { device: candle_core::Device::Cpu, min_products: 1e4, failure: OnceLock::new() };
        let a = matrix(20, 20);
        assert_eq!(products.times_transposed(a.view(), a.view()), None);
        let products = DeviceProducts { min_products: 0.0, ..products };
        assert_eq!(products.times_transposed(a.view(), matrix(3, 4).view()), None);
        assert!(products.failure().is_some());
        assert_eq!(products.times_transposed(a.view(), a.view()), None);
    }

    #[test]
    fn the_cpu_needs_no_help() {
        assert!(Device::cpu().products().is_none());
    }
}
