//! What can go wrong between a prompt and its continuation.

use hfcore_arch::{CacheError, ForwardError};
use hfcore_config::ConfigError;
use hfcore_kernels::sample::SampleError;

/// Why tokens could not be generated.
///
/// Everything that depends on the settings or the prompts is found before the model runs.
/// [`Numerical`](Self::Numerical) ends one sequence and leaves the others of a batch as they are;
/// everything else ends the generation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The generation configuration contradicts itself.
    #[error("the generation configuration cannot be used")]
    Config(#[from] ConfigError),
    /// A setting asks for something that is not implemented.
    #[error("{field} = {value} is not supported: {hint}")]
    Unsupported {
        /// The field of the generation configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// A setting has a value that makes no sense.
    #[error("{field} must be {expected}, but is {value}")]
    Setting {
        /// The field of the generation configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A setting or a prompt names a token that the model cannot produce or read.
    #[error("{place} has token id {token}, outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The prompt or the field.
        place: String,
        /// The id.
        token: u64,
        /// Width of the logits.
        vocab_size: usize,
    },
    /// There is no prompt at all.
    #[error("there is no prompt: a batch needs at least one")]
    EmptyBatch,
    /// A prompt has no tokens, and the model has no `bos_token_id` to start from.
    #[error(
        "prompt {prompt} is empty and there is no bos_token_id to start from; give it at least one token"
    )]
    EmptyPrompt {
        /// Index of the prompt.
        prompt: usize,
    },
    /// A prompt leaves no room for a new token.
    #[error(
        "prompt {prompt} has {len} tokens, but max_length is {max_length}, prompt included; \
         raise max_length or, better, set max_new_tokens"
    )]
    PromptTooLong {
        /// Index of the prompt.
        prompt: usize,
        /// Its length.
        len: usize,
        /// The longest sequence allowed.
        max_length: usize,
    },
    /// Prompt and continuation do not fit the model.
    #[error(
        "prompt {prompt} has {len} tokens and up to {new} new ones were asked for: more than the \
         {context} that the model allows; shorten the prompt or lower max_new_tokens"
    )]
    ContextExceeded {
        /// Index of the prompt.
        prompt: usize,
        /// Its length.
        len: usize,
        /// New tokens asked for.
        new: usize,
        /// `max_position_embeddings` of the model.
        context: usize,
    },
    /// An encoder-decoder has no token to start its decoder with.
    #[error("decoder_start_token_id or bos_token_id has to be set for an encoder-decoder")]
    NoDecoderStart,
    /// As many values as prompts are needed.
    #[error("{what}: expected one for each of the {expected} prompts, found {found}")]
    Count {
        /// What there should be one of for each prompt.
        what: &'static str,
        /// Prompts.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// `stop_strings` need the text of tokens.
    #[error(
        "stop_strings are set but nothing turns tokens into text; give the tokenizer with Generator::with_text"
    )]
    NoText,
    /// The scores of a sequence are no distribution. The sequence has ended; its neighbours have not.
    #[error(
        "the scores for token {position} of sequence {sequence} {problem}; \
         the weights or a logits processor are at fault (remove_invalid_values = true would go on)"
    )]
    Numerical {
        /// Index of the sequence: prompt times `num_return_sequences` plus rank.
        sequence: usize,
        /// Position of the token, prompt included.
        position: usize,
        /// What is wrong.
        problem: NumericalProblem,
    },
    /// The model returned logits of another shape than was asked for.
    #[error(
        "the model returned {rows} rows of {vocab_size} logits, expected {expected_rows} of {expected_vocab_size}"
    )]
    Logits {
        /// Rows returned.
        rows: usize,
        /// Their width.
        vocab_size: usize,
        /// Rows asked for.
        expected_rows: usize,
        /// Width that the model promised.
        expected_vocab_size: usize,
    },
    /// A [`CancelToken`](crate::CancelToken) was used.
    #[error("generation was cancelled")]
    Cancelled,
    /// The model could not run.
    #[error("the model could not run")]
    Forward(#[from] ForwardError),
    /// The cache could not do what was asked.
    #[error("the cache could not be updated")]
    Cache(#[from] CacheError),
}

/// What is wrong with the scores of a next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NumericalProblem {
    /// At least one is NaN.
    Nan,
    /// At least one is `+inf`.
    PositiveInfinity,
    /// All are `-inf`: every token has been removed.
    NoneLeft,
}

impl From<SampleError> for NumericalProblem {
    fn from(error: SampleError) -> Self {
        match error {
            SampleError::Nan => Self::Nan,
            SampleError::PositiveInfinity => Self::PositiveInfinity,
            SampleError::NoneLeft => Self::NoneLeft,
        }
    }
}

impl std::fmt::Display for NumericalProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nan => "contain NaN",
            Self::PositiveInfinity => "contain +inf",
            Self::NoneLeft => "are all -inf",
        })
    }
}

/// `Err` with the field's name unless `ok`.
pub(crate) fn require(
    ok: bool,
    field: &'static str,
    value: &dyn std::fmt::Debug,
    expected: &'static str,
) -> Result<(), GenerateError> {
    if ok {
        Ok(())
    } else {
        Err(GenerateError::Setting {
            field,
            value: format!("{value:?}"),
            expected,
        })
    }
}
