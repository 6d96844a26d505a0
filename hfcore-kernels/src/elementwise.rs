//! Sums, products and scalings, number by number, and their operators.

use std::ops::{Add, Mul};

#[cfg(feature = "wgpu")]
use crate::gpu::ops::elementwise::{Function, elementwise};
use crate::isa::multiversion;
use crate::math::tanh;
use crate::{Tensor, rows};

/// `a + b`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
#[track_caller]
pub fn add(mut a: Tensor, b: &Tensor) -> Tensor {
    assert_eq!(a.shape(), b.shape(), "add: shapes");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = a.device().on_gpu() {
        return elementwise(gpu, Function::Add, &a, Some(b));
    }
    let device = a.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, a.data_mut(), 1, |first, a| {
        add_to(cpu.isa, a, &b.data()[first..]);
    });
    a
}

/// `a * b`, number by number.
///
/// # Panics
/// If the shapes differ.
#[must_use]
#[track_caller]
pub fn mul(mut a: Tensor, b: &Tensor) -> Tensor {
    assert_eq!(a.shape(), b.shape(), "mul: shapes");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = a.device().on_gpu() {
        return elementwise(gpu, Function::Mul, &a, Some(b));
    }
    let device = a.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, a.data_mut(), 1, |first, a| {
        mul_to(cpu.isa, a, &b.data()[first..]);
    });
    a
}

/// `x` `[.., W]` plus `row` `[W]` in each row.
///
/// # Panics
/// If `row` is not a row of `x`.
#[must_use]
#[track_caller]
pub fn add_row(mut x: Tensor, row: &Tensor) -> Tensor {
    assert_eq!(
        row.shape(),
        [x.width()],
        "add_row: shape of the row for {:?}",
        x.shape()
    );
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return elementwise(gpu, Function::Add, &x, Some(row));
    }
    let width = x.width();
    let device = x.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, x.data_mut(), width, |_, x| {
        for x in x.chunks_exact_mut(width) {
            add_to(cpu.isa, x, row.data());
        }
    });
    x
}

/// `x` `[B * N, E]` plus `p` `[N, E]` in each of the `B` blocks: position embeddings.
///
/// # Panics
/// If the rows of `x` are not a multiple of those of `p`, or of another width.
#[must_use]
#[track_caller]
pub fn add_tiled(mut x: Tensor, p: &Tensor) -> Tensor {
    let fits = p.width() == x.width() && p.rows() > 0 && x.rows().is_multiple_of(p.rows());
    assert!(
        fits,
        "add_tiled: {:?} and tiles of {:?}",
        x.shape(),
        p.shape()
    );
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return elementwise(gpu, Function::Add, &x, Some(p));
    }
    let (width, tile) = (x.width(), p.rows());
    let device = x.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, x.data_mut(), width, |first, x| {
        for (i, x) in x.chunks_exact_mut(width).enumerate() {
            add_to(cpu.isa, x, &p.data()[(first + i) % tile * width..]);
        }
    });
    x
}

/// `x * factor`.
#[must_use]
pub fn scale(mut x: Tensor, factor: f32) -> Tensor {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return elementwise(gpu, Function::Scale(factor.into()), &x, None);
    }
    let device = x.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, x.data_mut(), 1, |_, x| scale_to(cpu.isa, x, factor));
    x
}

/// `cap * tanh(x / cap)`: within `cap` of zero, and nearly `x` near zero (Gemma 2).
#[must_use]
pub fn softcap(mut x: Tensor, cap: f32) -> Tensor {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return elementwise(gpu, Function::Softcap(cap.into()), &x, None);
    }
    let device = x.device().clone();
    let cpu = device.on_cpu();
    rows::for_each_mut(cpu, x.data_mut(), 1, |_, x| softcap_to(cpu.isa, x, cap));
    x
}

impl Add<&Self> for Tensor {
    type Output = Self;

    /// [`add`].
    #[track_caller]
    fn add(self, other: &Self) -> Self {
        add(self, other)
    }
}

impl Add<Tensor> for &Tensor {
    type Output = Tensor;

    /// [`add`], in the memory of the second.
    #[track_caller]
    fn add(self, other: Tensor) -> Tensor {
        add(other, self)
    }
}

impl Mul<f32> for Tensor {
    type Output = Self;

    /// [`scale`].
    fn mul(self, factor: f32) -> Self {
        scale(self, factor)
    }
}

multiversion! { pub(crate) fn add_to(a: &mut [f32], b: &[f32]) = add_body }
multiversion! { fn mul_to(a: &mut [f32], b: &[f32]) = mul_body }
multiversion! { pub(crate) fn scale_to(x: &mut [f32], factor: f32) = scale_body }
multiversion! { pub(crate) fn softcap_to(x: &mut [f32], cap: f32) = softcap_body }

#[inline(always)]
fn add_body(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

#[inline(always)]
fn mul_body(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a *= b;
    }
}

#[inline(always)]
fn scale_body(x: &mut [f32], factor: f32) {
    for v in x {
        *v *= factor;
    }
}

#[inline(always)]
pub(crate) fn softcap_body(x: &mut [f32], cap: f32) {
    for v in x {
        *v = cap * tanh(*v / cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn counting(shape: &[usize]) -> Tensor {
        let numbers = (0..shape.iter().product::<usize>())
            .map(|i| i as f32)
            .collect();
        Tensor::from_vec(&Device::cpu(), shape, numbers)
    }

    #[test]
    fn operators() {
        let (a, b) = (counting(&[2, 2]), counting(&[2, 2]));
        let sum = &a + (b * 2.0);
        assert_eq!((sum + &a).into_vec().unwrap(), [0.0, 4.0, 8.0, 12.0]);
    }

    #[test]
    fn rows_and_tiles() {
        let x = add_row(counting(&[3, 2]), &counting(&[2]));
        assert_eq!(x.into_vec().unwrap(), [0.0, 2.0, 2.0, 4.0, 4.0, 6.0]);
        let x = add_tiled(counting(&[4, 1]), &counting(&[2, 1]));
        assert_eq!(x.into_vec().unwrap(), [0.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "add_tiled: [3, 2] and tiles of [2, 2]")]
    fn tiles_must_fit() {
        let _ = add_tiled(counting(&[3, 2]), &counting(&[2, 2]));
    }
}
