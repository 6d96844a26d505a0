//! Mistral: Llama with a window on attention.
//!
//! Paper: Jiang et al. 2023, <https://arxiv.org/abs/2310.06825>.
//! Reference: transformers 5.23 `models/mistral/modeling_mistral.py`; golden: `tests/golden/mistral*`.

use hfcore_config::Keys;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `mistral`.
pub const FAMILY: Family = Family::decoder::<MistralConfig>(&["mistral"]);

/// Llama's keys, and the window.
#[derive(Clone, Debug)]
pub struct MistralConfig {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// Positions a query sees, in every layer.
    pub sliding_window: Option<usize>,
}

impl Config for MistralConfig {
    fn read(keys: &Keys<'_>) -> Self {
        keys.refuse_unless_null(
            "layer_types",
            "transformers loads a Mistral with layer types as `ministral`",
        );
        Self {
            llama: LlamaConfig::read_base(keys, &LlamaDefaults::LLAMA),
            sliding_window: keys.nullable_dim("sliding_window", 4096),
        }
    }
}

impl DecoderConfig for MistralConfig {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for layer in &mut spec.layers {
            layer.attention.sliding_window = self.sliding_window;
        }
        spec
    }
}
