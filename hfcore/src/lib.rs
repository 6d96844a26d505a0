#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod auto;
#[cfg(feature = "wgpu")]
mod devices;
mod error;
mod model_dir;
mod packed;
pub mod padded;
mod pipeline;
mod pretrained;
pub mod verify;

pub use hfcore_arch::{
    Cache, CacheDType, CacheOptions, CausalLm, EncoderInput, EncoderOutput, Family,
    ImageClassifier, ImageEncoder, Logits, LogitsFor, MaskedLm, ModelError, ModelInfo, NoProbe,
    Probe, Registry, Seq2Seq, SequenceClassifier, SequenceId, Step, TextEncoder, TokenBatch,
};
pub use hfcore_config::{GenerationConfig, PretrainedConfig};
pub use hfcore_generate::logits_process::Candidates;
pub use hfcore_generate::{
    CancelToken, Effect, FinishReason, GenerateError, Generation, Generator, LogitsProcessor,
    Token, Usage,
};
pub use hfcore_kernels::{
    CpuOptions, DType, Device, DeviceError, GroupSize, Isa, Precision, QuantFormat, Tensor, Work,
    probe,
};
#[cfg(feature = "wgpu")]
pub use hfcore_kernels::{
    WgpuAdapter, WgpuAdapterType, WgpuCounters, WgpuForce, WgpuOptions, WgpuPower, WgpuSelect,
    WgpuTier,
};
pub use hfcore_tokenize::{
    Answer, AnswerEvent, AnswerFormat, AnswerParser, ChatOptions, ContinueFinalMessage,
    DecodeStream, Encoding, Message, TokenizeError, Tokenizer, ToolCall,
};

/// What an architecture of one's own is written with.
pub use hfcore_arch as arch;
/// The Hugging Face Hub: the cache, and with the feature `hub` downloads, search, model cards and publishing.
pub use hfcore_hub as hub;
/// Tensors by name: opening, reading and saving checkpoints.
pub use hfcore_weights as weights;

pub use crate::auto::{
    AutoConfig, AutoImageModel, AutoModel, AutoModelBuilder, AutoModelForCausalLm,
    AutoModelForImageClassification, AutoModelForMaskedLm, AutoModelForSeq2SeqLm,
    AutoModelForSequenceClassification, AutoModelForSpeechSeq2Seq, AutoTextModel, AutoTokenizer,
    Head,
};
#[cfg(feature = "wgpu")]
pub use crate::devices::{WGPU_ADAPTER, WGPU_FORCE, wgpu_options};
pub use crate::error::Error;
pub use crate::model_dir::{ModelDir, Origin};
pub use crate::packed::{Packed, PackedCache, Quantization};
pub use crate::pipeline::{
    AnswerStream, GeneratedText, Pipeline, PipelineOutput, Prompt, TextGenerationPipeline,
    TextStream, pipeline,
};
pub use crate::pretrained::Pretrained;

/// The documents whose code is compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../docs/adding-an-architecture.md")]
    mod adding_an_architecture {}
    #[doc = include_str!("../../docs/porting-from-transformers.md")]
    mod porting_from_transformers {}
    #[doc = include_str!("../../docs/adding-a-kernel.md")]
    mod adding_a_kernel {}
    #[doc = include_str!("../../docs/numerics.md")]
    mod numerics {}
    #[cfg(feature = "wgpu")]
    #[doc = include_str!("../../docs/gpu.md")]
    mod gpu {}
    #[cfg(feature = "hub")]
    #[doc = include_str!("../../docs/hub.md")]
    mod hub {}
}
