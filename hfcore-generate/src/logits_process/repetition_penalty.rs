//! Repetition penalty: scores of tokens that occurred are divided by it, or multiplied where negative.
//!
//! Keskar et al., *CTRL* (<https://arxiv.org/abs/1909.05858>).
//! Reference: `RepetitionPenaltyLogitsProcessor`, `EncoderRepetitionPenaltyLogitsProcessor`.

use std::collections::HashSet;

use hfcore_kernels::sample::penalized;

use super::{LogitsProcessor, score_mut};
use crate::error::{GenerateError, require};
use crate::math::narrow;

/// Makes tokens of the prompt and of what was generated less likely (above 1) or more (below 1).
#[derive(Clone, Debug)]
pub struct RepetitionPenalty {
    penalty: f32,
    seen: HashSet<u32>,
}

impl RepetitionPenalty {
    /// A penalty above 0; 1 changes nothing.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(penalty: f64) -> Result<Self, GenerateError> {
        require(
            penalty > 0.0 && penalty.is_finite(),
            "repetition_penalty",
            &penalty,
            "a number above 0",
        )?;
        Ok(Self {
            penalty: narrow(penalty),
            seen: HashSet::new(),
        })
    }
}

impl LogitsProcessor for RepetitionPenalty {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        // Once for each distinct token, however often it occurred.
        self.seen.clear();
        for &token in tokens {
            if self.seen.insert(token) {
                penalize(token, scores, self.penalty);
            }
        }
    }
}

/// Makes tokens of the encoder's input more likely (above 1): a penalty on hallucinations.
#[derive(Clone, Debug)]
pub struct EncoderRepetitionPenalty {
    penalty: f32,
    tokens: Vec<u32>,
}

impl EncoderRepetitionPenalty {
    /// A penalty above 0, and the encoder's input; the prompt, where there is no encoder.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(penalty: f64, encoder_tokens: &[u32]) -> Result<Self, GenerateError> {
        require(
            penalty > 0.0 && penalty.is_finite(),
            "encoder_repetition_penalty",
            &penalty,
            "a number above 0",
        )?;
        let mut tokens = encoder_tokens.to_vec();
        tokens.sort_unstable();
        tokens.dedup();
        Ok(Self {
            penalty: narrow(1.0 / penalty),
            tokens,
        })
    }
}

impl LogitsProcessor for EncoderRepetitionPenalty {
    fn process(&mut self, _: &[u32], scores: &mut [f32]) {
        self.tokens
            .iter()
            .for_each(|&token| penalize(token, scores, self.penalty));
    }
}

fn penalize(token: u32, scores: &mut [f32], penalty: f32) {
    if let Some(score) = score_mut(scores, token) {
        *score = penalized(*score, penalty);
    }
}
