//! Experts on the device.
//!
//! Kernels find an expert's matrices by its number, which they read; so all matrices of a projection lie behind
//! each other in one region, or in as few as the device can bind. The block of an expert is its matrices, gate
//! and up or one, each as a part of its own: see `gpu/weights.rs`.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::gpu::weights::{Layout, fill};
use crate::gpu::{Bits, Gpu, Held, Recording, Region};
use crate::{Activation, DeviceError, ExpertKind, Matrix};

use super::elementwise::act;
use super::word;

/// The matrices of all experts for one of their projections, on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Of one matrix.
    pub(crate) layout: Layout,
    /// Matrices of an expert: gate and up, or one.
    each: usize,
    /// Experts of every part but the last.
    pub(crate) part_experts: usize,
    parts: Vec<Region>,
}

impl Stack {
    /// Vectors of a matrix, and of an expert.
    pub(crate) fn strides(&self) -> [u32; 2] {
        let vectors = self.layout.part_bytes(self.layout.outputs) / 16;
        [word(vectors), word(vectors * self.each)]
    }

    /// The parts: the first expert of each, and where it is; experts of all parts but the last.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, &Region)> {
        (0..).step_by(self.part_experts).zip(&self.parts)
    }

    /// Bring the matrices to the device: for each expert one of each list.
    fn upload(gpu: &Gpu, lists: &[&[Matrix]]) -> Result<(Self, Vec<Held>), DeviceError> {
        let count = lists[0].len();
        let layout = Layout::of_matrix(&lists[0][0]);
        let bytes = layout.part_bytes(layout.outputs) * lists.len();
        let limit = gpu.caps().max_binding.min(gpu.caps().max_buffer);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let part_experts = (limit / bytes.max(1)).min(count);
        if part_experts == 0 {
            let wanted = bytes;
            return Err(DeviceError::TooLarge { wanted, limit });
        }
        let mut held = Vec::new();
        for first in (0..count).step_by(part_experts) {
            let experts = first..count.min(first + part_experts);
            let part = gpu.place((bytes * experts.len()) as u64)?;
            let matrices = experts.flat_map(|expert| lists.iter().map(move |list| &list[expert]));
            for (i, matrix) in matrices.enumerate() {
                fill(gpu, matrix, &part, (i * (bytes / lists.len())) as u64)?;
            }
            held.push(part);
        }
        let stack = Self {
            layout,
            each: lists.len(),
            part_experts,
            parts: held.iter().map(|held| (**held).clone()).collect(),
        };
        Ok((stack, held))
    }
}

/// What experts compute between their projections, as part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gated(Activation),
    ClampedSwiglu { limit: Bits, alpha: Bits },
}

impl Kind {
    /// The define `KIND` of the kernels.
    pub(crate) const fn define(self) -> u32 {
        match self {
            Self::Gated(_) => 0,
            Self::ClampedSwiglu { .. } => 1,
        }
    }

    /// `act`, `limit` and `alpha` of their parameters.
    pub(crate) const fn params(self) -> [u32; 3] {
        match self {
            Self::Gated(activation) => [act(activation), 0, 0],
            Self::ClampedSwiglu { limit, alpha } => [0, limit.0, alpha.0],
        }
    }
}

impl From<ExpertKind> for Kind {
    fn from(kind: ExpertKind) -> Self {
        match kind {
            ExpertKind::Gated(activation) => Self::Gated(activation),
            ExpertKind::ClampedSwiglu { limit, alpha } => Self::ClampedSwiglu {
                limit: limit.into(),
                alpha: alpha.into(),
            },
        }
    }
}

/// What kernels have to know of experts. It does not keep them there.
#[derive(Clone, Debug)]
pub(crate) struct ExpertsKey(Arc<Keyed>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) kind: Kind,
    /// `N`.
    pub(crate) count: usize,
    /// `I`, numbers between the projections.
    pub(crate) inner: usize,
    /// Gate and up.
    pub(crate) up: Stack,
    pub(crate) down: Stack,
    /// `[N, 2 I]`.
    pub(crate) up_bias: Option<Region>,
    /// `[N, E]`.
    pub(crate) down_bias: Option<Region>,
}

impl Deref for ExpertsKey {
    type Target = Keyed;

    fn deref(&self) -> &Keyed {
        &self.0
    }
}

impl PartialEq for ExpertsKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for ExpertsKey {}

impl Hash for ExpertsKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Where they begin tells them from all others.
        self.0.up.parts.hash(state);
    }
}

/// Experts that are on the device. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct GpuExperts {
    key: ExpertsKey,
    held: Arc<[Held]>,
}

/// Experts where they were loaded to, to be brought to the device.
pub(crate) struct Loaded<'a> {
    /// Of each expert.
    pub(crate) gate: &'a [Matrix],
    /// Of each expert, or none.
    pub(crate) up: &'a [Matrix],
    /// Of each expert.
    pub(crate) down: &'a [Matrix],
    /// `[N, 2 I]`, or nothing.
    pub(crate) up_bias: Vec<f32>,
    /// `[N, E]`, or nothing.
    pub(crate) down_bias: Vec<f32>,
    /// What is between the projections.
    pub(crate) kind: ExpertKind,
}

impl GpuExperts {
    /// Bring experts to the device.
    pub(crate) fn upload(gpu: &Gpu, loaded: &Loaded<'_>) -> Result<Self, DeviceError> {
        let lists = match loaded.kind {
            ExpertKind::Gated(_) => vec![loaded.gate, loaded.up],
            ExpertKind::ClampedSwiglu { .. } => vec![loaded.gate],
        };
        let (up, mut held) = Stack::upload(gpu, &lists)?;
        let (down, more) = Stack::upload(gpu, &[loaded.down])?;
        held.extend(more);
        let mut bias = |numbers: &[f32]| -> Result<Option<Region>, DeviceError> {
            if numbers.is_empty() {
                return Ok(None);
            }
            let region = gpu.upload(bytemuck::cast_slice(numbers))?;
            held.push(region.clone());
            Ok(Some((*region).clone()))
        };
        let (up_bias, down_bias) = (bias(&loaded.up_bias)?, bias(&loaded.down_bias)?);
        let key = Keyed {
            kind: loaded.kind.into(),
            count: loaded.down.len(),
            inner: down.layout.inputs,
            up,
            down,
            up_bias,
            down_bias,
        };
        Ok(Self {
            key: ExpertsKey(Arc::new(key)),
            held: held.into(),
        })
    }

    /// What a node says of them, who holds them until the step has run.
    pub(crate) fn key(&self, recording: &mut Recording<'_>) -> ExpertsKey {
        for held in &*self.held {
            recording.keep(held);
        }
        self.key.clone()
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.key.0.count
    }

    /// `[E, I]` of the last projection of each.
    pub(crate) fn down_shape(&self) -> [usize; 2] {
        let layout = &self.key.0.down.layout;
        [layout.outputs, layout.inputs]
    }
}
