//! No sequence of `n` tokens occurs twice.
//!
//! Reference: `NoRepeatNGramLogitsProcessor`, `EncoderNoRepeatNGramLogitsProcessor`.

use super::{Effect, LogitsProcessor, score_mut};
use crate::error::{GenerateError, require};

/// Removes the tokens that would complete an n-gram of the prompt or of what was generated.
#[derive(Clone, Debug)]
pub struct NoRepeatNGram {
    size: usize,
}

impl NoRepeatNGram {
    /// N-grams of `size` tokens, at least 1.
    ///
    /// # Errors
    /// If it is 0.
    pub fn new(size: usize) -> Result<Self, GenerateError> {
        require(size > 0, "no_repeat_ngram_size", &size, "at least 1")?;
        Ok(Self { size })
    }
}

impl LogitsProcessor for NoRepeatNGram {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        ban(self.size, tokens, tokens, scores);
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByTokens
    }
}

/// Removes the tokens that would complete an n-gram of the encoder's input.
#[derive(Clone, Debug)]
pub struct EncoderNoRepeatNGram {
    size: usize,
    tokens: Vec<u32>,
}

impl EncoderNoRepeatNGram {
    /// N-grams of `size` tokens, at least 1, of the encoder's input; of the prompt, where there is no
    /// encoder.
    ///
    /// # Errors
    /// If `size` is 0.
    pub fn new(size: usize, encoder_tokens: &[u32]) -> Result<Self, GenerateError> {
        require(
            size > 0,
            "encoder_no_repeat_ngram_size",
            &size,
            "at least 1",
        )?;
        Ok(Self {
            size,
            tokens: encoder_tokens.to_vec(),
        })
    }
}

impl LogitsProcessor for EncoderNoRepeatNGram {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        ban(self.size, &self.tokens, tokens, scores);
    }

    fn effect(&self) -> Effect {
        Effect::RemovesByTokens
    }
}

/// Remove what follows the last `size - 1` of `tokens` anywhere in `text`.
fn ban(size: usize, text: &[u32], tokens: &[u32], scores: &mut [f32]) {
    let Some(start) = (tokens.len() + 1).checked_sub(size) else {
        return;
    };
    let prefix = &tokens[start..];
    for window in text.windows(size) {
        if let Some((&last, head)) = window.split_last()
            && head == prefix
            && let Some(score) = score_mut(scores, last)
        {
            *score = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_beginning_of_an_ngram_counts() {
        // The text ends with 5 7: 9 came behind that; 3 came behind 5 8, 4 behind 6 7.
        let tokens = [5, 7, 9, 5, 8, 3, 6, 7, 4, 5, 7];
        let mut scores = [0.0; 10];
        NoRepeatNGram::new(3).unwrap().process(&tokens, &mut scores);
        let removed: Vec<usize> = (0..10)
            .filter(|&i| scores[i] == f32::NEG_INFINITY)
            .collect();
        assert_eq!(removed, [9]);
    }
}
