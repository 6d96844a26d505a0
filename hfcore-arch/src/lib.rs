//! Architectures as code: the blocks, the families made of them, and the registry that finds a family
//! by the `model_type` of a `config.json`.
//!
//! A new architecture stands on the lowest of three rungs that works:
//!
//! 1. *other numbers*: a configuration and a few lines that change a spec ([`families::qwen3`]);
//! 2. *other wiring*: the shared [`blocks`] in another order ([`families::granite`]);
//! 3. *a new idea*: a new block first, then one of the above.
//!
//! A model is immutable and shared between threads. What changes is in a [`Cache`], and a [`Step`] is
//! what is new: tokens of any number of sequences, without padding.

#![forbid(unsafe_code)]

pub mod blocks;
mod cache;
mod decoder;
mod encoder;
mod encoder_decoder;
mod error;
pub mod families;
mod family;
mod loader;
mod model;
mod pass;
mod probe;
mod quantize;
mod registry;
mod step;
mod text_encoder;
mod vision;

pub use cache::{Cache, CacheDType, CacheOptions, LayerCacheSpec, SequenceId};
pub use decoder::{Config, Decoder, DecoderConfig, DecoderLayer, DecoderNames, DecoderSpec};
pub use encoder::{EncoderLayer, EncoderStack};
pub use encoder_decoder::{CrossLayer, Encoded, EncoderDecoder, SourceEncoder};
pub use error::{CacheError, ForwardError, ModelError};
pub use family::{Family, Load, LoadOptions, Loaded, Source};
pub use loader::Loader;
pub use model::{
    CausalLm, EncoderInput, EncoderOutput, ImageClassifier, ImageEncoder, Logits, MaskedLm,
    ModelInfo, Seq2Seq, SequenceClassifier, TextEncoder, TokenBatch,
};
pub use pass::{Limits, Pass};
pub use probe::{NoProbe, Probe};
pub use quantize::{Part, Quantize, QuantizeReport};
pub use registry::Registry;
pub use step::{LogitsFor, Span, Step};
pub use text_encoder::{
    MaskedLmConfig, MaskedLmModel, SequenceClassifierConfig, SequenceClassifierModel, SequenceHead,
    TextEncoderConfig, TextEncoderNames, TextEncoderSpec, TextModel, load_masked_lm,
    load_sequence_classifier, load_text_encoder,
};
pub use vision::{
    ImageClassifierModel, ImageEncoderConfig, ImageEncoderNames, ImageEncoderSpec, ImageModel,
    load_image_classifier, load_image_encoder,
};

/// What an architecture is written with, besides this crate: its configuration's cursor and values,
/// and the operations on tensors. Re-exported so that a downstream family needs one dependency.
pub use hfcore_config as config;
pub use hfcore_kernels as kernels;

/// The README's code is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
