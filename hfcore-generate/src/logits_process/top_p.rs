//! Only the likeliest tokens that together have probability `p`: nucleus sampling.
//!
//! Holtzman et al., *The Curious Case of Neural Text Degeneration* (<https://arxiv.org/abs/1904.09751>).
//! Reference: `TopPLogitsWarper`: sorted upwards, tokens go while their running sum is `<= 1 - p`.

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};
use crate::math;

/// Keeps the smallest set of likeliest tokens whose probabilities add up to `p` or more.
#[derive(Clone, Copy, Debug)]
pub struct TopP {
    top_p: f64,
    min_tokens_to_keep: usize,
}

impl TopP {
    /// A probability from 0 to 1.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(top_p: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        require(
            (0.0..=1.0).contains(&top_p),
            "top_p",
            &top_p,
            "a number from 0 to 1",
        )?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            top_p,
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for TopP {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        let probs = math::softmax(scores);
        // Removed tokens have probability 0 and stay removed: only the others are sorted.
        let mut order = math::finite(scores);
        order.sort_by(|&a, &b| math::order(scores[a], scores[b]));
        let threshold = math::narrow(1.0 - self.top_p);
        let cumulative = math::cumsum(order.iter().map(|&i| probs[i]));
        let last = order.len().saturating_sub(self.min_tokens_to_keep);
        for (&i, _) in order[..last]
            .iter()
            .zip(&cumulative)
            .filter(|(_, sum)| **sum <= threshold)
        {
            scores[i] = f32::NEG_INFINITY;
        }
    }
}
