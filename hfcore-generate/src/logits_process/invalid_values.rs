//! NaN becomes 0, infinities the largest numbers.
//!
//! Reference: `InfNanRemoveLogitsProcessor`.

use super::LogitsProcessor;

/// Replaces NaN and infinite scores, so that a broken model goes on.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RemoveInvalidValues;

impl RemoveInvalidValues {
    /// The processor.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl LogitsProcessor for RemoveInvalidValues {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        for score in scores {
            *score = if score.is_nan() {
                0.0
            } else {
                score.clamp(f32::MIN, f32::MAX)
            };
        }
    }
}
