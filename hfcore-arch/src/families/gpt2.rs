//! GPT-2: learnt positions, layer norms before each half, weights stored as `Conv1D`.
//!
//! ```text
//! h = x + Attention(LayerNorm(x))
//! y = h + Mlp(LayerNorm(h))            proj(gelu(fc(h)))
//! ```
//!
//! Paper: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
//! Reference: transformers 5.23 `models/gpt2/modeling_gpt2.py`; golden: `tests/golden/gpt2*`.

use hfcore_config::{Activation as Named, Keys};
use hfcore_kernels::{Activation, Tensor};

use super::read;
use crate::blocks::{
    Attention, AttentionSpec, Linear, Mlp, MlpSpec, Norm, NormSpec, ProjectionLayout,
};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderNames, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `gpt2`.
pub const FAMILY: Family = Family::decoder::<Gpt2Config>(&["gpt2"]);

/// The keys of `config.json` that the forward pass depends on, under their own names.
#[derive(Clone, Debug)]
pub struct Gpt2Config {
    /// `V`.
    pub vocab_size: usize,
    /// The longest sequence.
    pub n_positions: usize,
    /// `E`.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// `H`.
    pub n_head: usize,
    /// `D`.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub n_inner: usize,
    /// Its nonlinearity.
    pub activation_function: Activation,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f32,
    /// Whether scores are divided by `sqrt(D)`.
    pub scale_attn_weights: bool,
    /// Whether scores of layer `i` are divided by `i + 1` besides.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether the head is the input embedding.
    pub tie_word_embeddings: bool,
}

impl Config for Gpt2Config {
    fn read(keys: &Keys<'_>) -> Self {
        let n_embd = keys.dim(keys.spelling(&["n_embd", "hidden_size"]));
        let n_head = keys.heads(keys.spelling(&["n_head", "num_attention_heads"]));
        keys.refuse_unless_false(
            "add_cross_attention",
            "attention to an encoder is not implemented in this decoder",
        );
        // `n_ctx`: an old name of `n_positions`. Upcasting changes nothing here, where all scores are
        // f32. The summary belongs to a head of its own.
        keys.inert(&[
            "n_ctx",
            "reorder_and_upcast_attn",
            "summary_activation",
            "summary_proj_to_labels",
            "summary_type",
            "summary_use_proj",
        ]);
        Self {
            vocab_size: keys.dim("vocab_size"),
            n_positions: keys.positions(keys.spelling(&["n_positions", "max_position_embeddings"])),
            n_embd,
            n_layer: keys.layers(keys.spelling(&["n_layer", "num_hidden_layers"])),
            n_head,
            head_dim: keys.divide("n_embd", n_embd, "n_head", n_head),
            n_inner: keys.dim_or("n_inner", 4 * n_embd),
            activation_function: read::activation_or(
                keys,
                "activation_function",
                Named::GeluPytorchTanh,
            ),
            layer_norm_epsilon: keys.float_or("layer_norm_epsilon", 1e-5),
            scale_attn_weights: keys.flag_or("scale_attn_weights", true),
            scale_attn_by_inverse_layer_idx: keys.flag_or("scale_attn_by_inverse_layer_idx", false),
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", true),
        }
    }
}

impl DecoderConfig for Gpt2Config {
    type Layer = Gpt2Layer;

    #[expect(clippy::cast_precision_loss, reason = "layer indices are small")]
    fn spec(&self) -> DecoderSpec<Gpt2LayerSpec> {
        let norm = NormSpec::layer(self.layer_norm_epsilon);
        let attention = AttentionSpec::new(self.n_embd, self.n_head, self.n_head, self.head_dim);
        let scale = if self.scale_attn_weights {
            attention.scale
        } else {
            1.0
        };
        let layer = |i: usize| Gpt2LayerSpec {
            norm,
            attention: AttentionSpec {
                scale: if self.scale_attn_by_inverse_layer_idx {
                    scale / (i + 1) as f32
                } else {
                    scale
                },
                layout: ProjectionLayout::Conv1d(["c_attn", "c_proj"]),
                rope: None,
                ..attention.clone()
            },
            mlp: MlpSpec {
                hidden_size: self.n_embd,
                intermediate_size: self.n_inner,
                act: self.activation_function,
                bias: true,
            },
        };
        DecoderSpec {
            names: DecoderNames {
                prefix: "transformer",
                embed_tokens: "wte",
                embed_positions: "wpe",
                layers: "h",
                norm: "ln_f",
                lm_head: &["lm_head"],
            },
            norm,
            tie_word_embeddings: self.tie_word_embeddings,
            learned_positions: true,
            ..DecoderSpec::new(
                self.vocab_size,
                self.n_embd,
                self.n_positions,
                (0..self.n_layer).map(layer).collect(),
            )
        }
    }
}

/// The numbers of a [`Gpt2Layer`].
#[derive(Clone, Debug)]
pub struct Gpt2LayerSpec {
    /// The norms before both halves.
    pub norm: NormSpec,
    /// The first half.
    pub attention: AttentionSpec,
    /// The second half.
    pub mlp: MlpSpec,
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct Gpt2Layer {
    ln_1: Norm,
    attn: Attention,
    ln_2: Norm,
    mlp: Mlp,
}

impl DecoderLayer for Gpt2Layer {
    type Spec = Gpt2LayerSpec;

    fn cache(s: &Gpt2LayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &Gpt2LayerSpec) -> Self {
        let (width, inner) = (s.mlp.hidden_size, s.mlp.intermediate_size);
        let norm = |name| Norm::load(&w.at(name), width, s.norm);
        let attn = w.at("attn");
        // Causal masks that old checkpoints carry.
        attn.ignore("bias");
        attn.ignore("masked_bias");
        let mlp = w.at("mlp");
        let [up] = Linear::load_conv1d(&mlp.at("c_fc"), width, [inner]);
        let [down] = Linear::load_conv1d(&mlp.at("c_proj"), inner, [width]);
        Self {
            ln_1: norm("ln_1"),
            attn: Attention::load(&attn, &s.attention),
            ln_2: norm("ln_2"),
            mlp: Mlp::new(up, down, s.mlp.act),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let h = &x + self.attn.forward(&self.ln_1.forward(&x), pass);
        &h + self.mlp.forward(&self.ln_2.forward(&h))
    }
}
