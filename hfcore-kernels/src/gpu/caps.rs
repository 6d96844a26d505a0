//! What a device can do, of what kernels care about; and what of it may be used.
//!
//! ```text
//! what the adapter has ──► without what is forced away ──► Caps ──► features and limits that are asked for
//! ```
//!
//! [`Caps`] are decided first, and the device is asked for exactly them: so a kernel that uses more than its
//! caps is refused by the device, on the machine where it was written.

use std::fmt;
use std::str::FromStr;

use crate::DeviceError;

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Half precision in shaders.
    pub(crate) f16: bool,
    /// Operations across the lanes of a subgroup.
    pub(crate) subgroups: bool,
    /// The fewest and most lanes that a subgroup can have: 4 to 128.
    pub(crate) subgroup_size: [u32; 2],
    /// Parameters of a kernel as immediates, and not in a uniform buffer.
    pub(crate) immediates: bool,
    /// Products of square matrices across a subgroup, `f16` factors and `f32` sums: their edge, 8 or 16.
    pub(crate) cooperative_matrix: Option<u32>,
    /// Times between kernels: only where profiling was asked for.
    pub(crate) timestamps: bool,
    /// Storage bindings of one kernel: 8 anywhere, and no more than a few kernels use.
    pub(crate) storage_bindings: u32,
    /// Bytes of one storage binding.
    pub(crate) max_binding: u64,
    /// Bytes of one buffer.
    pub(crate) max_buffer: u64,
    /// What offsets of storage and uniform bindings are multiples of.
    pub(crate) alignment: u64,
    /// Bytes that a workgroup shares.
    pub(crate) workgroup_memory: u32,
    /// Threads of a workgroup.
    pub(crate) workgroup_threads: u32,
}

/// What a device of each kind can do: the tier of kernels that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WgpuTier {
    /// What every implementation of WebGPU has.
    Portable,
    /// Half precision, subgroups and immediates.
    Native,
    /// Products of matrices in hardware besides.
    Matrix,
}

impl WgpuTier {
    /// The name in reports: `portable`, `native`, `matrix`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Native => "native",
            Self::Matrix => "matrix",
        }
    }
}

impl fmt::Display for WgpuTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Less than what an adapter has: what is forced away is not used, as on an adapter that lacks it.
///
/// Written as a list, `no_f16,no_subgroup,no_immediates,no_coop,few_bindings,max_binding=1MiB,max_buffer=64MiB`:
/// that is what [`parse`](str::parse) reads and `Display` writes.
///
/// ```
/// let force: hfcore_kernels::WgpuForce = "no_f16, max_binding=1MiB".parse()?;
/// assert!(force.no_f16 && !force.no_subgroups);
/// assert_eq!(force.max_binding, Some(1 << 20));
/// assert!("no_f61".parse::<hfcore_kernels::WgpuForce>().is_err());
/// # Ok::<(), hfcore_kernels::DeviceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WgpuForce {
    /// Without half precision in shaders.
    pub no_f16: bool,
    /// Without operations across subgroups; and so without products of matrices.
    pub no_subgroups: bool,
    /// Without immediates.
    pub no_immediates: bool,
    /// Without products of matrices in hardware.
    pub no_cooperative_matrix: bool,
    /// No more storage bindings of a kernel than there are anywhere.
    pub few_bindings: bool,
    /// Bytes of one storage binding, at most: weights beyond it are split by rows.
    pub max_binding: Option<u64>,
    /// Bytes of one buffer, at most.
    pub max_buffer: Option<u64>,
}

impl WgpuForce {
    /// What any implementation of WebGPU has, with bindings of at most 1 MiB: the least that kernels are
    /// tested with.
    #[must_use]
    pub const fn minimal() -> Self {
        Self {
            no_f16: true,
            no_subgroups: true,
            no_immediates: true,
            no_cooperative_matrix: true,
            few_bindings: true,
            max_binding: Some(1 << 20),
            max_buffer: None,
        }
    }

    /// Whether it takes nothing away.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where one thing that is forced stands.
type Place<T> = fn(&mut WgpuForce) -> &mut T;

/// The flags of the list, by name.
const FLAGS: [(&str, Place<bool>); 5] = [
    ("no_f16", |force| &mut force.no_f16),
    ("no_subgroup", |force| &mut force.no_subgroups),
    ("no_immediates", |force| &mut force.no_immediates),
    ("no_coop", |force| &mut force.no_cooperative_matrix),
    ("few_bindings", |force| &mut force.few_bindings),
];

/// The sizes of the list, by name, and the least each can be.
const SIZES: [(&str, u64, Place<Option<u64>>); 2] = [
    ("max_binding", LEAST_BINDING, |force| &mut force.max_binding),
    ("max_buffer", LEAST_BUFFER, |force| &mut force.max_buffer),
];

/// Less would leave no room for the activations of any model.
const LEAST_BINDING: u64 = 64 << 10;
const LEAST_BUFFER: u64 = 1 << 20;

impl FromStr for WgpuForce {
    type Err = DeviceError;

    fn from_str(list: &str) -> Result<Self, DeviceError> {
        let mut force = Self::default();
        for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let refused = || DeviceError::InvalidOption {
                option: "a forced capability",
                expected: "no_f16, no_subgroup, no_immediates, no_coop, few_bindings, max_binding=SIZE \
                           or max_buffer=SIZE, with commas between them; a SIZE is bytes, or has KiB, MiB or \
                           GiB behind it",
                found: word.to_owned(),
            };
            if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
                *flag(&mut force) = true;
                continue;
            }
            let (name, size) = word.split_once('=').ok_or_else(refused)?;
            let size = parse_size(size.trim()).ok_or_else(refused)?;
            let (_, _, place) = (SIZES.iter())
                .find(|(n, least, _)| *n == name.trim() && size >= *least)
                .ok_or_else(refused)?;
            *place(&mut force) = Some(size);
        }
        Ok(force)
    }
}

impl fmt::Display for WgpuForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let mut words = Vec::new();
        for (name, flag) in FLAGS {
            if *flag(&mut copy) {
                words.push(name.to_owned());
            }
        }
        for (name, _, size) in SIZES {
            if let Some(size) = *size(&mut copy) {
                words.push(format!("{name}={size}"));
            }
        }
        f.write_str(&words.join(","))
    }
}

/// `65536`, `64KiB`, `1MiB`, `2GiB`, in bytes.
fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let shift = match unit.trim() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl Caps {
    /// Workgroups along one axis of a grid.
    pub(crate) const MAX_GROUPS: u32 = 65_535;
    /// Storage bindings of a kernel.
    pub(crate) const MAX_STORAGE_BINDINGS: u32 = 8;
    /// Storage bindings of the kernel that uses the most where there are more.
    const MOST_STORAGE_BINDINGS: u32 = 12;
    /// Bytes of the parameters of a kernel.
    pub(crate) const MAX_PARAMS: u32 = 64;
    /// Bytes that the threads of a workgroup share in every kernel that asks for no more.
    const WORKGROUP_MEMORY: u32 = 16 << 10;
    /// Threads of a workgroup in every kernel that asks for no more.
    const WORKGROUP_THREADS: u32 = 256;
    /// What offsets of bindings are multiples of on every device.
    const ALIGNMENT: u64 = 256;

    /// What of `adapter` is used.
    pub(super) fn of(adapter: &wgpu::Adapter, force: &WgpuForce, profiling: bool) -> Self {
        let (features, limits) = (adapter.features(), adapter.limits());
        let info = adapter.get_info();
        let has = |feature| features.contains(feature);
        let f16 = has(wgpu::Features::SHADER_F16) && !force.no_f16;
        let subgroups = has(wgpu::Features::SUBGROUP) && !force.no_subgroups;
        let matrices = f16
            && subgroups
            && has(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
            && !force.no_cooperative_matrix;
        let max_buffer = (limits.max_buffer_size).min(force.max_buffer.unwrap_or(u64::MAX));
        let max_binding = (limits.max_storage_buffer_binding_size)
            .min(force.max_binding.unwrap_or(u64::MAX))
            .min(max_buffer);
        Self {
            f16,
            subgroups,
            subgroup_size: [info.subgroup_min_size, info.subgroup_max_size],
            immediates: has(wgpu::Features::IMMEDIATES)
                && limits.max_immediate_size >= Self::MAX_PARAMS
                && !force.no_immediates,
            cooperative_matrix: matrices
                .then(|| matrix_edge(&adapter.cooperative_matrix_properties()))
                .flatten(),
            timestamps: profiling && has(TIMESTAMPS),
            storage_bindings: if force.few_bindings {
                Self::MAX_STORAGE_BINDINGS
            } else {
                (limits.max_storage_buffers_per_shader_stage).min(Self::MOST_STORAGE_BINDINGS)
            },
            // Words are addressed in fours, and rows of bindings begin at the alignment.
            max_binding: max_binding / Self::ALIGNMENT * Self::ALIGNMENT,
            max_buffer: max_buffer / Self::ALIGNMENT * Self::ALIGNMENT,
            alignment: Self::ALIGNMENT,
            workgroup_memory: limits.max_compute_workgroup_storage_size.min(48 << 10),
            workgroup_threads: (limits.max_compute_invocations_per_workgroup)
                .min(limits.max_compute_workgroup_size_x)
                .min(1024),
        }
    }

    /// The features that a device needs for these.
    pub(super) fn features(&self) -> wgpu::Features {
        let mut features = wgpu::Features::empty();
        features.set(wgpu::Features::SHADER_F16, self.f16);
        features.set(wgpu::Features::SUBGROUP, self.subgroups);
        features.set(wgpu::Features::IMMEDIATES, self.immediates);
        features.set(
            wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            self.cooperative_matrix.is_some(),
        );
        features.set(TIMESTAMPS, self.timestamps);
        features
    }

    /// The limits that a device needs for these, on an adapter with those: of what kernels do not use, the
    /// lesser of WebGPU's defaults and what the adapter has.
    pub(super) fn limits(&self, adapter: &wgpu::Limits) -> wgpu::Limits {
        wgpu::Limits {
            max_storage_buffers_per_shader_stage: self.storage_bindings,
            max_storage_buffer_binding_size: self.max_binding,
            max_buffer_size: self.max_buffer,
            max_immediate_size: if self.immediates { Self::MAX_PARAMS } else { 0 },
            max_compute_workgroup_storage_size: self.workgroup_memory,
            max_compute_invocations_per_workgroup: self.workgroup_threads,
            max_compute_workgroup_size_x: self.workgroup_threads,
            max_compute_workgroups_per_dimension: Self::MAX_GROUPS,
            ..wgpu::Limits::default().or_worse_values_from(adapter)
        }
    }

    /// What an adapter lacks that every kernel needs, in words.
    pub(super) fn missing(limits: &wgpu::Limits) -> Option<String> {
        let needs = [
            (
                "storage bindings of a kernel",
                limits.max_storage_buffers_per_shader_stage,
                Self::MAX_STORAGE_BINDINGS,
            ),
            (
                "bytes that a workgroup shares",
                limits.max_compute_workgroup_storage_size,
                Self::WORKGROUP_MEMORY,
            ),
            (
                "threads of a workgroup",
                (limits.max_compute_invocations_per_workgroup)
                    .min(limits.max_compute_workgroup_size_x),
                Self::WORKGROUP_THREADS,
            ),
            (
                "workgroups along an axis",
                limits.max_compute_workgroups_per_dimension,
                Self::MAX_GROUPS,
            ),
        ];
        let (what, has, needed) = needs.into_iter().find(|(_, has, needed)| has < needed)?;
        Some(format!("{what}: {needed} are needed, and it has {has}"))
    }

    /// The kernels that it runs.
    pub(crate) const fn tier(&self) -> WgpuTier {
        match self {
            Self {
                cooperative_matrix: Some(_),
                immediates: true,
                ..
            } => WgpuTier::Matrix,
            Self {
                f16: true,
                subgroups: true,
                immediates: true,
                ..
            } => WgpuTier::Native,
            _ => WgpuTier::Portable,
        }
    }
}

/// Times of kernels without a pass of its own for each.
const TIMESTAMPS: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// The edge of the largest square matrices that kernels can use, of those that the adapter says it has.
/// (The feature alone says nothing: wgpu accepts sizes that the adapter lacks.)
fn matrix_edge(properties: &[wgpu::CooperativeMatrixProperties]) -> Option<u32> {
    let square = |edge: u32| {
        properties.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [edge; 3]
                && p.ab_type == wgpu::CooperativeScalarType::F16
                && p.cr_type == wgpu::CooperativeScalarType::F32
        })
    };
    [16, 8].into_iter().find(|&edge| square(edge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_set_is_read_and_written() {
        let force: WgpuForce =
            "no_f16, no_subgroup,no_immediates,no_coop,few_bindings,max_binding=1MiB"
                .parse()
                .unwrap();
        assert_eq!(force, WgpuForce::minimal());
        assert_eq!(force.to_string().parse::<WgpuForce>().unwrap(), force);
        assert!("".parse::<WgpuForce>().unwrap().is_empty());
        for wrong in [
            "f16",
            "max_binding",
            "max_binding=1MB",
            "max_binding=12",
            "max_buffer=-1",
        ] {
            let error = wrong.parse::<WgpuForce>().unwrap_err().to_string();
            assert!(
                error.contains(wrong) && error.contains("no_coop"),
                "{error}"
            );
        }
        assert_eq!(parse_size("3GiB"), Some(3 << 30));
        assert_eq!(parse_size("99999999999GiB"), None);
    }

    #[test]
    fn matrices_are_those_that_the_adapter_says() {
        use wgpu::CooperativeScalarType::{F16, F32};
        let of = |m, n, k, ab, cr| wgpu::CooperativeMatrixProperties {
            m_size: m,
            n_size: n,
            k_size: k,
            ab_type: ab,
            cr_type: cr,
            saturating_accumulation: false,
        };
        assert_eq!(matrix_edge(&[]), None);
        assert_eq!(
            matrix_edge(&[of(16, 16, 16, F16, F16), of(16, 8, 16, F16, F32)]),
            None
        );
        assert_eq!(matrix_edge(&[of(8, 8, 8, F32, F32)]), None);
        let eight = of(8, 8, 8, F16, F32);
        assert_eq!(matrix_edge(&[eight]), Some(8));
        assert_eq!(matrix_edge(&[eight, of(16, 16, 16, F16, F32)]), Some(16));
    }

    #[test]
    fn what_is_asked_for_is_what_the_caps_say() {
        let least = wgpu::Limits::default();
        assert_eq!(Caps::missing(&least), None);
        let few = wgpu::Limits {
            max_storage_buffers_per_shader_stage: 4,
            ..least
        };
        assert_eq!(
            Caps::missing(&few).unwrap(),
            "storage bindings of a kernel: 8 are needed, and it has 4"
        );
    }
}
