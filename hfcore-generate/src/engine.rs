//! Running the model: prompts in chunks, one step for all sequences, with a cache or without.

use std::time::Instant;

use hfcore_arch::{Cache, CausalLm, ForwardError, Logits, LogitsFor, SequenceId, Step};
use hfcore_kernels::sample::{Best, Choice, Drawn, Sampling, sample_rows};

use crate::cancel::CancelToken;
use crate::error::GenerateError;
use crate::output::Usage;

/// A model with the state of the sequences it is generating.
pub(crate) struct Engine<'a> {
    pub(crate) model: &'a dyn CausalLm,
    pub(crate) cache: Cache,
    pub(crate) vocab_size: usize,
    pub(crate) use_cache: bool,
    /// Tokens are chosen where the model is, and not here from logits that are read.
    pub(crate) on_device: bool,
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

/// What was chosen behind the last token of each of some [`Feed`]s.
pub(crate) struct Chosen<T> {
    pub(crate) drawn: T,
    /// The index of the choice that each of them is, among those that were asked for.
    pub(crate) choices: Vec<usize>,
}

impl Engine<'_> {
    /// Run what is new of each feed.
    pub(crate) fn forward(&mut self, feeds: &[Feed<'_>]) -> Result<NextLogits, GenerateError> {
        let mut next = NextLogits {
            steps: Vec::new(),
            rows: vec![(0, 0); feeds.len()],
        };
        self.run(feeds, |engine, step, ending| {
            let logits = engine.logits(step)?;
            for (row, &i) in ending.iter().enumerate() {
                next.rows[i] = (next.steps.len(), row);
            }
            next.steps.push(logits);
            Ok(())
        })?;
        self.tell_time();
        Ok(next)
    }

    /// Run what is new of each feed, and choose tokens behind them. The `row` of a choice is the index of its feed.
    pub(crate) fn choose(
        &mut self,
        feeds: &[Feed<'_>],
        sampling: &Sampling,
        choices: &[Choice<'_>],
    ) -> Result<Vec<Chosen<Drawn>>, GenerateError> {
        self.run_choices(feeds, choices, |engine, step, choices| {
            engine.draw(step, sampling, choices, &[])
        })
    }

    /// Run what is new of each feed, and find the `count` best tokens for each choice behind them.
    pub(crate) fn best(
        &mut self,
        feeds: &[Feed<'_>],
        count: usize,
        penalty: Option<f32>,
        choices: &[Choice<'_>],
    ) -> Result<Vec<Chosen<Best>>, GenerateError> {
        self.run_choices(feeds, choices, |engine, step, choices| {
            engine.check_cancelled()?;
            let cache = &mut engine.cache;
            Ok((engine.model).forward_best(step, cache, count, penalty, choices)?)
        })
    }

    fn run_choices<T>(
        &mut self,
        feeds: &[Feed<'_>],
        choices: &[Choice<'_>],
        mut choose: impl FnMut(&mut Self, &Step, &[Choice<'_>]) -> Result<T, GenerateError>,
    ) -> Result<Vec<Chosen<T>>, GenerateError> {
        let mut chosen = Vec::new();
        self.run(feeds, |engine, step, ending| {
            if ending.is_empty() {
                return engine.logits(step).map(drop);
            }
            let mut of_step = Vec::new();
            let mut here = Vec::new();
            for (i, choice) in choices.iter().enumerate() {
                if let Some(row) = ending.iter().position(|&feed| feed == choice.row) {
                    of_step.push(i);
                    here.push(Choice { row, ..*choice });
                }
            }
            let drawn = choose(engine, step, &here)?;
            chosen.push(Chosen {
                drawn,
                choices: of_step,
            });
            Ok(())
        })?;
        Ok(chosen)
    }

    /// Run a step, and choose tokens from the logits it asks for: on the device, if it is worth that.
    pub(crate) fn draw(
        &mut self,
        step: &Step,
        sampling: &Sampling,
        choices: &[Choice<'_>],
        recent: &[&Drawn],
    ) -> Result<Drawn, GenerateError> {
        if self.on_device {
            self.check_cancelled()?;
            let cache = &mut self.cache;
            return Ok((self.model).forward_sample(step, cache, sampling, choices, recent)?);
        }
        let logits = self.logits(step)?;
        let width = logits.vocab_size();
        let drawn = sample_rows(&logits.into_vec(), width, sampling, choices, recent);
        Ok(drawn.map_err(ForwardError::from)?)
    }

    /// What generation goes on with is here.
    pub(crate) fn tell_time(&mut self) {
        let now = Instant::now();
        let first = *self.first_logits.get_or_insert(now);
        self.usage.prefill = first - self.started;
        self.usage.decode = now - first;
    }

    /// `Err` if a [`CancelToken`] says so.
    pub(crate) fn check_cancelled(&self) -> Result<(), GenerateError> {
        match &self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(GenerateError::Cancelled),
            _ => Ok(()),
        }
    }

    /// One step, or several where a prompt is longer than a chunk. Each goes to `each`, with the feeds
    /// that end in it.
    fn run(
        &mut self,
        feeds: &[Feed<'_>],
        mut each: impl FnMut(&mut Self, &Step, &[usize]) -> Result<(), GenerateError>,
    ) -> Result<(), GenerateError> {
        if !self.use_cache {
            return self.recomputed(feeds, each);
        }
        let chunk = self.prefill_chunk_size.unwrap_or(usize::MAX);
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
            each(self, &step, &ending)?;
            self.usage.steps += 1;
        }
        Ok(())
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
    fn recomputed(
        &mut self,
        feeds: &[Feed<'_>],
        mut each: impl FnMut(&mut Self, &Step, &[usize]) -> Result<(), GenerateError>,
    ) -> Result<(), GenerateError> {
        let mut step = Step::new();
        let mut forks = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let fork = self.cache.fork(feed.sequence)?;
            forks.push(fork);
            step.push(fork, feed.tokens, LogitsFor::Last);
        }
        let all: Vec<usize> = (0..feeds.len()).collect();
        let result = each(self, &step, &all);
        forks
            .into_iter()
            .try_for_each(|fork| self.cache.remove(fork))?;
        self.usage.steps += usize::from(result.is_ok());
        result
    }

    /// The logits that `step` asks for.
    fn logits(&mut self, step: &Step) -> Result<Logits, GenerateError> {
        self.check_cancelled()?;
        let logits = self.model.forward(step, &mut self.cache)?;
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
