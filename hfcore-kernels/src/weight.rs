//! A parameter in the type it was published in.

use half::{bf16, f16};

use crate::{Bytes, DType};

/// A parameter of a model: a shape, and little-endian numbers of one [`DType`], row-major.
///
/// Kernels widen to `f32` as they read; the bytes stay where they are.
#[derive(Clone, Debug)]
pub struct Weight {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Bytes,
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
            bytes,
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

    /// The bytes as they lie in the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Rows `range` of the first dimension, without copying.
    ///
    /// # Panics
    /// If there are fewer rows.
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
        Self {
            dtype: self.dtype,
            shape,
            bytes: self.bytes.slice(range.start * row..range.end * row),
        }
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Self {
        Self::new(self.dtype, shape, self.bytes.clone())
    }

    /// The transpose of a matrix, `[I, O]` to `[O, I]`, in memory of its own.
    ///
    /// # Panics
    /// If the weight is not a matrix.
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
    #[must_use]
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
    #[must_use]
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
