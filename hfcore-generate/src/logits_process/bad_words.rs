//! Sequences that must not be generated.
//!
//! Reference: `NoBadWordsLogitsProcessor`: a [`SequenceBias`] of `-inf`.

use super::{Effect, LogitsProcessor, SequenceBias};
use crate::error::{GenerateError, require};

/// Removes the token that would complete a bad word.
#[derive(Clone, Debug)]
pub struct NoBadWords {
    biases: Option<SequenceBias>,
}

impl NoBadWords {
    /// The bad words, each of at least one token. An end token that is a word of its own is left out:
    /// generation could not end otherwise.
    ///
    /// # Errors
    /// If there is no word, or an empty one.
    pub fn new(bad_words_ids: &[Vec<u32>], eos_token_ids: &[u32]) -> Result<Self, GenerateError> {
        require(
            !bad_words_ids.is_empty(),
            "bad_words_ids",
            &bad_words_ids,
            "a list of at least one sequence",
        )?;
        let words: Vec<_> = (bad_words_ids.iter())
            .filter(|word| !matches!(word[..], [id] if eos_token_ids.contains(&id)))
            .map(|word| (word.clone(), f64::NEG_INFINITY))
            .collect();
        let biases = if words.is_empty() {
            None
        } else {
            Some(SequenceBias::named("bad_words_ids", &words)?)
        };
        Ok(Self { biases })
    }
}

impl LogitsProcessor for NoBadWords {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        if let Some(biases) = &mut self.biases {
            biases.process(tokens, scores);
        }
    }

    fn effect(&self) -> Effect {
        match &self.biases {
            None => Effect::None,
            Some(biases) if biases.is_of_tokens() => Effect::RemovesByLength,
            Some(_) => Effect::RemovesByTokens,
        }
    }
}
