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

use crate::reference::Exact;
use crate::{Device, Tensor};

/// Numbers from `-size` to `size` that look random, and are always the same (splitmix64).
pub(super) fn numbers(n: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u16::try_from((z ^ (z >> 31)) >> 48).expect("16 bits");
        (f32::from(bits) / 32768.0 - 1.0) * size
    };
    std::iter::repeat_with(next).take(n).collect()
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
