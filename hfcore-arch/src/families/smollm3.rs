//! SmolLM 3: Llama without a rotation in every fourth layer.
//!
//! No positional embedding in some layers: Yang et al. 2025, <https://arxiv.org/abs/2501.18795>.
//! Reference: transformers 5.23 `models/smollm3/modeling_smollm3.py`; golden: `tests/golden/smollm3*`.

use hfcore_config::{Keys, LayerType, RopeDefaults};

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use super::read;
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `smollm3`.
pub const FAMILY: Family = Family::decoder::<SmolLm3Config>(&["smollm3"]);

/// Llama's keys, which layers rotate, and windows.
#[derive(Clone, Debug)]
pub struct SmolLm3Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// Whether each layer rotates: `no_rope_layers`, where 1 means that it does.
    pub rotates: Vec<bool>,
    /// The window of each layer.
    pub windows: Vec<Option<usize>>,
}

const DEFAULTS: LlamaDefaults = LlamaDefaults {
    rope: RopeDefaults::whole(2_000_000.0),
    tie_word_embeddings: true,
    ..LlamaDefaults::LLAMA
};

impl Config for SmolLm3Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig {
            attention_bias: keys.flag_or("attention_bias", false),
            mlp_bias: keys.flag_or("mlp_bias", false),
            ..LlamaConfig::read_base(keys, &DEFAULTS)
        };
        let layers = llama.num_hidden_layers;
        let rotates = rotates(keys, layers);
        let used = keys.flag_or("use_sliding_window", false);
        let window = keys.opt_dim("sliding_window").filter(|_| used);
        let windows = read::windows(keys, layers, window, |i| match (window, rotates[i]) {
            (Some(_), false) => LayerType::SlidingAttention,
            _ => LayerType::FullAttention,
        });
        Self {
            llama,
            rotates,
            windows,
        }
    }
}

fn rotates(keys: &Keys<'_>, layers: usize) -> Vec<bool> {
    let interval = keys.dim_or("no_rope_layer_interval", 4);
    let Some(listed) = keys.dims("no_rope_layers") else {
        return (0..layers).map(|i| (i + 1) % interval != 0).collect();
    };
    if listed.len() < layers {
        let message = format!(
            "must have an element for each of {layers} layers, found {}",
            listed.len()
        );
        keys.problem("no_rope_layers", message);
    }
    (0..layers)
        .map(|i| listed.get(i).is_none_or(|&flag| flag != 0))
        .collect()
}

impl DecoderConfig for SmolLm3Config {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for ((layer, rotates), window) in
            spec.layers.iter_mut().zip(&self.rotates).zip(&self.windows)
        {
            layer.attention.rope = rotates.then_some(0);
            layer.attention.sliding_window = *window;
        }
        spec
    }
}
