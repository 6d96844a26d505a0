//! Running the model: prompts in chunks, one step for all sequences, with a cache or without.

use std::time::Instant;

use hfcore_arch::{Cache, CausalLm, Logits, LogitsFor, SequenceId, Step};

use crate::cancel::CancelToken;
use crate::error::GenerateError;
use crate::output::Usage;

/// A model with the state of the sequences it is generating.
pub(crate) struct Engine<'a> {
    pub(crate) model: &'a dyn CausalLm,
    pub(crate) cache: Cache,
    pub(crate) vocab_size: usize,
    pub(crate) use_cache: bool,
    pub(crate) prefill_chunk_size: Option<usize>,
    pub(crate) cancel: Option<CancelToken>,
    pub(crate) usage: Usage,
    pub(crate) started: Instant,
    pub(crate) first_logits: Option<Instant>,
}

/// A sequence that goes on.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    /// Its state. Without a cache it stays empty but for the encoder's output.
    pub(crate) sequence: SequenceId,
    /// All of its tokens.
    pub(crate) tokens: &'a [u32],
    /// How many of them the cache remembers.
    pub(crate) cached: usize,
}

/// The logits behind the last token of each [`Feed`].
pub(crate) struct NextLogits {
    steps: Vec<Logits>,
    /// For each feed, its step and the row in it.
    rows: Vec<(usize, usize)>,
}

impl NextLogits {
    /// Those of feed `i`, `[V]`.
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        let (step, row) = self.rows[i];
        self.steps[step].row(row)
    }
}

impl Engine<'_> {
    /// Run what is new of each feed.
    pub(crate) fn forward(&mut self, feeds: &[Feed<'_>]) -> Result<NextLogits, GenerateError> {
        let logits = if self.use_cache {
            self.cached(feeds)
        } else {
            self.recomputed(feeds)
        }?;
        let now = Instant::now();
        let first = *self.first_logits.get_or_insert(now);
        self.usage.prefill = first - self.started;
        self.usage.decode = now - first;
        Ok(logits)
    }

    /// `Err` if a [`CancelToken`] says so.
    pub(crate) fn check_cancelled(&self) -> Result<(), GenerateError> {
        match &self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(GenerateError::Cancelled),
            _ => Ok(()),
        }
    }

    /// One step, or several where a prompt is longer than a chunk.
    fn cached(&mut self, feeds: &[Feed<'_>]) -> Result<NextLogits, GenerateError> {
        let chunk = self.prefill_chunk_size.unwrap_or(usize::MAX);
        let mut next = NextLogits {
            steps: Vec::new(),
            rows: vec![(0, 0); feeds.len()],
        };
        let anew = self.must_recompute(feeds);
        let mut rest = Vec::with_capacity(feeds.len());
        for feed in feeds {
            if anew {
                self.cache.truncate(feed.sequence, 0)?;
            }
            rest.push(&feed.tokens[if anew { 0 } else { feed.cached }..]);
        }
        while rest.iter().any(|tokens| !tokens.is_empty()) {
            let mut step = Step::new();
            let mut ending = Vec::new();
            for (i, tokens) in rest
                .iter_mut()
                .enumerate()
                .filter(|(_, tokens)| !tokens.is_empty())
            {
                let (now, later) = tokens.split_at(chunk.min(tokens.len()));
                let last = later.is_empty();
                step.push(
                    feeds[i].sequence,
                    now,
                    if last {
                        LogitsFor::Last
                    } else {
                        LogitsFor::None
                    },
                );
                if last {
                    ending.push(i);
                }
                *tokens = later;
            }
            let logits = self.step(&step)?;
            ending
                .iter()
                .enumerate()
                .for_each(|(row, &i)| next.rows[i] = (next.steps.len(), row));
            next.steps.push(logits);
        }
        Ok(next)
    }

    /// Whether the longest sequence grows past the length at which what the cache remembers has to be
    /// computed anew. Reference: `Phi3ForCausalLM.prepare_inputs_for_generation`.
    fn must_recompute(&self, feeds: &[Feed<'_>]) -> bool {
        let Some(beyond) = self.model.info().recompute_beyond else {
            return false;
        };
        let cached = feeds.iter().map(|feed| feed.cached).max().unwrap_or(0);
        let len = feeds
            .iter()
            .map(|feed| feed.tokens.len())
            .max()
            .unwrap_or(0);
        (1..=beyond).contains(&cached) && len > beyond
    }

    /// All tokens from the beginning, in sequences that are forgotten at once.
    fn recomputed(&mut self, feeds: &[Feed<'_>]) -> Result<NextLogits, GenerateError> {
        let mut step = Step::new();
        let mut forks = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let fork = self.cache.fork(feed.sequence)?;
            forks.push(fork);
            step.push(fork, feed.tokens, LogitsFor::Last);
        }
        let logits = self.step(&step);
        forks
            .into_iter()
            .try_for_each(|fork| self.cache.remove(fork))?;
        Ok(NextLogits {
            steps: vec![logits?],
            rows: (0..feeds.len()).map(|row| (0, row)).collect(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<Logits, GenerateError> {
        self.check_cancelled()?;
        let logits = self.model.forward(step, &mut self.cache)?;
        self.usage.steps += 1;
        let (expected_rows, expected_vocab_size) = (step.logits().len(), self.vocab_size);
        let (rows, vocab_size) = (logits.rows(), logits.vocab_size());
        if rows != expected_rows || (rows > 0 && vocab_size != expected_vocab_size) {
            return Err(GenerateError::Logits {
                rows,
                vocab_size,
                expected_rows,
                expected_vocab_size,
            });
        }
        Ok(logits)
    }
}
