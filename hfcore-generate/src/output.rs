//! What a generation yields, and what it leaves.

use std::time::Duration;

use crate::stopping_criteria::FinishReason;

/// A new token of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// The token.
    pub id: u32,
    /// Which sequence it belongs to: index of the prompt times `num_return_sequences`, plus rank.
    pub sequence: usize,
    /// Why the sequence ends with this token, if it does.
    pub finish_reason: Option<FinishReason>,
}

/// A prompt and its continuation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sequence {
    /// The prompt and the new tokens.
    pub tokens: Vec<u32>,
    /// How many of them are the prompt: of the decoder's, where there are two.
    pub prompt_len: usize,
    /// Why it ended; `None` while it has not.
    pub finish_reason: Option<FinishReason>,
    /// With beams, transformers' `sequences_scores`: the sum of log-probabilities divided by
    /// `len.pow(length_penalty)`.
    pub score: Option<f32>,
}

impl Sequence {
    /// The tokens behind the prompt.
    #[must_use]
    pub fn new_tokens(&self) -> &[u32] {
        &self.tokens[self.prompt_len..]
    }
}

/// What a generation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Tokens of all sequences behind their prompts.
    pub new_tokens: usize,
    /// Steps of the model.
    pub steps: usize,
    /// Time from the start to the first logits, an encoder included.
    pub prefill: Duration,
    /// Time since then.
    pub decode: Duration,
}

/// All sequences of a generation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// `num_return_sequences` for each prompt, in the prompts' order; with beams, best first.
    pub sequences: Vec<Sequence>,
    /// What they cost.
    pub usage: Usage,
    /// The token that rows are filled with in front: `pad_token_id`, else the first end token.
    pub pad_token_id: Option<u32>,
    /// The token that rows are filled with behind: the same, but for beams, where transformers takes a
    /// `pad_token_id` of 0 for none.
    pub fill_token_id: Option<u32>,
}

impl Output {
    /// The rows of the tensor that transformers' `generate` returns: prompts filled up on the left,
    /// results on the right. `None` if rows differ in length and there is no token to fill them with.
    #[must_use]
    pub fn padded(&self) -> Option<Vec<Vec<u32>>> {
        let widest =
            |len: fn(&Sequence) -> usize| self.sequences.iter().map(len).max().unwrap_or(0);
        let prompt = widest(|s| s.prompt_len);
        let new = widest(|s| s.new_tokens().len());
        let rows = self.sequences.iter().map(|s| {
            let mut row = fill(prompt - s.prompt_len, self.pad_token_id)?;
            row.extend_from_slice(&s.tokens);
            row.extend(fill(new - s.new_tokens().len(), self.fill_token_id)?);
            Some(row)
        });
        rows.collect()
    }
}

fn fill(count: usize, token: Option<u32>) -> Option<Vec<u32>> {
    match (count, token) {
        (0, _) => Some(Vec::new()),
        (_, Some(token)) => Some(vec![token; count]),
        (_, None) => None,
    }
}
