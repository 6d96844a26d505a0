//! The loop where a processor has to see scores, but those of the best tokens only: the device finds them, behind what
//! removes tokens and a penalty, and sends them; the processor, and all that comes behind it, runs here.

use hfcore_kernels::sample::{Candidate, Choice, TokenSet};

use super::run_ahead::seen;
use super::{Generation, Mode, Prompt, Row};
use crate::engine::Engine;
use crate::error::GenerateError;
use crate::logits_process::{Choosing, Effect, Left, LogitsProcessorList};

/// Sequences under way whose tokens are chosen among the best.
pub(super) struct AmongBest {
    count: usize,
    penalty: Option<f32>,
    /// Processors remove tokens.
    removes: bool,
    rows: Vec<Row>,
    /// The tokens of each row that have occurred, where they are penalised.
    seen: Vec<Option<TokenSet>>,
    /// Room for a row; between two, nothing is left in it.
    scores: Vec<f32>,
    left: Left,
}

impl AmongBest {
    /// The rows, if a device can find the best tokens and it is worth it; else they are given back.
    pub(super) fn new(
        rows: Vec<Row>,
        prompts: &[Prompt],
        processors: &LogitsProcessorList<'_>,
        engine: &Engine<'_>,
        run_ahead: Option<usize>,
    ) -> Result<Self, Vec<Row>> {
        let on_device = run_ahead.unwrap_or(0) > 0 || engine.model.run_ahead() > 0;
        let mut chosen = None;
        for prompt in prompts.iter().filter(|_| on_device && engine.use_cache) {
            // All prompts have one configuration, but some processors depend on the prompt.
            let choosing = prompt.chain.choosing(processors, engine.vocab_size);
            let Choosing::AmongBest {
                count,
                penalty,
                removes,
            } = choosing
            else {
                return Err(rows);
            };
            let most = chosen.map_or(Effect::None, |(_, _, most)| most);
            chosen = Some((count, penalty, removes.max(most)));
        }
        let Some((count, penalty, removes)) = chosen else {
            return Err(rows);
        };
        let seen_by = |row: &Row| penalty.map(|_| seen(&prompts[row.prompt], engine.vocab_size));
        Ok(Self {
            count,
            penalty,
            removes: removes > Effect::None,
            seen: rows.iter().map(seen_by).collect(),
            rows,
            scores: vec![f32::NEG_INFINITY; engine.vocab_size],
            left: Left::default(),
        })
    }
}

impl Generation<'_> {
    /// One token for each row.
    pub(super) fn choose_among_best(&mut self, mut among: AmongBest) -> Result<(), GenerateError> {
        let (feeds, feed_of) = super::feeds(&among.rows, &self.sequences, &self.prompts);
        let removals = among.rows.iter().map(|row| {
            among.removes.then(|| {
                let tokens = &self.sequences[row.index].tokens;
                let chain = &mut self.prompts[row.prompt].chain;
                chain.removals(&mut self.processors, tokens, &mut among.scores)
            })
        });
        let removals: Vec<_> = removals.collect();
        if among.removes {
            among.scores.fill(f32::NEG_INFINITY);
        }
        let choices =
            (feed_of.iter().zip(&removals).zip(&among.seen)).map(|((&row, removals), seen)| {
                Choice {
                    row,
                    banned: removals.as_ref().map(|(removed, _)| removed),
                    forced: removals.as_ref().is_some_and(|(_, forced)| *forced),
                    seen: seen.as_ref(),
                    ..Choice::default()
                }
            });
        let choices: Vec<_> = choices.collect();
        let found = (self.engine).best(&feeds, among.count, among.penalty, &choices)?;
        self.begin(&mut among.rows)?;
        let mut best = Vec::with_capacity(among.rows.len() * among.count);
        let mut place = vec![0; among.rows.len()];
        for found in &found {
            let first = best.len() / among.count;
            best.extend((found.drawn.read()).map_err(hfcore_arch::ForwardError::from)?);
            for (place_here, &row) in (first..).zip(&found.choices) {
                place[row] = place_here;
            }
        }
        self.engine.tell_time();
        let rows = among.rows.drain(..).zip(among.seen.drain(..));
        let mut going_on = Vec::with_capacity(place.len());
        for ((mut row, mut seen), place) in rows.zip(place) {
            self.engine.check_cancelled()?;
            let tokens = &self.sequences[row.index].tokens;
            row.cached = tokens.len();
            let (scores, left) = (&mut among.scores, &mut among.left);
            for &Candidate { token, score } in &best[place * among.count..][..among.count] {
                scores[token as usize] = score;
            }
            let chain = &mut self.prompts[row.prompt].chain;
            chain.process_best(&mut self.processors, tokens, scores, left);
            let token = (row.sampler.sample(&left.scores)).map(|index| left.token(index));
            if let (Some(seen), Ok(token)) = (&mut seen, &token) {
                seen.insert(*token);
            }
            if self.take(&row, token, scores)? {
                going_on.push((row, seen));
            }
            left.clear(scores);
        }
        if !going_on.is_empty() {
            (among.rows, among.seen) = going_on.into_iter().unzip();
            self.mode = Mode::AmongBest(among);
        }
        Ok(())
    }
}
