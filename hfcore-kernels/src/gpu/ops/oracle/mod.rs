//! Operations against their definitions, on each device that is tested: with ragged sizes, and with all that the
//! device can do and the least.
//!
//! Shapes are few and pipelines as well: a software driver compiles each for a tenth of a second.

mod attention;
mod moe;
mod pages;
mod rows;
mod steps;
mod weights;

pub(super) use crate::gpu::testing::numbers;
use crate::reference::Exact;
use crate::{CpuOptions, Device, Precision, Tensor};

/// The processor, which rounds nothing that a GPU does not.
pub(super) fn exact_cpu() -> Device {
    Device::cpu_with(&CpuOptions::default().with_precision(Precision::Strict))
}

pub(super) fn tensor(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_vec(device, shape, data.to_vec())
}

pub(super) fn exact(values: &[f32]) -> Vec<Exact> {
    values.iter().map(|&v| Exact::new(f64::from(v))).collect()
}

/// Every number of `found` is as defined, up to `units` roundings of its magnitude.
#[track_caller]
pub(super) fn check(what: &str, found: &Tensor, want: &[Exact], units: f64) {
    let values = found.to_vec().expect("a device that works");
    assert_eq!(values.len(), want.len(), "{what}: numbers");
    for (i, (&found, want)) in values.iter().zip(want).enumerate() {
        let unit = want.magnitude * f64::from(f32::EPSILON / 2.0);
        assert!(
            want.accepts(found, units),
            "{what}: number {i} is {found}, not {want:?}: off by {:.1} units",
            (f64::from(found) - want.value).abs() / unit
        );
    }
}

/// Every number of `found` is about as `want` has it, from another device.
#[track_caller]
pub(super) fn assert_close(what: &str, found: &Tensor, want: &Tensor) {
    let (found, want) = (found.to_vec().unwrap(), want.to_vec().unwrap());
    assert_eq!(found.len(), want.len(), "{what}");
    for (i, (found, want)) in found.iter().zip(&want).enumerate() {
        if found.is_nan() && want.is_nan() {
            continue;
        }
        assert!(
            (found - want).abs() <= 3e-5 * want.abs().max(0.3),
            "{what}: number {i} is {found}, not {want}"
        );
    }
}
