//! When a sequence ends.
//!
//! Reference: `generation/stopping_criteria.py`, transformers 5.23. As there, the end token, the stop
//! string and the token that made a criterion true stay in the sequence.

use std::time::{Duration, Instant};

use crate::stop_strings::StopStrings;

/// A reason of one's own to end a sequence.
///
/// `tokens` is the sequence with the newest token; `scores`, `[V]`, is what that token was chosen by.
/// Any closure is one. In a batch or a beam search one criterion sees every sequence.
///
/// ```
/// use hfcore_generate::StoppingCriteria;
///
/// let mut at_ten = |tokens: &[u32], _: &[f32]| tokens.len() >= 10;
/// assert!(!at_ten.should_stop(&[1, 2, 3], &[]));
/// ```
pub trait StoppingCriteria: Send {
    /// Whether the sequence ends here.
    fn should_stop(&mut self, tokens: &[u32], scores: &[f32]) -> bool;
}

impl<F: FnMut(&[u32], &[f32]) -> bool + Send> StoppingCriteria for F {
    fn should_stop(&mut self, tokens: &[u32], scores: &[f32]) -> bool {
        self(tokens, scores)
    }
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// Its last token is one of `eos_token_id`.
    Eos,
    /// Its text contains a stop string, and the last token took part in it.
    StopString {
        /// Index of the string in `stop_strings`.
        index: usize,
    },
    /// It has `max_length` tokens.
    MaxLength,
    /// `max_time` is over.
    MaxTime,
    /// A [`StoppingCriteria`] said so.
    StoppingCriteria,
    /// A [`CancelToken`](crate::CancelToken) was used.
    Cancelled,
    /// An error ended it; the iterator has told which.
    Error,
}

/// All criteria of a generation.
pub(crate) struct Stopping<'a> {
    pub(crate) eos_token_ids: Vec<u32>,
    pub(crate) stop_strings: Option<StopStrings<'a>>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) started: Instant,
    pub(crate) user: Vec<Box<dyn StoppingCriteria + 'a>>,
}

impl Stopping<'_> {
    /// Whether `tokens` ends here. Every user criterion is asked every time, as it may count.
    pub(crate) fn check(
        &mut self,
        tokens: &[u32],
        max_length: usize,
        scores: &[f32],
    ) -> Option<FinishReason> {
        let user = self.user.iter_mut().fold(false, |stop, criterion| {
            criterion.should_stop(tokens, scores) | stop
        });
        if tokens
            .last()
            .is_some_and(|last| self.eos_token_ids.contains(last))
        {
            return Some(FinishReason::Eos);
        }
        if let Some(index) = self
            .stop_strings
            .as_ref()
            .and_then(|strings| strings.ends(tokens))
        {
            return Some(FinishReason::StopString { index });
        }
        if tokens.len() >= max_length {
            Some(FinishReason::MaxLength)
        } else if self
            .max_time
            .is_some_and(|max| self.started.elapsed() > max)
        {
            Some(FinishReason::MaxTime)
        } else {
            user.then_some(FinishReason::StoppingCriteria)
        }
    }
}
