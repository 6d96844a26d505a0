//! Qwen 3: Llama with a norm on each head of queries and keys, and a window on upper layers if asked.
//!
//! Paper: Yang et al. 2025, <https://arxiv.org/abs/2505.09388>.
//! Reference: transformers 5.23 `models/qwen3/modeling_qwen3.py`; golden: `tests/golden/qwen3*`.

use hfcore_config::Keys;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use super::qwen2;
use crate::blocks::QkNorm;
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `qwen3`.
pub const FAMILY: Family = Family::decoder::<Qwen3Config>(&["qwen3"]);

/// Llama's keys, and the windows.
#[derive(Clone, Debug)]
pub struct Qwen3Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// The window of each layer.
    pub windows: Vec<Option<usize>>,
}

/// The class has a head width of its own, whatever `hidden_size` is.
pub(super) const DEFAULTS: LlamaDefaults = LlamaDefaults {
    head_dim: Some(128),
    ..LlamaDefaults::LLAMA
};

impl Config for Qwen3Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig {
            attention_bias: keys.flag_or("attention_bias", false),
            ..LlamaConfig::read_base(keys, &DEFAULTS)
        };
        let windows = qwen2::windows(keys, llama.num_hidden_layers);
        Self { llama, windows }
    }
}

impl DecoderConfig for Qwen3Config {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for (layer, window) in spec.layers.iter_mut().zip(&self.windows) {
            layer.attention.qk_norm = Some(QkNorm::PerHead(layer.norm));
            layer.attention.sliding_window = *window;
        }
        spec
    }
}
