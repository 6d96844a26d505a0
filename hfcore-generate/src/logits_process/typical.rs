//! Only tokens about as surprising as the distribution is on average.
//!
//! Meister et al., *Locally Typical Sampling* (<https://arxiv.org/abs/2202.00666>).
//! Reference: `TypicalLogitsWarper`.

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};
use crate::math;

/// Keeps the tokens whose `-ln p` is nearest to the entropy, until they have `typical_p` together.
#[derive(Clone, Copy, Debug)]
pub struct TypicalP {
    mass: f64,
    min_tokens_to_keep: usize,
}

impl TypicalP {
    /// A probability between 0 and 1, both excluded.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(typical_p: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        require(
            typical_p > 0.0 && typical_p < 1.0,
            "typical_p",
            &typical_p,
            "a number between 0 and 1",
        )?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            mass: typical_p,
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for TypicalP {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        let mut log_probs = scores.to_vec();
        math::log_softmax(&mut log_probs);
        let entropy = -(log_probs.iter())
            .map(|&l| l * l.exp())
            .filter(|term| !term.is_nan())
            .fold(0.0, |sum, term| sum + f64::from(term));
        let entropy = math::narrow(entropy);
        let shifted: Vec<f32> = log_probs.iter().map(|&l| (-l - entropy).abs()).collect();
        if shifted.iter().any(|s| s.is_nan()) {
            return;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| math::order(shifted[a], shifted[b]));
        let probs = math::softmax(scores);
        let mass = math::narrow(self.mass);
        let below = math::cumsum(order.iter().map(|&i| probs[i]))
            .iter()
            .filter(|sum| **sum < mass)
            .count();
        let Some(&last) = order.get(below.min(order.len().saturating_sub(1))) else {
            return;
        };
        for &i in order.iter().skip(self.min_tokens_to_keep) {
            if shifted[i] > shifted[last] {
                scores[i] = f32::NEG_INFINITY;
            }
        }
    }
}
