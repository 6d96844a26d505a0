//! Scores become log-probabilities.
//!
//! Reference: `LogitNormalization`.

use super::LogitsProcessor;
use crate::math;

/// `log_softmax`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LogitNormalization;

impl LogitNormalization {
    /// The processor.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl LogitsProcessor for LogitNormalization {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        math::log_softmax(scores);
    }
}
