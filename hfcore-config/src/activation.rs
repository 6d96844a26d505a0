//! The activation functions that a `config.json` may name (`hidden_act`, `activation_function`, …).
//!
//! One variant per function, not per name: `transformers` has several names for one formula, which differ in how the
//! same numbers are computed. Reference: `activations.py`, `ACT2CLS`, transformers 5.23.

use std::fmt;

/// A pointwise function of a layer, by its formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x · sigmoid(x)`; also named `swish`.
    Silu,
    /// `x · Φ(x)`, with the exact normal distribution (`erf`); also named `gelu_python`.
    Gelu,
    /// `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`; names `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`,
    /// `gelu_python_tanh`, `gelu_accurate`.
    GeluPytorchTanh,
    /// [`Activation::Gelu`] clipped to `[-10, 10]`; name `gelu_10`.
    Gelu10,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    Relu2,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, otherwise `0.01 x`.
    LeakyRelu,
    /// `x · min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `½ (1 + erf((x − 0.707107) / (0.282095 √2)))`.
    Laplace,
    /// `x · tanh(ln(1 + eˣ))`.
    Mish,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `√ln(1 + eˣ)`.
    SqrtSoftplus,
    /// The hyperbolic tangent.
    Tanh,
    /// `x`.
    Linear,
}

impl Activation {
    /// The names transformers knows, each with its function.
    pub(crate) const NAMES: &'static [(&'static str, Self)] = &[
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_pytorch_tanh", Self::GeluPytorchTanh),
        ("gelu_new", Self::GeluPytorchTanh),
        ("gelu_fast", Self::GeluPytorchTanh),
        ("gelu_python_tanh", Self::GeluPytorchTanh),
        ("gelu_accurate", Self::GeluPytorchTanh),
        ("gelu_10", Self::Gelu10),
        ("quick_gelu", Self::QuickGelu),
        ("relu", Self::Relu),
        ("relu2", Self::Relu2),
        ("relu6", Self::Relu6),
        ("leaky_relu", Self::LeakyRelu),
        ("hardswish", Self::HardSwish),
        ("laplace", Self::Laplace),
        ("mish", Self::Mish),
        ("sigmoid", Self::Sigmoid),
        ("sqrtsoftplus", Self::SqrtSoftplus),
        ("tanh", Self::Tanh),
        ("linear", Self::Linear),
    ];

    /// The function that transformers gives this name. `None` for unknown names, and for `prelu` and `xielu`, which
    /// have weights and therefore are layers, not functions.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, function)| *function)
    }

    /// The usual name of this function in a `config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = Self::NAMES.iter().find(|(_, function)| *function == self);
        known.map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_function_and_back() {
        for (name, function) in Activation::NAMES {
            assert_eq!(Activation::from_name(name), Some(*function));
            assert_eq!(Activation::from_name(function.name()), Some(*function));
        }
        assert_eq!(Activation::from_name("xielu"), None);
        assert_eq!(Activation::from_name("SiLU"), None);
    }
}
