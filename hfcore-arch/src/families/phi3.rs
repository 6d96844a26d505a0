//! Phi 3, 3.5, 4 and 4-mini: Llama with fused projections, LongRoPE, and part of each head rotated.
//!
//! Paper: Abdin et al. 2024, <https://arxiv.org/abs/2404.14219>.
//! Reference: transformers 5.23 `models/phi3/modeling_phi3.py`; golden: `tests/golden/phi3*`.

use hfcore_config::{Keys, RopeDefaults, RopeScaling};

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use crate::blocks::ProjectionLayout;
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `phi3`.
pub const FAMILY: Family = Family::decoder::<Phi3Config>(&["phi3"]);

/// Llama's keys, and the window.
#[derive(Clone, Debug)]
pub struct Phi3Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// Positions a query sees, in every layer.
    pub sliding_window: Option<usize>,
}

const DEFAULTS: LlamaDefaults = LlamaDefaults {
    rope: RopeDefaults::partial(10_000.0, 1.0),
    rms_norm_eps: 1e-5,
    ..LlamaDefaults::LLAMA
};

impl Config for Phi3Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig::read_base(keys, &DEFAULTS);
        // Written by the first releases; the class has no such switches and attends without biases.
        keys.refuse_unless_false("attention_bias", "Phi-3 attends without biases");
        Self {
            llama,
            sliding_window: keys.opt_dim("sliding_window"),
        }
    }
}

impl DecoderConfig for Phi3Config {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for layer in &mut spec.layers {
            layer.attention.layout = ProjectionLayout::Fused(["qkv_proj", "o_proj"]);
            layer.fused_gate_up = true;
            layer.attention.sliding_window = self.sliding_window;
        }
        // Where LongRoPE changes from its short factors to its long ones.
        let recompute_beyond = match self.llama.rope_parameters.scaling {
            RopeScaling::LongRope {
                original_max_position_embeddings,
                ..
            } => Some(original_max_position_embeddings),
            _ => None,
        };
        DecoderSpec {
            recompute_beyond,
            ..spec
        }
    }
}
