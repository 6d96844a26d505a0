//! Every kernel that can be asked for, compiled on a device without a driver.
//!
//! wgpu's noop device validates shaders and pipelines against the features and limits that it was given, as
//! any other does, and runs nothing. So a kernel that is wrong for a device that is not at hand is found
//! here: on a machine without any GPU, in milliseconds.

use std::collections::HashSet;
use std::sync::Arc;

use super::Caps;
use super::counters::Counters;
use super::ops;
use super::shader::{Pipelines, Variant, expand};
use super::testing;

/// Devices that there are: those of each tier, and some that lack one thing.
fn sets() -> [(&'static str, Caps); 6] {
    let portable = testing::caps();
    let native = Caps {
        f16: true,
        subgroups: true,
        immediates: true,
        storage_bindings: 12,
        workgroup_memory: 32 << 10,
        workgroup_threads: 1024,
        ..portable.clone()
    };
    let matrix = |edge| Caps {
        cooperative_matrix: Some(edge),
        workgroup_memory: 48 << 10,
        ..native.clone()
    };
    // Those that can do less first.
    [
        ("portable", portable),
        (
            "without subgroups",
            Caps {
                subgroups: false,
                ..native.clone()
            },
        ),
        (
            "without f16",
            Caps {
                f16: false,
                ..native.clone()
            },
        ),
        ("native", native.clone()),
        ("matrix, 8", matrix(8)),
        ("matrix, 16", matrix(16)),
    ]
}

#[test]
fn every_kernel_compiles_on_every_kind_of_device() {
    let mut wrong = Vec::new();
    let (mut known, mut seen) = (HashSet::new(), HashSet::new());
    for (name, caps) in sets() {
        let (device, _queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
            required_features: caps.features(),
            required_limits: caps.limits(&wgpu::Limits::default()),
            // SAFETY: nothing is run.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..wgpu::DeviceDescriptor::default()
        });
        let pipelines = Pipelines::new(&device, &caps, &Arc::new(Counters::default()));
        let variants = ops::variants(&caps);
        assert!(!variants.is_empty(), "kernels are listed");
        println!("{name}: {} kernels", variants.len());
        // A device that can do no less refuses nothing that was accepted, and how parameters are bound makes no
        // difference to the rest.
        let texts = Caps {
            immediates: true,
            ..caps.clone()
        };
        let is_new = |variant: &&Variant| {
            known.insert(((*variant).clone(), caps.f16, caps.subgroups))
                && expand(variant, &texts).map_or(true, |text| seen.insert(text))
        };
        let variants: Vec<&Variant> = variants.iter().filter(is_new).collect();
        // All at once, on several threads; one by one to find what is wrong.
        if pipelines.get_all(&variants).is_err() {
            let errors = variants
                .iter()
                .filter_map(|variant| pipelines.get(variant).err());
            wrong.extend(errors.map(|error| format!("{name}: {error}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
