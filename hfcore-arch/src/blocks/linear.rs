//! `y = x Wᵀ + b`, whatever `W` is stored as.

use hfcore_kernels::{Matrix, Tensor, linear};

use super::embedding::Embedding;
use crate::loader::Loader;

/// A linear layer. Every kind of weight enters a model here.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight: [output, input]` and, if `bias`, `bias: [output]`.
    #[must_use]
    pub fn load(w: &Loader<'_>, input: usize, output: usize, bias: bool) -> Self {
        Self {
            weight: w.weight("weight", &[output, input]).into(),
            bias: bias.then(|| w.tensor("bias", &[output])),
        }
    }

    /// Several layers that the checkpoint holds as one: `weight: [sum of outputs, input]`, cut by rows.
    #[must_use]
    pub fn load_fused<const N: usize>(
        w: &Loader<'_>,
        input: usize,
        outputs: [usize; N],
        bias: bool,
    ) -> [Self; N] {
        let total = outputs.iter().sum();
        let mut start = 0;
        outputs.map(|output| {
            let rows = start..start + output;
            start += output;
            Self {
                weight: (w.weight_rows("weight", &[total, input], rows.clone())).into(),
                bias: bias.then(|| w.tensor_rows("bias", total, rows)),
            }
        })
    }

    /// GPT-2's `Conv1D`: `weight: [input, sum of outputs]` and `bias`, cut by columns.
    ///
    /// The matrix is turned once, in memory of its own, into the layout of every other.
    #[must_use]
    pub fn load_conv1d<const N: usize>(
        w: &Loader<'_>,
        input: usize,
        outputs: [usize; N],
    ) -> [Self; N] {
        let total = outputs.iter().sum();
        let stored = w.weight("weight", &[input, total]);
        let whole = if stored.shape() == [input, total] {
            stored.transposed()
        } else {
            stored
        };
        let mut start = 0;
        outputs.map(|output| {
            let rows = start..start + output;
            start += output;
            let bias = Some(w.tensor_rows("bias", total, rows.clone()));
            let weight = if whole.shape()[0] == total {
                whole.rows(rows)
            } else {
                whole.clone()
            };
            Self {
                weight: weight.into(),
                bias,
            }
        })
    }

    /// A layer over a matrix that is there already.
    #[must_use]
    pub fn new(weight: impl Into<Matrix>, bias: Option<Tensor>) -> Self {
        Self {
            weight: weight.into(),
            bias,
        }
    }

    /// The head that shares its weight with the input embedding.
    #[must_use]
    pub fn tied(embedding: &Embedding) -> Self {
        Self {
            weight: embedding.weight().clone().into(),
            bias: None,
        }
    }

    /// `[.., input]` to `[.., output]`.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref())
    }
}
