//! Qwen 2 and 2.5: Llama with biases on queries, keys and values, and a window on upper layers if asked.
//!
//! Paper: Yang et al. 2024, <https://arxiv.org/abs/2407.10671>.
//! Reference: transformers 5.23 `models/qwen2/modeling_qwen2.py`; golden: `tests/golden/qwen2*`.

use hfcore_config::{Keys, LayerType};

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use super::read;
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `qwen2`.
pub const FAMILY: Family = Family::decoder::<Qwen2Config>(&["qwen2"]);

/// Llama's keys, and the windows.
#[derive(Clone, Debug)]
pub struct Qwen2Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// The window of each layer.
    pub windows: Vec<Option<usize>>,
}

impl Config for Qwen2Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig::read_base(keys, &LlamaDefaults::LLAMA);
        let windows = windows(keys, llama.num_hidden_layers);
        Self { llama, windows }
    }
}

/// The window of each layer of Qwen 2 and 3: with `use_sliding_window`, from layer `max_window_layers` on.
pub(super) fn windows(keys: &Keys<'_>, num_layers: usize) -> Vec<Option<usize>> {
    let used = keys.flag_or("use_sliding_window", false);
    let window = keys.nullable_dim("sliding_window", 4096).filter(|_| used);
    let from = keys.count_or("max_window_layers", 28);
    read::windows(keys, num_layers, window, |i| match window {
        Some(_) if i >= from => LayerType::SlidingAttention,
        _ => LayerType::FullAttention,
    })
}

impl DecoderConfig for Qwen2Config {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for (layer, window) in spec.layers.iter_mut().zip(&self.windows) {
            layer.attention.qkv_bias = true;
            layer.attention.sliding_window = *window;
        }
        spec
    }
}
