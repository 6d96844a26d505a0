//! The loop: logits, processors, a choice, criteria, again.
//!
//! Reference: `_sample` (`generation/utils.py`), transformers 5.23. Where that pads finished rows until
//! the last has ended, a sequence here leaves the batch with its last token.

mod among_best;
mod run_ahead;

use std::collections::VecDeque;

use hfcore_arch::SequenceId;

use crate::beam_search::{BeamSearch, Search};
use crate::engine::{Engine, Feed};
use crate::error::{GenerateError, NumericalProblem};
use crate::logits_process::{Chain, LogitsProcessorList};
use crate::output::{Output, Sequence, Token, Usage};
use crate::plan::Plan;
use crate::sampler::Sampler;
use crate::stopping_criteria::{FinishReason, Stopping};
use among_best::AmongBest;
use run_ahead::RunAhead;

/// A prompt, checked and ready.
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    pub(crate) max_length: usize,
    pub(crate) chain: Chain,
    pub(crate) seed: u64,
    pub(crate) sequence: SequenceId,
}

/// A generation under way: an iterator over its new tokens.
///
/// The tokens of a batch come step by step, in the order of the sequences. With beams they come when
/// the search has ended, sequence by sequence: before that no token is certain.
///
/// An error that concerns one sequence ([`GenerateError::Numerical`]) ends that one; go on with
/// `next()` for the others. Any other error ends the iterator.
pub struct Generation<'a> {
    engine: Engine<'a>,
    plan: Plan,
    stopping: Stopping<'a>,
    processors: LogitsProcessorList<'a>,
    prompts: Vec<Prompt>,
    sequences: Vec<Sequence>,
    mode: Mode,
    ready: VecDeque<Result<Token, GenerateError>>,
}

enum Mode {
    /// Every score is looked at here.
    Sample(Vec<Row>),
    /// The best scores are.
    AmongBest(AmongBest),
    /// Tokens are chosen without that, possibly several steps ahead.
    RunAhead(RunAhead),
    Beams(Vec<BeamSearch>),
    Done,
}

/// A sequence that is not finished.
#[derive(Clone)]
struct Row {
    index: usize,
    prompt: usize,
    /// `None`: the prompt has not been run yet.
    state: Option<SequenceId>,
    cached: usize,
    sampler: Sampler,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(
        mut engine: Engine<'a>,
        plan: Plan,
        stopping: Stopping<'a>,
        processors: LogitsProcessorList<'a>,
        prompts: Vec<Prompt>,
        run_ahead: Option<usize>,
    ) -> Result<Self, GenerateError> {
        let count = plan.num_return_sequences;
        let sampler = |prompt: &Prompt, stream| match plan.do_sample {
            true => Sampler::multinomial(prompt.seed, stream),
            false => Sampler::greedy(),
        };
        let mode = if plan.num_beams > 1 {
            let searches = prompts.iter().map(|prompt| {
                BeamSearch::new(&plan, prompt, sampler(prompt, 0), engine.vocab_size)
            });
            Mode::Beams(searches.collect::<Result<_, _>>()?)
        } else {
            let rows = prompts.iter().enumerate().flat_map(|(i, prompt)| {
                (0..count).map(move |rank| Row {
                    index: i * count + rank,
                    prompt: i,
                    state: None,
                    cached: 0,
                    sampler: sampler(prompt, rank as u64),
                })
            });
            let rows: Vec<Row> = rows.collect();
            let chosen = RunAhead::new(rows, &prompts, &processors, &stopping, &engine, run_ahead);
            match chosen {
                Ok(chosen) => {
                    engine.on_device = chosen.is_on_device(&engine);
                    Mode::RunAhead(chosen)
                }
                Err(rows) => AmongBest::new(rows, &prompts, &processors, &engine, run_ahead)
                    .map_or_else(Mode::Sample, Mode::AmongBest),
            }
        };
        let sequences = prompts.iter().flat_map(|prompt| {
            let sequence = Sequence {
                tokens: prompt.tokens.clone(),
                prompt_len: prompt.tokens.len(),
                finish_reason: None,
                score: None,
            };
            std::iter::repeat_n(sequence, count)
        });
        let sequences = sequences.collect();
        Ok(Self {
            engine,
            plan,
            stopping,
            processors,
            prompts,
            sequences,
            mode,
            ready: VecDeque::new(),
        })
    }

    /// The sequences so far: prompt and new tokens.
    #[must_use]
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// What the generation has cost so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            new_tokens: self.sequences.iter().map(|s| s.new_tokens().len()).sum(),
            ..self.engine.usage
        }
    }

    /// Bytes of keys and values in use.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.engine.cache.bytes()
    }

    /// Sequences whose state is kept: those that go on, with beams one for each beam.
    #[must_use]
    pub fn cached_sequences(&self) -> usize {
        self.engine.cache.sequences().count()
    }

    /// The sequences so far, whether they have ended or not.
    #[must_use]
    pub fn into_output(self) -> Output {
        let (pad_token_id, fill_token_id) = self.plan.fill_tokens();
        Output {
            usage: self.usage(),
            sequences: self.sequences,
            pad_token_id,
            fill_token_id,
        }
    }

    /// One step: tokens, or errors of single sequences, are ready afterwards.
    fn advance(&mut self) -> Result<(), GenerateError> {
        self.engine.check_cancelled()?;
        match std::mem::replace(&mut self.mode, Mode::Done) {
            Mode::Done => Ok(()),
            Mode::Beams(searches) => self.search(searches),
            Mode::Sample(rows) => self.sample(rows),
            Mode::AmongBest(among) => self.choose_among_best(among),
            Mode::RunAhead(ahead) => self.choose(ahead),
        }
    }

    /// One token for each row.
    fn sample(&mut self, mut rows: Vec<Row>) -> Result<(), GenerateError> {
        let (feeds, feed_of) = feeds(&rows, &self.sequences, &self.prompts);
        let logits = self.engine.forward(&feeds)?;
        self.begin(&mut rows)?;
        let mut scores = Vec::new();
        let mut going_on = Vec::with_capacity(rows.len());
        for (mut row, feed) in rows.into_iter().zip(feed_of) {
            self.engine.check_cancelled()?;
            let prompt = &mut self.prompts[row.prompt];
            let tokens = &self.sequences[row.index].tokens;
            row.cached = tokens.len();
            scores.clear();
            scores.extend_from_slice(logits.row(feed));
            (prompt.chain).process(&mut self.processors, tokens, &mut scores);
            let token = row
                .sampler
                .sample(&scores)
                .map(|token| u32::try_from(token).expect("a row of logits is shorter than 2^32"));
            if self.take(&row, token, &scores)? {
                going_on.push(row);
            }
        }
        if !going_on.is_empty() {
            self.mode = Mode::Sample(going_on);
        }
        Ok(())
    }

    /// The prompts have run: give each row a state of its own.
    fn begin(&mut self, rows: &mut [Row]) -> Result<(), GenerateError> {
        for i in 0..rows.len() {
            if rows[i].state.is_none() {
                let base = self.prompts[rows[i].prompt].sequence;
                // The last row of a prompt takes the prompt's state, the others copies of it.
                let last = rows
                    .get(i + 1)
                    .is_none_or(|next| next.prompt != rows[i].prompt);
                rows[i].state = Some(if last {
                    base
                } else {
                    self.engine.cache.fork(base)?
                });
            }
        }
        Ok(())
    }

    /// The next token of a row, chosen by `scores`, or why there is none. `false` if the row ends with it:
    /// its state is forgotten.
    fn take(
        &mut self,
        row: &Row,
        token: Result<u32, NumericalProblem>,
        scores: &[f32],
    ) -> Result<bool, GenerateError> {
        let sequence = &mut self.sequences[row.index];
        let item = match token {
            Ok(id) => {
                sequence.tokens.push(id);
                let max_length = self.prompts[row.prompt].max_length;
                sequence.finish_reason =
                    (self.stopping).check(&sequence.tokens, max_length, scores);
                Ok(Token {
                    id,
                    sequence: row.index,
                    finish_reason: sequence.finish_reason,
                })
            }
            Err(problem) => {
                sequence.finish_reason = Some(FinishReason::Error);
                Err(GenerateError::Numerical {
                    sequence: row.index,
                    position: sequence.tokens.len(),
                    problem,
                })
            }
        };
        self.ready.push_back(item);
        let ended = sequence.finish_reason.is_some();
        if let Some(state) = row.state.filter(|_| ended) {
            self.engine.cache.remove(state)?;
        }
        Ok(!ended)
    }

    /// All steps of all searches.
    fn search(&mut self, searches: Vec<BeamSearch>) -> Result<(), GenerateError> {
        let mut running: Vec<(usize, BeamSearch)> = searches.into_iter().enumerate().collect();
        let mut found: Vec<Option<Result<BeamSearch, GenerateError>>> = Vec::new();
        found.resize_with(running.len(), || None);
        while !running.is_empty() {
            let feeds: Vec<Feed<'_>> = running
                .iter()
                .flat_map(|(_, search)| search.feeds())
                .collect();
            let logits = self.engine.forward(&feeds)?;
            let mut next_row = 0;
            let mut going_on = Vec::with_capacity(running.len());
            for (i, mut search) in running {
                self.engine.check_cancelled()?;
                let rows = next_row..next_row + search.feeds().count();
                next_row = rows.end;
                let rows: Vec<&[f32]> = rows.map(|row| logits.row(row)).collect();
                let chain = &mut self.prompts[i].chain;
                let advanced = search.advance(
                    &rows,
                    chain,
                    &mut self.processors,
                    &mut self.stopping,
                    &mut self.engine.cache,
                );
                match advanced {
                    Ok(Search::GoesOn) => going_on.push((i, search)),
                    Ok(Search::Ended) => {
                        search.release(&mut self.engine.cache)?;
                        found[i] = Some(Ok(search));
                    }
                    Err(GenerateError::Numerical {
                        position, problem, ..
                    }) => {
                        search.release(&mut self.engine.cache)?;
                        let sequence = i * self.plan.num_return_sequences;
                        found[i] = Some(Err(GenerateError::Numerical {
                            sequence,
                            position,
                            problem,
                        }));
                    }
                    Err(error) => return Err(error),
                }
            }
            running = going_on;
        }
        for (i, search) in found.into_iter().enumerate() {
            let first = i * self.plan.num_return_sequences;
            match search {
                Some(Ok(search)) => {
                    for (index, best) in
                        (first..).zip(search.into_best(self.plan.num_return_sequences))
                    {
                        self.yield_all(index, best);
                    }
                }
                Some(Err(error)) => {
                    let failed = &mut self.sequences[first..first + self.plan.num_return_sequences];
                    failed
                        .iter_mut()
                        .for_each(|s| s.finish_reason = Some(FinishReason::Error));
                    self.ready.push_back(Err(error));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The tokens of a sequence that is known as a whole.
    fn yield_all(&mut self, index: usize, sequence: Sequence) {
        let mut new = sequence.new_tokens().iter().peekable();
        while let Some(&id) = new.next() {
            let finish_reason = sequence.finish_reason.filter(|_| new.peek().is_none());
            self.ready.push_back(Ok(Token {
                id,
                sequence: index,
                finish_reason,
            }));
        }
        self.sequences[index] = sequence;
    }

    /// Forget all state, and say of what had not ended why it does.
    fn end(&mut self, reason: FinishReason) {
        self.mode = Mode::Done;
        for sequence in &mut self.sequences {
            sequence.finish_reason.get_or_insert(reason);
        }
        let left: Vec<SequenceId> = self.engine.cache.sequences().collect();
        for sequence in left {
            // The cache has just named it.
            let _ = self.engine.cache.remove(sequence);
        }
    }
}

/// What the model has to run for these rows, and which of it is each row's: a prompt runs once, however many
/// sequences continue it.
fn feeds<'a>(
    rows: &[Row],
    sequences: &'a [Sequence],
    prompts: &[Prompt],
) -> (Vec<Feed<'a>>, Vec<usize>) {
    let mut feeds = Vec::with_capacity(rows.len());
    let mut feed_of = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let begun = i > 0 && row.state.is_none() && rows[i - 1].prompt == row.prompt;
        if !begun {
            feeds.push(Feed {
                sequence: row.state.unwrap_or(prompts[row.prompt].sequence),
                tokens: sequences[row.index].tokens.as_slice(),
                cached: row.cached,
            });
        }
        feed_of.push(feeds.len() - 1);
    }
    (feeds, feed_of)
}

impl Iterator for Generation<'_> {
    type Item = Result<Token, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !matches!(self.mode, Mode::Done) {
            if let Err(error) = self.advance() {
                let cancelled = matches!(error, GenerateError::Cancelled);
                self.end(if cancelled {
                    FinishReason::Cancelled
                } else {
                    FinishReason::Error
                });
                self.ready.push_back(Err(error));
            }
        }
        self.ready.pop_front()
    }
}

impl std::iter::FusedIterator for Generation<'_> {}

impl std::fmt::Debug for Generation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("sequences", &self.sequences)
            .finish_non_exhaustive()
    }
}
