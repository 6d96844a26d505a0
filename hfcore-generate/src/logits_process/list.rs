//! Processors, one after the other.

use std::ops::Range;

use hfcore_kernels::sample::keep_best;

use super::{Effect, LogitsProcessor, candidates};
use crate::error::GenerateError;

/// Processors that run in order; a processor itself.
///
/// ```
/// use hfcore_generate::logits_process::{RepetitionPenalty, Temperature, TopK};
/// use hfcore_generate::{GenerateError, LogitsProcessor, LogitsProcessorList};
///
/// # fn main() -> Result<(), GenerateError> {
/// let mut processors = LogitsProcessorList::new()
///     .with(RepetitionPenalty::new(2.0)?)
///     .with(Temperature::new(0.5)?)
///     .with(TopK::new(2, 1)?);
/// let mut scores = [4.0, 3.0, 2.5];
/// processors.process(&[0], &mut scores);
/// assert_eq!(scores, [f32::NEG_INFINITY, 6.0, 5.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct LogitsProcessorList<'a> {
    processors: Vec<(Box<dyn LogitsProcessor + 'a>, Effect)>,
}

impl<'a> LogitsProcessorList<'a> {
    /// No processor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add `processor` at the end.
    #[must_use]
    pub fn with(mut self, processor: impl LogitsProcessor + 'a) -> Self {
        self.push(processor);
        self
    }

    /// [`with`](Self::with), in place.
    pub fn push(&mut self, processor: impl LogitsProcessor + 'a) {
        let effect = processor.effect();
        self.processors.push((Box::new(processor), effect));
    }

    /// Number of processors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.processors.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processors.is_empty()
    }

    /// `Err` if one of them wants no candidates.
    pub(crate) fn check(&self) -> Result<(), GenerateError> {
        (self.effects()).try_for_each(|effect| match effect {
            Effect::Candidates(count) => candidates::check(count),
            _ => Ok(()),
        })
    }

    /// What those do that come first and only remove tokens, and what the first does that does more.
    pub(crate) fn stages(&self) -> (Effect, Option<Effect>) {
        let removing = self.removing();
        let removes = self.effects().take(removing).max();
        let rest = self.effects().nth(removing);
        (removes.unwrap_or(Effect::None), rest)
    }

    /// Run those that come first and only remove tokens.
    pub(crate) fn process_removing(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self.process_some(0..self.removing(), tokens, scores);
    }

    /// Run those behind them.
    pub(crate) fn process_rest(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self.process_some(self.removing()..self.len(), tokens, scores);
    }

    fn process_some(&mut self, some: Range<usize>, tokens: &[u32], scores: &mut [f32]) {
        for (processor, effect) in &mut self.processors[some] {
            if let Effect::Candidates(count) = *effect {
                keep_best(scores, count);
            }
            processor.process(tokens, scores);
        }
    }

    /// How many come first that only remove tokens.
    fn removing(&self) -> usize {
        let more = |effect| effect > Effect::RemovesByTokens;
        self.effects().position(more).unwrap_or(self.len())
    }

    fn effects(&self) -> impl Iterator<Item = Effect> {
        self.processors.iter().map(|(_, effect)| *effect)
    }
}

impl LogitsProcessor for LogitsProcessorList<'_> {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self.process_some(0..self.len(), tokens, scores);
    }

    fn effect(&self) -> Effect {
        // What cannot be asked for is told, wherever it stands.
        if self.check().is_err() {
            return Effect::Candidates(0);
        }
        match self.stages() {
            (removes, None) => removes,
            // Behind others are the candidates of what those leave, which the list finds by itself.
            (Effect::None, Some(candidates)) => candidates,
            (_, Some(_)) => Effect::Any,
        }
    }
}

impl std::fmt::Debug for LogitsProcessorList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LogitsProcessorList({} processors)",
            self.processors.len()
        )
    }
}
