//! The loop where nobody has to see the scores: the device chooses a token, goes on with it, and tells the
//! host, which meanwhile says what comes after that.
//!
//! ```text
//! host    say 1   say 2   say 3   wait for 1   say 4   wait for 2   ..
//! device          run 1 ─────── run 2 ─────── run 3 ─────── run 4
//! ```
//!
//! Steps that are said and not known are *flights*. A sequence whose last token turns out to be an end was
//! flying on for nothing: the tokens of those flights are passed over, its state is forgotten. That is the
//! price of a device that never waits; where the host is the device, no step is said ahead.

use std::collections::VecDeque;

use hfcore_arch::{LogitsFor, Step};
use hfcore_kernels::sample::{Choice, Drawn, MOST_RECENT, Sampling, TokenSet};

use super::{Generation, Mode, Prompt, Row, feeds};
use crate::engine::Engine;
use crate::error::GenerateError;
use crate::logits_process::{Choosing, Effect, LogitsProcessorList};
use crate::stopping_criteria::Stopping;

/// Sequences under way whose tokens are chosen by a device.
pub(super) struct RunAhead {
    sampling: Sampling,
    /// Processors remove tokens.
    removes: bool,
    /// Steps that are said before a token is known.
    depth: usize,
    rows: Vec<Flyer>,
    flights: VecDeque<Flight>,
    scores: Vec<f32>,
}

/// A sequence, whether it is finished or not.
struct Flyer {
    row: Row,
    /// The tokens that have occurred, where they are penalised.
    seen: Option<TokenSet>,
    ended: bool,
}

/// A step whose tokens are not known.
struct Flight {
    drawn: Drawn,
    /// The row that each of its tokens belongs to, ascending.
    rows: Vec<usize>,
}

/// What the choice of one row needs, while the step is said.
struct Needs {
    fraction: u64,
    removed: Option<TokenSet>,
    forced: bool,
    /// Which of each flight's tokens is the row's.
    flights: Vec<usize>,
}

impl RunAhead {
    /// The rows, if a device can choose for them; else they are given back.
    pub(super) fn new(
        rows: Vec<Row>,
        prompts: &[Prompt],
        processors: &LogitsProcessorList<'_>,
        stopping: &Stopping<'_>,
        engine: &Engine<'_>,
        depth: Option<usize>,
    ) -> Result<Self, Vec<Row>> {
        let mut chosen: Option<(Sampling, Effect)> = None;
        for prompt in prompts {
            // All prompts have one configuration, but some processors depend on the prompt.
            let choosing = prompt.chain.choosing(processors, engine.vocab_size);
            let Choosing::ByDevice { sampling, removes } = choosing else {
                return Err(rows);
            };
            let most = chosen.map_or(Effect::None, |(_, effect)| effect);
            chosen = Some((sampling, removes.max(most)));
        }
        let Some((sampling, effect)) = chosen.filter(|_| stopping.user.is_empty()) else {
            return Err(rows);
        };
        let info = engine.model.info();
        let recomputes = info
            .recompute_beyond
            .is_some_and(|beyond| prompts.iter().any(|prompt| prompt.max_length > beyond));
        // Beside a sequence that goes on for nothing, the numbers of another would be others.
        let depends = info.depends_on_length && rows.len() > 1;
        let in_order = effect == Effect::RemovesByTokens || recomputes || depends;
        let depth = match in_order || !engine.use_cache {
            true => 0,
            false => depth
                .unwrap_or_else(|| engine.model.run_ahead())
                .min(MOST_RECENT),
        };
        let flyer = |row: Row| Flyer {
            seen: (sampling.repetition_penalty)
                .map(|_| seen(&prompts[row.prompt], engine.vocab_size)),
            row,
            ended: false,
        };
        Ok(Self {
            removes: effect > Effect::None,
            depth,
            rows: rows.into_iter().map(flyer).collect(),
            flights: VecDeque::new(),
            scores: Vec::new(),
            sampling,
        })
    }

    /// Whether tokens are chosen where the model is.
    pub(super) fn is_on_device(&self, engine: &Engine<'_>) -> bool {
        self.depth > 0 || (engine.use_cache && engine.model.run_ahead() > 0)
    }
}

impl Generation<'_> {
    /// One token for each row that goes on.
    pub(super) fn choose(&mut self, mut ahead: RunAhead) -> Result<(), GenerateError> {
        let begun = ahead.rows.iter().all(|flyer| flyer.row.state.is_some());
        if ahead.depth == 0 || !begun {
            self.choose_known(&mut ahead)?;
        } else {
            while ahead.flights.len() <= ahead.depth && self.say(&mut ahead)? {}
            if let Some(flight) = ahead.flights.pop_front() {
                let tokens = flight
                    .drawn
                    .read()
                    .map_err(hfcore_arch::ForwardError::from)?;
                self.engine.usage.steps += 1;
                self.engine.tell_time();
                for (&i, token) in flight.rows.iter().zip(tokens) {
                    self.engine.check_cancelled()?;
                    self.land(&mut ahead.rows[i], token.map_err(Into::into))?;
                }
            }
        }
        if ahead.rows.iter().any(|flyer| !flyer.ended) {
            self.mode = Mode::RunAhead(ahead);
        }
        Ok(())
    }

    /// A step, or those of the prompts, whose tokens are known before the next.
    fn choose_known(&mut self, ahead: &mut RunAhead) -> Result<(), GenerateError> {
        let going: Vec<usize> = (0..ahead.rows.len())
            .filter(|&i| !ahead.rows[i].ended)
            .collect();
        let needs = self.needs(ahead, &going);
        let mut rows: Vec<Row> = going.iter().map(|&i| ahead.rows[i].row.clone()).collect();
        let (feeds, feed_of) = feeds(&rows, &self.sequences, &self.prompts);
        let choices: Vec<Choice<'_>> = (going.iter().zip(&needs).zip(&feed_of))
            .map(|((&i, needs), &feed)| needs.choice(feed, ahead.rows[i].seen.as_ref()))
            .collect();
        let chosen = (self.engine).choose(&feeds, &ahead.sampling, &choices)?;
        self.begin(&mut rows)?;
        let mut tokens = vec![None; going.len()];
        for chosen in &chosen {
            let drawn = chosen
                .drawn
                .read()
                .map_err(hfcore_arch::ForwardError::from)?;
            for (&i, token) in chosen.choices.iter().zip(drawn) {
                tokens[i] = Some(token);
            }
        }
        self.engine.tell_time();
        for ((&i, mut row), token) in going.iter().zip(rows).zip(tokens) {
            self.engine.check_cancelled()?;
            row.cached = self.sequences[row.index].tokens.len();
            ahead.rows[i].row = row;
            let token = token.expect("every feed has ended, and with it every choice was made");
            self.land(&mut ahead.rows[i], token.map_err(Into::into))?;
        }
        Ok(())
    }

    /// Say another step, behind tokens that may not be known. `false` if no row goes on behind them.
    fn say(&mut self, ahead: &mut RunAhead) -> Result<bool, GenerateError> {
        let flying = ahead.flights.len();
        let goes_on = |flyer: &Flyer| {
            let len = self.sequences[flyer.row.index].tokens.len() + flying;
            !flyer.ended && len < self.prompts[flyer.row.prompt].max_length
        };
        let going: Vec<usize> = (0..ahead.rows.len())
            .filter(|&i| goes_on(&ahead.rows[i]))
            .collect();
        if going.is_empty() {
            return Ok(false);
        }
        let needs = self.needs(ahead, &going);
        let mut step = Step::new();
        for (&i, needs) in going.iter().zip(&needs) {
            let row = &ahead.rows[i].row;
            let state = row.state.expect("the prompts have run");
            match (ahead.flights.back(), needs.flights.last()) {
                (Some(flight), Some(&token)) => step.push_drawn(state, &flight.drawn, token),
                _ => {
                    let tokens = &self.sequences[row.index].tokens;
                    step.push(state, &tokens[tokens.len() - 1..], LogitsFor::Last);
                }
            }
        }
        let choices: Vec<Choice<'_>> = (going.iter().zip(&needs).enumerate())
            .map(|(row, (&i, needs))| needs.choice(row, ahead.rows[i].seen.as_ref()))
            .collect();
        let recent: Vec<&Drawn> = ahead.flights.iter().map(|flight| &flight.drawn).collect();
        let drawn = self
            .engine
            .draw(&step, &ahead.sampling, &choices, &recent)?;
        ahead.flights.push_back(Flight { drawn, rows: going });
        Ok(true)
    }

    /// What the choices of the rows `going` need, behind the flights there are.
    fn needs(&mut self, ahead: &mut RunAhead, going: &[usize]) -> Vec<Needs> {
        // Room for the scores that processors which only remove tokens are run on.
        let width = if ahead.removes {
            self.engine.vocab_size
        } else {
            0
        };
        ahead.scores.resize(width, 0.0);
        let mut needs = Vec::with_capacity(going.len());
        for &i in going {
            let Flyer { row, .. } = &mut ahead.rows[i];
            let mut forced = false;
            let removed = ahead.removes.then(|| {
                // Who depends on the tokens sees all of them: nothing flies then. Others see their number.
                let mut tokens = self.sequences[row.index].tokens.clone();
                tokens.resize(tokens.len() + ahead.flights.len(), 0);
                let chain = &mut self.prompts[row.prompt].chain;
                let (removed, all_equal) =
                    chain.removals(&mut self.processors, &tokens, &mut ahead.scores);
                forced = all_equal;
                removed
            });
            let place = |flight: &Flight| {
                (flight.rows.binary_search(&i)).expect("who goes on was on every flight")
            };
            needs.push(Needs {
                fraction: row.sampler.fraction(),
                removed,
                forced,
                flights: ahead.flights.iter().map(place).collect(),
            });
        }
        needs
    }

    /// The next token of a row is known.
    fn land(
        &mut self,
        flyer: &mut Flyer,
        token: Result<u32, crate::NumericalProblem>,
    ) -> Result<(), GenerateError> {
        if !flyer.ended {
            if let (Some(seen), Ok(token)) = (&mut flyer.seen, &token) {
                seen.insert(*token);
            }
            flyer.ended = !self.take(&flyer.row, token, &[])?;
        }
        Ok(())
    }
}

/// The tokens of a prompt.
pub(super) fn seen(prompt: &Prompt, vocab_size: usize) -> TokenSet {
    let mut seen = TokenSet::new(vocab_size);
    prompt.tokens.iter().for_each(|&token| seen.insert(token));
    seen
}

impl Needs {
    fn choice<'a>(&'a self, row: usize, seen: Option<&'a TokenSet>) -> Choice<'a> {
        Choice {
            row,
            fraction: self.fraction,
            banned: self.removed.as_ref(),
            forced: self.forced,
            seen,
            recent_rows: &self.flights,
        }
    }
}
