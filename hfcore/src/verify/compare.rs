//! How close is close enough: the one table of tolerances.

use super::reference::Array;

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
}

impl Difference {
    /// The error, relative to `max(1, max |reference|)`.
    #[must_use]
    pub fn relative(&self) -> f64 {
        self.max_abs_error / self.max_abs_reference.max(1.0)
    }

    /// The larger of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            max_abs_error: self.max_abs_error.max(other.max_abs_error),
            max_abs_reference: self.max_abs_reference.max(other.max_abs_reference),
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
            if r.is_finite() {
                worst.max_abs_reference = worst.max_abs_reference.max(r.abs());
            }
        }
        worst
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
                worst = worst.max(Difference::of(&actual.values[from..from + len], counted));
                from += len;
            }
            Ok(worst)
        }
    }
}

/// The largest difference allowed between f32 references and `strict` on the CPU, relative to
/// `max(1, max |reference|)`. It is never loosened: a family that needs more is wrong.
pub(super) const STRICT_CPU: f64 = 2e-5;

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
