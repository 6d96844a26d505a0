//! No end before a length is reached.
//!
//! Reference: `MinLengthLogitsProcessor`, `MinNewTokensLengthLogitsProcessor`.

use super::{Effect, LogitsProcessor, score_mut};

/// Removes the end tokens while the sequence, prompt included, is shorter than a length.
#[derive(Clone, Debug)]
pub struct MinLength {
    min_length: usize,
    eos_token_ids: Vec<u32>,
}

impl MinLength {
    /// At least `min_length` tokens, prompt included.
    #[must_use]
    pub fn new(min_length: usize, eos_token_ids: &[u32]) -> Self {
        Self {
            min_length,
            eos_token_ids: eos_token_ids.to_vec(),
        }
    }
}

impl LogitsProcessor for MinLength {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() < self.min_length {
            for &token in &self.eos_token_ids {
                if let Some(score) = score_mut(scores, token) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}

/// Removes the end tokens while fewer than a number of new tokens have been generated.
#[derive(Clone, Debug)]
pub struct MinNewTokens(MinLength);

impl MinNewTokens {
    /// At least `min_new_tokens` after the `prompt_len` of the prompt.
    #[must_use]
    pub fn new(prompt_len: usize, min_new_tokens: usize, eos_token_ids: &[u32]) -> Self {
        Self(MinLength::new(
            prompt_len.saturating_add(min_new_tokens),
            eos_token_ids,
        ))
    }
}

impl LogitsProcessor for MinNewTokens {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self.0.process(tokens, scores);
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}
