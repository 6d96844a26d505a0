//! A processor that sees the best tokens only.

use hfcore_kernels::sample::keep_best;

use super::{Effect, LogitsProcessor};
use crate::error::{GenerateError, require};

/// Shows another processor the best so many tokens, and removes all others: [`Effect::Candidates`], for closures and for
/// processors that do not say it themselves.
///
/// `scores` keeps its width, and a token its place in it, so what is written for all scores runs as it is. The
/// processor may also bring back a token that was removed, such as the one that a grammar demands.
///
/// ```
/// use hfcore_generate::LogitsProcessor;
/// use hfcore_generate::logits_process::Candidates;
/// # fn main() -> Result<(), hfcore_generate::GenerateError> {
/// // Of the three best tokens, even ones are half as likely.
/// let mut seldom_even = Candidates::new(3, |_: &[u32], scores: &mut [f32]| {
///     (scores.iter_mut().step_by(2)).for_each(|score| *score -= std::f32::consts::LN_2);
/// })?;
/// let mut scores = [0.5, 3.0, 1.0, 2.0];
/// seldom_even.process(&[], &mut scores);
/// assert_eq!(scores, [f32::NEG_INFINITY, 3.0, 1.0 - std::f32::consts::LN_2, 2.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Candidates<P> {
    count: usize,
    processor: P,
}

impl<P: LogitsProcessor> Candidates<P> {
    /// The `count` best tokens for `processor`; of tokens with equal scores the lower ones.
    ///
    /// # Errors
    /// If `count` is 0.
    pub fn new(count: usize, processor: P) -> Result<Self, GenerateError> {
        check(count)?;
        Ok(Self { count, processor })
    }
}

impl<P: LogitsProcessor> LogitsProcessor for Candidates<P> {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        keep_best(scores, self.count);
        self.processor.process(tokens, scores);
    }

    fn effect(&self) -> Effect {
        Effect::Candidates(self.count)
    }
}

/// `Err` if a processor wants no candidates.
pub(super) fn check(count: usize) -> Result<(), GenerateError> {
    require(
        count > 0,
        "the number of candidates of a logits processor",
        &count,
        "at least 1",
    )
}
