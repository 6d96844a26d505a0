//! The non-linearities between two linear maps.

use crate::Tensor;
use crate::device::Cpu;
#[cfg(feature = "wgpu")]
use crate::gpu::ops::elementwise::{Function, elementwise, paired};
use crate::isa::multiversion;
use crate::math::{erf, sigmoid, tanh};
use crate::rows;

/// Numbers that a thread works at before it asks for more: each costs some instructions.
const GRAIN: usize = 1 << 12;

/// Run `f` on parts of `data`, rows of `width`, on the device's threads: the number of the first row, and the
/// rows.
fn for_each_mut(cpu: &Cpu, data: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    cpu.pool
        .for_rows(data, width, GRAIN.div_ceil(width.max(1)), f);
}

/// A function of one number, applied to each of a tensor.
///
/// The errors of the functions they are made of are in units in the last place: `e^x` 1.5,
/// `tanh` 2, `erf` 1.5. The results are the same on every instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * Phi(x) = x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// Its approximation `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// Its approximation `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    Relu2,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x`.
    Identity,
}

/// `activation` of each number of `x`.
#[must_use]
pub fn activate(mut x: Tensor, activation: Activation) -> Tensor {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return match activation {
            Activation::Identity => x,
            _ => elementwise(gpu, Function::Activate(activation), &x, None),
        };
    }
    let device = x.device().clone();
    let cpu = device.on_cpu();
    for_each_mut(cpu, x.data_mut(), 1, |_, x| apply(cpu.isa, x, activation));
    x
}

/// `activation(gate) * up`, number by number.
///
/// Shazeer 2020, <https://arxiv.org/abs/2002.05202>: with [`Activation::Silu`] it is `SwiGLU`, with
/// [`Activation::Gelu`] `GeGLU`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
#[track_caller]
pub fn gated(mut gate: Tensor, up: &Tensor, activation: Activation) -> Tensor {
    assert_eq!(gate.shape(), up.shape(), "gated: shapes of gate and up");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = gate.device().on_gpu() {
        return elementwise(gpu, Function::Gated(activation), &gate, Some(up));
    }
    let device = gate.device().clone();
    let cpu = device.on_cpu();
    for_each_mut(cpu, gate.data_mut(), 1, |first, gate| {
        apply_gated(cpu.isa, gate, &up.data()[first..], activation);
    });
    gate
}

/// [`gated`] where `x` `[.., 2 I]` has in each row the gate, then the other half: `[.., I]`.
///
/// # Panics
/// If rows of `x` have no two halves.
#[must_use]
#[track_caller]
pub fn gated_halves(x: &Tensor, activation: Activation) -> Tensor {
    let shape = halved(x, "gated_halves");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return paired(gpu, Function::GatedHalves(activation), x, &shape);
    }
    let mut out = Tensor::unspecified(x.device(), &shape);
    let inner = out.width();
    let cpu = x.device().on_cpu();
    for_each_mut(cpu, out.data_mut(), inner, |first, out| {
        let x = &x.data()[first * 2 * inner..];
        for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(2 * inner)) {
            out.copy_from_slice(&x[..inner]);
            apply_gated(cpu.isa, out, &x[inner..], activation);
        }
    });
    out
}

/// The gated unit of gpt-oss: `(up' + 1) * gate' * sigmoid(alpha * gate')` with `gate' = min(gate, limit)`
/// and `up'` within `limit` of zero, where `x` `[.., 2 I]` has gate and up by turns: `[.., I]`.
///
/// Reference: `GptOssExperts._apply_gate` in transformers' `models/gpt_oss/modeling_gpt_oss.py`.
///
/// # Panics
/// If the rows of `x` have an odd number of numbers.
#[must_use]
#[track_caller]
pub fn clamped_swiglu(x: &Tensor, limit: f32, alpha: f32) -> Tensor {
    let shape = halved(x, "clamped_swiglu");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        let function = Function::ClampedSwiglu {
            limit: limit.into(),
            alpha: alpha.into(),
        };
        return paired(gpu, function, x, &shape);
    }
    let mut out = Tensor::unspecified(x.device(), &shape);
    let inner = out.width();
    let cpu = x.device().on_cpu();
    for_each_mut(cpu, out.data_mut(), inner, |first, out| {
        let x = &x.data()[first * 2 * inner..][..2 * out.len()];
        clamped(cpu.isa, x, out, limit, alpha);
    });
    out
}

/// The shape of `x` with rows of half the width.
#[track_caller]
fn halved(x: &Tensor, operation: &str) -> Vec<usize> {
    assert!(
        x.width().is_multiple_of(2),
        "{operation}: rows of two halves, found {:?}",
        x.shape()
    );
    rows::with_width(x, x.width() / 2)
}

multiversion! { fn apply(x: &mut [f32], activation: Activation) = apply_body }
multiversion! { fn apply_gated(gate: &mut [f32], up: &[f32], activation: Activation) = apply_gated_body }
multiversion! { fn clamped(x: &[f32], out: &mut [f32], limit: f32, alpha: f32) = clamped_body }

#[inline(always)]
fn apply_body(x: &mut [f32], activation: Activation) {
    /// `sqrt(2 / pi)`.
    const SQRT_2_OVER_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    match activation {
        Activation::Silu => x.iter_mut().for_each(|v| *v *= sigmoid(*v)),
        Activation::Gelu => {
            for v in x {
                *v = 0.5 * *v * (1.0 + erf(*v * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
        Activation::GeluTanh => {
            for v in x {
                let inner = SQRT_2_OVER_PI * (*v + 0.044_715 * (*v * *v * *v));
                *v = 0.5 * *v * (1.0 + tanh(inner));
            }
        }
        Activation::QuickGelu => x.iter_mut().for_each(|v| *v *= sigmoid(1.702 * *v)),
        Activation::Relu => x.iter_mut().for_each(|v| *v = relu(*v)),
        Activation::Relu2 => x.iter_mut().for_each(|v| *v = relu(*v) * relu(*v)),
        Activation::Tanh => x.iter_mut().for_each(|v| *v = tanh(*v)),
        Activation::Sigmoid => x.iter_mut().for_each(|v| *v = sigmoid(*v)),
        Activation::Identity => {}
    }
}

/// `max(x, 0)` that passes NaN on, as torch's.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn apply_gated_body(gate: &mut [f32], up: &[f32], activation: Activation) {
    // Blocks that stay in the nearest cache between the two passes.
    for (gate, up) in gate.chunks_mut(1024).zip(up.chunks(1024)) {
        apply_body(gate, activation);
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate *= up;
        }
    }
}

#[inline(always)]
fn clamped_body(x: &[f32], out: &mut [f32], limit: f32, alpha: f32) {
    for (out, &[gate, up]) in out.iter_mut().zip(x.as_chunks::<2>().0) {
        let gate = if gate > limit { limit } else { gate };
        let up = if up > limit { limit } else { up };
        let up = if up < -limit { -limit } else { up };
        *out = (up + 1.0) * (gate * sigmoid(alpha * gate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn halves_and_turns() {
        let device = Device::cpu();
        let x = Tensor::from_vec(
            &device,
            &[2, 4],
            vec![-1.0, 2.0, 5.0, 7.0, 3.0, -4.0, 2.0, 9.0],
        );
        let y = gated_halves(&x, Activation::Relu);
        assert_eq!(y.shape(), [2, 2]);
        assert_eq!(y.to_vec().unwrap(), [0.0, 14.0, 6.0, 0.0]);
        // alpha 0: sigmoid is one half.
        let y = clamped_swiglu(&x, 3.0, 0.0);
        assert_eq!(y.to_vec().unwrap(), [-1.5, 6.0, -3.0, 4.0]);
    }

    #[test]
    fn nan_is_passed_on() {
        let all = [
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Relu,
            Activation::Relu2,
            Activation::Tanh,
            Activation::Sigmoid,
            Activation::Identity,
        ];
        for activation in all {
            let x = Tensor::from_vec(&Device::cpu(), &[2], vec![f32::NAN, 0.0]);
            let y = activate(x, activation).into_vec().unwrap();
            assert!(y[0].is_nan(), "{activation:?}");
            let at_zero = if activation == Activation::Sigmoid {
                0.5
            } else {
                0.0
            };
            assert_eq!(y[1], at_zero, "{activation:?}");
        }
    }

    #[test]
    #[should_panic(expected = "gated_halves: rows of two halves, found [1, 3]")]
    fn an_odd_row_has_no_halves() {
        let _ = gated_halves(&Tensor::zeros(&Device::cpu(), &[1, 3]), Activation::Silu);
    }
}
