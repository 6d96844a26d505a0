#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod activation;
mod error;
mod generation;
mod inert;
mod json;
pub mod keys;
mod layer_type;
mod pretrained;
mod quantization;
pub mod rope;
mod tokenizer;

pub use activation::Activation;
pub use error::{ConfigError, Problem};
pub use generation::{
    EarlyStopping, GenerationConfig, GenerationIssue, OneOrMany, Setting, WatermarkingConfig,
};
pub use json::{MAX_JSON_BYTES, MAX_JSON_VALUES};
pub use keys::{Accounting, Keys};
pub use layer_type::LayerType;
pub use pretrained::PretrainedConfig;
pub use quantization::{QuantizationConfig, QuantizationMethod};
pub use rope::{LayerRope, RopeDefaults, RopeFrequencies, RopeParameters, RopeScaling};
pub use tokenizer::{AddedToken, Side, TokenizerConfig};
