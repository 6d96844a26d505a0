//! Gemma 3, the text model: Gemma 2 with normed queries and keys, five layers with a window to one
//! without, and a rotation for each kind.
//!
//! Paper: Gemma Team 2025, <https://arxiv.org/abs/2503.19786>.
//! Reference: transformers 5.23 `models/gemma3/modeling_gemma3.py`; golden: `tests/golden/gemma3_text*`.

use hfcore_config::{Keys, LayerRope, LayerType, RopeDefaults, RopeParameters};

use super::gemma;
use super::gemma2::{self, Gemma2Config, Gemma2Layer, Gemma2LayerSpec};
use super::llama::LlamaConfig;
use crate::blocks::{AttentionSpec, NormSpec, QkNorm};
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `gemma3_text`.
pub const FAMILY: Family = Family::decoder::<Gemma3TextConfig>(&["gemma3_text"]);

/// Gemma 2's keys, and two rotations.
#[derive(Clone, Debug)]
pub struct Gemma3TextConfig {
    /// What Gemma 2 has too.
    pub gemma2: Gemma2Config,
    /// The rotation of layers without a window.
    pub global_rope: RopeParameters,
    /// The rotation of layers with one.
    pub local_rope: RopeParameters,
}

impl Config for Gemma3TextConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let mut local_rope = None;
        let llama = LlamaConfig::read_with_rope(keys, &gemma::DEFAULTS, |head_dim, max| {
            let [global, local] = ropes(keys, head_dim, max);
            local_rope = Some(local);
            global
        });
        let global_rope = llama.rope_parameters.clone();
        let local_rope = local_rope.unwrap_or_else(|| global_rope.clone());
        // The pattern has been written under both names, and beside the layer types it describes.
        let pattern_key = keys.spelling(&["sliding_window_pattern", "_sliding_window_pattern"]);
        let pattern = keys.dim_or(pattern_key, 6);
        keys.inert(&["sliding_window_pattern", "_sliding_window_pattern"]);
        // The reference keeps it in the attention and never applies it.
        keys.inert(&["attn_logit_softcapping"]);
        let gemma2 = Gemma2Config {
            final_logit_softcapping: gemma2::softcap(keys, "final_logit_softcapping", None),
            windows: gemma2::windows(keys, llama.num_hidden_layers, pattern),
            ..Gemma2Config::read_base(keys, llama)
        };
        Self {
            gemma2,
            global_rope,
            local_rope,
        }
    }
}

/// The rotation of layers without a window, and of those with one.
fn ropes(keys: &Keys<'_>, head_dim: usize, max_position_embeddings: usize) -> [RopeParameters; 2] {
    let kind = |layer_type, theta_key, scaled, theta| LayerRope {
        layer_type,
        theta_key,
        scaled,
        defaults: RopeDefaults::whole(theta),
        head_dim,
    };
    let kinds = [
        kind(LayerType::FullAttention, "rope_theta", true, 1_000_000.0),
        kind(
            LayerType::SlidingAttention,
            "rope_local_base_freq",
            false,
            10_000.0,
        ),
    ];
    let mut ropes = keys.rope_by_layer_type(&kinds, max_position_embeddings);
    kinds.map(|kind| {
        let plain = || RopeParameters::new(kind.defaults.theta, head_dim, max_position_embeddings);
        ropes.remove(&kind.layer_type).unwrap_or_else(plain)
    })
}

impl DecoderConfig for Gemma3TextConfig {
    type Layer = Gemma2Layer;

    fn spec(&self) -> DecoderSpec<Gemma2LayerSpec> {
        let norm = NormSpec::rms_unit_offset(self.gemma2.llama.rms_norm_eps);
        let layer = |window: &Option<usize>| Gemma2LayerSpec {
            norm,
            attention: AttentionSpec {
                qk_norm: Some(QkNorm::PerHead(norm)),
                rope: Some(usize::from(window.is_some())),
                sliding_window: *window,
                ..self.gemma2.attention()
            },
            mlp: self.gemma2.llama.mlp(),
        };
        DecoderSpec {
            ropes: vec![self.global_rope.clone(), self.local_rope.clone()],
            ..self
                .gemma2
                .skeleton(self.gemma2.windows.iter().map(layer).collect())
        }
    }
}
