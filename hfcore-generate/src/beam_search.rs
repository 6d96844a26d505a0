//! Beam search: the `num_beams` likeliest beginnings go on, the best ends are kept.
//!
//! Reference: `_beam_search` (`generation/utils.py`), transformers 5.23, followed step by step, its
//! constants included: `-1e9` stands for "not to be chosen", and sums are `f32`. One search belongs to
//! one prompt; a batch's do not know of each other. (In transformers a batch goes on until all rows
//! are done; what a row that is done finds then can no longer enter its result.)

use hfcore_arch::{Cache, SequenceId};
use hfcore_config::EarlyStopping;

use crate::engine::Feed;
use crate::error::{GenerateError, NumericalProblem, require};
use crate::generation::Prompt;
use crate::logits_process::{Chain, LogitsProcessorList};
use crate::math;
use crate::output::Sequence;
use crate::plan::Plan;
use crate::sampler::Sampler;
use crate::stopping_criteria::{FinishReason, Stopping};

/// transformers' "never".
const NEVER: f32 = -1e9;

/// The search for the continuations of one prompt.
pub(crate) struct BeamSearch {
    num_beams: usize,
    candidates: usize,
    do_sample: bool,
    early_stopping: EarlyStopping,
    length_penalty: f64,
    prompt_len: usize,
    max_length: usize,
    sampler: Sampler,
    beams: Vec<Beam>,
    finished: Vec<Hypothesis>,
    improvement_possible: bool,
}

/// Whether a search has ended.
pub(crate) enum Search {
    GoesOn,
    Ended,
}

/// A beginning that goes on.
struct Beam {
    tokens: Vec<u32>,
    score: f32,
    /// `None` where all beams still are the prompt: the first one's state is theirs.
    state: Option<SequenceId>,
    cached: usize,
}

/// An end, or a place for one.
#[derive(Clone)]
struct Hypothesis {
    tokens: Vec<u32>,
    score: f32,
    finish_reason: Option<FinishReason>,
}

/// One of the likeliest continuations.
struct Candidate {
    beam: usize,
    token: u32,
    log_prob: f32,
    finish_reason: Option<FinishReason>,
}

impl BeamSearch {
    /// A search that has not begun.
    pub(crate) fn new(
        plan: &Plan,
        prompt: &Prompt,
        sampler: Sampler,
        vocab_size: usize,
    ) -> Result<Self, GenerateError> {
        let num_beams = plan.num_beams;
        // Enough that `num_beams` are left if all others are ends.
        let candidates = (1 + plan.eos_token_ids.len())
            .max(2)
            .saturating_mul(num_beams);
        let enough = candidates <= num_beams.saturating_mul(vocab_size);
        require(
            enough,
            "num_beams",
            &num_beams,
            "so few that the vocabulary has candidates for them",
        )?;
        let prompt_len = prompt.tokens.len();
        let widest = penalty(prompt.max_length - prompt_len, plan.length_penalty);
        let ok = widest.is_finite() && widest > 0.0;
        require(
            ok,
            "length_penalty",
            &plan.length_penalty,
            "a power of the length that f32 can hold",
        )?;
        let beams = (0..num_beams).map(|i| Beam {
            tokens: prompt.tokens.clone(),
            score: if i == 0 { 0.0 } else { NEVER },
            state: (i == 0).then_some(prompt.sequence),
            cached: 0,
        });
        let empty = Hypothesis {
            tokens: prompt.tokens.clone(),
            score: NEVER,
            finish_reason: None,
        };
        Ok(Self {
            num_beams,
            candidates,
            do_sample: plan.do_sample,
            early_stopping: plan.early_stopping,
            length_penalty: plan.length_penalty,
            prompt_len,
            max_length: prompt.max_length,
            sampler,
            beams: beams.collect(),
            finished: vec![empty; num_beams],
            improvement_possible: true,
        })
    }

    /// What the model has to run next: the prompt once, then every beam.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = Feed<'_>> {
        self.beams.iter().filter_map(|beam| {
            Some(Feed {
                sequence: beam.state?,
                tokens: &beam.tokens,
                cached: beam.cached,
            })
        })
    }

    /// One step: `logits` are those of the [`feeds`](Self::feeds).
    pub(crate) fn advance(
        &mut self,
        logits: &[&[f32]],
        chain: &mut Chain,
        user: &mut LogitsProcessorList<'_>,
        stopping: &mut Stopping<'_>,
        cache: &mut Cache,
    ) -> Result<Search, GenerateError> {
        let vocab_size = logits.first().map_or(0, |row| row.len());
        let accumulated = self.accumulate(logits, chain, user);
        let cur_len = self.beams[0].tokens.len();
        let failed = |problem| GenerateError::Numerical {
            sequence: 0,
            position: cur_len,
            problem,
        };
        if accumulated.iter().any(|s| s.is_nan()) {
            return Err(failed(cause_of_nan(logits)));
        }
        if accumulated.contains(&f32::INFINITY) {
            return Err(failed(NumericalProblem::PositiveInfinity));
        }
        let indices = match self.do_sample {
            true => self.sampler.sample_distinct(&accumulated, self.candidates),
            false => math::top_k(&accumulated, self.candidates)
                .into_iter()
                .map(|(i, _)| i)
                .collect(),
        };
        if indices.iter().all(|&i| accumulated[i] == f32::NEG_INFINITY) {
            // No beam has a token left. What has ended is the result, if anything has.
            return match self
                .finished
                .iter()
                .any(|hypothesis| hypothesis.finish_reason.is_some())
            {
                true => Ok(Search::Ended),
                false => Err(failed(NumericalProblem::NoneLeft)),
            };
        }
        let mut candidates = Vec::with_capacity(indices.len());
        for i in indices {
            let (beam, token) = (i / vocab_size, i % vocab_size);
            let scores = &accumulated[beam * vocab_size..][..vocab_size];
            let token = u32::try_from(token).expect("a row of logits is shorter than 2^32");
            let tokens = &mut self.beams[beam].tokens;
            tokens.push(token);
            let finish_reason = stopping.check(tokens, self.max_length, scores);
            tokens.pop();
            candidates.push(Candidate {
                beam,
                token,
                log_prob: accumulated[i],
                finish_reason,
            });
        }
        self.update_finished(&candidates, cur_len);
        self.update_running(&candidates, cache)?;
        self.check_improvement(cur_len + 1);
        let all_finished = self
            .finished
            .iter()
            .all(|hypothesis| hypothesis.finish_reason.is_some());
        let full = all_finished && self.early_stopping == EarlyStopping::Yes;
        let dead_end = candidates
            .iter()
            .all(|candidate| candidate.finish_reason.is_some());
        let ended = !self.improvement_possible || full || dead_end;
        Ok(if ended { Search::Ended } else { Search::GoesOn })
    }

    /// Give the states of the beams back.
    pub(crate) fn release(&mut self, cache: &mut Cache) -> Result<(), GenerateError> {
        self.beams
            .drain(..)
            .filter_map(|beam| beam.state)
            .try_for_each(|state| cache.remove(state))?;
        Ok(())
    }

    /// The best `count` ends, best first.
    pub(crate) fn into_best(self, count: usize) -> impl Iterator<Item = Sequence> {
        let prompt_len = self.prompt_len;
        self.finished
            .into_iter()
            .take(count)
            .map(move |hypothesis| Sequence {
                tokens: hypothesis.tokens,
                prompt_len,
                finish_reason: hypothesis.finish_reason,
                score: Some(hypothesis.score),
            })
    }

    /// The log-probability of every continuation of every beam, `[num_beams * V]`.
    fn accumulate(
        &self,
        logits: &[&[f32]],
        chain: &mut Chain,
        user: &mut LogitsProcessorList<'_>,
    ) -> Vec<f32> {
        let mut accumulated =
            Vec::with_capacity(self.num_beams * logits.first().map_or(0, |row| row.len()));
        for (i, beam) in self.beams.iter().enumerate() {
            let start = accumulated.len();
            // Before the first step all beams are the prompt, with one row of logits.
            accumulated.extend_from_slice(logits.get(i).unwrap_or(&logits[0]));
            let log_probs = &mut accumulated[start..];
            math::log_softmax(log_probs);
            chain.process(user, &beam.tokens, log_probs);
            log_probs
                .iter_mut()
                .for_each(|log_prob| *log_prob += beam.score);
        }
        accumulated
    }

    /// `_update_finished_beams`: ends among the `num_beams` best candidates take the places of worse ones.
    fn update_finished(&mut self, candidates: &[Candidate], cur_len: usize) {
        let penalty = penalty(cur_len + 1 - self.prompt_len, self.length_penalty);
        let all_finished = self
            .finished
            .iter()
            .all(|hypothesis| hypothesis.finish_reason.is_some());
        let full = all_finished && self.early_stopping == EarlyStopping::Yes;
        let mut scores: Vec<f32> = self
            .finished
            .iter()
            .map(|hypothesis| hypothesis.score)
            .collect();
        for (rank, candidate) in candidates.iter().enumerate() {
            let ended = candidate.finish_reason.is_some() && rank < self.num_beams;
            let mut score = candidate.log_prob / penalty;
            for never in [full, !self.improvement_possible, !ended] {
                score += if never { NEVER } else { 0.0 };
            }
            scores.push(score);
        }
        let best = math::top_k(&scores, self.num_beams);
        let merged = best
            .into_iter()
            .map(|(i, score)| match i.checked_sub(self.finished.len()) {
                None => self.finished[i].clone(),
                Some(rank) => {
                    let Candidate {
                        beam,
                        token,
                        finish_reason,
                        ..
                    } = candidates[rank];
                    let mut tokens = self.beams[beam].tokens.clone();
                    tokens.push(token);
                    // What merely keeps a place is no end.
                    let finish_reason = finish_reason.filter(|_| rank < self.num_beams);
                    Hypothesis {
                        tokens,
                        score,
                        finish_reason,
                    }
                }
            });
        self.finished = merged.collect();
    }

    /// `_get_running_beams_for_next_iteration`: the best candidates that have not ended go on, with
    /// copies of their beams' states.
    fn update_running(
        &mut self,
        candidates: &[Candidate],
        cache: &mut Cache,
    ) -> Result<(), GenerateError> {
        let scores: Vec<f32> = (candidates.iter())
            .map(|c| {
                c.log_prob
                    + if c.finish_reason.is_some() {
                        NEVER
                    } else {
                        0.0
                    }
            })
            .collect();
        let chosen = math::top_k(&scores, self.num_beams);
        let prompt_state = self.beams[0].state;
        let mut beams = Vec::with_capacity(self.num_beams);
        for (i, score) in chosen {
            let Candidate { beam, token, .. } = candidates[i];
            let parent = &self.beams[beam];
            let state = match parent.state.or(prompt_state) {
                Some(state) => Some(cache.fork(state)?),
                None => None,
            };
            let cached = parent.tokens.len();
            let mut tokens = parent.tokens.clone();
            tokens.push(token);
            beams.push(Beam {
                tokens,
                score,
                state,
                cached,
            });
        }
        let old = std::mem::replace(&mut self.beams, beams);
        old.into_iter()
            .filter_map(|beam| beam.state)
            .try_for_each(|state| cache.remove(state))?;
        Ok(())
    }

    /// `_check_early_stop_heuristic`.
    fn check_improvement(&mut self, cur_len: usize) {
        let longest = self.early_stopping == EarlyStopping::Never && self.length_penalty > 0.0;
        let len = if longest { self.max_length } else { cur_len } - self.prompt_len;
        let best = self.beams[0].score / penalty(len, self.length_penalty);
        let worst = self
            .finished
            .iter()
            .map(|hypothesis| hypothesis.score)
            .fold(f32::INFINITY, f32::min);
        self.improvement_possible &= self.finished.iter().any(|hypothesis| {
            best > if hypothesis.finish_reason.is_some() {
                worst
            } else {
                NEVER
            }
        });
    }
}

/// What of `logits` their softmax turned into NaN.
fn cause_of_nan(logits: &[&[f32]]) -> NumericalProblem {
    let any = |wanted: fn(&f32) -> bool| logits.iter().any(|row| row.iter().any(wanted));
    if any(|x| x.is_nan()) || !any(|x| x.is_infinite()) {
        NumericalProblem::Nan
    } else if any(|x| *x == f32::INFINITY) {
        NumericalProblem::PositiveInfinity
    } else {
        NumericalProblem::NoneLeft
    }
}

/// `len ** length_penalty`, in Python's `f64`, as torch's `f32` division sees it.
fn penalty(len: usize, length_penalty: f64) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let len = len as f64;
    math::narrow(len.powf(length_penalty))
}
