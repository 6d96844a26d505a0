//! Gemma 1: Llama with scaled embeddings, gains stored as their difference from one, and `GeGLU`.
//!
//! Paper: Gemma Team 2024, <https://arxiv.org/abs/2403.08295>.
//! Reference: transformers 5.23 `models/gemma/modeling_gemma.py`; golden: `tests/golden/gemma*`.

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::Activation;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use super::read;
use crate::blocks::NormSpec;
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `gemma`.
pub const FAMILY: Family = Family::decoder::<GemmaConfig>(&["gemma"]);

/// Llama's keys, with Gemma's defaults.
#[derive(Clone, Debug)]
pub struct GemmaConfig {
    /// What Llama has too.
    pub llama: LlamaConfig,
}

impl Config for GemmaConfig {
    fn read(keys: &Keys<'_>) -> Self {
        // Files of the first release say `gelu` and mean the approximation by tanh.
        let hidden_act = match read::activation_or(keys, "hidden_act", Named::GeluPytorchTanh) {
            Activation::Gelu => Activation::GeluTanh,
            other => other,
        };
        // Read by no version of the class since 4.42; `hidden_act` decides.
        keys.inert(&["hidden_activation"]);
        refuse_bidirectional(keys);
        let llama = LlamaConfig::read_base(keys, &DEFAULTS);
        Self {
            llama: LlamaConfig {
                hidden_act,
                attention_bias: attention_bias(keys),
                ..llama
            },
        }
    }
}

/// The defaults that all of Gemma's classes share.
pub(super) const DEFAULTS: LlamaDefaults = LlamaDefaults {
    head_dim: Some(256),
    tie_word_embeddings: true,
    ..LlamaDefaults::LLAMA
};

/// Whether the projections of attention have biases.
pub(super) fn attention_bias(keys: &Keys<'_>) -> bool {
    keys.flag_or("attention_bias", false)
}

/// Embedding models of the family look both ways.
pub(super) fn refuse_bidirectional(keys: &Keys<'_>) {
    keys.refuse_unless_false(
        "use_bidirectional_attention",
        "attention in both directions is not implemented in this decoder",
    );
}

/// What embeddings are multiplied by.
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(super) fn embed_scale(hidden_size: usize) -> f32 {
    (hidden_size as f32).sqrt()
}

impl DecoderConfig for GemmaConfig {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let norm = NormSpec::rms_unit_offset(self.llama.rms_norm_eps);
        let spec = self
            .llama
            .spec()
            .map_layers(|layer| LlamaLayerSpec { norm, ..layer });
        DecoderSpec {
            norm,
            embed_scale: embed_scale(self.llama.hidden_size),
            ..spec
        }
    }
}
