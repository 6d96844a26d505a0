//! Only tokens above a probability: fixed (epsilon), or lower where the entropy is high (eta).
//!
//! Hewitt et al., *Truncation Sampling as Language Model Desmoothing* (<https://arxiv.org/abs/2210.15191>).
//! Reference: `EpsilonLogitsWarper`, `EtaLogitsWarper`.

use super::{LogitsProcessor, require_min_tokens};
use crate::error::{GenerateError, require};
use crate::math;

/// Removes tokens less likely than a probability.
#[derive(Clone, Copy, Debug)]
pub struct EpsilonCutoff {
    epsilon: f32,
    min_tokens_to_keep: usize,
}

impl EpsilonCutoff {
    /// A probability between 0 and 1, both excluded.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(epsilon_cutoff: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        let ok = epsilon_cutoff > 0.0 && epsilon_cutoff < 1.0;
        require(
            ok,
            "epsilon_cutoff",
            &epsilon_cutoff,
            "a number between 0 and 1",
        )?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            epsilon: math::narrow(epsilon_cutoff),
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for EpsilonCutoff {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        cut(scores, self.epsilon, self.min_tokens_to_keep);
    }
}

/// Removes tokens less likely than `min(eta, sqrt(eta) exp(-entropy))`.
#[derive(Clone, Copy, Debug)]
pub struct EtaCutoff {
    epsilon: f32,
    min_tokens_to_keep: usize,
}

impl EtaCutoff {
    /// A probability between 0 and 1, both excluded.
    ///
    /// # Errors
    /// If it is not, or `min_tokens_to_keep` is 0.
    pub fn new(eta_cutoff: f64, min_tokens_to_keep: usize) -> Result<Self, GenerateError> {
        let ok = eta_cutoff > 0.0 && eta_cutoff < 1.0;
        require(ok, "eta_cutoff", &eta_cutoff, "a number between 0 and 1")?;
        require_min_tokens(min_tokens_to_keep)?;
        Ok(Self {
            epsilon: math::narrow(eta_cutoff),
            min_tokens_to_keep,
        })
    }
}

impl LogitsProcessor for EtaCutoff {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        let eta = self
            .epsilon
            .min(self.epsilon.sqrt() * (-math::entropy(scores)).exp());
        cut(scores, eta, self.min_tokens_to_keep);
    }
}

/// Remove tokens less likely than `threshold`, but none of the `min_tokens_to_keep` likeliest.
fn cut(scores: &mut [f32], threshold: f32, min_tokens_to_keep: usize) {
    if scores.is_empty() {
        return;
    }
    let probs = math::softmax(scores);
    let kept = math::kth_largest(scores, min_tokens_to_keep.min(scores.len()));
    math::remove_unless(scores, |i, score| !(probs[i] < threshold && score < kept));
}
