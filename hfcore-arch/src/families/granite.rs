//! Granite 3, dense: Llama with four multipliers, one of them in the residual wiring.
//!
//! ```text
//! h = x + r * Attention(RmsNorm(x))
//! y = h + r * Mlp(RmsNorm(h))
//! ```
//!
//! Reference: transformers 5.23 `models/granite/modeling_granite.py`; golden: `tests/golden/granite*`.

use hfcore_config::Keys;
use hfcore_kernels::Tensor;

use super::llama::{LlamaConfig, LlamaDefaults, LlamaLayer, LlamaLayerSpec};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `granite`.
pub const FAMILY: Family = Family::decoder::<GraniteConfig>(&["granite"]);

/// Llama's keys, and the multipliers.
#[derive(Clone, Debug)]
pub struct GraniteConfig {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// Of the input embeddings.
    pub embedding_multiplier: f32,
    /// Of attention scores, instead of `1 / sqrt(D)`.
    pub attention_multiplier: f32,
    /// Of what each half of a layer adds.
    pub residual_multiplier: f32,
    /// What logits are divided by.
    pub logits_scaling: f32,
}

impl Config for GraniteConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let logits_scaling = keys.float_or("logits_scaling", 1.0);
        if logits_scaling == 0.0 {
            keys.problem(
                "logits_scaling",
                "must not be zero: logits are divided by it",
            );
        }
        Self {
            llama: LlamaConfig {
                attention_bias: keys.flag_or("attention_bias", false),
                mlp_bias: keys.flag_or("mlp_bias", false),
                ..LlamaConfig::read_base(keys, &LlamaDefaults::LLAMA)
            },
            embedding_multiplier: keys.float_or("embedding_multiplier", 1.0),
            attention_multiplier: keys.float_or("attention_multiplier", 1.0),
            residual_multiplier: keys.float_or("residual_multiplier", 1.0),
            logits_scaling,
        }
    }
}

impl DecoderConfig for GraniteConfig {
    type Layer = GraniteLayer;

    fn spec(&self) -> DecoderSpec<GraniteLayerSpec> {
        DecoderSpec {
            embed_scale: self.embedding_multiplier,
            logits_scaling: self.logits_scaling,
            ..self.llama.spec().map_layers(|mut llama| {
                llama.attention.scale = self.attention_multiplier;
                GraniteLayerSpec {
                    llama,
                    residual: self.residual_multiplier,
                }
            })
        }
    }
}

/// The numbers of a [`GraniteLayer`].
#[derive(Clone, Debug)]
pub struct GraniteLayerSpec {
    /// Llama's.
    pub llama: LlamaLayerSpec,
    /// `r`.
    pub residual: f32,
}

/// One residual block.
#[derive(Clone, Debug)]
pub struct GraniteLayer {
    llama: LlamaLayer,
    residual: f32,
}

impl DecoderLayer for GraniteLayer {
    type Spec = GraniteLayerSpec;

    fn cache(s: &GraniteLayerSpec) -> LayerCacheSpec {
        LlamaLayer::cache(&s.llama)
    }

    fn load(w: &Loader<'_>, s: &GraniteLayerSpec) -> Self {
        Self {
            llama: LlamaLayer::load(w, &s.llama),
            residual: s.residual,
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let LlamaLayer {
            input_layernorm,
            self_attn,
            post_attention_layernorm,
            mlp,
        } = &self.llama;
        let h = &x + self_attn.forward(&input_layernorm.forward(&x), pass) * self.residual;
        &h + mlp.forward(&post_attention_layernorm.forward(&h)) * self.residual
    }
}
