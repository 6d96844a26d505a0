//! gpt-oss: sinks in attention, a window on every other layer, biases everywhere, and experts with a
//! clamped gate.
//!
//! ```text
//! gate, up = clamp(gate, max 7), clamp(up, ±7)
//! expert   = down((up + 1) * gate * sigmoid(1.702 * gate))
//! ```
//!
//! Paper: OpenAI 2025, <https://arxiv.org/abs/2508.10925>.
//! Reference: transformers 5.23 `models/gpt_oss/modeling_gpt_oss.py`; golden: `tests/golden/gpt_oss*`.

use hfcore_config::{Keys, LayerType, RopeDefaults, RopeParameters, RopeScaling};
use hfcore_kernels::{ExpertKind, Router};

use super::llama::{LlamaConfig, LlamaDefaults};
use super::mixtral::{FeedForwardSpec, MoeLayer, MoeLayerSpec};
use super::read;
use crate::blocks::{AttentionSpec, MoeLayout, MoeSpec, NormSpec};
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `gpt_oss`.
pub const FAMILY: Family = Family::decoder::<GptOssConfig>(&["gpt_oss"]);

/// Llama's keys, the experts and the windows.
#[derive(Clone, Debug)]
pub struct GptOssConfig {
    /// What Llama has too; `intermediate_size` is that of an expert.
    pub llama: LlamaConfig,
    /// The window of each layer.
    pub windows: Vec<Option<usize>>,
    /// Number of experts.
    pub num_local_experts: usize,
    /// Experts that each token visits.
    pub num_experts_per_tok: usize,
    /// The bound of the gate.
    pub swiglu_limit: f32,
    /// The slope of its sigmoid.
    pub swiglu_alpha: f32,
}

const THETA: f64 = 150_000.0;

const DEFAULTS: LlamaDefaults = LlamaDefaults {
    rope: RopeDefaults::whole(THETA),
    head_dim: Some(64),
    rms_norm_eps: 1e-5,
    ..LlamaDefaults::LLAMA
};

impl Config for GptOssConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig {
            attention_bias: keys.flag_or("attention_bias", true),
            ..LlamaConfig::read_with_rope(keys, &DEFAULTS, |head_dim, max| {
                rope(keys, head_dim, max)
            })
        };
        let num_local_experts =
            keys.experts_or(keys.spelling(&["num_local_experts", "num_experts"]), 128);
        let window = keys.nullable_dim("sliding_window", 128);
        // Old names, beside the keys that decide; experts have a nonlinearity of their own, so that
        // `hidden_act` says nothing.
        keys.inert(&["experts_per_token", "initial_context_length"]);
        Self {
            windows: read::windows(keys, llama.num_hidden_layers, window, |i| match i % 2 {
                0 => LayerType::SlidingAttention,
                _ => LayerType::FullAttention,
            }),
            num_local_experts,
            num_experts_per_tok: read::experts_per_token(keys, num_local_experts, 4),
            swiglu_limit: keys.float_or("swiglu_limit", 7.0),
            swiglu_alpha: keys.float_or("swiglu_alpha", 1.702),
            llama,
        }
    }
}

/// The rotation; the class has one of its own where a file has none.
fn rope(keys: &Keys<'_>, head_dim: usize, max_position_embeddings: usize) -> RopeParameters {
    let given = ["rope_parameters", "rope_scaling"]
        .iter()
        .any(|key| keys.value(key).is_some_and(|v| !v.is_null()));
    let read = keys.rope(DEFAULTS.rope, head_dim, max_position_embeddings);
    if given {
        return read;
    }
    let factor: f64 = 32.0;
    read.with_scaling(RopeScaling::Yarn {
        factor,
        original_max_position_embeddings: 4096,
        attention_factor: 0.1 * factor.ln() + 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: false,
    })
}

impl DecoderConfig for GptOssConfig {
    type Layer = MoeLayer;

    fn spec(&self) -> DecoderSpec<MoeLayerSpec> {
        let moe = MoeSpec {
            hidden_size: self.llama.hidden_size,
            intermediate_size: self.llama.intermediate_size,
            num_experts: self.num_local_experts,
            num_experts_per_tok: self.num_experts_per_tok,
            router: Router::TopKSoftmax,
            kind: ExpertKind::ClampedSwiglu {
                limit: self.swiglu_limit,
                alpha: self.swiglu_alpha,
            },
            layout: MoeLayout::Interleaved { router: "router" },
        };
        let layer = |window: &Option<usize>| MoeLayerSpec {
            norm: NormSpec::rms(self.llama.rms_norm_eps),
            attention: AttentionSpec {
                sinks: true,
                sliding_window: *window,
                ..self.llama.attention()
            },
            mlp: FeedForwardSpec::Sparse {
                paths: &["mlp"],
                moe: moe.clone(),
            },
        };
        self.llama
            .skeleton(self.windows.iter().map(layer).collect())
    }
}
