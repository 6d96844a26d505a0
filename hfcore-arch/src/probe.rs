//! Looking at intermediate values, by name.

use hfcore_kernels::Tensor;

/// Sees intermediate values of a forward pass under their checkpoint paths.
///
/// Every stack of layers reports `embed_tokens` (`[T, E]`: what the first layer sees, all that is added
/// or multiplied in), `layers.0` and so on (the output of each layer), and `norm` where a norm follows
/// the last layer. So a value that differs from the reference names the first layer that went wrong.
pub trait Probe {
    /// Whether values are wanted at all. Where not, paths are not even made.
    fn is_active(&self) -> bool {
        true
    }

    /// A value.
    fn record(&mut self, path: &str, value: &Tensor);
}

/// A probe that wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn is_active(&self) -> bool {
        false
    }

    fn record(&mut self, _: &str, _: &Tensor) {}
}

/// Any closure is a probe.
impl<F: FnMut(&str, &Tensor)> Probe for F {
    fn record(&mut self, path: &str, value: &Tensor) {
        self(path, value);
    }
}
