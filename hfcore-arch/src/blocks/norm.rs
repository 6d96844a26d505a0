//! Normalisation with learnt gains.

use hfcore_kernels::{Tensor, layer_norm, rms_norm};

use crate::loader::Loader;

/// Which normalisation, of what width.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum NormSpec {
    /// `x / sqrt(mean(x²) + eps) * w`, or `* (1 + w)` with `unit_offset` (Gemma).
    Rms {
        /// Added to the mean square.
        eps: f32,
        /// Whether gains are stored as their difference from one.
        unit_offset: bool,
    },
    /// `(x - mean) / sqrt(var + eps) * w + b`.
    Layer {
        /// Added to the variance.
        eps: f32,
        /// Whether there is a `b`.
        bias: bool,
    },
}

impl NormSpec {
    /// Llama's norm.
    #[must_use]
    pub const fn rms(eps: f32) -> Self {
        Self::Rms {
            eps,
            unit_offset: false,
        }
    }

    /// Gemma's norm: gains are stored as their difference from one.
    #[must_use]
    pub const fn rms_unit_offset(eps: f32) -> Self {
        Self::Rms {
            eps,
            unit_offset: true,
        }
    }

    /// The norm with mean and bias.
    #[must_use]
    pub const fn layer(eps: f32) -> Self {
        Self::Layer { eps, bias: true }
    }
}

/// A norm over the last dimension.
#[derive(Clone, Debug)]
pub struct Norm {
    spec: NormSpec,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    /// `weight: [width]`, and `bias: [width]` where the spec has one.
    #[must_use]
    pub fn load(w: &Loader<'_>, width: usize, spec: NormSpec) -> Self {
        let bias = matches!(spec, NormSpec::Layer { bias: true, .. });
        // Checkpoints from TensorFlow's days call them gamma and beta.
        let legacy = w.has("gamma") && !w.has("weight");
        let (weight_name, bias_name) = if legacy {
            ("gamma", "beta")
        } else {
            ("weight", "bias")
        };
        Self {
            spec,
            weight: w.tensor(weight_name, &[width]),
            bias: bias.then(|| w.tensor(bias_name, &[width])),
        }
    }

    /// Normalise each row.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.spec {
            NormSpec::Rms { eps, unit_offset } => rms_norm(x, Some(&self.weight), eps, unit_offset),
            NormSpec::Layer { eps, .. } => layer_norm(x, &self.weight, self.bias.as_ref(), eps),
        }
    }
}
