//! Phi 3, 3.5, 4 and 4-mini: Llama with fused projections, LongRoPE, and part of each head rotated.
//!
//! Paper: Abdin et al. 2024, <https://arxiv.org/abs/2404.14219>.
//! Reference: transformers 5.23 `models/phi3/modeling_phi3.py`; golden: `tests/golden/phi3*`.

use hfcore_config::{Keys, RopeDefaults, RopeScaling};
use hfcore_kernels::Tensor;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayerSpec};
use crate::blocks::{Attention, GatedMlp, Norm, ProjectionLayout};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

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
    type Layer = Phi3Layer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for layer in &mut spec.layers {
            layer.attention.layout = ProjectionLayout::Fused(["qkv_proj", "o_proj"]);
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

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct Phi3Layer {
    input_layernorm: Norm,
    self_attn: Attention,
    post_attention_layernorm: Norm,
    mlp: GatedMlp,
}

impl DecoderLayer for Phi3Layer {
    type Spec = LlamaLayerSpec;

    fn cache(s: &LlamaLayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &LlamaLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, s.norm);
        Self {
            input_layernorm: norm("input_layernorm"),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: GatedMlp::load_fused(&w.at("mlp"), &s.mlp),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let h = &x
            + self
                .self_attn
                .forward(&self.input_layernorm.forward(&x), pass);
        &h + self.mlp.forward(&self.post_attention_layernorm.forward(&h))
    }
}
