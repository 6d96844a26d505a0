//! Mixtral: Mistral whose feed-forward blocks are mixtures of experts; and the layer of every family
//! with Llama's attention and a mixture in some layers.
//!
//! ```text
//! h = x + Attention(RmsNorm(x))
//! y = h + Moe(RmsNorm(h))              the two experts with the largest softmax, renormalised
//! ```
//!
//! Paper: Jiang et al. 2024, <https://arxiv.org/abs/2401.04088>.
//! Reference: transformers 5.23 `models/mixtral/modeling_mixtral.py`; golden: `tests/golden/mixtral*`.

use hfcore_config::{Keys, RopeDefaults};
use hfcore_kernels::{ExpertKind, Router, Tensor};

use super::llama::{LlamaConfig, LlamaDefaults};
use super::read;
use crate::blocks::{
    Attention, AttentionSpec, GatedMlp, MlpSpec, Moe, MoeLayout, MoeSpec, Norm, NormSpec,
};
use crate::cache::LayerCacheSpec;
use crate::decoder::{Config, DecoderConfig, DecoderLayer, DecoderSpec};
use crate::family::Family;
use crate::loader::Loader;
use crate::pass::Pass;

/// `mixtral`.
pub const FAMILY: Family = Family::decoder::<MixtralConfig>(&["mixtral"]);

/// Llama's keys, the experts and the window.
#[derive(Clone, Debug)]
pub struct MixtralConfig {
    /// What Llama has too; `intermediate_size` is that of an expert.
    pub llama: LlamaConfig,
    /// Positions a query sees, in every layer.
    pub sliding_window: Option<usize>,
    /// Number of experts.
    pub num_local_experts: usize,
    /// Experts that each token visits.
    pub num_experts_per_tok: usize,
}

const DEFAULTS: LlamaDefaults = LlamaDefaults {
    rope: RopeDefaults::whole(1_000_000.0),
    rms_norm_eps: 1e-5,
    ..LlamaDefaults::LLAMA
};

impl Config for MixtralConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let num_local_experts =
            keys.experts_or(keys.spelling(&["num_local_experts", "num_experts"]), 8);
        Self {
            llama: LlamaConfig::read_base(keys, &DEFAULTS),
            sliding_window: keys.opt_dim("sliding_window"),
            num_local_experts,
            num_experts_per_tok: read::experts_per_token(keys, num_local_experts, 2),
        }
    }
}

impl DecoderConfig for MixtralConfig {
    type Layer = MoeLayer;

    fn spec(&self) -> DecoderSpec<MoeLayerSpec> {
        let layer = MoeLayerSpec {
            norm: NormSpec::rms(self.llama.rms_norm_eps),
            attention: AttentionSpec {
                sliding_window: self.sliding_window,
                ..self.llama.attention()
            },
            mlp: FeedForwardSpec::Sparse {
                // transformers 5 saves `mlp`; all of the Hub has the older name.
                paths: &["block_sparse_moe", "mlp"],
                moe: MoeSpec {
                    hidden_size: self.llama.hidden_size,
                    intermediate_size: self.llama.intermediate_size,
                    num_experts: self.num_local_experts,
                    num_experts_per_tok: self.num_experts_per_tok,
                    router: Router::SoftmaxTopK { normalize: true },
                    kind: ExpertKind::Gated(self.llama.hidden_act),
                    layout: MoeLayout::Gated {
                        router: "gate",
                        names: ["w1", "w3", "w2"],
                    },
                },
            },
        };
        self.llama
            .skeleton(vec![layer; self.llama.num_hidden_layers])
    }
}

/// The numbers of a [`MoeLayer`].
#[derive(Clone, Debug)]
pub struct MoeLayerSpec {
    /// The norms before both halves.
    pub norm: NormSpec,
    /// The first half.
    pub attention: AttentionSpec,
    /// The second half.
    pub mlp: FeedForwardSpec,
}

/// The second half of a layer.
#[derive(Clone, Debug)]
pub enum FeedForwardSpec {
    /// One block for all tokens.
    Dense(MlpSpec),
    /// A mixture of experts.
    Sparse {
        /// The names it has had in a layer; the first that the checkpoint has is read.
        paths: &'static [&'static str],
        /// Its numbers.
        moe: MoeSpec,
    },
}

/// One residual block. Each field has the name it has in the checkpoint.
#[derive(Clone, Debug)]
pub struct MoeLayer {
    input_layernorm: Norm,
    self_attn: Attention,
    post_attention_layernorm: Norm,
    mlp: FeedForward,
}

#[derive(Clone, Debug)]
enum FeedForward {
    Dense(GatedMlp),
    Sparse(Moe),
}

impl DecoderLayer for MoeLayer {
    type Spec = MoeLayerSpec;

    fn cache(s: &MoeLayerSpec) -> LayerCacheSpec {
        s.attention.cache()
    }

    fn load(w: &Loader<'_>, s: &MoeLayerSpec) -> Self {
        let norm = |name| Norm::load(&w.at(name), s.attention.hidden_size, s.norm);
        Self {
            input_layernorm: norm("input_layernorm"),
            self_attn: Attention::load(&w.at("self_attn"), &s.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: match &s.mlp {
                FeedForwardSpec::Dense(mlp) => {
                    FeedForward::Dense(GatedMlp::load(&w.at("mlp"), mlp))
                }
                FeedForwardSpec::Sparse { paths, moe } => {
                    let path = paths
                        .iter()
                        .find(|path| w.has_module(path))
                        .unwrap_or(&paths[0]);
                    FeedForward::Sparse(Moe::load(&w.at(path), moe))
                }
            },
        }
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let h = &x
            + self
                .self_attn
                .forward(&self.input_layernorm.forward(&x), pass);
        let normed = self.post_attention_layernorm.forward(&h);
        match &self.mlp {
            FeedForward::Dense(mlp) => &h + mlp.forward(&normed),
            FeedForward::Sparse(moe) => &h + moe.forward(&normed),
        }
    }
}
