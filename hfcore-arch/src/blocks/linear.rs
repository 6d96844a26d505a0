//! `y = x Wᵀ + b`, whatever `W` is stored as.

use std::cell::OnceCell;

use hfcore_kernels::{Matrix, Tensor, linear, linears};

use super::embedding::Embedding;
use crate::loader::{Loader, row_key};
use crate::quantize::Part;

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
            weight: w.matrix("weight", [output, input], Part::Body),
            bias: bias.then(|| w.tensor("bias", &[output])),
        }
    }

    /// [`load`](Self::load), of a layer whose outputs are tokens.
    #[must_use]
    pub fn load_head(w: &Loader<'_>, input: usize, output: usize, bias: bool) -> Self {
        Self {
            weight: w.matrix("weight", [output, input], Part::Head),
            bias: bias.then(|| w.tensor("bias", &[output])),
        }
    }

    /// [`load`](Self::load), of a layer that is never quantized: a router, a pooler, a head of classes.
    #[must_use]
    pub fn load_plain(w: &Loader<'_>, input: usize, output: usize, bias: bool) -> Self {
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
                weight: w.matrix_rows("weight", [total, input], rows.clone()),
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
        let stored = w.published("weight", &[input, total]);
        let turned = OnceCell::new();
        let mut start = 0;
        outputs.map(|output| {
            let rows = start..start + output;
            start += output;
            let bias = Some(w.tensor_rows("bias", total, rows.clone()));
            let key = row_key("weight", &rows, total);
            let weight = w.matrix_of(&key, [output, input], Part::Body, || {
                if stored.shape() == [input, total] {
                    turned.get_or_init(|| stored.transposed()).rows(rows)
                } else {
                    stored.clone()
                }
            });
            Self { weight, bias }
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

    /// The head that shares its weight with an embedding. Quantized, it is a copy: rows are looked up in
    /// the table as it was published.
    #[must_use]
    pub fn tied(w: &Loader<'_>, embedding: &Embedding, bias: Option<Tensor>) -> Self {
        let table = embedding.weight();
        let weight = match *table.shape() {
            [count, width] if w.quantizes() => {
                (w.root()).matrix(embedding.name(), [count, width], Part::Head)
            }
            _ => table.clone().into(),
        };
        Self { weight, bias }
    }

    /// `x` through each of `layers`: [`forward`](Self::forward), with less waiting between them.
    #[must_use]
    #[track_caller]
    pub fn forward_each<const N: usize>(layers: [&Self; N], x: &Tensor) -> [Tensor; N] {
        linears(x, layers.map(|layer| (&layer.weight, layer.bias.as_ref())))
    }

    /// `[.., input]` to `[.., output]`.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref())
    }
}
