//! A tensor as it lies in a file.

use std::ops::Range;

use crate::bytes::AlignedVec;
use crate::{Bytes, DType, WeightsError};

/// A tensor's type, shape and bytes: row-major, little-endian, not aligned. Cloning copies no data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TensorView {
    /// The element type.
    pub dtype: DType,
    /// The dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements. Empty in a placeholder.
    pub bytes: Bytes,
}

impl TensorView {
    /// A tensor of these bytes.
    ///
    /// # Errors
    /// [`WeightsError::ByteCount`] if `bytes` is not as long as type and shape say.
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Bytes) -> Result<Self, WeightsError> {
        let expected = checked_elements(&shape).and_then(|elements| dtype.byte_len(elements));
        if expected != Some(bytes.len()) {
            return Err(WeightsError::ByteCount {
                dtype,
                shape,
                expected,
                found: bytes.len(),
            });
        }
        Ok(Self {
            dtype,
            shape,
            bytes,
        })
    }

    /// A copy of `values` as an `F32` tensor of this shape.
    ///
    /// # Panics
    /// If `shape` does not hold as many elements as `values` has.
    #[must_use]
    #[track_caller]
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let mut bytes = AlignedVec::zeroed(values.len() * 4);
        let (chunks, _) = bytes.as_mut().as_chunks_mut::<4>();
        for (chunk, value) in chunks.iter_mut().zip(values) {
            *chunk = value.to_le_bytes();
        }
        Self::new(DType::F32, shape.to_vec(), Bytes::from_owner(bytes))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What stands for a tensor that the checkpoint lacks, until [`Weights::build`](crate::Weights::build) refuses it.
    #[must_use]
    pub fn placeholder(shape: &[usize]) -> Self {
        Self {
            dtype: DType::F32,
            shape: shape.to_vec(),
            bytes: Bytes::empty(),
        }
    }

    /// Whether this stands for a tensor that the checkpoint lacks: a shape without its bytes.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.bytes.is_empty() && self.elements() != 0
    }

    /// The product of the shape, 1 for a scalar.
    #[must_use]
    pub fn elements(&self) -> usize {
        // Saturating, because a placeholder has the shape that a configuration asked for, however large.
        self.shape
            .iter()
            .fold(1, |elements: usize, &dim| elements.saturating_mul(dim))
    }

    /// Rows `range` of the first dimension, without copying: `[R, …]` becomes `[range.len(), …]`.
    ///
    /// # Panics
    /// If the tensor is a scalar, `range` ends beyond its rows, or a row does not fill whole bytes (`F4`, `F6`).
    #[must_use]
    #[track_caller]
    pub fn rows(&self, range: Range<usize>) -> Self {
        let rows = *self.shape.first().expect("rows of a scalar");
        assert!(
            range.start <= range.end && range.end <= rows,
            "rows {range:?} of a tensor {:?}",
            self.shape
        );
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        let bytes = if self.bytes.is_empty() {
            Bytes::empty()
        } else {
            let row = whole_bytes(self.dtype, &self.shape[1..]);
            self.bytes.slice(range.start * row..range.end * row)
        };
        Self {
            dtype: self.dtype,
            shape,
            bytes,
        }
    }

    /// Columns `range` of the last dimension, copied into aligned memory: `[…, C]` becomes `[…, range.len()]`. Only
    /// the bytes of those columns are read.
    ///
    /// # Panics
    /// If the tensor is a scalar, `range` ends beyond its columns, or the range does not fill whole bytes (`F4`, `F6`).
    #[must_use]
    #[track_caller]
    pub fn columns(&self, range: Range<usize>) -> Self {
        let columns = *self.shape.last().expect("columns of a scalar");
        assert!(
            range.start <= range.end && range.end <= columns,
            "columns {range:?} of a tensor {:?}",
            self.shape
        );
        let mut shape = self.shape.clone();
        *shape.last_mut().expect("checked above") = range.len();
        let bytes = if self.bytes.is_empty() || range.is_empty() {
            Bytes::empty()
        } else {
            let row = whole_bytes(self.dtype, &[columns]);
            let (start, end) = (
                whole_bytes(self.dtype, &[range.start]),
                whole_bytes(self.dtype, &[range.end]),
            );
            let source = self.bytes.as_ref();
            let mut copy = AlignedVec::zeroed(source.len() / row * (end - start));
            for (to, from) in copy
                .as_mut()
                .chunks_exact_mut(end - start)
                .zip(source.chunks_exact(row))
            {
                to.copy_from_slice(&from[start..end]);
            }
            Bytes::from_owner(copy)
        };
        Self {
            dtype: self.dtype,
            shape,
            bytes,
        }
    }

    /// Whether a typed load of the first element is aligned. safetensors 0.8 writes files in which all are; readers
    /// may not rely on it.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        self.bytes
            .as_ref()
            .as_ptr()
            .align_offset(self.dtype.alignment())
            == 0
    }

    /// This tensor with its elements aligned: itself where they are, else a copy.
    #[must_use]
    pub fn to_aligned(&self) -> Self {
        if self.is_aligned() {
            return self.clone();
        }
        Self {
            bytes: Bytes::copy_aligned(self.bytes.as_ref()),
            ..self.clone()
        }
    }

    /// The elements as `f32`, where every value of the type is one (`F32`, `F16`, `BF16`); `None` otherwise, and for a
    /// placeholder. For small tensors and tests: kernels read the bytes in place.
    #[must_use]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        if self.is_placeholder() {
            return None;
        }
        let bytes = self.bytes.as_ref();
        let halves = || bytes.as_chunks::<2>().0.iter();
        match self.dtype {
            DType::F32 => {
                let words = bytes.as_chunks::<4>().0.iter();
                Some(words.map(|word| f32::from_le_bytes(*word)).collect())
            }
            DType::F16 => Some(
                halves()
                    .map(|half| half::f16::from_le_bytes(*half).to_f32())
                    .collect(),
            ),
            DType::BF16 => Some(
                halves()
                    .map(|half| half::bf16::from_le_bytes(*half).to_f32())
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// Bytes of `shape` elements, which the caller requires to be whole.
#[track_caller]
fn whole_bytes(dtype: DType, shape: &[usize]) -> usize {
    checked_elements(shape)
        .and_then(|elements| dtype.byte_len(elements))
        .unwrap_or_else(|| panic!("{shape:?} elements of {dtype} do not fill whole bytes"))
}

/// The product of the shape, or `None` where it overflows *with its zero dimensions taken for 1*: so strides never do.
pub(crate) fn checked_elements(shape: &[usize]) -> Option<usize> {
    let mut elements: usize = 1;
    for &dim in shape {
        elements = elements.checked_mul(dim.max(1))?;
    }
    isize::try_from(elements).ok()?;
    Some(if shape.contains(&0) { 0 } else { elements })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> TensorView {
        let values: Vec<f32> = (0u8..12).map(f32::from).collect();
        TensorView::from_f32(&[3, 4], &values)
    }

    #[test]
    fn rows_share_the_bytes() {
        let matrix = matrix();
        let rows = matrix.rows(1..3);
        assert_eq!(rows.shape, [2, 4]);
        assert_eq!(rows.to_f32().unwrap()[..2], [4.0, 5.0]);
        assert_eq!(
            rows.bytes.as_ref().as_ptr(),
            matrix.bytes.as_ref()[16..].as_ptr()
        );
        assert_eq!(matrix.rows(3..3).shape, [0, 4]);
    }

    #[test]
    fn columns_copy_only_themselves() {
        let columns = matrix().columns(1..3);
        assert_eq!(columns.shape, [3, 2]);
        assert_eq!(columns.to_f32().unwrap(), [1.0, 2.0, 5.0, 6.0, 9.0, 10.0]);
        assert_eq!(columns.bytes.len(), 24);
        let cube = TensorView::from_f32(&[2, 2, 2], &[0., 1., 2., 3., 4., 5., 6., 7.]);
        assert_eq!(cube.columns(1..2).to_f32().unwrap(), [1., 3., 5., 7.]);
        assert_eq!(matrix().columns(2..2).shape, [3, 0]);
    }

    #[test]
    #[should_panic(expected = "rows 2..4 of a tensor [3, 4]")]
    fn rows_beyond_the_end_panic() {
        let _ = matrix().rows(2..4);
    }

    #[test]
    fn placeholders_slice_like_tensors() {
        let placeholder = TensorView::placeholder(&[usize::MAX, 8]);
        assert!(placeholder.is_placeholder());
        assert_eq!(placeholder.rows(0..5).shape, [5, 8]);
        assert!(placeholder.rows(0..5).is_placeholder());
        assert!(placeholder.columns(0..3).is_placeholder());
        assert_eq!(placeholder.to_f32(), None);
        assert!(!TensorView::from_f32(&[0, 8], &[]).is_placeholder());
    }

    #[test]
    fn a_wrong_number_of_bytes_is_refused() {
        let error = TensorView::new(DType::F32, vec![2, 2], Bytes::from(vec![0; 15])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a F32 tensor of shape [2, 2] needs 16 bytes, not 15"
        );
        // A product that wraps to zero must not pass for an empty tensor.
        let huge = 1usize << (usize::BITS / 2);
        assert!(TensorView::new(DType::F32, vec![huge, huge], Bytes::empty()).is_err());
        assert!(TensorView::new(DType::F32, vec![huge, huge, 0], Bytes::empty()).is_err());
    }

    #[test]
    fn misaligned_tensors_are_read_and_can_be_aligned() {
        for offset in 1..=64 {
            let mut bytes = vec![0; offset];
            bytes.extend([1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
            let bytes = Bytes::copy_aligned(&bytes).slice(offset..offset + 8);
            let view = TensorView::new(DType::F32, vec![2], bytes).unwrap();
            assert_eq!(view.is_aligned(), offset % 4 == 0);
            assert_eq!(view.to_f32().unwrap(), [1.5, -2.0]);
            assert!(view.to_aligned().is_aligned());
            assert_eq!(view.to_aligned().to_f32().unwrap(), [1.5, -2.0]);
        }
    }

    #[test]
    fn sixteen_bit_floats_widen_exactly() {
        let bytes: Vec<u8> = [0x3c00u16, 0xc000, 0x0001, 0x7e00]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let halves = TensorView::new(DType::F16, vec![4], Bytes::from(bytes.clone())).unwrap();
        let values = halves.to_f32().unwrap();
        assert_eq!(values[..3], [1.0, -2.0, 2f32.powi(-24)]);
        assert!(values[3].is_nan());
        let brains = TensorView::new(DType::BF16, vec![4], Bytes::from(bytes)).unwrap();
        assert_eq!(brains.to_f32().unwrap()[0], f32::from_bits(0x3c00_0000));
    }
}
