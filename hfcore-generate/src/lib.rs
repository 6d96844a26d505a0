#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod beam_search;
mod cancel;
mod engine;
mod error;
mod generation;
mod generator;
pub mod logits_process;
mod math;
mod output;
mod plan;
mod random;
mod sampler;
mod stop_strings;
mod stopping_criteria;

pub use cancel::CancelToken;
pub use error::{GenerateError, NumericalProblem};
pub use generation::Generation;
pub use generator::Generator;
pub use logits_process::{Effect, LogitsProcessor, LogitsProcessorList};
pub use output::{Output, Sequence, Token, Usage};
pub use sampler::Sampler;
pub use stop_strings::{StopStrings, TokenText};
pub use stopping_criteria::{FinishReason, StoppingCriteria};
