//! GPT-NeoX, Pythia: both halves of a layer side by side, a quarter of each head rotated.
//!
//! ```text
//! y = x + Attention(LayerNorm(x)) + Mlp(LayerNorm'(x))      with use_parallel_residual
//! ```
//!
//! Paper: Black et al. 2022, <https://arxiv.org/abs/2204.06745>.
//! Reference: transformers 5.23 `models/gpt_neox/modeling_gpt_neox.py`; golden: `tests/golden/gpt_neox*`.

use hfcore_config::{Activation as Named, Keys, RopeDefaults, RopeParameters};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{Attention, AttentionSpec, Mlp, MlpSpec, Norm, NormSpec, ProjectionLayout};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderNames, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `gpt_neox`.
pub const FAMILY: Family = Family::decoder::<GptNeoXConfig>(&["gpt_neox"]);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct GptNeoXConfig {
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
    /// `D`.
    pub head_dim: usize,
    /// The nonlinearity of the feed-forward block.
    pub hidden_act: Activation,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the variance in norms.
    pub layer_norm_eps: f32,
    /// The rotation.
    pub rope_parameters: RopeParameters,
    /// Whether the projections of attention have biases.
    pub attention_bias: bool,
    /// Whether both halves of a layer read the same input.
    pub use_parallel_residual: bool,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
}

impl Config for GptNeoXConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let hidden_size = keys.dim("hidden_size");
        let num_attention_heads = keys.heads("num_attention_heads");
        let head_dim = keys.divide(
            "hidden_size",
            hidden_size,
            "num_attention_heads",
            num_attention_heads,
        );
        let max_position_embeddings = keys.positions("max_position_embeddings");
        // A causal mask is applied whatever it says.
        keys.inert(&["is_decoder"]);
        Self {
            vocab_size: keys.dim("vocab_size"),
            hidden_size,
            intermediate_size: keys.dim("intermediate_size"),
            num_hidden_layers: keys.layers("num_hidden_layers"),
            num_attention_heads,
            head_dim,
            hidden_act: read::activation_or(keys, "hidden_act", Named::Gelu),
            max_position_embeddings,
            layer_norm_eps: keys.float_or("layer_norm_eps", 1e-5),
            rope_parameters: keys.rope_spelled(
                "rotary_emb_base",
                "rotary_pct",
                RopeDefaults::partial(10_000.0, 0.25),
                head_dim,
                max_position_embeddings,
            ),
            attention_bias: keys.flag_or("attention_bias", true),
            use_parallel_residual: keys.flag_or("use_parallel_residual", true),
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", false),
        }
    }
}

impl DecoderConfig for GptNeoXConfig {
    type Layer = GptNeoXLayer;

    fn spec(&self) -> DecoderSpec<GptNeoXLayerSpec> {
        let norm = NormSpec::layer(self.layer_norm_eps);
        let heads = self.num_attention_heads;
        let layer = GptNeoXLayerSpec {
            norm,
            attention: AttentionSpec {
                layout: ProjectionLayout::FusedByHead(["query_key_value", "dense"]),
                qkv_bias: self.attention_bias,
                o_bias: self.attention_bias,
                ..AttentionSpec::new(self.hidden_size, heads, heads, self.head_dim)
            },
            mlp: MlpSpec {
                hidden_size: self.hidden_size,
                intermediate_size: self.intermediate_size,
                act: self.hidden_act,
                bias: true,
            },
            parallel: self.use_parallel_residual,
        };
        let layers = vec![layer; self.num_hidden_layers];
        DecoderSpec {
            names: DecoderNames {
                prefix: "gpt_neox",
                embed_tokens: "embed_in",
                embed_positions: "",
                layers: "layers",
                norm: "final_layer_norm",
                lm_head: &["lm_head", "embed_out"],
            },
            norm,
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

/// The numbers of a [`GptNeoXLayer`].
#[derive(Clone, Debug)]
pub struct GptNeoXLayerSpec {
    /// The norms before both halves.
    pub norm: NormSpec,
    /// One half.
    pub attention: AttentionSpec,
    /// The other half.
    pub mlp: MlpSpec,
    /// Whether both read the same input.
    pub parallel: bool,
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct GptNeoXLayer {
    input_layernorm: Norm,
    attention: Attention,
    post_attention_layernorm: Norm,
    mlp: Mlp,
    parallel: bool,
}

impl DecoderLayer for GptNeoXLayer {
    type Spec = GptNeoXLayerSpec;

    fn cache(s: &GptNeoXLayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &GptNeoXLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, s.norm);
        let attention = w.at("attention");
        // Causal masks that old checkpoints carry.
        attention.ignore("bias");
        attention.ignore("masked_bias");
        Self {
            input_layernorm: norm("input_layernorm"),
            attention: Attention::load(&attention, &s.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: Mlp::load(&w.at("mlp"), &s.mlp, ["dense_h_to_4h", "dense_4h_to_h"]),
            parallel: s.parallel,
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let attended = self
            .attention
            .forward(&self.input_layernorm.forward(&x), pass);
        if self.parallel {
            return self.mlp.forward(&self.post_attention_layernorm.forward(&x)) + &attended + &x;
        }
        let h = &x + attended;
        &h + self.mlp.forward(&self.post_attention_layernorm.forward(&h))
    }
}
