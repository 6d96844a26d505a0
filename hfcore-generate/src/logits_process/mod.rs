//! Edits of the next-token scores, one idea in each file, with transformers' arithmetic.
//!
//! Reference: `generation/logits_process.py`, transformers 5.23. The golden data of
//! `tests/logits_process.rs` come from it.

mod bad_words;
mod build;
mod cutoff;
mod exponential_decay;
mod forced;
mod invalid_values;
mod list;
mod min_length;
mod min_p;
mod no_repeat_ngram;
mod normalization;
mod repetition_penalty;
mod sequence_bias;
mod suppress;
mod temperature;
mod top_h;
mod top_k;
mod top_p;
mod typical;

pub use bad_words::NoBadWords;
pub use build::{Chain, ChainInput};
pub(crate) use build::{ids, known};
pub use cutoff::{EpsilonCutoff, EtaCutoff};
pub use exponential_decay::ExponentialDecayLengthPenalty;
pub use forced::{ForcedBosToken, ForcedEosToken};
pub use invalid_values::RemoveInvalidValues;
pub use list::LogitsProcessorList;
pub use min_length::{MinLength, MinNewTokens};
pub use min_p::MinP;
pub use no_repeat_ngram::{EncoderNoRepeatNGram, NoRepeatNGram};
pub use normalization::LogitNormalization;
pub use repetition_penalty::{EncoderRepetitionPenalty, RepetitionPenalty};
pub use sequence_bias::SequenceBias;
pub use suppress::{SuppressTokens, SuppressTokensAtBegin};
pub use temperature::Temperature;
pub use top_h::TopH;
pub use top_k::TopK;
pub use top_p::TopP;
pub use typical::TypicalP;

use crate::error::GenerateError;

/// One edit of the next-token scores.
///
/// `scores` is `[V]`; a removed token is `-inf`. `tokens` is one sequence, the prompt and all since.
/// In a batch or a beam search one processor sees every sequence, one after the other.
///
/// Any closure is one:
///
/// ```
/// use hfcore_generate::LogitsProcessor;
///
/// let mut never_7 = |_: &[u32], scores: &mut [f32]| scores[7] = f32::NEG_INFINITY;
/// let mut scores = [0.0; 8];
/// never_7.process(&[1, 2], &mut scores);
/// assert_eq!(scores[7], f32::NEG_INFINITY);
/// ```
pub trait LogitsProcessor: Send {
    /// Edit `scores`.
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]);

    /// What of the scores it can change. One that only removes tokens lets a device choose the next token
    /// by itself: it is then run on scores that are all 1, to find out which.
    fn effect(&self) -> Effect {
        Effect::Any
    }
}

/// What a [`LogitsProcessor`] does to scores, from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing.
    None,
    /// It removes tokens, or gives all that it leaves the score 0. Which ones depends on the number of
    /// tokens so far, and on nothing else: not on the scores, and not on how often it was asked.
    RemovesByLength,
    /// It removes tokens. Which ones depends on the tokens so far, and on nothing else.
    RemovesByTokens,
    /// Anything. It has to see every score.
    Any,
}

impl<F: FnMut(&[u32], &mut [f32]) + Send> LogitsProcessor for F {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self(tokens, scores);
    }
}

/// The score of `token`, where the model can produce it: an embedding may have more rows than the
/// logits have columns.
fn score_mut(scores: &mut [f32], token: u32) -> Option<&mut f32> {
    scores.get_mut(usize::try_from(token).ok()?)
}

/// `Err` unless `min_tokens_to_keep` is at least one.
fn require_min_tokens(min_tokens_to_keep: usize) -> Result<(), GenerateError> {
    crate::error::require(
        min_tokens_to_keep > 0,
        "min_tokens_to_keep",
        &min_tokens_to_keep,
        "at least 1",
    )
}
