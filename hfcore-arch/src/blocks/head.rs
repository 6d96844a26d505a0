//! Small heads over hidden states: a pooler, and the prediction of tokens.

use hfcore_kernels::{Activation, Tensor, activate, add_row};

use super::linear::Linear;
use super::norm::{Norm, NormSpec};
use crate::loader::Loader;

/// `act(W x + b)`, of the rows that stand for whole sequences.
#[derive(Clone, Debug)]
pub struct Pooler {
    dense: Linear,
    act: Activation,
}

impl Pooler {
    /// The layer under `w`, from width `input` to `output`.
    #[must_use]
    pub fn load(w: &Loader<'_>, input: usize, output: usize, act: Activation) -> Self {
        Self {
            dense: Linear::load_plain(w, input, output, true),
            act,
        }
    }

    /// [`load`](Self::load), if the checkpoint has such a layer.
    #[must_use]
    pub fn load_if_present(
        w: &Loader<'_>,
        input: usize,
        output: usize,
        act: Activation,
    ) -> Option<Self> {
        (w.has("weight") || w.has("bias")).then(|| Self::load(w, input, output, act))
    }

    /// `[B, input]` to `[B, output]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        activate(self.dense.forward(x), self.act)
    }
}

/// Where the parts of a [`PredictionHead`] lie, and their numbers.
#[derive(Clone, Copy, Debug)]
pub struct PredictionHeadSpec {
    /// The layer before the scores.
    pub dense: &'static str,
    /// Its norm.
    pub norm: &'static str,
    /// The scores.
    pub decoder: &'static str,
    /// What holds the `bias` of the scores. The newest files may have `decoder.bias` instead or too.
    pub bias: &'static str,
    /// `E`.
    pub hidden_size: usize,
    /// `V`.
    pub vocab_size: usize,
    /// The nonlinearity behind `dense`.
    pub act: Activation,
    /// The norm behind that.
    pub norm_spec: NormSpec,
}

/// `decoder(norm(act(dense(x)))) + bias`: BERT's head for masked tokens, and its descendants'.
#[derive(Clone, Debug)]
pub struct PredictionHead {
    dense: Linear,
    act: Activation,
    norm: Norm,
    decoder: Linear,
    bias: Tensor,
}

impl PredictionHead {
    /// The head in the whole model `w`. `decoder` has no bias: it often is the input embedding.
    ///
    /// The bias has two names, which transformers ties. Where a file has both, `decoder`'s is the one
    /// that its forward pass adds.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &PredictionHeadSpec, decoder: Linear) -> Self {
        let (outer, inner) = (w.at(s.bias), w.at(s.decoder));
        let (bias, other) = if inner.has("bias") {
            (&inner, &outer)
        } else {
            (&outer, &inner)
        };
        other.ignore("bias");
        Self {
            dense: Linear::load_head(&w.at(s.dense), s.hidden_size, s.hidden_size, true),
            act: s.act,
            norm: Norm::load(&w.at(s.norm), s.hidden_size, s.norm_spec),
            decoder,
            bias: bias.tensor("bias", &[s.vocab_size]),
        }
    }

    /// `[T, E]` to `[T, V]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let x = self
            .norm
            .forward(&activate(self.dense.forward(x), self.act));
        add_row(self.decoder.forward(&x), &self.bias)
    }
}
