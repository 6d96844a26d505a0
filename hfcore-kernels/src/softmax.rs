//! Weights that sum to one.

use crate::Tensor;
#[cfg(feature = "wgpu")]
use crate::gpu::ops::norm::{NormKind, norm};
use crate::isa::multiversion;
use crate::lanes::{max_of, sum_of};
use crate::math::exp;
use crate::norm::each_row;

/// `e^x / sum(e^x)` over each row, the largest of which is subtracted first.
///
/// Numbers that are `-inf` get exactly 0; a row of nothing else gets zeros, where torch has NaN.
#[must_use]
pub fn softmax(x: &Tensor) -> Tensor {
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        return norm(gpu, NormKind::Softmax, x, None, None, 0.0);
    }
    each_row(x, softmax_row)
}

multiversion! { pub(crate) fn softmax_row(x: &[f32], out: &mut [f32]) = softmax_body }

#[inline(always)]
fn softmax_body(x: &[f32], out: &mut [f32]) {
    let max = max_of(x);
    if max == f32::NEG_INFINITY {
        // Nothing but `-inf`, or NaN, which must not become a number.
        out.iter_mut()
            .zip(x)
            .for_each(|(out, &x)| *out = if x.is_nan() { x } else { 0.0 });
        return;
    }
    for (out, x) in out.iter_mut().zip(x) {
        *out = exp(x - max);
    }
    let sum = sum_of(out, |v| v);
    for out in out {
        *out /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    const MASKED: f32 = f32::NEG_INFINITY;

    #[test]
    fn masked_numbers_weigh_nothing() {
        let x = vec![7.0, MASKED, 7.0, MASKED, MASKED, MASKED];
        let y = softmax(&Tensor::from_vec(&Device::cpu(), &[2, 3], x));
        assert_eq!(y.into_vec().unwrap(), [0.5, 0.0, 0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nan_is_passed_on() {
        for x in [[f32::NAN, 1.0], [f32::NAN, MASKED]] {
            let y = softmax(&Tensor::from_vec(&Device::cpu(), &[2], x.to_vec()));
            assert!(y.into_vec().unwrap()[0].is_nan());
        }
    }
}
