//! How close is close enough: the one table of tolerances.

use hfcore_kernels::{DType, Device, Precision};

use super::reference::{Array, OwnError};

/// What an output is held to: a row of the table in `docs/numerics.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Row {
    /// To the reference, with an error of at most this times `max(1, max |reference|)`; tokens are the same.
    Reference(f64),
    /// To the error that transformers itself makes in the type of the weights, times this: the mean of each case, and
    /// the largest of an output over all cases, since the largest of one is chance. Tokens may differ.
    OwnError(f64),
    /// To nothing: what was asked for is another model.
    Unjudged,
    /// To the same model in f32, of the numbers that the quantized weights stand for, with an error of at most this
    /// times `max(1, max |that|)`; how far that model is from the reference is reported.
    Dequantized(f64),
}

/// f32 activations and sums on the CPU. It is never loosened: a family that needs more is wrong.
const STRICT_CPU: f64 = 2e-5;
/// f32 activations and sums on a GPU, whose `exp` and `tanh` are the driver's and whose sums have other orders.
const STRICT_WGPU: f64 = 1e-4;
/// Sums of three products of bf16 parts, which lose up to 3 * 2^-18 = 1.1e-5 of each term.
const HIGH_CPU: f64 = 1e-4;
/// Activations in the type of the weights.
const FAST: f64 = 1.25;
/// Quantized weights and f32 activations.
const QUANTIZED: f64 = 1e-5;

impl Row {
    /// The row of a model published in `published`, loaded in `dtype` and run on `device`.
    pub(super) fn on(device: &Device, published: DType, dtype: DType) -> Self {
        match Self::of(published, dtype, device.precision()) {
            Self::Reference(_) if device.is_wgpu() => Self::Reference(STRICT_WGPU),
            row => row,
        }
    }

    fn of(published: DType, dtype: DType, precision: Precision) -> Self {
        if dtype != published {
            return Self::Unjudged;
        }
        match (precision.of(dtype), dtype) {
            (Precision::High, _) => Self::Reference(HIGH_CPU),
            (Precision::Fast, DType::F16 | DType::Bf16) => Self::OwnError(FAST),
            _ => Self::Reference(STRICT_CPU),
        }
    }

    /// The row of quantized weights run on `device`.
    pub(super) fn quantized_on(device: &Device) -> Self {
        if device.is_wgpu() {
            // Activations stay f32 whatever the precision.
            return Self::Dequantized(QUANTIZED);
        }
        Self::of_quantized(device.precision())
    }

    fn of_quantized(precision: Precision) -> Self {
        match precision {
            Precision::Strict | Precision::High => Self::Dequantized(QUANTIZED),
            // Activations have bytes, too: that is another model again.
            _ => Self::Unjudged,
        }
    }

    /// The errors that the row allows an output, the largest and the mean, given transformers' own. `None`: any.
    pub(super) fn allowed(
        self,
        difference: &Difference,
        own: Option<OwnError>,
    ) -> Option<OwnError> {
        let relative = |factor: f64| factor * difference.max_abs_reference.max(1.0);
        match self {
            Self::Reference(factor) => Some(OwnError {
                max_abs_error: relative(factor),
                mean_abs_error: relative(factor),
            }),
            // An output may be exact in transformers: an embedding. Then rounding of f32 is what is left.
            Self::OwnError(factor) => own.map(|own| OwnError {
                max_abs_error: (factor * own.max_abs_error).max(relative(STRICT_CPU)),
                mean_abs_error: (factor * own.mean_abs_error).max(relative(STRICT_CPU)),
            }),
            Self::Unjudged | Self::Dequantized(_) => None,
        }
    }

    /// Whether generated tokens have to be transformers'.
    pub(super) const fn judges_tokens(self) -> bool {
        matches!(self, Self::Reference(_))
    }
}

/// What the model gave for one output.
#[derive(Debug)]
pub(super) struct Actual {
    pub(super) name: String,
    /// Numbers row by row; see `places`.
    pub(super) values: Vec<f32>,
    pub(super) places: Places,
}

/// Where the rows of an [`Actual`] lie in the reference.
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// Everywhere: both are whole.
    Whole,
    /// Columns of each row of `[B, T, E]`: what is not padding.
    Columns {
        columns: Vec<std::ops::Range<usize>>,
        width: usize,
    },
}

/// The difference between an output and its reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// The largest absolute difference.
    pub max_abs_error: f64,
    /// The largest absolute value of the reference, where it counts.
    pub max_abs_reference: f64,
    /// Of all numbers that count.
    sum_abs_error: f64,
    sum_abs_reference: f64,
    count: u64,
}

impl Difference {
    /// The error, relative to `max(1, max |reference|)`.
    #[must_use]
    pub fn relative(&self) -> f64 {
        self.max_abs_error / self.max_abs_reference.max(1.0)
    }

    /// The mean error.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count below 2^53")]
    pub fn mean_abs_error(&self) -> f64 {
        self.sum_abs_error / self.count.max(1) as f64
    }

    /// The mean error, relative to the mean absolute value of the reference.
    #[must_use]
    pub fn mean_relative(&self) -> f64 {
        if self.sum_abs_error == 0.0 {
            0.0
        } else {
            self.sum_abs_error / self.sum_abs_reference
        }
    }

    /// That of both parts of an output.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            max_abs_error: self.max_abs_error.max(other.max_abs_error),
            max_abs_reference: self.max_abs_reference.max(other.max_abs_reference),
            sum_abs_error: self.sum_abs_error + other.sum_abs_error,
            sum_abs_reference: self.sum_abs_reference + other.sum_abs_reference,
            count: self.count + other.count,
        }
    }

    /// A number that is not a number is infinitely wrong, on either side, unless both are the same
    /// infinity.
    pub(super) fn of(actual: &[f32], reference: &[f32]) -> Self {
        let mut worst = Self::default();
        for (&a, &r) in actual.iter().zip(reference) {
            let (a, r) = (f64::from(a), f64::from(r));
            let error = if a == r { 0.0 } else { (a - r).abs() };
            let error = if error.is_nan() { f64::INFINITY } else { error };
            worst.max_abs_error = worst.max_abs_error.max(error);
            worst.sum_abs_error += error;
            worst.count += 1;
            if r.is_finite() {
                worst.sum_abs_reference += r.abs();
                worst.max_abs_reference = worst.max_abs_reference.max(r.abs());
            }
        }
        worst
    }
}

/// Compare an output of two models; `Err` where they are not even of one size.
pub(super) fn compare_models(actual: &Actual, exact: &Actual) -> Result<Difference, String> {
    if actual.name == exact.name && actual.values.len() == exact.values.len() {
        Ok(Difference::of(&actual.values, &exact.values))
    } else {
        Err(format!(
            "the two models give {} and {}",
            actual.name, exact.name
        ))
    }
}

/// Compare an output with its reference; `Err` with both sizes where they do not even fit.
pub(super) fn compare(actual: &Actual, reference: &Array<f32>) -> Result<Difference, String> {
    let misfit = |expected: usize| {
        Err(format!(
            "{} has {} numbers where the reference {:?} has {expected}",
            actual.name,
            actual.values.len(),
            reference.shape
        ))
    };
    match &actual.places {
        Places::Whole if actual.values.len() == reference.values.len() => {
            Ok(Difference::of(&actual.values, &reference.values))
        }
        Places::Whole => misfit(reference.values.len()),
        Places::Columns { columns, width } => {
            let e = reference.width();
            let real: usize = columns.iter().map(ExactSizeIterator::len).sum();
            if actual.values.len() != real * e
                || reference.values.len() != columns.len() * width * e
            {
                return misfit(real * e);
            }
            let mut worst = Difference::default();
            let mut from = 0;
            for (b, columns) in columns.iter().enumerate() {
                let len = columns.len() * e;
                let counted = &reference.values[(b * width + columns.start) * e..][..len];
                worst = worst.and(Difference::of(&actual.values[from..from + len], counted));
                from += len;
            }
            Ok(worst)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_rejects_what_is_wrong() {
        assert!(Difference::of(&[0.0, 1.0], &[0.0, 1.0 + 1e-3]).relative() > STRICT_CPU);
        assert!(
            Difference::of(&[1e30], &[0.0]).relative() > STRICT_CPU,
            "at zero, too"
        );
        assert!(Difference::of(&[f32::NAN], &[0.0]).relative() > STRICT_CPU);
        assert!(Difference::of(&[0.0], &[f32::NAN]).relative() > STRICT_CPU);
        assert!(Difference::of(&[f32::INFINITY], &[1.0]).relative() > STRICT_CPU);
        assert!(
            Difference::of(&[f32::NEG_INFINITY, 100.0], &[f32::NEG_INFINITY, 100.001]).relative()
                < STRICT_CPU
        );
    }

    #[test]
    fn rows_are_those_of_the_table() {
        let row = |published, dtype, precision| Row::of(published, dtype, precision);
        let (f32, bf16, f16) = (DType::F32, DType::Bf16, DType::F16);
        for precision in [Precision::Auto, Precision::Strict, Precision::Fast] {
            assert_eq!(row(f32, f32, precision), Row::Reference(2e-5));
        }
        for dtype in [f32, bf16, f16] {
            assert_eq!(row(dtype, dtype, Precision::High), Row::Reference(1e-4));
        }
        for dtype in [bf16, f16] {
            assert_eq!(row(dtype, dtype, Precision::Strict), Row::Reference(2e-5));
            for precision in [Precision::Auto, Precision::Fast] {
                assert_eq!(row(dtype, dtype, precision), Row::OwnError(1.25));
            }
            assert_eq!(row(f32, dtype, Precision::Strict), Row::Unjudged);
            assert_eq!(row(dtype, f32, Precision::Strict), Row::Unjudged);
        }
        let difference = Difference::of(&[10.5, 0.0], &[10.0, 0.0]);
        let own = |max_abs_error, mean_abs_error| OwnError {
            max_abs_error,
            mean_abs_error,
        };
        let allowed = |own| Row::OwnError(1.25).allowed(&difference, own);
        assert_eq!(allowed(Some(own(0.4, 0.2))), Some(own(0.5, 0.25)));
        assert_eq!(allowed(Some(own(0.4, 0.0))), Some(own(0.5, 2e-4)));
        assert_eq!(allowed(None), None);
        for precision in [Precision::Strict, Precision::High] {
            assert_eq!(Row::of_quantized(precision), Row::Dequantized(1e-5));
        }
        for precision in [Precision::Auto, Precision::Fast] {
            assert_eq!(Row::of_quantized(precision), Row::Unjudged);
        }
        assert!((difference.mean_abs_error() - 0.25).abs() < 1e-12);
        assert!((difference.mean_relative() - 0.05).abs() < 1e-12);
    }

    #[test]
    fn padding_does_not_count_and_sizes_do() {
        let reference = Array {
            shape: vec![1, 3, 1],
            values: vec![9.0, 1.0, 2.0],
        };
        let places = Places::Columns {
            columns: std::iter::once(1..3).collect(),
            width: 3,
        };
        let mut actual = Actual {
            name: "logits".to_owned(),
            values: vec![1.0, 2.0],
            places,
        };
        assert_eq!(compare(&actual, &reference).unwrap().max_abs_error, 0.0);
        actual.values.push(0.0);
        assert!(compare(&actual, &reference).is_err());
    }
}
