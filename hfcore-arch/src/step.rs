//! One step of a decoder: new tokens of any number of sequences, without padding.

use std::ops::Range;

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

    /// The same tokens in the same order as several steps, of at most `rows` tokens and about as many each.
    pub(crate) fn parts(&self, rows: usize) -> Vec<Self> {
        let total = self.tokens.len();
        let count = total.div_ceil(rows.max(1)).max(1);
        let parts = (0..count).map(|i| i * total / count..(i + 1) * total / count);
        let part = |range: Range<usize>| {
            let mut start = 0;
            let spans = self.spans.iter().filter_map(|span| {
                let end = start + span.len;
                let len = end.min(range.end).saturating_sub(start.max(range.start));
                start = end;
                (len > 0).then_some(Span { len, ..*span })
            });
            Self {
                tokens: self.tokens[range.clone()].to_vec(),
                spans: spans.collect(),
                logits: (self.logits.iter())
                    .filter(|row| range.contains(row))
                    .map(|row| row - range.start)
                    .collect(),
            }
        };
        parts.map(part).collect()
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

#[cfg(test)]
mod tests {
    use hfcore_kernels::Device;

    use super::*;
    use crate::cache::{Cache, CacheOptions};

    #[test]
    fn parts_have_every_token_and_logit_once() {
        let mut cache = Cache::new(&[], &CacheOptions::default(), &Device::cpu());
        let [a, b, c] = [cache.add(), cache.add(), cache.add()];
        let step = Step::new()
            .with(a, &[1, 2, 3, 4, 5], LogitsFor::Last)
            .with(b, &[6], LogitsFor::All)
            .with(c, &[7, 8, 9, 10], LogitsFor::None);
        let parts = step.parts(4);
        let spans = |part: &Step| {
            let span = |span: &Span| (span.sequence, span.len);
            part.spans().iter().map(span).collect::<Vec<_>>()
        };
        let sizes: Vec<_> = parts.iter().map(|part| part.tokens().len()).collect();
        assert_eq!(sizes, [3, 3, 4]);
        assert_eq!(parts[0].tokens(), [1, 2, 3]);
        assert_eq!(spans(&parts[0]), [(a, 3)]);
        assert_eq!(parts[1].tokens(), [4, 5, 6]);
        assert_eq!(spans(&parts[1]), [(a, 2), (b, 1)]);
        assert_eq!(spans(&parts[2]), [(c, 4)]);
        let logits: Vec<_> = parts.iter().map(Step::logits).collect();
        assert_eq!(logits, [[].as_slice(), &[1, 2], &[]]);
        let whole = step.parts(10);
        assert_eq!(
            (whole.len(), spans(&whole[0]), whole[0].logits()),
            (1, spans(&step), step.logits())
        );
    }
}
