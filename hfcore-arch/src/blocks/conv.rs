//! Convolution over time.

use hfcore_kernels::{Tensor, Weight, conv1d};

use crate::loader::Loader;

/// The numbers of a [`Conv1d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv1dSpec {
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Time steps that one output sees.
    pub kernel_size: usize,
    /// Time steps from one output to the next.
    pub stride: usize,
    /// Zeros before and after.
    pub padding: usize,
}

/// A convolution over time, with a bias.
#[derive(Clone, Debug)]
pub struct Conv1d {
    weight: Weight,
    bias: Tensor,
    spec: Conv1dSpec,
}

impl Conv1d {
    /// `weight: [output, input, kernel_size]` and `bias: [output]`.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: Conv1dSpec) -> Self {
        Self {
            weight: w.weight("weight", &[s.output, s.input, s.kernel_size]),
            bias: w.tensor("bias", &[s.output]),
            spec: s,
        }
    }

    /// `[B, T, input]` to `[B, T', output]`.
    #[must_use]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        conv1d(
            x,
            &self.weight,
            Some(&self.bias),
            self.spec.stride,
            self.spec.padding,
        )
    }
}
