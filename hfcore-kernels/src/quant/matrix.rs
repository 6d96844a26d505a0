//! A matrix of a linear layer, however it is stored, and the product with it.

use std::ops::Range;

use super::{Quantized, product};
use crate::{Device, DeviceError, Tensor, Weight, matmul};

/// A matrix `[O, I]` of a linear layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Matrix {
    /// As it was published.
    Plain(Weight),
    /// In fewer bits.
    Quantized(Quantized),
}

/// A borrowed [`Matrix`], [`Weight`] or [`Quantized`]: what [`linear`] multiplies with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MatrixRef<'a> {
    /// As it was published.
    Plain(&'a Weight),
    /// In fewer bits.
    Quantized(&'a Quantized),
}

impl Matrix {
    /// `[O, I]`, or whatever shape a plain weight has.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Plain(weight) => weight.shape().to_vec(),
            Self::Quantized(matrix) => matrix.shape().to_vec(),
        }
    }

    /// The type of its numbers: a name of a [`DType`](crate::DType) or of a
    /// [`QuantFormat`](super::QuantFormat).
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Plain(weight) => weight.dtype().name(),
            Self::Quantized(matrix) => matrix.format().name(),
        }
    }

    /// Bytes of its numbers and scales: what a product of few rows reads.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        match self {
            Self::Plain(weight) => weight.bytes_len(),
            Self::Quantized(matrix) => matrix.bytes_len(),
        }
    }

    /// The matrix where `device` computes, as [`Weight::to_device`].
    ///
    /// # Errors
    /// As [`Weight::to_device`].
    ///
    /// # Panics
    /// As [`Weight::to_device`].
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Self, DeviceError> {
        match self {
            Self::Plain(weight) => weight.to_device(device).map(Self::Plain),
            Self::Quantized(matrix) => matrix.to_device(device).map(Self::Quantized),
        }
    }

    /// The outputs `range`, without copying.
    ///
    /// # Panics
    /// As [`Weight::rows`] and [`Quantized::rows`]: of a quantized matrix, in sixteens.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, range: Range<usize>) -> Self {
        match self {
            Self::Plain(weight) => Self::Plain(weight.rows(range)),
            Self::Quantized(matrix) => Self::Quantized(matrix.rows(range)),
        }
    }

    /// All numbers, `[O, I]`.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::Plain(weight) => weight.to_f32(),
            Self::Quantized(matrix) => matrix.to_f32(),
        }
    }
}

impl From<Weight> for Matrix {
    fn from(weight: Weight) -> Self {
        Self::Plain(weight)
    }
}

impl From<Quantized> for Matrix {
    fn from(matrix: Quantized) -> Self {
        Self::Quantized(matrix)
    }
}

impl<'a> From<&'a Matrix> for MatrixRef<'a> {
    fn from(matrix: &'a Matrix) -> Self {
        match matrix {
            Matrix::Plain(weight) => Self::Plain(weight),
            Matrix::Quantized(matrix) => Self::Quantized(matrix),
        }
    }
}

impl<'a> From<&'a Weight> for MatrixRef<'a> {
    fn from(weight: &'a Weight) -> Self {
        Self::Plain(weight)
    }
}

impl<'a> From<&'a Quantized> for MatrixRef<'a> {
    fn from(matrix: &'a Quantized) -> Self {
        Self::Quantized(matrix)
    }
}

/// `x` `[.., I]` times the transpose of `w` `[O, I]`, plus `bias` `[O]`: `[.., O]`.
///
/// `w` is a [`Matrix`], a [`Weight`] or a [`Quantized`]. The result does not depend on the number of
/// threads.
///
/// * Of a [`Weight`], sums are `f32`, and so are products with [`Precision::Strict`](crate::Precision::Strict),
///   whatever it is stored as; the other precisions may round many rows of activations to the type of the
///   weight first. Rounding may differ between instruction sets, and for a row of `x` between calls with few
///   rows and with many.
/// * Of a [`Quantized`] matrix, activations are rounded to bytes, each row (int8) or group of a row (int4)
///   by a scale of its own, and the result is the same to the bit on every instruction set and for every
///   number of rows; with [`Precision::Strict`](crate::Precision::Strict) or
///   [`High`](crate::Precision::High) it is the product with [`Quantized::to_f32`]. A row (group) that has a
///   NaN or an infinity gives NaN for all outputs; one whose largest number is below 2⁻¹¹⁹ counts as zeros.
///
/// Reference: `torch.nn.functional.linear`.
///
/// # Panics
/// If the shapes disagree.
#[must_use]
#[track_caller]
pub fn linear<'a>(x: &Tensor, w: impl Into<MatrixRef<'a>>, bias: Option<&Tensor>) -> Tensor {
    let w = w.into();
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        let [y] = crate::gpu::ops::linear::linears(gpu, x, [(w, bias)]);
        return y;
    }
    match w {
        MatrixRef::Plain(weight) => matmul::linear(x, weight, bias),
        MatrixRef::Quantized(matrix) => product::linear(x, matrix, bias),
    }
}
