//! Attention with shared key/value heads: causal over a cache, over a whole text, and over an encoder.
//!
//! ```text
//! q, k, v = x Wq, x Wk, x Wv                 heads of width D; K heads of k and v serve H of q
//! q, k    = rope(norm(q)), rope(norm(k))     each where the family has it
//! y       = softmax(cap(q kᵀ * scale) + bias, sinks) v Wo
//! ```
//!
//! Ainslie et al. 2023, <https://arxiv.org/abs/2305.13245>.

use std::ops::Range;

use hfcore_kernels::{
    AttentionParams, AttentionSpan, KeyValues, RelativeBias, RopeLayout, Tensor, attention,
    columns, rope,
};

use super::linear::Linear;
use super::norm::{Norm, NormSpec};
use crate::cache::LayerCacheSpec;
use crate::loader::Loader;
use crate::pass::Pass;

/// What an attention block is made of.
#[derive(Clone, Debug)]
pub struct AttentionSpec {
    /// `E`, width in and out.
    pub hidden_size: usize,
    /// `H`, heads of queries.
    pub num_heads: usize,
    /// `K`, heads of keys and values.
    pub num_kv_heads: usize,
    /// `D`, width of a head.
    pub head_dim: usize,
    /// What scores are multiplied by; `1 / sqrt(D)` in most families.
    pub scale: f32,
    /// Where the projections lie in the checkpoint.
    pub layout: ProjectionLayout,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether keys, in a matrix of their own, have one where queries and values do (not in Whisper).
    pub k_bias: bool,
    /// Whether the output has a bias.
    pub o_bias: bool,
    /// Norms of queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// The index of the rotation, of those that the model's spec lists; `None`: no rotation.
    pub rope: Option<usize>,
    /// Which elements a rotation pairs.
    pub rope_layout: RopeLayout,
    /// Positions a query sees, itself included.
    pub sliding_window: Option<usize>,
    /// Scores are squashed to `cap * tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// Whether each head has a learnt score that takes part in the softmax and has no value.
    pub sinks: bool,
}

impl AttentionSpec {
    /// Llama's attention: separate projections without biases, rotation 0, scale `1 / sqrt(D)`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "head widths are small")]
    pub fn new(hidden_size: usize, num_heads: usize, num_kv_heads: usize, head_dim: usize) -> Self {
        Self {
            hidden_size,
            num_heads,
            num_kv_heads,
            head_dim,
            scale: (head_dim as f32).powf(-0.5),
            layout: ProjectionLayout::LLAMA,
            qkv_bias: false,
            k_bias: true,
            o_bias: false,
            qk_norm: None,
            rope: Some(0),
            rope_layout: RopeLayout::Half,
            sliding_window: None,
            softcap: None,
            sinks: false,
        }
    }

    /// What the block remembers of a sequence.
    #[must_use]
    pub const fn cache(&self) -> LayerCacheSpec {
        LayerCacheSpec::new(self.num_kv_heads, self.head_dim, self.sliding_window)
    }
}

/// Where the projections of an attention block lie.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ProjectionLayout {
    /// A matrix each, under these names: queries, keys, values, output.
    Separate([&'static str; 4]),
    /// Queries, keys and values in one matrix, one after the other: its name, and the output's.
    Fused([&'static str; 2]),
    /// One matrix with query, key and value of a head side by side, head by head (GPT-NeoX).
    FusedByHead([&'static str; 2]),
    /// [`Fused`](Self::Fused), stored transposed as GPT-2's `Conv1D`; all with biases.
    Conv1d([&'static str; 2]),
}

impl ProjectionLayout {
    /// `q_proj`, `k_proj`, `v_proj`, `o_proj`.
    pub const LLAMA: Self = Self::Separate(["q_proj", "k_proj", "v_proj", "o_proj"]);
}

/// A norm of queries and keys before they are rotated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum QkNorm {
    /// Of each head: `q_norm.weight: [D]`.
    PerHead(NormSpec),
    /// Of all heads together: `q_norm.weight: [H * D]`.
    FullWidth(NormSpec),
}

/// An attention block.
#[derive(Clone, Debug)]
pub struct Attention {
    qkv: Qkv,
    o_proj: Linear,
    norms: Option<(Norm, Norm)>,
    sinks: Option<Tensor>,
    spec: AttentionSpec,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a layer, and most layers have the larger"
)]
enum Qkv {
    Separate([Linear; 3]),
    ByHead(Linear),
}

impl Attention {
    /// The projections, norms and sinks that the spec says.
    #[must_use]
    pub fn load(w: &Loader<'_>, s: &AttentionSpec) -> Self {
        // Frequencies that old checkpoints carry; they are computed.
        w.ignore("rotary_emb.inv_freq");
        let (q, kv) = (s.num_heads * s.head_dim, s.num_kv_heads * s.head_dim);
        let qkv = |name, output| Linear::load(&w.at(name), s.hidden_size, output, s.qkv_bias);
        let output = |name| Linear::load(&w.at(name), q, s.hidden_size, s.o_bias);
        let (qkv, o_proj) = match s.layout {
            ProjectionLayout::Separate([q_name, k_name, v_name, o_name]) => {
                let k_proj = Linear::load(&w.at(k_name), s.hidden_size, kv, s.qkv_bias && s.k_bias);
                (
                    Qkv::Separate([qkv(q_name, q), k_proj, qkv(v_name, kv)]),
                    output(o_name),
                )
            }
            ProjectionLayout::Fused([name, o_name]) => {
                let parts = Linear::load_fused(&w.at(name), s.hidden_size, [q, kv, kv], s.qkv_bias);
                (Qkv::Separate(parts), output(o_name))
            }
            ProjectionLayout::FusedByHead([name, o_name]) => {
                (Qkv::ByHead(qkv(name, q + 2 * kv)), output(o_name))
            }
            ProjectionLayout::Conv1d([name, o_name]) => {
                let parts = Linear::load_conv1d(&w.at(name), s.hidden_size, [q, kv, kv]);
                let [o_proj] = Linear::load_conv1d(&w.at(o_name), q, [s.hidden_size]);
                (Qkv::Separate(parts), o_proj)
            }
        };
        let norms = s.qk_norm.map(|kind| {
            let (spec, q, k) = match kind {
                QkNorm::PerHead(spec) => (spec, s.head_dim, s.head_dim),
                QkNorm::FullWidth(spec) => (spec, q, kv),
            };
            (
                Norm::load(&w.at("q_norm"), q, spec),
                Norm::load(&w.at("k_norm"), k, spec),
            )
        });
        let sinks = s.sinks.then(|| w.tensor("sinks", &[s.num_heads]));
        Self {
            qkv,
            o_proj,
            norms,
            sinks,
            spec: s.clone(),
        }
    }

    /// `[T, E]` to `[T, E]`: each token sees itself and what its sequence remembers.
    #[must_use]
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        self.forward_biased(x, pass, None)
    }

    /// [`forward`](Self::forward), with a bias on scores that depends on the distance.
    #[must_use]
    pub fn forward_biased(
        &self,
        x: &Tensor,
        pass: &mut Pass<'_>,
        bias: Option<RelativeBias<'_>>,
    ) -> Tensor {
        let [mut q, mut k, v] = self.project(x);
        if let Some(index) = self.spec.rope {
            q = rope(q, pass.rope(index), self.spec.rope_layout);
            k = rope(k, pass.rope(index), self.spec.rope_layout);
        }
        self.o_proj
            .forward(&pass.attend(&q, &k, &v, &self.params(true, bias)))
    }

    /// `[T, E]` to `[T, E]`: every token of a span sees the whole span. Nothing is remembered.
    #[must_use]
    pub fn forward_bidirectional(
        &self,
        x: &Tensor,
        spans: &[Range<usize>],
        bias: Option<RelativeBias<'_>>,
    ) -> Tensor {
        let [q, k, v] = &self.project(x);
        let spans: Vec<_> = spans.iter().map(|rows| whole_span(rows, k, v)).collect();
        self.o_proj
            .forward(&attention(q, &spans, &self.params(false, bias)))
    }

    /// `[T, E]` to `[T, E]`: every token sees the encoder's output of its sequence.
    ///
    /// # Panics
    /// If keys and values have no projections of their own, which cross-attention always has.
    #[must_use]
    pub fn forward_cross(&self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let Qkv::Separate([q_proj, ..]) = &self.qkv else {
            panic!("cross-attention has projections of its own for queries and keys")
        };
        let q = self.heads(q_proj.forward(x), self.spec.num_heads);
        self.o_proj
            .forward(&pass.attend_cross(&q, &self.params(false, None)))
    }

    /// Keys and values `[S, K, D]` of an encoder's output `[S, E]`, for [`forward_cross`](Self::forward_cross).
    ///
    /// # Panics
    /// If keys and values have no projections of their own, which cross-attention always has.
    #[must_use]
    pub fn cross_key_values(&self, encoded: &Tensor) -> (Tensor, Tensor) {
        let Qkv::Separate([_, k_proj, v_proj]) = &self.qkv else {
            panic!("cross-attention has projections of its own for queries and keys")
        };
        let heads = self.spec.num_kv_heads;
        (
            self.heads(k_proj.forward(encoded), heads),
            self.heads(v_proj.forward(encoded), heads),
        )
    }

    /// Queries `[T, H, D]`, keys and values `[T, K, D]`, normed where the spec says.
    fn project(&self, x: &Tensor) -> [Tensor; 3] {
        let s = &self.spec;
        let [q, k, v] = match &self.qkv {
            Qkv::Separate(layers) => Linear::forward_each(layers.each_ref(), x),
            Qkv::ByHead(qkv) => {
                let all = qkv
                    .forward(x)
                    .reshape(&[x.rows() * s.num_heads, 3 * s.head_dim]);
                [0, 1, 2].map(|i| columns(&all, i * s.head_dim..(i + 1) * s.head_dim))
            }
        };
        let (q, k) = match (&self.norms, s.qk_norm) {
            (Some((q_norm, k_norm)), Some(QkNorm::FullWidth(_))) => {
                (q_norm.forward(&q), k_norm.forward(&k))
            }
            _ => (q, k),
        };
        let (q, k) = (self.heads(q, s.num_heads), self.heads(k, s.num_kv_heads));
        let (q, k) = match (&self.norms, s.qk_norm) {
            (Some((q_norm, k_norm)), Some(QkNorm::PerHead(_))) => {
                (q_norm.forward(&q), k_norm.forward(&k))
            }
            _ => (q, k),
        };
        [q, k, self.heads(v, s.num_kv_heads)]
    }

    fn heads(&self, x: Tensor, heads: usize) -> Tensor {
        let width = heads * self.spec.head_dim;
        let rows = x.rows() * x.width() / width;
        x.reshape(&[rows, heads, self.spec.head_dim])
    }

    fn params<'a>(&'a self, causal: bool, bias: Option<RelativeBias<'a>>) -> AttentionParams<'a> {
        AttentionParams {
            scale: self.spec.scale,
            causal,
            window: self.spec.sliding_window,
            softcap: self.spec.softcap,
            sinks: self.sinks.as_ref(),
            bias,
        }
    }
}

/// A span of rows that attends to itself.
fn whole_span<'a>(rows: &Range<usize>, k: &'a Tensor, v: &'a Tensor) -> AttentionSpan<'a> {
    let keys = KeyValues::Dense {
        k,
        v,
        rows: rows.clone(),
    };
    AttentionSpan {
        rows: rows.clone(),
        position: 0,
        keys,
        key_position: 0,
    }
}
