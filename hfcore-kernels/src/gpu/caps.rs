//! What a device can do, of what kernels care about.

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Half precision in shaders.
    pub(crate) f16: bool,
    /// Operations across the lanes of a subgroup.
    pub(crate) subgroups: bool,
    /// Parameters of a kernel as immediates, and not in a uniform buffer.
    pub(crate) immediates: bool,
    /// Bytes of one storage binding.
    pub(crate) max_binding: u64,
    /// Bytes of one buffer.
    pub(crate) max_buffer: u64,
    /// What offsets of storage and uniform bindings are multiples of.
    pub(crate) alignment: u64,
}

impl Caps {
    /// Workgroups along one axis of a grid.
    pub(crate) const MAX_GROUPS: u32 = 65_535;
}
