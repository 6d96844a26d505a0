//! Activations: a shape and `f32` numbers on a device.

use std::fmt;
use std::mem;

use crate::device::Backend;
use crate::{Device, DeviceError};

/// Numbers of a computation, row-major, on a [`Device`].
///
/// The last dimension is the *row*: most operations work on rows, however many dimensions
/// count them. A tensor that is dropped leaves its memory to later ones of its device.
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
        let numbers = shape.iter().product::<usize>();
        assert_eq!(
            data.len(),
            numbers,
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
        let mut tensor = Self::unspecified(device, shape);
        tensor.data.fill(0.0);
        tensor
    }

    /// A tensor of numbers that are anything, for an operation that writes all of them.
    pub(crate) fn unspecified(device: &Device, shape: &[usize]) -> Self {
        let Backend::Cpu(cpu) = device.backend();
        let data = cpu.recycler.take(shape.iter().product());
        Self {
            shape: shape.to_vec(),
            data,
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
    pub fn into_vec(mut self) -> Result<Vec<f32>, DeviceError> {
        Ok(mem::take(&mut self.data))
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

impl Drop for Tensor {
    fn drop(&mut self) {
        let Backend::Cpu(cpu) = self.device.backend();
        cpu.recycler.put(mem::take(&mut self.data));
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let mut clone = Self::unspecified(&self.device, &self.shape);
        clone.data.copy_from_slice(&self.data);
        clone
    }
}

impl fmt::Debug for Tensor {
    /// The shape and the first numbers: a tensor may have millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.data[..self.data.len().min(8)];
        write!(f, "Tensor{:?} {first:?}", self.shape)?;
        f.write_str(if first.len() < self.data.len() {
            " .."
        } else {
            ""
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_all_dimensions_but_the_last() {
        let device = Device::cpu();
        let t = Tensor::from_vec(&device, &[2, 3, 4], (0..24).map(|i| i as f32).collect());
        assert_eq!((t.rows(), t.width()), (6, 4));
        let t = t.reshape(&[4, 6]);
        assert_eq!((t.rows(), t.width(), t.shape()), (4, 6, [4, 6].as_slice()));
        assert_eq!(
            format!("{t:?}"),
            "Tensor[4, 6] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] .."
        );
    }

    #[test]
    fn memory_is_used_again_and_zeros_are_zeros() {
        let device = Device::cpu();
        let t = Tensor::from_vec(&device, &[1024], vec![7.0; 1024]);
        let address = t.data().as_ptr();
        let copy = t.clone();
        drop(t);
        let zeros = Tensor::zeros(&device, &[32, 32]);
        assert_eq!(zeros.data().as_ptr(), address);
        assert_eq!(zeros.into_vec().unwrap(), vec![0.0; 1024]);
        assert_eq!(copy.into_vec().unwrap(), vec![7.0; 1024]);
    }

    #[test]
    #[should_panic(expected = "Tensor::reshape: [3] to [2, 2]")]
    fn a_reshape_keeps_the_number_of_elements() {
        let _ = Tensor::zeros(&Device::cpu(), &[3]).reshape(&[2, 2]);
    }
}
