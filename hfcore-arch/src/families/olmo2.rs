//! `OLMo` 2: norms after each half and none before; queries and keys normed over their whole width.
//!
//! ```text
//! h = x + RmsNorm(Attention(x))
//! y = h + RmsNorm(Mlp(h))
//! ```
//!
//! Paper: `OLMo` Team 2024, <https://arxiv.org/abs/2501.00656>.
//! Reference: transformers 5.23 `models/olmo2/modeling_olmo2.py`; golden: `tests/golden/olmo2*`.

use hfcore_config::Keys;
use hfcore_kernels::Tensor;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayerSpec};
use crate::blocks::{Attention, GatedMlp, Norm, QkNorm};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `olmo2`.
pub const FAMILY: Family = Family::decoder::<Olmo2Config>(&["olmo2"]);

/// Llama's keys.
#[derive(Clone, Debug)]
pub struct Olmo2Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
}

impl Config for Olmo2Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig {
            attention_bias: keys.flag_or("attention_bias", false),
            ..LlamaConfig::read_base(
                keys,
                &LlamaDefaults {
                    rms_norm_eps: 1e-5,
                    ..LlamaDefaults::LLAMA
                },
            )
        };
        Self { llama }
    }
}

impl DecoderConfig for Olmo2Config {
    type Layer = Olmo2Layer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let mut spec = self.llama.spec();
        for layer in &mut spec.layers {
            layer.attention.qk_norm = Some(QkNorm::FullWidth(layer.norm));
        }
        spec
    }
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct Olmo2Layer {
    self_attn: Attention,
    post_attention_layernorm: Norm,
    mlp: GatedMlp,
    post_feedforward_layernorm: Norm,
}

impl DecoderLayer for Olmo2Layer {
    type Spec = LlamaLayerSpec;

    fn cache(s: &LlamaLayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &LlamaLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, s.norm);
        Self {
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: GatedMlp::load(&w.at("mlp"), &s.mlp),
            post_feedforward_layernorm: norm("post_feedforward_layernorm"),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let h = &x
            + self
                .post_attention_layernorm
                .forward(&self.self_attn.forward(&x, pass));
        &h + self
            .post_feedforward_layernorm
            .forward(&self.mlp.forward(&h))
    }
}
