//! The operations: what each is as a node, and the kernels it becomes.
//!
//! A file is one kind of operation: its payload, which is its key; the function that records it; how it is
//! lowered; and the variants of its kernels, all of them, so that a test can compile each.

pub(crate) mod attention;
pub(crate) mod best;
pub(crate) mod conv;
mod coop;
pub(crate) mod elementwise;
pub(crate) mod embedding;
pub(crate) mod experts;
mod few;
pub(crate) mod heads;
pub(crate) mod kv;
pub(crate) mod linear;
#[cfg(test)]
mod linear_tests;
mod many;
pub(crate) mod moe;
pub(crate) mod norm;
#[cfg(test)]
mod oracle;
pub(crate) mod route;
pub(crate) mod rows;
pub(crate) mod sample;

#[cfg(test)]
use super::{Caps, Variant};

/// The shader files, by name.
pub(super) const SHADERS: &[(&str, &str)] = &[
    ("activation", include_str!("../shaders/activation.wgsl")),
    (
        "attention_heads",
        include_str!("../shaders/attention_heads.wgsl"),
    ),
    (
        "attention_few",
        include_str!("../shaders/attention_few.wgsl"),
    ),
    (
        "attention_many",
        include_str!("../shaders/attention_many.wgsl"),
    ),
    (
        "attention_merge",
        include_str!("../shaders/attention_merge.wgsl"),
    ),
    (
        "attention_span",
        include_str!("../shaders/attention_span.wgsl"),
    ),
    ("copy", include_str!("../shaders/copy.wgsl")),
    ("elementwise", include_str!("../shaders/elementwise.wgsl")),
    ("heads", include_str!("../shaders/heads.wgsl")),
    ("kv_copy", include_str!("../shaders/kv_copy.wgsl")),
    ("kv_page", include_str!("../shaders/kv_page.wgsl")),
    ("kv_word", include_str!("../shaders/kv_word.wgsl")),
    ("gemm", include_str!("../shaders/gemm.wgsl")),
    ("gemm_coop", include_str!("../shaders/gemm_coop.wgsl")),
    ("halves", include_str!("../shaders/halves.wgsl")),
    ("gemv", include_str!("../shaders/gemv.wgsl")),
    ("math", include_str!("../shaders/math.wgsl")),
    ("mean_rows", include_str!("../shaders/mean_rows.wgsl")),
    ("merge", include_str!("../shaders/merge.wgsl")),
    ("embed", include_str!("../shaders/embed.wgsl")),
    ("expert", include_str!("../shaders/expert.wgsl")),
    ("moe_down", include_str!("../shaders/moe_down.wgsl")),
    ("moe_sort", include_str!("../shaders/moe_sort.wgsl")),
    ("moe_sum", include_str!("../shaders/moe_sum.wgsl")),
    ("moe_tile", include_str!("../shaders/moe_tile.wgsl")),
    ("moe_up", include_str!("../shaders/moe_up.wgsl")),
    ("norm", include_str!("../shaders/norm.wgsl")),
    ("weight", include_str!("../shaders/weight.wgsl")),
    ("probe_read", include_str!("../shaders/probe_read.wgsl")),
    ("probe_step", include_str!("../shaders/probe_step.wgsl")),
    ("round_half", include_str!("../shaders/round_half.wgsl")),
    ("synthetic", include_str!("../shaders/synthetic.wgsl")),
    ("reduce", include_str!("../shaders/reduce.wgsl")),
    ("route", include_str!("../shaders/route.wgsl")),
    ("transpose", include_str!("../shaders/transpose.wgsl")),
    ("turn", include_str!("../shaders/turn.wgsl")),
    (
        "sample_argmax",
        include_str!("../shaders/sample_argmax.wgsl"),
    ),
    ("sample_best", include_str!("../shaders/sample_best.wgsl")),
    (
        "sample_candidates",
        include_str!("../shaders/sample_candidates.wgsl"),
    ),
    ("sample_draw", include_str!("../shaders/sample_draw.wgsl")),
    ("sample_float", include_str!("../shaders/sample_float.wgsl")),
    ("sample_merge", include_str!("../shaders/sample_merge.wgsl")),
    ("sample_pick", include_str!("../shaders/sample_pick.wgsl")),
    ("sample_score", include_str!("../shaders/sample_score.wgsl")),
    (
        "sample_scores",
        include_str!("../shaders/sample_scores.wgsl"),
    ),
    (
        "sample_spread",
        include_str!("../shaders/sample_spread.wgsl"),
    ),
    ("sample_sums", include_str!("../shaders/sample_sums.wgsl")),
    (
        "sample_weight",
        include_str!("../shaders/sample_weight.wgsl"),
    ),
];

/// A number of things as kernels count them. More than fit 32 bits are more than a buffer holds, which is refused
/// where one is wanted for them.
pub(super) fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Every variant of every kernel that can be asked for on a device that can do this.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    [
        attention::variants(caps),
        best::variants(),
        coop::variants(caps),
        elementwise::variants(caps),
        heads::variants(caps),
        kv::variants(),
        few::variants(caps),
        many::variants(caps),
        embedding::variants(caps),
        norm::variants(caps),
        super::probe::variants(),
        super::synthetic::variants(),
        moe::variants(caps),
        route::variants(caps),
        rows::variants(caps),
        sample::variants(caps),
    ]
    .concat()
}
