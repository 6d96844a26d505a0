//! A first or last token that leaves no choice.
//!
//! Reference: `ForcedBOSTokenLogitsProcessor`, `ForcedEOSTokenLogitsProcessor`.

use super::{Effect, LogitsProcessor, score_mut};

/// Forces the token after the first: the language of a translation, behind `decoder_start_token_id`.
#[derive(Clone, Debug)]
pub struct ForcedBosToken {
    token: u32,
}

impl ForcedBosToken {
    /// This one.
    #[must_use]
    pub const fn new(forced_bos_token_id: u32) -> Self {
        Self {
            token: forced_bos_token_id,
        }
    }
}

impl LogitsProcessor for ForcedBosToken {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() == 1 {
            force(&[self.token], scores);
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}

/// Forces an end token where `max_length` is reached.
#[derive(Clone, Debug)]
pub struct ForcedEosToken {
    max_length: usize,
    tokens: Vec<u32>,
}

impl ForcedEosToken {
    /// One of these as the token with which a sequence has `max_length` tokens.
    #[must_use]
    pub fn new(max_length: usize, forced_eos_token_ids: &[u32]) -> Self {
        Self {
            max_length,
            tokens: forced_eos_token_ids.to_vec(),
        }
    }
}

impl LogitsProcessor for ForcedEosToken {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if tokens.len() + 1 == self.max_length {
            force(&self.tokens, scores);
        }
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByLength
    }
}

fn force(tokens: &[u32], scores: &mut [f32]) {
    scores.fill(f32::NEG_INFINITY);
    for &token in tokens {
        if let Some(score) = score_mut(scores, token) {
            *score = 0.0;
        }
    }
}
