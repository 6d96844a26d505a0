//! Convolutions: windows of sequences and squares of images, copied by `copy.wgsl` to be multiplied.

use crate::gpu::Gpu;
use crate::{Tensor, Weight, concat_rows, gather_rows, linear};

use super::rows::{From, copy};
use super::word;

/// The convolution of `x` `[B, T, C]` with `w` `[O, C * k]`: `[B, T', O]`.
///
/// Windows are `k / stride` times as many numbers as `x`; where those of all sequences are more than one
/// binding holds, the sequences are convolved in groups.
#[expect(
    clippy::too_many_arguments,
    reason = "a convolution has as many numbers"
)]
#[track_caller]
pub(crate) fn conv1d(
    gpu: &Gpu,
    x: &Tensor,
    w: &Weight,
    bias: Option<&Tensor>,
    out_len: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Tensor {
    let &[batch, len, channels] = x.shape() else {
        panic!("conv1d: [B, T, C], found {:?}", x.shape())
    };
    let outputs = w.shape()[0];
    let convolve = |x: &Tensor| linear(&windows(gpu, x, out_len, kernel, stride, padding), w, bias);
    let bytes = out_len * channels * kernel * size_of::<f32>();
    let limit = usize::try_from(gpu.caps().max_binding).unwrap_or(usize::MAX);
    let group = (limit / bytes.max(1)).max(1);
    if batch <= group {
        return convolve(x);
    }
    let parts: Vec<Tensor> = (0..batch)
        .step_by(group)
        .map(|first| {
            let end = batch.min(first + group);
            let rows: Vec<usize> = (first * len..end * len).collect();
            convolve(&gather_rows(x, &rows).reshape(&[end - first, len, channels]))
        })
        .collect();
    concat_rows(&parts.iter().collect::<Vec<_>>()).reshape(&[batch, out_len, outputs])
}

/// The windows of `x` `[B, T, C]`: `[B, T', C * k]`.
fn windows(
    gpu: &Gpu,
    x: &Tensor,
    out_len: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Tensor {
    let &[batch, len, channels] = x.shape() else {
        panic!("windows: [B, T, C], found {:?}", x.shape())
    };
    let shape = [batch, out_len, channels * kernel];
    if shape.contains(&0) {
        return Tensor::from_vec(x.device(), &shape, Vec::new());
    }
    let from = From::Windows {
        len: word(len),
        kernel: word(kernel),
        windows: word(out_len),
        stride: word(stride),
        padding: word(padding),
        channels: word(channels),
    };
    copy(gpu, x, from, &shape)
}

/// The squares of `pixels` `[B, C, H, W]`: `[B * down * across, C * patch * patch]`.
pub(crate) fn patches(gpu: &Gpu, pixels: &Tensor, patch: usize) -> Tensor {
    let &[batch, channels, height, width] = pixels.shape() else {
        panic!("patches: [B, C, H, W], found {:?}", pixels.shape())
    };
    let (down, across) = (height / patch, width / patch);
    let shape = [batch * down * across, channels * patch * patch];
    if shape.contains(&0) {
        return Tensor::from_vec(pixels.device(), &shape, Vec::new());
    }
    let from = From::Patches {
        size: [word(height), word(width)],
        squares: [word(down), word(across)],
        patch: word(patch),
        channels: word(channels),
    };
    copy(gpu, pixels, from, &shape)
}
