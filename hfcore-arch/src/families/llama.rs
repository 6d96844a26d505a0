//! Llama 1–3, and the base of every family that differs from it only in numbers.
//!
//! ```text
//! h = x + Attention(RmsNorm(x))     grouped-query, causal, RoPE on queries and keys
//! y = h + Mlp(RmsNorm(h))           SwiGLU: down(silu(gate(h)) * up(h))
//! ```
//!
//! Paper: Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>.
//! Reference: transformers 5.23 `models/llama/modeling_llama.py`; golden: `tests/golden/llama*`.

use hfcore_config::{Keys, RopeDefaults, RopeParameters};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{Attention, AttentionSpec, GatedMlp, MlpSpec, Norm, NormSpec};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `llama`.
pub const FAMILY: Family = Family::decoder::<LlamaConfig>(&["llama"]);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct LlamaConfig {
    /// `V`.
    pub vocab_size: usize,
    /// `E`.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// `H`.
    pub num_attention_heads: usize,
    /// `K`.
    pub num_key_value_heads: usize,
    /// `D`.
    pub head_dim: usize,
    /// The nonlinearity of the feed-forward block.
    pub hidden_act: Activation,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f32,
    /// The rotation.
    pub rope_parameters: RopeParameters,
    /// Whether the projections of attention have biases.
    pub attention_bias: bool,
    /// Whether those of the feed-forward block do.
    pub mlp_bias: bool,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
}

/// What the configuration classes of Llama's descendants say where a file does not.
#[derive(Clone, Copy, Debug)]
pub struct LlamaDefaults {
    /// The base of the rotation, and the part of each head that is rotated.
    pub rope: RopeDefaults,
    /// `D`; `hidden_size / num_attention_heads`, if `None`.
    pub head_dim: Option<usize>,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f32,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
}

impl LlamaDefaults {
    /// Llama's.
    pub const LLAMA: Self = Self {
        rope: RopeDefaults::whole(10_000.0),
        head_dim: None,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: false,
    };
}

impl LlamaConfig {
    /// The keys that all of Llama's descendants share. Biases are off: the families that have them
    /// say so themselves.
    pub fn read_base(keys: &Keys<'_>, defaults: &LlamaDefaults) -> Self {
        Self::read_with_rope(keys, defaults, |head_dim, max| {
            keys.rope(defaults.rope, head_dim, max)
        })
    }

    /// [`read_base`](Self::read_base) of a family that reads its rotation in another way, given `D`
    /// and the longest sequence.
    pub fn read_with_rope(
        keys: &Keys<'_>,
        defaults: &LlamaDefaults,
        rope: impl FnOnce(usize, usize) -> RopeParameters,
    ) -> Self {
        let hidden_size = keys.dim("hidden_size");
        let num_attention_heads = keys.heads("num_attention_heads");
        let head_dim = match keys.opt_dim("head_dim").or(defaults.head_dim) {
            Some(head_dim) => head_dim,
            None => keys.divide(
                "hidden_size",
                hidden_size,
                "num_attention_heads",
                num_attention_heads,
            ),
        };
        let max_position_embeddings = keys.positions("max_position_embeddings");
        Self {
            vocab_size: keys.dim("vocab_size"),
            hidden_size,
            intermediate_size: keys.dim("intermediate_size"),
            num_hidden_layers: keys.layers("num_hidden_layers"),
            num_attention_heads,
            num_key_value_heads: read::num_key_value_heads(keys, num_attention_heads),
            head_dim,
            hidden_act: read::activation_or(keys, "hidden_act", hfcore_config::Activation::Silu),
            max_position_embeddings,
            rms_norm_eps: keys.float_or("rms_norm_eps", defaults.rms_norm_eps),
            rope_parameters: rope(head_dim, max_position_embeddings),
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", defaults.tie_word_embeddings),
        }
    }

    /// Llama's attention with these numbers.
    #[must_use]
    pub fn attention(&self) -> AttentionSpec {
        AttentionSpec {
            qkv_bias: self.attention_bias,
            o_bias: self.attention_bias,
            ..AttentionSpec::new(
                self.hidden_size,
                self.num_attention_heads,
                self.num_key_value_heads,
                self.head_dim,
            )
        }
    }

    /// Llama's feed-forward block with these numbers.
    #[must_use]
    pub const fn mlp(&self) -> MlpSpec {
        MlpSpec {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            act: self.hidden_act,
            bias: self.mlp_bias,
        }
    }

    /// Llama's skeleton with these numbers, around other layers.
    #[must_use]
    pub fn skeleton<S>(&self, layers: Vec<S>) -> DecoderSpec<S> {
        DecoderSpec {
            norm: NormSpec::rms(self.rms_norm_eps),
            tie_word_embeddings: self.tie_word_embeddings,
            ropes: vec![self.rope_parameters.clone()],
            ..DecoderSpec::new(
                self.vocab_size,
                self.hidden_size,
                self.max_position_embeddings,
                layers,
            )
        }
    }
}

impl Config for LlamaConfig {
    fn read(keys: &Keys<'_>) -> Self {
        Self {
            attention_bias: keys.flag_or("attention_bias", false),
            mlp_bias: keys.flag_or("mlp_bias", false),
            ..Self::read_base(keys, &LlamaDefaults::LLAMA)
        }
    }
}

impl DecoderConfig for LlamaConfig {
    type Layer = LlamaLayer;

    fn spec(&self) -> DecoderSpec<LlamaLayerSpec> {
        let layer = LlamaLayerSpec {
            norm: NormSpec::rms(self.rms_norm_eps),
            attention: self.attention(),
            mlp: self.mlp(),
            fused_gate_up: false,
        };
        self.skeleton(vec![layer; self.num_hidden_layers])
    }
}

/// The numbers of a [`LlamaLayer`].
#[derive(Clone, Debug)]
pub struct LlamaLayerSpec {
    /// The norms before both halves.
    pub norm: NormSpec,
    /// The first half.
    pub attention: AttentionSpec,
    /// The second half.
    pub mlp: MlpSpec,
    /// Whether the second half has gate and up in one matrix, `gate_up_proj`.
    pub fused_gate_up: bool,
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct LlamaLayer {
    pub(super) input_layernorm: Norm,
    pub(super) self_attn: Attention,
    pub(super) post_attention_layernorm: Norm,
    pub(super) mlp: GatedMlp,
}

impl DecoderLayer for LlamaLayer {
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
            mlp: if s.fused_gate_up {
                GatedMlp::load_fused(&w.at("mlp"), &s.mlp)
            } else {
                GatedMlp::load(&w.at("mlp"), &s.mlp)
            },
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
