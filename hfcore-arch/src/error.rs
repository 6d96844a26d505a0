//! What can go wrong with a model: while it is loaded, and while it runs.

use hfcore_config::ConfigError;
use hfcore_kernels::DeviceError;
use hfcore_weights::LoadError;

use crate::cache::SequenceId;

/// Why a model could not be built from a configuration and a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// `config.json` is malformed, or asks for what this family does not implement.
    #[error("config.json does not describe a model that can be built")]
    Config(#[from] ConfigError),
    /// The checkpoint does not fit the model that `config.json` describes.
    #[error("the checkpoint does not fit the model that config.json describes")]
    Load(#[from] LoadError),
    /// The device has no room for the weights, or failed while they were brought to it.
    #[error("the model's weights could not be brought to the device")]
    Device(#[from] DeviceError),
    /// No registered family answers for this `model_type`.
    #[error(
        "model_type \"{model_type}\" is not registered{}; registered are {}. A family is added with \
         Registry::with (see docs/adding-an-architecture.md)",
        if *.auto_map { " (the repository carries Python code, which hfcore never runs)" } else { "" },
        .registered.join(", ")
    )]
    UnknownModelType {
        /// The `model_type` of `config.json`.
        model_type: String,
        /// Every `model_type` that is registered, sorted.
        registered: Vec<String>,
        /// Whether the repository points to Python code of its own (`auto_map`).
        auto_map: bool,
    },
    /// `config.json` has no `model_type`.
    #[error(
        "config.json has no model_type, so no family can be chosen; add the one that transformers uses for this architecture"
    )]
    NoModelType,
    /// The family exists and does not have this head.
    #[error("{model_type} has no {head}; it can be loaded as {}", .available.join(", "))]
    NoSuchHead {
        /// The family.
        model_type: String,
        /// The head that was asked for.
        head: &'static str,
        /// The heads that the family has.
        available: Vec<&'static str>,
    },
    /// The weights are quantized in a way that is not implemented.
    #[error(
        "quantization_config.quant_method = \"{method}\" is not supported: load a checkpoint in float32, float16 or bfloat16"
    )]
    Quantized {
        /// The quantization method.
        method: String,
    },
    /// Keys of `config.json` that the family does not define, under `strict`.
    #[error("config.json has keys that {model_type} does not define: {}", .keys.join(", "))]
    UnreadKeys {
        /// The family.
        model_type: String,
        /// The keys.
        keys: Vec<String>,
    },
}

/// Why a model could not run on what it was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// There is nothing to compute.
    #[error("the input is empty: at least one token is needed")]
    Empty,
    /// A token id is outside the vocabulary.
    #[error("token id {token} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A token type id is outside the model's.
    #[error("token type id {token_type} is outside the {type_vocab_size} that the model has")]
    TokenTypeOutOfRange {
        /// The id.
        token_type: u32,
        /// Rows of the embedding.
        type_vocab_size: usize,
    },
    /// The sequence would be longer than the model allows.
    #[error("{new} tokens at position {position} exceed the context of {max}")]
    ContextFull {
        /// Position of the first new token.
        position: usize,
        /// New tokens.
        new: usize,
        /// The longest sequence the model allows.
        max: usize,
    },
    /// The cache has no such sequence.
    #[error("the cache has no sequence {0:?}; Cache::add makes one")]
    UnknownSequence(SequenceId),
    /// A step names one sequence twice.
    #[error("a step has two spans of sequence {0:?}")]
    RepeatedSequence(SequenceId),
    /// The cache was made for another model.
    #[error("the cache has {found} layers and the model {expected}: it was made by another model")]
    ForeignCache {
        /// Layers of the model.
        expected: usize,
        /// Layers of the cache.
        found: usize,
    },
    /// The decoder of an encoder-decoder was run before its encoder.
    #[error("sequence {0:?} has no encoder output; run the encoder first")]
    NotEncoded(SequenceId),
    /// An input has another shape or kind than the model takes.
    #[error("{input}: expected {expected}, found {found}")]
    Input {
        /// The input's name.
        input: &'static str,
        /// What the model takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The device failed.
    #[error("the device failed")]
    Device(#[from] DeviceError),
}

/// Why a cache could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The cache has no such sequence.
    #[error("the cache has no sequence {0:?}")]
    UnknownSequence(SequenceId),
    /// The sequence is shorter than what it should be cut to.
    #[error("sequence {sequence:?} has {len} tokens and cannot be cut to {wanted}")]
    TooShort {
        /// The sequence.
        sequence: SequenceId,
        /// Its length.
        len: usize,
        /// The length that was asked for.
        wanted: usize,
    },
    /// A sliding window has dropped keys that the shorter sequence would need.
    #[error(
        "sequence {sequence:?} cannot be cut to {wanted} tokens: a sliding window has dropped keys it would need, the shortest it can be is {shortest}"
    )]
    Evicted {
        /// The sequence.
        sequence: SequenceId,
        /// The length that was asked for.
        wanted: usize,
        /// The shortest length that can still be had.
        shortest: usize,
    },
}
