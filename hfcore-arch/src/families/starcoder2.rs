//! StarCoder 2: Llama's wiring with layer norms, biases and a plain feed-forward block.
//!
//! Paper: Lozhkov et al. 2024, <https://arxiv.org/abs/2402.19173>.
//! Reference: transformers 5.23 `models/starcoder2/modeling_starcoder2.py`; golden: `tests/golden/starcoder2*`.

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::Tensor;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayerSpec};
use super::read;
use crate::blocks::{Attention, Mlp, Norm, NormSpec};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `starcoder2`.
pub const FAMILY: Family = Family::decoder::<Starcoder2Config>(&["starcoder2"]);

/// Llama's keys, and the window.
#[derive(Clone, Debug)]
pub struct Starcoder2Config {
    /// What Llama has too; `rms_norm_eps` is this family's `norm_epsilon`.
    pub llama: LlamaConfig,
    /// Positions a query sees, in every layer.
    pub sliding_window: Option<usize>,
}

impl Config for Starcoder2Config {
    fn read(keys: &Keys<'_>) -> Self {
        let bias = keys.flag_or("use_bias", true);
        let llama = LlamaConfig {
            attention_bias: bias,
            mlp_bias: bias,
            hidden_act: read::activation_or(keys, "hidden_act", Named::GeluPytorchTanh),
            rms_norm_eps: keys.float_or("norm_epsilon", 1e-5),
            ..LlamaConfig::read_base(
                keys,
                &LlamaDefaults {
                    tie_word_embeddings: true,
                    ..LlamaDefaults::LLAMA
                },
            )
        };
        // Written by the first releases, beside the keys that decide: both kinds are fixed.
        keys.only(
            "norm_type",
            &["layer_norm".into()],
            "StarCoder 2 has layer norms",
        );
        keys.only(
            "mlp_type",
            &["default".into()],
            "StarCoder 2 has a plain feed-forward block",
        );
        Self {
            llama,
            sliding_window: keys.opt_dim("sliding_window"),
        }
    }
}

impl DecoderConfig for Starcoder2Config {
    type Layer = Starcoder2Layer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let norm = NormSpec::layer(self.llama.rms_norm_eps);
        let mut spec = self.llama.spec();
        for layer in &mut spec.layers {
            layer.norm = norm;
            layer.attention.sliding_window = self.sliding_window;
        }
        DecoderSpec { norm, ..spec }
    }
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct Starcoder2Layer {
    input_layernorm: Norm,
    self_attn: Attention,
    post_attention_layernorm: Norm,
    mlp: Mlp,
}

impl DecoderLayer for Starcoder2Layer {
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
            mlp: Mlp::load(&w.at("mlp"), &s.mlp, ["c_fc", "c_proj"]),
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
