//! Edits of the next-token scores, one idea in each file, with transformers' arithmetic.
//!
//! Reference: `generation/logits_process.py`, transformers 5.23. The golden data of
//! `tests/logits_process.rs` come from it.

mod bad_words;
mod build;
mod candidates;
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
pub(crate) use build::{Choosing, Left};
pub(crate) use build::{ids, known};
pub use candidates::Candidates;
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

    /// What of the scores it can change, which spares a device to send them all: one that only removes tokens lets
    /// it choose the next token by itself, one that looks at a few candidates lets it send those. A list asks
    /// once, when the processor is added.
    fn effect(&self) -> Effect {
        Effect::Any
    }
}

/// What a [`LogitsProcessor`] does to scores, from less to more.
///
/// What a processor says here holds on every device. Tokens are the same on all of them.
///
/// | | runs on | a GPU sends, for each token | is waited for |
/// |---|---|---|---|
/// | `RemovesByLength` or less | scores that are all 1, to find out what it removes | the token | no |
/// | `RemovesByTokens` | the same | the token | yes |
/// | `Candidates(k)` | all scores, of which `k` are left | `8 k` bytes | yes |
/// | `Any` | all scores | all scores, `4 V` bytes | yes |
///
/// Of several processors the first that does more than to remove tokens decides: behind one that sees candidates, all
/// others see what it left. Where the model runs on the CPU, with beams, with settings that change scores
/// themselves (`sequence_bias`, `exponential_decay_length_penalty` and the like), and where `k` is half of the
/// vocabulary or more, all scores are looked at, and the others removed there.
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
    /// Anything, to the best so many tokens: before it is run, all others are removed, as by [`Candidates`]. At
    /// least 1. Of tokens with equal scores the lower ones are taken.
    Candidates(usize),
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
