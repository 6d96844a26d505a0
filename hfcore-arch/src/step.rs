//! One step of a decoder: new tokens of any number of sequences, without padding.

use std::ops::Range;

use hfcore_kernels::sample::Drawn;

use crate::cache::SequenceId;
use crate::error::ForwardError;

/// New tokens of some sequences, one after the other: `tokens: [T]`, cut into spans.
///
/// A step may mix whole prompts and single tokens. Positions are the cache's: a span goes on where its
/// sequence stands.
///
/// The tokens are known, or they are tokens that a device has [drawn](Self::push_drawn) and the host need
/// not know.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// 0 for those that are drawn.
    tokens: Vec<u32>,
    drawn: Option<DrawnTokens>,
    spans: Vec<Span>,
    logits: Vec<usize>,
}

/// Tokens of a step that a device has drawn.
#[derive(Clone, Debug)]
pub(crate) struct DrawnTokens {
    pub(crate) tokens: Drawn,
    /// Which of them the step's tokens are, `[T]`.
    pub(crate) rows: Vec<usize>,
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
    ///
    /// # Panics
    /// If the step has tokens that are [drawn](Self::push_drawn).
    #[track_caller]
    pub fn push(&mut self, sequence: SequenceId, tokens: &[u32], logits: LogitsFor) {
        assert!(
            self.drawn.is_none(),
            "Step::push: the step's tokens are drawn"
        );
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

    /// Add token `row` of `drawn` to `sequence`, and its logits to the result. The token stays where it is.
    ///
    /// # Panics
    /// If there is no such token, or the step has tokens that are known, or others that are drawn.
    #[track_caller]
    pub fn push_drawn(&mut self, sequence: SequenceId, drawn: &Drawn, row: usize) {
        assert!(
            row < drawn.len(),
            "Step::push_drawn: token {row} of {}",
            drawn.len()
        );
        let own = self.drawn.get_or_insert_with(|| DrawnTokens {
            tokens: drawn.clone(),
            rows: Vec::new(),
        });
        assert!(
            own.rows.len() == self.tokens.len() && own.tokens.is(drawn),
            "Step::push_drawn: all tokens of a step are of one draw"
        );
        own.rows.push(row);
        self.logits.push(self.tokens.len());
        self.tokens.push(0);
        self.spans.push(Span { sequence, len: 1 });
    }

    /// The same step with all of its tokens known: those that are drawn are read, which waits for them. One
    /// that could not be drawn is token 0.
    ///
    /// # Errors
    /// If the device failed.
    pub fn known(&self) -> Result<Self, ForwardError> {
        let mut step = self.clone();
        if let Some(drawn) = step.drawn.take() {
            let tokens = drawn.tokens.read()?;
            for (token, &row) in step.tokens.iter_mut().zip(&drawn.rows) {
                *token = tokens[row].unwrap_or(0);
            }
        }
        Ok(step)
    }

    /// The tokens that are drawn, where they are.
    pub(crate) const fn drawn(&self) -> Option<&DrawnTokens> {
        self.drawn.as_ref()
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
                drawn: self.drawn.as_ref().map(|drawn| DrawnTokens {
                    tokens: drawn.tokens.clone(),
                    rows: drawn.rows[range.clone()].to_vec(),
                }),
                spans: spans.collect(),
                logits: (self.logits.iter())
                    .filter(|row| range.contains(row))
                    .map(|row| row - range.start)
                    .collect(),
            }
        };
        parts.map(part).collect()
    }

    /// The tokens of all spans, `[T]`; 0 in the place of one that is [drawn](Self::push_drawn), see
    /// [`known`](Self::known).
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
    use hfcore_kernels::sample::SampleError;

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

    #[test]
    fn drawn_tokens_are_read_where_they_must_be_known() {
        let mut cache = Cache::new(&[], &CacheOptions::default(), &Device::cpu());
        let [a, b] = [cache.add(), cache.add()];
        let drawn = Drawn::known(vec![Ok(7), Err(SampleError::Nan), Ok(9)]);
        let mut step = Step::new();
        step.push_drawn(a, &drawn, 2);
        step.push_drawn(b, &drawn, 1);
        assert_eq!(
            (step.tokens(), step.logits()),
            ([0, 0].as_slice(), [0, 1].as_slice())
        );
        assert_eq!(step.known().unwrap().tokens(), [9, 0]);
        let parts = step.parts(1);
        assert_eq!(parts[0].known().unwrap().tokens(), [9]);
        assert_eq!(parts[1].drawn().unwrap().rows, [1]);
    }

    #[test]
    #[should_panic(expected = "all tokens of a step are of one draw")]
    fn tokens_of_two_draws_are_refused() {
        let mut cache = Cache::new(&[], &CacheOptions::default(), &Device::cpu());
        let mut step = Step::new();
        for sequence in [cache.add(), cache.add()] {
            step.push_drawn(sequence, &Drawn::known(vec![Ok(1)]), 0);
        }
    }
}
