//! The processors that a configuration asks for, in transformers' order.
//!
//! Reference: `_get_logits_processor` (`generation/utils.py`), transformers 5.23.

use hfcore_config::{GenerationConfig, OneOrMany};
use hfcore_kernels::sample::{MOST_SCORES, Sampling, TokenSet};

use super::{
    Effect, EncoderNoRepeatNGram, EncoderRepetitionPenalty, EpsilonCutoff, EtaCutoff,
    ExponentialDecayLengthPenalty, ForcedBosToken, ForcedEosToken, LogitNormalization,
    LogitsProcessor, LogitsProcessorList, MinLength, MinNewTokens, MinP, NoBadWords, NoRepeatNGram,
    RemoveInvalidValues, RepetitionPenalty, SequenceBias, SuppressTokens, SuppressTokensAtBegin,
    Temperature, TopH, TopK, TopP, TypicalP,
};
use crate::error::GenerateError;
use crate::math::narrow;

/// What the processors of one prompt depend on, besides the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ChainInput<'a> {
    /// Tokens of the prompt; of the decoder's, where there are two.
    pub prompt_len: usize,
    /// The longest sequence, prompt included.
    pub max_length: usize,
    /// The encoder's input, or the prompt where there is no encoder; `None` if it is no text.
    pub encoder_tokens: Option<&'a [u32]>,
    /// Width of the logits.
    pub vocab_size: usize,
}

/// Who chooses the next token, by what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choosing {
    /// A device, behind processors that do no more than `removes`.
    ByDevice { sampling: Sampling, removes: Effect },
    /// The host, among the best `count` tokens that a device finds behind a penalty and such processors.
    AmongBest {
        count: usize,
        penalty: Option<f32>,
        removes: Effect,
    },
    /// The host, by all scores.
    ByHost,
}

/// Tokens that are not removed, ascending, with their scores: a few of a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct Left {
    tokens: Vec<u32>,
    pub(crate) scores: Vec<f32>,
}

impl Left {
    /// The token whose score is at `index`.
    pub(crate) fn token(&self, index: usize) -> u32 {
        self.tokens[index]
    }

    /// Remove them from `scores`, so that nothing is left.
    pub(crate) fn clear(&mut self, scores: &mut [f32]) {
        self.scores.fill(f32::NEG_INFINITY);
        self.spread(scores);
    }

    fn collect(&mut self, scores: &[f32]) {
        self.tokens.clear();
        self.scores.clear();
        for (token, &score) in (0..).zip(scores) {
            if score != f32::NEG_INFINITY {
                self.tokens.push(token);
                self.scores.push(score);
            }
        }
    }

    fn spread(&self, scores: &mut [f32]) {
        for (&token, &score) in self.tokens.iter().zip(&self.scores) {
            scores[token as usize] = score;
        }
    }
}

/// The processors of one prompt: those of the configuration, with the place where a user's come between.
#[derive(Debug)]
pub struct Chain {
    processors: LogitsProcessorList<'static>,
    warpers: LogitsProcessorList<'static>,
    /// What all of it comes to but removals, if a device can do that.
    sampling: Option<Sampling>,
    /// The penalty, if a device can do that.
    penalty: Option<Option<f32>>,
    /// What the processors that `sampling` does not have do.
    effect: Effect,
}

impl Chain {
    /// The processors that `config` asks for. Unset fields count as transformers' defaults.
    ///
    /// # Errors
    /// If a field is out of its range or names tokens outside the vocabulary.
    pub fn new(config: &GenerationConfig, input: &ChainInput<'_>) -> Result<Self, GenerateError> {
        let config = config.clone().effective();
        let (processors, effect) = processors(&config, input)?;
        Ok(Self {
            processors,
            warpers: warpers(&config)?,
            sampling: sampling(&config, input.vocab_size),
            penalty: penalty(&config),
            effect,
        })
    }

    /// Who chooses tokens behind these processors and `user`, where the logits have `vocab_size` columns. What is
    /// removed before is [told](Self::removals).
    pub(crate) fn choosing(&self, user: &LogitsProcessorList<'_>, vocab_size: usize) -> Choosing {
        let (removes, rest) = user.stages();
        let removes = self.effect.max(removes);
        if removes > Effect::RemovesByTokens {
            return Choosing::ByHost;
        }
        // A candidate is two words, a score one.
        let is_worth_it = |count: usize| count.saturating_mul(2) < vocab_size;
        match (rest, &self.sampling, self.penalty) {
            (None, Some(sampling), _) => Choosing::ByDevice {
                sampling: sampling.clone(),
                removes,
            },
            (Some(Effect::Candidates(count)), _, Some(penalty))
                if is_worth_it(count) && vocab_size <= MOST_SCORES =>
            {
                Choosing::AmongBest {
                    count,
                    penalty,
                    removes,
                }
            }
            _ => Choosing::ByHost,
        }
    }

    /// The tokens that may not be chosen behind `tokens`, and whether all others have score 0. `scores` is
    /// room for one row.
    pub(crate) fn removals(
        &mut self,
        user: &mut LogitsProcessorList<'_>,
        tokens: &[u32],
        scores: &mut [f32],
    ) -> (TokenSet, bool) {
        scores.fill(1.0);
        self.processors.process(tokens, scores);
        user.process_removing(tokens, scores);
        let mut removed = TokenSet::new(scores.len());
        let mut forced = false;
        for (token, &mut score) in (0..).zip(scores) {
            if score == f32::NEG_INFINITY {
                removed.insert(token);
            } else {
                forced |= score == 0.0;
            }
        }
        (removed, forced)
    }

    /// Run what comes behind the [removals](Self::removals) and a penalty, on scores of which the best are left, and
    /// tell what is left then: in `scores`, and as tokens with their scores in `left`.
    pub(crate) fn process_best(
        &mut self,
        user: &mut LogitsProcessorList<'_>,
        tokens: &[u32],
        scores: &mut [f32],
        left: &mut Left,
    ) {
        user.process_rest(tokens, scores);
        left.collect(scores);
        // Those of sampling pass over what is removed and give the same without it, unless nothing is left.
        if left.scores.is_empty() {
            self.warpers.process(tokens, scores);
            left.collect(scores);
        } else {
            self.warpers.process(tokens, &mut left.scores);
            left.spread(scores);
        }
    }

    /// Run the processors, then the user's, then those of sampling.
    pub fn process(
        &mut self,
        user: &mut LogitsProcessorList<'_>,
        tokens: &[u32],
        scores: &mut [f32],
    ) {
        self.processors.process(tokens, scores);
        user.process(tokens, scores);
        self.warpers.process(tokens, scores);
    }
}

fn processors(
    config: &GenerationConfig,
    input: &ChainInput<'_>,
) -> Result<(LogitsProcessorList<'static>, Effect), GenerateError> {
    let eos = ids(config.eos_token_id.as_ref());
    let known = |place: &str, tokens: &[u32]| known(place, tokens, input.vocab_size);
    let mut list = List::default();
    if let Some(bias) = &config.sequence_bias {
        bias.iter()
            .try_for_each(|(ids, _)| known("sequence_bias", ids))?;
        list.push(SequenceBias::new(bias)?);
    }
    if let Some(penalty) = config
        .encoder_repetition_penalty
        .filter(|penalty| *penalty != 1.0)
    {
        list.push(EncoderRepetitionPenalty::new(
            penalty,
            encoder("encoder_repetition_penalty", &penalty, input)?,
        )?);
    }
    if let Some(penalty) = config.repetition_penalty.filter(|penalty| *penalty != 1.0) {
        // A device knows the tokens, and does it itself.
        list.processors.push(RepetitionPenalty::new(penalty)?);
    }
    if let Some(size) = config.no_repeat_ngram_size.filter(|size| *size > 0) {
        list.push(NoRepeatNGram::new(size)?);
    }
    if let Some(size) = config.encoder_no_repeat_ngram_size.filter(|size| *size > 0) {
        list.push(EncoderNoRepeatNGram::new(
            size,
            encoder("encoder_no_repeat_ngram_size", &size, input)?,
        )?);
    }
    if let Some(words) = &config.bad_words_ids {
        words
            .iter()
            .try_for_each(|word| known("bad_words_ids", word))?;
        list.push(NoBadWords::new(words, eos)?);
    }
    if let Some(min_length) = config.min_length.filter(|len| *len > 0 && !eos.is_empty()) {
        list.push(MinLength::new(min_length, eos));
    }
    if let Some(min) = config
        .min_new_tokens
        .filter(|min| *min > 0 && !eos.is_empty())
    {
        list.push(MinNewTokens::new(input.prompt_len, min, eos));
    }
    if let Some(token) = config.forced_bos_token_id {
        known("forced_bos_token_id", &[token])?;
        list.push(ForcedBosToken::new(token));
    }
    if let Some(tokens) = &config.forced_eos_token_id {
        known("forced_eos_token_id", tokens.as_slice())?;
        list.push(ForcedEosToken::new(input.max_length, tokens.as_slice()));
    }
    if config.remove_invalid_values == Some(true) {
        list.push(RemoveInvalidValues::new());
    }
    if let Some(penalty) = config.exponential_decay_length_penalty {
        let set = !eos.is_empty() && penalty.1.is_finite();
        crate::error::require(
            set,
            "exponential_decay_length_penalty",
            &penalty,
            "a start and a finite factor, with an eos_token_id to apply them to",
        )?;
        known("eos_token_id", eos)?;
        list.push(ExponentialDecayLengthPenalty::new(
            penalty,
            eos,
            input.prompt_len,
        ));
    }
    if let Some(tokens) = &config.suppress_tokens {
        list.push(SuppressTokens::new(tokens));
    }
    if let Some(tokens) = &config.begin_suppress_tokens {
        // A forced first token comes first; the tokens are then suppressed at the one behind it.
        let forced = input.prompt_len <= 1 && config.forced_bos_token_id.is_some();
        list.push(SuppressTokensAtBegin::new(
            tokens,
            input.prompt_len + usize::from(forced),
        ));
    }
    Ok((list.processors, list.effect))
}

/// Processors, and what those do that were pushed here.
struct List {
    processors: LogitsProcessorList<'static>,
    effect: Effect,
}

impl Default for List {
    fn default() -> Self {
        Self {
            processors: LogitsProcessorList::new(),
            effect: Effect::None,
        }
    }
}

impl List {
    fn push(&mut self, processor: impl LogitsProcessor + 'static) {
        self.effect = self.effect.max(processor.effect());
        self.processors.push(processor);
    }
}

/// The repetition penalty, if there is one, as a device has it; `None` if it has it not.
fn penalty(config: &GenerationConfig) -> Option<Option<f32>> {
    match config.repetition_penalty.filter(|penalty| *penalty != 1.0) {
        Some(penalty) => positive(penalty).map(Some),
        None => Some(None),
    }
}

/// As a device divides by it.
fn positive(x: f64) -> Option<f32> {
    let x = narrow(x);
    (x > 0.0 && x.is_finite()).then_some(x)
}

/// The penalty and the [`warpers`] as a device has them; `None` if one of them it has not. Their values
/// have been checked by those who do them here.
fn sampling(config: &GenerationConfig, vocab_size: usize) -> Option<Sampling> {
    let mut sampling = Sampling::greedy();
    sampling.repetition_penalty = penalty(config)?;
    if config.renormalize_logits == Some(true) || vocab_size > MOST_SCORES {
        return None;
    }
    if config.do_sample == Some(true) {
        sampling.do_sample = true;
        let cuts = |epsilon: Option<f64>| epsilon.is_some_and(|e| e > 0.0 && e < 1.0);
        let others = config.top_h.is_some()
            || config.typical_p.is_some_and(|p| p < 1.0)
            || cuts(config.epsilon_cutoff)
            || cuts(config.eta_cutoff);
        if others || matches!(config.num_beams, Some(2..)) {
            return None;
        }
        if let Some(temperature) = config.temperature.filter(|t| *t != 1.0) {
            sampling.temperature = Some(positive(temperature)?);
        }
        sampling.top_k = config.top_k.filter(|k| *k != 0);
        sampling.top_p = config.top_p.filter(|p| *p < 1.0);
        sampling.min_p = config.min_p;
    }
    Some(sampling)
}

/// What only sampling applies, and the normalisation that is always last.
fn warpers(config: &GenerationConfig) -> Result<LogitsProcessorList<'static>, GenerateError> {
    let mut list = LogitsProcessorList::new();
    if config.do_sample == Some(true) {
        // With beams at least one token that is no end must be left, to go on with.
        let keep = match config.num_beams {
            Some(2..) => config
                .eos_token_id
                .as_ref()
                .map_or(2, |eos| eos.as_slice().len() + 1),
            _ => 1,
        };
        if let Some(temperature) = config.temperature.filter(|t| *t != 1.0) {
            list.push(Temperature::new(temperature)?);
        }
        if let Some(top_h) = config.top_h {
            list.push(TopH::new(top_h)?);
        }
        if let Some(top_k) = config.top_k.filter(|k| *k != 0) {
            list.push(TopK::new(top_k, keep)?);
        }
        if let Some(top_p) = config.top_p.filter(|p| *p < 1.0) {
            list.push(TopP::new(top_p, keep)?);
        }
        if let Some(min_p) = config.min_p {
            list.push(MinP::new(min_p, keep)?);
        }
        if let Some(typical_p) = config.typical_p.filter(|p| *p < 1.0) {
            list.push(TypicalP::new(typical_p, keep)?);
        }
        let cut = |epsilon: &f64| *epsilon > 0.0 && *epsilon < 1.0;
        if let Some(epsilon) = config.epsilon_cutoff.filter(cut) {
            list.push(EpsilonCutoff::new(epsilon, keep)?);
        }
        if let Some(eta) = config.eta_cutoff.filter(cut) {
            list.push(EtaCutoff::new(eta, keep)?);
        }
    }
    if config.renormalize_logits == Some(true) {
        list.push(LogitNormalization::new());
    }
    Ok(list)
}

/// The ids of a field; none if it is unset.
pub(crate) fn ids(field: Option<&OneOrMany<u32>>) -> &[u32] {
    field.map_or(&[], OneOrMany::as_slice)
}

/// `Err` if one of `tokens` is outside the vocabulary.
pub(crate) fn known(place: &str, tokens: &[u32], vocab_size: usize) -> Result<(), GenerateError> {
    match tokens
        .iter()
        .find(|&&token| usize::try_from(token).is_ok_and(|token| token >= vocab_size))
    {
        Some(&token) => Err(GenerateError::TokenOutOfRange {
            place: place.to_owned(),
            token: token.into(),
            vocab_size,
        }),
        None => Ok(()),
    }
}

fn encoder<'a>(
    field: &'static str,
    value: &dyn std::fmt::Debug,
    input: &ChainInput<'a>,
) -> Result<&'a [u32], GenerateError> {
    input
        .encoder_tokens
        .ok_or_else(|| GenerateError::Unsupported {
            field,
            value: format!("{value:?}"),
            hint: "the encoder's input is no text; unset it",
        })
}
