//! `text-generation`: a text in, its continuation out.
//!
//! Reference: transformers 5.23 `pipelines/text_generation.py`. Where neither the caller nor the model's
//! files say otherwise it samples at temperature 0.7 and stops after 256 new tokens.

use std::fmt;
use std::path::Path;

use hfcore_config::GenerationConfig;
use hfcore_generate::{CancelToken, FinishReason, Generation, Generator, Usage};
use hfcore_tokenize::{ChatOptions, ContinueFinalMessage, DecodeStream, Message, Tokenizer};

use crate::auto::AutoModelForCausalLm;
use crate::error::Error;
use crate::model_dir::ModelDir;
use crate::pretrained::Pretrained;

/// A language model with its tokenizer.
#[derive(Debug)]
pub struct TextGenerationPipeline {
    model: AutoModelForCausalLm,
    tokenizer: Tokenizer,
    seed: u64,
}

/// A text and its continuation. Prints both.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GeneratedText {
    /// What was continued.
    pub prompt: String,
    /// The continuation, without special tokens.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: Option<FinishReason>,
    /// What it cost; of a batch, what all of it cost.
    pub usage: Usage,
}

impl fmt::Display for GeneratedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prompt, self.text)
    }
}

impl TextGenerationPipeline {
    /// The model of this name and its tokenizer: a folder's path, or `org/name` of the Hub.
    ///
    /// # Errors
    /// If it cannot be had, or either cannot be loaded.
    pub fn from_pretrained(source: impl Into<Pretrained>) -> Result<Self, Error> {
        let dir = source.into().fetch()?;
        let tokenizer = dir.tokenizer()?;
        Ok(Self::new(
            AutoModelForCausalLm::from_pretrained(dir)?,
            tokenizer,
        ))
    }

    /// The model and the tokenizer in the folder `path`. The network is never touched.
    ///
    /// # Errors
    /// If either cannot be loaded.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from_pretrained(ModelDir::new(path)?)
    }

    /// Of a model and a tokenizer that are loaded already.
    #[must_use]
    pub const fn new(model: AutoModelForCausalLm, tokenizer: Tokenizer) -> Self {
        Self {
            model,
            tokenizer,
            seed: 0,
        }
    }

    /// The seed of sampling, 0 by default: the same seed gives the same text.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// [`with_seed`](Self::with_seed) of a pipeline in use.
    pub const fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &AutoModelForCausalLm {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The prompt that the model's chat template makes of a conversation, for an answer to follow.
    ///
    /// Such a prompt has its special tokens already.
    ///
    /// # Errors
    /// If the model has no chat template or it fails.
    pub fn chat_prompt(&self, messages: &[Message]) -> Result<Prompt, Error> {
        self.chat_prompt_with(messages, &ChatOptions::default())
    }

    /// [`chat_prompt`](Self::chat_prompt) with tools, documents and variables for the template.
    ///
    /// # Errors
    /// As there.
    pub fn chat_prompt_with(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<Prompt, Error> {
        let mut options = options.clone();
        options.now.get_or_insert_with(local_now);
        options.add_generation_prompt |= options.continue_final_message == ContinueFinalMessage::No;
        let text = self.tokenizer.apply_chat_template(messages, &options)?;
        Ok(Prompt {
            text,
            special_tokens: false,
        })
    }

    /// Continue `prompt`, and wait for the end.
    ///
    /// `config` is the caller's; what it leaves unset is the model's, then the task's.
    ///
    /// # Errors
    /// If the prompt or the configuration cannot be used, or the model fails.
    pub fn generate(
        &self,
        prompt: impl Into<Prompt>,
        config: &GenerationConfig,
    ) -> Result<GeneratedText, Error> {
        let mut texts = self.generate_batch(&[prompt.into()], config)?;
        Ok(texts.swap_remove(0))
    }

    /// Continue several prompts at once, each as it would be alone. With `num_return_sequences`, that
    /// many texts for each prompt.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_batch<P: Clone + Into<Prompt>>(
        &self,
        prompts: &[P],
        config: &GenerationConfig,
    ) -> Result<Vec<GeneratedText>, Error> {
        let prompts: Vec<Prompt> = prompts.iter().cloned().map(Into::into).collect();
        let tokens = prompts
            .iter()
            .map(|prompt| self.encode(prompt))
            .collect::<Result<Vec<_>, _>>()?;
        let config = self.config(config);
        let output = self.generator(&config).generate(&tokens)?;
        let per_prompt = (output.sequences.len() / prompts.len().max(1)).max(1);
        let texts = output
            .sequences
            .iter()
            .enumerate()
            .map(|(i, sequence)| GeneratedText {
                prompt: prompts[i / per_prompt].text.clone(),
                text: self.tokenizer.decode(sequence.new_tokens(), true),
                tokens: sequence.new_tokens().to_vec(),
                finish_reason: sequence.finish_reason,
                usage: output.usage,
            });
        Ok(texts.collect())
    }

    /// Continue `prompt` piece by piece: an iterator over text as it comes, never half a character.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn stream(
        &self,
        prompt: impl Into<Prompt>,
        config: &GenerationConfig,
    ) -> Result<TextStream<'_>, Error> {
        self.stream_with(prompt, config, &CancelToken::new())
    }

    /// [`stream`](Self::stream) that another thread can stop.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn stream_with(
        &self,
        prompt: impl Into<Prompt>,
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<TextStream<'_>, Error> {
        Ok(TextStream {
            generation: self.generation(&prompt.into(), config, cancel)?,
            decoder: Some(self.tokenizer.decode_stream(true)),
        })
    }

    /// The tokens that continue a prompt.
    pub(super) fn generation(
        &self,
        prompt: &Prompt,
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<Generation<'_>, Error> {
        let tokens = self.encode(prompt)?;
        let generator = self.generator(&self.config(config)).with_cancel(cancel);
        Ok(generator.stream(&[tokens])?)
    }

    fn generator(&self, config: &GenerationConfig) -> Generator<'_> {
        let text = |ids: &[u32]| self.tokenizer.decode(ids, false);
        Generator::new(self.model.model(), config)
            .with_seed(self.seed)
            .with_text(text)
    }

    fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        Ok(self
            .tokenizer
            .encode(&prompt.text, prompt.special_tokens)?
            .ids)
    }

    /// The caller's configuration over the model's over the task's.
    fn config(&self, config: &GenerationConfig) -> GenerationConfig {
        let config = config.clone().merge(self.model.generation_config());
        let mut task = GenerationConfig::default()
            .with_do_sample(true)
            .with_temperature(0.7);
        if config.max_length.is_none() {
            task = task.with_max_new_tokens(256);
        }
        config.merge(&task)
    }
}

/// What a pipeline continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    text: String,
    /// Whether the tokenizer adds its special tokens: not to what a chat template wrote.
    special_tokens: bool,
}

impl Prompt {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            special_tokens: true,
        }
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self {
            text,
            special_tokens: true,
        }
    }
}

/// A continuation as it comes: an iterator over pieces of text.
#[derive(Debug)]
pub struct TextStream<'a> {
    generation: Generation<'a>,
    decoder: Option<DecodeStream>,
}

impl TextStream<'_> {
    /// The tokens so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.generation
            .sequences()
            .first()
            .map_or(&[], |sequence| sequence.new_tokens())
    }

    /// Why it ended; `None` while it has not.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.generation
            .sequences()
            .first()
            .and_then(|sequence| sequence.finish_reason)
    }

    /// What it has cost so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.generation.usage()
    }
}

impl Iterator for TextStream<'_> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.generation.next() {
                Some(Ok(token)) => {
                    let piece = self.decoder.as_mut()?.push(token.id);
                    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                        return Some(Ok(piece));
                    }
                }
                Some(Err(error)) => return Some(Err(error.into())),
                None => {
                    let rest = self.decoder.take()?.finish()?;
                    return (!rest.is_empty()).then_some(Ok(rest));
                }
            }
        }
    }
}

/// Seconds since 1970 that the clock on the wall shows: what Python's `datetime.now` tells a template.
fn local_now() -> i64 {
    let now = jiff::Zoned::now();
    now.timestamp().as_second() + i64::from(now.offset().seconds())
}
