//! The longer the text, the likelier its end.
//!
//! Reference: `ExponentialDecayLengthPenalty`.

use super::{LogitsProcessor, score_mut};
use crate::math::narrow;

/// Raises the scores of the end tokens by `|score| (factor^k - 1)` at the `k`-th token past a start.
#[derive(Clone, Debug)]
pub struct ExponentialDecayLengthPenalty {
    start: usize,
    factor: f64,
    eos_token_ids: Vec<u32>,
}

impl ExponentialDecayLengthPenalty {
    /// From `start` new tokens on, behind a prompt of `prompt_len`, growing by `factor` per token.
    #[must_use]
    pub fn new((start, factor): (usize, f64), eos_token_ids: &[u32], prompt_len: usize) -> Self {
        let mut eos_token_ids = eos_token_ids.to_vec();
        eos_token_ids.sort_unstable();
        eos_token_ids.dedup();
        Self {
            start: start.saturating_add(prompt_len),
            factor,
            eos_token_ids,
        }
    }
}

impl LogitsProcessor for ExponentialDecayLengthPenalty {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        let Some(past) = tokens
            .len()
            .checked_sub(self.start)
            .filter(|past| *past > 0)
        else {
            return;
        };
        let growth = narrow(self.factor.powi(i32::try_from(past).unwrap_or(i32::MAX)) - 1.0);
        for &token in &self.eos_token_ids {
            if let Some(score) = score_mut(scores, token).filter(|score| score.is_finite()) {
                *score += score.abs() * growth;
            }
        }
    }
}
