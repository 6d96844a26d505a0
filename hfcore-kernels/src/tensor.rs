//! Activations: a shape and `f32` numbers on a device.

use crate::{Device, DeviceError};

/// Numbers of a computation, row-major, on a [`Device`].
///
/// The last dimension is the *row*: most operations work on rows, however many dimensions
/// count them.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
    device: Device,
}

impl Tensor {
    /// A tensor of these values.
    ///
    /// # Panics
    /// If `data` are not `shape` numbers.
    #[must_use]
    #[track_caller]
    pub fn from_vec(device: &Device, shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(
            data.len(),
            shape.iter().product::<usize>(),
            "Tensor::from_vec: numbers of {shape:?}"
        );
        Self {
            shape: shape.to_vec(),
            data,
            device: device.clone(),
        }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(device: &Device, shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            data: vec![0.0; shape.iter().product()],
            device: device.clone(),
        }
    }

    /// The device the numbers are on.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Numbers in a row: the last dimension.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows: the product of all dimensions but the last.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(mut self, shape: &[usize]) -> Self {
        assert_eq!(
            self.data.len(),
            shape.iter().product::<usize>(),
            "Tensor::reshape: {:?} to {shape:?}",
            self.shape
        );
        self.shape = shape.to_vec();
        self
    }

    /// The numbers, read from the device. This is where a device's failures surface.
    ///
    /// # Errors
    /// If the device was lost or ran out of memory since the last read.
    pub fn to_vec(&self) -> Result<Vec<f32>, DeviceError> {
        Ok(self.data.clone())
    }

    /// [`to_vec`](Self::to_vec) without a copy where the numbers are in memory already.
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn into_vec(self) -> Result<Vec<f32>, DeviceError> {
        Ok(self.data)
    }

    /// The numbers of a CPU tensor.
    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers of a CPU tensor, to change.
    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}
