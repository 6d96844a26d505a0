//! Qwen 3 with mixtures of experts: Qwen 3's attention, Mixtral's layer.
//!
//! Paper: Yang et al. 2025, <https://arxiv.org/abs/2505.09388>.
//! Reference: transformers 5.23 `models/qwen3_moe/modeling_qwen3_moe.py`; golden: `tests/golden/qwen3_moe*`.

use hfcore_config::Keys;
use hfcore_kernels::{ExpertKind, Router};

use super::llama::{LlamaConfig, LlamaDefaults};
use super::mixtral::{FeedForwardSpec, MoeLayer, MoeLayerSpec};
use super::read;
use crate::blocks::{AttentionSpec, MoeLayout, MoeSpec, NormSpec, QkNorm};
use crate::decoder::{Config, DecoderConfig, DecoderSpec};
use crate::family::Family;

/// `qwen3_moe`.
pub const FAMILY: Family = Family::decoder::<Qwen3MoeConfig>(&["qwen3_moe"]);

/// Llama's keys, the experts and the window.
#[derive(Clone, Debug)]
pub struct Qwen3MoeConfig {
    /// What Llama has too; `intermediate_size` is that of layers without a mixture.
    pub llama: LlamaConfig,
    /// Positions a query sees, in every layer.
    pub sliding_window: Option<usize>,
    /// Number of experts.
    pub num_experts: usize,
    /// Experts that each token visits.
    pub num_experts_per_tok: usize,
    /// Width inside an expert.
    pub moe_intermediate_size: usize,
    /// Whether the weights of the chosen experts are made to sum to one.
    pub norm_topk_prob: bool,
    /// Whether each layer is a mixture.
    pub sparse: Vec<bool>,
}

impl Config for Qwen3MoeConfig {
    fn read(keys: &Keys<'_>) -> Self {
        let llama = LlamaConfig {
            attention_bias: keys.flag_or("attention_bias", false),
            ..LlamaConfig::read_base(keys, &LlamaDefaults::LLAMA)
        };
        let used = keys.flag_or("use_sliding_window", false);
        let num_experts =
            keys.experts_or(keys.spelling(&["num_experts", "num_local_experts"]), 128);
        let every = keys.dim_or("decoder_sparse_step", 1);
        let dense = keys.dims("mlp_only_layers").unwrap_or_default();
        // Written by the dense family's class, whose files share the tooling.
        keys.inert(&["max_window_layers"]);
        Self {
            sliding_window: keys.nullable_dim("sliding_window", 4096).filter(|_| used),
            num_experts,
            num_experts_per_tok: read::experts_per_token(keys, num_experts, 8),
            moe_intermediate_size: keys.dim_or("moe_intermediate_size", 768),
            norm_topk_prob: keys.flag_or("norm_topk_prob", false),
            sparse: (0..llama.num_hidden_layers)
                .map(|i| !dense.contains(&i) && (i + 1) % every == 0)
                .collect(),
            llama,
        }
    }
}

impl DecoderConfig for Qwen3MoeConfig {
    type Layer = MoeLayer;

    fn spec(&self) -> DecoderSpec<MoeLayerSpec> {
        let norm = NormSpec::rms(self.llama.rms_norm_eps);
        let moe = MoeSpec {
            hidden_size: self.llama.hidden_size,
            intermediate_size: self.moe_intermediate_size,
            num_experts: self.num_experts,
            num_experts_per_tok: self.num_experts_per_tok,
            router: Router::SoftmaxTopK {
                normalize: self.norm_topk_prob,
            },
            kind: ExpertKind::Gated(self.llama.hidden_act),
            layout: MoeLayout::Gated {
                router: "gate",
                names: ["gate_proj", "up_proj", "down_proj"],
            },
        };
        let layer = |sparse: &bool| MoeLayerSpec {
            norm,
            attention: AttentionSpec {
                qk_norm: Some(QkNorm::PerHead(norm)),
                sliding_window: self.sliding_window,
                ..self.llama.attention()
            },
            mlp: if *sparse {
                FeedForwardSpec::Sparse {
                    paths: &["mlp"],
                    moe: moe.clone(),
                }
            } else {
                FeedForwardSpec::Dense(self.llama.mlp())
            },
        };
        self.llama.skeleton(self.sparse.iter().map(layer).collect())
    }
}
