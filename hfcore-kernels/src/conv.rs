//! Convolutions as matrix products.

#[cfg(feature = "wgpu")]
use crate::gpu::ops::conv as gpu_conv;
use crate::{Tensor, Weight, linear, rows};

/// The convolution of `x` `[B, T, C]` with `w` `[O, C, k]`, plus `bias` `[O]`: `[B, T', O]` with
/// `T' = (T + 2 padding - k) / stride + 1`, zeros beyond both ends of `x`.
///
/// Reference: `torch.nn.functional.conv1d`, but for the order of dimensions: channels are last.
///
/// # Panics
/// If shapes disagree, `stride` is 0, or `x` with its padding is shorter than `k`.
#[must_use]
#[track_caller]
pub fn conv1d(
    x: &Tensor,
    w: &Weight,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Tensor {
    let (&[batch, len, channels], &[outputs, inputs, kernel]) = (x.shape(), w.shape()) else {
        panic!(
            "conv1d: x [B, T, C] and weight [O, C, k], found {:?} and {:?}",
            x.shape(),
            w.shape()
        )
    };
    assert_eq!(
        channels,
        inputs,
        "conv1d: channels of x {:?} and weight {:?}",
        x.shape(),
        w.shape()
    );
    assert!(stride > 0, "conv1d: stride 0");
    let padded = len + 2 * padding;
    assert!(
        padded >= kernel,
        "conv1d: {padded} positions and a kernel of {kernel}"
    );
    let out_len = (padded - kernel) / stride + 1;

    // Each window as a row, in the order of the weight's `[C, k]`.
    let width = channels * kernel;
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = x.device().on_gpu() {
        let w = w.reshape(&[outputs, width]);
        return gpu_conv::conv1d(gpu, x, &w, bias, out_len, kernel, stride, padding);
    }
    let mut windows = Tensor::unspecified(x.device(), &[batch, out_len, width]);
    let cpu = x.device().on_cpu();
    rows::for_each_mut(cpu, windows.data_mut(), width, |first, windows| {
        for (i, window) in windows.chunks_exact_mut(width).enumerate() {
            let (b, t) = ((first + i) / out_len, (first + i) % out_len);
            for j in 0..kernel {
                let inside = (t * stride + j).checked_sub(padding).filter(|&at| at < len);
                let row = inside.map(|at| &x.data()[(b * len + at) * channels..][..channels]);
                for c in 0..channels {
                    window[c * kernel + j] = row.map_or(0.0, |row| row[c]);
                }
            }
        }
    });
    linear(&windows, &w.reshape(&[outputs, width]), bias)
}

/// The squares of `patch` by `patch` pixels of images `pixels` `[B, C, H, W]`, row by row of squares:
/// `[B * N, C * patch * patch]` with `N = (H / patch) * (W / patch)`. Pixels beyond the last whole square
/// are left out.
///
/// A row has the order of `[C, patch, patch]`, so that a convolution with that kernel and stride is
/// [`linear`] with its weight `[O, C, patch, patch]` as a matrix.
///
/// # Panics
/// If `pixels` has not four dimensions, or `patch` is 0.
#[must_use]
#[track_caller]
pub fn patches(pixels: &Tensor, patch: usize) -> Tensor {
    let &[batch, channels, height, width] = pixels.shape() else {
        panic!("patches: [B, C, H, W], found {:?}", pixels.shape())
    };
    assert!(patch > 0, "patches: of no pixels");
    #[cfg(feature = "wgpu")]
    if let Some(gpu) = pixels.device().on_gpu() {
        return gpu_conv::patches(gpu, pixels, patch);
    }
    let (down, across) = (height / patch, width / patch);
    let size = channels * patch * patch;
    let mut out = Tensor::unspecified(pixels.device(), &[batch * down * across, size]);
    let cpu = pixels.device().on_cpu();
    rows::for_each_mut(cpu, out.data_mut(), size, |first, out| {
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            let (row, column) = ((first + i) / across, (first + i) % across);
            let (b, row) = (row / down, row % down);
            for (j, out) in out.chunks_exact_mut(patch).enumerate() {
                let (c, y) = (j / patch, row * patch + j % patch);
                let start = ((b * channels + c) * height + y) * width + column * patch;
                out.copy_from_slice(&pixels.data()[start..][..patch]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn a_difference_with_padding_and_stride() {
        let device = Device::cpu();
        let x = Tensor::from_vec(&device, &[1, 4, 1], vec![1.0, 4.0, 9.0, 16.0]);
        let w = Weight::from_f32(&[1, 1, 2], &[-1.0, 1.0]);
        let y = conv1d(&x, &w, None, 1, 1);
        assert_eq!(y.shape(), [1, 5, 1]);
        assert_eq!(y.into_vec().unwrap(), [1.0, 3.0, 5.0, 7.0, -16.0]);
        assert_eq!(conv1d(&x, &w, None, 2, 0).into_vec().unwrap(), [3.0, 7.0]);
    }

    #[test]
    fn patches_are_squares_of_each_channel() {
        let device = Device::cpu();
        let pixels: Vec<f32> = (0..2 * 2 * 5).map(|i| i as f32).collect();
        let y = patches(&Tensor::from_vec(&device, &[1, 2, 2, 5], pixels), 2);
        assert_eq!(y.shape(), [2, 8]);
        let want = [
            0.0, 1.0, 5.0, 6.0, 10.0, 11.0, 15.0, 16.0, 2.0, 3.0, 7.0, 8.0, 12.0, 13.0, 17.0, 18.0,
        ];
        assert_eq!(y.into_vec().unwrap(), want);
    }
}
