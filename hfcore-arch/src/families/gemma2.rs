//! Gemma 2: norms on both sides of each half, a window on every other layer, soft caps.
//!
//! ```text
//! h = x + RmsNorm(Attention(RmsNorm(x)))     scores capped to ±50, even layers see a window
//! y = h + RmsNorm(Mlp(RmsNorm(h)))           GeGLU
//! ```
//!
//! Paper: Gemma Team 2024, <https://arxiv.org/abs/2408.00118>.
//! Reference: transformers 5.23 `models/gemma2/modeling_gemma2.py`; golden: `tests/golden/gemma2*`.

use hfcore_config::{Activation as Named, Keys, LayerType};
use hfcore_kernels::Tensor;

use super::gemma;
use super::llama::LlamaConfig;
use super::read;
use crate::blocks::{Attention, AttentionSpec, GatedMlp, MlpSpec, Norm, NormSpec};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `gemma2`.
pub const FAMILY: Family = Family::decoder::<Gemma2Config>(&["gemma2"]);

/// Gemma's keys, caps and windows.
#[derive(Clone, Debug)]
pub struct Gemma2Config {
    /// What Llama has too.
    pub llama: LlamaConfig,
    /// Attention scores are divided by its square root.
    pub query_pre_attn_scalar: f32,
    /// The cap of attention scores.
    pub attn_logit_softcapping: Option<f32>,
    /// The cap of logits.
    pub final_logit_softcapping: Option<f32>,
    /// The window of each layer.
    pub windows: Vec<Option<usize>>,
}

impl Config for Gemma2Config {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig::read_base(keys, &gemma::DEFAULTS);
        Self {
            attn_logit_softcapping: softcap(keys, "attn_logit_softcapping", Some(50.0)),
            final_logit_softcapping: softcap(keys, "final_logit_softcapping", Some(30.0)),
            windows: windows(keys, llama.num_hidden_layers, 2),
            ..Self::read_base(keys, llama)
        }
    }
}

impl Gemma2Config {
    /// The keys that Gemma 2 and 3 read alike.
    pub(super) fn read_base(keys: &Keys<'_>, llama: LlamaConfig) -> Self {
        gemma::refuse_bidirectional(keys);
        let hidden_act = read::activation_or(keys, "hidden_activation", Named::GeluPytorchTanh);
        // Only Gemma 1 reads it; files of its successors carry it with the same meaning.
        keys.inert(&["hidden_act"]);
        let query_pre_attn_scalar = keys.float_or("query_pre_attn_scalar", 256.0);
        if query_pre_attn_scalar <= 0.0 {
            keys.problem(
                "query_pre_attn_scalar",
                "must be positive: scores are divided by its square root",
            );
        }
        Self {
            llama: LlamaConfig {
                hidden_act,
                attention_bias: gemma::attention_bias(keys),
                ..llama
            },
            query_pre_attn_scalar,
            attn_logit_softcapping: None,
            final_logit_softcapping: None,
            windows: Vec::new(),
        }
    }

    /// The attention of a layer, but for what depends on the layer.
    pub(super) fn attention(&self) -> AttentionSpec {
        AttentionSpec {
            scale: self.query_pre_attn_scalar.powf(-0.5),
            softcap: self.attn_logit_softcapping,
            ..self.llama.attention()
        }
    }

    /// The skeleton around these layers.
    pub(super) fn skeleton(&self, layers: Vec<Gemma2LayerSpec>) -> DecoderSpec<Gemma2LayerSpec> {
        DecoderSpec {
            norm: NormSpec::rms_unit_offset(self.llama.rms_norm_eps),
            embed_scale: gemma::embed_scale(self.llama.hidden_size),
            logits_softcap: self.final_logit_softcapping,
            ..self.llama.skeleton(layers)
        }
    }
}

/// A soft cap: `default` where the file has no key, none where it says null.
pub(super) fn softcap(keys: &Keys<'_>, key: &str, default: Option<f32>) -> Option<f32> {
    let given = keys.opt_float(key);
    let cap = if keys.raw().contains_key(key) {
        given
    } else {
        default
    };
    if cap.is_some_and(|cap| cap <= 0.0) {
        keys.problem(key, "must be positive");
    }
    cap
}

/// The window of each layer: in all but every `pattern`-th.
pub(super) fn windows(keys: &Keys<'_>, num_layers: usize, pattern: usize) -> Vec<Option<usize>> {
    let window = keys.nullable_dim("sliding_window", 4096);
    read::windows(keys, num_layers, window, |i| match (i + 1) % pattern {
        0 => LayerType::FullAttention,
        _ => LayerType::SlidingAttention,
    })
}

impl DecoderConfig for Gemma2Config {
    type Layer = Gemma2Layer;

    fn spec(&self) -> DecoderSpec<Gemma2LayerSpec> {
        let layer = |window: &Option<usize>| Gemma2LayerSpec {
            norm: NormSpec::rms_unit_offset(self.llama.rms_norm_eps),
            attention: AttentionSpec {
                sliding_window: *window,
                ..self.attention()
            },
            mlp: self.llama.mlp(),
        };
        self.skeleton(self.windows.iter().map(layer).collect())
    }
}

/// The numbers of a [`Gemma2Layer`].
#[derive(Clone, Debug)]
pub struct Gemma2LayerSpec {
    /// All four norms.
    pub norm: NormSpec,
    /// The first half.
    pub attention: AttentionSpec,
    /// The second half.
    pub mlp: MlpSpec,
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct Gemma2Layer {
    input_layernorm: Norm,
    self_attn: Attention,
    post_attention_layernorm: Norm,
    pre_feedforward_layernorm: Norm,
    mlp: GatedMlp,
    post_feedforward_layernorm: Norm,
}

impl DecoderLayer for Gemma2Layer {
    type Spec = Gemma2LayerSpec;

    fn cache(s: &Gemma2LayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &Gemma2LayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, s.norm);
        Self {
            input_layernorm: norm("input_layernorm"),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm"),
            mlp: GatedMlp::load(&w.at("mlp"), &s.mlp),
            post_feedforward_layernorm: norm("post_feedforward_layernorm"),
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let attended = self
            .self_attn
            .forward(&self.input_layernorm.forward(&x), pass);
        let h = &x + self.post_attention_layernorm.forward(&attended);
        let fed = self
            .mlp
            .forward(&self.pre_feedforward_layernorm.forward(&h));
        &h + self.post_feedforward_layernorm.forward(&fed)
    }
}
