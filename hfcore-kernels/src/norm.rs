//! Normalisation of rows.
//!
//! Sums have one order on every instruction set, and so have the results.

#[cfg(feature = "wgpu")]
use crate::gpu::ops::norm::{NormKind, norm};
use crate::isa::multiversion;
use crate::lanes::sum_of;
use crate::{Tensor, rows};

/// `x / sqrt(mean(x^2) + eps) * gain`, over each row `[D]`.
///
/// `gain` `[D]`; with `unit_offset` it is stored as its distance from one (Gemma). Order of operations as
/// in transformers: `x * rsqrt(..)` is rounded before it is multiplied with the gain.
///
/// Zhang and Sennrich 2019, <https://arxiv.org/abs/1910.07467>.
///
/// # Panics
/// If the gain is not a row of `x`.
#[must_use]
#[track_caller]
pub fn rms_norm(x: &Tensor, gain: Option<&Tensor>, eps: f32, unit_offset: bool) -> Tensor {
    let width = x.width();
    if let Some(gain) = gain {
        assert_eq!(
            gain.shape(),
            [width],
            "rms_norm: shape of the gain for {:?}",
            x.shape()
        );
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        let kind = if unit_offset {
            NormKind::RmsUnitOffset
        } else {
            NormKind::Rms
        };
        return norm(gpu, kind, x, gain, None, eps);
    }
    let offset = if unit_offset { 1.0 } else { 0.0 };
    let gain = gain.map(Tensor::data);
    each_row(x, |isa, x, out| rms(isa, x, out, gain, eps, offset))
}

/// `(x - mean(x)) / sqrt(variance(x) + eps) * gain + bias`, over each row `[D]`, the variance that of
/// the row, not of what it is a sample of.
///
/// Ba et al. 2016, <https://arxiv.org/abs/1607.06450>. Reference: `torch.nn.functional.layer_norm`.
///
/// # Panics
/// If `gain` or `bias` is not a row of `x`.
#[must_use]
#[track_caller]
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    let width = x.width();
    assert_eq!(
        gain.shape(),
        [width],
        "layer_norm: shape of the gain for {:?}",
        x.shape()
    );
    if let Some(bias) = bias {
        assert_eq!(
            bias.shape(),
            [width],
            "layer_norm: shape of the bias for {:?}",
            x.shape()
        );
    }
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return norm(gpu, NormKind::Layer, x, Some(gain), bias, eps);
    }
    let bias = bias.map(Tensor::data);
    each_row(x, |isa, x, out| layer(isa, x, out, gain.data(), bias, eps))
}

/// `x / max(|x|, eps)`, over each row, with its Euclidean length `|x|`.
///
/// Reference: `torch.nn.functional.normalize`, where `eps` is 1e-12.
#[must_use]
pub fn l2_normalize(x: &Tensor, eps: f32) -> Tensor {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return norm(gpu, NormKind::L2, x, None, None, eps);
    }
    each_row(x, |isa, x, out| l2(isa, x, out, eps))
}

/// A tensor as `x`, each row of which `f` writes from the row of `x`.
pub(crate) fn each_row(x: &Tensor, f: impl Fn(crate::Isa, &[f32], &mut [f32]) + Sync) -> Tensor {
    let width = x.width();
    let mut out = Tensor::unspecified(x.device(), x.shape());
    let cpu = x.device().on_cpu();
    rows::for_each_mut(cpu, out.data_mut(), width, |first, out| {
        let x = &x.data()[first * width..];
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            f(cpu.isa, x, out);
        }
    });
    out
}

multiversion! {
    fn rms(x: &[f32], out: &mut [f32], gain: Option<&[f32]>, eps: f32, offset: f32) = rms_body
}
multiversion! {
    fn layer(x: &[f32], out: &mut [f32], gain: &[f32], bias: Option<&[f32]>, eps: f32) = layer_body
}
multiversion! { fn l2(x: &[f32], out: &mut [f32], eps: f32) = l2_body }

#[inline(always)]
fn rms_body(x: &[f32], out: &mut [f32], gain: Option<&[f32]>, eps: f32, offset: f32) {
    let mean = sum_of(x, |v| v * v) / x.len() as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    match gain {
        None => out.iter_mut().zip(x).for_each(|(out, x)| *out = x * scale),
        Some(gain) => {
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * scale * (gain + offset);
            }
        }
    }
}

#[inline(always)]
fn layer_body(x: &[f32], out: &mut [f32], gain: &[f32], bias: Option<&[f32]>, eps: f32) {
    let n = x.len() as f32;
    let mean = sum_of(x, |v| v) / n;
    // A second pass over the row, which is in the cache: the mean of squares less the square of the
    // mean would cancel.
    let variance = sum_of(x, |v| (v - mean) * (v - mean)) / n;
    let scale = 1.0 / (variance + eps).sqrt();
    match bias {
        None => {
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = (x - mean) * scale * gain;
            }
        }
        Some(bias) => {
            for (((out, x), gain), bias) in out.iter_mut().zip(x).zip(gain).zip(bias) {
                *out = (x - mean) * scale * gain + bias;
            }
        }
    }
}

#[inline(always)]
fn l2_body(x: &[f32], out: &mut [f32], eps: f32) {
    let length = sum_of(x, |v| v * v).sqrt();
    let length = if length < eps { eps } else { length };
    for (out, x) in out.iter_mut().zip(x) {
        *out = x / length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
        Tensor::from_vec(&Device::cpu(), shape, data.to_vec())
    }

    #[test]
    fn by_hand() {
        let x = tensor(&[2, 2], &[3.0, 4.0, 0.0, 0.0]);
        assert_eq!(
            l2_normalize(&x, 1e-12).into_vec().unwrap(),
            [0.6, 0.8, 0.0, 0.0]
        );
        // mean(x^2) is 12.5, and with 12.5 for eps the root is 5.
        let gain = tensor(&[2], &[0.0, 1.0]);
        let y = rms_norm(&x, Some(&gain), 12.5, true).into_vec().unwrap();
        assert_eq!(y, [0.6, 1.6, 0.0, 0.0]);
        assert_eq!(rms_norm(&x, None, 12.5, false).data()[..2], [0.6, 0.8]);
        // mean 3.5, variance 1/4, and with 3/4 for eps the root is 1.
        let bias = tensor(&[2], &[10.0, 10.0]);
        let y = layer_norm(&x, &tensor(&[2], &[1.0, 2.0]), Some(&bias), 0.75);
        assert_eq!(y.into_vec().unwrap(), [9.5, 11.0, 10.0, 10.0]);
    }

    #[test]
    #[should_panic(expected = "rms_norm: shape of the gain for [1, 3]")]
    fn a_gain_of_another_width() {
        let _ = rms_norm(
            &tensor(&[1, 3], &[0.0; 3]),
            Some(&tensor(&[2], &[0.0; 2])),
            0.0,
            false,
        );
    }
}
