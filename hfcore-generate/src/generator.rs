//! What to generate with: a model, a configuration, and everything that is not in a file.

use std::time::Instant;

use hfcore_arch::{CacheOptions, CausalLm, EncoderInput, Seq2Seq, SequenceId};
use hfcore_config::GenerationConfig;

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::error::GenerateError;
use crate::generation::{Generation, Prompt};
use crate::logits_process::{Chain, ChainInput, LogitsProcessor, LogitsProcessorList, known};
use crate::output::{Output, Usage};
use crate::plan::Plan;
use crate::stop_strings::{StopStrings, TokenText};
use crate::stopping_criteria::{Stopping, StoppingCriteria};

/// A model and how it is to generate; a builder.
///
/// `config` is the caller's over the model's: `config.merge(&model_config)`. Unset fields have
/// transformers' defaults. See the [crate](crate) for an example.
pub struct Generator<'a> {
    model: &'a dyn CausalLm,
    encoder: Option<(&'a dyn Seq2Seq, EncoderInput)>,
    config: GenerationConfig,
    seed: u64,
    seeds: Option<Vec<u64>>,
    processors: LogitsProcessorList<'a>,
    criteria: Vec<Box<dyn StoppingCriteria + 'a>>,
    text: Option<Box<dyn TokenText + 'a>>,
    cancel: Option<CancelToken>,
    cache: CacheOptions,
    run_ahead: Option<usize>,
}

impl<'a> Generator<'a> {
    /// Continue prompts with a decoder.
    #[must_use]
    pub fn new(model: &'a dyn CausalLm, config: &GenerationConfig) -> Self {
        Self {
            model,
            encoder: None,
            config: config.clone(),
            seed: 0,
            seeds: None,
            processors: LogitsProcessorList::new(),
            criteria: Vec::new(),
            text: None,
            cancel: None,
            cache: CacheOptions::default(),
            run_ahead: None,
        }
    }

    /// Answer `input` with an encoder-decoder. The prompts are then what transformers calls
    /// `decoder_input_ids`; without any, every row starts with `decoder_start_token_id`.
    #[must_use]
    pub fn encoder_decoder(
        model: &'a dyn Seq2Seq,
        input: EncoderInput,
        config: &GenerationConfig,
    ) -> Self {
        Self {
            encoder: Some((model, input)),
            ..Self::new(model, config)
        }
    }

    /// The seed of sampling, 0 by default: prompt `i` of a batch has seed `seed + i`.
    ///
    /// What a sequence draws depends on its prompt's seed and on its rank among
    /// `num_return_sequences`; not on the batch it is in, on threads, or on the machine.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A seed for each prompt.
    #[must_use]
    pub fn with_seeds(mut self, seeds: &[u64]) -> Self {
        self.seeds = Some(seeds.to_vec());
        self
    }

    /// Add a processor of one's own. It runs behind those of the configuration and before
    /// temperature, top-k and the like, as in transformers. What it [says](crate::Effect) of itself spares a GPU to
    /// send it all scores.
    #[must_use]
    pub fn with_logits_processor(mut self, processor: impl LogitsProcessor + 'a) -> Self {
        self.processors.push(processor);
        self
    }

    /// Add a criterion of one's own.
    #[must_use]
    pub fn with_stopping_criteria(mut self, criterion: impl StoppingCriteria + 'a) -> Self {
        self.criteria.push(Box::new(criterion));
        self
    }

    /// How tokens become text, which `stop_strings` need.
    #[must_use]
    pub fn with_text(mut self, text: impl TokenText + 'a) -> Self {
        self.text = Some(Box::new(text));
        self
    }

    /// What stops the generation from another thread.
    #[must_use]
    pub fn with_cancel(mut self, cancel: &CancelToken) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// How keys and values are kept.
    #[must_use]
    pub const fn with_cache_options(mut self, options: CacheOptions) -> Self {
        self.cache = options;
        self
    }

    /// How many steps to go on with before a token is known, at most 3: by default what the model says
    /// ([`CausalLm::run_ahead`]), 0 on a CPU and 2 on a GPU, which would wait for the host otherwise.
    ///
    /// The tokens are the same. What was computed behind the last of a sequence is thrown away. It is
    /// always 0 where what comes next depends on what the host has to see: with beams, a
    /// [`StoppingCriteria`], a [`LogitsProcessor`] whose [effect](LogitsProcessor::effect) is not
    /// [`Effect::RemovesByLength`](crate::Effect::RemovesByLength) or less, and settings that are made of
    /// such processors, as `no_repeat_ngram_size` is.
    #[must_use]
    pub const fn with_run_ahead(mut self, steps: usize) -> Self {
        self.run_ahead = Some(steps);
        self
    }

    /// Generate, and wait for the end.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and the first error that the stream yields.
    pub fn generate<P: AsRef<[u32]>>(self, prompts: &[P]) -> Result<Output, GenerateError> {
        let mut generation = self.stream(prompts)?;
        generation.by_ref().try_for_each(|token| token.map(drop))?;
        Ok(generation.into_output())
    }

    /// Generate token by token. Prompts may differ in length; nothing is padded, and each is continued
    /// as it would be alone.
    ///
    /// An empty prompt becomes `bos_token_id`.
    ///
    /// # Errors
    /// If the configuration is contradictory or asks for what is not implemented; if a processor wants no
    /// candidates; if a prompt is empty without a `bos_token_id`, has tokens outside the vocabulary or leaves
    /// no room in the model's context; if an encoder fails.
    pub fn stream<P: AsRef<[u32]>>(self, prompts: &[P]) -> Result<Generation<'a>, GenerateError> {
        let prompts: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| prompt.as_ref().to_vec())
            .collect();
        self.start(prompts)
    }

    fn start(self, prompts: Vec<Vec<u32>>) -> Result<Generation<'a>, GenerateError> {
        let started = Instant::now();
        let plan = Plan::new(&self.config)?;
        self.processors.check()?;
        let info = self.model.info();
        let prompts = match &self.encoder {
            None => self.decoder_prompts(&plan, prompts)?,
            Some((_, input)) => self.start_tokens(&plan, prompts, rows(input))?,
        };
        if prompts.is_empty() {
            return Err(GenerateError::EmptyBatch);
        }
        if let Some(found) = self
            .seeds
            .as_ref()
            .map(Vec::len)
            .filter(|len| *len != prompts.len())
        {
            return Err(GenerateError::Count {
                what: "seeds",
                expected: prompts.len(),
                found,
            });
        }
        let mut stop_strings = None;
        if !plan.stop_strings.is_empty() {
            let text = self.text.ok_or(GenerateError::NoText)?;
            stop_strings = Some(StopStrings::new(
                &plan.stop_strings,
                move |ids: &[u32]| text.text(ids),
            )?);
        }
        let mut cache = self.model.new_cache(&self.cache);
        let mut ready = Vec::with_capacity(prompts.len());
        for (i, tokens) in prompts.into_iter().enumerate() {
            known(&format!("prompt {i}"), &tokens, info.vocab_size)?;
            let max_length = plan.max_length(i, tokens.len(), info.max_position_embeddings)?;
            let encoder_tokens = match &self.encoder {
                None => Some(tokens.as_slice()),
                Some((_, input)) => encoder_tokens(input, i),
            };
            let (prompt_len, vocab_size) = (tokens.len(), info.vocab_size);
            let chain = Chain::new(
                &plan.config,
                &ChainInput {
                    prompt_len,
                    max_length,
                    encoder_tokens,
                    vocab_size,
                },
            )?;
            let seed = match &self.seeds {
                Some(seeds) => seeds[i],
                None => self.seed.wrapping_add(i as u64),
            };
            ready.push(Prompt {
                tokens,
                max_length,
                chain,
                seed,
                sequence: cache.add(),
            });
        }
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Err(GenerateError::Cancelled);
        }
        if let Some((model, input)) = &self.encoder {
            let sequences: Vec<SequenceId> = ready.iter().map(|prompt| prompt.sequence).collect();
            model.encode(input, &mut cache, &sequences)?;
        }
        let engine = Engine {
            model: self.model,
            cache,
            vocab_size: info.vocab_size,
            use_cache: plan.use_cache,
            on_device: false,
            prefill_chunk_size: plan.prefill_chunk_size,
            cancel: self.cancel,
            usage: Usage {
                prompt_tokens: ready.iter().map(|p| p.tokens.len()).sum(),
                ..Usage::default()
            },
            started,
            first_logits: None,
        };
        let stopping = Stopping {
            eos_token_ids: plan.eos_token_ids.clone(),
            stop_strings,
            max_time: plan.max_time,
            started,
            user: self.criteria,
        };
        Generation::new(
            engine,
            plan,
            stopping,
            self.processors,
            ready,
            self.run_ahead,
        )
    }

    /// The prompts of a decoder, empty ones begun.
    fn decoder_prompts(
        &self,
        plan: &Plan,
        mut prompts: Vec<Vec<u32>>,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        for (i, prompt) in prompts
            .iter_mut()
            .enumerate()
            .filter(|(_, prompt)| prompt.is_empty())
        {
            prompt.push(
                plan.config
                    .bos_token_id
                    .ok_or(GenerateError::EmptyPrompt { prompt: i })?,
            );
        }
        Ok(prompts)
    }

    /// The decoder's prompts of an encoder-decoder: `_prepare_decoder_input_ids_for_generation`.
    fn start_tokens(
        &self,
        plan: &Plan,
        prompts: Vec<Vec<u32>>,
        rows: usize,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let config = &plan.config;
        let starts = match (&config.decoder_start_token_id, config.bos_token_id) {
            (Some(starts), _) => starts.as_slice().to_vec(),
            (None, Some(bos)) => vec![bos],
            (None, None) => return Err(GenerateError::NoDecoderStart),
        };
        let starts = match starts[..] {
            [start] => vec![start; rows],
            _ if starts.len() == rows => starts,
            _ => {
                let what = "decoder_start_token_id";
                return Err(GenerateError::Count {
                    what,
                    expected: rows,
                    found: starts.len(),
                });
            }
        };
        if prompts.is_empty() {
            return Ok(starts.into_iter().map(|start| vec![start]).collect());
        }
        if prompts.len() != rows {
            return Err(GenerateError::Count {
                what: "prompts",
                expected: rows,
                found: prompts.len(),
            });
        }
        // Whisper's prompts are complete as they are. Elsewhere, unless a row already has it, the start
        // token comes first.
        let begun = prompts
            .iter()
            .zip(&starts)
            .any(|(prompt, start)| prompt.first() == Some(start));
        if begun || self.model.info().model_type == "whisper" {
            return match prompts.iter().position(Vec::is_empty) {
                Some(prompt) => Err(GenerateError::EmptyPrompt { prompt }),
                None => Ok(prompts),
            };
        }
        Ok(starts
            .into_iter()
            .zip(prompts)
            .map(|(start, prompt)| [vec![start], prompt].concat())
            .collect())
    }
}

impl std::fmt::Debug for Generator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator")
            .field("model", self.model.info())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// How many sequences an encoder's input has.
fn rows(input: &EncoderInput) -> usize {
    match input {
        EncoderInput::Tokens(batch) => batch.lengths.len(),
        EncoderInput::Features(features) => features.shape().first().copied().unwrap_or(0),
        _ => 0,
    }
}

/// The tokens of row `i` of an encoder's input, if it is text.
fn encoder_tokens(input: &EncoderInput, i: usize) -> Option<&[u32]> {
    match input {
        EncoderInput::Tokens(batch) => batch.spans().nth(i).and_then(|span| batch.tokens.get(span)),
        _ => None,
    }
}
