//! Processors, one after the other.

use super::{Effect, LogitsProcessor};

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
    processors: Vec<Box<dyn LogitsProcessor + 'a>>,
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
        self.processors.push(Box::new(processor));
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
}

impl LogitsProcessor for LogitsProcessorList<'_> {
    fn process(&mut self, tokens: &[u32], scores: &mut [f32]) {
        self.processors
            .iter_mut()
            .for_each(|processor| processor.process(tokens, scores));
    }

    fn effect(&self) -> Effect {
        (self.processors.iter())
            .map(|processor| processor.effect())
            .max()
            .unwrap_or(Effect::None)
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
