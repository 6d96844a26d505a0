//! Scores divided by a temperature: below 1 sharper, above 1 flatter.
//!
//! Reference: `TemperatureLogitsWarper`.

use super::LogitsProcessor;
use crate::error::{GenerateError, require};
use crate::math::narrow;

/// Divides all scores.
#[derive(Clone, Copy, Debug)]
pub struct Temperature {
    temperature: f32,
}

impl Temperature {
    /// A temperature above 0.
    ///
    /// # Errors
    /// If it is not; 0 would be greedy decoding, which is `do_sample = false`.
    pub fn new(temperature: f64) -> Result<Self, GenerateError> {
        let narrowed = narrow(temperature);
        let ok = narrowed > 0.0 && narrowed.is_finite();
        require(
            ok,
            "temperature",
            &temperature,
            "a number above 0 (for greedy decoding set do_sample = false)",
        )?;
        Ok(Self {
            temperature: narrowed,
        })
    }
}

impl LogitsProcessor for Temperature {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        scores
            .iter_mut()
            .for_each(|score| *score /= self.temperature);
    }
}
