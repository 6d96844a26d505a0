//! Weights that nobody has to have: the device makes up their numbers, where it would be given a checkpoint's.
//!
//! For measuring: how fast a model of some shape is depends on its numbers hardly at all, and sixteen gigabytes of
//! them are a long way to the device. They are the same in every run, finite, and small enough that activations
//! stay in range.

use bytemuck::cast_slice;

use crate::{DType, DeviceError, PlaneType};

use super::memory::Buffer;
use super::shader::Variant;
use super::{Gpu, Region};

/// What the words of a region are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Numbers of this type, in -1/64..1/64.
    Numbers(DType),
    /// Bits: the values of quantized matrices.
    Bits,
    /// Scales of a quantized matrix whose values are so many steps from its middle, at most.
    Scales(PlaneType, u16),
}

/// The largest number of a matrix: products of a few thousand of them are about 1.
const SIZE: f32 = 1.0 / 64.0;
const GROUPS: u32 = 4096;

impl Pattern {
    fn variant(self) -> Variant {
        let pattern = match self {
            Self::Numbers(DType::Bf16) => 0,
            Self::Numbers(DType::F16) => 1,
            Self::Numbers(DType::F32) => 2,
            Self::Bits => 3,
            Self::Scales(PlaneType::F32, _) => 5,
            Self::Scales(..) => 4,
        };
        Variant::new("synthetic", [("PATTERN", pattern)])
    }

    fn size(self) -> f32 {
        match self {
            Self::Numbers(_) | Self::Bits => SIZE,
            Self::Scales(_, steps) => SIZE / f32::from(steps.max(1)),
        }
    }
}

/// Every variant of the kernel.
#[cfg(test)]
pub(super) fn variants() -> Vec<Variant> {
    let numbers = [DType::Bf16, DType::F16, DType::F32].map(Pattern::Numbers);
    let scales = [PlaneType::Bf16, PlaneType::F32].map(|element| Pattern::Scales(element, 8));
    (numbers.into_iter().chain(scales).chain([Pattern::Bits]))
        .map(Pattern::variant)
        .collect()
}

impl Gpu {
    /// Fill `region` with numbers of `pattern`; other regions get others.
    pub(crate) fn synthesize(&self, region: &Region, pattern: Pattern) -> Result<(), DeviceError> {
        let pipeline = self.pipelines.get(&pattern.variant())?;
        let about = self.memory.storage(256)?;
        let (mut offset, end) = (region.offset, region.offset + region.size);
        while offset < end {
            // Bindings begin at multiples of the alignment, words that are ours wherever they do.
            let start = offset - offset % self.caps.alignment;
            let bytes = (end - start).min(self.caps.max_binding);
            let [first, last] = [offset - start, bytes].map(|byte| u32::try_from(byte / 4));
            let (Ok(first), Ok(last)) = (first, last) else {
                return Err(DeviceError::TooLarge {
                    wanted: usize::try_from(bytes).unwrap_or(usize::MAX),
                    limit: usize::try_from(u32::MAX).unwrap_or(usize::MAX),
                });
            };
            let seed = seed(&region.buffer, offset);
            let size = pattern.size().to_bits();
            let words = [first, last, seed, size];
            (self.queue).write_buffer(about.raw(), 0, cast_slice(&words));
            let parts = [(&about, 0, 256), (&region.buffer, start, bytes)];
            let group = self.probe_group(&pipeline, parts);
            let mut encoder = self
                .device
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(pipeline.raw());
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(last.div_ceil(256).clamp(1, GROUPS), 1, 1);
            }
            self.queue.submit([encoder.finish()]);
            offset = start + bytes;
        }
        self.memory.freed(&about);
        self.check()
    }

    /// `parts`, buffers with offset and bytes, bound in order.
    pub(super) fn probe_group<const N: usize>(
        &self,
        pipeline: &super::shader::Pipeline,
        parts: [(&Buffer, u64, u64); N],
    ) -> wgpu::BindGroup {
        let mut binding = 0;
        let entries = parts.map(|(buffer, offset, size)| {
            let entry = wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: buffer.raw(),
                    offset,
                    size: std::num::NonZeroU64::new(size),
                }),
            };
            binding += 1;
            entry
        });
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: pipeline.layout(),
            entries: &entries,
        })
    }
}

/// Different for the regions of a buffer, and for buffers.
fn seed(buffer: &Buffer, offset: u64) -> u32 {
    let mixed = (buffer.id() << 40 ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).expect("32 bits are left")
}
