//! Activations: a shape and `f32` numbers on a device.

use std::fmt;
use std::mem;

#[cfg(feature = "wgpu")]
use crate::gpu::{Gpu, Value};
use crate::{Device, DeviceError};

/// Numbers of a computation, row-major, on a [`Device`].
///
/// The last dimension is the *row*: most operations work on rows, however many dimensions
/// count them. A tensor that is dropped leaves its memory to later ones of its device.
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
    device: Device,
}

/// Where the numbers are.
#[derive(Clone)]
enum Data {
    Cpu(Vec<f32>),
    #[cfg(feature = "wgpu")]
    Gpu(Value),
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
        #[cfg(feature = "wgpu")]
        if device.on_gpu().is_some() {
            return Self::of_gpu(device, shape, Value::host(&data));
        }
        Self {
            shape: shape.to_vec(),
            data: Data::Cpu(data),
            device: device.clone(),
        }
    }

    /// [`from_vec`](Self::from_vec) for numbers that will be used again and again, those of a model: they
    /// are brought to where the device computes now, and not with each use.
    ///
    /// # Panics
    /// If `data` are not `shape` numbers.
    #[must_use]
    #[track_caller]
    pub fn parameter(device: &Device, shape: &[usize], data: Vec<f32>) -> Self {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = device.on_gpu() {
            assert_eq!(
                data.len(),
                shape.iter().product::<usize>(),
                "Tensor::parameter: numbers of {shape:?}"
            );
            return Self::of_gpu(device, shape, gpu.parameter(&data));
        }
        Self::from_vec(device, shape, data)
    }

    /// [`parameter`](Self::parameter), where a device that has no room for it is told now, and not to whoever
    /// reads what was computed with it.
    ///
    /// # Errors
    /// If the device has no room for it, or failed.
    ///
    /// # Panics
    /// If `data` are not `shape` numbers.
    #[track_caller]
    pub fn try_parameter(
        device: &Device,
        shape: &[usize],
        data: Vec<f32>,
    ) -> Result<Self, DeviceError> {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = device.on_gpu() {
            assert_eq!(
                data.len(),
                shape.iter().product::<usize>(),
                "Tensor::try_parameter: numbers of {shape:?}"
            );
            return Ok(Self::of_gpu(device, shape, gpu.try_parameter(&data)?));
        }
        Ok(Self::from_vec(device, shape, data))
    }

    /// A tensor of a value of the device, which is a GPU.
    #[cfg(feature = "wgpu")]
    pub(crate) fn of_gpu(device: &Device, shape: &[usize], value: Value) -> Self {
        Self {
            shape: shape.to_vec(),
            data: Data::Gpu(value),
            device: device.clone(),
        }
    }

    /// Its value on `gpu`.
    ///
    /// # Panics
    /// If it is on another device.
    #[cfg(feature = "wgpu")]
    #[track_caller]
    pub(crate) fn gpu_value(&self, gpu: &Gpu) -> &Value {
        match (&self.data, self.device.on_gpu()) {
            (Data::Gpu(value), Some(of)) if std::ptr::eq(&raw const **of, gpu) => value,
            _ => panic!(
                "a tensor on {} was given to an operation on {}",
                self.device.name(),
                gpu.name()
            ),
        }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(device: &Device, shape: &[usize]) -> Self {
        #[cfg(feature = "wgpu")]
        if device.on_gpu().is_some() {
            return Self::from_vec(device, shape, vec![0.0; shape.iter().product()]);
        }
        let mut tensor = Self::unspecified(device, shape);
        tensor.data_mut().fill(0.0);
        tensor
    }

    /// A tensor of numbers that are anything, for an operation that writes all of them.
    pub(crate) fn unspecified(device: &Device, shape: &[usize]) -> Self {
        let data = device.on_cpu().recycler.take(shape.iter().product());
        Self {
            shape: shape.to_vec(),
            data: Data::Cpu(data),
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
            self.len(),
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
        match &self.data {
            Data::Cpu(data) => Ok(data.clone()),
            #[cfg(feature = "wgpu")]
            Data::Gpu(value) => match self.device.on_gpu() {
                Some(gpu) => gpu.read(value.clone()),
                None => Ok(Vec::new()),
            },
        }
    }

    /// [`to_vec`](Self::to_vec) without a copy where the numbers are in memory already.
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn into_vec(mut self) -> Result<Vec<f32>, DeviceError> {
        match mem::replace(&mut self.data, Data::Cpu(Vec::new())) {
            Data::Cpu(data) => Ok(data),
            #[cfg(feature = "wgpu")]
            Data::Gpu(value) => match self.device.on_gpu() {
                Some(gpu) => gpu.read(value),
                None => Ok(Vec::new()),
            },
        }
    }

    /// How many numbers they are.
    fn len(&self) -> usize {
        match &self.data {
            Data::Cpu(data) => data.len(),
            #[cfg(feature = "wgpu")]
            Data::Gpu(value) => value.len(),
        }
    }

    /// The numbers of a CPU tensor.
    #[track_caller]
    pub(crate) fn data(&self) -> &[f32] {
        match &self.data {
            Data::Cpu(data) => data,
            #[cfg(feature = "wgpu")]
            Data::Gpu(_) => panic!(
                "the numbers of a tensor on {} are not here",
                self.device.name()
            ),
        }
    }

    /// The numbers of a CPU tensor, to change.
    #[track_caller]
    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        match &mut self.data {
            Data::Cpu(data) => data,
            #[cfg(feature = "wgpu")]
            Data::Gpu(_) => panic!(
                "the numbers of a tensor on {} are not here",
                self.device.name()
            ),
        }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        match &mut self.data {
            // Empty where the numbers were taken out, also of a tensor that was on a GPU.
            Data::Cpu(data) if data.is_empty() => {}
            Data::Cpu(data) => self.device.on_cpu().recycler.put(mem::take(data)),
            #[cfg(feature = "wgpu")]
            Data::Gpu(_) => {}
        }
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        match &self.data {
            Data::Cpu(data) => {
                let mut clone = Self::unspecified(&self.device, &self.shape);
                clone.data_mut().copy_from_slice(data);
                clone
            }
            #[cfg(feature = "wgpu")]
            Data::Gpu(value) => Self::of_gpu(&self.device, &self.shape, value.clone()),
        }
    }
}

impl fmt::Debug for Tensor {
    /// The shape and the first numbers, where they are here: a tensor may have millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(
            clippy::infallible_destructuring_match,
            reason = "with the feature wgpu there is another"
        )]
        let data = match &self.data {
            Data::Cpu(data) => data,
            #[cfg(feature = "wgpu")]
            Data::Gpu(_) => return write!(f, "Tensor{:?} on {}", self.shape, self.device.name()),
        };
        let first = &data[..data.len().min(8)];
        write!(f, "Tensor{:?} {first:?}", self.shape)?;
        f.write_str(if first.len() < data.len() { " .." } else { "" })
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
