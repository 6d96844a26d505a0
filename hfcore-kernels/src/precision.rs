//! How exact matrix products are.

use crate::DType;

/// How exact matrix products are, and so how fast.
///
/// Sums are `f32` (or exact, of integers) in all of them. What differs is what the factors are rounded to
/// before they are multiplied. `docs/numerics.md` has the errors of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// [`Strict`](Self::Strict) for weights in `f32`, [`Fast`](Self::Fast) for all others: what
    /// `dtype="auto"` gives in Python.
    #[default]
    Auto,
    /// Activations are `f32`, and weights are widened exactly.
    Strict,
    /// As exact as the sum of three products of `bf16` parts, PyTorch's
    /// `set_float32_matmul_precision("high")`, where that is faster; else as [`Strict`](Self::Strict).
    High,
    /// Activations may be rounded to the type of the weight, or to 8 bits for a quantized weight, where
    /// the processor gains by it.
    Fast,
}

impl Precision {
    /// The precision of a product with a weight in `dtype`: never [`Auto`](Self::Auto).
    #[must_use]
    pub const fn of(self, dtype: DType) -> Self {
        match (self, dtype) {
            (Self::Auto, DType::F32) => Self::Strict,
            (Self::Auto, _) => Self::Fast,
            _ => self,
        }
    }

    /// The name in options and reports: `auto`, `strict`, `high`, `fast`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Strict => "strict",
            Self::High => "high",
            Self::Fast => "fast",
        }
    }
}
