//! Choosing a GPU, and asking it for what is used of it.

use crate::DeviceError;

use super::Caps;

/// How to choose a GPU.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WgpuOptions {}

/// A GPU that was opened.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) caps: Caps,
}

pub(super) fn open(_options: &WgpuOptions) -> Result<Opened, DeviceError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let Some(adapter) = adapters.first() else {
        return Err(DeviceError::NoAdapter {
            why: "no driver was found".to_owned(),
        });
    };
    let info = adapter.get_info();
    let features = adapter.features()
        & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::IMMEDIATES);
    let adapter_limits = adapter.limits();
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: adapter_limits.max_storage_buffer_binding_size,
        max_buffer_size: adapter_limits.max_buffer_size,
        max_immediate_size: 64,
        min_storage_buffer_offset_alignment: adapter_limits.min_storage_buffer_offset_alignment,
        ..wgpu::Limits::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("hfcore"),
        required_features: features,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    }))
    .map_err(|error| DeviceError::NoAdapter {
        why: error.to_string(),
    })?;
    let caps = Caps {
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        immediates: features.contains(wgpu::Features::IMMEDIATES),
        max_binding: adapter_limits.max_storage_buffer_binding_size,
        max_buffer: adapter_limits.max_buffer_size,
        alignment: 256,
    };
    Ok(Opened {
        name: format!("{} ({:?})", info.name, info.backend),
        device,
        queue,
        caps,
    })
}
