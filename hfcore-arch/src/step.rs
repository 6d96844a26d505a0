//! One step of a decoder: new tokens of any number of sequences, without padding.

use crate::cache::SequenceId;

/// New tokens of some sequences, one after the other: `tokens: [T]`, cut into spans.
///
/// A step may mix whole prompts and single tokens. Positions are the cache's: a span goes on where its
/// sequence stands.
#[derive(Clone, Debug, Default)]
pub struct Step {
    tokens: Vec<u32>,
    spans: Vec<Span>,
    logits: Vec<usize>,
}

/// The tokens of one sequence in a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The sequence that goes on.
    pub sequence: SequenceId,
    /// Its new tokens.
    pub len: usize,
}

/// For which of a span's tokens the logits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogitsFor {
    /// For none: the tokens are only remembered.
    None,
    /// For the last token.
    Last,
    /// For every token.
    All,
}

impl Step {
    /// A step of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add `tokens` to `sequence`, and their logits to the result.
    #[must_use]
    pub fn with(mut self, sequence: SequenceId, tokens: &[u32], logits: LogitsFor) -> Self {
        self.push(sequence, tokens, logits);
        self
    }

    /// [`with`](Self::with), in place.
    pub fn push(&mut self, sequence: SequenceId, tokens: &[u32], logits: LogitsFor) {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.spans.push(Span {
            sequence,
            len: tokens.len(),
        });
        match logits {
            LogitsFor::None => {}
            LogitsFor::Last => self.logits.extend(self.tokens.len().checked_sub(1)),
            LogitsFor::All => self.logits.extend(start..self.tokens.len()),
        }
    }

    /// The tokens of all spans, `[T]`.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The spans, in order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The rows of `tokens` whose logits are wanted, in order.
    #[must_use]
    pub fn logits(&self) -> &[usize] {
        &self.logits
    }
}
