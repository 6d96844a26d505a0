//! The operations: what each is as a node, and the kernels it becomes.
//!
//! A file is one kind of operation: its payload, which is its key; the function that records it; how it is
//! lowered; and the variants of its kernels, all of them, so that a test can compile each.

pub(crate) mod elementwise;
pub(crate) mod norm;

#[cfg(test)]
use super::{Caps, Variant};

/// The shader files, by name.
pub(super) const SHADERS: &[(&str, &str)] = &[
    ("elementwise", include_str!("../shaders/elementwise.wgsl")),
    ("norm", include_str!("../shaders/norm.wgsl")),
    ("probe_read", include_str!("../shaders/probe_read.wgsl")),
    ("probe_step", include_str!("../shaders/probe_step.wgsl")),
    ("synthetic", include_str!("../shaders/synthetic.wgsl")),
];

/// Every variant of every kernel that can be asked for on a device that can do this.
#[cfg(test)]
pub(super) fn variants(caps: &Caps) -> Vec<Variant> {
    [
        elementwise::variants(caps),
        norm::variants(caps),
        super::probe::variants(),
        super::synthetic::variants(),
    ]
    .concat()
}
