//! A parameter in the type it was published in.

use half::{bf16, f16};

#[cfg(feature = "wgpu")]
use crate::gpu::GpuMatrix;
use crate::{Bytes, DType, Device, DeviceError};

/// A parameter of a model: a shape, and little-endian numbers of one [`DType`], row-major.
///
/// Kernels widen to `f32` as they read; the bytes stay where they are, or are
/// [brought](Self::to_device) to a GPU.
#[derive(Clone, Debug)]
pub struct Weight {
    dtype: DType,
    shape: Vec<usize>,
    numbers: Numbers,
}

/// Where the numbers are.
#[derive(Clone, Debug)]
enum Numbers {
    Host(Bytes),
    #[cfg(feature = "wgpu")]
    Gpu(GpuMatrix),
}

impl Weight {
    /// A weight over `bytes`.
    ///
    /// # Panics
    /// If `bytes` are not exactly `shape` numbers of `dtype`.
    #[must_use]
    #[track_caller]
    pub fn new(dtype: DType, shape: &[usize], bytes: Bytes) -> Self {
        let expected = shape.iter().product::<usize>() * dtype.size();
        let found = bytes.as_ref().len();
        assert_eq!(found, expected, "Weight::new: bytes of {dtype:?} {shape:?}");
        Self {
            dtype,
            shape: shape.to_vec(),
            numbers: Numbers::Host(bytes),
        }
    }

    /// A weight of `f32` values.
    ///
    /// # Panics
    /// If `values` are not `shape` numbers.
    #[must_use]
    #[track_caller]
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::new(DType::F32, shape, bytes.into())
    }

    /// The storage type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape; `[out_features, in_features]` for a matrix of a linear layer.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The weight where `device` computes: itself for the CPU, a copy in its memory for a GPU. It is cut,
    /// turned and converted before, not after: a copy can only be computed with.
    ///
    /// # Errors
    /// If the device's memory does not suffice, or it cannot hold even a few rows of this weight.
    ///
    /// # Panics
    /// If it is on another device's memory already.
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Self, DeviceError> {
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = device.on_gpu() {
            return Ok(Self {
                dtype: self.dtype,
                shape: self.shape.clone(),
                numbers: Numbers::Gpu(GpuMatrix::of_weight(gpu, self)?),
            });
        }
        let _ = (device, self.host());
        Ok(self.clone())
    }

    /// The bytes as they lie in the file.
    ///
    /// # Panics
    /// If it was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        self.host().as_ref()
    }

    /// Bytes of its numbers.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The bytes of a weight that was not brought elsewhere.
    #[track_caller]
    fn host(&self) -> &Bytes {
        match &self.numbers {
            Numbers::Host(bytes) => bytes,
            #[cfg(feature = "wgpu")]
            Numbers::Gpu(_) => panic!(
                "a weight {:?} in a GPU's memory, which can only be computed with there",
                self.shape
            ),
        }
    }

    /// What it is in a GPU's memory.
    ///
    /// # Panics
    /// If it is not there.
    #[cfg(feature = "wgpu")]
    #[track_caller]
    pub(crate) fn on_gpu(&self) -> &GpuMatrix {
        match &self.numbers {
            Numbers::Gpu(matrix) => matrix,
            Numbers::Host(_) => panic!(
                "a weight {:?} in the CPU's memory was given to an operation on a GPU: Weight::to_device brings it there",
                self.shape
            ),
        }
    }

    /// Rows `range` of the first dimension, without copying.
    ///
    /// # Panics
    /// If there are fewer rows, or it was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, range: std::ops::Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.shape[0],
            "Weight::rows: {range:?} of {:?}",
            self.shape
        );
        let row = self.shape[1..].iter().product::<usize>() * self.dtype.size();
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        let bytes = self.host().slice(range.start * row..range.end * row);
        Self {
            dtype: self.dtype,
            shape,
            numbers: Numbers::Host(bytes),
        }
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the number of elements differs; of a weight that was brought to a GPU, if the first dimension
    /// does.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Self {
        #[cfg(feature = "wgpu")]
        if let Numbers::Gpu(_) = self.numbers {
            let numbers = |shape: &[usize]| shape.iter().product::<usize>();
            let same =
                shape.first() == self.shape.first() && numbers(shape) == numbers(&self.shape);
            assert!(same, "Weight::reshape: {:?} to {shape:?}", self.shape);
            return Self {
                dtype: self.dtype,
                shape: shape.to_vec(),
                numbers: self.numbers.clone(),
            };
        }
        Self::new(self.dtype, shape, self.host().clone())
    }

    /// The transpose of a matrix, `[I, O]` to `[O, I]`, in memory of its own.
    ///
    /// # Panics
    /// If the weight is not a matrix, or was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn transposed(&self) -> Self {
        let &[rows, columns] = self.shape.as_slice() else {
            panic!("Weight::transposed: a matrix, found {:?}", self.shape)
        };
        let (size, from) = (self.dtype.size(), self.bytes());
        let mut to = Vec::with_capacity(from.len());
        for column in 0..columns {
            for row in 0..rows {
                to.extend_from_slice(&from[(row * columns + column) * size..][..size]);
            }
        }
        Self::new(self.dtype, &[columns, rows], to.into())
    }

    /// All numbers, widened exactly.
    ///
    /// # Panics
    /// If it was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn to_f32(&self) -> Vec<f32> {
        let bytes = self.bytes();
        match self.dtype {
            DType::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
            DType::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
            DType::Bf16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| bf16::from_le_bytes(*b).to_f32())
                .collect(),
        }
    }

    /// The weight in another type, rounded to nearest even; without a copy when it has that type.
    ///
    /// # Panics
    /// If it would have to be converted and was brought to a GPU.
    #[must_use]
    #[track_caller]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        if dtype == self.dtype {
            return self.clone();
        }
        let values = self.to_f32().into_iter();
        let bytes: Vec<u8> = match dtype {
            DType::F32 => values.flat_map(f32::to_le_bytes).collect(),
            DType::F16 => values
                .flat_map(|v| f16::from_f32(v).to_le_bytes())
                .collect(),
            DType::Bf16 => values
                .flat_map(|v| bf16::from_f32(v).to_le_bytes())
                .collect(),
        };
        Self::new(dtype, &self.shape, bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_transpose_keep_the_numbers() {
        let w = Weight::from_f32(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(w.rows(1..3).to_f32(), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!(w.transposed().shape(), [2, 3]);
        assert_eq!(w.transposed().to_f32(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn sixteen_bit_types_widen_exactly_and_round_to_nearest_even() {
        let w = Weight::from_f32(&[3], &[1.0, -0.5, 1.0 + 1.0 / 256.0]);
        assert_eq!(w.to_dtype(DType::Bf16).to_f32(), [1.0, -0.5, 1.0]);
        assert_eq!(
            w.to_dtype(DType::F16).to_f32(),
            [1.0, -0.5, 1.0 + 1.0 / 256.0]
        );
    }

    #[test]
    #[should_panic(expected = "bytes of F32 [2, 2]")]
    fn a_lying_shape_is_refused() {
        let _ = Weight::new(DType::F32, &[2, 2], vec![0; 15].into());
    }
}
