//! Weights that nobody has to have: the device makes up their numbers, where it would be given a checkpoint's.
//!
//! For measuring: how fast a model of some shape is depends on its numbers hardly at all, and sixteen gigabytes of
//! them are a long way to the device. They are the same in every run, finite, and small enough that activations
//! stay in range.

use bytemuck::cast_slice;

use crate::{DType, DeviceError, PlaneType, QuantFormat};

use super::halves::Halves;
use super::memory::Buffer;
use super::shader::Variant;
use super::weights::{Format, GpuMatrix, Layout};
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

impl GpuMatrix {
    /// A matrix of numbers that the device makes up, where one of the host's would lie.
    pub(super) fn made_up(gpu: &Gpu, layout: Layout) -> Result<Self, DeviceError> {
        let (values, scales) = match layout.format {
            Format::Plain(dtype) => (Pattern::Numbers(dtype), None),
            Format::Quantized(QuantFormat::Int8) => {
                (Pattern::Bits, Some(Pattern::Scales(PlaneType::F32, 128)))
            }
            Format::Quantized(QuantFormat::Int4(_)) => {
                (Pattern::Bits, Some(Pattern::Scales(PlaneType::Bf16, 8)))
            }
        };
        let part_rows = layout.part_rows(gpu.caps())?;
        let part = |rows: std::ops::Range<usize>| {
            let held = gpu.place(layout.part_bytes(rows.len()).max(16) as u64)?;
            let part = |offset: usize, size: usize| Region {
                buffer: held.buffer.clone(),
                offset: held.offset + offset as u64,
                size: size as u64,
            };
            let end = layout.value_bytes(rows.len());
            gpu.synthesize(&part(0, end), values)?;
            if let Some(scales) = scales {
                gpu.synthesize(&part(end, layout.scale_bytes(rows.len())), scales)?;
            }
            Ok(held)
        };
        let parts = layout.parts(part_rows).map(part);
        let parts = parts.collect::<Result<_, DeviceError>>()?;
        let matrix = Self::new(layout, part_rows, parts);
        Ok(matrix.with_halves(gpu, || Halves::of_size(layout.format, SIZE)))
    }
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

#[cfg(test)]
mod tests {
    use crate::gpu::testing::{open, turn};
    use crate::gpu::{WgpuForce, WgpuOptions};
    use crate::{Bytes, DType, Device, QuantFormat, Quantized, Tensor, Weight, linear};

    /// Of every format, in one part and in several: products are finite, of the size that they should be, differ from
    /// output to output, and have nothing of the numbers that the weights have on the host.
    #[test]
    fn products_with_made_up_matrices_are_sane() {
        let _turn = turn();
        let force = WgpuForce {
            max_binding: Some(64 << 10),
            ..WgpuForce::default()
        };
        let options = WgpuOptions::default()
            .with_force(force)
            .with_synthetic_weights(true);
        let Some(gpu) = open(&options) else { return };
        let device = Device::of_gpu(gpu);
        let (outputs, inputs) = (160, 512);
        let x: Vec<f32> = (0..inputs).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Tensor::from_vec(&device, &[1, inputs], x);
        let check = |what: &str, y: Tensor| {
            let y = y.into_vec().unwrap();
            // The sum of 512 products of numbers of sizes 0.7 and 1/64/sqrt(3), to a factor of two or so.
            let size = (y.iter().map(|y| y * y).sum::<f32>() / y.len() as f32).sqrt();
            assert!((0.05..0.5).contains(&size), "{what}: {size}");
            let mut sorted = y.clone();
            sorted.sort_by(f32::total_cmp);
            sorted.dedup();
            assert_eq!(sorted.len(), outputs, "{what}: outputs are alike");
        };
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            // NaN in every type.
            let nan = Bytes::from(vec![0xff; outputs * inputs * dtype.size()]);
            let weight = Weight::new(dtype, &[outputs, inputs], nan);
            let weight = weight.to_device(&device).unwrap();
            check(dtype.name(), linear(&x, &weight, None));
        }
        for format in ["int8", "int4", "int4-128"] {
            let format: QuantFormat = format.parse().unwrap();
            let planes = format.planes([outputs, inputs]).unwrap();
            let planes = planes.map(|p| (p.name, Bytes::from(vec![0; p.bytes_len()])));
            let matrix = Quantized::from_planes(format, [outputs, inputs], &planes).unwrap();
            let matrix = matrix.to_device(&device).unwrap();
            check(format.name(), linear(&x, &matrix, None));
        }
    }
}
