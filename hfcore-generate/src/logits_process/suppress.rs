//! Tokens that are never generated, or not first.
//!
//! Reference: `SuppressTokensLogitsProcessor`, `SuppressTokensAtBeginLogitsProcessor`.

use super::{Effect, LogitsProcessor, score_mut};

/// Removes tokens at every step.
#[derive(Clone, Debug)]
pub struct SuppressTokens {
    tokens: Vec<u32>,
}

impl SuppressTokens {
    /// Never these.
    #[must_use]
    pub fn new(suppress_tokens: &[u32]) -> Self {
        Self {
            tokens: suppress_tokens.to_vec(),
        }
    }
}

impl LogitsProcessor for SuppressTokens {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        for &token in &self.tokens {
            if let Some(score) = score_mut(scores, token) {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}

/// Removes tokens where the first one is generated.
#[derive(Clone, Debug)]
pub struct SuppressTokensAtBegin {
    tokens: SuppressTokens,
    begin_index: usize,
}

impl SuppressTokensAtBegin {
    /// Not these while the sequence has `begin_index` tokens.
    #[must_use]
    pub fn new(begin_suppress_tokens: &[u32], begin_index: usize) -> Self {
        Self {
            tokens: SuppressTokens::new(begin_suppress_tokens),
            begin_index,
        }
    }
}

impl LogitsProcessor for SuppressTokensAtBegin {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() == self.begin_index {
            self.tokens.process(tokens, scores);
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}
